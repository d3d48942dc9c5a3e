//! The cluster in one thread: time, and what happens when.
//!
//! A heap of events ordered by (time, number). What a node is and does is in [`crate::process`], what
//! lies between nodes in [`crate::net`], clients, faults and the operator in files of their own, and
//! what must hold in [`crate::checks`].

use crate::clients::Client;
use crate::coverage::Coverage;
use crate::net::Conn;
use crate::operator::Operator;
use crate::options::Options;
use crate::oracle::{Index, Oracle};
use crate::process::Node;
use crate::rng::Rng;
use bytes::Bytes;
use mgnode_core::engine::{Input, PeerId};
use mgnode_core::replication::Lane;
use mgnode_core::types::{NodeId, Position, SnapshotId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;
pub(crate) const PORT: u16 = 10_000;
/// Tokens from here on are the operator's.
pub(crate) const ADMIN_TOKENS: u64 = 1 << 60;
/// Lines of the trace that a failure shows.
const TRACE_LINES: usize = 80;

#[derive(Debug)]
pub(crate) enum Event {
    Input { node: usize, boot: u64, input: Input },
    Disk { node: usize, boot: u64 },
    Prepare { node: usize, boot: u64 },
    Flush { node: usize, boot: u64 },
    SnapshotWritten { node: usize, boot: u64, number: u64 },
    SnapshotArrives { conn: u64, snapshot: SnapshotId, bytes: Bytes, from: u64, upto: u64 },
    Tick { node: usize, boot: u64 },
    Connect { node: usize, boot: u64, peer: PeerId, address: String },
    Deliver { conn: u64, to: usize, lane: Lane },
    Close { conn: u64, to: usize },
    Client { index: usize },
    Read { node: usize, boot: u64, position: Position, deadline: u64 },
    Operator,
    Fault,
    Calm { fault: Passing },
    Start { node: usize },
}

/// A fault that passes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Passing {
    Link(usize, usize),
    Full(usize),
    ReadOnly(usize),
    Slow(usize),
}

struct Scheduled {
    when: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Scheduled) -> bool {
        (self.when, self.number) == (other.when, other.number)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Scheduled) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Scheduled) -> std::cmp::Ordering {
        (self.when, self.number).cmp(&(other.when, other.number))
    }
}

pub(crate) struct World {
    pub(crate) now: u64,
    number: u64,
    events: BinaryHeap<Reverse<Scheduled>>,
    /// Delays, clients and what else is no fault.
    pub(crate) rng: Rng,
    /// When the next fault comes.
    pub(crate) fault_rng: Rng,
    pub(crate) options: Options,
    pub(crate) nodes: Vec<Node>,
    /// Nodes that were emptied, and what they had told durable.
    pub(crate) emptied: Vec<(NodeId, Vec<Index>)>,
    pub(crate) conns: BTreeMap<u64, Conn>,
    pub(crate) next_conn: u64,
    /// Directions in which nothing arrives.
    pub(crate) blocked: BTreeSet<(usize, usize)>,
    pub(crate) oracle: Oracle,
    pub(crate) coverage: Coverage,
    pub(crate) operator: Operator,
    pub(crate) clients: Vec<Client>,
    pub(crate) next_token: u64,
    pub(crate) next_uid: i64,
    pub(crate) is_calm: bool,
    pub(crate) stop_clients: bool,
    /// The step under way has an input that no commit may have waited for.
    pub(crate) is_idle_step: bool,
    pub(crate) yes_after_heal: u64,
    pub(crate) steps: u64,
    /// Faults and whims so far; each has its number.
    pub(crate) disturbances: u64,
    trace: VecDeque<String>,
    is_loud: bool,
}

impl World {
    pub(crate) fn new(options: Options) -> World {
        let mut rng = Rng::new(options.seed ^ 0xabcd);
        let nodes = (0..options.modes.len()).map(|index| Node::new(index, &options, rng.next())).collect();
        let clients = options.clients.iter().map(|kind| Client::new(*kind)).collect();
        World {
            now: 1,
            number: 0,
            events: BinaryHeap::new(),
            fault_rng: Rng::new(options.seed ^ 0xfa),
            rng,
            nodes,
            emptied: Vec::new(),
            conns: BTreeMap::new(),
            next_conn: 0,
            blocked: BTreeSet::new(),
            oracle: Oracle::new(),
            coverage: Coverage::default(),
            operator: Operator::new(),
            clients,
            next_token: 0,
            next_uid: 0,
            is_calm: false,
            stop_clients: false,
            is_idle_step: false,
            yes_after_heal: 0,
            steps: 0,
            disturbances: 0,
            trace: VecDeque::new(),
            is_loud: options.tweaks.is_loud,
            options,
        }
    }

    pub(crate) fn count(&mut self, what: &str) {
        self.coverage.count(what);
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if !self.is_loud && !self.options.tweaks.is_traced {
            return;
        }
        let line = format!("{:>12.3} ms  {}", self.now as f64 / MS as f64, line());
        if self.is_loud {
            eprintln!("{line}");
        }
        if self.trace.len() == TRACE_LINES {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }

    pub(crate) fn trace(&self) -> String {
        self.trace.iter().map(|l| format!("{l}\n")).collect()
    }

    pub(crate) fn at(&mut self, when: u64, event: Event) {
        self.number += 1;
        let when = when.max(self.now);
        self.events.push(Reverse(Scheduled { when, number: self.number, event }));
    }

    pub(crate) fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now + delay, event);
    }

    /// Returns a number for a disturbance, and its dice; `None` where this one is left out.
    pub(crate) fn disturbance(&mut self, kind: u64) -> Option<Rng> {
        let number = self.disturbances;
        self.disturbances += 1;
        if self.options.tweaks.skip.contains(&number) {
            return None;
        }
        self.note(|| format!("disturbance {number}"));
        // Dice of its own: what is left out changes nothing about the others.
        Some(Rng::new(self.options.seed ^ kind ^ (number << 20)))
    }

    pub(crate) fn begin(&mut self) -> Result<(), String> {
        let options = self.options.clone();
        self.note(|| format!("{options:?}"));
        self.count(&format!("runs with --durability={}", options.disk.durability.word()));
        self.count(&format!("runs with {} nodes", self.nodes.len()));
        for node in 0..self.nodes.len() {
            self.start(node)?;
        }
        for index in 0..self.clients.len() {
            let delay = self.rng.delay(1, 10_000);
            self.after(delay, Event::Client { index });
        }
        self.after(MS, Event::Operator);
        let every = self.options.fault_every;
        self.after(2 * SECOND + every, Event::Fault);
        Ok(())
    }

    /// Runs until `until`, or until `done` says so. Returns whether it said so.
    pub(crate) fn run(
        &mut self,
        until: u64,
        mut done: impl FnMut(&mut World) -> Result<bool, String>,
    ) -> Result<bool, String> {
        while let Some(Reverse(next)) = self.events.peek() {
            if next.when > until {
                self.now = until;
                return Ok(false);
            }
            let Some(Reverse(Scheduled { when, event, .. })) = self.events.pop() else { break };
            self.now = when;
            self.happen(event)?;
            if self.steps.is_multiple_of(64) && done(self)? {
                return Ok(true);
            }
        }
        Err("no event is left".into())
    }

    pub(crate) fn is_alive(&self, node: usize, boot: u64) -> bool {
        self.nodes[node].process.as_ref().is_some_and(|p| p.boot == boot)
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        // A stopped process takes nothing in; all of it waits, in order.
        let taker = match &event {
            Event::Input { node, boot, .. } | Event::Tick { node, boot } => Some((*node, *boot)),
            Event::Deliver { conn, to, .. } | Event::Close { conn, to } => {
                self.conns.get(conn).map(|c| (c.ends[*to].0, c.ends[*to].1))
            }
            _ => None,
        };
        if let Some((node, boot)) = taker {
            if !self.is_alive(node, boot) {
                return Ok(());
            }
            let until = self.nodes[node].paused_until;
            if until > self.now {
                self.at(until, event);
                return Ok(());
            }
        }
        match event {
            Event::Input { node, input, .. } => self.step(node, input),
            Event::Tick { node, boot } => {
                let delay = self.rng.range(20, 50) * MS;
                self.after(delay, Event::Tick { node, boot });
                self.step(node, Input::Tick)
            }
            Event::Disk { node, boot } => self.disk_done(node, boot),
            Event::Prepare { node, boot } => self.segment_prepared(node, boot),
            Event::Flush { node, boot } => self.flush(node, boot),
            Event::SnapshotWritten { node, boot, number } => self.snapshot_written(node, boot, number),
            Event::SnapshotArrives { conn, snapshot, bytes, from, upto } => {
                self.snapshot_arrives(conn, snapshot, bytes, from, upto)
            }
            Event::Connect { node, boot, peer, address } => self.connect(node, boot, peer, &address),
            Event::Deliver { conn, to, lane } => self.deliver(conn, to, lane),
            Event::Close { conn, to } => self.closed(conn, to),
            Event::Client { index } => self.client(index),
            Event::Read { node, boot, position, deadline } => self.read(node, boot, position, deadline),
            Event::Operator => {
                let delay = self.rng.range(20, 80) * MS;
                self.after(delay, Event::Operator);
                self.operate()
            }
            Event::Fault => self.fault(),
            Event::Calm { fault } => {
                self.pass(fault);
                Ok(())
            }
            Event::Start { node } => {
                let n = &self.nodes[node];
                if n.process.is_none() && n.down_until <= self.now && !n.refuses {
                    self.start(node)?;
                }
                Ok(())
            }
        }
    }
}
