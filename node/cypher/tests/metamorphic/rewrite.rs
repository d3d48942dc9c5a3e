//! The same query in other words.

use crate::dice::Dice;
use crate::query::{Clause, CompareOp, Direction, Node, Path, Pred, Query, Rel, Term};
use crate::random::scope_of;

/// Rewrites a query so that it has the same rows.
pub(crate) fn rewritten(dice: &mut Dice, query: &Query) -> Query {
    let mut q = query.clone();
    let mut clauses = Vec::new();
    for clause in q.clauses {
        let Clause::Match { optional, mut paths, mut filter } = clause else {
            clauses.push(clause);
            continue;
        };
        filter = filter.map(|f| condition(dice, f));
        if dice.chance(40) {
            move_to_filter(dice, &mut paths, &mut filter);
        }
        lengthen(dice, &mut paths);
        if dice.chance(60) {
            paths = paths.into_iter().flat_map(|p| split(dice, p)).collect();
        }
        paths = paths.into_iter().map(|p| if dice.chance(50) { reversed(p) } else { p }).collect();
        if dice.chance(60) {
            dice.shuffle(&mut paths);
        }
        if !optional && paths.len() > 1 && dice.chance(50) {
            let at = dice.within(1, paths.len() - 1);
            let (mut left, mut right) = (paths[..at].to_vec(), paths[at..].to_vec());
            if let Some(apart) = kept_apart(&mut left, &mut right) {
                let mut all = apart;
                all.extend(filter);
                clauses.push(Clause::Match { optional, paths: left, filter: None });
                if dice.chance(30) {
                    clauses.push(Clause::All(None));
                }
                let filter = (!all.is_empty()).then_some(Pred::And(all));
                clauses.push(Clause::Match { optional, paths: right, filter });
                continue;
            }
        }
        clauses.push(Clause::Match { optional, paths, filter });
        if dice.chance(15) {
            clauses.push(Clause::All(None));
        }
    }
    if dice.chance(30) {
        enclose(dice, &mut clauses);
    }
    q.clauses = clauses;
    q.is_wrapped = !q.vars.is_empty() && dice.chance(20);
    q.with_params = dice.chance(50);
    q
}

/// Puts one clause into a subquery, which is given all that there is.
fn enclose(dice: &mut Dice, clauses: &mut [Clause]) {
    let at = dice.below(clauses.len());
    if !matches!(clauses[at], Clause::Match { .. }) {
        return;
    }
    let names = |clauses: &[Clause]| scope_of(clauses).into_iter().map(|(v, _)| v).collect::<Vec<_>>();
    let (given, mut returns) = (names(&clauses[..at]), names(&clauses[..=at]));
    returns.retain(|v| !given.contains(v));
    if !returns.is_empty() {
        clauses[at] = Clause::Call { given, clause: Box::new(clauses[at].clone()), returns };
    }
}

/// Returns the rows of a query for which a condition holds, does not hold, and is unknown.
pub(crate) fn partitions(dice: &mut Dice, query: &Query, condition: &Pred) -> [Query; 3] {
    let parts = [
        condition.clone(),
        Pred::Not(Box::new(condition.clone())),
        Pred::Unknown(Box::new(condition.clone())),
    ];
    let is_apart = dice.chance(30);
    parts.map(|part| {
        let mut q = query.clone();
        match q.clauses.last_mut() {
            Some(Clause::Match { optional: false, filter, .. }) if !is_apart => {
                let mut all: Vec<Pred> = filter.take().into_iter().collect();
                all.push(part);
                *filter = Some(Pred::And(all));
            }
            _ => q.clauses.push(Clause::All(Some(part))),
        }
        q
    })
}

fn reversed(path: Path) -> Path {
    if path.name.is_some() || path.hops.is_empty() {
        return path;
    }
    let (mut rels, mut nodes): (Vec<Rel>, Vec<Node>) = path.hops.into_iter().unzip();
    nodes.insert(0, path.start);
    nodes.reverse();
    rels.reverse();
    for rel in &mut rels {
        rel.direction = match rel.direction {
            Direction::Out => Direction::In,
            Direction::In => Direction::Out,
            Direction::Both => Direction::Both,
        };
    }
    let start = nodes.remove(0);
    Path { name: None, start, hops: rels.into_iter().zip(nodes).collect() }
}

/// Cuts a path in two at a node.
fn split(dice: &mut Dice, mut path: Path) -> Vec<Path> {
    if path.name.is_some() || path.hops.len() < 2 {
        return vec![path];
    }
    let at = dice.within(1, path.hops.len() - 1);
    let hops = path.hops.split_off(at);
    let middle = &mut path.hops[at - 1].1;
    middle.is_anonymous = false;
    let start = Node { labels: Vec::new(), is_any: false, properties: Vec::new(), ..middle.clone() };
    vec![path, Path { name: None, start, hops }]
}

/// Makes single hops paths of one hop, where nobody looks at them.
fn lengthen(dice: &mut Dice, paths: &mut [Path]) {
    for (rel, _) in paths.iter_mut().flat_map(|p| &mut p.hops) {
        if rel.is_anonymous && rel.length.is_none() && dice.chance(15) {
            rel.length = Some((1, 1));
        }
        dice.shuffle(&mut rel.types);
    }
}

/// Writes labels and properties as conditions.
fn move_to_filter(dice: &mut Dice, paths: &mut [Path], filter: &mut Option<Pred>) {
    let mut all: Vec<Pred> = filter.take().into_iter().collect();
    let equal = |var: &String, (key, term)| {
        let property = Term::Property(var.clone(), key);
        Pred::Compare(property, CompareOp::Equal, term)
    };
    for path in paths {
        let nodes = std::iter::once(&mut path.start).chain(path.hops.iter_mut().map(|(_, n)| n));
        for node in nodes {
            if !(node.labels.is_empty() && node.properties.is_empty()) && dice.chance(60) {
                node.is_anonymous = false;
                let labels = node.labels.drain(..).map(|l| Pred::HasLabel(node.var.clone(), l));
                match node.is_any {
                    true => all.push(Pred::Or(labels.collect())),
                    false => all.extend(labels),
                }
                node.is_any = false;
                all.extend(node.properties.drain(..).map(|p| equal(&node.var, p)));
            }
        }
        for (rel, _) in path.hops.iter_mut().filter(|(r, _)| r.length.is_none()) {
            if !rel.properties.is_empty() && dice.chance(60) {
                rel.is_anonymous = false;
                all.extend(rel.properties.drain(..).map(|p| equal(&rel.var, p)));
            }
        }
    }
    dice.shuffle(&mut all);
    *filter = (!all.is_empty()).then(|| if all.len() == 1 { all.remove(0) } else { Pred::And(all) });
}

/// The conditions under which paths of two `MATCH`es are those of one: no edge of one is in the other. None where that
/// takes more than a comparison.
fn kept_apart(left: &mut [Path], right: &mut [Path]) -> Option<Vec<Pred>> {
    let mut apart = Vec::new();
    for (a, _) in left.iter_mut().flat_map(|p| &mut p.hops) {
        for (b, _) in right.iter_mut().flat_map(|p| &mut p.hops) {
            let may_meet =
                a.types.is_empty() || b.types.is_empty() || a.types.iter().any(|t| b.types.contains(t));
            if !may_meet {
                continue;
            }
            if a.length.is_some() || b.length.is_some() {
                return None;
            }
            a.is_anonymous = false;
            b.is_anonymous = false;
            apart.push(Pred::Not(Box::new(Pred::Same(a.var.clone(), b.var.clone()))));
        }
    }
    Some(apart)
}

/// Turns comparisons round, and `NOT`s inside out.
fn condition(dice: &mut Dice, pred: Pred) -> Pred {
    let mut each = |parts: Vec<Pred>| {
        let mut parts: Vec<Pred> = parts.into_iter().map(|p| condition(dice, p)).collect();
        dice.shuffle(&mut parts);
        parts
    };
    let pred = match pred {
        Pred::And(parts) => Pred::And(each(parts)),
        Pred::Or(parts) => Pred::Or(each(parts)),
        other => other,
    };
    match pred {
        Pred::Compare(a, op, b) if dice.chance(30) => {
            let turned = match op {
                CompareOp::Less => CompareOp::Greater,
                CompareOp::LessOrEqual => CompareOp::GreaterOrEqual,
                CompareOp::Greater => CompareOp::Less,
                CompareOp::GreaterOrEqual => CompareOp::LessOrEqual,
                same => same,
            };
            Pred::Compare(b, turned, a)
        }
        Pred::Chain(a, first, b, second, c) if dice.chance(40) => {
            Pred::And(vec![Pred::Compare(a, first, b.clone()), Pred::Compare(b, second, c)])
        }
        Pred::In(term, values) if dice.chance(30) && !values.is_empty() => {
            let equal = |v| Pred::Compare(term.clone(), CompareOp::Equal, Term::Const(v));
            Pred::Or(values.into_iter().map(equal).collect())
        }
        Pred::And(parts) if dice.chance(10) => {
            let not = |p| Pred::Not(Box::new(p));
            not(Pred::Or(parts.into_iter().map(not).collect()))
        }
        other if dice.chance(8) => Pred::Not(Box::new(Pred::Not(Box::new(other)))),
        other => other,
    }
}
