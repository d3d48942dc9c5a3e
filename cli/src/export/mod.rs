//! A topology in the words of other tools: Docker Compose and Kubernetes. Pure: text in, text out.
//!
//! What is written is the cluster as it is when it is new. Roles and registrations are set there by mgctl itself, in a
//! container that runs `mgctl up` once, on the same topology with `runtime: external` and the names that the other
//! tool gives the nodes. Everything begins with what is lost in translation.

mod compose;
mod kubernetes;

pub use compose::compose;
pub use kubernetes::{Settings, kubernetes};

use crate::error::{CliError, Exit};
use crate::topology::{
    Backup, BoltPort, Container, Data, Endpoint, External, Image, Instance, Runtime, Topology, to_yaml,
};
use serde_json::Value;
use std::time::Duration;

/// Bolt inside of a container.
const BOLT: u16 = 7687;

/// Where the node's user keeps its data in the image.
const DATA: &str = "/data";

/// Refuses what has no counterpart: other images, whose nodes are run in another way.
fn check(topology: &Topology) -> Result<(), CliError> {
    let refuse = |what: String, help: &str| {
        Err(CliError::new(Exit::Usage, what).code("MG094").at(topology.place.clone()).help(help))
    };
    if topology.is_external() {
        let what = "someone else runs these nodes: there is nothing to export".to_owned();
        return refuse(what, "export a topology whose nodes mgctl would run");
    }
    if topology.is_swarm() {
        let what =
            "a topology of a swarm says on which hosts its nodes are, which other tools name otherwise"
                .to_owned();
        return refuse(what, "export it without `runtime: swarm` and `host`");
    }
    if let Some(other) = topology.instances.iter().find(|i| i.image != Image::BuiltIn) {
        let what = format!("`{}` runs {}, and only the built-in image is exported", other.name, other.image);
        return refuse(what, "leave `image` out; --image says under which name the built-in one is found");
    }
    Ok(())
}

/// Returns the topology as the mgctl over there is to see it: nodes that someone else runs, at these host names.
fn external(topology: &Topology, host: impl Fn(&Instance) -> String) -> Result<String, CliError> {
    let mut there =
        Topology { runtime: Runtime::External, cluster_tls: false, tls_files: None, ..topology.clone() };
    there.init.cypher.clear();
    (there.context, there.backup) = (None, Backup::default());
    // Nodes start, and images are pulled, while it waits.
    there.wait.timeout = there.wait.timeout.max(Duration::from_secs(300));
    for instance in &mut there.instances {
        let host = host(instance);
        instance.external = Some(External {
            bolt: Endpoint { host: host.clone(), port: BOLT },
            replication: Endpoint { host, port: instance.replication_port },
        });
        (instance.ip, instance.memory_bytes, instance.nano_cpus) = (None, None, None);
        instance.env.clear();
        instance.container = Container::default();
        instance.bolt = BoltPort::None;
        instance.data = Data::Volume(topology.volume_of(&instance.name));
    }
    yaml(&to_yaml(&there).map_err(|e| e.to_string()))
}

fn yaml(text: &Result<String, String>) -> Result<String, CliError> {
    text.clone().map_err(|error| CliError::new(Exit::Other, format!("the YAML cannot be written: {error}")))
}

fn document(value: &Value) -> Result<String, CliError> {
    yaml(&serde_yaml::to_string(value).map_err(|e| e.to_string()))
}

/// Returns lines as a block of comments.
fn comment(lines: &[String]) -> String {
    lines.iter().map(|l| if l.is_empty() { "#\n".to_owned() } else { format!("# {l}\n") }).collect()
}

/// What is lost wherever it goes, and with these settings of the file.
fn lost(topology: &Topology) -> Vec<String> {
    let mut lost = vec![
        "- Failover. Nothing here promotes a REPLICA when MAIN is gone, and a MAIN that is started again is MAIN again.".to_owned(),
        "  `mgctl failover`, `promote` and `status` work from inside, with the topology that is written below.".to_owned(),
        "- Fences. mgctl runs none of these nodes: a MAIN that is silent is replaced with --force-unfenced alone.".to_owned(),
        "- Passwords and encryption of Bolt: there are none. Only the cluster itself may reach it.".to_owned(),
    ];
    if !topology.init.cypher.is_empty() {
        lost.push("- `init.cypher` is not run: `mgctl import` brings the files in.".to_owned());
    }
    if topology
        .instances
        .iter()
        .any(|i| !i.container.ulimits.is_empty() || !i.container.healthcheck.test.is_empty())
    {
        lost.push("- `ulimits` and `healthcheck.test`.".to_owned());
    }
    lost
}
