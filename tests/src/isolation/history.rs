//! What clients did, and what they were told.

use std::collections::BTreeSet;
use std::fmt;

/// Names one list, or one set.
pub type Key = i64;

/// One thing a statement did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Added a number that no one else uses. It is entered before it is asked for.
    Append { key: Key, value: i64 },
    /// Was told all numbers of a key.
    Read { key: Key, values: Vec<i64> },
}

/// What a transaction was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Snapshot,
    ReadCommitted,
}

/// What a client knows of the end of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    /// It was refused or rolled back, and must not be seen.
    Refused,
    /// It is seen or not.
    Unknown,
}

/// One transaction of one client.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// What a person is told it by.
    pub name: String,
    pub level: Level,
    pub outcome: Outcome,
    pub statements: Vec<Vec<Op>>,
    /// A position of the log that was shown where it ran, or that it was promised, before it began; 0: nothing.
    pub floor: u64,
    /// Where its own record stands, as it was told.
    pub committed_at: Option<u64>,
    /// The last position that it saw, as it was told. Only one without a write is told.
    pub seen: Option<u64>,
}

/// All transactions of a run, in any order.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub transactions: Vec<Transaction>,
    /// The keys whose numbers have no order.
    pub sets: BTreeSet<Key>,
}

impl Transaction {
    /// Begins one that has done nothing yet, whose end is not known.
    pub fn new(name: String, level: Level, floor: u64) -> Transaction {
        let statements = Vec::new();
        Transaction {
            name,
            level,
            outcome: Outcome::Unknown,
            statements,
            floor,
            committed_at: None,
            seen: None,
        }
    }

    /// Returns what it did, with the number of the statement.
    pub fn ops(&self) -> impl Iterator<Item = (usize, &Op)> {
        self.statements.iter().enumerate().flat_map(|(n, ops)| ops.iter().map(move |op| (n, op)))
    }

    /// Returns the numbers it added, or tried to.
    pub fn appends(&self) -> impl Iterator<Item = (Key, i64)> + '_ {
        self.ops().filter_map(|(_, op)| match op {
            Op::Append { key, value } => Some((*key, *value)),
            Op::Read { .. } => None,
        })
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, {:?}, not before {}", self.name, self.level, self.outcome, self.floor)?;
        if let Some(position) = self.committed_at {
            write!(f, ", committed at {position}")?;
        }
        if let Some(position) = self.seen {
            write!(f, ", saw {position}")?;
        }
        write!(f, "):")?;
        for (n, ops) in self.statements.iter().enumerate() {
            write!(f, "{}", if n == 0 { " " } else { "; " })?;
            for (i, op) in ops.iter().enumerate() {
                let space = if i == 0 { "" } else { " " };
                match op {
                    Op::Append { key, value } => write!(f, "{space}{key}+{value}")?,
                    Op::Read { key, values } if values.len() > 6 => {
                        write!(
                            f,
                            "{space}{key}=[{} numbers, .. {:?}]",
                            values.len(),
                            &values[values.len() - 5..]
                        )?;
                    }
                    Op::Read { key, values } => write!(f, "{space}{key}={values:?}")?,
                }
            }
        }
        Ok(())
    }
}
