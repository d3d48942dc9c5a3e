//! Values: what a property holds and what a query computes with.
//!
//! One type serves both, so that nothing is converted on the way from storage to client. `Vertex`,
//! `Edge` and `Path` exist only while a query runs; storage refuses them as property values.

use super::{EdgeId, VertexId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A Cypher value. Cloning is cheap: everything large is shared.
///
/// `PartialEq` is structural (NaN differs from NaN, 1 differs from 1.0); Cypher's own equality,
/// ordering and null logic live in `mgcypher`.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(Arc<str>),
    List(Arc<Vec<Value>>),
    /// Keys in byte order.
    Map(Arc<BTreeMap<Arc<str>, Value>>),
    Bytes(Arc<[u8]>),
    Date(Date),
    LocalTime(LocalTime),
    /// A time of day with an offset.
    Time(OffsetTime),
    LocalDateTime(LocalDateTime),
    /// A moment, with an offset and maybe a named zone.
    DateTime(Arc<DateTime>),
    Duration(Arc<Duration>),
    Point(Arc<Point>),
    Enum(Arc<EnumValue>),
    /// Run time only.
    Vertex(VertexId),
    /// Run time only.
    Edge(EdgeId),
    /// Run time only.
    Path(Arc<Path>),
}

/// Days since 1970-01-01. A property holds those that fit 32 bits, some 5.8 million years either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i64);

/// Nanoseconds since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalTime(pub i64);

/// Nanoseconds since local midnight, and the offset from UTC in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OffsetTime {
    pub nanos: i64,
    pub offset_seconds: i32,
}

/// A date and time without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalDateTime {
    /// Seconds since 1970-01-01T00:00:00 on the local clock.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

/// A moment in time with the place it was written for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DateTime {
    /// Seconds since 1970-01-01T00:00:00 UTC.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
    /// Offset from UTC in seconds, in force at that moment.
    pub offset_seconds: i32,
    /// IANA name, where one was given.
    pub zone: Option<Arc<str>>,
}

/// A length of time whose parts do not convert into each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Duration {
    pub months: i64,
    pub days: i64,
    pub seconds: i64,
    /// 0 to 999,999,999; added to `seconds`.
    pub nanos: i32,
}

/// A point: WGS-84 (4326, 4979) or Cartesian (7203, 9157).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub srid: u32,
    pub x: f64,
    pub y: f64,
    /// Present for 4979 and 9157.
    pub z: Option<f64>,
}

/// A value of a named enum.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnumValue {
    pub enum_name: Arc<str>,
    pub value: Arc<str>,
}

/// A walk through the graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Where it begins.
    pub start: VertexId,
    /// Each step's edge, and the vertex it leads to.
    pub steps: Vec<PathStep>,
}

/// One step of a [`Path`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathStep {
    pub edge: EdgeId,
    pub to: VertexId,
    /// Whether the edge is walked from its start to its end.
    pub forward: bool,
}

impl Date {
    /// The years of Cypher's dates go from -999,999,999 to 999,999,999, which are these days.
    const FIRST: i64 = -365_243_219_162;
    const LAST: i64 = 365_241_780_471;

    /// Returns the date if its year is one that Cypher has.
    pub fn checked(self) -> Option<Date> {
        (Date::FIRST..=Date::LAST).contains(&self.0).then_some(self)
    }
}

impl Value {
    /// Makes a string value.
    pub fn string(s: impl Into<Arc<str>>) -> Value {
        Value::String(s.into())
    }

    /// Makes a list value.
    pub fn list(items: impl Into<Vec<Value>>) -> Value {
        Value::List(Arc::new(items.into()))
    }

    /// Whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}
