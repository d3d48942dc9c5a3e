//! `mgctl` as its users start it: a process, with its own home.

use crate::paths;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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

    /// Runs it and returns what it said, whatever that was.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().expect("mgctl can be started")
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

    /// Writes a file into the working directory and returns its name.
    pub fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.dir.join(name), text).expect("the test's folder can be written");
        name.to_owned()
    }
}
