//! What the driver asks of the disk.

use mgnode_core::engine::{PeerId, SnapshotHeader};
use mgnode_core::storage::View;
use mgnode_core::types::{CommitRecord, Lsn, NodeState, Position};

/// Carries out the engine's effects on files.
///
/// Every method returns at once and keeps the order of the calls; what comes of it arrives as an
/// [`Input`](mgnode_core::engine::Input) through the [`Inputs`](super::Inputs) that it was made with.
pub trait DiskLane: Send {
    /// Appends to the log, with whatever is asked next at the latest; a failure is `WalFailed`.
    fn write_wal(&mut self, record: CommitRecord, chain: u64);

    /// Answered by `WalSynced`, or `WalFailed`.
    fn sync_wal(&mut self, lsn: Lsn);

    /// Replaces the state file; answered by `StateSaved`, or `WalFailed`.
    fn save_state(&mut self, id: u64, state: NodeState);

    /// Answered by `WalRead`.
    fn read_wal(&mut self, peer: PeerId, from: Lsn, bytes_max: usize);

    /// In the background; answered by `SnapshotWritten`.
    fn write_snapshot(&mut self, header: SnapshotHeader, view: View);

    /// Makes the snapshot that was received last this node's own; answered by `SnapshotInstalled`.
    fn install_snapshot(&mut self, header: SnapshotHeader);

    /// Notes how far the log may be shown; with `is_first`, synced before what follows. Answered by
    /// `DecidedNoted`, or `WalFailed`.
    fn note_decided(&mut self, lsn: Lsn, is_first: bool);

    /// Cuts the log back; answered by `Rewound`, or `WalFailed`.
    fn rewind(&mut self, to: Position);

    /// Removes segments that hold only records before `before`.
    fn drop_wal(&mut self, before: Lsn);

    /// Removes the snapshot file at that LSN, in the background.
    fn drop_snapshot(&mut self, lsn: Lsn);

    /// Removes what is kept of a snapshot that did not come in whole, in the background.
    fn drop_partial(&mut self);

    /// Writes out and syncs what was handed over, and closes the files. Waits.
    fn stop(&mut self);
}
