//! Random graphs and random queries: whatever the planner chooses, the rows are the same.
//!
//! Of each seed there is a graph in several databases, with and without indexes, committed and not, and the queries
//! are run on all of them, in other words, cut into parts by a condition, and by [`reference`], which plans nothing.
//!
//! A failure shows its seed, the statements that make the graph, the query, and its plan. `MG_SEED=0x5f3a` runs that
//! seed alone, `MG_SEEDS=10000` so many:
//!
//! ```text
//! MG_SEED=0x5f3a cargo test -p mgcypher --test metamorphic
//! ```

mod database;
mod dice;
mod met;
mod model;
mod paths;
mod query;
mod random;
mod reads;
mod reference;
mod rewrite;
mod values;
mod writes;

use met::Met;

/// Seeds of a usual run of each check.
const SEEDS: u64 = 25;

/// Runs a check with its seeds, and shows what failed. The plans of a usual run must have had all of these operators.
fn with_seeds(check: impl Fn(u64, &mut Met) -> Result<(), String>, operators: &[&str]) {
    let from_env = |name: &str| {
        let text = std::env::var(name).ok()?;
        let number = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        Some(number.unwrap_or_else(|_| panic!("{name} is no number: {text}")))
    };
    let (first, count) = (from_env("MG_SEED"), from_env("MG_SEEDS"));
    let is_usual = first.is_none() && count.is_none();
    let count = count.unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let first = first.unwrap_or(0);
    let mut met = Met::default();
    let mut failed = 0;
    for seed in first..first + count {
        if let Err(why) = check(seed, &mut met) {
            failed += 1;
            println!("seed {seed:#x}: {why}\n");
            if failed >= 10 {
                break;
            }
        }
    }
    println!("the plans of {count} seeds had {met:?}");
    assert_eq!(failed, 0, "repeat one with its MG_SEED, which is shown above");
    if is_usual {
        met.assert_has(operators);
    }
}

#[test]
fn queries_find_the_same_whatever_is_planned() {
    with_seeds(
        reads::check,
        &[
            "ScanAll",
            "ScanAllById",
            "ScanAllByLabel",
            "ScanAllByLabelProperties",
            "ScanAllByEdgeType",
            "ScanAllByEdgeTypePropertyValue",
            "ScanAllByEdgeTypePropertyRange",
            "Expand",
            "ExpandInto",
            "ExpandVariable",
            "EdgeEnds",
            "Optional",
            "Apply",
            "Aggregate",
            "Distinct",
            "OrderBy",
        ],
    );
}

#[test]
fn shortest_paths_are_the_shortest() {
    with_seeds(
        paths::check,
        &["BFSExpand", "WeightedShortestPath", "AllShortestPaths", "ScanAllByLabelProperties"],
    );
}

#[test]
fn writes_leave_the_same_graph() {
    with_seeds(
        writes::check,
        &[
            "Accumulate",
            "Merge",
            "Delete",
            "DetachDelete",
            "Foreach",
            "ScanAllByLabelProperties",
            "ScanAllByEdgeType",
        ],
    );
}
