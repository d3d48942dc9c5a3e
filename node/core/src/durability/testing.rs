//! Logs and snapshots for the tests of this room.

use super::record::{LoggedRecord, put_frame};
use super::snapshot::{SnapshotEncoder, SnapshotHeader};
use super::wal::SegmentHeader;
use crate::types::{CommitRecord, Epoch, History, Lsn, NodeId, Position, chain_next};

pub(super) const NODE: NodeId = NodeId(0xBEEF);
pub(super) const SEGMENT_BYTES: usize = 16 << 10;

pub(super) fn epoch(number: u64) -> Epoch {
    Epoch { number, node: NODE, incarnation: 1 }
}

/// Writes a log as the disk does: in segments of zeroes, with what is durable noted in each record.
pub(super) struct LogWriter {
    pub(super) segments: Vec<Vec<u8>>,
    /// Each record, the segment it stands in, and where it begins and ends.
    pub(super) records: Vec<(CommitRecord, usize, usize, usize)>,
    /// Chain hash after each record, the first entry before any.
    pub(super) chains: Vec<u64>,
    pub(super) history: History,
    end: usize,
    synced: Lsn,
}

impl LogWriter {
    pub(super) fn new() -> LogWriter {
        let mut log = LogWriter {
            segments: Vec::new(),
            records: Vec::new(),
            chains: vec![0],
            history: History::default(),
            end: 0,
            synced: Lsn::ZERO,
        };
        log.next_segment();
        log
    }

    pub(super) fn last(&self) -> Lsn {
        Lsn(self.records.len() as u64)
    }

    pub(super) fn next_segment(&mut self) {
        self.synced = self.last();
        let header = SegmentHeader {
            node: NODE,
            sequence: self.segments.len() as u64 + 1,
            first: self.last().next(),
            chain: *self.chains.last().unwrap(),
            bytes: 0,
        };
        let mut bytes = header.encode();
        self.end = bytes.len();
        bytes.resize(SEGMENT_BYTES, 0);
        self.segments.push(bytes);
    }

    pub(super) fn append(&mut self, number: u64, payload: Vec<u8>) {
        let lsn = self.last().next();
        let record = CommitRecord { epoch: epoch(number), lsn, ts: 100 + lsn.0, payload: payload.into() };
        let chain = chain_next(*self.chains.last().unwrap(), &record);
        let mut frame = Vec::new();
        let logged = LoggedRecord { record: record.clone(), chain, synced: self.synced };
        put_frame(&mut frame, self.end as u64, &logged);
        let segment = self.segments.len() - 1;
        let end = self.end + frame.len();
        self.segments[segment][self.end..end].copy_from_slice(&frame);
        self.history.note(record.epoch, lsn);
        self.records.push((record, segment, self.end, end));
        self.chains.push(chain);
        self.end = end;
    }

    /// Appends records of that payload length, durable together.
    pub(super) fn batch(&mut self, number: u64, count: usize, payload_bytes: usize) {
        for _ in 0..count {
            let seed = self.records.len() as u8;
            self.append(number, (0..payload_bytes).map(|i| (i as u8).wrapping_mul(7) ^ seed | 1).collect());
        }
        self.sync();
    }

    pub(super) fn sync(&mut self) {
        self.synced = self.last();
    }

    pub(super) fn snapshot_header(&self, lsn: u64) -> SnapshotHeader {
        let record = &self.records[lsn as usize - 1].0;
        let mut history = self.history.clone();
        history.cut_after(Lsn(lsn));
        let position = Position { epoch: record.epoch, lsn: Lsn(lsn) };
        SnapshotHeader { position, chain: self.chains[lsn as usize], ts: record.ts, history }
    }

    /// A snapshot whose "graph" is the payloads up to there, one a block.
    pub(super) fn snapshot(&self, lsn: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = SnapshotEncoder::new(&self.snapshot_header(lsn), &mut out);
        for (record, ..) in &self.records[..lsn as usize] {
            encoder.block(&record.payload, &mut out);
        }
        encoder.finish(&mut out);
        out
    }
}

/// A small generator of numbers, the same for the same seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % sides
    }
}
