//! Scans: vertices in batches, with the properties that are read together with them.

use super::{Machine, State};
use crate::error::CypherError;
use crate::plan::{Expr, KeyName, LabelRef, Op, OpId, Slot};
use crate::value::equal;
use mgnode_core::storage::Wanted;
use mgnode_core::types::{Names, PropertyKeyId, Value, VertexId};
use smallvec::SmallVec;

/// How many bytes of properties a scan reads ahead, one vertex's more.
const COLUMNS_BYTES: usize = 64 << 10;

/// A scan in batches: what was fetched, and where to go on.
#[derive(Default)]
pub(crate) struct Scan {
    pub(super) batch: Vec<VertexId>,
    /// Of the vertices of the batch, one after the other, those of `columns`.
    pub(super) values: Vec<Value>,
    pub(super) columns: Columns,
    at: usize,
    last: Option<VertexId>,
    end: bool,
}

/// What is read with each vertex.
#[derive(Default)]
pub(super) struct Columns {
    /// Keys that rise; one that nobody knows is left out, and its slot stays as it is.
    keys: SmallVec<[PropertyKeyId; 4]>,
    pub(super) slots: SmallVec<[Slot; 4]>,
}

impl Columns {
    fn find(&mut self, columns: &[(KeyName, Slot)], names: &Names) {
        if self.keys.len() < columns.len() {
            let mut known: SmallVec<[(PropertyKeyId, Slot); 4]> =
                columns.iter().filter_map(|(key, slot)| Some((key.find(names)?, *slot))).collect();
            known.sort_unstable();
            (self.keys, self.slots) = known.into_iter().unzip();
        }
    }
}

/// What a scan operator says.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) input: OpId,
    pub(super) slot: Slot,
    label: Option<&'a LabelRef>,
    columns: &'a [(KeyName, Slot)],
}

impl<'a> Source<'a> {
    /// None where the operator is no scan.
    pub(super) fn of(op: &'a Op) -> Option<Source<'a>> {
        match op {
            Op::AllNodes { input, slot, columns } => {
                Some(Source { input: *input, slot: *slot, label: None, columns })
            }
            Op::LabelScan { input, slot, label, columns } => {
                Some(Source { input: *input, slot: *slot, label: Some(label), columns })
            }
            _ => None,
        }
    }

    /// Whether it yields every vertex.
    pub(super) fn is_everything(&self) -> bool {
        self.label.is_none()
    }
}

/// Where a batch has a value.
#[derive(Clone, Copy)]
pub(super) enum Place<'v> {
    /// A property, by its place among those that were read.
    Column(usize),
    /// The vertex itself.
    Vertex,
    /// The same for all.
    Value(&'v Value),
}

impl Scan {
    /// Reads the next batch of at most so many vertices; false at the end.
    pub(super) fn fetch(&mut self, m: &Machine<'_>, source: &Source<'_>, vertices_max: usize) -> bool {
        self.batch.clear();
        self.values.clear();
        self.at = 0;
        if self.end {
            return false;
        }
        let names = m.tx.names();
        // Looked up for each batch: what runs before the scan may be the first to use the label.
        let label = match source.label.map(|label| label.find(names)) {
            Some(None) => return false,
            Some(label) => label,
            None => None,
        };
        self.columns.find(source.columns, names);
        let wanted = Wanted { label, keys: &self.columns.keys, vertices_max, bytes_max: COLUMNS_BYTES };
        self.end = !m.tx.scan_properties(&wanted, self.last, &mut self.batch, &mut self.values);
        self.last = self.batch.last().copied();
        !self.batch.is_empty()
    }

    /// Says where a batch has what an expression gives; None where it must be worked out.
    pub(super) fn place<'v>(
        &self,
        e: &'v Expr,
        source: &Source<'_>,
        row: &'v [Value],
        params: &'v [Value],
    ) -> Option<Place<'v>> {
        match e {
            Expr::Const(v) => Some(Place::Value(v)),
            Expr::Param(i) => Some(Place::Value(&params[*i])),
            Expr::Slot(slot) if *slot == source.slot => Some(Place::Vertex),
            Expr::Slot(slot) => Some(match self.columns.slots.iter().position(|column| column == slot) {
                Some(column) => Place::Column(column),
                None => Place::Value(&row[*slot]),
            }),
            _ => None,
        }
    }

    /// Looks at what one vertex of the batch has at a place.
    #[inline]
    pub(super) fn see<R>(&self, place: Place<'_>, at: usize, look: impl FnOnce(&Value) -> R) -> R {
        match place {
            Place::Column(column) => look(&self.values[at * self.columns.slots.len() + column]),
            Place::Vertex => look(&Value::Vertex(self.batch[at])),
            Place::Value(v) => look(v),
        }
    }

    /// Puts one vertex of the batch and its properties into their slots, and keeps them.
    pub(super) fn show(&self, at: usize, source: &Source<'_>, row: &mut [Value]) {
        let values = &self.values[at * self.columns.slots.len()..];
        for (slot, value) in self.columns.slots.iter().zip(values) {
            row[*slot] = value.clone();
        }
        row[source.slot] = Value::Vertex(self.batch[at]);
    }

    /// Moves the properties of one vertex of the batch into their slots.
    fn put(&mut self, at: usize, row: &mut [Value]) {
        let values = &mut self.values[at * self.columns.slots.len()..];
        for (slot, value) in self.columns.slots.iter().zip(values) {
            row[*slot] = std::mem::take(value);
        }
    }
}

/// Returns the vertex whose `id()` would equal a value, whether there is one or not.
pub(super) fn id_of(value: &Value) -> Option<VertexId> {
    let id = match value {
        Value::Int(n) => *n,
        Value::Float(f) => *f as i64,
        _ => return None,
    };
    let id = u64::try_from(id).ok()?;
    (equal(value, &Value::Int(id as i64)) == Some(true)).then_some(VertexId(id))
}

impl<'a> Machine<'a> {
    /// Makes the next row of a scan.
    pub(super) fn scan(&mut self, id: OpId) -> Result<bool, CypherError> {
        let plan = self.plan;
        let source = Source::of(&plan.ops[id]).expect("called for a scan");
        loop {
            if let State::Scan(scan) = &mut self.states[id] {
                if let Some(v) = scan.batch.get(scan.at).copied() {
                    scan.put(scan.at, self.row);
                    scan.at += 1;
                    self.row[source.slot] = Value::Vertex(v);
                    return Ok(true);
                }
                self.run.tick()?;
                let State::Scan(mut scan) = std::mem::take(&mut self.states[id]) else {
                    unreachable!("matched above")
                };
                if scan.fetch(self, &source, super::BATCH) {
                    self.states[id] = State::Scan(scan);
                    continue;
                }
            }
            if !self.next(source.input)? {
                return Ok(false);
            }
            self.states[id] = State::Scan(Scan::default());
        }
    }
}
