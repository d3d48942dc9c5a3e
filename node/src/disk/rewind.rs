//! Cuts the log back to a record that the MAIN of this REPLICA has too, and loses nothing by it.
//!
//! 1. The graph is rebuilt from snapshots and log up to that record. Where that fails, nothing is cut.
//! 2. Records after it are copied to `diverged/EPOCH-LSN-TIME.wal`, a segment like any other; synced.
//! 3. The file `rewind` names the record. From that moment the rest does not count: whatever happens,
//!    [`complete`] brings the cut to its end, at once or at the next start.
//! 4. Later segments go, the one with the record is wiped after it, later snapshots move to `diverged/`,
//!    `rewind` goes.

use super::DiskError;
use super::decided::{self, Notes};
use super::directory::{self, Directory, read_if_there, remove, sync_folder};
use super::fail_point;
use super::file_source::FileSource;
use super::install::keep_aside;
use super::segment;
use super::threads::Threads;
use bytes::Bytes;
use mgnode_core::durability::{
    Files, LoggedRecord, OnDamage, SEGMENT_HEADER_BYTES, Scanner, SegmentHeader, SnapshotSource, put_frame,
};
use mgnode_core::engine::{Recovered, recover_node};
use mgnode_core::types::{Lsn, Names, NodeId, NodeState, Position};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// What is left after a cut.
pub(super) struct Rewound {
    pub(super) recovered: Recovered,
    /// The chain hash at the log's end, which may be after the last record that may be shown.
    pub(super) chain: u64,
    /// The segment that the log ends in now, and where; `None` where it ends with a snapshot.
    pub(super) live: Option<(PathBuf, u64)>,
}

/// Why a log was not cut.
pub(super) enum NotRewound {
    /// Nothing has changed.
    Refused(String),
    /// It is not known what is on the disk.
    Failed(DiskError),
}

impl From<DiskError> for NotRewound {
    fn from(error: DiskError) -> NotRewound {
        NotRewound::Failed(error)
    }
}

fn marker(directory: &Directory) -> PathBuf {
    directory.root().join("rewind")
}

/// Cuts the log, which ends with `end`, after `to`. Everything in it is synced and the writer holds no segment.
pub(super) fn rewind(
    directory: &Directory,
    names: Arc<Names>,
    node: NodeId,
    to: Position,
    end: Lsn,
) -> Result<Rewound, NotRewound> {
    let refused = |e: String| NotRewound::Refused(format!("the log cannot be cut back to {to}: {e}"));
    let (recovered, found) =
        recover_node(&mut UpTo { directory, to: to.lsn }, OnDamage::Refuse, names, &Threads::new(), || {
            NodeState::fresh(node)
        })
        .map_err(|e| refused(e.to_string()))?;
    let (last, chain) = found.as_ref().map_or((recovered.last, recovered.chain), |f| (f.last, f.chain));
    if last != to {
        return Err(refused(format!(
            "neither a snapshot nor the log reaches back that far (what is left ends at {last}); empty the data \
             directory and let the node catch up instead"
        )));
    }
    let header = SegmentHeader { node, sequence: 1, first: to.lsn.next(), chain, bytes: 0 };
    keep_tail(directory, to, end, &header).map_err(|e| refused(e.to_string()))?;
    fail_point::reach("rewind-kept");
    directory.replace(&marker(directory), to.to_string().as_bytes())?;
    fail_point::reach("rewind-marked");
    complete(directory)?;
    let live = found.and_then(|found| found.live).map(|(file, end)| (PathBuf::from(file), end));
    Ok(Rewound { recovered, chain, live })
}

/// Copies every record after `to` into a segment of its own. An error where one of them cannot be read: what
/// cannot be kept is not cut off.
fn keep_tail(directory: &Directory, to: Position, end: Lsn, header: &SegmentHeader) -> Result<(), DiskError> {
    let mut tail = Vec::new();
    for (_, segment) in directory.segment_paths()? {
        let after = records(&segment)?.into_iter().map(|(logged, _)| logged);
        tail.extend(after.filter(|logged| logged.record.lsn > to.lsn));
    }
    let is_whole = tail.iter().map(|logged| logged.record.lsn).eq((to.lsn.0 + 1..=end.0).map(Lsn));
    if !is_whole {
        let reason = format!(
            "records {} to {end}, to be kept aside, cannot all be read; save the directory whole instead \
             (`mgctl rejoin --wipe`)",
            to.lsn.next()
        );
        return Err(DiskError::Unusable { path: directory.wal(), reason });
    }

    let folder = directory.diverged()?;
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let path = (0..)
        .map(|n| {
            let copy = if n == 0 { String::new() } else { format!(".{n}") };
            folder.join(format!("{}-{}-{time}{copy}.wal", to.epoch, to.lsn))
        })
        .find(|path| !path.exists())
        .expect("numbers do not end");
    let fail = |e: std::io::Error| DiskError::from_io("write", &path, &e);
    let mut file = File::options().create_new(true).write(true).open(&path).map_err(fail)?;
    file.write_all(&header.encode()).map_err(fail)?;
    let (mut offset, mut frame) = (SEGMENT_HEADER_BYTES as u64, Vec::new());
    for logged in tail {
        frame.clear();
        put_frame(&mut frame, offset, &logged);
        file.write_all(&frame).map_err(fail)?;
        offset += frame.len() as u64;
    }
    file.sync_all().map_err(fail)?;
    sync_folder(&folder)?;
    tracing::warn!(kept = %path.display(), "the records after {to} are kept aside");
    Ok(())
}

/// Ends a cut that was begun. Does nothing where there is none.
pub(super) fn complete(directory: &Directory) -> Result<(), DiskError> {
    let marker = marker(directory);
    let Some(text) = read_if_there(&marker).map_err(|e| DiskError::from_io("read", &marker, &e))? else {
        return Ok(());
    };
    let to: Option<Position> = String::from_utf8(text).ok().and_then(|text| text.parse().ok());
    let Some(to) = to else {
        return Err(DiskError::Unusable { path: marker, reason: "it names no record".to_owned() });
    };
    // A later note would let records of the next branch pass for decided ones.
    if let Some(found) = decided::read(directory)?.filter(|found| found.lsn > to.lsn) {
        Notes::after(Some(found)).write(directory, to.lsn, true)?;
    }
    for (_, segment) in directory.segment_paths()?.into_iter().rev() {
        cut(&segment, to.lsn)?;
        fail_point::reach("rewind-half-cut");
    }
    sync_folder(&directory.wal())?;
    for (lsn, snapshot) in directory.snapshot_paths()? {
        if lsn > to.lsn {
            keep_aside(directory, &snapshot)?;
        }
    }
    sync_folder(&directory.snapshots())?;
    fail_point::reach("rewind-cut");
    remove(&marker)?;
    fail_point::reach("rewind-done");
    sync_folder(directory.root())
}

/// Removes a segment that begins after `to`; wipes what follows `to` in one that holds more.
fn cut(path: &Path, to: Lsn) -> Result<(), DiskError> {
    let Some(header) = read_header(path)? else { return Ok(()) };
    if header.first > to {
        return remove(path);
    }
    match records(path)?.into_iter().find(|(logged, _)| logged.record.lsn > to) {
        Some((_, offset)) => segment::wipe(path, offset),
        None => Ok(()),
    }
}

fn read_header(path: &Path) -> Result<Option<SegmentHeader>, DiskError> {
    let fail = |e: std::io::Error| DiskError::from_io("read", path, &e);
    let mut head = Vec::new();
    File::open(path).map_err(fail)?.take(SEGMENT_HEADER_BYTES as u64).read_to_end(&mut head).map_err(fail)?;
    SegmentHeader::decode(&head)
        .map_err(|e| DiskError::Unusable { path: path.to_owned(), reason: e.to_string() })
}

/// Returns the sound records of a segment and where each begins.
fn records(path: &Path) -> Result<Vec<(LoggedRecord, u64)>, DiskError> {
    let bytes = fs::read(path).map_err(|e| DiskError::from_io("read", path, &e))?;
    let scanner = Scanner::new(bytes.into())
        .map_err(|e| DiskError::Unusable { path: path.to_owned(), reason: e.to_string() })?;
    let Some(mut scanner) = scanner else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    loop {
        let offset = scanner.offset();
        match scanner.next_record() {
            Ok(logged) => found.push((logged, offset)),
            Err(_) => return Ok(found),
        }
    }
}

/// A data directory as if nothing had been written after a record.
struct UpTo<'a> {
    directory: &'a Directory,
    to: Lsn,
}

impl Files for UpTo<'_> {
    fn state(&mut self) -> Result<Option<Vec<u8>>, String> {
        (&mut &*self.directory as &mut dyn Files).state()
    }

    fn decided(&mut self) -> Result<Option<Vec<u8>>, String> {
        (&mut &*self.directory as &mut dyn Files).decided()
    }

    fn snapshots(&mut self) -> Result<Vec<String>, String> {
        let paths = self.directory.snapshot_paths().map_err(|e| e.to_string())?;
        let before = paths.iter().rev().filter(|(lsn, _)| *lsn <= self.to);
        Ok(before.map(|(_, path)| directory::text(path)).collect())
    }

    fn open_snapshot(&mut self, name: &str) -> Result<Box<dyn SnapshotSource + '_>, String> {
        let file = File::open(name).and_then(FileSource::new).map_err(|e| e.to_string())?;
        Ok(Box::new(file))
    }

    fn segments(&mut self) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for (_, path) in self.directory.segment_paths().map_err(|e| e.to_string())? {
            let header = read_header(&path).map_err(|e| e.to_string())?;
            if header.is_some_and(|header| header.first <= self.to) {
                names.push(directory::text(&path));
            }
        }
        Ok(names)
    }

    fn read_segment(&mut self, name: &str, bytes_max: usize) -> Result<Bytes, String> {
        let bytes = (&mut &*self.directory as &mut dyn Files).read_segment(name, bytes_max)?;
        if bytes.len() <= SEGMENT_HEADER_BYTES {
            return Ok(bytes);
        }
        let found = records(Path::new(name)).map_err(|e| e.to_string())?;
        let after = found.into_iter().find(|(logged, _)| logged.record.lsn > self.to);
        Ok(match after {
            Some((_, offset)) => {
                // As long as its header says, and not written from there on.
                let end = usize::try_from(offset).unwrap_or(bytes.len()).min(bytes.len());
                let mut until = bytes[..end].to_vec();
                until.resize(bytes.len(), 0);
                until.into()
            }
            None => bytes,
        })
    }
}
