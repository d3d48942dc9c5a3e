//! Triggers: what MAIN runs before and after the commits of its clients.
//!
//! ```text
//!  session ── writes ── summary ── BEFORE triggers, same transaction ── commit ── SUCCESS
//!                          └──────────────── queue ◀── it is committed ─┘
//!                                              ▼
//!                            one task: AFTER triggers, each in a transaction of its own
//! ```
//!
//! - What triggers write triggers nothing. All of a transaction's triggers are told the same summary, made before the
//!   first of them runs.
//! - The queue is in the order in which sessions heard of their commits, and bounded: behind it sessions wait,
//!   and what is in it counts as memory of queries. It is not on disk. A node that stops lets it run for a while and logs what is left; what a node that dies had not run is not run.
//! - Commits of triggers are commits like others: what the modes promise holds for them, and replicas get what they wrote.
//!   Replicas keep the triggers and run none.

use super::interrupt::{Interrupt, Reason};
use super::services::Services;
use super::texts::{self, Failure};
use super::transactions::Seat;
use super::work::{Timer, aside, random_seed};
use super::{Core, statement};
use mgbolt::Map;
use mgcypher::triggers::PreparedTrigger;
use mgcypher::{CypherError, ErrorKind, Taken};
use mgnode_core::engine::Outcome;
use mgnode_core::storage::{Summary, Transaction};
use mgnode_core::types::{Position, Role, SyncMode, TriggerPhase, TriggerSpec};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Commits whose triggers wait for those of earlier ones.
const QUEUE: usize = 1024;

/// How long a node that stops goes on with what is queued, and then waits for what runs.
const FINISH_WAIT: Duration = Duration::from_secs(2);
const STOP_WAIT: Duration = Duration::from_secs(1);

/// A trigger after a commit has no client that could run it again where it conflicts with another transaction.
const TRIES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// What is known of triggers beside what the graph says.
#[derive(Debug)]
pub(super) struct Triggers {
    known: Mutex<Vec<Known>>,
    queue: mpsc::Sender<Fired>,
    /// Until the task has it.
    inbox: Mutex<Option<mpsc::Receiver<Fired>>>,
}

#[derive(Debug)]
struct Known {
    trigger: Arc<TriggerSpec>,
    prepared: Option<Arc<PreparedTrigger>>,
    health: Health,
}

/// How a trigger has fared on this node since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    /// Since 1970-01-01 UTC.
    pub(super) last_attempted: Option<Duration>,
    pub(super) failures: u64,
    pub(super) last_error: Option<String>,
}

/// The triggers that a commit sets off, once it is one.
#[derive(Debug)]
pub(super) struct Fired {
    triggers: Vec<Arc<TriggerSpec>>,
    summary: Arc<Summary>,
    /// Of queries, until the triggers have run.
    _memory: Taken,
}

impl Fired {
    fn names(&self) -> String {
        self.triggers.iter().map(|trigger| &*trigger.name).collect::<Vec<_>>().join(", ")
    }
}

impl Default for Triggers {
    fn default() -> Triggers {
        let (queue, inbox) = mpsc::channel(QUEUE);
        Triggers { known: Mutex::default(), queue, inbox: Mutex::new(Some(inbox)) }
    }
}

impl Triggers {
    /// Returns how a trigger has fared.
    pub(super) fn health(&self, trigger: &Arc<TriggerSpec>) -> Health {
        let known = self.known.lock();
        known
            .iter()
            .find(|known| known.trigger == *trigger)
            .map_or_else(Health::default, |k| k.health.clone())
    }

    fn prepared(
        &self,
        trigger: &Arc<TriggerSpec>,
        tx: &Transaction,
    ) -> Result<Arc<PreparedTrigger>, CypherError> {
        let kept = self.with(trigger, tx, |known| known.prepared.clone());
        if let Some(prepared) = kept.filter(|prepared| !prepared.is_stale(tx)) {
            return Ok(prepared);
        }
        let prepared = Arc::new(PreparedTrigger::new(trigger, tx)?);
        self.with(trigger, tx, |known| known.prepared = Some(prepared.clone()));
        Ok(prepared)
    }

    /// Notes how a run of a trigger ended.
    fn ran(&self, trigger: &Arc<TriggerSpec>, tx: &Transaction, failure: Option<&Failure>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.with(trigger, tx, |known| {
            known.health.last_attempted = Some(now);
            if let Some(failure) = failure {
                known.health.failures += 1;
                known.health.last_error = Some(failure.message.clone());
            }
        });
    }

    /// Looks at what is known of a trigger. A new one takes the places of those that are gone.
    fn with<T>(&self, trigger: &Arc<TriggerSpec>, tx: &Transaction, look: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.known.lock();
        let place = all.iter().position(|known| known.trigger == *trigger).unwrap_or_else(|| {
            let current = tx.triggers();
            all.retain(|known| current.contains(&known.trigger));
            all.push(Known { trigger: trigger.clone(), prepared: None, health: Health::default() });
            all.len() - 1
        });
        look(&mut all[place])
    }
}

impl<C: Core> Services<C> {
    /// Runs what comes before the commit of a transaction, as a part of it, until the flag is raised. Returns what comes
    /// after it.
    ///
    /// # Errors
    /// That of the first trigger that fails; then the transaction must be given up.
    pub(super) fn before_commit(
        &self,
        tx: &mut Transaction,
        cancel: &Arc<AtomicBool>,
    ) -> Result<Option<Fired>, Failure> {
        if !tx.has_triggers() || tx.is_read_only() {
            return Ok(None);
        }
        let summary = Arc::new(tx.summary());
        let meant = tx.triggers().into_iter().filter(|trigger| summary.has(trigger.event));
        let (before, triggers): (Vec<_>, Vec<_>) =
            meant.partition(|trigger| trigger.phase == TriggerPhase::BeforeCommit);
        for trigger in &before {
            let outcome = self.run_trigger(trigger, &summary, tx, cancel);
            self.triggers.ran(trigger, tx, outcome.as_ref().err());
            outcome.map_err(|failure| Failure {
                message: format!(
                    "Trigger '{}' caused the transaction to fail: {}",
                    trigger.name, failure.message
                ),
                ..failure
            })?;
        }
        if triggers.is_empty() {
            return Ok(None);
        }
        let memory = self.config.query_memory.take(summary.bytes()).ok_or_else(|| {
            Failure::transient(
                "Memory limit exceeded: what triggers AFTER COMMIT would be told of this transaction does not fit beside \
                 what queries and triggers that still have to run hold, so nothing was committed. Please retry it later \
                 on, or in smaller parts.",
            )
        })?;
        Ok(Some(Fired { triggers, summary, _memory: memory }))
    }

    /// Hands over what comes after a commit, now that it is one.
    pub(super) async fn after_commit(&self, fired: Fired) {
        if let Err(unsent) = self.triggers.queue.send(fired).await {
            not_run(&unsent.0.names(), "this node stops");
        }
    }

    fn run_trigger(
        &self,
        trigger: &Arc<TriggerSpec>,
        summary: &Arc<Summary>,
        tx: &mut Transaction,
        cancel: &Arc<AtomicBool>,
    ) -> Result<(), Failure> {
        let limits = self.limits(cancel.clone(), random_seed());
        let outcome = self.triggers.prepared(trigger, tx).and_then(|ready| ready.run(summary, tx, limits));
        outcome.map_err(|error| match error.kind {
            ErrorKind::Limit => Failure::from(error),
            _ => Failure::from(error).of_its_writes(),
        })
    }
}

/// Says that triggers of a commit that stands, or may stand, are not run.
pub(super) fn not_run(names: &str, why: &str) {
    tracing::warn!(triggers = names, "triggers AFTER COMMIT were not run: {why}");
}

/// The task that runs triggers after commits.
pub(super) struct AfterCommit {
    task: JoinHandle<()>,
    interrupt: Arc<Interrupt>,
    last: Arc<Notify>,
}

impl AfterCommit {
    /// Begins, once for all sessions.
    pub(super) fn start<C: Core>(services: Arc<Services<C>>) -> AfterCommit {
        let (interrupt, last) = (Arc::new(Interrupt::default()), Arc::new(Notify::new()));
        let inbox = services.triggers.inbox.lock().take().expect("it is started once");
        let seat = services.transactions.join(interrupt.clone());
        let worker = Worker { services, seat, interrupt: interrupt.clone() };
        let task = tokio::spawn(worker.work(inbox, last.clone()));
        AfterCommit { task, interrupt, last }
    }

    /// Runs what is queued, for a while; what is left then is told in the log. Sessions have ended before.
    pub(super) async fn finish(mut self) {
        self.last.notify_one();
        if timeout(FINISH_WAIT, &mut self.task).await.is_ok() {
            return;
        }
        self.interrupt.raise(Reason::Shutdown);
        if timeout(STOP_WAIT, &mut self.task).await.is_err() {
            tracing::warn!("a trigger AFTER COMMIT did not end in time and is cut off");
            self.task.abort();
        }
    }
}

struct Worker<C> {
    services: Arc<Services<C>>,
    seat: Seat,
    interrupt: Arc<Interrupt>,
}

impl<C: Core> Worker<C> {
    async fn work(self, mut inbox: mpsc::Receiver<Fired>, last: Arc<Notify>) {
        let mut is_last = false;
        loop {
            let fired = tokio::select! {
                fired = inbox.recv() => fired,
                () = last.notified(), if !is_last => {
                    is_last = true;
                    inbox.close();
                    continue;
                }
            };
            let Some(fired) = fired else { return };
            if self.interrupt.reason() == Some(Reason::Shutdown) {
                not_run(&fired.names(), "this node stops");
                continue;
            }
            for trigger in &fired.triggers {
                self.run(trigger, &fired.summary).await;
            }
        }
    }

    /// Runs one trigger; how that ended is for the log.
    async fn run(&self, trigger: &Arc<TriggerSpec>, summary: &Arc<Summary>) {
        let mut pause = FIRST_PAUSE;
        let mut tries = 0;
        let outcome = loop {
            tries += 1;
            let outcome = self.attempt(trigger, summary).await;
            match &outcome {
                Err(failure) if failure.is_of_its_writes && failure.is_transient() && tries < TRIES => {
                    sleep(pause).await;
                    pause *= 2;
                }
                _ => break outcome,
            }
        };
        let failure = outcome.err();
        if let Some(failure) = &failure {
            tracing::warn!(trigger = %trigger.name, "a trigger AFTER COMMIT failed: {}", failure.message);
        }
        self.services.triggers.ran(trigger, &self.services.core.graph().begin(false), failure.as_ref());
    }

    async fn attempt(&self, trigger: &Arc<TriggerSpec>, summary: &Arc<Summary>) -> Result<(), Failure> {
        if self.services.core.role() != Role::Main {
            return Err(Failure::write_on_replica());
        }
        self.seat.begin(Map::new());
        self.seat.query(&trigger.statement);
        let outcome = self.in_transaction(trigger, summary).await;
        let reason = self.interrupt.reason();
        self.seat.end(0);
        if reason == Some(Reason::TimedOut) {
            self.interrupt.clear(0);
        }
        outcome.map_err(|failure| match reason {
            // It is known how the commit ended, whatever was asked for meanwhile.
            _ if failure.position.is_some() => failure,
            Some(Reason::TimedOut) => Failure::timed_out(),
            Some(Reason::Shutdown) => Failure::shutdown(),
            Some(_) => Failure::terminated(),
            None => failure,
        })
    }

    async fn in_transaction(
        &self,
        trigger: &Arc<TriggerSpec>,
        summary: &Arc<Summary>,
    ) -> Result<(), Failure> {
        let services = &self.services;
        let deadline = services.config.query_timeout.and_then(|limit| Instant::now().checked_add(limit));
        let timer = deadline.map(|deadline| Timer::start(deadline, self.interrupt.clone()));
        let mut tx = services.core.graph().begin(true);
        if !tx.triggers().contains(trigger) {
            // It was dropped meanwhile.
            return Ok(());
        }
        aside(|| services.run_trigger(trigger, summary, &mut tx, &self.interrupt.flag()))?;
        drop(timer);
        let Some(commit) = aside(|| tx.finish().map_err(statement::write_failure))? else { return Ok(()) };
        if !self.seat.commit() {
            return Err(Failure::terminated());
        }
        match services.core.commit(commit).await {
            Outcome::Committed { .. } => Ok(()),
            Outcome::Degraded { failed, .. } => {
                let mode = failed.first().map_or(SyncMode::Sync, |f| f.mode);
                let text = texts::replication_failure(&failed, mode, true);
                tracing::warn!(trigger = %trigger.name, "a trigger AFTER COMMIT: {text}");
                Ok(())
            }
            Outcome::Failed(error) => Err(texts::commit_failure(error)),
            Outcome::InDoubt { position, failed } => Err(texts::in_doubt(position, &failed)),
        }
    }
}

/// Says that a commit may stand, so that it is not known whether its triggers are to run.
pub(super) fn in_doubt(fired: &Fired, position: Position) {
    not_run(&fired.names(), &format!("the commit {position} is in doubt"));
}
