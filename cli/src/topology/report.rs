//! Collects the problems of one file, each with its line.

use std::sync::Arc;

use super::tree::Span;
use crate::error::{Place, Problem, Severity, Snippet, printable};

/// Longest part of a line that is shown.
const SHOWN_MAX: usize = 110;

/// The problems of a file so far.
pub(super) struct Report<'a> {
    file: Arc<str>,
    lines: Vec<&'a str>,
    problems: Vec<Problem>,
    /// Places whose text is not shown.
    hidden: Vec<Span>,
    /// What the command line sets.
    sets: Vec<Arc<str>>,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: Arc<str>, text: &'a str) -> Report<'a> {
        Report {
            file,
            lines: text.lines().collect(),
            problems: Vec::new(),
            hidden: Vec::new(),
            sets: Vec::new(),
        }
    }

    /// Adds the places of what the command line sets.
    pub(super) fn set(&mut self, sets: &[(String, String)]) {
        // A value may be a password; its key says enough.
        self.sets = sets.iter().map(|(key, _)| format!("--set {key}").into()).collect();
    }

    /// Shows the text at `span` in no problem: a secret stands there.
    pub(super) fn hide(&mut self, span: Span) {
        self.hidden.push(span);
    }

    /// Adds an error at `span`.
    pub(super) fn error(&mut self, code: &'static str, span: Span, what: impl Into<String>) -> &mut Problem {
        self.add(Problem::error(what).code(code), span)
    }

    /// Adds a warning about `span`.
    pub(super) fn warning(
        &mut self,
        code: &'static str,
        span: Span,
        what: impl Into<String>,
    ) -> &mut Problem {
        self.add(Problem::warning(what).code(code), span)
    }

    fn add(&mut self, problem: Problem, span: Span) -> &mut Problem {
        let mut problem = problem.at(self.place(span));
        problem.snippets.extend(self.snippet(span));
        self.problems.push(problem);
        self.problems.last_mut().expect("a problem was just added")
    }

    /// Shows another line in the problem that was added last.
    pub(super) fn also(&mut self, span: Span) {
        let snippet = self.snippet(span);
        if let Some(problem) = self.problems.last_mut()
            && let Some(snippet) = snippet
            && !problem.snippets.contains(&snippet)
        {
            problem.snippets.push(snippet);
            problem.snippets.sort_by_key(|s| (s.line, s.column));
        }
    }

    pub(super) fn place(&self, span: Span) -> Place {
        match span.set() {
            Some(index) => Place {
                file: self.sets.get(index).cloned().unwrap_or_else(|| "--set".into()),
                line: 0,
                column: 0,
            },
            None => Place { file: self.file.clone(), line: span.line, column: span.column },
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.problems.iter().any(|p| p.severity == Severity::Error)
    }

    /// Returns whether a problem so far has `text` in its message or help.
    pub(super) fn mentions(&self, text: &str) -> bool {
        self.problems.iter().any(|p| p.what.contains(text) || p.help.iter().any(|help| help.contains(text)))
    }

    /// Returns the problems in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|p| p.place.as_ref().map(|place| (place.line, place.column)));
        self.problems
    }

    fn snippet(&self, span: Span) -> Option<Snippet> {
        let line = *self.lines.get(span.line.checked_sub(1)? as usize)?;
        let mut text: Vec<char> = line.chars().collect();
        for hidden in self.hidden.iter().filter(|hidden| hidden.line == span.line) {
            let from = hidden.column.saturating_sub(1) as usize;
            text.iter_mut().skip(from).take(hidden.width as usize).for_each(|c| *c = '*');
        }
        let start = (span.column.saturating_sub(1) as usize).min(text.len());
        let end = (start + span.width.max(1) as usize).min(text.len().max(start + 1));
        // A long line is shown from a little before the mark.
        let from = if text.len() <= SHOWN_MAX { 0 } else { start.saturating_sub(SHOWN_MAX / 3) };
        let to = text.len().min(from + SHOWN_MAX);
        let mut shown: String = text[from..to].iter().collect();
        let mut column = start - from + 1;
        if from > 0 {
            shown.insert(0, '…');
            column += 1;
        }
        if to < text.len() {
            shown.push('…');
        }
        Some(Snippet {
            line: span.line,
            text: printable(shown.trim_end()),
            column: column as u32,
            width: (end.min(to.max(start + 1)) - start) as u32,
        })
    }
}

/// Returns the word of `known` that was probably meant.
pub fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let word = word.to_lowercase();
    if word.chars().count() > 64 {
        return None;
    }
    let limit = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Counts the letters to insert, delete, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Joins names for a sentence: `a`, `b` and `c`.
pub fn list<T: AsRef<str>>(names: &[T]) -> String {
    let quoted: Vec<String> = names.iter().map(|n| format!("`{}`", n.as_ref())).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        assert_eq!(nearest("SNYC", ["SYNC", "ASYNC", "STRICT_SYNC"]), Some("SYNC"));
        assert_eq!(nearest("prot", ["port", "mode"]), Some("port"));
        assert_eq!(nearest("replika", ["main", "replica"]), Some("replica"));
        assert_eq!(nearest("zebra", ["port", "mode"]), None);
    }

    #[test]
    fn a_long_line_is_shown_around_its_mark() {
        let text = format!("key: {}", "x".repeat(500));
        let report = Report::new("f".into(), &text);
        let snippet = report.snippet(Span { line: 1, column: 400, width: 3 }).unwrap();
        assert!(snippet.text.chars().count() <= SHOWN_MAX + 2);
        assert!(snippet.text.starts_with('…') && snippet.text.ends_with('…'));
        assert_eq!((snippet.column, snippet.width), (38, 3));
        assert_eq!(report.snippet(Span { line: 2, column: 1, width: 1 }), None);
    }

    #[test]
    fn what_is_hidden_is_shown_in_no_line() {
        let mut report = Report::new("f".into(), "auth: { pasword: x, password: hunter2 }");
        report.hide(Span { line: 1, column: 31, width: 7 });
        let snippet = report.snippet(Span { line: 1, column: 9, width: 7 }).unwrap();
        assert_eq!(snippet.text, "auth: { pasword: x, password: ******* }");
    }

    #[test]
    fn a_mark_over_several_lines_ends_with_the_first() {
        let report = Report::new("f".into(), "a: |\n  text\n  more\n");
        let snippet = report.snippet(Span { line: 2, column: 3, width: 12 }).unwrap();
        assert_eq!((snippet.column, snippet.width), (3, 4));
    }
}
