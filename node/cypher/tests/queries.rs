//! Queries from text to rows: plans, limits, schema, and what must not go wrong.

use mgcypher::ast::{ShowStatement, Statement};
use mgcypher::{
    CypherError, ErrorKind, Execution, Limits, MemoryPool, Params, Phase, parse, prepare, schema,
};
use mgnode_core::storage::{Graph, Transaction};
use mgnode_core::types::{Lsn, Names, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

struct Session {
    graph: Arc<Graph>,
    lsn: Lsn,
    limits: Limits,
}

impl Session {
    fn new() -> Session {
        let limits = Limits { memory_bytes_max: 64 << 20, ..Limits::default() };
        Session { graph: Arc::new(Graph::new(Arc::new(Names::default()))), lsn: Lsn::ZERO, limits }
    }

    fn commit(&mut self, tx: Transaction) {
        if let Some(commit) = tx.finish().unwrap() {
            self.lsn = self.lsn.next();
            let changes = self.graph.decode(&commit.payload).unwrap();
            self.graph.apply(self.lsn, &changes).unwrap();
            self.graph.publish(self.lsn, self.graph.clock().take());
        }
    }

    fn run_with(&mut self, text: &str, params: Params) -> Result<Vec<Vec<Value>>, CypherError> {
        let Statement::Query(query) = parse(text)? else { panic!("not a query: {text}") };
        let mut tx = self.graph.begin(true);
        let prepared = prepare(&query, &tx, &params)?;
        let mut run = Execution::new(prepared, params, self.limits.clone())?;
        let mut rows = Vec::new();
        while let Some(row) = run.next(&mut tx)? {
            rows.push(row);
        }
        self.commit(tx);
        Ok(rows)
    }

    fn run(&mut self, text: &str) -> Result<Vec<Vec<Value>>, CypherError> {
        self.run_with(text, Params::default())
    }

    /// The only value of the only row.
    fn one(&mut self, text: &str) -> Value {
        let rows = self.run(text).unwrap();
        assert_eq!((rows.len(), rows[0].len()), (1, 1), "{text}");
        rows[0][0].clone()
    }

    fn schema(&mut self, text: &str) -> Result<Vec<&'static str>, CypherError> {
        let Statement::Schema(statement) = parse(text)? else { panic!("not a schema statement: {text}") };
        let mut tx = self.graph.begin(true);
        let notes = schema::execute(&statement, &mut tx)?;
        self.commit(tx);
        Ok(notes.into_iter().map(|n| n.code).collect())
    }

    fn explain(&self, text: &str) -> String {
        let Statement::Query(query) = parse(text).unwrap() else { panic!("not a query: {text}") };
        let tx = self.graph.begin(false);
        let params: BTreeMap<Arc<str>, Value> = [(Arc::from("x"), Value::Int(1))].into();
        prepare(&query, &tx, &Arc::new(params)).unwrap().explain(&tx).join("\n")
    }
}

fn people() -> Session {
    let mut s = Session::new();
    s.schema("CREATE INDEX ON :Person(id)").unwrap();
    s.run(
        "UNWIND range(0, 99) AS i CREATE (p:Person {id: i}) WITH collect(p) AS all \
         UNWIND range(0, 98) AS i WITH all[i] AS a, all[i + 1] AS b CREATE (a)-[:KNOWS {since: a.id}]->(b)",
    )
    .unwrap();
    s
}

#[test]
fn the_plan_begins_at_the_index_and_expands_from_there() {
    let s = people();
    assert_eq!(
        s.explain("MATCH (a:Person)-[:KNOWS]->(b:Person {id: $x}) RETURN a.id AS id"),
        " * Produce {id}\n * Filter\n * Expand (b)<-[anon1:KNOWS]-(a)\n \
         * ScanAllByLabelProperties (b :Person {id})\n * Once"
    );
    // What a parameter will hold may be of a kind that an index orders and `<` does not.
    for (bound, is_filtered) in [("9", false), ("$x", true)] {
        let range =
            s.explain(&format!("MATCH (a:Person) WHERE a.id > 5 AND a.id <= {bound} RETURN a.id AS id"));
        assert!(range.contains("ScanAllByLabelProperties (a :Person {id})"), "{range}");
        assert_eq!(range.contains("Filter"), is_filtered, "{range}");
    }
    assert!(s.explain("MATCH (a) WHERE id(a) = $x RETURN a").contains("ScanAllById (a)"));
    assert!(s.explain("MATCH (a:Person) RETURN a").contains("ScanAllByLabel (a :Person)"));
}

#[test]
fn a_plan_is_stale_when_an_index_comes() {
    let mut s = people();
    let Statement::Query(query) = parse("MATCH (c:City {name: 'x'}) RETURN c").unwrap() else { panic!() };
    let tx = s.graph.begin(false);
    let prepared = prepare(&query, &tx, &Params::default()).unwrap();
    assert!(!prepared.is_stale(&tx));
    drop(tx);
    s.schema("CREATE INDEX ON :City(name)").unwrap();
    assert!(prepared.is_stale(&s.graph.begin(false)));
}

#[test]
fn a_prepared_query_runs_again_after_its_names_come_up() {
    let mut s = Session::new();
    let Statement::Query(query) = parse("MATCH (n:Late {key: $x}) RETURN n.key AS key").unwrap() else {
        panic!()
    };
    let params: Params = Arc::new([(Arc::from("x"), Value::Int(7))].into());
    let prepared = prepare(&query, &s.graph.begin(false), &params).unwrap();
    s.run("CREATE (:Late {key: 7})").unwrap();
    let mut tx = s.graph.begin(false);
    let mut run = Execution::new(prepared, params, Limits::default()).unwrap();
    assert_eq!(run.next(&mut tx).unwrap(), Some(vec![Value::Int(7)]));
    assert_eq!(run.next(&mut tx).unwrap(), None);
}

#[test]
fn index_and_scan_find_the_same() {
    let mut s = people();
    s.run("CREATE (:Person {id: 'text'}), (:Person {id: 5.0}), (:Person)").unwrap();
    for (indexed, scanned) in [
        ("MATCH (p:Person {id: 5}) RETURN count(*)", "MATCH (p:Person) WHERE p.id + 0 = 5 RETURN count(*)"),
        (
            "MATCH (p:Person) WHERE p.id >= 95 RETURN count(*)",
            "MATCH (p:Person) WHERE NOT p.id < 95 RETURN count(*)",
        ),
        ("MATCH (p:Person) WHERE p.id IN [1, 2, 2, null, 'text'] RETURN count(*)", "RETURN 3"),
        ("MATCH (p:Person) WHERE p.id STARTS WITH 'te' RETURN count(*)", "RETURN 1"),
        ("MATCH (p:Person {id: null}) RETURN count(*)", "RETURN 0"),
    ] {
        // `+` refuses strings, so the scan is kept to numbers.
        let scanned = scanned.replace("WHERE", "WHERE NOT p.id = 'text' AND");
        assert_eq!(s.one(indexed), s.one(&scanned), "{indexed}");
    }
}

/// A list is less or greater by its first items, whatever comes behind them in the other.
#[test]
fn an_index_finds_lists_that_compare_with_one_that_has_a_null() {
    let mut s = Session::new();
    s.schema("CREATE INDEX ON :P(a)").unwrap();
    s.run("UNWIND [[], [1], [1, 2], [2], [2, null], ['a'], 1, 'a'] AS a CREATE (:P {a: a})").unwrap();
    s.run("UNWIND range(1, 20) AS i CREATE (:P)").unwrap();
    for (condition, count) in [
        ("n.a < [1, null]", 2),
        ("n.a <= [2, 0.0 / 0.0]", 4),
        ("n.a > [1, null]", 2),
        ("[1, null] <= n.a", 2),
        ("n.a >= [0, null] AND n.a < [2]", 2),
        ("n.a <= [null]", 1),
        ("n.a <= 0.0 / 0.0", 0),
    ] {
        let text = format!("MATCH (n:P) WHERE {condition} RETURN count(*)");
        assert!(s.explain(&text).contains("ScanAllByLabelProperties"), "{text}");
        assert_eq!(s.one(&text), Value::Int(count), "{text}");
        let scanned = format!("MATCH (n:P) WHERE NOT NOT ({condition}) RETURN count(*)");
        assert_eq!(s.one(&scanned), Value::Int(count), "{scanned}");
    }
}

/// What lacks a property of an index is not in it, and must be found all the same.
#[test]
fn an_index_of_two_properties_answers_where_both_must_be_there() {
    let mut s = Session::new();
    s.schema("CREATE INDEX ON :P(a, b)").unwrap();
    s.run("UNWIND range(0, 99) AS i CREATE (:P {a: i % 10}), (:P {a: i % 10, b: i})").unwrap();
    for (condition, count, is_sought) in [
        ("n.a = 3", 20, false),
        ("n.a > 7", 40, false),
        ("n.a = 3 AND n.b > 50", 5, true),
        ("n.a = 3 AND n.b = 13", 1, true),
        ("n.a > 7 AND n.b IN [8, 19, 20]", 2, true),
    ] {
        let text = format!("MATCH (n:P) WHERE {condition} RETURN count(*)");
        assert_eq!(s.explain(&text).contains("ScanAllByLabelProperties"), is_sought, "{condition}");
        assert_eq!(s.one(&text), Value::Int(count), "{condition}");
    }
}

#[test]
fn a_clause_does_not_see_its_own_writes() {
    let mut s = people();
    assert_eq!(s.one("MATCH (p:Person) CREATE (:Person) RETURN count(*)"), Value::Int(100));
    assert_eq!(s.one("MATCH (p:Person) RETURN count(*)"), Value::Int(200));
    assert_eq!(s.one("UNWIND [1, 2] AS x CREATE (:New) WITH x MATCH (n:New) RETURN count(*)"), Value::Int(4));
    s.run("MATCH (p:Person) WHERE p.id >= 0 SET p.id = p.id + 1").unwrap();
    assert_eq!(s.one("MATCH (p:Person) RETURN max(p.id)"), Value::Int(100));
}

#[test]
fn schema_statements_tell_what_they_found() {
    let mut s = Session::new();
    assert_eq!(s.schema("CREATE INDEX ON :L(p)").unwrap(), ["CreateIndex"]);
    assert_eq!(s.schema("CREATE INDEX ON :L(p)").unwrap(), ["IndexAlreadyExists"]);
    assert_eq!(s.schema("CREATE CONSTRAINT ON (n:L) ASSERT n.p IS UNIQUE").unwrap(), ["CreateConstraint"]);
    assert_eq!(s.schema("CREATE CONSTRAINT ON (n:L) ASSERT EXISTS (n.p)").unwrap(), ["CreateConstraint"]);
    assert_eq!(s.schema("DROP CONSTRAINT ON (n:M) ASSERT EXISTS (n.p)").unwrap(), ["ConstraintDoesNotExist"]);
    let refused = s.schema("CREATE POINT INDEX ON :L(p)").unwrap_err();
    assert!(refused.to_string().contains("POINT INDEX"), "{refused}");
    s.run("CREATE (:L {p: 1})").unwrap();

    let tx = s.graph.begin(false);
    let indexes = schema::show_indexes(&tx);
    assert_eq!(indexes.columns, ["index type", "label", "property", "count"]);
    let p = Value::list(vec![Value::string("p")]);
    assert_eq!(
        indexes.rows,
        [vec![Value::string("label+property"), Value::string("L"), p.clone(), Value::Int(1)]]
    );
    let constraints = schema::show_constraints(&tx);
    assert_eq!(constraints.columns, ["constraint type", "label", "properties", "data_type"]);
    let row = |kind: &str, properties: Value| {
        vec![Value::string(kind), Value::string("L"), properties, Value::string("")]
    };
    assert_eq!(constraints.rows, [row("exists", Value::string("p")), row("unique", p)]);
    assert!(matches!(parse("SHOW INDEX INFO").unwrap(), Statement::Show(ShowStatement::Indexes)));
}

#[test]
fn bombs_end_in_an_error() {
    let mut s = people();
    for bomb in [
        "RETURN range(1, 1000000000000000000)",
        "UNWIND range(1, 100000000) AS x RETURN collect(x)",
        "MATCH (a), (b), (c), (d) RETURN collect([a, b, c, d])",
        "MATCH (a), (b), (c), (d) WITH * ORDER BY a.id RETURN *",
        "MATCH (a), (b), (c), (d) WITH * ORDER BY a.id LIMIT 9000000000000000000 RETURN *",
        "MATCH (a), (b), (c), (d) RETURN DISTINCT a, b, c, d ORDER BY a",
        "WITH reduce(s = 'x', i IN range(1, 60) | s + s) AS s RETURN size(s)",
        "RETURN reduce(l = [], i IN range(1, 100000) | [l])",
        "RETURN reduce(l = {}, i IN range(1, 100000) | {l: l})",
        "RETURN reduce(l = [], i IN range(1, 100000) | [x IN [1] | l])",
        "RETURN replace('aaaaaaaaaa', 'a', reduce(s = 'x', i IN range(1, 24) | s + s))",
    ] {
        let error = s.run(bomb).expect_err(bomb);
        assert!(matches!(error.kind, ErrorKind::Limit | ErrorKind::TypeError), "{bomb}: {error}");
    }
    assert_eq!(s.one("RETURN 1"), Value::Int(1));
}

/// On a stack as large as that of the node's threads, which a build without optimisation needs.
#[test]
fn long_queries_fit_on_the_stack() {
    std::thread::Builder::new().stack_size(16 << 20).spawn(run_long_queries).unwrap().join().unwrap();
}

fn run_long_queries() {
    let mut s = Session::new();
    let creates: String = (0..5_000).map(|i| format!("CREATE (n{i}:Many) ")).collect();
    s.run(&creates).unwrap();
    assert_eq!(s.one("MATCH (n:Many) RETURN count(*)"), Value::Int(5_000));
    let unwinds: String = (0..490).map(|i| format!("UNWIND [1] AS x{i} ")).collect();
    assert_eq!(s.one(&format!("{unwinds} RETURN count(*)")), Value::Int(1));
    let error = s.run(&format!("{unwinds} {} RETURN 1", unwinds.replace('x', "y"))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Limit);
    let sum = vec!["1"; 50_000].join(" + ");
    assert_eq!(s.one(&format!("RETURN {sum}")), Value::Int(50_000));
}

#[test]
fn a_query_stops_when_it_is_told_to() {
    let mut s = people();
    s.limits.cancel = Some(Arc::new(AtomicBool::new(true)));
    let error = s.run("MATCH (a), (b), (c), (d), (e) RETURN count(*)").unwrap_err();
    assert!(error.is_transient, "{error}");
}

#[test]
fn shortest_paths() {
    let mut s = Session::new();
    s.run(
        "CREATE (a:N {n: 'a'}), (b:N {n: 'b'}), (c:N {n: 'c'}), (d:N {n: 'd'}), \
         (a)-[:R {w: 1}]->(b), (b)-[:R {w: 1}]->(d), (a)-[:R {w: 5}]->(c), (c)-[:R {w: 5}]->(d), \
         (a)-[:S {w: 9}]->(d)",
    )
    .unwrap();
    let ends = "MATCH (a:N {n: 'a'}), (d:N {n: 'd'}) ";
    for (query, expected) in [
        ("MATCH p = shortestPath((a)-[*]->(d)) RETURN length(p)", Value::Int(1)),
        ("MATCH p = shortestPath((a)-[:R*]->(d)) RETURN length(p)", Value::Int(2)),
        ("MATCH p = allShortestPaths((a)-[:R*]->(d)) RETURN count(p)", Value::Int(2)),
        ("MATCH p = (a)-[:R*BFS]->(d) RETURN length(p)", Value::Int(2)),
        ("MATCH p = (a)-[*WSHORTEST (r, n | r.w) total]->(d) RETURN total", Value::Float(2.0)),
        ("MATCH p = (d)<-[*WSHORTEST (r, n | r.w) total]-(a) RETURN length(p)", Value::Int(2)),
        ("RETURN length(shortestPath((a)<-[*]-(d)))", Value::Null),
    ] {
        assert_eq!(s.one(&format!("{ends}{query}")), expected, "{query}");
    }
}

/// It is looked up where it is a number, and compared elsewhere: with the same rows.
#[test]
fn an_id_is_found_by_any_number_that_it_equals() {
    let mut s = people();
    for (id, count) in [("7", 1), ("7.0", 1), ("7.5", 0), ("-1", 0), ("1e300", 0), ("'7'", 0), ("null", 0)] {
        let text = format!("MATCH (p) WHERE id(p) = {id} RETURN count(*)");
        assert!(s.explain(&text).contains("ScanAllById"), "{text}");
        assert_eq!(s.one(&text), Value::Int(count), "{text}");
        let scanned = format!("MATCH (p) WHERE NOT NOT id(p) = {id} RETURN count(*)");
        assert_eq!(s.one(&scanned), Value::Int(count), "{scanned}");
    }
}

/// `n` is what a hop leads to as the pattern is read, whichever end the plan begins at.
#[test]
fn a_condition_of_hops_does_not_depend_on_where_the_plan_begins() {
    let mut s = Session::new();
    s.run(
        "CREATE (a:V {n: 'a', ok: false}), (b:V {n: 'b', ok: true}), (c:V {n: 'c', ok: true}), \
         (a)-[:R {w: 1}]->(b), (b)-[:R {w: 1}]->(c), (c)-[:R {w: 1}]->(a)",
    )
    .unwrap();
    let texts = ["ab", "ac", "bc"].map(Value::string);
    for path in
        ["*BFS", "*1..3", "*WSHORTEST (r, n | r.w) total", "*ALLSHORTEST (r, n | CASE WHEN n.ok THEN 1 END)"]
    {
        let lambda = if path.contains("CASE") { "" } else { " (r, n | n.ok)" };
        let walked = format!("(x)-[:R{path}{lambda}]->(y)");
        for (from, to) in [
            ("MATCH (x:V)", ""),
            ("MATCH (y:V)", ""),
            ("MATCH (x:V) MATCH (y:V)", ""),
            ("", "WHERE x.n < 'z' AND id(x) >= 0"),
        ] {
            let text =
                format!("{from} MATCH {walked} {to} RETURN DISTINCT x.n + y.n AS found ORDER BY found");
            assert_eq!(s.run(&text).unwrap().concat(), texts, "{text}");
        }
    }
}

/// All of them, also where a hop costs nothing, and none that goes in circles.
#[test]
fn hops_that_cost_nothing_are_on_shortest_paths() {
    let mut s = Session::new();
    s.run(
        "CREATE (a:V {n: 'a'}), (b:V {n: 'b'}), (c:V {n: 'c'}), (a)-[:R {k: 1, w: 1}]->(b), (a)-[:R {k: 2, w: 1}]->(c), \
         (c)-[:R {k: 3, w: 0}]->(b), (b)-[:R {k: 4, w: 0}]->(c), (b)-[:R {k: 5, w: 0}]->(c)",
    )
    .unwrap();
    for (form, ways) in [
        ("*ALLSHORTEST (r, n | r.w) total", vec![vec![1, 4], vec![1, 5], vec![2]]),
        ("*ALLSHORTEST 2 (r, n | r.w) total", vec![vec![1, 4], vec![1, 5], vec![2]]),
        ("*ALLSHORTEST 1 (r, n | r.w) total", vec![vec![2]]),
    ] {
        let expected: Vec<Value> = ways
            .into_iter()
            .map(|way| Value::list(way.into_iter().map(Value::Int).collect::<Vec<_>>()))
            .collect();
        for ends in ["MATCH (a {n: 'a'}), (c {n: 'c'})", "MATCH (c {n: 'c'})"] {
            let text = format!(
                "{ends} MATCH p = (a {{n: 'a'}})-[{form}]->(c) WITH [e IN relationships(p) | e.k] AS way, total \
                 WHERE total = 1 RETURN way ORDER BY way"
            );
            assert_eq!(s.run(&text).unwrap().concat(), expected, "{text}");
        }
    }
}

#[test]
fn subqueries_and_foreach() {
    let mut s = people();
    assert_eq!(
        s.one("MATCH (p:Person) CALL { WITH p MATCH (p)-[:KNOWS]->(q) RETURN count(q) AS n } RETURN sum(n)"),
        Value::Int(99)
    );
    assert_eq!(s.one("MATCH (p:Person) WHERE EXISTS { (p)-[:KNOWS]->() } RETURN count(*)"), Value::Int(99));
    assert_eq!(s.one("MATCH (p:Person {id: 3}) RETURN COUNT { MATCH (p)-[:KNOWS*1..3]->() }"), Value::Int(3));
    s.run("FOREACH (i IN range(1, 10) | CREATE (:Each {i: i}) MERGE (:Odd {i: i % 2}))").unwrap();
    assert_eq!(s.one("MATCH (e:Each) RETURN count(*)"), Value::Int(10));
    assert_eq!(s.one("MATCH (e:Odd) RETURN count(*)"), Value::Int(2));
}

#[test]
fn procedures_that_tools_call() {
    let mut s = people();
    assert_eq!(
        s.one("CALL db.labels() YIELD label RETURN collect(label)"),
        Value::list(vec![Value::string("Person")])
    );
    assert_eq!(s.one("CALL db.relationshipTypes()"), Value::string("KNOWS"));
    assert_eq!(s.run("CALL dbms.components()").unwrap().len(), 1);
}

/// None of these may take the memory of the machine, wherever in a query it grows.
#[test]
fn what_grows_without_end_is_refused_by_the_pool_of_all_queries() {
    let mut s = Session::new();
    let pool = Arc::new(MemoryPool::new(2 << 20));
    s.limits.memory_bytes_max = usize::MAX;
    s.limits.pool = Some(pool.clone());
    for text in [
        "RETURN size(range(1, 1000000000000))",
        "RETURN size([x IN range(1, 100000) | range(1, 100)])",
        "RETURN size([x IN range(1, 100000) | toString(x) + 'and a longer text than that'])",
        "RETURN size(reduce(a = 'x', y IN range(1, 60) | a + a))",
        "RETURN size(reduce(a = [1], y IN range(1, 60) | a + a))",
        "RETURN size(split(reduce(a = 'x,', y IN range(1, 18) | a + a), ','))",
        "UNWIND range(1, 100000) AS x CREATE (:Big {x: x})",
        "UNWIND range(1, 100000) AS x WITH collect([x]) AS list RETURN size(list)",
        "UNWIND range(1, 100000) AS x WITH x ORDER BY -x RETURN collect(x)",
        "RETURN size(COLLECT { UNWIND range(1, 100000) AS x RETURN range(1, 100) })",
    ] {
        let error = s.run(text).expect_err(text);
        assert!(error.message.contains("Memory limit exceeded"), "{text}: {error}");
        assert_eq!(pool.held(), 0, "a query that has ended holds nothing: {text}");
    }
    // What would fit alone may be tried again.
    let taken = Arc::new(MemoryPool::new(0));
    s.limits.pool = Some(taken);
    assert!(!s.run("RETURN range(1, 10)").expect_err("no room").is_transient);
    s.limits.pool = Some(pool);
    assert_eq!(s.one("RETURN size([x IN range(1, 1000) | x])"), Value::Int(1000));
}

#[test]
fn what_an_inner_plan_held_is_let_go_when_it_ends() {
    let mut s = Session::new();
    let pool = Arc::new(MemoryPool::new(1 << 30));
    s.limits.pool = Some(pool.clone());
    s.limits.memory_bytes_max = 256 << 10;
    let distinct = "UNWIND range(1, 500) AS j WITH DISTINCT i + j AS k";
    for (text, expected) in [
        (format!("CALL {{ WITH i {distinct} RETURN collect(k) AS ks }} RETURN sum(size(ks))"), 100_000),
        (format!("CALL {{ WITH i {distinct} RETURN k }} RETURN count(k)"), 100_000),
        (
            format!(
                "CALL {{ WITH i CALL {{ WITH i {distinct} RETURN k }} RETURN k LIMIT 300 }} RETURN count(k)"
            ),
            60_000,
        ),
        (format!("WITH i WHERE EXISTS {{ {distinct} WHERE k % 500 = 0 RETURN k }} RETURN count(i)"), 200),
        (format!("RETURN sum(COUNT {{ {distinct} RETURN k }})"), 100_000),
        (format!("RETURN sum(size(COLLECT {{ {distinct} RETURN k }}))"), 100_000),
    ] {
        assert_eq!(s.one(&format!("UNWIND range(1, 200) AS i {text}")), Value::Int(expected), "{text}");
    }
    // What is kept all the same still counts: by what stands around it, and by the transaction.
    for text in [
        format!("CALL {{ WITH i {distinct} RETURN collect(k) AS ks }} RETURN collect(ks)"),
        format!("CALL {{ WITH i {distinct} RETURN k }} RETURN collect(k)"),
        format!("CALL {{ WITH i {distinct} CREATE (:Kept {{k: k}}) }} RETURN count(*)"),
        "FOREACH (j IN range(1, 500) | CREATE (:Kept {k: j}))".to_owned(),
    ] {
        let text = format!("UNWIND range(1, 200) AS i {text}");
        let error = s.run(&text).expect_err(&text);
        assert!(error.message.contains("Memory limit exceeded"), "{text}: {error}");
        assert_eq!(pool.held(), 0, "a query that has ended holds nothing: {text}");
    }
}

#[test]
fn rows_that_share_a_list_do_not_count_as_many_lists() {
    let mut s = Session::new();
    s.limits.memory_bytes_max = 8 << 20;
    let text =
        "WITH range(1, 10000) AS list UNWIND list AS x WITH list, x ORDER BY -x RETURN max(x + size(list))";
    assert_eq!(s.one(text), Value::Int(20_000));
}

/// Properties that a scan reads ahead are those of its own row, whatever stands between.
#[test]
fn what_a_scan_reads_ahead_is_what_its_rows_have() {
    let mut s = Session::new();
    // More than one batch, and more than one portion of properties of a batch.
    s.run("UNWIND range(0, 499) AS i CREATE (:V {i: i, text: toString(i) + reduce(t = 'x', k IN range(1, 11) | t + t)})")
        .unwrap();
    s.run("MATCH (v:V) WHERE v.i % 5 = 0 SET v.five = v.i, v.i = null").unwrap();
    s.run("MATCH (v:V) WHERE v.five > 400 REMOVE v:V").unwrap();
    for (query, expected) in [
        ("MATCH (v:V) RETURN count(v.i)", Value::Int(400)),
        ("MATCH (v:V) RETURN count(v.five)", Value::Int(81)),
        ("MATCH (v) RETURN count(v.five)", Value::Int(100)),
        ("MATCH (v:V) RETURN sum(coalesce(v.i, v.five))", Value::Int((0..500).sum::<i64>() - 8550)),
        ("MATCH (v:V) WHERE v.i >= 10 AND v.i < 20 RETURN sum(v.i)", Value::Int((10..20).sum::<i64>() - 25)),
        ("MATCH (v:V) WHERE v.none IS NULL RETURN count(*)", Value::Int(481)),
        (
            "MATCH (v:V) WHERE v.text STARTS WITH '123x' WITH v MATCH (w) WHERE w.i = v.i RETURN w.i + v.i",
            Value::Int(246),
        ),
        ("MATCH (v:V) WITH v ORDER BY v.i DESC LIMIT 1 RETURN size(v.text) + v.i", Value::Null),
        (
            "MATCH (v:V) WHERE v.i > 0 WITH v ORDER BY v.i DESC LIMIT 1 RETURN size(v.text) + v.i",
            Value::Int(2550),
        ),
        ("MATCH (v:V), (w:V) WHERE v.i = 3 AND w.i = v.i + 1 RETURN v.i * 10 + w.i", Value::Int(34)),
        ("UNWIND [1, 2] AS k MATCH (v:V) WHERE v.i = k RETURN sum(v.i)", Value::Int(3)),
        ("MATCH (v:V) RETURN sum(size(v.text)) > 400 * 2048", Value::Bool(true)),
    ] {
        assert_eq!(s.one(query), expected, "{query}");
    }
}

#[test]
fn a_number_is_one_group_however_it_is_written() {
    let mut s = Session::new();
    let text = "UNWIND [1, 1.0, 2, 1, 2.0, 2.5, null, 1.0, '1', null, 2] AS x WITH x, count(*) AS n RETURN x, n ORDER BY n, x";
    let groups: Vec<i64> = s
        .run(text)
        .unwrap()
        .iter()
        .map(|row| if let Value::Int(n) = row[1] { n } else { panic!("{row:?}") })
        .collect();
    assert_eq!(groups, [1, 1, 2, 3, 4]);
    for (list, count) in
        [("[1, 1, 1.0, 2]", 2), ("[1.0, 1, 1, 2.5]", 2), ("[2, null, '2', 2, 2.0]", 2), ("[]", 0)]
    {
        let text = format!("UNWIND {list} AS x RETURN count(DISTINCT x)");
        assert_eq!(s.one(&text), Value::Int(count), "{text}");
    }
    assert_eq!(s.one("UNWIND [3, 3, 4, 4.0, 3] AS x RETURN sum(DISTINCT x)"), Value::Int(7));
    // Found first as a float, then as an integer.
    assert_eq!(s.one("UNWIND [3.0, 3, 3] AS x WITH x, count(*) AS n RETURN n"), Value::Int(3));
}

/// Where only the last vertex counts, it is given out once; where anything else does, every way counts.
#[test]
fn distinct_ends_are_those_of_all_ways() {
    let mut s = Session::new();
    s.run("UNWIND range(0, 19) AS i CREATE (:V {i: i, kind: i % 3})").unwrap();
    s.run("MATCH (a:V), (b:V) WHERE (a.i * 7 + b.i * 3) % 11 = 1 AND a.i % 4 <> 3 CREATE (a)-[:R {w: a.i}]->(b)").unwrap();
    s.run("MATCH (v:V) WHERE v.i % 5 = 0 SET v:F").unwrap();
    let mut rows = 0;
    for (pattern, end) in [
        ("(a:V {i: 1})-->()-->(n)", ""),
        ("(a:V {i: 1})-->()-->(n:F)", ""),
        ("(a:V)-->()-->(n)", "WHERE n.i > 4 AND n.kind = 1"),
        ("(a:V)<--()-->(n)", "WHERE n.i > 4 OR NOT n:F"),
        ("(a:V {i: 2})-[*1..3]->(n)", ""),
        ("(a:V {i: 2})-[*0..2]-(n:F)", "WHERE n.i < 15"),
        ("(a:V)-->(n), (b:F)-->(n)", ""),
        ("(a:V)-[e]->(n)", "WHERE e.w = n.i + 4"),
        ("(a:V)-->(n)", "WHERE a.i = n.i - 1"),
        ("(a:V)-[:R]->(n)-[:R]->(c)", ""),
    ] {
        for result in ["n.i", "n", "n.kind, n.i", "n.kind", "n.kind = 1", "a.i, n.i", "n.i + 1"] {
            let distinct = format!("MATCH {pattern} {end} RETURN DISTINCT {result}");
            // Grouping looks at every row.
            let grouped = format!("MATCH {pattern} {end} RETURN {result}, count(*)");
            let sorted = |mut rows: Vec<Vec<Value>>| {
                rows.sort_by_key(|row| format!("{row:?}"));
                rows
            };
            let mut expected = s.run(&grouped).unwrap();
            expected.iter_mut().for_each(|row| drop(row.pop()));
            let found = sorted(s.run(&distinct).unwrap());
            assert_eq!(found, sorted(expected), "{distinct}");
            rows += found.len();
        }
        let counted = format!("MATCH {pattern} {end} WITH DISTINCT n RETURN count(n.i)");
        let other = format!("MATCH {pattern} {end} RETURN count(DISTINCT n.i)");
        assert_eq!(s.one(&counted), s.one(&other), "{counted}");
    }
    assert!(rows > 250, "{rows} rows were compared");
}

/// One shortest path is sought from both ends, all of them from one: they must be as long, and end where they should.
#[test]
fn one_shortest_path_is_as_short_as_all_of_them() {
    for seed in 0..6u64 {
        let mut s = Session::new();
        s.run("UNWIND range(0, 13) AS i CREATE (:V {i: i})").unwrap();
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..14 + 3 * seed {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (a, b, kind) = ((dice >> 33) % 14, (dice >> 43) % 14, ["R", "S"][(dice >> 60) as usize % 2]);
            let text = format!("MATCH (a:V {{i: {a}}}), (b:V {{i: {b}}}) CREATE (a)-[:{kind}]->(b)");
            s.run(&text).unwrap();
        }
        let mut found = 0;
        for hop in ["-[*]->", "<-[*]-", "-[*]-", "-[:R*]->", "-[*..3]->", "-[:R*..2]-"] {
            let ends = "MATCH (a:V), (b:V) WHERE a <> b OPTIONAL MATCH";
            let one = format!(
                "{ends} p = shortestPath((a){hop}(b)) RETURN a.i, b.i, length(p), nodes(p)[0] = a AND nodes(p)[-1] = b, \
                 size(nodes(p)) = length(p) + 1 ORDER BY a.i, b.i"
            );
            let all = format!(
                "{ends} p = allShortestPaths((a){hop}(b)) RETURN DISTINCT a.i, b.i, length(p), \
                 nodes(p)[0] = a AND nodes(p)[-1] = b, size(nodes(p)) = length(p) + 1 ORDER BY a.i, b.i"
            );
            let (one, all) = (s.run(&one).unwrap(), s.run(&all).unwrap());
            assert_eq!(one, all, "seed {seed}, {hop}");
            found += one.iter().filter(|row| row[3] == Value::Bool(true)).count();
            assert!(one.iter().all(|row| row[3] != Value::Bool(false)));
        }
        assert!(found > 20, "{found} paths of seed {seed} were compared");
    }
}

#[test]
fn numbers_to_be_unwound_are_counted_as_they_are_taken() {
    let mut s = Session::new();
    s.limits.memory_bytes_max = 1 << 20;
    let sum = "UNWIND range(1, 1000000) AS x RETURN sum(x)";
    assert_eq!(s.one(sum), Value::Int(500_000_500_000));
    let ends = "UNWIND range(1, 9223372036854775807) AS x WITH x LIMIT 3 RETURN collect(x)";
    assert_eq!(s.one(ends), Value::list([1, 2, 3].map(Value::Int)));
    let edge = "UNWIND range(9223372036854775806, 9223372036854775807) AS x RETURN count(x)";
    assert_eq!(s.one(edge), Value::Int(2));
    let down =
        "UNWIND range(-9223372036854775807, 9223372036854775807, 9223372036854775807) AS x RETURN collect(x)";
    assert_eq!(s.one(down), Value::list([-i64::MAX, 0, i64::MAX].map(Value::Int)));
    for (none, count) in
        [("range(1, 0)", 0), ("range(null, 3)", 0), ("range(3, 1, -2)", 2), ("range(1, 1, -1)", 1)]
    {
        assert_eq!(s.one(&format!("UNWIND {none} AS x RETURN count(x)")), Value::Int(count), "{none}");
    }
    for wrong in ["UNWIND range(1, 'a') AS x RETURN x", "UNWIND range(1, 3, 0) AS x RETURN x"] {
        let error = s.run(wrong).expect_err(wrong);
        assert_eq!(error.kind, mgcypher::ErrorKind::ArgumentError, "{wrong}: {error}");
    }
    // The input goes on after each list.
    let nested = "UNWIND range(1, 3) AS x UNWIND range(1, x) AS y RETURN collect(y)";
    assert_eq!(s.one(nested), Value::list([1, 1, 2, 1, 2, 3].map(Value::Int)));
}

#[test]
fn a_list_that_grows_stops_when_it_is_asked_to() {
    let mut s = Session::new();
    s.limits.memory_bytes_max = usize::MAX;
    s.limits.cancel = Some(Arc::new(AtomicBool::new(true)));
    for text in ["RETURN size(range(1, 100000000))", "RETURN size([x IN range(1, 1000) | x])"] {
        assert!(s.run(text).expect_err(text).is_transient, "{text}");
    }
}

/// A plan that will be refused is not made to its end first.
#[test]
fn a_query_with_too_many_steps_is_refused_early() {
    let mut s = Session::new();
    let many = 5_000;
    for text in [
        format!("MATCH (a){} RETURN a", "-->()".repeat(many)),
        format!("{}RETURN 1", "MATCH () ".repeat(many)),
        format!("{}RETURN 1", "MERGE (:X) ".repeat(many)),
    ] {
        let error = s.run(&text).expect_err("too long");
        assert!(error.message.contains("steps depend on each other"), "{error}");
    }
}

#[test]
fn a_profile_counts_each_time_that_an_operator_was_asked() {
    let mut s = people();
    s.limits.profile_clock = Some(|| std::time::Duration::ZERO);
    let text = "MATCH (a:Person)-[:KNOWS]->(b) WHERE a.id < 10 AND EXISTS { (b)-->() } OPTIONAL MATCH (b)-->(c) RETURN c";
    let Statement::Query(query) = parse(text).unwrap() else { panic!() };
    let mut tx = s.graph.begin(false);
    let prepared = prepare(&query, &tx, &Params::default()).unwrap();
    let mut run = Execution::new(prepared, Params::default(), s.limits.clone()).unwrap();
    while run.next(&mut tx).unwrap().is_some() {}
    let rows = run.profile(&tx).unwrap();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| match (&row[0], &row[1]) {
            (Value::String(name), Value::Int(hits)) => format!("{name}: {hits}"),
            (Value::String(name), _) => name.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    // Ten rows and the end; of what an expression looks into nothing is shown.
    assert_eq!(
        lines,
        [
            "* Optional: 11",
            "|\\",
            "| * Expand (b)-[anon5]->(c): 20",
            "| * Filter: 20",
            "| * Once: 20",
            "* Filter: 11",
            "* Expand (a)-[anon1:KNOWS]->(b): 11",
            "* ScanAllByLabelProperties (a :Person {id}): 11",
            "* Once: 2",
        ]
    );
    assert!(
        Execution::new(run.prepared().clone(), Params::default(), Limits::default())
            .unwrap()
            .profile(&tx)
            .is_none()
    );
}

#[test]
fn a_plan_follows_what_was_measured() {
    let mut s = Session::new();
    for text in ["CREATE INDEX ON :A(x)", "CREATE INDEX ON :A(y)"] {
        s.schema(text).unwrap();
    }
    s.run("UNWIND range(0, 99) AS i CREATE (:A {x: i % 2, y: i})").unwrap();
    let text = "MATCH (a:A {x: 1, y: 7}) RETURN a";
    assert!(s.explain(text).contains("(a :A {x})"), "nothing is known of either: {}", s.explain(text));
    let Statement::Query(query) = parse(text).unwrap() else { panic!() };
    let tx = s.graph.begin(false);
    let prepared = prepare(&query, &tx, &Params::default()).unwrap();
    mgcypher::analyze::analyze(&[], &tx, &|| Ok(())).unwrap();
    assert!(prepared.is_stale(&tx));
    assert!(s.explain(text).contains("(a :A {y})"), "{}", s.explain(text));
    // It goes with the index.
    s.schema("DROP INDEX ON :A(y)").unwrap();
    s.schema("CREATE INDEX ON :A(y)").unwrap();
    let forgotten = mgcypher::analyze::forget(&[], &s.graph.begin(false)).rows;
    assert_eq!(forgotten.len(), 1, "{forgotten:?}");
}

#[test]
fn a_moment_in_the_hour_that_comes_twice_is_the_one_that_was_named() {
    let mut s = Session::new();
    for (seconds, offset) in [(1_698_539_400, 7200), (1_698_543_000, 3600)] {
        let zone = "timezone: 'Europe/Berlin'";
        for map in [format!("epochSeconds: {seconds}, {zone}"), format!("epochMillis: {seconds}000, {zone}")]
        {
            let text =
                format!("WITH datetime({{{map}}}) AS t RETURN t.epochSeconds * 10000 + t.offsetSeconds AS n");
            assert_eq!(s.one(&text), Value::Int(seconds * 10_000 + offset), "{map}");
        }
    }
}

/// What an inner plan kept for one row is not counted to the end of the query.
#[test]
fn inner_plans_hold_only_what_one_row_needs() {
    let mut s = Session::new();
    s.run("UNWIND range(1, 60) AS i CREATE (:N {i: i})").unwrap();
    s.limits.memory_bytes_max = 200_000;
    // Sorting 60 rows takes some kilobytes, a thousand times.
    let sorted = "MATCH (n:N) WITH n.i AS i ORDER BY i RETURN max(i)";
    for (text, count) in [
        (
            "UNWIND range(1, 3000) AS k OPTIONAL CALL { MATCH (n:N) WITH n.i AS i ORDER BY i RETURN i LIMIT 1 } RETURN count(i)",
            3000,
        ),
        (
            "UNWIND range(1, 3000) AS k OPTIONAL MATCH (n:N) WHERE n.i = 0 AND COUNT { MATCH (m:N) RETURN DISTINCT m.i } > 0 RETURN count(*)",
            3000,
        ),
        ("UNWIND range(1, 3000) AS k MERGE (n:N) RETURN count(n)", 180_000),
    ] {
        assert_eq!(s.one(text), Value::Int(count), "{text}");
    }
    assert_eq!(s.one(sorted), Value::Int(60));
    // What one row needs counts.
    s.limits.memory_bytes_max = 1_000;
    for text in [
        "MERGE (n:N) RETURN count(n)",
        "OPTIONAL CALL { MATCH (n:N) RETURN n.i AS i ORDER BY i } RETURN count(i)",
    ] {
        let error = s.run(text).expect_err(text);
        assert!(error.message.contains("Memory limit exceeded"), "{text}: {error}");
    }
}

#[test]
fn a_query_keeps_to_the_limit_that_it_names() {
    let mut s = Session::new();
    let query = "UNWIND range(1, 3000) AS i RETURN size(collect(i)) AS n";
    assert_eq!(s.one(&format!("{query} QUERY MEMORY LIMIT 1 MB")), Value::Int(3000));
    assert_eq!(s.one(&format!("{query} QUERY MEMORY UNLIMITED")), Value::Int(3000));
    let error = s.run(&format!("{query} QUERY MEMORY LIMIT 20 KB")).expect_err("it holds more");
    assert!(error.message.contains("at most 20480 are allowed"), "{error}");
    // It does not raise what the node allows.
    s.limits.memory_bytes_max = 10_000;
    assert!(s.run(&format!("{query} QUERY MEMORY LIMIT 100 MB")).is_err());
    for (text, what) in [
        ("USING HOPS LIMIT 3 MATCH (a)-[*]->(b) RETURN b", "USING HOPS LIMIT"),
        (
            "CALL { RETURN 1 AS x QUERY MEMORY LIMIT 1 MB } RETURN x",
            "QUERY MEMORY LIMIT inside of a subquery",
        ),
    ] {
        let error = s.run(text).expect_err(text);
        assert!(error.message.contains(what) && error.message.contains("not supported"), "{error}");
    }
}

/// Large values inside of lists and maps count, too.
#[test]
fn what_lists_and_maps_hold_is_held_to_the_limit() {
    let mut s = Session::new();
    s.run("UNWIND range(1, 50) AS i CREATE (:N {t: reduce(t = 'x', k IN range(1, 14) | t + t)})").unwrap();
    s.limits.memory_bytes_max = 400_000;
    for text in [
        "MATCH (n:N) RETURN collect(properties(n)) AS all",
        "MATCH (n:N) RETURN collect([n.t]) AS all",
        "MATCH (n:N) WITH {a: [n.t]} AS m ORDER BY size(m.a) RETURN m",
        "MATCH (n:N) RETURN DISTINCT [id(n), n.t] AS pair",
        "MATCH (n:N) RETURN size([x IN range(1, 40) | [n.t + x]]) AS n",
    ] {
        let error = s.run(text).expect_err(text);
        assert!(error.message.contains("Memory limit exceeded"), "{text}: {error}");
    }
    assert_eq!(s.one("MATCH (n:N) RETURN sum(size(n.t))"), Value::Int(50 * 16_384));
}

#[test]
fn procedures_tell_which_properties_there_are() {
    let mut s = Session::new();
    s.run("CREATE (a:B:A {n: 1, t: 'x'})-[:R {w: 1.5}]->(:A:B {n: 2.5})-[:R]->(:C), ()").unwrap();
    let text = |rows: Vec<Vec<Value>>| rows.iter().map(|row| format!("{row:?}")).collect::<Vec<_>>();
    let vertices = s.run("CALL schema.node_type_properties()").unwrap();
    let strings = |all: &[&str]| Value::list(all.iter().map(|t| Value::string(*t)).collect::<Vec<_>>());
    let row = |kind: &str, labels: &[&str], rest: [Value; 3]| {
        [vec![Value::string(kind), strings(labels)], rest.into()].concat()
    };
    let nothing = || [Value::Null, Value::Null, Value::Bool(false)];
    let expected = vec![
        row("", &[], nothing()),
        row(":`A`:`B`", &["A", "B"], [Value::string("n"), strings(&["Float", "Integer"]), Value::Bool(true)]),
        row(":`A`:`B`", &["A", "B"], [Value::string("t"), strings(&["String"]), Value::Bool(false)]),
        row(":`C`", &["C"], nothing()),
    ];
    assert_eq!(text(vertices), text(expected));
    assert_eq!(
        s.run("CALL db.schema.relTypeProperties()").unwrap(),
        [vec![Value::string(":`R`"), Value::string("w"), strings(&["Float"]), Value::Bool(false)]]
    );
    // They end when they are asked to.
    s.limits.cancel = Some(Arc::new(AtomicBool::new(true)));
    for name in ["db.labels", "db.propertyKeys", "db.relationshipTypes", "schema.node_type_properties"] {
        let error = s.run(&format!("CALL {name}()")).expect_err(name);
        assert!(error.message.contains("asked to abort"), "{name}: {error}");
    }
}

#[test]
fn errors_of_a_running_query_name_their_place() {
    let mut s = Session::new();
    s.run("UNWIND [1, 2] AS i CREATE (:Person {name: 'A', age: i})-[:KNOWS]->(:Person {name: 'B', age: i})")
        .unwrap();
    let params: Params = Arc::new(
        [
            (Arc::from("n"), Value::Int(-1)),
            (Arc::from("zero"), Value::Int(0)),
            (Arc::from("text"), Value::string("a")),
        ]
        .into(),
    );
    // The query, the line and the column of what fails in it.
    let table = [
        ("RETURN 1 / 0", 1, 8),
        ("RETURN 1 AS a,\n  2 / $zero AS b", 2, 3),
        ("RETURN 1 + 2 AS a,\n  'é' + toString(1 % $zero) AS b", 2, 18),
        ("MATCH (p:Person)\nWHERE p.age IS NOT NULL\n  AND p.age\nRETURN p", 3, 7),
        ("MATCH (p:Person)\nWHERE p.age > 1 / $zero\nRETURN p", 2, 15),
        ("MATCH (p:Person {name:\n  1 / $zero}) RETURN p", 2, 3),
        ("WITH [1, 2] AS list\nRETURN list,\n  list[$text]", 3, 3),
        ("WITH {a: 1} AS map\nRETURN map[1]", 2, 8),
        ("WITH 1 AS list RETURN\n list[0..1]", 2, 2),
        ("RETURN 1,\n  $n.name", 2, 3),
        ("RETURN {a: 1,\n  b: [x IN [$n] |\n    x.name]}", 3, 5),
        ("MATCH (p:Person) DETACH DELETE p\nRETURN {a: 1,\n  b: p.name}", 3, 6),
        ("RETURN toInteger(\n date('no day'))", 2, 2),
        ("MATCH (p:Person)\nSET p.age = 1,\n  p.name = {a: p}.a", 3, 3),
        ("MATCH (p:Person)\nSET p.age = 1,\n  p = $n", 3, 3),
        ("MATCH (p:Person)\nREMOVE p[\n  toInteger('1')]", 2, 8),
        ("MATCH (p:Person)\nCREATE (:Copy {age: 1}),\n (:Copy {age: 2,\n  of: p})", 4, 7),
        ("MATCH (p:Person) WITH p, 1 AS m\nCREATE (p)-[:R]->(:B $n)", 2, 22),
        ("UNWIND [1, 0] AS x\nCALL {\n  WITH x\n  RETURN 1 / x AS y\n}\nRETURN y", 4, 10),
        ("UNWIND [1, 0] AS x CALL {\n WITH x\n WITH x WHERE $n\n RETURN x AS y } RETURN y", 3, 15),
        ("RETURN [x IN [1, 0] |\n  1 / x]", 2, 3),
        ("RETURN reduce(a = 1, x IN [1, 0] |\n  a / x)", 2, 3),
        ("MATCH (p) WHERE EXISTS {\n MATCH (p)-->(q)\n WHERE q.age / $zero > 1 } RETURN p", 3, 8),
        ("UNWIND [1, 2] AS x\nUNWIND\n  range(1, 3, $zero) AS y\nRETURN y", 3, 3),
        ("MATCH (p:Person)\nRETURN p ORDER BY p.name,\n  1 / $zero", 3, 3),
        ("MATCH (p:Person)\nRETURN count(*),\n  sum(p.name)", 3, 3),
        ("MATCH (p:Person)\nRETURN p.name,\n  sum(p.name + 'x')", 3, 3),
        ("MATCH (p:Person)\nRETURN p.age, max(1), avg(\n  1 / $zero)", 3, 3),
        ("MATCH (p:Person)\nRETURN count(*),\n  p.name.x", 3, 3),
        ("MATCH (p:Person)\nWHERE p.age\nRETURN count(*)", 2, 7),
        ("MATCH (p:Person)\nMERGE (:Copy {name: p.name,\n  age: null})", 3, 8),
        ("MERGE (c:Copy {name: 'x'})\nON CREATE SET c.age = 1,\n  c.name = 1 / $zero", 3, 12),
        ("MATCH (p:Person)\nRETURN p\nLIMIT $n", 3, 7),
        ("MATCH (p:Person)\nRETURN p ORDER BY p.age\nSKIP 1 LIMIT $n", 3, 14),
        ("MATCH (p:Person)\nRETURN p SKIP $n", 2, 15),
        ("MATCH (p:Person)\nDELETE p,\n  p.age", 3, 3),
        ("FOREACH (x IN [1, 0] |\n  CREATE (:N {v:\n 1 / x}))", 3, 2),
        ("FOREACH (x IN\n $n | CREATE (:N))", 2, 2),
        ("RETURN 1 AS x UNION\nRETURN 1 / $zero AS x", 2, 8),
        ("WITH 1 AS x\nCALL mg.procedures() YIELD name\nWITH name WHERE\n name RETURN name", 4, 2),
        ("MATCH (p:Person) DETACH DELETE p\nRETURN p.name", 2, 8),
    ];
    let mut wrong = Vec::new();
    for (text, line, column) in table {
        match s.run_with(text, params.clone()) {
            Ok(_) => wrong.push(format!("{text}: no error")),
            Err(error) if error.phase == Phase::RunTime && (error.line, error.column) == (line, column) => {}
            Err(error) => wrong.push(format!("{text}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let error = s.run("RETURN 2,\n 1 / 0").unwrap_err();
    assert_eq!(error.to_string(), "division by zero (line 2, column 2) [ArithmeticError: DivisionByZero]");
}

#[test]
fn parts_of_a_union_agree_by_name() {
    let mut s = Session::new();
    let rows = |pairs: &[(i64, i64)]| -> Vec<Vec<Value>> {
        pairs.iter().map(|(x, y)| vec![Value::Int(*x), Value::Int(*y)]).collect()
    };
    for (text, expected) in [
        ("RETURN 1 AS x, 2 AS y UNION ALL RETURN 3 AS y, 4 AS x", [(1, 2), (4, 3)]),
        ("RETURN 1 AS x, 2 AS y UNION UNWIND [3] AS y WITH y, y + 1 AS x RETURN y, x", [(1, 2), (4, 3)]),
        ("CALL { RETURN 1 AS x, 2 AS y UNION RETURN 3 AS y, 4 AS x } RETURN y, x", [(2, 1), (3, 4)]),
    ] {
        assert_eq!(s.run(text).unwrap(), rows(&expected), "{text}");
    }
}

#[test]
fn functions_of_an_element_refuse_other_values_alike() {
    let mut s = Session::new();
    s.run("CREATE (:A)-[:T]->(:B)").unwrap();
    for (element, function) in [("n", "labels"), ("r", "type")] {
        for other in ["1", "1.5", "true", "''", "[]", "{}", "date('2020-01-01')", "p"] {
            let text =
                format!("MATCH p = ()-[r]->(n) RETURN [x IN [{element}, {other}] | {function}(x)] AS all");
            let error = s.run(&text).expect_err(&text);
            let found = (error.kind, error.detail, error.phase);
            assert_eq!(found, (ErrorKind::TypeError, "InvalidArgumentValue", Phase::RunTime), "{text}");
        }
    }
}

/// A duration of centuries has more nanoseconds than a float can tell apart.
#[test]
fn durations_are_scaled_and_summed_part_by_part() {
    let mut s = Session::new();
    for (made, expected) in [
        ("duration({seconds: 20000000000}) / 2", "PT2777777H46M40S"),
        ("duration({seconds: 20000000000}) * 0.5", "PT2777777H46M40S"),
        ("duration({seconds: 20000000000.5})", "PT5555555H33M20.5S"),
        ("duration('P49M') / 49", "P1M"),
        ("duration('P98DT49S') / 49", "P2DT1S"),
        ("duration('P1MT-1.5S') / 2", "P15DT5H14M32.25S"),
        ("reduce(d = duration('PT0S'), x IN [1, 2] | d + duration({days: x}) * 0.5)", "P1DT12H"),
    ] {
        assert_eq!(s.one(&format!("RETURN toString({made}) AS d")), Value::string(expected), "{made}");
    }
    for (items, sum, avg) in [
        ("duration('P1D'), duration('PT1H')", "P1DT1H", "PT12H30M"),
        ("duration('P1D'), null, duration('P2M')", "P2M1D", "P1MT12H"),
        ("duration('P1DT1S')", "P1DT1S", "P1DT1S"),
        ("duration('PT-1S'), duration('PT-2S')", "PT-3S", "PT-1.5S"),
    ] {
        let text = format!("UNWIND [{items}] AS d RETURN toString(sum(d)) + ' ' + toString(avg(d)) AS both");
        assert_eq!(s.one(&text), Value::string(format!("{sum} {avg}")), "{items}");
    }
    for aggregate in ["sum", "avg"] {
        for items in ["duration('P1D'), 1", "1, duration('P1D')"] {
            let error = s.run(&format!("UNWIND [{items}] AS d RETURN {aggregate}(d) AS x")).unwrap_err();
            assert_eq!((error.kind, error.detail), (ErrorKind::TypeError, "InvalidArgumentType"), "{error}");
        }
    }
}

/// The same moment told in two zones is two values, with an index as without.
#[test]
fn an_index_tells_zones_apart_as_comparisons_do() {
    let mut s = Session::new();
    s.run(
        "UNWIND ['2020-01-01T07:00-05:00', '2020-01-01T12:00Z', '2020-01-01T13:00+01:00', \
                 '2020-01-01T13:00+01:00[Europe/Paris]'] AS t \
         CREATE (:Call {at: datetime(t), time: time(datetime(t))})",
    )
    .unwrap();
    let noon = "datetime('2020-01-01T12:00Z')";
    let mut counts = Vec::new();
    for is_indexed in [false, true] {
        if is_indexed {
            s.schema("CREATE INDEX ON :Call(at)").unwrap();
            s.schema("CREATE INDEX ON :Call(time)").unwrap();
        }
        for (key, value) in [("at", noon.to_owned()), ("time", format!("time({noon})"))] {
            for op in ["=", "<", "<=", ">", ">="] {
                counts
                    .push(s.one(&format!("MATCH (c:Call) WHERE c.{key} {op} {value} RETURN count(c) AS n")));
            }
        }
    }
    let expected: Vec<Value> = [1, 1, 2, 2, 3].into_iter().map(Value::Int).collect();
    assert_eq!(counts, [&expected[..]; 4].concat());
    assert_eq!(s.one("MATCH (c:Call) RETURN count(DISTINCT c.at) AS n"), Value::Int(4));
}

#[test]
fn dates_end_with_the_years_that_they_have() {
    let mut s = Session::new();
    for made in [
        "date({year: 9223372036854775807})",
        "date({year: -1000000000, month: 12})",
        "date({year: 9223372036854775807, week: 1})",
        "date({year: 9223372036854775807, ordinalDay: 1})",
        "date({year: 9223372036854775807, quarter: 1})",
        "date({year: 1984, week: 9223372036854775807})",
        "date({year: 1984, week: 53})",
        "date({year: 1984, quarter: 1, dayOfQuarter: 92})",
        "date({year: 1985, quarter: 1, dayOfQuarter: 91})",
        "date('9223372036854775807-01-01')",
        "date('+1000000000-')",
        "datetime({epochSeconds: 9223372036854775807})",
        "date('+999999999-12-31') + duration('PT24H')",
        "localdatetime('-999999999-01-01T00:00') - duration('PT1S')",
        "datetime('2020-01-01T00:00[Europe/Berlin]') + duration({days: 9223372036854700000})",
        "datetime('+999999999-12-31T23:59Z').epochMillis",
    ] {
        let error = s.run(&format!("RETURN {made} AS made")).expect_err(made);
        assert_eq!(
            (error.kind, error.detail),
            (ErrorKind::TypeError, "InvalidArgumentValue"),
            "{made}: {error}"
        );
    }
    for (made, expected) in [
        ("toString(date({year: 1984, quarter: 1, dayOfQuarter: 91}))", Value::string("1984-03-31")),
        ("toString(localdatetime('+999999999-12-31T23:59:59'))", Value::string("+999999999-12-31T23:59:59")),
        ("duration('PT-1.0000005S').milliseconds", Value::Int(-1001)),
        ("datetime('+9999999-12-31T23:59Z').epochMillis", Value::Int(315_507_352_780_740_000)),
    ] {
        assert_eq!(s.one(&format!("RETURN {made} AS made")), expected, "{made}");
    }
    let error = s.run("RETURN duration({seconds: 9223372036854775807}).milliseconds AS all").unwrap_err();
    assert_eq!((error.kind, error.detail), (ErrorKind::ArithmeticError, "NumberOutOfRange"));
}

#[test]
fn a_unit_that_a_type_does_not_have_truncates_nothing() {
    let mut s = Session::new();
    for text in [
        "date.truncate('hour', date('1984-10-11'))",
        "date.truncate('microsecond', localdatetime('1984-10-11T12:31'))",
        "localtime.truncate('year', localdatetime('1984-10-11T12:31'))",
        "time.truncate('week', time('12:31Z'))",
        "datetime.truncate('moment', date('1984-10-11'))",
    ] {
        let error = s.run(&format!("RETURN {text} AS t")).expect_err(text);
        assert_eq!(
            (error.kind, error.detail),
            (ErrorKind::TypeError, "InvalidArgumentValue"),
            "{text}: {error}"
        );
    }
    for (text, expected) in [
        ("localdatetime.truncate('hour', date('1984-10-11'))", "1984-10-11T00:00"),
        ("time.truncate('day', time('12:31+01:00'))", "00:00+01:00"),
        ("date.truncate('day', localdatetime('1984-10-11T12:31'))", "1984-10-11"),
    ] {
        assert_eq!(s.one(&format!("RETURN toString({text}) AS t")), Value::string(expected), "{text}");
    }
}

#[test]
fn clocks_show_the_time_of_a_zone() {
    let mut s = Session::new();
    for clock in ["transaction", "statement", "realtime"] {
        for (made, expected) in [
            (format!("datetime.{clock}('Europe/Berlin').timezone"), "Europe/Berlin"),
            (format!("datetime.{clock}({{timezone: '+02:00'}}).timezone"), "+02:00"),
            (format!("time.{clock}('-01:30').offset"), "-01:30"),
        ] {
            assert_eq!(s.one(&format!("RETURN {made} AS made")), Value::string(expected), "{made}");
        }
        for kind in ["date", "localtime", "localdatetime"] {
            let text =
                format!("RETURN {kind}.{clock}('Asia/Tokyo') = {kind}(datetime.{clock}('Asia/Tokyo')) AS b");
            assert_eq!(s.one(&text), Value::Bool(true), "{text}");
        }
        let error = s.run(&format!("RETURN date.{clock}('2020-01-01') AS d")).unwrap_err();
        assert_eq!((error.kind, error.detail), (ErrorKind::TypeError, "InvalidArgumentValue"), "{error}");
    }
}

/// What would be passed over was meant.
#[test]
fn a_point_in_time_has_no_fields_that_mean_nothing() {
    let mut s = Session::new();
    for (made, what) in [
        ("date({yaer: 2020})", "there is no field `yaer`. Did you mean `year`?"),
        ("date({year: 2020, hour: 1})", "a date has no `hour`"),
        ("time({hour: 1, day: 2})", "a time of day has no `day`"),
        ("date({year: 2020, month: 1, week: 3})", "by `month` or by `week`, not by both"),
        ("date({date: date('2020-01-01'), ordinalDay: 3, day: 2})", "by `day` or by `ordinalDay`"),
        ("date({year: 2020, day: 3})", "`day` says nothing without `month`"),
        ("date({year: 2020, dayOfWeek: 3})", "`dayOfWeek` says nothing without `week`"),
        ("localdatetime({year: 2020, minute: 3})", "`minute` says nothing without `hour`"),
        ("localtime({hour: 12, second: 1})", "`second` says nothing without `minute`"),
        ("localtime({hour: 12, minute: 1, nanosecond: 1})", "`nanosecond` says nothing without `second`"),
        ("datetime({epochSeconds: 1, milisecond: 1})", "Did you mean `millisecond`?"),
        ("localtime.truncate('hour', localtime('12:30'), {secnd: 1})", "Did you mean `second`?"),
    ] {
        let error = s.run(&format!("RETURN {made} AS t")).unwrap_err();
        assert_eq!((error.kind, error.detail), (ErrorKind::TypeError, "InvalidArgumentValue"), "{made}");
        assert!(error.message.contains(what), "{made}: {}", error.message);
    }
    for (made, text) in [
        ("date({date: date('2020-05-06'), day: 28})", "2020-05-28"),
        ("date({date: date('2020-05-06'), dayOfWeek: 1})", "2020-05-04"),
        ("localtime({time: localtime('12:30'), second: 42})", "12:30:42"),
        ("localtime({hour: 12, minute: null})", "12:00"),
        ("localdatetime({year: 2020, hour: 12})", "2020-01-01T12:00"),
        ("localtime.truncate('hour', localtime('12:30'), {nanosecond: 7})", "12:00:00.000000007"),
    ] {
        assert_eq!(s.one(&format!("RETURN toString({made})")), Value::string(text), "{made}");
    }
}
