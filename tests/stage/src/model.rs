//! Every order in which a small cluster can be promoted, fenced and cut short.
//!
//! Three nodes: a MAIN and two replicas that are registered there and up to date. From then on
//! whatever can happen next is tried, from every state that can be reached: a client commits, a disk
//! does its next piece of work, the next message of a wire arrives, a dial is answered, a process dies
//! with or without the power, a node starts, a connection ends, time passes, an operator demotes,
//! fences and promotes. [`Bounds`] limit how often; within them nothing is left out. The engines are those that
//! mgnode links, so the model is the code.
//!
//! A state is everything that a later step can depend on: each engine's whole inside, each disk, what
//! is under way, and what clients were told. Two of them are taken for the same where all that is. Left
//! out is what the graph holds, which follows from the log, but for the ids that transactions got which
//! never committed; no rule looks at an id.
//!
//! The operator keeps the rules of an unforced promotion: both replicas have promised the new epoch, and
//! the one whose log is the better one takes it. In every state:
//! - one node at most says yes in an epoch;
//! - what was told OK is in the log of whoever was promoted, and shown there;
//! - what was told failed is in no log, ever;
//! - all logs are branches of one tree, and no name is used twice;
//! - no one shows a STRICT_SYNC record before both replicas have it durable, or one was promoted;
//! - no two nodes tell different outcomes of one record.

use crate::{Audience, Face, PORT, Stage};
use bytes::Bytes;
use mgnode_core::engine::{Admin, AdminAnswer, Effect, EngineConfig, Outcome, OutcomeReport, PeerId, Token};
use mgnode_core::types::{CommitRecord, Lsn, NodeId, Position, Role, SyncMode};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How often what may happen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Mode of both replicas.
    pub mode: SyncMode,
    /// Commits that clients ask of the first MAIN.
    pub commits: u8,
    /// Commits that clients ask of whoever was promoted.
    pub commits_after: u8,
    /// Processes that die.
    pub kills: u8,
    /// Nodes that lose power.
    pub power_cuts: u8,
    /// Connections that end by themselves.
    pub cuts: u8,
    /// Times that so much time passes that every patience ends.
    pub leaps: u8,
    /// Whether the operator may demote MAIN.
    pub demotes: bool,
    /// Whether the operator may fail over, to an epoch of its own.
    pub promotes: bool,
    /// Whether each piece of disk work and each message is a step of its own. Otherwise a disk does all
    /// that waits for it in one step, as a group commit does, and all that is under way on a wire
    /// arrives in one burst.
    pub is_fine: bool,
    /// More states than this are an error: the bounds are too wide.
    pub states_max: usize,
}

/// What a check came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Distinct states.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// The longest way to a state.
    pub depth: usize,
    /// States after a promotion.
    pub promoted: usize,
    /// States after a demotion.
    pub demoted: usize,
    /// States in which some client was told that its commit is in doubt.
    pub in_doubt: usize,
    /// States after a promotion and all deaths, power cuts, ended connections and leaps that the bounds have.
    pub disturbed: usize,
    /// States after which nothing more can happen.
    pub ends: usize,
}

impl Report {
    /// Adds what another thread found.
    fn add(&mut self, part: &Report) {
        self.states += part.states;
        self.steps += part.steps;
        self.promoted += part.promoted;
        self.demoted += part.demoted;
        self.in_doubt += part.in_doubt;
        self.disturbed += part.disturbed;
        self.ends += part.ends;
    }
}

const MAIN: usize = 0;
const REPLICAS: [usize; 2] = [1, 2];
/// The epoch that the operator promotes with; MAIN's own reign is number 1.
const NEXT: u64 = 2;
/// Longer than the time-outs of commits, dials and confirmations, shorter than that of a connection.
const LEAP: Duration = Duration::from_secs(40);

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Commit(usize),
    Work(usize),
    Deliver(usize, usize),
    Connect(usize),
    Kill(usize),
    CutPower(usize),
    Start(usize),
    Cut(usize),
    Leap,
    Demote,
    Fence(usize),
    Promote(usize),
}

/// What was told, and what that must agree with.
#[derive(Debug, Default)]
struct Witness {
    /// What each client asked to be written.
    asked: BTreeMap<u64, Bytes>,
    /// What was told OK; in STRICT_SYNC also what was told OK but for a replica that shows it late.
    committed: BTreeSet<Position>,
    is_strict: bool,
    doubtful: BTreeSet<Position>,
    failed: BTreeSet<u64>,
    /// Who said yes in an epoch.
    acks: BTreeMap<u64, NodeId>,
    /// Every record that was ever in a log, and the one before it.
    tree: BTreeMap<Position, (Position, Bytes)>,
    /// Operator's commands that were answered with yes.
    done: BTreeSet<u64>,
    outcomes: Vec<OutcomeReport>,
    broken: Option<String>,
}

const FENCE: u64 = 100;
const PROMOTE: u64 = 200;
const SETUP: u64 = 300;
const DEMOTE: u64 = 400;

impl Audience for Witness {
    fn effect(&mut self, node: usize, effect: &Effect) {
        match effect {
            Effect::Resolve { token, outcome } => self.told(node, token.0, outcome),
            Effect::Answer { result: Ok(AdminAnswer::Outcome(outcome)), .. } => self.outcomes.push(*outcome),
            Effect::Answer { token, result: Ok(_) } => {
                self.done.insert(token.0);
            }
            Effect::Halt { reason } => self.broken = Some(format!("node {node} ends: {reason}")),
            _ => {}
        }
    }

    fn changed(&mut self, _: usize, _: Face) {}

    fn connected(&mut self, _: [(usize, PeerId); 2]) {}
}

impl Witness {
    fn told(&mut self, node: usize, token: u64, outcome: &Outcome) {
        let position = match outcome {
            Outcome::Committed { position } => {
                self.committed.insert(*position);
                position
            }
            Outcome::Degraded { position, .. } => {
                if self.is_strict {
                    self.committed.insert(*position);
                }
                position
            }
            Outcome::InDoubt { position, .. } => {
                self.doubtful.insert(*position);
                return;
            }
            Outcome::Failed(_) => {
                self.failed.insert(token);
                return;
            }
        };
        let id = NodeId(node as u64 + 1);
        let first = *self.acks.entry(position.epoch.number).or_insert(id);
        if first != id {
            self.broken = Some(format!("nodes {first} and {id} both say yes in epoch {}", position.epoch));
        }
    }
}

/// How often what has happened.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    commits: u8,
    commits_after: u8,
    kills: u8,
    power_cuts: u8,
    cuts: u8,
    leaps: u8,
    is_demoted: bool,
    fences: [bool; 3],
    /// Whoever was asked to become MAIN.
    promoted: Option<usize>,
}

struct Table {
    stage: Stage<Witness>,
    bounds: Bounds,
    spent: Spent,
}

impl Table {
    /// A MAIN with two replicas, and nothing under way.
    fn new(bounds: Bounds) -> Table {
        let never = Duration::from_secs(1 << 30);
        let config = EngineConfig { liveness_timeout: never, ping_every: never, ..EngineConfig::default() };
        let is_strict = bounds.mode == SyncMode::StrictSync;
        let mut stage = Stage::new(Witness { is_strict, ..Witness::default() }, config);
        stage.add(Role::Main, "m:1");
        for (name, number) in [("r", SETUP), ("s", SETUP + 1)] {
            let address = format!("{name}:1");
            stage.add(Role::Replica { port: PORT }, &address);
            stage.ask(MAIN, Token(number), Admin::Register { name: name.into(), mode: bounds.mode, address });
            settle(&mut stage);
            assert!(stage.audience.done.contains(&number), "replica {name} is registered");
        }
        Table { stage, bounds, spent: Spent::default() }
    }

    fn after(bounds: Bounds, path: &[Act]) -> Table {
        let mut table = Table::new(bounds);
        for act in path {
            table.act(*act);
        }
        table
    }

    fn possible(&self) -> Vec<Act> {
        let (stage, spent, bounds) = (&self.stage, &self.spent, &self.bounds);
        let mut acts = Vec::new();
        for node in 0..3 {
            let Some(shared) = stage.shared(node) else {
                acts.push(Act::Start(node));
                continue;
            };
            let (done, most) = if node == MAIN {
                (spent.commits, bounds.commits)
            } else {
                (spent.commits_after, bounds.commits_after)
            };
            if shared.is_writable() && done < most {
                acts.push(Act::Commit(node));
            }
            if stage.jobs(node) > 0 {
                acts.push(Act::Work(node));
            }
            if spent.kills < bounds.kills {
                acts.push(Act::Kill(node));
            }
            if spent.power_cuts < bounds.power_cuts {
                acts.push(Act::CutPower(node));
            }
        }
        for (index, wire) in stage.wires().iter().enumerate() {
            for end in 0..2 {
                if wire.waiting(end) > 0 {
                    acts.push(Act::Deliver(index, end));
                }
            }
            if wire.is_whole() && spent.cuts < bounds.cuts {
                acts.push(Act::Cut(index));
            }
        }
        acts.extend((0..stage.dials().len()).map(Act::Connect));
        if spent.leaps < bounds.leaps {
            acts.push(Act::Leap);
        }
        if bounds.demotes && !spent.is_demoted && stage.is_running(MAIN) {
            acts.push(Act::Demote);
        }
        if bounds.promotes && spent.promoted.is_none() {
            self.operator(&mut acts);
        }
        acts
    }

    /// Whether everything went wrong that the bounds have.
    fn is_disturbed(&self) -> bool {
        let (spent, bounds) = (&self.spent, &self.bounds);
        (spent.kills, spent.power_cuts, spent.cuts, spent.leaps)
            == (bounds.kills, bounds.power_cuts, bounds.cuts, bounds.leaps)
    }

    /// What an operator may do that keeps the rules of an unforced promotion.
    fn operator(&self, acts: &mut Vec<Act>) {
        let is_up = |node: usize| self.stage.is_running(node);
        for node in REPLICAS {
            if !self.spent.fences[node] && is_up(node) {
                acts.push(Act::Fence(node));
            }
        }
        let is_fenced = |node: usize| self.stage.audience.done.contains(&(FENCE + node as u64));
        if !REPLICAS.iter().all(|node| is_fenced(*node)) {
            return;
        }
        let end = |node: usize| self.stage.nodes()[node].disk.synced().last().map(CommitRecord::position);
        let best = REPLICAS.iter().map(|node| end(*node)).max().flatten();
        acts.extend(REPLICAS.into_iter().filter(|node| end(*node) == best && is_up(*node)).map(Act::Promote));
    }

    fn act(&mut self, act: Act) {
        let (stage, spent) = (&mut self.stage, &mut self.spent);
        match act {
            Act::Commit(node) => {
                let count = if node == MAIN { &mut spent.commits } else { &mut spent.commits_after };
                *count += 1;
                let token = u64::from(spent.commits + spent.commits_after);
                if let Some(payload) = stage.commit(node, Token(token)) {
                    stage.audience.asked.insert(token, payload);
                }
            }
            Act::Work(node) => {
                let count = if self.bounds.is_fine { 1 } else { stage.jobs(node) };
                (0..count).for_each(|_| _ = stage.work(node));
            }
            Act::Deliver(wire, end) => {
                let count = if self.bounds.is_fine { 1 } else { stage.wires()[wire].waiting(end) };
                (0..count).for_each(|_| _ = stage.deliver(wire, end));
            }
            Act::Connect(dial) => stage.connect(dial),
            Act::Kill(node) => {
                spent.kills += 1;
                stage.kill(node);
            }
            Act::CutPower(node) => {
                spent.power_cuts += 1;
                stage.cut_power(node);
            }
            Act::Start(node) => stage.start(node),
            Act::Cut(wire) => {
                spent.cuts += 1;
                stage.cut(wire);
            }
            Act::Leap => {
                spent.leaps += 1;
                stage.leap(LEAP);
            }
            Act::Demote => {
                spent.is_demoted = true;
                stage.ask(MAIN, Token(DEMOTE), Admin::SetRoleReplica { port: PORT });
            }
            Act::Fence(node) => {
                spent.fences[node] = true;
                stage.ask(node, Token(FENCE + node as u64), Admin::Fence { epoch: NEXT, by: "op".into() });
            }
            Act::Promote(node) => {
                spent.promoted = Some(node);
                stage.ask(node, Token(PROMOTE), Admin::SetRoleMain { epoch: Some(NEXT) });
            }
        }
    }

    /// Returns what is broken, if anything is. The nodes are asked, so nothing may happen after.
    fn check(&mut self) -> Result<(), String> {
        if let Some(broken) = self.stage.audience.broken.take() {
            return Err(broken);
        }
        self.check_logs()?;
        self.check_promoted()?;
        self.check_shown()?;
        self.check_outcomes()
    }

    fn check_logs(&mut self) -> Result<(), String> {
        for node in 0..3 {
            let mut before = Position::default();
            let log: Vec<_> = self.stage.nodes()[node].disk.log().cloned().collect();
            let witness = &mut self.stage.audience;
            for record in log {
                let position = record.position();
                if position.lsn != before.lsn.next() || position.epoch < before.epoch {
                    return Err(format!("node {node} holds {position} after {before}"));
                }
                let entry = (before, record.payload.clone());
                if *witness.tree.entry(position).or_insert(entry.clone()) != entry {
                    return Err(format!("two records are called {position}"));
                }
                let is_asked = |token: &u64| witness.asked.get(token) == Some(&record.payload);
                if witness.failed.iter().any(is_asked) {
                    return Err(format!("node {node} holds {position}, which was told failed"));
                }
                before = position;
            }
        }
        Ok(())
    }

    fn check_promoted(&self) -> Result<(), String> {
        let Some(node) = self.spent.promoted else { return Ok(()) };
        if !self.stage.audience.done.contains(&PROMOTE) {
            return Ok(());
        }
        let shown = self.stage.shared(node).map(|s| s.graph().published());
        let keeps = |position: &Position| {
            let mut log = self.stage.nodes()[node].disk.log();
            log.any(|record| record.position() == *position) && shown.is_none_or(|lsn| lsn >= position.lsn)
        };
        match self.stage.audience.committed.iter().find(|position| !keeps(position)) {
            Some(lost) => Err(format!("{lost} was told OK, and node {node}, which was promoted, lacks it")),
            None => Ok(()),
        }
    }

    fn check_shown(&self) -> Result<(), String> {
        if self.bounds.mode != SyncMode::StrictSync || self.spent.promoted.is_some() {
            return Ok(());
        }
        for node in 0..3 {
            let shown = self.stage.shared(node).map_or(Lsn::ZERO, |s| s.graph().published());
            for replica in REPLICAS {
                let synced = self.stage.nodes()[replica].disk.synced().last().map_or(Lsn::ZERO, |r| r.lsn);
                if shown > synced {
                    return Err(format!("node {node} shows {shown}, and node {replica} has synced {synced}"));
                }
            }
        }
        Ok(())
    }

    fn check_outcomes(&mut self) -> Result<(), String> {
        let witness = &self.stage.audience;
        let positions: Vec<_> = witness.doubtful.iter().chain(&witness.committed).copied().collect();
        for position in positions {
            self.stage.audience.outcomes.clear();
            for node in 0..3 {
                self.stage.ask(node, Token(SETUP), Admin::TransactionOutcome { position });
            }
            let told = &self.stage.audience.outcomes;
            if told.contains(&OutcomeReport::Committed) && told.contains(&OutcomeReport::NotCommitted) {
                return Err(format!("{position} is told as {told:?}"));
            }
        }
        Ok(())
    }

    /// Returns 128 bits of all that a later step can depend on.
    fn digest(&self, text: &mut String) -> u128 {
        text.clear();
        self.stage.write_state(text);
        write!(text, "{:?}{:?}", self.stage.audience, self.spent).expect("a string takes all");
        xxhash_rust::xxh3::xxh3_128(text.as_bytes())
    }
}

fn settle(stage: &mut Stage<Witness>) {
    loop {
        let mut is_any = false;
        while !stage.dials().is_empty() {
            stage.connect(0);
            is_any = true;
        }
        for wire in 0..stage.wires().len() {
            for end in 0..2 {
                is_any |= stage.deliver(wire, end);
            }
        }
        for node in 0..stage.nodes().len() {
            is_any |= stage.work(node);
        }
        if !is_any {
            return;
        }
    }
}

/// Tries everything within the bounds.
///
/// # Errors
/// What is broken first, and the shortest way there.
pub fn check(bounds: Bounds, threads: usize) -> Result<Report, String> {
    let mut report = Report::default();
    let seen: Vec<Mutex<HashSet<u128>>> = (0..64).map(|_| Mutex::default()).collect();
    let is_new = |digest: u128| {
        let part = &seen[(digest % 64) as usize];
        part.lock().expect("no one panics with it").insert(digest)
    };
    is_new(Table::new(bounds).digest(&mut String::new()));
    // Ways to states, each with what may come next.
    let mut frontier = vec![(Vec::new(), Table::new(bounds).possible())];
    report.states = 1;
    while !frontier.is_empty() {
        let next = AtomicUsize::new(0);
        let results = Mutex::new((Vec::new(), report, None));
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    let (mut grown, mut part, mut broken) = (Vec::new(), Report::default(), None);
                    let mut text = String::new();
                    while let Some((path, acts)) = frontier.get(next.fetch_add(1, Ordering::Relaxed)) {
                        part.ends += usize::from(acts.is_empty());
                        for act in acts {
                            let mut table = Table::after(bounds, path);
                            table.act(*act);
                            part.steps += 1;
                            let digest = table.digest(&mut text);
                            if !is_new(digest) {
                                continue;
                            }
                            part.states += 1;
                            let is_promoted = table.stage.audience.done.contains(&PROMOTE);
                            part.promoted += usize::from(is_promoted);
                            part.disturbed += usize::from(is_promoted && table.is_disturbed());
                            part.demoted += usize::from(table.stage.audience.done.contains(&DEMOTE));
                            part.in_doubt += usize::from(!table.stage.audience.doubtful.is_empty());
                            let path: Vec<_> = path.iter().chain([act]).copied().collect();
                            let acts = table.possible();
                            if let Err(what) = table.check() {
                                let way: Vec<_> = path.iter().map(|act| format!("  {act:?}\n")).collect();
                                broken = Some(format!("{what}\n{}", way.concat()));
                                break;
                            }
                            grown.push((path, acts));
                        }
                    }
                    let mut all = results.lock().expect("no one panics with it");
                    all.0.append(&mut grown);
                    all.1.add(&part);
                    all.2 = all.2.take().or(broken);
                });
            }
        });
        let (grown, total, broken) = results.into_inner().expect("no one panics with it");
        if let Some(broken) = broken {
            return Err(broken);
        }
        report = total;
        report.depth += usize::from(!grown.is_empty());
        if report.states > bounds.states_max {
            return Err(format!("more than {} states at depth {}", bounds.states_max, report.depth));
        }
        frontier = grown;
    }
    Ok(report)
}
