//! A replica that has nothing comes to a large graph, whatever ends on the way.

use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready};
use mg_tests::node::Node;
use mg_tests::{made, wait};
use mgbolt::PackValue;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Only so that a broken node fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(180);
const VERTICES: i64 = 100_000;
const EDGES: i64 = 1_900_000;
/// So much of the snapshot has come before anything is killed.
const BEGUN_BYTES: u64 = 1 << 20;

pub(crate) fn tests() -> Vec<Trial> {
    vec![super::plain(
        "two_million_elements_reach_a_replica_although_both_sides_are_killed",
        killed_on_the_way,
    )]
}

fn connect(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

/// How many bytes of an unfinished snapshot a node keeps.
fn kept(node: &Node) -> Option<u64> {
    fs::metadata(node.dir.join("data/snapshots/incoming.part")).ok().map(|m| m.len())
}

fn storage(bolt: &mut Bolt, what: &str) -> i64 {
    let rows = bolt.run("SHOW STORAGE INFO;").expect("a node says what it holds").rows;
    let row = rows.into_iter().find(|row| row[0] == PackValue::from(what));
    match row.unwrap_or_else(|| panic!("no row {what}"))[1] {
        PackValue::Int(count) => count,
        ref other => panic!("{what} is a count, not {other:?}"),
    }
}

/// Returns where the transfers went on that came to their end, as the node's log says.
fn offsets(log: &Path) -> Vec<u64> {
    let text = fs::read_to_string(log).expect("the node writes a log");
    let ended = text.lines().filter(|line| line.contains("a snapshot has come in"));
    ended
        .map(|line| {
            let (_, after) = line.rsplit_once("offset=").expect("the line says where it began");
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().expect("a number")
        })
        .collect()
}

fn killed_on_the_way() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (vertices, edges) = (VERTICES.unsigned_abs(), EDGES.unsigned_abs());
    let total =
        made::snapshot(&dir.path().join("main/data"), 0xA1, vertices, edges).expect("it can be written");
    let flags = ["--log-level=INFO"];
    let [mut main, mut replica] = ["main", "replica"].map(|name| Node::start(dir.path(), name, &flags));
    assert_eq!(storage(&mut connect(&main), "edge_count"), EDGES);
    connect(&replica).run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;").expect("it becomes REPLICA");
    let register = format!("REGISTER REPLICA r ASYNC TO \"{}\";", replica.replication());
    let registered = {
        let address = main.bolt().to_string();
        std::thread::spawn(move || Bolt::connect(&address).expect("MAIN answers").run(&register).map(drop))
    };
    let some = |node: &Node| match kept(node) {
        Some(bytes) if (BEGUN_BYTES..total).contains(&bytes) => Ok(()),
        other => Err(format!("{other:?} of {total} bytes have come")),
    };
    wait::until("a part of the snapshot has come", LIMIT, || some(&replica));
    replica.kill();
    registered.join().expect("it does not panic").expect("it registers, and goes on in the background");
    let first = kept(&replica).expect("what has come stays");
    assert!(first >= BEGUN_BYTES, "{first} bytes");
    // MAIN goes on meanwhile, and then ends too.
    let mut bolt = connect(&main);
    for n in 0..50 {
        bolt.run(&format!("CREATE (:Later {{n: {n}}});")).expect("MAIN goes on without it");
    }
    main.kill();
    replica.spawn();
    main.spawn();
    let mut reader = connect(&replica);
    wait::until("the replica is ready", LIMIT, || {
        // The old state or the new one, nothing between.
        let (vertices, edges) = (storage(&mut reader, "vertex_count"), storage(&mut reader, "edge_count"));
        assert!(vertices == 0 || vertices >= VERTICES, "{vertices} vertices are shown");
        assert!(edges == 0 || edges == EDGES, "{edges} edges are shown");
        all_ready(&main.bolt().to_string(), 1)
    });
    let offsets = offsets(&replica.log_file());
    assert!(
        matches!(offsets[..], [at] if at > 0 && at <= first),
        "it began at {offsets:?}, {first} had come"
    );
    for node in [&main, &replica] {
        let mut bolt = connect(node);
        assert_eq!(storage(&mut bolt, "vertex_count"), VERTICES + 50);
        assert_eq!(storage(&mut bolt, "edge_count"), EDGES);
        assert_eq!(bolt.value("MATCH (n:Later) RETURN sum(n.n);"), PackValue::Int(49 * 50 / 2));
    }
    assert_eq!(kept(&replica), None, "nothing is left of the part");
}
