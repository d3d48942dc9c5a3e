//! Enums and type constraints, from text to rows.

use mgcypher::ast::Statement;
use mgcypher::{CypherError, Execution, Limits, Params, enums, parse, prepare, schema};
use mgnode_core::storage::{Graph, Transaction};
use mgnode_core::types::{EnumValue, Lsn, Names, Value};
use std::sync::Arc;

struct Session {
    graph: Arc<Graph>,
    lsn: Lsn,
}

impl Session {
    fn new() -> Session {
        Session { graph: Arc::new(Graph::new(Arc::new(Names::default()))), lsn: Lsn::ZERO }
    }

    fn commit(&mut self, tx: Transaction) -> Result<(), CypherError> {
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
        let mut tx = self.graph.begin(true);
        let mut rows = Vec::new();
        match parse(text)? {
            Statement::Query(query) => {
                let prepared = prepare(&query, &tx, &Params::default())?;
                let limits = Limits { memory_bytes_max: 64 << 20, ..Limits::default() };
                let mut run = Execution::new(prepared, Params::default(), limits)?;
                while let Some(row) = run.next(&mut tx)? {
                    rows.push(row);
                }
            }
            Statement::Schema(statement) => drop(schema::execute(&statement, &mut tx)?),
            other => panic!("{other:?}"),
        }
        self.commit(tx)?;
        Ok(rows)
    }

    fn refused(&mut self, text: &str) -> String {
        self.run(text).unwrap_err().to_string()
    }
}

fn value(value: &str) -> Value {
    Value::Enum(Arc::new(EnumValue { enum_name: "Color".into(), value: value.into() }))
}

#[test]
fn an_enum_has_the_values_that_it_was_given() {
    let mut s = Session::new();
    assert!(s.refused("RETURN Color::Red").contains("Enum 'Color' doesn't exist."));
    s.run("CREATE ENUM Color VALUES {Red, Blue}").unwrap();
    assert!(s.refused("CREATE ENUM Color VALUES {Green}").contains("Enum 'Color' already exists."));
    assert!(s.refused("CREATE ENUM Size VALUES {S, M, S}").contains("'S' in enum 'Size' already exists."));
    assert_eq!(s.run("RETURN Color::Red").unwrap(), [[value("Red")]]);
    assert!(s.refused("RETURN Color::Green").contains("Enum value 'Green' in enum 'Color' doesn't exist."));
    s.run("ALTER ENUM Color ADD VALUE Green").unwrap();
    assert!(s.refused("ALTER ENUM Color ADD VALUE Red").contains("already exists."));
    assert!(s.refused("ALTER ENUM Size ADD VALUE L").contains("Enum 'Size' doesn't exist."));
    let compared = "RETURN Color::Green = Color::Green, Color::Green = Color::Red, toString(Color::Green)";
    let row = [Value::Bool(true), Value::Bool(false), Value::string("Color::Green")];
    assert_eq!(s.run(compared).unwrap(), [row]);
    let table = enums::show_enums(&s.graph.begin(false));
    assert_eq!(table.columns, ["Enum Name", "Enum Values"]);
    let names = ["Red", "Blue", "Green"].map(Value::string);
    assert_eq!(table.rows, [[Value::string("Color"), Value::list(names)]]);
}

#[test]
fn a_renamed_value_is_renamed_wherever_it_stands() {
    let mut s = Session::new();
    s.run("CREATE ENUM Color VALUES {Red, Blue}").unwrap();
    s.run(
        "CREATE (a:Car {c: Color::Red, all: [Color::Red, Color::Blue], m: {x: [{y: Color::Red}]}}), \
         (a)-[:R {c: Color::Red}]->(:Car {c: Color::Blue})",
    )
    .unwrap();
    assert!(
        s.refused("ALTER ENUM Color UPDATE VALUE Red TO Blue").contains("'Blue' in enum 'Color' already")
    );
    assert!(
        s.refused("ALTER ENUM Color UPDATE VALUE Pink TO Rose").contains("'Pink' in enum 'Color' doesn't")
    );
    s.run("ALTER ENUM Color UPDATE VALUE Red TO Crimson").unwrap();
    let rows = s
        .run("MATCH (a:Car)-[r]->(b) RETURN a.c, a.all, a.m.x[0].y, r.c, b.c, count{MATCH (n) WHERE n.c = Color::Crimson}")
        .unwrap();
    let crimson = value("Crimson");
    let all = Value::list([crimson.clone(), value("Blue")]);
    assert_eq!(rows, [[crimson.clone(), all, crimson.clone(), crimson, value("Blue"), Value::Int(1)]]);
    assert!(s.refused("RETURN Color::Red").contains("doesn't exist"));
}

#[test]
fn an_enum_goes_only_once_nothing_holds_a_value_of_it() {
    let mut s = Session::new();
    s.run("CREATE ENUM Color VALUES {Red}").unwrap();
    s.run("CREATE (:Car {all: [Color::Red]})").unwrap();
    assert!(s.refused("DROP ENUM Color").contains("1 properties hold a value of it"));
    s.run("MATCH (c:Car) REMOVE c.all").unwrap();
    s.run("DROP ENUM Color").unwrap();
    assert!(s.refused("DROP ENUM Color").contains("doesn't exist"));
}

/// A plan holds the values of enums, so it must not outlive them.
#[test]
fn a_plan_is_stale_once_an_enum_changed() {
    let mut s = Session::new();
    s.run("CREATE ENUM Color VALUES {Red}").unwrap();
    let Statement::Query(query) = parse("RETURN Color::Red").unwrap() else { panic!("a query") };
    let prepared = prepare(&query, &s.graph.begin(false), &Params::default()).unwrap();
    s.run("CREATE (:Other)").unwrap();
    assert!(!prepared.is_stale(&s.graph.begin(false)), "data does not matter");
    s.run("ALTER ENUM Color UPDATE VALUE Red TO Crimson").unwrap();
    assert!(prepared.is_stale(&s.graph.begin(false)));
}

#[test]
fn type_constraints_hold_and_are_shown() {
    let mut s = Session::new();
    s.run("CREATE (:P {age: 'old'})").unwrap();
    let constraint = "CREATE CONSTRAINT ON (n:P) ASSERT n.age IS TYPED INTEGER";
    let violation = "data type constraint violation on :P(age): the type must be INTEGER";
    assert!(s.refused(constraint).contains(violation));
    s.run("MATCH (p:P) SET p.age = 1").unwrap();
    s.run(constraint).unwrap();
    assert!(s.refused("MATCH (p:P) SET p.age = 1.5").contains(violation));
    assert!(s.refused("CREATE (:P {age: '1'})").contains(violation));
    s.run("CREATE (:P), (:Q {age: 'any'})").unwrap();
    assert!(s.refused("MATCH (q:Q) SET q:P").contains(violation));

    let types = [
        ("BOOLEAN", "true"),
        ("STRING", "'s'"),
        ("FLOAT", "1.5"),
        ("LIST", "[1]"),
        ("MAP", "{a: 1}"),
        ("DATE", "date('2020-01-01')"),
        ("LOCALTIME", "localtime('10:00')"),
        ("LOCAL DATETIME", "localdatetime('2020-01-01T10:00')"),
        ("ZONED DATETIME", "datetime('2020-01-01T10:00Z')"),
        ("ZONED TIME", "time('10:00Z')"),
        ("DURATION", "duration('P1D')"),
        ("POINT", "point({x: 1, y: 2})"),
        ("ENUM", "Color::Red"),
    ];
    s.run("CREATE ENUM Color VALUES {Red}").unwrap();
    for (i, (word, literal)) in types.iter().enumerate() {
        s.run(&format!("CREATE CONSTRAINT FOR (n:T{i}) REQUIRE n.p IS :: {word}")).unwrap();
        s.run(&format!("CREATE (:T{i} {{p: {literal}}})")).unwrap();
        let other = if *word == "STRING" { "1" } else { "'s'" };
        assert!(
            s.refused(&format!("CREATE (:T{i} {{p: {other}}})")).contains("data type constraint"),
            "{word}"
        );
    }
    let shown = schema::show_constraints(&s.graph.begin(false));
    assert_eq!(shown.rows.len(), types.len() + 1);
    let row = ["data_type", "P", "age", "INTEGER"].map(Value::string);
    assert_eq!(shown.rows[0], row);

    assert!(
        s.refused("CREATE CONSTRAINT ON (n:P) ASSERT n.age IS TYPED NUMBER").contains("no type of property")
    );
    s.run("DROP CONSTRAINT ON (n:P) ASSERT n.age IS TYPED INTEGER").unwrap();
    s.run("MATCH (p:P) SET p.age = 'free again'").unwrap();
}

/// Two types of one property would forbid every value of it.
#[test]
fn a_property_has_one_type() {
    let mut s = Session::new();
    s.run("CREATE CONSTRAINT ON (n:P) ASSERT n.age IS TYPED INTEGER").unwrap();
    let refused = s.refused("CREATE CONSTRAINT ON (n:P) ASSERT n.age IS TYPED STRING");
    assert!(refused.contains("must be INTEGER already"), "{refused}");
}

/// An index must neither hide what `=` finds nor find what `<` does not.
#[test]
fn an_index_compares_as_the_language_does() {
    let mut s = Session::new();
    s.run(
        "CREATE (:E {k: 'utc', t: datetime('2020-01-01T00:00:00Z'), d: duration('P2D'), o: time('10:00Z')}), \
         (:E {k: 'paris', t: datetime('2020-01-01T01:00:00+01:00'), d: duration('P1D'), o: time('11:00+01:00')}), \
         (:E {k: 'later', t: datetime('2020-01-01T02:00:00+01:00'), p: point({x: 1, y: 2}), m: {a: 1}})",
    )
    .unwrap();
    let conditions = [
        "e.t = datetime('2020-01-01T01:00:00+01:00')",
        "e.t IN [datetime('2020-01-01T00:00:00Z')]",
        "e.t >= datetime('2020-01-01T01:00:00+01:00')",
        "e.t > datetime('2020-01-01T00:00:00Z')",
        "e.t <= datetime('2020-01-01T00:00:00Z')",
        "e.t < datetime('2020-01-01T01:00:00+01:00')",
        "e.o = time('12:00+02:00')",
        "e.o >= time('12:00+02:00')",
        "e.d > duration('PT1S')",
        "e.d = duration('P1D')",
        "e.p > point({x: 0, y: 0})",
        "e.m >= {a: 0}",
    ];
    let ask = |s: &mut Session| {
        let query = |condition| format!("MATCH (e:E) WHERE {condition} RETURN e.k ORDER BY e.k");
        conditions.map(|condition| format!("{condition}: {:?}", s.run(&query(condition)).unwrap()))
    };
    let without = ask(&mut s);
    for key in ["t", "o", "d", "p", "m"] {
        s.run(&format!("CREATE INDEX ON :E({key})")).unwrap();
    }
    let plan = |s: &Session, text: &str| {
        let Statement::Query(query) = parse(text).unwrap() else { panic!("a query") };
        let tx = s.graph.begin(false);
        prepare(&query, &tx, &Params::default()).unwrap().explain(&tx).join("\n")
    };
    let text = "MATCH (e:E) WHERE e.t = datetime('2020-01-01T01:00:00+01:00') RETURN e.k";
    assert!(plan(&s, text).contains("ScanAllByLabelPropert"), "{}", plan(&s, text));
    assert_eq!(ask(&mut s), without);
}
