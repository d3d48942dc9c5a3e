//! A few nodes on a stage: the engine that `mgnode` links, and nothing moves unless it is told to.
//!
//! A commit, a message, a sync, a crash: each is one call, in whatever order the caller likes. What the
//! engines want done waits until then: disk work in the queue of its node, messages on their wire. Each
//! effect is shown to an [`Audience`] as it leaves the engine.

mod disk;
pub mod model;
mod wire;

pub use disk::Disk;
pub use wire::Wire;

use bytes::Bytes;
use disk::{Job, SnapshotFile, load, snapshot_of};
use mgnode_core::engine::{Admin, Effect, Engine, EngineConfig, Input, PeerId, Shared, Token};
use mgnode_core::replication::{Lane, Line, Message, PROTOCOL};
use mgnode_core::types::{CommitRecord, Identity, Lsn, Names, NodeId, NodeState, Role, Time, Value};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use wire::Parcel;

/// The replication port of every node.
pub const PORT: u16 = 10_000;

/// Whoever looks on.
pub trait Audience {
    /// An engine wants this done.
    fn effect(&mut self, node: usize, effect: &Effect);

    /// Something else about a node can be seen from outside now. Told before what left in that step.
    fn changed(&mut self, node: usize, face: Face);

    /// A connection stands: who dialled, who accepted, and what each calls it.
    fn connected(&mut self, ends: [(usize, PeerId); 2]);
}

/// What can be seen of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Face {
    /// Its role.
    pub role: Role,
    /// It takes commits.
    pub is_writable: bool,
    /// The last record that readers see.
    pub published: Lsn,
}

/// One node: its disk, and its process while it runs.
#[derive(Debug)]
pub struct Node {
    /// Who it is.
    pub id: NodeId,
    /// Where it is reached.
    pub address: String,
    /// What outlives its process.
    pub disk: Disk,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    engine: Engine,
    shared: Arc<Shared>,
    face: Face,
    /// Disk work that is not done.
    jobs: VecDeque<Job>,
    is_listening: bool,
    /// The wire of each connection, and which end of it is here.
    peers: BTreeMap<PeerId, (usize, usize)>,
    next_accepted: u64,
    received: Option<SnapshotFile>,
}

/// The nodes, and what is under way between them.
#[derive(Debug)]
pub struct Stage<A> {
    /// Whoever looks on.
    pub audience: A,
    /// For nodes that start from now on.
    pub config: EngineConfig,
    /// What connections settle on from now on.
    pub protocol: u16,
    nodes: Vec<Node>,
    wires: Vec<Wire>,
    /// Dialled and not yet answered: by whom, as which peer, where.
    dials: Vec<(usize, PeerId, String)>,
    /// What happens at once after the step under way.
    errands: VecDeque<(usize, Input)>,
    now: Time,
}

impl<A: Audience> Stage<A> {
    /// Begins with no node.
    pub fn new(audience: A, config: EngineConfig) -> Stage<A> {
        Stage {
            audience,
            config,
            protocol: PROTOCOL,
            nodes: Vec::new(),
            wires: Vec::new(),
            dials: Vec::new(),
            errands: VecDeque::new(),
            now: Time(1),
        }
    }

    /// Adds a node with an empty disk and starts it. Its id is its number from 1 on.
    pub fn add(&mut self, role: Role, address: &str) -> usize {
        let node = self.nodes.len();
        let id = NodeId(node as u64 + 1);
        let state = NodeState { role, ..NodeState::fresh(id) };
        self.nodes.push(Node { id, address: address.to_owned(), disk: Disk::new(state), process: None });
        self.start(node);
        node
    }

    /// Returns the nodes in the order in which they were added.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns the connections that ever were; see [`Wire::is_over`].
    pub fn wires(&self) -> &[Wire] {
        &self.wires
    }

    /// Returns what sessions of a running node look at.
    pub fn shared(&self, node: usize) -> Option<&Arc<Shared>> {
        self.nodes[node].process.as_ref().map(|p| &p.shared)
    }

    /// Starts a node from what its disk holds.
    pub fn start(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        assert!(n.process.is_none(), "it runs already");
        // Recovery syncs what it keeps.
        n.disk.sync_all();
        let recovered = n.disk.recover(Arc::new(Names::default()));
        n.disk.note_recovered(recovered.last.lsn);
        let face = Face { role: recovered.state.role, is_writable: false, published: recovered.last.lsn };
        let mut effects = Vec::new();
        let engine = Engine::start(self.now, self.config.clone(), recovered, &mut effects);
        n.process = Some(Process {
            shared: engine.shared(),
            engine,
            face,
            jobs: VecDeque::new(),
            // The port of a REPLICA at its start is free.
            is_listening: matches!(n.disk.state.role, Role::Replica { .. }),
            peers: BTreeMap::new(),
            next_accepted: 1,
            received: None,
        });
        self.audience.changed(node, face);
        self.carry_out(node, effects);
        self.run_errands();
    }

    /// Ends a process. What it wrote stays, synced or not; its connections end.
    pub fn kill(&mut self, node: usize) {
        let Some(process) = self.nodes[node].process.take() else { return };
        self.dials.retain(|(by, ..)| *by != node);
        for (wire, end) in process.peers.into_values() {
            self.wires[wire].close(end, "the connection ended");
        }
    }

    /// Cuts the power of a node. What it did not sync is gone, and no one is told.
    pub fn cut_power(&mut self, node: usize) {
        let Some(process) = self.nodes[node].process.take() else { return };
        self.dials.retain(|(by, ..)| *by != node);
        self.nodes[node].disk.forget();
        for (wire, end) in process.peers.into_values() {
            self.wires[wire].abandon(end);
        }
    }

    /// Returns whether a node runs.
    pub fn is_running(&self, node: usize) -> bool {
        self.nodes[node].process.is_some()
    }

    /// Lets a client begin and commit a transaction that creates a vertex, marked with the token.
    /// Returns what its record will hold.
    pub fn commit(&mut self, node: usize, token: Token) -> Option<Bytes> {
        let graph = self.shared(node)?.graph();
        let names = graph.names();
        let mark = vec![(names.key("client"), Value::Int(i64::try_from(token.0).expect("tokens are small")))];
        let mut tx = graph.begin(true);
        tx.create_vertex(&[names.label("City")], mark).expect("a graph takes a vertex");
        let commit = tx.finish().expect("nothing is wrong with it")?;
        let payload = commit.payload.clone();
        self.step(node, Input::Propose { token, commit });
        Some(payload)
    }

    /// Asks a node as an operator.
    pub fn ask(&mut self, node: usize, token: Token, command: Admin) {
        self.step(node, Input::Admin { token, command });
    }

    /// Damages a record in the log of a node: it cannot be read back any more.
    pub fn damage(&mut self, node: usize, lsn: Lsn) {
        self.nodes[node].disk.damage(lsn);
    }

    /// Tells a node that there is room on its disk, or none.
    pub fn set_space(&mut self, node: usize, enough: bool) {
        self.step(node, Input::WalSpace { enough });
    }

    /// Tells a node that its graph may grow, or not.
    pub fn set_memory(&mut self, node: usize, enough: bool) {
        self.step(node, Input::Memory { enough });
    }

    /// Lets time pass for everyone at once, with one tick.
    pub fn leap(&mut self, duration: Duration) {
        self.now = self.now + duration;
        for node in 0..self.nodes.len() {
            self.step(node, Input::Tick);
        }
    }

    /// Lets time pass for everyone, with a tick each 50 ms.
    pub fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.now = end.min(self.now + Duration::from_millis(50));
            for node in 0..self.nodes.len() {
                self.step(node, Input::Tick);
            }
        }
    }

    /// Returns how many pieces of work wait for the disk of a node.
    pub fn jobs(&self, node: usize) -> usize {
        self.nodes[node].process.as_ref().map_or(0, |p| p.jobs.len())
    }

    /// Does the next piece of disk work of a node. False where there is none.
    pub fn work(&mut self, node: usize) -> bool {
        let n = &mut self.nodes[node];
        let Some(job) = n.process.as_mut().and_then(|p| p.jobs.pop_front()) else { return false };
        let input = match job {
            Job::Sync(lsn) => {
                n.disk.sync(lsn);
                Input::WalSynced { lsn }
            }
            Job::Save(id, state) => {
                n.disk.state = state;
                Input::StateSaved { id, result: Ok(()) }
            }
            Job::Listen => {
                if let Some(process) = &mut n.process {
                    process.is_listening = true;
                }
                Input::Listening { result: Ok(()) }
            }
            Job::Read { peer, from, bytes_max } => {
                Input::WalRead { peer, from, result: n.disk.read(from, bytes_max) }
            }
            Job::Snapshot(file) => {
                let id = file.id;
                n.disk.snapshots.push(file);
                Input::SnapshotWritten { result: Ok(id) }
            }
            Job::Install(file) => {
                let lsn = file.header.position.lsn;
                n.disk.install(file);
                Input::SnapshotInstalled { lsn }
            }
            Job::Rewind(to) => {
                n.disk.rewind(to.lsn);
                Input::Rewound { result: Ok(Box::new(n.disk.recover(Arc::new(Names::default())))) }
            }
            Job::Drop(before) => {
                n.disk.drop_before(before);
                return true;
            }
            Job::DropSnapshot(lsn) => {
                n.disk.snapshots.retain(|s| s.id.lsn() != lsn);
                return true;
            }
        };
        self.step(node, input);
        true
    }

    /// Returns who dials whom.
    pub fn dials(&self) -> Vec<(usize, Option<usize>)> {
        let at = |address: &str| self.nodes.iter().rposition(|n| n.address == *address);
        self.dials.iter().map(|(by, _, address)| (*by, at(address))).collect()
    }

    /// Answers a dial: a connection, or none where no one listens.
    pub fn connect(&mut self, dial: usize) {
        let (node, peer, address) = self.dials.remove(dial);
        // A node that took over an address answers there.
        let to = self.nodes.iter().rposition(|n| n.address == address);
        let accepting = to.and_then(|to| {
            let process = self.nodes[to].process.as_mut().filter(|p| p.is_listening)?;
            process.next_accepted += 2;
            Some((to, PeerId(process.next_accepted)))
        });
        let Some((to, accepted)) = accepting else {
            return self.step(node, Input::PeerDown { peer, reason: "no one answers".into() });
        };
        let wire = self.wires.len();
        self.wires.push(Wire::new([(node, peer), (to, accepted)]));
        self.audience.connected([(node, peer), (to, accepted)]);
        for (end, (node, peer)) in [(node, peer), (to, accepted)].into_iter().enumerate() {
            if let Some(process) = self.nodes[node].process.as_mut() {
                process.peers.insert(peer, (wire, end));
            }
        }
        let (near, far) = (self.line_to(to), self.line_to(node));
        self.step(to, Input::PeerUp { peer: accepted, dialled: false, line: far });
        self.step(node, Input::PeerUp { peer, dialled: true, line: near });
    }

    /// Returns what a handshake settles with a node: each proves a key of its own.
    fn line_to(&self, node: usize) -> Line {
        let name = Some(self.nodes[node].id.to_string());
        Line { protocol: self.protocol, identity: Identity { key: None, certified: name } }
    }

    /// Delivers the next thing that is under way on a wire to one of its ends. False where there is
    /// nothing, or the wire is held.
    pub fn deliver(&mut self, wire: usize, end: usize) -> bool {
        let Some(parcel) = self.wires[wire].take(end) else { return false };
        let (node, peer) = self.wires[wire].ends()[end];
        let Some(process) = self.nodes[node].process.as_mut() else { return true };
        if !process.peers.contains_key(&peer) {
            return true;
        }
        let input = match parcel {
            Parcel::Message(message) => Input::Message { peer, message },
            Parcel::Snapshot(file) => {
                let names = process.shared.graph().names().clone();
                let (snapshot, header, graph) = (file.id, file.header.clone(), load(&names, &file));
                process.received = Some(file);
                Input::SnapshotReceived { peer, snapshot, header, graph }
            }
            Parcel::End(reason) => {
                process.peers.remove(&peer);
                Input::PeerDown { peer, reason: reason.to_owned() }
            }
        };
        self.step(node, input);
        true
    }

    /// Puts a record on a wire that no present version can read, as if its MAIN had written it.
    pub fn send_unreadable_record(&mut self, wire: usize) {
        let [(main, _), (replica, _)] = self.wires[wire].ends();
        let Some(epoch) = self.shared(main).map(|s| s.epoch()) else { return };
        let (prev, prev_chain) =
            self.nodes[replica].disk.log.last().map_or((Lsn::ZERO, 0), |(r, chain)| (r.lsn, *chain));
        let payload = Bytes::from_static(&[0xFF; 8]);
        let record = CommitRecord { epoch, lsn: prev.next(), ts: 0, payload };
        let records = vec![record];
        let message = Message::Append { epoch, prev, prev_chain, apply_to: prev.next(), records };
        self.wires[wire].put(1, Parcel::Message(message));
    }

    /// Holds a wire up, or lets it go on.
    pub fn hold(&mut self, wire: usize, is_held: bool) {
        self.wires[wire].is_held = is_held;
    }

    /// Ends a connection: both ends hear of it when what was sent before has arrived.
    pub fn cut(&mut self, wire: usize) {
        for end in 0..2 {
            self.wires[wire].put(end, Parcel::End("the connection ended"));
        }
    }

    /// Appends all that a later step can depend on, the audience left out.
    pub fn write_state(&self, out: &mut String) {
        let write = |out: &mut String, what: std::fmt::Arguments<'_>| {
            out.write_fmt(what).expect("a string takes all");
        };
        for node in &self.nodes {
            write(out, format_args!("{:?}", node.disk));
            if let Some(Process { engine, jobs, is_listening, peers, next_accepted, received, .. }) =
                &node.process
            {
                let shell = (jobs, is_listening, peers, next_accepted, received);
                write(out, format_args!("{engine:?}{shell:?}"));
            }
        }
        // What is over does not matter, but for its number.
        for (index, wire) in self.wires.iter().enumerate().filter(|(_, wire)| !wire.is_over()) {
            write(out, format_args!("{index}{wire:?}"));
        }
        write(out, format_args!("{:?}{:?}{}", self.now, self.dials, self.wires.len()));
    }

    fn step(&mut self, node: usize, input: Input) {
        self.feed(node, input);
        self.run_errands();
    }

    fn run_errands(&mut self) {
        while let Some((node, input)) = self.errands.pop_front() {
            self.feed(node, input);
        }
    }

    fn feed(&mut self, node: usize, input: Input) {
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        let mut effects = Vec::new();
        process.engine.step(self.now, input, &mut effects);
        self.carry_out(node, effects);
    }

    fn carry_out(&mut self, node: usize, effects: Vec<Effect>) {
        if let Some(process) = self.nodes[node].process.as_mut() {
            let shared = &process.shared;
            let face = Face {
                role: shared.role(),
                is_writable: shared.is_writable(),
                published: shared.graph().published(),
            };
            if face != process.face {
                process.face = face;
                self.audience.changed(node, face);
            }
        }
        for effect in effects {
            self.audience.effect(node, &effect);
            self.effect(node, effect);
        }
    }

    fn effect(&mut self, node: usize, effect: Effect) {
        let n = &mut self.nodes[node];
        let Some(process) = n.process.as_mut() else { return };
        match effect {
            Effect::WriteWal { record, chain } => n.disk.write(record, chain),
            Effect::SyncWal { lsn } => process.jobs.push_back(Job::Sync(lsn)),
            Effect::SaveState { id, state } => process.jobs.push_back(Job::Save(id, state)),
            Effect::Listen { .. } => process.jobs.push_back(Job::Listen),
            Effect::Unlisten => {
                process.is_listening = false;
                let accepted: Vec<_> =
                    process.peers.iter().filter(|(p, _)| p.0 % 2 == 1).map(|(p, _)| *p).collect();
                for peer in accepted {
                    self.hang_up(node, peer);
                }
            }
            Effect::Dial { peer, address } => self.dials.push((node, peer, address)),
            Effect::Hangup { peer, .. } => {
                self.dials.retain(|(by, p, _)| (*by, *p) != (node, peer));
                self.hang_up(node, peer);
            }
            Effect::Send { peer, message } => {
                let Some((wire, end)) = process.peers.get(&peer).copied() else { return };
                let to = 1 - end;
                if message.lane() == Lane::Log {
                    self.wires[wire].put(to, Parcel::Message(message));
                } else if !self.wires[wire].is_held {
                    // Signs of life overtake everything.
                    let (node, peer) = self.wires[wire].ends()[to];
                    self.errands.push_back((node, Input::Message { peer, message }));
                }
            }
            Effect::ReadWal { peer, from, bytes_max } => {
                process.jobs.push_back(Job::Read { peer, from, bytes_max });
            }
            Effect::WriteSnapshot { header, view } => {
                let file = snapshot_of(&process.shared.graph(), header, view);
                process.jobs.push_back(Job::Snapshot(file));
            }
            Effect::SendSnapshot { peer, snapshot, .. } => {
                let file = n.disk.snapshots.iter().find(|s| s.id == snapshot).cloned();
                let file = file.expect("a snapshot that is sent is there");
                if let Some((wire, end)) = process.peers.get(&peer).copied() {
                    self.wires[wire].put(1 - end, Parcel::Snapshot(file));
                    self.errands.push_back((node, Input::SnapshotSent { peer, result: Ok(()) }));
                }
            }
            // What comes here comes whole.
            Effect::DropPartial => {}
            Effect::DropSnapshot { lsn } => process.jobs.push_back(Job::DropSnapshot(lsn)),
            Effect::InstallSnapshot { .. } => {
                let file = process.received.take().expect("it was received before");
                process.jobs.push_back(Job::Install(file));
            }
            Effect::NoteDecided { lsn, is_first } => {
                n.disk.note_decided(lsn, is_first);
                self.errands.push_back((node, Input::DecidedNoted { lsn }));
            }
            Effect::Rewind { to } => process.jobs.push_back(Job::Rewind(to)),
            Effect::DropWal { before } => process.jobs.push_back(Job::Drop(before)),
            Effect::Resolve { .. } | Effect::Answer { .. } => {}
            Effect::Halt { .. } => self.kill(node),
        }
    }

    fn hang_up(&mut self, node: usize, peer: PeerId) {
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        if let Some((wire, end)) = process.peers.remove(&peer) {
            self.wires[wire].close(end, "the other side hung up");
            self.errands.push_back((node, Input::PeerDown { peer, reason: "hung up".into() }));
        }
    }
}
