//! What a transaction has done so far, as its triggers are told it.
//!
//! Looked at is the whole transaction: an object that it created and deleted is neither, what was set on an object that
//! it created is part of the creation, and of several values of one property the first and the last count.

use super::overlay::{EdgeWrite, Overlay, Properties, VertexWrite, find};
use super::transaction::{EdgeInfo, Transaction};
use crate::types::{EdgeId, LabelId, PropertyKeyId, TriggerEvent, TriggerObject, Value, VertexId};

/// What a transaction has done. All lists rise by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub created_vertices: Vec<VertexId>,
    pub created_edges: Vec<EdgeId>,
    pub deleted_vertices: Vec<DeletedVertex>,
    pub deleted_edges: Vec<DeletedEdge>,
    pub vertex_properties: Vec<PropertyChange<VertexId>>,
    pub edge_properties: Vec<PropertyChange<EdgeId>>,
    pub set_labels: Vec<LabelChange>,
    pub removed_labels: Vec<LabelChange>,
}

/// A vertex with what it had last.
#[derive(Clone, Debug, PartialEq)]
pub struct DeletedVertex {
    pub id: VertexId,
    pub labels: Vec<LabelId>,
    /// Rising by key.
    pub properties: Vec<(PropertyKeyId, Value)>,
}

/// An edge with what it had last.
#[derive(Clone, Debug, PartialEq)]
pub struct DeletedEdge {
    pub id: EdgeId,
    pub info: EdgeInfo,
    /// Rising by key.
    pub properties: Vec<(PropertyKeyId, Value)>,
}

/// A property of something that was there before and still is. The two values differ.
#[derive(Clone, Debug, PartialEq)]
pub struct PropertyChange<I> {
    pub of: I,
    pub key: PropertyKeyId,
    /// Null where there was none.
    pub old: Value,
    /// Null where it was removed.
    pub new: Value,
}

/// A label that a vertex, which was there before and still is, got or lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelChange {
    pub vertex: VertexId,
    pub label: LabelId,
}

impl Summary {
    /// Whether something of that kind has happened.
    pub fn has(&self, event: TriggerEvent) -> bool {
        use TriggerEvent::{Create, Delete, Update};
        use TriggerObject::{Edge, Vertex};
        let labels = self.set_labels.len() + self.removed_labels.len();
        let happened = [
            (Create(Some(Vertex)), self.created_vertices.len()),
            (Create(Some(Edge)), self.created_edges.len()),
            (Update(Some(Vertex)), self.vertex_properties.len() + labels),
            (Update(Some(Edge)), self.edge_properties.len()),
            (Delete(Some(Vertex)), self.deleted_vertices.len()),
            (Delete(Some(Edge)), self.deleted_edges.len()),
        ];
        happened.into_iter().any(|(kind, count)| count > 0 && event.covers(kind))
    }

    /// Returns about how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let of = |properties: &[(PropertyKeyId, Value)]| -> usize {
            properties.iter().map(|(_, value)| size_of::<PropertyKeyId>() + value_bytes(value)).sum()
        };
        let pair = |old: &Value, new: &Value| {
            size_of::<PropertyChange<EdgeId>>() + value_bytes(old) + value_bytes(new)
        };
        let created = (self.created_vertices.len() + self.created_edges.len()) * size_of::<EdgeId>();
        let labels = (self.set_labels.len() + self.removed_labels.len()) * size_of::<LabelChange>();
        let vertices = self.deleted_vertices.iter().map(|deleted| {
            size_of::<DeletedVertex>() + size_of_val(&deleted.labels[..]) + of(&deleted.properties)
        });
        let edges =
            self.deleted_edges.iter().map(|deleted| size_of::<DeletedEdge>() + of(&deleted.properties));
        let of_vertices = self.vertex_properties.iter().map(|change| pair(&change.old, &change.new));
        let of_edges = self.edge_properties.iter().map(|change| pair(&change.old, &change.new));
        created + labels + vertices.chain(edges).chain(of_vertices).chain(of_edges).sum::<usize>()
    }

    /// Finds a deleted vertex.
    pub fn deleted_vertex(&self, id: VertexId) -> Option<&DeletedVertex> {
        let place = self.deleted_vertices.binary_search_by_key(&id, |deleted| deleted.id).ok()?;
        Some(&self.deleted_vertices[place])
    }

    /// Finds a deleted edge.
    pub fn deleted_edge(&self, id: EdgeId) -> Option<&DeletedEdge> {
        let place = self.deleted_edges.binary_search_by_key(&id, |deleted| deleted.id).ok()?;
        Some(&self.deleted_edges[place])
    }
}

/// Returns about how many bytes a value takes that a property held; how deep it nests is bounded.
fn value_bytes(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(items) => items.iter().map(value_bytes).sum(),
            Value::Map(map) => map.iter().map(|(key, item)| key.len() + value_bytes(item)).sum(),
            _ => 0,
        }
}

impl DeletedVertex {
    /// Returns a property that it had, Null where it had none.
    pub fn property(&self, key: PropertyKeyId) -> Value {
        find(&self.properties, key)
    }
}

impl DeletedEdge {
    /// Returns a property that it had, Null where it had none.
    pub fn property(&self, key: PropertyKeyId) -> Value {
        find(&self.properties, key)
    }
}

/// Sums up what a transaction has written.
pub(super) fn summary(tx: &Transaction, own: &Overlay) -> Summary {
    let mut summary = Summary::default();
    for id in &own.created_vertices {
        if !own.vertices[id].is_deleted {
            summary.created_vertices.push(*id);
        }
    }
    summary.created_edges.extend(own.created_edges.alive().map(|edge| edge.id));
    let mut vertices: Vec<(&VertexId, &VertexWrite)> =
        own.vertices.iter().filter(|(_, write)| !write.is_created).collect();
    vertices.sort_unstable_by_key(|(id, _)| **id);
    for (id, write) in vertices {
        vertex(tx, *id, write, &mut summary);
    }
    let mut edges: Vec<(&EdgeId, &EdgeWrite)> = own.edges.iter().collect();
    edges.sort_unstable_by_key(|(id, _)| **id);
    for (id, write) in edges {
        edge(tx, *id, write, &mut summary);
    }
    summary
}

fn vertex(tx: &Transaction, id: VertexId, write: &VertexWrite, summary: &mut Summary) {
    if write.is_deleted {
        let labels = write.labels.clone().unwrap_or_else(|| tx.base_labels(id));
        let properties = write.properties.clone().unwrap_or_else(|| tx.base_vertex_properties(id));
        return summary.deleted_vertices.push(DeletedVertex { id, labels, properties });
    }
    if let Some(labels) = &write.labels {
        let before = tx.base_labels(id);
        let changes = |of: &[LabelId], without: &[LabelId]| -> Vec<LabelChange> {
            let others = of.iter().filter(|label| without.binary_search(label).is_err());
            others.map(|label| LabelChange { vertex: id, label: *label }).collect()
        };
        summary.set_labels.extend(changes(labels, &before));
        summary.removed_labels.extend(changes(&before, labels));
    }
    if let Some(properties) = &write.properties {
        let before = tx.base_vertex_properties(id);
        summary.vertex_properties.extend(changes(id, &write.written, &before, properties));
    }
}

fn edge(tx: &Transaction, id: EdgeId, write: &EdgeWrite, summary: &mut Summary) {
    let Some((info, before)) = tx.base_edge_content(id) else { return };
    if write.is_deleted {
        let properties = write.properties.clone().unwrap_or(before);
        return summary.deleted_edges.push(DeletedEdge { id, info, properties });
    }
    if let Some(properties) = &write.properties {
        summary.edge_properties.extend(changes(id, &write.written, &before, properties));
    }
}

/// Returns the written properties that are not what they were, by key.
fn changes<I: Copy>(
    of: I,
    written: &[PropertyKeyId],
    before: &Properties,
    after: &Properties,
) -> Vec<PropertyChange<I>> {
    let mut written = written.to_vec();
    written.sort_unstable();
    let change = |key| PropertyChange { of, key, old: find(before, key), new: find(after, key) };
    written.into_iter().map(change).filter(|change| change.old != change.new).collect()
}
