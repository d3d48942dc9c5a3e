//! What a returning replica lacks, and how much of it may be under way.

use super::LogEnd;
use crate::types::{Epoch, Lsn};
use std::collections::VecDeque;

/// How a replica's log stands to MAIN's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The replica's log is MAIN's log up to where it ends.
    Prefix,
    /// MAIN's log is a prefix of the replica's, and the rest was written by MAIN itself in a life
    /// that ended before it synced.
    OwnTail,
    /// Both logs go on differently, or the replica's goes on where MAIN has no claim.
    Diverged {
        /// The last LSN on which both agree.
        common: Lsn,
    },
}

/// Compares the replica's log with MAIN's.
///
/// `reign` is MAIN's promised epoch while it has not yet written in this life, else `None`: once it
/// has, a tail of an earlier life can no longer be taken in. Where the histories agree but the chain
/// hashes at the common end do not, the caller finds out with [`Log::chain_at`](super::Log::chain_at)
/// or with the first record that it reads back.
pub fn compare(main: &LogEnd, replica: &LogEnd, reign: Option<Epoch>) -> Comparison {
    let common = main.history.common_end(main.last.lsn, &replica.history, replica.last.lsn);
    if common == replica.last.lsn {
        return if common == main.last.lsn && main.chain != replica.chain {
            Comparison::Diverged { common: Lsn::ZERO }
        } else {
            Comparison::Prefix
        };
    }
    let is_own = |epoch: Epoch| reign.is_some_and(|r| r.number == epoch.number && r.node == epoch.node);
    let tail_is_own = replica
        .history
        .starts
        .iter()
        .enumerate()
        .filter(|(i, _)| replica.history.starts.get(i + 1).is_none_or(|(_, next)| next.0 > common.0 + 1))
        .all(|(_, (epoch, _))| is_own(*epoch));
    if common == main.last.lsn && tail_is_own { Comparison::OwnTail } else { Comparison::Diverged { common } }
}

/// Records sent and not yet acknowledged.
#[derive(Debug, Default)]
pub struct SentWindow {
    sent: VecDeque<(Lsn, usize)>,
    bytes: usize,
}

impl SentWindow {
    /// Notes a message that ends with `lsn`.
    pub fn add(&mut self, lsn: Lsn, bytes: usize) {
        self.sent.push_back((lsn, bytes));
        self.bytes += bytes;
    }

    /// Forgets messages that are acknowledged to their end.
    pub fn acked(&mut self, lsn: Lsn) {
        while let Some((last, bytes)) = self.sent.front() {
            if *last > lsn {
                break;
            }
            self.bytes -= bytes;
            self.sent.pop_front();
        }
    }

    /// Returns the bytes under way.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{History, NodeId, Position};

    fn epoch(number: u64, node: u64, incarnation: u64) -> Epoch {
        Epoch { number, node: NodeId(node), incarnation }
    }

    fn end(starts: &[(Epoch, u64)], last: u64, chain: u64) -> LogEnd {
        let history = History { starts: starts.iter().map(|(e, l)| (*e, Lsn(*l))).collect() };
        let epoch = starts.last().map_or(Epoch::default(), |(e, _)| *e);
        LogEnd { last: Position { epoch, lsn: Lsn(last) }, chain, history }
    }

    #[test]
    fn an_empty_replica_is_a_prefix_of_every_main() {
        let main = end(&[(epoch(1, 1, 1), 1)], 9, 5);
        assert_eq!(compare(&main, &LogEnd::default(), None), Comparison::Prefix);
    }

    #[test]
    fn equal_histories_with_unequal_chains_are_diverged() {
        let main = end(&[(epoch(1, 1, 1), 1)], 9, 5);
        let replica = end(&[(epoch(1, 1, 1), 1)], 9, 6);
        assert_eq!(compare(&main, &replica, None), Comparison::Diverged { common: Lsn::ZERO });
    }

    #[test]
    fn a_longer_tail_of_the_own_reign_is_fetched_only_before_the_first_append() {
        let main = end(&[(epoch(1, 1, 1), 1), (epoch(2, 1, 1), 4)], 6, 5);
        let replica = end(&[(epoch(1, 1, 1), 1), (epoch(2, 1, 1), 4), (epoch(2, 1, 2), 8)], 9, 6);
        assert_eq!(compare(&main, &replica, Some(epoch(2, 1, 2))), Comparison::OwnTail);
        assert_eq!(compare(&main, &replica, None), Comparison::Diverged { common: Lsn(6) });
        assert_eq!(compare(&main, &replica, Some(epoch(3, 1, 1))), Comparison::Diverged { common: Lsn(6) });
    }

    #[test]
    fn a_fork_is_diverged_at_its_last_common_record() {
        let main = end(&[(epoch(1, 1, 1), 1), (epoch(2, 2, 1), 6)], 9, 5);
        let replica = end(&[(epoch(1, 1, 1), 1)], 7, 6);
        assert_eq!(compare(&main, &replica, None), Comparison::Diverged { common: Lsn(5) });
    }

    #[test]
    fn the_window_counts_what_is_under_way() {
        let mut window = SentWindow::default();
        window.add(Lsn(3), 100);
        window.add(Lsn(5), 50);
        window.acked(Lsn(4));
        assert_eq!(window.bytes(), 50);
        window.acked(Lsn(5));
        assert_eq!(window.bytes(), 0);
    }

    /// Only what is behind the common end counts: who wrote what came before does not.
    #[test]
    fn a_tail_is_own_by_the_epochs_that_it_reaches_into() {
        let (other, another, own) = (epoch(1, 2, 1), epoch(2, 3, 1), epoch(2, 1, 1));
        let main = end(&[(other, 1)], 4, 7);
        let tail_of = |second| compare(&main, &end(&[(other, 1), (second, 5)], 6, 9), Some(own));
        assert_eq!(tail_of(own), Comparison::OwnTail);
        assert_eq!(tail_of(another), Comparison::Diverged { common: Lsn(4) });
        // The tail begins in the epoch before the last one.
        let longer = end(&[(other, 1), (own, 6)], 7, 9);
        assert_eq!(compare(&main, &longer, Some(own)), Comparison::Diverged { common: Lsn(4) });
    }
}
