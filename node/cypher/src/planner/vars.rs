//! Which variables an expression names.

use crate::ast::*;

/// Calls `f` for every variable in an expression, its subqueries included. Ids are unique in a
/// query, so variables that are bound inside do no harm to who looks for those from outside.
pub(super) fn each_variable(e: &Expr, f: &mut dyn FnMut(VarId)) {
    match &e.kind {
        ExprKind::Literal(_) | ExprKind::Parameter(_) | ExprKind::Enum { .. } => {}
        ExprKind::Variable(v) => f(v.var),
        ExprKind::Property { base, .. } => each_variable(base, f),
        ExprKind::Index { base, index } => {
            each_variable(base, f);
            each_variable(index, f);
        }
        ExprKind::Slice { base, from, to } => {
            each_variable(base, f);
            from.iter().chain(to).for_each(|e| each_variable(e, f));
        }
        ExprKind::List(items) | ExprKind::And(items) | ExprKind::Or(items) | ExprKind::Xor(items) => {
            items.iter().for_each(|e| each_variable(e, f));
        }
        ExprKind::Map(pairs) => pairs.iter().for_each(|(_, e)| each_variable(e, f)),
        ExprKind::MapProjection(p) => {
            f(p.base.var);
            for item in &p.items {
                match item {
                    MapProjectionItem::Entry(_, e) => each_variable(e, f),
                    MapProjectionItem::Variable(v) => f(v.var),
                    MapProjectionItem::Property(_) | MapProjectionItem::All => {}
                }
            }
        }
        ExprKind::Not(e) | ExprKind::Negate(e) | ExprKind::Plus(e) | ExprKind::IsNull { expr: e, .. } => {
            each_variable(e, f);
        }
        ExprKind::Comparison { first, rest } => {
            each_variable(first, f);
            rest.iter().for_each(|(_, e)| each_variable(e, f));
        }
        ExprKind::Arithmetic { first, rest } => {
            each_variable(first, f);
            rest.iter().for_each(|(_, e)| each_variable(e, f));
        }
        ExprKind::In { element, list } => {
            each_variable(element, f);
            each_variable(list, f);
        }
        ExprKind::StringTest { left, right, .. } => {
            each_variable(left, f);
            each_variable(right, f);
        }
        ExprKind::HasLabels { expr, labels } => {
            each_variable(expr, f);
            labels.iter().for_each(|l| in_label(l, f));
        }
        ExprKind::Function { args, .. } => args.iter().for_each(|e| each_variable(e, f)),
        ExprKind::Aggregate(a) => a.args.iter().for_each(|e| each_variable(e, f)),
        ExprKind::Case(c) => {
            c.subject.iter().chain(&c.default).for_each(|e| each_variable(e, f));
            for (when, then) in &c.branches {
                each_variable(when, f);
                each_variable(then, f);
            }
        }
        ExprKind::ListComprehension(c) => {
            each_variable(&c.list, f);
            c.filter.iter().chain(&c.result).for_each(|e| each_variable(e, f));
        }
        ExprKind::PatternComprehension(c) => {
            in_pattern(&c.pattern, f);
            c.filter.iter().for_each(|e| each_variable(e, f));
            each_variable(&c.result, f);
        }
        ExprKind::Quantifier(q) => {
            each_variable(&q.list, f);
            each_variable(&q.predicate, f);
        }
        ExprKind::Reduce(r) => {
            each_variable(&r.initial, f);
            each_variable(&r.list, f);
            each_variable(&r.body, f);
        }
        ExprKind::PatternPredicate(p) | ExprKind::ShortestPath(p) => in_pattern(p, f),
        ExprKind::Exists(q) | ExprKind::CountSubquery(q) | ExprKind::CollectSubquery(q) => in_query(q, f),
    }
}

pub(super) fn in_label(l: &LabelExpr, f: &mut dyn FnMut(VarId)) {
    match l {
        LabelExpr::Label(name) => in_name(name, f),
        LabelExpr::Any => {}
        LabelExpr::Not(inner) => in_label(inner, f),
        LabelExpr::And(items) | LabelExpr::Or(items) => items.iter().for_each(|l| in_label(l, f)),
    }
}

fn in_name(name: &LabelName, f: &mut dyn FnMut(VarId)) {
    if let LabelName::Dynamic(e) = name {
        each_variable(e, f);
    }
}

pub(super) fn in_pattern(p: &PathPattern, f: &mut dyn FnMut(VarId)) {
    in_node(&p.start, f);
    for hop in &p.hops {
        f(hop.relationship.var);
        let r = &hop.relationship;
        r.types.iter().for_each(|t| in_name(t, f));
        r.properties.iter().chain(&r.filter).for_each(|e| each_variable(e, f));
        if let Some(length) = &r.length {
            length.min.iter().chain(&length.max).for_each(|e| each_variable(e, f));
            if let Some(lambda) = &length.filter {
                each_variable(&lambda.body, f);
            }
            if let Expansion::WeightedShortest { weight: Some(w), .. }
            | Expansion::AllShortest { weight: Some(w), .. } = &length.expansion
            {
                each_variable(&w.body, f);
            }
        }
        in_node(&hop.node, f);
    }
}

fn in_node(n: &NodePattern, f: &mut dyn FnMut(VarId)) {
    f(n.var);
    n.labels.iter().for_each(|l| in_label(l, f));
    n.properties.iter().chain(&n.filter).for_each(|e| each_variable(e, f));
}

fn in_query(q: &Query, f: &mut dyn FnMut(VarId)) {
    q.parts.iter().flat_map(|p| &p.clauses).for_each(|c| in_clause(c, f));
}

/// Calls `f` for every variable in a clause. Clauses that write do not stand in expressions.
fn in_clause(c: &Clause, f: &mut dyn FnMut(VarId)) {
    match &c.kind {
        ClauseKind::Match(m) => {
            m.patterns.iter().for_each(|p| in_pattern(p, f));
            m.filter.iter().for_each(|e| each_variable(e, f));
        }
        ClauseKind::With(p) | ClauseKind::Return(p) => {
            p.items.iter().for_each(|i| each_variable(&i.expr, f));
            p.order_by.iter().for_each(|s| each_variable(&s.expr, f));
            p.skip.iter().chain(&p.limit).chain(&p.filter).for_each(|e| each_variable(e, f));
        }
        ClauseKind::Unwind(u) => each_variable(&u.list, f),
        ClauseKind::Call(call) => {
            call.args.iter().flatten().chain(&call.filter).for_each(|e| each_variable(e, f));
        }
        ClauseKind::Subquery(s) => {
            if let Imports::Named(names) = &s.imports {
                names.iter().for_each(|i| f(i.var));
            }
            in_query(&s.query, f);
        }
        ClauseKind::Create(_)
        | ClauseKind::Merge(_)
        | ClauseKind::Set(_)
        | ClauseKind::Remove(_)
        | ClauseKind::Delete(_)
        | ClauseKind::Foreach(_)
        | ClauseKind::LoadCsv(_) => {}
    }
}

/// Whether an aggregate stands in the expression, outside of subqueries.
pub(super) fn has_aggregate(e: &Expr) -> bool {
    let any = |items: &[Expr]| items.iter().any(has_aggregate);
    match &e.kind {
        ExprKind::Aggregate(_) => true,
        ExprKind::Property { base: e, .. }
        | ExprKind::Not(e)
        | ExprKind::Negate(e)
        | ExprKind::Plus(e)
        | ExprKind::IsNull { expr: e, .. }
        | ExprKind::HasLabels { expr: e, .. } => has_aggregate(e),
        ExprKind::Index { base, index } => has_aggregate(base) || has_aggregate(index),
        ExprKind::Slice { base, from, to } => {
            has_aggregate(base) || from.iter().chain(to).any(|e| has_aggregate(e))
        }
        ExprKind::List(items) | ExprKind::And(items) | ExprKind::Or(items) | ExprKind::Xor(items) => {
            any(items)
        }
        ExprKind::Map(pairs) => pairs.iter().any(|(_, e)| has_aggregate(e)),
        ExprKind::MapProjection(p) => {
            p.items.iter().any(|i| matches!(i, MapProjectionItem::Entry(_, e) if has_aggregate(e)))
        }
        ExprKind::Comparison { first, rest } => {
            has_aggregate(first) || rest.iter().any(|(_, e)| has_aggregate(e))
        }
        ExprKind::Arithmetic { first, rest } => {
            has_aggregate(first) || rest.iter().any(|(_, e)| has_aggregate(e))
        }
        ExprKind::In { element, list } => has_aggregate(element) || has_aggregate(list),
        ExprKind::StringTest { left, right, .. } => has_aggregate(left) || has_aggregate(right),
        ExprKind::Function { args, .. } => any(args),
        ExprKind::Case(c) => {
            c.subject.iter().chain(&c.default).any(has_aggregate)
                || c.branches.iter().any(|(w, t)| has_aggregate(w) || has_aggregate(t))
        }
        ExprKind::ListComprehension(c) => {
            has_aggregate(&c.list) || c.filter.iter().chain(&c.result).any(has_aggregate)
        }
        ExprKind::Quantifier(q) => has_aggregate(&q.list) || has_aggregate(&q.predicate),
        ExprKind::Reduce(r) => has_aggregate(&r.initial) || has_aggregate(&r.list) || has_aggregate(&r.body),
        _ => false,
    }
}
