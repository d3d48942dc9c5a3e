//! `mgctl failover`: MAIN is gone; it is fenced, and the best replica takes its place.

use std::time::Duration;

use serde_json::{Value, json};

use super::promote::one_line;
use super::session::{Session, Shown, on_ctrl_c};
use super::{Context, diff, status};
use crate::args;
use crate::cluster::Options;
use crate::cluster::failover::{self, Decision, FailedOver, Failover, OPERATION, Request};
use crate::error::{CliError, Exit, Problem};
use crate::runtime::Any;
use crate::ui::Ui;

/// How long a failover may wait for the replicas afterwards.
pub(super) const TIME_MAX: Duration = Duration::from_secs(60);

pub(super) async fn run(context: &Context, args: &args::Failover) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let request = Request {
        candidate: args.name.clone(),
        force: args.force,
        kill_main: args.kill_main,
        force_unfenced: args.force_unfenced,
        operation: new_operation()?,
    };
    let failover = match failover::decide(&session.topology, &seen, &request) {
        Ok(Decision::Go(failover)) => failover,
        Ok(Decision::Nothing { main }) => {
            if args.dry_run.dry_run {
                return Ok(diff::dry_run(&session, &crate::cluster::Plan::default()));
            }
            let text = |_: &Ui| format!("{main} is MAIN: nothing to do");
            let data = json!({ "main": main, "changed": false });
            session.ui.result("Failover", Some(session.cluster()), data, &[], text);
            return Ok(Exit::Ok);
        }
        Err(error) => return Err(error),
    };
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &failover.plan));
    }
    let ui = &session.ui;
    for line in announcement(&session, &failover) {
        ui.say(&line);
    }
    if !ui.confirm(&format!("Promote {}?", failover.candidate))? {
        return Err(CliError::new(Exit::Declined, "nothing was changed").code("MG091"));
    }
    let interrupt = on_ctrl_c(ui);
    let time_max = args.timeout.timeout.unwrap_or(TIME_MAX);
    let mut wish = session.wish(Options::default());
    wish.topology.wait.timeout = time_max;
    let shown = Shown::new(&session);
    let work = async {
        // What was seen before the claim may be over.
        let seen = session.look().await?;
        match failover::decide(&session.topology, &seen, &request)? {
            Decision::Go(failover) => {
                let execution = session.execution(&wish, &shown, interrupt);
                failover::run(&execution, &failover).await.map(Some)
            }
            Decision::Nothing { .. } => Ok(None),
        }
    };
    let done = session.locked(time_max, work).await?;
    let seen = session.look().await?;
    let report = status::report(&session, &seen);
    let mut data = status::to_json(&session, &report);
    let Some(done) = done else {
        data["changed"] = json!(false);
        let text = |_: &Ui| "Another run has finished it".to_owned();
        session.ui.result("Failover", Some(session.cluster()), data, &[], text);
        return Ok(Exit::Ok);
    };
    data["changed"] = json!(true);
    data["failover"] = to_json(&done);
    let ok = done.left.is_empty();
    let text = |_: &Ui| {
        let rest = match ok {
            true => format!(
                "every replica that answers is 0 behind after {:.3} s",
                done.redundant_after.as_secs_f64()
            ),
            false => "not every replica follows yet".to_owned(),
        };
        let mut lines = vec![
            format!("After   {}", one_line(&session, &seen)),
            format!(
                "Failover done: {} is MAIN. Writes after {:.3} s ({} was fenced after {:.3} s), {rest}.",
                done.main,
                done.writable_after.as_secs_f64(),
                if done.unfenced.is_empty() { "the old MAIN" } else { "every node that answers" },
                done.fenced_after.as_secs_f64()
            ),
            format!("Estimated loss: {}", done.loss),
        ];
        if !done.unfenced.is_empty() {
            lines.push(format!("Not fenced: {}. Nobody saw that it has ended.", done.unfenced.join(", ")));
        }
        lines.extend(failover.suspects.iter().filter(|(name, _)| *name != done.main).map(|(name, _)| {
            format!("Bring {name} back as a REPLICA: {}", session.command(&format!("rejoin {name}")))
        }));
        lines.join("\n")
    };
    ui.partial_result("Failover", Some(session.cluster()), ok, data, &[], text);
    if ok {
        return Ok(Exit::Ok);
    }
    for problem in &done.left {
        ui.problem(problem);
    }
    ui.problem(&Problem::warning(
        "the failover is done, and not every node that answers follows the new MAIN",
    ));
    Ok(Exit::Degraded)
}

/// Returns what came of a failover for scripts.
pub(super) fn to_json(done: &FailedOver) -> Value {
    let milliseconds = |d: Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
    json!({
        "main": done.main,
        "estimated_loss": { "commits": done.loss.commits(), "text": done.loss.to_string(), "caveat": done.loss.caveat() },
        "fenced_after_ms": milliseconds(done.fenced_after),
        "writable_after_ms": milliseconds(done.writable_after),
        "redundant_after_ms": milliseconds(done.redundant_after),
        "unfenced": done.unfenced,
        "left": done.left.iter().map(Problem::to_json).collect::<Vec<_>>(),
    })
}

/// Returns a name that no other operation has.
pub(super) fn new_operation() -> Result<String, CliError> {
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes)
        .map_err(|error| CliError::new(Exit::Other, format!("the system gives no random bytes: {error}")))?;
    Ok(bytes.iter().fold(OPERATION.to_owned(), |name, byte| format!("{name}{byte:02x}")))
}

/// Says what is going to happen and what it costs.
fn announcement(session: &Session, failover: &Failover) -> Vec<String> {
    let mut lines = Vec::new();
    if failover.resumes {
        lines.push(format!("Goes on with `{}`, which was begun before.", failover.operation));
    }
    for (name, why) in &failover.suspects {
        lines.push(format!("{name} {why}"));
    }
    if failover.is_promoted {
        lines.push(format!("{} is MAIN already; the others are registered there.", failover.candidate));
        return lines;
    }
    let candidate = session.topology.instance(&failover.candidate);
    let about =
        candidate.map_or(String::new(), |i| format!(" ({}, priority {})", failover.modes.of(i), i.priority));
    lines.push(format!("Candidate {}{about}   estimated loss: {}", failover.candidate, failover.loss));
    lines.extend(failover.loss.caveat());
    if failover.epoch.is_none() {
        lines.push(
            "This image knows no fences and no positions: what the old MAIN had is not compared.".into(),
        );
    }
    let (beyond, within): (Vec<&str>, Vec<&str>) = failover
        .suspects
        .iter()
        .map(|(name, _)| name.as_str())
        .partition(|name| failover.unfenced.iter().any(|unfenced| unfenced == name));
    if !within.is_empty() {
        let how = match session.topology.is_external() {
            true => "will be made a REPLICA",
            false if matches!(session.runtime, Any::Swarm(_)) => {
                "will be ended by its host, which must say so, and not start by itself any more"
            }
            false => "will be killed and not start by itself any more",
        };
        lines.push(format!("Fence: {} {how}.", within.join(", ")));
    }
    if !beyond.is_empty() {
        lines.push(format!(
            "Not fenced: {}. What clients write there from now on is lost; see that it has ended where it runs.",
            beyond.join(", ")
        ));
    }
    lines
}
