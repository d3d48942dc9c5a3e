//! A result on its way to a client.

use super::connection::Writer;
use super::known::Pace;
use super::statement::Deferred;
use super::texts::{self, Failure, Notification};
use super::wire;
use mgbolt::{Map, NotificationFilter, PackValue, Response, Status, Version, write_message};
use mgcypher::dump::Dump;
use mgcypher::{Counters, Execution};
use mgnode_core::storage::Transaction;
use mgnode_core::types::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of rows that are made before they are sent.
const SLICE_BYTES: usize = 256 * 1024;

/// Keys of a summary, with those that a commit adds.
const SUMMARY_KEYS: usize = 12;

/// A result that a client has begun and not yet taken to its end.
pub(super) struct Running {
    pub(super) fields: Vec<String>,
    /// "r", "w" or "rw".
    pub(super) kind: &'static str,
    pub(super) source: Source,
    pub(super) notifications: Vec<Notification>,
    /// A row was given out, or rows were not asked for.
    had_rows: bool,
    /// A row that was made to see whether there is one.
    ahead: Option<Vec<Value>>,
    pub(super) parsing: Duration,
    pub(super) planning: Duration,
    executing: Duration,
    /// What a query that was profiled has changed.
    profiled: Option<Counters>,
    /// Where it is told how long this took.
    pub(super) pace: Option<Arc<Pace>>,
    /// It is quick enough to hold its thread.
    pub(super) in_place: bool,
}

/// What is done for the first row of a table; it is given the transaction, where there is one.
pub(super) type Work =
    Box<dyn FnOnce(Option<&mut Transaction>) -> Result<Vec<Vec<PackValue>>, Failure> + Send + Sync>;

/// Where rows come from.
pub(super) enum Source {
    Query(Box<Execution>),
    /// A query whose rows are thrown away: what its operators did is the table.
    Profile(Box<Execution>),
    /// The graph as statements, until the flag is raised.
    Dump(Box<Dump>, Arc<AtomicBool>),
    /// Begins at the first PULL or DISCARD, and leaves a table.
    Work(Work),
    Table(std::vec::IntoIter<Vec<PackValue>>),
    /// Nothing has happened yet: that is for the first PULL or DISCARD.
    Deferred(Box<Deferred>),
}

/// How far a slice came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The buffer is full.
    Full,
    /// As many rows as were asked for; there are more.
    HasMore,
    End,
}

impl Running {
    pub(super) fn new(fields: Vec<String>, kind: &'static str, source: Source) -> Running {
        Running {
            fields,
            kind,
            source,
            notifications: Vec::new(),
            had_rows: false,
            ahead: None,
            parsing: Duration::ZERO,
            planning: Duration::ZERO,
            executing: Duration::ZERO,
            profiled: None,
            pace: None,
            in_place: false,
        }
    }

    /// Returns how long rows were made so far.
    pub(super) fn executing(&self) -> Duration {
        self.executing
    }

    /// Makes rows until the buffer is full, `left` (none: all) are made, or there are no more.
    /// Without `out` they are thrown away.
    pub(super) fn slice(
        &mut self,
        tx: Option<&mut Transaction>,
        left: &mut Option<u64>,
        out: Option<&mut Writer>,
    ) -> Result<Progress, Failure> {
        let started = Instant::now();
        let progress = self.make(tx, left, out);
        self.executing += started.elapsed();
        progress
    }

    /// Does what must be done before the first row.
    fn begin(&mut self, tx: Option<&mut Transaction>) -> Result<(), Failure> {
        let rows = match std::mem::replace(&mut self.source, Source::Table(Vec::new().into_iter())) {
            Source::Work(work) => work(tx)?,
            Source::Profile(mut execution) => {
                let tx = tx.expect("a query has a transaction");
                while execution.next(tx)?.is_some() {}
                self.profiled = Some(execution.counters());
                let rows = execution.profile(tx).unwrap_or_default();
                rows.iter().map(|row| row.iter().map(wire::plain).collect()).collect()
            }
            other => {
                self.source = other;
                return Ok(());
            }
        };
        self.source = Source::Table(rows.into_iter());
        Ok(())
    }

    fn make(
        &mut self,
        mut tx: Option<&mut Transaction>,
        left: &mut Option<u64>,
        mut out: Option<&mut Writer>,
    ) -> Result<Progress, Failure> {
        let too_large = |e: mgbolt::EncodeError| Failure::client(format!("A row cannot be sent: {e}."));
        self.begin(tx.as_deref_mut())?;
        let tx = match &mut self.source {
            Source::Query(_) | Source::Dump(..) => tx.expect("a query has a transaction"),
            Source::Table(rows) => loop {
                if rows.as_slice().is_empty() {
                    return Ok(Progress::End);
                }
                if *left == Some(0) {
                    return Ok(Progress::HasMore);
                }
                let row = rows.next().expect("looked at above");
                self.had_rows = true;
                if let Some(out) = out.as_deref_mut() {
                    out.send(&Response::Record(row)).map_err(too_large)?;
                }
                left.iter_mut().for_each(|left| *left -= 1);
            },
            Source::Deferred(_) => unreachable!("the session has carried it out"),
            Source::Profile(_) | Source::Work(_) => unreachable!("begun above"),
        };
        loop {
            let row = match self.ahead.take() {
                Some(row) => Some(row),
                None => match &mut self.source {
                    Source::Dump(dump, stop) => {
                        if stop.load(Ordering::Relaxed) {
                            return Err(Failure::terminated());
                        }
                        dump.next(tx)?.map(|line| vec![Value::string(line)])
                    }
                    Source::Query(execution) => execution.next(tx)?,
                    _ => unreachable!("told apart above"),
                },
            };
            let Some(row) = row else { return Ok(Progress::End) };
            if *left == Some(0) {
                self.ahead = Some(row);
                return Ok(Progress::HasMore);
            }
            left.iter_mut().for_each(|left| *left -= 1);
            self.had_rows = true;
            if let Some(out) = out.as_deref_mut() {
                write_message(&mut out.buffer, out.version, |e| {
                    Response::record_header(e, row.len())?;
                    row.iter().try_for_each(|value| wire::write(e, value, tx))
                })
                .map_err(too_large)?;
                if out.buffer.len() >= SLICE_BYTES {
                    return Ok(Progress::Full);
                }
            }
        }
    }

    /// Whether there is something to come that depends on what the transaction sees.
    pub(super) fn reads_transaction(&self) -> bool {
        !matches!(self.source, Source::Table(_) | Source::Deferred(_))
    }

    /// Notes that rows are not made because nobody wants them.
    pub(super) fn skip_rows(&mut self) {
        self.had_rows = true;
    }

    /// How the statement ended, in GQL's words.
    fn status(&self) -> Status {
        match (self.fields.is_empty(), self.had_rows) {
            (true, _) => Status::OMITTED_RESULT,
            (false, true) => Status::SUCCESS,
            (false, false) => Status::NO_DATA,
        }
    }

    /// Returns what is said at the end of the result, to a client that wants to hear what `filter` lets through.
    pub(super) fn summary(&self, db: &str, filter: &NotificationFilter, version: Version) -> Map {
        // mgclient reads `has_more` unseen, at the end too.
        let mut summary =
            Map::with_room(SUMMARY_KEYS).with("has_more", false).with("type", self.kind).with("db", db);
        let counters = match &self.source {
            Source::Query(execution) => Some(execution.counters()),
            _ => self.profiled,
        };
        if let Some(counters) = counters {
            if counters.any() {
                // Only what moved; mgconsole wants every value to be an integer.
                let moved = counters.pairs().into_iter().filter(|(_, n)| *n > 0);
                let stats: Map = moved.map(|(key, n)| (key, i64::try_from(n).unwrap_or(i64::MAX))).collect();
                summary.insert("stats", stats);
            }
            summary.insert("cost_estimate", 0.0);
            summary.insert("parsing_time", self.parsing.as_secs_f64());
            summary.insert("planning_time", self.planning.as_secs_f64());
            summary.insert("plan_execution_time", self.executing.as_secs_f64());
        }
        summary.insert("t_last", i64::try_from(self.executing.as_millis()).unwrap_or(i64::MAX));
        texts::tell(&mut summary, &self.notifications, filter, Some(self.status()), version);
        summary
    }
}
