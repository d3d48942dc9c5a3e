//! Triggers on real nodes: MAIN runs them, what they write and they themselves are on its replicas.

use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready};
use mg_tests::node::Node;
use mg_tests::wait;
use mgbolt::PackValue;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::plain("triggers_run_on_main_and_what_they_write_is_replicated", replicated),
        super::plain("triggers_are_there_after_a_restart_and_a_promotion", kept),
        super::plain("a_dump_brings_triggers_and_does_not_set_them_off", dumped),
    ]
}

fn connect(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

const BEFORE: &str = "CREATE TRIGGER before ON () CREATE BEFORE COMMIT EXECUTE \
    UNWIND createdVertices AS v CREATE (v)-[:BEFORE]->(:Before {n: 6 / v.n});";
const AFTER: &str = "CREATE TRIGGER after ON () CREATE AFTER COMMIT EXECUTE \
    UNWIND createdVertices AS v CREATE (:After {n: 6 / (v.n - 1)});";
const GRAPH: &str =
    "MATCH (n) OPTIONAL MATCH (n)-[r]->() RETURN id(n), labels(n), n.n, id(r) ORDER BY id(n);";

/// A MAIN with a SYNC replica, and both triggers.
fn pair(dir: &std::path::Path) -> [Node; 2] {
    let nodes = ["main", "replica"].map(|name| Node::start(dir, name, &[]));
    connect(&nodes[1]).run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;").expect("it becomes REPLICA");
    let register = format!("REGISTER REPLICA r SYNC TO \"{}\";", nodes[1].replication());
    let mut main = connect(&nodes[0]);
    main.run(&register).expect("it registers");
    main.run(BEFORE).expect("a trigger");
    main.run(AFTER).expect("a trigger");
    nodes
}

/// Waits for what is written after a commit.
fn until_after(bolt: &mut Bolt, count: i64) {
    wait::until("the trigger after the commit has run", LIMIT, || {
        match bolt.value("MATCH (a:After) RETURN count(a);") {
            PackValue::Int(n) if n == count => Ok(()),
            other => Err(format!("{other:?} of {count}")),
        }
    });
}

/// The definitions of a node's triggers.
fn triggers(node: &Node) -> Vec<Vec<PackValue>> {
    let rows = connect(node).run("SHOW TRIGGERS;").expect("a table").rows;
    rows.into_iter().map(|row| row[..6].to_vec()).collect()
}

fn replicated() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [main, replica] = pair(dir.path());
    let mut bolt = connect(&main);
    bolt.run("CREATE (:A {n: 2}), (:A {n: 3});").expect("a write");
    until_after(&mut bolt, 2);
    let rows = bolt.run(GRAPH).expect("rows").rows;
    assert_eq!(rows.len(), 6, "{rows:?}");
    assert_eq!(connect(&replica).run(GRAPH).expect("rows").rows, rows, "SYNC: it is there, and only once");

    // One that fails before the commit leaves nothing.
    let (code, text) = bolt.refusal("CREATE (:A {n: 0});");
    assert!(
        code.contains("ClientError") && text.starts_with("Trigger 'before' caused the transaction to fail"),
        "{text}"
    );
    assert_eq!(bolt.run(GRAPH).expect("rows").rows, rows);
    // One that fails after it is told in the log, and the commit stands.
    bolt.run("CREATE (:A {n: 1});").expect("a write");
    wait::until("the failure is told", LIMIT, || {
        let lines = main.log_lines("a trigger AFTER COMMIT failed");
        lines.iter().any(|line| line.contains("trigger=after")).then_some(()).ok_or(lines.join("; "))
    });
    assert_eq!(bolt.value("MATCH (a:A) RETURN count(a);"), PackValue::Int(3));

    assert_eq!(triggers(&replica), triggers(&main));
    assert_eq!(triggers(&main).len(), 2);
    let (_, text) = connect(&replica).refusal("DROP TRIGGER before;");
    assert!(text.starts_with("Write queries are forbidden on the replica instance."), "{text}");
    bolt.run("DROP TRIGGER before;").expect("it is dropped");
    assert_eq!((triggers(&main).len(), triggers(&replica).len()), (1, 1));
}

fn kept() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [mut main, replica] = pair(dir.path());
    main.stop();
    main.spawn();
    wait::until("the replica is ready", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    let mut bolt = connect(&main);
    bolt.run("CREATE (:A {n: 2});").expect("a write");
    until_after(&mut bolt, 1);
    bolt.run("CREATE SNAPSHOT;").expect("a snapshot");
    main.kill();
    main.spawn();
    wait::until("the replica is ready", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    let mut bolt = connect(&main);
    bolt.run("CREATE (:A {n: 3});").expect("a write");
    until_after(&mut bolt, 2);
    main.kill();

    let mut bolt = connect(&replica);
    bolt.run("SET REPLICATION ROLE TO MAIN;").expect("it is promoted");
    bolt.run("CREATE (:A {n: 4});").expect("a write");
    until_after(&mut bolt, 3);
    let counts = "MATCH (n) RETURN labels(n)[0] AS label, count(*) ORDER BY label;";
    let expected = ["A", "After", "Before"].map(|label| vec![label.into(), PackValue::Int(3)]);
    assert_eq!(bolt.run(counts).expect("rows").rows, expected);
}

fn dumped() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [main, _replica] = pair(dir.path());
    let mut bolt = connect(&main);
    bolt.run("CREATE (:A {n: 2});").expect("a write");
    until_after(&mut bolt, 1);
    let lines = bolt.run("DUMP DATABASE;").expect("rows").rows;
    let other = Node::start(dir.path(), "other", &[]);
    let mut client = connect(&other);
    for line in lines {
        let statement = line[0].as_str().expect("a statement");
        client.run(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    assert_eq!(triggers(&other), triggers(&main));
    let counts = "MATCH (n) RETURN labels(n)[0] AS label, count(*) ORDER BY label;";
    let rows = client.run(counts).expect("rows").rows;
    assert_eq!(rows, bolt.run(counts).expect("rows").rows);
    assert_eq!(rows.len(), 3);
}
