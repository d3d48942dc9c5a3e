//! Dense arrays by id, cut into chunks that are locked one at a time.
//!
//! A directory of three levels finds the chunk of an id. Its tables are made on demand and stay, so that
//! finding a chunk takes no lock: threads that read would else all write to the one word of that lock. A
//! chunk that holds nothing is freed, so room follows what is alive, and one absurd id (from a damaged record
//! that still passed its checksum) costs some 40 KB.
//!
//! Lock order everywhere: one chunk, and inside its lock nothing but the interned label sets; no two chunks of
//! one kind are locked together.

use parking_lot::RwLock;
use std::ops::Range;
use std::sync::OnceLock;

/// Slots of a chunk.
pub(super) const CHUNK: usize = 1024;
/// Entries of a table, on every level: ids have 40 bits.
const TABLE: usize = 1024;

/// What a chunk of some kind of slot must say.
pub(super) trait Chunk: Default {
    /// Whether it holds nothing, not even for an old reader.
    fn is_empty(&self) -> bool;
}

/// Where a chunk is, or is not.
type Cell<C> = RwLock<Option<Box<C>>>;
/// A table of tables.
type Tables<T> = Box<[OnceLock<T>]>;

/// All slots of one kind.
pub(super) struct Chunks<C> {
    tables: Tables<Tables<Box<[Cell<C>]>>>,
}

impl<C> Default for Chunks<C> {
    fn default() -> Self {
        Chunks { tables: empty() }
    }
}

fn empty<T>() -> Tables<T> {
    (0..TABLE).map(|_| OnceLock::new()).collect()
}

/// Returns an id's place in its chunk.
pub(super) fn slot_of(id: u64) -> u16 {
    (id % CHUNK as u64) as u16
}

/// Whether two ids lie in one chunk.
pub(super) fn same_chunk(a: u64, b: u64) -> bool {
    a / CHUNK as u64 == b / CHUNK as u64
}

fn chunk_of(id: u64) -> usize {
    usize::try_from(id / CHUNK as u64).expect("ids have 40 bits")
}

impl<C: Chunk> Chunks<C> {
    fn cell(&self, chunk: usize) -> Option<&Cell<C>> {
        let tables = self.tables.get(chunk / TABLE / TABLE)?.get()?;
        Some(&tables[chunk / TABLE % TABLE].get()?[chunk % TABLE])
    }

    /// Looks into the chunk of an id, under its read lock; None where there is no chunk.
    pub(super) fn read<R>(&self, id: u64, look: impl FnOnce(&C) -> R) -> Option<R> {
        Some(look(self.cell(chunk_of(id))?.read().as_deref()?))
    }

    /// Looks into the chunks of ids one after the other, by their place in `ids`: ids of one chunk that follow
    /// each other are looked at under one lock.
    pub(super) fn read_each<I>(
        &self,
        ids: &[I],
        number: impl Fn(&I) -> u64,
        mut look: impl FnMut(usize, Option<&C>),
    ) {
        self.read_runs(ids, number, |places, chunk| {
            for place in places {
                look(place, chunk);
            }
            true
        });
    }

    /// As `read_each`, all ids of one lock at once, while `look` returns true.
    pub(super) fn read_runs<I>(
        &self,
        ids: &[I],
        number: impl Fn(&I) -> u64,
        mut look: impl FnMut(Range<usize>, Option<&C>) -> bool,
    ) {
        let mut at = 0;
        while let Some(first) = ids.get(at).map(&number) {
            let rest = &ids[at..];
            let end = at + rest.iter().position(|id| !same_chunk(first, number(id))).unwrap_or(rest.len());
            let guard = self.cell(chunk_of(first)).map(|cell| cell.read());
            if !look(at..end, guard.as_ref().and_then(|guard| guard.as_deref())) {
                return;
            }
            at = end;
        }
    }

    /// Changes the chunk of an id, under its write lock; None where there is no chunk.
    pub(super) fn write_if_there<R>(&self, id: u64, change: impl FnOnce(&mut C) -> R) -> Option<R> {
        Some(change(self.cell(chunk_of(id))?.write().as_deref_mut()?))
    }

    /// Changes the chunk of an id, under its write lock, making it where there is none.
    pub(super) fn write<R>(&self, id: u64, change: impl FnOnce(&mut C) -> R) -> R {
        let chunk = chunk_of(id);
        let tables = self.tables[chunk / TABLE / TABLE].get_or_init(empty);
        let cells =
            tables[chunk / TABLE % TABLE].get_or_init(|| (0..TABLE).map(|_| RwLock::new(None)).collect());
        change(cells[chunk % TABLE].write().get_or_insert_with(Box::default))
    }

    /// Frees the chunk of an id if it is empty.
    pub(super) fn free_if_empty(&self, id: u64) {
        let Some(cell) = self.cell(chunk_of(id)) else { return };
        let mut chunk = cell.write();
        if chunk.as_ref().is_some_and(|chunk| chunk.is_empty()) {
            *chunk = None;
        }
    }

    /// Returns the first id of the first chunk that ends after `from`, and looks into it.
    pub(super) fn read_from<R>(&self, from: u64, look: impl FnOnce(u64, &C) -> R) -> Option<R> {
        let mut chunk = chunk_of(from);
        while let Some(tables) = self.tables.get(chunk / TABLE / TABLE) {
            let Some(tables) = tables.get() else {
                chunk = (chunk / TABLE / TABLE + 1) * TABLE * TABLE;
                continue;
            };
            let Some(cells) = tables[chunk / TABLE % TABLE].get() else {
                chunk = (chunk / TABLE + 1) * TABLE;
                continue;
            };
            if let Some(found) = cells[chunk % TABLE].read().as_deref() {
                return Some(look((chunk * CHUNK) as u64, found));
            }
            chunk += 1;
        }
        None
    }

    /// Bytes of the directory.
    pub(super) fn directory_bytes(&self) -> u64 {
        let made = self.tables.iter().filter_map(OnceLock::get);
        let (mut second, mut third) = (0, 0);
        for tables in made {
            second += 1;
            third += tables.iter().filter(|table| table.get().is_some()).count();
        }
        let table = TABLE * size_of::<OnceLock<Tables<Box<[Cell<C>]>>>>();
        ((1 + second) * table + third * TABLE * size_of::<Cell<C>>()) as u64
    }
}

/// Grows a chunk's slots so that `slot` exists: small graphs stay small, full chunks have no slack.
pub(super) fn grow<T: Default>(slots: &mut Vec<T>, slot: u16) {
    let needed = usize::from(slot) + 1;
    if slots.len() < needed {
        let room = needed.next_power_of_two().clamp(4, CHUNK);
        slots.reserve_exact(room - slots.len());
        slots.resize_with(needed, T::default);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Numbers(Vec<u64>);

    impl Chunk for Numbers {
        fn is_empty(&self) -> bool {
            self.0.is_empty()
        }
    }

    #[test]
    fn chunks_come_and_go_with_what_they_hold() {
        let chunks: Chunks<Numbers> = Chunks::default();
        for id in [0, 5, 2_000, 5_000_000, (1 << 40) - 1] {
            chunks.write(id, |c| c.0.push(id));
        }
        assert_eq!(chunks.read(1, |c| c.0.clone()), Some(vec![0, 5]));
        assert_eq!(chunks.read(1_024 * 7, |c| c.0.len()), None);
        let mut firsts = Vec::new();
        let mut from = 0;
        while let Some(first) = chunks.read_from(from, |first, _| first) {
            firsts.push(first);
            from = first + CHUNK as u64;
        }
        assert_eq!(firsts, [0, 1024, 5_000_000 / 1024 * 1024, (1 << 40) - 1024]);
        assert!(chunks.directory_bytes() < 256 << 10, "{}", chunks.directory_bytes());

        chunks.free_if_empty(0);
        assert!(chunks.read(0, |_| ()).is_some(), "it still holds something");
        chunks.write(0, |c| c.0.clear());
        chunks.free_if_empty(0);
        assert!(chunks.read(0, |_| ()).is_none());
    }

    #[test]
    fn ids_are_looked_at_in_their_order_and_chunks_that_are_not_there_are_told() {
        let chunks: Chunks<Numbers> = Chunks::default();
        for id in [3, 4, 1_030, 5_000] {
            chunks.write(id, |c| c.0.push(id));
        }
        let mut seen = Vec::new();
        chunks.read_each(
            &[4, 3, 1_024, 2_048, 5_000, 9],
            |id| *id,
            |place, chunk| {
                seen.push((place, chunk.map(|c| c.0.clone())));
            },
        );
        let both = Some(vec![3, 4]);
        let expected = [both.clone(), both.clone(), Some(vec![1_030]), None, Some(vec![5_000]), both];
        assert_eq!(seen, expected.into_iter().enumerate().collect::<Vec<_>>());
        chunks.read_each(&[], |id: &u64| *id, |_, _| panic!("there is nothing to look at"));
    }
}
