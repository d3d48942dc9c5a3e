//! Cypher: from text to rows.

pub mod ast;
pub mod error;
pub mod semantics;

pub use error::{CypherError, ErrorKind, Phase};
