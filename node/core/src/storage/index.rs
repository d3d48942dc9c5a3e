//! Ordered indexes over a label and properties: entries (key, vertex), key as in [`super::order`].
//!
//! An index holds an entry for every state of a vertex that some reader may see, so it holds more
//! than any one reader should get; each reader compares an entry with the vertex as it sees it.
//! Garbage collection takes an entry out once no reader's state has it.

use super::order::{Key, after_prefix, equals_itself, kind_of, push_key};
use crate::types::{LabelId, PropertyKeyId, Value, VertexId};
use parking_lot::RwLock;
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::ops::Bound;

/// One entry.
pub(super) type Entry = (Key, VertexId);

/// Entries that were taken out of an index; a few need no allocation.
pub(super) type Entries = SmallVec<[Entry; 2]>;

/// Which entries of an index are wanted: equal values of its first properties, then a range of the
/// next one.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexBounds {
    /// Values of the first properties. One that equals nothing (Null, NaN, or a list with one of
    /// these) finds nothing.
    pub equal: Vec<Value>,
    /// Range of the property after those. Bounded on one side, it ends with the kind of value that
    /// bounds it (numbers, strings, ...), and NaN is outside, as Cypher's `<` demands.
    pub range: (Bound<Value>, Bound<Value>),
}

impl IndexBounds {
    /// Everything in the index.
    pub fn all() -> IndexBounds {
        IndexBounds { equal: Vec::new(), range: (Bound::Unbounded, Bound::Unbounded) }
    }

    /// Entries whose first properties equal these values.
    pub fn equal(values: impl Into<Vec<Value>>) -> IndexBounds {
        IndexBounds { equal: values.into(), range: (Bound::Unbounded, Bound::Unbounded) }
    }

    /// Entries whose first property is in the range.
    pub fn range(from: Bound<Value>, to: Bound<Value>) -> IndexBounds {
        IndexBounds { equal: Vec::new(), range: (from, to) }
    }

    /// Returns the same as a range of keys, None where it is empty.
    pub(super) fn keys(&self) -> Option<KeyRange> {
        if !self.equal.iter().all(equals_itself) {
            return None;
        }
        let mut prefix = Key::new();
        self.equal.iter().for_each(|value| push_key(value, &mut prefix));
        let with = |value: &Value| {
            let mut key = prefix.clone();
            push_key(value, &mut key);
            key
        };
        let with_kind = |value: &Value| {
            let mut key = prefix.clone();
            key.push_kind(value);
            key
        };
        let value_of = |bound: &Bound<Value>| match bound {
            Bound::Included(value) | Bound::Excluded(value) => Some(value.clone()),
            Bound::Unbounded => None,
        };
        let (from, to) = (value_of(&self.range.0), value_of(&self.range.1));
        if [&from, &to].into_iter().flatten().any(|value| !equals_itself(value)) {
            return None;
        }
        if let (Some(from), Some(to)) = (&from, &to)
            && kind_of(from) != kind_of(to)
        {
            return None;
        }
        let from = match (&self.range.0, &to) {
            (Bound::Included(value), _) => with(value),
            (Bound::Excluded(value), _) => after_prefix(&with(value)),
            (Bound::Unbounded, Some(to)) => with_kind(to),
            (Bound::Unbounded, None) => prefix.clone(),
        };
        let to = match (&self.range.1, value_of(&self.range.0)) {
            (Bound::Included(value), _) => after_prefix(&with(value)),
            (Bound::Excluded(value), _) => with(value),
            (Bound::Unbounded, Some(from)) => after_prefix(&with_kind(&from)),
            (Bound::Unbounded, None) => after_prefix(&prefix),
        };
        (from < to).then_some(KeyRange { from, to })
    }
}

/// Keys from `from` on, and before `to`.
pub(super) struct KeyRange {
    from: Key,
    to: Key,
}

impl KeyRange {
    /// Appends up to `limit` entries of the range that come after `after`.
    pub(super) fn take(
        &self,
        entries: &BTreeSet<Entry>,
        after: Option<&Entry>,
        limit: usize,
        out: &mut Entries,
    ) {
        let from = match after {
            Some(after) if after.0 >= self.from => Bound::Excluded(after.clone()),
            _ => Bound::Included((self.from.clone(), VertexId(0))),
        };
        // One way down the tree: most ranges hold a single entry, and the next one ends them.
        let inside = entries.range((from, Bound::Unbounded)).take_while(|(key, _)| *key < self.to);
        out.extend(inside.take(limit).cloned());
    }
}

/// Where a seek stands; the default is before the first entry.
#[derive(Clone, Debug, Default)]
pub struct IndexCursor {
    pub(super) after: Option<Entry>,
}

/// The entries of one index, or of one unique constraint.
pub(super) struct Index {
    pub(super) label: LabelId,
    pub(super) keys: Vec<PropertyKeyId>,
    /// Whether it belongs to a unique constraint; then values that equal nothing are left out.
    pub(super) is_unique: bool,
    entries: RwLock<BTreeSet<Entry>>,
}

impl Index {
    pub(super) fn new(label: LabelId, keys: Vec<PropertyKeyId>, is_unique: bool) -> Index {
        Index { label, keys, is_unique, entries: RwLock::default() }
    }

    /// Returns the key of a vertex with the label and these properties; None where one is missing.
    pub(super) fn key(&self, property: impl Fn(PropertyKeyId) -> Value) -> Option<Key> {
        let mut key = Key::new();
        for id in &self.keys {
            let value = property(*id);
            if value.is_null() || self.is_unique && !equals_itself(&value) {
                return None;
            }
            push_key(&value, &mut key);
        }
        Some(key)
    }

    /// Returns the key of a block of properties.
    pub(super) fn key_of_block(&self, properties: &[u8]) -> Option<Key> {
        self.key(|id| super::properties::get(properties, id))
    }

    pub(super) fn insert(&self, key: Key, id: VertexId) {
        self.entries.write().insert((key, id));
    }

    pub(super) fn remove(&self, key: Key, id: VertexId) {
        self.entries.write().remove(&(key, id));
    }

    /// Fills a new index; entries are sorted first, which builds a tight tree.
    pub(super) fn fill(&self, mut entries: Vec<Entry>) {
        entries.sort_unstable();
        *self.entries.write() = entries.into_iter().collect();
    }

    pub(super) fn take(&self, range: &KeyRange, after: Option<&Entry>, limit: usize, out: &mut Entries) {
        range.take(&self.entries.read(), after, limit, out);
    }

    /// Returns the vertices with exactly this key in some state.
    pub(super) fn holders(&self, key: &Key) -> Vec<VertexId> {
        let entries = self.entries.read();
        let all = (key.clone(), VertexId(0))..=(key.clone(), VertexId(u64::MAX));
        entries.range(all).map(|(_, id)| *id).collect()
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.read().len() as u64
    }

    /// Bytes, estimated: a tree node is on average three quarters full.
    pub(super) fn bytes(&self) -> u64 {
        let entries = self.entries.read();
        let spilled: usize = entries.iter().map(|(key, _)| key.heap_bytes()).sum();
        (entries.len() * size_of::<Entry>() * 4 / 3 + spilled) as u64
    }
}
