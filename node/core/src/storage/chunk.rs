//! Dense arrays by id, cut into chunks that are locked one at a time.
//!
//! A directory of two levels finds the chunk of an id; its inner tables are made on demand and a
//! chunk that holds nothing is freed, so room follows what is alive, and one absurd id (from a
//! damaged record that still passed its checksum) costs a few megabytes at most.
//!
//! Lock order everywhere: directory, then one chunk. Nothing else is locked inside a chunk's lock
//! but the interned label sets, and no two chunks of one kind are locked together.

use parking_lot::RwLock;

/// Slots of a chunk.
pub(super) const CHUNK: usize = 1024;
/// Chunks of an inner table.
const TABLE: usize = 1024;

/// What a chunk of some kind of slot must say.
pub(super) trait Chunk: Default {
    /// Whether it holds nothing, not even for an old reader.
    fn is_empty(&self) -> bool;
}

type Table<C> = Box<[Option<Box<RwLock<C>>>]>;

/// All slots of one kind.
pub(super) struct Chunks<C> {
    tables: RwLock<Vec<Option<Table<C>>>>,
}

impl<C> Default for Chunks<C> {
    fn default() -> Self {
        Chunks { tables: RwLock::new(Vec::new()) }
    }
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
    /// Looks into the chunk of an id, under its read lock; None where there is no chunk.
    pub(super) fn read<R>(&self, id: u64, look: impl FnOnce(&C) -> R) -> Option<R> {
        let chunk = chunk_of(id);
        let tables = self.tables.read();
        let cell = tables.get(chunk / TABLE)?.as_ref()?[chunk % TABLE].as_ref()?;
        let guard = cell.read();
        Some(look(&guard))
    }

    /// Changes the chunk of an id, under its write lock; None where there is no chunk.
    pub(super) fn write_if_there<R>(&self, id: u64, change: impl FnOnce(&mut C) -> R) -> Option<R> {
        let chunk = chunk_of(id);
        let tables = self.tables.read();
        let cell = tables.get(chunk / TABLE)?.as_ref()?[chunk % TABLE].as_ref()?;
        Some(change(&mut cell.write()))
    }

    /// Changes the chunk of an id, under its write lock, making it where there is none.
    pub(super) fn write<R>(&self, id: u64, change: impl FnOnce(&mut C) -> R) -> R {
        let chunk = chunk_of(id);
        {
            let tables = self.tables.read();
            if let Some(Some(table)) = tables.get(chunk / TABLE)
                && let Some(cell) = &table[chunk % TABLE]
            {
                return change(&mut cell.write());
            }
        }
        let mut tables = self.tables.write();
        if tables.len() <= chunk / TABLE {
            tables.resize_with(chunk / TABLE + 1, || None);
        }
        let table = tables[chunk / TABLE].get_or_insert_with(|| (0..TABLE).map(|_| None).collect());
        let cell = table[chunk % TABLE].get_or_insert_with(Box::default);
        change(cell.get_mut())
    }

    /// Frees the chunk of an id if it is empty.
    pub(super) fn free_if_empty(&self, id: u64) {
        let chunk = chunk_of(id);
        let mut tables = self.tables.write();
        let Some(Some(table)) = tables.get_mut(chunk / TABLE) else { return };
        if table[chunk % TABLE].as_mut().is_some_and(|cell| cell.get_mut().is_empty()) {
            table[chunk % TABLE] = None;
            if table.iter().all(Option::is_none) {
                tables[chunk / TABLE] = None;
            }
        }
    }

    /// Returns the first id of the first chunk that ends after `from`, and looks into it.
    pub(super) fn read_from<R>(&self, from: u64, look: impl FnOnce(u64, &C) -> R) -> Option<R> {
        let mut chunk = chunk_of(from);
        let tables = self.tables.read();
        while let Some(table) = tables.get(chunk / TABLE) {
            let Some(table) = table else {
                chunk = (chunk / TABLE + 1) * TABLE;
                continue;
            };
            let rest = &table[chunk % TABLE..];
            if let Some(skipped) = rest.iter().position(Option::is_some) {
                chunk += skipped;
                let cell = rest[skipped].as_ref().expect("found by position");
                return Some(look((chunk * CHUNK) as u64, &cell.read()));
            }
            chunk = (chunk / TABLE + 1) * TABLE;
        }
        None
    }

    /// Bytes of the directory.
    pub(super) fn directory_bytes(&self) -> u64 {
        let tables = self.tables.read();
        let inner = tables.iter().flatten().count() * TABLE * size_of::<Option<Box<RwLock<C>>>>();
        (tables.capacity() * size_of::<Option<Table<C>>>() + inner) as u64
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
        assert!(chunks.directory_bytes() < 20 << 20);

        chunks.free_if_empty(0);
        assert!(chunks.read(0, |_| ()).is_some(), "it still holds something");
        chunks.write(0, |c| c.0.clear());
        chunks.free_if_empty(0);
        assert!(chunks.read(0, |_| ()).is_none());
    }
}
