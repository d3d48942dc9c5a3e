//! Statements about indexes and constraints, and the tables that show them.
//!
//! A schema statement is a transaction of its own: the caller begins it, runs [`execute`], and
//! commits as for any other. What changes nothing (an index that is there already) succeeds with a
//! [`Notification`]. Kinds that are not offered are refused by name.

use crate::ast::{Constraint, ConstraintKind as Asked, Index, IndexKind, SchemaStatement, Symbol};
use crate::enums;
use crate::error::CypherError;
use crate::fail;
use crate::triggers;
use mgnode_core::storage::{Transaction, WriteError};
use mgnode_core::types::{ConstraintKind, ConstraintSpec, IndexSpec, Names, PropertyType, Value};

/// Something that the client should know of a statement that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// `INFO` or `WARNING`.
    pub severity: &'static str,
    /// Memgraph's code, such as `IndexAlreadyExists`.
    pub code: &'static str,
    pub title: String,
    pub description: String,
}

pub(crate) fn info(code: &'static str, title: String) -> Notification {
    Notification { severity: "INFO", code, title, description: String::new() }
}

/// A table: columns and rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<Value>>,
}

/// Runs a schema statement in a transaction of its own; the caller commits it.
pub fn execute(statement: &SchemaStatement, tx: &mut Transaction) -> Result<Vec<Notification>, CypherError> {
    let mut notes = Vec::new();
    match statement {
        SchemaStatement::CreateIndex { index, name, .. } => {
            let spec = index_spec(index, tx.names())?;
            note_name(name.as_ref(), &mut notes);
            let text = index_text(&spec, tx.names());
            if tx.create_index(spec).map_err(refused)? {
                notes.push(info("CreateIndex", format!("Created index on {text}.")));
            } else {
                notes.push(info("IndexAlreadyExists", format!("Index on {text} already exists.")));
            }
        }
        SchemaStatement::DropIndex { index } => {
            let spec = index_spec(index, tx.names())?;
            let text = index_text(&spec, tx.names());
            if tx.drop_index(&spec).map_err(refused)? {
                notes.push(info("DropIndex", format!("Dropped index on {text}.")));
            } else {
                notes.push(info("IndexDoesNotExist", format!("Index on {text} doesn't exist.")));
            }
        }
        SchemaStatement::DropNamedIndex { name, .. } => return Err(unnamed("index", name)),
        SchemaStatement::DropAllIndexes => {
            for spec in tx.indexes() {
                tx.drop_index(&spec).map_err(refused)?;
                notes.push(info("DropIndex", format!("Dropped index on {}.", index_text(&spec, tx.names()))));
            }
        }
        SchemaStatement::CreateConstraint { constraint, name, .. } => {
            note_name(name.as_ref(), &mut notes);
            for spec in constraint_specs(constraint, tx.names())? {
                let text = constraint_text(&spec, tx.names());
                check_one_type(&spec, tx)?;
                if tx.create_constraint(spec).map_err(refused)? {
                    notes.push(info("CreateConstraint", format!("Created {text}.")));
                } else {
                    notes.push(info("ConstraintAlreadyExists", format!("Constraint {text} already exists.")));
                }
            }
        }
        SchemaStatement::DropConstraint { constraint } => {
            for spec in constraint_specs(constraint, tx.names())? {
                let text = constraint_text(&spec, tx.names());
                if tx.drop_constraint(&spec).map_err(refused)? {
                    notes.push(info("DropConstraint", format!("Dropped {text}.")));
                } else {
                    notes.push(info("ConstraintDoesNotExist", format!("Constraint {text} doesn't exist.")));
                }
            }
        }
        SchemaStatement::DropNamedConstraint { name, .. } => return Err(unnamed("constraint", name)),
        SchemaStatement::DropAllConstraints => {
            for spec in tx.constraints() {
                tx.drop_constraint(&spec).map_err(refused)?;
                notes
                    .push(info("DropConstraint", format!("Dropped {}.", constraint_text(&spec, tx.names()))));
            }
        }
        SchemaStatement::CreateEnum { name, values } => notes.push(enums::create(name, values, tx)?),
        SchemaStatement::AlterEnumAdd { name, value } => notes.push(enums::add_value(name, value, tx)?),
        SchemaStatement::AlterEnumUpdate { name, from, to } => {
            notes.push(enums::rename_value(name, from, to, tx)?);
        }
        SchemaStatement::DropEnum { name } => notes.push(enums::drop_enum(name, tx)?),
        SchemaStatement::CreateTrigger { name, event, phase, statement } => {
            notes.push(triggers::create(name, *event, *phase, statement, tx)?);
        }
        SchemaStatement::DropTrigger { name } => notes.push(triggers::drop_trigger(name, tx)?),
    }
    Ok(notes)
}

/// Answers `SHOW INDEX INFO`.
pub fn show_indexes(tx: &Transaction) -> Table {
    let names = tx.names();
    let mut rows: Vec<(&str, String, Vec<String>, u64)> = tx
        .indexes()
        .into_iter()
        .map(|spec| {
            let count = tx.index_count(&spec);
            let kind = match &spec {
                IndexSpec::Label(_) => "label",
                IndexSpec::LabelProperties(..) => "label+property",
                IndexSpec::EdgeType(_) => "edge-type",
                IndexSpec::EdgeTypeProperties(..) => "edge-type+property",
            };
            let keys = spec.keys().iter().map(|k| names.key_name(*k).to_string()).collect();
            (kind, index_owner(&spec, names), keys, count)
        })
        .collect();
    rows.sort();
    Table {
        columns: vec!["index type", "label", "property", "count"],
        rows: rows
            .into_iter()
            .map(|(kind, label, keys, count)| {
                let property = match &keys[..] {
                    [] => Value::Null,
                    [key] if kind == "edge-type+property" => Value::string(key.as_str()),
                    _ => texts(keys),
                };
                vec![Value::string(kind), Value::string(label), property, Value::Int(count as i64)]
            })
            .collect(),
    }
}

/// Answers `SHOW CONSTRAINT INFO`.
pub fn show_constraints(tx: &Transaction) -> Table {
    let names = tx.names();
    let mut rows: Vec<(&str, String, Vec<String>, &str)> = tx
        .constraints()
        .into_iter()
        .map(|c| {
            let (kind, data_type) = match c.kind {
                ConstraintKind::Exists => ("exists", ""),
                ConstraintKind::Unique => ("unique", ""),
                ConstraintKind::Typed(kind) => ("data_type", kind.word()),
            };
            let keys = c.properties.iter().map(|k| names.key_name(*k).to_string()).collect();
            (kind, names.label_name(c.label).to_string(), keys, data_type)
        })
        .collect();
    rows.sort();
    Table {
        columns: vec!["constraint type", "label", "properties", "data_type"],
        rows: rows
            .into_iter()
            .map(|(kind, label, keys, data_type)| {
                let properties = match (kind, &keys[..]) {
                    ("exists" | "data_type", [key]) => Value::string(key.as_str()),
                    _ => texts(keys),
                };
                vec![Value::string(kind), Value::string(label), properties, Value::string(data_type)]
            })
            .collect(),
    }
}

fn texts(items: Vec<String>) -> Value {
    Value::list(items.into_iter().map(Value::string).collect::<Vec<_>>())
}

fn note_name(name: Option<&Symbol>, notes: &mut Vec<Notification>) {
    if let Some(name) = name {
        notes.push(info(
            "IndexConstraintNameIgnored",
            format!("Name '{}' is ignored: indexes and constraints have no names.", name.name),
        ));
    }
}

fn unnamed(what: &str, name: &Symbol) -> CypherError {
    CypherError::statement(format!(
        "There is no {what} named '{}': they have no names here. Drop it by what it covers, as SHOW {} INFO lists it.",
        name.name,
        what.to_uppercase()
    ))
}

fn not_offered(what: &str) -> CypherError {
    CypherError::statement(format!("{what} is not supported."))
}

fn refused(error: WriteError) -> CypherError {
    match error {
        WriteError::Constraint(text) => CypherError::statement(text),
        other => fail::write(other),
    }
}

fn index_spec(index: &Index, names: &Names) -> Result<IndexSpec, CypherError> {
    let (IndexKind::Label | IndexKind::EdgeType, Some(owner)) = (index.kind, &index.label) else {
        return Err(not_offered(index.kind.words()));
    };
    if index.has_config {
        return Err(not_offered("An index with a configuration"));
    }
    let mut keys = Vec::new();
    for path in &index.properties {
        let [key] = &path.parts[..] else { return Err(not_offered("An index on a property inside a map")) };
        if path.descending {
            return Err(not_offered("A descending index"));
        }
        let key = names.key(&key.name);
        if keys.contains(&key) {
            return Err(CypherError::statement("An index names each of its properties once."));
        }
        keys.push(key);
    }
    if index.kind == IndexKind::EdgeType {
        let edge_type = names.edge_type(&owner.name).map_err(|e| CypherError::statement(e.to_string()))?;
        return Ok(match keys.is_empty() {
            true => IndexSpec::EdgeType(edge_type),
            false => IndexSpec::EdgeTypeProperties(edge_type, keys),
        });
    }
    let label = names.label(&owner.name);
    Ok(if keys.is_empty() { IndexSpec::Label(label) } else { IndexSpec::LabelProperties(label, keys) })
}

/// Returns the constraints that a statement means: two for a node key.
fn constraint_specs(c: &Constraint, names: &Names) -> Result<Vec<ConstraintSpec>, CypherError> {
    if c.on_relationship {
        return Err(not_offered("A constraint on relationships"));
    }
    let label = names.label(&c.label.name);
    let exists = || {
        c.properties.iter().map(|p| ConstraintSpec {
            label,
            properties: vec![names.key(&p.name)],
            kind: ConstraintKind::Exists,
        })
    };
    let unique = || {
        let mut sorted: Vec<&str> = c.properties.iter().map(|p| &*p.name).collect();
        sorted.sort_unstable();
        sorted.dedup();
        ConstraintSpec {
            label,
            properties: sorted.into_iter().map(|p| names.key(p)).collect(),
            kind: ConstraintKind::Unique,
        }
    };
    match &c.kind {
        Asked::Exists if c.properties.len() > 1 => {
            Err(not_offered("An existence constraint on several properties"))
        }
        Asked::Exists => Ok(exists().collect()),
        Asked::Unique => Ok(vec![unique()]),
        Asked::NodeKey => Ok(exists().chain([unique()]).collect()),
        Asked::Typed(_) if c.properties.len() > 1 => {
            Err(not_offered("A type constraint on several properties"))
        }
        Asked::Typed(word) => {
            let kind = property_type(word)?;
            let properties = c.properties.iter().map(|p| names.key(&p.name)).collect();
            Ok(vec![ConstraintSpec { label, properties, kind: ConstraintKind::Typed(kind) }])
        }
    }
}

/// Refuses a second type of a property, which no value could have.
fn check_one_type(spec: &ConstraintSpec, tx: &Transaction) -> Result<(), CypherError> {
    let ConstraintKind::Typed(kind) = spec.kind else { return Ok(()) };
    for other in tx.constraints() {
        if let ConstraintKind::Typed(given) = other.kind
            && given != kind
            && (other.label, &other.properties) == (spec.label, &spec.properties)
        {
            return Err(CypherError::statement(format!(
                "Such a property must be {} already. Drop that {} first.",
                given.word(),
                constraint_text(&other, tx.names())
            )));
        }
    }
    Ok(())
}

/// Returns the type that a word of Memgraph or Neo4j means.
fn property_type(word: &Symbol) -> Result<PropertyType, CypherError> {
    let name = match &*word.name {
        "BOOL" => "BOOLEAN",
        "INT" => "INTEGER",
        "VARCHAR" => "STRING",
        name => name,
    };
    let known = PropertyType::ALL.into_iter().find(|kind| kind.word() == name);
    known.ok_or_else(|| {
        let words: Vec<&str> = PropertyType::ALL.map(PropertyType::word).to_vec();
        CypherError::syntax(
            "InvalidType",
            word.span,
            format!("'{}' is no type of property. Types: {}.", word.name, words.join(", ")),
        )
    })
}

/// Returns the label or the type that an index is of.
pub(crate) fn index_owner(spec: &IndexSpec, names: &Names) -> String {
    match spec {
        IndexSpec::Label(label) | IndexSpec::LabelProperties(label, _) => names.label_name(*label),
        IndexSpec::EdgeType(edge_type) | IndexSpec::EdgeTypeProperties(edge_type, _) => {
            names.edge_type_name(*edge_type)
        }
    }
    .to_string()
}

/// Returns the words for an index: `label L on properties p, q`, `edge-type T`.
fn index_text(spec: &IndexSpec, names: &Names) -> String {
    let what = if spec.is_of_edges() { "edge-type" } else { "label" };
    let keys: Vec<_> = spec.keys().iter().map(|k| names.key_name(*k).to_string()).collect();
    let on = if keys.is_empty() { String::new() } else { format!(" on properties {}", keys.join(", ")) };
    format!("{what} {}{on}", index_owner(spec, names))
}

fn constraint_text(spec: &ConstraintSpec, names: &Names) -> String {
    let kind = match spec.kind {
        ConstraintKind::Exists => "EXISTS",
        ConstraintKind::Unique => "UNIQUE",
        ConstraintKind::Typed(kind) => &format!("IS TYPED {}", kind.word()),
    };
    let keys: Vec<_> = spec.properties.iter().map(|k| names.key_name(*k).to_string()).collect();
    format!("{kind} constraint on label {} on properties {}", names.label_name(spec.label), keys.join(", "))
}
