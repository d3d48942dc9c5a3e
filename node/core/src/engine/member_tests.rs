//! Roles, epochs and registrations: who is MAIN, who follows, and what each keeps of that.

use super::*;

#[test]
fn a_replica_is_ready_when_its_registration_is_answered() {
    let (mut main, _, _) = pair(SyncMode::Sync);
    main.admin(Admin::ShowReplicas);
    let answers = main.answers();
    let [Ok(AdminAnswer::Replicas(rows))] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((rows[0].status, rows[0].behind), ("ready", 0));
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
