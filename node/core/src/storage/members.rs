//! Ids as a bitmap: the vertices with a label, the edges of a type.

use parking_lot::RwLock;
use roaring::RoaringTreemap;
use std::sync::atomic::{AtomicU64, Ordering};

/// What belongs to something in a state that some reader may see. Readers look at the vertex or the edge itself too,
/// since one that does not belong any more stays until no reader sees that it did.
#[derive(Default)]
pub(super) struct Members {
    ids: RwLock<RoaringTreemap>,
    /// How many belong to it in their newest state.
    newest: AtomicU64,
}

impl Members {
    /// Notes one that belongs to it from now on.
    pub(super) fn add(&self, id: u64) {
        self.ids.write().insert(id);
        self.newest.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes many, which rise.
    pub(super) fn add_all(&self, ids: impl ExactSizeIterator<Item = u64>) {
        let count = ids.len() as u64;
        self.ids.write().extend(ids);
        self.newest.fetch_add(count, Ordering::Relaxed);
    }

    /// Notes that one does not belong to it any more; it stays until it is forgotten.
    pub(super) fn lose(&self) {
        self.newest.fetch_sub(1, Ordering::Relaxed);
    }

    /// Drops one that no reader sees here.
    pub(super) fn forget(&self, id: u64) {
        self.ids.write().remove(id);
    }

    /// Counts those that belong to it in their newest state.
    pub(super) fn count(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// Appends up to `limit` candidates from `from` on.
    pub(super) fn candidates<I>(&self, from: u64, limit: usize, id_of: impl Fn(u64) -> I, out: &mut Vec<I>) {
        let ids = self.ids.read();
        let end = out.len() + limit;
        out.reserve(limit);
        let high = |id: u64| u32::try_from(id >> 32).expect("half of it");
        for (upper, lower) in ids.bitmaps().filter(|(upper, _)| *upper >= high(from)) {
            let mut iter = lower.iter();
            if upper == high(from) {
                iter.advance_to(from as u32);
            }
            // Vertices that follow each other often have the same labels.
            while let Some(range) = iter.next_range() {
                for id in range {
                    if out.len() == end {
                        return;
                    }
                    out.push(id_of(u64::from(upper) << 32 | u64::from(id)));
                }
            }
        }
    }

    /// Bytes, estimated from the form of the bitmaps: 8 KiB or two bytes an id per 65,536 ids.
    pub(super) fn bytes(&self) -> u64 {
        let ids = self.ids.read();
        let inner: u64 = ids
            .bitmaps()
            .map(|(_, bitmap)| {
                let s = bitmap.statistics();
                s.n_bytes_array_containers + s.n_bytes_bitset_containers + s.n_bytes_run_containers
            })
            .sum();
        inner + 128
    }
}
