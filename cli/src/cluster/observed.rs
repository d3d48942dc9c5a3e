//! What exists: what the runtime sees, and what the nodes say of themselves.

use super::Rows;
use super::rewind::{Branch, Parting};
use super::spec::Spec;
use crate::authority::Certificate;
use crate::topology::{Endpoint, Mode, Role, Subnet};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The cluster as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// What the runtime sees.
    pub existing: Existing,
    /// What each running node says, by instance.
    pub nodes: BTreeMap<String, NodeView>,
}

/// What the runtime sees.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Existing {
    /// Of the images that the topology names, those that are there, as the topology writes them.
    pub images: BTreeSet<String>,
    /// The cluster's own network.
    pub network: Option<Subnetwork>,
    /// Names of the cluster's volumes.
    pub volumes: BTreeSet<String>,
    /// Those of them that cannot be removed from here, and the host that each is on.
    pub volumes_elsewhere: BTreeMap<String, String>,
    /// The cluster's machines, by instance.
    pub machines: BTreeMap<String, Machine>,
    /// Whether the cluster has an authority, which issues certificates.
    pub has_authority: bool,
    /// The certificate of each machine, by instance; without those that have none.
    pub certificates: BTreeMap<String, Certificate>,
    /// What has a name that the cluster needs, and is not mgctl's.
    pub foreign: Vec<Foreign>,
    /// What the runtime keeps otherwise than the topology says, and why, in words.
    pub notes: Vec<String>,
}

/// The network between the machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnetwork {
    /// Its name at the runtime.
    pub name: String,
    /// Its addresses, where they are known.
    pub subnet: Option<Subnet>,
    /// How far it reaches, as its runtime calls it, where that is known.
    pub driver: Option<String>,
    /// Its largest packet, where somebody chose that.
    pub mtu: Option<u32>,
    /// Somebody else made it, and it stays.
    pub is_external: bool,
}

/// An object that is in the way and that mgctl did not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// "container", "network" or "volume".
    pub kind: &'static str,
    /// The name that is needed.
    pub name: String,
    /// Whose it is, as far as can be told: its image, its project.
    pub owner: String,
}

/// What a node runs in: a container, or a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// The runtime's id for it: two machines never share one.
    pub id: String,
    /// The name by which people find it: a container's name, or "process 4711".
    pub name: String,
    /// Whether it runs.
    pub state: MachineState,
    /// What it was made from; `None` where its label cannot be read.
    pub spec: Option<Spec>,
    /// Where other nodes reach it.
    pub address: Option<IpAddr>,
    /// Where its Bolt is reached from here.
    pub bolt: Option<Endpoint>,
    /// Whether it was made from the image that the topology's image stands for today.
    pub image_is_current: bool,
    /// When it was started, in seconds since 1970.
    pub started: Option<u64>,
    /// A failover ended it, and it does not start by itself: what its node says of its role is over.
    pub is_fenced: bool,
    /// What the last run of its own healthcheck said, while the engine calls it unhealthy.
    pub unhealthy: Option<String>,
    /// The host that it is kept on, where its runtime has several.
    pub host: Option<String>,
}

impl Machine {
    /// Returns true while its node can be expected to answer.
    pub fn is_running(&self) -> bool {
        matches!(self.state, MachineState::Running | MachineState::Elsewhere)
    }

    /// Returns true while its node may answer: one is asked although its host is not heard of elsewhere.
    pub fn may_answer(&self) -> bool {
        self.is_running() || self.is_lost()
    }

    /// Returns true if nobody can tell whether it runs.
    pub fn is_lost(&self) -> bool {
        matches!(self.state, MachineState::Lost { .. })
    }
}

/// Whether a machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineState {
    /// Made, never started.
    Created,
    /// It was told to run, and is on its way: its host prepares it.
    Starting,
    /// It runs.
    Running,
    /// It ended and is being started again.
    Restarting,
    /// It is frozen.
    Paused,
    /// It ended.
    Exited {
        /// Its exit code, where known.
        code: Option<i64>,
        /// The kernel ended it for want of memory.
        out_of_memory: bool,
    },
    /// Someone else runs it; only whether its node answers can be seen.
    Elsewhere,
    /// Nobody hears of its host, and so whether it runs is not known: it may.
    Lost {
        /// The host, as people call it.
        host: String,
    },
}

impl std::fmt::Display for MachineState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MachineState::Created => f.pad("created"),
            MachineState::Starting => f.pad("starting"),
            MachineState::Lost { .. } => f.pad("on a host that is not reached"),
            MachineState::Running => f.pad("running"),
            MachineState::Restarting => f.pad("restarting"),
            MachineState::Paused => f.pad("paused"),
            MachineState::Elsewhere => f.pad("run by someone else"),
            MachineState::Exited { out_of_memory: true, .. } => f.pad("out of memory"),
            MachineState::Exited { code: Some(code), .. } => f.pad(&format!("exited ({code})")),
            MachineState::Exited { code: None, .. } => f.pad("exited"),
        }
    }
}

/// What came of asking a node.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeView {
    /// It answered.
    Answered(Box<NodeFacts>),
    /// It did not, and why.
    Silent(String),
}

impl NodeView {
    /// Returns what it said.
    pub fn facts(&self) -> Option<&NodeFacts> {
        match self {
            NodeView::Answered(facts) => Some(facts),
            NodeView::Silent(_) => None,
        }
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeFacts {
    /// Its role now.
    pub role: Role,
    /// The replicas that it knows, in the order of their registration; empty on a REPLICA.
    pub replicas: Vec<ReplicaRow>,
    /// Where it stands in the log. Memgraph's own image cannot say that.
    pub position: Option<Position>,
    /// True if its graph never held a vertex, false where that is not known.
    pub is_untouched: bool,
}

/// The row of `SHOW REPLICATION STATE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// Epoch of the last record, or of this MAIN's reign, as `number.node.incarnation`.
    pub epoch: String,
    /// Last LSN that is durable there.
    pub durable: u64,
    /// Last LSN that its readers see.
    pub applied: u64,
    /// Hash over all records up to `applied`: equal means that the logs are equal.
    pub chain: String,
    /// Each epoch that wrote a part of its log, and its first LSN, rising; empty where it does not tell.
    pub history: Vec<(String, u64)>,
    /// False on a MAIN that has not yet asked its replicas since its start.
    pub is_confirmed: bool,
    /// The epoch that it has promised to obey, as `number.node.incarnation`; a fence has no node.
    pub promised: String,
    /// The operation that asked for that promise; empty where none did.
    pub promised_by: String,
    /// Who it is.
    pub node: String,
    /// The cluster that it belongs to; `None` on a REPLICA that waits for its first MAIN, and where it does not tell.
    pub cluster: Option<String>,
    /// How its MAIN waits for it, as that said last; `None` on a MAIN, and where nobody said so.
    pub mode: Option<Mode>,
    /// What it says that an operator should know.
    pub warnings: Vec<String>,
}

impl Position {
    /// Returns the number of the epoch that it has promised to obey.
    pub fn promised_number(&self) -> u64 {
        self.promised.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// Returns true if the promise is a fence: whoever it was made for has not greeted it yet.
    pub fn is_fenced(&self) -> bool {
        let node = self.promised.split('.').nth(1).unwrap_or("");
        self.promised_number() > 0 && node.bytes().all(|b| b == b'0')
    }

    /// Returns the number of the highest epoch that it knows of.
    pub fn highest(&self) -> u64 {
        self.promised_number().max(self.order().0)
    }

    /// Returns where the logs of two nodes part: by their histories, and by the hash where both have applied as
    /// much.
    pub fn parting(&self, other: &Position) -> Parting {
        let branch = |p: &Position| Branch { end: p.durable, starts: p.history.clone() };
        let parting = branch(self).parting(&branch(other));
        let agree_up_to = self.durable - parting.own;
        let are_level = self.applied == other.applied && self.applied <= agree_up_to;
        if are_level && self.chain != other.chain {
            return Parting { at: None, own: self.durable, theirs: other.durable };
        }
        parting
    }

    /// Returns what two positions are ranked by: a higher reign first, then a longer log. Who comes first need
    /// not hold what the other holds: that is what [`parting`](Position::parting) tells.
    ///
    /// Epochs are compared as written in `number.node.incarnation`, number before incarnation. Two nodes
    /// of one number and different names never both wrote records: a number is given out once.
    pub fn order(&self) -> (u64, u64, u64) {
        let mut parts = self.epoch.split('.');
        let number = parts.next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let incarnation = parts.nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
        (number, incarnation, self.durable)
    }
}

/// A row of `SHOW REPLICAS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaRow {
    /// Name it is registered under.
    pub name: String,
    /// `host:port` as registered.
    pub address: String,
    /// How MAIN waits for it; `None` for a word that mgctl does not know.
    pub mode: Option<Mode>,
    /// "ready", "replicating", "recovery", "invalid", "diverged"; the worst of its databases.
    pub status: String,
    /// How far behind in MAIN's counter, never negative; of its databases the furthest.
    pub behind: u64,
    /// Last timestamp known to be durable there.
    pub ts: i64,
}

impl ReplicaRow {
    /// Returns true if nothing is missing there.
    pub fn is_level(&self) -> bool {
        self.status == "ready" && self.behind == 0
    }
}

/// Reads the answer to `SHOW REPLICAS`, of every version: one map of all databases, or the three columns
/// of 2.x.
pub fn decode_replicas(rows: &Rows) -> Vec<ReplicaRow> {
    let column = |name: &str| rows.fields.iter().position(|f| f == name);
    let text = |row: &[Value], name: &str| {
        column(name).and_then(|i| row.get(i)).and_then(Value::as_str).unwrap_or("").to_owned()
    };
    let number = |row: &[Value], name: &str| {
        column(name).and_then(|i| row.get(i)).and_then(Value::as_i64).unwrap_or(0)
    };
    rows.rows
        .iter()
        .map(|row| {
            let mut found = ReplicaRow {
                name: text(row, "name"),
                address: text(row, "socket_address"),
                mode: Mode::parse(&text(row, "sync_mode")),
                status: text(row, "state"),
                behind: number(row, "number_of_timestamp_behind_master").unsigned_abs(),
                ts: number(row, "current_timestamp_of_replica"),
            };
            let databases = column("data_info").and_then(|i| row.get(i)).and_then(Value::as_object);
            if let Some(databases) = databases {
                // A row without databases is a registration that never came about.
                found.status = "invalid".into();
                for (index, info) in databases.values().enumerate() {
                    let status = info.get("status").and_then(Value::as_str).unwrap_or("invalid");
                    // A value above 0 is seen for a moment after a snapshot: not behind.
                    let behind =
                        info.get("behind").and_then(Value::as_i64).unwrap_or(0).min(0).unsigned_abs();
                    if index == 0 || badness(status) > badness(&found.status) {
                        found.status = status.to_owned();
                    }
                    found.behind = found.behind.max(behind);
                    found.ts = found.ts.max(info.get("ts").and_then(Value::as_i64).unwrap_or(0));
                }
            }
            found
        })
        .collect()
}

fn badness(status: &str) -> u8 {
    match status {
        "ready" => 0,
        "replicating" => 1,
        "recovery" => 2,
        "diverged" => 4,
        _ => 3,
    }
}

/// Reads the answer to `SHOW REPLICATION STATE`.
pub fn decode_state(rows: &Rows) -> Option<Position> {
    let row = rows.rows.first()?;
    let cell = |name: &str| rows.fields.iter().position(|f| f == name).and_then(|i| row.get(i));
    let text = |name: &str| match cell(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let number = |name: &str| match cell(name) {
        Some(Value::String(text)) => text.parse().ok(),
        Some(other) => other.as_u64(),
        None => None,
    };
    Some(Position {
        epoch: text("epoch"),
        durable: number("durable_lsn")?,
        applied: number("applied_lsn")?,
        chain: text("chain"),
        history: Branch::decode(rows).map(|branch| branch.starts).unwrap_or_default(),
        is_confirmed: cell("confirmed").and_then(Value::as_bool).unwrap_or(true),
        promised: text("promised"),
        promised_by: text("promised_by"),
        node: text("node_id"),
        cluster: Some(text("cluster_id")).filter(|id| !id.is_empty()),
        mode: Mode::parse(&text("mode")),
        warnings: match cell("warnings") {
            Some(Value::Array(warnings)) => {
                warnings.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(fields: &[&str], row: Value) -> Rows {
        Rows {
            fields: fields.iter().map(|f| f.to_string()).collect(),
            rows: vec![row.as_array().unwrap().clone()],
        }
    }

    #[test]
    fn the_worst_database_speaks_for_a_replica() {
        let fields = ["name", "socket_address", "sync_mode", "system_info", "data_info"];
        let found = decode_replicas(&rows(
            &fields,
            json!(["R1", "10.0.0.2:10000", "sync", null, {
                "memgraph": { "ts": 9, "behind": 2, "status": "ready" },
                "other": { "ts": 4, "behind": -3, "status": "recovery" },
            }]),
        ));
        let row = &found[0];
        assert_eq!((row.status.as_str(), row.behind, row.ts), ("recovery", 3, 9));
        assert_eq!((row.mode, row.is_level()), (Some(Mode::Sync), false));

        let ghost = decode_replicas(&rows(&fields, json!(["R2", "x:1", "async", null, {}])));
        assert_eq!(ghost[0].status, "invalid");
    }

    #[test]
    fn a_table_of_an_old_version_is_read_too() {
        let fields = [
            "name",
            "socket_address",
            "sync_mode",
            "current_timestamp_of_replica",
            "number_of_timestamp_behind_master",
            "state",
        ];
        let found = decode_replicas(&rows(&fields, json!(["R1", "10.0.0.2:10000", "async", 7, -2, "ready"])));
        assert_eq!((found[0].behind, found[0].ts, found[0].status.as_str()), (2, 7, "ready"));
    }

    #[test]
    fn warnings_of_a_node_are_read_and_an_earlier_node_has_none() {
        let fields = ["epoch", "durable_lsn", "applied_lsn", "warnings"];
        let found = decode_state(&rows(&fields, json!(["1.a.1", 5, 5, ["the log cannot be read"]])));
        assert_eq!(found.unwrap().warnings, ["the log cannot be read"]);
        let earlier = decode_state(&rows(&fields[..3], json!(["1.a.1", 5, 5])));
        assert!(earlier.unwrap().warnings.is_empty());
    }

    #[test]
    fn logs_of_one_history_and_different_hashes_have_parted() {
        let fields = ["epoch", "durable_lsn", "applied_lsn", "chain", "history"];
        let at = |durable: u64, applied: u64, chain: &str| {
            let row = json!(["1.a.1", durable, applied, chain, ["1.a.1:1"]]);
            decode_state(&rows(&fields, row)).unwrap()
        };
        assert!(at(5, 5, "x").parting(&at(5, 5, "x")).covers());
        assert!(at(6, 5, "x").parting(&at(5, 5, "x")).covers());
        let parted = at(6, 5, "x").parting(&at(5, 5, "y"));
        assert_eq!(parted, Parting { at: None, own: 6, theirs: 5 });
        assert!(at(6, 6, "x").parting(&at(5, 5, "y")).covers(), "hashes of different places say nothing");
    }

    #[test]
    fn positions_of_a_later_reign_come_first() {
        let at = |epoch: &str, durable| Position {
            epoch: epoch.into(),
            durable,
            applied: durable,
            chain: String::new(),
            history: Vec::new(),
            is_confirmed: true,
            promised: String::new(),
            promised_by: String::new(),
            node: String::new(),
            cluster: None,
            mode: None,
            warnings: Vec::new(),
        };
        assert!(at("2.a.1", 5).order() > at("1.b.9", 50).order());
        assert!(at("1.a.2", 5).order() > at("1.a.1", 50).order());
    }
}
