//! The transport as it is shipped, quinn and TLS included, over a simulated network in simulated time.
//!
//! One MAIN dials two REPLICAs, again and again, as the engine would; both sides say what they like
//! meanwhile, snapshots too, while datagrams are lost, doubled, late, out of order, lines are cut one way
//! or both and healed. Checked after every step, against what was sent:
//! - each peer is up once, then speaks, then is down once; a dial that fails is only down;
//! - messages of a lane come in their order, none left out, none twice, none of another connection;
//! - a snapshot comes whole or not at all, and no more of them than were sent;
//! - both sides know each other by the names that the authority certified;
//! - when all is healed, connections stand again, and what is said arrives to the last message.
//!
//! `MG_SEED=0x2a` repeats one run, `MG_SEEDS=5000` makes more. The same seed gives the same datagrams at
//! the same times.

mod clock;
mod net;
mod rng;

use super::testing::{Authority, Numbers, numbers, taken};
use super::{ClusterFiles, Credentials, IDLE_TIMEOUT, LINGER, Quic};
use crate::driver::{Queue, Transport, queue};
use clock::Clock;
use mgnode_core::engine::{Input, PeerId};
use mgnode_core::replication::{Lane, Message, PROTOCOL};
use mgnode_core::types::{CommitRecord, Epoch, Lsn};
use net::{Counts, Host, Net, Weather};
use parking_lot::Mutex;
use rng::Rng;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SEEDS: u64 = 300;
const PORT: u16 = 10_000;
const STEP: Duration = Duration::from_millis(5);
const CHAOS_STEPS: u64 = 2_000;
/// Longest time in which all must be well again once the net is: an old connection has to end first.
const CALM: Duration = Duration::from_secs(30);
const REDIAL_AFTER: Duration = Duration::from_millis(100);

/// What one side of a connection has said, and what the other has heard.
#[derive(Default)]
struct Told {
    said: u64,
    heard: u64,
}

/// One dial, from MAIN's side.
struct Connection {
    replica: usize,
    /// The number that each of its messages carries.
    tag: u64,
    dialled: Option<bool>,
    /// What the replica calls it, and whether it stands there.
    accepted: Option<(PeerId, bool)>,
    lanes: BTreeMap<(bool, Lane), Told>,
    snapshots: Told,
}

struct Node {
    quic: Quic,
    queue: Queue,
    snapshots: Arc<Numbers>,
    name: String,
    ip: IpAddr,
    is_listening: bool,
}

struct World {
    clock: Arc<Clock>,
    net: Arc<Net>,
    rng: Rng,
    nodes: Vec<Node>,
    /// By MAIN's number of the peer.
    connections: BTreeMap<PeerId, Connection>,
    /// Tag to MAIN's number.
    tags: BTreeMap<u64, PeerId>,
    /// What replicas have accepted and cannot tell apart yet: node, peer, and what it said.
    next_peer: u64,
    redial_at: Vec<Duration>,
    counts: BTreeMap<&'static str, u64>,
}

const MAIN: usize = 0;

/// Certificates of the three nodes, made once: signing them is no part of a run.
struct Files {
    _folder: tempfile::TempDir,
    files: Vec<ClusterFiles>,
}

impl Files {
    fn make() -> Files {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let authority = Authority::new("simulation");
        let files = ["m1", "r1", "r2"]
            .map(|name| authority.write(folder.path(), name, "demo", &[&authority]))
            .to_vec();
        Files { _folder: folder, files }
    }
}

impl World {
    fn new(seed: u64, files: &Files) -> World {
        let mut rng = Rng::new(seed);
        let clock = Clock::new();
        let net = Net::new(clock.clone(), Rng::new(rng.next()));
        let nodes = files.files.iter().zip(["m1", "r1", "r2"]).zip(1..).map(|((files, name), last)| {
            let ip = IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
            let (inputs, queue) = queue();
            let snapshots = Arc::new(Numbers::default());
            let credentials = Credentials::cluster(files.clone()).expect("the certificates are good");
            let host = Arc::new(Host { net: net.clone(), ip });
            let quic = Quic::on(host, ip, inputs, snapshots.clone(), credentials);
            Node { quic, queue, snapshots, name: format!("{name}.demo.mgctl"), ip, is_listening: false }
        });
        let mut world = World {
            nodes: nodes.collect(),
            clock,
            net,
            rng,
            connections: BTreeMap::new(),
            tags: BTreeMap::new(),
            next_peer: 0,
            redial_at: vec![Duration::ZERO; 3],
            counts: BTreeMap::new(),
        };
        for replica in 1..world.nodes.len() {
            world.nodes[replica].quic.listen(PORT);
        }
        world
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// The connection to a replica that MAIN has or tries to have.
    fn current(&self, replica: usize) -> Option<PeerId> {
        let open = self.connections.iter().filter(|(_, c)| c.replica == replica && c.dialled != Some(false));
        open.map(|(peer, _)| *peer).next_back()
    }

    fn dial_where_due(&mut self) {
        for replica in 1..self.nodes.len() {
            if self.current(replica).is_some() || self.clock.elapsed() < self.redial_at[replica] {
                continue;
            }
            self.next_peer += 2;
            let peer = PeerId(self.next_peer);
            let address = format!("{}:{PORT}", self.nodes[replica].ip);
            self.nodes[MAIN].quic.dial(peer, address);
            let connection = Connection {
                replica,
                tag: peer.0,
                dialled: None,
                accepted: None,
                lanes: BTreeMap::new(),
                snapshots: Told::default(),
            };
            self.tags.insert(peer.0, peer);
            self.connections.insert(peer, connection);
            self.count("dials");
        }
    }

    /// Says the next message of a lane of a connection that stands at the side that says it.
    fn say(&mut self, peer: PeerId, from_main: bool, lane: Lane, bytes: usize) {
        let connection = self.connections.get_mut(&peer).expect("it is known");
        let told = connection.lanes.entry((from_main, lane)).or_default();
        let sequence = connection.tag << 32 | told.said;
        told.said += 1;
        let message = match (lane, bytes) {
            (Lane::Control, _) => Message::Ping { sequence },
            (Lane::Log, 0) => Message::Fetch { from: Lsn(sequence) },
            (Lane::Log, bytes) => {
                let payload = vec![7; bytes].into();
                let record = CommitRecord { epoch: Epoch::default(), lsn: Lsn(1), ts: 0, payload };
                let (prev, records) = (Lsn(sequence), vec![record]);
                let (epoch, apply_to) = (Epoch::default(), Lsn(0));
                Message::Append { epoch, prev, prev_chain: 0, apply_to, records }
            }
        };
        match (from_main, connection.accepted) {
            (true, _) => self.nodes[MAIN].quic.send(peer, message),
            (false, Some((accepted, _))) => {
                let replica = connection.replica;
                self.nodes[replica].quic.send(accepted, message);
            }
            (false, None) => unreachable!("said only on connections that stand"),
        }
        self.count("messages said");
    }

    fn send_snapshot(&mut self, peer: PeerId, bytes: usize) {
        self.connections.get_mut(&peer).expect("it is known").snapshots.said += 1;
        self.nodes[MAIN].quic.send_snapshot(peer, numbers(bytes as u64), 0, PROTOCOL);
        self.count("snapshots sent");
    }

    fn stands_at_main(&self) -> Vec<PeerId> {
        self.connections.iter().filter(|(_, c)| c.dialled == Some(true)).map(|(peer, _)| *peer).collect()
    }

    fn stands_at_replica(&self) -> Vec<PeerId> {
        let stands = |c: &Connection| c.accepted.is_some_and(|(_, stands)| stands);
        self.connections.iter().filter(|(_, c)| stands(c)).map(|(peer, _)| *peer).collect()
    }

    /// Does something that an engine, an operator or the weather could do.
    fn disturb(&mut self) {
        let from_main = self.rng.one_in(2);
        let standing = if from_main { self.stands_at_main() } else { self.stands_at_replica() };
        let peer = standing.get(self.rng.below(standing.len() as u64) as usize).copied();
        match (self.rng.below(100), peer) {
            (0..60, Some(peer)) => {
                for _ in 0..=self.rng.below(20) {
                    let (lane, bytes) = match self.rng.below(10) {
                        0..4 => (Lane::Control, 0),
                        4..8 => (Lane::Log, 0),
                        8 => (Lane::Log, self.rng.below(2_000) as usize),
                        _ => (Lane::Log, self.rng.below(200_000) as usize),
                    };
                    self.say(peer, from_main, lane, bytes);
                }
            }
            (60..63, Some(peer)) if from_main => {
                let bytes = self.rng.below(1_000_000) as usize;
                self.send_snapshot(peer, bytes);
            }
            (63, Some(peer)) => {
                if from_main {
                    self.nodes[MAIN].quic.hangup(peer, "the test hangs up".into());
                } else if let Some((accepted, _)) = self.connections[&peer].accepted {
                    let replica = self.connections[&peer].replica;
                    self.nodes[replica].quic.hangup(accepted, "the test hangs up".into());
                }
                self.count("hangups");
            }
            (64, _) => {
                let replica = 1 + self.rng.below(2) as usize;
                if self.rng.one_in(2) {
                    self.nodes[replica].quic.unlisten();
                    self.nodes[replica].is_listening = false;
                } else {
                    // In place of a port that was open before, too.
                    self.nodes[replica].quic.listen(PORT);
                }
                self.count("ports opened or closed");
            }
            (65..68, _) => {
                let (main, replica) = (self.nodes[MAIN].ip, self.nodes[1 + self.rng.below(2) as usize].ip);
                let which = self.rng.below(3);
                if which != 1 {
                    self.net.cut(main, replica);
                }
                if which != 0 {
                    self.net.cut(replica, main);
                }
                self.count("cuts");
            }
            (68..74, _) => self.net.heal(),
            (74..78, _) => {
                let chance = |rng: &mut Rng| match rng.below(4) {
                    0 => 0,
                    1 => 100,
                    2 => 20,
                    _ => 8,
                };
                self.net.set_weather(Weather {
                    loss: chance(&mut self.rng),
                    doubled: chance(&mut self.rng),
                    late_ones: chance(&mut self.rng),
                    late: Duration::from_millis(1 + self.rng.below(80)),
                    delay: Duration::from_micros(50 + self.rng.below(20_000)),
                    bytes_per_ms: 500 + self.rng.below(50_000),
                    // At least what every line of the Internet carries.
                    datagram_bytes_max: 1200 + self.rng.below(301) as usize,
                });
            }
            _ => {}
        }
    }

    /// Lets time go by, then looks at all that was reported.
    fn step(&mut self) -> Result<(), String> {
        self.dial_where_due();
        self.clock.run_for(STEP);
        for node in 0..self.nodes.len() {
            while let Some(input) = self.nodes[node].queue.try_input() {
                self.hear(node, input)?;
            }
        }
        for node in &self.nodes {
            let whole = node.snapshots.received.lock().iter().filter(|(_, whole)| *whole).count() as u64;
            let replica = |c: &&Connection| self.nodes[c.replica].ip == node.ip;
            let sent: u64 = self.connections.values().filter(replica).map(|c| c.snapshots.said).sum();
            if whole > sent {
                return Err(format!("{}: {whole} whole snapshots of {sent} that were sent", node.name));
            }
        }
        Ok(())
    }

    fn hear(&mut self, node: usize, input: Input) -> Result<(), String> {
        let fail = |why: String| Err(format!("{}: {why}", self.nodes[node].name));
        match input {
            Input::Listening { result } => {
                self.nodes[node].is_listening = result.is_ok();
                result.map_err(|e| format!("a port that is free cannot be opened: {e}"))
            }
            Input::PeerUp { peer, dialled, line } => {
                let expected = match (node == MAIN, dialled) {
                    (true, true) => {
                        let Some(connection) = self.connections.get_mut(&peer) else {
                            return fail(format!("{peer:?} is up and was never dialled"));
                        };
                        if connection.dialled.replace(true).is_some() {
                            return fail(format!("{peer:?} is up again"));
                        }
                        let replica = connection.replica;
                        // The first word tells the replica which connection this is.
                        self.say(peer, true, Lane::Log, 0);
                        self.nodes[replica].name.clone()
                    }
                    (false, false) => {
                        // Which one it is its first message tells; until then it must say nothing else.
                        self.nodes[node].quic.send(peer, taken());
                        self.nodes[MAIN].name.clone()
                    }
                    _ => return fail(format!("{peer:?} is up on the wrong side")),
                };
                if line.identity.certified.as_ref() != Some(&expected) {
                    return Err(format!("{peer:?} is {:?}, not {expected}", line.identity));
                }
                self.count("connections");
                Ok(())
            }
            Input::Message { peer, message } => self.hear_message(node, peer, message),
            // Nothing is kept of a part here.
            Input::PartialKept { .. } => Ok(()),
            Input::SnapshotSent { result, .. } => {
                self.count(if result.is_ok() { "snapshots handed over" } else { "snapshots not sent" });
                Ok(())
            }
            Input::SnapshotReceived { peer, .. } => {
                let found = self.connections.iter_mut().find(|(_, c)| {
                    c.replica == node && c.accepted.is_some_and(|(accepted, _)| accepted == peer)
                });
                let told = &mut found.ok_or("a snapshot on an unknown connection")?.1.snapshots;
                told.heard += 1;
                if told.heard > told.said {
                    return fail(format!("{peer:?} brought more snapshots than were sent on it"));
                }
                self.count("snapshots received");
                Ok(())
            }
            Input::PeerDown { peer, .. } if node == MAIN => {
                let redial_at = self.clock.elapsed() + REDIAL_AFTER;
                let Some(connection) = self.connections.get_mut(&peer) else {
                    return fail(format!("{peer:?} is down and was never dialled"));
                };
                if connection.dialled.replace(false) == Some(false) {
                    return fail(format!("{peer:?} is down again"));
                }
                self.redial_at[connection.replica] = redial_at;
                Ok(())
            }
            Input::PeerDown { peer, .. } => {
                let found = self
                    .connections
                    .values_mut()
                    .find(|c| c.replica == node && c.accepted.is_some_and(|(accepted, _)| accepted == peer));
                // One whose first word never came has no entry.
                let Some(connection) = found else { return Ok(()) };
                match connection.accepted.replace((peer, false)) {
                    Some((_, true)) => Ok(()),
                    _ => fail(format!("{peer:?} is down again")),
                }
            }
            other => fail(format!("{other:?} is not for the transport to say")),
        }
    }

    fn hear_message(&mut self, node: usize, peer: PeerId, message: Message) -> Result<(), String> {
        let (lane, sequence) = match message {
            Message::Ack { .. } if node == MAIN => return Ok(()),
            Message::Ping { sequence } => (Lane::Control, sequence),
            Message::Fetch { from } => (Lane::Log, from.0),
            Message::Append { prev, .. } => (Lane::Log, prev.0),
            other => return Err(format!("{other:?} was never said")),
        };
        let (tag, number) = (sequence >> 32, sequence & u64::from(u32::MAX));
        let main_peer = *self.tags.get(&tag).ok_or("a message of no connection")?;
        let connection = self.connections.get_mut(&main_peer).expect("tags are of connections");
        if node == MAIN {
            if main_peer != peer || connection.dialled != Some(true) {
                return Err(format!("{peer:?} says what belongs to {main_peer:?}, or is not up"));
            }
        } else {
            match connection.accepted {
                None if connection.replica == node => connection.accepted = Some((peer, true)),
                Some((accepted, true)) if accepted == peer && connection.replica == node => {}
                _ => return Err(format!("{peer:?} says what belongs to {main_peer:?}, or is not up")),
            }
        }
        let told = connection.lanes.entry((node != MAIN, lane)).or_default();
        if number != told.heard || told.heard >= told.said {
            return Err(format!(
                "message {number} of the {lane:?} lane of {main_peer:?} came, and {} was due",
                told.heard
            ));
        }
        told.heard += 1;
        self.count("messages heard");
        Ok(())
    }

    /// Heals everything and sees that the nodes find each other again.
    fn calm(&mut self) -> Result<(), String> {
        self.net.heal();
        self.net.set_weather(Weather::CALM);
        for replica in 1..self.nodes.len() {
            self.nodes[replica].quic.listen(PORT);
        }
        let until = self.clock.elapsed() + CALM;
        let mut stood_since = self.clock.elapsed();
        let peers = loop {
            self.step()?;
            let peers: Vec<PeerId> = (1..self.nodes.len()).filter_map(|r| self.current(r)).collect();
            let stands = |p: &PeerId| {
                let connection = &self.connections[p];
                connection.dialled == Some(true) && connection.accepted.is_some_and(|(_, stands)| stands)
            };
            if peers.len() < self.nodes.len() - 1 || !peers.iter().all(stands) {
                stood_since = self.clock.elapsed();
            }
            // One that a side has given up without the other's knowing ends within this time.
            if self.clock.elapsed() - stood_since > IDLE_TIMEOUT + LINGER {
                break peers;
            }
            if self.clock.elapsed() > until {
                return Err("the nodes do not find each other again".into());
            }
        };
        for peer in &peers {
            self.send_snapshot(*peer, 3_000_000);
            self.say(*peer, true, Lane::Log, 1_000_000);
            for from_main in [true, false] {
                self.say(*peer, from_main, Lane::Control, 0);
                self.say(*peer, from_main, Lane::Log, 0);
            }
        }
        let until = self.clock.elapsed() + CALM;
        loop {
            let all_heard = |p: &PeerId| {
                let connection = &self.connections[p];
                let mut all = connection.lanes.values().chain([&connection.snapshots]);
                all.all(|told| told.heard == told.said)
            };
            if peers.iter().all(all_heard) {
                return Ok(());
            }
            self.step()?;
            let lost = peers.iter().find(|p| self.connections[p].dialled != Some(true));
            if let Some(lost) = lost {
                return Err(format!("{lost:?} ended though all is well"));
            }
            if self.clock.elapsed() > until {
                return Err("what was said does not arrive".into());
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.clock.end();
    }
}

type Coverage = BTreeMap<&'static str, u64>;

fn run(world: &mut World) -> Result<(), String> {
    for _ in 0..CHAOS_STEPS {
        if world.rng.one_in(4) {
            world.disturb();
        }
        world.step()?;
    }
    world.calm()
}

fn run_seed(seed: u64, files: &Files, coverage: &mut Coverage) -> Counts {
    let mut world = World::new(seed, files);
    let run = std::panic::AssertUnwindSafe(|| run(&mut world));
    let result = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default())
    });
    let counts = world.net.counts();
    if let Err(error) = result {
        panic!(
            "seed {seed:#x}, after {:?}: {error}\nrepeat: MG_SEED={seed:#x} cargo test -p mgnode --lib quic::simulation",
            world.clock.elapsed()
        );
    }
    for (what, times) in &world.counts {
        *coverage.entry(what).or_default() += times;
    }
    let partly =
        |node: &Node| node.snapshots.received.lock().iter().filter(|(_, whole)| !whole).count() as u64;
    for (what, times) in [
        ("datagrams", counts.sent),
        ("datagrams lost", counts.lost),
        ("datagrams doubled", counts.doubled),
        ("snapshots that came in part", world.nodes.iter().map(partly).sum()),
    ] {
        *coverage.entry(what).or_default() += times;
    }
    *coverage.entry("simulated seconds").or_default() += world.clock.elapsed().as_secs();
    counts
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(number(&text).unwrap_or_else(|| panic!("`{name}={text}` is not a number")))
}

#[test]
fn connections_keep_their_promises_on_a_bad_network_and_come_back_after() {
    let files = Files::make();
    let mut coverage = Coverage::new();
    if let Some(seed) = from_env("MG_SEED") {
        run_seed(seed, &files, &mut coverage);
        return;
    }
    let seeds = from_env("MG_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(1);
    let all = Mutex::new(&mut coverage);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Coverage::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds {
                        break;
                    }
                    run_seed(seed, &files, &mut own);
                }
                for (what, times) in own {
                    *all.lock().entry(what).or_default() += times;
                }
            });
        }
    });
    let mut summary = format!("simulation of the transport, {seeds} seeds:\n");
    for (what, times) in &coverage {
        summary += &format!("{times:>12}  {what}\n");
    }
    // Past the test harness, which would swallow it where all is well.
    std::io::stderr().write_all(summary.as_bytes()).expect("stderr takes text");
    for needed in [
        "connections",
        "cuts",
        "datagrams doubled",
        "datagrams lost",
        "hangups",
        "messages heard",
        "ports opened or closed",
        "snapshots that came in part",
        "snapshots received",
    ] {
        let times = coverage.get(needed).copied().unwrap_or(0);
        assert!(times >= seeds / 10, "only {times} times in {seeds} runs: {needed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_datagrams() {
    let files = Files::make();
    for seed in [3, 4, 5] {
        let mut coverages = [Coverage::new(), Coverage::new()];
        let counts = coverages.each_mut().map(|coverage| run_seed(seed, &files, coverage));
        assert_eq!(coverages[0], coverages[1], "seed {seed}");
        assert_eq!(counts[0], counts[1], "seed {seed}");
    }
    let traces = [3, 4].map(|seed| run_seed(seed, &files, &mut Coverage::new()).trace);
    assert_ne!(traces[0], traces[1], "the trace does not depend on the seed");
}

#[test]
fn control_does_not_wait_behind_bulk() {
    let files = Files::make();
    let mut world = World::new(1, &files);
    let slow = Weather { bytes_per_ms: 2_000, ..Weather::CALM };
    world.net.set_weather(slow);
    while world.stands_at_replica().len() < 2 {
        world.step().unwrap();
    }
    let peer = world.current(1).unwrap();
    // Two seconds of this line and more, on each of the two bulk streams.
    world.send_snapshot(peer, 8_000_000);
    for _ in 0..40 {
        world.say(peer, true, Lane::Log, 100_000);
    }
    world.clock.run_for(Duration::from_millis(100));
    let heard =
        |world: &World, lane| world.connections[&peer].lanes.get(&(true, lane)).map_or(0, |t| t.heard);
    for round in 1..=5 {
        world.say(peer, true, Lane::Control, 0);
        let said = world.clock.elapsed();
        while heard(&world, Lane::Control) < round {
            world.step().unwrap();
        }
        assert!(
            world.clock.elapsed() - said < Duration::from_millis(400),
            "a sign of life waited behind bulk"
        );
        assert_eq!(
            world.counts.get("snapshots received"),
            None,
            "the bulk was over before: nothing was shown"
        );
    }
    assert!(heard(&world, Lane::Log) < 41, "the log was over before: nothing was shown");
    // And the log does not wait behind a snapshot.
    while heard(&world, Lane::Log) < 41 {
        world.step().unwrap();
    }
    assert_eq!(world.counts.get("snapshots received"), None, "the log waited behind a snapshot");
}
