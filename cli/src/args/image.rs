//! `mgctl image`: the node's image.

use std::path::PathBuf;

use clap::Subcommand;

use super::DryRunArg;

/// `mgctl image`.
#[derive(Clone, Debug, Subcommand)]
pub enum ImageCommand {
    /// Makes the image from this executable, loads it into the engine, and prints its tag.
    Load {
        #[command(flatten)]
        dry_run: DryRunArg,
    },
    /// Writes it into a file that `docker load` reads; needs no engine.
    Save {
        /// File to write; `-` is standard output.
        #[arg(value_name = "FILE")]
        path: PathBuf,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
    /// Loads it, and gives it another name in the engine.
    Tag {
        /// Name, as `registry.example.com/team/mgnode:1`; without a tag `latest`.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
    /// Loads it, gives it a name, and pushes it to the registry of that name. Who is logged in there by `docker login`, is.
    Push {
        /// Name, as `registry.example.com/team/mgnode:1`; without a tag `latest`.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
}
