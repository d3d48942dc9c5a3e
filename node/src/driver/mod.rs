//! Gives the engine its turns: gathers inputs, steps, carries out effects in their order.
//!
//! One turn is taken at a time, by whoever brings an input: a session that commits, the disk's thread
//! after a sync, a connection on which a message came. So a commit changes threads only where it
//! waits for a disk. What may take long, and the passing of time, is served by a thread of the
//! engine's own. Disk and transport are told what to do and never waited for; what comes of it arrives
//! as an [`Input`] through [`Inputs`].
//!
//! All inputs that wait are stepped before the effects of any are carried out, so that commits that
//! come together share one sync and one burst. A session that wants to commit lets the others that
//! are ready to run go first: they may want to commit too.

mod burst;
mod disk_lane;
mod handle;
mod mailbox;
mod transport;
mod turn;

pub use disk_lane::DiskLane;
pub use handle::{BookmarkError, Handle};
pub use mailbox::{Inputs, Queue, queue};
pub use transport::{NoTransport, Transport};

use mailbox::Mailbox;
use mgnode_core::engine::{
    Admin, AdminAnswer, AdminError, CommitError, EngineConfig, Input, Outcome, Recovered,
};
use mgnode_core::storage::Commit;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use turn::Turn;

/// How often the engine is told the time.
const TICK: Duration = Duration::from_millis(20);

/// What reaches the engine.
enum Request {
    Input(Input),
    Commit { commit: Commit, reply: oneshot::Sender<Outcome>, is_long: bool },
    Admin { command: Admin, reply: oneshot::Sender<Result<AdminAnswer, AdminError>> },
    Stop,
}

/// The running engine.
pub struct Driver {
    thread: JoinHandle<()>,
    handle: Handle,
}

impl Driver {
    /// Starts the engine and the thread that tells it the time.
    pub fn start(
        (inputs, queue): (Inputs, Queue),
        config: EngineConfig,
        recovered: Recovered,
        disk: Box<dyn DiskLane>,
        transport: Box<dyn Transport>,
    ) -> std::io::Result<Driver> {
        let turn = Turn::new(config, recovered, disk, transport);
        let handle = Handle { inputs, shared: turn.shared(), published: turn.watch_published(), room: None };
        queue.mailbox.open(turn);
        let thread =
            std::thread::Builder::new().name("engine".to_owned()).spawn(move || run(&queue.mailbox))?;
        Ok(Driver { thread, handle })
    }

    /// Returns the sessions' way to the engine.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends the engine: waits a bounded time for commits under way, then closes transport and disk.
    pub fn stop(self) {
        self.handle.inputs.mailbox.put(Request::Stop);
        self.handle.inputs.serve();
        if self.thread.join().is_err() {
            tracing::error!("the engine's thread has panicked");
        }
    }
}

/// The engine's own thread: ticks, and what may take long.
fn run(mailbox: &Mailbox) {
    let mut next_tick = Instant::now() + TICK;
    while !mailbox.serve_at_bell(next_tick) {
        let now = Instant::now();
        if now >= next_tick {
            next_tick = now + TICK;
        }
    }
    let (turn, left) = mailbox.close();
    for request in left {
        if let Request::Commit { reply, .. } = request {
            let _ = reply.send(Outcome::Failed(CommitError::Stopping));
        }
    }
    if let Some(mut turn) = turn {
        turn.stop();
    }
}
