//! Clients that are not ours, against nodes as processes.

use libtest_mimic::Trial;
use mg_tests::bolt::Bolt;
use mg_tests::node::Node;
use mg_tests::paths;
use std::path::Path;
use std::process::Command;

pub(crate) fn tests() -> Vec<Trial> {
    vec![super::python("a_social_graph_reads_the_same_on_every_node", social)]
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

fn social(python: &Path) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let nodes = ["main", "rep1", "rep2"].map(|name| Node::start(dir.path(), name, &[]));
    let bolt = nodes.each_ref().map(|n| n.bolt().to_string());
    let mut main = Bolt::connect(&bolt[0]).expect("MAIN answers");
    for (i, mode) in [(1, "SYNC"), (2, "ASYNC")] {
        let mut replica = Bolt::connect(&bolt[i]).expect("a replica answers");
        replica
            .run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;")
            .expect("a fresh node becomes REPLICA");
        main.run(&format!("REGISTER REPLICA rep{i} {mode} TO \"{}\";", nodes[i].replication()))
            .expect("it registers");
    }
    let said = script(python, "social.py", &bolt);
    assert!(said.contains("equal on 3 nodes"), "{said}");
    print!("{said}");
}
