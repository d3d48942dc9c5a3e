//! CSV as vertices and edges, by the header that Neo4j's importer made usual.
//!
//! ```text
//! person.csv   id:ID(Person),name,born:int,tags:string[],:LABEL
//! knows.csv    :START_ID(Person),:END_ID(Person),since:date,:TYPE
//! ```
//!
//! `name:type` is a property; without a type it is a string. `:ID(space)` names a vertex for edges of the same import;
//! with a name before it is a property, too. `:LABEL` holds labels with `;` between them, `:IGNORE` nothing of use. A
//! file with `:START_ID` holds edges, any other one vertices. An empty field is no property, `""` an empty string.
//!
//! Fields may be quoted as in RFC 4180: `"a ""b"", c"`, over several lines too.

use std::collections::HashMap;
use std::io::{self, BufRead};

use mgbolt::{DateTime, LocalDateTime, Map, PackValue};
use rustc_hash::FxHashMap;

use super::{Edge, Vertex};

/// A line longer than this is none: somebody named the wrong file, or a quote has no end.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// What is wrong, and where. Line and column count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvError {
    pub line: u32,
    pub column: u32,
    pub what: String,
}

/// A field, and where it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    pub text: String,
    /// An empty field that is quoted is an empty string, else nothing.
    pub is_quoted: bool,
    pub line: u32,
    pub column: u32,
}

/// A CSV text, record by record.
pub struct Records<R> {
    input: R,
    delimiter: u8,
    line: u32,
    bytes: u64,
}

impl Field {
    fn error(&self, what: impl Into<String>) -> CsvError {
        CsvError { line: self.line, column: self.column, what: what.into() }
    }
}

impl<R: BufRead> Records<R> {
    /// Begins with the first line. Fields are parted by `delimiter`.
    pub fn new(input: R, delimiter: u8) -> Records<R> {
        Records { input, delimiter, line: 0, bytes: 0 }
    }

    /// Returns how many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the next record, `None` at the end. Blank lines are passed over.
    pub fn read_next(&mut self) -> Result<Option<Vec<Field>>, CsvError> {
        loop {
            let mut text = match self.read_line()? {
                Some(line) => line,
                None => return Ok(None),
            };
            let first = self.line;
            loop {
                match split(&text, self.delimiter, first) {
                    Ok(fields) if fields.len() == 1 && fields[0].text.is_empty() && !fields[0].is_quoted => {
                        break;
                    }
                    Ok(fields) => return Ok(Some(fields)),
                    Err(Unsplit::Wrong(error)) => return Err(error),
                    // The quote goes on in the next line.
                    Err(Unsplit::Open(error)) => {
                        if text.len() > RECORD_BYTES_MAX {
                            return Err(error);
                        }
                        match self.read_line()? {
                            Some(more) => {
                                text.push('\n');
                                text.push_str(&more);
                            }
                            None => return Err(error),
                        }
                    }
                }
            }
        }
    }

    fn read_line(&mut self) -> Result<Option<String>, CsvError> {
        let mut bytes = Vec::new();
        let wrong = |line, column, what: String| CsvError { line, column, what };
        let read: io::Result<usize> = {
            let limited = &mut io::Read::take(&mut self.input, RECORD_BYTES_MAX as u64 + 2);
            limited.read_until(b'\n', &mut bytes)
        };
        match read {
            Ok(0) => return Ok(None),
            Ok(count) => self.bytes += count as u64,
            Err(error) => return Err(wrong(self.line + 1, 1, format!("it cannot be read: {error}"))),
        }
        self.line = self.line.saturating_add(1);
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(wrong(
                self.line,
                1,
                format!("the line has more than {} MiB", RECORD_BYTES_MAX >> 20),
            ));
        }
        if bytes.ends_with(b"\n") {
            bytes.pop();
        }
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
        if self.line == 1 && bytes.starts_with(b"\xEF\xBB\xBF") {
            bytes.drain(..3);
        }
        String::from_utf8(bytes).map(Some).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let column = String::from_utf8_lossy(good).chars().count() as u32 + 1;
            wrong(self.line, column, "it is not UTF-8".into())
        })
    }
}

enum Unsplit {
    Open(CsvError),
    Wrong(CsvError),
}

/// Splits a record at its delimiters.
fn split(text: &str, delimiter: u8, first_line: u32) -> Result<Vec<Field>, Unsplit> {
    let delimiter = char::from(delimiter);
    let (mut line, mut column) = (first_line, 1);
    let mut fields = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        let mut field = Field { line, column, ..Field::default() };
        if chars.peek() == Some(&'"') {
            field.is_quoted = true;
            chars.next();
            column += 1;
            loop {
                match chars.next() {
                    None => return Err(Unsplit::Open(field.error("a quote has no end"))),
                    Some('"') if chars.peek() == Some(&'"') => {
                        chars.next();
                        field.text.push('"');
                        column += 2;
                    }
                    Some('"') => {
                        column += 1;
                        break;
                    }
                    Some('\n') => {
                        field.text.push('\n');
                        (line, column) = (line + 1, 1);
                    }
                    Some(c) => {
                        field.text.push(c);
                        column += 1;
                    }
                }
            }
            if let Some(c) = chars.peek()
                && *c != delimiter
            {
                let what = format!("`{c}` stands behind the end of a quoted field");
                return Err(Unsplit::Wrong(CsvError { line, column, what }));
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != delimiter) {
                field.text.push(c);
                column += 1;
            }
        }
        fields.push(field);
        match chars.next() {
            Some(_) => column += 1,
            None => return Ok(fields),
        }
    }
}

/// What a property holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    String,
    Int,
    Float,
    Bool,
    Date,
    LocalTime,
    LocalDateTime,
    DateTime,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Property { name: String, kind: Type, is_list: bool },
    Id { name: Option<String>, space: String, kind: Type },
    Labels,
    Start { space: String },
    End { space: String },
    Type,
    Ignore,
}

/// How to read the records of a file: its header, and what was said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    columns: Vec<Column>,
    /// Labels of every vertex, or the type of every edge.
    names: Vec<String>,
    list_delimiter: char,
}

/// A record of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    Vertex(Vertex),
    Edge(Edge),
}

/// Ids of the vertices of an import, by space. They are what an import keeps in memory.
#[derive(Debug, Default)]
pub struct Ids {
    spaces: HashMap<String, Space>,
    next: i64,
}

/// Ids of one space. Most are numbers: those take no allocation and are found quickly.
#[derive(Debug, Default)]
struct Space {
    numbers: FxHashMap<i64, i64>,
    texts: FxHashMap<Box<str>, i64>,
}

impl Space {
    fn insert(&mut self, text: &str, id: i64) -> Option<i64> {
        match usual_number(text) {
            Some(number) => self.numbers.insert(number, id),
            None => self.texts.insert(text.into(), id),
        }
    }

    fn get(&self, text: &str) -> Option<i64> {
        match usual_number(text) {
            Some(number) => self.numbers.get(&number),
            None => self.texts.get(text),
        }
        .copied()
    }
}

/// Returns a number whose usual text this is: `7`, and not `07` or `+7`, which are other ids.
fn usual_number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_usual = digits.starts_with(|c: char| ('1'..='9').contains(&c)) || text == "0";
    if is_usual { text.parse().ok() } else { None }
}

impl Header {
    /// Reads a header. `names` are labels or a type for every record of the file.
    pub fn parse(fields: &[Field], names: Vec<String>, list_delimiter: char) -> Result<Header, CsvError> {
        let columns = fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let header = Header { columns, names, list_delimiter };
        let count = |is: fn(&Column) -> bool| header.columns.iter().filter(|c| is(c)).count();
        let starts = count(|c| matches!(c, Column::Start { .. }));
        let ends = count(|c| matches!(c, Column::End { .. }));
        let wrong = |what: &str| Err(fields[0].error(what));
        if starts + ends > 0 {
            if (starts, ends) != (1, 1) {
                return wrong("edges need one `:START_ID` and one `:END_ID`");
            }
            if count(|c| matches!(c, Column::Id { .. } | Column::Labels)) > 0 {
                return wrong("`:ID` and `:LABEL` are for vertices, `:START_ID` and `:END_ID` for edges");
            }
            match (count(|c| *c == Column::Type), header.names.len()) {
                (1, 0) | (0, 1) => {}
                (0, _) => {
                    return wrong("the edges have no type: add a column `:TYPE`, or name it as TYPE=FILE");
                }
                _ => return wrong("the type of the edges is named twice"),
            }
        } else if count(|c| *c == Column::Type) > 0 {
            return wrong("`:TYPE` is for edges, which need `:START_ID` and `:END_ID`");
        } else if count(|c| matches!(c, Column::Id { .. })) > 1 {
            return wrong("a vertex has one `:ID`");
        }
        let mut seen: Vec<&str> = Vec::new();
        for (column, field) in header.columns.iter().zip(fields) {
            let (Column::Property { name, .. } | Column::Id { name: Some(name), .. }) = column else {
                continue;
            };
            if seen.contains(&name.as_str()) {
                return Err(field.error(format!("property `{name}` stands twice")));
            }
            seen.push(name);
        }
        Ok(header)
    }

    /// Returns true for a file of edges.
    pub fn is_edges(&self) -> bool {
        self.columns.iter().any(|c| matches!(c, Column::Start { .. }))
    }

    /// Reads a record.
    pub fn row(&self, fields: &[Field], ids: &mut Ids) -> Result<Row, CsvError> {
        if fields.len() != self.columns.len() {
            let at = fields.get(self.columns.len()).or(fields.last());
            let at = at.cloned().unwrap_or_default();
            return Err(at.error(format!(
                "the record has {} fields, the header {}",
                fields.len(),
                self.columns.len()
            )));
        }
        let mut properties = Map::new();
        let mut labels = Vec::new();
        let mut kind = String::new();
        let (mut id, mut start, mut end) = (None, None, None);
        for (column, field) in self.columns.iter().zip(fields) {
            let is_absent = field.text.is_empty() && !field.is_quoted;
            match column {
                Column::Ignore => {}
                Column::Property { .. } if is_absent => {}
                Column::Property { name, kind, is_list: false } => {
                    properties.insert(name.clone(), value(*kind, &field.text, field)?);
                }
                Column::Property { name, kind, is_list: true } => {
                    let items = field.text.split(self.list_delimiter);
                    let items = items.map(|item| value(*kind, item, field)).collect::<Result<Vec<_>, _>>()?;
                    properties.insert(name.clone(), items);
                }
                Column::Labels => {
                    let split = field.text.split(self.list_delimiter).filter(|label| !label.is_empty());
                    labels.extend(split.map(str::to_owned));
                }
                Column::Type if is_absent => return Err(field.error("the edge has no type")),
                Column::Type => kind.clone_from(&field.text),
                Column::Id { .. } | Column::Start { .. } | Column::End { .. } if is_absent => {
                    return Err(field.error("the id is empty"));
                }
                Column::Id { name, space, kind } => {
                    if let Some(name) = name {
                        properties.insert(name.clone(), value(*kind, &field.text, field)?);
                    }
                    id = Some(ids.give(space, field)?);
                }
                Column::Start { space } => start = Some(ids.find(space, field)?),
                Column::End { space } => end = Some(ids.find(space, field)?),
            }
        }
        if let (Some(start), Some(end)) = (start, end) {
            if let [name] = self.names.as_slice() {
                kind.clone_from(name);
            }
            return Ok(Row::Edge(Edge { start, end, kind, properties }));
        }
        labels.extend(self.names.iter().cloned());
        let mut unique: Vec<String> = Vec::with_capacity(labels.len());
        for label in labels {
            if !unique.contains(&label) {
                unique.push(label);
            }
        }
        let id = id.unwrap_or_else(|| ids.count());
        Ok(Row::Vertex(Vertex { id, labels: unique, properties }))
    }
}

impl Ids {
    fn count(&mut self) -> i64 {
        self.next += 1;
        self.next - 1
    }

    fn give(&mut self, space: &str, field: &Field) -> Result<i64, CsvError> {
        let id = self.count();
        if !self.spaces.contains_key(space) {
            self.spaces.insert(space.to_owned(), Space::default());
        }
        let known = self.spaces.get_mut(space).expect("it was just made");
        match known.insert(&field.text, id) {
            None => Ok(id),
            Some(_) => Err(field.error(format!("id `{}`{} stands twice", field.text, of_space(space)))),
        }
    }

    fn find(&self, space: &str, field: &Field) -> Result<i64, CsvError> {
        let known = self.spaces.get(space).and_then(|ids| ids.get(&field.text));
        known.ok_or_else(|| {
            field.error(format!("no vertex of this import has the id `{}`{}", field.text, of_space(space)))
        })
    }
}

fn of_space(space: &str) -> String {
    if space.is_empty() { String::new() } else { format!(" of `{space}`") }
}

fn column(field: &Field) -> Result<Column, CsvError> {
    let (name, kind) = match field.text.rsplit_once(':') {
        Some((name, kind)) if !kind.contains('}') => (name.trim(), kind.trim()),
        // `{id-type:long}` has a colon of its own.
        _ => match field.text.split_once(':') {
            Some((name, kind)) => (name.trim(), kind.trim()),
            None => (field.text.trim(), ""),
        },
    };
    let (kind, id_type) = match kind.split_once('{') {
        Some((kind, options)) => {
            let option = options.trim_end_matches('}').split_once(':').map(|(k, v)| (k.trim(), v.trim()));
            let id_type = option.filter(|(key, _)| *key == "id-type").and_then(|(_, v)| type_of(v));
            (kind, Some(id_type.ok_or_else(|| field.error("only `{id-type: TYPE}` can stand here"))?))
        }
        None => (kind, None),
    };
    let (word, space) = match kind.split_once('(') {
        Some((word, space)) => (word, space.trim_end_matches(')').trim().to_owned()),
        None => (kind, String::new()),
    };
    let name_of = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    Ok(match word.to_ascii_uppercase().as_str() {
        "ID" => Column::Id { name: name_of(name), space, kind: id_type.unwrap_or(Type::String) },
        "LABEL" => Column::Labels,
        "START_ID" => Column::Start { space },
        "END_ID" => Column::End { space },
        "TYPE" => Column::Type,
        "IGNORE" => Column::Ignore,
        _ if name.is_empty() => {
            return Err(field.error(match field.text.is_empty() {
                true => "a column of the header has no name".to_owned(),
                false => format!(
                    "`{}` is none of `:ID`, `:LABEL`, `:START_ID`, `:END_ID`, `:TYPE`, `:IGNORE`",
                    field.text
                ),
            }));
        }
        "" => Column::Property { name: name.to_owned(), kind: Type::String, is_list: false },
        _ => {
            let (word, is_list) = match word.strip_suffix("[]") {
                Some(word) => (word, true),
                None => (word, false),
            };
            let kind = type_of(word).ok_or_else(|| {
                field.error(format!(
                    "`{word}` is no type: string, int, float, boolean, date, localtime, localdatetime or datetime, \
                     each with `[]` for a list"
                ))
            })?;
            Column::Property { name: name.to_owned(), kind, is_list }
        }
    })
}

fn type_of(word: &str) -> Option<Type> {
    Some(match word.to_ascii_lowercase().as_str() {
        "string" | "char" => Type::String,
        "int" | "integer" | "long" | "short" | "byte" => Type::Int,
        "float" | "double" => Type::Float,
        "boolean" | "bool" => Type::Bool,
        "date" => Type::Date,
        "localtime" => Type::LocalTime,
        "localdatetime" => Type::LocalDateTime,
        "datetime" => Type::DateTime,
        _ => return None,
    })
}

fn value(kind: Type, text: &str, field: &Field) -> Result<PackValue, CsvError> {
    let trimmed = text.trim();
    let (value, what) = match kind {
        Type::String => return Ok(text.into()),
        Type::Int => (trimmed.parse().ok().map(PackValue::Int), "an integer"),
        Type::Float => (trimmed.parse().ok().map(PackValue::Float), "a number"),
        Type::Bool => match trimmed.to_ascii_lowercase().as_str() {
            "true" => (Some(PackValue::Bool(true)), ""),
            "false" => (Some(PackValue::Bool(false)), ""),
            _ => (None, "true or false"),
        },
        Type::Date => (days(trimmed).map(PackValue::Date), "a date as 2024-02-29"),
        Type::LocalTime => (nanos(trimmed).map(PackValue::LocalTime), "a time as 13:45:00"),
        Type::LocalDateTime => (
            local(trimmed).map(|(seconds, nanos)| PackValue::LocalDateTime(LocalDateTime { seconds, nanos })),
            "a date and time as 2024-02-29T13:45:00",
        ),
        Type::DateTime => (moment(trimmed), "a moment as 2024-02-29T13:45:00+01:00"),
    };
    value.ok_or_else(|| field.error(format!("`{text}` is not {what}")))
}

/// Days since 1970-01-01 of a day of the Gregorian calendar.
fn days(text: &str) -> Option<i64> {
    let is_negative = text.starts_with('-');
    let mut parts = text.trim_start_matches('-').splitn(3, '-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let year = if is_negative { -year } else { year };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) || year.abs() > 9_999_999 {
        return None;
    }
    // Years that begin in March, so that the leap day is last.
    let from_march = if month > 2 { year } else { year - 1 };
    let era = from_march.div_euclid(400);
    let year_of_era = from_march.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

/// Nanoseconds since midnight.
fn nanos(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.splitn(3, ':').map(number);
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = match parts.next() {
        Some(second) => second?,
        None => 0,
    };
    if hour > 23 || minute > 59 || second > 59 || fraction.len() > 9 {
        return None;
    }
    let fraction = number(&format!("{fraction:0<9}"))?;
    Some(((hour * 60 + minute) * 60 + second) * 1_000_000_000 + fraction)
}

/// Seconds since 1970 on the clock, and nanoseconds.
fn local(text: &str) -> Option<(i64, u32)> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let nanos = nanos(time)?;
    let seconds = days(date)? * 86_400 + nanos / 1_000_000_000;
    Some((seconds, u32::try_from(nanos % 1_000_000_000).ok()?))
}

fn moment(text: &str) -> Option<PackValue> {
    let time = text.find(['T', 't', ' '])?;
    let (clock, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, 0),
        None => {
            let at = time + text[time..].rfind(['+', '-'])?;
            let (hours, minutes) = text[at + 1..].split_once(':').unwrap_or((&text[at + 1..], "0"));
            let (hours, minutes) = (number(hours)?, number(minutes)?);
            let seconds = i32::try_from(hours * 3600 + minutes * 60).ok().filter(|s| *s <= 18 * 3600)?;
            (&text[..at], if text[at..].starts_with('-') { -seconds } else { seconds })
        }
    };
    let (seconds, nanos) = local(clock)?;
    let utc_seconds = seconds - i64::from(offset);
    Some(PackValue::DateTime(Box::new(DateTime::Offset { utc_seconds, nanos, offset_seconds: offset })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::to_text;

    fn records(text: &str) -> Result<Vec<Vec<Field>>, CsvError> {
        let mut records = Records::new(text.as_bytes(), b',');
        let mut all = Vec::new();
        while let Some(fields) = records.read_next()? {
            all.push(fields);
        }
        Ok(all)
    }

    fn rows(text: &str, names: &[&str], ids: &mut Ids) -> Result<Vec<Row>, CsvError> {
        let mut all = records(text)?.into_iter();
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        let header = Header::parse(&all.next().expect("a header"), names, ';')?;
        all.map(|fields| header.row(&fields, ids)).collect()
    }

    fn error(text: &str) -> (u32, u32, String) {
        let error = rows(text, &[], &mut Ids::default()).unwrap_err();
        (error.line, error.column, error.what)
    }

    #[test]
    fn fields_may_be_quoted_over_lines() {
        let all = records("\u{feff}a,\"b \"\"c\"\"\n,d\",\r\n\nx,y,\"\"\n").unwrap();
        let texts: Vec<Vec<&str>> = all.iter().map(|r| r.iter().map(|f| f.text.as_str()).collect()).collect();
        assert_eq!(texts, [["a", "b \"c\"\n,d", ""], ["x", "y", ""]]);
        assert_eq!((all[0][2].line, all[0][2].column), (2, 5));
        assert_eq!((all[1][1].line, all[1][1].column), (4, 3));
        assert!(!all[0][2].is_quoted && all[1][2].is_quoted);
    }

    #[test]
    fn vertices_and_edges_find_each_other_by_their_ids() {
        let mut ids = Ids::default();
        let people = rows(
            "id:ID(P){id-type:long},name,born:int,tags:string[],note:IGNORE,:LABEL\n\
             7,Ada,1815,a;b,x,Person;Poet\n8,\"\",,,,\n",
            &["Human"],
            &mut ids,
        )
        .unwrap();
        let Row::Vertex(ada) = &people[0] else { panic!("a vertex") };
        assert_eq!(ada.labels, ["Person", "Poet", "Human"]);
        assert_eq!(
            to_text(&ada.properties.clone().into()),
            r#"{id: 7, name: "Ada", born: 1815, tags: ["a", "b"]}"#
        );
        let Row::Vertex(other) = &people[1] else { panic!("a vertex") };
        assert_eq!(to_text(&other.properties.clone().into()), r#"{id: 8, name: ""}"#);
        let edges =
            rows(":START_ID(P),:END_ID(P),since:date\n8,7,2024-02-29\n", &["KNOWS"], &mut ids).unwrap();
        let Row::Edge(edge) = &edges[0] else { panic!("an edge") };
        assert_eq!((edge.start, edge.end, edge.kind.as_str()), (other.id, ada.id, "KNOWS"));
        assert_eq!(edge.properties.get("since"), Some(&PackValue::Date(19_782)));
    }

    #[test]
    fn errors_name_line_and_column() {
        let place = |line, column, what: &str| (line, column, what.to_owned());
        assert_eq!(error("a,b:int\nx,1\nöx,one\n"), place(3, 4, "`one` is not an integer"));
        assert_eq!(error("a,b\n1,\"x\"y\n"), place(2, 6, "`y` stands behind the end of a quoted field"));
        assert_eq!(error("a\n\"x\ny\n"), place(2, 1, "a quote has no end"));
        assert_eq!(error("a,b\n1\n"), place(2, 1, "the record has 1 fields, the header 2"));
        assert_eq!(error("a,b\n1,2,3\n"), place(2, 5, "the record has 3 fields, the header 2"));
        assert_eq!(error(":ID,x\na,1\nb,2\na,3\n"), place(4, 1, "id `a` stands twice"));
        assert_eq!(error("x:ID(S)\na\n\n\"\"\n\"\"\n"), place(5, 1, "id `` of `S` stands twice"));
        assert_eq!(
            error(":START_ID(S),:END_ID(S),:TYPE\na,b,K\n"),
            place(2, 1, "no vertex of this import has the id `a` of `S`")
        );
        assert_eq!(error("a,a\n").2, "property `a` stands twice");
        assert!(error("a,b:money\n").2.starts_with("`money` is no type"));
        assert!(error(":START_ID,:END_ID\n").2.contains("TYPE=FILE"));
        assert!(error("a,\n").2.contains("has no name"));
    }

    #[test]
    fn times_are_read_as_iso_writes_them() {
        let read = |kind, text: &str| value(kind, text, &Field::default()).map(|v| to_text(&v)).ok();
        for (kind, text) in [
            (Type::Date, "1969-12-31"),
            (Type::Date, "2000-02-29"),
            (Type::Date, "-0044-03-15"),
            (Type::LocalTime, "23:59:59.123456789"),
            (Type::LocalDateTime, "1969-12-31T23:59:59.5"),
            (Type::DateTime, "2024-02-29T13:45:00+01:30"),
            (Type::DateTime, "2024-02-29T13:45:00Z"),
        ] {
            assert_eq!(read(kind, text).as_deref(), Some(text));
        }
        for (kind, text) in [
            (Type::Date, "2023-02-29"),
            (Type::Date, "2023-13-01"),
            (Type::Date, "20230101"),
            (Type::LocalTime, "24:00"),
            (Type::DateTime, "2024-02-29T13:45:00"),
            (Type::DateTime, "2024-02-29"),
            (Type::Float, "1,5"),
            (Type::Int, "1.0"),
            (Type::Bool, "yes"),
        ] {
            assert_eq!(read(kind, text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_ids_by_their_usual_text() {
        let field = |text: &str| Field { text: text.to_owned(), ..Field::default() };
        let texts =
            ["0", "7", "07", "+7", "-7", "-0", "", "-", "7 ", "9223372036854775808", "-9223372036854775808"];
        let mut ids = Ids::default();
        let given: Vec<i64> = texts.iter().map(|text| ids.give("", &field(text)).unwrap()).collect();
        assert_eq!(given, (0..texts.len() as i64).collect::<Vec<_>>());
        for (text, id) in texts.iter().zip(given) {
            assert_eq!(ids.find("", &field(text)), Ok(id), "{text}");
            assert!(ids.give("", &field(text)).is_err(), "{text} stands twice");
            assert!(ids.find("other", &field(text)).is_err());
        }
        assert!(ids.find("", &field("1")).is_err() && ids.find("", &field("007")).is_err());
    }
}
