//! Runs the mutants: `cargo run -p mg-mutants [-- [--hunt] [--threads N] [name ..]]`.
//!
//! Without words it runs the recorded seed of each. `--hunt` looks for the first seed of 10,000 that
//! finds each (or each that is named) and records it.

use mg_mutants::{MUTANTS, Mutant, Record, SEEDS_MAX, Verdict, Workshop, read_records, write_records};
use std::process::ExitCode;
use std::sync::Mutex;

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(lost) => {
            eprintln!("error: {lost} mutants were not found as they should be");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<usize, String> {
    let mut threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut is_hunt, mut chosen) = (false, Vec::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--hunt" => is_hunt = true,
            "--threads" => {
                let count = words.next().and_then(|n| n.parse().ok());
                threads = count.ok_or("`--threads` needs a number")?;
            }
            name => {
                let mutant = MUTANTS.iter().find(|m| m.name == name);
                chosen.push(mutant.ok_or(format!("there is no mutant `{name}`"))?);
            }
        }
    }
    if chosen.is_empty() {
        chosen = MUTANTS.iter().collect();
    }
    let shop = Workshop::open()?;
    // A name that left the list leaves the records too.
    let mut records = read_records()?;
    records.retain(|r| MUTANTS.iter().any(|m| m.name == r.mutant));
    let records = Mutex::new(records);
    let results = mg_mutants::each(&chosen, threads, |mutant| {
        if is_hunt { hunt(&shop, mutant, &records) } else { replay(&shop, mutant, &records) }
    });
    let mut lost = 0;
    for result in results {
        lost += usize::from(!result?);
    }
    Ok(lost)
}

/// Looks for a mutant, and records where it was found.
fn hunt(shop: &Workshop, mutant: &Mutant, records: &Mutex<Vec<Record>>) -> Result<bool, String> {
    let (mut what, mut deaths) = (String::new(), Vec::new());
    let found = shop.run(Some(mutant), 1, SEEDS_MAX, |verdict| match verdict {
        Verdict::Passed => {}
        Verdict::Broke { what: text, .. } => what.clone_from(text),
        Verdict::Died { what } => deaths.push(what.clone()),
    })?;
    if let Some(first) = deaths.first() {
        println!("{:48} {} seeds ended without an invariant: {first}", mutant.name, deaths.len());
    }
    let mut records = records.lock().expect("no one panics with it");
    records.retain(|r| r.mutant != mutant.name);
    match &found {
        Some((seed, invariant)) => {
            println!("{:48} seed {seed:5}  {what}", mutant.name);
            let (mutant, invariant) = (mutant.name.to_owned(), invariant.clone());
            records.push(Record { mutant, seed: *seed, invariant });
        }
        None => println!("{:48} NOT FOUND in {SEEDS_MAX} seeds", mutant.name),
    }
    records.sort_by_key(|r| MUTANTS.iter().position(|m| m.name == r.mutant));
    write_records(&records)?;
    Ok(found.is_some())
}

/// Runs the recorded seed of a mutant.
fn replay(shop: &Workshop, mutant: &Mutant, records: &Mutex<Vec<Record>>) -> Result<bool, String> {
    let record = {
        let records = records.lock().expect("no one panics with it");
        records.iter().find(|r| r.mutant == mutant.name).cloned()
    };
    let Some(record) = record else {
        println!("{:48} no seed is recorded", mutant.name);
        return Ok(false);
    };
    let mut text = String::new();
    let found = shop.run(Some(mutant), record.seed, 1, |verdict| {
        text = match verdict {
            Verdict::Passed => "passed".into(),
            Verdict::Broke { what, .. } => what.clone(),
            Verdict::Died { what } => format!("no invariant: {what}"),
        };
    })?;
    println!("{:48} seed {:5}  {text}", mutant.name, record.seed);
    Ok(found.is_some_and(|(_, invariant)| invariant == record.invariant))
}
