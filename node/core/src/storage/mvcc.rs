//! Who reads at which LSN, and what of the past must be kept for them.
//!
//! A reader registers (is *pinned*) and learns the version it reads in one step, under one lock.
//! From this follows what the writer may rely on:
//!
//! - **Horizon.** The least of all pins and of the published LSN. No reader, present or to come, reads
//!   below it: one that registers later takes the published LSN of that moment, which never falls.
//!   So what only readers below the horizon need may go.
//! - **Quiet apply.** While the writer holds the lock and no reader is pinned, nobody can register.
//!   The writer then applies a record leaving no deltas at all, and before it lets go of the lock it
//!   raises `floor` to that record. Whoever registers next reads at the floor, finds exactly the state
//!   that is in the slots, and needs no delta. That moment may come a little before `publish`, which is
//!   harmless: only records that may be seen are applied. A record is applied so if it is short, so that
//!   nobody waits for long; or if it only creates, since what undoes a creation can still be written down
//!   when somebody comes: the writer looks up from its work now and then, does so, and lets them in.

use super::Counts;
use super::schema::Schema;
use crate::types::Lsn;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is the same for every reader of one LSN.
#[derive(Clone, Default)]
pub(super) struct Version {
    pub(super) lsn: Lsn,
    pub(super) counts: Counts,
    pub(super) schema: Arc<Schema>,
    /// One more than the highest vertex id that was ever applied.
    pub(super) next_vertex: u64,
    /// One more than the highest edge id that was ever applied.
    pub(super) next_edge: u64,
}

/// All readers.
#[derive(Default)]
pub(super) struct Readers {
    registry: Mutex<Registry>,
    /// How many wait for the registry.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Registry {
    /// What is published.
    published: Version,
    ts: u64,
    /// Applied, not yet published; rising.
    applied: VecDeque<Version>,
    /// New readers read at least here.
    floor: Lsn,
    /// How many readers read at an LSN.
    pins: BTreeMap<Lsn, usize>,
}

/// Keeps the past as of `lsn` until it is dropped.
pub(super) struct Pin {
    readers: Arc<Readers>,
    lsn: Lsn,
}

impl Pin {
    pub(super) fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Whether it is one of these readers'.
    pub(super) fn is_of(&self, readers: &Arc<Readers>) -> bool {
        Arc::ptr_eq(&self.readers, readers)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut registry = self.readers.lock();
        let count = registry.pins.get_mut(&self.lsn).expect("a pin is counted until it is dropped");
        *count -= 1;
        if *count == 0 {
            registry.pins.remove(&self.lsn);
        }
    }
}

/// Holds new readers off while a record is applied quietly.
pub(super) struct Quiet<'a> {
    registry: MutexGuard<'a, Registry>,
    waiting: &'a AtomicUsize,
}

impl Quiet<'_> {
    /// Ends the quiet: the slots hold `version`. Where it is dropped instead, readers read as if it had not been.
    pub(super) fn applied(mut self, version: Version) {
        self.registry.floor = version.lsn;
        self.registry.applied.push_back(version);
    }

    /// Whether somebody waits for its end.
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.try_lock().unwrap_or_else(|| {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            let registry = self.registry.lock();
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            registry
        })
    }

    /// Makes it look as if somebody waited.
    #[cfg(test)]
    pub(super) fn pretend_waiting(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Registers a reader.
    pub(super) fn pin(self: &Arc<Self>) -> (Pin, Version) {
        let mut registry = self.lock();
        let version = if registry.floor > registry.published.lsn {
            let floor = registry.floor;
            let found = registry.applied.iter().find(|version| version.lsn == floor);
            found.expect("a version is kept until it is published").clone()
        } else {
            registry.published.clone()
        };
        *registry.pins.entry(version.lsn).or_default() += 1;
        (Pin { readers: self.clone(), lsn: version.lsn }, version)
    }

    /// Holds new readers off, if there are none now.
    pub(super) fn quiet(&self) -> Option<Quiet<'_>> {
        let registry = self.lock();
        registry.pins.is_empty().then_some(Quiet { registry, waiting: &self.waiting })
    }

    /// Notes what readers will see once it is published.
    pub(super) fn applied(&self, version: Version) {
        self.lock().applied.push_back(version);
    }

    /// Publishes everything applied up to `lsn`.
    pub(super) fn publish(&self, lsn: Lsn, ts: u64) {
        let mut registry = self.lock();
        while registry.applied.front().is_some_and(|version| version.lsn <= lsn) {
            registry.published = registry.applied.pop_front().expect("just seen");
            registry.ts = ts;
        }
    }

    /// Returns what is published, and its `ts`.
    pub(super) fn published(&self) -> (Version, u64) {
        let registry = self.lock();
        (registry.published.clone(), registry.ts)
    }

    /// Returns the last published LSN.
    pub(super) fn published_lsn(&self) -> Lsn {
        self.lock().published.lsn
    }

    /// Returns the LSN below which no one reads or will read.
    pub(super) fn horizon(&self) -> Lsn {
        let registry = self.lock();
        let published = registry.published.lsn;
        registry.pins.keys().next().map_or(published, |oldest| published.min(*oldest))
    }
}
