//! Patterns that begin at an edge: which edges an index has, and the ends of one that is bound.

use super::{BATCH, Machine, State};
use crate::error::CypherError;
use crate::fail;
use crate::plan::{Bounds, EdgeEnds, OpId, Slot};
use crate::value::{equal, type_name};
use mgnode_core::storage::{Direction, IndexBounds, IndexCursor};
use mgnode_core::types::{EdgeId, IndexSpec, Value, VertexId};
use smallvec::SmallVec;

/// A seek in batches: what was fetched, and where to go on.
#[derive(Default)]
pub(crate) struct EdgeScan {
    batch: Vec<EdgeId>,
    at: usize,
    cursor: IndexCursor<EdgeId>,
    /// The last is sought first.
    bounds: Vec<IndexBounds>,
}

impl<'a> Machine<'a> {
    pub(super) fn edge_seek(
        &mut self,
        id: OpId,
        input: OpId,
        slot: Slot,
        index: &IndexSpec,
        bounds: &'a Bounds,
    ) -> Result<bool, CypherError> {
        loop {
            if let State::EdgeScan(scan) = &mut self.states[id] {
                if let Some(edge) = scan.batch.get(scan.at) {
                    scan.at += 1;
                    self.row[slot] = Value::Edge(*edge);
                    return Ok(true);
                }
                scan.batch.clear();
                scan.at = 0;
                if let Some(bounds) = scan.bounds.last() {
                    self.run.tick()?;
                    self.tx.edge_index_seek(index, bounds, &mut scan.cursor, BATCH, &mut scan.batch);
                    if scan.batch.len() < BATCH {
                        scan.bounds.pop();
                        scan.cursor = IndexCursor::default();
                    }
                    continue;
                }
            }
            if !self.next(input)? {
                return Ok(false);
            }
            let bounds = self.bounds(bounds)?;
            // The batch's memory is kept from one row to the next.
            let mut scan = match std::mem::take(&mut self.states[id]) {
                State::EdgeScan(scan) => scan,
                _ => EdgeScan::default(),
            };
            scan.bounds = bounds;
            self.states[id] = State::EdgeScan(scan);
        }
    }

    /// Binds or checks the ends of an edge that is bound.
    pub(super) fn edge_ends(&mut self, id: OpId, input: OpId, e: &'a EdgeEnds) -> Result<bool, CypherError> {
        loop {
            // The second way to read an edge without direction.
            if let State::SecondWay(from, to) = std::mem::take(&mut self.states[id])
                && self.bind_ends(e, from, to)
            {
                return Ok(true);
            }
            if !self.next(input)? {
                return Ok(false);
            }
            self.run.tick()?;
            let edge = match &self.row[e.edge] {
                Value::Edge(edge) => *edge,
                Value::Null => continue,
                other => {
                    return Err(fail::types(format!(
                        "a pattern follows relationships, not {}",
                        type_name(other)
                    )));
                }
            };
            let Some(info) = self.tx.edge(edge) else { continue };
            let others: SmallVec<[Slot; 4]> = e.others.iter().copied().filter(|s| *s != e.edge).collect();
            if self.is_taken(edge, &others) {
                continue;
            }
            match self.types(&e.types) {
                Some(types) if types.is_empty() || types.contains(&info.edge_type) => {}
                _ => continue,
            }
            let (from, to) = match e.direction {
                Direction::Outgoing | Direction::Both => (info.from, info.to),
                Direction::Incoming => (info.to, info.from),
            };
            if e.direction == Direction::Both && from != to {
                self.states[id] = State::SecondWay(to, from);
            }
            if self.bind_ends(e, from, to) {
                return Ok(true);
            }
        }
    }

    fn bind_ends(&mut self, e: &EdgeEnds, from: VertexId, to: VertexId) -> bool {
        let (from, to) = (Value::Vertex(from), Value::Vertex(to));
        if e.from_bound && equal(&self.row[e.from], &from) != Some(true) {
            return false;
        }
        // A loop pattern `(a)-[r]-(a)` names one slot for both ends.
        if !e.from_bound {
            self.row[e.from] = from;
        }
        if (e.to_bound || e.from == e.to) && equal(&self.row[e.to], &to) != Some(true) {
            return false;
        }
        if !e.to_bound {
            self.row[e.to] = to;
        }
        true
    }
}
