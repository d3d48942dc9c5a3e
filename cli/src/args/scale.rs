//! Verbs that add and remove nodes, and move them to another image.

use clap::Args;

use super::common::{DryRunArg, FileArg, FileFlag, TimeoutArg, VerboseFlag, mode, replicas};
use crate::topology::Mode;

/// `mgctl add`.
#[derive(Args, Clone, Debug)]
pub struct Add {
    /// Name of the new node.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// SYNC, ASYNC or STRICT_SYNC.
    #[arg(long, value_parser = mode, value_name = "MODE", default_value = "ASYNC")]
    pub mode: Mode,
    /// Writes it into the topology file, too.
    #[arg(long)]
    pub write: bool,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl remove`.
#[derive(Args, Clone, Debug, Default)]
pub struct Remove {
    /// REPLICA to take out.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Deletes its data, too.
    #[arg(long)]
    pub volumes: bool,
    /// Takes it out of the topology file, too.
    #[arg(long)]
    pub write: bool,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl scale`.
#[derive(Args, Clone, Debug)]
pub struct Scale {
    /// How many replicas, as `replicas=4`. New ones are named rep1, rep2 and so on; those that go are ASYNC first, from
    /// the end of the file.
    #[arg(value_name = "replicas=N", value_parser = replicas)]
    pub replicas: u32,
    /// Mode of new ones.
    #[arg(long, value_parser = mode, value_name = "MODE", default_value = "ASYNC")]
    pub mode: Mode,
    /// Changes the topology file, too.
    #[arg(long)]
    pub write: bool,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl upgrade`.
#[derive(Args, Clone, Debug, Default)]
pub struct Upgrade {
    #[command(flatten)]
    pub file: FileArg,
    /// Image to run; else those that the file names, the built-in one as this mgctl has it.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}
