//! What can go wrong with the files, in words for an operator.

use mgnode_core::durability::RecoveryError;
use std::io;
use std::path::{Path, PathBuf};

/// Why the disk does not do what a node needs.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error(
        "data directory `{}` is in use by another process{}; stop that one, or give this one another \
         `--data-directory`", directory.display(), holder_text(holder)
    )]
    InUse { directory: PathBuf, holder: String },
    #[error("cannot {what} `{}`: {reason}{}", path.display(), hint(*kind))]
    Io { what: &'static str, path: PathBuf, reason: String, kind: io::ErrorKind },
    #[error("`{}` cannot be used: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
    #[error("the data directory `{}` cannot be recovered: {reason}{}", directory.display(), recovery_hint(reason))]
    Recovery { directory: PathBuf, reason: RecoveryError },
}

impl DiskError {
    /// Returns true where there was no room.
    pub(super) fn is_full(&self) -> bool {
        let is_full = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        matches!(self, DiskError::Io { kind, .. } if is_full(*kind))
    }

    pub(super) fn from_io(what: &'static str, path: &Path, e: &io::Error) -> DiskError {
        DiskError::Io { what, path: path.to_owned(), reason: e.to_string(), kind: e.kind() }
    }
}

fn holder_text(holder: &str) -> String {
    if holder.is_empty() { String::new() } else { format!(" (process {holder})") }
}

fn hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space and start again",
        io::ErrorKind::ReadOnlyFilesystem => "; a node needs a directory that it can write",
        io::ErrorKind::PermissionDenied => "; it must belong to the user that runs the node",
        _ => "",
    }
}

fn recovery_hint(reason: &RecoveryError) -> &'static str {
    match reason {
        RecoveryError::Corrupt { .. } => {
            "; nothing was changed. Where the cluster has another copy, empty this directory and let the \
             node catch up as a REPLICA; `--wal-on-damage=cut` goes on without the damaged end of the log"
        }
        RecoveryError::State(_) | RecoveryError::NoState => {
            "; nothing was changed. Put the file back from a backup, or empty this directory and let the \
             node catch up as a REPLICA"
        }
        _ => "; nothing was changed",
    }
}
