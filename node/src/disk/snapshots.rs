//! Snapshots as files: written, read back, taken in from a peer, and not kept for ever.

use super::directory::{Directory, remove, rename, sync_folder};
use super::{DiskError, Received};
use crate::quic::{IncomingSnapshot, Snapshots};
use bytes::Bytes;
use mgnode_core::durability::{Rebuild, SnapshotDecoder, SnapshotEncoder, SnapshotPart, read_snapshot};
use mgnode_core::engine::{GraphBuilder, SnapshotHeader};
use mgnode_core::storage::{Graph, View};
use mgnode_core::types::Names;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes, sends and takes in snapshots.
pub struct SnapshotStore {
    directory: Arc<Directory>,
    names: Arc<Names>,
    /// Only for its codec: names are shared by all graphs of a process.
    codec: Graph,
    kept: usize,
    pub(super) received: Received,
    next_temporary: AtomicU64,
}

impl SnapshotStore {
    pub(super) fn new(directory: Arc<Directory>, names: Arc<Names>, kept: usize, received: Received) -> Self {
        let codec = Graph::new(names.clone());
        SnapshotStore {
            directory,
            names,
            codec,
            kept: kept.max(1),
            received,
            next_temporary: AtomicU64::new(0),
        }
    }

    fn temporary(&self) -> PathBuf {
        let n = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        self.directory.snapshots().join(format!("{n}.tmp"))
    }

    /// Writes a snapshot, reads it back once, and only then gives it its name. Blocks.
    pub(super) fn write(&self, header: &SnapshotHeader, view: View) -> Result<(), DiskError> {
        let temporary = self.temporary();
        let written = self.write_to(&temporary, header, view);
        if let Err(e) = written {
            // The next start removes what cannot be removed now.
            let _ = fs::remove_file(&temporary);
            return Err(e);
        }
        rename(&temporary, &self.directory.snapshot(header.position.lsn))?;
        sync_folder(&self.directory.snapshots())?;
        self.drop_old()
    }

    fn write_to(&self, path: &std::path::Path, header: &SnapshotHeader, view: View) -> Result<(), DiskError> {
        let fail = |e: io::Error| DiskError::from_io("write", path, &e);
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(fail)?);
        self.encode(header, view, &mut |piece| file.write_all(&piece)).map_err(fail)?;
        file.into_inner().map_err(|e| fail(e.into_error()))?.sync_all().map_err(fail)?;
        let mut file = File::open(path).map_err(fail)?;
        let unusable = |reason: String| DiskError::Unusable { path: path.to_owned(), reason };
        let found = read_snapshot(&mut file, |_| Ok(())).map_err(|e| unusable(e.to_string()))?;
        if found != *header {
            return Err(unusable("it does not say what was written".to_owned()));
        }
        Ok(())
    }

    fn drop_old(&self) -> Result<(), DiskError> {
        let paths = self.directory.snapshot_paths()?;
        for (_, path) in &paths[..paths.len().saturating_sub(self.kept)] {
            remove(path)?;
        }
        sync_folder(&self.directory.snapshots())
    }
}

impl Snapshots for SnapshotStore {
    fn encode(
        &self,
        header: &SnapshotHeader,
        mut view: View,
        sink: &mut dyn FnMut(Bytes) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut out = Vec::new();
        let mut encoder = SnapshotEncoder::new(header, &mut out);
        sink(std::mem::take(&mut out).into())?;
        while let Some(changes) = view.next_block() {
            encoder.block(&self.codec.encode(&changes), &mut out);
            sink(std::mem::take(&mut out).into())?;
        }
        encoder.finish(&mut out);
        sink(out.into())
    }

    fn receive(&self) -> io::Result<Box<dyn IncomingSnapshot>> {
        let path = self.temporary();
        let file = File::create(&path)?;
        let mut builder = GraphBuilder::new(self.names.clone());
        builder.begin();
        Ok(Box::new(Incoming {
            path: Some(path),
            file,
            decoder: SnapshotDecoder::default(),
            header: None,
            builder,
            received: self.received.clone(),
        }))
    }
}

/// A snapshot on its way in: to a file, for its installation, and to a graph.
struct Incoming {
    /// Taken when it goes over to `received`.
    path: Option<PathBuf>,
    file: File,
    decoder: SnapshotDecoder,
    header: Option<SnapshotHeader>,
    builder: GraphBuilder,
    received: Received,
}

fn invalid(reason: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}

impl IncomingSnapshot for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.decoder.push(bytes);
        while let Some(part) = self.decoder.next_part().map_err(invalid)? {
            match part {
                SnapshotPart::Header(header) => self.header = Some(header),
                SnapshotPart::Block(payload) => self.builder.block(payload).map_err(invalid)?,
                SnapshotPart::End => {}
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<(SnapshotHeader, Arc<Graph>)> {
        self.decoder.finish().map_err(invalid)?;
        let header = self.header.take().expect("a whole snapshot begins with its header");
        self.builder.snapshot_ends(&header).map_err(invalid)?;
        self.file.sync_all()?;
        let path = self.path.take().expect("it is taken only here");
        self.received.put(header.clone(), path);
        Ok((header, self.builder.graph()))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(path) = self.path.take()
            && let Err(e) = fs::remove_file(&path)
        {
            tracing::warn!(file = %path.display(), "an unfinished snapshot stays until the next start: {e}");
        }
    }
}
