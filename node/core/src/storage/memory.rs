//! How many bytes the graph holds, by its own count.

use super::Graph;

/// Bytes held, allocator slack included as far as it can be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Slots of vertices, and the directory that finds them.
    pub vertices: u64,
    /// Slots of edges, and the directory that finds them.
    pub edges: u64,
    /// Both sides of every edge.
    pub adjacency: u64,
    /// Properties of vertices and edges.
    pub properties: u64,
    /// Which vertices have a label.
    pub labels: u64,
    /// Indexes over properties and over types of edges, those of unique constraints too.
    pub indexes: u64,
    /// What is kept for older readers.
    pub deltas: u64,
}

impl Memory {
    /// Everything but the indexes.
    pub fn graph_bytes(&self) -> u64 {
        self.vertices + self.edges + self.adjacency + self.properties + self.labels + self.deltas
    }
}

/// Returns what an allocation of `bytes` costs with a common allocator: 8 bytes of its own, rounded
/// up to 16, at least 32.
pub(super) fn heap(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

impl Graph {
    /// Counts bytes by walking everything; not for a hot path.
    pub fn memory(&self) -> Memory {
        let mut memory = Memory {
            vertices: self.vertices.directory_bytes(),
            edges: self.edges.directory_bytes(),
            labels: self.members.bytes(),
            ..Memory::default()
        };
        let mut from = 0;
        while let Some((first, [slots, adjacency, properties, deltas])) =
            self.vertices.read_from(from, |first, chunk| (first, chunk.bytes()))
        {
            memory.vertices += slots as u64;
            memory.adjacency += adjacency as u64;
            memory.properties += properties as u64;
            memory.deltas += deltas as u64;
            from = first + super::chunk::CHUNK as u64;
        }
        from = 0;
        while let Some((first, [slots, properties, deltas])) =
            self.edges.read_from(from, |first, chunk| (first, chunk.bytes()))
        {
            memory.edges += slots as u64;
            memory.properties += properties as u64;
            memory.deltas += deltas as u64;
            from = first + super::chunk::CHUNK as u64;
        }
        let writer = self.writer.lock();
        memory.indexes = writer.schema.index_bytes();
        memory.deltas += writer.garbage_bytes();
        memory
    }
}
