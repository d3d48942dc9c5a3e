//! From the files of a node to what its engine starts with.

use super::Recovered;
use crate::durability::{
    Files, Found, OnDamage, Rebuild, RecoveryError, SnapshotIndex, SnapshotSource, Unreadable, recover,
};
use crate::storage::{Graph, LoadError};
use crate::types::{CommitRecord, Lsn, Names, NodeState, Position, Workers};
use std::sync::Arc;

/// Builds a graph from blocks of a snapshot and records of a log.
pub struct GraphBuilder<'a> {
    names: Arc<Names>,
    graph: Arc<Graph>,
    workers: &'a dyn Workers,
}

impl<'a> GraphBuilder<'a> {
    /// Begins with an empty graph. What can be done at once is given to `workers`.
    pub fn new(names: Arc<Names>, workers: &'a dyn Workers) -> GraphBuilder<'a> {
        GraphBuilder { graph: Arc::new(Graph::new(names.clone())), names, workers }
    }

    /// Loads a snapshot; on success the graph is what it says. Nothing that was built before is left.
    pub fn load(&mut self, file: &dyn SnapshotSource) -> Result<SnapshotIndex, Unreadable> {
        self.begin();
        self.snapshot(file)
    }

    /// Returns the graph built so far.
    pub fn graph(&self) -> Arc<Graph> {
        self.graph.clone()
    }
}

impl Rebuild for GraphBuilder<'_> {
    fn begin(&mut self) {
        self.graph = Arc::new(Graph::new(self.names.clone()));
    }

    fn snapshot(&mut self, file: &dyn SnapshotSource) -> Result<SnapshotIndex, Unreadable> {
        let index = SnapshotIndex::read(file)?;
        index.check_digest(file)?;
        let read = |block: usize| index.block(file, block);
        self.graph.load(index.blocks(), &read, self.workers).map_err(|e| match e {
            LoadError::Read(e) => e,
            LoadError::DoesNotFit(what) => Unreadable::DoesNotFit(what),
        })?;
        self.graph.publish(index.header.position.lsn, index.header.ts);
        Ok(index)
    }

    fn record(&mut self, record: CommitRecord) -> Result<(), String> {
        let changes = self.graph.decode(&record.payload).map_err(|e| e.to_string())?;
        self.graph.apply(record.lsn, &changes).map_err(|e| e.to_string())?;
        self.graph.publish(record.lsn, record.ts);
        Ok(())
    }
}

/// Rebuilds a node from its files; one that has none begins as `fresh`.
///
/// What is kept of a snapshot from a peer is the caller's to fill in. The second part says what the caller must repair on the disk before the first append; `None`
/// for a fresh node, whose state is yet to be saved.
pub fn recover_node(
    files: &mut dyn Files,
    on_damage: OnDamage,
    names: Arc<Names>,
    workers: &dyn Workers,
    fresh: impl FnOnce() -> NodeState,
) -> Result<(Recovered, Option<Found>), RecoveryError> {
    let mut builder = GraphBuilder::new(names, workers);
    let Some(found) = recover(files, on_damage, &mut builder)? else {
        let recovered = Recovered {
            state: fresh(),
            graph: builder.graph(),
            last: Position::default(),
            chain: 0,
            ts: 0,
            history: Default::default(),
            wal_from: Lsn(1),
            noted: None,
            held: Vec::new(),
            snapshots: Vec::new(),
            partial: None,
        };
        return Ok((recovered, None));
    };
    let mut history = found.history.clone();
    history.cut_after(found.applied.position.lsn);
    let recovered = Recovered {
        state: found.state.clone(),
        graph: builder.graph(),
        last: found.applied.position,
        chain: found.applied.chain,
        ts: found.applied.ts,
        history,
        wal_from: found.wal_from,
        noted: found.decided.map(|note| note.lsn),
        held: found.held.clone(),
        snapshots: found.snapshots.clone(),
        partial: None,
    };
    Ok((recovered, Some(found)))
}
