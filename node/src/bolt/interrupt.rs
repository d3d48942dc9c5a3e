//! Stops what a session is doing, from outside of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use tokio::sync::Notify;

/// Why a query has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The client sent RESET.
    Reset = 1,
    /// The client is gone.
    Gone = 2,
    /// The transaction has lived for too long.
    TimedOut = 3,
    /// The node stops.
    Shutdown = 4,
    /// Someone asked for it with `TERMINATE TRANSACTIONS`.
    Terminated = 5,
}

/// Shared by a session, its reader and its timers.
#[derive(Debug, Default)]
pub(super) struct Interrupt {
    /// Looked at by the executor.
    flag: Arc<AtomicBool>,
    reason: AtomicU8,
    /// RESETs that the reader has seen.
    resets: AtomicU64,
    raised: Notify,
}

impl Interrupt {
    /// Returns the flag that stops a running query.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        self.flag.clone()
    }

    /// Asks the session to stop what it does. A reason that ends the connection stands.
    pub(super) fn raise(&self, reason: Reason) {
        let _ = self.reason.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
            let ends = old == Reason::Gone as u8 || old == Reason::Shutdown as u8;
            (!ends).then_some(reason as u8)
        });
        self.flag.store(true, Ordering::Release);
        self.raised.notify_waiters();
        self.raised.notify_one();
    }

    /// Notes that a RESET came in, before it is queued.
    pub(super) fn reset_seen(&self) {
        self.resets.fetch_add(1, Ordering::AcqRel);
        self.raise(Reason::Reset);
    }

    /// Returns how many RESETs have come in.
    pub(super) fn resets(&self) -> u64 {
        self.resets.load(Ordering::Acquire)
    }

    /// Returns why the session has to stop, if it has to.
    pub(super) fn reason(&self) -> Option<Reason> {
        if !self.flag.load(Ordering::Acquire) {
            return None;
        }
        match self.reason.load(Ordering::Acquire) {
            1 => Some(Reason::Reset),
            2 => Some(Reason::Gone),
            3 => Some(Reason::TimedOut),
            4 => Some(Reason::Shutdown),
            5 => Some(Reason::Terminated),
            _ => None,
        }
    }

    /// Waits until the session has to stop.
    pub(super) async fn wait(&self) -> Reason {
        self.wait_for(|_| true).await
    }

    /// Waits until the session's transaction is terminated.
    pub(super) async fn wait_terminated(&self) -> Reason {
        self.wait_for(|reason| reason == Reason::Terminated).await
    }

    async fn wait_for(&self, is_wanted: impl Fn(Reason) -> bool) -> Reason {
        loop {
            let notified = self.raised.notified();
            if let Some(reason) = self.reason().filter(|reason| is_wanted(*reason)) {
                return reason;
            }
            notified.await;
        }
    }

    /// Lets the session go on: its time-out, the end of its transaction by another, or the RESET number `served` has
    /// been answered. One that came in meanwhile stands.
    pub(super) fn clear(&self, served: u64) {
        if matches!(self.reason(), Some(Reason::Gone | Reason::Shutdown)) {
            return;
        }
        self.flag.store(false, Ordering::Release);
        if self.resets() > served {
            self.raise(Reason::Reset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_that_comes_while_another_is_answered_stands() {
        let interrupt = Interrupt::default();
        interrupt.reset_seen();
        interrupt.reset_seen();
        interrupt.clear(1);
        assert_eq!(interrupt.reason(), Some(Reason::Reset));
        interrupt.clear(2);
        assert_eq!(interrupt.reason(), None);
    }

    #[test]
    fn a_client_that_is_gone_does_not_come_back() {
        let interrupt = Interrupt::default();
        interrupt.raise(Reason::Gone);
        interrupt.raise(Reason::TimedOut);
        interrupt.clear(0);
        assert_eq!(interrupt.reason(), Some(Reason::Gone));
    }
}
