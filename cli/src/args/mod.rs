//! The whole command surface: the verbs and global flags here, the arguments of each verb in a file for its kind.
//!
//! `-f` and `-v` before the verb are `--file` and `--verbose`. After it, `-f` is `--follow` where there is
//! something to follow, and `-v` is `--volumes` where there is something to delete; elsewhere they keep
//! their first meaning. Verbs that take no NAME accept a TOPOLOGY.

mod common;
mod data;
mod export;
mod image;
mod install;
mod lifecycle;
mod roles;
mod scale;
mod see;
mod trial;

pub use common::{DryRunArg, FileArg, FileFlag, TimeoutArg, VerboseFlag};
pub use data::{Backup, Console, Dump, Env, EnvFormat, Import, Query, Restore, Uri, Verify};
pub use export::{ExportCommand, ExportCompose, ExportKubernetes};
pub use image::ImageCommand;
pub use install::{Completions, Man, Schema};
pub use lifecycle::{Diff, Down, Init, Preset, Restart, Start, Stop, Up, Validate};
pub use roles::{
    Demote, Failover, Promote, Register, Reinit, Rejoin, Repair, SetMode, Supervise, Unregister,
};
pub use scale::{Add, Remove, Scale, Upgrade};
pub use see::{
    Check, Doctor, Events, Explain, History, Lag, LagMax, LogLevel, Logs, Report, ShowReplicas, Status, Tree,
};
pub use trial::{Chaos, Drill, DrillKind, Fault, Harm, Heal, Load, LoadShape};

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::topology::Runtime;
use common::runtime;

/// Turns a YAML topology into a running, replicated graph-database cluster, and operates it.
#[derive(Debug, Parser)]
#[command(name = "mgctl", version, max_term_width = 110, disable_help_subcommand = true)]
#[command(after_help = "First steps:  mgctl up topologies/quickstart.yaml\n              mgctl status\n\
    Exit codes:   0 ok, 1 other, 2 usage or topology, 3 engine, 4 not found, 5 degraded, 6 timed out,\n              \
    7 unsafe, 8 declined, 9 conflict, 10 changes pending, 130 interrupted")]
pub struct Cli {
    /// Topology file; `-` reads standard input.
    #[arg(short = 'f', long = "file", value_name = "TOPOLOGY")]
    pub file: Option<PathBuf>,
    /// Says more; twice says everything.
    #[arg(short = 'v', long = "verbose", action = ArgAction::Count)]
    pub verbose: u8,
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that stand before or after the verb.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Cluster by name; no file is read.
    #[arg(short, long, global = true, value_name = "NAME", help_heading = "Global")]
    pub cluster: Option<String>,
    /// Sets a value over the topology file's, as `instances.r1.mode=ASYNC`; a value is YAML. May stand several times.
    #[arg(long, global = true, value_parser = common::set, value_name = "KEY=VALUE", help_heading = "Global")]
    pub set: Vec<(String, String)>,
    /// Form of the result.
    #[arg(short, long, global = true, value_enum, default_value_t, help_heading = "Global")]
    pub output: Output,
    /// Says nothing but the result, warnings and errors.
    #[arg(short, long, global = true, help_heading = "Global")]
    pub quiet: bool,
    /// When to colour; `auto` heeds NO_COLOR and CLICOLOR_FORCE.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", help_heading = "Global")]
    pub color: When,
    /// How to show work; `auto` is `tty` on a terminal, else `plain`.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "HOW", help_heading = "Global")]
    pub progress: Progress,
    /// Answers every question with yes.
    #[arg(short, long, global = true, help_heading = "Global")]
    pub yes: bool,
    /// Asks nothing: a question without `--yes` ends the command with exit code 8.
    #[arg(long, global = true, help_heading = "Global")]
    pub no_input: bool,
    /// Docker engine, as `unix:///path` or `tcp://host:port`; else DOCKER_HOST, else the usual sockets.
    #[arg(short = 'H', long, global = true, value_name = "URL", help_heading = "Global")]
    pub host: Option<String>,
    /// Docker context of the engine, as `docker context ls` names it; over `context:` of the file.
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "host", help_heading = "Global")]
    pub context: Option<String>,
    /// What runs the nodes; over `runtime:` of the file.
    #[arg(long, global = true, value_parser = runtime, value_name = "auto|docker|process|swarm|external", help_heading = "Global")]
    pub runtime: Option<Runtime>,
    /// Shows each query sent to a node.
    #[arg(long, global = true, help_heading = "Global")]
    pub print_queries: bool,
}

/// Form of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For people with a wide terminal, or none: no column is left out.
    Wide,
    /// Only the names of what is listed, a line each.
    Name,
    /// For scripts: an envelope with `apiVersion`, `kind`, `cluster`, `ok`, `data`, `warnings`.
    Json,
    /// The same envelope as YAML.
    Yaml,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to show work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// `tty` on a terminal, else `plain`.
    #[default]
    Auto,
    /// Lines that change in place.
    Tty,
    /// One line per finished step.
    Plain,
    /// One JSON object per change, a line each on standard error; `mgctl schema progress` describes it.
    Json,
    /// Not at all.
    None,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Brings the cluster to what the topology says; again and again without harm.
    Up(Up),
    /// Stops and removes the nodes; keeps the data unless --volumes.
    Down(Down),
    /// Writes a topology to begin with.
    Init(Init),
    /// Starts the machines of a cluster, or those named.
    #[command(visible_alias = "resume")]
    Start(Start),
    /// Stops them well, replicas before MAIN; everything stays.
    #[command(visible_alias = "hibernate")]
    Stop(Stop),
    /// Stops and starts them; with --rolling one after the other, so that writes go on.
    Restart(Restart),
    /// Adds a REPLICA, and waits until it is ready.
    Add(Add),
    /// Takes a REPLICA out of the cluster; its data stay unless --volumes.
    Remove(Remove),
    /// Brings the cluster to so many replicas.
    Scale(Scale),
    /// Moves every node to the image that it should run: replicas first, then MAIN moves, then the old MAIN.
    Upgrade(Upgrade),
    /// Every cluster that runs here.
    Ls,
    /// Roles, states and addresses of all nodes in one table.
    #[command(visible_alias = "ps")]
    Status(Status),
    /// How far each replica is behind MAIN: in records, bytes and seconds.
    Lag(Lag),
    /// What changes in the cluster from now on, a line each.
    Events(Events),
    /// What was done to the cluster from this machine.
    History(History),
    /// Is everything here that a cluster needs, and is the cluster well.
    Doctor(Doctor),
    /// States, settings and logs in one file, without secrets, for whoever helps.
    Report(Report),
    /// Who follows whom, as a tree.
    #[command(visible_alias = "tree")]
    Topology(Tree),
    /// The table of replicas as MAIN sees it.
    #[command(visible_alias = "replicas")]
    ShowReplicas(ShowReplicas),
    /// Registers a node, or an address, as a REPLICA at MAIN.
    Register(Register),
    /// Takes a REPLICA off MAIN's list; the node goes on with the data it has.
    #[command(visible_alias = "drop")]
    Unregister(Unregister),
    /// Planned switchover: makes NAME the MAIN without losing a commit, or changes nothing.
    Promote(Promote),
    /// MAIN is gone: fences it, and makes the best replica, or NAME, the MAIN.
    Failover(Failover),
    /// Brings a node back as a REPLICA of MAIN: one that a failover fenced, or that was MAIN.
    Rejoin(Rejoin),
    /// Empties one REPLICA and has it copy everything from MAIN.
    Reinit(Reinit),
    /// Puts roles and registrations in order; makes and starts nothing.
    Repair(Repair),
    /// Changes how MAIN waits for a REPLICA.
    SetMode(SetMode),
    /// Makes MAIN a REPLICA and leaves the cluster without a MAIN.
    Demote(Demote),
    /// Watches MAIN, and fails over when it is gone.
    Supervise(Supervise),
    /// Tries out under write load what happens when a node dies, and counts what is lost.
    Drill(Drill),
    /// Writes with many clients and holds what they were told against what MAIN has.
    Load(Load),
    /// Breaks a node on purpose; with --for it is mended by itself, whatever becomes of this command.
    Chaos(Chaos),
    /// Mends a node that `chaos` broke.
    Heal(Heal),
    /// Runs a Cypher query: the argument, a file, or standard input.
    Query(Query),
    /// Asks for queries and answers them; off a terminal it reads them from standard input.
    Console(Console),
    /// Compares the graphs of all nodes: one digest per node at one position.
    Verify(Verify),
    /// Writes the graph of the running cluster into a file, with a manifest and checksums.
    Backup(Backup),
    /// Brings a backup into a new, empty cluster, and proves that it is there.
    Restore(Restore),
    /// Writes the graph as Cypher.
    Dump(Dump),
    /// Brings Cypher or CSV files in, or the graph of another server.
    Import(Import),
    /// Logs of the nodes, merged.
    Logs(Logs),
    /// Checks a topology and names every problem in it.
    #[command(visible_alias = "config")]
    Validate(Validate),
    /// What `up` would do, and why.
    #[command(visible_alias = "plan")]
    Diff(Diff),
    /// Addresses for drivers.
    Uri(Uri),
    /// Addresses as variables of a shell.
    Env(Env),
    /// JSON Schema of the topology file, for editors, or of what verbs answer, for scripts.
    Schema(Schema),
    /// The topology in the words of another tool: Docker Compose, Kubernetes.
    Export {
        #[command(subcommand)]
        command: ExportCommand,
    },
    /// The node's image, for containers that are started by hand.
    Image {
        #[command(subcommand)]
        command: ImageCommand,
    },
    /// What a code such as MG042 means, and what helps; without one all of them.
    Explain(Explain),
    /// Writes completions for a shell.
    #[command(visible_alias = "completion")]
    Completions(Completions),
    /// Writes the manual, a page for each verb.
    Man(Man),
    /// Versions of mgctl, of its formats and of the engine.
    Version,
    /// Runs one node in the foreground (mgnode); all arguments are its own.
    #[command(disable_help_flag = true)]
    Node {
        /// Arguments of mgnode.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        args: Vec<OsString>,
    },
}

impl Command {
    /// Returns the verb as typed.
    pub fn verb(&self) -> &'static str {
        match self {
            Command::Up(_) => "up",
            Command::Down(_) => "down",
            Command::Init(_) => "init",
            Command::Start(_) => "start",
            Command::Stop(_) => "stop",
            Command::Restart(_) => "restart",
            Command::Add(_) => "add",
            Command::Remove(_) => "remove",
            Command::Scale(_) => "scale",
            Command::Upgrade(_) => "upgrade",
            Command::Ls => "ls",
            Command::Topology(_) => "topology",
            Command::Events(_) => "events",
            Command::History(_) => "history",
            Command::Doctor(_) => "doctor",
            Command::Report(_) => "report",
            Command::Explain(_) => "explain",
            Command::Status(_) => "status",
            Command::Lag(_) => "lag",
            Command::ShowReplicas(_) => "show-replicas",
            Command::Register(_) => "register",
            Command::Unregister(_) => "unregister",
            Command::Promote(_) => "promote",
            Command::Failover(_) => "failover",
            Command::Rejoin(_) => "rejoin",
            Command::Reinit(_) => "reinit",
            Command::Repair(_) => "repair",
            Command::SetMode(_) => "set-mode",
            Command::Demote(_) => "demote",
            Command::Supervise(_) => "supervise",
            Command::Drill(_) => "drill",
            Command::Load(_) => "load",
            Command::Chaos(_) => "chaos",
            Command::Heal(_) => "heal",
            Command::Query(_) => "query",
            Command::Verify(_) => "verify",
            Command::Backup(_) => "backup",
            Command::Restore(_) => "restore",
            Command::Dump(_) => "dump",
            Command::Import(_) => "import",
            Command::Logs(_) => "logs",
            Command::Validate(_) => "validate",
            Command::Diff(_) => "diff",
            Command::Uri(_) => "uri",
            Command::Schema(_) => "schema",
            Command::Export { .. } => "export",
            Command::Image { .. } => "image",
            Command::Console(_) => "console",
            Command::Env(_) => "env",
            Command::Completions(_) => "completions",
            Command::Man(_) => "man",
            Command::Version => "version",
            Command::Node { .. } => "node",
        }
    }

    /// Returns the file named after the verb, and how often `-v` stands there.
    pub fn after_verb(&self) -> (Option<&PathBuf>, u8) {
        match self {
            Command::Up(a) => (a.file.path(), a.verbose.verbose),
            Command::Down(a) => (a.file.path(), 0),
            Command::Status(a) => (a.file.path(), a.verbose.verbose),
            Command::Lag(a) => (a.file.path(), a.verbose.verbose),
            Command::ShowReplicas(a) => (a.file.path(), a.verbose.verbose),
            Command::Register(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Unregister(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Promote(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Failover(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Rejoin(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Reinit(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Repair(a) => (a.file.path(), a.verbose.verbose),
            Command::SetMode(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Demote(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Supervise(a) => (a.file.path(), a.verbose.verbose),
            Command::Drill(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Load(a) => (a.file.path(), a.verbose.verbose),
            Command::Chaos(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Heal(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Query(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Console(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Env(a) => (a.file.path(), a.verbose.verbose),
            Command::Verify(a) => (a.file.path(), a.verbose.verbose),
            Command::Backup(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Restore(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Dump(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Import(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Logs(a) => (a.file.as_ref(), a.verbose.verbose),
            Command::Validate(a) => (a.file.path(), a.verbose.verbose),
            Command::Diff(a) => (a.file.path(), a.verbose.verbose),
            Command::Uri(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Start(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Stop(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Add(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Remove(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Scale(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Upgrade(a) => (a.file.path(), a.verbose.verbose),
            Command::Restart(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Topology(a) => (a.file.path(), a.verbose.verbose),
            Command::Events(a) => (a.file.path(), a.verbose.verbose),
            Command::History(a) => (a.file.path(), a.verbose.verbose),
            Command::Doctor(a) => (a.file.path(), a.verbose.verbose),
            Command::Report(a) => (a.file.file.as_ref(), a.verbose.verbose),
            Command::Export { command: ExportCommand::Compose(a) } => (a.file.path(), 0),
            Command::Export { command: ExportCommand::Kubernetes(a) } => (a.file.path(), 0),
            Command::Init(_) | Command::Ls | Command::Explain(_) => (None, 0),
            Command::Completions(_) | Command::Man(_) => (None, 0),
            Command::Schema(_) | Command::Image { .. } | Command::Version | Command::Node { .. } => (None, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_surface_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn f_and_v_mean_file_and_verbose_before_the_verb() {
        let cli = parse("mgctl -f a.yaml -vv logs m1 -f").unwrap();
        assert_eq!((cli.file, cli.verbose), (Some("a.yaml".into()), 2));
        let Command::Logs(logs) = cli.command else { panic!("logs") };
        assert!(logs.follow && logs.file.is_none());
        assert_eq!(logs.names, ["m1"]);
    }

    #[test]
    fn after_the_verb_they_mean_follow_and_volumes_where_there_are_such() {
        let cli = parse("mgctl down -v").unwrap();
        assert_eq!(cli.verbose, 0);
        let Command::Down(down) = cli.command else { panic!("down") };
        assert!(down.volumes);
        let cli = parse("mgctl up -v -f a.yaml").unwrap();
        assert_eq!(cli.command.after_verb(), (Some(&"a.yaml".into()), 1));
    }

    #[test]
    fn a_topology_is_named_once() {
        let cli = parse("mgctl up a.yaml").unwrap();
        assert_eq!(cli.command.after_verb().0, Some(&"a.yaml".into()));
        assert!(parse("mgctl up a.yaml -f b.yaml").is_err());
        let cli = parse("mgctl promote r1 -f a.yaml").unwrap();
        assert_eq!(cli.command.after_verb().0, Some(&"a.yaml".into()));
    }

    #[test]
    fn aliases_name_the_same_verb() {
        let pairs = [
            ("ps", "status"),
            ("replicas", "show-replicas"),
            ("drop r1", "unregister"),
            ("config", "validate"),
            ("plan", "diff"),
        ];
        for (alias, verb) in pairs {
            assert_eq!(parse(&format!("mgctl {alias}")).unwrap().command.verb(), verb);
        }
    }

    #[test]
    fn check_takes_its_word_with_an_equals_sign() {
        let check = |line: &str| match parse(line).unwrap().command {
            Command::Status(status) => (status.check, status.file.topology),
            _ => panic!("status"),
        };
        assert_eq!(check("mgctl status --check a.yaml"), (Some(Check::Redundant), Some("a.yaml".into())));
        assert_eq!(check("mgctl status --check=writable"), (Some(Check::Writable), None));
    }

    #[test]
    fn arguments_of_a_node_are_its_own() {
        let cli = parse("mgctl node --help --bolt-port=1 -o x -- y").unwrap();
        let Command::Node { args } = cli.command else { panic!("node") };
        assert_eq!(args, ["--help", "--bolt-port=1", "-o", "x", "--", "y"]);
    }

    #[test]
    fn values_are_checked() {
        assert!(parse("mgctl up --timeout 30").is_err());
        assert!(parse("mgctl up --timeout 1m30s").is_ok());
        assert!(parse("mgctl register r1 --mode semi").is_err());
        assert!(parse("mgctl register r1 --mode strict_sync").is_ok());
        assert!(parse("mgctl register").is_err());
        assert!(parse("mgctl register --name X --address h:1").is_ok());
        assert!(parse("mgctl register --address h:1").is_err());
        assert!(parse("mgctl --runtime swarm up").is_ok());
        assert!(parse("mgctl --runtime podman up").is_err());
    }
}
