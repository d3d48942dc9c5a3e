//! One node: the engine and the graph that the product links, on a [`Disk`] that forgets.
//!
//! It dies between any two effects, inside recovery too, by kill or by power cut; it is stopped for a
//! while; its clock runs fast, slow, or leaps; its disk is slow, full, read-only, or damaged.

use crate::disk::{Disk, Durability, Job, NoStart, Progress, READ_ONLY};
use crate::files::FileId;
use crate::options::Options;
use crate::oracle::{Index, Must, Oracle};
use crate::rng::Rng;
use crate::world::{Event, MS, PORT, SECOND, World};
use bytes::Bytes;
use mgnode_core::durability::{SnapshotEncoder, SnapshotHeader};
use mgnode_core::engine::{Effect, Engine, EngineConfig, Input, PeerId, Shared, SyncPolicy};
use mgnode_core::replication::{PROTOCOL, PROTOCOL_MIN, PROTOCOL_RESUMES};
use mgnode_core::storage::{Graph, View};
use mgnode_core::types::{
    ClusterId, CommitRecord, Epoch, Lsn, Member, Names, NodeId, NodeState, Position, Registration, Role,
    SyncMode, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) struct Process {
    pub(crate) engine: Engine,
    pub(crate) shared: Arc<Shared>,
    pub(crate) boot: u64,
    pub(crate) is_listening: bool,
    pub(crate) conns: BTreeMap<PeerId, u64>,
    pub(crate) next_accepted: u64,
    /// The last record written, by the oracle's count.
    pub(crate) tip: Index,
    /// Registrations as the engine last handed them to the disk.
    pub(crate) registered: Vec<Registration>,
    /// Those that it counts: as it last heard that the disk has them.
    pub(crate) counted: Vec<Registration>,
    pub(crate) registered_at: BTreeMap<String, Lsn>,
    /// When `registered` last became another list.
    pub(crate) regrouped_at: u64,
    pub(crate) role: Role,
    /// Whom it belongs to, as the engine last handed that to the disk; `None` while that is on its way there.
    pub(crate) belongs: Option<(Option<ClusterId>, Vec<Member>)>,
}

/// A clock of a machine: never back, but at its own pace, and with leaps.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// Reads `reading` at `at`, and goes `rate` milliseconds a second from there.
    at: u64,
    reading: u64,
    rate: u64,
}

/// A byte that is not what was written.
#[derive(Clone, Debug)]
struct Damage {
    file: FileId,
    from: usize,
    before: Vec<u8>,
    after: Vec<u8>,
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) address: String,
    pub(crate) names: Arc<Names>,
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    boots: u64,
    pub(crate) paused_until: u64,
    /// When its last pause ended, or will.
    pub(crate) resumed_at: u64,
    pub(crate) down_until: u64,
    /// Dies after this many effects.
    pub(crate) fuse: Option<u64>,
    /// Dies after this many changes of the disk at its next start.
    pub(crate) fuse_at_start: Option<u64>,
    pub(crate) fuse_is_power: bool,
    clock: Clock,
    damage: Option<Damage>,
    /// It found its files damaged and does not start; an operator must empty it.
    pub(crate) refuses: bool,
    /// A sync failed: the engine must halt, and tell nobody anything any more.
    must_halt: bool,
    pub(crate) published: Index,
    /// What it told durable.
    pub(crate) synced: Index,
    /// What it has synced: less, where it is asked for less than to sync every commit.
    on_platter: Index,
    /// The power went, or a sync failed, where what was told need not be synced.
    may_lack: bool,
    /// What it had told when it lost the end of that.
    lost: Vec<Index>,
    /// When what is synced was.
    pub(crate) synced_at: u64,
    /// When it last told a client yes.
    pub(crate) said_yes: Option<u64>,
    pub(crate) promised: Epoch,
    /// What it is being cut back to, or was when it died.
    rewinding: Option<Index>,
    /// Records that were cut off from its log: they are put aside for good.
    cut_off: Vec<Index>,
    /// A power cut may have taken a note of how far the log may be shown.
    lost_a_note: bool,
    /// What it showed before that took it back.
    pub(crate) shown_once: Lsn,
    /// The newest protocol that this life of it speaks.
    pub(crate) protocol: u16,
    /// The next connection that it dials is greeted in a protocol of a far newer version.
    pub(crate) greets_foreign: bool,
    /// The last that its engine said of its parts.
    pub(crate) stages: Vec<(&'static str, String, &'static str)>,
}

impl Node {
    pub(crate) fn new(index: usize, options: &Options, id: u64) -> Node {
        let id = NodeId(id);
        Node {
            id,
            address: format!("node{index}:{PORT}"),
            names: Arc::new(Names::default()),
            disk: Disk::new(NodeState::fresh(id), options.disk.clone()),
            process: None,
            boots: 0,
            paused_until: 0,
            resumed_at: 0,
            down_until: 0,
            fuse: None,
            fuse_at_start: None,
            fuse_is_power: false,
            clock: Clock { at: 0, reading: 0, rate: 1_000 },
            damage: None,
            refuses: false,
            must_halt: false,
            published: 0,
            synced: 0,
            on_platter: 0,
            may_lack: false,
            lost: Vec::new(),
            synced_at: 0,
            said_yes: None,
            promised: Epoch::default(),
            rewinding: None,
            cut_off: Vec::new(),
            lost_a_note: false,
            shown_once: Lsn::ZERO,
            protocol: PROTOCOL,
            greets_foreign: false,
            stages: Vec::new(),
        }
    }

    /// Whether it told that it has a record durable, maybe before a power cut that took it.
    pub(crate) fn has_told(&self, oracle: &Oracle, index: Index) -> bool {
        oracle.holds(self.synced, index) || self.lost.iter().any(|told| oracle.holds(*told, index))
    }

    fn time(&self, now: u64) -> Time {
        Time(self.clock.reading + (now - self.clock.at) / 1_000 * self.clock.rate)
    }

    /// From now on the clock goes at another pace, after a leap.
    pub(crate) fn set_clock(&mut self, now: u64, leap: u64, rate: u64) {
        self.clock = Clock { at: now, reading: self.time(now).0 + leap, rate };
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.damage.is_some()
    }

    /// Damages a place whose loss must be found out. Returns whether there is one.
    pub(crate) fn damage(&mut self, rng: &mut Rng) -> Option<&'static str> {
        let (file, byte, may_lose) = self.disk.weak_spot(rng)?;
        let (from, before) = self.disk.files.sector(file, byte)?;
        let what = if may_lose && rng.one_in(3) {
            self.disk.files.lose_sector(file, byte);
            "lost writes"
        } else {
            self.disk.files.flip(file, byte, rng.below(8) as u32);
            "flipped bits"
        };
        let (_, after) = self.disk.files.sector(file, byte)?;
        self.damage = Some(Damage { file, from, before, after });
        Some(what)
    }

    /// Puts back what was damaged: other copies of it are about to go, and a disk is never the only one
    /// to fail with them.
    pub(crate) fn undo_damage(&mut self) {
        if let Some(Damage { file, from, before, after }) = self.damage.take_if(|_| !self.refuses) {
            self.disk.files.restore(file, from, &before, &after);
        }
    }
}

impl World {
    pub(crate) fn start(&mut self, node: usize) -> Result<(), String> {
        let n = &mut self.nodes[node];
        n.boots += 1;
        n.names = Arc::new(Names::default());
        n.stages.clear();
        let mut fuse = n.fuse_at_start.take();
        let recovered = match n.disk.start(n.names.clone(), &mut fuse) {
            Ok(recovered) => recovered,
            Err(NoStart::Died) => {
                if n.fuse_is_power {
                    n.lost_a_note = true;
                    n.may_lack = true;
                    n.disk.files.cut(&mut self.rng);
                }
                self.note(|| format!("node {node} dies in recovery"));
                self.count("crashes in recovery");
                self.after(50 * MS, Event::Start { node });
                return Ok(());
            }
            Err(NoStart::ReadOnly) => {
                self.count("starts on a read-only disk");
                self.after(300 * MS, Event::Start { node });
                return Ok(());
            }
            Err(NoStart::Refused(error)) if n.is_damaged() => {
                n.refuses = true;
                self.note(|| format!("node {node} does not start: {error}"));
                self.count("damaged nodes that do not start");
                return Ok(());
            }
            Err(NoStart::Unusable(file)) if n.is_damaged() => {
                n.refuses = true;
                self.note(|| format!("node {node} does not start: {file}"));
                self.count("damaged nodes that do not start");
                return Ok(());
            }
            Err(NoStart::Refused(error)) => return Err(format!("18: node {node} does not start: {error}")),
            Err(NoStart::Unusable(file)) => return Err(format!("18: node {node} cannot use its {file}")),
        };
        let n = &mut self.nodes[node];
        let damaged_file = n.damage.as_ref().map(|d| d.file);
        if damaged_file.is_some_and(|file| !n.disk.files.exists(file)) {
            n.damage = None;
        }
        let (boot, last) = (n.boots, recovered.last);
        let end = recovered.held.last().map_or(last, CommitRecord::position);
        let find = |at| self.oracle.find(at).ok_or(format!("18: recovery ends at {at}, never written"));
        let (shown, tip) = (find(last)?, find(end)?);
        if n.rewinding.take().is_some_and(|to| to == tip) {
            let lsn = self.oracle.position(n.published).lsn.min(self.oracle.position(shown).lsn);
            n.lost.push(n.synced);
            (n.synced, n.published) = (tip, self.oracle.at(shown, lsn));
            n.on_platter = tip;
        }
        if std::mem::take(&mut n.may_lack) && self.options.disk.durability != Durability::Commit {
            self.lose_tail(node, tip, recovered.state.role)?;
        }
        let n = &mut self.nodes[node];
        for (rule, must) in [("18: synced", n.synced), ("14: shown", n.published)] {
            if !self.oracle.holds(tip, must) {
                let must = self.oracle.position(must);
                return Err(format!("{rule} {must} is gone after recovery of node {node} to {end}"));
            }
        }
        if !self.oracle.holds(shown, n.published) {
            if !n.lost_a_note {
                let must = self.oracle.position(n.published);
                return Err(format!(
                    "14: node {node} showed {must} and holds it back after recovery to {last}"
                ));
            }
            // The power went before the note of it was synced. The record is there; whether it was decided,
            // the others tell.
            n.shown_once = n.shown_once.max(self.oracle.position(n.published).lsn);
            n.published = shown;
        }
        n.lost_a_note = false;
        if !recovered.held.is_empty() {
            self.coverage.count("restarts with undecided records");
        }
        check_aside(&self.oracle, n)?;
        if recovered.chain != self.oracle.chain(shown) {
            return Err(format!("18: the chain hash at {last} is wrong after recovery"));
        }
        if recovered.graph.published() != last.lsn {
            return Err(format!("18: recovery to {last} shows {}", recovered.graph.published()));
        }
        if recovered.state.promised < n.promised {
            return Err(format!("1: {} is forgotten for {}", n.promised, recovered.state.promised));
        }
        if self.rng.one_in(3) {
            let again = n.disk.recover(Arc::new(Names::default()));
            let (again, _) = again.map_err(|e| format!("18: a second recovery fails: {e:?}"))?;
            let digest = |graph: &Arc<Graph>| graph.digest(&graph.view());
            if (again.last, again.chain, &again.history) != (last, recovered.chain, &recovered.history)
                || digest(&again.graph) != digest(&recovered.graph)
            {
                return Err(format!("18: node {node} recovers to {last}, then to {}", again.last));
            }
        }
        // What it shows now and did not before its death must have been decided by then.
        self.check_decided(node, shown, self.nodes[node].published)?;
        self.oracle.settle(shown);
        let older = self.rng.one_in(6) && !self.is_calm;
        let n = &mut self.nodes[node];
        n.protocol = if older { PROTOCOL_MIN } else { PROTOCOL };
        n.promised = recovered.state.promised;
        // Recovery syncs what it found before anyone hears of it.
        (n.synced, n.on_platter) = (tip, tip);
        n.must_halt = false;
        let registered = recovered.state.replicas.clone();
        let registered_at = registered.iter().map(|r| (r.name.clone(), last.lsn)).collect();
        let role = recovered.state.role;
        let belongs = Some((recovered.state.cluster, recovered.state.members.clone()));
        let mut effects = Vec::new();
        let config = self.options.config.clone();
        let engine = Engine::start(n.time(self.now), config, recovered, &mut effects);
        let shared = engine.shared();
        n.process = Some(Process {
            engine,
            shared,
            boot,
            is_listening: false,
            conns: BTreeMap::new(),
            next_accepted: 1,
            tip,
            counted: registered.clone(),
            registered,
            registered_at,
            regrouped_at: self.now,
            role,
            belongs,
        });
        self.note(|| format!("node {node} starts at {last}, its log ends at {end}"));
        self.after(0, Event::Tick { node, boot });
        self.disk_begin(node)?;
        self.carry_out(node, effects)?;
        self.check(node)
    }

    /// With less than a sync for every commit, a power cut takes the end of what was told; never what was
    /// synced, and nothing from the middle.
    fn lose_tail(&mut self, node: usize, tip: Index, role: Role) -> Result<(), String> {
        let n = &mut self.nodes[node];
        if self.oracle.holds(tip, n.synced) {
            return Ok(());
        }
        for (what, of, part) in [("synced", tip, n.on_platter), ("told", n.synced, tip)] {
            if !self.oracle.holds(of, part) {
                let (tip, part) = (self.oracle.position(tip), self.oracle.position(part));
                return Err(format!("18: node {node} recovers to {tip}, and had {what} {part}"));
            }
        }
        n.shown_once = n.shown_once.max(self.oracle.position(n.published).lsn);
        if !self.oracle.holds(tip, n.published) {
            n.published = tip;
        }
        n.lost.push(n.synced);
        // One that was just promoted is the MAIN before the operator has seen it.
        let is_main = role == Role::Main || node == self.operator.main;
        self.oracle.lose(n.id, tip, n.synced, is_main);
        n.synced = tip;
        self.count("tails lost with the power");
        Ok(())
    }

    pub(crate) fn kill(&mut self, node: usize, is_power_cut: bool, down: u64) {
        let n = &mut self.nodes[node];
        let Some(process) = n.process.take() else { return };
        n.disk.kill(is_power_cut, &mut self.rng);
        n.lost_a_note |= is_power_cut;
        n.may_lack |= is_power_cut;
        n.fuse = None;
        n.paused_until = 0;
        n.down_until = self.now + down;
        let boot = process.boot;
        let is_asked = || self.oracle.proposals.values().any(|p| p.is_taken && p.to == (node, boot));
        let has_answered = n.said_yes.is_some_and(|at| self.now - at < 20 * MS);
        let was_main =
            process.role == Role::Main && !process.registered.is_empty() && (has_answered || is_asked());
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
        for n in &mut self.nodes {
            n.undo_damage();
        }
        self.kill(node, false, 50 * MS);
        let id = NodeId(self.rng.next());
        let n = &mut self.nodes[node];
        // Its promise goes with its disk, and nobody goes on with what it was made for.
        self.oracle.fences.retain(|fence| !(fence.is_given_up && fence.holders.contains(&n.id)));
        n.lost.push(n.synced);
        self.emptied.push((n.id, std::mem::take(&mut n.lost)));
        n.id = id;
        n.disk = Disk::new(NodeState::fresh(id), self.options.disk.clone());
        n.damage = None;
        n.refuses = false;
        n.published = 0;
        (n.synced, n.on_platter, n.may_lack) = (0, 0, false);
        n.promised = Epoch::default();
        n.rewinding = None;
        n.cut_off.clear();
        n.shown_once = Lsn::ZERO;
        self.note(|| format!("node {node} is emptied"));
        self.count("wiped nodes");
        self.after(50 * MS, Event::Start { node });
    }

    pub(crate) fn step(&mut self, node: usize, input: Input) -> Result<(), String> {
        self.steps += 1;
        let time = self.nodes[node].time(self.now);
        if let Input::WalFailed { .. } = input {
            self.nodes[node].must_halt = true;
        }
        if let Input::Propose { token, .. } = &input
            && let Some(proposal) = self.oracle.proposals.get_mut(&token.0)
        {
            proposal.is_taken = true;
        }
        self.is_idle_step = self.is_idle(node, &input);
        let mut rewound = None;
        let n = &mut self.nodes[node];
        let Some(process) = &mut n.process else { return Ok(()) };
        if let Input::Rewound { result: Ok(_) } = &input
            && let Some(to) = n.rewinding.take()
        {
            self.oracle.between(to, process.tip, &mut n.cut_off);
            n.shown_once = n.shown_once.max(self.oracle.position(n.published).lsn);
            let shown = self.oracle.position(n.published).lsn.min(self.oracle.position(to).lsn);
            (n.published, process.tip) = (self.oracle.at(to, shown), to);
            check_aside(&self.oracle, n)?;
            self.coverage.count("rewinds");
            rewound = Some(self.oracle.position(to));
        }
        if let Some(to) = rewound {
            self.note(|| format!("node {node} is cut back to {to}"));
        }
        let n = &mut self.nodes[node];
        let Some(process) = &mut n.process else { return Ok(()) };
        if let Input::StateSaved { .. } = input {
            process.belongs = Some((n.disk.state.cluster, n.disk.state.members.clone()));
            // From here on the engine counts the replicas that this file names.
            let end = self.oracle.position(process.tip).lsn;
            let registered = &n.disk.state.replicas;
            process.counted.clone_from(registered);
            process.registered_at.retain(|name, _| registered.iter().any(|r| r.name == *name));
            for registration in registered {
                process.registered_at.entry(registration.name.clone()).or_insert(end);
            }
        }
        let mut effects = Vec::new();
        process.engine.step(time, input, &mut effects);
        self.carry_out(node, effects)?;
        self.is_idle_step = false;
        self.check(node)
    }

    /// Whether an input is one that no commit waits for: time, or a word of an ASYNC replica. (22)
    fn is_idle(&self, node: usize, input: &Input) -> bool {
        let peer = match input {
            Input::Tick => return true,
            Input::Message { peer, .. } | Input::WalRead { peer, .. } | Input::SnapshotSent { peer, .. } => {
                peer
            }
            _ => return false,
        };
        let process = self.nodes[node].process.as_ref();
        let Some(conn) = process.and_then(|p| p.conns.get(peer)).and_then(|c| self.conns.get(c)) else {
            return false;
        };
        let id = self.nodes[conn.ends[1].0].id;
        let counted = process.map_or(&[][..], |p| &p.counted);
        conn.ends[0].0 == node && counted.iter().any(|r| r.node == id && r.mode == SyncMode::Async)
    }

    pub(crate) fn time_of(&self, node: usize) -> Time {
        self.nodes[node].time(self.now)
    }

    pub(crate) fn carry_out(&mut self, node: usize, effects: Vec<Effect>) -> Result<(), String> {
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
        if n.must_halt && !matches!(effect, Effect::Halt { .. }) {
            return Err(format!("1.3: node {node} goes on after its disk failed: {effect:?}"));
        }
        match effect {
            Effect::WriteWal { record, chain } => {
                if process.role == Role::Main && record.epoch > n.promised {
                    let (position, promised) = (record.position(), n.promised);
                    return Err(format!("1: node {node} writes {position} and has synced {promised}"));
                }
                let must = must(&self.options.config, process);
                process.tip = self.oracle.written(process.tip, &record, chain, must)?;
                self.disk_job(node, Job::Write(record, chain))?;
            }
            Effect::SyncWal { lsn } => self.disk_job(node, Job::Sync(lsn))?,
            Effect::SaveState { id, state } => {
                if state.promised < n.promised {
                    return Err(format!("1: node {node} goes from {} to {}", n.promised, state.promised));
                }
                let is_turn = state.role != process.role;
                let is_fewer = state.replicas.len() < process.registered.len();
                process.registered = state.replicas.clone();
                process.belongs = None;
                process.regrouped_at = self.now;
                let tip = process.tip;
                // A MAIN that becomes a REPLICA decides nothing.
                if state.role == Role::Main && (is_turn || is_fewer) {
                    self.oracle.settle(tip);
                }
                self.disk_job(node, Job::Save(id, state))?;
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
                self.send(node, peer, &message)?;
            }
            Effect::ReadWal { peer, from, bytes_max } => {
                self.disk_job(node, Job::Read(peer, from, bytes_max))?;
            }
            Effect::WriteSnapshot { header, view } => {
                let bytes = encode(&process.shared.graph(), &header, view);
                let number = n.disk.write_snapshot(header, bytes);
                let delay = self.rng.delay(1_000, 200_000);
                self.after(delay, Event::SnapshotWritten { node, boot, number });
            }
            Effect::SendSnapshot { peer, snapshot, offset, protocol } => {
                let bytes = n.disk.snapshot(&snapshot);
                let offset = if protocol < PROTOCOL_RESUMES { 0 } else { offset };
                self.send_snapshot(node, peer, snapshot, bytes, offset)?;
            }
            Effect::DropPartial => n.disk.drop_partial(),
            Effect::DropSnapshot { lsn } => self.disk_job(node, Job::DropSnapshot(lsn))?,
            Effect::InstallSnapshot { header } => {
                process.tip = self.oracle.find(header.position).ok_or("23: unknown snapshot")?;
                self.disk_job(node, Job::Install(header))?;
            }
            Effect::NoteDecided { lsn, is_first: true } => self.disk_job(node, Job::NoteDecided(lsn))?,
            Effect::NoteDecided { lsn, is_first: false } => {
                let input = n.disk.note_now(lsn);
                self.after(0, Event::Input { node, boot, input });
            }
            Effect::Rewind { to } => {
                n.rewinding = Some(self.oracle.find(to).ok_or("20: a log is cut back to an unknown record")?);
                self.disk_job(node, Job::Rewind(to))?;
            }
            Effect::DropWal { before } => {
                self.check_kept(node, before)?;
                self.disk_job(node, Job::Drop(before))?;
            }
            Effect::Resolve { token, outcome } => self.resolved(node, token, &outcome)?,
            Effect::Answer { token, result } => self.answered(node, token, result)?,
            Effect::Halt { reason } => {
                if !n.must_halt {
                    return Err(format!("node {node} halts: {reason}"));
                }
                self.note(|| format!("node {node} halts: {reason}"));
                self.count("halts");
                let down = self.rng.range(50, 1_500) * MS;
                self.kill(node, false, down);
            }
        }
        Ok(())
    }

    // ---- its disk ----

    fn disk_job(&mut self, node: usize, job: Job) -> Result<(), String> {
        self.nodes[node].disk.push(job);
        self.disk_begin(node)
    }

    fn disk_begin(&mut self, node: usize) -> Result<(), String> {
        let n = &mut self.nodes[node];
        let Some(boot) = n.process.as_ref().map(|p| p.boot) else { return Ok(()) };
        if !n.disk.is_busy() {
            let mut progress = Progress::default();
            if let Some(delay) = n.disk.begin(self.now, &mut self.rng, &mut progress) {
                self.after(delay, Event::Disk { node, boot });
            }
            self.hand_in(node, boot, progress)?;
        }
        let n = &mut self.nodes[node];
        if let Some(delay) = n.disk.flush_in() {
            self.after(delay, Event::Flush { node, boot });
        }
        let n = &mut self.nodes[node];
        if n.disk.must_prepare() {
            let slowness_us = n.disk.slowness_us;
            let delay = self.rng.delay(500, 500 + 2 * slowness_us);
            self.after(delay, Event::Prepare { node, boot });
        }
        Ok(())
    }

    fn hand_in(&mut self, node: usize, boot: u64, progress: Progress) -> Result<(), String> {
        for input in progress.inputs {
            match &input {
                Input::WalFailed { error } if error == READ_ONLY => self.count("writes to a read-only disk"),
                Input::WalFailed { .. } => self.count("failed syncs"),
                Input::WalSpace { enough: false } => self.count("full disks"),
                Input::StateSaved { result: Err(_), .. } => self.count("states not saved"),
                Input::SnapshotInstalled { .. } => self.count("snapshot catch-ups"),
                _ => {}
            }
            // The process hears of it in its turn; a stopped one later.
            self.after(0, Event::Input { node, boot, input });
        }
        if let Some((gone, snapshot)) = progress.dropped {
            self.count("logs shortened");
            if snapshot < gone {
                return Err(format!("19: log up to {gone} is let go, and a snapshot covers {snapshot}"));
            }
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self, node: usize, boot: u64) -> Result<(), String> {
        if !self.is_alive(node, boot) {
            return Ok(());
        }
        self.nodes[node].disk.flush();
        self.disk_begin(node)
    }

    pub(crate) fn segment_prepared(&mut self, node: usize, boot: u64) -> Result<(), String> {
        if !self.is_alive(node, boot) {
            return Ok(());
        }
        let mut progress = Progress::default();
        if self.nodes[node].disk.prepared(&mut progress) {
            self.disk_begin(node)?;
        } else {
            self.after(SECOND / 4, Event::Prepare { node, boot });
        }
        self.hand_in(node, boot, progress)
    }

    pub(crate) fn disk_done(&mut self, node: usize, boot: u64) -> Result<(), String> {
        if !self.is_alive(node, boot) {
            return Ok(());
        }
        let n = &mut self.nodes[node];
        let progress = n.disk.finish(self.now, &mut self.rng);
        let Some(process) = n.process.as_mut() else { return Ok(()) };
        if let Some(lsn) = progress.told.filter(|lsn| *lsn > Lsn::ZERO) {
            n.synced = self.oracle.at(process.tip, lsn);
            n.synced_at = self.now;
        }
        if let Some(lsn) = progress.synced {
            n.on_platter = self.oracle.at(process.tip, lsn);
        }
        if let Some(to) = progress.rewound {
            // A MAIN may be about to hear that it had what goes.
            n.lost.push(n.synced);
            n.synced = self.oracle.find(to).ok_or("20: a log is cut back to an unknown record")?;
            n.on_platter = n.synced;
        }
        for input in &progress.inputs {
            match input {
                Input::Rewound { result: Err(_) } => n.rewinding = None,
                Input::StateSaved { result, .. } => {
                    n.promised = n.disk.state.promised;
                    process.role = n.disk.state.role;
                    // One that is dropped counted until now.
                    process.regrouped_at = self.now;
                    if result.is_err() {
                        process.registered = n.disk.state.replicas.clone();
                    }
                }
                Input::SnapshotInstalled { .. } => (n.synced, n.on_platter) = (process.tip, process.tip),
                // What a sync that failed has left behind is not known.
                Input::WalFailed { .. } => n.may_lack = true,
                _ => {}
            }
        }
        self.hand_in(node, boot, progress)?;
        self.disk_begin(node)
    }

    pub(crate) fn snapshot_written(&mut self, node: usize, boot: u64, number: u64) -> Result<(), String> {
        if !self.is_alive(node, boot) {
            return Ok(());
        }
        let flip = (!self.is_calm && self.rng.one_in(20)).then(|| self.rng.next());
        let Some(input) = self.nodes[node].disk.snapshot_written(number, flip) else { return Ok(()) };
        match &input {
            Input::SnapshotWritten { result: Ok(_) } if flip.is_some() => {
                return Err("17: a damaged snapshot was taken for a whole one".into());
            }
            Input::SnapshotWritten { result: Ok(_) } => self.count("snapshots written"),
            _ => self.count("snapshots not written"),
        }
        self.after(0, Event::Input { node, boot, input });
        Ok(())
    }
}

/// Returns who must hold a record that this MAIN writes now before it is shown.
fn must(config: &EngineConfig, process: &Process) -> Option<Must> {
    let of = |mode| -> BTreeSet<NodeId> {
        let here = process.registered.iter().filter(|r| r.mode == mode && process.role == Role::Main);
        here.filter(|r| process.registered_at.contains_key(&r.name)).map(|r| r.node).collect()
    };
    let strict = of(SyncMode::StrictSync);
    if !strict.is_empty() {
        return Some(Must { needed: strict.len(), nodes: strict, is_everywhere: true });
    }
    let sync = of(SyncMode::Sync);
    if sync.is_empty() || config.sync_policy == SyncPolicy::Degrade {
        return None;
    }
    let needed = config.sync_min_acks.map_or(sync.len(), |k| k.min(sync.len()));
    Some(Must { nodes: sync, needed, is_everywhere: false })
}

/// What was cut off from a log is aside, with the same hashes. (20)
fn check_aside(oracle: &Oracle, node: &Node) -> Result<(), String> {
    if node.cut_off.is_empty() {
        return Ok(());
    }
    let aside: BTreeSet<(Position, u64)> =
        node.disk.aside().iter().map(|logged| (logged.record.position(), logged.chain)).collect();
    for index in &node.cut_off {
        let position = oracle.position(*index);
        if !aside.contains(&(position, oracle.chain(*index))) {
            return Err(format!("20: {position} was cut off from a log and is not kept"));
        }
    }
    Ok(())
}

/// Returns the bytes of a snapshot, in a file or on a wire.
fn encode(graph: &Graph, header: &SnapshotHeader, mut view: View) -> Bytes {
    let mut out = Vec::new();
    let mut encoder = SnapshotEncoder::new(header, &mut out);
    while let Some(block) = view.next_block() {
        encoder.block(&graph.encode(&block), &mut out);
    }
    encoder.finish(&mut out);
    out.into()
}
