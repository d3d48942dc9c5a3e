//! What Cypher means by equal, less, sum: its rules over [`Value`].
//!
//! There are four relations between values, and they differ:
//! - *equality* (`=`): three-valued; Null makes it unknown, also inside lists and maps;
//! - *comparability* (`<`): three-valued, only within a type; everything else is unknown;
//! - *orderability* (`ORDER BY`, `min`, `max`): total, over all types, Null last;
//! - *equivalence* (`DISTINCT`, grouping): two-valued, Null equals Null and NaN equals NaN.
//!
//! Integers and floats are one kind of number in all four, compared exactly, not by rounding.
//! Values may be nested at most [`NESTING_MAX`] deep, which every place that builds a list or a map
//! out of values upholds, so that the functions here (and `Drop`) may descend freely.

mod arithmetic;
mod key;
mod order;
mod text;

pub use crate::temporal::{temporal_text, zone_offset_at, zone_offset_of_local};
pub use arithmetic::{add, divide, modulo, multiply, negate, power, subtract};
pub use key::{Key, KeyRef, hash_value};
pub use order::{comparable, equal, equivalent, orderable};
pub use text::{float_text, write_literal};

use crate::error::CypherError;
use crate::fail;
use mgnode_core::types::Value;
use std::sync::Arc;

/// How deep lists and maps may be nested in each other.
pub const NESTING_MAX: usize = 100;

/// Returns the name of a value's type as messages use it.
pub fn type_name(v: &Value) -> &'static str {
    match v {
        Value::Null => "Null",
        Value::Bool(_) => "Boolean",
        Value::Int(_) => "Integer",
        Value::Float(_) => "Float",
        Value::String(_) => "String",
        Value::List(_) => "List",
        Value::Map(_) => "Map",
        Value::Bytes(_) => "Bytes",
        Value::Date(_) => "Date",
        Value::LocalTime(_) => "LocalTime",
        Value::Time(_) => "Time",
        Value::LocalDateTime(_) => "LocalDateTime",
        Value::DateTime(_) => "DateTime",
        Value::Duration(_) => "Duration",
        Value::Point(_) => "Point",
        Value::Enum(_) => "Enum",
        Value::Vertex(_) => "Node",
        Value::Edge(_) => "Relationship",
        Value::Path(_) => "Path",
    }
}

/// Refuses a list or map that is nested deeper than [`NESTING_MAX`]. Called where a value is put
/// into a new list or map; costs nothing for flat ones.
pub fn check_nesting(v: &Value) -> Result<(), CypherError> {
    if depth_within(v, NESTING_MAX) {
        Ok(())
    } else {
        Err(fail::value(format!("lists and maps may be nested at most {NESTING_MAX} deep")))
    }
}

fn depth_within(v: &Value, left: usize) -> bool {
    match v {
        Value::List(items) => left > 0 && items.iter().all(|i| depth_within(i, left - 1)),
        Value::Map(map) => left > 0 && map.values().all(|i| depth_within(i, left - 1)),
        _ => true,
    }
}

/// As many values within a list or a map are looked at to tell what all of them occupy.
const LOOKS: usize = 256;

/// A list or a map that more others hold is not looked into: those who made it have counted what is in it.
const HOLDERS_FEW: usize = 4;

/// Returns about how many bytes a value occupies, with what is in it.
///
/// What it shares with other values counts in part: the copy at hand and one original count it in
/// full, each further copy the less the more there are. So rows that all carry one long list are
/// not taken for as many lists. Of a long list some values, which lie all over it, stand for the rest.
pub fn memory(v: &Value) -> usize {
    let mut looks = LOOKS;
    memory_within(v, &mut looks)
}

fn memory_within(v: &Value, looks: &mut usize) -> usize {
    fn share<T: ?Sized>(shared: &Arc<T>, bytes: usize) -> usize {
        bytes / (Arc::strong_count(shared) - 1).max(1)
    }
    size_of::<Value>()
        + match v {
            Value::String(s) => share(s, s.len()),
            Value::Bytes(b) => share(b, b.len()),
            Value::List(items) => {
                let inside = within(Arc::strong_count(items), items.len(), looks, |place, _| &items[place]);
                share(items, items.len() * size_of::<Value>() + inside + 32)
            }
            Value::Map(map) => {
                let mut values = map.values();
                let inside = within(Arc::strong_count(map), map.len(), looks, |_, skipped| {
                    values.nth(skipped).expect("places rise and are within")
                });
                share(map, map.len() * 64 + inside + 32)
            }
            Value::Path(p) => share(p, p.steps.len() * 24 + 32),
            _ => 0,
        }
}

/// Estimates what values occupy beside themselves, by a look at some of them. `get` is told a place and how many it has
/// skipped since the last one.
fn within<'a>(
    holders: usize,
    count: usize,
    looks: &mut usize,
    mut get: impl FnMut(usize, usize) -> &'a Value,
) -> usize {
    let samples = count.min(*looks);
    if samples == 0 || holders > HOLDERS_FEW {
        return 0;
    }
    *looks -= samples;
    let (mut bytes, mut next) = (0usize, 0);
    for sample in 0..samples {
        // One out of each of as many parts, at a place of its own.
        let (from, to) = (sample * count / samples, (sample + 1) * count / samples);
        let place = from + (sample.wrapping_mul(0x9e37_79b9) >> 8) % (to - from);
        bytes = bytes.saturating_add(memory_within(get(place, place - next), looks) - size_of::<Value>());
        next = place + 1;
    }
    (bytes as u128 * count as u128 / samples as u128).try_into().unwrap_or(usize::MAX / 2)
}

/// Three-valued AND.
pub fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// Three-valued OR.
pub fn or(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

/// Turns three-valued truth into a value.
pub fn truth(b: Option<bool>) -> Value {
    b.map_or(Value::Null, Value::Bool)
}

/// Whether `item` is in the list: true, false, or unknown where only a Null stands in the way.
pub fn contains(list: &[Value], item: &Value) -> Option<bool> {
    let mut answer = Some(false);
    for v in list {
        match equal(v, item) {
            Some(true) => return Some(true),
            None => answer = None,
            Some(false) => {}
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Value {
        (0..depth).fold(Value::Int(1), |v, _| Value::list(vec![v]))
    }

    #[test]
    fn nesting_has_a_limit() {
        assert!(check_nesting(&nested(NESTING_MAX)).is_ok());
        assert!(check_nesting(&nested(NESTING_MAX + 1)).is_err());
    }

    #[test]
    fn membership_is_three_valued() {
        let list = [Value::Int(1), Value::Null];
        assert_eq!(contains(&list, &Value::Int(1)), Some(true));
        assert_eq!(contains(&list, &Value::Int(2)), None);
        assert_eq!(contains(&list[..1], &Value::Int(2)), Some(false));
        assert_eq!(contains(&[], &Value::Null), Some(false));
    }

    #[test]
    fn truth_tables() {
        let all = [Some(true), Some(false), None];
        for a in all {
            for b in all {
                assert_eq!(and(a, b), and(b, a));
                assert_eq!(and(a, b).map(|x| !x), or(a.map(|x| !x), b.map(|x| !x)));
            }
        }
        assert_eq!(and(Some(false), None), Some(false));
        assert_eq!(or(Some(true), None), Some(true));
        assert_eq!(or(None, Some(false)), None);
    }

    #[test]
    fn what_is_in_a_value_counts() {
        let text = |bytes: usize| Value::string("x".repeat(bytes));
        let big = 1_000_000;
        let in_map = |v: Value| Value::Map(Arc::new([(Arc::from("k"), v)].into_iter().collect()));
        for value in [
            Value::list(vec![text(big)]),
            in_map(text(big)),
            Value::list(vec![Value::Int(1), in_map(Value::list(vec![text(big)]))]),
            Value::list((0..10_000).map(|_| text(100)).collect::<Vec<_>>()),
            // Every other one, which no fixed step may pass over.
            Value::list(
                (0..20_000).map(|i| if i % 2 == 0 { Value::Null } else { text(100) }).collect::<Vec<_>>(),
            ),
            Value::Map(Arc::new((0..10_000).map(|i| (Arc::from(i.to_string()), text(100))).collect())),
        ] {
            let bytes = memory(&value);
            assert!((big * 8 / 10..3 * big).contains(&bytes), "{bytes}");
        }
        // A list that many rows carry is not as many lists.
        let shared = Value::list(vec![text(big)]);
        let rows = vec![shared; 1_000];
        assert!(rows.iter().map(memory).sum::<usize>() < 100_000);
    }
}
