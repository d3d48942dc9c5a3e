//! Where a record stands: epoch, LSN, and the history of a log.

use super::NodeId;
use std::fmt;

/// Position of a record in the WAL. The first record is 1; 0 means "nothing".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before the first record.
    pub const ZERO: Lsn = Lsn(0);

    /// Returns the position that follows.
    pub fn next(self) -> Lsn {
        Lsn(self.0 + 1)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A MAIN's reign, compared field by field in this order.
///
/// Only a promotion raises `number`. A MAIN raises and syncs its own `incarnation` before the first
/// append after each start, so that no LSN is used twice in one incarnation, and an incarnation can
/// never climb over a successor's `number`. Written `number.node.incarnation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch {
    /// Raised by each promotion; 0 only before the first record of a fresh node.
    pub number: u64,
    /// The node that reigns.
    pub node: NodeId,
    /// Raised by that node at the first append after each start.
    pub incarnation: u64,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.number, self.node, self.incarnation)
    }
}

impl std::str::FromStr for Epoch {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        let mut parts = s.split('.');
        let (Some(number), Some(node), Some(incarnation), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        Ok(Epoch {
            number: number.parse().map_err(|_| ())?,
            node: node.parse().map_err(|_| ())?,
            incarnation: incarnation.parse().map_err(|_| ())?,
        })
    }
}

/// The name of a record for all time: `epoch:lsn`. It is also what a Bolt bookmark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Epoch that wrote the record.
    pub epoch: Epoch,
    /// Its place in the log.
    pub lsn: Lsn,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.lsn)
    }
}

impl std::str::FromStr for Position {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        let (epoch, lsn) = s.rsplit_once(':').ok_or(())?;
        Ok(Position { epoch: epoch.parse()?, lsn: Lsn(lsn.parse().map_err(|_| ())?) })
    }
}

/// Which epoch wrote which part of a log: (epoch, its first LSN), both strictly rising.
///
/// An epoch never reuses an LSN, so two logs agree exactly up to the end of their longest common
/// prefix of history, cut at the shorter log's end inside the last common epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Rising in both fields.
    pub starts: Vec<(Epoch, Lsn)>,
}

impl History {
    /// Records that `epoch` wrote `lsn`. Does nothing where `epoch` is already the last.
    pub fn note(&mut self, epoch: Epoch, lsn: Lsn) {
        match self.starts.last() {
            Some((last, _)) if *last == epoch => {}
            Some((last, first)) => {
                assert!(
                    *last < epoch && *first < lsn,
                    "history must rise: {last}:{first} then {epoch}:{lsn}"
                );
                self.starts.push((epoch, lsn));
            }
            None => self.starts.push((epoch, lsn)),
        }
    }

    /// Forgets everything after `lsn`.
    pub fn cut_after(&mut self, lsn: Lsn) {
        self.starts.retain(|(_, first)| *first <= lsn);
    }

    /// Returns the epoch that wrote `lsn`, if the history reaches back that far.
    pub fn epoch_of(&self, lsn: Lsn) -> Option<Epoch> {
        self.starts.iter().rev().find(|(_, first)| *first <= lsn).map(|(e, _)| *e)
    }

    /// Returns the last LSN on which two logs agree, given where each ends.
    pub fn common_end(&self, end: Lsn, other: &History, other_end: Lsn) -> Lsn {
        let shared = self.starts.iter().zip(&other.starts).take_while(|(a, b)| a == b).count();
        if shared == 0 {
            return Lsn::ZERO;
        }
        let end_of = |h: &History, end: Lsn| h.starts.get(shared).map_or(end, |(_, first)| Lsn(first.0 - 1));
        end_of(self, end).min(end_of(other, other_end))
    }
}
