//! Segments of the WAL as files: prepared ahead, known to writer and reader alike.

use super::DiskError;
use super::directory::{Directory, remove, sync_folder};
use mgnode_core::durability::{SEGMENT_HEADER_BYTES, SegmentHeader};
use mgnode_core::engine::Input;
use mgnode_core::types::Lsn;
use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

static ZEROES: [u8; 256 << 10] = [0; 256 << 10];
/// How often a full disk is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Places of records that are remembered lie at least so far apart.
const MARK_EVERY_BYTES: u64 = 64 << 10;

/// A segment that holds records.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) first: Lsn,
    /// Where the last whole record ends.
    written: AtomicU64,
    /// Some records and where they begin, rising, so that a reader need not begin at the front.
    marks: Mutex<Vec<(Lsn, u64)>>,
}

impl Segment {
    pub(super) fn new(path: PathBuf, file: File, first: Lsn, written: u64) -> Segment {
        Segment { path, file, first, written: AtomicU64::new(written), marks: Mutex::default() }
    }

    /// Opens a segment that was there at the start; `written` is its end where that is known.
    pub(super) fn open(path: PathBuf, written: Option<u64>) -> Result<Option<Segment>, DiskError> {
        let fail = |e: io::Error| DiskError::from_io("open", &path, &e);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(fail)?;
        let mut head = Vec::new();
        (&file).take(SEGMENT_HEADER_BYTES as u64).read_to_end(&mut head).map_err(fail)?;
        let header = SegmentHeader::decode(&head)
            .map_err(|e| DiskError::Unusable { path: path.clone(), reason: e.to_string() })?;
        let length = file.metadata().map_err(fail)?.len();
        Ok(header.map(|h| Segment::new(path, file, h.first, written.unwrap_or(length))))
    }

    /// Returns where the last whole record ends.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Shows what was written to readers.
    pub(super) fn show(&self, end: u64) {
        self.written.store(end, Ordering::Release);
    }

    /// Remembers where a record begins.
    pub(super) fn mark(&self, lsn: Lsn, offset: u64) {
        let mut marks = self.marks.lock();
        let at = marks.partition_point(|(l, _)| *l < lsn);
        let far_before = at.checked_sub(1).is_none_or(|i| marks[i].1 + MARK_EVERY_BYTES <= offset);
        let far_behind = marks.get(at).is_none_or(|(_, o)| offset + MARK_EVERY_BYTES <= *o);
        if far_before && far_behind {
            marks.insert(at, (lsn, offset));
        }
    }

    /// Returns the last remembered place at or before a record.
    pub(super) fn nearest(&self, lsn: Lsn) -> Option<(Lsn, u64)> {
        let marks = self.marks.lock();
        marks.partition_point(|(l, _)| *l <= lsn).checked_sub(1).map(|i| marks[i])
    }
}

/// The segments that hold records, by rising LSN. The last is the one that is written to.
pub(super) type Catalog = Arc<Mutex<Vec<Arc<Segment>>>>;

/// A file of zeroes, ready to become a segment.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) sequence: u64,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) bytes: u64,
}

/// Writes a file of zeroes and makes it and its name last.
pub(super) fn prepare(directory: &Directory, sequence: u64, bytes: u64) -> Result<Spare, DiskError> {
    let path = directory.segment(sequence);
    let made = (|| {
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(&path)?;
        fill(&file, 0, bytes)?;
        file.sync_all()?;
        Ok(file)
    })();
    match made {
        Ok(file) => {
            sync_folder(&directory.wal())?;
            Ok(Spare { sequence, path, file, bytes })
        }
        Err(e) => {
            // Frees what there is; where even that fails, the next start removes it.
            let _ = std::fs::remove_file(&path);
            Err(DiskError::from_io("prepare", &path, &e))
        }
    }
}

/// Writes zeroes from `from` to `to`.
pub(super) fn fill(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).unwrap_or(usize::MAX).min(ZEROES.len());
        file.write_all_at(&ZEROES[..length], at)?;
        at += length as u64;
    }
    Ok(())
}

/// Makes everything in a segment last.
pub(super) fn sync(path: &Path) -> Result<(), DiskError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| DiskError::from_io("sync", path, &e))
}

/// Wipes what follows the last sound record of the segment that will be written to.
///
/// The file is cut and filled up again, so that a crash in between leaves one that ends at a sound
/// record; its header says meanwhile that the length is not known.
pub(super) fn wipe(path: &Path, from: u64) -> Result<(), DiskError> {
    let wiped = (|| {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut head = vec![0; SEGMENT_HEADER_BYTES];
        file.read_exact_at(&mut head, 0)?;
        let header = SegmentHeader::decode(&head).ok().flatten();
        let bytes = file.metadata()?.len().max(header.map_or(0, |h| h.bytes));
        let say_length = |bytes: u64| match header {
            Some(header) => file.write_all_at(&SegmentHeader { bytes, ..header }.encode(), 0),
            None => Ok(()),
        };
        say_length(0)?;
        file.sync_all()?;
        file.set_len(from)?;
        file.sync_all()?;
        super::fail_point::reach("repair-cut");
        fill(&file, from, bytes)?;
        file.sync_all()?;
        say_length(bytes)?;
        file.sync_all()
    })();
    wiped.map_err(|e| DiskError::from_io("repair", path, &e))
}

/// Prepares one spare segment after the other, always one ahead of the writer.
///
/// Says `WalSpace { enough: false }` when there is no room for one, and keeps trying: the writer
/// still has the segment that it writes to.
pub(super) fn keep_prepared(
    directory: Arc<Directory>,
    mut sequence: u64,
    bytes: u64,
    spares: mpsc::SyncSender<Spare>,
    stopped: mpsc::Receiver<()>,
    report: impl Fn(Input),
) {
    let mut enough = true;
    loop {
        match prepare(&directory, sequence, bytes) {
            Ok(spare) => {
                if !enough {
                    tracing::info!("there is room for the log again");
                    enough = true;
                    report(Input::WalSpace { enough });
                }
                if let Err(mpsc::SendError(spare)) = spares.send(spare) {
                    if let Err(e) = remove(&spare.path) {
                        tracing::debug!("{e}");
                    }
                    return;
                }
                sequence += 1;
            }
            Err(e) => {
                if enough {
                    tracing::error!("no room for the log, writes are refused: {e}");
                    enough = false;
                }
                // Again each time: a long record may have found room meanwhile.
                report(Input::WalSpace { enough });
                if !matches!(stopped.recv_timeout(RETRY), Err(mpsc::RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        }
    }
}
