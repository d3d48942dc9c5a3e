//! `mgctl query`: Cypher from the command line, a file or standard input, to one node or to all.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Context;
use super::import::unsplit;
use super::session::{Session, mains};
use crate::args::Query;
use crate::cluster::{Observed, Target};
use crate::error::{CliError, Exit};
use crate::graph::statements;
use crate::query::{Map, PackValue, QueryError, QueryResult, from_json, to_json, to_text};
use crate::ui::{Cell, Table, Ui};
use crate::words::count;

/// How long a query may take where nothing is said.
pub(super) const TIME_MAX: Duration = Duration::from_secs(600);

pub(super) async fn run(context: &Context, args: &Query) -> Result<Exit, CliError> {
    let (name, text) = read(args)?;
    let statements = statements::split(&text).map_err(|error| unsplit(&name.into(), error))?;
    let statements: Vec<String> = statements.into_iter().map(|s| s.text).collect();
    if statements.is_empty() {
        return Err(CliError::new(Exit::Usage, "there is no query")
            .help(format!("{} query 'MATCH (n) RETURN count(n)'", context.program)));
    }
    let parameters = parameters(&args.params)?;
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let targets = targets(&session, &seen, &args.on)?;
    let time_max = args.timeout.timeout.unwrap_or(TIME_MAX);

    let ui = &session.ui;
    let mut answers = Vec::new();
    let mut digests = Vec::new();
    for target in &targets {
        let mut client = session
            .nodes
            .client(&target.bolt, Duration::from_secs(10).min(time_max))
            .await
            .map_err(|e| failed(&session, target, "", &e))?;
        client.set_timeout(time_max);
        let mut hasher = Sha256::new();
        for statement in &statements {
            ui.query_sent(&target.instance, statement);
            let began = Instant::now();
            let result = client.run(statement, parameters.clone()).await;
            let result = result.map_err(|e| failed(&session, target, statement, &e))?;
            hash(&mut hasher, &result);
            if ui.is_for_people() {
                show(ui, target, &result, began.elapsed(), targets.len() > 1);
            }
            answers.push(answer(target, statement, &result));
        }
        digests.push(hasher.finalize().iter().take(6).map(|b| format!("{b:02x}")).collect::<String>());
        client.close().await;
    }
    let same = digests.windows(2).all(|pair| pair[0] == pair[1]);
    if !ui.is_for_people() {
        let data = json!({ "answers": answers, "same": same });
        ui.result("QueryResult", Some(session.cluster()), data, &[], |_| String::new());
    } else if targets.len() > 1 {
        let nodes: Vec<String> =
            targets.iter().zip(&digests).map(|(t, d)| format!("{} {d}", t.instance)).collect();
        let word = if same { "the same answer from all" } else { "the answers differ" };
        ui.print(&format!("{word}: {}", nodes.join(", ")));
    }
    Ok(if same { Exit::Ok } else { Exit::Degraded })
}

/// Returns the text, and where it is from.
fn read(args: &Query) -> Result<(String, String), CliError> {
    let unreadable = |name: &str, error: std::io::Error| {
        CliError::new(Exit::Usage, format!("cannot read the query from {name}: {error}")).code("MG001")
    };
    match (&args.cypher, &args.input) {
        (Some(text), _) if text != "-" => Ok(("the command line".to_owned(), text.clone())),
        (_, Some(path)) if path.as_os_str() != "-" => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|e| unreadable(&format!("`{name}`"), e))?;
            Ok((name, text))
        }
        _ => {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text).map_err(|e| unreadable("standard input", e))?;
            Ok(("standard input".to_owned(), text))
        }
    }
}

fn parameters(given: &[String]) -> Result<Map, CliError> {
    let mut map = Map::new();
    for text in given {
        let (name, value) = text.split_once('=').filter(|(n, _)| !n.is_empty()).ok_or_else(|| {
            CliError::new(Exit::Usage, format!("`{text}` is no parameter"))
                .help("write NAME=VALUE, as -p age=42")
        })?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        map = map.with(name.to_owned(), from_json(value));
    }
    Ok(map)
}

/// Returns the nodes that `--on` means.
pub(super) fn targets(session: &Session, seen: &Observed, on: &str) -> Result<Vec<Target>, CliError> {
    let running = || -> Vec<&String> {
        // In the order of the file, then what is not in it.
        let mut names: Vec<&String> = session.topology.instances.iter().map(|i| &i.name).collect();
        names.retain(|n| seen.existing.machines.contains_key(*n));
        names.extend(seen.existing.machines.keys().filter(|n| session.topology.instance(n).is_none()));
        names
    };
    match on {
        // A node may have one of these names; then it is meant.
        name if seen.existing.machines.contains_key(name) && name != "main" => {
            Ok(vec![session.target(seen, name)?])
        }
        "main" => Ok(vec![session.main(seen)?]),
        "all" => running().into_iter().map(|n| session.target(seen, n)).collect(),
        "replica" | "replicas" => {
            let mains = mains(seen);
            let mut found: Vec<Target> = running()
                .into_iter()
                .filter(|n| !mains.contains(n) && seen.nodes.get(*n).is_some_and(|v| v.facts().is_some()))
                .map(|n| session.target(seen, n))
                .collect::<Result<_, _>>()?;
            found.truncate(1);
            match found.is_empty() {
                true => Err(CliError::new(Exit::Degraded, "no replica answers")
                    .code("MG068")
                    .thing(format!("cluster `{}`", session.cluster()))
                    .help(format!("see {}", session.command("status")))),
                false => Ok(found),
            }
        }
        name => Ok(vec![session.target(seen, name)?]),
    }
}

pub(super) fn failed(session: &Session, target: &Target, statement: &str, error: &QueryError) -> CliError {
    let text = error.server_message().map_or_else(|| error.to_string(), str::to_owned);
    let first = text.lines().next().unwrap_or("").to_owned();
    let mut problem = CliError::new(Exit::Other, first).code("MG067");
    problem = match error {
        QueryError::Server { code, .. } => problem.thing(format!("`{}`, {code}", target.instance)),
        _ => problem.thing(format!("`{}`, Bolt {}", target.instance, target.bolt)),
    };
    for line in text.lines().skip(1) {
        problem = problem.note(line);
    }
    if !statement.is_empty() {
        problem = problem.note(format!("in: {}", statement.lines().next().unwrap_or("")));
    }
    if text.contains("forbidden on the replica") {
        return problem.help(format!("writes go to MAIN: {}", session.command("query --on main ...")));
    }
    if error.is_transient() {
        return problem.help("nothing was changed; the same query can succeed when it is run again");
    }
    if error.is_outcome_unknown() {
        return problem.help(format!(
            "whether it took effect is not known: look before running it again; see {}",
            session.command("status")
        ));
    }
    problem
}

pub(super) fn show(ui: &Ui, target: &Target, result: &QueryResult, took: Duration, named: bool) {
    if named {
        ui.print(&format!("{}:", target.instance));
    }
    if !result.fields.is_empty() {
        let mut table = Table::new(result.fields.clone()).framed();
        for row in &result.rows {
            table.row(row.iter().map(|v| Cell::from(to_text(v))));
        }
        ui.print(&table.render(ui));
    }
    if ui.is_terminal() {
        // What is said about the rows stands below them.
        ui.flush();
    }
    for note in &result.summary.notifications {
        let severity = note.severity.to_lowercase();
        let text = [note.title.as_str(), note.description.as_str()]
            .iter()
            .filter(|t| !t.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(" ");
        ui.say(&format!("{severity} {}: {text}", note.code));
    }
    let stats: Vec<String> =
        result.summary.stats.iter().map(|(name, n)| format!(", {}", counted(name, *n))).collect();
    let rows = count(result.rows.len(), "row");
    ui.say(&format!("{rows}{} ({} on {})", stats.concat(), milliseconds(took), target.instance));
}

/// Returns a counter in words: `nodes-created` as `2 nodes created`, or `1 node created`.
fn counted(name: &str, n: i64) -> String {
    let words = name.replace('-', " ");
    match words.split_once(' ') {
        Some(("properties", rest)) if n == 1 => format!("1 property {rest}"),
        Some((things, rest)) if n == 1 => format!("1 {} {rest}", things.trim_end_matches('s')),
        _ => format!("{n} {words}"),
    }
}

fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

fn answer(target: &Target, statement: &str, result: &QueryResult) -> Value {
    let rows: Vec<Value> = result.rows.iter().map(|row| row.iter().map(to_json).collect()).collect();
    let notes: Vec<Value> = result
        .summary
        .notifications
        .iter()
        .map(|n| json!({"severity": n.severity, "code": n.code, "title": n.title, "description": n.description}))
        .collect();
    let stats: serde_json::Map<String, Value> =
        result.summary.stats.iter().map(|(k, n)| (k.clone(), json!(n))).collect();
    json!({
        "node": target.instance, "query": statement, "fields": result.fields, "rows": rows, "stats": stats,
        "notifications": notes, "bookmark": result.summary.bookmark,
    })
}

/// Adds a result to a digest: names, values, and where each ends.
pub(super) fn hash(hasher: &mut Sha256, result: &QueryResult) {
    for field in &result.fields {
        hasher.update(field.as_bytes());
        hasher.update([0]);
    }
    for row in &result.rows {
        hash_row(hasher, row);
    }
}

fn hash_row(hasher: &mut Sha256, row: &[PackValue]) {
    for value in row {
        let text = to_json(value).to_string();
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_kind_is_counted_as_one() {
        assert_eq!(counted("nodes-created", 1), "1 node created");
        assert_eq!(counted("properties-set", 1), "1 property set");
        assert_eq!(counted("relationships-deleted", 2), "2 relationships deleted");
    }
}
