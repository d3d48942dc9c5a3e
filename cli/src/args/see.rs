//! Verbs that show how it is.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::common::{FileArg, FileFlag, VerboseFlag, duration};

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
#[command(after_help = "Exit codes: 0 no check failed; 5 one did.")]
pub struct Doctor {
    #[command(flatten)]
    pub file: FileArg,
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
    /// Topology file; `-` reads standard input.
    #[arg(id = "file_after", long = "file", value_name = "TOPOLOGY")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}
