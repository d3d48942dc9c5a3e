//! Snapshots: when one is due, which files and which log stay, how one is sent and taken over.
//!
//! A replica that the log no longer reaches is sent a file, never a view: its bytes stay the same, so
//! that it goes on where a lost connection cut it off. The log is let go only where a file covers it, so
//! one of the files leads to the log; where none does, one is written first.
//!
//! What a transfer needs, the file and the log after it, stays while the connection stands, and for a
//! bounded part of the log after it was lost ([`keep_for_absent_bytes`](super::EngineConfig)). So a replica whose
//! connection ends again and again still comes nearer with each one.

use super::links::too_old;
use super::{AdminAnswer, AdminError, Effect, Engine, PeerId, SnapshotHeader, Token};
use crate::replication::{Link, LinkState, LogEnd, PROTOCOL_RESUMES, PROTOCOL_SCHEMA, RefusalReason};
use crate::storage::Graph;
use crate::types::{Lsn, Role, SnapshotId};
use std::sync::Arc;

/// What is known of this node's own snapshots.
#[derive(Debug)]
pub(super) struct Snapshots {
    /// One is being written.
    is_writing: bool,
    /// Whoever asked for it.
    asked_by: Option<Token>,
    /// [`Log::bytes`](crate::replication::Log::bytes) when the last one began.
    begun_at_bytes: u64,
    /// The files, by rising LSN.
    files: Vec<SnapshotId>,
}

impl Snapshots {
    pub(super) fn new(files: Vec<SnapshotId>) -> Snapshots {
        assert!(files.is_sorted_by_key(SnapshotId::lsn), "files come by rising LSN");
        Snapshots { is_writing: false, asked_by: None, begun_at_bytes: 0, files }
    }

    /// Takes note of other files than there were.
    pub(super) fn replace(&mut self, files: Vec<SnapshotId>) {
        assert!(files.is_sorted_by_key(SnapshotId::lsn), "files come by rising LSN");
        self.files = files;
    }

    fn last(&self) -> Lsn {
        self.files.last().map_or(Lsn::ZERO, SnapshotId::lsn)
    }

    /// Returns the chain hash at `lsn` where a file ends there.
    pub(super) fn chain_at(&self, lsn: Lsn) -> Option<u64> {
        self.files.iter().find(|file| file.lsn() == lsn).map(|file| file.chain)
    }

    fn add(&mut self, file: SnapshotId) {
        self.files.retain(|known| known.lsn() != file.lsn());
        let at = self.files.partition_point(|known| known.lsn() < file.lsn());
        self.files.insert(at, file);
    }
}

/// A received snapshot on its way to become this node's own.
#[derive(Debug)]
pub(super) struct Installing {
    peer: PeerId,
    snapshot: SnapshotId,
    header: SnapshotHeader,
    graph: Arc<Graph>,
}

impl Engine {
    /// Returns whether a snapshot is on its way to the disk.
    pub(super) fn is_writing_snapshot(&self) -> bool {
        self.snapshots.is_writing
    }

    pub(super) fn snapshot_if_due(&mut self, out: &mut Vec<Effect>) {
        let every = self.config.snapshot_every_bytes;
        let written = self.log.bytes() - self.snapshots.begun_at_bytes;
        let is_due = every > 0 && written >= every
            || self.links.iter().any(|link| link.state == LinkState::SnapshotDue);
        let is_busy = self.snapshots.is_writing || self.installing.is_some() || self.is_rewinding();
        if is_due && !is_busy {
            self.write_snapshot(out);
        }
    }

    pub(super) fn create_snapshot(&mut self, token: Token, out: &mut Vec<Effect>) {
        let refusal = if self.snapshots.is_writing || self.installing.is_some() || self.is_rewinding() {
            "Another snapshot creation is already in progress"
        } else if self.snapshots.last() == self.applied.lsn {
            "Nothing has been written since the last snapshot"
        } else {
            self.snapshots.asked_by = Some(token);
            return self.write_snapshot(out);
        };
        out.push(Effect::Answer { token, result: Err(AdminError::Refused(refusal.into())) });
    }

    fn write_snapshot(&mut self, out: &mut Vec<Effect>) {
        self.snapshots.is_writing = true;
        self.snapshots.begun_at_bytes = self.log.bytes();
        out.push(Effect::WriteSnapshot { header: self.snapshot_header(), view: self.graph.view() });
    }

    fn snapshot_header(&self) -> SnapshotHeader {
        let mut history = self.log.end().history.clone();
        history.cut_after(self.applied.lsn);
        let (position, chain) = (self.applied, self.applied_chain);
        SnapshotHeader { position, chain, ts: self.graph.published_ts(), history }
    }

    pub(super) fn on_snapshot_written(&mut self, result: Result<SnapshotId, String>, out: &mut Vec<Effect>) {
        self.snapshots.is_writing = false;
        let asked_by = self.snapshots.asked_by.take();
        let waiting: Vec<usize> =
            (0..self.links.len()).filter(|i| self.links[*i].state == LinkState::SnapshotDue).collect();
        let answer = match result {
            Ok(snapshot) => {
                self.snapshots.add(snapshot);
                for index in waiting {
                    self.bridge_by_snapshot(index, out);
                    if self.links[index].state == LinkState::SnapshotDue {
                        let why = format!("the snapshot at {} does not lead it to the log", snapshot.lsn());
                        self.lose_link(index, &why, out);
                    }
                }
                self.drop_superfluous(out);
                Ok(AdminAnswer::Snapshot { lsn: snapshot.lsn() })
            }
            // The log stays whole, so nothing is lost; the next one is tried when it is due.
            Err(error) => {
                for index in waiting {
                    self.lose_link(index, &format!("no snapshot could be written for it: {error}"), out);
                }
                Err(AdminError::Refused(format!("the snapshot could not be written: {error}")))
            }
        };
        if let Some(token) = asked_by {
            out.push(Effect::Answer { token, result: answer });
        }
    }

    /// Lets go of files beyond the number that is kept, and of the log before them.
    ///
    /// The log reaches back to the second newest file, since the newest may turn out to be damaged. A
    /// file's own record stays: a replica that ends there is proved equal by its chain hash.
    fn drop_superfluous(&mut self, out: &mut Vec<Effect>) {
        let kept = self.config.snapshots_kept.max(1);
        let files = &self.snapshots.files;
        let surplus = files.len().saturating_sub(kept);
        let (older, newer) = files.split_at(surplus);
        let in_use: Vec<SnapshotId> = self
            .links
            .iter()
            .filter(|link| self.is_kept_for(link))
            .filter_map(|link| link.unfinished)
            .collect();
        let (stays, goes): (Vec<SnapshotId>, Vec<SnapshotId>) =
            older.iter().partition(|file| in_use.contains(file));
        let covered = files.len().checked_sub(kept.min(2)).map(|i| files[i].lsn());
        self.snapshots.files = [&stays, newer].concat();
        out.extend(goes.iter().map(|file| Effect::DropSnapshot { lsn: file.lsn() }));
        if let Some(covered) = covered {
            self.drop_wal(covered, out);
        }
    }

    /// Lets go of the log before `covered`, but for what a replica needs of it.
    fn drop_wal(&mut self, covered: Lsn, out: &mut Vec<Effect>) {
        let needed = self.links.iter().filter(|link| self.is_kept_for(link)).map(|link| match link.state {
            LinkState::CatchUp { .. } => Lsn(link.next.0 - 1),
            _ => link.unfinished.map_or(link.durable, |file| file.lsn()),
        });
        let before = needed.fold(covered, Lsn::min);
        if before > self.wal_from {
            self.wal_from = before;
            out.push(Effect::DropWal { before });
        }
    }

    /// Whether log and files stay for a replica: it is being sent them, or went away not long ago.
    fn is_kept_for(&self, link: &Link) -> bool {
        match link.state {
            LinkState::CatchUp { .. } | LinkState::Snapshot { .. } => true,
            LinkState::Down { .. } | LinkState::Dialing | LinkState::Greeting => link
                .lost_at_bytes
                .is_some_and(|lost| self.log.bytes() - lost < self.config.keep_for_absent_bytes),
            LinkState::Fetching { .. } | LinkState::SnapshotDue | LinkState::Live => false,
        }
    }

    /// Brings a replica that the log no longer reaches to where it does: by the file that it has a part
    /// of, else by the newest one, else by one that is written now.
    pub(super) fn bridge_by_snapshot(&mut self, index: usize, out: &mut Vec<Effect>) {
        let link = &self.links[index];
        let protocol = self.protocol_of(link);
        if protocol < PROTOCOL_SCHEMA && self.graph.needs_protocol_3() {
            let why = too_old(protocol, self.applied.lsn);
            return self.lose_link(index, &why, out);
        }
        let leads_to_log = |file: &SnapshotId| file.lsn() >= link.next && file.lsn().next() >= self.wal_from;
        let begun = link.partial.filter(|partial| {
            protocol >= PROTOCOL_RESUMES
                && self.snapshots.files.contains(&partial.snapshot)
                && leads_to_log(&partial.snapshot)
        });
        let newest = self.snapshots.files.last().copied().filter(leads_to_log);
        let (snapshot, offset) = match (begun, newest) {
            (Some(partial), _) => (partial.snapshot, partial.bytes),
            (None, Some(newest)) => (newest, 0),
            (None, None) => {
                self.links[index].state = LinkState::SnapshotDue;
                self.links[index].since = self.now;
                return;
            }
        };
        let link = &mut self.links[index];
        let Some(peer) = link.peer else { return };
        link.state = LinkState::Snapshot { snapshot };
        link.is_unreadable = false;
        link.unfinished = Some(snapshot);
        link.since = self.now;
        link.next = snapshot.lsn().next();
        out.push(Effect::SendSnapshot { peer, snapshot, offset, protocol });
    }

    pub(super) fn on_snapshot_sent(
        &mut self,
        peer: PeerId,
        result: Result<(), String>,
        out: &mut Vec<Effect>,
    ) {
        let index = self.links.iter().position(|link| link.peer == Some(peer));
        let (Some(index), Err(error)) = (index, result) else { return };
        if let LinkState::Snapshot { snapshot } = self.links[index].state {
            // A file that cannot be read is of no use to anyone; the next greeting finds another one.
            self.snapshots.files.retain(|file| *file != snapshot);
            self.links[index].unfinished = None;
        }
        self.lose_link(index, &format!("the snapshot was not sent: {error}"), out);
    }

    pub(super) fn on_snapshot_received(
        &mut self,
        peer: PeerId,
        snapshot: SnapshotId,
        header: SnapshotHeader,
        graph: Arc<Graph>,
        out: &mut Vec<Effect>,
    ) {
        let is_expected = self.following.as_ref().is_some_and(|f| f.peer == peer && !f.owes_welcome);
        if !is_expected || self.role == Role::Main || self.installing.is_some() {
            return;
        }
        let lsn = header.position.lsn;
        // It may only add to what this node has: a snapshot of another branch would cut records.
        let common = self.log.end().history.common_end(self.log.last(), &header.history, lsn);
        if lsn <= self.log.last() || common != self.log.last() || !self.log.is_settled() {
            let why =
                format!("the snapshot at {} does not continue {}", header.position, self.log.position());
            return self.leave_main(&why, Some(RefusalReason::Mismatch), out);
        }
        if graph.published() != lsn {
            let why = format!("the snapshot at {lsn} was loaded up to {}", graph.published());
            return self.leave_main(&why, Some(RefusalReason::Mismatch), out);
        }
        out.push(Effect::InstallSnapshot { header: header.clone() });
        self.installing = Some(Installing { peer, snapshot, header, graph });
    }

    /// Goes over to the received graph in one step: readers see the old state or the new one.
    pub(super) fn on_snapshot_installed(&mut self, lsn: Lsn) {
        let Some(Installing { peer, snapshot, header, graph }) = self.installing.take() else { return };
        assert_eq!(header.position.lsn, lsn, "one snapshot is installed at a time");
        self.graph = graph;
        self.pending.clear();
        self.in_flight.remove_up_to(lsn);
        self.applied = header.position;
        self.applied_chain = header.chain;
        self.may_show = self.may_show.max(lsn);
        self.wal_from = lsn.next();
        self.snapshots.files = vec![snapshot];
        self.snapshots.begun_at_bytes = self.log.bytes();
        self.partial = None;
        self.log_damage = None;
        let end = LogEnd { last: header.position, chain: header.chain, history: header.history };
        self.log.replace(end, header.ts);
        if let Some(following) = self.following.as_mut().filter(|f| f.peer == peer) {
            following.owes_ack = true;
        }
    }

    /// Lets go of a part of a snapshot that this log has overtaken.
    pub(super) fn forget_useless_partial(&mut self, out: &mut Vec<Effect>) {
        if self.partial.is_some_and(|partial| partial.snapshot.lsn() <= self.log.last()) {
            self.partial = None;
            out.push(Effect::DropPartial);
        }
    }
}
