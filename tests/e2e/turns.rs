//! `kill -9` while a node turns to another reign: in a fence, a promotion, a demotion and a rewind. It comes
//! back before it or after it, never between.

use crate::phases::at_place;
use libtest_mimic::Trial;
use mg_tests::bolt::{self, Bolt, State, all_ready, state};
use mg_tests::chaos::LIMIT;
use mg_tests::chaos::book::{Book, Rounds, Told};
use mg_tests::chaos::writers::Writers;
use mg_tests::node::Node;
use mg_tests::wait;
use mgbolt::PackValue;
use mgnode_core::durability::{LoggedRecord, Scanner};
use std::path::Path;
use std::sync::Arc;

const TO_REPLICA: &str = "SET REPLICATION ROLE TO REPLICA WITH PORT 10000;";
const FENCE: &str = "FENCE REPLICATION EPOCH 2 BY \"a test\";";
const PROMOTE: &str = "SET REPLICATION ROLE TO MAIN WITH EPOCH 2;";

/// What is asked of the node that dies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Fence,
    Promotion,
    Demotion,
}

/// Where it dies in a rewind, and whether it is cut after that.
const REWINDS: [(&str, bool); 6] = [
    ("rewind-kept", false),
    ("rewind-marked", true),
    ("rewind-half-cut", true),
    ("repair-cut", true),
    ("rewind-cut", true),
    ("rewind-done", true),
];

pub(crate) fn tests() -> Vec<Trial> {
    let turns = [("fence", Turn::Fence), ("promotion", Turn::Promotion), ("demotion", Turn::Demotion)];
    let mut tests = Vec::new();
    for (word, turn) in turns {
        // The state file has its new name, or it has not.
        for (place, is_after) in [("state-written", false), ("state-named", true)] {
            let name = format!("kill_9_in_a_{word}_at_{}", place.replace('-', "_"));
            tests.push(at_place(name, move || dies_in_turn(turn, place, is_after)));
        }
    }
    for (place, is_after) in REWINDS {
        let name = format!("kill_9_in_a_rewind_at_{}", place.replace('-', "_"));
        tests.push(at_place(name, move || dies_in_rewind(place, is_after)));
    }
    tests
}

fn connect(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

fn run(node: &Node, query: &str) {
    connect(node).run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
}

fn register(main: &Node, replica: &Node) {
    bolt::register(&mut connect(main), "r", "SYNC", &replica.replication());
}

fn state_of(node: &Node) -> State {
    state(&mut connect(node)).expect("the node answers")
}

/// Asks what the node dies of, and starts it again.
fn die(node: &mut Node, query: &str) {
    let answer = connect(node).run(query);
    assert!(
        answer.as_ref().is_err_and(|e| e.is_outcome_unknown()),
        "{query}: it does not die of it: {answer:?}"
    );
    node.wait_dead();
    node.die_at(None);
    node.spawn();
}

fn dies_in_turn(turn: Turn, place: &str, is_after: bool) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [mut old, mut new] = ["old", "new"].map(|name| Node::start(dir.path(), name, &[]));
    run(&new, TO_REPLICA);
    register(&old, &new);
    let book = Arc::new(Book::default());
    let writers = Writers::start(book.clone(), 4);
    let write = |node: &Node, round: i64| {
        writers.write_to(&node.bolt().to_string(), round);
        wait::until("writes are acknowledged", LIMIT, || match book.acknowledged(round) {
            n if n >= 10 => Ok(()),
            n => Err(format!("{n} so far")),
        });
        writers.pause();
    };
    write(&old, 1);
    let target = if turn == Turn::Demotion { &mut old } else { &mut new };
    target.stop();
    target.die_at(Some(place));
    target.spawn();
    let ready =
        |old: &Node| wait::until("the replica is ready", LIMIT, || all_ready(&old.bolt().to_string(), 1));
    ready(&old);

    match turn {
        Turn::Fence => {
            die(&mut new, FENCE);
            let found = state_of(&new);
            assert_eq!(
                (found.role.as_str(), found.promised_number()),
                ("replica", if is_after { 2 } else { 1 })
            );
            if !is_after {
                // It obeys its MAIN as if nobody had asked.
                ready(&old);
                write(&old, 2);
            }
        }
        Turn::Promotion => {
            die(&mut new, PROMOTE);
            let found = state_of(&new);
            let expected = if is_after { ("main", 2) } else { ("replica", 1) };
            assert_eq!((found.role.as_str(), found.promised_number()), expected);
        }
        Turn::Demotion => {
            die(&mut old, TO_REPLICA);
            assert_eq!(state_of(&old).role, if is_after { "replica" } else { "main" });
            if !is_after {
                ready(&old);
                write(&old, 2);
            }
        }
    }

    // The move is brought to its end as if nobody had died.
    if state_of(&old).role == "main" {
        run(&old, TO_REPLICA);
    }
    if state_of(&new).role == "replica" {
        run(&new, FENCE);
        run(&new, PROMOTE);
    }
    register(&new, &old);
    wait::until("the replica is ready", LIMIT, || all_ready(&new.bolt().to_string(), 1));
    write(&new, 3);
    writers.stop();
    wait::until("the replica is ready", LIMIT, || all_ready(&new.bolt().to_string(), 1));
    for (name, node) in [("old", &old), ("new", &new)] {
        let wrong = book.compare(name, &mut connect(node), Rounds::All).expect("it answers");
        assert_eq!(wrong, [], "{place}");
    }
    let ends = [&old, &new].map(|node| (state_of(node).applied, state_of(node).chain));
    assert_eq!(ends[0], ends[1], "{place}");
}

/// A former MAIN, now REPLICA, that holds commits which the new MAIN lacks.
pub(crate) struct Parted {
    pub(crate) old: Node,
    pub(crate) new: Node,
    /// The last record that both have.
    pub(crate) common: String,
    /// Its number.
    pub(crate) common_lsn: i64,
}

/// Parts two logs: writes 1 and 2 are on both nodes, 10 to 23 on the old MAIN alone, 30 on the new one alone.
pub(crate) fn parted(dir: &Path, flags: &[&str]) -> Parted {
    let [old, mut new] = ["old", "new"].map(|name| Node::start(dir, name, flags));
    run(&new, TO_REPLICA);
    register(&old, &new);
    let text = "x".repeat(100_000);
    let write = |node: &Node, id: i64| {
        let answer = connect(node).run(&format!("CREATE (:W {{id: {id}, text: '{text}'}});"));
        Told::from_answer(answer.map(|result| result.summary))
    };
    for id in 1..=2 {
        let told = write(&old, id);
        assert!(matches!(told, Told::Ok { .. }), "{told:?}");
    }
    new.stop();
    for id in 10..24 {
        let told = write(&old, id);
        assert!(matches!(told, Told::Degraded { .. }), "{told:?}");
    }
    run(&old, TO_REPLICA);
    new.spawn();
    let State { epoch, applied, .. } = state_of(&new);
    run(&new, FENCE);
    run(&new, PROMOTE);
    let told = write(&new, 30);
    assert!(matches!(told, Told::Ok { .. }), "{told:?}");
    Parted { old, new, common: format!("{epoch}:{applied}"), common_lsn: applied }
}

pub(crate) fn ids(node: &Node) -> PackValue {
    connect(node).value("MATCH (w:W) WITH w.id AS id ORDER BY id RETURN collect(id);")
}

pub(crate) fn list(ids: impl IntoIterator<Item = i64>) -> PackValue {
    PackValue::List(ids.into_iter().map(PackValue::Int).collect())
}

/// The records of a segment, or of a part of a log that was kept aside.
fn records(path: &Path) -> Vec<LoggedRecord> {
    let bytes = std::fs::read(path).expect("it can be read");
    let Some(mut scanner) = Scanner::new(bytes.into()).expect("it is a segment") else { return Vec::new() };
    std::iter::from_fn(|| scanner.next_record().ok()).collect()
}

/// The files of a folder, by name; none where it is not there.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    paths.sort();
    paths
}

/// Checks that whatever was kept aside is the whole of the cut tail, and returns how many copies there are.
pub(crate) fn check_kept(data: &Path, tail: &[LoggedRecord]) -> usize {
    let kept = files(&data.join("diverged"));
    for path in &kept {
        // Where a record lies says how far its writer had synced; all else is as it was.
        let same = |(a, b): (&LoggedRecord, &LoggedRecord)| a.record == b.record && a.chain == b.chain;
        let found = records(path);
        let is_whole = found.len() == tail.len() && found.iter().zip(tail).all(same);
        assert!(is_whole, "{}: {} of {} records", path.display(), found.len(), tail.len());
    }
    kept.len()
}

/// Returns the records of a log after one of them.
pub(crate) fn tail_after(data: &Path, lsn: i64) -> Vec<LoggedRecord> {
    let all = files(&data.join("wal")).into_iter().flat_map(|path| records(&path));
    let tail: Vec<_> =
        all.filter(|logged| i64::try_from(logged.record.lsn.0).expect("a small log") > lsn).collect();
    assert_eq!(tail.len(), 14, "writes 10 to 23 are the tail");
    tail
}

fn dies_in_rewind(place: &str, is_after: bool) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let flags = ["--storage-wal-file-size-kib=64", "--storage-snapshot-interval-sec=0"];
    let Parted { mut old, new, common, common_lsn } = parted(dir.path(), &flags);
    let whole = list((1..=2).chain(10..24));
    assert_eq!(ids(&old), whole);
    let end = state_of(&old);
    old.stop();
    let tail = tail_after(&old.data, common_lsn);
    assert!(files(&old.data.join("wal")).len() > 3, "the tail begins in one segment and goes on in others");
    old.die_at(Some(place));
    old.spawn();
    let rewind = format!("REWIND REPLICATION TO \"{common}\";");
    die(&mut old, &rewind);
    let found = state_of(&old);
    assert_eq!(found.role, "replica", "{place}");
    if is_after {
        assert_eq!((found.durable, found.applied), (common_lsn, common_lsn), "{place}");
        assert_eq!(ids(&old), list(1..=2), "{place}");
    } else {
        assert_eq!(
            (found.durable, found.applied, found.chain),
            (end.durable, end.applied, end.chain),
            "{place}"
        );
        assert_eq!(ids(&old), whole, "{place}");
    }
    assert_eq!(check_kept(&old.data, &tail), 1, "{place}");
    run(&old, &rewind);
    assert_eq!(check_kept(&old.data, &tail), if is_after { 1 } else { 2 }, "no copy is written over");

    register(&new, &old);
    wait::until("the replica is ready", LIMIT, || all_ready(&new.bolt().to_string(), 1));
    run(&new, "CREATE (:W {id: 31});");
    let ends = [&old, &new].map(|node| (ids(node), state_of(node).applied, state_of(node).chain));
    assert_eq!(ends[0], ends[1], "{place}");
    assert_eq!(ends[0].0, list([1, 2, 30, 31]), "{place}");
    // As a power cut or a later start finds it.
    old.stop();
    old.spawn();
    wait::until("the replica is ready", LIMIT, || all_ready(&new.bolt().to_string(), 1));
    assert_eq!(ids(&old), list([1, 2, 30, 31]), "{place}");
}
