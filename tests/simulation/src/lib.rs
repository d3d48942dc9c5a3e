//! Whole clusters in one thread, from one seed each: first faults, then calm.
//!
//! The nodes are the engine and the graph that `mgnode` links; only disks, wires, time and people are
//! played. While faults go on, what must hold is checked after every event. Then all faults are healed
//! and the cluster must come together again: every node ready, every graph the same, and what was
//! told to clients found in it.
//!
//! `cargo run -p mg-simulation -- --seeds 10000` makes more runs than the test does, `--seed 0x2a`
//! repeats one, `--trace` prints its events. A set of runs in which nothing important happened is a
//! failure: it proved nothing ([`missing`]).

mod coverage;
mod disk;
mod operator;
mod options;
mod oracle;
mod rng;
mod run;
mod shrink;
mod world;

pub use coverage::{Coverage, missing};
pub use options::Tweaks;
pub use run::{Failure, Summary, run_seed, run_seeds};
pub use shrink::shrink;

/// Seeds of one run of the test command.
pub const SEEDS: u64 = 60;

/// Simulated hours that [`SEEDS`] make at least.
pub const HOURS: f64 = 0.1;

/// Reads a number as the command line and the list of seeds write it.
pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Returns the seeds that once failed. They stay.
pub fn regressions() -> Vec<u64> {
    let lines = include_str!("../regressions.txt").lines();
    lines.map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).filter_map(number).collect()
}
