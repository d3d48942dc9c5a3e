//! A graph and what runs statements on it.

use crate::values::{canonical, canonical_bag};
use mgcypher::ast::Statement;
use mgcypher::{Execution, Limits, Params, analyze, parse, prepare, schema};
use mgnode_core::storage::{Graph, Transaction};
use mgnode_core::types::{Lsn, Names, Value};
use std::sync::Arc;

/// Statements are committed one by one, or stay in one transaction.
pub(crate) struct Database {
    pub(crate) name: &'static str,
    graph: Arc<Graph>,
    lsn: Lsn,
    open: Option<Transaction>,
    /// What was run on it, to be shown.
    pub(crate) log: Vec<String>,
}

impl Database {
    pub(crate) fn new(name: &'static str) -> Database {
        let graph = Arc::new(Graph::new(Arc::new(Names::default())));
        Database { name, graph, lsn: Lsn::ZERO, open: None, log: Vec::new() }
    }

    /// From here on nothing is committed.
    pub(crate) fn begin(&mut self) {
        self.log.push("BEGIN".to_owned());
        self.open = Some(self.graph.begin(true));
    }

    /// Commits what was begun.
    pub(crate) fn commit(&mut self) -> Result<(), String> {
        self.log.push("COMMIT".to_owned());
        let tx = self.open.take().expect("it was begun");
        self.end(tx)
    }

    fn end(&mut self, tx: Transaction) -> Result<(), String> {
        if let Some(commit) = tx.finish().map_err(|e| e.to_string())? {
            self.lsn = self.lsn.next();
            let changes = self.graph.decode(&commit.payload).map_err(|e| format!("{e:?}"))?;
            self.graph.apply(self.lsn, &changes).map_err(|e| format!("{e:?}"))?;
            self.graph.publish(self.lsn, self.graph.clock().take());
        }
        Ok(())
    }

    /// Looks at the graph as the next statement would see it.
    pub(crate) fn look<T>(&mut self, look: impl FnOnce(&mut Transaction) -> T) -> T {
        match &mut self.open {
            Some(tx) => look(tx),
            None => look(&mut self.graph.begin(false)),
        }
    }

    /// Runs a statement that changes something, and returns its rows.
    pub(crate) fn write(&mut self, text: &str) -> Result<Vec<Vec<Value>>, String> {
        self.log.push(text.to_owned());
        if text == "ANALYZE GRAPH" {
            let measured = self.look(|tx| analyze::analyze(&[], tx, &|| Ok(())).map(|_| ()));
            return measured.map(|()| Vec::new()).map_err(|e| e.to_string());
        }
        let is_open = self.open.is_some();
        let mut tx = self.open.take().unwrap_or_else(|| self.graph.begin(true));
        let rows = match parse(text).map_err(|e| e.to_string())? {
            Statement::Schema(statement) => {
                schema::execute(&statement, &mut tx).map_err(|e| e.to_string())?;
                Vec::new()
            }
            _ => run(text, &Params::default(), &mut tx)?,
        };
        if is_open {
            self.open = Some(tx);
        } else {
            self.end(tx)?;
        }
        Ok(rows)
    }

    /// Runs a query that changes nothing.
    pub(crate) fn read(&mut self, text: &str, params: &Params) -> Result<Vec<Vec<Value>>, String> {
        self.look(|tx| run(text, params, tx))
    }

    /// Returns the plan of a query, or why there is none.
    pub(crate) fn explain(&mut self, text: &str, params: &Params) -> String {
        let Ok(Statement::Query(query)) = parse(text) else { return "no query".to_owned() };
        self.look(|tx| match prepare(&query, tx, params) {
            Ok(prepared) => prepared.explain(tx).join("\n"),
            Err(e) => e.to_string(),
        })
    }
}

fn run(text: &str, params: &Params, tx: &mut Transaction) -> Result<Vec<Vec<Value>>, String> {
    let Statement::Query(query) = parse(text).map_err(|e| e.to_string())? else {
        return Err(format!("no query: {text}"));
    };
    let prepared = prepare(&query, tx, params).map_err(|e| e.to_string())?;
    let mut run = Execution::new(prepared, params.clone(), Limits::default()).map_err(|e| e.to_string())?;
    let mut rows = Vec::new();
    while let Some(row) = run.next(tx).map_err(|e| e.to_string())? {
        rows.push(row);
    }
    Ok(rows)
}

/// Rows as text, to be compared: sorted, unless their order counts. Of the columns that are bags, their items are sorted.
pub(crate) fn comparable(rows: &[Vec<Value>], bags: &[bool], is_ordered: bool) -> Vec<String> {
    let cell = |(i, v): (usize, &Value)| match bags.get(i) {
        Some(true) => canonical_bag(v),
        _ => canonical(v),
    };
    let row = |row: &Vec<Value>| row.iter().enumerate().map(cell).collect::<Vec<_>>().join(" | ");
    let mut rows: Vec<String> = rows.iter().map(row).collect();
    if !is_ordered {
        rows.sort();
    }
    rows
}

/// What is in one of two lists of rows and not in the other, or that their order differs.
pub(crate) fn difference(expected: &[String], found: &[String]) -> Option<String> {
    if expected == found {
        return None;
    }
    let lacks = |of: &[String], rows: &[String]| {
        let mut left = of.to_vec();
        let extra = rows.iter().filter(|row| match left.iter().position(|other| other == *row) {
            Some(i) => {
                left.swap_remove(i);
                false
            }
            None => true,
        });
        extra.take(8).cloned().collect::<Vec<_>>()
    };
    let (missing, extra) = (lacks(found, expected), lacks(expected, found));
    let counts = format!("{} rows expected, {} found", expected.len(), found.len());
    Some(if missing.is_empty() && extra.is_empty() {
        format!("{counts}, in another order:\n  expected {expected:?}\n  found    {found:?}")
    } else {
        format!("{counts}\n  missing: {missing:#?}\n  not expected: {extra:#?}")
    })
}
