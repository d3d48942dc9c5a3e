//! How sessions reach the engine.

use super::{Inputs, Request};
use mgnode_core::engine::{Admin, AdminAnswer, AdminError, CommitError, Outcome};
use mgnode_core::storage::Commit;
use mgnode_core::types::Position;
use tokio::sync::oneshot;

/// A session's way to the engine. Cloning is cheap.
#[derive(Clone)]
pub struct Handle {
    pub(super) inputs: Inputs,
}

impl Handle {
    /// Commits a transaction and returns how that ended.
    ///
    /// Where the node stops in between, what was not yet proposed has failed, and what was is in doubt.
    pub async fn commit(&self, commit: Commit) -> Outcome {
        let (reply, answer) = oneshot::channel();
        if !self.inputs.request(Request::Commit { commit, reply }) {
            return Outcome::Failed(CommitError::Stopping);
        }
        answer.await.unwrap_or(Outcome::InDoubt { position: Position::default(), failed: Vec::new() })
    }

    /// Carries out an operator's query.
    pub async fn admin(&self, command: Admin) -> Result<AdminAnswer, AdminError> {
        let stopping = || AdminError::Refused("the node is stopping".to_owned());
        let (reply, answer) = oneshot::channel();
        if !self.inputs.request(Request::Admin { command, reply }) {
            return Err(stopping());
        }
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }
}
