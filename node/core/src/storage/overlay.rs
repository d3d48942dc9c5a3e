//! A transaction's own writes, seen by no one else.
//!
//! Holds for each object what differs from the graph as the transaction reads it; reads look here
//! first. Changes for the log are derived from it at the end, so a property set ten times, or a
//! vertex created and deleted again, is one change or none.

use super::adjacency::{Adjacency, Adjacent};
use super::delta::Touch;
use super::index::{Entry, IndexOf};
use super::transaction::EdgeInfo;
use super::vertex::Side;
use crate::types::{Change, EdgeId, EdgeTypeId, LabelId, PropertyKeyId, Value, VertexId};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Properties, rising by key.
pub(super) type Properties = Vec<(PropertyKeyId, Value)>;

/// Everything that a transaction has written.
#[derive(Default)]
pub(super) struct Overlay {
    pub(super) vertices: FxHashMap<VertexId, VertexWrite>,
    pub(super) edges: FxHashMap<EdgeId, EdgeWrite>,
    /// Rising, the deleted ones too.
    pub(super) created_vertices: Vec<VertexId>,
    /// Rising, the deleted ones too.
    pub(super) created_edges: Vec<EdgeId>,
    /// Vertices that have had the label here; a reader looks at the vertex itself too.
    pub(super) labels: FxHashMap<LabelId, BTreeSet<VertexId>>,
    /// Entries that vertices have had here; a reader looks at the vertex itself too.
    pub(super) indexes: OwnEntries<LabelId, VertexId>,
    /// Edges created here whose type has an index, rising, the deleted ones too.
    pub(super) edge_types: FxHashMap<EdgeTypeId, Vec<EdgeId>>,
    /// Entries that edges have had here; a reader looks at the edge itself too.
    pub(super) edge_indexes: OwnEntries<EdgeTypeId, EdgeId>,
    /// In the order they were asked for.
    pub(super) schema: Vec<Change>,
    pub(super) constraints: Vec<super::constraint::NewConstraint>,
    /// How many more vertices and edges there are.
    pub(super) vertices_more: i64,
    pub(super) edges_more: i64,
}

/// What was done to a vertex.
#[derive(Default)]
pub(super) struct VertexWrite {
    pub(super) is_created: bool,
    pub(super) is_deleted: bool,
    /// What others might conflict with; nothing for one that was created here.
    pub(super) touch: Touch,
    /// All labels, rising, if any of them changed.
    pub(super) labels: Option<Vec<LabelId>>,
    /// All properties, if any of them changed.
    pub(super) properties: Option<Properties>,
    /// Keys of those that were written.
    pub(super) written: Vec<PropertyKeyId>,
    pub(super) out: Edges,
    pub(super) inc: Edges,
}

/// What was done to the edges at one side of a vertex.
#[derive(Default)]
pub(super) struct Edges {
    pub(super) added: Adjacency,
    /// Of those in the graph.
    pub(super) removed: FxHashSet<EdgeId>,
}

impl VertexWrite {
    /// Whether labels or properties are not those of the graph.
    pub(super) fn changes_content(&self) -> bool {
        self.is_deleted || self.labels.is_some() || self.properties.is_some()
    }

    pub(super) fn side(&self, side: Side) -> &Edges {
        match side {
            Side::Out => &self.out,
            Side::In => &self.inc,
        }
    }

    pub(super) fn add_edge(&mut self, side: Side, entry: Adjacent) {
        self.side_mut(side).added.insert(entry);
    }

    pub(super) fn remove_edge(&mut self, side: Side, edge: EdgeId) {
        let edges = self.side_mut(side);
        if edges.added.remove(edge).is_none() {
            edges.removed.insert(edge);
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Edges {
        match side {
            Side::Out => &mut self.out,
            Side::In => &mut self.inc,
        }
    }
}

/// What was done to an edge.
#[derive(Default)]
pub(super) struct EdgeWrite {
    /// If it was created here.
    pub(super) created: Option<EdgeInfo>,
    pub(super) is_deleted: bool,
    pub(super) touch: Touch,
    /// All properties, if any of them changed.
    pub(super) properties: Option<Properties>,
    /// Keys of those that were written.
    pub(super) written: Vec<PropertyKeyId>,
}

/// Own entries of one index.
type OfIndex<Of, Id> = (Arc<IndexOf<Of, Id>>, BTreeSet<Entry<Id>>);

/// Own entries, index by index.
pub(super) struct OwnEntries<Of, Id>(Vec<OfIndex<Of, Id>>);

impl<Of, Id> Default for OwnEntries<Of, Id> {
    fn default() -> Self {
        OwnEntries(Vec::new())
    }
}

impl<Of, Id: Ord> OwnEntries<Of, Id> {
    /// Returns those of an index.
    pub(super) fn of(&self, index: &Arc<IndexOf<Of, Id>>) -> Option<&BTreeSet<Entry<Id>>> {
        self.0.iter().find(|(i, _)| Arc::ptr_eq(i, index)).map(|(_, entries)| entries)
    }

    /// Notes one of an index.
    pub(super) fn add(&mut self, index: &Arc<IndexOf<Of, Id>>, entry: Entry<Id>) {
        match self.0.iter_mut().find(|(i, _)| Arc::ptr_eq(i, index)) {
            Some((_, entries)) => drop(entries.insert(entry)),
            None => self.0.push((index.clone(), BTreeSet::from([entry]))),
        }
    }
}

/// Sets a property in a list, or removes it where the value is Null; returns what was there.
pub(super) fn put(properties: &mut Properties, key: PropertyKeyId, value: Value) -> Value {
    match properties.binary_search_by_key(&key, |(key, _)| *key) {
        Ok(place) if value.is_null() => properties.remove(place).1,
        Ok(place) => std::mem::replace(&mut properties[place].1, value),
        Err(_) if value.is_null() => Value::Null,
        Err(place) => {
            properties.insert(place, (key, value));
            Value::Null
        }
    }
}

/// Returns a property of a list.
pub(super) fn find(properties: &Properties, key: PropertyKeyId) -> Value {
    match properties.binary_search_by_key(&key, |(key, _)| *key) {
        Ok(place) => properties[place].1.clone(),
        Err(_) => Value::Null,
    }
}
