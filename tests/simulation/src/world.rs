//! The cluster in one thread: nodes, wires, time.
//!
//! A heap of events ordered by (time, number). A node is the engine and the graph that the product
//! links, on a [`Disk`] that forgets. Faults: a process dies between any two effects, by kill or by
//! power cut; it is stopped for a while; a direction of a link is held up; a connection breaks; a disk
//! is slow; a node comes back empty. Messages keep their order within a lane of a connection only.

use crate::coverage::Coverage;
use crate::disk::{Disk, Done, Job, Logged, SnapshotFile};
use crate::operator::Operator;
use crate::options::Options;
use crate::oracle::{Index, Oracle, Proposal, Yes};
use crate::rng::Rng;
use bytes::Bytes;
use mgnode_core::durability::SnapshotEncoder;
use mgnode_core::engine::{
    Admin, AdminAnswer, AdminError, Effect, Engine, GraphBuilder, Input, Outcome, PeerId, Recovered, Shared,
    SnapshotHeader, Token,
};
use mgnode_core::replication::{Lane, Line, Message, PROTOCOL};
use mgnode_core::storage::{Graph, View};
use mgnode_core::types::{
    CommitRecord, Epoch, History, Identity, KeyPrint, Lsn, Names, NodeId, NodeState, OneByOne,
    PartialSnapshot, Position, Registration, Role, SyncMode, Time, Value, VertexId,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;
pub(crate) const PORT: u16 = 10_000;
/// Tokens from here on are the operator's.
const ADMIN_TOKENS: u64 = 1 << 60;

enum Event {
    Input {
        node: usize,
        boot: u64,
        input: Input,
    },
    Disk {
        node: usize,
        boot: u64,
    },
    Read {
        node: usize,
        boot: u64,
        peer: PeerId,
        from: Lsn,
        bytes_max: usize,
    },
    SnapshotWritten {
        node: usize,
        boot: u64,
        file: SnapshotFile,
    },
    /// A piece of a snapshot; the last one where `upto` is the whole.
    SnapshotArrives {
        conn: u64,
        file: SnapshotFile,
        upto: u64,
    },
    Tick {
        node: usize,
        boot: u64,
    },
    Connect {
        node: usize,
        boot: u64,
        peer: PeerId,
        address: String,
    },
    Deliver {
        conn: u64,
        to: usize,
        lane: Lane,
    },
    Close {
        conn: u64,
        to: usize,
    },
    Client {
        index: usize,
    },
    Operator,
    Fault,
    Start {
        node: usize,
    },
    Unblock {
        link: (usize, usize),
    },
}

struct Conn {
    /// Node, boot and peer number of the dialler and of the one who accepted.
    ends: [(usize, u64, PeerId); 2],
    /// Frames on their way to each end, by lane.
    lanes: [BTreeMap<Lane, VecDeque<Bytes>>; 2],
    /// When the last frame of each lane arrives, so that none overtakes it.
    arrives: [BTreeMap<Lane, u64>; 2],
    is_open: [bool; 2],
    /// The highest epoch in records that reached each end.
    epoch: [Epoch; 2],
}

pub(crate) struct Process {
    pub(crate) engine: Engine,
    pub(crate) shared: Arc<Shared>,
    pub(crate) boot: u64,
    is_listening: bool,
    conns: BTreeMap<PeerId, u64>,
    received: BTreeMap<Lsn, SnapshotFile>,
    next_accepted: u64,
    /// The last record written, by the oracle's count.
    pub(crate) tip: Index,
    /// Registrations as the engine last handed them to the disk.
    registered: Vec<Registration>,
    registered_at: BTreeMap<String, Lsn>,
    role: Role,
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) address: String,
    names: Arc<Names>,
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    boots: u64,
    pub(crate) paused_until: u64,
    pub(crate) down_until: u64,
    /// Dies after this many effects.
    fuse: Option<u64>,
    fuse_is_power: bool,
    published: Index,
    synced: Index,
    promised: Epoch,
    /// A power cut took a note of how far the log may be shown.
    lost_a_note: bool,
}

pub(crate) struct World {
    pub(crate) now: u64,
    number: u64,
    events: BTreeMap<(u64, u64), Event>,
    pub(crate) rng: Rng,
    /// When the next fault comes.
    fault_rng: Rng,
    pub(crate) options: Options,
    pub(crate) nodes: Vec<Node>,
    conns: BTreeMap<u64, Conn>,
    next_conn: u64,
    blocked: BTreeSet<(usize, usize)>,
    pub(crate) oracle: Oracle,
    pub(crate) coverage: Coverage,
    pub(crate) operator: Operator,
    next_token: u64,
    next_uid: i64,
    pub(crate) is_calm: bool,
    pub(crate) stop_clients: bool,
    pub(crate) yes_after_heal: u64,
    pub(crate) steps: u64,
    trace: VecDeque<String>,
    is_loud: bool,
    /// Faults and whims so far; each has its number.
    pub(crate) disturbances: u64,
}

impl World {
    pub(crate) fn new(options: Options) -> World {
        let mut rng = Rng::new(options.seed ^ 0xabcd);
        let nodes = (0..options.modes.len())
            .map(|index| {
                let id = NodeId(rng.next());
                Node {
                    id,
                    address: format!("node{index}:{PORT}"),
                    names: Arc::new(Names::default()),
                    disk: Disk::new(fresh(id)),
                    process: None,
                    boots: 0,
                    paused_until: 0,
                    down_until: 0,
                    fuse: None,
                    fuse_is_power: false,
                    published: 0,
                    synced: 0,
                    promised: Epoch::default(),
                    lost_a_note: false,
                }
            })
            .collect();
        World {
            now: 1,
            number: 0,
            events: BTreeMap::new(),
            fault_rng: Rng::new(options.seed ^ 0xfa),
            rng,
            nodes,
            conns: BTreeMap::new(),
            next_conn: 0,
            blocked: BTreeSet::new(),
            oracle: Oracle::new(),
            coverage: Coverage::default(),
            operator: Operator::new(),
            next_token: 0,
            next_uid: 0,
            is_calm: false,
            stop_clients: false,
            yes_after_heal: 0,
            steps: 0,
            trace: VecDeque::new(),
            is_loud: options.tweaks.is_loud,
            disturbances: 0,
            options,
        }
    }

    pub(crate) fn count(&mut self, what: &str) {
        self.coverage.count(what);
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let line = format!("{:>12.3} ms  {}", self.now as f64 / MS as f64, line());
        if self.is_loud {
            eprintln!("{line}");
        }
        if self.trace.len() == 60 {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }

    pub(crate) fn trace(&self) -> String {
        self.trace.iter().map(|l| format!("{l}\n")).collect()
    }

    fn at(&mut self, when: u64, event: Event) {
        self.number += 1;
        self.events.insert((when.max(self.now), self.number), event);
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(crate) fn begin(&mut self) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            self.start(node)?;
        }
        for index in 0..self.options.clients {
            let delay = self.rng.delay(1, 10_000);
            self.after(delay, Event::Client { index });
        }
        self.after(MS, Event::Operator);
        let every = self.options.fault_every;
        self.after(2 * SECOND + every, Event::Fault);
        Ok(())
    }

    /// Runs until `until`, or until `done` says so. Returns whether it said so.
    pub(crate) fn run(
        &mut self,
        until: u64,
        mut done: impl FnMut(&mut World) -> Result<bool, String>,
    ) -> Result<bool, String> {
        while let Some((&(when, number), _)) = self.events.first_key_value() {
            if when > until {
                self.now = until;
                return Ok(false);
            }
            let event = self.events.remove(&(when, number)).expect("just seen");
            self.now = when;
            self.happen(event)?;
            if self.steps.is_multiple_of(64) && done(self)? {
                return Ok(true);
            }
        }
        Err("no event is left".into())
    }

    fn is_alive(&self, node: usize, boot: u64) -> bool {
        self.nodes[node].process.as_ref().is_some_and(|p| p.boot == boot)
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        // A stopped process takes nothing in; all of it waits, in order.
        let taker = match &event {
            Event::Input { node, boot, .. } | Event::Tick { node, boot } => Some((*node, *boot)),
            Event::Deliver { conn, to, .. } | Event::Close { conn, to } => {
                self.conns.get(conn).map(|c| (c.ends[*to].0, c.ends[*to].1))
            }
            _ => None,
        };
        if let Some((node, boot)) = taker {
            if !self.is_alive(node, boot) {
                return Ok(());
            }
            let until = self.nodes[node].paused_until;
            if until > self.now {
                self.at(until, event);
                return Ok(());
            }
        }
        match event {
            Event::Input { node, input, .. } => self.step(node, input),
            Event::Tick { node, boot } => {
                let delay = self.rng.range(10, 50) * MS;
                self.after(delay, Event::Tick { node, boot });
                self.step(node, Input::Tick)
            }
            Event::Disk { node, boot } => self.disk_done(node, boot),
            Event::Read { node, boot, peer, from, bytes_max } => {
                if !self.is_alive(node, boot) {
                    return Ok(());
                }
                let records = self.nodes[node].disk.read(from, bytes_max);
                self.after(0, Event::Input { node, boot, input: Input::WalRead { peer, from, records } });
                Ok(())
            }
            Event::SnapshotWritten { node, boot, file } => {
                if !self.is_alive(node, boot) {
                    return Ok(());
                }
                let id = file.id;
                let snapshots = &mut self.nodes[node].disk.snapshots;
                snapshots.retain(|s| s.id.lsn() != id.lsn());
                snapshots.push(file);
                snapshots.sort_by_key(|s| s.id.lsn());
                self.count("snapshots written");
                let input = Input::SnapshotWritten { result: Ok(id) };
                self.after(0, Event::Input { node, boot, input });
                Ok(())
            }
            Event::SnapshotArrives { conn, file, upto } => self.snapshot_arrives(conn, file, upto),
            Event::Connect { node, boot, peer, address } => self.connect(node, boot, peer, &address),
            Event::Deliver { conn, to, lane } => self.deliver(conn, to, lane),
            Event::Close { conn, to } => self.closed(conn, to),
            Event::Client { index } => self.client(index),
            Event::Operator => {
                let delay = self.rng.range(10, 60) * MS;
                self.after(delay, Event::Operator);
                self.operate()
            }
            Event::Fault => self.fault(),
            Event::Start { node } => {
                if self.nodes[node].process.is_none() && self.nodes[node].down_until <= self.now {
                    self.start(node)?;
                }
                Ok(())
            }
            Event::Unblock { link } => {
                self.blocked.remove(&link);
                Ok(())
            }
        }
    }

    // ---- processes ----

    fn start(&mut self, node: usize) -> Result<(), String> {
        let n = &mut self.nodes[node];
        n.boots += 1;
        n.names = Arc::new(Names::default());
        n.disk.sync_all();
        let recovered = recover(n)?;
        let (boot, last) = (n.boots, recovered.last);
        let end = recovered.held.last().map_or(last, CommitRecord::position);
        let find = |at| self.oracle.find(at).ok_or(format!("18: recovery ends at {at}, never written"));
        let (shown, tip) = (find(last)?, find(end)?);
        for (rule, must) in [("18: synced", n.synced), ("14: shown", n.published)] {
            if !self.oracle.holds(tip, must) {
                return Err(format!(
                    "{rule} {} is gone after recovery to {last}",
                    self.oracle.position(must)
                ));
            }
        }
        if recovered.chain != self.oracle.chain(shown) {
            return Err(format!("18: the chain hash at {last} is wrong after recovery"));
        }
        if !self.oracle.holds(shown, n.published) {
            if !n.lost_a_note {
                let position = self.oracle.position(n.published);
                return Err(format!("14: {position} was shown and is held back after recovery to {last}"));
            }
            // The power went before the note of it was synced. The record is there; whether it was decided, the
            // others tell.
            n.published = shown;
        }
        if !recovered.held.is_empty() {
            self.count("restarts with undecided records");
        }
        self.oracle.settle(shown);
        let n = &mut self.nodes[node];
        n.lost_a_note = false;
        if recovered.state.promised < n.promised {
            return Err(format!("1: {} is forgotten for {}", n.promised, recovered.state.promised));
        }
        n.promised = recovered.state.promised;
        n.synced = tip;
        let registered = recovered.state.replicas.clone();
        let registered_at = registered.iter().map(|r| (r.name.clone(), last.lsn)).collect();
        let role = recovered.state.role;
        let mut effects = Vec::new();
        let engine = Engine::start(Time(self.now), self.options.config.clone(), recovered, &mut effects);
        let shared = engine.shared();
        n.process = Some(Process {
            engine,
            shared,
            boot,
            is_listening: false,
            conns: BTreeMap::new(),
            received: BTreeMap::new(),
            next_accepted: 1,
            tip,
            registered,
            registered_at,
            role,
        });
        self.note(|| format!("node {node} starts at {last}"));
        self.after(0, Event::Tick { node, boot });
        self.carry_out(node, effects)?;
        self.check(node)
    }

    pub(crate) fn kill(&mut self, node: usize, is_power_cut: bool, down: u64) {
        let n = &mut self.nodes[node];
        let Some(process) = n.process.take() else { return };
        n.lost_a_note |= n.disk.kill(is_power_cut, &mut self.rng);
        n.fuse = None;
        n.paused_until = 0;
        n.down_until = self.now + down;
        let was_main = process.role == Role::Main && !process.registered.is_empty();
        self.note(|| format!("node {node} dies, power cut: {is_power_cut}"));
        self.count(if is_power_cut { "power cuts" } else { "kills" });
        if was_main {
            self.count("crashes of MAIN");
        }
        for conn in process.conns.into_values() {
            let Some(c) = self.conns.get(&conn) else { continue };
            let other = usize::from(c.ends[0].0 == node);
            // A kernel says goodbye for a killed process; a cut machine says nothing.
            let delay =
                if is_power_cut { self.rng.range(200, 4_000) * MS } else { self.rng.delay(100, 5_000) };
            self.after(delay, Event::Close { conn, to: other });
        }
        self.after(down, Event::Start { node });
    }

    /// The node comes back with an empty disk, as another node at the same address.
    pub(crate) fn wipe(&mut self, node: usize) {
        self.kill(node, false, 50 * MS);
        let id = NodeId(self.rng.next());
        let n = &mut self.nodes[node];
        n.id = id;
        n.disk = Disk::new(fresh(id));
        n.published = 0;
        n.synced = 0;
        n.promised = Epoch::default();
        self.count("wiped nodes");
    }

    fn step(&mut self, node: usize, input: Input) -> Result<(), String> {
        self.steps += 1;
        let now = Time(self.now);
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        if let Input::StateSaved { .. } = input {
            // From here on the engine counts the replicas that this file names.
            let end = self.oracle.position(process.tip).lsn;
            let registered = &process.registered;
            process.registered_at.retain(|name, _| registered.iter().any(|r| r.name == *name));
            for registration in registered {
                process.registered_at.entry(registration.name.clone()).or_insert(end);
            }
        }
        let mut effects = Vec::new();
        process.engine.step(now, input, &mut effects);
        self.carry_out(node, effects)?;
        self.check(node)
    }

    fn carry_out(&mut self, node: usize, effects: Vec<Effect>) -> Result<(), String> {
        for effect in effects {
            if let Some(fuse) = &mut self.nodes[node].fuse {
                if *fuse == 0 {
                    let (is_power, down) = (self.nodes[node].fuse_is_power, self.rng.range(5, 1_500) * MS);
                    self.kill(node, is_power, down);
                    return Ok(());
                }
                *fuse -= 1;
            }
            self.effect(node, effect)?;
        }
        Ok(())
    }

    fn effect(&mut self, node: usize, effect: Effect) -> Result<(), String> {
        let n = &mut self.nodes[node];
        let Some(process) = n.process.as_mut() else { return Ok(()) };
        let boot = process.boot;
        match effect {
            Effect::WriteWal { record, chain } => {
                let strict: BTreeSet<NodeId> = process
                    .registered
                    .iter()
                    .filter(|r| r.mode == SyncMode::StrictSync && process.role == Role::Main)
                    .filter(|r| process.registered_at.contains_key(&r.name))
                    .map(|r| r.node)
                    .collect();
                let strict = if strict.is_empty() { None } else { Some(strict) };
                process.tip = self.oracle.written(process.tip, &record, chain, strict)?;
                self.disk_job(node, Job::Write(Logged { record, chain }));
            }
            Effect::SyncWal { lsn } => self.disk_job(node, Job::Sync(lsn)),
            Effect::SaveState { id, state } => {
                if state.promised < n.promised {
                    return Err(format!("1: node {node} goes from {} to {}", n.promised, state.promised));
                }
                let is_turn = state.role != process.role;
                let is_fewer = state.replicas.len() < process.registered.len();
                process.registered = state.replicas.clone();
                let tip = process.tip;
                if is_turn || is_fewer {
                    self.oracle.settle(tip);
                }
                self.disk_job(node, Job::Save(id, state));
            }
            Effect::Listen { .. } => {
                // At a start the port is free; later someone else may have taken it.
                let is_taken = process.role == Role::Main && self.rng.one_in(20) && !self.is_calm;
                let result = if is_taken { Err("address in use".to_owned()) } else { Ok(()) };
                process.is_listening = !is_taken;
                self.after(10_000, Event::Input { node, boot, input: Input::Listening { result } });
            }
            Effect::Unlisten => {
                process.is_listening = false;
                let accepted: Vec<_> =
                    process.conns.iter().filter(|(p, _)| p.0 % 2 == 1).map(|(_, c)| *c).collect();
                for conn in accepted {
                    self.hang_up(conn, 1);
                }
            }
            Effect::Dial { peer, address } => {
                let delay = self.wire();
                self.after(delay, Event::Connect { node, boot, peer, address });
            }
            Effect::Hangup { peer, .. } => {
                if let Some(conn) = process.conns.get(&peer).copied() {
                    self.hang_up(conn, (peer.0 % 2) as usize);
                }
            }
            Effect::Send { peer, message } => {
                self.check_said(node, peer, &message)?;
                self.send(node, peer, &message);
            }
            Effect::ReadWal { peer, from, bytes_max } => {
                let delay = self.rng.delay(20, 3_000);
                self.after(delay, Event::Read { node, boot, peer, from, bytes_max });
            }
            Effect::WriteSnapshot { header, view } => {
                let graph = process.shared.graph();
                let file = snapshot_of(&graph, header, view);
                let delay = self.rng.delay(1_000, 200_000);
                self.after(delay, Event::SnapshotWritten { node, boot, file });
            }
            Effect::SendSnapshot { peer, snapshot, offset, .. } => {
                let conn = process.conns.get(&peer).copied();
                let file = n.disk.snapshots.iter().find(|s| s.id == snapshot).cloned();
                let file = file.ok_or("19: a snapshot is sent that the disk does not hold")?;
                self.count("snapshots sent");
                if offset > 0 {
                    self.count("snapshots resumed");
                }
                if let Some(conn) = conn {
                    let delay = self.rng.delay(1_000, 100_000);
                    self.snapshot_piece(delay, conn, file, offset);
                    let input = Input::SnapshotSent { peer, result: Ok(()) };
                    self.after(delay / 2, Event::Input { node, boot, input });
                }
            }
            Effect::NoteDecided { lsn, is_first } => n.disk.note_decided(lsn, is_first),
            Effect::Rewind { to } => return Err(format!("node {node} rewinds to {to} unasked")),
            Effect::DropPartial => n.disk.partial = None,
            Effect::DropSnapshot { lsn } => self.disk_job(node, Job::DropSnapshot(lsn)),
            Effect::InstallSnapshot { header } => {
                let file = process.received.remove(&header.position.lsn);
                let file = file.ok_or("23: a snapshot is installed that never came")?;
                let index = self.oracle.find(header.position).ok_or("23: unknown snapshot")?;
                process.tip = index;
                self.disk_job(node, Job::Install(file));
            }
            Effect::DropWal { before } => self.disk_job(node, Job::Drop(before)),
            Effect::Resolve { token, outcome } => self.resolved(node, token, &outcome)?,
            Effect::Answer { token, result } => self.answered(node, token, result)?,
            Effect::Halt { reason } => return Err(format!("node {node} halts: {reason}")),
        }
        Ok(())
    }

    // ---- disk ----

    fn disk_job(&mut self, node: usize, job: Job) {
        if self.nodes[node].disk.push(job) {
            self.disk_begin(node);
        }
    }

    fn disk_begin(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        let Some(boot) = n.process.as_ref().map(|p| p.boot) else { return };
        if let Some(delay) = n.disk.begin(&mut self.rng) {
            self.after(delay, Event::Disk { node, boot });
        }
    }

    fn disk_done(&mut self, node: usize, boot: u64) -> Result<(), String> {
        if !self.is_alive(node, boot) {
            return Ok(());
        }
        let n = &mut self.nodes[node];
        let Some(done) = n.disk.finish() else { return Ok(()) };
        let Some(process) = n.process.as_mut() else { return Ok(()) };
        let input = match done {
            Done::Synced(lsn) => {
                n.synced = self.oracle.at(process.tip, lsn);
                Input::WalSynced { lsn }
            }
            Done::Saved(id) => {
                n.promised = n.disk.state.promised;
                process.role = n.disk.state.role;
                Input::StateSaved { id, result: Ok(()) }
            }
            Done::Installed(lsn) => {
                n.synced = process.tip;
                self.count("snapshot catch-ups");
                Input::SnapshotInstalled { lsn }
            }
        };
        // The process hears of it in its turn; a stopped one later.
        self.after(0, Event::Input { node, boot, input });
        self.disk_begin(node);
        Ok(())
    }

    // ---- wires ----

    fn wire(&mut self) -> u64 {
        let wire_us = self.options.wire_us;
        self.rng.delay(30, wire_us)
    }

    fn connect(&mut self, node: usize, boot: u64, peer: PeerId, address: &str) -> Result<(), String> {
        if !self.is_alive(node, boot) {
            return Ok(());
        }
        let target = self.nodes.iter().position(|n| n.address == address);
        let is_cut = |w: &World, t: usize| w.blocked.contains(&(node, t)) || w.blocked.contains(&(t, node));
        let listener = target
            .filter(|t| self.nodes[*t].process.as_ref().is_some_and(|p| p.is_listening) && !is_cut(self, *t));
        let Some(to) = listener else {
            let delay = self.rng.pick(&[MS, 10 * MS, 500 * MS]);
            let input = Input::PeerDown { peer, reason: "unreachable".into() };
            self.after(delay, Event::Input { node, boot, input });
            return Ok(());
        };
        self.next_conn += 1;
        let conn = self.next_conn;
        let Some(process) = self.nodes[to].process.as_mut() else { return Ok(()) };
        process.next_accepted += 2;
        let (accepted, to_boot) = (PeerId(process.next_accepted), process.boot);
        process.conns.insert(accepted, conn);
        if let Some(process) = self.nodes[node].process.as_mut() {
            process.conns.insert(peer, conn);
        }
        self.conns.insert(
            conn,
            Conn {
                ends: [(node, boot, peer), (to, to_boot, accepted)],
                lanes: Default::default(),
                arrives: Default::default(),
                is_open: [true, true],
                epoch: [Epoch::default(); 2],
            },
        );
        // Each proves a key of its own.
        let line = |of: NodeId| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&of.0.to_le_bytes());
            let identity = Identity { key: Some(KeyPrint(key)), certified: None };
            Line { protocol: PROTOCOL, identity }
        };
        let (near, far) = (line(self.nodes[to].id), line(self.nodes[node].id));
        let input = Input::PeerUp { peer: accepted, dialled: false, line: far };
        self.after(0, Event::Input { node: to, boot: to_boot, input });
        let input = Input::PeerUp { peer, dialled: true, line: near };
        self.after(10_000, Event::Input { node, boot, input });
        Ok(())
    }

    fn send(&mut self, node: usize, peer: PeerId, message: &Message) {
        let delay = self.wire();
        let Some(conn) = self.nodes[node].process.as_ref().and_then(|p| p.conns.get(&peer)).copied() else {
            return;
        };
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let to = usize::from(c.ends[0].0 == node && c.ends[0].2 == peer);
        let lane = message.lane();
        let mut frame = Vec::new();
        message.encode(PROTOCOL, &mut frame);
        c.lanes[to].entry(lane).or_default().push_back(frame.into());
        let when = c.arrives[to].get(&lane).copied().unwrap_or(0).max(self.now + delay);
        c.arrives[to].insert(lane, when);
        self.at(when, Event::Deliver { conn, to, lane });
    }

    fn deliver(&mut self, conn: u64, to: usize, lane: Lane) -> Result<(), String> {
        let Some(c) = self.conns.get_mut(&conn) else { return Ok(()) };
        let (node, boot, peer) = c.ends[to];
        if !c.is_open[to] {
            return Ok(());
        }
        // Held up, not lost: the transport sends it again until it arrives or the connection ends.
        if self.blocked.contains(&(c.ends[1 - to].0, node)) {
            self.after(5 * MS, Event::Deliver { conn, to, lane });
            return Ok(());
        }
        let Some(frame) = c.lanes[to].get_mut(&lane).and_then(VecDeque::pop_front) else { return Ok(()) };
        let message = Message::decode(PROTOCOL, frame).map_err(|e| format!("a frame cannot be read: {e}"))?;
        if let Message::Append { epoch, .. } | Message::Hello { epoch, .. } = &message {
            c.epoch[to] = c.epoch[to].max(*epoch);
        }
        match &message {
            Message::Tail { records, .. } if !records.is_empty() => self.count("tail fetches"),
            Message::Refused { reason, .. } => self.count(&format!("refused: {reason:?}")),
            _ => {}
        }
        debug_assert!(self.is_alive(node, boot));
        self.step(node, Input::Message { peer, message })
    }

    /// One end closes; what it sent before still arrives.
    fn hang_up(&mut self, conn: u64, by: usize) {
        let delay = self.wire();
        let Some(c) = self.conns.get_mut(&conn) else { return };
        c.is_open[by] = false;
        let last = c.arrives[1 - by].values().copied().max().unwrap_or(0);
        let when = last.max(self.now + delay);
        self.at(when, Event::Close { conn, to: 1 - by });
        self.after(0, Event::Close { conn, to: by });
    }

    fn break_conn(&mut self, conn: u64) {
        for to in 0..2 {
            let delay = self.rng.delay(10, 200_000);
            self.after(delay, Event::Close { conn, to });
        }
    }

    fn closed(&mut self, conn: u64, to: usize) -> Result<(), String> {
        let Some(c) = self.conns.get_mut(&conn) else { return Ok(()) };
        c.is_open[to] = false;
        let (node, _, peer) = c.ends[to];
        let known = self.nodes[node].process.as_mut().and_then(|p| p.conns.remove(&peer));
        if known.is_none() {
            return Ok(());
        }
        let partial = self.nodes[node].disk.partial;
        self.step(node, Input::PartialKept { partial })?;
        self.step(node, Input::PeerDown { peer, reason: "the connection ended".into() })
    }

    /// Sends the next piece after `from`: a few to a file.
    fn snapshot_piece(&mut self, delay: u64, conn: u64, file: SnapshotFile, from: u64) {
        let most = file.id.bytes / 3 + 1;
        let upto = file.id.bytes.min(from + 1 + self.rng.below(most));
        self.after(delay, Event::SnapshotArrives { conn, file, upto });
    }

    fn snapshot_arrives(&mut self, conn: u64, file: SnapshotFile, upto: u64) -> Result<(), String> {
        let Some(c) = self.conns.get(&conn) else { return Ok(()) };
        let ((from, ..), (to, boot, peer)) = (c.ends[0], c.ends[1]);
        if !c.is_open[0] || !c.is_open[1] || !self.is_alive(to, boot) {
            return Ok(());
        }
        if self.blocked.contains(&(from, to)) || self.nodes[to].paused_until > self.now {
            self.after(20 * MS, Event::SnapshotArrives { conn, file, upto });
            return Ok(());
        }
        self.nodes[to].disk.partial = Some(PartialSnapshot { snapshot: file.id, bytes: upto });
        if upto < file.id.bytes {
            if self.rng.one_in(4) && !self.is_calm {
                self.count("snapshots cut off");
                self.break_conn(conn);
            }
            let delay = self.rng.delay(1_000, 50_000);
            self.snapshot_piece(delay, conn, file, upto);
            return Ok(());
        }
        if self.rng.one_in(10) && !self.is_calm {
            // A byte flipped: the reader finds it, keeps nothing, and gives the connection up.
            self.count("damaged snapshots");
            self.nodes[to].disk.partial = None;
            self.break_conn(conn);
            return Ok(());
        }
        let graph = load(&self.nodes[to].names, &file)?;
        let (snapshot, header) = (file.id, file.header.clone());
        self.nodes[to].disk.partial = None;
        if let Some(process) = self.nodes[to].process.as_mut() {
            process.received.insert(header.position.lsn, file);
        }
        self.step(to, Input::PartialKept { partial: None })?;
        self.step(to, Input::SnapshotReceived { peer, snapshot, header, graph })
    }

    // ---- clients ----

    fn client(&mut self, index: usize) -> Result<(), String> {
        let pause = self.options.client_pause_us;
        let delay = self.rng.delay(pause / 4, pause * 2);
        if !self.stop_clients {
            self.after(delay, Event::Client { index });
        }
        let writable: Vec<usize> = (0..self.nodes.len())
            .filter(|n| self.nodes[*n].process.as_ref().is_some_and(|p| p.shared.role() == Role::Main))
            // No one is sent to a node that was never told what it is.
            .filter(|n| *n == self.operator.main || self.nodes[*n].promised != Epoch::default())
            .collect();
        if writable.is_empty() || self.stop_clients {
            return Ok(());
        }
        let node = self.rng.pick(&writable);
        let Some(process) = self.nodes[node].process.as_ref() else { return Ok(()) };
        let (boot, graph, is_writable) = (process.boot, process.shared.graph(), process.shared.is_writable());
        // Sessions look first; now and then one is late.
        if !is_writable && !self.rng.one_in(10) {
            return Ok(());
        }
        if self.rng.one_in(20) {
            graph.collect_garbage();
        }
        self.next_uid += 1;
        let Ok(Some(commit)) = transact(&graph, self.next_uid, &mut self.rng) else {
            self.count("transactions that met another");
            return Ok(());
        };
        self.next_token += 1;
        let token = self.next_token;
        let payload = commit.payload.clone();
        let at = self.now;
        self.oracle.proposals.insert(token, Proposal { payload, at });
        let delay = self.rng.delay(1, 3_000);
        self.after(delay, Event::Input { node, boot, input: Input::Propose { token: Token(token), commit } });
        Ok(())
    }

    fn resolved(&mut self, node: usize, token: Token, outcome: &Outcome) -> Result<(), String> {
        let Some(index) = self.oracle.told(token.0, outcome)? else {
            let Outcome::Failed(error) = outcome else { return Ok(()) };
            let error = format!("{error:?}");
            let word = error.split(['(', ' ']).next().unwrap_or_default();
            self.count(&format!("failed: {word}"));
            return Ok(());
        };
        let position = self.oracle.position(index);
        let n = &self.nodes[node];
        let Some(process) = n.process.as_ref() else { return Ok(()) };
        if position.epoch.node != n.id {
            return Err(format!("2: node {node} answers for {position}"));
        }
        if let Outcome::InDoubt { .. } = outcome {
            self.count("in doubt");
            return Ok(());
        }
        if !self.oracle.holds(n.synced, index) {
            return Err(format!("1.1: {position} was told committed and is not durable on its MAIN"));
        }
        let mut has_keeper = false;
        if let Outcome::Committed { .. } = outcome {
            for r in &process.registered {
                let since = process.registered_at.get(&r.name).copied().unwrap_or(Lsn(u64::MAX));
                if r.mode == SyncMode::Async || since >= position.lsn {
                    continue;
                }
                let Some(replica) = self.nodes.iter().find(|n| n.id == r.node) else { continue };
                if !self.oracle.holds(replica.synced, index) {
                    return Err(format!("7: {position} was told OK and is not durable on {}", r.name));
                }
                if let Some(p) = &replica.process
                    && p.shared.graph().published() < position.lsn
                {
                    return Err(format!("7: {position} was told OK and is not shown by {}", r.name));
                }
                has_keeper = true;
            }
        }
        let word = if let Outcome::Degraded { .. } = outcome { "degraded" } else { "committed" };
        self.count(word);
        self.yes_after_heal += u64::from(self.is_calm);
        // A MAIN that was replaced without its knowledge acknowledges to no one's surprise but its own.
        if has_keeper || position.epoch.number >= self.operator.number {
            self.oracle.yes.push(Yes { index, survives_failover: has_keeper });
        }
        Ok(())
    }

    // ---- the operator's wire ----

    /// Asks a node something that it answers at once.
    pub(crate) fn ask(&mut self, node: usize, command: Admin) -> Result<Option<AdminAnswer>, String> {
        if self.nodes[node].paused_until > self.now {
            return Ok(None);
        }
        let token = Token(ADMIN_TOKENS);
        let now = Time(self.now);
        let Some(process) = &mut self.nodes[node].process else { return Ok(None) };
        let mut effects = Vec::new();
        process.engine.step(now, Input::Admin { token, command }, &mut effects);
        let at = effects.iter().position(|e| matches!(e, Effect::Answer { token: t, .. } if *t == token));
        let answer = at.map(|at| effects.remove(at));
        self.carry_out(node, effects)?;
        self.check(node)?;
        match answer {
            Some(Effect::Answer { result: Ok(answer), .. }) => Ok(Some(answer)),
            _ => Ok(None),
        }
    }

    /// Sends a command; its answer comes back to the operator.
    pub(crate) fn command(&mut self, node: usize, command: Admin) -> Option<(u64, u64)> {
        let boot = self.nodes[node].process.as_ref()?.boot;
        self.next_token += 1;
        let token = ADMIN_TOKENS + self.next_token;
        self.note(|| format!("operator asks node {node}: {command:?}"));
        let delay = self.rng.delay(50, 2_000);
        self.after(delay, Event::Input { node, boot, input: Input::Admin { token: Token(token), command } });
        Some((token, boot))
    }

    fn answered(
        &mut self,
        node: usize,
        token: Token,
        result: Result<AdminAnswer, AdminError>,
    ) -> Result<(), String> {
        self.note(|| format!("node {node} answers: {result:?}"));
        self.on_answer(node, token.0, result)
    }

    // ---- faults ----

    fn fault(&mut self) -> Result<(), String> {
        let every = self.options.fault_every;
        let delay = self.fault_rng.range(every / 4, every * 2);
        self.after(delay, Event::Fault);
        if self.is_calm {
            return Ok(());
        }
        let number = self.disturbances;
        self.disturbances += 1;
        if !self.options.tweaks.skip.contains(&number) {
            // Dice of its own: what is left out changes nothing about the others.
            let mut rng = Rng::new(self.options.seed ^ 0xfa17 ^ (number << 20));
            self.disturb(&mut rng)?;
        }
        Ok(())
    }

    fn disturb(&mut self, rng: &mut Rng) -> Result<(), String> {
        let nodes = self.nodes.len() as u64;
        let node = rng.below(nodes) as usize;
        let other = (node + 1 + rng.below(nodes - 1) as usize) % self.nodes.len();
        match rng.below(12) {
            0 | 1 => {
                let (is_power, down) = (rng.one_in(2), rng.range(5, 1_500) * MS);
                self.kill(node, is_power, down);
            }
            2..=4 => {
                let fuse = rng.below(60);
                self.nodes[node].fuse_is_power = rng.one_in(2);
                self.nodes[node].fuse = Some(fuse);
            }
            5 => {
                let until = self.now + rng.range(1, 2_000) * MS;
                if self.nodes[node].process.is_some() {
                    self.note(|| format!("node {node} is stopped"));
                    self.nodes[node].paused_until = until;
                    self.count("pauses");
                }
            }
            6 | 7 => {
                let (one_way, long) = (rng.one_in(2), rng.range(5, 2_500) * MS);
                self.note(|| format!("link {node}-{other} is cut, one way: {one_way}"));
                self.count("partitions");
                for link in [(node, other), (other, node)].into_iter().take(if one_way { 1 } else { 2 }) {
                    self.blocked.insert(link);
                    self.after(long, Event::Unblock { link });
                }
            }
            8 => {
                let open: Vec<u64> =
                    self.nodes[node].process.iter().flat_map(|p| p.conns.values().copied()).collect();
                if !open.is_empty() {
                    let conn = rng.pick(&open);
                    self.count("broken connections");
                    self.break_conn(conn);
                }
            }
            9 => self.nodes[node].disk.slowness_us = rng.pick(&[200, 2_000, 30_000, 400_000]),
            10 => {
                // All at once, as in a cellar.
                for node in 0..self.nodes.len() {
                    let down = rng.range(5, 500) * MS;
                    self.kill(node, true, down);
                }
            }
            _ => {
                let main = self.operator.main;
                if rng.one_in(2) {
                    let (is_power, down) = (rng.one_in(2), rng.range(3, 8) * SECOND);
                    self.kill(main, is_power, down);
                } else {
                    self.ask(node, Admin::CreateSnapshot)?;
                }
            }
        }
        Ok(())
    }

    /// No more faults; everyone is back.
    pub(crate) fn heal(&mut self) -> Result<(), String> {
        self.is_calm = true;
        self.blocked.clear();
        self.note(|| "all is healed".into());
        for node in 0..self.nodes.len() {
            let n = &mut self.nodes[node];
            n.paused_until = 0;
            n.down_until = 0;
            n.fuse = None;
            n.disk.slowness_us = 2_000;
            if n.process.is_none() {
                self.start(node)?;
            }
        }
        Ok(())
    }

    // ---- what must hold after every event ----

    fn check_said(&self, node: usize, peer: PeerId, message: &Message) -> Result<(), String> {
        let n = &self.nodes[node];
        let synced = self.oracle.position(n.synced).lsn;
        match message {
            Message::Welcome { promised, end, .. } => {
                if *promised > n.promised {
                    return Err(format!("4: node {node} tells {promised} and has synced {}", n.promised));
                }
                if end.last.lsn > synced {
                    return Err(format!("12: node {node} greets with {} and has synced {synced}", end.last));
                }
            }
            Message::Ack { durable, applied } => {
                let conn =
                    n.process.as_ref().and_then(|p| p.conns.get(&peer)).and_then(|c| self.conns.get(c));
                let heard = conn.map_or(Epoch::default(), |c| c.epoch[1]);
                if heard > n.promised {
                    return Err(format!("4: node {node} acks {heard} and has synced {}", n.promised));
                }
                if *durable > synced || applied > durable {
                    return Err(format!("12: node {node} acks {durable}, {applied} and has synced {synced}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn check(&mut self, node: usize) -> Result<(), String> {
        let n = &self.nodes[node];
        let Some(process) = n.process.as_ref() else { return Ok(()) };
        let graph = process.shared.graph();
        let lsn = graph.published();
        let tip = process.tip;
        let before = n.published;
        let before_lsn = self.oracle.position(before).lsn;
        if lsn == before_lsn {
            return Ok(());
        }
        if lsn < before_lsn {
            return Err(format!("14: node {node} shows {lsn} after {before_lsn}"));
        }
        if lsn > self.oracle.position(n.synced).lsn {
            return Err(format!(
                "12: node {node} shows {lsn} and has synced {}",
                self.oracle.position(n.synced)
            ));
        }
        let index = self.oracle.at(tip, lsn);
        if !self.oracle.holds(index, before) {
            return Err(format!("14: node {node} shows {lsn} on another branch than {before_lsn}"));
        }
        for (record, must) in self.oracle.strict_between(tip, before_lsn, lsn) {
            let held = |id: &NodeId| {
                self.nodes.iter().find(|n| n.id == *id).is_none_or(|n| self.oracle.holds(n.synced, record))
            };
            if !must.iter().all(held) {
                let position = self.oracle.position(record);
                return Err(format!(
                    "8: node {node} shows {position} before every STRICT_SYNC replica has it"
                ));
            }
            self.oracle.settle_one(record);
        }
        self.nodes[node].published = index;
        if lsn.0 > before_lsn.0 + 20 || self.rng.one_in(60) {
            let digest = graph.digest(&graph.view());
            self.oracle.digest(index, digest)?;
        }
        Ok(())
    }

    /// Every node shows the same, and it is what the records say.
    pub(crate) fn check_end(&mut self, main: usize) -> Result<(), String> {
        let tip = self.nodes[main].published;
        self.oracle.check_survivors(tip, false)?;
        let folded = self.oracle.fold(tip)?;
        for node in 0..self.nodes.len() {
            let Some(graph) = self.nodes[node].process.as_ref().map(|p| p.shared.graph()) else {
                return Err(format!("25: node {node} is gone"));
            };
            if self.nodes[node].published != tip || graph.digest(&graph.view()) != folded {
                return Err(format!("13: node {node} does not show what the records say"));
            }
        }
        for position in self.oracle.doubtful.clone() {
            let mut answers = Vec::new();
            for node in 0..self.nodes.len() {
                answers.push(self.ask(node, Admin::TransactionOutcome { position })?);
            }
            if answers.iter().any(|a| a.is_none() || *a != answers[0]) {
                return Err(format!("11: {position} is told as {answers:?}"));
            }
        }
        Ok(())
    }
}

fn fresh(node: NodeId) -> NodeState {
    NodeState::fresh(node)
}

fn snapshot_of(graph: &Graph, header: SnapshotHeader, mut view: View) -> SnapshotFile {
    let mut out = Vec::new();
    let mut encoder = SnapshotEncoder::new(&header, &mut out);
    while let Some(block) = view.next_block() {
        encoder.block(&graph.encode(&block), &mut out);
    }
    let (bytes, digest) = encoder.finish(&mut out);
    SnapshotFile { id: header.id(bytes, digest), header, bytes: out.into() }
}

fn load(names: &Arc<Names>, file: &SnapshotFile) -> Result<Arc<Graph>, String> {
    let mut builder = GraphBuilder::new(names.clone(), &OneByOne);
    let index = builder.load(&file.bytes).map_err(|e| format!("17: a snapshot cannot be loaded: {e}"))?;
    if index.id != file.id {
        return Err("17: a snapshot is not the one that was written".into());
    }
    Ok(builder.graph())
}

/// What the node does at start, on the simulated disk.
fn recover(node: &Node) -> Result<Recovered, String> {
    let (mut graph, mut last, mut chain, mut ts, mut history) =
        (Arc::new(Graph::new(node.names.clone())), Position::default(), 0, 0, History::default());
    let mut held = Vec::new();
    if let Some(file) = node.disk.snapshots.last() {
        graph = load(&node.names, file)?;
        (last, chain, ts) = (file.header.position, file.header.chain, file.header.ts);
        history = file.header.history.clone();
    }
    for logged in &node.disk.wal {
        let record = &logged.record;
        if record.lsn <= last.lsn {
            continue;
        }
        let end = held.last().map_or(last, CommitRecord::position);
        if record.lsn != end.lsn.next() {
            return Err(format!("19: the log goes from {end} to {}", record.position()));
        }
        if node.disk.decided.is_some_and(|lsn| record.lsn > lsn) {
            held.push(record.clone());
            continue;
        }
        let changes = graph.decode(&record.payload).map_err(|e| e.to_string())?;
        graph.apply(record.lsn, &changes).map_err(|e| e.to_string())?;
        graph.publish(record.lsn, record.ts);
        graph.clock().adopt(record.ts);
        history.note(record.epoch, record.lsn);
        (last, chain, ts) = (record.position(), logged.chain, record.ts);
    }
    let wal_from = node.disk.wal.front().map_or(last.lsn.next(), |l| l.record.lsn);
    Ok(Recovered {
        state: node.disk.state.clone(),
        graph,
        last,
        chain,
        ts,
        history,
        wal_from,
        is_noting: node.disk.decided.is_some(),
        held,
        snapshots: node.disk.snapshots.iter().map(|s| s.id).collect(),
        partial: node.disk.partial,
    })
}

/// A small transaction of a random client; a unique mark makes its record unlike any other.
fn transact(
    graph: &Arc<Graph>,
    uid: i64,
    rng: &mut Rng,
) -> Result<Option<mgnode_core::storage::Commit>, String> {
    let names = graph.names().clone();
    let (city, road) = (names.label("City"), names.edge_type("ROAD").map_err(|e| e.to_string())?);
    let (mark, heat) = (names.key("mark"), names.key("heat"));
    let mut tx = graph.begin(true);
    let text = |e: mgnode_core::storage::WriteError| e.to_string();
    let mut known = Vec::new();
    tx.scan_vertices(None, 8, &mut known);
    let last = tx.counts().vertices;
    tx.scan_vertices(Some(VertexId(last / 2)), 8, &mut known);
    match rng.below(6) {
        0..=2 => {
            let id = tx.create_vertex(&[city], vec![(mark, Value::Int(uid))]).map_err(text)?;
            if !known.is_empty() {
                let other = rng.pick(&known);
                tx.create_edge(id, other, road, vec![(heat, Value::Int(uid))]).map_err(text)?;
            }
        }
        // Two clients that touch the same vertex conflict.
        3 | 4 if !known.is_empty() => {
            let id = rng.pick(&known);
            tx.set_vertex_property(id, mark, Value::Int(uid)).map_err(text)?;
        }
        5 if known.len() > 6 => {
            let (from, to) = (rng.pick(&known), rng.pick(&known));
            tx.create_edge(from, to, road, vec![(mark, Value::Int(uid))]).map_err(text)?;
            let mut edges = Vec::new();
            tx.scan_edges(None, 4, &mut edges);
            if edges.len() > 3 {
                tx.delete_edge(rng.pick(&edges)).map_err(text)?;
            }
        }
        _ => {
            tx.create_vertex(&[], vec![(mark, Value::Int(uid))]).map_err(text)?;
        }
    }
    tx.finish().map_err(text)
}
