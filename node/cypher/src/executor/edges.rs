//! Patterns that begin at an edge: which edges an index has, and the ends of one that is bound.

use super::{Machine, State};
use crate::error::CypherError;
use crate::fail;
use crate::plan::{EdgeEnds, OpId, Slot};
use crate::value::{equal, type_name};
use mgnode_core::storage::Direction;
use mgnode_core::types::{Value, VertexId};
use smallvec::SmallVec;

impl<'a> Machine<'a> {
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
