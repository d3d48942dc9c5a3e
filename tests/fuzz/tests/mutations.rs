//! Every target on its corpus and on seeded mutations of it.
//!
//! `FUZZ_COUNT=1000000 FUZZ_SEED=7 cargo test -p mg-fuzz --release` runs more, or others.

use mg_fuzz::{TARGETS, Target};

const COUNT: u64 = 10_000;
const SEED: u64 = 1;

/// As the threads of a node that run queries: see `mgnode`'s start.
const STACK_BYTES: usize = 16 << 20;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number: {text}")))
}

fn run(target: &'static Target) {
    let (count, seed) = (number("FUZZ_COUNT", COUNT), number("FUZZ_SEED", SEED));
    mg_fuzz::run(target.name, (target.corpus)(), count, seed, target.run);
}

/// Runs the targets whose names begin so, each on a thread with the stack of a query's.
fn run_all(prefix: &str) {
    let chosen: Vec<&'static Target> =
        TARGETS.iter().filter(|target| target.name.starts_with(prefix)).collect();
    assert!(!chosen.is_empty(), "a target begins with {prefix}");
    for target in chosen {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || run(target));
        if let Err(panic) = thread.expect("a thread can be started").join() {
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn cypher() {
    run_all("cypher");
}

#[test]
fn csv() {
    run_all("csv");
}

#[test]
fn bolt() {
    run_all("bolt");
}

#[test]
fn replication() {
    run_all("replication");
    run_all("snapshot_stream");
}

#[test]
fn log_and_changes() {
    run_all("wal");
    run_all("changes");
}

#[test]
fn snapshots() {
    run_all("snapshot");
}

#[test]
fn small_files() {
    run_all("state");
    run_all("decided");
}
