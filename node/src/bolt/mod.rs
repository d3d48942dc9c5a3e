//! Bolt in front: sockets and sessions around `mgbolt`.
//!
//! ```text
//!   line --> reader task: chunks, messages --> queue --> session task: ServerMachine, transaction, results --> line
//!                |  RESET, end of line: stops the running query                     |
//!                +------------------------------------------------------------------+
//! ```
//!
//! A connection is two tasks. The reader sees a RESET while a query runs, since it reads ahead as
//! far as one message of the largest size. The session serves one request after the other; rows are
//! made in slices (`block_in_place`), and between two slices what is ready goes out, so a client
//! that reads slowly slows only its own query.
//!
//! The rules of commits are the engine's: what a session adds is the words. A commit that a SYNC
//! replica did not confirm is a SUCCESS with a warning, one whose outcome cannot be known is a
//! `ClientError` with its position, and only what surely did not happen is a `TransientError`.
//!
//! A statement takes effect when its result is pulled or discarded, not when it is run; a client
//! that runs and resets did nothing.
//!
//! Left out: TLS, users and their rights (anyone is let in).

mod between;
mod connection;
mod core;
mod interrupt;
mod isolation;
mod known;
mod listener;
mod node;
mod recover;
mod result;
mod services;
mod session;
mod statement;
#[cfg(test)]
mod tests;
mod texts;
mod transactions;
mod triggers;
mod wire;
mod work;

pub use self::core::Core;
pub use listener::Listener;

use crate::background::Background;
use crate::config::{Config, Setting, SyncFailureReport};
use mgcypher::MemoryPool;
use mgcypher::ast::IsolationLevel;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What the Bolt side of a node is told.
#[derive(Clone, Debug)]
pub struct BoltConfig {
    /// What HELLO is answered with; the Neo4j drivers insist on a beginning like `Neo4j/5`.
    pub server_name: String,
    /// Most connections at once.
    pub sessions_max: usize,
    /// How long a client has from its connect to its log-on.
    pub logon_timeout: Duration,
    /// Largest message of a client that has logged on.
    pub message_bytes_max: usize,
    pub sync_failure_report: SyncFailureReport,
    /// Bound of a transaction's life where the client asks for none or for a longer one.
    pub query_timeout: Option<Duration>,
    /// Bytes that one query may hold.
    pub query_memory_max: Option<usize>,
    /// What all queries together may hold.
    pub query_memory: Arc<MemoryPool>,
    /// How long a transaction waits for what its bookmarks name.
    pub bookmark_timeout: Duration,
    /// What `SHOW CONFIG` tells.
    pub settings: Arc<[Setting]>,
    /// Where snapshots are, for `SHOW SNAPSHOTS`.
    pub data_directory: PathBuf,
    /// Bytes that the process may hold.
    pub memory_max: u64,
    /// Below it are the files that `LOAD CSV` may read.
    pub import_directory: Option<PathBuf>,
    /// What goes on beside transactions, for those who look.
    pub background: Arc<Background>,
    /// Of all transactions, until a statement sets another.
    pub isolation_level: IsolationLevel,
}

/// All queries together hold no more than this part of the memory that the node may have; the graph needs the rest.
const QUERIES_SHARE: usize = 4;

/// Returns how many bytes that is, by the node's own limit or the machine's, whichever is less.
fn queries_bytes(memory_max: Option<u64>) -> usize {
    let own = memory_max.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
    crate::memory::of_machine().min(own) / QUERIES_SHARE
}

impl BoltConfig {
    /// Takes what concerns Bolt out of a node's configuration.
    pub fn new(config: &Config) -> BoltConfig {
        BoltConfig {
            server_name: config.bolt_server_name.clone(),
            sessions_max: config.bolt_sessions_max,
            logon_timeout: Duration::from_secs(10),
            message_bytes_max: 256 << 20,
            sync_failure_report: config.sync_failure_report,
            query_timeout: config.query_timeout,
            query_memory_max: config.query_memory_max,
            query_memory: Arc::new(MemoryPool::new(queries_bytes(config.memory_max))),
            bookmark_timeout: Duration::from_secs(30),
            settings: config.settings.clone().into(),
            data_directory: config.data_directory.clone(),
            import_directory: config.import_directory.clone(),
            memory_max: config.memory_max.unwrap_or_else(crate::memory::default_limit),
            background: Arc::default(),
            isolation_level: config.isolation_level,
        }
    }
}
