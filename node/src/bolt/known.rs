//! Statements that were seen before: clients send the same few again and again.

use super::texts::Failure;
use mgcypher::ast::{Query, Statement};
use mgcypher::{Params, Prepared};
use mgnode_core::storage::Transaction;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Texts that may be kept since the last time that half of them were dropped.
const STATEMENTS_FRESH: usize = 1024;
/// The longest text that is worth keeping.
const STATEMENT_BYTES_KEPT: usize = 4096;

/// A query of a short plan that took no longer so many times in a row runs in place: to make room for
/// the other sessions on another thread would take as long as the query.
const QUICK: Duration = Duration::from_micros(200);
const QUICK_RUNS: u32 = 8;

/// The statements of all sessions.
#[derive(Debug, Default)]
pub(super) struct Statements(Mutex<Kept>);

/// Two generations: what is asked for comes to the fresh ones, and when these are many they become the old ones, whose
/// place they take. So what is used again stays, however many others are used once.
#[derive(Debug, Default)]
struct Kept {
    fresh: HashMap<Arc<str>, Arc<Known>>,
    old: HashMap<Arc<str>, Arc<Known>>,
}

impl Kept {
    fn get(&mut self, text: &str) -> Option<Arc<Known>> {
        if let Some(known) = self.fresh.get(text) {
            return Some(known.clone());
        }
        let known = self.old.remove(text)?;
        self.put(known.clone());
        Some(known)
    }

    fn put(&mut self, known: Arc<Known>) {
        if self.fresh.len() >= STATEMENTS_FRESH {
            self.old = std::mem::take(&mut self.fresh);
        }
        self.fresh.insert(known.text.clone(), known);
    }
}

impl Statements {
    /// Returns what a text was parsed to before.
    pub(super) fn get(&self, text: &str) -> Option<Arc<Known>> {
        self.0.lock().get(text)
    }

    /// Parses a text, and keeps what comes of it.
    pub(super) fn parse(&self, text: &str) -> Result<Arc<Known>, Failure> {
        let statement = mgcypher::parse(text).map_err(|e| e.located(text))?;
        let (shown, prepared) = (shown(text), Mutex::new(None));
        let known = Arc::new(Known { text: shown, statement, prepared, pace: Arc::default() });
        if text.len() <= STATEMENT_BYTES_KEPT {
            self.0.lock().put(known.clone());
        }
        Ok(known)
    }
}

/// A text that was parsed, how its query was last planned, and how long it takes.
#[derive(Debug)]
pub(super) struct Known {
    /// As others see it.
    pub(super) text: Arc<str>,
    pub(super) statement: Statement,
    prepared: Mutex<Option<Arc<Prepared>>>,
    pub(super) pace: Arc<Pace>,
}

impl Known {
    /// Returns the plan that was made before, unless indexes came or went since.
    pub(super) fn prepared(&self, tx: &Transaction) -> Option<Arc<Prepared>> {
        self.prepared.lock().clone().filter(|prepared| !prepared.is_stale(tx))
    }

    pub(super) fn prepare(
        &self,
        query: &Query,
        text: &str,
        tx: &Transaction,
        parameters: &Params,
    ) -> Result<Arc<Prepared>, Failure> {
        let prepared = mgcypher::prepare(query, tx, parameters).map_err(|e| e.located(text))?;
        *self.prepared.lock() = Some(prepared.clone());
        Ok(prepared)
    }
}

/// How a query has run so far, over all sessions.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Quick runs in a row.
    quick: AtomicU32,
}

impl Pace {
    /// Whether it may be expected to be quick again.
    pub(super) fn is_quick(&self) -> bool {
        self.quick.load(Ordering::Relaxed) >= QUICK_RUNS
    }

    pub(super) fn ran(&self, took: Duration) {
        if took > QUICK {
            self.quick.store(0, Ordering::Relaxed);
        } else if !self.is_quick() {
            self.quick.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Returns as much of a text as is kept for those who look at transactions.
fn shown(text: &str) -> Arc<str> {
    if text.len() <= STATEMENT_BYTES_KEPT {
        return text.into();
    }
    let end = (0..=STATEMENT_BYTES_KEPT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_again_stays_among_many_that_are_used_once() {
        let statements = Statements::default();
        let often = statements.parse("RETURN $often").unwrap();
        for n in 0..10 * STATEMENTS_FRESH {
            let text = format!("RETURN {n}");
            assert!(statements.get(&text).is_none());
            statements.parse(&text).unwrap();
            if n % 500 == 0 {
                assert!(Arc::ptr_eq(&statements.get("RETURN $often").expect("it stays"), &often), "{n}");
            }
        }
        assert!(statements.get("RETURN 0").is_none());
        let kept = statements.0.lock();
        assert!(kept.fresh.len() + kept.old.len() <= 2 * STATEMENTS_FRESH);
    }

    #[test]
    fn a_long_text_is_not_kept_and_is_shown_in_part() {
        let statements = Statements::default();
        let text = format!("RETURN '{}'", "é".repeat(STATEMENT_BYTES_KEPT));
        let known = statements.parse(&text).unwrap();
        assert!(
            known.text.len() <= STATEMENT_BYTES_KEPT + 3 && known.text.ends_with("é..."),
            "{}",
            known.text
        );
        assert!(statements.get(&text).is_none() && statements.get(&known.text).is_none());
    }
}
