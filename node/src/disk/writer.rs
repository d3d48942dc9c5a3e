//! The log's end: appends, syncs once for all who wait, and whatever else must keep its place in
//! that order.
//!
//! A thread carries out commands. Where no sync is asked for (`--durability=os`), what fits into the
//! segment is written on the caller's thread instead: to wake another would take longer than the write.

use super::decided::Notes;
use super::directory::Directory;
use super::fail_point;
use super::gather::Gathering;
use super::install;
use super::rewind::{self, NotRewound, Rewound};
use super::segment::{Catalog, Segment, Spare, prepare};
use super::{DiskError, Received};
use crate::config::Durability;
use crate::driver::Inputs;
use mgnode_core::durability::{
    LoggedRecord, SEGMENT_HEADER_BYTES, SegmentHeader, encode_state, frame_bytes, put_frame,
};
use mgnode_core::engine::{Input, SnapshotHeader};
use mgnode_core::types::{CommitRecord, Lsn, Names, NodeId, NodeState, Position};
use parking_lot::Mutex;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// What the disk lane is asked, in order.
#[derive(Debug)]
pub(super) enum Command {
    /// Appends, and answers for `sync` once that is durable.
    Append {
        records: Records,
        sync: Option<Lsn>,
    },
    SaveState {
        id: u64,
        state: NodeState,
    },
    Drop {
        before: Lsn,
    },
    Install {
        header: SnapshotHeader,
    },
    /// The first note, synced.
    NoteDecided {
        lsn: Lsn,
    },
    Rewind {
        to: Position,
    },
    Stop {
        done: mpsc::Sender<()>,
    },
}

/// Records that follow each other, each with the chain hash after it.
pub(super) type Records = Vec<(CommitRecord, u64)>;

/// Commands taken together before they are synced; more wait for the next round.
const BATCH_MAX: usize = 4096;

/// So many bytes wait for no others that may share their sync.
const GATHERED_BYTES_MAX: usize = 256 << 10;

/// Most bytes that are written on a caller's thread.
const INSTANT_BYTES_MAX: usize = 64 << 10;

/// How often a record that is too long for a full disk is tried again.
const ROOM_RETRY: Duration = Duration::from_millis(200);

/// The segment that is written to.
struct Live {
    segment: Arc<Segment>,
    bytes: u64,
    /// Where the next frame goes, once `pending` is written.
    offset: u64,
}

/// Everything that writing needs.
pub(super) struct Writer {
    pub(super) directory: Arc<Directory>,
    pub(super) node: NodeId,
    pub(super) durability: Durability,
    pub(super) catalog: Catalog,
    pub(super) received: Received,
    pub(super) spares: mpsc::Receiver<Spare>,
    /// A first, small segment, used before those of `spares`.
    pub(super) first_spare: Option<Spare>,
    pub(super) inputs: Inputs,
    pub(super) log: Log,
    /// Nothing is tried again: what a failed write or sync left on the disk cannot be known.
    pub(super) has_failed: bool,
    pub(super) notes: Arc<Mutex<Notes>>,
    pub(super) names: Arc<Names>,
}

/// Where the log stands.
pub(super) struct Log {
    live: Option<Live>,
    last: Lsn,
    chain: u64,
    /// The last record that is known to be durable.
    synced: Lsn,
    /// Frames not yet written, and where they go.
    pending: Vec<u8>,
    pending_at: u64,
    /// Written since the last sync.
    unsynced: bool,
    unsynced_commits: u64,
    last_sync: Instant,
    /// Records that someone waited for and the time that their sync took, since this was last looked at.
    last_wait: Option<(usize, Duration)>,
    /// The highest record that someone waits for.
    asked: Option<Lsn>,
}

impl Log {
    /// Goes on after what recovery found.
    pub(super) fn new(live: Option<(Arc<Segment>, u64)>, last: Lsn, chain: u64) -> Log {
        Log {
            live: live.map(|(segment, bytes)| Live { offset: segment.written(), segment, bytes }),
            last,
            chain,
            synced: last,
            pending: Vec::new(),
            pending_at: 0,
            unsynced: false,
            unsynced_commits: 0,
            last_sync: Instant::now(),
            last_wait: None,
            asked: None,
        }
    }
}

/// The way to the writer. Calls are kept in order, whichever thread carries them out.
#[derive(Clone)]
pub(super) struct Line {
    commands: mpsc::Sender<Command>,
    /// Commands that the thread has not finished.
    left: Arc<AtomicUsize>,
    /// None once it was stopped.
    writer: Arc<Mutex<Option<Writer>>>,
}

/// The thread's end of a [`Line`].
pub(super) struct LineEnd {
    commands: mpsc::Receiver<Command>,
    left: Arc<AtomicUsize>,
    writer: Arc<Mutex<Option<Writer>>>,
}

pub(super) fn line(writer: Writer) -> (Line, LineEnd) {
    let (sender, commands) = mpsc::channel();
    let (left, writer) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Some(writer))));
    let line = Line { commands: sender, left: left.clone(), writer: writer.clone() };
    (line, LineEnd { commands, left, writer })
}

impl Line {
    /// Hands a command to the thread. It is gone only once it was stopped, and then nobody waits for
    /// an answer.
    pub(super) fn ask(&self, command: Command) {
        self.left.fetch_add(1, Ordering::AcqRel);
        if self.commands.send(command).is_err() {
            tracing::debug!("the disk has stopped");
        }
    }

    /// Appends, here where that can be done at once.
    pub(super) fn append(&self, records: Records, sync: Option<Lsn>) {
        if self.left.load(Ordering::Acquire) == 0
            && let Some(mut place) = self.writer.try_lock()
            && let Some(writer) = place.as_mut()
            && writer.is_instant(&records)
        {
            return writer.append_at_once(records, sync);
        }
        self.ask(Command::Append { records, sync });
    }
}

impl LineEnd {
    /// Serves commands until told to stop.
    pub(super) fn serve(self) {
        let mut gathering = Gathering::default();
        let mut batch = Vec::new();
        loop {
            let came_meanwhile = self.take_what_is_there(&mut batch);
            if batch.is_empty() {
                let Some(first) = self.wait() else { return };
                batch.push(first);
                self.take_what_is_there(&mut batch);
            }
            self.gather(&mut gathering, &mut batch, came_meanwhile);
            let taken = batch.len();
            let mut place = self.writer.lock();
            let Some(writer) = place.as_mut() else { return };
            writer.log.last_wait = None;
            if writer.carry_out_all(batch.drain(..)) {
                *place = None;
                return;
            }
            if let Some((records, took)) = writer.log.last_wait {
                gathering.synced(records, took);
            }
            drop(place);
            self.left.fetch_sub(taken, Ordering::AcqRel);
        }
    }

    /// Takes the commands that wait. Returns whether there were any.
    fn take_what_is_there(&self, batch: &mut Vec<Command>) -> bool {
        let before = batch.len();
        batch.extend(std::iter::from_fn(|| self.commands.try_recv().ok()).take(BATCH_MAX - before));
        batch.len() > before
    }

    /// Waits for those who may share the sync, where it is worth it.
    fn gather(&self, gathering: &mut Gathering, batch: &mut Vec<Command>, came_meanwhile: bool) {
        let (mut records, mut bytes) = (0, 0);
        let mut count = |command: &Command| match command {
            Command::Append { records: more, sync } => {
                records += more.len();
                bytes += more.iter().map(|(record, _)| record.payload.len()).sum::<usize>();
                (sync.is_some() && bytes < GATHERED_BYTES_MAX).then_some(records)
            }
            _ => None,
        };
        let mut waiting = 0;
        for command in &*batch {
            let Some(records) = count(command) else { return };
            waiting = records;
        }
        let Some(wait) = gathering.wait(waiting, came_meanwhile) else { return };
        let until = Instant::now() + wait.time;
        while waiting < wait.records && batch.len() < BATCH_MAX {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(command) = self.commands.recv_timeout(left.min(wait.pause)) else { break };
            let counted = count(&command);
            batch.push(command);
            match counted {
                Some(records) => waiting = records,
                // Something that is not to wait.
                None => return,
            }
        }
        gathering.waited(wait, waiting);
    }

    /// Waits for a command, and meanwhile syncs on time.
    fn wait(&self) -> Option<Command> {
        loop {
            let time_to_sync = self.writer.lock().as_ref().and_then(Writer::time_to_sync);
            let Some(left) = time_to_sync else { return self.commands.recv().ok() };
            match self.commands.recv_timeout(left.max(Duration::from_millis(1))) {
                Ok(command) => return Some(command),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if let Some(writer) = self.writer.lock().as_mut() {
                        writer.sync_on_time();
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

impl Writer {
    /// Whether these records can be written without a sync and without waiting for a segment.
    fn is_instant(&self, records: &Records) -> bool {
        let is_sync_due = match self.durability {
            Durability::Os { sync_every_n_commits: None } => false,
            Durability::Os { sync_every_n_commits: Some(n) } => {
                self.log.unsynced_commits + records.len() as u64 >= n
            }
            Durability::Commit | Durability::Interval(_) => true,
        };
        let bytes: usize = records.iter().map(|(record, _)| frame_bytes(record.payload.len())).sum();
        let fits = self.log.live.as_ref().is_some_and(|live| live.offset + bytes as u64 <= live.bytes);
        !is_sync_due && fits && bytes <= INSTANT_BYTES_MAX
    }

    fn append_at_once(&mut self, records: Records, sync: Option<Lsn>) {
        let batch = std::iter::once(Command::Append { records, sync });
        self.carry_out_all(batch);
    }

    /// Carries out commands, writes and answers. Returns whether the last one was to stop.
    fn carry_out_all(&mut self, commands: impl Iterator<Item = Command>) -> bool {
        let mut is_stopped = false;
        for command in commands {
            is_stopped |= matches!(command, Command::Stop { .. });
            // After a failure nothing is carried out; one that waits for the end hears of it all the same.
            if !self.has_failed
                && let Err(e) = self.carry_out(command)
            {
                self.fail(&e);
            }
        }
        if !self.has_failed
            && let Err(e) = self.write_pending().and_then(|()| self.answer())
        {
            self.fail(&e);
        }
        is_stopped
    }

    fn fail(&mut self, error: &DiskError) {
        self.has_failed = true;
        tracing::error!("the log can no longer be written: {error}");
        self.inputs.send(Input::WalFailed { error: error.to_string() });
    }

    /// Returns how long what was written may stay unsynced, where it may at all.
    fn time_to_sync(&self) -> Option<Duration> {
        match self.durability {
            Durability::Interval(every) if self.log.unsynced && !self.has_failed => {
                Some(every.saturating_sub(self.log.last_sync.elapsed()))
            }
            _ => None,
        }
    }

    fn sync_on_time(&mut self) {
        if let Err(e) = self.sync() {
            self.fail(&e);
        }
    }

    fn carry_out(&mut self, command: Command) -> Result<(), DiskError> {
        match command {
            Command::Append { records, sync } => {
                for (record, chain) in records {
                    self.append(record, chain)?;
                }
                self.log.asked = self.log.asked.max(sync);
                return Ok(());
            }
            // It speaks of records that are durable already, so it need not wait for those that are not.
            Command::NoteDecided { lsn } => {
                self.notes.lock().write(&self.directory, lsn, true)?;
                self.inputs.send(Input::DecidedNoted { lsn });
                return Ok(());
            }
            _ => {}
        }
        // Everything else finds what was handed in before it written and answered.
        self.write_pending()?;
        self.answer()?;
        match command {
            Command::SaveState { id, state } => self.save_state(id, &state)?,
            Command::Drop { before } => self.drop_before(before)?,
            Command::Install { header } => self.install(&header)?,
            Command::Rewind { to } => self.rewind(to)?,
            Command::Stop { done } => {
                self.sync()?;
                let _ = done.send(());
            }
            Command::Append { .. } | Command::NoteDecided { .. } => unreachable!("handled above"),
        }
        Ok(())
    }

    fn append(&mut self, record: CommitRecord, chain: u64) -> Result<(), DiskError> {
        assert_eq!(record.lsn, self.log.last.next(), "records are appended one after the other");
        let length = frame_bytes(record.payload.len()) as u64;
        let fits = self.log.live.as_ref().is_some_and(|live| live.offset + length <= live.bytes);
        if !fits {
            self.next_segment(record.lsn, length)?;
        }
        let live = self.log.live.as_mut().expect("there is one now");
        if self.log.pending.is_empty() {
            self.log.pending_at = live.offset;
        }
        live.segment.mark(record.lsn, live.offset);
        self.log.last = record.lsn;
        self.log.chain = chain;
        self.log.unsynced_commits += 1;
        let logged = LoggedRecord { record, chain, synced: self.log.synced };
        put_frame(&mut self.log.pending, live.offset, &logged);
        live.offset += length;
        Ok(())
    }

    /// Goes over to a new segment, which begins with `first`.
    ///
    /// The old one is synced before the new one's header is written, whatever the durability, so
    /// that only the last segment can lack records.
    fn next_segment(&mut self, first: Lsn, frame: u64) -> Result<(), DiskError> {
        self.write_pending()?;
        self.sync()?;
        let needed = SEGMENT_HEADER_BYTES as u64 + frame;
        let mut spare = match self.first_spare.take() {
            Some(spare) => spare,
            None => self.spares.recv().map_err(|_| DiskError::Unusable {
                path: self.directory.wal(),
                reason: "no segment was prepared".to_owned(),
            })?,
        };
        if spare.bytes < needed {
            // One of its own for a record larger than a segment. Its place in the order is kept.
            super::directory::remove(&spare.path)?;
            spare = self.prepare_long(spare.sequence, needed.next_multiple_of(4096))?;
        }
        let header = SegmentHeader {
            node: self.node,
            sequence: spare.sequence,
            first,
            chain: self.log.chain,
            bytes: spare.bytes,
        };
        fail_point::reach("segment-full");
        write_at(&spare.file, &header.encode(), 0, &spare.path)?;
        fail_point::reach("segment-begun");
        let offset = SEGMENT_HEADER_BYTES as u64;
        let segment = Arc::new(Segment::new(spare.path, spare.file, first, offset));
        self.catalog.lock().push(segment.clone());
        self.log.live = Some(Live { segment, bytes: spare.bytes, offset });
        self.log.unsynced = true;
        Ok(())
    }

    /// Prepares a segment that is longer than usual, and waits for room where the disk is full: the record has
    /// its place in the log already, and replicas may have it.
    fn prepare_long(&mut self, sequence: u64, bytes: u64) -> Result<Spare, DiskError> {
        let mut is_told = false;
        loop {
            let error = match prepare(&self.directory, sequence, bytes) {
                Ok(spare) => {
                    if is_told {
                        self.inputs.leave(Input::WalSpace { enough: true });
                    }
                    return Ok(spare);
                }
                Err(error) if error.is_full() => error,
                Err(error) => return Err(error),
            };
            if !is_told {
                tracing::error!(
                    bytes,
                    "no room for a long record, the log waits, writes are refused: {error}"
                );
            }
            is_told = true;
            // Left only: this thread holds what the engine's turn may ask for.
            self.inputs.leave(Input::WalSpace { enough: false });
            std::thread::sleep(ROOM_RETRY);
            if self.first_spare.is_none() {
                match self.spares.try_recv() {
                    Ok(spare) => self.first_spare = Some(spare),
                    Err(mpsc::TryRecvError::Empty) => {}
                    // The node stops.
                    Err(mpsc::TryRecvError::Disconnected) => return Err(error),
                }
            }
        }
    }

    fn write_pending(&mut self) -> Result<(), DiskError> {
        let log = &mut self.log;
        if log.pending.is_empty() {
            return Ok(());
        }
        let live = log.live.as_ref().expect("what is pending has a place");
        write_at(&live.segment.file, &log.pending, log.pending_at, &live.segment.path)?;
        fail_point::reach("commit-written");
        live.segment.show(live.offset);
        log.pending.clear();
        log.pending.shrink_to(1 << 20);
        log.unsynced = true;
        Ok(())
    }

    /// Tells those who wait, after a sync where the durability demands one.
    fn answer(&mut self) -> Result<(), DiskError> {
        let is_due = match self.durability {
            Durability::Commit => self.log.asked.is_some(),
            Durability::Interval(every) => self.log.last_sync.elapsed() >= every,
            Durability::Os { sync_every_n_commits } => {
                sync_every_n_commits.is_some_and(|n| self.log.unsynced_commits >= n)
            }
        };
        if is_due {
            let records = self.log.unsynced_commits;
            let begun = Instant::now();
            self.sync()?;
            if self.durability == Durability::Commit {
                self.log.last_wait = Some((usize::try_from(records).unwrap_or(usize::MAX), begun.elapsed()));
            }
        }
        if let Some(lsn) = self.log.asked.take() {
            self.inputs.send(Input::WalSynced { lsn });
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        let log = &mut self.log;
        log.last_sync = Instant::now();
        if let Some(live) = &log.live
            && log.unsynced
        {
            let synced = fail_point::pass("commit-sync").and_then(|()| live.segment.file.sync_data());
            synced.map_err(|e| DiskError::from_io("sync", &live.segment.path, &e))?;
            fail_point::reach("commit-synced");
        }
        log.unsynced = false;
        log.unsynced_commits = 0;
        log.synced = log.last;
        Ok(())
    }

    fn save_state(&mut self, id: u64, state: &NodeState) -> Result<(), DiskError> {
        let result = match self.directory.save_state(&encode_state(state)) {
            Ok(()) => Ok(()),
            Err(e) if e.sure => {
                tracing::error!("{}", e.error);
                Err(e.error.to_string())
            }
            Err(e) => return Err(e.error),
        };
        self.inputs.send(Input::StateSaved { id, result });
        Ok(())
    }

    /// Removes segments whose records are all before `before`, the oldest first.
    fn drop_before(&mut self, before: Lsn) -> Result<(), DiskError> {
        let dropped: Vec<Arc<Segment>> = {
            let mut segments = self.catalog.lock();
            let keep_from = segments.partition_point(|s| s.first <= before).saturating_sub(1);
            segments.drain(..keep_from).collect()
        };
        for segment in &dropped {
            super::directory::remove(&segment.path)?;
            tracing::debug!(segment = %segment.path.display(), "a segment is no longer needed");
        }
        if dropped.is_empty() { Ok(()) } else { super::directory::sync_folder(&self.directory.wal()) }
    }

    fn install(&mut self, header: &SnapshotHeader) -> Result<(), DiskError> {
        self.sync()?;
        let lsn = header.position.lsn;
        let Some(path) = self.received.take(header) else {
            let path = self.directory.snapshots();
            let reason = format!("the snapshot of record {lsn} to be installed is not there");
            return Err(DiskError::Unusable { path, reason });
        };
        self.log.live = None;
        self.catalog.lock().clear();
        install::install(&self.directory, &path)?;
        self.log.last = lsn;
        self.log.synced = lsn;
        self.log.chain = header.chain;
        self.inputs.send(Input::SnapshotInstalled { lsn });
        Ok(())
    }
}

impl Writer {
    /// Cuts the log after `to` and goes on from there.
    fn rewind(&mut self, to: Position) -> Result<(), DiskError> {
        self.sync()?;
        let result = match rewind::rewind(&self.directory, self.names.clone(), self.node, to, self.log.last) {
            Ok(Rewound { recovered, chain, live }) => {
                *self.notes.lock() = Notes::open(&self.directory)?;
                let (segments, live) = super::segments(&self.directory, live)?;
                *self.catalog.lock() = segments;
                self.log = Log::new(live, to.lsn, chain);
                Ok(Box::new(recovered))
            }
            Err(NotRewound::Refused(reason)) => Err(reason),
            Err(NotRewound::Failed(error)) => return Err(error),
        };
        self.inputs.send(Input::Rewound { result });
        Ok(())
    }
}

fn write_at(
    file: &std::fs::File,
    bytes: &[u8],
    offset: u64,
    path: &std::path::Path,
) -> Result<(), DiskError> {
    let written: io::Result<()> = file.write_all_at(bytes, offset);
    written.map_err(|e| DiskError::from_io("write", path, &e))
}
