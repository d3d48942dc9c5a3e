//! From the files of a node to its graph, or to an error that names the file.
//!
//! The newest snapshot that is whole, then every record of the WAL after it, in order. Where the
//! newest snapshot is damaged an older one serves, as long as the WAL reaches back to it. A gap, a
//! record that does not follow, a file of a newer version or of another node: each is an error, and
//! nothing is guessed. Recovery changes no file, so that it may be cut short and begun again; what
//! must be repaired (a torn tail) is part of its answer.

use super::decided::{Decided, DecidedError, decode_decided};
use super::record::LoggedRecord;
use super::snapshot::{SnapshotError, SnapshotHeader, SnapshotIndex, SnapshotSource, Unreadable};
use super::state::{StateError, decode_state};
use super::wal::{SEGMENT_HEADER_BYTES, Scanner, SegmentEnd, SegmentError, SegmentHeader};
use crate::types::{CommitRecord, History, Lsn, NodeState, Position, SnapshotId};
use bytes::Bytes;

/// The files of a data directory, as recovery reads them. Names are for messages and for asking.
pub trait Files {
    /// Returns the state file, `None` where there is none.
    fn state(&mut self) -> Result<Option<Vec<u8>>, String>;
    /// Returns the file `decided`, `None` where there is none.
    fn decided(&mut self) -> Result<Option<Vec<u8>>, String>;
    /// Returns the snapshots, the newest first.
    fn snapshots(&mut self) -> Result<Vec<String>, String>;
    fn open_snapshot(&mut self, name: &str) -> Result<Box<dyn SnapshotSource + '_>, String>;
    /// Returns the segments by rising sequence.
    fn segments(&mut self) -> Result<Vec<String>, String>;
    /// Returns the first `bytes_max` bytes of a segment, fewer where it is shorter.
    fn read_segment(&mut self, name: &str, bytes_max: usize) -> Result<Bytes, String>;
}

/// What recovery builds. An error is words about what does not fit.
pub trait Rebuild {
    /// Begins with nothing, whatever was built before.
    fn begin(&mut self);
    /// Checks and builds a whole snapshot. What it builds counts only where this returns `Ok`.
    fn snapshot(&mut self, file: &dyn SnapshotSource) -> Result<SnapshotIndex, Unreadable>;
    /// Applies the next record and shows it to readers.
    fn record(&mut self, record: CommitRecord) -> Result<(), String>;
}

/// What to do with a log that was damaged after it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDamage {
    /// The node does not start; nothing is changed.
    #[default]
    Refuse,
    /// The log ends before the damage. Commits after it are lost, which an operator chose.
    Cut,
}

/// Why a node cannot start from its files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    #[error("cannot read `{file}`: {reason}")]
    Read { file: String, reason: String },
    #[error("the state file cannot be used: {0}")]
    State(StateError),
    #[error("the file `decided` cannot be used: {0}; where it is removed, every record of the log is shown")]
    Decided(DecidedError),
    #[error("there is data, but no state file beside it")]
    NoState,
    #[error("snapshot `{file}` cannot be used: {reason}")]
    Snapshot { file: String, reason: SnapshotError },
    #[error("WAL segment `{file}` cannot be used: {reason}")]
    Segment { file: String, reason: SegmentError },
    #[error("WAL segment `{file}` is damaged at byte {offset}: {reason}")]
    Corrupt { file: String, offset: u64, reason: String },
    #[error(
        "WAL segment `{file}` holds record {lsn} of a newer version of mgnode (kind {kind}, version {version}) \
         at byte {offset}"
    )]
    NewerRecord { file: String, offset: u64, lsn: Lsn, kind: u8, version: u8 },
    #[error("WAL segment `{file}` belongs to node {found}, this is node {own}")]
    OtherNode { file: String, found: crate::types::NodeId, own: crate::types::NodeId },
    #[error("the WAL lacks records {from} to {to}: `{file}` begins after them{}", skipped(.damaged))]
    Gap { from: Lsn, to: Lsn, file: String, damaged: Vec<(String, String)> },
    #[error("no snapshot can be used and there is no WAL that reaches back to the first record{}", skipped(.damaged))]
    NothingLeft { damaged: Vec<(String, String)> },
    #[error("`{file}` holds {what} that does not fit the graph: {reason}")]
    DoesNotFit { file: String, what: String, reason: String },
}

fn skipped(damaged: &[(String, String)]) -> String {
    damaged.iter().map(|(file, reason)| format!("; snapshot `{file}` was left out: {reason}")).collect()
}

/// What recovery found. The graph itself is in the [`Rebuild`] that it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub state: NodeState,
    pub last: Position,
    /// Chain hash at `last`.
    pub chain: u64,
    /// `ts` of `last`.
    pub ts: u64,
    pub history: History,
    /// The first record that the log still holds; `last + 1` where it holds none.
    pub wal_from: Lsn,
    /// The segment that the log ends in, and where. `None` where the next record needs a new one.
    pub live: Option<(String, u64)>,
    /// What follows that place and must be wiped before the next append.
    pub tail: Option<Tail>,
    /// Segments that hold nothing that is needed: not used, behind a cut, or ending before the snapshot
    /// and leaving a gap to it.
    pub leftover: Vec<String>,
    /// Snapshots that can be used, by rising LSN. Of those before the newest only head and foot were read.
    pub snapshots: Vec<SnapshotId>,
    /// Snapshots that were passed over, and why.
    pub damaged: Vec<(String, String)>,
    /// Records applied after the snapshot.
    pub replayed: u64,
    /// Where the node noted how far it may show its log: that note.
    pub decided: Option<Decided>,
    /// What the graph holds, where that is less than the log.
    pub applied: Applied,
    /// Records after that, in the log and not decided.
    pub held: Vec<CommitRecord>,
}

/// The record that the rebuilt graph ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub position: Position,
    /// Chain hash there.
    pub chain: u64,
    pub ts: u64,
}

/// The end of a log that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    pub file: String,
    pub offset: u64,
    /// Damage that an operator told to cut; otherwise an unfinished write.
    pub damage: Option<String>,
}

/// Rebuilds a node. `None` where the directory is fresh.
pub fn recover(
    files: &mut dyn Files,
    on_damage: OnDamage,
    rebuild: &mut dyn Rebuild,
) -> Result<Option<Found>, RecoveryError> {
    let segments = files.segments().map_err(|reason| read_error("wal", reason))?;
    let snapshots = files.snapshots().map_err(|reason| read_error("snapshots", reason))?;
    let Some(state) = files.state().map_err(|reason| read_error("state", reason))? else {
        return if segments.is_empty() && snapshots.is_empty() {
            Ok(None)
        } else {
            Err(RecoveryError::NoState)
        };
    };
    let state = decode_state(&state).map_err(RecoveryError::State)?;
    let decided = files.decided().map_err(|reason| read_error("decided", reason))?;
    let decided =
        decided.map(|bytes| decode_decided(&bytes)).transpose().map_err(RecoveryError::Decided)?.flatten();
    let (used, unused) = segment_heads(files, &state, segments)?;
    let Loaded { base, snapshots, damaged } = load_snapshot(files, rebuild, &snapshots)?;
    if base.is_none() && !damaged.is_empty() && used.is_empty() {
        return Err(RecoveryError::NothingLeft { damaged });
    }
    let base = base.unwrap_or_else(|| SnapshotHeader {
        position: Position::default(),
        chain: 0,
        ts: 0,
        history: History::default(),
    });
    let mut replay = Replay {
        rebuild,
        base: base.position.lsn,
        base_chain: base.chain,
        found: Found {
            state,
            last: base.position,
            chain: base.chain,
            ts: base.ts,
            history: base.history,
            wal_from: base.position.lsn.next(),
            live: None,
            tail: None,
            leftover: unused,
            snapshots,
            damaged,
            replayed: 0,
            decided,
            applied: Applied { position: base.position, chain: base.chain, ts: base.ts },
            held: Vec::new(),
        },
    };
    replay.log(files, used, on_damage)?;
    Ok(Some(replay.found))
}

fn read_error(file: &str, reason: String) -> RecoveryError {
    RecoveryError::Read { file: file.to_owned(), reason }
}

type Heads = Vec<(String, SegmentHeader)>;

/// Returns the segments that were used, and the names of those that were not.
fn segment_heads(
    files: &mut dyn Files,
    state: &NodeState,
    names: Vec<String>,
) -> Result<(Heads, Vec<String>), RecoveryError> {
    let mut used: Heads = Vec::new();
    let mut unused = Vec::new();
    for name in names {
        let head = files.read_segment(&name, SEGMENT_HEADER_BYTES).map_err(|r| read_error(&name, r))?;
        let refuse = |reason| RecoveryError::Segment { file: name.clone(), reason };
        let Some(header) = SegmentHeader::decode(&head).map_err(refuse)? else {
            // Whole, to see whether records stand behind a header of zeroes.
            let whole = files.read_segment(&name, usize::MAX).map_err(|r| read_error(&name, r))?;
            Scanner::new(whole).map_err(refuse)?;
            unused.push(name);
            continue;
        };
        if header.node != state.node {
            return Err(RecoveryError::OtherNode { file: name, found: header.node, own: state.node });
        }
        let in_order =
            used.last().is_none_or(|(_, last)| last.sequence < header.sequence && last.first <= header.first);
        if !in_order || !unused.is_empty() {
            return Err(refuse(SegmentError::Damaged));
        }
        used.push((name, header));
    }
    Ok((used, unused))
}

/// What came of the snapshots.
struct Loaded {
    base: Option<SnapshotHeader>,
    snapshots: Vec<SnapshotId>,
    damaged: Vec<(String, String)>,
}

/// Loads the newest snapshot that is whole, and looks at the older ones.
fn load_snapshot(
    files: &mut dyn Files,
    rebuild: &mut dyn Rebuild,
    names: &[String],
) -> Result<Loaded, RecoveryError> {
    let mut loaded = Loaded { base: None, snapshots: Vec::new(), damaged: Vec::new() };
    rebuild.begin();
    for name in names {
        let file = match files.open_snapshot(name) {
            Ok(file) => file,
            Err(reason) => {
                loaded.damaged.push((name.clone(), reason));
                continue;
            }
        };
        let is_base = loaded.base.is_none();
        let read = if is_base {
            rebuild.begin();
            rebuild.snapshot(&*file)
        } else {
            SnapshotIndex::read(&*file)
        };
        match read {
            Ok(index) => {
                loaded.snapshots.insert(0, index.id);
                if is_base {
                    loaded.base = Some(index.header);
                }
            }
            Err(Unreadable::Snapshot(reason @ SnapshotError::Newer(_))) => {
                return Err(RecoveryError::Snapshot { file: name.clone(), reason });
            }
            Err(Unreadable::DoesNotFit(reason)) => return Err(does_not_fit(name, "a block", reason)),
            Err(Unreadable::Snapshot(reason)) => loaded.damaged.push((name.clone(), reason.to_string())),
            Err(Unreadable::Io(reason)) => loaded.damaged.push((name.clone(), reason.to_string())),
        }
    }
    if loaded.base.is_none() {
        rebuild.begin();
    }
    Ok(loaded)
}

fn does_not_fit(file: &str, what: impl Into<String>, reason: String) -> RecoveryError {
    RecoveryError::DoesNotFit { file: file.to_owned(), what: what.into(), reason }
}

/// Reads a snapshot, checks all of it, and hands out its blocks.
pub fn read_snapshot(
    file: &dyn SnapshotSource,
    mut block: impl FnMut(Bytes) -> Result<(), String>,
) -> Result<SnapshotIndex, Unreadable> {
    let index = SnapshotIndex::read(file)?;
    index.check_digest(file)?;
    for i in 0..index.blocks() {
        block(index.block(file, i)?).map_err(Unreadable::DoesNotFit)?;
    }
    Ok(index)
}

struct Replay<'a> {
    rebuild: &'a mut dyn Rebuild,
    /// What the snapshot holds already.
    base: Lsn,
    base_chain: u64,
    found: Found,
}

impl Replay<'_> {
    fn log(&mut self, files: &mut dyn Files, used: Heads, on_damage: OnDamage) -> Result<(), RecoveryError> {
        let Some(start) = used.iter().rposition(|(_, head)| head.first <= self.base.next()) else {
            let Some((file, head)) = used.first() else { return Ok(()) };
            let damaged = self.found.damaged.clone();
            let (from, to) = (self.base.next(), Lsn(head.first.0 - 1));
            return Err(RecoveryError::Gap { from, to, file: file.clone(), damaged });
        };
        // The record that the log, read from `start` on, comes to next, and the chain before it.
        let mut next = used[start].1.first;
        let mut chain = used[start].1.chain;
        for (i, (name, head)) in used.iter().enumerate().skip(start) {
            if head.first > next {
                let damaged = self.found.damaged.clone();
                let (from, to) = (next, Lsn(head.first.0 - 1));
                return Err(RecoveryError::Gap { from, to, file: name.clone(), damaged });
            }
            if head.first != next || head.chain != chain {
                let reason = "it does not follow from the segment before".to_owned();
                return Err(RecoveryError::Corrupt { file: name.clone(), offset: 0, reason });
            }
            self.meet_base(name, 0, next, chain)?;
            let bytes = files.read_segment(name, usize::MAX).map_err(|r| read_error(name, r))?;
            let refuse = |reason| RecoveryError::Segment { file: name.clone(), reason };
            let Some(mut scanner) = Scanner::new(bytes).map_err(refuse)? else {
                return Err(refuse(SegmentError::Damaged));
            };
            let end = loop {
                let offset = scanner.offset();
                match scanner.next_record() {
                    Ok(logged) => {
                        (next, chain) = (logged.record.lsn.next(), logged.chain);
                        self.record(name, offset, logged)?;
                        self.meet_base(name, offset, next, chain)?;
                    }
                    Err(end) => break end,
                }
            };
            let is_last = i + 1 == used.len();
            let (offset, tail) = ended(name, end, is_last, on_damage)?;
            let cut = tail.as_ref().is_some_and(|t| t.damage.is_some());
            self.found.tail = tail;
            if is_last || cut {
                let behind = used[i + 1..].iter().map(|(name, _)| name.clone());
                self.found.leftover.splice(0..0, behind);
                return self.finish(&used, name, offset, next);
            }
        }
        unreachable!("the last segment returns")
    }

    /// The log must agree with the snapshot where they meet.
    fn meet_base(&self, file: &str, offset: u64, next: Lsn, chain: u64) -> Result<(), RecoveryError> {
        if next == self.base.next() && chain != self.base_chain {
            let reason = format!("its records up to {} are not those of the snapshot", self.base);
            return Err(RecoveryError::Corrupt { file: file.to_owned(), offset, reason });
        }
        Ok(())
    }

    fn record(&mut self, file: &str, offset: u64, logged: LoggedRecord) -> Result<(), RecoveryError> {
        let LoggedRecord { record, chain, .. } = logged;
        if record.lsn <= self.base {
            return Ok(());
        }
        if record.epoch < self.found.last.epoch {
            let reason = format!("epoch {} follows {}", record.epoch, self.found.last.epoch);
            return Err(RecoveryError::Corrupt { file: file.to_owned(), offset, reason });
        }
        self.found.history.note(record.epoch, record.lsn);
        self.found.last = record.position();
        self.found.chain = chain;
        self.found.ts = record.ts;
        if self.found.decided.is_some_and(|decided| record.lsn > decided.lsn) {
            self.found.held.push(record);
            return Ok(());
        }
        self.found.applied = Applied { position: record.position(), chain, ts: record.ts };
        self.found.replayed += 1;
        let what = format!("record {}", record.lsn);
        self.rebuild.record(record).map_err(|reason| does_not_fit(file, what, reason))
    }

    fn finish(&mut self, used: &Heads, name: &str, offset: u64, next: Lsn) -> Result<(), RecoveryError> {
        if next <= self.base {
            // The snapshot outlived the end of the log (possible where commits were not synced one by
            // one): what is left of the log leads nowhere, and the next record begins a new segment.
            self.found.leftover.splice(0..0, used.iter().map(|(name, _)| name.clone()));
            self.found.tail = None;
            return Ok(());
        }
        self.found.wal_from = used[0].1.first;
        self.found.live = Some((name.to_owned(), offset));
        Ok(())
    }
}

/// Returns where a segment's records end, and what must be cut there.
fn ended(
    name: &str,
    end: SegmentEnd,
    is_last: bool,
    on_damage: OnDamage,
) -> Result<(u64, Option<Tail>), RecoveryError> {
    let file = name.to_owned();
    let (offset, reason) = match end {
        SegmentEnd::Clean { offset } => return Ok((offset, None)),
        SegmentEnd::Torn { offset } if is_last => {
            return Ok((offset, Some(Tail { file, offset, damage: None })));
        }
        SegmentEnd::Torn { offset } => {
            (offset, "a record is missing, and another segment follows".to_owned())
        }
        SegmentEnd::Corrupt { offset, reason } => (offset, reason),
        SegmentEnd::Newer { offset, lsn, kind, version } => {
            return Err(RecoveryError::NewerRecord { file, offset, lsn, kind, version });
        }
    };
    match on_damage {
        OnDamage::Refuse => Err(RecoveryError::Corrupt { file, offset, reason }),
        OnDamage::Cut => Ok((offset, Some(Tail { file, offset, damage: Some(reason) }))),
    }
}

#[cfg(test)]
mod tests;
