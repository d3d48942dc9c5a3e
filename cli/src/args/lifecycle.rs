//! Verbs that make, start, stop and compare a cluster.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::common::{DryRunArg, FileArg, FileFlag, TimeoutArg, VerboseFlag, pull};
use crate::topology::Pull;

/// `mgctl up`.
#[derive(Args, Clone, Debug, Default)]
pub struct Up {
    #[command(flatten)]
    pub file: FileArg,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
    /// Waits until roles are set and replicas registered, and not until they have caught up.
    #[arg(long)]
    pub no_wait: bool,
    /// When images are pulled, over `pull` of the file.
    #[arg(long, value_parser = pull, value_name = "missing|always|never")]
    pub pull: Option<Pull>,
    /// Makes containers anew even where the running ones would do; the data stays.
    #[arg(long)]
    pub recreate: bool,
    /// Removes nodes that the file no longer names; their data stay.
    #[arg(long)]
    pub remove_orphans: bool,
    /// With --remove-orphans: deletes their data too.
    #[arg(long, requires = "remove_orphans")]
    pub volumes: bool,
    /// Moves MAIN back to where the file declares it, by a safe switchover.
    #[arg(long)]
    pub enforce_roles: bool,
    /// Leaves a first `up` that fails as it is, to be looked at, instead of taking it back.
    #[arg(long)]
    pub keep_on_failure: bool,
}

/// `mgctl down`.
#[derive(Args, Clone, Debug, Default)]
pub struct Down {
    #[command(flatten)]
    pub file: FileArg,
    /// Deletes the data too.
    #[arg(short = 'v', long)]
    pub volumes: bool,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// What `init` begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// MAIN, one SYNC and one ASYNC replica.
    #[default]
    Quickstart,
    /// MAIN and two SYNC replicas: one of them may be missing, and no acknowledged write is lost.
    Ha,
    /// Every setting that one changes first, written out.
    Full,
    /// Memgraph's own image.
    Memgraph,
    /// MAIN and one replica at free ports, for tests.
    Ci,
}

/// `mgctl init`.
#[derive(Args, Clone, Debug, Default)]
pub struct Init {
    /// File to write; without one, or `-`, standard output.
    #[arg(value_name = "FILE")]
    pub path: Option<PathBuf>,
    /// What to begin with.
    #[arg(long, value_enum, default_value_t, value_name = "PRESET")]
    pub preset: Preset,
    /// How many replicas.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=200))]
    pub replicas: Option<u32>,
    /// How many of them are SYNC; the others are ASYNC.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=200))]
    pub sync: Option<u32>,
    /// Name of the cluster.
    #[arg(long, value_name = "NAME", default_value = "demo")]
    pub name: String,
}

/// `mgctl start`.
#[derive(Args, Clone, Debug, Default)]
pub struct Start {
    /// Nodes; all if none is named.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl stop`.
#[derive(Args, Clone, Debug, Default)]
pub struct Stop {
    /// Nodes; all if none is named.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl restart`.
#[derive(Args, Clone, Debug, Default)]
pub struct Restart {
    /// Nodes; all if none is named.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// One after the other, each 0 behind before the next; MAIN moves away first, by a safe switchover.
    #[arg(long)]
    pub rolling: bool,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl validate`.
#[derive(Args, Clone, Debug, Default)]
pub struct Validate {
    #[command(flatten)]
    pub file: FileArg,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    /// Prints the topology with every default filled in.
    #[arg(long)]
    pub resolved: bool,
    /// Takes warnings for errors.
    #[arg(long)]
    pub strict: bool,
}

/// `mgctl diff`.
#[derive(Args, Clone, Debug, Default)]
pub struct Diff {
    #[command(flatten)]
    pub file: FileArg,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    /// Ends with exit code 10 if there is something to do.
    #[arg(long)]
    pub exit_code: bool,
}
