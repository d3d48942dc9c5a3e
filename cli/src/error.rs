//! What goes wrong, as a person and as a script see it.
//!
//! A [`Problem`] is one message: what happened, where, and what to do next. A [`CliError`] is what ends a
//! command: one or more problems and the exit code that a script may rely on.
//!
//! ```text
//! error[MG012]: SYNC (`r1`) and STRICT_SYNC (`r2`) cannot be mixed
//!   --> topology.yaml:6:25
//!    |
//!  6 |   r2: { role: replica, mode: STRICT_SYNC }
//!    |                              ^^^^^^^^^^^
//! help: use STRICT_SYNC and ASYNC, or SYNC and ASYNC
//! ```

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

/// The exit codes of mgctl: a contract with scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Everything asked for is true now.
    Ok = 0,
    /// Something else failed.
    Other = 1,
    /// Wrong usage, or a topology with errors.
    Usage = 2,
    /// The container engine cannot be reached or cannot be used.
    Engine = 3,
    /// No such cluster or node.
    NotFound = 4,
    /// The operation ended, but the cluster is degraded or only part of it was done.
    Degraded = 5,
    /// Waited as long as was allowed.
    TimedOut = 6,
    /// Refused because it is not safe.
    Unsafe = 7,
    /// Declined, or an answer is needed and nobody can be asked.
    Declined = 8,
    /// A port, name, subnet or lock is taken.
    Conflict = 9,
    /// `diff --exit-code`: changes are pending.
    Changes = 10,
    /// Interrupted.
    Interrupted = 130,
}

impl Exit {
    /// Returns the number that the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing can be done until it is solved.
    Error,
    /// Worth knowing; the work goes on.
    Warning,
}

impl Severity {
    /// Returns the word that opens the message.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// A place in a file. Lines and columns count from 1, columns in characters; line 0 means the file as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// Line, or 0.
    pub line: u32,
    /// Column, or 0.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// A line of the user's file and the part of it that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// Number of the line.
    pub line: u32,
    /// Its text, without control characters, tabs as one space.
    pub text: String,
    /// Where the mark begins, in characters from 1.
    pub column: u32,
    /// How many characters are marked, at least 1.
    pub width: u32,
}

/// One message: what happened, where, what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the work can go on.
    pub severity: Severity,
    /// The code under which the rule is documented, as `MG012`.
    pub code: Option<&'static str>,
    /// What happened, in one line.
    pub what: String,
    /// Where in which file.
    pub place: Option<Place>,
    /// Where outside of files: a container, an address, a position.
    pub thing: Option<String>,
    /// The lines of the file.
    pub snippets: Vec<Snippet>,
    /// More facts, a line each.
    pub notes: Vec<String>,
    /// What to do next, a line each.
    pub help: Vec<String>,
}

impl Problem {
    /// Returns an error that says `what` happened.
    pub fn error(what: impl Into<String>) -> Problem {
        Problem::new(Severity::Error, what)
    }

    /// Returns a warning that says `what` is doubtful.
    pub fn warning(what: impl Into<String>) -> Problem {
        Problem::new(Severity::Warning, what)
    }

    fn new(severity: Severity, what: impl Into<String>) -> Problem {
        Problem {
            severity,
            code: None,
            what: what.into(),
            place: None,
            thing: None,
            snippets: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Names the documented rule.
    pub fn code(mut self, code: &'static str) -> Problem {
        self.code = Some(code);
        self
    }

    /// Says where in a file.
    pub fn at(mut self, place: Place) -> Problem {
        self.place = Some(place);
        self
    }

    /// Says where outside of files, as "container `mgctl-demo-r2`; 12 commits behind `m1`".
    pub fn thing(mut self, thing: impl Into<String>) -> Problem {
        self.thing = Some(thing.into());
        self
    }

    /// Adds a fact.
    pub fn note(mut self, note: impl Into<String>) -> Problem {
        self.notes.push(note.into());
        self
    }

    /// Adds a next step.
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help.push(help.into());
        self
    }

    /// Returns the text for people. Colour adds nothing that the words lack.
    pub fn render(&self, colour: bool) -> String {
        let paint = |style: &str, text: &str| match colour {
            true => format!("\x1b[{style}m{text}\x1b[0m"),
            false => text.to_owned(),
        };
        let head = match self.code {
            Some(code) => format!("{}[{code}]", self.severity.word()),
            None => self.severity.word().to_owned(),
        };
        let head_style = match self.severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
        };
        let mut out = format!("{}: {}\n", paint(head_style, &head), paint("1", &printable(&self.what)));
        let place = match (&self.place, &self.thing) {
            (Some(place), Some(thing)) => Some(format!("{place}, {thing}")),
            (Some(place), None) => Some(place.to_string()),
            (None, Some(thing)) => Some(thing.clone()),
            (None, None) => None,
        };
        if let Some(place) = place {
            out += &format!("  {} {}\n", paint("1;34", "-->"), printable(&place));
        }
        let gutter = self.snippets.iter().map(|s| s.line.to_string().len()).max().unwrap_or(0);
        for (index, snippet) in self.snippets.iter().enumerate() {
            if index == 0 {
                out += &format!(" {:gutter$} {}\n", "", paint("1;34", "|"));
            }
            let number = format!("{:>gutter$} |", snippet.line);
            out += &format!(" {} {}\n", paint("1;34", &number), snippet.text);
            let indent = " ".repeat(snippet.column.saturating_sub(1) as usize);
            let marks = "^".repeat(snippet.width.max(1) as usize);
            out += &format!(" {:gutter$} {} {indent}{}\n", "", paint("1;34", "|"), paint(head_style, &marks));
        }
        for note in &self.notes {
            out += &format!("{}: {}\n", paint("1;36", "note"), printable(note));
        }
        for help in &self.help {
            let mut lines = help.lines();
            out += &format!("{}: {}\n", paint("1;32", "help"), printable(lines.next().unwrap_or("")));
            for line in lines {
                out += &format!("      {}\n", printable(line));
            }
        }
        out
    }

    /// Returns the same facts for scripts.
    pub fn to_json(&self) -> Value {
        let mut object = json!({ "code": self.code, "message": self.what });
        if !self.help.is_empty() {
            object["hint"] = json!(self.help.join("\n"));
        }
        if let Some(place) = &self.place {
            object["file"] = json!(&*place.file);
            if place.line > 0 {
                object["line"] = json!(place.line);
                object["column"] = json!(place.column);
            }
        }
        if let Some(thing) = &self.thing {
            object["where"] = json!(thing);
        }
        if !self.notes.is_empty() {
            object["details"] = json!(self.notes);
        }
        object
    }
}

/// Replaces control characters, so that text from a file or a server cannot steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// What ends a command: the exit code, and at least one problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    exit: Exit,
    problems: Vec<Problem>,
}

impl CliError {
    /// Returns an error with one problem.
    pub fn new(exit: Exit, what: impl Into<String>) -> CliError {
        CliError { exit, problems: vec![Problem::error(what)] }
    }

    /// Returns an error of all the `problems` found in one run.
    ///
    /// # Panics
    ///
    /// Without any problem there is nothing to say: that is a mistake of the caller.
    pub fn of(exit: Exit, problems: Vec<Problem>) -> CliError {
        assert!(!problems.is_empty(), "an error needs a problem");
        CliError { exit, problems }
    }

    /// Returns the exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns every problem, in the order found.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns the first problem: the reason.
    pub fn problem(&self) -> &Problem {
        &self.problems[0]
    }

    /// Names the documented rule.
    pub fn code(self, code: &'static str) -> CliError {
        self.map(|p| p.code(code))
    }

    /// Says where in a file.
    pub fn at(self, place: Place) -> CliError {
        self.map(|p| p.at(place))
    }

    /// Says where outside of files.
    pub fn thing(self, thing: impl Into<String>) -> CliError {
        self.map(|p| p.thing(thing))
    }

    /// Adds a fact.
    pub fn note(self, note: impl Into<String>) -> CliError {
        self.map(|p| p.note(note))
    }

    /// Adds a next step.
    pub fn help(self, help: impl Into<String>) -> CliError {
        self.map(|p| p.help(help))
    }

    /// Takes back every next step that names `part`: what it speaks of is gone.
    pub fn without_help(mut self, part: &str) -> CliError {
        for problem in &mut self.problems {
            problem.help.retain(|help| !help.contains(part));
        }
        self
    }

    fn map(mut self, change: impl FnOnce(Problem) -> Problem) -> CliError {
        let first = self.problems.remove(0);
        self.problems.insert(0, change(first));
        self
    }

    /// Returns the text for people, all problems.
    pub fn render(&self, colour: bool) -> String {
        let texts: Vec<String> = self.problems.iter().map(|p| p.render(colour)).collect();
        texts.join("\n")
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for CliError {}
