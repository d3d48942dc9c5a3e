//! `kill -9` in every phase of what a node does with its disk: the process dies at a named place of its
//! code, proves that it was there, starts again, and has all that was acknowledged.

use libtest_mimic::{Completion, Trial};
use mg_tests::bolt::{Bolt, all_ready, register, state};
use mg_tests::chaos::LIMIT;
use mg_tests::chaos::book::{Book, Rounds};
use mg_tests::chaos::writers::Writers;
use mg_tests::node::Node;
use mg_tests::wait;
use std::path::Path;
use std::sync::Arc;

/// Who dies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Main,
    Replica,
}

/// What brings it to the place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// Commits, from the first one after its start.
    Writes,
    /// The same, and nothing was ever written before.
    FirstWrites,
    /// Commits of 100 kB each, so that segments fill.
    LargeWrites,
    Snapshot,
    /// Its start, after `kill -9` under load.
    Start,
    /// Its start, with the trace of an unfinished write at the end of its log.
    StartTorn,
    /// The replica was away; MAIN's log goes back that far, its memory does not.
    CatchUpByLog,
    /// The replica was away for longer than the log reaches back.
    CatchUpBySnapshot,
}

const PHASES: &[(&str, Who, How)] = &[
    ("commit-written:3", Who::Main, How::Writes),
    ("commit-written:3", Who::Replica, How::Writes),
    ("commit-synced:3", Who::Main, How::Writes),
    ("commit-synced:3", Who::Replica, How::Writes),
    ("segment-full", Who::Main, How::LargeWrites),
    ("segment-full", Who::Replica, How::LargeWrites),
    ("segment-begun", Who::Main, How::LargeWrites),
    ("segment-begun", Who::Replica, How::LargeWrites),
    ("snapshot-half-written", Who::Main, How::Snapshot),
    ("snapshot-written", Who::Replica, How::Snapshot),
    ("snapshot-named", Who::Main, How::Snapshot),
    ("state-written", Who::Main, How::Writes),
    ("state-named", Who::Main, How::Writes),
    ("recovered", Who::Main, How::Start),
    ("repaired", Who::Replica, How::Start),
    ("repair-cut", Who::Main, How::StartTorn),
    ("repair-cut", Who::Replica, How::StartTorn),
    ("log-read-back", Who::Main, How::CatchUpByLog),
    ("commit-written", Who::Replica, How::CatchUpByLog),
    ("snapshot-opened", Who::Main, How::CatchUpBySnapshot),
    ("snapshot-half-received", Who::Replica, How::CatchUpBySnapshot),
    ("snapshot-received", Who::Replica, How::CatchUpBySnapshot),
    ("install-begun", Who::Replica, How::CatchUpBySnapshot),
    ("install-half-done", Who::Replica, How::CatchUpBySnapshot),
    ("install-cleared", Who::Replica, How::CatchUpBySnapshot),
];

/// With a STRICT_SYNC replica: a record is durable everywhere, it is noted that it is decided, it is shown.
const STRICT_PHASES: &[(&str, Who, How)] = &[
    ("commit-written:3", Who::Main, How::Writes),
    ("commit-written:3", Who::Replica, How::Writes),
    ("commit-synced:3", Who::Main, How::Writes),
    ("commit-synced:3", Who::Replica, How::Writes),
    ("decided-due", Who::Main, How::FirstWrites),
    ("decided-written", Who::Main, How::FirstWrites),
    ("decided-written", Who::Replica, How::FirstWrites),
    ("decided-synced", Who::Main, How::FirstWrites),
    ("decided-synced", Who::Replica, How::FirstWrites),
    ("decided-due:3", Who::Main, How::Writes),
    ("decided-due:3", Who::Replica, How::Writes),
    ("decided-written:3", Who::Main, How::Writes),
    ("decided-written:3", Who::Replica, How::Writes),
];

pub(crate) fn tests() -> Vec<Trial> {
    let all = |mode: &'static str, phases: &'static [(&'static str, Who, How)]| {
        phases.iter().map(move |(place, who, how)| (mode, *place, *who, *how))
    };
    let test = |(mode, place, who, how): (&'static str, &'static str, Who, How)| {
        let of = if who == Who::Main { "main" } else { "a_replica" };
        let by = match how {
            How::CatchUpByLog => "_in_catch_up",
            How::FirstWrites => "_of_the_first_commit",
            _ => "",
        };
        let with = if mode == "STRICT_SYNC" { "_with_strict_sync" } else { "" };
        let name = place.split(':').next().expect("a split gives one part").replace('-', "_");
        at_place(format!("kill_9_of_{of}_at_{name}{by}{with}"), move || dies(mode, place, who, how))
    };
    all("SYNC", PHASES).chain(all("STRICT_SYNC", STRICT_PHASES)).map(test).collect()
}

/// A test that needs a place in the code of a node.
pub(crate) fn at_place(name: String, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || {
        if !cfg!(debug_assertions) {
            return Ok(Completion::ignored_with("the places are only in builds with debug assertions"));
        }
        test();
        Ok(Completion::Completed)
    })
}

fn connect(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

/// The trace of a write of which only the first bytes reached the disk.
fn tear(node: &Node) {
    let mut segments: Vec<_> = std::fs::read_dir(node.data.join("wal"))
        .expect("the log is there")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    segments.sort();
    for path in segments.iter().rev() {
        let mut bytes = std::fs::read(path).expect("it can be read");
        let Some(last) = bytes.iter().rposition(|b| *b != 0) else { continue };
        bytes[last + 1..last + 9].fill(0x55);
        return std::fs::write(path, bytes).expect("it can be written");
    }
    panic!("no segment is in use");
}

fn dies(mode: &str, place: &str, who: Who, how: How) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let flags = ["--storage-wal-file-size-kib=64", "--storage-snapshot-interval-sec=0"];
    let mut nodes = ["main", "replica"].map(|name| Node::start(dir.path(), name, &flags));
    connect(&nodes[1]).run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;").expect("it becomes REPLICA");
    register(&mut connect(&nodes[0]), "r", mode, &nodes[1].replication());
    let target = usize::from(who == Who::Replica);
    let main = nodes[0].bolt().to_string();
    let book = Arc::new(Book::of_one_main());
    let writers = Writers::start(book.clone(), 4);
    let write = |round: i64, least: usize| {
        writers.write_to(&main, round);
        wait::until("writes are acknowledged", LIMIT, || match book.answered(round) {
            n if n >= least => Ok(()),
            n => Err(format!("{n} so far")),
        });
    };
    if how != How::FirstWrites {
        write(1, 10);
    }
    writers.pause();

    match how {
        How::Writes | How::FirstWrites | How::LargeWrites | How::Snapshot => {
            nodes[target].stop();
            nodes[target].die_at(Some(place));
            nodes[target].spawn();
            wait::until("the replica is ready", LIMIT, || all_ready(&main, 1));
            match how {
                How::Writes | How::FirstWrites => writers.write_to(&main, 2),
                How::Snapshot => {
                    // It dies before it answers.
                    let _ = connect(&nodes[target]).run("CREATE SNAPSHOT;");
                }
                _ => large_writes(&main, 30),
            }
            nodes[target].wait_dead();
        }
        How::Start | How::StartTorn => {
            writers.write_to(&main, 2);
            wait::until("writes are acknowledged", LIMIT, || match book.answered(2) {
                0..10 => Err("few"),
                _ => Ok(()),
            });
            nodes[target].kill();
            writers.pause();
            if how == How::StartTorn {
                tear(&nodes[target]);
            }
            nodes[target].die_at(Some(place));
            nodes[target].launch();
            nodes[target].wait_dead();
        }
        How::CatchUpByLog | How::CatchUpBySnapshot => {
            nodes[1].stop();
            write(2, 20);
            writers.pause();
            if how == How::CatchUpBySnapshot {
                // For one that it saw go it would keep the log.
                nodes[0].stop();
                nodes[0].spawn();
                large_writes(&main, 15);
                for _ in 0..3 {
                    large_writes(&main, 2);
                    connect(&nodes[0]).run("CREATE SNAPSHOT;").expect("a snapshot");
                }
            }
            nodes[0].stop();
            nodes[target].die_at(Some(place));
            match who {
                Who::Main => {
                    nodes[0].launch();
                    nodes[1].launch();
                }
                Who::Replica => {
                    nodes[0].spawn();
                    nodes[1].launch();
                }
            }
            nodes[target].wait_dead();
            nodes[target].die_at(None);
            // A MAIN that was launched may be on its way.
            if who == Who::Main {
                nodes[1].wait_ready();
            }
        }
    }

    writers.pause();
    nodes[target].die_at(None);
    nodes[target].spawn();
    wait::until("the replica is ready", LIMIT, || all_ready(&main, 1));
    write(3, 10);
    writers.pause();
    writers.stop();
    wait::until("the replica is ready", LIMIT, || all_ready(&main, 1));
    let untrue = book.compare_outcomes("main", &mut connect(&nodes[0])).expect("it answers");
    assert_eq!(untrue, [], "{place}");
    let mut ends = Vec::new();
    for (name, node) in ["main", "replica"].iter().zip(&nodes) {
        let mut bolt = connect(node);
        assert_eq!(book.compare(name, &mut bolt, Rounds::All).expect("it answers"), [], "{place}");
        let end = state(&mut bolt).expect("it answers");
        ends.push((end.applied, end.chain, bolt.value("MATCH (n) RETURN count(n);")));
    }
    assert_eq!(ends[0], ends[1], "{place}");
    assert_no_leftovers(&nodes[target].data);
}

/// Writes until it is done or the node is gone.
fn large_writes(main: &str, count: usize) {
    let Ok(mut bolt) = Bolt::connect(main) else { return };
    let text = "x".repeat(100_000);
    for i in 0..count {
        if bolt.run(&format!("CREATE (:Large {{n: {i}, text: '{text}'}});")).is_err() {
            return;
        }
    }
}

/// What was not finished is gone after a start.
fn assert_no_leftovers(data: &Path) {
    for folder in [data.to_owned(), data.join("snapshots")] {
        for entry in std::fs::read_dir(folder).expect("it is there") {
            let path = entry.expect("it can be read").path();
            let is_unfinished =
                path.extension().is_some_and(|e| e == "tmp") || path.ends_with("install.snap");
            assert!(!is_unfinished, "{} was left", path.display());
        }
    }
}
