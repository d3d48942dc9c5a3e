//! Indexes of edges: a query finds and does the same with them and without.

use mgcypher::ast::Statement;
use mgcypher::{CypherError, Execution, Limits, Params, analyze, parse, prepare, schema};
use mgnode_core::storage::{Graph, Transaction};
use mgnode_core::types::{Lsn, Names, Value};
use proptest::prelude::*;
use std::sync::Arc;

struct Session {
    graph: Arc<Graph>,
    lsn: Lsn,
}

impl Session {
    fn new() -> Session {
        Session { graph: Arc::new(Graph::new(Arc::new(Names::default()))), lsn: Lsn::ZERO }
    }

    fn commit(&mut self, tx: Transaction) {
        if let Some(commit) = tx.finish().unwrap() {
            self.lsn = self.lsn.next();
            self.graph.apply(self.lsn, &self.graph.decode(&commit.payload).unwrap()).unwrap();
            self.graph.publish(self.lsn, self.graph.clock().take());
        }
    }

    fn schema(&mut self, text: &str) -> Result<Vec<String>, CypherError> {
        let Statement::Schema(statement) = parse(text)? else { panic!("no schema statement: {text}") };
        let mut tx = self.graph.begin(true);
        let notes = schema::execute(&statement, &mut tx)?;
        self.commit(tx);
        Ok(notes.into_iter().map(|note| format!("{}: {}", note.code, note.title)).collect())
    }

    /// Runs queries in one transaction and commits it; returns their rows.
    fn run(&mut self, texts: &[&str], params: &Params) -> Vec<Vec<Vec<Value>>> {
        let mut tx = self.graph.begin(true);
        let all = texts.iter().map(|text| rows(text, params, &mut tx)).collect();
        self.commit(tx);
        all
    }

    fn one(&mut self, text: &str) -> Vec<Vec<Value>> {
        self.run(&[text], &Params::default()).remove(0)
    }

    fn explain(&self, text: &str) -> String {
        let Statement::Query(query) = parse(text).unwrap() else { panic!("no query: {text}") };
        let tx = self.graph.begin(false);
        prepare(&query, &tx, &params(1, 2)).unwrap().explain(&tx).join("\n")
    }
}

fn rows(text: &str, params: &Params, tx: &mut Transaction) -> Vec<Vec<Value>> {
    let Statement::Query(query) = parse(text).unwrap_or_else(|e| panic!("{text}: {e}")) else {
        panic!("no query: {text}")
    };
    let prepared = prepare(&query, tx, params).unwrap_or_else(|e| panic!("{text}: {e}"));
    let mut run = Execution::new(prepared, params.clone(), Limits::default()).unwrap();
    std::iter::from_fn(|| run.next(tx).unwrap_or_else(|e| panic!("{text}: {e}"))).collect()
}

fn params(x: i64, y: i64) -> Params {
    let (x, y) = (("x".into(), Value::Int(x)), ("y".into(), Value::Int(y)));
    Arc::new([x, y].into())
}

fn ints(rows: Vec<Vec<Value>>) -> Vec<i64> {
    let int = |value: &Value| match value {
        Value::Int(i) => *i,
        other => panic!("{other:?} is no integer"),
    };
    rows.iter().flatten().map(int).collect()
}

/// A chain of 100 with an edge from each to the next, and every tenth a rare one, with `p` falling.
fn chain() -> Session {
    let mut s = Session::new();
    s.one(
        "UNWIND range(0, 99) AS i CREATE (n:N {i: i}) WITH collect(n) AS all UNWIND range(0, 98) AS i \
         WITH all[i] AS a, all[i + 1] AS b, i CREATE (a)-[:OFTEN {p: i}]->(b) \
         FOREACH (_ IN CASE WHEN i % 10 = 0 THEN [1] ELSE [] END | CREATE (a)-[:RARE {p: 100 - i, q: i % 20}]->(b))",
    );
    s
}

#[test]
fn statements_and_tables_tell_of_edge_indexes() {
    let mut s = chain();
    assert_eq!(
        s.schema("CREATE EDGE INDEX ON :RARE").unwrap(),
        ["CreateIndex: Created index on edge-type RARE."]
    );
    assert_eq!(
        s.schema("CREATE EDGE INDEX ON :RARE").unwrap(),
        ["IndexAlreadyExists: Index on edge-type RARE already exists."]
    );
    assert_eq!(
        s.schema("CREATE INDEX FOR ()-[r:RARE]-() ON (r.p)").unwrap(),
        ["CreateIndex: Created index on edge-type RARE on properties p."]
    );
    s.schema("CREATE INDEX FOR ()-[r:OFTEN]-() ON (r.p, r.q)").unwrap();
    s.schema("CREATE INDEX ON :N(i)").unwrap();
    let texts =
        |items: &[&str]| Value::list(items.iter().map(|text| Value::string(*text)).collect::<Vec<_>>());
    let row = |kind: &str, owner: &str, property: Value, count: i64| {
        vec![Value::string(kind), Value::string(owner), property, Value::Int(count)]
    };
    assert_eq!(
        schema::show_indexes(&s.graph.begin(false)).rows,
        [
            row("edge-type", "RARE", Value::Null, 10),
            row("edge-type+property", "OFTEN", texts(&["p", "q"]), 0),
            row("edge-type+property", "RARE", Value::string("p"), 10),
            row("label+property", "N", texts(&["i"]), 100),
        ]
    );
    assert_eq!(
        s.schema("DROP EDGE INDEX ON :RARE(p)").unwrap(),
        ["DropIndex: Dropped index on edge-type RARE on properties p."]
    );
    assert_eq!(
        s.schema("DROP EDGE INDEX ON :RARE(q)").unwrap(),
        ["IndexDoesNotExist: Index on edge-type RARE on properties q doesn't exist."]
    );
    for (text, told) in [
        ("DROP EDGE INDEX by_name", "There is no index named 'by_name'"),
        ("CREATE EDGE INDEX FOR (n:N) ON (n.i)", "An edge index is of relationships"),
        ("CREATE GLOBAL EDGE INDEX ON :(p)", "GLOBAL EDGE INDEX is not supported."),
    ] {
        let refused = s.schema(text).unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
    assert_eq!(s.schema("DROP ALL INDEXES").unwrap().len(), 3);
    assert!(schema::show_indexes(&s.graph.begin(false)).rows.is_empty());
}

#[test]
fn a_pattern_begins_at_the_edges_where_they_are_fewer() {
    let mut s = chain();
    let by_type = "MATCH ()-[r:RARE]->() RETURN id(r) AS id";
    assert!(s.explain(by_type).contains("ScanAll (") && !s.explain(by_type).contains("EdgeType"));
    let scanned = ints(s.one(by_type));
    for text in
        ["CREATE EDGE INDEX ON :RARE", "CREATE EDGE INDEX ON :RARE(p)", "CREATE EDGE INDEX ON :OFTEN(p)"]
    {
        s.schema(text).unwrap();
    }
    assert_eq!(
        s.explain(by_type),
        " * Produce {id}\n * EdgeEnds [r]\n * ScanAllByEdgeType [r :RARE]\n * Once"
    );
    let found = ints(s.one(by_type));
    assert!(found.is_sorted() && found.len() == 10, "by id: {found:?}");
    assert_eq!(found, scanned);
    for (text, operator, rows) in [
        ("MATCH (a)-[r:OFTEN {p: 5}]->(b) RETURN a.i, b.i", "PropertyValue [r :OFTEN {p}]", vec![5, 6]),
        ("MATCH (a)<-[r:OFTEN {p: 5}]-(b) RETURN a.i, b.i", "PropertyValue [r :OFTEN {p}]", vec![6, 5]),
        ("MATCH (a)-[r:OFTEN {p: 5}]-(b) RETURN a.i, b.i", "PropertyValue [r :OFTEN {p}]", vec![5, 6, 6, 5]),
        (
            "MATCH ()-[r:OFTEN]->() WHERE r.p IN [90, 200, 10, 90] RETURN r.p",
            "PropertyValue [r :OFTEN {p}]",
            vec![10, 90],
        ),
        ("MATCH ()-[r:RARE]->() WHERE r.p <= 30 RETURN r.p", "PropertyRange [r :RARE {p}]", vec![10, 20, 30]),
        (
            "MATCH (a:N)-[r:RARE]->() WHERE 20 < r.p AND r.p < 50 RETURN a.i",
            "PropertyRange [r :RARE {p}]",
            vec![70, 60],
        ),
    ] {
        let plan = s.explain(text);
        assert!(plan.contains(&format!("ScanAllByEdgeType{operator}")), "{text}\n{plan}");
        assert_eq!(ints(s.one(text)), rows, "{text}");
    }
    // One vertex and what is at it is cheaper still.
    s.schema("CREATE INDEX ON :N(i)").unwrap();
    let plan = s.explain("MATCH (a:N {i: $x})-[r:OFTEN]->() WHERE r.p > 0 RETURN r");
    assert!(plan.contains("ScanAllByLabelProperties") && !plan.contains("EdgeType"), "{plan}");
    // A path of many hops has no one edge to begin at.
    assert!(!s.explain("MATCH (a)-[r:RARE*1..2]->(b) RETURN r").contains("EdgeType"));
}

#[test]
fn a_seek_follows_own_writes_and_a_clause_not_its_own() {
    let mut s = chain();
    s.schema("CREATE EDGE INDEX ON :RARE").unwrap();
    s.schema("CREATE EDGE INDEX ON :RARE(p)").unwrap();
    let texts = [
        "MATCH (a)-[r:RARE]->(b) CREATE (b)-[:RARE {p: r.p}]->(a) RETURN count(*)",
        "MATCH ()-[r:RARE]->() RETURN count(*)",
        "MATCH ()-[r:RARE]->() WHERE r.p >= 10 SET r.p = r.p + 100 RETURN count(*)",
        "MATCH ()-[r:RARE {p: 110}]->() RETURN count(*)",
        "MATCH ()-[r:RARE]->() WHERE r.p < 150 DELETE r RETURN count(*)",
        "MATCH ()-[r:RARE]->() RETURN count(*)",
    ];
    let counts: Vec<i64> = s.run(&texts, &Params::default()).into_iter().flat_map(ints).collect();
    assert_eq!(counts, [10, 20, 20, 2, 8, 12]);
    assert_eq!(ints(s.one("MATCH ()-[r:RARE]->() WHERE r.p > 0 RETURN count(*)")), [12]);
}

#[test]
fn edge_indexes_are_measured_where_no_labels_are_named() {
    let mut s = chain();
    for text in
        ["CREATE EDGE INDEX ON :RARE", "CREATE EDGE INDEX ON :RARE(q)", "CREATE EDGE INDEX ON :RARE(p)"]
    {
        s.schema(text).unwrap();
    }
    let text = "MATCH ()-[r:RARE {p: 100, q: 0}]->() RETURN r";
    assert!(s.explain(text).contains("{p}]"), "{}", s.explain(text));
    let tx = s.graph.begin(false);
    let found = analyze::analyze(&[], &tx, &|| Ok(())).unwrap().rows;
    let key = |name| Value::list([Value::string(name)]);
    let row = |name, groups, average, chi_squared| {
        let numbers = [Value::Int(10), Value::Int(groups), Value::Float(average), Value::Float(chi_squared)];
        [vec![Value::string("RARE"), key(name)], numbers.to_vec(), vec![Value::Null]].concat()
    };
    assert_eq!(found, [row("p", 10, 1.0, 0.0), row("q", 2, 5.0, 0.0)]);
    drop(tx);
    s.one("MATCH ()-[r:RARE]->() SET r.p = 1, r.q = r.q + id(r) * 100");
    analyze::analyze(&[], &s.graph.begin(false), &|| Ok(())).unwrap();
    assert!(s.explain(text).contains("{q}]"), "{}", s.explain(text));
    assert_eq!(analyze::forget(&[], &s.graph.begin(false)).rows.len(), 2);
}

/// Each is run with every pair of small numbers as `$x` and `$y`.
const READS: &[&str] = &[
    "MATCH ()-[r:T]->() RETURN id(r)",
    "MATCH (a)<-[r:T]-(b) RETURN id(a), id(r), id(b)",
    "MATCH (a)-[r:T]-(b) RETURN id(a), id(r), id(b)",
    "MATCH (a)-[r:T]-(a) RETURN id(a), id(r)",
    "MATCH (a:A)-[r:T {p: $x}]->(b:B) RETURN id(a), id(r), id(b)",
    "MATCH (a)-[r:T {p: $x, q: $y}]-(b) RETURN id(a), id(r), id(b)",
    "MATCH (a)-[r:T]->(b) WHERE r.p > $x RETURN id(a), id(r), id(b)",
    "MATCH (a)-[r:T]->(b) WHERE r.p >= $x AND r.p < $y AND a.p < b.p RETURN id(a), id(r), id(b)",
    "MATCH (a)-[r:T]->(b) WHERE r.p = $x OR r.q = $y RETURN id(a), id(r), id(b)",
    "MATCH (a)-[r:T]-(b) WHERE r.p IN [$x, $y, $y, null, 't0'] RETURN id(a), id(r), id(b)",
    "MATCH (a)-[r:T]->(b) WHERE r.p STARTS WITH 't' RETURN id(a), r.p, id(b)",
    "MATCH (a)-[r:T]->(b) WHERE r.p = null RETURN r",
    "MATCH (a)-[r:T {p: $x}]->(b)-[s:T]->(c) RETURN id(r), id(s)",
    "MATCH (a)-[r:T]-(b)-[s:T|U]-(c) RETURN id(r), id(s), id(c)",
    "MATCH (a)-[r:T {p: $x}]-(b), (a)-[s:T {p: $y}]-(c) RETURN id(r), id(s), id(c)",
    "MATCH p = (a:B)-[r:T {p: $x}]-(b) RETURN [n IN nodes(p) | id(n)], id(r)",
    "OPTIONAL MATCH (a)-[r:T {p: $x}]->(b {p: $y}) RETURN id(a), id(r), id(b)",
    "MATCH (a)-[r:U]->(b), (c)-[s:T {p: r.p}]->(d) RETURN id(r), id(s)",
    "UNWIND [$x, $y] AS x MATCH (a)-[r:T {p: x}]-(b) RETURN x, id(a), id(r)",
    "MATCH (n) WHERE EXISTS { MATCH ()-[r:T {p: n.p}]-() } RETURN id(n)",
    "MATCH (n) RETURN id(n), COUNT { MATCH (a)-[r:T]->(b) WHERE r.q <= n.p } AS c",
    "MATCH ()-[r:T]->() WITH r MATCH (a)-[r]-(b) RETURN id(a), id(r), id(b)",
    "MATCH (a)-[r:T*1..2]->(b), ()-[s:U {p: $x}]->(c) RETURN [e IN r | id(e)], id(s)",
];

const WRITES: &[&str] = &[
    "MATCH ()-[r:T {p: $x}]-() SET r.p = $y",
    "MATCH ()-[r:T]->() WHERE r.p >= $x SET r.p = r.p + 1, r.q = null",
    // Sorted, since the order of rows may differ, and ids follow it.
    "MATCH (a)-[r:T {p: $x}]->(b) WITH a, b ORDER BY id(r) CREATE (b)-[:T {p: $y, q: $x}]->(a)",
    "MATCH ()-[r:T {q: $y}]->() DELETE r",
    "MATCH (a:A)-[r:T]->(b) WHERE r.p < $x DETACH DELETE b",
    "MERGE (a:A)-[r:T {p: $x}]->(b:B) ON MATCH SET r.q = $y ON CREATE SET r.q = $x",
    "MATCH ()-[r:T]-() SET r.p = 't' + toString(r.p)",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// The second graph gets the same statements, and has every index from a certain moment on.
    #[test]
    fn rows_and_writes_are_the_same_with_and_without(
        vertices in 1_usize..12,
        edges in proptest::collection::vec(any::<(u8, u8, u8, u8)>(), 0..24),
        early: bool,
        writes in proptest::collection::vec((0..WRITES.len(), 0_i64..4, 0_i64..4), 0..4),
        reads in proptest::collection::vec((0..READS.len(), 0_i64..4, 0_i64..4), 12),
    ) {
        let (mut plain, mut indexed) = (Session::new(), Session::new());
        let create = |s: &mut Session| {
            for text in ["T", "T(p)", "T(q)", "T(p, q)", "U(p)"] {
                s.schema(&format!("CREATE EDGE INDEX ON :{text}")).unwrap();
            }
        };
        if early {
            create(&mut indexed);
        }
        let mut texts = vec![format!(
            "UNWIND range(0, {}) AS i CREATE (n {{p: i % 3}}) FOREACH (_ IN CASE i % 3 WHEN 0 THEN [] ELSE [1] END | SET n:A) \
             FOREACH (_ IN CASE i % 2 WHEN 0 THEN [] ELSE [1] END | SET n:B)",
            vertices - 1
        )];
        for (from, to, p, q) in &edges {
            let value = |n: &u8| match n % 6 {
                4 => "null".to_owned(),
                5 => format!("'t{}'", n % 4),
                n => n.to_string(),
            };
            texts.push(format!(
                "MATCH (a), (b) WHERE id(a) = {} AND id(b) = {} CREATE (a)-[:{} {{p: {}, q: {}}}]->(b)",
                *from as usize % vertices, *to as usize % vertices, if p % 5 == 0 { "U" } else { "T" }, value(p), value(q)
            ));
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for s in [&mut plain, &mut indexed] {
            s.run(&texts, &Params::default());
        }
        if !early {
            create(&mut indexed);
        }
        let (mut a, mut b) = (plain.graph.begin(true), indexed.graph.begin(true));
        for (which, x, y) in &writes {
            for tx in [&mut a, &mut b] {
                rows(WRITES[*which], &params(*x, *y), tx);
            }
        }
        let compare = |a: &mut Transaction, b: &mut Transaction| -> Result<(), TestCaseError> {
            for (which, x, y) in &reads {
                let sorted = |tx: &mut Transaction| {
                    let mut all: Vec<String> =
                        rows(READS[*which], &params(*x, *y), tx).iter().map(|row| format!("{row:?}")).collect();
                    all.sort();
                    all
                };
                prop_assert_eq!(sorted(a), sorted(b), "{} {} {}", READS[*which], x, y);
            }
            let all = "MATCH (n) OPTIONAL MATCH (n)-[r]->(m) RETURN id(n), labels(n), properties(n), id(r), type(r), \
                       properties(r), id(m)";
            prop_assert_eq!(rows(all, &Params::default(), a), rows(all, &Params::default(), b));
            Ok(())
        };
        compare(&mut a, &mut b)?;
        plain.commit(a);
        indexed.commit(b);
        compare(&mut plain.graph.begin(true), &mut indexed.graph.begin(true))?;
    }
}
