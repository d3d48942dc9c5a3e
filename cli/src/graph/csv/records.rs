//! CSV as records of fields.

use std::io::{self, BufRead};

/// A line longer than this is none: somebody named the wrong file, or a quote has no end.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// What is wrong, and where. Line and column count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvError {
    pub line: u32,
    pub column: u32,
    pub what: String,
}

/// A field of a record, and where it begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Field<'a> {
    pub text: &'a str,
    /// An empty field that is quoted is an empty string, else nothing.
    pub is_quoted: bool,
    /// The record as it was read, its line, and how many bytes of it stand before the field.
    raw: &'a str,
    first_line: u32,
    at: usize,
}

/// A record, as long as the next one is not read.
#[derive(Debug, Default)]
pub struct Record {
    /// Its line, or its lines where a quoted field has several.
    raw: String,
    line: u32,
    spans: Vec<Span>,
    /// The texts of fields with quotes in them.
    unescaped: String,
    /// Bytes that were looked through for the end of a quote.
    #[cfg(test)]
    searched: usize,
}

/// Where a field is in the text of its record.
#[derive(Clone, Copy, Debug)]
struct Span {
    at: usize,
    from: usize,
    until: usize,
    is_quoted: bool,
    /// Whether `from` and `until` are places in [`Record::unescaped`].
    is_unescaped: bool,
}

/// A quoted field whose end is not read yet, and how far it was searched: what was read is not searched again.
#[derive(Clone, Copy, Debug)]
struct Open {
    at: usize,
    from: usize,
    searched: usize,
    /// Where its text begins in [`Record::unescaped`].
    begun: usize,
    is_unescaped: bool,
}

/// A CSV text, record by record.
pub struct Records<R> {
    input: R,
    delimiter: u8,
    line: u32,
    bytes: u64,
    buffer: Vec<u8>,
    /// How the last line ended, which is part of a field that goes on.
    line_end: &'static str,
    record: Record,
}

impl Field<'_> {
    /// Lines and columns are counted only for errors.
    pub(super) fn error(&self, what: impl Into<String>) -> CsvError {
        error_at(self.raw, self.first_line, self.at, what)
    }
}

fn error_at(raw: &str, first_line: u32, at: usize, what: impl Into<String>) -> CsvError {
    let before = &raw[..at];
    let breaks = before.bytes().filter(|b| *b == b'\n').count() as u32;
    let line = &before[before.rfind('\n').map_or(0, |i| i + 1)..];
    CsvError {
        line: first_line.saturating_add(breaks),
        column: line.chars().count() as u32 + 1,
        what: what.into(),
    }
}

impl Record {
    /// Returns the line that it begins in.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Returns how many fields it has.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Returns true if it has no field.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Returns its fields.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.spans.iter().map(|span| self.field(span))
    }

    fn field(&self, span: &Span) -> Field<'_> {
        let text = if span.is_unescaped { &self.unescaped } else { &self.raw };
        Field {
            text: &text[span.from..span.until],
            is_quoted: span.is_quoted,
            raw: &self.raw,
            first_line: self.line,
            at: span.at,
        }
    }

    /// A blank line.
    fn is_blank(&self) -> bool {
        matches!(self.spans.as_slice(), [span] if span.from == span.until && !span.is_quoted)
    }

    /// Splits the record at its delimiters, from where it was open when it had less lines.
    fn split(&mut self, delimiter: u8, mut open: Option<Open>) -> Result<(), Unsplit> {
        if open.is_none() {
            self.spans.clear();
            self.unescaped.clear();
        }
        let (raw, bytes) = (self.raw.as_str(), self.raw.as_bytes());
        let mut next = open.map_or(0, |open| open.at);
        loop {
            let at = next;
            let rest = &bytes[at..];
            if rest.first() != Some(&b'"') {
                next = at + rest.iter().position(|b| *b == delimiter).unwrap_or(rest.len());
                let span = Span { at, from: at, until: next, is_quoted: false, is_unescaped: false };
                self.spans.push(span);
            } else {
                let (from, begun) = (at + 1, self.unescaped.len());
                let fresh = Open { at, from, searched: from, begun, is_unescaped: false };
                let Open { mut from, mut searched, begun, mut is_unescaped, .. } =
                    open.take().unwrap_or(fresh);
                let until = loop {
                    let found = raw[searched..].find('"').map(|i| searched + i);
                    #[cfg(test)]
                    {
                        self.searched += found.unwrap_or(raw.len()) - searched;
                    }
                    let Some(quote) = found else {
                        let searched = raw.len();
                        return Err(Unsplit::Open(Open { at, from, searched, begun, is_unescaped }));
                    };
                    if bytes.get(quote + 1) != Some(&b'"') {
                        break quote;
                    }
                    // Two quotes are one, and the field goes on.
                    is_unescaped = true;
                    self.unescaped.push_str(&raw[from..=quote]);
                    from = quote + 2;
                    searched = from;
                };
                next = until + 1;
                if let Some(c) = raw[next..].chars().next()
                    && c != char::from(delimiter)
                {
                    let what = format!("`{c}` stands behind the end of a quoted field");
                    return Err(Unsplit::Wrong(error_at(raw, self.line, next, what)));
                }
                let (from, until) = match is_unescaped {
                    true => {
                        self.unescaped.push_str(&raw[from..until]);
                        (begun, self.unescaped.len())
                    }
                    false => (from, until),
                };
                self.spans.push(Span { at, from, until, is_quoted: true, is_unescaped });
            }
            if next == bytes.len() {
                return Ok(());
            }
            next += 1;
        }
    }
}

enum Unsplit {
    Open(Open),
    Wrong(CsvError),
}

impl<R: BufRead> Records<R> {
    /// Begins with the first line. Fields are parted by `delimiter`.
    pub fn new(input: R, delimiter: u8) -> Records<R> {
        let (buffer, record) = (Vec::new(), Record::default());
        Records { input, delimiter, line: 0, bytes: 0, buffer, line_end: "", record }
    }

    /// Returns how many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the next record, `None` at the end. Blank lines are passed over.
    pub fn read_next(&mut self) -> Result<Option<&Record>, CsvError> {
        loop {
            self.record.raw.clear();
            if !self.read_line()? {
                return Ok(None);
            }
            self.record.line = self.line;
            let mut begun = None;
            loop {
                match self.record.split(self.delimiter, begun) {
                    Ok(()) => break,
                    Err(Unsplit::Wrong(error)) => return Err(error),
                    // The quote goes on in the next line.
                    Err(Unsplit::Open(open)) => {
                        let is_too_long = self.record.raw.len() > RECORD_BYTES_MAX;
                        self.record.raw.push_str(self.line_end);
                        if is_too_long || !self.read_line()? {
                            let Record { raw, line, .. } = &self.record;
                            return Err(error_at(raw, *line, open.at, "a quote has no end"));
                        }
                        begun = Some(open);
                    }
                }
            }
            if !self.record.is_blank() {
                return Ok(Some(&self.record));
            }
        }
    }

    /// Appends a line to the record; false at the end.
    fn read_line(&mut self) -> Result<bool, CsvError> {
        let wrong = |line, column, what: String| CsvError { line, column, what };
        self.buffer.clear();
        let read: io::Result<usize> = {
            let limited = &mut io::Read::take(&mut self.input, RECORD_BYTES_MAX as u64 + 2);
            limited.read_until(b'\n', &mut self.buffer)
        };
        match read {
            Ok(0) => return Ok(false),
            Ok(count) => self.bytes += count as u64,
            Err(error) => return Err(wrong(self.line + 1, 1, format!("it cannot be read: {error}"))),
        }
        self.line = self.line.saturating_add(1);
        let mut bytes = self.buffer.as_slice();
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(wrong(
                self.line,
                1,
                format!("the line has more than {} MiB", RECORD_BYTES_MAX >> 20),
            ));
        }
        self.line_end =
            ["\r\n", "\n", ""].into_iter().find(|end| bytes.ends_with(end.as_bytes())).unwrap_or("");
        bytes = &bytes[..bytes.len() - self.line_end.len()];
        if self.line == 1 {
            bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            wrong(self.line, good.chars().count() as u32 + 1, "it is not UTF-8".into())
        })?;
        self.record.raw.push_str(text);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field on its own: text, whether it is quoted, line, column.
    type Owned = (String, bool, u32, u32);

    fn records(text: &str) -> Result<Vec<Vec<Owned>>, CsvError> {
        let mut records = Records::new(text.as_bytes(), b',');
        let mut all = Vec::new();
        while let Some(record) = records.read_next()? {
            let owned = |field: Field<'_>| {
                let at = field.error("");
                (field.text.to_owned(), field.is_quoted, at.line, at.column)
            };
            all.push(record.fields().map(owned).collect());
        }
        Ok(all)
    }

    #[test]
    fn fields_may_be_quoted_over_lines() {
        let all = records("\u{feff}a,\"b \"\"c\"\"\n,d\",\r\n\nx,y,\"\"\n").unwrap();
        let texts: Vec<Vec<&str>> = all.iter().map(|r| r.iter().map(|f| f.0.as_str()).collect()).collect();
        assert_eq!(texts, [["a", "b \"c\"\n,d", ""], ["x", "y", ""]]);
        assert_eq!((all[0][2].2, all[0][2].3), (2, 5));
        assert_eq!((all[1][1].2, all[1][1].3), (4, 3));
        assert!(!all[0][2].1 && all[1][2].1);
    }

    #[test]
    fn a_field_keeps_the_ends_of_its_lines() {
        let all = records("a,\"one\r\ntwo\nthree\r\n\"\r\nx,\"\r\"\n").unwrap();
        let texts: Vec<Vec<&str>> = all.iter().map(|r| r.iter().map(|f| f.0.as_str()).collect()).collect();
        assert_eq!(texts, [["a", "one\r\ntwo\nthree\r\n"], ["x", "\r"]]);
    }

    #[test]
    fn a_quote_over_many_lines_is_read_once() {
        let lines = 20_000;
        for (line, is_unescaped) in [("x\n", false), ("x \"\"y\"\"\n", true)] {
            let text = format!("a,\"{}", line.repeat(lines));
            let whole = format!("{text}\",b\n");
            let mut found = Records::new(whole.as_bytes(), b',');
            let field = if is_unescaped { line.replace("\"\"", "\"") } else { line.to_owned() }.repeat(lines);
            let record = found.read_next().unwrap().expect("there is a record");
            let fields: Vec<&str> = record.fields().map(|f| f.text).collect();
            assert_eq!(fields, ["a", &field, "b"]);
            assert!(found.record.searched <= whole.len(), "{} of {}", found.record.searched, whole.len());
            let error = records(&text).unwrap_err();
            assert_eq!((error.line, error.column), (1, 3), "{}", error.what);
        }
    }
}
