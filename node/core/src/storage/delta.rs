//! Undo steps: how a reader of an older LSN sees the past.
//!
//! A slot holds the newest state. Beside the slots of a chunk lie the undo steps of those that
//! changed since the oldest reader, each with the LSN that made it needed and linked to the step before it of the same
//! slot. A reader at LSN r takes the newest state back, newest step first, while a step's LSN is above r. A flag in
//! the slot says whether there are any, so an object at rest costs one test.
//!
//! The same steps answer "was this object changed after r?" for the conflict rules, by their
//! [`Touch`].

use super::chunk::CHUNK;
use crate::types::Lsn;

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

/// A place in a chunk's list of steps, from 1; 0 for none.
type Place = u32;

/// An undo step.
#[derive(Debug)]
struct Step<U> {
    /// The change that it undoes.
    lsn: Lsn,
    /// None where the place is free.
    undo: Option<U>,
    /// The step before it of the same slot; of a free place, the next free one.
    older: Place,
}

/// What an undo step must say.
pub(super) trait Undo {
    /// What the change did.
    fn touch(&self) -> Touch;
    /// Bytes on the heap.
    fn bytes(&self) -> usize;
}

/// The undo steps of one chunk.
#[derive(Debug)]
pub(super) struct Deltas<U> {
    /// By slot, the newest step. Without any step it has no room.
    heads: Vec<Place>,
    steps: Vec<Step<U>>,
    /// The first free place.
    free: Place,
    count: usize,
    /// No step has a greater LSN: who reads from here on need not look for any.
    newest: Lsn,
}

impl<U> Default for Deltas<U> {
    fn default() -> Self {
        Deltas { heads: Vec::new(), steps: Vec::new(), free: 0, count: 0, newest: Lsn::ZERO }
    }
}

/// Fewer places are kept, free or not.
const PLACES_MIN: usize = 64;

impl<U: Undo> Deltas<U> {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn step(&self, place: Place) -> Option<&Step<U>> {
        self.steps.get((place as usize).wrapping_sub(1))
    }

    pub(super) fn push(&mut self, slot: u16, lsn: Lsn, undo: U) {
        self.newest = self.newest.max(lsn);
        self.count += 1;
        if self.heads.is_empty() {
            self.heads = vec![0; CHUNK];
        }
        let head = &mut self.heads[usize::from(slot)];
        let step = Step { lsn, undo: Some(undo), older: *head };
        if self.free == 0 {
            self.steps.push(step);
            *head = Place::try_from(self.steps.len()).expect("memory ends before 2^32 steps of a chunk do");
        } else {
            *head = self.free;
            let place = &mut self.steps[self.free as usize - 1];
            self.free = place.older;
            *place = step;
        }
    }

    /// Returns the steps that take a slot back to `read`, newest first.
    #[inline]
    pub(super) fn back_to(&self, slot: u16, read: Lsn) -> impl Iterator<Item = &U> {
        let head = match self.newest > read {
            true => self.heads.get(usize::from(slot)).copied().unwrap_or(0),
            false => 0,
        };
        let all = std::iter::successors(self.step(head), |step| self.step(step.older));
        all.take_while(move |step| step.lsn > read).filter_map(|step| step.undo.as_ref())
    }

    /// Returns all that was done to a slot after `read`.
    pub(super) fn touched_after(&self, slot: u16, read: Lsn) -> Touch {
        self.back_to(slot, read).fold(Touch::default(), |all, undo| all.and(undo.touch()))
    }

    /// Drops the steps that no reader at or after `horizon` needs; returns how many they were, and
    /// whether any are left.
    pub(super) fn trim(&mut self, slot: u16, horizon: Lsn) -> (usize, bool) {
        let Some(head) = self.heads.get(usize::from(slot)).copied() else { return (0, false) };
        let (mut last_kept, mut at) = (0, head);
        while let Some(step) = self.step(at).filter(|step| step.lsn > horizon) {
            (last_kept, at) = (at, step.older);
        }
        match last_kept {
            0 => self.heads[usize::from(slot)] = 0,
            place => self.steps[place as usize - 1].older = 0,
        }
        let mut dropped = 0;
        while at != 0 {
            let step = &mut self.steps[at as usize - 1];
            step.undo = None;
            let older = std::mem::replace(&mut step.older, self.free);
            (self.free, at) = (at, older);
            dropped += 1;
        }
        self.count -= dropped;
        if self.count == 0 {
            (self.heads, self.steps, self.free) = (Vec::new(), Vec::new(), 0);
        } else if self.steps.len() > PLACES_MIN && self.count < self.steps.len() / 8 {
            self.pack();
        }
        (dropped, last_kept != 0)
    }

    /// Gives back the room of free places.
    fn pack(&mut self) {
        let mut old = std::mem::take(&mut self.steps);
        self.steps.reserve_exact(self.count.max(PLACES_MIN));
        self.free = 0;
        for head in &mut self.heads {
            let mut at = *head;
            if at != 0 {
                *head = self.steps.len() as Place + 1;
            }
            while at != 0 {
                let step = &mut old[at as usize - 1];
                at = step.older;
                // Those of a slot stand one behind the other now.
                let older = if at == 0 { 0 } else { self.steps.len() as Place + 2 };
                self.steps.push(Step { lsn: step.lsn, undo: step.undo.take(), older });
            }
        }
    }

    /// Bytes of all steps.
    pub(super) fn bytes(&self) -> usize {
        let own: usize = self.steps.iter().filter_map(|step| step.undo.as_ref()).map(Undo::bytes).sum();
        own + self.heads.capacity() * size_of::<Place>() + self.steps.capacity() * size_of::<Step<U>>()
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

    #[derive(Debug, PartialEq)]
    struct Number(u64);

    impl Undo for Number {
        fn touch(&self) -> Touch {
            Touch::CONTENT
        }

        fn bytes(&self) -> usize {
            0
        }
    }

    /// Compared with a list for each slot.
    #[test]
    fn steps_come_and_go_as_in_a_list_of_each_slot() {
        let mut state = 11u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut deltas = Deltas::default();
        let mut lists: Vec<Vec<(u64, u64)>> = vec![Vec::new(); CHUNK];
        let (mut lsn, mut was_empty, mut most) = (0, 0, 0);
        for round in 0..80_000u64 {
            // Many slots and few, long readers and none, by turns.
            let slots = if round / 10_000 % 2 == 0 { 1024 } else { 3 };
            let slot = if random(50) == 0 { 1023 } else { random(slots) as u16 };
            let list = &mut lists[usize::from(slot)];
            if random(10) < if round / 2_500 % 2 == 0 { 8 } else { 3 } {
                lsn += random(2);
                deltas.push(slot, Lsn(lsn), Number(round));
                list.push((lsn, round));
            } else {
                let horizon = lsn.saturating_sub(random(4) * random(30));
                let before = list.len();
                list.retain(|(of, _)| *of > horizon);
                let expected = (before - list.len(), !list.is_empty());
                assert_eq!(deltas.trim(slot, Lsn(horizon)), expected);
            }
            let read = lsn.saturating_sub(random(40));
            let seen: Vec<u64> = deltas.back_to(slot, Lsn(read)).map(|number| number.0).collect();
            let newer = lists[usize::from(slot)].iter().rev().filter(|(of, _)| *of > read);
            assert_eq!(seen, newer.map(|(_, number)| *number).collect::<Vec<_>>());
            if round % 20_000 == 9_999 {
                for (slot, list) in lists.iter_mut().enumerate() {
                    let all = std::mem::take(list);
                    assert_eq!(deltas.trim(slot as u16, Lsn(lsn)), (all.len(), false));
                }
            }
            let count: usize = if round % 500 == 0 { lists.iter().map(Vec::len).sum() } else { deltas.count };
            assert_eq!(deltas.count, count);
            was_empty += u64::from(deltas.is_empty());
            most = most.max(deltas.steps.len());
            assert!(deltas.steps.len() <= PLACES_MIN.max(8 * (deltas.count + 1)));
        }
        for (slot, list) in lists.iter().enumerate() {
            assert_eq!(deltas.trim(slot as u16, Lsn(lsn)), (list.len(), false));
        }
        assert!(was_empty > 0 && most > 1_000, "{was_empty} times empty, at most {most}");
        assert_eq!((deltas.is_empty(), deltas.bytes()), (true, 0));
    }
}
