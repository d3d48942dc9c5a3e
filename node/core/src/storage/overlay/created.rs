//! The edges that a transaction has created.
//!
//! Most transactions that create many never ask what is at a vertex, so the edges are one list, by id. The first who asks
//! has them sorted to their vertices; from then on both are kept.

use super::Properties;
use crate::storage::adjacency::{Adjacency, Adjacent};
use crate::storage::transaction::EdgeInfo;
use crate::storage::vertex::Side;
use crate::types::{EdgeId, VertexId};
use rustc_hash::FxHashMap;
use std::sync::OnceLock;

/// An edge that the graph does not have yet.
pub(in crate::storage) struct CreatedEdge {
    pub(in crate::storage) id: EdgeId,
    pub(in crate::storage) info: EdgeInfo,
    /// All properties.
    pub(in crate::storage) properties: Properties,
    pub(in crate::storage) is_deleted: bool,
}

/// What was created at one vertex.
#[derive(Default)]
struct Ends {
    out: Adjacency,
    inc: Adjacency,
}

impl Ends {
    fn side_mut(&mut self, side: Side) -> &mut Adjacency {
        match side {
            Side::Out => &mut self.out,
            Side::In => &mut self.inc,
        }
    }
}

/// All of them, rising by id.
#[derive(Default)]
pub(in crate::storage) struct CreatedEdges {
    list: Vec<CreatedEdge>,
    /// Those that are not deleted, by their ends, once somebody has asked.
    by_end: OnceLock<FxHashMap<VertexId, Ends>>,
}

/// Returns an edge as its two ends see it.
fn as_ends_see(edge: &CreatedEdge) -> [(VertexId, Side, Adjacent); 2] {
    let EdgeInfo { from, to, edge_type } = edge.info;
    [
        (from, Side::Out, Adjacent::new(edge.id, to, edge_type)),
        (to, Side::In, Adjacent::new(edge.id, from, edge_type)),
    ]
}

impl CreatedEdges {
    /// Adds one with a greater id than all before.
    pub(in crate::storage) fn push(&mut self, edge: CreatedEdge) {
        debug_assert!(self.list.last().is_none_or(|last| last.id < edge.id), "ids of edges rise");
        if let Some(by_end) = self.by_end.get_mut() {
            for (vertex, side, entry) in as_ends_see(&edge) {
                by_end.entry(vertex).or_default().side_mut(side).insert(entry);
            }
        }
        self.list.push(edge);
    }

    /// Returns all, the deleted ones too.
    pub(in crate::storage) fn all(&self) -> &[CreatedEdge] {
        &self.list
    }

    /// Returns those that are not deleted.
    pub(in crate::storage) fn alive(&self) -> impl Iterator<Item = &CreatedEdge> {
        self.list.iter().filter(|edge| !edge.is_deleted)
    }

    /// Returns those that are not deleted, to be taken apart.
    pub(in crate::storage) fn alive_mut(&mut self) -> impl Iterator<Item = &mut CreatedEdge> {
        self.list.iter_mut().filter(|edge| !edge.is_deleted)
    }

    fn place(&self, id: EdgeId) -> Option<usize> {
        // Nearly always nobody else took ids meanwhile.
        let first = self.list.first()?.id;
        let near = usize::try_from(id.0.checked_sub(first.0)?).ok()?;
        if self.list.get(near).is_some_and(|edge| edge.id == id) {
            return Some(near);
        }
        self.list.binary_search_by_key(&id, |edge| edge.id).ok()
    }

    /// Finds one, deleted or not.
    pub(in crate::storage) fn get(&self, id: EdgeId) -> Option<&CreatedEdge> {
        self.place(id).map(|place| &self.list[place])
    }

    /// As `get`; whether it is deleted is not to be changed.
    pub(in crate::storage) fn get_mut(&mut self, id: EdgeId) -> Option<&mut CreatedEdge> {
        self.place(id).map(|place| &mut self.list[place])
    }

    /// Deletes one. False where there is none.
    pub(in crate::storage) fn delete(&mut self, id: EdgeId) -> bool {
        let Some(place) = self.place(id) else { return false };
        let edge = &mut self.list[place];
        edge.is_deleted = true;
        if let Some(by_end) = self.by_end.get_mut() {
            for (vertex, side, _) in as_ends_see(edge) {
                by_end.get_mut(&vertex).and_then(|ends| ends.side_mut(side).remove(id));
            }
        }
        true
    }

    /// Returns those at one side of a vertex that are not deleted, by id.
    pub(in crate::storage) fn at(&self, vertex: VertexId, side: Side) -> &[Adjacent] {
        if self.list.is_empty() {
            return &[];
        }
        let by_end = self.by_end.get_or_init(|| {
            let mut by_end: FxHashMap<VertexId, Ends> = FxHashMap::default();
            for (vertex, side, entry) in self.alive().flat_map(as_ends_see) {
                by_end.entry(vertex).or_default().side_mut(side).insert(entry);
            }
            by_end
        });
        match (by_end.get(&vertex), side) {
            (None, _) => &[],
            (Some(ends), Side::Out) => ends.out.as_slice(),
            (Some(ends), Side::In) => ends.inc.as_slice(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::EdgeTypeId;

    fn edge(id: u64, from: u64, to: u64) -> CreatedEdge {
        let info = EdgeInfo { from: VertexId(from), to: VertexId(to), edge_type: EdgeTypeId(1) };
        CreatedEdge { id: EdgeId(id), info, properties: Properties::new(), is_deleted: false }
    }

    fn ids(edges: &CreatedEdges, vertex: u64, side: Side) -> Vec<u64> {
        edges.at(VertexId(vertex), side).iter().map(|entry| entry.edge().0).collect()
    }

    #[test]
    fn whoever_asks_early_or_late_sees_the_same() {
        for asks_after in [0, 2, 5] {
            let mut edges = CreatedEdges::default();
            for (at, (id, from, to)) in
                [(3, 1, 2), (4, 2, 1), (9, 1, 1), (11, 2, 1), (12, 1, 3)].into_iter().enumerate()
            {
                edges.push(edge(id, from, to));
                if at + 1 == asks_after {
                    assert_eq!(ids(&edges, 1, Side::Out).first(), Some(&3));
                }
            }
            assert!(edges.delete(EdgeId(4)) && !edges.delete(EdgeId(5)) && !edges.delete(EdgeId(1)));
            assert_eq!(ids(&edges, 1, Side::Out), [3, 9, 12]);
            assert_eq!(ids(&edges, 1, Side::In), [9, 11]);
            assert_eq!((ids(&edges, 2, Side::Out), ids(&edges, 7, Side::In)), (vec![11], vec![]));
            assert!(edges.get(EdgeId(4)).is_some_and(|edge| edge.is_deleted));
            assert_eq!(edges.get_mut(EdgeId(12)).map(|edge| edge.info.to), Some(VertexId(3)));
            assert_eq!((edges.all().len(), edges.alive().count()), (5, 4));
        }
    }
}
