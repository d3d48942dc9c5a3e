//! Moving on to what is published now, as `READ COMMITTED` does before each statement.

use super::{Object, Touch, Transaction, WriteError};
use crate::storage::overlay::OwnEntries;
use crate::types::{EdgeId, VertexId};

impl Transaction {
    /// Reads what is published now from here on, with its own writes kept on top. What was read before may no longer
    /// be there. One that changes the schema stays where it began: what it checked, it checked there.
    ///
    /// # Errors
    /// [`WriteError::Conflict`] where another commit changed what this transaction wrote, by the rule that holds at
    /// commit too, or changed an enum after this one wrote something. It then can only be dropped.
    pub fn refresh(&mut self) -> Result<(), WriteError> {
        if self.own.as_ref().is_some_and(|own| !own.schema.is_empty()) {
            return Ok(());
        }
        let (pin, version) = self.graph.readers.pin();
        if version.lsn == self.version.lsn {
            return Ok(());
        }
        // Constraints are checked at the end. Which values an enum has was looked at when they were written.
        let is_enum_changed = self.own.is_some() && version.schema.enums != self.version.schema.enums;
        // The old pin still keeps the undo steps that this looks at.
        if is_enum_changed || self.is_overtaken() {
            return Err(WriteError::Conflict);
        }
        let is_same_schema = version.schema.changed == self.version.schema.changed;
        (self.pin, self.version) = (pin, version);
        if !is_same_schema {
            self.reindex_all();
        }
        Ok(())
    }

    /// Whether another commit since the read LSN conflicts with what was written here.
    fn is_overtaken(&self) -> bool {
        let Some(own) = &self.own else { return false };
        let meets = |object, touch: Touch| {
            touch != Touch::default()
                && self.graph.touched_after(object, self.version.lsn).conflicts_with(touch)
        };
        // What was created here nobody else has changed.
        let mut ends = own.created_edges.alive().flat_map(|edge| [edge.info.from, edge.info.to]);
        ends.any(|id| meets(Object::Vertex(id), Touch::EDGES))
            || own.vertices.iter().any(|(id, write)| meets(Object::Vertex(*id), write.touch))
            || own.edges.iter().any(|(id, write)| meets(Object::Edge(*id), write.touch))
    }

    /// Makes the own entries anew, for the indexes that there are now.
    fn reindex_all(&mut self) {
        let Some(own) = &mut self.own else { return };
        own.indexes = OwnEntries::default();
        own.edge_indexes = OwnEntries::default();
        own.edge_types.clear();
        let has_content = |write: &super::VertexWrite| write.labels.is_some() || write.properties.is_some();
        let written: Vec<VertexId> = own
            .vertices
            .iter()
            .filter(|(_, write)| !write.is_deleted && has_content(write))
            .map(|(id, _)| *id)
            .collect();
        // Those that were created here first, by id.
        let mut edges: Vec<EdgeId> = own.created_edges.all().iter().map(|edge| edge.id).collect();
        edges.extend(own.edges.keys().copied());
        for id in written {
            self.reindex(id, None);
        }
        for id in edges {
            self.reindex_edge(id, None);
        }
    }
}
