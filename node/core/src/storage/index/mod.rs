//! Ordered indexes over properties of the vertices with a label, or of the edges of a type: entries (key, id), key as
//! in [`super::order`].
//!
//! An index holds an entry for every state of a vertex or an edge that some reader may see, so it holds more
//! than any one reader should get; each reader compares an entry with the object as it sees it, unless the index is
//! *settled* for it: nothing in the index has changed since the reader's LSN, and no entry has ended that is not taken
//! out yet. Garbage collection takes an entry out once no reader's state has it.

mod exact;

use exact::{Exact, Holder};

use super::order::{Key, after_prefix, equals_itself, kind_of, push_key};
use crate::types::{EdgeId, EdgeTypeId, LabelId, Lsn, PropertyKeyId, Value, VertexId};
use parking_lot::RwLock;
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::ops::Bound;

/// One entry.
pub(super) type Entry<Id = VertexId> = (Key, Id);

/// What an index lists.
pub(super) trait Element: Copy + Ord {
    /// The lowest id, and the highest.
    const ENDS: (Self, Self);

    /// Returns its id as a number.
    fn number(self) -> u64;

    /// Returns what has that number as its id.
    fn of_number(number: u64) -> Self;
}

impl Element for VertexId {
    const ENDS: (VertexId, VertexId) = (VertexId(0), VertexId(u64::MAX));

    fn number(self) -> u64 {
        self.0
    }

    fn of_number(number: u64) -> VertexId {
        VertexId(number)
    }
}

impl Element for EdgeId {
    const ENDS: (EdgeId, EdgeId) = (EdgeId(0), EdgeId(u64::MAX));

    fn number(self) -> u64 {
        self.0
    }

    fn of_number(number: u64) -> EdgeId {
        EdgeId(number)
    }
}

/// Entries that were taken out of an index; a few need no allocation.
type Entries<Id> = SmallVec<[Entry<Id>; 2]>;

/// Which entries of an index are wanted: equal values of its first properties, then a range of the
/// next one.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexBounds {
    /// Values of the first properties. One that equals nothing (Null, NaN, or a list with one of
    /// these) finds nothing.
    pub equal: Vec<Value>,
    /// Range of the property after those. Bounded on one side, it ends with the kind of value that
    /// bounds it (numbers, strings, ...), and NaN is outside, as Cypher's `<` demands. A list with NaN or Null in it bounds
    /// by its kind alone, since what comes before these may still be less or greater: whoever seeks so compares again.
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

    /// Returns the key of these values, which are those of all properties of an index; None where it finds nothing.
    pub(super) fn key_of(values: &[Value]) -> Option<Key> {
        let mut key = Key::new();
        for value in values {
            if !equals_itself(value) {
                return None;
            }
            push_key(value, &mut key);
        }
        Some(key)
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
        let is_vague = |value: &Value| matches!(value, Value::List(_)) && !equals_itself(value);
        if [&from, &to].into_iter().flatten().any(|value| !equals_itself(value) && !is_vague(value)) {
            return None;
        }
        if let (Some(from), Some(to)) = (&from, &to)
            && kind_of(from) != kind_of(to)
        {
            return None;
        }
        let from = match (&self.range.0, &to) {
            (Bound::Included(value) | Bound::Excluded(value), _) if is_vague(value) => with_kind(value),
            (Bound::Included(value), _) => with(value),
            (Bound::Excluded(value), _) => after_prefix(&with(value)),
            (Bound::Unbounded, Some(to)) => with_kind(to),
            (Bound::Unbounded, None) => prefix.clone(),
        };
        let to = match (&self.range.1, value_of(&self.range.0)) {
            (Bound::Included(value) | Bound::Excluded(value), _) if is_vague(value) => {
                after_prefix(&with_kind(value))
            }
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
    fn take<Id: Element>(
        &self,
        entries: &BTreeSet<Entry<Id>>,
        after: Option<&Entry<Id>>,
        limit: usize,
        out: &mut Entries<Id>,
    ) {
        let from = match after {
            Some(after) if after.0 >= self.from => Bound::Excluded(after.clone()),
            _ => Bound::Included((self.from.clone(), Id::ENDS.0)),
        };
        // One way down the tree: most ranges hold a single entry, and the next one ends them.
        let inside = entries.range((from, Bound::Unbounded)).take_while(|(key, _)| *key < self.to);
        out.extend(inside.take(limit).cloned());
    }
}

/// Where a seek stands; the default is before the first entry.
#[derive(Clone, Debug)]
pub struct IndexCursor<Id = VertexId> {
    pub(super) after: Option<Entry<Id>>,
}

impl<Id> Default for IndexCursor<Id> {
    fn default() -> Self {
        IndexCursor { after: None }
    }
}

/// The entries of one index.
pub(super) struct IndexOf<Of, Id> {
    /// The label of the vertices in it, or the type of the edges.
    pub(super) of: Of,
    pub(super) keys: Vec<PropertyKeyId>,
    /// Whether it belongs to a unique constraint; then values that equal nothing are left out.
    pub(super) is_unique: bool,
    kept: RwLock<Kept<Id>>,
}

/// The entries, and how far they can be trusted without a look at the objects.
struct Kept<Id> {
    entries: BTreeSet<Entry<Id>>,
    exact: Exact,
    /// The last record by which an entry came or ended.
    changed: Lsn,
    /// How many ends of entries garbage collection has not looked at yet.
    ended: usize,
}

impl<Id> Default for Kept<Id> {
    fn default() -> Self {
        Kept { entries: BTreeSet::new(), exact: Exact::default(), changed: Lsn::ZERO, ended: 0 }
    }
}

impl<Id: Element> Kept<Id> {
    fn insert(&mut self, entry: Entry<Id>) {
        self.exact.insert(&entry);
        self.entries.insert(entry);
    }

    fn remove(&mut self, entry: &Entry<Id>) {
        if self.entries.remove(entry) {
            self.exact.remove(entry, &self.entries);
        }
    }

    /// Whether the entries are exactly those that a reader at `read` should get, but for its own writes.
    fn is_settled(&self, read: Lsn) -> bool {
        self.ended == 0 && self.changed <= read
    }
}

/// How a reader tells which entries are for it.
pub(super) struct Reader<Mine, Seen> {
    /// What it reads.
    pub(super) read: Lsn,
    /// Whether it has written an object itself.
    pub(super) is_own: Mine,
    /// Whether it sees the object with this key.
    pub(super) is_seen: Seen,
}

/// The entries of one index of vertices, or of one unique constraint.
pub(super) type Index = IndexOf<LabelId, VertexId>;

/// The entries of one index of edges.
pub(super) type EdgeIndex = IndexOf<EdgeTypeId, EdgeId>;

impl<Of, Id: Element> IndexOf<Of, Id> {
    pub(super) fn new(of: Of, keys: Vec<PropertyKeyId>, is_unique: bool) -> Self {
        IndexOf { of, keys, is_unique, kept: RwLock::default() }
    }

    /// Returns the key of what belongs here and has these properties; None where one is missing.
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

    /// Notes that record `lsn` gives something a key.
    pub(super) fn insert(&self, key: Key, id: Id, lsn: Lsn) {
        let mut kept = self.kept.write();
        kept.changed = kept.changed.max(lsn);
        kept.insert((key, id));
    }

    /// Notes that record `lsn` took a key from something that a reader may still see with it; `collect` must follow.
    pub(super) fn end(&self, lsn: Lsn) {
        let mut kept = self.kept.write();
        kept.changed = kept.changed.max(lsn);
        kept.ended += 1;
    }

    /// Looks at an entry that was ended: it goes unless some state still has it.
    pub(super) fn collect(&self, key: Key, id: Id, is_seen: bool) {
        let mut kept = self.kept.write();
        kept.ended -= 1;
        if !is_seen {
            kept.remove(&(key, id));
        }
    }

    /// Notes that record `lsn` took a key from something that no reader sees with it.
    pub(super) fn remove(&self, key: Key, id: Id, lsn: Lsn) {
        let mut kept = self.kept.write();
        kept.changed = kept.changed.max(lsn);
        kept.remove(&(key, id));
    }

    /// Fills a new index, whose readers all begin later; entries are sorted first, which builds a tight tree.
    pub(super) fn fill(&self, mut entries: Vec<Entry<Id>>) {
        entries.sort_unstable();
        let mut kept = self.kept.write();
        entries.iter().for_each(|entry| kept.exact.insert(entry));
        kept.entries = entries.into_iter().collect();
    }

    /// Finds the one that a reader sees with a key; None where it must be sought. The reader has written no entries.
    pub(super) fn find(
        &self,
        key: Key,
        reader: &Reader<impl Fn(Id) -> bool, impl Fn(&Entry<Id>) -> bool>,
    ) -> Option<Option<Id>> {
        let kept = self.kept.read();
        let (holder, is_settled) = (kept.exact.find(&key), kept.is_settled(reader.read));
        drop(kept);
        match holder {
            Holder::Unknown => None,
            Holder::Nobody => Some(None),
            Holder::One(id) => {
                let is_seen = is_settled && !(reader.is_own)(id) || (reader.is_seen)(&(key, id));
                Some(is_seen.then_some(id))
            }
        }
    }

    /// Appends up to `limit` ids of the entries in the range that a reader sees, by (key, id) from `cursor` on, and
    /// moves it. `own` are those that the reader has written itself.
    pub(super) fn seek(
        &self,
        range: &KeyRange,
        own: Option<&BTreeSet<Entry<Id>>>,
        reader: &Reader<impl Fn(Id) -> bool, impl Fn(&Entry<Id>) -> bool>,
        cursor: &mut IndexCursor<Id>,
        limit: usize,
        out: &mut Vec<Id>,
    ) {
        let mut found = Entries::new();
        let mut candidates = Entries::new();
        if let Some(own) = own {
            let mut after = cursor.after.clone();
            while found.len() < limit {
                candidates.clear();
                let asked = limit.clamp(32, 4096);
                range.take(own, after.as_ref(), asked, &mut candidates);
                let is_end = candidates.len() < asked;
                after = candidates.last().cloned();
                found.extend(candidates.drain(..).filter(&reader.is_seen));
                if is_end {
                    break;
                }
            }
            found.truncate(limit);
        }
        let own_count = found.len();
        let mut after = cursor.after.clone();
        while found.len() - own_count < limit {
            candidates.clear();
            let asked = limit.clamp(8, 4096);
            let kept = self.kept.read();
            range.take(&kept.entries, after.as_ref(), asked, &mut candidates);
            let is_settled = kept.is_settled(reader.read);
            drop(kept);
            let is_end = candidates.len() < asked;
            if !is_end {
                after = candidates.last().cloned();
            }
            let room = limit - (found.len() - own_count);
            let is_seen =
                |entry: &Entry<Id>| is_settled && !(reader.is_own)(entry.1) || (reader.is_seen)(entry);
            found.extend(candidates.drain(..).filter(is_seen).take(room));
            if is_end {
                break;
            }
        }
        if own_count > 0 {
            found.sort_unstable();
            found.dedup();
            found.truncate(limit);
        }
        out.extend(found.iter().map(|(_, id)| *id));
        if let Some(last) = found.pop() {
            cursor.after = Some(last);
        }
    }

    /// Returns those with exactly this key in some state.
    pub(super) fn holders(&self, key: &Key) -> SmallVec<[Id; 2]> {
        let kept = self.kept.read();
        match kept.exact.find(key) {
            Holder::Nobody => SmallVec::new(),
            Holder::One(id) => SmallVec::from_slice(&[id]),
            Holder::Unknown => {
                let all = (key.clone(), Id::ENDS.0)..=(key.clone(), Id::ENDS.1);
                kept.entries.range(all).map(|(_, id)| *id).collect()
            }
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.kept.read().entries.len() as u64
    }

    /// Bytes, estimated: a tree node is on average three quarters full.
    pub(super) fn bytes(&self) -> u64 {
        let kept = self.kept.read();
        let entries = &kept.entries;
        let spilled: usize = entries.iter().map(|(key, _)| key.heap_bytes()).sum();
        (entries.len() * size_of::<Entry<Id>>() * 4 / 3 + spilled + kept.exact.bytes()) as u64
    }
}
