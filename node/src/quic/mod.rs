//! Replication over QUIC: connections, their streams, and nothing about what is said on them.
//!
//! One connection per pair of MAIN and REPLICA, dialled by MAIN. The dialler opens two
//! bidirectional streams and writes one byte on each to name its lane:
//!
//! ```text
//! 0  control   small messages that must not wait behind bulk
//! 1  log       records one way, acknowledgements the other, strictly ordered
//! ```
//!
//! On both, a message is a frame: length as u32 little-endian, then that many bytes as
//! `Message::encode` gives them. A snapshot goes on a unidirectional stream of its own, at a lower
//! priority, as [`SnapshotStream`] says. 0-RTT and migration are off. A name is resolved anew at
//! each dial.
//!
//! A connection reports `PeerUp` once, then messages, then `PeerDown` once; a failed dial reports
//! only `PeerDown`.

mod frame;
mod listener;
mod peer;
mod tls;

use crate::driver::{Inputs, Transport};
use mgnode_core::durability::SnapshotSource;
use mgnode_core::engine::{Input, PeerId, SnapshotHeader};
use mgnode_core::replication::{Message, SnapshotStream};
use mgnode_core::storage::Graph;
use mgnode_core::types::{PartialSnapshot, SnapshotId};
use parking_lot::Mutex;
use peer::PeerHandle;
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
    /// Adds the bytes that follow. Blocks.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

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
    runtime: tokio::runtime::Handle,
    inputs: Inputs,
    snapshots: Arc<dyn Snapshots>,
    identity: tls::Identity,
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
    ) -> Result<Quic, String> {
        let shared = Arc::new(Shared {
            runtime,
            inputs,
            snapshots,
            identity: tls::Identity::generate()?,
            peers: Mutex::default(),
            next_accepted: AtomicU64::new(1),
            open: AtomicUsize::new(0),
        });
        let listener = listener::Control::start(shared.clone(), address);
        Ok(Quic { shared, listener })
    }
}

impl Transport for Quic {
    fn listen(&mut self, port: u16) {
        self.listener.open(port);
    }

    fn unlisten(&mut self) {
        self.listener.close();
    }

    fn dial(&mut self, peer: PeerId, address: String) {
        let (handle, ends) = peer::lanes();
        self.shared.peers.lock().insert(peer, handle);
        self.shared.runtime.spawn(peer::dial(self.shared.clone(), peer, address, ends));
    }

    fn hangup(&mut self, peer: PeerId, reason: String) {
        if let Some(handle) = self.shared.peers.lock().remove(&peer) {
            handle.hang_up(reason);
        }
    }

    fn send(&mut self, peer: PeerId, message: Message) {
        if let Some(handle) = self.shared.peers.lock().get(&peer) {
            handle.send(&message);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Queue, queue};
    use mgnode_core::replication::{LogEnd, RefusalReason};
    use mgnode_core::types::{Epoch, NodeId};
    use std::net::{Ipv4Addr, UdpSocket};

    struct NoSnapshots;

    impl Snapshots for NoSnapshots {
        fn open(&self, _: &SnapshotId) -> io::Result<Arc<dyn SnapshotSource + Send>> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn receive(&self, _: SnapshotStream) -> io::Result<Box<dyn IncomingSnapshot>> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn kept(&self) -> Option<PartialSnapshot> {
            None
        }
    }

    fn transport() -> (Quic, Queue) {
        let (inputs, queue) = queue();
        let runtime = tokio::runtime::Handle::current();
        let quic = Quic::new(runtime, Ipv4Addr::LOCALHOST.into(), inputs, Arc::new(NoSnapshots)).unwrap();
        (quic, queue)
    }

    fn refused(text: &str) -> Message {
        let (promised, end) = (Epoch::default(), LogEnd::default());
        Message::Refused { reason: RefusalReason::Fenced, node: NodeId(2), promised, end, text: text.into() }
    }

    fn hello() -> Message {
        let (epoch, end) = (Epoch::default(), LogEnd::default());
        Message::Hello {
            protocol: 2,
            node: NodeId(1),
            to: NodeId(0),
            epoch,
            end,
            cluster: None,
            members: Vec::new(),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_last_word_arrives_before_the_end_of_the_connection() {
        let (mut replica, at_replica) = transport();
        let (mut main, at_main) = transport();
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        replica.listen(port);
        assert!(matches!(at_replica.next_input(), Some(Input::Listening { result: Ok(()) })));
        for round in 1..=40 {
            let peer = PeerId(round * 2);
            main.dial(peer, format!("127.0.0.1:{port}"));
            assert!(matches!(at_main.next_input(), Some(Input::PeerUp { dialled: true, .. })));
            main.send(peer, hello());
            let accepted = loop {
                match at_replica.next_input() {
                    Some(Input::Message { peer, message: Message::Hello { .. } }) => break peer,
                    Some(Input::PeerUp { .. } | Input::PeerDown { .. }) => {}
                    other => panic!("{other:?}"),
                }
            };
            replica.send(accepted, refused("no"));
            replica.hangup(accepted, "no".into());
            match at_main.next_input() {
                Some(Input::Message { message, .. }) => assert_eq!(message, refused("no"), "round {round}"),
                other => panic!("round {round}: {other:?}"),
            }
            assert!(matches!(at_main.next_input(), Some(Input::PeerDown { .. })), "round {round}");
        }
        main.stop();
        replica.stop();
    }
}
