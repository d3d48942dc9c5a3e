//! Constraints: what a transaction checks when it ends, and what is checked once more when its
//! commit gets an LSN.
//!
//! Existence and type are a matter of one vertex, and a vertex that another commit has changed is a conflict
//! anyway, so the transaction checks it alone. Uniqueness spans vertices: it is checked against what
//! is applied and what is in flight. A new constraint is checked by its transaction against all that
//! it sees, and then, when it gets its LSN, against what changed since.

use super::order::Key;
use crate::types::{ConstraintKind, ConstraintSpec, Names, PropertyKeyId, Value, VertexId};
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
        ConstraintKind::Typed(_) => "data type",
    };
    let keys: Vec<String> = spec.properties.iter().map(|key| names.key_name(*key).to_string()).collect();
    let label = names.label_name(spec.label);
    let demand = match spec.kind {
        ConstraintKind::Typed(kind) => format!(": the type must be {}", kind.word()),
        ConstraintKind::Exists | ConstraintKind::Unique => String::new(),
    };
    format!("Unable to commit due to {kind} constraint violation on :{label}({}){demand}", keys.join(", "))
}

/// Whether a vertex with the label and these properties keeps to a constraint, as far as it alone can.
pub(super) fn fits_alone(spec: &ConstraintSpec, property: impl Fn(PropertyKeyId) -> Value) -> bool {
    match spec.kind {
        ConstraintKind::Exists => spec.properties.iter().all(|key| !property(*key).is_null()),
        ConstraintKind::Typed(kind) => spec.properties.iter().all(|key| kind.allows(&property(*key))),
        ConstraintKind::Unique => true,
    }
}
