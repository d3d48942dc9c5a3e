//! Where inputs wait for the engine, and who gives it its turn.

use super::Request;
use super::turn::Turn;
use mgnode_core::engine::{ASYNC_PAUSE, Input};
use mgnode_core::replication::Message;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

/// An input of more bytes is left to the engine's own thread.
pub(super) const SHORT_BYTES_MAX: usize = 64 << 10;
/// Most turns that one caller takes in a row. A caller has work of its own to come back to.
const TURNS_MAX: usize = 8;

/// Where disk, transport and sessions leave what they have for the engine. Cloning is cheap; nothing
/// here waits.
#[derive(Clone)]
pub struct Inputs {
    pub(super) mailbox: Arc<Mailbox>,
}

impl Inputs {
    /// Reports an input and lets the engine act on it. Once the node has stopped it is dropped:
    /// nobody is left to hear it.
    pub fn send(&self, input: Input) {
        self.leave(input);
        self.serve();
    }

    /// Reports an input that others follow at once; [`serve`](Inputs::serve) comes behind the last.
    pub(crate) fn leave(&self, input: Input) {
        self.mailbox.put(Request::Input(input));
    }

    /// Lets the engine act on what waits: on this thread, or on another one that is at it already.
    pub(crate) fn serve(&self) {
        self.mailbox.serve();
    }
}

/// The engine's end of [`Inputs`].
pub struct Queue {
    pub(super) mailbox: Arc<Mailbox>,
}

#[cfg(test)]
impl Queue {
    /// Returns the next input, for tests of those who send them.
    pub(crate) fn next_input(&self) -> Option<Input> {
        let until = Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let nobody_sends = Arc::strong_count(&self.mailbox) == 1;
            let next = self.mailbox.waiting.lock().requests.pop_front();
            match next {
                Some(Request::Input(input)) => return Some(input),
                Some(_) => return None,
                None if nobody_sends || Instant::now() >= until => return None,
                None => std::thread::sleep(std::time::Duration::from_millis(1)),
            }
        }
    }

    /// Returns the next input, if it is there already.
    pub(crate) fn try_input(&self) -> Option<Input> {
        match self.mailbox.waiting.lock().requests.pop_front() {
            Some(Request::Input(input)) => Some(input),
            _ => None,
        }
    }
}

/// Makes the queue that disk and transport are built with, before the engine runs.
pub fn queue() -> (Inputs, Queue) {
    let mailbox = Arc::new(Mailbox::default());
    (Inputs { mailbox: mailbox.clone() }, Queue { mailbox })
}

/// What waits for the engine, and the engine where it is at rest.
///
/// Whoever brings something takes the turn himself, where no one else has it: between two nodes a
/// commit then changes threads only where it waits for a disk. A caller that finds the turn taken
/// goes on; the one who has it looks again before he goes.
#[derive(Default)]
pub(super) struct Mailbox {
    waiting: Mutex<Waiting>,
    /// Wakes the engine's own thread.
    bell: Condvar,
    /// None before the start and after the end.
    turn: Mutex<Option<Turn>>,
    /// Sessions that wait for their commit.
    pub(super) committing: AtomicUsize,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    /// Among them is one that may take long.
    has_long: bool,
    is_rung: bool,
    /// The engine waits for a moment before the next regular tick.
    wants_tick: bool,
    /// The node has stopped.
    is_closed: bool,
}

impl Mailbox {
    /// Leaves a request. False once the node has stopped.
    pub(super) fn put(&self, request: Request) -> bool {
        let is_long = is_long(&request);
        let mut waiting = self.waiting.lock();
        if waiting.is_closed {
            return false;
        }
        waiting.requests.push_back(request);
        waiting.has_long |= is_long;
        true
    }

    /// Serves what waits, unless someone else is at it or it may take long.
    pub(super) fn serve(&self) {
        for _ in 0..TURNS_MAX {
            let wants_tick = {
                let Some(mut place) = self.turn.try_lock() else { return };
                let Some(turn) = place.as_mut() else { return };
                let requests = {
                    let mut waiting = self.waiting.lock();
                    if waiting.has_long || turn.may_take_long() {
                        return self.ring(&mut waiting);
                    }
                    let has_any = !waiting.requests.is_empty();
                    has_any.then(|| std::mem::replace(&mut waiting.requests, turn.room()))
                };
                if let Some(requests) = requests {
                    turn.serve(requests, false);
                }
                turn.wants_tick()
            };
            let mut waiting = self.waiting.lock();
            if wants_tick && !waiting.wants_tick {
                waiting.wants_tick = true;
                self.bell.notify_one();
            }
            // Who left something while the turn was taken has gone on.
            if waiting.requests.is_empty() {
                return;
            }
        }
        self.ring(&mut self.waiting.lock());
    }

    fn ring(&self, waiting: &mut Waiting) {
        waiting.is_rung = true;
        self.bell.notify_one();
    }

    /// Puts the engine in its place. What came before it was there is served first.
    pub(super) fn open(&self, turn: Turn) {
        *self.turn.lock() = Some(turn);
        self.ring(&mut self.waiting.lock());
    }

    /// Waits for the bell, but not longer than the engine can wait for a tick, or `until`; then serves what
    /// waits. Returns whether the engine is done.
    pub(super) fn serve_at_bell(&self, mut until: Instant) -> bool {
        {
            let mut waiting = self.waiting.lock();
            let mut is_short = false;
            loop {
                if waiting.wants_tick && !is_short {
                    is_short = true;
                    until = until.min(Instant::now() + ASYNC_PAUSE);
                }
                if std::mem::take(&mut waiting.is_rung)
                    || self.bell.wait_until(&mut waiting, until).timed_out()
                {
                    break;
                }
            }
            waiting.wants_tick = false;
        }
        let mut place = self.turn.lock();
        let turn = place.as_mut().expect("only this thread takes it away, at the end");
        let requests = {
            let mut waiting = self.waiting.lock();
            waiting.has_long = false;
            std::mem::replace(&mut waiting.requests, turn.room())
        };
        turn.serve(requests, Instant::now() >= until);
        let (is_done, wants_tick) = (turn.is_done(), turn.wants_tick());
        drop(place);
        let mut waiting = self.waiting.lock();
        waiting.is_rung |= !waiting.requests.is_empty();
        waiting.wants_tick |= wants_tick;
        is_done
    }

    /// Takes in nothing more, and hands out the engine and what was left behind.
    pub(super) fn close(&self) -> (Option<Turn>, VecDeque<Request>) {
        let turn = self.turn.lock().take();
        let mut waiting = self.waiting.lock();
        waiting.is_closed = true;
        (turn, std::mem::take(&mut waiting.requests))
    }
}

/// Whether the engine may be at it for longer than its caller can spare: a session and a connection
/// have others of their kind to serve.
fn is_long(request: &Request) -> bool {
    match request {
        Request::Input(Input::WalSynced { .. } | Input::DecidedNoted { .. }) => false,
        Request::Input(Input::Message { message, .. }) => match message {
            Message::Append { records, .. } | Message::Tail { records, .. } => {
                records.iter().map(|record| record.payload.len()).sum::<usize>() > SHORT_BYTES_MAX
            }
            _ => false,
        },
        Request::Commit { is_long, .. } => *is_long,
        Request::Input(_) | Request::Admin { .. } | Request::Stop => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mgnode_core::engine::PeerId;
    use mgnode_core::types::{CommitRecord, Epoch, Lsn};

    fn append(payload: usize) -> Request {
        let epoch = Epoch::default();
        let record = CommitRecord { epoch, lsn: Lsn(1), ts: 1, payload: vec![0; payload].into() };
        let records = vec![record.clone(), record];
        let message = Message::Append { epoch, prev: Lsn(0), prev_chain: 0, apply_to: Lsn(1), records };
        Request::Input(Input::Message { peer: PeerId(1), message })
    }

    #[test]
    fn only_what_is_short_is_served_by_its_bringer() {
        assert!(!is_long(&append(SHORT_BYTES_MAX / 2)));
        assert!(is_long(&append(SHORT_BYTES_MAX / 2 + 1)));
        assert!(!is_long(&Request::Input(Input::WalSynced { lsn: Lsn(1) })));
        assert!(is_long(&Request::Input(Input::SnapshotInstalled { lsn: Lsn(1) })));
        assert!(is_long(&Request::Stop));
    }

    #[test]
    fn a_closed_mailbox_takes_nothing() {
        let (inputs, queue) = queue();
        inputs.send(Input::WalSynced { lsn: Lsn(1) });
        let (turn, left) = queue.mailbox.close();
        assert!(turn.is_none());
        assert_eq!(left.len(), 1);
        assert!(!inputs.mailbox.put(Request::Stop));
    }
}
