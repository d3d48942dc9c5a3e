//! The log: records, segments and spares.

use super::{Busy, Disk, Durability, Job, Op, Progress, Segment, Spare, Then, segment_name};
use bytes::Bytes;
use mgnode_core::durability::{
    LoggedRecord, Parsed, SEGMENT_HEADER_BYTES, Scanner, SegmentHeader, frame_bytes, parse_record, put_frame,
};
use mgnode_core::engine::Input;
use mgnode_core::types::{CommitRecord, Lsn};
use std::collections::VecDeque;

impl Disk {
    /// Whether what is written now is synced before it is told.
    pub(super) fn must_sync(&self, now: u64) -> bool {
        match self.options.durability {
            Durability::Commit => true,
            Durability::Interval(every) => now - self.log.synced_at >= every,
            Durability::Os { sync_every_commits } => {
                sync_every_commits.is_some_and(|n| self.log.unsynced_commits >= n)
            }
        }
    }

    /// Returns in what time [`Job::Flush`] must come, where something waits for it and it is not on its way.
    pub(crate) fn flush_in(&mut self) -> Option<u64> {
        let Durability::Interval(every) = self.options.durability else { return None };
        if self.has_alarm || self.has_failed || self.log.unsynced_commits == 0 {
            return None;
        }
        self.has_alarm = true;
        Some(every)
    }

    /// The interval is over.
    pub(crate) fn flush(&mut self) {
        self.has_alarm = false;
        self.push(Job::Flush);
    }

    pub(super) fn sync_job(&self, then: Then) -> Busy {
        let name = self.log.segments.last().map(|s| s.name.clone());
        Busy { ops: name.map(Op::Sync).into_iter().collect(), then }
    }

    pub(super) fn fits(&self, record: &CommitRecord) -> bool {
        let length = frame_bytes(record.payload.len());
        self.log.live.as_ref().is_some_and(|live| live.offset + length <= live.bytes)
    }

    /// Puts a record behind the others; gives it back where a new segment must be begun first.
    pub(super) fn append(&mut self, record: CommitRecord, chain: u64) -> Option<(CommitRecord, u64)> {
        if !self.fits(&record) {
            self.write_pending();
            self.rotate(&record);
            return Some((record, chain));
        }
        let log = &mut self.log;
        assert_eq!(record.lsn, log.last.next(), "records are appended one after the other");
        let live = log.live.as_mut().expect("it fits");
        if log.pending.is_empty() {
            log.pending_at = live.offset;
        }
        log.last = record.lsn;
        log.chain = chain;
        log.unsynced_commits += 1;
        let segment = log.segments.last_mut().expect("it is live");
        segment.marks.insert(record.lsn, live.offset);
        let logged = LoggedRecord { record, chain, synced: log.synced };
        let before = log.pending.len();
        put_frame(&mut log.pending, live.offset as u64, &logged);
        live.offset += log.pending.len() - before;
        None
    }

    pub(super) fn write_pending(&mut self) {
        if self.log.pending.is_empty() {
            return;
        }
        let bytes: Bytes = std::mem::take(&mut self.log.pending).into();
        let segment = self.log.segments.last_mut().expect("what is pending has a place");
        segment.written = self.log.pending_at + bytes.len();
        let (name, at) = (segment.name.clone(), self.log.pending_at);
        self.run(Op::Write(name, at, bytes));
    }

    /// Begins the way to a new segment: the old one is synced before the new one's header is written.
    pub(super) fn rotate(&mut self, first: &CommitRecord) {
        let Some(spare) = self.spare.take() else { return };
        let mut ops = VecDeque::new();
        if let Some(segment) = self.log.segments.last() {
            ops.push_back(Op::Sync(segment.name.clone()));
        }
        let needed = SEGMENT_HEADER_BYTES + frame_bytes(first.payload.len());
        let mut spare = spare;
        if spare.bytes < needed {
            if self.is_full || self.is_read_only {
                self.busy = Some(Busy { ops, then: Then::Failed("no room for a long record".to_owned()) });
                return;
            }
            ops.push_back(Op::Remove(spare.name.clone()));
            spare.bytes = needed.next_multiple_of(4096);
            ops.push_back(Op::Create(spare.name.clone()));
            ops.push_back(Op::Prepare(spare.name.clone(), spare.bytes));
            ops.push_back(Op::SyncNames("wal"));
        }
        let header = SegmentHeader {
            node: self.node,
            sequence: spare.sequence,
            first: first.lsn,
            chain: self.log.chain,
            bytes: spare.bytes as u64,
        };
        ops.push_back(Op::Write(spare.name.clone(), 0, header.encode().into()));
        self.busy = Some(Busy { ops, then: Then::Rotated(spare, first.lsn) });
    }

    pub(super) fn next_spare(&mut self, bytes: usize) -> Spare {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Spare { name: segment_name(sequence), sequence, bytes }
    }

    pub(super) fn make(&mut self, spare: &Spare) {
        self.run(Op::Create(spare.name.clone()));
        self.run(Op::Prepare(spare.name.clone(), spare.bytes));
        self.run(Op::SyncNames("wal"));
    }

    /// Whether a spare is to be made; it then takes until [`Self::prepared`] is called.
    pub(crate) fn must_prepare(&mut self) -> bool {
        if self.spare.is_some() || self.preparing.is_some() {
            return false;
        }
        let spare = self.next_spare(self.options.segment_bytes);
        self.preparing = Some(spare);
        true
    }

    /// The spare is there, or there is no room for it. Returns whether it is there.
    pub(crate) fn prepared(&mut self, progress: &mut Progress) -> bool {
        let Some(spare) = self.preparing.clone() else { return true };
        let enough = !self.is_full && !self.is_read_only;
        if enough != self.has_space {
            self.has_space = enough;
            progress.inputs.push(Input::WalSpace { enough });
        }
        if enough {
            self.make(&spare);
            self.spare = Some(spare);
            self.preparing = None;
        }
        enough
    }

    pub(super) fn synced_up_to(&mut self, lsn: Lsn, now: u64) {
        (self.log.synced, self.log.synced_at, self.log.unsynced_commits) = (lsn, now, 0);
    }

    pub(super) fn drop_before(&mut self, before: Lsn) -> Option<(Lsn, Lsn)> {
        let keep_from = self.log.segments.partition_point(|s| s.first <= before).saturating_sub(1);
        if keep_from == 0 {
            return None;
        }
        let dropped: Vec<Segment> = self.log.segments.drain(..keep_from).collect();
        for segment in dropped {
            self.run(Op::Remove(segment.name));
        }
        self.run(Op::SyncNames("wal"));
        let last_gone = Lsn(self.log.segments.first().map_or(0, |s| s.first.0.saturating_sub(1)));
        let newest = self.snapshots().last().map_or(Lsn::ZERO, |(lsn, _)| *lsn);
        Some((last_gone, newest))
    }

    /// Reads records of one segment; an error where it does not say what was written.
    pub(super) fn read_back(
        &mut self,
        from: Lsn,
        bytes_max: usize,
    ) -> Result<Vec<(CommitRecord, u64)>, String> {
        let mut records: Vec<(CommitRecord, u64)> = Vec::new();
        let after = self.log.segments.partition_point(|s| s.first <= from);
        let Some(index) = after.checked_sub(1) else { return Ok(records) };
        let segment = &mut self.log.segments[index];
        let whole = self.files.read(self.files.find(&segment.name).unwrap_or(0));
        let written = segment.written.min(whole.len());
        let mut offset =
            segment.marks.range(..=from).next_back().map_or(SEGMENT_HEADER_BYTES, |(_, offset)| *offset);
        let bytes = Bytes::copy_from_slice(&whole[offset.min(written)..written]);
        let base = offset;
        let mut taken = 0;
        while offset < written {
            let Parsed::Record(logged, length) = parse_record(&bytes, offset - base, base as u64) else {
                if records.is_empty() && whole[offset..written].iter().any(|b| *b != 0) {
                    return Err(format!("`{}` is damaged at byte {offset}", segment.name));
                }
                break;
            };
            segment.marks.insert(logged.record.lsn, offset);
            offset += length;
            if logged.record.lsn < from {
                continue;
            }
            taken += length;
            records.push((logged.record, logged.chain));
            if taken >= bytes_max {
                break;
            }
        }
        Ok(records)
    }

    /// Returns the sound records of a segment and where each begins.
    pub(super) fn records(&self, name: &str) -> Vec<(LoggedRecord, usize)> {
        let bytes = self.files.read(self.files.find(name).unwrap_or(0));
        records_of(bytes)
    }
}

pub(super) fn records_of(bytes: &[u8]) -> Vec<(LoggedRecord, usize)> {
    let mut found = Vec::new();
    let Ok(Some(mut scanner)) = Scanner::new(Bytes::copy_from_slice(bytes)) else { return found };
    loop {
        let offset = scanner.offset() as usize;
        match scanner.next_record() {
            Ok(logged) => found.push((logged, offset)),
            Err(_) => return found,
        }
    }
}
