//! One client's work: reads at one LSN, and writes of its own that no one else sees.
//!
//! A transaction takes no lock that lasts: it reads the graph as of the LSN that was published when it
//! began, or when it last moved on, and its writes stay in an overlay until `finish` turns them into a [`Commit`](super::Commit). Writing an
//! object that another commit has changed since is refused at once; what changes later is found when
//! the commit asks for its LSN. A transaction that writes nothing has no overlay, and its reads do not
//! look for one.

mod edge_index;
mod finish;
mod refresh;
mod scan;

pub use scan::Wanted;

use super::adjacency::Adjacent;
use super::codec::ValueError;
use super::constraint::{NewConstraint, fits_alone, violation};
use super::delta::Touch;
use super::gc::Object;
use super::index::{Entry as IndexEntry, Index, IndexBounds, IndexCursor, Reader};
use super::labels::SetId;
use super::mvcc::{Pin, Version};
use super::order::Key;
use super::overlay::{CreatedEdge, EdgeWrite, Overlay, Properties, VertexWrite, find, put};
use super::schema::{Kept, constraint_name, enums_after, index_name, triggers_after};
use super::summary::Summary;
use super::vertex::Side;
use super::{Counts, Graph, ID_END, properties};
use crate::types::{
    Change, ConstraintKind, ConstraintSpec, EdgeId, EdgeTypeId, EnumSpec, IndexSpec, LabelId, Lsn, Names,
    PropertyKeyId, TriggerSpec, Value, VertexId,
};
use rustc_hash::FxHashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which way edges are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From a vertex along its edges.
    Outgoing,
    /// Against the edges that lead to it.
    Incoming,
    /// Either.
    Both,
}

/// An edge without its properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EdgeInfo {
    /// Where it starts.
    pub from: VertexId,
    /// Where it leads.
    pub to: VertexId,
    /// What it is.
    pub edge_type: EdgeTypeId,
}

/// One step away from a vertex: the edge, its type, the vertex at its other end, and whether the step
/// goes along the edge.
pub type Expansion = (EdgeId, EdgeTypeId, VertexId, bool);

/// Why a write is refused.
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
    /// Not something that a property can hold.
    #[error(transparent)]
    BadValue(#[from] ValueError),
    /// Text as in `Unable to commit due to unique constraint violation on :L(p)`.
    #[error("{0}")]
    Constraint(String),
    /// 2^40 ids are used up.
    #[error("no ids are left")]
    NoIds,
}

/// One client's work. Dropped without `finish`, it has done nothing.
pub struct Transaction {
    graph: Arc<Graph>,
    pin: Pin,
    version: Version,
    own: Option<Box<Overlay>>,
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("read", &self.version.lsn)
            .field("is_read_only", &self.is_read_only())
            .finish_non_exhaustive()
    }
}

/// Reads. An id that does not exist has no labels, no properties and no edges.
impl Transaction {
    pub(super) fn new(graph: Arc<Graph>) -> Transaction {
        let (pin, version) = graph.readers.pin();
        Transaction { graph, pin, version, own: None }
    }

    /// Returns the graph that it works on.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Returns the names of labels, edge types and property keys.
    pub fn names(&self) -> &Arc<Names> {
        &self.graph.names
    }

    /// Returns the last record that it sees.
    pub fn read_lsn(&self) -> Lsn {
        self.version.lsn
    }

    fn vertex_write(&self, id: VertexId) -> Option<&VertexWrite> {
        self.own.as_ref()?.vertices.get(&id)
    }

    /// What was done to an edge of the graph.
    fn edge_write(&self, id: EdgeId) -> Option<&EdgeWrite> {
        self.own.as_ref()?.edges.get(&id)
    }

    fn created_edge(&self, id: EdgeId) -> Option<&CreatedEdge> {
        self.own.as_ref()?.created_edges.get(id)
    }

    fn base_vertex<R>(&self, id: VertexId, look: impl FnOnce(super::vertex::Content<'_>) -> R) -> Option<R> {
        self.graph.vertices.read(id.0, |chunk| chunk.at(id, self.version.lsn).map(look)).flatten()
    }

    fn base_edge<R>(&self, id: EdgeId, look: impl FnOnce(EdgeInfo, &[u8]) -> R) -> Option<R> {
        self.graph
            .edges
            .read(id.0, |chunk| chunk.at(id, self.version.lsn).map(|(info, block)| look(info, block)))
            .flatten()
    }

    /// Whether there is such a vertex.
    pub fn vertex_exists(&self, id: VertexId) -> bool {
        match self.vertex_write(id) {
            Some(write) => !write.is_deleted,
            None => self.base_vertex(id, |_| ()).is_some(),
        }
    }

    /// Whether a vertex has a label.
    pub fn has_label(&self, id: VertexId, label: LabelId) -> bool {
        match self.vertex_write(id) {
            Some(write) if write.is_deleted => false,
            Some(VertexWrite { labels: Some(labels), .. }) => labels.binary_search(&label).is_ok(),
            _ => self.base_vertex(id, |c| self.graph.label_sets.has(c.labels, label)).unwrap_or(false),
        }
    }

    /// Returns the labels of a vertex in the order of their ids.
    pub fn labels(&self, id: VertexId) -> Vec<LabelId> {
        match self.vertex_write(id) {
            Some(write) if write.is_deleted => Vec::new(),
            Some(VertexWrite { labels: Some(labels), .. }) => labels.clone(),
            _ => self.base_labels(id),
        }
    }

    pub(super) fn base_labels(&self, id: VertexId) -> Vec<LabelId> {
        let set = self.base_vertex(id, |content| content.labels).unwrap_or_default();
        self.graph.label_sets.get(set).to_vec()
    }

    /// Returns the properties that a vertex had before this transaction.
    pub(super) fn base_vertex_properties(&self, id: VertexId) -> Properties {
        self.base_vertex(id, |content| properties::all(content.properties)).unwrap_or_default()
    }

    /// Returns what an edge was before this transaction.
    pub(super) fn base_edge_content(&self, id: EdgeId) -> Option<(EdgeInfo, Properties)> {
        self.base_edge(id, |info, block| (info, properties::all(block)))
    }

    /// Returns a property of a vertex, Null where there is none.
    pub fn vertex_property(&self, id: VertexId, key: PropertyKeyId) -> Value {
        match self.vertex_write(id) {
            Some(write) if write.is_deleted => Value::Null,
            Some(VertexWrite { properties: Some(properties), .. }) => find(properties, key),
            _ => self.base_vertex(id, |c| properties::get(c.properties, key)).unwrap_or_default(),
        }
    }

    /// Appends, vertex by vertex, the values of keys that rise, Null where there is none. Ends before the last vertex
    /// where those so far took more than `bytes_max` bytes; returns how many it read, at least one.
    pub(super) fn vertices_properties(
        &self,
        ids: &[VertexId],
        keys: &[PropertyKeyId],
        bytes_max: usize,
        out: &mut Vec<Value>,
    ) -> usize {
        let (mut done, mut bytes) = (0, 0);
        self.graph.vertices.read_each(
            ids,
            |id| id.0,
            |place, chunk| {
                if bytes > bytes_max {
                    return;
                }
                let id = ids[place];
                let write = self.vertex_write(id);
                if let Some(VertexWrite { is_deleted: false, properties: Some(properties), .. }) = write {
                    // Shared with the write itself.
                    out.extend(keys.iter().map(|key| find(properties, *key)));
                } else {
                    let is_deleted = write.is_some_and(|write| write.is_deleted);
                    let content = chunk.filter(|_| !is_deleted).and_then(|c| c.at(id, self.version.lsn));
                    let block = content.map_or(&[][..], |content| content.properties);
                    bytes += block.len();
                    properties::each(block, keys, out);
                }
                done += 1;
            },
        );
        done
    }

    /// Returns the properties of a vertex in the order of their key ids.
    pub fn vertex_properties(&self, id: VertexId) -> Vec<(PropertyKeyId, Value)> {
        match self.vertex_write(id) {
            Some(write) if write.is_deleted => Vec::new(),
            Some(VertexWrite { properties: Some(properties), .. }) => properties.clone(),
            _ => self.base_vertex(id, |c| properties::all(c.properties)).unwrap_or_default(),
        }
    }

    /// Returns the ends and the type of an edge.
    pub fn edge(&self, id: EdgeId) -> Option<EdgeInfo> {
        if let Some(created) = self.created_edge(id) {
            return (!created.is_deleted).then_some(created.info);
        }
        match self.edge_write(id) {
            Some(write) if write.is_deleted => None,
            _ => self.base_edge(id, |info, _| info),
        }
    }

    /// Returns a property of an edge, Null where there is none.
    pub fn edge_property(&self, id: EdgeId, key: PropertyKeyId) -> Value {
        if let Some(created) = self.created_edge(id) {
            return if created.is_deleted { Value::Null } else { find(&created.properties, key) };
        }
        match self.edge_write(id) {
            Some(write) if write.is_deleted => Value::Null,
            Some(EdgeWrite { properties: Some(properties), .. }) => find(properties, key),
            _ => self.base_edge(id, |_, block| properties::get(block, key)).unwrap_or_default(),
        }
    }

    /// Returns the properties of an edge in the order of their key ids.
    pub fn edge_properties(&self, id: EdgeId) -> Vec<(PropertyKeyId, Value)> {
        if let Some(created) = self.created_edge(id) {
            return if created.is_deleted { Vec::new() } else { created.properties.clone() };
        }
        match self.edge_write(id) {
            Some(write) if write.is_deleted => Vec::new(),
            Some(EdgeWrite { properties: Some(properties), .. }) => properties.clone(),
            _ => self.base_edge(id, |_, block| properties::all(block)).unwrap_or_default(),
        }
    }

    /// Calls `see` with each edge at one side of a vertex, by edge id.
    fn each_edge(
        &self,
        id: VertexId,
        side: Side,
        types: Option<&[EdgeTypeId]>,
        mut see: impl FnMut(Adjacent),
    ) {
        let wanted = |entry: &Adjacent| types.is_none_or(|types| types.contains(&entry.edge_type()));
        let write = self.vertex_write(id);
        let added = self.own.as_ref().map_or(&[][..], |own| own.created_edges.at(id, side));
        let mut added = added.iter().filter(|entry| wanted(entry)).copied().peekable();
        if write.is_none_or(|write| !write.is_created) {
            self.graph.vertices.read(id.0, |chunk| {
                chunk.edges(id, side, self.version.lsn, |edges| {
                    let is_kept = |entry: &Adjacent| write.is_none_or(|w| w.keeps_edge(side, entry.edge()));
                    for entry in edges.iter().filter(|entry| wanted(entry) && is_kept(entry)) {
                        // After a refresh others' edges may be younger than the own ones.
                        while let Some(own) = added.next_if(|own| own.edge() < entry.edge()) {
                            see(own);
                        }
                        see(*entry);
                    }
                });
            });
        }
        added.for_each(see);
    }

    /// Appends the edges at a vertex, by edge id. In `Both`, a loop comes once, as forward.
    pub fn expand(
        &self,
        id: VertexId,
        direction: Direction,
        types: Option<&[EdgeTypeId]>,
        out: &mut Vec<Expansion>,
    ) {
        self.expand_where(id, direction, types, |_, _| true, out);
    }

    /// Appends the edges at a vertex that `is_wanted`, told the edge and where it leads, takes. It is asked once for each,
    /// under the lock of a part of the graph: it must not come back here.
    pub fn expand_where(
        &self,
        id: VertexId,
        direction: Direction,
        types: Option<&[EdgeTypeId]>,
        mut is_wanted: impl FnMut(EdgeId, VertexId) -> bool,
        out: &mut Vec<Expansion>,
    ) {
        let start = out.len();
        if direction != Direction::Incoming {
            self.each_edge(id, Side::Out, types, |e| {
                if is_wanted(e.edge(), e.other()) {
                    out.push((e.edge(), e.edge_type(), e.other(), true));
                }
            });
        }
        let is_both = direction == Direction::Both;
        if direction != Direction::Outgoing {
            self.each_edge(id, Side::In, types, |e| {
                if !(is_both && e.other() == id) && is_wanted(e.edge(), e.other()) {
                    out.push((e.edge(), e.edge_type(), e.other(), false));
                }
            });
        }
        if is_both {
            // Two sorted runs: the sort merges them.
            out[start..].sort_by_key(|(edge, ..)| *edge);
        }
    }

    /// Counts what `expand` gives.
    pub fn degree(&self, id: VertexId, direction: Direction, types: Option<&[EdgeTypeId]>) -> usize {
        let mut count = 0;
        if direction != Direction::Incoming {
            self.each_edge(id, Side::Out, types, |_| count += 1);
        }
        if direction != Direction::Outgoing {
            let is_both = direction == Direction::Both;
            self.each_edge(id, Side::In, types, |e| count += usize::from(!(is_both && e.other() == id)));
        }
        count
    }

    /// Appends up to `limit` vertices by id, from after `after`. Fewer than `limit` means the end.
    pub fn scan_vertices(&self, after: Option<VertexId>, limit: usize, out: &mut Vec<VertexId>) {
        let (start, end) = (out.len(), out.len() + limit);
        let from = after.map_or(0, |id| id.0 + 1);
        self.graph.scan_vertices(self.version.lsn, from, |id| {
            if out.len() < end && self.vertex_write(id).is_none_or(|write| !write.is_deleted) {
                out.push(id);
            }
            out.len() < end
        });
        if let Some(own) = &self.own {
            let first = own.created_vertices.partition_point(|id| id.0 < from);
            let alive = |id: &VertexId| !own.vertices[id].is_deleted;
            let created = own.created_vertices[first..].iter().copied().filter(alive);
            merge_own(out, start, limit, created);
        }
    }

    /// Appends up to `limit` edges by id, from after `after`. Fewer than `limit` means the end.
    pub fn scan_edges(&self, after: Option<EdgeId>, limit: usize, out: &mut Vec<EdgeId>) {
        let (start, end) = (out.len(), out.len() + limit);
        let from = after.map_or(0, |id| id.0 + 1);
        self.graph.scan_edges(self.version.lsn, from, |id| {
            if out.len() < end && self.edge_write(id).is_none_or(|write| !write.is_deleted) {
                out.push(id);
            }
            out.len() < end
        });
        if let Some(own) = &self.own {
            let created = own.created_edges.all();
            let rest = &created[created.partition_point(|edge| edge.id.0 < from)..];
            merge_own(out, start, limit, rest.iter().filter(|edge| !edge.is_deleted).map(|edge| edge.id));
        }
    }

    /// Appends up to `limit` vertices with a label by id, from after `after`. Fewer than `limit`
    /// means the end.
    pub fn scan_label(&self, label: LabelId, after: Option<VertexId>, limit: usize, out: &mut Vec<VertexId>) {
        let start = out.len();
        let mut from = after.map_or(0, |id| id.0 + 1);
        let own = self.own.as_ref().and_then(|own| own.labels.get(&label));
        if let Some(own) = own {
            let matching = own.range(VertexId(from)..).filter(|id| self.has_label(**id, label));
            out.extend(matching.take(limit).copied());
        }
        let own_end = out.len();
        let mut candidates = Vec::new();
        let mut found = 0;
        while found < limit {
            candidates.clear();
            let wanted = (limit - found).max(32);
            self.graph.members.candidates(label, from, wanted, &mut candidates);
            let Some(last) = candidates.last() else { break };
            from = last.0 + 1;
            let mut last: Option<(SetId, bool)> = None;
            self.graph.vertices.read_each(
                &candidates,
                |id| id.0,
                |place, chunk| {
                    let id = candidates[place];
                    if found == limit {
                        return;
                    }
                    let has = match self.vertex_write(id) {
                        Some(write) if write.is_deleted => false,
                        Some(VertexWrite { labels: Some(labels), .. }) => {
                            labels.binary_search(&label).is_ok()
                        }
                        _ => {
                            chunk.and_then(|c| c.at(id, self.version.lsn)).is_some_and(|content| match last {
                                // Vertices that follow each other often have the same labels.
                                Some((set, has)) if set == content.labels => has,
                                _ => {
                                    let has = self.graph.label_sets.has(content.labels, label);
                                    last = Some((content.labels, has));
                                    has
                                }
                            })
                        }
                    };
                    if has {
                        out.push(id);
                        found += 1;
                    }
                },
            );
        }
        if own_end > start {
            out[start..].sort_unstable();
            let mut kept = out.split_off(start);
            kept.dedup();
            kept.truncate(limit);
            out.append(&mut kept);
        }
    }

    /// Appends up to `limit` vertices by (value, id) from `cursor` on, and moves it. Fewer than `limit`
    /// means the end. An index that this transaction may not use (see [`Self::has_index`]) is empty, and so is one of
    /// edges, which [`Self::edge_index_seek`] is for.
    pub fn index_seek(
        &self,
        index: &IndexSpec,
        bounds: &IndexBounds,
        cursor: &mut IndexCursor,
        limit: usize,
        out: &mut Vec<VertexId>,
    ) {
        let index = match (index, self.version.schema.index(index)) {
            (IndexSpec::Label(label), Some(_)) => {
                let start = out.len();
                self.scan_label(*label, cursor.after.as_ref().map(|(_, id)| *id), limit, out);
                if let Some(last) = out[start..].last() {
                    cursor.after = Some((Key::new(), *last));
                }
                return;
            }
            (_, Some(Kept::Vertices(index))) => index,
            _ => return,
        };
        let Some(range) = bounds.keys() else { return };
        let own = self.own.as_ref().and_then(|own| own.indexes.of(index));
        index.seek(&range, own, &self.reader(index), cursor, limit, out);
    }

    /// Finds the one vertex with these values of all properties of an index. None where it must be sought with
    /// [`Self::index_seek`]: several may have them, or this transaction has written some that may.
    pub fn index_find(&self, index: &IndexSpec, values: &[Value]) -> Option<Option<VertexId>> {
        let Some(Kept::Vertices(index)) = self.version.schema.index(index) else { return None };
        if values.len() != index.keys.len()
            || self.own.as_ref().is_some_and(|own| own.indexes.of(index).is_some())
        {
            return None;
        }
        let Some(key) = IndexBounds::key_of(values) else { return Some(None) };
        index.find(key, &self.reader(index))
    }

    /// Says how this transaction tells which entries of an index are for it.
    fn reader<'a>(
        &'a self,
        index: &'a Index,
    ) -> Reader<impl Fn(VertexId) -> bool + 'a, impl Fn(&IndexEntry) -> bool + 'a> {
        let is_seen = |(key, id): &IndexEntry| match self.vertex_write(*id) {
            Some(write) if write.changes_content() => {
                self.has_label(*id, index.of)
                    && index.key(|property| self.vertex_property(*id, property)).as_ref() == Some(key)
            }
            _ => {
                let fits = self.base_vertex(*id, |content| {
                    self.graph.label_sets.has(content.labels, index.of)
                        && index.key_of_block(content.properties).as_ref() == Some(key)
                });
                fits.unwrap_or(false)
            }
        };
        Reader { read: self.version.lsn, is_own: |id| self.vertex_write(id).is_some(), is_seen }
    }

    /// Counts all vertices and edges exactly.
    pub fn counts(&self) -> Counts {
        let counts = self.version.counts;
        match &self.own {
            None => counts,
            Some(own) => Counts {
                vertices: counts.vertices.saturating_add_signed(own.vertices_more),
                edges: counts.edges.saturating_add_signed(own.edges_more),
            },
        }
    }

    /// Estimates how many vertices have a label; exact where nothing was written since and here.
    pub fn label_count(&self, label: LabelId) -> u64 {
        let own = self.own.as_ref().and_then(|own| own.labels.get(&label)).map_or(0, |ids| ids.len() as u64);
        self.graph.members.count(label) + own
    }

    /// Estimates how many vertices or edges are in an index.
    pub fn index_count(&self, index: &IndexSpec) -> u64 {
        match (index, self.version.schema.index(index)) {
            (IndexSpec::Label(label), Some(_)) => self.label_count(*label),
            (_, Some(Kept::Vertices(index))) => {
                let own = self.own.as_ref().and_then(|own| own.indexes.of(index));
                index.len() + own.map_or(0, |entries| entries.len() as u64)
            }
            (_, Some(kept)) => self.edge_index_count(kept),
            _ => 0,
        }
    }

    /// Whether this transaction may use the index: it was there when the transaction began.
    pub fn has_index(&self, index: &IndexSpec) -> bool {
        self.version.schema.index(index).is_some()
    }

    /// Returns the indexes, sorted by name.
    pub fn indexes(&self) -> Vec<IndexSpec> {
        let mut indexes: Vec<IndexSpec> =
            self.version.schema.indexes.iter().map(|(spec, _)| spec.clone()).collect();
        for change in self.own.iter().flat_map(|own| &own.schema) {
            match change {
                Change::CreateIndex(spec) => indexes.push(spec.clone()),
                Change::DropIndex(spec) => indexes.retain(|other| other != spec),
                _ => {}
            }
        }
        indexes.sort_by_cached_key(|spec| index_name(self.names(), spec));
        indexes
    }

    /// Returns the constraints, sorted by name.
    pub fn constraints(&self) -> Vec<ConstraintSpec> {
        let mut constraints: Vec<ConstraintSpec> =
            self.version.schema.constraints.iter().map(|(spec, _)| spec.clone()).collect();
        for change in self.own.iter().flat_map(|own| &own.schema) {
            match change {
                Change::CreateConstraint(spec) => constraints.push(spec.clone()),
                Change::DropConstraint(spec) => constraints.retain(|other| other != spec),
                _ => {}
            }
        }
        constraints.sort_by_cached_key(|spec| constraint_name(self.names(), spec));
        constraints
    }

    /// Returns the enums, sorted by name.
    pub fn enums(&self) -> Vec<EnumSpec> {
        enums_after(self.version.schema.enums.clone(), self.own.iter().flat_map(|own| &own.schema))
    }

    /// Returns the triggers, sorted by name.
    pub fn triggers(&self) -> Vec<Arc<TriggerSpec>> {
        triggers_after(self.version.schema.triggers.clone(), self.own.iter().flat_map(|own| &own.schema))
    }

    /// Names the indexes, constraints and enums that were there when this transaction began.
    pub fn schema_fingerprint(&self) -> u64 {
        self.version.schema.fingerprint
    }

    /// Whether any trigger was there when this transaction began; cheaper than to list them.
    pub fn has_triggers(&self) -> bool {
        !self.version.schema.triggers.is_empty()
    }
}

/// Writes.
impl Transaction {
    fn own(&mut self) -> &mut Overlay {
        self.own.get_or_insert_default()
    }

    fn next_id(counter: &AtomicU64) -> Result<u64, WriteError> {
        match counter.fetch_add(1, Ordering::Relaxed) {
            id if id < ID_END => Ok(id),
            _ => {
                counter.fetch_sub(1, Ordering::Relaxed);
                Err(WriteError::NoIds)
            }
        }
    }

    /// Looks whether a vertex takes an edge: whether it is there, and what others have done to it since.
    fn end(&self, id: VertexId) -> (bool, Touch) {
        match self.vertex_write(id) {
            Some(write) if write.is_deleted => (false, Touch::default()),
            Some(write) if write.is_created => (true, Touch::default()),
            _ => self.graph.to_write(id, self.version.lsn),
        }
    }

    /// Begins to write a vertex that exists, in the way that `touch` says.
    fn write_vertex(&mut self, id: VertexId, touch: Touch) -> Result<&mut VertexWrite, WriteError> {
        let (graph, read) = (&self.graph, self.version.lsn);
        let look = || match graph.to_write(id, read) {
            (false, _) => Err(WriteError::NoSuchVertex(id)),
            (true, touched) if touched.conflicts_with(touch) => Err(WriteError::Conflict),
            _ => Ok(()),
        };
        if self.own.is_none() {
            // What is refused leaves no overlay.
            look()?;
        }
        let write = match self.own.get_or_insert_default().vertices.entry(id) {
            Entry::Occupied(known) => {
                let write = known.into_mut();
                if write.is_deleted {
                    return Err(WriteError::NoSuchVertex(id));
                }
                if !write.is_created && write.touch.and(touch) != write.touch {
                    look()?;
                }
                write
            }
            Entry::Vacant(place) => {
                look()?;
                place.insert(VertexWrite::default())
            }
        };
        if !write.is_created {
            write.touch = write.touch.and(touch);
        }
        Ok(write)
    }

    /// Begins to write an edge of the graph, in the way that `touch` says.
    fn write_edge(&mut self, id: EdgeId, touch: Touch) -> Result<&mut EdgeWrite, WriteError> {
        if self.edge(id).is_none() {
            return Err(WriteError::NoSuchEdge(id));
        }
        let is_known = self.edge_write(id).is_some_and(|write| write.touch.and(touch) == write.touch);
        if !is_known && self.graph.touched_after(Object::Edge(id), self.version.lsn).conflicts_with(touch) {
            return Err(WriteError::Conflict);
        }
        let write = self.own().edges.entry(id).or_default();
        write.touch = write.touch.and(touch);
        Ok(write)
    }

    /// Notes the entries that a vertex now has in indexes over these properties (all, if none are named).
    fn reindex(&mut self, id: VertexId, changed: Option<PropertyKeyId>) {
        if self.version.schema.maintains_nothing() {
            return;
        }
        let schema = self.version.schema.clone();
        for index in self.labels(id).iter().flat_map(|label| schema.of_label(*label)) {
            // Nobody seeks in the index of a constraint.
            if index.is_unique || changed.is_some_and(|key| !index.keys.contains(&key)) {
                continue;
            }
            if let Some(key) = index.key(|property| self.vertex_property(id, property)) {
                self.own().indexes.add(index, (key, id));
            }
        }
    }

    /// Creates a vertex. Null properties are left out; of equal keys the last counts.
    pub fn create_vertex(
        &mut self,
        labels: &[LabelId],
        properties: Vec<(PropertyKeyId, Value)>,
    ) -> Result<VertexId, WriteError> {
        let properties = normal(properties)?;
        let id = VertexId(Self::next_id(&self.graph.next_vertex)?);
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        labels.dedup();
        let own = self.own();
        for label in &labels {
            own.labels.entry(*label).or_default().insert(id);
        }
        let write = VertexWrite {
            is_created: true,
            labels: Some(labels),
            properties: Some(properties),
            ..VertexWrite::default()
        };
        own.vertices.insert(id, write);
        own.created_vertices.push(id);
        own.vertices_more += 1;
        self.reindex(id, None);
        Ok(id)
    }

    /// Creates an edge between vertices that exist. Properties as in `create_vertex`.
    pub fn create_edge(
        &mut self,
        from: VertexId,
        to: VertexId,
        edge_type: EdgeTypeId,
        properties: Vec<(PropertyKeyId, Value)>,
    ) -> Result<EdgeId, WriteError> {
        let properties = normal(properties)?;
        let ((is_start, start_touch), (is_end, end_touch)) = (self.end(from), self.end(to));
        match (is_start, is_end) {
            (_, false) => return Err(WriteError::NoSuchVertex(to)),
            (false, _) => return Err(WriteError::NoSuchVertex(from)),
            _ if start_touch.and(end_touch).conflicts_with(Touch::EDGES) => return Err(WriteError::Conflict),
            _ => {}
        }
        let id = EdgeId(Self::next_id(&self.graph.next_edge)?);
        let info = EdgeInfo { from, to, edge_type };
        let own = self.own();
        own.created_edges.push(CreatedEdge { id, info, properties, is_deleted: false });
        own.edges_more += 1;
        self.reindex_edge(id, None);
        Ok(id)
    }

    /// Sets a property, or removes it where the value is Null. Returns what was there.
    pub fn set_vertex_property(
        &mut self,
        id: VertexId,
        key: PropertyKeyId,
        value: Value,
    ) -> Result<Value, WriteError> {
        super::codec::check_value(&value)?;
        if value.is_null() && self.vertex_exists(id) && self.vertex_property(id, key).is_null() {
            return Ok(Value::Null);
        }
        let is_loaded = self.vertex_write(id).is_some_and(|write| write.properties.is_some());
        let loaded = if is_loaded { None } else { Some(self.vertex_properties(id)) };
        let write = self.write_vertex(id, Touch::CONTENT)?;
        let properties = match loaded {
            Some(loaded) => write.properties.insert(loaded),
            None => write.properties.as_mut().expect("just seen"),
        };
        let before = put(properties, key, value);
        if !write.is_created && !write.written.contains(&key) {
            write.written.push(key);
        }
        self.reindex(id, Some(key));
        Ok(before)
    }

    /// Sets a property, or removes it where the value is Null. Returns what was there.
    pub fn set_edge_property(
        &mut self,
        id: EdgeId,
        key: PropertyKeyId,
        value: Value,
    ) -> Result<Value, WriteError> {
        super::codec::check_value(&value)?;
        if value.is_null() && self.edge(id).is_some() && self.edge_property(id, key).is_null() {
            return Ok(Value::Null);
        }
        if let Some(created) = self.own.as_mut().and_then(|own| own.created_edges.get_mut(id)) {
            if created.is_deleted {
                return Err(WriteError::NoSuchEdge(id));
            }
            let before = put(&mut created.properties, key, value);
            self.reindex_edge(id, Some(key));
            return Ok(before);
        }
        let is_loaded = self.edge_write(id).is_some_and(|write| write.properties.is_some());
        let loaded = if is_loaded { None } else { Some(self.edge_properties(id)) };
        let write = self.write_edge(id, Touch::CONTENT)?;
        let properties = match loaded {
            Some(loaded) => write.properties.insert(loaded),
            None => write.properties.as_mut().expect("just seen"),
        };
        let before = put(properties, key, value);
        if !write.written.contains(&key) {
            write.written.push(key);
        }
        self.reindex_edge(id, Some(key));
        Ok(before)
    }

    /// Adds a label. Returns whether it is new.
    pub fn add_label(&mut self, id: VertexId, label: LabelId) -> Result<bool, WriteError> {
        if self.has_label(id, label) {
            return Ok(false);
        }
        let mut labels = self.labels(id);
        let write = self.write_vertex(id, Touch::CONTENT)?;
        let place = labels.binary_search(&label).expect_err("the vertex does not have it");
        labels.insert(place, label);
        write.labels = Some(labels);
        self.own().labels.entry(label).or_default().insert(id);
        self.reindex(id, None);
        Ok(true)
    }

    /// Removes a label. Returns whether it was there.
    pub fn remove_label(&mut self, id: VertexId, label: LabelId) -> Result<bool, WriteError> {
        if !self.vertex_exists(id) {
            return Err(WriteError::NoSuchVertex(id));
        }
        if !self.has_label(id, label) {
            return Ok(false);
        }
        let mut labels = self.labels(id);
        let write = self.write_vertex(id, Touch::CONTENT)?;
        labels.retain(|other| *other != label);
        write.labels = Some(labels);
        Ok(true)
    }

    /// Deletes a vertex that has no edges.
    pub fn delete_vertex(&mut self, id: VertexId) -> Result<(), WriteError> {
        if !self.vertex_exists(id) {
            return Err(WriteError::NoSuchVertex(id));
        }
        if self.degree(id, Direction::Both, None) > 0 {
            return Err(WriteError::HasEdges(id));
        }
        self.write_vertex(id, Touch::DELETED)?.is_deleted = true;
        self.own().vertices_more -= 1;
        Ok(())
    }

    /// Deletes an edge.
    pub fn delete_edge(&mut self, id: EdgeId) -> Result<(), WriteError> {
        let info = self.edge(id).ok_or(WriteError::NoSuchEdge(id))?;
        if self.own.as_mut().is_some_and(|own| own.created_edges.delete(id)) {
            self.own().edges_more -= 1;
            return Ok(());
        }
        // A conflict is found before anything is written.
        for end in [info.from, info.to] {
            if self.graph.touched_after(Object::Vertex(end), self.version.lsn).conflicts_with(Touch::EDGES) {
                return Err(WriteError::Conflict);
            }
        }
        self.write_edge(id, Touch::DELETED)?.is_deleted = true;
        self.write_vertex(info.from, Touch::EDGES)?.remove_edge(Side::Out, id);
        self.write_vertex(info.to, Touch::EDGES)?.remove_edge(Side::In, id);
        self.own().edges_more -= 1;
        Ok(())
    }

    /// Creates an index, usable by transactions that begin after the commit. Returns whether it is new.
    pub fn create_index(&mut self, index: IndexSpec) -> Result<bool, WriteError> {
        if self.indexes().contains(&index) {
            return Ok(false);
        }
        self.own().schema.push(Change::CreateIndex(index));
        Ok(true)
    }

    /// Drops an index. Returns whether it was there.
    pub fn drop_index(&mut self, index: &IndexSpec) -> Result<bool, WriteError> {
        if !self.indexes().contains(index) {
            return Ok(false);
        }
        self.own().schema.push(Change::DropIndex(index.clone()));
        Ok(true)
    }

    /// Creates a constraint, which what is there must fit. Returns whether it is new.
    pub fn create_constraint(&mut self, constraint: ConstraintSpec) -> Result<bool, WriteError> {
        let constraint = self.sorted(constraint);
        if self.constraints().contains(&constraint) {
            return Ok(false);
        }
        let index = Index::new(constraint.label, constraint.properties.clone(), true);
        let mut holders: FxHashMap<Key, VertexId> = FxHashMap::default();
        let mut ids = Vec::new();
        loop {
            let after = ids.last().copied();
            ids.clear();
            self.scan_label(constraint.label, after, 4096, &mut ids);
            if ids.is_empty() {
                break;
            }
            for id in &ids {
                let fits = match constraint.kind {
                    ConstraintKind::Exists | ConstraintKind::Typed(_) => {
                        fits_alone(&constraint, |key| self.vertex_property(*id, key))
                    }
                    ConstraintKind::Unique => index
                        .key(|property| self.vertex_property(*id, property))
                        .is_none_or(|key| holders.insert(key, *id).is_none()),
                };
                if !fits {
                    return Err(WriteError::Constraint(violation(self.names(), &constraint)));
                }
            }
        }
        let own = self.own();
        own.schema.push(Change::CreateConstraint(constraint.clone()));
        own.constraints.push(NewConstraint { spec: constraint, holders });
        Ok(true)
    }

    /// Drops a constraint. Returns whether it was there.
    pub fn drop_constraint(&mut self, constraint: &ConstraintSpec) -> Result<bool, WriteError> {
        let constraint = self.sorted(constraint.clone());
        if !self.constraints().contains(&constraint) {
            return Ok(false);
        }
        let own = self.own();
        own.constraints.retain(|new| new.spec != constraint);
        own.schema.push(Change::DropConstraint(constraint));
        Ok(true)
    }

    /// Makes an enum, or gives one other values, which must be some and no two alike.
    pub fn set_enum(&mut self, spec: EnumSpec) {
        self.own().schema.push(Change::SetEnum(spec));
    }

    /// Drops an enum; values of it stay in properties. Returns whether it was there.
    pub fn drop_enum(&mut self, name: &str) -> bool {
        let is_there = self.enums().iter().any(|spec| &*spec.name == name);
        if is_there {
            self.own().schema.push(Change::DropEnum { name: name.into() });
        }
        is_there
    }

    /// Creates a trigger, in force from the transactions that begin after the commit. Returns whether its name was free.
    pub fn create_trigger(&mut self, trigger: TriggerSpec) -> bool {
        let is_free = self.triggers().iter().all(|other| other.name != trigger.name);
        if is_free {
            self.own().schema.push(Change::CreateTrigger(Arc::new(trigger)));
        }
        is_free
    }

    /// Drops a trigger. Returns whether it was there.
    pub fn drop_trigger(&mut self, name: &str) -> bool {
        let is_there = self.triggers().iter().any(|trigger| &*trigger.name == name);
        if is_there {
            self.own().schema.push(Change::DropTrigger { name: name.into() });
        }
        is_there
    }

    fn sorted(&self, mut constraint: ConstraintSpec) -> ConstraintSpec {
        constraint.properties.sort_by_cached_key(|key| self.names().key_name(*key));
        constraint.properties.dedup();
        constraint
    }

    /// Sums up what was written so far, for triggers.
    pub fn summary(&self) -> Summary {
        self.own.as_ref().map_or_else(Summary::default, |own| super::summary::summary(self, own))
    }

    /// Whether nothing was written.
    pub fn is_read_only(&self) -> bool {
        self.own.is_none()
    }
}

/// Merges own ids that rise into those from `start` on, and keeps the first `limit` of all. The own ones are the last,
/// unless the transaction moved on after it made them.
fn merge_own<T: Ord + Copy>(out: &mut Vec<T>, start: usize, limit: usize, own: impl Iterator<Item = T>) {
    let found = out.len();
    let last = out[start..].last().copied();
    let is_full = found - start == limit;
    out.extend(own.take_while(|id| !is_full || last.is_some_and(|last| *id < last)).take(limit));
    if out.get(found).is_some_and(|own| last > Some(*own)) {
        out[start..].sort();
    }
    out.truncate(start + limit);
}

/// Checks properties, leaves out Null, sorts by key; of equal keys the last counts.
fn normal(properties: Vec<(PropertyKeyId, Value)>) -> Result<Properties, WriteError> {
    let mut normal = Properties::with_capacity(properties.len());
    for (key, value) in properties {
        super::codec::check_value(&value)?;
        put(&mut normal, key, value);
    }
    Ok(normal)
}
