//! Procedures: what `CALL name(...)` can call.

use crate::error::{CypherError, ErrorKind};
use crate::semantics::{ProcedureShape, VariableKind};
use mgnode_core::storage::Transaction;
use mgnode_core::types::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A set of procedures.
pub trait Procedures: Send + Sync {
    /// Returns what a procedure takes and yields; None where there is no such procedure.
    fn shape(&self, name: &str) -> Option<ProcedureShape>;

    /// Returns its rows, each with all its fields in order.
    fn call(&self, name: &str, args: &[Value], tx: &Transaction) -> Result<Vec<Vec<Value>>, CypherError>;
}

/// The procedures of every node: what drivers and tools ask when they connect.
pub struct Builtin;

/// Names and fields of the built-in procedures.
const BUILTIN: &[(&str, &[&str])] = &[
    ("db.labels", &["label"]),
    ("db.propertykeys", &["propertyKey"]),
    ("db.relationshiptypes", &["relationshipType"]),
    ("dbms.components", &["name", "versions", "edition"]),
    ("mg.functions", &["name", "path", "is_editable"]),
    ("mg.procedures", &["name", "path", "is_editable", "is_write", "signature"]),
];

impl Procedures for Builtin {
    fn shape(&self, name: &str) -> Option<ProcedureShape> {
        let (_, fields) = BUILTIN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(ProcedureShape {
            fields: fields.iter().map(|f| (Arc::from(*f), VariableKind::Scalar)).collect(),
            ..ProcedureShape::default()
        })
    }

    fn call(&self, name: &str, _: &[Value], tx: &Transaction) -> Result<Vec<Vec<Value>>, CypherError> {
        let names = tx.names();
        let column = |texts: BTreeSet<Arc<str>>| texts.into_iter().map(|t| vec![Value::String(t)]).collect();
        Ok(match name.to_ascii_lowercase().as_str() {
            "db.labels" => {
                let mut found = BTreeSet::new();
                each_vertex(tx, |v| found.extend(tx.labels(v)));
                column(found.into_iter().map(|l| names.label_name(l)).collect())
            }
            "db.propertykeys" => {
                let mut found = BTreeSet::new();
                each_vertex(tx, |v| found.extend(tx.vertex_properties(v).into_iter().map(|(k, _)| k)));
                each_edge(tx, |e| found.extend(tx.edge_properties(e).into_iter().map(|(k, _)| k)));
                column(found.into_iter().map(|k| names.key_name(k)).collect())
            }
            "db.relationshiptypes" => {
                let mut found = BTreeSet::new();
                each_edge(tx, |e| found.extend(tx.edge(e).map(|info| info.edge_type)));
                column(found.into_iter().map(|t| names.edge_type_name(t)).collect())
            }
            "dbms.components" => vec![vec![
                Value::string("mgnode"),
                Value::list(vec![Value::string(env!("CARGO_PKG_VERSION"))]),
                Value::string("community"),
            ]],
            "mg.functions" => crate::functions::names()
                .map(|n| vec![Value::string(n), Value::string("builtin"), Value::Bool(false)])
                .collect(),
            "mg.procedures" => BUILTIN
                .iter()
                .map(|(n, fields)| {
                    let signature = format!("{n}() :: ({})", fields.join(", "));
                    vec![
                        Value::string(*n),
                        Value::string("builtin"),
                        Value::Bool(false),
                        Value::Bool(false),
                        Value::string(signature),
                    ]
                })
                .collect(),
            _ => {
                return Err(CypherError::runtime(
                    ErrorKind::ProcedureError,
                    "ProcedureNotFound",
                    format!("There is no procedure named '{name}'."),
                ));
            }
        })
    }
}

const BATCH: usize = 1024;

fn each_vertex(tx: &Transaction, mut f: impl FnMut(mgnode_core::types::VertexId)) {
    let (mut batch, mut last) = (Vec::new(), None);
    loop {
        batch.clear();
        tx.scan_vertices(last, BATCH, &mut batch);
        batch.iter().for_each(|v| f(*v));
        last = batch.last().copied().or(last);
        if batch.len() < BATCH {
            return;
        }
    }
}

fn each_edge(tx: &Transaction, mut f: impl FnMut(mgnode_core::types::EdgeId)) {
    let (mut batch, mut last) = (Vec::new(), None);
    loop {
        batch.clear();
        tx.scan_edges(last, BATCH, &mut batch);
        batch.iter().for_each(|e| f(*e));
        last = batch.last().copied().or(last);
        if batch.len() < BATCH {
            return;
        }
    }
}
