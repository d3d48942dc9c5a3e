//! The graph in memory: many versions for readers, one writer.
//!
//! ```text
//!  Transaction ── reads at one LSN ──▶ Graph: chunks of vertex and edge slots, label bitmaps, indexes
//!      │ own writes in an overlay        ▲  newest state in the slots, undo steps beside them
//!      ▼ finish                          │
//!    Commit ── conflicts? ── LSN ── apply, publish (MAIN, REPLICA and recovery alike)
//! ```
//!
//! - Nothing that is not committed is in the shared graph. A commit becomes a list of changes; applying
//!   it is the only way the graph changes ([`Graph::apply`]), so every node that applies the same
//!   records holds the same graph, with the same ids, and scans in the same order: vertices and label
//!   members by vertex id, edges at a vertex by edge id, index entries by (value, id).
//! - A reader sees one LSN. The slots hold the newest state; undo steps ([`delta`]) lead back. Readers
//!   wait for a writer only while it has the one chunk locked that they look at, and, as they begin, while it applies
//!   a record quietly ([`mvcc`]): some milliseconds at most.
//! - First committer wins ([`commit`]): two commits that write one object conflict, and so do a
//!   deletion and an edge at what is deleted; edges added at one vertex do not, nor do they with a
//!   change of its labels or properties.
//! - The past is kept while someone may read it ([`mvcc`], [`gc`]).
//! - Lock order: writer, then readers' registry, then chunk directory, chunk, and last the label sets,
//!   bitmaps and index trees, each on its own.
//!
//! Left out: durability, replication and waiting; those who call have done that.

mod adjacency;
mod apply;
mod chunk;
mod codec;
mod commit;
mod constraint;
mod delta;
mod edge;
mod gc;
mod index;
mod labels;
mod load;
mod members;
mod memory;
mod mvcc;
mod order;
mod overlay;
mod properties;
mod replace;
mod schema;
mod statistics;
mod summary;
#[cfg(test)]
mod tests;
mod transaction;
mod vertex;
mod view;

pub use apply::ApplyError;
pub use codec::{DecodeError, NESTING_MAX, ValueError, check_value, needs_protocol_3, protocol_of};
pub use commit::{Commit, Conflict, InFlight};
pub use gc::GcStats;
pub use index::{IndexBounds, IndexCursor};
pub use load::LoadError;
pub use memory::Memory;
pub use replace::ReplaceError;
pub use statistics::IndexStatistics;
pub use summary::{DeletedEdge, DeletedVertex, LabelChange, PropertyChange, Summary};
pub use transaction::{Direction, EdgeInfo, Expansion, Transaction, Wanted, WriteError};
pub use view::View;

use crate::types::{Change, LabelId, Lsn, Names};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Ids are below this.
const ID_END: u64 = 1 << 40;

/// How many vertices and edges there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub vertices: u64,
    pub edges: u64,
}

/// Memgraph's counter, for `ts` and `behind` in `SHOW REPLICAS`; nothing is compared by it.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    /// Takes a value: start-up, the start of a transaction on MAIN, a commit.
    pub fn take(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the value that would be taken next.
    pub fn next(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Makes every later value greater than `ts`.
    pub fn adopt(&self, ts: u64) {
        self.0.fetch_max(ts.saturating_add(1), Ordering::Relaxed);
    }
}

/// The graph, shared by everyone in a process that works on it.
pub struct Graph {
    names: Arc<Names>,
    clock: Clock,
    vertices: chunk::Chunks<vertex::VertexChunk>,
    edges: chunk::Chunks<edge::EdgeChunk>,
    label_sets: labels::LabelSets,
    members: labels::LabelMembers,
    readers: Arc<mvcc::Readers>,
    statistics: statistics::Statistics,
    /// Held while anything changes, and while garbage is collected.
    writer: Mutex<Writer>,
    /// Greater than every id that was applied or given out.
    next_vertex: AtomicU64,
    next_edge: AtomicU64,
    needs_protocol_3: AtomicBool,
}

/// What only the writer needs.
#[derive(Default)]
struct Writer {
    applied: Lsn,
    counts: Counts,
    schema: Arc<schema::Schema>,
    /// One more than the highest id applied.
    next_vertex: u64,
    next_edge: u64,
    garbage: VecDeque<gc::Garbage>,
    /// Blocks of a snapshot were loaded, and not yet published.
    is_loading: bool,
}

impl Writer {
    fn version(&self) -> mvcc::Version {
        mvcc::Version {
            lsn: self.applied,
            counts: self.counts,
            schema: self.schema.clone(),
            next_vertex: self.next_vertex,
            next_edge: self.next_edge,
        }
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, ts) = self.readers.published();
        f.debug_struct("Graph")
            .field("published", &version.lsn)
            .field("ts", &ts)
            .field("counts", &version.counts)
            .finish_non_exhaustive()
    }
}

impl Graph {
    /// Makes an empty graph. This is a start-up: the clock's first value is taken.
    pub fn new(names: Arc<Names>) -> Graph {
        let clock = Clock::default();
        clock.take();
        Graph {
            names,
            clock,
            vertices: chunk::Chunks::default(),
            edges: chunk::Chunks::default(),
            label_sets: labels::LabelSets::default(),
            members: labels::LabelMembers::default(),
            readers: Arc::default(),
            statistics: statistics::Statistics::default(),
            writer: Mutex::default(),
            next_vertex: AtomicU64::new(0),
            next_edge: AtomicU64::new(0),
            needs_protocol_3: AtomicBool::new(false),
        }
    }

    /// Returns the names of labels, edge types and property keys.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// Returns the counter that `ts` is taken from.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns the last record that new readers see.
    pub fn published(&self) -> Lsn {
        self.readers.published_lsn()
    }

    /// Returns the `ts` of that record.
    pub fn published_ts(&self) -> u64 {
        self.readers.published().1
    }

    /// Counts what is published.
    pub fn counts(&self) -> Counts {
        self.readers.published().0.counts
    }

    /// Counts the vertices with a label, in the newest state.
    pub fn label_count(&self, label: LabelId) -> u64 {
        self.members.count(label)
    }

    /// Begins a transaction. `count_clock` where this node is MAIN: the start takes a value of the clock.
    pub fn begin(self: &Arc<Self>, count_clock: bool) -> Transaction {
        if count_clock {
            self.clock.take();
        }
        Transaction::new(self.clone())
    }

    /// Pins the graph as published now, for a snapshot or a digest.
    pub fn view(self: &Arc<Self>) -> View {
        View::new(self.clone())
    }

    /// Whether this graph holds, or has held since it was loaded, what no program of an earlier protocol than 3 can read:
    /// a snapshot that was taken meanwhile may hold it still.
    pub fn needs_protocol_3(&self) -> bool {
        self.needs_protocol_3.load(Ordering::Relaxed)
    }

    /// Encodes changes, as a record's payload or a snapshot's block.
    ///
    /// # Panics
    /// On a value that no property can hold. Transactions refuse those ([`check_value`]), and so does
    /// `decode`, so none is in changes that come from a commit, a record or a view.
    pub fn encode(&self, changes: &[Change]) -> Vec<u8> {
        codec::encode(&self.names, changes).expect("values are checked before they become changes")
    }

    /// Decodes what `encode` made, maybe on another node. Never panics, whatever the bytes.
    ///
    /// # Errors
    /// Bytes that are not that.
    pub fn decode(&self, bytes: &[u8]) -> Result<Vec<Change>, DecodeError> {
        codec::decode(&self.names, bytes)
    }

    /// Shows everything applied up to `lsn` to readers that begin from now on, and makes the clock go
    /// on after `ts`. After `load`, ends the load: the graph is as of `lsn`.
    pub fn publish(&self, lsn: Lsn, ts: u64) {
        self.clock.adopt(ts);
        let mut writer = self.writer.lock();
        // A snapshot of an empty graph has no blocks.
        if writer.is_loading || writer.applied == Lsn::ZERO && lsn > Lsn::ZERO {
            writer.is_loading = false;
            writer.applied = lsn;
            let version = writer.version();
            self.readers.applied(version);
        }
        assert!(lsn <= writer.applied, "record {lsn} is published before it is applied");
        self.readers.publish(lsn, ts);
    }
}
