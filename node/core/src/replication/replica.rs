//! Whom a REPLICA follows, and which records it takes.

use super::{Log, LogEnd, Message, PROTOCOL, PROTOCOL_MIN, PeerId, RefusalReason};
use crate::types::{ClusterId, Epoch, Identity, Lsn, NodeId, NodeState, Role};

/// The MAIN that this REPLICA follows, over one connection.
#[derive(Debug)]
pub struct Following {
    pub peer: PeerId,
    pub main: NodeId,
    /// What the connection proved about it.
    pub identity: Identity,
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
    pub fn new(peer: PeerId, main: NodeId, identity: Identity, epoch: Epoch) -> Following {
        let told = (Lsn::ZERO, Lsn::ZERO);
        Following { peer, main, identity, epoch, owes_welcome: true, owes_ack: false, told, fetching: None }
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

/// How a MAIN introduces itself.
#[derive(Clone, Copy, Debug)]
pub struct Greeting {
    pub protocol: u16,
    pub node: NodeId,
    pub to: NodeId,
    pub epoch: Epoch,
    pub cluster: Option<ClusterId>,
}

/// Says whether a node in this state answers a greeting. `role` is the role in force, `identity` what the
/// sender's connection proved.
pub fn check_hello(
    state: &NodeState,
    role: Role,
    greeting: &Greeting,
    identity: &Identity,
) -> Result<(), Refusal> {
    let Greeting { protocol, to, .. } = *greeting;
    if !(PROTOCOL_MIN..=PROTOCOL + 1).contains(&protocol) {
        let text = format!("protocol {protocol} is spoken there, {PROTOCOL} here");
        return refuse(RefusalReason::Protocol, text);
    }
    if to.0 != 0 && to != state.node {
        return refuse(RefusalReason::WrongNode, format!("node {} answers here, not {to}", state.node));
    }
    if role == Role::Main {
        return refuse(RefusalReason::NotReplica, format!("node {} is a MAIN", state.node));
    }
    check_member(state, greeting, identity)?;
    check_epoch(state, greeting.epoch)
}

// Pairing is open until the first MAIN greets. From then on only members of its cluster are obeyed: whom
// the cluster's own authority certified, else whoever holds the key that the last MAIN named.
fn check_member(state: &NodeState, greeting: &Greeting, identity: &Identity) -> Result<(), Refusal> {
    const RELEASE: &str = "drop it there, or run RELEASE REPLICATION MAIN on it to release it";
    let Some(own) = state.cluster else { return Ok(()) };
    let listed = state.members.iter().find(|m| m.node == greeting.node && identity.agrees_with(&m.identity));
    // A member that proves who it is may name the cluster otherwise: while nodes of protocol 1, which have no
    // clusters, were MAIN or were told of one, their names for it went apart.
    if listed.is_some_and(|m| m.identity != Identity::default()) {
        return Ok(());
    }
    if let Some(other) = greeting.cluster
        && other != own
    {
        let text = format!("node {} belongs to another cluster, {own}; {RELEASE}", state.node);
        return refuse(RefusalReason::OtherCluster, text);
    }
    if identity.certified.is_some() && greeting.cluster.is_some() {
        return Ok(());
    }
    if listed.is_some() {
        return Ok(());
    }
    let text = format!(
        "node {} does not know the key of node {}: its MAIN has not named it; {RELEASE}",
        state.node, greeting.node
    );
    refuse(RefusalReason::Stranger, text)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CommitRecord, KeyPrint, Member};
    use bytes::Bytes;

    fn identity(key: u8) -> Identity {
        Identity { key: Some(KeyPrint([key; 32])), certified: None }
    }

    #[test]
    fn a_proven_member_may_name_the_cluster_otherwise_and_nobody_else() {
        let member = |key: Identity| Member { node: NodeId(2), identity: key, bolt: Vec::new(), mode: None };
        let state = |identity: Identity| NodeState {
            role: Role::Replica { port: 1 },
            cluster: Some(ClusterId(7)),
            members: vec![member(identity)],
            ..NodeState::fresh(NodeId(1))
        };
        let epoch = Epoch { number: 1, node: NodeId(2), incarnation: 1 };
        let greeting = Greeting {
            protocol: PROTOCOL,
            node: NodeId(2),
            to: NodeId(1),
            epoch,
            cluster: Some(ClusterId(2)),
        };
        let said = |state: &NodeState, identity: &Identity| {
            check_hello(state, state.role, &greeting, identity).map_err(|refusal| refusal.reason)
        };
        assert_eq!(said(&state(identity(5)), &identity(5)), Ok(()));
        assert_eq!(said(&state(identity(5)), &identity(6)), Err(RefusalReason::OtherCluster));
        assert_eq!(said(&state(Identity::default()), &identity(5)), Err(RefusalReason::OtherCluster));
    }

    #[test]
    fn protocols_next_to_its_own_are_spoken_and_no_others() {
        let state = NodeState { role: Role::Replica { port: 1 }, ..NodeState::fresh(NodeId(1)) };
        let said = |protocol| {
            let epoch = Epoch { number: 1, node: NodeId(2), incarnation: 1 };
            let greeting = Greeting { protocol, node: NodeId(2), to: NodeId(1), epoch, cluster: None };
            check_hello(&state, state.role, &greeting, &Identity::default()).map_err(|refusal| refusal.reason)
        };
        for protocol in [PROTOCOL - 1, PROTOCOL, PROTOCOL + 1] {
            assert_eq!(said(protocol), Ok(()), "{protocol}");
        }
        assert_eq!(said(PROTOCOL + 2), Err(RefusalReason::Protocol));
        assert_eq!(said(u16::MAX), Err(RefusalReason::Protocol));
    }

    #[test]
    fn only_records_of_the_promised_epoch_that_continue_the_log_are_appended() {
        let epoch = |number| Epoch { number, node: NodeId(2), incarnation: 1 };
        let state = NodeState { promised: epoch(5), ..NodeState::fresh(NodeId(1)) };
        let mut log = Log::new(LogEnd::default(), 0, 1 << 20);
        let chain = log.append(&CommitRecord {
            epoch: epoch(5),
            lsn: Lsn(1),
            ts: 1,
            payload: Bytes::from_static(b"x"),
        });
        let said = |e, prev, chain| {
            check_append(&state, &log, e, Lsn(prev), chain).map_err(|refusal| refusal.reason)
        };
        assert_eq!(said(epoch(5), 1, chain), Ok(()));
        assert_eq!(said(epoch(6), 1, chain), Ok(()));
        assert_eq!(said(epoch(4), 1, chain), Err(RefusalReason::Fenced));
        assert_eq!(said(Epoch::default(), 1, chain), Err(RefusalReason::Fenced));
        assert_eq!(said(epoch(5), 0, chain), Err(RefusalReason::Gap));
        assert_eq!(said(epoch(5), 2, chain), Err(RefusalReason::Gap));
        assert_eq!(said(epoch(5), 1, chain ^ 1), Err(RefusalReason::Mismatch));
    }
}
