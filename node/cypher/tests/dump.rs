//! A dump of any graph, run on an empty one, makes an equal graph.

use mgcypher::ast::Statement;
use mgcypher::dump::Dump;
use mgcypher::{Execution, Limits, Params, parse, prepare, schema};
use mgnode_core::storage::{Graph, Transaction};
use mgnode_core::types::{
    ConstraintKind, ConstraintSpec, Date, DateTime, Duration, IndexSpec, LocalDateTime, LocalTime, Lsn,
    Names, OffsetTime, Point, Value,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

struct Node {
    graph: Arc<Graph>,
    lsn: Lsn,
}

impl Node {
    fn new() -> Node {
        Node { graph: Arc::new(Graph::new(Arc::new(Names::default()))), lsn: Lsn::ZERO }
    }

    fn commit(&mut self, tx: Transaction) {
        if let Some(commit) = tx.finish().unwrap() {
            self.lsn = self.lsn.next();
            self.graph.apply(self.lsn, &self.graph.decode(&commit.payload).unwrap()).unwrap();
            self.graph.publish(self.lsn, self.graph.clock().take());
        }
    }

    fn run(&mut self, text: &str) {
        let statement = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let mut tx = self.graph.begin(true);
        match statement {
            Statement::Schema(statement) => {
                schema::execute(&statement, &mut tx).unwrap();
            }
            Statement::Query(query) => {
                let prepared = prepare(&query, &tx, &Params::default()).unwrap();
                let mut run = Execution::new(prepared, Params::default(), Limits::default()).unwrap();
                while run.next(&mut tx).unwrap_or_else(|e| panic!("{text}: {e}")).is_some() {}
            }
            other => panic!("{other:?}"),
        }
        self.commit(tx);
    }

    fn dump(&self) -> Result<Vec<String>, String> {
        let (tx, mut dump) = (self.graph.begin(false), Dump::default());
        std::iter::from_fn(|| dump.next(&tx).map_err(|e| e.to_string()).transpose()).collect()
    }

    /// Everything but ids: vertices by their place, edges by the places of their ends.
    fn content(&self) -> String {
        let tx = self.graph.begin(false);
        let names = tx.names();
        let mut out = String::new();
        let (mut vertices, mut edges) = (Vec::new(), Vec::new());
        tx.scan_vertices(None, usize::MAX, &mut vertices);
        tx.scan_edges(None, usize::MAX, &mut edges);
        let properties =
            |all: Vec<(mgnode_core::types::PropertyKeyId, Value)>| -> BTreeMap<Arc<str>, String> {
                all.into_iter().map(|(key, value)| (names.key_name(key), format!("{value:?}"))).collect()
            };
        let place = |id| vertices.binary_search(&id).unwrap();
        for id in &vertices {
            let mut labels: Vec<_> = tx.labels(*id).into_iter().map(|l| names.label_name(l)).collect();
            labels.sort();
            out.push_str(&format!("{labels:?} {:?}\n", properties(tx.vertex_properties(*id))));
        }
        for id in edges {
            let edge = tx.edge(id).unwrap();
            let (from, to) = (place(edge.from), place(edge.to));
            let kind = names.edge_type_name(edge.edge_type);
            out.push_str(&format!("{from}-{kind}->{to} {:?}\n", properties(tx.edge_properties(id))));
        }
        for table in [schema::show_indexes(&tx), schema::show_constraints(&tx)] {
            // Without the counts, which are estimates.
            table.rows.iter().for_each(|row| out.push_str(&format!("{:?}\n", &row[..3])));
        }
        out
    }
}

fn value() -> impl Strategy<Value = Value> {
    let offset = prop_oneof![Just(0), Just(3600), Just(-19_800), Just(3_208)];
    let seconds = -60_000_000_000_i64..200_000_000_000;
    let nanos = prop_oneof![Just(0_u32), 0..1_000_000_000_u32];
    let day = 86_400_000_000_000_i64;
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX)].prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-0.0)].prop_map(Value::Float),
        any::<String>().prop_map(Value::string),
        prop_oneof![Just("\"';`\\\n\r\t\u{0}\u{2028}"), Just("// /* x */"), Just("\\u0041")]
            .prop_map(Value::string),
        (-700_000..2_900_000_i64).prop_map(|days| Value::Date(Date(days))),
        (0..day).prop_map(|nanos| Value::LocalTime(LocalTime(nanos))),
        (0..day, offset.clone())
            .prop_map(|(nanos, offset_seconds)| Value::Time(OffsetTime { nanos, offset_seconds })),
        (seconds.clone(), nanos.clone())
            .prop_map(|(seconds, nanos)| Value::LocalDateTime(LocalDateTime { seconds, nanos })),
        (seconds, nanos.clone(), offset).prop_map(|(seconds, nanos, offset_seconds)| {
            Value::DateTime(Arc::new(DateTime { seconds, nanos, offset_seconds, zone: None }))
        }),
        // The hour that comes twice, and one beside it.
        (prop_oneof![Just(1_698_539_400_i64), Just(1_698_543_000), Just(1_698_546_600)], nanos.clone())
            .prop_map(|(seconds, nanos)| {
                let offset_seconds = if seconds < 1_698_541_200 { 7200 } else { 3600 };
                let zone = Some("Europe/Berlin".into());
                Value::DateTime(Arc::new(DateTime { seconds, nanos, offset_seconds, zone }))
            }),
        (any::<i64>(), any::<i64>(), prop_oneof![any::<i64>(), Just(i64::MIN)], nanos).prop_map(
            |(months, days, seconds, nanos)| {
                let nanos = nanos as i32;
                Value::Duration(Arc::new(Duration { months, days, seconds, nanos }))
            }
        ),
        (any::<i16>(), any::<i16>(), proptest::option::of(any::<i16>())).prop_map(|(x, y, z)| {
            let srid = if z.is_some() { 9157 } else { 7203 };
            let [x, y] = [x, y].map(|n| f64::from(n) / 8.0);
            Value::Point(Arc::new(Point { srid, x, y, z: z.map(f64::from) }))
        }),
    ];
    let leaf = prop_oneof![9 => leaf, 1 => Just(Value::Null)].boxed();
    let lists = leaf
        .clone()
        .prop_recursive(3, 12, 4, |inner| proptest::collection::vec(inner, 0..4).prop_map(Value::list));
    // No property is a map, or a list with one; a list within it may have some.
    let keys = "[a-z` ]{0,4}".prop_map(Arc::<str>::from);
    let maps = proptest::collection::btree_map(keys, leaf, 0..4).prop_map(|map| Value::Map(Arc::new(map)));
    let nested = proptest::collection::vec(maps, 0..3).prop_map(Value::list);
    prop_oneof![6 => lists, 1 => proptest::collection::vec(nested, 0..3).prop_map(Value::list)]
}

const NAMES: [&str; 4] = ["A", "b c", "d`e", "Ä;\n"];

type Step = (u8, u8, u8, Vec<(u8, Value)>);

fn build(node: &mut Node, steps: Vec<Step>, schema: &[(u8, u8)]) {
    let mut tx = node.graph.begin(true);
    let names = tx.names().clone();
    let name = |n: u8| NAMES[n as usize % NAMES.len()];
    let (mut vertices, mut edges) = (Vec::new(), Vec::new());
    for (n, (what, a, b, properties)) in steps.into_iter().enumerate() {
        let mut properties: BTreeMap<&str, Value> =
            properties.into_iter().map(|(key, value)| (name(key), value)).collect();
        // What constraints demand of `A`.
        properties.insert("unique", Value::Int(n as i64));
        let properties: Vec<_> = properties.into_iter().map(|(key, v)| (names.key(key), v)).collect();
        let pick = |n: u8, from: usize| n as usize % from;
        match what % 8 {
            0..=3 => {
                let mut labels = vec![names.label(name(a)), names.label(name(b))];
                labels.dedup();
                labels.truncate(what as usize % 4);
                vertices.push(tx.create_vertex(&labels, properties).unwrap());
            }
            4..=6 if !vertices.is_empty() => {
                let (from, to) = (vertices[pick(a, vertices.len())], vertices[pick(b, vertices.len())]);
                let kind = names.edge_type(name(a ^ b)).unwrap();
                edges.push(tx.create_edge(from, to, kind, properties).unwrap());
            }
            7 if !edges.is_empty() => tx.delete_edge(edges.swap_remove(pick(a, edges.len()))).unwrap(),
            _ => {}
        }
    }
    // Leaves a gap in the ids where it may go.
    if let Some(last) = vertices.first().copied() {
        let _ = tx.delete_vertex(last);
    }
    node.commit(tx);
    let mut tx = node.graph.begin(true);
    for (what, key) in schema {
        let (label, key) = (names.label(name(*what >> 2)), names.key(name(*key)));
        let unique = names.key("unique");
        let constraint = |property, kind| ConstraintSpec { label, properties: vec![property], kind };
        let edge_type = names.edge_type(name(*what >> 2)).unwrap();
        match what % 6 {
            0 => tx.create_index(IndexSpec::Label(label)).map(drop),
            1 => tx.create_index(IndexSpec::LabelProperties(label, vec![key, unique])).map(drop),
            4 => tx.create_index(IndexSpec::EdgeType(edge_type)).map(drop),
            5 => tx.create_index(IndexSpec::EdgeTypeProperties(edge_type, vec![key])).map(drop),
            2 => tx.create_constraint(constraint(unique, ConstraintKind::Exists)).map(drop),
            _ => tx.create_constraint(constraint(unique, ConstraintKind::Unique)).map(drop),
        }
        .unwrap();
    }
    node.commit(tx);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_dump_makes_an_equal_graph(
        steps in proptest::collection::vec(
            (any::<u8>(), any::<u8>(), any::<u8>(), proptest::collection::vec((any::<u8>(), value()), 0..4)),
            0..24,
        ),
        schema in proptest::collection::vec((0..24_u8, any::<u8>()), 0..8),
    ) {
        let mut first = Node::new();
        build(&mut first, steps, &schema);
        let mut second = Node::new();
        for statement in first.dump().unwrap() {
            prop_assert!(statement.ends_with(';'), "{:?}", statement);
            second.run(&statement);
        }
        prop_assert_eq!(second.content(), first.content());
    }
}

#[test]
fn what_has_no_text_is_refused_with_its_place() {
    let mut node = Node::new();
    let mut tx = node.graph.begin(true);
    let names = tx.names().clone();
    tx.create_vertex(&[], vec![(names.key("b"), Value::Bytes([1][..].into()))]).unwrap();
    node.commit(tx);
    let error = node.dump().unwrap_err();
    assert!(
        error.starts_with("Property `b` of vertex 0 holds bytes, which Cypher has no text for."),
        "{error}"
    );
    for (text, what) in [("CREATE (:__mg_vertex__)", "label"), ("CREATE ({__mg_id__: 1})", "property")] {
        let mut node = Node::new();
        node.run(text);
        let error = node.dump().unwrap_err();
        assert!(error.starts_with(&format!("The graph uses the {what} `__mg_")), "{error}");
    }
}

#[test]
fn triggers_come_last_and_mean_the_same_again() {
    let mut node = Node::new();
    for text in [
        "CREATE TRIGGER a AFTER COMMIT EXECUTE CREATE (:B {t: 'x;y'})",
        "CREATE TRIGGER `b ``c` ON --> UPDATE BEFORE COMMIT EXECUTE\n UNWIND updatedEdges AS e // all\n RETURN e",
        "CREATE (:A)",
        "CREATE INDEX ON :A",
    ] {
        node.run(text);
    }
    let dump = node.dump().unwrap();
    assert_eq!(
        dump[dump.len() - 3..],
        [
            "CREATE INDEX ON :`A`;",
            "CREATE TRIGGER `a` AFTER COMMIT EXECUTE CREATE (:B {t: 'x;y'});",
            "CREATE TRIGGER `b ``c` ON --> UPDATE BEFORE COMMIT EXECUTE UNWIND updatedEdges AS e // all\n RETURN e;",
        ]
    );
    let mut other = Node::new();
    dump.iter().for_each(|statement| other.run(statement));
    assert_eq!(other.graph.begin(false).triggers(), node.graph.begin(false).triggers());
}
