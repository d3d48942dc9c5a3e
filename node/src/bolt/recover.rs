//! `RECOVER SNAPSHOT`: what a snapshot file holds takes the place of all that is here, by one commit that is logged,
//! replicated and answered like any other. No record is taken back, and no replica is reset.
//!
//! The file is loaded into a graph of its own first, so that what does not fit is found before anything happens.

use super::BoltConfig;
use super::texts::{Failure, commit_failure};
use crate::disk::{LoadFailure, SnapshotReader, is_snapshot_path};
use crate::import::ImportDirectory;
use mgcypher::Taken;
use mgnode_core::engine::CommitError;
use mgnode_core::replication::RECORD_BYTES_MAX;
use mgnode_core::storage::{Commit, Graph, ReplaceError};
use mgnode_core::types::Change;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the work takes in memory by what the graph takes in the file: four times in the graph that it is loaded into,
/// about ten times as a list of changes, once encoded and once as it is read.
const MEMORY_BY_PAYLOAD: u64 = 16;

const RESTORE: &str = "Restore a backup into a new cluster instead: `mgctl backup`, `mgctl restore`.";

/// A recovery that only has to be committed.
pub(super) struct Recovery {
    /// None where nothing has to be done.
    pub(super) commit: Option<Commit>,
    /// Until its commit is settled.
    _memory: Taken,
}

/// Reads the file and makes the commit. Blocks; ends soon after the flag is raised.
pub(super) fn prepare(
    path: &str,
    force: bool,
    graph: &Arc<Graph>,
    config: &BoltConfig,
    stop: &AtomicBool,
) -> Result<Recovery, Failure> {
    let is_stopped = || stop.load(Ordering::Relaxed);
    let file = open(path, config)?;
    let (seen, here) = {
        let tx = graph.begin(true);
        let counts = tx.counts();
        let has_schema = !tx.indexes().is_empty()
            || !tx.constraints().is_empty()
            || !tx.enums().is_empty()
            || !tx.triggers().is_empty();
        if !force && (counts.vertices > 0 || has_schema) {
            return Err(refused("Storage is not clean. Try using FORCE."));
        }
        (tx.read_lsn(), counts.vertices + counts.edges)
    };
    let unusable = |error: LoadFailure| match error {
        LoadFailure::Stopped => Failure::terminated(),
        LoadFailure::Unreadable(why) => refused(format!("`{path}` cannot be used: {why}.")),
    };
    let reader = SnapshotReader::open(file).map_err(|error| unusable(error.into()))?;
    check_record(reader.payload_bytes())?;
    let change_bytes = size_of::<Change>() as u64;
    let needed = reader.payload_bytes().saturating_mul(MEMORY_BY_PAYLOAD) + here.saturating_mul(change_bytes);
    let memory = take(needed, config)?;
    let there = reader.load(graph.names().clone(), &is_stopped).map_err(unusable)?;
    let commit = graph.replacement(&there, &is_stopped).map_err(|error| match error {
        ReplaceError::Stopped => Failure::terminated(),
        ReplaceError::NoIds | ReplaceError::Invalid(_) => {
            refused(format!("`{path}` cannot be used: {error}."))
        }
    })?;
    // What others committed while the file was read was not there to be judged, nor meant to go.
    if commit.as_ref().map_or_else(|| graph.published(), |commit| commit.read) != seen {
        return Err(commit_failure(CommitError::Conflict));
    }
    check_record(commit.as_ref().map_or(0, |commit| commit.payload.len() as u64))?;
    Ok(Recovery { commit, _memory: memory })
}

fn refused(why: impl AsRef<str>) -> Failure {
    Failure::client(format!("Failed to recover a snapshot. {}", why.as_ref()))
}

/// Opens a snapshot of this node, or a file that it may import. Nothing else can be read.
fn open(path: &str, config: &BoltConfig) -> Result<File, Failure> {
    let missing =
        |why: &str| Failure::client(format!("Failed to find the defined snapshot file. {why}").trim_end());
    let own = Path::new(path).strip_prefix(&config.data_directory).unwrap_or(Path::new(path));
    if is_snapshot_path(own) {
        return File::open(config.data_directory.join(own)).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => missing(""),
            _ => refused(format!("`{path}` cannot be opened: {e}.")),
        });
    }
    if config.import_directory.is_none() {
        return Err(missing(
            "It is none of `SHOW SNAPSHOTS`, and others are read from the import directory alone, which this node \
             does not have (`--import-directory`).",
        ));
    }
    let import = ImportDirectory(config.import_directory.clone());
    import.open_file(path).map_err(|error| missing(&error.message))
}

fn check_record(bytes: u64) -> Result<(), Failure> {
    if bytes <= RECORD_BYTES_MAX as u64 {
        return Ok(());
    }
    Err(refused(format!(
        "As one transaction it takes {bytes} bytes, and one may take {RECORD_BYTES_MAX}. {RESTORE}"
    )))
}

/// Takes memory for the work out of what queries may hold.
fn take(needed: u64, config: &BoltConfig) -> Result<Taken, Failure> {
    let pool = &config.query_memory;
    let most = config.query_memory_max.unwrap_or(usize::MAX).min(pool.bytes_max());
    let bytes = usize::try_from(needed).unwrap_or(usize::MAX);
    if bytes > most {
        let [needed, most] = [bytes, most].map(|bytes| bytes >> 20);
        return Err(refused(format!(
            "It takes about {needed} MiB of memory beside the graph, and a query of this node may hold {most} MiB. \
             {RESTORE}"
        )));
    }
    pool.take(bytes).ok_or_else(|| {
        Failure::transient(format!(
            "Failed to recover a snapshot. It takes about {} MiB of memory beside the graph, and other queries hold \
             too much of what there is. Try again later.",
            bytes >> 20
        ))
    })
}
