//! `WITH` and `RETURN`: what is grouped, and what is seen behind.

use super::expressions::{Aggregates, Context, wrong_type};
use super::scope::{Analyzer, Scope};
use super::types::{Base, Type};
use super::visit::{binds, each_child};
use crate::ast::*;
use crate::error::CypherError;
use rustc_hash::{FxHashMap, FxHashSet};

type Result<T, E = CypherError> = std::result::Result<T, E>;

impl Analyzer<'_> {
    /// Looks into a projection; behind it only what it yields is in scope.
    pub(super) fn projection(&mut self, projection: &mut Projection, with: bool) -> Result<()> {
        if projection.star {
            self.expand_star(projection, with)?;
        }
        // What follows may name an item by its expression as it stands here.
        let more_follows = !projection.order_by.is_empty() || projection.filter.is_some();
        let written: Vec<Expr> = match more_follows {
            true => projection.items.iter().map(|item| item.expr.clone()).collect(),
            false => Vec::new(),
        };
        let mut nameless = None;
        let mut grouped = Vec::with_capacity(projection.items.len());
        let mut out = Scope::default();
        for item in &mut projection.items {
            let is_variable = matches!(item.expr.kind, ExprKind::Variable(_));
            if with && item.alias.is_none() && !is_variable && nameless.is_none() {
                let message = format!("`{}` needs a name in `WITH`: write `AS name` behind it.", item.name);
                nameless = Some(CypherError::syntax("NoExpressionAlias", item.expr.span, message));
            }
            let before = self.aggregates_seen;
            let kind = self.expr(&mut item.expr, Context::ITEM)?;
            grouped.push(self.aggregates_seen > before);
            item.var = match &item.expr.kind {
                ExprKind::Variable(ident) if ident.name == item.name => ident.var,
                _ => self.make(item.name.clone(), kind),
            };
            if let Some(alias) = &mut item.alias {
                alias.var = item.var;
            }
            if out.insert(item.name.clone(), item.var).is_some() {
                let message = format!("Two columns have the name `{}`.", item.name);
                return Err(CypherError::syntax("ColumnNameConflict", item.expr.span, message));
            }
        }
        projection.aggregates = grouped.contains(&true);
        if projection.aggregates {
            self.use_keys(&mut projection.items, &grouped)?;
        }

        let narrow = projection.distinct || projection.aggregates;
        if narrow {
            self.scope = out.clone();
        } else {
            self.scope.extend(out.iter().map(|(name, var)| (name.clone(), *var)));
        }
        if more_follows {
            let items = Items::new(&written, &grouped, &projection.items);
            for sort in &mut projection.order_by {
                self.sort_key(&mut sort.expr, &items, projection.aggregates)?;
            }
            if let Some(filter) = &mut projection.filter {
                if !holds_aggregate(filter) {
                    items.put_variables(filter);
                }
                self.condition(filter)?;
            }
        }
        if let Some(error) = nameless {
            return Err(error);
        }
        for (count, word) in [(&mut projection.skip, "SKIP"), (&mut projection.limit, "LIMIT")] {
            if let Some(count) = count {
                self.row_count(count, word)?;
            }
        }
        self.scope = out;
        Ok(())
    }

    fn expand_star(&mut self, projection: &mut Projection, with: bool) -> Result<()> {
        let mut names: Vec<Name> = self.scope.keys().cloned().collect();
        if names.is_empty() && !with {
            let message = "`RETURN *` returns all variables, and there are none here.";
            return Err(CypherError::syntax("NoVariablesInScope", projection.span, message));
        }
        names.sort_unstable();
        let span = projection.span;
        let all = names.into_iter().map(|name| {
            let ident = Ident { name: name.clone(), span, var: VarId::NONE };
            let expr = Expr::new(ExprKind::Variable(ident), span);
            ProjectionItem { expr, alias: None, name, var: VarId::NONE }
        });
        let rest = std::mem::take(&mut projection.items);
        projection.items = all.chain(rest).collect();
        Ok(())
    }

    /// In items with aggregates, makes what is a grouping key that key's variable, and refuses what is
    /// neither a key nor inside an aggregate.
    fn use_keys(&self, items: &mut [ProjectionItem], grouped: &[bool]) -> Result<()> {
        let keys: Vec<(Expr, Ident)> = items
            .iter()
            .zip(grouped)
            .filter(|(item, grouped)| !**grouped && is_simple(&item.expr))
            .map(|(item, _)| {
                let ident = Ident { name: item.name.clone(), span: item.expr.span, var: item.var };
                (item.expr.clone(), ident)
            })
            .collect();
        let mut by_variable: FxHashMap<VarId, Vec<usize>> = FxHashMap::default();
        for (n, (key, _)) in keys.iter().enumerate() {
            by_variable.entry(root(key)).or_default().push(n);
        }
        for (item, _) in items.iter_mut().zip(grouped).filter(|(_, grouped)| **grouped) {
            self.use_keys_in(&mut item.expr, &keys, &by_variable)?;
        }
        Ok(())
    }

    fn use_keys_in(
        &self,
        expr: &mut Expr,
        keys: &[(Expr, Ident)],
        by_variable: &FxHashMap<VarId, Vec<usize>>,
    ) -> Result<()> {
        if matches!(expr.kind, ExprKind::Aggregate(_)) {
            return Ok(());
        }
        if is_simple(expr)
            && let Some(candidates) = by_variable.get(&root(expr))
            && let Some((_, ident)) = candidates.iter().map(|n| &keys[*n]).find(|(key, _)| key == expr)
        {
            expr.kind = ExprKind::Variable(ident.clone());
            return Ok(());
        }
        let in_scope = |ident: &Ident| self.scope.get(&ident.name) == Some(&ident.var);
        let loose = match &expr.kind {
            ExprKind::Variable(ident) => Some(ident).filter(|ident| in_scope(ident)),
            ExprKind::MapProjection(projection) => {
                let base = &projection.base;
                Some(base).filter(|base| in_scope(base) && !keys.iter().any(|(key, _)| is(key, base)))
            }
            _ => None,
        };
        if let Some(ident) = loose {
            return Err(ambiguous(&ident.name, expr.span));
        }
        let mut error = None;
        each_child(expr, &mut |child| match self.use_keys_in(child, keys, by_variable) {
            Ok(()) => true,
            Err(found) => {
                error = Some(found);
                false
            }
        });
        error.map_or(Ok(()), Err)
    }

    fn sort_key(&mut self, expr: &mut Expr, items: &Items, aggregates: bool) -> Result<()> {
        let has_aggregate = aggregates && holds_aggregate(expr);
        items.put_variables(expr);
        if has_aggregate {
            self.check_loose(expr, items)?;
        }
        let before = self.aggregates_seen;
        let allowed = if aggregates { Aggregates::Here } else { Aggregates::Nowhere };
        self.expr(expr, Context { aggregates: allowed, patterns: false })?;
        if self.aggregates_seen > before {
            let message = "`ORDER BY` can only use an aggregate that is also projected.";
            return Err(CypherError::syntax("InvalidAggregation", expr.span, message));
        }
        Ok(())
    }

    /// Refuses a variable beside an aggregate that is only a part of a grouping key.
    fn check_loose(&self, expr: &mut Expr, items: &Items) -> Result<()> {
        let mut found = None;
        loose_variables(expr, &mut |ident| {
            if !self.scope.contains_key(&ident.name) && items.key_parts.contains(&ident.name) {
                found = Some(ambiguous(&ident.name, ident.span));
            }
            found.is_none()
        });
        found.map_or(Ok(()), Err)
    }

    fn row_count(&mut self, count: &mut Expr, word: &str) -> Result<()> {
        let mut variable = None;
        loose_variables(count, &mut |ident| {
            variable = Some(ident.span);
            false
        });
        if let Some(span) = variable {
            let message = format!("`{word}` is counted once, so it cannot use variables.");
            return Err(CypherError::syntax("NonConstantExpression", span, message));
        }
        let scope = std::mem::take(&mut self.scope);
        let kind = self.expr(count, Context::VALUE);
        self.scope = scope;
        let kind = kind?;
        if let ExprKind::Literal(Literal::Integer(n)) = count.kind
            && n < 0
        {
            let message = format!("`{word}` cannot be negative.");
            return Err(CypherError::syntax("NegativeIntegerArgument", count.span, message));
        }
        if !matches!(kind.base, Base::Any | Base::Integer) {
            return Err(wrong_type(count.span, &format!("`{word}`"), "an integer", kind));
        }
        Ok(())
    }

    /// Looks into an expression that sees no variables.
    pub(super) fn constant(&mut self, expr: &mut Expr) -> Result<Type> {
        let scope = std::mem::take(&mut self.scope);
        let kind = self.expr(expr, Context::VALUE);
        self.scope = scope;
        kind
    }
}

/// The items of a projection as they were written.
struct Items<'a> {
    written: &'a [Expr],
    items: &'a [ProjectionItem],
    names: FxHashSet<Name>,
    /// Variables in grouping keys that are neither a variable nor a property.
    key_parts: FxHashSet<Name>,
}

impl<'a> Items<'a> {
    fn new(written: &'a [Expr], grouped: &[bool], items: &'a [ProjectionItem]) -> Self {
        let mut key_parts = FxHashSet::default();
        for (expr, _) in written.iter().zip(grouped).filter(|(expr, grouped)| !**grouped && !is_simple(expr))
        {
            loose_variables(&mut expr.clone(), &mut |ident| {
                key_parts.insert(ident.name.clone());
                true
            });
        }
        let names = items.iter().map(|item| item.name.clone()).collect();
        Items { written, items, names, key_parts }
    }

    /// Makes what is an item that item's variable.
    fn put_variables(&self, expr: &mut Expr) {
        if let ExprKind::Variable(ident) = &expr.kind
            && self.names.contains(&ident.name)
        {
            return;
        }
        let constant = matches!(expr.kind, ExprKind::Literal(_) | ExprKind::Parameter(_));
        if let Some(n) = self.written.iter().position(|written| !constant && written == expr) {
            let ident = Ident { name: self.items[n].name.clone(), span: expr.span, var: VarId::NONE };
            expr.kind = ExprKind::Variable(ident);
            return;
        }
        if !binds(expr) {
            each_child(expr, &mut |child| {
                self.put_variables(child);
                true
            });
        }
    }
}

/// A variable, or a property of one.
fn is_simple(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Variable(_) => true,
        ExprKind::Property { base, .. } => is_simple(base),
        _ => false,
    }
}

/// Returns the variable of a simple expression.
fn root(expr: &Expr) -> VarId {
    match &expr.kind {
        ExprKind::Variable(ident) => ident.var,
        ExprKind::Property { base, .. } => root(base),
        _ => VarId::NONE,
    }
}

fn is(expr: &Expr, variable: &Ident) -> bool {
    matches!(&expr.kind, ExprKind::Variable(ident) if ident.var == variable.var)
}

fn holds_aggregate(expr: &mut Expr) -> bool {
    matches!(expr.kind, ExprKind::Aggregate(_)) || !each_child(expr, &mut |child| !holds_aggregate(child))
}

/// Calls `f` for each variable outside of aggregates that the expression does not bind itself.
fn loose_variables(expr: &mut Expr, f: &mut dyn FnMut(&Ident) -> bool) -> bool {
    match &expr.kind {
        ExprKind::Variable(ident) => f(ident),
        ExprKind::MapProjection(projection) if !f(&projection.base) => false,
        ExprKind::Aggregate(_) => true,
        ExprKind::ListComprehension(_) | ExprKind::Quantifier(_) | ExprKind::Reduce(_) => {
            let own: Vec<Name> = match &expr.kind {
                ExprKind::ListComprehension(inner) => vec![inner.variable.name.clone()],
                ExprKind::Quantifier(inner) => vec![inner.variable.name.clone()],
                ExprKind::Reduce(inner) => vec![inner.variable.name.clone(), inner.accumulator.name.clone()],
                _ => Vec::new(),
            };
            each_child(expr, &mut |child| {
                loose_variables(child, &mut |ident| own.contains(&ident.name) || f(ident))
            })
        }
        _ => each_child(expr, &mut |child| loose_variables(child, f)),
    }
}

fn ambiguous(name: &str, span: Span) -> CypherError {
    let message = format!(
        "`{name}` stands beside an aggregate and is no grouping key here; \
         project it by itself in a `WITH` before, or put it into the aggregate."
    );
    CypherError::syntax("AmbiguousAggregationExpression", span, message)
}
