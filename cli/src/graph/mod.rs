//! A graph on its way from one place to another: out of a server, as Cypher text, out of CSV, into a server.
//!
//! ```text
//! server ─► read ──┐                        ┌─► text        (dump)
//! CSV ────► csv ───┴─► cypherl (statements) ┼─► archive     (backup)
//! text, archive ─► statements ──────────────┴─► feed ─► server   (import, restore)
//! ```
//!
//! There is one form for everything: Cypher statements, a line each. A vertex travels with a label and a property of
//! its own by which edges find it ([`cypherl::MARK`], [`cypherl::MARK_ID`]), and both are taken off at the end. They
//! are those of Memgraph's own dumps.
//!
//! Nothing here holds a graph in memory. What grows with it: 16 bytes for each vertex that is read from a server,
//! which edges are checked against, and the ids of a CSV file's vertices. An import keeps the rows of small files.

pub mod archive;
pub mod csv;
pub mod cypherl;
pub mod digest;
pub mod feed;
pub mod literal;
#[cfg(test)]
mod mutations;
pub mod read;
pub mod schema;
pub mod statements;

use mgbolt::Map;

/// A vertex as it travels.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Vertex {
    /// Names it for the edges of the same source; not kept.
    pub id: i64,
    pub labels: Vec<String>,
    pub properties: Map,
}

/// An edge as it travels.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Edge {
    /// [`Vertex::id`] of its ends.
    pub start: i64,
    pub end: i64,
    /// Its type.
    pub kind: String,
    pub properties: Map,
}
