//! The graph in memory.

/// The graph.
#[derive(Debug)]
pub struct Graph {}
/// A pinned view.
#[derive(Debug)]
pub struct View {}
/// What a transaction wants to commit.
#[derive(Debug)]
pub struct Commit {}
