//! Every mutant is found by an invariant, and what finds it passes with the shipped code.

use mg_mutants::{MUTANTS, Mutant, Record, SEEDS_MAX, Verdict, Workshop, each, read_records};
use std::io::Write;

/// Where code that a run depends on was changed since the seeds were recorded, the recorded one may lead
/// elsewhere. Then so many others are tried.
const OTHER_SEEDS: u64 = 1_000;

/// Returns the line of the summary, or what is wrong.
fn check(shop: &Workshop, mutant: &Mutant, record: &Record) -> Result<String, String> {
    let hunt = |first, count| shop.run(Some(mutant), first, count, |_| ());
    let found = match hunt(record.seed, 1)? {
        None => hunt(1, OTHER_SEEDS)?,
        found => found,
    };
    let Some((seed, invariant)) = found else {
        return Err(format!("{} is not found, which breaks: {}", mutant.name, mutant.breaks));
    };
    let mut shipped = Verdict::Passed;
    shop.run(None, seed, 1, |verdict| shipped = verdict.clone())?;
    if shipped != Verdict::Passed {
        return Err(format!("the shipped code does not pass seed {seed}: {shipped:?}"));
    }
    let note = if seed == record.seed { "" } else { "  (not as recorded)" };
    Ok(format!("  {:48} seed {seed:5}  invariant {invariant}{note}\n", mutant.name))
}

#[test]
fn every_mutant_is_found_by_an_invariant_and_the_shipped_code_by_none() {
    let records = read_records().expect("the records can be read");
    let recorded: Vec<_> = records.iter().map(|r| r.mutant.as_str()).collect();
    let listed: Vec<_> = MUTANTS.iter().map(|m| m.name).collect();
    assert_eq!(recorded, listed, "`cargo run -p mg-mutants -- --hunt` records the seeds");
    assert!(records.iter().all(|r| r.seed <= SEEDS_MAX), "a seed beyond {SEEDS_MAX} is recorded");

    let shop = Workshop::open().unwrap_or_else(|e| panic!("{e}"));
    let pairs: Vec<_> = MUTANTS.iter().zip(&records).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results = each(&pairs, threads, |(mutant, record)| check(&shop, mutant, record));
    let (found, wrong): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let lines: String = found.into_iter().flatten().collect();
    let summary = format!("{} mutants:\n{lines}", listed.len());
    // Past the test harness, which would swallow it where all is well.
    std::io::stderr().write_all(summary.as_bytes()).expect("stderr takes text");
    let wrong: Vec<_> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
