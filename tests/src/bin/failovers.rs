//! Kills MAIN again and again under load, and compares what clients were told with what is there: see
//! `mg_tests::chaos::failovers`.
//!
//! `cargo run --release -p mg-tests --bin failovers -- --count 200 --mode sync|sync_async|strict_sync`

use mg_tests::chaos::failovers::{Plan, run};
use mg_tests::chaos::options;
use std::process::ExitCode;

/// Failovers of one cluster. Each compares all that was ever written, on three nodes, so that many of them on one
/// graph take ever longer.
const ONE_CLUSTER: u32 = 50;

fn main() -> ExitCode {
    let options = options::read("failovers");
    let mut is_good = true;
    for form in options.forms {
        let (mut done, mut told_ok, mut wrong) = (0, 0, 0);
        while done < options.count {
            let count = ONE_CLUSTER.min(options.count - done);
            let plan = Plan { form, count, clients: options.clients, seed: options.seed };
            let dir = tempfile::tempdir().expect("a temporary folder");
            let report = run(dir.path(), plan, |line| eprintln!("{line}"));
            println!("{report}");
            done += report.failovers;
            told_ok += report.counts.ok;
            wrong += report.wrong.len();
            if !report.wrong.is_empty() || report.counts.ok == 0 {
                is_good = false;
                // For whoever looks into it.
                println!("  kept                         {}", dir.keep().display());
                break;
            }
        }
        println!("in all, {form:?}: {done} failovers, {told_ok} told OK, {wrong} wrong");
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
