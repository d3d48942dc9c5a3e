//! Whether a record that is longer than a segment has room, asked before it gets a place in the log.
//!
//! A record that fits a segment always has room: one is prepared ahead of the log, see `segment`. A longer
//! one gets a segment of its own, made when it is written.

use mgnode_core::durability::{SEGMENT_HEADER_BYTES, frame_bytes};
use std::path::{Path, PathBuf};

/// The disk below a log.
#[derive(Clone, Debug)]
pub struct Room {
    folder: PathBuf,
    segment_bytes: u64,
}

impl Room {
    /// Returns the room of a data directory whose log has segments of so many bytes.
    pub fn new(folder: &Path, segment_bytes: u64) -> Room {
        Room { folder: folder.to_owned(), segment_bytes }
    }

    /// Returns true if a record with a payload of so many bytes has room, and a segment after it. Others may
    /// take it meanwhile: then the log waits for room.
    pub fn has(&self, payload_bytes: usize) -> bool {
        let needed = (SEGMENT_HEADER_BYTES + frame_bytes(payload_bytes)) as u64;
        if needed <= self.segment_bytes {
            return true;
        }
        match rustix::fs::statvfs(&self.folder) {
            Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) >= needed + self.segment_bytes,
            Err(e) => {
                tracing::warn!("the room left at `{}` is not known: {e}", self.folder.display());
                true
            }
        }
    }
}
