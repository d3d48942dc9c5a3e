//! `LOAD CSV`: rows out of a file, one at a time.

use super::{Machine, State};
use crate::csv::{Dialect, Outcome, Reader, Record};
use crate::error::{CypherError, ErrorKind};
use crate::fail;
use crate::plan::{Expr, LoadCsv, OpId};
use crate::value::type_name;
use mgnode_core::types::Value;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

/// Where files to load come from.
pub trait Import: Send + Sync {
    /// Opens what a URL or path names.
    ///
    /// # Errors
    /// What cannot be read, or must not be.
    fn open(&self, url: &str) -> Result<Box<dyn Read + Send + Sync>, CypherError>;
}

/// A file that is being read.
pub(crate) struct CsvScan {
    reader: Reader,
    record: Record,
    /// Names of the columns, where the first record holds them.
    header: Option<Header>,
    /// How many fields a record must have.
    width: Option<usize>,
    null_text: Option<String>,
    url: String,
}

/// Names of columns, each once, sorted as in the map of a row.
struct Header(Vec<(Arc<str>, usize)>);

impl Header {
    /// Of two columns with one name the last counts.
    fn new(names: Vec<Arc<str>>) -> Header {
        let columns: BTreeMap<Arc<str>, usize> = names.into_iter().zip(0..).collect();
        Header(columns.into_iter().collect())
    }

    /// Makes a row of fields; Null where there is none. Nobody else may hold `before`, the row that came out last, if it
    /// is to be filled again.
    fn row(&self, mut fields: SmallVec<[Value; 8]>, before: Value) -> Value {
        let mut field = |column: usize| fields.get_mut(column).map(std::mem::take).unwrap_or_default();
        if let Value::Map(mut map) = before
            && map.len() == self.0.len()
            && let Some(values) = Arc::get_mut(&mut map)
            && values.keys().zip(&self.0).all(|(key, (name, _))| Arc::ptr_eq(key, name))
        {
            for (value, (_, column)) in values.values_mut().zip(&self.0) {
                *value = field(*column);
            }
            return Value::Map(map);
        }
        let pairs = self.0.iter().map(|(name, column)| (name.clone(), field(*column)));
        Value::Map(Arc::new(pairs.collect()))
    }
}

fn failed(detail: &'static str, message: String) -> CypherError {
    CypherError::runtime(ErrorKind::ExternalResourceFailed, detail, message)
}

impl<'a> Machine<'a> {
    pub(super) fn load_csv(&mut self, id: OpId, csv: &'a LoadCsv) -> Result<bool, CypherError> {
        loop {
            if let State::Csv(_) = &self.states[id] {
                if self.next_record(id, csv)? {
                    return Ok(true);
                }
                self.states[id] = State::Fresh;
            }
            if !self.next(csv.input)? {
                return Ok(false);
            }
            let scan = self.open_csv(csv)?;
            self.states[id] = State::Csv(Box::new(scan));
        }
    }

    fn text(&mut self, expr: &'a Expr, what: &str) -> Result<String, CypherError> {
        match self.eval(expr)? {
            Value::String(text) => Ok(text.to_string()),
            other => Err(fail::types(format!("{what} of `LOAD CSV` is a string, not {}", type_name(&other)))),
        }
    }

    fn open_csv(&mut self, csv: &'a LoadCsv) -> Result<CsvScan, CypherError> {
        let url = self.text(&csv.source, "The file")?;
        let mut dialect = Dialect { backslashes: csv.is_lenient, ..Dialect::default() };
        if let Some(quote) = &csv.quote {
            let text = self.text(quote, "The quote")?;
            dialect.quote = match text.as_bytes() {
                [quote] if !matches!(quote, b'\r' | b'\n') => *quote,
                _ => {
                    return Err(fail::value(format!(
                        "the quote of `LOAD CSV` is one character of ASCII, not '{text}'"
                    )));
                }
            };
        }
        if let Some(delimiter) = &csv.delimiter {
            let text = self.text(delimiter, "The delimiter")?;
            let is_usable = |b: &u8| !matches!(*b, b'\r' | b'\n') && *b != dialect.quote;
            if text.is_empty() || !text.as_bytes().iter().all(is_usable) {
                return Err(fail::value(format!(
                    "the delimiter of `LOAD CSV` is text without the quote and without a line break, not '{text}'"
                )));
            }
            dialect.delimiter = text.into_bytes();
        }
        let null_text = match &csv.null_text {
            Some(text) => Some(self.text(text, "The text of null")?),
            None => None,
        };
        let Some(import) = self.run.import.clone() else {
            return Err(failed("", "Files can be loaded only by a node that is told from where.".to_owned()));
        };
        let reader = Reader::new(import.open(&url)?, dialect);
        let mut scan =
            CsvScan { reader, record: Record::default(), header: None, width: None, null_text, url };
        if csv.with_header {
            match scan.read()? {
                Outcome::End => {}
                Outcome::Bad(why) => return Err(scan.bad(why.to_owned())),
                Outcome::Record => {
                    let names: Result<Vec<Arc<str>>, usize> =
                        scan.record.fields().map(|field| field.map(|(text, _)| Arc::from(text))).collect();
                    let names =
                        names.map_err(|n| scan.bad(format!("the name of column {n} is not UTF-8")))?;
                    scan.width = (!csv.is_lenient).then_some(names.len());
                    scan.header = Some(Header::new(names));
                }
            }
        }
        Ok(scan)
    }

    /// Puts the next row into its slot. False at the end of the file.
    fn next_record(&mut self, id: OpId, csv: &'a LoadCsv) -> Result<bool, CypherError> {
        loop {
            // A record may be long, so that is asked for each.
            self.run.check_cancelled()?;
            let State::Csv(scan) = &mut self.states[id] else { unreachable!("the caller has looked") };
            let bad = match scan.read()? {
                Outcome::End => return Ok(false),
                Outcome::Bad(why) => why.to_owned(),
                Outcome::Record => {
                    // A row is a copy, which whoever keeps it accounts for.
                    self.run.require(scan.record.bytes())?;
                    let before = std::mem::take(&mut self.row[csv.slot]);
                    match scan.value(csv.is_lenient, before) {
                        Ok(value) => {
                            self.row[csv.slot] = value;
                            return Ok(true);
                        }
                        Err(why) => why,
                    }
                }
            };
            if !csv.ignore_bad {
                return Err(scan.bad(bad));
            }
        }
    }
}

impl CsvScan {
    fn read(&mut self) -> Result<Outcome, CypherError> {
        self.reader
            .read(&mut self.record)
            .map_err(|e| failed("", format!("'{}' cannot be read: {e}.", self.url)))
    }

    fn bad(&self, why: String) -> CypherError {
        let line = self.reader.began();
        failed("", format!("Line {line} of '{}' cannot be loaded: {why}.", self.url))
    }

    /// Makes a row of the record, and of the last row, which is no longer needed; an error says why it is none.
    fn value(&mut self, is_lenient: bool, before: Value) -> Result<Value, String> {
        let width = self.record.len();
        match self.width {
            Some(wanted) if wanted != width => {
                return Err(format!("it has {width} fields where {wanted} are expected"));
            }
            None if !is_lenient => self.width = Some(width),
            _ => {}
        }
        let null_text = self.null_text.as_deref();
        let value = |field: Result<(&str, bool), usize>| match field {
            Ok((text, _)) if null_text == Some(text) => Ok(Value::Null),
            Ok(("", false)) if is_lenient => Ok(Value::Null),
            Ok((text, _)) => Ok(Value::string(text)),
            Err(n) => Err(format!("field {n} is not UTF-8")),
        };
        let values = self.record.fields().map(value);
        match &self.header {
            None => values.collect::<Result<Vec<_>, _>>().map(Value::list),
            Some(header) => Ok(header.row(values.collect::<Result<_, _>>()?, before)),
        }
    }
}
