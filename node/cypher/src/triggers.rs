//! Triggers: the statements about them, and the queries that they run.
//!
//! A trigger's query is given variables that say what the transaction has done (a [`Summary`], made once, before the
//! first trigger runs). Which ones there are depends on the event. What has gone meanwhile is left out of the lists, but
//! for what the transaction deleted: that can still be read, with what it had last.

use crate::ast::{Name, Statement, Symbol};
use crate::error::CypherError;
use crate::schema::{Notification, Table, info};
use crate::value::memory;
use crate::{Execution, Limits, Params, Prepared, parse, prepare_given};
use mgnode_core::storage::{PropertyChange, Summary, Transaction};
use mgnode_core::types::{
    EdgeId, LabelId, PropertyKeyId, TriggerEvent, TriggerObject, TriggerPhase, TriggerSpec, Value, VertexId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The variables, by name, each with the narrowest event that has it.
const VARIABLES: [(&str, TriggerEvent, Variable); 15] = {
    use TriggerEvent::{Create, Delete, Update};
    use TriggerObject::{Edge, Vertex};
    [
        ("createdVertices", Create(Some(Vertex)), Variable::CreatedVertices),
        ("createdEdges", Create(Some(Edge)), Variable::CreatedEdges),
        ("createdObjects", Create(None), Variable::CreatedObjects),
        ("deletedVertices", Delete(Some(Vertex)), Variable::DeletedVertices),
        ("deletedEdges", Delete(Some(Edge)), Variable::DeletedEdges),
        ("deletedObjects", Delete(None), Variable::DeletedObjects),
        ("setVertexProperties", Update(Some(Vertex)), Variable::SetVertexProperties),
        ("setEdgeProperties", Update(Some(Edge)), Variable::SetEdgeProperties),
        ("removedVertexProperties", Update(Some(Vertex)), Variable::RemovedVertexProperties),
        ("removedEdgeProperties", Update(Some(Edge)), Variable::RemovedEdgeProperties),
        ("setVertexLabels", Update(Some(Vertex)), Variable::SetVertexLabels),
        ("removedVertexLabels", Update(Some(Vertex)), Variable::RemovedVertexLabels),
        ("updatedVertices", Update(Some(Vertex)), Variable::UpdatedVertices),
        ("updatedEdges", Update(Some(Edge)), Variable::UpdatedEdges),
        ("updatedObjects", Update(None), Variable::UpdatedObjects),
    ]
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    CreatedVertices,
    CreatedEdges,
    CreatedObjects,
    DeletedVertices,
    DeletedEdges,
    DeletedObjects,
    SetVertexProperties,
    SetEdgeProperties,
    RemovedVertexProperties,
    RemovedEdgeProperties,
    SetVertexLabels,
    RemovedVertexLabels,
    UpdatedVertices,
    UpdatedEdges,
    UpdatedObjects,
}

/// Returns the variables of an event.
fn variables(event: TriggerEvent) -> impl Iterator<Item = (&'static str, Variable)> {
    VARIABLES.iter().filter(move |(_, of, _)| event.covers(*of)).map(|(name, _, variable)| (*name, *variable))
}

// --------------------------------------------------------------------------------------- statements

pub(crate) fn create(
    name: &Symbol,
    event: TriggerEvent,
    phase: TriggerPhase,
    statement: &Name,
    tx: &mut Transaction,
) -> Result<Notification, CypherError> {
    let spec = TriggerSpec { name: name.name.clone(), event, phase, statement: statement.clone() };
    if let Err(error) = PreparedTrigger::new(&spec, tx) {
        let names: Vec<&str> = variables(event).map(|(name, _)| name).collect();
        return Err(CypherError::statement(format!(
            "Failed creating the trigger: its statement cannot run. {error} Variables of the event '{}': {}.",
            event.words(),
            names.join(", ")
        )));
    }
    if !tx.create_trigger(spec) {
        return Err(CypherError::statement("Trigger with the same name already exists."));
    }
    Ok(info("CreateTrigger", format!("Created trigger {}.", name.name)))
}

pub(crate) fn drop_trigger(name: &Symbol, tx: &mut Transaction) -> Result<Notification, CypherError> {
    if !tx.drop_trigger(&name.name) {
        return Err(CypherError::statement(format!("Trigger with name '{}' doesn't exist.", name.name)));
    }
    Ok(info("DropTrigger", format!("Dropped trigger {}.", name.name)))
}

/// Answers `SHOW TRIGGERS`, but for what became of their runs. Without users nobody owns one.
pub fn show_triggers(tx: &Transaction) -> Table {
    let row = |trigger: &Arc<TriggerSpec>| {
        vec![
            Value::String(trigger.name.clone()),
            Value::String(trigger.statement.clone()),
            Value::string("DEFINER"),
            Value::string(trigger.event.words()),
            Value::string(trigger.phase.words()),
            Value::Null,
        ]
    };
    let columns = vec!["trigger name", "statement", "privilege context", "event type", "phase", "owner"];
    Table { columns, rows: tx.triggers().iter().map(row).collect() }
}

// ---------------------------------------------------------------------------------------- execution

/// A trigger whose query is ready to run.
#[derive(Debug)]
pub struct PreparedTrigger {
    prepared: Arc<Prepared>,
    /// Those that the query names, each with its slot.
    variables: Vec<(usize, Variable)>,
}

impl PreparedTrigger {
    /// Analyzes and plans the query of a trigger.
    ///
    /// # Errors
    /// Those of the query, and where it commits by itself.
    pub fn new(trigger: &TriggerSpec, tx: &Transaction) -> Result<PreparedTrigger, CypherError> {
        let Statement::Query(query) = parse(&trigger.statement)? else {
            return Err(CypherError::statement("A trigger runs a query, and no other statement."));
        };
        let (names, all): (Vec<&str>, Vec<Variable>) = variables(trigger.event).unzip();
        let prepared = prepare_given(&query, tx, &Params::default(), &names)
            .map_err(|error| error.located(&trigger.statement))?;
        if prepared.commits() {
            return Err(CypherError::statement(
                "A trigger is part of a transaction: its query has no USING PERIODIC COMMIT and no CALL { } IN TRANSACTIONS.",
            ));
        }
        let variables = prepared.given().map(|slot| (slot, all[slot])).collect();
        Ok(PreparedTrigger { prepared, variables })
    }

    /// Whether indexes came or went since, or were measured anew: then it must be prepared again before it runs.
    pub fn is_stale(&self, tx: &Transaction) -> bool {
        self.prepared.is_stale(tx)
    }

    /// Runs the query to its end, in a transaction that did what the summary says or that begins after that one was
    /// committed. Rows are thrown away. After an error the transaction must be given up.
    pub fn run(
        &self,
        summary: &Arc<Summary>,
        tx: &mut Transaction,
        limits: Limits,
    ) -> Result<(), CypherError> {
        let mut given = Vec::with_capacity(self.variables.len());
        let mut bytes = 0;
        for (slot, variable) in &self.variables {
            let items = Told { summary, tx }.list(*variable);
            bytes += items.iter().map(memory).sum::<usize>();
            given.push((*slot, Value::list(items)));
        }
        let mut run = Execution::new(self.prepared.clone(), Params::default(), limits)?;
        run.give(given, summary.clone(), bytes)?;
        while run.next(tx)?.is_some() {}
        Ok(())
    }
}

/// What a transaction did, as another, or itself later on, is told it.
struct Told<'a> {
    summary: &'a Summary,
    tx: &'a Transaction,
}

impl Told<'_> {
    fn list(&self, variable: Variable) -> Vec<Value> {
        match variable {
            Variable::CreatedVertices => self.created_vertices().map(Value::Vertex).collect(),
            Variable::CreatedEdges => self.created_edges().map(Value::Edge).collect(),
            Variable::CreatedObjects => {
                let vertices = self.created_vertices().map(|id| event("created_vertex", [of_vertex(id)]));
                let edges = self.created_edges().map(|id| event("created_edge", [of_edge(id)]));
                vertices.chain(edges).collect()
            }
            Variable::DeletedVertices => {
                self.summary.deleted_vertices.iter().map(|v| Value::Vertex(v.id)).collect()
            }
            Variable::DeletedEdges => self.summary.deleted_edges.iter().map(|e| Value::Edge(e.id)).collect(),
            Variable::DeletedObjects => {
                let vertices = self.summary.deleted_vertices.iter();
                let vertices = vertices.map(|v| event("deleted_vertex", [of_vertex(v.id)]));
                let edges = self.summary.deleted_edges.iter();
                vertices.chain(edges.map(|e| event("deleted_edge", [of_edge(e.id)]))).collect()
            }
            Variable::SetVertexProperties => self.vertex_properties(false, None),
            Variable::RemovedVertexProperties => self.vertex_properties(true, None),
            Variable::SetEdgeProperties => self.edge_properties(false, None),
            Variable::RemovedEdgeProperties => self.edge_properties(true, None),
            Variable::SetVertexLabels => self.by_label(false),
            Variable::RemovedVertexLabels => self.by_label(true),
            Variable::UpdatedVertices => {
                let mut all = self.vertex_properties(false, Some("set_vertex_property"));
                all.extend(self.vertex_properties(true, Some("removed_vertex_property")));
                all.extend(self.labels());
                all
            }
            Variable::UpdatedEdges => {
                let mut all = self.edge_properties(false, Some("set_edge_property"));
                all.extend(self.edge_properties(true, Some("removed_edge_property")));
                all
            }
            Variable::UpdatedObjects => {
                let mut all = self.vertex_properties(false, Some("set_vertex_property"));
                all.extend(self.edge_properties(false, Some("set_edge_property")));
                all.extend(self.vertex_properties(true, Some("removed_vertex_property")));
                all.extend(self.edge_properties(true, Some("removed_edge_property")));
                all.extend(self.labels());
                all
            }
        }
    }

    fn created_vertices(&self) -> impl Iterator<Item = VertexId> {
        self.summary.created_vertices.iter().copied().filter(|id| self.tx.vertex_exists(*id))
    }

    fn created_edges(&self) -> impl Iterator<Item = EdgeId> {
        self.summary.created_edges.iter().copied().filter(|id| self.tx.edge(*id).is_some())
    }

    fn vertex_properties(&self, removed: bool, kind: Option<&str>) -> Vec<Value> {
        let changes = self.summary.vertex_properties.iter();
        let changes = changes.filter(|c| c.new.is_null() == removed && self.tx.vertex_exists(c.of));
        changes.map(|change| self.property(change, of_vertex(change.of), kind)).collect()
    }

    fn edge_properties(&self, removed: bool, kind: Option<&str>) -> Vec<Value> {
        let changes = self.summary.edge_properties.iter();
        let changes = changes.filter(|c| c.new.is_null() == removed && self.tx.edge(c.of).is_some());
        changes.map(|change| self.property(change, of_edge(change.of), kind)).collect()
    }

    /// `kind` is told where changes of several kinds stand in one list; of a removal nothing is new.
    fn property<I>(&self, change: &PropertyChange<I>, of: Entry, kind: Option<&str>) -> Value {
        let mut entries = vec![of, ("key", self.key(change.key)), ("old", change.old.clone())];
        if !change.new.is_null() {
            entries.push(("new", change.new.clone()));
        }
        entries.extend(kind.map(|kind| ("event_type", Value::string(kind))));
        map(entries)
    }

    fn labels(&self) -> Vec<Value> {
        let both = [
            ("set_vertex_label", &self.summary.set_labels),
            ("removed_vertex_label", &self.summary.removed_labels),
        ];
        let mut all = Vec::new();
        for (kind, changes) in both {
            let there = changes.iter().filter(|change| self.tx.vertex_exists(change.vertex));
            all.extend(there.map(|c| event(kind, [of_vertex(c.vertex), ("label", self.label(c.label))])));
        }
        all
    }

    /// Label by label, by name: the vertices that got it, or lost it.
    fn by_label(&self, removed: bool) -> Vec<Value> {
        let changes = if removed { &self.summary.removed_labels } else { &self.summary.set_labels };
        let mut by_label: BTreeMap<Arc<str>, Vec<Value>> = BTreeMap::new();
        for change in changes.iter().filter(|change| self.tx.vertex_exists(change.vertex)) {
            let name = self.tx.names().label_name(change.label);
            by_label.entry(name).or_default().push(Value::Vertex(change.vertex));
        }
        let entry =
            |(label, vertices)| map([("label", Value::String(label)), ("vertices", Value::list(vertices))]);
        by_label.into_iter().map(entry).collect()
    }

    fn key(&self, key: PropertyKeyId) -> Value {
        Value::String(self.tx.names().key_name(key))
    }

    fn label(&self, label: LabelId) -> Value {
        Value::String(self.tx.names().label_name(label))
    }
}

/// An entry of a map.
type Entry = (&'static str, Value);

fn of_vertex(id: VertexId) -> Entry {
    ("vertex", Value::Vertex(id))
}

fn of_edge(id: EdgeId) -> Entry {
    ("edge", Value::Edge(id))
}

fn event(kind: &str, entries: impl IntoIterator<Item = Entry>) -> Value {
    map(entries.into_iter().chain([("event_type", Value::string(kind))]))
}

fn map(entries: impl IntoIterator<Item = Entry>) -> Value {
    Value::Map(Arc::new(entries.into_iter().map(|(key, value)| (key.into(), value)).collect()))
}
