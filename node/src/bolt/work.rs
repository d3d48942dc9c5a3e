//! How the work of a query is run: within its time, beside other sessions, and so that a defect does not take the node
//! with it.

use super::interrupt::{Interrupt, Reason};
use super::texts::Failure;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::task::block_in_place;
use tokio::time::Instant;

/// Turns a defect into an answer: one query that panics must not take the node with it.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        tracing::error!(%what, "a query panicked");
        Err(Failure::database(format!("The query failed by a defect of the node: {what}.")))
    })
}

/// As [`guarded`], for work that takes its time: other sessions go on beside it.
pub(super) fn aside<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    block_in_place(|| guarded(work))
}

/// Stops the running query when its time is up.
pub(super) struct Timer(tokio::task::AbortHandle);

impl Timer {
    pub(super) fn start(deadline: Instant, interrupt: Arc<Interrupt>) -> Timer {
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(deadline).await;
            interrupt.raise(Reason::TimedOut);
        });
        Timer(task.abort_handle())
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn random_seed() -> u64 {
    // Where the system has none, the clock does.
    getrandom::u64().unwrap_or_else(|_| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos().into())
    })
}
