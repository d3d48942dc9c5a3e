//! Nodes that the file does not name.

use super::find_main::find_main;
use super::roles::push_drop;
use super::{Condition, MainFound, Wish, address_of, condition, holds_data, is_fenced};
use crate::cluster::observed::{NodeFacts, NodeView, Observed, Position, ReplicaRow};
use crate::cluster::plan::{Action, Plan, StepId};
use crate::cluster::spec::Spec;
use crate::error::{CliError, Exit};
use crate::topology::{Instance, Role, Topology};
use std::collections::BTreeMap;

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
pub(in crate::cluster) fn main_is_orphan(topology: &Topology, seen: &Observed) -> Option<CliError> {
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
pub(super) fn is_followed(main: &NodeFacts) -> bool {
    main.replicas.iter().any(|r| matches!(r.status.as_str(), "ready" | "replicating" | "recovery"))
}

/// As [`find_main`], and refuses to promote anyone while a node that the file does not name is, or may be, MAIN, and to
/// take an empty node as MAIN while one may hold the data.
pub(in crate::cluster) fn find_main_among(topology: &Topology, seen: &Observed) -> MainFound {
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
pub(super) fn data_may_be_on_orphan(topology: &Topology, seen: &Observed, main: &str) -> Option<CliError> {
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
pub(super) fn orphan_says_main(topology: &Topology, seen: &Observed) -> Option<CliError> {
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
pub(in crate::cluster) fn orphan_may_be_main(topology: &Topology, seen: &Observed) -> Option<CliError> {
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
pub(super) fn plan_orphans(wish: &Wish, seen: &Observed, plan: &mut Plan) {
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
pub(super) fn rows_of<'a>(
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
pub(super) fn plan_orphan_drops(
    wish: &Wish,
    seen: &Observed,
    main: &str,
    facts: &NodeFacts,
    plan: &mut Plan,
) {
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
pub(super) fn why_not_removed(
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
pub(super) fn why_kept(
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
pub(super) fn may_be_its_row<'a>(
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

pub(super) fn foreign_objects(topology: &Topology, seen: &Observed) -> Option<CliError> {
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
