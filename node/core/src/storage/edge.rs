//! Edges: sixteen bytes each, and their properties beside them.

use super::chunk::{Chunk, grow, slot_of};
use super::delta::{Deltas, Touch, Undo};
use super::properties::Block;
use super::transaction::EdgeInfo;
use crate::types::{EdgeId, EdgeTypeId, Lsn, VertexId};

/// The newest state of an edge: from 40 bits, to 40 bits, edge type 16 bits; then where its
/// properties are in the chunk, since most edges have none.
#[derive(Clone, Copy, Default)]
struct EdgeSlot {
    ends: [u32; 3],
    /// One more than the place in the chunk's blocks; 0 where there are none.
    properties: u16,
    exists: bool,
    has_deltas: bool,
}

impl EdgeSlot {
    fn info(&self) -> EdgeInfo {
        EdgeInfo {
            from: VertexId(u64::from(self.ends[0]) | u64::from(self.ends[2] & 0xff) << 32),
            to: VertexId(u64::from(self.ends[1]) | u64::from(self.ends[2] >> 8 & 0xff) << 32),
            edge_type: EdgeTypeId((self.ends[2] >> 16) as u16),
        }
    }
}

fn pack(info: EdgeInfo) -> [u32; 3] {
    let high =
        (info.from.0 >> 32) as u32 | ((info.to.0 >> 32) as u32) << 8 | u32::from(info.edge_type.0) << 16;
    [info.from.0 as u32, info.to.0 as u32, high]
}

/// Takes an edge back by one change.
#[derive(Debug)]
pub(super) enum EdgeUndo {
    /// It did not exist.
    Created,
    /// It existed, as the slot still says, with these properties.
    Deleted {
        properties: Block,
    },
    Properties(Block),
}

impl Undo for EdgeUndo {
    fn touch(&self) -> Touch {
        match self {
            EdgeUndo::Created | EdgeUndo::Properties(_) => Touch::CONTENT,
            EdgeUndo::Deleted { .. } => Touch::DELETED,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            EdgeUndo::Deleted { properties } | EdgeUndo::Properties(properties) => properties.len(),
            EdgeUndo::Created => 0,
        }
    }
}

/// 1024 edges.
#[derive(Default)]
pub(super) struct EdgeChunk {
    slots: Vec<EdgeSlot>,
    /// Slots that exist.
    live: u16,
    blocks: Vec<Block>,
    free: Vec<u16>,
    deltas: Deltas<EdgeUndo>,
}

impl Chunk for EdgeChunk {
    fn is_empty(&self) -> bool {
        self.live == 0 && self.deltas.is_empty()
    }
}

impl EdgeChunk {
    fn slot(&self, id: EdgeId) -> Option<&EdgeSlot> {
        self.slots.get(usize::from(slot_of(id.0)))
    }

    fn block(&self, slot: &EdgeSlot) -> &[u8] {
        match slot.properties {
            0 => &[],
            place => &self.blocks[usize::from(place) - 1],
        }
    }

    /// Returns what a reader at `read` sees, None where that is nothing.
    pub(super) fn at(&self, id: EdgeId, read: Lsn) -> Option<(EdgeInfo, &[u8])> {
        let slot = self.slot(id)?;
        let mut properties = slot.exists.then(|| self.block(slot));
        if slot.has_deltas {
            for undo in self.deltas.back_to(slot_of(id.0), read) {
                properties = match undo {
                    EdgeUndo::Created => None,
                    EdgeUndo::Deleted { properties } | EdgeUndo::Properties(properties) => Some(properties),
                };
            }
        }
        // Ids are never reused, so the ends in the slot are those of every state.
        properties.map(|properties| (slot.info(), properties))
    }

    /// Returns the newest state.
    pub(super) fn newest(&self, id: EdgeId) -> Option<(EdgeInfo, &[u8])> {
        let slot = self.slot(id)?;
        slot.exists.then(|| (slot.info(), self.block(slot)))
    }

    /// Shows the properties of each state that a reader at or after `horizon` may see.
    pub(super) fn states(&self, id: EdgeId, horizon: Lsn, mut see: impl FnMut(&[u8])) {
        let Some(slot) = self.slot(id) else { return };
        if slot.exists {
            see(self.block(slot));
        }
        for undo in self.deltas.back_to(slot_of(id.0), horizon) {
            match undo {
                EdgeUndo::Created => {}
                EdgeUndo::Deleted { properties } | EdgeUndo::Properties(properties) => see(properties),
            }
        }
    }

    /// Returns all that was done to an edge after `read`.
    pub(super) fn touched_after(&self, id: EdgeId, read: Lsn) -> Touch {
        match self.slot(id) {
            Some(slot) if slot.has_deltas => self.deltas.touched_after(slot_of(id.0), read),
            _ => Touch::default(),
        }
    }

    /// How many slots there are; ids of the chunk beyond them never existed.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the edge is one that an old reader may see, or that exists.
    fn is_known(&self, id: EdgeId) -> bool {
        self.slot(id).is_some_and(|slot| slot.exists || slot.has_deltas)
    }

    /// Creates an edge; false where it is known.
    pub(super) fn create(&mut self, id: EdgeId, info: EdgeInfo, properties: Block, at: Option<Lsn>) -> bool {
        if self.is_known(id) {
            return false;
        }
        grow(&mut self.slots, slot_of(id.0));
        let place = self.put(properties);
        self.slots[usize::from(slot_of(id.0))] =
            EdgeSlot { ends: pack(info), properties: place, exists: true, has_deltas: false };
        self.live += 1;
        self.keep(id, at, || EdgeUndo::Created);
        true
    }

    /// Deletes an edge that exists.
    pub(super) fn delete(&mut self, id: EdgeId, at: Option<Lsn>) {
        let properties = self.take(id);
        self.existing(id).exists = false;
        self.live -= 1;
        self.keep(id, at, || EdgeUndo::Deleted { properties });
    }

    /// Gives an edge that exists other properties.
    pub(super) fn set_properties(&mut self, id: EdgeId, properties: Block, at: Option<Lsn>) {
        let before = self.take(id);
        let place = self.put(properties);
        self.existing(id).properties = place;
        self.keep(id, at, || EdgeUndo::Properties(before));
    }

    /// Drops undo steps that no reader at or after `horizon` needs; returns how many, and whether
    /// the chunk holds nothing any more.
    pub(super) fn trim(&mut self, id: EdgeId, horizon: Lsn) -> (usize, bool) {
        let (dropped, left) = self.deltas.trim(slot_of(id.0), horizon);
        if !left && let Some(slot) = self.slots.get_mut(usize::from(slot_of(id.0))) {
            slot.has_deltas = false;
        }
        (dropped, self.is_empty())
    }

    /// Returns bytes of (slots, properties, deltas).
    pub(super) fn bytes(&self) -> [usize; 3] {
        let slots = super::memory::heap(self.slots.capacity() * size_of::<EdgeSlot>()) + size_of::<Self>();
        let blocks: usize = self.blocks.iter().map(|block| super::memory::heap(block.len())).sum();
        let places = super::memory::heap(self.blocks.capacity() * size_of::<Block>())
            + super::memory::heap(self.free.capacity() * size_of::<u16>());
        [slots, blocks + places, self.deltas.bytes()]
    }

    fn existing(&mut self, id: EdgeId) -> &mut EdgeSlot {
        let slot = &mut self.slots[usize::from(slot_of(id.0))];
        assert!(slot.exists, "edge {id} was found to exist before it is changed");
        slot
    }

    fn put(&mut self, properties: Block) -> u16 {
        if properties.is_empty() {
            return 0;
        }
        match self.free.pop() {
            Some(place) => {
                self.blocks[usize::from(place) - 1] = properties;
                place
            }
            None => {
                self.blocks.push(properties);
                u16::try_from(self.blocks.len()).expect("a chunk has 1024 slots")
            }
        }
    }

    fn take(&mut self, id: EdgeId) -> Block {
        let place = std::mem::take(&mut self.existing(id).properties);
        if place == 0 {
            return Block::default();
        }
        self.free.push(place);
        std::mem::take(&mut self.blocks[usize::from(place) - 1])
    }

    /// Leaves an undo step, where there is a reader to leave it for.
    pub(super) fn keep(&mut self, id: EdgeId, at: Option<Lsn>, undo: impl FnOnce() -> EdgeUndo) {
        if let Some(lsn) = at {
            self.slots[usize::from(slot_of(id.0))].has_deltas = true;
            self.deltas.push(slot_of(id.0), lsn, undo());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_takes_16_bytes_and_keeps_every_bit() {
        assert_eq!(size_of::<EdgeSlot>(), 16);
        let top = (1 << 40) - 1;
        for (from, to, edge_type) in [(top, 0, 0), (0, top, 0), (0, 0, u16::MAX), (1 << 32, 3 << 33, 7)] {
            let info = EdgeInfo { from: VertexId(from), to: VertexId(to), edge_type: EdgeTypeId(edge_type) };
            let slot = EdgeSlot { ends: pack(info), ..EdgeSlot::default() };
            assert_eq!(slot.info(), info);
        }
    }

    #[test]
    fn places_of_properties_are_used_again() {
        let mut chunk = EdgeChunk::default();
        let info = EdgeInfo { from: VertexId(1), to: VertexId(2), edge_type: EdgeTypeId(0) };
        for id in 0..1024 {
            assert!(chunk.create(EdgeId(id), info, [1].into(), None));
        }
        for round in 0..5 {
            for id in 0..1024 {
                chunk.set_properties(EdgeId(id), [round].into(), None);
            }
        }
        assert_eq!(chunk.blocks.len(), 1024);
        chunk.set_properties(EdgeId(7), Block::default(), None);
        chunk.delete(EdgeId(8), None);
        assert_eq!(chunk.newest(EdgeId(7)), Some((info, &[][..])));
        assert_eq!(chunk.newest(EdgeId(8)), None);
        assert_eq!(chunk.newest(EdgeId(9)), Some((info, &[4][..])));
        assert_eq!(chunk.free.len(), 2);
    }
}
