//! Statements about enums.
//!
//! A property holds the names of an enum and of its value, as text. So a value that gets another name is written
//! anew wherever it stands, and an enum goes only once nothing holds a value of it; both look at all properties.

use crate::ast::Symbol;
use crate::error::CypherError;
use crate::fail;
use crate::schema::{Notification, Table, info};
use mgnode_core::storage::Transaction;
use mgnode_core::types::{EdgeId, EnumSpec, EnumValue, PropertyKeyId, Value, VertexId};
use std::sync::Arc;

/// Ids that are looked up at once.
const BATCH: usize = 1024;

pub(crate) fn create(
    name: &Symbol,
    values: &[Symbol],
    tx: &mut Transaction,
) -> Result<Notification, CypherError> {
    if find(&name.name, tx).is_some() {
        return Err(CypherError::statement(format!("Enum '{}' already exists.", name.name)));
    }
    let mut names: Vec<Arc<str>> = Vec::with_capacity(values.len());
    for value in values {
        if names.contains(&value.name) {
            return Err(twice(&name.name, &value.name));
        }
        names.push(value.name.clone());
    }
    tx.set_enum(EnumSpec { name: name.name.clone(), values: names });
    Ok(info("CreateEnum", format!("Created enum {}.", name.name)))
}

pub(crate) fn add_value(
    name: &Symbol,
    value: &Symbol,
    tx: &mut Transaction,
) -> Result<Notification, CypherError> {
    let mut spec = existing(&name.name, tx)?;
    if spec.values.contains(&value.name) {
        return Err(twice(&name.name, &value.name));
    }
    spec.values.push(value.name.clone());
    tx.set_enum(spec);
    Ok(info("AlterEnum", format!("Added value {} to enum {}.", value.name, name.name)))
}

pub(crate) fn rename_value(
    name: &Symbol,
    from: &Symbol,
    to: &Symbol,
    tx: &mut Transaction,
) -> Result<Notification, CypherError> {
    let mut spec = existing(&name.name, tx)?;
    if spec.values.contains(&to.name) {
        return Err(twice(&name.name, &to.name));
    }
    let Some(place) = spec.values.iter().position(|value| *value == from.name) else {
        return Err(no_value(&name.name, &from.name));
    };
    spec.values[place] = to.name.clone();
    tx.set_enum(spec);
    let old = |value: &EnumValue| value.enum_name == name.name && value.value == from.name;
    let new = Value::Enum(Arc::new(EnumValue { enum_name: name.name.clone(), value: to.name.clone() }));
    let mut count = 0;
    each_holder(tx, &old, &mut |holder, tx| {
        count += 1;
        holder.replace(&old, &new, tx)
    })?;
    Ok(info(
        "AlterEnum",
        format!("Value {} of enum {} is {} now, in {count} properties.", from.name, name.name, to.name),
    ))
}

pub(crate) fn drop_enum(name: &Symbol, tx: &mut Transaction) -> Result<Notification, CypherError> {
    existing(&name.name, tx)?;
    let mut count: u64 = 0;
    each_holder(tx, &|value| value.enum_name == name.name, &mut |_, _| {
        count += 1;
        Ok(())
    })?;
    if count > 0 {
        return Err(CypherError::statement(format!(
            "Enum '{}' cannot be dropped: {count} properties hold a value of it. Change them first.",
            name.name
        )));
    }
    tx.drop_enum(&name.name);
    Ok(info("DropEnum", format!("Dropped enum {}.", name.name)))
}

/// Answers `SHOW ENUMS`.
pub fn show_enums(tx: &Transaction) -> Table {
    let row = |spec: EnumSpec| {
        let values: Vec<Value> = spec.values.into_iter().map(Value::String).collect();
        vec![Value::String(spec.name), Value::list(values)]
    };
    Table { columns: vec!["Enum Name", "Enum Values"], rows: tx.enums().into_iter().map(row).collect() }
}

/// Returns the value that `enum_name::value` means.
pub(crate) fn literal(enum_name: &Symbol, value: &Symbol, tx: &Transaction) -> Result<Value, String> {
    let spec = find(&enum_name.name, tx).ok_or_else(|| unknown(&enum_name.name))?;
    match spec.values.into_iter().find(|known| *known == value.name) {
        Some(value) => Ok(Value::Enum(Arc::new(EnumValue { enum_name: spec.name, value }))),
        None => Err(no_value_text(&enum_name.name, &value.name)),
    }
}

/// Says what is wrong with a value that a client sent.
pub fn check(value: &EnumValue, tx: &Transaction) -> Result<(), String> {
    let spec = find(&value.enum_name, tx).ok_or_else(|| unknown(&value.enum_name))?;
    match spec.values.contains(&value.value) {
        true => Ok(()),
        false => Err(no_value_text(&value.enum_name, &value.value)),
    }
}

fn find(name: &str, tx: &Transaction) -> Option<EnumSpec> {
    tx.enums().into_iter().find(|spec| &*spec.name == name)
}

fn existing(name: &str, tx: &Transaction) -> Result<EnumSpec, CypherError> {
    find(name, tx).ok_or_else(|| CypherError::statement(unknown(name)))
}

fn unknown(name: &str) -> String {
    format!("Enum '{name}' doesn't exist.")
}

fn no_value(name: &str, value: &str) -> CypherError {
    CypherError::statement(no_value_text(name, value))
}

fn no_value_text(name: &str, value: &str) -> String {
    format!("Enum value '{value}' in enum '{name}' doesn't exist.")
}

fn twice(name: &str, value: &str) -> CypherError {
    CypherError::statement(format!("Enum value '{value}' in enum '{name}' already exists."))
}

/// A property, and whose it is.
enum Holder {
    Vertex(VertexId, PropertyKeyId, Value),
    Edge(EdgeId, PropertyKeyId, Value),
}

impl Holder {
    fn replace(
        &self,
        old: &dyn Fn(&EnumValue) -> bool,
        new: &Value,
        tx: &mut Transaction,
    ) -> Result<(), CypherError> {
        match self {
            Holder::Vertex(id, key, value) => tx.set_vertex_property(*id, *key, replaced(value, old, new)),
            Holder::Edge(id, key, value) => tx.set_edge_property(*id, *key, replaced(value, old, new)),
        }
        .map(drop)
        .map_err(fail::write)
    }
}

/// Calls `see` for each property in which such a value stands, however deep.
fn each_holder(
    tx: &mut Transaction,
    is_meant: &dyn Fn(&EnumValue) -> bool,
    see: &mut dyn FnMut(&Holder, &mut Transaction) -> Result<(), CypherError>,
) -> Result<(), CypherError> {
    let mut vertices = Vec::new();
    loop {
        let after = vertices.last().copied();
        vertices.clear();
        tx.scan_vertices(after, BATCH, &mut vertices);
        if vertices.is_empty() {
            break;
        }
        for id in &vertices {
            for (key, value) in tx.vertex_properties(*id) {
                if holds(&value, is_meant) {
                    see(&Holder::Vertex(*id, key, value), tx)?;
                }
            }
        }
    }
    let mut edges = Vec::new();
    loop {
        let after = edges.last().copied();
        edges.clear();
        tx.scan_edges(after, BATCH, &mut edges);
        if edges.is_empty() {
            return Ok(());
        }
        for id in &edges {
            for (key, value) in tx.edge_properties(*id) {
                if holds(&value, is_meant) {
                    see(&Holder::Edge(*id, key, value), tx)?;
                }
            }
        }
    }
}

/// Whether such a value stands in a property's value, whose depth storage bounds.
fn holds(value: &Value, is_meant: &dyn Fn(&EnumValue) -> bool) -> bool {
    match value {
        Value::Enum(value) => is_meant(value),
        Value::List(items) => items.iter().any(|item| holds(item, is_meant)),
        Value::Map(map) => map.values().any(|item| holds(item, is_meant)),
        _ => false,
    }
}

fn replaced(value: &Value, is_meant: &dyn Fn(&EnumValue) -> bool, new: &Value) -> Value {
    match value {
        Value::Enum(old) if is_meant(old) => new.clone(),
        Value::List(items) => {
            Value::list(items.iter().map(|item| replaced(item, is_meant, new)).collect::<Vec<_>>())
        }
        Value::Map(map) => Value::Map(Arc::new(
            map.iter().map(|(key, item)| (key.clone(), replaced(item, is_meant, new))).collect(),
        )),
        other => other.clone(),
    }
}
