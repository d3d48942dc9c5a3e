//! The files as recovery reads them, maybe as if nothing had been written after a record.

use super::{DECIDED, Disk, STATE};
use bytes::Bytes;
use mgnode_core::durability::{self, SEGMENT_HEADER_BYTES, SegmentHeader, SnapshotSource};
use mgnode_core::types::Lsn;

/// The disk as recovery reads it, maybe as if nothing had been written after a record.
pub(super) struct View<'a> {
    pub(super) disk: &'a Disk,
    pub(super) up_to: Option<Lsn>,
}

impl View<'_> {
    fn bytes(&self, name: &str) -> Result<&[u8], String> {
        let files = &self.disk.files;
        files.find(name).map(|id| files.read(id)).ok_or(format!("no file {name}"))
    }

    fn is_before(&self, lsn: Lsn) -> bool {
        self.up_to.is_none_or(|to| lsn <= to)
    }
}

impl durability::Files for View<'_> {
    fn state(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(self.bytes(STATE).ok().map(<[u8]>::to_vec))
    }

    fn decided(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(self.bytes(DECIDED).ok().map(<[u8]>::to_vec))
    }

    fn snapshots(&mut self) -> Result<Vec<String>, String> {
        let newest_first = self.disk.snapshots().into_iter().rev();
        Ok(newest_first.filter(|(lsn, _)| self.is_before(*lsn)).map(|(_, name)| name).collect())
    }

    fn open_snapshot(&mut self, name: &str) -> Result<Box<dyn SnapshotSource + '_>, String> {
        self.bytes(name).map(|bytes| Box::new(Bytes::copy_from_slice(bytes)) as Box<dyn SnapshotSource>)
    }

    fn segments(&mut self) -> Result<Vec<String>, String> {
        let mut names: Vec<String> = self.disk.segments().into_iter().map(|(_, name)| name).collect();
        if self.up_to.is_some() {
            names.retain(|name| {
                let header = self.bytes(name).map(SegmentHeader::decode);
                matches!(header, Ok(Ok(Some(header))) if self.is_before(header.first))
            });
        }
        Ok(names)
    }

    fn read_segment(&mut self, name: &str, bytes_max: usize) -> Result<Bytes, String> {
        let bytes = self.bytes(name)?;
        if bytes_max > SEGMENT_HEADER_BYTES && self.up_to.is_some() {
            let after = self.disk.records(name).into_iter().find(|(l, _)| !self.is_before(l.record.lsn));
            if let Some((_, offset)) = after {
                // As long as its header says, and not written from there on.
                let mut until = bytes[..offset].to_vec();
                until.resize(bytes.len(), 0);
                until.truncate(bytes_max);
                return Ok(until.into());
            }
        }
        Ok(Bytes::copy_from_slice(&bytes[..bytes.len().min(bytes_max)]))
    }
}
