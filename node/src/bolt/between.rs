//! A query that commits as it goes: each of its transactions but the last is ended here.

use super::services::{Committed, Services};
use super::texts::{BATCHES_FAILED, Failure, Notification};
use super::{Core, statement};
use mgcypher::{Commits, CypherError, ErrorKind};
use mgnode_core::storage::{Graph, Transaction};
use mgnode_core::types::Role;
use parking_lot::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
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
    /// How many failed and were given up, and why the first one.
    given_up: Option<(u64, String)>,
}

/// Ends a query's transactions. The thread waits, so it must be one that may.
pub(super) struct Between<C> {
    services: Arc<Services<C>>,
    runtime: Handle,
    progress: Arc<Mutex<Progress>>,
    /// Stops the triggers of its transactions.
    cancel: Arc<AtomicBool>,
    /// An empty graph, which the query reads while one of its transactions is committed: so it keeps nothing of the past
    /// of the real one, and the record can be applied without a trace of what was before.
    nothing: OnceLock<Arc<Graph>>,
}

impl<C: Core> Between<C> {
    /// To be made within the runtime that the engine's answers come on.
    pub(super) fn new(
        services: Arc<Services<C>>,
        progress: Arc<Mutex<Progress>>,
        cancel: Arc<AtomicBool>,
    ) -> Between<C> {
        Between { services, runtime: Handle::current(), progress, cancel, nothing: OnceLock::new() }
    }

    fn begin(&self) -> Transaction {
        // On a REPLICA a read takes no value of the counter that its MAIN hands out.
        let count_clock = self.services.core.role() == Role::Main;
        self.services.core.graph().begin(count_clock)
    }
}

impl<C: Core> Commits for Between<C> {
    fn commit(&self, tx: &mut Transaction) -> Result<(), CypherError> {
        if tx.is_read_only() {
            *tx = self.begin();
            return Ok(());
        }
        let nothing = self.nothing.get_or_init(|| Arc::new(Graph::new(tx.names().clone())));
        let ended = std::mem::replace(tx, nothing.begin(false));
        let ended = self.end(ended);
        // It reads what was committed.
        *tx = self.begin();
        ended
    }

    fn give_up(&self, tx: &mut Transaction, why: &CypherError) {
        let mut progress = self.progress.lock();
        progress.failure = None;
        progress.given_up.get_or_insert_with(|| (0, why.to_string())).0 += 1;
        *tx = self.begin();
    }
}

impl<C: Core> Between<C> {
    fn end(&self, mut ended: Transaction) -> Result<(), CypherError> {
        let fired = self.services.before_commit(&mut ended, &self.cancel);
        let finished = fired.and_then(|fired| Ok((ended.finish().map_err(statement::write_failure)?, fired)));
        let outcome = match finished {
            Ok((None, _)) => return Ok(()),
            Ok((Some(commit), fired)) => self.runtime.block_on(self.services.settle(commit, fired)),
            Err(failure) => Err(failure),
        };
        let mut progress = self.progress.lock();
        match outcome {
            Ok(committed) => {
                progress.count += 1;
                progress.committed.join(committed);
                Ok(())
            }
            Err(failure) => {
                // What may stand ends the query, whatever it says of errors; so does what the next transaction would meet
                // as well: a node that is MAIN no more, a full disk, a replica that is missing.
                let error = match failure.is_of_its_writes {
                    true => CypherError::runtime(ErrorKind::Statement, "", &*failure.message),
                    false => CypherError::limit(&*failure.message),
                };
                progress.failure = Some(failure);
                Err(error)
            }
        }
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
        failure.committed_in_part(message)
    }

    /// Returns what is said where the query ended well but for transactions that were given up.
    pub(super) fn given_up(&self) -> Option<Notification> {
        let (count, first) = self.given_up.as_ref()?;
        let (words, committed) = (if *count == 1 { "transaction" } else { "transactions" }, self.count);
        let title = format!(
            "{count} {words} of the query failed and left nothing; {committed} are committed. The first one: {first}"
        );
        Some(Notification::warning(BATCHES_FAILED, title))
    }
}

#[cfg(test)]
mod tests {
    use super::super::texts;
    use super::*;
    use mgbolt::Status;
    use mgnode_core::engine::CommitError;
    use mgnode_core::types::Position;

    #[test]
    fn what_is_committed_in_part_is_never_tried_again_by_a_driver() {
        let conflict = || texts::commit_failure(CommitError::Conflict);
        let mut none = Progress::default();
        assert_eq!(none.failed(conflict()), conflict());
        let mut some = Progress { count: 1, ..Progress::default() };
        let failure = some.failed(conflict());
        assert_eq!((failure.code, failure.status), (Failure::client("").code, Status::UNEXPECTED));
        assert!(failure.message.ends_with("Before that, 1 transaction of the query had been committed."));
    }

    #[test]
    fn a_commit_in_doubt_keeps_its_position_and_its_code() {
        let position: Position = "3.00000000000000aa.1:7".parse().unwrap();
        let doubt = texts::in_doubt(position, &[]);
        let mut progress = Progress { count: 2, failure: Some(doubt.clone()), ..Progress::default() };
        let failure = progress.failed(Failure::terminated());
        assert_eq!((failure.code, failure.position), (doubt.code, Some(position)));
        assert_eq!(failure.status, Status::UNKNOWN_COMPLETION);
    }
}
