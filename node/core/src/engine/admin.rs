//! What an operator asks and how it is answered.

use super::restart::Confirm;
use super::{
    Admin, AdminAnswer, AdminError, Effect, Engine, LagReport, OutcomeReport, Reign, ReplicaStatus,
    StateReport, Token,
};
use crate::types::{Position, Role};

impl Engine {
    pub(super) fn on_admin(&mut self, token: Token, command: Admin, out: &mut Vec<Effect>) {
        let result = match command {
            Admin::SetRoleReplica { .. }
            | Admin::SetRoleMain { .. }
            | Admin::Register { .. }
            | Admin::Drop { .. }
            | Admin::Rewind { .. }
            | Admin::Release
            | Admin::Fence { .. } => {
                let until = self.now + self.config.turn_wait;
                return self.tasks_waiting.push_back((token, command, until));
            }
            Admin::CreateSnapshot => return self.create_snapshot(token, out),
            Admin::ShowRole => Ok(AdminAnswer::Role(self.role)),
            Admin::ShowReplicas => self.on_main(|engine| AdminAnswer::Replicas(engine.replicas())),
            Admin::ShowLag => self.on_main(|engine| AdminAnswer::Lag(engine.lag_report())),
            Admin::ShowState => Ok(AdminAnswer::State(Box::new(self.state_report()))),
            Admin::TransactionOutcome { position } => Ok(AdminAnswer::Outcome(self.outcome_of(position))),
            Admin::ConfirmMain => self.on_main(|engine| {
                engine.confirm = Confirm::Done;
                AdminAnswer::Done
            }),
        };
        out.push(Effect::Answer { token, result });
    }

    fn on_main(
        &mut self,
        answer: impl FnOnce(&mut Engine) -> AdminAnswer,
    ) -> Result<AdminAnswer, AdminError> {
        if self.role == Role::Main { Ok(answer(self)) } else { Err(AdminError::NotMain) }
    }

    fn replicas(&self) -> Vec<ReplicaStatus> {
        let main_ts = self.graph.published_ts();
        let row = |link: &crate::replication::Link| {
            // What is in sync shows the same `ts`, whether or not it is remembered for that record.
            let known = link.durable.min(self.applied.lsn);
            let ts = if known == self.applied.lsn { main_ts } else { self.lag.ts_at(known) };
            ReplicaStatus {
                name: link.registration.name.clone(),
                address: link.registration.address.clone(),
                mode: link.registration.mode,
                status: link.status(self.applied.lsn),
                ts,
                behind: i64::try_from(ts).unwrap_or(i64::MAX) - i64::try_from(main_ts).unwrap_or(i64::MAX),
            }
        };
        self.links.iter().map(row).collect()
    }

    fn lag_report(&self) -> Vec<LagReport> {
        let millis = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let row = |link: &crate::replication::Link| {
            let commits_behind = self.applied.lsn.0.saturating_sub(link.applied.max(link.durable).0);
            let has = link.durable;
            let behind_ms = match self.lag.appended_after(has) {
                Some(at) if commits_behind > 0 => millis(self.now - at),
                _ => 0,
            };
            LagReport {
                name: link.registration.name.clone(),
                mode: link.registration.mode,
                state: link.status(self.applied.lsn),
                commits_behind,
                bytes_behind: self.lag.bytes_after(has),
                behind_ms,
                last_contact_ms: link.heard.map(|heard| millis(self.now - heard)),
                last_error: link.last_error.clone(),
            }
        };
        self.links.iter().map(row).collect()
    }

    fn state_report(&self) -> StateReport {
        let epoch = match self.reign {
            Reign::Begun(epoch) => epoch,
            _ => self.log.position().epoch,
        };
        StateReport {
            state: self.state.clone(),
            epoch,
            durable: self.log.durable(),
            applied: self.applied.lsn,
            chain: self.applied_chain,
            history: self.log.end().history.clone(),
            confirmed: self.confirm == Confirm::Done,
            warnings: self.log_damage.iter().cloned().collect(),
        }
    }

    fn outcome_of(&self, position: Position) -> OutcomeReport {
        let history = &self.log.end().history;
        // On a MAIN its own reign counts as begun.
        let newest = match self.reign {
            Reign::Begun(epoch) if self.role == Role::Main => epoch,
            _ => self.log.position().epoch,
        };
        if position.lsn > self.log.last() {
            // Records of an epoch end where a later one begins.
            let is_passed = newest > position.epoch;
            return if is_passed { OutcomeReport::NotCommitted } else { OutcomeReport::Unknown };
        }
        match history.epoch_of(position.lsn) {
            Some(epoch) if epoch == position.epoch && position.lsn <= self.applied.lsn => {
                OutcomeReport::Committed
            }
            Some(epoch) if epoch == position.epoch => OutcomeReport::InDoubt,
            Some(_) if newest >= position.epoch => OutcomeReport::NotCommitted,
            // A later MAIN wrote it; the record that stands here may be the one that is lost.
            Some(_) | None => OutcomeReport::Unknown,
        }
    }
}
