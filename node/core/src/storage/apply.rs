//! Applying a record: the one place where the shared graph changes.
//!
//! MAIN after a commit, a REPLICA after a record came, and recovery all come here, in LSN order, so
//! they hold the same graph. Changes go into the slots one by one under short chunk locks, and each
//! leaves an undo step tagged with the LSN, so that readers of an older LSN do not notice.

use super::chunk::Chunk;
use super::edge::EdgeUndo;
use super::gc::{Garbage, Object, Stale};
use super::index::{EdgeIndex, Element, Entry, Index, IndexOf};
use super::labels::SetId;
use super::members::Members;
use super::mvcc::Quiet;
use super::order::Key;
use super::schema::{Kept, Schema};
use super::transaction::EdgeInfo;
use super::vertex::{Side, VertexUndo};
use super::{Graph, ID_END, Writer, adjacency::Adjacent, properties};
use crate::types::{
    Change, ConstraintKind, ConstraintSpec, EdgeId, EdgeTypeId, EnumSpec, IndexSpec, LabelId, Lsn,
    PropertyKeyId, TriggerSpec, Value, VertexId,
};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A record that does not fit the graph: the log and the memory of this node no longer agree.
///
/// What came before the impossible change stays applied, so the node must stop and recover; no
/// reader has seen anything of it, since it is not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {lsn} does not fit the graph: {what} (change {place})")]
pub struct ApplyError {
    /// The record.
    pub lsn: Lsn,
    /// Which of its changes, from 0.
    pub place: usize,
    /// What is impossible about it.
    pub what: String,
}

/// Longer records are not applied quietly, since new readers wait meanwhile.
const QUIET_MAX: usize = 1024;

/// Longer ones are, up to this, where they only create. Whoever comes waits until what undoes that is written down:
/// some 0.2 µs for each change.
const QUIET_CREATIONS_MAX: usize = 32 << 10;

/// After so many creations the writer looks whether somebody waits.
const LOOK_EACH: usize = 64;

/// An index, the key that a vertex or an edge had in it, and the key that it gets.
type Rekey<Of = LabelId, Id = VertexId> = (Arc<IndexOf<Of, Id>>, Option<Key>, Option<Key>);

impl Graph {
    /// Applies the record that follows the last one applied. It must be one that may be seen: durable
    /// wherever the mode demands. Readers see it when it is published (or a moment earlier, see
    /// [`super::mvcc`]).
    ///
    /// # Errors
    /// An error is fatal, see [`ApplyError`].
    pub fn apply(&self, lsn: Lsn, changes: &[Change]) -> Result<(), ApplyError> {
        let mut writer = self.writer.lock();
        let expected = writer.applied.next();
        if lsn != expected || writer.is_loading {
            let what = format!("record {expected} must come next");
            return Err(ApplyError { lsn, place: 0, what });
        }
        self.collect(&mut writer, 64 + 2 * changes.len());
        let is_short = changes.len() <= QUIET_MAX;
        let only_creates = || {
            let creates =
                |change: &Change| matches!(change, Change::CreateVertex { .. } | Change::CreateEdge { .. });
            changes.len() <= QUIET_CREATIONS_MAX && changes.iter().all(creates)
        };
        let mut quiet = if is_short || only_creates() { self.readers.quiet() } else { None };
        let mut applier = Applier::new(self, &mut writer, lsn, quiet.is_none().then_some(lsn));
        let (mut done, mut step) = (0, if is_short { changes.len() } else { LOOK_EACH });
        while done < changes.len() {
            if done > 0 && quiet.as_ref().is_some_and(Quiet::is_waited_for) {
                applier.write_down(&changes[..done], lsn);
                quiet = None;
                step = changes.len();
            }
            let end = changes.len().min(done + step);
            if let Err(error) = applier.apply(changes, done..end) {
                if !is_short && quiet.is_some() {
                    // Nobody is to see the part of it that is there.
                    applier.write_down(&changes[..error.place], lsn);
                }
                return Err(error);
            }
            done = end;
        }
        applier.end();
        writer.applied = lsn;
        let version = writer.version();
        match quiet {
            Some(quiet) => quiet.applied(version),
            None => self.readers.applied(version),
        }
        Ok(())
    }

    /// Applies changes that nobody can see yet, and leaves nothing that undoes them.
    pub(super) fn apply_unseen(
        &self,
        writer: &mut Writer,
        lsn: Lsn,
        changes: &[Change],
    ) -> Result<(), ApplyError> {
        let mut applier = Applier::new(self, writer, lsn, None);
        applier.apply(changes, 0..changes.len())?;
        applier.end();
        Ok(())
    }
}

struct Applier<'a> {
    graph: &'a Graph,
    writer: &'a mut Writer,
    lsn: Lsn,
    /// Where undo steps are left, the LSN they are tagged with.
    at: Option<Lsn>,
    garbage: Garbage,
}

impl<'a> Applier<'a> {
    fn new(graph: &'a Graph, writer: &'a mut Writer, lsn: Lsn, at: Option<Lsn>) -> Applier<'a> {
        let garbage = Garbage { lsn, objects: Vec::new(), stale: Vec::new() };
        Applier { graph, writer, lsn, at, garbage }
    }

    /// Applies some of the changes of a record.
    fn apply(&mut self, changes: &[Change], places: Range<usize>) -> Result<(), ApplyError> {
        for place in places {
            let lsn = self.lsn;
            self.change(&changes[place]).map_err(|what| ApplyError { lsn, place, what })?;
        }
        Ok(())
    }

    /// Leaves what has become old to be collected.
    fn end(self) {
        if !self.garbage.objects.is_empty() || !self.garbage.stale.is_empty() {
            self.writer.garbage.push_back(self.garbage);
        }
    }

    /// Leaves undo steps for creations that were applied without, and from here on for all that is applied.
    fn write_down(&mut self, created: &[Change], lsn: Lsn) {
        self.at = Some(lsn);
        for change in created {
            match change {
                Change::CreateVertex { id, .. } => {
                    self.graph.vertices.write(id.0, |chunk| chunk.keep(*id, self.at, || VertexUndo::Created));
                    self.note(Object::Vertex(*id));
                }
                Change::CreateEdge { id, from, to, .. } => {
                    for (vertex, side) in [(*from, Side::Out), (*to, Side::In)] {
                        let undo = || VertexUndo::EdgeAdded(side, *id);
                        self.graph.vertices.write(vertex.0, |chunk| chunk.keep(vertex, self.at, undo));
                        self.note(Object::Vertex(vertex));
                    }
                    self.graph.edges.write(id.0, |chunk| chunk.keep(*id, self.at, || EdgeUndo::Created));
                    self.note(Object::Edge(*id));
                }
                other => unreachable!("{other:?} is not applied without undo steps in a long record"),
            }
        }
    }

    fn change(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::CreateVertex { id, labels, properties } => self.create_vertex(*id, labels, properties),
            Change::DeleteVertex { id } => self.delete_vertex(*id),
            Change::AddLabel { id, label } => self.set_label(*id, *label, true),
            Change::RemoveLabel { id, label } => self.set_label(*id, *label, false),
            Change::SetVertexProperty { id, key, value } => self.set_vertex_property(*id, *key, value),
            Change::CreateEdge { id, from, to, edge_type, properties } => {
                let info = EdgeInfo { from: *from, to: *to, edge_type: *edge_type };
                self.create_edge(*id, info, properties)
            }
            Change::DeleteEdge { id } => self.delete_edge(*id),
            Change::SetEdgeProperty { id, key, value } => self.set_edge_property(*id, *key, value),
            Change::CreateIndex(spec) => self.create_index(spec),
            Change::DropIndex(spec) => self.drop_index(spec),
            Change::CreateConstraint(spec) => self.create_constraint(spec),
            Change::DropConstraint(spec) => self.drop_constraint(spec),
            Change::SetEnum(spec) => self.set_enum(spec),
            Change::DropEnum { name } => self.drop_enum(name),
            Change::CreateTrigger(trigger) => self.create_trigger(trigger),
            Change::DropTrigger { name } => self.drop_trigger(name),
        }
    }

    fn note(&mut self, object: Object) {
        if self.at.is_some() {
            self.garbage.objects.push(object);
        }
    }

    fn create_vertex(
        &mut self,
        id: VertexId,
        labels: &[LabelId],
        properties: &[(PropertyKeyId, Value)],
    ) -> Result<(), String> {
        if id.0 >= ID_END {
            return Err(format!("vertex id {id} is beyond 40 bits"));
        }
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        if labels.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(format!("vertex {id} has a label twice"));
        }
        let block = block_of(properties).map_err(|what| format!("vertex {id} {what}"))?;
        let set = self.graph.label_sets.intern(&labels);
        let rekeys = self.rekeys(None, Some((set, &block)), None);
        let created = self.graph.vertices.write(id.0, |chunk| chunk.create(id, set, block, self.at));
        if !created {
            return Err(format!("vertex {id} exists"));
        }
        for label in labels {
            self.graph.members.add(label, id);
        }
        self.rekey(id, rekeys, Stale::Entry);
        self.writer.counts.vertices += 1;
        let before = self.writer.next_vertex;
        self.writer.next_vertex = before.max(id.0 + 1);
        self.graph.next_vertex.fetch_max(id.0 + 1, Ordering::Relaxed);
        Graph::free_if_left(&self.graph.vertices, before, id.0 + 1);
        self.note(Object::Vertex(id));
        Ok(())
    }

    fn delete_vertex(&mut self, id: VertexId) -> Result<(), String> {
        let (labels, block) = self.content(id)?;
        if !self.graph.vertices.read(id.0, |chunk| chunk.is_alone(id)).unwrap_or(false) {
            return Err(format!("vertex {id} still has edges"));
        }
        let rekeys = self.rekeys(Some((labels, &block)), None, None);
        let is_empty = self.graph.vertices.write(id.0, |chunk| {
            chunk.delete(id, self.at);
            chunk.is_empty()
        });
        for label in self.graph.label_sets.get(labels).iter() {
            self.lose_label(id, *label);
        }
        self.rekey(id, rekeys, Stale::Entry);
        self.writer.counts.vertices -= 1;
        self.note(Object::Vertex(id));
        if is_empty {
            self.graph.free_vertices(id, self.writer.next_vertex);
        }
        Ok(())
    }

    fn set_label(&mut self, id: VertexId, label: LabelId, to: bool) -> Result<(), String> {
        let (before, block) = self.content(id)?;
        let mut labels = self.graph.label_sets.get(before).to_vec();
        match (labels.binary_search(&label), to) {
            (Err(place), true) => labels.insert(place, label),
            (Ok(place), false) => drop(labels.remove(place)),
            (Ok(_), true) => return Err(format!("vertex {id} has the label")),
            (Err(_), false) => return Err(format!("vertex {id} does not have the label")),
        }
        let after = self.graph.label_sets.intern(&labels);
        let rekeys = self.rekeys(Some((before, &block)), Some((after, &block)), None);
        self.graph.vertices.write(id.0, |chunk| chunk.set_labels(id, after, self.at));
        if to {
            self.graph.members.add(label, id);
        } else {
            self.lose_label(id, label);
        }
        self.rekey(id, rekeys, Stale::Entry);
        self.note(Object::Vertex(id));
        Ok(())
    }

    fn set_vertex_property(&mut self, id: VertexId, key: PropertyKeyId, value: &Value) -> Result<(), String> {
        super::codec::check_value(value).map_err(|e| e.to_string())?;
        let (labels, before) = self.content(id)?;
        let after = properties::with(&before, key, value)
            .ok_or_else(|| format!("vertex {id} does not have the property"))?;
        let rekeys = self.rekeys(Some((labels, &before)), Some((labels, &after)), Some(key));
        self.graph.vertices.write(id.0, |chunk| chunk.set_properties(id, after, self.at));
        self.rekey(id, rekeys, Stale::Entry);
        self.note(Object::Vertex(id));
        Ok(())
    }

    fn create_edge(
        &mut self,
        id: EdgeId,
        info: EdgeInfo,
        properties: &[(PropertyKeyId, Value)],
    ) -> Result<(), String> {
        if id.0 >= ID_END {
            return Err(format!("edge id {id} is beyond 40 bits"));
        }
        let block = block_of(properties).map_err(|what| format!("edge {id} {what}"))?;
        for end in [info.from, info.to] {
            if !self.exists(end) {
                return Err(format!("vertex {end}, an end of edge {id}, does not exist"));
            }
        }
        let rekeys = self.edge_rekeys(info.edge_type, None, Some(&block), None);
        if !self.graph.edges.write(id.0, |chunk| chunk.create(id, info, block, self.at)) {
            return Err(format!("edge {id} exists"));
        }
        for (vertex, side, other) in [(info.from, Side::Out, info.to), (info.to, Side::In, info.from)] {
            let entry = Adjacent::new(id, other, info.edge_type);
            let added =
                self.graph.vertices.write(vertex.0, |chunk| chunk.add_edge(vertex, side, entry, self.at));
            assert!(added, "edge {id} is at vertex {vertex} although it did not exist");
            self.note(Object::Vertex(vertex));
        }
        self.writer.counts.edges += 1;
        let before = self.writer.next_edge;
        self.writer.next_edge = before.max(id.0 + 1);
        self.graph.next_edge.fetch_max(id.0 + 1, Ordering::Relaxed);
        Graph::free_if_left(&self.graph.edges, before, id.0 + 1);
        if let Some(members) = self.members_of(info.edge_type) {
            members.add(id.0);
        }
        self.rekey(id, rekeys, Stale::EdgeEntry);
        self.note(Object::Edge(id));
        Ok(())
    }

    fn delete_edge(&mut self, id: EdgeId) -> Result<(), String> {
        let rekeys_of = |(info, block): (EdgeInfo, &[u8])| {
            (info, self.edge_rekeys(info.edge_type, Some(block), None, None))
        };
        let found = self.graph.edges.read(id.0, |chunk| chunk.newest(id).map(rekeys_of)).flatten();
        let (info, rekeys) = found.ok_or_else(|| format!("edge {id} does not exist"))?;
        let is_empty = self.graph.edges.write(id.0, |chunk| {
            chunk.delete(id, self.at);
            chunk.is_empty()
        });
        for (vertex, side) in [(info.from, Side::Out), (info.to, Side::In)] {
            let removed =
                self.graph.vertices.write(vertex.0, |chunk| chunk.remove_edge(vertex, side, id, self.at));
            assert!(removed, "edge {id} is not at its vertex {vertex}");
            self.note(Object::Vertex(vertex));
        }
        self.writer.counts.edges -= 1;
        if let Some(members) = self.members_of(info.edge_type) {
            members.lose();
            if self.at.is_some() {
                self.garbage.stale.push(Stale::EdgeOfType(members, id));
            } else {
                members.forget(id.0);
            }
        }
        self.rekey(id, rekeys, Stale::EdgeEntry);
        self.note(Object::Edge(id));
        if is_empty {
            self.graph.free_edges(id, self.writer.next_edge);
        }
        Ok(())
    }

    fn set_edge_property(&mut self, id: EdgeId, key: PropertyKeyId, value: &Value) -> Result<(), String> {
        super::codec::check_value(value).map_err(|e| e.to_string())?;
        let (after, rekeys) = self
            .graph
            .edges
            .read(id.0, |chunk| {
                let (info, before) = chunk.newest(id)?;
                let after = properties::with(before, key, value);
                let rekeys = self.edge_rekeys(info.edge_type, Some(before), after.as_deref(), Some(key));
                Some(after.map(|after| (after, rekeys)))
            })
            .flatten()
            .ok_or_else(|| format!("edge {id} does not exist"))?
            .ok_or_else(|| format!("edge {id} does not have the property"))?;
        self.graph.edges.write(id.0, |chunk| chunk.set_properties(id, after, self.at));
        self.rekey(id, rekeys, Stale::EdgeEntry);
        self.note(Object::Edge(id));
        Ok(())
    }

    fn create_index(&mut self, spec: &IndexSpec) -> Result<(), String> {
        if self.writer.schema.index(spec).is_some() {
            return Err("the index exists".to_owned());
        }
        let kept = match spec {
            IndexSpec::Label(_) => Kept::Nothing,
            IndexSpec::LabelProperties(label, keys) => {
                let index = Index::new(*label, keys.clone(), false);
                index.fill(self.entries(&index));
                Kept::Vertices(Arc::new(index))
            }
            IndexSpec::EdgeType(edge_type) => {
                let mut ids = Vec::new();
                self.each_edge_of(*edge_type, |id, _| ids.push(id.0));
                let members = Members::default();
                members.add_all(ids.into_iter());
                Kept::EdgesOfType(*edge_type, Arc::new(members))
            }
            IndexSpec::EdgeTypeProperties(edge_type, keys) => {
                let index = EdgeIndex::new(*edge_type, keys.clone(), false);
                let mut entries = Vec::new();
                self.each_edge_of(*edge_type, |id, properties| {
                    entries.extend(index.key_of_block(properties).map(|key| (key, id)));
                });
                index.fill(entries);
                Kept::EdgeEntries(Arc::new(index))
            }
        };
        let mut schema = (*self.writer.schema).clone();
        schema.add_index(&self.graph.names, spec.clone(), kept);
        self.replace_schema(schema, false);
        Ok(())
    }

    fn drop_index(&mut self, spec: &IndexSpec) -> Result<(), String> {
        let mut schema = (*self.writer.schema).clone();
        if !schema.remove_index(spec) {
            return Err("the index does not exist".to_owned());
        }
        self.graph.statistics.forget(spec);
        self.replace_schema(schema, false);
        Ok(())
    }

    fn create_constraint(&mut self, spec: &ConstraintSpec) -> Result<(), String> {
        if self.writer.schema.has_constraint(spec) {
            return Err("the constraint exists".to_owned());
        }
        let index = match spec.kind {
            ConstraintKind::Exists | ConstraintKind::Typed(_) => None,
            ConstraintKind::Unique => {
                let index = Index::new(spec.label, spec.properties.clone(), true);
                let mut entries = self.entries(&index);
                entries.sort_unstable();
                if entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                    return Err(super::constraint::violation(&self.graph.names, spec));
                }
                index.fill(entries);
                Some(Arc::new(index))
            }
        };
        let mut schema = (*self.writer.schema).clone();
        schema.add_constraint(&self.graph.names, spec.clone(), index);
        self.replace_schema(schema, true);
        Ok(())
    }

    fn drop_constraint(&mut self, spec: &ConstraintSpec) -> Result<(), String> {
        let mut schema = (*self.writer.schema).clone();
        if !schema.remove_constraint(spec) {
            return Err("the constraint does not exist".to_owned());
        }
        self.replace_schema(schema, true);
        Ok(())
    }

    fn replace_schema(&mut self, mut schema: Schema, are_constraints: bool) {
        schema.changed = self.lsn;
        if are_constraints {
            schema.constraints_changed = self.lsn;
        }
        schema.take_fingerprint();
        if schema.needs_protocol_3() {
            self.graph.needs_protocol_3.store(true, Ordering::Relaxed);
        }
        self.writer.schema = Arc::new(schema);
    }

    fn set_enum(&mut self, spec: &EnumSpec) -> Result<(), String> {
        let mut sorted: Vec<_> = spec.values.iter().collect();
        sorted.sort_unstable();
        if sorted.is_empty() || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(format!("the enum {} has no values, or one of them twice", spec.name));
        }
        let mut schema = (*self.writer.schema).clone();
        schema.set_enum(spec.clone());
        self.replace_schema(schema, true);
        Ok(())
    }

    fn drop_enum(&mut self, name: &str) -> Result<(), String> {
        let mut schema = (*self.writer.schema).clone();
        if !schema.remove_enum(name) {
            return Err(format!("the enum {name} does not exist"));
        }
        self.replace_schema(schema, true);
        Ok(())
    }

    fn create_trigger(&mut self, trigger: &Arc<TriggerSpec>) -> Result<(), String> {
        let mut schema = (*self.writer.schema).clone();
        if !schema.add_trigger(trigger.clone()) {
            return Err(format!("the trigger {} exists", trigger.name));
        }
        self.replace_schema(schema, false);
        Ok(())
    }

    fn drop_trigger(&mut self, name: &str) -> Result<(), String> {
        let mut schema = (*self.writer.schema).clone();
        if !schema.remove_trigger(name) {
            return Err(format!("the trigger {name} does not exist"));
        }
        self.replace_schema(schema, false);
        Ok(())
    }

    /// Returns the entries of a new index: the newest states, since no reader of it is older.
    fn entries(&self, index: &Index) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut ids = Vec::new();
        let mut from = 0;
        loop {
            ids.clear();
            self.graph.members.candidates(index.of, from, 4096, &mut ids);
            let Some(last) = ids.last() else { return entries };
            from = last.0 + 1;
            for id in &ids {
                let key = self.graph.vertices.read(id.0, |chunk| {
                    let content = chunk.newest(*id)?;
                    if !self.graph.label_sets.has(content.labels, index.of) {
                        return None;
                    }
                    index.key_of_block(content.properties)
                });
                entries.extend(key.flatten().map(|key| (key, *id)));
            }
        }
    }

    fn exists(&self, id: VertexId) -> bool {
        self.graph.vertices.read(id.0, |chunk| chunk.newest(id).is_some()).unwrap_or(false)
    }

    fn content(&self, id: VertexId) -> Result<(SetId, properties::Block), String> {
        let found = self
            .graph
            .vertices
            .read(id.0, |chunk| chunk.newest(id).map(|c| (c.labels, properties::Block::from(c.properties))));
        found.flatten().ok_or_else(|| format!("vertex {id} does not exist"))
    }

    fn lose_label(&mut self, id: VertexId, label: LabelId) {
        self.graph.members.lose(label);
        if self.at.is_some() {
            self.garbage.stale.push(Stale::Label(label, id));
        } else {
            self.graph.members.forget(label, id);
        }
    }

    /// Returns what a change of a vertex means for the indexes; `key` names the only property that
    /// changed, where it is only one.
    fn rekeys(
        &self,
        before: Option<(SetId, &[u8])>,
        after: Option<(SetId, &[u8])>,
        key: Option<PropertyKeyId>,
    ) -> Vec<Rekey> {
        let schema = &self.writer.schema;
        if schema.maintains_nothing() {
            return Vec::new();
        }
        let labels = |state: Option<(SetId, &[u8])>| state.map(|(set, _)| self.graph.label_sets.get(set));
        let (old_labels, new_labels) = (labels(before), labels(after));
        let mut touched: Vec<LabelId> =
            old_labels.iter().chain(&new_labels).flat_map(|set| set.iter().copied()).collect();
        touched.sort_unstable();
        touched.dedup();
        let key_in = |index: &Index, labels: &Option<Arc<[LabelId]>>, state: Option<(SetId, &[u8])>| {
            let is_member = labels.as_ref().is_some_and(|set| set.binary_search(&index.of).is_ok());
            let (_, block) = state.filter(|_| is_member)?;
            index.key_of_block(block)
        };
        let mut rekeys = Vec::new();
        for index in touched.iter().flat_map(|label| schema.of_label(*label)) {
            if key.is_some_and(|key| !index.keys.contains(&key)) {
                continue;
            }
            let old = key_in(index, &old_labels, before);
            let new = key_in(index, &new_labels, after);
            if old != new {
                rekeys.push((index.clone(), old, new));
            }
        }
        rekeys
    }

    /// As `rekeys`, of an edge.
    fn edge_rekeys(
        &self,
        edge_type: EdgeTypeId,
        before: Option<&[u8]>,
        after: Option<&[u8]>,
        key: Option<PropertyKeyId>,
    ) -> Vec<Rekey<EdgeTypeId, EdgeId>> {
        let Some(of_type) = self.writer.schema.of_type(edge_type) else { return Vec::new() };
        let touched = of_type.indexes.iter().filter(|index| key.is_none_or(|key| index.keys.contains(&key)));
        touched
            .map(|index| {
                let key_in = |block: Option<&[u8]>| block.and_then(|block| index.key_of_block(block));
                (index.clone(), key_in(before), key_in(after))
            })
            .filter(|(_, old, new)| old != new)
            .collect()
    }

    /// Returns where the edges of a type are noted, if it has such an index.
    fn members_of(&self, edge_type: EdgeTypeId) -> Option<Arc<Members>> {
        self.writer.schema.of_type(edge_type)?.members.clone()
    }

    /// Shows the newest state of each edge of a type, by id.
    fn each_edge_of(&self, edge_type: EdgeTypeId, mut see: impl FnMut(EdgeId, &[u8])) {
        self.graph.each_edge(Lsn(u64::MAX), 0, |id, info, properties| {
            if info.edge_type == edge_type {
                see(id, properties);
            }
            true
        });
    }

    fn rekey<Of, Id: Element>(
        &mut self,
        id: Id,
        rekeys: Vec<Rekey<Of, Id>>,
        stale: fn(Arc<IndexOf<Of, Id>>, Key, Id) -> Stale,
    ) {
        for (index, old, new) in rekeys {
            if let Some(key) = new {
                index.insert(key, id, self.lsn);
            }
            if let Some(key) = old {
                if self.at.is_some() {
                    index.end(self.lsn);
                    self.garbage.stale.push(stale(index, key, id));
                } else {
                    index.remove(key, id, self.lsn);
                }
            }
        }
    }
}

/// Makes a block of properties in any order.
pub(super) fn block_of(properties: &[(PropertyKeyId, Value)]) -> Result<properties::Block, String> {
    for (_, value) in properties {
        if value.is_null() {
            return Err("has a property that is Null".to_owned());
        }
        super::codec::check_value(value).map_err(|e| format!("has a bad property: {e}"))?;
    }
    let mut sorted: Vec<&(PropertyKeyId, Value)> = properties.iter().collect();
    sorted.sort_by_key(|(key, _)| *key);
    if sorted.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err("has a property twice".to_owned());
    }
    Ok(properties::block(sorted))
}
