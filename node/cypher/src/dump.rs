//! `DUMP DATABASE`: the graph as statements that make an equal one in an empty node.
//!
//! ```text
//! CREATE INDEX ON :`__mg_vertex__`(`__mg_id__`);
//! CREATE (:`__mg_vertex__`:`Person` {`__mg_id__`: 0, `name`: "Ada"});
//! MATCH (u:`__mg_vertex__`), (v:`__mg_vertex__`) WHERE u.`__mg_id__` = 0 AND v.`__mg_id__` = 1 CREATE (u)-[:`KNOWS`]->(v);
//! MATCH (u:`__mg_vertex__`) WHERE u.`__mg_id__` >= 0 AND u.`__mg_id__` < 16384 REMOVE u:`__mg_vertex__`, u.`__mg_id__`;
//! DROP INDEX ON :`__mg_vertex__`(`__mg_id__`);
//! CREATE INDEX ON :`Person`(`name`);
//! CREATE TRIGGER `count` ON () CREATE AFTER COMMIT EXECUTE UNWIND createdVertices AS v CREATE (:Made {id: id(v)});
//! ```
//!
//! Enums come first, since properties hold their values; indexes and constraints come behind the data, so that
//! they are built once, and triggers last, so that they do not run for what is dumped. Nothing is gathered: what a dump holds at once is
//! one batch of ids and one statement. A statement has a line break only where a name or a
//! trigger has one.

use crate::error::CypherError;
use crate::schema::index_owner;
use crate::temporal::temporal_text;
use mgnode_core::storage::Transaction;
use mgnode_core::types::{
    ConstraintKind, ConstraintSpec, Duration, EdgeId, EnumSpec, IndexSpec, Names, PropertyKeyId,
    TriggerEvent, TriggerSpec, Value, VertexId,
};
use std::fmt::Write;

/// Label that a vertex has while it travels.
const MARK: &str = "__mg_vertex__";

/// Property that edges find it by.
const MARK_ID: &str = "__mg_id__";

/// Ids that are looked up at once.
const BATCH: usize = 128;

/// As many ids have their mark taken off by one statement.
const WINDOW: u64 = 16_384;

/// A dump under way.
#[derive(Debug, Default)]
pub struct Dump {
    step: Step,
    vertices: Vec<VertexId>,
    edges: Vec<EdgeId>,
    at: usize,
    last_vertex: Option<VertexId>,
    last_edge: Option<EdgeId>,
    /// The end of the last window of ids that lost their marks.
    unmarked: u64,
    schema: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Begin,
    Enums,
    Vertices,
    Edges,
    Unmark,
    Schema,
}

impl Dump {
    /// Returns the next statement, with its semicolon, or None at the end. Each call is given the same transaction.
    ///
    /// # Errors
    /// What has no text in Cypher (bytes), and a graph that uses the names that a dump needs for itself.
    pub fn next(&mut self, tx: &Transaction) -> Result<Option<String>, CypherError> {
        loop {
            match self.step {
                Step::Begin => {
                    self.schema = tx.enums().iter().map(enumeration).collect();
                    self.schema.reverse();
                    self.step = Step::Enums;
                }
                Step::Enums => {
                    if let Some(statement) = self.schema.pop() {
                        return Ok(Some(statement));
                    }
                    self.step = Step::Vertices;
                    if tx.counts().vertices > 0 {
                        return Ok(Some(format!("CREATE INDEX ON :`{MARK}`(`{MARK_ID}`);")));
                    }
                }
                Step::Vertices => match self.next_vertex(tx) {
                    Some(id) => return vertex(id, tx).map(Some),
                    None => self.step = Step::Edges,
                },
                Step::Edges => match self.next_edge(tx) {
                    Some(id) => return edge(id, tx).map(Some),
                    None => {
                        self.last_vertex = None;
                        self.vertices.clear();
                        self.at = 0;
                        self.step = Step::Unmark;
                    }
                },
                Step::Unmark => match self.next_vertex(tx) {
                    Some(id) if id.0 < self.unmarked => {}
                    Some(id) => {
                        let from = id.0 - id.0 % WINDOW;
                        self.unmarked = from + WINDOW;
                        return Ok(Some(format!(
                            "MATCH (u:`{MARK}`) WHERE u.`{MARK_ID}` >= {from} AND u.`{MARK_ID}` < {} \
                             REMOVE u:`{MARK}`, u.`{MARK_ID}`;",
                            self.unmarked
                        )));
                    }
                    None => {
                        let names = tx.names();
                        self.schema = tx.indexes().iter().map(|spec| index(spec, names)).collect();
                        self.schema.extend(tx.constraints().iter().map(|spec| constraint(spec, names)));
                        self.schema.extend(tx.triggers().iter().map(|spec| trigger(spec)));
                        self.schema.reverse();
                        self.step = Step::Schema;
                        if self.last_vertex.is_some() {
                            return Ok(Some(format!("DROP INDEX ON :`{MARK}`(`{MARK_ID}`);")));
                        }
                    }
                },
                Step::Schema => return Ok(self.schema.pop()),
            }
        }
    }

    fn next_vertex(&mut self, tx: &Transaction) -> Option<VertexId> {
        if self.at == self.vertices.len() {
            self.vertices.clear();
            self.at = 0;
            tx.scan_vertices(self.last_vertex, BATCH, &mut self.vertices);
        }
        let id = *self.vertices.get(self.at)?;
        self.at += 1;
        self.last_vertex = Some(id);
        Some(id)
    }

    fn next_edge(&mut self, tx: &Transaction) -> Option<EdgeId> {
        if self.at >= self.edges.len() {
            self.edges.clear();
            self.at = 0;
            tx.scan_edges(self.last_edge, BATCH, &mut self.edges);
        }
        let id = *self.edges.get(self.at)?;
        self.at += 1;
        self.last_edge = Some(id);
        Some(id)
    }
}

fn vertex(id: VertexId, tx: &Transaction) -> Result<String, CypherError> {
    let names = tx.names();
    let mut labels: Vec<_> = tx.labels(id).into_iter().map(|label| names.label_name(label)).collect();
    labels.sort_unstable();
    let mut out = format!("CREATE (:`{MARK}`");
    for label in labels {
        if &*label == MARK {
            return Err(taken("label", MARK));
        }
        put(&mut out, format_args!(":{}", quoted(&label)));
    }
    put(&mut out, format_args!(" {{`{MARK_ID}`: {}", id.0));
    for (key, value) in sorted(tx.vertex_properties(id), names) {
        if &*key == MARK_ID {
            return Err(taken("property", MARK_ID));
        }
        put(&mut out, format_args!(", {}: ", quoted(&key)));
        literal(&value, &mut out).map_err(|kind| unwritable(kind, &key, format_args!("vertex {}", id.0)))?;
    }
    out.push_str("});");
    Ok(out)
}

fn edge(id: EdgeId, tx: &Transaction) -> Result<String, CypherError> {
    let names = tx.names();
    let info = tx.edge(id).expect("a scan finds what is there");
    let mut out = format!(
        "MATCH (u:`{MARK}`), (v:`{MARK}`) WHERE u.`{MARK_ID}` = {} AND v.`{MARK_ID}` = {} CREATE (u)-[:{}",
        info.from.0,
        info.to.0,
        quoted(&names.edge_type_name(info.edge_type))
    );
    let properties = sorted(tx.edge_properties(id), names);
    let is_bare = properties.is_empty();
    for (i, (key, value)) in properties.into_iter().enumerate() {
        put(&mut out, format_args!("{}{}: ", if i > 0 { ", " } else { " {" }, quoted(&key)));
        literal(&value, &mut out).map_err(|kind| unwritable(kind, &key, format_args!("edge {}", id.0)))?;
    }
    out.push_str(if is_bare { "]->(v);" } else { "}]->(v);" });
    Ok(out)
}

/// Properties in the order of their names, which is the same on every node.
fn sorted(properties: Vec<(PropertyKeyId, Value)>, names: &Names) -> Vec<(std::sync::Arc<str>, Value)> {
    let mut named: Vec<_> = properties.into_iter().map(|(key, value)| (names.key_name(key), value)).collect();
    named.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    named
}

fn index(spec: &IndexSpec, names: &Names) -> String {
    let word = if spec.is_of_edges() { "EDGE INDEX" } else { "INDEX" };
    let owner = quoted(&index_owner(spec, names));
    let keys: Vec<String> = spec.keys().iter().map(|key| quoted(&names.key_name(*key))).collect();
    let keys = if keys.is_empty() { String::new() } else { format!("({})", keys.join(", ")) };
    format!("CREATE {word} ON :{owner}{keys};")
}

fn constraint(spec: &ConstraintSpec, names: &Names) -> String {
    let label = quoted(&names.label_name(spec.label));
    let properties: Vec<String> =
        spec.properties.iter().map(|key| format!("u.{}", quoted(&names.key_name(*key)))).collect();
    let properties = properties.join(", ");
    match spec.kind {
        ConstraintKind::Exists => format!("CREATE CONSTRAINT ON (u:{label}) ASSERT EXISTS ({properties});"),
        ConstraintKind::Unique => format!("CREATE CONSTRAINT ON (u:{label}) ASSERT {properties} IS UNIQUE;"),
        ConstraintKind::Typed(kind) => {
            format!("CREATE CONSTRAINT ON (u:{label}) ASSERT {properties} IS TYPED {};", kind.word())
        }
    }
}

fn enumeration(spec: &EnumSpec) -> String {
    let values: Vec<String> = spec.values.iter().map(|value| quoted(value)).collect();
    format!("CREATE ENUM {} VALUES {{{}}};", quoted(&spec.name), values.join(", "))
}

fn trigger(spec: &TriggerSpec) -> String {
    let event = match spec.event {
        TriggerEvent::Any => String::new(),
        event => format!(" ON {}", event.words()),
    };
    format!("CREATE TRIGGER {}{event} {} EXECUTE {};", quoted(&spec.name), spec.phase.words(), spec.statement)
}

fn taken(what: &str, name: &str) -> CypherError {
    CypherError::statement(format!(
        "The graph uses the {what} `{name}`, by which a dump marks its vertices. Rename it, or take a backup with \
         `mgctl backup`."
    ))
}

fn unwritable(kind: &str, key: &str, owner: std::fmt::Arguments<'_>) -> CypherError {
    CypherError::statement(format!(
        "Property `{key}` of {owner} holds {kind}, which Cypher has no text for. Take a backup with `mgctl backup`, \
         which keeps it, or change the property."
    ))
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

/// Returns a name in backquotes, whatever is in it.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Writes a value as text that means the same value again; else its kind. Values of properties are nested no deeper
/// than storage allows.
fn literal(value: &Value, out: &mut String) -> Result<(), &'static str> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(v) => put(out, format_args!("{v}")),
        // Its digits alone are one more than the largest integer.
        Value::Int(i64::MIN) => out.push_str("(-9223372036854775807 - 1)"),
        Value::Int(v) => put(out, format_args!("{v}")),
        Value::Float(v) => float(*v, out),
        Value::String(v) => string(v, out),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                literal(item, out)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                put(out, format_args!("{}{}: ", if i > 0 { ", " } else { "" }, quoted(key)));
                literal(item, out)?;
            }
            out.push('}');
        }
        Value::Date(_) => call("date", value, out),
        Value::LocalTime(_) => call("localTime", value, out),
        Value::Time(_) => call("time", value, out),
        Value::LocalDateTime(_) => call("localDateTime", value, out),
        Value::DateTime(v) => match &v.zone {
            // Where a clock is set back, its time alone names two moments.
            Some(zone) => {
                put(
                    out,
                    format_args!(
                        "datetime({{epochSeconds: {}, nanosecond: {}, timezone: ",
                        v.seconds, v.nanos
                    ),
                );
                string(zone, out);
                out.push_str("})");
            }
            None => call("datetime", value, out),
        },
        Value::Duration(v) => duration(v, out),
        Value::Point(v) => {
            put(out, format_args!("point({{srid: {}, x: ", v.srid));
            float(v.x, out);
            out.push_str(", y: ");
            float(v.y, out);
            if let Some(z) = v.z {
                out.push_str(", z: ");
                float(z, out);
            }
            out.push_str("})");
        }
        Value::Enum(v) => put(out, format_args!("{}::{}", quoted(&v.enum_name), quoted(&v.value))),
        Value::Bytes(_) => return Err("bytes"),
        Value::Vertex(_) | Value::Edge(_) | Value::Path(_) => return Err("what is no property"),
    }
    Ok(())
}

fn call(function: &str, value: &Value, out: &mut String) {
    let text = temporal_text(value).expect("asked only for temporal values");
    put(out, format_args!("{function}(\"{text}\")"));
}

fn duration(v: &Duration, out: &mut String) {
    put(out, format_args!("duration(\"P{}M{}DT", v.months, v.days));
    let nanos = i128::from(v.seconds) * 1_000_000_000 + i128::from(v.nanos);
    let (seconds, fraction) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    put(out, format_args!("{}{seconds}", if nanos < 0 { "-" } else { "" }));
    if fraction != 0 {
        put(out, format_args!(".{fraction:09}"));
    }
    out.push_str("S\")");
}

fn float(v: f64, out: &mut String) {
    match v {
        v if v.is_nan() => out.push_str("(0.0 / 0.0)"),
        v if v.is_infinite() => out.push_str(if v > 0.0 { "(1.0 / 0.0)" } else { "(-1.0 / 0.0)" }),
        v => put(out, format_args!("{v:?}")),
    }
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Lines must not break where some reader of lines sees one.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                put(out, format_args!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
