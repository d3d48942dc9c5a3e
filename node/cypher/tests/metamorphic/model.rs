//! Random graphs, and a graph as plain lists, read from a database.

use crate::dice::Dice;
use crate::values::{canonical, literal};
use mgnode_core::storage::Transaction;
use mgnode_core::types::{Date, Duration, OffsetTime, Point, PropertyKeyId, Value};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

pub(crate) const LABELS: &[&str] = &["A", "B", "C"];
pub(crate) const TYPES: &[&str] = &["R", "S", "T"];

/// Properties by name. `k` names a vertex or an edge and is unique; `w` is a number where it is there; `s` a string;
/// `x`, `y` and `p` are anything.
pub(crate) type Properties = BTreeMap<String, Value>;

#[derive(Debug)]
pub(crate) struct Vertex {
    /// As the database knows it.
    pub(crate) id: Value,
    pub(crate) labels: Vec<String>,
    pub(crate) properties: Properties,
}

#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) id: Value,
    /// Places in [`Model::vertices`].
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) edge_type: String,
    pub(crate) properties: Properties,
}

/// A whole graph.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) vertices: Vec<Vertex>,
    pub(crate) edges: Vec<Edge>,
}

impl Model {
    /// Reads all that a transaction sees, one by one and through no index.
    pub(crate) fn read(tx: &Transaction) -> Model {
        let names = tx.names();
        let (mut vertices, mut edges) = (Vec::new(), Vec::new());
        tx.scan_vertices(None, usize::MAX, &mut vertices);
        tx.scan_edges(None, usize::MAX, &mut edges);
        let properties = |all: Vec<(PropertyKeyId, Value)>| -> Properties {
            all.into_iter().map(|(key, value)| (names.key_name(key).to_string(), value)).collect()
        };
        let place = |id| vertices.binary_search(&id).expect("an edge has its ends");
        let edges = edges.iter().map(|id| {
            let edge = tx.edge(*id).expect("it was just listed");
            Edge {
                id: Value::Edge(*id),
                from: place(edge.from),
                to: place(edge.to),
                edge_type: names.edge_type_name(edge.edge_type).to_string(),
                properties: properties(tx.edge_properties(*id)),
            }
        });
        let edges = edges.collect();
        let vertices = vertices.iter().map(|id| Vertex {
            id: Value::Vertex(*id),
            labels: tx.labels(*id).into_iter().map(|l| names.label_name(l).to_string()).collect(),
            properties: properties(tx.vertex_properties(*id)),
        });
        Model { vertices: vertices.collect(), edges }
    }

    /// Everything but ids, sorted.
    pub(crate) fn content(&self) -> Vec<String> {
        let properties = |all: &Properties| {
            let mut text = String::new();
            all.iter().for_each(|(k, v)| write!(text, " {k}: {}", canonical(v)).expect("it is a string"));
            text
        };
        let vertex = |v: &Vertex| {
            let mut labels = v.labels.clone();
            labels.sort();
            format!("({labels:?}{})", properties(&v.properties))
        };
        let edge = |e: &Edge| {
            let (from, to) = (vertex(&self.vertices[e.from]), vertex(&self.vertices[e.to]));
            format!("{from}-[{}{}]->{to}", e.edge_type, properties(&e.properties))
        };
        let mut all: Vec<String> =
            self.vertices.iter().map(vertex).chain(self.edges.iter().map(edge)).collect();
        all.sort();
        all
    }
}

/// Throws a value of any kind, of few, so that they meet.
pub(crate) fn any_value(dice: &mut Dice) -> Value {
    let list = |items: &[Value]| Value::list(items.to_vec());
    // Kinds that are rare meet only where they are not.
    let kind = match (dice.theme, dice.chance(60)) {
        (0, true) => 18,
        (1, true) => 17,
        (2, true) => 19,
        _ => dice.below(20),
    };
    match kind {
        0..9 => Value::Int(dice.below(3) as i64),
        9..11 => Value::Float(dice.pick(&[0.0, 1.0, 1.5, 2.0, -0.5, 2.5, 3.0])),
        11 => Value::Float(f64::NAN),
        12..16 => any_text(dice),
        16 => Value::Bool(dice.chance(50)),
        17 => dice.pick(&[
            list(&[]),
            list(&[Value::Int(1)]),
            list(&[Value::Float(1.0)]),
            list(&[Value::Int(1), Value::Int(2)]),
            list(&[Value::string("a")]),
            list(&[Value::Int(1), Value::Null]),
            list(&[Value::Float(f64::NAN)]),
        ]),
        18 => any_of_time_and_space(dice),
        _ => dice.pick(&[
            Value::Int(1 << 53),
            Value::Int((1 << 53) + 1),
            Value::Float((1_u64 << 53) as f64),
            Value::Map(Arc::new([("m".into(), Value::Int(1))].into())),
            Value::Map(Arc::new([("m".into(), Value::Float(1.0))].into())),
        ]),
    }
}

/// Throws a date, a time, a duration or a point. Some are equal though they are told otherwise, some compare with nothing.
fn any_of_time_and_space(dice: &mut Dice) -> Value {
    let duration = |days, seconds| Value::Duration(Arc::new(Duration { months: 0, days, seconds, nanos: 0 }));
    let point = |x| Value::Point(Arc::new(Point { srid: 7203, x, y: 2.0, z: None }));
    let time = |hour: i64, offset_hours: i32| {
        Value::Time(OffsetTime { nanos: hour * 3_600_000_000_000, offset_seconds: offset_hours * 3_600 })
    };
    dice.pick(&[
        Value::Date(Date(0)),
        Value::Date(Date(1)),
        duration(1, 0),
        duration(0, 86_400),
        duration(2, 0),
        duration(3, 0),
        duration(0, 7),
        point(1.0),
        point(2.0),
        point(3.0),
        time(10, 0),
        time(11, 1),
        time(11, 0),
    ])
}

/// Throws a string.
pub(crate) fn any_text(dice: &mut Dice) -> Value {
    Value::string(dice.pick(&["", "a", "ab", "abc", "b", "ba", "B", "é"]))
}

/// Throws a weight.
pub(crate) fn any_weight(dice: &mut Dice) -> Value {
    if dice.chance(60) {
        Value::Int(dice.within(1, 5) as i64)
    } else {
        Value::Float(dice.within(1, 12) as f64 * 0.5)
    }
}

/// Throws a value for a property.
pub(crate) fn value_of(dice: &mut Dice, key: &str) -> Value {
    match key {
        "s" => any_text(dice),
        "w" => any_weight(dice),
        "y" if dice.theme != 0 && dice.chance(70) => Value::Int(dice.below(4) as i64),
        "k" => Value::Int(dice.below(12) as i64),
        _ => any_value(dice),
    }
}

fn map(dice: &mut Dice, k: usize, keys: &[&str]) -> String {
    let mut text = format!("{{k: {k}");
    for key in keys {
        if dice.chance(80) {
            let value = value_of(dice, key);
            write!(text, ", {key}: {}", literal(&value)).expect("it is a string");
        }
    }
    text + "}"
}

/// Throws a graph: statements that make it, each some of it.
pub(crate) fn any_graph(dice: &mut Dice, is_large: bool) -> Vec<String> {
    let vertices = match dice.below(6) {
        5 if !is_large => dice.within(15, 40),
        _ if !is_large => dice.within(3, 11),
        // More than an aggregate takes at once.
        0 => dice.within(1_000, 1_200),
        _ => dice.within(130, 320),
    };
    let edges =
        if is_large { vertices.min(300) } else { dice.within(vertices / 2, (vertices * 5 / 2).min(30)) };
    let mut statements = Vec::new();
    let mut items = Vec::new();
    let label_chances = [dice.within(40, 95), dice.within(25, 70), dice.within(10, 40)];
    for k in 0..vertices {
        let labels: String = LABELS
            .iter()
            .zip(label_chances)
            .filter(|(_, c)| dice.chance(*c))
            .map(|(l, _)| format!(":{l}"))
            .collect();
        items.push(format!("({labels} {})", map(dice, k, &["x", "y", "s", "w"])));
    }
    for part in items.chunks(vertices.div_ceil(2)) {
        statements.push(format!("CREATE {}", part.join(", ")));
    }
    // With a few hubs.
    let end =
        |dice: &mut Dice| if dice.chance(25) { dice.below(2.min(vertices)) } else { dice.below(vertices) };
    let edge = |dice: &mut Dice, k: usize| {
        let (from, to) = (end(dice), end(dice));
        let edge_type = if dice.chance(50) { "R" } else { dice.pick(TYPES) };
        let properties = map(dice, k, &["p", "w"]);
        // Ids are given out in order.
        format!(
            "MATCH (a), (b) WHERE id(a) = {from} AND id(b) = {to} CREATE (a)-[:{edge_type} {properties}]->(b)"
        )
    };
    statements.extend((0..edges).map(|k| edge(dice, k)));
    statements
}

/// Throws statements that make indexes and constraints.
pub(crate) fn any_indexes(dice: &mut Dice) -> Vec<String> {
    let all = [
        "CREATE INDEX ON :A",
        "CREATE INDEX ON :B",
        "CREATE INDEX ON :A(x)",
        "CREATE INDEX ON :A(y)",
        "CREATE INDEX ON :A(s)",
        "CREATE INDEX ON :A(k)",
        "CREATE INDEX ON :B(x)",
        "CREATE INDEX ON :C(w)",
        "CREATE INDEX ON :A(y, x)",
        "CREATE INDEX ON :A(x, y)",
        "CREATE INDEX ON :B(s, y)",
        "CREATE INDEX ON :B(y, w, x)",
        "CREATE EDGE INDEX ON :R",
        "CREATE EDGE INDEX ON :S",
        "CREATE EDGE INDEX ON :R(p)",
        "CREATE EDGE INDEX ON :R(w)",
        "CREATE EDGE INDEX ON :S(p)",
        "CREATE EDGE INDEX ON :T(k)",
        "CREATE INDEX FOR ()-[r:R]-() ON (r.w, r.p)",
        "CREATE CONSTRAINT ON (n:A) ASSERT n.k IS UNIQUE",
        "CREATE CONSTRAINT ON (n:B) ASSERT n.k IS UNIQUE",
        "CREATE CONSTRAINT ON (n:A) ASSERT EXISTS (n.k)",
    ];
    let share = dice.pick(&[25, 60, 95]);
    let mut some: Vec<String> = all.iter().filter(|_| dice.chance(share)).map(|t| (*t).to_owned()).collect();
    dice.shuffle(&mut some);
    some
}
