//! Carries out the steps of a scenario.

use crate::feature::{Scenario, Step};
use crate::notation::{actual, expected, parameter};
use mgcypher::ast::Statement;
use mgcypher::semantics::{ArgumentKind, ProcedureShape, VariableKind};
use mgcypher::{CypherError, Execution, Limits, Params, Phase, Procedures, parse, prepare_with};
use mgnode_core::storage::{Graph, Transaction};
use mgnode_core::types::{Lsn, Names, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What a query gave.
struct Answer {
    columns: Vec<String>,
    /// Canonical spelling, lists in order and as bags.
    rows: Vec<Vec<(String, String)>>,
}

struct World {
    graph: Arc<Graph>,
    lsn: Lsn,
    params: BTreeMap<Arc<str>, Value>,
    procedures: Arc<Table>,
    before: Contents,
    answer: Option<Result<Answer, CypherError>>,
}

/// Everything in a graph, to tell what changed.
#[derive(Default)]
struct Contents {
    vertices: BTreeSet<u64>,
    edges: BTreeSet<u64>,
    labels: BTreeSet<String>,
    properties: BTreeSet<(char, u64, String, String)>,
}

/// Procedures that a scenario makes up.
#[derive(Clone, Default)]
struct Table(BTreeMap<String, Made>);

#[derive(Clone)]
struct Made {
    shape: ProcedureShape,
    rows: Vec<Vec<Value>>,
}

impl Procedures for Table {
    fn shape(&self, name: &str) -> Option<ProcedureShape> {
        self.0.get(name).map(|p| p.shape.clone())
    }

    fn call(
        &self,
        name: &str,
        args: &[Value],
        _: &Transaction,
        _: &mut dyn FnMut() -> Result<(), CypherError>,
    ) -> Result<Vec<Vec<Value>>, CypherError> {
        let made = &self.0[name];
        let given = made.shape.args.len();
        let same =
            |a: &Value, b: &Value| a.is_null() && b.is_null() || mgcypher::value::equal(a, b) == Some(true);
        Ok(made
            .rows
            .iter()
            .filter(|row| row[..given].iter().zip(args).all(|(a, b)| same(a, b)))
            .map(|row| row[given..].to_vec())
            .collect())
    }
}

/// Runs a scenario from its first step to its last.
pub(crate) fn run(dir: &Path, scenario: &Scenario) -> Result<(), String> {
    let mut world = World {
        graph: Arc::new(Graph::new(Arc::new(Names::default()))),
        lsn: Lsn::ZERO,
        params: BTreeMap::new(),
        procedures: Arc::default(),
        before: Contents::default(),
        answer: None,
    };
    for step in &scenario.steps {
        world.step(dir, step).map_err(|e| format!("{}\n{}\n  {e}", step.text, query_of(scenario)))?;
    }
    Ok(())
}

fn query_of(scenario: &Scenario) -> &str {
    scenario.steps.iter().find(|s| s.text.starts_with("executing query")).map_or("", |s| &s.doc)
}

impl World {
    fn step(&mut self, dir: &Path, step: &Step) -> Result<(), String> {
        let text = step.text.as_str();
        if text == "an empty graph" || text == "any graph" {
            return Ok(());
        }
        if let Some(name) = text.strip_prefix("the ").and_then(|t| t.strip_suffix(" graph")) {
            let file = dir.join("graphs").join(name).join(format!("{name}.cypher"));
            let script = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            return self.execute(script.trim().trim_end_matches(';')).map(drop).map_err(|e| e.to_string());
        }
        if text == "having executed:" {
            return self.execute(&step.doc).map(drop).map_err(|e| e.to_string());
        }
        if text == "parameters are:" {
            for row in &step.table {
                self.params.insert(row[0].as_str().into(), parameter(&row[1])?);
            }
            return Ok(());
        }
        if let Some(signature) = text.strip_prefix("there exists a procedure ") {
            return self.procedure(signature, &step.table);
        }
        if text == "executing query:" || text == "executing control query:" {
            self.before = self.contents();
            self.answer = Some(self.execute(&step.doc));
            return Ok(());
        }
        if text == "the result should be empty" {
            return match self.answer()?.rows.len() {
                0 => Ok(()),
                n => Err(format!("{n} rows")),
            };
        }
        if let Some(how) = text.strip_prefix("the result should be") {
            let loose = how.contains("ignoring element order for lists");
            let ordered = how.contains("in order");
            return self.check_rows(&step.table, ordered, loose);
        }
        if text == "no side effects" {
            return self.check_effects(&[]);
        }
        if text == "the side effects should be:" {
            return self.check_effects(&step.table);
        }
        if let Some((kind, rest)) = text
            .strip_prefix("a ")
            .or_else(|| text.strip_prefix("an "))
            .and_then(|t| t.split_once(" should be raised at "))
        {
            let (phase, detail) = rest.split_once(": ").ok_or("an error has a detail")?;
            return self.check_error(kind, phase, detail);
        }
        Err("an unknown step".to_owned())
    }

    fn execute(&mut self, text: &str) -> Result<Answer, CypherError> {
        let Statement::Query(query) = parse(text)? else {
            return Err(CypherError::limit("a query was expected"));
        };
        let mut tx = self.graph.begin(true);
        let params: Params = Arc::new(self.params.clone());
        let procedures: Arc<dyn Procedures> = self.procedures.clone();
        let prepared = prepare_with(&query, &tx, &params, &*procedures)?;
        let limits = Limits {
            now: Duration::from_secs(1_700_000_000),
            seed: 7,
            procedures,
            memory_bytes_max: 256 << 20,
            ..Limits::default()
        };
        let columns = prepared.columns.iter().map(|c| c.to_string()).collect();
        let mut run = Execution::new(prepared, params, limits)?;
        let mut values = Vec::new();
        while let Some(row) = run.next(&mut tx)? {
            values.push(row);
        }
        let rows = values
            .iter()
            .map(|row| row.iter().map(|v| (actual(v, &tx, false), actual(v, &tx, true))).collect())
            .collect();
        if let Some(commit) = tx.finish().map_err(|e| CypherError::limit(e.to_string()))? {
            self.lsn = self.lsn.next();
            let changes = self.graph.decode(&commit.payload).expect("what was encoded decodes");
            self.graph.apply(self.lsn, &changes).expect("a commit applies");
            self.graph.publish(self.lsn, self.graph.clock().take());
        }
        Ok(Answer { columns, rows })
    }

    fn answer(&self) -> Result<&Answer, String> {
        match &self.answer {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("no query was run".to_owned()),
        }
    }

    fn check_rows(&self, table: &[Vec<String>], ordered: bool, loose: bool) -> Result<(), String> {
        let answer = self.answer()?;
        let Some((header, rows)) = table.split_first() else { return Err("no table".to_owned()) };
        // Columns are compared by name; their order is the query's.
        let mut order = Vec::new();
        for name in header {
            let at = answer.columns.iter().position(|c| c == name);
            order.push(at.ok_or_else(|| format!("columns {:?}, not {header:?}", answer.columns))?);
        }
        if answer.columns.len() != header.len() {
            return Err(format!("columns {:?}, not {header:?}", answer.columns));
        }
        let mut got: Vec<Vec<&String>> = answer
            .rows
            .iter()
            .map(|row| order.iter().map(|i| if loose { &row[*i].1 } else { &row[*i].0 }).collect())
            .collect();
        let mut want: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(|cell| expected(cell, loose)).collect::<Result<_, _>>())
            .collect::<Result<_, _>>()?;
        if !ordered {
            got.sort();
            want.sort();
        }
        let same =
            got.len() == want.len() && got.iter().zip(&want).all(|(g, w)| g.iter().copied().eq(w.iter()));
        if same { Ok(()) } else { Err(format!("got  {got:?}\n  want {want:?}")) }
    }

    fn check_error(&self, kind: &str, phase: &str, detail: &str) -> Result<(), String> {
        let error = match &self.answer {
            Some(Err(error)) => error,
            Some(Ok(answer)) => return Err(format!("no error, {} rows", answer.rows.len())),
            None => return Err("no query was run".to_owned()),
        };
        let at = match error.phase {
            Phase::CompileTime => "compile time",
            Phase::RunTime => "runtime",
        };
        let fits = error.kind.word() == kind
            && (phase == "any time" || phase == at)
            && (detail == "*" || detail == error.detail);
        if fits { Ok(()) } else { Err(format!("raised at {at}: {error}")) }
    }

    fn check_effects(&self, table: &[Vec<String>]) -> Result<(), String> {
        if let Some(Err(error)) = &self.answer {
            return Err(error.to_string());
        }
        let after = self.contents();
        let before = &self.before;
        let mut got = BTreeMap::new();
        let mut note = |name: &str, n: usize| {
            if n > 0 {
                got.insert(name.to_owned(), n);
            }
        };
        note("+nodes", after.vertices.difference(&before.vertices).count());
        note("-nodes", before.vertices.difference(&after.vertices).count());
        note("+relationships", after.edges.difference(&before.edges).count());
        note("-relationships", before.edges.difference(&after.edges).count());
        note("+labels", after.labels.difference(&before.labels).count());
        note("-labels", before.labels.difference(&after.labels).count());
        note("+properties", after.properties.difference(&before.properties).count());
        note("-properties", before.properties.difference(&after.properties).count());
        let mut want = BTreeMap::new();
        for row in table {
            let n: usize = row[1].parse().map_err(|_| "a number of effects".to_owned())?;
            if n > 0 {
                want.insert(row[0].clone(), n);
            }
        }
        if got == want { Ok(()) } else { Err(format!("effects {got:?}, not {want:?}")) }
    }

    fn contents(&self) -> Contents {
        let tx = self.graph.begin(false);
        let names = tx.names().clone();
        let mut out = Contents::default();
        let mut vertices = Vec::new();
        tx.scan_vertices(None, usize::MAX, &mut vertices);
        for v in vertices {
            out.vertices.insert(v.0);
            out.labels.extend(tx.labels(v).into_iter().map(|l| names.label_name(l).to_string()));
            for (k, value) in tx.vertex_properties(v) {
                out.properties.insert(('v', v.0, names.key_name(k).to_string(), format!("{value:?}")));
            }
        }
        let mut edges = Vec::new();
        tx.scan_edges(None, usize::MAX, &mut edges);
        for e in edges {
            out.edges.insert(e.0);
            for (k, value) in tx.edge_properties(e) {
                out.properties.insert(('e', e.0, names.key_name(k).to_string(), format!("{value:?}")));
            }
        }
        out
    }

    /// `name(arg :: TYPE?, ...) :: (field :: TYPE?, ...):`
    fn procedure(&mut self, signature: &str, table: &[Vec<String>]) -> Result<(), String> {
        let (name, rest) = signature.split_once('(').ok_or("a procedure has arguments")?;
        let (args, fields) = rest.split_once(") :: ").ok_or("a procedure has fields")?;
        let fields = fields.trim().trim_end_matches(':').trim().trim_start_matches('(').trim_end_matches(')');
        let parts = |text: &str| -> Vec<(Arc<str>, String)> {
            text.split(',')
                .filter_map(|p| p.split_once("::"))
                .map(|(n, t)| (Arc::from(n.trim()), t.trim().trim_end_matches('?').to_owned()))
                .collect()
        };
        let args = parts(args);
        let shape = ProcedureShape {
            args_needed: args.len(),
            args: args
                .into_iter()
                .map(|(n, t)| {
                    let kind = match t.as_str() {
                        "BOOLEAN" => ArgumentKind::Boolean,
                        "INTEGER" => ArgumentKind::Integer,
                        "FLOAT" => ArgumentKind::Float,
                        "NUMBER" => ArgumentKind::Number,
                        "STRING" => ArgumentKind::String,
                        "LIST" => ArgumentKind::List,
                        "MAP" => ArgumentKind::Map,
                        _ => ArgumentKind::Any,
                    };
                    (n, kind)
                })
                .collect(),
            fields: parts(fields).into_iter().map(|(n, _)| (n, VariableKind::Scalar)).collect(),
            writes: false,
        };
        let rows = table
            .iter()
            .skip(1)
            .map(|row| row.iter().map(|c| parameter(c)).collect::<Result<Vec<_>, _>>())
            .collect::<Result<_, _>>()?;
        Arc::make_mut(&mut self.procedures).0.insert(name.to_owned(), Made { shape, rows });
        Ok(())
    }
}
