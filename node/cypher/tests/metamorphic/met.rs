//! What the plans of a run were made of: a check whose plans are all alike checks little.

use std::collections::BTreeMap;

/// Operators by name, and how many plans' lines they were.
#[derive(Debug, Default)]
pub(crate) struct Met(BTreeMap<String, usize>);

impl Met {
    /// Counts the operators of a plan.
    pub(crate) fn add(&mut self, plan: &str) {
        for line in plan.lines() {
            let line = line.trim_start_matches([' ', '|', '*', '\\']);
            let name = line.split([' ', '{']).next().unwrap_or_default();
            if !name.is_empty() {
                *self.0.entry(name.to_owned()).or_default() += 1;
            }
        }
    }

    /// # Panics
    /// One of the operators was not met.
    pub(crate) fn assert_has(&self, names: &[&str]) {
        let missing: Vec<&&str> = names.iter().filter(|name| !self.0.contains_key(**name)).collect();
        assert!(missing.is_empty(), "no plan had {missing:?}, but {:?}", self.0);
    }
}
