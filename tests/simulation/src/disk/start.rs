//! A start: recovery, and the repair of what a crash left.

use super::view::View;
use super::{Disk, Live, Log, MARKED, NoStart, Op, Segment, snapshot_name};
use bytes::Bytes;
use mgnode_core::durability::{
    Decided, Found, OnDamage, Scanner, SegmentHeader, SnapshotDecoder, SnapshotHeader, SnapshotPart,
    encode_state,
};
use mgnode_core::engine::{Recovered, recover_node};
use mgnode_core::types::{Lsn, Names, OneByOne};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Disk {
    /// Recovers the node and repairs what a crash left. It dies after `fuse` changes of the disk.
    pub(crate) fn start(&mut self, names: Arc<Names>, fuse: &mut Option<u64>) -> Result<Recovered, NoStart> {
        if self.is_read_only {
            return Err(NoStart::ReadOnly);
        }
        (self.spare, self.preparing, self.received) = (None, None, None);
        self.next_sequence = 1;
        self.has_space = true;
        self.has_alarm = false;
        let temporary = self.files.list("").into_iter().filter(|n| n.ends_with(".tmp"));
        self.run_all(temporary.map(Op::Remove).chain([Op::SyncNames("")]).collect(), fuse)?;
        // A folder is synced before what it names is believed.
        self.run_all(self.completion()?, fuse)?;
        self.run_all(self.rewind_completion()?, fuse)?;
        self.names = names.clone();
        let (mut recovered, found) = self.recover(names)?;
        let mut ops = Vec::new();
        match &found {
            Some(found) => self.repair(found, &mut ops),
            None => {
                let bytes = encode_state(&recovered.state).into();
                self.replace_state(bytes, &mut ops);
            }
        }
        self.run_all(ops, fuse)?;
        self.open_partial();
        recovered.partial = self.partial;
        self.state = recovered.state.clone();
        self.node = self.state.node;
        self.find_next_note();
        let (end, chain) = found.as_ref().map_or((Lsn::ZERO, 0), |f| (f.last.lsn, f.chain));
        self.open(end, chain, found.and_then(|f| f.live));
        Ok(recovered)
    }

    pub(super) fn run_all(&mut self, ops: Vec<Op>, fuse: &mut Option<u64>) -> Result<(), NoStart> {
        for op in ops {
            if let Some(left) = fuse {
                if *left == 0 {
                    return Err(NoStart::Died);
                }
                *left -= 1;
            }
            self.run(op);
        }
        Ok(())
    }

    /// Reads everything back, changing nothing.
    pub(crate) fn recover(&self, names: Arc<Names>) -> Result<(Recovered, Option<Found>), NoStart> {
        let state = self.state.clone();
        recover_node(&mut View { disk: self, up_to: None }, OnDamage::Refuse, names, &OneByOne, || state)
            .map_err(NoStart::Refused)
    }

    pub(super) fn repair(&self, found: &Found, ops: &mut Vec<Op>) {
        let shown = found.applied.position.lsn;
        if let Some(note) = found.decided.filter(|note| note.lsn < shown) {
            self.note(Decided { number: note.number + 1, lsn: shown }, false, ops);
        }
        for (file, _) in &found.damaged {
            ops.push(Op::Rename(file.clone(), format!("{file}.damaged")));
        }
        ops.extend(found.leftover.iter().cloned().map(Op::Remove));
        if !found.leftover.is_empty() {
            ops.push(Op::SyncNames("wal"));
        }
        if let Some(tail) = &found.tail {
            self.wipe_after(&tail.file, tail.offset as usize, ops);
        } else if let Some((name, _)) = &found.live {
            ops.push(Op::Sync(name.clone()));
        }
    }

    /// Takes up the log as it was recovered.
    pub(super) fn open(&mut self, last: Lsn, chain: u64, live: Option<(String, u64)>) {
        self.log = Log::default();
        let mut segments = Vec::new();
        for (_, name) in self.segments() {
            let bytes = self.files.read(self.files.find(&name).unwrap_or(0));
            let Ok(Some(header)) = SegmentHeader::decode(bytes) else { continue };
            let end = live.as_ref().filter(|(n, _)| *n == name).map(|(_, end)| *end as usize);
            if let Some(offset) = end {
                self.log.live = Some(Live { bytes: bytes.len(), offset });
            }
            let written = end.unwrap_or(bytes.len());
            segments.push(Segment { name, first: header.first, written, marks: BTreeMap::new() });
        }
        (self.log.last, self.log.synced, self.log.chain) = (last, last, chain);
        self.log.segments = segments;
        self.next_sequence = self.next_sequence.max(self.segments().last().map_or(1, |(n, _)| n + 1));
        if self.log.live.is_none() && self.spare.is_none() && self.preparing.is_none() {
            let spare = self.next_spare(self.options.first_segment_bytes);
            self.make(&spare);
            self.spare = Some(spare);
        }
    }

    /// Returns what ends an installation that was begun.
    pub(super) fn completion(&self) -> Result<Vec<Op>, NoStart> {
        let mut ops = Vec::new();
        let Some(id) = self.files.find(MARKED) else { return Ok(ops) };
        let header = header_of(self.files.read(id)).ok_or_else(|| NoStart::Unusable(MARKED.to_owned()))?;
        self.complete(&header, &mut ops);
        Ok(ops)
    }

    pub(super) fn complete(&self, header: &SnapshotHeader, ops: &mut Vec<Op>) {
        for (_, name) in self.segments() {
            let bytes = self.files.read(self.files.find(&name).unwrap_or(0));
            if matches!(SegmentHeader::decode(bytes), Ok(None)) {
                continue;
            }
            if holds_nothing_else(bytes, header) {
                ops.push(Op::Remove(name));
            } else {
                ops.push(Op::Rename(name.clone(), self.free_aside(&name)));
                ops.push(Op::SyncNames("diverged"));
            }
        }
        ops.push(Op::SyncNames("wal"));
        ops.extend(self.snapshots().into_iter().map(|(_, name)| Op::Remove(name)));
        ops.push(Op::Rename(MARKED.to_owned(), snapshot_name(header.position.lsn)));
        ops.push(Op::SyncNames("snapshots"));
    }
}

/// Returns what a snapshot says of itself.
pub(super) fn header_of(bytes: &[u8]) -> Option<SnapshotHeader> {
    let mut decoder = SnapshotDecoder::default();
    decoder.push(bytes);
    match decoder.next_part() {
        Ok(Some(SnapshotPart::Header(header))) => Some(header),
        _ => None,
    }
}

pub(super) fn holds_nothing_else(bytes: &[u8], header: &SnapshotHeader) -> bool {
    let Ok(Some(mut scanner)) = Scanner::new(Bytes::copy_from_slice(bytes)) else { return false };
    while let Ok(logged) = scanner.next_record() {
        let record = logged.record;
        if record.lsn > header.position.lsn || header.history.epoch_of(record.lsn) != Some(record.epoch) {
            return false;
        }
    }
    true
}
