//! Procedures: what `CALL name(...)` can call.

mod types;

use crate::error::{CypherError, ErrorKind};
use crate::semantics::{ProcedureShape, VariableKind};
use mgnode_core::storage::Transaction;
use mgnode_core::types::{EdgeId, Value, VertexId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A set of procedures.
pub trait Procedures: Send + Sync {
    /// Returns what a procedure takes and yields; None where there is no such procedure.
    fn shape(&self, name: &str) -> Option<ProcedureShape>;

    /// Returns its rows, each with all its fields in order. What may take long asks `go_on` now and then, and ends with its
    /// error.
    fn call(
        &self,
        name: &str,
        args: &[Value],
        tx: &Transaction,
        go_on: &mut dyn FnMut() -> Result<(), CypherError>,
    ) -> Result<Vec<Vec<Value>>, CypherError>;
}

/// The procedures of every node: what drivers and tools ask when they connect.
pub struct Builtin;

/// Names and fields of the built-in procedures: Memgraph's, and those of Neo4j's that its tools call.
const BUILTIN: &[(&str, &[&str])] = &[
    ("db.labels", &["label"]),
    ("db.propertyKeys", &["propertyKey"]),
    ("db.relationshipTypes", &["relationshipType"]),
    ("db.schema.nodeTypeProperties", types::OF_VERTICES),
    ("db.schema.relTypeProperties", types::OF_EDGES),
    ("dbms.clientConfig", &["name", "description", "value", "dynamic"]),
    ("dbms.components", &["name", "versions", "edition"]),
    ("dbms.functions", &["name", "signature", "description"]),
    ("dbms.procedures", &["name", "signature", "description", "mode"]),
    ("dbms.showCurrentUser", &["username", "roles", "flags"]),
    ("mg.functions", &["name", "path", "is_editable"]),
    ("mg.procedures", &["name", "path", "is_editable", "is_write", "signature"]),
    ("schema.node_type_properties", types::OF_VERTICES),
    ("schema.rel_type_properties", types::OF_EDGES),
];

fn signature(name: &str, fields: &[&str]) -> Value {
    Value::string(format!("{name}() :: ({})", fields.join(", ")))
}

impl Procedures for Builtin {
    fn shape(&self, name: &str) -> Option<ProcedureShape> {
        let (_, fields) = BUILTIN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(ProcedureShape {
            fields: fields.iter().map(|f| (Arc::from(*f), VariableKind::Scalar)).collect(),
            ..ProcedureShape::default()
        })
    }

    fn call(
        &self,
        name: &str,
        _: &[Value],
        tx: &Transaction,
        go_on: &mut dyn FnMut() -> Result<(), CypherError>,
    ) -> Result<Vec<Vec<Value>>, CypherError> {
        let names = tx.names();
        let column = |texts: BTreeSet<Arc<str>>| texts.into_iter().map(|t| vec![Value::String(t)]).collect();
        Ok(match name.to_ascii_lowercase().as_str() {
            "db.labels" => {
                let mut found = BTreeSet::new();
                each_vertex(tx, go_on, |v| found.extend(tx.labels(v)))?;
                column(found.into_iter().map(|l| names.label_name(l)).collect())
            }
            "db.propertykeys" => {
                let mut found = BTreeSet::new();
                each_vertex(tx, go_on, |v| {
                    found.extend(tx.vertex_properties(v).into_iter().map(|(k, _)| k))
                })?;
                each_edge(tx, go_on, |e| found.extend(tx.edge_properties(e).into_iter().map(|(k, _)| k)))?;
                column(found.into_iter().map(|k| names.key_name(k)).collect())
            }
            "db.relationshiptypes" => {
                let mut found = BTreeSet::new();
                each_edge(tx, go_on, |e| found.extend(tx.edge(e).map(|info| info.edge_type)))?;
                column(found.into_iter().map(|t| names.edge_type_name(t)).collect())
            }
            "dbms.components" => vec![vec![
                Value::string("mgnode"),
                Value::list(vec![Value::string(env!("CARGO_PKG_VERSION"))]),
                Value::string("community"),
            ]],
            // There is nothing that a client is to be told, and nobody logs on.
            "dbms.clientconfig" => Vec::new(),
            "dbms.showcurrentuser" => {
                vec![vec![Value::string(""), Value::list(Vec::new()), Value::list(Vec::new())]]
            }
            "dbms.functions" => crate::functions::names()
                .map(|n| vec![Value::string(n), Value::string(format!("{n}()")), Value::string("")])
                .collect(),
            "dbms.procedures" => BUILTIN
                .iter()
                .map(|(n, fields)| {
                    vec![Value::string(*n), signature(n, fields), Value::string(""), Value::string("READ")]
                })
                .collect(),
            "db.schema.nodetypeproperties" | "schema.node_type_properties" => types::of_vertices(tx, go_on)?,
            "db.schema.reltypeproperties" | "schema.rel_type_properties" => types::of_edges(tx, go_on)?,
            "mg.functions" => crate::functions::names()
                .map(|n| vec![Value::string(n), Value::string("builtin"), Value::Bool(false)])
                .collect(),
            "mg.procedures" => BUILTIN
                .iter()
                .map(|(n, fields)| {
                    vec![
                        Value::string(*n),
                        Value::string("builtin"),
                        Value::Bool(false),
                        Value::Bool(false),
                        signature(n, fields),
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

fn each_vertex(
    tx: &Transaction,
    go_on: &mut dyn FnMut() -> Result<(), CypherError>,
    mut f: impl FnMut(VertexId),
) -> Result<(), CypherError> {
    let (mut batch, mut last) = (Vec::new(), None);
    loop {
        go_on()?;
        batch.clear();
        tx.scan_vertices(last, BATCH, &mut batch);
        batch.iter().for_each(|v| f(*v));
        last = batch.last().copied().or(last);
        if batch.len() < BATCH {
            return Ok(());
        }
    }
}

fn each_edge(
    tx: &Transaction,
    go_on: &mut dyn FnMut() -> Result<(), CypherError>,
    mut f: impl FnMut(EdgeId),
) -> Result<(), CypherError> {
    let (mut batch, mut last) = (Vec::new(), None);
    loop {
        go_on()?;
        batch.clear();
        tx.scan_edges(last, BATCH, &mut batch);
        batch.iter().for_each(|e| f(*e));
        last = batch.last().copied().or(last);
        if batch.len() < BATCH {
            return Ok(());
        }
    }
}
