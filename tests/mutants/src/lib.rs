//! Mutants: the shipped core with one place changed, to see whether the simulator notices.
//!
//! A simulator that finds nothing proves something only where it would have found something. So each
//! mutant of [`MUTANTS`] breaks one promise in one place of the shipped code, and a run of the simulator
//! must end with the number of an invariant that it broke. Nothing in the product knows of this: the
//! [`Workshop`] copies the core and the simulator to `target/mutants`, puts all mutants into that copy,
//! each behind a switch, and builds it once. With no switch on, the copy is the shipped code.
//!
//! `cargo run -p mg-mutants` runs the recorded seed of each; with `--hunt` it looks for the
//! first seed that finds each and writes `tests/mutants/seeds.txt`.

mod list;
mod records;
mod workshop;

pub use list::MUTANTS;
pub use records::{Record, read_records, write_records};
pub use workshop::{Verdict, Workshop};

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Every mutant must be found by one of the seeds up to this one.
pub const SEEDS_MAX: u64 = 10_000;

/// One place of the core, and what stands there instead.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// What it does.
    pub name: &'static str,
    /// Which promise it breaks.
    pub breaks: &'static str,
    /// The file, below `node/core/src`.
    pub file: &'static str,
    /// Text that stands there exactly once, with the changed part between `«` and `»`. White space
    /// counts as one blank, so that a reformatted line is found again.
    pub find: &'static str,
    /// What stands in place of the changed part.
    pub with: &'static str,
}

/// Does `work` for each of `items` on some threads, and returns the results in their order.
pub fn each<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((index, item)) =
                    items.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed))
                {
                    let result = work(item);
                    results.lock().expect("no one panics with it").push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no one panics with it");
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
