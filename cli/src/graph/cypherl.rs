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

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use super::literal::{self, Unwritable, name};
use super::{Edge, Vertex};

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

/// Rows that one statement makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    shape: Shape,
    rows: Vec<String>,
    /// Line that each row comes from; 0 where it comes from none.
    lines: Vec<u32>,
    bytes: usize,
}

/// What the rows of a statement have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Shape {
    Vertex { labels: Vec<String>, keys: Vec<String> },
    Edge { kind: String, keys: Vec<String> },
}

/// Makes statements of vertices and edges. All vertices come before the first edge.
#[derive(Debug, Default)]
pub struct Writer {
    groups: HashMap<Shape, Group>,
    waiting: usize,
    /// How many vertices are marked with ids of each window.
    windows: BTreeMap<i64, u32>,
    marked: bool,
}

impl Group {
    /// Returns the statement, without a semicolon.
    pub fn text(&self) -> String {
        self.text_of(&self.rows)
    }

    /// Returns the statement for one of its rows.
    pub fn row_text(&self, index: usize) -> String {
        self.text_of(&self.rows[index..=index])
    }

    /// Returns how many rows it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns true if it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the line that a row comes from.
    pub fn line(&self, index: usize) -> u32 {
        self.lines[index]
    }

    /// Returns how many vertices and how many edges it makes.
    pub fn makes(&self) -> (u64, u64) {
        match self.shape {
            Shape::Vertex { .. } => (self.rows.len() as u64, 0),
            Shape::Edge { .. } => (0, self.rows.len() as u64),
        }
    }

    fn text_of(&self, rows: &[String]) -> String {
        let mut out = String::with_capacity(self.bytes + 256);
        out.push_str("UNWIND [");
        for (i, row) in rows.iter().enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            out.push_str(row);
        }
        out.push_str("] AS r ");
        let mark = |variable: &str, at: usize| format!("({variable}:`{MARK}` {{`{MARK_ID}`: r[{at}]}})");
        match &self.shape {
            Shape::Vertex { labels, keys } => {
                put(&mut out, format_args!("CREATE (:`{MARK}`"));
                labels.iter().for_each(|label| put(&mut out, format_args!(":{}", name(label))));
                put(&mut out, format_args!(" {{`{MARK_ID}`: r[0]"));
                for (i, key) in keys.iter().enumerate() {
                    put(&mut out, format_args!(", {}: r[{}]", name(key), i + 1));
                }
                out.push_str("})");
            }
            Shape::Edge { kind, keys } => {
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

impl Writer {
    /// Returns the statements that come before the first vertex.
    pub fn before() -> Vec<String> {
        vec![format!("CREATE INDEX ON :`{MARK}`(`{MARK_ID}`)")]
    }

    /// Adds a vertex that comes from `line`, and returns the statements that are full now.
    ///
    /// # Errors
    ///
    /// A property that Cypher has no text for: its name and kind.
    pub fn vertex(&mut self, vertex: &Vertex, line: u32) -> Result<Vec<Group>, (String, Unwritable)> {
        let mut row = format!("[{}", vertex.id);
        let mut keys = Vec::with_capacity(vertex.properties.len());
        write_values(&mut row, &mut keys, &vertex.properties)?;
        *self.windows.entry(vertex.id >> WINDOW_BITS).or_default() += 1;
        self.marked = true;
        Ok(self.add(Shape::Vertex { labels: vertex.labels.clone(), keys }, row, line))
    }

    /// Adds an edge that comes from `line`, and returns the statements that are full now.
    ///
    /// # Errors
    ///
    /// As for [`Writer::vertex`].
    pub fn edge(&mut self, edge: &Edge, line: u32) -> Result<Vec<Group>, (String, Unwritable)> {
        let mut row = format!("[{}, {}", edge.start, edge.end);
        let mut keys = Vec::with_capacity(edge.properties.len());
        write_values(&mut row, &mut keys, &edge.properties)?;
        Ok(self.add(Shape::Edge { kind: edge.kind.clone(), keys }, row, line))
    }

    /// Returns what still waits. To be called between vertices and edges, and after the edges.
    pub fn flush(&mut self) -> Vec<Group> {
        self.waiting = 0;
        let mut groups: Vec<Group> = self.groups.drain().map(|(_, group)| group).collect();
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

    fn add(&mut self, shape: Shape, mut row: String, line: u32) -> Vec<Group> {
        row.push(']');
        self.waiting += row.len();
        let group = self.groups.entry(shape.clone()).or_insert_with(|| Group {
            shape: shape.clone(),
            rows: Vec::new(),
            lines: Vec::new(),
            bytes: 0,
        });
        group.bytes += row.len() + 2;
        group.rows.push(row);
        group.lines.push(line);
        if group.rows.len() >= ROWS_MAX || group.bytes >= STATEMENT_BYTES {
            let full = self.groups.remove(&shape).expect("it was just found");
            self.waiting -= full.rows.iter().map(String::len).sum::<usize>();
            return vec![full];
        }
        if self.waiting >= WAITING_BYTES { self.flush() } else { Vec::new() }
    }
}

fn literal_of(id: i64) -> String {
    let mut out = String::new();
    literal::write(&mut out, &id.into()).expect("an integer has a text");
    out
}

fn write_values(
    row: &mut String,
    keys: &mut Vec<String>,
    properties: &mgbolt::Map,
) -> Result<(), (String, Unwritable)> {
    // Where a key comes twice, the last one counts; none does in what servers send.
    let mut pairs: Vec<(&str, &mgbolt::PackValue)> = properties.iter().collect();
    pairs.sort_by_key(|(key, _)| *key);
    for (key, value) in pairs {
        row.push_str(", ");
        literal::write(row, value).map_err(|kind| (key.to_owned(), kind))?;
        keys.push(key.to_owned());
    }
    Ok(())
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
            assert!(writer.vertex(&vertex(id, "Per`son", name(n)), 0).unwrap().is_empty());
        }
        writer.vertex(&Vertex { id: 70_000, ..Vertex::default() }, 0).unwrap();
        let texts: Vec<String> = writer.flush().iter().map(Group::text).collect();
        assert_eq!(
            texts,
            [
                "UNWIND [[0, \"Ada\"], [1, \"Alan\"]] AS r CREATE (:`__mg_vertex__`:`Per``son` {`__mg_id__`: r[0], `name`: r[1]})",
                "UNWIND [[70000]] AS r CREATE (:`__mg_vertex__` {`__mg_id__`: r[0]})",
            ]
        );
        let edge = |properties| Edge { start: 0, end: 1, kind: "K".into(), properties };
        writer.edge(&edge(Map::new()), 7).unwrap();
        writer.edge(&edge(Map::new().with("b", 1i64).with("a", 2i64)), 8).unwrap();
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
    fn what_waits_is_bounded() {
        let mut writer = Writer::default();
        let mut statements = 0;
        for id in 0..4_000i64 {
            // No two have the same keys: the worst there is.
            let properties = Map::new().with(format!("k{id}"), "x".repeat(5000));
            let full = writer.vertex(&vertex(id, "L", properties), 0).unwrap();
            statements += full.len();
            assert!(writer.waiting < WAITING_BYTES && writer.groups.len() < 2_000);
        }
        statements += writer.flush().len();
        assert_eq!(statements, 4_000);
        for id in 0..2500 {
            statements += writer.vertex(&vertex(id, "L", Map::new()), 0).unwrap().len();
        }
        assert_eq!(statements, 4_002, "a statement has at most 1000 rows");
    }

    #[test]
    fn every_mark_is_taken_off_whatever_the_ids_are() {
        let mut writer = Writer::default();
        let ids = [i64::MIN, -1, 0, 16_383, 16_384, 1 << 40, i64::MAX - 1];
        for id in ids {
            writer.vertex(&vertex(id, "L", Map::new()), 0).unwrap();
        }
        let texts = writer.after();
        assert_eq!(texts.len(), 2);
        assert!(texts[0].contains(">= (-9223372036854775807 - 1) AND"), "{}", texts[0]);
        assert!(texts[0].contains(&format!("< {} ", i64::MAX)), "{}", texts[0]);
        let mut dense = Writer::default();
        for id in 0..50_000 {
            dense.vertex(&vertex(id, "L", Map::new()), 0).unwrap();
        }
        assert_eq!(dense.after().len(), 4 + 1);
        assert_eq!(dense.after().last(), Writer::after_by_hand().last());
    }
}
