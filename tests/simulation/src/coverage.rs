//! What happened how often. A set of runs that lacks something important proves nothing.

use std::collections::BTreeMap;

/// Events of some kind, and how many there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<String, u64>,
}

/// What every large enough set of runs must have met.
const NEEDED: &[&str] = &[
    "promotions",
    "failovers",
    "crashes of MAIN",
    "power cuts",
    "snapshot catch-ups",
    "snapshots resumed",
    "tail fetches",
    "divergences",
    "refused: Fenced",
    "committed",
    "degraded",
    "in doubt",
];

impl Coverage {
    /// Counts one more of `what`.
    pub fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// Counts `times` more of `what`.
    pub fn add(&mut self, what: &str, times: u64) {
        match self.counts.get_mut(what) {
            Some(count) => *count += times,
            None => {
                self.counts.insert(what.to_owned(), times);
            }
        }
    }

    /// Adds what another run met.
    pub fn merge(&mut self, other: &Coverage) {
        for (what, times) in &other.counts {
            self.add(what, *times);
        }
    }

    /// Returns how often `what` happened.
    pub fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Returns one line for each kind.
    pub fn lines(&self) -> String {
        self.counts.iter().map(|(what, times)| format!("{times:>12}  {what}\n")).collect()
    }
}

/// Returns what a large set of runs should have met and did not.
pub fn missing(coverage: &Coverage) -> Vec<&'static str> {
    NEEDED.iter().copied().filter(|what| coverage.of(what) == 0).collect()
}
