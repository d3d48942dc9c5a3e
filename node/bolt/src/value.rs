//! Values as they travel: PackStream's own, and the structures that Bolt builds from them.

use std::borrow::Cow;
use std::fmt;

/// A value on the wire.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum PackValue {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Bytes(Vec<u8>),
    String(String),
    List(Vec<PackValue>),
    Map(Map),
    Node(Box<Node>),
    Relationship(Box<Relationship>),
    UnboundRelationship(Box<UnboundRelationship>),
    Path(Box<Path>),
    /// Days since 1970-01-01.
    Date(i64),
    /// Nanoseconds since midnight.
    LocalTime(i64),
    Time(OffsetTime),
    LocalDateTime(LocalDateTime),
    DateTime(Box<DateTime>),
    Duration(Box<Duration>),
    Point(Box<Point>),
    /// A structure whose tag means nothing to this crate.
    Structure(Box<Structure>),
}

/// A key of a map. Those that this side makes up are texts of the program, and cost no memory.
pub type Key = Cow<'static, str>;

/// Keys and values in the order they were written. Where a key comes twice, the last one counts.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Map(pub Vec<(Key, PackValue)>);

/// A vertex.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub id: i64,
    pub labels: Vec<String>,
    pub properties: Map,
    /// Travels from 5.0 on; before, it is `id` as text.
    pub element_id: String,
}

/// An edge with both ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Relationship {
    pub id: i64,
    pub start: i64,
    pub end: i64,
    pub kind: String,
    pub properties: Map,
    pub element_id: String,
    pub start_element_id: String,
    pub end_element_id: String,
}

/// An edge inside a path, whose ends the path tells.
#[derive(Clone, Debug, PartialEq)]
pub struct UnboundRelationship {
    pub id: i64,
    pub kind: String,
    pub properties: Map,
    pub element_id: String,
}

/// A walk. `indices` holds two numbers a step: the relationship, counted from 1 and negative where
/// it is walked backwards, and the node that it leads to, counted from 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    pub nodes: Vec<Node>,
    pub relationships: Vec<UnboundRelationship>,
    pub indices: Vec<i64>,
}

/// A time of day with an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetTime {
    /// Nanoseconds since local midnight.
    pub nanos: i64,
    pub offset_seconds: i32,
}

/// A date and time without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalDateTime {
    /// Seconds since 1970-01-01T00:00:00 on the local clock.
    pub seconds: i64,
    pub nanos: u32,
}

/// A moment with its place.
///
/// Bolt 4 writes local seconds and 5 writes UTC; with a named zone one cannot be turned into the
/// other without knowing the zone's rules, which this crate does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DateTime {
    /// With an offset from UTC.
    Offset { utc_seconds: i64, nanos: u32, offset_seconds: i32 },
    /// With a named zone; the offset is known to who writes it, never to who reads it.
    Zoned { utc_seconds: i64, nanos: u32, offset_seconds: Option<i32>, zone: String },
    /// With a named zone, as Bolt 4 writes it.
    LocalZoned { local_seconds: i64, nanos: u32, zone: String },
}

/// A length of time whose parts do not convert into each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration {
    pub months: i64,
    pub days: i64,
    pub seconds: i64,
    pub nanos: i64,
}

/// A point in two or three dimensions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub srid: i64,
    pub x: f64,
    pub y: f64,
    pub z: Option<f64>,
}

/// A tagged list of at most 15 fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Structure {
    pub tag: u8,
    pub fields: Vec<PackValue>,
}

impl Map {
    /// Makes an empty map.
    pub fn new() -> Map {
        Map::default()
    }

    /// Makes an empty map with room for so many keys.
    pub fn with_room(keys: usize) -> Map {
        Map(Vec::with_capacity(keys))
    }

    /// Adds a key.
    pub fn insert(&mut self, key: impl Into<Key>, value: impl Into<PackValue>) {
        self.0.push((key.into(), value.into()));
    }

    /// Adds a key and returns the map.
    pub fn with(mut self, key: impl Into<Key>, value: impl Into<PackValue>) -> Map {
        self.insert(key, value);
        self
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&PackValue> {
        self.0.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many keys were written.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Goes through keys and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PackValue)> {
        self.0.iter().map(|(k, v)| (&**k, v))
    }
}

impl<K: Into<Key>, V: Into<PackValue>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(items: I) -> Map {
        Map(items.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl PackValue {
    /// Returns the text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            PackValue::String(s) => Some(s),
            _ => None,
        }
    }

    /// Returns an integer. JavaScript's drivers write whole numbers as floats; those count too.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            PackValue::Int(i) => Some(*i),
            // 2^63 itself does not fit; every whole float below it does.
            PackValue::Float(f) if f.fract() == 0.0 && f.abs() < 9_223_372_036_854_775_808.0 => {
                Some(*f as i64)
            }
            _ => None,
        }
    }

    /// Returns a truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            PackValue::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// Returns the items of a list.
    pub fn as_list(&self) -> Option<&[PackValue]> {
        match self {
            PackValue::List(items) => Some(items),
            _ => None,
        }
    }

    /// Returns a map.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            PackValue::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, PackValue::Null)
    }

    /// Returns the word for this kind of value in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            PackValue::Null => "null",
            PackValue::Bool(_) => "boolean",
            PackValue::Int(_) => "integer",
            PackValue::Float(_) => "float",
            PackValue::Bytes(_) => "bytes",
            PackValue::String(_) => "string",
            PackValue::List(_) => "list",
            PackValue::Map(_) => "map",
            PackValue::Node(_) => "node",
            PackValue::Relationship(_) | PackValue::UnboundRelationship(_) => "relationship",
            PackValue::Path(_) => "path",
            PackValue::Date(_) => "date",
            PackValue::LocalTime(_) => "local time",
            PackValue::Time(_) => "time",
            PackValue::LocalDateTime(_) => "local date-time",
            PackValue::DateTime(_) => "date-time",
            PackValue::Duration(_) => "duration",
            PackValue::Point(_) => "point",
            PackValue::Structure(_) => "structure",
        }
    }
}

macro_rules! from {
    ($($from:ty => $make:expr),* $(,)?) => {$(
        impl From<$from> for PackValue {
            fn from(v: $from) -> PackValue {
                #[allow(clippy::redundant_closure_call)]
                ($make)(v)
            }
        }
    )*};
}

from! {
    bool => PackValue::Bool,
    i64 => PackValue::Int,
    i32 => |v| PackValue::Int(i64::from(v)),
    u32 => |v| PackValue::Int(i64::from(v)),
    f64 => PackValue::Float,
    String => PackValue::String,
    &str => |v: &str| PackValue::String(v.to_owned()),
    Vec<PackValue> => PackValue::List,
    Vec<u8> => PackValue::Bytes,
    Map => PackValue::Map,
}

impl<T: Into<PackValue>> From<Option<T>> for PackValue {
    fn from(v: Option<T>) -> PackValue {
        v.map_or(PackValue::Null, Into::into)
    }
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "structure 0x{:02X} of {} fields", self.tag, self.fields.len())
    }
}
