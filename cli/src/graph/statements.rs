//! Splits Cypher text into statements as it is read, and knows where each begins.
//!
//! A statement ends at a semicolon outside of quotes and comments, or at the end of the text. Lines of cypher-shell
//! that begin with a colon may stand between statements: `:begin`, `:commit` and `:auto` mean nothing here.

use std::io::{self, BufRead, Cursor, Read};

/// A statement longer than this is none: somebody named the wrong file.
const STATEMENT_BYTES_MAX: usize = 64 << 20;

/// A byte order mark in UTF-8: it is no part of a text.
const ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A statement and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its text, without the semicolon.
    pub text: String,
    /// Where it begins, from 1; columns in characters.
    pub line: u32,
    pub column: u32,
}

/// Why a text cannot be split further.
#[derive(Debug)]
pub enum SplitError {
    Read(io::Error),
    /// A statement, a quote or a comment has no end, or a line is none of Cypher.
    Text {
        line: u32,
        column: u32,
        what: String,
    },
}

/// Statements of a text, one after the other.
pub struct Statements<R> {
    input: R,
    /// The first bytes, which were looked at for a byte order mark; `None` before that.
    head: Option<Cursor<Vec<u8>>>,
    line: u32,
    column: u32,
    bytes: u64,
    is_over: bool,
}

/// Splits a whole text.
pub fn split(text: &str) -> Result<Vec<Statement>, SplitError> {
    let mut statements = Statements::new(text.as_bytes());
    let mut found = Vec::new();
    while let Some(statement) = statements.read_next()? {
        found.push(statement);
    }
    Ok(found)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    Quote(u8),
    Escape(u8),
    Slash,
    LineComment,
    Comment,
    Star,
}

impl<R: BufRead> Statements<R> {
    /// Begins with the first line.
    pub fn new(input: R) -> Statements<R> {
        Statements { input, head: None, line: 1, column: 1, bytes: 0, is_over: false }
    }

    /// Returns how many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the next statement, or `None` at the end.
    ///
    /// # Errors
    ///
    /// The text from there on is not read.
    pub fn read_next(&mut self) -> Result<Option<Statement>, SplitError> {
        while !self.is_over {
            if let Some(statement) = self.read()?.and_then(without_comments)
                && let Some(statement) = without_command(statement)?
            {
                return Ok(Some(statement));
            }
        }
        Ok(None)
    }

    /// Reads the first bytes, and passes over a byte order mark.
    fn read_head(&mut self) -> io::Result<Cursor<Vec<u8>>> {
        let mut head = Vec::new();
        self.input.by_ref().take(ORDER_MARK.len() as u64).read_to_end(&mut head)?;
        if head == ORDER_MARK {
            self.bytes += head.len() as u64;
            head.clear();
        }
        Ok(Cursor::new(head))
    }

    /// Reads up to the next semicolon. What it returns may be blank.
    fn read(&mut self) -> Result<Option<Statement>, SplitError> {
        let mut text: Vec<u8> = Vec::new();
        let mut begin: Option<(u32, u32)> = None;
        let mut within = Within::Nothing;
        let mut opened = (self.line, self.column);
        if self.head.is_none() {
            self.head = Some(self.read_head().map_err(SplitError::Read)?);
        }
        let mut input = self.head.as_mut().expect("it was just read").chain(&mut self.input);
        loop {
            let chunk = input.fill_buf().map_err(SplitError::Read)?;
            if chunk.is_empty() {
                self.is_over = true;
                let what = match within {
                    Within::Quote(_) | Within::Escape(_) => "a quote has no end",
                    Within::Comment | Within::Star => "a comment has no end",
                    _ => return finish(text, begin),
                };
                return Err(SplitError::Text { line: opened.0, column: opened.1, what: what.to_owned() });
            }
            let mut used = 0;
            let mut ended = false;
            for &byte in chunk {
                used += 1;
                let at = (self.line, self.column);
                match byte {
                    b'\n' => (self.line, self.column) = (self.line.saturating_add(1), 1),
                    // A character counts once, by its first byte.
                    _ if byte & 0xC0 != 0x80 => self.column += 1,
                    _ => {}
                }
                let quote = |q| (Within::Quote(q), true);
                let (next, opens) = match (within, byte) {
                    (Within::Nothing | Within::Slash, b'"' | b'\'' | b'`') => quote(byte),
                    (Within::Nothing, b'/') => (Within::Slash, true),
                    (Within::Slash, b'/') => (Within::LineComment, false),
                    (Within::Slash, b'*') => (Within::Comment, false),
                    (Within::Nothing | Within::Slash, _) => (Within::Nothing, false),
                    (Within::Quote(q), b'\\') if q != b'`' => (Within::Escape(q), false),
                    (Within::Quote(q), b) if q == b => (Within::Nothing, false),
                    (Within::Escape(q), _) => (Within::Quote(q), false),
                    (Within::LineComment, b'\n') => (Within::Nothing, false),
                    (Within::Comment | Within::Star, b'*') => (Within::Star, false),
                    (Within::Star, b'/') => (Within::Nothing, false),
                    (Within::Star, _) => (Within::Comment, false),
                    (same, _) => (same, false),
                };
                if opens {
                    opened = at;
                }
                let was = std::mem::replace(&mut within, next);
                if was == Within::Nothing && byte == b';' {
                    ended = true;
                    break;
                }
                if begin.is_none() {
                    // Blanks are no beginning.
                    if byte.is_ascii_whitespace() {
                        continue;
                    }
                    begin = Some(at);
                }
                if byte == b'\n' && text.first() == Some(&b':') && !text.starts_with(b":auto") {
                    within = Within::Nothing;
                    ended = true;
                    break;
                }
                // A semicolon after a slash that began no comment ends, too.
                if was == Within::Slash && next == Within::Nothing && byte == b';' {
                    ended = true;
                    break;
                }
                text.push(byte);
            }
            input.consume(used);
            self.bytes += used as u64;
            if ended {
                return finish(text, begin);
            }
            if text.len() > STATEMENT_BYTES_MAX {
                let (line, column) = begin.unwrap_or((self.line, self.column));
                let what = format!("no semicolon within {} MiB", STATEMENT_BYTES_MAX >> 20);
                return Err(SplitError::Text { line, column, what });
            }
        }
    }
}

fn finish(text: Vec<u8>, begin: Option<(u32, u32)>) -> Result<Option<Statement>, SplitError> {
    let Some((line, column)) = begin else { return Ok(None) };
    match String::from_utf8(text) {
        Ok(mut text) => {
            text.truncate(text.trim_end().len());
            Ok(Some(Statement { text, line, column }))
        }
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let good = String::from_utf8_lossy(good);
            let (line, column) = place_within(&good, good.chars().count(), line, column);
            Err(SplitError::Text { line, column, what: "it is not UTF-8".to_owned() })
        }
    }
}

/// Returns the place in a file of the character at `index` in a statement that begins at `line`:`column`.
pub fn place_within(text: &str, index: usize, line: u32, column: u32) -> (u32, u32) {
    text.chars().take(index).fold((line, column), |(line, column), c| match c {
        '\n' => (line + 1, 1),
        _ => (line, column + 1),
    })
}

/// Takes comments off the beginning; of nothing but comments nothing is left.
fn without_comments(statement: Statement) -> Option<Statement> {
    let mut rest = statement.text.trim_start();
    loop {
        rest = if let Some(after) = rest.strip_prefix("//") {
            after.split_once('\n').map_or("", |(_, rest)| rest).trim_start()
        } else if let Some(after) = rest.strip_prefix("/*") {
            after.split_once("*/").map_or("", |(_, rest)| rest).trim_start()
        } else {
            return (!rest.is_empty()).then(|| after(&statement, statement.text.len() - rest.len()));
        }
    }
}

/// Takes `:auto` off the beginning; `:begin` and `:commit` are nothing.
fn without_command(statement: Statement) -> Result<Option<Statement>, SplitError> {
    if !statement.text.starts_with(':') {
        return Ok(Some(statement));
    }
    let word = statement.text.split_whitespace().next().unwrap_or_default();
    let rest = statement.text[word.len()..].trim_start();
    match (word.to_ascii_lowercase().as_str(), rest) {
        (":begin" | ":commit" | ":auto", "") => Ok(None),
        (":auto", rest) => Ok(Some(after(&statement, statement.text.len() - rest.len()))),
        _ => Err(SplitError::Text {
            line: statement.line,
            column: statement.column,
            what: format!("`{word}` is a command of a console, not Cypher"),
        }),
    }
}

/// Returns what follows the first `bytes` of a statement.
fn after(statement: &Statement, bytes: usize) -> Statement {
    let (skipped, text) = statement.text.split_at(bytes);
    let (line, column) = place_within(skipped, usize::MAX, statement.line, statement.column);
    Statement { text: text.to_owned(), line, column }
}

/// Returns true for what servers refuse inside of a transaction: schema, users, settings.
pub fn is_alone(text: &str) -> bool {
    let words: Vec<String> = text.split_whitespace().take(3).map(str::to_ascii_uppercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    const THINGS: [&str; 15] = [
        "INDEX",
        "CONSTRAINT",
        "EDGE",
        "POINT",
        "TEXT",
        "VECTOR",
        "UNIQUE",
        "GLOBAL",
        "ENUM",
        "TRIGGER",
        "USER",
        "ROLE",
        "DATABASE",
        "SNAPSHOT",
        "STREAM",
    ];
    match words.as_slice() {
        // `CREATE index = (a)-->(b)` names a path.
        ["CREATE" | "DROP" | "ALTER", thing, rest @ ..] => {
            THINGS.contains(thing) && !rest.first().is_some_and(|r| r.starts_with('='))
        }
        ["STORAGE" | "FREE" | "SHOW" | "REGISTER" | "GRANT" | "DENY" | "REVOKE" | "ANALYZE", ..] => true,
        ["FENCE" | "REWIND" | "CONFIRM" | "RELEASE", "REPLICATION", ..] => true,
        ["SET", "REPLICATION" | "GLOBAL" | "SESSION" | "DATABASE" | "PASSWORD", ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn split(text: &str) -> Vec<(String, u32, u32)> {
        // However the text comes in pieces, it is split alike.
        let all = |size| {
            let mut statements = Statements::new(BufReader::with_capacity(size, text.as_bytes()));
            let mut found = Vec::new();
            while let Some(s) = statements.read_next().unwrap() {
                found.push((s.text, s.line, s.column));
            }
            assert_eq!(statements.bytes(), text.len() as u64);
            found
        };
        let whole = all(1 << 16);
        assert_eq!(all(1), whole);
        whole
    }

    fn refusal(text: &[u8]) -> (u32, u32, String) {
        let mut statements = Statements::new(text);
        loop {
            match statements.read_next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it was taken"),
                Err(SplitError::Text { line, column, what }) => return (line, column, what),
                Err(SplitError::Read(error)) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        let text =
            "\u{feff}CREATE (:A {s: 'a;\\'b'}); // one; two\n\n  /* x; */ MATCH (`n;\"`)\nRETURN 1;;\n// end";
        assert_eq!(
            split(text),
            [("CREATE (:A {s: 'a;\\'b'})".to_owned(), 1, 1), ("MATCH (`n;\"`)\nRETURN 1".to_owned(), 3, 12),]
        );
        assert_eq!(
            split("RETURN 4/2;RETURN 6 / /* ; */ 3"),
            [("RETURN 4/2".to_owned(), 1, 1), ("RETURN 6 / /* ; */ 3".to_owned(), 1, 12)]
        );
        assert_eq!(split("RETURN 'é' /; RETURN 2")[1], ("RETURN 2".to_owned(), 1, 15));
        assert_eq!(split(" \n ; // x"), []);
        // It begins with a byte of a byte order mark, and is none.
        assert_eq!(split("\u{ff21};A"), [("\u{ff21}".to_owned(), 1, 1), ("A".to_owned(), 1, 3)]);
    }

    #[test]
    fn lines_of_cypher_shell_between_statements_are_passed_over() {
        let text = ":begin\nCREATE (a);\n:commit\n:auto CREATE\n(b);\nCREATE (c:A);";
        let found: Vec<(String, u32, u32)> = split(text);
        let place = |text: &str, line, column| (text.to_owned(), line, column);
        assert_eq!(
            found,
            [place("CREATE (a)", 2, 1), place("CREATE\n(b)", 4, 7), place("CREATE (c:A)", 6, 1)]
        );
        assert_eq!(
            refusal(b"CREATE (a);\n :param x => 1\n"),
            (2, 2, "`:param` is a command of a console, not Cypher".into())
        );
    }

    #[test]
    fn what_has_no_end_is_named_where_it_begins() {
        assert_eq!(refusal(b"RETURN 1;\nRETURN 'a;\n"), (2, 8, "a quote has no end".into()));
        assert_eq!(refusal(b"/* x"), (1, 1, "a comment has no end".into()));
        assert_eq!(refusal(b"RETURN 1;\n\xC3\xA9\xFF;"), (2, 2, "it is not UTF-8".into()));
    }

    #[test]
    fn what_cannot_be_in_a_transaction_is_known() {
        for text in ["create index on :A(b)", "DROP CONSTRAINT ON (n:A) ASSERT n.a IS UNIQUE", "SHOW VERSION"]
        {
            assert!(is_alone(text), "{text}");
        }
        for text in ["CREATE (n)", "CREATE index = (a)-->(b)", "MATCH (n) SET n.x = 1", "DROP"] {
            assert!(!is_alone(text), "{text}");
        }
    }
}
