//! Joins storage, durability and replication into one deterministic machine.
//!
//! [`Engine::step`](Engine) takes one [`Input`] and appends [`Effect`]s. Its caller (the node's driver, or the
//! simulator) carries effects out in their order within a lane (the disk; each peer; each client)
//! and never waits across lanes.

mod io;

pub use io::*;
