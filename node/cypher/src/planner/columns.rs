//! Properties that a scan reads together with its vertices.
//!
//! A property that every row needs is read vertex by vertex under two locks; a scan reads those of a whole batch
//! under few. Which ones, is told by the operators above the scan that work on its rows as they come: what the
//! first condition and an aggregate look at. Each such property gets a slot, and the expressions read that.
//!
//! Only queries that write nothing are changed so: a row could else see a property as it was before a write.

use crate::plan::{Expr, KeyName, Op, OpId, Plan, Slot};
use std::sync::Arc;

/// The properties of one scan, with the slots that were given out for them.
struct Columns<'a> {
    of: Slot,
    columns: Vec<(Arc<str>, Slot)>,
    /// Slots of the plan.
    width: &'a mut usize,
}

/// Has each scan read what the operators above it look at in every row.
pub(super) fn gather(plan: &mut Plan) {
    let mut consumers: Vec<Option<OpId>> = vec![None; plan.ops.len()];
    for (id, op) in plan.ops.iter().enumerate() {
        if let (Some(input), _) = op.below() {
            consumers[input] = Some(id);
        }
    }
    for id in 0..plan.ops.len() {
        let (Op::AllNodes { slot, .. } | Op::LabelScan { slot, .. }) = &plan.ops[id] else { continue };
        let mut columns = Columns { of: *slot, columns: Vec::new(), width: &mut plan.width };
        let mut above = consumers[id];
        // Rows that a condition lets through may be few.
        let mut is_every_row = true;
        while let Some(at) = above {
            match &mut plan.ops[at] {
                Op::Filter { predicate, .. } => {
                    match predicate {
                        // The next ones are asked only where the first one holds.
                        Expr::And(parts) => {
                            for (i, part) in parts.iter_mut().enumerate() {
                                columns.replace(part, is_every_row && i == 0);
                            }
                        }
                        predicate => columns.replace(predicate, is_every_row),
                    }
                    is_every_row = false;
                }
                Op::Project { items, .. } => {
                    items.iter_mut().for_each(|(item, _)| columns.replace(item, false));
                }
                Op::Aggregate { keys, aggregates, .. } => {
                    let args = aggregates.iter_mut().flat_map(|aggregate| &mut aggregate.args);
                    let all = keys.iter_mut().map(|(key, _)| key).chain(args);
                    all.for_each(|e| columns.replace(e, is_every_row));
                    break;
                }
                Op::Sort { keys, .. } => {
                    keys.iter_mut().for_each(|(key, _)| columns.replace(key, is_every_row));
                    break;
                }
                Op::Pass { .. } | Op::Expand(_) | Op::VarExpand(_) | Op::NamedPath { .. } => {}
                // What comes after holds rows back, or restores other ones.
                _ => break,
            }
            above = consumers[at];
        }
        let read = columns.columns;
        if let Op::AllNodes { columns, .. } | Op::LabelScan { columns, .. } = &mut plan.ops[id] {
            *columns = read.into_iter().map(|(name, slot)| (KeyName::new(name), slot)).collect();
        }
    }
}

impl Columns<'_> {
    /// Replaces properties of the scan's vertex by slots; `may_add` those that have none yet, too. What is evaluated
    /// for a list's items or by a plan of its own stays as it is.
    fn replace(&mut self, e: &mut Expr, may_add: bool) {
        let mut waiting = vec![e];
        while let Some(e) = waiting.pop() {
            if let Expr::Property(base, key, _) = e
                && matches!(**base, Expr::Slot(slot) if slot == self.of)
            {
                if let Some(slot) = self.slot(&key.name, may_add) {
                    *e = Expr::Slot(slot);
                }
                continue;
            }
            match e {
                Expr::Property(e, ..)
                | Expr::Not(e)
                | Expr::Negate(e)
                | Expr::Plus(e)
                | Expr::IsNull(e, _) => waiting.push(e),
                Expr::Index(a, b, _) | Expr::In(a, b) | Expr::StringTest(_, a, b) => {
                    waiting.extend([&mut **a, b])
                }
                Expr::List(all) | Expr::And(all) | Expr::Or(all) | Expr::Xor(all) | Expr::Call(_, all, _) => {
                    waiting.extend(all);
                }
                Expr::Compare(first, rest) => {
                    waiting.push(first);
                    waiting.extend(rest.iter_mut().map(|(_, e)| e));
                }
                Expr::Arithmetic(first, rest, _) => {
                    waiting.push(first);
                    waiting.extend(rest.iter_mut().map(|(_, e)| e));
                }
                _ => {}
            }
        }
    }

    fn slot(&mut self, name: &Arc<str>, may_add: bool) -> Option<Slot> {
        let known = self.columns.iter().find(|(known, _)| known == name).map(|(_, slot)| *slot);
        known.or_else(|| {
            may_add.then(|| {
                let slot = *self.width;
                *self.width += 1;
                self.columns.push((name.clone(), slot));
                slot
            })
        })
    }
}
