use super::*;
use crate::ast::*;
use crate::parser::parse;

struct Known;

impl Catalog for Known {
    fn function(&self, name: &str) -> Option<Arity> {
        match name.to_ascii_lowercase().as_str() {
            "size" | "length" | "properties" | "type" | "labels" | "toupper" | "id" => {
                Some(Arity { min: 1, max: 1 })
            }
            "coalesce" => Some(Arity { min: 1, max: usize::MAX }),
            "rand" => Some(Arity { min: 0, max: 0 }),
            _ => None,
        }
    }

    fn function_names(&self) -> Vec<&str> {
        vec!["size", "length", "properties", "toUpper"]
    }

    fn procedure(&self, name: &str) -> Option<ProcedureShape> {
        (name == "db.labels").then(|| ProcedureShape {
            args: vec![("limit".into(), ArgumentKind::Integer)],
            args_needed: 0,
            fields: vec![("label".into(), VariableKind::Scalar)],
            writes: false,
        })
    }
}

fn run(text: &str) -> Result<Analyzed, CypherError> {
    match parse(text)? {
        Statement::Query(query) => analyze(&query, &Known),
        other => panic!("no query: {other:?}"),
    }
}

fn ok(text: &str) -> Analyzed {
    run(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn detail(text: &str) -> &'static str {
    match run(text) {
        Ok(_) => panic!("{text}\nis accepted"),
        Err(error) => {
            assert!(error.line > 0, "{text}: {error} has no place");
            error.detail
        }
    }
}

fn last_projection(analyzed: &Analyzed) -> &Projection {
    match &analyzed.query.parts[0].clauses.last().unwrap().kind {
        ClauseKind::Return(projection) | ClauseKind::With(projection) => projection,
        other => panic!("{other:?}"),
    }
}

#[test]
fn variables_are_unique_and_keep_their_kind() {
    let analyzed =
        ok("MATCH p = (n)-[r]->()-[rs*]->(m) WITH n AS n, m AS n2, 1 AS x MATCH (n2)-->(n) RETURN *");
    let kinds: Vec<(String, VariableKind)> =
        analyzed.variables.iter().map(|variable| (variable.name.to_string(), variable.kind)).collect();
    let kind = |name: &str| kinds.iter().find(|(known, _)| known == name).unwrap().1;
    assert_eq!(kind("n"), VariableKind::Node);
    assert_eq!(kind("r"), VariableKind::Relationship);
    assert_eq!(kind("rs"), VariableKind::RelationshipList);
    assert_eq!(kind("p"), VariableKind::Path);
    assert_eq!(kind("n2"), VariableKind::Node);
    assert_eq!(kind("x"), VariableKind::Scalar);
    assert_eq!(analyzed.columns.iter().map(|name| name.as_ref()).collect::<Vec<_>>(), ["n", "n2", "x"]);
    assert_eq!(kinds.iter().filter(|(name, _)| name == "n").count(), 1, "`n AS n` is the same variable");
    assert!(analyzed.query.parts[0].columns.iter().all(|var| *var != VarId::NONE));
}

#[test]
fn a_query_says_whether_it_reads_and_writes() {
    for (text, reads, writes) in [
        ("RETURN 1", false, false),
        ("MATCH (n) RETURN n", true, false),
        ("CREATE (n)", false, true),
        ("MERGE (n)", true, true),
        ("CALL { MATCH (n) SET n.x = 1 }", true, true),
        ("CALL db.labels() YIELD label RETURN label", true, false),
        ("UNWIND [1] AS x FOREACH (y IN [x] | CREATE (:A))", false, true),
    ] {
        let analyzed = ok(text);
        assert_eq!((analyzed.reads, analyzed.writes), (reads, writes), "{text}");
    }
}

#[test]
fn order_by_uses_what_is_projected() {
    let analyzed = ok("MATCH (n) RETURN n.a AS a, n.a + count(*) AS b ORDER BY n.a, n.a + count(*)");
    let projection = last_projection(&analyzed);
    assert!(projection.aggregates);
    let var = |expr: &Expr| match &expr.kind {
        ExprKind::Variable(ident) => ident.var,
        other => panic!("{other:?}"),
    };
    assert_eq!(var(&projection.order_by[0].expr), projection.items[0].var);
    assert_eq!(var(&projection.order_by[1].expr), projection.items[1].var);
    match &projection.items[1].expr.kind {
        ExprKind::Arithmetic { first, .. } => assert_eq!(var(first), projection.items[0].var),
        other => panic!("{other:?}"),
    }
    // An alias hides the variable before it.
    let analyzed = ok("MATCH (n) WITH n.a AS a WITH a + 1 AS a ORDER BY a RETURN a");
    assert_eq!(analyzed.columns.len(), 1);
}

#[test]
fn scopes_end_where_they_should() {
    for (text, expected) in [
        ("RETURN x", "UndefinedVariable"),
        ("MATCH (n) WITH n.x AS y RETURN n", "UndefinedVariable"),
        ("RETURN [x IN [1] | x] + x", "UndefinedVariable"),
        ("MATCH (n) WHERE (n)-->(m) RETURN n", "UndefinedVariable"),
        ("MATCH (n) WHERE EXISTS { (n)-->(m) } RETURN m", "UndefinedVariable"),
        ("MATCH (n) CALL { RETURN n AS m } RETURN m", "UndefinedVariable"),
        ("MATCH (n) CALL { WITH n RETURN n } RETURN n", "VariableAlreadyBound"),
        ("MATCH (n) CALL (n) { RETURN 1 AS n } RETURN n", "VariableAlreadyBound"),
        ("FOREACH (x IN [1] | CREATE (a)) RETURN a", "UndefinedVariable"),
        ("MATCH (n) RETURN DISTINCT n.x ORDER BY n.y", "UndefinedVariable"),
        ("CREATE (n {x: n.y})", "UndefinedVariable"),
        ("UNWIND [1] AS x UNWIND [2] AS x RETURN x", "VariableAlreadyBound"),
        ("MATCH () WITH * WHERE x RETURN 1", "UndefinedVariable"),
        ("MATCH (a)-[*BFS (r, n | x.y)]-(b) RETURN a", "UndefinedVariable"),
    ] {
        assert_eq!(detail(text), expected, "{text}");
    }
    for text in [
        "MATCH (n) CALL { WITH n RETURN n.x AS m } RETURN m",
        "MATCH (n) CALL (*) { MATCH (n)-->(k) RETURN k } RETURN k",
        "MATCH (n) CALL { WITH n SET n.x = 1 } RETURN n",
        "MATCH (n) WHERE EXISTS { (n)-->(m) WHERE m.x = n.x } RETURN n",
        "MATCH (n) RETURN [(n)-->(m) | m.x], n ORDER BY n.y",
        "UNWIND [1] AS x RETURN [x IN [2] | x], x",
        "MATCH (a)-[e *WSHORTEST (r, n | r.w) total (r, n | n.x > a.x)]-(b) RETURN total",
        "CREATE (a) CREATE (b {x: a.y})",
        "CALL db.labels()",
        "CALL db.labels(1) YIELD label AS l WHERE l <> 'a' RETURN l",
        "CALL { RETURN 1 AS x UNION RETURN 2 AS x } RETURN x",
    ] {
        ok(text);
    }
}

#[test]
fn clauses_stand_in_an_order() {
    for text in [
        "MATCH (n)",
        "RETURN 1 RETURN 2",
        "CREATE (n) MATCH (m) RETURN m",
        "WITH 1 AS x",
        "CALL { RETURN 1 AS x }",
        "MATCH (n) WHERE COUNT { CREATE (m) } > 0 RETURN n",
        "FOREACH (x IN [1] | MATCH (n))",
        "RETURN 1 AS x UNION RETURN 2 AS x UNION ALL RETURN 3 AS x",
    ] {
        assert_eq!(detail(text), "InvalidClauseComposition", "{text}");
    }
    assert_eq!(detail("RETURN 1 AS x UNION RETURN 2 AS y"), "DifferentColumnsInUnion");
}

#[test]
fn errors_offer_what_was_meant() {
    for (text, meant) in [
        ("MATCH (person) RETURN persn", "Did you mean `person`?"),
        ("MATCH (n) RETURN N.x", "Did you mean `n`?"),
        ("RETURN lenght('a')", "Did you mean `length`?"),
        ("RETURN colect(1)", "Did you mean `collect`?"),
        ("CALL db.labels() YIELD lable RETURN 1", "Did you mean `label`?"),
    ] {
        let error = run(text).unwrap_err();
        assert!(error.message.ends_with(meant), "{text}: {error}");
    }
}

#[test]
fn long_texts_are_analyzed_without_recursion() {
    let many = 50_000;
    let work = move || {
        for text in [
            format!("RETURN true{}", " AND true".repeat(many)),
            format!("RETURN 1{}", " + 1 * 2".repeat(many)),
            format!("MATCH (n){} RETURN n", " MATCH (n)".repeat(many)),
            format!("CREATE (n){}", "-[:R]->()".repeat(many)),
            format!("RETURN 1 AS x{}", " UNION RETURN 1 AS x".repeat(many)),
            format!("WITH 1 AS x{} RETURN x", " WITH x + 1 AS x".repeat(many)),
            format!("RETURN {}", (0..5_000).map(|n| format!("{n} AS c{n}")).collect::<Vec<_>>().join(", ")),
        ] {
            ok(&text);
        }
        for (open, middle, close) in [
            ("(", "1", ")"),
            ("NOT ", "true", ""),
            ("[x IN ", "[1]", " | x]"),
            ("EXISTS { MATCH (n) WHERE ", "true", " }"),
        ] {
            // As deep as the parser lets through.
            let text = |levels: usize| {
                format!("RETURN {}{middle}{} AS x", open.repeat(levels), close.repeat(levels))
            };
            let deepest = (1..400).rev().find(|levels| parse(&text(*levels)).is_ok()).unwrap();
            ok(&text(deepest));
        }
    };
    std::thread::Builder::new().stack_size(16 << 20).spawn(work).unwrap().join().unwrap();
}

/// A small generator of numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides.max(1)
    }
}

const SEEDS: [&str; 12] = [
    "MATCH (a:A:B {x: 1})-[r:T|U*1..3]->(b) WHERE a.x = $p AND NOT (a)-->(b) RETURN DISTINCT a.x AS y ORDER BY y SKIP 1 LIMIT 2",
    "CREATE (a:X)-[:R {k: null}]->(b) SET a.x = 1, a += {y: 'z\\u00e9'}, a:L REMOVE a.x DETACH DELETE b",
    "MERGE (a:X {k: 1}) ON CREATE SET a.x = 1 ON MATCH SET a.y = 2 RETURN a",
    "UNWIND [1, 2.5e3, 0xFF] AS x WITH x, count(*) AS c WHERE c > 0 RETURN x + c, collect(x)[0..1] UNION ALL RETURN 1, 2",
    "CALL { WITH 1 AS q RETURN q AS z } FOREACH (x IN [1] | CREATE (:A {x: x})) RETURN z",
    "RETURN CASE WHEN true THEN 1 ELSE 2 END, [x IN [1] WHERE x > 0 | x], all(x IN [1] WHERE x = 1), reduce(s = 0, x IN [1] | s + x)",
    "MATCH p = (a)-[*BFS ..5 (r, n | r.x > 1)]-(b) RETURN EXISTS { (a)-->(c) }, [(a)--(b) | b.x], a {.x, y: 1, .*}",
    "LOAD CSV FROM '/a' WITH HEADER AS row CREATE (:A {x: row.x}) // comment\n/* more */;",
    "CREATE INDEX ON :L(p, a.b); CREATE CONSTRAINT ON (n:L) ASSERT n.p IS UNIQUE",
    "REGISTER REPLICA r1 STRICT_SYNC TO \"host:10000\"",
    "SHOW RUNNING, ABORTING TRANSACTIONS",
    "SET REPLICATION ROLE TO REPLICA WITH PORT 10000",
];

/// Takes any bytes: nothing may panic, and every refusal of a text has a place in it.
fn feed(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse(&text) {
        Ok(Statement::Query(query)) => {
            if let Err(error) = analyze(&query, &Known) {
                assert!(!error.to_string().is_empty());
            }
        }
        Ok(_) => {}
        Err(error) => {
            let in_text = error.span.is_none_or(|span| {
                (span.start as usize) <= text.len() && text.is_char_boundary(span.start as usize)
            });
            assert!(in_text, "{error}: {:?} of {text}", error.span);
        }
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let mut dice = Dice(7);
    let words: Vec<&str> = SEEDS.iter().flat_map(|seed| seed.split_inclusive(' ')).collect();
    for round in 0..10_000 {
        let mut bytes = SEEDS[dice.roll(SEEDS.len())].as_bytes().to_vec();
        match round % 4 {
            0 => {
                for _ in 0..=dice.roll(4) {
                    let at = dice.roll(bytes.len());
                    bytes[at] = dice.roll(256) as u8;
                }
            }
            1 => {
                let from = dice.roll(bytes.len());
                let to = from + dice.roll(bytes.len() - from);
                let piece = bytes[from..to].to_vec();
                let at = dice.roll(bytes.len());
                bytes.splice(at..at, piece);
            }
            2 => {
                let from = dice.roll(bytes.len());
                let to = from + dice.roll((bytes.len() - from).min(12));
                bytes.drain(from..to);
            }
            _ => {
                bytes.clear();
                for _ in 0..dice.roll(40) {
                    bytes.extend_from_slice(words[dice.roll(words.len())].as_bytes());
                }
            }
        }
        feed(&bytes);
    }
    let punctuation = b"()[]{}.,:;|+-*/%^=<>!$&'\"`\\aN01 _e";
    for _ in 0..2_000 {
        let bytes: Vec<u8> = (0..dice.roll(60)).map(|_| dice.roll(256) as u8).collect();
        feed(&bytes);
        let ascii: Vec<u8> = (0..dice.roll(60)).map(|_| punctuation[dice.roll(punctuation.len())]).collect();
        feed(&ascii);
    }
}
