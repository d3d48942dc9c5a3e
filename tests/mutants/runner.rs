//! Runs seeds of the simulator with a mutant switched on, and prints a line for each, up to the first
//! that does not pass; or the model check, with a line for its verdict. Part of the copy under `target/mutants`, which alone has the switch.

use mg_simulation::{Tweaks, run_seed};
use mg_stage::model::{Bounds, check};
use mgnode_core::types::SyncMode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// A seed takes a fraction of a second; what takes this long has no end.
const PATIENCE: Duration = Duration::from_secs(120);

fn model() {
    let bounds = Bounds {
        mode: SyncMode::StrictSync,
        commits: 1,
        commits_after: 1,
        kills: 0,
        power_cuts: 0,
        cuts: 0,
        leaps: 0,
        demotes: false,
        promotes: true,
        is_fine: false,
        states_max: 100_000,
    };
    match check(bounds, 1) {
        Ok(_) => println!("passed"),
        Err(broken) => println!("{}", broken.lines().next().unwrap_or("broken")),
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().expect("three words: mutant, first seed, count");
    let (name, first) = (next(), next());
    if !name.is_empty() {
        mgnode_core::mutant::switch_on(&name);
    }
    if first == "model" {
        return model();
    }
    let count = next();
    let first: u64 = first.parse().expect("the first seed is a number");
    let count: u64 = count.parse().expect("the count is a number");
    for seed in first..first + count {
        let (done, end) = channel::<()>();
        let watch = std::thread::spawn(move || {
            if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                println!("it does not end");
                std::process::exit(1);
            }
        });
        let result = run_seed(seed, &Tweaks::default());
        drop(done);
        watch.join().expect("the watch only waits");
        match result {
            Ok(_) => println!("passed"),
            Err(failure) => {
                println!("{}", failure.error.replace('\n', " "));
                std::process::exit(1);
            }
        }
    }
}
