//! Verbs that ask nodes about their graph.

use std::path::PathBuf;

use clap::Args;

use super::common::{FileArg, FileFlag, TimeoutArg, VerboseFlag};

/// `mgctl query`.
#[derive(Args, Clone, Debug, Default)]
pub struct Query {
    /// The query; `-` or nothing reads standard input.
    #[arg(value_name = "CYPHER", conflicts_with = "input")]
    pub cypher: Option<String>,
    /// Reads the statements of a file.
    #[arg(short = 'i', long = "input", value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Where: `main`, `replica` (any), the name of a node, or `all`.
    #[arg(long, default_value = "main", value_name = "NODE")]
    pub on: String,
    /// A parameter, as `name=value`; the value is JSON, else text. May stand several times.
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
}

/// `mgctl verify`.
#[derive(Args, Clone, Debug, Default)]
pub struct Verify {
    #[command(flatten)]
    pub file: FileArg,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
}

/// `mgctl uri`.
#[derive(Args, Clone, Debug, Default)]
pub struct Uri {
    /// `main`, `replicas`, `all`, or the name of a node.
    #[arg(value_name = "WHICH", default_value = "main")]
    pub which: String,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}
