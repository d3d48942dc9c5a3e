//! Where this node's own log ends, and the last part of it in memory.

use super::{LogEnd, record_bytes};
use crate::types::{CommitRecord, Epoch, Lsn, Position, chain_next};
use std::collections::VecDeque;

/// The end of the own log: what was written, what of it is durable.
///
/// It also keeps the newest records up to a bound, so that a replica that is nearly there need not
/// chase the end of the log through the disk.
#[derive(Debug)]
pub struct Log {
    end: LogEnd,
    ts: u64,
    durable: Lsn,
    bytes: u64,
    recent: VecDeque<(CommitRecord, u64)>,
    recent_bytes: usize,
    recent_bytes_max: usize,
    /// LSN and chain just before the first record of `recent`.
    base: (Lsn, u64),
}

impl Log {
    /// Takes up a log that is durable to its end.
    pub fn new(end: LogEnd, ts: u64, recent_bytes_max: usize) -> Log {
        let base = (end.last.lsn, end.chain);
        let durable = end.last.lsn;
        Log { end, ts, durable, bytes: 0, recent: VecDeque::new(), recent_bytes: 0, recent_bytes_max, base }
    }

    /// Returns the last record's LSN.
    pub fn last(&self) -> Lsn {
        self.end.last.lsn
    }

    /// Returns the last record's name.
    pub fn position(&self) -> Position {
        self.end.last
    }

    /// Returns where the log ends.
    pub fn end(&self) -> &LogEnd {
        &self.end
    }

    /// Returns the chain hash at the end.
    pub fn chain(&self) -> u64 {
        self.end.chain
    }

    /// Returns the `ts` of the last record.
    pub fn ts(&self) -> u64 {
        self.ts
    }

    /// Returns the last record known to be synced.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Returns the bytes of the newest records, which are kept in memory.
    pub fn recent_bytes(&self) -> usize {
        self.recent.iter().map(|(record, _)| record_bytes(record)).sum()
    }

    /// Returns whether everything written is synced.
    pub fn is_settled(&self) -> bool {
        self.durable == self.last()
    }

    /// Returns how many bytes were appended in this process.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns whether `record` may come next.
    pub fn accepts(&self, record: &CommitRecord) -> bool {
        record.lsn == self.last().next()
            && record.epoch >= self.end.last.epoch
            && record.epoch > Epoch::default()
    }

    /// Puts `record` at the end and returns the chain hash after it.
    pub fn append(&mut self, record: &CommitRecord) -> u64 {
        assert!(self.accepts(record), "record {} does not follow {}", record.position(), self.end.last);
        let chain = chain_next(self.end.chain, record);
        self.end.last = record.position();
        self.end.chain = chain;
        self.end.history.note(record.epoch, record.lsn);
        self.ts = record.ts;
        let bytes = record_bytes(record);
        self.bytes += bytes as u64;
        self.recent.push_back((record.clone(), chain));
        self.recent_bytes += bytes;
        while self.recent_bytes > self.recent_bytes_max {
            let (gone, chain) = self.recent.pop_front().expect("bytes are counted per record");
            self.recent_bytes -= record_bytes(&gone);
            self.base = (gone.lsn, chain);
        }
        chain
    }

    /// Notes that everything up to `lsn` is durable.
    pub fn synced(&mut self, lsn: Lsn) {
        self.durable = self.durable.max(lsn.min(self.last()));
    }

    /// Goes over to the log that an installed snapshot stands for.
    pub fn replace(&mut self, end: LogEnd, ts: u64) {
        *self = Log { bytes: self.bytes, ..Log::new(end, ts, self.recent_bytes_max) };
    }

    /// Returns the chain hash at `lsn` where memory still knows it.
    pub fn chain_at(&self, lsn: Lsn) -> Option<u64> {
        if lsn == Lsn::ZERO {
            return Some(0);
        }
        if lsn == self.base.0 {
            return Some(self.base.1);
        }
        self.recent_at(lsn).map(|(_, chain)| *chain)
    }

    /// Returns the record at `lsn` and the chain hash after it, where memory still holds it.
    pub fn recent_at(&self, lsn: Lsn) -> Option<&(CommitRecord, u64)> {
        let index = lsn.0.checked_sub(self.base.0.0 + 1)?;
        self.recent.get(usize::try_from(index).ok()?)
    }
}
