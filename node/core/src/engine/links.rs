//! MAIN's side of its connections: dial, greet, catch up, keep alive.

use super::{AfterSave, Effect, Engine, PeerId, Reign, ReplicaFailureReason};
use crate::replication::{
    Comparison, Link, LinkState, LogEnd, Message, PROTOCOL, PROTOCOL_SCHEMA, RefusalReason, compare,
    fence_epoch, record_bytes,
};
use crate::storage::protocol_of;
use crate::types::{
    CommitRecord, Epoch, Identity, Lsn, Member, NodeId, Position, Registration, Role, SyncMode, Time,
};
use std::time::Duration;

/// Shortest time between two messages with records to an ASYNC replica that is up to date.
pub const ASYNC_PAUSE: Duration = Duration::from_millis(2);

impl Engine {
    /// Dials whoever is due, asks for signs of life, gives up who gave none.
    pub(super) fn tend_links(&mut self, out: &mut Vec<Effect>) {
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            match &mut link.state {
                LinkState::Down { redial_at } => {
                    if *redial_at <= self.now {
                        self.dial(index, out);
                    }
                    continue;
                }
                LinkState::Dialing | LinkState::Greeting => {
                    if self.now - link.since >= self.config.register_timeout {
                        self.lose_link(index, "it does not answer", out);
                    }
                    continue;
                }
                LinkState::CatchUp { is_stuck, .. } => *is_stuck = false,
                // Commits wait for what it gives back, so it may not keep them for ever; and what was not given
                // back before the reign began no longer can be.
                LinkState::Fetching { .. } => {
                    if self.reign != Reign::NotBegun {
                        self.lose_link(
                            index,
                            "this MAIN began to write before it had given back its end",
                            out,
                        );
                        continue;
                    }
                    if self.now - link.since >= self.config.sync_timeout {
                        self.lose_link(index, "it does not give back the end of its log", out);
                        continue;
                    }
                }
                LinkState::SnapshotDue | LinkState::Snapshot { .. } | LinkState::Live => {}
            }
            if link.heard.is_none_or(|heard| self.now - heard >= self.config.liveness_timeout) {
                self.lose_link(index, "it gives no sign of life", out);
                continue;
            }
            let ping_every = self
                .config
                .main_lease
                .map_or(self.config.ping_every, |lease| self.config.ping_every.min(lease / 4));
            if self.now - link.pinged >= ping_every
                && let Some(peer) = link.peer
            {
                link.pinged = self.now;
                out.push(Effect::Send { peer, message: Message::Ping { sequence: self.now.0 } });
            }
            self.pump(index, out);
        }
        self.send_gathered(out);
    }

    fn dial(&mut self, index: usize, out: &mut Vec<Effect>) {
        // A fenced MAIN that wrote nothing in this life has no epoch of its own to speak in.
        if self.reign == Reign::NotBegun && self.is_fenced() || self.is_closing {
            return;
        }
        let peer = self.new_peer();
        let link = &mut self.links[index];
        link.peer = Some(peer);
        link.state = LinkState::Dialing;
        link.since = self.now;
        out.push(Effect::Dial { peer, address: link.registration.address.clone() });
    }

    pub(super) fn greet(&mut self, index: usize, out: &mut Vec<Effect>) {
        let Some(peer) = self.links[index].peer else { return };
        let hello = self.hello(peer, self.links[index].registration.node);
        let link = &mut self.links[index];
        if link.state == LinkState::Dialing {
            link.state = LinkState::Greeting;
            link.since = self.now;
            link.heard = Some(self.now);
            out.push(Effect::Send { peer, message: hello });
        }
    }

    pub(super) fn hello(&self, peer: PeerId, to: NodeId) -> Message {
        Message::Hello {
            protocol: self.lines.get(&peer).map_or(PROTOCOL, |line| line.protocol),
            node: self.state.node,
            to,
            epoch: self.reign_epoch(),
            end: self.log.end().clone(),
            cluster: Some(self.state.cluster_id()),
            members: self.members(),
        }
    }

    /// Names everyone in the cluster. What this node's own connection proves, the others see themselves.
    fn members(&self) -> Vec<Member> {
        let bolt = self.config.bolt.clone();
        let own = Member { node: self.state.node, identity: Identity::default(), bolt, mode: None };
        let replica = |r: &Registration| {
            let link = self.links.iter().find(|link| link.registration.name == r.name);
            let bolt = link.map(|link| link.bolt.clone()).unwrap_or_default();
            Member { node: r.node, identity: r.identity.clone(), bolt, mode: Some(r.mode) }
        };
        std::iter::once(own).chain(self.state.replicas.iter().map(replica)).collect()
    }

    /// Tells every replica that is there who belongs to the cluster now.
    pub(super) fn tell_members(&self, out: &mut Vec<Effect>) {
        for link in &self.links {
            if let Some(peer) = link.peer
                && !matches!(link.state, LinkState::Dialing | LinkState::Down { .. })
            {
                self.send_if_known(peer, Message::Members { members: self.members() }, out);
            }
        }
    }

    /// Gives a connection up and plans the next dial.
    pub(super) fn lose_link(&mut self, index: usize, why: &str, out: &mut Vec<Effect>) {
        let link = &mut self.links[index];
        if let Some(peer) = link.peer {
            out.push(Effect::Hangup { peer, reason: why.to_owned() });
        }
        if !matches!(link.state, LinkState::Down { .. } | LinkState::Dialing | LinkState::Greeting) {
            link.lost_at_bytes = Some(self.log.bytes());
        }
        link.lose(self.now, why, self.config.redial_min, self.config.redial_max);
    }

    fn set_diverged(&mut self, index: usize, common: Lsn, theirs: Lsn, out: &mut Vec<Effect>) {
        let why = divergence(common, self.log.last(), theirs);
        if let (Some(peer), Some(epoch)) = (self.links[index].peer, self.log.end().history.epoch_of(common)) {
            let common = Position { epoch, lsn: common };
            self.send_if_known(peer, Message::Diverged { common }, out);
        }
        self.lose_link(index, &why, out);
        self.links[index].absence = ReplicaFailureReason::Diverged;
    }

    pub(super) fn on_replica_message(&mut self, index: usize, message: Message, out: &mut Vec<Effect>) {
        self.links[index].heard = Some(self.now);
        match message {
            Message::Welcome { node, promised, end, partial, bolt, .. } => {
                if self.links[index].state != LinkState::Greeting {
                    return;
                }
                match self.recognize(index, node) {
                    Ok(identity) => {
                        self.links[index].partial = partial;
                        self.on_welcome(index, identity, bolt, promised, &end, out);
                    }
                    Err(why) => self.lose_link(index, &why, out),
                }
            }
            Message::Refused { node, reason, promised, text, .. } => {
                let recognized = self.recognize(index, node);
                self.lose_link(index, recognized.as_ref().err().unwrap_or(&text), out);
                // Whoever else answers at its address says nothing about the replica, nor about this MAIN.
                if recognized.is_err() {
                    return;
                }
                self.links[index].has_answered = true;
                if matches!(reason, RefusalReason::Mismatch | RefusalReason::Full) {
                    self.links[index].absence = ReplicaFailureReason::Refused;
                }
                // One that went over to another cluster obeys an epoch that means nothing in this one.
                if reason != RefusalReason::OtherCluster {
                    self.hear_of_epoch(promised, out);
                }
            }
            Message::Ack { durable, applied } => self.on_ack(index, durable, applied, out),
            Message::Tail { prev, prev_chain, records } => {
                self.on_tail(index, prev, prev_chain, records, out);
            }
            Message::Pong { sequence } => {
                let link = &mut self.links[index];
                if sequence <= self.now.0 {
                    link.followed_at = link.followed_at.max(Some(Time(sequence)));
                }
            }
            Message::Hello { .. }
            | Message::Append { .. }
            | Message::Publish { .. }
            | Message::Fetch { .. }
            | Message::Members { .. }
            | Message::Release
            | Message::Diverged { .. }
            | Message::Ping { .. } => self.lose_link(index, "it speaks as a MAIN would", out),
        }
    }

    /// Steps back where a node obeys a higher epoch: someone promoted another MAIN.
    pub(super) fn hear_of_epoch(&mut self, promised: Epoch, out: &mut Vec<Effect>) {
        self.seen = self.seen.max(promised.number);
        let own = self.reign_epoch();
        if promised <= own || promised.node == self.state.node {
            return;
        }
        self.replaced_by = self.replaced_by.max(Some(promised));
        // Kept over restarts as a fence, so that this node never takes itself for the MAIN again.
        if promised.number > self.state.promised.number {
            self.state.promised = fence_epoch(promised.number);
            self.save(AfterSave::Nothing, out);
        }
    }

    /// Returns what a connection proves where the node that was registered is behind it.
    fn recognize(&self, index: usize, node: NodeId) -> Result<Identity, String> {
        let link = &self.links[index];
        if link.registration.node != node {
            return Err(format!(
                "wrong node: {node} answers there, {} was registered",
                link.registration.node
            ));
        }
        let line = link.peer.and_then(|peer| self.lines.get(&peer));
        let identity = line.map(|line| line.identity.clone()).unwrap_or_default();
        if !identity.agrees_with(&link.registration.identity) {
            return Err("wrong node: its key or certificate is not the one that was registered".into());
        }
        Ok(identity)
    }

    fn on_welcome(
        &mut self,
        index: usize,
        identity: Identity,
        bolt: Vec<String>,
        promised: Epoch,
        end: &LogEnd,
        out: &mut Vec<Effect>,
    ) {
        self.seen = self.seen.max(promised.number);
        if self.links[index].bolt != bolt {
            self.links[index].bolt = bolt;
            self.members_version += 1;
            self.tell_members(out);
        }
        let link = &mut self.links[index];
        // Renewed certificates bring new keys; a cluster of an earlier version had none.
        if identity != Identity::default() && identity != link.registration.identity {
            link.registration.identity = identity.clone();
            let name = link.registration.name.clone();
            if let Some(registration) = self.state.replicas.iter_mut().find(|r| r.name == name) {
                registration.identity = identity;
                self.save(AfterSave::Nothing, out);
            }
        }
        self.links[index].has_answered = true;
        self.stream_from(index, end, out);
    }

    /// Decides how a replica whose log ends at `end` is brought up to date.
    pub(super) fn stream_from(&mut self, index: usize, end: &LogEnd, out: &mut Vec<Effect>) {
        match self.compare_with(end) {
            Comparison::Prefix => {
                let now = self.now;
                self.links[index].resume(end, now);
                self.pump(index, out);
            }
            Comparison::OwnTail => {
                let link = &mut self.links[index];
                link.state = LinkState::Fetching { end: end.clone() };
                link.since = self.now;
                if let Some(peer) = link.peer {
                    let from = self.log.last().next();
                    out.push(Effect::Send { peer, message: Message::Fetch { from } });
                }
            }
            Comparison::Diverged { common } => self.set_diverged(index, common, end.last.lsn, out),
        }
    }

    pub(super) fn compare_with(&self, end: &LogEnd) -> Comparison {
        let unwritten = (self.reign == Reign::NotBegun).then_some(self.last_reign);
        let comparison = compare(self.log.end(), end, unwritten);
        let known = self.log.chain_at(end.last.lsn);
        if comparison == Comparison::Prefix && known.is_some_and(|chain| chain != end.chain) {
            return Comparison::Diverged { common: Lsn::ZERO };
        }
        comparison
    }

    /// Sends what fits into the window, from memory where it is there, else from the log.
    pub(super) fn pump(&mut self, index: usize, out: &mut Vec<Effect>) {
        loop {
            let link = &mut self.links[index];
            let LinkState::CatchUp { is_reading, is_stuck } = &mut link.state else { return };
            let Some(peer) = link.peer else { return };
            // The log is damaged there. What it said is in the graph: a snapshot leads over it, once the replica
            // is done with what came before.
            if link.is_unreadable {
                if link.window.bytes() == 0 {
                    self.bridge_by_snapshot(index, out);
                }
                return;
            }
            if link.window.bytes() >= self.config.catch_up_window_bytes {
                return;
            }
            let before = Lsn(link.next.0 - 1);
            if link.is_unproved
                && let Some(chain) = self.log.chain_at(before).or(self.snapshots.chain_at(before))
            {
                if chain != link.next_chain {
                    return self.set_diverged(index, Lsn::ZERO, before, out);
                }
                link.is_unproved = false;
            }
            if before == self.log.last() {
                return self.go_live(index, out);
            }
            if !link.is_unproved && self.log.recent_at(link.next).is_some() {
                let (records, chain) = self.recent_chunk(index);
                self.send_records(index, records, chain, out);
                continue;
            }
            if !*is_reading && !*is_stuck {
                *is_reading = true;
                // The record before the first one proves that both logs are the same up to there.
                let from = if link.is_unproved { before } else { link.next };
                out.push(Effect::ReadWal { peer, from, bytes_max: self.config.read_bytes_max });
            }
            return;
        }
    }

    fn recent_chunk(&self, index: usize) -> (Vec<CommitRecord>, u64) {
        let (mut lsn, mut chain) = (self.links[index].next, self.links[index].next_chain);
        let (mut records, mut bytes) = (Vec::new(), 0);
        while let Some((record, after)) = self.log.recent_at(lsn) {
            if bytes > self.config.read_bytes_max {
                break;
            }
            bytes += record_bytes(record);
            records.push(record.clone());
            chain = *after;
            lsn = lsn.next();
        }
        (records, chain)
    }

    fn send_records(&mut self, index: usize, records: Vec<CommitRecord>, chain: u64, out: &mut Vec<Effect>) {
        let Some(last) = records.last().map(|r| r.lsn) else { return };
        let spoken = self.protocol_of(&self.links[index]);
        if let Some(record) = records.iter().find(|record| protocol_of(&record.payload) > spoken) {
            return self.lose_link(index, &too_old(spoken, record.lsn), out);
        }
        let apply_to = if self.has_strict_links() { self.applied.lsn } else { last };
        let epoch = self.reign_epoch();
        let link = &mut self.links[index];
        let Some(peer) = link.peer else { return };
        let (prev, prev_chain) = (Lsn(link.next.0 - 1), link.next_chain);
        link.next = last.next();
        link.next_chain = chain;
        link.window.add(last, records.iter().map(record_bytes).sum());
        link.sent = self.now;
        link.may_show = link.may_show.max(apply_to);
        let message = Message::Append { epoch, prev, prev_chain, apply_to, records };
        out.push(Effect::Send { peer, message });
    }

    /// Returns the protocol that is spoken with a replica, the newest where it is not there.
    pub(super) fn protocol_of(&self, link: &Link) -> u16 {
        link.peer.and_then(|peer| self.lines.get(&peer)).map_or(PROTOCOL, |line| line.protocol)
    }

    /// Sends every new record at once from here on. All earlier ones are sent, so there is no gap.
    fn go_live(&mut self, index: usize, out: &mut Vec<Effect>) {
        let apply_to = if self.has_strict_links() { self.applied.lsn } else { self.log.last() };
        let link = &mut self.links[index];
        let Some(peer) = link.peer else { return };
        link.state = LinkState::Live;
        link.join = self.log.last();
        link.may_show = link.may_show.max(apply_to);
        // Its acknowledgement also says how far the replica shows what it had before.
        out.push(Effect::Send { peer, message: Message::Publish { apply_to } });
    }

    pub(super) fn on_catch_up_read(
        &mut self,
        index: usize,
        from: Lsn,
        read: Option<Vec<(CommitRecord, u64)>>,
        out: &mut Vec<Effect>,
    ) {
        let link = &mut self.links[index];
        let LinkState::CatchUp { is_reading, is_stuck } = &mut link.state else { return };
        *is_reading = false;
        let Some(mut records) = read else {
            link.is_unreadable = true;
            return self.pump(index, out);
        };
        if records.is_empty() {
            if from < self.wal_from {
                return self.bridge_by_snapshot(index, out);
            }
            *is_stuck = true;
            return;
        }
        if link.is_unproved && from.next() == link.next {
            let (_, chain) = records.remove(0);
            if chain != link.next_chain {
                return self.set_diverged(index, Lsn::ZERO, from, out);
            }
            link.is_unproved = false;
        }
        let follows = records.first().is_some_and(|(record, _)| record.lsn == link.next);
        if let Some(chain) = records.last().map(|(_, chain)| *chain).filter(|_| follows) {
            self.send_records(index, records.into_iter().map(|(record, _)| record).collect(), chain, out);
        }
        self.pump(index, out);
    }

    fn on_ack(&mut self, index: usize, durable: Lsn, applied: Lsn, out: &mut Vec<Effect>) {
        let link = &mut self.links[index];
        if let LinkState::Snapshot { snapshot } = link.state {
            if durable < snapshot.lsn() {
                return;
            }
            link.state = LinkState::CatchUp { is_reading: false, is_stuck: false };
            link.next_chain = snapshot.chain;
            link.is_unproved = false;
            link.unfinished = None;
            link.partial = None;
        }
        // Before records flow there is nothing to acknowledge.
        if !link.is_streaming() {
            return;
        }
        if !link.acked(durable, applied) {
            return self.lose_link(index, "it acknowledged what it was not sent", out);
        }
        self.send_gathered(out);
        self.pump(index, out);
        let shown = self.applied.lsn;
        self.links[index].join_if_caught_up(shown);
    }

    /// Sends ASYNC replicas what gathered for them. No one waits for them, and many records at once cost both
    /// nodes less: a replica gets more when it has acknowledged what it was sent, and not at once again.
    pub(super) fn send_gathered(&mut self, out: &mut Vec<Effect>) {
        for index in 0..self.links.len() {
            let is_early = !self.is_closing && self.now - self.links[index].sent < ASYNC_PAUSE;
            if is_early || !self.has_gathered(&self.links[index]) {
                continue;
            }
            let link = &mut self.links[index];
            if self.log.recent_at(link.next).is_some() {
                let (records, chain) = self.recent_chunk(index);
                self.send_records(index, records, chain, out);
            } else {
                // Memory no longer holds them: they come from the disk, at its own pace.
                link.state = LinkState::CatchUp { is_reading: false, is_stuck: false };
                link.set_aside(self.log.last(), ReplicaFailureReason::NotInSync);
                self.pump(index, out);
            }
        }
    }

    /// Whether there is more for an ASYNC replica that is done with what it was sent.
    pub(super) fn has_gathered(&self, link: &Link) -> bool {
        link.registration.mode == SyncMode::Async
            && link.state == LinkState::Live
            && link.window.bytes() == 0
            && link.next <= self.log.last()
    }

    fn on_tail(
        &mut self,
        index: usize,
        prev: Lsn,
        prev_chain: u64,
        records: Vec<CommitRecord>,
        out: &mut Vec<Effect>,
    ) {
        let LinkState::Fetching { end } = &self.links[index].state else { return };
        let end = end.clone();
        if self.reign != Reign::NotBegun || self.role != Role::Main || self.is_closing {
            return;
        }
        let is_empty = records.is_empty();
        if prev == self.log.last() && !is_empty {
            if prev_chain != self.log.chain() {
                return self.set_diverged(index, Lsn::ZERO, prev, out);
            }
            for record in records {
                let changes = match self.graph.decode(&record.payload) {
                    Ok(changes) if self.log.accepts(&record) => changes,
                    _ => return self.lose_link(index, "it gave back records that cannot be read", out),
                };
                self.lose_those_too_old(&record, out);
                self.write_record(record, changes, None, out);
            }
            let lsn = self.log.last();
            // A transaction that began before may have been given ids that these records use.
            self.oldest_read = lsn;
            out.push(Effect::SyncWal { lsn });
        }
        if self.log.last() >= end.last.lsn || is_empty {
            return match self.compare_with(&end) {
                Comparison::OwnTail => self.set_diverged(index, prev, end.last.lsn, out),
                _ => self.stream_from(index, &end, out),
            };
        }
        self.links[index].since = self.now;
        if let Some(peer) = self.links[index].peer {
            let from = self.log.last().next();
            out.push(Effect::Send { peer, message: Message::Fetch { from } });
        }
    }
}

impl Engine {
    /// Lets those go that are sent each record at once and cannot read this one, which came out of another log. Where a client
    /// asks for such a record it is refused; this one is there. Those that catch up go when they come to it.
    fn lose_those_too_old(&mut self, record: &CommitRecord, out: &mut Vec<Effect>) {
        let needed = protocol_of(&record.payload);
        for index in 0..self.links.len() {
            let spoken = self.protocol_of(&self.links[index]);
            if self.links[index].state == LinkState::Live && spoken < needed {
                self.lose_link(index, &too_old(spoken, record.lsn), out);
            }
        }
    }
}

/// Says where two logs part, for people.
pub(super) fn divergence(common: Lsn, ours: Lsn, theirs: Lsn) -> String {
    if common == Lsn::ZERO {
        return format!(
            "the logs differ in a record that both have; this MAIN's ends at {ours}, its at {theirs}"
        );
    }
    let more = theirs.0.saturating_sub(common.0);
    format!("it has {more} commits after {common} that this MAIN does not have")
}

/// Says why a replica cannot be brought up to date.
pub(super) fn too_old(spoken: u16, lsn: Lsn) -> String {
    format!(
        "it speaks protocol {spoken}, and record {lsn} or one before needs {PROTOCOL_SCHEMA} (enums, triggers, type \
         constraints or edge indexes): upgrade it"
    )
}
