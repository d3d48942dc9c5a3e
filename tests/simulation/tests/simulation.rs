//! The set of runs that every change must survive.

use mg_simulation::{HOURS, SEEDS, Tweaks, missing, number, regressions, run_seed, run_seeds, shrink};
use std::io::Write;

fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(number(&text).unwrap_or_else(|| panic!("`{name}={text}` is not a number")))
}

/// `MG_SEEDS` makes more or fewer runs; `MG_SEED` makes one.
#[test]
fn clusters_keep_their_promises_under_faults_and_come_together_after() {
    let tweaks = Tweaks::default();
    let count = from_env("MG_SEEDS").unwrap_or(SEEDS);
    let seeds = match from_env("MG_SEED") {
        Some(seed) => vec![seed],
        None => regressions().into_iter().chain(1..=count).collect(),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let summary = run_seeds(&seeds, threads, false, &tweaks);
    // Past the test harness, which would swallow it where all is well.
    std::io::stderr().write_all(summary.report().as_bytes()).expect("stderr takes text");
    if let Some(failure) = summary.failures.first().cloned() {
        let whole = failure.report(&tweaks);
        let (failure, tweaks) = shrink(failure, &tweaks);
        panic!("{whole}\nshrunk:\n{}", failure.report(&tweaks));
    }
    if (seeds.len() as u64) < SEEDS {
        return;
    }
    assert!(summary.hours() >= HOURS, "{:.1} simulated hours are less than {HOURS}", summary.hours());
    let missing = missing(&summary.coverage);
    assert!(missing.is_empty(), "no run had any of: {}", missing.join(", "));
}

#[test]
fn a_run_depends_on_its_seed_alone() {
    let run = || run_seed(7, &Tweaks::default()).map_err(|failure| failure.error);
    assert_eq!(run(), run());
}
