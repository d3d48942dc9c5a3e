//! Joins storage, durability and replication into one deterministic machine.
//!
//! [`Engine::step`] takes one [`Input`] and appends [`Effect`]s. Its caller (the node's driver, or the
//! simulator) carries effects out in their order within a lane (the disk; each peer; each client)
//! and never waits across lanes.

mod config;
mod io;
mod recover;
mod shared;

pub use config::EngineConfig;
pub use io::*;
pub use recover::{GraphBuilder, recover_node};
pub use shared::Shared;

use crate::storage::Graph;
use crate::types::{History, Lsn, NodeState, Position, Time};
use std::sync::Arc;

/// What recovery found on the disk.
#[derive(Debug)]
pub struct Recovered {
    pub state: NodeState,
    /// Everything up to `last` is applied and published.
    pub graph: Arc<Graph>,
    pub last: Position,
    /// Chain hash at `last`.
    pub chain: u64,
    /// `ts` of `last`.
    pub ts: u64,
    pub history: History,
    /// The first record that the log still holds; `last + 1` where it holds none.
    pub wal_from: Lsn,
}

/// One node's deciding part.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Begins a life of the node with what its disk holds.
    pub fn start(_now: Time, _config: EngineConfig, recovered: Recovered, _out: &mut Vec<Effect>) -> Engine {
        let face = shared::Face {
            graph: recovered.graph,
            role: recovered.state.role,
            is_writable: false,
            epoch: recovered.state.promised,
            history: recovered.history,
            last: recovered.last.lsn,
        };
        Engine { shared: Arc::new(Shared::new(face)) }
    }

    /// Takes in what happened and appends what must be done.
    pub fn step(&mut self, _now: Time, _input: Input, _out: &mut Vec<Effect>) {
        self.shared.update(|_| {});
    }

    /// Returns what sessions look at.
    pub fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }
}
