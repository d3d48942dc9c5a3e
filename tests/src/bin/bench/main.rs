//! Benchmarks that anyone can run: each figure stands beside a floor measured in the same run.
//!
//! ```text
//! cargo run --release -p mg-tests --bin bench -- commit    latency of a commit, by mode
//! cargo run --release -p mg-tests --bin bench -- load HOST:PORT CLIENTS COMMITS
//!                                                          the client of `commit` alone, for profiles
//! cargo run --release -p mg-tests --bin bench -- up        mgctl up, beside Docker's own cost
//! cargo run --release -p mg-tests --bin bench -- recovery  a node's start from snapshot and log
//! cargo run --release -p mg-tests --bin bench -- catch-up  a new replica, by log
//! cargo run --release -p mg-tests --bin bench -- snapshot  a new replica, by snapshot
//! cargo run --release -p mg-tests --bin bench -- query     queries, beside FalkorDB where FALKORDB_BIN names it
//! cargo run --release -p mg-tests --bin bench -- import    files: `LOAD CSV` and `mgctl import`
//! cargo run --release -p mg-tests --bin bench -- size      memory of an element, and point reads in a large graph
//! cargo run --release -p mg-tests --bin bench -- heal      how long `mgctl supervise` needs
//! cargo run --release -p mg-tests --bin bench -- return    commits while a replica catches up
//! ```
//!
//! Rounds are interleaved, so that what else the machine does meets all alike; compare ratios, and
//! only within one run.

mod bulk;
mod catch_up;
mod commit;
mod far_end;
mod floor;
mod heal;
mod import;
mod load;
mod postgres;
mod processor;
mod query;
mod recovery;
mod returns;
mod size;
mod up;

use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let what = args.next();
    if what.as_deref() == Some("load") {
        return ended(load::run(&args.collect::<Vec<_>>()));
    }
    if what.as_deref() == Some(far_end::ARGUMENT) {
        return ended(match (args.next().as_deref(), args.next()) {
            (Some("bulk"), None) => bulk::far_end(),
            (Some("pair"), Some(path)) => floor::far_end(path.as_ref()),
            _ => Err("a far end is started by the benchmark itself".into()),
        });
    }
    let rounds = match args.next().map(|n| n.parse::<usize>()) {
        None => 3,
        Some(Ok(n)) if n > 0 => n,
        Some(_) => {
            eprintln!("error: the number of rounds is a whole number from 1 up");
            return ExitCode::from(2);
        }
    };
    let result = match what.as_deref() {
        Some("commit") => commit::run(rounds),
        Some("up") => up::run(rounds),
        Some("recovery") => recovery::run(rounds),
        Some("catch-up") => catch_up::by_log(rounds),
        Some("snapshot") => catch_up::by_snapshot(rounds),
        Some("return") => returns::run(rounds),
        Some("heal") => heal::run(rounds),
        Some("query") => query::run(rounds),
        Some("import") => import::run(rounds),
        Some("size") => size::run(rounds),
        _ => {
            eprintln!(
                "usage: bench commit|up|recovery|catch-up|snapshot|return|heal|query|import|size [ROUNDS], or bench load HOST:PORT CLIENTS COMMITS"
            );
            return ExitCode::from(2);
        }
    };
    ended(result)
}

fn ended(result: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Samples of one test over all rounds.
#[derive(Default)]
struct Samples {
    times: Vec<Duration>,
    /// Medians of the rounds, to show how much they differ.
    medians: Vec<Duration>,
}

impl Samples {
    fn add_round(&mut self, mut times: Vec<Duration>) {
        times.sort_unstable();
        self.medians.push(times[times.len() / 2]);
        self.times.append(&mut times);
        self.times.sort_unstable();
    }

    /// The median of the rounds' medians.
    fn p50(&self) -> Duration {
        let mut medians = self.medians.clone();
        medians.sort_unstable();
        medians[medians.len() / 2]
    }

    fn p99(&self) -> Duration {
        self.times[(self.times.len() - 1) * 99 / 100]
    }

    fn row(&self, name: &str, ratio: &str) -> String {
        let us = |d: Duration| format!("{:.0}", d.as_secs_f64() * 1e6);
        let rounds: Vec<String> = self.medians.iter().map(|d| us(*d)).collect();
        format!("| {name} | {} | {} | {} | {ratio} |", us(self.p50()), us(self.p99()), rounds.join(" "))
    }
}
