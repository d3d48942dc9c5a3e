//! Everything that a person or a script sees.
//!
//! Results go to standard output; progress, warnings and questions go to standard error. `-o json` gives the same
//! facts as the table, in an envelope; `--progress json` makes all talk lines of JSON. Colour adds nothing that the words lack. When the reader of standard output
//! goes away (`| head`), the rest is dropped and [`Ui::is_closed`] says so.

mod progress;
mod table;

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

pub use crate::args::Output;
use crate::args::{Global, Progress, When};
use crate::error::{CliError, Exit, Problem, printable};
use crate::output;
pub use progress::{Step, Work};
pub use table::{Cell, Table, Tone};

/// The streams of this process, and how to use them. Clones share them.
#[derive(Clone)]
pub struct Ui(Arc<Inner>);

struct Inner {
    output: Output,
    progress: Progress,
    colour_out: bool,
    colour_err: bool,
    quiet: bool,
    verbose: u8,
    print_queries: bool,
    yes: bool,
    ask: bool,
    is_terminal: bool,
    streams: Mutex<Streams>,
    work: Work,
}

struct Streams {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    input: Box<dyn BufRead + Send>,
    /// What stopped `out`: nothing more is written to it.
    out_error: Option<io::Error>,
}

/// What a [`Ui`] for tests wrote.
#[derive(Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// Returns the text so far.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Ui {
    /// Returns the user interface of this process.
    pub fn new(global: &Global, verbose: u8) -> Ui {
        let (out_tty, err_tty) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let variable = |name: &str| std::env::var(name).ok();
        let progress = match global.progress {
            _ if global.quiet => Progress::None,
            Progress::Auto if err_tty && variable("TERM").as_deref() != Some("dumb") => Progress::Tty,
            // Lines cannot change in place where there is no terminal.
            Progress::Auto => Progress::Plain,
            Progress::Tty if !err_tty => Progress::Plain,
            asked => asked,
        };
        Ui(Arc::new(Inner {
            output: global.output,
            progress,
            colour_out: colour(global.color, out_tty, &variable),
            colour_err: colour(global.color, err_tty, &variable),
            quiet: global.quiet,
            verbose,
            print_queries: global.print_queries || verbose > 1,
            yes: global.yes,
            ask: !global.no_input && io::stdin().is_terminal() && err_tty,
            is_terminal: out_tty,
            streams: Mutex::new(Streams {
                out: Box::new(io::BufWriter::new(io::stdout())),
                err: Box::new(io::stderr()),
                input: Box::new(io::BufReader::new(io::stdin())),
                out_error: None,
            }),
            work: Work::default(),
        }))
    }

    /// Returns a user interface without a terminal, for tests, and what it writes: standard output and
    /// standard error. Questions are answered from `input`; an empty one means that nobody can be asked.
    pub fn captured(output: Output, progress: Progress, input: &str) -> (Ui, Captured, Captured) {
        let (out, err) = (Captured::default(), Captured::default());
        let ui = Ui(Arc::new(Inner {
            output,
            progress,
            colour_out: false,
            colour_err: false,
            quiet: false,
            verbose: 0,
            print_queries: false,
            yes: false,
            ask: !input.is_empty(),
            is_terminal: false,
            streams: Mutex::new(Streams {
                out: Box::new(out.clone()),
                err: Box::new(err.clone()),
                input: Box::new(io::Cursor::new(input.to_owned())),
                out_error: None,
            }),
            work: Work::default(),
        }));
        (ui, out, err)
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.0.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the form of the result.
    pub fn output(&self) -> Output {
        self.0.output
    }

    /// Returns whether the result is a text for people.
    pub fn is_for_people(&self) -> bool {
        matches!(self.0.output, Output::Table | Output::Wide)
    }

    /// Returns whether the result goes to a terminal.
    pub fn is_terminal(&self) -> bool {
        self.0.is_terminal
    }

    /// Writes to the terminal as it is, and at once: for a view that is drawn anew.
    pub fn raw(&self, text: &str) {
        let mut streams = self.streams();
        if streams.out_error.is_none()
            && let Err(error) = streams.out.write_all(text.as_bytes()).and_then(|()| streams.out.flush())
        {
            streams.out_error = Some(error);
        }
    }

    /// Returns the width of the terminal as it is now; `None` where there is none.
    pub fn terminal_width(&self) -> Option<u16> {
        table::terminal_width()
    }

    /// Returns the width of the terminal as it is now; `None` where no column is to be left out.
    fn width(&self) -> Option<u16> {
        let is_wide = !self.0.is_terminal || self.0.output == Output::Wide;
        if is_wide { None } else { table::terminal_width() }
    }

    /// Returns whether the result may be coloured.
    pub fn is_coloured(&self) -> bool {
        self.0.colour_out
    }

    /// Returns how often `-v` was given.
    pub fn verbose(&self) -> u8 {
        self.0.verbose
    }

    /// Returns whether the reader of standard output has gone: there is no use in going on.
    pub fn is_closed(&self) -> bool {
        self.streams().out_error.is_some()
    }

    /// Writes a line of the result.
    pub fn print(&self, line: &str) {
        let mut streams = self.streams();
        if streams.out_error.is_none() {
            let text = format!("{}\n", line.trim_end_matches('\n'));
            if let Err(error) = streams.out.write_all(text.as_bytes()) {
                streams.out_error = Some(error);
            }
        }
    }

    /// Writes what is buffered of the result, so that a reader sees it now.
    pub fn flush(&self) {
        let mut streams = self.streams();
        if streams.out_error.is_none()
            && let Err(error) = streams.out.flush()
        {
            streams.out_error = Some(error);
        }
    }

    /// Writes the result: `text` for people, `data` in an envelope for scripts. Warnings go along.
    pub fn result(
        &self,
        kind: &str,
        cluster: Option<&str>,
        data: Value,
        warnings: &[Problem],
        text: impl FnOnce(&Ui) -> String,
    ) {
        self.partial_result(kind, cluster, true, data, warnings, text);
    }

    /// Writes a result as [`Ui::result`] does, and says with `ok` whether what was asked for is true now.
    pub fn partial_result(
        &self,
        kind: &str,
        cluster: Option<&str>,
        ok: bool,
        data: Value,
        warnings: &[Problem],
        text: impl FnOnce(&Ui) -> String,
    ) {
        let answer = json!({
            "apiVersion": output::VERSION, "kind": kind, "cluster": cluster, "ok": ok, "data": data,
            "warnings": warnings.iter().map(Problem::to_json).collect::<Vec<_>>(),
        });
        published(&answer);
        if self.0.output == Output::Name {
            for warning in warnings {
                self.problem(warning);
            }
            for name in names(&answer["data"], cluster) {
                self.print(&name);
            }
            return;
        }
        if self.is_for_people() {
            for warning in warnings {
                self.problem(warning);
            }
            let text = text(self);
            if !text.is_empty() {
                self.print(&text);
            }
            return;
        }
        self.envelope(&answer);
    }

    /// Writes one of many answers of a verb that goes on: `text` for people, an envelope on a line of its own for
    /// scripts.
    pub fn item(&self, kind: &str, cluster: &str, data: Value, text: impl FnOnce(&Ui) -> String) {
        if !matches!(self.0.output, Output::Json | Output::Yaml) {
            return self.result(kind, Some(cluster), data, &[], text);
        }
        let answer = json!({
            "apiVersion": output::VERSION, "kind": kind, "cluster": cluster, "ok": true, "data": data,
            "warnings": [],
        });
        published(&answer);
        match self.0.output {
            Output::Json => self.print(&answer.to_string()),
            _ => {
                // Several documents in one stream.
                self.print("---");
                self.envelope(&answer);
            }
        }
    }

    fn envelope(&self, value: &Value) {
        match self.0.output {
            Output::Yaml => match serde_yaml::to_string(value) {
                Ok(text) => self.print(&text),
                Err(error) => self.say(&format!("cannot write YAML: {error}")),
            },
            Output::Json | Output::Table | Output::Wide | Output::Name => self.print(&format!("{value:#}")),
        }
    }

    /// Shows what ended the command. For scripts it is a result too: `ok` is false.
    pub fn error(&self, error: &CliError) {
        if matches!(self.0.output, Output::Json | Output::Yaml) {
            let problems: Vec<Value> = error.problems().iter().map(Problem::to_json).collect();
            let answer = json!({
                "apiVersion": output::VERSION, "kind": "Error", "cluster": null, "ok": false,
                "exit": error.exit().code(), "error": problems[0], "errors": problems, "warnings": [],
            });
            published(&answer);
            self.envelope(&answer);
            return;
        }
        if self.0.progress == Progress::Json {
            return error.problems().iter().for_each(|problem| self.problem(problem));
        }
        let text = error.render(self.0.colour_err);
        self.talk(&text);
    }

    /// Shows one problem on standard error.
    pub fn problem(&self, problem: &Problem) {
        if self.0.progress == Progress::Json {
            return self.line(&json!({
                "apiVersion": output::VERSION, "kind": "Problem", "severity": problem.severity.word(),
                "problem": problem.to_json(),
            }));
        }
        self.talk(&problem.render(self.0.colour_err));
    }

    /// Says something on standard error; `--quiet` silences it.
    pub fn say(&self, line: &str) {
        if self.0.quiet {
            return;
        }
        let text = line.trim_end_matches('\n');
        match self.0.progress {
            Progress::Json => {
                self.line(&json!({ "apiVersion": output::VERSION, "kind": "Message", "text": text }));
            }
            _ => self.talk(&format!("{text}\n")),
        }
    }

    /// Says something that only `-v` asks for.
    pub fn detail(&self, line: &str) {
        if self.0.verbose > 0 {
            self.say(line);
        }
    }

    /// Shows a query that is sent to a node, if `--print-queries` asks for it.
    pub fn query_sent(&self, node: &str, query: &str) {
        if self.0.print_queries && self.0.progress == Progress::Json {
            self.line(&json!({
                "apiVersion": output::VERSION, "kind": "Query", "node": node, "query": query,
            }));
        } else if self.0.print_queries {
            self.talk(&format!("{}> {}\n", printable(node), printable(query)));
        }
    }

    /// Writes a line of `--progress json`.
    fn line(&self, line: &Value) {
        if cfg!(debug_assertions)
            && let Some(complaint) = output::complaint_of_line(line)
        {
            panic!("a line is otherwise than `mgctl schema progress` says: {complaint}");
        }
        self.talk(&format!("{line}\n"));
    }

    fn talk(&self, text: &str) {
        self.0.work.suspend(|| {
            // Nobody can be told that standard error is gone; the exit code still says how it ended.
            let _ = self.streams().err.write_all(text.as_bytes());
        });
    }

    /// Returns true where `--yes` answers every question.
    pub fn is_assenting(&self) -> bool {
        self.0.yes
    }

    /// Asks a question that `--yes` answers.
    ///
    /// # Errors
    ///
    /// With exit code 8 when nobody can be asked.
    pub fn confirm(&self, question: &str) -> Result<bool, CliError> {
        if self.0.yes {
            return Ok(true);
        }
        let answer = self.ask(&format!("{question} [y/N] "))?;
        Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Asks for a word to be typed before data is deleted; `--yes` stands for it.
    ///
    /// # Errors
    ///
    /// With exit code 8 when nobody can be asked.
    pub fn confirm_typed(&self, question: &str, word: &str) -> Result<bool, CliError> {
        if self.0.yes {
            return Ok(true);
        }
        Ok(self.ask(&format!("{question}\nType `{word}` to go on: "))? == word)
    }

    fn ask(&self, question: &str) -> Result<String, CliError> {
        // A question is no line of JSON.
        if !self.0.ask || self.0.progress == Progress::Json {
            let what = format!("an answer is needed: {}", question.lines().next().unwrap_or("").trim_end());
            return Err(CliError::new(Exit::Declined, what).help("re-run with --yes"));
        }
        self.0.work.suspend(|| {
            let mut streams = self.streams();
            let mut line = String::new();
            let Streams { err, input, .. } = &mut *streams;
            let read = err
                .write_all(question.as_bytes())
                .and_then(|()| err.flush())
                .and_then(|()| input.read_line(&mut line));
            match read {
                Ok(_) => Ok(line.trim().to_owned()),
                Err(error) => Err(CliError::new(Exit::Declined, format!("cannot read the answer: {error}"))
                    .help("re-run with --yes")),
            }
        })
    }

    /// Begins a step of work and shows it: `verb` as "network", `subject` as "mgctl-demo".
    pub fn step(&self, verb: &str, subject: &str) -> Step {
        Step::new(self.clone(), verb, subject)
    }

    /// Ends the use of the streams.
    ///
    /// # Errors
    ///
    /// When the result could not be written. A reader that went away is no error: it had what it wanted.
    pub fn finish(&self) -> Result<(), CliError> {
        self.0.work.clear();
        self.flush();
        match &self.streams().out_error {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::new(Exit::Other, format!("cannot write the result: {error}")))
            }
            _ => Ok(()),
        }
    }
}

/// Holds an answer against its published schema, in a build that checks itself.
fn published(answer: &Value) {
    if cfg!(debug_assertions)
        && let Some(complaint) = output::complaint(answer)
    {
        panic!("an answer is otherwise than `mgctl schema` says: {complaint}");
    }
}

/// The names of what a result lists: of its list of things with names, else of the one thing, else of the cluster.
fn names(data: &Value, cluster: Option<&str>) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let lists = data.as_object().into_iter().flat_map(|map| map.values()).filter_map(Value::as_array);
    for list in lists {
        let found: Vec<String> = list
            .iter()
            .filter_map(|item| ["name", "node", "id"].iter().find_map(|key| item.get(key).and_then(text)))
            .collect();
        if !list.is_empty() && found.len() == list.len() {
            return found;
        }
    }
    let one = ["name", "node", "main", "file"].iter().find_map(|key| data.get(key).and_then(text));
    one.or_else(|| cluster.map(str::to_owned)).into_iter().collect()
}

/// Decides about colour. The flag stands over NO_COLOR, that over CLICOLOR_FORCE, that over the terminal.
fn colour(when: When, tty: bool, variable: &dyn Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto if set("NO_COLOR").is_some() => false,
        When::Auto if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        When::Auto => tty && set("TERM").is_none_or(|value| value != "dumb"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coloured(when: When, tty: bool, variables: &[(&str, &str)]) -> bool {
        colour(when, tty, &|name| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned()))
    }

    #[test]
    fn colour_follows_flag_then_variables_then_terminal() {
        assert!(coloured(When::Auto, true, &[]));
        assert!(!coloured(When::Auto, false, &[]));
        assert!(!coloured(When::Auto, true, &[("NO_COLOR", "1")]));
        assert!(coloured(When::Auto, true, &[("NO_COLOR", "")]));
        assert!(coloured(When::Auto, false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!coloured(When::Auto, false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!coloured(When::Auto, false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
        assert!(coloured(When::Always, false, &[("NO_COLOR", "1")]));
        assert!(!coloured(When::Auto, true, &[("TERM", "dumb")]));
    }

    #[test]
    fn a_question_nobody_can_answer_ends_with_exit_8() {
        let (ui, _, _) = Ui::captured(Output::Table, Progress::Plain, "");
        let error = ui.confirm("Promote `r1`?").unwrap_err();
        assert_eq!(error.exit(), Exit::Declined);
        assert_eq!(
            error.to_string(),
            "error: an answer is needed: Promote `r1`? [y/N]\nhelp: re-run with --yes"
        );
    }

    #[test]
    fn where_all_talk_is_json_nobody_is_asked() {
        let (ui, _, err) = Ui::captured(Output::Table, Progress::Json, "yes\ndemo\n");
        for error in [ui.confirm("Go on?").unwrap_err(), ui.confirm_typed("Delete?", "demo").unwrap_err()] {
            assert_eq!(error.exit(), Exit::Declined);
            assert!(error.to_string().ends_with("help: re-run with --yes"), "{error}");
        }
        assert_eq!(err.text(), "");
    }

    #[test]
    fn a_question_is_asked_on_standard_error() {
        let (ui, out, err) = Ui::captured(Output::Table, Progress::Plain, "yes\ndemo\nnope\n");
        assert!(ui.confirm("Go on?").unwrap());
        assert!(ui.confirm_typed("This deletes the data of 3 nodes.", "demo").unwrap());
        assert!(!ui.confirm_typed("This deletes the data of 3 nodes.", "demo").unwrap());
        assert_eq!(out.text(), "");
        assert!(
            err.text().starts_with("Go on? [y/N] This deletes the data of 3 nodes.\nType `demo` to go on: ")
        );
    }

    #[test]
    fn the_envelope_carries_the_same_facts() {
        let (ui, out, err) = Ui::captured(Output::Json, Progress::Plain, "");
        let warning = Problem::warning("2 nodes are no majority").code("MG031").help("add one");
        ui.result("Unit", Some("demo"), json!({"unit": "[Unit]"}), &[warning], |_| "text".into());
        let value: Value = serde_json::from_str(&out.text()).unwrap();
        assert_eq!(
            value,
            json!({"apiVersion": "mgctl/v1", "kind": "Unit", "cluster": "demo", "ok": true, "data": {"unit": "[Unit]"},
                "warnings": [{"code": "MG031", "message": "2 nodes are no majority", "hint": "add one"}]})
        );
        assert_eq!(err.text(), "");
    }

    #[test]
    #[should_panic(expected = "`more` is not named")]
    fn an_answer_that_is_not_published_is_not_given() {
        let (ui, _, _) = Ui::captured(Output::Table, Progress::Plain, "");
        ui.result("Unit", None, json!({"unit": "", "more": 1}), &[], |_| String::new());
    }

    #[test]
    fn each_of_many_answers_is_a_line_for_scripts() {
        let (ui, out, _) = Ui::captured(Output::Json, Progress::Plain, "");
        for line in ["one", "two"] {
            ui.item("LogLine", "demo", json!({"node": "m", "line": line}), |_| format!("m | {line}"));
        }
        let said: Vec<Value> = out.text().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(said.len(), 2);
        assert_eq!(said[1]["data"], json!({"node": "m", "line": "two"}));
        let (ui, out, _) = Ui::captured(Output::Table, Progress::Plain, "");
        ui.item("LogLine", "demo", json!({"node": "m", "line": "one"}), |_| "m | one".into());
        assert_eq!(out.text(), "m | one\n");
    }

    #[test]
    fn an_error_for_scripts_is_a_result() {
        let (ui, out, _) = Ui::captured(Output::Json, Progress::Plain, "");
        ui.error(&CliError::new(Exit::NotFound, "no cluster `x`").help("mgctl up"));
        let value: Value = serde_json::from_str(&out.text()).unwrap();
        assert_eq!((&value["ok"], &value["exit"]), (&json!(false), &json!(4)));
        assert_eq!(value["error"]["message"], "no cluster `x`");
    }

    #[test]
    fn a_reader_that_went_away_is_no_error_but_a_full_disk_is() {
        struct Broken(io::ErrorKind);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for (kind, ok) in [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)] {
            let (ui, _, _) = Ui::captured(Output::Table, Progress::Plain, "");
            ui.streams().out = Box::new(Broken(kind));
            assert!(!ui.is_closed());
            ui.print("line");
            assert!(ui.is_closed());
            assert_eq!(ui.finish().is_ok(), ok);
        }
    }
}
