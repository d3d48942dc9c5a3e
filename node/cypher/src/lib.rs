//! Cypher: from text to rows.

pub mod ast;
pub mod error;
mod lexer;
pub mod parser;
pub mod semantics;

pub use error::{CypherError, ErrorKind, Phase};
pub use parser::parse;
