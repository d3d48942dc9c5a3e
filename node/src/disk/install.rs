//! A snapshot from a peer takes the place of everything that a node had.
//!
//! The whole, synced file is renamed to `install.snap`: from that moment the node's old log and
//! snapshots do not count. Whatever happens then, [`complete`] brings it to its end, at once or
//! at the next start.

use super::DiskError;
use super::directory::{Directory, remove, rename, sync_folder};
use super::fail_point;
use mgnode_core::durability::{Scanner, SegmentHeader, SnapshotDecoder, SnapshotHeader, SnapshotPart};
use mgnode_core::types::{History, Lsn};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

fn marked(directory: &Directory) -> PathBuf {
    directory.snapshots().join("install.snap")
}

/// Makes a received snapshot this node's own.
pub(super) fn install(directory: &Directory, received: &Path) -> Result<(), DiskError> {
    fail_point::reach("snapshot-received");
    rename(received, &marked(directory))?;
    fail_point::reach("install-begun");
    sync_folder(&directory.snapshots())?;
    complete(directory)
}

/// Ends an installation that was begun. Does nothing where there is none.
pub(super) fn complete(directory: &Directory) -> Result<(), DiskError> {
    let marked = marked(directory);
    if !marked.exists() {
        return Ok(());
    }
    let header = read_header(&marked)?;
    for (_, path) in directory.segment_paths()? {
        put_away(directory, &path, &header.history, header.position.lsn)?;
        fail_point::reach("install-half-done");
    }
    sync_folder(&directory.wal())?;
    for (_, path) in directory.snapshot_paths()? {
        remove(&path)?;
    }
    fail_point::reach("install-cleared");
    rename(&marked, &directory.snapshot(header.position.lsn))?;
    sync_folder(&directory.snapshots())
}

fn read_header(path: &Path) -> Result<SnapshotHeader, DiskError> {
    let mut file = File::open(path).map_err(|e| DiskError::from_io("read", path, &e))?;
    let mut decoder = SnapshotDecoder::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let damaged = |reason: String| DiskError::Unusable { path: path.to_owned(), reason };
        match decoder.next_part() {
            Ok(Some(SnapshotPart::Header(header))) => return Ok(header),
            Ok(_) => {}
            Err(e) => return Err(damaged(e.to_string())),
        }
        match file.read(&mut buffer) {
            Ok(0) => return Err(damaged("it ends inside its header".to_owned())),
            Ok(length) => decoder.push(&buffer[..length]),
            Err(e) => return Err(DiskError::from_io("read", path, &e)),
        }
    }
}

/// Removes a segment whose records the new history holds; keeps one that has others, and leaves
/// alone one that was only prepared.
fn put_away(directory: &Directory, path: &Path, history: &History, last: Lsn) -> Result<(), DiskError> {
    let bytes = fs::read(path).map_err(|e| DiskError::from_io("read", path, &e))?;
    if matches!(SegmentHeader::decode(&bytes), Ok(None)) {
        return Ok(());
    }
    if holds_nothing_else(bytes, history, last) {
        return remove(path);
    }
    keep_aside(directory, path)
}

/// Moves a segment to the folder of logs that were cut off.
pub(super) fn keep_aside(directory: &Directory, path: &Path) -> Result<(), DiskError> {
    let folder = directory.diverged()?;
    let name = path.file_name().expect("a segment has a name").to_string_lossy().into_owned();
    // Never over one that is there already.
    let free = (0..)
        .map(|n| folder.join(if n == 0 { name.clone() } else { format!("{name}.{n}") }))
        .find(|p| !p.exists())
        .expect("numbers do not end");
    tracing::warn!(segment = %path.display(), kept = %free.display(), "a part of the log is kept aside");
    rename(path, &free)?;
    sync_folder(&folder)
}

fn holds_nothing_else(bytes: Vec<u8>, history: &History, last: Lsn) -> bool {
    let Ok(Some(mut scanner)) = Scanner::new(bytes.into()) else { return false };
    while let Ok(logged) = scanner.next_record() {
        let record = logged.record;
        if record.lsn > last || history.epoch_of(record.lsn) != Some(record.epoch) {
            return false;
        }
    }
    true
}
