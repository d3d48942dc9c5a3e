//! Rows out of an index, of vertices or of edges.

use super::{BATCH, Machine, State};
use crate::error::CypherError;
use crate::plan::{Bounds, OpId, Slot};
use crate::value::Key;
use mgnode_core::storage::{IndexBounds, IndexCursor, Transaction};
use mgnode_core::types::{EdgeId, IndexSpec, Value, VertexId};
use rustc_hash::FxHashSet;
use smallvec::SmallVec;
use std::ops::Bound;

/// A seek in batches: what was fetched, and where to go on.
pub(crate) struct Seek<Id> {
    batch: Vec<Id>,
    at: usize,
    cursor: IndexCursor<Id>,
    /// What is still to be sought; the last comes first.
    bounds: Vec<IndexBounds>,
}

impl<Id> Default for Seek<Id> {
    fn default() -> Self {
        Seek { batch: Vec::new(), at: 0, cursor: IndexCursor::default(), bounds: Vec::new() }
    }
}

/// What an index is of.
pub(super) trait Indexed: Copy + Sized {
    fn value(self) -> Value;

    /// As [`Transaction::index_find`].
    fn find(tx: &Transaction, index: &IndexSpec, values: &[Value]) -> Option<Option<Self>>;

    /// Fetches a batch.
    fn fetch(
        tx: &Transaction,
        index: &IndexSpec,
        bounds: &IndexBounds,
        cursor: &mut IndexCursor<Self>,
        out: &mut Vec<Self>,
    );

    fn seek_of(state: &mut State) -> Option<&mut Seek<Self>>;

    fn state_of(seek: Seek<Self>) -> State;
}

impl Indexed for VertexId {
    fn value(self) -> Value {
        Value::Vertex(self)
    }

    fn find(tx: &Transaction, index: &IndexSpec, values: &[Value]) -> Option<Option<VertexId>> {
        tx.index_find(index, values)
    }

    fn fetch(
        tx: &Transaction,
        index: &IndexSpec,
        bounds: &IndexBounds,
        cursor: &mut IndexCursor,
        out: &mut Vec<VertexId>,
    ) {
        tx.index_seek(index, bounds, cursor, BATCH, out);
    }

    fn seek_of(state: &mut State) -> Option<&mut Seek<VertexId>> {
        match state {
            State::Seek(seek) => Some(seek),
            _ => None,
        }
    }

    fn state_of(seek: Seek<VertexId>) -> State {
        State::Seek(seek)
    }
}

impl Indexed for EdgeId {
    fn value(self) -> Value {
        Value::Edge(self)
    }

    fn find(tx: &Transaction, index: &IndexSpec, values: &[Value]) -> Option<Option<EdgeId>> {
        tx.edge_index_find(index, values)
    }

    fn fetch(
        tx: &Transaction,
        index: &IndexSpec,
        bounds: &IndexBounds,
        cursor: &mut IndexCursor<EdgeId>,
        out: &mut Vec<EdgeId>,
    ) {
        tx.edge_index_seek(index, bounds, cursor, BATCH, out);
    }

    fn seek_of(state: &mut State) -> Option<&mut Seek<EdgeId>> {
        match state {
            State::EdgeSeek(seek) => Some(seek),
            _ => None,
        }
    }

    fn state_of(seek: Seek<EdgeId>) -> State {
        State::EdgeSeek(seek)
    }
}

impl<'a> Machine<'a> {
    pub(super) fn seek<Id: Indexed>(
        &mut self,
        id: OpId,
        input: OpId,
        slot: Slot,
        index: &IndexSpec,
        bounds: &'a Bounds,
    ) -> Result<bool, CypherError> {
        loop {
            if let Some(seek) = Id::seek_of(&mut self.states[id]) {
                if let Some(found) = seek.batch.get(seek.at) {
                    seek.at += 1;
                    self.row[slot] = found.value();
                    return Ok(true);
                }
                seek.batch.clear();
                seek.at = 0;
                if let Some(bounds) = seek.bounds.last() {
                    self.run.tick()?;
                    Id::fetch(self.tx, index, bounds, &mut seek.cursor, &mut seek.batch);
                    if seek.batch.len() < BATCH {
                        seek.bounds.pop();
                        seek.cursor = IndexCursor::default();
                    }
                    continue;
                }
            }
            if !self.next(input)? {
                return Ok(false);
            }
            let bounds = if bounds.is_equality() {
                let Some(values) = self.equal_values(bounds)? else { continue };
                match Id::find(self.tx, index, &values) {
                    Some(Some(found)) => {
                        self.row[slot] = found.value();
                        return Ok(true);
                    }
                    Some(None) => {
                        self.run.tick()?;
                        continue;
                    }
                    None => vec![IndexBounds::equal(values.into_vec())],
                }
            } else {
                self.bounds(bounds)?
            };
            // The batch's memory is kept from one row to the next.
            let mut seek = Id::seek_of(&mut self.states[id]).map(std::mem::take).unwrap_or_default();
            seek.bounds = bounds;
            self.states[id] = Id::state_of(seek);
        }
    }

    /// Evaluates what the first properties of an index equal; None where one of them is Null, which nothing equals.
    fn equal_values(&mut self, b: &'a Bounds) -> Result<Option<SmallVec<[Value; 1]>>, CypherError> {
        let mut equal = SmallVec::with_capacity(b.equal.len());
        for expr in &b.equal {
            let v = self.eval(expr)?;
            if v.is_null() {
                return Ok(None);
            }
            equal.push(v);
        }
        Ok(Some(equal))
    }

    /// Evaluates the bounds of a seek; the last is sought first.
    fn bounds(&mut self, b: &'a Bounds) -> Result<Vec<IndexBounds>, CypherError> {
        if let Some(list) = &b.any_of {
            return Ok(match self.eval(list)? {
                Value::List(items) => {
                    let mut seen = FxHashSet::default();
                    items
                        .iter()
                        .rev()
                        .filter(|v| !v.is_null() && seen.insert(Key(Box::new([(*v).clone()]))))
                        .map(|v| IndexBounds::equal(vec![v.clone()]))
                        .collect()
                }
                _ => Vec::new(),
            });
        }
        let Some(equal) = self.equal_values(b)? else { return Ok(Vec::new()) };
        let mut range = (Bound::Unbounded, Bound::Unbounded);
        if let Some(prefix) = &b.prefix {
            let Value::String(text) = self.eval(prefix)? else { return Ok(Vec::new()) };
            range = (Bound::Included(Value::String(text.clone())), prefix_end(&text));
        }
        for (side, bound) in [(&mut range.0, &b.from), (&mut range.1, &b.to)] {
            if let Some((expr, inclusive)) = bound {
                let v = self.eval(expr)?;
                if v.is_null() {
                    return Ok(Vec::new());
                }
                *side = if *inclusive { Bound::Included(v) } else { Bound::Excluded(v) };
            }
        }
        Ok(vec![IndexBounds { equal: equal.into_vec(), range }])
    }
}

/// Returns the end of the strings that start with `text`.
fn prefix_end(text: &str) -> Bound<Value> {
    let mut chars: Vec<char> = text.chars().collect();
    while let Some(last) = chars.pop() {
        // The next character, past the gap of the surrogates.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            other => char::from_u32(other as u32 + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Bound::Excluded(Value::string(chars.into_iter().collect::<String>()));
        }
    }
    Bound::Unbounded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_before_the_next_string() {
        assert_eq!(prefix_end("ab"), Bound::Excluded(Value::string("ac")));
        assert_eq!(prefix_end("a\u{10ffff}"), Bound::Excluded(Value::string("b")));
        assert_eq!(prefix_end(""), Bound::Unbounded);
        assert_eq!(prefix_end("\u{d7ff}"), Bound::Excluded(Value::string("\u{e000}")));
    }
}
