//! Changes as bytes: the payload of a record, and the blocks of a snapshot.
//!
//! ```text
//! payload  := version:u8, names(labels), names(edge types), names(keys), count, change*
//! names    := count, (length, UTF-8 bytes)*          each once, in the order of first use
//! change   := 1 id labels properties                 CreateVertex
//!           | 2 id                                   DeleteVertex
//!           | 3 id label                             AddLabel
//!           | 4 id label                             RemoveLabel
//!           | 5 id key value                         SetVertexProperty
//!           | 6 id from to edge-type properties      CreateEdge
//!           | 7 id                                   DeleteEdge
//!           | 8 id key value                         SetEdgeProperty
//!           | 9 index  | 10 index                    CreateIndex, DropIndex
//!           | 11 constraint | 12 constraint          CreateConstraint, DropConstraint
//!           | 13 text count text*                    SetEnum: its name, its values       version 2
//!           | 14 text                                DropEnum                            version 2
//!           | 15 text event phase text               CreateTrigger: name, and statement  version 2
//!           | 16 text                                DropTrigger                         version 2
//! labels   := count, label*          properties := count, (key, value)*
//! index    := 1 label | 2 label keys | 3 edge-type | 4 edge-type keys                3, 4: version 2
//! keys     := count, key*
//! constraint := (1 exists | 2 unique | 3 type), label, keys                          3: version 2
//! type     := its place in PropertyType::ALL         event := its place in TriggerEvent::ALL
//! phase    := 0 before commit | 1 after commit
//! value    := 0 Null | 1 false | 2 true | 3 int:signed | 4 float:f64 | 5 text
//!           | 6 count value*                         List
//!           | 7 count text* value*                   Map, keys strictly rising, all keys first
//!           | 8 length bytes | 9 days:signed | 10 nanos:signed           Bytes, Date, LocalTime
//!           | 11 nanos:signed offset:signed                              Time
//!           | 12 seconds:signed nanos                                    LocalDateTime
//!           | 13 seconds:signed nanos offset:signed (0 | 1 text)         DateTime, zone
//!           | 14 months:signed days:signed seconds:signed nanos:signed   Duration
//!           | 15 srid x:f64 y:f64 (0 | 1 z:f64)                          Point
//!           | 16 text text                                               Enum: its name, its value
//! text     := length, UTF-8 bytes
//! ```
//!
//! The version is 1 where a program of protocol 2 can read all that follows, else 2, so that such a program
//! is never sent what it would not understand ([`protocol_of`]).
//!
//! Kind bytes are one byte, and so are type, event and phase. Everything else without a type is an unsigned LEB128 varint of at most
//! ten bytes; `signed` is zigzag in a varint; `f64` is its IEEE bits, little-endian; label, edge
//! type and key are positions in the payload's own tables. Lists and maps nest at most
//! [`NESTING_MAX`] deep. Bytes after the last change are an error. Run-time values (Vertex, Edge,
//! Path) have no form here.

mod decode;
mod encode;
mod values;

use decode::Decoder;
use encode::Encoder;
use values::*;
pub(super) use values::{Reader, write_value, write_varint};

use crate::types::{Change, ConstraintKind, EdgeTypeId, LabelId, Names, PropertyKeyId, Value};

/// How deep lists and maps may nest in a property.
pub const NESTING_MAX: usize = 100;

/// What every version of this program can read.
const VERSION_FIRST: u8 = 1;
/// Enums, triggers, type constraints, edge indexes.
const VERSION_SCHEMA: u8 = 2;
/// The kinds of most values.
const INT: u8 = 3;
const STRING: u8 = 5;
/// Room for what most transactions write.
const USUAL_BYTES: usize = 256;

/// Bytes that are not an encoded list of changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("changes do not decode: {what} at byte {at}")]
pub struct DecodeError {
    /// What is wrong, in words.
    pub what: &'static str,
    /// Where.
    pub at: usize,
}

/// A value that a property cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A vertex, an edge or a path.
    #[error("a vertex, an edge or a path cannot be stored in a property")]
    RunTimeOnly,
    /// A date that earlier versions cannot read.
    #[error("a date so far away cannot be stored in a property: its days from 1970 are beyond 32 bits")]
    FarDate,
    /// Deeper than [`NESTING_MAX`].
    #[error("lists and maps nest at most {NESTING_MAX} deep in a property")]
    TooDeep,
}

/// Says whether a property can hold the value.
pub fn check_value(value: &Value) -> Result<(), ValueError> {
    // Most are of one piece, and need no list of what is still to be looked at.
    let mut waiting = Vec::new();
    let mut next = Some((value, 0));
    while let Some((value, depth)) = next {
        match value {
            Value::Vertex(_) | Value::Edge(_) | Value::Path(_) => return Err(ValueError::RunTimeOnly),
            Value::List(_) | Value::Map(_) if depth == NESTING_MAX => return Err(ValueError::TooDeep),
            Value::Date(days) if i32::try_from(days.0).is_err() => return Err(ValueError::FarDate),
            Value::List(items) => waiting.extend(items.iter().map(|v| (v, depth + 1))),
            Value::Map(map) => waiting.extend(map.values().map(|v| (v, depth + 1))),
            _ => {}
        }
        next = waiting.pop();
    }
    Ok(())
}

/// Encodes changes whose values have passed [`check_value`].
pub(super) fn encode(names: &Names, changes: &[Change]) -> Result<Vec<u8>, ValueError> {
    let mut encoder = Encoder::default();
    encoder.body.reserve(USUAL_BYTES);
    for change in changes {
        encoder.change(change)?;
    }
    let mut out = Vec::with_capacity(encoder.body.len() + 64);
    out.push(if encoder.is_extended { VERSION_SCHEMA } else { VERSION_FIRST });
    write_names(&mut out, encoder.labels.order.iter().map(|id| names.label_name(*id)));
    write_names(&mut out, encoder.edge_types.order.iter().map(|id| names.edge_type_name(*id)));
    write_names(&mut out, encoder.keys.order.iter().map(|id| names.key_name(*id)));
    write_varint(&mut out, changes.len() as u64);
    out.extend_from_slice(&encoder.body);
    Ok(out)
}

/// Returns the lowest protocol of replication whose programs can read these encoded changes.
pub fn protocol_of(payload: &[u8]) -> u16 {
    match payload.first() {
        None | Some(&VERSION_FIRST) => 1,
        Some(_) => 3,
    }
}

/// Returns what in a change no program of an earlier protocol than 3 can read.
pub fn needs_protocol_3(change: &Change) -> Option<&'static str> {
    match change {
        Change::SetEnum(_) | Change::DropEnum { .. } => Some("enums"),
        Change::CreateTrigger(_) | Change::DropTrigger { .. } => Some("triggers"),
        Change::CreateConstraint(spec) | Change::DropConstraint(spec) => match spec.kind {
            ConstraintKind::Typed(_) => Some("type constraints"),
            ConstraintKind::Exists | ConstraintKind::Unique => None,
        },
        Change::CreateIndex(spec) | Change::DropIndex(spec) if spec.is_of_edges() => Some("edge indexes"),
        _ => None,
    }
}

/// Gives numbers to the names in an encoded list of changes, and looks at nothing else in it.
pub(super) fn number_names(names: &Names, bytes: &[u8]) -> Result<(), DecodeError> {
    tables(names, &mut Reader::new(bytes)).map(drop)
}

/// The names of a payload, in their three tables.
type Tables = (Vec<LabelId>, Vec<EdgeTypeId>, Vec<PropertyKeyId>);

fn tables(names: &Names, r: &mut Reader<'_>) -> Result<Tables, DecodeError> {
    if !matches!(r.byte()?, VERSION_FIRST | VERSION_SCHEMA) {
        return Err(r.error("an unknown version"));
    }
    let labels = r.names(|name| Some(names.label(name)))?;
    let edge_types = r.names(|name| names.edge_type(name).ok())?;
    Ok((labels, edge_types, r.names(|name| Some(names.key(name)))?))
}

/// Decodes changes. Never panics, and allocates in proportion to the bytes that are there.
pub(super) fn decode(names: &Names, bytes: &[u8]) -> Result<Vec<Change>, DecodeError> {
    let mut r = Reader::new(bytes);
    let (labels, edge_types, keys) = tables(names, &mut r)?;
    let count = r.count(2)?;
    let mut changes = Vec::with_capacity(count.min(4096));
    let mut decoder = Decoder { r, labels, edge_types, keys };
    for _ in 0..count {
        changes.push(decoder.change()?);
    }
    if decoder.r.at() != bytes.len() {
        return Err(decoder.r.error("bytes after the last change"));
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{
        ConstraintSpec, Date, DateTime, Duration, EdgeId, EnumSpec, EnumValue, IndexSpec, LocalDateTime,
        LocalTime, OffsetTime, Point, PropertyType, TriggerEvent, TriggerPhase, TriggerSpec, VertexId,
    };
    use proptest::prelude::*;
    use std::sync::Arc;

    fn every_change(names: &Names) -> Vec<Change> {
        let (label, key, other) = (names.label("Person"), names.key("name"), names.key("since"));
        let edge_type = names.edge_type("KNOWS").unwrap();
        let id = VertexId(300);
        vec![
            Change::CreateVertex {
                id,
                labels: vec![label, names.label("Ärztin")],
                properties: vec![(key, Value::string("Ada"))],
            },
            Change::CreateVertex { id: VertexId((1 << 40) - 1), labels: vec![], properties: vec![] },
            Change::AddLabel { id, label },
            Change::RemoveLabel { id, label },
            Change::SetVertexProperty { id, key, value: Value::Null },
            Change::CreateEdge {
                id: EdgeId(1),
                from: id,
                to: id,
                edge_type,
                properties: vec![(other, Value::Int(-1815))],
            },
            Change::SetEdgeProperty { id: EdgeId(1), key: other, value: Value::Float(0.5) },
            Change::DeleteEdge { id: EdgeId(1) },
            Change::DeleteVertex { id },
            Change::CreateIndex(IndexSpec::Label(label)),
            Change::DropIndex(IndexSpec::LabelProperties(label, vec![key, other])),
            Change::CreateConstraint(ConstraintSpec {
                kind: ConstraintKind::Unique,
                label,
                properties: vec![key],
            }),
            Change::DropConstraint(ConstraintSpec {
                kind: ConstraintKind::Exists,
                label,
                properties: vec![other],
            }),
        ]
    }

    fn every_change_of_version_2(names: &Names) -> Vec<Change> {
        let (label, key) = (names.label("Person"), names.key("age"));
        let edge_type = names.edge_type("KNOWS").unwrap();
        let typed = ConstraintSpec {
            kind: ConstraintKind::Typed(PropertyType::Integer),
            label,
            properties: vec![key],
        };
        vec![
            Change::CreateConstraint(typed.clone()),
            Change::DropConstraint(typed),
            Change::SetEnum(EnumSpec { name: "Color".into(), values: vec!["Red".into(), "Blue".into()] }),
            Change::DropEnum { name: "Color".into() },
            Change::CreateTrigger(Arc::new(TriggerSpec {
                name: "t".into(),
                event: TriggerEvent::Update(None),
                phase: TriggerPhase::AfterCommit,
                statement: "RETURN 1".into(),
            })),
            Change::DropTrigger { name: "t".into() },
            Change::CreateIndex(IndexSpec::EdgeType(edge_type)),
            Change::DropIndex(IndexSpec::EdgeTypeProperties(edge_type, vec![key])),
        ]
    }

    fn leaf() -> impl Strategy<Value = Value> {
        let text = || ".{0,6}".prop_map(Arc::<str>::from);
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            text().prop_map(Value::String),
            any::<Vec<u8>>().prop_map(|bytes| Value::Bytes(bytes.into())),
            any::<i32>().prop_map(|days| Value::Date(Date(days.into()))),
            any::<i64>().prop_map(|nanos| Value::LocalTime(LocalTime(nanos))),
            any::<(i64, i32)>()
                .prop_map(|(nanos, offset_seconds)| { Value::Time(OffsetTime { nanos, offset_seconds }) }),
            (any::<i64>(), 0u32..1_000_000_000)
                .prop_map(|(seconds, nanos)| { Value::LocalDateTime(LocalDateTime { seconds, nanos }) }),
            (any::<i64>(), 0u32..1_000_000_000, any::<i32>(), proptest::option::of(text())).prop_map(
                |(seconds, nanos, offset_seconds, zone)| {
                    Value::DateTime(Arc::new(DateTime { seconds, nanos, offset_seconds, zone }))
                }
            ),
            any::<(i64, i64, i64, i32)>().prop_map(|(months, days, seconds, nanos)| {
                Value::Duration(Arc::new(Duration { months, days, seconds, nanos }))
            }),
            any::<(u32, f64, f64, Option<f64>)>().prop_map(|(srid, x, y, z)| Value::Point(Arc::new(Point {
                srid,
                x,
                y,
                z
            }))),
            (text(), text())
                .prop_map(|(enum_name, value)| Value::Enum(Arc::new(EnumValue { enum_name, value }))),
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        leaf().prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::list),
                proptest::collection::btree_map(".{0,4}".prop_map(Arc::<str>::from), inner, 0..6)
                    .prop_map(|map| Value::Map(Arc::new(map))),
            ]
        })
    }

    fn nested(depth: usize) -> Value {
        (0..depth).fold(Value::Int(1), |inner, _| Value::list([inner]))
    }

    /// These bytes are in files and on the wire: when they change, the version byte must.
    #[test]
    fn the_form_of_every_change_is_fixed() {
        let names = Names::default();
        let bytes = encode(&names, &every_change(&names)).unwrap();
        let expected = [
            &[1, 2, 6][..],
            b"Person",
            &[7],
            "Ärztin".as_bytes(),
            &[1, 5],
            b"KNOWS",
            &[2, 4],
            b"name",
            &[5],
            b"since",
            &[13],
            &[1, 0xac, 2, 2, 0, 1, 1, 0, 5, 3],
            b"Ada",
            &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0],
            &[3, 0xac, 2, 0],
            &[4, 0xac, 2, 0],
            &[5, 0xac, 2, 0, 0],
            &[6, 1, 0xac, 2, 0xac, 2, 0, 1, 1, 3, 0xad, 0x1c],
            &[8, 1, 1, 4, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f],
            &[7, 1],
            &[2, 0xac, 2],
            &[9, 1, 0],
            &[10, 2, 0, 2, 0, 1],
            &[11, 2, 0, 1, 0],
            &[12, 1, 0, 1, 1],
        ]
        .concat();
        assert_eq!(bytes, expected);
        assert_eq!(decode(&names, &bytes).unwrap(), every_change(&names));
    }

    #[test]
    fn the_form_of_every_change_of_version_2_is_fixed() {
        let names = Names::default();
        let changes = every_change_of_version_2(&names);
        let bytes = encode(&names, &changes).unwrap();
        let expected = [
            &[2, 1, 6][..],
            b"Person",
            &[1, 5],
            b"KNOWS",
            &[1, 3],
            b"age",
            &[8],
            &[11, 3, 2, 0, 1, 0],
            &[12, 3, 2, 0, 1, 0],
            &[13, 5],
            b"Color",
            &[2, 3],
            b"Red",
            &[4],
            b"Blue",
            &[14, 5],
            b"Color",
            &[15, 1, b't', 4, 1, 8],
            b"RETURN 1",
            &[16, 1, b't'],
            &[9, 3, 0],
            &[10, 4, 0, 1, 0],
        ]
        .concat();
        assert_eq!(bytes, expected);
        assert_eq!(decode(&names, &bytes).unwrap(), changes);
    }

    /// An older program must be able to read whatever says that it can.
    #[test]
    fn the_version_rises_with_what_is_in_it_and_no_earlier() {
        let names = Names::default();
        assert_eq!(protocol_of(&encode(&names, &every_change(&names)).unwrap()), 1);
        assert_eq!(protocol_of(&[]), 1);
        for change in every_change_of_version_2(&names) {
            let mut changes = every_change(&names);
            changes.push(change);
            assert_eq!(protocol_of(&encode(&names, &changes).unwrap()), 3);
        }
    }

    #[test]
    fn names_travel_as_text() {
        let (here, there) = (Names::default(), Names::default());
        there.label("Other");
        there.key("since");
        let bytes = encode(&here, &every_change(&here)).unwrap();
        assert_eq!(decode(&there, &bytes).unwrap(), every_change(&there));
    }

    #[test]
    fn what_no_property_can_hold_is_refused() {
        assert_eq!(check_value(&nested(NESTING_MAX)), Ok(()));
        assert_eq!(check_value(&nested(NESTING_MAX + 1)), Err(ValueError::TooDeep));
        assert_eq!(check_value(&Value::list([Value::Edge(EdgeId(1))])), Err(ValueError::RunTimeOnly));
        for (days, fits) in [(i64::from(i32::MAX), true), (i64::from(i32::MAX) + 1, false), (i64::MIN, false)]
        {
            assert_eq!(check_value(&Value::list([Value::Date(Date(days))])).is_ok(), fits, "{days}");
        }
        let names = Names::default();
        let set = |value| Change::SetVertexProperty { id: VertexId(1), key: names.key("k"), value };
        assert_eq!(encode(&names, &[set(Value::Vertex(VertexId(1)))]), Err(ValueError::RunTimeOnly));

        let deepest = encode(&names, &[set(nested(NESTING_MAX))]).unwrap();
        assert_eq!(decode(&names, &deepest).unwrap(), [set(nested(NESTING_MAX))]);
        let start = deepest.iter().position(|byte| *byte == 6).unwrap();
        for extra in [1, 1_000_000] {
            let mut hostile = deepest[..start].to_vec();
            hostile.extend([6, 1].repeat(extra));
            hostile.extend(&deepest[start..]);
            assert_eq!(decode(&names, &hostile).unwrap_err().what, "nesting too deep");
        }
    }

    #[test]
    fn counts_beyond_the_bytes_are_refused_before_room_is_made() {
        let names = Names::default();
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        for start in [&[1][..], &[1, 0], &[1, 0, 0], &[1, 0, 0, 0], &[1, 0, 0, 0, 1, 1, 1]] {
            let bytes = [start, &huge, &[0; 30]].concat();
            assert_eq!(decode(&names, &bytes).unwrap_err().what, "a count beyond what is there");
        }
        assert_eq!(decode(&names, &[3, 0, 0, 0, 0]).unwrap_err().what, "an unknown version");
        assert_eq!(decode(&names, &[1, 0, 0, 0, 0, 9]).unwrap_err().what, "bytes after the last change");
        let endless = [0xff; 12];
        assert!(decode(&names, &[&[1][..], &endless].concat()).is_err());
    }

    #[test]
    fn every_cut_is_refused() {
        let names = Names::default();
        let changes = [every_change(&names), every_change_of_version_2(&names)].concat();
        let bytes = encode(&names, &changes).unwrap();
        for end in 0..bytes.len() {
            assert!(decode(&names, &bytes[..end]).is_err(), "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn values_come_back_as_they_went(value in value()) {
            let mut bytes = Vec::new();
            write_value(&mut bytes, &value);
            let mut r = Reader::new(&bytes);
            // Compared as text, in which NaN equals itself.
            prop_assert_eq!(format!("{:?}", r.value().unwrap()), format!("{value:?}"));
            prop_assert!(r.is_empty());
            let mut r = Reader::new(&bytes);
            r.skip_value().unwrap();
            prop_assert!(r.is_empty());
        }

        #[test]
        fn mutated_bytes_never_panic(value in value(), at: proptest::sample::Index, byte: u8) {
            let names = Names::default();
            let mut changes = every_change(&names);
            changes.extend(every_change_of_version_2(&names));
            changes.push(Change::SetVertexProperty { id: VertexId(1), key: names.key("k"), value });
            let mut bytes = encode(&names, &changes).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            // What still decodes can be encoded again.
            if let Ok(changes) = decode(&names, &bytes) {
                encode(&names, &changes).unwrap();
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode(&Names::default(), &[&[1][..], &bytes].concat());
        }
    }
}
