//! Snapshots as files: written, read back, taken in from a peer, and not kept for ever.

use super::directory::{Directory, remove, rename, sync_folder};
use super::fail_point;
use super::file_source::FileSource;
use super::partial::Partial;
use super::threads::Threads;
use super::{DiskError, Received};
use crate::background::{Background, Kind};
use crate::memory::MemoryRoom;
use crate::quic::{IncomingSnapshot, Snapshots};
use mgnode_core::durability::{SnapshotEncoder, SnapshotIndex, SnapshotSource, Unreadable, read_snapshot};
use mgnode_core::engine::SnapshotHeader;
use mgnode_core::replication::SnapshotStream;
use mgnode_core::storage::{Graph, LoadError, View};
use mgnode_core::types::{Lsn, Names, PartialSnapshot, SnapshotId};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// A snapshot file, for those who look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Beside the data directory's other files, as `CREATE SNAPSHOT` tells it.
    pub path: String,
    /// `ts` of the last record in it.
    pub ts: u64,
    /// When it was written.
    pub written: SystemTime,
    pub bytes: u64,
}

/// Returns the snapshots of a data directory, oldest first. One that goes away meanwhile, or that nobody could load,
/// is not among them. Blocks.
pub fn list_snapshots(root: &Path) -> io::Result<Vec<SnapshotFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("snapshots"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "snap") {
            continue;
        }
        let Ok(file) = File::open(&path) else { continue };
        let written = file.metadata()?.modified()?;
        let source = FileSource::new(file)?;
        let Ok(index) = SnapshotIndex::read(&source) else { continue };
        let path = snapshot_path(index.id.lsn());
        found.push(SnapshotFile { path, ts: index.header.ts, written, bytes: source.bytes() });
    }
    // Their names begin with a number of fixed width.
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Returns the name of a snapshot's file within the data directory.
pub fn snapshot_path(lsn: Lsn) -> String {
    format!("snapshots/{:020}.snap", lsn.0)
}

/// Whether a path within the data directory is that of a snapshot.
pub(crate) fn is_snapshot_path(path: &Path) -> bool {
    let number = path.to_str().and_then(|path| path.strip_prefix("snapshots/")?.strip_suffix(".snap"));
    number.is_some_and(|digits| digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Why the graph of a snapshot was not loaded.
#[derive(Debug)]
pub(crate) enum LoadFailure {
    /// It was asked to stop.
    Stopped,
    Unreadable(Unreadable),
}

impl From<Unreadable> for LoadFailure {
    fn from(error: Unreadable) -> LoadFailure {
        LoadFailure::Unreadable(error)
    }
}

/// A snapshot file whose head and foot are sound.
pub(crate) struct SnapshotReader {
    source: FileSource,
    index: SnapshotIndex,
}

impl SnapshotReader {
    /// Reads head and foot of a file.
    pub(crate) fn open(file: File) -> Result<SnapshotReader, Unreadable> {
        let source = FileSource::new(file)?;
        let index = SnapshotIndex::read(&source)?;
        Ok(SnapshotReader { source, index })
    }

    /// Returns the bytes of all its blocks.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.index.payload_bytes()
    }

    /// Checks the file and returns its graph, which nobody else has. Blocks; asks before each block whether to stop.
    pub(crate) fn load(
        &self,
        names: Arc<Names>,
        is_stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Arc<Graph>, LoadFailure> {
        self.index.check_digest(&self.source)?;
        let graph = Graph::new(names);
        let read = |block: usize| match is_stopped() {
            true => Err(LoadFailure::Stopped),
            false => Ok(self.index.block(&self.source, block)?),
        };
        graph.load(self.index.blocks(), &read, &Threads::new()).map_err(|error| match error {
            LoadError::Read(why) => why,
            LoadError::DoesNotFit(what) => Unreadable::DoesNotFit(what).into(),
        })?;
        graph.publish(self.index.id.lsn(), self.index.header.ts);
        Ok(Arc::new(graph))
    }
}

/// Writes, sends and takes in snapshots.
pub struct SnapshotStore {
    directory: Arc<Directory>,
    names: Arc<Names>,
    /// Only for its codec: names are shared by all graphs of a process.
    codec: Graph,
    pub(super) received: Received,
    partial: Arc<Partial>,
    memory: MemoryRoom,
    background: Arc<Background>,
    next_temporary: AtomicU64,
}

impl SnapshotStore {
    pub(super) fn new(
        directory: Arc<Directory>,
        names: Arc<Names>,
        received: Received,
        partial: Arc<Partial>,
        memory: MemoryRoom,
        background: Arc<Background>,
    ) -> Self {
        let codec = Graph::new(names.clone());
        SnapshotStore {
            directory,
            names,
            codec,
            received,
            partial,
            memory,
            background,
            next_temporary: AtomicU64::new(0),
        }
    }

    fn temporary(&self) -> PathBuf {
        let n = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        self.directory.snapshots().join(format!("{n}.tmp"))
    }

    /// Writes a snapshot, reads it back once, and only then gives it its name. Blocks.
    pub(super) fn write(&self, header: &SnapshotHeader, view: View) -> Result<SnapshotId, DiskError> {
        let _under_way = self.background.begin(Kind::Snapshot);
        let temporary = self.temporary();
        let written = self.write_to(&temporary, header, view);
        if written.is_err() {
            // The next start removes what cannot be removed now.
            let _ = fs::remove_file(&temporary);
        }
        let id = written?;
        fail_point::reach("snapshot-written");
        rename(&temporary, &self.directory.snapshot(header.position.lsn))?;
        fail_point::reach("snapshot-named");
        sync_folder(&self.directory.snapshots())?;
        Ok(id)
    }

    fn write_to(
        &self,
        path: &std::path::Path,
        header: &SnapshotHeader,
        view: View,
    ) -> Result<SnapshotId, DiskError> {
        let fail = |e: io::Error| DiskError::from_io("write", path, &e);
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(fail)?);
        let id = self.encode(header, view, &mut file).map_err(fail)?;
        file.into_inner().map_err(|e| fail(e.into_error()))?.sync_all().map_err(fail)?;
        let file = File::open(path).and_then(FileSource::new).map_err(fail)?;
        let unusable = |reason: String| DiskError::Unusable { path: path.to_owned(), reason };
        let found = read_snapshot(&file, |_| Ok(())).map_err(|e| unusable(e.to_string()))?;
        if found.header != *header || found.id != id {
            return Err(unusable("it does not say what was written".to_owned()));
        }
        Ok(id)
    }

    fn encode(
        &self,
        header: &SnapshotHeader,
        mut view: View,
        file: &mut dyn Write,
    ) -> io::Result<SnapshotId> {
        let mut out = Vec::new();
        let mut encoder = SnapshotEncoder::new(header, &mut out);
        while let Some(changes) = view.next_block() {
            encoder.block(&self.codec.encode(&changes), &mut out);
            file.write_all(&out)?;
            fail_point::reach("snapshot-half-written");
            out.clear();
        }
        let (bytes, digest) = encoder.finish(&mut out);
        file.write_all(&out)?;
        Ok(header.id(bytes, digest))
    }

    /// Removes a snapshot file. Blocks.
    pub(super) fn drop_snapshot(&self, lsn: Lsn) -> Result<(), DiskError> {
        remove(&self.directory.snapshot(lsn))?;
        sync_folder(&self.directory.snapshots())
    }

    /// Forgets what is kept of a snapshot. Blocks.
    pub(super) fn drop_partial(&self) -> Result<(), DiskError> {
        self.partial.drop_all()
    }
}

impl Snapshots for SnapshotStore {
    fn open(&self, snapshot: &SnapshotId) -> io::Result<Arc<dyn SnapshotSource + Send>> {
        let file = FileSource::new(File::open(self.directory.snapshot(snapshot.lsn()))?)?;
        let found = SnapshotIndex::read(&file).map_err(io::Error::other)?;
        if found.id != *snapshot {
            return Err(io::Error::other("another snapshot file has taken its place"));
        }
        fail_point::reach("snapshot-opened");
        Ok(Arc::new(file))
    }

    fn receive(&self, stream: SnapshotStream) -> io::Result<Box<dyn IncomingSnapshot>> {
        let (names, received) = (self.names.clone(), self.received.clone());
        Ok(Box::new(self.partial.receive(stream, names, received, self.memory.clone())?))
    }

    fn kept(&self) -> Option<PartialSnapshot> {
        self.partial.kept()
    }
}
