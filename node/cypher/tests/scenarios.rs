//! Runs the openCypher TCK in process, each scenario against a graph of its own.
//!
//! The features are read from `TCK_DIR`, or from `../shared/tck` beside the workspace; where neither
//! is there the test says so and is skipped. A scenario must give the rows, the side effects, or the
//! error (type, phase and detail) that it names. `TCK_ONLY` runs those whose id contains a text.

#[path = "scenarios/feature.rs"]
mod feature;
#[path = "scenarios/notation.rs"]
mod notation;
#[path = "scenarios/world.rs"]
mod world;

use feature::Scenario;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

fn tck_dir() -> PathBuf {
    std::env::var_os("TCK_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/tck"), PathBuf::from)
}

/// Runs one scenario; a panic is a failure like any other.
fn run(dir: &Path, scenario: &Scenario) -> Result<(), String> {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world::run(dir, scenario)));
    result.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_default();
        Err(format!("panicked: {text}"))
    })
}

fn main() -> ExitCode {
    let trial = Trial::ignorable_test("opencypher_tck", || {
        let dir = tck_dir();
        if !dir.join("features").is_dir() {
            return Ok(Completion::ignored_with(format!("no features below {}; set TCK_DIR", dir.display())));
        }
        opencypher_tck(&dir)?;
        Ok(Completion::Completed)
    });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

fn opencypher_tck(dir: &Path) -> Result<(), Failed> {
    let only = std::env::var("TCK_ONLY").unwrap_or_default();
    let scenarios: Vec<Scenario> =
        feature::read_all(&dir.join("features")).into_iter().filter(|s| s.id.contains(&only)).collect();
    assert!(!scenarios.is_empty(), "no scenario matches");

    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Result<(), String>)>> = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scenario) = scenarios.get(i) else { return };
                    let result = run(dir, scenario);
                    results.lock().expect("no thread panics while it holds the lock").push((i, result));
                }
            });
        }
    });
    let _ = std::panic::take_hook();
    let mut results = results.into_inner().expect("no thread panicked while it held the lock");
    results.sort_by_key(|(i, _)| *i);

    let mut table: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut failed = BTreeMap::new();
    for (i, result) in &results {
        let scenario = &scenarios[*i];
        let counts = table.entry(&scenario.category).or_default();
        counts.1 += 1;
        match result {
            Ok(()) => counts.0 += 1,
            Err(reason) => {
                failed.insert(scenario.id.clone(), reason.clone());
            }
        }
    }
    for (category, (passed, all)) in &table {
        println!("tck: {category:<40} {passed:>5} of {all}");
    }
    println!("tck: {:<40} {:>5} of {}", "all", results.len() - failed.len(), results.len());
    let texts: Vec<String> = failed.iter().map(|(id, reason)| format!("{id}\n{reason}")).collect();
    match failed.len() {
        0 => Ok(()),
        count => Err(format!("{count} scenarios fail\n{}", texts.join("\n\n")).into()),
    }
}
