//! From an analyzed query to a plan.
//!
//! Clauses become operators in the order they are written; only inside a `MATCH` is the order the
//! planner's choice ([`matching`]). A clause must see the graph as the clauses before it left it,
//! for all of their rows, and must not see its own writes. Rows are pulled one at a time, so where a
//! clause reads what one before it writes, or writes what one before it reads, an [`Op::Eager`] goes
//! between the two. [`Effects`] says coarsely what a clause reads and writes.

mod columns;
mod expr;
mod matching;
mod once;
mod vars;

use crate::ast::*;
use crate::error::{CypherError, ErrorKind, placed};
use crate::plan::{self, AggregateItem, CreateItem, KeyName, Op, OpId, Plan, Properties, SetOp, Slot};
use crate::procedures::Procedures;
use crate::semantics::{Analyzed, VariableKind};
use mgnode_core::storage::Transaction;
use mgnode_core::types::Value;
use rustc_hash::FxHashSet;

/// How many operators may stand on each other. Pulling a row descends through them, on the stack of
/// a thread of the node.
const DEPTH_MAX: usize = 500;

/// What a part of a query reads and writes, as sets of bits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effects {
    reads: u8,
    writes: u8,
}

impl Effects {
    /// Which vertices there are.
    const VERTICES: u8 = 1;
    /// Which edges there are.
    const EDGES: u8 = 2;
    const PROPERTIES: u8 = 4;
    const LABELS: u8 = 8;
    const ALL: u8 = 15;

    /// Whether `later` must wait until all of `self` is done.
    fn clash(self, later: Effects) -> bool {
        self.writes & later.reads != 0 || self.reads & later.writes != 0
    }

    fn join(&mut self, other: Effects) {
        self.reads |= other.reads;
        self.writes |= other.writes;
    }
}

pub(crate) struct Planner<'a> {
    tx: &'a Transaction,
    analyzed: &'a Analyzed,
    procedures: &'a dyn Procedures,
    ops: Vec<Op>,
    /// Of each operator, what it is made of.
    spans: Vec<Span>,
    /// Of the clause that is planned.
    span: Span,
    /// Of each operator, the length of the chain below it.
    depths: Vec<usize>,
    width: usize,
    params: Vec<plan::Param>,
    /// Variables that are bound here.
    bound: FxHashSet<VarId>,
    /// Expressions whose values stand in slots already.
    known: Vec<(Expr, Slot)>,
    /// Aggregates found so far, where they may stand.
    aggregates: Option<Vec<AggregateItem>>,
    /// Of the clauses since the last operator that holds all rows.
    effects: Effects,
    /// How many inner plans this is in.
    inside: usize,
}

/// Plans a query.
pub(crate) fn plan(
    analyzed: &Analyzed,
    tx: &Transaction,
    procedures: &dyn Procedures,
) -> Result<Plan, CypherError> {
    let mut p = Planner {
        tx,
        analyzed,
        procedures,
        ops: Vec::new(),
        spans: Vec::new(),
        span: analyzed.query.span,
        depths: Vec::new(),
        width: analyzed.variables.len(),
        params: Vec::new(),
        bound: analyzed.given.iter().copied().collect(),
        known: Vec::new(),
        aggregates: None,
        effects: Effects::default(),
        inside: 0,
    };
    let leaf = p.push(Op::Argument);
    let planned = p.query(&analyzed.query, leaf);
    let (mut root, columns) = placed(planned, p.span)?;
    if analyzed.columns.is_empty() {
        root = p.push(Op::Drain { input: root });
    }
    let Planner { ops, width, params, spans, .. } = p;
    let memory_bytes_max = analyzed.query.directives.memory_limit_bytes;
    let text = analyzed.query.text.clone();
    let mut plan = Plan { ops, root, width, params, columns, memory_bytes_max, spans, text };
    if !analyzed.writes {
        columns::gather(&mut plan);
        once::mark(&mut plan);
    }
    let depth = plan.depth();
    check_depth(depth)?;
    Ok(plan)
}

fn check_depth(depth: usize) -> Result<(), CypherError> {
    if depth > DEPTH_MAX {
        return Err(CypherError::limit(format!(
            "The query is too long: more than {DEPTH_MAX} steps depend on each other. Split it into several."
        )));
    }
    Ok(())
}

impl<'a> Planner<'a> {
    fn push(&mut self, op: Op) -> OpId {
        self.depths.push(op.depth(&self.depths));
        self.ops.push(op);
        self.spans.push(self.span);
        self.ops.len() - 1
    }

    /// As [`Self::push`], for an operator that stands for less than the clause.
    fn push_at(&mut self, span: Span, op: Op) -> OpId {
        let id = self.push(op);
        self.spans[id] = span;
        id
    }

    /// Gives out a slot that no variable has.
    fn temp(&mut self) -> Slot {
        self.width += 1;
        self.width - 1
    }

    /// Slots of all variables in scope, in order.
    fn live(&self) -> Vec<Slot> {
        let mut live: Vec<Slot> = self.bound.iter().map(|v| self.slot(*v)).collect();
        live.sort_unstable();
        live
    }

    /// Plans a query or subquery; returns its end and the slots of its columns.
    fn query(&mut self, q: &Query, leaf: OpId) -> Result<(OpId, Vec<Slot>), CypherError> {
        if q.directives.hops_limit.is_some() {
            // It would leave paths out, and is not to be passed over.
            return Err(unsupported("USING HOPS LIMIT", q.span));
        }
        if self.inside > 0 && q.directives.memory_limit_bytes.is_some() {
            return Err(unsupported("QUERY MEMORY LIMIT inside of a subquery", q.span));
        }
        let (mut end, columns) = self.parts(q, leaf)?;
        if let Some(rows) = &q.directives.periodic_commit {
            self.check_outermost("USING PERIODIC COMMIT", q.span)?;
            let (rows, span) = (self.expr(rows)?, rows.span);
            end = self.push_at(span, Op::CommitEach { input: end, rows });
        }
        Ok((end, columns))
    }

    /// What commits as it goes cannot be done for each row of something else, which would go on in another transaction.
    fn check_outermost(&self, what: &str, span: Span) -> Result<(), CypherError> {
        if self.inside == 0 {
            Ok(())
        } else {
            Err(unsupported(&format!("{what} inside of a subquery"), span))
        }
    }

    fn parts(&mut self, q: &Query, leaf: OpId) -> Result<(OpId, Vec<Slot>), CypherError> {
        if let [only] = &q.parts[..] {
            return self.single(only, leaf);
        }
        let bound = self.bound.clone();
        let before = self.effects;
        let mut after = before;
        let mut parts = Vec::new();
        for part in &q.parts {
            self.bound = bound.clone();
            self.effects = before;
            // The first part begins at the given leaf, each other one at its own.
            let leaf = if parts.is_empty() { leaf } else { self.push(Op::Argument) };
            let part = self.single(part, leaf)?;
            after.join(self.effects);
            parts.push(part);
        }
        self.effects = after;
        let slots: Vec<Slot> = parts[0].1.iter().map(|_| self.temp()).collect();
        let mut end = self.push(Op::Union { parts, slots: slots.clone() });
        if !q.union_all {
            end = self.push(Op::Distinct { input: end, slots: slots.clone() });
        }
        Ok((end, slots))
    }

    fn single(&mut self, q: &SingleQuery, leaf: OpId) -> Result<(OpId, Vec<Slot>), CypherError> {
        let mut end = leaf;
        let mut columns = Vec::new();
        let mut i = 0;
        while i < q.clauses.len() {
            // Early, since a long plan takes long to make.
            check_depth(self.depths[end])?;
            let clause = &q.clauses[i];
            // Neighbouring `CREATE`s are one operator: a script of many would be a deep plan.
            let mut together = 1;
            if matches!(clause.kind, ClauseKind::Create(_)) {
                together +=
                    q.clauses[i + 1..].iter().take_while(|c| matches!(c.kind, ClauseKind::Create(_))).count();
            }
            let outside = std::mem::replace(&mut self.span, clause.span);
            end = self.behind(end, |p, end| match &clause.kind {
                ClauseKind::Return(r) => {
                    let end = p.projection(end, r, true)?;
                    columns = q.columns.iter().map(|var| p.slot(*var)).collect();
                    Ok(end)
                }
                ClauseKind::Call(call) => {
                    let (end, yielded) = p.call(end, call)?;
                    if call.standalone {
                        columns = yielded;
                    }
                    Ok(end)
                }
                ClauseKind::Create(_) => {
                    let patterns: Vec<&PathPattern> = q.clauses[i..i + together]
                        .iter()
                        .flat_map(|c| {
                            if let ClauseKind::Create(patterns) = &c.kind { &patterns[..] } else { &[] }
                        })
                        .collect();
                    p.create(end, &patterns)
                }
                _ => p.clause(end, clause),
            })?;
            self.span = outside;
            i += together;
        }
        Ok((end, columns))
    }

    /// Plans a clause, behind an [`Op::Eager`] where it needs one.
    fn behind(
        &mut self,
        end: OpId,
        plan: impl FnOnce(&mut Self, OpId) -> Result<OpId, CypherError>,
    ) -> Result<OpId, CypherError> {
        let before = std::mem::take(&mut self.effects);
        // Only something written can clash; then the place is kept until the clause is known.
        let place = (before.reads != 0 || before.writes != 0)
            .then(|| (self.push(Op::Pass { input: end }), self.live()));
        let result = plan(self, place.as_ref().map_or(end, |(op, _)| *op))?;
        let clause = self.effects;
        match place {
            Some((place, saved)) if before.clash(clause) => {
                self.ops[place] = Op::Eager { input: end, saved };
            }
            _ => self.effects.join(before),
        }
        Ok(result)
    }

    fn clause(&mut self, end: OpId, clause: &Clause) -> Result<OpId, CypherError> {
        match &clause.kind {
            ClauseKind::Match(m) if !m.optional => self.matching(end, &m.patterns, m.filter.as_ref()),
            ClauseKind::Match(m) => {
                let outer = self.bound.clone();
                let mut new = FxHashSet::default();
                let (inner, ()) = self.inner(|p, leaf| {
                    let end = p.matching(leaf, &m.patterns, m.filter.as_ref())?;
                    new = p.bound.difference(&outer).copied().collect();
                    Ok((end, ()))
                })?;
                let mut nulls: Vec<Slot> = new.iter().map(|v| self.slot(*v)).collect();
                nulls.sort_unstable();
                self.bound.extend(new);
                Ok(self.push(Op::Optional { input: end, inner, nulls }))
            }
            ClauseKind::With(p) => self.projection(end, p, false),
            ClauseKind::Unwind(u) => {
                let list = self.expr(&u.list)?;
                self.bound.insert(u.variable.var);
                let slot = self.slot(u.variable.var);
                Ok(self.push_at(u.list.span, Op::Unwind { input: end, list, slot }))
            }
            ClauseKind::Merge(m) => self.merge(end, m),
            ClauseKind::Set(items) => {
                let items = self.set_items(items)?;
                Ok(self.push(Op::Set { input: end, items }))
            }
            ClauseKind::Remove(items) => {
                let items = items
                    .iter()
                    .map(|i| Ok((self.remove_item(i)?, i.span)))
                    .collect::<Result<_, CypherError>>()?;
                Ok(self.push(Op::Set { input: end, items }))
            }
            ClauseKind::Delete(d) => {
                let targets = d.targets.iter().map(|e| Ok((self.expr(e)?, e.span)));
                let targets = targets.collect::<Result<_, CypherError>>()?;
                let saved = self.live();
                let end = self.push(Op::Delete { input: end, targets, detach: d.detach, saved });
                // All rows are through before the first comes out.
                self.effects = Effects { reads: 0, writes: 0 };
                Ok(end)
            }
            ClauseKind::Subquery(s) => self.subquery(end, s, clause.span),
            ClauseKind::Foreach(f) => {
                let list = self.expr(&f.list)?;
                let slot = self.slot(f.variable.var);
                let (inner, ()) = self.inner(|p, leaf| {
                    p.bound.insert(f.variable.var);
                    let mut end = leaf;
                    for clause in &f.body {
                        p.span = clause.span;
                        end = p.behind(end, |p, end| match &clause.kind {
                            ClauseKind::Create(patterns) => {
                                p.create(end, &patterns.iter().collect::<Vec<_>>())
                            }
                            _ => p.clause(end, clause),
                        })?;
                    }
                    Ok((end, ()))
                })?;
                self.span = clause.span;
                Ok(self.push_at(f.list.span, Op::Foreach { input: end, slot, list, inner }))
            }
            ClauseKind::LoadCsv(csv) => {
                let source = self.expr(&csv.source)?;
                let [delimiter, quote, null_text] = [&csv.delimiter, &csv.quote, &csv.null_text]
                    .map(|e| e.as_ref().map(|e| self.expr(e)).transpose());
                let slot = self.slot(csv.variable.var);
                self.bound.insert(csv.variable.var);
                Ok(self.push(Op::LoadCsv(plan::LoadCsv {
                    input: end,
                    slot,
                    source,
                    with_header: csv.with_header,
                    is_lenient: csv.is_lenient,
                    ignore_bad: csv.ignore_bad,
                    delimiter: delimiter?,
                    quote: quote?,
                    null_text: null_text?,
                })))
            }
            ClauseKind::Create(_) | ClauseKind::Return(_) | ClauseKind::Call(_) => {
                unreachable!("planned by `single`")
            }
        }
    }

    // ------------------------------------------------------------------------------ projections

    fn projection(&mut self, mut end: OpId, p: &Projection, is_return: bool) -> Result<OpId, CypherError> {
        let slots: Vec<Slot> = p.items.iter().map(|i| self.slot(i.var)).collect();
        let mut keys = Vec::new();
        if p.aggregates || p.items.iter().any(|i| vars::has_aggregate(&i.expr)) {
            let (mut groups, mut of_groups) = (Vec::new(), Vec::new());
            let mut known = Vec::new();
            for item in p.items.iter().filter(|i| !vars::has_aggregate(&i.expr)) {
                let slot = self.slot(item.var);
                groups.push((self.expr(&item.expr)?, slot));
                of_groups.push(item.expr.span);
                known.push((item.expr.clone(), slot));
            }
            self.known = known;
            self.aggregates = Some(Vec::new());
            let (mut after, mut of_after) = (Vec::new(), Vec::new());
            for item in p.items.iter().filter(|i| vars::has_aggregate(&i.expr)) {
                let slot = self.slot(item.var);
                after.push((self.expr(&item.expr)?, slot));
                of_after.push(item.expr.span);
                self.known.push((item.expr.clone(), slot));
            }
            for s in &p.order_by {
                keys.push((self.expr(&s.expr)?, s.descending));
            }
            let aggregates = self.aggregates.take().unwrap_or_default();
            self.known.clear();
            end = self.push(Op::Aggregate { input: end, keys: groups, aggregates, spans: of_groups });
            end = self.push(Op::Project { input: end, items: after, spans: of_after });
            self.effects = Effects::default();
        } else {
            let (mut items, mut spans) = (Vec::new(), Vec::new());
            for (item, slot) in p.items.iter().zip(&slots) {
                match self.expr(&item.expr)? {
                    plan::Expr::Slot(same) if same == *slot => {}
                    e => {
                        items.push((e, *slot));
                        spans.push(item.expr.span);
                    }
                }
            }
            if !items.is_empty() {
                end = self.push(Op::Project { input: end, items, spans });
            }
            if p.distinct {
                self.known = p.items.iter().zip(&slots).map(|(i, s)| (i.expr.clone(), *s)).collect();
            }
            for s in &p.order_by {
                keys.push((self.expr(&s.expr)?, s.descending));
            }
            self.known.clear();
        }
        if is_return && p.items.iter().any(|i| self.may_be_entity(i.var)) {
            // The client sees labels and properties as they are when the row leaves.
            self.effects.reads |= Effects::PROPERTIES | Effects::LABELS;
        }
        if p.distinct {
            end = self.push(Op::Distinct { input: end, slots: slots.clone() });
        }
        // What comes after may still look at variables from before.
        let mut seen = FxHashSet::default();
        if let Some(filter) = &p.filter {
            vars::each_variable(filter, &mut |v| {
                if self.bound.contains(&v) {
                    seen.insert(v);
                }
            });
        }
        seen.extend(p.items.iter().map(|i| i.var));
        let mut saved: Vec<Slot> = seen.iter().map(|v| self.slot(*v)).collect();
        saved.sort_unstable();
        if !keys.is_empty() {
            let mut top = Vec::new();
            let mut spans: Vec<Span> = p.order_by.iter().map(|s| s.expr.span).collect();
            if let Some(limit) = &p.limit {
                if let Some(skip) = &p.skip {
                    top.push(self.expr(skip)?);
                    spans.push(skip.span);
                }
                top.push(self.expr(limit)?);
                spans.push(limit.span);
            }
            end = self.push(Op::Sort { input: end, keys, saved, top, spans });
        }
        if let Some(skip) = &p.skip {
            let count = self.expr(skip)?;
            end = self.push_at(skip.span, Op::Skip { input: end, count });
        }
        if let Some(limit) = &p.limit {
            let count = self.expr(limit)?;
            end = self.push_at(limit.span, Op::Limit { input: end, count, drains: self.analyzed.writes });
        }
        if let Some(filter) = &p.filter {
            let predicate = self.expr(filter)?;
            end = self.push_at(filter.span, Op::Filter { input: end, predicate });
        }
        self.bound = p.items.iter().map(|i| i.var).collect();
        Ok(end)
    }

    fn may_be_entity(&self, var: VarId) -> bool {
        self.analyzed.variables.get(var.0 as usize).is_none_or(|v| v.kind != VariableKind::Scalar)
    }

    // ------------------------------------------------------------------------------------ calls

    fn call(&mut self, end: OpId, call: &CallProcedure) -> Result<(OpId, Vec<Slot>), CypherError> {
        let Some(shape) = self.procedures.shape(&call.name.name) else {
            return Err(CypherError::compile(
                ErrorKind::ProcedureError,
                "ProcedureNotFound",
                call.name.span,
                format!("There is no procedure named '{}'.", call.name.name),
            ));
        };
        let args = match &call.args {
            Some(args) => self.exprs(args)?,
            None => {
                let place = call.name.span;
                shape.args.iter().map(|(name, _)| plan::Expr::Param(self.param(name, place))).collect()
            }
        };
        let mut outputs = Vec::new();
        match &call.yields {
            Yield::Items(items) => {
                for item in items {
                    let Some(field) = shape.fields.iter().position(|(name, _)| *name == item.field.name)
                    else {
                        return Err(CypherError::compile(
                            ErrorKind::SyntaxError,
                            "ProcedureNotFound",
                            item.field.span,
                            format!("Procedure '{}' yields no '{}'.", call.name.name, item.field.name),
                        ));
                    };
                    outputs.push((field, self.slot(item.variable.var)));
                    self.bound.insert(item.variable.var);
                }
            }
            Yield::None | Yield::All => {
                for field in 0..shape.fields.len() {
                    outputs.push((field, self.temp()));
                }
            }
            Yield::Nothing => {}
        }
        self.effects.reads |= Effects::ALL;
        if shape.writes {
            self.effects.writes |= Effects::ALL;
        }
        let yielded = outputs.iter().map(|(_, slot)| *slot).collect();
        let name = call.name.name.clone();
        let has_fields = !shape.fields.is_empty();
        let op = |input| Op::Call { input, name, args, outputs, has_fields };
        let mut end = if call.optional {
            let nulls = Vec::clone(&yielded);
            let (inner, ()) = self.inner(|p, leaf| Ok((p.push(op(leaf)), ())))?;
            self.push(Op::Optional { input: end, inner, nulls })
        } else {
            self.push(op(end))
        };
        if let Some(filter) = &call.filter {
            let predicate = self.expr(filter)?;
            end = self.push_at(filter.span, Op::Filter { input: end, predicate });
        }
        Ok((end, yielded))
    }

    fn subquery(&mut self, end: OpId, s: &CallSubquery, span: Span) -> Result<OpId, CypherError> {
        let rows = match &s.in_transactions {
            None => None,
            Some(how) => {
                self.check_outermost("CALL { } IN TRANSACTIONS", span)?;
                let writes = |op: &Op| {
                    matches!(op, Op::Create { .. } | Op::Merge(_) | Op::Set { .. } | Op::Delete { .. })
                };
                if self.ops.iter().any(writes) {
                    // It would be committed, or forgotten, with some of the subquery's rows.
                    return Err(unsupported("A write before CALL { } IN TRANSACTIONS", span));
                }
                how.rows.as_ref().map(|rows| self.expr(rows)).transpose()?
            }
        };
        let outside: Vec<Slot> = s.returns.iter().map(|v| self.slot(*v)).collect();
        let (inner, columns) = self.inner(|p, leaf| {
            let (end, columns) = p.query(&s.query, leaf)?;
            // Moved to the variables that they are outside.
            let items: Vec<_> = columns
                .iter()
                .zip(&outside)
                .filter(|(a, b)| a != b)
                .map(|(a, b)| (plan::Expr::Slot(*a), *b))
                .collect();
            let spans = vec![span; items.len()];
            let end = if items.is_empty() { end } else { p.push(Op::Project { input: end, items, spans }) };
            Ok((end, columns))
        })?;
        self.bound.extend(s.returns.iter().copied());
        if let Some(InTransactions { on_error, .. }) = s.in_transactions {
            let returns = !columns.is_empty();
            let gather = (returns && (on_error != OnError::Fail || s.optional)).then(|| plan::Gather {
                saved: self.live(),
                nulls: outside,
                optional: s.optional,
            });
            let call = plan::InTransactions { input: end, inner, rows, on_error, returns, gather };
            return Ok(self.push(Op::InTransactions(call)));
        }
        Ok(if columns.is_empty() {
            self.push(Op::ForEffect { input: end, inner })
        } else if s.optional {
            self.push(Op::Optional { input: end, inner, nulls: outside })
        } else {
            self.push(Op::Apply { input: end, inner })
        })
    }

    // ----------------------------------------------------------------------------------- writes

    fn new_properties(&mut self, properties: Option<&Expr>) -> Result<Properties, CypherError> {
        Ok(match properties {
            None => Properties::Pairs(Vec::new()),
            Some(Expr { kind: ExprKind::Map(pairs), .. }) => Properties::Pairs(
                pairs
                    .iter()
                    .map(|(key, e)| Ok((KeyName::new(key.name.clone()), self.expr(e)?, e.span)))
                    .collect::<Result<_, CypherError>>()?,
            ),
            Some(e) => Properties::Map(self.expr(e)?, e.span),
        })
    }

    /// Lists what a pattern creates: what is not bound yet.
    fn create_items(&mut self, patterns: &[&PathPattern]) -> Result<Vec<CreateItem>, CypherError> {
        let mut items = Vec::new();
        for pattern in patterns {
            self.create_node(&pattern.start, &mut items)?;
            let mut left = pattern.start.var;
            for hop in &pattern.hops {
                self.create_node(&hop.node, &mut items)?;
                let r = &hop.relationship;
                let [edge_type] = &r.types[..] else {
                    return Err(CypherError::syntax(
                        "NoSingleRelationshipType",
                        r.span,
                        "A relationship is created with exactly one type.",
                    ));
                };
                let edge_type = self.new_name(edge_type, plan::TypeRef::new)?;
                let properties = self.new_properties(r.properties.as_deref())?;
                let (mut from, mut to) = (self.slot(left), self.slot(hop.node.var));
                if r.direction == Direction::In {
                    std::mem::swap(&mut from, &mut to);
                }
                let (slot, span) = (self.slot(r.var), r.span);
                items.push(CreateItem::Edge { slot, from, to, edge_type, properties, span });
                self.bound.insert(r.var);
                self.effects.writes |= Effects::EDGES;
                left = hop.node.var;
            }
        }
        Ok(items)
    }

    fn create_node(&mut self, n: &NodePattern, items: &mut Vec<CreateItem>) -> Result<(), CypherError> {
        if self.bound.contains(&n.var) {
            return Ok(());
        }
        let labels = self.new_labels(&n.labels)?;
        let properties = self.new_properties(n.properties.as_deref())?;
        items.push(CreateItem::Node { slot: self.slot(n.var), labels, properties, span: n.span });
        self.bound.insert(n.var);
        self.effects.writes |= Effects::VERTICES;
        Ok(())
    }

    fn create(&mut self, end: OpId, patterns: &[&PathPattern]) -> Result<OpId, CypherError> {
        let items = self.create_items(patterns)?;
        let mut end = self.push(Op::Create { input: end, items });
        for pattern in patterns {
            if let Some(name) = &pattern.variable {
                let parts = pattern_slots(self, pattern);
                self.bound.insert(name.var);
                let slot = self.slot(name.var);
                end = self.push(Op::NamedPath { input: end, slot, parts });
            }
        }
        Ok(end)
    }

    fn merge(&mut self, end: OpId, m: &Merge) -> Result<OpId, CypherError> {
        let outer = self.bound.clone();
        let mut new = FxHashSet::default();
        let (matching, ()) = self.inner(|p, leaf| {
            let end = p.matching(leaf, std::slice::from_ref(&m.pattern), None)?;
            new = p.bound.difference(&outer).copied().collect();
            Ok((end, ()))
        })?;
        let mut saved: Vec<Slot> = new.iter().map(|v| self.slot(*v)).collect();
        saved.sort_unstable();
        let create = self.create_items(&[&m.pattern])?;
        let path =
            m.pattern.variable.as_ref().map(|name| (self.slot(name.var), pattern_slots(self, &m.pattern)));
        self.bound.extend(new);
        let on_create = self.set_items(&m.on_create)?;
        let on_match = self.set_items(&m.on_match)?;
        Ok(self.push(Op::Merge(plan::Merge {
            input: end,
            matching,
            create,
            path,
            saved,
            on_create,
            on_match,
        })))
    }

    fn set_items(&mut self, items: &[SetItem]) -> Result<Vec<(SetOp, Span)>, CypherError> {
        items.iter().map(|i| Ok((self.set_item(i)?, i.span))).collect()
    }

    fn set_item(&mut self, item: &SetItem) -> Result<SetOp, CypherError> {
        self.effects.writes |= match &item.kind {
            SetKind::Labels { .. } => Effects::LABELS,
            _ => Effects::PROPERTIES,
        };
        Ok(match &item.kind {
            SetKind::Property { target, key, value } => SetOp::Property {
                target: self.expr(target)?,
                key: KeyName::new(key.name.clone()),
                value: self.expr(value)?,
            },
            SetKind::DynamicProperty { target, key, value } => {
                SetOp::Dynamic { target: self.expr(target)?, key: self.expr(key)?, value: self.expr(value)? }
            }
            SetKind::Replace { variable, value } => {
                SetOp::Replace { slot: self.slot(variable.var), value: self.expr(value)? }
            }
            SetKind::Merge { variable, value } => {
                SetOp::Merge { slot: self.slot(variable.var), value: self.expr(value)? }
            }
            SetKind::Labels { variable, labels } => SetOp::AddLabels {
                slot: self.slot(variable.var),
                labels: labels.iter().map(|l| self.new_label(l)).collect::<Result<_, _>>()?,
            },
        })
    }

    fn remove_item(&mut self, item: &RemoveItem) -> Result<SetOp, CypherError> {
        let null = || plan::Expr::Const(Value::Null);
        self.effects.writes |= match &item.kind {
            RemoveKind::Labels { .. } => Effects::LABELS,
            _ => Effects::PROPERTIES,
        };
        Ok(match &item.kind {
            RemoveKind::Property { target, key } => SetOp::Property {
                target: self.expr(target)?,
                key: KeyName::new(key.name.clone()),
                value: null(),
            },
            RemoveKind::DynamicProperty { target, key } => {
                SetOp::Dynamic { target: self.expr(target)?, key: self.expr(key)?, value: null() }
            }
            RemoveKind::Labels { variable, labels } => SetOp::RemoveLabels {
                slot: self.slot(variable.var),
                labels: labels.iter().map(|l| self.new_label(l)).collect::<Result<_, _>>()?,
            },
        })
    }
}

/// Slots of a pattern's parts from left to right.
fn pattern_slots(p: &Planner<'_>, pattern: &PathPattern) -> Vec<Slot> {
    let mut parts = vec![p.slot(pattern.start.var)];
    for hop in &pattern.hops {
        parts.push(p.slot(hop.relationship.var));
        parts.push(p.slot(hop.node.var));
    }
    parts
}

fn unsupported(what: &str, span: Span) -> CypherError {
    CypherError::compile(ErrorKind::SemanticError, "", span, format!("{what} is not supported."))
}
