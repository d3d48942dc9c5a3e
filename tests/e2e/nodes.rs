//! Single nodes as processes: roles over a restart, and bytes that are not Bolt.

use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready, register, replicas};
use mg_tests::node::Node;
use mg_tests::wait;
use mgbolt::PackValue;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::plain("roles_and_registrations_are_kept_over_a_restart", kept),
        super::plain("without_restoring_state_a_node_restarts_as_main_without_replicas", not_kept),
        super::plain("bytes_that_are_not_bolt_hurt_nobody", not_bolt),
        super::plain("a_second_process_on_one_data_directory_is_refused", second_process),
        super::plain("a_recovered_snapshot_is_on_every_replica_and_outlives_restarts", recovered),
        super::plain("read_committed_moves_on_at_a_replica", read_committed),
        super::plain("the_next_snapshot_is_shown_where_there_will_be_one", next_snapshot),
    ]
}

fn connect(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

fn pair(dir: &std::path::Path, flags: &[&str]) -> [Node; 2] {
    let nodes = ["main", "replica"].map(|name| Node::start(dir, name, flags));
    connect(&nodes[1]).run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;").expect("it becomes REPLICA");
    let register = format!("REGISTER REPLICA r SYNC TO \"{}\";", nodes[1].replication());
    connect(&nodes[0]).run(&register).expect("it registers");
    connect(&nodes[0]).run("CREATE (:A {n: 1});").expect("a write");
    nodes
}

fn kept() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [mut main, mut replica] = pair(dir.path(), &[]);
    main.stop();
    replica.stop();
    replica.spawn();
    main.spawn();
    assert_eq!(connect(&replica).value("SHOW REPLICATION ROLE;"), PackValue::from("replica"));
    wait::until("the replica is ready", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    connect(&main).run("CREATE (:A {n: 2});").expect("a write");
    assert_eq!(connect(&replica).value("MATCH (a:A) RETURN sum(a.n);"), PackValue::Int(3));
}

fn not_kept() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let flags = ["--replication-restore-state-on-startup=false"];
    let [mut main, mut replica] = pair(dir.path(), &flags);
    main.stop();
    replica.stop();
    main.spawn();
    replica.spawn();
    for node in [&main, &replica] {
        let mut bolt = connect(node);
        assert_eq!(bolt.value("SHOW REPLICATION ROLE;"), PackValue::from("main"));
        assert_eq!(replicas(&mut bolt).expect("rows"), []);
        assert_eq!(bolt.value("MATCH (a:A) RETURN count(a);"), PackValue::Int(1));
    }
}

fn not_bolt() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::start(dir.path(), "node", &[]);
    let hello = [0x60, 0x60, 0xb0, 0x17, 0, 0, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let oversized = [&hello[..], &[0xff, 0xff].repeat(4), &vec![0x41; 300_000]].concat();
    let deep = [&hello[..], &[0xff, 0xff], &vec![0x91; 65535], &[0, 0]].concat();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 20], &hello[..7], &oversized, &deep] {
        let mut stream = TcpStream::connect(node.bolt()).expect("the port is open");
        stream.set_read_timeout(Some(LIMIT)).expect("a time-out can be set");
        // The node may hang up before it has read everything.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        // Whether by a close or by a reset: the connection ends.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 4096, "{} bytes came back", answer.len());
    }
    let mut bolt = connect(&node);
    let deep = format!("RETURN {}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let (code, text) = bolt.refusal(&deep);
    assert!(code.starts_with("Memgraph.ClientError"), "{code}: {text}");
    let deep = format!("RETURN {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    bolt.refusal(&deep);
    assert_eq!(bolt.value("RETURN 1;"), PackValue::Int(1));
}

fn second_process() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::start(dir.path(), "node", &[]);
    let data = node.dir.join("data");
    let out = std::process::Command::new(mg_tests::paths::mgctl())
        .args(["node", "--bolt-port=0", "--data-dir-lock-acquisition-timeout-sec=0"])
        .arg(format!("--data-directory={}", data.display()))
        .output()
        .expect("mgctl can be started");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success(), "{said}");
    assert!(said.contains(&data.display().to_string()), "{said}");
    assert_eq!(connect(&node).value("RETURN 1;"), PackValue::Int(1));
}

/// All that a node holds, ids too.
fn held(node: &Node, bookmarks: &[&str]) -> Vec<Vec<PackValue>> {
    let mut bolt = connect(node);
    let graph = "MATCH (n) OPTIONAL MATCH (n)-[r]->(m) RETURN id(n), labels(n), properties(n), id(r), properties(r), \
                 id(m) ORDER BY id(n), id(r);";
    let mut rows = bolt.run_after(graph, bookmarks).expect("rows").rows;
    rows.extend(bolt.run("SHOW CONSTRAINT INFO;").expect("rows").rows);
    // How many entries an index has is an estimate while older versions are kept.
    let indexes = bolt.run("SHOW INDEX INFO;").expect("rows").rows;
    rows.extend(indexes.into_iter().map(|row| row[..3].to_vec()));
    rows
}

fn recovered() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [mut main, mut sync] = pair(dir.path(), &[]);
    let mut late = Node::start(dir.path(), "late", &[]);
    connect(&late).run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;").expect("it becomes REPLICA");
    let mut bolt = connect(&main);
    register(&mut bolt, "late", "ASYNC", &late.replication());
    for query in [
        "CREATE INDEX ON :A(n);",
        "CREATE CONSTRAINT ON (a:A) ASSERT a.n IS UNIQUE;",
        "UNWIND range(2, 300) AS n CREATE (:A {n: n})-[:T {w: n}]->(:B);",
    ] {
        bolt.run(query).expect("a write");
    }
    let PackValue::String(path) = bolt.value("CREATE SNAPSHOT;") else { panic!("a path is a text") };
    for query in [
        "MATCH (a:A) WHERE a.n % 2 = 0 DETACH DELETE a;",
        "DROP CONSTRAINT ON (a:A) ASSERT a.n IS UNIQUE;",
        "UNWIND range(1, 10) AS i CREATE (:A {n: 7})-[:NEW]->(:C);",
        "CREATE INDEX ON :C;",
    ] {
        bolt.run(query).expect("a write");
    }
    wait::until("the replicas are ready", LIMIT, || all_ready(&main.bolt().to_string(), 2));
    late.signal("STOP");
    late.wait_stopped();
    let recovery = format!("RECOVER SNAPSHOT \"{path}\" FORCE;");
    let bookmark = bolt.run(&recovery).expect("it recovers").summary.bookmark.expect("it is a commit");
    let on_main = held(&main, &[]);
    // The SYNC replica shows what it has confirmed; the other one when the bookmark asks for it.
    assert_eq!(held(&sync, &[]), on_main);
    late.signal("CONT");
    assert_eq!(held(&late, &[&bookmark]), on_main);
    assert_eq!(bolt.value("MATCH (a:A) RETURN count(a);"), PackValue::Int(300));
    assert_eq!(bolt.value("MATCH ()-[r:T]->(:B) RETURN sum(r.w);"), PackValue::Int((2..=300).sum()));
    assert_eq!(bolt.value("MATCH (c:C) RETURN count(c);"), PackValue::Int(0));
    let (_, text) = bolt.refusal("CREATE (:A {n: 7});");
    assert!(text.contains("unique constraint violation on :A(n)"), "{text}");

    for node in [&mut main, &mut sync, &mut late] {
        node.kill();
    }
    for node in [&mut sync, &mut late, &mut main] {
        node.spawn();
        assert_eq!(held(node, &[]), on_main);
    }
    wait::until("the replicas are ready", LIMIT, || all_ready(&main.bolt().to_string(), 2));
    connect(&main).run("CREATE (:A {n: 1000});").expect("a write");
    assert_eq!(connect(&sync).value("MATCH (a:A) RETURN count(a);"), PackValue::Int(301));
}

fn next_snapshot() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let due = |name: &str, flags: &[&str]| {
        let node = Node::start(dir.path(), name, flags);
        connect(&node).run("SHOW NEXT SNAPSHOT;").expect("rows").rows.len()
    };
    assert_eq!(due("scheduled", &["--storage-snapshot-interval-sec=300"]), 1);
    assert_eq!(due("never", &["--storage-snapshot-interval-sec=0"]), 0);
}

fn read_committed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [main, replica] = pair(dir.path(), &["--isolation-level=READ_COMMITTED"]);
    let (mut writer, mut reader) = (connect(&main), connect(&replica));
    let count = "MATCH (a:A) RETURN count(a);";
    reader.begin().expect("a transaction");
    assert_eq!(reader.value(count), PackValue::Int(1));
    writer.run("CREATE (:A);").expect("a write");
    assert_eq!(reader.value(count), PackValue::Int(2), "a SYNC replica shows what it has confirmed");
    reader.commit().expect("it ends");
    reader.run("SET NEXT TRANSACTION ISOLATION LEVEL SNAPSHOT ISOLATION;").expect("it is set");
    reader.begin().expect("a transaction");
    writer.run("CREATE (:A);").expect("a write");
    assert_eq!(reader.value(count), PackValue::Int(2));
    reader.commit().expect("it ends");
    assert_eq!(reader.value(count), PackValue::Int(3));
}
