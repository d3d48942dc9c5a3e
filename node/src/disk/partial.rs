//! The part of a snapshot that has come in so far.
//!
//! `snapshots/incoming.part` holds the bytes, `snapshots/incoming.id` says of which file they are the
//! beginning (the head of [`SnapshotStream`]). A connection that ends leaves both, and so does a process; a
//! power cut may leave wrong bytes at the end, so a start keeps only blocks whose sums are right. What
//! comes on a stream without a head is of no known file and of no use once the stream has ended.

use super::directory::{Directory, rename, replace, sync_folder};
use super::file_source::FileSource;
use super::threads::Threads;
use super::{DiskError, Received};
use crate::memory::MemoryRoom;
use crate::quic::IncomingSnapshot;
use bytes::Bytes;
use mgnode_core::durability::{SnapshotDecoder, SnapshotHeader, SnapshotSource};
use mgnode_core::engine::GraphBuilder;
use mgnode_core::replication::SnapshotStream;
use mgnode_core::storage::Graph;
use mgnode_core::types::{Names, PartialSnapshot, SnapshotId};
use parking_lot::Mutex;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// What was written is synced that often, so that a power cut leaves most of it.
const SYNC_EVERY_BYTES: u64 = 16 << 20;
/// Most pieces that the system takes in one call.
const PIECES_MAX: usize = 1024;

/// Where the part lies, and how much of it there is.
#[derive(Debug)]
pub(super) struct Partial {
    directory: Arc<Directory>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Counts the streams; only the newest may write.
    stream: u64,
    /// `None` where nothing is there, or where it is of no known file.
    snapshot: Option<SnapshotId>,
    bytes: u64,
}

impl Partial {
    /// Looks at what the last life of the node left.
    pub(super) fn open(directory: Arc<Directory>) -> Result<Partial, DiskError> {
        let partial = Partial { directory, held: Mutex::default() };
        let held = match partial.read_id()? {
            Some(snapshot) => {
                Held { stream: 0, snapshot: Some(snapshot), bytes: partial.cut_to_sound(&snapshot)? }
            }
            None => Held::default(),
        };
        if held.bytes == 0 {
            partial.remove()?;
        } else {
            tracing::info!(bytes = held.bytes, "a part of a snapshot is kept from before");
            *partial.held.lock() = held;
        }
        Ok(partial)
    }

    /// Returns what is kept.
    pub(super) fn kept(&self) -> Option<PartialSnapshot> {
        let held = self.held.lock();
        let snapshot = held.snapshot?;
        Some(PartialSnapshot { snapshot, bytes: held.bytes })
    }

    /// Forgets it.
    pub(super) fn drop_all(&self) -> Result<(), DiskError> {
        let mut held = self.held.lock();
        *held = Held { stream: held.stream + 1, ..Held::default() };
        self.remove()
    }

    fn part(&self) -> PathBuf {
        self.directory.snapshots().join("incoming.part")
    }

    fn id(&self) -> PathBuf {
        self.directory.snapshots().join("incoming.id")
    }

    fn remove(&self) -> Result<(), DiskError> {
        for path in [self.id(), self.part()] {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(DiskError::from_io("remove", &path, &e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_id(&self) -> Result<Option<SnapshotId>, DiskError> {
        let path = self.id();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(DiskError::from_io("read", &path, &e)),
        };
        match SnapshotStream::decode(&bytes) {
            Ok(Some((SnapshotStream::Part { snapshot, .. }, _))) => Ok(Some(snapshot)),
            _ => {
                tracing::warn!(file = %path.display(), "it does not say of which snapshot a part is kept");
                Ok(None)
            }
        }
    }

    /// Cuts the part to its header and to blocks that are whole, and returns how long it is then.
    fn cut_to_sound(&self, snapshot: &SnapshotId) -> Result<u64, DiskError> {
        let path = self.part();
        let fail = |e: io::Error| DiskError::from_io("read", &path, &e);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(e) => return Err(fail(e)),
        };
        let mut decoder = SnapshotDecoder::default();
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        let sound = loop {
            match decoder.next_part() {
                Ok(Some(_)) => continue,
                Ok(None) => {}
                Err(_) => break decoder.offset(),
            }
            let length = file.read_at(&mut buffer, at).map_err(fail)?;
            if length == 0 {
                break decoder.offset();
            }
            at += length as u64;
            decoder.push(&buffer[..length]);
        };
        let sound = sound.min(snapshot.bytes);
        file.set_len(sound).map_err(fail)?;
        Ok(sound)
    }

    /// Makes ready for a stream.
    pub(super) fn receive(
        self: &Arc<Self>,
        stream: SnapshotStream,
        names: Arc<Names>,
        received: Received,
        memory: MemoryRoom,
    ) -> io::Result<Incoming> {
        let mut held = self.held.lock();
        let number = held.stream + 1;
        *held = match stream {
            SnapshotStream::Part { snapshot, offset }
                if held.snapshot == Some(snapshot) && offset <= held.bytes =>
            {
                Held { stream: number, snapshot: Some(snapshot), bytes: offset }
            }
            SnapshotStream::Part { snapshot, offset: 0 } => {
                self.remove().map_err(io::Error::other)?;
                let mut head = Vec::new();
                stream.encode(&mut head);
                replace(&self.id(), &head).map_err(|e| io::Error::other(e.error))?;
                Held { stream: number, snapshot: Some(snapshot), bytes: 0 }
            }
            SnapshotStream::Part { offset, .. } => {
                let message = format!("it goes on at byte {offset}, and what came before is not here");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            SnapshotStream::Plain => {
                self.remove().map_err(io::Error::other)?;
                Held { stream: number, snapshot: None, bytes: 0 }
            }
        };
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(self.part())?;
        file.set_len(held.bytes)?;
        file.seek(SeekFrom::Start(held.bytes))?;
        let partial = self.clone();
        let (unsynced, sync, header) = (0, None, None);
        Ok(Incoming { partial, stream: number, file, unsynced, sync, names, received, memory, header })
    }
}

/// A snapshot on its way in.
pub(super) struct Incoming {
    partial: Arc<Partial>,
    stream: u64,
    /// Written at its own place, which only this moves.
    file: File,
    /// Bytes that no sync was begun for.
    unsynced: u64,
    /// Beside the writing, which goes on.
    sync: Option<JoinHandle<io::Result<()>>>,
    names: Arc<Names>,
    received: Received,
    /// For the graph of it, beside the one that is there.
    memory: MemoryRoom,
    /// Known once it is loaded.
    header: Option<SnapshotHeader>,
}

impl Incoming {
    /// Does something with the part, as long as no later stream has taken it over.
    fn with_held<T>(&self, act: impl FnOnce(&mut Held) -> io::Result<T>) -> io::Result<T> {
        let mut held = self.partial.held.lock();
        if held.stream == self.stream {
            act(&mut held)
        } else {
            Err(io::Error::other("another stream has taken its place"))
        }
    }

    /// Syncs what was written so far, on a thread of its own.
    fn begin_sync(&mut self) -> io::Result<()> {
        let (file, partial) = (self.file.try_clone()?, self.partial.clone());
        let sync = move || {
            let begun = Instant::now();
            let synced = file.sync_all();
            match &synced {
                Ok(()) => {
                    let ms = begun.elapsed().as_millis();
                    tracing::debug!("what came of a snapshot so far was synced within {ms} ms");
                }
                Err(e) => {
                    // What is in the file now cannot be known, whoever goes on writing it.
                    tracing::error!("what came of a snapshot could not be synced: {e}");
                    partial.drop_all().map_err(io::Error::other)?;
                }
            }
            synced
        };
        self.sync = Some(std::thread::Builder::new().name("mgnode-snapshot-sync".to_owned()).spawn(sync)?);
        Ok(())
    }

    /// Waits for the sync under way, where there is one.
    fn end_sync(&mut self) -> io::Result<()> {
        match self.sync.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(synced)) => synced,
            Some(Err(_)) => Err(io::Error::other("a sync ended in a panic")),
        }
    }

    fn load_whole(&self) -> io::Result<(SnapshotId, SnapshotHeader, Arc<Graph>)> {
        let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
        let source = FileSource::new(self.file.try_clone()?)?;
        let announced = self.with_held(|held| Ok(held.snapshot))?;
        if let Some(snapshot) = announced
            && snapshot.bytes != source.bytes()
        {
            return Err(invalid(format!("{} bytes came of {}", source.bytes(), snapshot.bytes)));
        }
        let threads = Threads::new();
        let mut builder = GraphBuilder::new(self.names.clone(), &threads);
        let index = builder.load(&source).map_err(|e| invalid(e.to_string()))?;
        if announced.is_some_and(|snapshot| snapshot != index.id) {
            return Err(invalid("it is not the snapshot that was announced".to_owned()));
        }
        Ok((index.id, index.header, builder.graph()))
    }
}

impl IncomingSnapshot for Incoming {
    fn write(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        let bytes: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        let file = &self.file;
        self.with_held(|held| {
            if held.snapshot.is_some_and(|snapshot| held.bytes + bytes > snapshot.bytes) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than was announced"));
            }
            write_all(file, pieces)?;
            super::fail_point::reach("snapshot-half-received");
            held.bytes += bytes;
            Ok(())
        })?;
        self.unsynced += bytes;
        if self.unsynced >= SYNC_EVERY_BYTES && self.sync.as_ref().is_none_or(JoinHandle::is_finished) {
            self.unsynced = 0;
            self.end_sync()?;
            self.begin_sync()?;
        }
        Ok(())
    }

    fn load(&mut self) -> io::Result<(SnapshotId, SnapshotHeader, Arc<Graph>)> {
        let is_whole =
            |held: &mut Held| Ok(held.snapshot.is_none_or(|snapshot| held.bytes == snapshot.bytes));
        if !self.with_held(is_whole)? {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before all of it had come"));
        }
        // What came stays: with more memory, or less of an own graph, it is loaded as it is.
        self.memory.check_snapshot(self.file.metadata()?.len())?;
        // Nothing of it counts before it is synced; reading it need not wait for that.
        self.end_sync()?;
        self.begin_sync()?;
        let begun = Instant::now();
        let loaded = self.load_whole();
        self.end_sync()?;
        match loaded {
            Ok(loaded) => {
                tracing::info!(
                    position = %loaded.0.position,
                    "a snapshot from MAIN was checked and loaded in {} ms",
                    begun.elapsed().as_millis()
                );
                self.header = Some(loaded.1.clone());
                Ok(loaded)
            }
            Err(e) => {
                // What is damaged, or does not fit, would be so again.
                self.with_held(|held| {
                    *held = Held { stream: held.stream, ..Held::default() };
                    self.partial.remove().map_err(io::Error::other)
                })?;
                Err(e)
            }
        }
    }

    fn hand_over(self: Box<Self>) -> io::Result<()> {
        let header = self.header.clone().expect("only a loaded snapshot is handed over");
        let path = self.partial.directory.snapshots().join(format!("received-{}.tmp", self.stream));
        self.with_held(|held| {
            rename(&self.partial.part(), &path).map_err(io::Error::other)?;
            *held = Held { stream: held.stream, ..Held::default() };
            self.partial.remove().map_err(io::Error::other)?;
            sync_folder(&self.partial.directory.snapshots()).map_err(io::Error::other)
        })?;
        self.received.put(header, path);
        Ok(())
    }
}

/// Writes pieces as they came, small ones, without a call for each.
fn write_all(mut file: &File, pieces: &[Bytes]) -> io::Result<()> {
    for pieces in pieces.chunks(PIECES_MAX) {
        let mut slices: Vec<IoSlice> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = &mut slices[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match file.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut left, count),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}
