//! Kills MAIN again and again under load, and compares what clients were told with what is there: see
//! `mg_tests::chaos::failovers`.
//!
//! `cargo run --release -p mg-tests --bin failovers -- --count 200 --mode sync|sync_async|strict_sync`

use mg_tests::chaos::cluster::Form;
use mg_tests::chaos::failovers::{Plan, run};
use std::process::ExitCode;

const USAGE: &str =
    "usage: failovers [--count N] [--mode sync|sync_async|strict_sync]... [--clients N] [--seed N]";

fn plans(mut args: impl Iterator<Item = String>) -> Result<Vec<Plan>, String> {
    let (mut count, mut clients, mut seed, mut forms) = (20, 16, None, Vec::new());
    while let Some(name) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        let number = || value.parse::<u64>().map_err(|e| format!("{name} {value}: {e}"));
        match name.as_str() {
            "--count" => count = u32::try_from(number()?).map_err(|e| e.to_string())?,
            "--clients" => clients = usize::try_from(number()?).map_err(|e| e.to_string())?,
            "--seed" => seed = Some(number()?),
            "--mode" => forms.push(match value.as_str() {
                "sync" => Form::Sync,
                "sync_async" => Form::SyncAndAsync,
                "strict_sync" => Form::StrictSync,
                _ => return Err(USAGE.to_owned()),
            }),
            _ => return Err(USAGE.to_owned()),
        }
    }
    if forms.is_empty() {
        forms = vec![Form::Sync, Form::StrictSync];
    }
    Ok(forms.into_iter().map(|form| Plan { form, count, clients, seed }).collect())
}

fn main() -> ExitCode {
    let plans = match plans(std::env::args().skip(1)) {
        Ok(plans) => plans,
        Err(why) => {
            eprintln!("error: {why}");
            return ExitCode::FAILURE;
        }
    };
    let mut is_good = true;
    for plan in plans {
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
