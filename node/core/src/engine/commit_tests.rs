//! What a commit promises, who waits for whom, and what is shown.

use super::*;

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
