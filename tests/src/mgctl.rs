//! `mgctl` as its users start it: a process, with its own home.

use crate::paths;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// Where nodes of a test run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// In containers of the engine that answers.
    Docker,
    /// As processes: no engine answers at this user's `DOCKER_HOST`.
    Process,
}

/// A user of mgctl: a working directory, a home, and maybe an engine.
pub struct User {
    pub dir: PathBuf,
    place: Where,
}

impl User {
    /// A user whose files lie below `dir`.
    pub fn new(dir: &Path, place: Where) -> User {
        User { dir: dir.to_owned(), place }
    }

    /// The command, to be given arguments and started.
    pub fn command(&self) -> Command {
        let mut command = Command::new(paths::mgctl());
        command
            .current_dir(&self.dir)
            .env("HOME", &self.dir)
            .env("XDG_STATE_HOME", self.dir.join("state"))
            .env_remove("MGCTL_FILE")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        if self.place == Where::Process {
            command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        }
        command
    }

    /// Runs it and returns what it said, whatever that was. What it answers as JSON is held against the schema that it
    /// publishes.
    pub fn run(&self, args: &[&str]) -> Output {
        let out = self.command().args(args).output().expect("mgctl can be started");
        if args.windows(2).any(|pair| pair == ["-o", "json"]) && args[0] != "schema" {
            for answer in answers(&out.stdout) {
                if let Err(why) = self.is_published(&answer) {
                    panic!(
                        "mgctl {args:?} answers otherwise than `mgctl schema output` says: {why}\n{answer:#}"
                    );
                }
            }
        }
        out
    }

    /// Holds an answer against what `mgctl schema output` prints.
    fn is_published(&self, answer: &Value) -> Result<(), String> {
        static SCHEMA: OnceLock<Value> = OnceLock::new();
        let schema = SCHEMA.get_or_init(|| {
            let out = self.command().args(["schema", "output"]).output().expect("mgctl can be started");
            serde_json::from_slice(&out.stdout).expect("a schema is JSON")
        });
        let kind = answer["kind"].as_str().unwrap_or_default();
        if schema["$defs"].get(kind).is_none() {
            return Err(format!("there is no kind `{kind}`"));
        }
        // Of one kind: what is wrong is said of that one alone.
        mgctl::output::check(schema, &json!({ "$ref": format!("#/$defs/{kind}") }), answer)
    }

    /// Runs it, demands success, and returns its standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(
            out.status.success(),
            "mgctl {args:?} ended with {}\n--- stdout\n{}\n--- stderr\n{}",
            out.status,
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).expect("mgctl writes UTF-8")
    }

    /// Runs it, demands this exit code, and returns everything it said.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let out = self.run(args);
        let said =
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.code(), Some(code), "mgctl {args:?} said\n{said}");
        said
    }

    /// Runs a verb for its answer as JSON, whatever its exit code is.
    pub fn answer(&self, args: &[&str]) -> Value {
        let all: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        let out = self.run(&all);
        let mut found = answers(&out.stdout);
        assert!(found.len() == 1, "mgctl {args:?}: {found:?}\n{}", String::from_utf8_lossy(&out.stderr));
        found.remove(0)
    }

    /// Writes a file into the working directory and returns its name.
    pub fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.dir.join(name), text).expect("the test's folder can be written");
        name.to_owned()
    }
}

/// The JSON documents of an output.
fn answers(text: &[u8]) -> Vec<Value> {
    let all = serde_json::Deserializer::from_slice(text).into_iter();
    all.map(|answer| answer.expect("with -o json standard output is JSON and nothing else")).collect()
}
