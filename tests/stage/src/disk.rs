//! What outlives a process, and the work that waits for it.

use bytes::Bytes;
use mgnode_core::durability::SnapshotEncoder;
use mgnode_core::engine::{GraphBuilder, PeerId, Recovered, SnapshotHeader};
use mgnode_core::storage::{Graph, View};
use mgnode_core::types::{CommitRecord, History, Lsn, Names, NodeState, OneByOne, Position, SnapshotId};
use std::sync::Arc;

/// A snapshot file.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    pub(crate) id: SnapshotId,
    pub(crate) header: SnapshotHeader,
    pub(crate) bytes: Bytes,
}

/// Disk work that was asked for.
#[derive(Debug)]
pub(crate) enum Job {
    Sync(Lsn),
    Save(u64, NodeState),
    Listen,
    Read { peer: PeerId, from: Lsn, bytes_max: usize },
    Snapshot(SnapshotFile),
    Install(SnapshotFile),
    Rewind(Position),
    Drop(Lsn),
    DropSnapshot(Lsn),
}

/// The files of a node.
#[derive(Debug)]
pub struct Disk {
    /// The state file.
    pub state: NodeState,
    /// The newest last.
    pub(crate) snapshots: Vec<SnapshotFile>,
    /// Records, each with the chain hash after it.
    pub(crate) log: Vec<(CommitRecord, u64)>,
    /// How many of them are synced.
    synced: usize,
    /// How far the log may be shown, as noted, and as no power cut takes it.
    decided: Option<Lsn>,
    decided_synced: Option<Lsn>,
    /// A record that cannot be read back.
    damaged: Option<Lsn>,
    /// What rewinds cut off.
    pub aside: Vec<CommitRecord>,
}

impl Disk {
    pub(crate) fn new(state: NodeState) -> Disk {
        Disk {
            state,
            snapshots: Vec::new(),
            log: Vec::new(),
            synced: 0,
            decided: None,
            decided_synced: None,
            damaged: None,
            aside: Vec::new(),
        }
    }

    /// Returns the records that the log holds, synced or not.
    pub fn log(&self) -> impl Iterator<Item = &CommitRecord> {
        self.log.iter().map(|(record, _)| record)
    }

    /// Returns the records that no power cut takes.
    pub fn synced(&self) -> impl Iterator<Item = &CommitRecord> {
        self.log[..self.synced].iter().map(|(record, _)| record)
    }

    pub(crate) fn write(&mut self, record: CommitRecord, chain: u64) {
        self.log.push((record, chain));
    }

    pub(crate) fn sync(&mut self, lsn: Lsn) {
        let synced = self.log.partition_point(|(record, _)| record.lsn <= lsn);
        self.synced = self.synced.max(synced);
    }

    pub(crate) fn sync_all(&mut self) {
        self.synced = self.log.len();
    }

    pub(crate) fn forget(&mut self) {
        self.log.truncate(self.synced);
        self.decided = self.decided_synced;
    }

    pub(crate) fn note_decided(&mut self, lsn: Lsn, is_first: bool) {
        self.decided = Some(lsn);
        if is_first {
            self.decided_synced = self.decided;
        }
    }

    /// What recovery shows, a snapshot's record maybe, is noted before anyone sees it.
    pub(crate) fn note_recovered(&mut self, last: Lsn) {
        self.decided = self.decided.map(|lsn| lsn.max(last));
    }

    /// Cuts off what follows a record and keeps it aside.
    pub(crate) fn rewind(&mut self, to: Lsn) {
        let kept = self.log.partition_point(|(record, _)| record.lsn <= to);
        self.aside.extend(self.log.drain(kept..).map(|(record, _)| record));
        self.synced = self.synced.min(kept);
        self.decided = self.decided.map(|lsn| lsn.min(to));
        self.decided_synced = self.decided;
    }

    pub(crate) fn drop_before(&mut self, before: Lsn) {
        let gone = self.log.partition_point(|(record, _)| record.lsn < before).min(self.synced);
        self.log.drain(..gone);
        self.synced -= gone;
    }

    pub(crate) fn install(&mut self, file: SnapshotFile) {
        self.snapshots = vec![file];
        self.log.clear();
        self.synced = 0;
    }

    /// Damages a record: reads end before it, and fail there.
    pub(crate) fn damage(&mut self, lsn: Lsn) {
        self.damaged = Some(lsn);
    }

    /// Reads records from `from` on, at least one where there is one.
    pub(crate) fn read(&self, from: Lsn, bytes_max: usize) -> Result<Vec<(CommitRecord, u64)>, String> {
        let first = self.log.first().map_or(Lsn::ZERO, |(record, _)| record.lsn);
        let Some(start) = from.0.checked_sub(first.0) else { return Ok(Vec::new()) };
        let (mut records, mut bytes) = (Vec::new(), 0);
        for (record, chain) in self.log.iter().skip(start as usize) {
            if self.damaged == Some(record.lsn) {
                if records.is_empty() {
                    return Err(format!("record {} is damaged", record.lsn));
                }
                break;
            }
            if !records.is_empty() && bytes + record.payload.len() > bytes_max {
                break;
            }
            bytes += record.payload.len();
            records.push((record.clone(), *chain));
        }
        Ok(records)
    }

    /// Rebuilds the graph, as a node does at its start.
    pub(crate) fn recover(&self, names: Arc<Names>) -> Recovered {
        let (mut graph, mut last, mut chain, mut ts) =
            (Arc::new(Graph::new(names.clone())), Position::default(), 0, 0);
        let mut history = History::default();
        if let Some(file) = self.snapshots.last() {
            graph = load(&names, file);
            (last, chain, ts) = (file.header.position, file.header.chain, file.header.ts);
            history = file.header.history.clone();
        }
        let (base, mut held) = (last.lsn, Vec::new());
        for (record, after) in self.log.iter().filter(|(record, _)| record.lsn > base) {
            if self.decided.is_some_and(|lsn| record.lsn > lsn) {
                held.push(record.clone());
                continue;
            }
            let changes = graph.decode(&record.payload).expect("the log holds what an engine wrote");
            graph.apply(record.lsn, &changes).expect("the log holds what an engine applied");
            graph.publish(record.lsn, record.ts);
            graph.clock().adopt(record.ts);
            history.note(record.epoch, record.lsn);
            (last, chain, ts) = (record.position(), *after, record.ts);
        }
        let wal_from = self.log.first().map_or(last.lsn.next(), |(record, _)| record.lsn);
        Recovered {
            state: self.state.clone(),
            graph,
            last,
            chain,
            ts,
            history,
            wal_from,
            noted: self.decided,
            held,
            snapshots: self.snapshots.iter().map(|s| s.id).collect(),
            partial: None,
        }
    }
}

pub(crate) fn snapshot_of(graph: &Graph, header: SnapshotHeader, mut view: View) -> SnapshotFile {
    let mut out = Vec::new();
    let mut encoder = SnapshotEncoder::new(&header, &mut out);
    while let Some(block) = view.next_block() {
        encoder.block(&graph.encode(&block), &mut out);
    }
    let (bytes, digest) = encoder.finish(&mut out);
    SnapshotFile { id: header.id(bytes, digest), header, bytes: out.into() }
}

pub(crate) fn load(names: &Arc<Names>, file: &SnapshotFile) -> Arc<Graph> {
    let mut builder = GraphBuilder::new(names.clone(), &OneByOne);
    builder.load(&file.bytes).expect("a snapshot holds what a graph wrote");
    builder.graph()
}
