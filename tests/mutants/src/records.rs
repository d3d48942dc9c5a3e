//! Which seed found which mutant, and by which invariant.

use std::path::PathBuf;

/// A line of `tests/mutants/seeds.txt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub mutant: String,
    /// The first seed that found it, counted from 1.
    pub seed: u64,
    /// The number of the invariant that it broke.
    pub invariant: String,
}

const HEAD: &str = "\
# The first seed of the simulator that finds each mutant, and the invariant that found it.
# Written by `cargo run -p mg-mutants -- --hunt`.
";

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/seeds.txt"))
}

/// Reads what is recorded.
///
/// # Errors
/// Words about a line that is no record.
pub fn read_records() -> Result<Vec<Record>, String> {
    let text = std::fs::read_to_string(file()).map_err(|e| format!("`{}`: {e}", file().display()))?;
    let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines.map(|line| parse(line).ok_or_else(|| format!("`{line}` is no record"))).collect()
}

fn parse(line: &str) -> Option<Record> {
    let mut words = line.split_whitespace();
    let record = Record {
        mutant: words.next()?.to_owned(),
        seed: words.next()?.parse().ok()?,
        invariant: words.next()?.to_owned(),
    };
    words.next().is_none().then_some(record)
}

/// Replaces what is recorded.
///
/// # Errors
/// Words about why the file cannot be written.
pub fn write_records(records: &[Record]) -> Result<(), String> {
    let width = records.iter().map(|r| r.mutant.len()).max().unwrap_or(0);
    let lines = records.iter().map(|r| format!("{:width$}  {:>5}  {}\n", r.mutant, r.seed, r.invariant));
    let text = HEAD.to_owned() + &lines.collect::<String>();
    std::fs::write(file(), text).map_err(|e| format!("`{}`: {e}", file().display()))
}
