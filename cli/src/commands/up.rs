//! `mgctl up`: brings the cluster to what the topology says.

use std::time::{Duration, Instant};

use serde_json::json;

use super::import::unsplit;
use super::session::{Session, Shown, mains, on_ctrl_c};
use super::{Context, diff, promote, status, verify};
use crate::args::Up;
use crate::cluster::{self, Existing, InitStatement, Interrupt, NodeView, Observed, Options, Runtime, Wish};
use crate::error::{CliError, Exit, Problem};
use crate::graph::statements;
use crate::topology::{OnFailure, Topology, Until};
use crate::ui::Ui;
use crate::words::count;

/// How long taking back may take at least.
const TAKE_BACK: Duration = Duration::from_secs(60);

pub(super) async fn run(context: &Context, args: &Up) -> Result<Exit, CliError> {
    let began = Instant::now();
    let loaded = context.selection.topology()?;
    let mut topology = loaded.topology;
    if let Some(timeout) = args.timeout.timeout {
        topology.wait.timeout = timeout;
    }
    if args.no_wait {
        topology.wait.until = topology.wait.until.min(Until::Registered);
    }
    if let Some(pull) = args.pull {
        topology.instances.iter_mut().for_each(|instance| instance.container.pull = pull);
    }
    let init = read_init(&topology)?;
    let session = Session::of_file(context, topology, loaded.warnings).await?;
    for (flag, is_set) in [("up --recreate", args.recreate), ("up --remove-orphans", args.remove_orphans)] {
        if is_set {
            session.must_run_nodes(flag, &format!("leave it out: {}", session.up()))?;
        }
    }
    let ui = &session.ui;
    if let Some(why) = &session.fallback {
        ui.say(why);
    }
    let options = Options {
        recreate: args.recreate,
        remove_orphans: args.remove_orphans,
        enforce_roles: args.enforce_roles,
        keep_modes: false,
    };
    let mut wish = Wish { init, ..session.wish(options) };

    let seen = cluster::observe(&wish.topology, &session.runtime, &session.nodes).await?;
    if args.remove_orphans {
        wish.leaving = cluster::leaving_orphans(&wish.topology, &seen, args.volumes);
    }
    let mut plan = cluster::reconcile(&wish, &seen);
    let declared = &wish.topology.main().name;
    let moves_main =
        args.enforce_roles && status::report(&session, &seen).main.is_some_and(|m| m != *declared);
    if args.dry_run.dry_run {
        if moves_main && plan.is_done() {
            plan.steps = promote::plan(&session, &seen, declared)?.steps;
        }
        return Ok(diff::dry_run(&session, &plan));
    }
    if plan.is_done() && !moves_main {
        let report = status::report(&session, &seen);
        let text = |_: &Ui| {
            let mut text: Vec<String> = plan.notes.iter().map(|n| format!("note: {n}")).collect();
            text.push(format!(
                "Cluster {} is up to date: nothing to do ({:.1}s)",
                session.cluster(),
                began.elapsed().as_secs_f64()
            ));
            text.join("\n")
        };
        let mut data = status::to_json(&session, &report);
        data["changed"] = json!(false);
        ui.result("Up", Some(session.cluster()), data, &session.warnings, text);
        return Ok(Exit::Ok);
    }
    if let (true, Some(refusal)) = (plan.steps.is_empty(), &plan.refusal) {
        return Err(refusal.clone());
    }

    ui.say(&format!(
        "Cluster {}  ({}, runtime {})",
        session.cluster(),
        count(wish.topology.instances.len(), "instance"),
        session.runtime.describe()
    ));
    // Exactly what is asked about here is deleted, whatever is there once the cluster is claimed.
    let lost: Vec<String> = wish
        .leaving
        .iter()
        .filter_map(|(name, volume)| volume.as_ref().map(|volume| format!("{name} ({volume})")))
        .collect();
    if !lost.is_empty() {
        let question =
            format!("This deletes the data of {} of cluster `{}`", lost.join(", "), session.cluster());
        if !ui.confirm_typed(&question, session.cluster())? {
            return Err(CliError::new(Exit::Declined, "nothing was changed").code("MG091"));
        }
    }
    let interrupt = on_ctrl_c(ui);
    let shown = Shown::new(&session);
    let keeps = args.keep_on_failure || wish.topology.on_failure == OnFailure::Keep;
    let (seen, _) = session
        .locked(wish.topology.wait.timeout, async {
            let done = cluster::converge(&session.execution(&wish, &shown, interrupt.clone())).await;
            let done = match done {
                Err(error) => {
                    return Err(take_back(&session, &wish, &seen.existing, &shown, keeps, error).await);
                }
                Ok(done) => done,
            };
            if moves_main {
                promote::switch(
                    &session,
                    &wish.topology.main().name,
                    wish.topology.wait.timeout,
                    interrupt.clone(),
                )
                .await?;
                return Ok((session.look().await?, true));
            }
            Ok(done)
        })
        .await?;
    end_screen(&session, &seen, began.elapsed()).await
}

/// Takes back what a first `up` made, unless it `keeps` that, and returns the error with what became of it.
async fn take_back(
    session: &Session,
    wish: &Wish,
    before: &Existing,
    shown: &Shown,
    keeps: bool,
    error: CliError,
) -> CliError {
    let failed = |error: CliError, more: CliError| {
        error
            .note(format!("what this `up` made could not be taken back: {}", more.problem().what))
            .help(session.command("down --volumes"))
    };
    let seen = match session.look().await {
        Ok(seen) => seen,
        Err(more) => return if before.machines.is_empty() && !keeps { failed(error, more) } else { error },
    };
    let Some(rollback) = cluster::rollback(before, &seen, &mains(&seen), &shown.answered()) else {
        return error;
    };
    if rollback.plan.steps.is_empty() {
        return error;
    }
    let is_wanted = match (keeps, error.exit()) {
        (true, _) => false,
        // Whoever interrupts may want to go on; nobody to ask means that.
        (false, Exit::Interrupted) => {
            let question = format!("Take back what was made of cluster `{}`?", session.cluster());
            !session.ui.is_assenting() && session.ui.confirm(&question).unwrap_or(false)
        }
        (false, _) => true,
    };
    if !is_wanted {
        let down = session.command("down --volumes");
        return error.note(format!("what was made stays; `{down}` takes it back"));
    }
    session.ui.say("taking back what this first `up` made (--keep-on-failure leaves it)");
    let mut undo = wish.clone();
    undo.topology.wait.timeout = undo.topology.wait.timeout.max(TAKE_BACK);
    // Ctrl-C a second time still ends at once.
    if let Err(more) =
        cluster::execute(&session.execution(&undo, shown, Interrupt::default()), &rollback.plan).await
    {
        return failed(error, more);
    }
    // With the machines their logs are gone.
    let error = error.without_help("mgctl logs ");
    match rollback.kept.is_empty() {
        true => error.note("what this first `up` made was taken back; --keep-on-failure leaves it"),
        false => error.note(format!(
            "what this first `up` made was taken back, but for volumes that clients may have written to: {}",
            rollback.kept.iter().cloned().collect::<Vec<_>>().join(", ")
        )),
    }
}

/// Reads the init files; each error names the file.
pub(super) fn read_init(topology: &Topology) -> Result<Vec<InitStatement>, CliError> {
    let mut all = Vec::new();
    for path in &topology.init.cypher {
        let text = std::fs::read_to_string(path).map_err(|error| {
            CliError::new(Exit::Usage, format!("cannot read `{}`: {error}", path.display()))
                .code("MG001")
                .at(topology.place.clone())
                .help("`init.cypher` names files relative to the topology")
        })?;
        let name = path.display().to_string().into();
        let found = statements::split(&text).map_err(|error| unsplit(&name, error))?;
        all.extend(
            found
                .into_iter()
                .map(|s| InitStatement { is_schema: statements::is_alone(&s.text), text: s.text }),
        );
    }
    Ok(all)
}

/// Shows that it is true: the table, one query answered alike by all, where to connect, what is next.
async fn end_screen(session: &Session, seen: &Observed, took: Duration) -> Result<Exit, CliError> {
    let report = status::report(session, seen);
    let mut warnings = session.warnings.clone();
    warnings.extend(cluster::orphans(&session.topology, seen).map(|orphan| {
        Problem::warning(format!("`{}` is in this cluster and not in the file", orphan.name))
            .help(format!("{} --remove-orphans removes it, and keeps its data", session.up()))
    }));
    let proof = match session.topology.wait.until >= Until::Redundant {
        true => Some(verify::proof(session, seen).await),
        false => None,
    };
    let ok = proof.as_ref().is_none_or(|p| p.is_ok());
    let mut data = status::to_json(session, &report);
    data["changed"] = json!(true);
    data["seconds"] = json!((took.as_secs_f64() * 1000.0).round() / 1000.0);
    if let Some(Ok(Some(proof))) = &proof {
        data["proof"] =
            json!({ "query": proof.query, "rows": proof.rows, "digest": proof.digest, "nodes": proof.nodes });
    }
    let text = |ui: &Ui| {
        let counts = summary(seen, &report);
        let word = if ok { "healthy" } else { "up" };
        let mut out =
            format!("Cluster {} is {word}: {counts}  ({:.1}s)\n\n", session.cluster(), took.as_secs_f64());
        out += &status::table(session, &report).render(ui);
        if let Some(Ok(Some(proof))) = &proof {
            out += &format!(
                "\n\n{}\n  {}, digest {}, the same on {}",
                proof.query,
                count(proof.rows, "row"),
                proof.digest,
                proof.nodes.join(", ")
            );
        }
        if let Some(Ok(None)) = &proof {
            out += &format!(
                "\n\nSomething writes, so the nodes' answers were not compared; {} does it when all is quiet",
                session.command("verify")
            );
        }
        out += "\n";
        for line in &report.lines {
            if let Some(bolt) = line.machine.as_ref().and_then(|m| m.bolt.as_ref()) {
                out += &format!("\n  {:<10} bolt://{bolt}", line.name);
            }
        }
        out += &next(session, &report);
        out
    };
    session.ui.partial_result("Up", Some(session.cluster()), ok, data, &warnings, text);
    match proof {
        Some(Err(error)) => Err(error),
        _ => Ok(Exit::Ok),
    }
}

fn summary(seen: &Observed, report: &status::Report) -> String {
    let facts = report.main.as_ref().and_then(|m| seen.nodes.get(m)).and_then(NodeView::facts);
    let rows = facts.map_or(&[][..], |f| &f.replicas);
    let mut parts = vec![format!("{} MAIN", usize::from(report.main.is_some()))];
    for mode in crate::topology::Mode::ALL {
        let of_mode = rows.iter().filter(|r| r.mode == Some(*mode)).count();
        if of_mode > 0 {
            parts.push(format!("{of_mode} {mode}"));
        }
    }
    parts.join(", ")
}

fn next(session: &Session, report: &status::Report) -> String {
    let mut commands = vec![
        (session.command("query 'MATCH (n) RETURN n LIMIT 5'"), "asks MAIN; --on all asks every node"),
        (session.command("status"), "roles, states and addresses"),
    ];
    let candidate = report.lines.iter().find(|l| report.main.as_ref() != Some(&l.name));
    match candidate {
        Some(line) => {
            commands.push((session.command(&format!("promote {}", line.name)), "planned switchover"))
        }
        None => commands.push((session.command("down"), "stops it and keeps the data")),
    }
    let width = commands.iter().map(|(c, _)| c.chars().count()).max().unwrap_or(0);
    let lines: Vec<String> = commands.iter().map(|(c, why)| format!("{c:<width$}   {why}")).collect();
    format!("\n\nNext:  {}", lines.join("\n       "))
}
