//! Kills MAIN again and again under load, and compares what clients were told with what is there: see
//! `mg_tests::chaos::failovers`.
//!
//! `cargo run --release -p mg-tests --bin failovers -- --count 200 --mode sync|sync_async|strict_sync`

use mg_tests::chaos::failovers::{Plan, run};
use mg_tests::chaos::options;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = options::read("failovers");
    let mut is_good = true;
    for form in options.forms {
        let plan = Plan { form, count: options.count, clients: options.clients, seed: options.seed };
        let dir = tempfile::tempdir().expect("a temporary folder");
        let report = run(dir.path(), plan, |line| eprintln!("{line}"));
        println!("{report}");
        if !report.wrong.is_empty() || report.counts.ok == 0 {
            is_good = false;
            // For whoever looks into it.
            println!("  kept                         {}", dir.keep().display());
        }
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
