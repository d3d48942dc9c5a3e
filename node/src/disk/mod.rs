//! Real files: the log, snapshots and the state of one node.
//!
//! ```text
//! DIRECTORY/
//!   lock                        held while a node runs; its process id
//!   state                       who this node is; replaced as a whole
//!   wal/0000000000000001.wal    segments by rising number, written out with zeroes ahead of use
//!   snapshots/00000000000000001204.snap   by the LSN that it holds
//!   decided                     how far the log may be shown, where some of it may not be
//!   snapshots/incoming.part     what has come of one from a peer; incoming.id says of which
//!   diverged/                   what was ever cut off from the log, never overwritten
//! ```
//!
//! Formats are those of `mgnode_core::durability`. Threads: the writer (appends and syncs, one
//! sync for all who wait; state; installation; without syncs, records are appended by whoever has the
//! engine's turn), a reader for replicas that catch up, one that
//! prepares the next segment, and one for each snapshot that is being written. Results come back
//! as [`Input`]s.
//!
//! A failed write or sync is told once and never retried: what it left on the disk cannot be known.
//! A full disk shows when the next segment cannot be prepared; new commits are then refused while
//! the segment in use takes those that were under way.

mod decided;
mod directory;
mod error;
mod fail_point;
mod file_source;
mod gather;
mod install;
mod partial;
mod reader;
mod rewind;
mod room;
mod segment;
mod snapshots;
mod threads;
mod writer;

#[cfg(test)]
mod tests;

pub use directory::Directory;
pub use error::DiskError;
pub use room::Room;
pub(crate) use snapshots::{LoadFailure, SnapshotReader, is_snapshot_path};
pub use snapshots::{SnapshotFile, SnapshotStore, list_snapshots, snapshot_path};

use crate::background::Background;
use crate::config::Durability;
use crate::driver::{DiskLane, Inputs};
use crate::memory::MemoryRoom;
use decided::Notes;
use mgnode_core::durability::{Found, OnDamage, encode_state};
use mgnode_core::engine::{Input, PeerId, Recovered, SnapshotHeader, recover_node};
use mgnode_core::storage::View;
use mgnode_core::types::{CommitRecord, Lsn, Names, NodeId, NodeState, Position};
use parking_lot::Mutex;
use partial::Partial;
use segment::{Catalog, Segment};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use threads::Threads;
use writer::{Command, Line, Log, Records, Writer};

/// How the disk is used.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    pub durability: Durability,
    /// Size of the first segment of a fresh log, small so that a node starts at once.
    pub first_segment_bytes: u64,
    /// Size of each further one.
    pub segment_bytes: u64,
    /// Memory for snapshots that come in.
    pub memory: MemoryRoom,
    /// Where snapshots that are being written are noted.
    pub background: Arc<Background>,
}

impl Default for DiskOptions {
    fn default() -> Self {
        DiskOptions {
            durability: Durability::Commit,
            first_segment_bytes: 1 << 20,
            segment_bytes: 20 << 20,
            memory: MemoryRoom::default(),
            background: Arc::default(),
        }
    }
}

/// A snapshot that came in whole and waits for its installation. A later one takes its place.
#[derive(Clone, Debug, Default)]
struct Received(Arc<Mutex<Option<(SnapshotHeader, PathBuf)>>>);

impl Received {
    fn put(&self, header: SnapshotHeader, path: PathBuf) {
        if let Some((_, old)) = self.0.lock().replace((header, path))
            && let Err(e) = std::fs::remove_file(&old)
        {
            tracing::warn!(file = %old.display(), "a snapshot that is not needed stays until the next start: {e}");
        }
    }

    fn take(&self, header: &SnapshotHeader) -> Option<PathBuf> {
        self.0.lock().take_if(|(h, _)| h == header).map(|(_, path)| path)
    }
}

/// What was on the disk when the node started.
pub struct Opened {
    /// For the engine.
    pub recovered: Recovered,
    /// For [`Disk::start`].
    pub ready: Ready,
}

/// A directory that was recovered and repaired: the next record can be appended.
pub struct Ready {
    directory: Arc<Directory>,
    names: Arc<Names>,
    partial: Arc<Partial>,
    node: NodeId,
    last: Lsn,
    chain: u64,
    /// The segment that the log ends in, and where.
    live: Option<(PathBuf, u64)>,
    notes: Notes,
}

/// Recovers a node from its directory and repairs what a crash left; a fresh one begins as `fresh`
/// and its state is saved.
pub fn open(
    directory: Directory,
    on_damage: OnDamage,
    names: Arc<Names>,
    fresh: impl FnOnce() -> NodeState,
) -> Result<Opened, DiskError> {
    let recovered = recover_node(&mut &directory, on_damage, names.clone(), &Threads::new(), fresh);
    let (mut recovered, found) =
        recovered.map_err(|reason| DiskError::Recovery { directory: directory.root().to_owned(), reason })?;
    fail_point::reach("recovered");
    let ready = match &found {
        Some(found) => Ready::repaired(directory, names, found)?,
        None => Ready::fresh(directory, names, &recovered.state)?,
    };
    fail_point::reach("repaired");
    recovered.partial = ready.partial.kept();
    Ok(Opened { recovered, ready })
}

impl Ready {
    fn fresh(directory: Directory, names: Arc<Names>, state: &NodeState) -> Result<Ready, DiskError> {
        directory.save_state(&encode_state(state)).map_err(|e| e.error)?;
        let directory = Arc::new(directory);
        let partial = Arc::new(Partial::open(directory.clone())?);
        Ok(Ready {
            directory,
            names,
            partial,
            node: state.node,
            last: Lsn::ZERO,
            chain: 0,
            live: None,
            notes: Notes::after(None),
        })
    }

    fn repaired(directory: Directory, names: Arc<Names>, found: &Found) -> Result<Ready, DiskError> {
        repair(&directory, found)?;
        let mut notes = Notes::after(found.decided);
        // A snapshot may reach further than the note does, and may not be readable next time.
        let shown = found.applied.position.lsn;
        if found.decided.is_some_and(|note| note.lsn < shown) {
            notes.write(&directory, shown, false)?;
        }
        let directory = Arc::new(directory);
        Ok(Ready {
            partial: Arc::new(Partial::open(directory.clone())?),
            directory,
            names,
            node: found.state.node,
            last: found.last.lsn,
            chain: found.chain,
            live: found.live.as_ref().map(|(file, end)| (PathBuf::from(file), *end)),
            notes,
        })
    }
}

/// Makes the files say what recovery said. A crash in between changes nothing of that.
fn repair(directory: &Directory, found: &Found) -> Result<(), DiskError> {
    for (file, reason) in &found.damaged {
        tracing::error!(
            snapshot = file,
            "a snapshot is damaged, an older one and the log were used: {reason}"
        );
        // Under a name that does not count it is in nobody's way and can be looked at.
        let path = Path::new(file);
        directory::rename(path, &path.with_extension(DAMAGED_SNAPSHOT))?;
    }
    if !found.damaged.is_empty() {
        drop_old_damaged(directory)?;
    }
    let damage = found.tail.as_ref().and_then(|t| t.damage.as_ref());
    for file in &found.leftover {
        let path = Path::new(file);
        if damage.is_some() { install::keep_aside(directory, path)? } else { directory::remove(path)? }
    }
    if !found.leftover.is_empty() {
        directory::sync_folder(&directory.wal())?;
    }
    let Some(tail) = &found.tail else {
        // What a killed process wrote and did not sync is still in the log, and counts as durable from here on.
        return match &found.live {
            Some((file, _)) => segment::sync(Path::new(file)),
            None => Ok(()),
        };
    };
    let path = Path::new(&tail.file);
    match damage {
        Some(reason) => {
            tracing::error!(
                segment = tail.file,
                offset = tail.offset,
                last = %found.last,
                "the log is damaged and is cut here, as was asked for: {reason}"
            );
            // The copy is moved aside whole; the original is cut.
            let copy = path.with_extension("wal.damaged");
            std::fs::copy(path, &copy).map_err(|e| DiskError::from_io("copy", path, &e))?;
            // Before the cut: after it there is no other one.
            segment::sync(&copy)?;
            install::keep_aside(directory, &copy)?;
        }
        None => tracing::info!(
            segment = tail.file,
            offset = tail.offset,
            last = %found.last,
            "an unfinished write at the end of the log is wiped"
        ),
    }
    segment::wipe(path, tail.offset)
}

/// Ending of a snapshot that cannot be read.
const DAMAGED_SNAPSHOT: &str = "snap.damaged";
/// How many of them stay, to be looked at.
const DAMAGED_SNAPSHOTS_KEPT: usize = 2;

/// Removes damaged snapshots but for the newest ones.
fn drop_old_damaged(directory: &Directory) -> Result<(), DiskError> {
    let is_damaged = |path: &PathBuf| path.to_string_lossy().ends_with(DAMAGED_SNAPSHOT);
    let mut damaged: Vec<PathBuf> =
        directory::list(&directory.snapshots())?.into_iter().filter(is_damaged).collect();
    // The LSN in their names has as many digits in each.
    damaged.sort();
    for path in &damaged[..damaged.len().saturating_sub(DAMAGED_SNAPSHOTS_KEPT)] {
        tracing::info!(snapshot = %path.display(), "an older damaged snapshot is removed");
        directory::remove(path)?;
    }
    directory::sync_folder(&directory.snapshots())
}

/// The way to the disk's threads.
pub struct Disk {
    directory: Arc<Directory>,
    line: Line,
    /// Records that go out with the next command.
    records: Records,
    notes: Arc<Mutex<Notes>>,
    /// Dropped to end the reader.
    reads: Option<mpsc::Sender<reader::Request>>,
    snapshots: Arc<SnapshotStore>,
    inputs: Inputs,
    threads: Vec<JoinHandle<()>>,
    /// Dropped to end the preparation of segments.
    stop_preparing: Option<mpsc::Sender<()>>,
    background: Vec<JoinHandle<()>>,
}

impl Disk {
    /// Starts the threads.
    pub fn start(ready: Ready, options: &DiskOptions, inputs: Inputs) -> Result<Disk, DiskError> {
        let Ready { directory, names, partial, node, last, chain, live, notes } = ready;
        let (segments, live) = segments(&directory, live)?;
        let catalog: Catalog = Arc::new(Mutex::new(segments));
        let next_sequence = directory.segment_paths()?.last().map_or(1, |(n, _)| n + 1);
        let first_spare = match live {
            Some(_) => None,
            None => Some(segment::prepare(&directory, next_sequence, options.first_segment_bytes)?),
        };
        let notes = Arc::new(Mutex::new(notes));
        let received = Received::default();
        let snapshots = SnapshotStore::new(
            directory.clone(),
            names.clone(),
            received.clone(),
            partial,
            options.memory.clone(),
            options.background.clone(),
        );
        let snapshots = Arc::new(snapshots);
        let (spares_in, spares) = mpsc::sync_channel(0);
        let (stop_preparing, stopped) = mpsc::channel();
        let (reads, requests) = mpsc::channel();
        let report = {
            let inputs = inputs.clone();
            move |input: Input| inputs.send(input)
        };
        let mut threads = Vec::new();
        {
            let sequence = next_sequence + u64::from(first_spare.is_some());
            let (directory, bytes, report) = (directory.clone(), options.segment_bytes, report.clone());
            threads.push(spawn("mgnode-wal-prepare", move || {
                segment::keep_prepared(directory, sequence, bytes, spares_in, stopped, report);
            })?);
        }
        {
            let (catalog, report) = (catalog.clone(), report.clone());
            threads.push(spawn("mgnode-wal-read", move || reader::serve(catalog, requests, report))?);
        }
        let writer = Writer {
            directory: directory.clone(),
            node,
            durability: options.durability,
            catalog,
            received,
            spares,
            first_spare,
            inputs: inputs.clone(),
            log: Log::new(live, last, chain),
            has_failed: false,
            notes: notes.clone(),
            names,
        };
        let (line, end) = writer::line(writer);
        threads.push(spawn("mgnode-disk", move || end.serve())?);
        let background = Vec::new();
        let stop_preparing = Some(stop_preparing);
        let (records, reads) = (Records::new(), Some(reads));
        Ok(Disk {
            directory,
            line,
            records,
            notes,
            reads,
            snapshots,
            inputs,
            threads,
            stop_preparing,
            background,
        })
    }

    /// Returns what sends and takes in snapshots.
    pub fn snapshots(&self) -> Arc<SnapshotStore> {
        self.snapshots.clone()
    }

    /// Hands over what was gathered, and then the command.
    fn ask(&mut self, command: Command) {
        if !self.records.is_empty() {
            let records = std::mem::take(&mut self.records);
            self.line.ask(Command::Append { records, sync: None });
        }
        self.line.ask(command);
    }

    fn in_background(&mut self, run: impl FnOnce() + Send + 'static) -> Result<(), DiskError> {
        self.background.retain(|t| !t.is_finished());
        self.background.push(spawn("mgnode-snapshot", run)?);
        Ok(())
    }

    /// Removes large files, beside everything else. One that stays costs room and nothing more.
    fn tidy(&mut self, run: impl FnOnce() -> Result<(), DiskError> + Send + 'static) {
        let started = self.in_background(move || {
            if let Err(e) = run() {
                tracing::warn!("a file that is no longer needed stays: {e}");
            }
        });
        if let Err(e) = started {
            tracing::warn!("a file that is no longer needed stays: {e}");
        }
    }
}

impl DiskLane for Disk {
    fn write_wal(&mut self, record: CommitRecord, chain: u64) {
        self.records.push((record, chain));
    }

    fn sync_wal(&mut self, lsn: Lsn) {
        self.line.append(std::mem::take(&mut self.records), Some(lsn));
    }

    fn save_state(&mut self, id: u64, state: NodeState) {
        self.ask(Command::SaveState { id, state });
    }

    fn read_wal(&mut self, peer: PeerId, from: Lsn, bytes_max: usize) {
        // Past the writer: a replica that catches up must not cut the batches of commits short. What is on its
        // way to the file is in the engine's memory too, and not asked for.
        let Some(reads) = &self.reads else { return };
        if reads.send(reader::Request { peer, from, bytes_max }).is_err() {
            tracing::debug!("the reader of the log has stopped");
        }
    }

    fn write_snapshot(&mut self, header: SnapshotHeader, view: View) {
        let (store, inputs) = (self.snapshots.clone(), self.inputs.clone());
        let started = self.in_background(move || {
            let result = store.write(&header, view);
            if let Err(e) = &result {
                tracing::error!(lsn = %header.position.lsn, "a snapshot was not written: {e}");
            }
            inputs.send(Input::SnapshotWritten { result: result.map_err(|e| e.to_string()) });
        });
        if let Err(e) = started {
            self.inputs.send(Input::SnapshotWritten { result: Err(e.to_string()) });
        }
    }

    fn install_snapshot(&mut self, header: SnapshotHeader) {
        self.ask(Command::Install { header });
    }

    fn note_decided(&mut self, lsn: Lsn, is_first: bool) {
        if is_first {
            return self.ask(Command::NoteDecided { lsn });
        }
        // Here: to wake a thread would take longer, and readers wait for it.
        let input = match self.notes.lock().write(&self.directory, lsn, false) {
            Ok(()) => Input::DecidedNoted { lsn },
            Err(e) => {
                tracing::error!("it can no longer be noted what may be shown: {e}");
                Input::WalFailed { error: e.to_string() }
            }
        };
        self.inputs.send(input);
    }

    fn rewind(&mut self, to: Position) {
        self.ask(Command::Rewind { to });
    }

    fn drop_wal(&mut self, before: Lsn) {
        self.ask(Command::Drop { before });
    }

    fn drop_snapshot(&mut self, lsn: Lsn) {
        let store = self.snapshots.clone();
        self.tidy(move || store.drop_snapshot(lsn));
    }

    fn drop_partial(&mut self) {
        let store = self.snapshots.clone();
        self.tidy(move || store.drop_partial());
    }

    fn stop(&mut self) {
        // First, so that a writer that waits for room on a full disk waits no longer.
        self.stop_preparing = None;
        self.reads = None;
        let (done, stopped) = mpsc::channel();
        self.ask(Command::Stop { done });
        // An error means that the writer has ended already.
        let _ = stopped.recv();
        for thread in self.threads.drain(..).chain(self.background.drain(..)) {
            if thread.join().is_err() {
                tracing::error!("a thread of the disk ended in a panic");
            }
        }
    }
}

/// The segment that is written to, and its size.
type Live = (Arc<Segment>, u64);

/// Opens every segment that holds records; `live` says which one is written to, and its end.
fn segments(
    directory: &Directory,
    live: Option<(PathBuf, u64)>,
) -> Result<(Vec<Arc<Segment>>, Option<Live>), DiskError> {
    let mut segments = Vec::new();
    let mut live_segment = None;
    for (_, path) in directory.segment_paths()? {
        let end = live.as_ref().filter(|(live, _)| *live == path).map(|(_, end)| *end);
        let Some(segment) = Segment::open(path.clone(), end)? else { continue };
        let segment = Arc::new(segment);
        if end.is_some() {
            let bytes = segment.file.metadata().map_err(|e| DiskError::from_io("read", &path, &e))?.len();
            live_segment = Some((segment.clone(), bytes));
        }
        segments.push(segment);
    }
    Ok((segments, live_segment))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, DiskError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|e| DiskError::from_io("start a thread for", Path::new(name), &e))
}
