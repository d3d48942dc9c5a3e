//! A live view of a cluster, and what changes in it: `status --watch` and `events`.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::Context;
use super::live::{self, Samples, note};
use super::session::Session;
use super::status::{NodeLine, Report, render, report, to_json};
use crate::args::{Check, Events};
use crate::error::{CliError, Exit};
use crate::ui::Ui;

/// How many of the last changes the view shows.
const CHANGES_SHOWN: usize = 8;

/// How often `events` looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Returns what is otherwise in `after` than it was in `before`, in sentences.
pub(super) fn changes(before: &Report, after: &Report) -> Vec<String> {
    let mut found = Vec::new();
    if before.main != after.main {
        found.push(match (&before.main, &after.main) {
            (Some(was), Some(is)) => format!("MAIN moved from {was} to {is}"),
            (Some(was), None) => format!("{was} is MAIN no more, and nobody is"),
            (None, Some(is)) => format!("{is} is MAIN"),
            (None, None) => unreachable!("they differ"),
        });
    }
    let of = |report: &Report, name: &str| -> Option<(String, String)> {
        let line = report.lines.iter().find(|l| l.name == name)?;
        Some((machine_word(line), follow_word(report, line)))
    };
    let mut names: Vec<&String> = before.lines.iter().chain(&after.lines).map(|l| &l.name).collect();
    names.sort();
    names.dedup();
    for name in names {
        match (of(before, name), of(after, name)) {
            (Some(was), Some(is)) => {
                if was.0 != is.0 {
                    found.push(format!("{name} {} → {}", was.0, is.0));
                } else if was.1 != is.1 {
                    found.push(format!("{name} {} → {}", was.1, is.1));
                }
            }
            (None, Some(is)) => found.push(format!("{name} is new: {}", is.0)),
            (Some(_), None) => found.push(format!("{name} is gone")),
            (None, None) => {}
        }
    }
    if before.level != after.level {
        found.push(format!("the cluster is {}", level_word(after.level)));
    }
    found
}

fn machine_word(line: &NodeLine) -> String {
    match &line.machine {
        None => "does not exist".into(),
        Some(m) if m.is_running() && line.silent.is_some() => "silent".into(),
        Some(m) => m.state.to_string(),
    }
}

fn follow_word(report: &Report, line: &NodeLine) -> String {
    if report.main.as_ref() == Some(&line.name) {
        return "MAIN".into();
    }
    match &line.row {
        Some(row) => {
            let mode = row.mode.map_or("?", |m| m.as_str());
            format!("{mode} {}", row.status)
        }
        None => "follows nobody".into(),
    }
}

fn level_word(level: Option<Check>) -> &'static str {
    match level {
        Some(Check::Redundant) => "redundant",
        Some(Check::Healthy) => "healthy, and not every replica is 0 behind",
        Some(Check::Writable) => "writable, and not every node is well",
        None => "not writable",
    }
}

/// Returns the values as a line of small bars; the highest fills its cell.
pub(super) fn spark(values: &VecDeque<u64>) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let highest = values.iter().copied().max().unwrap_or(0).max(1);
    // Nothing behind is the lowest bar, anything behind is a higher one.
    let bar = |v: u64| if v == 0 { 0 } else { (1 + v.saturating_mul(6) / highest).min(7) };
    values.iter().map(|v| BARS[usize::try_from(bar(*v)).unwrap_or(7)]).collect()
}

/// Time of day, as `12:03:41` in UTC.
fn clock() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()) % 86_400;
    format!("{:02}:{:02}:{:02}", now / 3600, now / 60 % 60, now % 60)
}

/// `status --watch`: until Ctrl-C.
pub(super) async fn status(session: &Session, every: Duration) -> Result<Exit, CliError> {
    let ui = &session.ui;
    let mut view = View::default();
    live::show(ui, every, async || {
        match session.look_closely().await {
            Ok(seen) => view.take(report(session, &seen)),
            Err(error) if live::is_drawn(ui) => view.failed(&error),
            Err(error) => return Err(error),
        }
        if live::is_drawn(ui) {
            return Ok(Some(view.frame(session, ui)));
        }
        if let Some(last) = &view.last {
            let text = |ui: &Ui| render(session, last, ui);
            ui.item("ClusterStatus", session.cluster(), to_json(session, last), text);
        }
        Ok(None)
    })
    .await
}

/// What the live view remembers.
#[derive(Default)]
struct View {
    last: Option<Report>,
    behind: Samples,
    changes: VecDeque<String>,
    trouble: Option<String>,
}

impl View {
    fn take(&mut self, now: Report) {
        self.trouble = None;
        for line in &now.lines {
            if let Some(row) = &line.row {
                note(&mut self.behind, &line.name, Some(row.behind));
            }
        }
        if let Some(before) = &self.last {
            for change in changes(before, &now) {
                self.changes.push_back(format!("{}  {change}", clock()));
                if self.changes.len() > CHANGES_SHOWN {
                    self.changes.pop_front();
                }
            }
        }
        self.last = Some(now);
    }

    fn failed(&mut self, error: &CliError) {
        self.trouble = Some(error.problem().what.clone());
    }

    fn frame(&self, session: &Session, ui: &Ui) -> String {
        let mut out = match &self.last {
            Some(last) => render(session, last, ui),
            None => session.cluster().to_owned(),
        };
        if let Some(trouble) = &self.trouble {
            out += &format!("\n ! {trouble}");
        }
        let width = self.behind.keys().map(String::len).max().unwrap_or(0);
        for (name, samples) in &self.behind {
            let now = samples.back().copied().unwrap_or(0);
            out += &format!("\n {name:<width$}  {}  {now} behind", spark(samples));
        }
        out += "\n";
        for change in self.changes.iter().rev() {
            out += &format!("\n {change}");
        }
        out + &format!("\n\n {} UTC · Ctrl-C ends", clock())
    }
}

/// `mgctl events`: what changes from now on, until Ctrl-C or for a time.
pub(super) async fn events(context: &Context, args: &Events) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let mut last = report(&session, &session.look_at_existing().await?);
    let ui = &session.ui;
    let stopped = tokio::signal::ctrl_c();
    let mut stopped = std::pin::pin!(stopped);
    let until = args.time.map(|time| tokio::time::Instant::now() + time);
    let mut engine = session.runtime.changes(session.cluster());
    loop {
        tokio::select! {
            _ = &mut stopped => return Ok(Exit::Ok),
            _ = futures_util::StreamExt::next(&mut engine) => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        // What cannot be seen for a moment is seen at the next look.
        if let Ok(seen) = session.look().await {
            let now = report(&session, &seen);
            for change in changes(&last, &now) {
                let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
                let data = json!({ "time": at, "event": change });
                ui.item("Event", session.cluster(), data, |_| format!("{}  {change}", clock()));
            }
            ui.flush();
            last = now;
        }
        if ui.is_closed() || until.is_some_and(|at| tokio::time::Instant::now() >= at) {
            return Ok(Exit::Ok);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Machine, MachineState, ReplicaRow};
    use crate::topology::{Mode, Role};

    fn line(name: &str, role: Role, status: Option<&str>, state: MachineState) -> NodeLine {
        let row = |status: &str| ReplicaRow {
            name: name.into(),
            address: String::new(),
            mode: Some(Mode::Sync),
            status: status.into(),
            behind: 0,
            ts: 0,
        };
        let machine = Machine {
            id: String::new(),
            name: String::new(),
            state,
            spec: None,
            address: None,
            bolt: None,
            image_is_current: true,
            started: None,
            is_fenced: false,
            unhealthy: None,
            host: None,
        };
        NodeLine {
            name: name.into(),
            role: Some(role),
            row: status.map(row),
            machine: Some(machine),
            silent: None,
            stale: false,
            is_orphan: false,
        }
    }

    fn of(main: Option<&str>, level: Option<Check>, lines: Vec<NodeLine>) -> Report {
        Report {
            lines,
            main: main.map(str::to_owned),
            level,
            findings: Vec::new(),
            certificates: Default::default(),
        }
    }

    #[test]
    fn every_change_is_told_once_and_nothing_is_told_of_what_stays() {
        let running = || MachineState::Running;
        let before = || {
            of(
                Some("a"),
                Some(Check::Redundant),
                vec![
                    line("a", Role::Main, None, running()),
                    line("b", Role::Replica, Some("ready"), running()),
                ],
            )
        };
        assert_eq!(changes(&before(), &before()), Vec::<String>::new());
        let exited = MachineState::Exited { code: Some(137), out_of_memory: false };
        let after = of(
            Some("b"),
            Some(Check::Writable),
            vec![line("a", Role::Main, None, exited), line("b", Role::Main, None, running())],
        );
        assert_eq!(
            changes(&before(), &after),
            [
                "MAIN moved from a to b",
                "a running → exited (137)",
                "b SYNC ready → MAIN",
                "the cluster is writable, and not every node is well"
            ]
        );
        let gone = of(None, None, vec![line("b", Role::Replica, None, running())]);
        assert_eq!(
            changes(&after, &gone),
            [
                "b is MAIN no more, and nobody is",
                "a is gone",
                "b MAIN → follows nobody",
                "the cluster is not writable"
            ]
        );
    }

    #[test]
    fn lag_is_drawn_against_its_highest() {
        assert_eq!(spark(&VecDeque::from([0, 1, 50, 100, 0])), "▁▂▅█▁");
        assert_eq!(spark(&VecDeque::from([0, 0])), "▁▁");
    }
}
