//! The hosts of a swarm, and which of them a node is put on. Pure.
//!
//! A host is chosen once, when the place of a node's data is made, and kept from then on: the data are in a volume of
//! that host, and nothing carries them to another.

use crate::error::{CliError, Exit};
use crate::topology::{Instance, Topology};
use bollard::models::{Node, NodeSpecAvailabilityEnum, NodeState};
use std::collections::BTreeMap;

/// An engine of the swarm, as a manager knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// Its id in the swarm, which it keeps.
    pub(super) id: String,
    /// Its host name, which others may have too.
    pub(super) name: String,
    /// Where it is reached.
    pub(super) address: String,
    /// Labels that its swarm and its engine give it.
    pub(super) labels: BTreeMap<String, String>,
    /// Whether the managers hear of it.
    pub(super) is_ready: bool,
    /// Whether it takes what is new.
    pub(super) is_active: bool,
}

impl Host {
    /// Reads what a manager says.
    pub(super) fn of(node: &Node) -> Host {
        let (status, spec) = (node.status.clone().unwrap_or_default(), node.spec.clone().unwrap_or_default());
        let description = node.description.clone().unwrap_or_default();
        // A manager may not know under which address its own engine is reached, but where the others find it.
        let of_manager = || {
            let address = node.manager_status.as_ref()?.addr.as_deref()?;
            Some(address.rsplit_once(':').map_or(address, |(host, _)| host).to_owned())
        };
        let is_usable = |address: &String| !address.is_empty() && address != "0.0.0.0" && address != "::";
        let engine = description.engine.and_then(|e| e.labels).unwrap_or_default();
        Host {
            id: node.id.clone().unwrap_or_default(),
            name: description.hostname.unwrap_or_default(),
            address: status.addr.filter(is_usable).or_else(of_manager).unwrap_or_default(),
            labels: engine.into_iter().chain(spec.labels.unwrap_or_default()).collect(),
            is_ready: status.state == Some(NodeState::READY),
            is_active: spec.availability == Some(NodeSpecAvailabilityEnum::ACTIVE),
        }
    }

    /// Whether a `host:` of a topology means this one.
    fn is_meant(&self, wanted: &str) -> bool {
        match wanted.split_once('=') {
            Some((label, value)) => self.labels.get(label).is_some_and(|v| v == value),
            None => self.id == wanted || self.name == wanted,
        }
    }
}

/// How a host is called among `all`: by its name, and by its id too where others have that name.
pub(super) fn shown(all: &[Host], id: &str) -> String {
    let Some(host) = all.iter().find(|h| h.id == id) else { return id.to_owned() };
    match all.iter().filter(|h| h.name == host.name).count() {
        1 if !host.name.is_empty() => host.name.clone(),
        _ => format!("{} ({})", host.name, host.id),
    }
}

/// Says which host each instance of a topology is put on: where its data are, by `kept`, which names the host's id;
/// else on the one that it asks for; else on the one with the fewest of this cluster's nodes. The same hosts and the
/// same topology give the same answer, in whatever order it is asked.
pub(super) fn place(
    topology: &Topology,
    all: &[Host],
    kept: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, CliError> {
    let mut free: Vec<&Host> = all.iter().filter(|h| h.is_ready && h.is_active).collect();
    free.sort_by_key(|h| (&h.name, &h.id));
    let mut placed = kept.clone();
    for instance in &topology.instances {
        if placed.contains_key(&instance.name) {
            continue;
        }
        let fits: Vec<&&Host> = match &instance.host {
            Some(wanted) => meant(topology, instance, wanted, all, &free)?,
            None => free.iter().collect(),
        };
        let load = |host: &Host| placed.values().filter(|id| **id == host.id).count();
        // Of equals the first.
        let best = fits.iter().min_by_key(|host| load(host)).ok_or_else(|| {
            CliError::new(Exit::Engine, "no host of the swarm takes a node")
                .code("MG028")
                .thing(format!("cluster `{}`", topology.name))
                .help("see which are ready and active: docker node ls")
        })?;
        placed.insert(instance.name.clone(), best.id.clone());
    }
    Ok(placed)
}

/// The free hosts that `host: wanted` means; several only where it is a label.
fn meant<'a>(
    topology: &Topology,
    instance: &Instance,
    wanted: &str,
    all: &[Host],
    free: &'a [&'a Host],
) -> Result<Vec<&'a &'a Host>, CliError> {
    let refuse = |what: String, help: &str| {
        let names: Vec<String> = all.iter().map(|h| shown(all, &h.id)).collect();
        Err(CliError::new(Exit::Usage, what)
            .code("MG028")
            .at(instance.place.clone())
            .thing(format!("`host: {wanted}` of `{}`, cluster `{}`", instance.name, topology.name))
            .note(format!("the swarm has: {}", names.join(", ")))
            .help(help))
    };
    if !all.iter().any(|h| h.is_meant(wanted)) {
        return refuse(format!("the swarm has no host `{wanted}`"), "see its hosts: docker node ls");
    }
    let found: Vec<&&Host> = free.iter().filter(|h| h.is_meant(wanted)).collect();
    match found.len() {
        0 => refuse(
            format!("host `{wanted}` is not ready, or takes nothing new"),
            "bring it back, or make it active: docker node update --availability active HOST",
        ),
        1 => Ok(found),
        _ if wanted.contains('=') => Ok(found),
        _ => refuse(
            format!("several hosts of the swarm are called `{wanted}`"),
            "name the one that is meant by its id, or give it a label: docker node update --label-add rack=1 ID, and `host: rack=1`",
        ),
    }
}

/// Says where nodes are kept although the topology asks for another host, and how one is moved.
pub(super) fn notes(topology: &Topology, all: &[Host], kept: &BTreeMap<String, String>) -> Vec<String> {
    let note = |instance: &Instance| {
        let (wanted, id) = (instance.host.as_ref()?, kept.get(&instance.name)?);
        let is_there = all.iter().find(|h| h.id == *id)?.is_meant(wanted);
        (!is_there).then(|| {
            format!(
                "{0}: the file says host {wanted}, its data are on {1}, and it stays there; to move it: mgctl remove {0} --volumes, what that asks for there, then mgctl up",
                instance.name,
                shown(all, id)
            )
        })
    };
    topology.instances.iter().filter_map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Source, load};

    fn host(id: &str, name: &str, labels: &[(&str, &str)]) -> Host {
        Host {
            id: id.into(),
            name: name.into(),
            address: "10.0.0.1".into(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            is_ready: true,
            is_active: true,
        }
    }

    fn topology(hosts: [&str; 4]) -> Topology {
        let line = |(i, host): (usize, &&str)| {
            let role = if i == 0 { "main" } else { "replica" };
            let host = if host.is_empty() { String::new() } else { format!(", host: {host}") };
            format!("  n{i}: {{ role: {role}{host} }}\n")
        };
        let lines: String = hosts.iter().enumerate().map(line).collect();
        let text =
            format!("name: demo\nruntime: swarm\nports: {{ allow_public: true }}\ninstances:\n{lines}");
        let source = Source { name: "demo.yaml".into(), directory: ".".into(), text };
        load(&source, &|_| None).unwrap().topology
    }

    fn placed(topology: &Topology, all: &[Host], kept: &[(&str, &str)]) -> Vec<String> {
        let kept = kept.iter().map(|(n, h)| ((*n).to_owned(), (*h).to_owned())).collect();
        place(topology, all, &kept).unwrap().into_values().collect()
    }

    #[test]
    fn nodes_are_spread_the_same_way_each_time_and_stay_where_their_data_are() {
        let all = [host("b", "two", &[]), host("a", "one", &[]), host("c", "three", &[])];
        let any = topology([""; 4]);
        // By name: one, three, two.
        assert_eq!(placed(&any, &all, &[]), ["a", "c", "b", "a"]);
        let turned: Vec<Host> = all.iter().rev().cloned().collect();
        assert_eq!(placed(&any, &turned, &[]), ["a", "c", "b", "a"]);
        // What is known already changes nothing for the others.
        assert_eq!(placed(&any, &all, &[("n0", "a"), ("n2", "b")]), ["a", "c", "b", "a"]);
        // Data keep a node on a host that is not ready, and that nothing new is put on.
        let mut lost = all.clone();
        lost[0].is_ready = false;
        lost[2].is_active = false;
        assert_eq!(placed(&any, &lost, &[("n1", "b")]), ["a", "b", "a", "a"]);
    }

    #[test]
    fn a_host_is_named_by_id_name_or_label() {
        let all =
            [host("id1", "vm", &[("rack", "1")]), host("id2", "vm", &[("rack", "2")]), host("id3", "x", &[])];
        assert_eq!(placed(&topology(["id2", "x", "rack=1", ""]), &all, &[]), ["id2", "id3", "id1", "id1"]);
        let error = |wanted: &str| {
            let error = place(&topology([wanted, "", "", ""]), &all, &BTreeMap::new()).unwrap_err();
            assert_eq!(error.problem().code, Some("MG028"));
            error.to_string()
        };
        let text = error("vm");
        assert!(text.contains("several hosts of the swarm are called `vm`"), "{text}");
        assert!(text.contains("the swarm has: vm (id1), vm (id2), x"), "{text}");
        assert!(error("rack=3").contains("no host `rack=3`"));
        let mut all = all.clone();
        all[2].is_active = false;
        let error = place(&topology(["x", "", "", ""]), &all, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains("takes nothing new"), "{error}");
    }

    #[test]
    fn a_node_that_is_not_where_the_file_says_is_told_and_stays() {
        let all = [host("a", "one", &[]), host("b", "two", &[])];
        let kept = BTreeMap::from([("n0".to_owned(), "b".to_owned()), ("n1".to_owned(), "b".to_owned())]);
        let asked = topology(["one", "two", "", ""]);
        assert_eq!(place(&asked, &all, &kept).unwrap()["n0"], "b");
        let notes = notes(&asked, &all, &kept);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with("n0: the file says host one, its data are on two"), "{notes:?}");
    }

    #[test]
    fn a_manager_that_does_not_know_its_own_address_is_reached_where_the_others_find_it() {
        let mut node = Node {
            id: Some("a".into()),
            status: Some(bollard::models::NodeStatus { addr: Some("0.0.0.0".into()), ..Default::default() }),
            manager_status: Some(bollard::models::ManagerStatus {
                addr: Some("10.9.0.2:2377".into()),
                ..Default::default()
            }),
            ..Node::default()
        };
        assert_eq!(Host::of(&node).address, "10.9.0.2");
        node.status.as_mut().unwrap().addr = Some("10.9.0.3".into());
        assert_eq!(Host::of(&node).address, "10.9.0.3");
    }
}
