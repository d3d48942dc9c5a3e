//! Clients that are not ours, against nodes as processes.

use libtest_mimic::Trial;
use mg_tests::bolt::Bolt;
use mg_tests::node::Node;
use mg_tests::paths;
use std::path::Path;
use std::process::Command;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::python("a_social_graph_reads_the_same_on_every_node", social),
        super::newest_python("the_official_driver_does_what_its_manual_shows", manual),
        super::with_interpreter("the_object_mapper_works", mg_tests::python::mapper, mapper),
        super::with_interpreter("neo4rs_works", mg_tests::rust_clients::neo4rs, rust_client),
        super::with_interpreter("rsmgclient_works", mg_tests::rust_clients::rsmgclient, rust_client),
    ]
}

/// Runs a script of `tests/python` and returns its standard output; its failure is the test's.
pub(crate) fn script(python: &Path, name: &str, args: &[String]) -> String {
    let path = paths::workspace_root().join("tests/python").join(name);
    let out = Command::new(python).arg(path).args(args).output().expect("Python can be started");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{name} {args:?} ended with {}\n{said}{}",
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
    said
}

/// A MAIN, a SYNC replica and ASYNC ones, as many as there are names.
fn cluster<const N: usize>(dir: &Path, names: [&str; N]) -> [Node; N] {
    let nodes = names.map(|name| {
        let mut node = Node::new(dir, name, &[]);
        node.advertise();
        node.spawn();
        node
    });
    let bolt = nodes.each_ref().map(|n| n.bolt().to_string());
    let mut main = Bolt::connect(&bolt[0]).expect("MAIN answers");
    for i in 1..N {
        let mode = if i == 1 { "SYNC" } else { "ASYNC" };
        let mut replica = Bolt::connect(&bolt[i]).expect("a replica answers");
        replica
            .run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;")
            .expect("a fresh node becomes REPLICA");
        main.run(&format!("REGISTER REPLICA rep{i} {mode} TO \"{}\";", nodes[i].replication()))
            .expect("it registers");
    }
    nodes
}

fn social(python: &Path) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let nodes = cluster(dir.path(), ["main", "rep1", "rep2"]);
    let said = script(python, "social.py", &nodes.each_ref().map(|n| n.bolt().to_string()));
    assert!(said.contains("equal on 3 nodes"), "{said}");
    print!("{said}");
}

fn manual(python: &Path) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let nodes = cluster(dir.path(), ["main", "rep1"]);
    let said = script(python, "driver.py", &nodes.each_ref().map(|n| n.bolt().to_string()));
    assert!(said.ends_with("everything went as the manual says\n"), "{said}");
    print!("{said}");
}

fn mapper(python: &Path) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::start(dir.path(), "main", &[]);
    let said = script(python, "ogm.py", &[node.bolt().to_string()]);
    assert!(said.ends_with("the object mapper works\n"), "{said}");
    print!("{said}");
}

/// Runs a program of `tests/clients`.
fn rust_client(program: &Path) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::start(dir.path(), "main", &[]);
    let out = Command::new(program).arg(node.bolt().to_string()).output().expect("it was just built");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{}{said}{}", out.status, String::from_utf8_lossy(&out.stderr));
    assert!(said.ends_with(" works\n"), "{said}");
}
