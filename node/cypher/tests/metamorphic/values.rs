//! Cypher's rules over values, written down once more: so few that they can be checked by eye.

use mgnode_core::types::{Duration, OffsetTime, Value};
use std::cmp::Ordering;

/// Writes a value as a literal.
pub(crate) fn literal(v: &Value) -> String {
    match v {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) if f.is_nan() => "(0.0 / 0.0)".to_owned(),
        Value::Float(f) => format!("{f:?}"),
        Value::String(s) => format!("'{s}'"),
        Value::List(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}: {}", literal(v))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Date(d) => format!("date('1970-01-{:02}')", d.0 + 1),
        Value::Time(t) => {
            format!("time('{:02}:00+{:02}:00')", t.nanos / 3_600_000_000_000, t.offset_seconds / 3_600)
        }
        Value::Duration(d) => format!("duration({{days: {}, seconds: {}}})", d.days, d.seconds),
        Value::Point(p) => format!("point({{x: {:?}, y: {:?}}})", p.x, p.y),
        other => panic!("{other:?} is not used here"),
    }
}

/// Nanoseconds from midnight in Greenwich.
fn instant(t: &OffsetTime) -> i64 {
    t.nanos - i64::from(t.offset_seconds) * 1_000_000_000
}

/// Writes a value so that two are written alike exactly where they are one for `DISTINCT` and grouping.
pub(crate) fn canonical(v: &Value) -> String {
    match v {
        Value::Float(f) if f.is_nan() => "NaN".to_owned(),
        Value::Float(f) if f.fract() == 0.0 && f.abs() < 9.0e18 => (*f as i64).to_string(),
        Value::String(s) => format!("{s:?}"),
        Value::List(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}: {}", canonical(v))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Vertex(id) => format!("({})", id.0),
        Value::Edge(id) => format!("-{}-", id.0),
        Value::Int(i) => i.to_string(),
        Value::Time(t) => format!("time {}", instant(t)),
        other => format!("{other:?}"),
    }
}

/// Writes the items of a list whose order is left open.
pub(crate) fn canonical_bag(v: &Value) -> String {
    let Value::List(items) = v else { return canonical(v) };
    let mut items: Vec<String> = items.iter().map(canonical).collect();
    items.sort();
    format!("bag {items:?}")
}

/// `a = b`
pub(crate) fn equal(a: &Value, b: &Value) -> Option<bool> {
    use Value::{Float, Int, List, Map, Null};
    match (a, b) {
        (Null, _) | (_, Null) => None,
        (Int(_) | Float(_), Int(_) | Float(_)) => Some(numbers(a, b) == Some(Ordering::Equal)),
        (List(x), List(y)) if x.len() == y.len() => all(x.iter().zip(y.iter())),
        (List(_), List(_)) => Some(false),
        (Map(x), Map(y)) if x.keys().eq(y.keys()) => all(x.values().zip(y.values())),
        (Map(_), Map(_)) => Some(false),
        (Value::Time(x), Value::Time(y)) => Some(instant(x) == instant(y)),
        _ => Some(a == b),
    }
}

fn all<'a>(pairs: impl Iterator<Item = (&'a Value, &'a Value)>) -> Option<bool> {
    let answers: Vec<Option<bool>> = pairs.map(|(a, b)| equal(a, b)).collect();
    conjunction(&answers)
}

/// `AND` over any number.
pub(crate) fn conjunction(parts: &[Option<bool>]) -> Option<bool> {
    if parts.contains(&Some(false)) {
        Some(false)
    } else if parts.contains(&None) {
        None
    } else {
        Some(true)
    }
}

/// `OR` over any number.
pub(crate) fn disjunction(parts: &[Option<bool>]) -> Option<bool> {
    let negated: Vec<Option<bool>> = parts.iter().map(|p| p.map(|b| !b)).collect();
    conjunction(&negated).map(|b| !b)
}

/// Numbers exactly, of both kinds; the values used here are small or powers of two, so that `i128` holds ten times them.
fn numbers(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(x), Value::Int(y)) => Some(x.cmp(y)),
        (Value::Float(x), Value::Float(y)) => x.partial_cmp(y),
        (Value::Int(x), Value::Float(y)) => {
            (!y.is_nan()).then(|| (i128::from(*x) * 4).cmp(&((y * 4.0) as i128)))
        }
        (Value::Float(_), Value::Int(_)) => numbers(b, a).map(Ordering::reverse),
        _ => None,
    }
}

/// For `<` and its kin, but NaN, which [`is_nan_pair`] tells.
pub(crate) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => numbers(a, b),
        (Value::String(x), Value::String(y)) => Some(x.cmp(y)),
        (Value::Bool(x), Value::Bool(y)) => Some(x.cmp(y)),
        (Value::Date(x), Value::Date(y)) => Some(x.cmp(y)),
        (Value::Time(x), Value::Time(y)) => Some(instant(x).cmp(&instant(y))),
        (Value::List(x), Value::List(y)) => {
            for (i, j) in x.iter().zip(y.iter()) {
                match equal(i, j) {
                    Some(true) => {}
                    Some(false) => return compare(i, j),
                    None => return None,
                }
            }
            Some(x.len().cmp(&y.len()))
        }
        _ => None,
    }
}

/// Whether one of two numbers is NaN, which is neither less nor greater than any, rather than unknown.
pub(crate) fn is_nan_pair(a: &Value, b: &Value) -> bool {
    let is_number = |v: &Value| matches!(v, Value::Int(_) | Value::Float(_));
    let is_nan = |v: &Value| matches!(v, Value::Float(f) if f.is_nan());
    is_number(a) && is_number(b) && (is_nan(a) || is_nan(b))
}

/// For `ORDER BY`, ascending.
pub(crate) fn order(a: &Value, b: &Value) -> Ordering {
    let rank = |v: &Value| match v {
        Value::Map(_) => 0,
        Value::Vertex(_) => 1,
        Value::Edge(_) => 2,
        Value::List(_) => 3,
        Value::Point(_) => 4,
        Value::Date(_) => 5,
        Value::Time(_) => 6,
        Value::Duration(_) => 7,
        Value::String(_) => 8,
        Value::Bool(_) => 9,
        Value::Int(_) => 10,
        Value::Float(f) if !f.is_nan() => 10,
        Value::Float(_) => 11,
        Value::Null => 12,
        other => panic!("{other:?} is not used here"),
    };
    match (a, b) {
        (Value::List(x), Value::List(y)) => {
            let first = x.iter().zip(y.iter()).map(|(i, j)| order(i, j)).find(|o| o.is_ne());
            first.unwrap_or_else(|| x.len().cmp(&y.len()))
        }
        (Value::Map(x), Value::Map(y)) => {
            let keys = x.len().cmp(&y.len()).then_with(|| x.keys().cmp(y.keys()));
            let values = || x.values().zip(y.values()).map(|(i, j)| order(i, j)).find(|o| o.is_ne());
            keys.then_with(|| values().unwrap_or(Ordering::Equal))
        }
        (Value::Vertex(x), Value::Vertex(y)) => x.cmp(y),
        (Value::Point(x), Value::Point(y)) => x.x.total_cmp(&y.x),
        (Value::Duration(x), Value::Duration(y)) => {
            let seconds = |d: &Duration| d.days * 86_400 + d.seconds;
            seconds(x).cmp(&seconds(y)).then(x.days.cmp(&y.days))
        }
        (Value::Time(x), Value::Time(y)) => {
            instant(x).cmp(&instant(y)).then(x.offset_seconds.cmp(&y.offset_seconds))
        }
        (Value::Edge(x), Value::Edge(y)) => x.cmp(y),
        _ => rank(a).cmp(&rank(b)).then_with(|| compare(a, b).unwrap_or(Ordering::Equal)),
    }
}
