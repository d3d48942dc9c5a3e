//! The JSON Schema of a topology file, made from the table of keys that the reader follows.

use serde_json::{Map, Value, json};

use super::container::ULIMITS;
use super::keys::{FILE, Shape, Table};

/// Returns the JSON Schema (draft 7) of a topology file, for editors.
pub fn json_schema() -> Value {
    let mut schema = mapping(&FILE);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("mgctl topology");
    schema["required"] = json!(["name", "instances"]);
    schema
}

fn mapping(table: &'static Table) -> Value {
    let properties: Map<String, Value> = table
        .keys
        .iter()
        .map(|key| {
            let mut value = shape(key.shape);
            value["description"] = json!(key.about);
            (key.name.to_owned(), value)
        })
        .collect();
    json!({
        "type": "object", "properties": properties, "patternProperties": { "^x-": {} },
        "additionalProperties": false,
    })
}

fn shape(shape: Shape) -> Value {
    let variable = json!({ "type": "string", "pattern": r"\$\{" });
    let text = || json!({ "type": "string" });
    let or_variable = |value: Value| json!({ "anyOf": [value, variable] });
    match shape {
        Shape::Text | Shape::Secret => json!({ "type": ["string", "number"] }),
        Shape::Bool => or_variable(json!({ "type": "boolean" })),
        Shape::Port => or_variable(json!({ "type": "integer", "minimum": 1, "maximum": 65535 })),
        Shape::Duration => or_variable(json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$" })),
        Shape::Size => json!({ "type": ["string", "integer"] }),
        Shape::Cpus => or_variable(json!({ "type": "number", "minimum": 0.01 })),
        Shape::Priority => or_variable(json!({ "type": "integer", "minimum": 0, "maximum": 1000 })),
        Shape::Number(least, most) => {
            or_variable(json!({ "type": "integer", "minimum": least, "maximum": most }))
        }
        Shape::Words(words) => {
            let either: Vec<String> = words.iter().map(|word| any_case(word)).collect();
            let pattern = format!("^({})$", either.join("|"));
            json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": pattern }, variable] })
        }
        Shape::Ip => text(),
        Shape::Ipv4 => or_variable(json!({ "type": "string", "format": "ipv4" })),
        Shape::Endpoint => text(),
        Shape::Subnet => or_variable(json!({ "type": "string", "pattern": "^[0-9.]+/[0-9]+$" })),
        Shape::Scalars => {
            json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
        }
        Shape::Limits => {
            let limit = || json!({ "type": "integer", "minimum": -1 });
            let both = json!({
                "type": "object", "properties": { "soft": limit(), "hard": limit() },
                "required": ["soft", "hard"], "additionalProperties": false,
            });
            let either = json!({ "anyOf": [limit(), both, variable] });
            let limits: Map<String, Value> =
                ULIMITS.iter().map(|name| ((*name).to_owned(), either.clone())).collect();
            json!({ "type": "object", "properties": limits, "additionalProperties": false })
        }
        Shape::Texts => json!({ "anyOf": [text(), { "type": "array", "items": text() }] }),
        Shape::Map(table) => mapping(table),
        Shape::Named(table) => {
            let mut listed = mapping(table);
            listed["properties"]["name"] = text();
            listed["required"] = json!(["name"]);
            json!({ "anyOf": [
                { "type": "object", "additionalProperties": mapping(table) },
                { "type": "array", "items": listed },
            ]})
        }
    }
}

/// Returns a pattern for a word in capitals or not.
fn any_case(word: &str) -> String {
    word.chars()
        .map(|c| match c.is_ascii_alphabetic() {
            true => format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase()),
            false => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::keys::DEFAULTS;
    use super::*;

    #[test]
    fn every_key_of_the_table_is_in_the_schema_with_its_description() {
        fn compare(table: &'static Table, schema: &Value) {
            let properties = schema["properties"].as_object().unwrap();
            for key in table.keys {
                let value = &properties[key.name];
                assert_eq!(value["description"], key.about);
                match key.shape {
                    Shape::Map(inner) => compare(inner, value),
                    Shape::Named(inner) => compare(inner, &value["anyOf"][0]["additionalProperties"]),
                    _ => {}
                }
            }
            assert_eq!(properties.len(), table.keys.len());
            assert_eq!(schema["additionalProperties"], false);
            assert!(table.later.iter().all(|key| !properties.contains_key(*key)));
        }
        compare(&FILE, &json_schema());
    }

    const REFERENCE_HEAD: &str = "# Topology: every key\n\n\
        Made from the table that the reader follows; `mgctl schema` gives the same to an editor, `mgctl validate --resolved` what a\n\
        file means with every default. Keys that begin with `x-` are yours, everywhere. A value may hold `${NAME}`, `${NAME:-default}`,\n\
        `${NAME:?text}` of the environment, and `$$` for a dollar sign.\n";

    fn what(shape: Shape) -> String {
        match shape {
            Shape::Text => "text".into(),
            Shape::Secret => "text, shown nowhere".into(),
            Shape::Bool => "true, false".into(),
            Shape::Port => "port".into(),
            Shape::Duration => "time, as `30s`".into(),
            Shape::Size => "size, as `512MiB`".into(),
            Shape::Cpus => "number, as `1.5`".into(),
            Shape::Priority => "0 to 1000".into(),
            Shape::Number(least, most) => format!("{least} to {most}"),
            Shape::Words(words) => words.join(", "),
            Shape::Ip => "address".into(),
            Shape::Ipv4 => "IPv4 address".into(),
            Shape::Subnet => "range".into(),
            Shape::Scalars => "names with a value each".into(),
            Shape::Texts => "text, or a list of them".into(),
            Shape::Limits => "limits with a number each, or `{ soft, hard }`".into(),
            Shape::Map(_) => "see below".into(),
            Shape::Endpoint => "an address with a port: host:port".into(),
            Shape::Named(_) => "names with such keys each, see below".into(),
        }
    }

    fn reference(table: &'static Table, path: &str, out: &mut String) {
        *out += &match path {
            "" => "\n## The file\n\n".to_owned(),
            path => format!("\n## `{path}`\n\n"),
        };
        *out += "| key | value | what it is |\n|---|---|---|\n";
        for key in table.keys {
            let about = key.about.replace('|', "\\|");
            *out += &format!("| `{}` | {} | {about} |\n", key.name, what(key.shape));
        }
        for key in table.keys {
            let below = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
            match key.shape {
                // They are the same for every node and for `defaults`.
                Shape::Map(_) if path.starts_with("instances") && DEFAULTS.get(key.name).is_some() => {}
                Shape::Map(inner) => reference(inner, &below, out),
                Shape::Named(inner) => reference(inner, &format!("{below}.NAME"), out),
                _ => {}
            }
        }
    }

    #[test]
    fn the_page_of_keys_is_that_of_the_table() {
        let mut text = REFERENCE_HEAD.to_owned();
        reference(&FILE, "", &mut text);
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/topology.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&page, &text).unwrap();
        }
        let written = std::fs::read_to_string(&page).unwrap_or_default();
        assert!(written == text, "UPDATE=1 cargo test rewrites {}", page.display());
    }
}
