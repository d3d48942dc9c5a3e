//! Scans that read properties together with the vertices.
//!
//! A scan that names its vertices first and asks for their properties then looks at each of them twice, under a lock each
//! time. Where this transaction has written nothing, one look does for both; where it has, its own writes are laid over as
//! everywhere else.

use super::Transaction;
use crate::storage::chunk::CHUNK;
use crate::storage::labels::SetId;
use crate::storage::properties;
use crate::types::{LabelId, PropertyKeyId, Value, VertexId};
use smallvec::SmallVec;

/// What a batch of a scan holds.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Only vertices that have it.
    pub label: Option<LabelId>,
    /// Properties to read, by rising key.
    pub keys: &'a [PropertyKeyId],
    /// At most so many vertices.
    pub vertices_max: usize,
    /// The batch ends early where all properties of its vertices take more than so many bytes.
    pub bytes_max: usize,
}

/// As many vertices are looked at before the first one's properties are read.
const PIECE: usize = 64;

/// A batch that is being made.
struct Batch<'a> {
    wanted: &'a Wanted<'a>,
    ids: &'a mut Vec<VertexId>,
    values: &'a mut Vec<Value>,
    /// How many ids it has at most.
    end: usize,
    bytes: usize,
    /// It is full, and was offered one more.
    has_more: bool,
}

impl Batch<'_> {
    fn is_full(&self) -> bool {
        self.ids.len() == self.end || self.bytes > self.wanted.bytes_max
    }

    /// Takes vertices of one chunk, with their properties, while there is room.
    fn take(&mut self, found: &[(VertexId, &[u8])]) {
        if !self.wanted.keys.is_empty() {
            // They lie anywhere in memory. Touched at once, they are waited for together and not one after the other.
            let touched = found.iter().fold(0, |all, (_, block)| all ^ block.first().copied().unwrap_or(0));
            std::hint::black_box(touched);
        }
        for (id, block) in found {
            self.has_more = self.has_more || self.is_full();
            if self.has_more {
                return;
            }
            self.ids.push(*id);
            self.bytes += block.len();
            properties::each(block, self.wanted.keys, self.values);
        }
    }
}

impl Transaction {
    /// Appends the next vertices by id, from after `after`, and of each the values of the keys in their order, Null where
    /// there is none. Returns whether there may be more; if so, at least one was appended.
    pub fn scan_properties(
        &self,
        wanted: &Wanted<'_>,
        after: Option<VertexId>,
        ids: &mut Vec<VertexId>,
        values: &mut Vec<Value>,
    ) -> bool {
        if self.own.is_some() {
            return self.scan_own_properties(wanted, after, ids, values);
        }
        let from = after.map_or(0, |id| id.0 + 1);
        let end = ids.len() + wanted.vertices_max;
        let mut batch = Batch { wanted, ids, values, end, bytes: 0, has_more: false };
        match wanted.label {
            Some(label) => self.scan_label_into(label, from, &mut batch),
            None => self.scan_into(from, &mut batch),
        }
        batch.has_more
    }

    fn scan_into(&self, from: u64, batch: &mut Batch<'_>) {
        let mut next = Some(from);
        while let Some(from) = next
            && !batch.has_more
        {
            next = self.graph.vertices.read_from(from, |first, chunk| {
                let mut found: SmallVec<[(VertexId, &[u8]); PIECE]> = SmallVec::new();
                for id in from.max(first)..first + chunk.len() as u64 {
                    if batch.has_more {
                        break;
                    }
                    if let Some(content) = chunk.at(VertexId(id), self.version.lsn) {
                        found.push((VertexId(id), content.properties));
                    }
                    if found.len() == PIECE {
                        batch.take(&found);
                        found.clear();
                    }
                }
                batch.take(&found);
                first + CHUNK as u64
            });
        }
    }

    fn scan_label_into(&self, label: LabelId, mut from: u64, batch: &mut Batch<'_>) {
        let mut candidates = Vec::new();
        let mut last: Option<(SetId, bool)> = None;
        while !batch.has_more {
            candidates.clear();
            // One more tells whether there is one.
            let asked = (batch.end - batch.ids.len() + 1).max(32);
            self.graph.members.candidates(label, from, asked, &mut candidates);
            let Some(last_candidate) = candidates.last() else { return };
            from = last_candidate.0 + 1;
            self.graph.vertices.read_runs(
                &candidates,
                |id| id.0,
                |places, chunk| {
                    let Some(chunk) = chunk else { return true };
                    for piece in candidates[places].chunks(PIECE) {
                        let mut found: SmallVec<[(VertexId, &[u8]); PIECE]> = SmallVec::new();
                        for id in piece {
                            let Some(content) = chunk.at(*id, self.version.lsn) else { continue };
                            let has_label = match last {
                                // Vertices that follow each other often have the same labels.
                                Some((set, has)) if set == content.labels => has,
                                _ => {
                                    let has = self.graph.label_sets.has(content.labels, label);
                                    last = Some((content.labels, has));
                                    has
                                }
                            };
                            if has_label {
                                found.push((*id, content.properties));
                            }
                        }
                        batch.take(&found);
                        if batch.has_more {
                            return false;
                        }
                    }
                    true
                },
            );
            if candidates.len() < asked {
                return;
            }
        }
    }

    /// The same where this transaction has written: vertices first, then their properties.
    fn scan_own_properties(
        &self,
        wanted: &Wanted<'_>,
        after: Option<VertexId>,
        ids: &mut Vec<VertexId>,
        values: &mut Vec<Value>,
    ) -> bool {
        let start = ids.len();
        match wanted.label {
            Some(label) => self.scan_label(label, after, wanted.vertices_max, ids),
            None => self.scan_vertices(after, wanted.vertices_max, ids),
        }
        let found = ids.len() - start;
        let read = self.vertices_properties(&ids[start..], wanted.keys, wanted.bytes_max, values);
        ids.truncate(start + read);
        read < found || found == wanted.vertices_max
    }
}
