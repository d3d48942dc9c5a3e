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
    /// Returns the number that files and messages have for it.
    pub(crate) fn code(self) -> u8 {
        match self {
            SyncMode::Async => 0,
            SyncMode::Sync => 1,
            SyncMode::StrictSync => 2,
        }
    }

    /// Returns the mode of that number.
    pub(crate) fn of_code(code: u8) -> Option<SyncMode> {
        match code {
            0 => Some(SyncMode::Async),
            1 => Some(SyncMode::Sync),
            2 => Some(SyncMode::StrictSync),
            _ => None,
        }
    }

    /// Returns the word of `SHOW REPLICAS`: "async", "sync" or "strict_sync".
    pub fn word(self) -> &'static str {
        match self {
            SyncMode::Async => "async",
            SyncMode::Sync => "sync",
            SyncMode::StrictSync => "strict_sync",
        }
    }
}

/// A cluster: the id of the node that was its first MAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

impl std::fmt::Display for ClusterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// SHA-256 of a node's public key (its SubjectPublicKeyInfo in DER).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPrint(pub [u8; 32]);

impl std::fmt::Display for KeyPrint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for KeyPrint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// What the handshake of a connection proved about the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The key that it holds; `None` where it showed none, as nodes of protocol 1 do.
    pub key: Option<KeyPrint>,
    /// The name that the cluster's own authority certified; `None` without such an authority.
    pub certified: Option<String>,
}

impl Identity {
    /// Returns whether the same node may be behind both, as far as each says anything.
    ///
    /// A certified name counts before the key, which changes when a certificate is renewed.
    pub fn agrees_with(&self, kept: &Identity) -> bool {
        match (&self.certified, &kept.certified) {
            (Some(now), Some(then)) => now == then,
            (None, Some(_)) => false,
            _ => kept.key.is_none() || self.certified.is_some() || self.key == kept.key,
        }
    }
}

/// A node of the cluster, as its members tell each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub node: NodeId,
    pub identity: Identity,
    /// Where clients reach it, one address for each place they may be in (the host, the network of the
    /// cluster, ..), in the same order on every node.
    pub bolt: Vec<String>,
    /// How MAIN waits for it; `None` for MAIN itself. Whoever replaces MAIN reckons with it what may be lost.
    pub mode: Option<SyncMode>,
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
    /// What its connection proved then.
    pub identity: Identity,
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
    /// The cluster that it joined as a REPLICA. `None` on a MAIN that never was one: it is the first
    /// of its own cluster. `None` on a REPLICA: it waits for its first MAIN ("pairing is open").
    pub cluster: Option<ClusterId>,
    /// Who belongs to that cluster, as its MAIN said last. Only they are obeyed.
    pub members: Vec<Member>,
}

impl NodeState {
    /// Returns what a node that never ran before knows of itself.
    pub fn fresh(node: NodeId) -> NodeState {
        NodeState {
            node,
            role: Role::Main,
            promised: Epoch::default(),
            promised_by: String::new(),
            replicas: Vec::new(),
            cluster: None,
            members: Vec::new(),
        }
    }

    /// Returns how its MAIN waits for this REPLICA, as that said last.
    pub fn own_mode(&self) -> Option<SyncMode> {
        let own = self.members.iter().find(|member| member.node == self.node);
        own.and_then(|member| member.mode)
    }

    /// Returns the cluster that this node belongs to; as a MAIN it may be its own.
    pub fn cluster_id(&self) -> ClusterId {
        self.cluster.unwrap_or(ClusterId(self.node.0))
    }
}
