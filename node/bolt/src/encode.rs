//! Values to bytes. Each integer and each length takes the shortest form that holds it.

use crate::value::{DateTime, Map, Node, PackValue, Path, Relationship, UnboundRelationship};
use crate::{DEPTH_MAX, Version};

/// A value that cannot travel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("a value nests deeper than {DEPTH_MAX} levels and cannot be sent")]
    TooDeep,
    #[error("a value holds more than 2^32 - 1 items and cannot be sent")]
    TooLong,
    #[error(
        "the offset of zone `{0}` at that moment is not known, so the date-time cannot be sent in this version of Bolt"
    )]
    ZoneUnknown(String),
    #[error("a date-time is out of range and cannot be sent")]
    OutOfRange,
}

/// Appends values to a buffer.
///
/// The small methods (`int`, `string`, `list_header` ...) let a server write rows straight from its
/// own values; whoever writes a header writes as many items after it.
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    version: Version,
}

impl<'a> Encoder<'a> {
    /// Makes an encoder for one version of Bolt.
    pub fn new(out: &'a mut Vec<u8>, version: Version) -> Encoder<'a> {
        Encoder { out, version }
    }

    /// Returns the version that is written.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Appends bytes that are PackStream already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub fn null(&mut self) {
        self.out.push(0xC0);
    }

    pub fn bool(&mut self, v: bool) {
        self.out.push(if v { 0xC3 } else { 0xC2 });
    }

    pub fn float(&mut self, v: f64) {
        self.out.push(0xC1);
        self.out.extend_from_slice(&v.to_be_bytes());
    }

    pub fn int(&mut self, v: i64) {
        if let Ok(v) = i8::try_from(v) {
            if v < -16 {
                self.out.push(0xC8);
            }
            self.out.push(v.to_be_bytes()[0]);
        } else if let Ok(v) = i16::try_from(v) {
            self.out.push(0xC9);
            self.out.extend_from_slice(&v.to_be_bytes());
        } else if let Ok(v) = i32::try_from(v) {
            self.out.push(0xCA);
            self.out.extend_from_slice(&v.to_be_bytes());
        } else {
            self.out.push(0xCB);
            self.out.extend_from_slice(&v.to_be_bytes());
        }
    }

    pub fn bytes(&mut self, v: &[u8]) -> Result<(), EncodeError> {
        self.length(v.len(), None, [0xCC, 0xCD, 0xCE])?;
        self.out.extend_from_slice(v);
        Ok(())
    }

    pub fn string(&mut self, v: &str) -> Result<(), EncodeError> {
        self.length(v.len(), Some(0x80), [0xD0, 0xD1, 0xD2])?;
        self.out.extend_from_slice(v.as_bytes());
        Ok(())
    }

    pub fn list_header(&mut self, items: usize) -> Result<(), EncodeError> {
        self.length(items, Some(0x90), [0xD4, 0xD5, 0xD6])
    }

    pub fn map_header(&mut self, pairs: usize) -> Result<(), EncodeError> {
        self.length(pairs, Some(0xA0), [0xD8, 0xD9, 0xDA])
    }

    /// Begins a structure of at most 15 fields.
    pub fn structure_header(&mut self, tag: u8, fields: u8) {
        assert!(fields < 16, "a structure has at most 15 fields, not {fields}");
        self.out.push(0xB0 | fields);
        self.out.push(tag);
    }

    /// Begins a node: id, labels and properties follow, and from 5.0 the element id.
    pub fn node_header(&mut self) {
        self.structure_header(b'N', if self.version.has_element_ids() { 4 } else { 3 });
    }

    /// Begins a relationship: id, start, end, type and properties follow, and from 5.0 the element
    /// ids of itself, its start and its end.
    pub fn relationship_header(&mut self) {
        self.structure_header(b'R', if self.version.has_element_ids() { 8 } else { 5 });
    }

    /// Begins a relationship of a path: id, type and properties follow, and from 5.0 the element id.
    pub fn unbound_relationship_header(&mut self) {
        self.structure_header(b'r', if self.version.has_element_ids() { 4 } else { 3 });
    }

    /// Writes an element id, which is the id as text, where the version has one.
    pub fn element_id(&mut self, id: i64) -> Result<(), EncodeError> {
        if self.version.has_element_ids() { self.string(&id.to_string()) } else { Ok(()) }
    }

    /// Writes a date-time in the form of the version.
    pub fn datetime(&mut self, v: &DateTime) -> Result<(), EncodeError> {
        let utc = self.version.has_utc_datetimes();
        match v {
            DateTime::Offset { utc_seconds, nanos, offset_seconds } => {
                self.structure_header(if utc { b'I' } else { b'F' }, 3);
                self.int(if utc { *utc_seconds } else { local(*utc_seconds, *offset_seconds)? });
                self.int(i64::from(*nanos));
                self.int(i64::from(*offset_seconds));
            }
            DateTime::Zoned { utc_seconds, nanos, offset_seconds, zone } => {
                let seconds = match (utc, offset_seconds) {
                    (true, _) => *utc_seconds,
                    (false, Some(offset)) => local(*utc_seconds, *offset)?,
                    (false, None) => return Err(EncodeError::ZoneUnknown(zone.clone())),
                };
                self.structure_header(if utc { b'i' } else { b'f' }, 3);
                self.int(seconds);
                self.int(i64::from(*nanos));
                self.string(zone)?;
            }
            DateTime::LocalZoned { zone, .. } if utc => return Err(EncodeError::ZoneUnknown(zone.clone())),
            DateTime::LocalZoned { local_seconds, nanos, zone } => {
                self.structure_header(b'f', 3);
                self.int(*local_seconds);
                self.int(i64::from(*nanos));
                self.string(zone)?;
            }
        }
        Ok(())
    }

    /// Writes a map and all that is in it.
    pub fn map(&mut self, map: &Map) -> Result<(), EncodeError> {
        self.map_at(map, DEPTH_MAX)
    }

    /// Writes a value and all that is in it.
    pub fn value(&mut self, v: &PackValue) -> Result<(), EncodeError> {
        self.value_at(v, DEPTH_MAX)
    }

    fn length(&mut self, n: usize, tiny: Option<u8>, [m8, m16, m32]: [u8; 3]) -> Result<(), EncodeError> {
        match (tiny, n) {
            (Some(tiny), 0..=15) => self.out.push(tiny | n as u8),
            (_, 0..=0xFF) => self.out.extend_from_slice(&[m8, n as u8]),
            (_, 0x100..=0xFFFF) => {
                self.out.push(m16);
                self.out.extend_from_slice(&(n as u16).to_be_bytes());
            }
            _ => {
                let n = u32::try_from(n).map_err(|_| EncodeError::TooLong)?;
                self.out.push(m32);
                self.out.extend_from_slice(&n.to_be_bytes());
            }
        }
        Ok(())
    }

    fn map_at(&mut self, map: &Map, depth: usize) -> Result<(), EncodeError> {
        let depth = depth.checked_sub(1).ok_or(EncodeError::TooDeep)?;
        self.map_header(map.len())?;
        for (key, value) in map.iter() {
            self.string(key)?;
            self.value_at(value, depth)?;
        }
        Ok(())
    }

    fn list_at(&mut self, items: &[PackValue], depth: usize) -> Result<(), EncodeError> {
        let depth = depth.checked_sub(1).ok_or(EncodeError::TooDeep)?;
        self.list_header(items.len())?;
        items.iter().try_for_each(|item| self.value_at(item, depth))
    }

    fn value_at(&mut self, v: &PackValue, depth: usize) -> Result<(), EncodeError> {
        let inside = || depth.checked_sub(1).ok_or(EncodeError::TooDeep);
        match v {
            PackValue::Null => self.null(),
            PackValue::Bool(v) => self.bool(*v),
            PackValue::Int(v) => self.int(*v),
            PackValue::Float(v) => self.float(*v),
            PackValue::Bytes(v) => self.bytes(v)?,
            PackValue::String(v) => self.string(v)?,
            PackValue::List(v) => self.list_at(v, depth)?,
            PackValue::Map(v) => self.map_at(v, depth)?,
            PackValue::Node(v) => self.node_at(v, inside()?)?,
            PackValue::Relationship(v) => self.relationship_at(v, inside()?)?,
            PackValue::UnboundRelationship(v) => self.unbound_at(v, inside()?)?,
            PackValue::Path(v) => self.path_at(v, inside()?)?,
            PackValue::Date(days) => {
                self.structure_header(b'D', 1);
                self.int(*days);
            }
            PackValue::LocalTime(nanos) => {
                self.structure_header(b't', 1);
                self.int(*nanos);
            }
            PackValue::Time(v) => {
                self.structure_header(b'T', 2);
                self.int(v.nanos);
                self.int(i64::from(v.offset_seconds));
            }
            PackValue::LocalDateTime(v) => {
                self.structure_header(b'd', 2);
                self.int(v.seconds);
                self.int(i64::from(v.nanos));
            }
            PackValue::DateTime(v) => self.datetime(v)?,
            PackValue::Duration(v) => {
                self.structure_header(b'E', 4);
                for part in [v.months, v.days, v.seconds, v.nanos] {
                    self.int(part);
                }
            }
            PackValue::Point(v) => {
                self.structure_header(
                    if v.z.is_some() { b'Y' } else { b'X' },
                    if v.z.is_some() { 4 } else { 3 },
                );
                self.int(v.srid);
                self.float(v.x);
                self.float(v.y);
                if let Some(z) = v.z {
                    self.float(z);
                }
            }
            PackValue::Structure(v) => {
                let depth = inside()?;
                let fields =
                    u8::try_from(v.fields.len()).ok().filter(|n| *n < 16).ok_or(EncodeError::TooLong)?;
                self.structure_header(v.tag, fields);
                v.fields.iter().try_for_each(|field| self.value_at(field, depth))?;
            }
        }
        Ok(())
    }

    fn node_at(&mut self, v: &Node, depth: usize) -> Result<(), EncodeError> {
        self.node_header();
        self.int(v.id);
        self.list_header(v.labels.len())?;
        v.labels.iter().try_for_each(|label| self.string(label))?;
        self.map_at(&v.properties, depth)?;
        self.element(&v.element_id)
    }

    fn relationship_at(&mut self, v: &Relationship, depth: usize) -> Result<(), EncodeError> {
        self.relationship_header();
        self.int(v.id);
        self.int(v.start);
        self.int(v.end);
        self.string(&v.kind)?;
        self.map_at(&v.properties, depth)?;
        self.element(&v.element_id)?;
        self.element(&v.start_element_id)?;
        self.element(&v.end_element_id)
    }

    fn unbound_at(&mut self, v: &UnboundRelationship, depth: usize) -> Result<(), EncodeError> {
        self.unbound_relationship_header();
        self.int(v.id);
        self.string(&v.kind)?;
        self.map_at(&v.properties, depth)?;
        self.element(&v.element_id)
    }

    fn path_at(&mut self, v: &Path, depth: usize) -> Result<(), EncodeError> {
        let inside = depth.checked_sub(2).ok_or(EncodeError::TooDeep)?;
        self.structure_header(b'P', 3);
        self.list_header(v.nodes.len())?;
        v.nodes.iter().try_for_each(|node| self.node_at(node, inside))?;
        self.list_header(v.relationships.len())?;
        v.relationships.iter().try_for_each(|relationship| self.unbound_at(relationship, inside))?;
        self.list_header(v.indices.len())?;
        v.indices.iter().for_each(|index| self.int(*index));
        Ok(())
    }

    fn element(&mut self, id: &str) -> Result<(), EncodeError> {
        if self.version.has_element_ids() { self.string(id) } else { Ok(()) }
    }
}

fn local(utc_seconds: i64, offset_seconds: i32) -> Result<i64, EncodeError> {
    utc_seconds.checked_add(i64::from(offset_seconds)).ok_or(EncodeError::OutOfRange)
}
