//! Labels, edge types and property keys as small numbers.
//!
//! The numbers are local to one process: on disk and on the wire names travel as text, so nodes
//! need not agree on numbers and an aborted transaction leaves nothing to undo. A name is never
//! forgotten, so ids stay valid for the life of the process.

use super::{EdgeTypeId, LabelId, PropertyKeyId};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The three name spaces.
#[derive(Default)]
pub struct Names {
    labels: RwLock<Space>,
    edge_types: RwLock<Space>,
    keys: RwLock<Space>,
}

/// More distinct edge types than an id can hold (65,535).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a graph holds at most 65535 edge types")]
pub struct NameLimit;

#[derive(Default)]
struct Space {
    ids: FxHashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Space {
    fn add(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = u32::try_from(self.names.len()).expect("memory ends before 2^32 names do");
        let name: Arc<str> = name.into();
        self.names.push(name.clone());
        self.ids.insert(name, id);
        id
    }
}

fn intern(space: &RwLock<Space>, name: &str) -> u32 {
    if let Some(id) = space.read().ids.get(name) {
        return *id;
    }
    space.write().add(name)
}

fn find(space: &RwLock<Space>, name: &str) -> Option<u32> {
    space.read().ids.get(name).copied()
}

fn name(space: &RwLock<Space>, id: u32) -> Arc<str> {
    space.read().names[id as usize].clone()
}

impl Names {
    /// Returns the id of a label, giving one out where it is new.
    pub fn label(&self, name: &str) -> LabelId {
        LabelId(intern(&self.labels, name))
    }

    /// Returns the id of an edge type, giving one out where it is new.
    pub fn edge_type(&self, name: &str) -> Result<EdgeTypeId, NameLimit> {
        if let Some(id) = self.find_edge_type(name) {
            return Ok(id);
        }
        let mut space = self.edge_types.write();
        if space.names.len() >= usize::from(u16::MAX) && !space.ids.contains_key(name) {
            return Err(NameLimit);
        }
        Ok(EdgeTypeId(u16::try_from(space.add(name)).expect("checked above")))
    }

    /// Returns the id of a property key, giving one out where it is new.
    pub fn key(&self, name: &str) -> PropertyKeyId {
        PropertyKeyId(intern(&self.keys, name))
    }

    /// Returns the id of a label that some transaction has used.
    pub fn find_label(&self, name: &str) -> Option<LabelId> {
        find(&self.labels, name).map(LabelId)
    }

    /// Returns the id of an edge type that some transaction has used.
    pub fn find_edge_type(&self, name: &str) -> Option<EdgeTypeId> {
        find(&self.edge_types, name).map(|id| EdgeTypeId(u16::try_from(id).expect("limited when added")))
    }

    /// Returns the id of a property key that some transaction has used.
    pub fn find_key(&self, name: &str) -> Option<PropertyKeyId> {
        find(&self.keys, name).map(PropertyKeyId)
    }

    /// Returns a label's text.
    pub fn label_name(&self, id: LabelId) -> Arc<str> {
        name(&self.labels, id.0)
    }

    /// Returns an edge type's text.
    pub fn edge_type_name(&self, id: EdgeTypeId) -> Arc<str> {
        name(&self.edge_types, u32::from(id.0))
    }

    /// Returns a property key's text.
    pub fn key_name(&self, id: PropertyKeyId) -> Arc<str> {
        name(&self.keys, id.0)
    }
}
