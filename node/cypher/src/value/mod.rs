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

/// Returns about how many bytes a value occupies.
///
/// What it shares with other values counts in part: the copy at hand and one original count it in
/// full, each further copy the less the more there are. So rows that all carry one long list are
/// not taken for as many lists.
pub fn memory(v: &Value) -> usize {
    fn share<T: ?Sized>(shared: &Arc<T>, bytes: usize) -> usize {
        bytes / (Arc::strong_count(shared) - 1).max(1)
    }
    size_of::<Value>()
        + match v {
            Value::String(s) => share(s, s.len()),
            Value::Bytes(b) => share(b, b.len()),
            Value::List(items) => share(items, items.len() * size_of::<Value>() + 32),
            Value::Map(map) => share(map, map.len() * 64 + 32),
            Value::Path(p) => share(p, p.steps.len() * 24 + 32),
            _ => 0,
        }
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
}
