//! Nodes that someone else runs, at the addresses that the topology names.
//!
//! There is nothing to look up and nothing to start or stop: a node is there because the file says so, and whether it
//! lives only its answer tells. What needs a machine is refused with what to do where it runs. A host name stays one,
//! and is looked up anew for each exchange.
//!
//! A claim on the cluster keeps away other mgctl of this user on this machine, and nobody elsewhere: there is no place
//! that all of them share. Nodes take one role query at a time, and epochs tell which of two came last.

use crate::authority::Certificate;
use crate::cluster::{Action, Existing, Machine, MachineState, Runtime, Spec};
use crate::error::{CliError, Exit};
use crate::topology::Topology;
use std::collections::BTreeMap;

/// The nodes of one topology.
pub struct External {
    machines: BTreeMap<String, Machine>,
}

impl External {
    /// Returns the nodes of a topology; those without an address are not there.
    pub fn of(topology: &Topology) -> External {
        let machines = topology
            .instances
            .iter()
            .filter_map(|instance| {
                let bolt = instance.external.as_ref()?.bolt.clone();
                let machine = Machine {
                    id: bolt.to_string(),
                    name: format!("Bolt {bolt}"),
                    state: MachineState::Elsewhere,
                    spec: Some(Spec::of(topology, instance)),
                    address: None,
                    bolt: Some(bolt),
                    image_is_current: true,
                    started: None,
                    is_fenced: false,
                    unhealthy: None,
                    host: None,
                };
                Some((instance.name.clone(), machine))
            })
            .collect();
        External { machines }
    }
}

impl Runtime for External {
    fn describe(&self) -> String {
        "external, run by someone else".into()
    }

    async fn observe(&self, _: &str, _: Option<&Topology>) -> Result<Existing, CliError> {
        Ok(Existing { machines: self.machines.clone(), ..Existing::default() })
    }

    async fn certificates(&self, _: &str) -> Result<BTreeMap<String, Certificate>, CliError> {
        Ok(BTreeMap::new())
    }

    async fn machine(&self, _: &str, instance: &str) -> Result<Option<Machine>, CliError> {
        Ok(self.machines.get(instance).cloned())
    }

    async fn carry_out(&self, topology: &Topology, action: &Action) -> Result<String, CliError> {
        Err(CliError::new(Exit::Usage, format!("mgctl does not run the nodes, and so cannot {action}"))
            .code("MG093")
            .thing(format!("cluster `{}`, runtime `external`", topology.name))
            .help("do it where the node runs, then: mgctl up"))
    }

    async fn last_lines(&self, _: &str, _: &str, _: usize) -> Vec<String> {
        Vec::new()
    }
}
