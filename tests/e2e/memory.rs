//! A node at its memory limit: it refuses to grow, says so, and lives.

use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready, replicas};
use mg_tests::node::Node;
use mg_tests::wait;
use mgbolt::PackValue;
use mgctl::query::{Map, QueryError};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const LIMITED: &[&str] = &["--memory-limit=160", "--storage-gc-cycle-sec=1"];
const UNLIMITED: &[&str] = &["--storage-gc-cycle-sec=1"];

/// More megabytes than a limited node can hold.
const TOO_MANY: i64 = 400;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::plain("a_main_at_its_memory_limit_refuses_to_grow_and_takes_deletions", limited_main),
        super::plain("a_replica_at_its_memory_limit_leaves_and_lives", limited_replica),
    ]
}

fn connect(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

/// Writes one vertex that takes a megabyte.
fn write_megabyte(bolt: &mut Bolt, id: i64) -> Result<(), QueryError> {
    let text = PackValue::String("x".repeat(1 << 20));
    let parameters = Map::new().with("id", PackValue::Int(id)).with("text", text);
    bolt.run_with("CREATE (:W {id: $id, text: $text});", parameters).map(drop)
}

fn count(bolt: &mut Bolt) -> PackValue {
    bolt.value("MATCH (w:W) RETURN count(w);")
}

fn limited_main() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut main = Node::start(dir.path(), "main", LIMITED);
    let mut bolt = connect(&main);
    let (written, error) = (0..TOO_MANY)
        .find_map(|id| write_megabyte(&mut bolt, id).err().map(|error| (id, error)))
        .expect("some write is refused");
    let text = error.to_string();
    assert!(text.contains("Memory limit exceeded") && text.contains("--memory-limit"), "{text}");
    assert_eq!(count(&mut bolt), PackValue::Int(written), "reads go on");

    bolt.run("MATCH (w:W) DELETE w;").expect("what only deletes is taken");
    wait::until("there is room again", LIMIT, || write_megabyte(&mut bolt, 1000).map_err(|e| e.to_string()));
    assert_eq!(count(&mut bolt), PackValue::Int(1));
    main.kill();
    main.spawn();
    assert_eq!(count(&mut connect(&main)), PackValue::Int(1));
}

fn limited_replica() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let main = Node::start(dir.path(), "main", UNLIMITED);
    let mut replica = Node::start(dir.path(), "replica", LIMITED);
    let pid = replica.pid();
    connect(&replica).run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;").expect("it is fresh");
    let mut bolt = connect(&main);
    bolt.run(&format!("REGISTER REPLICA r SYNC TO \"{}\";", replica.replication())).expect("it is there");
    for id in 0..TOO_MANY {
        write_megabyte(&mut bolt, id).expect("its replica costs it no write");
    }
    wait::until("MAIN knows why its replica does not follow", LIMIT, || {
        let lag = bolt.run("SHOW REPLICATION LAG;").map_err(|e| e.to_string())?;
        let shown = format!("{:?}", lag.rows);
        if shown.contains("the replica is at its memory limit") { Ok(()) } else { Err(shown) }
    });
    let rows = replicas(&mut bolt).expect("MAIN answers");
    assert_eq!(rows[0].status, "invalid", "{rows:?}");
    assert_eq!(replica.pid(), pid, "it lives");
    let PackValue::Int(held) = count(&mut connect(&replica)) else { panic!("a count is a number") };
    assert!(held > 0 && held < TOO_MANY, "{held}");

    // With more memory it catches up.
    replica.stop();
    replica.set_flags(UNLIMITED);
    replica.spawn();
    wait::until("the replica is ready", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    assert_eq!(count(&mut connect(&replica)), PackValue::Int(TOO_MANY));
}
