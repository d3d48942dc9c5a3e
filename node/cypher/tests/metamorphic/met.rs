//! What the plans of a run were made of, and how many rows there were: a check whose plans are all alike, or whose queries
//! find nothing, checks little.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Met {
    /// Operators by name, and how many plans' lines they were.
    operators: BTreeMap<String, usize>,
    queries: usize,
    /// Those that had at least one row.
    with_rows: usize,
}

impl Met {
    /// Counts the operators of a plan.
    pub(crate) fn add(&mut self, plan: &str) {
        for line in plan.lines() {
            let line = line.trim_start_matches([' ', '|', '*', '\\']);
            let name = line.split([' ', '{']).next().unwrap_or_default();
            if !name.is_empty() {
                *self.operators.entry(name.to_owned()).or_default() += 1;
            }
        }
    }

    /// Counts a query with its rows.
    pub(crate) fn count(&mut self, rows: usize) {
        self.queries += 1;
        self.with_rows += usize::from(rows > 0);
    }

    /// # Panics
    /// One of the operators was not met, or most queries had no rows.
    pub(crate) fn assert_has(&self, names: &[&str]) {
        assert!(
            self.with_rows * 5 >= self.queries * 2,
            "{} of {} queries had rows",
            self.with_rows,
            self.queries
        );
        let missing: Vec<&&str> = names.iter().filter(|name| !self.operators.contains_key(**name)).collect();
        assert!(missing.is_empty(), "no plan had {missing:?}, but {:?}", self.operators);
    }
}
