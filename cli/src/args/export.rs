//! Verbs that write a topology in the words of another tool.

use clap::{Args, Subcommand};

use super::common::FileArg;

/// `mgctl export`.
#[derive(Clone, Debug, Subcommand)]
pub enum ExportCommand {
    /// A file for Docker Compose, which runs the cluster on one machine.
    Compose(ExportCompose),
    /// Objects for Kubernetes. Validated against its schemas, not applied.
    Kubernetes(ExportKubernetes),
}

/// `mgctl export compose`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "docker-compose -p NAME -f FILE up -d. The file begins with what is lost in translation."
)]
pub struct ExportCompose {
    #[command(flatten)]
    pub file: FileArg,
    /// The node's image as the engine there knows it; else the one that `mgctl image load` makes of this mgctl.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
}

/// `mgctl export kubernetes`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Validated against the schemas of Kubernetes, not applied: try it where nothing depends on it.\n\
    The text holds private keys where nodes have certificates, and begins with what is lost in translation."
)]
pub struct ExportKubernetes {
    #[command(flatten)]
    pub file: FileArg,
    /// The node's image as the cluster pulls it: the name that `mgctl image push` was given.
    #[arg(long, value_name = "IMAGE", required = true)]
    pub image: String,
    /// Size of each node's volume.
    #[arg(long, value_name = "SIZE", default_value = "10Gi", value_parser = super::common::quantity)]
    pub storage: String,
}
