//! Three nodes and their operator, who does what a person would do by hand: fence, promote the best,
//! register, bring the old MAIN back as a REPLICA.

use super::LIMIT;
use super::book::Wrong;
use crate::bolt::{Bolt, State, all_ready, replicas, state};
use crate::node::Node;
use crate::wait;
use mgctl::query::{QueryError, to_json};
use sha2::{Digest, Sha256};
use std::path::Path;

/// In which modes the two replicas are registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Sync,
    SyncAndAsync,
    StrictSync,
}

impl Form {
    /// The mode of the `n`th replica, from 0.
    fn mode(self, n: usize) -> &'static str {
        match (self, n) {
            (Form::Sync, _) | (Form::SyncAndAsync, 0) => "SYNC",
            (Form::SyncAndAsync, _) => "ASYNC",
            (Form::StrictSync, _) => "STRICT_SYNC",
        }
    }
}

/// A MAIN and two replicas.
#[derive(Debug)]
pub struct Cluster {
    pub nodes: Vec<Node>,
    /// Index of the MAIN.
    pub main: usize,
    pub form: Form,
    /// Number of the reigning epoch.
    pub epoch: u64,
}

/// How a node came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejoined {
    /// With the log that it had.
    AsItWas,
    /// It held records that the new MAIN lacks, so its directory was emptied.
    Wiped,
}

const TO_REPLICA: &str = "SET REPLICATION ROLE TO REPLICA WITH PORT 10000;";

impl Cluster {
    /// Starts three nodes with directories below `dir`, and waits until both replicas are ready.
    pub fn start(dir: &Path, form: Form, flags: &[&str]) -> Cluster {
        Cluster::start_with_data(dir, dir, form, flags)
    }

    /// As [`start`](Cluster::start), with all data directories below `disk`.
    pub fn start_with_data(dir: &Path, disk: &Path, form: Form, flags: &[&str]) -> Cluster {
        let start = |name: &&str| {
            let mut node = Node::new(dir, name, flags);
            node.data = disk.join(name).join("data");
            node.spawn();
            node
        };
        let nodes: Vec<Node> = ["a", "b", "c"].iter().map(start).collect();
        let cluster = Cluster { nodes, main: 0, form, epoch: 1 };
        for replica in [1, 2] {
            cluster.run(replica, TO_REPLICA);
            cluster.register(replica, replica - 1).expect("a fresh node is taken");
        }
        cluster.wait_ready();
        cluster
    }

    /// Connects to a node.
    pub fn bolt(&self, node: usize) -> Bolt {
        let address = self.address(node);
        Bolt::connect(&address).unwrap_or_else(|e| panic!("node {node}: {e}"))
    }

    /// Where a node's clients connect.
    pub fn address(&self, node: usize) -> String {
        self.nodes[node].bolt().to_string()
    }

    /// Where MAIN's clients connect.
    pub fn main_address(&self) -> String {
        self.address(self.main)
    }

    fn run(&self, node: usize, query: &str) {
        self.bolt(node).run(query).unwrap_or_else(|e| panic!("{query} on node {node}: {e}"));
    }

    /// Registers a node at MAIN, in the mode of the `n`th replica.
    fn register(&self, node: usize, n: usize) -> Result<(), QueryError> {
        let (mode, to) = (self.form.mode(n), self.nodes[node].replication());
        self.bolt(self.main).run(&format!("REGISTER REPLICA node{node} {mode} TO \"{to}\";")).map(drop)
    }

    /// Waits until every registered replica is ready and 0 behind.
    pub fn wait_ready(&self) {
        let count = replicas(&mut self.bolt(self.main)).expect("MAIN shows them").len();
        wait::until("every replica is ready", LIMIT, || all_ready(&self.main_address(), count));
    }

    /// `kill -9` of MAIN. Returns which node that was.
    pub fn kill_main(&mut self) -> usize {
        self.nodes[self.main].kill();
        self.main
    }

    /// Fences the survivors, promotes the best of them and registers the other.
    pub fn fail_over(&mut self, dead: usize) {
        let survivors: Vec<usize> = (0..self.nodes.len()).filter(|n| *n != dead).collect();
        let number = self.epoch + 1;
        let by = format!("failover to epoch {number}");
        let mut best: Option<(usize, State)> = None;
        for node in &survivors {
            self.run(*node, &format!("FENCE REPLICATION EPOCH {number} BY \"{by}\";"));
            let found = state(&mut self.bolt(*node)).expect("it answers");
            assert_eq!((found.promised_number(), found.promised_by.as_str()), (number, by.as_str()));
            if best.as_ref().is_none_or(|(_, b)| b.order() < found.order()) {
                best = Some((*node, found));
            }
        }
        let (best, _) = best.expect("two of three are left");
        self.run(best, &format!("SET REPLICATION ROLE TO MAIN WITH EPOCH {number};"));
        self.main = best;
        self.epoch = number;
        for node in survivors.into_iter().filter(|n| *n != best) {
            self.register(node, 0).unwrap_or_else(|e| panic!("the other survivor is refused: {e}"));
        }
    }

    /// Starts a former MAIN again and makes it a REPLICA of the present one. What a client hears from it
    /// before that is up to `meanwhile`.
    pub fn rejoin(&mut self, node: usize, meanwhile: impl FnOnce(&mut Bolt)) -> Rejoined {
        self.nodes[node].spawn();
        meanwhile(&mut self.bolt(node));
        self.run(node, TO_REPLICA);
        match self.register(node, 1) {
            Ok(()) => Rejoined::AsItWas,
            Err(e) => {
                let text = e.to_string();
                assert!(
                    text.starts_with(&format!("Couldn't register replica node{node}. Error: 3.")),
                    "{text}"
                );
                self.nodes[node].kill();
                self.nodes[node].wipe();
                self.nodes[node].spawn();
                self.run(node, TO_REPLICA);
                self.register(node, 1).unwrap_or_else(|e| panic!("an empty node is refused: {e}"));
                Rejoined::Wiped
            }
        }
    }

    /// Compares the logs of all nodes by their chain hash and their graphs by their content, while nobody
    /// writes.
    pub fn compare(&self, how: Content) -> Vec<Wrong> {
        let all: Vec<String> = (0..self.nodes.len())
            .map(|node| {
                let mut bolt = self.bolt(node);
                let log = state(&mut bolt).expect("it answers");
                let graph = content(&mut bolt, how);
                let (epochs, last) = (log.history.len(), log.history.last());
                format!(
                    "record {} chain {} {epochs} epochs to {last:?} graph {graph}",
                    log.applied, log.chain
                )
            })
            .collect();
        let differs = |(n, text): (usize, &String)| Wrong::Unequal {
            what: format!("node {n} differs from node 0: {text}, not {}", all[0]),
        };
        all.iter().enumerate().skip(1).filter(|(_, text)| **text != all[0]).map(differs).collect()
    }
}

/// How much of a graph is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Counts and sums.
    Sums,
    /// A digest of every vertex and edge with its internal id.
    Whole,
}

fn content(bolt: &mut Bolt, how: Content) -> String {
    let queries: &[&str] = match how {
        Content::Sums => &["MATCH (n) RETURN labels(n) AS l, count(n), sum(n.id), sum(id(n)) ORDER BY l;"],
        Content::Whole => &[
            "MATCH (n) RETURN id(n) AS i, labels(n), properties(n) ORDER BY i;",
            "MATCH (a)-[e]->(b) RETURN id(e) AS i, id(a), id(b), type(e), properties(e) ORDER BY i;",
        ],
    };
    let mut digest = Sha256::new();
    for query in queries {
        for row in &bolt.run(query).unwrap_or_else(|e| panic!("{query}: {e}")).rows {
            for value in row {
                digest.update(to_json(value).to_string());
                digest.update([0]);
            }
        }
    }
    digest.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
