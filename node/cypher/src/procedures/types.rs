//! Which properties vertices and edges have, by labels and type: what tools draw a schema from.

use super::{each_edge, each_vertex};
use crate::error::CypherError;
use crate::value::type_name;
use mgnode_core::storage::Transaction;
use mgnode_core::types::{PropertyKeyId, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Fields of [`of_vertices`].
pub(super) const OF_VERTICES: &[&str] =
    &["nodeType", "nodeLabels", "propertyName", "propertyTypes", "mandatory"];

/// Fields of [`of_edges`].
pub(super) const OF_EDGES: &[&str] = &["relType", "propertyName", "propertyTypes", "mandatory"];

/// How often vertices or edges of one kind were seen.
#[derive(Default)]
struct Seen {
    count: u64,
    /// Of each property, how many have it, and the types of its values.
    properties: BTreeMap<Arc<str>, (u64, BTreeSet<&'static str>)>,
}

impl Seen {
    fn add(&mut self, tx: &Transaction, properties: &[(PropertyKeyId, Value)]) {
        self.count += 1;
        for (key, value) in properties {
            let (count, types) = self.properties.entry(tx.names().key_name(*key)).or_default();
            *count += 1;
            types.insert(type_name(value));
        }
    }

    /// Returns name, types and whether all have it, of each property; one row of nothing where there is none.
    fn rows(self) -> Vec<[Value; 3]> {
        if self.properties.is_empty() {
            return vec![[Value::Null, Value::Null, Value::Bool(false)]];
        }
        let row = |(name, (count, types)): (Arc<str>, (u64, BTreeSet<&'static str>))| {
            let types = types.into_iter().map(Value::string).collect::<Vec<_>>();
            [Value::String(name), Value::list(types), Value::Bool(count == self.count)]
        };
        self.properties.into_iter().map(row).collect()
    }
}

/// Writes a type as tools of Neo4j expect it: ":`A`:`B`".
fn quoted(names: &[Arc<str>]) -> Value {
    Value::string(names.iter().map(|name| format!(":`{name}`")).collect::<String>())
}

pub(super) fn of_vertices(
    tx: &Transaction,
    go_on: &mut dyn FnMut() -> Result<(), CypherError>,
) -> Result<Vec<Vec<Value>>, CypherError> {
    let mut all: BTreeMap<Vec<Arc<str>>, Seen> = BTreeMap::new();
    each_vertex(tx, go_on, |id| {
        let mut labels: Vec<Arc<str>> =
            tx.labels(id).into_iter().map(|label| tx.names().label_name(label)).collect();
        labels.sort_unstable();
        all.entry(labels).or_default().add(tx, &tx.vertex_properties(id));
    })?;
    let rows = all.into_iter().flat_map(|(labels, seen)| {
        let own = Value::list(labels.iter().cloned().map(Value::String).collect::<Vec<_>>());
        let kind = quoted(&labels);
        seen.rows().into_iter().map(move |row| [vec![kind.clone(), own.clone()], row.into()].concat())
    });
    Ok(rows.collect())
}

pub(super) fn of_edges(
    tx: &Transaction,
    go_on: &mut dyn FnMut() -> Result<(), CypherError>,
) -> Result<Vec<Vec<Value>>, CypherError> {
    let mut all: BTreeMap<Arc<str>, Seen> = BTreeMap::new();
    each_edge(tx, go_on, |id| {
        if let Some(info) = tx.edge(id) {
            let name = tx.names().edge_type_name(info.edge_type);
            all.entry(name).or_default().add(tx, &tx.edge_properties(id));
        }
    })?;
    let rows = all.into_iter().flat_map(|(name, seen)| {
        let kind = quoted(&[name]);
        seen.rows().into_iter().map(move |row| [vec![kind.clone()], row.into()].concat())
    });
    Ok(rows.collect())
}
