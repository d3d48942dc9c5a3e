//! Which transactions are under way: for `SHOW TRANSACTIONS` and `TERMINATE TRANSACTIONS`.
//!
//! Each session has a slot, which holds the transaction that it has open. A slot is locked for a moment by its session
//! at each beginning and end, and by whoever looks; so a transaction is asked to stop only while it is the session's.

use super::interrupt::{Interrupt, Reason};
use mgbolt::Map;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Texts that are kept of a transaction; of a longer one the last.
const QUERIES_KEPT: usize = 64;

/// The status of what has neither ended nor begun to.
pub(super) const RUNNING: &str = "running";

/// The transactions of all sessions.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    slots: Mutex<BTreeMap<u64, Arc<Slot>>>,
    last_slot: AtomicU64,
    last_transaction: AtomicU64,
}

#[derive(Debug)]
struct Slot {
    interrupt: Arc<Interrupt>,
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    id: u64,
    queries: VecDeque<Arc<str>>,
    metadata: Map,
    began: SystemTime,
    started: Instant,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Whether it commits is the engine's to say now.
    Committing,
    /// It was asked to stop and has not yet ended.
    Aborting,
}

impl Phase {
    fn word(self) -> &'static str {
        match self {
            Phase::Running => RUNNING,
            Phase::Committing => "committing",
            Phase::Aborting => "aborting",
        }
    }
}

/// A transaction as others see it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) id: u64,
    pub(super) queries: Vec<Arc<str>>,
    /// `running`, `committing` or `aborting`.
    pub(super) status: &'static str,
    pub(super) metadata: Map,
    /// Since 1970-01-01 UTC.
    pub(super) began: Duration,
    pub(super) elapsed: Duration,
}

impl Transactions {
    /// Makes room for a session's transactions.
    pub(super) fn join(self: &Arc<Self>, interrupt: Arc<Interrupt>) -> Seat {
        let number = self.last_slot.fetch_add(1, Ordering::Relaxed) + 1;
        let slot = Arc::new(Slot { interrupt, current: Mutex::new(None) });
        self.slots.lock().insert(number, slot.clone());
        Seat { all: self.clone(), number, slot }
    }

    /// Returns what is under way, oldest first.
    pub(super) fn shown(&self) -> Vec<Shown> {
        let slots: Vec<Arc<Slot>> = self.slots.lock().values().cloned().collect();
        let mut shown: Vec<Shown> = slots
            .iter()
            .filter_map(|slot| {
                slot.current.lock().as_ref().map(|current| Shown {
                    id: current.id,
                    queries: current.queries.iter().cloned().collect(),
                    status: current.phase.word(),
                    metadata: current.metadata.clone(),
                    began: current.began.duration_since(UNIX_EPOCH).unwrap_or_default(),
                    elapsed: current.started.elapsed(),
                })
            })
            .collect();
        shown.sort_by_key(|shown| shown.id);
        shown
    }

    /// Asks a transaction to stop. Returns false where there is none of that number, or where it commits already.
    pub(super) fn terminate(&self, id: u64) -> bool {
        let slots: Vec<Arc<Slot>> = self.slots.lock().values().cloned().collect();
        slots.iter().any(|slot| {
            let mut current = slot.current.lock();
            match current.as_mut().filter(|current| current.id == id) {
                Some(current) if current.phase != Phase::Committing => {
                    current.phase = Phase::Aborting;
                    slot.interrupt.raise(Reason::Terminated);
                    true
                }
                _ => false,
            }
        })
    }
}

/// A session's place among the others; it is left when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    all: Arc<Transactions>,
    number: u64,
    slot: Arc<Slot>,
}

impl Seat {
    /// Notes that a transaction begins. One that was there before has ended.
    pub(super) fn begin(&self, metadata: Map) {
        let id = self.all.last_transaction.fetch_add(1, Ordering::Relaxed) + 1;
        *self.slot.current.lock() = Some(Current {
            id,
            queries: VecDeque::new(),
            metadata,
            began: SystemTime::now(),
            started: Instant::now(),
            phase: Phase::Running,
        });
    }

    /// Returns the number of the transaction that is under way.
    #[cfg(test)]
    fn current(&self) -> Option<u64> {
        self.slot.current.lock().as_ref().map(|current| current.id)
    }

    /// Notes what is run in the transaction.
    pub(super) fn query(&self, text: &Arc<str>) {
        if let Some(current) = &mut *self.slot.current.lock() {
            if current.queries.len() == QUERIES_KEPT {
                current.queries.pop_front();
            }
            current.queries.push_back(text.clone());
        }
    }

    /// Notes that the transaction is about to commit. False where it was asked to stop before.
    pub(super) fn commit(&self) -> bool {
        match &mut *self.slot.current.lock() {
            Some(Current { phase: Phase::Aborting, .. }) => false,
            Some(current) => {
                current.phase = Phase::Committing;
                true
            }
            None => true,
        }
    }

    /// Notes that the transaction has ended; where it was asked to stop, the session goes on. `resets` were answered.
    pub(super) fn end(&self, resets: u64) {
        let ended = self.slot.current.lock().take();
        if ended.is_some_and(|ended| ended.phase == Phase::Aborting) {
            self.slot.interrupt.clear(resets);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.all.slots.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_transaction_of_that_number_is_stopped_and_its_session_goes_on_after_it() {
        let all = Arc::new(Transactions::default());
        let interrupts = [(); 2].map(|()| Arc::new(Interrupt::default()));
        let [one, two] = interrupts.clone().map(|interrupt| all.join(interrupt));
        one.begin(Map::new());
        two.begin(Map::new());
        let id = two.current().unwrap();
        assert!(all.terminate(id));
        assert_eq!(interrupts[0].reason(), None);
        assert_eq!(interrupts[1].reason(), Some(Reason::Terminated));
        assert_eq!(all.shown().iter().map(|t| t.status).collect::<Vec<_>>(), ["running", "aborting"]);
        assert!(!two.commit());
        two.end(0);
        assert_eq!(interrupts[1].reason(), None);
        assert!(!all.terminate(id), "it has ended");
    }

    #[test]
    fn what_commits_is_not_stopped() {
        let all = Arc::new(Transactions::default());
        let interrupt = Arc::new(Interrupt::default());
        let seat = all.join(interrupt.clone());
        seat.begin(Map::new());
        assert!(seat.commit());
        assert!(!all.terminate(seat.current().unwrap()));
        assert_eq!(interrupt.reason(), None);
        assert_eq!(all.shown()[0].status, "committing");
        drop(seat);
        assert!(all.shown().is_empty());
    }

    #[test]
    fn of_a_long_transaction_the_last_texts_are_kept() {
        let all = Arc::new(Transactions::default());
        let seat = all.join(Arc::default());
        seat.begin(Map::new());
        (0..QUERIES_KEPT + 2).for_each(|n| seat.query(&n.to_string().into()));
        let shown = all.shown().remove(0);
        assert_eq!((shown.queries.len(), &*shown.queries[0]), (QUERIES_KEPT, "2"));
    }
}
