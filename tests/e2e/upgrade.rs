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

/// The oldest protocol that is spoken.
const OLDER: Option<u16> = Some(mgnode_core::replication::PROTOCOL_MIN);

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        at_place("a_cluster_is_upgraded_node_by_node_while_clients_write".to_owned(), upgraded),
        at_place("a_newer_main_leads_an_older_replica_and_an_older_one_a_newer".to_owned(), across),
        at_place("what_an_older_replica_cannot_read_is_refused_until_it_is_upgraded".to_owned(), unreadable),
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

/// Enums and type constraints are of protocol 3.
fn unreadable() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let before_3 = Some(mgnode_core::replication::PROTOCOL_SCHEMA - 1);
    let (mut main, mut replica) = (node(dir.path(), "main", None), node(dir.path(), "one", before_3));
    main.spawn();
    add(&main, &mut replica, "one", "SYNC");
    let refused = [
        ("CREATE ENUM Color VALUES {Red}", "enums"),
        ("CREATE CONSTRAINT ON (n:P) ASSERT n.age IS TYPED INTEGER", "type constraints"),
    ];
    for (statement, what) in refused {
        let error = connect(&main).run(statement).expect_err("the replica could not read it").to_string();
        let text =
            format!("replica one runs an earlier version, which does not know {what}. Upgrade it first");
        assert!(error.contains(&text), "{error}");
    }
    run(&main, "CREATE (:P {age: 'old'});");
    replica.stop();
    // What it could not read is written while it is away.
    wait::until("MAIN knows that it is away", LIMIT, || {
        connect(&main).run("CREATE ENUM Color VALUES {Red};").map(drop).map_err(|e| e.to_string())
    });
    run(&main, "CREATE (:Car {color: Color::Red});");
    replica.spawn();
    wait::until("the reason is told", LIMIT, || {
        let links = connect(&main).run("SHOW REPLICATION LAG;").map_err(|e| e.to_string())?;
        let column = links.fields.iter().position(|f| f == "last_error").expect("there is such a column");
        match &links.rows[0][column] {
            PackValue::String(why) if why.contains("it speaks protocol 2") && why.contains("upgrade it") => {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    });
    let cars = "MATCH (c:Car) RETURN count(c);";
    assert_eq!(connect(&replica).value(cars), PackValue::Int(0), "it was not sent what it cannot read");
    replica.stop();
    replica.limit_protocol(None);
    replica.spawn();
    wait_ready(&main, 1);
    wait::until("it has all", LIMIT, || match connect(&replica).value(cars) {
        PackValue::Int(1) => Ok(()),
        _ => Err("not yet"),
    });
    let shown = connect(&replica).value("MATCH (c:Car) RETURN toString(c.color);");
    assert_eq!(shown, PackValue::from("Color::Red"));
    assert_eq!(connect(&replica).run("SHOW ENUMS;").expect("it answers").rows.len(), 1);
    for (statement, _) in refused.iter().skip(1) {
        run(&main, "MATCH (p:P) SET p.age = 3;");
        run(&main, statement);
    }
    let error = connect(&main).run("CREATE (:P {age: 'x'});").expect_err("a text is no integer").to_string();
    assert!(error.contains("data type constraint violation on :P(age)"), "{error}");
    // Parameters are held against the enums, too.
    let red = |value: &str| mgbolt::Map::new().with("__type", "mg_enum").with("__value", value);
    let set = |value: &str| {
        let params = mgbolt::Map::new().with("c", red(value));
        connect(&main)
            .run_with("MATCH (c:Car) SET c.color = $c;", params)
            .map(drop)
            .map_err(|e| e.to_string())
    };
    set("Color::Red").expect("there is such a value");
    let error = set("Color::Blue").expect_err("there is none");
    assert!(error.contains("Enum value 'Blue' in enum 'Color' doesn't exist."), "{error}");
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
