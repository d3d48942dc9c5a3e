//! How the file says that nodes are kept, as the engine and the system see it.

use super::cluster::Cluster;
use libtest_mimic::Trial;
use mg_tests::bolt::all_ready;
use mg_tests::docker::Engine;
use mg_tests::mgctl::Where;
use mg_tests::wait;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::docker("docker_a_container_is_kept_as_the_file_says", kept),
        super::docker("docker_data_may_be_in_a_folder_that_outlives_all", folder),
        super::docker("docker_another_image_gets_its_user_its_licence_and_its_ports", another),
        super::docker("docker_a_network_of_others_is_used_and_left", shared),
        super::docker("docker_a_network_has_the_driver_and_the_mtu_of_the_file", driven),
        super::docker("docker_the_engine_of_a_context_is_used", context),
        super::plain("process_limits_are_set_before_a_node_begins", limits),
    ]
}

const KEPT: &str = "defaults:\n  restart: always\n  stop_grace_period: 45s\n  \
    healthcheck: { test: [CMD, /mgctl, version], interval: 1s, timeout: 5s, retries: 2, start_period: 1s }\n  \
    logging: { driver: local, max_size: 1m, max_file: 2 }\n  \
    ulimits: { nofile: { soft: 2048, hard: 4096 }, core: 0 }\n  labels: { team: graph }\n";

fn kept(engine: &Engine) {
    let cluster = Cluster::new("t-kept", 28010, Where::Docker, KEPT);
    cluster.up();
    let container = cluster.container("rep1");
    let found = engine.inspect(&container);
    let host = &found["HostConfig"];
    assert_eq!(host["RestartPolicy"]["Name"], "always");
    let logging = json!({ "Type": "local", "Config": { "max-size": "1048576", "max-file": "2" } });
    assert_eq!(host["LogConfig"], logging);
    let mut ulimits = host["Ulimits"].as_array().expect("a list").clone();
    ulimits.sort_by_key(|limit| limit["Name"].to_string());
    assert_eq!(
        Value::Array(ulimits),
        json!([{ "Name": "core", "Soft": 0, "Hard": 0 }, { "Name": "nofile", "Soft": 2048, "Hard": 4096 }])
    );
    let config = &found["Config"];
    assert_eq!(config["Labels"]["team"], "graph");
    assert_eq!(config["Labels"]["dev.mgctl.instance"], "rep1");
    assert_eq!(config["StopTimeout"], 45);
    let second = 1_000_000_000u64;
    assert_eq!(config["Healthcheck"]["Test"], json!(["CMD", "/mgctl", "version"]));
    assert_eq!(config["Healthcheck"]["Interval"], second);
    assert_eq!(config["Healthcheck"]["Timeout"], 5 * second);
    assert_eq!(config["Healthcheck"]["Retries"], 2);
    assert_eq!(config["Healthcheck"]["StartPeriod"], second);
    wait::until("the engine calls it healthy", LIMIT, || {
        let health = engine.inspect(&container)["State"]["Health"]["Status"].clone();
        if health == "healthy" { Ok(()) } else { Err(health.to_string()) }
    });
    assert!(cluster.user.ok(&["-f", &cluster.file, "logs", "rep1", "-n", "5"]).len() > 10, "it has a log");

    // The engine keeps a fenced container from starting; brought back, it is kept as before.
    let (name, file) = (&cluster.container("main"), &cluster.file);
    let policy = || engine.inspect(name)["HostConfig"]["RestartPolicy"]["Name"].clone();
    cluster.user.ok(&["failover", "-f", file, "--kill-main", "--yes"]);
    assert_eq!(policy(), "no");
    cluster.user.ok(&["rejoin", "main", "-f", file, "--yes"]);
    assert_eq!(policy(), "always");

    // A field is named by its place in the file, and only the node that it is about is made anew.
    let text = fs::read_to_string(cluster.user.dir.join(file)).expect("the file is there");
    let before = ["main", "rep1", "rep2"].map(|n| engine.id(&cluster.container(n)));
    let changed = text.replace(
        "mode: ASYNC, register_as: REP2 }",
        "mode: ASYNC, register_as: REP2, ulimits: { nofile: 1024 }, \
         healthcheck: { test: [CMD, /mgctl, no-such-verb] } }",
    );
    assert_ne!(changed, text);
    cluster.user.file(file, &changed);
    let plan = cluster.user.ok(&["diff", file]);
    assert!(plan.contains("ulimits.nofile 2048:4096 → 1024"), "{plan}");
    assert!(plan.contains("healthcheck.test CMD /mgctl version → CMD /mgctl no-such-verb"), "{plan}");
    cluster.up();
    let after = ["main", "rep1", "rep2"].map(|n| engine.id(&cluster.container(n)));
    assert_eq!((&before[0], &before[1]), (&after[0], &after[1]), "another node was made anew");
    assert_ne!(before[2], after[2]);
    // What its own test says is told; nothing depends on it.
    wait::until("status tells of the test that fails", LIMIT, || {
        let said = cluster.user.ok(&["status", file]);
        if said.contains("rep2: its healthcheck fails: ") { Ok(()) } else { Err(said) }
    });
    cluster.user.ok(&["status", file, "--check"]);
}

fn folder(engine: &Engine) {
    let data = tempfile::tempdir().expect("a temporary folder");
    let path = data.path().join("rep1");
    fs::create_dir(&path).expect("a folder");
    // Nodes run as this user.
    std::os::unix::fs::chown(&path, Some(10001), Some(10001)).expect("the tests run as root where Docker is");
    let cluster = Cluster::new("t-folder", 28020, Where::Docker, "");
    let text = fs::read_to_string(cluster.user.dir.join(&cluster.file)).expect("the file is there");
    let volumes = format!("register_as: REP1, volumes: {{ data: {} }} }}", path.display());
    let changed = text.replace("register_as: REP1 }", &volumes);
    assert_ne!(changed, text);
    cluster.user.file(&cluster.file, &changed);
    cluster.up();
    assert!(!engine.has_volume("mgctl-t-folder-rep1-data"));
    let mount = engine.inspect(&cluster.container("rep1"))["Mounts"][0].clone();
    assert_eq!((&mount["Type"], &mount["Destination"]), (&json!("bind"), &json!("/data")));
    assert!(path.join("tls/node.key").exists(), "its certificate is with its data");
    let again = cluster.user.run(&["up", &cluster.file]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing to do"), "{again:?}");

    let said = cluster.user.fails(7, &["rejoin", "rep1", "--wipe", "-f", &cluster.file, "--yes"]);
    assert!(said.contains("MG046") && said.contains("folder of yours"), "{said}");
    cluster.user.ok(&["down", &cluster.file, "--volumes", "--yes"]);
    assert!(fs::read_dir(&path).expect("it is there").count() > 1, "the folder was emptied");
}

/// What Memgraph's image is given, seen at one of another name: the node in it takes the place of Memgraph.
fn another(engine: &Engine) {
    let name = "t-another/memgraph:3.5.1";
    let more = format!(
        "image: {name}\nauth: {{ username: admin, password_file: secret.txt }}\n\
         license: {{ organization: us, key_env: T_LICENCE }}\nenv_file: my.env\n\
         defaults: {{ pull: never, volumes: {{ log: tmpfs }} }}\nbackup: {{ dir: ./kept/here, keep: 1 }}\n"
    );
    let cluster = Cluster::new("t-another", 28070, Where::Docker, &more);
    let user = &cluster.user;
    user.file("secret.txt", "hunter2-password\n");
    user.file("my.env", "T_LICENCE='the key'\n");
    fs::set_permissions(user.dir.join("secret.txt"), fs::Permissions::from_mode(0o600)).expect("it is ours");
    let text = fs::read_to_string(user.dir.join(&cluster.file)).expect("the file is there");
    let text = text.replace(
        "main: { role: main }",
        "main: { role: main, ports: { metrics: 28078, monitoring: 28079 } }",
    );
    user.file(&cluster.file, &text);

    let said = user.fails(3, &["up", &cluster.file]);
    assert!(
        said.contains("`pull: never`") && said.contains("docker pull t-another/memgraph:3.5.1"),
        "{said}"
    );
    let image = user.ok(&["image", "load"]).trim().to_owned();
    engine.tag(&image, name);
    cluster.up();
    let found = engine.inspect(&cluster.container("main"));
    let env = found["Config"]["Env"].to_string();
    for wanted in [
        "MEMGRAPH_USER=admin",
        "MEMGRAPH_PASSWORD=hunter2-password",
        "MEMGRAPH_ENTERPRISE_LICENSE=the key",
        "MEMGRAPH_ORGANIZATION_NAME=us",
    ] {
        assert!(env.contains(wanted), "{wanted} is not in {env}");
    }
    let labels = found["Config"]["Labels"].to_string();
    assert!(!labels.contains("hunter2-password") && !labels.contains("the key"), "{labels}");
    let published = |port: &str| found["HostConfig"]["PortBindings"][port][0]["HostPort"].clone();
    assert_eq!((published("9091/tcp"), published("7444/tcp")), (json!("28078"), json!("28079")));
    let mounts = found["HostConfig"]["Mounts"].to_string();
    assert!(mounts.contains("/var/lib/memgraph") && mounts.contains("/var/log/memgraph"), "{mounts}");
    for shown in
        [user.ok(&["validate", &cluster.file, "--resolved"]), user.ok(&["diff", &cluster.file, "-o", "json"])]
    {
        assert!(!shown.contains("hunter2-password") && !shown.contains("the key"), "{shown}");
    }

    // Backups without a name of their own: the newest stays.
    user.ok(&["backup", "-f", &cluster.file]);
    // A name has a second in it, and nothing is written over.
    wait::until("a backup of another second", LIMIT, || {
        let out = user.run(&["backup", "-f", &cluster.file]);
        if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
    });
    let kept = fs::read_dir(user.dir.join("kept/here")).expect("the folder was made").count();
    assert_eq!(kept, 1);
    user.ok(&["backup", "-f", &cluster.file, "mine.tar"]);
    assert!(user.dir.join("mine.tar").exists());

    user.ok(&["down", &cluster.file, "--volumes", "--yes"]);
    engine.untag(name);
}

/// This user's `DOCKER_HOST` names no engine; a context that is named stands over it. Nothing is waited for that
/// `--no-wait` leaves out, and another `up` waits for it.
fn context(engine: &Engine) {
    let cluster = Cluster::new("t-context", 28100, Where::Process, "");
    let user = &cluster.user;
    // SHA-256 of the name, as docker has it.
    const HERE: &str = "fcec91509759ad995c2cd14bcb26b2720993faf61c29d379b270d442d92290eb";
    let folder = user.dir.join(".docker/contexts/meta").join(HERE);
    fs::create_dir_all(&folder).expect("the test's folder can be written");
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let meta = json!({ "Name": "here", "Endpoints": { "docker": { "Host": host } } });
    fs::write(folder.join("meta.json"), meta.to_string()).expect("the test's folder can be written");

    let said = user.fails(3, &["up", &cluster.file, "--context", "elsewhere"]);
    assert!(said.contains("docker context `elsewhere` cannot be read"), "{said}");
    let here = |verb: &[&str]| user.ok(&[verb, &["--context", "here"]].concat());
    here(&["up", &cluster.file, "--no-wait", "--pull", "always"]);
    let main = cluster.container("main");
    assert!(engine.state(&main).0, "it runs where the context says");
    let id = engine.id(&main);
    here(&["up", &cluster.file]);
    assert_eq!(engine.id(&main), id, "what is up stays up");
    wait::until("both replicas are ready", LIMIT, || all_ready(&cluster.bolts()[0], 2));
    let said = user.run(&["status", &cluster.file]);
    assert!(!said.status.success(), "without the context nobody knows of the cluster");
    here(&["down", &cluster.file, "--volumes", "--yes"]);
    assert!(engine.id(&main).is_none());
}

/// A network that is there, in which somebody else lives too.
fn shared(engine: &Engine) {
    let network = "t-shared-net";
    let cluster =
        Cluster::new("t-shared", 28040, Where::Docker, "network: { name: t-shared-net, external: true }\n");
    engine.remove_network(network);
    let said = cluster.user.fails(4, &["up", &cluster.file]);
    assert!(said.contains("docker network create t-shared-net"), "{said}");
    engine.create_network(network, "10.213.7.0/24");
    cluster.up();
    all_ready(&cluster.bolts()[0], 2).expect("up waits until the replicas are ready");
    assert!(!engine.has_network("mgctl-t-shared"));
    let address = engine.ip(&cluster.container("rep1"), network).to_string();
    assert!(address.starts_with("10.213.7."), "{address}");
    let table = cluster.user.ok(&["show-replicas", &cluster.file, "--raw"]);
    assert!(table.contains("rep1:10000"), "{table}");

    // Without the file the labels say whose network it is.
    cluster.user.ok(&["promote", "rep1", "-c", &cluster.name, "--yes"]);
    cluster.user.ok(&["chaos", "partition", "rep2", "--for", "1s", "-c", &cluster.name, "--yes"]);
    wait::until("the replicas are back", LIMIT, || all_ready(&cluster.bolts()[1], 2));
    cluster.user.ok(&["down", "-c", &cluster.name, "--volumes", "--yes"]);
    assert!(engine.has_network(network), "it was not mgctl's to remove");
    engine.remove_network(network);
}

fn driven(engine: &Engine) {
    let cluster = Cluster::new("t-driven", 28050, Where::Docker, "network: { mtu: 1400 }\n");
    cluster.up();
    let found = engine.inspect_network("mgctl-t-driven");
    assert_eq!(
        (&found["Driver"], &found["Options"]["com.docker.network.driver.mtu"]),
        (&json!("bridge"), &json!("1400"))
    );
    let text = fs::read_to_string(cluster.user.dir.join(&cluster.file)).expect("the file is there");
    cluster.user.file(&cluster.file, &text.replace("mtu: 1400", "mtu: 1450"));
    let plan = cluster.user.ok(&["diff", &cluster.file]);
    assert!(plan.contains("mtu 1400, the file says 1450") && plan.contains("nothing to do"), "{plan}");
    cluster.user.ok(&["down", &cluster.file, "--volumes", "--yes"]);
}

fn limits() {
    let more = "defaults: { ulimits: { nofile: { soft: 1500, hard: 1600 } }, labels: { team: graph } }\n";
    let cluster = Cluster::new("t-limits-p", 28030, Where::Process, more);
    let out = cluster.user.run(&["up", &cluster.file]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{said}");
    assert!(said.contains("`labels` has no effect on those"), "{said}");
    let folder = cluster.user.dir.join("state/mgctl").join(&cluster.name).join("rep1");
    let pid = fs::read_to_string(folder.join("pid")).expect("it runs");
    let pid = pid.split_whitespace().next().expect("an id first").to_owned();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    let line = limits.lines().find(|l| l.starts_with("Max open files")).expect("a limit of files");
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(fields[3..5], ["1500", "1600"], "{line}");
}
