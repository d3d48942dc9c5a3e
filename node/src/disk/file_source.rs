//! A snapshot file, read from anywhere.

use bytes::Bytes;
use mgnode_core::durability::SnapshotSource;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// An open file; it can be read as long as this lives, whatever happens to its name.
#[derive(Debug)]
pub(super) struct FileSource {
    file: File,
    bytes: u64,
}

impl FileSource {
    pub(super) fn new(file: File) -> io::Result<FileSource> {
        let bytes = file.metadata()?.len();
        Ok(FileSource { file, bytes })
    }
}

impl SnapshotSource for FileSource {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        // A length out of a damaged file reserves no more than there is.
        if offset.saturating_add(length as u64) > self.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }
}
