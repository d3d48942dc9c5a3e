//! Whether a value is what a schema says, for the keywords that the schemas of mgctl use. Of texts the patterns are not
//! looked at.

use serde_json::{Map, Value};

/// Holds `value` against `schema`, whose references lead into `root`.
///
/// # Errors
///
/// What is otherwise, and where in the value; of several the first.
///
/// # Panics
///
/// At a keyword that it does not know: a schema that is not checked whole would pass what it forbids.
pub fn check(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    at(root, schema, value, "")
}

fn at(root: &Value, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let keywords = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Object(keywords) => keywords,
        other => panic!("`{other}` is no schema"),
    };
    let place = if path.is_empty() { "/" } else { path };
    for (keyword, wanted) in keywords {
        match (keyword.as_str(), wanted) {
            ("$ref", Value::String(to)) => {
                let target = root.pointer(to.trim_start_matches('#'));
                at(root, target.unwrap_or_else(|| panic!("`{to}` leads nowhere")), value, path)?;
            }
            ("type", Value::String(word)) => is_of(word, value, place)?,
            ("type", Value::Array(words)) => {
                let is_one = |word: &Value| is_of(word.as_str().unwrap_or_default(), value, place).is_ok();
                if !words.iter().any(is_one) {
                    return Err(format!("{place}: {value} is none of {wanted}"));
                }
            }
            ("const", wanted) if value != wanted => return Err(format!("{place}: {value} is not {wanted}")),
            ("enum", Value::Array(words)) if !words.contains(value) => {
                return Err(format!("{place}: {value} is none of {wanted}"));
            }
            ("minimum", least) if value.as_f64() < least.as_f64() => {
                return Err(format!("{place}: {value} is below {least}"));
            }
            ("maximum", most) if value.as_f64() > most.as_f64() => {
                return Err(format!("{place}: {value} is above {most}"));
            }
            ("anyOf" | "oneOf", Value::Array(schemas)) => {
                let tried: Vec<Result<(), String>> =
                    schemas.iter().map(|schema| at(root, schema, value, path)).collect();
                if tried.iter().all(Result::is_err) {
                    let why: Vec<String> = tried.into_iter().filter_map(Result::err).collect();
                    return Err(why.join("; or "));
                }
            }
            ("items", schema) => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    at(root, schema, item, &format!("{path}/{index}"))?;
                }
            }
            ("required", Value::Array(keys)) => {
                for key in keys.iter().filter_map(Value::as_str) {
                    if value.as_object().is_some_and(|map| !map.contains_key(key)) {
                        return Err(format!("{place}: `{key}` is missing"));
                    }
                }
            }
            ("properties" | "patternProperties" | "additionalProperties", _) => {}
            // Words for people, and what is not looked at.
            ("$schema" | "title" | "description" | "pattern" | "format" | "$defs", _) => {}
            ("const" | "enum" | "minimum" | "maximum", _) => {}
            (other, _) => panic!("the keyword `{other}` is not known here"),
        }
    }
    match value {
        Value::Object(map) => members(root, keywords, map, path),
        _ => Ok(()),
    }
}

fn members(
    root: &Value,
    keywords: &Map<String, Value>,
    map: &Map<String, Value>,
    path: &str,
) -> Result<(), String> {
    let place = if path.is_empty() { "/" } else { path };
    for (key, value) in map {
        let below = format!("{path}/{key}");
        if let Some(schema) = keywords.get("properties").and_then(|all| all.get(key)) {
            at(root, schema, value, &below)?;
            continue;
        }
        let patterns = keywords.get("patternProperties").and_then(Value::as_object);
        let mut patterns = patterns.into_iter().flatten();
        // The only pattern in use is that of a beginning.
        if let Some((_, schema)) = patterns.find(|(p, _)| key.starts_with(p.trim_start_matches('^'))) {
            at(root, schema, value, &below)?;
            continue;
        }
        match keywords.get("additionalProperties") {
            Some(Value::Bool(false)) => return Err(format!("{place}: `{key}` is not named")),
            Some(schema) => at(root, schema, value, &below)?,
            None => {}
        }
    }
    Ok(())
}

fn is_of(word: &str, value: &Value, place: &str) -> Result<(), String> {
    let is_so = match word {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("there is no type `{other}`"),
    };
    if is_so { Ok(()) } else { Err(format!("{place}: {value} is no {word}")) }
}
