//! Work beside the transactions, for those who look: what is under way, and when the next snapshot is due.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Work that no client asked for in a transaction of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A snapshot is being written.
    Snapshot,
    /// Old versions are being dropped.
    Garbage,
}

/// All such work of a node. It is the same for all parts of the node.
#[derive(Debug, Default)]
pub struct Background {
    running: Mutex<Vec<Begun>>,
    /// None where no snapshots are scheduled.
    next_snapshot: Mutex<Option<SystemTime>>,
}

/// One piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) kind: Kind,
    /// By the clock on the wall, and by one that does not jump.
    pub(crate) at: SystemTime,
    since: Instant,
}

impl Begun {
    pub(crate) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Work that is under way until this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay {
    all: Arc<Background>,
    begun: Begun,
}

impl Background {
    /// Notes that work begins.
    pub(crate) fn begin(self: &Arc<Self>, kind: Kind) -> UnderWay {
        let begun = Begun { kind, at: SystemTime::now(), since: Instant::now() };
        self.running.lock().push(begun);
        UnderWay { all: self.clone(), begun }
    }

    /// Returns what is under way, oldest first.
    pub(crate) fn running(&self) -> Vec<Begun> {
        self.running.lock().clone()
    }

    /// Notes that a snapshot will be taken so long from now, where something was written until then.
    pub(crate) fn schedule_snapshot(&self, after: Duration) {
        // A time beyond the calendar is none.
        *self.next_snapshot.lock() = SystemTime::now().checked_add(after);
    }

    /// Returns when the next scheduled snapshot is due.
    pub(crate) fn next_snapshot(&self) -> Option<SystemTime> {
        *self.next_snapshot.lock()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut running = self.all.running.lock();
        // Two of a kind that began at the same moment are the same to whoever looks.
        if let Some(place) = running.iter().position(|begun| *begun == self.begun) {
            running.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_shown_while_it_is_under_way() {
        let all = Arc::new(Background::default());
        let kinds = || all.running().iter().map(|begun| begun.kind).collect::<Vec<_>>();
        let snapshot = all.begin(Kind::Snapshot);
        let sweep = all.begin(Kind::Garbage);
        assert_eq!(kinds(), [Kind::Snapshot, Kind::Garbage]);
        drop(snapshot);
        assert_eq!(kinds(), [Kind::Garbage]);
        drop(sweep);
        assert_eq!(kinds(), []);
    }
}
