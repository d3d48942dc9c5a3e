//! mgctl: turns a YAML topology into a running, replicated graph-database cluster, and operates it.

pub mod error;
pub mod topology;
