//! A rolling upgrade over a change of the replication protocol: nodes that speak an older one, as MAIN and as
//! REPLICA, beside newer ones, while clients write.

use crate::phases::at_place;
use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready, register, state};
use mg_tests::chaos::LIMIT;
use mg_tests::chaos::book::{Book, Rounds};
use mg_tests::chaos::writers::Writers;
use mg_tests::node::Node;
use mg_tests::wait;
use mgbolt::PackValue;
use std::sync::Arc;

/// The protocol before the newest one.
const OLDER: Option<u16> = Some(mgnode_core::replication::PROTOCOL - 1);

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        at_place("a_cluster_is_upgraded_node_by_node_while_clients_write".to_owned(), upgraded),
        at_place("a_newer_main_leads_an_older_replica_and_an_older_one_a_newer".to_owned(), across),
    ]
}

fn connect(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

fn run(node: &Node, query: &str) {
    connect(node).run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
}

/// A node that is not started yet; `OLDER`, or the newest.
fn node(dir: &std::path::Path, name: &str, protocol: Option<u16>) -> Node {
    let flags = ["--storage-wal-file-size-kib=64", "--storage-snapshot-interval-sec=0", "--log-level=INFO"];
    let mut node = Node::new(dir, name, &flags);
    node.limit_protocol(protocol);
    node
}

fn add(main: &Node, replica: &mut Node, name: &str, mode: &str) {
    replica.spawn();
    run(replica, "SET REPLICATION ROLE TO REPLICA WITH PORT 10000;");
    register(&mut connect(main), name, mode, &replica.replication());
}

fn wait_ready(main: &Node, count: usize) {
    wait::until("the replicas are ready", LIMIT, || all_ready(&main.bolt().to_string(), count));
}

/// Whether a REPLICA was told of its cluster, which only a newer MAIN does.
fn knows_its_cluster(node: &Node) -> bool {
    let found = connect(node).run("SHOW REPLICATION STATE;").expect("it answers");
    let column = found.fields.iter().position(|f| f == "cluster_id").expect("there is such a column");
    found.rows[0][column] != PackValue::Null
}

/// Writes more than the log keeps, so that a node without any of it needs a snapshot.
fn outgrow_the_log(main: &Node) {
    let text = "x".repeat(100_000);
    let write = |count: usize| {
        for _ in 0..count {
            run(main, &format!("CREATE (:Large {{text: '{text}'}});"));
        }
    };
    write(15);
    for _ in 0..3 {
        write(2);
        run(main, "CREATE SNAPSHOT;");
    }
}

fn assert_came_by_snapshot(node: &Node) {
    assert!(!node.log_lines("a snapshot has come in").is_empty(), "it came by the log");
}

fn assert_equal(book: &Book, nodes: &[&Node]) {
    let ends = nodes.iter().map(|node| {
        let mut bolt = connect(node);
        let name = node.dir.display().to_string();
        assert_eq!(book.compare(&name, &mut bolt, Rounds::All).expect("it answers"), [], "{name}");
        let end = state(&mut bolt).expect("it answers");
        let large = bolt.value("MATCH (l:Large) RETURN count(l);");
        (end.applied, end.chain, large, bolt.value("MATCH (n) RETURN count(n);"))
    });
    let ends: Vec<_> = ends.collect();
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
}

/// Clients that write on as long as this lives.
struct Load {
    book: Arc<Book>,
    writers: Writers,
    round: i64,
}

impl Load {
    fn start() -> Load {
        let book = Arc::new(Book::of_one_main());
        Load { writers: Writers::start(book.clone(), 2), book, round: 0 }
    }

    /// Waits until MAIN has answered some more writes. They go on after that.
    fn goes_on(&mut self, main: &Node) {
        self.round += 1;
        let round = self.round;
        self.writers.write_to(&main.bolt().to_string(), round);
        wait::until("writes are acknowledged", LIMIT, || match self.book.answered(round) {
            0..10 => Err("few"),
            _ => Ok(()),
        });
    }

    fn stop(self) -> Arc<Book> {
        self.writers.pause();
        self.writers.stop();
        self.book
    }
}

fn upgraded() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [mut main, mut one, mut two] = ["main", "one", "two"].map(|name| node(dir.path(), name, OLDER));
    main.spawn();
    add(&main, &mut one, "one", "SYNC");
    add(&main, &mut two, "two", "ASYNC");
    let mut load = Load::start();
    load.goes_on(&main);
    assert!(!knows_its_cluster(&one) && !knows_its_cluster(&two), "the older protocol is spoken");
    // The replicas first.
    for replica in [&mut one, &mut two] {
        replica.stop();
        load.goes_on(&main);
        replica.limit_protocol(None);
        replica.spawn();
        wait_ready(&main, 2);
        load.goes_on(&main);
        assert!(!knows_its_cluster(replica), "a newer REPLICA speaks as its older MAIN does");
    }
    main.stop();
    main.limit_protocol(None);
    main.spawn();
    load.goes_on(&main);
    wait_ready(&main, 2);
    load.goes_on(&main);
    assert!(knows_its_cluster(&one) && knows_its_cluster(&two), "the newer protocol is spoken");
    // Back again, as far as files and protocols go.
    one.stop();
    one.limit_protocol(OLDER);
    one.spawn();
    load.goes_on(&main);
    wait_ready(&main, 2);
    let book = load.stop();
    wait_ready(&main, 2);
    assert_equal(&book, &[&main, &one, &two]);
}

fn across() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (main, replica) in [(OLDER, None), (None, OLDER)] {
        let folder = dir.path().join(if main.is_none() { "newer_main" } else { "older_main" });
        let (mut main, mut steady, mut late) =
            (node(&folder, "main", main), node(&folder, "steady", replica), node(&folder, "late", replica));
        main.spawn();
        let mut load = Load::start();
        load.goes_on(&main);
        add(&main, &mut steady, "steady", "STRICT_SYNC");
        load.goes_on(&main);
        outgrow_the_log(&main);
        // What it has in memory reaches further back than its log.
        main.stop();
        main.spawn();
        load.goes_on(&main);
        add(&main, &mut late, "late", "ASYNC");
        wait_ready(&main, 2);
        load.goes_on(&main);
        assert_came_by_snapshot(&late);
        assert!(!knows_its_cluster(&steady) && !knows_its_cluster(&late), "the older protocol is spoken");
        // What it missed while it was away, from the log.
        late.kill();
        load.goes_on(&main);
        late.spawn();
        load.goes_on(&main);
        let book = load.stop();
        wait_ready(&main, 2);
        assert_equal(&book, &[&main, &steady, &late]);
    }
}
