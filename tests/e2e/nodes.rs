//! Single nodes as processes: roles over a restart, and bytes that are not Bolt.

use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready, replicas};
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
        super::plain("read_committed_moves_on_at_a_replica", read_committed),
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
