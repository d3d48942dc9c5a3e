//! `mgctl status`: roles, states and addresses of all nodes in one table, and what is wrong in words.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::Context;
use super::session::{Session, mains};
use crate::args::{Check, Status};
use crate::authority::{self, Certificate, show_seconds_left};
use crate::cluster::{self, Machine, MachineState, NodeView, Observed, ReplicaRow, Runtime};
use crate::error::{CliError, Exit};
use crate::topology::{Instance, Mode, Role, Topology};
use crate::ui::{Cell, Table, Tone, Ui};
use crate::words::count;

/// One node, from the engine's side, its own, and its MAIN's.
pub(super) struct NodeLine {
    pub(super) name: String,
    pub(super) role: Option<Role>,
    /// As registered at MAIN.
    pub(super) row: Option<ReplicaRow>,
    pub(super) machine: Option<Machine>,
    pub(super) silent: Option<String>,
    /// The address in MAIN's list is not the node's.
    pub(super) stale: bool,
    /// The file does not name it.
    pub(super) is_orphan: bool,
}

impl NodeLine {
    /// What MAIN says of it, where that says something: of a node that is gone MAIN may believe for a while that it is
    /// ready.
    pub(super) fn view(&self) -> Option<&ReplicaRow> {
        self.row.as_ref().filter(|row| self.role.is_some() || row.status != "ready")
    }

    /// MAIN goes on calling a replica ready for a moment after it ended; the node itself must answer too.
    pub(super) fn is_ready(&self) -> bool {
        self.role == Some(Role::Replica) && !self.stale && self.row.as_ref().is_some_and(ReplicaRow::is_level)
    }
}

/// The cluster in words.
pub(super) struct Report {
    pub(super) lines: Vec<NodeLine>,
    pub(super) main: Option<String>,
    /// How far it meets what can be asked for; `None` if it is not even writable.
    pub(super) level: Option<Check>,
    /// What is wrong, and what helps.
    pub(super) findings: Vec<(String, String)>,
    /// By node, where they were looked at.
    pub(super) certificates: BTreeMap<String, Certificate>,
}

pub(super) async fn run(context: &Context, args: &Status) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    if let Some(every) = args.watch {
        session.look_at_existing().await?;
        return super::watch::status(&session, every).await;
    }
    let seen = session.must_exist(session.look_closely().await?)?;
    let mut report = report(&session, &seen);
    if args.check.is_some_and(|asked| report.level.is_some() && report.level < Some(asked)) {
        let certificates = std::mem::take(&mut report.certificates);
        (_, report) = await_redundant(&session, Duration::from_secs(1)).await?;
        report.know_certificates(&session, certificates);
    }
    let ok = args.check.is_none_or(|asked| report.level >= Some(asked));
    let text = |ui: &Ui| render(&session, &report, ui);
    context.ui.partial_result(
        "ClusterStatus",
        Some(session.cluster()),
        ok,
        to_json(&session, &report),
        &[],
        text,
    );
    Ok(if ok { Exit::Ok } else { Exit::Degraded })
}

/// Joins what was seen into one line for each node.
pub(super) fn report(session: &Session, seen: &Observed) -> Report {
    let topology = &session.topology;
    let mains = mains(seen);
    let main = match mains.as_slice() {
        [main] => Some(main.clone()),
        _ => None,
    };
    let main_facts = main.as_ref().and_then(|m| seen.nodes.get(m)).and_then(NodeView::facts);
    let rows = main_facts.map_or(&[][..], |f| &f.replicas);
    let mut findings = Vec::new();
    if main.is_none() {
        findings.push(match mains.as_slice() {
            [] => (
                "no node answers as MAIN: nothing can be written".to_owned(),
                format!("{}; if MAIN cannot come back: {}", session.up(), session.command("failover")),
            ),
            several => (
                format!("several nodes are MAIN: {}", several.join(", ")),
                format!("decide, then {}", session.command("repair --main NAME")),
            ),
        });
    }

    let mut names: Vec<(String, Option<&Instance>)> =
        topology.instances.iter().map(|i| (i.name.clone(), Some(i))).collect();
    for name in seen.existing.machines.keys().filter(|n| topology.instance(n).is_none()) {
        names.push((name.clone(), None));
    }
    let mut lines = Vec::new();
    let mut level = main_facts.map(|f| match f.position.as_ref().is_none_or(|p| p.is_confirmed) {
        true => Check::Redundant,
        false => Check::Writable,
    });
    for (name, instance) in names {
        let machine = seen.existing.machines.get(&name).cloned();
        let view = seen.nodes.get(&name);
        let role = view.and_then(NodeView::facts).map(|f| f.role);
        let register_as = match instance {
            Some(instance) => Some(instance.register_as.as_str()),
            None => machine.as_ref().and_then(|m| m.spec.as_ref()?.register_as()),
        };
        let row = rows.iter().find(|r| Some(r.name.as_str()) == register_as).cloned();
        let silent = match view {
            Some(NodeView::Silent(why)) => Some(why.clone()),
            _ => None,
        };
        let stale = match (instance, &row, machine.as_ref()) {
            (Some(i), Some(row), Some(m)) => is_stale(topology, i, row, m),
            _ => false,
        };
        let is_main = main.as_ref() == Some(&name);
        let position = view.and_then(NodeView::facts).and_then(|facts| facts.position.as_ref());
        for warning in position.into_iter().flat_map(|position| &position.warnings) {
            findings.push((format!("{name}: {warning}"), session.logs(&name)));
        }
        if let Some(instance) = instance {
            find(
                session,
                instance,
                is_main,
                role,
                row.as_ref(),
                machine.as_ref(),
                silent.as_deref(),
                stale,
                main.is_some(),
                &mut findings,
            );
            let here = machine.as_ref().is_some_and(Machine::is_running) && role.is_some();
            let level_here = is_main
                || (role == Some(Role::Replica) && row.as_ref().is_some_and(ReplicaRow::is_level) && !stale);
            if !here {
                level = level.map(|_| Check::Writable);
            } else if !level_here {
                level = level.map(|l| l.min(Check::Healthy));
            }
            // A STRICT_SYNC replica that is not there stops writes.
            let is_strict = |r: &ReplicaRow| r.mode.unwrap_or(instance.mode) == Mode::StrictSync;
            if row.as_ref().is_some_and(|r| is_strict(r) && r.status != "ready") {
                level = None;
            }
        } else {
            let state = machine.as_ref().map_or(String::new(), |m| format!(" ({})", m.state));
            let is_main = mains.contains(&name);
            findings.push(match is_main {
                true => (
                    format!("{name} is MAIN, and is not in the file"),
                    format!(
                        "name it there, or move MAIN: {} -c {} promote NODE",
                        session.program, topology.name
                    ),
                ),
                false => (
                    format!("{name} is in this cluster and not in the file{state}"),
                    format!("{} --remove-orphans removes it, and keeps its data", session.up()),
                ),
            });
        }
        let is_orphan = instance.is_none();
        lines.push(NodeLine { name, role, row, machine, silent, stale, is_orphan });
    }
    for row in
        rows.iter().filter(|r| lines.iter().all(|l| l.row.as_ref().is_none_or(|own| own.name != r.name)))
    {
        if topology.instances.iter().any(|i| i.register_as == row.name) {
            continue;
        }
        findings.push((
            format!(
                "{} at {} is registered and not in the file; it is {}",
                row.name, row.address, row.status
            ),
            session.command(&format!("unregister {}", row.name)),
        ));
    }
    let mut report = Report { lines, main, level, findings, certificates: BTreeMap::new() };
    report.know_certificates(session, seen.existing.certificates.clone());
    report
}

impl Report {
    /// Takes in what certificates the nodes have, and finds those that end soon.
    fn know_certificates(&mut self, session: &Session, certificates: BTreeMap<String, Certificate>) {
        self.findings.extend(ending(session, &certificates));
        self.certificates = certificates;
    }
}

/// Which certificates end soon, and what helps.
pub(super) fn ending(
    session: &Session,
    certificates: &BTreeMap<String, Certificate>,
) -> Vec<(String, String)> {
    let soon = certificates.iter().filter(|(_, certificate)| certificate.ends_soon());
    soon.map(|(name, certificate)| {
        let files = session.topology.tls_files.as_ref();
        // Another one may be there already.
        let offered = authority::offered(&session.topology, name)
            .is_some_and(|leaf| authority::print(&leaf.certificate, &leaf.authority) != certificate.print);
        let help = match files.filter(|_| !offered) {
            Some(files) => {
                let folder = files.folder.display();
                format!("put a new {name}.crt, with its key, into `{folder}`, then {}", session.up())
            }
            None => session.up(),
        };
        (format!("{name}: its certificate {}", show_seconds_left(certificate.seconds_left)), help)
    })
    .collect()
}

/// Looks until every node is there, follows, and is 0 behind, for at most `time_max`; returns the last look.
///
/// One look does not tell: while clients write, an ASYNC replica is a record behind at many moments.
pub(super) async fn await_redundant(
    session: &Session,
    time_max: Duration,
) -> Result<(Observed, Report), CliError> {
    let until = Instant::now() + time_max;
    loop {
        let seen = session.look().await?;
        let report = report(session, &seen);
        if report.level == Some(Check::Redundant) || Instant::now() >= until {
            return Ok((seen, report));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_stale(topology: &Topology, instance: &Instance, row: &ReplicaRow, machine: &Machine) -> bool {
    machine.is_running()
        && cluster::address_of(topology, instance, Some(machine)).is_some_and(|wanted| row.address != wanted)
}

#[allow(clippy::too_many_arguments, reason = "every fact about one node, to say what is wrong with it")]
fn find(
    session: &Session,
    instance: &Instance,
    is_main: bool,
    role: Option<Role>,
    row: Option<&ReplicaRow>,
    machine: Option<&Machine>,
    silent: Option<&str>,
    stale: bool,
    has_main: bool,
    findings: &mut Vec<(String, String)>,
) {
    let name = &instance.name;
    let (up, logs) = (session.up(), session.logs(name));
    let Some(machine) = machine else {
        findings.push((format!("{name} does not exist"), up));
        return;
    };
    match &machine.state {
        MachineState::Exited { out_of_memory: true, .. } => {
            findings.push((
                format!("{name} was ended for want of memory"),
                format!("raise instances.{name}.memory, then {up}"),
            ));
        }
        MachineState::Running | MachineState::Elsewhere => {}
        MachineState::Lost { host } => {
            findings.push((
                format!("{name} is on host {host}, which is not reached: whether it runs is not known"),
                match is_main || !has_main {
                    true => format!("bring the host back; if it stays away: {}", session.command("failover")),
                    false => "bring the host back".to_owned(),
                },
            ));
            if role.is_none() {
                return;
            }
        }
        _ if machine.is_fenced => {}
        state => findings.push((format!("{name} does not run: {state}"), format!("{up}; why: {logs}"))),
    }
    if let Some(why) = &machine.unhealthy {
        findings.push((format!("{name}: its healthcheck fails: {why}"), logs.clone()));
    }
    if machine.is_fenced {
        findings.push((
            format!("{name} was fenced by a failover and does not start by itself"),
            session.command(&format!("rejoin {name}")),
        ));
        return;
    }
    if let Some(why) = silent {
        findings.push((format!("{name} does not answer: {why}"), logs.clone()));
    }
    if role.is_none() || is_main || !has_main {
        return;
    }
    if role == Some(Role::Main) {
        findings.push((format!("{name} is MAIN too, and nobody follows it"), up));
        return;
    }
    match row {
        None => findings.push((format!("{name} is not registered at MAIN and gets no data"), up)),
        Some(row) if stale => {
            let is = cluster::address_of(&session.topology, instance, Some(machine)).unwrap_or_default();
            findings.push((format!("{name} is registered as {}, and is at {is}", row.address), up));
        }
        Some(row) if row.status == "diverged" => {
            findings.push((
                format!("{name} holds commits that MAIN does not have (MG042)"),
                session.command(&format!("rejoin {name} --wipe")),
            ));
        }
        Some(row) if row.status == "invalid" => {
            findings.push((format!("MAIN does not reach {name} at {}", row.address), logs));
        }
        Some(_) => {}
    }
}

/// Returns the headline, the table and the findings.
pub(super) fn render(session: &Session, report: &Report, ui: &Ui) -> String {
    let replicas: Vec<&NodeLine> =
        report.lines.iter().filter(|l| report.main.as_ref() != Some(&l.name) && !l.is_orphan).collect();
    let ready = replicas.iter().filter(|l| l.is_ready()).count();
    let state = match report.level {
        Some(Check::Redundant) => "HEALTHY",
        Some(_) => "DEGRADED",
        None => "DOWN",
    };
    let writes = if report.level.is_some() { "writes OK" } else { "no writes" };
    let main = report.main.as_deref().unwrap_or("none");
    let mut out = format!(
        "{}   {state}   main {main} · {ready}/{} ready · {writes}\n",
        session.cluster(),
        count(replicas.len(), "replica")
    );
    out += &table(session, report).render(ui);
    for (finding, help) in &report.findings {
        out += &format!("\n ! {finding}\n     → {help}");
    }
    out
}

pub(super) fn table(session: &Session, report: &Report) -> Table {
    let machine_title = match &session.runtime {
        crate::runtime::Any::Docker(_) => "CONTAINER",
        crate::runtime::Any::Process(_) => "PROCESS",
        crate::runtime::Any::Swarm(_) => "SERVICE",
        crate::runtime::Any::External(_) => "NODE",
    };
    let mut table = Table::new([
        "NAME",
        "ROLE",
        "MODE",
        "STATE",
        "BEHIND",
        "REGISTERED AS",
        "BOLT",
        machine_title,
        "UPTIME",
    ])
    .spare(["REGISTERED AS", "UPTIME", "BOLT", machine_title]);
    for line in &report.lines {
        let is_main = report.main.as_ref() == Some(&line.name);
        let dash = || Cell::new("–", Tone::Dim);
        let role = match line.role {
            Some(Role::Main) => Cell::new("MAIN", Tone::Strong),
            Some(Role::Replica) => Cell::from("REPLICA"),
            None => Cell::new("?", Tone::Bad),
        };
        let row = line.row.as_ref().filter(|_| !is_main);
        let view = line.view().filter(|_| !is_main);
        let state = |row: &ReplicaRow| match row.status.as_str() {
            "ready" => Cell::new("ready", Tone::Good),
            "diverged" | "invalid" => Cell::new(row.status.clone(), Tone::Bad),
            other => Cell::new(other, Tone::Doubtful),
        };
        let on = line.machine.as_ref().and_then(|m| m.host.as_ref());
        let on = on.map_or(String::new(), |host| format!(" on {host}"));
        let machine = match &line.machine {
            None => Cell::new("none", Tone::Bad),
            Some(m) if m.is_running() && line.silent.is_none() => {
                Cell::new(format!("running{on}"), Tone::Good)
            }
            Some(m) if m.is_running() => Cell::new(format!("silent{on}"), Tone::Bad),
            Some(m) => Cell::new(m.state.to_string(), Tone::Bad),
        };
        let running = line.machine.as_ref().filter(|m| m.is_running());
        table.row([
            Cell::from(line.name.clone()),
            role,
            row.map_or_else(dash, |r| r.mode.map_or_else(dash, |m| Cell::from(m.to_string()))),
            view.map_or_else(dash, state),
            view.map_or_else(dash, |r| Cell::from(r.behind.to_string())),
            row.map_or_else(dash, |r| match line.stale {
                true => Cell::new(format!("{}!", r.address), Tone::Bad),
                false => Cell::from(r.address.clone()),
            }),
            running.and_then(|m| m.bolt.as_ref()).map_or_else(dash, |b| Cell::from(b.to_string())),
            machine,
            running.and_then(|m| m.started).map_or_else(dash, |s| Cell::from(age(s))),
        ]);
    }
    table
}

/// Returns how long ago that was, as `4m` or `2h`.
fn age(started: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    match now.saturating_sub(started) {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..172_800 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

pub(super) fn to_json(session: &Session, report: &Report) -> Value {
    let lines: Vec<Value> = report
        .lines
        .iter()
        .map(|line| {
            let machine = line.machine.as_ref();
            let row = line.row.as_ref();
            json!({
                "name": line.name,
                "role": line.role.map(|r| r.as_str()),
                "mode": row.and_then(|r| r.mode).map(|m| m.as_str()),
                "state": line.view().map(|r| &r.status),
                "behind": line.view().map(|r| r.behind),
                "registered_as": row.map(|r| &r.name),
                "registered_address": row.map(|r| &r.address),
                "address_is_stale": line.stale,
                "machine": machine.map(|m| json!({
                    "id": m.id, "name": m.name, "state": m.state.to_string(), "address": m.address,
                    "started": m.started, "host": m.host,
                })),
                "bolt": machine.and_then(|m| m.bolt.as_ref()).map(|b| b.to_string()),
                "silent": line.silent,
                "is_orphan": line.is_orphan,
                "certificate_seconds_left": report.certificates.get(&line.name).map(|c| c.seconds_left),
            })
        })
        .collect();
    json!({
        "runtime": session.runtime.describe(),
        "main": report.main,
        "writable": report.level.is_some(),
        "healthy": report.level >= Some(Check::Healthy),
        "redundant": report.level >= Some(Check::Redundant),
        "instances": lines,
        "findings": report.findings.iter().map(|(what, help)| json!({"message": what, "hint": help})).collect::<Vec<_>>(),
    })
}
