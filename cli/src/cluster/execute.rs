//! Walks a plan: starts every step whose needs are met, side by side, and decides nothing.
//!
//! After a failed step or an interrupt no new one is started, but for what makes a fenced MAIN that is being started a
//! REPLICA, or fences it again where it is being made anew; those that run are awaited. What is up stays up, and the next plan holds what is left.

use super::observed::{Machine, MachineState, NodeFacts, NodeView, Observed, decode_replicas, decode_state};
use super::plan::{
    Action, Host, Plan, RELEASE_QUERY, Step, StepId, drop_query, fence_query, main_query, register_query,
    replica_query,
};
use super::reconcile::{Wish, diverged, reconcile};
use super::rewind::{Branch, Parting};
use super::{NodeError, Nodes, ReplicaRow, Rows, Runtime, Target};
use crate::error::{CliError, Exit};
use crate::topology::{Mode, Role, Topology};
use crate::words::count;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Hears what happens.
pub trait Progress {
    /// A step begins.
    fn started(&self, step: &Step);
    /// A step is done; `detail` says what came of it.
    fn done(&self, step: &Step, detail: &str, took: Duration);
    /// A step failed.
    fn failed(&self, step: &Step, error: &CliError, took: Duration);
    /// A query goes to a node.
    fn query(&self, instance: &str, text: &str);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn started(&self, _: &Step) {}
    fn done(&self, _: &Step, _: &str, _: Duration) {}
    fn failed(&self, _: &Step, _: &CliError, _: Duration) {}
    fn query(&self, _: &str, _: &str) {}
}

/// A wish to stop, as by Ctrl-C.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Asks to stop after the steps that run.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Returns true once somebody asked.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Until when to wait.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    total: Duration,
}

impl Deadline {
    /// Returns the moment `total` from now.
    pub fn after(total: Duration) -> Deadline {
        Deadline { at: Instant::now() + total, total }
    }

    /// Returns true once it is over.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.at
    }

    /// Returns how long is left.
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Returns how long was allowed.
    pub fn total(&self) -> Duration {
        self.total
    }
}

/// Everything that walking a plan needs.
pub struct Execution<'a, R, N, P> {
    pub wish: &'a Wish,
    pub runtime: &'a R,
    pub nodes: &'a N,
    pub progress: &'a P,
    pub interrupt: Interrupt,
    pub deadline: Deadline,
}

/// How often a node is asked again while it is not yet as awaited. An inspection costs the engine less
/// than a millisecond.
const POLL: Duration = Duration::from_millis(15);
/// Between two requests to a node that has another such query under way.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// How long a machine may be between two starts before it counts as one that cannot start.
const RESTARTING_MAX: Duration = Duration::from_secs(3);

/// Makes the cluster as it is wished: observes, plans, executes, until nothing is left to do. Returns
/// the last state seen, and whether anything was done.
pub async fn converge<R: Runtime, N: Nodes, P: Progress>(
    run: &Execution<'_, R, N, P>,
) -> Result<(Observed, bool), CliError> {
    const ROUNDS_MAX: u32 = 8;
    let topology = &run.wish.topology;
    let mut wish = run.wish.clone();
    let mut previous: Option<Plan> = None;
    for round in 0..ROUNDS_MAX {
        let seen = observe(topology, run.runtime, run.nodes).await?;
        let plan = reconcile(&wish, &seen);
        if plan.is_done() {
            return Ok((seen, round > 0));
        }
        if let (true, Some(refusal)) = (plan.steps.is_empty(), &plan.refusal) {
            return Err(refusal.clone());
        }
        if previous.as_ref() == Some(&plan) {
            break;
        }
        execute(run, &plan).await?;
        // Each was level when it was waited for. While clients write, one is always about to be again.
        let only_waits = plan.steps.iter().all(|s| matches!(s.action, Action::AwaitLevel { .. }));
        if only_waits && plan.refusal.is_none() {
            return Ok((observe(topology, run.runtime, run.nodes).await?, true));
        }
        // Machines are made anew once, not again in each round.
        wish.options.recreate = false;
        wish.anew = None;
        previous = Some(plan);
    }
    let left: Vec<String> = previous
        .map(|p| p.steps.iter().map(|s| format!("{} ({})", s.action, s.cause)).collect())
        .unwrap_or_default();
    let mut error =
        CliError::new(Exit::Degraded, "every step succeeded, and the cluster is still not as the file says")
            .code("MG060")
            .thing(format!("cluster `{}`", topology.name));
    for line in left {
        error = error.note(format!("still to do: {line}"));
    }
    Err(error.help("see `mgctl status`"))
}

/// Reads what exists and asks every running node.
pub async fn observe<R: Runtime, N: Nodes>(
    topology: &Topology,
    runtime: &R,
    nodes: &N,
) -> Result<Observed, CliError> {
    let existing = runtime.observe(&topology.name, Some(topology)).await?;
    let views = ask_all(nodes, existing.machines.iter()).await;
    Ok(Observed { existing, nodes: views })
}

/// Asks every running machine's node what it is, side by side.
pub async fn ask_all<'a, N: Nodes>(
    nodes: &N,
    machines: impl Iterator<Item = (&'a String, &'a Machine)>,
) -> std::collections::BTreeMap<String, NodeView> {
    let asked = machines.filter(|(_, m)| m.may_answer()).map(|(name, machine)| async move {
        let view = match machine.bolt.clone() {
            Some(bolt) => ask_node(nodes, &Target { instance: name.clone(), bolt }).await,
            None => NodeView::Silent("its Bolt is not published".into()),
        };
        (name.clone(), view)
    });
    join_all(asked).await.into_iter().collect()
}

/// Asks one node for its role, its replicas, its position, and whether it was ever written to.
pub async fn ask_node<N: Nodes>(nodes: &N, target: &Target) -> NodeView {
    let silent = |error: NodeError| NodeView::Silent(error.to_string());
    let role = match ask_role(nodes, target).await {
        Ok(role) => role,
        Err(error) => return silent(error),
    };
    let replicas = match role {
        Role::Replica => Vec::new(),
        Role::Main => match nodes.ask(target, "SHOW REPLICAS;").await {
            Ok(rows) => decode_replicas(&rows),
            // It may have been demoted in between; what it is then is asked again.
            Err(error) => return silent(error),
        },
    };
    let position = match nodes.ask(target, "SHOW REPLICATION STATE;").await {
        Ok(rows) => decode_state(&rows),
        Err(NodeError::Refused { .. }) => None,
        Err(error) => return silent(error),
    };
    // Since 3.10 Memgraph tells of the graph only where it is asked for the database.
    let mut is_untouched = None;
    for query in ["SHOW STORAGE INFO;", "SHOW STORAGE INFO ON CURRENT DATABASE;"] {
        match nodes.ask(target, query).await {
            Ok(rows) => is_untouched = never_held_a_vertex(&rows),
            Err(NodeError::Refused { .. }) => {}
            Err(error) => return silent(error),
        }
        if is_untouched.is_some() {
            break;
        }
    }
    let is_untouched = is_untouched.unwrap_or(false);
    NodeView::Answered(Box::new(NodeFacts { role, replicas, position, is_untouched }))
}

pub(super) async fn ask_role<N: Nodes>(nodes: &N, target: &Target) -> Result<Role, NodeError> {
    let rows = nodes.ask(target, "SHOW REPLICATION ROLE;").await?;
    let word = rows.rows.first().and_then(|r| r.first()).and_then(Value::as_str).unwrap_or("");
    Role::parse(word).ok_or_else(|| NodeError::Unreachable(format!("it calls its role `{word}`")))
}

/// Reads the answer to `SHOW STORAGE INFO`: our node says how many ids it gave out, Memgraph's how many
/// vertices there are. `None` where the answer tells neither.
fn never_held_a_vertex(rows: &Rows) -> Option<bool> {
    let value = |name: &str| {
        let row = rows.rows.iter().find(|r| r.first().and_then(Value::as_str) == Some(name))?;
        match row.get(1)? {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        }
    };
    value("vertex_ids_given").or_else(|| value("vertex_count")).map(|count| count == 0)
}

/// Does the steps of a plan.
pub async fn execute<R: Runtime, N: Nodes, P: Progress>(
    run: &Execution<'_, R, N, P>,
    plan: &Plan,
) -> Result<(), CliError> {
    // What is owed is not broken off, and waits no longer than the deadline.
    let unheard = Execution { interrupt: Interrupt::default(), ..*run };
    let mut done: BTreeSet<StepId> = BTreeSet::new();
    let mut begun: BTreeSet<StepId> = BTreeSet::new();
    let mut running = FuturesUnordered::new();
    let mut failures: Vec<CliError> = Vec::new();
    loop {
        let goes_on = failures.is_empty() && !run.interrupt.is_raised();
        for step in &plan.steps {
            let is_next = !begun.contains(&step.id) && step.needs.iter().all(|n| done.contains(n));
            let is_owed = is_next && is_owed(plan, step, &begun);
            if is_next && (goes_on || is_owed) {
                begun.insert(step.id.clone());
                let walk = if is_owed { &unheard } else { run };
                running.push(async move {
                    run.progress.started(step);
                    let began = Instant::now();
                    let result = walk.do_step(&step.action).await;
                    let took = began.elapsed();
                    match &result {
                        Ok(detail) => run.progress.done(step, detail, took),
                        Err(error) => run.progress.failed(step, error, took),
                    }
                    (step, result)
                });
            }
        }
        match running.next().await {
            None => break,
            Some((step, Ok(_))) => {
                done.insert(step.id.clone());
            }
            Some((_, Err(error))) => failures.push(error),
        }
    }
    let exit = failures.iter().map(CliError::exit).find(|e| *e != Exit::Interrupted);
    if let Some(exit) = exit {
        let problems = failures.into_iter().flat_map(|e| e.problems().to_vec()).collect();
        return Err(CliError::of(exit, problems));
    }
    if done.len() < plan.steps.len() {
        return Err(interrupted(&run.wish.topology, done.len(), plan.steps.len()));
    }
    Ok(())
}

/// A node that a failover fenced comes back as the MAIN that it was. Once it is being started it has to become a REPLICA,
/// whatever else fails and whoever interrupts meanwhile. Once its machine is being removed, to be made anew, the new one has
/// to be fenced as the old one was.
fn is_owed(plan: &Plan, step: &Step, begun: &BTreeSet<StepId>) -> bool {
    let has = |is_it: &dyn Fn(&Step) -> bool| plan.steps.iter().any(is_it);
    match &step.action {
        Action::AwaitBolt(instance) | Action::BecomeReplica { instance, .. } => {
            let was_fenced = |s: &Step| matches!(&s.action, Action::UnfenceMachine(name) if name == instance);
            let is_starting = |s: &Step| {
                matches!(&s.action, Action::StartMachine(name) | Action::UnpauseMachine(name) if name == instance)
                    && begun.contains(&s.id)
            };
            has(&was_fenced) && has(&is_starting)
        }
        Action::CreateMachine(instance) | Action::FenceMachine(instance) => {
            let is_fenced = |s: &Step| matches!(&s.action, Action::FenceMachine(name) if name == instance);
            let is_going = |s: &Step| {
                matches!(&s.action, Action::RemoveMachine(name) if name == instance) && begun.contains(&s.id)
            };
            has(&is_fenced) && has(&is_going)
        }
        _ => false,
    }
}

fn interrupted(topology: &Topology, done: usize, all: usize) -> CliError {
    CliError::new(Exit::Interrupted, format!("interrupted after {done} of {}", count(all, "step")))
        .thing(format!("cluster `{}`", topology.name))
        .note("what was done stays, and no step was left half-done")
        .help("the same command goes on from here")
}

impl<R: Runtime, N: Nodes, P: Progress> Execution<'_, R, N, P> {
    /// Does one step, and says what came of it.
    pub(super) async fn do_step(&self, action: &Action) -> Result<String, CliError> {
        let topology = &self.wish.topology;
        match action {
            Action::LoadImage(_)
            | Action::CreateNetwork(_)
            | Action::CreateVolume(_)
            | Action::CreateAuthority
            | Action::IssueCertificate(_)
            | Action::CreateMachine(_)
            | Action::StartMachine(_)
            | Action::UnpauseMachine(_)
            | Action::StopMachine(_)
            | Action::RemoveMachine(_)
            | Action::RemoveVolume(_)
            | Action::SaveData { .. }
            | Action::FenceMachine(_)
            | Action::KeepDown(_)
            | Action::UnfenceMachine(_)
            | Action::KillMachine(_)
            | Action::PauseMachine(_)
            | Action::DisconnectMachine(_)
            | Action::ConnectMachine(_)
            | Action::RemoveNetwork => self.runtime.carry_out(topology, action).await,
            Action::AwaitBolt(instance) => self.await_bolt(instance).await,
            Action::BecomeReplica { instance, port } => {
                self.become_role(instance, Role::Replica, &replica_query(*port)).await
            }
            Action::BecomeMain { instance, epoch } => {
                self.become_role(instance, Role::Main, &main_query(*epoch)).await
            }
            Action::Reign { instance, epoch } => {
                let target = self.target(instance).await?;
                let query = main_query(Some(*epoch));
                self.send(&target, &query)
                    .await
                    .map_err(|e| node_failed(&self.wish.topology, &target, &query, e))?;
                Ok(format!("reigns in epoch {epoch}"))
            }
            Action::Rewind { instance, main } => self.rewind(instance, main).await,
            Action::Release { instance } => {
                let target = self.target(instance).await?;
                self.send(&target, RELEASE_QUERY)
                    .await
                    .map_err(|e| node_failed(&self.wish.topology, &target, RELEASE_QUERY, e))?;
                Ok("belongs to no cluster".into())
            }
            Action::Fence { instance, epoch, by } => self.fence(instance, *epoch, by).await,
            Action::Drop { main, name } => self.drop_replica(main, name).await,
            Action::Register { main, instance, name, mode, host, port } => {
                let host = match host {
                    Host::Known(host) => host.clone(),
                    Host::OfMachine => self.address_of(instance).await?,
                };
                self.register(main, name, *mode, &format!("{host}:{port}")).await
            }
            Action::AwaitLevel { main, name } => self.await_level(main, name).await,
            Action::Init { main } => self.init(main).await,
            Action::AskNodes => Ok("asked".into()),
            Action::Prove { .. } => unreachable!("a switchover has an executor of its own"),
        }
    }

    /// Returns where a node's Bolt is reached.
    pub(super) async fn target(&self, instance: &str) -> Result<Target, CliError> {
        let topology = &self.wish.topology;
        let machine = self.runtime.machine(&topology.name, instance).await?;
        let Some(machine) = machine else {
            return Err(CliError::new(Exit::NotFound, format!("`{instance}` does not exist"))
                .code("MG065")
                .thing(format!("cluster `{}`", topology.name))
                .help("`mgctl up` makes it"));
        };
        match machine.bolt.clone() {
            Some(bolt) if machine.may_answer() => Ok(Target { instance: instance.to_owned(), bolt }),
            _ => Err(self.ended(instance, &machine).await),
        }
    }

    async fn address_of(&self, instance: &str) -> Result<String, CliError> {
        let topology = &self.wish.topology;
        let machine = self.runtime.machine(&topology.name, instance).await?;
        match machine.as_ref().and_then(|m| m.address) {
            Some(ip) => Ok(ip.to_string()),
            None => Err(CliError::new(Exit::Degraded, format!("`{instance}` has no address"))
                .code("MG066")
                .thing(format!("cluster `{}`", topology.name))
                .note(machine.map_or("it does not exist".to_owned(), |m| format!("it is {}", m.state)))
                .help(format!("see `mgctl logs {instance}`, then `mgctl up` again"))),
        }
    }

    /// Asks a node to do something. One that has another such query under way has done nothing yet, and is asked
    /// again a few times.
    pub(super) async fn send(&self, target: &Target, query: &str) -> Result<Rows, NodeError> {
        const BUSY_RETRIES: u32 = 20;
        for _ in 0..BUSY_RETRIES {
            self.progress.query(&target.instance, query);
            match self.nodes.ask(target, query).await {
                Err(error) if is_busy(&error) && !self.deadline.is_over() && !self.interrupt.is_raised() => {
                    tokio::time::sleep(BUSY_PAUSE.min(self.deadline.left())).await;
                }
                answer => return answer,
            }
        }
        self.nodes.ask(target, query).await
    }

    /// Cuts a REPLICA's log back to the last record that MAIN has too.
    async fn rewind(&self, instance: &str, main: &str) -> Result<String, CliError> {
        const STATE: &str = "SHOW REPLICATION STATE;";
        let mut branches = Vec::new();
        for name in [instance, main] {
            let target = self.target(name).await?;
            let rows = self
                .send(&target, STATE)
                .await
                .map_err(|e| node_failed(&self.wish.topology, &target, STATE, e))?;
            branches.push(Branch::decode(&rows).ok_or_else(|| {
                CliError::new(Exit::Degraded, format!("`{name}` does not tell the history of its log"))
                    .code("MG068")
            })?);
        }
        let Parting { at: Some(common), own: surplus, .. } = branches[0].parting(&branches[1]) else {
            // Nothing in common: the registration says so, and nothing is cut.
            return Ok("has no record in common".into());
        };
        if surplus == 0 {
            return Ok("nothing to cut".into());
        }
        let target = self.target(instance).await?;
        let query = format!("REWIND REPLICATION TO \"{common}\";");
        self.send(&target, &query).await.map_err(|e| node_failed(&self.wish.topology, &target, &query, e))?;
        Ok(format!("{} kept aside", count(surplus, "commit")))
    }

    async fn ended(&self, instance: &str, machine: &Machine) -> CliError {
        let mut error =
            CliError::new(Exit::Degraded, format!("`{instance}` does not run: {}", machine.state))
                .code("MG070")
                .thing(machine.name.clone());
        let lines = self.runtime.last_lines(&self.wish.topology.name, instance, 20).await;
        let has_lines = !lines.is_empty();
        error = error.note(if has_lines { "its last lines:" } else { "its log has no line to show" });
        error = lines.into_iter().fold(error, CliError::note);
        match machine.state {
            MachineState::Exited { out_of_memory: true, .. } => {
                error.help(format!("raise instances.{instance}.memory, then `mgctl up` again"))
            }
            _ if has_lines => error.help(format!("all of them: mgctl logs {instance}")),
            _ => error.help("see `mgctl status`"),
        }
    }

    fn interrupted(&self) -> CliError {
        CliError::new(Exit::Interrupted, "interrupted while waiting")
            .thing(format!("cluster `{}`", self.wish.topology.name))
    }

    async fn await_bolt(&self, instance: &str) -> Result<String, CliError> {
        let mut restarting_since: Option<Instant> = None;
        let cluster = &self.wish.topology.name;
        let check = self.wish.topology.instance(instance).map(|i| i.container.healthcheck.clone());
        // A test of the file's own is run by the engine, by those times.
        let check = check.filter(|check| check.test.is_empty()).unwrap_or_default();
        let (began, mut failures) = (Instant::now(), 0);
        self.progress.query(instance, "SHOW REPLICATION ROLE;");
        loop {
            let last;
            let Some(machine) = self.runtime.machine(cluster, instance).await? else {
                return Err(CliError::new(
                    Exit::Degraded,
                    format!("`{instance}` was removed while it started"),
                )
                .code("MG070")
                .thing(format!("cluster `{cluster}`"))
                .help("`mgctl up` makes it again"));
            };
            match (&machine.state, machine.bolt.clone()) {
                (MachineState::Running | MachineState::Elsewhere, Some(bolt)) => {
                    let target = Target { instance: instance.to_owned(), bolt };
                    let asked = ask_role(self.nodes, &target);
                    let answer = match check.timeout {
                        Some(time_max) => tokio::time::timeout(time_max, asked)
                            .await
                            .unwrap_or(Err(NodeError::TimedOut(time_max))),
                        None => asked.await,
                    };
                    let bolt = &target.bolt;
                    match answer {
                        Ok(role) => return Ok(format!("{bolt} answers as {role}")),
                        // It speaks Bolt, and says why it will not answer.
                        Err(NodeError::Refused { code, message }) => {
                            return Err(CliError::new(
                                Exit::Degraded,
                                format!("`{instance}` refuses to answer: {message}"),
                            )
                            .code("MG069")
                            .thing(format!("{}, Bolt {bolt}, {code}", machine.name))
                            .help(format!("see {}", logs_of(&self.wish.topology, instance))));
                        }
                        Err(error) => last = error.to_string(),
                    }
                    failures += u32::from(began.elapsed() >= check.start_period.unwrap_or_default());
                }
                (MachineState::Running | MachineState::Elsewhere, None) => {
                    last = "its Bolt is not published".into()
                }
                (MachineState::Starting, _) => last = "its host prepares it".into(),
                (MachineState::Lost { host }, bolt) => {
                    let asked = bolt.map(|bolt| Target { instance: instance.to_owned(), bolt });
                    match asked {
                        Some(target) if ask_role(self.nodes, &target).await.is_ok() => {
                            return Ok(format!("{} answers; its host is not heard of", target.bolt));
                        }
                        _ => return Err(lost(&self.wish.topology, instance, host)),
                    }
                }
                (MachineState::Restarting, _) => {
                    let since = *restarting_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > RESTARTING_MAX {
                        return Err(self.ended(instance, &machine).await);
                    }
                    last = "it ends again after each start".into();
                }
                _ => return Err(self.ended(instance, &machine).await),
            }
            if self.interrupt.is_raised() {
                return Err(self.interrupted());
            }
            let gives_up = check.retries.is_some_and(|retries| failures >= retries);
            if self.deadline.is_over() || gives_up {
                let waited = match gives_up {
                    true => format!("to {} in a row", count(failures, "probe")),
                    false => format!("within {}s", self.deadline.total().as_secs()),
                };
                let mut error =
                    CliError::new(Exit::TimedOut, format!("`{instance}` did not answer {waited}"))
                        .code("MG073")
                        .thing(machine.name.clone())
                        .note(last);
                for line in self.runtime.last_lines(cluster, instance, 5).await {
                    error = error.note(line);
                }
                let see = format!("see {}", logs_of(&self.wish.topology, instance));
                return Err(error.help(see).help(match gives_up {
                    true => "or have it probed more often: `healthcheck.retries`, `healthcheck.start_period`",
                    false => "or wait longer with --wait-timeout",
                }));
            }
            tokio::time::sleep(check.interval.map_or(POLL, |interval| interval.min(self.deadline.left())))
                .await;
        }
    }

    /// Sets a role where it is not so already.
    pub(super) async fn become_role(
        &self,
        instance: &str,
        role: Role,
        query: &str,
    ) -> Result<String, CliError> {
        let target = self.target(instance).await?;
        self.progress.query(instance, "SHOW REPLICATION ROLE;");
        let failed = |error: NodeError| node_failed(&self.wish.topology, &target, query, error);
        if ask_role(self.nodes, &target).await.map_err(failed)? == role {
            return Ok(format!("is {role} already"));
        }
        if let Err(error) = self.send(&target, query).await {
            // Whatever the answer was, the role says what happened.
            if ask_role(self.nodes, &target).await != Ok(role) {
                return Err(failed(error));
            }
        }
        Ok(format!("is {role}"))
    }

    /// Fences a node. Asked again by the same operation, it is fenced already.
    async fn fence(&self, instance: &str, epoch: u64, by: &str) -> Result<String, CliError> {
        let target = self.target(instance).await?;
        let query = fence_query(epoch, by);
        let asked = match self.send(&target, &query).await {
            Err(NodeError::TimedOut(_) | NodeError::Unreachable(_)) => self.send(&target, &query).await,
            answer => answer,
        };
        asked.map_err(|error| node_failed(&self.wish.topology, &target, &query, error))?;
        Ok(format!("obeys nobody below epoch {epoch}"))
    }

    async fn drop_replica(&self, main: &str, name: &str) -> Result<String, CliError> {
        let target = self.target(main).await?;
        let query = drop_query(name);
        match self.send(&target, &query).await {
            Ok(_) => Ok("dropped".into()),
            Err(error) => {
                let gone = self.rows(&target).await.is_ok_and(|rows| rows.iter().all(|r| r.name != name));
                if gone {
                    Ok("was dropped already".into())
                } else {
                    Err(node_failed(&self.wish.topology, &target, &query, error))
                }
            }
        }
    }

    pub(super) async fn rows(&self, main: &Target) -> Result<Vec<ReplicaRow>, NodeError> {
        self.nodes.ask(main, "SHOW REPLICAS;").await.map(|rows| decode_replicas(&rows))
    }

    /// Registers a replica, unless it is registered just so.
    pub(super) async fn register(
        &self,
        main: &str,
        name: &str,
        mode: Mode,
        address: &str,
    ) -> Result<String, CliError> {
        let target = self.target(main).await?;
        let query = register_query(name, mode, address);
        let mut dropped = false;
        loop {
            let rows = self
                .rows(&target)
                .await
                .map_err(|e| node_failed(&self.wish.topology, &target, "SHOW REPLICAS;", e))?;
            match rows.iter().find(|r| r.name == name) {
                Some(row) if row.address == address && row.mode == Some(mode) && row.status != "invalid" => {
                    return Ok(format!("{address}, registered already"));
                }
                // Left behind by a registration that failed: Memgraph keeps its name.
                Some(_) if !dropped => {
                    dropped = true;
                    self.drop_replica(main, name).await?;
                }
                _ => {}
            }
            let error = match self.send(&target, &query).await {
                Ok(_) => return Ok(address.to_owned()),
                Err(error) => error,
            };
            match register_code(&error) {
                Some(1) if !dropped => {}
                code => return Err(register_failed(&target, &query, code, error, &self.wish.topology, name)),
            }
        }
    }

    async fn await_level(&self, main: &str, name: &str) -> Result<String, CliError> {
        let target = self.target(main).await?;
        let topology = &self.wish.topology;
        let instance = topology.instances.iter().find(|i| i.register_as == name);
        self.progress.query(main, "SHOW REPLICAS;");
        let mut checked = Instant::now();
        loop {
            let last;
            match self.rows(&target).await {
                Ok(rows) => match rows.iter().find(|r| r.name == name) {
                    Some(row) if row.is_level() => return Ok("ready, behind 0".into()),
                    Some(row) if row.status == "diverged" => {
                        return Err(match instance {
                            Some(instance) => diverged(topology, instance, main),
                            None => CliError::new(Exit::Degraded, format!("replica `{name}` diverged"))
                                .code("MG042"),
                        });
                    }
                    Some(row) => last = format!("{}, {} behind `{main}`", row.status, row.behind),
                    None => {
                        return Err(CliError::new(
                            Exit::Degraded,
                            format!("`{main}` does not know replica `{name}` any more"),
                        )
                        .code("MG074")
                        .thing(format!("cluster `{}`", topology.name))
                        .help("someone dropped it meanwhile; `mgctl up` registers it again"));
                    }
                },
                Err(error) => last = format!("`{main}` does not answer: {error}"),
            }
            if let (Some(instance), true) = (instance, checked.elapsed() > Duration::from_secs(1)) {
                checked = Instant::now();
                if let Some(machine) = self.runtime.machine(&topology.name, &instance.name).await?
                    && matches!(machine.state, MachineState::Exited { .. })
                {
                    return Err(self.ended(&instance.name, &machine).await);
                }
            }
            if self.interrupt.is_raised() {
                return Err(self.interrupted());
            }
            if self.deadline.is_over() {
                let waited = self.deadline.total().as_secs();
                let shown = instance.map_or(name, |i| &i.name);
                return Err(CliError::new(
                    Exit::TimedOut,
                    format!("replica `{shown}` did not catch up within {waited}s"),
                )
                .code("MG071")
                .thing(format!("{}, registered as `{name}`; {last}", topology.place))
                .help(format!("see {}, or wait longer with --wait-timeout", logs_of(topology, shown))));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn init(&self, main: &str) -> Result<String, CliError> {
        let target = self.target(main).await?;
        for statement in self.wish.init.iter().filter(|s| s.is_schema) {
            if let Err(error) = self.send(&target, &statement.text).await
                && !matches!(&error, NodeError::Refused { message, .. } if message.contains("exist"))
            {
                return Err(init_failed(&target, &statement.text, error));
            }
        }
        let data: Vec<&str> =
            self.wish.init.iter().filter(|s| !s.is_schema).map(|s| s.text.as_str()).collect();
        if !data.is_empty() {
            for text in &data {
                self.progress.query(main, text);
            }
            self.nodes.transact(&target, &data).await.map_err(|e| init_failed(&target, data[0], e))?;
        }
        Ok(count(self.wish.init.len(), "statement"))
    }
}

fn init_failed(target: &Target, statement: &str, error: NodeError) -> CliError {
    let first = statement.lines().next().unwrap_or("");
    CliError::new(Exit::Degraded, format!("init.cypher failed on `{}`: {error}", target.instance))
        .code("MG075")
        .thing(format!("Bolt {}, near `{first}`", target.bolt))
        .note("its data statements are one transaction: all of them are there, or none")
        .help("correct the file and run `mgctl up` again; it is run while the graph has never held a vertex")
}

/// The error for a node of whose host nobody hears.
fn lost(topology: &Topology, instance: &str, host: &str) -> CliError {
    CliError::new(Exit::Degraded, format!("`{instance}` is on host `{host}`, which is not reached"))
        .code("MG095")
        .thing(format!("cluster `{}`", topology.name))
        .note("whether it runs there is not known; its data are on that host")
        .help("bring the host back, then: mgctl up")
        .help("if it was MAIN, and the host stays away: mgctl failover")
}

/// Returns what tells the log of a node.
pub(super) fn logs_of(topology: &Topology, instance: &str) -> String {
    match topology.is_external() {
        true => format!("the log of `{instance}`, where it runs,"),
        false => format!("`mgctl logs {instance}`"),
    }
}

/// The error for a query that a node did not carry out.
pub(super) fn node_failed(topology: &Topology, target: &Target, query: &str, error: NodeError) -> CliError {
    let (exit, code) = match error {
        NodeError::Unreachable(_) => (Exit::Degraded, "MG068"),
        NodeError::Refused { .. } => (Exit::Degraded, "MG067"),
        NodeError::TimedOut(_) => (Exit::TimedOut, "MG072"),
    };
    let verb = match error {
        NodeError::Refused { .. } => "refused",
        _ => "did not answer",
    };
    CliError::new(exit, format!("`{}` {verb} `{}`: {error}", target.instance, query.trim_end_matches(';')))
        .code(code)
        .thing(format!("Bolt {}", target.bolt))
        .help(format!("see {} and `mgctl status`", logs_of(topology, &target.instance)))
}

/// Whether another role or registration query was under way: the texts of both servers, which say it in three ways.
fn is_busy(error: &NodeError) -> bool {
    const TEXTS: [&str; 3] = [
        "lack of unique access",
        "Another role or registration query is under way",
        "Multiple concurrent system queries are not supported",
    ];
    let NodeError::Refused { message, .. } = error else { return false };
    register_code(error) == Some(6) || TEXTS.iter().any(|text| message.contains(text))
}

/// The number in `Couldn't register replica R. Error: N`.
fn register_code(error: &NodeError) -> Option<u32> {
    let NodeError::Refused { message, .. } = error else { return None };
    let digits: String = message.split_once("Error: ")?.1.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Puts the server's number into words.
fn register_failed(
    target: &Target,
    query: &str,
    code: Option<u32>,
    error: NodeError,
    topology: &Topology,
    name: &str,
) -> CliError {
    let instance = topology.instances.iter().find(|i| i.register_as == name);
    let shown = instance.map_or(name, |i| &i.name);
    let (short, why, next) = match code {
        Some(1) => (
            "MG051",
            "the name is registered already".to_owned(),
            "see `mgctl show-replicas`; `mgctl unregister` removes it".to_owned(),
        ),
        Some(2) => (
            "MG052",
            "the address is registered under another name".to_owned(),
            "see `mgctl show-replicas`".to_owned(),
        ),
        Some(3) => match instance {
            Some(instance) => {
                return diverged(topology, instance, &target.instance)
                    .note(format!("`{}` said: {error}", target.instance));
            }
            None => (
                "MG053",
                "it holds commits that MAIN does not have".to_owned(),
                "see `mgctl status`".to_owned(),
            ),
        },
        Some(4) => (
            "MG054",
            "MAIN could not write the registration to its disk".to_owned(),
            format!("see {}", logs_of(topology, &target.instance)),
        ),
        Some(5) => (
            "MG055",
            format!("`{shown}` does not answer there as a REPLICA"),
            match error.to_string().contains("RELEASE REPLICATION MAIN") {
                true => format!("`mgctl rejoin {shown}` releases it, and registers it here"),
                false => {
                    format!("see {} and `mgctl status`; `mgctl up` tries again", logs_of(topology, shown))
                }
            },
        ),
        Some(6) => {
            ("MG056", "another role query was under way all the time".to_owned(), "try again".to_owned())
        }
        _ => return node_failed(topology, target, query, error),
    };
    CliError::new(
        Exit::Degraded,
        format!("`{shown}` could not be registered at `{}`: {why}", target.instance),
    )
    .code(short)
    .thing(format!("Bolt {}, `{}`", target.bolt, query.trim_end_matches(';')))
    .note(format!("`{}` said: {error}", target.instance))
    .help(next)
}
