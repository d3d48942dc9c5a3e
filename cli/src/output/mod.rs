//! What verbs answer with `-o json`, as published: an envelope around the data of a kind, and the lines of
//! `--progress json`.
//!
//! [`KINDS`] declares the data of every kind. `mgctl schema VERB` publishes it as JSON Schema, and a build with debug
//! assertions holds everything that it answers against it ([`complaint`]): no test can see an answer that is otherwise
//! than what is published.
//!
//! Within `mgctl/v1` keys may be added to the data of a kind, by a newer mgctl; none is taken away, and none changes its
//! type. A schema describes the answers of the mgctl that prints it, and allows no key that it does not name.

mod check;
mod kinds;
mod shape;

use serde_json::{Map, Value, json};

pub use check::check;
pub use kinds::{KINDS, Kind, WITHOUT};

use crate::topology::json_schema;
use shape::{integer, list, maybe, number, object, text, with, words};

/// Version of the envelope and of all that is in it, and of the lines of `--progress json`.
pub const VERSION: &str = "mgctl/v1";

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Returns the schema of every answer: one of the kinds, or an error.
pub fn schema() -> Value {
    let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    of_kinds("What a verb of mgctl answers with -o json", &names)
}

/// Returns the schema of what one verb answers, `None` where it answers nothing with an envelope.
pub fn schema_of(verb: &str) -> Option<Value> {
    let names: Vec<&str> = KINDS.iter().filter(|k| k.verbs.contains(&verb)).map(|k| k.name).collect();
    if names.is_empty() {
        return None;
    }
    Some(of_kinds(&format!("What mgctl {verb} answers with -o json"), &names))
}

/// Returns the schema of a line of `--progress json`.
pub fn progress_schema() -> Value {
    let line = |kind: &str, about: &str, keys: Value| {
        let mut schema = with(
            object([("apiVersion", json!({ "const": VERSION })), ("kind", json!({ "const": kind }))]),
            keys,
        );
        schema["description"] = json!(about);
        (kind.to_owned(), schema)
    };
    let step = object([
        ("step", text("what is done, in a word: `start`, `register`, `backup`")),
        ("subject", text("to what: a node, a file, a replica with its mode")),
        ("state", words(&["started", "running", "done", "failed", "interrupted"])),
        ("detail", text("what came of it, or how it goes on; empty when it starts")),
        ("seconds", number("since it was started")),
    ]);
    let problem = object([("severity", words(&["error", "warning"])), ("problem", reference("problem"))]);
    let query = object([("node", text("to whom")), ("query", text("its text"))]);
    let mut definitions: Map<String, Value> = [
        line("Progress", "a step of work that begins, goes on or ends", step),
        line("Message", "something that is said", object([("text", text("in words"))])),
        line(
            "Problem",
            "something that is wrong; with -o json an error is a result, on standard output",
            problem,
        ),
        line("Query", "a query that is sent to a node, with --print-queries", query),
    ]
    .into_iter()
    .collect();
    let either: Vec<Value> = definitions.keys().map(|name| reference(name)).collect();
    definitions.insert("problem".into(), shape::problem());
    json!({
        "$schema": DIALECT, "title": "A line of mgctl --progress json on standard error", "oneOf": either,
        "$defs": definitions,
    })
}

/// Returns what is otherwise in a line of `--progress json` than its published schema says.
pub fn complaint_of_line(line: &Value) -> Option<String> {
    let schema = progress_schema();
    let name = line["kind"].as_str().unwrap_or_default();
    if name == "problem" || schema["$defs"].get(name).is_none() {
        return Some(format!("kind `{name}` is not published"));
    }
    check(&schema, &reference(name), line).err().map(|why| format!("{name}: {why}"))
}

fn of_kinds(title: &str, names: &[&str]) -> Value {
    let kinds = KINDS.iter().filter(|kind| names.contains(&kind.name));
    let mut definitions: Map<String, Value> =
        kinds.map(|kind| (kind.name.to_owned(), envelope(kind))).collect();
    let either: Vec<Value> = definitions.keys().map(String::as_str).chain(["Error"]).map(reference).collect();
    definitions.insert("Error".into(), error());
    definitions.insert("problem".into(), shape::problem());
    if names.contains(&"Topology") {
        let mut topology = json_schema();
        if let Some(keys) = topology.as_object_mut() {
            keys.shift_remove("$schema");
        }
        definitions.insert("topology".into(), topology);
    }
    json!({ "$schema": DIALECT, "title": title, "oneOf": either, "$defs": definitions })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn envelope(kind: &Kind) -> Value {
    let mut schema = object([
        ("apiVersion", json!({ "const": VERSION })),
        ("kind", json!({ "const": kind.name })),
        ("cluster", maybe(text("name of the cluster that it is about"))),
        ("ok", json!({ "type": "boolean", "description": "whether what was asked for is true now" })),
        ("data", (kind.data)()),
        ("warnings", list(reference("problem"))),
    ]);
    schema["description"] = json!(kind.about);
    schema
}

fn error() -> Value {
    let mut schema = object([
        ("apiVersion", json!({ "const": VERSION })),
        ("kind", json!({ "const": "Error" })),
        ("cluster", json!({ "type": "null" })),
        ("ok", json!({ "const": false })),
        ("exit", integer("the exit code")),
        ("error", reference("problem")),
        ("errors", list(reference("problem"))),
        ("warnings", list(reference("problem"))),
    ]);
    schema["description"] = json!("what kept a verb from its work; the first of `errors` is `error`");
    schema
}

/// Returns what is otherwise in an answer than its published schema says, `None` where nothing is.
pub fn complaint(answer: &Value) -> Option<String> {
    let name = answer["kind"].as_str().unwrap_or_default();
    if name != "Error" && KINDS.iter().all(|kind| kind.name != name) {
        return Some(format!("kind `{name}` is not published"));
    }
    let schema = of_kinds("", &[name]);
    check(&schema, &reference(name), answer).err().map(|why| format!("{name}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    #[test]
    fn no_verb_is_without_a_schema_and_no_schema_without_a_verb() {
        let verbs: BTreeSet<String> =
            Cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        for verb in &verbs {
            let has_one = schema_of(verb).is_some();
            let is_without = WITHOUT.iter().any(|(name, _)| name == verb);
            assert!(has_one != is_without, "{verb}: {has_one} {is_without}");
        }
        for kind in KINDS {
            for verb in kind.verbs {
                assert!(verbs.contains(*verb), "{}: there is no verb `{verb}`", kind.name);
            }
        }
        let names: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), KINDS.len(), "a kind is declared twice");
    }

    #[test]
    fn every_verb_that_can_be_tried_out_answers_a_plan_or_its_own_kind() {
        let plan = KINDS.iter().find(|kind| kind.name == "Plan").unwrap();
        for verb in Cli::command().get_subcommands() {
            let has_dry_run = verb.get_arguments().any(|arg| arg.get_id() == "dry_run");
            let own = ["import", "restore", "diff", "doctor"].contains(&verb.get_name());
            if !own {
                assert_eq!(plan.verbs.contains(&verb.get_name()), has_dry_run, "{}", verb.get_name());
            }
        }
    }

    /// Every object says all of its keys; what is in the topology follows its own table.
    #[test]
    fn every_object_is_closed() {
        fn closed(path: &str, value: &Value) {
            if let Some(map) = value.as_object() {
                // A key of the data may be called so, too.
                if map.contains_key("properties") && map.get("type") == Some(&json!("object")) {
                    assert_eq!(map.get("additionalProperties"), Some(&json!(false)), "{path}");
                }
                for (key, value) in map.iter().filter(|(key, _)| *key != "topology" || path != "/$defs") {
                    closed(&format!("{path}/{key}"), value);
                }
            }
            for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                closed(&format!("{path}/{index}"), value);
            }
        }
        closed("", &schema());
        closed("", &progress_schema());
    }

    #[test]
    fn an_answer_that_is_otherwise_is_found() {
        let answer = |data: Value| {
            json!({ "apiVersion": VERSION, "kind": "SetMode", "cluster": "demo", "ok": true, "data": data,
                "warnings": [] })
        };
        let told = |data: Value| complaint(&answer(data));
        assert_eq!(told(json!({ "node": "r1", "mode": "SYNC", "changed": true })), None);
        let missing = told(json!({ "node": "r1", "mode": "SYNC" })).unwrap();
        assert_eq!(missing, "SetMode: /data: `changed` is missing");
        let extra = told(json!({ "node": "r1", "mode": "SYNC", "changed": true, "more": 1 })).unwrap();
        assert_eq!(extra, "SetMode: /data: `more` is not named");
        let wrong = told(json!({ "node": 1, "mode": "SYNC", "changed": true })).unwrap();
        assert_eq!(wrong, "SetMode: /data/node: 1 is no string");
        let word = told(json!({ "node": "r1", "mode": "MAYBE", "changed": true })).unwrap();
        assert_eq!(word, "SetMode: /data/mode: \"MAYBE\" is none of [\"SYNC\",\"ASYNC\",\"STRICT_SYNC\"]");
        assert_eq!(complaint(&json!({ "kind": "Other" })).unwrap(), "kind `Other` is not published");
    }
}
