//! What a query means, by looking at everything: no index, no order of its own, every combination.

use crate::model::{Model, Properties};
use crate::query::{
    Clause, CompareOp, Direction, Item, Kind, Node, Path, Pred, Query, Rel, Term, TextOp, Var,
};
use crate::values::{canonical, compare, conjunction, disjunction, equal, is_nan_pair, order};
use mgnode_core::types::Value;
use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// What a variable stands for; vertices and edges by their places in the model.
#[derive(Clone, Debug, PartialEq)]
enum Bound {
    Null,
    Vertex(usize),
    Edge(usize),
    Edges(Vec<usize>),
    /// The vertices on a path, and its edges.
    Path(Vec<usize>, Vec<usize>),
    Value(Value),
}

type Row = BTreeMap<Var, Bound>;

/// A path so far: its vertices, and how many edges the paths before it use.
struct Trail {
    vertices: Vec<usize>,
    used_before: usize,
}

/// It takes too long.
#[derive(Debug)]
pub(crate) struct TooMuch;

type Result<T> = std::result::Result<T, TooMuch>;

/// Evaluates queries over one graph.
pub(crate) struct Reference<'a> {
    model: &'a Model,
    /// Of each vertex, its edges in and out.
    around: Vec<Vec<usize>>,
    steps_left: Cell<usize>,
}

impl<'a> Reference<'a> {
    pub(crate) fn new(model: &'a Model) -> Reference<'a> {
        let mut around = vec![Vec::new(); model.vertices.len()];
        for (i, e) in model.edges.iter().enumerate() {
            around[e.from].push(i);
            if e.from != e.to {
                around[e.to].push(i);
            }
        }
        Reference { model, around, steps_left: Cell::new(0) }
    }

    /// Returns the rows, as far as that takes no more than so many steps.
    pub(crate) fn rows(&self, query: &Query, steps_max: usize) -> Result<Vec<Vec<Value>>> {
        self.steps_left.set(steps_max);
        let mut rows = vec![Row::new()];
        for clause in &query.clauses {
            rows = self.clause(clause, rows)?;
        }
        let mut out = if query.items.iter().any(Item::is_aggregate) {
            self.aggregate(&query.items, &rows)?
        } else {
            let row = |row: &Row| query.items.iter().map(|item| self.item(item, row)).collect();
            rows.iter().map(row).collect::<Result<Vec<Vec<Value>>>>()?
        };
        if query.distinct {
            let mut seen = BTreeSet::new();
            out.retain(|row| seen.insert(row.iter().map(canonical).collect::<Vec<_>>()));
        }
        out.sort_by(|a, b| {
            let by_column = query.order.iter().map(|(i, falls)| {
                let o = order(&a[*i], &b[*i]);
                if *falls { o.reverse() } else { o }
            });
            by_column.into_iter().find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        });
        let (skip, limit) = (query.skip.unwrap_or(0), query.limit.unwrap_or(usize::MAX));
        Ok(out.into_iter().skip(skip).take(limit).collect())
    }

    fn step(&self) -> Result<()> {
        let left = self.steps_left.get().checked_sub(1).ok_or(TooMuch)?;
        self.steps_left.set(left);
        Ok(())
    }

    fn clause(&self, clause: &Clause, rows: Vec<Row>) -> Result<Vec<Row>> {
        let mut out = Vec::new();
        match clause {
            Clause::Match { optional, paths, filter } => {
                for row in rows {
                    let before = out.len();
                    self.matches(paths, filter.as_ref(), &row, &mut |found| {
                        out.push(found);
                        Ok(())
                    })?;
                    if *optional && out.len() == before {
                        let mut row = row;
                        for path in paths {
                            let parts = path.hops.iter().flat_map(|(r, n)| [&r.var, &n.var]);
                            for var in parts.chain([&path.start.var]).chain(&path.name) {
                                row.entry(var.clone()).or_insert(Bound::Null);
                            }
                        }
                        out.push(row);
                    }
                }
            }
            Clause::Unwind(var, values) => {
                for row in rows {
                    for value in values {
                        self.step()?;
                        let mut row = row.clone();
                        row.insert(var.clone(), Bound::Value(value.clone()));
                        out.push(row);
                    }
                }
            }
            // What it is given and returns is all that there is and comes up.
            Clause::Call { clause, .. } => return self.clause(clause, rows),
            Clause::With { keep, distinct, totals, limit, filter } => {
                let mut seen = BTreeSet::new();
                let rows = if totals.is_empty() { rows } else { self.grouped(keep, totals, &rows) };
                let totals = totals.iter().map(|(v, _)| (v.clone(), Kind::Value));
                let keep: Vec<(Var, Kind)> = keep.iter().cloned().chain(totals).collect();
                for row in rows {
                    let row: Row = keep.iter().map(|(v, _)| (v.clone(), row[v].clone())).collect();
                    let shown: Vec<String> = row.values().map(|b| canonical(&self.value(b))).collect();
                    if !distinct || seen.insert(shown) {
                        out.push(row);
                    }
                }
                if let Some(limit) = limit {
                    let key = |row: &Row, (var, kind): &(Var, Kind)| match kind {
                        Kind::Node | Kind::Rel => self.property(&row[var], "k"),
                        _ => self.value(&row[var]),
                    };
                    out.sort_by(|a, b| {
                        let by_key = keep.iter().map(|k| order(&key(a, k), &key(b, k)));
                        by_key.into_iter().find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
                    });
                    out.truncate(*limit);
                }
                let mut kept = Vec::new();
                for row in out {
                    if self.holds(filter.as_ref(), &row)? {
                        kept.push(row);
                    }
                }
                return Ok(kept);
            }
            Clause::All(filter) => {
                for row in rows {
                    if self.holds(filter.as_ref(), &row)? {
                        out.push(row);
                    }
                }
            }
        }
        Ok(out)
    }

    // ---------------------------------------------------------------------------------- patterns

    /// Gives every way to put vertices and edges in the place of paths, where no edge comes twice.
    fn matches(
        &self,
        paths: &[Path],
        filter: Option<&Pred>,
        row: &Row,
        emit: &mut dyn FnMut(Row) -> Result<()>,
    ) -> Result<()> {
        self.paths(paths, row.clone(), &mut Vec::new(), &mut |row| {
            if self.holds(filter, &row)? { emit(row) } else { Ok(()) }
        })
    }

    fn paths(
        &self,
        paths: &[Path],
        row: Row,
        used: &mut Vec<usize>,
        emit: &mut dyn FnMut(Row) -> Result<()>,
    ) -> Result<()> {
        let Some((path, rest)) = paths.split_first() else { return emit(row) };
        let candidates = match row.get(&path.start.var) {
            None => 0..self.model.vertices.len(),
            Some(Bound::Vertex(v)) => *v..*v + 1,
            Some(_) => 0..0,
        };
        for v in candidates {
            self.step()?;
            if let Some(row) = self.put(&path.start, v, &row)? {
                let mut trail = Trail { vertices: vec![v], used_before: used.len() };
                self.hops(path, 0, v, &mut trail, row, used, rest, emit)?;
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn hops(
        &self,
        path: &Path,
        at: usize,
        from: usize,
        trail: &mut Trail,
        mut row: Row,
        used: &mut Vec<usize>,
        rest: &[Path],
        emit: &mut dyn FnMut(Row) -> Result<()>,
    ) -> Result<()> {
        let Some((rel, node)) = path.hops.get(at) else {
            if let Some(name) = &path.name {
                row.insert(
                    name.clone(),
                    Bound::Path(trail.vertices.clone(), used[trail.used_before..].to_vec()),
                );
            }
            return self.paths(rest, row, used, emit);
        };
        let (min, max) = rel.length.unwrap_or((1, 1));
        self.walk(rel, min, max, from, &mut Vec::new(), trail, &row, used, &mut |edges, to, trail, used| {
            let bound = match rel.length {
                None => Bound::Edge(edges[0]),
                Some(_) => Bound::Edges(edges.to_vec()),
            };
            if row.get(&rel.var).is_some_and(|known| *known != bound) {
                return Ok(());
            }
            let mut row = row.clone();
            row.insert(rel.var.clone(), bound);
            match self.put(node, to, &row)? {
                Some(row) => self.hops(path, at + 1, to, trail, row, used, rest, emit),
                None => Ok(()),
            }
        })
    }

    /// Gives every walk of so many hops.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    fn walk(
        &self,
        rel: &Rel,
        min: usize,
        max: usize,
        at: usize,
        edges: &mut Vec<usize>,
        trail: &mut Trail,
        row: &Row,
        used: &mut Vec<usize>,
        emit: &mut dyn FnMut(&[usize], usize, &mut Trail, &mut Vec<usize>) -> Result<()>,
    ) -> Result<()> {
        self.step()?;
        if edges.len() >= min {
            emit(edges, at, trail, used)?;
        }
        if edges.len() == max {
            return Ok(());
        }
        for i in &self.around[at] {
            let e = &self.model.edges[*i];
            let to = match rel.direction {
                Direction::Out if e.from == at => e.to,
                Direction::In if e.to == at => e.from,
                Direction::Both if e.from == at => e.to,
                Direction::Both => e.from,
                _ => continue,
            };
            if used.contains(i)
                || !(rel.types.is_empty() || rel.types.contains(&e.edge_type.as_str()))
                || !self.has(&e.properties, &rel.properties, row)
            {
                continue;
            }
            used.push(*i);
            edges.push(*i);
            trail.vertices.push(to);
            self.walk(rel, min, max, to, edges, trail, row, used, emit)?;
            trail.vertices.pop();
            edges.pop();
            used.pop();
        }
        Ok(())
    }

    fn has(&self, properties: &Properties, wanted: &[(&'static str, Term)], row: &Row) -> bool {
        wanted.iter().all(|(key, term)| {
            let found = properties.get(*key).unwrap_or(&Value::Null);
            equal(found, &self.term(term, row)) == Some(true)
        })
    }

    /// Binds a node of a pattern to a vertex, if it is one that fits.
    fn put(&self, node: &Node, v: usize, row: &Row) -> Result<Option<Row>> {
        let vertex = &self.model.vertices[v];
        let has = |label: &&'static str| vertex.labels.iter().any(|l| l == label);
        let has_labels = if node.is_any { node.labels.iter().any(has) } else { node.labels.iter().all(has) };
        let fits = has_labels && row.get(&node.var).is_none_or(|known| *known == Bound::Vertex(v));
        if !fits {
            return Ok(None);
        }
        let mut row = row.clone();
        row.insert(node.var.clone(), Bound::Vertex(v));
        Ok(self.has(&vertex.properties, &node.properties, &row).then_some(row))
    }

    // -------------------------------------------------------------------------------- conditions

    fn holds(&self, filter: Option<&Pred>, row: &Row) -> Result<bool> {
        Ok(match filter {
            None => true,
            Some(filter) => self.pred(filter, row)? == Some(true),
        })
    }

    fn pred(&self, pred: &Pred, row: &Row) -> Result<Option<bool>> {
        let several =
            |parts: &[Pred]| parts.iter().map(|p| self.pred(p, row)).collect::<Result<Vec<Option<bool>>>>();
        Ok(match pred {
            Pred::Compare(a, op, b) => test(&self.term(a, row), *op, &self.term(b, row)),
            Pred::Chain(a, first, b, second, c) => {
                let [a, b, c] = [a, b, c].map(|t| self.term(t, row));
                conjunction(&[test(&a, *first, &b), test(&b, *second, &c)])
            }
            Pred::In(term, values) => {
                let value = self.term(term, row);
                disjunction(&values.iter().map(|v| equal(&value, v)).collect::<Vec<_>>())
            }
            Pred::Text(op, a, b) => match (self.term(a, row), self.term(b, row)) {
                (Value::String(a), Value::String(b)) => Some(match op {
                    TextOp::StartsWith => a.starts_with(&*b),
                    TextOp::EndsWith => a.ends_with(&*b),
                    TextOp::Contains => a.contains(&*b),
                }),
                _ => None,
            },
            Pred::IsNull(term) => Some(self.term(term, row).is_null()),
            Pred::IsNotNull(term) => Some(!self.term(term, row).is_null()),
            Pred::HasLabel(var, label) => match row[var] {
                Bound::Vertex(v) => Some(self.model.vertices[v].labels.iter().any(|l| l == label)),
                _ => None,
            },
            Pred::Same(a, b) => match (&row[a], &row[b]) {
                (Bound::Null, _) | (_, Bound::Null) => None,
                (a, b) => Some(a == b),
            },
            Pred::Exists(path, filter) => Some(!self.ends(path, filter.as_deref(), row)?.is_empty()),
            Pred::Not(p) => self.pred(p, row)?.map(|b| !b),
            Pred::And(parts) => conjunction(&several(parts)?),
            Pred::Or(parts) => disjunction(&several(parts)?),
            Pred::Unknown(p) => Some(self.pred(p, row)?.is_none()),
        })
    }

    /// Returns the keys of the ends of the paths that there are.
    fn ends(&self, path: &Path, filter: Option<&Pred>, row: &Row) -> Result<Vec<Value>> {
        let end = path.hops.last().map_or(&path.start, |(_, node)| node);
        let mut ends = Vec::new();
        self.matches(std::slice::from_ref(path), filter, row, &mut |row| {
            ends.push(self.property(&row[&end.var], "k"));
            Ok(())
        })?;
        Ok(ends)
    }

    // ------------------------------------------------------------------------------------ values

    fn property(&self, bound: &Bound, key: &str) -> Value {
        let properties = match bound {
            Bound::Vertex(v) => &self.model.vertices[*v].properties,
            Bound::Edge(e) => &self.model.edges[*e].properties,
            Bound::Null => return Value::Null,
            other => panic!("{other:?} has no properties"),
        };
        properties.get(key).cloned().unwrap_or_default()
    }

    fn value(&self, bound: &Bound) -> Value {
        match bound {
            Bound::Null => Value::Null,
            Bound::Vertex(v) => self.model.vertices[*v].id.clone(),
            Bound::Edge(e) => self.model.edges[*e].id.clone(),
            Bound::Edges(all) => {
                Value::list(all.iter().map(|e| self.model.edges[*e].id.clone()).collect::<Vec<_>>())
            }
            Bound::Path(vertices, edges) => {
                let vertices = vertices.iter().map(|v| self.model.vertices[*v].id.clone());
                let edges = edges.iter().map(|e| self.model.edges[*e].id.clone());
                Value::list(vertices.chain(edges).collect::<Vec<_>>())
            }
            Bound::Value(v) => v.clone(),
        }
    }

    fn term(&self, term: &Term, row: &Row) -> Value {
        match term {
            Term::Const(value) => value.clone(),
            Term::Property(var, key) => self.property(&row[var], key),
            Term::Value(var) => self.value(&row[var]),
            Term::Id(var) => match self.value(&row[var]) {
                Value::Vertex(id) => Value::Int(id.0 as i64),
                Value::Edge(id) => Value::Int(id.0 as i64),
                _ => Value::Null,
            },
        }
    }

    fn item(&self, item: &Item, row: &Row) -> Result<Value> {
        Ok(match item {
            Item::Term(term) => self.term(term, row),
            Item::Whole(var) => self.value(&row[var]),
            Item::Keys(var) => match &row[var] {
                Bound::Edges(all) => {
                    Value::list(all.iter().map(|e| self.property(&Bound::Edge(*e), "k")).collect::<Vec<_>>())
                }
                _ => Value::Null,
            },
            Item::PathKeys(var) => match &row[var] {
                Bound::Path(all, _) => Value::list(
                    all.iter().map(|v| self.property(&Bound::Vertex(*v), "k")).collect::<Vec<_>>(),
                ),
                _ => Value::Null,
            },
            Item::CountPaths(path, filter) => {
                Value::Int(self.ends(path, filter.as_deref(), row)?.len() as i64)
            }
            Item::Comprehension(path, filter) => Value::list(self.ends(path, filter.as_deref(), row)?),
            _ => panic!("{item:?} is of many rows"),
        })
    }

    fn aggregate(&self, items: &[Item], rows: &[Row]) -> Result<Vec<Vec<Value>>> {
        let mut groups: BTreeMap<Vec<String>, (Vec<Value>, Vec<&Row>)> = BTreeMap::new();
        let keys: Vec<&Item> = items.iter().filter(|i| !i.is_aggregate()).collect();
        if keys.is_empty() {
            groups.insert(Vec::new(), (Vec::new(), Vec::new()));
        }
        for row in rows {
            let values: Vec<Value> = keys.iter().map(|k| self.item(k, row)).collect::<Result<_>>()?;
            let name = values.iter().map(canonical).collect();
            groups.entry(name).or_insert((values, Vec::new())).1.push(row);
        }
        let group = |(keys, rows): (Vec<Value>, Vec<&Row>)| {
            let mut keys = keys.into_iter();
            let item = |item: &Item| match item.is_aggregate() {
                true => self.total(item, &rows),
                false => keys.next().expect("there is one for each"),
            };
            items.iter().map(item).collect()
        };
        Ok(groups.into_values().map(group).collect())
    }

    /// Makes one row of all that agree in what is kept.
    fn grouped(&self, keep: &[(Var, Kind)], totals: &[(Var, Item)], rows: &[Row]) -> Vec<Row> {
        let mut groups: BTreeMap<Vec<String>, Vec<&Row>> = BTreeMap::new();
        if keep.is_empty() {
            groups.insert(Vec::new(), Vec::new());
        }
        for row in rows {
            let name = keep.iter().map(|(v, _)| canonical(&self.value(&row[v]))).collect();
            groups.entry(name).or_default().push(row);
        }
        let group = |rows: Vec<&Row>| -> Row {
            let kept = keep.iter().map(|(v, _)| (v.clone(), rows[0][v].clone()));
            let totals = totals.iter().map(|(v, item)| (v.clone(), Bound::Value(self.total(item, &rows))));
            kept.chain(totals).collect()
        };
        groups.into_values().map(group).collect()
    }

    fn total(&self, item: &Item, rows: &[&Row]) -> Value {
        let values = |term: &Term, is_distinct: bool| -> Vec<Value> {
            let mut seen = BTreeSet::new();
            let all = rows.iter().map(|row| self.term(term, row)).filter(|v| !v.is_null());
            all.filter(|v| !is_distinct || seen.insert(canonical(v))).collect()
        };
        match item {
            Item::Count => Value::Int(rows.len() as i64),
            Item::CountOf(term, is_distinct) => Value::Int(values(term, *is_distinct).len() as i64),
            Item::Sum(term) => {
                let number = |v: &Value| match v {
                    Value::Int(i) => *i as f64,
                    Value::Float(f) => *f,
                    other => panic!("{other:?} is no weight"),
                };
                Value::Float(values(term, false).iter().map(number).sum())
            }
            Item::Min(term) => values(term, false).into_iter().min_by(order).unwrap_or_default(),
            Item::Max(term) => values(term, false).into_iter().max_by(order).unwrap_or_default(),
            Item::Collect(term, is_distinct) => Value::list(values(term, *is_distinct)),
            _ => panic!("{item:?} is of one row"),
        }
    }
}

fn test(a: &Value, op: CompareOp, b: &Value) -> Option<bool> {
    let order = || compare(a, b);
    match op {
        CompareOp::Equal => equal(a, b),
        CompareOp::NotEqual => equal(a, b).map(|b| !b),
        _ if is_nan_pair(a, b) => Some(false),
        CompareOp::Less => order().map(Ordering::is_lt),
        CompareOp::LessOrEqual => order().map(Ordering::is_le),
        CompareOp::Greater => order().map(Ordering::is_gt),
        CompareOp::GreaterOrEqual => order().map(Ordering::is_ge),
    }
}
