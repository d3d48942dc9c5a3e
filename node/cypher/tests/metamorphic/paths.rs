//! Shortest paths, against a list of all paths.
//!
//! A path is what a walk without a repeated vertex finds. Each hop must have its type, and satisfy the condition of a
//! lambda, in which `n` is the vertex that the hop leads to as the pattern is read from left to right.

use crate::database::{Database, comparable, difference};
use crate::dice::Dice;
use crate::met::Met;
use crate::model::{Edge, LABELS, Model, Vertex, any_graph, any_indexes};
use crate::query::Direction;
use crate::values::{compare, equal};
use mgcypher::Params;
use mgnode_core::types::Value;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Queries of one graph.
const QUERIES: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Bfs,
    Weighted,
    AllWeighted,
    One,
    All,
}

/// One end of the path.
#[derive(Clone, Debug)]
struct End {
    label: Option<&'static str>,
    key: Option<i64>,
    /// It is bound by a clause of its own before.
    is_before: bool,
}

/// What each hop must satisfy.
#[derive(Clone, Debug)]
enum Lambda {
    Nothing,
    /// `r.w < so much`
    Weight(i64),
    /// `n.y <> so much`
    Vertex(i64),
    Label(&'static str),
}

/// How long a hop is where that counts. One without a weight is no hop.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Weight {
    /// `r.w`
    Edge,
    /// `n.w`
    Vertex,
    /// Nothing where `r.w` is small, so that circles cost nothing.
    OftenNothing,
}

#[derive(Clone, Debug)]
struct Search {
    form: Form,
    from: End,
    to: End,
    types: Vec<&'static str>,
    direction: Direction,
    min: Option<usize>,
    max: Option<usize>,
    lambda: Lambda,
    weight: Weight,
    /// Written from its other end.
    is_turned: bool,
}

/// Checks one seed.
pub(crate) fn check(seed: u64, met: &mut Met) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let mut graph = any_graph(&mut dice, false);
    // Fewer edges than other checks have, since all paths are listed.
    graph.truncate(2 + dice.within(6, 18));
    let mut databases = [Database::new("plain"), Database::new("indexed"), Database::new("open")];
    let indexes = any_indexes(&mut dice);
    let open_at = dice.below(graph.len() + 1);
    let write = |db: &mut Database, text: &str| db.write(text).map_err(|e| format!("{text}: {e}"));
    for db in &mut databases[1..] {
        for text in &indexes {
            write(db, text)?;
        }
    }
    for (i, text) in graph.iter().enumerate() {
        if i == open_at {
            databases[2].begin();
        }
        for db in &mut databases {
            write(db, text)?;
        }
    }
    write(&mut databases[1], "ANALYZE GRAPH")?;
    let model = databases[0].look(|tx| Model::read(tx));
    for _ in 0..QUERIES {
        let search = any_search(&mut dice, &model);
        met.add(&databases[1].explain(&search.text(), &Params::default()));
        let Some(expected) = search.expected(&model) else { continue };
        met.count(expected.len());
        for db in &mut databases {
            check_search(&search, &expected, &model, db)?;
        }
    }
    Ok(())
}

fn any_search(dice: &mut Dice, model: &Model) -> Search {
    let form = dice.pick(&[Form::Bfs, Form::Weighted, Form::AllWeighted, Form::One, Form::All]);
    let end = |dice: &mut Dice| End {
        label: dice.chance(30).then(|| dice.pick(LABELS)),
        key: dice.chance(30).then(|| dice.below(model.vertices.len()) as i64),
        is_before: dice.chance(40),
    };
    let (from, to) = (end(dice), end(dice));
    let mut types = Vec::new();
    if dice.chance(25) {
        types = dice.pick(&[vec!["R"], vec!["S"], vec!["R", "S"], vec!["T", "R"]]);
    }
    let lambda = match dice.below(8) {
        _ if matches!(form, Form::One | Form::All) => Lambda::Nothing,
        0 => Lambda::Weight(dice.within(2, 5) as i64),
        1 | 2 => Lambda::Vertex(dice.below(4) as i64),
        3 => Lambda::Label(dice.pick(LABELS)),
        _ => Lambda::Nothing,
    };
    Search {
        form,
        from,
        to,
        types,
        direction: dice.pick(&[Direction::Out, Direction::In, Direction::Both]),
        // Where paths have weights there is no least number of hops, and a path that must be longer than the
        // shortest is no shortest path.
        min: match form {
            Form::Bfs if dice.chance(25) => Some(dice.below(4)),
            Form::One | Form::All if dice.chance(20) => Some(dice.below(2)),
            _ => None,
        },
        max: dice.chance(40).then(|| dice.within(1, 4)),
        lambda,
        weight: dice.pick(&[Weight::Edge, Weight::Edge, Weight::Vertex, Weight::OftenNothing]),
        is_turned: dice.chance(40),
    }
}

/// What is known of the shortest paths between two vertices.
#[derive(Clone, Debug)]
struct Best {
    cost: f64,
    paths: Vec<Vec<usize>>,
}

impl Search {
    fn text(&self) -> String {
        let end = |var: &str, end: &End| {
            let label = end.label.map(|l| format!(":{l}")).unwrap_or_default();
            let key = end.key.map(|k| format!(" {{k: {k}}}")).unwrap_or_default();
            format!("({var}{label}{key})")
        };
        let mut text = String::new();
        let mut ends = Vec::new();
        for (var, e) in [("a", &self.from), ("b", &self.to)] {
            if e.is_before {
                text.push_str(&format!("MATCH {} ", end(var, e)));
                ends.push(format!("({var})"));
            } else {
                ends.push(end(var, e));
            }
        }
        let mut inner = String::new();
        if !self.types.is_empty() {
            inner.push_str(&format!(":{}", self.types.join("|")));
        }
        inner.push_str(match self.form {
            Form::Bfs => "*BFS",
            Form::Weighted => "*WSHORTEST",
            Form::AllWeighted => "*ALLSHORTEST",
            Form::One | Form::All => "*",
        });
        let is_weighted = matches!(self.form, Form::Weighted | Form::AllWeighted);
        match (self.min, self.max) {
            (None, None) => {}
            (None, Some(max)) if is_weighted => inner.push_str(&format!(" {max}")),
            (min, max) => {
                let [min, max] = [min, max].map(|n| n.map(|n| n.to_string()).unwrap_or_default());
                inner.push_str(&format!(" {min}..{max}"));
            }
        }
        if is_weighted {
            inner.push_str(match self.weight {
                Weight::Edge => " (r, n | r.w) total",
                Weight::Vertex => " (r, n | n.w) total",
                Weight::OftenNothing => " (r, n | CASE WHEN r.w < 3 THEN 0 ELSE r.w END) total",
            });
        }
        inner.push_str(&match &self.lambda {
            Lambda::Nothing => String::new(),
            Lambda::Weight(most) => format!(" (r, n | r.w < {most})"),
            Lambda::Vertex(not) => format!(" (r, n | n.y <> {not})"),
            Lambda::Label(label) => format!(" (r, n | n:{label})"),
        });
        // From the other end, `n` would be another vertex.
        let names_vertex = matches!(self.lambda, Lambda::Vertex(_) | Lambda::Label(_))
            || (is_weighted && self.weight == Weight::Vertex);
        let is_turned = self.is_turned && !names_vertex;
        let (left, right) = match (self.direction, is_turned) {
            (Direction::Both, _) => ("-[", "]-"),
            (Direction::Out, false) | (Direction::In, true) => ("-[", "]->"),
            _ => ("<-[", "]-"),
        };
        if is_turned {
            ends.reverse();
        }
        let pattern = format!("{}{left}{inner}{right}{}", ends[0], ends[1]);
        let pattern = match self.form {
            Form::One => format!("shortestPath({pattern})"),
            Form::All => format!("allShortestPaths({pattern})"),
            _ => pattern,
        };
        let total = if is_weighted { "total" } else { "length(p)" };
        let edges = "[e IN relationships(p) | e.k]";
        let edges = if is_turned { format!("reverse({edges})") } else { edges.to_owned() };
        format!("{text}MATCH p = {pattern} RETURN a.k, b.k, {total}, {edges}")
    }

    /// Finds the shortest paths of every two ends; None where that takes too long.
    fn expected(&self, model: &Model) -> Option<BTreeMap<(usize, usize), Best>> {
        let mut found = BTreeMap::new();
        let mut steps = 60_000;
        for from in 0..model.vertices.len() {
            if self.from.fits(&model.vertices[from]) {
                let mut best = BTreeMap::new();
                self.walk(model, from, &mut Vec::new(), &mut vec![from], 0.0, &mut best, &mut steps)?;
                for (to, mut best) in best {
                    // The way from a vertex to itself is the path of no hops, if that is one.
                    let is_itself = to == from;
                    let is_long_enough = best.paths[0].len() >= self.min.unwrap_or(1);
                    if self.to.fits(&model.vertices[to])
                        && (!is_itself || self.min == Some(0))
                        && is_long_enough
                    {
                        best.paths.sort();
                        found.insert((from, to), best);
                    }
                }
            }
        }
        Some(found)
    }

    #[allow(clippy::too_many_arguments)]
    fn walk(
        &self,
        model: &Model,
        at: usize,
        path: &mut Vec<usize>,
        on_way: &mut Vec<usize>,
        cost: f64,
        best: &mut BTreeMap<usize, Best>,
        steps: &mut usize,
    ) -> Option<()> {
        *steps = steps.checked_sub(1)?;
        let known = best.entry(at).or_insert(Best { cost: f64::INFINITY, paths: Vec::new() });
        match cost.total_cmp(&known.cost) {
            Ordering::Less => *known = Best { cost, paths: vec![path.clone()] },
            Ordering::Equal => known.paths.push(path.clone()),
            Ordering::Greater => {}
        }
        if Some(path.len()) == self.max {
            return Some(());
        }
        for (i, e) in model.edges.iter().enumerate() {
            let to = match self.direction {
                Direction::Out | Direction::Both if e.from == at => e.to,
                Direction::In | Direction::Both if e.to == at => e.from,
                _ => continue,
            };
            let Some(weight) = self.weight(e, &model.vertices[to]) else { continue };
            if on_way.contains(&to)
                || !(self.types.is_empty() || self.types.contains(&e.edge_type.as_str()))
                || !self.lambda.holds(e, &model.vertices[to])
            {
                continue;
            }
            path.push(i);
            on_way.push(to);
            self.walk(model, to, path, on_way, cost + weight, best, steps)?;
            on_way.pop();
            path.pop();
        }
        Some(())
    }

    /// How long a hop over an edge to a vertex is; None where it has no weight and weights count.
    fn weight(&self, edge: &Edge, to: &Vertex) -> Option<f64> {
        if !matches!(self.form, Form::Weighted | Form::AllWeighted) {
            return Some(1.0);
        }
        let of = if self.weight == Weight::Vertex { &to.properties } else { &edge.properties };
        let weight = match of.get("w")? {
            Value::Int(i) => *i as f64,
            Value::Float(f) => *f,
            other => panic!("{other:?} is no weight"),
        };
        Some(if self.weight == Weight::OftenNothing && weight < 3.0 { 0.0 } else { weight })
    }
}

impl End {
    fn fits(&self, vertex: &Vertex) -> bool {
        self.label.is_none_or(|l| vertex.labels.iter().any(|has| has == l))
            && self.key.is_none_or(|k| vertex.properties["k"] == Value::Int(k))
    }
}

impl Lambda {
    fn holds(&self, edge: &Edge, to: &Vertex) -> bool {
        let null = Value::Null;
        match self {
            Lambda::Nothing => true,
            Lambda::Weight(most) => {
                let weight = edge.properties.get("w").unwrap_or(&null);
                compare(weight, &Value::Int(*most)) == Some(Ordering::Less)
            }
            Lambda::Vertex(not) => {
                equal(to.properties.get("y").unwrap_or(&null), &Value::Int(*not)) == Some(false)
            }
            Lambda::Label(label) => to.labels.iter().any(|l| l == label),
        }
    }
}

fn check_search(
    search: &Search,
    expected: &BTreeMap<(usize, usize), Best>,
    model: &Model,
    db: &mut Database,
) -> Result<(), String> {
    let text = search.text();
    let shown = |db: &mut Database, why: &str| {
        let plan = db.explain(&text, &Params::default());
        Err(format!("`{}`: {text}\n{plan}\n{why}\n{}", db.name, db.log.join(";\n")))
    };
    let found = match db.read(&text, &Params::default()) {
        Ok(found) => found,
        Err(e) => return shown(db, &e),
    };
    let key = |v: usize| model.vertices[v].properties["k"].clone();
    let edges = |path: &[usize]| {
        Value::list(path.iter().map(|e| model.edges[*e].properties["k"].clone()).collect::<Vec<_>>())
    };
    // All paths, or one of them.
    let is_all = matches!(search.form, Form::All | Form::AllWeighted);
    let mut rows = Vec::new();
    for ((from, to), best) in expected {
        let row = |path: &[usize]| vec![key(*from), key(*to), Value::Float(best.cost), edges(path)];
        if is_all {
            rows.extend(best.paths.iter().map(|p| row(p)));
            continue;
        }
        let ends = [key(*from), key(*to)];
        let given = found.iter().find(|row| row[..2] == ends).map(|row| &row[3]);
        // Where the one that was given is none of the shortest, the first of these is missed.
        let path = best.paths.iter().find(|p| Some(&edges(p)) == given).unwrap_or(&best.paths[0]);
        rows.push(row(path));
    }
    match difference(&comparable(&rows, &[], false), &comparable(&found, &[], false)) {
        None => Ok(()),
        Some(why) => shown(db, &why),
    }
}
