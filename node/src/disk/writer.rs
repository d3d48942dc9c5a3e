//! The disk's one thread: appends, syncs once for all who wait, and whatever else must keep its
//! place in that order.

use super::decided::Notes;
use super::directory::Directory;
use super::install;
use super::reader;
use super::rewind::{self, NotRewound, Rewound};
use super::segment::{Catalog, Segment, Spare, prepare};
use super::{DiskError, Received};
use crate::config::Durability;
use mgnode_core::durability::{
    LoggedRecord, SEGMENT_HEADER_BYTES, SegmentHeader, encode_state, frame_bytes, put_frame,
};
use mgnode_core::engine::{Input, PeerId, SnapshotHeader};
use mgnode_core::types::{CommitRecord, Lsn, Names, NodeId, NodeState, Position};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// What the disk lane is asked, in order.
#[derive(Debug)]
pub(super) enum Command {
    Write { record: CommitRecord, chain: u64 },
    Sync { lsn: Lsn },
    SaveState { id: u64, state: NodeState },
    Drop { before: Lsn },
    Install { header: SnapshotHeader },
    NoteDecided { lsn: Lsn, is_first: bool },
    Rewind { to: Position },
    Read { peer: PeerId, from: Lsn, bytes_max: usize },
    Stop { done: mpsc::Sender<()> },
}

/// Commands taken together before they are synced; more wait for the next round.
const BATCH_MAX: usize = 4096;

/// The segment that is written to.
struct Live {
    segment: Arc<Segment>,
    bytes: u64,
    /// Where the next frame goes, once `pending` is written.
    offset: u64,
}

/// Everything that the thread owns.
pub(super) struct Writer<R> {
    pub(super) directory: Arc<Directory>,
    pub(super) node: NodeId,
    pub(super) durability: Durability,
    pub(super) catalog: Catalog,
    pub(super) received: Received,
    pub(super) spares: mpsc::Receiver<Spare>,
    /// A first, small segment, used before those of `spares`.
    pub(super) first_spare: Option<Spare>,
    pub(super) reads: mpsc::Sender<reader::Request>,
    pub(super) report: R,
    pub(super) log: Log,
    pub(super) notes: Notes,
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
            asked: None,
        }
    }
}

impl<R: Fn(Input)> Writer<R> {
    /// Serves commands until told to stop, or until the disk fails.
    pub(super) fn run(mut self, commands: mpsc::Receiver<Command>) {
        if let Err(e) = self.serve(&commands) {
            tracing::error!("the log can no longer be written: {e}");
            (self.report)(Input::WalFailed { error: e.to_string() });
            // Nothing is tried again: what a failed sync left on the disk cannot be known.
            for command in commands {
                if let Command::Stop { done } = command {
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    fn serve(&mut self, commands: &mpsc::Receiver<Command>) -> Result<(), DiskError> {
        while let Some(first) = self.wait(commands)? {
            let more = std::iter::from_fn(|| commands.try_recv().ok());
            for command in std::iter::once(first).chain(more).take(BATCH_MAX) {
                if self.carry_out(command)? {
                    return Ok(());
                }
            }
            self.write_pending()?;
            self.answer()?;
        }
        Ok(())
    }

    /// Waits for a command, and meanwhile syncs on time.
    fn wait(&mut self, commands: &mpsc::Receiver<Command>) -> Result<Option<Command>, DiskError> {
        let Durability::Interval(every) = self.durability else { return Ok(commands.recv().ok()) };
        loop {
            if !self.log.unsynced {
                return Ok(commands.recv().ok());
            }
            let left = every.saturating_sub(self.log.last_sync.elapsed());
            match commands.recv_timeout(left.max(Duration::from_millis(1))) {
                Ok(command) => return Ok(Some(command)),
                Err(mpsc::RecvTimeoutError::Timeout) => self.sync()?,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    /// Returns whether that was the last command.
    fn carry_out(&mut self, command: Command) -> Result<bool, DiskError> {
        match command {
            Command::Write { record, chain } => {
                self.append(record, chain)?;
                return Ok(false);
            }
            Command::Sync { lsn } => {
                self.log.asked = self.log.asked.max(Some(lsn));
                return Ok(false);
            }
            // It speaks of records that are durable already, so it need not wait for those that are not.
            Command::NoteDecided { lsn, is_first } => {
                self.notes.write(&self.directory, lsn, is_first)?;
                return Ok(false);
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
            Command::Read { peer, from, bytes_max } => {
                // The reader ends only after this thread.
                let _ = self.reads.send(reader::Request { peer, from, bytes_max });
            }
            Command::Stop { done } => {
                self.sync()?;
                let _ = done.send(());
                return Ok(true);
            }
            Command::Write { .. } | Command::Sync { .. } | Command::NoteDecided { .. } => {
                unreachable!("handled above")
            }
        }
        Ok(false)
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
            spare = prepare(&self.directory, spare.sequence, needed.next_multiple_of(4096))?;
        }
        let header = SegmentHeader {
            node: self.node,
            sequence: spare.sequence,
            first,
            chain: self.log.chain,
            bytes: spare.bytes,
        };
        write_at(&spare.file, &header.encode(), 0, &spare.path)?;
        let offset = SEGMENT_HEADER_BYTES as u64;
        let segment = Arc::new(Segment::new(spare.path, spare.file, first, offset));
        self.catalog.lock().push(segment.clone());
        self.log.live = Some(Live { segment, bytes: spare.bytes, offset });
        self.log.unsynced = true;
        Ok(())
    }

    fn write_pending(&mut self) -> Result<(), DiskError> {
        let log = &mut self.log;
        if log.pending.is_empty() {
            return Ok(());
        }
        let live = log.live.as_ref().expect("what is pending has a place");
        write_at(&live.segment.file, &log.pending, log.pending_at, &live.segment.path)?;
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
            self.sync()?;
        }
        if let Some(lsn) = self.log.asked.take() {
            (self.report)(Input::WalSynced { lsn });
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        let log = &mut self.log;
        log.last_sync = Instant::now();
        if let Some(live) = &log.live
            && log.unsynced
        {
            let synced = live.segment.file.sync_data();
            synced.map_err(|e| DiskError::from_io("sync", &live.segment.path, &e))?;
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
        (self.report)(Input::StateSaved { id, result });
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
        (self.report)(Input::SnapshotInstalled { lsn });
        Ok(())
    }
}

impl<R: Fn(Input)> Writer<R> {
    /// Cuts the log after `to` and goes on from there.
    fn rewind(&mut self, to: Position) -> Result<(), DiskError> {
        self.sync()?;
        let result = match rewind::rewind(&self.directory, self.names.clone(), self.node, to) {
            Ok(Rewound { recovered, live }) => {
                let (segments, live) = super::segments(&self.directory, live)?;
                *self.catalog.lock() = segments;
                self.log = Log::new(live, to.lsn, recovered.chain);
                Ok(Box::new(recovered))
            }
            Err(NotRewound::Refused(reason)) => Err(reason),
            Err(NotRewound::Failed(error)) => return Err(error),
        };
        (self.report)(Input::Rewound { result });
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
