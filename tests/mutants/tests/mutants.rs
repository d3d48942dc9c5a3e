//! Every mutant is found by an invariant, and what finds it passes with the shipped code.

use mg_mutants::{MUTANTS, Mutant, Record, SEEDS_MAX, Verdict, Workshop, each, read_records};
use std::io::Write;
use std::sync::OnceLock;

/// Where code that a run depends on was changed since the seeds were recorded, the recorded one may lead
/// elsewhere. Then so many others are tried.
const OTHER_SEEDS: u64 = 1_000;

/// Built once for all tests of this program.
fn shop() -> &'static Workshop {
    static SHOP: OnceLock<Workshop> = OnceLock::new();
    SHOP.get_or_init(|| Workshop::open().unwrap_or_else(|e| panic!("{e}")))
}

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

    let shop = shop();
    let pairs: Vec<_> = MUTANTS.iter().zip(&records).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results = each(&pairs, threads, |(mutant, record)| check(shop, mutant, record));
    let (found, wrong): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let lines: String = found.into_iter().flatten().collect();
    let summary = format!("{} mutants:\n{lines}", listed.len());
    // Past the test harness, which would swallow it where all is well.
    std::io::stderr().write_all(summary.as_bytes()).expect("stderr takes text");
    let wrong: Vec<_> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Mutants that a wrong order of a promotion, a fence and a commit is enough for.
const OF_THE_MODEL: [&str; 4] = [
    "a_commit_in_doubt_is_called_failed",
    "a_strict_record_is_shown_early",
    "a_strict_record_waits_for_no_replica",
    "a_promotion_aborts_the_undecided_tail",
];

#[test]
fn the_model_finds_what_breaks_a_promotion() {
    let shop = shop();
    let shipped = shop.model(None).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(shipped, Verdict::Passed, "the shipped code");
    for name in OF_THE_MODEL {
        let mutant = MUTANTS.iter().find(|m| m.name == name).expect("it is listed");
        match shop.model(Some(mutant)).unwrap_or_else(|e| panic!("{e}")) {
            Verdict::Died { what } => println!("{name}: {what}"),
            other => panic!("the model does not find {name}: {other:?}"),
        }
    }
}
