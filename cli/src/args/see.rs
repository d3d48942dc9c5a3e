//! Verbs that show how it is.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::common::{FileArg, FileFlag, VerboseFlag, duration};
use crate::topology::{parse_duration, parse_size};

/// `mgctl status`.
#[derive(Args, Clone, Debug, Default)]
pub struct Status {
    #[command(flatten)]
    pub file: FileArg,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    /// Exit code 5 unless the cluster is so; `redundant` if nothing is named.
    #[arg(long, value_enum, value_name = "WHAT", num_args = 0..=1, require_equals = true,
        default_missing_value = "redundant")]
    pub check: Option<Check>,
    /// Shows it again and again, every 2s or as often as is said, with lag over time and what changes.
    #[arg(short = 'w', long, value_name = "TIME", num_args = 0..=1, require_equals = true,
        default_missing_value = "2s", value_parser = duration, conflicts_with = "check")]
    pub watch: Option<Duration>,
}

/// `mgctl events`.
#[derive(Args, Clone, Debug, Default)]
pub struct Events {
    #[command(flatten)]
    pub file: FileArg,
    /// Ends after this time; else with Ctrl-C.
    #[arg(long = "for", value_parser = duration, value_name = "TIME")]
    pub time: Option<Duration>,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

/// `mgctl history`.
#[derive(Args, Clone, Debug, Default)]
pub struct History {
    #[command(flatten)]
    pub file: FileArg,
    /// How many of the last operations.
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
    pub lines: usize,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

/// `mgctl doctor`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Exit codes: 0 no check failed; 5 one did.\n\
    --fix starts nodes that have ended or are paused, renews certificates (those of a swarm are left to `up`), and\n\
    registers nodes that follow nobody or under an old address. It never moves a role, drops what it does not register\n\
    again, or touches data.")]
pub struct Doctor {
    #[command(flatten)]
    pub file: FileArg,
    /// Mends what can be mended without a risk, says what it did, and looks again.
    #[arg(long)]
    pub fix: bool,
    /// With --fix: shows what would be done and does nothing.
    #[arg(long, requires = "fix")]
    pub dry_run: bool,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

/// `mgctl report`.
#[derive(Args, Clone, Debug, Default)]
pub struct Report {
    /// Tar file to write; else one named after the cluster and the time, here.
    #[arg(value_name = "FILE")]
    pub path: Option<PathBuf>,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

/// What `status --check` asks for. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Check {
    /// MAIN takes writes.
    Writable,
    /// Every node is there and answers.
    Healthy,
    /// Every replica is ready and 0 behind.
    Redundant,
}

/// `mgctl topology`.
#[derive(Args, Clone, Debug, Default)]
pub struct Tree {
    #[command(flatten)]
    pub file: FileArg,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

/// How far behind a replica may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LagMax {
    /// So many records.
    Records(u64),
    /// So many bytes of the log.
    Bytes(u64),
    /// The oldest record that it lacks is so old.
    Time(Duration),
}

/// `mgctl lag`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Exit codes: 0; with --max 5 where a replica is further behind, does not follow, or its lag is not known.\n\
    Memgraph's image counts records alone; BYTES and SECONDS are `–` there."
)]
pub struct Lag {
    #[command(flatten)]
    pub file: FileArg,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    /// Exit code 5 unless every replica is within: records as 100, bytes as 64KiB, a time as 2s.
    #[arg(long, value_parser = lag, value_name = "LAG")]
    pub max: Option<LagMax>,
    /// Shows it again and again, every 2s or as often as is said.
    #[arg(short = 'w', long, value_name = "TIME", num_args = 0..=1, require_equals = true,
        default_missing_value = "2s", value_parser = duration, conflicts_with = "max")]
    pub watch: Option<Duration>,
}

/// `mgctl explain`.
#[derive(Args, Clone, Debug, Default)]
pub struct Explain {
    /// The code, as MG042 or 42.
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}

/// `mgctl show-replicas`.
#[derive(Args, Clone, Debug, Default)]
pub struct ShowReplicas {
    #[command(flatten)]
    pub file: FileArg,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    /// Exactly what the server returned.
    #[arg(long)]
    pub raw: bool,
}

/// How grave a line of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// What a developer looks for.
    Debug,
    /// What happens.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

/// `mgctl logs`.
#[derive(Args, Clone, Debug, Default)]
pub struct Logs {
    /// Nodes; all if none is named.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Goes on with what comes.
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// Begins this many lines before the end.
    #[arg(short = 'n', long, value_name = "LINES")]
    pub tail: Option<u64>,
    /// Only what was written in this last time, as `10m`.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub since: Option<Duration>,
    /// Only lines with this text, in capitals or not.
    #[arg(long, value_name = "TEXT")]
    pub grep: Option<String>,
    /// Only lines that are at least so grave.
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub level: Option<LogLevel>,
    /// Topology file; `-` reads standard input.
    #[arg(id = "file_after", long = "file", value_name = "TOPOLOGY")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

/// Reads a lag: a number, a size with its unit in bytes, or a time.
fn lag(text: &str) -> Result<LagMax, String> {
    let is_size = text.ends_with(['b', 'B']);
    let found = match text.parse() {
        Ok(records) => Some(LagMax::Records(records)),
        Err(_) if is_size => parse_size(text).map(LagMax::Bytes),
        Err(_) => parse_duration(text).map(LagMax::Time),
    };
    found.ok_or_else(|| "write records as 100, bytes as 64KiB, or a time as 2s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_records_bytes_or_a_time() {
        assert_eq!(lag("100"), Ok(LagMax::Records(100)));
        assert_eq!(lag("64KiB"), Ok(LagMax::Bytes(65536)));
        assert_eq!(lag("2m"), Ok(LagMax::Time(Duration::from_secs(120))));
        assert!(lag("many").is_err() && lag("-1").is_err() && lag("").is_err());
    }
}
