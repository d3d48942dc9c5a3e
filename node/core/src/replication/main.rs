//! A replica as its MAIN sees it.

use super::{LogEnd, SentWindow};
use crate::types::{Lsn, PartialSnapshot, Registration, SnapshotId, SyncMode, Time};
use std::time::Duration;

/// One connection between two nodes; a number is never used twice in a process.
///
/// Dialled ones get theirs from the engine (even numbers), accepted ones from the hands (odd).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// Why a replica did not confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaFailureReason {
    /// It was not ready when the commit began, or its connection ended.
    NotInSync,
    /// It said nothing within the time-out.
    TimedOut,
    /// It holds records that this MAIN does not.
    Diverged,
    /// It refused the record.
    Refused,
}

/// How far MAIN is with a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// No connection; the next dial is due then.
    Down { redial_at: Time },
    /// Dialled.
    Dialing,
    /// Hello is sent.
    Greeting,
    /// It gives back what MAIN lost of its own reign.
    Fetching { end: LogEnd },
    /// Records of the past are under way.
    CatchUp {
        /// A read of the log is under way.
        is_reading: bool,
        /// The log did not give what it should; asked again at the next tick.
        is_stuck: bool,
    },
    /// No snapshot file leads to the log; one is being written.
    SnapshotDue,
    /// A snapshot file is under way.
    Snapshot { snapshot: SnapshotId },
    /// Every new record is sent at once.
    Live,
}

/// A registered replica and the connection to it.
#[derive(Debug)]
pub struct Link {
    pub registration: Registration,
    /// The log's end when it was registered. Records up to there never depended on it.
    pub registered_at: Lsn,
    pub state: LinkState,
    /// The connection, where there is one.
    pub peer: Option<PeerId>,
    /// What the replica said it kept of a snapshot.
    pub partial: Option<PartialSnapshot>,
    /// A snapshot file that was begun to be sent and is not acknowledged.
    pub unfinished: Option<SnapshotId>,
    /// When the connection was lost, as a count of [`Log::bytes`](super::Log::bytes).
    pub lost_at_bytes: Option<u64>,
    /// The first record not yet sent.
    pub next: Lsn,
    /// Chain hash just before `next`.
    pub next_chain: u64,
    /// Whether the chain hash before `next` is yet to be proved against the log.
    pub is_unproved: bool,
    /// This MAIN cannot read its own log at `next`.
    pub is_unreadable: bool,
    /// Known to be durable and shown there.
    pub durable: Lsn,
    pub applied: Lsn,
    /// The highest record that it was told it may show.
    pub may_show: Lsn,
    /// What the log held when the link went live; acknowledged, the replica is ready.
    pub join: Lsn,
    is_ready: bool,
    pub window: SentWindow,
    /// When records went to it last.
    pub sent: Time,
    pub heard: Option<Time>,
    pub pinged: Time,
    /// When the present state of the connection began.
    pub since: Time,
    pause: Duration,
    /// Where clients reach it, as it said last.
    pub bolt: Vec<String>,
    /// When the latest ping that it answered was sent.
    pub followed_at: Option<Time>,
    /// It answered a greeting, with yes or no, since this MAIN started.
    pub has_answered: bool,
    /// Why it is not ready, while it is not.
    pub absence: ReplicaFailureReason,
    pub last_error: Option<String>,
}

impl Link {
    /// Begins without a connection; the first dial is due now.
    pub fn new(registration: Registration, registered_at: Lsn, now: Time) -> Link {
        Link {
            registration,
            registered_at,
            state: LinkState::Down { redial_at: now },
            peer: None,
            partial: None,
            unfinished: None,
            lost_at_bytes: None,
            next: Lsn(1),
            next_chain: 0,
            is_unproved: false,
            is_unreadable: false,
            durable: Lsn::ZERO,
            applied: Lsn::ZERO,
            may_show: Lsn::ZERO,
            join: Lsn::ZERO,
            is_ready: false,
            window: SentWindow::default(),
            sent: now,
            heard: None,
            pinged: now,
            since: now,
            pause: Duration::ZERO,
            bolt: Vec::new(),
            followed_at: None,
            has_answered: false,
            absence: ReplicaFailureReason::NotInSync,
            last_error: None,
        }
    }

    /// Returns whether commits may count on it.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Returns the word of `SHOW REPLICAS`. `applied` is what MAIN shows.
    pub fn status(&self, applied: Lsn) -> &'static str {
        match self.state {
            _ if self.absence == ReplicaFailureReason::Diverged => "diverged",
            LinkState::Down { .. } | LinkState::Dialing | LinkState::Greeting => "invalid",
            LinkState::Live if self.is_ready && self.applied >= applied => "ready",
            LinkState::Live if self.is_ready => "replicating",
            _ => "recovery",
        }
    }

    /// Forgets the connection and says when to dial again: soon at first, then ever more rarely.
    pub fn lose(&mut self, now: Time, why: &str, pause_min: Duration, pause_max: Duration) {
        self.peer = None;
        self.is_ready = false;
        if self.absence == ReplicaFailureReason::TimedOut {
            self.absence = ReplicaFailureReason::NotInSync;
        }
        self.last_error = Some(why.to_owned());
        self.window = SentWindow::default();
        self.pause = (self.pause * 2).clamp(pause_min, pause_max);
        self.state = LinkState::Down { redial_at: now + self.pause };
        self.since = now;
    }

    /// Takes the replica's end of log as proved by comparison: records after it are due.
    pub fn resume(&mut self, end: &LogEnd, now: Time) {
        self.pause = Duration::ZERO;
        self.absence = ReplicaFailureReason::NotInSync;
        self.next = end.last.lsn.next();
        self.next_chain = end.chain;
        self.is_unproved = true;
        self.is_unreadable = false;
        self.durable = end.last.lsn;
        self.applied = Lsn::ZERO;
        self.may_show = Lsn::ZERO;
        self.window = SentWindow::default();
        self.state = LinkState::CatchUp { is_reading: false, is_stuck: false };
        self.since = now;
    }

    /// Takes note of an acknowledgement. False where it speaks of records never sent.
    pub fn acked(&mut self, durable: Lsn, applied: Lsn) -> bool {
        if durable >= self.next || applied > durable {
            return false;
        }
        self.durable = self.durable.max(durable);
        self.applied = self.applied.max(applied);
        self.window.acked(durable);
        true
    }

    /// Counts on it from now on, if it holds all that it must. True where that is new.
    ///
    /// `shown` is what MAIN shows: a replica may not have applied more where it has to wait.
    pub fn join_if_caught_up(&mut self, shown: Lsn) -> bool {
        let joins = self.state == LinkState::Live
            && !self.is_ready
            && self.durable >= self.join
            && self.applied >= self.join.min(shown);
        if joins {
            self.is_ready = true;
            self.last_error = None;
        }
        joins
    }

    /// Stops counting on it until it has caught up with the log as it is now.
    pub fn set_aside(&mut self, log_end: Lsn, absence: ReplicaFailureReason) {
        self.is_ready = false;
        self.absence = absence;
        self.join = log_end;
    }

    /// Returns whether it is a STRICT_SYNC replica that must have `lsn` before anyone may show it.
    pub fn holds_up(&self, lsn: Lsn) -> bool {
        self.registration.mode == SyncMode::StrictSync && self.registered_at < lsn && self.durable < lsn
    }

    /// Returns whether it is a SYNC replica whose confirmation of `lsn` counts.
    pub fn counts_for(&self, lsn: Lsn) -> bool {
        self.registration.mode == SyncMode::Sync && self.registered_at < lsn
    }

    /// Returns whether records go to it.
    pub fn is_streaming(&self) -> bool {
        matches!(self.state, LinkState::Live | LinkState::CatchUp { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Identity, NodeId};

    fn link(mode: SyncMode, registered_at: u64) -> Link {
        let registration = Registration {
            name: "r".to_owned(),
            mode,
            address: "r:10000".to_owned(),
            node: NodeId(2),
            identity: Identity::default(),
        };
        Link::new(registration, Lsn(registered_at), Time(0))
    }

    const CATCHING_UP: LinkState = LinkState::CatchUp { is_reading: false, is_stuck: false };

    #[test]
    fn each_state_has_its_word() {
        let mut link = link(SyncMode::Sync, 0);
        assert_eq!(link.status(Lsn(5)), "invalid");
        for state in [LinkState::Dialing, LinkState::Greeting] {
            link.state = state;
            assert_eq!(link.status(Lsn(5)), "invalid");
        }
        for state in [CATCHING_UP, LinkState::SnapshotDue, LinkState::Fetching { end: LogEnd::default() }] {
            link.state = state;
            assert_eq!(link.status(Lsn(5)), "recovery");
        }
        link.state = LinkState::Live;
        link.applied = Lsn(5);
        assert_eq!(link.status(Lsn(5)), "recovery", "nothing counts on it yet");
        link.is_ready = true;
        assert_eq!((link.status(Lsn(5)), link.status(Lsn(6))), ("ready", "replicating"));
        link.absence = ReplicaFailureReason::Diverged;
        assert_eq!(link.status(Lsn(5)), "diverged");
    }

    #[test]
    fn records_go_where_the_log_is_followed() {
        let mut link = link(SyncMode::Async, 0);
        for (state, is_streaming) in [
            (LinkState::Dialing, false),
            (LinkState::SnapshotDue, false),
            (CATCHING_UP, true),
            (LinkState::Live, true),
        ] {
            link.state = state;
            assert_eq!(link.is_streaming(), is_streaming, "{:?}", link.state);
        }
    }

    #[test]
    fn only_records_after_its_registration_depend_on_it() {
        let (mut strict, sync) = (link(SyncMode::StrictSync, 4), link(SyncMode::Sync, 4));
        assert!(!strict.holds_up(Lsn(4)) && strict.holds_up(Lsn(5)));
        strict.durable = Lsn(5);
        assert!(!strict.holds_up(Lsn(5)) && strict.holds_up(Lsn(6)));
        assert!(!sync.counts_for(Lsn(4)) && sync.counts_for(Lsn(5)));
        assert!(!sync.holds_up(Lsn(5)) && !strict.counts_for(Lsn(5)), "each mode has its own rule");
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_is_none() {
        let mut link = link(SyncMode::Sync, 0);
        link.next = Lsn(6);
        assert!(link.acked(Lsn(5), Lsn(4)));
        assert!(!link.acked(Lsn(6), Lsn(4)), "6 was not sent");
        assert!(!link.acked(Lsn(4), Lsn(5)), "nobody shows what is not durable");
        assert_eq!((link.durable, link.applied), (Lsn(5), Lsn(4)));
        assert!(link.acked(Lsn(3), Lsn(2)), "an older one");
        assert_eq!((link.durable, link.applied), (Lsn(5), Lsn(4)));
    }

    #[test]
    fn it_counts_once_it_holds_and_shows_what_it_must() {
        let mut link = link(SyncMode::Sync, 0);
        link.set_aside(Lsn(5), ReplicaFailureReason::TimedOut);
        assert_eq!((link.is_ready(), link.absence), (false, ReplicaFailureReason::TimedOut));
        link.state = LinkState::Live;
        (link.durable, link.applied) = (Lsn(4), Lsn(4));
        assert!(!link.join_if_caught_up(Lsn(5)));
        link.durable = Lsn(5);
        assert!(!link.join_if_caught_up(Lsn(5)), "it does not show it");
        // What MAIN does not show yet, it need not.
        link.state = CATCHING_UP;
        assert!(!link.join_if_caught_up(Lsn(4)), "it is not at the end of the log");
        link.state = LinkState::Live;
        assert!(link.join_if_caught_up(Lsn(4)) && link.is_ready());
        assert!(!link.join_if_caught_up(Lsn(4)), "that is nothing new");
    }

    #[test]
    fn a_lost_replica_is_dialled_ever_more_rarely() {
        let (least, most) = (Duration::from_millis(100), Duration::from_millis(350));
        let mut link = link(SyncMode::Sync, 0);
        let mut pauses = Vec::new();
        for _ in 0..4 {
            link.absence = ReplicaFailureReason::TimedOut;
            link.lose(Time(0), "gone", least, most);
            let LinkState::Down { redial_at } = link.state else { panic!("{:?}", link.state) };
            pauses.push((redial_at - Time(0)).as_millis());
        }
        assert_eq!(pauses, [100, 200, 350, 350]);
        assert_eq!(link.absence, ReplicaFailureReason::NotInSync, "a connection that ended is no time-out");
        link.absence = ReplicaFailureReason::Diverged;
        link.lose(Time(0), "gone", least, most);
        assert_eq!(link.absence, ReplicaFailureReason::Diverged);
    }
}
