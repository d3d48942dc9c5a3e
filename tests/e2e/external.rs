//! Nodes that someone else runs, here the test: mgctl tells them what to be, and neither starts nor stops one.

use libtest_mimic::Trial;
use mg_tests::bolt::Bolt;
use mg_tests::mgctl::{User, Where};
use mg_tests::node::Node;
use mg_tests::wait;
use serde_json::Value;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::plain("external_nodes_are_told_their_roles_moved_and_failed_over", operate),
        super::plain("external_a_main_that_answers_is_demoted_and_not_killed", demote),
        super::plain("external_verbs_that_need_machines_are_refused_by_name", refusals),
    ]
}

struct Three {
    user: User,
    nodes: Vec<Node>,
    _dir: tempfile::TempDir,
}

const NAMES: [&str; 3] = ["main", "near", "far"];

impl Three {
    fn new() -> Three {
        let dir = tempfile::tempdir().expect("a folder");
        let nodes: Vec<Node> = NAMES.iter().map(|name| Node::start(dir.path(), name, &[])).collect();
        let user = User::new(dir.path(), Where::Process);
        let line = |i: usize, rest: &str| format!("  {}: {{ {rest}, address: {} }}\n", NAMES[i], nodes[i].ip);
        let lines = [line(0, "role: main"), line(1, "role: replica"), line(2, "role: replica, mode: ASYNC")];
        user.file("topology.yaml", &format!("name: ours\nruntime: external\ninstances:\n{}", lines.concat()));
        Three { user, nodes, _dir: dir }
    }

    fn node(&mut self, name: &str) -> &mut Node {
        let place = NAMES.iter().position(|n| *n == name).expect("one of the three");
        &mut self.nodes[place]
    }

    fn status(&self) -> Value {
        let out = self.user.run(&["status", "-o", "json"]);
        let value: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        value["data"].clone()
    }

    /// The role of each node by its own word, in the order of the file.
    fn roles(&self) -> Vec<String> {
        let role = |node: &Node| {
            let mut bolt = Bolt::connect(&node.bolt().to_string()).expect("it answers");
            bolt.value("SHOW REPLICATION ROLE;").as_str().expect("a word").to_owned()
        };
        self.nodes.iter().map(role).collect()
    }

    fn count(&self, name: &str) -> i64 {
        let place = NAMES.iter().position(|n| *n == name).expect("one of the three");
        let mut bolt = Bolt::connect(&self.nodes[place].bolt().to_string()).expect("it answers");
        bolt.value("MATCH (n) RETURN count(n);").as_int().expect("a number")
    }
}

fn operate() {
    let mut three = Three::new();
    let plan = three.user.ok(&["diff"]);
    assert!(plan.contains("near") && !plan.contains("create"), "{plan}");
    assert_eq!(three.roles(), ["main", "main", "main"], "`diff` changes nothing");
    three.user.ok(&["up"]);
    assert_eq!(three.roles(), ["main", "replica", "replica"]);
    assert!(three.user.ok(&["up"]).contains("nothing to do"));
    let status = three.status();
    assert_eq!((&status["main"], &status["redundant"]), (&"main".into(), &true.into()), "{status}");
    let replicas = three.user.ok(&["show-replicas"]);
    assert!(replicas.contains(&format!("{}:10000", three.nodes[1].ip)), "{replicas}");
    three.user.ok(&["query", "CREATE (:A)"]);
    assert!(three.user.ok(&["verify"]).contains("same graph"));
    assert_eq!(three.user.ok(&["uri", "main"]).trim(), format!("bolt://{}", three.nodes[0].bolt()));

    three.user.ok(&["promote", "near"]);
    assert_eq!(three.roles(), ["replica", "main", "replica"]);
    assert!(three.user.ok(&["up"]).contains("nothing to do"), "`up` leaves MAIN where it is");
    three.user.ok(&["set-mode", "far", "SYNC"]);
    three.user.ok(&["set-mode", "far", "ASYNC"]);
    three.user.ok(&["unregister", "far"]);
    three.user.ok(&["register", "far"]);
    three.user.ok(&["query", "CREATE (:A)"]);
    three.user.ok(&["drill", "switchover", "--yes", "--runs", "2", "--for", "2s", "--clients", "2"]);

    // MAIN is near again after the drill. It dies, and nobody here can see that it stays so.
    three.node("near").kill();
    let said = three.user.fails(7, &["failover", "--yes"]);
    assert!(said.contains("MG040") && said.contains("`near` cannot be fenced"), "{said}");
    assert!(said.contains("mgctl failover --force-unfenced"), "{said}");
    let status = three.user.run(&["status"]);
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.contains("silent") && text.contains("no writes"), "{text}");
    let said = three.user.ok(&["failover", "--force-unfenced", "--yes"]);
    assert!(said.contains("main is MAIN"), "{said}");
    three.user.ok(&["query", "CREATE (:A)"]);

    // The old MAIN comes back, and hears of its successor.
    three.node("near").spawn();
    three.user.ok(&["up"]);
    assert_eq!(three.roles(), ["main", "replica", "replica"]);
    assert!(three.user.ok(&["verify"]).contains("same graph"));
    let counts: Vec<i64> = NAMES.iter().map(|n| three.count(n)).collect();
    assert_eq!(counts, [3, 3, 3], "what was written stands");
}

/// A node that takes no more writes and follows keeps its process.
fn demote() {
    let mut three = Three::new();
    three.user.ok(&["up"]);
    three.user.ok(&["query", "CREATE (:A)"]);
    let pid = three.node("main").pid();
    let said = three.user.fails(7, &["failover", "--yes"]);
    assert!(said.contains("takes writes"), "{said}");
    three.user.ok(&["failover", "--kill-main", "--yes"]);
    assert_eq!(three.roles(), ["replica", "main", "replica"]);
    assert_eq!(three.node("main").pid(), pid);
    three.user.ok(&["rejoin", "main"]);
    let status = three.status();
    assert_eq!((&status["main"], &status["redundant"]), (&"near".into(), &true.into()), "{status}");

    // A MAIN that hangs was not told anything; when it goes on, it hears of its successor.
    three.node("near").signal("STOP");
    three.user.fails(7, &["failover", "--yes"]);
    three.user.ok(&["failover", "main", "--force-unfenced", "--yes"]);
    three.user.ok(&["query", "CREATE (:B)"]);
    three.node("near").signal("CONT");
    wait::until("the old MAIN is a REPLICA", LIMIT, || {
        let out = three.user.run(&["up", "--timeout", "10s"]);
        if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
    });
    assert_eq!(three.roles(), ["main", "replica", "replica"]);
    assert_eq!(three.count("near"), 2);
}

fn refusals() {
    let three = Three::new();
    three.user.ok(&["up"]);
    for (args, instead) in [
        (&["down"][..], "unregister NAME"),
        (&["start"], "where they run"),
        (&["stop", "near"], "replicas before MAIN"),
        (&["restart", "--rolling"], "promote NODE"),
        (&["logs"], "status"),
        (&["chaos", "kill", "near", "--yes"], "drill switchover"),
        (&["heal", "near"], "where it runs"),
        (&["add", "r9"], "`address`"),
        (&["remove", "near"], "mgctl unregister"),
        (&["scale", "4"], "`address`"),
        (&["upgrade"], "replicas first"),
        (&["reinit", "near", "--yes"], "empty its data directory"),
        (&["rejoin", "near", "--wipe", "--yes"], "rejoin near --rewind"),
        (&["drill", "failover", "--yes"], "drill switchover"),
        (&["supervise", "--auto-failover"], "--force-unfenced"),
        (&["up", "--recreate"], "leave it out"),
    ] {
        let said = three.user.fails(2, args);
        assert!(said.contains("MG093") && said.contains(instead), "{args:?}: {said}");
    }
    assert_eq!(three.roles(), ["main", "replica", "replica"]);
    let said = three.user.fails(2, &["--runtime", "docker", "status"]);
    assert!(said.contains("MG029"), "{said}");
}
