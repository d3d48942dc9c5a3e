//! The engine and what its effects are carried out with.

use super::burst::{Bursts, LastSync};
use super::{DiskLane, Request, Transport};
use mgnode_core::engine::{
    AdminAnswer, AdminError, CommitError, Effect, Engine, EngineConfig, Input, Outcome, Recovered, Shared,
    Token,
};
use mgnode_core::types::{Lsn, Time};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// Most inputs stepped before their effects are carried out.
const BATCH_MAX: usize = 1024;
/// Longest wait, when the node stops, for commits under way.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// Everything that one who gives the engine its turn needs.
pub(super) struct Turn {
    engine: Engine,
    origin: Instant,
    effects: Vec<Effect>,
    /// The queue that was served last, empty.
    room: VecDeque<Request>,
    bursts: Bursts,
    disk: Box<dyn DiskLane>,
    transport: Box<dyn Transport>,
    published: watch::Sender<Lsn>,
    /// As last told to the transport.
    is_pairing_open: bool,
    next_token: u64,
    commits: HashMap<Token, oneshot::Sender<Outcome>>,
    admins: HashMap<Token, oneshot::Sender<Result<AdminAnswer, AdminError>>>,
    /// A commit that may take long to apply is under way.
    has_long: bool,
    /// The node stops then at the latest.
    stop_by: Option<Instant>,
}

/// Ends the process where the engine panics: half a step must not be the base of another one.
struct NoHalfSteps;

impl Drop for NoHalfSteps {
    fn drop(&mut self) {
        if std::thread::panicking() {
            halt("the engine has a defect, see above");
        }
    }
}

impl Turn {
    /// Starts the engine and carries out the first effects.
    pub(super) fn new(
        config: EngineConfig,
        recovered: Recovered,
        disk: Box<dyn DiskLane>,
        transport: Box<dyn Transport>,
    ) -> Turn {
        let origin = Instant::now();
        let mut effects = Vec::new();
        let engine = Engine::start(now(origin), config, recovered, &mut effects);
        let (published, _) = watch::channel(engine.shared().graph().published());
        let mut turn = Turn {
            engine,
            origin,
            effects,
            room: VecDeque::new(),
            bursts: Bursts::default(),
            disk,
            transport,
            published,
            is_pairing_open: false,
            next_token: 0,
            commits: HashMap::new(),
            admins: HashMap::new(),
            has_long: false,
            stop_by: None,
        };
        turn.carry_out();
        turn
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        self.engine.shared()
    }

    pub(super) fn watch_published(&self) -> watch::Receiver<Lsn> {
        self.published.subscribe()
    }

    /// Whether the engine's own thread is to go on: something large is under way, or the end.
    pub(super) fn may_take_long(&self) -> bool {
        self.has_long || self.stop_by.is_some()
    }

    /// Whether the engine waits for a moment that comes before the next regular tick.
    pub(super) fn wants_tick(&self) -> bool {
        self.engine.wants_tick()
    }

    /// Whether the node was told to stop and no commit is under way, or it has waited long enough.
    pub(super) fn is_done(&self) -> bool {
        self.stop_by.is_some_and(|by| self.commits.is_empty() || Instant::now() >= by)
    }

    /// Steps through `requests`, and a tick where one is due, and carries out what comes of it.
    pub(super) fn serve(&mut self, mut requests: VecDeque<Request>, tick: bool) {
        let _guard = NoHalfSteps;
        for (count, request) in requests.drain(..).enumerate() {
            self.take(request);
            if count % BATCH_MAX == BATCH_MAX - 1 {
                self.carry_out();
            }
        }
        if tick {
            self.step(Input::Tick);
        }
        self.carry_out();
        self.has_long &= self.engine.has_unapplied();
        requests.shrink_to(BATCH_MAX);
        self.room = requests;
    }

    /// Hands out an empty queue with room in it, for what comes while this is at work.
    pub(super) fn room(&mut self) -> VecDeque<Request> {
        std::mem::take(&mut self.room)
    }

    /// Tells who still waits for a commit how it stands, then closes transport and disk. Waits.
    pub(super) fn stop(&mut self) {
        self.step(Input::Stop);
        self.carry_out();
        self.transport.stop();
        self.disk.stop();
    }

    fn step(&mut self, input: Input) {
        self.engine.step(now(self.origin), input, &mut self.effects);
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Input(input) => self.step(input),
            Request::Commit { reply, .. } if self.stop_by.is_some() => {
                // A session that no longer listens has lost its client.
                let _ = reply.send(Outcome::Failed(CommitError::Stopping));
            }
            Request::Commit { commit, reply, is_long } => {
                let token = self.token();
                self.has_long |= is_long;
                self.commits.insert(token, reply);
                self.step(Input::Propose { token, commit });
            }
            Request::Admin { command, reply } => {
                let token = self.token();
                self.admins.insert(token, reply);
                self.step(Input::Admin { token, command });
            }
            Request::Stop => self.stop_by = Some(Instant::now() + STOP_WAIT),
        }
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    fn carry_out(&mut self) {
        let mut sync = LastSync::default();
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            let (disk, transport) = (&mut *self.disk, &mut *self.transport);
            match effect {
                Effect::WriteWal { record, chain } => disk.write_wal(record, chain),
                Effect::SyncWal { lsn } => sync.ask(lsn),
                Effect::SaveState { id, state } => {
                    sync.release(disk);
                    disk.save_state(id, state);
                }
                Effect::ReadWal { peer, from, bytes_max } => {
                    sync.release(disk);
                    disk.read_wal(peer, from, bytes_max);
                }
                Effect::WriteSnapshot { header, view } => disk.write_snapshot(header, view),
                Effect::InstallSnapshot { header } => {
                    sync.release(disk);
                    disk.install_snapshot(header);
                }
                Effect::NoteDecided { lsn, is_first } => {
                    if is_first {
                        sync.release(disk);
                    }
                    disk.note_decided(lsn, is_first);
                }
                Effect::Rewind { to } => {
                    sync.release(disk);
                    disk.rewind(to);
                }
                Effect::DropWal { before } => {
                    sync.release(disk);
                    disk.drop_wal(before);
                }
                Effect::DropSnapshot { lsn } => {
                    sync.release(disk);
                    disk.drop_snapshot(lsn);
                }
                Effect::DropPartial => {
                    sync.release(disk);
                    disk.drop_partial();
                }
                Effect::Listen { port } => transport.listen(port),
                Effect::Unlisten => transport.unlisten(),
                Effect::Dial { peer, address } => transport.dial(peer, address),
                Effect::Hangup { peer, reason } => {
                    self.bursts.release(peer, transport);
                    transport.hangup(peer, reason);
                }
                Effect::Send { peer, message } => self.bursts.send(peer, message, transport),
                Effect::SendSnapshot { peer, snapshot, offset, protocol } => {
                    self.bursts.release(peer, transport);
                    transport.send_snapshot(peer, snapshot, offset, protocol);
                }
                // A session that no longer listens has lost its client; the commit stands all the same.
                Effect::Resolve { token, outcome } => {
                    let waiting = self.commits.remove(&token).expect("each commit is resolved once");
                    let _ = waiting.send(outcome);
                }
                Effect::Answer { token, result } => {
                    let waiting = self.admins.remove(&token).expect("each query is answered once");
                    let _ = waiting.send(result);
                }
                Effect::Halt { reason } => halt(&reason),
            }
        }
        // The room is used again.
        self.effects = effects;
        sync.release(&mut *self.disk);
        self.bursts.release_all(&mut *self.transport);
        let is_open = self.engine.shared().is_pairing_open();
        if is_open && !self.is_pairing_open {
            self.transport.pairing_opened();
        }
        self.is_pairing_open = is_open;
        let published = self.engine.shared().graph().published();
        self.published.send_if_modified(|last| std::mem::replace(last, published) != published);
    }
}

fn now(origin: Instant) -> Time {
    Time(u64::try_from(origin.elapsed().as_nanos()).expect("a node runs less than 584 years"))
}

/// Ends the process at once: what memory says can no longer be trusted to be on disk.
fn halt(reason: &str) -> ! {
    tracing::error!("the node stops at once, to tell nobody what may not be true: {reason}");
    std::process::exit(1);
}
