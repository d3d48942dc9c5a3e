//! `mgctl lag`: how far each replica is behind MAIN.

use std::time::Duration;

use serde_json::{Value, json};

use super::Context;
use super::live::{self, Samples, note};
use super::session::Session;
use super::status::{self, NodeLine};
use super::watch::spark;
use crate::args::{Lag, LagMax};
use crate::cluster::{NodeError, Nodes, Rows, Target};
use crate::error::{CliError, Exit};
use crate::topology::{Topology, show_size};
use crate::ui::{Cell, Table, Tone, Ui};

const QUERY: &str = "SHOW REPLICATION LAG;";

/// How far a replica is behind.
#[derive(Clone, Debug, PartialEq)]
struct Behind {
    name: String,
    node: Option<String>,
    mode: Option<&'static str>,
    /// Whether MAIN has it registered: who is not gets nothing of what MAIN writes.
    is_registered: bool,
    /// As MAIN calls it, where that says something.
    state: Option<String>,
    records: Option<u64>,
    bytes: Option<u64>,
    seconds: Option<f64>,
}

impl Behind {
    /// Whether it is no further behind than `max`. One that does not follow, or whose lag is not known, is not.
    fn is_within(&self, max: LagMax) -> bool {
        let follows = matches!(self.state.as_deref(), Some("ready" | "replicating" | "recovery"));
        // Who lacks no record lacks no byte, and is not late.
        let lacks_nothing = self.records == Some(0);
        let is_within = match max {
            LagMax::Records(most) => self.records.is_some_and(|n| n <= most),
            LagMax::Bytes(most) => self.bytes.is_some_and(|n| n <= most),
            LagMax::Time(most) => self.seconds.is_some_and(|s| s <= most.as_secs_f64()),
        };
        follows && (lacks_nothing || is_within)
    }
}

/// What one look found.
struct Look {
    main: String,
    replicas: Vec<Behind>,
}

pub(super) async fn run(context: &Context, args: &Lag) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    if let Some(every) = args.watch {
        return watch(&session, every).await;
    }
    let look = look(&session).await?;
    let ok = args.max.is_none_or(|max| look.replicas.iter().all(|r| r.is_within(max)));
    let data = to_json(&look, args.max);
    let text = |ui: &Ui| render(&look, args.max, ui);
    session.ui.partial_result("Lag", Some(session.cluster()), ok, data, &[], text);
    Ok(if ok { Exit::Ok } else { Exit::Degraded })
}

/// Looks again and again, until Ctrl-C.
async fn watch(session: &Session, every: Duration) -> Result<Exit, CliError> {
    let ui = &session.ui;
    let mut samples = Samples::default();
    live::show(ui, every, async || match look(session).await {
        Ok(look) => {
            look.replicas.iter().for_each(|replica| note(&mut samples, &replica.name, replica.records));
            if live::is_drawn(ui) {
                return Ok(Some(frame(&look, &samples, ui)));
            }
            ui.item("Lag", session.cluster(), to_json(&look, None), |ui: &Ui| render(&look, None, ui));
            Ok(None)
        }
        // While MAIN moves there is none for a moment.
        Err(error) if live::is_drawn(ui) => Ok(Some(error.render(false))),
        Err(error) => Err(error),
    })
    .await
}

fn frame(look: &Look, samples: &Samples, ui: &Ui) -> String {
    let width = samples.keys().map(String::len).max().unwrap_or(0);
    let lines: String =
        samples.iter().map(|(name, of_it)| format!("\n {name:<width$}  {}", spark(of_it))).collect();
    format!("{}\n{lines}\n\n Ctrl-C ends", render(look, None, ui))
}

async fn look(session: &Session) -> Result<Look, CliError> {
    let seen = session.look_at_existing().await?;
    let main = session.main(&seen)?;
    let report = status::report(session, &seen);
    let rows = match session.nodes.ask(&main, QUERY).await {
        Ok(rows) => Some(rows),
        // Memgraph's image tells what MAIN's list says, and no more.
        Err(NodeError::Refused { .. }) => None,
        Err(error) => return Err(failed(session, &main, &error)),
    };
    let listed: Vec<&NodeLine> =
        report.lines.iter().filter(|l| l.name != main.instance && l.row.is_some()).collect();
    let facts = seen.nodes.get(&main.instance).and_then(crate::cluster::NodeView::facts);
    let replicas = facts.map_or(&[][..], |f| &f.replicas).iter().map(|row| {
        let line = listed.iter().find(|l| l.row.as_ref().is_some_and(|own| own.name == row.name));
        // Of a node outside of the topology MAIN alone knows.
        let is_known = line.is_none_or(|l| l.view().is_some());
        let mut behind = Behind {
            name: row.name.clone(),
            node: line.map(|l| l.name.clone()),
            mode: row.mode.map(|m| m.as_str()),
            is_registered: true,
            state: Some(row.status.clone()).filter(|_| is_known),
            records: Some(row.behind),
            bytes: None,
            seconds: None,
        };
        if let Some(rows) = &rows {
            behind.measure(rows);
        }
        behind
    });
    let mut replicas: Vec<Behind> = replicas.collect();
    let listed: Vec<&str> = listed.iter().map(|l| l.name.as_str()).collect();
    replicas.extend(unregistered(&session.topology, &main.instance, &listed));
    Ok(Look { main: main.instance.clone(), replicas })
}

/// The nodes of the topology that would be replicas of `main` and are not in its list, which has the nodes `listed`.
fn unregistered<'a>(
    topology: &'a Topology,
    main: &'a str,
    listed: &'a [&str],
) -> impl Iterator<Item = Behind> + 'a {
    let missing = topology.instances.iter().filter(move |i| i.name != main);
    missing.filter(|i| !listed.contains(&i.name.as_str())).map(|i| Behind {
        name: i.register_as.clone(),
        node: Some(i.name.clone()),
        mode: None,
        is_registered: false,
        state: None,
        records: None,
        bytes: None,
        seconds: None,
    })
}

impl Behind {
    /// Takes over what MAIN measured, where it did.
    fn measure(&mut self, rows: &Rows) {
        let column = |name: &str| rows.fields.iter().position(|f| f == name);
        let is_own = |row: &&Vec<Value>| {
            column("name").and_then(|i| row.get(i)).and_then(Value::as_str) == Some(self.name.as_str())
        };
        let Some(row) = rows.rows.iter().find(is_own) else { return };
        let cell = |name: &str| column(name).and_then(|i| row.get(i));
        self.records = cell("commits_behind").and_then(Value::as_u64);
        self.bytes = cell("bytes_behind").and_then(Value::as_u64);
        self.seconds = cell("seconds_behind").and_then(Value::as_f64);
    }
}

fn to_json(look: &Look, max: Option<LagMax>) -> Value {
    let replicas: Vec<Value> = look
        .replicas
        .iter()
        .map(|r| {
            json!({
                "name": r.name, "node": r.node, "mode": r.mode, "state": r.state, "records": r.records,
                "bytes": r.bytes, "seconds": r.seconds, "within": max.map(|max| r.is_within(max)),
            })
        })
        .collect();
    json!({ "main": look.main, "replicas": replicas })
}

fn render(look: &Look, max: Option<LagMax>, ui: &Ui) -> String {
    if look.replicas.is_empty() {
        return format!("MAIN `{}` has no replicas", look.main);
    }
    let mut table =
        Table::new(["NAME", "NODE", "MODE", "STATE", "RECORDS", "BYTES", "SECONDS"]).spare(["NODE"]);
    for r in &look.replicas {
        let tone = match max {
            Some(max) if !r.is_within(max) => Tone::Bad,
            _ if r.records == Some(0) => Tone::Good,
            _ => Tone::Doubtful,
        };
        let or_dash = |text: Option<String>, tone| match text {
            Some(text) => Cell::new(text, tone),
            None => Cell::new("–", Tone::Dim),
        };
        table.row([
            Cell::from(r.name.clone()),
            or_dash(r.node.clone(), Tone::Plain),
            Cell::from(r.mode.unwrap_or(if r.is_registered { "?" } else { "–" })),
            or_dash(
                r.state.clone(),
                if r.state.as_deref() == Some("ready") { Tone::Good } else { Tone::Bad },
            ),
            or_dash(r.records.map(|n| n.to_string()), tone),
            or_dash(r.bytes.map(show_size), tone),
            or_dash(r.seconds.map(|s| format!("{s:.1}")), tone),
        ]);
    }
    let beyond: Vec<&str> = max.map_or(Vec::new(), |max| {
        look.replicas.iter().filter(|r| !r.is_within(max)).map(|r| r.name.as_str()).collect()
    });
    let missing: Vec<&str> =
        look.replicas.iter().filter(|r| !r.is_registered).map(|r| r.name.as_str()).collect();
    let mut text = table.render(ui);
    for (what, names) in
        [("not registered at MAIN", missing), ("beyond --max, or not known to be within", beyond)]
    {
        if !names.is_empty() {
            text += &format!("\n ! {what}: {}", names.join(", "));
        }
    }
    text
}

fn failed(session: &Session, main: &Target, error: &NodeError) -> CliError {
    CliError::new(Exit::Degraded, format!("`{}` did not answer `{QUERY}`: {error}", main.instance))
        .code("MG067")
        .thing(format!("Bolt {}", main.bolt))
        .help(format!("see {}", session.command("status")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Output, Progress};

    fn behind(state: Option<&str>, records: Option<u64>, bytes: Option<u64>, seconds: Option<f64>) -> Behind {
        let (name, node) = ("r1".to_owned(), Some("r1".to_owned()));
        let state = state.map(str::to_owned);
        Behind { name, node, mode: Some("SYNC"), is_registered: true, state, records, bytes, seconds }
    }

    #[test]
    fn what_main_measured_is_read_by_the_names_of_its_columns() {
        let rows = Rows {
            fields: ["seconds_behind", "name", "bytes_behind", "commits_behind"].map(str::to_owned).to_vec(),
            rows: vec![
                vec![json!(0.0), json!("r2"), json!(0), json!(0)],
                vec![json!(1.5), json!("r1"), json!(300), json!(7)],
            ],
        };
        let mut own = behind(Some("ready"), Some(0), None, None);
        own.measure(&rows);
        assert_eq!((own.records, own.bytes, own.seconds), (Some(7), Some(300), Some(1.5)));
    }

    #[test]
    fn a_limit_is_kept_only_by_who_is_known_to_keep_it() {
        let own = behind(Some("replicating"), Some(7), Some(2048), Some(1.5));
        for (max, within) in [
            (LagMax::Records(7), true),
            (LagMax::Records(6), false),
            (LagMax::Bytes(2048), true),
            (LagMax::Bytes(2047), false),
            (LagMax::Time(Duration::from_millis(1500)), true),
            (LagMax::Time(Duration::from_millis(1499)), false),
        ] {
            assert_eq!(own.is_within(max), within, "{max:?}");
        }
        let unknown = behind(Some("ready"), Some(7), None, None);
        assert!(!unknown.is_within(LagMax::Bytes(1 << 40)) && unknown.is_within(LagMax::Records(7)));
        let level = behind(Some("ready"), Some(0), None, None);
        assert!(level.is_within(LagMax::Bytes(0)) && level.is_within(LagMax::Time(Duration::ZERO)));
        for state in [None, Some("invalid"), Some("diverged")] {
            assert!(!behind(state, Some(0), Some(0), Some(0.0)).is_within(LagMax::Records(9)), "{state:?}");
        }
    }

    #[test]
    fn a_node_that_main_does_not_list_is_told_and_within_no_limit() {
        let text = "name: c\ninstances:\n  m: { role: main }\n  r1: { role: replica, mode: ASYNC }\n  r2: { role: replica, mode: ASYNC }\n".to_owned();
        let source = crate::topology::Source { name: "c.yaml".into(), directory: ".".into(), text };
        let topology = crate::topology::load(&source, &|_| None).unwrap().topology;
        let found: Vec<Behind> = unregistered(&topology, "m", &["r1"]).collect();
        assert_eq!(found.iter().map(|b| b.node.as_deref()).collect::<Vec<_>>(), [Some("r2")]);
        assert!(!found[0].is_within(LagMax::Records(u64::MAX)) && found[0].state.is_none());

        let (ui, _, _) = Ui::captured(Output::Table, Progress::Plain, "");
        let look = Look { main: "m".into(), replicas: found };
        assert_eq!(to_json(&look, Some(LagMax::Records(9)))["replicas"][0]["within"], json!(false));
        assert!(render(&look, None, &ui).ends_with("\n ! not registered at MAIN: r2"));
    }

    #[test]
    fn a_table_has_a_line_for_each_replica_and_says_who_is_beyond() {
        let (ui, _, _) = Ui::captured(Output::Table, Progress::Plain, "");
        let replicas =
            vec![behind(Some("ready"), Some(0), Some(0), Some(0.0)), behind(None, Some(9), None, None)];
        let text = render(&Look { main: "m".into(), replicas }, Some(LagMax::Records(3)), &ui);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                " NAME  NODE  MODE  STATE  RECORDS  BYTES  SECONDS",
                " r1    r1    SYNC  ready  0        0      0.0",
                " r1    r1    SYNC  –      9        –      –",
                " ! beyond --max, or not known to be within: r1",
            ]
        );
    }
}
