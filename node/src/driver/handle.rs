//! How sessions reach the engine.

use super::mailbox::SHORT_BYTES_MAX;
use super::{Inputs, Request};
use crate::disk::Room;
use mgnode_core::engine::{Admin, AdminAnswer, AdminError, CommitError, Outcome, Shared};
use mgnode_core::storage::Commit;
use mgnode_core::types::{Change, Lsn, Position};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// A commit of more changes is left to the engine's own thread.
const SHORT_CHANGES_MAX: usize = 256;

/// A session's way to the engine. Cloning is cheap.
#[derive(Clone)]
pub struct Handle {
    pub(super) inputs: Inputs,
    pub(super) shared: Arc<Shared>,
    /// The last LSN that readers see, for those who wait for one.
    pub(super) published: watch::Receiver<Lsn>,
    /// `None`: every commit has room.
    pub(super) room: Option<Room>,
}

/// Why a node does not have what a bookmark names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookmarkError {
    /// Another record stands in its place: the commit was on a branch that was left.
    #[error("the commit that the bookmark names is not part of this cluster's history")]
    Lost,
    /// It did not come in time.
    #[error("this node has not yet received the commit that the bookmark names")]
    TimedOut,
}

impl Handle {
    /// Returns this handle, which from now on refuses commits that the disk has no room for.
    pub fn with_room(self, room: Room) -> Handle {
        Handle { room: Some(room), ..self }
    }

    /// Returns what can be looked at without the engine's turn.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Commits a transaction and returns how that ended.
    ///
    /// Where the node stops in between, what is not in the log has failed, and what is there is in doubt.
    pub async fn commit(&self, commit: Commit) -> Outcome {
        if self.room.as_ref().is_some_and(|room| !room.has(commit.payload.len())) {
            return Outcome::Failed(CommitError::NoSpace);
        }
        let (reply, answer) = oneshot::channel();
        let is_long = is_long(&commit);
        if !self.inputs.mailbox.put(Request::Commit { commit, reply, is_long }) {
            return Outcome::Failed(CommitError::Stopping);
        }
        // Others that are ready to run may want to commit too: one turn, one sync and one burst for all.
        let mailbox = &self.inputs.mailbox;
        let _committing = Committing::new(&mailbox.committing);
        if mailbox.committing.load(Ordering::Relaxed) > 1 {
            tokio::task::yield_now().await;
        }
        self.inputs.serve();
        // An engine that ends without a word has a defect, and nobody knows then what was written.
        answer.await.unwrap_or(Outcome::InDoubt { position: Position::default(), failed: Vec::new() })
    }

    /// Carries out an operator's query.
    pub async fn admin(&self, command: Admin) -> Result<AdminAnswer, AdminError> {
        let stopping = || AdminError::Refused("the node is stopping".to_owned());
        let (reply, answer) = oneshot::channel();
        let change = change(&command);
        if !self.inputs.mailbox.put(Request::Admin { command, reply }) {
            return Err(stopping());
        }
        self.inputs.serve();
        let answer = answer.await.unwrap_or_else(|_| Err(stopping()));
        match (&change, &answer) {
            (Some(change), Ok(_)) => tracing::info!("{change}"),
            (Some(change), Err(error)) => tracing::warn!("refused: {change}: {error}"),
            (None, _) => {}
        }
        answer
    }

    /// Waits until readers here see the commit at `position`.
    pub async fn wait_for(&self, position: Position, limit: Duration) -> Result<(), BookmarkError> {
        let mut published = self.published.clone();
        let seen = async {
            loop {
                match self.shared.history_says(position) {
                    Some(false) => return Err(BookmarkError::Lost),
                    Some(true) if *published.borrow_and_update() >= position.lsn => return Ok(()),
                    _ => {}
                }
                if published.changed().await.is_err() {
                    return Err(BookmarkError::TimedOut);
                }
            }
        };
        tokio::time::timeout(limit, seen).await.unwrap_or(Err(BookmarkError::TimedOut))
    }
}

/// Counted while a session waits for its commit.
struct Committing<'a>(&'a AtomicUsize);

impl Committing<'_> {
    fn new(count: &AtomicUsize) -> Committing<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Committing(count)
    }
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a commit may take the engine longer than a session can spare.
fn is_long(commit: &Commit) -> bool {
    let builds = |change: &Change| matches!(change, Change::CreateIndex(_) | Change::CreateConstraint(_));
    commit.payload.len() > SHORT_BYTES_MAX
        || commit.changes.len() > SHORT_CHANGES_MAX
        || commit.changes.iter().any(builds)
}

/// Returns what a query changes about this node's place in the cluster; `None` where it only asks.
fn change(command: &Admin) -> Option<String> {
    Some(match command {
        Admin::SetRoleReplica { port } => format!("role: REPLICA on port {port}"),
        Admin::SetRoleMain { .. } => "role: MAIN".to_owned(),
        Admin::Register { name, mode, address } => {
            format!("registered: {} replica `{name}` at {address}", mode.word())
        }
        Admin::Drop { name } => format!("dropped: replica `{name}`"),
        Admin::Fence { epoch, by } => format!("fenced: epoch {epoch} is promised, by {by}"),
        Admin::Rewind { to } => format!("rewound: the log is cut back to {to}"),
        Admin::Release => {
            "released: the node belongs to no cluster, and follows the next MAIN that greets it".to_owned()
        }
        Admin::ConfirmMain => "confirmed as MAIN".to_owned(),
        Admin::ShowReplicas
        | Admin::ShowRole
        | Admin::ShowState
        | Admin::ShowLag
        | Admin::TransactionOutcome { .. }
        | Admin::CreateSnapshot => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mgnode_core::types::SyncMode;

    #[test]
    fn only_changes_are_worth_a_line_in_the_log() {
        let (name, address) = ("REP1".to_owned(), "10.0.0.2:10000".to_owned());
        let register = Admin::Register { name, mode: SyncMode::Sync, address };
        assert_eq!(change(&register).unwrap(), "registered: sync replica `REP1` at 10.0.0.2:10000");
        assert_eq!(change(&Admin::SetRoleReplica { port: 1 }).unwrap(), "role: REPLICA on port 1");
        assert_eq!(change(&Admin::ShowReplicas), None);
    }
}
