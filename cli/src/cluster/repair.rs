//! Roles and registrations put in order, and one node brought back: what `repair`, `rejoin`, `reinit` and
//! `set-mode` do. Pure.

use super::execute::logs_of;
use super::modes::Modes;
use super::observed::{Machine, MachineState, NodeView, Observed, Position};
use super::plan::{Action, Plan, StepId};
use super::promote::register;
use super::reconcile::{MainFound, Options, Wish, find_main_among, is_fenced, plan_roles_of};
use crate::authority::not_offered;
use crate::error::{CliError, Exit};
use crate::topology::{Data, Instance, Mode, Role, Topology};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Returns the steps that put roles and registrations in order, and touch no machine. `chosen` is the MAIN whose
/// writes count, where several say that they are it.
pub fn repair(topology: &Topology, seen: &Observed, chosen: Option<&str>) -> Plan {
    let mut plan = Plan::default();
    let main = match chosen {
        None => match find_main_among(topology, seen) {
            MainFound::Ask(unknown) => {
                let what = format!("who is MAIN is not known before {} answer", unknown.join(", "));
                MainFound::Refused(
                    CliError::new(Exit::Unsafe, what)
                        .code("MG044")
                        .thing(format!("cluster `{}`", topology.name))
                        .help("bring them up: mgctl up")
                        .help("or say who is MAIN: mgctl repair --main NAME"),
                )
            }
            found => found,
        },
        Some(name) => chosen_main(topology, seen, name),
    };
    let name = match &main {
        MainFound::Is(name) | MainFound::Becomes(name) => Some(name.clone()),
        _ => None,
    };
    let facts = |name: &str| seen.nodes.get(name).and_then(NodeView::facts);
    let position = |name: &str| facts(name).and_then(|f| f.position.as_ref());
    let others = || {
        topology.instances.iter().filter(|i| Some(&i.name) != name.as_ref()).filter_map(|i| position(&i.name))
    };
    // Somebody promised more than this MAIN reigns in, and would not follow it.
    let promised = others().map(Position::highest).max().unwrap_or(0);
    let own = name.as_ref().and_then(|n| position(n)).map(Position::highest);
    let is_over = name.as_ref().and_then(|n| position(n)).is_some_and(Position::is_fenced);
    if let (Some(name), Some(own), MainFound::Is(_)) = (&name, own, &main)
        && (promised > own || is_over)
    {
        let action = Action::Reign { instance: name.clone(), epoch: promised.max(own) + 1 };
        plan.push(format!("role:{name}"), &[], action, format!("another node has promised epoch {promised}"));
    }
    if let Some(name) = name.as_ref().filter(|n| chosen.is_some() && is_fenced(seen, n)) {
        let unfence = Action::UnfenceMachine(name.clone());
        plan.push(format!("unfence:{name}"), &[format!("role:{name}")], unfence, "it is MAIN again");
    }
    let options = Options { keep_modes: true, ..Options::default() };
    let wish =
        Wish { topology: topology.clone(), init: Vec::new(), options, anew: None, leaving: BTreeMap::new() };
    plan_roles_of(&wish, seen, main, &mut plan);
    plan.steps.retain(|s| s.action != Action::AskNodes);

    if let Some(main) = &name {
        let is_wanted =
            |row: &str| topology.instances.iter().any(|i| i.register_as == row && i.name != *main);
        for row in facts(main).map_or(&[][..], |f| &f.replicas).iter().filter(|r| !is_wanted(&r.name)) {
            let drop = Action::Drop { main: main.clone(), name: row.name.clone() };
            let id = format!("drop:{}", row.name);
            if plan.steps.iter().all(|s| s.id != id) {
                plan.push(id, &[format!("role:{main}")], drop, "the topology does not know it");
            }
        }
        for instance in topology.instances.iter().filter(|i| facts(&i.name).is_none()) {
            let help = if is_fenced(seen, &instance.name) { "rejoin" } else { "restart" };
            let state = seen.existing.machines.get(&instance.name).map_or("does not exist".into(), |m| {
                if m.is_running() { "does not answer".to_owned() } else { format!("is {}", m.state) }
            });
            plan.notes.push(format!("{}: {state}; mgctl {help} {0}", instance.name));
        }
    }
    plan
}

fn chosen_main(topology: &Topology, seen: &Observed, name: &str) -> MainFound {
    let refuse =
        |exit: Exit, what: String| CliError::new(exit, what).thing(format!("cluster `{}`", topology.name));
    if topology.instance(name).is_none() {
        return MainFound::Refused(
            refuse(Exit::NotFound, format!("cluster `{}` has no node `{name}`", topology.name)).code("MG065"),
        );
    }
    match seen.nodes.get(name).and_then(NodeView::facts) {
        Some(facts) if facts.role == Role::Main => MainFound::Is(name.to_owned()),
        Some(_) => MainFound::Refused(
            refuse(Exit::Unsafe, format!("`{name}` is a REPLICA, and `repair` promotes nobody"))
                .code("MG044")
                .help(format!("to make it MAIN: mgctl promote {name}, or mgctl failover {name}")),
        ),
        None => MainFound::Refused(
            refuse(Exit::Degraded, format!("`{name}` does not answer"))
                .code("MG068")
                .help("see `mgctl status`"),
        ),
    }
}

/// How a node's data are given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wipe {
    /// Where they are saved before; `None` saves nothing.
    pub save_to: Option<PathBuf>,
}

/// Returns the steps that make `name` a REPLICA of `main` that is ready, from whatever it is. With `wipe` it begins
/// with nothing and copies what MAIN has; with `rewind` it is cut back to what MAIN has, and keeps the rest aside.
pub fn rejoin(
    topology: &Topology,
    seen: &Observed,
    name: &str,
    main: &str,
    wipe: Option<&Wipe>,
    rewind: bool,
) -> Result<Plan, CliError> {
    let instance = topology.instance(name).ok_or_else(|| {
        let names: Vec<&str> = topology.instances.iter().map(|i| i.name.as_str()).collect();
        CliError::new(Exit::NotFound, format!("cluster `{}` has no node `{name}`", topology.name))
            .code("MG065")
            .note(format!("it has: {}", names.join(", ")))
    })?;
    if name == main {
        return Err(CliError::new(Exit::Unsafe, format!("`{name}` is the MAIN itself"))
            .code("MG046")
            .thing(format!("cluster `{}`", topology.name))
            .help("move MAIN first: mgctl promote NODE"));
    }
    if let (Some(_), Data::Folder(path)) = (wipe, &instance.data) {
        return Err(CliError::new(
            Exit::Unsafe,
            format!("the data of `{name}` are in a folder of yours, and mgctl empties none"),
        )
        .code("MG046")
        .thing(format!("`{path}` on the engine's machine"))
        .help(format!("stop it (mgctl stop {name}), empty that folder yourself, then: mgctl up")));
    }
    let machine = seen.existing.machines.get(name);
    let mut plan = Plan::default();
    match (machine, wipe) {
        (None, None) => {
            return Err(CliError::new(Exit::NotFound, format!("`{name}` does not exist"))
                .code("MG065")
                .thing(format!("cluster `{}`", topology.name))
                .help("mgctl up makes it"));
        }
        (_, Some(_)) if is_without_certificate(topology, name) => {
            let files = topology.tls_files.as_ref().expect("it has none in its files");
            return Err(not_offered(files, topology, name));
        }
        (machine, Some(wipe)) => plan_wipe(&mut plan, topology, instance, machine, seen, wipe),
        (Some(machine), None) => plan_start(&mut plan, name, machine),
    }
    let bolt: StepId = format!("bolt:{name}");
    let started = [format!("start:{name}")];
    plan.push(bolt.clone(), &started, Action::AwaitBolt(name.to_owned()), "it must say what it is");
    let role = Action::BecomeReplica { instance: name.to_owned(), port: instance.replication_port };
    plan.push(format!("role:{name}"), &[bolt], role, format!("`{main}` is MAIN"));
    if wipe.is_none() && machine.is_some_and(|m| m.is_fenced) {
        let unfence = Action::UnfenceMachine(name.to_owned());
        plan.push(
            format!("unfence:{name}"),
            &[format!("role:{name}")],
            unfence,
            "as a REPLICA it may start by itself",
        );
    }
    let cluster_of = |name: &str| {
        seen.nodes.get(name).and_then(NodeView::facts).and_then(|f| f.position.as_ref()?.cluster.as_ref())
    };
    let is_replica = seen.nodes.get(name).and_then(NodeView::facts).is_some_and(|f| f.role == Role::Replica);
    let release = format!("release:{name}");
    if let (Some(own), Some(theirs), None, true) = (cluster_of(name), cluster_of(main), wipe, is_replica)
        && own != theirs
    {
        let action = Action::Release { instance: name.to_owned() };
        plan.push(
            release.clone(),
            &[format!("role:{name}")],
            action,
            format!("it belongs to another cluster, {own}"),
        );
    }
    if rewind {
        let action = Action::Rewind { instance: name.to_owned(), main: main.to_owned() };
        let cause = format!("it may hold commits that `{main}` does not have");
        plan.push(format!("rewind:{name}"), &[format!("role:{name}")], action, cause);
    }
    let id = format!("register:{}", instance.register_as);
    let before = [format!("role:{name}"), release, format!("rewind:{name}")];
    let modes = Modes::in_force(topology, seen, Some(main));
    plan.push(id.clone(), &before, register(topology, &modes, instance, main), "asked for");
    let level = Action::AwaitLevel { main: main.to_owned(), name: instance.register_as.clone() };
    plan.push(format!("ready:{}", instance.register_as), &[id], level, "it was just registered");
    Ok(plan)
}

fn plan_start(plan: &mut Plan, name: &str, machine: &Machine) {
    let action = match machine.state {
        MachineState::Starting
        | MachineState::Running
        | MachineState::Restarting
        | MachineState::Elsewhere
        | MachineState::Lost { .. } => return,
        MachineState::Paused => Action::UnpauseMachine(name.to_owned()),
        MachineState::Created | MachineState::Exited { .. } => Action::StartMachine(name.to_owned()),
    };
    plan.push(format!("start:{name}"), &[], action, format!("it is {}", machine.state));
}

/// Nothing of a node is given up that could not be started again.
fn is_without_certificate(topology: &Topology, name: &str) -> bool {
    topology.tls_files.as_ref().is_some_and(|files| !files.leaves.contains_key(name))
}

fn plan_wipe(
    plan: &mut Plan,
    topology: &Topology,
    instance: &Instance,
    machine: Option<&Machine>,
    seen: &Observed,
    wipe: &Wipe,
) {
    let name = &instance.name;
    let cause = "its data are given up";
    let mut last: Vec<StepId> = Vec::new();
    let mut push = |plan: &mut Plan, id: &str, action: Action, cause: &str| {
        let id = format!("{id}:{name}");
        plan.push(id.clone(), &last, action, cause);
        last = vec![id];
    };
    if let Some(machine) = machine {
        if !matches!(machine.state, MachineState::Created | MachineState::Exited { .. }) {
            push(plan, "stop", Action::StopMachine(name.clone()), cause);
        }
        if let Some(path) = &wipe.save_to {
            let save = Action::SaveData { instance: name.clone(), path: path.clone() };
            push(plan, "save", save, "they are kept beside");
        }
        push(plan, "remove", Action::RemoveMachine(name.clone()), cause);
    }
    if let Some(volume) = instance.volume().filter(|v| seen.existing.volumes.contains(*v)) {
        push(plan, "wipe", Action::RemoveVolume(volume.to_owned()), cause);
    }
    push(plan, "volume", Action::CreateVolume(name.clone()), "it begins with nothing");
    push(plan, "create", Action::CreateMachine(name.clone()), "it begins with nothing");
    if topology.cluster_tls {
        push(plan, "certificate", Action::IssueCertificate(name.clone()), "it was just made");
    }
    push(plan, "start", Action::StartMachine(name.clone()), "it was just made");
}

/// Returns the steps that change how MAIN waits for a replica, or why that must not be. An empty plan: it is so.
pub fn set_mode(
    topology: &Topology,
    seen: &Observed,
    name: &str,
    main: &str,
    mode: Mode,
) -> Result<Plan, CliError> {
    let cluster = || format!("cluster `{}`", topology.name);
    let instance = topology.instance(name).ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("cluster `{}` has no node `{name}`", topology.name))
            .code("MG065")
    })?;
    if name == main {
        return Err(CliError::new(
            Exit::Unsafe,
            format!("`{name}` is MAIN: a mode says how MAIN waits for a REPLICA"),
        )
        .code("MG046")
        .thing(cluster()));
    }
    let rows = seen.nodes.get(main).and_then(NodeView::facts).map_or(&[][..], |f| &f.replicas);
    let Some(row) = rows.iter().find(|r| r.name == instance.register_as) else {
        return Err(CliError::new(
            Exit::Degraded,
            format!("MAIN `{main}` does not know `{name}` as a replica"),
        )
        .code("MG074")
        .thing(cluster())
        .help(format!("mgctl register {name} --mode {mode}")));
    };
    if row.mode == Some(mode) {
        return Ok(Plan::default());
    }
    let mixed = |other: Option<Mode>| match mode {
        Mode::Sync => other == Some(Mode::StrictSync),
        Mode::StrictSync => other == Some(Mode::Sync),
        Mode::Async => false,
    };
    if let Some(other) = rows.iter().find(|r| r.name != row.name && mixed(r.mode)) {
        let theirs = other.mode.map_or("?", |m| m.as_str());
        return Err(CliError::new(
            Exit::Unsafe,
            format!("{mode} (`{}`) and {theirs} (`{}`) cannot be mixed", row.name, other.name),
        )
        .code("MG012")
        .thing(cluster())
        .help("use STRICT_SYNC and ASYNC, or SYNC and ASYNC"));
    }
    // MAIN goes on calling a replica ready for a moment after it ended: the node itself must answer, too.
    let state = match (row.status.as_str(), seen.nodes.get(name)) {
        ("ready" | "replicating", Some(NodeView::Answered(facts))) if facts.role == Role::Replica => None,
        ("ready" | "replicating", Some(NodeView::Answered(facts))) => {
            Some(format!("says that it is {}", facts.role))
        }
        ("ready" | "replicating", Some(NodeView::Silent(why))) => Some(format!("does not answer: {why}")),
        ("ready" | "replicating", None) => Some(match seen.existing.machines.get(name) {
            Some(machine) => format!("does not run: {}", machine.state),
            None => "does not exist".to_owned(),
        }),
        (status, _) => Some(format!("is {status} at MAIN")),
    };
    if let Some(state) = state {
        return Err(CliError::new(
            Exit::Unsafe,
            format!("`{name}` could not be registered again: it {state}"),
        )
        .code("MG046")
        .thing(cluster())
        .note(format!(
            "to change a mode MAIN drops a replica and registers it; `{name}` stays {}",
            row.mode.map_or("as it is", |m| m.as_str())
        ))
        .help(format!("bring it up first: mgctl up; see `mgctl status` and {}", logs_of(topology, name))));
    }
    let was = row.mode.map_or("?", |m| m.as_str());
    let cause = format!("{was} → {mode}");
    let mut plan = Plan::default();
    let drop = Action::Drop { main: main.to_owned(), name: row.name.clone() };
    plan.push("drop", &[], drop, cause.clone());
    let anew = Instance { mode, ..instance.clone() };
    let registration = register(topology, &Modes::default(), &anew, main);
    plan.push("register", &["drop".into()], registration, cause);
    let level = Action::AwaitLevel { main: main.to_owned(), name: instance.register_as.clone() };
    plan.push("ready", &["register".into()], level, "it was just registered");
    if instance.mode != mode {
        plan.notes.push(format!(
            "{}: {} says {}, and `up` would change it back: set instances.{name}.mode there",
            name, topology.place.file, instance.mode
        ));
    }
    Ok(plan)
}
