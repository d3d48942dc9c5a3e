//! What many verbs share: the file, how much is said, how long, dry runs, and how values are read.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use crate::topology::{Mode, Pull, Runtime, parse_duration};

/// The file of verbs that take no NAME.
#[derive(Args, Clone, Debug, Default)]
pub struct FileArg {
    /// Topology file; `-` reads standard input. Without one: MGCTL_FILE, then mgctl.yaml or topology.yaml here
    /// or above, then the only running cluster.
    #[arg(value_name = "TOPOLOGY", conflicts_with = "file_after")]
    pub topology: Option<PathBuf>,
    #[command(flatten)]
    pub after: FileFlag,
}

/// `-f` after the verb, where it cannot be `--follow`.
#[derive(Args, Clone, Debug, Default)]
pub struct FileFlag {
    /// Topology file; `-` reads standard input.
    #[arg(id = "file_after", short = 'f', long = "file", value_name = "TOPOLOGY")]
    pub file: Option<PathBuf>,
}

/// `-v` after the verb, where it cannot be `--volumes`.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct VerboseFlag {
    /// Says more.
    #[arg(id = "verbose_after", short = 'v', long = "verbose", action = ArgAction::Count)]
    pub verbose: u8,
}

/// How long a verb that waits may take.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct TimeoutArg {
    /// How long to wait, as `30s` or `2m`.
    #[arg(long, visible_alias = "wait-timeout", value_parser = duration, value_name = "TIME")]
    pub timeout: Option<Duration>,
}

/// Whether a verb only shows what it would do.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct DryRunArg {
    /// Shows what would be done and does nothing.
    #[arg(long)]
    pub dry_run: bool,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a time is a number with a unit, as 30s, 2m or 1h".to_owned())
}

pub(super) fn set(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, as instances.r1.mode=ASYNC")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

pub(super) fn runtime(text: &str) -> Result<Runtime, String> {
    Runtime::parse(text).ok_or_else(|| "auto, docker, process, swarm or external".to_owned())
}

pub(super) fn replicas(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix("replicas=").unwrap_or(text);
    number.parse().ok().filter(|n| *n <= 200).ok_or_else(|| "write replicas=4; at most 200".to_owned())
}

/// Reads a size as Kubernetes writes it.
pub(super) fn quantity(text: &str) -> Result<String, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let is_one = digits > 0 && !text.starts_with('0') && ["", "Mi", "Gi", "Ti"].contains(&&text[digits..]);
    is_one
        .then(|| text.to_owned())
        .ok_or_else(|| "a size is a number with a unit, as 500Mi, 10Gi or 2Ti".to_owned())
}

pub(super) fn pull(text: &str) -> Result<Pull, String> {
    Pull::parse(text).ok_or_else(|| "missing, always or never".to_owned())
}

pub(super) fn mode(text: &str) -> Result<Mode, String> {
    Mode::parse(text).ok_or_else(|| "SYNC, ASYNC or STRICT_SYNC".to_owned())
}

impl FileArg {
    /// Returns the file, wherever it was named.
    pub(super) fn path(&self) -> Option<&PathBuf> {
        self.topology.as_ref().or(self.after.file.as_ref())
    }
}
