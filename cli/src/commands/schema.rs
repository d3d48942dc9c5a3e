//! `mgctl schema`: the JSON Schema of the topology file, for editors, and of what verbs answer, for scripts.

use serde_json::{Value, json};

use super::Context;
use crate::args::{Schema, SchemaOf};
use crate::error::{CliError, Exit};
use crate::topology::json_schema;

/// What `data` of a kind must hold, and of which JSON type. `?` after a type: or null.
const KINDS: &[(&str, &[(&str, &str)])] = &[
    (
        "Backup",
        &[
            ("file", "string"),
            ("node", "string"),
            ("vertices", "integer"),
            ("edges", "integer"),
            ("digest", "string"),
            ("bytes", "integer"),
            ("seconds", "number"),
            ("position", "object?"),
            ("left_out", "array"),
            ("removed", "array"),
        ],
    ),
    ("Restore", &[("file", "string"), ("changed", "boolean")]),
    (
        "Dump",
        &[
            ("file", "string"),
            ("node", "string"),
            ("vertices", "integer"),
            ("edges", "integer"),
            ("digest", "string"),
            ("bytes", "integer"),
            ("seconds", "number"),
            ("left_out", "array"),
        ],
    ),
    ("Import", &[("changed", "boolean")]),
    ("Env", &[("variables", "object")]),
    ("Image", &[("tag", "string"), ("id", "string")]),
    ("Export", &[("manifest", "string")]),
    ("Man", &[("folder", "string"), ("pages", "array")]),
    (
        "Version",
        &[
            ("version", "string"),
            ("topology", "string"),
            ("output", "string"),
            ("backup", "integer"),
            ("bolt", "string"),
            ("engine", "string"),
        ],
    ),
];

pub(super) fn run(context: &Context, args: &Schema) -> Result<Exit, CliError> {
    let schema = match args.of {
        SchemaOf::Topology => json_schema(),
        SchemaOf::Output => output_schema(),
    };
    // The schema is the result itself: an editor reads it from a file, without an envelope.
    context.ui.print(&format!("{schema:#}"));
    Ok(Exit::Ok)
}

/// The envelope of every verb's answer. Keys may be added to `data` within `mgctl/v1`; none is taken away.
fn output_schema() -> Value {
    let problem = json!({
        "type": "object", "required": ["code", "message"],
        "properties": {
            "code": { "type": ["string", "null"], "description": "as MG042; `mgctl explain MG042` says more" },
            "message": { "type": "string" },
            "hint": { "type": "string", "description": "what to do next" },
            "file": { "type": "string" }, "line": { "type": "integer" }, "column": { "type": "integer" },
            "where": { "type": "string" },
            "details": { "type": "array", "items": { "type": "string" } },
        },
    });
    let kinds: Vec<Value> = KINDS
        .iter()
        .map(|(kind, keys)| {
            let types: serde_json::Map<String, Value> = keys
                .iter()
                .map(|(key, of)| {
                    let of = match of.strip_suffix('?') {
                        Some(of) => json!([of, "null"]),
                        None => json!(of),
                    };
                    ((*key).to_owned(), json!({ "type": of }))
                })
                .collect();
            let required: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
            json!({
                "if": { "properties": { "kind": { "const": kind }, "ok": { "const": true } } },
                "then": { "properties": { "data": { "type": "object", "required": required, "properties": types } } },
            })
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What a verb of mgctl answers with -o json",
        "type": "object",
        "required": ["apiVersion", "kind", "cluster", "ok", "warnings"],
        "properties": {
            "apiVersion": { "const": "mgctl/v1" },
            "kind": { "type": "string", "description": "what `data` is; `Error` where there is none" },
            "cluster": { "type": ["string", "null"] },
            "ok": { "type": "boolean", "description": "whether what was asked for is true now" },
            "data": { "type": "object" },
            "warnings": { "type": "array", "items": { "$ref": "#/$defs/problem" } },
            "exit": { "type": "integer", "description": "of an error: the exit code" },
            "error": { "$ref": "#/$defs/problem" },
            "errors": { "type": "array", "items": { "$ref": "#/$defs/problem" } },
        },
        "allOf": kinds,
        "$defs": { "problem": problem },
    })
}

#[cfg(test)]
mod tests {
    use super::output_schema;

    #[test]
    fn every_kind_says_what_its_data_must_hold() {
        let schema = output_schema();
        assert_eq!(schema["properties"]["apiVersion"]["const"], "mgctl/v1");
        let kinds = schema["allOf"].as_array().unwrap();
        assert!(kinds.len() >= 8);
        for kind in kinds {
            let data = &kind["then"]["properties"]["data"];
            for key in data["required"].as_array().unwrap() {
                assert!(
                    data["properties"][key.as_str().unwrap()]["type"].is_string()
                        || data["properties"][key.as_str().unwrap()]["type"].is_array()
                );
            }
        }
    }
}
