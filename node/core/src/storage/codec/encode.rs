//! Changes are written, with tables of the names that they use.

use super::values::{write_bytes, write_value, write_varint};
use super::{ValueError, check_value, needs_protocol_3};
use crate::types::{
    Change, ConstraintKind, ConstraintSpec, EdgeTypeId, EnumSpec, IndexSpec, LabelId, PropertyKeyId,
    TriggerPhase, Value,
};
use rustc_hash::FxHashMap;

pub(super) struct Table<K> {
    pub(super) places: FxHashMap<K, u64>,
    pub(super) order: Vec<K>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Table { places: FxHashMap::default(), order: Vec::new() }
    }
}

impl<K: Copy + Eq + std::hash::Hash> Table<K> {
    pub(super) fn place(&mut self, id: K) -> u64 {
        *self.places.entry(id).or_insert_with(|| {
            self.order.push(id);
            self.order.len() as u64 - 1
        })
    }
}

#[derive(Default)]
pub(super) struct Encoder {
    pub(super) labels: Table<LabelId>,
    pub(super) edge_types: Table<EdgeTypeId>,
    pub(super) keys: Table<PropertyKeyId>,
    pub(super) body: Vec<u8>,
    /// Something in it is of [`VERSION_SCHEMA`](super::VERSION_SCHEMA).
    pub(super) is_extended: bool,
}

impl Encoder {
    pub(super) fn varint(&mut self, n: u64) {
        write_varint(&mut self.body, n);
    }

    pub(super) fn label(&mut self, label: LabelId) {
        let place = self.labels.place(label);
        self.varint(place);
    }

    pub(super) fn edge_type(&mut self, edge_type: EdgeTypeId) {
        let place = self.edge_types.place(edge_type);
        self.varint(place);
    }

    pub(super) fn key(&mut self, key: PropertyKeyId) {
        let place = self.keys.place(key);
        self.varint(place);
    }

    pub(super) fn properties(&mut self, properties: &[(PropertyKeyId, Value)]) -> Result<(), ValueError> {
        self.varint(properties.len() as u64);
        for (key, value) in properties {
            self.key(*key);
            self.value(value)?;
        }
        Ok(())
    }

    pub(super) fn value(&mut self, value: &Value) -> Result<(), ValueError> {
        check_value(value)?;
        write_value(&mut self.body, value);
        Ok(())
    }

    pub(super) fn change(&mut self, change: &Change) -> Result<(), ValueError> {
        self.is_extended |= needs_protocol_3(change).is_some();
        match change {
            Change::CreateVertex { id, labels, properties } => {
                self.body.push(1);
                self.varint(id.0);
                self.varint(labels.len() as u64);
                for label in labels {
                    self.label(*label);
                }
                self.properties(properties)?;
            }
            Change::DeleteVertex { id } => {
                self.body.push(2);
                self.varint(id.0);
            }
            Change::AddLabel { id, label } => {
                self.body.push(3);
                self.varint(id.0);
                self.label(*label);
            }
            Change::RemoveLabel { id, label } => {
                self.body.push(4);
                self.varint(id.0);
                self.label(*label);
            }
            Change::SetVertexProperty { id, key, value } => {
                self.body.push(5);
                self.varint(id.0);
                self.key(*key);
                self.value(value)?;
            }
            Change::CreateEdge { id, from, to, edge_type, properties } => {
                self.body.push(6);
                self.varint(id.0);
                self.varint(from.0);
                self.varint(to.0);
                self.edge_type(*edge_type);
                self.properties(properties)?;
            }
            Change::DeleteEdge { id } => {
                self.body.push(7);
                self.varint(id.0);
            }
            Change::SetEdgeProperty { id, key, value } => {
                self.body.push(8);
                self.varint(id.0);
                self.key(*key);
                self.value(value)?;
            }
            Change::CreateIndex(index) => {
                self.body.push(9);
                self.index(index);
            }
            Change::DropIndex(index) => {
                self.body.push(10);
                self.index(index);
            }
            Change::CreateConstraint(constraint) => {
                self.body.push(11);
                self.constraint(constraint);
            }
            Change::DropConstraint(constraint) => {
                self.body.push(12);
                self.constraint(constraint);
            }
            Change::SetEnum(EnumSpec { name, values }) => {
                self.body.push(13);
                self.text(name);
                self.varint(values.len() as u64);
                values.iter().for_each(|value| self.text(value));
            }
            Change::DropEnum { name } => {
                self.body.push(14);
                self.text(name);
            }
            Change::CreateTrigger(trigger) => {
                self.body.push(15);
                self.text(&trigger.name);
                self.body.push(trigger.event.number());
                self.body.push(u8::from(trigger.phase == TriggerPhase::AfterCommit));
                self.text(&trigger.statement);
            }
            Change::DropTrigger { name } => {
                self.body.push(16);
                self.text(name);
            }
        }
        Ok(())
    }

    pub(super) fn key_list(&mut self, keys: &[PropertyKeyId]) {
        self.varint(keys.len() as u64);
        for key in keys {
            self.key(*key);
        }
    }

    pub(super) fn index(&mut self, index: &IndexSpec) {
        match index {
            IndexSpec::Label(label) => {
                self.body.push(1);
                self.label(*label);
            }
            IndexSpec::LabelProperties(label, keys) => {
                self.body.push(2);
                self.label(*label);
                self.key_list(keys);
            }
            IndexSpec::EdgeType(edge_type) => {
                self.body.push(3);
                self.edge_type(*edge_type);
            }
            IndexSpec::EdgeTypeProperties(edge_type, keys) => {
                self.body.push(4);
                self.edge_type(*edge_type);
                self.key_list(keys);
            }
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        write_bytes(&mut self.body, text.as_bytes());
    }

    pub(super) fn constraint(&mut self, constraint: &ConstraintSpec) {
        match constraint.kind {
            ConstraintKind::Exists => self.body.push(1),
            ConstraintKind::Unique => self.body.push(2),
            ConstraintKind::Typed(kind) => {
                self.body.extend([3, kind as u8]);
            }
        }
        self.label(constraint.label);
        self.key_list(&constraint.properties);
    }
}
