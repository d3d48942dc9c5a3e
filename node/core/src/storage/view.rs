//! The whole graph as of one LSN: for snapshots, and for a digest that nodes compare.

use super::mvcc::{Pin, Version};
use super::schema::{constraint_name, index_name};
use super::transaction::EdgeInfo;
use super::{Counts, Graph, codec, properties};
use crate::types::{Change, EdgeId, EdgeTypeId, Lsn, TriggerPhase, Value, VertexId};
use std::fmt;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// At most so many elements are in a block,
const BLOCK_ELEMENTS: usize = 65_536;
/// and about so many bytes of them.
const BLOCK_BYTES: usize = 4 << 20;

/// A pinned view. Writers go on; the past is kept for the view until it is dropped.
pub struct View {
    graph: Arc<Graph>,
    _pin: Pin,
    version: Version,
    next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Schema,
    Vertices(u64),
    Edges(u64),
    LastIds,
    Nothing,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("lsn", &self.version.lsn)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl View {
    pub(super) fn new(graph: Arc<Graph>) -> View {
        let (pin, version) = graph.readers.pin();
        View { graph, _pin: pin, version, next: Next::Schema }
    }

    /// Returns the last record that it holds.
    pub fn lsn(&self) -> Lsn {
        self.version.lsn
    }

    /// Counts its vertices and edges.
    pub fn counts(&self) -> Counts {
        self.version.counts
    }

    /// Begins again with the first block.
    pub fn rewind(&mut self) {
        self.next = Next::Schema;
    }

    /// Returns the next block, never an empty one: schema, vertices by id, edges by id. Applied in
    /// this order to an empty graph, the blocks make an equal graph.
    ///
    /// Where the newest vertex or edge is gone, the last block creates and deletes it once more, so
    /// that its id is not given out again.
    pub fn next_block(&mut self) -> Option<Vec<Change>> {
        loop {
            let block = match self.next {
                Next::Schema => {
                    self.next = Next::Vertices(0);
                    self.schema()
                }
                Next::Vertices(from) => {
                    let (block, next) = self.vertices(from);
                    self.next = next.map_or(Next::Edges(0), Next::Vertices);
                    block
                }
                Next::Edges(from) => {
                    let (block, next) = self.edges(from);
                    self.next = next.map_or(Next::LastIds, Next::Edges);
                    block
                }
                Next::LastIds => {
                    self.next = Next::Nothing;
                    self.last_ids()
                }
                Next::Nothing => return None,
            };
            if !block.is_empty() {
                return Some(block);
            }
        }
    }

    fn schema(&self) -> Vec<Change> {
        let schema = &self.version.schema;
        let indexes = schema.indexes.iter().map(|(spec, _)| Change::CreateIndex(spec.clone()));
        let constraints = schema.constraints.iter().map(|(spec, _)| Change::CreateConstraint(spec.clone()));
        let enums = schema.enums.iter().map(|spec| Change::SetEnum(spec.clone()));
        let triggers = schema.triggers.iter().map(|trigger| Change::CreateTrigger(trigger.clone()));
        indexes.chain(constraints).chain(enums).chain(triggers).collect()
    }

    /// Returns a block of vertices, and where the next one begins.
    fn vertices(&self, from: u64) -> (Vec<Change>, Option<u64>) {
        let mut block = Vec::new();
        let mut bytes = 0;
        let mut next = None;
        self.graph.each_vertex(self.version.lsn, from, |id, content| {
            if block.len() == BLOCK_ELEMENTS || bytes >= BLOCK_BYTES {
                next = Some(id.0);
                return false;
            }
            bytes += 16 + content.properties.len();
            block.push(Change::CreateVertex {
                id,
                labels: self.graph.label_sets.get(content.labels).to_vec(),
                properties: properties::all(content.properties),
            });
            true
        });
        (block, next)
    }

    /// Returns a block of edges, and where the next one begins.
    fn edges(&self, from: u64) -> (Vec<Change>, Option<u64>) {
        let mut block = Vec::new();
        let mut bytes = 0;
        let mut next = None;
        self.graph.each_edge(self.version.lsn, from, |id, info, properties| {
            if block.len() == BLOCK_ELEMENTS || bytes >= BLOCK_BYTES {
                next = Some(id.0);
                return false;
            }
            bytes += 16 + properties.len();
            block.push(Change::CreateEdge {
                id,
                from: info.from,
                to: info.to,
                edge_type: info.edge_type,
                properties: properties::all(properties),
            });
            true
        });
        (block, next)
    }

    fn last_ids(&self) -> Vec<Change> {
        let lsn = self.version.lsn;
        let last_vertex = self.version.next_vertex.checked_sub(1).map(VertexId);
        let last_edge = self.version.next_edge.checked_sub(1).map(EdgeId);
        let vertex_is_gone = |id: VertexId| {
            !self.graph.vertices.read(id.0, |chunk| chunk.at(id, lsn).is_some()).unwrap_or(false)
        };
        let edge_is_gone =
            |id: EdgeId| !self.graph.edges.read(id.0, |chunk| chunk.at(id, lsn).is_some()).unwrap_or(false);
        let Some(vertex) = last_vertex else { return Vec::new() };
        let mut block = Vec::new();
        let is_gone = vertex_is_gone(vertex);
        if is_gone {
            block.push(Change::CreateVertex { id: vertex, labels: Vec::new(), properties: Vec::new() });
        }
        if let Some(id) = last_edge.filter(|id| edge_is_gone(*id)) {
            // Any type will do. One is known, since there has been an edge.
            let edge_type = EdgeTypeId(0);
            block.push(Change::CreateEdge {
                id,
                from: vertex,
                to: vertex,
                edge_type,
                properties: Vec::new(),
            });
            block.push(Change::DeleteEdge { id });
        }
        if is_gone {
            block.push(Change::DeleteVertex { id: vertex });
        }
        block
    }
}

impl Graph {
    /// Hashes everything in the view. Equal on every node that holds the same: names count, not their
    /// numbers, and labels and properties are taken in the order of their names.
    ///
    /// XXH3-64 over indexes, constraints, enums and triggers sorted by name, vertices by id, edges by id; each part
    /// begins with a kind byte, texts are preceded by their length, values are as in [`codec`].
    pub fn digest(&self, view: &View) -> u64 {
        let names = &self.names;
        let mut hash = Xxh3::new();
        let mut out: Vec<u8> = Vec::new();
        let text = |out: &mut Vec<u8>, text: &str| {
            codec::write_varint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        };
        let named = |out: &mut Vec<u8>, kind: u8, (form, label, keys): (u8, Arc<str>, Vec<Arc<str>>)| {
            out.extend_from_slice(&[kind, form]);
            text(out, &label);
            codec::write_varint(out, keys.len() as u64);
            keys.iter().for_each(|key| text(out, key));
        };
        let values = |out: &mut Vec<u8>, block: &[u8]| {
            let mut named: Vec<(Arc<str>, Value)> = properties::all(block)
                .into_iter()
                .map(|(key, value)| (self.names.key_name(key), value))
                .collect();
            named.sort_by(|a, b| a.0.cmp(&b.0));
            codec::write_varint(out, named.len() as u64);
            for (key, value) in named {
                text(out, &key);
                codec::write_value(out, &value);
            }
        };
        for (spec, _) in &view.version.schema.indexes {
            named(&mut out, 1, index_name(names, spec));
        }
        for (spec, _) in &view.version.schema.constraints {
            named(&mut out, 2, constraint_name(names, spec));
        }
        for spec in &view.version.schema.enums {
            out.push(5);
            text(&mut out, &spec.name);
            codec::write_varint(&mut out, spec.values.len() as u64);
            spec.values.iter().for_each(|value| text(&mut out, value));
        }
        for trigger in &view.version.schema.triggers {
            out.extend([6, trigger.event.number(), u8::from(trigger.phase == TriggerPhase::AfterCommit)]);
            text(&mut out, &trigger.name);
            text(&mut out, &trigger.statement);
        }
        hash.update(&out);
        self.each_vertex(view.lsn(), 0, |id, content| {
            out.clear();
            out.push(3);
            codec::write_varint(&mut out, id.0);
            let set = self.label_sets.get(content.labels);
            let mut labels: Vec<Arc<str>> = set.iter().map(|label| names.label_name(*label)).collect();
            labels.sort();
            codec::write_varint(&mut out, labels.len() as u64);
            labels.iter().for_each(|label| text(&mut out, label));
            values(&mut out, content.properties);
            hash.update(&out);
            true
        });
        self.each_edge(view.lsn(), 0, |id, info, properties| {
            out.clear();
            out.push(4);
            for n in [id.0, info.from.0, info.to.0] {
                codec::write_varint(&mut out, n);
            }
            text(&mut out, &names.edge_type_name(info.edge_type));
            values(&mut out, properties);
            hash.update(&out);
            true
        });
        hash.digest()
    }

    /// Calls `see` with each vertex that a reader at `read` sees, by id from `from` on, while it returns
    /// true. One chunk is locked at a time.
    pub(super) fn each_vertex(
        &self,
        read: Lsn,
        from: u64,
        mut see: impl FnMut(VertexId, super::vertex::Content<'_>) -> bool,
    ) {
        let mut next = Some(from);
        while let Some(from) = next {
            next = self
                .vertices
                .read_from(from, |first, chunk| {
                    for id in from.max(first)..first + chunk.len() as u64 {
                        if let Some(content) = chunk.at(VertexId(id), read)
                            && !see(VertexId(id), content)
                        {
                            return None;
                        }
                    }
                    Some(first + super::chunk::CHUNK as u64)
                })
                .flatten();
        }
    }

    /// As `each_vertex`, edges.
    pub(super) fn each_edge(
        &self,
        read: Lsn,
        from: u64,
        mut see: impl FnMut(EdgeId, EdgeInfo, &[u8]) -> bool,
    ) {
        let mut next = Some(from);
        while let Some(from) = next {
            next = self
                .edges
                .read_from(from, |first, chunk| {
                    for id in from.max(first)..first + chunk.len() as u64 {
                        if let Some((info, block)) = chunk.at(EdgeId(id), read)
                            && !see(EdgeId(id), info, block)
                        {
                            return None;
                        }
                    }
                    Some(first + super::chunk::CHUNK as u64)
                })
                .flatten();
        }
    }

    pub(super) fn scan_vertices(&self, read: Lsn, from: u64, mut see: impl FnMut(VertexId) -> bool) {
        self.each_vertex(read, from, |id, _| see(id));
    }

    pub(super) fn scan_edges(&self, read: Lsn, from: u64, mut see: impl FnMut(EdgeId) -> bool) {
        self.each_edge(read, from, |id, _, _| see(id));
    }
}
