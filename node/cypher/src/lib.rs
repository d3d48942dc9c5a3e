//! Cypher.
