//! Joins storage, durability and replication into one deterministic machine.
//!
//! [`Engine::step`] takes one [`Input`] and appends [`Effect`]s. Its caller (the node's driver, or the
//! simulator) carries effects out in their order within a lane (the disk; each peer; each client)
//! and never waits across lanes. There is no clock, no dice and no thread in here: the same inputs
//! give the same effects, byte for byte.
//!
//! A commit on MAIN: [`Input::Propose`] gives it the next LSN, and `WriteWal`, `Send` and `SyncWal`
//! leave together, so that the local sync, the wire and the replicas' syncs overlap. It then waits in
//! the queue of pending records. The head of that queue is applied, published and resolved as soon as
//! it is durable here and wherever its mode demands; nothing overtakes it, so readers see commits in
//! the order of the log. Commits that arrive together share a sync because the disk answers for the
//! last of them.
//!
//! A REPLICA: `Append` gives `WriteWal` and `SyncWal`; `WalSynced` applies, publishes and acknowledges.
//!
//! Whatever is told outside (a client's yes, an acknowledgement, a promise of an epoch) leaves only
//! after the step that learnt it to be durable. Three rules keep that simple:
//! - a log record is acted upon when `WalSynced` reached it ([`Log::durable`]);
//! - while a state file is on its way to the disk, a REPLICA tells its MAIN nothing;
//! - a MAIN appends in an epoch of its own whose state file was synced before.

mod admin;
mod commit;
mod config;
mod follow;
mod io;
mod links;
mod observe;
mod recover;
mod registration;
mod restart;
mod roles;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;

pub use config::{EngineConfig, SyncPolicy};
pub use io::*;
pub use links::ASYNC_PAUSE;
pub use recover::{GraphBuilder, recover_node};
pub use shared::{Route, Shared};

use crate::replication::{Following, LagTrack, Line, Link, LinkState, Log, Message, RefusalReason};
use crate::storage::{Commit, Graph, InFlight};
use crate::types::{
    CommitRecord, Epoch, History, Lsn, NodeId, NodeState, PartialSnapshot, Position, Role, SnapshotId, Time,
};
use commit::{Pending, Shown};
use registration::ReadyWait;
use restart::Confirm;
use roles::Task;
use snapshot::{Installing, Snapshots};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What recovery found on the disk. All of it is synced: recovery syncs the log that it keeps.
#[derive(Debug)]
pub struct Recovered {
    pub state: NodeState,
    /// Everything up to `last` is applied and published.
    pub graph: Arc<Graph>,
    /// The last record that may be shown.
    pub last: Position,
    /// Chain hash at `last`.
    pub chain: u64,
    /// `ts` of `last`.
    pub ts: u64,
    pub history: History,
    /// The first record that the log still holds; `last + 1` where it holds none.
    pub wal_from: Lsn,
    /// How far the node noted that it may show its log, see [`Effect::NoteDecided`]; `None` where it notes nothing.
    /// Beyond the log where the end of that was lost.
    pub noted: Option<Lsn>,
    /// Records that follow `last` in the log and are not decided.
    pub held: Vec<CommitRecord>,
    /// The snapshot files, by rising LSN.
    pub snapshots: Vec<SnapshotId>,
    /// What is kept of a snapshot that did not come in whole.
    pub partial: Option<PartialSnapshot>,
}

/// What this MAIN did with its right to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reign {
    /// Nothing written in this life.
    NotBegun,
    /// The state file with the new epoch is on its way; greetings still carry the old one.
    Saving { before: Epoch },
    /// Records carry this epoch.
    Begun(Epoch),
}

/// What decides whom clients may be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RoutesMark {
    is_main: bool,
    /// One bit a replica, below a leading one.
    ready: u64,
    main: Option<NodeId>,
    version: u64,
}

/// What to do once a state file is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterSave {
    /// Only that it is so.
    Nothing,
    /// The reign begins in this epoch.
    Reign(Epoch),
    /// The task under way goes on.
    Task,
}

/// What the file `decided` says, see [`Effect::NoteDecided`].
#[derive(Clone, Copy, Debug)]
struct Noted {
    /// A restart shows the log up to here.
    written: Lsn,
    /// A note that goes further is on its way.
    is_asked: bool,
}

/// A state file on its way to the disk.
#[derive(Debug)]
struct Saving {
    id: u64,
    then: Vec<AfterSave>,
    state: NodeState,
}

/// One node's deciding part.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    shared: Arc<Shared>,
    /// Time of the step under way.
    now: Time,
    /// After a halt nothing happens any more.
    is_halted: bool,

    /// As it will be once all that was asked for is saved; `saving` says whether it is synced.
    state: NodeState,
    /// The state file on its way to the disk. One at a time, so that what the disk holds is known where it
    /// takes none.
    saving: Option<Saving>,
    /// What waits for the next one.
    save_waits: Vec<AfterSave>,
    /// What the disk holds for sure.
    saved: NodeState,
    next_save: u64,
    next_peer: u64,

    /// The role in force: it changes when the state file with it is synced.
    role: Role,
    graph: Arc<Graph>,
    log: Log,
    /// The first record that the log on disk surely still holds.
    wal_from: Lsn,
    /// The last record that readers see, and the chain hash there.
    applied: Position,
    applied_chain: u64,
    /// Where the log was found not to be readable. Recovery would refuse it; the graph in memory is right.
    log_damage: Option<String>,
    /// The disk has room for further records.
    has_space: bool,
    /// The graph may grow.
    has_memory: bool,
    /// A record of MAIN's was refused since it may not.
    has_refused_growth: bool,
    /// How far the log may be shown; `None` where every record in it may be.
    noted: Option<Noted>,
    /// In the log, not yet applied.
    pending: VecDeque<Pending>,

    /// What the handshake settled, for every connection that stands.
    lines: BTreeMap<PeerId, Line>,

    /// Raised when who is in the cluster, or where clients reach them, has changed.
    members_version: u64,
    routes_mark: Option<RoutesMark>,

    // On a MAIN.
    reign: Reign,
    /// The epoch of an earlier life, in which this one greets until it writes.
    last_reign: Epoch,
    confirm: Confirm,
    /// A higher epoch than the own one that some node was heard to obey.
    replaced_by: Option<Epoch>,
    /// The highest epoch number heard of.
    seen: u64,
    /// Transactions that read before this LSN began in an earlier role or before a tail was fetched.
    oldest_read: Lsn,
    in_flight: InFlight,
    /// Commits that wait for the reign to begin.
    waiting: VecDeque<(Token, Commit)>,
    /// STRICT_SYNC commits that are shown here and whose clients wait for the replicas to show them.
    shown: VecDeque<Shown>,
    /// No new commits: the role is about to change.
    is_closing: bool,
    /// Pending records wait for no replica any more that they can do without.
    is_forced: bool,
    links: Vec<Link>,
    ready_waits: Vec<ReadyWait>,
    lag: LagTrack,

    // On a REPLICA.
    following: Option<Following>,
    /// Accepted connections that have not greeted yet.
    strangers: BTreeMap<PeerId, Time>,
    /// Records up to there may be shown once they are durable.
    may_show: Lsn,
    installing: Option<Installing>,
    /// What the disk keeps of a snapshot that did not come in whole.
    partial: Option<PartialSnapshot>,

    task: Option<Task>,
    /// Commands whose turn has not come, and when they are given up.
    tasks_waiting: VecDeque<(Token, Admin, Time)>,
    snapshots: Snapshots,
}

impl Engine {
    /// Takes in what happened and appends what must be done.
    pub fn step(&mut self, now: Time, input: Input, out: &mut Vec<Effect>) {
        if self.is_halted {
            return;
        }
        self.now = self.now.max(now);
        match input {
            Input::Tick => self.on_tick(out),
            Input::Stop => return self.on_stop(out),
            Input::Propose { token, commit } => self.on_propose(token, commit, out),
            Input::Admin { token, command } => self.on_admin(token, command, out),
            Input::WalSynced { lsn } => self.on_wal_synced(lsn),
            Input::WalFailed { error } => self.halt(format!("the log cannot be written: {error}"), out),
            Input::StateSaved { id, result: Ok(()) } => self.on_state_saved(id, out),
            Input::StateSaved { id, result: Err(error) } => self.on_state_not_saved(id, &error, out),
            Input::WalSpace { enough } => self.has_space = enough,
            Input::Memory { enough } => {
                self.has_memory = enough;
                self.has_refused_growth &= !enough;
            }
            Input::DecidedNoted { lsn } => self.on_decided_noted(lsn),
            Input::Listening { result } => self.on_listening(result, out),
            Input::PeerUp { peer, dialled, line } => self.on_peer_up(peer, dialled, line, out),
            Input::PeerDown { peer, reason } => self.on_peer_down(peer, &reason, out),
            Input::Message { peer, message } => self.on_message(peer, message, out),
            Input::WalRead { peer, from, result } => self.on_wal_read(peer, from, result, out),
            Input::SnapshotWritten { result } => self.on_snapshot_written(result, out),
            Input::SnapshotSent { peer, result } => self.on_snapshot_sent(peer, result, out),
            Input::PartialKept { partial } => self.partial = partial,
            Input::SnapshotReceived { peer, snapshot, header, graph } => {
                self.on_snapshot_received(peer, snapshot, header, graph, out);
            }
            Input::SnapshotInstalled { lsn } => self.on_snapshot_installed(lsn),
            Input::Rewound { result } => self.on_rewound(result, out),
        }
        self.carry_on(out);
    }

    /// Returns what sessions look at.
    pub fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Returns whether the log holds records that are not yet applied.
    pub fn has_unapplied(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Returns whether a tick should come within [`ASYNC_PAUSE`]: something waits only for time to pass.
    pub fn wants_tick(&self) -> bool {
        self.role == Role::Main && self.links.iter().any(|link| self.has_gathered(link))
    }

    /// Does all that the last input made possible.
    fn carry_on(&mut self, out: &mut Vec<Effect>) {
        if self.role == Role::Main {
            self.check_confirm();
            self.commit_waiting(out);
            self.publish_ready(out);
            self.answer_ready_waits(out);
        } else {
            self.show_followed(out);
        }
        self.carry_on_tasks(out);
        self.tell_main(out);
        self.snapshot_if_due(out);
        self.refresh_shared();
    }

    /// Begins to note, before the first record that is durable before it is decided.
    fn begin_noting(&mut self, out: &mut Vec<Effect>) {
        if self.noted.is_none() {
            let lsn = self.applied.lsn;
            self.noted = Some(Noted { written: lsn, is_asked: true });
            out.push(Effect::NoteDecided { lsn, is_first: true });
        }
    }

    /// Returns whether a restart would show `lsn` too, as far as notes go; where it would not, asks for a note
    /// up to `up_to`. Shown before it is noted, a record would be unseen again after a crash.
    fn is_noted(&mut self, lsn: Lsn, up_to: Lsn, out: &mut Vec<Effect>) -> bool {
        let Some(noted) = &mut self.noted else { return true };
        if lsn <= noted.written {
            return true;
        }
        if !noted.is_asked {
            noted.is_asked = true;
            out.push(Effect::NoteDecided { lsn: up_to, is_first: false });
        }
        false
    }

    /// Returns whether a note is on its way.
    fn is_noting(&self) -> bool {
        self.noted.is_some_and(|noted| noted.is_asked)
    }

    fn on_decided_noted(&mut self, lsn: Lsn) {
        if let Some(noted) = &mut self.noted {
            *noted = Noted { written: noted.written.max(lsn), is_asked: false };
        }
    }

    fn on_tick(&mut self, out: &mut Vec<Effect>) {
        if self.role == Role::Main {
            self.tend_links(out);
            self.time_out_commits();
        }
        self.tend_strangers(out);
    }

    fn on_wal_synced(&mut self, lsn: Lsn) {
        self.log.synced(lsn);
    }

    fn on_state_saved(&mut self, id: u64, out: &mut Vec<Effect>) {
        let Some(Saving { then, state, .. }) = self.saving.take_if(|saving| saving.id == id) else { return };
        self.saved = state;
        for then in then {
            match then {
                AfterSave::Nothing => {}
                AfterSave::Reign(epoch) => {
                    if let Reign::Saving { .. } = self.reign {
                        self.reign = Reign::Begun(epoch);
                    }
                }
                AfterSave::Task => self.on_task_saved(out),
            }
        }
        self.save_next(out);
    }

    /// Goes back to the state that the disk holds, and refuses whatever needed another one.
    fn on_state_not_saved(&mut self, id: u64, error: &str, out: &mut Vec<Effect>) {
        let Some(Saving { then, .. }) = self.saving.take_if(|saving| saving.id == id) else { return };
        self.state = self.saved.clone();
        // What waits was made of a state that will not be.
        let waiting = std::mem::take(&mut self.save_waits);
        for then in then.into_iter().chain(waiting) {
            match then {
                AfterSave::Nothing => self.leave_main(error, Some(RefusalReason::Full), out),
                AfterSave::Reign(_) => {
                    if let Reign::Saving { before } = self.reign {
                        self.last_reign = before;
                    }
                    self.reign = Reign::NotBegun;
                    self.refuse_waiting(&CommitError::NoSpace, out);
                }
                AfterSave::Task => self.on_task_not_saved(error, out),
            }
        }
    }

    fn on_message(&mut self, peer: PeerId, message: Message, out: &mut Vec<Effect>) {
        if self.candidate_has(peer) {
            self.on_candidate_message(message, out);
        } else if let Some(index) = self.links.iter().position(|link| link.peer == Some(peer)) {
            self.on_replica_message(index, message, out);
        } else {
            self.on_main_message(peer, message, out);
        }
    }

    fn on_peer_up(&mut self, peer: PeerId, dialled: bool, line: Line, out: &mut Vec<Effect>) {
        self.lines.insert(peer, line);
        if !dialled {
            self.strangers.insert(peer, self.now);
        } else if self.candidate_has(peer) {
            self.greet_candidate(out);
        } else if let Some(index) = self.links.iter().position(|link| link.peer == Some(peer)) {
            self.greet(index, out);
        } else {
            out.push(Effect::Hangup { peer, reason: "no longer wanted".into() });
        }
    }

    fn on_peer_down(&mut self, peer: PeerId, reason: &str, out: &mut Vec<Effect>) {
        self.strangers.remove(&peer);
        self.lines.remove(&peer);
        if self.following.as_ref().is_some_and(|f| f.peer == peer) {
            self.following = None;
        }
        if self.candidate_has(peer) {
            self.refuse_candidate(AdminError::Unreachable(reason.to_owned()), out);
        } else if let Some(index) = self.links.iter().position(|link| link.peer == Some(peer)) {
            self.links[index].peer = None;
            self.lose_link(index, reason, out);
        }
    }

    fn on_wal_read(
        &mut self,
        peer: PeerId,
        from: Lsn,
        result: Result<Vec<(CommitRecord, u64)>, String>,
        out: &mut Vec<Effect>,
    ) {
        if let Err(error) = &result {
            self.log_damage = Some(format!("the log cannot be read from record {from} on: {error}"));
        }
        match self.links.iter().position(|link| link.peer == Some(peer)) {
            Some(index) => self.on_catch_up_read(index, from, result.ok(), out),
            // Nothing is proved by what cannot be read, so nothing is given.
            None => self.on_tail_read(peer, from, result.unwrap_or_default(), out),
        }
    }

    /// Asks for the state as it is now to be saved. What is asked for while one file is on its way goes out
    /// together, behind it.
    fn save(&mut self, then: AfterSave, out: &mut Vec<Effect>) {
        self.save_waits.push(then);
        self.save_next(out);
    }

    fn save_next(&mut self, out: &mut Vec<Effect>) {
        if self.saving.is_some() || self.save_waits.is_empty() {
            return;
        }
        self.next_save += 1;
        let (id, state) = (self.next_save, self.state.clone());
        out.push(Effect::SaveState { id, state: state.clone() });
        self.saving = Some(Saving { id, then: std::mem::take(&mut self.save_waits), state });
    }

    /// Sends a message that earlier protocols do not have, where the other side knows it.
    fn send_if_known(&self, peer: PeerId, message: Message, out: &mut Vec<Effect>) {
        if self.lines.get(&peer).is_some_and(|line| message.is_in(line.protocol)) {
            out.push(Effect::Send { peer, message });
        }
    }

    fn halt(&mut self, reason: String, out: &mut Vec<Effect>) {
        self.is_halted = true;
        self.shared.update(|face| face.is_writable = false);
        out.push(Effect::Halt { reason });
    }

    fn new_peer(&mut self) -> PeerId {
        self.next_peer += 2;
        PeerId(self.next_peer)
    }

    fn is_fenced(&self) -> bool {
        let by_promise = match self.reign {
            Reign::Begun(epoch) => self.state.promised > epoch,
            Reign::NotBegun => !crate::replication::may_reign(&self.state),
            Reign::Saving { .. } => false,
        };
        by_promise || self.replaced_by.is_some_and(|other| other > self.reign_epoch())
    }

    /// Returns the epoch in which this MAIN speaks to its replicas.
    fn reign_epoch(&self) -> Epoch {
        match self.reign {
            Reign::Begun(epoch) => epoch,
            Reign::Saving { before } => before,
            Reign::NotBegun => self.last_reign,
        }
    }

    fn has_strict_links(&self) -> bool {
        self.links.iter().any(|link| link.registration.mode == crate::types::SyncMode::StrictSync)
    }

    fn is_writable(&self) -> bool {
        self.role == Role::Main
            && !self.is_closing
            && !self.is_halted
            && self.confirm == Confirm::Done
            && !self.is_fenced()
            && self.has_lease()
    }

    /// Names the nodes that clients may be sent to: the MAIN, and replicas that follow it.
    fn routes(&self) -> Vec<Route> {
        let here = |is_main| Route { is_main, is_here: true, bolt: self.config.bolt.clone() };
        if self.role == Role::Main {
            let replicas = self.links.iter().filter(|link| link.is_ready());
            let route = |link: &Link| Route { is_main: false, is_here: false, bolt: link.bolt.clone() };
            return std::iter::once(here(true)).chain(replicas.map(route)).collect();
        }
        let Some(following) = &self.following else { return vec![here(false)] };
        let others = self.state.members.iter().filter(|member| member.node != self.state.node);
        let route = |member: &crate::types::Member| Route {
            is_main: member.node == following.main,
            is_here: false,
            bolt: member.bolt.clone(),
        };
        std::iter::once(here(false)).chain(others.map(route)).collect()
    }

    /// Says whether [`Engine::routes`] may have another answer than when this was the same.
    fn routes_mark(&self) -> RoutesMark {
        let ready = self.links.iter().fold(1, |bits, link| bits << 1 | u64::from(link.is_ready()));
        let main = self.following.as_ref().map(|following| following.main);
        RoutesMark { is_main: self.role == Role::Main, ready, main, version: self.members_version }
    }

    fn refresh_shared(&mut self) {
        let mark = self.routes_mark();
        let routes = (self.routes_mark != Some(mark)).then(|| self.routes());
        self.routes_mark = Some(mark);
        let is_writable = self.is_writable();
        let epoch = if self.role == Role::Main { self.reign_epoch() } else { self.state.promised };
        let is_settled = !matches!(self.confirm, Confirm::Asking { .. }) || self.is_fenced();
        self.shared.update(|face| {
            if !Arc::ptr_eq(&face.graph, &self.graph) {
                face.graph = self.graph.clone();
            }
            face.role = self.role;
            if let Some(routes) = routes {
                face.routes = routes;
            }
            face.is_writable = is_writable;
            face.is_settled = is_settled;
            face.is_pairing_open = self.role != Role::Main && self.state.cluster.is_none();
            face.epoch = epoch;
            face.last = self.log.last();
            if face.history != self.log.end().history {
                face.history = self.log.end().history.clone();
            }
        });
    }
}

impl LinkState {
    fn is_fetching(&self) -> bool {
        matches!(self, LinkState::Fetching { .. })
    }
}
