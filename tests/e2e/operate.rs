//! Operating a cluster that something happened to: `failover`, `rejoin`, `reinit`, `repair`, `set-mode`.

use super::cluster::Cluster;
use libtest_mimic::Trial;
use mg_tests::bolt::all_ready;
use mg_tests::docker::Engine;
use mg_tests::mgctl::Where;
use mgbolt::PackValue;
use serde_json::Value;
use std::process::Command;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::docker("docker_failover_of_a_killed_and_of_a_paused_main", |engine| {
            failover(&Cluster::new("t-failover", 27810, Where::Docker, ""), Some(engine));
        }),
        super::plain("process_failover_of_a_killed_main", || {
            failover(&Cluster::new("t-failover-p", 27820, Where::Process, ""), None);
        }),
        super::docker("docker_repair_rejoin_reinit_set_mode", |_| {
            mend(&Cluster::new("t-mend", 27830, Where::Docker, ""));
        }),
        super::plain("process_repair_rejoin_reinit_set_mode", || {
            mend(&Cluster::new("t-mend-p", 27840, Where::Process, ""));
        }),
    ]
}

/// Runs a verb for its JSON.
fn json(cluster: &Cluster, args: &[&str]) -> Value {
    let mut all = vec!["-f", &cluster.file, "-o", "json"];
    all.extend_from_slice(args);
    let value: Value = serde_json::from_str(&cluster.user.ok(&all)).expect("JSON");
    assert_eq!(
        (&value["apiVersion"], &value["ok"]),
        (&Value::from("mgctl/v1"), &Value::from(true)),
        "{value}"
    );
    value
}

/// The id of the process that runs a node.
fn pid(cluster: &Cluster, instance: &str) -> String {
    let file = cluster.user.dir.join("state/mgctl").join(&cluster.name).join(instance).join("pid");
    let text = std::fs::read_to_string(file).expect("a started process has a pid file");
    text.split(' ').next().expect("it begins with the id").to_owned()
}

/// Ends a node without a word.
fn kill(cluster: &Cluster, engine: Option<&Engine>, instance: &str) {
    match engine {
        Some(engine) => engine.kill(&cluster.container(instance)),
        None => {
            let status = Command::new("kill").args(["-9", &pid(cluster, instance)]).status();
            assert!(status.expect("kill can be started").success());
        }
    }
}

fn role(cluster: &Cluster, index: usize) -> PackValue {
    cluster.bolt(index).value("SHOW REPLICATION ROLE;")
}

const TOWNS: &str = "MATCH (t:Town) RETURN count(t);";

fn failover(cluster: &Cluster, engine: Option<&Engine>) {
    cluster.up();
    let user = &cluster.user;
    let said = user.fails(7, &["-f", &cluster.file, "failover", "--yes"]);
    assert!(said.contains("MG047") && said.contains("promote rep1"), "{said}");
    assert_eq!(role(cluster, 0), PackValue::from("main"));
    cluster.bolt(0).run("CREATE (:Town {name: 'Bonn'})").expect("MAIN takes writes");

    kill(cluster, engine, "main");
    // A dry run and a question that nobody answers change nothing.
    let plan = user.ok(&["-f", &cluster.file, "failover", "--dry-run"]);
    assert!(plan.contains("FENCE REPLICATION EPOCH") && plan.contains("WITH EPOCH"), "{plan}");
    user.fails(8, &["-f", &cluster.file, "failover"]);
    assert_eq!(
        (role(cluster, 1), role(cluster, 2)),
        (PackValue::from("replica"), PackValue::from("replica"))
    );

    let done = json(cluster, &["failover", "--yes"]);
    assert_eq!(done["kind"], "Failover");
    assert_eq!(done["data"]["failover"]["main"], "rep1");
    assert_eq!(done["data"]["failover"]["estimated_loss"]["commits"], 0);
    assert_eq!((role(cluster, 1), role(cluster, 2)), (PackValue::from("main"), PackValue::from("replica")));
    all_ready(&cluster.bolts()[1], 1).expect("the other replica follows the new MAIN");
    cluster.bolt(1).run("CREATE (:Town {name: 'Trier'})").expect("the new MAIN takes writes");
    assert_eq!(cluster.bolt(1).value(TOWNS), PackValue::Int(4), "an acknowledged write was lost");
    if let Some(engine) = engine {
        assert_eq!(engine.state(&cluster.container("main")), (false, false), "it is fenced");
    }
    let status = user.fails(5, &["status", &cluster.file, "--check"]);
    assert!(status.contains("rejoin main"), "{status}");

    json(cluster, &["rejoin", "main"]);
    all_ready(&cluster.bolts()[1], 2).expect("rejoin waits until the replica is ready");
    assert_eq!(role(cluster, 0), PackValue::from("replica"));
    if let Some(engine) = engine {
        assert_eq!(engine.state(&cluster.container("main")), (true, true), "it starts by itself again");
    }
    user.ok(&["verify", &cluster.file]);
    user.ok(&["status", &cluster.file, "--check"]);
    let again = user.run(&["up", &cluster.file]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing to do"));

    // A MAIN that hangs may wake up at any time: it is ended, not waited for.
    if let Some(engine) = engine {
        engine.pause(&cluster.container("rep1"));
        let done = json(cluster, &["failover", "--yes"]);
        assert_eq!(done["data"]["failover"]["main"], "main");
        assert_eq!(engine.state(&cluster.container("rep1")), (false, false));
        // `up` is a rejoin of everybody.
        cluster.up();
        all_ready(&cluster.bolts()[0], 2).expect("up waits until the replicas are ready");
        assert_eq!(cluster.bolt(0).value(TOWNS), PackValue::Int(4));
        assert_eq!(role(cluster, 1), PackValue::from("replica"));
    }
}

fn mend(cluster: &Cluster) {
    cluster.up();
    let user = &cluster.user;
    let bolts = cluster.bolts();
    let unchanged = json(cluster, &["repair"]);
    assert_eq!(unchanged["data"]["changed"], false);

    // A replica that was dropped and a name that nobody knows.
    let mut main = cluster.bolt(0);
    main.run("DROP REPLICA REP2;").expect("it is registered");
    let plan = user.ok(&["repair", &cluster.file, "--dry-run"]);
    assert!(plan.contains("REGISTER REPLICA REP2 ASYNC"), "{plan}");
    assert_eq!(mg_tests::bolt::replicas(&mut main).expect("rows").len(), 1, "a dry run did something");
    assert_eq!(json(cluster, &["repair"])["data"]["changed"], true);
    all_ready(&bolts[0], 2).expect("repair waits until the replicas are ready");

    // Two MAINs that both have something of their own.
    cluster.bolt(2).run("SET REPLICATION ROLE TO MAIN;").expect("a replica can be made MAIN by hand");
    cluster.bolt(2).run("CREATE (:Town {name: 'Nowhere'})").expect("it takes writes");
    let said = user.fails(5, &["repair", &cluster.file, "--main", "main"]);
    assert!(said.contains("MG042") && said.contains("rejoin rep2 --wipe"), "{said}");
    assert_eq!((role(cluster, 0), role(cluster, 2)), (PackValue::from("main"), PackValue::from("replica")));
    assert_eq!(cluster.bolt(2).value(TOWNS), PackValue::Int(3), "what it has is kept");
    user.fails(8, &["-f", &cluster.file, "rejoin", "rep2", "--wipe"]);
    let done = json(cluster, &["rejoin", "rep2", "--wipe", "--yes"]);
    let saved = user.dir.join(done["data"]["saved_to"].as_str().expect("it says where"));
    assert!(std::fs::metadata(saved).expect("it was saved").len() > 1000);
    all_ready(&bolts[0], 2).expect("it follows");
    assert_eq!(cluster.bolt(2).value(TOWNS), PackValue::Int(2));

    user.fails(7, &["-f", &cluster.file, "reinit", "main", "--yes"]);
    json(cluster, &["reinit", "rep1", "--yes"]);
    all_ready(&bolts[0], 2).expect("it follows");
    user.ok(&["verify", &cluster.file]);

    user.fails(7, &["-f", &cluster.file, "set-mode", "rep2", "STRICT_SYNC"]);
    let done = json(cluster, &["set-mode", "rep2", "SYNC"]);
    assert_eq!(done["data"]["mode"], "SYNC");
    let rows = mg_tests::bolt::replicas(&mut cluster.bolt(0)).expect("rows");
    assert!(rows.iter().all(|r| r.mode == "sync" && r.status == "ready"), "{rows:?}");
    assert_eq!(json(cluster, &["set-mode", "rep2", "SYNC"])["data"]["changed"], false);
}
