//! `mgctl start`, `stop` and `restart`: the machines of a cluster that is there, and nothing else.

use std::time::Duration;

use serde_json::json;

use super::session::{Session, Shown, mains, on_ctrl_c};
use super::{Context, diff, promote, status};
use crate::args::{Restart, Start, Stop};
use crate::cluster::{
    Action, Interrupt, MachineState, Modes, NodeView, Observed, Options, Plan, Step, StepId, Wish, execute,
};
use crate::error::{CliError, Exit};
use crate::topology::{Mode, Role};
use crate::ui::Ui;

/// How long a node may take until MAIN calls it level again.
const LEVEL_TIME_MAX: Duration = Duration::from_secs(120);

pub(super) async fn start(context: &Context, args: &Start) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    session.must_run_nodes("start", &format!("start them where they run, then {}", session.up()))?;
    let seen = session.look_at_existing().await?;
    let plan = plan_start(&session, &seen, &args.names)?;
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &plan));
    }
    let changed = !plan.steps.is_empty();
    if changed {
        let wish = wish(&session, args.timeout.timeout);
        let shown = Shown::new(&session);
        let interrupt = on_ctrl_c(&session.ui);
        let work = async {
            let plan = plan_start(&session, &session.look().await?, &args.names)?;
            execute(&session.execution(&wish, &shown, interrupt), &plan).await
        };
        session.locked(wish.topology.wait.timeout, work).await?;
    }
    conclude(&session, "Start", changed, &plan.notes).await
}

pub(super) async fn stop(context: &Context, args: &Stop) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    session.must_run_nodes("stop", "stop them where they run, replicas before MAIN")?;
    let seen = session.look_at_existing().await?;
    let plan = plan_stop(&session, &seen, &args.names)?;
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &plan));
    }
    let changed = !plan.steps.is_empty();
    if changed {
        let wish = wish(&session, args.timeout.timeout);
        let shown = Shown::new(&session);
        let interrupt = on_ctrl_c(&session.ui);
        let work = async {
            let plan = plan_stop(&session, &session.look().await?, &args.names)?;
            execute(&session.execution(&wish, &shown, interrupt), &plan).await
        };
        session.locked(wish.topology.wait.timeout, work).await?;
    }
    let seen = session.look().await?;
    if let Some(left) = names(&session, &seen, &args.names)?.into_iter().find(|n| runs(&seen, n)) {
        return Err(CliError::new(Exit::Degraded, format!("`{left}` still runs"))
            .code("MG060")
            .thing(format!("cluster `{}`", session.cluster())));
    }
    conclude(&session, "Stop", changed, &plan.notes).await
}

pub(super) async fn restart(context: &Context, args: &Restart) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    session.must_run_nodes(
        "restart",
        &format!(
            "restart them where they run, replicas first, and MAIN after {}",
            session.command("promote NODE")
        ),
    )?;
    let seen = session.look_at_existing().await?;
    let chosen = names(&session, &seen, &args.names)?;
    if args.rolling {
        return rolling(&session, args, &seen, &chosen).await;
    }
    let both = |seen: &Observed| -> Result<Plan, CliError> {
        let mut plan = plan_stop(&session, seen, &args.names)?;
        for name in &chosen {
            let needs: Vec<StepId> =
                plan.steps.iter().filter(|s| s.id.starts_with("stop:")).map(|s| s.id.clone()).collect();
            push_start(&mut plan, name, needs, "restart");
        }
        Ok(plan)
    };
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &both(&seen)?));
    }
    let wish = wish(&session, args.timeout.timeout);
    let shown = Shown::new(&session);
    let interrupt = on_ctrl_c(&session.ui);
    let work = async {
        let plan = both(&session.look().await?)?;
        execute(&session.execution(&wish, &shown, interrupt), &plan).await
    };
    session.locked(wish.topology.wait.timeout, work).await?;
    conclude(&session, "Restart", true, &[]).await
}

/// One node after the other, each level again before the next; MAIN moves away before it is its turn.
async fn rolling(
    session: &Session,
    args: &Restart,
    seen: &Observed,
    chosen: &[String],
) -> Result<Exit, CliError> {
    let main = session.main(seen)?.instance;
    let followers: Vec<&String> = chosen.iter().filter(|n| **n != main).collect();
    let has_main = chosen.contains(&main);
    let successor = successor(session, seen, &main);
    if args.dry_run.dry_run {
        let mut plan = Plan::default();
        for name in &followers {
            plan.steps.extend(restart_steps(session, name, &main).steps);
        }
        if has_main {
            match &successor {
                Some(next) => {
                    plan.steps.extend(promote::plan(session, seen, next)?.steps);
                    plan.steps.extend(restart_steps(session, &main, next).steps);
                }
                None => plan.steps.extend(restart_steps(session, &main, &main).steps),
            }
        }
        return Ok(diff::dry_run(session, &plan));
    }
    let wish = wish(session, args.timeout.timeout.or(Some(LEVEL_TIME_MAX)));
    let shown = Shown::new(session);
    let interrupt = on_ctrl_c(&session.ui);
    let time_max = wish.topology.wait.timeout;
    let work = async {
        for name in &followers {
            one(session, &wish, &shown, &interrupt, name, &main).await?;
        }
        if !has_main {
            return Ok(());
        }
        match &successor {
            Some(next) => {
                let done = promote::switch(session, next, time_max, interrupt.clone()).await?;
                if let Some(problem) = done.left.first() {
                    return Err(CliError::of(Exit::Degraded, vec![problem.clone()]));
                }
                one(session, &wish, &shown, &interrupt, &main, next).await
            }
            None => one(session, &wish, &shown, &interrupt, &main, &main).await,
        }
    };
    // Each node has the time for itself.
    session.locked(time_max * u32::try_from(chosen.len()).unwrap_or(1), work).await?;
    conclude(session, "Restart", true, &[]).await
}

async fn one(
    session: &Session,
    wish: &Wish,
    shown: &Shown,
    interrupt: &Interrupt,
    name: &str,
    main: &str,
) -> Result<(), CliError> {
    let plan = restart_steps(session, name, main);
    execute(&session.execution(wish, shown, interrupt.clone()), &plan).await
}

fn restart_steps(session: &Session, name: &str, main: &str) -> Plan {
    let mut plan = Plan::default();
    push(&mut plan, format!("stop:{name}"), Vec::new(), Action::StopMachine(name.to_owned()), "restart");
    push_start(&mut plan, name, vec![format!("stop:{name}")], "restart");
    if let Some(instance) = session.topology.instance(name).filter(|_| name != main) {
        let level = Action::AwaitLevel { main: main.to_owned(), name: instance.register_as.clone() };
        push(
            &mut plan,
            format!("ready:{name}"),
            vec![format!("bolt:{name}")],
            level,
            "the next one must wait for it",
        );
    }
    plan
}

/// Who takes MAIN over: a SYNC replica before an ASYNC one, then by priority.
pub(super) fn successor(session: &Session, seen: &Observed, main: &str) -> Option<String> {
    let follows =
        |n: &str| seen.nodes.get(n).and_then(NodeView::facts).is_some_and(|f| f.role == Role::Replica);
    let candidates = session.topology.instances.iter().filter(|i| i.name != main && follows(&i.name));
    let modes = Modes::in_force(&session.topology, seen, Some(main));
    candidates.rev().max_by_key(|i| (modes.of(i) != Mode::Async, i.priority)).map(|i| i.name.clone())
}

fn wish(session: &Session, timeout: Option<Duration>) -> Wish {
    let mut wish = session.wish(Options::default());
    if let Some(timeout) = timeout {
        wish.topology.wait.timeout = timeout;
    }
    wish
}

/// The nodes that are meant: those named, or all.
fn names(session: &Session, seen: &Observed, given: &[String]) -> Result<Vec<String>, CliError> {
    let machines = &seen.existing.machines;
    if let Some(unknown) = given.iter().find(|n| !machines.contains_key(*n)) {
        let known: Vec<&str> = machines.keys().map(String::as_str).collect();
        return Err(CliError::new(
            Exit::NotFound,
            format!("cluster `{}` has no node `{unknown}`", session.cluster()),
        )
        .code("MG065")
        .note(format!("it has: {}", known.join(", "))));
    }
    Ok(if given.is_empty() { machines.keys().cloned().collect() } else { given.to_vec() })
}

fn runs(seen: &Observed, name: &str) -> bool {
    let machine = seen.existing.machines.get(name);
    machine.is_some_and(|m| !matches!(m.state, MachineState::Created | MachineState::Exited { .. }))
}

fn push(plan: &mut Plan, id: String, needs: Vec<StepId>, action: Action, cause: &str) {
    plan.steps.push(Step { id, needs, action, cause: cause.into() });
}

fn push_start(plan: &mut Plan, name: &str, needs: Vec<StepId>, cause: &str) {
    push(plan, format!("start:{name}"), needs, Action::StartMachine(name.to_owned()), cause);
    push(
        plan,
        format!("bolt:{name}"),
        vec![format!("start:{name}")],
        Action::AwaitBolt(name.to_owned()),
        "it starts",
    );
}

fn plan_start(session: &Session, seen: &Observed, given: &[String]) -> Result<Plan, CliError> {
    let mut plan = Plan::default();
    for name in names(session, seen, given)? {
        let machine = &seen.existing.machines[&name];
        if machine.is_fenced && !machine.is_running() {
            let help = session.command(&format!("rejoin {name}"));
            plan.notes.push(format!("{name}: was fenced by a failover and is not started: {help}"));
            continue;
        }
        match machine.state {
            MachineState::Paused => {
                let action = Action::UnpauseMachine(name.clone());
                push(&mut plan, format!("start:{name}"), Vec::new(), action, "it is paused");
                let bolt = Action::AwaitBolt(name.clone());
                push(&mut plan, format!("bolt:{name}"), vec![format!("start:{name}")], bolt, "it goes on");
            }
            MachineState::Created | MachineState::Exited { .. } => {
                let cause = format!("it is {}", machine.state);
                push_start(&mut plan, &name, Vec::new(), &cause);
            }
            MachineState::Starting
            | MachineState::Running
            | MachineState::Restarting
            | MachineState::Elsewhere => {}
            MachineState::Lost { .. } => {
                plan.notes.push(format!("{name}: {}, and cannot be started from here", machine.state));
            }
        }
    }
    Ok(plan)
}

/// Replicas end before MAIN, so that it does not report them missing.
fn plan_stop(session: &Session, seen: &Observed, given: &[String]) -> Result<Plan, CliError> {
    let mut plan = Plan::default();
    let mains = mains(seen);
    let chosen: Vec<String> = names(session, seen, given)?.into_iter().filter(|n| runs(seen, n)).collect();
    let (leading, following): (Vec<&String>, Vec<&String>) = chosen.iter().partition(|n| mains.contains(n));
    for name in &following {
        let action = Action::StopMachine((*name).clone());
        push(&mut plan, format!("stop:{name}"), Vec::new(), action, "asked for");
    }
    let first: Vec<StepId> = plan.steps.iter().map(|s| s.id.clone()).collect();
    for name in &leading {
        let action = Action::StopMachine((*name).clone());
        push(&mut plan, format!("stop:{name}"), first.clone(), action, "asked for");
    }
    Ok(plan)
}

/// Says how the cluster is after it.
async fn conclude(session: &Session, kind: &str, changed: bool, notes: &[String]) -> Result<Exit, CliError> {
    let seen = session.look().await?;
    let report = status::report(session, &seen);
    let mut data = status::to_json(session, &report);
    data["changed"] = json!(changed);
    data["notes"] = json!(notes);
    let text = |ui: &Ui| {
        let mut lines: Vec<String> = notes.iter().map(|n| format!("note: {n}")).collect();
        if !changed {
            lines.push("Nothing to do".to_owned());
        }
        lines.push(status::render(session, &report, ui));
        lines.join("\n")
    };
    session.ui.result(kind, Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}
