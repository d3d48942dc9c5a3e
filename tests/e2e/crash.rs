//! `kill -9` under load, counted by a client that is not ours.

use super::clients::script;
use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready};
use mg_tests::node::Node;
use mg_tests::{paths, wait};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::python("a_killed_main_keeps_every_acknowledged_write", killed_main),
        super::python("a_killed_replica_catches_up_by_itself", killed_replica),
    ]
}

/// `writer.py`, running.
pub(crate) struct Writer {
    child: Child,
    pub(crate) acks: PathBuf,
}

impl Writer {
    pub(crate) fn start(python: &Path, dir: &Path, nodes: &[String]) -> Writer {
        let acks = dir.join("acks");
        let child = Command::new(python)
            .arg(paths::workspace_root().join("tests/python/writer.py"))
            .arg(&acks)
            .args(nodes)
            .stdin(Stdio::piped())
            .spawn()
            .expect("Python can be started");
        Writer { child, acks }
    }

    /// Counts the acknowledgements so far, of one node or of all.
    pub(crate) fn acknowledged(&self, node: Option<&str>) -> usize {
        let text = std::fs::read_to_string(&self.acks).unwrap_or_default();
        text.lines()
            .filter(|l| l.starts_with("ack ") && node.is_none_or(|n| l.ends_with(&format!(" {n}"))))
            .count()
    }

    pub(crate) fn wait_for(&self, count: usize, node: Option<&str>) {
        wait::until(&format!("{count} acknowledgements"), LIMIT, || match self.acknowledged(node) {
            n if n >= count => Ok(()),
            n => Err(format!("{n} so far")),
        });
    }

    pub(crate) fn stop(mut self) -> PathBuf {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("the writer can be waited for");
        assert!(status.success(), "writer.py ended with {status}");
        self.acks.clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After `stop` it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a MAIN with one SYNC and one ASYNC replica.
fn three(dir: &Path) -> [Node; 3] {
    let nodes = ["main", "rep1", "rep2"].map(|name| Node::start(dir, name, &[]));
    let mut main = Bolt::connect(&nodes[0].bolt().to_string()).expect("MAIN answers");
    for (node, (name, mode)) in nodes[1..].iter().zip([("rep1", "SYNC"), ("rep2", "ASYNC")]) {
        let mut replica = Bolt::connect(&node.bolt().to_string()).expect("a replica answers");
        replica
            .run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;")
            .expect("a fresh node becomes REPLICA");
        main.run(&format!("REGISTER REPLICA {name} {mode} TO \"{}\";", node.replication()))
            .expect("it registers");
    }
    nodes
}

fn bolts(nodes: &[Node]) -> Vec<String> {
    nodes.iter().map(|n| n.bolt().to_string()).collect()
}

fn check(python: &Path, acks: &Path, nodes: &[String]) {
    wait::until("every replica is ready and 0 behind", LIMIT, || all_ready(&nodes[0], nodes.len() - 1));
    let mut args = vec![acks.display().to_string()];
    args.extend_from_slice(nodes);
    print!("{}", script(python, "check_writes.py", &args));
}

fn killed_main(python: &Path) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut nodes = three(dir.path());
    let bolt = bolts(&nodes);
    let writer = Writer::start(python, dir.path(), &bolt[..1]);
    for round in 1..=3 {
        writer.wait_for(round * 500, None);
        nodes[0].kill();
        nodes[0].spawn();
    }
    writer.wait_for(2000, None);
    let acks = writer.stop();
    check(python, &acks, &bolt);
}

fn killed_replica(python: &Path) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut nodes = three(dir.path());
    let bolt = bolts(&nodes);
    let writer = Writer::start(python, dir.path(), &bolt[..1]);
    let mut written = 0;
    for replica in [1, 2, 1] {
        writer.wait_for(written + 500, None);
        nodes[replica].kill();
        written = writer.acknowledged(None);
        // MAIN goes on without it.
        writer.wait_for(written + 500, None);
        nodes[replica].spawn();
        written = writer.acknowledged(None);
    }
    writer.wait_for(written + 500, None);
    let acks = writer.stop();
    check(python, &acks, &bolt);
}
