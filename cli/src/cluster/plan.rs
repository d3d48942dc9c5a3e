//! A plan: steps, what each waits for, and why each is needed.

use crate::error::CliError;
use crate::topology::{Addressing, Image, Instance, Mode, Subnet, Topology};
use std::fmt;
use std::path::PathBuf;

/// Name of a step within its plan, as `start:rep1`.
pub type StepId = String;

/// What to do, in an order in which it can be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Every step stands after those that it needs.
    pub steps: Vec<Step>,
    /// Why the rest cannot be planned. The steps before it can be done all the same.
    pub refusal: Option<CliError>,
    /// What is otherwise than the file says, and stays so.
    pub notes: Vec<String>,
}

impl Plan {
    /// Returns true if there is nothing to do and nothing in the way.
    pub fn is_done(&self) -> bool {
        self.steps.is_empty() && self.refusal.is_none()
    }

    /// Returns true if no step changes anything.
    pub fn only_waits(&self) -> bool {
        self.steps.iter().all(|s| s.action.only_waits())
    }

    /// Adds a step. Needs that are not in the plan are met already and are left out.
    pub(crate) fn push(
        &mut self,
        id: impl Into<StepId>,
        needs: &[StepId],
        action: Action,
        cause: impl Into<String>,
    ) {
        let needs = needs.iter().filter(|n| self.steps.iter().any(|s| s.id == **n)).cloned().collect();
        self.steps.push(Step { id: id.into(), needs, action, cause: cause.into() });
    }
}

/// One call to the runtime, or one exchange with a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name.
    pub id: StepId,
    /// Steps that must have been done before.
    pub needs: Vec<StepId>,
    /// What to do.
    pub action: Action,
    /// Why.
    pub cause: String,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Makes the image present.
    LoadImage(Image),
    /// Makes the cluster's network; without a subnet on a free one.
    CreateNetwork(Option<Subnet>),
    /// Makes an instance's volume.
    CreateVolume(String),
    /// Makes the authority that issues certificates.
    CreateAuthority,
    /// Gives an instance's machine a certificate.
    IssueCertificate(String),
    /// Makes an instance's machine.
    CreateMachine(String),
    /// Starts it.
    StartMachine(String),
    /// Lets a frozen one go on.
    UnpauseMachine(String),
    /// Stops it, with the time it needs to end well.
    StopMachine(String),
    /// Removes it; its volume stays.
    RemoveMachine(String),
    /// Writes what a stopped machine's node keeps into a tar file.
    SaveData { instance: String, path: PathBuf },
    /// Removes a volume, by its name. What was in it is gone.
    RemoveVolume(String),
    /// Removes the network.
    RemoveNetwork,
    /// Waits until a node answers queries.
    AwaitBolt(String),
    /// Makes a node a REPLICA.
    BecomeReplica { instance: String, port: u16 },
    /// Makes a node MAIN; with an epoch it reigns in that one.
    BecomeMain { instance: String, epoch: Option<u64> },
    /// Takes a MAIN to a higher epoch, so that those follow it who promised less.
    Reign { instance: String, epoch: u64 },
    /// Cuts the log of a REPLICA back to what MAIN has; the node keeps the rest aside.
    Rewind { instance: String, main: String },
    /// Lets a REPLICA forget the cluster that it belongs to, so that it follows the next MAIN that greets it.
    Release { instance: String },
    /// Has a node promise to obey nobody below an epoch: a REPLICA lets its MAIN go, a MAIN takes no more writes.
    Fence { instance: String, epoch: u64, by: String },
    /// Ends a machine at once, keeps it from being started again by itself, and sees that it has ended.
    FenceMachine(String),
    /// Sees that a machine whose host is not reached is not run again when the host is back.
    KeepDown(String),
    /// Ends a machine at once, as a crash does.
    KillMachine(String),
    /// Freezes it.
    PauseMachine(String),
    /// Takes it off the network.
    DisconnectMachine(String),
    /// Puts it on the network again, at the address it had.
    ConnectMachine(String),
    /// Lets a machine that was fenced start by itself again.
    UnfenceMachine(String),
    /// Drops a registration at MAIN.
    Drop { main: String, name: String },
    /// Registers a node at MAIN.
    Register { main: String, instance: String, name: String, mode: Mode, host: Host, port: u16 },
    /// Waits until MAIN says that a replica is ready and 0 behind.
    AwaitLevel { main: String, name: String },
    /// Runs the statements of the topology's init files on MAIN.
    Init { main: String },
    /// Sees that a node lacks nothing of what another, which no longer writes, has.
    Prove { instance: String, against: String },
    /// Asks the running nodes what they are; the rest is planned then.
    AskNodes,
}

/// How MAIN names a replica's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// By a name or address that is known.
    Known(String),
    /// By the address that the machine has when it runs.
    OfMachine,
}

impl Host {
    /// Returns how MAIN names a node's machine while it is a REPLICA, and the port there.
    pub fn of(topology: &Topology, instance: &Instance) -> (Host, u16) {
        match (&instance.external, topology.addressing) {
            (Some(external), _) => {
                let port = external.replication.port;
                (Host::Known(external.replication.bracketed_host()), port)
            }
            (None, Addressing::Dns) => (Host::Known(instance.name.clone()), instance.replication_port),
            (None, Addressing::Static | Addressing::Ip) => (Host::OfMachine, instance.replication_port),
        }
    }
}

impl Action {
    /// Returns true if it changes nothing: it waits, or asks.
    pub fn only_waits(&self) -> bool {
        matches!(self, Action::AwaitBolt(_) | Action::AwaitLevel { .. } | Action::AskNodes)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::LoadImage(image) => write!(f, "load image {image}"),
            Action::CreateNetwork(Some(subnet)) => write!(f, "create network {subnet}"),
            Action::CreateNetwork(None) => f.write_str("create network on a free subnet"),
            Action::CreateVolume(i) => write!(f, "create volume of {i}"),
            Action::CreateAuthority => f.write_str("create the cluster's authority"),
            Action::IssueCertificate(i) => write!(f, "give {i} a certificate"),
            Action::CreateMachine(i) => write!(f, "create {i}"),
            Action::StartMachine(i) => write!(f, "start {i}"),
            Action::UnpauseMachine(i) => write!(f, "unpause {i}"),
            Action::StopMachine(i) => write!(f, "stop {i}"),
            Action::RemoveMachine(i) => write!(f, "remove {i}"),
            Action::RemoveVolume(name) => write!(f, "remove volume {name}"),
            Action::RemoveNetwork => f.write_str("remove network"),
            Action::AwaitBolt(i) => write!(f, "wait for Bolt of {i}"),
            Action::BecomeReplica { instance, port } => {
                write!(f, "{instance}: SET REPLICATION ROLE TO REPLICA WITH PORT {port};")
            }
            Action::BecomeMain { instance, epoch } => write!(f, "{instance}: {}", main_query(*epoch)),
            Action::Rewind { instance, main } => write!(f, "{instance}: cut back to what {main} has"),
            Action::Release { instance } => write!(f, "{instance}: {RELEASE_QUERY}"),
            Action::Reign { instance, epoch } => write!(f, "{instance}: {}", main_query(Some(*epoch))),
            Action::SaveData { instance, path } => {
                write!(f, "save the data of {instance} to {}", path.display())
            }
            Action::Fence { instance, epoch, by } => write!(f, "{instance}: {}", fence_query(*epoch, by)),
            Action::FenceMachine(i) => write!(f, "kill {i}, and keep it from starting by itself"),
            Action::KeepDown(i) => write!(f, "keep {i} from being run again when its host is back"),
            Action::KillMachine(i) => write!(f, "kill {i}"),
            Action::PauseMachine(i) => write!(f, "freeze {i}"),
            Action::DisconnectMachine(i) => write!(f, "take {i} off the network"),
            Action::ConnectMachine(i) => write!(f, "put {i} on the network again"),
            Action::UnfenceMachine(i) => write!(f, "let {i} start by itself again"),
            Action::Drop { main, name } => write!(f, "{main}: {}", drop_query(name)),
            Action::Register { main, instance, name, mode, host, port } => {
                let host = match host {
                    Host::Known(host) => host.clone(),
                    Host::OfMachine => format!("<{instance}>"),
                };
                write!(f, "{main}: {}", register_query(name, *mode, &format!("{host}:{port}")))
            }
            Action::AwaitLevel { main, name } => write!(f, "{main}: wait until {name} is ready and 0 behind"),
            Action::Init { main } => write!(f, "{main}: run init.cypher"),
            Action::Prove { instance, against } => {
                write!(f, "see that {instance} has all that {against} has")
            }
            Action::AskNodes => f.write_str("ask the nodes for their roles, and plan the rest"),
        }
    }
}

/// The plan as text: a line for each step, and what it waits for and why.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            write!(f, "{}: {}", step.id, step.action)?;
            if !step.needs.is_empty() {
                write!(f, "  [after {}]", step.needs.join(", "))?;
            }
            writeln!(f, "  ({})", step.cause)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        if let Some(refusal) = &self.refusal {
            writeln!(f, "then: {refusal}")?;
        }
        Ok(())
    }
}

/// A name as Cypher reads it: plain where that is possible, else in backquotes.
pub(super) fn symbol(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}

/// Text as a string literal of Cypher.
fn literal(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The query that makes a node a REPLICA.
pub(super) fn replica_query(port: u16) -> String {
    format!("SET REPLICATION ROLE TO REPLICA WITH PORT {port};")
}

/// The query that makes a node MAIN.
pub(super) fn main_query(epoch: Option<u64>) -> String {
    match epoch {
        Some(epoch) => format!("SET REPLICATION ROLE TO MAIN WITH EPOCH {epoch};"),
        None => "SET REPLICATION ROLE TO MAIN;".to_owned(),
    }
}

/// The query that lets a REPLICA forget its cluster.
pub(super) const RELEASE_QUERY: &str = "RELEASE REPLICATION MAIN;";

/// The query that has a node promise to obey nobody below an epoch.
pub(super) fn fence_query(epoch: u64, by: &str) -> String {
    format!("FENCE REPLICATION EPOCH {epoch} BY {};", literal(by))
}

/// The query that registers a replica.
pub(super) fn register_query(name: &str, mode: Mode, address: &str) -> String {
    format!("REGISTER REPLICA {} {mode} TO {};", symbol(name), literal(address))
}

/// The query that drops a registration.
pub(super) fn drop_query(name: &str) -> String {
    format!("DROP REPLICA {};", symbol(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_those_of_the_guide_and_no_name_breaks_out_of_them() {
        assert_eq!(
            register_query("REP1", Mode::Sync, "172.17.0.3:10000"),
            r#"REGISTER REPLICA REP1 SYNC TO "172.17.0.3:10000";"#
        );
        assert_eq!(drop_query("a`b"), "DROP REPLICA `a``b`;");
        assert_eq!(
            register_query("r-1", Mode::StrictSync, "x\";"),
            r#"REGISTER REPLICA `r-1` STRICT_SYNC TO "x\";";"#
        );
    }
}
