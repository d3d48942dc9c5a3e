//! PULL and DISCARD: rows are made and sent, and what was put off until now is carried out.

use super::{Open, Session, Stop, done, stopped};
use crate::bolt::connection::Writer;
use crate::bolt::interrupt::Reason;
use crate::bolt::result::{Progress, Running, Source};
use crate::bolt::services::Committed;
use crate::bolt::statement::{self, DATABASE, Deferred, RecoverSnapshot};
use crate::bolt::texts::{self, Failure, Notification};
use crate::bolt::work::{Timer, aside, guarded};
use crate::bolt::{Core, isolation, recover};
use mgbolt::{ALL, Ended, Map, Stream, TransactionExtra};
use mgcypher::ast::{IsolationScope, TransactionStatement};
use mgcypher::schema;
use mgnode_core::types::Position;

impl<C: Core> Session<C> {
    pub(super) async fn take(
        &mut self,
        stream: Stream,
        out: &mut Writer,
        discard: bool,
    ) -> Result<(Map, Ended), Stop> {
        let index = match stream.qid {
            // Outside of a transaction there is one result, whatever number it is called by.
            Some(qid) if self.in_explicit_transaction() => usize::try_from(qid).ok(),
            _ => self.results.len().checked_sub(1),
        };
        let taken = index.and_then(|index| Some((index, self.results.get_mut(index)?.take()?)));
        let Some((index, mut running)) = taken else {
            return Err(Failure::request("There is no open result of that number.").into());
        };
        let was_explicit = self.in_explicit_transaction();
        let mut committed = Map::new();
        if let Source::Deferred(_) = running.source {
            committed = self.carry_out(&mut running, out).await?;
        }
        // Rows of a query that only reads need not be made to be thrown away.
        let skip =
            discard && stream.n == ALL && running.kind == "r" && matches!(running.source, Source::Query(_));
        let mut left = u64::try_from(stream.n).ok();
        let progress = if skip {
            running.skip_rows();
            Progress::End
        } else {
            self.stream(&mut running, &mut left, out, discard).await?
        };
        if progress == Progress::HasMore {
            self.results[index] = Some(running);
            return Ok((Map::new().with("has_more", true), Ended::HasMore));
        }
        if let Some(pace) = &running.pace {
            pace.ran(running.executing());
        }
        if !was_explicit && self.transaction.as_ref().is_some_and(|open| !open.explicit) {
            let (metadata, notifications) = self.finish_transaction(running.in_place).await?;
            committed = metadata;
            running.notifications.extend(notifications);
            if let Some(batches) = self.batches.take() {
                running.notifications.extend(batches.lock().given_up());
                let mut before = std::mem::take(&mut batches.lock().committed);
                before.notifications.retain(|said| !running.notifications.contains(said));
                running.notifications.extend(before.notifications);
            }
        }
        let mut summary = running.summary(DATABASE, &self.filter_now, self.version);
        summary.0.extend(committed.0);
        done(summary)
    }

    /// Makes rows slice by slice and sends each slice before the next is made.
    pub(super) async fn stream(
        &mut self,
        running: &mut Running,
        left: &mut Option<u64>,
        out: &mut Writer,
        discard: bool,
    ) -> Result<Progress, Stop> {
        let deadline = self.transaction.as_ref().and_then(|open| open.deadline).filter(|_| !running.in_place);
        let _timer = deadline.map(|deadline| Timer::start(deadline, self.interrupt.clone()));
        loop {
            let kept = out.buffer.len();
            let tx = self.transaction.as_mut().map(|open| &mut open.tx);
            let sink = (!discard).then_some(&mut *out);
            let made = if running.in_place {
                guarded(|| running.slice(tx, left, sink))
            } else {
                aside(|| running.slice(tx, left, sink))
            };
            match made {
                // There is more of it than was thought.
                Ok(Progress::Full) => running.in_place = false,
                Ok(progress) => return Ok(progress),
                Err(failure) => {
                    // A panic may have left half a message behind what was complete.
                    if failure.code == Failure::database("").code {
                        out.buffer.truncate(kept);
                    }
                    return Err(self.ended(failure));
                }
            }
            let flushed = tokio::select! {
                biased;
                flushed = out.flush() => Some(flushed),
                reason = self.interrupt.wait() => {
                    if reason == Reason::Reset { None } else { return Err(stopped(reason).into()) }
                }
            };
            match flushed {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(Stop::Line(error)),
                None => return Err(stopped(Reason::Reset).into()),
            }
        }
    }

    /// Returns why work ended with a failure: that it was asked to, where it was.
    pub(super) fn ended(&self, failure: Failure) -> Stop {
        let reason = self.interrupt.reason();
        // A transaction that was terminated clears the flag when it ends.
        if reason == Some(Reason::TimedOut) {
            self.interrupt.clear(self.resets_served);
        }
        reason.map_or(failure, stopped).into()
    }

    /// Puts what a snapshot holds in the place of all that is here.
    async fn recover(&mut self, wanted: RecoverSnapshot, running: &mut Running) -> Result<Map, Stop> {
        self.seat.begin(wanted.metadata);
        self.seat.query(&wanted.text);
        let graph = self.services.core.graph();
        let (config, stop) = (&self.services.config, self.interrupt.flag());
        let prepared = {
            let _timer = wanted.deadline.map(|deadline| Timer::start(deadline, self.interrupt.clone()));
            aside(|| recover::prepare(&wanted.path, wanted.force, &graph, config, &stop))
        };
        let mut recovery = prepared.map_err(|failure| self.ended(failure))?;
        if !self.seat.commit() {
            return Err(Failure::terminated().into());
        }
        let committed = match recovery.commit.take() {
            // What a snapshot holds is no one's work, and fires no trigger.
            Some(commit) => self.services.settle(commit, None).await?,
            None => Committed::default(),
        };
        self.seat.end(self.resets_served);
        running.notifications.extend(committed.notifications);
        let bookmark = |position: Position| Map::new().with("bookmark", position.to_string());
        Ok(committed.position.map_or_else(Map::new, bookmark))
    }

    /// Carries out what was put off until the first PULL.
    async fn carry_out(&mut self, running: &mut Running, out: &mut Writer) -> Result<Map, Stop> {
        let nothing = Source::Table(Vec::new().into_iter());
        let Source::Deferred(deferred) = std::mem::replace(&mut running.source, nothing) else {
            return Ok(Map::new());
        };
        match *deferred {
            Deferred::Admin(command) => {
                let answer = self.services.core.admin(command.clone()).await;
                let answer = answer.map_err(|error| texts::admin_failure(&command, error))?;
                running.source = Source::Table(statement::admin_rows(answer).into_iter());
                running.notifications.extend(statement::admin_notifications(&command));
                Ok(Map::new())
            }
            Deferred::Schema(statement, text) => {
                self.seat.begin(Map::new());
                self.seat.query(&text);
                // Counted: a schema change is a transaction of its own.
                let mut tx = self.services.core.graph().begin(true);
                let made = aside(|| Ok(schema::execute(&statement, &mut tx)?))?;
                running.notifications.extend(made.into_iter().map(Notification::from));
                self.transaction = Some(Open { tx, explicit: false, deadline: None, moves_on: false });
                let (metadata, notifications) = self.finish_transaction(false).await?;
                running.notifications.extend(notifications);
                Ok(metadata)
            }
            Deferred::Recover(wanted) => self.recover(wanted, running).await,
            Deferred::Isolation(scope, level) => {
                match scope {
                    IsolationScope::Global => *self.services.isolation.lock() = level,
                    IsolationScope::Session => self.isolation = Some(level),
                    IsolationScope::NextTransaction => self.isolation_next = Some(level),
                }
                running.notifications.extend(isolation::notifications(scope, level));
                Ok(Map::new())
            }
            Deferred::Transaction(TransactionStatement::Begin) => {
                self.open(&TransactionExtra::default(), true, None).await?;
                Ok(Map::new())
            }
            Deferred::Transaction(TransactionStatement::Commit) => {
                let (metadata, notifications) = self.commit(out).await?;
                running.notifications.extend(notifications);
                Ok(metadata)
            }
            Deferred::Transaction(TransactionStatement::Rollback) => {
                self.forget();
                Ok(Map::new())
            }
        }
    }
}
