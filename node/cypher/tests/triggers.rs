//! Triggers from text to rows: what each variable holds, and which event has which.

use mgcypher::ast::Statement;
use mgcypher::triggers::{PreparedTrigger, show_triggers};
use mgcypher::{CypherError, Execution, Limits, Params, parse, prepare, schema};
use mgnode_core::storage::{Graph, Transaction};
use mgnode_core::types::{Lsn, Names, TriggerPhase, Value};
use std::sync::Arc;

/// A graph whose transactions run triggers as a node does, one after the other.
struct Session {
    graph: Arc<Graph>,
    lsn: Lsn,
}

impl Session {
    fn new(statements: &[&str]) -> Session {
        let mut session = Session { graph: Arc::new(Graph::new(Arc::new(Names::default()))), lsn: Lsn::ZERO };
        for text in statements {
            session.run(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        session
    }

    fn finish(&mut self, tx: Transaction) -> Result<(), CypherError> {
        let commit = tx.finish().map_err(|e| CypherError::statement(e.to_string()))?;
        if let Some(commit) = commit {
            self.lsn = self.lsn.next();
            let changes = self.graph.decode(&commit.payload).unwrap();
            self.graph.apply(self.lsn, &changes).unwrap();
            self.graph.publish(self.lsn, self.graph.clock().take());
        }
        Ok(())
    }

    fn run(&mut self, text: &str) -> Result<Vec<Vec<Value>>, CypherError> {
        self.run_all(&[text])
    }

    /// Runs statements in one transaction, then what it triggers.
    fn run_all(&mut self, texts: &[&str]) -> Result<Vec<Vec<Value>>, CypherError> {
        let mut tx = self.graph.begin(true);
        let mut rows = Vec::new();
        for text in texts {
            match parse(text)? {
                Statement::Query(query) => {
                    let prepared = prepare(&query, &tx, &Params::default())?;
                    let mut run = Execution::new(prepared, Params::default(), Limits::default())?;
                    while let Some(row) = run.next(&mut tx)? {
                        rows.push(row);
                    }
                }
                Statement::Schema(statement) => drop(schema::execute(&statement, &mut tx)?),
                other => panic!("{other:?}"),
            }
        }
        let triggers = if tx.has_triggers() { tx.triggers() } else { Vec::new() };
        let summary = Arc::new(tx.summary());
        let (before, after): (Vec<_>, Vec<_>) = triggers
            .into_iter()
            .filter(|trigger| summary.has(trigger.event))
            .partition(|trigger| trigger.phase == TriggerPhase::BeforeCommit);
        for trigger in before {
            PreparedTrigger::new(&trigger, &tx)?.run(&summary, &mut tx, Limits::default())?;
        }
        self.finish(tx)?;
        for trigger in after {
            let mut tx = self.graph.begin(true);
            PreparedTrigger::new(&trigger, &tx)?.run(&summary, &mut tx, Limits::default())?;
            self.finish(tx)?;
        }
        Ok(rows)
    }

    fn refused(&mut self, text: &str) -> String {
        self.run(text).unwrap_err().to_string()
    }

    /// Returns what triggers wrote down, sorted.
    fn seen(&mut self) -> Vec<String> {
        let rows = self.run("MATCH (s:Seen) RETURN s.it ORDER BY s.it").unwrap();
        let text = |row: Vec<Value>| match &row[0] {
            Value::String(text) => text.to_string(),
            other => panic!("{other:?}"),
        };
        rows.into_iter().map(text).collect()
    }
}

const GRAPH: &str = "CREATE (a:A {n: 1, s: 'x'}), (b:B:C {n: 2}), (a)-[:R {w: 1}]->(b)";

/// Runs a trigger's body before and after the commit of a statement; both must write down the same.
fn seen(event: &str, body: &str, statements: &[&str]) -> Vec<String> {
    let [before, after] = ["BEFORE", "AFTER"].map(|phase| {
        let trigger = format!("CREATE TRIGGER t {event} {phase} COMMIT EXECUTE {body}");
        let mut session = Session::new(&[GRAPH, &trigger]);
        session.run_all(statements).unwrap_or_else(|error| panic!("{body}: {error}"));
        session.seen()
    });
    assert_eq!(before, after, "{body}");
    before
}

#[test]
fn what_was_created_is_told() {
    let made = &["MATCH (a:A) CREATE (a)-[:S]->(:New {n: 7}), (:New {n: 8})"];
    assert_eq!(
        seen(
            "ON () CREATE",
            "UNWIND createdVertices AS v CREATE (:Seen {it: labels(v)[0] + toString(v.n)})",
            made
        ),
        ["New7", "New8"]
    );
    assert_eq!(
        seen(
            "ON --> CREATE",
            "UNWIND createdEdges AS e CREATE (:Seen {it: type(e) + toString(endNode(e).n)})",
            made
        ),
        ["S7"]
    );
    let kinds = "UNWIND createdObjects AS o \
        CREATE (:Seen {it: o.event_type + toString(coalesce(o.vertex.n, 0)) + coalesce(type(o.edge), '')})";
    assert_eq!(seen("ON CREATE", kinds, made), ["created_edge0S", "created_vertex7", "created_vertex8"]);
    assert_eq!(seen("", kinds, made), ["created_edge0S", "created_vertex7", "created_vertex8"]);
}

#[test]
fn what_was_deleted_keeps_what_it_had_last() {
    let gone = &["MATCH (b:B) SET b.n = 3, b:D DETACH DELETE b"];
    let of_vertex = "UNWIND deletedVertices AS v CREATE (:Seen {it: \
        reduce(all = '', l IN labels(v) | all + l) + toString(v.n) + toString(v:D) + toString(v:A) \
        + keys(v)[0] + toString(properties(v).n) + toString(v {.n}.n) + toString(v['n'])})";
    assert_eq!(seen("ON () DELETE", of_vertex, gone), ["BCD3truefalsen333"]);
    let of_edge = "UNWIND deletedEdges AS e \
        CREATE (:Seen {it: type(e) + toString(e.w) + keys(e)[0] + toString(startNode(e).n) + toString(endNode(e).n)})";
    assert_eq!(seen("ON --> DELETE", of_edge, gone), ["R1w13"]);
    let both = "UNWIND deletedObjects AS o CREATE (:Seen {it: o.event_type + toString(coalesce(o.vertex.n, o.edge.w))})";
    assert_eq!(seen("ON DELETE", both, gone), ["deleted_edge1", "deleted_vertex3"]);
}

#[test]
fn what_was_deleted_is_read_and_not_written() {
    for body in ["SET v.n = 1", "SET v:X", "CREATE (v)-[:R]->(:X)", "DELETE v"] {
        let trigger =
            format!("CREATE TRIGGER t ON DELETE BEFORE COMMIT EXECUTE UNWIND deletedVertices AS v {body}");
        let mut session = Session::new(&[GRAPH, &trigger]);
        let outcome = session.run("MATCH (b:B) DETACH DELETE b").map_err(|error| error.to_string());
        match body {
            // What is gone is deleted.
            "DELETE v" => assert_eq!(outcome, Ok(Vec::new())),
            _ => assert!(outcome.unwrap_err().contains("deleted"), "{body}"),
        }
    }
}

#[test]
fn what_was_set_and_removed_is_told_with_both_values() {
    let statements = &[
        "MATCH (a:A)-[r]->(b:B) SET a.n = 5, a.s = null, b.new = true, r.w = null, r.u = 1",
        "MATCH (a:A)-[r]->(b:B) SET a.n = 6, b.n = 2, b.m = 1 REMOVE b.m",
    ];
    let told = |variable: &str, of: &str, event: &str| {
        let body = format!(
            "UNWIND {variable} AS c CREATE (:Seen {{it: coalesce(c.event_type, '') + c.key + ':' \
             + coalesce(toString(c.old), '-') + coalesce(toString(c.new), '-') + toString(c.{of} IS NOT NULL) \
             + toString(size(keys(c)))}})"
        );
        seen(event, &body, statements)
    };
    assert_eq!(told("setVertexProperties", "vertex", "ON () UPDATE"), ["n:16true4", "new:-truetrue4"]);
    assert_eq!(told("removedVertexProperties", "vertex", "ON UPDATE"), ["s:x-true3"]);
    assert_eq!(told("setEdgeProperties", "edge", "ON --> UPDATE"), ["u:-1true4"]);
    assert_eq!(told("removedEdgeProperties", "edge", ""), ["w:1-true3"]);
    assert_eq!(
        told("updatedEdges", "edge", "ON --> UPDATE"),
        ["removed_edge_propertyw:1-true4", "set_edge_propertyu:-1true5"]
    );
    assert_eq!(
        told("updatedVertices", "vertex", "ON () UPDATE"),
        [
            "removed_vertex_propertys:x-true4",
            "set_vertex_propertyn:16true5",
            "set_vertex_propertynew:-truetrue5"
        ]
    );
}

#[test]
fn labels_that_came_and_went_are_told() {
    let statements = &["MATCH (n) SET n:New", "MATCH (b:B) REMOVE b:C SET b:X REMOVE b:X"];
    let by_label = |variable: &str| {
        let body =
            format!("UNWIND {variable} AS c CREATE (:Seen {{it: c.label + toString(size(c.vertices))}})");
        seen("ON () UPDATE", &body, statements)
    };
    assert_eq!(by_label("setVertexLabels"), ["New2"]);
    assert_eq!(by_label("removedVertexLabels"), ["C1"]);
    let all = "UNWIND updatedObjects AS c CREATE (:Seen {it: c.event_type + c.label + toString(c.vertex.n)})";
    assert_eq!(
        seen("ON UPDATE", all, statements),
        ["removed_vertex_labelC2", "set_vertex_labelNew1", "set_vertex_labelNew2"]
    );
}

#[test]
fn the_whole_transaction_is_one_event() {
    let count = "CREATE (:Seen {it: toString(size(createdObjects)) + toString(size(deletedObjects)) \
        + toString(size(updatedObjects))})";
    // Made and deleted; set on what was made; set on what was deleted; set back.
    let nothing_left = &["CREATE (:Gone)", "MATCH (g:Gone) DELETE g", "MATCH (a:A) SET a.n = 9 SET a.n = 1"];
    assert!(seen("", count, nothing_left).is_empty());
    let folded =
        &["CREATE (v:New) SET v.n = 1, v:More", "MATCH (a:A)-[r]->() SET a.n = 3, r.w = 4 DETACH DELETE a"];
    assert_eq!(seen("", count, folded), ["120"]);
}

#[test]
fn an_event_fires_only_what_asks_for_it() {
    let events = [
        ("ON () CREATE", "CREATE ()"),
        ("ON --> CREATE", "MATCH (a:A) CREATE (a)-[:S]->(a)"),
        ("ON () UPDATE", "MATCH (a:A) SET a:Z"),
        ("ON --> UPDATE", "MATCH ()-[r]->() SET r.w = 2"),
        ("ON () DELETE", "MATCH (x:Lone) DELETE x"),
        ("ON --> DELETE", "MATCH ()-[r:R]->() DELETE r"),
    ];
    for (event, _) in events {
        let trigger = format!("CREATE TRIGGER t {event} BEFORE COMMIT EXECUTE CREATE (:Seen {{it: 'x'}})");
        for (other, statement) in events {
            let mut session = Session::new(&[GRAPH, "CREATE (:Lone)", &trigger]);
            session.run(statement).unwrap();
            assert_eq!(session.seen().len(), usize::from(event == other), "{event}: {statement}");
        }
    }
    let mut session = Session::new(&["CREATE TRIGGER t BEFORE COMMIT EXECUTE CREATE (:Seen {it: 'x'})"]);
    session.run("MATCH (n) RETURN n").unwrap();
    session.run("CREATE INDEX ON :A").unwrap();
    assert!(session.seen().is_empty(), "no data was written");
}

#[test]
fn later_triggers_are_told_of_the_transaction_and_not_of_earlier_triggers() {
    let mut session = Session::new(&[
        "CREATE TRIGGER a ON () CREATE BEFORE COMMIT EXECUTE CREATE (:ByA)",
        "CREATE TRIGGER b ON () CREATE BEFORE COMMIT EXECUTE \
         UNWIND createdVertices AS v WITH v CREATE (:Seen {it: 'b' + labels(v)[0]})",
        "CREATE TRIGGER c ON () CREATE BEFORE COMMIT EXECUTE MATCH (g:Gone) DELETE g",
        "CREATE TRIGGER d ON () CREATE BEFORE COMMIT EXECUTE \
         UNWIND createdVertices AS v WITH v CREATE (:Seen {it: 'd' + labels(v)[0]})",
        "CREATE TRIGGER e ON () CREATE AFTER COMMIT EXECUTE \
         UNWIND createdVertices AS v WITH v CREATE (:Seen {it: 'e' + labels(v)[0]})",
    ]);
    session.run("CREATE (:Kept), (:Gone)").unwrap();
    assert_eq!(session.seen(), ["bGone", "bKept", "dKept", "eKept"]);
}

#[test]
fn a_statement_is_checked_when_the_trigger_is_made() {
    let mut s = Session::new(&[]);
    let refused = s.refused("CREATE TRIGGER t ON () CREATE BEFORE COMMIT EXECUTE RETURN deletedVertices");
    assert!(refused.contains("Unbound variable: deletedVertices."), "{refused}");
    assert!(refused.contains("Variables of the event '() CREATE': createdVertices."), "{refused}");
    let refused = s.refused("CREATE TRIGGER t ON --> UPDATE BEFORE COMMIT EXECUTE RETURN updatedObjects");
    assert!(refused.contains("setEdgeProperties, removedEdgeProperties, updatedEdges."), "{refused}");
    let refused = s.refused("CREATE TRIGGER t BEFORE COMMIT EXECUTE CREATE ({p: $p})");
    assert!(refused.contains("Parameter $p not provided."), "{refused}");
    let refused = s
        .refused("CREATE TRIGGER t BEFORE COMMIT EXECUTE UNWIND [1] AS i CALL { CREATE () } IN TRANSACTIONS");
    assert!(refused.contains("part of a transaction"), "{refused}");
    assert!(s.graph.begin(false).triggers().is_empty());
    s.run("CREATE TRIGGER t ON () CREATE AFTER COMMIT EXECUTE CREATE (:B)").unwrap();
    assert_eq!(
        s.refused("CREATE TRIGGER t BEFORE COMMIT EXECUTE RETURN 1"),
        "Trigger with the same name already exists."
    );
    assert_eq!(s.refused("DROP TRIGGER u"), "Trigger with name 'u' doesn't exist.");
    let table = show_triggers(&s.graph.begin(false));
    assert_eq!(
        table.columns,
        ["trigger name", "statement", "privilege context", "event type", "phase", "owner"]
    );
    let row = ["t", "CREATE (:B)", "DEFINER", "() CREATE", "AFTER COMMIT"].map(Value::string);
    assert_eq!(table.rows, [[&row[..], &[Value::Null]].concat()]);
    s.run("DROP TRIGGER t").unwrap();
    assert!(show_triggers(&s.graph.begin(false)).rows.is_empty());
}

#[test]
fn a_failure_of_a_trigger_is_one_of_the_transaction() {
    let mut s = Session::new(&[
        "CREATE TRIGGER t ON CREATE BEFORE COMMIT EXECUTE UNWIND createdVertices AS v SET v.bad = 1 / v.n",
    ]);
    s.run("CREATE (:A {n: 1})").unwrap();
    // The place is one in the trigger's text, wherever the client's has its own.
    assert_eq!(
        s.refused("CREATE (:A\n {n: 0})"),
        "division by zero (line 1, column 41) [ArithmeticError: DivisionByZero]"
    );
    assert_eq!(s.run("MATCH (a:A) RETURN a.n, a.bad").unwrap(), [[Value::Int(1), Value::Int(1)]]);
}

#[test]
fn what_a_trigger_is_told_counts_as_its_memory() {
    let s = Session::new(&[
        "CREATE TRIGGER t ON CREATE BEFORE COMMIT EXECUTE UNWIND createdObjects AS o SET o.vertex.n = 1",
    ]);
    let mut tx = s.graph.begin(true);
    for _ in 0..1000 {
        tx.create_vertex(&[], Vec::new()).unwrap();
    }
    let trigger = PreparedTrigger::new(&tx.triggers()[0], &tx).unwrap();
    let summary = Arc::new(tx.summary());
    let run = |bytes, tx: &mut Transaction| {
        trigger.run(&summary, tx, Limits { memory_bytes_max: bytes, ..Limits::default() })
    };
    assert!(run(50_000, &mut tx).unwrap_err().to_string().contains("Memory limit exceeded"));
    run(10 << 20, &mut tx).unwrap();
}
