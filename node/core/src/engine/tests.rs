//! Engines stepped message by message: one rule a test.

use super::*;

#[path = "snapshot_tests.rs"]
mod snapshots;
use crate::replication::{Line, Message, RefusalReason};
use crate::storage::Transaction;
use crate::types::{CommitRecord, EnumSpec, Names, NodeId, SyncMode};

const PORT: u16 = 10_000;

/// An engine whose effects lie open.
struct Node {
    engine: Engine,
    out: Vec<Effect>,
    token: u64,
    answers_notes: bool,
}

fn recovered(node: u64) -> Recovered {
    Recovered {
        state: NodeState::fresh(NodeId(node)),
        graph: Arc::new(Graph::new(Arc::new(Names::default()))),
        last: Position::default(),
        chain: 0,
        ts: 0,
        history: History::default(),
        wal_from: Lsn(1),
        noted: None,
        held: Vec::new(),
        snapshots: Vec::new(),
        partial: None,
    }
}

impl Node {
    fn main(node: u64) -> Node {
        Node::with(node, EngineConfig::default())
    }

    fn with(node: u64, config: EngineConfig) -> Node {
        let mut out = Vec::new();
        let engine = Engine::start(Time(0), config, recovered(node), &mut out);
        Node { engine, out, token: 0, answers_notes: true }
    }

    fn replica(node: u64) -> Node {
        let mut start = recovered(node);
        start.state.role = Role::Replica { port: PORT };
        let mut out = Vec::new();
        let engine = Engine::start(Time(0), EngineConfig::default(), start, &mut out);
        Node { engine, out: Vec::new(), token: 0, answers_notes: true }
    }

    fn step(&mut self, input: Input) -> &mut Node {
        let now = self.engine.now;
        self.engine.step(now, input, &mut self.out);
        self.answer_notes()
    }

    fn wait(&mut self, duration: std::time::Duration) -> &mut Node {
        let now = self.engine.now + duration;
        self.engine.step(now, Input::Tick, &mut self.out);
        self.answer_notes()
    }

    /// Notes of what may be shown are answered at once, as the hands do, but for the first.
    fn answer_notes(&mut self) -> &mut Node {
        let note = self.out.iter().position(|e| matches!(e, Effect::NoteDecided { is_first: false, .. }));
        let Some(at) = note.filter(|_| self.answers_notes) else { return self };
        let Effect::NoteDecided { lsn, .. } = self.out.remove(at) else { unreachable!("looked at before") };
        self.step(Input::DecidedNoted { lsn })
    }

    fn admin(&mut self, command: Admin) -> &mut Node {
        self.token += 1;
        let token = Token(self.token);
        self.step(Input::Admin { token, command })
    }

    fn propose(&mut self) -> Token {
        self.propose_what(|tx| {
            let label = tx.names().label("City");
            tx.create_vertex(&[label], Vec::new()).expect("an empty graph takes it");
        })
    }

    /// Proposes what only programs of protocol 3 can read.
    fn propose_enum(&mut self, name: &str) -> Token {
        self.propose_what(|tx| tx.set_enum(EnumSpec { name: name.into(), values: vec!["A".into()] }))
    }

    fn propose_what(&mut self, write: impl FnOnce(&mut Transaction)) -> Token {
        let graph = self.engine.graph.clone();
        let mut tx = graph.begin(true);
        write(&mut tx);
        let commit = tx.finish().expect("nothing is wrong with it").expect("it writes");
        self.token += 1;
        self.step(Input::Propose { token: Token(self.token), commit });
        Token(self.token)
    }

    /// Answers every state file and every sync that waits.
    fn disk(&mut self) -> &mut Node {
        loop {
            let at = self.out.iter().position(|e| {
                matches!(
                    e,
                    Effect::SaveState { .. }
                        | Effect::SyncWal { .. }
                        | Effect::Listen { .. }
                        | Effect::NoteDecided { is_first: true, .. }
                )
            });
            let Some(at) = at else { return self };
            match self.out.remove(at) {
                Effect::SaveState { id, .. } => self.step(Input::StateSaved { id, result: Ok(()) }),
                Effect::SyncWal { lsn } => self.step(Input::WalSynced { lsn }),
                Effect::Listen { .. } => self.step(Input::Listening { result: Ok(()) }),
                Effect::NoteDecided { lsn, .. } => self.step(Input::DecidedNoted { lsn }),
                _ => unreachable!("looked at before"),
            };
        }
    }

    fn outcomes(&mut self) -> Vec<Outcome> {
        let mut found = Vec::new();
        self.out.retain(|e| match e {
            Effect::Resolve { outcome, .. } => {
                found.push(outcome.clone());
                false
            }
            _ => true,
        });
        found
    }

    fn answers(&mut self) -> Vec<Result<AdminAnswer, AdminError>> {
        let mut found = Vec::new();
        self.out.retain(|e| match e {
            Effect::Answer { result, .. } => {
                found.push(result.clone());
                false
            }
            _ => true,
        });
        found
    }

    fn sent(&mut self) -> Vec<Message> {
        let mut found = Vec::new();
        self.out.retain(|e| match e {
            Effect::Send { message, .. } => {
                found.push(message.clone());
                false
            }
            _ => true,
        });
        found
    }
}

/// Carries messages between MAIN, which dialled as `at`, and a REPLICA, which accepted as 1.
fn talk(main: &mut Node, at: PeerId, replica: &mut Node) {
    loop {
        let (down, up) = (main.sent(), replica.sent());
        if down.is_empty() && up.is_empty() {
            return;
        }
        for message in down {
            replica.step(Input::Message { peer: PeerId(1), message }).disk();
        }
        for message in up {
            main.step(Input::Message { peer: at, message }).disk();
        }
    }
}

fn dialled(main: &mut Node) -> PeerId {
    let at = main.out.iter().position(|e| matches!(e, Effect::Dial { .. })).expect("MAIN dials");
    match main.out.remove(at) {
        Effect::Dial { peer, .. } => peer,
        _ => unreachable!("looked at before"),
    }
}

fn register(main: &mut Node, mode: SyncMode, replica: &mut Node) -> PeerId {
    register_as("r", main, mode, replica)
}

fn register_as(name: &str, main: &mut Node, mode: SyncMode, replica: &mut Node) -> PeerId {
    let address = format!("{name}:10000");
    main.admin(Admin::Register { name: name.into(), mode, address }).disk();
    let peer = dialled(main);
    replica.step(Input::PeerUp { peer: PeerId(1), dialled: false, line: Line::default() });
    main.step(Input::PeerUp { peer, dialled: true, line: Line::default() });
    talk(main, peer, replica);
    peer
}

fn pair(mode: SyncMode) -> (Node, Node, PeerId) {
    pair_with(mode, EngineConfig::default())
}

fn pair_with(mode: SyncMode, config: EngineConfig) -> (Node, Node, PeerId) {
    let (mut main, mut replica) = (Node::with(1, config), Node::replica(2));
    let peer = register(&mut main, mode, &mut replica);
    assert_eq!(main.answers(), [Ok(AdminAnswer::Done)]);
    (main, replica, peer)
}

#[test]
fn a_commit_is_told_only_when_it_is_durable() {
    let mut main = Node::main(1);
    main.propose();
    let Some(Effect::SaveState { id, .. }) = main.out.pop() else { panic!("the reign is saved first") };
    main.step(Input::StateSaved { id, result: Ok(()) });
    assert!(main.out.iter().any(|e| matches!(e, Effect::WriteWal { .. })));
    assert_eq!(main.outcomes(), []);
    main.disk();
    assert!(matches!(main.outcomes()[..], [Outcome::Committed { .. }]));
}

#[test]
fn a_replica_is_ready_when_its_registration_is_answered() {
    let (mut main, _, _) = pair(SyncMode::Sync);
    main.admin(Admin::ShowReplicas);
    let answers = main.answers();
    let [Ok(AdminAnswer::Replicas(rows))] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((rows[0].status, rows[0].behind), ("ready", 0));
}

#[test]
fn sync_commit_waits_for_the_replica() {
    let (mut main, mut replica, peer) = pair(SyncMode::Sync);
    main.propose();
    main.disk();
    assert_eq!(main.outcomes(), []);
    talk(&mut main, peer, &mut replica);
    assert!(matches!(main.outcomes()[..], [Outcome::Committed { .. }]));
    assert_eq!(replica.engine.graph.published(), Lsn(1));
}

#[test]
fn async_commit_waits_for_no_one() {
    let (mut main, _, _) = pair(SyncMode::Async);
    main.propose();
    main.disk();
    assert!(matches!(main.outcomes()[..], [Outcome::Committed { .. }]));
}

#[test]
fn a_closed_connection_degrades_a_sync_commit_at_once() {
    let (mut main, _, peer) = pair(SyncMode::Sync);
    main.propose();
    main.disk().step(Input::PeerDown { peer, reason: "gone".into() });
    let outcomes = main.outcomes();
    let [Outcome::Degraded { failed, .. }] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!((failed[0].name.as_str(), failed[0].reason), ("r", ReplicaFailureReason::NotInSync));
}

#[test]
fn strict_commit_without_its_replica_fails_before_it_is_written() {
    let (mut main, _, peer) = pair(SyncMode::StrictSync);
    main.step(Input::PeerDown { peer, reason: "gone".into() });
    main.propose();
    assert!(matches!(main.outcomes()[..], [Outcome::Failed(CommitError::ReplicasMissing(_))]));
    assert!(!main.out.iter().any(|e| matches!(e, Effect::WriteWal { .. })));
}

#[test]
fn a_commit_in_doubt_names_only_the_replicas_that_may_lack_it() {
    let (mut main, mut here, peer) = pair(SyncMode::StrictSync);
    let mut gone = Node::replica(3);
    let gone_peer = register_as("gone", &mut main, SyncMode::StrictSync, &mut gone);
    assert_eq!(main.answers(), [Ok(AdminAnswer::Done)]);
    main.propose();
    main.disk();
    talk(&mut main, peer, &mut here);
    main.step(Input::PeerDown { peer: gone_peer, reason: "gone".into() });
    let outcomes = main.outcomes();
    let [Outcome::InDoubt { failed, .. }] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(failed.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["gone"]);
}

#[test]
fn strict_commit_that_loses_its_replica_is_in_doubt_and_not_shown() {
    let (mut main, _, peer) = pair(SyncMode::StrictSync);
    main.propose();
    main.disk().step(Input::PeerDown { peer, reason: "gone".into() });
    assert!(matches!(main.outcomes()[..], [Outcome::InDoubt { .. }]));
    assert_eq!(main.engine.graph.published(), Lsn::ZERO);
    main.admin(Admin::Drop { name: "r".into() }).disk();
    assert_eq!(main.engine.graph.published(), Lsn(1), "no one is left who may lack it");
}

#[test]
fn a_replica_acknowledges_only_what_it_synced() {
    let (mut main, mut replica, _) = pair(SyncMode::Sync);
    main.propose();
    main.disk();
    for message in main.sent() {
        replica.step(Input::Message { peer: PeerId(1), message });
    }
    assert!(!replica.sent().iter().any(|m| matches!(m, Message::Ack { durable: Lsn(1), .. })));
    replica.disk();
    assert_eq!(replica.sent(), [Message::Ack { durable: Lsn(1), applied: Lsn(1) }]);
}

/// A replica of an earlier version is never sent what it cannot read: while it is there, such a commit is refused;
/// when it comes later, it is told to be upgraded.
#[test]
fn a_record_that_an_earlier_version_cannot_read_is_not_written_beside_it_nor_sent_to_it() {
    let mut main = Node::main(1);
    let mut replica = Node::replica(2);
    let line = |protocol| Line { protocol, ..Line::default() };
    let connect = |main: &mut Node, replica: &mut Node, protocol| {
        let peer = dialled(main);
        replica.step(Input::PeerUp { peer: PeerId(1), dialled: false, line: line(protocol) });
        main.step(Input::PeerUp { peer, dialled: true, line: line(protocol) });
        talk(main, peer, replica);
        peer
    };
    main.admin(Admin::Register { name: "r".into(), mode: SyncMode::Sync, address: "r:10000".into() }).disk();
    let peer = connect(&mut main, &mut replica, 2);
    assert_eq!(main.answers(), [Ok(AdminAnswer::Done)]);

    main.propose_enum("Color");
    let outcomes = main.disk().outcomes();
    let [Outcome::Failed(CommitError::OldReplica { name, what })] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!((name.as_str(), *what), ("r", "enums"));
    assert!(!main.out.iter().any(|e| matches!(e, Effect::WriteWal { .. })));
    main.propose();
    main.disk();
    talk(&mut main, peer, &mut replica);
    assert!(matches!(main.outcomes()[..], [Outcome::Committed { .. }]), "what it can read goes on");

    main.step(Input::PeerDown { peer, reason: "gone".into() });
    replica.step(Input::PeerDown { peer: PeerId(1), reason: "gone".into() });
    main.propose_enum("Color");
    assert!(matches!(main.disk().outcomes()[..], [Outcome::Degraded { .. }]));
    main.wait(3 * SECOND);
    connect(&mut main, &mut replica, 2);
    let hangup = main.out.iter().find_map(|e| match e {
        Effect::Hangup { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let reason = hangup.expect("it cannot go on");
    assert!(reason.contains("it speaks protocol 2") && reason.contains("upgrade it"), "{reason}");
    assert_eq!(replica.engine.log.last(), Lsn(1), "it was not sent the record");

    replica.step(Input::PeerDown { peer: PeerId(1), reason: "upgraded".into() });
    main.wait(10 * SECOND);
    connect(&mut main, &mut replica, 3);
    assert_eq!(replica.engine.log.last(), Lsn(2));
    assert_eq!(replica.engine.graph.begin(false).enums().len(), 1);
}

#[test]
fn fenced_main_refuses_commit() {
    let mut main = Node::main(1);
    main.admin(Admin::Fence { epoch: 5, by: "test".into() });
    assert_eq!(main.answers(), [], "the promise is not yet durable");
    main.disk();
    assert_eq!(main.answers(), [Ok(AdminAnswer::Done)]);
    main.propose();
    assert_eq!(main.outcomes(), [Outcome::Failed(CommitError::Fenced)]);
}

#[test]
fn a_replica_refuses_a_lower_epoch() {
    let (mut main, mut replica) = (Node::main(1), Node::replica(2));
    replica.admin(Admin::Fence { epoch: 9, by: "test".into() }).disk();
    register(&mut main, SyncMode::Sync, &mut replica);
    assert!(matches!(main.answers()[..], [Err(AdminError::Fenced(_))]));
    main.admin(Admin::ShowReplicas);
    assert_eq!(main.answers(), [Ok(AdminAnswer::Replicas(Vec::new()))], "nothing is left behind");
}

#[test]
fn a_node_that_was_main_for_nothing_is_registered_by_a_main_that_reigns_above_it() {
    let (mut main, mut other) = (Node::main(1), Node::replica(2));
    other.admin(Admin::SetRoleMain { epoch: None }).disk();
    other.admin(Admin::SetRoleReplica { port: PORT }).disk();
    assert_eq!(other.answers(), [Ok(AdminAnswer::Done), Ok(AdminAnswer::Done)]);
    let refused = register(&mut main, SyncMode::Sync, &mut other);
    assert!(main.out.iter().any(|e| matches!(e, Effect::Hangup { peer, .. } if *peer == refused)));
    main.disk();
    let peer = dialled(&mut main);
    other.step(Input::PeerDown { peer: PeerId(1), reason: "hung up".into() });
    other.step(Input::PeerUp { peer: PeerId(1), dialled: false, line: Line::default() });
    main.step(Input::PeerUp { peer, dialled: true, line: Line::default() });
    talk(&mut main, peer, &mut other);
    assert_eq!(main.answers(), [Ok(AdminAnswer::Done)]);
    assert!(main.engine.state.promised.number > 1, "{}", main.engine.state.promised);
}

#[test]
fn a_node_with_commits_of_its_own_is_diverged() {
    let (mut main, mut other) = (Node::main(1), Node::main(2));
    other.propose();
    other.disk().admin(Admin::SetRoleReplica { port: PORT }).disk();
    register(&mut main, SyncMode::Sync, &mut other);
    assert!(matches!(main.answers()[..], [Err(AdminError::Diverged(_))]));
}

#[test]
fn a_main_is_not_registered() {
    let (mut main, mut other) = (Node::main(1), Node::main(2));
    register(&mut main, SyncMode::Sync, &mut other);
    assert!(matches!(main.answers()[..], [Err(AdminError::Unreachable(_))]));
}

#[test]
fn a_silent_address_is_refused_in_two_seconds() {
    let mut main = Node::main(1);
    main.admin(Admin::Register { name: "r".into(), mode: SyncMode::Sync, address: "there:1".into() }).disk();
    main.wait(std::time::Duration::from_millis(1_900));
    assert_eq!(main.answers(), []);
    main.wait(std::time::Duration::from_millis(100));
    assert!(matches!(main.answers()[..], [Err(AdminError::Unreachable(_))]));
}

#[test]
fn a_record_on_another_chain_is_refused() {
    let (_, mut replica, _) = pair(SyncMode::Sync);
    let epoch = Epoch { number: 1, node: NodeId(1), incarnation: 1 };
    let record = CommitRecord { epoch, lsn: Lsn(1), ts: 1, payload: Default::default() };
    let message =
        Message::Append { epoch, prev: Lsn::ZERO, prev_chain: 7, apply_to: Lsn(1), records: vec![record] };
    replica.step(Input::Message { peer: PeerId(1), message });
    let sent = replica.sent();
    assert!(matches!(sent[..], [Message::Refused { reason: RefusalReason::Mismatch, .. }]), "{sent:?}");
    assert!(!replica.out.iter().any(|e| matches!(e, Effect::WriteWal { .. })));
}

/// A MAIN may tell how far it shows before it has sent all that; another MAIN may follow it and use the same LSNs.
#[test]
fn leave_to_show_ends_with_the_log() {
    let (_, mut replica, _) = pair(SyncMode::Async);
    let peer = PeerId(1);
    replica.step(Input::Message { peer, message: Message::Publish { apply_to: Lsn(9) } });
    let epoch = Epoch { number: 1, node: NodeId(1), incarnation: 1 };
    let payload = replica.engine.graph.encode(&[]).into();
    let records = vec![CommitRecord { epoch, lsn: Lsn(1), ts: 1, payload }];
    let prev_chain = replica.engine.log.end().chain;
    let message = Message::Append { epoch, prev: Lsn::ZERO, prev_chain, apply_to: Lsn::ZERO, records };
    replica.step(Input::Message { peer, message });
    replica.disk();
    assert_eq!((replica.engine.log.durable(), replica.engine.applied.lsn), (Lsn(1), Lsn::ZERO));
    replica.step(Input::Message { peer, message: Message::Publish { apply_to: Lsn(1) } });
    replica.disk();
    assert_eq!(replica.engine.applied.lsn, Lsn(1));
}

#[test]
fn a_demoted_main_lets_its_commits_arrive_first() {
    let (mut main, mut replica, peer) = pair(SyncMode::Async);
    main.propose();
    main.admin(Admin::SetRoleReplica { port: PORT }).disk();
    assert_eq!(main.answers(), [], "the replica has not acknowledged the last commit");
    talk(&mut main, peer, &mut replica);
    main.disk();
    assert_eq!(main.answers(), [Ok(AdminAnswer::Done)]);
    assert_eq!(replica.engine.log.last(), main.engine.log.last());
    main.propose();
    assert!(main.outcomes().contains(&Outcome::Failed(CommitError::NotMain)));
}

#[test]
fn a_promoted_replica_reigns_above_its_main() {
    let (main, mut replica, _) = pair(SyncMode::Sync);
    replica.admin(Admin::SetRoleMain { epoch: None }).disk();
    assert_eq!(replica.answers(), [Ok(AdminAnswer::Done)]);
    replica.propose();
    replica.disk();
    let outcomes = replica.outcomes();
    let [Outcome::Committed { position }] = outcomes[..] else { panic!("{outcomes:?}") };
    assert!(position.epoch > main.engine.reign_epoch());
}

#[test]
fn a_bookmark_of_another_branch_is_told_apart() {
    let mut main = Node::main(20);
    main.propose();
    main.disk();
    let shared = main.engine.shared();
    let own = main.engine.log.position();
    let other = Position { epoch: Epoch { number: 1, node: NodeId(9), incarnation: 1 }, lsn: Lsn(1) };
    assert_eq!(shared.history_says(own), Some(true));
    assert_eq!(shared.history_says(other), Some(false));
    assert_eq!(shared.history_says(Position { lsn: Lsn(2), ..own }), None);
    let later = Position { epoch: Epoch { number: 2, ..other.epoch }, lsn: Lsn(1) };
    assert_eq!(shared.history_says(later), None, "its MAIN may be the one that others follow");
    main.admin(Admin::TransactionOutcome { position: later });
    assert_eq!(main.answers(), [Ok(AdminAnswer::Outcome(OutcomeReport::Unknown))]);
}

#[test]
fn a_restarted_main_takes_back_what_its_replica_kept() {
    let (mut main, mut replica, peer) = pair(SyncMode::Sync);
    main.propose();
    main.disk();
    talk(&mut main, peer, &mut replica);
    // The power goes before MAIN's own sync: its disk holds the registration and no record.
    let mut start = recovered(1);
    start.state = main.engine.state.clone();
    let mut out = Vec::new();
    let engine = Engine::start(Time(0), EngineConfig::default(), start, &mut out);
    let mut again = Node { engine, out, token: 0, answers_notes: true };
    assert!(!again.engine.shared().is_writable());
    let peer = dialled(&mut again);
    replica.step(Input::PeerUp { peer: PeerId(3), dialled: false, line: Line::default() });
    again.step(Input::PeerUp { peer, dialled: true, line: Line::default() });
    for _ in 0..6 {
        for message in again.sent() {
            replica.step(Input::Message { peer: PeerId(3), message }).disk();
        }
        if let Some(at) = replica.out.iter().position(|e| matches!(e, Effect::ReadWal { .. })) {
            replica.out.remove(at);
            let records = vec![replica.engine.log.recent_at(Lsn(1)).expect("it is new").clone()];
            replica.step(Input::WalRead { peer: PeerId(3), from: Lsn(1), result: Ok(records) });
        }
        for message in replica.sent() {
            again.step(Input::Message { peer, message });
        }
    }
    // The replica has caught up, and what it gave back is not yet durable here: nobody reads before it.
    assert!(again.engine.links[0].is_ready(), "{:?}", again.engine.links[0]);
    assert!(!again.engine.shared().is_settled());
    assert_eq!(again.engine.graph.published(), Lsn(0));
    again.disk().wait(std::time::Duration::from_millis(10));
    assert_eq!(again.engine.graph.published(), Lsn(1));
    assert!(again.engine.shared().is_settled() && again.engine.shared().is_writable());
    again.propose();
    again.disk();
    assert_eq!(again.engine.log.position().epoch.incarnation, 2);
}

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

#[test]
fn a_blocked_commit_waits_unseen_until_its_replica_is_back() {
    let config = EngineConfig { sync_policy: SyncPolicy::Block, ..EngineConfig::default() };
    let (mut main, mut replica, peer) = pair_with(SyncMode::Sync, config);
    main.step(Input::PeerDown { peer, reason: "gone".into() });
    main.propose();
    main.disk();
    assert_eq!(main.outcomes(), []);
    assert_eq!(main.engine.graph.published(), Lsn::ZERO);
    main.wait(SECOND);
    let peer = dialled(&mut main);
    replica.step(Input::PeerUp { peer: PeerId(1), dialled: false, line: Line::default() });
    main.step(Input::PeerUp { peer, dialled: true, line: Line::default() });
    talk(&mut main, peer, &mut replica);
    assert!(matches!(main.outcomes()[..], [Outcome::Committed { .. }]));
    assert_eq!(main.engine.graph.published(), Lsn(1));
}

#[test]
fn a_blocked_commit_is_in_doubt_when_its_time_is_over() {
    let config = EngineConfig { sync_policy: SyncPolicy::Block, ..EngineConfig::default() };
    let (mut main, _, peer) = pair_with(SyncMode::Sync, config);
    main.step(Input::PeerDown { peer, reason: "gone".into() });
    main.propose();
    main.disk().wait(29 * SECOND);
    assert_eq!(main.outcomes(), []);
    main.wait(SECOND);
    let outcomes = main.outcomes();
    let [Outcome::InDoubt { failed, .. }] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(failed[0].name, "r");
    assert_eq!(main.engine.graph.published(), Lsn::ZERO);
}

#[test]
fn a_commit_is_rejected_before_it_is_written_where_a_sync_replica_is_missing() {
    let config = EngineConfig { sync_policy: SyncPolicy::Reject, ..EngineConfig::default() };
    let (mut main, _, peer) = pair_with(SyncMode::Sync, config);
    main.propose();
    main.disk().step(Input::PeerDown { peer, reason: "gone".into() });
    assert!(matches!(main.outcomes()[..], [Outcome::InDoubt { .. }]), "it was written, and may be there");
    main.out.clear();
    main.propose();
    assert!(matches!(main.outcomes()[..], [Outcome::Failed(CommitError::ReplicasMissing(_))]));
    assert!(!main.out.iter().any(|e| matches!(e, Effect::WriteWal { .. })));
}

#[test]
fn one_confirmation_is_enough_where_one_is_asked_for() {
    let config = EngineConfig { sync_min_acks: Some(1), ..EngineConfig::default() };
    let (mut main, mut near, peer) = pair_with(SyncMode::Sync, config);
    let mut far = Node::replica(3);
    register_as("far", &mut main, SyncMode::Sync, &mut far);
    assert_eq!(main.answers(), [Ok(AdminAnswer::Done)]);
    main.propose();
    main.disk();
    assert_eq!(main.outcomes(), []);
    talk(&mut main, peer, &mut near);
    assert!(matches!(main.outcomes()[..], [Outcome::Committed { .. }]));
    assert_eq!(far.engine.graph.published(), Lsn::ZERO);
}

#[test]
fn a_main_without_its_majority_stops_taking_writes_when_its_lease_is_over() {
    let config = EngineConfig { main_lease: Some(4 * SECOND), ..EngineConfig::default() };
    let (mut main, mut replica, peer) = pair_with(SyncMode::Async, config);
    main.propose();
    assert_eq!(main.outcomes(), [Outcome::Failed(CommitError::NoLease)], "no one has answered yet");
    main.wait(SECOND);
    talk(&mut main, peer, &mut replica);
    main.propose();
    main.disk();
    talk(&mut main, peer, &mut replica);
    assert!(matches!(main.outcomes()[..], [Outcome::Committed { .. }]));
    // The question that was answered left at 1 s. Answers that never come do not count.
    for _ in 0..3 {
        main.wait(SECOND);
        assert!(main.engine.shared().is_writable());
    }
    main.propose();
    main.wait(SECOND).disk();
    assert!(!main.engine.shared().is_writable());
    assert_eq!(main.outcomes(), [], "nobody is told yes without a lease");
    assert_eq!(main.engine.graph.published(), Lsn(1));
    main.wait(10 * SECOND);
    assert!(matches!(main.outcomes()[..], [Outcome::InDoubt { .. }]));
}

#[test]
fn a_restart_holds_back_what_was_not_decided() {
    let (mut main, _, peer) = pair(SyncMode::StrictSync);
    main.propose();
    main.step(Input::PeerDown { peer, reason: "gone".into() });
    let first =
        main.out.iter().position(|e| matches!(e, Effect::NoteDecided { lsn: Lsn::ZERO, is_first: true }));
    let write = main.out.iter().position(|e| matches!(e, Effect::WriteWal { .. }));
    assert!(first.is_some() && first < write);
    main.disk();
    let record = main.out.iter().find_map(|e| match e {
        Effect::WriteWal { record, .. } => Some(record.clone()),
        _ => None,
    });
    let mut start = recovered(1);
    start.state = main.engine.state.clone();
    (start.noted, start.held) = (Some(Lsn::ZERO), vec![record.expect("it was written")]);
    let mut out = Vec::new();
    let engine = Engine::start(Time(0), EngineConfig::default(), start, &mut out);
    let mut again = Node { engine, out, token: 0, answers_notes: true };
    again.wait(3 * SECOND);
    assert_eq!(again.engine.graph.published(), Lsn::ZERO, "the replica may lack it");
    let position = again.engine.log.position();
    again.admin(Admin::TransactionOutcome { position });
    assert_eq!(again.answers(), [Ok(AdminAnswer::Outcome(OutcomeReport::InDoubt))]);
    again.admin(Admin::Drop { name: "r".into() }).disk();
    assert_eq!(again.engine.graph.published(), Lsn(1));
}

#[test]
fn a_note_that_goes_beyond_a_log_that_lost_its_end_is_taken_back_before_the_next_record() {
    let (main, ..) = pair(SyncMode::StrictSync);
    let mut start = recovered(1);
    start.state = main.engine.state.clone();
    start.noted = Some(Lsn(9));
    let mut out = Vec::new();
    let engine = Engine::start(Time(0), EngineConfig::default(), start, &mut out);
    assert!(matches!(out[0], Effect::NoteDecided { lsn: Lsn::ZERO, is_first: true }), "{:?}", out[0]);
    let mut again = Node { engine, out, token: 0, answers_notes: true };
    again.disk().admin(Admin::Drop { name: "r".into() }).disk().wait(3 * SECOND);
    again.propose();
    again.disk();
    assert_eq!(again.engine.graph.published(), Lsn(1));
}

#[test]
fn as_many_replicas_as_must_confirm_are_not_set_aside() {
    let config = EngineConfig {
        live_bytes_max: 0,
        sync_min_acks: Some(1),
        sync_policy: SyncPolicy::Reject,
        ..EngineConfig::default()
    };
    let (mut main, mut replica, peer) = pair_with(SyncMode::Sync, config);
    main.propose();
    main.disk();
    main.propose();
    main.propose();
    main.disk();
    talk(&mut main, peer, &mut replica);
    let outcomes = main.outcomes();
    assert!(matches!(
        outcomes[..],
        [Outcome::Committed { .. }, Outcome::Committed { .. }, Outcome::Committed { .. }]
    ));
}

#[test]
fn a_rewound_replica_asks_the_disk_for_the_common_part() {
    let (mut main, mut replica, peer) = pair(SyncMode::Sync);
    main.propose();
    main.disk();
    talk(&mut main, peer, &mut replica);
    let common = replica.engine.log.position();
    replica.admin(Admin::SetRoleMain { epoch: None }).disk();
    replica.propose();
    replica.disk().admin(Admin::SetRoleReplica { port: PORT }).disk();
    replica.answers();
    assert_eq!(replica.engine.log.last(), Lsn(2));
    replica.admin(Admin::Rewind { to: common });
    let asked = replica.out.iter().any(|e| matches!(e, Effect::Rewind { to } if *to == common));
    assert!(asked);
    assert_eq!(replica.answers(), []);
    let mut left = recovered(2);
    left.graph.publish(Lsn(1), 2);
    (left.last, left.chain) = (common, main.engine.log.chain());
    left.history = main.engine.log.end().history.clone();
    replica.step(Input::Rewound { result: Ok(Box::new(left)) });
    assert_eq!(replica.answers(), [Ok(AdminAnswer::Done)]);
    assert_eq!(replica.engine.log.position(), common);
    assert_eq!(replica.engine.shared().graph().published(), Lsn(1));
    replica.admin(Admin::Rewind { to: Position { lsn: Lsn(9), ..common } });
    assert!(matches!(replica.answers()[..], [Err(AdminError::Refused(_))]));
}

#[test]
fn a_node_of_another_cluster_is_refused_until_it_is_released() {
    let (mut main, mut replica, _) = pair(SyncMode::Sync);
    let mut other = Node::main(5);
    replica.step(Input::PeerDown { peer: PeerId(1), reason: "gone".into() });
    register(&mut other, SyncMode::Sync, &mut replica);
    let answers = other.answers();
    let [Err(AdminError::Unreachable(why))] = &answers[..] else { panic!("{answers:?}") };
    assert!(why.contains("another cluster"), "{why}");
    main.admin(Admin::Drop { name: "r".into() }).disk();
    assert!(main.sent().contains(&Message::Release));
    replica.step(Input::PeerUp { peer: PeerId(3), dialled: false, line: Line::default() });
    let hello = main.engine.hello(PeerId(3), NodeId(2));
    replica.step(Input::Message { peer: PeerId(3), message: hello }).disk();
    replica.step(Input::Message { peer: PeerId(3), message: Message::Release }).disk();
    replica.out.clear();
    register(&mut other, SyncMode::Sync, &mut replica);
    assert_eq!(other.answers(), [Ok(AdminAnswer::Done)]);
}

#[test]
fn a_released_replica_keeps_data_and_promise_and_follows_the_next_main_that_reigns_as_high() {
    let (mut main, mut replica, peer) = pair(SyncMode::Sync);
    main.admin(Admin::SetRoleMain { epoch: Some(4) }).disk();
    main.propose();
    main.disk();
    talk(&mut main, peer, &mut replica);
    let (last, promised) = (replica.engine.log.position(), replica.engine.state.promised);
    replica.out.clear();
    replica.admin(Admin::Release);
    assert_eq!(replica.answers(), [], "it is answered before it is durable");
    assert!(replica.engine.following.is_none(), "its MAIN is let go at once");
    replica.disk();
    assert_eq!(replica.answers(), [Ok(AdminAnswer::Done)]);
    assert_eq!(replica.engine.saved.cluster, None);
    assert!(replica.engine.saved.members.is_empty() && replica.engine.shared().is_pairing_open());
    assert_eq!((replica.engine.log.position(), replica.engine.saved.promised), (last, promised));
    assert!(matches!(replica.engine.role, Role::Replica { .. }));
    // One that reigns lower is not followed, whoever it is.
    let mut other = Node::main(5);
    register(&mut other, SyncMode::Sync, &mut replica);
    assert!(matches!(other.answers()[..], [Err(_)]));
    assert_eq!((promised.number, replica.engine.saved.cluster), (4, None));
    // Asked again it is so already; a MAIN follows none.
    replica.admin(Admin::Release).disk();
    assert_eq!(replica.answers(), [Ok(AdminAnswer::Done)]);
    main.answers();
    main.admin(Admin::Release);
    assert!(matches!(main.answers()[..], [Err(AdminError::Refused(_))]));
}

#[test]
fn a_release_that_the_disk_does_not_keep_has_not_happened() {
    let (_, mut replica, _) = pair(SyncMode::Sync);
    let cluster = replica.engine.state.cluster;
    assert!(cluster.is_some());
    replica.out.clear();
    replica.admin(Admin::Release);
    let id = replica.out.iter().find_map(|e| match e {
        Effect::SaveState { id, .. } => Some(*id),
        _ => None,
    });
    replica.step(Input::StateSaved { id: id.expect("it is saved"), result: Err("no room".into()) });
    assert_eq!(replica.answers(), [Err(AdminError::NotPersisted("no room".into()))]);
    assert_eq!(replica.engine.state.cluster, cluster);
}

#[test]
fn every_node_knows_where_clients_reach_the_others() {
    let bolt = |name: &str| vec![format!("127.0.0.1/{name}"), format!("inside/{name}")];
    let mut main = Node::with(1, EngineConfig { bolt: bolt("main"), ..EngineConfig::default() });
    let mut replica = Node::replica(2);
    replica.engine.config.bolt = bolt("r");
    register(&mut main, SyncMode::Sync, &mut replica);
    let main_route = |is_here| Route { is_main: true, is_here, bolt: bolt("main") };
    let replica_route = |is_here| Route { is_main: false, is_here, bolt: bolt("r") };
    assert_eq!(main.engine.shared().routes(), [main_route(true), replica_route(false)]);
    assert_eq!(replica.engine.shared().routes(), [replica_route(true), main_route(false)]);
}

#[test]
fn a_key_that_no_main_named_is_a_stranger() {
    let (main, mut replica, _) = pair(SyncMode::Sync);
    let Message::Hello { node, to, epoch, end, cluster, members, .. } =
        main.engine.hello(PeerId(1), NodeId(2))
    else {
        unreachable!("it is a greeting")
    };
    let above = Epoch { number: 9, ..epoch };
    let hello = Message::Hello { protocol: 2, node: NodeId(7), to, epoch: above, end, cluster, members };
    replica.step(Input::PeerUp { peer: PeerId(5), dialled: false, line: Line::default() });
    replica.step(Input::Message { peer: PeerId(5), message: hello }).disk();
    let sent = replica.sent();
    assert!(matches!(&sent[..], [Message::Refused { reason: RefusalReason::Stranger, .. }]), "{sent:?}");
    assert!(replica.engine.state.promised < above, "its epoch is not obeyed");
    assert_eq!(replica.engine.following.as_ref().map(|f| f.main), Some(node));
}

/// The LSNs of the records in each message.
fn appended(messages: &[Message]) -> Vec<Vec<u64>> {
    let lsns = |message: &Message| match message {
        Message::Append { records, .. } => Some(records.iter().map(|record| record.lsn.0).collect()),
        _ => None,
    };
    messages.iter().filter_map(lsns).collect()
}

#[test]
fn records_for_an_async_replica_gather_while_it_is_at_work_and_for_a_moment_after() {
    let (mut main, mut replica, peer) = pair(SyncMode::Async);
    main.wait(ASYNC_PAUSE);
    main.propose();
    main.disk();
    let first = main.sent();
    assert_eq!(appended(&first), [[1]]);
    for _ in 0..3 {
        main.propose();
    }
    main.disk();
    assert_eq!(main.outcomes().len(), 4, "nobody waits for the replica");
    assert!(!main.engine.wants_tick(), "the replica's answer comes first");
    main.wait(ASYNC_PAUSE * 2);
    assert_eq!(appended(&main.sent()), [[0; 0]; 0]);
    for message in first {
        replica.step(Input::Message { peer: PeerId(1), message }).disk();
    }
    for message in replica.sent() {
        main.step(Input::Message { peer, message });
    }
    assert_eq!(appended(&main.sent()), [[2, 3, 4]]);
    // Another one comes at once, and the replica has answered: it goes when the moment is over.
    main.propose();
    main.disk();
    main.step(Input::Message { peer, message: Message::Ack { durable: Lsn(4), applied: Lsn(4) } });
    assert!(main.engine.wants_tick());
    assert_eq!(appended(&main.sent()), [[0; 0]; 0]);
    main.wait(ASYNC_PAUSE);
    assert_eq!(appended(&main.sent()), [[5]]);
    assert!(!main.engine.wants_tick());
}

#[test]
fn a_replica_acknowledges_a_record_once_when_it_is_synced_and_shown() {
    let (mut main, mut replica, _) = pair(SyncMode::Sync);
    main.propose();
    main.disk();
    let record = main.sent().into_iter().find(|m| matches!(m, Message::Append { .. })).expect("it is sent");
    replica.step(Input::Message { peer: PeerId(1), message: record });
    assert_eq!(replica.sent(), [], "before the sync there is nothing to say");
    replica.disk();
    assert_eq!(replica.sent(), [Message::Ack { durable: Lsn(1), applied: Lsn(1) }]);
}

#[test]
fn a_main_that_must_hear_its_replicas_writes_as_soon_as_the_last_one_answered() {
    let (main, mut replica, _) = pair(SyncMode::Sync);
    let mut start = recovered(1);
    start.state = main.engine.state.clone();
    let mut out = Vec::new();
    let config = EngineConfig { confirm_required: true, ..EngineConfig::default() };
    let engine = Engine::start(Time(0), config, start, &mut out);
    let mut again = Node { engine, out, token: 0, answers_notes: true };
    again.wait(10 * SECOND);
    again.propose();
    assert_eq!(again.outcomes(), [Outcome::Failed(CommitError::Unconfirmed)]);
    again.out.clear();
    again.wait(SECOND);
    let peer = dialled(&mut again);
    replica.step(Input::PeerUp { peer: PeerId(3), dialled: false, line: Line::default() });
    again.step(Input::PeerUp { peer, dialled: true, line: Line::default() });
    for message in again.sent() {
        replica.step(Input::Message { peer: PeerId(3), message }).disk();
    }
    for message in replica.sent() {
        again.step(Input::Message { peer, message });
    }
    assert!(again.engine.shared().is_writable());
}

#[test]
fn commits_that_pile_up_for_a_replica_they_wait_for_do_not_set_it_aside() {
    let config = EngineConfig { live_bytes_max: 0, ..EngineConfig::default() };
    let (mut main, mut replica, peer) = pair_with(SyncMode::StrictSync, config);
    for _ in 0..3 {
        main.propose();
        main.disk();
    }
    assert_eq!(main.outcomes(), []);
    talk(&mut main, peer, &mut replica);
    let outcomes = main.outcomes();
    assert!(matches!(
        outcomes[..],
        [Outcome::Committed { .. }, Outcome::Committed { .. }, Outcome::Committed { .. }]
    ));
}

#[test]
fn only_the_node_that_was_registered_tells_a_main_that_it_was_replaced() {
    use RefusalReason::{Fenced, NotReplica, OtherCluster, Stranger, WrongNode};
    let line = |key| {
        let key = Some(crate::types::KeyPrint([key; 32]));
        Line { identity: crate::types::Identity { key, certified: None }, ..Line::default() }
    };
    let promised = Epoch { number: 5, node: NodeId(9), incarnation: 1 };
    let is_writable_after = |node, key, reason| {
        let (mut main, mut replica) = (Node::main(1), Node::replica(2));
        main.admin(Admin::Register { name: "r".into(), mode: SyncMode::Sync, address: "r:1".into() }).disk();
        let peer = dialled(&mut main);
        replica.step(Input::PeerUp { peer: PeerId(1), dialled: false, line: line(1) });
        main.step(Input::PeerUp { peer, dialled: true, line: line(2) });
        talk(&mut main, peer, &mut replica);
        assert_eq!(main.answers(), [Ok(AdminAnswer::Done)]);
        main.step(Input::PeerDown { peer, reason: "gone".into() }).wait(SECOND);
        let peer = dialled(&mut main);
        let end = main.engine.log.end().clone();
        let message = Message::Refused { node: NodeId(node), reason, promised, end, text: "no".into() };
        main.step(Input::PeerUp { peer, dialled: true, line: line(key) });
        main.step(Input::Message { peer, message }).disk();
        main.engine.shared().is_writable()
    };
    for reason in [Fenced, NotReplica, Stranger] {
        assert!(!is_writable_after(2, 2, reason), "{reason:?}");
        assert!(is_writable_after(2, 3, reason), "{reason:?} of whoever took its id");
    }
    for reason in [Fenced, NotReplica, Stranger, WrongNode, OtherCluster] {
        assert!(is_writable_after(3, 2, reason), "{reason:?} of another node");
    }
    assert!(is_writable_after(2, 2, OtherCluster), "its epoch is one of that cluster");
}

#[test]
fn a_main_that_is_replaced_while_it_registers_a_node_takes_no_epoch_above() {
    let (mut main, mut replica, peer) = pair(SyncMode::Sync);
    let mut other = Node::replica(3);
    other.admin(Admin::SetRoleMain { epoch: None }).disk();
    other.admin(Admin::SetRoleReplica { port: PORT }).disk();
    main.admin(Admin::Register { name: "s".into(), mode: SyncMode::Sync, address: "s:1".into() }).disk();
    let candidate = dialled(&mut main);
    other.step(Input::PeerUp { peer: PeerId(1), dialled: false, line: Line::default() });
    main.step(Input::PeerUp { peer: candidate, dialled: true, line: Line::default() });
    let promised = Epoch { number: 5, node: NodeId(9), incarnation: 1 };
    let (reason, end) = (RefusalReason::Fenced, replica.engine.log.end().clone());
    let text = "it follows another".into();
    let refused = Message::Refused { node: NodeId(2), reason, promised, end, text };
    main.step(Input::Message { peer, message: refused }).disk();
    replica.out.clear();
    talk(&mut main, candidate, &mut other);
    assert!(matches!(main.answers()[..], [Err(AdminError::Fenced(_))]));
    assert!(!main.engine.shared().is_writable());
    assert_eq!(main.engine.state.promised, crate::replication::fence_epoch(5));
}

#[test]
fn a_full_disk_refuses_all_that_waits_to_be_saved_and_the_node_goes_on() {
    let mut node = Node::main(1);
    node.propose();
    let fence = || Admin::Fence { epoch: 5, by: "operation".into() };
    // The first state file, with the new incarnation, is still under way.
    node.admin(fence());
    let saves = |node: &Node| {
        let saves = node.out.iter().filter_map(|e| match e {
            Effect::SaveState { id, state } => Some((*id, state.promised.number)),
            _ => None,
        });
        saves.collect::<Vec<_>>()
    };
    assert_eq!(saves(&node), [(1, 1)]);
    node.step(Input::StateSaved { id: 1, result: Err("no room".into()) });
    assert_eq!(saves(&node), [(1, 1)]);
    assert!(node.out.iter().all(|e| !matches!(e, Effect::Halt { .. })));
    assert_eq!(node.outcomes(), [Outcome::Failed(CommitError::Fenced)]);
    assert_eq!(node.answers(), [Err(AdminError::NotPersisted("no room".into()))]);
    // Nothing of it was kept: with room again, both work.
    node.out.clear();
    node.propose();
    node.disk();
    assert!(matches!(node.outcomes()[..], [Outcome::Committed { .. }]));
    node.admin(fence()).disk();
    assert_eq!(node.answers(), [Ok(AdminAnswer::Done)]);
    assert!(!node.engine.is_writable());
}

#[test]
fn a_command_whose_turn_does_not_come_is_refused_and_nothing_of_it_is_kept() {
    let mut node = Node::main(1);
    let turn_wait = node.engine.config.turn_wait;
    let moment = std::time::Duration::from_millis(1);
    node.admin(Admin::SetRoleMain { epoch: Some(7) });
    node.admin(Admin::SetRoleReplica { port: PORT });
    node.wait(turn_wait - moment);
    node.admin(Admin::Fence { epoch: 9, by: "operation".into() });
    assert_eq!(node.answers(), []);
    node.wait(moment);
    assert_eq!(node.answers(), [Err(AdminError::Busy)]);
    // The other one's time is not over, and its turn comes.
    node.disk();
    assert_eq!(node.answers(), [Ok(AdminAnswer::Done), Ok(AdminAnswer::Done)]);
    assert_eq!((node.engine.role, node.engine.state.role), (Role::Main, Role::Main));
    assert_eq!(node.engine.state.promised.number, 9);
    node.admin(Admin::SetRoleReplica { port: PORT }).disk();
    assert_eq!(node.answers(), [Ok(AdminAnswer::Done)]);
    assert!(matches!(node.engine.role, Role::Replica { .. }));
}

#[test]
fn what_is_asked_for_while_a_state_is_saved_goes_out_together_behind_it() {
    let mut node = Node::main(1);
    node.propose();
    node.admin(Admin::Fence { epoch: 5, by: "operation".into() });
    node.step(Input::StateSaved { id: 1, result: Ok(()) });
    let promised = node.out.iter().filter_map(|e| match e {
        Effect::SaveState { state, .. } => Some(state.promised.number),
        _ => None,
    });
    assert_eq!(promised.collect::<Vec<_>>(), [1, 5]);
    assert_eq!(node.answers(), []);
    node.step(Input::StateSaved { id: 2, result: Ok(()) });
    assert_eq!(node.answers(), [Ok(AdminAnswer::Done)]);
}

#[test]
fn a_record_is_shown_only_once_it_is_noted_as_decided_on_main_and_on_its_replica() {
    let (mut main, mut replica, peer) = pair(SyncMode::StrictSync);
    (main.answers_notes, replica.answers_notes) = (false, false);
    let shown = |node: &Node| node.engine.graph.published();
    let noted = |node: &mut Node| {
        node.out.retain(|e| !matches!(e, Effect::NoteDecided { is_first: true, .. }));
        let at = node.out.iter().position(|e| matches!(e, Effect::NoteDecided { .. }))?;
        let Effect::NoteDecided { lsn, .. } = node.out.remove(at) else { return None };
        Some(lsn)
    };
    for _ in 0..3 {
        main.propose();
    }
    main.disk();
    talk(&mut main, peer, &mut replica);
    replica.disk();
    talk(&mut main, peer, &mut replica);
    assert_eq!((noted(&mut main), noted(&mut main)), (Some(Lsn(1)), None), "one at a time");
    assert_eq!((shown(&main), main.outcomes()), (Lsn::ZERO, vec![]));
    main.step(Input::DecidedNoted { lsn: Lsn(1) });
    assert_eq!(shown(&main), Lsn(1));
    // What was decided meanwhile shares a note.
    assert_eq!(noted(&mut main), Some(Lsn(3)));
    main.step(Input::DecidedNoted { lsn: Lsn(3) });
    assert_eq!(shown(&main), Lsn(3));
    talk(&mut main, peer, &mut replica);
    assert_eq!((noted(&mut replica), shown(&replica)), (Some(Lsn(1)), Lsn::ZERO));
    replica.step(Input::DecidedNoted { lsn: Lsn(1) });
    assert_eq!((noted(&mut replica), shown(&replica)), (Some(Lsn(3)), Lsn(1)));
    replica.step(Input::DecidedNoted { lsn: Lsn(3) });
    assert_eq!(shown(&replica), Lsn(3));
    talk(&mut main, peer, &mut replica);
    assert_eq!(main.outcomes().len(), 3);
}

#[test]
fn a_replica_counts_until_it_is_durable_that_it_is_dropped() {
    let (mut main, mut replica, peer) = pair(SyncMode::Sync);
    main.admin(Admin::Drop { name: "r".into() });
    main.propose();
    let at = main.out.iter().position(|e| matches!(e, Effect::SaveState { .. }));
    let save = main.out.remove(at.expect("the registration is to go"));
    main.disk();
    assert_eq!(main.outcomes(), [], "a full disk may keep it registered");
    let Effect::SaveState { id, .. } = save else { unreachable!("looked at before") };
    main.step(Input::StateSaved { id, result: Err("no room".into()) });
    assert_eq!(main.answers(), [Err(AdminError::NotPersisted("no room".into()))]);
    talk(&mut main, peer, &mut replica);
    replica.disk();
    talk(&mut main, peer, &mut replica);
    assert!(matches!(main.outcomes()[..], [Outcome::Committed { .. }]), "its connection was not touched");
}

#[test]
fn a_demotion_that_cannot_wait_leaves_open_what_is_not_decided() {
    let config = EngineConfig { sync_policy: SyncPolicy::Block, ..EngineConfig::default() };
    for (mode, config) in [(SyncMode::StrictSync, EngineConfig::default()), (SyncMode::Sync, config)] {
        let (mut main, _, peer) = pair_with(mode, config);
        main.propose();
        main.disk().admin(Admin::SetRoleReplica { port: PORT }).disk();
        main.wait(2 * SECOND);
        assert!(matches!(main.outcomes()[..], [Outcome::InDoubt { .. }]), "{mode:?}");
        // The disk keeps the old role: the node goes on as MAIN, and its replica still counts.
        let at = main.out.iter().position(|e| matches!(e, Effect::SaveState { .. }));
        let Effect::SaveState { id, .. } = main.out.remove(at.expect("the role is saved")) else {
            unreachable!("looked at before")
        };
        main.step(Input::StateSaved { id, result: Err("no room".into()) });
        assert_eq!(main.answers(), [Err(AdminError::NotPersisted("no room".into()))]);
        assert_eq!(main.engine.graph.published(), Lsn::ZERO, "{mode:?}");
        main.step(Input::Message { peer, message: Message::Ack { durable: Lsn(1), applied: Lsn(1) } });
        assert_eq!(main.engine.graph.published(), Lsn(1), "{mode:?}");
    }
}

#[test]
fn blocked_commits_are_refused_once_enough_of_them_wait() {
    let config =
        EngineConfig { sync_policy: SyncPolicy::Block, blocked_bytes_max: 1, ..EngineConfig::default() };
    let (mut main, _, peer) = pair_with(SyncMode::Sync, config);
    main.propose();
    main.propose();
    assert_eq!(main.disk().outcomes(), [], "its replica is there");
    main.step(Input::PeerDown { peer, reason: "gone".into() });
    main.out.clear();
    main.propose();
    assert!(matches!(main.outcomes()[..], [Outcome::Failed(CommitError::ReplicasMissing(_))]));
    assert!(!main.out.iter().any(|e| matches!(e, Effect::WriteWal { .. })));
}

/// A restarted MAIN that lost its only record, and waits for its replica to give it back.
fn fetching() -> (Node, PeerId) {
    let (mut main, mut replica, peer) = pair(SyncMode::Sync);
    main.propose();
    main.disk();
    talk(&mut main, peer, &mut replica);
    let mut start = recovered(1);
    start.state = main.engine.state.clone();
    let mut out = Vec::new();
    let engine = Engine::start(Time(0), EngineConfig::default(), start, &mut out);
    let mut again = Node { engine, out, token: 0, answers_notes: true };
    let peer = dialled(&mut again);
    replica.step(Input::PeerUp { peer: PeerId(3), dialled: false, line: Line::default() });
    again.step(Input::PeerUp { peer, dialled: true, line: Line::default() });
    for message in again.sent() {
        replica.step(Input::Message { peer: PeerId(3), message }).disk();
    }
    for message in replica.sent() {
        again.step(Input::Message { peer, message });
    }
    assert_eq!(again.sent(), [Message::Fetch { from: Lsn(1) }]);
    (again, peer)
}

#[test]
fn a_replica_that_gives_nothing_back_does_not_hold_up_its_main_for_ever() {
    let (mut main, peer) = fetching();
    for _ in 0..9 {
        main.wait(SECOND).step(Input::Message { peer, message: Message::Pong { sequence: 0 } });
        assert!(!main.engine.shared().is_writable(), "what it gives back may have been told OK");
    }
    main.wait(SECOND);
    assert!(main.out.iter().any(|e| matches!(e, Effect::Hangup { peer: p, .. } if *p == peer)));
    assert!(main.engine.shared().is_writable());
}

#[test]
fn a_replica_that_gives_back_what_is_no_longer_wanted_is_greeted_anew() {
    let (mut main, peer) = fetching();
    main.admin(Admin::SetRoleMain { epoch: Some(5) }).disk();
    assert_eq!(main.answers(), [Ok(AdminAnswer::Done)]);
    main.wait(SECOND / 20);
    assert!(main.out.iter().any(|e| matches!(e, Effect::Hangup { peer: p, .. } if *p == peer)));
}

#[test]
fn a_node_that_stops_says_where_to_look_for_each_commit_that_waits() {
    let (mut main, _, _) = pair(SyncMode::StrictSync);
    main.propose();
    main.propose();
    main.out.clear();
    main.step(Input::Stop);
    let outcomes = main.outcomes();
    let [Outcome::InDoubt { position: first, .. }, Outcome::InDoubt { position: second, .. }] = outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!((first.lsn, second, second.epoch), (Lsn(1), main.engine.log.position(), first.epoch));
    let mut fresh = Node::main(1);
    fresh.propose();
    fresh.step(Input::Stop);
    assert_eq!(fresh.outcomes(), [Outcome::Failed(CommitError::Stopping)], "its epoch was still being saved");
}

#[test]
fn what_only_deletes_is_taken_at_the_memory_limit() {
    let (mut main, mut replica, peer) = pair(SyncMode::Sync);
    main.propose();
    main.disk();
    talk(&mut main, peer, &mut replica);
    assert!(matches!(main.outcomes()[..], [Outcome::Committed { .. }]));
    for node in [&mut main, &mut replica] {
        node.step(Input::Memory { enough: false });
    }

    main.propose();
    assert_eq!(main.outcomes(), [Outcome::Failed(CommitError::NoMemory)]);
    let graph = main.engine.graph.clone();
    let mut tx = graph.begin(true);
    let mut vertices = Vec::new();
    tx.scan_vertices(None, 2, &mut vertices);
    tx.delete_vertex(vertices[0]).expect("it has no edges");
    let commit = tx.finish().expect("nothing is wrong with it").expect("it writes");
    main.step(Input::Propose { token: Token(99), commit });
    main.disk();
    talk(&mut main, peer, &mut replica);
    assert!(matches!(main.outcomes()[..], [Outcome::Committed { .. }]), "the replica took it too");
    assert_eq!(replica.engine.graph.counts().vertices, 0);
}
