//! Aggregates: rows into groups.
//!
//! Rows come one by one from the operator below. Where only conditions stand between the aggregate and a scan, they are
//! taken a batch of the scan at a time: conditions sift the batch, then each aggregate goes over what is left of it. Which
//! of the two is chosen by the shape of the plan alone; they give the same groups in the same order. Of several errors in
//! one batch another one may be told. Under `PROFILE`, which counts rows by operator, they come one by one.

use super::eval::compare;
use super::rows::Rows;
use super::scan::{Place, Scan, Source};
use super::{Machine, Runtime, State, hash};
use crate::ast::{AggregateFunction, CompareOp, Span};
use crate::error::{CypherError, placed};
use crate::functions::aggregate::Accumulator;
use crate::plan::{AggregateItem, Expr, Op, OpId, Slot};
use crate::value::{KeyRef, memory};
use hashbrown::HashTable;
use mgnode_core::types::Value;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// How many vertices a batch has at most: enough that what is done once for each does not count, and few enough that
/// they stay near the processor.
const BATCH: usize = 1024;

/// About what a group takes beside its values.
const GROUP_BYTES: usize = 96;

/// Groups in the order in which they were met.
struct Groups<'p> {
    keys: &'p [(Expr, Slot)],
    items: &'p [AggregateItem],
    /// Of the keys.
    spans: &'p [Span],
    count: usize,
    /// Values of the keys, group after group.
    values: Vec<Value>,
    /// One for each item, group after group.
    accumulators: Vec<Accumulator>,
    index: HashTable<usize>,
    /// Groups of one key that is an integer, once they were found.
    by_number: FxHashMap<i64, usize>,
    /// That of one key that is Null, once it was found.
    of_null: Option<usize>,
}

impl<'p> Groups<'p> {
    fn new(keys: &'p [(Expr, Slot)], items: &'p [AggregateItem], spans: &'p [Span]) -> Groups<'p> {
        let mut groups = Groups {
            keys,
            items,
            spans,
            count: 0,
            values: Vec::new(),
            accumulators: Vec::new(),
            index: HashTable::new(),
            by_number: FxHashMap::default(),
            of_null: None,
        };
        if keys.is_empty() {
            groups.begin(&[]);
        }
        groups
    }

    fn begin(&mut self, key: &[Value]) -> usize {
        self.values.extend_from_slice(key);
        self.accumulators
            .extend(self.items.iter().map(|item| Accumulator::new(item.function, item.distinct)));
        self.count += 1;
        self.count - 1
    }

    /// Returns the group of a key, which may be new.
    #[inline]
    fn of(&mut self, key: &[Value], run: &mut Runtime) -> Result<usize, CypherError> {
        match key {
            [Value::Int(number)] => {
                if let Some(group) = self.by_number.get(number) {
                    return Ok(*group);
                }
                let group = self.of_any(key, run)?;
                self.by_number.insert(*number, group);
                Ok(group)
            }
            [Value::Null] => {
                if let Some(group) = self.of_null {
                    return Ok(group);
                }
                let group = self.of_any(key, run)?;
                self.of_null = Some(group);
                Ok(group)
            }
            key => self.of_any(key, run),
        }
    }

    fn of_any(&mut self, key: &[Value], run: &mut Runtime) -> Result<usize, CypherError> {
        let (hashed, width) = (hash(key), key.len());
        let of = |values: &[Value], group: usize| hash(&values[group * width..(group + 1) * width]);
        let values = &self.values;
        let is_it = |group: &usize| KeyRef(&values[group * width..(group + 1) * width]) == KeyRef(key);
        if let Some(group) = self.index.find(hashed, is_it) {
            return Ok(*group);
        }
        let bytes = key.iter().map(memory).sum::<usize>();
        run.hold(bytes + GROUP_BYTES + self.items.len() * size_of::<Accumulator>())?;
        let group = self.begin(key);
        let values = &self.values;
        self.index.insert_unique(hashed, group, |group| of(values, *group));
        Ok(group)
    }

    fn accumulator(&mut self, group: usize, item: usize) -> &mut Accumulator {
        &mut self.accumulators[group * self.items.len() + item]
    }

    fn finish(self) -> Rows {
        let (keys, items) = (self.keys.len(), self.items.len());
        let mut rows = Rows::new(keys + items);
        let (mut values, mut accumulators) = (self.values.into_iter(), self.accumulators.into_iter());
        for _ in 0..self.count {
            let results = accumulators.by_ref().take(items).map(Accumulator::finish);
            rows.push(values.by_ref().take(keys).chain(results));
        }
        rows
    }
}

/// What an aggregate takes batches from.
struct Below<'p> {
    source: Source<'p>,
    /// In the order in which they are asked.
    conditions: SmallVec<[(OpId, &'p Expr); 2]>,
}

impl<'a> Machine<'a> {
    pub(super) fn aggregate(&mut self, id: OpId) -> Result<bool, CypherError> {
        let plan = self.plan;
        let Op::Aggregate { input, keys, aggregates, spans } = &plan.ops[id] else {
            unreachable!("called for it")
        };
        if matches!(self.states[id], State::Fresh) {
            let mut groups = Groups::new(keys, aggregates, spans);
            match self.below(*input) {
                Ok(below) if self.run.profile.is_none() => self.take_batches(&below, &mut groups)?,
                Ok(_) => self.take_rows(*input, &mut groups)?,
                Err(input) => self.take_rows(input, &mut groups)?,
            }
            self.states[id] = State::Rows(groups.finish());
        }
        let State::Rows(rows) = &mut self.states[id] else { unreachable!("set above") };
        let Some(row) = rows.take() else { return Ok(false) };
        let slots = keys.iter().map(|(_, slot)| *slot).chain(aggregates.iter().map(|item| item.slot));
        for (slot, v) in slots.zip(row) {
            self.row[slot] = std::mem::take(v);
        }
        Ok(true)
    }

    /// Finds the scan below an aggregate and the conditions between; else the operator to ask for rows: a place where
    /// nothing happens need not be asked for each.
    fn below(&self, input: OpId) -> Result<Below<'a>, OpId> {
        let plan = self.plan;
        let mut first = input;
        while let Op::Pass { input } = &plan.ops[first] {
            first = *input;
        }
        let (mut at, mut conditions) = (first, SmallVec::new());
        loop {
            match &plan.ops[at] {
                Op::Pass { input } => at = *input,
                Op::Filter { input, predicate } => {
                    conditions.push((at, predicate));
                    at = *input;
                }
                op => {
                    conditions.reverse();
                    return Source::of(op).map(|source| Below { source, conditions }).ok_or(first);
                }
            }
        }
    }

    // ------------------------------------------------------------------------------- row by row

    fn take_rows(&mut self, input: OpId, groups: &mut Groups<'a>) -> Result<(), CypherError> {
        while self.next(input)? {
            self.run.tick()?;
            self.take_row(groups)?;
        }
        Ok(())
    }

    /// Takes the row that stands in the registers.
    fn take_row(&mut self, groups: &mut Groups<'a>) -> Result<(), CypherError> {
        let group = match groups.keys {
            [] => 0,
            [(Expr::Slot(slot), _)] => groups.of(std::slice::from_ref(&self.row[*slot]), self.run)?,
            keys => {
                let key = keys.iter().zip(groups.spans).map(|((e, _), span)| placed(self.eval(e), *span));
                let key = key.collect::<Result<SmallVec<[_; 4]>, _>>()?;
                groups.of(&key, self.run)?
            }
        };
        for (i, item) in groups.items.iter().enumerate() {
            match &item.args[..] {
                [] => groups.accumulator(group, i).rows(1),
                [Expr::Slot(slot)] => {
                    placed(groups.accumulator(group, i).see(&self.row[*slot], self.run), item.span)?;
                }
                [first, second @ ..] => {
                    let v = placed(self.eval(first), item.span)?;
                    let second = placed(second.first().map(|e| self.eval(e)).transpose(), item.span)?;
                    placed(groups.accumulator(group, i).take(v, second, self.run), item.span)?;
                }
            }
        }
        Ok(())
    }

    // --------------------------------------------------------------------------- batch by batch

    fn take_batches(&mut self, below: &Below<'a>, groups: &mut Groups<'a>) -> Result<(), CypherError> {
        let source = below.source;
        // Everything is a value that a batch has, or stands in a register.
        let is_plain = matches!(groups.keys, [] | [(Expr::Slot(_), _)])
            && groups.items.iter().all(|item| matches!(item.args[..], [] | [Expr::Slot(_)]));
        let counts_all = source.is_everything() && below.conditions.is_empty() && groups.keys.is_empty() && {
            let counts_rows = |item: &AggregateItem| match (item.function, &item.args[..]) {
                (AggregateFunction::CountStar, []) => true,
                (AggregateFunction::Count, [Expr::Slot(slot)]) => !item.distinct && *slot == source.slot,
                _ => false,
            };
            groups.items.iter().all(counts_rows)
        };
        let (mut rows, mut of_rows): (Vec<u32>, Vec<usize>) = (Vec::new(), Vec::new());
        while self.next(source.input)? {
            if counts_all {
                self.run.tick()?;
                let count = i64::try_from(self.tx.counts().vertices).expect("memory ends before");
                groups.accumulators.iter_mut().for_each(|accumulator| accumulator.rows(count));
                continue;
            }
            let mut scan = Scan::default();
            while scan.fetch(self, &source, BATCH) {
                self.run.check_cancelled()?;
                rows.clear();
                rows.extend(0..u32::try_from(scan.batch.len()).expect("a batch is short"));
                for (filter, condition) in &below.conditions {
                    let sifted = self.sift(condition, &source, &scan, &mut rows);
                    placed(sifted, self.plan.spans[*filter])?;
                }
                if is_plain {
                    self.take_batch(&source, &scan, &rows, &mut of_rows, groups)?;
                    continue;
                }
                for at in &rows {
                    self.run.tick()?;
                    scan.show(*at as usize, &source, self.row);
                    self.take_row(groups)?;
                }
            }
        }
        Ok(())
    }

    /// Leaves the rows of a batch for which a condition holds.
    fn sift(
        &mut self,
        condition: &'a Expr,
        source: &Source<'_>,
        scan: &Scan,
        rows: &mut Vec<u32>,
    ) -> Result<(), CypherError> {
        let parts = match condition {
            Expr::And(parts) => &parts[..],
            one => std::slice::from_ref(one),
        };
        // Comparisons have no errors, and one that is unknown is as one that does not hold: one after the other will do.
        if let Some(comparisons) = comparisons(parts, |e| scan.place(e, source, self.row, self.params)) {
            for (a, op, b) in comparisons {
                rows.retain(|at| {
                    let at = *at as usize;
                    scan.see(a, at, |a| scan.see(b, at, |b| compare(op, a, b) == Some(true)))
                });
            }
            return Ok(());
        }
        let mut kept = 0;
        for i in 0..rows.len() {
            self.run.tick()?;
            scan.show(rows[i] as usize, source, self.row);
            if self.test(condition)? {
                rows[kept] = rows[i];
                kept += 1;
            }
        }
        rows.truncate(kept);
        Ok(())
    }

    /// Takes what is left of a batch, of which every key and argument is a value. `of_rows` is room for the rows' groups.
    fn take_batch(
        &mut self,
        source: &Source<'_>,
        scan: &Scan,
        rows: &[u32],
        of_rows: &mut Vec<usize>,
        groups: &mut Groups<'a>,
    ) -> Result<(), CypherError> {
        let (row, params, run) = (&*self.row, self.params, &mut *self.run);
        let place = |e| scan.place(e, source, row, params).expect("the caller has looked");
        of_rows.clear();
        if let [(key, _)] = groups.keys {
            let key = place(key);
            for at in rows {
                of_rows.push(scan.see(key, *at as usize, |v| groups.of(std::slice::from_ref(v), run))?);
            }
        }
        for (i, item) in groups.items.iter().enumerate() {
            match (&item.args[..], groups.keys.is_empty()) {
                ([], true) => groups.accumulator(0, i).rows(rows.len() as i64),
                ([], false) => of_rows.iter().for_each(|group| groups.accumulator(*group, i).rows(1)),
                ([arg, ..], is_one) => {
                    let place = place(arg);
                    if is_one && groups.accumulator(0, i).is_count() {
                        let is_value = |at: &&u32| scan.see(place, **at as usize, |v| !v.is_null());
                        groups.accumulator(0, i).rows(rows.iter().filter(is_value).count() as i64);
                        continue;
                    }
                    for (n, at) in rows.iter().enumerate() {
                        let accumulator = groups.accumulator(if is_one { 0 } else { of_rows[n] }, i);
                        let seen = scan.see(place, *at as usize, |v| accumulator.see(v, run));
                        placed(seen, item.span)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// One comparison of values that a batch has.
type Comparison<'v> = (Place<'v>, CompareOp, Place<'v>);

/// Returns conditions that are all comparisons of such values; else None.
fn comparisons<'v>(
    parts: &'v [Expr],
    place: impl Fn(&'v Expr) -> Option<Place<'v>>,
) -> Option<SmallVec<[Comparison<'v>; 4]>> {
    let comparison = |part: &'v Expr| match part {
        Expr::Compare(first, rest) => match &rest[..] {
            [(op, second)] => Some((place(first)?, *op, place(second)?)),
            _ => None,
        },
        _ => None,
    };
    parts.iter().map(comparison).collect()
}
