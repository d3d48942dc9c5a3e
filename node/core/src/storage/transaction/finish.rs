//! The end of a transaction: what it wrote becomes changes, and what it lays a hand on.

use super::{EdgeInfo, Transaction, WriteError};
use crate::storage::commit::{Claims, Commit};
use crate::storage::constraint::{fits_alone, violation};
use crate::storage::delta::Touch;
use crate::storage::gc::Object;
use crate::storage::index::Index;
use crate::storage::order::Key;
use crate::storage::overlay::{Properties, find};
use crate::storage::{codec, properties};
use crate::types::{Change, EdgeId, PropertyKeyId, Value, VertexId};
use rustc_hash::FxHashMap;
use std::sync::Arc;

impl Transaction {
    /// Ends the transaction. Returns nothing to commit where nothing is left of what was written.
    pub fn finish(mut self) -> Result<Option<Commit>, WriteError> {
        if self.own.is_none() {
            return Ok(None);
        }
        let changes = self.changes();
        if changes.is_empty() {
            return Ok(None);
        }
        let claims = self.claims()?;
        let payload = codec::encode(self.names(), &changes)?;
        let read = self.pin.lsn();
        self.own = None;
        Ok(Some(Commit { read, changes, payload: payload.into(), claims, pin: Some(self.pin) }))
    }

    /// Turns the overlay into changes, in an order that can be applied and is the same each time.
    fn changes(&mut self) -> Vec<Change> {
        let own = self.own.as_mut().expect("something was written");
        let mut created_edges = own
            .created_edges
            .alive_mut()
            .map(|edge| {
                let EdgeInfo { from, to, edge_type } = edge.info;
                let properties = std::mem::take(&mut edge.properties);
                Change::CreateEdge { id: edge.id, from, to, edge_type, properties }
            })
            .collect();
        let own = self.own.as_ref().expect("something was written");
        let mut changes = Vec::new();
        let mut written: Vec<VertexId> =
            own.vertices.iter().filter(|(_, write)| !write.is_created).map(|(id, _)| *id).collect();
        written.sort_unstable();
        let mut written_edges: Vec<EdgeId> = own.edges.keys().copied().collect();
        written_edges.sort_unstable();

        for id in &own.created_vertices {
            let write = &own.vertices[id];
            if !write.is_deleted {
                changes.push(Change::CreateVertex {
                    id: *id,
                    labels: write.labels.clone().unwrap_or_default(),
                    properties: write.properties.clone().unwrap_or_default(),
                });
            }
        }
        for id in &written {
            let write = &own.vertices[id];
            if write.is_deleted {
                continue;
            }
            if let Some(labels) = &write.labels {
                let before = self.base_labels(*id);
                let lost = before.iter().filter(|label| labels.binary_search(label).is_err());
                changes.extend(lost.map(|label| Change::RemoveLabel { id: *id, label: *label }));
                let new = labels.iter().filter(|label| before.binary_search(label).is_err());
                changes.extend(new.map(|label| Change::AddLabel { id: *id, label: *label }));
            }
            if let Some(properties) = &write.properties {
                let before = self.base_vertex(*id, |c| properties::all(c.properties)).unwrap_or_default();
                for (key, value) in writes(&write.written, &before, properties) {
                    changes.push(Change::SetVertexProperty { id: *id, key, value });
                }
            }
        }
        changes.append(&mut created_edges);
        for id in &written_edges {
            let write = &own.edges[id];
            if let (false, Some(properties)) = (write.is_deleted, &write.properties) {
                let before = self.base_edge(*id, |_, block| properties::all(block)).unwrap_or_default();
                for (key, value) in writes(&write.written, &before, properties) {
                    changes.push(Change::SetEdgeProperty { id: *id, key, value });
                }
            }
        }
        // From the last: taking entries off the end of a long adjacency list is cheap.
        let gone = written_edges.iter().rev().filter(|id| own.edges[*id].is_deleted);
        changes.extend(gone.map(|id| Change::DeleteEdge { id: *id }));
        let gone = written.iter().filter(|id| own.vertices[*id].is_deleted);
        changes.extend(gone.map(|id| Change::DeleteVertex { id: *id }));
        changes.extend(own.schema.iter().cloned());
        changes
    }

    /// Collects what the commit lays a hand on, and checks the constraints that need nobody else.
    fn claims(&mut self) -> Result<Claims, WriteError> {
        let schema = self.version.schema.clone();
        let own = self.own.as_ref().expect("something was written");
        let mut claims = Claims {
            constraints_changed: schema.constraints_changed,
            schema_changed: schema.changed,
            changes_schema: !own.schema.is_empty(),
            ..Claims::default()
        };
        claims.changes_constraints = own.schema.iter().any(|change| {
            matches!(
                change,
                Change::CreateConstraint(_)
                    | Change::DropConstraint(_)
                    | Change::SetEnum(_)
                    | Change::DropEnum { .. }
            )
        });
        let mut keys: FxHashMap<(*const Index, Key), VertexId> = FxHashMap::default();
        let mut ids: Vec<VertexId> = own.vertices.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let write = &own.vertices[&id];
            if write.is_created && write.is_deleted {
                continue;
            }
            if !write.is_created {
                claims.objects.push((Object::Vertex(id), write.touch));
            }
            let is_content = write.is_created || write.touch.conflicts_with(Touch::CONTENT);
            if !is_content {
                continue;
            }
            let labels = self.labels(id);
            let before = if write.is_created { Vec::new() } else { self.base_labels(id) };
            claims.labels.extend(labels.iter().chain(&before).copied());
            for (spec, index) in &schema.constraints {
                let is_bound = labels.binary_search(&spec.label).is_ok();
                let was_bound = before.binary_search(&spec.label).is_ok();
                let Some(index) = index else {
                    if is_bound && !fits_alone(spec, |key| self.vertex_property(id, key)) {
                        return Err(WriteError::Constraint(violation(self.names(), spec)));
                    }
                    continue;
                };
                if !is_bound && !was_bound {
                    continue;
                }
                let key = if is_bound { index.key(|key| self.vertex_property(id, key)) } else { None };
                if let Some(key) = &key
                    && keys.insert((Arc::as_ptr(index), key.clone()), id).is_some()
                {
                    return Err(WriteError::Constraint(violation(self.names(), spec)));
                }
                claims.unique.push((spec.clone(), index.clone(), id, key));
            }
        }
        let is_created = |id: &VertexId| own.vertices.get(id).is_some_and(|write| write.is_created);
        let ends = own.created_edges.alive().flat_map(|edge| [edge.info.from, edge.info.to]);
        let of_ends = ends.filter(|id| !is_created(id)).map(|id| (Object::Vertex(id), Touch::EDGES));
        claims.objects.extend(of_ends);
        claims.objects.extend(own.edges.iter().map(|(id, write)| (Object::Edge(*id), write.touch)));
        claims.objects.sort_unstable_by_key(|(object, _)| *object);
        claims.objects.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            if is_same {
                kept.1 = kept.1.and(next.1);
            }
            is_same
        });
        let own = self.own.as_mut().expect("something was written");
        claims.constraints = std::mem::take(&mut own.constraints);
        Ok(claims)
    }
}

/// Returns the written properties with their last values, by key; one that was not there and is not
/// there is left out.
fn writes<'a>(
    written: &[PropertyKeyId],
    before: &'a Properties,
    after: &'a Properties,
) -> impl Iterator<Item = (PropertyKeyId, Value)> + use<'a> {
    let mut written = written.to_vec();
    written.sort_unstable();
    written
        .into_iter()
        .map(|key| (key, find(after, key)))
        .filter(|(key, value)| !(value.is_null() && find(before, *key).is_null()))
}
