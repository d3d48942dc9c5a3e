//! Values of a query, to and from the wire.

use mgbolt::{DEPTH_MAX, DateTime, EncodeError, Encoder, Map, PackValue};
use mgcypher::value::{zone_offset_at, zone_offset_of_local};
use mgcypher::{CypherError, Params};
use mgnode_core::storage::Transaction;
use mgnode_core::types::{self, EdgeId, EnumValue, Value, VertexId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Key and value by which Memgraph's clients know an enum: it travels as a map.
const ENUM_TYPE: (&str, &str) = ("__type", "mg_enum");
const ENUM_VALUE: &str = "__value";

/// Writes a value. Vertices and edges get their labels and properties from the transaction.
pub(super) fn write(e: &mut Encoder<'_>, value: &Value, tx: &Transaction) -> Result<(), EncodeError> {
    write_at(e, value, tx, DEPTH_MAX)
}

fn write_at(e: &mut Encoder<'_>, value: &Value, tx: &Transaction, depth: usize) -> Result<(), EncodeError> {
    let inside = || depth.checked_sub(1).ok_or(EncodeError::TooDeep);
    match value {
        Value::Null => e.null(),
        Value::Bool(v) => e.bool(*v),
        Value::Int(v) => e.int(*v),
        Value::Float(v) => e.float(*v),
        Value::String(v) => e.string(v)?,
        Value::Bytes(v) => e.bytes(v)?,
        Value::List(items) => {
            let depth = inside()?;
            e.list_header(items.len())?;
            items.iter().try_for_each(|item| write_at(e, item, tx, depth))?;
        }
        Value::Map(map) => {
            let depth = inside()?;
            e.map_header(map.len())?;
            for (key, value) in map.iter() {
                e.string(key)?;
                write_at(e, value, tx, depth)?;
            }
        }
        Value::Date(v) => e.value(&PackValue::Date(v.0))?,
        Value::LocalTime(v) => e.value(&PackValue::LocalTime(v.0))?,
        Value::Time(v) => {
            e.value(&PackValue::Time(mgbolt::OffsetTime {
                nanos: v.nanos,
                offset_seconds: v.offset_seconds,
            }))?;
        }
        Value::LocalDateTime(v) => {
            e.value(&PackValue::LocalDateTime(mgbolt::LocalDateTime { seconds: v.seconds, nanos: v.nanos }))?;
        }
        Value::DateTime(v) => e.datetime(&match &v.zone {
            None => {
                DateTime::Offset { utc_seconds: v.seconds, nanos: v.nanos, offset_seconds: v.offset_seconds }
            }
            Some(zone) => DateTime::Zoned {
                utc_seconds: v.seconds,
                nanos: v.nanos,
                offset_seconds: Some(v.offset_seconds),
                zone: zone.to_string(),
            },
        })?,
        Value::Duration(v) => e.value(&PackValue::Duration(Box::new(mgbolt::Duration {
            months: v.months,
            days: v.days,
            seconds: v.seconds,
            nanos: i64::from(v.nanos),
        })))?,
        Value::Point(v) => e.value(&PackValue::Point(Box::new(mgbolt::Point {
            srid: i64::from(v.srid),
            x: v.x,
            y: v.y,
            z: v.z,
        })))?,
        Value::Enum(v) => {
            e.map_header(2)?;
            e.string(ENUM_TYPE.0)?;
            e.string(ENUM_TYPE.1)?;
            e.string(ENUM_VALUE)?;
            e.string(&format!("{}::{}", v.enum_name, v.value))?;
        }
        Value::Vertex(id) => write_vertex(e, *id, tx)?,
        Value::Edge(id) => write_edge(e, *id, tx)?,
        Value::Path(path) => write_path(e, path, tx)?,
    }
    Ok(())
}

fn write_vertex(e: &mut Encoder<'_>, id: VertexId, tx: &Transaction) -> Result<(), EncodeError> {
    let labels = tx.labels(id);
    e.node_header();
    e.int(number(id.0));
    e.list_header(labels.len())?;
    labels.into_iter().try_for_each(|label| e.string(&tx.names().label_name(label)))?;
    write_properties(e, tx.vertex_properties(id), tx)?;
    e.element_id(number(id.0))
}

fn write_edge(e: &mut Encoder<'_>, id: EdgeId, tx: &Transaction) -> Result<(), EncodeError> {
    e.relationship_header();
    e.int(number(id.0));
    let Some(edge) = tx.edge(id) else {
        // The query deleted it: what is left is its id.
        e.int(-1);
        e.int(-1);
        e.string("")?;
        e.map_header(0)?;
        return [number(id.0), -1, -1].into_iter().try_for_each(|id| e.element_id(id));
    };
    e.int(number(edge.from.0));
    e.int(number(edge.to.0));
    e.string(&tx.names().edge_type_name(edge.edge_type))?;
    write_properties(e, tx.edge_properties(id), tx)?;
    [id.0, edge.from.0, edge.to.0].into_iter().try_for_each(|id| e.element_id(number(id)))
}

/// A path names each of its vertices and edges once, in the order of their first appearance.
fn write_path(e: &mut Encoder<'_>, path: &types::Path, tx: &Transaction) -> Result<(), EncodeError> {
    let mut vertices: Vec<VertexId> = vec![path.start];
    let mut vertex_places = BTreeMap::from([(path.start, 0i64)]);
    let mut edges: Vec<EdgeId> = Vec::new();
    let mut edge_places = BTreeMap::new();
    let mut indices = Vec::with_capacity(path.steps.len() * 2);
    for step in &path.steps {
        let edge = *edge_places.entry(step.edge).or_insert_with(|| {
            edges.push(step.edge);
            number(edges.len() as u64)
        });
        let vertex = *vertex_places.entry(step.to).or_insert_with(|| {
            vertices.push(step.to);
            number(vertices.len() as u64 - 1)
        });
        indices.push(if step.forward { edge } else { -edge });
        indices.push(vertex);
    }
    e.structure_header(b'P', 3);
    e.list_header(vertices.len())?;
    vertices.into_iter().try_for_each(|id| write_vertex(e, id, tx))?;
    e.list_header(edges.len())?;
    for id in edges {
        e.unbound_relationship_header();
        e.int(number(id.0));
        match tx.edge(id) {
            Some(edge) => e.string(&tx.names().edge_type_name(edge.edge_type))?,
            None => e.string("")?,
        }
        write_properties(e, tx.edge_properties(id), tx)?;
        e.element_id(number(id.0))?;
    }
    e.list_header(indices.len())?;
    indices.into_iter().for_each(|index| e.int(index));
    Ok(())
}

fn write_properties(
    e: &mut Encoder<'_>,
    properties: Vec<(types::PropertyKeyId, Value)>,
    tx: &Transaction,
) -> Result<(), EncodeError> {
    e.map_header(properties.len())?;
    for (key, value) in properties {
        e.string(&tx.names().key_name(key))?;
        write(e, &value, tx)?;
    }
    Ok(())
}

fn number(n: u64) -> i64 {
    i64::try_from(n).expect("ids end at 2^40")
}

/// Turns a value of a table about the node into one of the wire. Such a table holds texts, numbers
/// and lists of them.
pub(super) fn plain(value: &Value) -> PackValue {
    match value {
        Value::Bool(v) => (*v).into(),
        Value::Int(v) => (*v).into(),
        Value::Float(v) => (*v).into(),
        Value::String(v) => (&**v).into(),
        Value::List(items) => PackValue::List(items.iter().map(plain).collect()),
        _ => PackValue::Null,
    }
}

/// Turns the parameters of a query into values. Values of enums must be there as the transaction sees them: what a
/// property holds can then be written as text, in a dump too.
pub(super) fn parameters(map: Map, tx: &Transaction) -> Result<Params, String> {
    let mut enums = Vec::new();
    let params = parameters_with(map, &mut enums)?;
    enums.iter().try_for_each(|value| mgcypher::enums::check(value, tx))?;
    Ok(params)
}

/// As [`parameters`], for statements that touch no graph.
pub(super) fn bare_parameters(map: Map) -> Result<Params, String> {
    parameters_with(map, &mut Vec::new())
}

fn parameters_with(map: Map, enums: &mut Vec<Arc<EnumValue>>) -> Result<Params, String> {
    let values = map.0.into_iter().map(|(key, value)| match read(value, enums) {
        Ok(value) => Ok((key.into(), value)),
        Err(what) => Err(format!("Parameter `${key}` cannot be used: {what}.")),
    });
    values.collect::<Result<_, _>>().map(Arc::new)
}

/// Turns one value around, and adds the values of enums that are in it.
fn read(value: PackValue, enums: &mut Vec<Arc<EnumValue>>) -> Result<Value, String> {
    Ok(match value {
        PackValue::Null => Value::Null,
        PackValue::Bool(v) => Value::Bool(v),
        PackValue::Int(v) => Value::Int(v),
        PackValue::Float(v) => Value::Float(v),
        PackValue::Bytes(v) => Value::Bytes(v.into()),
        PackValue::String(v) => Value::string(v),
        PackValue::List(items) => {
            Value::list(items.into_iter().map(|item| read(item, enums)).collect::<Result<Vec<_>, _>>()?)
        }
        PackValue::Map(map) => match enum_of(&map) {
            Some(value) => {
                enums.push(value.clone());
                Value::Enum(value)
            }
            None => {
                let pairs = map.0.into_iter().map(|(k, v)| Ok((k.into(), read(v, enums)?)));
                Value::Map(Arc::new(pairs.collect::<Result<_, String>>()?))
            }
        },
        PackValue::Date(days) => Value::Date(types::Date(days).checked().ok_or("its date is out of range")?),
        PackValue::LocalTime(nanos) => Value::LocalTime(types::LocalTime(time_of_day(nanos)?)),
        PackValue::Time(v) => Value::Time(types::OffsetTime {
            nanos: time_of_day(v.nanos)?,
            offset_seconds: offset(v.offset_seconds)?,
        }),
        PackValue::LocalDateTime(v) => {
            Value::LocalDateTime(types::LocalDateTime { seconds: moment(v.seconds)?, nanos: v.nanos })
        }
        PackValue::DateTime(v) => Value::DateTime(Arc::new(date_time(*v)?)),
        PackValue::Duration(v) => duration(*v)?,
        PackValue::Point(v) => {
            let srid = u32::try_from(v.srid).ok().filter(|srid| match v.z {
                None => matches!(srid, 4326 | 7203),
                Some(_) => matches!(srid, 4979 | 9157),
            });
            let srid = srid.ok_or_else(|| format!("no point has the SRID {}", v.srid))?;
            let is_on_globe = (-180.0..=180.0).contains(&v.x) && (-90.0..=90.0).contains(&v.y);
            if matches!(srid, 4326 | 4979) && !is_on_globe {
                return Err("longitude must be within -180 and 180, latitude within -90 and 90".to_owned());
            }
            Value::Point(Arc::new(types::Point { srid, x: v.x, y: v.y, z: v.z }))
        }
        other => return Err(format!("a {} cannot be sent to the server", other.kind())),
    })
}

fn time_of_day(nanos: i64) -> Result<i64, String> {
    if (0..86_400_000_000_000).contains(&nanos) { Ok(nanos) } else { Err("its time is out of range".into()) }
}

fn moment(seconds: i64) -> Result<i64, String> {
    let day = types::Date(seconds.div_euclid(86_400)).checked();
    day.map(|_| seconds).ok_or_else(|| "its date is out of range".into())
}

fn offset(seconds: i32) -> Result<i32, String> {
    if seconds.abs() <= 18 * 3600 { Ok(seconds) } else { Err("its offset is out of range".into()) }
}

fn date_time(v: DateTime) -> Result<types::DateTime, String> {
    let said = |error: CypherError| error.message;
    Ok(match v {
        DateTime::Offset { utc_seconds, nanos, offset_seconds } => types::DateTime {
            seconds: moment(utc_seconds)?,
            nanos,
            offset_seconds: offset(offset_seconds)?,
            zone: None,
        },
        DateTime::Zoned { utc_seconds: seconds, nanos, zone, .. } => {
            let offset_seconds = zone_offset_at(&zone, seconds).map_err(said)?;
            types::DateTime { seconds, nanos, offset_seconds, zone: Some(zone.into()) }
        }
        DateTime::LocalZoned { local_seconds, nanos, zone } => {
            let offset_seconds = zone_offset_of_local(&zone, local_seconds).map_err(said)?;
            let seconds = local_seconds
                .checked_sub(offset_seconds.into())
                .ok_or_else(|| "its date is out of range".to_owned())?;
            types::DateTime { seconds, nanos, offset_seconds, zone: Some(zone.into()) }
        }
    })
}

fn duration(v: mgbolt::Duration) -> Result<Value, String> {
    let carried = v.seconds.checked_add(v.nanos.div_euclid(1_000_000_000));
    let seconds = carried.ok_or_else(|| "its duration is out of range".to_owned())?;
    let nanos = i32::try_from(v.nanos.rem_euclid(1_000_000_000)).expect("below 10^9");
    Ok(Value::Duration(Arc::new(types::Duration { months: v.months, days: v.days, seconds, nanos })))
}

fn enum_of(map: &Map) -> Option<Arc<EnumValue>> {
    if map.len() != 2 || map.get(ENUM_TYPE.0)?.as_str()? != ENUM_TYPE.1 {
        return None;
    }
    let (name, value) = map.get(ENUM_VALUE)?.as_str()?.split_once("::")?;
    Some(Arc::new(EnumValue { enum_name: name.into(), value: value.into() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_values() {
        let map = Map::new()
            .with("list", vec![PackValue::Int(1), PackValue::Null])
            .with("enum", Map::new().with("__type", "mg_enum").with("__value", "Location::York"))
            .with("map", Map::new().with("k", 1.5));
        let values = bare_parameters(map).unwrap();
        assert_eq!(values["list"], Value::list([Value::Int(1), Value::Null]));
        let york = EnumValue { enum_name: "Location".into(), value: "York".into() };
        assert_eq!(values["enum"], Value::Enum(Arc::new(york)));
        let Value::Map(inner) = &values["map"] else { panic!("{values:?}") };
        assert_eq!(inner["k"], Value::Float(1.5));
    }

    #[test]
    fn what_cannot_be_a_parameter_is_named() {
        let zone =
            DateTime::Zoned { utc_seconds: 0, nanos: 0, offset_seconds: None, zone: "Mars/Base".into() };
        let map = Map(vec![("when".into(), PackValue::DateTime(Box::new(zone)))]);
        assert_eq!(
            bare_parameters(map).unwrap_err(),
            "Parameter `$when` cannot be used: there is no time zone `Mars/Base`."
        );
        let map = Map(vec![("t".into(), PackValue::LocalTime(-1))]);
        assert_eq!(
            bare_parameters(map).unwrap_err(),
            "Parameter `$t` cannot be used: its time is out of range."
        );
        let point = mgbolt::Point { srid: 4326, x: 0.0, y: 0.0, z: Some(0.0) };
        let map = Map(vec![("p".into(), PackValue::Point(Box::new(point)))]);
        assert!(bare_parameters(map).unwrap_err().contains("no point has the SRID 4326"));
    }

    #[test]
    fn a_moment_in_a_zone_has_the_offset_that_is_in_force_there() {
        let zone = || "Europe/Berlin".to_owned();
        let offset_of = |moment: DateTime| {
            let map = Map(vec![("when".into(), PackValue::DateTime(Box::new(moment)))]);
            match &bare_parameters(map).unwrap()["when"] {
                Value::DateTime(at) => {
                    (at.seconds, at.offset_seconds, at.zone.as_deref() == Some("Europe/Berlin"))
                }
                other => panic!("{other:?}"),
            }
        };
        // 2024-01-15T12:00Z and 2024-07-15T12:00Z.
        for (utc_seconds, offset) in [(1_705_320_000, 3600), (1_721_044_800, 7200)] {
            let moment = DateTime::Zoned { utc_seconds, nanos: 0, offset_seconds: None, zone: zone() };
            assert_eq!(offset_of(moment), (utc_seconds, offset, true));
            let local_seconds = utc_seconds + i64::from(offset);
            let moment = DateTime::LocalZoned { local_seconds, nanos: 0, zone: zone() };
            assert_eq!(offset_of(moment), (utc_seconds, offset, true));
        }
        let late = DateTime::LocalZoned { local_seconds: i64::MAX, nanos: 0, zone: zone() };
        let map = Map(vec![("when".into(), PackValue::DateTime(Box::new(late)))]);
        assert!(
            bare_parameters(map).unwrap_err().starts_with("Parameter `$when` cannot be used: the offset of")
        );
        for far in [
            PackValue::DateTime(Box::new(DateTime::Offset {
                utc_seconds: i64::MAX,
                nanos: 0,
                offset_seconds: 3600,
            })),
            PackValue::LocalDateTime(mgbolt::LocalDateTime { seconds: i64::MIN, nanos: 0 }),
        ] {
            let refused = bare_parameters(Map(vec![("when".into(), far)])).unwrap_err();
            assert!(refused.contains("its date is out of range"), "{refused}");
        }
    }
}
