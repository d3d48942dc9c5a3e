//! Statements that change the graph.
//!
//! They are run on four databases, one with and one without indexes, committed one by one and in one transaction.
//! What a statement does must not depend on the order of its rows, which an index may change.
//!
//! A clause must see what all rows of the clauses before it wrote, and nothing of its own. So one database runs each
//! statement with its rows gathered between the two, where that is marked: `~a,b~` stands for nothing on the others.

use crate::database::{Database, comparable, difference};
use crate::dice::Dice;
use crate::met::Met;
use crate::model::{LABELS, Model, any_graph, any_indexes, value_of};
use crate::random::any_query;
use crate::reference::Reference;
use crate::values::literal;
use mgcypher::Params;

/// Statements of one graph.
const STATEMENTS: usize = 14;

/// The database whose statements gather their rows.
const GATHERED: usize = 2;

/// Checks one seed.
pub(crate) fn check(seed: u64, met: &mut Met) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let graph = any_graph(&mut dice, false);
    let mut indexes = any_indexes(&mut dice);
    // Some statements make what has no key.
    indexes.retain(|text| !text.contains("EXISTS"));
    let mut databases = [
        Database::new("plain"),
        Database::new("indexed"),
        Database::new("plain, in one transaction"),
        Database::new("indexed, in one transaction"),
    ];
    let open_at = dice.below(graph.len() + 1);
    for db in &mut databases {
        let texts = if db.name.starts_with("indexed") { indexes.as_slice() } else { &[] };
        for text in texts {
            db.write(text).map_err(|e| format!("{text}: {e}"))?;
        }
        for (i, text) in graph.iter().enumerate() {
            if i == open_at && db.name.ends_with("transaction") {
                db.begin();
            }
            db.write(text).map_err(|e| format!("{text}: {e}"))?;
        }
        if open_at == graph.len() && db.name.ends_with("transaction") {
            db.begin();
        }
    }
    let mut keys = 100;
    for _ in 0..STATEMENTS {
        if dice.chance(5) {
            databases[1].write("ANALYZE GRAPH")?;
        }
        let text = any_write(&mut dice, &mut keys);
        met.add(&databases[1].explain(&without_marks(&text, false), &Params::default()));
        write(&text, &mut databases)?;
        if dice.chance(30) {
            reads(&mut dice, &mut databases)?;
        }
    }
    for db in &mut databases[2..] {
        db.commit().map_err(|e| format!("`{}`: {e}\n{}", db.name, db.log.join(";\n")))?;
    }
    same_graph(&mut databases)?;
    reads(&mut dice, &mut databases)
}

/// Writes out the places where rows are gathered.
fn without_marks(text: &str, is_gathered: bool) -> String {
    let gathered = |(i, part): (usize, &str)| {
        if i % 2 == 0 {
            return part.to_owned();
        }
        if !is_gathered {
            return String::new();
        }
        let vars: Vec<String> =
            part.split(',').enumerate().map(|(i, v)| format!("row[{i}] AS {v}")).collect();
        format!("WITH collect([{part}]) AS rows UNWIND rows AS row WITH {}", vars.join(", "))
    };
    text.split('~').enumerate().map(gathered).collect()
}

fn write(text: &str, databases: &mut [Database]) -> Result<(), String> {
    let mut expected: Option<Vec<String>> = None;
    for (i, db) in databases.iter_mut().enumerate() {
        let rows = db
            .write(&without_marks(text, i == GATHERED))
            .map_err(|e| format!("`{}`: {e}\n{}", db.name, db.log.join(";\n")))?;
        let rows = comparable(&rows, &[], false);
        let expected = expected.get_or_insert_with(|| rows.clone());
        if let Some(why) = difference(expected, &rows) {
            return Err(format!("`{}` returns something else: {why}\n{}", db.name, db.log.join(";\n")));
        }
    }
    same_graph(databases)
}

fn same_graph(databases: &mut [Database]) -> Result<(), String> {
    let expected = databases[0].look(|tx| Model::read(tx)).content();
    for db in &mut databases[1..] {
        let found = db.look(|tx| Model::read(tx)).content();
        if let Some(why) = difference(&expected, &found) {
            return Err(format!("`{}` has another graph: {why}\n{}", db.name, db.log.join(";\n")));
        }
    }
    Ok(())
}

/// Runs a query on each, which sees what was written so far.
fn reads(dice: &mut Dice, databases: &mut [Database]) -> Result<(), String> {
    for _ in 0..3 {
        let query = any_query(dice, false);
        let (text, params) = query.text();
        for db in databases.iter_mut() {
            // Each has its own ids.
            let model = db.look(|tx| Model::read(tx));
            let Ok(rows) = Reference::new(&model).rows(&query, 10_000) else { continue };
            if query.is_open(&rows) {
                continue;
            }
            let is_ordered = !query.order.is_empty();
            let shown = |db: &mut Database, why: &str| {
                let plan = db.explain(&text, &params);
                Err(format!("`{}`: {text}\nwith {params:?}\n{plan}\n{why}\n{}", db.name, db.log.join(";\n")))
            };
            let found = match db.read(&text, &params) {
                Ok(found) => comparable(&found, &query.bags(), is_ordered),
                Err(e) => return shown(db, &e),
            };
            if let Some(why) = difference(&comparable(&rows, &query.bags(), is_ordered), &found) {
                return shown(db, &why);
            }
        }
    }
    Ok(())
}

/// Throws a statement. `keys` are those not yet given out.
fn any_write(dice: &mut Dice, keys: &mut i64) -> String {
    let mut key = || {
        *keys += 1;
        *keys
    };
    let (label, other) = (dice.pick(LABELS), dice.pick(LABELS));
    let edge_type = dice.pick(&["R", "R", "S", "T"]);
    let property = dice.pick(&["x", "y", "s", "w"]);
    let value = literal(&value_of(dice, property));
    let known = dice.below(14);
    let [weight, second] = [(), ()].map(|()| literal(&value_of(dice, "w")));
    let condition = condition(dice, "a");
    let p = dice.pick(&["p", "w"]);
    let of_edge = literal(&value_of(dice, p));
    match dice.below(32) {
        0 => format!("CREATE (:{label} {{k: {}, {property}: {value}}})", key()),
        1 => format!(
            "CREATE (:{label}:B {{k: {}, x: {weight}}})-[:{edge_type} {{k: {}, {p}: {of_edge}}}]->(:{other} {{k: {}}})",
            key(),
            key(),
            key()
        ),
        2 => format!(
            "MATCH (a:{label}), (b:{other} {{k: {known}}}) WHERE {condition} ~a,b~ CREATE (a)-[:{edge_type} {{{p}: {of_edge}}}]->(b)"
        ),
        3 => format!(
            "MATCH (a:{label}) WHERE {condition} ~a~ CREATE (a)<-[:{edge_type} {{w: a.w}}]-(c:{other} {{y: a.y}}) RETURN c.y"
        ),
        4 => format!("MATCH (a:{label}) WHERE {condition} ~a~ SET a.{property} = {value}"),
        5 => format!("MATCH (a:{label}) WHERE {condition} ~a~ SET a.y = a.k, a:{other}"),
        6 => format!("MATCH (a:{label}) WHERE {condition} ~a~ REMOVE a:{label} SET a.x = {value}"),
        7 => format!("MATCH (a:{label}) WHERE {condition} ~a~ SET a += {{{property}: {value}, y: null}}"),
        8 => format!("MATCH (a) WHERE {condition} ~a~ SET a = {{k: a.k, {property}: {value}}}"),
        9 => format!("MATCH (a:{label}) WHERE {condition} ~a~ REMOVE a.{property}"),
        10 => format!("MATCH (a)-[r:{edge_type}]->(b) WHERE {condition} ~a,r~ SET r.{p} = {of_edge}"),
        11 => format!("MATCH ()-[r:{edge_type}]-() WHERE r.w > {weight} REMOVE r.{p}"),
        12 => format!("MATCH (a)-[r:{edge_type}]->(:{label}) WHERE r.{p} = {of_edge} DELETE r"),
        13 => format!("MATCH (a:{label} {{k: {known}}}) DETACH DELETE a"),
        14 => format!("MATCH (a:{label}) WHERE {condition} AND NOT (a)--() DELETE a"),
        15 => format!(
            "MERGE (a:{label} {{{property}: {value}}}) ON CREATE SET a.k = {} ON MATCH SET a.w = {weight} RETURN a.k, a.w",
            key()
        ),
        16 => format!(
            "MATCH (a {{k: {known}}}), (b:{label}) ~a,b~ MERGE (a)-[r:{edge_type}]->(b) ON MATCH SET r.w = {weight}"
        ),
        17 => format!(
            "MATCH (a:{label}), (b:{other} {{k: {known}}}) ~a,b~ MERGE (a)-[r:{edge_type} {{w: {weight}}}]-(b) RETURN a.k, r.w"
        ),
        18 => format!("UNWIND [1, 2, 1, 'a', 3] AS v MERGE (a:{label} {{x: v}}) SET a.y = v"),
        19 => format!(
            "MATCH (a:{label}) WHERE a.y IS NOT NULL WITH a.y AS y ~y~ MERGE (b:{other} {{y: y}}) RETURN count(b)"
        ),
        20 => format!(
            "MATCH (a:{label}) WHERE {condition} ~a~ SET a.x = {weight} WITH count(*) AS n MATCH (b:{label} {{x: {weight}}}) RETURN n, count(b)"
        ),
        21 => format!(
            "UNWIND [1, 2, 2] AS i CREATE (:{label} {{x: i}}) ~i~ WITH i MATCH (b:{label} {{x: i}}) RETURN i, count(b)"
        ),
        22 => format!(
            "MATCH (a:{label}) WHERE {condition} ~a~ FOREACH (i IN [1, 2] | CREATE (a)-[:{edge_type} {{w: i}}]->(:{other} {{y: i}}))"
        ),
        23 => format!(
            "MATCH (a:{label} {{k: {known}}}) DETACH DELETE a WITH count(*) AS n OPTIONAL MATCH (b:{label})-[r:{edge_type}]->() RETURN n, count(r), count(DISTINCT b)"
        ),
        24 => format!(
            "MATCH (a:{label})-[r:{edge_type}]->(b) WHERE r.w >= {weight} ~r,b~ SET r.w = {second}, b.y = {second} RETURN count(r)"
        ),
        25 => format!(
            "MERGE (a:{label} {{y: 1}})-[r:{edge_type} {{w: {weight}}}]->(b:{other} {{y: 2}}) RETURN r.w"
        ),
        26 => format!("MATCH (a:{label}) WHERE {condition} ~a~ CREATE (:{label} {{x: a.x, w: a.w}})"),
        27 => format!(
            "MATCH (a)-[r:{edge_type}]->(b:{label}) WHERE {condition} ~a,b~ CREATE (b)-[:{edge_type} {{w: 1}}]->(a)"
        ),
        28 => format!(
            "MATCH (a:{label}) WHERE {condition} SET a.x = 1 ~a~ WITH a MATCH (c:{label}) WHERE c.x = 1 RETURN a.k, count(c)"
        ),
        29 => format!(
            "MATCH (a:{label})-[r]->(b) SET b.y = 2 ~a,r~ WITH a, r MATCH (a)-[q]->(c {{y: 2}}) WHERE q <> r RETURN a.k, r.k, q.k"
        ),
        30 => format!(
            "UNWIND [1, 2] AS i MATCH (a:{label}) WHERE {condition} CREATE (a)-[:{edge_type} {{w: i}}]->(:{other}) ~a,i~ WITH a, i RETURN a.k, i, COUNT {{ (a)-->() }}"
        ),
        _ => format!(
            "MATCH (a:{label}) WHERE {condition} ~a~ SET a:{other} REMOVE a:{label} ~a~ WITH DISTINCT a MATCH (c:{other}) WHERE c.{property} = a.{property} RETURN a.k, c.k"
        ),
    }
}

/// Throws a condition over a vertex.
fn condition(dice: &mut Dice, var: &str) -> String {
    let key = dice.pick(&["x", "y", "s", "w", "k"]);
    let mut value = || literal(&value_of(dice, key));
    let (first, second) = (value(), value());
    match dice.below(6) {
        0 | 1 => format!("{var}.{key} = {first}"),
        2 => format!("{var}.{key} > {first}"),
        3 => format!("{var}.{key} <= {first} AND {var}.y = {second}"),
        4 => format!("{var}.{key} IN [{first}, {second}]"),
        _ => format!("{var}.s STARTS WITH {}", literal(&value_of(dice, "s"))),
    }
}
