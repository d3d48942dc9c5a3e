//! Verbs that help to have mgctl at hand.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

/// `mgctl completions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "bash:  mgctl completions bash > ~/.local/share/bash-completion/completions/mgctl\n\
    zsh:   mgctl completions zsh > ~/.zfunc/_mgctl      (with fpath+=~/.zfunc before compinit)\n\
    fish:  mgctl completions fish > ~/.config/fish/completions/mgctl.fish")]
pub struct Completions {
    /// Shell to write them for.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// `mgctl man`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "mgctl man ~/.local/share/man/man1; then: man mgctl, man mgctl-promote")]
pub struct Man {
    /// Folder to write the pages into; it is made where it is missing. Pages of an earlier version are replaced.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// What `schema` is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The topology file, for editors.
    #[default]
    Topology,
    /// What verbs answer with `-o json`, for scripts.
    Output,
}

/// `mgctl schema`.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Schema {
    /// What it is of.
    #[arg(value_enum, value_name = "WHAT", default_value_t)]
    pub of: SchemaOf,
}
