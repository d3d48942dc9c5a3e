//! Comma-separated values, read record by record.
//!
//! A record ends at a line break outside of quotes; a quote within quotes is written twice. Lines without a byte are
//! no records. What is held is one record, and a buffer.

use std::io::{self, Read};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// A record of more bytes is none: a quote was not closed, or somebody named the wrong file.
const RECORD_BYTES_MAX: usize = 16 << 20;
/// Most fields of a record.
const FIELDS_MAX: usize = 1 << 16;

/// How records are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Between fields; at least one byte, none of which is a quote or a line break.
    pub delimiter: Vec<u8>,
    pub quote: u8,
    /// Within quotes, a quote or a backslash behind a backslash is itself, too.
    pub backslashes: bool,
}

impl Default for Dialect {
    fn default() -> Dialect {
        Dialect { delimiter: b",".to_vec(), quote: b'"', backslashes: false }
    }
}

/// The fields of one record.
#[derive(Debug, Default)]
pub struct Record {
    bytes: Vec<u8>,
    /// Where each field ends, and whether it was in quotes.
    fields: Vec<(usize, bool)>,
}

impl Record {
    /// Returns how many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Returns true if there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Returns how many bytes its fields have together.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the fields, and of each whether it was in quotes; an error is the number of one that is not UTF-8,
    /// from 1.
    pub fn fields(&self) -> impl Iterator<Item = Result<(&str, bool), usize>> {
        let mut from = 0;
        self.fields.iter().enumerate().map(move |(i, (end, quoted))| {
            let bytes = &self.bytes[std::mem::replace(&mut from, *end)..*end];
            std::str::from_utf8(bytes).map(|text| (text, *quoted)).map_err(|_| i + 1)
        })
    }
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The record is whole.
    Record,
    /// The line is no record; the next one begins behind it.
    Bad(&'static str),
    /// There are no more.
    End,
}

/// Reads records.
pub struct Reader {
    input: Box<dyn Read + Send + Sync>,
    dialect: Dialect,
    buffer: Vec<u8>,
    at: usize,
    is_over: bool,
    /// Line of the next byte, from 1.
    line: u64,
    began: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Within {
    /// Nothing of the field was read.
    Nothing,
    Plain,
    Quotes,
    /// Behind a quote within quotes: their end, or half of a quote.
    Quote,
    /// Behind a backslash within quotes.
    Backslash,
    /// Behind the end of quotes: as many bytes of a delimiter.
    Behind(usize),
}

impl Reader {
    /// Begins with the first record. A byte order mark is none of it.
    pub fn new(input: Box<dyn Read + Send + Sync>, dialect: Dialect) -> Reader {
        Reader { input, dialect, buffer: Vec::new(), at: 0, is_over: false, line: 1, began: 0 }
    }

    /// Returns the line at which the last record, or what was none, began.
    pub fn began(&self) -> u64 {
        self.began
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        if self.at == self.buffer.len() {
            if self.is_over {
                return Ok(None);
            }
            let is_first = self.buffer.is_empty();
            self.buffer.resize(BUFFER_BYTES, 0);
            self.at = 0;
            let mut filled = 0;
            // A byte order mark is looked at whole.
            while filled < if is_first { 3 } else { 1 } {
                match self.input.read(&mut self.buffer[filled..]) {
                    Ok(0) => {
                        self.is_over = true;
                        break;
                    }
                    Ok(n) => filled += n,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => {
                        self.buffer.clear();
                        return Err(e);
                    }
                }
            }
            self.buffer.truncate(filled);
            if is_first && self.buffer.starts_with(b"\xEF\xBB\xBF") {
                self.at = 3;
            }
            if self.at == self.buffer.len() {
                return Ok(None);
            }
        }
        let byte = self.buffer[self.at];
        self.at += 1;
        if byte == b'\n' {
            self.line += 1;
        }
        Ok(Some(byte))
    }

    /// Takes what is at hand of a field without quotes, and returns how many bytes that is.
    fn take_plain(&mut self, delimiter: u8, record: &mut Record) -> usize {
        let rest = &self.buffer[self.at..];
        let end = rest.iter().position(|byte| *byte == delimiter || *byte == b'\n').unwrap_or(rest.len());
        record.bytes.extend_from_slice(&rest[..end]);
        self.at += end;
        end
    }

    /// Reads the next record.
    ///
    /// # Errors
    /// Those of the input, and a record that is too long.
    pub fn read(&mut self, record: &mut Record) -> io::Result<Outcome> {
        record.bytes.clear();
        record.fields.clear();
        self.began = self.line;
        let (mut within, mut start, mut quoted) = (Within::Nothing, 0, false);
        // Delimiters, quotes, empty lines before it and what is passed over count, too.
        let mut taken = 0;
        // Why the line is no record; then only its end is looked for.
        let mut bad = None;
        loop {
            let Some(byte) = self.byte()? else {
                return Ok(match (bad, within) {
                    (Some(why), _) => Outcome::Bad(why),
                    (None, Within::Quotes | Within::Backslash) => Outcome::Bad("a quote has no end"),
                    (None, Within::Nothing) if record.fields.is_empty() => Outcome::End,
                    (None, Within::Behind(1..)) => Outcome::Bad("text follows the end of a quote"),
                    (None, _) => {
                        if within == Within::Plain && record.bytes.last() == Some(&b'\r') {
                            record.bytes.pop();
                        }
                        record.fields.push((record.bytes.len(), quoted));
                        Outcome::Record
                    }
                });
            };
            taken += 1;
            if taken > RECORD_BYTES_MAX || record.fields.len() > FIELDS_MAX {
                let text = format!(
                    "the record at line {} has more than {RECORD_BYTES_MAX} bytes or {FIELDS_MAX} fields",
                    self.began
                );
                return Err(io::Error::other(text));
            }
            let is_within_quotes = matches!(within, Within::Quotes | Within::Backslash);
            if byte == b'\n' && !is_within_quotes {
                if let Some(why) = bad {
                    return Ok(Outcome::Bad(why));
                }
                if within == Within::Plain && record.bytes.last() == Some(&b'\r') {
                    record.bytes.pop();
                }
                if matches!(within, Within::Behind(1..)) {
                    return Ok(Outcome::Bad("text follows the end of a quote"));
                }
                if record.fields.is_empty() && !quoted && record.bytes.is_empty() {
                    self.began = self.line;
                    within = Within::Nothing;
                    continue;
                }
                record.fields.push((record.bytes.len(), quoted));
                return Ok(Outcome::Record);
            }
            if bad.is_some() {
                continue;
            }
            match within {
                Within::Nothing | Within::Plain => {
                    if within == Within::Nothing && byte == self.dialect.quote {
                        (within, quoted) = (Within::Quotes, true);
                        continue;
                    }
                    within = Within::Plain;
                    record.bytes.push(byte);
                    if record.bytes[start..].ends_with(&self.dialect.delimiter) {
                        record.bytes.truncate(record.bytes.len() - self.dialect.delimiter.len());
                        record.fields.push((record.bytes.len(), false));
                        (within, start) = (Within::Nothing, record.bytes.len());
                    } else if let [delimiter] = self.dialect.delimiter[..] {
                        taken += self.take_plain(delimiter, record);
                    }
                }
                Within::Quotes => match byte {
                    byte if byte == self.dialect.quote => within = Within::Quote,
                    b'\\' if self.dialect.backslashes => within = Within::Backslash,
                    byte => record.bytes.push(byte),
                },
                Within::Backslash => {
                    if byte != self.dialect.quote && byte != b'\\' {
                        record.bytes.push(b'\\');
                    }
                    record.bytes.push(byte);
                    within = Within::Quotes;
                }
                Within::Quote if byte == self.dialect.quote => {
                    record.bytes.push(byte);
                    within = Within::Quotes;
                }
                Within::Quote | Within::Behind(_) => {
                    let had = if let Within::Behind(had) = within { had } else { 0 };
                    if had == 0 && byte == b'\r' {
                        within = Within::Behind(0);
                    } else if byte != self.dialect.delimiter[had] {
                        bad = Some("text follows the end of a quote");
                    } else if had + 1 < self.dialect.delimiter.len() {
                        within = Within::Behind(had + 1);
                    } else {
                        record.fields.push((record.bytes.len(), true));
                        (within, start, quoted) = (Within::Nothing, record.bytes.len(), false);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is in a text: fields joined by `|`, quoted ones in brackets, and what is bad by its line.
    fn read(text: &str, dialect: Dialect) -> Vec<String> {
        let mut reader = Reader::new(Box::new(io::Cursor::new(text.to_owned().into_bytes())), dialect);
        let (mut record, mut out) = (Record::default(), Vec::new());
        loop {
            match reader.read(&mut record).unwrap() {
                Outcome::End => return out,
                Outcome::Bad(why) => out.push(format!("line {}: {why}", reader.began())),
                Outcome::Record => {
                    let field = |f: Result<(&str, bool), usize>| match f.unwrap() {
                        (text, true) => format!("[{text}]"),
                        (text, false) => text.to_owned(),
                    };
                    out.push(record.fields().map(field).collect::<Vec<_>>().join("|"));
                }
            }
        }
    }

    fn plain(text: &str) -> Vec<String> {
        read(text, Dialect::default())
    }

    #[test]
    fn records_end_at_line_breaks_of_either_kind() {
        assert_eq!(plain("a,b\r\n1,2\n\n3,\r\n\r\n,"), ["a|b", "1|2", "3|", "|"]);
        assert_eq!(plain("\u{feff}a\n\"\"\nb"), ["a", "[]", "b"]);
        assert_eq!(plain(""), [""; 0]);
        assert_eq!(plain("\u{feff}"), [""; 0]);
        assert_eq!(plain("a"), ["a"]);
        assert_eq!(plain("a,\"b\"\r"), ["a|[b]"]);
    }

    #[test]
    fn quotes_hold_delimiters_line_breaks_and_quotes() {
        assert_eq!(plain("\"a,\nb\",\"c\"\"d\"\r\ne\"f,g"), ["[a,\nb]|[c\"d]", "e\"f|g"]);
        let dialect = Dialect { delimiter: b"::".to_vec(), quote: b'\'', backslashes: false };
        assert_eq!(read("'a::b'::c:d::'e'", dialect), ["[a::b]|c:d|[e]"]);
        let dialect = Dialect { backslashes: true, ..Dialect::default() };
        assert_eq!(read(r#""a\"b\\c\d","e""#, dialect), [r#"[a"b\c\d]|[e]"#]);
    }

    #[test]
    fn after_a_bad_line_the_next_is_read() {
        assert_eq!(
            plain("\"a\"b,\"c\n1,2\n\"x"),
            ["line 1: text follows the end of a quote", "1|2", "line 3: a quote has no end"]
        );
        let dialect = Dialect { delimiter: b"::".to_vec(), ..Dialect::default() };
        assert_eq!(read("\"a\":\nb::c", dialect), ["line 1: text follows the end of a quote", "b|c"]);
    }

    #[test]
    fn a_record_is_never_longer_than_its_limit() {
        let endless = io::repeat(b'x');
        let mut reader = Reader::new(Box::new(endless), Dialect::default());
        let error = reader.read(&mut Record::default()).unwrap_err();
        assert!(error.to_string().starts_with("the record at line 1 has more than"), "{error}");
    }
}
