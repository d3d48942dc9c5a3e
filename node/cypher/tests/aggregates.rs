//! Aggregates give the same whichever way they take their rows: batch by batch off a scan, or one by one.
//!
//! Under `PROFILE` rows come one by one, so each query is run both ways over the same random graph.

use mgcypher::ast::Statement;
use mgcypher::{CypherError, Execution, Limits, Params, parse, prepare};
use mgnode_core::storage::{Graph, Transaction};
use mgnode_core::types::{Lsn, Names, Value};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Each has at least one scan below an aggregate; `$least` is a parameter.
const QUERIES: &[&str] = &[
    "MATCH (n) RETURN count(*)",
    "MATCH (n) RETURN count(n), count(*)",
    "MATCH (n) RETURN count(DISTINCT n)",
    "MATCH (n:A) RETURN count(*)",
    "MATCH (n:A:B) RETURN count(n)",
    "MATCH (n:Nobody) RETURN count(n), max(n.p)",
    "MATCH (n) RETURN count(n), count(n.p)",
    "MATCH (n:A) RETURN n.p, count(*)",
    "MATCH (n:A) RETURN n.p AS p, count(*) AS c ORDER BY c DESC, p LIMIT 3",
    "MATCH (n) RETURN n.nothing, count(n.nothing), count(*)",
    "MATCH (n:A) RETURN n.p, n.q, count(*), collect(n.p)",
    "MATCH (n:A) RETURN n.p + 1, min(n.q)",
    "MATCH (n:A) RETURN count(DISTINCT n.p), count(DISTINCT n.q)",
    "MATCH (n) RETURN min(n.p), max(n.p), min(n.q), max(n.q)",
    "MATCH (n) WHERE n.p >= $least RETURN n.p, count(*), avg(n.p), sum(n.p)",
    "MATCH (n:A) WHERE $least < n.p AND n.p <> 2 AND n.p <= 5 RETURN collect(n.p), count(*)",
    "MATCH (n:A) WHERE n.p > n.q RETURN count(*)",
    "MATCH (n:A) WHERE n.p > 1 AND n.q IS NOT NULL RETURN n.q, count(*)",
    "MATCH (n:A) WHERE n.q STARTS WITH 'x' OR n.p = 1 RETURN count(*), collect(n.q)",
    "MATCH (n:A) WHERE n.p = n.p AND n:B RETURN n.q, count(n), collect(DISTINCT n.p)",
    "MATCH (n) WHERE n = n RETURN count(n)",
    "MATCH (n:A) RETURN sum(n.q)",
    "MATCH (n:A) RETURN avg(n.q)",
    "MATCH (n:A) WHERE n.p / 0 > 1 RETURN count(n)",
    "MATCH (n:A) RETURN percentileDisc(n.p, 0.5), stDev(n.p)",
    "UNWIND [1, 2, 3] AS x MATCH (n:A) WHERE n.p = x RETURN x, count(*)",
    "UNWIND [1, 3] AS x MATCH (n) RETURN x, count(n)",
    "UNWIND [1, 3] AS x MATCH (n) RETURN count(n), count(*)",
    "UNWIND [1, 3] AS x MATCH (n:B) WHERE n.p > x RETURN count(x), sum(x), max(n.p)",
    "MATCH (m:B) MATCH (n:A) WHERE n.p = m.p RETURN m.p, count(n)",
    "MATCH (n:A) WITH n.p AS p, count(*) AS c MATCH (m:B) WHERE m.p = p RETURN p, c, count(m)",
    "MATCH (n:A) CALL { WITH n MATCH (m:B) WHERE m.p < n.p RETURN count(m) AS c } RETURN n.p, c",
    "MATCH (n:A) RETURN n.p AS p, COUNT { MATCH (m:B) WHERE m.p = n.p } AS c ORDER BY p, c",
    "MATCH (n:A) RETURN n, count(*)",
];

struct World {
    graph: Arc<Graph>,
    lsn: Lsn,
}

fn run(
    text: &str,
    least: i64,
    tx: &mut Transaction,
    row_by_row: bool,
) -> Result<Vec<Vec<Value>>, CypherError> {
    let Statement::Query(query) = parse(text)? else { panic!("not a query: {text}") };
    let params: Params = Arc::new(BTreeMap::from([("least".into(), Value::Int(least))]));
    let profile_clock = row_by_row.then_some((|| Duration::ZERO) as fn() -> Duration);
    let prepared = prepare(&query, tx, &params)?;
    let mut run = Execution::new(prepared, params, Limits { profile_clock, ..Limits::default() })?;
    let mut rows = Vec::new();
    while let Some(row) = run.next(tx)? {
        rows.push(row);
    }
    Ok(rows)
}

impl World {
    fn write(&mut self, statements: &[String]) {
        let mut tx = self.graph.begin(true);
        for statement in statements {
            run(statement, 0, &mut tx, false).unwrap();
        }
        if let Some(commit) = tx.finish().unwrap() {
            self.lsn = self.lsn.next();
            let changes = self.graph.decode(&commit.payload).unwrap();
            self.graph.apply(self.lsn, &changes).unwrap();
            self.graph.publish(self.lsn, self.graph.clock().take());
        }
    }
}

/// A vertex to create, or an id to delete or change.
fn statement() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        4 => (0i64..6).prop_map(|n| n.to_string()),
        1 => Just("2.0".to_owned()),
        1 => Just("null".to_owned()),
        1 => Just("[1, 2]".to_owned()),
        1 => "x?[ab]".prop_map(|s| format!("'{s}'")),
    ];
    let labels = prop_oneof![Just(""), Just(":A"), Just(":B"), Just(":A:B")];
    prop_oneof![
        6 => (labels, value.clone(), value.clone())
            .prop_map(|(labels, p, q)| format!("CREATE ({labels} {{p: {p}, q: {q}}})")),
        1 => (0u64..20).prop_map(|id| format!("MATCH (n) WHERE id(n) = {id} DELETE n")),
        1 => (0u64..20, value).prop_map(|(id, p)| format!("MATCH (n) WHERE id(n) = {id} SET n.p = {p}")),
        1 => (0u64..20).prop_map(|id| format!("MATCH (n) WHERE id(n) = {id} REMOVE n:A")),
    ]
}

fn compare(least: i64, tx: &mut Transaction) -> Result<(), TestCaseError> {
    for query in QUERIES {
        let (batches, rows) = (run(query, least, tx, false), run(query, least, tx, true));
        match (batches, rows) {
            (Ok(batches), Ok(rows)) => prop_assert_eq!(batches, rows, "{}", query),
            (Err(_), Err(_)) => {}
            (batches, rows) => prop_assert!(false, "{}: {:?} and {:?}", query, batches, rows),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn batches_and_rows_give_the_same(
        committed in proptest::collection::vec(statement(), 0..40),
        later in proptest::collection::vec(statement(), 0..10),
        own in proptest::collection::vec(statement(), 0..10),
        least in -1i64..4,
    ) {
        let mut world = World { graph: Arc::new(Graph::new(Arc::new(Names::default()))), lsn: Lsn::ZERO };
        world.write(&committed);
        // One that reads the past, one that reads the newest state, and one with writes of its own.
        let mut old = world.graph.begin(false);
        world.write(&later);
        compare(least, &mut old)?;
        let mut newest = world.graph.begin(false);
        compare(least, &mut newest)?;
        for statement in &own {
            run(statement, 0, &mut newest, false).unwrap();
        }
        compare(least, &mut newest)?;
    }
}

/// More vertices than a batch has, in more than one chunk.
fn many() -> World {
    let mut world = World { graph: Arc::new(Graph::new(Arc::new(Names::default()))), lsn: Lsn::ZERO };
    let text = "UNWIND range(1, 5000) AS i CREATE (n:A {p: i % 7, q: toString(i % 11)})";
    world.write(&[text.to_owned(), "MATCH (n:A) WHERE n.p = 6 REMOVE n:A SET n:B".to_owned()]);
    world
}

#[test]
fn many_batches_give_the_same() {
    let world = many();
    let mut tx = world.graph.begin(false);
    for query in QUERIES {
        // Squares of thousands take too long row by row.
        if query.matches("MATCH").count() > 1 {
            continue;
        }
        let both = [false, true].map(|row_by_row| run(query, 1, &mut tx, row_by_row));
        match &both {
            [Ok(batches), Ok(rows)] => assert_eq!(batches, rows, "{query}"),
            [Err(batches), Err(rows)] => assert_eq!(batches.to_string(), rows.to_string(), "{query}"),
            _ => panic!("{query}: {both:?}"),
        }
    }
    assert_eq!(run("MATCH (n) RETURN count(n)", 0, &mut tx, false).unwrap(), [[Value::Int(5000)]]);
    assert_eq!(run("MATCH (n:B) RETURN count(n)", 0, &mut tx, false).unwrap(), [[Value::Int(714)]]);
}

#[test]
fn batches_are_stopped_and_held_to_the_memory_limit() {
    let world = many();
    let mut tx = world.graph.begin(false);
    let mut fails = |text: &str, limits: Limits| {
        let Statement::Query(query) = parse(text).unwrap() else { panic!("not a query: {text}") };
        let prepared = prepare(&query, &tx, &Params::default()).unwrap();
        let mut run = Execution::new(prepared, Params::default(), limits).unwrap();
        run.next(&mut tx).unwrap_err().to_string()
    };
    let cancel = Arc::new(AtomicBool::new(false));
    cancel.store(true, Ordering::Relaxed);
    for query in ["MATCH (n:A) RETURN n.p, count(*)", "MATCH (n) WHERE n.p > 3 RETURN max(n.p)"] {
        let error = fails(query, Limits { cancel: Some(cancel.clone()), ..Limits::default() });
        assert!(error.contains("asked to abort"), "{error}");
    }
    for query in ["MATCH (n:A) RETURN id(n), count(*)", "MATCH (n:A) RETURN n, count(*)"] {
        let error = fails(query, Limits { memory_bytes_max: 100_000, ..Limits::default() });
        assert!(error.contains("Memory limit exceeded"), "{error}");
    }
}
