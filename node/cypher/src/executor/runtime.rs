//! What a running query is told and what it keeps count of.

use super::{Commits, Import};
use crate::error::CypherError;
use crate::procedures::{Builtin, Procedures};
use mgnode_core::storage::{EdgeInfo, Summary};
use mgnode_core::types::EdgeId;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Memory that all running queries of a node share, so that no query, and no number of them, takes
/// what the graph and the machine need.
#[derive(Debug)]
pub struct MemoryPool {
    held: AtomicUsize,
    bytes_max: usize,
}

impl MemoryPool {
    /// Makes a pool of so many bytes.
    pub fn new(bytes_max: usize) -> MemoryPool {
        MemoryPool { held: AtomicUsize::new(0), bytes_max }
    }

    /// Returns how many bytes are taken.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Takes bytes for work that is no query, until what is returned is dropped; `None` where there are not so many.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Option<Taken> {
        let room = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.bytes_max);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Taken { pool: self.clone(), bytes })
    }

    /// Returns how many bytes there are in all.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}

/// Bytes of a pool that are taken.
#[derive(Debug)]
pub struct Taken {
    pool: Arc<MemoryPool>,
    bytes: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.pool.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What a query may use, and what it is told about the world.
#[derive(Clone)]
pub struct Limits {
    /// Bytes of rows, groups and lists that the query may hold at once.
    pub memory_bytes_max: usize,
    /// What the query shares with others.
    pub pool: Option<Arc<MemoryPool>>,
    /// Set from outside: the query stops with an error soon after.
    pub cancel: Option<Arc<AtomicBool>>,
    /// Time since 1970-01-01 UTC, the same throughout the query.
    pub now: Duration,
    /// Where the dice of `rand()` and `randomUUID()` begin.
    pub seed: u64,
    /// What `CALL` can call.
    pub procedures: Arc<dyn Procedures>,
    /// Where `LOAD CSV` finds its files.
    pub import: Option<Arc<dyn Import>>,
    /// What a query that commits as it goes does that with; None in a transaction that is not the query's alone.
    pub commits: Option<Arc<dyn Commits>>,
    /// For `PROFILE`: time on a clock that never goes back. What each operator does is counted where it is there.
    pub profile_clock: Option<fn() -> Duration>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes_max: 1 << 30,
            pool: None,
            cancel: None,
            now: Duration::ZERO,
            seed: 0,
            procedures: Arc::new(Builtin),
            import: None,
            commits: None,
            profile_clock: None,
        }
    }
}

/// What the operators of a plan were seen to do.
pub(crate) struct Profile {
    pub(crate) clock: fn() -> Duration,
    /// Of each operator.
    pub(crate) of: Vec<Measured>,
    /// Time in operators below the one that runs.
    pub(crate) below: Duration,
}

/// What one operator was seen to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    /// Whether the plan shows it; the time of one that it does not show is its user's.
    pub(crate) is_shown: bool,
    /// How often it was asked for a row.
    pub(crate) hits: u64,
    /// Time in it, without that in the operators below.
    pub(crate) own: Duration,
}

/// What a query has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub nodes_created: u64,
    pub nodes_deleted: u64,
    pub relationships_created: u64,
    pub relationships_deleted: u64,
    pub labels_added: u64,
    pub labels_removed: u64,
    pub properties_set: u64,
}

impl Counters {
    /// Whether anything was changed.
    pub fn any(&self) -> bool {
        *self != Counters::default()
    }

    /// Returns the counts under Memgraph's keys, in its order.
    pub fn pairs(&self) -> [(&'static str, u64); 7] {
        [
            ("nodes-created", self.nodes_created),
            ("nodes-deleted", self.nodes_deleted),
            ("relationships-created", self.relationships_created),
            ("relationships-deleted", self.relationships_deleted),
            ("properties-set", self.properties_set),
            ("labels-added", self.labels_added),
            ("labels-removed", self.labels_removed),
        ]
    }
}

/// The state of a running query outside of its rows.
pub struct Runtime {
    /// Time since 1970-01-01 UTC.
    pub now: Duration,
    /// The query has deleted something, so what it holds may be gone.
    pub has_deleted: bool,
    /// Ends and types of edges that the query has deleted: they can still be named.
    pub deleted_edges: FxHashMap<EdgeId, EdgeInfo>,
    /// Of a trigger: what was done before. What was deleted then can be read.
    pub(crate) past: Option<Arc<Summary>>,
    pub counters: Counters,
    pub(crate) procedures: Arc<dyn Procedures>,
    pub(crate) patterns: FxHashMap<Arc<str>, Arc<regex_automata::meta::Regex>>,
    pub(crate) import: Option<Arc<dyn Import>>,
    pub(crate) commits: Option<Arc<dyn Commits>>,
    pub(crate) profile: Option<Box<Profile>>,
    cancel: Option<Arc<AtomicBool>>,
    bytes_held: usize,
    /// Of these, what the transaction keeps until it commits.
    bytes_written: usize,
    bytes_max: usize,
    pool: Option<Arc<MemoryPool>>,
    ticks: u32,
    dice: u64,
}

impl Runtime {
    pub(crate) fn new(limits: Limits) -> Runtime {
        Runtime {
            now: limits.now,
            has_deleted: false,
            deleted_edges: FxHashMap::default(),
            past: None,
            counters: Counters::default(),
            procedures: limits.procedures,
            patterns: FxHashMap::default(),
            import: limits.import,
            commits: limits.commits,
            profile: limits
                .profile_clock
                .map(|clock| Box::new(Profile { clock, of: Vec::new(), below: Duration::ZERO })),
            cancel: limits.cancel,
            bytes_held: 0,
            bytes_written: 0,
            bytes_max: limits.memory_bytes_max,
            pool: limits.pool,
            ticks: 0,
            dice: limits.seed,
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Runtime {
        Runtime::new(Limits::default())
    }

    /// Counts a step, and now and then looks whether the query is to stop.
    pub fn tick(&mut self) -> Result<(), CypherError> {
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks & 0xff == 0 { self.check_cancelled() } else { Ok(()) }
    }

    /// Stops the query where that was asked for.
    pub fn check_cancelled(&self) -> Result<(), CypherError> {
        match &self.cancel {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(CypherError::limit(
                "Transaction was asked to abort, either by another session, a time-out or a shutdown.",
            )
            .transient()),
            _ => Ok(()),
        }
    }

    /// Accounts for bytes that the query keeps, until its end or until they are released.
    pub fn hold(&mut self, bytes: usize) -> Result<(), CypherError> {
        self.require(bytes)?;
        self.bytes_held += bytes;
        if let Some(pool) = &self.pool {
            pool.held.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Accounts for bytes that the transaction keeps until it commits, whatever the query forgets.
    pub(crate) fn hold_written(&mut self, bytes: usize) -> Result<(), CypherError> {
        self.hold(bytes)?;
        self.bytes_written += bytes;
        Ok(())
    }

    /// Takes back what was held for a transaction, which has ended.
    pub(crate) fn release_written(&mut self) {
        let bytes = std::mem::take(&mut self.bytes_written);
        self.release(bytes);
    }

    /// Returns how many bytes the query keeps, without those of its transaction.
    pub(crate) fn held(&self) -> usize {
        self.bytes_held - self.bytes_written
    }

    /// Takes back what was held for something that is no longer growing.
    pub fn release(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.bytes_held, "only what is held is released");
        self.bytes_held -= bytes;
        if let Some(pool) = &self.pool {
            pool.held.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Refuses what would not fit, without accounting for it.
    pub fn require(&self, bytes: usize) -> Result<(), CypherError> {
        if self.bytes_held.saturating_add(bytes) > self.bytes_max {
            return Err(CypherError::limit(format!(
                "Memory limit exceeded! The query holds {} bytes and needs {bytes} more; at most {} are allowed.",
                self.bytes_held, self.bytes_max
            )));
        }
        if let Some(pool) = &self.pool
            && pool.held().saturating_add(bytes) > pool.bytes_max
        {
            let error = CypherError::limit(format!(
                "Memory limit exceeded! All queries of this node hold {} bytes and this one needs {bytes} more; at most {} are allowed.",
                pool.held(),
                pool.bytes_max
            ));
            // Where it would fit alone, it may fit later.
            let fits_alone = self.bytes_held.saturating_add(bytes) <= pool.bytes_max;
            return Err(if fits_alone { error.transient() } else { error });
        }
        Ok(())
    }

    /// Throws the dice (SplitMix64).
    pub fn random(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.release(self.bytes_held);
    }
}
