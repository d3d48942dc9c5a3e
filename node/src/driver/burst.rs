//! Effects of one turn, fewer and larger.

use super::{DiskLane, Transport};
use mgnode_core::engine::PeerId;
use mgnode_core::replication::Message;
use mgnode_core::types::{CommitRecord, Lsn};

/// Payload of one message that was put together.
const BYTES_MAX: usize = 256 << 10;

/// Records that follow each other on their way to one peer, as one message.
///
/// Order within a peer's lane is kept: whatever else is for that peer goes out behind what was held.
#[derive(Default)]
pub(super) struct Bursts {
    held: Vec<(PeerId, Message)>,
}

impl Bursts {
    pub(super) fn send(&mut self, peer: PeerId, message: Message, transport: &mut dyn Transport) {
        let Some(message) = self.join(peer, message) else { return };
        self.release(peer, transport);
        match message {
            Message::Append { .. } => self.held.push((peer, message)),
            _ => transport.send(peer, message),
        }
    }

    /// Adds an append to the one that is held for that peer; gives it back where it does not fit.
    fn join(&mut self, peer: PeerId, message: Message) -> Option<Message> {
        let held = self.held.iter_mut().find(|(of, _)| *of == peer);
        match (held, message) {
            (
                Some((_, Message::Append { epoch: held_epoch, apply_to: held_to, records: held, .. })),
                Message::Append { epoch, prev, apply_to, mut records, .. },
            ) if *held_epoch == epoch
                && held.last().is_some_and(|last| last.lsn == prev)
                && bytes(held) + bytes(&records) <= BYTES_MAX =>
            {
                held.append(&mut records);
                *held_to = apply_to.max(*held_to);
                None
            }
            (_, message) => Some(message),
        }
    }

    /// Sends what is held for a peer.
    pub(super) fn release(&mut self, peer: PeerId, transport: &mut dyn Transport) {
        if let Some(index) = self.held.iter().position(|(of, _)| *of == peer) {
            let (peer, message) = self.held.remove(index);
            transport.send(peer, message);
        }
    }

    /// Sends all that is held.
    pub(super) fn release_all(&mut self, transport: &mut dyn Transport) {
        for (peer, message) in self.held.drain(..) {
            transport.send(peer, message);
        }
    }
}

fn bytes(records: &[CommitRecord]) -> usize {
    records.iter().map(|record| record.payload.len()).sum()
}

/// The last sync that was asked for. It stands for those before it; what else is for the disk comes
/// behind it.
#[derive(Default)]
pub(super) struct LastSync(Option<Lsn>);

impl LastSync {
    pub(super) fn ask(&mut self, lsn: Lsn) {
        self.0 = self.0.max(Some(lsn));
    }

    pub(super) fn release(&mut self, disk: &mut dyn DiskLane) {
        if let Some(lsn) = self.0.take() {
            disk.sync_wal(lsn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use mgnode_core::types::{Epoch, NodeId, SnapshotId};

    /// Remembers what was sent.
    #[derive(Default)]
    struct Line(Vec<(PeerId, Message)>);

    impl Transport for Line {
        fn listen(&mut self, _: u16) {}
        fn pairing_opened(&mut self) {}
        fn unlisten(&mut self) {}
        fn dial(&mut self, _: PeerId, _: String) {}
        fn hangup(&mut self, _: PeerId, _: String) {}
        fn send(&mut self, peer: PeerId, message: Message) {
            self.0.push((peer, message));
        }
        fn send_snapshot(&mut self, _: PeerId, _: SnapshotId, _: u64, _: u16) {}
        fn stop(&mut self) {}
    }

    fn epoch(number: u64) -> Epoch {
        Epoch { number, node: NodeId(1), incarnation: 1 }
    }

    fn append(number: u64, lsns: std::ops::RangeInclusive<u64>, payload: usize) -> Message {
        let epoch = epoch(number);
        let prev = Lsn(lsns.start() - 1);
        let apply_to = Lsn(*lsns.end());
        let record = |lsn| CommitRecord { epoch, lsn: Lsn(lsn), ts: lsn, payload: vec![7; payload].into() };
        Message::Append {
            epoch,
            prev,
            prev_chain: prev.0 + 100,
            apply_to,
            records: lsns.map(record).collect(),
        }
    }

    fn sent(messages: Vec<(u64, Message)>) -> Vec<(PeerId, Message)> {
        let (mut bursts, mut line) = (Bursts::default(), Line::default());
        for (peer, message) in messages {
            bursts.send(PeerId(peer), message, &mut line);
        }
        bursts.release_all(&mut line);
        line.0
    }

    #[test]
    fn records_that_follow_each_other_go_as_one_message() {
        let out = sent(vec![
            (2, append(1, 5..=5, 10)),
            (4, append(1, 5..=5, 10)),
            (2, append(1, 6..=7, 10)),
            (4, append(1, 6..=6, 10)),
        ]);
        assert_eq!(out, [(PeerId(2), append(1, 5..=7, 10)), (PeerId(4), append(1, 5..=6, 10))]);
    }

    #[test]
    fn a_gap_another_epoch_and_too_many_bytes_begin_a_new_message() {
        for second in [append(1, 7..=7, 10), append(2, 6..=6, 10), append(1, 6..=6, BYTES_MAX)] {
            let out = sent(vec![(2, append(1, 5..=5, 10)), (2, second.clone())]);
            assert_eq!(out, [(PeerId(2), append(1, 5..=5, 10)), (PeerId(2), second)]);
        }
    }

    #[test]
    fn other_messages_keep_their_place() {
        let publish = Message::Publish { apply_to: Lsn(5) };
        let all = vec![(2, append(1, 5..=5, 10)), (2, publish.clone()), (2, append(1, 6..=6, 10))];
        let expected: Vec<_> = all.iter().map(|(peer, m)| (PeerId(*peer), m.clone())).collect();
        assert_eq!(sent(all), expected);
        // A word to one peer does not hurry what another waits for.
        let out = sent(vec![(2, append(1, 5..=5, 10)), (4, publish.clone()), (2, append(1, 6..=6, 10))]);
        assert_eq!(out, [(PeerId(4), publish), (PeerId(2), append(1, 5..=6, 10))]);
    }
}
