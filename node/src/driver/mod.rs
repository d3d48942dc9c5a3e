//! The loop that owns the engine: gathers inputs, steps, carries out effects in their order.
//!
//! One thread runs it. Disk and transport are told what to do and never waited for; what comes of it
//! arrives as an [`Input`] through [`Inputs`]. All inputs that wait are stepped before the effects of
//! any are carried out, so that commits that come together share one sync and one burst.

mod disk_lane;
mod handle;
mod transport;

pub use disk_lane::DiskLane;
pub use handle::{BookmarkError, Handle};
pub use transport::{NoTransport, Transport};

use mgnode_core::engine::{
    Admin, AdminAnswer, AdminError, Effect, Engine, EngineConfig, Input, Outcome, Recovered, Token,
};
use mgnode_core::storage::Commit;
use mgnode_core::types::{Lsn, Time};
use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// How often the engine is told the time when nothing else happens.
const TICK: Duration = Duration::from_millis(20);
/// Most inputs stepped before their effects are carried out.
const BATCH_MAX: usize = 1024;
/// Longest wait, when the node stops, for commits under way.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// What reaches the loop.
enum Request {
    Input(Input),
    Commit { commit: Commit, reply: oneshot::Sender<Outcome> },
    Admin { command: Admin, reply: oneshot::Sender<Result<AdminAnswer, AdminError>> },
    Stop,
}

/// Where disk and transport report what happened. Cloning is cheap; sending never waits.
#[derive(Clone)]
pub struct Inputs {
    queue: mpsc::Sender<Request>,
}

impl Inputs {
    /// Reports an input. Once the node has stopped it is dropped: nobody is left to hear it.
    pub fn send(&self, input: Input) {
        self.request(Request::Input(input));
    }

    fn request(&self, request: Request) -> bool {
        self.queue.send(request).is_ok()
    }
}

/// The loop's end of [`Inputs`].
pub struct Queue {
    queue: mpsc::Receiver<Request>,
}

#[cfg(test)]
impl Queue {
    /// Returns the next input, for tests of those who send them.
    pub(crate) fn next_input(&self) -> Option<Input> {
        match self.queue.recv_timeout(Duration::from_secs(10)) {
            Ok(Request::Input(input)) => Some(input),
            _ => None,
        }
    }

    /// Returns the next input, if it is there already.
    pub(crate) fn try_input(&self) -> Option<Input> {
        match self.queue.try_recv() {
            Ok(Request::Input(input)) => Some(input),
            _ => None,
        }
    }
}

/// Makes the queue that disk and transport are built with, before the loop runs.
pub fn queue() -> (Inputs, Queue) {
    let (sender, receiver) = mpsc::channel();
    (Inputs { queue: sender }, Queue { queue: receiver })
}

/// The running loop.
pub struct Driver {
    thread: JoinHandle<()>,
    handle: Handle,
}

impl Driver {
    /// Starts the engine and its loop.
    pub fn start(
        (inputs, queue): (Inputs, Queue),
        config: EngineConfig,
        recovered: Recovered,
        disk: Box<dyn DiskLane>,
        transport: Box<dyn Transport>,
    ) -> std::io::Result<Driver> {
        let origin = Instant::now();
        let mut effects = Vec::new();
        let engine = Engine::start(now(origin), config, recovered, &mut effects);
        let shared = engine.shared();
        let (published, watch) = watch::channel(shared.graph().published());
        let handle = Handle { inputs, shared, published: watch };
        let mut turn = Turn {
            engine,
            origin,
            effects,
            disk,
            transport,
            published,
            is_pairing_open: false,
            next_token: 0,
            commits: HashMap::new(),
            admins: HashMap::new(),
        };
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            turn.carry_out();
            turn.run(&queue);
        })?;
        Ok(Driver { thread, handle })
    }

    /// Returns the sessions' way to the engine.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends the loop: waits a bounded time for commits under way, then closes transport and disk.
    pub fn stop(self) {
        self.handle.inputs.request(Request::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the engine's thread has panicked");
        }
    }
}

fn now(origin: Instant) -> Time {
    Time(u64::try_from(origin.elapsed().as_nanos()).expect("a node runs less than 584 years"))
}

/// Everything that the loop owns.
struct Turn {
    engine: Engine,
    origin: Instant,
    effects: Vec<Effect>,
    disk: Box<dyn DiskLane>,
    transport: Box<dyn Transport>,
    published: watch::Sender<Lsn>,
    /// As last told to the transport.
    is_pairing_open: bool,
    next_token: u64,
    commits: HashMap<Token, oneshot::Sender<Outcome>>,
    admins: HashMap<Token, oneshot::Sender<Result<AdminAnswer, AdminError>>>,
}

impl Turn {
    fn run(&mut self, queue: &Queue) {
        let mut next_tick = Instant::now() + TICK;
        let mut stop_by: Option<Instant> = None;
        loop {
            let wait = next_tick.saturating_duration_since(Instant::now());
            match queue.queue.recv_timeout(wait) {
                Ok(first) => {
                    let mut next = Some(first);
                    for _ in 0..BATCH_MAX {
                        match next {
                            Some(Request::Stop) => stop_by = Some(Instant::now() + STOP_WAIT),
                            Some(request) => self.take(request, stop_by.is_some()),
                            None => break,
                        }
                        next = queue.queue.try_recv().ok();
                    }
                    if let Some(last) = next {
                        self.take(last, stop_by.is_some());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => stop_by = Some(Instant::now()),
            }
            if Instant::now() >= next_tick {
                self.step(Input::Tick);
                next_tick = Instant::now() + TICK;
            }
            self.carry_out();
            if let Some(by) = stop_by
                && (self.commits.is_empty() || Instant::now() >= by)
            {
                break;
            }
        }
        self.transport.stop();
        self.disk.stop();
    }

    fn step(&mut self, input: Input) {
        self.engine.step(now(self.origin), input, &mut self.effects);
    }

    fn take(&mut self, request: Request, stopping: bool) {
        match request {
            Request::Input(input) => self.step(input),
            Request::Commit { reply, .. } if stopping => {
                let _ = reply.send(Outcome::Failed(mgnode_core::engine::CommitError::Stopping));
            }
            Request::Commit { commit, reply } => {
                let token = self.token();
                self.commits.insert(token, reply);
                self.step(Input::Propose { token, commit });
            }
            Request::Admin { command, reply } => {
                let token = self.token();
                self.admins.insert(token, reply);
                self.step(Input::Admin { token, command });
            }
            Request::Stop => {}
        }
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    fn carry_out(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::WriteWal { record, chain } => self.disk.write_wal(record, chain),
                Effect::SyncWal { lsn } => self.disk.sync_wal(lsn),
                Effect::SaveState { id, state } => self.disk.save_state(id, state),
                Effect::ReadWal { peer, from, bytes_max } => self.disk.read_wal(peer, from, bytes_max),
                Effect::WriteSnapshot { header, view } => self.disk.write_snapshot(header, view),
                Effect::InstallSnapshot { header } => self.disk.install_snapshot(header),
                Effect::NoteDecided { lsn, is_first } => self.disk.note_decided(lsn, is_first),
                Effect::Rewind { to } => self.disk.rewind(to),
                Effect::DropWal { before } => self.disk.drop_wal(before),
                Effect::DropSnapshot { lsn } => self.disk.drop_snapshot(lsn),
                Effect::DropPartial => self.disk.drop_partial(),
                Effect::Listen { port } => self.transport.listen(port),
                Effect::Unlisten => self.transport.unlisten(),
                Effect::Dial { peer, address } => self.transport.dial(peer, address),
                Effect::Hangup { peer, reason } => self.transport.hangup(peer, reason),
                Effect::Send { peer, message } => self.transport.send(peer, message),
                Effect::SendSnapshot { peer, snapshot, offset, protocol } => {
                    self.transport.send_snapshot(peer, snapshot, offset, protocol);
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
        let is_open = self.engine.shared().is_pairing_open();
        if is_open && !self.is_pairing_open {
            self.transport.pairing_opened();
        }
        self.is_pairing_open = is_open;
        let published = self.engine.shared().graph().published();
        self.published.send_if_modified(|last| std::mem::replace(last, published) != published);
    }
}

/// Ends the process at once: what memory says can no longer be trusted to be on disk.
fn halt(reason: &str) -> ! {
    tracing::error!("the node stops at once, to tell nobody what may not be true: {reason}");
    std::process::exit(1);
}
