//! From the YAML that asks for a cluster to a [`Topology`] with every default filled in, or to every problem of
//! the file at once, each with its line.

mod model;

pub use model::*;
