//! A graph in short, whatever its ids are and in whatever order it is told.
//!
//! ```text
//! vertex  SHA-256("v", labels in order of their names, properties in order of their names)
//! edge    SHA-256("e", type, first 64 bits of the hash of its start, of its end, properties)
//! digest  sum of all of them modulo 2^128, of their first 128 bits
//! ```
//!
//! Values are hashed as Bolt 5.4 writes them, with the keys of maps in order. Graphs of equal digest have the same
//! vertices, and as many edges of the same type and properties between vertices that look the same; two vertices
//! with equal labels and properties cannot be told apart by it.

use std::fmt;

use mgbolt::{EncodeError, Encoder, Map, PackValue, Version};
use sha2::{Digest as _, Sha256};

use super::{Edge, Vertex};
use crate::words::count;

/// The sum, and what went into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    sum: u128,
    pub vertices: u64,
    pub edges: u64,
}

/// An edge whose end is no vertex of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dangling(pub i64);

/// Adds a graph up: all of its vertices, then its edges.
#[derive(Debug, Default)]
pub struct Summing {
    digest: Digest,
    /// Id and first half of the hash, of every vertex.
    vertices: Vec<(i64, u64)>,
    is_sorted: bool,
    bytes: Vec<u8>,
}

/// Why something cannot be added.
#[derive(Debug)]
pub enum SumError {
    Dangling(Dangling),
    Value(EncodeError),
}

impl Digest {
    /// Returns the sum in hexadecimal.
    pub fn text(&self) -> String {
        format!("{:032x}", self.sum)
    }

    /// Returns the digest of a graph as it was written down.
    pub fn parse(text: &str, vertices: u64, edges: u64) -> Option<Digest> {
        let sum = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
        Some(Digest { sum, vertices, edges })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (vertices, edges) = (count(self.vertices, "vertex"), count(self.edges, "edge"));
        write!(f, "{vertices}, {edges}, digest {}", &self.text()[..12])
    }
}

impl Summing {
    /// Adds a vertex.
    pub fn vertex(&mut self, vertex: &Vertex) -> Result<(), EncodeError> {
        let mut labels = vertex.labels.clone();
        labels.sort();
        let labels = labels.into_iter().map(PackValue::String).collect();
        let hash = self.hash(b"v", &[PackValue::List(labels)], &vertex.properties)?;
        self.digest.sum = self.digest.sum.wrapping_add(hash);
        self.digest.vertices += 1;
        self.vertices.push((vertex.id, (hash >> 64) as u64));
        self.is_sorted = false;
        Ok(())
    }

    /// Adds an edge between vertices that were added.
    pub fn edge(&mut self, edge: &Edge) -> Result<(), SumError> {
        if !self.is_sorted {
            self.vertices.sort_unstable();
            self.is_sorted = true;
        }
        let end = |id: i64| match self.vertices.binary_search_by_key(&id, |v| v.0) {
            Ok(at) => Ok(PackValue::Int(self.vertices[at].1.cast_signed())),
            Err(_) => Err(SumError::Dangling(Dangling(id))),
        };
        let parts = [PackValue::String(edge.kind.clone()), end(edge.start)?, end(edge.end)?];
        let hash = self.hash(b"e", &parts, &edge.properties).map_err(SumError::Value)?;
        self.digest.sum = self.digest.sum.wrapping_add(hash);
        self.digest.edges += 1;
        Ok(())
    }

    /// Returns the digest of what was added.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    fn hash(&mut self, kind: &[u8], parts: &[PackValue], properties: &Map) -> Result<u128, EncodeError> {
        self.bytes.clear();
        let mut encoder = Encoder::new(&mut self.bytes, Version::V5_4);
        for part in parts {
            encoder.value(part)?;
        }
        encoder.map(&ordered(properties))?;
        let mut hasher = Sha256::new();
        hasher.update(kind);
        hasher.update(&self.bytes);
        let hash = hasher.finalize();
        Ok(u128::from_be_bytes(hash[..16].try_into().expect("a hash has 32 bytes")))
    }
}

/// Returns a map with its keys in order, and so all maps in it.
fn ordered(map: &Map) -> Map {
    let mut ordered: Map = map.iter().map(|(key, value)| (key.to_owned(), ordered_value(value))).collect();
    ordered.0.sort_by(|a, b| a.0.cmp(&b.0));
    ordered
}

/// Values come from a codec that limits how deep they nest.
fn ordered_value(value: &PackValue) -> PackValue {
    match value {
        PackValue::Map(map) => PackValue::Map(ordered(map)),
        PackValue::List(items) => PackValue::List(items.iter().map(ordered_value).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vertex(id: i64, labels: &[&str], properties: Map) -> Vertex {
        Vertex { id, labels: labels.iter().map(|l| (*l).to_owned()).collect(), properties }
    }

    fn edge(start: i64, end: i64, kind: &str) -> Edge {
        Edge { start, end, kind: kind.into(), properties: Map::new().with("since", 1i64) }
    }

    fn sum(vertices: &[Vertex], edges: &[Edge]) -> Digest {
        let mut summing = Summing::default();
        vertices.iter().for_each(|v| summing.vertex(v).unwrap());
        edges.iter().for_each(|e| summing.edge(e).unwrap());
        summing.digest()
    }

    #[test]
    fn ids_and_order_do_not_count_and_everything_else_does() {
        let a = |id| vertex(id, &["B", "A"], Map::new().with("x", 1i64).with("y", "z"));
        let b = |id| vertex(id, &[], Map::new().with("m", Map::new().with("p", 1i64).with("q", 2i64)));
        let whole = sum(&[a(0), b(1)], &[edge(0, 1, "K")]);
        let other_order = [
            vertex(9, &[], Map::new().with("m", Map::new().with("q", 2i64).with("p", 1i64))),
            vertex(4, &["A", "B"], Map::new().with("y", "z").with("x", 1i64)),
        ];
        assert_eq!(sum(&other_order, &[edge(4, 9, "K")]), whole);
        let differ = [
            sum(&[a(0), b(1)], &[]),
            sum(&[a(0), b(1)], &[edge(1, 0, "K")]),
            sum(&[a(0), b(1)], &[edge(0, 1, "L")]),
            sum(&[a(0), b(1)], &[edge(0, 1, "K"), edge(0, 1, "K")]),
            sum(&[a(0), vertex(1, &[], Map::new())], &[edge(0, 1, "K")]),
            sum(&[vertex(0, &["A"], Map::new().with("x", 1i64).with("y", "z")), b(1)], &[edge(0, 1, "K")]),
            // An integer is no float.
            sum(
                &[vertex(0, &["A", "B"], Map::new().with("x", 1.0).with("y", "z")), b(1)],
                &[edge(0, 1, "K")],
            ),
        ];
        for other in differ {
            assert_ne!(other.text(), whole.text());
        }
        assert_eq!(Digest::parse(&whole.text(), 2, 1), Some(whole));
    }

    #[test]
    fn an_edge_without_its_vertex_is_told() {
        let mut summing = Summing::default();
        summing.vertex(&vertex(3, &[], Map::new())).unwrap();
        assert!(matches!(summing.edge(&edge(3, 4, "K")), Err(SumError::Dangling(Dangling(4)))));
    }
}
