//! Replication over QUIC: connections, their streams, and nothing about what is said on them.
//!
//! One connection per pair of MAIN and REPLICA, dialled by MAIN. The dialler opens two
//! bidirectional streams and writes one byte on each to name its lane; from protocol 2 on the
//! listener writes one byte on the first, so that the dialler knows that its certificate was taken:
//!
//! ```text
//! 0  control   small messages that must not wait behind bulk
//! 1  log       records one way, acknowledgements the other, strictly ordered
//! ```
//!
//! On both, a message is a frame: length as u32 little-endian, then that many bytes as
//! `Message::encode` gives them. A snapshot goes on a unidirectional stream of its own, at a lower
//! priority, as [`SnapshotStream`] says. 0-RTT and migration are off. A name is resolved anew at
//! each dial. Who may connect at all: [`credentials`].
//!
//! A connection reports `PeerUp` once, then messages, then `PeerDown` once; a failed dial reports
//! only `PeerDown`. `PeerUp` means that both sides have proved who they are.
//!
//! **What a stranger can use up**: a handshake takes one of [`HANDSHAKES_MAX`] places for at most
//! [`CONNECT_TIMEOUT`]; where half of them are taken, an address has to show first that it is real.
//! There are at most [`ACCEPTED_MAX`] connections with three streams each. Until the engine has
//! answered a peer with more than a greeting, a frame is at most [`GREETING_BYTES_MAX`] long, no
//! snapshot is taken in, and no more than [`STRANGER_WINDOW`] waits to be read. Memory grows with the
//! bytes that came, never with a length that was only claimed.

mod credentials;
mod frame;
mod listener;
mod own_key;
mod peer;
mod platform;
mod refusal;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verify;

use crate::driver::{Inputs, Transport};
use bytes::Bytes;
pub use credentials::{ClusterFiles, Credentials};
use mgnode_core::durability::SnapshotSource;
use mgnode_core::engine::{Input, PeerId, SnapshotHeader};
use mgnode_core::replication::{Message, SnapshotStream};
use mgnode_core::storage::Graph;
use mgnode_core::types::{PartialSnapshot, SnapshotId};
use parking_lot::Mutex;
use peer::PeerHandle;
pub use platform::{Platform, System};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for a name, a handshake and the first streams.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection on which nothing came for so long has ended.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
const KEEP_ALIVE: Duration = Duration::from_millis(500);
/// Longest wait for the last words of a connection that is being closed.
const LINGER: Duration = Duration::from_millis(500);
/// Longest wait for all of them when the node stops.
const STOP_WAIT: Duration = Duration::from_secs(1);
/// Most accepted connections at once.
const ACCEPTED_MAX: usize = 64;
/// Most handshakes at once, of nodes that have not yet proved who they are.
const HANDSHAKES_MAX: usize = 16;
/// Longest frame of a peer that the engine has not yet taken.
const GREETING_BYTES_MAX: usize = 1 << 20;
/// Bytes of such a peer, on all its streams together, that may wait to be read.
const STRANGER_WINDOW: u32 = 2 << 20;
/// The same for one that it has taken.
const PEER_WINDOW: u32 = 64 << 20;

/// What the transport needs of the disk.
pub trait Snapshots: Send + Sync + 'static {
    /// Opens a snapshot file to be sent. Blocks.
    fn open(&self, snapshot: &SnapshotId) -> io::Result<Arc<dyn SnapshotSource + Send>>;

    /// Makes ready for the bytes that such a stream announces. One stream at a time: an earlier one can
    /// write no more. Blocks.
    fn receive(&self, stream: SnapshotStream) -> io::Result<Box<dyn IncomingSnapshot>>;

    /// Returns what is kept of a snapshot that did not come in whole.
    fn kept(&self) -> Option<PartialSnapshot>;
}

/// A snapshot on its way in. Dropped unfinished, what came of it is kept.
pub trait IncomingSnapshot: Send {
    /// Adds the bytes that follow, in pieces. Blocks.
    fn write(&mut self, pieces: &[Bytes]) -> io::Result<()>;

    /// Checks the whole and loads it into a graph of its own. Where it is damaged nothing of it is kept.
    /// Blocks.
    fn load(&mut self) -> io::Result<(SnapshotId, SnapshotHeader, Arc<Graph>)>;

    /// Puts the file where its installation finds it.
    fn hand_over(self: Box<Self>) -> io::Result<()>;
}

/// The QUIC side of a node.
pub struct Quic {
    shared: Arc<Shared>,
    listener: listener::Control,
}

struct Shared {
    inputs: Inputs,
    snapshots: Arc<dyn Snapshots>,
    credentials: Credentials,
    platform: Arc<dyn Platform>,
    peers: Mutex<BTreeMap<PeerId, PeerHandle>>,
    /// Accepted connections get odd numbers; the engine gives even ones to those it dials.
    next_accepted: AtomicU64,
    /// Connections that are served now.
    open: AtomicUsize,
}

impl Shared {
    fn emit(&self, input: Input) {
        self.inputs.send(input);
    }

    fn next_accepted(&self) -> PeerId {
        PeerId(self.next_accepted.fetch_add(2, Ordering::Relaxed))
    }

    /// Forgets the peer, which closes its lanes once they are drained.
    fn forget(&self, peer: PeerId) {
        self.peers.lock().remove(&peer);
    }
}

impl Quic {
    /// Makes the transport. `address` is where the replication port is opened when asked for.
    pub fn new(
        runtime: tokio::runtime::Handle,
        address: IpAddr,
        inputs: Inputs,
        snapshots: Arc<dyn Snapshots>,
        credentials: Credentials,
    ) -> Quic {
        Quic::on(Arc::new(System::new(runtime)), address, inputs, snapshots, credentials)
    }

    /// The same on another platform.
    pub fn on(
        platform: Arc<dyn Platform>,
        address: IpAddr,
        inputs: Inputs,
        snapshots: Arc<dyn Snapshots>,
        credentials: Credentials,
    ) -> Quic {
        let shared = Arc::new(Shared {
            inputs,
            snapshots,
            credentials,
            platform,
            peers: Mutex::default(),
            next_accepted: AtomicU64::new(1),
            open: AtomicUsize::new(0),
        });
        let listener = listener::Control::start(shared.clone(), address);
        Quic { shared, listener }
    }
}

impl Transport for Quic {
    fn listen(&mut self, port: u16) {
        self.listener.open(port);
    }

    fn pairing_opened(&mut self) {
        if self.shared.credentials.is_cluster() {
            tracing::info!("waits for the first MAIN with a certificate of its cluster");
        } else {
            tracing::warn!(
                "pairing is open: without `--cluster-cert-file` the first MAIN that reaches the replication port is \
                 obeyed, and its cluster alone from then on; keep that port on a network of the cluster's own"
            );
        }
    }

    fn unlisten(&mut self) {
        self.listener.close();
    }

    fn dial(&mut self, peer: PeerId, address: String) {
        let (handle, ends) = peer::lanes();
        self.shared.peers.lock().insert(peer, handle);
        self.shared.platform.spawn(Box::pin(peer::dial(self.shared.clone(), peer, address, ends)));
    }

    fn hangup(&mut self, peer: PeerId, reason: String) {
        if let Some(handle) = self.shared.peers.lock().remove(&peer) {
            handle.hang_up(reason);
        }
    }

    fn send(&mut self, peer: PeerId, message: Message) {
        if let Some(handle) = self.shared.peers.lock().get(&peer) {
            if !is_greeting(&message) {
                handle.trust();
            }
            handle.send(message);
        }
    }

    fn send_snapshot(&mut self, peer: PeerId, snapshot: SnapshotId, offset: u64, protocol: u16) {
        match self.shared.peers.lock().get(&peer) {
            Some(handle) => handle.send_snapshot(peer::Outgoing { snapshot, offset, protocol }),
            None => tracing::debug!(peer = peer.0, "a snapshot is not sent: the connection has ended"),
        }
    }

    fn stop(&mut self) {
        for (_, handle) in std::mem::take(&mut *self.shared.peers.lock()) {
            handle.hang_up("the node stops".to_owned());
        }
        self.listener.close();
        let deadline = Instant::now() + STOP_WAIT;
        while self.shared.open.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Returns true for what the engine says to peers that it has not taken yet.
fn is_greeting(message: &Message) -> bool {
    matches!(
        message,
        Message::Hello { .. } | Message::Refused { .. } | Message::Ping { .. } | Message::Pong { .. }
    )
}
