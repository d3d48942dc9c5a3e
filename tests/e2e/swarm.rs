//! A cluster over two hosts, of which one loses its power.

use libtest_mimic::{Completion, Trial};
use mg_tests::bolt::{Bolt, all_ready};
use mg_tests::docker::Engine;
use mg_tests::hosts::Hosts;
use mg_tests::mgctl::{User, Where};
use mg_tests::wait;
use mgbolt::PackValue;
use serde_json::Value;
use std::process::Output;
use std::time::Duration;

/// Two engines share the cores of one machine, beside whatever else runs there.
const LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn tests() -> Vec<Trial> {
    vec![Trial::ignorable_test(
        "docker_a_swarm_of_two_hosts_loses_the_one_with_main",
        || match Hosts::start(2) {
            Ok(hosts) => {
                a_host_is_lost(hosts);
                Ok(Completion::Completed)
            }
            Err(why) => Ok(Completion::ignored_with(why)),
        },
    )]
}

const FILE: &str = "name: t-swarm\nruntime: swarm\nports: { bolt_base: 28090, allow_public: true }\ninstances:\n  \
                    main: { role: main, host: host-b }\n  near: { role: replica, host: host-a }\n  \
                    far: { role: replica, mode: ASYNC }\n";

/// A user of mgctl whose engine manages the swarm.
struct Operator {
    user: User,
    engine: String,
}

impl Operator {
    fn run(&self, args: &[&str]) -> Output {
        wait::until("the engine answers", LIMIT, || {
            let mut command = self.user.command();
            command.args(args).env("DOCKER_HOST", &self.engine).env("MGCTL_FILE", "swarm.yaml");
            let out = command.output().expect("mgctl can be started");
            // The engines of a busy machine may be slow to greet, and then nothing was done.
            let said = String::from_utf8_lossy(&out.stderr);
            if said.contains("MG061") && said.contains("no answer within") {
                Err(said.into_owned())
            } else {
                Ok(out)
            }
        })
    }

    /// What it says when it ends with this code.
    fn says(&self, code: i32, args: &[&str]) -> String {
        let out = self.run(args);
        let said =
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.code(), Some(code), "mgctl {args:?} said\n{said}");
        said
    }

    fn ok(&self, args: &[&str]) -> String {
        self.says(0, args)
    }

    fn status(&self) -> Value {
        let out = self.run(&["status", "-o", "json"]);
        let value: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        value["data"].clone()
    }

    /// What it says of one node's machine.
    fn machine(&self, name: &str) -> Value {
        let status = self.status();
        let nodes = status["instances"].as_array().expect("a list");
        nodes.iter().find(|n| n["name"] == name).expect("it is in the file")["machine"].clone()
    }
}

fn connect(address: &str) -> Bolt {
    wait::until(&format!("{address} speaks Bolt"), LIMIT, || Bolt::connect(address))
}

fn count(address: &str) -> PackValue {
    connect(address).value("MATCH (n:Kept) RETURN count(n);")
}

fn manager(hosts: &Hosts) -> Engine {
    hosts.hosts[0].engine()
}

fn a_host_is_lost(mut hosts: Hosts) {
    let dir = tempfile::tempdir().expect("a folder");
    let user = User::new(dir.path(), Where::Docker);
    user.file("swarm.yaml", FILE);
    let operator = Operator { user, engine: hosts.hosts[0].url() };
    let [main, near, far] = [(1, 28090), (0, 28091), (0, 28092)]
        .map(|(host, port): (usize, u16)| format!("{}:{port}", hosts.hosts[host].address));

    // A swarm hands no images on.
    let said = operator.says(3, &["up", "--keep-on-failure"]);
    assert!(said.contains("MG062") && said.contains("host `host-b` does not have the image"), "{said}");
    operator.ok(&["--host", &hosts.hosts[1].url(), "image", "load"]);
    operator.ok(&["up"]);
    let placed = ["main", "near", "far"].map(|name| operator.machine(name)["host"].clone());
    assert_eq!(placed, ["host-b", "host-a", "host-a"].map(Value::from));
    all_ready(&main, 2).expect("up waits until the replicas are ready");
    let replicas = operator.ok(&["show-replicas"]);
    assert!(replicas.contains("near:10000"), "nodes go by their names: {replicas}");

    // Small records, and one that takes many datagrams: those between hosts are shorter than others.
    let mut client = connect(&main);
    for n in 0..50 {
        client.run(&format!("CREATE (:Kept {{n: {n}}});")).expect("MAIN takes writes");
    }
    let large = "UNWIND range(1, 20000) AS n CREATE (:Kept {n: n, text: 'a text that makes the record as long as it must be: ' + toString(n * 7919)});";
    client.run(large).expect("MAIN takes a large one");
    assert_eq!(count(&near), PackValue::Int(20_050));
    // A certificate that ends soon is replaced, for which the node is started anew; at another address, and MAIN finds
    // it by its name.
    let id = operator.machine("near")["id"].clone();
    manager(&hosts).label_secret("mgctl-t-swarm-near-tls-", "dev.mgctl.ends", "1");
    operator.ok(&["up"]);
    assert_ne!(operator.machine("near")["id"], id);
    wait::until("the replica follows again", LIMIT, || all_ready(&main, 2));
    assert!(operator.ok(&["up"]).contains("nothing to do"));
    assert!(operator.ok(&["verify"]).contains("same graph"));
    assert!(operator.ok(&["logs", "main", "--tail", "3"]).lines().count() >= 1);
    for (verb, args) in [
        ("chaos", &["chaos", "kill", "near", "--yes"][..]),
        ("supervise", &["supervise", "--auto-failover"]),
        ("rejoin --wipe", &["rejoin", "far", "--wipe", "--yes"]),
    ] {
        let said = operator.says(2, args);
        assert!(said.contains("MG092") && said.contains(verb), "{said}");
    }
    let said = operator.says(2, &["--runtime", "docker", "status"]);
    assert!(said.contains("MG029") && said.contains("services of a swarm"), "{said}");
    // Without its file, too.
    assert!(operator.ok(&["--cluster", "t-swarm", "status"]).contains("HEALTHY"));
    client.run("CREATE (:Kept {n: -1});").expect("MAIN takes writes");
    drop(client);

    hosts.kill(1);
    wait::until("the host is missed", LIMIT, || {
        let state = operator.machine("main")["state"].clone();
        if state == "on a host that is not reached" { Ok(()) } else { Err(state) }
    });
    let said = operator.ok(&["status"]);
    assert!(said.contains("host-b, which is not reached") && said.contains("no writes"), "{said}");
    // A service that is told to run nothing has not ended for all that.
    let said = operator.says(7, &["failover", "--yes"]);
    assert!(said.contains("MG040") && said.contains("--force-unfenced"), "{said}");
    let said = operator.says(5, &["stop", "main"]);
    assert!(said.contains("MG096"), "{said}");
    assert_eq!(connect(&near).value("SHOW REPLICATION ROLE;"), PackValue::from("replica"));
    let said = operator.ok(&["failover", "--yes", "--force-unfenced"]);
    assert!(said.contains("near is MAIN") && said.contains("Not fenced: main"), "{said}");
    assert!(said.contains("Estimated loss: 0 commits"), "{said}");
    // All that was acknowledged is there, and writes go on.
    assert_eq!(count(&near), PackValue::Int(20_051));
    connect(&near).run("CREATE (:Kept {n: -2});").expect("the new MAIN takes writes");

    // The host comes back, and does not run its old MAIN again.
    hosts.restart(1);
    wait::until("the host is heard of", LIMIT, || {
        let state = operator.machine("main")["state"].clone();
        if state.as_str().is_some_and(|s| s.starts_with("exited")) { Ok(()) } else { Err(state) }
    });
    assert_eq!(hosts.hosts[1].engine().running(), Vec::<String>::new());
    operator.ok(&["rejoin", "main"]);
    assert_eq!(connect(&main).value("SHOW REPLICATION ROLE;"), PackValue::from("replica"));
    assert_eq!([&main, &near].map(|at| count(at)), [PackValue::Int(20_052), PackValue::Int(20_052)]);
    wait::until("every replica is ready", LIMIT, || all_ready(&near, 2));
    assert_eq!(count(&far), PackValue::Int(20_052));

    // Data outlive the services, and each node finds its own again.
    operator.ok(&["down"]);
    operator.ok(&["up"]);
    assert_eq!(count(&main), PackValue::Int(20_052));
    let said = operator.says(5, &["down", "--volumes", "--yes"]);
    assert!(said.contains("MG097") && said.contains("docker volume rm mgctl-t-swarm-main-data"), "{said}");
    let manager = manager(&hosts);
    assert_eq!(manager.kept_by_swarm(), ["mgctl-t-swarm-main-data"], "the rest is gone");
    // A host removes what has ended a moment after it has said so.
    let there = hosts.hosts[1].engine();
    wait::until("the volume is free", LIMIT, || there.remove_volume("mgctl-t-swarm-main-data"));
    manager.remove_config("mgctl-t-swarm-main-data");
    assert!(operator.ok(&["down"]).contains("nothing to do"));
}
