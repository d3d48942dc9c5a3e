//! The graph in memory: signatures published first, so that other rooms compile against them.
#![allow(unused_variables)]

use crate::types::*;
use bytes::Bytes;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The graph, shared by everyone.
pub struct Graph {
    names: Arc<Names>,
    clock: Clock,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Graph")
    }
}

/// Memgraph's counter: the next value to give out.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    /// Takes a value: the start of a transaction on MAIN, a commit, start-up.
    pub fn take(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
    /// Makes the next value greater than `ts`.
    pub fn adopt(&self, ts: u64) {
        self.0.fetch_max(ts + 1, Ordering::Relaxed);
    }
}

/// An error of bytes that are not an encoded list of changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// An impossible change: memory and log no longer agree, the node must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ApplyError(pub String);

/// Why a commit gets no LSN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("another transaction changed the same object first")]
    Object,
    #[error("the schema changed")]
    SchemaChanged,
    #[error("{0}")]
    Constraint(String),
}

/// Why a write of a transaction is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It does not exist, or this transaction deleted it.
    #[error("vertex {0} does not exist")]
    NoSuchVertex(VertexId),
    /// It does not exist, or this transaction deleted it.
    #[error("edge {0} does not exist")]
    NoSuchEdge(EdgeId),
    /// A retry of the whole transaction can help.
    #[error("another transaction changed the same object first")]
    Conflict,
    /// Its edges must be deleted first.
    #[error("vertex {0} still has edges")]
    HasEdges(VertexId),
    /// Not something a property can hold, in words.
    #[error("{0}")]
    BadValue(&'static str),
    /// Text as in `Unable to commit due to unique constraint violation on :L(p)`.
    #[error("{0}")]
    Constraint(String),
    /// 2^40 ids are used up.
    #[error("no ids are left")]
    NoIds,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcStats {
    /// Deltas dropped.
    pub deltas: u64,
    /// Stale index and label entries dropped.
    pub entries: u64,
    /// Whether another slice would find more.
    pub more: bool,
}

/// Objects and unique keys of commits that have an LSN but are not yet applied.
#[derive(Debug, Default)]
pub struct InFlight {}

impl InFlight {
    /// Notes a commit that was given `lsn`, and ends its hold on old versions.
    pub fn add(&mut self, lsn: Lsn, commit: &mut Commit) {}
    /// Forgets everything up to `lsn`: it is applied.
    pub fn remove_up_to(&mut self, lsn: Lsn) {}
    /// Forgets everything after `lsn`: it will never be applied.
    pub fn remove_after(&mut self, lsn: Lsn) {}
}

/// What a transaction wants to commit.
#[derive(Debug)]
pub struct Commit {
    /// What the transaction saw.
    pub read: Lsn,
    /// What it did, in an order that can be applied.
    pub changes: Vec<Change>,
    /// The same, encoded.
    pub payload: Bytes,
}

/// Exact counts of a reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub vertices: u64,
    pub edges: u64,
}

/// Bytes held, by own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub vertices: u64,
    pub edges: u64,
    pub adjacency: u64,
    pub properties: u64,
    pub labels: u64,
    pub indexes: u64,
    pub deltas: u64,
}

impl Graph {
    /// Makes an empty graph. Start-up takes the clock's first value.
    pub fn new(names: Arc<Names>) -> Graph {
        let graph = Graph { names, clock: Clock::default() };
        graph.clock.take();
        graph
    }
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
    /// Returns the last record that readers see.
    pub fn published(&self) -> Lsn {
        unbuilt()
    }
    /// Returns the `ts` of that record.
    pub fn published_ts(&self) -> u64 {
        unbuilt()
    }
    /// Begins a transaction; `count_clock` where this node is MAIN.
    pub fn begin(self: &Arc<Self>, count_clock: bool) -> Transaction {
        unbuilt()
    }
    /// Pins the graph as published now, for a snapshot or a digest.
    pub fn view(self: &Arc<Self>) -> View {
        unbuilt()
    }
    pub fn encode(&self, changes: &[Change]) -> Vec<u8> {
        unbuilt()
    }
    pub fn decode(&self, bytes: &[u8]) -> Result<Vec<Change>, DecodeError> {
        unbuilt()
    }
    /// Applies a record that may be seen. An error is fatal.
    pub fn apply(&self, lsn: Lsn, changes: &[Change]) -> Result<(), ApplyError> {
        unbuilt()
    }
    /// Shows everything applied up to `lsn` to readers that begin from now on.
    pub fn publish(&self, lsn: Lsn, ts: u64) {
        unbuilt()
    }
    /// Adds a block of a snapshot to a graph that no one reads yet; `publish` ends the load.
    pub fn load_block(&self, block: Vec<Change>) -> Result<(), ApplyError> {
        unbuilt()
    }
    /// Says whether the commit may be given the next LSN.
    pub fn conflicts(&self, commit: &Commit, in_flight: &InFlight) -> Result<(), Conflict> {
        unbuilt()
    }
    /// Drops one bounded slice of what no reader needs.
    pub fn collect_garbage(&self) -> GcStats {
        unbuilt()
    }
    /// Hashes everything in the view, by names, the same on every node.
    pub fn digest(&self, view: &View) -> u64 {
        unbuilt()
    }
    /// Returns the exact counts of what is published.
    pub fn counts(&self) -> Counts {
        unbuilt()
    }
    pub fn memory(&self) -> Memory {
        unbuilt()
    }
}

fn unbuilt<T>() -> T {
    panic!("storage is being built")
}

/// A pinned read view.
#[derive(Debug)]
pub struct View {}

impl View {
    /// Returns the record that it ends with.
    pub fn lsn(&self) -> Lsn {
        unbuilt()
    }
    pub fn counts(&self) -> Counts {
        unbuilt()
    }
    /// Returns the next block: schema, vertices by id, edges by id.
    pub fn next_block(&mut self) -> Option<Vec<Change>> {
        unbuilt()
    }
    /// Begins again with the first block.
    pub fn rewind(&mut self) {
        unbuilt()
    }
}

/// Which way edges are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Outgoing,
    Incoming,
    Both,
}

/// An edge without its properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EdgeInfo {
    pub from: VertexId,
    pub to: VertexId,
    pub edge_type: EdgeTypeId,
}

/// One step away from a vertex.
pub type Expansion = (EdgeId, EdgeTypeId, VertexId, bool);

/// Which entries of an index are wanted: equal values of its first properties, then a range of the next.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexBounds {
    /// Values of the first properties. One that equals nothing (Null, NaN) finds nothing.
    pub equal: Vec<Value>,
    /// Range of the property after those. Bounded on one side, it ends with the bound's kind of value
    /// (numbers, strings, ...), and NaN is outside, as Cypher's `<` demands.
    pub range: (Bound<Value>, Bound<Value>),
}

impl IndexBounds {
    /// Everything in the index.
    pub fn all() -> IndexBounds {
        IndexBounds { equal: Vec::new(), range: (Bound::Unbounded, Bound::Unbounded) }
    }
    /// Entries whose first properties equal these values.
    pub fn equal(values: impl Into<Vec<Value>>) -> IndexBounds {
        IndexBounds { equal: values.into(), range: (Bound::Unbounded, Bound::Unbounded) }
    }
    /// Entries whose first property is in the range.
    pub fn range(from: Bound<Value>, to: Bound<Value>) -> IndexBounds {
        IndexBounds { equal: Vec::new(), range: (from, to) }
    }
}

/// Where a seek stands; the default is before the first entry.
#[derive(Clone, Debug, Default)]
pub struct IndexCursor {}

/// One client's work: reads at one LSN, and its own writes, seen by no one else.
#[derive(Debug)]
pub struct Transaction {}

/// Reads. An id that does not exist has no labels, no properties and no edges.
impl Transaction {
    pub fn graph(&self) -> &Arc<Graph> {
        unbuilt()
    }
    pub fn names(&self) -> &Arc<Names> {
        unbuilt()
    }
    /// Returns the last record that it sees.
    pub fn read_lsn(&self) -> Lsn {
        unbuilt()
    }
    pub fn vertex_exists(&self, id: VertexId) -> bool {
        unbuilt()
    }
    pub fn has_label(&self, id: VertexId, label: LabelId) -> bool {
        unbuilt()
    }
    /// Returns the labels in the order of their ids.
    pub fn labels(&self, id: VertexId) -> Vec<LabelId> {
        unbuilt()
    }
    pub fn vertex_property(&self, id: VertexId, key: PropertyKeyId) -> Value {
        unbuilt()
    }
    /// Returns the properties in the order of their key ids.
    pub fn vertex_properties(&self, id: VertexId) -> Vec<(PropertyKeyId, Value)> {
        unbuilt()
    }
    pub fn edge(&self, id: EdgeId) -> Option<EdgeInfo> {
        unbuilt()
    }
    pub fn edge_property(&self, id: EdgeId, key: PropertyKeyId) -> Value {
        unbuilt()
    }
    pub fn edge_properties(&self, id: EdgeId) -> Vec<(PropertyKeyId, Value)> {
        unbuilt()
    }
    /// Appends the edges at a vertex by edge id; a loop comes once, as forward, in `Both`.
    pub fn expand(
        &self,
        id: VertexId,
        direction: Direction,
        types: Option<&[EdgeTypeId]>,
        out: &mut Vec<Expansion>,
    ) {
        unbuilt()
    }
    /// Counts what `expand` gives.
    pub fn degree(&self, id: VertexId, direction: Direction, types: Option<&[EdgeTypeId]>) -> usize {
        unbuilt()
    }
    /// Appends up to `limit` vertices by id, from after `after`. Fewer than `limit` means the end.
    pub fn scan_vertices(&self, after: Option<VertexId>, limit: usize, out: &mut Vec<VertexId>) {
        unbuilt()
    }
    /// As `scan_vertices`, of one label.
    pub fn scan_label(&self, label: LabelId, after: Option<VertexId>, limit: usize, out: &mut Vec<VertexId>) {
        unbuilt()
    }
    /// As `scan_vertices`, edges.
    pub fn scan_edges(&self, after: Option<EdgeId>, limit: usize, out: &mut Vec<EdgeId>) {
        unbuilt()
    }
    /// Appends up to `limit` vertices by (value, id) from `cursor` on, and moves it. Fewer than
    /// `limit` means the end. The index must be one of `indexes`.
    pub fn index_seek(
        &self,
        index: &IndexSpec,
        bounds: &IndexBounds,
        cursor: &mut IndexCursor,
        limit: usize,
        out: &mut Vec<VertexId>,
    ) {
        unbuilt()
    }
    pub fn counts(&self) -> Counts {
        unbuilt()
    }
    /// Estimates how many vertices have the label.
    pub fn label_count(&self, label: LabelId) -> u64 {
        unbuilt()
    }
    /// Estimates how many vertices are in the index.
    pub fn index_count(&self, index: &IndexSpec) -> u64 {
        unbuilt()
    }
    /// Whether the index may be used by this transaction.
    pub fn has_index(&self, index: &IndexSpec) -> bool {
        unbuilt()
    }
    /// Returns the indexes, sorted by name.
    pub fn indexes(&self) -> Vec<IndexSpec> {
        unbuilt()
    }
    /// Returns the constraints, sorted by name.
    pub fn constraints(&self) -> Vec<ConstraintSpec> {
        unbuilt()
    }
}

/// Writes.
impl Transaction {
    /// Null properties are left out; of equal labels or keys the last counts.
    pub fn create_vertex(
        &mut self,
        labels: &[LabelId],
        properties: Vec<(PropertyKeyId, Value)>,
    ) -> Result<VertexId, WriteError> {
        unbuilt()
    }
    pub fn create_edge(
        &mut self,
        from: VertexId,
        to: VertexId,
        edge_type: EdgeTypeId,
        properties: Vec<(PropertyKeyId, Value)>,
    ) -> Result<EdgeId, WriteError> {
        unbuilt()
    }
    /// Sets a property, or removes it where the value is Null. Returns what was there.
    pub fn set_vertex_property(
        &mut self,
        id: VertexId,
        key: PropertyKeyId,
        value: Value,
    ) -> Result<Value, WriteError> {
        unbuilt()
    }
    /// Sets a property, or removes it where the value is Null. Returns what was there.
    pub fn set_edge_property(
        &mut self,
        id: EdgeId,
        key: PropertyKeyId,
        value: Value,
    ) -> Result<Value, WriteError> {
        unbuilt()
    }
    /// Returns whether it is new.
    pub fn add_label(&mut self, id: VertexId, label: LabelId) -> Result<bool, WriteError> {
        unbuilt()
    }
    /// Returns whether it was there.
    pub fn remove_label(&mut self, id: VertexId, label: LabelId) -> Result<bool, WriteError> {
        unbuilt()
    }
    pub fn delete_vertex(&mut self, id: VertexId) -> Result<(), WriteError> {
        unbuilt()
    }
    pub fn delete_edge(&mut self, id: EdgeId) -> Result<(), WriteError> {
        unbuilt()
    }
    /// Returns whether it is new.
    pub fn create_index(&mut self, index: IndexSpec) -> Result<bool, WriteError> {
        unbuilt()
    }
    /// Returns whether it was there.
    pub fn drop_index(&mut self, index: &IndexSpec) -> Result<bool, WriteError> {
        unbuilt()
    }
    /// Returns whether it is new; what is there must fit.
    pub fn create_constraint(&mut self, constraint: ConstraintSpec) -> Result<bool, WriteError> {
        unbuilt()
    }
    /// Returns whether it was there.
    pub fn drop_constraint(&mut self, constraint: &ConstraintSpec) -> Result<bool, WriteError> {
        unbuilt()
    }
    /// Whether nothing was written.
    pub fn is_read_only(&self) -> bool {
        unbuilt()
    }
    /// Ends the transaction: nothing to commit where nothing was written.
    pub fn finish(self) -> Result<Option<Commit>, WriteError> {
        unbuilt()
    }
}
