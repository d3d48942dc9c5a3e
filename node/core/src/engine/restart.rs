//! How a life of the node begins.
//!
//! A REPLICA opens its port and waits. A MAIN without registrations may write at once. A MAIN with
//! registrations first asks every replica, for at most [`EngineConfig::confirm_wait`]: one that
//! obeys a higher epoch means that this node was replaced while it was away; one with a longer tail
//! of this MAIN's own reign gives back what a power loss took. It may write when all have answered and
//! caught up, or when the time is over. The first append then takes a new incarnation, so a
//! record that was lost everywhere never shares its name with another one.

use super::commit::Pending;
use super::snapshot::Snapshots;
use super::{Effect, Engine, EngineConfig, Noted, Recovered, Reign, Shared, shared};
use crate::replication::{LagTrack, Link, LinkState, Log, LogEnd, ReplicaFailureReason};
use crate::storage::InFlight;
use crate::types::{CommitRecord, Epoch, Lsn, Role, SyncMode, Time};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Whether a MAIN may take itself for the MAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirm {
    /// It asks its replicas until then.
    Asking { until: Time },
    /// A replica that it must hear is silent; an operator may decide.
    Missing,
    /// It may.
    Done,
}

impl Engine {
    /// Begins a life of the node with what its disk holds.
    pub fn start(now: Time, config: EngineConfig, recovered: Recovered, out: &mut Vec<Effect>) -> Engine {
        let Recovered { state, graph, last, chain, ts, history, wal_from, noted, held, snapshots, partial } =
            recovered;
        assert_eq!(graph.published(), last.lsn, "recovery publishes what the log holds");
        let log = Log::new(LogEnd { last, chain, history }, ts, config.live_bytes_max);
        let confirm = if state.role == Role::Main && !state.replicas.is_empty() {
            Confirm::Asking { until: now + config.confirm_wait }
        } else {
            Confirm::Done
        };
        let face = shared::Face {
            graph: graph.clone(),
            role: state.role,
            is_writable: false,
            is_settled: false,
            is_pairing_open: false,
            epoch: state.promised,
            history: log.end().history.clone(),
            routes: Vec::new(),
            last: last.lsn,
        };
        let link = |registration: &crate::types::Registration| Link::new(registration.clone(), last.lsn, now);
        let mut engine = Engine {
            shared: Arc::new(Shared::new(face)),
            now,
            is_halted: false,
            saving: None,
            save_waits: Vec::new(),
            saved: state.clone(),
            log_damage: None,
            has_space: true,
            has_memory: true,
            has_refused_growth: false,
            next_save: 0,
            next_peer: 0,
            role: state.role,
            graph,
            wal_from,
            applied: last,
            applied_chain: chain,
            noted: noted.map(|_| Noted { written: last.lsn, is_asked: false }),
            pending: VecDeque::new(),
            reign: Reign::NotBegun,
            last_reign: if state.promised.node == state.node { state.promised } else { Epoch::default() },
            confirm,
            replaced_by: None,
            seen: state.promised.number,
            oldest_read: Lsn::ZERO,
            in_flight: InFlight::default(),
            waiting: VecDeque::new(),
            shown: VecDeque::new(),
            is_closing: false,
            is_forced: false,
            links: state.replicas.iter().map(link).collect(),
            ready_waits: Vec::new(),
            lag: LagTrack::new(last.lsn, ts, now),
            following: None,
            strangers: BTreeMap::new(),
            lines: BTreeMap::new(),
            members_version: 0,
            routes_mark: None,
            may_show: last.lsn,
            installing: None,
            partial,
            task: None,
            tasks_waiting: VecDeque::new(),
            snapshots: Snapshots::new(snapshots),
            state,
            log,
            config,
        };
        if noted.is_some_and(|noted| noted > last.lsn) {
            engine.take_back_note(out);
        }
        engine.take_up(held, out);
        match engine.role {
            Role::Replica { port } => out.push(Effect::Listen { port }),
            Role::Main => engine.tend_links(out),
        }
        engine.carry_on(out);
        engine
    }

    /// Notes less than is noted, before another record is written.
    ///
    /// A log that was not synced after each commit, or that was cut where it is damaged, may end before what was
    /// noted of it. The records that come in place of those that are lost are not decided by that note.
    fn take_back_note(&mut self, out: &mut Vec<Effect>) {
        let lsn = self.applied.lsn;
        self.noted = Some(Noted { written: lsn, is_asked: true });
        out.push(Effect::NoteDecided { lsn, is_first: true });
    }

    /// Puts records that were in the log and not decided back into the queue.
    pub(super) fn take_up(&mut self, held: Vec<CommitRecord>, out: &mut Vec<Effect>) {
        for record in held {
            let changes = match self.graph.decode(&record.payload) {
                Ok(changes) => changes,
                Err(error) => {
                    let why = format!("record {} of the log cannot be read: {error}", record.position());
                    return self.halt(why, out);
                }
            };
            let begins_at = self.log.bytes();
            let chain = self.log.append(&record);
            self.log.synced(record.lsn);
            let (position, ts, since) = (record.position(), record.ts, self.now);
            let pending =
                Pending { position, ts, chain, changes, begins_at, token: None, is_strict: true, since };
            self.pending.push_back(pending);
            // A transaction that began before may have been given ids that these records use.
            self.oldest_read = record.lsn;
        }
    }

    pub(super) fn check_confirm(&mut self) {
        // One that misses a replica goes on listening for it.
        let until = match self.confirm {
            Confirm::Asking { until } => until,
            Confirm::Missing => self.now,
            Confirm::Done => return,
        };
        let is_through = |link: &Link| {
            link.is_ready() || (link.has_answered && link.absence != ReplicaFailureReason::NotInSync)
        };
        let is_fetching = self.links.iter().any(|link| matches!(link.state, LinkState::Fetching { .. }));
        let is_over = self.now >= until && !is_fetching;
        // What it got back may have been acknowledged in its earlier life: readers come after it.
        let is_shown = self.pending.is_empty();
        let is_whole = is_shown && self.links.iter().all(is_through);
        if !is_over && !is_whole {
            return;
        }
        let must_answer = |link: &&Link| link.registration.mode != SyncMode::Async;
        let is_heard = self.links.iter().filter(must_answer).all(|link| link.has_answered);
        self.confirm =
            if self.config.confirm_required && !is_heard { Confirm::Missing } else { Confirm::Done };
    }
}
