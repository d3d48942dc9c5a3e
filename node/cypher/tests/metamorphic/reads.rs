//! Queries that change nothing.

use crate::database::{Database, comparable, difference};
use crate::dice::Dice;
use crate::met::Met;
use crate::model::{Model, any_graph, any_indexes};
use crate::query::Query;
use crate::random::{any_condition, any_query, scope_of};
use crate::reference::Reference;
use crate::rewrite::{partitions, rewritten};
use mgcypher::Params;

/// Queries of one graph, and of a large one.
const QUERIES: usize = 12;
const QUERIES_OF_LARGE: usize = 4;

/// What the reference does for one query at most, and how many rows are compared; others are passed over.
const STEPS_MAX: usize = 30_000;
const ROWS_MAX: usize = 2_000;

/// Checks one seed.
pub(crate) fn check(seed: u64, met: &mut Met) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let is_large = dice.chance(10);
    let mut databases = databases(&mut dice, is_large)?;
    let model = databases[0].look(|tx| Model::read(tx));
    for other in &mut databases[1..] {
        let content = other.look(|tx| Model::read(tx)).content();
        if let Some(why) = difference(&model.content(), &content) {
            return Err(format!(
                "the graph of `{}` is another one: {why}\n{}",
                other.name,
                other.log.join(";\n")
            ));
        }
    }
    let reference = Reference::new(&model);
    for _ in 0..if is_large { QUERIES_OF_LARGE } else { QUERIES } {
        let query = any_query(&mut dice, is_large);
        check_query(&mut dice, &query, &mut databases, &reference, met)?;
    }
    Ok(())
}

/// Makes one graph several times: without indexes, with them, and with a part of it not committed.
fn databases(dice: &mut Dice, is_large: bool) -> Result<Vec<Database>, String> {
    let graph = any_graph(dice, is_large);
    let mut indexes = any_indexes(dice);
    let mut plain = Database::new("plain");
    let mut indexed = Database::new("indexed");
    let mut open = Database::new("open");
    let [first, last] = [(), ()].map(|()| dice.below(graph.len() + 1));
    let rest = indexes.split_off(dice.below(indexes.len() + 1));
    let run = |db: &mut Database, text: &str| db.write(text).map(|_| ()).map_err(|e| format!("{text}: {e}"));
    indexes.iter().try_for_each(|text| run(&mut open, text))?;
    rest.iter().try_for_each(|text| run(&mut open, text))?;
    for (i, text) in graph.iter().enumerate() {
        if i == first {
            indexes.iter().try_for_each(|text| run(&mut indexed, text))?;
        }
        if i == last {
            open.begin();
        }
        for db in [&mut plain, &mut indexed, &mut open] {
            run(db, text)?;
        }
    }
    rest.iter().try_for_each(|text| run(&mut indexed, text))?;
    if first == graph.len() {
        indexes.iter().try_for_each(|text| run(&mut indexed, text))?;
    }
    if dice.chance(60) {
        run(&mut indexed, "ANALYZE GRAPH")?;
        run(&mut open, "ANALYZE GRAPH")?;
    }
    Ok(vec![plain, indexed, open])
}

fn check_query(
    dice: &mut Dice,
    query: &Query,
    databases: &mut [Database],
    reference: &Reference<'_>,
    met: &mut Met,
) -> Result<(), String> {
    let (text, params) = query.text();
    met.add(&databases[1].explain(&text, &params));
    let Some(expected) = reference.rows(query, STEPS_MAX).ok().filter(|rows| rows.len() <= ROWS_MAX) else {
        return Ok(());
    };
    if query.is_open(&expected) {
        return Ok(());
    }
    let expected = comparable(&expected, &query.bags(), !query.order.is_empty());
    met.count(expected.len());
    for db in databases.iter_mut() {
        compare(&expected, query, db, &text)?;
    }
    for _ in 0..2 {
        let other = rewritten(dice, query);
        let at = dice.below(databases.len());
        compare(&expected, &other, &mut databases[at], &text)?;
        let (text, params) = other.text();
        met.add(&databases[at].explain(&text, &params));
    }

    let mut all = query.clone();
    all.items.retain(|item| !item.is_aggregate());
    if all.items.is_empty() {
        return Ok(());
    }
    (all.distinct, all.skip, all.limit) = (false, None, None);
    all.order.clear();
    if reference.rows(&all, STEPS_MAX).ok().is_none_or(|rows| rows.len() > ROWS_MAX) {
        return Ok(());
    }
    let scope = scope_of(&query.clauses);
    let condition = any_condition(dice, query, &scope);
    let at = dice.below(databases.len());
    let mut found = Vec::new();
    let parts = partitions(dice, &all, &condition);
    if dice.chance(30) {
        found = united(&parts, &mut databases[at])?;
    } else {
        for part in &parts {
            found.extend(rows(part, &mut databases[at])?);
        }
        found.sort();
    }
    let expected = rows(&all, &mut databases[0])?;
    if let Some(why) = difference(&expected, &found) {
        let parts: Vec<String> = parts.iter().map(|p| shown(p, &mut databases[at])).collect();
        return Err(format!(
            "{}\nis not the sum of\n{}\n{why}\n{}",
            all.text().0,
            parts.join("\n"),
            databases[at].log.join(";\n")
        ));
    }
    Ok(())
}

/// Returns the rows of queries as those of one.
fn united(parts: &[Query], db: &mut Database) -> Result<Vec<String>, String> {
    let text_of = |p: &Query| Query { with_params: false, ..p.clone() }.text().0;
    let texts: Vec<String> = parts.iter().map(text_of).collect();
    let text = texts.join(" UNION ALL ");
    match db.read(&text, &Params::default()) {
        Ok(rows) => Ok(comparable(&rows, &parts[0].bags(), false)),
        Err(e) => Err(format!("{text}\nfails: {e}\n{}", db.log.join(";\n"))),
    }
}

fn rows(query: &Query, db: &mut Database) -> Result<Vec<String>, String> {
    let (text, params) = query.text();
    match db.read(&text, &params) {
        Ok(rows) => Ok(comparable(&rows, &query.bags(), !query.order.is_empty())),
        Err(e) => Err(format!("{}\nfails: {e}\n{}", shown(query, db), db.log.join(";\n"))),
    }
}

fn compare(expected: &[String], query: &Query, db: &mut Database, original: &str) -> Result<(), String> {
    let found = rows(query, db)?;
    match difference(expected, &found) {
        None => Ok(()),
        Some(why) => {
            let query = shown(query, db);
            Err(format!("`{}`: {query}\nwritten first as {original}\n{why}\n{}", db.name, db.log.join(";\n")))
        }
    }
}

fn shown(query: &Query, db: &mut Database) -> String {
    let (text, params) = query.text();
    format!("{text}\nwith {params:?}\n{}", db.explain(&text, &params))
}
