//! Isolation levels: of the node, of a session, and of the next transaction of a session.
//!
//! SNAPSHOT ISOLATION: a transaction sees what was committed when it began. READ COMMITTED: each statement of an
//! explicit transaction sees what is committed when it begins. READ UNCOMMITTED gives READ COMMITTED: what is not
//! committed is nowhere that others could read it, and the standard allows the stronger level. The node's level holds
//! while the process lives; each start takes it from `--isolation-level`.

use super::texts::Notification;
use mgcypher::ast::{IsolationLevel, IsolationScope};

/// The levels as one session sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Levels {
    /// The node's.
    pub(super) global: IsolationLevel,
    /// Of the connection's transactions, where it was set.
    pub(super) session: Option<IsolationLevel>,
    /// Of the transaction that it begins next, where it was set.
    pub(super) next: Option<IsolationLevel>,
}

/// Whether each statement of a transaction sees what is committed when it begins.
pub(super) fn moves_on(level: IsolationLevel) -> bool {
    level != IsolationLevel::SnapshotIsolation
}

/// Returns the word of a level, as the flag and the tables have it.
pub(super) fn word(level: IsolationLevel) -> &'static str {
    match level {
        IsolationLevel::SnapshotIsolation => "SNAPSHOT_ISOLATION",
        IsolationLevel::ReadCommitted => "READ_COMMITTED",
        IsolationLevel::ReadUncommitted => "READ_UNCOMMITTED",
    }
}

/// Returns the word of what a transaction of the level is given.
pub(super) fn given(level: IsolationLevel) -> &'static str {
    word(if moves_on(level) { IsolationLevel::ReadCommitted } else { level })
}

/// Returns what is said beside the answer to a statement that sets a level.
pub(super) fn notifications(scope: IsolationScope, level: IsolationLevel) -> Vec<Notification> {
    let whose = match scope {
        IsolationScope::Global => "Global",
        IsolationScope::Session => "Session",
        IsolationScope::NextTransaction => "Next",
    };
    let mut all = vec![Notification::info(
        "IsolationLevel",
        format!("{whose} isolation level set to {}.", word(level)),
    )];
    if level == IsolationLevel::ReadUncommitted {
        all.push(Notification::warning(
            "IsolationLevel",
            "READ UNCOMMITTED is given as READ COMMITTED: nobody can read what is not committed.",
        ));
    }
    all
}
