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

use crate::types::{
    Change, ConstraintKind, ConstraintSpec, Date, DateTime, Duration, EdgeId, EdgeTypeId, EnumSpec,
    EnumValue, IndexSpec, LabelId, LocalDateTime, LocalTime, Names, OffsetTime, Point, PropertyKeyId,
    PropertyType, TriggerEvent, TriggerPhase, TriggerSpec, Value, VertexId,
};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

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
    if decoder.r.at != bytes.len() {
        return Err(decoder.r.error("bytes after the last change"));
    }
    Ok(changes)
}

struct Table<K> {
    places: FxHashMap<K, u64>,
    order: Vec<K>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Table { places: FxHashMap::default(), order: Vec::new() }
    }
}

impl<K: Copy + Eq + std::hash::Hash> Table<K> {
    fn place(&mut self, id: K) -> u64 {
        *self.places.entry(id).or_insert_with(|| {
            self.order.push(id);
            self.order.len() as u64 - 1
        })
    }
}

#[derive(Default)]
struct Encoder {
    labels: Table<LabelId>,
    edge_types: Table<EdgeTypeId>,
    keys: Table<PropertyKeyId>,
    body: Vec<u8>,
    /// Something in it is of [`VERSION_SCHEMA`].
    is_extended: bool,
}

impl Encoder {
    fn varint(&mut self, n: u64) {
        write_varint(&mut self.body, n);
    }

    fn label(&mut self, label: LabelId) {
        let place = self.labels.place(label);
        self.varint(place);
    }

    fn edge_type(&mut self, edge_type: EdgeTypeId) {
        let place = self.edge_types.place(edge_type);
        self.varint(place);
    }

    fn key(&mut self, key: PropertyKeyId) {
        let place = self.keys.place(key);
        self.varint(place);
    }

    fn properties(&mut self, properties: &[(PropertyKeyId, Value)]) -> Result<(), ValueError> {
        self.varint(properties.len() as u64);
        for (key, value) in properties {
            self.key(*key);
            self.value(value)?;
        }
        Ok(())
    }

    fn value(&mut self, value: &Value) -> Result<(), ValueError> {
        check_value(value)?;
        write_value(&mut self.body, value);
        Ok(())
    }

    fn change(&mut self, change: &Change) -> Result<(), ValueError> {
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

    fn key_list(&mut self, keys: &[PropertyKeyId]) {
        self.varint(keys.len() as u64);
        for key in keys {
            self.key(*key);
        }
    }

    fn index(&mut self, index: &IndexSpec) {
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

    fn text(&mut self, text: &str) {
        write_bytes(&mut self.body, text.as_bytes());
    }

    fn constraint(&mut self, constraint: &ConstraintSpec) {
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

fn write_names(out: &mut Vec<u8>, names: impl ExactSizeIterator<Item = Arc<str>>) {
    write_varint(out, names.len() as u64);
    for name in names {
        write_bytes(out, name.as_bytes());
    }
}

/// Appends an unsigned LEB128 varint.
pub(super) fn write_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn write_signed(out: &mut Vec<u8>, n: i64) {
    write_varint(out, ((n << 1) ^ (n >> 63)).cast_unsigned());
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn write_f64(out: &mut Vec<u8>, f: f64) {
    out.extend_from_slice(&f.to_bits().to_le_bytes());
}

/// Appends a value that has passed [`check_value`].
pub(super) fn write_value(out: &mut Vec<u8>, value: &Value) {
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Null => out.push(0),
            Value::Bool(b) => out.push(1 + u8::from(*b)),
            Value::Int(i) => {
                out.push(INT);
                write_signed(out, *i);
            }
            Value::Float(f) => {
                out.push(4);
                write_f64(out, *f);
            }
            Value::String(s) => {
                out.push(5);
                write_bytes(out, s.as_bytes());
            }
            Value::List(items) => {
                out.push(6);
                write_varint(out, items.len() as u64);
                waiting.extend(items.iter().rev());
            }
            Value::Map(map) => {
                out.push(7);
                write_varint(out, map.len() as u64);
                for key in map.keys() {
                    write_bytes(out, key.as_bytes());
                }
                waiting.extend(map.values().rev());
            }
            Value::Bytes(b) => {
                out.push(8);
                write_bytes(out, b);
            }
            Value::Date(d) => {
                out.push(9);
                write_signed(out, d.0);
            }
            Value::LocalTime(t) => {
                out.push(10);
                write_signed(out, t.0);
            }
            Value::Time(t) => {
                out.push(11);
                write_signed(out, t.nanos);
                write_signed(out, i64::from(t.offset_seconds));
            }
            Value::LocalDateTime(t) => {
                out.push(12);
                write_signed(out, t.seconds);
                write_varint(out, u64::from(t.nanos));
            }
            Value::DateTime(t) => {
                out.push(13);
                write_signed(out, t.seconds);
                write_varint(out, u64::from(t.nanos));
                write_signed(out, i64::from(t.offset_seconds));
                match &t.zone {
                    None => out.push(0),
                    Some(zone) => {
                        out.push(1);
                        write_bytes(out, zone.as_bytes());
                    }
                }
            }
            Value::Duration(d) => {
                out.push(14);
                write_signed(out, d.months);
                write_signed(out, d.days);
                write_signed(out, d.seconds);
                write_signed(out, i64::from(d.nanos));
            }
            Value::Point(p) => {
                out.push(15);
                write_varint(out, u64::from(p.srid));
                write_f64(out, p.x);
                write_f64(out, p.y);
                match p.z {
                    None => out.push(0),
                    Some(z) => {
                        out.push(1);
                        write_f64(out, z);
                    }
                }
            }
            Value::Enum(e) => {
                out.push(16);
                write_bytes(out, e.enum_name.as_bytes());
                write_bytes(out, e.value.as_bytes());
            }
            Value::Vertex(_) | Value::Edge(_) | Value::Path(_) => {
                unreachable!("check_value refuses run-time values before they get here")
            }
        }
    }
}

/// Reads what the writers above wrote.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { what, at: self.at }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.error("an early end"))?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        if length > self.left() {
            return Err(self.error("an early end"));
        }
        let taken = &self.bytes[self.at..self.at + length];
        self.at += length;
        Ok(taken)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        // Most numbers are small.
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            n |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(self.error("a number beyond 64 bits"))
    }

    #[inline]
    fn signed(&mut self) -> Result<i64, DecodeError> {
        let n = self.varint()?;
        Ok((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }

    fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        let n = self.varint()?;
        T::try_from(n).map_err(|_| self.error("a number out of range"))
    }

    fn narrow_signed<T: TryFrom<i64>>(&mut self) -> Result<T, DecodeError> {
        let n = self.signed()?;
        T::try_from(n).map_err(|_| self.error("a number out of range"))
    }

    /// Reads how many things follow, each of at least `least` bytes.
    fn count(&mut self, least: usize) -> Result<usize, DecodeError> {
        let count = self.narrow::<usize>()?;
        if count > self.left() / least {
            return Err(self.error("a count beyond what is there"));
        }
        Ok(count)
    }

    fn sized(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.narrow::<usize>()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.sized()?;
        std::str::from_utf8(bytes).map_err(|_| self.error("text that is not UTF-8"))
    }

    fn f64(&mut self) -> Result<f64, DecodeError> {
        let bytes = self.take(8)?;
        Ok(f64::from_bits(u64::from_le_bytes(bytes.try_into().expect("eight were taken"))))
    }

    fn nanos(&mut self) -> Result<u32, DecodeError> {
        match self.varint()? {
            n @ 0..=999_999_999 => Ok(u32::try_from(n).expect("checked by the pattern")),
            _ => Err(self.error("nanoseconds beyond a second")),
        }
    }

    fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.error("a flag that is neither 0 nor 1")),
        }
    }

    fn names<T>(&mut self, intern: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, DecodeError> {
        let count = self.count(1)?;
        let mut ids = Vec::with_capacity(count.min(4096));
        for _ in 0..count {
            let name = self.text()?;
            ids.push(intern(name).ok_or_else(|| self.error("one edge type too many"))?);
        }
        Ok(ids)
    }

    /// Reads one value.
    #[inline]
    pub(super) fn value(&mut self) -> Result<Value, DecodeError> {
        if self.bytes.get(self.at) == Some(&INT) {
            self.at += 1;
            return Ok(Value::Int(self.signed()?));
        }
        self.any_value()
    }

    fn any_value(&mut self) -> Result<Value, DecodeError> {
        // What is being filled, outermost first; its length is the nesting.
        enum Open<'a> {
            List { items: Vec<Value>, left: usize },
            Map { keys: std::vec::IntoIter<&'a str>, values: BTreeMap<Arc<str>, Value> },
        }
        let mut open: Vec<Open<'a>> = Vec::new();
        loop {
            let kind = self.byte()?;
            let mut done = match kind {
                6 | 7 if open.len() == NESTING_MAX => return Err(self.error("nesting too deep")),
                6 => {
                    let left = self.count(1)?;
                    if left > 0 {
                        open.push(Open::List { items: Vec::with_capacity(left.min(1024)), left });
                        continue;
                    }
                    Value::list([])
                }
                7 => {
                    let count = self.count(2)?;
                    let mut keys = Vec::with_capacity(count.min(1024));
                    for _ in 0..count {
                        let key = self.text()?;
                        if keys.last().is_some_and(|last| *last >= key) {
                            return Err(self.error("map keys that do not rise"));
                        }
                        keys.push(key);
                    }
                    if count > 0 {
                        open.push(Open::Map { keys: keys.into_iter(), values: BTreeMap::new() });
                        continue;
                    }
                    Value::Map(Arc::default())
                }
                kind => self.simple(kind)?,
            };
            // The value may be the last one of what is open, and that the last one of what is around it.
            loop {
                match open.last_mut() {
                    None => return Ok(done),
                    Some(Open::List { items, left }) => {
                        items.push(done);
                        *left -= 1;
                        if *left > 0 {
                            break;
                        }
                        done = Value::list(std::mem::take(items));
                    }
                    Some(Open::Map { keys, values }) => {
                        let key = keys.next().expect("a map is open while keys are left");
                        values.insert(key.into(), done);
                        if !keys.as_slice().is_empty() {
                            break;
                        }
                        done = Value::Map(Arc::new(std::mem::take(values)));
                    }
                }
                open.pop();
            }
        }
    }

    fn simple(&mut self, kind: u8) -> Result<Value, DecodeError> {
        Ok(match kind {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            INT => Value::Int(self.signed()?),
            4 => Value::Float(self.f64()?),
            STRING => Value::string(self.text()?),
            8 => Value::Bytes(self.sized()?.into()),
            9 => Value::Date(Date(i64::from(self.narrow_signed::<i32>()?))),
            10 => Value::LocalTime(LocalTime(self.signed()?)),
            11 => Value::Time(OffsetTime { nanos: self.signed()?, offset_seconds: self.narrow_signed()? }),
            12 => Value::LocalDateTime(LocalDateTime { seconds: self.signed()?, nanos: self.nanos()? }),
            13 => Value::DateTime(Arc::new(DateTime {
                seconds: self.signed()?,
                nanos: self.nanos()?,
                offset_seconds: self.narrow_signed()?,
                zone: if self.flag()? { Some(self.text()?.into()) } else { None },
            })),
            14 => Value::Duration(Arc::new(Duration {
                months: self.signed()?,
                days: self.signed()?,
                seconds: self.signed()?,
                nanos: self.narrow_signed()?,
            })),
            15 => Value::Point(Arc::new(Point {
                srid: self.narrow()?,
                x: self.f64()?,
                y: self.f64()?,
                z: if self.flag()? { Some(self.f64()?) } else { None },
            })),
            16 => Value::Enum(Arc::new(EnumValue {
                enum_name: self.text()?.into(),
                value: self.text()?.into(),
            })),
            _ => return Err(self.error("an unknown kind of value")),
        })
    }

    /// Steps over one value.
    #[inline]
    pub(super) fn skip_value(&mut self) -> Result<(), DecodeError> {
        match self.bytes.get(self.at) {
            Some(&INT) => {
                self.at += 1;
                self.varint().map(drop)
            }
            Some(&STRING) => {
                self.at += 1;
                self.sized().map(drop)
            }
            _ => self.skip_any_value(),
        }
    }

    fn skip_any_value(&mut self) -> Result<(), DecodeError> {
        let mut waiting = 1usize;
        while waiting > 0 {
            waiting -= 1;
            match self.byte()? {
                0..=2 => {}
                3 | 9 | 10 => drop(self.varint()?),
                4 => drop(self.take(8)?),
                5 | 8 => drop(self.sized()?),
                6 => waiting += self.count(1)?,
                7 => {
                    let count = self.count(2)?;
                    for _ in 0..count {
                        self.sized()?;
                    }
                    waiting += count;
                }
                11 | 12 => {
                    self.varint()?;
                    self.varint()?;
                }
                16 => {
                    self.sized()?;
                    self.sized()?;
                }
                kind => drop(self.simple(kind)?),
            }
        }
        Ok(())
    }
}

struct Decoder<'a> {
    r: Reader<'a>,
    labels: Vec<LabelId>,
    edge_types: Vec<EdgeTypeId>,
    keys: Vec<PropertyKeyId>,
}

impl Decoder<'_> {
    fn id(&mut self) -> Result<u64, DecodeError> {
        match self.r.varint()? {
            id if id < super::ID_END => Ok(id),
            _ => Err(self.r.error("an id beyond 40 bits")),
        }
    }

    fn vertex(&mut self) -> Result<VertexId, DecodeError> {
        self.id().map(VertexId)
    }

    fn edge(&mut self) -> Result<EdgeId, DecodeError> {
        self.id().map(EdgeId)
    }

    fn label(&mut self) -> Result<LabelId, DecodeError> {
        let place = self.r.narrow::<usize>()?;
        self.labels.get(place).copied().ok_or_else(|| self.r.error("a label outside the table"))
    }

    fn key(&mut self) -> Result<PropertyKeyId, DecodeError> {
        let place = self.r.narrow::<usize>()?;
        self.keys.get(place).copied().ok_or_else(|| self.r.error("a key outside the table"))
    }

    fn edge_type(&mut self) -> Result<EdgeTypeId, DecodeError> {
        let place = self.r.narrow::<usize>()?;
        self.edge_types.get(place).copied().ok_or_else(|| self.r.error("an edge type outside the table"))
    }

    fn properties(&mut self) -> Result<Vec<(PropertyKeyId, Value)>, DecodeError> {
        let count = self.r.count(2)?;
        let mut properties = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            properties.push((self.key()?, self.r.value()?));
        }
        Ok(properties)
    }

    fn key_list(&mut self) -> Result<Vec<PropertyKeyId>, DecodeError> {
        let count = self.r.count(1)?;
        (0..count).map(|_| self.key()).collect()
    }

    fn index(&mut self) -> Result<IndexSpec, DecodeError> {
        match self.r.byte()? {
            1 => Ok(IndexSpec::Label(self.label()?)),
            2 => Ok(IndexSpec::LabelProperties(self.label()?, self.key_list()?)),
            3 => Ok(IndexSpec::EdgeType(self.edge_type()?)),
            4 => Ok(IndexSpec::EdgeTypeProperties(self.edge_type()?, self.key_list()?)),
            _ => Err(self.r.error("an unknown kind of index")),
        }
    }

    fn constraint(&mut self) -> Result<ConstraintSpec, DecodeError> {
        let kind = match self.r.byte()? {
            1 => ConstraintKind::Exists,
            2 => ConstraintKind::Unique,
            3 => ConstraintKind::Typed(self.one_of(&PropertyType::ALL, "an unknown type")?),
            _ => return Err(self.r.error("an unknown kind of constraint")),
        };
        Ok(ConstraintSpec { kind, label: self.label()?, properties: self.key_list()? })
    }

    fn one_of<T: Copy>(&mut self, all: &[T], what: &'static str) -> Result<T, DecodeError> {
        let place = usize::from(self.r.byte()?);
        all.get(place).copied().ok_or_else(|| self.r.error(what))
    }

    fn enum_spec(&mut self) -> Result<EnumSpec, DecodeError> {
        let name = self.r.text()?.into();
        let count = self.r.count(1)?;
        let values = (0..count).map(|_| self.r.text().map(Arc::from)).collect::<Result<_, _>>()?;
        Ok(EnumSpec { name, values })
    }

    fn trigger(&mut self) -> Result<Arc<TriggerSpec>, DecodeError> {
        let name = self.r.text()?.into();
        let event = self.one_of(&TriggerEvent::ALL, "an unknown event")?;
        let phase = if self.r.flag()? { TriggerPhase::AfterCommit } else { TriggerPhase::BeforeCommit };
        Ok(Arc::new(TriggerSpec { name, event, phase, statement: self.r.text()?.into() }))
    }

    fn change(&mut self) -> Result<Change, DecodeError> {
        Ok(match self.r.byte()? {
            1 => {
                let id = self.vertex()?;
                let count = self.r.count(1)?;
                let labels = (0..count).map(|_| self.label()).collect::<Result<_, _>>()?;
                Change::CreateVertex { id, labels, properties: self.properties()? }
            }
            2 => Change::DeleteVertex { id: self.vertex()? },
            3 => Change::AddLabel { id: self.vertex()?, label: self.label()? },
            4 => Change::RemoveLabel { id: self.vertex()?, label: self.label()? },
            5 => Change::SetVertexProperty { id: self.vertex()?, key: self.key()?, value: self.r.value()? },
            6 => Change::CreateEdge {
                id: self.edge()?,
                from: self.vertex()?,
                to: self.vertex()?,
                edge_type: self.edge_type()?,
                properties: self.properties()?,
            },
            7 => Change::DeleteEdge { id: self.edge()? },
            8 => Change::SetEdgeProperty { id: self.edge()?, key: self.key()?, value: self.r.value()? },
            9 => Change::CreateIndex(self.index()?),
            10 => Change::DropIndex(self.index()?),
            11 => Change::CreateConstraint(self.constraint()?),
            12 => Change::DropConstraint(self.constraint()?),
            13 => Change::SetEnum(self.enum_spec()?),
            14 => Change::DropEnum { name: self.r.text()?.into() },
            15 => Change::CreateTrigger(self.trigger()?),
            16 => Change::DropTrigger { name: self.r.text()?.into() },
            _ => return Err(self.r.error("an unknown kind of change")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
