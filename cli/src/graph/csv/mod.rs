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

mod records;

use mgbolt::{DateTime, LocalDateTime, PackValue};
use rustc_hash::FxHashMap;

pub use self::records::{CsvError, Field, Record, Records};

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

/// What a record of a file says, in texts of the record and of the header.
#[derive(Clone, Debug, PartialEq)]
pub enum Row<'a> {
    Vertex { id: i64, labels: Vec<&'a str>, properties: Vec<(&'a str, PackValue)> },
    Edge { start: i64, end: i64, kind: &'a str, properties: Vec<(&'a str, PackValue)> },
}

/// Ids of the vertices of an import, by space. They are what an import keeps in memory.
#[derive(Debug, Default)]
pub struct Ids {
    /// Few, and most often one without a name.
    spaces: Vec<(String, Space)>,
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
    pub fn parse(record: &Record, names: Vec<String>, list_delimiter: char) -> Result<Header, CsvError> {
        let columns = record.fields().map(column).collect::<Result<Vec<_>, _>>()?;
        let header = Header { columns, names, list_delimiter };
        let count = |is: fn(&Column) -> bool| header.columns.iter().filter(|c| is(c)).count();
        let starts = count(|c| matches!(c, Column::Start { .. }));
        let ends = count(|c| matches!(c, Column::End { .. }));
        let first = record.fields().next().unwrap_or_default();
        let wrong = |what: &str| Err(first.error(what));
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
        for (column, field) in header.columns.iter().zip(record.fields()) {
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
    pub fn row<'a>(&'a self, record: &'a Record, ids: &mut Ids) -> Result<Row<'a>, CsvError> {
        if record.len() != self.columns.len() {
            let at = record.fields().nth(self.columns.len()).or(record.fields().last());
            return Err(at.unwrap_or_default().error(format!(
                "the record has {} fields, the header {}",
                record.len(),
                self.columns.len()
            )));
        }
        let mut properties = Vec::new();
        let mut labels: Vec<&str> = Vec::new();
        let mut kind = "";
        let (mut id, mut start, mut end) = (None, None, None);
        let mut label = |label| {
            if !labels.contains(&label) {
                labels.push(label);
            }
        };
        for (column, field) in self.columns.iter().zip(record.fields()) {
            let is_absent = field.text.is_empty() && !field.is_quoted;
            match column {
                Column::Ignore => {}
                Column::Property { .. } if is_absent => {}
                Column::Property { name, kind, is_list: false } => {
                    properties.push((name.as_str(), value(*kind, field.text, field)?));
                }
                Column::Property { name, kind, is_list: true } => {
                    let items = field.text.split(self.list_delimiter);
                    let items = items.map(|item| value(*kind, item, field)).collect::<Result<Vec<_>, _>>()?;
                    properties.push((name.as_str(), items.into()));
                }
                Column::Labels => {
                    let split = field.text.split(self.list_delimiter);
                    split.filter(|label| !label.is_empty()).for_each(&mut label);
                }
                Column::Type if is_absent => return Err(field.error("the edge has no type")),
                Column::Type => kind = field.text,
                Column::Id { .. } | Column::Start { .. } | Column::End { .. } if is_absent => {
                    return Err(field.error("the id is empty"));
                }
                Column::Id { name, space, kind } => {
                    if let Some(name) = name {
                        properties.push((name.as_str(), value(*kind, field.text, field)?));
                    }
                    id = Some(ids.give(space, field)?);
                }
                Column::Start { space } => start = Some(ids.find(space, field)?),
                Column::End { space } => end = Some(ids.find(space, field)?),
            }
        }
        if let (Some(start), Some(end)) = (start, end) {
            if let [name] = self.names.as_slice() {
                kind = name;
            }
            return Ok(Row::Edge { start, end, kind, properties });
        }
        self.names.iter().map(String::as_str).for_each(label);
        let id = id.unwrap_or_else(|| ids.count());
        Ok(Row::Vertex { id, labels, properties })
    }
}

impl Ids {
    fn count(&mut self) -> i64 {
        self.next += 1;
        self.next - 1
    }

    fn space(&self, name: &str) -> Option<usize> {
        // Comparing nothing with nothing takes some C libraries longer than all else that a record needs.
        let is_same = |known: &str| known.len() == name.len() && (name.is_empty() || known == name);
        self.spaces.iter().position(|(known, _)| is_same(known))
    }

    fn give(&mut self, space: &str, field: Field<'_>) -> Result<i64, CsvError> {
        let id = self.count();
        let at = self.space(space).unwrap_or_else(|| {
            self.spaces.push((space.to_owned(), Space::default()));
            self.spaces.len() - 1
        });
        match self.spaces[at].1.insert(field.text, id) {
            None => Ok(id),
            Some(_) => Err(field.error(format!("id `{}`{} stands twice", field.text, of_space(space)))),
        }
    }

    fn find(&self, space: &str, field: Field<'_>) -> Result<i64, CsvError> {
        let known = self.space(space).and_then(|at| self.spaces[at].1.get(field.text));
        known.ok_or_else(|| {
            field.error(format!("no vertex of this import has the id `{}`{}", field.text, of_space(space)))
        })
    }
}

fn of_space(space: &str) -> String {
    if space.is_empty() { String::new() } else { format!(" of `{space}`") }
}

fn column(field: Field<'_>) -> Result<Column, CsvError> {
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

fn value(kind: Type, text: &str, field: Field<'_>) -> Result<PackValue, CsvError> {
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
            if hours > 18 || minutes > 59 {
                return None;
            }
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
    use mgbolt::Map;

    /// Calls `take` with every row.
    fn rows(
        text: &str,
        names: &[&str],
        ids: &mut Ids,
        mut take: impl FnMut(Row<'_>),
    ) -> Result<(), CsvError> {
        let mut records = Records::new(text.as_bytes(), b',');
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        let header = Header::parse(records.read_next()?.expect("a header"), names, ';')?;
        while let Some(record) = records.read_next()? {
            take(header.row(record, ids)?);
        }
        Ok(())
    }

    fn error(text: &str) -> (u32, u32, String) {
        let error = rows(text, &[], &mut Ids::default(), |_| {}).unwrap_err();
        (error.line, error.column, error.what)
    }

    #[test]
    fn vertices_and_edges_find_each_other_by_their_ids() {
        let mut ids = Ids::default();
        let mut people = Vec::new();
        rows(
            "id:ID(P){id-type:long},name,born:int,tags:string[],note:IGNORE,:LABEL\n\
             7,Ada,1815,a;b,x,Person;Poet\n8,\"\",,,,\n",
            &["Human"],
            &mut ids,
            |row| {
                let Row::Vertex { id, labels, properties } = row else { panic!("a vertex") };
                let labels: Vec<String> = labels.into_iter().map(str::to_owned).collect();
                let map: Map = properties.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
                people.push((id, labels, to_text(&map.into())));
            },
        )
        .unwrap();
        assert_eq!(people[0].1, ["Person", "Poet", "Human"]);
        assert_eq!(people[0].2, r#"{id: 7, name: "Ada", born: 1815, tags: ["a", "b"]}"#);
        assert_eq!(people[1].2, r#"{id: 8, name: ""}"#);
        let mut edges = 0;
        rows(":START_ID(P),:END_ID(P),since:date\n8,7,2024-02-29\n", &["KNOWS"], &mut ids, |row| {
            let properties = vec![("since", PackValue::Date(19_782))];
            let (start, end) = (people[1].0, people[0].0);
            assert_eq!(row, Row::Edge { start, end, kind: "KNOWS", properties });
            edges += 1;
        })
        .unwrap();
        assert_eq!(edges, 1);
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
        let read = |kind, text: &str| value(kind, text, Field::default()).map(|v| to_text(&v)).ok();
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
            (Type::DateTime, "2024-02-29T13:45:00+01:60"),
            (Type::DateTime, "2024-02-29T13:45:00+9223372036854775807"),
            (Type::Float, "1,5"),
            (Type::Int, "1.0"),
            (Type::Bool, "yes"),
        ] {
            assert_eq!(read(kind, text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_ids_by_their_usual_text() {
        fn field(text: &str) -> Field<'_> {
            let mut field = Field::default();
            field.text = text;
            field
        }
        let texts =
            ["0", "7", "07", "+7", "-7", "-0", "", "-", "7 ", "9223372036854775808", "-9223372036854775808"];
        let mut ids = Ids::default();
        let given: Vec<i64> = texts.iter().map(|text| ids.give("", field(text)).unwrap()).collect();
        assert_eq!(given, (0..texts.len() as i64).collect::<Vec<_>>());
        for (text, id) in texts.iter().zip(given) {
            assert_eq!(ids.find("", field(text)), Ok(id), "{text}");
            assert!(ids.give("", field(text)).is_err(), "{text} stands twice");
            assert!(ids.find("other", field(text)).is_err());
        }
        assert!(ids.find("", field("1")).is_err() && ids.find("", field("007")).is_err());
    }
}
