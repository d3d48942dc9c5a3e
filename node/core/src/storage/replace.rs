//! Replacing all that a graph holds by what another one holds, as one commit like any other.
//!
//! The commit deletes every edge and vertex, drops the indexes, constraints, enums and triggers that the other graph does
//! not have, and creates what is there. Vertices and edges get new ids here, in the order of their old ones: an id is never given
//! twice. The commit stands only if nothing else was committed since its graph was read, and while it has its LSN and
//! is not applied no other commit gets one; so it lists no objects of its own.

use super::commit::{Claims, Commit};
use super::constraint::{fits_alone, violation};
use super::mvcc::Version;
use super::schema::Schema;
use super::{Graph, ID_END, codec, properties};
use crate::types::{Change, ConstraintSpec, EdgeId, VertexId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why there is no such commit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceError {
    /// It was asked to stop.
    #[error("it was asked to stop")]
    Stopped,
    /// 2^40 ids are used up.
    #[error("no ids are left")]
    NoIds,
    /// The other graph breaks a rule of its own, or cannot be written.
    #[error("{0}")]
    Invalid(String),
}

/// How many objects are taken between two looks at the flag.
const STRIDE: usize = 4096;

impl Graph {
    /// Returns the commit that makes the newest published state hold what `other` does; none where both hold nothing.
    /// `other` has the names of this graph, is published and does not change.
    ///
    /// # Errors
    /// Nothing has changed then, but for ids that are never used.
    pub fn replacement(
        self: &Arc<Self>,
        other: &Arc<Graph>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Commit>, ReplaceError> {
        assert!(Arc::ptr_eq(&self.names, &other.names), "both graphs have the same names");
        let (pin, version) = self.readers.pin();
        let read = pin.lsn();
        let others = other.counts();
        let count = version.counts.vertices + version.counts.edges + others.vertices + others.edges;
        let room = usize::try_from(count).map_err(|_| ReplaceError::NoIds)?;
        let mut work = Work { changes: Vec::with_capacity(room), is_stopped };
        let there = other.readers.published().0.schema;
        work.clear(self, &version)?;
        work.drop_schema(&version.schema, &there);
        work.fill(self, other)?;
        work.create_schema(&version.schema, &there);
        let changes = work.changes;
        if changes.is_empty() {
            return Ok(None);
        }
        let payload =
            codec::encode(&self.names, &changes).map_err(|error| ReplaceError::Invalid(error.to_string()))?;
        let is_data = |change: &Change| {
            use Change::{CreateEdge, CreateVertex, DeleteEdge, DeleteVertex};
            matches!(
                change,
                CreateEdge { .. } | CreateVertex { .. } | DeleteEdge { .. } | DeleteVertex { .. }
            )
        };
        let changes_schema = !changes.iter().all(is_data);
        let claims = Claims {
            constraints_changed: version.schema.constraints_changed,
            schema_changed: version.schema.changed,
            changes_schema,
            changes_constraints: changes_schema,
            replaces_all: true,
            ..Claims::default()
        };
        Ok(Some(Commit { read, changes, payload: payload.into(), claims, pin: Some(pin) }))
    }
}

struct Work<'a> {
    changes: Vec<Change>,
    is_stopped: &'a dyn Fn() -> bool,
}

impl Work<'_> {
    /// Adds a change. False where it is time to stop.
    fn push(&mut self, change: Change) -> bool {
        self.changes.push(change);
        !self.changes.len().is_multiple_of(STRIDE) || !(self.is_stopped)()
    }

    fn check(&self) -> Result<(), ReplaceError> {
        if (self.is_stopped)() { Err(ReplaceError::Stopped) } else { Ok(()) }
    }

    /// Deletes all that there is.
    fn clear(&mut self, graph: &Graph, version: &Version) -> Result<(), ReplaceError> {
        graph.each_edge(version.lsn, 0, |id, _, _| self.push(Change::DeleteEdge { id }));
        self.check()?;
        // From the last: taking entries off the end of a long adjacency list is cheap.
        self.changes.reverse();
        graph.each_vertex(version.lsn, 0, |id, _| self.push(Change::DeleteVertex { id }));
        self.check()
    }

    /// Creates the vertices and edges of `other`.
    fn fill(&mut self, graph: &Graph, other: &Arc<Graph>) -> Result<(), ReplaceError> {
        let (_pin, version) = other.readers.pin();
        let constraints: Vec<&ConstraintSpec> =
            version.schema.constraints.iter().map(|(spec, _)| spec).collect();
        let first_vertex = ids(&graph.next_vertex, version.counts.vertices)?;
        let first_edge = ids(&graph.next_edge, version.counts.edges)?;
        let mut old_ids: Vec<VertexId> = Vec::new();
        let mut broken = None;
        other.each_vertex(version.lsn, 0, |id, content| {
            let labels = other.label_sets.get(content.labels).to_vec();
            broken = constraints.iter().copied().find(|spec| {
                labels.binary_search(&spec.label).is_ok()
                    && !fits_alone(spec, |key| properties::get(content.properties, key))
            });
            let new_id = VertexId(first_vertex + old_ids.len() as u64);
            old_ids.push(id);
            let properties = properties::all(content.properties);
            broken.is_none() && self.push(Change::CreateVertex { id: new_id, labels, properties })
        });
        if let Some(spec) = broken {
            return Err(ReplaceError::Invalid(violation(&other.names, spec)));
        }
        self.check()?;
        let new_id = |old: VertexId| {
            let place = old_ids.binary_search(&old).expect("an edge has both its ends");
            VertexId(first_vertex + place as u64)
        };
        let mut edges = 0;
        other.each_edge(version.lsn, 0, |_, info, block| {
            let id = EdgeId(first_edge + edges);
            edges += 1;
            let (from, to) = (new_id(info.from), new_id(info.to));
            let properties = properties::all(block);
            self.push(Change::CreateEdge { id, from, to, edge_type: info.edge_type, properties })
        });
        self.check()
    }

    /// Drops what is said about the graph only here.
    fn drop_schema(&mut self, here: &Schema, there: &Schema) {
        let triggers = here.triggers.iter().filter(|trigger| !there.triggers.contains(trigger));
        self.changes.extend(triggers.map(|trigger| Change::DropTrigger { name: trigger.name.clone() }));
        let indexes = here.indexes.iter().filter(|(spec, _)| there.index(spec).is_none());
        self.changes.extend(indexes.map(|(spec, _)| Change::DropIndex(spec.clone())));
        let constraints = here.constraints.iter().filter(|(spec, _)| !there.has_constraint(spec));
        self.changes.extend(constraints.map(|(spec, _)| Change::DropConstraint(spec.clone())));
        let is_there = |name: &str| there.enums.iter().any(|spec| &*spec.name == name);
        let enums = here.enums.iter().filter(|spec| !is_there(&spec.name));
        self.changes.extend(enums.map(|spec| Change::DropEnum { name: spec.name.clone() }));
    }

    /// Says what is said only there.
    fn create_schema(&mut self, here: &Schema, there: &Schema) {
        let enums = there.enums.iter().filter(|spec| !here.enums.contains(spec));
        self.changes.extend(enums.map(|spec| Change::SetEnum(spec.clone())));
        let indexes = there.indexes.iter().filter(|(spec, _)| here.index(spec).is_none());
        self.changes.extend(indexes.map(|(spec, _)| Change::CreateIndex(spec.clone())));
        let constraints = there.constraints.iter().filter(|(spec, _)| !here.has_constraint(spec));
        self.changes.extend(constraints.map(|(spec, _)| Change::CreateConstraint(spec.clone())));
        let triggers = there.triggers.iter().filter(|trigger| !here.triggers.contains(trigger));
        self.changes.extend(triggers.map(|trigger| Change::CreateTrigger(trigger.clone())));
    }
}

/// Takes so many ids that follow each other, and returns the first.
fn ids(counter: &AtomicU64, count: u64) -> Result<u64, ReplaceError> {
    let take = |next: u64| next.checked_add(count).filter(|end| *end <= ID_END);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map_err(|_| ReplaceError::NoIds)
}
