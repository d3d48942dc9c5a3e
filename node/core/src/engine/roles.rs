//! Commands that change what a node is: role, fence, registrations. One at a time, in order. One whose turn does not
//! come within [`turn_wait`](super::EngineConfig), a little longer than a silent address holds a registration up, is
//! refused, and nothing of it has begun.
//!
//! To REPLICA: the port is opened first, since that may fail and then nothing has changed. From then
//! on no commit is taken. Those in the log are given time to reach every replica that is up to date,
//! so that the successor has them; after [`sync_timeout`](super::EngineConfig), or
//! [`register_wait`](super::EngineConfig) where that is shorter, they are told as they stand. A record in the
//! log stays there: none of them is ever called failed. One that is not decided (STRICT_SYNC, or with a policy
//! other than `degrade`) stays unseen, too: its client is told that it is in doubt, and the next MAIN, which
//! may be this node, decides it.
//!
//! To MAIN: the node stops following, syncs and shows all it has (an undecided STRICT_SYNC tail too:
//! no one was told that it failed, and someone may have been told that it did not), and takes an
//! epoch above everything it heard of. That epoch is synced before the command is answered.

use super::registration::Candidate;
use super::{
    Admin, AdminAnswer, AdminError, AfterSave, CommitError, Effect, Engine, Recovered, Reign, Token,
    restart::Confirm,
};
use crate::replication::{LagTrack, LogEnd, RefusalReason, fence_epoch, promotion_epoch};
use crate::storage::InFlight;
use crate::types::{Epoch, Lsn, Position, Role, Time};

/// The command under way.
#[derive(Debug)]
pub(super) enum Task {
    Demote {
        token: Token,
        port: u16,
        stage: Demotion,
    },
    Promote {
        token: Token,
        epoch: Epoch,
        is_saving: bool,
    },
    Fence {
        token: Token,
        is_saved: bool,
    },
    Register(Candidate),
    Drop {
        token: Token,
        name: String,
    },
    Release {
        token: Token,
    },
    /// Asked for by an operator, or by the node itself.
    Rewind {
        token: Option<Token>,
        to: Position,
        is_cutting: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demotion {
    /// The port is being opened.
    Listening,
    /// Commits in the log find their way.
    Draining { until: Time },
    /// The new role is on its way to the disk.
    Saving,
}

impl Engine {
    /// Moves the command under way, and begins the next one where none is.
    pub(super) fn carry_on_tasks(&mut self, out: &mut Vec<Effect>) {
        loop {
            match &self.task {
                Some(Task::Demote { stage: Demotion::Draining { until }, .. }) => {
                    let until = *until;
                    self.drain(until, out);
                }
                Some(Task::Promote { is_saving: false, .. }) => self.settle_promotion(out),
                Some(Task::Fence { token, is_saved: true }) => {
                    let token = *token;
                    if self.role == Role::Main || self.log.is_settled() && self.installing.is_none() {
                        self.finish_task(token, out);
                    }
                }
                Some(Task::Register(_)) => self.carry_on_registration(out),
                Some(Task::Rewind { is_cutting: false, .. }) => self.settle_rewind(out),
                _ => {}
            }
            if self.task.is_some() {
                return self.refuse_late_tasks(out);
            }
            let Some((token, command, _)) = self.tasks_waiting.pop_front() else { return };
            self.start_task(token, command, out);
        }
    }

    fn refuse_late_tasks(&mut self, out: &mut Vec<Effect>) {
        while let Some(&(token, _, until)) = self.tasks_waiting.front()
            && until <= self.now
        {
            self.tasks_waiting.pop_front();
            out.push(Effect::Answer { token, result: Err(AdminError::Busy) });
        }
    }

    pub(super) fn finish_task(&mut self, token: Token, out: &mut Vec<Effect>) {
        self.task = None;
        out.push(Effect::Answer { token, result: Ok(AdminAnswer::Done) });
    }

    fn start_task(&mut self, token: Token, command: Admin, out: &mut Vec<Effect>) {
        match command {
            Admin::SetRoleReplica { port } => {
                if self.role != Role::Main {
                    return out.push(Effect::Answer { token, result: Err(AdminError::AlreadyReplica) });
                }
                out.push(Effect::Listen { port });
                self.task = Some(Task::Demote { token, port, stage: Demotion::Listening });
            }
            Admin::SetRoleMain { epoch } => self.start_promotion(token, epoch, out),
            Admin::Register { name, mode, address } => {
                self.start_registration(token, name, mode, address, out);
            }
            Admin::Drop { name } => self.start_drop(token, &name, out),
            Admin::Fence { epoch, by } => self.start_fence(token, epoch, by, out),
            Admin::Rewind { to } => self.start_rewind(Some(token), to, out),
            Admin::Release => self.start_release(token, out),
            _ => unreachable!("answered when it arrived"),
        }
    }

    pub(super) fn on_listening(&mut self, result: Result<(), String>, out: &mut Vec<Effect>) {
        let now = self.now;
        let Some(Task::Demote { token, stage, .. }) = &mut self.task else {
            // A REPLICA that cannot open its port at start is of no use to anyone.
            if let (Err(error), Role::Replica { port }) = (result, self.role) {
                self.halt(format!("replication port {port} cannot be opened: {error}"), out);
            }
            return;
        };
        if *stage != Demotion::Listening {
            return;
        }
        if let Err(error) = result {
            let token = *token;
            self.task = None;
            return out.push(Effect::Answer { token, result: Err(AdminError::Listen(error)) });
        }
        *stage = Demotion::Draining { until: now + self.config.sync_timeout.min(self.config.register_wait) };
        self.is_closing = true;
        self.refuse_waiting(&CommitError::NotMain, out);
    }

    fn drain(&mut self, until: Time, out: &mut Vec<Effect>) {
        self.send_gathered(out);
        let end = self.log.last();
        let is_sent = self.links.iter().all(|l| !l.is_ready() || l.durable >= end && l.applied >= end);
        let is_told = self.pending.is_empty() && self.shown.is_empty() && self.log.is_settled();
        if !(is_told && is_sent) {
            if self.now < until {
                return;
            }
            self.is_forced = true;
            self.publish_ready(out);
            if !self.log.is_settled() || self.is_noting() {
                return;
            }
            // What is not decided stays unseen until the next MAIN says what became of it.
            self.call_pending_doubtful(out);
        }
        if self.saving.is_some() {
            return;
        }
        let Some(Task::Demote { port, stage, .. }) = &mut self.task else { return };
        *stage = Demotion::Saving;
        self.state.role = Role::Replica { port: *port };
        self.state.replicas.clear();
        // The first MAIN that greets it takes it in.
        self.state.cluster = None;
        self.state.members.clear();
        self.save(AfterSave::Task, out);
    }

    /// Ends all that a MAIN does for its replicas.
    fn leave_replicas(&mut self, out: &mut Vec<Effect>) {
        for link in std::mem::take(&mut self.links) {
            if let Some(peer) = link.peer {
                out.push(Effect::Hangup { peer, reason: "this MAIN becomes a REPLICA".into() });
            }
        }
        for wait in std::mem::take(&mut self.ready_waits) {
            out.push(wait.refused());
        }
    }

    fn start_promotion(&mut self, token: Token, asked: Option<u64>, out: &mut Vec<Effect>) {
        if self.role == Role::Main && asked.is_none() {
            return out.push(Effect::Answer { token, result: Err(AdminError::AlreadyMain) });
        }
        let epoch = match promotion_epoch(&self.state, self.seen, asked) {
            Ok(epoch) => epoch,
            Err(promised) if self.role == Role::Main && promised.node == self.state.node => {
                return out.push(Effect::Answer { token, result: Err(AdminError::AlreadyMain) });
            }
            Err(promised) => {
                let text = format!("epoch {promised} is promised here; ask for a higher number");
                return out.push(Effect::Answer { token, result: Err(AdminError::Fenced(text)) });
            }
        };
        self.leave_main("this REPLICA becomes MAIN", Some(RefusalReason::NotReplica), out);
        self.task = Some(Task::Promote { token, epoch, is_saving: false });
    }

    fn settle_promotion(&mut self, out: &mut Vec<Effect>) {
        if self.role != Role::Main {
            if !self.log.is_settled() || self.installing.is_some() {
                return;
            }
            self.may_show = self.log.last();
            self.show_followed(out);
            if !self.pending.is_empty() {
                return;
            }
        }
        if self.saving.is_some() || self.is_halted {
            return;
        }
        let Some(Task::Promote { epoch, is_saving, .. }) = &mut self.task else { return };
        let epoch = *epoch;
        *is_saving = true;
        // On a MAIN this raises the number of a reign that goes on.
        self.reign = Reign::Saving { before: self.reign_epoch() };
        self.state.role = Role::Main;
        self.state.promised = epoch;
        self.state.promised_by = String::new();
        self.save(AfterSave::Task, out);
    }

    fn start_fence(&mut self, token: Token, number: u64, by: String, out: &mut Vec<Effect>) {
        let promised = self.state.promised;
        let fence = fence_epoch(number);
        if fence == promised && self.state.promised_by == by {
            // Asked again after an answer that was lost.
            self.task = Some(Task::Fence { token, is_saved: true });
            return;
        }
        if number <= promised.number {
            let text = format!("epoch {promised} is promised here; ask for a higher number");
            return out.push(Effect::Answer { token, result: Err(AdminError::Fenced(text)) });
        }
        self.state.promised = fence;
        self.state.promised_by = by;
        self.seen = self.seen.max(number);
        self.save(AfterSave::Task, out);
        let why = format!("epoch {number} is promised");
        self.leave_main(&why, Some(RefusalReason::Fenced), out);
        if self.role == Role::Main {
            self.refuse_waiting(&CommitError::Fenced, out);
        }
        self.task = Some(Task::Fence { token, is_saved: false });
    }

    /// Lets a REPLICA forget its cluster, and nothing else: data and promise stay, so that whoever it follows next
    /// reigns at least as high. Its MAIN is let go at once; where that has it registered, it greets it again.
    fn start_release(&mut self, token: Token, out: &mut Vec<Effect>) {
        if self.role == Role::Main {
            let text = "this node is MAIN, and follows none; only a REPLICA is released".to_owned();
            return out.push(Effect::Answer { token, result: Err(AdminError::Refused(text)) });
        }
        self.state.cluster = None;
        self.state.members.clear();
        self.members_version += 1;
        self.save(AfterSave::Task, out);
        self.leave_main("it is released from its MAIN", None, out);
        self.task = Some(Task::Release { token });
    }

    /// Begins to cut the log back to a record that the MAIN of this REPLICA has too.
    pub(super) fn start_rewind(&mut self, token: Option<Token>, to: Position, out: &mut Vec<Effect>) {
        let holds_it = to.lsn <= self.log.last() && self.log.end().history.epoch_of(to.lsn) == Some(to.epoch);
        let result = if self.role == Role::Main {
            Err(AdminError::Refused("only a REPLICA is rewound; demote this node first".into()))
        } else if !holds_it || to.lsn == Lsn::ZERO {
            Err(AdminError::Refused(format!(
                "the log, which ends at {}, has no record {to}",
                self.log.position()
            )))
        } else if to.lsn == self.log.last() {
            Ok(AdminAnswer::Done)
        } else {
            self.leave_main("it cuts its log back", Some(RefusalReason::Gap), out);
            self.task = Some(Task::Rewind { token, to, is_cutting: false });
            return;
        };
        if let Some(token) = token {
            out.push(Effect::Answer { token, result });
        }
    }

    pub(super) fn is_rewinding(&self) -> bool {
        matches!(self.task, Some(Task::Rewind { .. }))
    }

    fn settle_rewind(&mut self, out: &mut Vec<Effect>) {
        let is_settled =
            self.log.is_settled() && self.installing.is_none() && self.saving.is_none() && !self.is_noting();
        // One that holds more than the cut log must not appear after it.
        if !is_settled || self.is_writing_snapshot() {
            return;
        }
        if let Some(Task::Rewind { to, is_cutting, .. }) = &mut self.task {
            *is_cutting = true;
            out.push(Effect::Rewind { to: *to });
        }
    }

    /// Goes over to what is left in one step: readers see the old branch or the common part.
    pub(super) fn on_rewound(&mut self, result: Result<Box<Recovered>, String>, out: &mut Vec<Effect>) {
        let Some(Task::Rewind { token, .. }) = self.task.take() else { return };
        let result = match result {
            Ok(recovered) => {
                let Recovered { graph, last, chain, ts, history, wal_from, snapshots, held, .. } = *recovered;
                self.snapshots.replace(snapshots);
                self.graph = graph;
                self.pending.clear();
                self.in_flight = InFlight::default();
                (self.applied, self.applied_chain, self.wal_from) = (last, chain, wal_from);
                self.may_show = last.lsn;
                self.log.replace(LogEnd { last, chain, history }, ts);
                if let Some(noted) = &mut self.noted {
                    noted.written = last.lsn;
                }
                self.take_up(held, out);
                Ok(AdminAnswer::Done)
            }
            Err(why) => Err(AdminError::Refused(why)),
        };
        if let Some(token) = token {
            out.push(Effect::Answer { token, result });
        }
    }

    pub(super) fn on_task_saved(&mut self, out: &mut Vec<Effect>) {
        match self.task.take() {
            Some(Task::Demote { token, port, stage: Demotion::Saving }) => {
                self.leave_replicas(out);
                self.role = Role::Replica { port };
                self.reign = Reign::NotBegun;
                self.confirm = Confirm::Done;
                self.replaced_by = None;
                self.is_closing = false;
                self.is_forced = false;
                self.may_show = self.applied.lsn;
                self.finish_task(token, out);
            }
            Some(Task::Promote { token, epoch, .. }) => {
                if self.role != Role::Main {
                    out.push(Effect::Unlisten);
                    self.role = Role::Main;
                    self.oldest_read = self.applied.lsn;
                    self.lag = LagTrack::new(self.applied.lsn, self.log.ts(), self.now);
                    self.following = None;
                    self.strangers.clear();
                }
                self.reign = Reign::Begun(epoch);
                self.confirm = Confirm::Done;
                self.replaced_by = None;
                self.finish_task(token, out);
            }
            Some(Task::Fence { token, .. }) => self.task = Some(Task::Fence { token, is_saved: true }),
            Some(Task::Register(candidate)) => self.registered(candidate, out),
            Some(Task::Drop { token, name }) => self.dropped(token, &name, out),
            Some(Task::Release { token }) => self.finish_task(token, out),
            other => self.task = other,
        }
    }

    /// The disk kept the old state, so the command has not happened, and no replica was let go for it.
    pub(super) fn on_task_not_saved(&mut self, error: &str, out: &mut Vec<Effect>) {
        let token = match self.task.take() {
            Some(Task::Demote { token, .. }) => {
                out.push(Effect::Unlisten);
                self.is_closing = false;
                self.is_forced = false;
                token
            }
            Some(Task::Promote { token, .. }) => {
                // A MAIN whose number could not be raised goes on in a new incarnation.
                if let Reign::Saving { before } = self.reign {
                    self.last_reign = before;
                }
                self.reign = Reign::NotBegun;
                token
            }
            Some(Task::Fence { token, .. } | Task::Drop { token, .. } | Task::Release { token }) => token,
            Some(Task::Register(candidate)) => candidate.hang_up(out),
            // It saves nothing.
            Some(task @ Task::Rewind { .. }) => {
                self.task = Some(task);
                return;
            }
            None => return,
        };
        let result = Err(AdminError::NotPersisted(error.to_owned()));
        out.push(Effect::Answer { token, result });
    }
}
