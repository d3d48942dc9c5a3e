//! What `down` does, and what a first `up` that failed takes back. Pure.

use super::observed::{Existing, MachineState, NodeView, Observed};
use super::plan::{Action, Plan, StepId};
use std::collections::BTreeSet;

/// Returns the steps that stop and remove every machine, then the network, then `volumes`. Replicas end before
/// the nodes named in `mains`, so that MAIN does not report them missing.
pub fn teardown(seen: &Observed, mains: &[String], volumes: &BTreeSet<String>, cause: &str) -> Plan {
    let mut plan = Plan::default();
    let machines = &seen.existing.machines;
    let runs =
        |name: &String| !matches!(machines[name].state, MachineState::Created | MachineState::Exited { .. });
    let (leading, following): (Vec<&String>, Vec<&String>) = machines.keys().partition(|n| mains.contains(n));
    let followers_stopped: Vec<StepId> =
        following.iter().filter(|n| runs(n)).map(|n| format!("stop:{n}")).collect();
    for (names, needs) in [(following, Vec::new()), (leading, followers_stopped)] {
        for name in names.into_iter().filter(|n| runs(n)) {
            plan.push(format!("stop:{name}"), &needs, Action::StopMachine(name.clone()), cause);
        }
    }
    for name in machines.keys() {
        let needs = if runs(name) { vec![format!("stop:{name}")] } else { Vec::new() };
        plan.push(format!("remove:{name}"), &needs, Action::RemoveMachine(name.clone()), cause);
    }
    let removed: Vec<StepId> = machines.keys().map(|n| format!("remove:{n}")).collect();
    if seen.existing.network.as_ref().is_some_and(|network| !network.is_external) {
        plan.push("network", &removed, Action::RemoveNetwork, cause);
    }
    for name in volumes.intersection(&seen.existing.volumes) {
        plan.push(format!("volume:{name}"), &removed, Action::RemoveVolume(name.clone()), cause);
    }
    plan
}

/// What a first `up` that failed takes back.
#[derive(Debug)]
pub struct Rollback {
    /// The steps.
    pub plan: Plan,
    /// Volumes that it made and that stay, since a client may have written to them.
    pub kept: BTreeSet<String>,
}

/// Returns what takes back all that an `up` made; `None` where it was not the first, for then there was a
/// cluster already that is not to be touched.
///
/// `before` is what existed when it began, `seen` what exists now. A volume that was there before stays. One that
/// is new goes only if surely nobody's data are in it: every node that ever `answered` answers now, and never
/// held a vertex.
pub fn rollback(
    before: &Existing,
    seen: &Observed,
    mains: &[String],
    answered: &BTreeSet<String>,
) -> Option<Rollback> {
    if !before.machines.is_empty() {
        return None;
    }
    let made: BTreeSet<String> = seen.existing.volumes.difference(&before.volumes).cloned().collect();
    let is_untouched =
        |name: &String| seen.nodes.get(name).and_then(NodeView::facts).is_some_and(|f| f.is_untouched);
    let nobody_wrote = answered.iter().all(is_untouched);
    let (goes, kept) = if nobody_wrote { (made, BTreeSet::new()) } else { (BTreeSet::new(), made) };
    let plan = teardown(seen, mains, &goes, "the first `up` failed");
    Some(Rollback { plan, kept })
}
