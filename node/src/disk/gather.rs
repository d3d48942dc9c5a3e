//! How long a sync waits for those who may share it.
//!
//! Clients that commit again and again fall into two groups on a slow disk: one waits for its sync while the
//! other's is under way, and each sync serves half of them. Whoever was just answered and whoever waits
//! already are all that are likely to come; waiting a part of a sync's time for them saves a whole one. A disk
//! that is quick has no need of it: there the processor is what binds. Nor has one client.

use std::time::Duration;

/// A sync that takes less is not waited with.
const SLOW: Duration = Duration::from_micros(500);
/// Longest wait, in quarters of what the last sync took.
const QUARTERS: u32 = 3;
/// Longest wait for the next one of them, in the same. Where none comes, none is likely to come.
const PAUSE_QUARTERS: u32 = 1;
/// Longest wait of all.
const WAIT_MAX: Duration = Duration::from_millis(3);
/// Most syncs that do not wait after waits that were in vain.
const PASSES_MAX: u32 = 16;

/// What the last syncs tell about the next one.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// What the last sync took.
    took: Duration,
    /// Records that it made durable.
    served: usize,
    /// Syncs that are still to go without a wait.
    passes: u32,
    /// So many follow a wait in vain.
    passes_next: u32,
}

/// Records to wait for, and how long at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) records: usize,
    pub(super) time: Duration,
    /// How long for the next one.
    pub(super) pause: Duration,
}

impl Gathering {
    /// Takes note of a sync.
    pub(super) fn synced(&mut self, records: usize, took: Duration) {
        (self.served, self.took) = (records, took);
    }

    /// Says how long the next sync is to wait, where `waiting` records are there for it already.
    pub(super) fn wait(&mut self, waiting: usize, came_meanwhile: bool) -> Option<Wait> {
        // Those who came while the disk was at work are others than those it was at work for.
        let records = if came_meanwhile { self.served + waiting } else { self.served };
        if self.took < SLOW || records <= waiting {
            return None;
        }
        if self.passes > 0 {
            self.passes -= 1;
            return None;
        }
        let part = |quarters: u32| (self.took * quarters / 4).min(WAIT_MAX);
        Some(Wait { records, time: part(QUARTERS), pause: part(PAUSE_QUARTERS) })
    }

    /// Takes note of what a wait brought.
    pub(super) fn waited(&mut self, wait: Wait, records: usize) {
        // Most of them will do: a few may have gone.
        if records >= wait.records - wait.records / 4 {
            self.passes_next = 0;
        } else {
            self.passes_next = (self.passes_next * 2 + 1).min(PASSES_MAX);
            self.passes = self.passes_next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_millis(3);

    #[test]
    fn a_slow_sync_waits_for_those_it_served_before() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.wait(5, false), None);
        gathering.synced(32, SYNC);
        // Half of them were waiting while the disk was at work for the others.
        let all = Wait { records: 64, time: SYNC * QUARTERS / 4, pause: SYNC * PAUSE_QUARTERS / 4 };
        assert_eq!(gathering.wait(32, true), Some(all));
        gathering.synced(64, SYNC);
        assert_eq!(gathering.wait(1, false), Some(all));
        gathering.synced(64, Duration::from_secs(1));
        assert_eq!(gathering.wait(1, false), Some(Wait { time: WAIT_MAX, pause: WAIT_MAX, ..all }));
    }

    #[test]
    fn one_client_and_a_quick_disk_never_wait() {
        let mut gathering = Gathering::default();
        gathering.synced(1, SYNC);
        assert_eq!(gathering.wait(1, false), None);
        gathering.synced(64, SLOW / 2);
        assert_eq!(gathering.wait(1, false), None);
        assert_eq!(gathering.wait(32, true), None);
    }

    #[test]
    fn waits_in_vain_become_rare() {
        let mut gathering = Gathering::default();
        let mut waits = 0;
        for _ in 0..1000 {
            gathering.synced(64, SYNC);
            if let Some(wait) = gathering.wait(1, false) {
                waits += 1;
                gathering.waited(wait, 1);
            }
        }
        assert!((50..=70).contains(&waits), "{waits}");
        // They come back with the clients.
        gathering.passes = 0;
        gathering.synced(64, SYNC);
        let wait = gathering.wait(1, false).unwrap();
        gathering.waited(wait, 60);
        for _ in 0..10 {
            gathering.synced(60, SYNC);
            assert!(gathering.wait(1, false).is_some());
        }
    }
}
