//! The failover: MAIN is gone, and another node takes its place so that the old one can never write again.
//!
//! ```text
//! fence    every node that answers promises an epoch to this operation     the old MAIN's commits are OK no more
//! kill     whatever may be the old MAIN is ended and stays so              it answers nobody any more
//! choose   the nodes are asked again: whoever holds all that the others hold is the candidate
//! promote  the candidate becomes MAIN in that epoch                        writes go on
//! register the others at the new MAIN
//! ready    all of them are 0 behind
//! ```
//!
//! An operation is known by its epoch and its name, which the fenced nodes keep: whoever comes after a run that
//! was broken off finds both there, and goes on in its name above its epoch. No file remembers anything.
//!
//! What is lost is told before it is: nothing that was acknowledged OK where a SYNC replica answers, since
//! every one of them had it; what an ASYNC replica lacks cannot be known once MAIN is gone, and needs a word
//! of the operator. Memgraph's own image knows no fences and no positions: there the kill alone fences.
//!
//! Nodes that someone else runs cannot be ended from here, and neither can one on a host of a swarm whose managers do
//! not hear of it. One that answers is demoted instead, which it keeps over a restart. One that does not answer may
//! still take writes from clients that reach it: nobody is promoted then, unless the operator says that it has ended,
//! or accepts it (`--force-unfenced`). One on a lost host is kept from being run again first.

pub use super::candidate::Loss;
use super::candidate::{self, Views, facts, refuse};
use super::execute::{Execution, Progress, ask_all};
use super::modes::Modes;
use super::observed::{Existing, Machine, MachineState, NodeFacts, NodeView, Observed, Position};
use super::plan::{Action, Plan, Step, StepId};
use super::promote::register;
use super::reconcile::{main_is_orphan, orphans};
use super::{Nodes, Runtime};
use crate::error::{CliError, Exit, Problem};
use crate::topology::{Instance, Role, Topology};
use futures_util::future::join_all;
use std::time::{Duration, Instant};

/// The code of a machine that was told to end, and of which nobody said that it did.
pub const UNSEEN_END: &str = "MG096";

/// What every operation's name begins with.
pub const OPERATION: &str = "mgctl failover ";

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Who is to be MAIN; else whoever holds what all the others hold.
    pub candidate: Option<String>,
    /// Accepts that commits may be lost.
    pub force: bool,
    /// Ends a MAIN that answers too.
    pub kill_main: bool,
    /// Goes on although nodes that someone else runs do not answer and so cannot be fenced.
    pub force_unfenced: bool,
    /// Name of this operation, should it be a new one.
    pub operation: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// This node is MAIN, and there is nothing to finish.
    Nothing { main: String },
    /// MAIN is replaced.
    Go(Box<Failover>),
}

/// A failover that may begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Failover {
    /// Who becomes MAIN, by what is known now; the nodes are asked again when the old MAIN is gone.
    pub candidate: String,
    /// Machines that may be the old MAIN, and why, in words.
    pub suspects: Vec<(String, String)>,
    /// Those of them that nobody here can fence: they do not answer, and someone else runs them.
    pub unfenced: Vec<String>,
    /// The epoch of the new MAIN; `None` where the image knows none.
    pub epoch: Option<u64>,
    /// The name of the operation.
    pub operation: String,
    /// Whether it was begun before.
    pub resumes: bool,
    /// Whether the candidate is MAIN already, by an earlier run.
    pub is_promoted: bool,
    /// What it costs.
    pub loss: Loss,
    /// The steps, in their order.
    pub plan: Plan,
    /// How MAIN waits for each of the others, as it did before.
    pub modes: Modes,
    request: Request,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct FailedOver {
    /// Who is MAIN.
    pub main: String,
    /// What it cost.
    pub loss: Loss,
    /// How long the fences and the end of the old MAIN took.
    pub fenced_after: Duration,
    /// From the beginning until the new MAIN took writes.
    pub writable_after: Duration,
    /// From the beginning until every replica was 0 behind.
    pub redundant_after: Duration,
    /// Nodes that may have been MAIN, and of which nobody here saw that they ended.
    pub unfenced: Vec<String>,
    /// What is not as it should be although MAIN moved.
    pub left: Vec<Problem>,
}

/// Decides whether a failover may begin, and how. Pure.
pub fn decide(topology: &Topology, seen: &Observed, request: &Request) -> Result<Decision, CliError> {
    let machines = &seen.existing.machines;
    let nodes = &seen.nodes;
    if let Some(name) = &request.candidate {
        topology.instance(name).ok_or_else(|| {
            let names: Vec<&str> = topology.instances.iter().map(|i| i.name.as_str()).collect();
            CliError::new(Exit::NotFound, format!("cluster `{}` has no node `{name}`", topology.name))
                .code("MG065")
                .note(format!("it has: {}", names.join(", ")))
        })?;
    }
    let is_fenced = |name: &str, f: &NodeFacts| {
        machines.get(name).is_some_and(|m| m.is_fenced)
            || f.position.as_ref().is_some_and(Position::is_fenced)
    };
    let of_role = |role: Role| {
        topology
            .instances
            .iter()
            .filter_map(move |i| Some((i, facts(nodes, &i.name)?)))
            .filter(move |(_, f)| f.role == role)
    };
    let mains: Vec<(&Instance, &NodeFacts)> =
        of_role(Role::Main).filter(|(i, f)| !is_fenced(&i.name, f)).collect();
    let begun = begun(nodes);
    if !request.kill_main
        && let Some(refusal) = main_is_orphan(topology, seen)
    {
        return Err(refusal);
    }

    if let [(main, own), more @ ..] = mains.as_slice() {
        if let [(other, _), ..] = more
            && !request.kill_main
        {
            return Err(refuse(topology, format!("several nodes are MAIN: {}, {}", main.name, other.name))
                .code("MG043")
                .note("nothing was changed")
                .help("mgctl repair"));
        }
        // A run that was broken off after its promotion: the rest is left to do.
        let unfollowed = |f: &NodeFacts| f.position.as_ref().is_some_and(Position::is_fenced);
        let highest = own.position.as_ref().map_or(0, Position::highest);
        let is_rest = begun.as_ref().is_some_and(|(epoch, _)| *epoch <= highest)
            && of_role(Role::Replica).any(|(_, f)| unfollowed(f));
        let is_named = request.candidate.as_ref().is_none_or(|c| *c == main.name);
        if is_rest && is_named {
            let (epoch, operation) = begun.unwrap_or_default();
            let mut failover = Failover {
                candidate: main.name.clone(),
                suspects: Vec::new(),
                unfenced: Vec::new(),
                epoch: Some(epoch),
                operation,
                resumes: true,
                is_promoted: true,
                loss: Loss::Told,
                plan: Plan::default(),
                modes: Modes::in_force(topology, seen, None),
                request: request.clone(),
            };
            failover.plan = failover.plan(topology, seen);
            return Ok(Decision::Go(Box::new(failover)));
        }
        if request.candidate.as_ref() == Some(&main.name) {
            return Ok(Decision::Nothing { main: main.name.clone() });
        }
        if !request.kill_main {
            let other = topology.instances.iter().find(|i| i.name != main.name);
            let better = request.candidate.as_ref().or(other.map(|i| &i.name));
            return Err(refuse(topology, format!("`{}` is MAIN, answers, and takes writes", main.name))
                .note("a failover is for a MAIN that is gone; nothing was changed")
                .help(format!(
                    "to move MAIN without a loss: mgctl promote {}",
                    better.map_or("NAME", String::as_str)
                ))
                .help("to end it and lose what only it has: --kill-main"));
        }
    }

    // Whoever does not say that it is a REPLICA may be MAIN, or become it when it is started again.
    let mut suspects = Vec::new();
    // A node that the file does not name is ended like any other.
    let all = topology.instances.iter().map(|i| i.name.as_str());
    for name in all.chain(orphans(topology, seen).map(|orphan| orphan.name)) {
        let Some(machine) = machines.get(name) else { continue };
        let why = match nodes.get(name) {
            Some(NodeView::Answered(f)) if f.role == Role::Replica => continue,
            Some(NodeView::Answered(f)) if f.position.as_ref().is_some_and(Position::is_fenced) => {
                "is MAIN and fenced".to_owned()
            }
            Some(NodeView::Answered(_)) => "is MAIN".to_owned(),
            Some(NodeView::Silent(why)) => format!("is {} and does not answer: {why}", machine.state),
            None if machine.is_fenced && matches!(machine.state, MachineState::Exited { .. }) => continue,
            None => format!("is {}", machine.state),
        };
        suspects.push((name.to_owned(), why));
    }
    let is_lost = |name: &String| machines.get(name).is_some_and(Machine::is_lost);
    let is_beyond_reach =
        |name: &&String| (topology.is_external() || is_lost(name)) && facts(nodes, name).is_none();
    let unfenced: Vec<String> = suspects.iter().map(|(n, _)| n).filter(is_beyond_reach).cloned().collect();
    let answering: Vec<&NodeFacts> = of_role(Role::Replica).map(|(_, f)| f).collect();
    let has_positions = !answering.is_empty() && answering.iter().all(|f| f.position.is_some());
    let (candidate, loss) = candidate::pick(topology, nodes, request)?;
    candidate::accept(topology, nodes, request, &candidate, &loss)?;
    if !unfenced.is_empty() && !request.force_unfenced {
        return Err(beyond_reach(topology, &seen.existing, &unfenced, has_positions));
    }

    let highest =
        nodes.values().filter_map(|v| v.facts()?.position.as_ref()).map(Position::highest).max().unwrap_or(0);
    // The name goes on. The number does not: a promotion that no node here saw may have used it.
    let resumed = begun.filter(|(epoch, _)| *epoch >= highest).map(|(_, operation)| operation);
    let resumes = resumed.is_some();
    let operation = resumed.unwrap_or_else(|| request.operation.clone());
    let epoch = highest + 1;
    let mut failover = Failover {
        candidate,
        suspects,
        unfenced,
        epoch: has_positions.then_some(epoch),
        operation,
        resumes,
        is_promoted: false,
        loss,
        plan: Plan::default(),
        modes: Modes::in_force(topology, seen, None),
        request: request.clone(),
    };
    failover.plan = failover.plan(topology, seen);
    Ok(Decision::Go(Box::new(failover)))
}

/// The error for nodes that may be MAIN and can be neither ended nor told.
fn beyond_reach(
    topology: &Topology,
    existing: &Existing,
    unfenced: &[String],
    has_positions: bool,
) -> CliError {
    let names = unfenced.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    let hosts: Vec<String> = unfenced
        .iter()
        .filter_map(|name| match &existing.machines.get(name)?.state {
            MachineState::Lost { host } => Some(format!("`{host}`")),
            _ => None,
        })
        .collect();
    let host_is_lost = format!(
        "nobody hears of host {}: what runs there may run on, cut off from here alone",
        hosts.join(", ")
    );
    let (runs, seen) = match unfenced.len() {
        _ if !hosts.is_empty() => {
            (host_is_lost.as_str(), "at the host itself that it is off, or that its containers have ended")
        }
        1 => (
            "someone else runs it, and it does not answer from here",
            "where it runs that it has ended and stays so",
        ),
        _ => (
            "someone else runs them, and they do not answer from here",
            "where they run that they have ended and stay so",
        ),
    };
    let mut error =
        CliError::new(Exit::Unsafe, format!("{names} cannot be fenced, and may still take writes"))
            .code("MG040")
            .thing(format!("cluster `{}`", topology.name))
            .note(runs)
            .note("clients that reach an old MAIN could go on writing there, and those writes would be lost");
    if has_positions {
        error = error.note(
            "the replicas let it go before one is promoted: from then on it says DEGRADED and not OK, and it stops once it hears of them",
        );
    }
    error
        .note("nobody was promoted")
        .help(match hosts.is_empty() {
            true => "bring it back, where it can be: mgctl up",
            false => "bring the host back, where it can be: the swarm goes on by itself",
        })
        .help(format!("see {seen}, then: mgctl failover --force-unfenced"))
}

/// The operation that was begun and whose epoch nobody reigns in yet, by what the nodes promised.
fn begun(nodes: &Views) -> Option<(u64, String)> {
    nodes
        .values()
        .filter_map(|v| v.facts()?.position.as_ref())
        .filter(|p| p.is_fenced() && p.promised_by.starts_with(OPERATION))
        .map(|p| (p.promised_number(), p.promised_by.clone()))
        .max()
}

impl Failover {
    fn plan(&self, topology: &Topology, seen: &Observed) -> Plan {
        let mut plan = Plan::default();
        let mut fences: Vec<StepId> = Vec::new();
        if let (Some(epoch), false) = (self.epoch, self.is_promoted) {
            let answers = |i: &&Instance| facts(&seen.nodes, &i.name).is_some_and(|f| f.position.is_some());
            for instance in topology.instances.iter().filter(answers) {
                let id = format!("fence:{}", instance.name);
                let by = self.operation.clone();
                let cause = match facts(&seen.nodes, &instance.name).map(|f| f.role) {
                    Some(Role::Main) => "it must take no more writes",
                    _ => "the old MAIN must get no more OK from it",
                };
                plan.push(
                    id.clone(),
                    &[],
                    Action::Fence { instance: instance.name.clone(), epoch, by },
                    cause,
                );
                fences.push(id);
            }
        }
        let mut before = fences.clone();
        // A host that comes back must not run its old MAIN again, whoever said that it has ended.
        for name in self
            .unfenced
            .iter()
            .filter(|name| seen.existing.machines.get(*name).is_some_and(Machine::is_lost))
        {
            let id = format!("keep-down:{name}");
            plan.push(id.clone(), &fences, Action::KeepDown(name.clone()), "its host may come back");
            before.push(id);
        }
        for (name, why) in self.suspects.iter().filter(|(name, _)| !self.unfenced.contains(name)) {
            let id = format!("kill:{name}");
            let cause = format!("it {why}, and must not write");
            let is_lost = seen.existing.machines.get(name).is_some_and(Machine::is_lost);
            let action = match topology.instance(name).filter(|_| topology.is_external() || is_lost) {
                // It answers, though nobody can end it, and keeps that it is no MAIN any more.
                Some(instance) => {
                    Action::BecomeReplica { instance: name.clone(), port: instance.replication_port }
                }
                None => Action::FenceMachine(name.clone()),
            };
            plan.push(id.clone(), &fences, action, cause);
            before.push(id);
        }
        let candidate = &self.candidate;
        if !self.is_promoted {
            let promote = Action::BecomeMain { instance: candidate.clone(), epoch: self.epoch };
            plan.push("promote", &before, promote, format!("estimated loss: {}", self.loss));
        }
        self.plan_followers(topology, &seen.nodes, &mut plan);
        plan
    }

    fn plan_followers(&self, topology: &Topology, nodes: &Views, plan: &mut Plan) {
        let candidate = &self.candidate;
        let mut previous: StepId = "promote".into();
        let follows = |i: &&Instance| facts(nodes, &i.name).is_some_and(|f| f.role == Role::Replica);
        let others: Vec<&Instance> =
            topology.instances.iter().filter(|i| i.name != *candidate).filter(follows).collect();
        for instance in &others {
            let id = format!("register:{}", instance.register_as);
            let needs = [std::mem::replace(&mut previous, id.clone())];
            let cause = format!("`{candidate}` knows no replicas yet");
            plan.push(id, &needs, register(topology, &self.modes, instance, candidate), cause);
        }
        for instance in &others {
            let level = Action::AwaitLevel { main: candidate.clone(), name: instance.register_as.clone() };
            let needs = [format!("register:{}", instance.register_as)];
            plan.push(format!("ready:{}", instance.register_as), &needs, level, "it was just registered");
        }
        for (name, _) in &self.suspects {
            let state = match (topology.is_external(), self.unfenced.contains(name)) {
                (false, false) => "stays down",
                (false, true) => "is not run again when its host is back; that it has ended nobody saw",
                (true, false) => "is MAIN no more",
                (true, true) => "is not fenced, and must not come back as MAIN",
            };
            plan.notes.push(format!("{name}: {state}; `mgctl rejoin {name}` brings it back as a REPLICA"));
        }
    }
}

/// Replaces MAIN, and asks all nodes at the end.
pub async fn run<R: Runtime, N: Nodes, P: Progress>(
    run: &Execution<'_, R, N, P>,
    failover: &Failover,
) -> Result<FailedOver, CliError> {
    let began = Instant::now();
    let topology = &run.wish.topology;
    let mut failover = failover.clone();
    if run.interrupt.is_raised() {
        return Err(CliError::new(Exit::Interrupted, "interrupted before anything was changed")
            .thing(format!("cluster `{}`", topology.name)));
    }
    // From here to the promotion Ctrl-C is not heard: the way on is shorter than the way out.
    fence(run, &failover).await?;
    let is_end = |s: &&Step| s.id.starts_with("kill:") || s.id.starts_with("keep-down:");
    let ends: Vec<Step> = failover.plan.steps.iter().filter(is_end).cloned().collect();
    let (mut problems, mut exit, mut is_word_enough) = (Vec::new(), Exit::Degraded, true);
    for (step, result) in ends.iter().zip(join_all(ends.iter().map(|step| run.show(step))).await) {
        let Err(error) = result else { continue };
        // It is kept from being run again; only that it has ended nobody said. A word of the operator is about hosts
        // that nobody hears of, and about no node on another one.
        let is_beyond_reach = match &step.action {
            Action::FenceMachine(name) if error.problem().code == Some(UNSEEN_END) => {
                matches!(run.runtime.machine(&topology.name, name).await, Ok(Some(m)) if m.is_lost())
            }
            _ => false,
        };
        match &step.action {
            Action::FenceMachine(name) if is_beyond_reach && failover.request.force_unfenced => {
                failover.unfenced.push(name.clone());
            }
            _ => {
                exit = error.exit();
                is_word_enough &= is_beyond_reach;
                problems.extend(error.problems().iter().cloned());
            }
        }
    }
    if !problems.is_empty() {
        let error = CliError::of(exit, problems).note("the old MAIN may still write, so nobody was promoted");
        return Err(error.help(match is_word_enough {
            true => "see at the host that it has ended, then: mgctl failover --force-unfenced",
            false => "see that it has ended, then run `mgctl failover` again: it goes on from here",
        }));
    }
    let fenced_after = began.elapsed();

    while !failover.is_promoted {
        promote(run, &mut failover).await?;
    }
    let writable_after = began.elapsed();

    let mut left = Vec::new();
    let rest = |s: &&Step| s.id.starts_with("register:") || s.id.starts_with("ready:");
    for step in failover.plan.steps.iter().filter(rest) {
        if let Err(error) = run.show(step).await {
            left.extend(error.problems().iter().cloned());
        }
    }
    let redundant_after = began.elapsed();
    super::promote::check_roles(run, &failover.candidate).await?;
    Ok(FailedOver {
        main: failover.candidate,
        loss: failover.loss,
        fenced_after,
        writable_after,
        redundant_after,
        unfenced: failover.unfenced,
        left,
    })
}

/// Has every node that answers promise the epoch. One that ended meanwhile cannot; it said before that it is a
/// REPLICA, and at least one must be left.
async fn fence<R: Runtime, N: Nodes, P: Progress>(
    run: &Execution<'_, R, N, P>,
    failover: &Failover,
) -> Result<(), CliError> {
    let steps: Vec<&Step> =
        failover.plan.steps.iter().filter(|s| matches!(s.action, Action::Fence { .. })).collect();
    let results = join_all(steps.iter().map(|step| run.show(step))).await;
    let any = results.iter().any(Result::is_ok);
    for error in results.into_iter().filter_map(Result::err) {
        // A node that answers and refuses has promised something else meanwhile: somebody is at work.
        if error.problem().code == Some("MG067") || !any {
            return Err(error
                .note("the old MAIN was not touched, and nobody was promoted")
                .help("run `mgctl failover` again: it goes on from what the nodes promised"));
        }
    }
    Ok(())
}

/// Chooses by what the nodes say now, and promotes. A candidate that falls silent while it is told is ended:
/// it may have become MAIN; the next call chooses among the rest.
async fn promote<R: Runtime, N: Nodes, P: Progress>(
    run: &Execution<'_, R, N, P>,
    failover: &mut Failover,
) -> Result<(), CliError> {
    let topology = &run.wish.topology;
    let existing = run.runtime.observe(&topology.name, None).await?;
    // A suspect that was demoted in the place of its end answers still, and is not who is looked for; one that is beyond
    // reach would only be waited for.
    let is_suspect = |name: &String| failover.suspects.iter().any(|(suspect, _)| suspect == name);
    let nodes = ask_all(run.nodes, existing.machines.iter().filter(|(name, _)| !is_suspect(name))).await;
    let chosen = candidate::pick(topology, &nodes, &failover.request).and_then(|(candidate, loss)| {
        // What MAIN said it had was told before, and accepted; it is gone now.
        let is_told = candidate == failover.candidate && failover.loss.includes(&loss);
        if !is_told {
            candidate::accept(topology, &nodes, &failover.request, &candidate, &loss)?;
            failover.loss = loss;
        }
        Ok(candidate)
    });
    failover.candidate = chosen.map_err(|error| {
        error.note(match failover.unfenced.is_empty() {
            true => "the old MAIN is fenced and does not run: no node is MAIN now",
            false => "the replicas have let the old MAIN go, and no other node is MAIN now",
        })
    })?;
    failover.plan.steps.retain(|s| !s.id.starts_with("register:") && !s.id.starts_with("ready:"));
    let mut plan = std::mem::take(&mut failover.plan);
    if let Some(step) = plan.steps.iter_mut().find(|s| s.id == "promote") {
        step.action = Action::BecomeMain { instance: failover.candidate.clone(), epoch: failover.epoch };
    }
    failover.plan_followers(topology, &nodes, &mut plan);
    failover.plan = plan;

    let step = failover.plan.steps.iter().find(|s| s.id == "promote").expect("a failover has this step");
    let Err(error) = run.show(step).await else {
        failover.is_promoted = true;
        return Ok(());
    };
    if run.role_of(&failover.candidate).await.is_some() {
        return Err(error.note("no node is MAIN").help("run `mgctl failover` again: it goes on from here"));
    }
    let kill = Step {
        id: format!("kill:{}", failover.candidate),
        needs: Vec::new(),
        action: Action::FenceMachine(failover.candidate.clone()),
        cause: "it fell silent while it was told to be MAIN".into(),
    };
    run.show(&kill).await.map_err(|more| {
        let problems = error.problems().iter().chain(more.problems()).cloned().collect();
        CliError::of(Exit::Degraded, problems)
            .note(format!("`{}` may be MAIN, and could not be ended", failover.candidate))
    })?;
    failover.suspects.push((failover.candidate.clone(), "fell silent while it was told to be MAIN".into()));
    match failover.request.candidate {
        Some(_) => Err(error.note("no node is MAIN").help("let another be chosen: mgctl failover")),
        None => Ok(()),
    }
}
