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

mod find_main;
mod machines;
mod orphans;
mod roles;

pub use find_main::find_main;
pub(super) use machines::ends_with_its_file;
pub use orphans::{Orphan, leaving_orphans, orphans};
pub(super) use orphans::{find_main_among, main_is_orphan, orphan_may_be_main};
pub(super) use roles::plan_roles_of;

use super::observed::{Machine, NodeFacts, NodeView, Observed};
use super::plan::{Action, Host, Plan};
use crate::error::{CliError, Exit};
use crate::topology::{Instance, Topology, Until};
use machines::plan_machines;
use orphans::{data_may_be_on_orphan, foreign_objects, orphan_says_main, plan_orphans};
use roles::plan_roles;
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

pub(in crate::cluster) fn is_fenced(seen: &Observed, instance: &str) -> bool {
    seen.existing.machines.get(instance).is_some_and(|m| m.is_fenced)
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
pub(in crate::cluster) fn diverged(topology: &Topology, instance: &Instance, main: &str) -> CliError {
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
