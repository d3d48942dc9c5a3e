//! Bytes that sort as Cypher's orderability sorts values, so that an index compares by `memcmp`.
//!
//! Every value is written as a kind byte and a body that is no prefix of another value's, so keys
//! of several properties are the parts written one after another. Kinds rise in the order Map,
//! Vertex, Edge, List, Path, Bytes, Point, DateTime, LocalDateTime, Date, Time, LocalTime,
//! Duration, Enum, String, Bool, number, NaN, Null. Kind 0 is left free to end lists and maps.
//!
//! A number is the nearest `f64`, its bits turned so that they sort, and then the (small) integer
//! that is missing to the exact value. So 1 and 1.0 are the same key, and 2^53 and 2^53 + 1 are not.

use crate::types::{Duration, Value};
use smallvec::SmallVec;
use std::cmp::Ordering;

/// An ordered key; short ones (a number, a date) take no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Key(SmallVec<[u8; 16]>);

impl Key {
    pub(super) fn new() -> Key {
        Key::default()
    }

    fn from_slice(bytes: &[u8]) -> Key {
        Key(SmallVec::from_slice(bytes))
    }

    fn push(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Adds the kind of a value, without the value.
    pub(super) fn push_kind(&mut self, value: &Value) {
        self.push(kind_of(value));
    }

    fn pop(&mut self) -> Option<u8> {
        self.0.pop()
    }

    fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Returns the bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        if self.0.spilled() { super::memory::heap(self.0.len()) } else { 0 }
    }
}

impl std::ops::Deref for Key {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// As `memcmp` does, without a call where the first eight bytes differ, which they nearly always do.
impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Key) -> Ordering {
        let (a, b): (&[u8], &[u8]) = (self, other);
        match (a.split_first_chunk::<8>(), b.split_first_chunk::<8>()) {
            (Some((a, a_rest)), Some((b, b_rest))) => {
                u64::from_be_bytes(*a).cmp(&u64::from_be_bytes(*b)).then_with(|| a_rest.cmp(b_rest))
            }
            _ => a.cmp(b),
        }
    }
}

impl PartialOrd for Key {
    #[inline]
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const MAP: u8 = 1;
    pub(super) const VERTEX: u8 = 2;
    pub(super) const EDGE: u8 = 3;
    pub(super) const LIST: u8 = 4;
    pub(super) const PATH: u8 = 5;
    pub(super) const BYTES: u8 = 6;
    pub(super) const POINT: u8 = 7;
    pub(super) const DATE_TIME: u8 = 8;
    pub(super) const LOCAL_DATE_TIME: u8 = 9;
    pub(super) const DATE: u8 = 10;
    pub(super) const TIME: u8 = 11;
    pub(super) const LOCAL_TIME: u8 = 12;
    pub(super) const DURATION: u8 = 13;
    pub(super) const ENUM: u8 = 14;
    pub(super) const STRING: u8 = 15;
    pub(super) const BOOL: u8 = 16;
    pub(super) const NUMBER: u8 = 17;
    pub(super) const NAN: u8 = 18;
    pub(super) const NULL: u8 = 19;
}

/// Returns the kind byte that a value's key begins with.
pub(super) fn kind_of(value: &Value) -> u8 {
    match value {
        Value::Map(_) => kind::MAP,
        Value::Vertex(_) => kind::VERTEX,
        Value::Edge(_) => kind::EDGE,
        Value::List(_) => kind::LIST,
        Value::Path(_) => kind::PATH,
        Value::Bytes(_) => kind::BYTES,
        Value::Point(_) => kind::POINT,
        Value::DateTime(_) => kind::DATE_TIME,
        Value::LocalDateTime(_) => kind::LOCAL_DATE_TIME,
        Value::Date(_) => kind::DATE,
        Value::Time(_) => kind::TIME,
        Value::LocalTime(_) => kind::LOCAL_TIME,
        Value::Duration(_) => kind::DURATION,
        Value::Enum(_) => kind::ENUM,
        Value::String(_) => kind::STRING,
        Value::Bool(_) => kind::BOOL,
        Value::Float(f) if f.is_nan() => kind::NAN,
        Value::Int(_) | Value::Float(_) => kind::NUMBER,
        Value::Null => kind::NULL,
    }
}

/// Appends the key of a value.
///
/// Walks with its own stack, so a deeply nested value costs memory and not the thread's stack.
pub(super) fn push_key(value: &Value, out: &mut Key) {
    enum Step<'a> {
        Value(&'a Value),
        Name(&'a str),
        End,
    }
    let mut steps: SmallVec<[Step<'_>; 4]> = SmallVec::new();
    steps.push(Step::Value(value));
    while let Some(step) = steps.pop() {
        let value = match step {
            Step::Value(value) => value,
            Step::Name(name) => {
                out.push(kind::STRING);
                push_escaped(name.as_bytes(), out);
                continue;
            }
            Step::End => {
                out.push(kind::END);
                continue;
            }
        };
        out.push(kind_of(value));
        match value {
            Value::Null => {}
            Value::Bool(b) => out.push(u8::from(*b)),
            Value::Int(i) => push_int(*i, out),
            Value::Float(f) if f.is_nan() => {}
            Value::Float(f) => push_number(*f, 0, out),
            Value::String(s) => push_escaped(s.as_bytes(), out),
            Value::Bytes(b) => push_escaped(b, out),
            Value::List(items) => {
                steps.push(Step::End);
                steps.extend(items.iter().rev().map(Step::Value));
            }
            Value::Map(map) => {
                steps.push(Step::End);
                for (name, value) in map.iter().rev() {
                    steps.push(Step::Value(value));
                    steps.push(Step::Name(name));
                }
            }
            Value::Date(d) => push_i64(d.0, out),
            Value::LocalTime(t) => push_i64(t.0, out),
            Value::Time(t) => {
                push_i64(t.nanos - i64::from(t.offset_seconds) * 1_000_000_000, out);
                push_i64(i64::from(t.offset_seconds), out);
            }
            Value::LocalDateTime(t) => {
                push_i64(t.seconds, out);
                out.extend_from_slice(&t.nanos.to_be_bytes());
            }
            Value::DateTime(t) => {
                push_i64(t.seconds, out);
                out.extend_from_slice(&t.nanos.to_be_bytes());
                push_i64(i64::from(t.offset_seconds), out);
                push_escaped(t.zone.as_deref().unwrap_or("").as_bytes(), out);
            }
            Value::Duration(d) => push_duration(d, out),
            Value::Point(p) => {
                out.extend_from_slice(&p.srid.to_be_bytes());
                for part in [p.x, p.y, p.z.unwrap_or(f64::NAN)] {
                    out.extend_from_slice(&float_bits(part).to_be_bytes());
                }
            }
            Value::Enum(e) => {
                push_escaped(e.enum_name.as_bytes(), out);
                push_escaped(e.value.as_bytes(), out);
            }
            Value::Vertex(id) => out.extend_from_slice(&id.0.to_be_bytes()),
            Value::Edge(id) => out.extend_from_slice(&id.0.to_be_bytes()),
            Value::Path(path) => {
                out.extend_from_slice(&path.start.0.to_be_bytes());
                for step in &path.steps {
                    out.push(1);
                    out.extend_from_slice(&step.edge.0.to_be_bytes());
                    out.extend_from_slice(&step.to.0.to_be_bytes());
                    out.push(u8::from(step.forward));
                }
                out.push(kind::END);
            }
        }
    }
}

/// Whether Cypher's `=` can hold between this value and itself: not with a NaN or a Null inside.
pub(super) fn equals_itself(value: &Value) -> bool {
    let mut waiting: SmallVec<[&Value; 4]> = SmallVec::new();
    waiting.push(value);
    while let Some(value) = waiting.pop() {
        match value {
            Value::Null => return false,
            Value::Float(f) if f.is_nan() => return false,
            Value::List(items) => waiting.extend(items.iter()),
            Value::Map(map) => waiting.extend(map.values()),
            _ => {}
        }
    }
    true
}

/// Returns the smallest key that is greater than every key beginning with `prefix`.
pub(super) fn after_prefix(prefix: &[u8]) -> Key {
    let mut key = Key::from_slice(prefix);
    while let Some(last) = key.pop() {
        if last < u8::MAX {
            key.push(last + 1);
            return key;
        }
    }
    // No kind byte is 255, so a non-empty prefix returns above; nothing is beyond the empty one.
    Key::from_slice(&[u8::MAX])
}

fn push_int(i: i64, out: &mut Key) {
    #[allow(clippy::cast_precision_loss)]
    let near = i as f64;
    // Both fit an i128, and the difference is at most 512 either way.
    let missing = i128::from(i) - near as i128;
    push_number(near, i16::try_from(missing).expect("rounding moves by at most 512"), out);
}

fn push_number(near: f64, missing: i16, out: &mut Key) {
    out.extend_from_slice(&float_bits(near).to_be_bytes());
    out.extend_from_slice(&(missing.cast_unsigned() ^ 0x8000).to_be_bytes());
}

/// Turns a float into an integer that sorts alike; -0.0 is 0.0, NaN is the greatest.
fn float_bits(f: f64) -> u64 {
    if f.is_nan() {
        return u64::MAX;
    }
    let bits = if f == 0.0 { 0 } else { f.to_bits() };
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

fn push_i64(i: i64, out: &mut Key) {
    out.extend_from_slice(&(i.cast_unsigned() ^ 1 << 63).to_be_bytes());
}

/// Durations compare by their usual length (a month is 30.436875 days), then part by part.
fn push_duration(d: &Duration, out: &mut Key) {
    let seconds = i128::from(d.months) * 2_629_746 + i128::from(d.days) * 86_400 + i128::from(d.seconds);
    out.extend_from_slice(&(seconds.cast_unsigned() ^ 1 << 127).to_be_bytes());
    push_i64(i64::from(d.nanos), out);
    push_i64(d.months, out);
    push_i64(d.days, out);
}

/// 0 becomes 0 255, and 0 0 ends: so a text sorts before every longer one that begins with it.
fn push_escaped(bytes: &[u8], out: &mut Key) {
    for part in bytes.split_inclusive(|b| *b == 0) {
        out.extend_from_slice(part);
        if part.last() == Some(&0) {
            out.push(u8::MAX);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Date, DateTime, OffsetTime};
    use proptest::prelude::*;
    use std::cmp::Ordering;

    fn key(value: &Value) -> Key {
        let mut key = Key::new();
        push_key(value, &mut key);
        key
    }

    fn compare(a: &Value, b: &Value) -> Ordering {
        key(a).cmp(&key(b))
    }

    #[test]
    fn kinds_and_values_sort_as_cypher_orders_them() {
        let rising = [
            Value::Map(Default::default()),
            Value::list([]),
            Value::list([Value::Int(1)]),
            Value::list([Value::Int(1), Value::Int(0)]),
            Value::list([Value::Int(2)]),
            Value::Date(Date(-3)),
            Value::Date(Date(4)),
            Value::string(""),
            Value::string("a"),
            Value::string("a\0"),
            Value::string("a\0b"),
            Value::string("ab"),
            Value::Bool(false),
            Value::Bool(true),
            Value::Float(f64::NEG_INFINITY),
            Value::Int(i64::MIN),
            Value::Int(i64::MIN + 1),
            Value::Float(-0.5),
            Value::Int(0),
            Value::Float(f64::MIN_POSITIVE),
            Value::Int(1),
            Value::Float(1.5),
            Value::Int(1 << 53),
            Value::Int((1 << 53) + 1),
            Value::Int(i64::MAX - 1),
            Value::Int(i64::MAX),
            Value::Float(9_223_372_036_854_775_808.0),
            Value::Float(f64::INFINITY),
            Value::Float(f64::NAN),
            Value::Null,
        ];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a:?} against {b:?}");
            }
        }
    }

    #[test]
    fn equal_numbers_have_one_key() {
        assert_eq!(key(&Value::Int(1)), key(&Value::Float(1.0)));
        assert_eq!(key(&Value::Float(0.0)), key(&Value::Float(-0.0)));
        assert_eq!(key(&Value::Int(1 << 60)), key(&Value::Float((1u64 << 60) as f64)));
        assert_eq!(key(&Value::Int(1)).heap_bytes(), 0, "a number takes no allocation");
    }

    #[test]
    fn times_sort_by_moment_then_offset() {
        let at = |hours: i64, offset: i32| {
            Value::Time(OffsetTime { nanos: hours * 3_600_000_000_000, offset_seconds: offset * 3600 })
        };
        assert_eq!(compare(&at(12, 2), &at(11, 0)), Ordering::Less);
        assert_eq!(compare(&at(12, 1), &at(11, 0)), Ordering::Greater);
        assert_eq!(compare(&at(12, 1), &at(12, 1)), Ordering::Equal);
    }

    #[test]
    fn moments_sort_by_offset_and_zone_where_they_are_one() {
        let at = |seconds: i64, offset_seconds: i32, zone: Option<&str>| {
            let zone = zone.map(Into::into);
            Value::DateTime(std::sync::Arc::new(DateTime { seconds, nanos: 5, offset_seconds, zone }))
        };
        let sorted = [
            at(9, -3600, None),
            at(9, 0, None),
            at(9, 3600, None),
            at(9, 3600, Some("Europe/Berlin")),
            at(9, 3600, Some("Europe/Paris")),
            at(10, 0, None),
        ];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn the_end_of_a_prefix_is_beyond_everything_with_it() {
        assert_eq!(after_prefix(&[3, 255, 255])[..], [4]);
        assert!(after_prefix(&[17, 1])[..] > [17, 1, 255, 255][..]);
    }

    #[test]
    fn a_deeply_nested_value_does_not_exhaust_the_stack() {
        let mut value = Value::Int(1);
        for _ in 0..128 {
            value = Value::list([value]);
        }
        assert!(equals_itself(&value));
        assert_eq!(key(&value).len(), 128 * 2 + 11);
    }

    proptest! {
        #[test]
        fn numbers_sort_exactly(a: i64, b: i64, f: f64) {
            prop_assert_eq!(compare(&Value::Int(a), &Value::Int(b)), a.cmp(&b));
            if f.is_finite() && f.abs() < 1e30 {
                // Exact comparison through integers: the whole part, then whether anything is left.
                let whole = f.floor() as i128;
                let exact = i128::from(a).cmp(&whole).then(if f.fract() == 0.0 {
                    Ordering::Equal
                } else {
                    Ordering::Less
                });
                prop_assert_eq!(compare(&Value::Int(a), &Value::Float(f)), exact);
            }
        }

        #[test]
        fn texts_sort_as_their_bytes(a: String, b: String) {
            prop_assert_eq!(compare(&Value::string(a.as_str()), &Value::string(b.as_str())), a.cmp(&b));
        }
    }
}
