//! `mgctl up`: brings the cluster to what the topology says.

use std::time::{Duration, Instant};

use serde_json::json;

use super::session::{Session, Shown, on_ctrl_c};
use super::{Context, diff, promote, status, verify};
use crate::args::Up;
use crate::cluster::{self, InitStatement, NodeView, Observed, Options, Runtime, Wish, split_statements};
use crate::error::{CliError, Exit};
use crate::topology::{Topology, Until};
use crate::ui::Ui;

pub(super) async fn run(context: &Context, args: &Up) -> Result<Exit, CliError> {
    let began = Instant::now();
    let loaded = context.selection.topology()?;
    let mut topology = loaded.topology;
    if let Some(timeout) = args.timeout.timeout {
        topology.wait.timeout = timeout;
    }
    let init = read_init(&topology)?;
    let session = Session::of_file(context, topology, loaded.warnings).await?;
    let ui = &session.ui;
    if let Some(why) = &session.fallback {
        ui.say(why);
    }
    let options = Options {
        recreate: args.recreate,
        remove_orphans: args.remove_orphans,
        enforce_roles: args.enforce_roles,
    };
    let wish = Wish { init, ..session.wish(options) };

    let seen = cluster::observe(&wish.topology, &session.runtime, &session.nodes).await?;
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

    let count = wish.topology.instances.len();
    ui.say(&format!(
        "Cluster {}  ({count} instances, runtime {})",
        session.cluster(),
        session.runtime.describe()
    ));
    let interrupt = on_ctrl_c(ui);
    let shown = Shown::new(&session);
    let (seen, _) = session
        .locked(wish.topology.wait.timeout, async {
            let done = cluster::converge(&session.execution(&wish, &shown, interrupt.clone())).await?;
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

/// Reads the init files; each error names the file.
pub(super) fn read_init(topology: &Topology) -> Result<Vec<InitStatement>, CliError> {
    let mut statements = Vec::new();
    for path in &topology.init.cypher {
        let text = std::fs::read_to_string(path).map_err(|error| {
            CliError::new(Exit::Usage, format!("cannot read `{}`: {error}", path.display()))
                .code("MG001")
                .at(topology.place.clone())
                .help("`init.cypher` names files relative to the topology")
        })?;
        statements.extend(split_statements(&text));
    }
    Ok(statements)
}

/// Shows that it is true: the table, one query answered alike by all, where to connect, what is next.
async fn end_screen(session: &Session, seen: &Observed, took: Duration) -> Result<Exit, CliError> {
    let report = status::report(session, seen);
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
                "\n\n{}\n  {} rows, digest {}, the same on {}",
                proof.query,
                proof.rows,
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
            if let Some(bolt) = line.machine.as_ref().and_then(|m| m.bolt) {
                out += &format!("\n  {:<10} bolt://{bolt}", line.name);
            }
        }
        out += &next(session, &report);
        out
    };
    session.ui.partial_result("Up", Some(session.cluster()), ok, data, &session.warnings, text);
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
        let count = rows.iter().filter(|r| r.mode == Some(*mode)).count();
        if count > 0 {
            parts.push(format!("{count} {mode}"));
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
