//! Reading the indexes of edges, and following them with own writes.

use super::{IndexBounds, IndexCursor, IndexEntry, Kept, Key, Reader, Transaction};
use crate::storage::index::EdgeIndex;
use crate::types::{EdgeId, IndexSpec, PropertyKeyId, Value};

impl Transaction {
    /// As [`Self::index_seek`], edges: by id where the index has no properties, else by (value, id).
    pub fn edge_index_seek(
        &self,
        index: &IndexSpec,
        bounds: &IndexBounds,
        cursor: &mut IndexCursor<EdgeId>,
        limit: usize,
        out: &mut Vec<EdgeId>,
    ) {
        match self.version.schema.index(index) {
            Some(Kept::EdgesOfType(edge_type, members)) => {
                let own = self.own.as_ref().and_then(|own| own.edge_types.get(edge_type));
                let start = out.len();
                let mut from = cursor.after.as_ref().map_or(0, |(_, id)| id.0 + 1);
                if let Some(own) = own {
                    let rest = &own[own.partition_point(|id| id.0 < from)..];
                    out.extend(rest.iter().filter(|id| self.edge(**id).is_some()).take(limit));
                }
                let own_end = out.len();
                let mut candidates = Vec::new();
                while out.len() - own_end < limit {
                    candidates.clear();
                    members.candidates(
                        from,
                        (limit - (out.len() - own_end)).max(32),
                        EdgeId,
                        &mut candidates,
                    );
                    let Some(last) = candidates.last() else { break };
                    from = last.0 + 1;
                    self.graph.edges.read_each(
                        &candidates,
                        |id| id.0,
                        |place, chunk| {
                            let id = candidates[place];
                            let is_there = chunk.is_some_and(|c| c.at(id, self.version.lsn).is_some());
                            let is_kept = || self.edge_write(id).is_none_or(|write| !write.is_deleted);
                            if out.len() - own_end < limit && is_there && is_kept() {
                                out.push(id);
                            }
                        },
                    );
                }
                if own_end > start {
                    out[start..].sort_unstable();
                    out.truncate(start + limit);
                }
                if let Some(last) = out[start..].last() {
                    cursor.after = Some((Key::new(), *last));
                }
            }
            Some(Kept::EdgeEntries(index)) => {
                let Some(range) = bounds.keys() else { return };
                let own = self.own.as_ref().and_then(|own| own.edge_indexes.of(index));
                index.seek(&range, own, &self.edge_reader(index), cursor, limit, out);
            }
            _ => {}
        }
    }

    /// As [`Self::index_find`], an edge.
    pub fn edge_index_find(&self, index: &IndexSpec, values: &[Value]) -> Option<Option<EdgeId>> {
        let Some(Kept::EdgeEntries(index)) = self.version.schema.index(index) else { return None };
        let has_own = self.own.as_ref().is_some_and(|own| own.edge_indexes.of(index).is_some());
        if values.len() != index.keys.len() || has_own {
            return None;
        }
        let Some(key) = IndexBounds::key_of(values) else { return Some(None) };
        index.find(key, &self.edge_reader(index))
    }

    /// Says how this transaction tells which entries of an index are for it.
    fn edge_reader<'a>(
        &'a self,
        index: &'a EdgeIndex,
    ) -> Reader<impl Fn(EdgeId) -> bool + 'a, impl Fn(&IndexEntry<EdgeId>) -> bool + 'a> {
        let own_key = |id| index.key(|property| self.edge_property(id, property));
        let is_seen = move |(key, id): &IndexEntry<EdgeId>| match self.edge_write(*id) {
            Some(write) if write.is_deleted => false,
            Some(write) if write.properties.is_some() => own_key(*id).as_ref() == Some(key),
            None if self.created_edge(*id).is_some() => own_key(*id).as_ref() == Some(key),
            _ => {
                let fits = self.base_edge(*id, |_, block| index.key_of_block(block).as_ref() == Some(key));
                fits.unwrap_or(false)
            }
        };
        Reader { read: self.version.lsn, is_own: |id| self.edge_write(id).is_some(), is_seen }
    }

    /// As [`Self::index_count`].
    pub(super) fn edge_index_count(&self, kept: &Kept) -> u64 {
        let own = self.own.as_ref();
        match kept {
            Kept::EdgesOfType(edge_type, members) => {
                let own = own.and_then(|own| own.edge_types.get(edge_type));
                members.count() + own.map_or(0, |ids| ids.len() as u64)
            }
            Kept::EdgeEntries(index) => {
                let own = own.and_then(|own| own.edge_indexes.of(index));
                index.len() + own.map_or(0, |entries| entries.len() as u64)
            }
            Kept::Nothing | Kept::Vertices(_) => 0,
        }
    }

    /// Notes the entries that an edge now has in indexes over a property that changed; in all, if none is named.
    pub(super) fn reindex_edge(&mut self, id: EdgeId, changed: Option<PropertyKeyId>) {
        if self.version.schema.maintains_no_edges() {
            return;
        }
        let schema = self.version.schema.clone();
        let Some(info) = self.edge(id) else { return };
        let Some(of_type) = schema.of_type(info.edge_type) else { return };
        let is_new = changed.is_none() && self.created_edge(id).is_some();
        if is_new && of_type.members.is_some() {
            self.own().edge_types.entry(info.edge_type).or_default().push(id);
        }
        for index in &of_type.indexes {
            if changed.is_some_and(|key| !index.keys.contains(&key)) {
                continue;
            }
            if let Some(key) = index.key(|property| self.edge_property(id, property)) {
                self.own().edge_indexes.add(index, (key, id));
            }
        }
    }
}
