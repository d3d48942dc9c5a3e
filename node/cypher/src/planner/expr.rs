//! Expressions of the tree into expressions of the plan.

use super::{Effects, Planner};
use crate::ast::{self, Expr, ExprKind, LabelExpr, LabelName, Literal, MapProjectionItem, PathPattern, Span};
use crate::error::{CypherError, ErrorKind};
use crate::functions;
use crate::plan::{self, AggregateItem, Inner, KeyName, LabelRef, LabelTest, MapItem, NewName, Op, Slot};
use mgnode_core::types::Value;
use std::sync::Arc;

impl Planner<'_> {
    fn boxed(&mut self, e: &Expr) -> Result<Box<plan::Expr>, CypherError> {
        self.expr(e).map(Box::new)
    }

    fn maybe(&mut self, e: Option<&Expr>) -> Result<Option<Box<plan::Expr>>, CypherError> {
        e.map(|e| self.boxed(e)).transpose()
    }

    pub(super) fn exprs(&mut self, items: &[Expr]) -> Result<Vec<plan::Expr>, CypherError> {
        items.iter().map(|e| self.expr(e)).collect()
    }

    /// Compiles an expression; names become slots, parameters become numbers.
    pub(super) fn expr(&mut self, e: &Expr) -> Result<plan::Expr, CypherError> {
        use plan::Expr as P;
        if let Some((_, slot)) = self.known.iter().find(|(known, _)| known == e) {
            return Ok(P::Slot(*slot));
        }
        Ok(match &e.kind {
            ExprKind::Literal(l) => P::Const(literal(l)),
            ExprKind::Parameter(name) => P::Param(self.param(name, e.span)),
            ExprKind::Variable(v) => P::Slot(self.slot(v.var)),
            ExprKind::Property { base, key } => {
                self.effects.reads |= Effects::PROPERTIES;
                P::Property(self.boxed(base)?, KeyName::new(key.name.clone()), e.span)
            }
            ExprKind::Index { base, index } => {
                self.effects.reads |= Effects::PROPERTIES;
                P::Index(self.boxed(base)?, self.boxed(index)?, e.span)
            }
            ExprKind::Slice { base, from, to } => {
                P::Slice(self.boxed(base)?, self.maybe(from.as_deref())?, self.maybe(to.as_deref())?, e.span)
            }
            ExprKind::List(items) => {
                let items = self.exprs(items)?;
                if items.iter().all(|i| matches!(i, P::Const(_))) {
                    P::Const(Value::list(
                        items
                            .into_iter()
                            .map(|i| if let P::Const(v) = i { v } else { Value::Null })
                            .collect::<Vec<_>>(),
                    ))
                } else {
                    P::List(items)
                }
            }
            ExprKind::Map(pairs) => {
                P::Map(pairs.iter().map(|(key, e)| Ok((key.name.clone(), self.expr(e)?))).collect::<Result<
                    _,
                    CypherError,
                >>(
                )?)
            }
            ExprKind::MapProjection(p) => {
                self.effects.reads |= Effects::PROPERTIES;
                let items = p
                    .items
                    .iter()
                    .map(|item| {
                        Ok(match item {
                            MapProjectionItem::Property(key) => {
                                MapItem::Property(KeyName::new(key.name.clone()))
                            }
                            MapProjectionItem::Entry(key, e) => {
                                MapItem::Entry(key.name.clone(), self.expr(e)?)
                            }
                            MapProjectionItem::Variable(v) => {
                                MapItem::Entry(v.name.clone(), P::Slot(self.slot(v.var)))
                            }
                            MapProjectionItem::All => MapItem::All,
                        })
                    })
                    .collect::<Result<_, CypherError>>()?;
                P::MapProjection(self.slot(p.base.var), items)
            }
            ExprKind::And(items) => P::And(self.exprs(items)?),
            ExprKind::Or(items) => P::Or(self.exprs(items)?),
            ExprKind::Xor(items) => P::Xor(self.exprs(items)?),
            ExprKind::Not(e) => P::Not(self.boxed(e)?),
            ExprKind::Comparison { first, rest } => P::Compare(
                self.boxed(first)?,
                rest.iter().map(|(op, e)| Ok((*op, self.expr(e)?))).collect::<Result<_, CypherError>>()?,
            ),
            ExprKind::Arithmetic { first, rest } => P::Arithmetic(
                self.boxed(first)?,
                rest.iter().map(|(op, e)| Ok((*op, self.expr(e)?))).collect::<Result<_, CypherError>>()?,
                e.span,
            ),
            ExprKind::Negate(e) => P::Negate(self.boxed(e)?),
            ExprKind::Plus(e) => P::Plus(self.boxed(e)?),
            ExprKind::In { element, list } => P::In(self.boxed(element)?, self.boxed(list)?),
            ExprKind::StringTest { op, left, right } => {
                P::StringTest(*op, self.boxed(left)?, self.boxed(right)?)
            }
            ExprKind::IsNull { expr, negated } => P::IsNull(self.boxed(expr)?, *negated),
            ExprKind::HasLabels { expr, labels } => {
                P::HasLabels(self.boxed(expr)?, Box::new(self.label_test(labels)?))
            }
            ExprKind::Function { name, args } => {
                let Some(function) = functions::by_name(&name.name) else {
                    return Err(CypherError::syntax(
                        "UnknownFunction",
                        name.span,
                        format!("Function '{}' doesn't exist.", name.name),
                    ));
                };
                if !function.pure {
                    self.effects.reads |= Effects::ALL;
                }
                P::Call(function, self.exprs(args)?, e.span)
            }
            ExprKind::Aggregate(a) => {
                // What it aggregates is computed before, where no grouping key is known yet.
                let known = std::mem::take(&mut self.known);
                let Some(mut aggregates) = self.aggregates.take() else {
                    return Err(CypherError::syntax(
                        "InvalidAggregation",
                        e.span,
                        "An aggregate can only stand in `WITH` and `RETURN`.",
                    ));
                };
                let args = self.exprs(&a.args)?;
                let slot = self.temp();
                let (function, distinct, span) = (a.function, a.distinct, e.span);
                aggregates.push(AggregateItem { function, distinct, args, slot, span });
                self.aggregates = Some(aggregates);
                self.known = known;
                self.known.push((e.clone(), slot));
                P::Slot(slot)
            }
            ExprKind::Case(c) => P::Case {
                subject: self.maybe(c.subject.as_ref())?,
                branches: c
                    .branches
                    .iter()
                    .map(|(when, then)| Ok((self.expr(when)?, self.expr(then)?)))
                    .collect::<Result<_, CypherError>>()?,
                default: self.maybe(c.default.as_ref())?,
            },
            ExprKind::ListComprehension(c) => {
                let list = self.boxed(&c.list)?;
                self.with(&[c.variable.var], |p| {
                    Ok(P::Comprehension {
                        slot: p.slot(c.variable.var),
                        list,
                        filter: p.maybe(c.filter.as_ref())?,
                        result: p.maybe(c.result.as_ref())?,
                    })
                })?
            }
            ExprKind::Quantifier(q) => {
                let list = self.boxed(&q.list)?;
                self.with(&[q.variable.var], |p| {
                    Ok(P::Quantifier {
                        kind: q.kind,
                        slot: p.slot(q.variable.var),
                        list,
                        predicate: p.boxed(&q.predicate)?,
                    })
                })?
            }
            ExprKind::Reduce(r) => {
                let initial = self.boxed(&r.initial)?;
                let list = self.boxed(&r.list)?;
                self.with(&[r.accumulator.var, r.variable.var], |p| {
                    Ok(P::Reduce {
                        accumulator: p.slot(r.accumulator.var),
                        initial,
                        slot: p.slot(r.variable.var),
                        list,
                        body: p.boxed(&r.body)?,
                    })
                })?
            }
            ExprKind::PatternComprehension(c) => {
                let (inner, slot) = self.inner(|p, leaf| {
                    let end = p.matching(leaf, std::slice::from_ref(&c.pattern), c.filter.as_ref())?;
                    let slot = p.temp();
                    let result = p.expr(&c.result)?;
                    let (items, spans) = (vec![(result, slot)], vec![c.result.span]);
                    Ok((p.push(Op::Project { input: end, items, spans }), slot))
                })?;
                P::Collect(inner, slot)
            }
            ExprKind::PatternPredicate(pattern) => {
                let (inner, ()) = self
                    .inner(|p, leaf| Ok((p.matching(leaf, std::slice::from_ref(&**pattern), None)?, ())))?;
                P::Exists(inner)
            }
            ExprKind::ShortestPath(pattern) => self.shortest_value(pattern)?,
            ExprKind::Exists(q) => P::Exists(self.inner(|p, leaf| Ok((p.query(q, leaf)?.0, ())))?.0),
            ExprKind::CountSubquery(q) => P::Count(self.inner(|p, leaf| Ok((p.query(q, leaf)?.0, ())))?.0),
            ExprKind::CollectSubquery(q) => {
                let (inner, columns) = self.inner(|p, leaf| p.query(q, leaf))?;
                match columns.first() {
                    Some(slot) => P::Collect(inner, *slot),
                    None => {
                        return Err(CypherError::syntax(
                            "InvalidClauseComposition",
                            e.span,
                            "`COLLECT { }` must return one column.",
                        ));
                    }
                }
            }
            ExprKind::Enum { name, value } => {
                let value = crate::enums::literal(name, value, self.tx);
                P::Const(
                    value.map_err(|what| CypherError::compile(ErrorKind::SemanticError, "", e.span, what))?,
                )
            }
        })
    }

    /// Compiles with some variables bound for as long.
    fn with<T>(
        &mut self,
        vars: &[ast::VarId],
        compile: impl FnOnce(&mut Self) -> Result<T, CypherError>,
    ) -> Result<T, CypherError> {
        self.bound.extend(vars);
        let result = compile(self);
        for var in vars {
            self.bound.remove(var);
        }
        result
    }

    /// A path, or for `allShortestPaths` a list of them.
    fn shortest_value(&mut self, pattern: &PathPattern) -> Result<plan::Expr, CypherError> {
        let all = pattern.shortest == ast::Shortest::All;
        let (inner, slot) = self.inner(|p, leaf| {
            let end = p.matching(leaf, std::slice::from_ref(pattern), None)?;
            let slot = p.temp();
            let parts = super::pattern_slots(p, pattern);
            Ok((p.push(Op::NamedPath { input: end, slot, parts }), slot))
        })?;
        Ok(if all { plan::Expr::Collect(inner, slot) } else { plan::Expr::First(inner, slot) })
    }

    /// Plans something inside an expression or operator: its operators stand side by side, and what
    /// it binds is not bound outside.
    pub(super) fn inner<T>(
        &mut self,
        plan: impl FnOnce(&mut Self, plan::OpId) -> Result<(plan::OpId, T), CypherError>,
    ) -> Result<(Inner, T), CypherError> {
        let bound = self.bound.clone();
        let known = std::mem::take(&mut self.known);
        let aggregates = self.aggregates.take();
        let from = self.ops.len();
        let leaf = self.push(Op::Argument);
        self.inside += 1;
        let result = plan(self, leaf);
        self.inside -= 1;
        self.bound = bound;
        self.known = known;
        self.aggregates = aggregates;
        let (root, extra) = result?;
        Ok((Inner { root, ops: from..self.ops.len() }, extra))
    }

    pub(super) fn label_test(&mut self, labels: &[LabelExpr]) -> Result<LabelTest, CypherError> {
        self.effects.reads |= Effects::LABELS;
        if let [one] = labels {
            return self.one_label_test(one);
        }
        Ok(LabelTest::All(labels.iter().map(|l| self.one_label_test(l)).collect::<Result<_, _>>()?))
    }

    fn one_label_test(&mut self, label: &LabelExpr) -> Result<LabelTest, CypherError> {
        Ok(match label {
            LabelExpr::Label(LabelName::Name(name)) => LabelTest::Label(LabelRef::new(name.name.clone())),
            LabelExpr::Label(LabelName::Dynamic(e)) => LabelTest::Dynamic(self.expr(e)?),
            LabelExpr::Any => LabelTest::Any,
            LabelExpr::Not(inner) => LabelTest::Not(Box::new(self.one_label_test(inner)?)),
            LabelExpr::And(items) => {
                LabelTest::All(items.iter().map(|l| self.one_label_test(l)).collect::<Result<_, _>>()?)
            }
            LabelExpr::Or(items) => {
                LabelTest::Or(items.iter().map(|l| self.one_label_test(l)).collect::<Result<_, _>>()?)
            }
        })
    }

    pub(super) fn new_label(&mut self, label: &LabelName) -> Result<NewName, CypherError> {
        self.new_name(label, LabelRef::new)
    }

    /// Plans a name of something new; `refer` makes of a text what finds its id.
    pub(super) fn new_name<Ref>(
        &mut self,
        name: &LabelName,
        refer: fn(Arc<str>) -> Ref,
    ) -> Result<NewName<Ref>, CypherError> {
        Ok(match name {
            LabelName::Name(name) => NewName::Name(refer(name.name.clone())),
            LabelName::Dynamic(e) => NewName::Dynamic(self.expr(e)?),
        })
    }

    /// Labels of something new: names, with nothing left open.
    pub(super) fn new_labels(&mut self, labels: &[LabelExpr]) -> Result<Vec<NewName>, CypherError> {
        let mut out = Vec::new();
        for label in labels {
            match label {
                LabelExpr::Label(name) => out.push(self.new_label(name)?),
                LabelExpr::And(items) => out.extend(self.new_labels(items)?),
                LabelExpr::Any | LabelExpr::Not(_) | LabelExpr::Or(_) => {
                    return Err(CypherError::runtime(
                        ErrorKind::SyntaxError,
                        "UnexpectedSyntax",
                        "Something new has labels, not a condition on labels.",
                    ));
                }
            }
        }
        Ok(out)
    }

    /// Returns the number of a parameter, which stands at `span`.
    pub(super) fn param(&mut self, name: &ast::Name, span: Span) -> usize {
        if let Some(i) = self.params.iter().position(|p| p.name == *name) {
            return i;
        }
        self.params.push(plan::Param { name: name.clone(), span });
        self.params.len() - 1
    }

    pub(super) fn slot(&self, var: ast::VarId) -> Slot {
        var.0 as Slot
    }
}

fn literal(l: &Literal) -> Value {
    match l {
        Literal::Null => Value::Null,
        Literal::Boolean(b) => Value::Bool(*b),
        Literal::Integer(i) => Value::Int(*i),
        Literal::Float(f) => Value::Float(*f),
        Literal::String(s) => Value::String(s.clone()),
    }
}
