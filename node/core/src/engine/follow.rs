//! REPLICA's side: whom it follows, what it writes, shows and acknowledges.

use super::roles::Task;
use super::{AfterSave, Effect, Engine, PeerId};
use crate::replication::{
    Following, Greeting, Message, PROTOCOL, Refusal, RefusalReason, check_append, check_hello,
};
use crate::types::{Change, CommitRecord, Epoch, Lsn, Member, Role};

const AT_MEMORY_LIMIT: &str = "the replica is at its memory limit";

impl Engine {
    pub(super) fn on_main_message(&mut self, peer: PeerId, message: Message, out: &mut Vec<Effect>) {
        if let Message::Hello { protocol, node, to, epoch, cluster, members, .. } = message {
            let greeting = Greeting { protocol, node, to, epoch, cluster };
            return self.on_hello(peer, &greeting, members, out);
        }
        // Anything else is heard only from the MAIN that this node follows, on its newest connection.
        if self.following.as_ref().is_none_or(|f| f.peer != peer) {
            return;
        }
        match message {
            Message::Append { epoch, prev, prev_chain, apply_to, records } => {
                self.on_append(epoch, prev, prev_chain, apply_to, records, out);
            }
            Message::Publish { apply_to } => self.allow(apply_to),
            Message::Fetch { from } => self.on_fetch(from, out),
            Message::Members { members } => {
                self.take_members(members);
                self.save(AfterSave::Nothing, out);
            }
            Message::Release => {
                self.state.cluster = None;
                self.state.members.clear();
                self.save(AfterSave::Nothing, out);
                self.leave_main("it dropped this replica", None, out);
            }
            Message::Diverged { common } if self.config.auto_rewind && self.task.is_none() => {
                self.start_rewind(None, common, out);
            }
            Message::Diverged { .. } => {}
            Message::Ping { sequence } => {
                out.push(Effect::Send { peer, message: Message::Pong { sequence } });
            }
            _ => self.leave_main("it speaks as a REPLICA would", None, out),
        }
    }

    fn on_hello(&mut self, peer: PeerId, greeting: &Greeting, members: Vec<Member>, out: &mut Vec<Effect>) {
        self.strangers.remove(&peer);
        let is_leaving = matches!(self.task, Some(Task::Promote { .. }));
        let role = if is_leaving { Role::Main } else { self.role };
        let identity = self.lines.get(&peer).map(|line| line.identity.clone()).unwrap_or_default();
        if let Err(refusal) = check_hello(&self.state, role, greeting, &identity) {
            return self.turn_away(peer, refusal, out);
        }
        self.seen = self.seen.max(greeting.epoch.number);
        if !self.has_space {
            let text = "the disk of the replica is full".to_owned();
            return self.turn_away(peer, Refusal { reason: RefusalReason::Full, text }, out);
        }
        if self.has_refused_growth {
            let refusal = Refusal { reason: RefusalReason::Full, text: AT_MEMORY_LIMIT.to_owned() };
            return self.turn_away(peer, refusal, out);
        }
        if matches!(self.task, Some(Task::Rewind { .. })) {
            let text = "the replica is cutting its log back".to_owned();
            return self.turn_away(peer, Refusal { reason: RefusalReason::Gap, text }, out);
        }
        self.leave_main("a newer connection takes its place", None, out);
        let before = self.state.clone();
        if greeting.epoch > self.state.promised {
            self.state.promised = greeting.epoch;
            self.state.promised_by = String::new();
        }
        self.following = Some(Following::new(peer, greeting.node, identity, greeting.epoch));
        if greeting.cluster.is_some() {
            self.state.cluster = greeting.cluster;
            self.take_members(members);
        }
        if self.state != before {
            self.save(AfterSave::Nothing, out);
        }
    }

    /// Keeps whom MAIN counts as the cluster, and what its own connection proved of itself.
    fn take_members(&mut self, mut members: Vec<Member>) {
        let Some(following) = &self.following else { return };
        for member in &mut members {
            if member.node == following.main {
                member.identity = following.identity.clone();
            }
        }
        self.state.members = members;
        self.members_version += 1;
    }

    fn turn_away(&mut self, peer: PeerId, refusal: Refusal, out: &mut Vec<Effect>) {
        let reason = refusal.text.clone();
        // Only what the disk holds is told: a promise on its way there is not one yet.
        let message = refusal.message(self.state.node, self.saved.promised, self.log.end().clone());
        out.push(Effect::Send { peer, message });
        out.push(Effect::Hangup { peer, reason });
    }

    fn promise(&mut self, epoch: Epoch, out: &mut Vec<Effect>) {
        if epoch > self.state.promised {
            self.state.promised = epoch;
            self.state.promised_by = String::new();
            self.save(AfterSave::Nothing, out);
        }
    }

    /// Stops following, with a word to the MAIN where there is one to say.
    pub(super) fn leave_main(&mut self, why: &str, word: Option<RefusalReason>, out: &mut Vec<Effect>) {
        let Some(following) = self.following.take() else { return };
        let peer = following.peer;
        match word {
            Some(reason) => self.turn_away(peer, Refusal { reason, text: why.to_owned() }, out),
            None => out.push(Effect::Hangup { peer, reason: why.to_owned() }),
        }
    }

    fn on_append(
        &mut self,
        epoch: Epoch,
        prev: Lsn,
        prev_chain: u64,
        apply_to: Lsn,
        records: Vec<CommitRecord>,
        out: &mut Vec<Effect>,
    ) {
        if self.following.as_ref().is_none_or(|f| f.owes_welcome) || self.installing.is_some() {
            return self.leave_main("it sends records before the greeting is over", None, out);
        }
        if !self.has_space {
            return self.leave_main("the disk of the replica is full", Some(RefusalReason::Full), out);
        }
        if let Err(refusal) = check_append(&self.state, &self.log, epoch, prev, prev_chain) {
            return self.leave_main(&refusal.text, Some(refusal.reason), out);
        }
        self.promise(epoch, out);
        if records.last().is_some_and(|last| last.lsn > apply_to) {
            self.begin_noting(out);
        }
        for record in records {
            // Read before it is written: a record that this version does not know stays out of the log.
            let changes = match self.graph.decode(&record.payload) {
                Ok(changes) => changes,
                Err(error) => {
                    let why = format!("record {} cannot be read: {error}", record.position());
                    self.leave_main(&why, Some(RefusalReason::Mismatch), out);
                    break;
                }
            };
            if !self.has_memory && changes.iter().any(Change::grows) {
                // What follows it in the log waits for it, so there is no use in a greeting before there is memory.
                self.has_refused_growth = true;
                self.leave_main(AT_MEMORY_LIMIT, Some(RefusalReason::Full), out);
                break;
            }
            if !self.log.accepts(&record) || record.epoch > epoch {
                let why = format!("record {} does not follow {}", record.position(), self.log.position());
                self.leave_main(&why, Some(RefusalReason::Mismatch), out);
                break;
            }
            self.write_record(record, changes, None, out);
        }
        if self.log.is_settled() {
            return self.allow(apply_to);
        }
        // Acknowledged when it is synced: before that there is nothing new to say.
        out.push(Effect::SyncWal { lsn: self.log.last() });
        self.permit(apply_to);
    }

    /// Notes what MAIN lets be shown, as far as the log goes: beyond its end the same LSNs may come again from another
    /// MAIN, and are not decided then.
    fn permit(&mut self, apply_to: Lsn) {
        self.may_show = self.may_show.max(apply_to.min(self.log.last()));
    }

    fn allow(&mut self, apply_to: Lsn) {
        self.permit(apply_to);
        if let Some(following) = &mut self.following {
            following.owes_ack = true;
        }
    }

    /// Shows what is durable here and allowed by MAIN.
    pub(super) fn show_followed(&mut self, out: &mut Vec<Effect>) {
        while let Some(head) = self.pending.front() {
            let lsn = head.position.lsn;
            let up_to = self.log.durable().min(self.may_show);
            if lsn > up_to || self.installing.is_some() || !self.is_noted(lsn, up_to, out) {
                return;
            }
            let pending = self.pending.pop_front().expect("it has a head");
            if !self.apply(&pending, out) {
                return;
            }
        }
    }

    /// Sends the welcome and the acknowledgements that are due, once all they say is durable.
    pub(super) fn tell_main(&mut self, out: &mut Vec<Effect>) {
        if self.saving.is_some() || self.installing.is_some() || self.role == Role::Main {
            return;
        }
        let (durable, applied) = (self.log.durable(), self.applied.lsn);
        let is_settled = self.log.is_settled();
        let Some(following) = &mut self.following else { return };
        let peer = following.peer;
        if following.owes_welcome {
            if !is_settled {
                return;
            }
            following.owes_welcome = false;
            following.told = (durable, applied);
            self.forget_useless_partial(out);
            let message = Message::Welcome {
                protocol: self.lines.get(&peer).map_or(PROTOCOL, |line| line.protocol),
                node: self.state.node,
                promised: self.state.promised,
                end: self.log.end().clone(),
                partial: self.partial,
                bolt: self.config.bolt.clone(),
            };
            return out.push(Effect::Send { peer, message });
        }
        let told = (durable, applied);
        if following.owes_ack || following.told != told {
            following.owes_ack = false;
            following.told = told;
            out.push(Effect::Send { peer, message: Message::Ack { durable, applied } });
        }
    }

    fn on_fetch(&mut self, from: Lsn, out: &mut Vec<Effect>) {
        let prev = Lsn(from.0.saturating_sub(1));
        let Some(following) = &mut self.following else { return };
        let peer = following.peer;
        if from == Lsn::ZERO || from > self.log.last() {
            let message = Message::Tail { prev, prev_chain: 0, records: Vec::new() };
            return out.push(Effect::Send { peer, message });
        }
        let prev_chain = self.log.chain_at(prev);
        following.fetching = Some((from, prev_chain));
        // Where memory no longer knows it, the record before comes along for its chain hash.
        let from = if prev_chain.is_some() { from } else { prev };
        out.push(Effect::ReadWal { peer, from, bytes_max: self.config.read_bytes_max });
    }

    /// Gives MAIN back what it lost.
    pub(super) fn on_tail_read(
        &mut self,
        peer: PeerId,
        read_from: Lsn,
        mut records: Vec<(CommitRecord, u64)>,
        out: &mut Vec<Effect>,
    ) {
        let Some(following) = self.following.as_mut().filter(|f| f.peer == peer) else { return };
        let Some((from, mut prev_chain)) = following.fetching.take() else { return };
        let prev = Lsn(from.0 - 1);
        if read_from == prev && !records.is_empty() {
            prev_chain = Some(records.remove(0).1);
            if records.is_empty() {
                following.fetching = Some((from, prev_chain));
                let bytes_max = self.config.read_bytes_max;
                return out.push(Effect::ReadWal { peer, from, bytes_max });
            }
        }
        // Without the chain hash nothing is proved, so nothing is given.
        let records = match prev_chain {
            Some(_) => records.into_iter().map(|(record, _)| record).collect(),
            None => Vec::new(),
        };
        let message = Message::Tail { prev, prev_chain: prev_chain.unwrap_or(0), records };
        out.push(Effect::Send { peer, message });
    }

    /// Ends accepted connections that never say what they want.
    pub(super) fn tend_strangers(&mut self, out: &mut Vec<Effect>) {
        let (now, limit) = (self.now, self.config.liveness_timeout);
        self.strangers.retain(|peer, since| {
            let is_patient = now - *since < limit;
            if !is_patient {
                out.push(Effect::Hangup { peer: *peer, reason: "no greeting came".into() });
            }
            is_patient
        });
    }
}
