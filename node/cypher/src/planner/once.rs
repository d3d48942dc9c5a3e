//! Expansions whose rows are wanted once a vertex.
//!
//! `RETURN DISTINCT n.id` at the end of a pattern drops rows that repeat. Where nothing but `n` is looked at on the
//! way there, and always with the same result for the same `n`, a vertex that comes a second time, on another way,
//! cannot add a row: the hop that leads to it need not give it out again.

use crate::plan::{Expr, LabelTest, Op, OpId, Plan, Slot};

/// Marks the expansions below each `DISTINCT` that need to give out each vertex once.
pub(super) fn mark(plan: &mut Plan) {
    for id in 0..plan.ops.len() {
        let Op::Distinct { input, slots } = &plan.ops[id] else { continue };
        if let Some(expand) = only_source(plan, *input, slots.clone()) {
            match &mut plan.ops[expand] {
                Op::Expand(e) => e.once = true,
                Op::VarExpand(e) => e.hop.once = true,
                _ => unreachable!("it was found as one of these"),
            }
        }
    }
}

/// Returns the expansion that `wanted` slots come from, if they depend on the vertex that it binds and on nothing else.
fn only_source(plan: &Plan, mut at: OpId, mut wanted: Vec<Slot>) -> Option<OpId> {
    loop {
        match &plan.ops[at] {
            Op::Project { input, items, .. } => {
                // What it makes is wanted no more, but what that is made of.
                for (e, slot) in items {
                    if wanted.contains(slot) {
                        wanted.retain(|w| w != slot);
                        looks_at(e, &mut wanted)?;
                    }
                }
                at = *input;
            }
            Op::Filter { input, predicate } => {
                looks_at(predicate, &mut wanted)?;
                at = *input;
            }
            Op::Pass { input } => at = *input,
            Op::Expand(e) if !e.into && wanted.iter().all(|w| *w == e.to) => return Some(at),
            Op::VarExpand(e) if !e.hop.into && !e.keep_edges && wanted.iter().all(|w| *w == e.hop.to) => {
                return Some(at);
            }
            _ => return None,
        }
    }
}

/// Adds the slots that an expression looks at; None where it may give something else the next time, or where that is not
/// seen at once.
fn looks_at(e: &Expr, slots: &mut Vec<Slot>) -> Option<()> {
    let mut waiting = vec![e];
    while let Some(e) = waiting.pop() {
        match e {
            Expr::Const(_) | Expr::Param(_) => {}
            Expr::Slot(slot) => slots.push(*slot),
            Expr::Property(e, ..) | Expr::Not(e) | Expr::IsNull(e, _) => waiting.push(e),
            Expr::HasLabels(e, test) if matches!(**test, LabelTest::Label(_)) => waiting.push(e),
            Expr::And(all) | Expr::Or(all) => waiting.extend(all),
            Expr::Compare(first, rest) => {
                waiting.push(first);
                waiting.extend(rest.iter().map(|(_, e)| e));
            }
            _ => return None,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use crate::plan::Op;
    use mgnode_core::storage::Graph;
    use std::sync::Arc;

    /// How many expansions of a query give out each vertex once.
    fn marked(query: &str) -> usize {
        let graph = Arc::new(Graph::new(Arc::default()));
        let crate::ast::Statement::Query(query) = crate::parse(query).unwrap() else {
            panic!("it is a query")
        };
        // So many that a plan begins at the vertex that is known.
        let mut tx = graph.begin(true);
        let label = tx.names().label("User");
        for _ in 0..50 {
            tx.create_vertex(&[label], Vec::new()).unwrap();
        }
        let prepared = crate::prepare(&query, &tx, &Arc::default()).unwrap();
        let is_once = |op: &&Op| match op {
            Op::Expand(e) => e.once,
            Op::VarExpand(e) => e.hop.once,
            _ => false,
        };
        prepared.plan.ops.iter().filter(is_once).count()
    }

    #[test]
    fn the_last_hop_is_marked_where_only_its_end_is_looked_at() {
        for (query, expected) in [
            ("MATCH (s)-->()-->(n:User) WHERE id(s) = 1 RETURN DISTINCT n.id", 1),
            ("MATCH (s)-[*1..2]->(n) WHERE id(s) = 1 AND n.age > 3 RETURN DISTINCT n.id, n", 1),
            ("MATCH (s)-->(n) WHERE id(s) = 1 WITH DISTINCT n RETURN count(n)", 1),
            ("MATCH (s)-->()-->(n) WHERE id(s) = 1 RETURN n.id", 0),
            ("MATCH (s)-[e]->(n) WHERE id(s) = 1 RETURN DISTINCT n.id, e.w", 0),
            ("MATCH (s)-->(n) WHERE id(s) = 1 RETURN DISTINCT n.id, s.i", 0),
            ("MATCH (s)-->(n) WHERE id(s) = 1 AND n.age < rand() RETURN DISTINCT n.id", 0),
            ("MATCH p = (s)-[*..2]->(n) WHERE id(s) = 1 RETURN DISTINCT n.id, length(p)", 0),
            ("MATCH (s)-->(n) WHERE id(s) = 1 SET n.seen = true RETURN DISTINCT n.id", 0),
        ] {
            assert_eq!(marked(query), expected, "{query}");
        }
    }
}
