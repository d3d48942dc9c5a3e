//! What the driver asks of the room that talks to other nodes.

use super::Inputs;
use mgnode_core::engine::PeerId;
use mgnode_core::replication::Message;
use mgnode_core::types::SnapshotId;

/// Carries out the engine's effects between nodes.
///
/// Every method returns at once; what comes of it arrives as an [`Input`](mgnode_core::engine::Input)
/// through the [`Inputs`] that the transport was made with:
/// - `listen` is answered by `Listening`;
/// - `dial` ends in `PeerUp { dialled: true }` or `PeerDown`;
/// - an accepted connection begins with `PeerUp { dialled: false }` under an odd, fresh [`PeerId`];
/// - whatever a peer says is a `Message`; messages keep the order in which they were sent;
/// - the last word about any peer, however it ended, is exactly one `PeerDown`;
/// - `send_snapshot` ends in `SnapshotSent`, unless the connection ends; at the other end a snapshot that
///   came in whole and was checked is a `SnapshotReceived`, and what is kept of another one is a
///   `PartialKept`, before the `PeerDown`.
///
/// What is asked about a peer that is gone is dropped in silence: its `PeerDown` is on the way.
pub trait Transport: Send {
    /// Opens the replication port, in place of one opened before.
    fn listen(&mut self, port: u16);

    /// Hears that the first MAIN that comes will be obeyed, whoever it is.
    fn pairing_opened(&mut self);

    /// Closes the replication port and every accepted connection.
    fn unlisten(&mut self);

    /// Resolves `host:port` anew and connects.
    fn dial(&mut self, peer: PeerId, address: String);

    /// Ends a connection, after what was sent before it where the line allows.
    fn hangup(&mut self, peer: PeerId, reason: String);

    /// Sends a message, in the order of the calls.
    fn send(&mut self, peer: PeerId, message: Message);

    /// Streams a snapshot file from `offset` on in the background, beside the messages.
    fn send_snapshot(&mut self, peer: PeerId, snapshot: SnapshotId, offset: u64, protocol: u16);

    /// Closes every port and connection; called once, when the node stops. Waits for what was sent
    /// to leave, but not for long.
    fn stop(&mut self);
}

/// A transport of a node that has no peers: it opens no port and reaches no one.
pub struct NoTransport {
    inputs: Inputs,
}

impl NoTransport {
    /// Makes one that answers through `inputs`.
    pub fn new(inputs: Inputs) -> NoTransport {
        NoTransport { inputs }
    }
}

impl Transport for NoTransport {
    fn listen(&mut self, _port: u16) {
        let result = Err("this node was started without replication".to_owned());
        self.inputs.send(mgnode_core::engine::Input::Listening { result });
    }

    fn pairing_opened(&mut self) {}

    fn unlisten(&mut self) {}

    fn dial(&mut self, peer: PeerId, _address: String) {
        let reason = "this node was started without replication".to_owned();
        self.inputs.send(mgnode_core::engine::Input::PeerDown { peer, reason });
    }

    fn hangup(&mut self, _peer: PeerId, _reason: String) {}

    fn send(&mut self, _peer: PeerId, _message: Message) {}

    fn send_snapshot(&mut self, _peer: PeerId, _snapshot: SnapshotId, _offset: u64, _protocol: u16) {}

    fn stop(&mut self) {}
}
