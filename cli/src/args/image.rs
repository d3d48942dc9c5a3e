//! `mgctl image`: the node's image.

use clap::Subcommand;

/// `mgctl image`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ImageCommand {
    /// Makes the image from this executable, loads it into the engine, and prints its tag.
    Load,
}
