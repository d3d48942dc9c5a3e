//! A graph as Cypher statements, a line each, in an order in which any server of this kind can run them.
//!
//! ```text
//! CREATE INDEX ON :`__mg_vertex__`(`__mg_id__`);
//! UNWIND [[0, "Ada"], [1, "Alan"]] AS r CREATE (:`__mg_vertex__`:`Person` {`__mg_id__`: r[0], `name`: r[1]});
//! UNWIND [[0, 1, 1936]] AS r MATCH (a:`__mg_vertex__` {`__mg_id__`: r[0]}), (b:`__mg_vertex__` {`__mg_id__`: r[1]})
//!     CREATE (a)-[:`KNOWS` {`since`: r[2]}]->(b);
//! MATCH (n:`__mg_vertex__`) WHERE n.`__mg_id__` >= 0 AND n.`__mg_id__` < 16384 REMOVE n:`__mg_vertex__`, n.`__mg_id__`;
//! DROP INDEX ON :`__mg_vertex__`(`__mg_id__`);
//! CREATE INDEX ON :`Person`(`name`);
//! ```
//!
//! Vertices with the same labels and keys share a statement, and so do edges of one type with the same keys. What
//! waits for its statement to fill is bounded; indexes and constraints come last, so that they are built once.
//!
//! On the way to a server the rows are a parameter instead, `UNWIND $rows AS r`, in PackStream: it need not read them
//! as Cypher, and knows the statement already. See [`Form`].

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use mgbolt::{Encoder, PackValue, Version};

use super::literal::{self, Unwritable, name};
use super::{Edge, Vertex};
use crate::query::Statement;

/// Label that a vertex has while it travels.
pub const MARK: &str = "__mg_vertex__";

/// Property that edges find it by.
pub const MARK_ID: &str = "__mg_id__";

/// Most rows of one statement.
const ROWS_MAX: usize = 1000;

/// A statement with so many bytes is full.
const STATEMENT_BYTES: usize = 128 << 10;

/// As much waits, at most, for statements to fill.
const WAITING_BYTES: usize = 8 << 20;

/// As many ids, at most, have their mark taken off by one statement.
const WINDOW_BITS: u32 = 14;

/// How rows travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// In the text of the statement, which says all of it.
    #[default]
    Text,
    /// As a parameter of the statement, where every value of a row means the same there to every server; else as text.
    Parameter,
}

/// Rows that one statement makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    shape: Arc<Shape>,
    rows: Rows,
    /// Line that each row comes from; 0 where it comes from none.
    lines: Vec<u32>,
}

/// What the rows of a statement have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Shape {
    kind: Kind<String>,
    keys: Vec<String>,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind<L> {
    Vertex(Vec<L>),
    Edge(L),
}

/// Rows after each other, and where each of them ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rows {
    /// Text, or PackStream.
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Makes statements of vertices and edges. All vertices come before the first edge.
#[derive(Debug, Default)]
pub struct Writer {
    form: Form,
    groups: Vec<Group>,
    /// Where the group of a shape is.
    found: HashMap<Arc<Shape>, usize>,
    /// The group of the last row: most often the next one's, too.
    last: usize,
    waiting: usize,
    /// How many vertices are marked with ids of each window.
    windows: BTreeMap<i64, u32>,
}

impl Rows {
    fn range(&self, index: usize) -> std::ops::Range<usize> {
        let from = if index == 0 { 0 } else { self.ends[index - 1] };
        from..self.ends[index]
    }

    /// How much memory they take.
    fn size(&self) -> usize {
        self.bytes.len() + size_of_val(self.ends.as_slice())
    }
}

impl Group {
    /// Returns the statement, without a semicolon. Rows that are a parameter are not in it.
    pub fn text(&self) -> String {
        self.text_of(0..self.len())
    }

    /// Returns the statement for one of its rows.
    pub fn row_text(&self, index: usize) -> String {
        self.text_of(index..index + 1)
    }

    /// Makes a statement of [`Group::text`].
    pub fn statement<'a>(&'a self, text: &'a str) -> Statement<'a> {
        let rows = (self.shape.form == Form::Parameter).then(|| (self.len(), self.rows.bytes.as_slice()));
        Statement { text, rows }
    }

    /// Makes a statement of [`Group::row_text`].
    pub fn row_statement<'a>(&'a self, text: &'a str, index: usize) -> Statement<'a> {
        let row = || (1, &self.rows.bytes[self.rows.range(index)]);
        Statement { text, rows: (self.shape.form == Form::Parameter).then(row) }
    }

    /// Returns how many rows it has.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Returns true if it has no row.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns the line that a row comes from.
    pub fn line(&self, index: usize) -> u32 {
        self.lines[index]
    }

    /// Returns about how much memory it takes.
    pub fn size(&self) -> usize {
        self.rows.size() + size_of_val(self.lines.as_slice()) + size_of::<Group>() + self.shape.size()
    }

    /// Returns how many vertices and how many edges it makes.
    pub fn makes(&self) -> (u64, u64) {
        match self.shape.kind {
            Kind::Vertex(_) => (self.len() as u64, 0),
            Kind::Edge(_) => (0, self.len() as u64),
        }
    }

    fn text_of(&self, rows: std::ops::Range<usize>) -> String {
        let mut out = String::with_capacity(256);
        match self.shape.form {
            Form::Parameter => put(&mut out, format_args!("UNWIND ${}", Statement::ROWS)),
            Form::Text => {
                let text = std::str::from_utf8(&self.rows.bytes).expect("they were written as text");
                out.reserve(text.len() + 2 * rows.len());
                out.push_str("UNWIND [");
                for index in rows.clone() {
                    out.push_str(if index > rows.start { ", " } else { "" });
                    out.push_str(&text[self.rows.range(index)]);
                }
                out.push(']');
            }
        }
        out.push_str(" AS r ");
        let mark = |variable: &str, at: usize| format!("({variable}:`{MARK}` {{`{MARK_ID}`: r[{at}]}})");
        let keys = &self.shape.keys;
        match &self.shape.kind {
            Kind::Vertex(labels) => {
                put(&mut out, format_args!("CREATE (:`{MARK}`"));
                labels.iter().for_each(|label| put(&mut out, format_args!(":{}", name(label))));
                put(&mut out, format_args!(" {{`{MARK_ID}`: r[0]"));
                for (i, key) in keys.iter().enumerate() {
                    put(&mut out, format_args!(", {}: r[{}]", name(key), i + 1));
                }
                out.push_str("})");
            }
            Kind::Edge(kind) => {
                put(&mut out, format_args!("MATCH {}, {} ", mark("a", 0), mark("b", 1)));
                put(&mut out, format_args!("CREATE (a)-[:{}", name(kind)));
                for (i, key) in keys.iter().enumerate() {
                    let before = if i > 0 { ", " } else { " {" };
                    put(&mut out, format_args!("{before}{}: r[{}]", name(key), i + 2));
                }
                out.push_str(if keys.is_empty() { "]->(b)" } else { "}]->(b)" });
            }
        }
        out
    }
}

impl Shape {
    /// How much memory it takes. Groups may share it: it counts for each of them.
    fn size(&self) -> usize {
        let size = |text: &String| size_of::<String>() + text.len();
        let names = match &self.kind {
            Kind::Vertex(labels) => labels.iter().map(size).sum(),
            Kind::Edge(kind) => size(kind),
        };
        size_of::<Shape>() + names + self.keys.iter().map(size).sum::<usize>()
    }

    fn is<L: AsRef<str>, V>(&self, kind: &Kind<L>, properties: &[(&str, V)], form: Form) -> bool {
        let is_kind = match (&self.kind, kind) {
            (Kind::Edge(a), Kind::Edge(b)) => a == b.as_ref(),
            (Kind::Vertex(a), Kind::Vertex(b)) => a.iter().eq(b.iter().map(AsRef::as_ref)),
            _ => false,
        };
        is_kind && self.form == form && self.keys.iter().eq(properties.iter().map(|(key, _)| *key))
    }

    fn of<L: AsRef<str>, V>(kind: &Kind<L>, properties: &[(&str, V)], form: Form) -> Shape {
        let owned = |text: &L| text.as_ref().to_owned();
        let kind = match kind {
            Kind::Vertex(labels) => Kind::Vertex(labels.iter().map(owned).collect()),
            Kind::Edge(kind) => Kind::Edge(owned(kind)),
        };
        Shape { kind, keys: properties.iter().map(|(key, _)| (*key).to_owned()).collect(), form }
    }
}

impl Writer {
    /// Returns the statements that come before the first vertex.
    pub fn before() -> Vec<String> {
        vec![format!("CREATE INDEX ON :`{MARK}`(`{MARK_ID}`)")]
    }

    /// Makes a writer whose rows travel in that form.
    pub fn new(form: Form) -> Writer {
        Writer { form, ..Writer::default() }
    }

    /// Adds a vertex, and returns the statements that are full now.
    ///
    /// # Errors
    ///
    /// A property that Cypher has no text for: its name and kind.
    pub fn vertex(&mut self, vertex: &Vertex) -> Result<Vec<Group>, (String, Unwritable)> {
        let labels = vertex.labels.iter().map(String::as_str).collect();
        self.vertex_row(vertex.id, labels, vertex.properties.iter().collect(), 0)
    }

    /// As [`Writer::vertex`], of its parts and the line that it comes from.
    pub fn vertex_row<V: Borrow<PackValue>>(
        &mut self,
        id: i64,
        labels: Vec<&str>,
        properties: Vec<(&str, V)>,
        line: u32,
    ) -> Result<Vec<Group>, (String, Unwritable)> {
        let full = self.add(&Kind::Vertex(labels), &[id], properties, line)?;
        *self.windows.entry(id >> WINDOW_BITS).or_default() += 1;
        Ok(full)
    }

    /// Adds an edge, and returns the statements that are full now.
    ///
    /// # Errors
    ///
    /// As for [`Writer::vertex`].
    pub fn edge(&mut self, edge: &Edge) -> Result<Vec<Group>, (String, Unwritable)> {
        self.edge_row([edge.start, edge.end], &edge.kind, edge.properties.iter().collect(), 0)
    }

    /// As [`Writer::edge`], of its parts and the line that it comes from.
    pub fn edge_row<V: Borrow<PackValue>>(
        &mut self,
        ends: [i64; 2],
        kind: &str,
        properties: Vec<(&str, V)>,
        line: u32,
    ) -> Result<Vec<Group>, (String, Unwritable)> {
        self.add(&Kind::Edge(kind), &ends, properties, line)
    }

    /// Returns what still waits. To be called between vertices and edges, and after the edges.
    pub fn flush(&mut self) -> Vec<Group> {
        self.waiting = 0;
        self.found.clear();
        let mut groups: Vec<Group> = self.groups.drain(..).filter(|group| !group.is_empty()).collect();
        // The same graph is always the same text.
        groups.sort_by(|a, b| a.rows.cmp(&b.rows));
        groups
    }

    /// Returns the statements that take the marks off, after the last edge.
    pub fn after(&self) -> Vec<String> {
        self.by_windows(&format!("REMOVE n:`{MARK}`, n.`{MARK_ID}`"))
    }

    /// Returns statements that do the same by themselves, whatever is marked: few, for a person to run.
    pub fn after_by_hand() -> Vec<String> {
        vec![
            format!("MATCH (n:`{MARK}`) REMOVE n:`{MARK}`, n.`{MARK_ID}`"),
            format!("DROP INDEX ON :`{MARK}`(`{MARK_ID}`)"),
        ]
    }

    /// Returns the statements that remove every marked vertex with its edges, and so all that was made of this.
    pub fn undo(&self) -> Vec<String> {
        self.by_windows("DETACH DELETE n")
    }

    /// Returns statements that do the same by themselves, as [`Writer::after_by_hand`].
    pub fn undo_by_hand() -> Vec<String> {
        vec![format!("MATCH (n:`{MARK}`) DETACH DELETE n"), format!("DROP INDEX ON :`{MARK}`(`{MARK_ID}`)")]
    }

    fn by_windows(&self, action: &str) -> Vec<String> {
        let mut statements = Vec::new();
        let mut windows = self.windows.iter().peekable();
        while let Some((first, count)) = windows.next() {
            let (mut last, mut count) = (*first, *count);
            // Ids far apart share a statement, as long as it stays small.
            while let Some((next, more)) = windows.peek()
                && count.saturating_add(**more) <= 1 << WINDOW_BITS
            {
                last = **next;
                count += **more;
                windows.next();
            }
            let from = i128::from(*first) << WINDOW_BITS;
            let until = (i128::from(last) + 1) << WINDOW_BITS;
            let until = until.min(i128::from(i64::MAX));
            let from = literal_of(from.max(i128::from(i64::MIN)) as i64);
            statements.push(format!(
                "MATCH (n:`{MARK}`) WHERE n.`{MARK_ID}` >= {from} AND n.`{MARK_ID}` < {until} {action}"
            ));
        }
        statements.push(format!("DROP INDEX ON :`{MARK}`(`{MARK_ID}`)"));
        statements
    }

    fn add<L: AsRef<str>, V: Borrow<PackValue>>(
        &mut self,
        kind: &Kind<L>,
        ids: &[i64],
        mut properties: Vec<(&str, V)>,
        line: u32,
    ) -> Result<Vec<Group>, (String, Unwritable)> {
        // Where a key comes twice, the last one counts; none does in what servers send.
        properties.sort_by_key(|(key, _)| *key);
        let has_parameter = properties.iter().all(|(_, value)| literal::is_same_as_parameter(value.borrow()));
        let form = if has_parameter { self.form } else { Form::Text };
        let index = self.group(kind, &properties, form);
        let Group { rows, lines, .. } = &mut self.groups[index];
        let begun = rows.bytes.len();
        let written = match form {
            Form::Text => write_text(&mut rows.bytes, ids, &properties),
            Form::Parameter => {
                pack(&mut rows.bytes, ids, &properties);
                Ok(())
            }
        };
        if let Err(error) = written {
            rows.bytes.truncate(begun);
            return Err(error);
        }
        self.waiting += rows.bytes.len() - begun;
        rows.ends.push(rows.bytes.len());
        lines.push(line);
        if lines.len() >= ROWS_MAX || rows.bytes.len() >= STATEMENT_BYTES {
            self.waiting -= rows.bytes.len();
            let full = Group {
                shape: self.groups[index].shape.clone(),
                rows: std::mem::take(&mut self.groups[index].rows),
                lines: std::mem::take(&mut self.groups[index].lines),
            };
            return Ok(vec![full]);
        }
        Ok(if self.waiting >= WAITING_BYTES { self.flush() } else { Vec::new() })
    }

    /// Returns where the group of a row is.
    fn group<L: AsRef<str>, V>(&mut self, kind: &Kind<L>, properties: &[(&str, V)], form: Form) -> usize {
        let is_last = self.groups.get(self.last).is_some_and(|group| group.shape.is(kind, properties, form));
        if !is_last {
            let shape = Arc::new(Shape::of(kind, properties, form));
            self.last = *self.found.entry(shape).or_insert_with_key(|shape| {
                // Names wait, too: there may be more of them than of rows.
                self.waiting += shape.size();
                self.groups.push(Group { shape: shape.clone(), rows: Rows::default(), lines: Vec::new() });
                self.groups.len() - 1
            });
        }
        self.last
    }
}

fn literal_of(id: i64) -> String {
    let mut out = String::new();
    literal::write(&mut out, &id.into()).expect("an integer has a text");
    out
}

fn write_text<V: Borrow<PackValue>>(
    out: &mut Vec<u8>,
    ids: &[i64],
    properties: &[(&str, V)],
) -> Result<(), (String, Unwritable)> {
    let mut row = String::from("[");
    for (i, id) in ids.iter().enumerate() {
        put(&mut row, format_args!("{}{id}", if i > 0 { ", " } else { "" }));
    }
    for (key, value) in properties {
        row.push_str(", ");
        literal::write(&mut row, value.borrow()).map_err(|kind| ((*key).to_owned(), kind))?;
    }
    row.push(']');
    out.extend_from_slice(row.as_bytes());
    Ok(())
}

/// Writes a row of values that [`literal::is_same_as_parameter`] lets through.
fn pack<V: Borrow<PackValue>>(out: &mut Vec<u8>, ids: &[i64], properties: &[(&str, V)]) {
    // No version of Bolt writes them otherwise than the other ones.
    let mut encoder = Encoder::new(out, Version::V5_4);
    encoder.list_header(ids.len() + properties.len()).expect("a vertex has less than 2^32 properties");
    ids.iter().for_each(|id| encoder.int(*id));
    for (_, value) in properties {
        encoder.value(value.borrow()).expect("it is neither deep nor longer than what memory holds of it");
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use mgbolt::Map;

    fn vertex(id: i64, label: &str, properties: Map) -> Vertex {
        Vertex { id, labels: vec![label.to_owned()], properties }
    }

    #[test]
    fn what_looks_alike_shares_a_statement() {
        let mut writer = Writer::default();
        let name = |n: &str| Map::new().with("name", n);
        for (id, n) in [(0, "Ada"), (1, "Alan")] {
            assert!(writer.vertex(&vertex(id, "Per`son", name(n))).unwrap().is_empty());
        }
        writer.vertex(&Vertex { id: 70_000, ..Vertex::default() }).unwrap();
        let texts: Vec<String> = writer.flush().iter().map(Group::text).collect();
        assert_eq!(
            texts,
            [
                "UNWIND [[0, \"Ada\"], [1, \"Alan\"]] AS r CREATE (:`__mg_vertex__`:`Per``son` {`__mg_id__`: r[0], `name`: r[1]})",
                "UNWIND [[70000]] AS r CREATE (:`__mg_vertex__` {`__mg_id__`: r[0]})",
            ]
        );
        let edge = |properties| Edge { start: 0, end: 1, kind: "K".into(), properties };
        writer.edge(&edge(Map::new())).unwrap();
        let properties = vec![("b", PackValue::Int(1)), ("a", PackValue::Int(2))];
        writer.edge_row([0, 1], "K", properties, 8).unwrap();
        let groups = writer.flush();
        assert_eq!((groups[0].makes(), groups[0].line(0)), ((0, 1), 8));
        let ends = "MATCH (a:`__mg_vertex__` {`__mg_id__`: r[0]}), (b:`__mg_vertex__` {`__mg_id__`: r[1]})";
        assert_eq!(
            groups.iter().map(Group::text).collect::<Vec<_>>(),
            [
                format!("UNWIND [[0, 1, 2, 1]] AS r {ends} CREATE (a)-[:`K` {{`a`: r[2], `b`: r[3]}}]->(b)"),
                format!("UNWIND [[0, 1]] AS r {ends} CREATE (a)-[:`K`]->(b)"),
            ]
        );
        let after = writer.after();
        assert_eq!(after.len(), 2, "{after:?}");
        assert!(after[0].contains(">= 0 AND") && after[0].contains("< 81920 "), "{after:?}");
    }

    #[test]
    fn rows_are_a_parameter_where_they_mean_the_same_there() {
        let mut writer = Writer::new(Form::Parameter);
        let moment = mgbolt::DateTime::Offset { utc_seconds: 0, nanos: 0, offset_seconds: 0 };
        for (id, value) in [(0, "a".into()), (1, PackValue::DateTime(Box::new(moment))), (2, 2.5.into())] {
            writer.vertex(&vertex(id, "L", Map::new().with("p", value))).unwrap();
        }
        let mut groups = writer.flush();
        groups.sort_by_key(Group::len);
        let [text, packed] = groups.as_slice() else { panic!("{groups:?}") };
        assert_eq!(text.statement(&text.text()).rows, None);
        assert!(text.text().starts_with("UNWIND [[1, datetime(\"1970-01-01T00:00:00"), "{}", text.text());
        let query = "UNWIND $rows AS r CREATE (:`__mg_vertex__`:`L` {`__mg_id__`: r[0], `p`: r[1]})";
        assert_eq!((packed.text().as_str(), packed.row_text(1).as_str()), (query, query));
        let rows: [&[u8]; 2] = [b"\x92\x00\x81a", b"\x92\x02\xC1\x40\x04\0\0\0\0\0\0"];
        assert_eq!(packed.statement(query).rows, Some((2, rows.concat().as_slice())));
        assert_eq!(packed.row_statement(query, 1).rows, Some((1, rows[1])));
    }

    #[test]
    fn shapes_that_take_turns_keep_their_statements() {
        let mut writer = Writer::new(Form::Parameter);
        let mut full = Vec::new();
        for id in 0..3_000i64 {
            let label = if id % 3 == 0 { "A" } else { "B" };
            full.extend(writer.vertex(&vertex(id, label, Map::new())).unwrap());
        }
        assert_eq!(full.iter().map(Group::len).collect::<Vec<_>>(), [1_000, 1_000, 1_000]);
        assert_eq!(full.iter().filter(|group| group.text().contains(":`A`")).count(), 1);
        assert!(writer.flush().is_empty() && writer.waiting == 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut writer = Writer::default();
        let mut statements = 0;
        for id in 0..4_000i64 {
            // No two have the same keys: the worst there is.
            let properties = Map::new().with(format!("k{id}"), "x".repeat(5000));
            let full = writer.vertex(&vertex(id, "L", properties)).unwrap();
            statements += full.len();
            assert!(writer.waiting < WAITING_BYTES && writer.groups.len() < 2_000);
        }
        statements += writer.flush().len();
        assert_eq!(statements, 4_000);
        for id in 0..2500 {
            statements += writer.vertex(&vertex(id, "L", Map::new())).unwrap().len();
        }
        assert_eq!(statements, 4_002, "a statement has at most 1000 rows");
    }

    #[test]
    fn what_rows_have_in_common_counts_in_the_size_of_a_group() {
        let long = "x".repeat(10_000);
        let mut writer = Writer::new(Form::Parameter);
        for id in 0..20i64 {
            let (label, key) = (format!("{long}{id}"), format!("{long}{id}"));
            writer.vertex(&vertex(id, &label, Map::new().with(key, 1i64))).unwrap();
        }
        let groups = writer.flush();
        assert_eq!(groups.len(), 20);
        assert!(groups.iter().all(|group| (20_000..21_000).contains(&group.size())), "{}", groups[0].size());
        let mut most = 0;
        for id in 0..2_000i64 {
            writer.vertex(&vertex(id, &format!("{long}{id}"), Map::new())).unwrap();
            most = most.max(writer.groups.len());
        }
        assert!(most < 1_000, "{most} labels wait");
        writer.flush();
        let edge = Edge { kind: long, ..Edge::default() };
        writer.edge(&edge).unwrap();
        assert!(writer.flush()[0].size() > 10_000);
    }

    #[test]
    fn every_mark_is_taken_off_whatever_the_ids_are() {
        let mut writer = Writer::default();
        let ids = [i64::MIN, -1, 0, 16_383, 16_384, 1 << 40, i64::MAX - 1];
        for id in ids {
            writer.vertex(&vertex(id, "L", Map::new())).unwrap();
        }
        let texts = writer.after();
        assert_eq!(texts.len(), 2);
        assert!(texts[0].contains(">= (-9223372036854775807 - 1) AND"), "{}", texts[0]);
        assert!(texts[0].contains(&format!("< {} ", i64::MAX)), "{}", texts[0]);
        let mut dense = Writer::default();
        for id in 0..50_000 {
            dense.vertex(&vertex(id, "L", Map::new())).unwrap();
        }
        assert_eq!(dense.after().len(), 4 + 1);
        assert_eq!(dense.after().last(), Writer::after_by_hand().last());
    }
}
