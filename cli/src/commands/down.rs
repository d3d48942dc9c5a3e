//! `mgctl down`: stops and removes the nodes, replicas first. The data stay unless `--volumes` is given.

use serde_json::json;

use super::session::{Session, Shown, mains, on_ctrl_c};
use super::{Context, diff};
use crate::args::Down;
use crate::cluster::{Action, MachineState, Observed, Options, Plan, Step, StepId, execute};
use crate::error::{CliError, Exit};
use crate::ui::Ui;

pub(super) async fn run(context: &Context, args: &Down) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look().await?;
    let plan = plan(&seen, args.volumes);
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &plan));
    }
    let authority = session.topology.authority_volume();
    let of_nodes = seen.existing.volumes.iter().filter(|v| **v != authority).count();
    let kept = if args.volumes { 0 } else { of_nodes };
    if plan.steps.is_empty() {
        let text =
            |_: &Ui| format!("Cluster {} is down: nothing to do{}", session.cluster(), kept_text(kept));
        let data = json!({ "changed": false, "volumes_kept": kept });
        session.ui.result("Down", Some(session.cluster()), data, &[], text);
        return Ok(Exit::Ok);
    }
    if args.volumes && !seen.existing.volumes.is_empty() {
        let question = format!(
            "This deletes the data of cluster `{}`: {}",
            session.cluster(),
            seen.existing.volumes.iter().cloned().collect::<Vec<_>>().join(", ")
        );
        if !session.ui.confirm_typed(&question, session.cluster())? {
            return Err(CliError::new(Exit::Declined, "nothing was deleted").code("MG091"));
        }
    }
    let mut wish = session.wish(Options::default());
    if let Some(timeout) = args.timeout.timeout {
        wish.topology.wait.timeout = timeout;
    }
    let interrupt = on_ctrl_c(&session.ui);
    let shown = Shown::new(&session);
    let work = async { execute(&session.execution(&wish, &shown, interrupt), &plan).await };
    // A claim needs an image, and that the cluster's machines have.
    session.locked(wish.topology.wait.timeout, work).await?;

    let left = session.look().await?;
    if let Some(name) = left.existing.machines.keys().next() {
        return Err(CliError::new(Exit::Degraded, format!("`{name}` is still there"))
            .code("MG060")
            .thing(format!("cluster `{}`", session.cluster()))
            .help(format!("run {} again", session.command("down"))));
    }
    let text = |_: &Ui| match args.volumes {
        true => format!("Cluster {} is down, and its data are deleted", session.cluster()),
        false => format!("Cluster {} is down{}", session.cluster(), kept_text(kept)),
    };
    let data = json!({ "changed": true, "volumes_kept": kept });
    session.ui.result("Down", Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}

fn kept_text(kept: usize) -> String {
    match kept {
        0 => String::new(),
        n => format!("; the data of {n} nodes are kept, `--volumes` deletes them"),
    }
}

/// Replicas end before MAIN, so that it does not report them missing; the network goes last.
fn plan(seen: &Observed, volumes: bool) -> Plan {
    let mains = mains(seen);
    let mut plan = Plan::default();
    let mut push = |id: String, needs: Vec<StepId>, action, cause: &str| {
        plan.steps.push(Step { id, needs, action, cause: cause.into() });
    };
    let machines = &seen.existing.machines;
    let runs =
        |name: &String| !matches!(machines[name].state, MachineState::Created | MachineState::Exited { .. });
    let (leading, following): (Vec<&String>, Vec<&String>) =
        machines.keys().partition(|n| mains.iter().any(|m| m == *n));
    let followers_stopped: Vec<StepId> =
        following.iter().filter(|n| runs(n)).map(|n| format!("stop:{n}")).collect();
    for name in &following {
        if runs(name) {
            push(format!("stop:{name}"), Vec::new(), Action::StopMachine((*name).clone()), "down");
        }
    }
    for name in &leading {
        if runs(name) {
            push(
                format!("stop:{name}"),
                followers_stopped.clone(),
                Action::StopMachine((*name).clone()),
                "down",
            );
        }
    }
    for name in machines.keys() {
        let needs = if runs(name) { vec![format!("stop:{name}")] } else { Vec::new() };
        push(format!("remove:{name}"), needs, Action::RemoveMachine(name.clone()), "down");
    }
    let removed: Vec<StepId> = machines.keys().map(|n| format!("remove:{n}")).collect();
    if seen.existing.network.is_some() {
        push("network".into(), removed.clone(), Action::RemoveNetwork, "down");
    }
    if volumes {
        for name in &seen.existing.volumes {
            push(format!("volume:{name}"), removed.clone(), Action::RemoveVolume(name.clone()), "--volumes");
        }
    }
    plan
}
