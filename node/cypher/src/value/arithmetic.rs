//! `+ - * / % ^`: Null in, Null out; an integer that would overflow is an error, not a wrap.

use super::type_name;
use crate::error::CypherError;
use crate::fail;
use mgnode_core::types::Value;
use std::sync::Arc;

fn overflow(op: &str, a: i64, b: i64) -> CypherError {
    fail::arithmetic("NumberOutOfRange", format!("integer overflow: {a} {op} {b}"))
}

fn mismatch(op: &str, a: &Value, b: &Value) -> CypherError {
    fail::types(format!("`{op}` does not take {} and {}", type_name(a), type_name(b)))
}

/// Returns `a + b`: sum, or string and list concatenation.
pub fn add(a: Value, b: Value) -> Result<Value, CypherError> {
    Ok(match (a, b) {
        (Value::Int(x), Value::Int(y)) => Value::Int(x.checked_add(y).ok_or_else(|| overflow("+", x, y))?),
        (Value::Float(x), Value::Float(y)) => Value::Float(x + y),
        (Value::Int(x), Value::Float(y)) => Value::Float(x as f64 + y),
        (Value::Float(x), Value::Int(y)) => Value::Float(x + y as f64),
        (Value::Null, _) | (_, Value::Null) => Value::Null,
        (Value::List(mut x), Value::List(y)) => {
            // In place where nobody else holds the left list, so that `acc + [x]` stays linear.
            Arc::make_mut(&mut x).extend(y.iter().cloned());
            Value::List(x)
        }
        (Value::List(mut x), y) => {
            super::check_nesting(&Value::list(vec![y.clone()]))?;
            Arc::make_mut(&mut x).push(y);
            Value::List(x)
        }
        (x, Value::List(mut y)) => {
            super::check_nesting(&Value::list(vec![x.clone()]))?;
            Arc::make_mut(&mut y).insert(0, x);
            Value::List(y)
        }
        (Value::String(x), Value::String(y)) => joined(&x, &y),
        (Value::String(x), y @ (Value::Int(_) | Value::Float(_))) => joined(&x, &number_text(&y)),
        (x @ (Value::Int(_) | Value::Float(_)), Value::String(y)) => joined(&number_text(&x), &y),
        (x, y) => return temporal_sum(x, y),
    })
}

fn joined(a: &str, b: &str) -> Value {
    let mut s = String::with_capacity(a.len() + b.len());
    s.push_str(a);
    s.push_str(b);
    Value::string(s)
}

fn number_text(v: &Value) -> String {
    match v {
        Value::Int(i) => i.to_string(),
        Value::Float(f) => super::float_text(*f),
        _ => String::new(),
    }
}

fn temporal_sum(a: Value, b: Value) -> Result<Value, CypherError> {
    Err(mismatch("+", &a, &b))
}

/// Returns `a - b`.
pub fn subtract(a: Value, b: Value) -> Result<Value, CypherError> {
    Ok(match (a, b) {
        (Value::Int(x), Value::Int(y)) => Value::Int(x.checked_sub(y).ok_or_else(|| overflow("-", x, y))?),
        (Value::Float(x), Value::Float(y)) => Value::Float(x - y),
        (Value::Int(x), Value::Float(y)) => Value::Float(x as f64 - y),
        (Value::Float(x), Value::Int(y)) => Value::Float(x - y as f64),
        (Value::Null, _) | (_, Value::Null) => Value::Null,
        (x, y) => return Err(mismatch("-", &x, &y)),
    })
}

/// Returns `a * b`.
pub fn multiply(a: Value, b: Value) -> Result<Value, CypherError> {
    Ok(match (a, b) {
        (Value::Int(x), Value::Int(y)) => Value::Int(x.checked_mul(y).ok_or_else(|| overflow("*", x, y))?),
        (Value::Float(x), Value::Float(y)) => Value::Float(x * y),
        (Value::Int(x), Value::Float(y)) => Value::Float(x as f64 * y),
        (Value::Float(x), Value::Int(y)) => Value::Float(x * y as f64),
        (Value::Null, _) | (_, Value::Null) => Value::Null,
        (x, y) => return Err(mismatch("*", &x, &y)),
    })
}

/// Returns `a / b`; between integers it drops the fraction, and zero is an error.
pub fn divide(a: Value, b: Value) -> Result<Value, CypherError> {
    Ok(match (a, b) {
        (Value::Int(_), Value::Int(0)) => return Err(fail::arithmetic("DivisionByZero", "division by zero")),
        (Value::Int(x), Value::Int(y)) => Value::Int(x.checked_div(y).ok_or_else(|| overflow("/", x, y))?),
        (Value::Float(x), Value::Float(y)) => Value::Float(x / y),
        (Value::Int(x), Value::Float(y)) => Value::Float(x as f64 / y),
        (Value::Float(x), Value::Int(y)) => Value::Float(x / y as f64),
        (Value::Null, _) | (_, Value::Null) => Value::Null,
        (x, y) => return Err(mismatch("/", &x, &y)),
    })
}

/// Returns `a % b`, with the sign of `a`.
pub fn modulo(a: Value, b: Value) -> Result<Value, CypherError> {
    Ok(match (a, b) {
        (Value::Int(_), Value::Int(0)) => return Err(fail::arithmetic("DivisionByZero", "modulo by zero")),
        (Value::Int(x), Value::Int(y)) => Value::Int(x.wrapping_rem(y)),
        (Value::Float(x), Value::Float(y)) => Value::Float(x % y),
        (Value::Int(x), Value::Float(y)) => Value::Float(x as f64 % y),
        (Value::Float(x), Value::Int(y)) => Value::Float(x % y as f64),
        (Value::Null, _) | (_, Value::Null) => Value::Null,
        (x, y) => return Err(mismatch("%", &x, &y)),
    })
}

/// Returns `a ^ b`, always a float.
pub fn power(a: Value, b: Value) -> Result<Value, CypherError> {
    let float = |v: &Value| match v {
        Value::Int(i) => Some(*i as f64),
        Value::Float(f) => Some(*f),
        _ => None,
    };
    match (float(&a), float(&b)) {
        (Some(x), Some(y)) => Ok(Value::Float(x.powf(y))),
        _ if a.is_null() || b.is_null() => Ok(Value::Null),
        _ => Err(mismatch("^", &a, &b)),
    }
}

/// Returns `-a`.
pub fn negate(a: Value) -> Result<Value, CypherError> {
    Ok(match a {
        Value::Int(i) => Value::Int(i.checked_neg().ok_or_else(|| overflow("-", 0, i))?),
        Value::Float(f) => Value::Float(-f),
        Value::Null => Value::Null,
        v => return Err(fail::types(format!("`-` does not take {}", type_name(&v)))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflow_is_an_error() {
        assert!(add(Value::Int(i64::MAX), Value::Int(1)).is_err());
        assert!(subtract(Value::Int(i64::MIN), Value::Int(1)).is_err());
        assert!(multiply(Value::Int(i64::MAX), Value::Int(2)).is_err());
        assert!(divide(Value::Int(i64::MIN), Value::Int(-1)).is_err());
        assert!(negate(Value::Int(i64::MIN)).is_err());
        assert_eq!(modulo(Value::Int(i64::MIN), Value::Int(-1)).unwrap(), Value::Int(0));
    }

    #[test]
    fn division() {
        assert_eq!(divide(Value::Int(7), Value::Int(-2)).unwrap(), Value::Int(-3));
        assert_eq!(divide(Value::Int(1), Value::Float(0.0)).unwrap(), Value::Float(f64::INFINITY));
        let error = divide(Value::Int(1), Value::Int(0)).unwrap_err();
        assert_eq!(error.detail, "DivisionByZero");
        assert_eq!(divide(Value::Null, Value::Int(1)).unwrap(), Value::Null);
    }

    #[test]
    fn plus_joins_lists_and_strings() {
        let list = Value::list(vec![Value::Int(1)]);
        assert_eq!(
            add(list.clone(), Value::Int(2)).unwrap(),
            Value::list(vec![Value::Int(1), Value::Int(2)])
        );
        assert_eq!(add(Value::Int(0), list).unwrap(), Value::list(vec![Value::Int(0), Value::Int(1)]));
        assert_eq!(add(Value::string("a"), Value::Int(1)).unwrap(), Value::string("a1"));
        assert_eq!(add(Value::string("a"), Value::Float(1.0)).unwrap(), Value::string("a1.0"));
        assert!(add(Value::Bool(true), Value::Int(1)).is_err());
    }
}
