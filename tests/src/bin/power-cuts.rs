//! Cuts the power of all nodes again and again under load, and compares what clients were told with what
//! is there: see `mg_tests::chaos::power_cuts`. Needs root.
//!
//! `cargo run --release -p mg-tests --bin power-cuts -- --count 100 --mode sync|sync_async|strict_sync`

use mg_tests::chaos::options::{self, Options};
use mg_tests::chaos::power_cuts::{Plan, control, run};
use mg_tests::disks;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cut(&options::read("power-cuts")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn cut(options: &Options) -> Result<bool, String> {
    if let Some(why) = disks::unavailable() {
        return Err(why);
    }
    let folder = || disks::work_folder().map_err(|e| e.to_string());
    let dir = folder()?;
    println!("at --durability=os, one cut loses {} acknowledged writes: it is a cut", control(dir.path())?);
    let mut is_good = true;
    for form in &options.forms {
        let plan = Plan { form: *form, count: options.count, clients: options.clients, seed: options.seed };
        let dir = folder()?;
        let report = run(dir.path(), plan, |line| eprintln!("{line}"))?;
        println!("{report}");
        if !report.wrong.is_empty() || report.counts.ok == 0 {
            is_good = false;
            // For whoever looks into it.
            println!("  kept                         {}", dir.keep().display());
        }
    }
    Ok(is_good)
}
