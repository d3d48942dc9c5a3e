//! `mgctl` and whole clusters, in Docker and as processes.

use super::clients::script;
use super::crash::Writer;
use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready};
use mg_tests::docker::Engine;
use mg_tests::mgctl::{User, Where};
use mg_tests::wait;
use mgbolt::PackValue;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::docker("docker_up_status_query_down", |engine| {
            up_and_down(&Cluster::new("t-life", 27710, Where::Docker, ""), Some(engine));
        }),
        super::plain("process_up_status_query_down", || {
            up_and_down(&Cluster::new("t-life-p", 27720, Where::Process, ""), None);
        }),
        super::docker("docker_restart_in_another_order_static_addresses", |engine| {
            restart_in_another_order(engine, &Cluster::new("t-order", 27730, Where::Docker, ""));
        }),
        super::docker("docker_restart_in_another_order_moving_addresses", |engine| {
            restart_in_another_order(
                engine,
                &Cluster::new("t-moving", 27740, Where::Docker, "addressing: ip\n"),
            );
        }),
        super::docker("docker_a_foreign_container_of_the_same_name_is_left_alone", foreign),
        super::docker("docker_a_taken_port_is_named_and_another_try_finishes", taken_port),
        super::docker("docker_a_first_up_that_fails_is_taken_back", |_| {
            taken_back("t-first", 27770, Where::Docker);
        }),
        super::plain("process_a_first_up_that_fails_is_taken_back", || {
            taken_back("t-first-p", 27780, Where::Process);
        }),
        super::python("process_promote_under_load_loses_nothing", |python| {
            promote_under_load(python, &Cluster::new("t-promote-p", 27750, Where::Process, ""));
        }),
        super::docker_and_python("docker_promote_under_load_loses_nothing", |_, python| {
            promote_under_load(python, &Cluster::new("t-promote", 27760, Where::Docker, ""));
        }),
        super::docker_and_python("docker_a_killed_main_keeps_every_acknowledged_write", killed_main),
        super::plain("process_bad_input_is_told_apart_by_exit_code", bad_input),
    ]
}

/// A cluster of one MAIN, one SYNC and one ASYNC replica; it goes with the test.
pub(crate) struct Cluster {
    _dir: tempfile::TempDir,
    pub(crate) user: User,
    pub(crate) name: String,
    pub(crate) file: String,
    base: u16,
}

impl Cluster {
    pub(crate) fn new(name: &str, base: u16, place: Where, more: &str) -> Cluster {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let user = User::new(dir.path(), place);
        let file = user.file(
            "cluster.yaml",
            &format!(
                "name: {name}\n{more}ports: {{ bolt_base: {base} }}\ninstances:\n  main: {{ role: main }}\n  \
                 rep1: {{ role: replica, mode: SYNC, register_as: REP1 }}\n  \
                 rep2: {{ role: replica, mode: ASYNC, register_as: REP2 }}\n\
                 init: {{ cypher: init.cypherl }}\n"
            ),
        );
        user.file(
            "init.cypherl",
            "CREATE INDEX ON :Town(name);\nCREATE (:Town {name: 'Ulm'}), (:Town {name: 'Köln'});\n",
        );
        let cluster = Cluster { _dir: dir, user, name: name.to_owned(), file, base };
        // What an earlier run that was cut off has left.
        cluster.user.run(&["down", &cluster.file, "--volumes", "--yes"]);
        cluster
    }

    pub(crate) fn up(&self) -> String {
        self.user.ok(&["up", &self.file])
    }

    /// Bolt addresses in the order of the file.
    pub(crate) fn bolts(&self) -> [String; 3] {
        [0, 1, 2].map(|i| format!("127.0.0.1:{}", self.base + i))
    }

    pub(crate) fn bolt(&self, index: usize) -> Bolt {
        let address = &self.bolts()[index];
        wait::until(&format!("{address} speaks Bolt"), LIMIT, || Bolt::connect(address))
    }

    pub(crate) fn container(&self, instance: &str) -> String {
        format!("mgctl-{}-{instance}", self.name)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A failure here must not hide the test's own.
        let out = self.user.run(&["down", &self.file, "--volumes", "--yes"]);
        if !out.status.success() {
            eprintln!("mgctl down: {}", String::from_utf8_lossy(&out.stderr));
        }
    }
}

/// A node that cannot start: what the first `up` made goes again, unless it is asked to stay; what was there
/// before never goes.
fn taken_back(name: &str, base: u16, place: Where) {
    let cluster = Cluster::new(name, base, place, "");
    let good = std::fs::read_to_string(cluster.user.dir.join(&cluster.file)).expect("the file is there");
    let bad = good.replace("register_as: REP2 }", "register_as: REP2, flags: { no-such-flag: 1 } }");
    assert_ne!(good, bad);
    cluster.user.file(&cluster.file, &bad);
    let known = || cluster.user.ok(&["ls", "-o", "json"]).contains(&format!("\"{name}\""));

    let said = cluster.user.fails(5, &["up", &cluster.file]);
    assert!(said.contains("no-such-flag"), "the node's own words are told:\n{said}");
    assert!(said.contains("was taken back"), "{said}");
    assert!(!known(), "a cluster is left");
    let left = cluster.user.ok(&["down", &cluster.file, "--volumes", "--yes", "-o", "json", "--dry-run"]);
    assert!(!left.contains("volume"), "volumes are left: {left}");

    let said = cluster.user.fails(5, &["up", &cluster.file, "--keep-on-failure"]);
    assert!(said.contains("what was made stays"), "{said}");
    assert!(known(), "nothing is left to be looked at");
    cluster.user.file(&cluster.file, &good);
    cluster.up();
    assert_eq!(cluster.bolt(0).value(TOWNS), PackValue::Int(2));

    // The data are there already: a failure takes back no more than the machines.
    cluster.user.ok(&["down", &cluster.file]);
    cluster.user.file(&cluster.file, &bad);
    let said = cluster.user.fails(5, &["up", &cluster.file]);
    assert!(said.contains("was taken back"), "{said}");
    cluster.user.file(&cluster.file, &good);
    cluster.up();
    assert_eq!(cluster.bolt(0).value(TOWNS), PackValue::Int(2));
}

const TOWNS: &str = "MATCH (t:Town) RETURN count(t);";

fn up_and_down(cluster: &Cluster, engine: Option<&Engine>) {
    cluster.up();
    for index in 0..3 {
        assert_eq!(cluster.bolt(index).value(TOWNS), PackValue::Int(2));
        let role = if index == 0 { "main" } else { "replica" };
        assert_eq!(cluster.bolt(index).value("SHOW REPLICATION ROLE;"), PackValue::from(role));
    }
    all_ready(&cluster.bolts()[0], 2).expect("up waits until the replicas are ready");
    let ids = || {
        engine.map(|e| ["main", "rep1", "rep2"].map(|n| e.id(&cluster.container(n)).expect("it is there")))
    };
    let before = ids();

    let again = cluster.user.run(&["up", &cluster.file]);
    let said =
        format!("{}{}", String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&again.stderr));
    assert!(again.status.success() && said.contains("nothing to do"), "{said}");
    assert_eq!(ids(), before, "the second `up` changed a container");
    cluster.user.ok(&["status", &cluster.file, "--check"]);
    cluster.user.ok(&["diff", &cluster.file]);

    let json: serde_json::Value =
        serde_json::from_str(&cluster.user.ok(&["status", &cluster.file, "-o", "json"])).expect("JSON");
    assert_eq!(json["apiVersion"], "mgctl/v1");
    assert_eq!(json["ok"], true);
    let queried = cluster.user.ok(&[
        "-f",
        &cluster.file,
        "query",
        "MATCH (t:Town) RETURN t.name ORDER BY t.name",
        "--on",
        "all",
    ]);
    assert_eq!(queried.matches("Köln").count(), 3, "{queried}");
    let said = cluster.user.run(&["-f", &cluster.file, "query", "CREATE (:Town)", "--on", "rep1"]);
    assert!(!said.status.success());
    assert!(
        String::from_utf8_lossy(&said.stderr).contains("--on main"),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    cluster.user.ok(&["verify", &cluster.file]);
    let raw = cluster.user.ok(&["show-replicas", &cluster.file, "--raw"]);
    assert!(raw.contains("socket_address") && raw.contains("REP1"), "{raw}");

    cluster.user.ok(&["-f", &cluster.file, "unregister", "rep2"]);
    all_ready(&cluster.bolts()[0], 1).expect("one replica is left");
    cluster.user.ok(&["-f", &cluster.file, "register", "rep2"]);
    all_ready(&cluster.bolts()[0], 2).expect("it is back");

    // Data stay over `down`; `init` does not run twice.
    cluster.user.ok(&["down", &cluster.file]);
    if let Some(engine) = engine {
        assert_eq!(engine.id(&cluster.container("main")), None);
        assert!(engine.has_volume(&format!("mgctl-{}-main-data", cluster.name)));
    }
    cluster.up();
    assert_eq!(cluster.bolt(2).value(TOWNS), PackValue::Int(2));
    cluster.user.ok(&["down", &cluster.file, "--volumes", "--yes"]);
    if let Some(engine) = engine {
        assert!(!engine.has_volume(&format!("mgctl-{}-main-data", cluster.name)));
        assert!(!engine.has_network(&format!("mgctl-{}", cluster.name)));
    }
}

/// Whoever took whose address: MAIN never talks to the wrong node, and all is well again without
/// help, or after one `up`.
fn restart_in_another_order(engine: &Engine, cluster: &Cluster) {
    cluster.up();
    let network = format!("mgctl-{}", cluster.name);
    for order in [["rep2", "rep1", "main"], ["rep1", "main", "rep2"]] {
        for instance in ["main", "rep1", "rep2"] {
            engine.stop(&cluster.container(instance));
        }
        for instance in order {
            engine.start(&cluster.container(instance));
        }
        let addresses = order.map(|i| engine.ip(&cluster.container(i), &network));
        println!("after a start in the order {order:?}: {addresses:?}");
        cluster.bolt(0).run("CREATE (:Town {name: 'Bonn'})").expect("MAIN takes writes");
        cluster.up();
        all_ready(&cluster.bolts()[0], 2).expect("up waits until the replicas are ready");
        cluster.user.ok(&["status", &cluster.file, "--check"]);
    }
    let mut main = cluster.bolt(0);
    assert_eq!(main.value("SHOW REPLICATION ROLE;"), PackValue::from("main"));
    let shown = mg_tests::bolt::replicas(&mut main).expect("rows");
    for (name, instance, mode) in [("REP1", "rep1", "sync"), ("REP2", "rep2", "async")] {
        let row = shown.iter().find(|r| r.name == name).unwrap_or_else(|| panic!("{name} is registered"));
        assert_eq!(row.mode, mode, "names and modes stay with their nodes");
        let ip = engine.ip(&cluster.container(instance), &network);
        assert_eq!(row.address, format!("{ip}:10000"));
    }
    for index in 0..3 {
        assert_eq!(cluster.bolt(index).value(TOWNS), PackValue::Int(4));
    }
}

fn foreign(engine: &Engine) {
    let cluster = Cluster::new("t-foreign", 27770, Where::Docker, "");
    let image = cluster.user.ok(&["image", "load"]).trim().to_owned();
    let name = cluster.container("rep1");
    let container = engine.run(&name, &image);
    let id = engine.id(&name);
    let said = cluster.user.fails(9, &["up", &cluster.file]);
    assert!(said.contains(&name), "{said}");
    let said = cluster.user.run(&["down", &cluster.file, "--volumes", "--yes"]);
    assert_eq!(
        engine.id(&name),
        id,
        "a foreign container was touched: {}",
        String::from_utf8_lossy(&said.stderr)
    );
    drop(container);
    cluster.up();
    all_ready(&cluster.bolts()[0], 2).expect("the same command finishes once the name is free");
}

fn taken_port(engine: &Engine) {
    let cluster = Cluster::new("t-port", 27780, Where::Docker, "");
    let fixed = std::fs::read_to_string(cluster.user.dir.join(&cluster.file)).expect("it was written");
    cluster
        .user
        .file(&cluster.file, &fixed.replace("{ bolt_base: 27780 }", "{ bolt_base: 27780, strategy: fixed }"));
    let taken = std::net::TcpListener::bind("127.0.0.1:27781").expect("the port is free");
    let said = cluster.user.fails(9, &["up", &cluster.file]);
    assert!(said.contains("MG019") && said.contains("27781"), "{said}");
    drop(taken);
    cluster.up();
    all_ready(&cluster.bolts()[0], 2).expect("the same command finishes once the port is free");
    assert!(engine.id(&cluster.container("rep1")).is_some());
}

fn promote_under_load(python: &Path, cluster: &Cluster) {
    cluster.up();
    let bolts = cluster.bolts();
    let writer = Writer::start(python, &cluster.user.dir, &bolts);
    // `up` mends what is missing, and does not call nodes different that are merely written to.
    cluster.user.ok(&["-f", &cluster.file, "unregister", "rep2"]);
    cluster.up();
    writer.wait_for(1500, Some(&bolts[0]));
    let said = cluster.user.ok(&["-f", &cluster.file, "promote", "rep1"]);
    writer.wait_for(1500, Some(&bolts[1]));
    let acks = writer.stop();
    assert_eq!(cluster.bolt(1).value("SHOW REPLICATION ROLE;"), PackValue::from("main"));
    wait::until("every replica is ready", LIMIT, || all_ready(&bolts[1], 2));
    let args: Vec<String> = std::iter::once(acks.display().to_string()).chain(bolts).collect();
    print!("{said}{}", script(python, "check_writes.py", &args));
    // MAIN stays where it was put.
    let again = cluster.user.run(&["up", &cluster.file]);
    assert!(again.status.success());
    assert_eq!(cluster.bolt(1).value("SHOW REPLICATION ROLE;"), PackValue::from("main"));
}

fn killed_main(engine: &Engine, python: &Path) {
    let cluster = Cluster::new("t-kill", 27790, Where::Docker, "");
    cluster.up();
    let bolts = cluster.bolts();
    let writer = Writer::start(python, &cluster.user.dir, &bolts[..1]);
    writer.wait_for(500, None);
    engine.kill(&cluster.container("main"));
    engine.start(&cluster.container("main"));
    let before = writer.acknowledged(None);
    writer.wait_for(before + 500, None);
    let acks = writer.stop();
    wait::until("every replica is ready", LIMIT, || all_ready(&bolts[0], 2));
    let args: Vec<String> = std::iter::once(acks.display().to_string()).chain(bolts).collect();
    print!("{}", script(python, "check_writes.py", &args));
}

fn bad_input() {
    let cluster = Cluster::new("t-bad-p", 27800, Where::Process, "");
    let user = &cluster.user;
    let says = |code: i32, args: &[&str], words: &[&str]| {
        let said = user.fails(code, args);
        for word in words {
            assert!(said.contains(word), "mgctl {args:?} does not say `{word}`:\n{said}");
        }
    };
    says(2, &["up", "nowhere.yaml"], &["MG001", "nowhere.yaml", "help:"]);
    user.file("empty.yaml", "");
    says(2, &["up", "empty.yaml"], &["MG003"]);
    user.file("broken.yaml", "name: x\n\tinstances: {}\n");
    says(2, &["up", "broken.yaml"], &["MG002", "broken.yaml:1:7", "tab"]);
    user.file("mains.yaml", "name: x\ninstances:\n  a: { role: main }\n  b: { role: main }\n");
    says(2, &["up", "mains.yaml"], &["MG011"]);
    user.file(
        "mixed.yaml",
        "name: x\ninstances:\n  a: { role: main }\n  b: { role: replica, mode: SYNC }\n  \
         c: { role: replica, mode: STRICT_SYNC }\n",
    );
    says(2, &["up", "mixed.yaml"], &["MG012"]);
    says(3, &["up", &cluster.file, "--runtime", "docker"], &["/nonexistent/docker.sock"]);
    says(4, &["-c", "no-such-cluster", "status"], &["no-such-cluster"]);
    cluster.up();
    says(9, &["-f", &cluster.file, "register", "rep1"], &["REP1"]);
    says(4, &["-f", &cluster.file, "promote", "nobody"], &["nobody"]);
    all_ready(&cluster.bolts()[0], 2).expect("nothing was changed");
}
