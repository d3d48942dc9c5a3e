//! What goes into the engine and what comes out of it.

use super::Recovered;
pub use crate::durability::SnapshotHeader;
use crate::replication::{Line, Message};
pub use crate::replication::{PeerId, ReplicaFailureReason};
use crate::storage::{Commit, Graph, View};
use crate::types::{CommitRecord, History, Lsn, NodeState, PartialSnapshot, Position, SnapshotId, SyncMode};
use std::sync::Arc;

/// A caller's mark on a request, handed back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Something happened outside.
#[derive(Debug)]
pub enum Input {
    /// Time went by. Given at least every 50 ms.
    Tick,
    /// The node stops: whoever waits is told how it stands. The last input.
    Stop,
    /// A transaction wants to commit.
    Propose { token: Token, commit: Commit },
    /// An operator's query.
    Admin { token: Token, command: Admin },
    /// Answers [`Effect::SyncWal`], one answer for several where the last of them is answered.
    WalSynced { lsn: Lsn },
    /// The disk refused a write or a sync. Never retried.
    WalFailed { error: String },
    /// Answers [`Effect::SaveState`]: the file is replaced and synced, or the old one still stands
    /// (no room, read-only). Where neither is sure, `WalFailed` comes instead.
    StateSaved { id: u64, result: Result<(), String> },
    /// The room for further WAL ran out, or is back. Sent when it changes; at the start there is
    /// room. What was proposed before still fits into a reserve, new commits are refused.
    WalSpace { enough: bool },
    /// The memory for a larger graph ran out, or is back. Sent when it changes; at the start there is some. What
    /// makes the graph grow is refused, from clients and from a MAIN.
    Memory { enough: bool },
    /// Answers [`Effect::NoteDecided`]: a restart of this process will show the log up to there.
    DecidedNoted { lsn: Lsn },
    /// Answers [`Effect::Listen`].
    Listening { result: Result<(), String> },
    /// A connection stands: one that was dialled, or one that was accepted. `line` is what its handshake
    /// settled.
    PeerUp { peer: PeerId, dialled: bool, line: Line },
    /// A dial failed, or a connection ended. The last word about this peer.
    PeerDown { peer: PeerId, reason: String },
    /// A message came in. Messages of one lane of one peer come in the order they were sent.
    Message { peer: PeerId, message: Message },
    /// Answers [`Effect::ReadWal`]: records that follow each other, beginning at the LSN asked for,
    /// each with the chain hash after it; empty where the log no longer, or not yet, holds it. An error where
    /// the log cannot be read there.
    WalRead { peer: PeerId, from: Lsn, result: Result<Vec<(CommitRecord, u64)>, String> },
    /// Answers [`Effect::WriteSnapshot`]: the file is synced, was read back, and has its name.
    SnapshotWritten { result: Result<SnapshotId, String> },
    /// Answers [`Effect::SendSnapshot`]: the last byte was handed to the connection, or the file cannot
    /// be read. A connection that ends says so with `PeerDown` alone.
    SnapshotSent { peer: PeerId, result: Result<(), String> },
    /// The disk keeps another part of a snapshot than it did: more of it has come, a connection ended before all of it had
    /// come, all has come and is being loaded, or what had come was of no use. Comes before the `PeerDown`
    /// of the connection that brought it.
    PartialKept { partial: Option<PartialSnapshot> },
    /// A whole snapshot came from a peer, was checked, and stands in a temporary file; `graph`
    /// holds what it says.
    SnapshotReceived { peer: PeerId, snapshot: SnapshotId, header: SnapshotHeader, graph: Arc<Graph> },
    /// Answers [`Effect::Rewind`]: what the node is after that, or why nothing was cut.
    Rewound { result: Result<Box<Recovered>, String> },
    /// Answers [`Effect::InstallSnapshot`]: renamed and synced, older WAL gone.
    SnapshotInstalled { lsn: Lsn },
}

/// Something must happen outside.
#[derive(Debug)]
pub enum Effect {
    /// Appends to the log. Disk lane.
    WriteWal { record: CommitRecord, chain: u64 },
    /// Asks for [`Input::WalSynced`] once everything before it is durable. Disk lane.
    SyncWal { lsn: Lsn },
    /// Replaces the state file and syncs it. Disk lane.
    SaveState { id: u64, state: NodeState },
    /// Opens the replication port, in place of one opened before.
    Listen { port: u16 },
    /// Closes the replication port and every accepted connection.
    Unlisten,
    /// Resolves the address anew and connects.
    Dial { peer: PeerId, address: String },
    /// Ends a connection, after what was sent before it where the line allows.
    Hangup { peer: PeerId, reason: String },
    /// Sends a message. Lane of that peer.
    Send { peer: PeerId, message: Message },
    /// Reads records back, at least one where there is one, at most about `bytes_max` bytes.
    ReadWal { peer: PeerId, from: Lsn, bytes_max: usize },
    /// Writes a snapshot file of the view, in the background.
    WriteSnapshot { header: SnapshotHeader, view: View },
    /// Streams a snapshot file to a peer from byte `offset` on, in the background, beside its other
    /// messages, in the form that `protocol` has for it.
    SendSnapshot { peer: PeerId, snapshot: SnapshotId, offset: u64, protocol: u16 },
    /// Forgets the part of a snapshot that is kept.
    DropPartial,
    /// Makes the received snapshot this node's own and forgets the log before it. Disk lane.
    InstallSnapshot { header: SnapshotHeader },
    /// Notes that the log may be shown up to `lsn` and not further; answered by [`Input::DecidedNoted`], or
    /// `WalFailed`. One at a time.
    ///
    /// The first note, and one that goes less far than the one before, is synced before anything that follows it in
    /// the disk lane. Later ones need not wait for
    /// the lane and are only written: they survive the process, and an older one in their place is safe.
    NoteDecided { lsn: Lsn, is_first: bool },
    /// Keeps the part of the log after `to` aside, cuts it off, and rebuilds the graph. Disk lane.
    Rewind { to: Position },
    /// Removes segments that hold only records before `before`. Disk lane.
    DropWal { before: Lsn },
    /// Removes the snapshot file at that LSN. Disk lane.
    DropSnapshot { lsn: Lsn },
    /// Tells a client how its commit ended.
    ///
    /// Emitted for a yes only by a step that knows the record durable wherever the mode demands:
    /// no node acknowledges, and no client hears yes, before it is durable there.
    Resolve { token: Token, outcome: Outcome },
    /// Answers an operator's query.
    Answer { token: Token, result: Result<AdminAnswer, AdminError> },
    /// Memory and disk can no longer be trusted to agree: the process must end at once.
    Halt { reason: String },
}

/// How a commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durable wherever the mode demands.
    Committed { position: Position },
    /// Durable here; these SYNC replicas did not confirm.
    Degraded { position: Position, failed: Vec<ReplicaFailure> },
    /// It did not and will not happen.
    Failed(CommitError),
    /// Written, but it cannot be known yet whether it will stand.
    InDoubt { position: Position, failed: Vec<ReplicaFailure> },
}

/// A replica that did not confirm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaFailure {
    pub name: String,
    pub mode: SyncMode,
    pub reason: ReplicaFailureReason,
}

/// Why a commit did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// Another transaction changed the same object first. A retry can help.
    Conflict,
    /// The schema changed under the transaction. A retry can help.
    SchemaChanged,
    /// Text as in `Unable to commit due to unique constraint violation on :L(p)`.
    Constraint(String),
    /// A replica that is there runs an earlier version, which cannot read what this would write.
    OldReplica { name: String, what: &'static str },
    /// This node is not MAIN any more.
    NotMain,
    /// A higher epoch exists.
    Fenced,
    /// MAIN has not yet asked its replicas since its start. A retry can help.
    Unconfirmed,
    /// STRICT_SYNC replicas are missing, or with `SyncPolicy::Reject` SYNC ones; nothing was written.
    ReplicasMissing(Vec<ReplicaFailure>),
    /// This MAIN has not heard from a majority of its cluster for as long as its lease. A retry can help.
    NoLease,
    /// No room on disk; nothing was written. A retry can help.
    NoSpace,
    /// The commit would make the graph grow, and the node holds as much memory as it may; nothing was written.
    NoMemory,
    /// The changes of one commit are too many for one record.
    TooLarge { bytes: usize, bytes_max: usize },
    /// The changes do not fit the graph: a defect, reported rather than logged.
    Invalid(String),
    /// The node is stopping.
    Stopping,
}

/// An operator's query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// `SET REPLICATION ROLE TO REPLICA WITH PORT n`
    SetRoleReplica { port: u16 },
    /// `SET REPLICATION ROLE TO MAIN [WITH EPOCH n]`
    SetRoleMain { epoch: Option<u64> },
    /// `REGISTER REPLICA name mode TO "address"`; the default port is filled in.
    Register { name: String, mode: SyncMode, address: String },
    /// `DROP REPLICA name`
    Drop { name: String },
    /// `SHOW REPLICAS`
    ShowReplicas,
    /// `SHOW REPLICATION ROLE`
    ShowRole,
    /// `SHOW REPLICATION STATE`
    ShowState,
    /// `SHOW REPLICATION LAG`
    ShowLag,
    /// `FENCE REPLICATION EPOCH n BY "operation"`
    Fence { epoch: u64, by: String },
    /// `CONFIRM REPLICATION ROLE MAIN`
    ConfirmMain,
    /// `REWIND REPLICATION TO "position"`: a REPLICA cuts its log back to a record that its MAIN has too.
    Rewind { to: Position },
    /// `RELEASE REPLICATION MAIN`: a REPLICA forgets which cluster it belongs to, and waits for its next MAIN.
    Release,
    /// `SHOW TRANSACTION OUTCOME "position"`
    TransactionOutcome { position: Position },
    /// `CREATE SNAPSHOT`; answered once it is durable.
    CreateSnapshot,
}

/// What an operator's query found.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminAnswer {
    Done,
    Role(crate::types::Role),
    Replicas(Vec<ReplicaStatus>),
    State(Box<StateReport>),
    Lag(Vec<LagReport>),
    Outcome(OutcomeReport),
    Snapshot { lsn: Lsn },
}

/// One row of `SHOW REPLICAS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    pub name: String,
    pub address: String,
    pub mode: SyncMode,
    /// "ready", "replicating", "recovery", "invalid" or "diverged".
    pub status: &'static str,
    /// Last `ts` known to be durable there.
    pub ts: u64,
    /// That minus MAIN's: 0 in sync, negative behind.
    pub behind: i64,
}

/// The row of `SHOW REPLICATION STATE`.
#[derive(Clone, Debug, PartialEq)]
pub struct StateReport {
    pub state: NodeState,
    /// Epoch of the last record, or of this MAIN's reign.
    pub epoch: crate::types::Epoch,
    pub durable: Lsn,
    pub applied: Lsn,
    /// Chain hash at `applied`.
    pub chain: u64,
    pub history: History,
    /// False on a MAIN that has not yet asked its replicas since its start.
    pub confirmed: bool,
    /// What an operator should know of this node, in words.
    pub warnings: Vec<String>,
}

/// One row of `SHOW REPLICATION LAG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagReport {
    pub name: String,
    pub mode: SyncMode,
    pub state: &'static str,
    pub commits_behind: u64,
    pub bytes_behind: u64,
    /// Age of the oldest commit that it lacks.
    pub behind_ms: u64,
    pub last_contact_ms: Option<u64>,
    pub last_error: Option<String>,
}

/// The row of `SHOW TRANSACTION OUTCOME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeReport {
    Committed,
    NotCommitted,
    InDoubt,
    /// The log no longer reaches back that far.
    Unknown,
}

/// Why an operator's query did not do what it says, in words. The session adds Memgraph's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    #[error("It is a replica already")]
    AlreadyReplica,
    #[error("It is main already")]
    AlreadyMain,
    #[error("The replication port cannot be opened: {0}")]
    Listen(String),
    /// The query belongs on a MAIN.
    #[error("This node is a replica")]
    NotMain,
    #[error("A replica of that name is registered already")]
    NameTaken,
    #[error("A replica at that address is registered already")]
    AddressTaken,
    /// The node there holds records that this MAIN does not.
    #[error("It holds data that this main does not: {0}")]
    Diverged(String),
    /// The address does not answer as a REPLICA that would follow this MAIN.
    #[error("It cannot be reached as a replica: {0}")]
    Unreachable(String),
    #[error("The change could not be saved: {0}")]
    NotPersisted(String),
    #[error("Another role or registration query is under way; please try again later")]
    Busy,
    #[error("No replica of that name is registered")]
    UnknownReplica,
    /// A higher epoch was promised.
    #[error("{0}")]
    Fenced(String),
    /// It cannot be done now.
    #[error("{0}")]
    Refused(String),
}
