//! What a node tells of itself in tables, and the work that operators ask of it.

use super::isolation::{self, Levels};
use super::result::Work;
use super::statement::{self, DATABASE, Table};
use super::texts::Failure;
use super::transactions::{RUNNING, Shown, Transactions};
use super::triggers::Triggers;
use super::{BoltConfig, wire};
use crate::background::{Background, Begun, Kind};
use crate::disk::{list_snapshots, snapshot_path};
use crate::memory::Process;
use mgbolt::{DateTime, Map, PackValue};
use mgcypher::ast::Symbol;
use mgcypher::{CypherError, analyze};
use mgnode_core::engine::AdminAnswer;
use mgnode_core::storage::{Graph, Transaction};
use mgnode_core::types::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// What tables are made of.
pub(super) struct About<'a> {
    pub(super) tx: &'a Transaction,
    pub(super) config: &'a BoltConfig,
    pub(super) transactions: &'a Transactions,
    pub(super) triggers: &'a Triggers,
    /// The engine's, where it was asked.
    pub(super) state: Option<AdminAnswer>,
    pub(super) isolation: Levels,
}

// ------------------------------------------------------------------------------------------- tables

/// Answers `SHOW CONFIG`. Names are written as Memgraph does, with underscores.
pub(super) fn config(config: &BoltConfig) -> Table {
    let mut table = Table::new(&["name", "default_value", "current_value", "description"]);
    for setting in &*config.settings {
        let name = setting.flag.name.replace('-', "_");
        table.rows.push(vec![
            name.into(),
            setting.flag.default.into(),
            setting.value.as_str().into(),
            setting.flag.help.into(),
        ]);
    }
    table.rows.sort_by(|a, b| a[0].as_str().cmp(&b[0].as_str()));
    table
}

/// Answers `SHOW TRANSACTIONS`; of all statuses where none is named. Behind the transactions comes what goes on beside
/// them, by its name in place of a number.
pub(super) fn transactions(all: &Transactions, background: &Background, statuses: &[&str]) -> Table {
    let mut table = Table::new(&[
        "username",
        "transaction_id",
        "query",
        "status",
        "metadata",
        "start_time",
        "elapsed_ms",
    ]);
    let is_wanted = |status: &str| statuses.is_empty() || statuses.contains(&status);
    table.rows = all.shown().into_iter().filter(|t| is_wanted(t.status)).map(transaction_row).collect();
    if is_wanted(RUNNING) {
        table.rows.extend(background.running().iter().map(background_row));
    }
    table
}

fn transaction_row(t: Shown) -> Vec<PackValue> {
    let queries: Vec<PackValue> = t.queries.iter().map(|q| PackValue::from(&**q)).collect();
    vec![
        // No users are kept.
        "".into(),
        t.id.to_string().into(),
        queries.into(),
        t.status.into(),
        t.metadata.into(),
        moment(t.began),
        i64::try_from(t.elapsed.as_millis()).unwrap_or(i64::MAX).into(),
    ]
}

/// Answers `SHOW TRIGGERS`, with how each has fared on this node since it started.
pub(super) fn triggers(about: &About<'_>) -> Table {
    let mut table = statement::schema_table(mgcypher::triggers::show_triggers(about.tx));
    table.fields.extend(["last attempted", "failure count", "last error"].map(str::to_owned));
    for (row, trigger) in table.rows.iter_mut().zip(about.tx.triggers()) {
        let health = about.triggers.health(&trigger);
        row.push(health.last_attempted.map_or(PackValue::Null, moment));
        row.push(int(health.failures));
        row.push(health.last_error.map_or(PackValue::Null, PackValue::from));
    }
    table
}

fn background_row(work: &Begun) -> Vec<PackValue> {
    let name = match work.kind {
        Kind::Snapshot => "snapshot",
        Kind::Garbage => "gc",
    };
    vec![
        "".into(),
        name.into(),
        Vec::<PackValue>::new().into(),
        RUNNING.into(),
        Map::new().into(),
        moment(work.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
        i64::try_from(work.elapsed().as_millis()).unwrap_or(i64::MAX).into(),
    ]
}

/// A time since 1970-01-01 UTC as a date and time of UTC.
fn moment(since: Duration) -> PackValue {
    PackValue::DateTime(Box::new(DateTime::Offset {
        utc_seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: since.subsec_nanos(),
        offset_seconds: 0,
    }))
}

/// Answers `SHOW SNAPSHOTS`, oldest first.
pub(super) fn snapshots(directory: &Path) -> Result<Table, Failure> {
    let found = list_snapshots(directory).map_err(|e| {
        Failure::database(format!("The snapshots in `{}` cannot be listed: {e}.", directory.display()))
    })?;
    let mut table = Table::new(&["path", "timestamp", "creation_time", "size"]);
    for file in found {
        table.rows.push(vec![
            file.path.into(),
            int(file.ts),
            moment(file.written.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
            size_text(file.bytes).into(),
        ]);
    }
    Ok(table)
}

/// Answers `SHOW NEXT SNAPSHOT`: where and when, if snapshots are scheduled. Its name is that of one taken now, since it
/// tells the last record in it.
pub(super) fn next_snapshot(about: &About<'_>) -> Table {
    let mut table = Table::new(&["path", "creation_time"]);
    let due = about.config.background.next_snapshot();
    table.rows.extend(due.map(|due| {
        let path = snapshot_path(about.tx.graph().published());
        vec![path.into(), moment(due.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())]
    }));
    table
}

/// Answers `SHOW STORAGE INFO`: of the node, or of its database. That of the node has the rows of both, as it had
/// before Memgraph told them apart.
pub(super) fn storage_info(about: &About<'_>, of_node: bool) -> Table {
    let (tx, config) = (about.tx, about.config);
    let counts = tx.counts();
    let memory = tx.graph().memory();
    let graph_bytes = memory.graph_bytes() + memory.indexes;
    let query_bytes = config.query_memory.held() as u64;
    let disk = size_text(bytes_below(&config.data_directory));
    let degree = if counts.vertices == 0 { 0.0 } else { 2.0 * counts.edges as f64 / counts.vertices as f64 };
    let uuid = match &about.state {
        Some(AdminAnswer::State(state)) => state.state.cluster_id().to_string().into(),
        _ => PackValue::Null,
    };
    let mut table = Table::new(&["storage info", "value"]);
    let mut add = |key: &str, value: PackValue| table.rows.push(vec![key.into(), value]);
    let size = |bytes: Option<u64>| bytes.map_or(PackValue::Null, |bytes| size_text(bytes).into());
    add("name", DATABASE.into());
    add("database_uuid", uuid);
    if of_node {
        let process = Process::look();
        add("vm_max_map_count", process.maps_max.map_or(PackValue::Null, int));
        add("memory_res", size(process.resident));
        add("peak_memory_res", size(process.resident_peak));
        add("disk_usage", disk.clone().into());
        add("memory_tracked", size_text(graph_bytes + query_bytes).into());
        add("memory_limit", size_text(config.memory_max).into());
        add("allocation_limit", size_text(config.memory_max).into());
        // There is no licence that could limit anything.
        add("license_memory_limit", "unlimited".into());
        add("query+graph_memory_tracked", size_text(graph_bytes + query_bytes).into());
        add("vector_index_memory_tracked", size_text(0).into());
        let levels = &about.isolation;
        add("global_isolation_level", isolation::word(levels.global).into());
        add("session_isolation_level", levels.session.map_or("", isolation::word).into());
        add("next_session_isolation_level", levels.next.map_or("", isolation::word).into());
        add("global_storage_mode", "IN_MEMORY_TRANSACTIONAL".into());
    } else {
        add("state", "hot".into());
    }
    add("storage_mode", "IN_MEMORY_TRANSACTIONAL".into());
    add("vertex_count", int(counts.vertices));
    add("edge_count", int(counts.edges));
    add("average_degree", degree.into());
    add("unreleased_delta_objects", int(tx.graph().versions_kept()));
    add("graph_memory_tracked", size_text(graph_bytes).into());
    if !of_node {
        add("disk_usage", disk.into());
        add("query_memory_tracked", size_text(query_bytes).into());
        add("vector_index_memory_tracked", size_text(0).into());
        add("tenant_memory_tracked", size_text(graph_bytes + query_bytes).into());
        // What is held at most is known of the process alone.
        add("tenant_peak_memory_tracked", PackValue::Null);
        add("tenant_memory_limit", "unlimited".into());
    }
    add("storage_isolation_level", isolation::given(about.isolation.global).into());
    add("health", "ready".into());
    table
}

/// Adds up the files below a folder. What goes away meanwhile is not counted.
fn bytes_below(folder: &Path) -> u64 {
    let mut folders = vec![folder.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(entry.path()),
                Ok(found) => bytes += found.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

/// As Memgraph writes sizes: `1.20GiB`.
fn size_text(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return format!("{value:.2}{unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.2}TiB")
}

fn int(n: u64) -> PackValue {
    PackValue::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

// --------------------------------------------------------------------------------------------- work

/// `FREE MEMORY`: drops every version that no reader needs. The allocator gives freed pages back by itself.
pub(super) fn free_memory(graph: Arc<Graph>, stop: Arc<AtomicBool>) -> Work {
    Box::new(move |_| {
        while graph.collect_garbage().more {
            check(&stop)?;
        }
        Ok(Vec::new())
    })
}

/// Ends a statement that was asked to stop.
fn check(stop: &AtomicBool) -> Result<(), CypherError> {
    match stop.load(Ordering::Relaxed) {
        true => Err(CypherError::limit("The statement was asked to stop.").transient()),
        false => Ok(()),
    }
}

/// `TERMINATE TRANSACTIONS`: `"*"` stands for all that are under way.
pub(super) fn terminate(ids: Vec<Arc<str>>, all: Arc<Transactions>) -> Work {
    Box::new(move |_| {
        let mut named: Vec<String> = Vec::new();
        for id in &ids {
            match &**id {
                "*" => named.extend(all.shown().iter().map(|t| t.id.to_string())),
                id => named.push(id.to_owned()),
            }
        }
        let stop = |id: String| {
            let killed = id.trim().parse().is_ok_and(|number| all.terminate(number));
            vec![id.into(), killed.into()]
        };
        Ok(named.into_iter().map(stop).collect())
    })
}

/// `ANALYZE GRAPH`, until the flag is raised.
pub(super) fn analyze(labels: Vec<Symbol>, delete: bool, stop: Arc<AtomicBool>) -> Work {
    Box::new(move |tx| {
        let tx = tx.expect("it has a transaction");
        let check = || check(&stop);
        let table = match delete {
            true => analyze::forget(&labels, tx),
            false => analyze::analyze(&labels, tx, &check)?,
        };
        let row = |row: &Vec<Value>| row.iter().map(wire::plain).collect();
        Ok(table.rows.iter().map(row).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_the_largest_unit_that_leaves_one() {
        let texts = [0, 1023, 1024, 1_288_490_189, 5 << 40].map(size_text);
        assert_eq!(texts, ["0.00B", "1023.00B", "1.00KiB", "1.20GiB", "5.00TiB"]);
    }

    #[test]
    fn a_folder_counts_with_all_below_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("wal")).unwrap();
        std::fs::write(folder.path().join("state"), [0; 10]).unwrap();
        std::fs::write(folder.path().join("wal/1.wal"), [0; 100]).unwrap();
        assert_eq!(bytes_below(folder.path()), 110);
        assert_eq!(bytes_below(&folder.path().join("none")), 0);
    }
}
