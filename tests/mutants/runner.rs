//! Runs seeds of the simulator with a mutant switched on, and prints a line for each, up to the first
//! that does not pass. Part of the copy under `target/mutants`, which alone has the switch.

use mg_simulation::{Tweaks, run_seed};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// A seed takes a fraction of a second; what takes this long has no end.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().expect("three words: mutant, first seed, count");
    let (name, first, count) = (next(), next(), next());
    let first: u64 = first.parse().expect("the first seed is a number");
    let count: u64 = count.parse().expect("the count is a number");
    if !name.is_empty() {
        mgnode_core::mutant::switch_on(&name);
    }
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
