//! Runs clusters from seeds: `cargo run -p mg-simulation -- --seeds 10000`.

use mg_simulation::{SEEDS, Tweaks, missing, number, regressions, run_seeds, shrink};
use std::process::ExitCode;

const USAGE: &str = "\
simulate [--seeds N] [--from N]   N seeds (2000) from the first one on (1), and all that once failed
simulate --seed N                 one seed
  --trace          prints the events
  --skip A,B-C     leaves out these faults and whims of the operator
  --threads N      instead of one for each core
  --no-shrink      a failure as it is
  --all            goes on after a failure, and lists them
";

struct Arguments {
    seeds: Vec<u64>,
    is_set: bool,
    threads: usize,
    is_shrunk: bool,
    goes_on: bool,
    tweaks: Tweaks,
}

fn read() -> Result<Arguments, String> {
    let (mut seeds, mut from, mut one, mut is_shrunk) = (SEEDS, 1, None, true);
    let mut goes_on = false;
    let mut threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut tweaks = Tweaks::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
        let parse = |text: String| number(&text).ok_or(format!("`{text}` is not a number"));
        match word.as_str() {
            "--seeds" => seeds = parse(value()?)?,
            "--from" => from = parse(value()?)?,
            "--seed" => one = Some(parse(value()?)?),
            "--threads" => threads = parse(value()?)? as usize,
            "--skip" => tweaks.skip(&value()?)?,
            "--trace" => tweaks.is_loud = true,
            "--no-shrink" => is_shrunk = false,
            "--all" => goes_on = true,
            _ => return Err(format!("`{word}` is not known")),
        }
    }
    let many = || regressions().into_iter().chain(from..from + seeds).collect();
    let is_set = one.is_none() && from == 1 && seeds >= SEEDS;
    Ok(Arguments {
        seeds: one.map_or_else(many, |seed| vec![seed]),
        is_set,
        threads,
        is_shrunk,
        goes_on,
        tweaks,
    })
}

fn main() -> ExitCode {
    let arguments = match read() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let summary = run_seeds(&arguments.seeds, arguments.threads, arguments.goes_on, &arguments.tweaks);
    println!("{}", summary.report());
    if arguments.goes_on {
        for failure in &summary.failures {
            eprintln!("seed {:#x}: {}", failure.seed, failure.error);
        }
        return if summary.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if let Some(failure) = summary.failures.into_iter().next() {
        let (failure, tweaks) = if arguments.is_shrunk {
            eprintln!("{}\nshrinking", failure.report(&arguments.tweaks));
            shrink(failure, &arguments.tweaks)
        } else {
            (failure, arguments.tweaks)
        };
        eprintln!("{}", failure.report(&tweaks));
        return ExitCode::FAILURE;
    }
    let missing = missing(&summary.coverage);
    if arguments.is_set && !missing.is_empty() {
        eprintln!("no run had any of: {}", missing.join(", "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
