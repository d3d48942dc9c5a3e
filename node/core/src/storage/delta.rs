//! Undo steps: how a reader of an older LSN sees the past.
//!
//! A slot holds the newest state. Beside the slots of a chunk lie the undo steps of those that
//! changed since the oldest reader, oldest first, each with the LSN that made it needed. A reader
//! at LSN r takes the newest state back, newest step first, while a step's LSN is above r. A flag in
//! the slot says whether there are any, so an object at rest costs one test.
//!
//! The same steps answer "was this object changed after r?" for the conflict rules, by their
//! [`Touch`].

use crate::types::Lsn;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// What a change did to an object, as far as conflicts care; a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Touch(u8);

impl Touch {
    /// Labels or properties.
    pub(super) const CONTENT: Touch = Touch(1);
    /// An edge came or went at the vertex.
    pub(super) const EDGES: Touch = Touch(2);
    /// The object went.
    pub(super) const DELETED: Touch = Touch(4);

    pub(super) fn and(self, other: Touch) -> Touch {
        Touch(self.0 | other.0)
    }

    fn has(self, other: Touch) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether two transactions that did this and that, neither seeing the other, cannot both stand:
    /// content against content, and a deletion against anything. Edges at one vertex go together,
    /// with each other and with its content.
    pub(super) fn conflicts_with(self, other: Touch) -> bool {
        self.has(Touch::DELETED) && other != Touch::default()
            || other.has(Touch::DELETED) && self != Touch::default()
            || self.has(Touch::CONTENT) && other.has(Touch::CONTENT)
    }
}

/// An undo step with the LSN of the change that it undoes.
#[derive(Debug)]
pub(super) struct Delta<U> {
    pub(super) lsn: Lsn,
    pub(super) undo: U,
}

/// What an undo step must say.
pub(super) trait Undo {
    /// What the change did.
    fn touch(&self) -> Touch;
    /// Bytes on the heap.
    fn bytes(&self) -> usize;
}

/// Those of one slot. Most have one, which needs no allocation.
type Steps<U> = SmallVec<[Delta<U>; 1]>;

/// The undo steps of one chunk.
#[derive(Debug)]
pub(super) struct Deltas<U> {
    /// By slot; each list is oldest first and never empty.
    steps: FxHashMap<u16, Steps<U>>,
    /// No step has a greater LSN: who reads from here on need not look for any.
    newest: Lsn,
}

impl<U> Default for Deltas<U> {
    fn default() -> Self {
        Deltas { steps: FxHashMap::default(), newest: Lsn::ZERO }
    }
}

impl<U: Undo> Deltas<U> {
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn push(&mut self, slot: u16, lsn: Lsn, undo: U) {
        self.newest = self.newest.max(lsn);
        self.steps.entry(slot).or_default().push(Delta { lsn, undo });
    }

    /// Returns the steps that take a slot back to `read`, newest first.
    #[inline]
    pub(super) fn back_to(&self, slot: u16, read: Lsn) -> impl Iterator<Item = &U> {
        let deltas = match self.newest > read {
            true => self.steps.get(&slot).map_or(&[][..], SmallVec::as_slice),
            false => &[],
        };
        deltas.iter().rev().take_while(move |delta| delta.lsn > read).map(|delta| &delta.undo)
    }

    /// Returns all that was done to a slot after `read`.
    pub(super) fn touched_after(&self, slot: u16, read: Lsn) -> Touch {
        self.back_to(slot, read).fold(Touch::default(), |all, undo| all.and(undo.touch()))
    }

    /// Drops the steps that no reader at or after `horizon` needs; returns how many they were, and
    /// whether any are left.
    pub(super) fn trim(&mut self, slot: u16, horizon: Lsn) -> (usize, bool) {
        let Some(deltas) = self.steps.get_mut(&slot) else { return (0, false) };
        let dropped = deltas.partition_point(|delta| delta.lsn <= horizon);
        deltas.drain(..dropped);
        let left = !deltas.is_empty();
        if !left {
            self.steps.remove(&slot);
            if self.steps.len() < self.steps.capacity() / 8 {
                self.steps.shrink_to_fit();
            }
        }
        (dropped, left)
    }

    /// Bytes of all steps.
    pub(super) fn bytes(&self) -> usize {
        let lists: usize = self
            .steps
            .values()
            .map(|deltas| {
                let spilled = if deltas.spilled() { deltas.capacity() * size_of::<Delta<U>>() } else { 0 };
                spilled + deltas.iter().map(|d| d.undo.bytes()).sum::<usize>()
            })
            .sum();
        lists + self.steps.capacity() * (size_of::<(u16, Steps<U>)>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conflict_rules() {
        let (content, edges, deleted) = (Touch::CONTENT, Touch::EDGES, Touch::DELETED);
        assert!(content.conflicts_with(content), "writing the same object does");
        assert!(!edges.conflicts_with(edges), "adding edges at one vertex does not");
        assert!(!edges.conflicts_with(content) && !content.conflicts_with(edges));
        for other in [content, edges, deleted] {
            assert!(deleted.conflicts_with(other) && other.conflicts_with(deleted));
        }
        assert!(!deleted.conflicts_with(Touch::default()));
        assert!(content.and(edges).conflicts_with(content));
    }
}
