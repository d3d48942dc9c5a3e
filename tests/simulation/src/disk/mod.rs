//! What a node's disk room does, on simulated [`Files`]: the same files, the same bytes, the same order.
//!
//! One queue, worked off in order: records are gathered and written, one sync serves all who wait; the
//! state file is replaced through a temporary one; a received snapshot is installed step by step; log is
//! dropped by whole segments. Segments are prepared ahead, one spare at a time, and a full disk shows
//! when that fails. Snapshots are written beside the queue and read back once. Every job is a list of
//! [`Op`]s, and a process may die between any two of them.

mod damage;
mod log;
mod notes;
mod queue;
mod rewind;
mod snapshots;
mod start;
mod view;

use crate::files::Files;
use bytes::Bytes;
use mgnode_core::durability::{RecoveryError, SnapshotHeader};
use mgnode_core::engine::{Input, PeerId, Recovered};
use mgnode_core::types::{CommitRecord, Lsn, Names, NodeId, NodeState, PartialSnapshot, Position};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const STATE: &str = "state";
const DECIDED: &str = "decided";
/// What has come of a snapshot from a peer, and of which one.
const PART: &str = "snapshots/incoming.part";
const PART_ID: &str = "snapshots/incoming.id";
/// Names the record that the log is being cut back to.
const REWIND: &str = "rewind";
const MARKED: &str = "snapshots/install.snap";

/// Why a write is refused.
pub(crate) const READ_ONLY: &str = "the disk is read-only";

/// When a record that is told durable is synced, as `--durability` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Before it is told.
    Commit,
    /// At most so many nanoseconds after it was written.
    Interval(u64),
    /// With every so many of them, or when a segment is full.
    Os { sync_every_commits: Option<u64> },
}

impl Durability {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Durability::Commit => "commit",
            Durability::Interval(_) => "interval",
            Durability::Os { .. } => "os",
        }
    }
}

/// How a disk is used; from the seed.
#[derive(Clone, Debug)]
pub(crate) struct DiskOptions {
    pub(crate) durability: Durability,
    pub(crate) first_segment_bytes: usize,
    pub(crate) segment_bytes: usize,
}

/// One change of the files.
#[derive(Clone, Debug)]
enum Op {
    Create(String),
    Write(String, usize, Bytes),
    Prepare(String, usize),
    SetLength(String, usize),
    Sync(String),
    Rename(String, String),
    Remove(String),
    SyncNames(&'static str),
}

/// What the process asked of the disk.
#[derive(Debug)]
pub(crate) enum Job {
    Write(CommitRecord, u64),
    Sync(Lsn),
    Save(u64, NodeState),
    Install(SnapshotHeader),
    Drop(Lsn),
    Read(PeerId, Lsn, usize),
    /// The first note, synced.
    NoteDecided(Lsn),
    Rewind(Position),
    DropSnapshot(Lsn),
    /// The interval is over.
    Flush,
}

/// A job that takes time, and what it will tell.
#[derive(Debug)]
struct Busy {
    ops: VecDeque<Op>,
    then: Then,
}

/// What is left after a cut, and where its log ends.
#[derive(Debug)]
struct Rewound {
    recovered: Box<Recovered>,
    to: Position,
    chain: u64,
    live: Option<(String, u64)>,
}

#[derive(Debug)]
enum Then {
    Synced(Lsn),
    /// Told durable, and not synced: less than that was asked for.
    Written(Lsn),
    Flushed,
    Saved(u64, Result<(), String>),
    /// The log goes on in this spare.
    Rotated(Spare, Lsn),
    Installed(SnapshotHeader),
    Rewound(Result<Rewound, String>),
    Noted(Lsn),
    Failed(String),
}

#[derive(Clone, Debug)]
struct Spare {
    name: String,
    sequence: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Live {
    bytes: usize,
    offset: usize,
}

/// A segment that holds records; the last one is written to.
#[derive(Debug)]
struct Segment {
    name: String,
    first: Lsn,
    written: usize,
    marks: BTreeMap<Lsn, usize>,
}

/// Where the log of the running process stands.
#[derive(Debug, Default)]
struct Log {
    live: Option<Live>,
    last: Lsn,
    chain: u64,
    synced: Lsn,
    synced_at: u64,
    unsynced_commits: u64,
    pending: Vec<u8>,
    pending_at: usize,
    segments: Vec<Segment>,
}

/// Why a node does not start.
#[derive(Debug)]
pub(crate) enum NoStart {
    /// It died on the way.
    Died,
    /// The disk takes no writes.
    ReadOnly,
    Refused(RecoveryError),
    Unusable(String),
}

/// What the writer of a snapshot is about to put on the disk.
#[derive(Debug)]
struct Background {
    ops: Vec<Op>,
    temporary: String,
    header: SnapshotHeader,
}

pub(crate) struct Disk {
    pub(crate) files: Files,
    options: DiskOptions,
    node: NodeId,
    /// What the state file says, synced.
    pub(crate) state: NodeState,
    queue: VecDeque<Job>,
    busy: Option<Busy>,
    log: Log,
    spare: Option<Spare>,
    /// A spare is being made; the writer may wait for it.
    preparing: Option<Spare>,
    next_sequence: u64,
    has_space: bool,
    received: Option<(SnapshotHeader, String)>,
    partial: Option<PartialSnapshot>,
    /// Number of the next note of what may be shown.
    next_note: u64,
    names: Arc<Names>,
    background: BTreeMap<u64, Background>,
    next_background: u64,
    /// Longest sync, in microseconds.
    pub(crate) slowness_us: u64,
    pub(crate) is_full: bool,
    pub(crate) is_read_only: bool,
    /// The next sync fails.
    pub(crate) must_fail: bool,
    /// A sync failed: nothing is done any more.
    has_failed: bool,
    /// The end of an interval is on its way.
    has_alarm: bool,
}

/// What a step of the disk came to.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) inputs: Vec<Input>,
    /// Everything up to there is told durable.
    pub(crate) told: Option<Lsn>,
    /// Everything up to there is synced.
    pub(crate) synced: Option<Lsn>,
    /// Log that was let go: the last record before what is kept, and the newest snapshot then.
    pub(crate) dropped: Option<(Lsn, Lsn)>,
    /// The log was cut back to there.
    pub(crate) rewound: Option<Position>,
}

fn segment_name(sequence: u64) -> String {
    format!("wal/{sequence:016}.wal")
}

fn snapshot_name(lsn: Lsn) -> String {
    format!("snapshots/{:020}.snap", lsn.0)
}

fn number_of(name: &str, extension: &str) -> Option<u64> {
    name.rsplit('/').next()?.strip_suffix(extension)?.parse().ok()
}

impl Disk {
    pub(crate) fn new(state: NodeState, options: DiskOptions) -> Disk {
        Disk {
            files: Files::default(),
            options,
            node: state.node,
            state,
            queue: VecDeque::new(),
            busy: None,
            log: Log::default(),
            spare: None,
            preparing: None,
            next_sequence: 1,
            has_space: true,
            received: None,
            partial: None,
            next_note: 0,
            names: Arc::new(Names::default()),
            background: BTreeMap::new(),
            next_background: 0,
            slowness_us: 2_000,
            is_full: false,
            is_read_only: false,
            must_fail: false,
            has_failed: false,
            has_alarm: false,
        }
    }

    fn run(&mut self, op: Op) {
        let files = &mut self.files;
        let id = |files: &Files, name: &str| files.find(name).unwrap_or(0);
        match op {
            Op::Create(name) => {
                files.create(&name);
            }
            Op::Write(name, offset, bytes) => files.write(id(files, &name), offset, &bytes),
            Op::Prepare(name, bytes) => files.prepare(id(files, &name), bytes),
            Op::SetLength(name, length) => files.set_length(id(files, &name), length),
            Op::Sync(name) => files.sync(id(files, &name)),
            Op::Rename(from, to) => files.rename(&from, &to),
            Op::Remove(name) => files.remove(&name),
            Op::SyncNames(folder) => files.sync_names(folder),
        }
    }

    fn snapshots(&self) -> Vec<(Lsn, String)> {
        let named = self.files.list("snapshots/").into_iter();
        named.filter_map(|name| Some((Lsn(number_of(&name, ".snap")?), name))).collect()
    }

    fn segments(&self) -> Vec<(u64, String)> {
        let named = self.files.list("wal/").into_iter();
        named.filter_map(|name| Some((number_of(&name, ".wal")?, name))).collect()
    }
}
