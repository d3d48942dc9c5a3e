//! The name of a snapshot file.

use super::{Lsn, Position};

/// Which snapshot file is meant, down to its bytes.
///
/// Two nodes that hold the same graph write different files, since the order of names in a block
/// depends on the process; so position and chain hash alone do not say whether half a file can be
/// completed from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotId {
    /// The last record that it holds.
    pub position: Position,
    /// Chain hash at that record.
    pub chain: u64,
    /// Length of the file.
    pub bytes: u64,
    /// XXH3-128 of the file up to its footer, where it stands too.
    pub digest: u128,
}

impl SnapshotId {
    /// Returns the LSN of the last record that it holds.
    pub fn lsn(&self) -> Lsn {
        self.position.lsn
    }
}

/// What a node kept of a snapshot that did not come in whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialSnapshot {
    /// The file that it is a part of.
    pub snapshot: SnapshotId,
    /// How many bytes of its beginning there are; at most all of them.
    pub bytes: u64,
}
