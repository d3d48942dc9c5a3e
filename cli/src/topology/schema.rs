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
}
