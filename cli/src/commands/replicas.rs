//! `mgctl show-replicas`, `register`, `unregister`: MAIN's list of replicas.

use serde_json::json;

use super::session::{Session, Shown};
use super::{Context, diff};
use crate::args::{Register, ShowReplicas, Unregister};
use crate::cluster::{Action, Host, NodeError, Nodes, Options, Plan, Step, Target, decode_replicas, execute};
use crate::error::{CliError, Exit, printable};
use crate::topology::{Endpoint, Mode, is_symbol};
use crate::ui::{Cell, Table, Tone, Ui};

const SHOW: &str = "SHOW REPLICAS;";

/// Where a REPLICA listens unless it is said.
const REPLICATION_PORT: u16 = 10_000;

pub(super) async fn show(context: &Context, args: &ShowReplicas) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let main = session.main(&seen)?;
    session.ui.query_sent(&main.instance, SHOW);
    let rows = session.nodes.ask(&main, SHOW).await.map_err(|e| failed(&session, &main, e))?;
    if args.raw {
        let data = json!({ "main": main.instance, "fields": rows.fields, "rows": rows.rows });
        let text = |ui: &Ui| {
            let mut table = Table::new(rows.fields.clone()).framed();
            for row in &rows.rows {
                table.row(row.iter().map(|v| match v {
                    serde_json::Value::String(text) => Cell::from(text.clone()),
                    other => Cell::from(other.to_string()),
                }));
            }
            table.render(ui)
        };
        session.ui.result("Replicas", Some(session.cluster()), data, &[], text);
        return Ok(Exit::Ok);
    }
    let replicas = decode_replicas(&rows);
    let node_of = |name: &str| {
        session.topology.instances.iter().find(|i| i.register_as == name).map(|i| i.name.clone())
    };
    let data = json!({
        "main": main.instance,
        "replicas": replicas.iter().map(|r| json!({
            "name": r.name, "node": node_of(&r.name), "address": r.address, "mode": r.mode.map(|m| m.as_str()),
            "state": r.status, "behind": r.behind, "ts": r.ts,
        })).collect::<Vec<_>>(),
    });
    let text = |ui: &Ui| {
        if replicas.is_empty() {
            return format!("MAIN `{}` has no replicas", main.instance);
        }
        let mut table =
            Table::new(["NAME", "NODE", "MODE", "STATE", "BEHIND", "TS", "ADDRESS"]).spare(["TS", "NODE"]);
        for r in &replicas {
            let tone = match r.status.as_str() {
                "ready" => Tone::Good,
                "invalid" | "diverged" => Tone::Bad,
                _ => Tone::Doubtful,
            };
            table.row([
                Cell::from(r.name.clone()),
                node_of(&r.name).map_or_else(|| Cell::new("–", Tone::Dim), Cell::from),
                Cell::from(r.mode.map_or("?", |m| m.as_str())),
                Cell::new(r.status.clone(), tone),
                Cell::from(r.behind.to_string()),
                Cell::from(r.ts.to_string()),
                Cell::from(r.address.clone()),
            ]);
        }
        table.render(ui)
    };
    session.ui.result("Replicas", Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}

pub(super) async fn register(context: &Context, args: &Register) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let main = session.main(&seen)?;
    if let Some(name) = args.register_as.as_ref().filter(|name| !is_symbol(name)) {
        return Err(CliError::new(
            Exit::Usage,
            format!("`{}` is not usable as the name of a replica", printable(name)),
        )
        .code("MG015")
        .help("letters, digits and `_`, not beginning with a digit"));
    }
    let mut plan = Plan::default();
    let name = match (&args.node, &args.address) {
        (Some(node), _) => {
            let instance = session.topology.instance(node).ok_or_else(|| {
                CliError::new(Exit::NotFound, format!("cluster `{}` has no node `{node}`", session.cluster()))
                    .code("MG065")
                    .help("for a node outside of it: --name NAME --address HOST:PORT --mode MODE")
            })?;
            session.target(&seen, node)?;
            if *node == main.instance {
                return Err(CliError::new(Exit::Unsafe, format!("`{node}` is the MAIN itself")).code("MG046"));
            }
            let name = args.register_as.clone().unwrap_or_else(|| instance.register_as.clone());
            let role = Action::BecomeReplica { instance: node.clone(), port: instance.replication_port };
            plan.steps.push(step("role", &[], role));
            let (host, port) = Host::of(&session.topology, instance);
            let mode = args.mode.unwrap_or(instance.mode);
            plan.steps.push(step("register", &["role"], registration(&main, node, &name, mode, host, port)));
            name
        }
        (None, Some(address)) => {
            let name = args.register_as.clone().unwrap_or_default();
            let Some(Endpoint { host, port }) = Endpoint::parse(address, REPLICATION_PORT) else {
                return Err(CliError::new(Exit::Usage, format!("`{}` is no address", printable(address)))
                    .code("MG017")
                    .help("write it as HOST:PORT, as 10.0.0.7:10000"));
            };
            let mode = args.mode.unwrap_or(Mode::Sync);
            plan.steps.push(step(
                "register",
                &[],
                registration(&main, &name, &name, mode, Host::Known(host), port),
            ));
            name
        }
        (None, None) => return Err(CliError::new(Exit::Usage, "name a node, or --name and --address")),
    };
    plan.steps.push(step(
        "ready",
        &["register"],
        Action::AwaitLevel { main: main.instance.clone(), name: name.clone() },
    ));
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &plan));
    }
    // A name that is taken says so; `up` is what repairs.
    let rows = session.nodes.ask(&main, SHOW).await.map_err(|e| failed(&session, &main, e))?;
    if let Some(row) = decode_replicas(&rows).into_iter().find(|r| r.name == name && r.status != "invalid") {
        let mode = row.mode.map_or("?", |m| m.as_str());
        return Err(CliError::new(Exit::Conflict, format!("replica `{name}` is registered already"))
            .code("MG051")
            .thing(format!("at `{}`: {mode}, {}, {}", main.instance, row.address, row.status))
            .help(format!(
                "to change it: {}, then register again",
                session.command(&format!("unregister {name}"))
            )));
    }
    carry_out(&session, plan, args.timeout.timeout).await?;
    let text = |_: &Ui| format!("{name} is registered at {}: ready, 0 behind", main.instance);
    let data = json!({ "main": main.instance, "name": name, "state": "ready" });
    session.ui.result("Register", Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}

fn registration(main: &Target, instance: &str, name: &str, mode: Mode, host: Host, port: u16) -> Action {
    Action::Register {
        main: main.instance.clone(),
        instance: instance.to_owned(),
        name: name.to_owned(),
        mode,
        host,
        port,
    }
}

pub(super) async fn unregister(context: &Context, args: &Unregister) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let main = session.main(&seen)?;
    let rows = session.nodes.ask(&main, SHOW).await.map_err(|e| failed(&session, &main, e))?;
    let rows = decode_replicas(&rows);
    let by_node = session.topology.instance(&args.name).map(|i| i.register_as.clone());
    let row = rows.iter().find(|r| r.name == args.name || Some(&r.name) == by_node.as_ref());
    let Some(row) = row else {
        let names: Vec<&str> = rows.iter().map(|r| r.name.as_str()).collect();
        return Err(CliError::new(
            Exit::NotFound,
            format!("MAIN `{}` has no replica `{}`", main.instance, args.name),
        )
        .code("MG065")
        .note(if names.is_empty() {
            "it has none".to_owned()
        } else {
            format!("it has: {}", names.join(", "))
        }));
    };
    let action = Action::Drop { main: main.instance.clone(), name: row.name.clone() };
    let plan = Plan { steps: vec![step("drop", &[], action)], ..Plan::default() };
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &plan));
    }
    carry_out(&session, plan, None).await?;
    let text = |_: &Ui| {
        format!(
            "{} is no longer a replica of {}; it keeps the data it has. `{}` registers it again",
            row.name,
            main.instance,
            session.up()
        )
    };
    let data = json!({ "main": main.instance, "name": row.name });
    session.ui.result("Unregister", Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}

fn step(id: &str, needs: &[&str], action: Action) -> Step {
    Step {
        id: id.into(),
        needs: needs.iter().map(|n| (*n).into()).collect(),
        action,
        cause: "asked for".into(),
    }
}

async fn carry_out(
    session: &Session,
    plan: Plan,
    timeout: Option<std::time::Duration>,
) -> Result<(), CliError> {
    let mut wish = session.wish(Options::default());
    if let Some(timeout) = timeout {
        wish.topology.wait.timeout = timeout;
    }
    let shown = Shown::new(session);
    let interrupt = super::session::on_ctrl_c(&session.ui);
    let work = async { execute(&session.execution(&wish, &shown, interrupt), &plan).await };
    session.locked(wish.topology.wait.timeout, work).await
}

fn failed(session: &Session, main: &Target, error: NodeError) -> CliError {
    CliError::new(Exit::Degraded, format!("`{}` did not answer `SHOW REPLICAS`: {error}", main.instance))
        .code("MG067")
        .thing(format!("Bolt {}", main.bolt))
        .help(format!("see {}", session.command("status")))
}
