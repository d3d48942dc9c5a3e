//! Latency of one small commit, by replication mode, beside the floor of the machine.
//!
//! A client creates a vertex with a number and a string of 80 bytes, again and again. The floor for a
//! SYNC commit is both syncs overlapped over QUIC plus the client's TCP round trip.

use crate::{Samples, floor};
use mg_tests::node::Node;
use mgbolt::{Map, PackValue};
use mgctl::query::Client;
use std::error::Error;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(20);
const COMMITS: usize = 1500;
const COMMITS_SHARED: usize = 6000;
const CLIENTS: [usize; 3] = [1, 8, 64];

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Alone,
    Async,
    Sync,
}

const MODES: [(Mode, &str); 3] = [(Mode::Alone, "no replica"), (Mode::Async, "ASYNC"), (Mode::Sync, "SYNC")];

struct Row {
    mode: Mode,
    name: String,
    clients: usize,
    samples: Samples,
    /// Commits a second, by round.
    rates: Vec<f64>,
}

pub(crate) fn run(rounds: usize) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let main = Node::start(dir.path(), "main", &["--durability=commit"]);
    let replica = Node::start(dir.path(), "replica", &["--durability=commit"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ask = |node: &Node, query: &str| -> Result<(), Box<dyn Error>> {
        let address = node.bolt().to_string();
        runtime.block_on(async {
            Client::connect(&address, TIMEOUT, None).await?.run(query, Map::new()).await?;
            Ok(())
        })
    };
    ask(&replica, "SET REPLICATION ROLE TO REPLICA WITH PORT 10000;")?;
    let mut rows: Vec<Row> = MODES
        .iter()
        .flat_map(|(mode, name)| {
            CLIENTS.map(|clients| Row {
                mode: *mode,
                name: format!("{name}, {clients} client{}", if clients == 1 { "" } else { "s" }),
                clients,
                samples: Samples::default(),
                rates: Vec::new(),
            })
        })
        .collect();
    let (mut both, mut near, mut tcp) = (Samples::default(), Samples::default(), Samples::default());
    let mut pair = floor::Pair::open(dir.path())?;
    let mut next = 0;
    for _ in 0..rounds {
        near.add_round(pair.near_synced(COMMITS)?);
        both.add_round(pair.both_synced(COMMITS)?);
        tcp.add_round(floor::tcp_round_trips(COMMITS)?);
        for (mode, _) in MODES {
            match mode {
                Mode::Alone => {}
                Mode::Async => {
                    ask(&main, &format!("REGISTER REPLICA r ASYNC TO \"{}\";", replica.replication()))?
                }
                Mode::Sync => {
                    ask(&main, &format!("REGISTER REPLICA r SYNC TO \"{}\";", replica.replication()))?
                }
            }
            for row in rows.iter_mut().filter(|r| r.mode == mode) {
                let count = if row.clients == 1 { COMMITS } else { COMMITS_SHARED } / row.clients;
                let start = Instant::now();
                let times = runtime.block_on(commits(&main, row.clients, count, &mut next))?;
                row.rates.push(times.len() as f64 / start.elapsed().as_secs_f64());
                row.samples.add_round(times);
            }
            if mode != Mode::Alone {
                ask(&main, "DROP REPLICA r;")?;
            }
        }
    }
    report(&rows, &both, &near, &tcp);
    Ok(())
}

async fn commits(
    node: &Node,
    clients: usize,
    count: usize,
    next: &mut i64,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut connected = Vec::new();
    for _ in 0..clients {
        connected.push(Client::connect(&node.bolt().to_string(), TIMEOUT, None).await?);
    }
    let first = *next;
    *next += i64::try_from(clients * count)?;
    let all = connected.into_iter().enumerate().map(|(i, mut client)| async move {
        let mut times = Vec::with_capacity(count);
        for j in 0..count {
            let id = first + i64::try_from(i * count + j)?;
            let parameters =
                Map::from_iter([("id", PackValue::Int(id)), ("s", PackValue::String("x".repeat(80)))]);
            let start = Instant::now();
            client.run("CREATE (:W {id: $id, s: $s})", parameters).await?;
            times.push(start.elapsed());
        }
        Ok::<_, Box<dyn Error>>(times)
    });
    Ok(futures_util::future::try_join_all(all).await?.concat())
}

fn report(rows: &[Row], both: &Samples, near: &Samples, tcp: &Samples) {
    println!(
        "| one commit of ~100 bytes, --durability=commit | p50 µs | p99 µs | p50 by round | ratio to its floor |"
    );
    println!("|---|---|---|---|---|");
    println!("{}", tcp.row("floor: TCP round trip", ""));
    println!("{}", near.row("floor: one sync", ""));
    println!("{}", both.row("floor: both syncs overlapped over QUIC", ""));
    for row in rows {
        let ratio = if row.clients == 1 {
            let floor = tcp.p50() + if row.mode == Mode::Sync { both.p50() } else { near.p50() };
            format!("{:.2}", row.samples.p50().as_secs_f64() / floor.as_secs_f64())
        } else {
            let mut rates = row.rates.clone();
            rates.sort_by(f64::total_cmp);
            format!("{:.0} commits/s", rates[rates.len() / 2])
        };
        println!("{}", row.samples.row(&row.name, &ratio));
    }
}
