//! Verbs that help to have mgctl at hand.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap_complete::Shell;

use crate::output::KINDS;

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

/// `mgctl schema`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "mgctl schema > topology.schema.json     for editors\n\
    mgctl schema status                     what `mgctl status -o json` answers\n\
    mgctl schema progress                   a line of --progress json")]
pub struct Schema {
    /// `topology` is the file, `output` what every verb answers with -o json, `progress` a line of --progress json; a verb
    /// is what that one answers (`tree`: the verb `topology`).
    #[arg(value_name = "WHAT", default_value = Schema::TOPOLOGY, hide_possible_values = true,
        value_parser = PossibleValuesParser::new(Schema::names()))]
    pub of: String,
}

impl Schema {
    /// The topology file.
    pub const TOPOLOGY: &str = "topology";
    /// What every verb answers.
    pub const OUTPUT: &str = "output";
    /// A line of `--progress json`.
    pub const PROGRESS: &str = "progress";
    /// The verb `topology`, whose own name is that of the file.
    pub const TREE: &str = "tree";

    /// Returns what there is a schema of.
    pub fn names() -> Vec<&'static str> {
        let verbs =
            KINDS.iter().flat_map(|kind| kind.verbs).copied().filter(|verb| *verb != Schema::TOPOLOGY);
        let mut names: Vec<&str> = verbs.chain([Schema::TREE]).collect();
        names.sort_unstable();
        names.dedup();
        [Schema::TOPOLOGY, Schema::OUTPUT, Schema::PROGRESS].into_iter().chain(names).collect()
    }
}
