//! `ANALYZE GRAPH`: measures what is in the indexes, so that plans follow it.
//!
//! What was measured is kept with the graph of this node until its index goes, it is deleted, or the node ends.

use crate::ast::Symbol;
use crate::error::CypherError;
use crate::schema::Table;
use crate::value::equivalent;
use mgnode_core::storage::{Direction, IndexBounds, IndexCursor, IndexStatistics, Transaction};
use mgnode_core::types::{IndexSpec, PropertyKeyId, Value};

/// How many vertices are looked at between two looks at whether to stop.
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
            Value::Float(found.degree_average),
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
    let label = |spec: &IndexSpec| match spec {
        IndexSpec::Label(label) | IndexSpec::LabelProperties(label, _) => *label,
    };
    let is_meant = |spec: &IndexSpec| {
        let name = tx.names().label_name(label(spec));
        labels.is_empty() || labels.iter().any(|asked| asked.name == name)
    };
    tx.indexes().into_iter().filter(|spec| tx.has_index(spec) && is_meant(spec)).collect()
}

fn names(spec: &IndexSpec, tx: &Transaction) -> [Value; 2] {
    let names = tx.names();
    match spec {
        IndexSpec::Label(label) => [Value::String(names.label_name(*label)), Value::Null],
        IndexSpec::LabelProperties(label, keys) => {
            let keys: Vec<Value> = keys.iter().map(|key| Value::String(names.key_name(*key))).collect();
            [Value::String(names.label_name(*label)), Value::list(keys)]
        }
    }
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
    let keys: &[PropertyKeyId] = match spec {
        IndexSpec::Label(_) => &[],
        IndexSpec::LabelProperties(_, keys) => keys,
    };
    let (mut cursor, bounds) = (IndexCursor::default(), IndexBounds::all());
    let mut batch = Vec::new();
    let (mut entries, mut groups, mut degrees) = (0_u64, 0_u64, 0_u64);
    // Of the sizes of whole groups.
    let mut squares = 0.0_f64;
    let mut group: Option<(Vec<Value>, u64)> = None;
    loop {
        check()?;
        batch.clear();
        tx.index_seek(spec, &bounds, &mut cursor, BATCH, &mut batch);
        for id in &batch {
            entries += 1;
            degrees += tx.degree(*id, Direction::Both, None) as u64;
            if keys.is_empty() {
                continue;
            }
            let values: Vec<Value> = keys.iter().map(|key| tx.vertex_property(*id, *key)).collect();
            match &mut group {
                Some((of, size)) if of.iter().zip(&values).all(|(a, b)| equivalent(a, b)) => *size += 1,
                other => {
                    if let Some((_, size)) = other.replace((values, 1)) {
                        squares += (size as f64).powi(2);
                    }
                    groups += 1;
                }
            }
        }
        if batch.len() < BATCH {
            break;
        }
    }
    if let Some((_, size)) = group {
        squares += (size as f64).powi(2);
    }
    let part = |all: u64, of: u64| if of == 0 { 0.0 } else { all as f64 / of as f64 };
    let group_average = part(entries, groups);
    // Sum over the groups of (size - average)² / average, as one pass can have it. Rounding may bring it below 0.
    let chi_squared = if groups == 0 { 0.0 } else { (squares / group_average - entries as f64).max(0.0) };
    Ok(IndexStatistics {
        entries,
        groups,
        group_average,
        chi_squared,
        degree_average: part(degrees, entries),
    })
}
