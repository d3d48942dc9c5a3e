//! A transaction's own writes, seen by no one else.
//!
//! Holds for each object what differs from the graph as the transaction reads it; reads look here
//! first. Changes for the log are derived from it at the end, so a property set ten times, or a
//! vertex created and deleted again, is one change or none.

mod created;

pub(super) use created::{CreatedEdge, CreatedEdges};

use super::delta::Touch;
use super::index::{Entry, IndexOf};
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
    /// Not those that only got edges.
    pub(super) vertices: FxHashMap<VertexId, VertexWrite>,
    /// Those in the graph.
    pub(super) edges: FxHashMap<EdgeId, EdgeWrite>,
    /// Rising, the deleted ones too.
    pub(super) created_vertices: Vec<VertexId>,
    pub(super) created_edges: CreatedEdges,
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
    /// Edges in the graph that were deleted, where there are any: those that leave it, those that come in.
    pub(super) removed: Option<Box<[FxHashSet<EdgeId>; 2]>>,
}

impl VertexWrite {
    /// Whether labels or properties are not those of the graph.
    pub(super) fn changes_content(&self) -> bool {
        self.is_deleted || self.labels.is_some() || self.properties.is_some()
    }

    /// Notes that an edge of the graph is deleted.
    pub(super) fn remove_edge(&mut self, side: Side, edge: EdgeId) {
        self.removed.get_or_insert_default()[side as usize].insert(edge);
    }

    /// Whether an edge of the graph is still at the vertex.
    pub(super) fn keeps_edge(&self, side: Side, edge: EdgeId) -> bool {
        self.removed.as_ref().is_none_or(|removed| !removed[side as usize].contains(&edge))
    }
}

/// What was done to an edge of the graph.
#[derive(Default)]
pub(super) struct EdgeWrite {
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
