//! From the files of a node to what its engine starts with.

use super::Recovered;
use crate::durability::{
    Files, Found, OnDamage, Rebuild, RecoveryError, SnapshotHeader, SnapshotIndex, SnapshotSource,
    Unreadable, read_snapshot, recover,
};
use crate::storage::Graph;
use crate::types::{CommitRecord, Lsn, Names, NodeState, Position};
use bytes::Bytes;
use std::sync::Arc;

/// Builds a graph from blocks of a snapshot and records of a log.
pub struct GraphBuilder {
    names: Arc<Names>,
    graph: Arc<Graph>,
}

impl GraphBuilder {
    /// Begins with an empty graph.
    pub fn new(names: Arc<Names>) -> GraphBuilder {
        GraphBuilder { graph: Arc::new(Graph::new(names.clone())), names }
    }

    /// Loads a snapshot; on success the graph is what it says. Nothing that was built before is left.
    pub fn load(&mut self, source: &dyn SnapshotSource) -> Result<SnapshotIndex, Unreadable> {
        self.begin();
        let index = read_snapshot(source, |payload| self.block(payload))?;
        self.snapshot_ends(&index.header).map_err(Unreadable::DoesNotFit)?;
        Ok(index)
    }

    /// Returns the graph built so far.
    pub fn graph(&self) -> Arc<Graph> {
        self.graph.clone()
    }
}

impl Rebuild for GraphBuilder {
    fn begin(&mut self) {
        self.graph = Arc::new(Graph::new(self.names.clone()));
    }

    fn block(&mut self, payload: Bytes) -> Result<(), String> {
        let changes = self.graph.decode(&payload).map_err(|e| e.to_string())?;
        self.graph.load_block(changes).map_err(|e| e.to_string())
    }

    fn snapshot_ends(&mut self, header: &SnapshotHeader) -> Result<(), String> {
        self.graph.publish(header.position.lsn, header.ts);
        Ok(())
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
    fresh: impl FnOnce() -> NodeState,
) -> Result<(Recovered, Option<Found>), RecoveryError> {
    let mut builder = GraphBuilder::new(names);
    let Some(found) = recover(files, on_damage, &mut builder)? else {
        let recovered = Recovered {
            state: fresh(),
            graph: builder.graph(),
            last: Position::default(),
            chain: 0,
            ts: 0,
            history: Default::default(),
            wal_from: Lsn(1),
            is_noting: false,
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
        is_noting: found.decided.is_some(),
        held: found.held.clone(),
        snapshots: found.snapshots.clone(),
        partial: None,
    };
    Ok((recovered, Some(found)))
}
