//! What a commit did, step by step.

use super::{EdgeId, EdgeTypeId, LabelId, PropertyKeyId, Value, VertexId};

/// One redo step. A commit is a list of them, applied in order, the same on every node.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A new vertex. Labels and keys are each distinct; no value is Null.
    CreateVertex { id: VertexId, labels: Vec<LabelId>, properties: Vec<(PropertyKeyId, Value)> },
    /// The vertex goes; it has no edges left at this point.
    DeleteVertex { id: VertexId },
    /// A label is added that was not there.
    AddLabel { id: VertexId, label: LabelId },
    /// A label is removed that was there.
    RemoveLabel { id: VertexId, label: LabelId },
    /// A property is set, or removed where the value is Null.
    SetVertexProperty { id: VertexId, key: PropertyKeyId, value: Value },
    /// A new edge between vertices that exist.
    CreateEdge {
        id: EdgeId,
        from: VertexId,
        to: VertexId,
        edge_type: EdgeTypeId,
        properties: Vec<(PropertyKeyId, Value)>,
    },
    /// The edge goes.
    DeleteEdge { id: EdgeId },
    /// A property is set, or removed where the value is Null.
    SetEdgeProperty { id: EdgeId, key: PropertyKeyId, value: Value },
    /// An index is built over what is there.
    CreateIndex(IndexSpec),
    /// An index goes.
    DropIndex(IndexSpec),
    /// A constraint holds from here on.
    CreateConstraint(ConstraintSpec),
    /// A constraint no longer holds.
    DropConstraint(ConstraintSpec),
}

impl Change {
    /// Returns true if the graph may need more memory with this change than without.
    pub fn grows(&self) -> bool {
        match self {
            Change::CreateVertex { .. }
            | Change::AddLabel { .. }
            | Change::CreateEdge { .. }
            | Change::CreateIndex(_)
            | Change::CreateConstraint(_) => true,
            Change::SetVertexProperty { value, .. } | Change::SetEdgeProperty { value, .. } => {
                *value != Value::Null
            }
            Change::DeleteVertex { .. }
            | Change::RemoveLabel { .. }
            | Change::DeleteEdge { .. }
            | Change::DropIndex(_)
            | Change::DropConstraint(_) => false,
        }
    }
}

/// Which index is meant. Later kinds (edge types, points) become further variants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexSpec {
    /// Vertices by label.
    Label(LabelId),
    /// Vertices by label and the values of one or more properties, in this order.
    LabelProperties(LabelId, Vec<PropertyKeyId>),
}

/// Which constraint is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConstraintSpec {
    /// Vertices with this label are bound by it.
    pub label: LabelId,
    /// Sorted by name for `Unique`, exactly one for `Exists`.
    pub properties: Vec<PropertyKeyId>,
    /// What it demands.
    pub kind: ConstraintKind,
}

/// What a constraint demands of every vertex with its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConstraintKind {
    /// The property is there.
    Exists,
    /// No two vertices have equal values in all the properties; one that lacks any is free.
    Unique,
}
