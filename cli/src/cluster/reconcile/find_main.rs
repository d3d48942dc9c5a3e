//! Who is MAIN, as far as the nodes say.

use super::{Condition, MainFound, condition, holds_data, is_fenced};
use crate::cluster::candidate::parting;
use crate::cluster::failover::OPERATION;
use crate::cluster::observed::{Machine, NodeFacts, Observed, Position};
use crate::error::{CliError, Exit};
use crate::topology::{Instance, Role, Topology};

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

pub(super) fn forgets_its_role(instance: &Instance) -> bool {
    let flag = instance.flags.get("replication-restore-state-on-startup");
    flag.is_some_and(|v| v == "false")
        || instance.flags.contains_key("noreplication-restore-state-on-startup")
}

/// The one with the longest log; of equals the declared MAIN, else the first of the file.
pub(super) fn foremost(nodes: &[(&Instance, &NodeFacts)], declared: &str) -> String {
    let order = |f: &NodeFacts| f.position.as_ref().map(|p| p.order());
    let best = nodes.iter().map(|(_, f)| order(f)).max().flatten();
    let mut equals = nodes.iter().filter(|(_, f)| order(f) == best).map(|(i, _)| &i.name);
    let first = equals.clone().next().expect("there is a best one where there is one");
    equals.find(|name| *name == declared).unwrap_or(first).clone()
}

/// Where the logs of any two of the nodes have parted, in words.
pub(super) fn partings(nodes: &[(&Instance, &NodeFacts)]) -> Vec<String> {
    let pairs =
        nodes.iter().enumerate().flat_map(|(i, one)| nodes[i + 1..].iter().map(move |other| (one, other)));
    pairs
        .filter_map(|(one, other)| {
            let parting = parting(one.1, other.1)?;
            parting.is_fork().then(|| parting.describe(&one.0.name, &other.0.name))
        })
        .collect()
}

pub(super) fn begun_failover(topology: &Topology, main: Option<&str>) -> CliError {
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

pub(super) fn two_mains(names: &str, partings: Vec<String>) -> CliError {
    let error =
        CliError::new(Exit::Unsafe, format!("several nodes are MAIN and hold data: {names}")).code("MG043");
    partings
        .into_iter()
        .fold(error, CliError::note)
        .note("mgctl does not choose whose writes count; nothing was changed")
        .help("say whose writes count: mgctl repair --main NAME")
}
