//! How fast replicas that have nothing come to what MAIN has.
//!
//! From the log: a million small transactions, to one replica and to two at once. By a snapshot: a graph
//! of 8 million elements, beside as many bytes over a bare QUIC stream and onto the disk in the same round.
//! Everything is on one machine, so MAIN, replicas and floors share its processors; processors' time is what
//! both sides together spent.

use crate::{Samples, bulk, processor};
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

pub(crate) fn by_log(rounds: usize) -> Result<(), Box<dyn Error>> {
    let mut from_log = [Rates::default(), Rates::default()];
    for _ in 0..rounds {
        for (rates, replicas) in from_log.iter_mut().zip([1, 2]) {
            let dir = tempfile::tempdir()?;
            made::log(&dir.path().join("main/data"), 1, RECORDS)?;
            let (wall, processors, _) = catch_up(dir.path(), replicas, RECORDS)?;
            rates.add(wall, processors);
        }
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
    Ok(())
}

pub(crate) fn by_snapshot(rounds: usize) -> Result<(), Box<dyn Error>> {
    let [mut quic, mut disk, mut shipped, mut durable, mut loaded] =
        std::array::from_fn(|_| Samples::default());
    let (mut processors, mut ratios, mut durable_ratios) = (Samples::default(), Vec::new(), Vec::new());
    let mut bytes = 0;
    for _ in 0..rounds {
        let dir = tempfile::tempdir()?;
        bytes = made::snapshot(&dir.path().join("main/data"), 1, VERTICES, EDGES)?;
        let floor = bulk::quic(bytes)?;
        let disk_floor = bulk::disk(dir.path(), bytes)?;
        let (_, spent, log) = catch_up(dir.path(), 1, 1000)?;
        let transfer = said(&log, "has come in within ")?;
        let synced = transfer + said(&log, "so far was synced within ")?;
        ratios.push(floor.as_secs_f64() / transfer.as_secs_f64());
        durable_ratios.push(floor.max(disk_floor).as_secs_f64() / synced.as_secs_f64());
        quic.add_round(vec![floor]);
        disk.add_round(vec![disk_floor]);
        shipped.add_round(vec![transfer]);
        durable.add_round(vec![synced]);
        loaded.add_round(vec![said(&log, "checked and loaded in ")?]);
        processors.add_round(vec![spent]);
    }
    let rate = |d: Duration| format!("{:.0}", bytes as f64 / 1e6 / d.as_secs_f64());
    println!(
        "a snapshot of {} elements, {bytes} bytes\n\n| | MB/s | by round |\n|---|---|---|",
        VERTICES + EDGES
    );
    for (name, samples) in [
        ("floor: over bare QUIC, nothing written", &quic),
        ("floor: written to the disk, one sync", &disk),
        ("snapshot, until all has come and is written", &shipped),
        ("snapshot, until it is synced too", &durable),
    ] {
        let rounds: Vec<String> = samples.medians.iter().map(|d| rate(*d)).collect();
        println!("| {name} | {} | {} |", rate(samples.p50()), rounds.join(" "));
    }
    let listed = |ratios: &[f64]| {
        let mut sorted = ratios.to_vec();
        sorted.sort_by(f64::total_cmp);
        let each: Vec<String> = ratios.iter().map(|r| format!("{r:.2}")).collect();
        format!("{:.2} (by round {})", sorted[sorted.len() / 2], each.join(" "))
    };
    println!("\nof bare QUIC: {}; wanted at least 0.6", listed(&ratios));
    println!("synced, of the slower of bare QUIC and disk: {}", listed(&durable_ratios));
    println!(
        "loaded in {:.2?}; processors, both sides, with loading: {:.1?}",
        loaded.p50(),
        processors.p50()
    );
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
    // It says at this level how long a sync took.
    let nodes: Vec<Node> =
        (0..replicas).map(|i| Node::start(dir, &format!("replica{i}"), &["--log-level=DEBUG"])).collect();
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
