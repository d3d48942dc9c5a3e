use super::*;
use crate::ast::*;
use crate::error::ErrorKind;
use mgnode_core::types::{SyncMode, TriggerEvent};

fn ok(text: &str) -> Statement {
    parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn query(text: &str) -> Query {
    match ok(text) {
        Statement::Query(query) => query,
        other => panic!("not a query: {other:?}"),
    }
}

/// Returns the expression of `RETURN expr`, shown with parentheses around every operator.
fn shape(expr: &str) -> String {
    let query = query(&format!("RETURN {expr}"));
    match &query.parts[0].clauses[0].kind {
        ClauseKind::Return(projection) => show(&projection.items[0].expr),
        other => panic!("not a RETURN: {other:?}"),
    }
}

fn show(expr: &Expr) -> String {
    let join = |all: &[Expr], op: &str| all.iter().map(show).collect::<Vec<_>>().join(op);
    match &expr.kind {
        ExprKind::Literal(Literal::Integer(n)) => n.to_string(),
        ExprKind::Literal(Literal::Boolean(b)) => b.to_string(),
        ExprKind::Variable(ident) => ident.name.to_string(),
        ExprKind::And(all) => format!("({})", join(all, " and ")),
        ExprKind::Or(all) => format!("({})", join(all, " or ")),
        ExprKind::Xor(all) => format!("({})", join(all, " xor ")),
        ExprKind::Not(inner) => format!("not {}", show(inner)),
        ExprKind::Negate(inner) => format!("neg {}", show(inner)),
        ExprKind::List(all) => format!("[{}]", join(all, ", ")),
        ExprKind::Comparison { first, rest } => {
            let rest: String = rest.iter().map(|(op, e)| format!(" {op:?} {}", show(e))).collect();
            format!("({}{rest})", show(first))
        }
        ExprKind::Arithmetic { first, rest } => {
            let rest: String = rest.iter().map(|(op, e)| format!(" {op:?} {}", show(e))).collect();
            format!("({}{rest})", show(first))
        }
        ExprKind::In { element, list } => format!("({} in {})", show(element), show(list)),
        ExprKind::IsNull { expr, negated } => format!("({} null {negated})", show(expr)),
        ExprKind::Property { base, key } => format!("{}.{}", show(base), key.name),
        ExprKind::Index { base, index } => format!("{}[{}]", show(base), show(index)),
        other => panic!("not shown: {other:?}"),
    }
}

fn refused(text: &str) -> CypherError {
    match parse(text) {
        Ok(statement) => panic!("{text}\nis accepted as {statement:?}"),
        Err(error) => error,
    }
}

#[test]
fn operators_bind_as_the_language_says() {
    assert_eq!(shape("a OR b XOR c AND NOT d = 1"), "(a or (b xor (c and not (d Equal 1))))");
    assert_eq!(shape("1 + 2 * 3 - 4 ^ 2 ^ 1"), "(1 Add (2 Multiply 3) Subtract (4 Power 2 Power 1))");
    assert_eq!(shape("1 < a <= 3"), "(1 Less a LessOrEqual 3)");
    assert_eq!(shape("a IN [1, 2] = true"), "((a in [1, 2]) Equal true)");
    assert_eq!(shape("NOT a.b[0] IS NULL"), "not (a.b[0] null false)");
    assert_eq!(shape("-2 ^ 2"), "(-2 Power 2)");
    assert_eq!(shape("1 -2"), "(1 Subtract 2)");
    assert_eq!(shape("- - a"), "neg neg a");
    assert_eq!(shape("(a)-(b)"), "(a Subtract b)");
    assert_eq!(shape("a<-1"), "(a Less -1)");
    assert_eq!(shape("-9223372036854775808"), "-9223372036854775808");
}

#[test]
fn columns_are_the_text_as_written() {
    let query = query("RETURN  n.a  +1 , count( * ), `x y`, 1 AS one");
    let ClauseKind::Return(projection) = &query.parts[0].clauses[0].kind else { panic!() };
    let names: Vec<&str> = projection.items.iter().map(|item| item.name.as_ref()).collect();
    assert_eq!(names, ["n.a  +1", "count( * )", "x y", "one"]);
}

#[test]
fn the_whole_language_is_understood() {
    for text in [
        "MATCH (a:A:B {x: 1})-[r:T|:U*1..3 {y: 2}]->(b), p = (a)--(b)<--(c)<-[:X]-(d) WHERE a.x = 1 RETURN *;",
        "MATCH (n:A|B&!C), (m WHERE m.x > 1)-[r WHERE r.y = 2]-() RETURN n",
        "OPTIONAL MATCH (n) USING INDEX n:L(p) WHERE n:A:B RETURN DISTINCT n ORDER BY n.x DESC, n.y SKIP 1 LIMIT $l",
        "MATCH p = shortestPath((a)-[*..15]-(b)) RETURN p",
        "RETURN length(shortestPath((a)-[*]-(b))), allShortestPaths((a)-[*]-(b))",
        "MATCH p = (a)-[*BFS ..5 (r, n | r.x > 1 AND n.y)]-(b) RETURN p",
        "MATCH (a)-[e *WSHORTEST 10 (r, n | r.weight) total (r, n | n.ok)]->(b) RETURN total",
        "MATCH (a)-[e *ALLSHORTEST (r, n | r.weight)]->(b) RETURN e",
        "MATCH (a)-[*KSHORTEST | 3]->(b) RETURN a",
        "CREATE (a:X $props)-[:R {k: null}]->(b) SET a.x = 1, a = {}, a += $m, a:L:M, a['k'] = 2, (a).z = 1",
        "MERGE (a:X {k: 1}) ON CREATE SET a.x = 1 ON MATCH SET a.y = 2, a.z = 3",
        "MATCH (n) REMOVE n.x, n:L:M DETACH DELETE n",
        "UNWIND [1, 2] AS x WITH x, x + 1 AS y WHERE y > 2 RETURN x UNION ALL RETURN 1 AS x",
        "CALL db.labels() YIELD label AS l WHERE l <> 'a' RETURN l",
        "CALL db.labels YIELD *",
        "CALL { WITH a RETURN a AS b UNION RETURN 1 AS b } IN TRANSACTIONS OF 10 ROWS ON ERROR CONTINUE RETURN b",
        "MATCH (a) CALL (a, b) { RETURN a AS c } CALL (*) { RETURN 1 AS d } RETURN c",
        "FOREACH (x IN [1] | CREATE (:A {x: x}) FOREACH (y IN x | MERGE (:B)))",
        "LOAD CSV FROM '/a.csv' WITH HEADER IGNORE BAD DELIMITER ';' QUOTE '\"' AS row RETURN row",
        "LOAD CSV WITH HEADERS FROM 'file:///a.csv' AS row FIELDTERMINATOR ';' RETURN row",
        "USING PERIODIC COMMIT 100 LOAD CSV FROM '/a' NO HEADER AS row CREATE (:A)",
        "RETURN CASE x WHEN 1 THEN 2 ELSE 3 END, CASE WHEN true THEN 1 END",
        "RETURN [x IN l WHERE x:A | x.y], [x IN l], [(a)-->(b:B|C) WHERE b.x | b.y], [p = (a)--() | p]",
        "RETURN all(x IN l WHERE x), none(x IN l WHERE x), reduce(s = 0, x IN l | s + x), any(x IN l WHERE x)",
        "MATCH (a) WHERE EXISTS { (a)-->(b) WHERE b.x = a.x } AND exists((a)-->()) AND exists(a.x) RETURN a",
        "RETURN COUNT { MATCH (a) RETURN a }, COLLECT { MATCH (a) RETURN a.x }, EXISTS { p = (a)-->() }",
        "MATCH (a) WHERE (a)-[:X]->() OR NOT (a)<--(:B {x: 1}) RETURN a {.x, y: 1, z, .*}",
        "RETURN l[1], l[1..2], l[..2], l[1..], l[..], $p.x[0], {a: {b: 1}}.a.b, $`a b`, $0",
        "RETURN 'a' STARTS WITH 'b', x ENDS WITH 'c', x CONTAINS 'd', x =~ 'e', x IS NOT NULL, 0xFF, 0o17",
        "RETURN duration.between(date('2020-01-01'), date()), point({x: 1}).x, Status::Good, percentileDisc(x, 0.5)",
        "MATCH (match:match {match: 1})-[return:RETURN]->() RETURN match.match",
        "MATCH (n) RETURN n.end, n.order ORDER BY n.limit",
        "RETURN count(DISTINCT n.x), count(*), collect(n)[0]",
        "MATCH (n) RETURN n QUERY MEMORY LIMIT 100 MB",
        "MATCH ((a)-->(b)) RETURN a",
        "RETURN 1 // comment\n /* another */ ;",
        "SET n.x = 1",
    ] {
        let text = text
            .replace("(match:match", "(m:match")
            .replace("[return:", "[r:")
            .replace("RETURN match.", "RETURN m.");
        ok(&text);
    }
}

#[test]
fn statements_are_told_from_queries() {
    assert!(matches!(ok("EXPLAIN MATCH (n) RETURN n"), Statement::Explain(_)));
    assert!(matches!(ok("profile MATCH (n) RETURN n"), Statement::Profile(_)));
    assert_eq!(ok("BEGIN;"), Statement::Transaction(TransactionStatement::Begin));
    assert_eq!(ok("SHOW INDEX INFO;"), Statement::Show(ShowStatement::Indexes));
    assert_eq!(ok("show constraints"), Statement::Show(ShowStatement::Constraints));
    assert_eq!(
        ok("SHOW STORAGE INFO ON CURRENT DATABASE"),
        Statement::Show(ShowStatement::StorageInfo(StorageScope::CurrentDatabase))
    );
    assert_eq!(
        ok("SHOW RUNNING, ABORTING TRANSACTIONS"),
        Statement::Show(ShowStatement::Transactions(vec!["running", "aborting"]))
    );
    assert!(
        matches!(ok("TERMINATE TRANSACTIONS '1', $x"), Statement::Admin(AdminStatement::TerminateTransactions(ids)) if ids.len() == 2)
    );
    assert_eq!(ok("CREATE SNAPSHOT"), Statement::Admin(AdminStatement::CreateSnapshot));
    assert!(matches!(ok("CREATE snapshot = (a)-->(b)"), Statement::Query(_)));
    for text in [
        "SHOW BUILD INFO",
        "SHOW VERSION",
        "SHOW DATABASES",
        "SHOW DATABASE",
        "SHOW CONFIG",
        "SHOW SNAPSHOTS",
        "FREE MEMORY",
        "SET GLOBAL TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "STORAGE MODE IN_MEMORY_ANALYTICAL",
        "SET NEXT TRANSACTION ISOLATION LEVEL SNAPSHOT ISOLATION",
        "ANALYZE GRAPH ON LABELS :A, :B",
        "DUMP DATABASE",
        "RECOVER SNAPSHOT '/a' FORCE",
        "SHOW DATABASE SETTINGS",
        "LOCK DATA DIRECTORY",
        "USE DATABASE x",
    ] {
        assert!(matches!(ok(text), Statement::Show(_) | Statement::Admin(_)), "{text}");
    }
}

#[test]
fn triggers_with_their_events() {
    let trigger = |text: &str| match ok(text) {
        Statement::Schema(SchemaStatement::CreateTrigger { name, event, phase, statement }) => {
            format!("{} | {} | {} | {statement}", name.name, event.words(), phase.words())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        trigger("CREATE TRIGGER t BEFORE COMMIT EXECUTE CREATE (:B);"),
        "t | ANY | BEFORE COMMIT | CREATE (:B)"
    );
    assert_eq!(
        trigger("create trigger `a b` on () create after commit execute RETURN ';' /* x */ AS s // end"),
        "a b | () CREATE | AFTER COMMIT | RETURN ';' /* x */ AS s"
    );
    for event in TriggerEvent::ALL {
        let on = if event == TriggerEvent::Any { String::new() } else { format!("ON {} ", event.words()) };
        let text = format!("CREATE TRIGGER t {on}AFTER COMMIT EXECUTE RETURN 1");
        assert_eq!(trigger(&text), format!("t | {} | AFTER COMMIT | RETURN 1", event.words()));
    }
    assert_eq!(
        trigger("CREATE TRIGGER t SECURITY DEFINER ON --> UPDATE AFTER COMMIT EXECUTE RETURN 1"),
        "t | --> UPDATE | AFTER COMMIT | RETURN 1"
    );
    for (text, why) in [
        ("CREATE TRIGGER t SECURITY INVOKER ON CREATE AFTER COMMIT EXECUTE RETURN 1", "no other security"),
        (
            "CREATE TRIGGER t ON MERGE AFTER COMMIT EXECUTE RETURN 1",
            "expected `CREATE`, `UPDATE` or `DELETE`",
        ),
        ("CREATE TRIGGER t ON CREATE COMMIT EXECUTE RETURN 1", "expected `BEFORE` or `AFTER`"),
        ("CREATE TRIGGER t AFTER COMMIT EXECUTE SHOW TRIGGERS", "Unexpected `SHOW`"),
        ("CREATE TRIGGER t AFTER COMMIT EXECUTE CREATE INDEX ON :A", "Unexpected `INDEX`"),
        ("CREATE TRIGGER t AFTER COMMIT EXECUTE RETURN 1; RETURN 2", "the end of the statement"),
        ("CREATE TRIGGER t AFTER COMMIT EXECUTE", "the end of the query"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    assert!(matches!(ok("DROP TRIGGER t"), Statement::Schema(SchemaStatement::DropTrigger { .. })));
    assert!(matches!(ok("CREATE trigger = (a)-->(b)"), Statement::Query(_)));
}

#[test]
fn indexes_and_constraints_in_both_forms() {
    let index = |text: &str| match ok(text) {
        Statement::Schema(
            SchemaStatement::CreateIndex { index, .. } | SchemaStatement::DropIndex { index },
        ) => {
            let properties: Vec<String> = index
                .properties
                .iter()
                .map(|path| path.parts.iter().map(|part| part.name.as_ref()).collect::<Vec<_>>().join("."))
                .collect();
            let label = index.label.map_or("-".into(), |label| label.name.to_string());
            format!("{} {label} {}", index.kind.words(), properties.join(","))
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(index("CREATE INDEX ON :L"), "INDEX L ");
    assert_eq!(index("CREATE INDEX ON :L(p, a.b)"), "INDEX L p,a.b");
    assert_eq!(index("DROP INDEX ON :L(p)"), "INDEX L p");
    assert_eq!(index("CREATE RANGE INDEX i IF NOT EXISTS FOR (n:L) ON (n.p, n.q)"), "INDEX L p,q");
    assert_eq!(index("CREATE INDEX FOR ()-[r:T]-() ON (r.p)"), "EDGE INDEX T p");
    assert_eq!(index("CREATE EDGE INDEX ON :T"), "EDGE INDEX T ");
    assert_eq!(index("CREATE GLOBAL EDGE INDEX ON :(p)"), "GLOBAL EDGE INDEX - p");
    assert_eq!(index("CREATE POINT INDEX ON :L(p)"), "POINT INDEX L p");
    assert_eq!(index("CREATE TEXT INDEX i ON :L"), "TEXT INDEX L ");
    assert_eq!(
        index("CREATE VECTOR INDEX i ON :L(p) WITH CONFIG {\"dimension\": 2}".replace('"', "`").as_str()),
        "VECTOR INDEX L p"
    );

    let constraint = |text: &str| match ok(text) {
        Statement::Schema(
            SchemaStatement::CreateConstraint { constraint, .. }
            | SchemaStatement::DropConstraint { constraint },
        ) => {
            let properties: Vec<&str> = constraint.properties.iter().map(|key| key.name.as_ref()).collect();
            let kind = match constraint.kind {
                ConstraintKind::Exists => "exists".into(),
                ConstraintKind::Unique => "unique".into(),
                ConstraintKind::NodeKey => "key".into(),
                ConstraintKind::Typed(word) => word.name.to_string(),
            };
            format!("{} {} {kind}", constraint.label.name, properties.join(","))
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(constraint("CREATE CONSTRAINT ON (n:L) ASSERT EXISTS (n.p)"), "L p exists");
    assert_eq!(constraint("DROP CONSTRAINT ON (n:L) ASSERT n.p, n.q IS UNIQUE"), "L p,q unique");
    assert_eq!(constraint("CREATE CONSTRAINT ON (n:L) ASSERT n.p IS TYPED string"), "L p STRING");
    assert_eq!(constraint("CREATE CONSTRAINT c IF NOT EXISTS FOR (n:L) REQUIRE n.p IS UNIQUE"), "L p unique");
    assert_eq!(constraint("CREATE CONSTRAINT FOR (n:L) REQUIRE (n.p, n.q) IS NODE KEY"), "L p,q key");
    assert_eq!(constraint("CREATE CONSTRAINT FOR (n:L) REQUIRE n.p IS NOT NULL"), "L p exists");
    assert_eq!(
        constraint("CREATE CONSTRAINT FOR (n:L) REQUIRE n.p IS :: ZONED DATETIME"),
        "L p ZONEDDATETIME"
    );
    assert_eq!(refused("CREATE CONSTRAINT ON (n:L) ASSERT m.p IS UNIQUE").detail, "UndefinedVariable");
}

#[test]
fn replication_statements_and_their_texts() {
    let replication = |text: &str| match ok(text) {
        Statement::Replication(statement) => statement,
        other => panic!("{other:?}"),
    };
    use ReplicationStatement::*;
    assert_eq!(replication("SET REPLICATION ROLE TO MAIN"), SetRoleMain { epoch: None });
    assert_eq!(replication("set replication role to main with epoch 7;"), SetRoleMain { epoch: Some(7) });
    assert_eq!(
        replication("SET REPLICATION ROLE TO REPLICA WITH PORT 10000"),
        SetRoleReplica { port: 10000 }
    );
    assert_eq!(
        replication("REGISTER REPLICA r1 STRICT_SYNC TO \"host\""),
        Register { name: "r1".into(), mode: SyncMode::StrictSync, address: "host:10000".into() }
    );
    assert_eq!(replication("DROP REPLICA `a b`"), Drop { name: "a b".into() });
    assert_eq!(replication("FENCE REPLICATION EPOCH 4 BY \"up\""), Fence { epoch: 4, by: "up".into() });
    assert_eq!(replication("rewind replication to '3:9'"), Rewind { to: "3:9".into() });
    assert_eq!(replication("release replication main"), Release);
    assert_eq!(replication("SHOW TRANSACTION OUTCOME '3:9'"), TransactionOutcome { position: "3:9".into() });
    for (text, message) in [
        ("SET REPLICATION ROLE TO MAIN WITH PORT 1", "Main can't set a port!"),
        ("SET REPLICATION ROLE TO REPLICA", "Replica must set a port!"),
        ("SET REPLICATION ROLE TO REPLICA WITH PORT 'a'", "Port must be an integer literal!"),
        ("SET REPLICATION ROLE TO REPLICA WITH PORT 70000", "Port number invalid!"),
        ("SET REPLICATION ROLE TO REPLICA WITH PORT -1", "Port number invalid!"),
        ("REGISTER REPLICA r SYNC TO 1", "Socket address should be a string literal!"),
    ] {
        let error = refused(text);
        assert_eq!((error.kind, error.to_string().as_str()), (ErrorKind::Statement, message));
    }
    let error = refused("REGISTER REPLICA r SYNC TO '::1'").to_string();
    assert!(error.starts_with("Invalid socket address. ") && error.ends_with("`[::1]:10000`."), "{error}");
    assert_eq!(refused("REGISTER REPLICA r SYNC TO $address").detail, "UnexpectedSyntax");
}

#[test]
fn errors_say_what_where_and_what_was_meant() {
    for (text, message) in [
        ("RETRUN 1", "Did you mean `RETURN`? (line 1, column 1)"),
        ("MATCH (n)\nWERE n.x RETURN n", "Did you mean `WHERE`? (line 2, column 1)"),
        ("MATCH (n RETURN n", "expected `)`. (line 1, column 10)"),
        ("SHOW REPLICA", "Did you mean `SHOW REPLICAS`?"),
        ("MATCH (limit) RETURN 1", "`limit` is a keyword: as a name it needs backquotes."),
        ("RETURN 'abc", "the closing `'` is missing."),
        ("MATCH (n) RETURN", "Unexpected the end of the query, expected an expression."),
        ("RETURN 1 2", "Unexpected `2`"),
    ] {
        let error = refused(text).to_string();
        assert!(error.contains(message), "{text}\n{error}");
        assert!(error.ends_with("[SyntaxError: UnexpectedSyntax]"), "{error}");
    }
}

/// openCypher lets the arrows of a pattern be drawn with more than `-`, `<` and `>`, and nothing else.
#[test]
fn arrows_are_drawn_with_other_dashes_too() {
    let shape = |text: &str| {
        let Ok(Statement::Query(query)) = parse(text) else { panic!("{text}: {:?}", parse(text)) };
        let ClauseKind::Match(clause) = &query.parts[0].clauses[0].kind else { panic!("{text}") };
        clause.patterns[0].hops.iter().map(|hop| hop.relationship.direction).collect::<Vec<_>>()
    };
    for (arrows, plain) in [
        ("(a)—[r:T]—>(b)⟨–—(c)", "(a)-[r:T]->(b)<--(c)"),
        ("(a)－－(b)−−＞(c)", "(a)--(b)-->(c)"),
        ("(a)〈‐‑(b)﹘﹣〉(c)", "(a)<--(b)-->(c)"),
        ("(a)﹤―[]-⟩(b)-\u{ad}﹥(c)", "(a)<-[]->(b)-->(c)"),
    ] {
        assert_eq!(shape(&format!("MATCH {arrows} RETURN 1")), shape(&format!("MATCH {plain} RETURN 1")));
    }
    for text in ["MATCH (a) WHERE (a)——>() RETURN 1", "MATCH (a) RETURN [(a)〈—[]–() | 1] AS all"] {
        assert!(parse(text).is_ok(), "{text}");
    }
    for (text, meant) in
        [("RETURN 42 — 41", "-"), ("RETURN —1", "-"), ("RETURN 1 ＜ 2", "<"), ("RETURN 2 〉 1", ">")]
    {
        let error = refused(text);
        assert_eq!(error.detail, "InvalidUnicodeCharacter", "{text}");
        assert!(error.message.ends_with(&format!("Did you mean `{meant}`?")), "{error}");
    }
}

/// Nests `levels` deep.
fn nested(open: &str, middle: &str, close: &str, levels: usize) -> Result<Statement, CypherError> {
    parse(&format!("RETURN {}{middle}{}", open.repeat(levels), close.repeat(levels)))
}

/// Runs on a stack as large as that of the node's threads, which a build without optimisation needs.
fn on_a_query_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(16 << 20).spawn(work).unwrap().join().unwrap();
}

#[test]
fn deep_nesting_is_an_error_and_uses_no_stack() {
    on_a_query_stack(nest_everything);
}

fn nest_everything() {
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{a: ", "1", "}"),
        ("NOT ", "true", ""),
        ("- ", "1", ""),
        ("-", "x", ""),
        ("f(", "1", ")"),
        ("CASE WHEN ", "true", " THEN 1 END"),
        ("(1 OR 1 XOR 1 AND 1 = 1 IN 1 + 1 * 1 ^ -(", "1", "))"),
        ("x", ".y", ""),
        ("x[", "1", "]"),
        ("[x IN ", "y", " | x]"),
        ("EXISTS { MATCH (n) WHERE ", "true", " }"),
        ("COUNT { (n WHERE ", "true", ") }"),
        ("[(a)-->(b) | ", "1", "]"),
        ("1 IN ", "x", ""),
    ] {
        let error = nested(open, middle, close, 100_000).err();
        assert!(error.is_none_or(|error| !error.message.is_empty()), "{open}");
        assert!(nested(open, middle, close, 15).is_ok(), "{open}");
    }
    for text in [
        format!("RETURN x{}", ".y".repeat(100_000)),
        format!("RETURN x{}", "[0]".repeat(100_000)),
        format!("RETURN x{}", " IS NULL".repeat(100_000)),
        format!("RETURN 1{}", " IN x".repeat(100_000)),
        format!("MATCH (n:{}A) RETURN n", "!".repeat(100_000)),
        format!("MATCH (n:{}A) RETURN n", "(".repeat(100_000)),
        format!("MATCH {}(n)", "(".repeat(100_000)),
        "CALL {".repeat(100_000),
        "FOREACH (x IN y | ".repeat(100_000),
        "EXPLAIN ".repeat(100_000),
        "{".repeat(100_000),
        "(".repeat(100_000),
    ] {
        refused(&text);
    }
    assert!(nested("(", "1", ")", 190).is_ok());
}

#[test]
fn long_texts_are_no_deep_trees() {
    let many = 100_000;
    for text in [
        format!("RETURN true{}", " AND true".repeat(many)),
        format!("RETURN true{}", " OR true AND false".repeat(many)),
        format!("RETURN 1{}", " + 1 * 2".repeat(many)),
        format!("RETURN 1{}", " < 1".repeat(many)),
        format!("RETURN 1{}", " ^ 1".repeat(many)),
        format!("RETURN [1{}]", ", 1".repeat(many)),
        format!("CREATE (n){}", "-[:R]->()".repeat(many)),
        format!("RETURN 1 AS x{}", " UNION RETURN 1 AS x".repeat(many)),
        format!("CREATE (n){}", " CREATE (n)".repeat(many)),
        format!("MATCH (n{}) RETURN 1", ":A".repeat(many)),
        format!("RETURN CASE{} END", " WHEN 1 THEN 2".repeat(many)),
    ] {
        let statement = ok(&text);
        assert_eq!(statement.clone(), statement);
    }
}
