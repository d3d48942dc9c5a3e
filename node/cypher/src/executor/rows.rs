//! Rows held back, side by side in one allocation.

use crate::value::memory;
use mgnode_core::types::Value;

/// Rows of equal width, taken out in the order they were put in.
pub(crate) struct Rows {
    cells: Vec<Value>,
    width: usize,
    /// Counted apart, since a row may have no cells.
    count: usize,
    taken: usize,
}

impl Rows {
    pub(crate) fn new(width: usize) -> Rows {
        Rows { cells: Vec::new(), width, count: 0, taken: 0 }
    }

    /// Keeps a row and returns about how many bytes that takes.
    pub(crate) fn push(&mut self, row: impl IntoIterator<Item = Value>) -> usize {
        let before = self.cells.len();
        self.cells.extend(row);
        debug_assert_eq!(self.cells.len(), before + self.width);
        self.count += 1;
        self.cells[before..].iter().map(memory).sum()
    }

    /// Returns the next row, to be moved out.
    pub(crate) fn take(&mut self) -> Option<&mut [Value]> {
        if self.taken == self.count {
            return None;
        }
        let from = self.taken * self.width;
        self.taken += 1;
        Some(&mut self.cells[from..from + self.width])
    }
}
