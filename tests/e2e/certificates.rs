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
        super::plain("process_a_node_without_a_certificate_is_kept_out", stranger),
        super::plain("open_pairing_is_warned_of_once_and_the_key_lasts", pairing),
    ]
}

fn containers(engine: &Engine) {
    let cluster = Cluster::new("t-tls", 27830, Where::Docker, "");
    let authority = "mgctl-t-tls-ca";
    let plan = cluster.user.ok(&["diff", &cluster.file]);
    assert!(plan.contains("create the cluster's authority"), "{plan}");
    assert!(plan.contains("issue a certificate for rep2"), "{plan}");
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
    assert!(said.contains("issue a certificate for rep1") && !said.contains("for rep2"), "{said}");

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
