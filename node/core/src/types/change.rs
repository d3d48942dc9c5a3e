//! What a commit did, step by step.

use super::{
    ConstraintSpec, EdgeId, EdgeTypeId, EnumSpec, IndexSpec, LabelId, PropertyKeyId, TriggerSpec, Value,
    VertexId,
};
use std::sync::Arc;

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
    /// An enum has these values from here on, whether it was there or not.
    SetEnum(EnumSpec),
    /// An enum goes. Values of it that properties hold stay.
    DropEnum { name: Arc<str> },
    /// A trigger holds from the next transaction on.
    CreateTrigger(Arc<TriggerSpec>),
    /// A trigger goes.
    DropTrigger { name: Arc<str> },
}

impl Change {
    /// Returns true if the graph may need more memory with this change than without.
    pub fn grows(&self) -> bool {
        match self {
            Change::CreateVertex { .. }
            | Change::AddLabel { .. }
            | Change::CreateEdge { .. }
            | Change::CreateIndex(_)
            | Change::CreateConstraint(_)
            | Change::SetEnum(_)
            | Change::CreateTrigger(_) => true,
            Change::SetVertexProperty { value, .. } | Change::SetEdgeProperty { value, .. } => {
                *value != Value::Null
            }
            Change::DeleteVertex { .. }
            | Change::RemoveLabel { .. }
            | Change::DeleteEdge { .. }
            | Change::DropIndex(_)
            | Change::DropConstraint(_)
            | Change::DropEnum { .. }
            | Change::DropTrigger { .. } => false,
        }
    }
}
