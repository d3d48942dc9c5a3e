//! Which snapshot a replica is sent and from where on, and which files and which log stay.

use super::*;
use crate::types::{NodeId, SyncMode};

fn epoch() -> Epoch {
    Epoch { number: 1, node: NodeId(1), incarnation: 1 }
}

fn file(lsn: u64) -> SnapshotId {
    let position = Position { epoch: epoch(), lsn: Lsn(lsn) };
    SnapshotId { position, chain: lsn, bytes: 1000, digest: u128::from(lsn) }
}

/// A MAIN whose log holds records 21 to 30, with these snapshot files.
fn main_with(snapshots: &[u64]) -> Node {
    let mut start = recovered(1);
    start.state.promised = epoch();
    for lsn in 1..=30 {
        start.graph.apply(Lsn(lsn), &[]).expect("a record that does nothing");
        start.graph.publish(Lsn(lsn), lsn);
    }
    start.last = Position { epoch: epoch(), lsn: Lsn(30) };
    start.history.note(epoch(), Lsn(1));
    (start.chain, start.ts, start.wal_from) = (30, 30, Lsn(21));
    start.snapshots = snapshots.iter().map(|lsn| file(*lsn)).collect();
    let mut out = Vec::new();
    let engine = Engine::start(Time(0), EngineConfig::default(), start, &mut out);
    Node { engine, out: Vec::new(), token: 0, answers_notes: true }
}

fn replica_with(partial: Option<PartialSnapshot>) -> Node {
    let mut node = Node::replica(2);
    node.step(Input::PartialKept { partial });
    node
}

/// Answers reads of a log that does not reach back that far.
fn read_nothing(main: &mut Node) {
    while let Some(at) = main.out.iter().position(|e| matches!(e, Effect::ReadWal { .. })) {
        let Effect::ReadWal { peer, from, .. } = main.out.remove(at) else { unreachable!("just seen") };
        main.step(Input::WalRead { peer, from, result: Ok(Vec::new()) });
    }
}

/// Returns which file is sent, and from where on.
fn sending(main: &mut Node) -> Option<(SnapshotId, u64)> {
    let at = main.out.iter().position(|e| matches!(e, Effect::SendSnapshot { .. }))?;
    match main.out.remove(at) {
        Effect::SendSnapshot { snapshot, offset, .. } => Some((snapshot, offset)),
        _ => unreachable!("just seen"),
    }
}

fn sent_to(main: &mut Node, partial: Option<PartialSnapshot>) -> Option<(SnapshotId, u64)> {
    register(main, SyncMode::Async, &mut replica_with(partial));
    read_nothing(main);
    sending(main)
}

#[test]
fn a_replica_that_the_log_does_not_reach_is_sent_the_newest_file() {
    assert_eq!(sent_to(&mut main_with(&[20, 25]), None), Some((file(25), 0)));
}

#[test]
fn a_part_of_a_file_that_is_still_there_is_completed() {
    let part = |lsn, bytes| Some(PartialSnapshot { snapshot: file(lsn), bytes });
    assert_eq!(sent_to(&mut main_with(&[20, 25]), part(20, 400)), Some((file(20), 400)));
    assert_eq!(sent_to(&mut main_with(&[20, 25]), part(25, 1000)), Some((file(25), 1000)));
    // Gone, or of no use since the log after it is gone.
    assert_eq!(sent_to(&mut main_with(&[25]), part(20, 400)), Some((file(25), 0)));
    assert_eq!(sent_to(&mut main_with(&[10, 25]), part(10, 400)), Some((file(25), 0)));
    // The same graph, and other bytes.
    let other = PartialSnapshot { snapshot: SnapshotId { digest: 7, ..file(20) }, bytes: 400 };
    assert_eq!(sent_to(&mut main_with(&[20, 25]), Some(other)), Some((file(25), 0)));
}

#[test]
fn where_no_file_leads_to_the_log_one_is_written_first() {
    let mut main = main_with(&[10]);
    assert_eq!(sent_to(&mut main, None), None);
    assert!(main.out.iter().any(|e| matches!(e, Effect::WriteSnapshot { .. })));
    main.step(Input::SnapshotWritten { result: Ok(file(30)) });
    assert_eq!(sending(&mut main), Some((file(30), 0)));
}

#[test]
fn a_file_that_cannot_be_read_is_not_sent_again() {
    let mut main = main_with(&[20, 25]);
    let mut replica = replica_with(None);
    let peer = register(&mut main, SyncMode::Async, &mut replica);
    read_nothing(&mut main);
    assert_eq!(sending(&mut main), Some((file(25), 0)));
    main.step(Input::SnapshotSent { peer, result: Err("it is damaged".into()) });
    main.step(Input::PeerDown { peer, reason: "hung up".into() });
    main.wait(main.engine.config.redial_max);
    let peer = dialled(&mut main);
    replica.step(Input::PeerDown { peer: PeerId(1), reason: "hung up".into() });
    replica.step(Input::PeerUp { peer: PeerId(1), dialled: false, line: Line::default() });
    main.step(Input::PeerUp { peer, dialled: true, line: Line::default() });
    talk(&mut main, peer, &mut replica);
    read_nothing(&mut main);
    assert_eq!(sending(&mut main), Some((file(20), 0)));
}

/// Returns what is let go of: files, and the log before a record.
fn dropped(main: &mut Node) -> (Vec<Lsn>, Option<Lsn>) {
    let mut files = Vec::new();
    let mut log = None;
    main.out.retain(|e| match e {
        Effect::DropSnapshot { lsn } => {
            files.push(*lsn);
            false
        }
        Effect::DropWal { before } => {
            log = Some(*before);
            false
        }
        _ => true,
    });
    (files, log)
}

#[test]
fn log_goes_only_where_two_snapshots_cover_it() {
    let mut main = main_with(&[]);
    main.step(Input::SnapshotWritten { result: Ok(file(22)) });
    assert_eq!(dropped(&mut main), (vec![], None), "one file alone could be damaged");
    main.step(Input::SnapshotWritten { result: Ok(file(25)) });
    assert_eq!(dropped(&mut main), (vec![], Some(Lsn(22))));
    main.step(Input::SnapshotWritten { result: Ok(file(26)) });
    main.step(Input::SnapshotWritten { result: Ok(file(30)) });
    assert_eq!(dropped(&mut main), (vec![Lsn(22)], Some(Lsn(26))), "three files are kept");
}

#[test]
fn file_and_log_stay_for_a_transfer_and_a_while_after_it_was_cut_off() {
    let mut main = main_with(&[22]);
    let mut replica = replica_with(None);
    let peer = register(&mut main, SyncMode::Async, &mut replica);
    read_nothing(&mut main);
    assert_eq!(sending(&mut main), Some((file(22), 0)));
    let write = |main: &mut Node, lsns: &[u64]| {
        for lsn in lsns {
            main.step(Input::SnapshotWritten { result: Ok(file(*lsn)) });
        }
        dropped(main)
    };
    assert_eq!(write(&mut main, &[24, 25, 26, 27]), (vec![Lsn(24)], Some(Lsn(22))), "it is being sent");
    main.step(Input::PeerDown { peer, reason: "lost".into() });
    assert_eq!(write(&mut main, &[28]), (vec![Lsn(25)], None), "it may come back");
    main.engine.config.keep_for_absent_bytes = 0;
    assert_eq!(write(&mut main, &[29]), (vec![Lsn(22), Lsn(26)], Some(Lsn(28))), "it was away too long");
}

#[test]
fn a_part_that_the_log_has_overtaken_is_forgotten() {
    let mut main = main_with(&[20, 25]);
    let mut replica = replica_with(Some(PartialSnapshot { snapshot: file(0), bytes: 10 }));
    register(&mut main, SyncMode::Async, &mut replica);
    assert!(replica.out.iter().any(|e| matches!(e, Effect::DropPartial)));
}
