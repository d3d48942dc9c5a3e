//! A query that commits as it goes: each of its transactions but the last is ended here.

use super::session::{Committed, Services};
use super::texts::Failure;
use super::{Core, statement};
use mgcypher::{Commits, CypherError, ErrorKind};
use mgnode_core::storage::Transaction;
use mgnode_core::types::Role;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::runtime::Handle;

/// What became of the transactions of one query so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// How many are committed.
    pub(super) count: u64,
    /// What was said beside them.
    pub(super) committed: Committed,
    /// Why the last one is not, or not surely.
    pub(super) failure: Option<Failure>,
}

/// Ends a query's transactions. The thread waits, so it must be one that may.
pub(super) struct Between<C> {
    services: Arc<Services<C>>,
    runtime: Handle,
    progress: Arc<Mutex<Progress>>,
}

impl<C: Core> Between<C> {
    /// To be made within the runtime that the engine's answers come on.
    pub(super) fn new(services: Arc<Services<C>>, progress: Arc<Mutex<Progress>>) -> Between<C> {
        Between { services, runtime: Handle::current(), progress }
    }

    fn begin(&self) -> Transaction {
        // On a REPLICA a read takes no value of the counter that its MAIN hands out.
        let count_clock = self.services.core.role() == Role::Main;
        self.services.core.graph().begin(count_clock)
    }
}

impl<C: Core> Commits for Between<C> {
    fn commit(&self, tx: &mut Transaction) -> Result<(), CypherError> {
        let ended = std::mem::replace(tx, self.begin());
        if ended.is_read_only() {
            return Ok(());
        }
        let commit = match ended.finish().map_err(statement::write_failure) {
            Ok(None) => return Ok(()),
            Ok(Some(commit)) => Ok(commit),
            Err(failure) => Err(failure),
        };
        let outcome = commit.and_then(|commit| self.runtime.block_on(self.services.settle(commit)));
        let mut progress = self.progress.lock();
        match outcome {
            Ok(committed) => {
                progress.count += 1;
                progress.committed.join(committed);
                // It reads what was committed.
                *tx = self.begin();
                Ok(())
            }
            Err(failure) => {
                // What may stand ends the query, whatever it says of errors.
                let may_stand = failure.position.is_some();
                let error = match may_stand {
                    true => CypherError::limit(&*failure.message),
                    false => CypherError::runtime(ErrorKind::Statement, "", &*failure.message),
                };
                progress.failure = Some(failure);
                Err(error)
            }
        }
    }

    fn give_up(&self, tx: &mut Transaction) {
        self.progress.lock().failure = None;
        *tx = self.begin();
    }
}

impl Progress {
    /// Returns what a client is told where the query fails after all. Where some of its transactions are committed
    /// nobody may run it again as if it were none, so that is never transient.
    pub(super) fn failed(&mut self, failure: Failure) -> Failure {
        let failure = self.failure.take().unwrap_or(failure);
        if self.count == 0 {
            return failure;
        }
        let (count, word) = (self.count, if self.count == 1 { "transaction" } else { "transactions" });
        let message =
            format!("{} Before that, {count} {word} of the query had been committed.", failure.message);
        let code = if failure.position.is_some() { failure.code } else { Failure::client("").code };
        Failure { code, message, ..failure }
    }
}

#[cfg(test)]
mod tests {
    use super::super::texts;
    use super::*;
    use mgnode_core::engine::CommitError;
    use mgnode_core::types::Position;

    #[test]
    fn what_is_committed_in_part_is_never_tried_again_by_a_driver() {
        let conflict = || texts::commit_failure(CommitError::Conflict);
        let mut none = Progress::default();
        assert_eq!(none.failed(conflict()), conflict());
        let mut some = Progress { count: 1, ..Progress::default() };
        let failure = some.failed(conflict());
        assert_eq!(failure.code, Failure::client("").code);
        assert!(failure.message.ends_with("Before that, 1 transaction of the query had been committed."));
    }

    #[test]
    fn a_commit_in_doubt_keeps_its_position_and_its_code() {
        let position: Position = "3.00000000000000aa.1:7".parse().unwrap();
        let doubt = texts::in_doubt(position, &[]);
        let mut progress = Progress { count: 2, failure: Some(doubt.clone()), ..Progress::default() };
        let failure = progress.failed(Failure::terminated());
        assert_eq!((failure.code, failure.position), (doubt.code, Some(position)));
    }
}
