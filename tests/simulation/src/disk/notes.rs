//! Notes of how far the log may be shown.

use super::{DECIDED, Disk, Op, READ_ONLY};
use mgnode_core::durability::{DECIDED_SLOT_BYTES, Decided, decode_decided};
use mgnode_core::engine::Input;
use mgnode_core::types::Lsn;

impl Disk {
    /// Writes a note of how far the log may be shown.
    pub(super) fn note(&self, note: Decided, is_synced: bool, ops: &mut Vec<Op>) {
        if self.files.find(DECIDED).is_none() {
            ops.push(Op::Create(DECIDED.to_owned()));
        }
        let at = note.slot() * DECIDED_SLOT_BYTES;
        ops.push(Op::Write(DECIDED.to_owned(), at, note.encode().into()));
        if is_synced {
            ops.push(Op::Sync(DECIDED.to_owned()));
            ops.push(Op::SyncNames(""));
        }
    }

    /// Writes a note that is not the first, beside the queue and at once: it speaks of records that are durable.
    pub(crate) fn note_now(&mut self, lsn: Lsn) -> Input {
        if self.is_read_only {
            return Input::WalFailed { error: READ_ONLY.to_owned() };
        }
        let mut ops = Vec::new();
        self.note(Decided { number: self.next_note, lsn }, false, &mut ops);
        self.next_note += 1;
        ops.into_iter().for_each(|op| self.run(op));
        Input::DecidedNoted { lsn }
    }

    /// Takes up the numbers of notes after the newest one in the file.
    pub(super) fn find_next_note(&mut self) {
        self.next_note = self.newest_note().map_or(0, |note| note.number + 1);
    }

    pub(super) fn newest_note(&self) -> Option<Decided> {
        self.files.find(DECIDED).and_then(|id| decode_decided(self.files.read(id)).ok()).flatten()
    }
}
