//! The four outcomes of a write, told apart by codes and fields; and bookmarks across a failover.

use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready};
use mg_tests::chaos::book::{DEGRADED_ERROR, IN_DOUBT, Told};
use mg_tests::node::Node;
use mg_tests::wait;
use mgbolt::PackValue;
use mgctl::query::QueryError;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const TO_REPLICA: &str = "SET REPLICATION ROLE TO REPLICA WITH PORT 10000;";

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::plain("sync_outcomes_are_told_apart_by_notifications", || sync_outcomes("notification")),
        super::plain("sync_outcomes_are_told_apart_by_error_codes", || sync_outcomes("error")),
        super::plain("strict_sync_outcomes_are_told_apart_and_doubt_is_resolved", strict_outcomes),
        super::plain("bookmarks_are_true_right_after_a_failover", bookmarks),
    ]
}

fn connect(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

fn run(bolt: &mut Bolt, query: &str) {
    bolt.run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
}

fn pair(dir: &Path, mode: &str, flags: &[&str]) -> [Node; 2] {
    let nodes = ["main", "replica"].map(|name| Node::start(dir, name, flags));
    run(&mut connect(&nodes[1]), TO_REPLICA);
    let register = format!("REGISTER REPLICA r {mode} TO \"{}\";", nodes[1].replication());
    run(&mut connect(&nodes[0]), &register);
    nodes
}

/// Writes one vertex, and says what was told.
fn write(node: &Node, id: u32) -> Told {
    let answer = connect(node).run(&format!("CREATE (:W {{id: {id}}});"));
    if let Err(QueryError::Server { code, .. }) = &answer {
        // A driver runs a transaction again after a transient error.
        let may_be_there = [DEGRADED_ERROR, IN_DOUBT].contains(&code.as_str());
        assert!(!may_be_there || code.split('.').nth(1) == Some("ClientError"), "{code}");
    }
    Told::from_answer(answer.map(|result| result.summary))
}

fn ids(node: &Node) -> PackValue {
    connect(node).value("MATCH (w:W) WITH w.id AS id ORDER BY id RETURN collect(id);")
}

fn list(ids: &[i64]) -> PackValue {
    PackValue::List(ids.iter().map(|id| PackValue::Int(*id)).collect())
}

fn sync_outcomes(report: &str) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let report = format!("--sync-failure-report={report}");
    let [main, mut replica] = pair(dir.path(), "SYNC", &[&report, "--replication-sync-timeout=1s"]);
    let bookmark = |told: Told, is_degraded: bool| match told {
        Told::Ok { bookmark } if !is_degraded => bookmark,
        Told::Degraded { bookmark } if is_degraded => bookmark,
        other => panic!("degraded: {is_degraded}, but {other:?}"),
    };
    assert_ne!(bookmark(write(&main, 1), false), "");
    // It hangs; then it is gone.
    replica.signal("STOP");
    let hung = bookmark(write(&main, 2), true);
    assert_eq!(connect(&main).value(&format!("SHOW TRANSACTION OUTCOME \"{hung}\";")), "committed".into());
    replica.signal("CONT");
    wait::until("the replica is ready", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    assert_eq!(ids(&replica), list(&[1, 2]));
    replica.kill();
    assert_ne!(bookmark(write(&main, 3), true), "");
    assert_ne!(bookmark(write(&main, 4), true), "");
    replica.spawn();
    wait::until("the replica is ready", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    assert_ne!(bookmark(write(&main, 5), false), "");
    // Another MAIN is about to be: nothing is written any more.
    run(&mut connect(&main), "FENCE REPLICATION EPOCH 9 BY \"a test\";");
    let told = write(&main, 6);
    assert!(matches!(told, Told::Failed { .. }), "{told:?}");
    for node in [&main, &replica] {
        assert_eq!(ids(node), list(&[1, 2, 3, 4, 5]));
    }
}

fn strict_outcomes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [main, mut replica] = pair(dir.path(), "STRICT_SYNC", &["--replication-sync-timeout=1s"]);
    let told = write(&main, 1);
    assert!(matches!(told, Told::Ok { .. }), "{told:?}");
    replica.signal("STOP");
    let Told::InDoubt { position: Some(position) } = write(&main, 2) else { panic!("it cannot be known") };
    let outcome = |node: &Node| connect(node).value(&format!("SHOW TRANSACTION OUTCOME \"{position}\";"));
    assert_eq!(outcome(&main), "in_doubt".into());
    assert_eq!(ids(&main), list(&[1]), "nobody shows what is not decided");
    let told = write(&main, 3);
    assert!(matches!(told, Told::Failed { .. }), "a replica is missing: {told:?}");
    replica.signal("CONT");
    wait::until("the replica is ready", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    for node in [&main, &replica] {
        wait::until("it is decided", LIMIT, || match outcome(node) {
            PackValue::String(word) if word == "committed" => Ok(()),
            other => Err(format!("{other:?}")),
        });
        assert_eq!(ids(node), list(&[1, 2]));
    }
    replica.kill();
    wait::until("MAIN sees that it is gone", LIMIT, || match write(&main, 4) {
        Told::Failed { .. } => Ok(()),
        // The commit that finds it out may be on its way there.
        Told::InDoubt { .. } => Err("in doubt"),
        other => panic!("{other:?}"),
    });
    replica.spawn();
    wait::until("the replica is ready", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    let told = write(&main, 5);
    assert!(matches!(told, Told::Ok { .. }), "{told:?}");
    assert_eq!(ids(&main), ids(&replica));
}

fn bookmarks() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [mut old, mut new] = pair(dir.path(), "SYNC", &[]);
    let third = Node::start(dir.path(), "third", &[]);
    let Told::Ok { bookmark: kept } = write(&old, 1) else { panic!("both are there") };
    new.kill();
    // On MAIN alone, and lost with it.
    let Told::Degraded { bookmark: lost } = write(&old, 2) else { panic!("the replica is gone") };
    old.kill();
    new.spawn();
    run(&mut connect(&new), "FENCE REPLICATION EPOCH 2 BY \"a failover\";");
    run(&mut connect(&new), "SET REPLICATION ROLE TO MAIN WITH EPOCH 2;");
    run(&mut connect(&third), TO_REPLICA);
    run(&mut connect(&new), &format!("REGISTER REPLICA third ASYNC TO \"{}\";", third.replication()));
    for id in 3..23 {
        // Each read goes to a replica that nobody waited for.
        let Told::Ok { bookmark } = write(&new, id) else { panic!("an ASYNC replica is not waited for") };
        let query = format!("MATCH (w:W {{id: {id}}}) RETURN count(w);");
        let found = connect(&third).run_after(&query, &[&kept, &bookmark]).expect("the replica catches up");
        assert_eq!(found.rows, [[PackValue::Int(1)]]);
    }
    // Its number is not above what the new branch has; it is another branch all the same.
    for node in [&new, &third] {
        match connect(node).run_after("RETURN 1;", &[&lost]) {
            Err(QueryError::Server { code, message, .. }) => {
                assert_eq!(code, "Memgraph.ClientError.Transaction.InvalidBookmark", "{message}");
                assert!(message.starts_with("BookmarkLost"), "{message}");
            }
            other => panic!("a bookmark of a lost branch is taken: {other:?}"),
        }
        assert_eq!(
            connect(node).value(&format!("SHOW TRANSACTION OUTCOME \"{lost}\";")),
            "not_committed".into()
        );
        assert_eq!(connect(node).value(&format!("SHOW TRANSACTION OUTCOME \"{kept}\";")), "committed".into());
    }
}
