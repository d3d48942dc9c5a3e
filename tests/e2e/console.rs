//! `console` at a terminal and without one, `env`, and `image` beside its load.

use super::cluster::Cluster;
use libtest_mimic::Trial;
use mg_tests::docker::Engine;
use mg_tests::mgctl::{User, Where};
use mg_tests::paths;
use mg_tests::registry::Registry;
use mgbolt::PackValue;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::plain("process_console_off_a_terminal_and_env", || {
            off_a_terminal(&Cluster::new("t-console-p", 28110, Where::Process, ""));
        }),
        super::python("process_console_at_a_terminal", |python| {
            let cluster = Cluster::new("t-typed-p", 28120, Where::Process, "");
            at_a_terminal(python, &cluster, "console.py");
            assert_eq!(cluster.bolt(1).value("MATCH (n:Moved) RETURN count(n)"), PackValue::Int(2));
            assert_eq!(cluster.bolt(1).value("MATCH (n:Nowhere) RETURN count(n)"), PackValue::Int(0));
        }),
        super::python("process_the_live_view_keeps_to_the_terminal", |python| {
            at_a_terminal(python, &Cluster::new("t-watched-p", 28140, Where::Process, ""), "watch.py");
        }),
        super::docker("docker_console_off_a_terminal_and_env", |_| {
            off_a_terminal(&Cluster::new("t-console", 28130, Where::Docker, ""));
        }),
        super::docker("docker_image_save_tag_push", image),
    ]
}

fn off_a_terminal(cluster: &Cluster) {
    cluster.up();
    let typed = |node: &[&str], text: &str| {
        let mut child = cluster
            .user
            .command()
            .args(["-f", &cluster.file, "console"])
            .args(node)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mgctl can be started");
        child.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
        let out = child.wait_with_output().expect("it ends");
        let said =
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (out.status.code(), said)
    };
    let (code, said) =
        typed(&[], "CREATE (:Town {name: 'Bonn'});\n// a comment\nMATCH (t:Town)\nRETURN count(t) AS n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("│ 3 │"), "{said}");
    // The first that fails ends it, by its place.
    let (code, said) = typed(&[], "CREATE (:Once);\nRETRUN 1;\nCREATE (:Never);");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("<stdin>:2:1") && said.contains("MG067"), "{said}");
    let count = |label: &str| cluster.bolt(0).value(&format!("MATCH (n:{label}) RETURN count(n)"));
    assert_eq!((count("Once"), count("Never")), (PackValue::Int(1), PackValue::Int(0)));
    let (code, said) = typed(&["rep1"], "CREATE (:Never);");
    assert_eq!(code, Some(1));
    assert!(said.contains("forbidden on the replica"), "{said}");
    let (code, said) = typed(&["nobody"], "");
    assert_eq!(code, Some(4), "{said}");

    let bolts = cluster.bolts();
    let lines = cluster.user.ok(&["env", &cluster.file]);
    let script = format!(
        "{lines}\necho \"$BOLT_URI $MG_HOST $MG_PORT $MGCTL_MAIN $MGCTL_REPLICAS $MGCTL_REPLICA_URIS\""
    );
    let out = Command::new("sh").args(["-c", &script]).output().expect("there is a shell");
    let (host, port) = bolts[0].split_once(':').expect("host and port");
    assert_eq!(
        String::from_utf8_lossy(&out.stdout).trim(),
        format!("bolt://{} {host} {port} main rep1,rep2 bolt://{},bolt://{}", bolts[0], bolts[1], bolts[2])
    );
    let json: serde_json::Value =
        serde_json::from_str(&cluster.user.ok(&["env", &cluster.file, "-o", "json"])).expect("JSON");
    assert_eq!(json["data"]["variables"]["NEO4J_URI"], format!("bolt://{}", bolts[0]));
}

/// Runs a script that types and looks, as somebody at a terminal does.
fn at_a_terminal(python: &Path, cluster: &Cluster, script: &str) {
    cluster.up();
    let mut command = Command::new(python);
    for (name, value) in cluster.user.command().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let script = paths::workspace_root().join("tests/python").join(script);
    let out = command
        .current_dir(&cluster.user.dir)
        .arg(script)
        .args([paths::mgctl().as_os_str(), cluster.file.as_ref()])
        .output()
        .expect("Python can be started");
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}");
}

fn image(engine: &Engine) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let user = User::new(dir.path(), Where::Docker);
    let told = user.ok(&["image", "tag", "mgctl-test-dry:one", "--dry-run"]);
    assert!(told.ends_with("tag it mgctl-test-dry:one\n"), "{told}");
    assert_eq!(engine.image_id("mgctl-test-dry:one"), None, "nothing was done");
    let tag = user.ok(&["image", "load"]).trim().to_owned();
    let id = engine.image_id(&tag).expect("it is loaded");

    assert_eq!(user.ok(&["image", "load", "--dry-run"]), "nothing to do\n");

    // The file is what `docker load` takes, and needs no engine to be made.
    let saved = User::new(dir.path(), Where::Process).ok(&["image", "save", "image.tar", "-o", "json"]);
    let saved: serde_json::Value = serde_json::from_str(&saved).expect("JSON");
    assert_eq!((&saved["data"]["tag"], &saved["data"]["id"]), (&tag.as_str().into(), &id.as_str().into()));
    let out = user.run(&["image", "save", "-"]);
    assert_eq!(out.stdout, std::fs::read(dir.path().join("image.tar")).expect("it was written"));
    user.fails(9, &["image", "save", "image.tar"]);
    let told = user.ok(&["image", "save", "other.tar", "--dry-run"]);
    assert!(told.starts_with("write ") && told.ends_with(" bytes to other.tar\n"), "{told}");
    assert!(!dir.path().join("other.tar").exists());
    engine.load(&dir.path().join("image.tar"));

    let name = "mgctl-test-tagged:one";
    assert_eq!(user.ok(&["image", "tag", name]).trim(), name);
    assert_eq!(engine.image_id(name).as_deref(), Some(id.as_str()));
    engine.untag(name);
    assert!(user.fails(2, &["image", "tag", "x@sha256:12"]).contains("names a digest"));

    let registry = Registry::start();
    let name = format!("{}/team/mgnode:two", registry.address());
    let told = user.ok(&["image", "push", &name, "--dry-run"]);
    assert!(told.ends_with(&format!("tag it {name}\npush it to the registry of {name}\n")), "{told}");
    assert_eq!(registry.manifest("team/mgnode", "two"), None, "nothing was pushed");
    assert_eq!(user.ok(&["image", "push", &name]).trim(), name);
    engine.untag(&name);
    // What came there is the image: its configuration, whose hash is its id, and every layer it names.
    let manifest = registry.manifest("team/mgnode", "two").expect("a manifest came");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(manifest["config"]["digest"], id.as_str());
    for layer in manifest["layers"].as_array().expect("layers") {
        let digest = layer["digest"].as_str().expect("a digest");
        assert!(registry.has_blob(digest), "layer {digest} is missing");
    }
    registry.refuse_all();
    let said = user.fails(1, &["image", "push", &format!("{}/team/mgnode:three", registry.address())]);
    assert!(said.contains("MG062") && said.contains("docker login"), "{said}");
    engine.untag(&format!("{}/team/mgnode:three", registry.address()));
}
