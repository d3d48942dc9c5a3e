//! The edges at one side of a vertex: twelve bytes each, by edge id.

use crate::types::{EdgeId, EdgeTypeId, VertexId};

/// One edge as its vertex sees it: edge id 40 bits, other vertex 40 bits, edge type 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Adjacent([u32; 3]);

impl Adjacent {
    pub(super) fn new(edge: EdgeId, other: VertexId, edge_type: EdgeTypeId) -> Adjacent {
        let high = (edge.0 >> 32) as u32 | ((other.0 >> 32) as u32) << 8 | u32::from(edge_type.0) << 16;
        Adjacent([edge.0 as u32, other.0 as u32, high])
    }

    pub(super) fn edge(self) -> EdgeId {
        EdgeId(u64::from(self.0[0]) | u64::from(self.0[2] & 0xff) << 32)
    }

    pub(super) fn other(self) -> VertexId {
        VertexId(u64::from(self.0[1]) | u64::from(self.0[2] >> 8 & 0xff) << 32)
    }

    pub(super) fn edge_type(self) -> EdgeTypeId {
        EdgeTypeId((self.0[2] >> 16) as u16)
    }
}

/// The edges at one side of a vertex, rising by edge id.
///
/// Edge ids rise, so an insertion is nearly always at the end. Growth is by a quarter, which costs
/// about four copies of each entry in the long run and keeps the slack near a tenth.
#[derive(Clone, Debug, Default)]
pub(super) struct Adjacency(Vec<Adjacent>);

impl Adjacency {
    pub(super) fn as_slice(&self) -> &[Adjacent] {
        &self.0
    }

    /// Adds an edge; false where it is there already.
    pub(super) fn insert(&mut self, entry: Adjacent) -> bool {
        let at = match self.0.last() {
            Some(last) if last.edge() >= entry.edge() => match self.find(entry.edge()) {
                Ok(_) => return false,
                Err(at) => at,
            },
            _ => self.0.len(),
        };
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact((self.0.len() / 4).max(2));
        }
        self.0.insert(at, entry);
        true
    }

    /// Takes an edge away, and room with it once most of it is empty.
    pub(super) fn remove(&mut self, edge: EdgeId) -> Option<Adjacent> {
        let removed = self.0.remove(self.find(edge).ok()?);
        if self.0.len() < self.0.capacity() / 2 {
            self.0.shrink_to(self.0.len() + self.0.len() / 4);
        }
        Some(removed)
    }

    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    fn find(&self, edge: EdgeId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&edge, |entry| entry.edge())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_keeps_every_bit() {
        let top = (1 << 40) - 1;
        for (edge, other, edge_type) in [
            (0, 0, 0),
            (top, 0, 0),
            (0, top, 0),
            (0, 0, u16::MAX),
            (top, top, u16::MAX),
            (1 << 32, 5 << 33, 7),
        ] {
            let entry = Adjacent::new(EdgeId(edge), VertexId(other), EdgeTypeId(edge_type));
            assert_eq!((entry.edge().0, entry.other().0, entry.edge_type().0), (edge, other, edge_type));
        }
        assert_eq!(size_of::<Adjacent>(), 12);
    }

    #[test]
    fn entries_stay_sorted_and_room_is_given_back() {
        let entry = |edge| Adjacent::new(EdgeId(edge), VertexId(0), EdgeTypeId(0));
        let mut adjacency = Adjacency::default();
        for edge in [5, 9, 7, 1, 8] {
            assert!(adjacency.insert(entry(edge)));
        }
        assert!(!adjacency.insert(entry(7)));
        assert!(!adjacency.insert(entry(9)));
        let ids: Vec<u64> = adjacency.as_slice().iter().map(|e| e.edge().0).collect();
        assert_eq!(ids, [1, 5, 7, 8, 9]);
        assert_eq!(adjacency.remove(EdgeId(6)), None);
        for edge in 10..1000 {
            adjacency.insert(entry(edge));
        }
        assert!(adjacency.capacity() <= 1250);
        for edge in 10..1000 {
            assert_eq!(adjacency.remove(EdgeId(edge)), Some(entry(edge)));
        }
        assert!(adjacency.capacity() < 20);
    }
}
