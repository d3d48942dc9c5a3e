//! `REGISTER REPLICA` and `DROP REPLICA`.
//!
//! A registration is written down only after the replica answered the greeting and its log was found
//! to be a prefix of MAIN's, so a refused one leaves nothing behind on this node. It is answered
//! when the replica is ready, or after a bounded wait where there is much to catch up.

use super::links::divergence;
use super::roles::Task;
use super::{AdminAnswer, AdminError, AfterSave, Effect, Engine, PeerId, Reign, Token};
use crate::replication::{Comparison, Link, LinkState, LogEnd, Message, RefusalReason, promotion_epoch};
use crate::types::{Epoch, NodeId, PartialSnapshot, Position, Registration, Role, SyncMode, Time};

/// A replica that is not yet registered.
#[derive(Debug)]
pub(super) struct Candidate {
    token: Token,
    name: String,
    mode: SyncMode,
    address: String,
    deadline: Time,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// This MAIN has no epoch of its own yet.
    Reign,
    Dialing(PeerId),
    Greeting(PeerId),
    /// The greeting is answered; the registration is on its way to the disk.
    Saving {
        peer: Option<PeerId>,
        end: LogEnd,
        partial: Option<Box<PartialSnapshot>>,
        bolt: Vec<String>,
    },
}

/// A registration that is written down and whose client waits for the replica to be ready.
#[derive(Debug)]
pub(super) struct ReadyWait {
    name: String,
    token: Token,
    deadline: Time,
}

impl Candidate {
    /// Returns how far it is, in words.
    pub(super) fn stage(&self) -> &'static str {
        match self.stage {
            Stage::Reign => "registration: reign",
            Stage::Dialing(_) => "registration: dialing",
            Stage::Greeting(_) => "registration: greeting",
            Stage::Saving { .. } => "registration: saving",
        }
    }

    /// Ends the connection, and returns who waits for an answer.
    pub(super) fn hang_up(self, out: &mut Vec<Effect>) -> Token {
        if let Stage::Dialing(peer) | Stage::Greeting(peer) | Stage::Saving { peer: Some(peer), .. } =
            self.stage
        {
            out.push(Effect::Hangup { peer, reason: "the registration is refused".into() });
        }
        self.token
    }
}

impl ReadyWait {
    /// Answers that the node is no MAIN any more.
    pub(super) fn refused(self) -> Effect {
        Effect::Answer { token: self.token, result: Err(AdminError::NotMain) }
    }
}

impl Engine {
    pub(super) fn start_registration(
        &mut self,
        token: Token,
        name: String,
        mode: SyncMode,
        address: String,
        out: &mut Vec<Effect>,
    ) {
        if let Err(error) = self.check_registration(&name, mode, &address) {
            return out.push(Effect::Answer { token, result: Err(error) });
        }
        let deadline = self.now + self.config.register_timeout;
        let candidate = Candidate { token, name, mode, address, deadline, stage: Stage::Reign };
        self.task = Some(Task::Register(candidate));
    }

    fn check_registration(&self, name: &str, mode: SyncMode, address: &str) -> Result<(), AdminError> {
        if self.role != Role::Main || self.is_closing {
            return Err(AdminError::NotMain);
        }
        self.check_not_fenced()?;
        if self.state.replicas.iter().any(|r| r.name == name) {
            return Err(AdminError::NameTaken);
        }
        if self.state.replicas.iter().any(|r| r.address == address) {
            return Err(AdminError::AddressTaken);
        }
        let clashes = |other: SyncMode| {
            matches!(
                (mode, other),
                (SyncMode::Sync, SyncMode::StrictSync) | (SyncMode::StrictSync, SyncMode::Sync)
            )
        };
        if self.state.replicas.iter().any(|r| clashes(r.mode)) {
            return Err(AdminError::Refused(
                "SYNC and STRICT_SYNC replicas cannot be registered on one MAIN".into(),
            ));
        }
        Ok(())
    }

    fn check_not_fenced(&self) -> Result<(), AdminError> {
        if !self.is_fenced() {
            return Ok(());
        }
        Err(AdminError::Fenced(format!(
            "epoch {} was promised here: another node is MAIN, or is about to be",
            self.replaced_by.unwrap_or(self.state.promised)
        )))
    }

    pub(super) fn candidate_has(&self, peer: PeerId) -> bool {
        match &self.task {
            Some(Task::Register(candidate)) => match &candidate.stage {
                Stage::Dialing(p) | Stage::Greeting(p) | Stage::Saving { peer: Some(p), .. } => *p == peer,
                _ => false,
            },
            _ => false,
        }
    }

    fn candidate(&mut self) -> Option<&mut Candidate> {
        match &mut self.task {
            Some(Task::Register(candidate)) => Some(candidate),
            _ => None,
        }
    }

    /// Dials once this MAIN has an epoch to speak in; gives up when the time is over.
    pub(super) fn carry_on_registration(&mut self, out: &mut Vec<Effect>) {
        let now = self.now;
        let Some(candidate) = self.candidate() else { return };
        let is_late = now >= candidate.deadline;
        let (is_reign, is_saving) =
            (matches!(candidate.stage, Stage::Reign), matches!(candidate.stage, Stage::Saving { .. }));
        let address = candidate.address.clone();
        if is_reign && matches!(self.reign, Reign::Begun(_)) {
            let peer = self.new_peer();
            if let Some(candidate) = self.candidate() {
                candidate.stage = Stage::Dialing(peer);
            }
            out.push(Effect::Dial { peer, address });
        } else if is_late && !is_saving {
            let why = "it did not answer in time; only a REPLICA listens on its replication port".to_owned();
            self.refuse_candidate(AdminError::Unreachable(why), out);
        } else if is_reign {
            self.begin_reign(out);
        }
    }

    pub(super) fn greet_candidate(&mut self, out: &mut Vec<Effect>) {
        let Some(&mut Candidate { stage: Stage::Dialing(peer), .. }) = self.candidate() else { return };
        let hello = self.hello(peer, NodeId(0));
        if let Some(candidate) = self.candidate() {
            candidate.stage = Stage::Greeting(peer);
            out.push(Effect::Send { peer, message: hello });
        }
    }

    pub(super) fn on_candidate_message(&mut self, message: Message, out: &mut Vec<Effect>) {
        match message {
            Message::Welcome { node, end, partial, bolt, .. } => {
                if let Err(error) = self.check_candidate(node, &end) {
                    self.tell_candidate_diverged(&error, &end, out);
                    return self.refuse_candidate(error, out);
                }
                let Some(candidate) = self.candidate() else { return };
                let Stage::Greeting(peer) = candidate.stage else { return };
                let (name, mode) = (candidate.name.clone(), candidate.mode);
                let address = candidate.address.clone();
                candidate.stage =
                    Stage::Saving { peer: Some(peer), end, partial: partial.map(Box::new), bolt };
                let identity = self.lines.get(&peer).map(|line| line.identity.clone()).unwrap_or_default();
                self.state.replicas.push(Registration { name, mode, address, node, identity });
                self.save(AfterSave::Task, out);
            }
            Message::Refused { node, reason, promised, end, text } => {
                let comparison = self.compare_with(&end);
                let is_own_reign = promised.node == node && node != self.state.node;
                if reason == RefusalReason::Fenced && comparison == Comparison::Prefix && is_own_reign {
                    return self.reign_above_candidate(promised, out);
                }
                let error = match reason {
                    // Whatever it promised: with records of its own it could not follow anyway.
                    RefusalReason::Fenced if comparison != Comparison::Prefix => {
                        AdminError::Diverged(self.divergence(comparison, &end))
                    }
                    RefusalReason::Fenced => AdminError::Fenced(format!(
                        "{text}; `SET REPLICATION ROLE TO MAIN WITH EPOCH {}` on this MAIN takes it over",
                        promised.number.saturating_add(1)
                    )),
                    _ => AdminError::Unreachable(text),
                };
                self.refuse_candidate(error, out);
            }
            Message::Pong { .. } => {}
            _ => {
                let why = "it does not speak as a REPLICA".to_owned();
                self.refuse_candidate(AdminError::Unreachable(why), out);
            }
        }
    }

    // The promise that stands in the way is the node's own past reign. It has ended, since the node is
    // a REPLICA, and nothing of it is missing here, since its log is a prefix: no other node can be MAIN
    // in that epoch, and one above it takes nothing from anyone.
    fn reign_above_candidate(&mut self, theirs: Epoch, out: &mut Vec<Effect>) {
        // The answer came after the check that began the registration.
        if let Err(error) = self.check_not_fenced() {
            return self.refuse_candidate(error, out);
        }
        self.seen = self.seen.max(theirs.number);
        let promised = match promotion_epoch(&self.state, self.seen, None) {
            Ok(epoch) => epoch,
            Err(promised) => {
                let text = format!("there is no epoch above {promised}, which is promised");
                return self.refuse_candidate(AdminError::Fenced(text), out);
            }
        };
        let Some(candidate) = self.candidate() else { return };
        let Stage::Greeting(peer) = candidate.stage else { return };
        candidate.stage = Stage::Reign;
        out.push(Effect::Hangup { peer, reason: "this MAIN takes a higher epoch first".into() });
        let before = self.reign_epoch();
        self.reign = Reign::Saving { before };
        self.state.promised = promised;
        self.save(AfterSave::Reign(promised), out);
    }

    /// Says where both logs part, so that the other side can cut its own back.
    fn tell_candidate_diverged(&mut self, error: &AdminError, end: &LogEnd, out: &mut Vec<Effect>) {
        let Comparison::Diverged { common } = self.compare_with(end) else { return };
        let epoch = self.log.end().history.epoch_of(common);
        if let (AdminError::Diverged(_), Some(epoch)) = (error, epoch)
            && let Some(&mut Candidate { stage: Stage::Greeting(peer), .. }) = self.candidate()
        {
            let common = Position { epoch, lsn: common };
            self.send_if_known(peer, Message::Diverged { common }, out);
        }
    }

    fn check_candidate(&self, node: NodeId, end: &LogEnd) -> Result<(), AdminError> {
        self.check_not_fenced()?;
        if node == self.state.node {
            return Err(AdminError::Unreachable("this node itself answers there".into()));
        }
        if self.state.replicas.iter().any(|r| r.node == node) {
            return Err(AdminError::AddressTaken);
        }
        match self.compare_with(end) {
            Comparison::Prefix => Ok(()),
            other => Err(AdminError::Diverged(self.divergence(other, end))),
        }
    }

    fn divergence(&self, comparison: Comparison, theirs: &LogEnd) -> String {
        let ours = self.log.last();
        let common = if let Comparison::Diverged { common } = comparison { common } else { ours };
        divergence(common, ours, theirs.last.lsn)
    }

    /// Ends a registration without a trace. One that is being written down stands all the same.
    pub(super) fn refuse_candidate(&mut self, error: AdminError, out: &mut Vec<Effect>) {
        let Some(candidate) = self.candidate() else { return };
        if let Stage::Saving { peer, .. } = &mut candidate.stage {
            *peer = None;
            return;
        }
        let Some(Task::Register(candidate)) = self.task.take() else { return };
        let token = candidate.hang_up(out);
        out.push(Effect::Answer { token, result: Err(error) });
    }

    /// The registration is durable: records may flow.
    pub(super) fn registered(&mut self, candidate: Candidate, out: &mut Vec<Effect>) {
        let Candidate { token, name, stage: Stage::Saving { peer, end, partial, bolt }, .. } = candidate
        else {
            unreachable!("only a greeted candidate is written down");
        };
        let registration = self.state.replicas.iter().find(|r| r.name == name);
        let registration = registration.expect("it was written down under that name").clone();
        let mut link = Link::new(registration, self.log.last(), self.now);
        link.has_answered = true;
        link.bolt = bolt;
        link.partial = partial.map(|partial| *partial);
        link.peer = peer;
        link.heard = Some(self.now);
        if peer.is_some() {
            // Records that were committed since the greeting belong to what it has to catch up.
            link.state = LinkState::Greeting;
        }
        self.links.push(link);
        self.members_version += 1;
        if peer.is_some() {
            self.stream_from(self.links.len() - 1, &end, out);
        }
        self.tell_members(out);
        let deadline = self.now + self.config.register_wait;
        self.ready_waits.push(ReadyWait { name, token, deadline });
    }

    pub(super) fn answer_ready_waits(&mut self, out: &mut Vec<Effect>) {
        let (now, links) = (self.now, &self.links);
        self.ready_waits.retain(|wait| {
            let is_ready = links.iter().any(|l| l.registration.name == wait.name && l.is_ready());
            let is_over = is_ready || now >= wait.deadline;
            if is_over {
                out.push(Effect::Answer { token: wait.token, result: Ok(AdminAnswer::Done) });
            }
            !is_over
        });
    }

    pub(super) fn start_drop(&mut self, token: Token, name: &str, out: &mut Vec<Effect>) {
        if self.role != Role::Main {
            return out.push(Effect::Answer { token, result: Err(AdminError::NotMain) });
        }
        if self.links.iter().all(|link| link.registration.name != name) {
            return out.push(Effect::Answer { token, result: Err(AdminError::UnknownReplica) });
        }
        self.state.replicas.retain(|r| r.name != name);
        self.save(AfterSave::Task, out);
        self.task = Some(Task::Drop { token, name: name.to_owned() });
    }

    /// That it is dropped is durable: commits count on it no longer. Until then they did, since a full disk
    /// keeps it registered.
    pub(super) fn dropped(&mut self, token: Token, name: &str, out: &mut Vec<Effect>) {
        if let Some(index) = self.links.iter().position(|link| link.registration.name == name)
            && let Some(peer) = self.links.remove(index).peer
        {
            self.send_if_known(peer, Message::Release, out);
            out.push(Effect::Hangup { peer, reason: "the replica is dropped".into() });
        }
        self.ready_waits.retain(|wait| {
            let is_dropped = wait.name == name;
            if is_dropped {
                out.push(Effect::Answer { token: wait.token, result: Ok(AdminAnswer::Done) });
            }
            !is_dropped
        });
        self.members_version += 1;
        self.tell_members(out);
        self.finish_task(token, out);
    }
}
