//! The expressions directly inside an expression.
//!
//! Patterns and subqueries are left out: what they hold belongs to them.

use crate::ast::{Expr, ExprKind, MapProjectionItem};

/// Calls `f` for each, until one says no. Returns whether none did.
pub(super) fn each_child(expr: &mut Expr, f: &mut dyn FnMut(&mut Expr) -> bool) -> bool {
    match &mut expr.kind {
        ExprKind::Literal(_)
        | ExprKind::Parameter(_)
        | ExprKind::Variable(_)
        | ExprKind::PatternPredicate(_)
        | ExprKind::ShortestPath(_)
        | ExprKind::Exists(_)
        | ExprKind::CountSubquery(_)
        | ExprKind::CollectSubquery(_)
        | ExprKind::PatternComprehension(_)
        | ExprKind::Enum { .. } => true,
        ExprKind::Property { base, .. } => f(base),
        ExprKind::Index { base, index } => f(base) && f(index),
        ExprKind::Slice { base, from, to } => {
            f(base) && [from, to].into_iter().flatten().all(|bound| f(bound))
        }
        ExprKind::List(all) | ExprKind::And(all) | ExprKind::Or(all) | ExprKind::Xor(all) => {
            all.iter_mut().all(f)
        }
        ExprKind::Map(entries) => entries.iter_mut().all(|(_, value)| f(value)),
        ExprKind::MapProjection(projection) => projection.items.iter_mut().all(|item| match item {
            MapProjectionItem::Entry(_, value) => f(value),
            _ => true,
        }),
        ExprKind::Not(inner)
        | ExprKind::Negate(inner)
        | ExprKind::Plus(inner)
        | ExprKind::IsNull { expr: inner, .. }
        | ExprKind::HasLabels { expr: inner, .. } => f(inner),
        ExprKind::Comparison { first, rest } => f(first) && rest.iter_mut().all(|(_, operand)| f(operand)),
        ExprKind::Arithmetic { first, rest } => f(first) && rest.iter_mut().all(|(_, operand)| f(operand)),
        ExprKind::In { element, list } => f(element) && f(list),
        ExprKind::StringTest { left, right, .. } => f(left) && f(right),
        ExprKind::Function { args, .. } => args.iter_mut().all(f),
        ExprKind::Aggregate(aggregate) => aggregate.args.iter_mut().all(f),
        ExprKind::Case(case) => {
            case.subject.iter_mut().all(&mut *f)
                && case.branches.iter_mut().all(|(when, then)| f(when) && f(then))
                && case.default.iter_mut().all(f)
        }
        ExprKind::ListComprehension(comprehension) => {
            f(&mut comprehension.list)
                && comprehension.filter.iter_mut().all(&mut *f)
                && comprehension.result.iter_mut().all(f)
        }
        ExprKind::Quantifier(quantifier) => f(&mut quantifier.list) && f(&mut quantifier.predicate),
        ExprKind::Reduce(reduce) => f(&mut reduce.initial) && f(&mut reduce.list) && f(&mut reduce.body),
    }
}

/// Tells whether the expression binds variables of its own.
pub(super) fn binds(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::ListComprehension(_) | ExprKind::Quantifier(_) | ExprKind::Reduce(_))
}
