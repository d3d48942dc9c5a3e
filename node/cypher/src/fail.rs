//! Run-time errors by their names in the openCypher TCK.

use crate::error::{CypherError, ErrorKind};
use mgnode_core::storage::WriteError;

/// An argument of a type that the operation does not take.
pub(crate) fn types(message: impl Into<String>) -> CypherError {
    CypherError::runtime(ErrorKind::TypeError, "InvalidArgumentType", message)
}

/// An argument of the right type, or of one of many, whose value does not do.
pub(crate) fn value(message: impl Into<String>) -> CypherError {
    CypherError::runtime(ErrorKind::TypeError, "InvalidArgumentValue", message)
}

/// A number outside of what the operation takes.
pub(crate) fn argument(detail: &'static str, message: impl Into<String>) -> CypherError {
    CypherError::runtime(ErrorKind::ArgumentError, detail, message)
}

/// A computation without a result.
pub(crate) fn arithmetic(detail: &'static str, message: impl Into<String>) -> CypherError {
    CypherError::runtime(ErrorKind::ArithmeticError, detail, message)
}

/// Something of a vertex or an edge that the query has deleted.
pub(crate) fn deleted(what: &str) -> CypherError {
    CypherError::runtime(
        ErrorKind::EntityNotFound,
        "DeletedEntityAccess",
        format!("the query has deleted this {what}; only the {what} itself can still be named"),
    )
}

/// The transaction refused a write.
pub(crate) fn write(error: WriteError) -> CypherError {
    match error {
        WriteError::HasEdges(id) => CypherError::runtime(
            ErrorKind::ConstraintVerificationFailed,
            "DeleteConnectedNode",
            format!("Failed to remove node because of it's existing connections: vertex {id} still has relationships; delete them first or use `DETACH DELETE`"),
        ),
        WriteError::BadValue(what) => CypherError::runtime(ErrorKind::TypeError, "InvalidPropertyType", what.to_string()),
        WriteError::NoSuchVertex(_) => deleted("node"),
        WriteError::NoSuchEdge(_) => deleted("relationship"),
        WriteError::Constraint(text) => CypherError::statement(text),
        WriteError::Conflict => {
            CypherError::statement("Cannot resolve conflicting transactions. You can retry this transaction when the conflicting transaction is finished.").transient()
        }
        other => CypherError::limit(other.to_string()),
    }
}
