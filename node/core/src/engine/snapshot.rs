//! Snapshots: when one is due, which log it makes superfluous, and how a received one is taken over.

use super::{AdminAnswer, AdminError, Effect, Engine, PeerId, SnapshotHeader, Token};
use crate::replication::{LinkState, LogEnd, RefusalReason};
use crate::storage::Graph;
use crate::types::{Lsn, Role};
use std::sync::Arc;

/// What is known of this node's own snapshots.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// One is being written.
    is_writing: bool,
    /// Whoever asked for it.
    asked_by: Option<Token>,
    /// [`Log::bytes`](crate::replication::Log::bytes) when the last one began.
    begun_at_bytes: u64,
    /// The last one of this process.
    last: Option<Lsn>,
}

/// A received snapshot on its way to become this node's own.
#[derive(Debug)]
pub(super) struct Installing {
    peer: PeerId,
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
        let is_busy = self.snapshots.is_writing || self.installing.is_some() || self.is_rewinding();
        if every > 0 && written >= every && !is_busy {
            self.write_snapshot(out);
        }
    }

    pub(super) fn create_snapshot(&mut self, token: Token, out: &mut Vec<Effect>) {
        let refusal = if self.snapshots.is_writing || self.installing.is_some() || self.is_rewinding() {
            "Another snapshot creation is already in progress"
        } else if self.snapshots.last.unwrap_or(Lsn::ZERO) == self.applied.lsn {
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

    pub(super) fn on_snapshot_written(
        &mut self,
        lsn: Lsn,
        result: Result<(), String>,
        out: &mut Vec<Effect>,
    ) {
        self.snapshots.is_writing = false;
        let asked_by = self.snapshots.asked_by.take();
        let answer = match result {
            Ok(()) => {
                self.snapshots.last = Some(lsn);
                self.drop_wal(lsn, out);
                Ok(AdminAnswer::Snapshot { lsn })
            }
            // The log stays whole, so nothing is lost; the next one is tried when it is due.
            Err(error) => Err(AdminError::Refused(format!("the snapshot could not be written: {error}"))),
        };
        if let Some(token) = asked_by {
            out.push(Effect::Answer { token, result: answer });
        }
    }

    /// Lets go of the log before a snapshot, but for what a replica is being sent from it.
    ///
    /// The snapshot's own record stays: a replica that ends there is proved equal by its chain hash.
    fn drop_wal(&mut self, snapshot: Lsn, out: &mut Vec<Effect>) {
        let needed = self.links.iter().filter_map(|link| match link.state {
            LinkState::CatchUp { .. } => Some(Lsn(link.next.0 - 1)),
            LinkState::Snapshot { lsn, .. } => Some(lsn),
            _ => None,
        });
        let before = needed.fold(snapshot, Lsn::min);
        if before > self.wal_from {
            self.wal_from = before;
            out.push(Effect::DropWal { before });
        }
    }

    pub(super) fn on_snapshot_received(
        &mut self,
        peer: PeerId,
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
        self.installing = Some(Installing { peer, header, graph });
    }

    /// Goes over to the received graph in one step: readers see the old state or the new one.
    pub(super) fn on_snapshot_installed(&mut self, lsn: Lsn) {
        let Some(Installing { peer, header, graph }) = self.installing.take() else { return };
        assert_eq!(header.position.lsn, lsn, "one snapshot is installed at a time");
        self.graph = graph;
        self.pending.clear();
        self.applied = header.position;
        self.applied_chain = header.chain;
        self.may_show = self.may_show.max(lsn);
        self.wal_from = lsn.next();
        self.snapshots.last = Some(lsn);
        self.snapshots.begun_at_bytes = self.log.bytes();
        let end = LogEnd { last: header.position, chain: header.chain, history: header.history };
        self.log.replace(end, header.ts);
        if let Some(following) = self.following.as_mut().filter(|f| f.peer == peer) {
            following.owes_ack = true;
        }
    }
}
