//! Snapshots: written here, sent, and received piece by piece.

use super::{Background, Disk, Op, PART, PART_ID, snapshot_name};
use bytes::Bytes;
use mgnode_core::durability::{SnapshotDecoder, SnapshotHeader, SnapshotIndex, read_snapshot};
use mgnode_core::engine::{GraphBuilder, Input};
use mgnode_core::replication::SnapshotStream;
use mgnode_core::storage::Graph;
use mgnode_core::types::{OneByOne, PartialSnapshot, SnapshotId};
use std::sync::Arc;

impl Disk {
    /// Takes in the bytes of a snapshot that is written in the background.
    pub(crate) fn write_snapshot(&mut self, header: SnapshotHeader, bytes: Bytes) -> u64 {
        self.next_background += 1;
        let temporary = format!("snapshots/{}.tmp", self.next_background);
        let ops = vec![
            Op::Create(temporary.clone()),
            Op::Write(temporary.clone(), 0, bytes),
            Op::Sync(temporary.clone()),
        ];
        self.background.insert(self.next_background, Background { ops, temporary, header });
        self.next_background
    }

    /// The snapshot is on the disk: it is read back and named. `flip` damages it before it is read back.
    pub(crate) fn snapshot_written(&mut self, number: u64, flip: Option<u64>) -> Option<Input> {
        let Background { ops, temporary, header } = self.background.remove(&number)?;
        let lsn = header.position.lsn;
        if self.is_full || self.is_read_only {
            return Some(Input::SnapshotWritten { result: Err("no room on the disk".to_owned()) });
        }
        ops.into_iter().for_each(|op| self.run(op));
        let id = self.files.find(&temporary).unwrap_or(0);
        if let Some(at) = flip {
            let length = self.files.read(id).len() as u64;
            self.files.flip(id, (at % length.max(1)) as usize, (at % 8) as u32);
        }
        let bytes = Bytes::copy_from_slice(self.files.read(id));
        let result = match read_snapshot(&bytes, |_| Ok(())) {
            Ok(index) if index.header == header => {
                self.run(Op::Rename(temporary, snapshot_name(lsn)));
                self.run(Op::SyncNames("snapshots"));
                Ok(index.id)
            }
            _ => {
                self.run(Op::Remove(temporary));
                Err("it cannot be read back".to_owned())
            }
        };
        Some(Input::SnapshotWritten { result })
    }

    /// Returns the bytes of a snapshot file that is to be sent.
    pub(crate) fn snapshot(&self, snapshot: &SnapshotId) -> Result<Bytes, String> {
        let id = self.files.find(&snapshot_name(snapshot.lsn())).ok_or("there is no such file")?;
        let bytes = Bytes::copy_from_slice(self.files.read(id));
        match SnapshotIndex::read(&bytes) {
            Ok(index) if index.id == *snapshot => Ok(bytes),
            Ok(_) => Err("another file has taken its place".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Returns what is kept of a snapshot from a peer.
    pub(crate) fn partial(&self) -> Option<PartialSnapshot> {
        self.partial
    }

    /// Looks at what the last life left of a snapshot, and keeps only blocks that are whole.
    pub(super) fn open_partial(&mut self) {
        self.partial = None;
        if let (Some(id), Some(part)) = (self.files.find(PART_ID), self.files.find(PART))
            && let Ok(Some((SnapshotStream::Part { snapshot, .. }, _))) =
                SnapshotStream::decode(self.files.read(id))
        {
            let mut decoder = SnapshotDecoder::default();
            decoder.push(self.files.read(part));
            while let Ok(Some(_)) = decoder.next_part() {}
            let bytes = decoder.offset().min(snapshot.bytes);
            self.files.set_length(part, bytes as usize);
            self.partial = (bytes > 0).then_some(PartialSnapshot { snapshot, bytes });
        }
        if self.partial.is_none() {
            self.drop_partial();
        }
    }

    pub(crate) fn drop_partial(&mut self) {
        self.partial = None;
        self.run(Op::Remove(PART_ID.to_owned()));
        self.run(Op::Remove(PART.to_owned()));
    }

    /// A piece of a snapshot came in, with what was before it here. False where it cannot be taken.
    pub(crate) fn piece(&mut self, snapshot: SnapshotId, offset: u64, bytes: Bytes) -> bool {
        if self.is_full || self.is_read_only {
            return false;
        }
        let is_known = self.partial.is_some_and(|p| p.snapshot == snapshot && offset <= p.bytes);
        if offset == 0 && !is_known {
            self.drop_partial();
            let mut head = Vec::new();
            SnapshotStream::Part { snapshot, offset }.encode(&mut head);
            let mut ops = Vec::new();
            self.replace(PART_ID, head.into(), &mut ops);
            ops.push(Op::Create(PART.to_owned()));
            ops.into_iter().for_each(|op| self.run(op));
        } else if !is_known {
            return false;
        }
        if let Some(part) = self.files.find(PART) {
            self.files.set_length(part, offset as usize);
        }
        let upto = offset + bytes.len() as u64;
        self.run(Op::Write(PART.to_owned(), offset as usize, bytes));
        self.partial = Some(PartialSnapshot { snapshot, bytes: upto });
        true
    }

    /// All of a snapshot came in and is loaded; what is damaged is of no use.
    pub(crate) fn load_part(&mut self) -> Result<(SnapshotIndex, Arc<Graph>), String> {
        let expected = self.partial.ok_or("nothing came")?.snapshot;
        self.run(Op::Sync(PART.to_owned()));
        let bytes = Bytes::copy_from_slice(self.files.read(self.files.find(PART).unwrap_or(0)));
        let mut builder = GraphBuilder::new(self.names.clone(), &OneByOne);
        match builder.load(&bytes) {
            Ok(index) if index.id == expected => Ok((index, builder.graph())),
            Ok(_) => Err("it is not the snapshot that was announced".to_owned()),
            Err(e) => {
                self.drop_partial();
                Err(e.to_string())
            }
        }
    }

    /// It is the node's to install.
    pub(crate) fn hand_over(&mut self, header: SnapshotHeader) {
        self.next_background += 1;
        let name = format!("snapshots/received-{}.tmp", self.next_background);
        self.run(Op::Rename(PART.to_owned(), name.clone()));
        self.drop_partial();
        self.run(Op::SyncNames("snapshots"));
        if let Some((_, old)) = self.received.replace((header, name)) {
            self.run(Op::Remove(old));
        }
    }
}
