//! From what a cluster should be and what it is, to what to do; and doing it.
//!
//! ```text
//! Topology + init ──┐
//!                   ├─► reconcile ─► Plan ─► execute ─► Runtime  (image, network, volumes, machines)
//! Observed ─────────┘    pure        Steps   walks      Nodes    (queries over Bolt)
//! ```
//!
//! `up` observes, plans, executes, and begins again until a plan is empty. So it does not matter how the
//! cluster came to be as it is: after a crash, a Ctrl-C or a failed step the next plan holds what is left.
//!
//! What always holds:
//! - Deciding is pure: [`reconcile`](fn@reconcile) and [`promote::decide`] see values and give values.
//! - A step is written so that doing it twice is doing it once: a role is read before it is set, a
//!   registration is looked up before it is made.
//! - The file says where MAIN is when the cluster is new. Later the nodes say it; a promotion is never
//!   undone by `up`.
//! - What is not mgctl's own, by its labels, is never touched.

mod candidate;
mod execute;
pub mod failover;
mod fix;
mod modes;
mod observed;
mod plan;
pub mod promote;
mod reconcile;
pub mod repair;
pub mod rewind;
mod spec;
mod teardown;

#[cfg(test)]
mod certificate_tests;
#[cfg(test)]
mod cited;
#[cfg(test)]
mod container_tests;
#[cfg(test)]
mod external_tests;
#[cfg(test)]
mod failover_tests;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod orphan_tests;
#[cfg(test)]
mod repair_tests;
#[cfg(test)]
mod swarm_tests;
#[cfg(test)]
mod tests;

pub use execute::{
    Deadline, Execution, Interrupt, Progress, Quiet, ask_all, ask_node, converge, execute, observe,
};
pub use fix::fixes;
pub use modes::Modes;
pub use observed::{
    Existing, Foreign, Machine, MachineState, NodeFacts, NodeView, Observed, Position, ReplicaRow,
    Subnetwork, decode_replicas, decode_state,
};
pub use plan::{Action, Host, Plan, Step, StepId};
pub use reconcile::{
    InitStatement, MainFound, Options, Orphan, Wish, address_of, find_main, leaving_orphans, orphans,
    reconcile,
};
pub use spec::{Drift, Spec, container_name, rebuild};
pub use teardown::{Rollback, rollback, teardown};

use crate::authority::Certificate;
use crate::error::CliError;
use crate::topology::{Endpoint, Topology};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// What runs machines: Docker, this system's processes, or someone else.
///
/// Every call is bounded in time and touches only what carries mgctl's own labels.
#[allow(async_fn_in_trait, reason = "everything that calls it runs on one task; no future crosses threads")]
pub trait Runtime {
    /// Returns its name and where it is, as `docker 28.2 unix:///var/run/docker.sock`.
    fn describe(&self) -> String;

    /// Reads what exists of the cluster. With a topology also what stands in its way: foreign objects
    /// that have the names it needs.
    async fn observe(&self, cluster: &str, topology: Option<&Topology>) -> Result<Existing, CliError>;

    /// Reads what certificates the machines of the cluster have. [`Runtime::observe`] does so with a topology alone: it
    /// takes a moment.
    async fn certificates(&self, cluster: &str) -> Result<BTreeMap<String, Certificate>, CliError>;

    /// Reads one machine anew, `None` where there is none.
    async fn machine(&self, cluster: &str, instance: &str) -> Result<Option<Machine>, CliError>;

    /// Does what an action of the machines' part says, and returns what came of it in a few words.
    ///
    /// # Panics
    ///
    /// An action that is for nodes does not belong here.
    async fn carry_out(&self, topology: &Topology, action: &Action) -> Result<String, CliError>;

    /// Returns the last lines that a machine logged.
    async fn last_lines(&self, cluster: &str, instance: &str, lines: usize) -> Vec<String>;
}

/// A running node as it is reached from here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Its name in the topology.
    pub instance: String,
    /// Where its Bolt answers.
    pub bolt: Endpoint,
}

/// Rows of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Names of the columns.
    pub fields: Vec<String>,
    /// The rows, each as long as `fields`.
    pub rows: Vec<Vec<Value>>,
}

/// Why a node gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeError {
    /// Nothing answers Bolt there, or the connection ended. A retry can help.
    Unreachable(String),
    /// It answered with a failure.
    Refused { code: String, message: String },
    /// It did not answer in time. Whether it did what was asked is not known.
    TimedOut(Duration),
}

impl std::fmt::Display for NodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NodeError::Unreachable(why) => f.write_str(why),
            NodeError::Refused { message, .. } => f.write_str(message),
            NodeError::TimedOut(after) => write!(f, "no answer within {}s", after.as_secs_f32()),
        }
    }
}

/// What speaks to nodes.
#[allow(async_fn_in_trait, reason = "everything that calls it runs on one task; no future crosses threads")]
pub trait Nodes {
    /// Runs one auto-commit query and returns all of its rows. Never retries.
    async fn ask(&self, target: &Target, query: &str) -> Result<Rows, NodeError>;

    /// Runs the queries in one transaction: all of them, or none.
    async fn transact(&self, target: &Target, queries: &[&str]) -> Result<(), NodeError>;
}
