//! The rest of the node, as a session sees it.

use crate::driver::{BookmarkError, Handle};
use mgnode_core::engine::{Admin, AdminAnswer, AdminError, Outcome, Route};
use mgnode_core::storage::{Commit, Graph};
use mgnode_core::types::{Lsn, Position, Role};
use std::sync::Arc;
use std::time::Duration;

/// What sessions ask of the node. The driver's [`Handle`] answers; tests put their own in its place.
pub trait Core: Clone + Send + Sync + 'static {
    /// Returns the graph that a transaction may begin on now.
    fn graph(&self) -> Arc<Graph>;

    /// Returns the role that the node has now.
    fn role(&self) -> Role;

    /// Returns the nodes that clients may be sent to, this one among them.
    fn routes(&self) -> Vec<Route>;

    /// Returns the name of a record that readers of a graph see, unless the node has gone over to another graph.
    fn position_of(&self, graph: &Arc<Graph>, lsn: Lsn) -> Option<Position>;

    /// Commits a transaction and returns how that ended.
    fn commit(&self, commit: Commit) -> impl Future<Output = Outcome> + Send;

    /// Carries out an operator's query.
    fn admin(&self, command: Admin) -> impl Future<Output = Result<AdminAnswer, AdminError>> + Send;

    /// Waits until readers here see the commit at `position`.
    fn wait_for(
        &self,
        position: Position,
        limit: Duration,
    ) -> impl Future<Output = Result<(), BookmarkError>> + Send;
}

impl Core for Handle {
    fn graph(&self) -> Arc<Graph> {
        self.shared().graph()
    }

    fn role(&self) -> Role {
        self.shared().role()
    }

    fn routes(&self) -> Vec<Route> {
        self.shared().routes()
    }

    fn position_of(&self, graph: &Arc<Graph>, lsn: Lsn) -> Option<Position> {
        self.shared().position_of(graph, lsn)
    }

    fn commit(&self, commit: Commit) -> impl Future<Output = Outcome> + Send {
        Handle::commit(self, commit)
    }

    fn admin(&self, command: Admin) -> impl Future<Output = Result<AdminAnswer, AdminError>> + Send {
        Handle::admin(self, command)
    }

    fn wait_for(
        &self,
        position: Position,
        limit: Duration,
    ) -> impl Future<Output = Result<(), BookmarkError>> + Send {
        Handle::wait_for(self, position, limit)
    }
}
