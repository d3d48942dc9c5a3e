//! The certificates of a cluster: who has them, who is kept out, and that they are renewed.

use super::cluster::Cluster;
use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready, replicas};
use mg_tests::docker::Engine;
use mg_tests::mgctl::Where;
use mg_tests::node::Node;
use mg_tests::wait;
use mgctl::authority::Authority;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const NODES: [&str; 3] = ["main", "rep1", "rep2"];
/// The user that nodes run as in containers.
const NODE_UID: u64 = 10001;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::docker("docker_each_node_has_its_certificate_and_none_the_authority", containers),
        super::plain("process_certificates_are_private_kept_and_renewed_without_a_restart", renewal),
        super::plain("process_nodes_take_the_certificates_of_files", || {
            of_files(&Cluster::new("t-tls-f", 27860, Where::Process, FILES), None);
        }),
        super::docker("docker_nodes_take_the_certificates_of_files", |engine| {
            of_files(&Cluster::new("t-tls-fd", 27870, Where::Docker, FILES), Some(engine));
        }),
        super::plain("process_a_node_without_a_certificate_is_kept_out", stranger),
        super::plain("open_pairing_is_warned_of_once_and_the_key_lasts", pairing),
    ]
}

fn containers(engine: &Engine) {
    let cluster = Cluster::new("t-tls", 27830, Where::Docker, "");
    let authority = "mgctl-t-tls-ca";
    let plan = cluster.user.ok(&["diff", &cluster.file]);
    assert!(plan.contains("create the cluster's authority"), "{plan}");
    assert!(plan.contains("give rep2 a certificate"), "{plan}");
    cluster.up();
    assert!(engine.has_volume(authority));
    assert_eq!(engine.id("mgctl-t-tls_ca"), None, "the container that reached the authority is left");
    let mut keys = Vec::new();
    for node in NODES {
        let container = cluster.container(node);
        let volumes = engine.volumes_of(&container);
        assert_eq!(volumes, [format!("mgctl-t-tls-{node}-data")], "{node} has more than its data");
        for file in ["node.crt", "node.key", "ca.crt"] {
            let (mode, owner, bytes) = engine
                .file(&container, &format!("/data/tls/{file}"))
                .unwrap_or_else(|| panic!("{node}: {file}"));
            assert_eq!((mode, owner), (0o400, NODE_UID), "{node}: {file}");
            if file == "node.key" {
                keys.push(bytes);
            }
        }
        assert!(engine.file(&container, "/data/tls/ca.key").is_none(), "{node} holds the authority's key");
        assert!(
            engine.file(&container, "/data/replication.key").is_none(),
            "{node} has a key of its own too"
        );
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3, "two nodes share a key");

    // The authority outlives the containers, and goes with the data.
    let of = |node: &str| engine.file(&cluster.container(node), "/data/tls/ca.crt").expect("it is there").2;
    let before = of("rep1");
    cluster.user.ok(&["down", &cluster.file]);
    assert!(engine.has_volume(authority));
    cluster.up();
    assert_eq!(of("rep1"), before, "another authority was made");
    all_ready(&cluster.bolts()[0], 2).expect("up waits until the replicas are ready");
    cluster.user.ok(&["down", &cluster.file, "--volumes", "--yes"]);
    assert!(!engine.has_volume(authority), "the authority is still there");
}

fn folder(cluster: &Cluster) -> PathBuf {
    cluster.user.dir.join("state/mgctl").join(&cluster.name)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode() & 0o777
}

fn renewal() {
    let cluster = Cluster::new("t-tls-p", 27840, Where::Process, "");
    cluster.up();
    let (home, authority) = (folder(&cluster), folder(&cluster).join(".ca"));
    assert_eq!((mode(&authority), mode(&authority.join("ca.key"))), (0o700, 0o600));
    for node in NODES {
        for file in ["node.crt", "node.key", "ca.crt"] {
            assert_eq!(mode(&home.join(node).join("tls").join(file)), 0o400, "{node}: {file}");
        }
    }
    assert!(!cluster.user.ok(&["status", &cluster.file]).contains("certificate"));

    // A certificate of the same authority with ten days to go.
    let read = |name: &str| fs::read_to_string(authority.join(name)).expect("the test may read it");
    let opened = Authority::read(&cluster.name, &read("ca.crt"), &read("ca.key")).expect("it is whole");
    let leaf = opened.issue_for("rep1", 10).expect("it issues");
    let tls = home.join("rep1/tls");
    for (name, text) in [("node.crt", &leaf.certificate), ("node.key", &leaf.key)] {
        fs::remove_file(tls.join(name)).expect("it was there");
        let file = fs::File::options().write(true).create_new(true).mode(0o400).open(tls.join(name));
        std::io::Write::write_all(&mut file.expect("a new file"), text.as_bytes()).expect("it is written");
    }
    let said = cluster.user.ok(&["status", &cluster.file]);
    assert!(said.contains("rep1: its certificate ends in 9 days"), "{said}");
    let said = cluster.user.ok(&["diff", &cluster.file]);
    assert!(said.contains("give rep1 a certificate") && !said.contains("give rep2"), "{said}");

    let pid = || fs::read_to_string(home.join("rep1/pid")).expect("it runs");
    let before = pid();
    cluster.up();
    assert_eq!(pid(), before, "the node was started anew");
    assert_ne!(fs::read_to_string(tls.join("node.crt")).expect("it is there"), leaf.certificate);
    assert_eq!(mode(&tls.join("node.key")), 0o400);
    assert!(!cluster.user.ok(&["status", &cluster.file]).contains("certificate"));

    // The next connection is made with the new one.
    cluster.user.ok(&["-f", &cluster.file, "unregister", "rep1"]);
    cluster.up();
    wait::until("every replica is ready", LIMIT, || all_ready(&cluster.bolts()[0], 2));
    let log = fs::read_to_string(home.join("rep1/log")).expect("it has a log");
    assert!(log.contains("the cluster's certificates were replaced"), "{log}");
}

/// What a file says whose certificates somebody else issues.
const FILES: &str = "tls: { mode: files, folder: tls }\n";

/// Somebody else's authority, and one way to ask for what it issued.
fn of_files(cluster: &Cluster, engine: Option<&Engine>) {
    let file = |name: &str, text: &str| cluster.user.file(&format!("tls/{name}"), text);
    let put = |authority: &Authority, node: &str, days: i64| {
        let leaf = authority.issue_for(node, days).expect("it issues");
        file("ca.crt", &leaf.authority);
        file(&format!("{node}.crt"), &leaf.certificate);
        file(&format!("{node}.key"), &leaf.key);
        leaf.certificate
    };
    let held = |node: &str| match engine {
        Some(engine) => {
            let container = cluster.container(node);
            let (mode, owner, bytes) = engine.file(&container, "/data/tls/node.crt").expect("it is there");
            assert_eq!((mode, owner), (0o400, NODE_UID), "{node}");
            String::from_utf8(bytes).expect("PEM is text")
        }
        None => {
            let path = folder(cluster).join(node).join("tls/node.crt");
            assert_eq!(mode(&path), 0o400, "{node}");
            fs::read_to_string(path).expect("it is there")
        }
    };
    fs::create_dir(cluster.user.dir.join("tls")).expect("a folder");
    let authority = Authority::make(&cluster.name).expect("an authority");
    put(&authority, "main", 100);
    put(&authority, "rep1", 100);

    // All that is missing is named before anything is made.
    let out = cluster.user.run(&["up", &cluster.file]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("rep2.crt`: no such file") && said.contains("rep2.key`: no such file"), "{said}");
    assert!(cluster.user.run(&["ls"]).status.success());
    let last = put(&authority, "rep2", 10);
    cluster.up();
    wait::until("every replica is ready", LIMIT, || all_ready(&cluster.bolts()[0], 2));
    assert_eq!(held("rep2").trim(), last.trim());
    if let Some(engine) = engine {
        assert!(!engine.has_volume(&format!("mgctl-{}-ca", cluster.name)), "an authority was made");
    }

    // It ends soon, and only another file can change that.
    let said = cluster.user.ok(&["status", &cluster.file]);
    assert!(
        said.contains("rep2: its certificate ends in 9 days") && said.contains("put a new rep2.crt"),
        "{said}"
    );
    let said = cluster.user.ok(&["doctor", "-f", &cluster.file, "--fix"]);
    assert!(said.contains("left: rep2: its certificate ends in 9 days"), "{said}");
    let next = put(&authority, "rep2", 100);
    let said = cluster.user.ok(&["doctor", "-f", &cluster.file, "--fix"]);
    assert!(said.contains("fixed: give rep2 a certificate"), "{said}");
    assert_eq!(held("rep2").trim(), next.trim());
    assert!(said.contains("of 3 nodes; the first, of"), "{said}");
    assert!(cluster.user.ok(&["up", &cluster.file]).contains("nothing to do"));

    // From one authority to the next: first both are believed, then the nodes change over; none is started anew.
    let machines = || cluster.user.ok(&["status", &cluster.file, "-o", "json"]);
    let ids = |text: &str| {
        let read: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let nodes = read["data"]["instances"].as_array().expect("a list").clone();
        nodes.into_iter().map(|node| node["machine"]["id"].clone()).collect::<Vec<_>>()
    };
    let before = ids(&machines());
    let other = Authority::make(&cluster.name).expect("an authority");
    let both = format!("{}{}", authority.certificate(), other.certificate());
    file("ca.crt", &both);
    cluster.up();
    for node in NODES {
        put(&other, node, 100);
    }
    file("ca.crt", &both);
    cluster.up();
    file("ca.crt", other.certificate());
    cluster.up();
    assert_eq!(ids(&machines()), before, "a node was started anew");
    cluster.user.ok(&["-f", &cluster.file, "unregister", "rep1"]);
    cluster.up();
    wait::until("every replica is ready", LIMIT, || all_ready(&cluster.bolts()[0], 2));

    // Without the files it is still operated, by its name too; only what needs a certificate is refused.
    fs::remove_file(cluster.user.dir.join("tls/rep2.key")).expect("it was there");
    cluster.user.ok(&["-f", &cluster.file, "promote", "rep1"]);
    let out = cluster.user.run(&["-f", &cluster.file, "reinit", "rep2", "--yes"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(2) && said.contains("MG086"), "{said}");
    assert!(cluster.user.ok(&["-c", &cluster.name, "status"]).contains("HEALTHY"));
    put(&other, "rep2", 100);
    cluster.user.ok(&["-f", &cluster.file, "reinit", "rep2", "--yes"]);
    assert!(cluster.user.ok(&["verify", &cluster.file]).contains("same graph"));
}

fn pairing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let main = Node::start(dir.path(), "main", &[]);
    let mut replica = Node::start(dir.path(), "replica", &[]);
    let connect = |node: &Node| {
        let address = node.bolt().to_string();
        wait::until("it speaks Bolt", LIMIT, || Bolt::connect(&address))
    };
    let warnings = |node: &Node| {
        fs::read_to_string(node.log_file()).expect("it has a log").matches("WARN pairing is open").count()
    };
    let key = replica.dir.join("data/replication.key");
    let before = fs::read(&key).expect("it was made at the start");
    assert_eq!(mode(&key), 0o600);
    assert_eq!((warnings(&main), warnings(&replica)), (0, 0));

    connect(&replica).run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;").expect("it becomes a REPLICA");
    wait::until("it warns", LIMIT, || if warnings(&replica) == 1 { Ok(()) } else { Err("no warning") });
    connect(&main)
        .run(&format!("REGISTER REPLICA r SYNC TO \"{}\";", replica.replication()))
        .expect("the first MAIN is obeyed");
    replica.kill();
    replica.spawn();
    wait::until("it follows again", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    assert_eq!(warnings(&replica), 1, "it knows its cluster, and warns again");
    assert_eq!(fs::read(&key).expect("it is there"), before, "it has another key");

    // Without its key it would be a stranger: it does not start.
    replica.stop();
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\n").expect("the test may");
    replica.launch();
    let log = replica.log_file();
    wait::until("it says why", LIMIT, || {
        let said = fs::read_to_string(&log).map_err(|e| e.to_string())?;
        if said.contains("replication.key` is damaged") { Ok(()) } else { Err(said) }
    });
    assert_eq!(fs::read(&key).expect("it is there"), b"-----BEGIN PRIVATE KEY-----\n", "it was replaced");
}

fn stranger() {
    let cluster = Cluster::new("t-tls-s", 27850, Where::Process, "");
    cluster.up();
    let rows = replicas(&mut cluster.bolt(0)).expect("rows");
    let address = &rows.iter().find(|r| r.name == "REP1").expect("it is registered").address;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::start(dir.path(), "stranger", &[]);
    let mut bolt = wait::until("it speaks Bolt", LIMIT, || Bolt::connect(&node.bolt().to_string()));
    let (_, said) = bolt.refusal(&format!("REGISTER REPLICA stolen SYNC TO \"{address}\";"));
    assert!(said.contains("refused the handshake"), "{said}");
    assert!(replicas(&mut bolt).expect("rows").is_empty(), "something of it was kept");
    all_ready(&cluster.bolts()[0], 2).expect("the cluster did not notice");
    let log = fs::read_to_string(folder(&cluster).join("rep1/log")).expect("it has a log");
    assert!(log.contains("a connection to the replication port came to nothing"), "{log}");
}
