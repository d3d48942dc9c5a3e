//! The planned switchover: MAIN moves to another node and no acknowledged commit is lost.
//!
//! ```text
//! level    the candidate is ready and 0 behind               nothing has changed yet
//! demote   the old MAIN becomes a REPLICA                     writes stop
//! prove    the candidate has every record the old MAIN has    else: the old MAIN is promoted again
//! promote  the candidate becomes MAIN                         writes go on
//! register the old MAIN and the others at the new one
//! ready    all of them are 0 behind
//! ```
//!
//! A commit that was under way when the old MAIN was demoted can be on its disk and nowhere else. That is
//! what `prove` finds; the switch is then taken back, and tried again. At no time do two nodes take writes:
//! the candidate is promoted only after the old MAIN said that it is a REPLICA, and the other way round.
//! Between `demote` and `promote` Ctrl-C is not heard: the way on is shorter than the way out.
//!
//! Whatever step fails, the nodes are asked what it came to, and the switch ends with one MAIN: the candidate
//! where it took the role although its answer was lost; the old MAIN where it takes the role again, after a
//! candidate that may be MAIN and does not say so was ended; the candidate again, by a failover, where the old
//! MAIN is gone.

use super::candidate;
use super::execute::{Execution, Progress, ask_all, ask_role, logs_of, node_failed};
use super::failover;
use super::modes::Modes;
use super::observed::{NodeFacts, NodeView, Observed, Position, decode_state};
use super::plan::{Action, Host, Plan, Step, StepId, main_query};
use super::reconcile::{main_is_orphan, orphan_may_be_main};
use super::rewind::commits;
use super::{Nodes, Runtime};
use crate::error::{CliError, Exit, Problem};
use crate::topology::{Instance, Mode, Role, Topology};
use crate::words::count;
use std::time::{Duration, Instant};

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It is MAIN already.
    Nothing,
    /// MAIN moves.
    Switch(Switch),
}

/// A switchover that was found safe to begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Switch {
    /// Who becomes MAIN.
    pub candidate: String,
    /// Who is MAIN; `None` after a switch that was broken off, when nobody is.
    pub old: Option<String>,
    /// The steps, in their order.
    pub plan: Plan,
    /// How MAIN waits for each of the others, before and after.
    modes: Modes,
    /// Whether nodes can say where they stand in the log.
    has_positions: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Switched {
    /// From the moment the old MAIN was told until the new one took writes; `None` if there was no MAIN.
    pub write_pause: Option<Duration>,
    /// From the same moment until every replica was 0 behind.
    pub redundant_after: Duration,
    /// How often it was begun.
    pub attempts: u32,
    /// What is not as it should be although MAIN moved.
    pub left: Vec<Problem>,
}

/// How often a switch is begun while commits keep slipping in.
const ATTEMPTS_MAX: u32 = 5;

/// How long what was sent before the demotion may take to arrive.
const ARRIVAL_TIME_MAX: Duration = Duration::from_secs(2);

/// Decides whether `candidate` can become MAIN without a loss, and how. Pure.
pub fn decide(topology: &Topology, seen: &Observed, candidate: &str) -> Result<Decision, CliError> {
    let facts = |name: &str| seen.nodes.get(name).and_then(NodeView::facts);
    let instance = topology.instance(candidate).ok_or_else(|| {
        let names: Vec<&str> = topology.instances.iter().map(|i| i.name.as_str()).collect();
        CliError::new(Exit::NotFound, format!("cluster `{}` has no node `{candidate}`", topology.name))
            .code("MG065")
            .note(format!("it has: {}", names.join(", ")))
    })?;
    let refuse = |why: String| {
        CliError::new(Exit::Unsafe, format!("`{candidate}` cannot be promoted safely"))
            .code("MG041")
            .thing(format!("cluster `{}`", topology.name))
            .note(why)
            .note("nothing was changed")
    };
    let Some(own) = facts(candidate) else {
        return Err(refuse("it does not answer".into())
            .help(format!("see `mgctl status` and {}", logs_of(topology, candidate))));
    };
    let mains: Vec<&Instance> =
        topology.instances.iter().filter(|i| facts(&i.name).is_some_and(|f| f.role == Role::Main)).collect();
    let silent: Vec<&str> =
        topology.instances.iter().filter(|i| facts(&i.name).is_none()).map(|i| i.name.as_str()).collect();

    if own.role == Role::Main {
        return match mains.as_slice() {
            [_] => Ok(Decision::Nothing),
            _ => Err(refuse(format!("several nodes are MAIN: {}", names(&mains))).help("mgctl repair")),
        };
    }
    let old = match mains.as_slice() {
        [main] => Some(*main),
        [] => None,
        several => {
            return Err(refuse(format!("several nodes are MAIN: {}", names(several))).help("mgctl repair"));
        }
    };
    let has_positions = own.position.is_some();
    if old.is_none()
        && let Some(refusal) = main_is_orphan(topology, seen).or_else(|| orphan_may_be_main(topology, seen))
    {
        return Err(refusal);
    }
    match old {
        Some(main) => check_row(topology, instance, facts(&main.name), has_positions, &refuse)?,
        None => {
            if !silent.is_empty() {
                return Err(refuse(format!("no node answers as MAIN, and {} may be it", silent.join(", ")))
                    .help("bring it back first: mgctl up"));
            }
            let lacking = topology.instances.iter().find_map(|i| {
                let parting = candidate::parting(own, facts(&i.name)?)?;
                (!parting.covers()).then_some((i, parting))
            });
            match lacking {
                Some((other, parting)) if parting.is_fork() => {
                    return Err(refuse(parting.describe(candidate, &other.name))
                        .code("MG049")
                        .help("choose one of them: mgctl failover NAME --force"));
                }
                Some((ahead, _)) => {
                    return Err(refuse(format!(
                        "no node is MAIN, and `{}` has commits that `{candidate}` lacks",
                        ahead.name
                    ))
                    .help(format!("promote that one: mgctl promote {}", ahead.name)));
                }
                None => {}
            }
        }
    }
    let modes = Modes::in_force(topology, seen, old.map(|main| main.name.as_str()));
    let plan = plan(topology, &modes, instance, old, &silent);
    Ok(Decision::Switch(Switch {
        candidate: candidate.to_owned(),
        old: old.map(|i| i.name.clone()),
        plan,
        modes,
        has_positions,
    }))
}

/// Sees that the candidate follows the MAIN closely enough to begin.
fn check_row(
    topology: &Topology,
    candidate: &Instance,
    main: Option<&NodeFacts>,
    has_positions: bool,
    refuse: &dyn Fn(String) -> CliError,
) -> Result<(), CliError> {
    let name = &candidate.name;
    let rows = main.map_or(&[][..], |f| &f.replicas);
    let sync =
        rows.iter().find(|r| r.is_level() && r.name != candidate.register_as && r.mode != Some(Mode::Async));
    let sync = sync.and_then(|r| topology.instances.iter().find(|i| i.register_as == r.name));
    let add_better = |error: CliError| match sync {
        Some(better) => error.help(format!("promote a node that is in step: mgctl promote {}", better.name)),
        None => error,
    };
    let Some(row) = rows.iter().find(|r| r.name == candidate.register_as) else {
        return Err(
            add_better(refuse("MAIN does not know it as a replica".into())).help("register it: mgctl up")
        );
    };
    if row.status != "ready" && row.status != "replicating" {
        return Err(add_better(refuse(format!("MAIN calls it {}, {} behind", row.status, row.behind)))
            .help(format!("see `mgctl status` and {}", logs_of(topology, name))));
    }
    if row.mode == Some(Mode::Async) && !has_positions {
        return Err(add_better(refuse(
            "it is ASYNC, and this image cannot say whether it has the last commits".into(),
        ))
        .help(format!("make it SYNC first: set instances.{name}.mode, then mgctl up")));
    }
    Ok(())
}

fn names(instances: &[&Instance]) -> String {
    instances.iter().map(|i| i.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn plan(
    topology: &Topology,
    modes: &Modes,
    candidate: &Instance,
    old: Option<&Instance>,
    silent: &[&str],
) -> Plan {
    let mut plan = Plan::default();
    let name = &candidate.name;
    if let Some(old) = old {
        let level = Action::AwaitLevel { main: old.name.clone(), name: candidate.register_as.clone() };
        plan.push("level", &[], level, "what is missing there would be lost");
        let demote = Action::BecomeReplica { instance: old.name.clone(), port: old.replication_port };
        plan.push("demote", &["level".into()], demote, "two MAINs would part");
        let prove = Action::Prove { instance: name.clone(), against: old.name.clone() };
        plan.push("prove", &["demote".into()], prove, "a commit may have been under way");
    }
    let promote = Action::BecomeMain { instance: name.clone(), epoch: None };
    plan.push("promote", &["prove".into()], promote, "asked for");
    let mut previous: StepId = "promote".into();
    // The old MAIN first: that it is taken is another proof that it holds nothing more.
    let others =
        topology.instances.iter().filter(|i| i.name != *name && old.is_none_or(|o| o.name != i.name));
    let to_register: Vec<&Instance> = old.into_iter().chain(others).collect();
    for instance in &to_register {
        if silent.contains(&instance.name.as_str()) {
            plan.notes
                .push(format!("{}: does not answer, and is registered by the next `up`", instance.name));
            continue;
        }
        let id = format!("register:{}", instance.register_as);
        let needs = [std::mem::replace(&mut previous, id.clone())];
        let action = register(topology, modes, instance, name);
        plan.push(id, &needs, action, format!("`{name}` knows no replicas yet"));
    }
    for instance in to_register.iter().filter(|i| !silent.contains(&i.name.as_str())) {
        let level = Action::AwaitLevel { main: name.clone(), name: instance.register_as.clone() };
        plan.push(
            format!("ready:{}", instance.register_as),
            &[format!("register:{}", instance.register_as)],
            level,
            "it was just registered",
        );
    }
    plan
}

pub(super) fn register(topology: &Topology, modes: &Modes, instance: &Instance, main: &str) -> Action {
    let (host, port) = Host::of(topology, instance);
    Action::Register {
        main: main.to_owned(),
        instance: instance.name.clone(),
        name: instance.register_as.clone(),
        mode: modes.of(instance),
        host,
        port,
    }
}

/// Moves MAIN, forward to the end or back to the beginning, and asks all nodes at the end.
pub async fn switch<R: Runtime, N: Nodes, P: Progress>(
    run: &Execution<'_, R, N, P>,
    switch: &Switch,
) -> Result<Switched, CliError> {
    let candidate = &switch.candidate;
    let began = Instant::now();
    let mut attempts = 0;
    let mut told = None;
    if let Some(old) = &switch.old {
        loop {
            attempts += 1;
            run.step(switch, "level").await?;
            if run.interrupt.is_raised() {
                return Err(CliError::new(Exit::Interrupted, "interrupted before anything was changed")
                    .thing(format!("cluster `{}`", run.wish.topology.name)));
            }
            told = Some(Instant::now());
            if let Err(error) = run.step(switch, "demote").await {
                return settle(run, switch, old, error, false, (began, told, attempts)).await;
            }
            let Err(missing) = run.prove(switch, candidate, old).await else { break };
            match restore(run, switch, old, false).await {
                Ok(problems) if problems.is_empty() => {}
                Ok(problems) => return Err(taken_back_in_part(old, &missing, problems)),
                Err(more) => {
                    let error = CliError::new(Exit::Degraded, missing).code("MG041");
                    let error = and(error, &more);
                    return forward(run, switch, old, error, (began, told, attempts)).await;
                }
            }
            if attempts == ATTEMPTS_MAX || run.deadline.is_over() || run.interrupt.is_raised() {
                return Err(CliError::new(
                    Exit::Unsafe,
                    format!("`{candidate}` cannot be promoted safely now"),
                )
                .code("MG041")
                .thing(format!("cluster `{}`, tried {}", run.wish.topology.name, count(attempts, "time")))
                .note(missing)
                .note(format!("`{old}` is MAIN as before, and nothing was lost"))
                .help("try again while less is written, or promote a SYNC replica"));
            }
        }
    }
    if let Err(error) = run.step(switch, "promote").await {
        return match &switch.old {
            Some(old) => settle(run, switch, old, error, true, (began, told, attempts)).await,
            None => Err(error
                .note("no node is MAIN; nothing was lost")
                .help("try again, or promote another node")),
        };
    }
    finish(run, switch, (began, told, attempts)).await
}

/// When a switch began, when the old MAIN was told, and how often it was.
type Course = (Instant, Option<Instant>, u32);

/// Registers everybody at the new MAIN, and asks all nodes.
async fn finish<R: Runtime, N: Nodes, P: Progress>(
    run: &Execution<'_, R, N, P>,
    switch: &Switch,
    (began, told, attempts): Course,
) -> Result<Switched, CliError> {
    let write_pause = told.map(|at| at.elapsed());
    let mut left = Vec::new();
    for step in
        switch.plan.steps.iter().filter(|s| s.id.starts_with("register:") || s.id.starts_with("ready:"))
    {
        if let Err(error) = run.show(step).await {
            left.extend(error.problems().iter().cloned());
        }
    }
    let redundant_after = told.unwrap_or(began).elapsed();
    check_roles(run, &switch.candidate).await?;
    Ok(Switched { write_pause, redundant_after, attempts: attempts.max(1), left })
}

/// Asks every node: the candidate, and nobody else, is MAIN.
pub(super) async fn check_roles<R: Runtime, N: Nodes, P: Progress>(
    run: &Execution<'_, R, N, P>,
    candidate: &str,
) -> Result<(), CliError> {
    let existing = run.runtime.observe(&run.wish.topology.name, None).await?;
    let nodes = ask_all(run.nodes, existing.machines.iter()).await;
    let mains: Vec<&str> = nodes
        .iter()
        .filter(|(_, view)| view.facts().is_some_and(|f| f.role == Role::Main))
        .map(|(name, _)| name.as_str())
        .collect();
    if mains == [candidate] {
        return Ok(());
    }
    let found = if mains.is_empty() { "nobody".to_owned() } else { mains.join(", ") };
    Err(CliError::new(
        Exit::Degraded,
        format!("`{candidate}` was promoted, but the nodes say that {found} is MAIN"),
    )
    .code("MG043")
    .thing(format!("cluster `{}`", run.wish.topology.name))
    .help("see `mgctl status`; someone else may be changing roles"))
}

fn taken_back_in_part(old: &str, missing: &str, problems: Vec<Problem>) -> CliError {
    let mut all = vec![
        Problem::error(format!("the switch was taken back: {missing}"))
            .code("MG041")
            .note(format!("`{old}` is MAIN as before; not every replica follows it again"))
            .help("mgctl up registers them"),
    ];
    all.extend(problems);
    CliError::of(Exit::Degraded, all)
}

fn and(error: CliError, more: &CliError) -> CliError {
    CliError::of(Exit::Degraded, error.problems().iter().chain(more.problems()).cloned().collect())
}

/// Ends a switch after a failed step, with one MAIN: forward where the candidate is it, else back, else forward
/// without the old MAIN.
async fn settle<R: Runtime, N: Nodes, P: Progress>(
    run: &Execution<'_, R, N, P>,
    switch: &Switch,
    old: &str,
    error: CliError,
    candidate_was_told: bool,
    course: Course,
) -> Result<Switched, CliError> {
    let candidate = &switch.candidate;
    let mut error = error;
    if candidate_was_told {
        match run.role_of(candidate).await {
            Some(Role::Main) => return finish(run, switch, course).await,
            Some(Role::Replica) => {}
            // It may be MAIN and reached by clients: it must not be one beside the old MAIN.
            None => {
                let kill = Step {
                    id: format!("kill:{candidate}"),
                    needs: Vec::new(),
                    action: Action::FenceMachine(candidate.clone()),
                    cause: "it fell silent while it was told to be MAIN".into(),
                };
                if let Err(more) = run.show(&kill).await {
                    return Err(and(error, &more)
                        .note(format!(
                            "`{candidate}` may be MAIN and could not be ended, so `{old}` stays a REPLICA"
                        ))
                        .help("see `mgctl status`; when it has ended: mgctl failover"));
                }
                error = error
                    .note(format!("`{candidate}` was ended, since it may have become MAIN"))
                    .help(format!("bring it back as a REPLICA: mgctl rejoin {candidate}"));
            }
        }
    }
    match restore(run, switch, old, candidate_was_told).await {
        Ok(problems) if problems.is_empty() => {
            Err(error
                .note(format!("the switch was taken back: `{old}` is MAIN as before, and nothing was lost")))
        }
        Ok(problems) => {
            let error = error.note(format!(
                "the switch was taken back: `{old}` is MAIN; not every replica follows it again"
            ));
            Err(CliError::of(Exit::Degraded, error.problems().iter().cloned().chain(problems).collect()))
        }
        Err(more) => forward(run, switch, old, and(error, &more), course).await,
    }
}

/// Goes on without the old MAIN, which does not answer: it is fenced, and the candidate promoted if nothing is
/// lost by that.
async fn forward<R: Runtime, N: Nodes, P: Progress>(
    run: &Execution<'_, R, N, P>,
    switch: &Switch,
    old: &str,
    error: CliError,
    (began, told, attempts): Course,
) -> Result<Switched, CliError> {
    let topology = &run.wish.topology;
    let existing = run.runtime.observe(&topology.name, None).await?;
    let nodes = ask_all(run.nodes, existing.machines.iter()).await;
    let seen = Observed { existing, nodes };
    let request = failover::Request {
        candidate: Some(switch.candidate.clone()),
        operation: format!("{}of a switchover to {}", failover::OPERATION, switch.candidate),
        ..failover::Request::default()
    };
    let done = match failover::decide(topology, &seen, &request) {
        Ok(failover::Decision::Go(failover)) => failover::run(run, &failover).await,
        Ok(failover::Decision::Nothing { .. }) => return finish(run, switch, (began, told, attempts)).await,
        Err(more) => Err(more),
    };
    match done {
        Ok(done) => {
            let mut left = vec![
                Problem::warning(format!("`{old}` fell silent during the switch, and was ended"))
                    .help(format!("mgctl rejoin {old}")),
            ];
            left.extend(done.left);
            let since = told.unwrap_or(began).elapsed();
            let ready = done.redundant_after.saturating_sub(done.writable_after);
            Ok(Switched {
                write_pause: told.map(|_| since.saturating_sub(ready)),
                redundant_after: since,
                attempts: attempts.max(1),
                left,
            })
        }
        Err(more) => Err(and(error, &more)
            .note("the switch is broken off")
            .help("see `mgctl status`, then `mgctl up`")),
    }
}

/// Makes the old MAIN a MAIN again and registers everybody there. Returns what was not registered.
async fn restore<R: Runtime, N: Nodes, P: Progress>(
    run: &Execution<'_, R, N, P>,
    switch: &Switch,
    old: &str,
    candidate_was_told: bool,
) -> Result<Vec<Problem>, CliError> {
    // A candidate that did not answer may have become MAIN all the same. An epoch above the one that it
    // could have taken leaves no doubt about whose writes count.
    let mut query = main_query(None);
    if candidate_was_told && switch.has_positions {
        let target = run.target(old).await?;
        let rows = run.send(&target, "SHOW REPLICATION STATE;").await;
        let rows =
            rows.map_err(|e| node_failed(&run.wish.topology, &target, "SHOW REPLICATION STATE;", e))?;
        if let Some(position) = decode_state(&rows) {
            query = main_query(Some(position.highest() + 2));
        }
    }
    run.become_role(old, Role::Main, &query).await?;
    let topology = &run.wish.topology;
    let mut problems = Vec::new();
    let silent = |name: &str| switch.plan.notes.iter().any(|n| n.starts_with(&format!("{name}: ")));
    for instance in topology.instances.iter().filter(|i| i.name != old && !silent(&i.name)) {
        let step = Step {
            id: format!("register:{}", instance.register_as),
            needs: Vec::new(),
            action: register(topology, &switch.modes, instance, old),
            cause: "the switch is taken back".into(),
        };
        if let Err(error) = run.show(&step).await {
            problems.extend(error.problems().iter().cloned());
        }
    }
    Ok(problems)
}

impl<R: Runtime, N: Nodes, P: Progress> Execution<'_, R, N, P> {
    async fn step(&self, switch: &Switch, id: &str) -> Result<(), CliError> {
        let step = switch.plan.steps.iter().find(|s| s.id == id).expect("a switch has this step");
        self.show(step).await
    }

    /// Asks a node for its role, `None` if it does not answer.
    pub(super) async fn role_of(&self, instance: &str) -> Option<Role> {
        let target = self.target(instance).await.ok()?;
        ask_role(self.nodes, &target).await.ok()
    }

    /// Does a step and shows it.
    pub(super) async fn show(&self, step: &Step) -> Result<(), CliError> {
        self.progress.started(step);
        let began = Instant::now();
        let result = self.do_step(&step.action).await;
        match &result {
            Ok(detail) => self.progress.done(step, detail, began.elapsed()),
            Err(error) => self.progress.failed(step, error, began.elapsed()),
        }
        result.map(|_| ())
    }

    async fn position(&self, instance: &str) -> Result<Position, String> {
        let target = self.target(instance).await.map_err(|e| e.problem().what.clone())?;
        let rows = self.send(&target, "SHOW REPLICATION STATE;").await;
        let rows = rows.map_err(|e| format!("`{instance}` does not say where it is: {e}"))?;
        decode_state(&rows).ok_or_else(|| format!("`{instance}` does not say where it is"))
    }

    /// Waits until the candidate has every record that the old MAIN has. The error says what is missing.
    async fn prove(&self, switch: &Switch, candidate: &str, old: &str) -> Result<(), String> {
        let step = switch.plan.steps.iter().find(|s| s.id == "prove").expect("a switch has this step");
        self.progress.started(step);
        let began = Instant::now();
        let result = match switch.has_positions {
            true => self.compare(candidate, old, began).await,
            // Memgraph's image: a SYNC replica that was 0 behind has every acknowledged commit, and the
            // registration that follows refuses an old MAIN that has more.
            false => Ok("proved by registering".to_owned()),
        };
        match &result {
            Ok(detail) => self.progress.done(step, detail, began.elapsed()),
            Err(missing) => {
                let error = CliError::new(Exit::Unsafe, missing.clone()).code("MG041");
                self.progress.failed(step, &error, began.elapsed());
            }
        }
        result.map(|_| ())
    }

    async fn compare(&self, candidate: &str, old: &str, began: Instant) -> Result<String, String> {
        let last = self.position(old).await?;
        loop {
            let own = self.position(candidate).await?;
            if own.durable >= last.durable && own.applied >= last.applied {
                let parting = own.parting(&last);
                if !parting.covers() {
                    return Err(parting.describe(candidate, old));
                }
                return Ok(format!("both at {}", own.durable));
            }
            if began.elapsed() > ARRIVAL_TIME_MAX {
                let missing = last.durable.saturating_sub(own.durable);
                return Err(format!("`{candidate}` lacks the last {} of `{old}`", commits(missing)));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
