//! `mgctl topology`: who follows whom, as a tree.

use serde_json::json;

use super::Context;
use super::session::Session;
use super::status::{self, NodeLine, Report};
use crate::args::Tree;
use crate::error::{CliError, Exit};
use crate::ui::Ui;

pub(super) async fn run(context: &Context, _: &Tree) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let report = status::report(&session, &seen);
    let (followers, alone) = split(&report);
    let names = |lines: &[&NodeLine]| lines.iter().map(|l| l.name.clone()).collect::<Vec<_>>();
    let mut data = status::to_json(&session, &report);
    data["followers"] = json!(names(&followers));
    data["alone"] = json!(names(&alone));
    let text = |_: &Ui| draw(session.cluster(), &report);
    session.ui.result("Tree", Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}

/// Who follows MAIN, and who does not.
fn split(report: &Report) -> (Vec<&NodeLine>, Vec<&NodeLine>) {
    let others = report.lines.iter().filter(|l| report.main.as_ref() != Some(&l.name));
    others.partition(|l| report.main.is_some() && l.row.is_some())
}

fn draw(cluster: &str, report: &Report) -> String {
    let bolt = |l: &NodeLine| {
        let running = l.machine.as_ref().filter(|m| m.is_running());
        running.and_then(|m| m.bolt.as_ref()).map_or(String::new(), |b| format!("  {b}"))
    };
    let state = |l: &NodeLine| match (&l.row, l.role, &l.machine) {
        (_, _, None) => "does not exist".to_owned(),
        (_, _, Some(m)) if !m.is_running() => m.state.to_string(),
        (_, None, _) => "does not answer".to_owned(),
        (Some(row), _, _) => {
            let mode = row.mode.map_or("?", |m| m.as_str());
            let behind = if row.behind > 0 { format!(", {} behind", row.behind) } else { String::new() };
            format!("{mode} {}{behind}", row.status)
        }
        (None, Some(role), _) => format!("{role}, follows nobody"),
    };
    let mut out = vec![cluster.to_owned()];
    let (followers, alone) = split(report);
    let main = report.lines.iter().find(|l| report.main.as_ref() == Some(&l.name));
    let mut top: Vec<(String, Vec<String>)> = Vec::new();
    if let Some(main) = main {
        let below = followers.iter().map(|l| format!("{}  {}{}", l.name, state(l), bolt(l))).collect();
        top.push((format!("{}  MAIN{}", main.name, bolt(main)), below));
    }
    top.extend(alone.iter().map(|l| (format!("{}  {}{}", l.name, state(l), bolt(l)), Vec::new())));
    for (index, (line, below)) in top.iter().enumerate() {
        let is_last = index + 1 == top.len();
        out.push(format!("{} {line}", if is_last { "└─" } else { "├─" }));
        for (index, line) in below.iter().enumerate() {
            let stem = if is_last { "  " } else { "│ " };
            let branch = if index + 1 == below.len() { "└─" } else { "├─" };
            out.push(format!("{stem} {branch} {line}"));
        }
    }
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Machine, MachineState, ReplicaRow};
    use crate::topology::{Mode, Role};

    fn line(name: &str, role: Option<Role>, row: Option<(&str, u64)>, runs: bool) -> NodeLine {
        let state = match runs {
            true => MachineState::Running,
            false => MachineState::Exited { code: Some(137), out_of_memory: false },
        };
        NodeLine {
            name: name.into(),
            role,
            row: row.map(|(status, behind)| ReplicaRow {
                name: name.into(),
                address: String::new(),
                mode: Some(Mode::Sync),
                status: status.into(),
                behind,
                ts: 0,
            }),
            machine: Some(Machine {
                id: String::new(),
                name: String::new(),
                state,
                spec: None,
                address: None,
                bolt: Some(std::net::SocketAddr::from(([127, 0, 0, 1], 7687)).into()),
                image_is_current: true,
                started: None,
                is_fenced: false,
                unhealthy: None,
                host: None,
            }),
            silent: None,
            stale: false,
            is_orphan: false,
        }
    }

    #[test]
    fn those_that_follow_hang_below_main_and_the_others_beside_it() {
        let report = Report {
            lines: vec![
                line("a", Some(Role::Replica), Some(("ready", 0)), true),
                line("b", Some(Role::Main), None, true),
                line("c", None, Some(("invalid", 3)), false),
                line("d", Some(Role::Replica), None, true),
            ],
            main: Some("b".into()),
            level: None,
            findings: Vec::new(),
            certificates: Default::default(),
        };
        assert_eq!(
            draw("demo", &report),
            "demo\n├─ b  MAIN  127.0.0.1:7687\n│  ├─ a  SYNC ready  127.0.0.1:7687\n│  └─ c  exited (137)\n\
             └─ d  REPLICA, follows nobody  127.0.0.1:7687"
        );
    }
}
