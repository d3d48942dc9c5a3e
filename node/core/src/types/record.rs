//! The one redo word: what WAL and wire carry and every node applies.

use super::{Epoch, Lsn, Position};
use bytes::Bytes;

/// All changes of one commit, with its place in the log.
///
/// The payload is the encoded list of [`Change`](super::Change)s, see `storage::codec`; rooms that
/// only move records do not look inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// Who wrote it.
    pub epoch: Epoch,
    /// Its place.
    pub lsn: Lsn,
    /// Memgraph's counter, for `ts` and `behind` in `SHOW REPLICAS`. Nothing is compared by it.
    pub ts: u64,
    /// Encoded changes.
    pub payload: Bytes,
}

impl CommitRecord {
    /// Returns the record's name for all time.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, lsn: self.lsn }
    }
}

/// Returns the running hash after `record`, given the hash before it (0 before the first).
///
/// XXH3-64 seeded with the previous value, over epoch number, node, incarnation, LSN and ts as
/// little-endian u64, then the payload. Two logs agree up to n exactly when their chains at n agree.
pub fn chain_next(chain: u64, record: &CommitRecord) -> u64 {
    let mut h = xxhash_rust::xxh3::Xxh3::with_seed(chain);
    for word in [record.epoch.number, record.epoch.node.0, record.epoch.incarnation, record.lsn.0, record.ts]
    {
        h.update(&word.to_le_bytes());
    }
    h.update(&record.payload);
    h.digest()
}
