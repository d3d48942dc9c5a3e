//! What was measured of indexes, for whoever plans with them.
//!
//! A measure is of one node and one process: nothing of it is logged or sent, and a start begins without any.
//! It goes with its index.

use super::Graph;
use crate::types::IndexSpec;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was found of one index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IndexStatistics {
    /// Vertices or edges in it.
    pub entries: u64,
    /// Different values among them; 0 for an index without properties.
    pub groups: u64,
    /// Entries by value, on average.
    pub group_average: f64,
    /// How far the groups are from being of one size: the chi-squared statistic, 0 where they are.
    pub chi_squared: f64,
    /// Edges at an indexed vertex, on average, of both directions; 0 for an index of edges.
    pub degree_average: f64,
}

/// All that was measured.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    of: RwLock<BTreeMap<IndexSpec, IndexStatistics>>,
    /// Raised by every change.
    version: AtomicU64,
}

impl Statistics {
    pub(super) fn forget(&self, index: &IndexSpec) -> bool {
        let had = self.of.write().remove(index).is_some();
        if had {
            self.version.fetch_add(1, Ordering::Relaxed);
        }
        had
    }
}

impl Graph {
    /// Returns what was measured of an index, if it was.
    pub fn statistics(&self, index: &IndexSpec) -> Option<IndexStatistics> {
        self.statistics.of.read().get(index).copied()
    }

    /// Keeps what was measured of an index.
    pub fn set_statistics(&self, index: IndexSpec, found: IndexStatistics) {
        self.statistics.of.write().insert(index, found);
        self.statistics.version.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets what was measured of an index. Returns whether there was something.
    pub fn forget_statistics(&self, index: &IndexSpec) -> bool {
        self.statistics.forget(index)
    }

    /// Returns a number that changes with every measure that is kept or forgotten.
    pub fn statistics_version(&self) -> u64 {
        self.statistics.version.load(Ordering::Relaxed)
    }
}
