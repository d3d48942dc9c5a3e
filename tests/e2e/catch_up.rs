//! A replica that has nothing comes to a large graph, whatever ends on the way.

use crate::faults::{Cut, link};
use crate::phases::at_place;
use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready, replicas, state};
use mg_tests::chaos::book::{Book, Rounds};
use mg_tests::chaos::writers::Writers;
use mg_tests::node::Node;
use mg_tests::{made, wait};
use mgbolt::PackValue;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Only so that a broken node fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(180);
const VERTICES: i64 = 100_000;
const EDGES: i64 = 1_900_000;
/// So much of the snapshot has come before anything is killed.
const BEGUN_BYTES: u64 = 1 << 20;

pub(crate) fn tests() -> Vec<Trial> {
    const CUT: &str = "a_snapshot_goes_on_where_its_link_was_cut";
    vec![
        super::plain(
            "two_million_elements_reach_a_replica_although_both_sides_are_killed",
            killed_on_the_way,
        ),
        at_place("two_replicas_catch_up_at_once_while_clients_write".to_owned(), two_at_once),
        match cfg!(debug_assertions) {
            true => link(CUT, cut_on_the_way),
            false => at_place(CUT.to_owned(), cut_on_the_way),
        },
    ]
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

/// Says why not, until a part of a snapshot of so many bytes has come, and not all of it.
fn some(node: &Node, total: u64) -> Result<(), String> {
    match kept(node) {
        Some(bytes) if (BEGUN_BYTES..total).contains(&bytes) => Ok(()),
        other => Err(format!("{other:?} of {total} bytes have come")),
    }
}

/// Makes a node a REPLICA, and returns what its MAIN is to be asked.
fn to_be_registered(replica: &Node, name: &str) -> String {
    connect(replica).run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;").expect("it becomes REPLICA");
    format!("REGISTER REPLICA {name} ASYNC TO \"{}\";", replica.replication())
}

/// Asks a query, and waits for its answer on a thread of its own.
fn aside(node: &Node, query: String) -> JoinHandle<Result<(), mgctl::query::QueryError>> {
    let address = node.bolt().to_string();
    std::thread::spawn(move || Bolt::connect(&address).expect("MAIN answers").run(&query).map(drop))
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
    let register = to_be_registered(&replica, "r");
    let registered = aside(&main, register);
    wait::until("a part of the snapshot has come", LIMIT, || some(&replica, total));
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

/// Starts a MAIN with a snapshot of 27 MB, behind which its log does not reach.
fn grown(dir: &Path) -> Node {
    let flags = ["--storage-wal-file-size-kib=64", "--storage-snapshot-interval-sec=0"];
    let mut main = Node::start(dir, "main", &flags);
    let mut bolt = connect(&main);
    let text = "x".repeat(1 << 20);
    let write = |bolt: &mut Bolt, n: i64| {
        let parameters = mgbolt::Map::new().with("text", text.as_str()).with("n", n);
        bolt.run_with("CREATE (:Large {n: $n, text: $text});", parameters).expect("it is written");
    };
    for n in 0..24 {
        write(&mut bolt, n);
    }
    for n in 24..27 {
        write(&mut bolt, n);
        bolt.run("CREATE SNAPSHOT;").expect("a snapshot");
    }
    // Its memory reaches back further.
    main.stop();
    main.spawn();
    main
}

/// A replica that stands still inside the first snapshot that comes.
fn standing_still(dir: &Path, main: &Node, name: &str) -> Node {
    let mut replica = Node::new(dir, name, &["--log-level=INFO"]);
    replica.stop_at(Some("snapshot-half-received:2"));
    replica.spawn();
    replica.stop_at(None);
    let registered = aside(main, to_be_registered(&replica, name));
    replica.wait_stopped();
    registered.join().expect("it does not panic").expect("it registers, and goes on in the background");
    assert!(kept(&replica).is_some_and(|bytes| bytes > 0), "a part has come");
    replica
}

/// Checks that two nodes are equal, as far as counts, sums and the chain of their logs tell.
fn assert_equal(main: &Node, replica: &Node) {
    let found = [main, replica].map(|node| {
        let mut bolt = connect(node);
        let large = ["count(l)", "sum(l.n)", "sum(size(l.text))"]
            .map(|of| bolt.value(&format!("MATCH (l:Large) RETURN {of};")));
        let end = state(&mut bolt).expect("it answers");
        (storage(&mut bolt, "vertex_count"), large, end.applied, end.chain)
    });
    assert_eq!(found[0].1, [27, 26 * 27 / 2, 27 << 20].map(PackValue::Int));
    assert_eq!(found[0], found[1]);
}

fn two_at_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let main = grown(dir.path());
    let book = Arc::new(Book::of_one_main());
    let writers = Writers::start(book.clone(), 4);
    let write = |round: i64| {
        writers.write_to(&main.bolt().to_string(), round);
        wait::until("writes are acknowledged", LIMIT, || match book.acknowledged(round) {
            0..20 => Err("few"),
            _ => Ok(()),
        });
    };
    write(1);
    // Clients write on, from here to the end.
    let replicas = ["one", "two"].map(|name| standing_still(dir.path(), &main, name));
    write(2);
    for replica in &replicas {
        assert!(kept(replica).is_some(), "it is inside the transfer still");
        replica.signal("CONT");
    }
    write(3);
    wait::until("both replicas are ready", LIMIT, || all_ready(&main.bolt().to_string(), 2));
    write(4);
    writers.pause();
    writers.stop();
    wait::until("both replicas are ready", LIMIT, || all_ready(&main.bolt().to_string(), 2));
    for replica in &replicas {
        assert!(!offsets(&replica.log_file()).is_empty(), "it came by a snapshot");
        let wrong = book.compare("replica", &mut connect(replica), Rounds::All).expect("it answers");
        assert_eq!(wrong, []);
        assert_equal(&main, replica);
    }
}

fn cut_on_the_way() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let main = grown(dir.path());
    let replica = standing_still(dir.path(), &main, "replica");
    let first = kept(&replica).expect("a part has come");
    let cuts = [true, false].map(|way| Cut::new(replica.ip, way).expect("it worked before"));
    replica.signal("CONT");
    wait::until("MAIN sees that the link is cut", LIMIT, || {
        let found = replicas(&mut connect(&main)).expect("MAIN answers");
        if found.iter().all(|r| r.status == "invalid") { Ok(()) } else { Err(format!("{found:?}")) }
    });
    connect(&main).run("CREATE (:Later);").expect("MAIN goes on without it");
    assert_eq!(storage(&mut connect(&replica), "vertex_count"), 0, "it shows nothing of a part");
    drop(cuts);
    wait::until("the replica is ready", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    let offsets = offsets(&replica.log_file());
    assert!(matches!(offsets[..], [at] if at >= first), "it began at {offsets:?}, {first} had come");
    assert_equal(&main, &replica);
    assert_eq!(kept(&replica), None, "nothing is left of the part");
}
