//! Connections between nodes, as QUIC shows them to the engine.
//!
//! Messages keep their order within a lane of a connection and nowhere else: signs of life overtake
//! records, a snapshot comes when it comes, and what an older connection still carries may arrive after
//! a newer one stands. Delays are exponential with a long tail. A blocked direction holds up what is on
//! it; a connection ends for its two ends at different times, and for one of them maybe never stood.

use crate::world::{Event, MS, SECOND, World};
use bytes::Bytes;
use mgnode_core::engine::{Input, PeerId};
use mgnode_core::replication::{Lane, Line, Message, PROTOCOL};
use mgnode_core::storage::protocol_of;
use mgnode_core::types::{Epoch, Identity, KeyPrint, Lsn, NodeId, PartialSnapshot, SnapshotId};
use std::collections::{BTreeMap, VecDeque};

/// Frames of signs of life, and of records that are small, beside the bounds that the engine has.
const QUEUE_SLACK: usize = 64 << 10;

pub(crate) struct Conn {
    /// Node, boot and peer number of the dialler and of the one who accepted.
    pub(crate) ends: [(usize, u64, PeerId); 2],
    /// Frames on their way to each end, by lane.
    lanes: [BTreeMap<Lane, VecDeque<Bytes>>; 2],
    /// Bytes of them.
    bytes: [usize; 2],
    /// When the last frame of each lane arrives, so that none overtakes it.
    arrives: [BTreeMap<Lane, u64>; 2],
    is_open: [bool; 2],
    /// The highest epoch in records that reached each end.
    pub(crate) epoch: [Epoch; 2],
    /// What the one who accepted said that it kept of a snapshot.
    kept: Option<PartialSnapshot>,
    /// The last record that the one who accepted has, or is being sent: log after it must stay.
    reached: Lsn,
    /// How much longer than others this connection takes.
    detour_us: u64,
    protocol: u16,
    /// The next records that it carries are of a version that the receiver does not know.
    pub(crate) is_newer: bool,
    /// Its greeting is in a protocol that the receiver does not speak.
    is_foreign: bool,
    /// Who greeted on it belongs to another cluster than the receiver did then.
    pub(crate) is_stranger: bool,
}

impl World {
    pub(crate) fn wire(&mut self) -> u64 {
        let wire_us = self.options.wire_us;
        self.rng.wire(wire_us)
    }

    pub(crate) fn connect(
        &mut self,
        node: usize,
        boot: u64,
        peer: PeerId,
        address: &str,
    ) -> Result<(), String> {
        if !self.is_alive(node, boot) {
            return Ok(());
        }
        let target = self.nodes.iter().position(|n| n.address == address);
        let is_cut = |w: &World, t: usize| w.blocked.contains(&(node, t)) || w.blocked.contains(&(t, node));
        let listener = target
            .filter(|t| self.nodes[*t].process.as_ref().is_some_and(|p| p.is_listening) && !is_cut(self, *t));
        let Some(to) = listener else {
            let delay = self.rng.pick(&[MS, 10 * MS, 500 * MS, 2 * SECOND]);
            let input = Input::PeerDown { peer, reason: "unreachable".into() };
            self.count("dials without answer");
            self.after(delay, Event::Input { node, boot, input });
            return Ok(());
        };
        self.next_conn += 1;
        let conn = self.next_conn;
        let Some(process) = self.nodes[to].process.as_mut() else { return Ok(()) };
        process.next_accepted += 2;
        let (accepted, to_boot) = (PeerId(process.next_accepted), process.boot);
        process.conns.insert(accepted, conn);
        let protocol = self.nodes[node].protocol.min(self.nodes[to].protocol);
        let detour_us = if self.rng.one_in(8) { self.rng.below(20_000) } else { 0 };
        // It stands for the one who accepted, and the dialler never hears of it.
        let is_half = !self.is_calm && self.rng.one_in(25);
        self.conns.insert(
            conn,
            Conn {
                ends: [(node, boot, peer), (to, to_boot, accepted)],
                lanes: Default::default(),
                bytes: [0; 2],
                arrives: Default::default(),
                is_open: [!is_half, true],
                epoch: [Epoch::default(); 2],
                kept: None,
                reached: Lsn::ZERO,
                detour_us,
                protocol,
                is_newer: false,
                is_foreign: false,
                is_stranger: false,
            },
        );
        // Each proves a key of its own, and the older of two versions is spoken.
        let line = |of: NodeId| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&of.0.to_le_bytes());
            Line { protocol, identity: Identity { key: Some(KeyPrint(key)), certified: None } }
        };
        let (near, far) = (line(self.nodes[to].id), line(self.nodes[node].id));
        let input = Input::PeerUp { peer: accepted, dialled: false, line: far };
        self.after(0, Event::Input { node: to, boot: to_boot, input });
        if is_half {
            self.count("half-open connections");
            let input = Input::PeerDown { peer, reason: "no answer".into() };
            self.after(2 * SECOND, Event::Input { node, boot, input });
            let delay = self.rng.range(0, 4_000) * MS;
            self.after(delay, Event::Close { conn, to: 1 });
            return Ok(());
        }
        if let Some(process) = self.nodes[node].process.as_mut() {
            process.conns.insert(peer, conn);
        }
        let is_foreign = std::mem::take(&mut self.nodes[node].greets_foreign);
        if let Some(c) = self.conns.get_mut(&conn) {
            c.is_foreign = is_foreign;
        }
        let input = Input::PeerUp { peer, dialled: true, line: near };
        self.after(10_000, Event::Input { node, boot, input });
        Ok(())
    }

    /// Puts a message on its way. (22)
    pub(crate) fn send(&mut self, node: usize, peer: PeerId, message: &Message) -> Result<(), String> {
        let delay = self.wire();
        let Some(conn) = self.nodes[node].process.as_ref().and_then(|p| p.conns.get(&peer)).copied() else {
            return Ok(());
        };
        let Some(c) = self.conns.get_mut(&conn) else { return Ok(()) };
        let to = usize::from(c.ends[0].0 == node && c.ends[0].2 == peer);
        if let Message::Append { records, .. } = message {
            c.reached = records.last().map_or(c.reached, |last| last.lsn);
            if let Some(record) = records.iter().find(|record| protocol_of(&record.payload) > c.protocol) {
                return Err(format!("24: record {} is sent to a version that cannot read it", record.lsn));
            }
        }
        let lane = message.lane();
        let mut frame = Vec::new();
        message.encode(c.protocol, &mut frame);
        c.bytes[to] += frame.len();
        let config = &self.options.config;
        let bound = config.live_bytes_max + config.catch_up_window_bytes + config.read_bytes_max;
        if c.bytes[to] > bound + 2 * self.oracle.longest + QUEUE_SLACK {
            return Err(format!("22: node {node} lets {} bytes pile up for one peer", c.bytes[to]));
        }
        c.lanes[to].entry(lane).or_default().push_back(frame.into());
        let when = self.now + delay + c.detour_us * 1_000;
        let when = c.arrives[to].get(&lane).copied().unwrap_or(0).max(when);
        c.arrives[to].insert(lane, when);
        self.at(when, Event::Deliver { conn, to, lane });
        Ok(())
    }

    /// A message arrives. A record that the receiver cannot know stays out of its log. (24)
    pub(crate) fn deliver(&mut self, conn: u64, to: usize, lane: Lane) -> Result<(), String> {
        let Some(c) = self.conns.get_mut(&conn) else { return Ok(()) };
        let (node, _, peer) = c.ends[to];
        if !c.is_open[to] {
            return Ok(());
        }
        // Held up, not lost: the transport sends it again until it arrives or the connection ends.
        if self.blocked.contains(&(c.ends[1 - to].0, node)) {
            self.after(5 * MS, Event::Deliver { conn, to, lane });
            return Ok(());
        }
        let Some(frame) = c.lanes[to].get_mut(&lane).and_then(VecDeque::pop_front) else { return Ok(()) };
        c.bytes[to] -= frame.len();
        let mut message =
            Message::decode(c.protocol, frame).map_err(|e| format!("a frame cannot be read: {e}"))?;
        let mut unknown = None;
        match &mut message {
            Message::Append { epoch, records, .. } => {
                c.epoch[to] = c.epoch[to].max(*epoch);
                if c.is_newer
                    && let Some(record) = records.first_mut()
                {
                    c.is_newer = false;
                    let mut payload = record.payload.to_vec();
                    payload[0] = 0xfe;
                    record.payload = payload.into();
                    unknown = Some(record.lsn);
                }
            }
            Message::Hello { epoch, protocol, node: from, cluster, .. } => {
                let belongs = self.nodes[node].process.as_ref().and_then(|p| p.belongs.as_ref());
                if let Some((Some(own), members)) = belongs {
                    let is_other = cluster.is_some_and(|cluster| cluster != *own);
                    c.is_stranger = is_other && members.iter().all(|member| member.node != *from);
                }
                if c.is_foreign {
                    *protocol = PROTOCOL + 2;
                } else {
                    c.epoch[to] = c.epoch[to].max(*epoch);
                }
            }
            Message::Welcome { end, partial, .. } => (c.reached, c.kept) = (end.last.lsn, *partial),
            Message::Tail { records, .. } if !records.is_empty() => self.coverage.count("tail fetches"),
            Message::Refused { reason, .. } => self.coverage.count(&format!("refused: {reason:?}")),
            _ => {}
        }
        let before = self.nodes[node].process.as_ref().map(|p| p.tip);
        self.step(node, Input::Message { peer, message })?;
        let Some(lsn) = unknown else { return Ok(()) };
        self.count("records of a newer version");
        match self.nodes[node].process.as_ref().map(|p| p.tip) {
            Some(tip) if Some(tip) != before && self.oracle.position(tip).lsn >= lsn => {
                Err(format!("24: node {node} takes record {lsn}, which it cannot read"))
            }
            _ => Ok(()),
        }
    }

    /// One end closes; what it sent before still arrives.
    pub(crate) fn hang_up(&mut self, conn: u64, by: usize) {
        let delay = self.wire();
        let Some(c) = self.conns.get_mut(&conn) else { return };
        c.is_open[by] = false;
        let last = c.arrives[1 - by].values().copied().max().unwrap_or(0);
        let when = last.max(self.now + delay);
        self.at(when, Event::Close { conn, to: 1 - by });
        self.after(0, Event::Close { conn, to: by });
    }

    /// Both ends hear of it, each in its time; a silent one only when it is idle for too long.
    pub(crate) fn break_conn(&mut self, conn: u64) {
        for to in 0..2 {
            let longest = self.rng.pick(&[200_000, 200_000, 4_000_000]);
            let delay = self.rng.delay(10, longest);
            self.after(delay, Event::Close { conn, to });
        }
    }

    pub(crate) fn closed(&mut self, conn: u64, to: usize) -> Result<(), String> {
        let Some(c) = self.conns.get_mut(&conn) else { return Ok(()) };
        c.is_open[to] = false;
        let (node, _, peer) = c.ends[to];
        if c.is_open == [false, false] {
            self.conns.remove(&conn);
        }
        let known = self.nodes[node].process.as_mut().and_then(|p| p.conns.remove(&peer));
        if known.is_none() {
            return Ok(());
        }
        let partial = self.nodes[node].disk.partial();
        self.step(node, Input::PartialKept { partial })?;
        self.step(node, Input::PeerDown { peer, reason: "the connection ended".into() })
    }

    /// Log before `before` is about to go, and no replica that is being brought up to date needs it. (19)
    pub(crate) fn check_kept(&self, node: usize, before: Lsn) -> Result<(), String> {
        let n = &self.nodes[node];
        for conn in n.process.iter().flat_map(|p| p.conns.values()) {
            let Some(c) = self.conns.get(conn).filter(|c| c.ends[0].0 == node && c.is_open[0]) else {
                continue;
            };
            let (name, id) = (format!("r{}", c.ends[1].0), self.nodes[c.ends[1].0].id);
            // One that was dropped and is about to be registered again is no link yet.
            let is_counted =
                n.process.iter().flat_map(|p| &p.counted).any(|r| r.name == name && r.node == id);
            let is_under_way = is_counted
                && n.stages.iter().any(|(part, of, stage)| {
                    *part == "link" && *of == name && matches!(*stage, "catch-up" | "snapshot")
                });
            if is_under_way && before > c.reached {
                return Err(format!(
                    "19: node {node} lets go of log before {before}, and {name} has come to {}",
                    c.reached
                ));
            }
        }
        Ok(())
    }

    // ---- snapshots ----

    pub(crate) fn send_snapshot(
        &mut self,
        node: usize,
        peer: PeerId,
        snapshot: SnapshotId,
        bytes: Result<Bytes, String>,
        offset: u64,
    ) -> Result<(), String> {
        let Some(process) = self.nodes[node].process.as_ref() else { return Ok(()) };
        let (boot, conn) = (process.boot, process.conns.get(&peer).copied());
        let delay = self.rng.delay(1_000, 100_000);
        let result = match (conn, bytes) {
            (Some(conn), Ok(bytes)) => {
                self.count("snapshots sent");
                if let Some(c) = self.conns.get_mut(&conn) {
                    c.reached = snapshot.lsn();
                    // It goes on in the file that was begun, where that ends. (23)
                    if offset > 0 && c.kept != Some(PartialSnapshot { snapshot, bytes: offset }) {
                        let kept = c.kept;
                        return Err(format!(
                            "23: node {node} sends {snapshot:?} from byte {offset}, its replica has {kept:?}"
                        ));
                    }
                }
                if offset > 0 {
                    self.count("snapshots resumed");
                }
                self.snapshot_piece(delay, conn, snapshot, bytes, offset);
                Ok(())
            }
            (None, Ok(_)) => return Ok(()),
            (_, Err(error)) => {
                self.count("snapshots that cannot be sent");
                Err(error)
            }
        };
        let input = Input::SnapshotSent { peer, result };
        self.after(delay / 2, Event::Input { node, boot, input });
        Ok(())
    }

    /// Sends the next piece after `from`: a few to a file.
    fn snapshot_piece(&mut self, delay: u64, conn: u64, snapshot: SnapshotId, bytes: Bytes, from: u64) {
        let most = snapshot.bytes / 3 + 1;
        let upto = snapshot.bytes.min(from + 1 + self.rng.below(most));
        self.after(delay, Event::SnapshotArrives { conn, snapshot, bytes, from, upto });
    }

    pub(crate) fn snapshot_arrives(
        &mut self,
        conn: u64,
        snapshot: SnapshotId,
        bytes: Bytes,
        from: u64,
        upto: u64,
    ) -> Result<(), String> {
        let Some(c) = self.conns.get(&conn) else { return Ok(()) };
        let ((sender, ..), (to, boot, peer)) = (c.ends[0], c.ends[1]);
        if !c.is_open[0] || !c.is_open[1] || !self.is_alive(to, boot) {
            return Ok(());
        }
        if self.blocked.contains(&(sender, to)) || self.nodes[to].paused_until > self.now {
            self.after(20 * MS, Event::SnapshotArrives { conn, snapshot, bytes, from, upto });
            return Ok(());
        }
        let disk = &mut self.nodes[to].disk;
        if !disk.piece(snapshot, from, bytes.slice(from as usize..upto as usize)) {
            self.count("snapshots without room");
            self.break_conn(conn);
            return Ok(());
        }
        if upto < snapshot.bytes {
            if self.rng.one_in(4) && !self.is_calm {
                self.count("snapshots cut off");
                self.break_conn(conn);
            }
            let delay = self.rng.delay(1_000, 50_000);
            self.snapshot_piece(delay, conn, snapshot, bytes, upto);
            return Ok(());
        }
        // The reader finds what is damaged, keeps nothing, and gives the connection up.
        let is_damaged = self.rng.one_in(10) && !self.is_calm;
        let disk = &mut self.nodes[to].disk;
        if is_damaged {
            disk.flip_part(&mut self.rng);
        }
        let (index, graph) = match disk.load_part() {
            Ok(_) if is_damaged => return Err("17: a damaged snapshot is taken for a whole one".into()),
            Ok(loaded) => loaded,
            Err(_) => {
                self.count("damaged snapshots");
                self.break_conn(conn);
                return Ok(());
            }
        };
        self.check_snapshot(&index.header)?;
        self.nodes[to].disk.hand_over(index.header.clone());
        self.step(to, Input::PartialKept { partial: None })?;
        self.step(to, Input::SnapshotReceived { peer, snapshot: index.id, header: index.header, graph })
    }
}
