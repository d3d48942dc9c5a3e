//! The line that somebody types: many lines up to a semicolon, Tab, and what was typed before.

use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Context, Helper};

use super::words::{self, Words};
use crate::error::{CliError, Exit};
use crate::graph::statements::{SplitError, Statements};
use crate::runtime::process::Processes;

/// How many statements are remembered.
const HISTORY_MAX: usize = 2000;

/// What was typed.
pub(super) enum Line {
    Text(String),
    /// Ctrl-C: it is not meant.
    Dropped,
    /// Ctrl-D.
    End,
}

pub(super) struct Editor {
    lines: rustyline::Editor<Aid, FileHistory>,
    history: Option<PathBuf>,
}

#[derive(Default)]
struct Aid {
    words: Words,
    nodes: Vec<String>,
}

impl Editor {
    pub(super) fn new() -> Result<Editor, CliError> {
        let config = rustyline::Config::builder()
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .build();
        let mut lines = rustyline::Editor::with_history(config, FileHistory::new()).map_err(unusable)?;
        lines.set_max_history_size(HISTORY_MAX).map_err(unusable)?;
        lines.set_helper(Some(Aid::default()));
        let history = Processes::of_this_user().ok().map(|here| here.root().join("console_history"));
        if let Some(path) = &history {
            // Without one there is none yet.
            let _ = lines.load_history(path);
        }
        Ok(Editor { lines, history })
    }

    pub(super) fn know(&mut self, words: Words) {
        if let Some(aid) = self.lines.helper_mut() {
            aid.words = words;
        }
    }

    pub(super) fn know_nodes(&mut self, nodes: Vec<String>) {
        if let Some(aid) = self.lines.helper_mut() {
            aid.nodes = nodes;
        }
    }

    /// Waits for a whole line: a command, or statements up to a semicolon.
    pub(super) fn read(&mut self, prompt: &str) -> Result<Line, CliError> {
        match self.lines.readline(prompt) {
            Ok(text) => {
                // What begins with a blank is not remembered; a password may stand there.
                if self.lines.add_history_entry(&text).unwrap_or(false) {
                    self.remember();
                }
                Ok(Line::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Line::Dropped),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(error) => Err(unusable(error)),
        }
    }

    /// Writes the history down, for this user alone. It is a convenience: a disk that is full does not end the console.
    fn remember(&mut self) {
        let Some(path) = &self.history else { return };
        if let Some(folder) = path.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        if self.lines.append_history(path).is_ok() {
            #[cfg(unix)]
            let _ = std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600));
        }
    }
}

fn unusable(error: ReadlineError) -> CliError {
    CliError::new(Exit::Other, format!("this terminal cannot be read: {error}"))
        .help("send statements to standard input instead: mgctl console < FILE")
}

/// Returns true for what can be run as it is: a command, or statements of which the last has its semicolon.
fn is_whole(text: &str) -> bool {
    let text = text.trim();
    if text.is_empty() || text.starts_with(':') {
        return true;
    }
    // A quote or a comment may go on in the next line. With a mark behind it shows whether a statement is open.
    let marked = format!("{text}\n\u{1}");
    let mut statements = Statements::new(marked.as_bytes());
    let mut last = None;
    loop {
        match statements.read_next() {
            Ok(Some(next)) => last = Some(next.text),
            Ok(None) => return last.is_some_and(|last| last == "\u{1}"),
            Err(SplitError::Text { what, .. }) => return !what.contains("has no end"),
            Err(SplitError::Read(_)) => return true,
        }
    }
}

impl Helper for Aid {}

impl Highlighter for Aid {}

impl Hinter for Aid {
    type Hint = String;
}

impl Validator for Aid {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match is_whole(context.input()) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Completer for Aid {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(words::complete(&self.words, &self.nodes, &line[..at]))
    }
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn a_statement_is_whole_with_its_semicolon() {
        for text in ["", ":main", "RETURN 1;", "RETURN 1; RETURN 2; ", "RETURN ';' ;\n", "RETURN 1; // done"]
        {
            assert!(is_whole(text), "{text}");
        }
        for text in ["RETURN 1", "RETURN 1; RETURN 2", "RETURN 'a;", "RETURN 1 /* ;", "MATCH (n) // x;"] {
            assert!(!is_whole(text), "{text}");
        }
    }
}
