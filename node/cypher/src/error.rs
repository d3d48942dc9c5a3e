//! Errors of a query: what, where, and what was meant.
//!
//! Every error has the type, detail and phase that the openCypher TCK gives it, so a client can act on
//! it, and a message for people. Texts that Memgraph fixes are [`ErrorKind::Statement`]: they are shown
//! as they stand, without the type at the end.

use crate::ast::Span;
use std::fmt;

/// The error types of the openCypher TCK, and the two that it has no word for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    SyntaxError,
    SemanticError,
    TypeError,
    ArgumentError,
    ArithmeticError,
    EntityNotFound,
    PropertyNotFound,
    LabelNotFound,
    ParameterMissing,
    ProcedureError,
    ConstraintVerificationFailed,
    ConstraintValidationFailed,
    ExternalResourceFailed,
    /// A statement about the node or its schema that is refused with a text of Memgraph.
    Statement,
    /// A limit was reached: memory, time, nesting, or the query was asked to stop.
    Limit,
}

impl ErrorKind {
    /// Returns the word that the TCK uses.
    pub fn word(self) -> &'static str {
        match self {
            ErrorKind::SyntaxError => "SyntaxError",
            ErrorKind::SemanticError => "SemanticError",
            ErrorKind::TypeError => "TypeError",
            ErrorKind::ArgumentError => "ArgumentError",
            ErrorKind::ArithmeticError => "ArithmeticError",
            ErrorKind::EntityNotFound => "EntityNotFound",
            ErrorKind::PropertyNotFound => "PropertyNotFound",
            ErrorKind::LabelNotFound => "LabelNotFound",
            ErrorKind::ParameterMissing => "ParameterMissing",
            ErrorKind::ProcedureError => "ProcedureError",
            ErrorKind::ConstraintVerificationFailed => "ConstraintVerificationFailed",
            ErrorKind::ConstraintValidationFailed => "ConstraintValidationFailed",
            ErrorKind::ExternalResourceFailed => "ExternalResourceFailed",
            ErrorKind::Statement => "Statement",
            ErrorKind::Limit => "Limit",
        }
    }
}

/// When the error came up: before the first row could be asked for, or while rows were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    CompileTime,
    RunTime,
}

/// Why a query was refused or stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct CypherError {
    pub kind: ErrorKind,
    /// Detail as in the TCK, e.g. `UndefinedVariable`; empty where it has none.
    pub detail: &'static str,
    pub phase: Phase,
    /// What happened, and what may have been meant. Without place and type.
    pub message: String,
    /// Where in the text, in bytes.
    pub span: Option<Span>,
    /// Line of the beginning of `span`, from 1; 0 while unknown.
    pub line: u32,
    /// Column in characters, from 1; 0 while unknown.
    pub column: u32,
    /// True if the same query can succeed when it is tried again.
    pub is_transient: bool,
}

impl CypherError {
    /// Builds an error that is found before the query runs.
    pub fn compile(kind: ErrorKind, detail: &'static str, span: Span, message: impl Into<String>) -> Self {
        CypherError {
            kind,
            detail,
            phase: Phase::CompileTime,
            message: message.into(),
            span: Some(span),
            line: 0,
            column: 0,
            is_transient: false,
        }
    }

    /// Builds a `SyntaxError`, by far the most frequent kind.
    pub fn syntax(detail: &'static str, span: Span, message: impl Into<String>) -> Self {
        CypherError::compile(ErrorKind::SyntaxError, detail, span, message)
    }

    /// Builds an error that is found while the query runs.
    pub fn runtime(kind: ErrorKind, detail: &'static str, message: impl Into<String>) -> Self {
        CypherError {
            kind,
            detail,
            phase: Phase::RunTime,
            message: message.into(),
            span: None,
            line: 0,
            column: 0,
            is_transient: false,
        }
    }

    /// Builds an error whose text Memgraph fixes; it is shown as it stands.
    pub fn statement(message: impl Into<String>) -> Self {
        let mut error = CypherError::runtime(ErrorKind::Statement, "", message);
        error.phase = Phase::CompileTime;
        error
    }

    /// Builds an error for a limit that was reached.
    pub fn limit(message: impl Into<String>) -> Self {
        CypherError::runtime(ErrorKind::Limit, "", message)
    }

    /// Marks the error as one that a retry can help.
    pub fn transient(mut self) -> Self {
        self.is_transient = true;
        self
    }

    /// Gives the error a place, where it has none yet.
    pub fn at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }

    /// Gives an error of a running query the place of what failed, where it has none yet. Limits, texts of Memgraph and
    /// what a retry can help are about the query as a whole and get none.
    #[cold]
    #[inline(never)]
    pub(crate) fn failed_at(mut self, span: Span) -> Self {
        if self.span.is_none()
            && !self.is_transient
            && !matches!(self.kind, ErrorKind::Statement | ErrorKind::Limit)
        {
            self.span = Some(span);
        }
        self
    }

    /// Fills in line and column from the text of the query, where they are not known yet.
    pub fn located(mut self, text: &str) -> Self {
        if let Some(span) = self.span
            && self.line == 0
        {
            let (line, column) = line_and_column(text, span.start as usize);
            self.line = line;
            self.column = column;
        }
        self
    }
}

/// Gives the error of what stands at `span` that place. Costs nothing where there is none.
#[inline(always)]
pub(crate) fn placed<T>(made: Result<T, CypherError>, span: Span) -> Result<T, CypherError> {
    match made {
        Ok(made) => Ok(made),
        Err(error) => Err(error.failed_at(span)),
    }
}

/// Returns the line and the column in characters of a byte offset, both from 1.
pub fn line_and_column(text: &str, offset: usize) -> (u32, u32) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    (line as u32, column as u32)
}

impl fmt::Display for CypherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.kind == ErrorKind::Statement {
            return Ok(());
        }
        if self.line > 0 {
            write!(f, " (line {}, column {})", self.line, self.column)?;
        }
        match self.detail {
            "" if self.kind == ErrorKind::Limit => Ok(()),
            "" => write!(f, " [{}]", self.kind.word()),
            detail => write!(f, " [{}: {detail}]", self.kind.word()),
        }
    }
}

impl std::error::Error for CypherError {}

/// Returns the candidate that was most likely meant by `word`, where one is near enough.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let allowed = match word.len() {
        0..=2 => return None,
        3..=5 => 1,
        _ => 2,
    };
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other: Vec<char> = candidate.chars().take(64).flat_map(char::to_lowercase).collect();
        if other.len().abs_diff(word.len()) > allowed {
            continue;
        }
        let distance = edit_distance(&word, &other);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Counts insertions, deletions, replacements and swaps of neighbours from one word to the other.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut cost = vec![0; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            cost[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let step = usize::from(a[i - 1] != b[j - 1]);
                let mut least = (cost[(i - 1) * width + j] + 1)
                    .min(cost[i * width + j - 1] + 1)
                    .min(cost[(i - 1) * width + j - 1] + step);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(cost[(i - 2) * width + j - 2] + 1);
                }
                least
            };
        }
    }
    cost[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_with_place_and_type() {
        let error = CypherError::syntax("UndefinedVariable", Span::new(16, 17), "Unbound variable: x.")
            .located("MATCH (n)\nRETURN x");
        assert_eq!(
            error.to_string(),
            "Unbound variable: x. (line 2, column 7) [SyntaxError: UndefinedVariable]"
        );
    }

    #[test]
    fn a_text_of_memgraph_stands_alone() {
        assert_eq!(CypherError::statement("Main can't set a port!").to_string(), "Main can't set a port!");
    }

    #[test]
    fn near_words_are_offered_and_far_ones_are_not() {
        assert_eq!(did_you_mean("RETRUN", ["MATCH", "RETURN"]), Some("RETURN"));
        assert_eq!(did_you_mean("persn", ["person", "city"]), Some("person"));
        assert_eq!(did_you_mean("xyz", ["person"]), None);
        assert_eq!(did_you_mean("n", ["m"]), None);
    }
}
