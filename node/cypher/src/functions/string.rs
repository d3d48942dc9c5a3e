//! Functions on strings. Positions count characters, not bytes.

use super::{Scope, refuse};
use crate::error::CypherError;
use crate::fail;
use mgnode_core::types::Value;

type Answer = Result<Value, CypherError>;

fn text<'a>(function: &str, v: &'a Value) -> Result<&'a str, CypherError> {
    match v {
        Value::String(s) => Ok(s),
        other => Err(refuse(function, other)),
    }
}

fn count(function: &str, v: &Value) -> Result<usize, CypherError> {
    match v {
        Value::Int(i) => usize::try_from(*i).map_err(|_| {
            fail::argument(
                "NumberOutOfRange",
                format!("`{function}()` takes no negative number, such as {i}"),
            )
        }),
        other => Err(refuse(function, other)),
    }
}

/// Returns the byte offset of a character, or the end.
fn offset(s: &str, chars: usize) -> usize {
    s.char_indices().nth(chars).map_or(s.len(), |(at, _)| at)
}

pub(super) fn split(scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    /// A value, the counts of its text, and what an allocation costs.
    const PART_BYTES: usize = size_of::<Value>() + 32;
    let s = text("split", &args[0])?;
    let by = text("split", &args[1])?;
    scope.run.require(s.matches(by).count().saturating_mul(PART_BYTES).saturating_add(s.len()))?;
    let parts: Vec<Value> = if by.is_empty() {
        s.chars().map(|c| Value::string(c.to_string())).collect()
    } else {
        s.split(by).map(Value::string).collect()
    };
    Ok(Value::list(parts))
}

pub(super) fn replace(scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let s = text("replace", &args[0])?;
    let from = text("replace", &args[1])?;
    let to = text("replace", &args[2])?;
    if from.is_empty() {
        return Ok(args[0].clone());
    }
    if to.len() > from.len() {
        scope.run.require(s.len() / from.len() * (to.len() - from.len()) + s.len())?;
    }
    Ok(Value::string(s.replace(from, to)))
}

pub(super) fn substring(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let s = text("substring", &args[0])?;
    let rest = &s[offset(s, count("substring", &args[1])?)..];
    Ok(Value::string(match args.get(2) {
        Some(n) => &rest[..offset(rest, count("substring", n)?)],
        None => rest,
    }))
}

pub(super) fn left(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let s = text("left", &args[0])?;
    Ok(Value::string(&s[..offset(s, count("left", &args[1])?)]))
}

pub(super) fn right(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let s = text("right", &args[0])?;
    let skip = s.chars().count().saturating_sub(count("right", &args[1])?);
    Ok(Value::string(&s[offset(s, skip)..]))
}

fn is_trimmed(args: &[Value]) -> Result<impl Fn(char) -> bool + '_, CypherError> {
    let set = args.get(1).map(|v| text("trim", v)).transpose()?;
    Ok(move |c: char| set.map_or(c.is_whitespace(), |set| set.contains(c)))
}

pub(super) fn trim(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let s = text("trim", &args[0])?;
    Ok(Value::string(s.trim_matches(is_trimmed(args)?)))
}

pub(super) fn ltrim(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let s = text("lTrim", &args[0])?;
    Ok(Value::string(s.trim_start_matches(is_trimmed(args)?)))
}

pub(super) fn rtrim(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let s = text("rTrim", &args[0])?;
    Ok(Value::string(s.trim_end_matches(is_trimmed(args)?)))
}

pub(super) fn to_upper(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    Ok(Value::string(text("toUpper", &args[0])?.to_uppercase()))
}

pub(super) fn to_lower(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    Ok(Value::string(text("toLower", &args[0])?.to_lowercase()))
}

pub(super) fn char_length(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    Ok(Value::Int(text("char_length", &args[0])?.chars().count() as i64))
}

pub(super) fn starts_with(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    Ok(Value::Bool(text("startsWith", &args[0])?.starts_with(text("startsWith", &args[1])?)))
}

pub(super) fn ends_with(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    Ok(Value::Bool(text("endsWith", &args[0])?.ends_with(text("endsWith", &args[1])?)))
}

pub(super) fn contains(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    Ok(Value::Bool(text("contains", &args[0])?.contains(text("contains", &args[1])?)))
}
