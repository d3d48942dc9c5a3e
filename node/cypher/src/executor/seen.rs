//! Rows that a `DISTINCT` has given out.

use super::hash;
use crate::plan::Slot;
use crate::value::{KeyRef, memory};
use hashbrown::HashTable;
use mgnode_core::types::Value;
use rustc_hash::FxHashSet;

/// What a row of one integer takes at most: once a float has come.
const NUMBER_BYTES: usize = 48;

/// Rows that were given out: what stood in some slots.
#[derive(Default)]
pub(crate) struct Seen {
    rows: HashTable<Box<[Value]>>,
    /// Rows of one integer, as long as no other kind of number has come, which might be equal to one: that is most of
    /// what is asked for, and takes neither copy nor allocation.
    numbers: FxHashSet<i64>,
    has_floats: bool,
    /// The row that is looked for; its room is used again.
    row: Vec<Value>,
}

impl Seen {
    /// Notes a row; returns about how many bytes that takes, None where it is there already.
    pub(super) fn add(&mut self, slots: &[Slot], row: &[Value]) -> Option<usize> {
        if let [slot] = slots {
            match &row[*slot] {
                Value::Int(number) if !self.has_floats => {
                    return self.numbers.insert(*number).then_some(NUMBER_BYTES);
                }
                Value::Float(_) if !self.has_floats => {
                    self.has_floats = true;
                    for number in std::mem::take(&mut self.numbers) {
                        let row: Box<[Value]> = Box::new([Value::Int(number)]);
                        self.rows.insert_unique(hash(&row), row, |known| hash(known));
                    }
                }
                _ => {}
            }
        }
        self.row.clear();
        self.row.extend(slots.iter().map(|slot| row[*slot].clone()));
        let (hashed, row) = (hash(&self.row), &self.row);
        if self.rows.find(hashed, |known| KeyRef(known) == KeyRef(row)).is_some() {
            return None;
        }
        let bytes = row.iter().map(memory).sum::<usize>() + 16;
        self.rows.insert_unique(hashed, row.as_slice().into(), |known| hash(known));
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_met_again_whatever_their_kind() {
        let mut seen = Seen::default();
        let mut is_new = |value: Value| seen.add(&[1], &[Value::Null, value]).is_some();
        for n in 0..1000 {
            assert!(is_new(Value::Int(n)));
            assert!(!is_new(Value::Int(n)));
        }
        assert!(is_new(Value::string("7")) && is_new(Value::Null));
        assert!(is_new(Value::Float(0.5)));
        assert!(!is_new(Value::Float(7.0)) && !is_new(Value::Int(8)) && !is_new(Value::Float(0.5)));
        assert!(is_new(Value::Int(1000)));
        assert!(!is_new(Value::Float(1000.0)) && !is_new(Value::string("7")) && !is_new(Value::Null));
    }
}
