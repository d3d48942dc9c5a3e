//! `mgctl chaos`: breaks one node on purpose, for a time.
//!
//! What is broken for a time is mended by another process, the healer, which is there before anything is broken: it
//! does its work also when this one is interrupted or killed. It never starts a node that a failover has fenced
//! meanwhile.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::session::Session;
use super::{Context, diff, status};
use crate::args::{Chaos, Harm, Heal};
use crate::cluster::{Action, Machine, MachineState, NodeView, Plan, Runtime, Step};
use crate::error::{CliError, Exit};
use crate::runtime::Any;
use crate::ui::Ui;

/// What the healer says when it is there.
const READY: &str = "ready";

/// How long it may take to be there.
const READY_TIME_MAX: Duration = Duration::from_secs(20);

/// How long it goes on trying.
const HEAL_TIME_MAX: Duration = Duration::from_secs(120);

/// How long a mended node may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

pub(super) async fn run(context: &Context, args: &Chaos) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    session.must_run_nodes(
        "chaos",
        "break it where it runs; a move of MAIN under load: mgctl drill switchover",
    )?;
    session.must_reach_machines(
        "chaos",
        &format!("break it on its host; a move of MAIN under load: {}", session.command("drill switchover")),
    )?;
    let seen = session.look_at_existing().await?;
    let name = &args.name;
    let machine = seen.existing.machines.get(name).ok_or_else(|| {
        let names: Vec<&str> = seen.existing.machines.keys().map(String::as_str).collect();
        CliError::new(Exit::NotFound, format!("cluster `{}` has no node `{name}`", session.cluster()))
            .code("MG065")
            .note(format!("it has: {}", names.join(", ")))
    })?;
    if session.topology.instance(name).is_none() {
        return Err(CliError::new(
            Exit::NotFound,
            format!("`{name}` is not in {}", session.topology.place.file),
        )
        .code("MG065"));
    }
    if args.harm == Harm::Partition && matches!(session.runtime, Any::Process(_)) {
        return Err(CliError::new(Exit::Usage, "local processes share one network: they cannot be parted")
            .code("MG092")
            .help(format!(
                "to have it answer nobody: {}",
                session.command(&format!("chaos pause {name} --for 20s"))
            )));
    }
    if !machine.is_running() {
        return Err(CliError::new(Exit::Unsafe, format!("`{name}` does not run: {}", machine.state))
            .code("MG070")
            .thing(machine.name.clone())
            .help(session.up()));
    }
    let plan = plan(name, args.harm, args.time);
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &plan));
    }
    let question = format!("{} {name} of cluster `{}`?", args.harm.verb(), session.cluster());
    if !session.ui.confirm(&question)? {
        return Err(CliError::new(Exit::Declined, "nothing was changed").code("MG091"));
    }
    // First the one who mends, then the harm.
    let healer = match (args.time, args.harm) {
        (None, Harm::Restart) => Some(healer(context, &session, name, Duration::ZERO).await?),
        (Some(time), _) => Some(healer(context, &session, name, time).await?),
        (None, _) => None,
    };
    let began = Instant::now();
    let harm = harm(name, args.harm);
    let step = session.ui.step(args.harm.word(), name);
    match session.runtime.carry_out(&session.topology, &harm).await {
        Ok(detail) => step.done(&detail),
        Err(error) => {
            step.failed(&error.problem().what);
            // The healer is left to itself: it mends what may have been broken all the same.
            return Err(error);
        }
    }
    let Some(mut healer) = healer else {
        let undo = session.command(&format!("heal {name}"));
        let data = json!({ "node": name, "harm": args.harm.word(), "healed": false });
        let text = |_: &Ui| format!("{name}: {}. Undo it: {undo}", args.harm.done());
        session.ui.result("Chaos", Some(session.cluster()), data, &[], text);
        return Ok(Exit::Ok);
    };
    // That it hears of it now starts its time; that it does not, would too.
    drop(healer.stdin.take());
    let step = session.ui.step("heal", name);
    let status = tokio::select! {
        status = healer.wait() => status,
        _ = tokio::signal::ctrl_c() => {
            step.failed("goes on by itself");
            return Err(CliError::new(Exit::Interrupted, "interrupted")
                .note(format!("`{name}` is mended all the same when its time is over")));
        }
    };
    let status =
        status.map_err(|e| CliError::new(Exit::Other, format!("the healer cannot be waited for: {e}")))?;
    if !status.success() {
        step.failed(&format!("the healer ended with {status}"));
        return Err(CliError::new(Exit::Degraded, format!("`{name}` was not mended"))
            .code("MG060")
            .help(session.command(&format!("heal {name}"))));
    }
    let outcome = await_answer(&session, name).await?;
    step.done(&outcome);
    let report = status::report(&session, &session.look().await?);
    let mut data = status::to_json(&session, &report);
    data["node"] = json!(name);
    data["harm"] = json!(args.harm.word());
    data["healed"] = json!(true);
    data["seconds"] = json!((began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0);
    let text = |_: &Ui| {
        format!(
            "{name}: {} for {:.1} s, and is there again ({outcome})",
            args.harm.done(),
            began.elapsed().as_secs_f64()
        )
    };
    session.ui.result("Chaos", Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}

fn harm(name: &str, harm: Harm) -> Action {
    let name = name.to_owned();
    match harm {
        Harm::Kill => Action::KillMachine(name),
        Harm::Pause => Action::PauseMachine(name),
        Harm::Stop | Harm::Restart => Action::StopMachine(name),
        Harm::Partition => Action::DisconnectMachine(name),
    }
}

fn plan(name: &str, what: Harm, time: Option<Duration>) -> Plan {
    let mut plan = Plan::default();
    plan.steps.push(Step {
        id: "harm".into(),
        needs: Vec::new(),
        action: harm(name, what),
        cause: "asked for".into(),
    });
    let back = match what {
        Harm::Kill | Harm::Stop | Harm::Restart => Action::StartMachine(name.to_owned()),
        Harm::Pause => Action::UnpauseMachine(name.to_owned()),
        Harm::Partition => Action::ConnectMachine(name.to_owned()),
    };
    if time.is_some() || what == Harm::Restart {
        let cause = format!("after {}s", time.unwrap_or_default().as_secs_f64());
        plan.steps.push(Step { id: "heal".into(), needs: vec!["harm".into()], action: back, cause });
    }
    plan
}

/// Starts the process that mends, and waits until it is there.
async fn healer(
    context: &Context,
    session: &Session,
    name: &str,
    after: Duration,
) -> Result<tokio::process::Child, CliError> {
    let failed = |what: String| CliError::new(Exit::Other, what).note("nothing was changed");
    let program = std::env::current_exe().map_err(|e| failed(format!("mgctl does not find itself: {e}")))?;
    let mut command = tokio::process::Command::new(program);
    let runtime = match &session.runtime {
        Any::Docker(_) => "docker",
        Any::Process(_) => "process",
        Any::Swarm(_) => "swarm",
        Any::External(_) => "external",
    };
    command.args(["--cluster", session.cluster(), "--runtime", runtime, "--progress", "none"]);
    if let Some(host) = &context.host {
        command.args(["--host", host]);
    }
    let docker_context = context.docker_context.as_ref().or(session.topology.context.as_ref());
    if let Some(name) = docker_context.filter(|_| context.host.is_none()) {
        command.args(["--context", name]);
    }
    command.args(["heal", name, "--after", &format!("{}ms", after.as_millis())]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(false);
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(|e| failed(format!("the healer cannot be started: {e}")))?;
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    match tokio::time::timeout(READY_TIME_MAX, lines.next_line()).await {
        Ok(Ok(Some(line))) if line == READY => Ok(child),
        _ => {
            // It has done nothing yet, and must not mend what is not broken.
            let _ = child.start_kill();
            Err(failed("the healer does not come up".into()))
        }
    }
}

/// `mgctl heal`: what the healer does, and what a person can do by hand.
pub(super) async fn heal(context: &Context, args: &Heal) -> Result<Exit, CliError> {
    #[cfg(unix)]
    if args.after.is_some() {
        // It fails only for the leader of a session, which has left the terminal already.
        let _ = rustix::process::setsid();
    }
    let session = Session::open(context).await?;
    session.must_run_nodes("heal", &format!("mend it where it runs, then {}", session.up()))?;
    session.must_reach_machines("heal", &format!("mend it on its host, then {}", session.up()))?;
    if args.dry_run.dry_run {
        let machine = machine(&session, &args.name).await?;
        let mut plan = Plan::default();
        match cure(&session, &args.name, &machine) {
            _ if machine.is_fenced => {
                let rejoin = session.command(&format!("rejoin {}", args.name));
                plan.notes.push(format!("{}: was fenced by a failover, and stays so: {rejoin}", args.name));
            }
            Some((action, cause)) => {
                plan.push("mend", &[], action, cause);
                plan.push("bolt", &["mend".into()], Action::AwaitBolt(args.name.clone()), "it starts");
            }
            None => {}
        }
        return Ok(diff::dry_run(&session, &plan));
    }
    if let Some(after) = args.after {
        // The reader may be gone before the time is over; that is what this process is for.
        session.ui.print(READY);
        session.ui.flush();
        // Its time begins when the harm is done, or when nobody is left to do any.
        // Either way it is the end of standard input.
        let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await;
        tokio::time::sleep(after).await;
    }
    let until = Instant::now() + HEAL_TIME_MAX;
    loop {
        match mend(&session, &args.name).await {
            Ok(mended) => {
                if args.after.is_none() {
                    let detail = mended.then_answers(&session, &args.name).await?;
                    let data = json!({ "node": args.name, "outcome": detail });
                    session.ui.result("Heal", Some(session.cluster()), data, &[], |_| {
                        format!("{}: {detail}", args.name)
                    });
                }
                return Ok(Exit::Ok);
            }
            Err(error) if Instant::now() > until || args.after.is_none() => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

/// What was done to mend a node.
enum Mended {
    /// These steps; it comes back now.
    Done(Vec<String>),
    /// A failover has fenced it meanwhile, and it stays as it is.
    Fenced(String),
}

impl Mended {
    /// Waits until the node answers where it is to come back, and says what became of it.
    async fn then_answers(self, session: &Session, name: &str) -> Result<String, CliError> {
        let mut said = match self {
            Mended::Fenced(why) => return Ok(why),
            Mended::Done(steps) if steps.is_empty() => vec!["was well already".to_owned()],
            Mended::Done(steps) => steps,
        };
        said.push(await_answer(session, name).await?);
        Ok(said.join(", "))
    }
}

/// Undoes whatever harm was done to a node.
async fn mend(session: &Session, name: &str) -> Result<Mended, CliError> {
    let machine = machine(session, name).await?;
    if machine.is_fenced {
        return Ok(Mended::Fenced(format!(
            "was fenced by a failover meanwhile; {}",
            session.command(&format!("rejoin {name}"))
        )));
    }
    let mut done = Vec::new();
    if let Some((action, _)) = cure(session, name, &machine) {
        done.push(session.runtime.carry_out(&session.topology, &action).await?);
    }
    Ok(Mended::Done(done))
}

async fn machine(session: &Session, name: &str) -> Result<Machine, CliError> {
    let found = session.runtime.machine(session.cluster(), name).await?;
    found.ok_or_else(|| CliError::new(Exit::NotFound, format!("`{name}` does not exist")).code("MG065"))
}

/// What undoes the harm that was done to a node, and what is wrong with it; `None` where it is well.
fn cure(session: &Session, name: &str, machine: &Machine) -> Option<(Action, String)> {
    let name = name.to_owned();
    let action = match machine.state {
        MachineState::Paused => Action::UnpauseMachine(name),
        MachineState::Exited { .. } | MachineState::Created => Action::StartMachine(name),
        MachineState::Running if machine.address.is_none() && matches!(session.runtime, Any::Docker(_)) => {
            return Some((Action::ConnectMachine(name), "it is off the network".to_owned()));
        }
        MachineState::Starting
        | MachineState::Running
        | MachineState::Restarting
        | MachineState::Elsewhere
        | MachineState::Lost { .. } => return None,
    };
    Some((action, format!("it is {}", machine.state)))
}

/// Waits until the node answers, and says as what.
async fn await_answer(session: &Session, name: &str) -> Result<String, CliError> {
    let until = Instant::now() + ANSWER_TIME_MAX;
    loop {
        let seen = session.look().await?;
        if seen.existing.machines.get(name).is_some_and(|m| m.is_fenced) {
            return Ok(format!(
                "fenced by a failover meanwhile; {}",
                session.command(&format!("rejoin {name}"))
            ));
        }
        if let Some(facts) = seen.nodes.get(name).and_then(NodeView::facts) {
            return Ok(format!("answers as {}", facts.role));
        }
        if Instant::now() > until {
            return Err(CliError::new(Exit::TimedOut, format!("`{name}` was mended and does not answer"))
                .code("MG073")
                .help(session.command(&format!("logs {name}"))));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
