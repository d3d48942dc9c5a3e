//! Clauses that change the graph.

use super::eval::label_names;
use super::rows::Rows;
use super::{Machine, State};
use crate::ast::Span;
use crate::error::{CypherError, ErrorKind, placed};
use crate::fail;
use crate::functions::graph;
use crate::plan::{CreateItem, Expr, KeyName, Merge, NewName, OpId, Properties, SetOp, Slot, TypeRef};
use crate::value::{memory, type_name};
use mgnode_core::storage::Direction;
use mgnode_core::types::{EdgeId, EdgeTypeId, LabelId, PropertyKeyId, Value, VertexId};
use rustc_hash::FxHashSet;

impl<'a> Machine<'a> {
    fn label_ids(&mut self, labels: &'a [NewName]) -> Result<Vec<LabelId>, CypherError> {
        let mut out = Vec::with_capacity(labels.len());
        for label in labels {
            match label {
                NewName::Name(name) => out.push(name.intern(self.tx.names())),
                NewName::Dynamic(e) => {
                    let given = self.eval(e)?;
                    let names = self.tx.names();
                    out.extend(label_names(&given)?.iter().map(|name| names.label(name)));
                }
            }
        }
        out.sort_unstable();
        out.dedup();
        Ok(out)
    }

    fn edge_type_id(&mut self, name: &'a NewName<TypeRef>) -> Result<EdgeTypeId, CypherError> {
        let limit = |e: mgnode_core::types::NameLimit| CypherError::limit(e.to_string());
        match name {
            NewName::Name(name) => name.intern(self.tx.names()).map_err(limit),
            NewName::Dynamic(e) => match self.eval(e)? {
                Value::String(name) => self.tx.names().edge_type(&name).map_err(limit),
                other => {
                    Err(fail::types(format!("a relationship type is a string, not {}", type_name(&other))))
                }
            },
        }
    }

    /// Evaluates the properties of something new. `merge`: Null cannot be looked for again.
    fn properties(
        &mut self,
        p: &'a Properties,
        merge: bool,
    ) -> Result<Vec<(PropertyKeyId, Value)>, CypherError> {
        let mut out = Vec::new();
        match p {
            Properties::Pairs(pairs) => {
                out.reserve_exact(pairs.len());
                for (key, e, span) in pairs {
                    let v = placed(self.eval(e), *span)?;
                    out.push((key.intern(self.tx.names()), v));
                }
            }
            Properties::Map(e, span) => match placed(self.eval(e), *span)? {
                Value::Null => {}
                v => {
                    let Some(map) = graph::property_map(&self.scope(), &v)? else {
                        return Err(not_a_map(&v).at(*span));
                    };
                    let names = self.tx.names();
                    out.extend(map.iter().map(|(k, v)| (names.key(k), v.clone())));
                }
            },
        }
        for (i, (key, v)) in out.iter().enumerate() {
            let span = match p {
                Properties::Pairs(pairs) => pairs[i].2,
                Properties::Map(_, span) => *span,
            };
            if v.is_null() && merge {
                return Err(CypherError::runtime(
                    ErrorKind::SemanticError,
                    "MergeReadOwnWrites",
                    format!(
                        "`MERGE` cannot use null for property `{}`: it would never find what it creates",
                        self.tx.names().key_name(*key)
                    ),
                )
                .at(span));
            }
            placed(storable(v), span)?;
        }
        self.run.counters.properties_set += out.iter().filter(|(_, v)| !v.is_null()).count() as u64;
        Ok(out)
    }

    pub(super) fn create(&mut self, items: &'a [CreateItem]) -> Result<(), CypherError> {
        self.create_items(items, false)
    }

    fn create_items(&mut self, items: &'a [CreateItem], merge: bool) -> Result<(), CypherError> {
        for item in items {
            let (CreateItem::Node { span, .. } | CreateItem::Edge { span, .. }) = item;
            placed(self.create_item(item, merge), *span)?;
        }
        Ok(())
    }

    fn create_item(&mut self, item: &'a CreateItem, merge: bool) -> Result<(), CypherError> {
        match item {
            CreateItem::Node { slot, labels, properties, .. } => {
                let labels = self.label_ids(labels)?;
                let properties = self.properties(properties, merge)?;
                self.hold_new(&properties)?;
                let id = self.tx.create_vertex(&labels, properties).map_err(fail::write)?;
                self.run.counters.nodes_created += 1;
                self.run.counters.labels_added += labels.len() as u64;
                self.row[*slot] = Value::Vertex(id);
            }
            CreateItem::Edge { slot, from, to, edge_type, properties, .. } => {
                let (from, to) = (self.end(*from)?, self.end(*to)?);
                let edge_type = self.edge_type_id(edge_type)?;
                let properties = self.properties(properties, merge)?;
                self.hold_new(&properties)?;
                let id = self.tx.create_edge(from, to, edge_type, properties).map_err(fail::write)?;
                self.run.counters.relationships_created += 1;
                self.row[*slot] = Value::Edge(id);
            }
        }
        Ok(())
    }

    /// Accounts for a node or relationship that the transaction keeps until it commits.
    fn hold_new(&mut self, properties: &[(PropertyKeyId, Value)]) -> Result<(), CypherError> {
        /// Itself, in the transaction's own part of the graph and in its list of changes.
        const NEW_BYTES: usize = 160;
        self.run.hold_written(NEW_BYTES + properties.iter().map(|(_, v)| 16 + memory(v)).sum::<usize>())
    }

    fn end(&mut self, slot: Slot) -> Result<VertexId, CypherError> {
        match &self.row[slot] {
            Value::Vertex(v) => Ok(*v),
            Value::Null => Err(CypherError::runtime(
                ErrorKind::SemanticError,
                "MissingNode",
                "a relationship cannot be created: one of its nodes is null",
            )),
            other => Err(fail::types(format!("a relationship joins nodes, not {}", type_name(other)))),
        }
    }

    pub(super) fn merge(&mut self, id: OpId, m: &'a Merge) -> Result<bool, CypherError> {
        loop {
            if let State::Merged(rows, held) = &mut self.states[id] {
                if let Some(row) = rows.take() {
                    for (slot, v) in m.saved.iter().zip(row) {
                        self.row[*slot] = std::mem::take(v);
                    }
                    self.set(&m.on_match)?;
                    return Ok(true);
                }
                self.run.release(*held);
                self.states[id] = State::Fresh;
            }
            if !self.next(m.input)? {
                return Ok(false);
            }
            self.run.tick()?;
            // The properties are checked before they are looked for: Null would find nothing.
            let mut rows = Rows::new(m.saved.len());
            let (mut any, mut bytes, mut held) = (false, 0, 0);
            self.reset(&m.matching);
            while self.next_within(&m.matching, &mut held)? {
                self.run.tick()?;
                any = true;
                let more = rows.push(m.saved.iter().map(|s| self.row[*s].clone()));
                self.run.hold(more)?;
                bytes += more;
            }
            self.leave(&m.matching, held);
            if any {
                self.states[id] = State::Merged(rows, bytes);
                continue;
            }
            self.create_items(&m.create, true)?;
            if let Some((slot, parts)) = &m.path {
                self.row[*slot] = self.path(parts)?;
            }
            self.set(&m.on_create)?;
            return Ok(true);
        }
    }

    pub(super) fn set(&mut self, items: &'a [(SetOp, Span)]) -> Result<(), CypherError> {
        for (item, span) in items {
            placed(self.set_item(item), *span)?;
        }
        Ok(())
    }

    fn set_item(&mut self, item: &'a SetOp) -> Result<(), CypherError> {
        match item {
            SetOp::Property { target, key, value } => {
                let target = self.eval(target)?;
                let value = self.eval(value)?;
                let key = key.intern(self.tx.names());
                self.set_property(&target, key, value)?;
            }
            SetOp::Dynamic { target, key, value } => {
                let target = self.eval(target)?;
                let Value::String(key) = self.eval(key)? else {
                    return Err(fail::types("a property is named by a string"));
                };
                let value = self.eval(value)?;
                let key = KeyName::new(key).intern(self.tx.names());
                self.set_property(&target, key, value)?;
            }
            SetOp::Replace { slot, value } => {
                let target = self.row[*slot].clone();
                if target.is_null() {
                    return Ok(());
                }
                let new = self.new_properties(value)?;
                let old = match &target {
                    Value::Vertex(v) => self.tx.vertex_properties(*v),
                    Value::Edge(e) => self.tx.edge_properties(*e),
                    other => return Err(no_properties(other)),
                };
                for (key, _) in old {
                    if !new.iter().any(|(k, v)| *k == key && !v.is_null()) {
                        self.set_property(&target, key, Value::Null)?;
                    }
                }
                for (key, v) in new {
                    self.set_property(&target, key, v)?;
                }
            }
            SetOp::Merge { slot, value } => {
                let target = self.row[*slot].clone();
                if target.is_null() {
                    return Ok(());
                }
                for (key, v) in self.new_properties(value)? {
                    self.set_property(&target, key, v)?;
                }
            }
            SetOp::AddLabels { slot, labels } => {
                let ids = self.label_ids(labels)?;
                match self.row[*slot].clone() {
                    Value::Null => {}
                    Value::Vertex(v) => {
                        for id in ids {
                            if self.tx.add_label(v, id).map_err(fail::write)? {
                                self.run.counters.labels_added += 1;
                            }
                        }
                    }
                    other => {
                        return Err(fail::types(format!(
                            "labels are set on nodes, not on {}",
                            type_name(&other)
                        )));
                    }
                }
            }
            SetOp::RemoveLabels { slot, labels } => {
                let ids = self.label_ids(labels)?;
                match self.row[*slot].clone() {
                    Value::Null => {}
                    Value::Vertex(v) => {
                        for id in ids {
                            if self.tx.remove_label(v, id).map_err(fail::write)? {
                                self.run.counters.labels_removed += 1;
                            }
                        }
                    }
                    other => {
                        return Err(fail::types(format!(
                            "labels are removed from nodes, not from {}",
                            type_name(&other)
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    /// Evaluates the right side of `n = ...` or `n += ...`: a map, or something with properties.
    fn new_properties(&mut self, value: &'a Expr) -> Result<Vec<(PropertyKeyId, Value)>, CypherError> {
        let v = self.eval(value)?;
        if v.is_null() {
            return Ok(Vec::new());
        }
        match graph::property_map(&self.scope(), &v)? {
            Some(map) => {
                let names = self.tx.names();
                Ok(map.iter().map(|(k, v)| (names.key(k), v.clone())).collect())
            }
            None => Err(not_a_map(&v)),
        }
    }

    fn set_property(&mut self, target: &Value, key: PropertyKeyId, value: Value) -> Result<(), CypherError> {
        storable(&value)?;
        let removes = value.is_null();
        let old = match target {
            Value::Null => return Ok(()),
            Value::Vertex(v) => self.tx.set_vertex_property(*v, key, value).map_err(fail::write)?,
            Value::Edge(e) => self.tx.set_edge_property(*e, key, value).map_err(fail::write)?,
            other => return Err(no_properties(other)),
        };
        if !(removes && old.is_null()) {
            self.run.counters.properties_set += 1;
        }
        Ok(())
    }

    /// Takes the input to its end, deletes what the rows name (edges first), and returns the rows.
    pub(super) fn delete(
        &mut self,
        input: OpId,
        targets: &'a [(Expr, Span)],
        detach: bool,
        saved: &[Slot],
    ) -> Result<Rows, CypherError> {
        let mut rows = Rows::new(saved.len());
        let mut vertices = (Vec::new(), FxHashSet::default());
        let mut edges = (Vec::new(), FxHashSet::default());
        while self.next(input)? {
            self.run.tick()?;
            for (target, span) in targets {
                match placed(self.eval(target), *span)? {
                    Value::Null => {}
                    Value::Vertex(v) => add(&mut vertices, v),
                    Value::Edge(e) => add(&mut edges, e),
                    Value::Path(p) => {
                        add(&mut vertices, p.start);
                        for step in &p.steps {
                            add(&mut edges, step.edge);
                            add(&mut vertices, step.to);
                        }
                    }
                    other => {
                        let what = type_name(&other);
                        let what = format!("`DELETE` takes nodes, relationships and paths, not {what}");
                        return Err(fail::types(what).at(*span));
                    }
                }
            }
            let bytes = rows.push(saved.iter().map(|s| self.row[*s].clone()));
            self.run.hold(bytes)?;
        }
        for edge in edges.0 {
            self.delete_edge(edge)?;
        }
        let mut hits = Vec::new();
        if detach {
            for v in &vertices.0 {
                hits.clear();
                self.tx.expand(*v, Direction::Both, None, &mut hits);
                for (edge, ..) in hits.drain(..) {
                    self.run.tick()?;
                    self.delete_edge(edge)?;
                }
            }
        }
        for v in vertices.0 {
            self.run.tick()?;
            if self.tx.vertex_exists(v) {
                let labels = self.tx.labels(v).len() as u64;
                self.tx.delete_vertex(v).map_err(fail::write)?;
                self.run.has_deleted = true;
                self.run.counters.nodes_deleted += 1;
                self.run.counters.labels_removed += labels;
            }
        }
        Ok(rows)
    }

    fn delete_edge(&mut self, edge: EdgeId) -> Result<(), CypherError> {
        if let Some(info) = self.tx.edge(edge) {
            self.tx.delete_edge(edge).map_err(fail::write)?;
            self.run.has_deleted = true;
            self.run.deleted_edges.insert(edge, info);
            self.run.counters.relationships_deleted += 1;
        }
        Ok(())
    }
}

fn add<T: Copy + Eq + std::hash::Hash>((list, set): &mut (Vec<T>, FxHashSet<T>), id: T) {
    if set.insert(id) {
        list.push(id);
    }
}

fn not_a_map(v: &Value) -> CypherError {
    fail::types(format!("properties are given as a map, not as {}", type_name(v)))
}

fn no_properties(v: &Value) -> CypherError {
    fail::types(format!("properties are set on nodes and relationships, not on {}", type_name(v)))
}

/// Refuses what no property can hold: entities, paths, and maps, also inside a list.
fn storable(v: &Value) -> Result<(), CypherError> {
    let refused = match v {
        Value::Vertex(_) | Value::Edge(_) | Value::Path(_) => Some(v),
        Value::List(items) => items
            .iter()
            .find(|i| matches!(i, Value::Vertex(_) | Value::Edge(_) | Value::Path(_) | Value::Map(_))),
        _ => None,
    };
    match refused {
        Some(v) => Err(CypherError::runtime(
            ErrorKind::TypeError,
            "InvalidPropertyType",
            format!("a property cannot hold {}", type_name(v)),
        )),
        None => Ok(()),
    }
}
