//! Bytes to values.
//!
//! Nothing is reserved for a declared length beyond what the remaining bytes could fill, so a length
//! of four billion in a message of ten bytes costs nothing.

use crate::value::{
    DateTime, Duration, LocalDateTime, Map, Node, OffsetTime, PackValue, Path, Point, Relationship,
    Structure, UnboundRelationship,
};
use crate::{DEPTH_MAX, Version};

/// Bytes that are not PackStream, or not a structure that Bolt knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the message ends inside a value")]
    Truncated,
    #[error("{0} bytes follow the message's last field")]
    TrailingBytes(usize),
    #[error("a value nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
    #[error("0x{0:02X} begins no value")]
    UnknownMarker(u8),
    #[error("a string is not UTF-8")]
    NotUtf8,
    #[error("a map's key is not a string")]
    KeyNotString,
    #[error("a message is not a structure")]
    NotAStructure,
    #[error("0x{tag:02X} with {fields} fields is no message of this version of Bolt")]
    UnknownMessage { tag: u8, fields: usize },
    #[error("a structure 0x{tag:02X} is malformed: {what}")]
    Malformed { tag: u8, what: &'static str },
    #[error("field `{name}` is not a {expected}")]
    Field { name: &'static str, expected: &'static str },
}

/// How many items a list or map gets room for before they are read.
const ROOM_IN_ADVANCE: usize = 256;

/// Reads values from a whole message.
pub struct Decoder<'a> {
    bytes: &'a [u8],
    version: Version,
}

enum Shape {
    Value(PackValue),
    Bytes(usize),
    String(usize),
    List(usize),
    Map(usize),
    Structure(usize),
}

impl<'a> Decoder<'a> {
    /// Makes a decoder for one version of Bolt.
    pub fn new(bytes: &'a [u8], version: Version) -> Decoder<'a> {
        Decoder { bytes, version }
    }

    /// Reads the next value.
    pub fn value(&mut self) -> Result<PackValue, DecodeError> {
        self.value_at(DEPTH_MAX)
    }

    /// Begins a message: returns its tag and how many fields follow.
    pub fn message_header(&mut self) -> Result<(u8, usize), DecodeError> {
        match self.shape()? {
            Shape::Structure(fields) => Ok((self.byte()?, fields)),
            _ => Err(DecodeError::NotAStructure),
        }
    }

    /// Says that nothing may follow.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes(self.bytes.len())) }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.bytes.split_at_checked(n).ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    fn length(&mut self, width: u8) -> Result<usize, DecodeError> {
        Ok(match width {
            0 => usize::from(self.byte()?),
            1 => usize::from(u16::from_be_bytes(self.array()?)),
            _ => u32::from_be_bytes(self.array()?) as usize,
        })
    }

    /// Returns how many items to make room for. Every item takes at least one byte (a pair of a map
    /// two), so no more can come than that; and since each level of nesting could claim all the
    /// bytes that are left, a level gets little in advance and grows by what really comes.
    fn room(&self, declared: usize, bytes_each: usize) -> Result<usize, DecodeError> {
        if declared <= self.bytes.len() / bytes_each {
            Ok(declared.min(ROOM_IN_ADVANCE))
        } else {
            Err(DecodeError::Truncated)
        }
    }

    fn shape(&mut self) -> Result<Shape, DecodeError> {
        let marker = self.byte()?;
        let small = usize::from(marker & 0x0F);
        Ok(match marker {
            0x00..=0x7F | 0xF0..=0xFF => Shape::Value(PackValue::Int(i64::from(i8::from_be_bytes([marker])))),
            0x80..=0x8F => Shape::String(small),
            0x90..=0x9F => Shape::List(small),
            0xA0..=0xAF => Shape::Map(small),
            0xB0..=0xBF => Shape::Structure(small),
            0xC0 => Shape::Value(PackValue::Null),
            0xC1 => Shape::Value(PackValue::Float(f64::from_be_bytes(self.array()?))),
            0xC2 => Shape::Value(PackValue::Bool(false)),
            0xC3 => Shape::Value(PackValue::Bool(true)),
            0xC8 => Shape::Value(PackValue::Int(i64::from(i8::from_be_bytes(self.array()?)))),
            0xC9 => Shape::Value(PackValue::Int(i64::from(i16::from_be_bytes(self.array()?)))),
            0xCA => Shape::Value(PackValue::Int(i64::from(i32::from_be_bytes(self.array()?)))),
            0xCB => Shape::Value(PackValue::Int(i64::from_be_bytes(self.array()?))),
            0xCC..=0xCE => Shape::Bytes(self.length(marker - 0xCC)?),
            0xD0..=0xD2 => Shape::String(self.length(marker - 0xD0)?),
            0xD4..=0xD6 => Shape::List(self.length(marker - 0xD4)?),
            0xD8..=0xDA => Shape::Map(self.length(marker - 0xD8)?),
            other => return Err(DecodeError::UnknownMarker(other)),
        })
    }

    fn string(&mut self, length: usize) -> Result<String, DecodeError> {
        std::str::from_utf8(self.take(length)?).map(str::to_owned).map_err(|_| DecodeError::NotUtf8)
    }

    fn value_at(&mut self, depth: usize) -> Result<PackValue, DecodeError> {
        let shape = self.shape()?;
        let inside = || depth.checked_sub(1).ok_or(DecodeError::TooDeep);
        Ok(match shape {
            Shape::Value(v) => v,
            Shape::Bytes(n) => PackValue::Bytes(self.take(n)?.to_vec()),
            Shape::String(n) => PackValue::String(self.string(n)?),
            Shape::List(n) => PackValue::List(self.items(n, inside()?)?),
            Shape::Map(n) => PackValue::Map(self.map(n, inside()?)?),
            Shape::Structure(n) => {
                let tag = self.byte()?;
                let fields = self.items(n, inside()?)?;
                structure(tag, fields, self.version)?
            }
        })
    }

    fn items(&mut self, declared: usize, depth: usize) -> Result<Vec<PackValue>, DecodeError> {
        let mut items = Vec::with_capacity(self.room(declared, 1)?);
        for _ in 0..declared {
            items.push(self.value_at(depth)?);
        }
        Ok(items)
    }

    fn map(&mut self, declared: usize, depth: usize) -> Result<Map, DecodeError> {
        let mut pairs = Vec::with_capacity(self.room(declared, 2)?);
        for _ in 0..declared {
            let Shape::String(n) = self.shape()? else { return Err(DecodeError::KeyNotString) };
            let key = self.string(n)?;
            pairs.push((key.into(), self.value_at(depth)?));
        }
        Ok(Map(pairs))
    }
}

/// Gives a structure its meaning. A tag that Bolt does not know stays a plain structure.
fn structure(tag: u8, fields: Vec<PackValue>, version: Version) -> Result<PackValue, DecodeError> {
    let known = matches!(
        tag,
        b'N' | b'R'
            | b'r'
            | b'P'
            | b'D'
            | b'T'
            | b't'
            | b'I'
            | b'F'
            | b'i'
            | b'f'
            | b'd'
            | b'E'
            | b'X'
            | b'Y'
    );
    if !known {
        return Ok(PackValue::Structure(Box::new(Structure { tag, fields })));
    }
    let mut f = Fields { tag, left: fields.into_iter() };
    let value = match tag {
        b'N' => {
            let (id, labels, properties) = (f.int()?, f.strings()?, f.map()?);
            let element_id = f.element_id(version, id)?;
            PackValue::Node(Box::new(Node { id, labels, properties, element_id }))
        }
        b'R' => {
            let (id, start, end, kind, properties) = (f.int()?, f.int()?, f.int()?, f.string()?, f.map()?);
            let element_id = f.element_id(version, id)?;
            let start_element_id = f.element_id(version, start)?;
            let end_element_id = f.element_id(version, end)?;
            PackValue::Relationship(Box::new(Relationship {
                id,
                start,
                end,
                kind,
                properties,
                element_id,
                start_element_id,
                end_element_id,
            }))
        }
        b'r' => {
            let (id, kind, properties) = (f.int()?, f.string()?, f.map()?);
            let element_id = f.element_id(version, id)?;
            PackValue::UnboundRelationship(Box::new(UnboundRelationship { id, kind, properties, element_id }))
        }
        b'P' => PackValue::Path(Box::new(path(&mut f)?)),
        b'D' => PackValue::Date(f.int()?),
        b't' => PackValue::LocalTime(f.int()?),
        b'T' => PackValue::Time(OffsetTime { nanos: f.int()?, offset_seconds: f.small()? }),
        b'd' => PackValue::LocalDateTime(LocalDateTime { seconds: f.int()?, nanos: f.nanos()? }),
        b'I' => {
            let (utc_seconds, nanos, offset_seconds) = (f.int()?, f.nanos()?, f.small()?);
            PackValue::DateTime(Box::new(DateTime::Offset { utc_seconds, nanos, offset_seconds }))
        }
        b'F' => {
            let (local, nanos, offset_seconds) = (f.int()?, f.nanos()?, f.small()?);
            let utc_seconds = local
                .checked_sub(i64::from(offset_seconds))
                .ok_or(f.malformed("its seconds are out of range"))?;
            PackValue::DateTime(Box::new(DateTime::Offset { utc_seconds, nanos, offset_seconds }))
        }
        b'i' => {
            let (utc_seconds, nanos, zone) = (f.int()?, f.nanos()?, f.string()?);
            PackValue::DateTime(Box::new(DateTime::Zoned { utc_seconds, nanos, offset_seconds: None, zone }))
        }
        b'f' => {
            let (local_seconds, nanos, zone) = (f.int()?, f.nanos()?, f.string()?);
            PackValue::DateTime(Box::new(DateTime::LocalZoned { local_seconds, nanos, zone }))
        }
        b'E' => {
            let (months, days, seconds, nanos) = (f.int()?, f.int()?, f.int()?, f.int()?);
            PackValue::Duration(Box::new(Duration { months, days, seconds, nanos }))
        }
        _ => {
            let (srid, x, y) = (f.int()?, f.float()?, f.float()?);
            let z = if tag == b'Y' { Some(f.float()?) } else { None };
            PackValue::Point(Box::new(Point { srid, x, y, z }))
        }
    };
    f.end()?;
    Ok(value)
}

/// Checks a path's numbers, so that whoever walks it need not.
fn path(f: &mut Fields) -> Result<Path, DecodeError> {
    let nodes = f.list()?.into_iter().map(|v| match v {
        PackValue::Node(node) => Ok(*node),
        _ => Err(f.malformed("it holds something else than nodes")),
    });
    let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    let relationships = f.list()?.into_iter().map(|v| match v {
        PackValue::UnboundRelationship(relationship) => Ok(*relationship),
        _ => Err(f.malformed("it holds something else than relationships")),
    });
    let relationships = relationships.collect::<Result<Vec<_>, _>>()?;
    let indices = f.list()?.into_iter().map(|v| match v {
        PackValue::Int(i) => Ok(i),
        _ => Err(f.malformed("an index is not an integer")),
    });
    let indices = indices.collect::<Result<Vec<_>, _>>()?;
    if nodes.is_empty() || indices.len() % 2 != 0 {
        return Err(f.malformed("it has no start, or half a step"));
    }
    for step in indices.chunks_exact(2) {
        let edge = usize::try_from(step[0].unsigned_abs()).unwrap_or(usize::MAX);
        let node = usize::try_from(step[1]).unwrap_or(usize::MAX);
        if edge == 0 || edge > relationships.len() || node >= nodes.len() {
            return Err(f.malformed("an index leads nowhere"));
        }
    }
    Ok(Path { nodes, relationships, indices })
}

struct Fields {
    tag: u8,
    left: std::vec::IntoIter<PackValue>,
}

impl Fields {
    fn malformed(&self, what: &'static str) -> DecodeError {
        DecodeError::Malformed { tag: self.tag, what }
    }

    fn next(&mut self) -> Result<PackValue, DecodeError> {
        self.left.next().ok_or(DecodeError::Malformed { tag: self.tag, what: "it has too few fields" })
    }

    fn end(&self) -> Result<(), DecodeError> {
        if self.left.len() == 0 { Ok(()) } else { Err(self.malformed("it has too many fields")) }
    }

    fn int(&mut self) -> Result<i64, DecodeError> {
        match self.next()? {
            PackValue::Int(v) => Ok(v),
            _ => Err(self.malformed("a field is not an integer")),
        }
    }

    fn small(&mut self) -> Result<i32, DecodeError> {
        i32::try_from(self.int()?).map_err(|_| self.malformed("its offset is out of range"))
    }

    fn nanos(&mut self) -> Result<u32, DecodeError> {
        let nanos = u32::try_from(self.int()?).ok().filter(|n| *n < 1_000_000_000);
        nanos.ok_or(self.malformed("its nanoseconds are out of range"))
    }

    fn float(&mut self) -> Result<f64, DecodeError> {
        match self.next()? {
            PackValue::Float(v) => Ok(v),
            _ => Err(self.malformed("a field is not a float")),
        }
    }

    fn string(&mut self) -> Result<String, DecodeError> {
        match self.next()? {
            PackValue::String(v) => Ok(v),
            _ => Err(self.malformed("a field is not a string")),
        }
    }

    fn list(&mut self) -> Result<Vec<PackValue>, DecodeError> {
        match self.next()? {
            PackValue::List(v) => Ok(v),
            _ => Err(self.malformed("a field is not a list")),
        }
    }

    fn map(&mut self) -> Result<Map, DecodeError> {
        match self.next()? {
            PackValue::Map(v) => Ok(v),
            _ => Err(self.malformed("a field is not a map")),
        }
    }

    fn strings(&mut self) -> Result<Vec<String>, DecodeError> {
        let items = self.list()?.into_iter().map(|v| match v {
            PackValue::String(v) => Ok(v),
            _ => Err(self.malformed("a label is not a string")),
        });
        items.collect()
    }

    fn element_id(&mut self, version: Version, id: i64) -> Result<String, DecodeError> {
        if version.has_element_ids() { self.string() } else { Ok(id.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoder;
    use proptest::prelude::*;

    fn encode(v: &PackValue, version: Version) -> Vec<u8> {
        let mut out = Vec::new();
        Encoder::new(&mut out, version).value(v).unwrap();
        out
    }

    fn decode(bytes: &[u8], version: Version) -> Result<PackValue, DecodeError> {
        let mut decoder = Decoder::new(bytes, version);
        let value = decoder.value()?;
        decoder.end()?;
        Ok(value)
    }

    fn map(values: impl Strategy<Value = PackValue> + 'static) -> impl Strategy<Value = Map> {
        prop::collection::vec((".{0,20}", values), 0..5).prop_map(Map::from_iter)
    }

    fn leaf() -> impl Strategy<Value = PackValue> {
        let nanos = 0u32..1_000_000_000;
        let seconds = -1_000_000_000_000i64..1_000_000_000_000;
        prop_oneof![
            Just(PackValue::Null),
            any::<bool>().prop_map(PackValue::Bool),
            any::<i64>().prop_map(PackValue::Int),
            (-200i64..200).prop_map(PackValue::Int),
            (-1e300f64..1e300).prop_map(PackValue::Float),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(PackValue::Bytes),
            ".{0,300}".prop_map(PackValue::String),
            any::<i64>().prop_map(PackValue::Date),
            any::<i64>().prop_map(PackValue::LocalTime),
            (any::<i64>(), any::<i32>())
                .prop_map(|(nanos, offset_seconds)| PackValue::Time(OffsetTime { nanos, offset_seconds })),
            (seconds.clone(), nanos.clone())
                .prop_map(|(seconds, nanos)| PackValue::LocalDateTime(LocalDateTime { seconds, nanos })),
            (seconds, nanos, -64_800i32..64_800).prop_map(|(utc_seconds, nanos, offset_seconds)| {
                PackValue::DateTime(Box::new(DateTime::Offset { utc_seconds, nanos, offset_seconds }))
            }),
            any::<[i64; 4]>().prop_map(|[months, days, seconds, nanos]| {
                PackValue::Duration(Box::new(Duration { months, days, seconds, nanos }))
            }),
            (any::<i64>(), -1e9f64..1e9, -1e9f64..1e9, prop::option::of(-1e9f64..1e9))
                .prop_map(|(srid, x, y, z)| PackValue::Point(Box::new(Point { srid, x, y, z }))),
        ]
    }

    fn node() -> impl Strategy<Value = Node> {
        (any::<i64>(), prop::collection::vec(".{0,9}", 0..3), map(leaf()))
            .prop_map(|(id, labels, properties)| Node { id, labels, properties, element_id: id.to_string() })
    }

    fn unbound() -> impl Strategy<Value = UnboundRelationship> {
        (any::<i64>(), ".{0,9}", map(leaf())).prop_map(|(id, kind, properties)| UnboundRelationship {
            id,
            kind,
            properties,
            element_id: id.to_string(),
        })
    }

    fn value() -> impl Strategy<Value = PackValue> {
        let graph = prop_oneof![
            node().prop_map(|n| PackValue::Node(Box::new(n))),
            unbound().prop_map(|r| PackValue::UnboundRelationship(Box::new(r))),
            (unbound(), any::<i64>(), any::<i64>()).prop_map(|(r, start, end)| {
                PackValue::Relationship(Box::new(Relationship {
                    id: r.id,
                    start,
                    end,
                    kind: r.kind,
                    properties: r.properties,
                    element_id: r.element_id,
                    start_element_id: start.to_string(),
                    end_element_id: end.to_string(),
                }))
            }),
            (node(), node(), unbound()).prop_map(|(a, b, r)| PackValue::Path(Box::new(Path {
                nodes: vec![a, b],
                relationships: vec![r],
                indices: vec![1, 1, -1, 0],
            }))),
        ];
        prop_oneof![leaf(), graph].prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(PackValue::List),
                map(inner.clone()).prop_map(PackValue::Map),
                (0x60u8..0x64, prop::collection::vec(inner, 0..15))
                    .prop_map(|(tag, fields)| PackValue::Structure(Box::new(Structure { tag, fields }))),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_comes_back_in_both_dialects(v in value()) {
            for version in [Version::V4_4, Version::V5_4] {
                prop_assert_eq!(&decode(&encode(&v, version), version).unwrap(), &v);
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            for version in [Version::V4_4, Version::V5_4] {
                if let Ok(v) = decode(&bytes, version) {
                    // What is understood can be written, and is understood the same again. NaN is
                    // unequal to itself, so the bytes are compared.
                    let again = encode(&v, version);
                    prop_assert_eq!(encode(&decode(&again, version).unwrap(), version), again);
                }
            }
        }

        #[test]
        fn damaged_values_never_panic(v in value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = encode(&v, Version::V5_4);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = decode(&bytes, Version::V5_4);
            prop_assert!(decode(&bytes[..at], Version::V5_4).is_err());
        }
    }

    #[test]
    fn integers_take_their_shortest_form() {
        for (v, length) in [
            (0, 1),
            (127, 1),
            (-16, 1),
            (-17, 2),
            (-128, 2),
            (128, 3),
            (-129, 3),
            (32_767, 3),
            (32_768, 5),
            (-2_147_483_648, 5),
            (2_147_483_648, 9),
            (i64::MIN, 9),
        ] {
            let bytes = encode(&PackValue::Int(v), Version::V5_4);
            assert_eq!(bytes.len(), length, "{v}");
            assert_eq!(decode(&bytes, Version::V5_4), Ok(PackValue::Int(v)));
        }
    }

    #[test]
    fn nesting_is_limited_in_both_directions() {
        let nested = |levels: usize| {
            let mut bytes = vec![0x91; levels];
            bytes.push(0xC0);
            bytes
        };
        let deepest = decode(&nested(DEPTH_MAX), Version::V5_4).unwrap();
        assert_eq!(encode(&deepest, Version::V5_4), nested(DEPTH_MAX));
        assert_eq!(decode(&nested(DEPTH_MAX + 1), Version::V5_4), Err(DecodeError::TooDeep));
        assert_eq!(decode(&nested(1_000_000), Version::V5_4), Err(DecodeError::TooDeep));
        let deeper = PackValue::List(vec![deepest]);
        assert_eq!(
            Encoder::new(&mut Vec::new(), Version::V5_4).value(&deeper),
            Err(crate::EncodeError::TooDeep)
        );
    }

    #[test]
    fn declared_lengths_are_not_believed() {
        for marker in [0xCE, 0xD2, 0xD6, 0xDA] {
            let bytes = [marker, 0xFF, 0xFF, 0xFF, 0xFF, 0xC0];
            assert_eq!(decode(&bytes, Version::V5_4), Err(DecodeError::Truncated));
        }
        // Lists inside lists that each claim every byte that is left.
        let mut claims = Vec::new();
        for level in (0..100u32).rev() {
            claims.push(0xD6);
            claims.extend((level * 5 + 60_000).to_be_bytes());
        }
        claims.extend([0xC0; 60_000]);
        let decoder = Decoder::new(&claims, Version::V5_4);
        assert_eq!(decoder.room(60_000, 1), Ok(ROOM_IN_ADVANCE));
        assert_eq!(decode(&claims, Version::V5_4), Err(DecodeError::Truncated));
    }

    #[test]
    fn shapes_follow_the_version() {
        let node = PackValue::Node(Box::new(Node {
            id: 3,
            labels: vec![],
            properties: Map::new(),
            element_id: "3".into(),
        }));
        assert_eq!(encode(&node, Version::V4_4), [0xB3, b'N', 3, 0x90, 0xA0]);
        assert_eq!(encode(&node, Version::V5_0), [0xB4, b'N', 3, 0x90, 0xA0, 0x81, b'3']);
        assert!(matches!(
            decode(&[0xB3, b'N', 3, 0x90, 0xA0], Version::V5_0),
            Err(DecodeError::Malformed { tag: b'N', .. })
        ));

        let moment = |seconds| {
            PackValue::DateTime(Box::new(DateTime::Offset {
                utc_seconds: seconds,
                nanos: 0,
                offset_seconds: 60,
            }))
        };
        assert_eq!(encode(&moment(0), Version::V4_4), [0xB3, b'F', 60, 0, 60]);
        assert_eq!(encode(&moment(0), Version::V5_0), [0xB3, b'I', 0, 0, 60]);
    }

    #[test]
    fn a_named_zone_travels_where_its_offset_is_known() {
        let zoned = |offset_seconds| {
            let zone = "UTC".to_owned();
            PackValue::DateTime(Box::new(DateTime::Zoned { utc_seconds: 10, nanos: 0, offset_seconds, zone }))
        };
        let mut out = Vec::new();
        let unknown = Encoder::new(&mut out, Version::V4_4).value(&zoned(None));
        assert_eq!(unknown, Err(crate::EncodeError::ZoneUnknown("UTC".into())));
        let bytes = encode(&zoned(Some(5)), Version::V4_4);
        let local = DateTime::LocalZoned { local_seconds: 15, nanos: 0, zone: "UTC".into() };
        assert_eq!(decode(&bytes, Version::V4_4), Ok(PackValue::DateTime(Box::new(local))));
        let bytes = encode(&zoned(Some(5)), Version::V5_0);
        assert_eq!(decode(&bytes, Version::V5_0), Ok(zoned(None)));
    }

    #[test]
    fn a_path_that_leads_nowhere_is_refused() {
        let node = [0xB3, b'N', 3, 0x90, 0xA0];
        let mut bytes = vec![0xB3, b'P', 0x91];
        bytes.extend(node);
        bytes.extend([0x90, 0x92, 0x01, 0x00]);
        assert!(matches!(decode(&bytes, Version::V4_4), Err(DecodeError::Malformed { tag: b'P', .. })));
    }
}
