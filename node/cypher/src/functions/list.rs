//! Functions on lists, and on anything that may be missing.

use super::{Scope, refuse};
use crate::error::CypherError;
use crate::fail;
use crate::value::{Key, equal};
use mgnode_core::types::Value;
use rustc_hash::FxHashSet;
use std::sync::Arc;

type Answer = Result<Value, CypherError>;

pub(super) fn size(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    Ok(Value::Int(match &args[0] {
        Value::List(l) => l.len() as i64,
        Value::String(s) => s.chars().count() as i64,
        Value::Map(m) => m.len() as i64,
        Value::Path(p) => p.steps.len() as i64,
        other => return Err(refuse("size", other)),
    }))
}

pub(super) fn is_empty(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    Ok(Value::Bool(match &args[0] {
        Value::List(l) => l.is_empty(),
        Value::String(s) => s.is_empty(),
        Value::Map(m) => m.is_empty(),
        other => return Err(refuse("isEmpty", other)),
    }))
}

pub(super) fn head(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match &args[0] {
        Value::List(l) => Ok(l.first().cloned().unwrap_or_default()),
        other => Err(refuse("head", other)),
    }
}

pub(super) fn last(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match &args[0] {
        Value::List(l) => Ok(l.last().cloned().unwrap_or_default()),
        other => Err(refuse("last", other)),
    }
}

pub(super) fn tail(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match &args[0] {
        Value::List(l) => Ok(Value::list(l.get(1..).unwrap_or_default())),
        other => Err(refuse("tail", other)),
    }
}

pub(super) fn first_n(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match (&args[0], &args[1]) {
        (Value::List(l), Value::Int(n)) => {
            let n = usize::try_from(*n).unwrap_or(0).min(l.len());
            Ok(Value::list(&l[..n]))
        }
        (Value::List(_), other) | (other, _) => Err(refuse("uniformSample", other)),
    }
}

pub(super) fn reverse(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match std::mem::take(&mut args[0]) {
        Value::List(mut l) => {
            Arc::make_mut(&mut l).reverse();
            Ok(Value::List(l))
        }
        Value::String(s) => Ok(Value::string(s.chars().rev().collect::<String>())),
        other => Err(refuse("reverse", &other)),
    }
}

pub(super) fn to_set(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match &args[0] {
        Value::List(l) => {
            let mut seen = FxHashSet::default();
            Ok(Value::list(
                l.iter().filter(|v| seen.insert(Key(Box::new([(*v).clone()])))).cloned().collect::<Vec<_>>(),
            ))
        }
        other => Err(refuse("toSet", other)),
    }
}

/// The integers that `range()` names, to be taken one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    next: i64,
    step: i64,
    left: u128,
}

impl Steps {
    /// Reads the arguments of `range()`, none of them Null: from, to and, where it is given, the step.
    pub(crate) fn of(args: &[Value]) -> Result<Steps, CypherError> {
        let int = |v: &Value| match v {
            Value::Int(i) => Ok(*i),
            other => Err(CypherError::runtime(
                crate::error::ErrorKind::ArgumentError,
                "InvalidArgumentType",
                format!("`range()` takes integers, not {}", crate::value::type_name(other)),
            )),
        };
        let (from, to) = (int(&args[0])?, int(&args[1])?);
        let step = args.get(2).map_or(Ok(1), int)?;
        if step == 0 {
            return Err(fail::argument("NumberOutOfRange", "the step of `range()` must not be 0"));
        }
        let distance =
            if step > 0 { i128::from(to) - i128::from(from) } else { i128::from(from) - i128::from(to) };
        let left = u128::try_from(distance).map_or(0, |d| d / u128::from(step.unsigned_abs()) + 1);
        Ok(Steps { next: from, step, left })
    }
}

impl Iterator for Steps {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        self.left = self.left.checked_sub(1)?;
        let value = self.next;
        // The value after the last may lie outside of i64.
        self.next = value.wrapping_add(self.step);
        Some(value)
    }
}

pub(super) fn range(scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let steps = Steps::of(args)?;
    let count = usize::try_from(steps.left)
        .map_err(|_| CypherError::limit("the list that `range()` asks for fits into no memory"))?;
    scope.run.require(count.saturating_mul(size_of::<Value>()))?;
    let mut out = Vec::with_capacity(count);
    for value in steps {
        scope.run.tick()?;
        out.push(Value::Int(value));
    }
    Ok(Value::List(Arc::new(out)))
}

pub(super) fn coalesce(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    Ok(args.iter_mut().find(|v| !v.is_null()).map(std::mem::take).unwrap_or_default())
}

pub(super) fn exists(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    Ok(Value::Bool(!args[0].is_null()))
}

pub(super) fn null_if(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    if equal(&args[0], &args[1]) == Some(true) { Ok(Value::Null) } else { Ok(std::mem::take(&mut args[0])) }
}
