//! Words in which the data of a kind is declared. Each returns a JSON Schema.

use serde_json::{Map, Value, json};

pub(super) fn text(about: &str) -> Value {
    json!({ "type": "string", "description": about })
}

pub(super) fn integer(about: &str) -> Value {
    json!({ "type": "integer", "description": about })
}

pub(super) fn number(about: &str) -> Value {
    json!({ "type": "number", "description": about })
}

pub(super) fn flag(about: &str) -> Value {
    json!({ "type": "boolean", "description": about })
}

/// One of a few words.
pub(super) fn words(words: &[&str]) -> Value {
    json!({ "enum": words })
}

/// What a client may have stored: any value.
pub(super) fn anything() -> Value {
    json!({ "description": "a value of the graph, as JSON" })
}

/// The same, or null.
pub(super) fn maybe(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

pub(super) fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// A list of texts.
pub(super) fn texts(about: &str) -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "description": about })
}

/// Any names, each with such a value.
pub(super) fn named(value: Value) -> Value {
    json!({ "type": "object", "additionalProperties": value })
}

/// An object with these keys and no other. A key that ends with `?` may be missing.
pub(super) fn object<const N: usize>(keys: [(&str, Value); N]) -> Value {
    closed(&keys)
}

/// An object that also has the keys of another.
pub(super) fn with(mut base: Value, more: Value) -> Value {
    if let (Some(into), Some(from)) = (base["properties"].as_object_mut(), more["properties"].as_object()) {
        into.extend(from.clone());
    }
    if let (Some(into), Some(from)) = (base["required"].as_array_mut(), more["required"].as_array()) {
        into.extend(from.iter().cloned());
    }
    base
}

/// One of several forms.
pub(super) fn either<const N: usize>(forms: [Value; N]) -> Value {
    json!({ "anyOf": forms.to_vec() })
}

fn closed(keys: &[(&str, Value)]) -> Value {
    let name = |key: &str| key.trim_end_matches('?').to_owned();
    let properties: Map<String, Value> = keys.iter().map(|(key, value)| (name(key), value.clone())).collect();
    let required: Vec<&str> = keys.iter().map(|(key, _)| *key).filter(|key| !key.ends_with('?')).collect();
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

/// A problem, as [`Problem::to_json`](crate::error::Problem::to_json) writes it.
pub(super) fn problem() -> Value {
    object([
        ("code", maybe(text("as MG042; `mgctl explain MG042` says more"))),
        ("message", text("what happened")),
        ("hint?", text("what to do next")),
        ("file?", text("the file that it is in")),
        ("line?", integer("from 1")),
        ("column?", integer("in characters, from 1")),
        ("where?", text("where outside of files")),
        ("details?", texts("more facts")),
    ])
}

/// How MAIN waits for a REPLICA.
pub(super) fn mode() -> Value {
    words(&["SYNC", "ASYNC", "STRICT_SYNC"])
}

/// A time in milliseconds, or null where there was none.
pub(super) fn milliseconds(about: &str) -> Value {
    maybe(number(&format!("{about}, in milliseconds")))
}
