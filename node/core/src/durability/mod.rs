//! WAL, snapshots, the state file and recovery, as pure codecs and rules over bytes.
//!
//! A commit is here an opaque payload with its place in the log. Three kinds of file hold all that a
//! node knows: the state file (who it is, whom it obeys), segments of the WAL (every commit, in
//! order), snapshots (the whole graph at one position, so that older WAL may go). Each begins with
//! eight bytes that name it and a version; each format is described byte by byte at the head of its
//! file here. A reader understands every released version; a newer one is refused by name.
//!
//! What is not here: files, threads and time (the node's disk room), and the decision when to sync,
//! to take a snapshot or to drop WAL (the engine).

mod bytes;
mod decided;
mod record;
mod recovery;
mod snapshot;
mod state;
#[cfg(test)]
mod testing;
mod wal;

pub use decided::{DECIDED_SLOT_BYTES, Decided, DecidedError, decode_decided};
pub use record::{
    FRAME_HEADER_BYTES, LoggedRecord, PAYLOAD_BYTES_MAX, Parsed, frame_bytes, parse_record, put_frame,
};
pub use recovery::{Applied, Files, Found, OnDamage, Rebuild, RecoveryError, Tail, read_snapshot, recover};
pub use snapshot::{
    SnapshotDecoder, SnapshotEncoder, SnapshotError, SnapshotHeader, SnapshotIndex, SnapshotPart,
    SnapshotSource, Unreadable,
};
pub use state::{StateError, decode_state, encode_state};
pub use wal::{SEGMENT_HEADER_BYTES, Scanner, SegmentEnd, SegmentError, SegmentHeader};
