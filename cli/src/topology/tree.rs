//! The YAML of a topology as one tree in which every key and value knows its place.
//!
//! serde stops at the first error; a tree is read once and then walked, so that all problems of a file are found
//! in one run. Duplicate keys stay in the tree, for the walk to refuse with both places. The text of a scalar is
//! kept as written: `1.10` does not become `1.1`, and `no` is a text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{
    DuplicateKeyPolicy, Location, MergeKeyPolicy, MessageFormatter, NonFiniteFloatPolicy, Spanned,
    UserMessageFormatter,
};

/// Deepest nesting. A topology needs five.
const DEPTH_MAX: usize = 32;

/// A part of the source: where it begins, and how many characters it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// Line, from 1.
    pub(super) line: u32,
    /// Column in characters, from 1.
    pub(super) column: u32,
    /// Length in characters; it may reach over the end of the line.
    pub(super) width: u32,
}

impl Span {
    /// Lines from here on are no lines of a file.
    const SETS: u32 = 1 << 31;

    /// Returns the place of what the `index`th `--set` says.
    pub(super) fn of_set(index: usize) -> Span {
        Span { line: Span::SETS + u32::try_from(index).unwrap_or(0), column: 0, width: 0 }
    }

    /// Returns which `--set` it is the place of, if it is of one.
    pub(super) fn set(self) -> Option<usize> {
        Some(self.line.checked_sub(Span::SETS)? as usize)
    }
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Span,
}

/// What stands there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`, and nothing else.
    Bool(bool),
    /// A number without quotes, as written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values in their order; a key may stand there twice.
    Map(Vec<(Node, Node)>),
}

impl Value {
    /// Names the kind of value, for "must be a number, got a list".
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Returns the text of a scalar as written.
    pub(super) fn scalar(&self) -> Option<&str> {
        match self {
            Value::Bool(true) => Some("true"),
            Value::Bool(false) => Some("false"),
            Value::Number(text) | Value::Text(text) => Some(text),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }
}

/// Why a text is no YAML, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) message: String,
    pub(super) span: Span,
}

/// Reads `text` into a tree, or says where it stops to be YAML. An empty text is [`Value::Null`].
pub(super) fn read(text: &str) -> Result<Node, SyntaxError> {
    let budget = serde_yaml::budget! { max_depth: DEPTH_MAX };
    let options = serde_yaml::options! {
        strict_booleans: true,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Merge,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
        budget: budget,
    };
    let mut node: Node = serde_yaml::from_str_with_options(text, options).map_err(|error| {
        let span = error.location().map(|at| span(&at)).unwrap_or_default();
        SyntaxError { message: message(&error), span }
    })?;
    let lines: Vec<&str> = text.lines().collect();
    keep_spelling(&mut node, &lines);
    Ok(node)
}

/// Returns the message without the place, which is shown apart.
fn message(error: &serde_yaml::Error) -> String {
    let text = UserMessageFormatter.format_message(error.without_snippet());
    text.lines().next().unwrap_or("").trim().to_owned()
}

fn span(location: &Location) -> Span {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Span {
        line: number(location.line()),
        column: number(location.column()),
        width: number(location.span().len()),
    }
}

/// Gives numbers back the spelling of the source: the parser hands out their value only.
fn keep_spelling(root: &mut Node, lines: &[&str]) {
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        match &mut node.value {
            Value::Number(text) => {
                let line = lines.get(node.span.line.saturating_sub(1) as usize).copied().unwrap_or("");
                let column = node.span.column.saturating_sub(1) as usize;
                let written: String = line.chars().skip(column).take(node.span.width as usize).collect();
                if !written.is_empty() {
                    *text = written;
                }
            }
            Value::List(items) => open.extend(items),
            Value::Map(entries) => {
                for (key, value) in entries {
                    open.push(key);
                    open.push(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Text(_) => {}
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Node { span: span(&spanned.defined), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(node: &Node, out: &mut Vec<(String, u32, u32, u32)>) {
        match &node.value {
            Value::Map(entries) => entries.iter().for_each(|(key, value)| {
                spans(key, out);
                spans(value, out);
            }),
            Value::List(items) => items.iter().for_each(|item| spans(item, out)),
            value => {
                let text = value.scalar().unwrap_or("~").to_owned();
                out.push((text, node.span.line, node.span.column, node.span.width));
            }
        }
    }

    #[test]
    fn every_key_and_value_knows_its_place() {
        let mut found = Vec::new();
        spans(&read("prot: 1\nfoo: { \"é\": zz, port: seven }\nfoo: [x]\n").unwrap(), &mut found);
        let found: Vec<(&str, u32, u32, u32)> = found.iter().map(|f| (f.0.as_str(), f.1, f.2, f.3)).collect();
        assert_eq!(
            found,
            [
                ("prot", 1, 1, 4),
                ("1", 1, 7, 1),
                ("foo", 2, 1, 3),
                ("é", 2, 8, 3),
                ("zz", 2, 13, 2),
                ("port", 2, 17, 4),
                ("seven", 2, 23, 5),
                ("foo", 3, 1, 3),
                ("x", 3, 7, 1),
            ]
        );
    }

    #[test]
    fn scalars_keep_their_spelling() {
        let text =
            "[no, yes, on, 1.10, 080, 0o17, 1e3, \"7\", true, ~, 2001-01-01, .nan, 12345678901234567890123]";
        let Value::List(items) = read(text).unwrap().value else { panic!("a list") };
        let kinds: Vec<(&str, &str)> =
            items.iter().map(|i| (i.value.kind(), i.value.scalar().unwrap_or("~"))).collect();
        assert_eq!(
            kinds,
            [
                ("a text", "no"),
                ("a text", "yes"),
                ("a text", "on"),
                ("a number", "1.10"),
                ("a number", "080"),
                ("a number", "0o17"),
                ("a number", "1e3"),
                ("a text", "7"),
                ("a boolean", "true"),
                ("nothing", "~"),
                ("a text", "2001-01-01"),
                ("a text", ".nan"),
                ("a number", "12345678901234567890123"),
            ]
        );
    }

    #[test]
    fn anchors_are_followed_and_merged() {
        let node = read("x-a: &a { image: i:1.10 }\nb: { <<: *a, c: 1 }\n").unwrap();
        let mut found = Vec::new();
        spans(&node, &mut found);
        let texts: Vec<&str> = found.iter().map(|f| f.0.as_str()).collect();
        assert_eq!(texts, ["x-a", "image", "i:1.10", "b", "c", "1", "image", "i:1.10"]);
    }

    #[test]
    fn deep_and_exploding_input_is_refused() {
        assert!(read(&"[".repeat(100_000)).is_err());
        assert!(read(&format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1))).is_err());
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let m = n - 1;
            bomb += &format!("a{n}: &a{n} [*a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}]\n");
        }
        assert!(read(&bomb).is_err());
    }
}
