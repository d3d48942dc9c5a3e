//! One small commit, by replication mode and durability, beside the floor of the machine and beside
//! PostgreSQL.
//!
//! Clients create a vertex with a number and a string of 80 bytes, again and again, over TCP on
//! loopback. Blocks are short and each bar compares blocks that stood next to each other: its figure is the
//! median of the rounds' ratios, its range is what they lay between. The floor for a SYNC commit is both syncs overlapped over QUIC plus the client's TCP
//! round trip. CPU time is that of the client, MAIN and the REPLICA, per commit; on a machine with
//! few cores it is what binds many clients.

use crate::load::{self, Measured};
use crate::postgres::Postgres;
use crate::{Samples, floor};
use mg_tests::node::Node;
use mgbolt::Map;
use mgctl::query::Client;
use std::error::Error;
use std::process::Command;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);
/// Commits of one client, of a few, of many; by round.
const COMMITS: usize = 1000;
const COMMITS_FEW: usize = 4000;
const COMMITS_MANY: usize = 16_000;
const FEW: usize = 8;
const MANY: usize = 64;
const POSTGRES_SECONDS: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Alone,
    Async,
    /// ASYNC, and the replica's process is stopped.
    AsyncStopped,
    Sync,
    /// SYNC between two nodes that sync nothing.
    SyncOs,
}

/// In an order that brings together what is compared.
const MODES: [(Mode, &str); 5] = [
    (Mode::Alone, "no replica"),
    (Mode::Async, "ASYNC"),
    (Mode::AsyncStopped, "ASYNC, replica stopped"),
    (Mode::SyncOs, "SYNC, --durability=os"),
    (Mode::Sync, "SYNC"),
];

struct Row {
    mode: Mode,
    name: &'static str,
    clients: usize,
    samples: Samples,
    /// Commits a second, by round.
    rates: Vec<f64>,
    commits: usize,
    /// Of client, MAIN, REPLICA.
    cpu: [Duration; 3],
}

impl Row {
    fn count(&self) -> usize {
        let all = match self.clients {
            1 => COMMITS,
            MANY => COMMITS_MANY,
            _ => COMMITS_FEW,
        };
        all / self.clients
    }
}

struct Nodes {
    main: Node,
    replica: Node,
}

impl Nodes {
    fn start(dir: &std::path::Path, durability: &str) -> Result<Nodes, Box<dyn Error>> {
        let dir = dir.join(durability);
        let flag = format!("--durability={durability}");
        let main = Node::start(&dir, "main", &[&flag]);
        let replica = Node::start(&dir, "replica", &[&flag]);
        ask(&replica, "SET REPLICATION ROLE TO REPLICA WITH PORT 10000;")?;
        Ok(Nodes { main, replica })
    }

    fn register(&self, mode: &str) -> Result<(), Box<dyn Error>> {
        ask(&self.main, &format!("REGISTER REPLICA r {mode} TO \"{}\";", self.replica.replication()))
    }
}

fn ask(node: &Node, query: &str) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        Client::connect(&node.bolt().to_string(), TIMEOUT, None).await?.run(query, Map::new()).await?;
        Ok(())
    })
}

fn signal(node: &Node, name: &str) -> Result<(), Box<dyn Error>> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(node.pid().to_string()).status()?;
    if status.success() { Ok(()) } else { Err(format!("kill -{name} ended with {status}").into()) }
}

/// CPU time that a process has used so far.
fn cpu_of(pid: u32) -> Result<Duration, Box<dyn Error>> {
    // Hundredths of a second on every Linux; fields are counted after the name, which may hold spaces.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap_or(0)).sum();
    Ok(Duration::from_millis(ticks * 10))
}

#[derive(Default)]
struct Floors {
    tcp: Samples,
    quic: Samples,
    near: Samples,
    both: Samples,
}

pub(crate) fn run(rounds: usize) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let synced = Nodes::start(dir.path(), "commit")?;
    let unsynced = Nodes::start(dir.path(), "os")?;
    let postgres = Postgres::start()?;
    unsynced.register("SYNC")?;
    let mut rows: Vec<Row> = MODES
        .iter()
        .flat_map(|(mode, name)| {
            [1, FEW, MANY].map(|clients| Row {
                mode: *mode,
                name,
                clients,
                samples: Samples::default(),
                rates: Vec::new(),
                commits: 0,
                cpu: [Duration::ZERO; 3],
            })
        })
        .collect();
    let mut floors = Floors::default();
    let mut postgres_rates = Vec::new();
    let mut pair = floor::Pair::open(dir.path())?;
    let mut next = 0;
    for _ in 0..rounds {
        for (mode, _) in MODES {
            match mode {
                Mode::Alone => floors.near.add_round(pair.near_synced(COMMITS)?),
                Mode::SyncOs => floors.quic.add_round(pair.round_trips(COMMITS)?),
                Mode::Async => synced.register("ASYNC")?,
                Mode::AsyncStopped => signal(&synced.replica, "STOP")?,
                Mode::Sync => {
                    synced.register("SYNC")?;
                    floors.tcp.add_round(floor::tcp_round_trips(COMMITS)?);
                    floors.both.add_round(pair.both_synced(COMMITS)?);
                }
            }
            let nodes = if mode == Mode::SyncOs { &unsynced } else { &synced };
            for row in rows.iter_mut().filter(|row| row.mode == mode) {
                measure(row, nodes, &mut next)?;
            }
            match mode {
                Mode::Alone | Mode::Async | Mode::SyncOs => {}
                Mode::AsyncStopped => {
                    signal(&synced.replica, "CONT")?;
                    ask(&synced.main, "DROP REPLICA r;")?;
                }
                Mode::Sync => {
                    ask(&synced.main, "DROP REPLICA r;")?;
                    if let Some(postgres) = &postgres {
                        postgres_rates.push(postgres.remote_apply(MANY, POSTGRES_SECONDS)?);
                    }
                }
            }
        }
    }
    report(&rows, &floors);
    bars(&rows, &floors, &postgres_rates);
    Ok(())
}

fn measure(row: &mut Row, nodes: &Nodes, next: &mut i64) -> Result<(), Box<dyn Error>> {
    let used = || -> Result<[Duration; 3], Box<dyn Error>> {
        Ok([cpu_of(std::process::id())?, cpu_of(nodes.main.pid())?, cpu_of(nodes.replica.pid())?])
    };
    let before = used()?;
    let Measured { times, per_second } = load::commits(nodes.main.bolt(), row.clients, row.count(), next)?;
    let after = used()?;
    for (sum, (before, after)) in row.cpu.iter_mut().zip(before.into_iter().zip(after)) {
        *sum += after.saturating_sub(before);
    }
    row.commits += times.len();
    row.rates.push(per_second);
    row.samples.add_round(times);
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn report(rows: &[Row], floors: &Floors) {
    println!(
        "| one commit of ~100 bytes, client on loopback TCP | p50 µs | p99 µs | p50 by round | commits/s | CPU µs a commit: client, MAIN, REPLICA |"
    );
    println!("|---|---|---|---|---|---|");
    println!("{} |", floors.tcp.row("floor: TCP round trip", ""));
    println!("{} |", floors.quic.row("floor: QUIC round trip", ""));
    println!("{} |", floors.near.row("floor: one sync", ""));
    println!("{} |", floors.both.row("floor: both syncs overlapped over QUIC", ""));
    for row in rows {
        let name = format!("{}, {} client{}", row.name, row.clients, if row.clients == 1 { "" } else { "s" });
        let cpu = row.cpu.map(|time| format!("{:.0}", time.as_secs_f64() * 1e6 / row.commits as f64));
        println!("{} {} |", row.samples.row(&name, &format!("{:.0}", median(&row.rates))), cpu.join(" "));
    }
}

/// Prints what the product is held to, with its ratios.
fn bars(rows: &[Row], floors: &Floors, postgres: &[f64]) {
    let row = |mode, clients| {
        rows.iter().find(|row| row.mode == mode && row.clients == clients).expect("every pair is measured")
    };
    let p50s = |mode, clients| seconds(&row(mode, clients).samples);
    let rates = |mode, clients| row(mode, clients).rates.clone();
    let (both, tcp) = (seconds(&floors.both), seconds(&floors.tcp));
    let floor: Vec<f64> = both.iter().zip(&tcp).map(|(both, tcp)| both + tcp).collect();
    println!("\n| bar | ratio | rounds between | wanted |\n|---|---|---|---|");
    Bar::AtMost(1.25).print(
        "SYNC, durable on both sides, 1 client: p50 by (both syncs overlapped + TCP round trip)",
        &p50s(Mode::Sync, 1),
        &floor,
    );
    Bar::AtMost(2.5).print(
        "SYNC at --durability=os, 1 client: p50 by QUIC round trip",
        &p50s(Mode::SyncOs, 1),
        &seconds(&floors.quic),
    );
    for clients in [1, FEW, MANY] {
        let what = format!("ASYNC by no replica, {clients} clients: commits/s");
        Bar::AtLeast(0.85).print(&what, &rates(Mode::Async, clients), &rates(Mode::Alone, clients));
    }
    for clients in [1, FEW, MANY] {
        let stopped = p50s(Mode::AsyncStopped, clients);
        for (other, name) in [(Mode::Async, "it running"), (Mode::Alone, "none")] {
            let what = format!("ASYNC, its one replica stopped, by {name}, {clients} clients: p50");
            Bar::AtMost(1.05).print(&what, &stopped, &p50s(other, clients));
        }
    }
    let what =
        format!("SYNC, durable and applied on both sides, by PostgreSQL 15 remote_apply, {MANY} clients");
    if postgres.is_empty() {
        return println!("| {what} | not measured: it is not installed | | |");
    }
    let what = format!("{what}: commits/s (it: {:.0})", median(postgres));
    Bar::AtLeast(2.0).print(&what, &rates(Mode::Sync, MANY), postgres);
}

/// What is wanted of a ratio.
enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

impl Bar {
    /// Prints the median of the rounds' ratios, and the range of them.
    fn print(&self, what: &str, ours: &[f64], others: &[f64]) {
        let mut ratios: Vec<f64> = ours.iter().zip(others).map(|(ours, other)| ours / other).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[ratios.len() / 2];
        let (wanted, is_met) = match self {
            Bar::AtMost(bar) => (format!("at most {bar}"), ratio <= *bar),
            Bar::AtLeast(bar) => (format!("at least {bar}"), ratio >= *bar),
        };
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        let mark = if is_met { "✓" } else { "✗" };
        println!("| {what} | {ratio:.2} | {least:.2} and {most:.2} | {wanted} {mark} |");
    }
}

/// The medians of the rounds.
fn seconds(samples: &Samples) -> Vec<f64> {
    samples.medians.iter().map(Duration::as_secs_f64).collect()
}
