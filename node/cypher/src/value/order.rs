//! Equality, comparability, orderability and equivalence.

use super::{and, type_name};
use mgnode_core::types::{DateTime, OffsetTime, Path, Value};
use std::cmp::Ordering;

/// Returns `a = b` by Cypher's rules; `None` is unknown.
pub fn equal(a: &Value, b: &Value) -> Option<bool> {
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) => None,
        (Value::Int(x), Value::Int(y)) => Some(x == y),
        (Value::Float(x), Value::Float(y)) => Some(x == y),
        (Value::Int(x), Value::Float(y)) | (Value::Float(y), Value::Int(x)) => {
            Some(int_float(*x, *y) == Some(Ordering::Equal))
        }
        (Value::List(x), Value::List(y)) => {
            if x.len() != y.len() {
                return Some(false);
            }
            let mut answer = Some(true);
            for (i, j) in x.iter().zip(y.iter()) {
                answer = and(answer, equal(i, j));
                if answer == Some(false) {
                    break;
                }
            }
            answer
        }
        (Value::Map(x), Value::Map(y)) => {
            if x.len() != y.len() || x.keys().ne(y.keys()) {
                return Some(false);
            }
            let mut answer = Some(true);
            for (i, j) in x.values().zip(y.values()) {
                answer = and(answer, equal(i, j));
                if answer == Some(false) {
                    break;
                }
            }
            answer
        }
        _ => Some(a == b),
    }
}

/// Compares for `<`, `<=`, `>`, `>=`; `None` is unknown. NaN compares with nothing.
pub fn comparable(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(x), Value::Int(y)) => Some(x.cmp(y)),
        (Value::Float(x), Value::Float(y)) => x.partial_cmp(y),
        (Value::Int(x), Value::Float(y)) => int_float(*x, *y),
        (Value::Float(x), Value::Int(y)) => int_float(*y, *x).map(Ordering::reverse),
        (Value::String(x), Value::String(y)) => Some(x.cmp(y)),
        (Value::Bool(x), Value::Bool(y)) => Some(x.cmp(y)),
        (Value::Date(x), Value::Date(y)) => Some(x.cmp(y)),
        (Value::LocalTime(x), Value::LocalTime(y)) => Some(x.cmp(y)),
        (Value::Time(x), Value::Time(y)) => Some(time_time(*x, *y)),
        (Value::LocalDateTime(x), Value::LocalDateTime(y)) => Some(x.cmp(y)),
        (Value::DateTime(x), Value::DateTime(y)) => Some(moment_moment(x, y)),
        (Value::Enum(x), Value::Enum(y)) if x.enum_name == y.enum_name => Some(x.cmp(y)),
        (Value::List(x), Value::List(y)) => {
            for (i, j) in x.iter().zip(y.iter()) {
                match equal(i, j)? {
                    true => {}
                    false => return comparable(i, j),
                }
            }
            Some(x.len().cmp(&y.len()))
        }
        _ => None,
    }
}

/// Compares for `ORDER BY`: total, ascending order of types first, Null last.
pub fn orderable(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(x), Value::Int(y)) => x.cmp(y),
        (Value::Float(x), Value::Float(y)) => float_float(*x, *y),
        (Value::Int(x), Value::Float(y)) => int_float(*x, *y).unwrap_or(Ordering::Less),
        (Value::Float(x), Value::Int(y)) => int_float(*y, *x).map_or(Ordering::Greater, Ordering::reverse),
        (Value::String(x), Value::String(y)) => x.cmp(y),
        (Value::List(x), Value::List(y)) => {
            for (i, j) in x.iter().zip(y.iter()) {
                let order = orderable(i, j);
                if order.is_ne() {
                    return order;
                }
            }
            x.len().cmp(&y.len())
        }
        (Value::Map(x), Value::Map(y)) => {
            let keys = x.len().cmp(&y.len()).then_with(|| x.keys().cmp(y.keys()));
            if keys.is_ne() {
                return keys;
            }
            for (i, j) in x.values().zip(y.values()) {
                let order = orderable(i, j);
                if order.is_ne() {
                    return order;
                }
            }
            Ordering::Equal
        }
        (Value::Bool(x), Value::Bool(y)) => x.cmp(y),
        (Value::Vertex(x), Value::Vertex(y)) => x.cmp(y),
        (Value::Edge(x), Value::Edge(y)) => x.cmp(y),
        (Value::Path(x), Value::Path(y)) => path_path(x, y),
        (Value::Bytes(x), Value::Bytes(y)) => x.cmp(y),
        (Value::Date(x), Value::Date(y)) => x.cmp(y),
        (Value::LocalTime(x), Value::LocalTime(y)) => x.cmp(y),
        (Value::Time(x), Value::Time(y)) => time_time(*x, *y),
        (Value::LocalDateTime(x), Value::LocalDateTime(y)) => x.cmp(y),
        (Value::DateTime(x), Value::DateTime(y)) => moment_moment(x, y),
        (Value::Duration(x), Value::Duration(y)) => {
            duration_nanos(x).cmp(&duration_nanos(y)).then((x.months, x.days).cmp(&(y.months, y.days)))
        }
        (Value::Point(x), Value::Point(y)) => x
            .srid
            .cmp(&y.srid)
            .then(x.x.total_cmp(&y.x))
            .then(x.y.total_cmp(&y.y))
            .then(x.z.unwrap_or(0.0).total_cmp(&y.z.unwrap_or(0.0))),
        (Value::Enum(x), Value::Enum(y)) => x.cmp(y),
        _ => rank(a).cmp(&rank(b)).then_with(|| type_name(a).cmp(type_name(b))),
    }
}

/// Whether two values are one for `DISTINCT` and grouping.
pub fn equivalent(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(x), Value::Float(y)) => x == y || (x.is_nan() && y.is_nan()),
        (Value::Int(_), Value::Float(_)) | (Value::Float(_), Value::Int(_)) => equal(a, b) == Some(true),
        (Value::List(x), Value::List(y)) => {
            x.len() == y.len() && x.iter().zip(y.iter()).all(|(i, j)| equivalent(i, j))
        }
        (Value::Map(x), Value::Map(y)) => {
            x.len() == y.len() && x.iter().zip(y.iter()).all(|((k, i), (l, j))| k == l && equivalent(i, j))
        }
        _ => a == b,
    }
}

/// Where a type stands in `ORDER BY`.
fn rank(v: &Value) -> u8 {
    match v {
        Value::Map(_) => 0,
        Value::Vertex(_) => 1,
        Value::Edge(_) => 2,
        Value::List(_) => 3,
        Value::Path(_) => 4,
        Value::Point(_) => 5,
        Value::DateTime(_) => 6,
        Value::LocalDateTime(_) => 7,
        Value::Date(_) => 8,
        Value::Time(_) => 9,
        Value::LocalTime(_) => 10,
        Value::Duration(_) => 11,
        Value::Enum(_) => 12,
        Value::Bytes(_) => 13,
        Value::String(_) => 14,
        Value::Bool(_) => 15,
        Value::Int(_) | Value::Float(_) => 16,
        Value::Null => 17,
    }
}

fn path_path(x: &Path, y: &Path) -> Ordering {
    x.start
        .cmp(&y.start)
        .then_with(|| x.steps.iter().map(|s| (s.edge, s.to)).cmp(y.steps.iter().map(|s| (s.edge, s.to))))
}

/// The same moment told in two zones is two values: the one from further west comes first.
fn time_time(x: OffsetTime, y: OffsetTime) -> Ordering {
    time_instant(x).cmp(&time_instant(y)).then(x.offset_seconds.cmp(&y.offset_seconds))
}

/// As [`time_time`]; where the offsets are equal, too, by the names of the zones.
fn moment_moment(x: &DateTime, y: &DateTime) -> Ordering {
    (x.seconds, x.nanos)
        .cmp(&(y.seconds, y.nanos))
        .then(x.offset_seconds.cmp(&y.offset_seconds))
        .then_with(|| x.zone.cmp(&y.zone))
}

/// Nanoseconds since midnight UTC.
fn time_instant(t: OffsetTime) -> i64 {
    t.nanos - i64::from(t.offset_seconds) * 1_000_000_000
}

/// A length in nanoseconds with the average month, as ordering needs it.
fn duration_nanos(d: &mgnode_core::types::Duration) -> i128 {
    const AVERAGE_MONTH_SECONDS: i128 = 2_629_746;
    (i128::from(d.months) * AVERAGE_MONTH_SECONDS + i128::from(d.days) * 86_400 + i128::from(d.seconds))
        * 1_000_000_000
        + i128::from(d.nanos)
}

fn float_float(x: f64, y: f64) -> Ordering {
    x.partial_cmp(&y).unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()))
}

/// Compares exactly, without rounding the integer. NaN compares with nothing.
fn int_float(x: i64, y: f64) -> Option<Ordering> {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if y.is_nan() {
        return None;
    }
    if y >= TWO_63 {
        return Some(Ordering::Less);
    }
    if y < -TWO_63 {
        return Some(Ordering::Greater);
    }
    let whole = y.trunc();
    // In range by the two tests above.
    let order = x.cmp(&(whole as i64));
    Some(order.then_with(|| whole.partial_cmp(&y).unwrap_or(Ordering::Equal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(x: &str) -> Value {
        Value::string(x)
    }

    #[test]
    fn null_inside_a_list_is_unknown_unless_something_else_differs() {
        let a = Value::list(vec![Value::Int(1), Value::Null]);
        assert_eq!(equal(&a, &Value::list(vec![Value::Int(1), Value::Int(2)])), None);
        assert_eq!(equal(&a, &Value::list(vec![Value::Int(2), Value::Int(2)])), Some(false));
        assert_eq!(equal(&a, &Value::list(vec![Value::Int(1)])), Some(false));
        assert_eq!(equal(&Value::Null, &Value::Null), None);
        assert!(equivalent(&a, &a.clone()));
    }

    #[test]
    fn integers_and_floats_compare_exactly() {
        let big = 9_007_199_254_740_993_i64; // 2^53 + 1
        assert_eq!(equal(&Value::Int(big), &Value::Float(9_007_199_254_740_992.0)), Some(false));
        assert_eq!(
            comparable(&Value::Int(big), &Value::Float(9_007_199_254_740_992.0)),
            Some(Ordering::Greater)
        );
        assert_eq!(equal(&Value::Int(1), &Value::Float(1.0)), Some(true));
        assert_eq!(comparable(&Value::Int(i64::MAX), &Value::Float(f64::INFINITY)), Some(Ordering::Less));
        assert_eq!(comparable(&Value::Int(-1), &Value::Float(-1.5)), Some(Ordering::Greater));
        assert_eq!(comparable(&Value::Int(1), &Value::Float(f64::NAN)), None);
    }

    #[test]
    fn order_by_puts_types_in_order() {
        let sorted = [
            Value::Map(Default::default()),
            Value::list(vec![]),
            Value::list(vec![s("a")]),
            s("a"),
            s("b"),
            Value::Bool(false),
            Value::Bool(true),
            Value::Int(1),
            Value::Float(1.5),
            Value::Float(f64::NAN),
            Value::Null,
        ];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(orderable(a, b), i.cmp(&j), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn types_do_not_compare_with_each_other() {
        assert_eq!(comparable(&Value::Int(1), &s("1")), None);
        assert_eq!(equal(&Value::Int(1), &s("1")), Some(false));
    }

    #[test]
    fn a_moment_told_in_two_zones_is_two_values() {
        let time = |hours: i64, offset: i32| {
            Value::Time(OffsetTime { nanos: hours * 3_600_000_000_000, offset_seconds: offset * 3600 })
        };
        let moment = |offset: i32, zone: Option<&str>| {
            let zone = zone.map(Into::into);
            Value::DateTime(DateTime { seconds: 0, nanos: 5, offset_seconds: offset * 3600, zone }.into())
        };
        let pairs = [
            (time(11, 0), time(12, 1)),
            (moment(-5, None), moment(0, None)),
            (moment(1, None), moment(1, Some("Europe/Paris"))),
            (moment(1, Some("Europe/Berlin")), moment(1, Some("Europe/Paris"))),
        ];
        for (west, east) in pairs {
            assert_eq!(equal(&west, &east), Some(false));
            assert!(!equivalent(&west, &east));
            assert_eq!(comparable(&west, &east), Some(Ordering::Less));
            assert_eq!(orderable(&east, &west), Ordering::Greater);
            assert_eq!((equal(&west, &west), equivalent(&east, &east)), (Some(true), true));
        }
    }

    #[test]
    fn nan_is_itself_only_for_grouping() {
        let nan = Value::Float(f64::NAN);
        assert_eq!(equal(&nan, &nan), Some(false));
        assert!(equivalent(&nan, &nan));
    }
}
