//! `mgctl console`: queries, one after the other, to the node that is chosen.
//!
//! The connection stays, and with it a transaction that is open. Where it ends, the next statement looks for the node
//! anew: MAIN may be another one by then. Nothing is sent twice.

mod editor;
mod words;

use std::io::{BufReader, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::editor::{Editor, Line};
use super::Context;
use super::query::{TIME_MAX, failed, show, targets};
use super::session::Session;
use crate::args::Console;
use crate::cluster::Target;
use crate::error::{CliError, Exit, Place};
use crate::graph::statements::{SplitError, Statements};
use crate::query::{Client, Map, QueryError, from_json, to_text};
use crate::ui::Ui;

const HELP: &str = "\
A statement ends with a semicolon. Tab completes, Ctrl-C drops the line or stops waiting, Ctrl-D leaves.
  :main              asks MAIN, wherever it is by then
  :replica           asks a replica
  :on NAME           asks that node
  :nodes             the nodes, and which of them is MAIN
  :param NAME VALUE  sets $NAME; the value is JSON, else text
  :params            the parameters that are set
  :refresh           reads labels, types and properties for Tab anew
  :help              this
  :quit              leaves";

/// What a line asks for.
#[derive(Clone, Debug, PartialEq)]
enum Input {
    Statements(String),
    On(String),
    Nodes,
    Param(String, Value),
    Params,
    Refresh,
    Help,
    Quit,
    /// Nothing that is known.
    Wrong(String),
}

struct Talk<'a> {
    session: &'a Session,
    /// What was asked for: `main`, `replica`, or a name.
    on: String,
    client: Option<(Target, Client)>,
    parameters: Map,
    time_max: Duration,
}

pub(super) async fn run(context: &Context, args: &Console) -> Result<Exit, CliError> {
    if !context.ui.is_for_people() {
        return Err(CliError::new(Exit::Usage, "a console has no envelope")
            .help(format!("for scripts: {} query -o json", context.program)));
    }
    let session = Session::open(context).await?;
    let time_max = args.timeout.timeout.unwrap_or(TIME_MAX);
    let mut console =
        Talk { session: &session, on: args.on.clone(), client: None, parameters: Map::new(), time_max };
    console.connect().await?;
    match std::io::stdin().is_terminal() && context.ui.is_terminal() {
        true => console.talk().await,
        false => console.read().await,
    }
}

impl Talk<'_> {
    /// Reaches the node that is meant, if there is no connection yet.
    async fn connect(&mut self) -> Result<(), CliError> {
        if self.client.is_some() {
            return Ok(());
        }
        let seen = self.session.look_at_existing().await?;
        let target = targets(self.session, &seen, &self.on)?.into_iter().next().ok_or_else(|| {
            CliError::new(Exit::NotFound, format!("there is no node `{}`", self.on)).code("MG065")
        })?;
        let mut client = self
            .session
            .nodes
            .client(&target.bolt, Duration::from_secs(10))
            .await
            .map_err(|e| failed(self.session, &target, "", &e))?;
        client.set_timeout(self.time_max);
        self.client = Some((target, client));
        Ok(())
    }

    /// Runs one statement and shows its result.
    async fn run(&mut self, statement: &str) -> Result<(), CliError> {
        self.connect().await?;
        let Some((target, client)) = &mut self.client else { return Ok(()) };
        self.session.ui.query_sent(&target.instance, statement);
        let began = Instant::now();
        let outcome = tokio::select! {
            result = client.run(statement, self.parameters.clone()) => Some(result),
            _ = tokio::signal::ctrl_c() => None,
        };
        match outcome {
            Some(Ok(result)) => {
                show(&self.session.ui, target, &result, began.elapsed(), false);
                self.session.ui.flush();
                Ok(())
            }
            Some(Err(error)) => {
                let told = failed(self.session, target, statement, &error);
                let is_elsewhere =
                    error.server_message().is_some_and(|text| text.contains("forbidden on the replica"));
                // A connection that is lost is made anew, to wherever MAIN is then; so is one to a MAIN that moved.
                if !matches!(error, QueryError::Server { .. }) || (is_elsewhere && self.on == "main") {
                    self.client = None;
                }
                Err(told)
            }
            None => {
                // Only the end of the connection tells a server to stop.
                let told = CliError::new(Exit::Interrupted, "no longer waited for")
                    .note("whether it took effect is not known; an open transaction is given up")
                    .thing(format!("`{}`", target.instance));
                self.client = None;
                Err(told)
            }
        }
    }

    /// Statements from standard input, up to the first that fails.
    async fn read(&mut self) -> Result<Exit, CliError> {
        let name: Arc<str> = "<stdin>".into();
        let mut statements = Statements::new(BufReader::new(std::io::stdin()));
        loop {
            let next = statements.read_next().map_err(|error| match error {
                SplitError::Read(error) => {
                    CliError::new(Exit::Usage, format!("cannot read standard input: {error}")).code("MG001")
                }
                SplitError::Text { line, column, what } => CliError::new(Exit::Usage, what)
                    .code("MG105")
                    .at(Place { file: name.clone(), line, column }),
            })?;
            let Some(next) = next else { return Ok(Exit::Ok) };
            let place = Place { file: name.clone(), line: next.line, column: next.column };
            self.run(&next.text).await.map_err(|error| error.at(place))?;
            if self.session.ui.is_closed() {
                return Ok(Exit::Ok);
            }
        }
    }

    /// A conversation at a terminal.
    async fn talk(&mut self) -> Result<Exit, CliError> {
        let ui = &self.session.ui;
        let mut editor = Editor::new()?;
        editor.know(words::of_graph(self.client.as_mut().map(|(_, client)| client)).await);
        editor.know_nodes(self.session.topology.instances.iter().map(|i| i.name.clone()).collect());
        ui.say(&format!("Cluster {}; :help says what there is, Ctrl-D leaves", self.session.cluster()));
        loop {
            let at = self.client.as_ref().map_or(self.on.as_str(), |(target, _)| target.instance.as_str());
            let prompt = format!("{}/{at}> ", self.session.cluster());
            // The editor reads the terminal as long as somebody types.
            let line = tokio::task::block_in_place(|| editor.read(&prompt))?;
            let text = match line {
                Line::Text(text) => text,
                Line::Dropped => continue,
                Line::End => return Ok(Exit::Ok),
            };
            if text.trim().is_empty() {
                continue;
            }
            let outcome = match parse(&text) {
                Input::Quit => return Ok(Exit::Ok),
                Input::Refresh => {
                    self.connect().await.map(drop)?;
                    editor.know(words::of_graph(self.client.as_mut().map(|(_, client)| client)).await);
                    Ok(())
                }
                other => self.answer(other).await,
            };
            // Whatever goes wrong, the conversation goes on.
            if let Err(error) = outcome {
                ui.error(&error);
            }
            ui.flush();
        }
    }

    async fn answer(&mut self, input: Input) -> Result<(), CliError> {
        let ui: &Ui = &self.session.ui;
        match input {
            Input::Statements(text) => {
                let mut statements = Statements::new(text.as_bytes());
                loop {
                    match statements.read_next() {
                        Ok(Some(next)) => self.run(&next.text).await?,
                        Ok(None) => return Ok(()),
                        Err(SplitError::Text { what, .. }) => return Err(CliError::new(Exit::Usage, what)),
                        Err(SplitError::Read(error)) => {
                            return Err(CliError::new(Exit::Other, error.to_string()));
                        }
                    }
                }
            }
            Input::On(on) => {
                let before = (std::mem::replace(&mut self.on, on), self.client.take());
                if let Err(error) = self.connect().await {
                    (self.on, self.client) = before;
                    return Err(error);
                }
                Ok(())
            }
            Input::Nodes => {
                let seen = self.session.look_at_existing().await?;
                for (name, view) in &seen.nodes {
                    let role = view.facts().map_or("does not answer".to_owned(), |f| f.role.to_string());
                    ui.print(&format!("{name}  {role}"));
                }
                Ok(())
            }
            Input::Param(name, value) => {
                self.parameters.0.retain(|(key, _)| *key != name);
                self.parameters.insert(name, from_json(value));
                Ok(())
            }
            Input::Params => {
                for (name, value) in self.parameters.iter() {
                    ui.print(&format!("${name} = {}", to_text(value)));
                }
                Ok(())
            }
            Input::Help => {
                ui.print(HELP);
                Ok(())
            }
            Input::Wrong(what) => Err(CliError::new(Exit::Usage, what).help(":help lists what there is")),
            Input::Refresh | Input::Quit => Ok(()),
        }
    }
}

fn parse(text: &str) -> Input {
    let text = text.trim();
    let Some(command) = text.strip_prefix(':') else { return Input::Statements(text.to_owned()) };
    let command = command.trim_end_matches(';').trim();
    let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    let wrong = |what: String| Input::Wrong(what);
    match (word.to_ascii_lowercase().as_str(), rest) {
        ("main", "") => Input::On("main".into()),
        ("replica", "") => Input::On("replica".into()),
        ("on" | "node", name) if !name.is_empty() => Input::On(name.to_owned()),
        ("on" | "node", _) => wrong(format!("`:{word}` needs the name of a node")),
        ("nodes", "") => Input::Nodes,
        ("params", "") => Input::Params,
        ("param", rest) => {
            // Consoles of others write `name => value` and `name: value`.
            let at = rest.find(|c: char| c.is_whitespace() || c == '=' || c == ':').unwrap_or(rest.len());
            let (name, value) = rest.split_at(at);
            let value = value.trim_start().trim_start_matches("=>").trim_start_matches([':', '=']).trim();
            match name.is_empty() || value.is_empty() {
                true => wrong("`:param` needs a name and a value, as :param age 42".into()),
                false => {
                    let value =
                        serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
                    Input::Param(name.trim_start_matches('$').to_owned(), value)
                }
            }
        }
        ("refresh", "") => Input::Refresh,
        ("help" | "h" | "?", _) => Input::Help,
        ("quit" | "exit" | "q", "") => Input::Quit,
        _ => wrong(format!("`:{command}` is no command")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_are_told_apart() {
        let cases = [
            ("MATCH (n) RETURN n;", Input::Statements("MATCH (n) RETURN n;".into())),
            (":main", Input::On("main".into())),
            (" :Replica ; ", Input::On("replica".into())),
            (":on rep2", Input::On("rep2".into())),
            (":param age 42", Input::Param("age".into(), json!(42))),
            (":param name => \"a b\"", Input::Param("name".into(), json!("a b"))),
            (":param $list: [1, 2]", Input::Param("list".into(), json!([1, 2]))),
            (":param name Ada Lovelace", Input::Param("name".into(), json!("Ada Lovelace"))),
            (":quit", Input::Quit),
            (":?", Input::Help),
        ];
        for (text, input) in cases {
            assert_eq!(parse(text), input, "{text}");
        }
        for text in [":nonsense", ":on", ":param x", ":main rep1"] {
            assert!(matches!(parse(text), Input::Wrong(_)), "{text}");
        }
    }
}
