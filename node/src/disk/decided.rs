//! The file `decided` on a real disk, see `mgnode_core::durability`.
//!
//! A note is written by whoever has the engine's turn, beside the writer of the log: it says what may be shown, and
//! readers wait for it. Only the first one is synced, by the writer, before the first record that it could hold back.

use super::DiskError;
use super::directory::{Directory, read_if_there, sync_folder};
use super::fail_point;
use mgnode_core::durability::{DECIDED_SLOT_BYTES, Decided, decode_decided};
use mgnode_core::types::Lsn;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

/// Writes notes, the one after the other, into slots that take turns.
#[derive(Debug)]
pub(super) struct Notes {
    next: u64,
    file: Option<File>,
}

impl Notes {
    /// Goes on after the newest note that recovery found.
    pub(super) fn after(found: Option<Decided>) -> Notes {
        Notes { next: found.map_or(0, |note| note.number + 1), file: None }
    }

    /// Goes on after the newest note of the file. A number is not used twice: torn, the second one with it would
    /// leave the note before the first.
    pub(super) fn open(directory: &Directory) -> Result<Notes, DiskError> {
        read(directory).map(Notes::after)
    }

    /// Notes that the log may be shown up to `lsn`; with `sync`, for good.
    pub(super) fn write(&mut self, directory: &Directory, lsn: Lsn, sync: bool) -> Result<(), DiskError> {
        let path = directory.decided();
        let fail = |e: std::io::Error| DiskError::from_io("write", &path, &e);
        let note = Decided { number: self.next, lsn };
        let file = match &mut self.file {
            Some(file) => file,
            empty => {
                let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
                empty.insert(file.map_err(fail)?)
            }
        };
        fail_point::reach("decided-due");
        file.write_all_at(&note.encode(), (note.slot() * DECIDED_SLOT_BYTES) as u64).map_err(fail)?;
        fail_point::reach("decided-written");
        self.next += 1;
        if sync {
            file.sync_data().map_err(fail)?;
            sync_folder(directory.root())?;
            fail_point::reach("decided-synced");
        }
        Ok(())
    }
}

/// Returns the newest note of the file.
pub(super) fn read(directory: &Directory) -> Result<Option<Decided>, DiskError> {
    let path = directory.decided();
    let bytes = read_if_there(&path).map_err(|e| DiskError::from_io("read", &path, &e))?;
    let note = bytes.map_or(Ok(None), |bytes| decode_decided(&bytes));
    note.map_err(|e| DiskError::Unusable { path, reason: e.to_string() })
}
