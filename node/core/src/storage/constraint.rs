//! Constraints: what a transaction checks when it ends, and what is checked once more when its
//! commit gets an LSN.
//!
//! Existence is a matter of one vertex, and a vertex that another commit has changed is a conflict
//! anyway, so the transaction checks it alone. Uniqueness spans vertices: it is checked against what
//! is applied and what is in flight. A new constraint is checked by its transaction against all that
//! it sees, and then, when it gets its LSN, against what changed since.

use super::order::Key;
use crate::types::{ConstraintKind, ConstraintSpec, Names, VertexId};
use rustc_hash::FxHashMap;

/// A constraint that a transaction creates.
pub(super) struct NewConstraint {
    pub(super) spec: ConstraintSpec,
    /// For `Unique`: who had which key when the transaction looked.
    pub(super) holders: FxHashMap<Key, VertexId>,
}

/// Returns the text of a violation.
pub(super) fn violation(names: &Names, spec: &ConstraintSpec) -> String {
    let kind = match spec.kind {
        ConstraintKind::Exists => "existence",
        ConstraintKind::Unique => "unique",
    };
    let keys: Vec<String> = spec.properties.iter().map(|key| names.key_name(*key).to_string()).collect();
    let label = names.label_name(spec.label);
    format!("Unable to commit due to {kind} constraint violation on :{label}({})", keys.join(", "))
}
