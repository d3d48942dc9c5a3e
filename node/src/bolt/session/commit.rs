//! The end of a transaction.

use super::{Open, Session, Stop};
use crate::bolt::Core;
use crate::bolt::connection::Writer;
use crate::bolt::result::Source;
use crate::bolt::statement;
use crate::bolt::texts::{Failure, Notification};
use crate::bolt::triggers::Fired;
use crate::bolt::work::{Timer, aside, guarded};
use mgbolt::Map;
use mgnode_core::types::Position;

impl<C: Core> Session<C> {
    /// Commits the explicit transaction. Results that were begun first run to their end: what was
    /// asked for is part of it, read or not.
    pub(super) async fn commit(&mut self, out: &mut Writer) -> Result<(Map, Vec<Notification>), Stop> {
        for mut running in std::mem::take(&mut self.results).into_iter().flatten() {
            if running.kind != "r" && matches!(running.source, Source::Query(_) | Source::Profile(_)) {
                self.stream(&mut running, &mut None, out, true).await?;
            }
        }
        self.finish_transaction(false).await
    }

    /// Ends the transaction; what was written is committed. Returns the bookmark and the warnings. That of a
    /// transaction without a write names what it has seen, so that a client never reads an older state after it.
    pub(super) async fn finish_transaction(
        &mut self,
        in_place: bool,
    ) -> Result<(Map, Vec<Notification>), Stop> {
        let finished = self.try_finish(in_place).await;
        self.seat.end(self.resets_served);
        finished
    }

    async fn try_finish(&mut self, in_place: bool) -> Result<(Map, Vec<Notification>), Stop> {
        let Some(mut open) = self.transaction.take() else {
            return Err(Failure::client("No current transaction to commit.").into());
        };
        let fired = if open.tx.has_triggers() { self.before_commit(&mut open)? } else { None };
        if !self.seat.commit() {
            return Err(Failure::terminated().into());
        }
        let bookmark = |position: Position| Map::new().with("bookmark", position.to_string());
        let (graph, read) = (open.tx.graph().clone(), open.tx.read_lsn());
        let seen = || {
            let position = self.services.core.position_of(&graph, read);
            Ok((position.map_or_else(Map::new, bookmark), Vec::new()))
        };
        if open.tx.is_read_only() {
            return seen();
        }
        let finish = || open.tx.finish().map_err(statement::write_failure);
        let commit = if in_place { guarded(finish) } else { aside(finish) }?;
        let Some(commit) = commit else { return seen() };
        let committed = self.services.settle(commit, fired).await?;
        let metadata = committed.position.map_or_else(Map::new, bookmark);
        Ok((metadata, committed.notifications))
    }

    /// Runs the triggers that come before the commit; they have the time that the transaction has left.
    pub(super) fn before_commit(&self, open: &mut Open) -> Result<Option<Fired>, Stop> {
        let _timer = open.deadline.map(|deadline| Timer::start(deadline, self.interrupt.clone()));
        aside(|| self.services.before_commit(&mut open.tx, &self.interrupt.flag()))
            .map_err(|failure| self.ended(failure))
    }
}
