//! From a seed to a verdict.

use crate::coverage::Coverage;
use crate::options::{Options, Tweaks};
use crate::world::{SECOND, World};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Simulated time in which a healed cluster must come together.
const CALM: u64 = 90 * SECOND;

/// A run that broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Where it came from.
    pub seed: u64,
    /// What was broken; begins with the number of the invariant where it is one.
    pub error: String,
    /// The last events before it.
    pub trace: String,
    /// What every node said of itself then.
    pub state: String,
    /// Simulated time at which it broke.
    pub at: u64,
    /// Faults and operator's whims of this run.
    pub disturbances: u64,
}

impl Failure {
    /// Returns the number of the invariant, or the first word.
    pub fn rule(&self) -> &str {
        self.error.split([':', ' ']).next().unwrap_or_default()
    }

    /// Returns all that is known of it, for people.
    pub fn report(&self, tweaks: &Tweaks) -> String {
        format!(
            "{}{}seed {:#x}: {}\nrepeat: cargo run -p mg-simulation -- --seed {:#x}{}\n",
            self.trace,
            self.state,
            self.seed,
            self.error,
            self.seed,
            tweaks.arguments()
        )
    }
}

/// Runs one cluster from its seed. The outcome depends on the arguments alone.
pub fn run_seed(seed: u64, tweaks: &Tweaks) -> Result<Coverage, Failure> {
    let result = run_once(seed, tweaks);
    if result.is_ok() || tweaks.is_traced {
        return result;
    }
    // The same once more, with the events written down.
    run_once(seed, &Tweaks { is_traced: true, ..tweaks.clone() })
}

fn run_once(seed: u64, tweaks: &Tweaks) -> Result<Coverage, Failure> {
    let mut world = World::new(Options::of(seed, tweaks));
    let result = catch_unwind(AssertUnwindSafe(|| live(&mut world)));
    let error = match result {
        Ok(Ok(())) => {
            let mut coverage = world.coverage;
            coverage.add("steps", world.steps);
            coverage.add("records", world.oracle.records() as u64);
            coverage.add("simulated milliseconds", world.now / crate::world::MS);
            return Ok(coverage);
        }
        Ok(Err(error)) => error,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
                .unwrap_or_else(|| "panic".to_owned())
        }
    };
    let (at, disturbances) = (world.now, world.disturbances);
    let trace = world.trace();
    // A node that panicked may do so again when it is asked how it is.
    let state = catch_unwind(AssertUnwindSafe(|| world.describe())).unwrap_or_default();
    Err(Failure { seed, error, trace, state, at, disturbances })
}

fn live(world: &mut World) -> Result<(), String> {
    world.begin()?;
    let chaos = world.options.chaos;
    world.run(chaos, |_| Ok(false))?;
    world.heal()?;
    let from = world.now;
    if !world.run(from + CALM, |w| Ok(w.yes_after_heal >= 3))? {
        return Err("25: no commit succeeds after all is healed".into());
    }
    world.stop_clients = true;
    let from = world.now;
    if !world.run(from + CALM, World::is_converged)? {
        return Err("25: the cluster does not come together".into());
    }
    let main = world.operator.main;
    world.check_end(main)
}

/// What a set of runs came to.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Runs that ended well.
    pub seeds: u64,
    /// What they met.
    pub coverage: Coverage,
    /// Failures in the order of seeds; one, unless all were asked for.
    pub failures: Vec<Failure>,
}

impl Summary {
    /// Returns the simulated time of all runs.
    pub fn hours(&self) -> f64 {
        self.coverage.of("simulated milliseconds") as f64 / 3_600_000.0
    }

    /// Returns the summary for people.
    pub fn report(&self) -> String {
        format!(
            "simulation: {} seeds, {:.1} simulated hours, {} events\n{}",
            self.seeds,
            self.hours(),
            self.coverage.of("steps"),
            self.coverage.lines()
        )
    }
}

/// Runs many seeds on `threads` threads, up to the first that fails, or all of them with `goes_on`. Which
/// thread runs which seed changes nothing about the summary.
pub fn run_seeds(seeds: &[u64], threads: usize, goes_on: bool, tweaks: &Tweaks) -> Summary {
    let next = AtomicU64::new(0);
    let failed_at = AtomicU64::new(u64::MAX);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = seeds.get(index as usize).copied() else { return };
                    if !goes_on && index > failed_at.load(Ordering::Relaxed) {
                        return;
                    }
                    let result = run_seed(seed, tweaks);
                    if result.is_err() {
                        failed_at.fetch_min(index, Ordering::Relaxed);
                    }
                    results.lock().expect("no one panics with it").insert(index, result);
                }
            });
        }
    });
    let mut summary = Summary { seeds: 0, coverage: Coverage::default(), failures: Vec::new() };
    for result in results.into_inner().expect("no one panics with it").into_values() {
        match result {
            Ok(coverage) => {
                summary.seeds += 1;
                summary.coverage.merge(&coverage);
            }
            Err(failure) => {
                summary.failures.push(failure);
                if !goes_on {
                    break;
                }
            }
        }
    }
    summary
}
