//! Whom a REPLICA follows, and which records it takes.

use super::{Log, LogEnd, Message, PROTOCOL, PeerId, RefusalReason};
use crate::types::{Epoch, Lsn, NodeId, NodeState, Role};

/// The MAIN that this REPLICA follows, over one connection.
#[derive(Debug)]
pub struct Following {
    pub peer: PeerId,
    /// Epoch of the last message from it that carried one.
    pub epoch: Epoch,
    /// Its greeting waits for an answer until all that the answer says is durable.
    pub owes_welcome: bool,
    /// It sent something that wants an acknowledgement, even where nothing moved.
    pub owes_ack: bool,
    /// Durable and applied LSN of the last acknowledgement.
    pub told: (Lsn, Lsn),
    /// The first record that it asked back and that is being read, with the chain hash before it
    /// where that is known.
    pub fetching: Option<(Lsn, Option<u64>)>,
}

impl Following {
    /// Begins with a greeting that waits for its answer.
    pub fn new(peer: PeerId, epoch: Epoch) -> Following {
        let told = (Lsn::ZERO, Lsn::ZERO);
        Following { peer, epoch, owes_welcome: true, owes_ack: false, told, fetching: None }
    }
}

/// Why a REPLICA turns a message down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: RefusalReason,
    pub text: String,
}

impl Refusal {
    /// Makes the message that says so.
    pub fn message(self, node: NodeId, promised: Epoch, end: LogEnd) -> Message {
        Message::Refused { node, reason: self.reason, promised, end, text: self.text }
    }
}

fn refuse(reason: RefusalReason, text: String) -> Result<(), Refusal> {
    Err(Refusal { reason, text })
}

/// Says whether a node in this state answers a greeting. `role` is the role in force.
pub fn check_hello(
    state: &NodeState,
    role: Role,
    protocol: u16,
    to: NodeId,
    epoch: Epoch,
) -> Result<(), Refusal> {
    if protocol.abs_diff(PROTOCOL) > 1 {
        let text = format!("protocol {protocol} is spoken there, {PROTOCOL} here");
        return refuse(RefusalReason::Protocol, text);
    }
    if to.0 != 0 && to != state.node {
        return refuse(RefusalReason::WrongNode, format!("node {} answers here, not {to}", state.node));
    }
    if role == Role::Main {
        return refuse(RefusalReason::NotReplica, format!("node {} is a MAIN", state.node));
    }
    check_epoch(state, epoch)
}

// A MAIN replaced during a partition still holds its old epoch, and its records may reuse LSNs of
// the new one. They are refused before they reach the log.
fn check_epoch(state: &NodeState, epoch: Epoch) -> Result<(), Refusal> {
    if epoch < state.promised || epoch == Epoch::default() {
        let text = format!("epoch {epoch} is below the promised epoch {}", state.promised);
        return refuse(RefusalReason::Fenced, text);
    }
    Ok(())
}

/// Says whether records that begin after `prev` continue the log.
pub fn check_append(
    state: &NodeState,
    log: &Log,
    epoch: Epoch,
    prev: Lsn,
    prev_chain: u64,
) -> Result<(), Refusal> {
    check_epoch(state, epoch)?;
    if prev != log.last() {
        let text = format!("records after {prev} do not continue a log that ends at {}", log.last());
        return refuse(RefusalReason::Gap, text);
    }
    if prev_chain != log.chain() {
        let text = format!("the logs differ at or before {prev}: their chain hashes are not equal");
        return refuse(RefusalReason::Mismatch, text);
    }
    Ok(())
}
