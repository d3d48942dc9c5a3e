//! Reads a whole graph out of a server, in one transaction.
//!
//! mgnode and Memgraph show such a transaction one state from its first query to its last, whatever is written
//! meanwhile. Neo4j shows what is committed at each moment: there the graph is only one state if nothing writes.

use super::digest::{Digest, SumError, Summing};
use super::schema::{self, Dialect, Schema};
use super::{Edge, Vertex};
use crate::error::{CliError, Exit};
use crate::query::{Client, Map, PackValue, QueryError};

const VERTICES: &str = "MATCH (n) RETURN id(n), labels(n), properties(n)";
const EDGES: &str = "MATCH (a)-[r]->(b) RETURN id(a), id(b), type(r), properties(r)";

/// Takes a graph as it is read: its schema, all vertices, then all edges.
#[allow(async_fn_in_trait, reason = "everything that calls it runs on one task; no future crosses threads")]
pub trait Sink {
    /// Before the first vertex.
    async fn begin(&mut self, _: &Schema) -> Result<(), CliError> {
        Ok(())
    }
    async fn vertex(&mut self, _: Vertex) -> Result<(), CliError> {
        Ok(())
    }
    async fn edge(&mut self, _: Edge) -> Result<(), CliError> {
        Ok(())
    }
}

/// A sink for who only wants the digest.
pub struct Nowhere;

impl Sink for Nowhere {}

/// A graph that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub digest: Digest,
    pub schema: Schema,
}

/// Reads everything. `from` names the server, as "`main`, Bolt 127.0.0.1:7687".
///
/// # Errors
///
/// What the server or the sink says; a schema that changed meanwhile; a graph whose import was broken off.
pub async fn read(client: &mut Client, from: &str, sink: &mut impl Sink) -> Result<Read, CliError> {
    let failed = |error: QueryError| unreadable(from, &error);
    let dialect = Dialect::of(client);
    let schema = schema::read(client, dialect).await.map_err(failed)?;
    sink.begin(&schema).await?;
    let mut summing = Summing::default();
    // One transaction: both queries see one state.
    client.begin().await.map_err(failed)?;
    let mut rows = client.stream(VERTICES, Map::new()).await.map_err(failed)?;
    while let Some(row) = rows.next().await.map_err(failed)? {
        let vertex = vertex(row).ok_or_else(|| unexpected(from, "a vertex"))?;
        if vertex.labels.iter().any(|label| label == super::cypherl::MARK) {
            return Err(CliError::new(
                Exit::Degraded,
                format!(
                    "the graph has vertices `:{}`: an import is under way or was broken off",
                    super::cypherl::MARK
                ),
            )
            .code("MG108")
            .thing(from)
            .help("wait for it, or remove them"));
        }
        summing.vertex(&vertex).map_err(|e| unexpected(from, &e.to_string()))?;
        sink.vertex(vertex).await?;
    }
    let mut rows = client.stream(EDGES, Map::new()).await.map_err(failed)?;
    while let Some(row) = rows.next().await.map_err(failed)? {
        let edge = edge(row).ok_or_else(|| unexpected(from, "an edge"))?;
        summing.edge(&edge).map_err(|error| match error {
            SumError::Dangling(_) => CliError::new(Exit::Degraded, "the graph changed while it was read")
                .code("MG108")
                .thing(from)
                .note("an edge has an end that was no vertex a moment before")
                .help("stop what writes, and run it again"),
            SumError::Value(error) => unexpected(from, &error.to_string()),
        })?;
        sink.edge(edge).await?;
    }
    client.rollback().await.map_err(failed)?;
    // The schema is outside of the transaction.
    if schema::read(client, dialect).await.map_err(failed)? != schema {
        return Err(CliError::new(Exit::Degraded, "indexes or constraints changed while the graph was read")
            .code("MG108")
            .thing(from)
            .help("run it again"));
    }
    Ok(Read { digest: summing.digest(), schema })
}

fn vertex(row: Vec<PackValue>) -> Option<Vertex> {
    match <[PackValue; 3]>::try_from(row).ok()? {
        [PackValue::Int(id), PackValue::List(labels), PackValue::Map(properties)] => {
            let text = |label| match label {
                PackValue::String(label) => Some(label),
                _ => None,
            };
            Some(Vertex { id, labels: labels.into_iter().map(text).collect::<Option<_>>()?, properties })
        }
        _ => None,
    }
}

fn edge(row: Vec<PackValue>) -> Option<Edge> {
    match <[PackValue; 4]>::try_from(row).ok()? {
        [PackValue::Int(start), PackValue::Int(end), PackValue::String(kind), PackValue::Map(properties)] => {
            Some(Edge { start, end, kind, properties })
        }
        _ => None,
    }
}

fn unexpected(from: &str, what: &str) -> CliError {
    CliError::new(Exit::Other, format!("the server told {what} in a form that mgctl does not know"))
        .code("MG108")
        .thing(from)
}

fn unreadable(from: &str, error: &QueryError) -> CliError {
    CliError::new(Exit::Degraded, format!("the graph cannot be read: {error}")).code("MG067").thing(from)
}
