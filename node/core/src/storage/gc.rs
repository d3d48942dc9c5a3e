//! Garbage collection: forgets what no reader sees any more.
//!
//! Every record that was applied while someone might read an older LSN leaves a list of what it
//! touched. The lists queue up in LSN order; once the horizon (see [`super::mvcc`]) has reached a
//! list's LSN, its objects lose the undo steps up to the horizon, and its label and index entries go
//! unless some remaining state still has them. Should a state that keeps an entry end later, the
//! record that ended it has listed the entry again, so none is left behind.
//!
//! Each `apply` collects about twice as much as it leaves, so memory stays flat under load without a
//! thread of its own; [`Graph::collect_garbage`] does the rest when the graph is at rest. Both hold the
//! writer's lock, so an entry is never dropped while it is being added again.

use super::chunk::Chunk;
use super::index::{EdgeIndex, Index};
use super::members::Members;
use super::order::Key;
use super::{Graph, Writer};
use crate::types::{EdgeId, LabelId, Lsn, VertexId};
use std::sync::Arc;

/// What one slice of collection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcStats {
    /// Undo steps dropped.
    pub deltas: u64,
    /// Stale label and index entries looked at.
    pub entries: u64,
    /// Whether another slice would find more to do now.
    pub more: bool,
}

/// A vertex or an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Object {
    Vertex(VertexId),
    Edge(EdgeId),
}

/// An entry that the newest state of a vertex or an edge no longer has.
pub(super) enum Stale {
    Label(LabelId, VertexId),
    Entry(Arc<Index>, Key, VertexId),
    /// The edges of its type.
    EdgeOfType(Arc<Members>, EdgeId),
    EdgeEntry(Arc<EdgeIndex>, Key, EdgeId),
}

/// What one record touched.
pub(super) struct Garbage {
    pub(super) lsn: Lsn,
    pub(super) objects: Vec<Object>,
    pub(super) stale: Vec<Stale>,
}

/// How many objects and entries one slice looks at.
const SLICE: usize = 4096;

impl Graph {
    /// Counts the vertices and edges of which older versions are kept, each as often as it changed.
    pub fn versions_kept(&self) -> u64 {
        self.writer.lock().garbage.iter().map(|garbage| garbage.objects.len() as u64).sum()
    }

    /// Drops one bounded slice of what no reader needs.
    pub fn collect_garbage(&self) -> GcStats {
        self.collect(&mut self.writer.lock(), SLICE)
    }

    pub(super) fn collect(&self, writer: &mut Writer, budget: usize) -> GcStats {
        let mut stats = GcStats::default();
        if writer.garbage.is_empty() {
            return stats;
        }
        let horizon = self.readers.horizon();
        let frontier = (writer.next_vertex, writer.next_edge);
        let mut left = budget;
        while let Some(garbage) = writer.garbage.front_mut() {
            if garbage.lsn > horizon {
                return stats;
            }
            // Objects go first: a stale entry is judged by the states that remain.
            while let Some(object) = garbage.objects.pop() {
                stats.deltas += self.trim(object, horizon, frontier) as u64;
                left = left.saturating_sub(1);
                if left == 0 {
                    stats.more = true;
                    return stats;
                }
            }
            while let Some(stale) = garbage.stale.pop() {
                self.forget_if_unseen(stale, horizon);
                stats.entries += 1;
                left = left.saturating_sub(1);
                if left == 0 {
                    stats.more = true;
                    return stats;
                }
            }
            writer.garbage.pop_front();
            // A long reader may have made the queue long.
            if writer.garbage.capacity() > 64 && writer.garbage.len() < writer.garbage.capacity() / 8 {
                writer.garbage.shrink_to(64.max(writer.garbage.len() * 2));
            }
        }
        stats
    }

    fn trim(&self, object: Object, horizon: Lsn, frontier: (u64, u64)) -> usize {
        match object {
            Object::Vertex(id) => {
                // A chunk that is gone has nothing to trim, and must not be made again.
                let trimmed = self.vertices.write_if_there(id.0, |chunk| chunk.trim(id, horizon));
                let Some((dropped, is_empty)) = trimmed else { return 0 };
                if is_empty {
                    self.free_vertices(id, frontier.0);
                }
                dropped
            }
            Object::Edge(id) => {
                let trimmed = self.edges.write_if_there(id.0, |chunk| chunk.trim(id, horizon));
                let Some((dropped, is_empty)) = trimmed else { return 0 };
                if is_empty {
                    self.free_edges(id, frontier.1);
                }
                dropped
            }
        }
    }

    /// Frees an empty chunk, except the one where new ids come (`next`): it would be made again at once.
    pub(super) fn free_vertices(&self, id: VertexId, next: u64) {
        if !super::chunk::same_chunk(id.0, next.saturating_sub(1)) {
            self.vertices.free_if_empty(id.0);
        }
    }

    /// As `free_vertices`.
    pub(super) fn free_edges(&self, id: EdgeId, next: u64) {
        if !super::chunk::same_chunk(id.0, next.saturating_sub(1)) {
            self.edges.free_if_empty(id.0);
        }
    }

    /// Frees the chunk that new ids have just left, if nothing in it is alive; `before` and `now` are one
    /// more than the highest ids.
    pub(super) fn free_if_left<C: Chunk>(chunks: &super::chunk::Chunks<C>, before: u64, now: u64) {
        if now > before && before > 0 && !super::chunk::same_chunk(before - 1, now - 1) {
            chunks.free_if_empty(before - 1);
        }
    }

    fn forget_if_unseen(&self, stale: Stale, horizon: Lsn) {
        let mut is_seen = false;
        match stale {
            Stale::Label(label, id) => {
                self.vertices.read(id.0, |chunk| {
                    chunk.states(id, horizon, |state| is_seen |= self.label_sets.has(state.labels, label));
                });
                if !is_seen {
                    self.members.forget(label, id);
                }
            }
            Stale::Entry(index, key, id) => {
                self.vertices.read(id.0, |chunk| {
                    chunk.states(id, horizon, |state| {
                        is_seen = is_seen
                            || self.label_sets.has(state.labels, index.of)
                                && index.key_of_block(state.properties).as_ref() == Some(&key);
                    });
                });
                index.collect(key, id, is_seen);
            }
            // The type of an edge never changes.
            Stale::EdgeOfType(members, id) => {
                self.edges.read(id.0, |chunk| chunk.states(id, horizon, |_| is_seen = true));
                if !is_seen {
                    members.forget(id.0);
                }
            }
            Stale::EdgeEntry(index, key, id) => {
                self.edges.read(id.0, |chunk| {
                    chunk.states(id, horizon, |properties| {
                        is_seen = is_seen || index.key_of_block(properties).as_ref() == Some(&key);
                    });
                });
                index.collect(key, id, is_seen);
            }
        }
    }
}

impl Writer {
    /// Bytes of the queue.
    pub(super) fn garbage_bytes(&self) -> u64 {
        let lists: usize = self
            .garbage
            .iter()
            .map(|g| g.objects.capacity() * size_of::<Object>() + g.stale.capacity() * size_of::<Stale>())
            .sum();
        (lists + self.garbage.capacity() * size_of::<Garbage>()) as u64
    }
}
