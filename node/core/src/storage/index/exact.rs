//! Who has a key: a table beside an index, for a look-up of one whole key in one step.
//!
//! It knows keys that are short and that one object has; of a key that several have it knows only that. So it is small where
//! few values are shared by many, and where values are long, and whoever finds nothing here goes down the tree.

use super::{Element, Entry};
use crate::storage::order::Key;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// A key of up to 15 bytes, such as that of a number or a short text; the last byte is its length.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Short([u64; 2]);

impl Short {
    fn of(key: &Key) -> Option<Short> {
        let mut bytes = [0; 16];
        bytes[..15].get_mut(..key.len())?.copy_from_slice(key);
        bytes[15] = u8::try_from(key.len()).ok()?;
        let [low, high] = [&bytes[..8], &bytes[8..]].map(|half| half.try_into().expect("it has 8 bytes"));
        Some(Short([u64::from_le_bytes(low), u64::from_le_bytes(high)]))
    }
}

/// In place of an id: several have the key.
const SEVERAL: u64 = u64::MAX;

/// What the table knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder<Id> {
    Nobody,
    One(Id),
    /// The tree knows.
    Unknown,
}

/// The table.
#[derive(Default)]
pub(super) struct Exact(FxHashMap<Short, u64>);

impl Exact {
    /// Takes up an entry that was put into the tree.
    pub(super) fn insert<Id: Element>(&mut self, (key, id): &Entry<Id>) {
        let Some(key) = Short::of(key) else { return };
        let holder = self.0.entry(key).or_insert(id.number());
        if *holder != id.number() {
            *holder = SEVERAL;
        }
    }

    /// Takes out an entry that was taken out of the tree.
    pub(super) fn remove<Id: Element>(&mut self, (key, _): &Entry<Id>, tree: &BTreeSet<Entry<Id>>) {
        let Some(short) = Short::of(key) else { return };
        let all = (key.clone(), Id::ENDS.0)..=(key.clone(), Id::ENDS.1);
        let mut left = tree.range(all).map(|(_, id)| id.number());
        match (left.next(), left.next()) {
            (None, _) => drop(self.0.remove(&short)),
            (Some(one), None) => drop(self.0.insert(short, one)),
            // It was so before.
            (Some(_), Some(_)) => {}
        }
        if self.0.len() <= self.0.capacity() / 8 {
            self.0.shrink_to(self.0.len() * 2);
        }
    }

    /// Finds who has a key.
    pub(super) fn find<Id: Element>(&self, key: &Key) -> Holder<Id> {
        let Some(short) = Short::of(key) else { return Holder::Unknown };
        match self.0.get(&short) {
            None => Holder::Nobody,
            Some(&SEVERAL) => Holder::Unknown,
            Some(id) => Holder::One(Id::of_number(*id)),
        }
    }

    /// Bytes of the table.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * 8 / 7 * (size_of::<(Short, u64)>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::order::push_key;
    use crate::types::{Value, VertexId};

    fn key(value: &Value) -> Key {
        let mut key = Key::new();
        push_key(value, &mut key);
        key
    }

    /// Puts entries in and takes them out again in an order of their own, with a tree beside.
    #[test]
    fn it_says_what_the_tree_says() {
        let values = [
            Value::Int(0),
            Value::Int(1),
            Value::Float(0.5),
            Value::string(""),
            Value::string("\0"),
            Value::string("twelve chars"),
            Value::string("so long that only the tree knows it"),
        ];
        let mut state = 7u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        let (mut exact, mut tree) = (Exact::default(), BTreeSet::new());
        for round in 0..4000 {
            let entry = (key(&values[random(values.len())]), VertexId(random(3) as u64));
            // Fills and empties by turns.
            if random(10) < if round / 500 % 2 == 0 { 7 } else { 2 } {
                tree.insert(entry.clone());
                exact.insert(&entry);
            } else if tree.remove(&entry) {
                exact.remove(&entry, &tree);
            }
            for value in &values {
                let key = key(value);
                let holders: Vec<VertexId> =
                    tree.iter().filter(|(other, _)| *other == key).map(|(_, id)| *id).collect();
                let expected = match holders[..] {
                    _ if key.len() > 15 => Holder::Unknown,
                    [] => Holder::Nobody,
                    [one] => Holder::One(one),
                    [..] => Holder::Unknown,
                };
                assert_eq!(exact.find(&key), expected, "{value:?} in round {round}");
            }
        }
        assert_eq!(size_of::<(Short, u64)>(), 24);
    }
}
