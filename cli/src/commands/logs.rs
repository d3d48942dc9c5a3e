//! `mgctl logs`: what the nodes say, merged by time, each line with the name of its node. With `--follow` lines come as they
//! are written.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::stream::LocalBoxStream;
use futures_util::{Stream, StreamExt, stream};
use serde_json::json;

use super::Context;
use super::log_line::Mark;
use super::session::{Session, mains};
use crate::args::{LogLevel, Logs};
use crate::authority::seconds_now;
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
        let mut mark = Mark::default();
        lines.push(
            of_node
                .map(move |line| {
                    let text = printable(&line?);
                    mark.advance(&text);
                    Ok(Line { node: name, prefix: prefix.clone(), mark: mark.clone(), text })
                })
                .boxed_local(),
        );
    }
    let wanted = Wanted::new(args);
    let show = |line: &Line| {
        let data = json!({ "node": line.node, "line": line.text });
        let text = |_: &Ui| format!("{} {}", line.prefix, line.text);
        session.ui.item("LogLine", session.cluster(), data, text);
    };
    // Those that are there, in the order of their times; of those that come each is shown at once.
    let mut read: Vec<Line> = Vec::new();
    let stopped = tokio::signal::ctrl_c();
    let mut stopped = std::pin::pin!(stopped);
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            _ = &mut stopped => None,
        };
        match line {
            Some(Ok(line)) if !wanted.has(&line) => {}
            Some(Ok(line)) if args.follow => {
                show(&line);
                session.ui.flush();
            }
            Some(Ok(line)) => read.push(line),
            end => {
                read.sort_by(|a, b| a.mark.time.cmp(&b.mark.time));
                read.iter().for_each(show);
                return end.transpose().map(|_: Option<Line>| Exit::Ok);
            }
        }
        if session.ui.is_closed() {
            return Ok(Exit::Ok);
        }
    }
}

/// A line of a node's log.
struct Line<'a> {
    node: &'a str,
    prefix: String,
    mark: Mark,
    text: String,
}

/// Which lines are wanted.
struct Wanted {
    since: Option<u64>,
    grep: Option<String>,
    level: Option<LogLevel>,
}

impl Wanted {
    fn new(args: &Logs) -> Wanted {
        Wanted {
            since: args.since.map(|time| seconds_now().saturating_sub(time.as_secs())),
            grep: args.grep.as_ref().map(|text| text.to_lowercase()),
            level: args.level,
        }
    }

    fn has(&self, line: &Line<'_>) -> bool {
        // What does not say when it was written, or how grave it is, is not held back for that.
        self.since.is_none_or(|since| line.mark.second().is_none_or(|at| at >= since))
            && self.level.is_none_or(|level| line.mark.level.is_none_or(|own| own >= level))
            && self.grep.as_ref().is_none_or(|text| line.text.to_lowercase().contains(text))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_is_shown() {
        let line = |text: &str| {
            let mut mark = Mark::default();
            mark.advance(text);
            Line { node: "m1", prefix: String::new(), mark, text: text.to_owned() }
        };
        let old = line("2020-01-01T00:00:00Z  INFO Recovered 5 records");
        let grave = line("2099-01-01T00:00:00Z ERROR the disk is full");
        let silent = line("a line that says nothing of itself");
        let has = |args: Logs| [&old, &grave, &silent].map(|line| Wanted::new(&args).has(line));
        assert_eq!(has(Logs::default()), [true; 3]);
        assert_eq!(has(Logs { level: Some(LogLevel::Warn), ..Logs::default() }), [false, true, true]);
        let since = Some(Duration::from_secs(60));
        assert_eq!(has(Logs { since, ..Logs::default() }), [false, true, true]);
        assert_eq!(has(Logs { grep: Some("RECOVERED".into()), ..Logs::default() }), [true, false, false]);
    }
}
