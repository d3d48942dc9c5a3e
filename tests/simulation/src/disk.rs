//! What a node's disk room does, on simulated [`Files`]: the same files, the same bytes, the same order.
//!
//! One queue, worked off in order: records are gathered and written, one sync serves all who wait; the
//! state file is replaced through a temporary one; a received snapshot is installed step by step; log is
//! dropped by whole segments. Segments are prepared ahead, one spare at a time, and a full disk shows
//! when that fails. Snapshots are written beside the queue and read back once. Every job is a list of
//! [`Op`]s, and a process may die between any two of them.

use crate::files::{FileId, Files};
use crate::rng::Rng;
use bytes::Bytes;
use mgnode_core::durability::{
    self, DECIDED_SLOT_BYTES, Decided, Found, LoggedRecord, OnDamage, Parsed, RecoveryError,
    SEGMENT_HEADER_BYTES, Scanner, SegmentHeader, SnapshotDecoder, SnapshotHeader, SnapshotIndex,
    SnapshotPart, SnapshotSource, decode_decided, encode_state, frame_bytes, parse_record, put_frame,
    read_snapshot,
};
use mgnode_core::engine::{GraphBuilder, Input, PeerId, Recovered, recover_node};
use mgnode_core::replication::SnapshotStream;
use mgnode_core::storage::Graph;
use mgnode_core::types::{
    CommitRecord, Lsn, Names, NodeId, NodeState, OneByOne, PartialSnapshot, Position, SnapshotId,
};
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

    // ---- the start of a process ----

    /// Recovers the node and repairs what a crash left. It dies after `fuse` changes of the disk.
    pub(crate) fn start(&mut self, names: Arc<Names>, fuse: &mut Option<u64>) -> Result<Recovered, NoStart> {
        if self.is_read_only {
            return Err(NoStart::ReadOnly);
        }
        (self.spare, self.preparing, self.received) = (None, None, None);
        self.next_sequence = 1;
        self.has_space = true;
        self.has_alarm = false;
        let temporary = self.files.list("").into_iter().filter(|n| n.ends_with(".tmp"));
        self.run_all(temporary.map(Op::Remove).chain([Op::SyncNames("")]).collect(), fuse)?;
        // A folder is synced before what it names is believed.
        self.run_all(self.completion()?, fuse)?;
        self.run_all(self.rewind_completion()?, fuse)?;
        self.names = names.clone();
        let (mut recovered, found) = self.recover(names)?;
        let mut ops = Vec::new();
        match &found {
            Some(found) => self.repair(found, &mut ops),
            None => {
                let bytes = encode_state(&recovered.state).into();
                self.replace_state(bytes, &mut ops);
            }
        }
        self.run_all(ops, fuse)?;
        self.open_partial();
        recovered.partial = self.partial;
        self.state = recovered.state.clone();
        self.node = self.state.node;
        self.find_next_note();
        let (end, chain) = found.as_ref().map_or((Lsn::ZERO, 0), |f| (f.last.lsn, f.chain));
        self.open(end, chain, found.and_then(|f| f.live));
        Ok(recovered)
    }

    /// Takes up the numbers of notes after the newest one in the file.
    fn find_next_note(&mut self) {
        self.next_note = self.newest_note().map_or(0, |note| note.number + 1);
    }

    fn newest_note(&self) -> Option<Decided> {
        self.files.find(DECIDED).and_then(|id| decode_decided(self.files.read(id)).ok()).flatten()
    }

    fn run_all(&mut self, ops: Vec<Op>, fuse: &mut Option<u64>) -> Result<(), NoStart> {
        for op in ops {
            if let Some(left) = fuse {
                if *left == 0 {
                    return Err(NoStart::Died);
                }
                *left -= 1;
            }
            self.run(op);
        }
        Ok(())
    }

    /// Reads everything back, changing nothing.
    pub(crate) fn recover(&self, names: Arc<Names>) -> Result<(Recovered, Option<Found>), NoStart> {
        let state = self.state.clone();
        recover_node(&mut View { disk: self, up_to: None }, OnDamage::Refuse, names, &OneByOne, || state)
            .map_err(NoStart::Refused)
    }

    fn repair(&self, found: &Found, ops: &mut Vec<Op>) {
        let shown = found.applied.position.lsn;
        if let Some(note) = found.decided.filter(|note| note.lsn < shown) {
            self.note(Decided { number: note.number + 1, lsn: shown }, false, ops);
        }
        for (file, _) in &found.damaged {
            ops.push(Op::Rename(file.clone(), format!("{file}.damaged")));
        }
        ops.extend(found.leftover.iter().cloned().map(Op::Remove));
        if !found.leftover.is_empty() {
            ops.push(Op::SyncNames("wal"));
        }
        if let Some(tail) = &found.tail {
            self.wipe_after(&tail.file, tail.offset as usize, ops);
        } else if let Some((name, _)) = &found.live {
            ops.push(Op::Sync(name.clone()));
        }
    }

    /// Takes up the log as it was recovered.
    fn open(&mut self, last: Lsn, chain: u64, live: Option<(String, u64)>) {
        self.log = Log::default();
        let mut segments = Vec::new();
        for (_, name) in self.segments() {
            let bytes = self.files.read(self.files.find(&name).unwrap_or(0));
            let Ok(Some(header)) = SegmentHeader::decode(bytes) else { continue };
            let end = live.as_ref().filter(|(n, _)| *n == name).map(|(_, end)| *end as usize);
            if let Some(offset) = end {
                self.log.live = Some(Live { bytes: bytes.len(), offset });
            }
            let written = end.unwrap_or(bytes.len());
            segments.push(Segment { name, first: header.first, written, marks: BTreeMap::new() });
        }
        (self.log.last, self.log.synced, self.log.chain) = (last, last, chain);
        self.log.segments = segments;
        self.next_sequence = self.next_sequence.max(self.segments().last().map_or(1, |(n, _)| n + 1));
        if self.log.live.is_none() && self.spare.is_none() && self.preparing.is_none() {
            let spare = self.next_spare(self.options.first_segment_bytes);
            self.make(&spare);
            self.spare = Some(spare);
        }
    }

    /// Returns what ends an installation that was begun.
    fn completion(&self) -> Result<Vec<Op>, NoStart> {
        let mut ops = Vec::new();
        let Some(id) = self.files.find(MARKED) else { return Ok(ops) };
        let header = header_of(self.files.read(id)).ok_or_else(|| NoStart::Unusable(MARKED.to_owned()))?;
        self.complete(&header, &mut ops);
        Ok(ops)
    }

    fn complete(&self, header: &SnapshotHeader, ops: &mut Vec<Op>) {
        for (_, name) in self.segments() {
            let bytes = self.files.read(self.files.find(&name).unwrap_or(0));
            if matches!(SegmentHeader::decode(bytes), Ok(None)) {
                continue;
            }
            if holds_nothing_else(bytes, header) {
                ops.push(Op::Remove(name));
            } else {
                ops.push(Op::Rename(name.clone(), self.free_aside(&name)));
                ops.push(Op::SyncNames("diverged"));
            }
        }
        ops.push(Op::SyncNames("wal"));
        ops.extend(self.snapshots().into_iter().map(|(_, name)| Op::Remove(name)));
        ops.push(Op::Rename(MARKED.to_owned(), snapshot_name(header.position.lsn)));
        ops.push(Op::SyncNames("snapshots"));
    }

    // ---- cutting back ----

    /// Returns what cuts the log back to a record, and where it then ends; or why it cannot be done.
    fn rewind(&self, to: Position) -> Result<(Vec<Op>, Rewound), String> {
        let state = self.state.clone();
        let mut view = View { disk: self, up_to: Some(to.lsn) };
        let found = recover_node(&mut view, OnDamage::Refuse, self.names.clone(), &OneByOne, || state);
        let (recovered, found) = found.map_err(|e| e.to_string())?;
        let found = found.ok_or("there is no state file")?;
        if found.last != to {
            return Err(format!("what is left ends at {}", found.last));
        }
        let mut ops = Vec::new();
        self.keep_tail(to, found.chain, &mut ops)?;
        self.replace(REWIND, to.to_string().into_bytes().into(), &mut ops);
        self.cut_to(to.lsn, &mut ops);
        Ok((ops, Rewound { recovered: Box::new(recovered), to, chain: found.chain, live: found.live }))
    }

    /// Copies every record after `to` into a segment of its own.
    fn keep_tail(&self, to: Position, chain: u64, ops: &mut Vec<Op>) -> Result<(), String> {
        let (node, first) = (self.node, to.lsn.next());
        let mut next = first;
        let header = SegmentHeader { node, sequence: 1, first, chain, bytes: 0 };
        let mut bytes = header.encode();
        for (_, name) in self.segments() {
            for (logged, _) in self.records(&name) {
                if logged.record.lsn > to.lsn {
                    let offset = bytes.len() as u64;
                    put_frame(&mut bytes, offset, &logged);
                    if logged.record.lsn == next {
                        next = next.next();
                    }
                }
            }
        }
        if next != self.log.last.next() {
            return Err(format!("record {next}, to be kept aside, cannot be read"));
        }
        let name = self.free_aside(&format!("{}-{}.wal", to.epoch, to.lsn));
        ops.push(Op::Create(name.clone()));
        ops.push(Op::Write(name.clone(), 0, bytes.into()));
        ops.push(Op::Sync(name));
        ops.push(Op::SyncNames("diverged"));
        Ok(())
    }

    fn rewind_completion(&self) -> Result<Vec<Op>, NoStart> {
        let mut ops = Vec::new();
        let Some(id) = self.files.find(REWIND) else { return Ok(ops) };
        let text = String::from_utf8_lossy(self.files.read(id)).into_owned();
        let to: Position = text.parse().map_err(|()| NoStart::Unusable(REWIND.to_owned()))?;
        self.cut_to(to.lsn, &mut ops);
        Ok(ops)
    }

    fn cut_to(&self, to: Lsn, ops: &mut Vec<Op>) {
        // A later note would let records of the next branch pass for decided ones.
        if let Some(note) = self.newest_note().filter(|note| note.lsn > to) {
            self.note(Decided { number: note.number + 1, lsn: to }, true, ops);
        }
        for (_, name) in self.segments().into_iter().rev() {
            let bytes = self.files.read(self.files.find(&name).unwrap_or(0));
            let Ok(Some(header)) = SegmentHeader::decode(bytes) else { continue };
            if header.first > to {
                ops.push(Op::Remove(name));
            } else if let Some((_, offset)) =
                self.records(&name).into_iter().find(|(logged, _)| logged.record.lsn > to)
            {
                self.wipe_after(&name, offset, ops);
            }
        }
        ops.push(Op::SyncNames("wal"));
        for (_, name) in self.snapshots().into_iter().filter(|(lsn, _)| *lsn > to) {
            ops.push(Op::Rename(name.clone(), self.free_aside(&name)));
            ops.push(Op::SyncNames("diverged"));
        }
        ops.push(Op::SyncNames("snapshots"));
        ops.push(Op::Remove(REWIND.to_owned()));
        ops.push(Op::SyncNames(""));
    }

    fn wipe_after(&self, name: &str, from: usize, ops: &mut Vec<Op>) {
        let file = self.files.read(self.files.find(name).unwrap_or(0));
        let header = SegmentHeader::decode(file).ok().flatten();
        let bytes = file.len().max(header.map_or(0, |header| header.bytes as usize));
        let say_length = |bytes: usize, ops: &mut Vec<Op>| {
            if let Some(header) = header {
                let header = SegmentHeader { bytes: bytes as u64, ..header };
                ops.push(Op::Write(name.to_owned(), 0, header.encode().into()));
            }
        };
        say_length(0, ops);
        ops.push(Op::Sync(name.to_owned()));
        ops.push(Op::SetLength(name.to_owned(), from));
        ops.push(Op::Sync(name.to_owned()));
        ops.push(Op::Write(name.to_owned(), from, vec![0; bytes - from].into()));
        ops.push(Op::Sync(name.to_owned()));
        say_length(bytes, ops);
        ops.push(Op::Sync(name.to_owned()));
    }

    /// Returns the sound records of a segment and where each begins.
    fn records(&self, name: &str) -> Vec<(LoggedRecord, usize)> {
        let bytes = self.files.read(self.files.find(name).unwrap_or(0));
        records_of(bytes)
    }

    /// Writes a note of how far the log may be shown.
    fn note(&self, note: Decided, is_synced: bool, ops: &mut Vec<Op>) {
        if self.files.find(DECIDED).is_none() {
            ops.push(Op::Create(DECIDED.to_owned()));
        }
        let at = note.slot() * DECIDED_SLOT_BYTES;
        ops.push(Op::Write(DECIDED.to_owned(), at, note.encode().into()));
        if is_synced {
            ops.push(Op::Sync(DECIDED.to_owned()));
            ops.push(Op::SyncNames(""));
        }
    }

    /// Returns the records that were put aside, with their chain hashes.
    pub(crate) fn aside(&self) -> Vec<LoggedRecord> {
        let names = self.files.list("diverged/");
        let files = names.iter().filter_map(|name| self.files.find(name)).map(|id| self.files.read(id));
        files.flat_map(records_of).map(|(logged, _)| logged).collect()
    }

    fn free_aside(&self, name: &str) -> String {
        let name = name.rsplit('/').next().unwrap_or_default();
        let numbered = |n: u64| match n {
            0 => format!("diverged/{name}"),
            n => format!("diverged/{name}.{n}"),
        };
        (0..).map(numbered).find(|n| self.files.find(n).is_none()).expect("numbers do not end")
    }

    // ---- the running process ----

    /// Takes a job. The lane is then to be begun.
    pub(crate) fn push(&mut self, job: Job) {
        if !self.has_failed {
            self.queue.push_back(job);
        }
    }

    /// Writes a note that is not the first, beside the queue and at once: it speaks of records that are durable.
    pub(crate) fn note_now(&mut self, lsn: Lsn) -> Input {
        if self.is_read_only {
            return Input::WalFailed { error: READ_ONLY.to_owned() };
        }
        let mut ops = Vec::new();
        self.note(Decided { number: self.next_note, lsn }, false, &mut ops);
        self.next_note += 1;
        ops.into_iter().for_each(|op| self.run(op));
        Input::DecidedNoted { lsn }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Works off what takes no time, up to a job that does. Returns how long that takes.
    pub(crate) fn begin(&mut self, now: u64, rng: &mut Rng, progress: &mut Progress) -> Option<u64> {
        while self.busy.is_none() {
            let Some(job) = self.queue.pop_front() else {
                self.write_pending();
                break;
            };
            match job {
                Job::Write(record, chain) => {
                    if let Some((record, chain)) = self.append(record, chain) {
                        self.queue.push_front(Job::Write(record, chain));
                        // Without a spare it waits.
                        self.busy.as_ref()?;
                    }
                }
                Job::Sync(mut lsn) => {
                    // Commits that already wait are served together, as far as the segment reaches.
                    while let Some(Job::Write(record, _)) = self.queue.front()
                        && self.fits(record)
                    {
                        if let Some(Job::Write(record, chain)) = self.queue.pop_front() {
                            self.append(record, chain);
                        }
                        while let Some(Job::Sync(next)) = self.queue.front() {
                            lsn = *next;
                            self.queue.pop_front();
                        }
                    }
                    self.write_pending();
                    self.busy = Some(if self.must_sync(now) {
                        self.sync_job(Then::Synced(lsn))
                    } else {
                        Busy { ops: VecDeque::new(), then: Then::Written(lsn) }
                    });
                }
                Job::NoteDecided(lsn) => {
                    let mut ops = Vec::new();
                    self.note(Decided { number: self.next_note, lsn }, true, &mut ops);
                    self.next_note += 1;
                    self.busy = Some(Busy { ops: ops.into(), then: Then::Noted(lsn) });
                }
                other => {
                    self.write_pending();
                    self.begin_other(other, rng, progress);
                }
            }
        }
        let busy = self.busy.as_ref()?;
        let longest = match busy.then {
            // Nothing waits for the platter.
            Then::Written(_) => 200,
            Then::Installed(_) => self.slowness_us * 2,
            // It reads everything anew.
            Then::Rewound(_) => self.slowness_us * 20,
            _ => self.slowness_us,
        };
        Some(rng.delay(50, longest.max(51)))
    }

    /// Whether what is written now is synced before it is told.
    fn must_sync(&self, now: u64) -> bool {
        match self.options.durability {
            Durability::Commit => true,
            Durability::Interval(every) => now - self.log.synced_at >= every,
            Durability::Os { sync_every_commits } => {
                sync_every_commits.is_some_and(|n| self.log.unsynced_commits >= n)
            }
        }
    }

    /// Returns in what time [`Job::Flush`] must come, where something waits for it and it is not on its way.
    pub(crate) fn flush_in(&mut self) -> Option<u64> {
        let Durability::Interval(every) = self.options.durability else { return None };
        if self.has_alarm || self.has_failed || self.log.unsynced_commits == 0 {
            return None;
        }
        self.has_alarm = true;
        Some(every)
    }

    /// The interval is over.
    pub(crate) fn flush(&mut self) {
        self.has_alarm = false;
        self.push(Job::Flush);
    }

    fn begin_other(&mut self, job: Job, rng: &mut Rng, progress: &mut Progress) {
        match job {
            Job::Save(id, state) => {
                let mut ops = Vec::new();
                let is_refused = self.is_read_only || self.is_full && rng.one_in(2);
                if is_refused {
                    let result = Err("no room on the disk".to_owned());
                    self.busy = Some(Busy { ops: VecDeque::new(), then: Then::Saved(id, result) });
                    return;
                }
                self.replace_state(encode_state(&state).into(), &mut ops);
                self.busy = Some(Busy { ops: ops.into(), then: Then::Saved(id, Ok(())) });
            }
            Job::Install(header) => {
                let mut ops = Vec::new();
                if let Some(segment) = self.log.segments.last() {
                    ops.push(Op::Sync(segment.name.clone()));
                }
                let Some((_, name)) = self.received.take_if(|(h, _)| *h == header) else {
                    let why = "the snapshot to be installed is not there".to_owned();
                    self.busy = Some(Busy { ops: VecDeque::new(), then: Then::Failed(why) });
                    return;
                };
                ops.push(Op::Rename(name, MARKED.to_owned()));
                ops.push(Op::SyncNames("snapshots"));
                self.complete(&header, &mut ops);
                self.busy = Some(Busy { ops: ops.into(), then: Then::Installed(header) });
            }
            Job::Drop(before) => {
                progress.dropped = self.drop_before(before);
            }
            Job::DropSnapshot(lsn) => {
                self.run(Op::Remove(snapshot_name(lsn)));
                self.run(Op::SyncNames("snapshots"));
            }
            Job::Read(peer, from, bytes_max) => {
                let result = self.read_back(from, bytes_max);
                progress.inputs.push(Input::WalRead { peer, from, result });
            }
            Job::Rewind(to) => {
                let mut begun = VecDeque::new();
                if let Some(segment) = self.log.segments.last() {
                    begun.push_back(Op::Sync(segment.name.clone()));
                }
                let then = match self.rewind(to) {
                    Ok((ops, rewound)) => {
                        begun.extend(ops);
                        Then::Rewound(Ok(rewound))
                    }
                    Err(why) => Then::Rewound(Err(why)),
                };
                self.busy = Some(Busy { ops: begun, then });
            }
            Job::Flush => self.busy = Some(self.sync_job(Then::Flushed)),
            Job::Write(..) | Job::Sync(_) | Job::NoteDecided(_) => unreachable!("begun elsewhere"),
        }
    }

    fn replace_state(&self, bytes: Bytes, ops: &mut Vec<Op>) {
        self.replace(STATE, bytes, ops);
    }

    /// Replaces a small file in the root as a whole.
    fn replace(&self, name: &str, bytes: Bytes, ops: &mut Vec<Op>) {
        let temporary = format!("{name}.tmp");
        ops.push(Op::Create(temporary.clone()));
        ops.push(Op::Write(temporary.clone(), 0, bytes));
        ops.push(Op::Sync(temporary.clone()));
        ops.push(Op::Rename(temporary, name.to_owned()));
        ops.push(Op::SyncNames(""));
    }

    fn sync_job(&self, then: Then) -> Busy {
        let name = self.log.segments.last().map(|s| s.name.clone());
        Busy { ops: name.map(Op::Sync).into_iter().collect(), then }
    }

    fn fits(&self, record: &CommitRecord) -> bool {
        let length = frame_bytes(record.payload.len());
        self.log.live.as_ref().is_some_and(|live| live.offset + length <= live.bytes)
    }

    /// Puts a record behind the others; gives it back where a new segment must be begun first.
    fn append(&mut self, record: CommitRecord, chain: u64) -> Option<(CommitRecord, u64)> {
        if !self.fits(&record) {
            self.write_pending();
            self.rotate(&record);
            return Some((record, chain));
        }
        let log = &mut self.log;
        assert_eq!(record.lsn, log.last.next(), "records are appended one after the other");
        let live = log.live.as_mut().expect("it fits");
        if log.pending.is_empty() {
            log.pending_at = live.offset;
        }
        log.last = record.lsn;
        log.chain = chain;
        log.unsynced_commits += 1;
        let segment = log.segments.last_mut().expect("it is live");
        segment.marks.insert(record.lsn, live.offset);
        let logged = LoggedRecord { record, chain, synced: log.synced };
        let before = log.pending.len();
        put_frame(&mut log.pending, live.offset as u64, &logged);
        live.offset += log.pending.len() - before;
        None
    }

    fn write_pending(&mut self) {
        if self.log.pending.is_empty() {
            return;
        }
        let bytes: Bytes = std::mem::take(&mut self.log.pending).into();
        let segment = self.log.segments.last_mut().expect("what is pending has a place");
        segment.written = self.log.pending_at + bytes.len();
        let (name, at) = (segment.name.clone(), self.log.pending_at);
        self.run(Op::Write(name, at, bytes));
    }

    /// Begins the way to a new segment: the old one is synced before the new one's header is written.
    fn rotate(&mut self, first: &CommitRecord) {
        let Some(spare) = self.spare.take() else { return };
        let mut ops = VecDeque::new();
        if let Some(segment) = self.log.segments.last() {
            ops.push_back(Op::Sync(segment.name.clone()));
        }
        let needed = SEGMENT_HEADER_BYTES + frame_bytes(first.payload.len());
        let mut spare = spare;
        if spare.bytes < needed {
            if self.is_full || self.is_read_only {
                self.busy = Some(Busy { ops, then: Then::Failed("no room for a long record".to_owned()) });
                return;
            }
            ops.push_back(Op::Remove(spare.name.clone()));
            spare.bytes = needed.next_multiple_of(4096);
            ops.push_back(Op::Create(spare.name.clone()));
            ops.push_back(Op::Prepare(spare.name.clone(), spare.bytes));
            ops.push_back(Op::SyncNames("wal"));
        }
        let header = SegmentHeader {
            node: self.node,
            sequence: spare.sequence,
            first: first.lsn,
            chain: self.log.chain,
            bytes: spare.bytes as u64,
        };
        ops.push_back(Op::Write(spare.name.clone(), 0, header.encode().into()));
        self.busy = Some(Busy { ops, then: Then::Rotated(spare, first.lsn) });
    }

    fn next_spare(&mut self, bytes: usize) -> Spare {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Spare { name: segment_name(sequence), sequence, bytes }
    }

    fn make(&mut self, spare: &Spare) {
        self.run(Op::Create(spare.name.clone()));
        self.run(Op::Prepare(spare.name.clone(), spare.bytes));
        self.run(Op::SyncNames("wal"));
    }

    /// Whether a spare is to be made; it then takes until [`Self::prepared`] is called.
    pub(crate) fn must_prepare(&mut self) -> bool {
        if self.spare.is_some() || self.preparing.is_some() {
            return false;
        }
        let spare = self.next_spare(self.options.segment_bytes);
        self.preparing = Some(spare);
        true
    }

    /// The spare is there, or there is no room for it. Returns whether it is there.
    pub(crate) fn prepared(&mut self, progress: &mut Progress) -> bool {
        let Some(spare) = self.preparing.clone() else { return true };
        let enough = !self.is_full && !self.is_read_only;
        if enough != self.has_space {
            self.has_space = enough;
            progress.inputs.push(Input::WalSpace { enough });
        }
        if enough {
            self.make(&spare);
            self.spare = Some(spare);
            self.preparing = None;
        }
        enough
    }

    /// Ends the job under way.
    pub(crate) fn finish(&mut self, now: u64, rng: &mut Rng) -> Progress {
        let mut progress = Progress::default();
        let Some(Busy { ops, then }) = self.busy.take() else { return progress };
        let is_sync = matches!(then, Then::Synced(_) | Then::Flushed | Then::Rotated(..));
        let is_write = is_sync || matches!(then, Then::Written(_) | Then::Noted(_));
        let is_refused = is_write && self.is_read_only;
        if is_sync && std::mem::take(&mut self.must_fail) || is_refused {
            if let Some(id) = self.log.segments.last().and_then(|s| self.files.find(&s.name)) {
                self.files.fail(id, rng);
            }
            let error = if is_refused { READ_ONLY } else { "the sync failed" };
            progress.inputs.push(Input::WalFailed { error: error.to_owned() });
            self.has_failed = true;
            self.queue.clear();
            return progress;
        }
        let last = self.log.last;
        for op in ops {
            self.run(op);
        }
        match then {
            Then::Synced(lsn) => {
                self.synced_up_to(last, now);
                (progress.told, progress.synced) = (Some(last), Some(last));
                progress.inputs.push(Input::WalSynced { lsn });
            }
            Then::Written(lsn) => {
                progress.told = Some(last);
                progress.inputs.push(Input::WalSynced { lsn });
            }
            Then::Flushed => {
                self.synced_up_to(last, now);
                progress.synced = Some(last);
            }
            Then::Saved(id, result) => {
                progress.inputs.push(Input::StateSaved { id, result });
                let bytes = self.files.find(STATE).map(|id| self.files.read(id));
                if let Some(Ok(state)) = bytes.map(durability::decode_state) {
                    self.state = state;
                }
            }
            Then::Rotated(spare, first) => {
                self.synced_up_to(last, now);
                (progress.told, progress.synced) = (Some(last), Some(last));
                let offset = SEGMENT_HEADER_BYTES;
                self.log.live = Some(Live { bytes: spare.bytes, offset });
                let (name, marks) = (spare.name, BTreeMap::new());
                self.log.segments.push(Segment { name, first, written: offset, marks });
            }
            Then::Installed(header) => {
                let lsn = header.position.lsn;
                self.log.live = None;
                self.log.segments.clear();
                (self.log.last, self.log.chain) = (lsn, header.chain);
                self.synced_up_to(lsn, now);
                progress.inputs.push(Input::SnapshotInstalled { lsn });
            }
            Then::Noted(lsn) => progress.inputs.push(Input::DecidedNoted { lsn }),
            Then::Rewound(Ok(Rewound { recovered, to, chain, live })) => {
                self.find_next_note();
                self.open(to.lsn, chain, live);
                progress.rewound = Some(to);
                progress.inputs.push(Input::Rewound { result: Ok(recovered) });
            }
            Then::Rewound(Err(why)) => progress.inputs.push(Input::Rewound { result: Err(why) }),
            Then::Failed(error) => {
                self.has_failed = true;
                self.queue.clear();
                progress.inputs.push(Input::WalFailed { error });
            }
        }
        progress
    }

    fn synced_up_to(&mut self, lsn: Lsn, now: u64) {
        (self.log.synced, self.log.synced_at, self.log.unsynced_commits) = (lsn, now, 0);
    }

    fn drop_before(&mut self, before: Lsn) -> Option<(Lsn, Lsn)> {
        let keep_from = self.log.segments.partition_point(|s| s.first <= before).saturating_sub(1);
        if keep_from == 0 {
            return None;
        }
        let dropped: Vec<Segment> = self.log.segments.drain(..keep_from).collect();
        for segment in dropped {
            self.run(Op::Remove(segment.name));
        }
        self.run(Op::SyncNames("wal"));
        let last_gone = Lsn(self.log.segments.first().map_or(0, |s| s.first.0.saturating_sub(1)));
        let newest = self.snapshots().last().map_or(Lsn::ZERO, |(lsn, _)| *lsn);
        Some((last_gone, newest))
    }

    /// Reads records of one segment; an error where it does not say what was written.
    fn read_back(&mut self, from: Lsn, bytes_max: usize) -> Result<Vec<(CommitRecord, u64)>, String> {
        let mut records: Vec<(CommitRecord, u64)> = Vec::new();
        let after = self.log.segments.partition_point(|s| s.first <= from);
        let Some(index) = after.checked_sub(1) else { return Ok(records) };
        let segment = &mut self.log.segments[index];
        let whole = self.files.read(self.files.find(&segment.name).unwrap_or(0));
        let written = segment.written.min(whole.len());
        let mut offset =
            segment.marks.range(..=from).next_back().map_or(SEGMENT_HEADER_BYTES, |(_, offset)| *offset);
        let bytes = Bytes::copy_from_slice(&whole[offset.min(written)..written]);
        let base = offset;
        let mut taken = 0;
        while offset < written {
            let Parsed::Record(logged, length) = parse_record(&bytes, offset - base, base as u64) else {
                if records.is_empty() && whole[offset..written].iter().any(|b| *b != 0) {
                    return Err(format!("`{}` is damaged at byte {offset}", segment.name));
                }
                break;
            };
            segment.marks.insert(logged.record.lsn, offset);
            offset += length;
            if logged.record.lsn < from {
                continue;
            }
            taken += length;
            records.push((logged.record, logged.chain));
            if taken >= bytes_max {
                break;
            }
        }
        Ok(records)
    }

    // ---- snapshots ----

    /// Takes in the bytes of a snapshot that is written in the background.
    pub(crate) fn write_snapshot(&mut self, header: SnapshotHeader, bytes: Bytes) -> u64 {
        self.next_background += 1;
        let temporary = format!("snapshots/{}.tmp", self.next_background);
        let ops = vec![
            Op::Create(temporary.clone()),
            Op::Write(temporary.clone(), 0, bytes),
            Op::Sync(temporary.clone()),
        ];
        self.background.insert(self.next_background, Background { ops, temporary, header });
        self.next_background
    }

    /// The snapshot is on the disk: it is read back and named. `flip` damages it before it is read back.
    pub(crate) fn snapshot_written(&mut self, number: u64, flip: Option<u64>) -> Option<Input> {
        let Background { ops, temporary, header } = self.background.remove(&number)?;
        let lsn = header.position.lsn;
        if self.is_full || self.is_read_only {
            return Some(Input::SnapshotWritten { result: Err("no room on the disk".to_owned()) });
        }
        ops.into_iter().for_each(|op| self.run(op));
        let id = self.files.find(&temporary).unwrap_or(0);
        if let Some(at) = flip {
            let length = self.files.read(id).len() as u64;
            self.files.flip(id, (at % length.max(1)) as usize, (at % 8) as u32);
        }
        let bytes = Bytes::copy_from_slice(self.files.read(id));
        let result = match read_snapshot(&bytes, |_| Ok(())) {
            Ok(index) if index.header == header => {
                self.run(Op::Rename(temporary, snapshot_name(lsn)));
                self.run(Op::SyncNames("snapshots"));
                Ok(index.id)
            }
            _ => {
                self.run(Op::Remove(temporary));
                Err("it cannot be read back".to_owned())
            }
        };
        Some(Input::SnapshotWritten { result })
    }

    /// Returns the bytes of a snapshot file that is to be sent.
    pub(crate) fn snapshot(&self, snapshot: &SnapshotId) -> Result<Bytes, String> {
        let id = self.files.find(&snapshot_name(snapshot.lsn())).ok_or("there is no such file")?;
        let bytes = Bytes::copy_from_slice(self.files.read(id));
        match SnapshotIndex::read(&bytes) {
            Ok(index) if index.id == *snapshot => Ok(bytes),
            Ok(_) => Err("another file has taken its place".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Returns what is kept of a snapshot from a peer.
    pub(crate) fn partial(&self) -> Option<PartialSnapshot> {
        self.partial
    }

    /// Looks at what the last life left of a snapshot, and keeps only blocks that are whole.
    fn open_partial(&mut self) {
        self.partial = None;
        if let (Some(id), Some(part)) = (self.files.find(PART_ID), self.files.find(PART))
            && let Ok(Some((SnapshotStream::Part { snapshot, .. }, _))) =
                SnapshotStream::decode(self.files.read(id))
        {
            let mut decoder = SnapshotDecoder::default();
            decoder.push(self.files.read(part));
            while let Ok(Some(_)) = decoder.next_part() {}
            let bytes = decoder.offset().min(snapshot.bytes);
            self.files.set_length(part, bytes as usize);
            self.partial = (bytes > 0).then_some(PartialSnapshot { snapshot, bytes });
        }
        if self.partial.is_none() {
            self.drop_partial();
        }
    }

    pub(crate) fn drop_partial(&mut self) {
        self.partial = None;
        self.run(Op::Remove(PART_ID.to_owned()));
        self.run(Op::Remove(PART.to_owned()));
    }

    /// A piece of a snapshot came in, with what was before it here. False where it cannot be taken.
    pub(crate) fn piece(&mut self, snapshot: SnapshotId, offset: u64, bytes: Bytes) -> bool {
        if self.is_full || self.is_read_only {
            return false;
        }
        let is_known = self.partial.is_some_and(|p| p.snapshot == snapshot && offset <= p.bytes);
        if offset == 0 && !is_known {
            self.drop_partial();
            let mut head = Vec::new();
            SnapshotStream::Part { snapshot, offset }.encode(&mut head);
            let mut ops = Vec::new();
            self.replace(PART_ID, head.into(), &mut ops);
            ops.push(Op::Create(PART.to_owned()));
            ops.into_iter().for_each(|op| self.run(op));
        } else if !is_known {
            return false;
        }
        if let Some(part) = self.files.find(PART) {
            self.files.set_length(part, offset as usize);
        }
        let upto = offset + bytes.len() as u64;
        self.run(Op::Write(PART.to_owned(), offset as usize, bytes));
        self.partial = Some(PartialSnapshot { snapshot, bytes: upto });
        true
    }

    /// All of a snapshot came in and is loaded; what is damaged is of no use.
    pub(crate) fn load_part(&mut self) -> Result<(SnapshotIndex, Arc<Graph>), String> {
        let expected = self.partial.ok_or("nothing came")?.snapshot;
        self.run(Op::Sync(PART.to_owned()));
        let bytes = Bytes::copy_from_slice(self.files.read(self.files.find(PART).unwrap_or(0)));
        let mut builder = GraphBuilder::new(self.names.clone(), &OneByOne);
        match builder.load(&bytes) {
            Ok(index) if index.id == expected => Ok((index, builder.graph())),
            Ok(_) => Err("it is not the snapshot that was announced".to_owned()),
            Err(e) => {
                self.drop_partial();
                Err(e.to_string())
            }
        }
    }

    /// It is the node's to install.
    pub(crate) fn hand_over(&mut self, header: SnapshotHeader) {
        self.next_background += 1;
        let name = format!("snapshots/received-{}.tmp", self.next_background);
        self.run(Op::Rename(PART.to_owned(), name.clone()));
        self.drop_partial();
        self.run(Op::SyncNames("snapshots"));
        if let Some((_, old)) = self.received.replace((header, name)) {
            self.run(Op::Remove(old));
        }
    }

    /// A byte of what came in turns over.
    pub(crate) fn flip_part(&mut self, rng: &mut Rng) {
        if let Some(part) = self.files.find(PART) {
            let length = self.files.read(part).len() as u64;
            self.files.flip(part, rng.below(length) as usize, rng.below(8) as u32);
        }
    }

    // ---- damage ----

    /// Returns a byte of a file whose loss would be found out: of a synced record, a header, a snapshot
    /// or the state file.
    ///
    /// The third part says whether a whole sector may be lost there: not in the segment that is written
    /// to, where that looks as an unfinished write does.
    pub(crate) fn weak_spot(&self, rng: &mut Rng) -> Option<(FileId, usize, bool)> {
        let names: Vec<String> = match rng.below(6) {
            0 => vec![STATE.to_owned()],
            1 => self.snapshots().into_iter().map(|(_, name)| name).collect(),
            _ => self.log.segments.iter().map(|s| s.name.clone()).collect(),
        };
        let name = names.get(rng.below(names.len() as u64) as usize)?;
        let id = self.files.find(name)?;
        let segment = self.log.segments.iter().find(|s| s.name == *name);
        let end = match segment {
            Some(segment) => {
                let records = segment.marks.range(..=self.log.synced);
                records.map(|(_, offset)| *offset).next_back()?
            }
            None => self.files.read(id).len(),
        };
        let byte = rng.below(end as u64) as usize;
        // The rest of a segment's header is zeroes that nobody reads on their own.
        let byte = if segment.is_some() && byte < SEGMENT_HEADER_BYTES { byte % 60 } else { byte };
        let is_live = self.log.segments.last().is_some_and(|s| s.name == *name);
        (!self.files.is_dirty(id, byte)).then_some((id, byte, !is_live))
    }

    // ---- its end ----

    /// The process dies. Of each job under way some part is done.
    pub(crate) fn kill(&mut self, is_power_cut: bool, rng: &mut Rng) {
        self.has_failed = false;
        let mut begun: Vec<Vec<Op>> = Vec::new();
        if let Some(busy) = self.busy.take() {
            begun.push(busy.ops.into());
        } else if rng.one_in(2) {
            // Inside a write.
            while let Some(Job::Write(record, chain)) = self.queue.pop_front() {
                if !self.fits(&record) {
                    break;
                }
                self.append(record, chain);
            }
            let kept = rng.below(self.log.pending.len() as u64 + 1) as usize;
            self.log.pending.truncate(kept);
            self.write_pending();
        }
        begun.extend(std::mem::take(&mut self.background).into_values().map(|b| b.ops));
        for ops in begun {
            let done = rng.below(ops.len() as u64 + 1) as usize;
            ops.into_iter().take(done).for_each(|op| self.run(op));
        }
        if let Some(spare) = self.preparing.take().filter(|_| rng.one_in(2)) {
            self.run(Op::Create(spare.name.clone()));
            self.run(Op::Prepare(spare.name, spare.bytes / 2));
        }
        self.queue.clear();
        if is_power_cut {
            self.files.cut(rng);
        }
    }
}

/// Returns what a snapshot says of itself.
fn header_of(bytes: &[u8]) -> Option<SnapshotHeader> {
    let mut decoder = SnapshotDecoder::default();
    decoder.push(bytes);
    match decoder.next_part() {
        Ok(Some(SnapshotPart::Header(header))) => Some(header),
        _ => None,
    }
}

fn holds_nothing_else(bytes: &[u8], header: &SnapshotHeader) -> bool {
    let Ok(Some(mut scanner)) = Scanner::new(Bytes::copy_from_slice(bytes)) else { return false };
    while let Ok(logged) = scanner.next_record() {
        let record = logged.record;
        if record.lsn > header.position.lsn || header.history.epoch_of(record.lsn) != Some(record.epoch) {
            return false;
        }
    }
    true
}

fn records_of(bytes: &[u8]) -> Vec<(LoggedRecord, usize)> {
    let mut found = Vec::new();
    let Ok(Some(mut scanner)) = Scanner::new(Bytes::copy_from_slice(bytes)) else { return found };
    loop {
        let offset = scanner.offset() as usize;
        match scanner.next_record() {
            Ok(logged) => found.push((logged, offset)),
            Err(_) => return found,
        }
    }
}

/// The disk as recovery reads it, maybe as if nothing had been written after a record.
struct View<'a> {
    disk: &'a Disk,
    up_to: Option<Lsn>,
}

impl View<'_> {
    fn bytes(&self, name: &str) -> Result<&[u8], String> {
        let files = &self.disk.files;
        files.find(name).map(|id| files.read(id)).ok_or(format!("no file {name}"))
    }

    fn is_before(&self, lsn: Lsn) -> bool {
        self.up_to.is_none_or(|to| lsn <= to)
    }
}

impl durability::Files for View<'_> {
    fn state(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(self.bytes(STATE).ok().map(<[u8]>::to_vec))
    }

    fn decided(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(self.bytes(DECIDED).ok().map(<[u8]>::to_vec))
    }

    fn snapshots(&mut self) -> Result<Vec<String>, String> {
        let newest_first = self.disk.snapshots().into_iter().rev();
        Ok(newest_first.filter(|(lsn, _)| self.is_before(*lsn)).map(|(_, name)| name).collect())
    }

    fn open_snapshot(&mut self, name: &str) -> Result<Box<dyn SnapshotSource + '_>, String> {
        self.bytes(name).map(|bytes| Box::new(Bytes::copy_from_slice(bytes)) as Box<dyn SnapshotSource>)
    }

    fn segments(&mut self) -> Result<Vec<String>, String> {
        let mut names: Vec<String> = self.disk.segments().into_iter().map(|(_, name)| name).collect();
        if self.up_to.is_some() {
            names.retain(|name| {
                let header = self.bytes(name).map(SegmentHeader::decode);
                matches!(header, Ok(Ok(Some(header))) if self.is_before(header.first))
            });
        }
        Ok(names)
    }

    fn read_segment(&mut self, name: &str, bytes_max: usize) -> Result<Bytes, String> {
        let bytes = self.bytes(name)?;
        if bytes_max > SEGMENT_HEADER_BYTES && self.up_to.is_some() {
            let after = self.disk.records(name).into_iter().find(|(l, _)| !self.is_before(l.record.lsn));
            if let Some((_, offset)) = after {
                // As long as its header says, and not written from there on.
                let mut until = bytes[..offset].to_vec();
                until.resize(bytes.len(), 0);
                until.truncate(bytes_max);
                return Ok(until.into());
            }
        }
        Ok(Bytes::copy_from_slice(&bytes[..bytes.len().min(bytes_max)]))
    }
}
