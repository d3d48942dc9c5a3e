//! How far behind a replica is, in commits, bytes and time.

use crate::types::{Lsn, Time};
use std::collections::VecDeque;

/// Samples kept at most. Beyond that every second one goes, the oldest first to lose precision.
const SAMPLES_MAX: usize = 4096;

/// What was appended when. One sample a record while there are few, thinned as they become many, so
/// the answers about a replica that is far behind are near, and about one that is close exact.
#[derive(Debug)]
pub struct LagTrack {
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    lsn: Lsn,
    ts: u64,
    /// Bytes appended up to and with this record.
    bytes: u64,
    at: Time,
}

impl LagTrack {
    /// Begins with what the log holds already.
    pub fn new(lsn: Lsn, ts: u64, at: Time) -> LagTrack {
        LagTrack { samples: VecDeque::from([Sample { lsn, ts, bytes: 0, at }]) }
    }

    /// Notes an append; `bytes` counts from the start of the process.
    pub fn note(&mut self, lsn: Lsn, ts: u64, bytes: u64, at: Time) {
        if self.samples.len() >= SAMPLES_MAX {
            let half = self.samples.len() / 2;
            let mut index = 0;
            self.samples.retain(|_| {
                index += 1;
                index == 1 || index > half || index % 2 == 1
            });
        }
        self.samples.push_back(Sample { lsn, ts, bytes, at });
    }

    fn at_or_before(&self, lsn: Lsn) -> Option<&Sample> {
        let after = self.samples.partition_point(|s| s.lsn <= lsn);
        self.samples.get(after.checked_sub(1)?)
    }

    /// Returns the `ts` of `lsn`, or of the nearest known record before it; 0 where none is known.
    pub fn ts_at(&self, lsn: Lsn) -> u64 {
        self.at_or_before(lsn).map_or(0, |s| s.ts)
    }

    /// Returns how many bytes were appended after `lsn`, as far as this process knows.
    pub fn bytes_after(&self, lsn: Lsn) -> u64 {
        let total = self.samples.back().map_or(0, |s| s.bytes);
        total - self.at_or_before(lsn).map_or(0, |s| s.bytes)
    }

    /// Returns when the first record after `lsn` was appended.
    pub fn appended_after(&self, lsn: Lsn) -> Option<Time> {
        let after = self.samples.partition_point(|s| s.lsn <= lsn);
        self.samples.get(after).map(|s| s.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_replica_is_told_exactly() {
        let mut lag = LagTrack::new(Lsn(10), 4, Time(0));
        lag.note(Lsn(11), 6, 100, Time(5));
        lag.note(Lsn(12), 8, 150, Time(9));
        assert_eq!(lag.ts_at(Lsn(11)), 6);
        assert_eq!(lag.bytes_after(Lsn(11)), 50);
        assert_eq!(lag.appended_after(Lsn(10)), Some(Time(5)));
        assert_eq!(lag.appended_after(Lsn(12)), None);
    }

    #[test]
    fn memory_stays_bounded_and_the_newest_stay_exact() {
        let mut lag = LagTrack::new(Lsn(0), 0, Time(0));
        for n in 1..=50_000u64 {
            lag.note(Lsn(n), n * 2, n * 10, Time(n));
        }
        assert!(lag.samples.len() <= SAMPLES_MAX);
        assert_eq!(lag.ts_at(Lsn(49_999)), 99_998);
        assert_eq!(lag.bytes_after(Lsn(49_990)), 100);
    }

    #[test]
    fn the_older_half_loses_every_second_sample_and_never_the_first() {
        let mut lag = LagTrack::new(Lsn(0), 0, Time(0));
        let last = SAMPLES_MAX as u64;
        for n in 1..=last {
            lag.note(Lsn(n), n, n, Time(n));
        }
        // Full with 0 to 4095; the next one thins 0 to 2047 to those at even places.
        let kept: Vec<u64> = lag.samples.iter().map(|sample| sample.lsn.0).collect();
        let half = last / 2;
        let expected: Vec<u64> = (0..half).step_by(2).chain(half..=last).collect();
        assert_eq!(kept, expected);
        assert_eq!((lag.ts_at(Lsn(3)), lag.ts_at(Lsn(4))), (2, 4), "the nearest one before");
    }
}
