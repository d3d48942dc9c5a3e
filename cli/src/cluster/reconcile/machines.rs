//! Images, volumes, networks, certificates and machines.

use super::orphans::find_main_among;
use super::{Condition, MainFound, Wish, condition, held_back, is_fenced};
use crate::authority::{not_offered, print, show_seconds_left};
use crate::cluster::observed::{Existing, Machine, MachineState, NodeView, Observed, Subnetwork};
use crate::cluster::plan::{Action, Plan, StepId};
use crate::cluster::spec::Spec;
use crate::error::{CliError, Exit};
use crate::topology::{Image, Instance, Pull, Role, Topology, Until};
use std::collections::BTreeMap;

pub(super) fn plan_machines(wish: &Wish, seen: &Observed, plan: &mut Plan) {
    let topology = &wish.topology;
    let existing = &seen.existing;
    let later = held_back(topology, seen);
    plan.notes.extend(existing.notes.iter().cloned());
    let to_make: Vec<(&Instance, String)> = topology
        .instances
        .iter()
        .filter(|i| !later.contains(i.name.as_str()))
        .filter_map(|i| match existing.machines.get(&i.name) {
            None => Some((i, "it does not exist".to_owned())),
            Some(machine) => {
                let drift = machine.spec.as_ref().map(|s| s.drift(&Spec::of(topology, i)));
                match drift {
                    None => Some((i, "its label cannot be read".to_owned())),
                    Some(drift) if !drift.is_empty() => {
                        let changes: Vec<String> =
                            drift.iter().map(|d| format!("{} {} → {}", d.field, d.was, d.wanted)).collect();
                        Some((i, changes.join(", ")))
                    }
                    Some(_) if wish.options.recreate => Some((i, "--recreate".to_owned())),
                    Some(_) if wish.anew.as_ref() == Some(&i.name) => Some((i, "it is its turn".to_owned())),
                    Some(_) => None,
                }
            }
        })
        .collect();

    let is_without = |i: &&Instance| {
        let is_made = to_make.iter().any(|(made, _)| made.name == i.name);
        is_made || !existing.certificates.contains_key(&i.name)
    };
    if let Some(files) = &topology.tls_files
        && let Some(without) =
            topology.instances.iter().filter(is_without).find(|i| !files.leaves.contains_key(&i.name))
    {
        plan.refusal = Some(not_offered(files, topology, &without.name));
        return;
    }
    plan_images(&to_make, existing, plan);
    if plan.refusal.is_some() {
        return;
    }
    if existing.network.is_none() && topology.network.is_external {
        plan.refusal = Some(no_network(topology));
        return;
    }
    if existing.network.is_none() {
        plan.push("network", &[], Action::CreateNetwork(topology.network.subnet), "it does not exist");
    } else if let Some(network) = existing.network.as_ref().filter(|_| !topology.network.is_external) {
        plan.notes.extend(network_notes(topology, network));
    }
    for instance in topology.instances.iter().filter(|i| !later.contains(i.name.as_str())) {
        if instance.volume().is_some_and(|volume| !existing.volumes.contains(volume)) {
            let id = format!("volume:{}", instance.name);
            plan.push(id, &[], Action::CreateVolume(instance.name.clone()), "it does not exist");
        }
    }
    let is_new_authority = topology.cluster_tls && topology.tls_files.is_none() && !existing.has_authority;
    if is_new_authority {
        // It is reached through a container, and a container is of an image.
        let image = format!("image:{}", topology.main().image);
        plan.push("authority", &[image], Action::CreateAuthority, "it does not exist");
    }

    let has_main = topology.instances.iter().any(|i| {
        matches!(condition(i, seen), Condition::Answered(f) if f.role == Role::Main)
            && !is_fenced(seen, &i.name)
    });
    // It is made a REPLICA with that, and roles are set only where they are waited for.
    let may_return = has_main && topology.wait.until >= Until::Registered;
    let mut renewals = Vec::new();
    if !later.is_empty() {
        let names: Vec<&str> = later.iter().copied().collect();
        let verb = if names.len() == 1 { "is" } else { "are" };
        plan.notes.push(format!("{}: {verb} made when the others have said who is MAIN", names.join(", ")));
    }
    for instance in topology.instances.iter().filter(|i| !later.contains(i.name.as_str())) {
        let name = &instance.name;
        let make = to_make.iter().find(|(i, _)| i.name == *name).map(|(_, cause)| cause.as_str());
        let create: StepId = format!("create:{name}");
        let start: StepId = format!("start:{name}");
        let fence: StepId = format!("fence:{name}");
        let machine = existing.machines.get(name);
        if let Some(cause) = make {
            let needs = [
                format!("image:{}", instance.image),
                "network".to_owned(),
                format!("volume:{name}"),
                format!("remove:{name}"),
            ];
            if machine.is_some() {
                plan.push(format!("stop:{name}"), &[], Action::StopMachine(name.clone()), cause);
                // All else that it takes to make it again is there by then: a fence goes with the old machine.
                let before = [
                    format!("stop:{name}"),
                    format!("image:{}", instance.image),
                    "network".to_owned(),
                    format!("volume:{name}"),
                ];
                plan.push(format!("remove:{name}"), &before, Action::RemoveMachine(name.clone()), cause);
            }
            plan.push(create.clone(), &needs, Action::CreateMachine(name.clone()), cause);
            if machine.is_some_and(|m| m.is_fenced) {
                // What kept it from starting by itself went with the old machine.
                let cause = "a failover had ended it";
                plan.push(
                    fence.clone(),
                    std::slice::from_ref(&create),
                    Action::FenceMachine(name.clone()),
                    cause,
                );
            }
        }
        let certificate: StepId = format!("certificate:{name}");
        let due = certificate_is_due(topology, existing, name, make.is_some(), is_new_authority);
        if let Some(note) = ends_with_its_file(topology, existing, name).filter(|_| due.is_none()) {
            plan.notes.push(note);
        }
        if let (true, Some(cause)) = (topology.cluster_tls, due) {
            let needs = ["authority".to_owned(), create.clone()];
            let is_told_to_run =
                |m: &Machine| !matches!(m.state, MachineState::Created | MachineState::Exited { .. });
            match machine.filter(|m| topology.is_swarm() && make.is_none() && is_told_to_run(m)) {
                None => plan.push(certificate.clone(), &needs, Action::IssueCertificate(name.clone()), cause),
                Some(machine) if machine.is_lost() => {
                    plan.notes.push(format!("{name}: {cause}, and is renewed when its host is back"));
                }
                Some(_) => renewals.push((instance, cause)),
            }
        }
        if machine.is_some_and(|m| m.is_fenced && !m.is_running()) && !may_return {
            let when = match has_main {
                true => format!("brought back by mgctl rejoin {name}"),
                false => "started when another node is MAIN".to_owned(),
            };
            plan.notes.push(format!("{name}: was fenced by a failover, and is {when}"));
            continue;
        }
        if make.is_some() {
            let needs = [create, fence, certificate];
            plan.push(start.clone(), &needs, Action::StartMachine(name.clone()), "it was just made");
        } else if let Some(machine) = machine {
            match &machine.state {
                MachineState::Starting
                | MachineState::Running
                | MachineState::Restarting
                | MachineState::Elsewhere
                | MachineState::Lost { .. } => {}
                MachineState::Paused => {
                    plan.push(start.clone(), &[], Action::UnpauseMachine(name.clone()), "it is paused");
                }
                state @ (MachineState::Created | MachineState::Exited { .. }) => {
                    plan.push(
                        start.clone(),
                        &["network".into(), certificate],
                        Action::StartMachine(name.clone()),
                        format!("it is {state}"),
                    );
                }
            }
            if !machine.image_is_current {
                plan.notes.push(format!(
                    "{name}: runs another image than what {} names now; `--recreate` changes it",
                    instance.image
                ));
            }
        }
        let answers = matches!(condition(instance, seen), Condition::Answered(_)) && make.is_none();
        if !answers {
            let cause = match (make, seen.nodes.get(name)) {
                (None, Some(NodeView::Silent(why))) => why.clone(),
                _ => "it starts".to_owned(),
            };
            plan.push(
                format!("bolt:{name}"),
                std::slice::from_ref(&start),
                Action::AwaitBolt(name.clone()),
                cause,
            );
        }
        if machine.is_some_and(|m| m.is_fenced) && may_return && plan.steps.iter().any(|s| s.id == start) {
            plan_return(instance, plan);
        }
    }
    plan_renewals(topology, seen, is_new_authority, renewals, plan);
}

/// Plans that a node that a failover had ended comes back as a REPLICA: it starts as the MAIN that it was, and is not left
/// so for another plan.
pub(super) fn plan_return(instance: &Instance, plan: &mut Plan) {
    let name = &instance.name;
    let (bolt, role) = (format!("bolt:{name}"), format!("role:{name}"));
    let action = Action::BecomeReplica { instance: name.clone(), port: instance.replication_port };
    plan.push(role.clone(), &[bolt], action, "a failover had ended it, and another node is MAIN");
    // Only as a REPLICA may it start by itself again.
    plan.push(
        format!("unfence:{name}"),
        &[role],
        Action::UnfenceMachine(name.clone()),
        "a failover had ended it",
    );
}

/// Plans other certificates for nodes of a swarm that run. Each is started anew for it: one after the other, when the one
/// before is there and follows again, and MAIN last.
pub(super) fn plan_renewals(
    topology: &Topology,
    seen: &Observed,
    is_new_authority: bool,
    mut renewals: Vec<(&Instance, String)>,
    plan: &mut Plan,
) {
    let main = match find_main_among(topology, seen) {
        MainFound::Is(main) => Some(main),
        _ => None,
    };
    renewals.sort_by_key(|(instance, _)| main.as_ref() == Some(&instance.name));
    // A MAIN that cannot be believed any more is followed again when it has another one itself.
    let is_believed = |main: &String| {
        !is_new_authority && seen.existing.certificates.get(main).is_some_and(|held| held.seconds_left > 0)
    };
    let followers = main
        .as_ref()
        .filter(|main| is_believed(main))
        .and_then(|main| Some((main, &seen.nodes.get(main)?.facts()?.replicas)));
    let mut needs: Vec<StepId> = vec!["authority".into()];
    for (instance, cause) in renewals {
        let name = &instance.name;
        let certificate: StepId = format!("certificate:{name}");
        plan.push(certificate.clone(), &needs, Action::IssueCertificate(name.clone()), cause);
        let back: StepId = format!("back:{name}");
        let why = "it is started anew with it";
        plan.push(back.clone(), &[certificate], Action::AwaitBolt(name.clone()), why);
        needs = vec![back.clone()];
        if let Some((main, replicas)) = followers
            && replicas.iter().any(|r| r.name == instance.register_as)
        {
            let level: StepId = format!("level:{name}");
            let action = Action::AwaitLevel { main: main.clone(), name: instance.register_as.clone() };
            plan.push(level.clone(), &[back], action, "the next one is started anew after it");
            needs = vec![level];
        }
    }
}

/// Says in what a network is otherwise than the file wants it.
pub(super) fn network_notes(topology: &Topology, network: &Subnetwork) -> Vec<String> {
    let wanted = &topology.network;
    let text = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let changes = [
        (
            "subnet",
            network.subnet.map(|s| s.to_string()),
            wanted.subnet.map(|s| s.to_string()),
            wanted.subnet.is_some(),
        ),
        ("driver", network.driver.clone(), Some(wanted.driver.to_string()), true),
        (
            "mtu",
            network.mtu.map(|m| m.to_string()),
            wanted.mtu.map(|m| m.to_string()),
            network.driver.is_some(),
        ),
    ];
    let differs = |(key, is, wants, counts): &(&str, Option<String>, Option<String>, bool)| {
        // What a runtime does not know of its network cannot differ.
        *counts && is != wants && (is.is_some() || *key == "mtu")
    };
    let note = |(key, is, wants, _): (&str, Option<String>, Option<String>, bool)| {
        format!(
            "network {}: {key} {}, the file says {}; `down` and `up` change it",
            network.name,
            text(is),
            text(wants)
        )
    };
    changes.into_iter().filter(differs).map(note).collect()
}

pub(super) fn no_network(topology: &Topology) -> CliError {
    let name = &topology.network.name;
    CliError::new(
        Exit::NotFound,
        format!("network `{name}` does not exist, and `network.external` says that it does"),
    )
    .code("MG065")
    .at(topology.place.clone())
    .help(format!("make it: docker network create {name}; or remove `external: true`, and mgctl makes it"))
}

/// Plans the images that machines are to be made of.
pub(super) fn plan_images(to_make: &[(&Instance, String)], existing: &Existing, plan: &mut Plan) {
    let images: BTreeMap<String, &Instance> =
        to_make.iter().rev().map(|(i, _)| (i.image.to_string(), *i)).collect();
    for (name, instance) in images {
        let is_there = existing.images.contains(&name);
        let pull = |pull| to_make.iter().any(|(i, _)| i.image == instance.image && i.container.pull == pull);
        let cause = match is_there {
            true if pull(Pull::Always) && instance.image != Image::BuiltIn => "`pull: always`",
            true => continue,
            false if pull(Pull::Never) && instance.image != Image::BuiltIn => {
                plan.refusal = Some(
                    CliError::new(
                        Exit::Engine,
                        format!("the engine has no image `{name}`, and `pull: never` is set"),
                    )
                    .code("MG062")
                    .at(instance.place.clone())
                    .help(format!("bring it there: docker pull {name}; or use `pull: missing`")),
                );
                return;
            }
            false => "the engine does not have it",
        };
        plan.push(format!("image:{name}"), &[], Action::LoadImage(instance.image.clone()), cause);
    }
}

/// Why a node needs a certificate, if it does.
pub(super) fn certificate_is_due(
    topology: &Topology,
    existing: &Existing,
    instance: &str,
    is_made: bool,
    is_new_authority: bool,
) -> Option<String> {
    if is_made {
        return Some("it is just made".to_owned());
    }
    if is_new_authority {
        return Some("the authority is new".to_owned());
    }
    let Some(held) = existing.certificates.get(instance) else { return Some("it has none".to_owned()) };
    match &topology.tls_files {
        Some(files) => {
            let file = files.leaves.get(instance)?;
            let is_other = print(&file.certificate, &file.authority) != held.print;
            is_other.then(|| format!("another one is in `{}`", files.folder.display()))
        }
        None => held.ends_soon().then(|| format!("its certificate {}", show_seconds_left(held.seconds_left))),
    }
}

/// Says that a node's certificate ends soon where only its files can change that.
pub(in crate::cluster) fn ends_with_its_file(
    topology: &Topology,
    existing: &Existing,
    instance: &str,
) -> Option<String> {
    let files = topology.tls_files.as_ref()?;
    let held = existing.certificates.get(instance).filter(|held| held.ends_soon())?;
    Some(format!(
        "{instance}: its certificate {}; put a new {instance}.crt, with its key, into `{}`, and run mgctl up",
        show_seconds_left(held.seconds_left),
        files.folder.display()
    ))
}
