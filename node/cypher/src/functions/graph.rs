//! Functions that look at vertices, edges and paths.

use super::{Scope, refuse};
use crate::error::CypherError;
use crate::fail;
use mgnode_core::storage::{DeletedEdge, DeletedVertex, Direction, EdgeInfo};
use mgnode_core::types::{EdgeId, LabelId, PropertyKeyId, Value, VertexId};
use std::collections::BTreeMap;
use std::sync::Arc;

type Map = Arc<BTreeMap<Arc<str>, Value>>;
type Answer = Result<Value, CypherError>;

pub(super) fn id(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match &args[0] {
        Value::Vertex(v) => Ok(Value::Int(v.0 as i64)),
        Value::Edge(e) => Ok(Value::Int(e.0 as i64)),
        other => Err(refuse("id", other)),
    }
}

pub(super) fn element_id(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match &args[0] {
        Value::Vertex(v) => Ok(Value::string(v.0.to_string())),
        Value::Edge(e) => Ok(Value::string(e.0.to_string())),
        other => Err(refuse("elementId", other)),
    }
}

/// Returns a vertex that was deleted before this query, which is told of it.
fn past_vertex<'s>(scope: &'s Scope<'_>, v: VertexId) -> Option<&'s DeletedVertex> {
    scope.run.past.as_ref()?.deleted_vertex(v)
}

/// Returns an edge that was deleted before this query, which is told of it.
fn past_edge<'s>(scope: &'s Scope<'_>, e: EdgeId) -> Option<&'s DeletedEdge> {
    scope.run.past.as_ref()?.deleted_edge(e)
}

/// Returns a property of a vertex that has none of that key now: Null, or what it had before it was deleted.
pub(crate) fn absent_of_vertex(scope: &Scope<'_>, v: VertexId, key: Option<PropertyKeyId>) -> Answer {
    if let Some(past) = past_vertex(scope, v) {
        return Ok(key.map_or(Value::Null, |key| past.property(key)));
    }
    alive(scope, v).map(|()| Value::Null)
}

/// As [`absent_of_vertex`].
pub(crate) fn absent_of_edge(scope: &Scope<'_>, e: EdgeId, key: Option<PropertyKeyId>) -> Answer {
    if let Some(past) = past_edge(scope, e) {
        return Ok(key.map_or(Value::Null, |key| past.property(key)));
    }
    edge_alive(scope, e).map(|()| Value::Null)
}

/// Returns the labels of a vertex, or those that it had before it was deleted.
pub(crate) fn labels_of(scope: &Scope<'_>, v: VertexId) -> Result<Vec<LabelId>, CypherError> {
    if let Some(past) = past_vertex(scope, v) {
        return Ok(past.labels.clone());
    }
    alive(scope, v)?;
    Ok(scope.tx.labels(v))
}

/// Whether a vertex that has no such label now had it before it was deleted.
pub(crate) fn had_label(scope: &Scope<'_>, v: VertexId, label: Option<LabelId>) -> Result<bool, CypherError> {
    if let Some(past) = past_vertex(scope, v) {
        return Ok(label.is_some_and(|label| past.labels.contains(&label)));
    }
    alive(scope, v).map(|()| false)
}

/// Refuses a vertex that this query deleted.
fn alive(scope: &Scope<'_>, v: VertexId) -> Result<(), CypherError> {
    if scope.run.has_deleted && !scope.tx.vertex_exists(v) {
        return Err(fail::deleted("node"));
    }
    Ok(())
}

/// Refuses an edge that this query deleted.
fn edge_alive(scope: &Scope<'_>, e: EdgeId) -> Result<(), CypherError> {
    if scope.run.has_deleted && scope.tx.edge(e).is_none() {
        return Err(fail::deleted("relationship"));
    }
    Ok(())
}

pub(super) fn labels(scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match &args[0] {
        Value::Vertex(v) => {
            let labels = labels_of(scope, *v)?;
            let names = scope.tx.names();
            Ok(Value::list(
                labels.into_iter().map(|l| Value::String(names.label_name(l))).collect::<Vec<_>>(),
            ))
        }
        other => Err(no_element("labels", other)),
    }
}

/// Says that a function takes only a vertex or an edge, and this value is not what it takes.
fn no_element(function: &str, v: &Value) -> CypherError {
    fail::value(format!("`{function}()` does not take {}", crate::value::type_name(v)))
}

/// Returns an edge's ends and type, also where this query deleted it, or a transaction that it is told of.
pub(crate) fn edge_info(scope: &Scope<'_>, e: EdgeId) -> Result<EdgeInfo, CypherError> {
    match scope.tx.edge(e) {
        Some(info) => Ok(info),
        None => {
            let deleted = scope.run.deleted_edges.get(&e).copied();
            let past = || past_edge(scope, e).map(|past| past.info);
            deleted.or_else(past).ok_or_else(|| fail::deleted("relationship"))
        }
    }
}

pub(super) fn edge_type(scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match &args[0] {
        Value::Edge(e) => Ok(Value::String(scope.tx.names().edge_type_name(edge_info(scope, *e)?.edge_type))),
        other => Err(no_element("type", other)),
    }
}

pub(super) fn start_node(scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match &args[0] {
        Value::Edge(e) => Ok(Value::Vertex(edge_info(scope, *e)?.from)),
        other => Err(refuse("startNode", other)),
    }
}

pub(super) fn end_node(scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match &args[0] {
        Value::Edge(e) => Ok(Value::Vertex(edge_info(scope, *e)?.to)),
        other => Err(refuse("endNode", other)),
    }
}

/// Returns all properties of a vertex, an edge or a map as a map.
pub(crate) fn property_map(scope: &Scope<'_>, v: &Value) -> Result<Option<Map>, CypherError> {
    let pairs = match v {
        Value::Vertex(id) => match past_vertex(scope, *id) {
            Some(past) => past.properties.clone(),
            None => {
                alive(scope, *id)?;
                scope.tx.vertex_properties(*id)
            }
        },
        Value::Edge(id) => match past_edge(scope, *id) {
            Some(past) => past.properties.clone(),
            None => {
                edge_alive(scope, *id)?;
                scope.tx.edge_properties(*id)
            }
        },
        Value::Map(map) => return Ok(Some(map.clone())),
        _ => return Ok(None),
    };
    let names = scope.tx.names();
    Ok(Some(Arc::new(pairs.into_iter().map(|(k, v)| (names.key_name(k), v)).collect())))
}

pub(super) fn properties(scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match property_map(scope, &args[0])? {
        Some(map) => Ok(Value::Map(map)),
        None => Err(refuse("properties", &args[0])),
    }
}

pub(super) fn keys(scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match property_map(scope, &args[0])? {
        Some(map) => Ok(Value::list(map.keys().map(|k| Value::String(k.clone())).collect::<Vec<_>>())),
        None => Err(refuse("keys", &args[0])),
    }
}

fn degree_of(scope: &Scope<'_>, name: &str, v: &Value, direction: Direction) -> Answer {
    match v {
        Value::Vertex(id) => {
            alive(scope, *id)?;
            Ok(Value::Int(scope.tx.degree(*id, direction, None) as i64))
        }
        other => Err(refuse(name, other)),
    }
}

pub(super) fn degree(scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    degree_of(scope, "degree", &args[0], Direction::Both)
}

pub(super) fn in_degree(scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    degree_of(scope, "inDegree", &args[0], Direction::Incoming)
}

pub(super) fn out_degree(scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    degree_of(scope, "outDegree", &args[0], Direction::Outgoing)
}

pub(super) fn nodes(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match &args[0] {
        Value::Path(p) => {
            let mut out = Vec::with_capacity(p.steps.len() + 1);
            out.push(Value::Vertex(p.start));
            out.extend(p.steps.iter().map(|s| Value::Vertex(s.to)));
            Ok(Value::list(out))
        }
        other => Err(refuse("nodes", other)),
    }
}

pub(super) fn relationships(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match &args[0] {
        Value::Path(p) => Ok(Value::list(p.steps.iter().map(|s| Value::Edge(s.edge)).collect::<Vec<_>>())),
        other => Err(refuse("relationships", other)),
    }
}

pub(super) fn length(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match &args[0] {
        Value::Path(p) => Ok(Value::Int(p.steps.len() as i64)),
        Value::List(l) => Ok(Value::Int(l.len() as i64)),
        Value::String(s) => Ok(Value::Int(s.chars().count() as i64)),
        other => Err(refuse("length", other)),
    }
}
