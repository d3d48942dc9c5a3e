//! What all sessions share, and how a commit ends.

use super::known::Statements;
use super::texts::{self, COMMIT_DEGRADED, Failure, Notification};
use super::transactions::Transactions;
use super::triggers::{self, Fired, Triggers};
use super::{BoltConfig, Core};
use crate::config::SyncFailureReport;
use crate::import::ImportDirectory;
use mgcypher::Limits;
use mgcypher::ast::IsolationLevel;
use mgnode_core::engine::Outcome;
use mgnode_core::storage::Commit;
use mgnode_core::types::{Position, SyncMode};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{SystemTime, UNIX_EPOCH};

/// What all sessions share.
pub(super) struct Services<C> {
    pub(super) core: C,
    pub(super) config: BoltConfig,
    /// How many there were.
    pub(super) sessions: AtomicU64,
    pub(super) transactions: Arc<Transactions>,
    pub(super) triggers: Triggers,
    import: Arc<ImportDirectory>,
    /// Of all sessions that have set none of their own.
    pub(super) isolation: Mutex<IsolationLevel>,
    pub(super) statements: Statements,
}

impl<C: Core> Services<C> {
    pub(super) fn new(core: C, config: BoltConfig) -> Services<C> {
        let (sessions, transactions) = (AtomicU64::new(0), Arc::default());
        let import = Arc::new(ImportDirectory(config.import_directory.clone()));
        let isolation = Mutex::new(config.isolation_level);
        let (triggers, statements) = (Triggers::default(), Statements::default());
        Services { core, config, sessions, transactions, triggers, import, isolation, statements }
    }

    /// Returns what a query may use that is stopped by the flag.
    pub(super) fn limits(&self, cancel: Arc<AtomicBool>, seed: u64) -> Limits {
        Limits {
            memory_bytes_max: self.config.query_memory_max.unwrap_or(usize::MAX),
            pool: Some(self.config.query_memory.clone()),
            cancel: Some(cancel),
            now: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            seed,
            import: Some(self.import.clone()),
            ..Limits::default()
        }
    }
}

/// A commit that stands, and what is said beside it.
#[derive(Debug, Default)]
pub(super) struct Committed {
    pub(super) position: Option<Position>,
    pub(super) notifications: Vec<Notification>,
}

impl Committed {
    /// Adds a later one. What was said before is said once.
    pub(super) fn join(&mut self, later: Committed) {
        self.position = later.position.or(self.position);
        for notification in later.notifications {
            if !self.notifications.contains(&notification) {
                self.notifications.push(notification);
            }
        }
    }
}

impl<C: Core> Services<C> {
    /// Commits, and tells how that ended. Where it is committed it sets off what `fired` says.
    pub(super) async fn settle(&self, commit: Commit, fired: Option<Fired>) -> Result<Committed, Failure> {
        let committed = |position, notifications| Committed { position: Some(position), notifications };
        let outcome = self.core.commit(commit).await;
        match (fired, &outcome) {
            (Some(fired), Outcome::Committed { .. } | Outcome::Degraded { .. }) => {
                self.after_commit(fired).await
            }
            (Some(fired), Outcome::InDoubt { position, .. }) => triggers::in_doubt(&fired, *position),
            _ => {}
        }
        match outcome {
            Outcome::Committed { position } => Ok(committed(position, Vec::new())),
            Outcome::Degraded { position, failed } => {
                let text = {
                    let mode = failed.first().map_or(SyncMode::Sync, |f| f.mode);
                    texts::replication_failure(&failed, mode, true)
                };
                match self.config.sync_failure_report {
                    SyncFailureReport::Notification => {
                        let warning = Notification::warning(COMMIT_DEGRADED, text);
                        Ok(committed(position, vec![warning]))
                    }
                    SyncFailureReport::Error => Err(texts::degraded(position, &text)),
                }
            }
            Outcome::Failed(error) => Err(texts::commit_failure(error)),
            Outcome::InDoubt { position, failed } => Err(texts::in_doubt(position, &failed)),
        }
    }
}
