//! Vertices: a slot each, and the state of one at some LSN.

use super::adjacency::{Adjacency, Adjacent};
use super::chunk::{Chunk, grow, slot_of};
use super::delta::{Deltas, Touch, Undo};
use super::labels::SetId;
use super::properties::Block;
use crate::types::{EdgeId, Lsn, VertexId};

/// The newest state of a vertex. The default is none at all.
#[derive(Default)]
pub(super) struct VertexSlot {
    pub(super) out: Adjacency,
    pub(super) inc: Adjacency,
    pub(super) properties: Block,
    pub(super) labels: SetId,
    exists: bool,
    has_deltas: bool,
}

/// Which of a vertex's two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Out,
    In,
}

/// Takes a vertex back by one change.
#[derive(Debug)]
pub(super) enum VertexUndo {
    /// It did not exist.
    Created,
    /// It existed, with these, and without edges.
    Deleted {
        labels: SetId,
        properties: Block,
    },
    Labels(SetId),
    Properties(Block),
    EdgeAdded(Side, EdgeId),
    EdgeRemoved(Side, Adjacent),
}

impl Undo for VertexUndo {
    fn touch(&self) -> Touch {
        match self {
            VertexUndo::Created | VertexUndo::Labels(_) | VertexUndo::Properties(_) => Touch::CONTENT,
            VertexUndo::Deleted { .. } => Touch::DELETED,
            VertexUndo::EdgeAdded(..) | VertexUndo::EdgeRemoved(..) => Touch::EDGES,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            VertexUndo::Deleted { properties, .. } | VertexUndo::Properties(properties) => properties.len(),
            _ => 0,
        }
    }
}

/// Labels and properties of a vertex that exists.
#[derive(Clone, Copy)]
pub(super) struct Content<'a> {
    pub(super) labels: SetId,
    pub(super) properties: &'a [u8],
}

/// 1024 vertices.
#[derive(Default)]
pub(super) struct VertexChunk {
    slots: Vec<VertexSlot>,
    /// Slots that exist.
    live: u16,
    deltas: Deltas<VertexUndo>,
}

impl Chunk for VertexChunk {
    fn is_empty(&self) -> bool {
        self.live == 0 && self.deltas.is_empty()
    }
}

impl VertexChunk {
    #[inline]
    fn slot(&self, id: VertexId) -> Option<&VertexSlot> {
        self.slots.get(usize::from(slot_of(id.0)))
    }

    /// Returns what a reader at `read` sees, None where that is nothing.
    #[inline]
    pub(super) fn at(&self, id: VertexId, read: Lsn) -> Option<Content<'_>> {
        let slot = self.slot(id)?;
        let newest = slot.newest();
        if !slot.has_deltas {
            return newest;
        }
        self.deltas.back_to(slot_of(id.0), read).fold(newest, back)
    }

    /// Returns the newest state.
    pub(super) fn newest(&self, id: VertexId) -> Option<Content<'_>> {
        self.slot(id)?.newest()
    }

    /// Calls `see` with every state that some reader at or after `horizon` may see.
    pub(super) fn states(&self, id: VertexId, horizon: Lsn, mut see: impl FnMut(Content<'_>)) {
        let Some(slot) = self.slot(id) else { return };
        let mut state = slot.newest();
        if let Some(content) = state {
            see(content);
        }
        for undo in self.deltas.back_to(slot_of(id.0), horizon) {
            state = back(state, undo);
            if let Some(content) = state {
                see(content);
            }
        }
    }

    /// Looks at the edges at one side as a reader at `read` sees them.
    pub(super) fn edges<R>(
        &self,
        id: VertexId,
        side: Side,
        read: Lsn,
        look: impl FnOnce(&[Adjacent]) -> R,
    ) -> R {
        let Some(slot) = self.slot(id) else { return look(&[]) };
        let newest = slot.side(side);
        if !slot.has_deltas {
            return look(newest.as_slice());
        }
        let mut undone: Option<Adjacency> = None;
        for undo in self.deltas.back_to(slot_of(id.0), read) {
            match undo {
                VertexUndo::EdgeAdded(s, edge) if *s == side => {
                    undone.get_or_insert_with(|| newest.clone()).remove(*edge);
                }
                VertexUndo::EdgeRemoved(s, entry) if *s == side => {
                    undone.get_or_insert_with(|| newest.clone()).insert(*entry);
                }
                _ => {}
            }
        }
        look(undone.as_ref().unwrap_or(newest).as_slice())
    }

    /// Returns all that was done to a vertex after `read`.
    pub(super) fn touched_after(&self, id: VertexId, read: Lsn) -> Touch {
        match self.slot(id) {
            Some(slot) if slot.has_deltas => self.deltas.touched_after(slot_of(id.0), read),
            _ => Touch::default(),
        }
    }

    /// Returns whether a reader at `read` sees a vertex, and what was done to it after that.
    pub(super) fn to_write(&self, id: VertexId, read: Lsn) -> (bool, Touch) {
        let touched = self.touched_after(id, read);
        let exists = match touched == Touch::default() {
            true => self.newest(id).is_some(),
            false => self.at(id, read).is_some(),
        };
        (exists, touched)
    }

    /// How many slots there are; ids of the chunk beyond them never existed.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Creates a vertex; false where it exists.
    pub(super) fn create(&mut self, id: VertexId, labels: SetId, properties: Block, at: Option<Lsn>) -> bool {
        grow(&mut self.slots, slot_of(id.0));
        let slot = &mut self.slots[usize::from(slot_of(id.0))];
        if slot.exists {
            return false;
        }
        slot.exists = true;
        slot.labels = labels;
        slot.properties = properties;
        self.live += 1;
        self.keep(id, at, || VertexUndo::Created);
        true
    }

    /// Deletes a vertex that exists and has no edges.
    pub(super) fn delete(&mut self, id: VertexId, at: Option<Lsn>) {
        let slot = self.existing(id);
        slot.exists = false;
        let labels = std::mem::take(&mut slot.labels);
        let properties = std::mem::take(&mut slot.properties);
        slot.out = Adjacency::default();
        slot.inc = Adjacency::default();
        self.live -= 1;
        self.keep(id, at, || VertexUndo::Deleted { labels, properties });
    }

    /// Gives a vertex that exists another set of labels.
    pub(super) fn set_labels(&mut self, id: VertexId, labels: SetId, at: Option<Lsn>) {
        let before = std::mem::replace(&mut self.existing(id).labels, labels);
        self.keep(id, at, || VertexUndo::Labels(before));
    }

    /// Gives a vertex that exists other properties.
    pub(super) fn set_properties(&mut self, id: VertexId, properties: Block, at: Option<Lsn>) {
        let before = std::mem::replace(&mut self.existing(id).properties, properties);
        self.keep(id, at, || VertexUndo::Properties(before));
    }

    /// Adds an edge at a vertex that exists; false where it is there.
    pub(super) fn add_edge(&mut self, id: VertexId, side: Side, entry: Adjacent, at: Option<Lsn>) -> bool {
        let added = self.existing(id).side_mut(side).insert(entry);
        if added {
            self.keep(id, at, || VertexUndo::EdgeAdded(side, entry.edge()));
        }
        added
    }

    /// Takes an edge from a vertex; false where it is not there.
    pub(super) fn remove_edge(&mut self, id: VertexId, side: Side, edge: EdgeId, at: Option<Lsn>) -> bool {
        let removed = self.existing(id).side_mut(side).remove(edge);
        match removed {
            Some(entry) => {
                self.keep(id, at, || VertexUndo::EdgeRemoved(side, entry));
                true
            }
            None => false,
        }
    }

    /// Whether a vertex that exists has no edges now.
    pub(super) fn is_alone(&self, id: VertexId) -> bool {
        self.slot(id).is_some_and(|s| s.out.as_slice().is_empty() && s.inc.as_slice().is_empty())
    }

    /// Drops undo steps that no reader at or after `horizon` needs; returns how many, and whether
    /// the chunk holds nothing any more.
    pub(super) fn trim(&mut self, id: VertexId, horizon: Lsn) -> (usize, bool) {
        let (dropped, left) = self.deltas.trim(slot_of(id.0), horizon);
        if !left && let Some(slot) = self.slots.get_mut(usize::from(slot_of(id.0))) {
            slot.has_deltas = false;
        }
        (dropped, self.is_empty())
    }

    /// Returns bytes of (slots, adjacency, properties, deltas).
    pub(super) fn bytes(&self) -> [usize; 4] {
        let mut bytes = [0; 4];
        bytes[0] = super::memory::heap(self.slots.capacity() * size_of::<VertexSlot>()) + size_of::<Self>();
        for slot in &self.slots {
            for side in [&slot.out, &slot.inc] {
                bytes[1] += super::memory::heap(side.capacity() * size_of::<Adjacent>());
            }
            bytes[2] += super::memory::heap(slot.properties.len());
        }
        bytes[3] = self.deltas.bytes();
        bytes
    }

    fn existing(&mut self, id: VertexId) -> &mut VertexSlot {
        let slot = &mut self.slots[usize::from(slot_of(id.0))];
        assert!(slot.exists, "vertex {id} was found to exist before it is changed");
        slot
    }

    /// Leaves an undo step, where there is a reader to leave it for.
    pub(super) fn keep(&mut self, id: VertexId, at: Option<Lsn>, undo: impl FnOnce() -> VertexUndo) {
        if let Some(lsn) = at {
            self.slots[usize::from(slot_of(id.0))].has_deltas = true;
            self.deltas.push(slot_of(id.0), lsn, undo());
        }
    }
}

impl VertexSlot {
    fn newest(&self) -> Option<Content<'_>> {
        self.exists.then_some(Content { labels: self.labels, properties: &self.properties })
    }

    fn side(&self, side: Side) -> &Adjacency {
        match side {
            Side::Out => &self.out,
            Side::In => &self.inc,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Adjacency {
        match side {
            Side::Out => &mut self.out,
            Side::In => &mut self.inc,
        }
    }
}

fn back<'a>(state: Option<Content<'a>>, undo: &'a VertexUndo) -> Option<Content<'a>> {
    match undo {
        VertexUndo::Created => None,
        VertexUndo::Deleted { labels, properties } => Some(Content { labels: *labels, properties }),
        VertexUndo::Labels(labels) => state.map(|content| Content { labels: *labels, ..content }),
        VertexUndo::Properties(properties) => state.map(|content| Content { properties, ..content }),
        VertexUndo::EdgeAdded(..) | VertexUndo::EdgeRemoved(..) => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_takes_72_bytes() {
        assert_eq!(size_of::<VertexSlot>(), 72);
    }
}
