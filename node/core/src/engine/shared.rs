//! What sessions may look at without the engine's turn.

use crate::storage::Graph;
use crate::types::{Epoch, History, Lsn, Position, Role};
use parking_lot::RwLock;
use std::sync::Arc;

/// The engine's public face. Written by whoever has the engine's turn, read by any.
#[derive(Debug)]
pub struct Shared {
    inner: RwLock<Face>,
}

#[derive(Debug)]
pub(super) struct Face {
    pub(super) graph: Arc<Graph>,
    pub(super) role: Role,
    pub(super) is_writable: bool,
    pub(super) is_settled: bool,
    pub(super) is_pairing_open: bool,
    pub(super) epoch: Epoch,
    pub(super) history: History,
    pub(super) routes: Vec<Route>,
    /// The last record that this log holds.
    pub(super) last: Lsn,
}

/// A node that clients may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub is_main: bool,
    /// This node itself.
    pub is_here: bool,
    /// Where clients reach it, see [`Member::bolt`](crate::types::Member); empty where it did not say.
    pub bolt: Vec<String>,
}

impl Shared {
    pub(super) fn new(face: Face) -> Shared {
        Shared { inner: RwLock::new(face) }
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Face)) {
        change(&mut self.inner.write());
    }

    /// Returns the graph. A REPLICA that loads a snapshot goes over to another one.
    pub fn graph(&self) -> Arc<Graph> {
        self.inner.read().graph.clone()
    }

    /// Returns the role that this node has now.
    pub fn role(&self) -> Role {
        self.inner.read().role
    }

    /// Returns whether a commit has a chance here: a confirmed MAIN that no one replaced.
    pub fn is_writable(&self) -> bool {
        self.inner.read().is_writable
    }

    /// Returns false on a MAIN that still asks its replicas after a start; Bolt opens after that.
    pub fn is_settled(&self) -> bool {
        self.inner.read().is_settled
    }

    /// Returns true on a REPLICA that would follow any MAIN, because it has not met its first one yet.
    pub fn is_pairing_open(&self) -> bool {
        self.inner.read().is_pairing_open
    }

    /// Returns the nodes of the cluster that are there, as far as this one knows.
    pub fn routes(&self) -> Vec<Route> {
        self.inner.read().routes.clone()
    }

    /// Returns the epoch of the MAIN that this node is or follows.
    pub fn epoch(&self) -> Epoch {
        self.inner.read().epoch
    }

    /// Returns the name of a record that readers of `graph` see; `None` where there is none, or where this node has
    /// gone over to another graph, whose record of that number may be another one.
    pub fn position_of(&self, graph: &Arc<Graph>, lsn: Lsn) -> Option<Position> {
        let face = self.inner.read();
        let epoch = face.history.epoch_of(lsn).filter(|_| Arc::ptr_eq(&face.graph, graph))?;
        Some(Position { epoch, lsn })
    }

    /// Returns whether the log holds the record named by a bookmark: `Some(true)` where it does,
    /// `Some(false)` where another record stands in its place, `None` where the log is not that far, or
    /// has not yet met the MAIN that wrote it.
    pub fn history_says(&self, position: Position) -> Option<bool> {
        let face = self.inner.read();
        if position.lsn == Lsn::ZERO {
            return Some(true);
        }
        let newest = face.history.starts.last().map(|(epoch, _)| *epoch).unwrap_or_default();
        if position.lsn > face.last {
            // A later epoch than the bookmark's is in the log already: its LSN can only be reused.
            return if newest > position.epoch { Some(false) } else { None };
        }
        match face.history.epoch_of(position.lsn) {
            Some(epoch) if epoch == position.epoch => Some(true),
            // A later MAIN wrote it; the record that stands here may be the one that is lost.
            _ if newest < position.epoch => None,
            _ => Some(false),
        }
    }
}
