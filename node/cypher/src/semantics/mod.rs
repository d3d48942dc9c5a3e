//! Meaning: which variable is meant, what kind of thing it is, and what a query may not say.
//!
//! [`analyze`] walks the clauses in their order with the variables in scope. Every name becomes a
//! [`crate::ast::VarId`]; `*` becomes the variables that it stands for; in a projection with aggregates
//! what is a grouping key becomes that key's variable, so that behind the grouping only keys and
//! aggregates are needed. The errors are those of the openCypher TCK.
//!
//! Types are inferred only as far as the text shows them, and only what cannot succeed is refused.

mod clauses;
mod expressions;
mod patterns;
mod projection;
mod scope;
mod types;
mod visit;

use crate::ast::{Name, Query, VarId};
use crate::error::CypherError;

/// Resolves the names of a query, and refuses what it may not say.
pub fn analyze(query: &Query, catalog: &dyn Catalog) -> Result<Analyzed, CypherError> {
    analyze_given(query, catalog, &[])
}

/// As [`analyze`], for a query that is given variables by whoever runs it.
pub fn analyze_given(query: &Query, catalog: &dyn Catalog, given: &[&str]) -> Result<Analyzed, CypherError> {
    clauses::analyze(query.clone(), catalog, given).map_err(|error| error.located(&query.text))
}

/// What a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arity {
    pub min: usize,
    /// `usize::MAX` where there is no limit.
    pub max: usize,
}

/// What the rest of the crate knows and a query may name.
pub trait Catalog {
    /// Returns what the function takes, whatever the case of its name; None where there is none.
    fn function(&self, name: &str) -> Option<Arity>;

    /// Returns names near which a misspelt function is looked for.
    fn function_names(&self) -> Vec<&str>;

    /// Returns what the procedure takes and yields; None where there is none.
    fn procedure(&self, name: &str) -> Option<ProcedureShape>;
}

/// What a procedure takes and yields.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ProcedureShape {
    /// Names of the arguments, in order, with what they must be.
    pub args: Vec<(Name, ArgumentKind)>,
    /// How many of them, from the first, must be given.
    pub args_needed: usize,
    /// Names of the fields, in order.
    pub fields: Vec<(Name, VariableKind)>,
    /// It may change the graph.
    pub writes: bool,
}

/// What an argument of a procedure must be, as far as a literal shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    Any,
    Boolean,
    Integer,
    Float,
    Number,
    String,
    List,
    Map,
}

impl ArgumentKind {
    /// Returns the words for messages.
    fn words(self) -> &'static str {
        match self {
            ArgumentKind::Any => "a value",
            ArgumentKind::Boolean => "a boolean",
            ArgumentKind::Integer => "an integer",
            ArgumentKind::Float => "a float",
            ArgumentKind::Number => "a number",
            ArgumentKind::String => "a string",
            ArgumentKind::List => "a list",
            ArgumentKind::Map => "a map",
        }
    }
}

/// What a variable is, as far as the text shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableKind {
    Node,
    Relationship,
    /// Of a variable-length pattern.
    RelationshipList,
    Path,
    /// A value that is none of the above, such as the result of `1 + 2`.
    Scalar,
    /// Anything.
    Unknown,
}

/// A variable of a query; [`crate::ast::VarId`] is its place in [`Analyzed::variables`].
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// Empty for parts of a pattern that have no name.
    pub name: Name,
    pub kind: VariableKind,
}

/// A query whose names are resolved and that may be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Analyzed {
    pub query: Query,
    pub variables: Vec<Variable>,
    /// Those of the variables that it is given, which come first, that it names.
    pub given: Vec<VarId>,
    /// Names of the columns; empty where the query returns nothing.
    pub columns: Vec<Name>,
    pub reads: bool,
    pub writes: bool,
}

#[cfg(test)]
mod tests;
