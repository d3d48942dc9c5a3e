//! Dates, times and durations.

use crate::ast::ArithmeticOp;
use crate::error::CypherError;
use crate::fail;
use mgnode_core::types::{Duration, Value};
use std::sync::Arc;

/// Returns `-d`.
pub(crate) fn negate(d: &Duration) -> Value {
    scaled(d, -1)
}

fn scaled(d: &Duration, by: i64) -> Value {
    let nanos = (i128::from(d.seconds) * 1_000_000_000 + i128::from(d.nanos)) * i128::from(by);
    duration(d.months.wrapping_mul(by), d.days.wrapping_mul(by), nanos)
}

/// Makes a duration from months, days and nanoseconds.
pub(crate) fn duration(months: i64, days: i64, nanos: i128) -> Value {
    Value::Duration(Arc::new(Duration {
        months,
        days,
        seconds: nanos.div_euclid(1_000_000_000) as i64,
        nanos: nanos.rem_euclid(1_000_000_000) as i32,
    }))
}

/// Computes with temporal values; None where neither side is one.
pub(crate) fn arithmetic(op: ArithmeticOp, a: &Value, b: &Value) -> Option<Result<Value, CypherError>> {
    let overflow = || fail::arithmetic("NumberOutOfRange", "a duration is too long");
    match (op, a, b) {
        (ArithmeticOp::Add | ArithmeticOp::Subtract, Value::Duration(x), Value::Duration(y)) => {
            let sign = if op == ArithmeticOp::Add { 1 } else { -1 };
            let nanos = |d: &Duration| i128::from(d.seconds) * 1_000_000_000 + i128::from(d.nanos);
            Some(
                x.months
                    .checked_add(y.months * sign)
                    .zip(x.days.checked_add(y.days * sign))
                    .map(|(months, days)| duration(months, days, nanos(x) + nanos(y) * i128::from(sign)))
                    .ok_or_else(overflow),
            )
        }
        _ => None,
    }
}

/// Returns a part of a temporal value, such as `year`; None where it is no temporal value.
pub(crate) fn component(v: &Value, name: &str) -> Option<Value> {
    let Value::Duration(d) = v else { return None };
    Some(match name {
        "months" => Value::Int(d.months),
        "days" => Value::Int(d.days),
        "seconds" => Value::Int(d.seconds),
        _ => Value::Null,
    })
}
