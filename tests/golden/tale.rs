//! How what happens is told.

use mg_stage::{Audience, Face};
use mgnode_core::engine::{
    AdminAnswer, AdminError, CommitError, Effect, Outcome, PeerId, ReplicaFailure, StateReport,
};
use mgnode_core::replication::{LogEnd, Message};
use mgnode_core::types::{Epoch, History, Lsn, NodeId, NodeState, Position, Role, SyncMode};
use std::collections::BTreeMap;

/// The lines of the output, and what they need to know.
#[derive(Debug, Default)]
pub(crate) struct Tale {
    pub(crate) lines: Vec<String>,
    /// Of the nodes, by their numbers.
    pub(crate) names: Vec<String>,
    faces: BTreeMap<usize, Face>,
    /// Who is at the other end, where it is known.
    peers: BTreeMap<(usize, PeerId), String>,
}

impl Audience for Tale {
    fn effect(&mut self, node: usize, effect: &Effect) {
        let name = &self.names[node];
        let text = match effect {
            Effect::WriteWal { record, .. } => format!("writes {}", self.position(record.position())),
            Effect::SyncWal { lsn } => format!("begins to sync up to {lsn}"),
            Effect::SaveState { state, .. } => format!("begins to save: {}", self.state(state)),
            Effect::Listen { .. } => "opens its port".into(),
            Effect::Unlisten => "closes its port".into(),
            Effect::Dial { peer, address } => {
                let to = address.split(':').next().unwrap_or(address).to_owned();
                let text = format!("dials {to}");
                self.peers.insert((node, *peer), to);
                text
            }
            Effect::Hangup { peer, reason } => {
                format!("hangs up on {}: {}", self.peer(node, *peer), self.readable(reason))
            }
            Effect::NoteDecided { lsn, .. } => format!("notes that its log may be shown up to {lsn}"),
            Effect::Rewind { to } => format!("begins to cut its log back to {}", self.position(*to)),
            Effect::Send { message: Message::Ping { .. } | Message::Pong { .. }, .. } => return,
            Effect::Send { peer, message } => {
                format!("to {}: {}", self.peer(node, *peer), self.message(message))
            }
            Effect::ReadWal { from, .. } => format!("begins to read its log from {from} on"),
            Effect::WriteSnapshot { header, .. } => {
                format!("begins to write a snapshot of {}", self.position(header.position))
            }
            Effect::SendSnapshot { peer, snapshot, .. } => {
                let to = self.peer(node, *peer);
                format!("to {to}: the snapshot of {}", self.position(snapshot.position))
            }
            Effect::DropPartial => return,
            Effect::DropSnapshot { lsn } => format!("lets go of its snapshot of {lsn}"),
            Effect::InstallSnapshot { header } => {
                format!("begins to install the snapshot of {}", self.position(header.position))
            }
            Effect::DropWal { before } => format!("lets go of its log before {before}"),
            Effect::Resolve { token, outcome } => {
                format!("tells client {}: {}", token.0, self.outcome(outcome))
            }
            Effect::Answer { result, .. } => {
                let lines = self.answer(result);
                let answers = lines.iter().map(|line| format!("{name} answers: {line}"));
                return self.lines.extend(answers.collect::<Vec<_>>());
            }
            Effect::Halt { reason } => format!("ends at once: {}", self.readable(reason)),
        };
        let line = format!("{} {text}", self.names[node]);
        self.lines.push(line);
    }

    fn changed(&mut self, node: usize, face: Face) {
        let before = self.faces.insert(node, face);
        let name = &self.names[node];
        if before.is_some_and(|b| b.role != face.role) {
            self.lines.push(format!("{name} is {} now", role(face.role)));
        }
        if before.is_some_and(|b| b.is_writable) != face.is_writable {
            let text = if face.is_writable { "takes commits" } else { "takes no commits" };
            self.lines.push(format!("{name} {text}"));
        }
        if before.map_or(Lsn::ZERO, |b| b.published) != face.published {
            self.lines.push(format!("{name} shows {}", face.published));
        }
    }

    fn connected(&mut self, [(dialler, _), (acceptor, accepted)]: [(usize, PeerId); 2]) {
        self.peers.insert((acceptor, accepted), self.names[dialler].clone());
    }
}

impl Tale {
    fn node(&self, id: NodeId) -> String {
        let index = usize::try_from(id.0).ok().and_then(|id| id.checked_sub(1));
        index.and_then(|index| self.names.get(index)).cloned().unwrap_or_else(|| "-".into())
    }

    /// Names the other end.
    fn peer(&self, node: usize, peer: PeerId) -> String {
        self.peers.get(&(node, peer)).cloned().unwrap_or_else(|| "no one".into())
    }

    fn epoch(&self, epoch: Epoch) -> String {
        if epoch == Epoch::default() {
            return "none".into();
        }
        format!("{}.{}.{}", epoch.number, self.node(epoch.node), epoch.incarnation)
    }

    fn position(&self, position: Position) -> String {
        if position.lsn == Lsn::ZERO {
            return "nothing".into();
        }
        format!("{}:{}", self.epoch(position.epoch), position.lsn)
    }

    fn end(&self, end: &LogEnd) -> String {
        let starts = self.history(&end.history);
        if end.history.starts.len() < 2 {
            return self.position(end.last);
        }
        format!("{} (epochs from {starts})", self.position(end.last))
    }

    fn history(&self, history: &History) -> String {
        let starts: Vec<_> = history
            .starts
            .iter()
            .map(|(epoch, lsn)| self.position(Position { epoch: *epoch, lsn: *lsn }))
            .collect();
        if starts.is_empty() { "nothing".into() } else { starts.join(", ") }
    }

    fn state(&self, state: &NodeState) -> String {
        let mut text = format!("{}, promised {}", role(state.role), self.epoch(state.promised));
        if !state.promised_by.is_empty() {
            text += &format!(" to {}", state.promised_by);
        }
        if !state.replicas.is_empty() {
            let names: Vec<_> =
                state.replicas.iter().map(|r| format!("{} {}", r.name, word(r.mode))).collect();
            text += &format!(", replicas {}", names.join(", "));
        }
        text
    }

    fn message(&self, message: &Message) -> String {
        match message {
            Message::Hello { to, epoch, end, .. } => {
                let to = if to.0 == 0 { "whoever answers".into() } else { self.node(*to) };
                format!("Hello {to}, epoch {}, log to {}", self.epoch(*epoch), self.end(end))
            }
            Message::Welcome { promised, end, .. } => {
                format!("Welcome, promised {}, log to {}", self.epoch(*promised), self.end(end))
            }
            Message::Refused { reason, promised, text, .. } => {
                let text = self.readable(text);
                format!("Refused {reason:?}, promised {}: {text}", self.epoch(*promised))
            }
            Message::Append { epoch, prev, apply_to, records, .. } => {
                let records: Vec<_> = records.iter().map(|r| self.position(r.position())).collect();
                let epoch = self.epoch(*epoch);
                format!("Append {} after {prev}, show up to {apply_to}, epoch {epoch}", records.join(" "))
            }
            Message::Ack { durable, applied } => format!("Ack durable {durable}, shown {applied}"),
            Message::Publish { apply_to } => format!("Publish up to {apply_to}"),
            Message::Fetch { from } => format!("Fetch from {from}"),
            Message::Tail { prev, records, .. } => {
                let records: Vec<_> = records.iter().map(|r| self.position(r.position())).collect();
                format!("Tail {} after {prev}", records.join(" "))
            }
            Message::Members { members } => {
                let names: Vec<_> = members.iter().map(|m| self.node(m.node)).collect();
                format!("Members {}", names.join(", "))
            }
            Message::Release => "Release".into(),
            Message::Diverged { common } => format!("Diverged after {}", self.position(*common)),
            Message::Ping { .. } => "Ping".into(),
            Message::Pong { .. } => "Pong".into(),
        }
    }

    fn outcome(&self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Committed { position } => format!("committed {}", self.position(*position)),
            Outcome::Degraded { position, failed } => {
                format!("committed {}, but not confirmed by {}", self.position(*position), failures(failed))
            }
            Outcome::InDoubt { position, failed } => {
                format!("in doubt {}, not confirmed by {}", self.position(*position), failures(failed))
            }
            Outcome::Failed(CommitError::ReplicasMissing(missing)) => {
                format!("failed, nothing was written: without {}", failures(missing))
            }
            Outcome::Failed(error) => format!("failed: {error:?}"),
        }
    }

    fn answer(&self, result: &Result<AdminAnswer, AdminError>) -> Vec<String> {
        let line = match result {
            Ok(AdminAnswer::Done) => "done".into(),
            Ok(AdminAnswer::Role(r)) => role(*r).into(),
            Ok(AdminAnswer::Replicas(rows)) => {
                let row = |r: &mgnode_core::engine::ReplicaStatus| {
                    format!("{} {} {}, ts {}, behind {}", r.name, word(r.mode), r.status, r.ts, r.behind)
                };
                return or_none(rows.iter().map(row).collect());
            }
            Ok(AdminAnswer::Lag(rows)) => {
                let row = |r: &mgnode_core::engine::LagReport| {
                    format!(
                        "{} {} {}, {} commits behind for {} ms, last error: {}",
                        r.name,
                        word(r.mode),
                        r.state,
                        r.commits_behind,
                        r.behind_ms,
                        self.readable(r.last_error.as_deref().unwrap_or("none"))
                    )
                };
                return or_none(rows.iter().map(row).collect());
            }
            Ok(AdminAnswer::State(report)) => self.report(report),
            Ok(AdminAnswer::Outcome(report)) => format!("{report:?}"),
            Ok(AdminAnswer::Snapshot { lsn }) => format!("a snapshot of {lsn}"),
            Err(error) => format!("error: {}", self.readable(&error.to_string())),
        };
        vec![line]
    }

    fn report(&self, report: &StateReport) -> String {
        format!(
            "{}; epoch {}, durable {}, shown {}, history {}{}{}",
            self.state(&report.state),
            self.epoch(report.epoch),
            report.durable,
            report.applied,
            self.history(&report.history),
            if report.confirmed { "" } else { ", not confirmed" },
            report.warnings.iter().map(|warning| format!("; warning: {warning}")).collect::<String>()
        )
    }

    /// Puts names in the place of ids.
    fn readable(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (index, name) in self.names.iter().enumerate() {
            text = text.replace(&NodeId(index as u64 + 1).to_string(), name);
        }
        text.replace(&NodeId(0).to_string(), "-")
    }
}

fn or_none(lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() { vec!["none".into()] } else { lines }
}

fn failures(failed: &[ReplicaFailure]) -> String {
    let one = |f: &ReplicaFailure| format!("{} ({:?})", f.name, f.reason);
    failed.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Main => "MAIN",
        Role::Replica { .. } => "REPLICA",
    }
}

fn word(mode: SyncMode) -> &'static str {
    match mode {
        SyncMode::Async => "ASYNC",
        SyncMode::Sync => "SYNC",
        SyncMode::StrictSync => "STRICT_SYNC",
    }
}

/// Reads a mode as it is written in a query.
pub(crate) fn mode(text: &str) -> Result<SyncMode, String> {
    let known = [SyncMode::Async, SyncMode::Sync, SyncMode::StrictSync];
    known.into_iter().find(|m| word(*m) == text).ok_or(format!("there is no mode `{text}`"))
}

/// Reads an epoch as it is written here: `1.m.1`.
pub(crate) fn epoch(text: &str, names: &[String]) -> Result<Epoch, String> {
    let bad = || format!("`{text}` is no epoch");
    let [number, name, incarnation] = text.split('.').collect::<Vec<_>>()[..] else { return Err(bad()) };
    let node = names.iter().position(|n| n == name).ok_or_else(bad)?;
    Ok(Epoch {
        number: number.parse().map_err(|_| bad())?,
        node: NodeId(node as u64 + 1),
        incarnation: incarnation.parse().map_err(|_| bad())?,
    })
}
