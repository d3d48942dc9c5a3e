//! The way of a commit on MAIN: from a proposal to the client's answer.

use super::restart::Confirm;
use super::{
    AfterSave, CommitError, Effect, Engine, Outcome, Reign, ReplicaFailure, ReplicaFailureReason, SyncPolicy,
    Token,
};
use crate::replication::{Link, Message, PROTOCOL_SCHEMA, RECORD_BYTES_MAX, next_incarnation, record_bytes};
use crate::storage::{Commit, Conflict, needs_protocol_3, protocol_of};
use crate::types::{Change, CommitRecord, Lsn, Position, Role, SyncMode, Time};

/// A record in the log that is not yet applied.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) position: Position,
    pub(super) ts: u64,
    pub(super) chain: u64,
    pub(super) changes: Vec<Change>,
    /// [`Log::bytes`](crate::replication::Log::bytes) before it.
    pub(super) begins_at: u64,
    /// The client that waits for it.
    pub(super) token: Option<Token>,
    /// No one may show it before every STRICT_SYNC replica has it durable.
    pub(super) is_strict: bool,
    pub(super) since: Time,
}

/// A STRICT_SYNC commit that can no longer change.
#[derive(Debug)]
pub(super) struct Shown {
    position: Position,
    token: Token,
    since: Time,
}

impl Engine {
    pub(super) fn on_propose(&mut self, token: Token, commit: Commit, out: &mut Vec<Effect>) {
        if let Err(error) = self.may_commit() {
            return out.push(Effect::Resolve { token, outcome: Outcome::Failed(error) });
        }
        match self.reign {
            // What reached the queue first is answered first.
            Reign::Begun(_) if self.waiting.is_empty() => self.commit(token, commit, out),
            _ => self.waiting.push_back((token, commit)),
        }
    }

    /// Begins the reign where a commit waits for it, and commits what waited.
    pub(super) fn commit_waiting(&mut self, out: &mut Vec<Effect>) {
        if self.waiting.is_empty() {
            return;
        }
        match self.reign {
            Reign::NotBegun => self.begin_reign(out),
            Reign::Saving { .. } => {}
            Reign::Begun(_) => {
                while let Some((token, commit)) = self.waiting.pop_front() {
                    match self.may_commit() {
                        Ok(()) => self.commit(token, commit, out),
                        Err(error) => out.push(Effect::Resolve { token, outcome: Outcome::Failed(error) }),
                    }
                }
            }
        }
    }

    /// Takes a new incarnation, unless a replica is giving back the end of the last one.
    pub(super) fn begin_reign(&mut self, out: &mut Vec<Effect>) {
        if self.reign != Reign::NotBegun || self.links.iter().any(|link| link.state.is_fetching()) {
            return;
        }
        if self.is_fenced() {
            return self.refuse_waiting(&CommitError::Fenced, out);
        }
        self.reign = Reign::Saving { before: self.last_reign };
        self.state.promised = next_incarnation(&self.state);
        self.save(AfterSave::Reign(self.state.promised), out);
    }

    /// Tells every client how its commit stands, with its position where it is in the log, and ends.
    pub(super) fn on_stop(&mut self, out: &mut Vec<Effect>) {
        self.refuse_waiting(&CommitError::Stopping, out);
        self.is_forced = true;
        self.resolve_shown(out);
        self.call_pending_doubtful(out);
        self.is_halted = true;
    }

    pub(super) fn refuse_waiting(&mut self, error: &CommitError, out: &mut Vec<Effect>) {
        for (token, _) in std::mem::take(&mut self.waiting) {
            out.push(Effect::Resolve { token, outcome: Outcome::Failed(error.clone()) });
        }
    }

    fn may_commit(&self) -> Result<(), CommitError> {
        if self.role != Role::Main || self.is_closing {
            return Err(CommitError::NotMain);
        }
        if self.is_fenced() {
            return Err(CommitError::Fenced);
        }
        if self.confirm != Confirm::Done {
            return Err(CommitError::Unconfirmed);
        }
        if !self.has_space {
            return Err(CommitError::NoSpace);
        }
        if !self.has_lease() {
            return Err(CommitError::NoLease);
        }
        let missing = self.missing(SyncMode::StrictSync);
        if !missing.is_empty() {
            return Err(CommitError::ReplicasMissing(missing));
        }
        let is_refused_without = match self.config.sync_policy {
            SyncPolicy::Degrade => false,
            // What waits is kept in memory.
            SyncPolicy::Block => self.pending_bytes() >= self.config.blocked_bytes_max,
            SyncPolicy::Reject => true,
        };
        if is_refused_without {
            let missing = self.missing(SyncMode::Sync);
            let all = self.links.iter().filter(|link| link.registration.mode == SyncMode::Sync).count();
            let needed = self.config.sync_min_acks.map_or(all, |k| k.min(all));
            if all - missing.len() < needed {
                return Err(CommitError::ReplicasMissing(missing));
            }
        }
        Ok(())
    }

    /// Returns the bytes of the records that are in the log and not shown.
    fn pending_bytes(&self) -> u64 {
        self.pending.front().map_or(0, |head| self.log.bytes() - head.begins_at)
    }

    fn missing(&self, mode: SyncMode) -> Vec<ReplicaFailure> {
        let is_missing = |link: &&Link| link.registration.mode == mode && !link.is_ready();
        let failure = |link: &Link| self.failure(&link.registration.name, mode, link.absence);
        self.links.iter().filter(is_missing).map(failure).collect()
    }

    fn commit(&mut self, token: Token, mut commit: Commit, out: &mut Vec<Effect>) {
        let Reign::Begun(epoch) = self.reign else {
            unreachable!("commits wait until the reign has begun");
        };
        let refusal = if commit.payload.len() > RECORD_BYTES_MAX {
            Some(CommitError::TooLarge { bytes: commit.payload.len(), bytes_max: RECORD_BYTES_MAX })
        } else if !self.has_memory && commit.changes.iter().any(Change::grows) {
            Some(CommitError::NoMemory)
        } else if let Some(error) = self.old_replica(&commit.changes) {
            Some(error)
        } else if commit.read < self.oldest_read {
            Some(CommitError::Conflict)
        } else {
            self.graph.conflicts(&commit, &self.in_flight).err().map(|conflict| match conflict {
                Conflict::Object => CommitError::Conflict,
                Conflict::SchemaChanged => CommitError::SchemaChanged,
                Conflict::Constraint(text) => CommitError::Constraint(text),
            })
        };
        if let Some(error) = refusal {
            return out.push(Effect::Resolve { token, outcome: Outcome::Failed(error) });
        }
        if self.has_strict_links() || self.config.sync_policy != SyncPolicy::Degrade {
            self.begin_noting(out);
        }
        let lsn = self.log.last().next();
        let ts = self.graph.clock().take();
        self.in_flight.add(lsn, &mut commit);
        let record = CommitRecord { epoch, lsn, ts, payload: commit.payload };
        self.write_record(record, commit.changes, Some(token), out);
        out.push(Effect::SyncWal { lsn });
    }

    /// Returns why these changes are refused, where a replica that is there could not read them.
    fn old_replica(&self, changes: &[Change]) -> Option<CommitError> {
        let what = changes.iter().find_map(needs_protocol_3)?;
        let link = self.links.iter().find(|link| self.protocol_of(link) < PROTOCOL_SCHEMA)?;
        Some(CommitError::OldReplica { name: link.registration.name.clone(), what })
    }

    /// Puts a record into the log and on its way to every replica that is up to date.
    pub(super) fn write_record(
        &mut self,
        record: CommitRecord,
        changes: Vec<Change>,
        token: Option<Token>,
        out: &mut Vec<Effect>,
    ) {
        let (prev, prev_chain) = (self.log.last(), self.log.chain());
        let begins_at = self.log.bytes();
        self.log.keep_recent(self.recent_bytes_max());
        let chain = self.log.append(&record);
        out.push(Effect::WriteWal { record: record.clone(), chain });
        if self.role == Role::Main {
            self.lag.note(record.lsn, record.ts, self.log.bytes(), self.now);
            self.send_live(&record, prev, prev_chain, chain, out);
        }
        self.pending.push_back(Pending {
            position: record.position(),
            ts: record.ts,
            chain,
            changes,
            begins_at,
            token,
            is_strict: self.has_strict_links(),
            since: self.now,
        });
    }

    /// Returns how many bytes of records are worth keeping in memory. A MAIN without replicas has nobody to send them
    /// to; one that comes gets what is not kept from the disk.
    fn recent_bytes_max(&self) -> usize {
        const ALONE_BYTES_MAX: usize = 1 << 20;
        let bytes_max = self.config.live_bytes_max;
        let is_alone = self.role == Role::Main && self.links.is_empty();
        if is_alone { bytes_max.min(ALONE_BYTES_MAX) } else { bytes_max }
    }

    /// Applies, publishes and resolves every record at the head of the queue that is durable where
    /// it must be.
    pub(super) fn publish_ready(&mut self, out: &mut Vec<Effect>) {
        let has_lease = self.has_lease();
        while let Some(head) = self.pending.front() {
            let (lsn, is_strict) = (head.position.lsn, head.is_strict);
            // What is noted as decided stays so, whatever became of a link meanwhile.
            let is_decided = self.noted.is_some_and(|noted| lsn <= noted.written);
            let is_held = !is_decided && self.is_undecided(lsn, is_strict, has_lease);
            if lsn > self.log.durable() || is_held {
                break;
            }
            if !is_decided && !self.is_noted(lsn, self.last_decided(lsn, has_lease), out) {
                break;
            }
            let pending = self.pending.pop_front().expect("it has a head");
            // Only a forced step gets here without a lease.
            let is_sure = has_lease;
            if !self.apply(&pending, out) {
                return;
            }
            let position = pending.position;
            let Some(token) = pending.token else { continue };
            if is_strict && is_sure && !self.is_forced {
                self.shown.push_back(Shown { position, token, since: pending.since });
                continue;
            }
            let failed = self.failures(lsn);
            let outcome = match (is_sure, failed.is_empty()) {
                (false, _) => Outcome::InDoubt { position, failed },
                (true, true) => Outcome::Committed { position },
                (true, false) => Outcome::Degraded { position, failed },
            };
            out.push(Effect::Resolve { token, outcome });
        }
        self.tell_what_may_be_shown(out);
        self.resolve_shown(out);
        self.resolve_doubtful(out);
    }

    /// Returns whether a record must not be shown yet, for what is not known of the others.
    fn is_undecided(&self, lsn: Lsn, is_strict: bool, has_lease: bool) -> bool {
        if self.is_forced {
            return self.lacks_replicas(lsn, is_strict);
        }
        !has_lease || self.is_held(lsn, is_strict)
    }

    /// Returns the last of the records from `head` on that are durable here and decided, so that one note serves
    /// for all of them.
    fn last_decided(&self, head: Lsn, has_lease: bool) -> Lsn {
        if self.noted.is_none() {
            return head;
        }
        let is_ready = |pending: &&Pending| {
            let lsn = pending.position.lsn;
            lsn <= self.log.durable() && !self.is_undecided(lsn, pending.is_strict, has_lease)
        };
        let decided = self.pending.iter().take_while(is_ready).last();
        decided.map_or(head, |pending| pending.position.lsn)
    }

    /// Returns whether a record must not be shown yet, for what replicas have not confirmed.
    fn is_held(&self, lsn: Lsn, is_strict: bool) -> bool {
        // With `Degrade` whoever can still confirm it is waited for, up to the time-out that sets it aside.
        let (confirmed, possible, needed) = self.confirmations(lsn);
        self.lacks_replicas(lsn, is_strict) || confirmed < needed && possible > 0
    }

    /// Returns whether a record lacks a replica without which it is not committed, however long that takes.
    fn lacks_replicas(&self, lsn: Lsn, is_strict: bool) -> bool {
        if is_strict && self.links.iter().any(|link| link.holds_up(lsn)) {
            return true;
        }
        let (confirmed, _, needed) = self.confirmations(lsn);
        self.config.sync_policy != SyncPolicy::Degrade && confirmed < needed
    }

    /// Returns how many SYNC replicas have confirmed a record, how many more are up to date and may do so,
    /// and how many must.
    fn confirmations(&self, lsn: Lsn) -> (usize, usize, usize) {
        let (mut confirmed, mut possible, mut all) = (0, 0, 0);
        for link in self.links.iter().filter(|link| link.counts_for(lsn)) {
            all += 1;
            if link.applied >= lsn {
                confirmed += 1;
            } else if link.is_ready() {
                possible += 1;
            }
        }
        (confirmed, possible, self.config.sync_min_acks.map_or(all, |k| k.min(all)))
    }

    /// Returns whether this MAIN knows that a majority followed it until just now, where that is asked for.
    ///
    /// An answer counts from the moment its question left, so whoever fenced a majority of the cluster knows
    /// that this is over one lease later.
    pub(super) fn has_lease(&self) -> bool {
        let Some(lease) = self.config.main_lease else { return true };
        let follows = |link: &&Link| link.followed_at.is_some_and(|at| self.now - at < lease);
        let (with_it, all) = (1 + self.links.iter().filter(follows).count(), 1 + self.links.len());
        with_it > all / 2
    }

    /// Makes a record visible. False where the graph did not take it and the node halts.
    pub(super) fn apply(&mut self, pending: &Pending, out: &mut Vec<Effect>) -> bool {
        let lsn = pending.position.lsn;
        assert_eq!(lsn, self.applied.lsn.next(), "records are applied one after the other");
        if let Err(error) = self.graph.apply(lsn, &pending.changes) {
            self.halt(format!("record {} does not fit the graph: {error}", pending.position), out);
            return false;
        }
        self.graph.publish(lsn, pending.ts);
        self.graph.clock().adopt(pending.ts);
        self.applied = pending.position;
        self.applied_chain = pending.chain;
        self.in_flight.remove_up_to(lsn);
        true
    }

    fn tell_what_may_be_shown(&mut self, out: &mut Vec<Effect>) {
        let shown = self.applied.lsn;
        for link in &mut self.links {
            let sent = link.next.0 - 1;
            let Some(peer) = link.peer.filter(|_| link.is_streaming() && link.may_show.0 < sent.min(shown.0))
            else {
                continue;
            };
            link.may_show = shown;
            out.push(Effect::Send { peer, message: Message::Publish { apply_to: shown } });
        }
    }

    /// Answers STRICT_SYNC commits that every replica shows, or that one will show late.
    fn resolve_shown(&mut self, out: &mut Vec<Effect>) {
        while let Some(head) = self.shown.front() {
            let lsn = head.position.lsn;
            let waits = self.links.iter().any(|link| {
                link.registration.mode == SyncMode::StrictSync && link.is_ready() && link.applied < lsn
            });
            if waits && !self.is_forced {
                return;
            }
            let shown = self.shown.pop_front().expect("it has a head");
            let (position, failed) = (shown.position, self.failures(lsn));
            let outcome = if failed.is_empty() {
                Outcome::Committed { position }
            } else {
                Outcome::Degraded { position, failed }
            };
            out.push(Effect::Resolve { token: shown.token, outcome });
        }
    }

    /// Tells clients whose record waits for replicas that are gone, or for a lease.
    ///
    /// The record stays: a replica may hold it, so it can only be committed later.
    fn resolve_doubtful(&mut self, out: &mut Vec<Effect>) {
        let has_lease = self.has_lease();
        if has_lease && self.config.sync_policy == SyncPolicy::Degrade && !self.has_strict_links() {
            return;
        }
        let mut doubtful = Vec::new();
        for (index, pending) in self.pending.iter().enumerate() {
            if pending.token.is_some() && self.is_doubtful(pending, has_lease) {
                doubtful.push(index);
            }
        }
        for index in doubtful {
            self.call_doubtful(index, out);
        }
    }

    /// Tells every client that still waits that its record is in doubt.
    pub(super) fn call_pending_doubtful(&mut self, out: &mut Vec<Effect>) {
        for index in 0..self.pending.len() {
            self.call_doubtful(index, out);
        }
    }

    fn call_doubtful(&mut self, index: usize, out: &mut Vec<Effect>) {
        let Some(token) = self.pending[index].token.take() else { return };
        let position = self.pending[index].position;
        // A STRICT_SYNC replica shows a record only after this MAIN does: that it is durable there is all that
        // can be asked of it.
        let lacks = |link: &&Link| {
            link.holds_up(position.lsn) || (link.counts_for(position.lsn) && link.applied < position.lsn)
        };
        let failed = self
            .links
            .iter()
            .filter(lacks)
            .map(|link| self.failure(&link.registration.name, link.registration.mode, link.absence))
            .collect();
        out.push(Effect::Resolve { token, outcome: Outcome::InDoubt { position, failed } });
    }

    fn is_doubtful(&self, pending: &Pending, has_lease: bool) -> bool {
        let lsn = pending.position.lsn;
        let is_over = |limit: std::time::Duration| self.now - pending.since >= limit;
        let lacks_strict =
            pending.is_strict && self.links.iter().any(|link| !link.is_ready() && link.holds_up(lsn));
        if lacks_strict {
            return !self.config.wait_in_doubt || is_over(self.config.block_timeout);
        }
        if !has_lease && is_over(self.config.sync_timeout) {
            return true;
        }
        let (confirmed, possible, needed) = self.confirmations(lsn);
        match self.config.sync_policy {
            SyncPolicy::Degrade => false,
            SyncPolicy::Block => confirmed < needed && is_over(self.config.block_timeout),
            SyncPolicy::Reject => confirmed + possible < needed,
        }
    }

    /// Stops counting on replicas that hold up the oldest commit for too long.
    pub(super) fn time_out_commits(&mut self) {
        let oldest = [
            self.pending.front().map(|p| (p.position.lsn, p.is_strict, p.since)),
            self.shown.front().map(|s| (s.position.lsn, true, s.since)),
        ];
        let end = self.log.last();
        for (lsn, is_strict, since) in oldest.into_iter().flatten() {
            if self.now - since < self.config.sync_timeout {
                continue;
            }
            for link in &mut self.links {
                let mode = link.registration.mode;
                let holds_up =
                    mode != SyncMode::Async && link.applied < lsn && (mode == SyncMode::Sync || is_strict);
                if link.is_ready() && holds_up {
                    link.set_aside(end, ReplicaFailureReason::TimedOut);
                }
            }
        }
    }

    /// Names the replicas whose mode promised more for `lsn` than they confirmed.
    fn failures(&self, lsn: Lsn) -> Vec<ReplicaFailure> {
        let (confirmed, _, needed) = self.confirmations(lsn);
        let has_failed = |link: &&Link| match link.registration.mode {
            SyncMode::Async => false,
            SyncMode::Sync => confirmed < needed && link.counts_for(lsn) && link.applied < lsn,
            SyncMode::StrictSync => link.registered_at < lsn && link.applied < lsn,
        };
        let failure =
            |link: &Link| self.failure(&link.registration.name, link.registration.mode, link.absence);
        self.links.iter().filter(has_failed).map(failure).collect()
    }

    fn failure(&self, name: &str, mode: SyncMode, reason: ReplicaFailureReason) -> ReplicaFailure {
        ReplicaFailure { name: name.to_owned(), mode, reason }
    }

    fn send_live(
        &mut self,
        record: &CommitRecord,
        prev: Lsn,
        prev_chain: u64,
        chain: u64,
        out: &mut Vec<Effect>,
    ) {
        let apply_to = if self.has_strict_links() { self.applied.lsn } else { record.lsn };
        let epoch = self.reign_epoch();
        let is_sync = |link: &&Link| link.registration.mode == SyncMode::Sync;
        let all = self.links.iter().filter(is_sync).count();
        let needed = self.config.sync_min_acks.map_or(all, |k| k.min(all));
        let mut ready = self.links.iter().filter(is_sync).filter(|link| link.is_ready()).count();
        for link in &mut self.links {
            if link.state != crate::replication::LinkState::Live || link.registration.mode == SyncMode::Async
            {
                continue;
            }
            let Some(peer) = link.peer else { continue };
            // A replica that lets this much pile up is served from the log, at its own pace.
            // What commits wait for is bounded by the clients that wait, and by the time-out.
            let is_waited_for = link.is_ready()
                && match link.registration.mode {
                    SyncMode::Async => false,
                    SyncMode::Sync => ready <= needed,
                    SyncMode::StrictSync => true,
                };
            if link.window.bytes() > self.config.live_bytes_max && !is_waited_for {
                link.state = crate::replication::LinkState::CatchUp { is_reading: false, is_stuck: false };
                if link.is_ready() && link.registration.mode == SyncMode::Sync {
                    ready -= 1;
                }
                link.set_aside(record.lsn, ReplicaFailureReason::NotInSync);
                continue;
            }
            debug_assert_eq!(link.next, record.lsn, "a live replica was sent everything before");
            debug_assert!(
                self.lines.get(&peer).is_none_or(|line| line.protocol >= protocol_of(&record.payload)),
                "no record is written that a replica that is there cannot read"
            );
            link.next = record.lsn.next();
            link.next_chain = chain;
            link.window.add(record.lsn, record_bytes(record));
            link.sent = self.now;
            link.may_show = link.may_show.max(apply_to);
            let records = vec![record.clone()];
            let message = Message::Append { epoch, prev, prev_chain, apply_to, records };
            out.push(Effect::Send { peer, message });
        }
        self.send_gathered(out);
    }
}
