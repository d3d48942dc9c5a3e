//! `ANALYZE GRAPH`: measures what is in the indexes, so that plans follow it.
//!
//! What was measured is kept with the graph of this node until its index goes, it is deleted, or the node ends.
//!
//! Indexes of edges are measured where no labels are named: their type stands under `label`, edges are counted as
//! nodes are, and their degree is null. One of a type alone has nothing to measure: its entries are counted anyway.

use crate::ast::Symbol;
use crate::error::CypherError;
use crate::schema::{Table, index_owner};
use crate::value::equivalent;
use mgnode_core::storage::{Direction, IndexBounds, IndexCursor, IndexStatistics, Transaction};
use mgnode_core::types::{EdgeId, IndexSpec, Value, VertexId};

/// How many vertices or edges are looked at between two looks at whether to stop.
const BATCH: usize = 512;

/// Measures the indexes of these labels, of all where there are none, and returns what it found.
///
/// # Errors
/// Those of `check`, which is asked from time to time whether to go on.
pub fn analyze(
    labels: &[Symbol],
    tx: &Transaction,
    check: &dyn Fn() -> Result<(), CypherError>,
) -> Result<Table, CypherError> {
    let mut rows = Vec::new();
    for spec in specs(labels, tx) {
        let found = measure(&spec, tx, check)?;
        tx.graph().set_statistics(spec.clone(), found);
        let [label, property] = names(&spec, tx);
        let by_group = |value: Value| if found.groups == 0 { Value::Null } else { value };
        rows.push(vec![
            label,
            property,
            count(found.entries),
            by_group(count(found.groups)),
            by_group(Value::Float(found.group_average)),
            by_group(Value::Float(found.chi_squared)),
            if spec.is_of_edges() { Value::Null } else { Value::Float(found.degree_average) },
        ]);
    }
    Ok(Table { columns: columns(false).to_vec(), rows })
}

/// Returns the columns of [`analyze`], or of [`forget`].
pub fn columns(of_forget: bool) -> &'static [&'static str] {
    const COLUMNS: &[&str] = &[
        "label",
        "property",
        "num estimation nodes",
        "num groups",
        "avg group size",
        "chi-squared value",
        "avg degree",
    ];
    if of_forget { &COLUMNS[..2] } else { COLUMNS }
}

/// Forgets what was measured of the indexes of these labels, of all where there are none, and returns of which.
pub fn forget(labels: &[Symbol], tx: &Transaction) -> Table {
    let forgotten = specs(labels, tx).into_iter().filter(|spec| tx.graph().forget_statistics(spec));
    let rows = forgotten.map(|spec| names(&spec, tx).into()).collect();
    Table { columns: columns(true).to_vec(), rows }
}

fn specs(labels: &[Symbol], tx: &Transaction) -> Vec<IndexSpec> {
    let is_meant = |spec: &IndexSpec| match spec {
        IndexSpec::Label(label) | IndexSpec::LabelProperties(label, _) => {
            let name = tx.names().label_name(*label);
            labels.is_empty() || labels.iter().any(|asked| asked.name == name)
        }
        IndexSpec::EdgeType(_) => false,
        IndexSpec::EdgeTypeProperties(..) => labels.is_empty(),
    };
    tx.indexes().into_iter().filter(|spec| tx.has_index(spec) && is_meant(spec)).collect()
}

fn names(spec: &IndexSpec, tx: &Transaction) -> [Value; 2] {
    let names = tx.names();
    let keys: Vec<Value> = spec.keys().iter().map(|key| Value::String(names.key_name(*key))).collect();
    let keys = if keys.is_empty() { Value::Null } else { Value::list(keys) };
    [Value::string(index_owner(spec, names)), keys]
}

fn count(n: u64) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

/// Walks one index, in which equal values are neighbours.
fn measure(
    spec: &IndexSpec,
    tx: &Transaction,
    check: &dyn Fn() -> Result<(), CypherError>,
) -> Result<IndexStatistics, CypherError> {
    let (keys, bounds) = (spec.keys(), IndexBounds::all());
    let (mut groups, mut degrees) = (Groups::default(), 0_u64);
    if spec.is_of_edges() {
        let mut cursor = IndexCursor::<EdgeId>::default();
        each(
            check,
            |batch| tx.edge_index_seek(spec, &bounds, &mut cursor, BATCH, batch),
            |id| {
                groups.add(keys.iter().map(|key| tx.edge_property(id, *key)).collect());
            },
        )?;
    } else {
        let mut cursor = IndexCursor::<VertexId>::default();
        each(
            check,
            |batch| tx.index_seek(spec, &bounds, &mut cursor, BATCH, batch),
            |id| {
                degrees += tx.degree(id, Direction::Both, None) as u64;
                groups.add(keys.iter().map(|key| tx.vertex_property(id, *key)).collect());
            },
        )?;
    }
    Ok(groups.finish(degrees))
}

/// Shows all that `more` appends, batch by batch.
fn each<Id: Copy>(
    check: &dyn Fn() -> Result<(), CypherError>,
    mut more: impl FnMut(&mut Vec<Id>),
    mut see: impl FnMut(Id),
) -> Result<(), CypherError> {
    let mut batch = Vec::new();
    loop {
        check()?;
        batch.clear();
        more(&mut batch);
        batch.iter().copied().for_each(&mut see);
        if batch.len() < BATCH {
            return Ok(());
        }
    }
}

/// Entries, counted by groups of equal values that follow each other.
#[derive(Default)]
struct Groups {
    entries: u64,
    groups: u64,
    /// Of the sizes of whole groups.
    squares: f64,
    last: Option<(Vec<Value>, u64)>,
}

impl Groups {
    /// Counts an entry; without values it is in no group.
    fn add(&mut self, values: Vec<Value>) {
        self.entries += 1;
        if values.is_empty() {
            return;
        }
        match &mut self.last {
            Some((of, size)) if of.iter().zip(&values).all(|(a, b)| equivalent(a, b)) => *size += 1,
            other => {
                if let Some((_, size)) = other.replace((values, 1)) {
                    self.squares += (size as f64).powi(2);
                }
                self.groups += 1;
            }
        }
    }

    fn finish(mut self, degrees: u64) -> IndexStatistics {
        if let Some((_, size)) = self.last {
            self.squares += (size as f64).powi(2);
        }
        let part = |all: u64, of: u64| if of == 0 { 0.0 } else { all as f64 / of as f64 };
        let (entries, groups) = (self.entries, self.groups);
        let group_average = part(entries, groups);
        // Sum over the groups of (size - average)² / average, as one pass can have it. Rounding may bring it below 0.
        let chi_squared =
            if groups == 0 { 0.0 } else { (self.squares / group_average - entries as f64).max(0.0) };
        let degree_average = part(degrees, entries);
        IndexStatistics { entries, groups, group_average, chi_squared, degree_average }
    }
}
