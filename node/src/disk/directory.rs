//! The data directory: where each file is, who holds it, and how a file is replaced for good.

use super::DiskError;
use super::file_source::FileSource;
use bytes::Bytes;
use mgnode_core::durability;
use mgnode_core::types::Lsn;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The files of one node, held against other processes as long as this lives.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    /// Locked; the lock ends with the handle, and so with the process, however it ends.
    _lock: File,
}

impl Directory {
    /// Opens a data directory, making it where it is missing, and waits up to `lock_wait` for
    /// another process to leave it.
    pub fn open(root: &Path, lock_wait: Duration) -> Result<Directory, DiskError> {
        let fail = |path: &Path, e: io::Error| DiskError::from_io("use data directory", path, &e);
        for path in [root.to_owned(), root.join("wal"), root.join("snapshots")] {
            fs::create_dir_all(&path).map_err(|e| fail(&path, e))?;
        }
        let path = root.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| fail(&path, e))?;
        let deadline = Instant::now() + lock_wait;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(fs::TryLockError::WouldBlock) => {
                    let holder = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
                    return Err(DiskError::InUse { directory: root.to_owned(), holder });
                }
                Err(fs::TryLockError::Error(e)) => return Err(fail(&path, e)),
            }
        }
        let directory = Directory { root: root.to_owned(), _lock: lock };
        directory.write_holder(&path).map_err(|e| fail(&path, e))?;
        directory.remove_temporary()?;
        directory.sync_root()?;
        super::install::complete(&directory)?;
        super::rewind::complete(&directory)?;
        Ok(directory)
    }

    fn write_holder(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
        writeln!(file, "{}", std::process::id())
    }

    /// What was not finished before the last end has no name that counts.
    fn remove_temporary(&self) -> Result<(), DiskError> {
        for folder in [self.root.clone(), self.snapshots()] {
            for path in list(&folder)? {
                if path.extension().is_some_and(|e| e == "tmp") {
                    remove(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Makes the folders themselves last.
    fn sync_root(&self) -> Result<(), DiskError> {
        sync_folder(&self.root)?;
        match self.root.parent() {
            // A relative path of one part has the empty path as its parent.
            Some(parent) if parent.as_os_str().is_empty() => sync_folder(Path::new(".")),
            Some(parent) => sync_folder(parent),
            None => Ok(()),
        }
    }

    /// Returns the directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn wal(&self) -> PathBuf {
        self.root.join("wal")
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(super) fn decided(&self) -> PathBuf {
        self.root.join("decided")
    }

    pub(super) fn segment(&self, sequence: u64) -> PathBuf {
        self.wal().join(format!("{sequence:016}.wal"))
    }

    pub(super) fn snapshot(&self, lsn: Lsn) -> PathBuf {
        self.root.join(super::snapshots::snapshot_path(lsn))
    }

    /// Returns the folder of logs that were cut off, making it where it is missing.
    pub(super) fn diverged(&self) -> Result<PathBuf, DiskError> {
        let path = self.root.join("diverged");
        fs::create_dir_all(&path).map_err(|e| DiskError::from_io("make", &path, &e))?;
        sync_folder(&self.root)?;
        Ok(path)
    }

    /// Returns the segments by rising sequence.
    pub(super) fn segment_paths(&self) -> Result<Vec<(u64, PathBuf)>, DiskError> {
        numbered(&self.wal(), "wal")
    }

    /// Returns the snapshots by rising LSN.
    pub(super) fn snapshot_paths(&self) -> Result<Vec<(Lsn, PathBuf)>, DiskError> {
        Ok(numbered(&self.snapshots(), "snap")?.into_iter().map(|(n, path)| (Lsn(n), path)).collect())
    }

    /// Replaces the state file. An error with `sure` leaves the old one in place.
    pub(super) fn save_state(&self, bytes: &[u8]) -> Result<(), Replace> {
        replace(&self.state(), bytes)
    }

    /// Replaces a small file as a whole.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        replace(path, bytes).map_err(|e| e.error)
    }
}

/// Why a file was not replaced.
#[derive(Debug)]
pub(super) struct Replace {
    pub(super) error: DiskError,
    /// The old file still stands, now and after a power cut.
    pub(super) sure: bool,
}

/// Replaces a file as a whole, for good.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Replace> {
    let temporary = path.with_extension("tmp");
    let sure = |error| Replace { error, sure: true };
    let written = (|| {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    })();
    if let Err(e) = written {
        let error = DiskError::from_io("write", path, &e);
        // It never gets another name; what is left of it goes at the next start.
        let _ = fs::remove_file(&temporary);
        return Err(sure(error));
    }
    super::fail_point::reach("state-written");
    fs::rename(&temporary, path).map_err(|e| sure(DiskError::from_io("replace", path, &e)))?;
    super::fail_point::reach("state-named");
    let folder = path.parent().expect("a file in the data directory");
    sync_folder(folder).map_err(|error| Replace { error, sure: false })
}

pub(super) fn sync_folder(path: &Path) -> Result<(), DiskError> {
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| DiskError::from_io("sync", path, &e))
}

pub(super) fn remove(path: &Path) -> Result<(), DiskError> {
    fs::remove_file(path).map_err(|e| DiskError::from_io("remove", path, &e))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), DiskError> {
    fs::rename(from, to).map_err(|e| DiskError::from_io("rename", from, &e))
}

pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let fail = |e: io::Error| DiskError::from_io("read", folder, &e);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        paths.push(entry.map_err(fail)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Files named by a number; others are not ours and are left alone.
fn numbered(folder: &Path, extension: &str) -> Result<Vec<(u64, PathBuf)>, DiskError> {
    let mut found = Vec::new();
    for path in list(folder)? {
        let number = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok());
        if let Some(number) = number
            && path.extension().is_some_and(|e| e == extension)
        {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

pub(super) fn text(path: &Path) -> String {
    path.display().to_string()
}

pub(super) fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Names are whole paths.
impl durability::Files for &Directory {
    fn state(&mut self) -> Result<Option<Vec<u8>>, String> {
        read_if_there(&Directory::state(self)).map_err(|e| e.to_string())
    }

    fn decided(&mut self) -> Result<Option<Vec<u8>>, String> {
        read_if_there(&Directory::decided(self)).map_err(|e| e.to_string())
    }

    fn snapshots(&mut self) -> Result<Vec<String>, String> {
        let paths = self.snapshot_paths().map_err(|e| e.to_string())?;
        Ok(paths.iter().rev().map(|(_, path)| text(path)).collect())
    }

    fn open_snapshot(&mut self, name: &str) -> Result<Box<dyn durability::SnapshotSource + '_>, String> {
        let file = File::open(name).and_then(FileSource::new).map_err(|e| e.to_string())?;
        Ok(Box::new(file))
    }

    fn segments(&mut self) -> Result<Vec<String>, String> {
        let paths = self.segment_paths().map_err(|e| e.to_string())?;
        Ok(paths.iter().map(|(_, path)| text(path)).collect())
    }

    fn read_segment(&mut self, name: &str, bytes_max: usize) -> Result<Bytes, String> {
        let read = || {
            let file = File::open(name)?;
            let length = file.metadata()?.len().min(bytes_max as u64);
            let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
            file.take(bytes_max as u64).read_to_end(&mut bytes)?;
            io::Result::Ok(Bytes::from(bytes))
        };
        read().map_err(|e| e.to_string())
    }
}
