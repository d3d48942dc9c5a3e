//! From what should be and what is to a plan. Pure.
//!
//! A node can be in one of four conditions, and they decide how much can be planned at once:
//!
//! | condition | what is known |
//! |---|---|
//! | fresh | it has no volume: it will start as an empty MAIN |
//! | asleep | it has a volume and does not run: its role is on its disk |
//! | silent | it runs and does not answer |
//! | answered | it said its role, its replicas, its position |
//!
//! Where a sleeping or silent node could be the MAIN, the plan brings it up and ends with
//! [`Action::AskNodes`]; the next plan knows.

use super::candidate::parting;
use super::failover::OPERATION;
use super::modes::Modes;
use super::observed::{
    Existing, Machine, MachineState, NodeFacts, NodeView, Observed, Position, ReplicaRow, Subnetwork,
};
use super::plan::{Action, Host, Plan, StepId};
use super::promote::register;
use super::spec::Spec;
use crate::authority::{not_offered, print, show_seconds_left};
use crate::error::{CliError, Exit};
use crate::topology::{Image, Instance, Pull, Role, Topology, Until};
use std::collections::{BTreeMap, BTreeSet};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The cluster.
    pub topology: Topology,
    /// The statements of its init files.
    pub init: Vec<InitStatement>,
    /// How to go about it.
    pub options: Options,
    /// The one node whose machine is made anew although it would do.
    pub anew: Option<String>,
    /// The nodes that the file does not name and that may be removed, each with the volume that may be deleted with it: what
    /// was there when that was asked for, see [`leaving_orphans`]. One that came later stays.
    pub leaving: BTreeMap<String, Option<String>>,
}

/// How `up` goes about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Makes every machine anew, also for a newer image.
    pub recreate: bool,
    /// Removes machines that the file no longer names, those of [`Wish::leaving`]; volumes stay that it does not name.
    pub remove_orphans: bool,
    /// MAIN goes back to where the file declares it. The switchover is no part of the plan: it is decided when
    /// the rest is done.
    pub enforce_roles: bool,
    /// Replicas keep the modes that are in force, whatever the file says.
    pub keep_modes: bool,
}

/// A statement of an init file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitStatement {
    /// Its text, without the semicolon.
    pub text: String,
    /// True for what cannot be part of a transaction: indexes, constraints.
    pub is_schema: bool,
}

/// Who is MAIN.
#[derive(Clone, Debug, PartialEq)]
pub enum MainFound {
    /// This node is, or will be when it starts.
    Is(String),
    /// Nobody is; this node has everything, and can be.
    Becomes(String),
    /// Not known before these nodes answer.
    Ask(Vec<String>),
    /// It cannot be told without a person.
    Refused(CliError),
}

enum Condition<'a> {
    Fresh,
    Asleep,
    Silent,
    Answered(&'a NodeFacts),
}

fn condition<'a>(instance: &Instance, seen: &'a Observed) -> Condition<'a> {
    match seen.existing.machines.get(&instance.name) {
        Some(machine) if machine.may_answer() => match seen.nodes.get(&instance.name) {
            Some(NodeView::Answered(facts)) => Condition::Answered(facts),
            _ => Condition::Silent,
        },
        Some(_) => Condition::Asleep,
        None => match instance.volume() {
            Some(volume) if !seen.existing.volumes.contains(volume) => Condition::Fresh,
            // What is in a folder nobody knows before the node has read it.
            _ => Condition::Asleep,
        },
    }
}

/// Has it records, or at least vertices?
fn holds_data(facts: &NodeFacts) -> bool {
    facts.position.as_ref().map_or(!facts.is_untouched, |p| p.durable > 0)
}

pub(super) fn is_fenced(seen: &Observed, instance: &str) -> bool {
    seen.existing.machines.get(instance).is_some_and(|m| m.is_fenced)
}

/// Finds out who is MAIN, from what the nodes say.
pub fn find_main(topology: &Topology, seen: &Observed) -> MainFound {
    let declared = &topology.main().name;
    let mut answered: Vec<(&Instance, &NodeFacts)> = Vec::new();
    let mut unknown = Vec::new();
    let mut declared_is_fresh = false;
    for instance in &topology.instances {
        match condition(instance, seen) {
            Condition::Answered(facts) => answered.push((instance, facts)),
            // Its reign is over, whatever its disk says.
            Condition::Asleep if is_fenced(seen, &instance.name) => {}
            // It was fenced as far as it could be, and is not to come back.
            Condition::Silent
                if is_fenced(seen, &instance.name)
                    && seen.existing.machines.get(&instance.name).is_some_and(Machine::is_lost) => {}
            Condition::Asleep | Condition::Silent => unknown.push(instance.name.clone()),
            Condition::Fresh => declared_is_fresh |= instance.name == *declared,
        }
    }
    let names = |of: &[(&Instance, &NodeFacts)]| {
        of.iter().map(|(i, _)| format!("`{}`", i.name)).collect::<Vec<_>>().join(", ")
    };
    // A failover has ended the reign of a fenced node; whoever it promoted is MAIN, however few follow it.
    let is_over = |i: &Instance, f: &NodeFacts| {
        is_fenced(seen, &i.name) || f.position.as_ref().is_some_and(|p| p.is_fenced())
    };
    let mains: Vec<_> =
        answered.iter().copied().filter(|(i, f)| f.role == Role::Main && !is_over(i, f)).collect();

    let leading: Vec<_> = mains.iter().copied().filter(|(_, f)| !f.replicas.is_empty()).collect();
    let begun = answered
        .iter()
        .filter_map(|(_, f)| f.position.as_ref())
        .filter(|p| p.is_fenced() && p.promised_by.starts_with(OPERATION))
        .map(Position::promised_number)
        .max();
    let is_above = |f: &NodeFacts| begun > f.position.as_ref().map(Position::highest);
    match leading.as_slice() {
        [(main, own)] if is_above(own) => {
            return MainFound::Refused(begun_failover(topology, Some(&main.name)));
        }
        [(main, _)] => return MainFound::Is(main.name.clone()),
        [] => {}
        several => return MainFound::Refused(two_mains(&names(several), partings(several))),
    }
    if mains.is_empty() && begun.is_some() {
        return MainFound::Refused(begun_failover(topology, None));
    }
    if !unknown.is_empty() {
        return MainFound::Ask(unknown);
    }

    let written: Vec<_> = mains.iter().copied().filter(|(_, f)| holds_data(f)).collect();
    match written.as_slice() {
        [(main, _)] => return MainFound::Is(main.name.clone()),
        [] => {}
        several => {
            // Nodes that forgot their roles at a restart: one log, some of them shorter.
            let reign = |f: &NodeFacts| f.position.as_ref().map(|p| p.epoch.clone());
            let first = reign(several[0].1);
            let forgetful = several.iter().all(|(i, _)| forgets_its_role(i));
            if forgetful && first.is_none() && several.iter().any(|(i, _)| i.name == *declared) {
                return MainFound::Is(declared.clone());
            }
            if first.is_some() && several.iter().all(|(_, f)| reign(f) == first) {
                return MainFound::Is(foremost(several, declared));
            }
            return MainFound::Refused(two_mains(&names(several), partings(several)));
        }
    }

    let followers: Vec<_> =
        answered.iter().copied().filter(|(_, f)| f.role == Role::Replica && holds_data(f)).collect();
    if followers.is_empty() {
        let declared_can_be = declared_is_fresh || mains.iter().any(|(i, _)| i.name == *declared);
        return match mains.first() {
            _ if declared_can_be => MainFound::Is(declared.clone()),
            Some((main, _)) => MainFound::Is(main.name.clone()),
            None => MainFound::Becomes(declared.clone()),
        };
    }
    if !mains.is_empty() || declared_is_fresh {
        return MainFound::Refused(
            CliError::new(Exit::Unsafe, format!("no MAIN holds the data that is on {}", names(&followers)))
                .code("MG044")
                .thing(format!("cluster `{}`", topology.name))
                .note(format!(
                    "the file declares `{declared}` MAIN, and it is empty; replicas would not follow it"
                ))
                .help(format!("make a node that has the data MAIN: mgctl promote {}", followers[0].0.name)),
        );
    }
    // A switch that was broken off between its two halves: nobody writes.
    if followers.iter().all(|(_, f)| f.position.is_some()) {
        let best = foremost(&followers, declared);
        return match partings(&followers).into_iter().next() {
            Some(parting) => MainFound::Refused(
                CliError::new(Exit::Unsafe, "no node is MAIN, and the logs of the replicas have parted")
                    .code("MG049")
                    .thing(format!("cluster `{}`", topology.name))
                    .note(parting)
                    .note("nobody was promoted")
                    .help("choose one of them: mgctl failover NAME --force"),
            ),
            None => MainFound::Becomes(best),
        };
    }
    MainFound::Refused(
        CliError::new(
            Exit::Unsafe,
            "no node is MAIN, and this image cannot say which node has the latest data",
        )
        .code("MG044")
        .thing(format!("cluster `{}`", topology.name))
        .help(format!("choose one: mgctl promote {}", followers[0].0.name)),
    )
}

fn forgets_its_role(instance: &Instance) -> bool {
    let flag = instance.flags.get("replication-restore-state-on-startup");
    flag.is_some_and(|v| v == "false")
        || instance.flags.contains_key("noreplication-restore-state-on-startup")
}

/// The one with the longest log; of equals the declared MAIN, else the first of the file.
fn foremost(nodes: &[(&Instance, &NodeFacts)], declared: &str) -> String {
    let order = |f: &NodeFacts| f.position.as_ref().map(|p| p.order());
    let best = nodes.iter().map(|(_, f)| order(f)).max().flatten();
    let mut equals = nodes.iter().filter(|(_, f)| order(f) == best).map(|(i, _)| &i.name);
    let first = equals.clone().next().expect("there is a best one where there is one");
    equals.find(|name| *name == declared).unwrap_or(first).clone()
}

/// Where the logs of any two of the nodes have parted, in words.
fn partings(nodes: &[(&Instance, &NodeFacts)]) -> Vec<String> {
    let pairs =
        nodes.iter().enumerate().flat_map(|(i, one)| nodes[i + 1..].iter().map(move |other| (one, other)));
    pairs
        .filter_map(|(one, other)| {
            let parting = parting(one.1, other.1)?;
            parting.is_fork().then(|| parting.describe(&one.0.name, &other.0.name))
        })
        .collect()
}

fn begun_failover(topology: &Topology, main: Option<&str>) -> CliError {
    let what = "a failover was begun and not finished: the replicas have let MAIN go";
    let error = CliError::new(Exit::Unsafe, what)
        .code("MG047")
        .thing(format!("cluster `{}`", topology.name))
        .note("they keep their promise until it is finished");
    match main {
        Some(main) => error
            .help(format!("`{main}` answers, and can stay MAIN: mgctl repair --main {main}"))
            .help("to finish it all the same: mgctl failover --kill-main"),
        None => error.help("finish it: mgctl failover"),
    }
}

fn two_mains(names: &str, partings: Vec<String>) -> CliError {
    let error =
        CliError::new(Exit::Unsafe, format!("several nodes are MAIN and hold data: {names}")).code("MG043");
    partings
        .into_iter()
        .fold(error, CliError::note)
        .note("mgctl does not choose whose writes count; nothing was changed")
        .help("say whose writes count: mgctl repair --main NAME")
}

/// Returns the steps that are left until the cluster is as it is wished.
pub fn reconcile(wish: &Wish, seen: &Observed) -> Plan {
    let topology = &wish.topology;
    let mut plan = Plan::default();
    if let Some(refusal) = foreign_objects(topology, seen) {
        plan.refusal = Some(refusal);
        return plan;
    }
    if let Some(refusal) = main_is_orphan(topology, seen) {
        plan.refusal = Some(refusal);
        return plan;
    }
    if let MainFound::Is(main) = find_main(topology, seen)
        && let Some(refusal) = data_may_be_on_orphan(topology, seen, &main)
    {
        plan.refusal = Some(refusal);
        return plan;
    }
    if let (true, Some(refusal)) = (wish.options.remove_orphans, orphan_says_main(topology, seen)) {
        plan.refusal = Some(refusal);
        return plan;
    }
    match topology.is_external() {
        true => plan_answers(topology, seen, &mut plan),
        false => plan_machines(wish, seen, &mut plan),
    }
    if plan.refusal.is_some() {
        return plan;
    }
    let is_held_back = topology.wait.until < Until::Registered && !held_back(topology, seen).is_empty();
    if topology.wait.until >= Until::Registered || is_held_back {
        plan_roles(wish, seen, &mut plan);
    } else if topology.wait.until == Until::Started {
        plan.steps.retain(|s| !matches!(s.action, Action::AwaitBolt(_)));
    }
    plan_orphans(wish, seen, &mut plan);
    plan
}

/// A node of the cluster that the file does not name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its name in MAIN's list, if its label tells it.
    pub register_as: Option<&'a str>,
    /// Where MAIN reaches it as a REPLICA, `host:port`, if that is known.
    pub address: Option<String>,
    /// The volume with its data, if its label tells it and it is there, and no node of the file has it.
    pub volume: Option<&'a str>,
}

/// Returns the nodes of the cluster that the file does not name.
pub fn orphans<'a>(topology: &'a Topology, seen: &'a Observed) -> impl Iterator<Item = Orphan<'a>> {
    let machines = seen.existing.machines.iter().filter(|(name, _)| topology.instance(name).is_none());
    machines.map(|(name, machine)| {
        let spec = machine.spec.as_ref();
        Orphan {
            name,
            register_as: spec.and_then(Spec::register_as),
            address: spec.and_then(|spec| spec.replication_address(name, machine.address)),
            volume: spec.and_then(Spec::volume).filter(|volume| {
                let is_anothers = topology.instances.iter().any(|i| i.volume() == Some(volume));
                seen.existing.volumes.contains(*volume) && !is_anothers
            }),
        }
    })
}

/// Refuses a file that does not name the MAIN: another would be promoted beside it.
pub(super) fn main_is_orphan(topology: &Topology, seen: &Observed) -> Option<CliError> {
    let facts = |name: &str| seen.nodes.get(name).and_then(NodeView::facts);
    let is_main = |name: &str| {
        facts(name).filter(|f| {
            let is_over = is_fenced(seen, name) || f.position.as_ref().is_some_and(|p| p.is_fenced());
            f.role == Role::Main && !is_over
        })
    };
    // Where a MAIN of the file is followed, what an orphan says of itself is over. A list alone proves nothing: a MAIN
    // that was replaced keeps its own.
    if topology.instances.iter().any(|i| is_main(&i.name).is_some_and(is_followed)) {
        return None;
    }
    let is_it =
        |orphan: &Orphan| is_main(orphan.name).is_some_and(|f| !f.replicas.is_empty() || holds_data(f));
    let orphan = orphans(topology, seen).find(is_it)?;
    let name = orphan.name;
    let other = topology.instances.iter().map(|i| i.name.as_str()).find(|n| facts(n).is_some());
    Some(
        CliError::new(Exit::Unsafe, format!("`{name}` is MAIN, and is not in the file"))
            .code("MG045")
            .thing(format!("cluster `{}`", topology.name))
            .note("nothing was changed: a MAIN is neither left out nor removed")
            .help(format!("name `{name}` in the file again"))
            .help(format!(
                "or move MAIN first: mgctl -c {} promote {}",
                topology.name,
                other.unwrap_or("NODE")
            )),
    )
}

/// Does any replica of this MAIN get what it writes?
fn is_followed(main: &NodeFacts) -> bool {
    main.replicas.iter().any(|r| matches!(r.status.as_str(), "ready" | "replicating" | "recovery"))
}

/// As [`find_main`], and refuses to promote anyone while a node that the file does not name is, or may be, MAIN, and to
/// take an empty node as MAIN while one may hold the data.
pub(super) fn find_main_among(topology: &Topology, seen: &Observed) -> MainFound {
    if let Some(refusal) = main_is_orphan(topology, seen) {
        return MainFound::Refused(refusal);
    }
    let found = find_main(topology, seen);
    let refusal = match &found {
        MainFound::Becomes(main) => {
            orphan_may_be_main(topology, seen).or_else(|| data_may_be_on_orphan(topology, seen, main))
        }
        MainFound::Is(main) => data_may_be_on_orphan(topology, seen, main),
        MainFound::Ask(_) | MainFound::Refused(_) => None,
    };
    refusal.map_or(found, MainFound::Refused)
}

/// Refuses to take `main` as MAIN where it is empty and followed by nobody, while a node that the file does not name holds
/// data, or does not say that it holds none.
fn data_may_be_on_orphan(topology: &Topology, seen: &Observed, main: &str) -> Option<CliError> {
    let is_empty = match condition(topology.instance(main)?, seen) {
        Condition::Fresh => true,
        Condition::Answered(facts) => !holds_data(facts) && facts.replicas.is_empty(),
        Condition::Asleep | Condition::Silent => false,
    };
    let facts = |orphan: &Orphan| seen.nodes.get(orphan.name).and_then(NodeView::facts);
    let may_hold = |orphan: &Orphan| match facts(orphan) {
        Some(facts) => holds_data(facts),
        None => !is_fenced(seen, orphan.name),
    };
    let orphan = orphans(topology, seen).filter(|_| is_empty).find(may_hold)?;
    let (name, cluster) = (orphan.name, &topology.name);
    let answers = facts(&orphan).is_some();
    let verb = if answers { "holds" } else { "may hold" };
    let error = CliError::new(
        Exit::Unsafe,
        format!("`{main}` is empty, and `{name}`, which is not in the file, {verb} the cluster's data"),
    )
    .code("MG044")
    .thing(format!("cluster `{cluster}`"))
    .note(format!("nothing was changed: an empty MAIN does not begin beside `{name}`"));
    let error = match answers {
        true => error.help(format!("name `{name}` in the file again, and make it MAIN")),
        false => error
            .help(format!("have it say what it holds: mgctl -c {cluster} start {name}"))
            .help(format!("or name `{name}` in the file again")),
    };
    Some(error.help(format!("or, where nothing of it is needed: mgctl -c {cluster} down --volumes")))
}

/// Refuses to remove orphans while one of them answers as MAIN and holds data: what it took nobody else may have.
fn orphan_says_main(topology: &Topology, seen: &Observed) -> Option<CliError> {
    let facts = |name: &str| seen.nodes.get(name).and_then(NodeView::facts);
    let is_it = |orphan: &Orphan| {
        facts(orphan.name).is_some_and(|f| f.role == Role::Main && holds_data(f))
            && !is_fenced(seen, orphan.name)
    };
    let name = orphans(topology, seen).find(is_it)?.name;
    Some(
        CliError::new(
            Exit::Unsafe,
            format!("`{name}` is not in the file, answers as MAIN, and holds data: it is not removed"),
        )
        .code("MG045")
        .thing(format!("cluster `{}`", topology.name))
        .note("nothing was changed: it may have taken writes that no other node has")
        .help(format!("name `{name}` in the file again, and bring it back: mgctl rejoin {name}")),
    )
}

/// Refuses to promote a node while one that the file does not name may be MAIN.
pub(super) fn orphan_may_be_main(topology: &Topology, seen: &Observed) -> Option<CliError> {
    let is_unknown = |orphan: &Orphan| {
        let answers = seen.nodes.get(orphan.name).and_then(NodeView::facts).is_some();
        !answers && !is_fenced(seen, orphan.name)
    };
    let orphan = orphans(topology, seen).find(is_unknown)?;
    let (name, cluster) = (orphan.name, &topology.name);
    Some(
        CliError::new(
            Exit::Unsafe,
            format!("no node is MAIN, and `{name}`, which is not in the file, may be it"),
        )
        .code("MG044")
        .thing(format!("cluster `{cluster}`"))
        .note("it does not answer; nobody was promoted")
        .help(format!("have it say what it is: mgctl -c {cluster} start {name}"))
        .help(format!("or, where it is gone for good: mgctl -c {cluster} failover")),
    )
}

/// Nodes that the file no longer names: told, or dropped, stopped and removed.
fn plan_orphans(wish: &Wish, seen: &Observed, plan: &mut Plan) {
    let (topology, options) = (&wish.topology, wish.options);
    if topology.is_external() {
        return;
    }
    if !options.remove_orphans {
        for orphan in orphans(topology, seen) {
            let name = orphan.name;
            let state = &seen.existing.machines[name].state;
            plan.notes.push(format!(
                "{name}: is in this cluster and not in the file ({state}); --remove-orphans removes it, and keeps its data"
            ));
        }
        return;
    }
    let main = match find_main_among(topology, seen) {
        MainFound::Is(main) if plan.refusal.is_none() => Some(main),
        _ => None,
    };
    // A list is changed where it was read, and by a MAIN that is there then.
    let is_step = |id: String| plan.steps.iter().any(|s| s.id == id);
    let facts =
        main.as_deref().filter(|main| !is_step(format!("start:{main}")) || is_step(format!("bolt:{main}")));
    let facts = facts.and_then(|main| seen.nodes.get(main)).and_then(NodeView::facts);
    let (Some(main), Some(facts)) = (&main, facts) else {
        let when = match &main {
            None => "it is known who is MAIN".to_owned(),
            Some(main) => format!("`{main}` answers, and says whether it waits for it"),
        };
        for orphan in orphans(topology, seen) {
            plan.notes.push(format!("{}: is not in the file, and is removed when {when}", orphan.name));
        }
        return;
    };
    plan_orphan_drops(wish, seen, main, facts, plan);
    for orphan in orphans(topology, seen) {
        let name = orphan.name;
        if let Some(why) = why_not_removed(wish, &orphan, seen, main, facts) {
            plan.notes.push(format!("{name}: is not in the file, and is not removed: {why}"));
            continue;
        }
        let cause = "it is not in the file";
        // As long as it is in MAIN's list, MAIN waits for it.
        let drops: Vec<StepId> =
            rows_of(topology, &orphan, facts).map(|row| format!("drop:{}", row.name)).collect();
        plan.push(format!("stop:{name}"), &drops, Action::StopMachine(name.to_owned()), cause);
        let stop = [format!("stop:{name}")];
        plan.push(format!("remove:{name}"), &stop, Action::RemoveMachine(name.to_owned()), cause);
        let given_up = wish.leaving.get(name).and_then(Option::as_deref);
        if let Some(volume) = orphan.volume.filter(|volume| given_up == Some(*volume)) {
            let remove = [format!("remove:{name}")];
            plan.push(format!("wipe:{name}"), &remove, Action::RemoveVolume(volume.to_owned()), "--volumes");
        }
    }
}

/// Returns which of them may be removed, each with the volume that is deleted with it. With `volumes` that are those alone
/// that are not to be kept as things stand: a person is asked about each volume.
pub fn leaving_orphans(
    topology: &Topology,
    seen: &Observed,
    volumes: bool,
) -> BTreeMap<String, Option<String>> {
    let main = match find_main_among(topology, seen) {
        MainFound::Is(main) => Some(main),
        _ => None,
    };
    let facts = main.as_ref().and_then(|main| Some((main, seen.nodes.get(main)?.facts()?)));
    let is_kept =
        |orphan: &Orphan| facts.is_some_and(|(main, f)| why_kept(topology, orphan, seen, main, f).is_some());
    let leaving = orphans(topology, seen).filter(|orphan| !volumes || !is_kept(orphan));
    leaving.map(|o| (o.name.to_owned(), o.volume.filter(|_| volumes).map(str::to_owned))).collect()
}

/// The rows of MAIN's list that are this node: at its address under whatever name, or under its name where the file has no
/// node of that name.
fn rows_of<'a>(
    topology: &'a Topology,
    orphan: &Orphan,
    main: &'a NodeFacts,
) -> impl Iterator<Item = &'a ReplicaRow> {
    let (name, address) = (orphan.register_as.map(str::to_owned), orphan.address.clone());
    main.replicas.iter().filter(move |row| {
        let is_named = topology.instances.iter().any(|i| i.register_as == row.name);
        address.as_ref() == Some(&row.address) || name.as_ref() == Some(&row.name) && !is_named
    })
}

/// Plans that MAIN lets those nodes go that the file does not name and that are to be removed.
fn plan_orphan_drops(wish: &Wish, seen: &Observed, main: &str, facts: &NodeFacts, plan: &mut Plan) {
    let topology = &wish.topology;
    let main_ready = [format!("bolt:{main}"), format!("role:{main}")];
    let is_leaving = |orphan: &Orphan| why_not_removed(wish, orphan, seen, main, facts).is_none();
    for orphan in orphans(topology, seen).filter(is_leaving) {
        for row in rows_of(topology, &orphan, facts) {
            let cause = format!("`{}` is not in the file", orphan.name);
            push_drop(plan, main, &row.name, &main_ready, cause);
        }
    }
}

/// As [`why_kept`], and says so of one that nobody was asked about.
fn why_not_removed(
    wish: &Wish,
    orphan: &Orphan,
    seen: &Observed,
    main: &str,
    main_facts: &NodeFacts,
) -> Option<String> {
    why_kept(&wish.topology, orphan, seen, main, main_facts).or_else(|| {
        let is_asked = wish.leaving.contains_key(orphan.name);
        (!is_asked).then(|| {
            "it was not there, or was to be kept, when that was asked for; run mgctl up again".to_owned()
        })
    })
}

/// Says why a node that the file does not name is not removed, where it could be, or obey, a MAIN that is not this one, or
/// hold what that does not.
fn why_kept(
    topology: &Topology,
    orphan: &Orphan,
    seen: &Observed,
    main: &str,
    main_facts: &NodeFacts,
) -> Option<String> {
    let name = orphan.name;
    let (program, cluster) = ("mgctl -c", &topology.name);
    if let Some(row) = may_be_its_row(topology, orphan, seen, main_facts) {
        return Some(format!(
            "`{main}` lists `{}` at {}, which no node is known to have: it may be this one, whose address is not known; \
             let it go first: {program} {cluster} unregister {}",
            row.name, row.address, row.name
        ));
    }
    if is_fenced(seen, name) {
        return None;
    }
    match seen.nodes.get(name).and_then(NodeView::facts) {
        Some(facts) => {
            let highest = |f: &NodeFacts| f.position.as_ref().map(Position::highest);
            if facts.role == Role::Main && holds_data(facts) {
                return Some("it answers as MAIN, and holds data".to_owned());
            }
            if holds_data(facts) && !holds_data(main_facts) {
                return Some(format!("it holds data, and MAIN `{main}` holds none"));
            }
            let is_later = highest(facts).zip(highest(main_facts)).is_some_and(|(own, main)| own > main);
            is_later.then(|| format!("it obeys a later MAIN than `{main}`"))
        }
        None if is_followed(main_facts) && rows_of(topology, orphan, main_facts).next().is_some() => None,
        None => {
            let why = match is_followed(main_facts) {
                true => {
                    format!("`{main}` does not list it, so that nobody proves that it is a replica of it")
                }
                false => format!(
                    "nobody follows `{main}`, so that nothing proves that this one was not MAIN after it"
                ),
            };
            Some(format!(
                "it does not answer, and {why}; have it say so: {program} {cluster} start {name}; where it cannot start \
                 ({program} {cluster} logs {name} tells why), and never was MAIN after `{main}`: {program} {cluster} remove {name}"
            ))
        }
    }
}

/// Returns a row of MAIN's list that may be this node under another name: its address is not known, and the row is no other
/// node's.
fn may_be_its_row<'a>(
    topology: &Topology,
    orphan: &Orphan,
    seen: &Observed,
    main: &'a NodeFacts,
) -> Option<&'a ReplicaRow> {
    if orphan.address.is_some() {
        return None;
    }
    let is_of_file = |row: &ReplicaRow| {
        let is_at = |i: &Instance| {
            address_of(topology, i, seen.existing.machines.get(&i.name)).as_ref() == Some(&row.address)
        };
        topology.instances.iter().any(|i| i.register_as == row.name || is_at(i))
    };
    let is_of_orphan = |row: &ReplicaRow| {
        orphans(topology, seen).any(|other| rows_of(topology, &other, main).any(|own| own.name == row.name))
    };
    main.replicas.iter().find(|row| !is_of_file(row) && !is_of_orphan(row))
}

fn foreign_objects(topology: &Topology, seen: &Observed) -> Option<CliError> {
    let first = seen.existing.foreign.first()?;
    let mut error =
        CliError::new(Exit::Conflict, format!("{} `{}` exists and is not mgctl's", first.kind, first.name))
            .code("MG064")
            .thing(format!("cluster `{}`", topology.name));
    for foreign in &seen.existing.foreign {
        error = error.note(format!("{} `{}`: {}", foreign.kind, foreign.name, foreign.owner));
    }
    Some(error.help("mgctl touches nothing that it did not make: rename or remove it, or give the cluster another `name:`"))
}

/// What someone else runs is only waited for.
fn plan_answers(topology: &Topology, seen: &Observed, plan: &mut Plan) {
    for instance in &topology.instances {
        if let Some(NodeView::Silent(why)) = seen.nodes.get(&instance.name) {
            let id = format!("bolt:{}", instance.name);
            plan.push(id, &[], Action::AwaitBolt(instance.name.clone()), why.clone());
        }
    }
}

/// Returns the nodes that are new and wait: what is there must first have said who is MAIN, and that it is no reason to
/// refuse. An empty node is not begun for nothing, nor beside data that it could not follow.
fn held_back<'a>(topology: &'a Topology, seen: &Observed) -> BTreeSet<&'a str> {
    match find_main_among(topology, seen) {
        MainFound::Ask(_) | MainFound::Refused(_) => {
            let fresh = topology.instances.iter().filter(|i| matches!(condition(i, seen), Condition::Fresh));
            fresh.map(|i| i.name.as_str()).collect()
        }
        MainFound::Is(_) | MainFound::Becomes(_) => BTreeSet::new(),
    }
}

fn plan_machines(wish: &Wish, seen: &Observed, plan: &mut Plan) {
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
                let stop = [format!("stop:{name}"), format!("image:{}", instance.image)];
                plan.push(format!("remove:{name}"), &stop, Action::RemoveMachine(name.clone()), cause);
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
        if machine.is_some_and(|m| m.is_fenced && !m.is_running()) && !may_return {
            let when = match has_main {
                true => format!("brought back by mgctl rejoin {name}"),
                false => "started when another node is MAIN".to_owned(),
            };
            plan.notes.push(format!("{name}: was fenced by a failover, and is {when}"));
            continue;
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
                    "{name}: runs another image than {} stands for now; `--recreate` changes it",
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
fn plan_return(instance: &Instance, plan: &mut Plan) {
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
fn plan_renewals(
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
fn network_notes(topology: &Topology, network: &Subnetwork) -> Vec<String> {
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

fn no_network(topology: &Topology) -> CliError {
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
fn plan_images(to_make: &[(&Instance, String)], existing: &Existing, plan: &mut Plan) {
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
fn certificate_is_due(
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
pub(super) fn ends_with_its_file(topology: &Topology, existing: &Existing, instance: &str) -> Option<String> {
    let files = topology.tls_files.as_ref()?;
    let held = existing.certificates.get(instance).filter(|held| held.ends_soon())?;
    Some(format!(
        "{instance}: its certificate {}; put a new {instance}.crt, with its key, into `{}`, and run mgctl up",
        show_seconds_left(held.seconds_left),
        files.folder.display()
    ))
}

fn plan_roles(wish: &Wish, seen: &Observed, plan: &mut Plan) {
    plan_roles_of(wish, seen, find_main_among(&wish.topology, seen), plan);
}

/// Plans who is what and who follows whom, once it is known who is MAIN.
pub(super) fn plan_roles_of(wish: &Wish, seen: &Observed, main: MainFound, plan: &mut Plan) {
    let topology = &wish.topology;
    let all_bolts: Vec<StepId> = topology.instances.iter().map(|i| format!("bolt:{}", i.name)).collect();
    let main = match main {
        MainFound::Is(main) => main,
        MainFound::Becomes(main) => {
            plan.push(
                format!("role:{main}"),
                &all_bolts,
                Action::BecomeMain { instance: main.clone(), epoch: None },
                "no node is MAIN, and none is further than it",
            );
            main
        }
        MainFound::Ask(unknown) => {
            plan.push("ask", &all_bolts, Action::AskNodes, format!("{} may hold data", unknown.join(", ")));
            return;
        }
        MainFound::Refused(error) => {
            plan.refusal = Some(error);
            return;
        }
    };
    let main_instance = topology.instance(&main).expect("the MAIN is one of the topology's nodes");
    let main_facts = match condition(main_instance, seen) {
        Condition::Answered(facts) => Some(facts),
        _ => None,
    };
    if main != topology.main().name {
        let declared = &topology.main().name;
        let what = match wish.options.enforce_roles {
            true => "moves by a switchover",
            false => "kept as it is",
        };
        plan.notes.push(format!("main: the file declares {declared}, MAIN is {main}; {what}"));
    }
    let rows = main_facts.map_or(&[][..], |f| &f.replicas);
    let modes = match wish.options.keep_modes {
        true => Modes::in_force(topology, seen, Some(&main)),
        false => Modes::of_file(topology),
    };
    let main_ready = [format!("bolt:{main}"), format!("role:{main}")];

    // (instance, the row that stays, why it is registered anew)
    let mut to_register: Vec<(&Instance, String)> = Vec::new();
    let mut to_await: Vec<(&Instance, String)> = Vec::new();
    let mut asleep = Vec::new();
    for instance in topology.instances.iter().filter(|i| i.name != main) {
        let name = &instance.name;
        let facts = match condition(instance, seen) {
            Condition::Answered(facts) => Some(facts),
            Condition::Fresh => None,
            Condition::Asleep | Condition::Silent => {
                asleep.push(name.clone());
                continue;
            }
        };
        if facts.is_none_or(|f| f.role == Role::Main) {
            let cause = match facts {
                None => "a new node starts as MAIN".to_owned(),
                Some(facts) if holds_data(facts) => format!("it was MAIN; `{main}` is MAIN now"),
                Some(_) => format!("it is MAIN, and `{main}` is the MAIN"),
            };
            plan.push(
                format!("role:{name}"),
                &[format!("bolt:{name}")],
                Action::BecomeReplica { instance: name.clone(), port: instance.replication_port },
                cause,
            );
        }
        // Only as a REPLICA may it start by itself again.
        if is_fenced(seen, name) {
            plan.push(
                format!("unfence:{name}"),
                &[format!("role:{name}"), format!("bolt:{name}")],
                Action::UnfenceMachine(name.clone()),
                "a failover had ended it",
            );
        }

        let wanted = address_of(topology, instance, seen.existing.machines.get(name));
        if let Some(wanted) = &wanted {
            // Somebody registered this very node under another name; MAIN refuses an address twice.
            for other in rows.iter().filter(|r| r.address == *wanted && r.name != instance.register_as) {
                let known = topology.instances.iter().any(|i| i.register_as == other.name);
                if !known {
                    push_drop(
                        plan,
                        &main,
                        &other.name,
                        &main_ready,
                        format!("it is `{name}` under another name"),
                    );
                }
            }
        }
        match rows.iter().find(|r| r.name == instance.register_as) {
            None => to_register.push((instance, format!("`{main}` does not know it"))),
            Some(row) if wanted.as_ref().is_some_and(|w| *w != row.address) => {
                let wanted = wanted.unwrap_or_default();
                let cause = format!("registered address {} is not {name} ({wanted})", row.address);
                push_drop(plan, &main, &row.name, &main_ready, cause.clone());
                to_register.push((instance, cause));
            }
            Some(row) if row.mode != Some(modes.of(instance)) => {
                let was = row.mode.map_or("unknown".to_owned(), |m| m.to_string());
                let cause = format!("mode {was} → {}", modes.of(instance));
                push_drop(plan, &main, &row.name, &main_ready, cause.clone());
                to_register.push((instance, cause));
            }
            // Memgraph keeps a refused registration in its list; ours keeps one whose node was replaced.
            Some(row) if facts.is_none_or(|f| f.role == Role::Main) => {
                let cause = format!("it is {} at `{main}` and was no REPLICA", row.status);
                push_drop(plan, &main, &row.name, &main_ready, cause.clone());
                to_register.push((instance, cause));
            }
            Some(row) if row.status == "diverged" => {
                plan.refusal = Some(diverged(topology, instance, &main));
            }
            Some(row) if !row.is_level() => {
                to_await.push((instance, format!("it is {}, {} behind", row.status, row.behind)));
            }
            Some(_) => {}
        }
    }

    // Before any registration: MAIN refuses an address twice.
    if let (true, Some(facts)) = (wish.options.remove_orphans, main_facts) {
        plan_orphan_drops(wish, seen, &main, facts, plan);
    }
    let drops: Vec<StepId> =
        plan.steps.iter().filter(|s| matches!(s.action, Action::Drop { .. })).map(|s| s.id.clone()).collect();
    // One after the other: MAIN takes one registration at a time.
    let mut previous: Option<StepId> = None;
    for (instance, cause) in to_register {
        let id: StepId = format!("register:{}", instance.register_as);
        let mut needs = main_ready.to_vec();
        needs.extend([format!("bolt:{}", instance.name), format!("role:{}", instance.name)]);
        needs.extend(drops.iter().cloned());
        needs.extend(previous.replace(id.clone()));
        plan.push(id, &needs, register(topology, &modes, instance, &main), cause);
        to_await.push((instance, "it was just registered".to_owned()));
    }
    let mut awaited = Vec::new();
    if topology.wait.until >= Until::Redundant {
        for (instance, cause) in &to_await {
            let id = format!("level:{}", instance.register_as);
            let needs = [format!("register:{}", instance.register_as)];
            let action = Action::AwaitLevel { main: main.clone(), name: instance.register_as.clone() };
            plan.push(id.clone(), &needs, action, cause.clone());
            awaited.push(id);
        }
    }

    if !asleep.is_empty() {
        let needs: Vec<StepId> = asleep.iter().map(|n| format!("bolt:{n}")).collect();
        plan.push("ask", &needs, Action::AskNodes, format!("{} starts", asleep.join(", ")));
        return;
    }
    if init_is_due(wish, main_facts, plan) {
        let mut needs = main_ready.to_vec();
        needs.extend(awaited);
        let cause = match main_facts {
            None => "the cluster is new",
            Some(_) if topology.init.once => "the graph never held a vertex",
            Some(_) => "`init.once` is false",
        };
        plan.push("init", &needs, Action::Init { main: main.clone() }, cause);
        if topology.wait.until >= Until::Redundant {
            for instance in topology.instances.iter().filter(|i| i.name != main) {
                let action = Action::AwaitLevel { main: main.clone(), name: instance.register_as.clone() };
                plan.push(
                    format!("level-again:{}", instance.register_as),
                    &["init".into()],
                    action,
                    "MAIN wrote",
                );
            }
        }
    }
}

fn init_is_due(wish: &Wish, main: Option<&NodeFacts>, plan: &Plan) -> bool {
    if wish.init.is_empty() || plan.refusal.is_some() {
        return false;
    }
    let Some(facts) = main else { return true };
    if !wish.topology.init.once {
        return !plan.steps.is_empty();
    }
    // Without data statements the log tells whether the schema was made.
    let only_schema = wish.init.iter().all(|s| s.is_schema);
    let schema_made = only_schema && facts.position.as_ref().is_some_and(|p| p.durable > 0);
    facts.is_untouched && !schema_made
}

fn push_drop(plan: &mut Plan, main: &str, name: &str, needs: &[StepId], cause: String) {
    let id = format!("drop:{name}");
    if !plan.steps.iter().any(|s| s.id == id) {
        plan.push(id, needs, Action::Drop { main: main.to_owned(), name: name.to_owned() }, cause);
    }
}

/// Returns the address under which MAIN should know a node, where that is known before it is made.
pub fn address_of(topology: &Topology, instance: &Instance, machine: Option<&Machine>) -> Option<String> {
    match Host::of(topology, instance) {
        (Host::Known(host), port) => Some(format!("{host}:{port}")),
        (Host::OfMachine, port) => {
            let machine = machine.filter(|m| m.is_running())?;
            machine.address.map(|ip| format!("{ip}:{port}"))
        }
    }
}

/// The error for a replica that holds what MAIN does not.
pub(super) fn diverged(topology: &Topology, instance: &Instance, main: &str) -> CliError {
    CliError::new(
        Exit::Degraded,
        format!("replica `{}` holds commits that MAIN `{main}` does not have", instance.name),
    )
    .code("MG042")
    .thing(format!("cluster `{}`, registered as `{}`", topology.name, instance.register_as))
    .note("it was MAIN, and wrote after the others had stopped following it; its data are kept, and nothing was cut")
    .help(format!(
        "look at what it has: mgctl query --on {0} 'MATCH (n) RETURN count(n)'\nto cut it back and keep the rest aside: mgctl rejoin {0} --rewind\nto give up its data and copy MAIN's: mgctl rejoin {0} --wipe",
        instance.name
    ))
}
