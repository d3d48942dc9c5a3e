//! Loading a snapshot into an empty graph: many blocks at once.
//!
//! Blocks come in the order of [`View`](super::View): schema, vertices by id, edges by id, and last what
//! keeps the newest ids from being given out again. They are taken in windows of a few:
//!
//! 1. read, and their names numbered, block after block, so that numbers do not depend on threads;
//! 2. decoded, all at once;
//! 3. put into the graph. Blocks of vertices touch different slots and go in at once. Of blocks of edges
//!    first the slots are filled, at once; then each worker goes through them in order and adds the edges
//!    at the vertices that are its own, so that the edges at a vertex still come in by rising id.
//!
//! Indexes and constraints are built last, over what is there. No one reads the graph meanwhile, so no
//! undo step is left.

use super::apply::{ApplyError, block_of};
use super::chunk::CHUNK;
use super::transaction::EdgeInfo;
use super::vertex::Side;
use super::{Graph, ID_END, Writer, adjacency::Adjacent, codec};
use crate::types::{Change, EdgeId, LabelId, Lsn, PropertyKeyId, Value, VertexId, Workers};
use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::atomic::Ordering;

/// Blocks in memory at once, for each worker.
const WINDOW: usize = 6;

/// Why a snapshot was not loaded. The graph must be thrown away.
#[derive(Debug)]
pub enum LoadError<E> {
    /// A block could not be read.
    Read(E),
    /// A block was read and says what cannot be.
    DoesNotFit(String),
}

/// Blocks of one kind that follow each other go into the graph together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Vertices,
    Edges,
    Schema,
    Other,
}

impl Graph {
    /// Loads the blocks of a snapshot into a graph that holds nothing yet and that no one reads;
    /// `publish` with the snapshot's LSN ends the load. `read` returns the payload of a block.
    ///
    /// # Errors
    /// After an error the graph must be thrown away.
    pub fn load<E: Send>(
        &self,
        blocks: usize,
        read: &(dyn Fn(usize) -> Result<Bytes, E> + Sync),
        workers: &dyn Workers,
    ) -> Result<(), LoadError<E>> {
        let mut writer = self.writer.lock();
        if writer.applied != Lsn::ZERO {
            let what = "a snapshot can be loaded into an empty graph only";
            return Err(LoadError::DoesNotFit(what.to_owned()));
        }
        writer.is_loading = true;
        let mut schema = Vec::new();
        let window = WINDOW * workers.count();
        for first in (0..blocks).step_by(window) {
            let count = window.min(blocks - first);
            let payloads = all(workers, count, |i| read(first + i)).map_err(LoadError::Read)?;
            for payload in &payloads {
                codec::number_names(&self.names, payload).map_err(does_not_fit)?;
            }
            let decoded = all(workers, count, |i| self.decode(&payloads[i])).map_err(does_not_fit)?;
            for group in decoded.chunk_by(|a, b| kind_of(a) == kind_of(b)) {
                match kind_of(&group[0]) {
                    Kind::Vertices => self.load_vertices(&mut writer, group, workers),
                    Kind::Edges => self.load_edges(&mut writer, group, workers),
                    Kind::Schema => {
                        schema.extend(group.iter().flatten().cloned());
                        Ok(())
                    }
                    Kind::Other => self.load_one_by_one(&mut writer, group),
                }
                .map_err(LoadError::DoesNotFit)?;
            }
        }
        self.load_one_by_one(&mut writer, &[schema]).map_err(LoadError::DoesNotFit)
    }

    fn load_one_by_one(&self, writer: &mut Writer, group: &[Vec<Change>]) -> Result<(), String> {
        let apply = |block: &Vec<Change>| self.apply_unseen(writer, Lsn::ZERO, block);
        group.iter().try_for_each(apply).map_err(|e: ApplyError| e.to_string())
    }

    fn load_vertices(
        &self,
        writer: &mut Writer,
        group: &[Vec<Change>],
        workers: &dyn Workers,
    ) -> Result<(), String> {
        let loaded = all(workers, group.len(), |i| self.load_vertex_block(&group[i]))?;
        for (count, end) in loaded {
            writer.counts.vertices += count;
            writer.next_vertex = writer.next_vertex.max(end);
        }
        self.next_vertex.fetch_max(writer.next_vertex, Ordering::Relaxed);
        Ok(())
    }

    /// Returns how many vertices it held, and one more than their highest id.
    fn load_vertex_block(&self, block: &[Change]) -> Result<(u64, u64), String> {
        let mut members: FxHashMap<LabelId, Vec<VertexId>> = FxHashMap::default();
        let mut end = 0;
        for change in block {
            let Change::CreateVertex { id, labels, properties } = change else {
                unreachable!("the kind of the block was looked at")
            };
            self.load_vertex(*id, labels, properties)?;
            for label in labels {
                members.entry(*label).or_default().push(*id);
            }
            end = end.max(id.0 + 1);
        }
        for (label, ids) in members {
            self.members.add_all(label, &ids);
        }
        Ok((block.len() as u64, end))
    }

    fn load_vertex(
        &self,
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
        let properties = block_of(properties).map_err(|what| format!("vertex {id} {what}"))?;
        let set = self.label_sets.intern(&labels);
        if self.vertices.write(id.0, |chunk| chunk.create(id, set, properties, None)) {
            Ok(())
        } else {
            Err(format!("vertex {id} exists"))
        }
    }

    fn load_edges(
        &self,
        writer: &mut Writer,
        group: &[Vec<Change>],
        workers: &dyn Workers,
    ) -> Result<(), String> {
        for (count, end) in all(workers, group.len(), |i| self.load_edge_slots(&group[i]))? {
            writer.counts.edges += count;
            writer.next_edge = writer.next_edge.max(end);
        }
        self.next_edge.fetch_max(writer.next_edge, Ordering::Relaxed);
        let shares = workers.count() as u64;
        all(workers, workers.count(), |share| self.load_adjacency(group, share as u64, shares)).map(drop)
    }

    /// Returns how many edges the block held, and one more than their highest id.
    fn load_edge_slots(&self, block: &[Change]) -> Result<(u64, u64), String> {
        let mut end = 0;
        for change in block {
            let (id, info, properties) = edge_of(change);
            if id.0 >= ID_END {
                return Err(format!("edge id {id} is beyond 40 bits"));
            }
            let properties = block_of(properties).map_err(|what| format!("edge {id} {what}"))?;
            if !self.edges.write(id.0, |chunk| chunk.create(id, info, properties, None)) {
                return Err(format!("edge {id} exists"));
            }
            end = end.max(id.0 + 1);
        }
        Ok((block.len() as u64, end))
    }

    /// Adds the edges at the vertices whose chunk belongs to this share.
    fn load_adjacency(&self, group: &[Vec<Change>], share: u64, shares: u64) -> Result<(), String> {
        for change in group.iter().flatten() {
            let (id, info, _) = edge_of(change);
            for (vertex, side, other) in [(info.from, Side::Out, info.to), (info.to, Side::In, info.from)] {
                if vertex.0 / CHUNK as u64 % shares != share {
                    continue;
                }
                let entry = Adjacent::new(id, other, info.edge_type);
                let added = self.vertices.write_if_there(vertex.0, |chunk| {
                    chunk.newest(vertex).is_some() && chunk.add_edge(vertex, side, entry, None)
                });
                if added != Some(true) {
                    return Err(format!("vertex {vertex}, an end of edge {id}, does not exist"));
                }
            }
        }
        Ok(())
    }
}

fn kind_of(block: &[Change]) -> Kind {
    let kind = |change: &Change| match change {
        Change::CreateVertex { .. } => Kind::Vertices,
        Change::CreateEdge { .. } => Kind::Edges,
        Change::CreateIndex(_)
        | Change::CreateConstraint(_)
        | Change::SetEnum(_)
        | Change::CreateTrigger(_) => Kind::Schema,
        _ => Kind::Other,
    };
    let first = block.first().map_or(Kind::Other, kind);
    if block.iter().all(|change| kind(change) == first) { first } else { Kind::Other }
}

fn edge_of(change: &Change) -> (EdgeId, EdgeInfo, &[(PropertyKeyId, Value)]) {
    let Change::CreateEdge { id, from, to, edge_type, properties } = change else {
        unreachable!("the kind of the block was looked at")
    };
    (*id, EdgeInfo { from: *from, to: *to, edge_type: *edge_type }, properties)
}

fn does_not_fit<E>(e: impl ToString) -> LoadError<E> {
    LoadError::DoesNotFit(e.to_string())
}

/// Does all the jobs and returns what came of them, in their order, or the first error.
fn all<T: Send, E: Send>(
    workers: &dyn Workers,
    jobs: usize,
    job: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let done: Vec<Mutex<Option<Result<T, E>>>> = (0..jobs).map(|_| Mutex::new(None)).collect();
    workers.run(jobs, &|i| *done[i].lock() = Some(job(i)));
    done.into_iter().map(|result| result.into_inner().expect("every job was run")).collect()
}
