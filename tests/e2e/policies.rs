//! What a node is told to do where replicas are missing: each policy in a process, seen by its clients.

use crate::turns::{Parted, check_kept, ids, list, parted, tail_after};
use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready, register, replicas, state};
use mg_tests::chaos::book::Told;
use mg_tests::node::Node;
use mg_tests::wait;
use mgbolt::PackValue;
use mgctl::query::QueryError;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const TO_REPLICA: &str = "SET REPLICATION ROLE TO REPLICA WITH PORT 10000;";

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::plain("with_block_a_commit_waits_unseen_until_its_replica_is_back", block),
        super::plain("with_block_a_client_that_waits_hears_yes_when_its_replica_is_back", block_and_return),
        super::plain("with_reject_nothing_is_written_without_the_replica", reject),
        super::plain("with_min_acks_one_of_two_replicas_is_enough", min_acks),
        super::plain("with_min_acks_and_reject_nothing_is_written_without_one_of_two", min_acks_reject),
        super::plain("with_in_doubt_wait_a_strict_commit_waits_for_its_outcome", in_doubt_wait),
        super::plain("with_a_lease_a_main_without_a_majority_takes_no_writes", lease),
        super::plain("with_main_confirm_required_a_restarted_main_waits_for_its_replica", confirm_by_replica),
        super::plain("with_main_confirm_required_an_operator_may_confirm", confirm_by_operator),
        super::plain("with_auto_rewind_a_diverged_replica_keeps_its_tail_aside_and_follows", auto_rewind),
    ]
}

fn connect(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

fn run(node: &Node, query: &str) {
    connect(node).run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
}

/// A MAIN that is given the flags, and replicas.
fn cluster<const N: usize>(dir: &Path, modes: [&str; N], flags: &[&str]) -> (Node, [Node; N]) {
    let main = Node::start(dir, "main", flags);
    let mut count = 0;
    let nodes = modes.map(|mode| {
        let node = Node::start(dir, &format!("replica{count}"), &[]);
        run(&node, TO_REPLICA);
        register(&mut connect(&main), &format!("r{count}"), mode, &node.replication());
        count += 1;
        node
    });
    (main, nodes)
}

fn ask(bolt: &mut Bolt, id: i64) -> Told {
    let answer = bolt.run(&format!("CREATE (:W {{id: {id}}});"));
    if let Err(QueryError::Server { position, code, .. }) = &answer {
        // A driver runs a transaction again after a transient error: nothing of it may be there.
        let is_transient = code.split('.').nth(1) == Some("TransientError");
        assert!(!(is_transient && position.is_some()), "{code} with {position:?}");
    }
    Told::from_answer(answer.map(|result| result.summary))
}

fn write(node: &Node, id: i64) -> Told {
    ask(&mut connect(node), id)
}

/// Writes, and waits for the answer on a thread of its own.
fn write_aside(node: &Node, id: i64) -> JoinHandle<Told> {
    let mut bolt = connect(node);
    std::thread::spawn(move || ask(&mut bolt, id))
}

fn assert_ok(node: &Node, id: i64) {
    let told = write(node, id);
    assert!(matches!(told, Told::Ok { .. }), "write {id}: {told:?}");
}

fn doubtful(told: Told) -> String {
    match told {
        Told::InDoubt { position: Some(position) } => position,
        other => panic!("it cannot be known: {other:?}"),
    }
}

/// The refusal of a write that is not written.
fn refusal(node: &Node, id: i64) -> (String, String) {
    let before = durable(node);
    let answer = connect(node).run(&format!("CREATE (:W {{id: {id}}});"));
    assert_eq!(durable(node), before, "it is refused before anything is written");
    match answer {
        Err(QueryError::Server { code, message, position: None }) => (code, message),
        other => panic!("a refusal was wanted, not {other:?}"),
    }
}

fn durable(node: &Node) -> i64 {
    state(&mut connect(node)).expect("the node answers").durable
}

fn outcome(node: &Node, position: &str) -> PackValue {
    connect(node).value(&format!("SHOW TRANSACTION OUTCOME \"{position}\";"))
}

fn wait_ready(main: &Node, count: usize) {
    wait::until("the replicas are ready", LIMIT, || all_ready(&main.bolt().to_string(), count));
}

/// Waits until MAIN no longer counts on a replica.
fn wait_lost(main: &Node, name: &str) {
    wait::until("MAIN sees that the replica is gone", LIMIT, || {
        let found = replicas(&mut connect(main)).expect("MAIN answers");
        match found.iter().find(|r| r.name == name) {
            Some(replica) if replica.status == "ready" => Err("it is ready"),
            _ => Ok(()),
        }
    });
}

/// Waits until a record is in the log of a MAIN.
fn wait_written(main: &Node, lsn: i64) {
    wait::until("the commit is written", LIMIT, || match durable(main) {
        found if found >= lsn => Ok(()),
        found => Err(format!("the log ends at {found}")),
    });
}

fn block() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let flags = ["--replication-sync-policy=block", "--replication-block-timeout=300ms"];
    let (mut main, [mut replica]) = cluster(dir.path(), ["SYNC"], &flags);
    assert_ok(&main, 1);
    replica.stop();
    wait_lost(&main, "r0");
    let positions = [doubtful(write(&main, 2)), doubtful(write(&main, 3))];
    for _ in 0..2 {
        for position in &positions {
            assert_eq!(outcome(&main, position), "in_doubt".into());
        }
        assert_eq!(ids(&main), list([1]), "what waits is not shown");
        // Nor after a crash.
        main.kill();
        main.spawn();
    }
    replica.spawn();
    wait_ready(&main, 1);
    for node in [&main, &replica] {
        for position in &positions {
            assert_eq!(outcome(node, position), "committed".into());
        }
        assert_eq!(ids(node), list([1, 2, 3]));
    }
    assert_ok(&main, 4);
}

fn block_and_return() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (main, [mut replica]) = cluster(dir.path(), ["SYNC"], &["--replication-sync-policy=block"]);
    assert_ok(&main, 1);
    replica.stop();
    wait_lost(&main, "r0");
    let end = durable(&main);
    let waiting = [2, 3].map(|id| write_aside(&main, id));
    wait_written(&main, end + 2);
    assert_eq!(ids(&main), list([1]), "what waits is not shown");
    replica.spawn();
    for client in waiting {
        let told = client.join().expect("a client does not panic");
        assert!(matches!(told, Told::Ok { .. }), "{told:?}");
    }
    for node in [&main, &replica] {
        assert_eq!(ids(node), list([1, 2, 3]));
    }
}

fn reject() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let flags = ["--replication-sync-policy=reject", "--replication-sync-timeout=500ms"];
    let (main, [mut replica]) = cluster(dir.path(), ["SYNC"], &flags);
    assert_ok(&main, 1);
    replica.stop();
    wait_lost(&main, "r0");
    for id in 10..13 {
        let (code, message) = refusal(&main, id);
        assert_eq!(code.split('.').nth(1), Some("ClientError"), "{code}");
        assert!(message.contains("'r0'") && message.contains("aborted on all instances"), "{message}");
    }
    replica.spawn();
    wait_ready(&main, 1);
    assert_ok(&main, 2);
    // One that it counts on falls silent while a commit is under way: that is written already.
    replica.signal("STOP");
    let position = doubtful(write(&main, 3));
    assert_eq!(outcome(&main, &position), "in_doubt".into());
    assert_eq!(ids(&main), list([1, 2]));
    replica.signal("CONT");
    wait_ready(&main, 1);
    for node in [&main, &replica] {
        assert_eq!(outcome(node, &position), "committed".into());
        assert_eq!(ids(node), list([1, 2, 3]));
    }
}

fn min_acks() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let flags = ["--replication-sync-min-acks=1", "--replication-sync-timeout=500ms"];
    let (main, [mut one, mut two]) = cluster(dir.path(), ["SYNC", "SYNC"], &flags);
    assert_ok(&main, 1);
    // It says nothing, and nobody waits for it.
    one.signal("STOP");
    assert_ok(&main, 2);
    assert_eq!(ids(&two), list([1, 2]));
    one.signal("CONT");
    wait_ready(&main, 2);
    one.stop();
    wait_lost(&main, "r0");
    assert_ok(&main, 3);
    two.stop();
    wait_lost(&main, "r1");
    let told = write(&main, 4);
    assert!(matches!(told, Told::Degraded { .. }), "{told:?}");
    one.spawn();
    two.spawn();
    wait_ready(&main, 2);
    assert_ok(&main, 5);
    for node in [&main, &one, &two] {
        wait::until("it has all", LIMIT, || match ids(node) {
            found if found == list(1..=5) => Ok(()),
            found => Err(format!("{found:?}")),
        });
    }
}

fn min_acks_reject() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let flags = ["--replication-sync-min-acks=1", "--replication-sync-policy=reject"];
    let (main, [mut one, mut two]) = cluster(dir.path(), ["SYNC", "SYNC"], &flags);
    one.stop();
    wait_lost(&main, "r0");
    assert_ok(&main, 1);
    two.stop();
    wait_lost(&main, "r1");
    let (_, message) = refusal(&main, 2);
    assert!(message.contains("'r0'") && message.contains("'r1'"), "{message}");
    one.spawn();
    wait::until("one of them is back", LIMIT, || match write(&main, 3) {
        Told::Ok { .. } => Ok(()),
        told @ Told::Failed { .. } => Err(format!("{told:?}")),
        other => panic!("{other:?}"),
    });
    for node in [&main, &one] {
        assert_eq!(ids(node), list([1, 3]));
    }
}

fn in_doubt_wait() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let flags = ["--replication-in-doubt=wait", "--replication-sync-timeout=500ms"];
    let (mut main, [replica]) = cluster(dir.path(), ["STRICT_SYNC"], &flags);
    assert_ok(&main, 1);
    replica.signal("STOP");
    let waiting = write_aside(&main, 2);
    // It is past its time-out, and its client has no answer yet.
    wait_lost(&main, "r0");
    assert_eq!(ids(&main), list([1]));
    assert!(!waiting.is_finished(), "{:?}", waiting.join());
    replica.signal("CONT");
    let told = waiting.join().expect("a client does not panic");
    // The replica shows it late, or in time.
    assert!(matches!(told, Told::Ok { .. } | Told::Degraded { .. }), "{told:?}");
    wait_ready(&main, 1);
    main.stop();

    // Its patience has an end.
    main.set_flags(&[&flags[..], &["--replication-block-timeout=1s"]].concat());
    main.spawn();
    wait_ready(&main, 1);
    replica.signal("STOP");
    let position = doubtful(write(&main, 3));
    assert_eq!(outcome(&main, &position), "in_doubt".into());
    replica.signal("CONT");
    wait_ready(&main, 1);
    for node in [&main, &replica] {
        wait::until("it is decided", LIMIT, || match outcome(node, &position) {
            PackValue::String(word) if word == "committed" => Ok(()),
            other => Err(format!("{other:?}")),
        });
        assert_eq!(ids(node), list([1, 2, 3]));
    }
}

fn lease() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let flags = ["--main-lease=1s", "--replication-sync-timeout=500ms"];
    let (main, [one, two]) = cluster(dir.path(), ["ASYNC", "ASYNC"], &flags);
    let goes_on = |id: i64| {
        wait::until("it hears a majority", LIMIT, || match write(&main, id) {
            Told::Ok { .. } => Ok(()),
            told @ Told::Failed { .. } => Err(format!("{told:?}")),
            other => panic!("{other:?}"),
        });
    };
    goes_on(1);
    one.signal("STOP");
    for id in 2..5 {
        goes_on(id);
    }
    two.signal("STOP");
    // Until the lease is over it may write; a commit that it ends in is in doubt.
    let mut may_be_there = Vec::new();
    let mut id = 9;
    let (code, message) = wait::until("its lease is over", LIMIT, || {
        id += 1;
        match write(&main, id) {
            Told::Failed { code, message } => Ok((code, message)),
            Told::Ok { .. } | Told::InDoubt { position: Some(_) } => {
                may_be_there.push(id);
                Err("it has a lease")
            }
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(code.split('.').nth(1), Some("TransientError"), "{code}: {message}");
    assert!(message.contains("--main-lease") && message.contains("Nothing was written"), "{message}");
    let (again, _) = refusal(&main, id + 1);
    assert_eq!(again, code);
    assert_eq!(connect(&main).value("RETURN 1;"), PackValue::Int(1), "reads go on");
    two.signal("CONT");
    goes_on(1000);
    one.signal("CONT");
    wait_ready(&main, 2);
    let all = list([1, 2, 3, 4].into_iter().chain(may_be_there).chain([1000]));
    for node in [&main, &one, &two] {
        assert_eq!(ids(node), all);
    }
}

/// A MAIN that came back and does not hear its replica.
fn unconfirmed(dir: &Path) -> (Node, Node) {
    let (mut main, [mut replica]) = cluster(dir, ["SYNC"], &["--main-confirm=required"]);
    assert!(state(&mut connect(&main)).expect("it answers").confirmed);
    assert_ok(&main, 1);
    replica.stop();
    main.stop();
    main.spawn();
    assert!(!state(&mut connect(&main)).expect("it answers").confirmed);
    let (code, message) = refusal(&main, 10);
    assert_eq!(code.split('.').nth(1), Some("TransientError"), "{code}");
    assert!(message.contains("CONFIRM REPLICATION ROLE MAIN"), "{message}");
    assert_eq!(ids(&main), list([1]), "reads go on");
    (main, replica)
}

fn confirm_by_replica() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (main, mut replica) = unconfirmed(dir.path());
    replica.spawn();
    wait_ready(&main, 1);
    assert!(state(&mut connect(&main)).expect("it answers").confirmed);
    assert_ok(&main, 2);
    assert_eq!(ids(&replica), list([1, 2]));
}

fn confirm_by_operator() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (mut main, mut replica) = unconfirmed(dir.path());
    run(&main, "CONFIRM REPLICATION ROLE MAIN;");
    assert!(state(&mut connect(&main)).expect("it answers").confirmed);
    let told = write(&main, 2);
    assert!(matches!(told, Told::Degraded { .. }), "its replica is away: {told:?}");
    // It holds for this life of it.
    main.stop();
    main.spawn();
    refusal(&main, 11);
    replica.spawn();
    wait_ready(&main, 1);
    assert_ok(&main, 3);
    for node in [&main, &replica] {
        assert_eq!(ids(node), list([1, 2, 3]));
    }
}

fn auto_rewind() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let Parted { old, new, common_lsn, .. } = parted(dir.path(), &["--auto-rewind"]);
    let tail = tail_after(&old.data, common_lsn);
    let register = format!("REGISTER REPLICA r SYNC TO \"{}\";", old.replication());
    // The first one tells it that it diverged; it is refused until the rest is out of the way.
    wait::until("it is told that it diverged", LIMIT, || match connect(&new).run(&register) {
        Err(QueryError::Server { message, .. }) if message.contains("Error: 3") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    wait::until("it can be registered", LIMIT, || connect(&new).run(&register).map(drop));
    wait_ready(&new, 1);
    assert_eq!(ids(&old), list([1, 2, 30]));
    assert_eq!(check_kept(&old.data, &tail), 1);
    assert_ok(&new, 31);
    let ends = [&old, &new].map(|node| state(&mut connect(node)).map(|s| (s.applied, s.chain)));
    let [Ok(old), Ok(new)] = ends else { panic!("{ends:?}") };
    assert_eq!(old, new);
}
