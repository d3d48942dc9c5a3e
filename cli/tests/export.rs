//! What `export` writes, as golden files; `UPDATE=1 cargo test -p mgctl --test export` rewrites them, read the diff.

use mgctl::authority::Leaf;
use mgctl::export::{Settings, compose, kubernetes};
use mgctl::topology::{Source, Topology, load};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

const IMAGE: &str = "registry.example.com/mgnode:1";

fn room() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str, text: &str) -> Topology {
    let directory = room().join("../topologies");
    let source = Source { name: name.into(), directory, text: text.into() };
    load(&source, &|_| None).unwrap_or_else(|problems| panic!("{problems:?}")).topology
}

fn example(name: &str) -> Topology {
    read(name, &std::fs::read_to_string(room().join("../topologies").join(name)).unwrap())
}

/// A topology that says all that is exported, with characters that other tools put something in for.
const FULL: &str = "name: full\nwait: { timeout: 1m }\ntls: { cluster: false }\nports: { strategy: none }\n\
    defaults: { memory: 1GiB, cpus: 1.5, env: { PRICE: \"5$$(X)\" }, restart: always, stop_grace_period: 1m, labels: { team: graph } }\n\
    instances:\n  m: { role: main, ports: { bolt: 7700 }, flags: { log-level: \"$${X}\" } }\n  \
    r: { role: replica, mode: ASYNC, replication_port: 9999, volumes: { data: /srv/r } }\n";

fn leaves(topology: &Topology) -> BTreeMap<String, Leaf> {
    let leaf = |name: &str| Leaf {
        certificate: format!("certificate of {name}\n"),
        key: format!("key of {name}\n"),
        authority: "certificate of the authority\n".into(),
    };
    topology.instances.iter().map(|i| (i.name.clone(), leaf(&i.name))).collect()
}

fn golden(name: &str, text: &str) {
    let path = room().join("tests/export").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(text, wanted, "UPDATE=1 rewrites {}", path.display());
}

#[test]
fn compose_files_are_as_written() {
    golden("quickstart.compose.yaml", &compose(&example("quickstart.yaml"), IMAGE).unwrap());
    golden("full.compose.yaml", &compose(&read("full.yaml", FULL), IMAGE).unwrap());
}

#[test]
fn kubernetes_objects_are_as_written() {
    let settings = Settings { image: IMAGE, storage: "10Gi" };
    let topology = example("quickstart.yaml");
    golden("quickstart.kubernetes.yaml", &kubernetes(&topology, settings, &leaves(&topology)).unwrap());
    let full = kubernetes(&read("full.yaml", FULL), settings, &BTreeMap::new()).unwrap();
    golden("full.kubernetes.yaml", &full);
    assert!(!full.contains("kind: Secret"));
}

/// The topology that reaches the mgctl inside is one that it takes.
#[test]
fn the_topology_inside_is_valid_and_names_every_node() {
    for topology in [example("quickstart.yaml"), example("five-nodes.yaml"), read("full.yaml", FULL)] {
        let settings = Settings { image: IMAGE, storage: "1Gi" };
        let text = kubernetes(&topology, settings, &BTreeMap::new()).unwrap();
        let objects: Vec<Value> =
            text.split("---\n").skip(1).map(|d| serde_yaml::from_str(d).unwrap()).collect();
        let map = objects.iter().find(|o| o["kind"] == "ConfigMap").unwrap();
        let inside = read("topology.yaml", map["data"]["topology.yaml"].as_str().unwrap());
        assert!(inside.is_external());
        let sets = objects.iter().filter(|o| o["kind"] == "StatefulSet");
        let sets: Vec<&str> = sets.map(|o| o["metadata"]["name"].as_str().unwrap()).collect();
        let hosts: Vec<String> =
            inside.instances.iter().map(|i| i.external.as_ref().unwrap().bolt.host.clone()).collect();
        assert_eq!(hosts, sets);

        let file: Value = serde_yaml::from_str(&compose(&topology, IMAGE).unwrap()).unwrap();
        let variable = file["services"]["mgctl-up"]["environment"]["MGCTL_TOPOLOGY"].as_str().unwrap();
        let inside = read("env:MGCTL_TOPOLOGY", &variable.replace("$$", "$"));
        for (there, here) in inside.instances.iter().zip(&topology.instances) {
            assert_eq!((&there.name, there.mode, &there.flags), (&here.name, here.mode, &here.flags));
            assert_eq!(there.external.as_ref().unwrap().replication.port, here.replication_port);
        }
    }
}

#[test]
fn what_has_no_counterpart_is_refused() {
    for (file, what) in [
        ("memgraph.yaml", "only the built-in image"),
        ("external.yaml", "someone else runs"),
        ("swarm.yaml", "of a swarm"),
    ] {
        let error = compose(&example(file), IMAGE).unwrap_err();
        assert_eq!(error.problem().code, Some("MG094"));
        assert!(error.to_string().contains(what), "{error}");
        let settings = Settings { image: IMAGE, storage: "1Gi" };
        assert!(kubernetes(&example(file), settings, &BTreeMap::new()).is_err());
    }
}
