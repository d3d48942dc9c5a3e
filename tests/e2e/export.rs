//! What `mgctl export` writes, given to the tools that it is for.

use libtest_mimic::{Completion, Failed, Trial};
use mg_tests::docker::Engine;
use mg_tests::mgctl::{User, Where};
use mg_tests::{python, wait};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        Trial::ignorable_test("export_kubernetes_objects_fit_the_schemas", || match python::validator() {
            Ok(validator) => {
                schemas(&validator);
                Ok::<_, Failed>(Completion::Completed)
            }
            Err(why) => Ok(Completion::ignored_with(why)),
        }),
        Trial::ignorable_test("docker_export_compose_brings_the_cluster_up", || {
            let compose = Command::new("docker-compose").arg("version").output();
            match (Engine::connect(), compose) {
                (Ok(_), Ok(_)) => {
                    compose_up();
                    Ok::<_, Failed>(Completion::Completed)
                }
                (Err(why), _) => Ok(Completion::ignored_with(why)),
                (_, Err(why)) => Ok(Completion::ignored_with(format!("docker-compose: {why}"))),
            }
        }),
    ]
}

const FULL: &str = "name: full\ndefaults: { memory: 1GiB, cpus: 1.5, env: { TZ: UTC } }\ninstances:\n  \
    m: { role: main }\n  r1: { role: replica, replication_port: 9999 }\n  r2: { role: replica, mode: ASYNC }\n";

fn schemas(validator: &Path) {
    let dir = tempfile::tempdir().expect("a folder");
    let user = User::new(dir.path(), Where::Process);
    user.file("topology.yaml", FULL);
    let export = ["export", "kubernetes", "topology.yaml", "--image", "registry.example.com/mgnode:1"];
    let text = user.ok(&export);
    user.file("objects.yaml", &text);
    let check = |file: &str| {
        Command::new(validator).args(["--strict", file]).current_dir(dir.path()).output().expect("it starts")
    };
    let out = check("objects.yaml");
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}\n{text}");
    // It looks: a key that is no key of Kubernetes is found.
    user.file("wrong.yaml", &text.replace("serviceName:", "serviceNmae:"));
    assert!(!check("wrong.yaml").status.success());

    // Keys are anew each time, by one authority, which is private and not in there.
    let certificate = |text: &str, key: &str| {
        let at = text.find(key).expect("the key is there");
        text[at..].split("-----END CERTIFICATE").next().map(str::to_owned)
    };
    let again = user.ok(&export);
    assert_eq!(certificate(&text, "ca.crt:"), certificate(&again, "ca.crt:"));
    assert_ne!(certificate(&text, "node.crt:"), certificate(&again, "node.crt:"));
    let key =
        std::fs::read_to_string(dir.path().join("state/mgctl/full/.export-ca/ca.key")).expect("it is kept");
    let line = key.lines().nth(1).expect("PEM");
    assert!(!text.contains(line));
}

/// The cluster as docker-compose runs it; it goes with the test.
struct Composed<'a> {
    user: &'a User,
    image: String,
}

const PROJECT: &str = "t-composed";

impl Composed<'_> {
    fn run(&self, args: &[&str]) -> std::process::Output {
        let mut command = Command::new("docker-compose");
        command.args(["-p", PROJECT, "-f", "compose.yaml"]).args(args).current_dir(&self.user.dir);
        command.output().expect("docker-compose can be started")
    }

    fn ok(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(
            out.status.success(),
            "{args:?} with {}: {}",
            self.image,
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).expect("UTF-8")
    }
}

impl Drop for Composed<'_> {
    fn drop(&mut self) {
        self.run(&["down", "--volumes", "--timeout", "5"]);
    }
}

fn compose_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let user = User::new(dir.path(), Where::Docker);
    let image = user.ok(&["image", "load"]).trim().to_owned();
    user.file(
        "topology.yaml",
        "name: composed\nports: { strategy: random }\ninstances:\n  main: { role: main }\n  \
         near: { role: replica }\n  far: { role: replica, mode: ASYNC }\n",
    );
    let text = user.ok(&["export", "compose", "topology.yaml"]);
    assert!(text.starts_with("# Cluster composed") && text.contains(&image), "{text}");
    user.file("compose.yaml", &text);
    let composed = Composed { user: &user, image };
    composed.run(&["down", "--volumes"]);
    composed.ok(&["config", "--quiet"]);
    composed.ok(&["up", "-d"]);
    let inside = |args: &[&str]| {
        let mut all = vec!["run", "--rm", "-T", "mgctl-up", "-f", "env:MGCTL_TOPOLOGY"];
        all.extend_from_slice(args);
        composed.run(&all)
    };
    let status = wait::until("one MAIN with two replicas that are level", LIMIT, || {
        let out = inside(&["-o", "json", "status"]);
        let value: Value = serde_json::from_slice(&out.stdout).map_err(|e| e.to_string())?;
        let is_level = value["data"]["redundant"] == Value::Bool(true);
        if is_level { Ok(value["data"].clone()) } else { Err(value.to_string()) }
    });
    assert_eq!(status["main"], "main");
    let instances = status["instances"].as_array().expect("a list");
    let roles: Vec<&str> = instances.iter().filter_map(|i| i["role"].as_str()).collect();
    assert_eq!(roles, ["MAIN", "REPLICA", "REPLICA"]);
    let out = inside(&["query", "CREATE (:A)"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let out = inside(&["promote", "near"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(String::from_utf8_lossy(&inside(&["verify"]).stdout).contains("same graph"));
}
