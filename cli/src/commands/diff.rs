//! `mgctl diff`: what `up` would do, and why.

use serde_json::json;

use super::session::Session;
use super::{Context, up};
use crate::args::Diff;
use crate::cluster::{Action, Options, Plan, Wish, observe, reconcile};
use crate::error::{CliError, Exit};
use crate::ui::{Cell, Table, Tone, Ui};
use crate::words::count;

pub(super) async fn run(context: &Context, args: &Diff) -> Result<Exit, CliError> {
    let loaded = context.selection.topology()?;
    let init = up::read_init(&loaded.topology)?;
    let session = Session::of_file(context, loaded.topology, loaded.warnings).await?;
    let wish = Wish { init, ..session.wish(Options::default()) };
    let seen = observe(&wish.topology, &session.runtime, &session.nodes).await?;
    let plan = reconcile(&wish, &seen);
    let by = format!("`{}` does them", session.up());
    let exit = show(&session, &plan, &by);
    Ok(if args.exit_code && exit == Exit::Ok && !plan.steps.is_empty() { Exit::Changes } else { exit })
}

/// Shows what a verb would do, for its `--dry-run`.
pub(super) fn dry_run(session: &Session, plan: &Plan) -> Exit {
    show(session, plan, "without --dry-run they are done")
}

/// Shows a plan; `by` says what carries its steps out.
fn show(session: &Session, plan: &Plan, by: &str) -> Exit {
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|s| json!({"id": s.id, "needs": s.needs, "action": s.action.to_string(), "cause": s.cause}))
        .collect();
    let data = json!({
        "steps": steps,
        "notes": plan.notes,
        "refusal": plan.refusal.as_ref().map(|r| r.problem().to_json()),
    });
    let text = |ui: &Ui| render(session, plan, by, ui);
    let warnings = &session.warnings;
    session.ui.partial_result("Plan", Some(session.cluster()), plan.refusal.is_none(), data, warnings, text);
    if let Some(refusal) = &plan.refusal {
        for problem in refusal.problems() {
            session.ui.problem(problem);
        }
        return refusal.exit();
    }
    Exit::Ok
}

fn render(session: &Session, plan: &Plan, by: &str, ui: &Ui) -> String {
    let mut lines = Vec::new();
    if !plan.steps.is_empty() {
        let mut table = Table::new(["", "STEP", "CAUSE"]);
        for step in &plan.steps {
            let (sign, tone) = sign(&step.action);
            table.row([
                Cell::new(sign, tone),
                Cell::from(step.action.to_string()),
                Cell::from(step.cause.clone()),
            ]);
        }
        lines.push(table.render(ui));
    }
    lines.extend(plan.notes.iter().map(|n| format!("= {n}")));
    if plan.is_done() {
        lines.push(format!("Cluster {} is as it should be: nothing to do", session.cluster()));
    } else if !plan.steps.is_empty() {
        lines.push(format!("Plan: {}; {by}", count(plan.steps.len(), "step")));
    }
    lines.join("\n")
}

/// `+` makes, `~` changes, `-` removes, a space waits.
fn sign(action: &Action) -> (&'static str, Tone) {
    match action {
        Action::LoadImage(_)
        | Action::CreateNetwork(_)
        | Action::CreateVolume(_)
        | Action::CreateAuthority
        | Action::IssueCertificate(_)
        | Action::CreateMachine(_)
        | Action::SaveData { .. } => ("+", Tone::Good),
        Action::Register { .. } => ("+", Tone::Good),
        Action::StopMachine(_)
        | Action::RemoveMachine(_)
        | Action::RemoveVolume(_)
        | Action::RemoveNetwork
        | Action::FenceMachine(_)
        | Action::KeepDown(_)
        | Action::KillMachine(_)
        | Action::PauseMachine(_)
        | Action::DisconnectMachine(_)
        | Action::Drop { .. } => ("-", Tone::Bad),
        Action::StartMachine(_)
        | Action::UnpauseMachine(_)
        | Action::BecomeReplica { .. }
        | Action::BecomeMain { .. }
        | Action::Reign { .. }
        | Action::Rewind { .. }
        | Action::Release { .. }
        | Action::Fence { .. }
        | Action::UnfenceMachine(_)
        | Action::ConnectMachine(_)
        | Action::Init { .. } => ("~", Tone::Doubtful),
        Action::AwaitBolt(_) | Action::AwaitLevel { .. } | Action::Prove { .. } | Action::AskNodes => {
            (" ", Tone::Dim)
        }
    }
}
