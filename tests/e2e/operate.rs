//! Operating a cluster that something happened to: `failover`, `rejoin`, `reinit`, `repair`, `set-mode`; and making
//! something happen: `drill`, `load`, `chaos`, `supervise`.

use super::clients::script;
use super::cluster::Cluster;
use super::crash::Writer;
use libtest_mimic::Trial;
use mg_tests::bolt::all_ready;
use mg_tests::docker::Engine;
use mg_tests::mgctl::Where;
use mg_tests::wait;
use mgbolt::PackValue;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);

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
        super::docker_and_python("docker_drills_lose_nothing", |_, python| {
            drills(python, &Cluster::new("t-drill", 27850, Where::Docker, ""));
        }),
        super::python("process_drills_lose_nothing", |python| {
            drills(python, &Cluster::new("t-drill-p", 27860, Where::Process, ""));
        }),
        super::docker("docker_start_stop_restart_ls", |engine| {
            lifecycle(&Cluster::new("t-starts", 27910, Where::Docker, ""), Some(engine));
        }),
        super::plain("process_start_stop_restart_ls", || {
            lifecycle(&Cluster::new("t-starts-p", 27920, Where::Process, ""), None);
        }),
        super::docker_and_python("docker_rolling_restart_under_load_loses_nothing", |_, python| {
            rolling_restart(python, &Cluster::new("t-roll", 27930, Where::Docker, ""));
        }),
        super::python("process_rolling_restart_under_load_loses_nothing", |python| {
            rolling_restart(python, &Cluster::new("t-roll-p", 27940, Where::Process, ""));
        }),
        super::docker("docker_watch_events_history_doctor_report", |_| {
            see(&Cluster::new("t-see", 27950, Where::Docker, ""));
        }),
        super::plain("process_watch_events_history_doctor_report", || {
            see(&Cluster::new("t-see-p", 27960, Where::Process, ""));
        }),
        super::docker("docker_add_remove_scale", |_| {
            grow_and_shrink(&Cluster::new("t-scale", 27970, Where::Docker, ""));
        }),
        super::plain("process_add_remove_scale", || {
            grow_and_shrink(&Cluster::new("t-scale-p", 27980, Where::Process, ""));
        }),
        super::docker_and_python("docker_upgrade_between_two_tags_under_load_loses_nothing", upgrade),
        super::docker("docker_chaos_heals_itself", |engine| {
            chaos(&Cluster::new("t-chaos", 27870, Where::Docker, ""), Some(engine));
        }),
        super::plain("process_chaos_heals_itself", || {
            chaos(&Cluster::new("t-chaos-p", 27880, Where::Process, ""), None);
        }),
        super::docker_and_python("docker_supervise_heals_a_killed_and_a_paused_main", |engine, python| {
            supervise(python, &Cluster::new("t-guard", 27890, Where::Docker, ""), Some(engine));
        }),
        super::python("process_supervise_heals_a_killed_and_a_paused_main", |python| {
            supervise(python, &Cluster::new("t-guard-p", 27900, Where::Process, ""), None);
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

/// What an answer says of one node.
fn instance(answer: &Value, name: &str) -> Value {
    let all = answer["data"]["instances"].as_array().expect("it lists the nodes");
    all.iter().find(|i| i["name"] == name).expect("it is one of them").clone()
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

/// Drills, counted twice: by mgctl, and by a client that is not ours and writes at the same time.
fn drills(python: &Path, cluster: &Cluster) {
    cluster.up();
    let bolts = cluster.bolts();
    let writer = Writer::start(python, &cluster.user.dir, &bolts);
    writer.wait_for(200, None);
    for drill in [
        &["drill", "failover", "--runs", "2", "--for", "3s", "--clients", "4", "--rate", "200", "--yes"][..],
        &["drill", "switchover", "--runs", "1", "--for", "2s", "--clients", "4", "--yes"],
        &["drill", "replica-loss", "--runs", "1", "--for", "2s", "--clients", "4", "--yes"],
    ] {
        let done = json(cluster, drill);
        let data = &done["data"];
        println!("{drill:?}: {}", data["first_write_after_fault"]);
        assert!(data["writes"]["acknowledged"].as_u64() > Some(0), "{data}");
        for word in ["lost", "duplicated", "refused_and_there"] {
            assert_eq!(data["writes"][word], 0, "{data}");
        }
        assert!(data["first_write_after_fault"]["p99_ms"].as_f64() > Some(0.0), "{data}");
    }
    wait::until("MAIN is home", LIMIT, || match role(cluster, 0) {
        PackValue::String(word) if word == "main" => Ok(()),
        other => Err(format!("the first node is {other:?}: the drill has not brought MAIN home")),
    });
    let acks = writer.stop();
    wait::until("every replica is ready", LIMIT, || all_ready(&bolts[0], 2));
    let args: Vec<String> = std::iter::once(acks.display().to_string()).chain(bolts).collect();
    print!("{}", script(python, "check_writes.py", &args));
    // What the drills wrote is gone again.
    assert_eq!(cluster.bolt(0).value("MATCH (n:MgctlLoad) RETURN count(n);"), PackValue::Int(0));

    let load = json(cluster, &["load", "--for", "1s", "--clients", "2"]);
    assert_eq!(
        (&load["data"]["lost"], load["data"]["acknowledged"].as_u64() > Some(0)),
        (&Value::from(0), true)
    );
}

fn is_well(cluster: &Cluster) -> Result<(), String> {
    let out = cluster.user.run(&["status", &cluster.file, "--check"]);
    match out.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&out.stdout).into_owned()),
    }
}

fn chaos(cluster: &Cluster, engine: Option<&Engine>) {
    cluster.up();
    let user = &cluster.user;
    user.fails(8, &["-f", &cluster.file, "chaos", "kill", "rep1"]);
    let plan = user.ok(&["-f", &cluster.file, "chaos", "pause", "rep1", "--for", "1s", "--dry-run"]);
    assert!(plan.contains("freeze rep1"), "{plan}");
    is_well(cluster).expect("a question that nobody answers and a dry run change nothing");

    let mut harms = vec!["kill", "pause", "stop"];
    if engine.is_some() {
        harms.push("partition");
    } else {
        user.fails(2, &["-f", &cluster.file, "chaos", "partition", "rep1", "--for", "1s", "--yes"]);
    }
    for harm in harms {
        let done = json(cluster, &["chaos", harm, "rep2", "--for", "1s", "--yes"]);
        assert_eq!(done["data"]["healed"], true, "{done}");
        wait::until(&format!("all is well after {harm}"), LIMIT, || is_well(cluster));
    }
    let done = json(cluster, &["chaos", "restart", "rep1", "--yes"]);
    assert_eq!(done["data"]["healed"], true, "{done}");
    wait::until("all is well after a restart", LIMIT, || is_well(cluster));

    // mgctl is killed in the middle: what it broke is mended all the same.
    let mut child = user
        .command()
        .args(["-f", &cluster.file, "chaos", "pause", "rep1", "--for", "10s", "--yes"])
        .spawn()
        .expect("mgctl can be started");
    wait::until("rep1 is frozen", LIMIT, || {
        let status = user.run(&["status", &cluster.file]);
        let said = String::from_utf8_lossy(&status.stdout).into_owned();
        if said.contains("paused") { Ok(()) } else { Err(said) }
    });
    assert!(child.try_wait().expect("a child can be asked").is_none(), "it ended before it was killed");
    child.kill().expect("a child can be killed");
    child.wait().expect("a killed child can be waited for");
    wait::until("rep1 is mended without mgctl", LIMIT, || is_well(cluster));

    // Without a time it stays so until somebody mends it.
    json(cluster, &["chaos", "kill", "rep2", "--yes"]);
    assert!(is_well(cluster).is_err());
    // MAIN has not noticed yet; neither form of the answer calls a node ready that has ended.
    let ended = instance(&json(cluster, &["status"]), "rep2");
    assert_ne!(ended["state"], "ready", "{ended}");
    let said = user.fails(7, &["-f", &cluster.file, "set-mode", "rep2", "SYNC"]);
    assert!(said.contains("MG046") && said.contains("rep2"), "{said}");
    assert_eq!(mg_tests::bolt::replicas(&mut cluster.bolt(0)).expect("rows").len(), 2, "it was dropped");
    let healed = json(cluster, &["heal", "rep2"]);
    assert!(
        healed["data"]["outcome"].as_str().is_some_and(|o| o.ends_with("answers as REPLICA")),
        "{healed}"
    );
    assert_eq!(instance(&json(cluster, &["status"]), "rep2")["role"], "REPLICA", "heal did not wait");
    wait::until("rep2 is mended by hand", LIMIT, || is_well(cluster));
}

/// `mgctl supervise`, running; it is killed with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn supervise(python: &Path, cluster: &Cluster, engine: Option<&Engine>) {
    cluster.up();
    let user = &cluster.user;
    let unit = user.ok(&["supervise", &cluster.file, "--print-unit"]);
    assert!(unit.contains("ExecStart=") && unit.contains("supervise --auto-failover"), "{unit}");
    let bolts = cluster.bolts();
    let writer = Writer::start(python, &user.dir, &bolts);
    // Two of them: one at a time fails over.
    let mut guards: Vec<Guard> = Vec::new();
    for number in [1, 2] {
        let log =
            std::fs::File::create(user.dir.join(format!("guard{number}"))).expect("the log can be made");
        let mut command = user.command();
        command.args(["supervise", &cluster.file, "--auto-failover"]).stderr(log);
        guards.push(Guard(command.spawn().expect("mgctl can be started")));
    }
    let said = || ["guard1", "guard2"].map(|n| std::fs::read_to_string(user.dir.join(n)).unwrap_or_default());
    wait::until("both watch", LIMIT, || {
        let said = said();
        if said.iter().all(|s| s.contains("main is MAIN and watched")) {
            Ok(())
        } else {
            Err(said.join("\n"))
        }
    });
    writer.wait_for(300, Some(&bolts[0]));

    kill(cluster, engine, "main");
    // Whoever has most: where MAIN died within a commit, that may be the ASYNC one.
    let next = wait::until("writes go on elsewhere", LIMIT, || {
        let is_main = |i: &usize| writer.acknowledged(Some(&bolts[*i])) >= 300;
        [1, 2].into_iter().find(is_main).ok_or_else(|| format!("{:?}", said()))
    });
    let promoted = ["main", "rep1", "rep2"][next];
    // What it had begun to commit when it ended, and told nobody, is its operator's to decide.
    let mut rewound: Vec<&str> = Vec::new();
    let mut decide = |name: &'static str| {
        let is_open = format!("{name} is not back: replica `{name}` holds commits");
        if !rewound.contains(&name)
            && said().iter().any(|s| s.contains(&is_open))
            && user.run(&["-f", &cluster.file, "rejoin", name, "--rewind", "--yes"]).status.success()
        {
            rewound.push(name);
        }
    };
    wait::until("the old MAIN is back as a REPLICA", LIMIT, || {
        decide("main");
        is_well(cluster).map_err(|e| format!("{e}{:?}", said()))
    });
    assert_eq!(
        (role(cluster, 0), role(cluster, next)),
        (PackValue::from("replica"), PackValue::from("main"))
    );

    match engine {
        Some(engine) => engine.pause(&cluster.container(promoted)),
        None => {
            let status = Command::new("kill").args(["-STOP", &pid(cluster, promoted)]).status();
            assert!(status.expect("kill can be started").success());
        }
    }
    wait::until("another node is MAIN, and all follow", LIMIT, || {
        decide(promoted);
        is_well(cluster).map_err(|e| format!("{e}{:?}", said()))?;
        match role(cluster, next) {
            PackValue::String(word) if word == "replica" => Ok(()),
            other => Err(format!("{promoted} is {other:?}")),
        }
    });
    let before = writer.acknowledged(None);
    writer.wait_for(before + 300, None);
    drop(guards);
    let acks = writer.stop();
    let done: usize = said().iter().map(|s| s.matches("estimated loss").count()).sum();
    assert_eq!(done, 2, "each failure was failed over once: {:?}", said());
    let main = (0..3).find(|i| role(cluster, *i) == PackValue::from("main")).expect("there is a MAIN");
    wait::until("every replica is ready", LIMIT, || all_ready(&bolts[main], 2));
    let args: Vec<String> = std::iter::once(acks.display().to_string()).chain(bolts).collect();
    print!("{}", script(python, "check_writes.py", &args));
}

fn lifecycle(cluster: &Cluster, engine: Option<&Engine>) {
    cluster.up();
    let user = &cluster.user;
    let bolts = cluster.bolts();
    let listed: Value = serde_json::from_str(&user.ok(&["ls", "-o", "json"])).expect("JSON");
    let rows = listed["data"]["clusters"].as_array().expect("a list");
    let own = rows.iter().find(|r| r["name"] == cluster.name.as_str()).expect("the cluster is listed");
    assert_eq!((&own["nodes"], &own["running"]), (&Value::from(3), &Value::from(3)));
    assert!(user.ok(&["ls", "-o", "name"]).lines().any(|l| l == cluster.name));
    let tree = user.ok(&["topology", &cluster.file]);
    assert!(tree.contains("main  MAIN") && tree.contains("└─ rep2  ASYNC ready"), "{tree}");
    assert_eq!(user.ok(&["status", &cluster.file, "-o", "name"]), "main\nrep1\nrep2\n");
    let yaml = user.ok(&["status", &cluster.file, "-o", "yaml"]);
    assert!(yaml.contains("apiVersion: mgctl/v1"), "{yaml}");
    assert!(user.ok(&["status", &cluster.file, "-o", "wide"]).contains("REGISTERED AS"));

    let plan = user.ok(&["-f", &cluster.file, "stop", "--dry-run"]);
    assert!(plan.contains("stop rep1"), "{plan}");
    all_ready(&bolts[0], 2).expect("a dry run did something");
    json(cluster, &["stop", "rep2"]);
    user.fails(5, &["status", &cluster.file, "--check"]);
    assert_eq!(json(cluster, &["stop", "rep2"])["data"]["changed"], false);
    json(cluster, &["start", "rep2"]);
    wait::until("all is well", LIMIT, || is_well(cluster));

    json(cluster, &["stop"]);
    if let Some(engine) = engine {
        assert!(
            ["main", "rep1", "rep2"].iter().all(|n| !engine.state(&cluster.container(n)).0),
            "one still runs"
        );
    }
    assert_eq!(json(cluster, &["start"])["data"]["changed"], true);
    wait::until("all is well", LIMIT, || is_well(cluster));
    assert_eq!(json(cluster, &["start"])["data"]["changed"], false);
    assert_eq!(role(cluster, 0), PackValue::from("main"));
    assert_eq!(cluster.bolt(0).value(TOWNS), PackValue::Int(2));
    user.fails(4, &["-f", &cluster.file, "restart", "nobody"]);
    json(cluster, &["restart", "rep1"]);
    wait::until("all is well", LIMIT, || is_well(cluster));
}

/// Every node is restarted, and writes go on.
fn rolling_restart(python: &Path, cluster: &Cluster) {
    cluster.up();
    let bolts = cluster.bolts();
    let writer = Writer::start(python, &cluster.user.dir, &bolts);
    writer.wait_for(200, Some(&bolts[0]));
    let started = |cluster: &Cluster| -> Vec<String> {
        let status = cluster.user.ok(&["status", &cluster.file, "-o", "json"]);
        let status: Value = serde_json::from_str(&status).expect("JSON");
        let nodes = status["data"]["instances"].as_array().expect("a list").clone();
        nodes
            .iter()
            .map(|n| n["machine"]["name"].to_string() + &n["machine"]["started"].to_string())
            .collect()
    };
    let before = started(cluster);
    json(cluster, &["restart", "--rolling"]);
    assert!(started(cluster).iter().zip(&before).all(|(now, then)| now != then), "one was not restarted");
    assert_eq!(role(cluster, 1), PackValue::from("main"), "MAIN moved to the SYNC replica");
    writer.wait_for(200, Some(&bolts[1]));
    let acks = writer.stop();
    wait::until("every replica is ready", LIMIT, || all_ready(&bolts[1], 2));
    let args: Vec<String> = std::iter::once(acks.display().to_string()).chain(bolts).collect();
    print!("{}", script(python, "check_writes.py", &args));
}

fn see(cluster: &Cluster) {
    cluster.up();
    let user = &cluster.user;
    let doctor = json(cluster, &["doctor"]);
    let checks = doctor["data"]["checks"].as_array().expect("a list");
    let text = |name: &str| checks.iter().find(|c| c["name"] == name).map(|c| c["text"].clone());
    assert_eq!(text("replication"), Some(Value::from("nothing is wrong")), "{doctor}");
    assert_eq!(text("one MAIN"), Some(Value::from("main")), "{doctor}");

    // What changes is told while it changes, and on standard output.
    let events = user
        .command()
        .args(["-o", "json", "events", &cluster.file, "--for", "8s"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("mgctl can be started");
    let mut watch = user
        .command()
        .args(["-o", "json", "status", &cluster.file, "--watch=200ms"])
        .stdout(std::fs::File::create(user.dir.join("watched")).expect("the file can be made"))
        .spawn()
        .expect("mgctl can be started");
    let watched = || std::fs::read_to_string(user.dir.join("watched")).unwrap_or_default();
    wait::until("the view is drawn again", LIMIT, || match watched().matches("\"ClusterStatus\"").count() {
        n if n > 1 => Ok(()),
        n => Err(format!("{n} times so far")),
    });
    json(cluster, &["stop", "rep2"]);
    wait::until("the view shows that rep2 has ended", LIMIT, || {
        let text = watched();
        if text.contains("\"exited") { Ok(()) } else { Err(text) }
    });
    watch.kill().expect("a child can be killed");
    watch.wait().expect("a killed child can be waited for");
    let told = events.wait_with_output().expect("events ends by itself");
    let told = String::from_utf8(told.stdout).expect("it is text");
    assert!(told.contains("rep2 ") && told.contains("→ exited"), "{told}");

    let said = user.fails(0, &["doctor", &cluster.file]);
    assert!(said.contains("rep2 does not run") && said.contains("warn"), "{said}");
    user.fails(5, &["lag", &cluster.file, "--max", "1h"]);
    let plan = user.ok(&["doctor", &cluster.file, "--fix", "--dry-run"]);
    assert!(plan.contains("start rep2"), "{plan}");
    user.fails(5, &["status", &cluster.file, "--check"]);
    let fixed = json(cluster, &["doctor", "--fix"]);
    assert!(fixed["data"]["fixed"][0].as_str().is_some_and(|f| f.starts_with("start rep2")), "{fixed}");
    wait::until("rep2 follows again", LIMIT, || is_well(cluster));
    user.ok(&["lag", &cluster.file, "--max", "1h"]);
    json(cluster, &["stop"]);
    let said = user.fails(5, &["doctor", &cluster.file]);
    assert!(said.contains("no node answers as MAIN"), "{said}");
    json(cluster, &["start"]);
    wait::until("all is well", LIMIT, || is_well(cluster));

    let history = json(cluster, &["history"]);
    let done = history["data"]["operations"].as_array().expect("a list");
    let of = |word: &str| done.iter().find(|o| o["command"].as_str().is_some_and(|c| c.contains(word)));
    for word in ["up ", "stop rep2", "start"] {
        assert_eq!(of(word).unwrap_or_else(|| panic!("no {word} in {done:?}"))["exit"], 0);
    }
    let report = json(cluster, &["report", "all.tar"]);
    assert_eq!(report["data"]["file"], "all.tar");
    let bytes = std::fs::read(user.dir.join("all.tar")).expect("it was written");
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("report/status.json") && text.contains("report/nodes/rep1/log.txt"));
    user.fails(1, &["-f", &cluster.file, "report", "all.tar"]);
}

fn grow_and_shrink(cluster: &Cluster) {
    cluster.up();
    let user = &cluster.user;
    let bolts = cluster.bolts();
    let names = || user.ok(&["status", &cluster.file, "-o", "name"]);
    user.fails(9, &["-f", &cluster.file, "add", "rep1"]);
    let plan = user.ok(&["-f", &cluster.file, "add", "far", "--dry-run"]);
    assert!(plan.contains("create far") && plan.contains("REGISTER REPLICA far ASYNC"), "{plan}");
    all_ready(&bolts[0], 2).expect("a dry run did something");

    let text = || std::fs::read_to_string(user.dir.join(&cluster.file)).expect("the file is there");
    let before = text();
    let done = json(cluster, &["add", "far", "--mode", "ASYNC", "--write"]);
    assert_eq!(done["data"]["lines"][0], "far: { role: replica, mode: ASYNC }");
    all_ready(&bolts[0], 3).expect("add waits until the replica is ready");
    assert_eq!(names(), "main\nrep1\nrep2\nfar\n");
    let again = user.run(&["up", &cluster.file]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing to do"), "the file says the same");
    user.ok(&["verify", &cluster.file]);

    user.fails(7, &["-f", &cluster.file, "remove", "main"]);
    user.fails(4, &["-f", &cluster.file, "remove", "nobody"]);
    json(cluster, &["remove", "far", "--volumes", "--write", "--yes"]);
    all_ready(&bolts[0], 2).expect("the others stay");
    assert_eq!(text(), before, "the file is as it was");

    // A node that the file no longer names is told, and goes only when that is asked for.
    let fewer: String = before.lines().filter(|l| !l.contains("rep2:")).map(|l| format!("{l}\n")).collect();
    let fewer = user.file("fewer.yaml", &fewer);
    let status = user.answer(&["-f", &fewer, "status"]);
    assert_eq!(instance(&status, "rep2")["is_orphan"], true, "{status}");
    assert!(status.to_string().contains("up --remove-orphans removes it"), "{status}");
    assert!(user.ok(&["diff", &fewer]).contains("rep2: is in this cluster and not in the file"));
    let plan = user.ok(&["up", &fewer, "--remove-orphans", "--dry-run"]);
    assert!(plan.contains("DROP REPLICA REP2") && plan.contains("remove rep2"), "{plan}");
    user.ok(&["up", &fewer]);
    all_ready(&bolts[0], 2).expect("it stays until somebody asks");
    user.fails(2, &["up", &fewer, "--volumes"]);
    user.ok(&["up", &fewer, "--remove-orphans"]);
    all_ready(&bolts[0], 1).expect("the other one stays");
    assert_eq!(user.ok(&["status", &fewer, "-o", "name"]), "main\nrep1\n");
    cluster.bolt(0).run("CREATE (:Town {name: 'Bonn'})").expect("MAIN takes writes");
    user.ok(&["promote", "rep1", "-f", &fewer]);
    // Its data were kept: it comes back as what it was, and follows whoever is MAIN now.
    cluster.up();
    all_ready(&bolts[1], 2).expect("it follows again");
    user.ok(&["promote", "main", "-f", &cluster.file]);
    user.ok(&["verify", &cluster.file]);
    let less: String = before.lines().filter(|l| !l.contains("main:")).map(|l| format!("{l}\n")).collect();
    let less = user.file("less.yaml", &less.replace("role: replica, mode: SYNC", "role: main"));
    for verb in [
        &["up"][..],
        &["up", "--remove-orphans", "--yes"],
        &["repair"],
        &["failover", "--yes"],
        &["promote", "rep1"],
    ] {
        let said = user.fails(7, &[&["-f", less.as_str()], verb].concat());
        assert!(said.contains("MG045") && said.contains("`main` is MAIN"), "{verb:?}: {said}");
    }
    all_ready(&bolts[0], 2).expect("nothing was done");

    json(cluster, &["scale", "replicas=4", "--write"]);
    all_ready(&bolts[0], 4).expect("scale waits until the replicas are ready");
    assert_eq!(names(), "main\nrep1\nrep2\nrep3\nrep4\n");
    assert_eq!(json(cluster, &["scale", "replicas=4"])["data"]["changed"], false);
    json(cluster, &["scale", "replicas=1", "--write"]);
    assert_eq!(names(), "main\nrep1\n", "the SYNC replica stays");
    all_ready(&bolts[0], 1).expect("one follows");
}

/// From one image tag to another and back, under load.
fn upgrade(engine: &Engine, python: &Path) {
    let cluster = Cluster::new("t-upgrade", 27990, Where::Docker, "");
    cluster.up();
    let user = &cluster.user;
    let image = user.ok(&["image", "load"]).trim().to_owned();
    let other = "mgctl/mgnode:t-upgrade";
    engine.tag(&image, other);
    let bolts = cluster.bolts();
    let writer = Writer::start(python, &user.dir, &bolts);
    writer.wait_for(200, Some(&bolts[0]));
    assert_eq!(json(&cluster, &["upgrade"])["data"]["changed"], false, "all run the image of this mgctl");
    let plan = user.ok(&["upgrade", &cluster.file, "--image", other, "--dry-run"]);
    assert!(plan.contains("remove rep1") && plan.contains("SET REPLICATION ROLE TO MAIN"), "{plan}");
    assert_eq!(role(&cluster, 0), PackValue::from("main"), "a dry run did something");

    let done = json(&cluster, &["upgrade", "--image", other]);
    assert_eq!(done["data"]["upgraded"].as_array().expect("a list").len(), 3, "{done}");
    for node in ["main", "rep1", "rep2"] {
        assert_eq!(engine.image(&cluster.container(node)), other);
    }
    assert_eq!(role(&cluster, 1), PackValue::from("main"), "MAIN moved to the SYNC replica");
    writer.wait_for(200, Some(&bolts[1]));
    let acks = writer.stop();
    wait::until("every replica is ready", LIMIT, || all_ready(&bolts[1], 2));
    let args: Vec<String> = std::iter::once(acks.display().to_string()).chain(bolts).collect();
    print!("{}", script(python, "check_writes.py", &args));
    // The file says another image than runs: that is what the next one mends.
    json(&cluster, &["upgrade"]);
    assert_eq!(engine.image(&cluster.container("rep1")), image);
    user.ok(&["down", &cluster.file, "--volumes", "--yes"]);
    engine.untag(other);
}
