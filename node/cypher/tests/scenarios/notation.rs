//! Values as the TCK writes them, in one canonical spelling: labels and keys sorted.

use mgnode_core::storage::Transaction;
use mgnode_core::types::{EdgeId, PropertyKeyId, Value, VertexId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Spells a value that a query returned. `loose`: lists as bags.
pub(crate) fn actual(v: &Value, tx: &Transaction, loose: bool) -> String {
    match v {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => float(*f),
        Value::String(s) => quoted(s),
        Value::List(items) => list(items.iter().map(|i| actual(i, tx, loose)).collect(), loose),
        Value::Map(map) => entries(map.iter().map(|(k, i)| (k.to_string(), actual(i, tx, loose))).collect()),
        Value::Vertex(id) => vertex(*id, tx),
        Value::Edge(id) => edge(*id, tx),
        Value::Path(p) => {
            let mut out = format!("<{}", vertex(p.start, tx));
            for step in &p.steps {
                let (left, right) = if step.forward { ("-", "->") } else { ("<-", "-") };
                out += &format!("{left}{}{right}{}", edge(step.edge, tx), vertex(step.to, tx));
            }
            out + ">"
        }
        other => match mgcypher::value::temporal_text(other) {
            Some(text) => quoted(&text),
            None => format!("{other:?}"),
        },
    }
}

fn float(f: f64) -> String {
    // Zero has no sign where numbers are compared.
    if f.is_nan() { "NaN".into() } else { format!("{:?}", if f == 0.0 { 0.0 } else { f }) }
}

fn quoted(s: &str) -> String {
    format!("{s:?}")
}

fn list(mut items: Vec<String>, loose: bool) -> String {
    if loose {
        items.sort();
    }
    format!("[{}]", items.join(", "))
}

fn entries(map: BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = map.into_iter().map(|(k, v)| format!("{k}: {v}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn properties(pairs: Vec<(PropertyKeyId, Value)>, tx: &Transaction) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    entries(
        pairs.into_iter().map(|(k, v)| (tx.names().key_name(k).to_string(), actual(&v, tx, false))).collect(),
    )
}

fn element(mut labels: Vec<String>, properties: String) -> String {
    labels.sort();
    let labels: String = labels.iter().map(|l| format!(":{l}")).collect();
    if properties.is_empty() {
        labels
    } else if labels.is_empty() {
        properties
    } else {
        format!("{labels} {properties}")
    }
}

fn vertex(id: VertexId, tx: &Transaction) -> String {
    let labels = tx.labels(id).into_iter().map(|l| tx.names().label_name(l).to_string()).collect();
    format!("({})", element(labels, properties(tx.vertex_properties(id), tx)))
}

fn edge(id: EdgeId, tx: &Transaction) -> String {
    let labels =
        tx.edge(id).map(|e| tx.names().edge_type_name(e.edge_type).to_string()).into_iter().collect();
    format!("[{}]", element(labels, properties(tx.edge_properties(id), tx)))
}

/// Reads a value as the TCK writes it, and spells it canonically.
pub(crate) fn expected(text: &str, loose: bool) -> Result<String, String> {
    let mut r = Reader { rest: text.trim(), loose };
    let out = r.value()?;
    if r.rest.is_empty() { Ok(out) } else { Err(format!("cannot read {text:?} at {:?}", r.rest)) }
}

/// Reads a parameter.
pub(crate) fn parameter(text: &str) -> Result<Value, String> {
    let mut r = Reader { rest: text.trim(), loose: false };
    r.literal()
}

struct Reader<'a> {
    rest: &'a str,
    loose: bool,
}

impl<'a> Reader<'a> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, token: &str) -> Result<(), String> {
        if self.eat(token) { Ok(()) } else { Err(format!("expected {token:?} at {:?}", self.rest)) }
    }

    fn word(&mut self) -> &'a str {
        self.skip();
        if let Some(inner) = self.rest.strip_prefix('`')
            && let Some(end) = inner.find('`')
        {
            self.rest = &inner[end + 1..];
            return &inner[..end];
        }
        let end = self
            .rest
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '+' | '-')))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn name(&mut self) -> &'a str {
        self.skip();
        if self.rest.starts_with('`') {
            return self.word();
        }
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn string(&mut self) -> Result<String, String> {
        let mut out = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(out);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, c)) => out.push(c),
                    None => break,
                },
                c => out.push(c),
            }
        }
        Err("a string without end".into())
    }

    fn value(&mut self) -> Result<String, String> {
        self.skip();
        match self.rest.chars().next() {
            Some('\'') => Ok(quoted(&self.string()?)),
            Some('(') => self.node(),
            Some('<') => {
                self.need("<")?;
                let mut out = format!("<{}", self.node()?);
                while !self.eat(">") {
                    let back = self.eat("<-");
                    if !back {
                        self.need("-")?;
                    }
                    let edge = self.relationship()?;
                    let forward = self.eat("->");
                    if !forward {
                        self.need("-")?;
                    }
                    let (left, right) = if back { ("<-", "-") } else { ("-", "->") };
                    out += &format!("{left}{edge}{right}{}", self.node()?);
                }
                Ok(out + ">")
            }
            Some('[') if self.rest[1..].trim_start().starts_with(':') => self.relationship(),
            Some('[') => {
                self.need("[")?;
                let mut items = Vec::new();
                while !self.eat("]") {
                    items.push(self.value()?);
                    self.eat(",");
                }
                Ok(list(items, self.loose))
            }
            Some('{') => Ok(entries(self.map()?)),
            _ => match self.literal()? {
                Value::Float(f) => Ok(float(f)),
                Value::Int(i) => Ok(i.to_string()),
                Value::Bool(b) => Ok(b.to_string()),
                _ => Ok("null".into()),
            },
        }
    }

    fn map(&mut self) -> Result<BTreeMap<String, String>, String> {
        self.need("{")?;
        let mut map = BTreeMap::new();
        while !self.eat("}") {
            let key = self.name().to_owned();
            self.need(":")?;
            map.insert(key, self.value()?);
            self.eat(",");
        }
        Ok(map)
    }

    fn inside(&mut self, end: &str) -> Result<String, String> {
        let mut labels = Vec::new();
        while self.eat(":") {
            labels.push(self.name().to_owned());
        }
        self.skip();
        let map = if self.rest.starts_with('{') { self.map()? } else { BTreeMap::new() };
        self.need(end)?;
        Ok(element(labels, if map.is_empty() { String::new() } else { entries(map) }))
    }

    fn node(&mut self) -> Result<String, String> {
        self.need("(")?;
        Ok(format!("({})", self.inside(")")?))
    }

    fn relationship(&mut self) -> Result<String, String> {
        self.need("[")?;
        Ok(format!("[{}]", self.inside("]")?))
    }

    fn literal(&mut self) -> Result<Value, String> {
        self.skip();
        match self.rest.chars().next() {
            Some('\'') => Ok(Value::string(self.string()?)),
            Some('[') => {
                self.need("[")?;
                let mut items = Vec::new();
                while !self.eat("]") {
                    items.push(self.literal()?);
                    self.eat(",");
                }
                Ok(Value::list(items))
            }
            Some('{') => {
                self.need("{")?;
                let mut map = BTreeMap::new();
                while !self.eat("}") {
                    let key: Arc<str> = self.name().into();
                    self.need(":")?;
                    map.insert(key, self.literal()?);
                    self.eat(",");
                }
                Ok(Value::Map(Arc::new(map)))
            }
            _ => match self.word() {
                "null" => Ok(Value::Null),
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                "NaN" => Ok(Value::Float(f64::NAN)),
                "Inf" | "Infinity" => Ok(Value::Float(f64::INFINITY)),
                "-Inf" | "-Infinity" => Ok(Value::Float(f64::NEG_INFINITY)),
                word => word
                    .parse()
                    .map(Value::Int)
                    .or_else(|_| word.parse().map(Value::Float))
                    .map_err(|_| format!("no value: {word:?} before {:?}", self.rest)),
            },
        }
    }
}
