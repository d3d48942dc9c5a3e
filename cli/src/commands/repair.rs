//! `mgctl repair` and `mgctl set-mode`: roles and registrations, and no machine.

use std::time::Duration;

use serde_json::json;

use super::promote::one_line;
use super::session::{Session, Shown, on_ctrl_c};
use super::{Context, diff, status};
use crate::args::{Repair, SetMode};
use crate::cluster::repair as roles;
use crate::cluster::{Action, Options, Plan, Step, execute};
use crate::error::{CliError, Exit, Problem};
use crate::ui::Ui;

/// How often what the nodes say is planned anew: one round shows what the one before could not see.
const ROUNDS_MAX: u32 = 4;

pub(super) async fn run(context: &Context, args: &Repair) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let chosen = args.main.as_deref();
    let plan = roles::repair(&session.topology, &seen, chosen);
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &plan));
    }
    if let (true, Some(refusal)) = (plan.steps.is_empty(), plan.refusal) {
        return Err(refusal);
    }
    let changed = !plan.steps.is_empty();
    let mut notes = plan.notes;
    if changed {
        notes = mend(&session, chosen, args.timeout.timeout).await?;
    }
    let seen = session.look().await?;
    let main = session.main(&seen)?.instance;
    let report = status::report(&session, &seen);
    let mut data = status::to_json(&session, &report);
    data["changed"] = json!(changed);
    data["notes"] = json!(notes);
    let text = |_: &Ui| {
        let word = if changed { "are in order again" } else { "are in order: nothing to do" };
        let mut lines: Vec<String> = notes.iter().map(|n| format!("note: {n}")).collect();
        lines.push(format!("{}\nRoles and registrations {word}; {main} is MAIN", one_line(&session, &seen)));
        lines.join("\n")
    };
    session.ui.result("Repair", Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}

/// Plans and executes until nothing is left, and returns the notes of the last plan.
async fn mend(
    session: &Session,
    chosen: Option<&str>,
    timeout: Option<Duration>,
) -> Result<Vec<String>, CliError> {
    let mut wish = session.wish(Options::default());
    if let Some(timeout) = timeout {
        wish.topology.wait.timeout = timeout;
    }
    let shown = Shown::new(session);
    let interrupt = on_ctrl_c(&session.ui);
    let work = async {
        let mut left = Plan::default();
        for _ in 0..ROUNDS_MAX {
            left = roles::repair(&session.topology, &session.look().await?, chosen);
            if left.steps.is_empty() {
                return match left.refusal {
                    Some(refusal) => Err(refusal),
                    None => Ok(left.notes),
                };
            }
            execute(&session.execution(&wish, &shown, interrupt.clone()), &left).await?;
            // Under writes a replica is behind again in a moment: what was waited for was so.
            if left.only_waits() && left.refusal.is_none() {
                return Ok(left.notes);
            }
        }
        let mut error =
            CliError::new(Exit::Degraded, "every step succeeded, and the roles are still not in order")
                .code("MG060")
                .thing(format!("cluster `{}`", session.cluster()));
        for step in &left.steps {
            error = error.note(format!("still to do: {} ({})", step.action, step.cause));
        }
        Err(error.help(format!("see {}", session.command("status"))))
    };
    session.locked(wish.topology.wait.timeout, work).await
}

pub(super) async fn set_mode(context: &Context, args: &SetMode) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let (name, mode) = (args.name.as_str(), args.mode);
    let main = session.main(&seen)?.instance;
    let plan = roles::set_mode(&session.topology, &seen, name, &main, mode)?;
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &plan));
    }
    let changed = !plan.steps.is_empty();
    if changed {
        carry_out(&session, args).await?;
    }
    let seen = session.look().await?;
    let rows = status::report(&session, &seen).lines;
    let is_so = rows
        .iter()
        .any(|l| l.name == name && l.is_ready() && l.row.as_ref().is_some_and(|r| r.mode == Some(mode)));
    if !is_so {
        return Err(CliError::new(
            Exit::Degraded,
            format!("MAIN does not say that `{name}` is {mode} and ready"),
        )
        .code("MG074")
        .thing(format!("cluster `{}`", session.cluster()))
        .help(format!("see {}", session.command("show-replicas"))));
    }
    let warnings: Vec<Problem> = plan.notes.iter().map(Problem::warning).collect();
    let data = json!({ "node": name, "mode": mode.as_str(), "changed": changed });
    let text = |_: &Ui| match changed {
        true => format!("{name} is {mode} at {main}: ready, 0 behind"),
        false => format!("{name} is {mode} at {main}: nothing to do"),
    };
    session.ui.result("SetMode", Some(session.cluster()), data, &warnings, text);
    Ok(Exit::Ok)
}

/// Drops and registers; where the second fails, the old registration is made again.
async fn carry_out(session: &Session, args: &SetMode) -> Result<(), CliError> {
    let mut wish = session.wish(Options::default());
    if let Some(timeout) = args.timeout.timeout {
        wish.topology.wait.timeout = timeout;
    }
    let shown = Shown::new(session);
    let interrupt = on_ctrl_c(&session.ui);
    let work = async {
        let seen = session.look().await?;
        let main = session.main(&seen)?.instance;
        let plan = roles::set_mode(&session.topology, &seen, &args.name, &main, args.mode)?;
        let execution = session.execution(&wish, &shown, interrupt);
        let Err(error) = execute(&execution, &plan).await else { return Ok(()) };
        let rows = status::report(session, &seen).lines;
        let was = rows.iter().find(|l| l.name == args.name).and_then(|l| l.row.as_ref()?.mode);
        let registration = plan.steps.iter().find_map(|s| match (&s.action, was) {
            (Action::Register { main, instance, name, host, port, .. }, Some(mode)) => {
                Some(Action::Register {
                    main: main.clone(),
                    instance: instance.clone(),
                    name: name.clone(),
                    mode,
                    host: host.clone(),
                    port: *port,
                })
            }
            _ => None,
        });
        let Some(action) = registration else { return Err(error) };
        let id = "register-again".to_owned();
        let back = Step { id, needs: Vec::new(), action, cause: "the change is taken back".into() };
        let now = session.look().await?;
        let is_new = status::report(session, &now)
            .lines
            .iter()
            .any(|l| l.name == args.name && l.row.as_ref().is_some_and(|r| r.mode == Some(args.mode)));
        if is_new {
            // Registered as asked; only that it is ready took too long.
            return Err(error);
        }
        match execute(&execution, &Plan { steps: vec![back], ..Plan::default() }).await {
            Ok(()) => Err(error.note("it is registered as before")),
            Err(more) => {
                let problems = error.problems().iter().chain(more.problems()).cloned().collect();
                Err(CliError::of(Exit::Degraded, problems)
                    .note(format!("`{}` is not registered now and gets no data", args.name))
                    .help(session.command("repair")))
            }
        }
    };
    session.locked(wish.topology.wait.timeout, work).await
}
