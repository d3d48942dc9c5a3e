//! Runs a plan: rows are pulled through the operators one at a time.
//!
//! A [`Machine`] is borrowed together for each pull from the [`Execution`](crate::Execution) that
//! owns the registers and the operators' states. Every operator that can go on for long without
//! yielding a row calls [`Runtime::tick`], so that a query can be stopped at any time, and every
//! operator that holds rows accounts for them with [`Runtime::hold`].

mod aggregate;
mod batches;
mod edges;
mod eval;
mod load_csv;
mod rows;
mod runtime;
mod scan;
mod seek;
mod seen;
mod walk;
mod write;

pub use batches::Commits;
pub use load_csv::Import;
pub(crate) use runtime::Measured;
pub use runtime::{Counters, Limits, MemoryPool, Runtime, Taken};

use crate::error::{CypherError, placed};
use crate::fail;
use crate::functions::list::Steps;
use crate::plan::{Expand, Expr, Inner, Op, OpId, Plan, Slot};
use crate::value::{KeyRef, memory, orderable, type_name};
use mgnode_core::storage::{Expansion, Transaction};
use mgnode_core::types::{EdgeId, EdgeTypeId, Value, VertexId};
use rows::Rows;
use rustc_hash::{FxHashSet, FxHasher};
use seek::Seek;
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// How many vertices a scan fetches at once.
const BATCH: usize = 128;

/// What it takes to remember a vertex.
const GIVEN_BYTES: usize = 16;

/// What an operator remembers between two rows.
#[derive(Default)]
pub(crate) enum State {
    /// It has not been asked yet.
    #[default]
    Fresh,
    Done,
    /// It goes on with its input.
    Running,
    /// An inner plan is at work, and holds so many bytes.
    Inside(usize),
    Scan(scan::Scan),
    Seek(Seek<VertexId>),
    EdgeSeek(Seek<EdgeId>),
    /// An edge without direction is to be read from the first vertex to the second, too.
    SecondWay(VertexId, VertexId),
    Expand {
        hits: Vec<Expansion>,
        at: usize,
        /// Vertices that were given out, where each is wanted once.
        given: FxHashSet<VertexId>,
    },
    Walk(Box<walk::Walk>),
    Paths(std::vec::IntoIter<walk::Found>),
    Rows(Rows),
    /// What `MERGE` has found, and how many bytes that takes.
    Merged(Rows, usize),
    Unwind {
        list: Arc<Vec<Value>>,
        at: usize,
    },
    Steps(Steps),
    Distinct(seen::Seen),
    Left(u64),
    Part(usize),
    Table {
        rows: std::vec::IntoIter<Vec<Value>>,
    },
    Csv(Box<load_csv::CsvScan>),
    Batch(batches::Batch),
}

fn hash(key: &[Value]) -> u64 {
    let mut hasher = FxHasher::default();
    KeyRef(key).hash(&mut hasher);
    hasher.finish()
}

/// A row that is sorted: its keys, and what is kept of it.
type Sorted = (Box<[Value]>, Box<[Value]>);

/// Everything that running needs, borrowed for one pull.
pub(crate) struct Machine<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) row: &'a mut [Value],
    pub(crate) states: &'a mut [State],
    pub(crate) params: &'a [Value],
    pub(crate) run: &'a mut Runtime,
    pub(crate) tx: &'a mut Transaction,
}

impl<'a> Machine<'a> {
    /// Makes the next row of an operator in the registers. False at the end.
    #[inline(always)]
    pub(crate) fn next(&mut self, id: OpId) -> Result<bool, CypherError> {
        match if self.run.profile.is_none() { self.step(id) } else { self.measured(id) } {
            Ok(made) => Ok(made),
            Err(error) => Err(self.located(error, id)),
        }
    }

    /// Says where in the query an operator failed. The innermost is asked first: what it says stands.
    #[cold]
    #[inline(never)]
    fn located(&self, error: CypherError, id: OpId) -> CypherError {
        error.failed_at(self.plan.spans[id]).located(&self.plan.text)
    }

    /// As [`Self::next`], for `PROFILE`.
    #[cold]
    #[inline(never)]
    fn measured(&mut self, id: OpId) -> Result<bool, CypherError> {
        let profile = self.run.profile.as_mut().expect("looked at by the caller");
        if !profile.of[id].is_shown {
            return self.step(id);
        }
        profile.of[id].hits += 1;
        let below = std::mem::take(&mut profile.below);
        let began = (profile.clock)();
        let made = self.step(id);
        let profile = self.run.profile.as_mut().expect("nobody takes it away");
        let took = (profile.clock)().saturating_sub(began);
        profile.of[id].own += took.saturating_sub(profile.below);
        profile.below = below + took;
        made
    }

    fn step(&mut self, id: OpId) -> Result<bool, CypherError> {
        let plan = self.plan;
        match &plan.ops[id] {
            Op::Argument => {
                let fresh = matches!(self.states[id], State::Fresh);
                self.states[id] = State::Done;
                Ok(fresh)
            }
            Op::Nothing => Ok(false),
            Op::Pass { input } => self.next(*input),
            Op::AllNodes { .. } | Op::LabelScan { .. } => self.scan(id),
            Op::IndexSeek { input, slot, index, bounds } => {
                self.seek::<VertexId>(id, *input, *slot, index, bounds)
            }
            Op::EdgeSeek { input, slot, index, bounds } => {
                self.seek::<EdgeId>(id, *input, *slot, index, bounds)
            }
            Op::NodeById { input, slot, id: expr } => {
                while self.next(*input)? {
                    if let Some(id) = scan::id_of(&self.eval(expr)?)
                        && self.tx.vertex_exists(id)
                    {
                        self.row[*slot] = Value::Vertex(id);
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Op::Expand(e) => self.expand(id, e),
            Op::VarExpand(e) => self.var_expand(id, e),
            Op::Shortest(e) => self.shortest(id, e),
            Op::EdgeEnds { input, expand } => self.edge_ends(id, *input, expand),
            Op::Filter { input, predicate } => {
                while self.next(*input)? {
                    if self.test(predicate)? {
                        return Ok(true);
                    }
                    self.run.tick()?;
                }
                Ok(false)
            }
            Op::Project { input, items, spans } => {
                if !self.next(*input)? {
                    return Ok(false);
                }
                for (i, (expr, slot)) in items.iter().enumerate() {
                    self.row[*slot] = placed(self.eval(expr), spans[i])?;
                }
                Ok(true)
            }
            Op::NamedPath { input, slot, parts } => {
                if !self.next(*input)? {
                    return Ok(false);
                }
                self.row[*slot] = self.path(parts)?;
                Ok(true)
            }
            Op::Optional { input, inner, nulls } => {
                if let State::Inside(mut held) = self.states[id] {
                    if self.next_within(inner, &mut held)? {
                        self.states[id] = State::Inside(held);
                        return Ok(true);
                    }
                    self.states[id] = State::Fresh;
                    self.leave(inner, held);
                }
                if !self.next(*input)? {
                    return Ok(false);
                }
                self.reset(inner);
                let mut held = 0;
                if self.next_within(inner, &mut held)? {
                    self.states[id] = State::Inside(held);
                } else {
                    self.leave(inner, held);
                    for slot in nulls {
                        self.row[*slot] = Value::Null;
                    }
                }
                Ok(true)
            }
            Op::Apply { input, inner } => loop {
                if let State::Inside(mut held) = self.states[id] {
                    if self.next_within(inner, &mut held)? {
                        self.states[id] = State::Inside(held);
                        return Ok(true);
                    }
                    self.states[id] = State::Fresh;
                    self.leave(inner, held);
                }
                if !self.next(*input)? {
                    return Ok(false);
                }
                self.run.tick()?;
                self.reset(inner);
                self.states[id] = State::Inside(0);
            },
            Op::ForEffect { input, inner } => {
                if !self.next(*input)? {
                    return Ok(false);
                }
                self.exhaust(inner)?;
                Ok(true)
            }
            Op::Unwind { input, list, slot } => loop {
                if let State::Unwind { list, at } = &mut self.states[id] {
                    if let Some(v) = list.get(*at) {
                        *at += 1;
                        self.row[*slot] = v.clone();
                        self.run.tick()?;
                        return Ok(true);
                    }
                    self.states[id] = State::Fresh;
                }
                if let State::Steps(steps) = &mut self.states[id] {
                    if let Some(n) = steps.next() {
                        self.row[*slot] = Value::Int(n);
                        self.run.tick()?;
                        return Ok(true);
                    }
                    self.states[id] = State::Fresh;
                }
                if !self.next(*input)? {
                    return Ok(false);
                }
                if let Expr::Call(function, args, _) = list
                    && function.is_range()
                {
                    // Counted as it goes: it may be longer than memory.
                    let args =
                        args.iter().map(|arg| self.eval(arg)).collect::<Result<SmallVec<[_; 3]>, _>>()?;
                    if !args.iter().any(Value::is_null) {
                        self.states[id] = State::Steps(Steps::of(&args)?);
                    }
                    continue;
                }
                let list = match self.eval(list)? {
                    Value::List(list) => list,
                    Value::Null => continue,
                    other => Arc::new(vec![other]),
                };
                self.states[id] = State::Unwind { list, at: 0 };
            },
            Op::Aggregate { .. } => self.aggregate(id),
            Op::Distinct { input, slots } => {
                if matches!(self.states[id], State::Fresh) {
                    self.states[id] = State::Distinct(seen::Seen::default());
                }
                while self.next(*input)? {
                    self.run.tick()?;
                    let State::Distinct(seen) = &mut self.states[id] else { unreachable!("set above") };
                    if let Some(bytes) = seen.add(slots, self.row) {
                        self.run.hold(bytes)?;
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Op::Sort { .. } => self.sort(id),
            Op::Skip { input, count } => {
                if matches!(self.states[id], State::Fresh) {
                    let mut left = self.count(count, "SKIP")?;
                    while left > 0 && self.next(*input)? {
                        self.run.tick()?;
                        left -= 1;
                    }
                    self.states[id] = State::Running;
                    if left > 0 {
                        return Ok(false);
                    }
                }
                self.next(*input)
            }
            Op::Limit { input, count, drains } => {
                if matches!(self.states[id], State::Fresh) {
                    self.states[id] = State::Left(self.count(count, "LIMIT")?);
                }
                match &mut self.states[id] {
                    State::Left(0) => {
                        self.states[id] = State::Done;
                        if *drains { self.none(*input) } else { Ok(false) }
                    }
                    State::Left(left) => {
                        *left -= 1;
                        self.next(*input)
                    }
                    _ => Ok(false),
                }
            }
            Op::Eager { input, saved } => {
                if matches!(self.states[id], State::Fresh) {
                    let rows = self.save_all(*input, saved)?;
                    self.states[id] = State::Rows(rows);
                }
                self.restore(id, saved)
            }
            Op::Union { parts, slots } => {
                if matches!(self.states[id], State::Fresh) {
                    self.states[id] = State::Part(0);
                }
                loop {
                    let State::Part(part) = self.states[id] else { unreachable!("set above") };
                    let Some((root, from)) = parts.get(part) else { return Ok(false) };
                    if self.next(*root)? {
                        for (from, to) in from.iter().zip(slots) {
                            self.row[*to] = self.row[*from].clone();
                        }
                        return Ok(true);
                    }
                    self.states[id] = State::Part(part + 1);
                }
            }
            Op::Create { input, items } => {
                if !self.next(*input)? {
                    return Ok(false);
                }
                self.run.tick()?;
                self.create(items)?;
                Ok(true)
            }
            Op::Merge(merge) => self.merge(id, merge),
            Op::Set { input, items } => {
                if !self.next(*input)? {
                    return Ok(false);
                }
                self.run.tick()?;
                self.set(items)?;
                Ok(true)
            }
            Op::Delete { input, targets, detach, saved } => {
                if matches!(self.states[id], State::Fresh) {
                    let rows = self.delete(*input, targets, *detach, saved)?;
                    self.states[id] = State::Rows(rows);
                }
                self.restore(id, saved)
            }
            Op::Foreach { input, slot, list, inner } => {
                if !self.next(*input)? {
                    return Ok(false);
                }
                let list = match self.eval(list)? {
                    Value::List(list) => list,
                    Value::Null => return Ok(true),
                    other => {
                        return Err(fail::types(format!(
                            "`FOREACH` takes a list, not {}",
                            type_name(&other)
                        )));
                    }
                };
                for v in list.iter() {
                    self.run.tick()?;
                    self.row[*slot] = v.clone();
                    self.exhaust(inner)?;
                }
                Ok(true)
            }
            Op::Call { input, name, args, outputs, has_fields } => {
                self.call(id, *input, name, args, outputs, *has_fields)
            }
            Op::LoadCsv(csv) => self.load_csv(id, csv),
            Op::CommitEach { input, rows } => self.commit_each(id, *input, rows),
            Op::InTransactions(call) => self.in_transactions(id, call),
            Op::Drain { input } => {
                while self.next(*input)? {
                    self.run.tick()?;
                }
                Ok(false)
            }
        }
    }

    /// Forgets what the operators of an inner plan remember.
    pub(crate) fn reset(&mut self, inner: &Inner) {
        for state in &mut self.states[inner.ops.clone()] {
            *state = State::Fresh;
        }
    }

    /// Makes the next row of an inner plan, and adds to `held` what it came to hold for that.
    fn next_within(&mut self, inner: &Inner, held: &mut usize) -> Result<bool, CypherError> {
        let before = self.run.held();
        let made = self.next(inner.root);
        *held = (*held + self.run.held()).saturating_sub(before);
        made
    }

    /// Forgets what an inner plan that has ended kept, and that it was accounted for: a query of many rows would else
    /// seem to hold all of it.
    fn leave(&mut self, inner: &Inner, held: usize) {
        if held > 0 {
            self.reset(inner);
            self.run.release(held);
        }
    }

    /// Runs an inner plan to its end.
    fn exhaust(&mut self, inner: &Inner) -> Result<(), CypherError> {
        self.reset(inner);
        let before = self.run.held();
        while self.next(inner.root)? {
            self.run.tick()?;
        }
        self.leave(inner, self.run.held().saturating_sub(before));
        Ok(())
    }

    /// Takes the input to its end, for what it writes, and yields nothing.
    fn none(&mut self, input: OpId) -> Result<bool, CypherError> {
        while self.next(input)? {
            self.run.tick()?;
        }
        Ok(false)
    }

    /// Evaluates the number of a `SKIP` or `LIMIT`.
    fn count(&mut self, expr: &'a crate::plan::Expr, word: &str) -> Result<u64, CypherError> {
        match self.eval(expr)? {
            Value::Int(n) => u64::try_from(n).map_err(|_| {
                CypherError::runtime(
                    crate::error::ErrorKind::SyntaxError,
                    "NegativeIntegerArgument",
                    format!("`{word}` takes no negative number, such as {n}"),
                )
            }),
            other => Err(CypherError::runtime(
                crate::error::ErrorKind::SyntaxError,
                "InvalidArgumentType",
                format!("`{word}` takes an integer, not {}", type_name(&other)),
            )),
        }
    }

    // ------------------------------------------------------------------------------------ scans

    // ---------------------------------------------------------------------------------- expands

    /// Returns the vertex in a slot; None for Null.
    pub(crate) fn vertex(&self, slot: Slot) -> Result<Option<VertexId>, CypherError> {
        match &self.row[slot] {
            Value::Vertex(v) => Ok(Some(*v)),
            Value::Null => Ok(None),
            other => Err(fail::types(format!("a pattern begins at nodes, not at {}", type_name(other)))),
        }
    }

    /// Returns the ids of types; None where types are asked for and none of them exists.
    pub(crate) fn types(&self, types: &[crate::plan::TypeRef]) -> Option<SmallVec<[EdgeTypeId; 4]>> {
        let names = self.tx.names();
        let found: SmallVec<[EdgeTypeId; 4]> = types.iter().filter_map(|t| t.find(names)).collect();
        (types.is_empty() || !found.is_empty()).then_some(found)
    }

    /// Whether an edge is bound already in the same `MATCH`.
    pub(crate) fn is_taken(&self, edge: EdgeId, others: &[Slot]) -> bool {
        others.iter().any(|slot| match &self.row[*slot] {
            Value::Edge(e) => *e == edge,
            Value::List(items) => items.iter().any(|v| matches!(v, Value::Edge(e) if *e == edge)),
            _ => false,
        })
    }

    /// Returns the edges that are bound already in the same `MATCH`.
    fn taken(&self, others: &[Slot]) -> SmallVec<[EdgeId; 8]> {
        let mut taken = SmallVec::new();
        for slot in others {
            match &self.row[*slot] {
                Value::Edge(edge) => taken.push(*edge),
                Value::List(items) => taken.extend(items.iter().filter_map(|item| match item {
                    Value::Edge(edge) => Some(*edge),
                    _ => None,
                })),
                _ => {}
            }
        }
        taken
    }

    fn expand(&mut self, id: OpId, e: &'a Expand) -> Result<bool, CypherError> {
        loop {
            if let State::Expand { hits, at, .. } = &mut self.states[id]
                && let Some((edge, _, other, _)) = hits.get(*at)
            {
                *at += 1;
                self.row[e.edge] = Value::Edge(*edge);
                if !e.into {
                    self.row[e.to] = Value::Vertex(*other);
                }
                return Ok(true);
            }
            // Both at once: no other row may come between them.
            if !self.next(e.input)? {
                self.states[id] = State::Fresh;
                return Ok(false);
            }
            self.run.tick()?;
            // Their memory is kept from one row to the next, and what was given out is known to all of them.
            let (mut hits, mut given) = match std::mem::take(&mut self.states[id]) {
                State::Expand { mut hits, given, .. } => {
                    hits.clear();
                    (hits, given)
                }
                _ => Default::default(),
            };
            let from = self.vertex(e.from)?;
            let target = if e.into && from.is_some() { Some(self.vertex(e.to)?) } else { None };
            if let Some(from) = from
                && target != Some(None)
                && let Some(types) = self.types(&e.types)
            {
                let types = (!e.types.is_empty()).then_some(&types[..]);
                let target = target.flatten();
                let taken = self.taken(&e.others);
                let is_wanted = |edge, other| {
                    target.is_none_or(|target| target == other)
                        && !taken.contains(&edge)
                        && (!e.once || given.insert(other))
                };
                self.tx.expand_where(from, e.direction, types, is_wanted, &mut hits);
                if e.once {
                    self.run.hold(hits.len() * GIVEN_BYTES)?;
                }
            }
            self.states[id] = State::Expand { hits, at: 0, given };
        }
    }

    // ------------------------------------------------------------------- operators that hold rows

    /// Takes the input to its end and keeps the slots of each row.
    fn save_all(&mut self, input: OpId, saved: &[Slot]) -> Result<Rows, CypherError> {
        let mut rows = Rows::new(saved.len());
        while self.next(input)? {
            self.run.tick()?;
            let bytes = rows.push(saved.iter().map(|s| self.row[*s].clone()));
            self.run.hold(bytes)?;
        }
        Ok(rows)
    }

    /// Puts the next kept row back into its slots.
    fn restore(&mut self, id: OpId, saved: &[Slot]) -> Result<bool, CypherError> {
        let State::Rows(rows) = &mut self.states[id] else { unreachable!("the caller has made it") };
        let Some(row) = rows.take() else { return Ok(false) };
        for (slot, v) in saved.iter().zip(row) {
            self.row[*slot] = std::mem::take(v);
        }
        Ok(true)
    }

    fn sort(&mut self, id: OpId) -> Result<bool, CypherError> {
        let plan = self.plan;
        let Op::Sort { input, keys, saved, top, spans } = &plan.ops[id] else {
            unreachable!("called for it")
        };
        if matches!(self.states[id], State::Fresh) {
            let mut top_rows = None;
            for (i, expr) in top.iter().enumerate() {
                // Skip and limit together; the words are only for the message.
                let n = self.count(expr, if i + 1 == top.len() { "LIMIT" } else { "SKIP" });
                let n = placed(n, spans[keys.len() + i])?;
                top_rows =
                    Some(usize::try_from(n).unwrap_or(usize::MAX).saturating_add(top_rows.unwrap_or(0)));
            }
            let compare = |a: &Sorted, b: &Sorted| {
                for ((x, y), (_, descending)) in a.0.iter().zip(b.0.iter()).zip(keys) {
                    let order = orderable(x, y);
                    if order != Ordering::Equal {
                        return if *descending { order.reverse() } else { order };
                    }
                }
                Ordering::Equal
            };
            let mut rows: Vec<Sorted> = Vec::new();
            let size = |(key, row): &Sorted| key.iter().chain(row.iter()).map(memory).sum::<usize>() + 32;
            let mut bytes = 0;
            while self.next(*input)? {
                self.run.tick()?;
                let mut key = Vec::with_capacity(keys.len());
                for (i, (expr, _)) in keys.iter().enumerate() {
                    key.push(placed(self.eval(expr), spans[i])?);
                }
                let row = saved.iter().map(|s| self.row[*s].clone()).collect();
                rows.push((key.into_boxed_slice(), row));
                bytes += rows.last().map_or(0, size);
                self.run.require(bytes)?;
                // A stable cut keeps the first rows among equals.
                if let Some(n) = top_rows
                    && rows.len() >= n.saturating_mul(2).max(1024)
                {
                    rows.sort_by(compare);
                    rows.truncate(n);
                    bytes = rows.iter().map(size).sum();
                }
            }
            self.run.hold(bytes)?;
            rows.sort_by(compare);
            rows.truncate(top_rows.unwrap_or(usize::MAX));
            let mut kept = Rows::new(saved.len());
            for (_, row) in rows {
                kept.push(row);
            }
            self.states[id] = State::Rows(kept);
        }
        self.restore(id, saved)
    }

    fn call(
        &mut self,
        id: OpId,
        input: OpId,
        name: &str,
        args: &'a [crate::plan::Expr],
        outputs: &[(usize, Slot)],
        has_fields: bool,
    ) -> Result<bool, CypherError> {
        loop {
            if let State::Table { rows } = &mut self.states[id] {
                if let Some(fields) = rows.next() {
                    for (field, slot) in outputs {
                        self.row[*slot] = fields.get(*field).cloned().unwrap_or_default();
                    }
                    return Ok(true);
                }
                self.states[id] = State::Fresh;
            }
            if !self.next(input)? {
                return Ok(false);
            }
            self.run.tick()?;
            let mut values = Vec::with_capacity(args.len());
            for arg in args {
                values.push(self.eval(arg)?);
            }
            let procedures = self.run.procedures.clone();
            let run = &mut *self.run;
            let rows = procedures.call(name, &values, self.tx, &mut || run.check_cancelled())?;
            if !has_fields {
                return Ok(true);
            }
            self.states[id] = State::Table { rows: rows.into_iter() };
        }
    }
}
