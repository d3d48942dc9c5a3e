//! Whole clusters in one thread, from one seed each: first faults, then calm.
//!
//! The nodes are the engine and the graph that `mgnode` links; only disks, wires, time and people are
//! played. While faults go on, what must hold is checked after every event. Then all faults are healed
//! and the cluster must come together again: every node ready, every graph the same, and what was
//! told to clients found in it.
//!
//! | file | what it plays or checks |
//! |---|---|
//! | `world`, `process` | time; a node: engine and graph on its disk and its clock |
//! | `files`, `disk` | sectors and names that a power cut takes; what the node's disk room does with them |
//! | `net` | connections, lanes, delays, pieces of snapshots |
//! | `clients`, `operator` | who writes and reads; who promotes, registers, repairs, and errs |
//! | `faults` | what goes wrong, and when |
//! | `oracle`, `checks` | every record ever written, what was told of it, and what must hold |
//!
//! # What is checked where
//!
//! Errors begin with the number of the invariant that is broken.
//!
//! | invariant | where |
//! |---|---|
//! | 1 epochs never fall | `process`: every state that is saved, every start, every record of a MAIN |
//! | 2 one node answers in an epoch, in one of its lives | `clients`: every answer |
//! | 3 no OK after a complete fence, none at all after the lease | `oracle`: every answer |
//! | 4 promises are durable before they are told | `checks`: every message; `operator`: every fence |
//! | 5, 6, 16 one tree, one chain, nothing twice or skipped | `oracle`: every record written |
//! | 7, 8 who has it before OK, before it is shown | `clients`, `checks`: every answer, every record shown, every start |
//! | 9 OK survives, 10 FAIL never comes back | `oracle`: every promotion, every record, the end |
//! | 11 one answer for what was in doubt | `checks`: questions at any time, and every node at the end |
//! | 12 applied, durable, told | `checks`: every message, every record shown |
//! | 13 what is shown is the fold of the records | `checks`: digests of all nodes against each other and a fold |
//! | 14 reads go forward | `checks`: every record shown, every start |
//! | 15 bookmarks | `clients`: every read |
//! | 17 nothing corrupt is sent, loaded or started from | `checks`: every record sent; `net`, `process`: damage |
//! | 18 recovery is what was there, and the same twice | `process`: every start |
//! | 19 log goes only behind a snapshot, and where no replica is being sent it | `process`, `net`: every log that is shortened; starts find no gap |
//! | 20 what is cut off is kept | `process`: every rewind, every start after it |
//! | 21 a full disk loses nothing | 9, 10 and 18 under full disks |
//! | 22 queues and memory are bounded, ASYNC costs no time | `net`: every message; `checks`: what is kept; `clients`: every answer |
//! | 23 a snapshot shows old or new | 12, 13 and 14 while one is installed; `net`: every one that goes on |
//! | 24 an unknown record stays out | `net`: records of a newer version; none is sent to an earlier one |
//! | 25, 26 all comes together, every command ends | `run`: the calm; `operator` |
//! | 27 indexes and constraints | `checks`: against the graph and against ones made anew; `clients`: every write run again |
//! | 3.6 a node follows members of its cluster | `checks`: every greeting that is answered |
//! | 28 the schema obeys too | index and constraint records are under 5, 13 and 27; users are no records |
//!
//! One run in four asks its nodes for less than a sync for every commit (`--durability=interval` or `os`).
//! There a power cut, or a sync that fails, may take from a node what it told and did not sync: the end of its
//! log, nothing from the middle, and nothing that was synced; the kill of a process takes nothing. What a
//! MAIN lost so is owed by nobody any more. What a replica lost is owed by its MAIN still.
//!
//! Digests are compared when a node shows something new by chance (one in fifty) or after a leap of twenty records, and
//! always at the end, when every graph is also folded anew from its records. Recoveries are done twice one time
//! in three.
//!
//! Not here: `TooLarge` (no commit is that large), bytes on a wire
//! (the transport's own tests), real files (`tests/e2e`), and two processes in one directory.
//!
//! `cargo run -p mg-simulation -- --seeds 10000` makes more runs than the test does, `--seed 0x2a`
//! repeats one, `--trace` prints its events. A set of runs in which nothing important happened is a
//! failure: it proved nothing ([`missing`]).

mod checks;
mod clients;
mod coverage;
mod disk;
mod faults;
mod files;
mod net;
mod operator;
mod options;
mod oracle;
mod process;
mod rng;
mod run;
mod shrink;
mod world;

pub use coverage::{Coverage, missing};
pub use options::Tweaks;
pub use run::{Failure, Summary, run_seed, run_seeds};
pub use shrink::shrink;

/// Seeds of one run of the test command.
pub const SEEDS: u64 = 2_000;

/// Simulated hours that [`SEEDS`] make at least.
pub const HOURS: f64 = 20.0;

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
