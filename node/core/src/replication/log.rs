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
        self.forget_oldest();
        chain
    }

    /// Keeps up to `bytes_max` bytes of the newest records in memory from here on.
    pub fn keep_recent(&mut self, bytes_max: usize) {
        self.recent_bytes_max = bytes_max;
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        while self.recent_bytes > self.recent_bytes_max {
            let (gone, chain) = self.recent.pop_front().expect("bytes are counted per record");
            self.recent_bytes -= record_bytes(&gone);
            self.base = (gone.lsn, chain);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;
    use bytes::Bytes;

    const EPOCH: Epoch = Epoch { number: 2, node: NodeId(7), incarnation: 1 };

    fn record(lsn: u64, epoch: Epoch) -> CommitRecord {
        CommitRecord { epoch, lsn: Lsn(lsn), ts: 2 * lsn, payload: Bytes::from(vec![lsn as u8; 10]) }
    }

    /// A log of records 1 to `last`, whose newest ones are kept up to that many.
    fn log(last: u64, kept: usize) -> Log {
        let bytes = record_bytes(&record(1, EPOCH));
        let mut log = Log::new(LogEnd::default(), 0, kept * bytes);
        for lsn in 1..=last {
            log.append(&record(lsn, EPOCH));
        }
        log
    }

    #[test]
    fn its_end_is_that_of_the_last_record() {
        let log = log(3, 9);
        let chain = (1..=3).fold(0, |chain, lsn| chain_next(chain, &record(lsn, EPOCH)));
        assert_eq!((log.last(), log.chain(), log.ts()), (Lsn(3), chain, 6));
        assert_eq!(log.bytes(), 3 * record_bytes(&record(1, EPOCH)) as u64);
        assert_eq!((log.chain_at(Lsn(3)), log.chain_at(Lsn::ZERO)), (Some(chain), Some(0)));
    }

    #[test]
    fn what_comes_next_is_the_next_lsn_in_no_lower_epoch() {
        let log = log(3, 9);
        let lower = Epoch { number: 1, ..EPOCH };
        let higher = Epoch { incarnation: 2, ..EPOCH };
        assert!(log.accepts(&record(4, EPOCH)) && log.accepts(&record(4, higher)));
        assert!(!log.accepts(&record(4, lower)));
        assert!(!log.accepts(&record(3, EPOCH)) && !log.accepts(&record(5, EPOCH)));
        let empty = Log::new(LogEnd::default(), 0, 0);
        assert!(!empty.accepts(&record(1, Epoch::default())), "no MAIN reigns in it");
    }

    #[test]
    fn as_many_records_stay_in_memory_as_are_asked_for() {
        let log = log(5, 2);
        let known: Vec<u64> = (1..=6).filter(|lsn| log.recent_at(Lsn(*lsn)).is_some()).collect();
        assert_eq!(known, [4, 5]);
        assert_eq!(log.recent_bytes(), 2 * record_bytes(&record(1, EPOCH)));
        // The chain before the first of them proves that they follow.
        assert!(log.chain_at(Lsn(3)).is_some() && log.chain_at(Lsn(2)).is_none());
    }

    #[test]
    fn as_many_stay_as_are_asked_for_later() {
        let mut log = log(5, 4);
        let bytes = record_bytes(&record(1, EPOCH));
        log.keep_recent(bytes);
        assert_eq!((log.recent_bytes(), log.chain_at(Lsn(4)).is_some()), (bytes, true));
        log.keep_recent(3 * bytes);
        for lsn in 6..=9 {
            log.append(&record(lsn, EPOCH));
        }
        assert_eq!(log.recent_bytes(), 3 * bytes);
        assert!(log.recent_at(Lsn(6)).is_none() && log.recent_at(Lsn(7)).is_some());
    }

    #[test]
    fn a_log_that_is_replaced_counts_on() {
        let mut log = log(3, 9);
        log.synced(Lsn(2));
        assert_eq!((log.durable(), log.is_settled()), (Lsn(2), false));
        let bytes = log.bytes();
        let end = LogEnd { last: Position { epoch: EPOCH, lsn: Lsn(9) }, chain: 5, ..LogEnd::default() };
        log.replace(end, 40);
        assert_eq!((log.last(), log.chain(), log.ts(), log.bytes()), (Lsn(9), 5, 40, bytes));
        assert_eq!((log.durable(), log.is_settled(), log.recent_bytes()), (Lsn(9), true, 0));
    }
}
