//! The loop that owns the engine: gathers inputs, steps, carries out effects in their order.

mod handle;
mod transport;

pub use handle::Handle;
pub use transport::{NoTransport, Transport};

use mgnode_core::engine::{Admin, AdminAnswer, AdminError, Input, Outcome};
use mgnode_core::storage::Commit;
use std::sync::mpsc;
use tokio::sync::oneshot;

/// What reaches the loop.
#[expect(dead_code, reason = "the loop follows")]
enum Request {
    Input(Input),
    Commit { commit: Commit, reply: oneshot::Sender<Outcome> },
    Admin { command: Admin, reply: oneshot::Sender<Result<AdminAnswer, AdminError>> },
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
