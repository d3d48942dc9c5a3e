//! How fast replicas that have nothing come to what MAIN has.
//!
//! From the log: a million small transactions, to one replica and to two at once. By a snapshot: a graph
//! of 8 million elements, beside as many bytes over a bare QUIC stream in the same run, both ends in one
//! process with the transport settings of a node. Everything is on one machine, so MAIN, replicas and
//! floor share its processors; the last column says what both sides together spent.

use crate::processor::{self, Watch};
use crate::{Samples, floor};
use mg_tests::bolt::{Bolt, state};
use mg_tests::node::Node;
use mg_tests::{made, wait};
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

const RECORDS: u64 = 1_000_000;
const VERTICES: u64 = 400_000;
const EDGES: u64 = 7_600_000;
const LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn run(rounds: usize) -> Result<(), Box<dyn Error>> {
    let mut from_log = [Rates::default(), Rates::default()];
    let (mut shipped, mut loaded, mut bare) = (Rates::default(), Samples::default(), Samples::default());
    let mut snapshot_bytes = 0;
    for _ in 0..rounds {
        for (rates, replicas) in from_log.iter_mut().zip([1, 2]) {
            let dir = tempfile::tempdir()?;
            made::log(&dir.path().join("main/data"), 1, RECORDS)?;
            let (wall, processors, _) = catch_up(dir.path(), replicas, RECORDS)?;
            rates.add(wall, processors);
        }
        let dir = tempfile::tempdir()?;
        snapshot_bytes = made::snapshot(&dir.path().join("main/data"), 1, VERTICES, EDGES)?;
        let watch = Watch::start()?;
        floor::quic_bulk(snapshot_bytes)?;
        bare.add_round(vec![watch.stop()?.0]);
        let (_, processors, log) = catch_up(dir.path(), 1, 1000)?;
        shipped.add(said(&log, "has come in within ")?, processors);
        loaded.add_round(vec![said(&log, "checked and loaded in ")?]);
    }
    println!("| catch-up of a new replica | a second | by round | processors, both sides |");
    println!("|---|---|---|---|");
    for (rates, name) in from_log.iter().zip(["one replica", "two replicas at once, each"]) {
        let count = RECORDS as f64;
        let rate = |d: Duration| format!("{:.0}", count / d.as_secs_f64());
        let rounds: Vec<String> = rates.wall.medians.iter().map(|d| rate(*d)).collect();
        let each = rates.processors.p50().as_secs_f64() * 1e6 / count;
        println!(
            "| log, small transactions, {name} | {} | {} | {each:.2} µs each |",
            rate(rates.wall.p50()),
            rounds.join(" ")
        );
    }
    let rate = |d: Duration| format!("{:.0} MB", snapshot_bytes as f64 / 1e6 / d.as_secs_f64().max(1e-3));
    let rounds = |samples: &Samples| -> String {
        samples.medians.iter().map(|d| rate(*d)).collect::<Vec<_>>().join(" ")
    };
    println!("| floor: {snapshot_bytes} bytes over bare QUIC | {} | {} | |", rate(bare.p50()), rounds(&bare));
    println!(
        "| snapshot of {} elements, transfer | {} | {} | {:.1} s with loading |",
        VERTICES + EDGES,
        rate(shipped.wall.p50()),
        rounds(&shipped.wall),
        shipped.processors.p50().as_secs_f64()
    );
    let ratio = bare.p50().as_secs_f64() / shipped.wall.p50().as_secs_f64().max(1e-3);
    println!("\nsnapshot shipping is {ratio:.2} of bare QUIC; it was loaded in {:.2?}", loaded.p50());
    Ok(())
}

#[derive(Default)]
struct Rates {
    wall: Samples,
    processors: Samples,
}

impl Rates {
    fn add(&mut self, wall: Duration, processors: Duration) {
        self.wall.add_round(vec![wall]);
        self.processors.add_round(vec![processors]);
    }
}

/// Registers fresh replicas at a MAIN with that data, and returns how long it took until the last of them
/// showed record `last`, what processors spent meanwhile, and the log of the last replica.
fn catch_up(dir: &Path, replicas: usize, last: u64) -> Result<(Duration, Duration, String), Box<dyn Error>> {
    let last = i64::try_from(last)?;
    let main = Node::start(dir, "main", &["--log-level=INFO"]);
    let nodes: Vec<Node> =
        (0..replicas).map(|i| Node::start(dir, &format!("replica{i}"), &["--log-level=INFO"])).collect();
    let mut bolts = Vec::new();
    for node in &nodes {
        let mut bolt = Bolt::connect(&node.bolt().to_string())?;
        bolt.run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;")?;
        bolts.push(bolt);
    }
    let pids: Vec<String> = nodes.iter().chain([&main]).map(|node| node.pid().to_string()).collect();
    let spent = || -> Result<Duration, Box<dyn Error>> {
        pids.iter().map(|pid| processor::spent(pid)).try_fold(Duration::ZERO, |sum, d| Ok(sum + d?))
    };
    let before = spent()?;
    let start = Instant::now();
    // Registrations wait a while for the replica to catch up, so each gets its own thread.
    std::thread::scope(|scope| -> Result<(), String> {
        let asking: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(i, node)| {
                let (main, replica) = (main.bolt().to_string(), node.replication());
                scope.spawn(move || {
                    let mut bolt = Bolt::connect(&main).map_err(|e| e.to_string())?;
                    let query = format!("REGISTER REPLICA r{i} ASYNC TO \"{replica}\";");
                    wait::until("it registers", LIMIT, || bolt.run(&query));
                    Ok::<_, String>(())
                })
            })
            .collect();
        for bolt in &mut bolts {
            wait::until("the replica has caught up", LIMIT, || match state(bolt) {
                Ok(state) if state.applied >= last => Ok(()),
                Ok(state) => Err(format!("it shows {}", state.applied)),
                Err(e) => Err(e.to_string()),
            });
        }
        asking.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a registration panicked")?)
    })?;
    let (wall, processors) = (start.elapsed(), spent()?.saturating_sub(before));
    let log = std::fs::read_to_string(nodes.last().ok_or("there is a replica")?.log_file())?;
    Ok((wall, processors, log))
}

/// Finds `.. WORDS n ms` in a log.
fn said(log: &str, words: &str) -> Result<Duration, Box<dyn Error>> {
    let (_, after) =
        log.rsplit_once(words).ok_or_else(|| format!("the replica's log does not say: {words}"))?;
    let number: String = after.chars().take_while(char::is_ascii_digit).collect();
    Ok(Duration::from_millis(number.parse()?))
}
