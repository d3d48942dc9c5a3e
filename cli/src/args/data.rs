//! Verbs about the graph: asking for it, keeping it, bringing it in.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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

/// `mgctl backup`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "The cluster goes on meanwhile: the backup holds what was committed when it began. It is read again and checked\n\
    before it gets its name, and a file that is there is never written over. Without mgctl it can be read so:\n\
    tar -xOf FILE --wildcards 'data/*' | mgconsole"
)]
pub struct Backup {
    /// File to write; else one named after the cluster and the time, in `backup.dir` of the topology or here, where
    /// then the newest `backup.keep` stay.
    #[arg(value_name = "FILE")]
    pub path: Option<PathBuf>,
    /// Node to read: `main`, `replica` (any), or its name.
    #[arg(long, default_value = "main", value_name = "NODE")]
    pub on: String,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

/// `mgctl restore`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "The cluster is brought up first where it is not up, without its `init` files. It must be empty: nothing is\n\
    overwritten. Afterwards the graph of every node is held against the backup's digest.\n\
    Exit codes: 0 restored and verified; 2 no backup, or a newer one; 5 not all of it, or it differs; 7 not empty."
)]
pub struct Restore {
    /// Backup to restore.
    #[arg(value_name = "FILE")]
    pub path: PathBuf,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    /// Checks the backup and the cluster, and does nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// `mgctl dump`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "The text is Cypher, a statement a line, and makes the same graph again: mgctl import FILE, or mgconsole < FILE.\n\
    It holds what was committed when it began, however long it takes."
)]
pub struct Dump {
    /// File to write; without one, or `-`, standard output.
    #[arg(value_name = "FILE")]
    pub path: Option<PathBuf>,
    /// Node to read: `main`, `replica` (any), or its name.
    #[arg(long, default_value = "main", value_name = "NODE")]
    pub on: String,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

/// `mgctl import`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "CSV files have a header as Neo4j's importer reads it:\n  \
    person.csv   id:ID(Person),name,born:int,tags:string[],:LABEL\n  \
    knows.csv    :START_ID(Person),:END_ID(Person),since:date,:TYPE\n\
    Types: string, int, float, boolean, date, localtime, localdatetime, datetime; with [] a list. All vertices come first,\n\
    in whatever order the files are named. Person=person.csv gives a label to all of them, KNOWS=knows.csv a type.\n\
    Exit codes: 0 all of it is in; 2 a file is wrong, nothing of its last transaction is in; 5 refused, or cut short.")]
pub struct Import {
    /// Files: Cypher (`.cypherl`, `.cypher`, `.cql`) or CSV (`.csv`, `.tsv`), CSV also as `Label=FILE` or `TYPE=FILE`; `-`
    /// is Cypher from standard input.
    #[arg(value_name = "FILE", required_unless_present = "from", conflicts_with = "from")]
    pub paths: Vec<String>,
    /// Copies the graph of a running Memgraph, mgnode or Neo4j instead, as `bolt://user@host:7687`. The password is
    /// MGCTL_FROM_PASSWORD.
    #[arg(long, value_name = "URI")]
    pub from: Option<String>,
    /// What parts the fields of CSV; `\t` is a tab.
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    pub delimiter: Option<u8>,
    /// What parts the items of a list within a field.
    #[arg(long, value_name = "CHAR", default_value = ";")]
    pub list_delimiter: char,
    /// Most statements of one transaction. A statement made of CSV holds many rows.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// Begins at this line of a Cypher file: where an import before ended.
    #[arg(long, value_name = "LINE", default_value_t = 1, conflicts_with = "from")]
    pub from_line: u32,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    /// Reads and checks the files, and does nothing.
    #[arg(long)]
    pub dry_run: bool,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(*byte),
        _ => Err("one ASCII character, or \\t".to_owned()),
    }
}

/// `mgctl console`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "A statement ends with a semicolon, and may have many lines. Tab completes keywords, labels, types and properties;\n\
    :help lists what else there is. Off a terminal statements are read from standard input, up to the first that fails."
)]
pub struct Console {
    /// Where to begin: `main`, `replica` (any), or the name of a node.
    #[arg(value_name = "NODE", default_value = "main")]
    pub on: String,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
}

/// For which reader `env` writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EnvFormat {
    /// `export NAME='value'`, for bash, zsh and their like.
    #[default]
    Sh,
    /// `set -gx NAME 'value'`.
    Fish,
    /// `$env:NAME = 'value'`.
    Powershell,
    /// `NAME=value`, for `.env` files and `docker run --env-file`.
    Dotenv,
}

/// `mgctl env`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "eval \"$(mgctl env)\"; then drivers and scripts find BOLT_URI, NEO4J_URI, MG_HOST and MG_PORT of MAIN,\n\
    MGCTL_MAIN, MGCTL_REPLICAS and MGCTL_REPLICA_URIS (with commas). After a promote: again."
)]
pub struct Env {
    #[command(flatten)]
    pub file: FileArg,
    /// Whose syntax.
    #[arg(long, value_enum, default_value_t, value_name = "SHELL")]
    pub shell: EnvFormat,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}
