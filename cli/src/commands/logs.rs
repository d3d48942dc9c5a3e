//! `mgctl logs`: what the nodes say, merged, each line with the name of its node.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::stream::LocalBoxStream;
use futures_util::{Stream, StreamExt, stream};
use serde_json::json;

use super::Context;
use super::session::{Session, mains};
use crate::args::Logs;
use crate::cluster::Observed;
use crate::error::{CliError, Exit, printable};
use crate::runtime::Any;
use crate::runtime::process::tail;
use crate::ui::Ui;

/// Lines per node where nothing is said, when following.
const TAIL_FOLLOWING: u64 = 20;

pub(super) async fn run(context: &Context, args: &Logs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    session.must_run_nodes(
        "logs",
        &format!("read them where the nodes run; how they are: {}", session.command("status")),
    )?;
    let seen = session.look_at_existing().await?;
    let names: Vec<String> = match args.names.is_empty() {
        true => seen.existing.machines.keys().cloned().collect(),
        false => args.names.clone(),
    };
    if let Some(unknown) = names.iter().find(|n| !seen.existing.machines.contains_key(*n)) {
        let known: Vec<&str> = seen.existing.machines.keys().map(String::as_str).collect();
        return Err(CliError::new(
            Exit::NotFound,
            format!("cluster `{}` has no node `{unknown}`", session.cluster()),
        )
        .code("MG065")
        .note(format!("it has: {}", known.join(", "))));
    }
    let tail = args.tail.or(args.follow.then_some(TAIL_FOLLOWING));
    let width = names.iter().map(String::len).max().unwrap_or(0);
    let mut lines = stream::SelectAll::new();
    for name in &names {
        let prefix = prefix(&session.ui, &seen, name, width);
        let of_node = of_node(&session, name, args.follow, tail)?;
        lines.push(
            of_node
                .map(move |line| line.map(|line| (name.as_str(), prefix.clone(), printable(&line))))
                .boxed_local(),
        );
    }
    let stopped = tokio::signal::ctrl_c();
    let mut stopped = std::pin::pin!(stopped);
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            _ = &mut stopped => None,
        };
        match line {
            Some(line) => {
                let (node, prefix, line) = line?;
                let data = json!({ "node": node, "line": line });
                session.ui.item("LogLine", session.cluster(), data, |_| format!("{prefix} {line}"));
            }
            None => return Ok(Exit::Ok),
        }
        if args.follow {
            session.ui.flush();
        }
        if session.ui.is_closed() {
            return Ok(Exit::Ok);
        }
    }
}

fn prefix(ui: &Ui, seen: &Observed, name: &str, width: usize) -> String {
    let is_main = mains(seen).iter().any(|m| m == name);
    let text = format!("{name:<width$} |");
    match (ui.is_coloured(), is_main) {
        (true, true) => format!("\x1b[1;32m{text}\x1b[0m"),
        (true, false) => format!("\x1b[36m{text}\x1b[0m"),
        (false, _) => text,
    }
}

fn of_node<'a>(
    session: &'a Session,
    name: &str,
    follow: bool,
    lines: Option<u64>,
) -> Result<LocalBoxStream<'a, Result<String, CliError>>, CliError> {
    match &session.runtime {
        Any::Docker(docker) => Ok(docker.log_lines(session.cluster(), name, follow, lines).boxed_local()),
        Any::Swarm(swarm) => Ok(swarm.log_lines(session.cluster(), name, follow, lines).boxed_local()),
        Any::External(_) => Ok(stream::empty().boxed_local()),
        Any::Process(processes) => {
            let path = processes.log_path(session.cluster(), name);
            let count = lines.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
            let end = std::fs::metadata(&path).map_or(0, |m| m.len());
            let first = tail(&path, count).unwrap_or_default();
            let first = stream::iter(first.into_iter().map(Ok));
            Ok(match follow {
                true => first.chain(growing(path, end)).boxed_local(),
                false => first.boxed_local(),
            })
        }
    }
}

/// The lines that are added to a file after `from`. A file that was put aside begins anew.
fn growing(path: PathBuf, from: u64) -> impl Stream<Item = Result<String, CliError>> {
    stream::unfold(
        (path, from, String::new(), Vec::<String>::new()),
        |(path, mut at, mut rest, mut ready)| async move {
            loop {
                if !ready.is_empty() {
                    let line = ready.remove(0);
                    return Some((Ok(line), (path, at, rest, ready)));
                }
                let mut bytes = Vec::new();
                let read = std::fs::File::open(&path).and_then(|mut file| {
                    if file.metadata()?.len() < at {
                        at = 0;
                    }
                    file.seek(SeekFrom::Start(at))?;
                    file.read_to_end(&mut bytes)
                });
                if let Ok(count) = read {
                    at += count as u64;
                }
                rest += &String::from_utf8_lossy(&bytes);
                while let Some((line, more)) = rest.split_once('\n') {
                    ready.push(line.to_owned());
                    rest = more.to_owned();
                }
                if ready.is_empty() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        },
    )
}
