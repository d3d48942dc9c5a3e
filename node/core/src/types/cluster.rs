//! Roles, modes, registrations: what a node keeps about its place in a cluster.

use super::{Epoch, NodeId};

/// The two roles. A fresh node is MAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes writes and sends them on.
    Main,
    /// Takes records from a MAIN on this UDP port.
    Replica { port: u16 },
}

/// For what a MAIN waits before it says "committed".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// For nothing of this replica.
    Async,
    /// For durable and applied there, else the commit is reported as degraded.
    Sync,
    /// For durable on every such replica before anyone sees it.
    StrictSync,
}

impl SyncMode {
    /// Returns the word of `SHOW REPLICAS`: "async", "sync" or "strict_sync".
    pub fn word(self) -> &'static str {
        match self {
            SyncMode::Async => "async",
            SyncMode::Sync => "sync",
            SyncMode::StrictSync => "strict_sync",
        }
    }
}

/// A replica as MAIN knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Case-sensitive, unique.
    pub name: String,
    pub mode: SyncMode,
    /// `host:port` exactly as given, default port filled in, not resolved.
    pub address: String,
    /// Who answered there when it was registered. Another node at that address is refused.
    pub node: NodeId,
}

/// What a node knows of itself, kept in one small file that is replaced as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    pub node: NodeId,
    pub role: Role,
    /// The highest epoch this node has promised to obey. Synced before the promise is told.
    pub promised: Epoch,
    /// Which operation asked for that promise; empty where none did.
    pub promised_by: String,
    /// Replicas in the order of their registration; empty on a REPLICA.
    pub replicas: Vec<Registration>,
}
