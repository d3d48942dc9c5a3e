//! `mgctl promote` and `mgctl demote`: one node changes role, and the others with it.

use std::time::Duration;

use serde_json::json;

use super::session::{Session, Shown, on_ctrl_c};
use super::{Context, diff, status};
use crate::args::{Demote, Promote};
use crate::cluster::promote::{Decision, Switched, decide};
use crate::cluster::{Action, Interrupt, NodeView, Observed, Options, Plan, Step, execute};
use crate::error::{CliError, Exit, Problem};
use crate::topology::Role;
use crate::ui::Ui;

/// How long a switchover may wait for its candidate and for the replicas afterwards.
const TIME_MAX: Duration = Duration::from_secs(60);

pub(super) async fn run(context: &Context, args: &Promote) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &plan(&session, &seen, &args.name)?));
    }
    if decide(&session.topology, &seen, &args.name)? == Decision::Nothing {
        let text = |_: &Ui| format!("{} is MAIN: nothing to do", args.name);
        let data = json!({ "main": args.name, "changed": false });
        session.ui.result("Promote", Some(session.cluster()), data, &[], text);
        return Ok(Exit::Ok);
    }
    let ui = &session.ui;
    ui.say(&format!("Before  {}", one_line(&session, &seen)));
    let interrupt = on_ctrl_c(ui);
    let time_max = args.timeout.timeout.unwrap_or(TIME_MAX);
    let done = session.locked(time_max, switch(&session, &args.name, time_max, interrupt)).await?;
    let seen = session.look().await?;
    let report = status::report(&session, &seen);

    let milliseconds = |d: Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
    let mut data = status::to_json(&session, &report);
    data["changed"] = json!(true);
    data["write_pause_ms"] = json!(done.write_pause.map(milliseconds));
    data["redundant_after_ms"] = json!(milliseconds(done.redundant_after));
    data["attempts"] = json!(done.attempts);
    let ok = done.left.is_empty();
    let text = |_: &Ui| {
        let pause = match done.write_pause {
            Some(pause) => format!("Write pause {:.3} s", pause.as_secs_f64()),
            None => "There was no MAIN before".into(),
        };
        let rest = match ok {
            true => format!(", full redundancy after {:.3} s.", done.redundant_after.as_secs_f64()),
            false => ", and not every replica follows yet.".into(),
        };
        format!("After   {}\nSwitchover done. {pause}{rest}", one_line(&session, &seen))
    };
    ui.partial_result("Promote", Some(session.cluster()), ok, data, &[], text);
    if ok {
        return Ok(Exit::Ok);
    }
    for problem in &done.left {
        ui.problem(problem);
    }
    ui.problem(
        &Problem::warning("the switch is done, the cluster is degraded")
            .help(format!("{} registers what is missing", session.up())),
    );
    Ok(Exit::Degraded)
}

/// Returns the steps that would move MAIN to `name`.
pub(super) fn plan(session: &Session, seen: &Observed, name: &str) -> Result<Plan, CliError> {
    Ok(match decide(&session.topology, seen, name)? {
        Decision::Nothing => Plan::default(),
        Decision::Switch(switch) => switch.plan,
    })
}

/// Moves MAIN to `name`. The cluster must be claimed.
pub(super) async fn switch(
    session: &Session,
    name: &str,
    time_max: Duration,
    interrupt: Interrupt,
) -> Result<Switched, CliError> {
    // What was seen before the claim may be over.
    let seen = session.look().await?;
    let switch = match decide(&session.topology, &seen, name)? {
        Decision::Switch(switch) => switch,
        Decision::Nothing => {
            return Ok(Switched {
                write_pause: None,
                redundant_after: Duration::ZERO,
                attempts: 0,
                left: Vec::new(),
            });
        }
    };
    let mut wish = session.wish(Options::default());
    wish.topology.wait.timeout = time_max;
    let shown = Shown::new(session);
    crate::cluster::promote::switch(&session.execution(&wish, &shown, interrupt), &switch).await
}

/// Returns the cluster as `main MAIN · rep1 SYNC ready 0`.
pub(super) fn one_line(session: &Session, seen: &Observed) -> String {
    let report = status::report(session, seen);
    let parts: Vec<String> = report
        .lines
        .iter()
        .map(|line| match (&line.role, &line.row) {
            (Some(Role::Main), _) => format!("{} MAIN", line.name),
            (Some(Role::Replica), Some(row)) => {
                let mode = row.mode.map_or("?", |m| m.as_str());
                format!("{} {mode} {} {}", line.name, row.status, row.behind)
            }
            (Some(Role::Replica), None) => format!("{} REPLICA, not registered", line.name),
            (None, _) => format!("{} does not answer", line.name),
        })
        .collect();
    parts.join(" · ")
}

pub(super) async fn demote(context: &Context, args: &Demote) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let name = &args.name;
    session.target(&seen, name)?;
    let Some(facts) = seen.nodes.get(name).and_then(NodeView::facts) else {
        return Err(CliError::new(Exit::Degraded, format!("`{name}` does not answer"))
            .code("MG068")
            .help(format!("see {}", session.logs(name))));
    };
    let others = seen.nodes.iter().any(|(n, v)| n != name && v.facts().is_some_and(|f| f.role == Role::Main));
    if facts.role == Role::Main && !others && !args.no_main {
        return Err(CliError::new(
            Exit::Unsafe,
            format!("`{name}` is the only MAIN: without it nothing can be written"),
        )
        .code("MG045")
        .thing(format!("cluster `{}`", session.cluster()))
        .help(format!("to move MAIN without a loss: {}", session.command("promote NODE")))
        .help("to have no MAIN for a while: --no-main"));
    }
    let instance = session.topology.instance(name).ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("`{name}` is not in {}", session.topology.place.file))
            .code("MG065")
    })?;
    let step = Step {
        id: "demote".into(),
        needs: Vec::new(),
        action: Action::BecomeReplica { instance: name.clone(), port: instance.replication_port },
        cause: "asked for".into(),
    };
    let plan = Plan { steps: vec![step], ..Plan::default() };
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &plan));
    }
    let wish = session.wish(Options::default());
    let shown = Shown::new(&session);
    let work = async { execute(&session.execution(&wish, &shown, Interrupt::default()), &plan).await };
    session.locked(wish.topology.wait.timeout, work).await?;
    let seen = session.look().await?;
    if seen.nodes.get(name).and_then(NodeView::facts).is_none_or(|f| f.role != Role::Replica) {
        return Err(CliError::new(
            Exit::Degraded,
            format!("`{name}` was demoted and does not say that it is a REPLICA"),
        )
        .code("MG043")
        .help(format!("see {}", session.command("status"))));
    }
    let text = |_: &Ui| {
        format!(
            "{}\n{name} is a REPLICA; `{}` gives the cluster a MAIN again, and every replica its place",
            one_line(&session, &seen),
            session.up()
        )
    };
    session.ui.result(
        "Demote",
        Some(session.cluster()),
        json!({ "name": name, "role": "REPLICA" }),
        &[],
        text,
    );
    Ok(Exit::Ok)
}
