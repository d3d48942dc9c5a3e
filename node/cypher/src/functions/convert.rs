//! Conversions between types, the clock and the dice.

use super::Scope;
use crate::error::CypherError;
use crate::fail;
use crate::value::{float_text, type_name};
use mgnode_core::types::Value;

type Answer = Result<Value, CypherError>;

fn refuse(function: &str, v: &Value) -> CypherError {
    fail::value(format!("`{function}()` does not take {}", type_name(v)))
}

/// None where the type is not convertible at all.
fn integer(v: &Value) -> Option<Value> {
    Some(match v {
        Value::Int(i) => Value::Int(*i),
        Value::Float(f) => whole(*f),
        Value::Bool(b) => Value::Int(i64::from(*b)),
        Value::String(s) => {
            let s = s.trim();
            match s.parse::<i64>() {
                Ok(i) => Value::Int(i),
                Err(_) if looks_numeric(s) => s.parse::<f64>().map_or(Value::Null, whole),
                Err(_) => Value::Null,
            }
        }
        _ => return None,
    })
}

/// Rust reads `inf`, `nan` and the like as floats; Cypher does not.
fn looks_numeric(s: &str) -> bool {
    s.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
}

fn whole(f: f64) -> Value {
    let t = f.trunc();
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&t) {
        Value::Int(t as i64)
    } else {
        Value::Null
    }
}

fn float(v: &Value) -> Option<Value> {
    Some(match v {
        Value::Int(i) => Value::Float(*i as f64),
        Value::Float(f) => Value::Float(*f),
        Value::String(s) => {
            let s = s.trim();
            match s {
                "NaN" => Value::Float(f64::NAN),
                "Infinity" => Value::Float(f64::INFINITY),
                "-Infinity" => Value::Float(f64::NEG_INFINITY),
                _ if looks_numeric(s) => s.parse().map_or(Value::Null, Value::Float),
                _ => Value::Null,
            }
        }
        _ => return None,
    })
}

fn boolean(v: &Value) -> Option<Value> {
    Some(match v {
        Value::Bool(b) => Value::Bool(*b),
        Value::Int(i) => Value::Bool(*i != 0),
        Value::String(s) => match s.trim() {
            t if t.eq_ignore_ascii_case("true") => Value::Bool(true),
            t if t.eq_ignore_ascii_case("false") => Value::Bool(false),
            _ => Value::Null,
        },
        _ => return None,
    })
}

fn text(v: &Value) -> Option<Value> {
    Some(match v {
        Value::String(_) => v.clone(),
        Value::Int(i) => Value::string(i.to_string()),
        Value::Float(f) => Value::string(float_text(*f)),
        Value::Bool(b) => Value::string(if *b { "true" } else { "false" }),
        Value::Enum(e) => Value::string(format!("{}::{}", e.enum_name, e.value)),
        other => Value::string(crate::temporal::temporal_text(other)?),
    })
}

macro_rules! conversion {
    ($name:ident, $or_null:ident, $on_list:ident, $shown:literal, $by:ident) => {
        pub(super) fn $name(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
            $by(&args[0]).ok_or_else(|| refuse($shown, &args[0]))
        }

        pub(super) fn $or_null(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
            Ok($by(&args[0]).unwrap_or_default())
        }

        pub(super) fn $on_list(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
            match &args[0] {
                Value::List(l) => {
                    Ok(Value::list(l.iter().map(|v| $by(v).unwrap_or_default()).collect::<Vec<_>>()))
                }
                other => Err(refuse(concat!($shown, "List"), other)),
            }
        }
    };
}

conversion!(to_integer, to_integer_or_null, to_integer_list, "toInteger", integer);
conversion!(to_float, to_float_or_null, to_float_list, "toFloat", float);
conversion!(to_boolean, to_boolean_or_null, to_boolean_list, "toBoolean", boolean);
conversion!(to_string, to_string_or_null, to_string_list, "toString", text);

pub(super) fn value_type(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    Ok(Value::string(match &args[0] {
        Value::Null => "NULL",
        Value::Bool(_) => "BOOLEAN",
        Value::Int(_) => "INTEGER",
        Value::Float(_) => "FLOAT",
        Value::String(_) => "STRING",
        Value::List(_) => "LIST",
        Value::Map(_) => "MAP",
        Value::Bytes(_) => "BYTES",
        Value::Date(_) => "DATE",
        Value::LocalTime(_) => "LOCAL_TIME",
        Value::Time(_) => "TIME",
        Value::LocalDateTime(_) => "LOCAL_DATE_TIME",
        Value::DateTime(_) => "ZONED_DATE_TIME",
        Value::Duration(_) => "DURATION",
        Value::Point(_) => "POINT",
        Value::Enum(_) => "ENUM",
        Value::Vertex(_) => "NODE",
        Value::Edge(_) => "RELATIONSHIP",
        Value::Path(_) => "PATH",
    }))
}

/// Milliseconds since 1970, the same throughout a query.
pub(super) fn timestamp(scope: &mut Scope<'_>, _: &mut [Value]) -> Answer {
    Ok(Value::Int(scope.run.now.as_millis() as i64))
}

pub(super) fn rand(scope: &mut Scope<'_>, _: &mut [Value]) -> Answer {
    Ok(Value::Float((scope.run.random() >> 11) as f64 / (1_u64 << 53) as f64))
}

pub(super) fn random_uuid(scope: &mut Scope<'_>, _: &mut [Value]) -> Answer {
    let high = scope.run.random() & !0xf000 | 0x4000;
    let low = scope.run.random() & !(0b11 << 62) | (0b10 << 62);
    Ok(Value::string(format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_become_numbers_or_null() {
        let int = |s: &str| integer(&Value::string(s)).unwrap();
        assert_eq!(int("42"), Value::Int(42));
        assert_eq!(int("1.9"), Value::Int(1));
        assert_eq!(int("foo"), Value::Null);
        assert_eq!(int("inf"), Value::Null);
        assert_eq!(int(""), Value::Null);
        assert_eq!(int("9223372036854775808"), Value::Null);
        assert_eq!(float(&Value::string("5")).unwrap(), Value::Float(5.0));
        assert_eq!(float(&Value::string("nan")).unwrap(), Value::Null);
        assert_eq!(integer(&Value::list(vec![])), None);
        assert_eq!(boolean(&Value::Float(1.0)), None);
    }
}
