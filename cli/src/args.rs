//! The whole command surface on one page.
//!
//! `-f` and `-v` before the verb are `--file` and `--verbose`. After it, `-f` is `--follow` where there is
//! something to follow, and `-v` is `--volumes` where there is something to delete; elsewhere they keep
//! their first meaning. Verbs that take no NAME accept a TOPOLOGY.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::topology::{Mode, Runtime, parse_duration};

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
    /// What runs the nodes; over `runtime:` of the file.
    #[arg(long, global = true, value_parser = runtime, value_name = "auto|docker|process", help_heading = "Global")]
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
    /// One JSON object per change.
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
    Start(Start),
    /// Stops them well, replicas before MAIN; everything stays.
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
    /// Compares the graphs of all nodes: one digest per node at one position.
    Verify(Verify),
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
    /// JSON Schema of the topology file, for editors.
    Schema,
    /// The node's image, for containers that are started by hand.
    Image {
        #[command(subcommand)]
        command: ImageCommand,
    },
    /// What a code such as MG042 means, and what helps; without one all of them.
    Explain(Explain),
    /// Versions of mgctl and of the engine.
    Version,
    /// Runs one node in the foreground (mgnode); all arguments are its own.
    #[command(disable_help_flag = true)]
    Node {
        /// Arguments of mgnode.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        args: Vec<OsString>,
    },
}

/// `mgctl image`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ImageCommand {
    /// Makes the image from this executable, loads it into the engine, and prints its tag.
    Load,
}

/// The file of verbs that take no NAME.
#[derive(Args, Clone, Debug, Default)]
pub struct FileArg {
    /// Topology file; `-` reads standard input. Without one: MGCTL_FILE, then mgctl.yaml or topology.yaml here
    /// or above, then the only running cluster.
    #[arg(value_name = "TOPOLOGY", conflicts_with = "file_after")]
    pub topology: Option<PathBuf>,
    #[command(flatten)]
    pub after: FileFlag,
}

/// `-f` after the verb, where it cannot be `--follow`.
#[derive(Args, Clone, Debug, Default)]
pub struct FileFlag {
    /// Topology file; `-` reads standard input.
    #[arg(id = "file_after", short = 'f', long = "file", value_name = "TOPOLOGY")]
    pub file: Option<PathBuf>,
}

/// `-v` after the verb, where it cannot be `--volumes`.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct VerboseFlag {
    /// Says more.
    #[arg(id = "verbose_after", short = 'v', long = "verbose", action = ArgAction::Count)]
    pub verbose: u8,
}

/// How long a verb that waits may take.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct TimeoutArg {
    /// How long to wait, as `30s` or `2m`.
    #[arg(long, visible_alias = "wait-timeout", value_parser = duration, value_name = "TIME")]
    pub timeout: Option<Duration>,
}

/// Whether a verb only shows what it would do.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct DryRunArg {
    /// Shows what would be done and does nothing.
    #[arg(long)]
    pub dry_run: bool,
}

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
    /// Makes containers anew even where the running ones would do; the data stays.
    #[arg(long)]
    pub recreate: bool,
    /// Removes nodes that the file no longer names; their volumes stay.
    #[arg(long)]
    pub remove_orphans: bool,
    /// Moves MAIN back to where the file declares it, by a safe switchover.
    #[arg(long)]
    pub enforce_roles: bool,
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

/// `mgctl status`.
#[derive(Args, Clone, Debug, Default)]
pub struct Status {
    #[command(flatten)]
    pub file: FileArg,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    /// Exit code 5 unless the cluster is so; `redundant` if nothing is named.
    #[arg(long, value_enum, value_name = "WHAT", num_args = 0..=1, require_equals = true,
        default_missing_value = "redundant")]
    pub check: Option<Check>,
    /// Shows it again and again, every 2s or as often as is said, with lag over time and what changes.
    #[arg(short = 'w', long, value_name = "TIME", num_args = 0..=1, require_equals = true,
        default_missing_value = "2s", value_parser = duration, conflicts_with = "check")]
    pub watch: Option<Duration>,
}

/// `mgctl events`.
#[derive(Args, Clone, Debug, Default)]
pub struct Events {
    #[command(flatten)]
    pub file: FileArg,
    /// Ends after this time; else with Ctrl-C.
    #[arg(long = "for", value_parser = duration, value_name = "TIME")]
    pub time: Option<Duration>,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

/// `mgctl history`.
#[derive(Args, Clone, Debug, Default)]
pub struct History {
    #[command(flatten)]
    pub file: FileArg,
    /// How many of the last operations.
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
    pub lines: usize,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

/// `mgctl doctor`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Exit codes: 0 no check failed; 5 one did.")]
pub struct Doctor {
    #[command(flatten)]
    pub file: FileArg,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

/// `mgctl report`.
#[derive(Args, Clone, Debug, Default)]
pub struct Report {
    /// Tar file to write; else one named after the cluster and the time, here.
    #[arg(value_name = "FILE")]
    pub path: Option<PathBuf>,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

/// What `status --check` asks for. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Check {
    /// MAIN takes writes.
    Writable,
    /// Every node is there and answers.
    Healthy,
    /// Every replica is ready and 0 behind.
    Redundant,
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

/// `mgctl topology`.
#[derive(Args, Clone, Debug, Default)]
pub struct Tree {
    #[command(flatten)]
    pub file: FileArg,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

/// `mgctl explain`.
#[derive(Args, Clone, Debug, Default)]
pub struct Explain {
    /// The code, as MG042 or 42.
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}

/// `mgctl show-replicas`.
#[derive(Args, Clone, Debug, Default)]
pub struct ShowReplicas {
    #[command(flatten)]
    pub file: FileArg,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    /// Exactly what the server returned.
    #[arg(long)]
    pub raw: bool,
}

/// `mgctl register`.
#[derive(Args, Clone, Debug, Default)]
pub struct Register {
    /// Node of this cluster.
    #[arg(value_name = "NAME", required_unless_present = "address")]
    pub node: Option<String>,
    /// Name of the registration; else the node's `register_as`.
    #[arg(long = "name", value_name = "REPLICA", required_unless_present = "node")]
    pub register_as: Option<String>,
    /// Address of a node outside of the cluster, as `10.0.0.7:10000`.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "node")]
    pub address: Option<String>,
    /// SYNC, ASYNC or STRICT_SYNC; else the node's own mode, else SYNC.
    #[arg(long, value_parser = mode, value_name = "MODE")]
    pub mode: Option<Mode>,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl unregister`.
#[derive(Args, Clone, Debug, Default)]
pub struct Unregister {
    /// Node, or name of a registration.
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl promote`.
#[derive(Args, Clone, Debug, Default)]
pub struct Promote {
    /// Node to be MAIN.
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl failover`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Exit codes: 0 a replica is MAIN, and every replica that answers follows it; 5 it is MAIN, and not every\n            \
    one follows; 7 refused: MAIN lives, or what would be lost is not known; else nothing was promoted."
)]
pub struct Failover {
    /// Node to be MAIN; else the one that has most, of equals SYNC before ASYNC, then the higher priority.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Accepts that commits may be lost: an ASYNC candidate alone, or one that lags.
    #[arg(long)]
    pub force: bool,
    /// Ends a MAIN that answers, too. What only it has is lost; `promote` loses nothing.
    #[arg(long)]
    pub kill_main: bool,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl rejoin`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Exit codes: 0 NAME is ready and 0 behind; 5 it holds commits that MAIN lacks, or does not come up; 7 refused."
)]
pub struct Rejoin {
    /// Node to bring back.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Gives up its data where it holds commits that MAIN lacks, and copies MAIN's. They are saved first.
    #[arg(long)]
    pub wipe: bool,
    /// Saves nothing before --wipe.
    #[arg(long, requires = "wipe")]
    pub no_backup: bool,
    /// Cuts its log back to what MAIN has. The node keeps the rest in `diverged/` of its data directory.
    #[arg(long, conflicts_with = "wipe")]
    pub rewind: bool,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl reinit`.
#[derive(Args, Clone, Debug, Default)]
pub struct Reinit {
    /// REPLICA to empty.
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl repair`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Exit codes: 0 roles and registrations are in order; 5 not all of them; 7 refused: a person must choose."
)]
pub struct Repair {
    #[command(flatten)]
    pub file: FileArg,
    /// Of several MAINs the one whose writes count; the others become REPLICAs and lose nothing of what they have.
    #[arg(long, value_name = "NAME")]
    pub main: Option<String>,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl set-mode`.
#[derive(Args, Clone, Debug)]
pub struct SetMode {
    /// REPLICA to change.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// SYNC, ASYNC or STRICT_SYNC.
    #[arg(value_parser = mode, value_name = "MODE")]
    pub mode: Mode,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub timeout: TimeoutArg,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl demote`.
#[derive(Args, Clone, Debug, Default)]
pub struct Demote {
    /// Node to be a REPLICA.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Accepts that the cluster then has no MAIN and takes no writes.
    #[arg(long)]
    pub no_main: bool,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl supervise`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "A crash is noticed when MAIN's machine has ended and is not started again within 0.4 s, a hang when it has\n\
    not answered for 2.5 s. Several may run at once: one at a time fails over, and the others see that it is done."
)]
pub struct Supervise {
    #[command(flatten)]
    pub file: FileArg,
    /// Fails over, with the same fences as `failover` and never with a loss that it would refuse.
    #[arg(long)]
    pub auto_failover: bool,
    /// Leaves the old MAIN fenced, and does not bring it back as a REPLICA.
    #[arg(long)]
    pub no_rejoin: bool,
    /// Prints a unit for systemd, and ends.
    #[arg(long)]
    pub print_unit: bool,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

/// What a drill tries out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DrillKind {
    /// MAIN dies.
    #[default]
    Failover,
    /// MAIN moves.
    Switchover,
    /// A replica dies.
    ReplicaLoss,
}

impl DrillKind {
    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            DrillKind::Failover => "failover",
            DrillKind::Switchover => "switchover",
            DrillKind::ReplicaLoss => "replica-loss",
        }
    }
}

/// How a node dies in a drill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// At once, as by `kill -9`.
    #[default]
    Kill,
    /// It freezes.
    Pause,
}

impl Fault {
    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Pause => "pause",
        }
    }
}

/// Who writes.
#[derive(Args, Clone, Debug, Default)]
pub struct LoadShape {
    /// Clients that write at the same time.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub clients: u32,
    /// Writes a second, of all together; without it as many as are answered.
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
    /// Keeps the vertices `:MgctlLoad` that were written.
    #[arg(long)]
    pub keep: bool,
}

/// `mgctl drill`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Exit codes: 0 nothing that was acknowledged OK is lost, nothing is there twice, and writes went on; 5 not so."
)]
pub struct Drill {
    /// What to try out.
    #[arg(value_enum, value_name = "WHAT")]
    pub kind: DrillKind,
    /// How the node dies.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub fault: Fault,
    /// Replica to lose; else a SYNC one.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// How often.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    pub runs: u32,
    /// How long each run writes.
    #[arg(long = "for", value_parser = duration, default_value = "6s", value_name = "TIME")]
    pub time: Duration,
    #[command(flatten)]
    pub load: LoadShape,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl load`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Exit codes: 0 what was acknowledged is on MAIN; 5 it is not, or nothing was acknowledged."
)]
pub struct Load {
    #[command(flatten)]
    pub file: FileArg,
    /// How long.
    #[arg(long = "for", value_parser = duration, default_value = "10s", value_name = "TIME")]
    pub time: Duration,
    #[command(flatten)]
    pub load: LoadShape,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// What `chaos` does to a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Harm {
    /// Ends it at once, as by `kill -9`.
    #[default]
    Kill,
    /// Freezes it.
    Pause,
    /// Ends it well.
    Stop,
    /// Takes it off the cluster's network. Containers only.
    Partition,
    /// Ends it well and starts it again.
    Restart,
}

impl Harm {
    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Harm::Kill => "kill",
            Harm::Pause => "pause",
            Harm::Stop => "stop",
            Harm::Partition => "partition",
            Harm::Restart => "restart",
        }
    }

    /// Returns it as the beginning of a question.
    pub fn verb(self) -> &'static str {
        match self {
            Harm::Kill => "Kill",
            Harm::Pause => "Freeze",
            Harm::Stop => "Stop",
            Harm::Partition => "Take off the network",
            Harm::Restart => "Restart",
        }
    }

    /// Returns what has been done.
    pub fn done(self) -> &'static str {
        match self {
            Harm::Kill => "killed",
            Harm::Pause => "frozen",
            Harm::Stop | Harm::Restart => "stopped",
            Harm::Partition => "off the network",
        }
    }
}

/// `mgctl chaos`.
#[derive(Args, Clone, Debug, Default)]
pub struct Chaos {
    /// What to do to it.
    #[arg(value_enum, value_name = "WHAT")]
    pub harm: Harm,
    /// Node.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// How long, as `20s`; then it is mended. Without it, it stays so until `mgctl heal NAME`.
    #[arg(long = "for", value_parser = duration, value_name = "TIME")]
    pub time: Option<Duration>,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
    #[command(flatten)]
    pub dry_run: DryRunArg,
}

/// `mgctl heal`.
#[derive(Args, Clone, Debug, Default)]
pub struct Heal {
    /// Node.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Waits before it mends, and says when it is there.
    #[arg(long, value_parser = duration, value_name = "TIME", hide = true)]
    pub after: Option<Duration>,
    #[command(flatten)]
    pub file: FileFlag,
    #[command(flatten)]
    pub verbose: VerboseFlag,
}

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

/// `mgctl logs`.
#[derive(Args, Clone, Debug, Default)]
pub struct Logs {
    /// Nodes; all if none is named.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Goes on with what comes.
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// Begins this many lines before the end.
    #[arg(short = 'n', long, value_name = "LINES")]
    pub tail: Option<u64>,
    /// Topology file; `-` reads standard input.
    #[arg(id = "file_after", long = "file", value_name = "TOPOLOGY")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub verbose: VerboseFlag,
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

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a time is a number with a unit, as 30s, 2m or 1h".to_owned())
}

fn runtime(text: &str) -> Result<Runtime, String> {
    Runtime::parse(text).ok_or_else(|| "auto, docker or process".to_owned())
}

fn replicas(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix("replicas=").unwrap_or(text);
    number.parse().ok().filter(|n| *n <= 200).ok_or_else(|| "write replicas=4; at most 200".to_owned())
}

fn mode(text: &str) -> Result<Mode, String> {
    Mode::parse(text).ok_or_else(|| "SYNC, ASYNC or STRICT_SYNC".to_owned())
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
            Command::Logs(_) => "logs",
            Command::Validate(_) => "validate",
            Command::Diff(_) => "diff",
            Command::Uri(_) => "uri",
            Command::Schema => "schema",
            Command::Image { .. } => "image",
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
            Command::Verify(a) => (a.file.path(), a.verbose.verbose),
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
            Command::Init(_) | Command::Ls | Command::Explain(_) => (None, 0),
            Command::Schema | Command::Image { .. } | Command::Version | Command::Node { .. } => (None, 0),
        }
    }
}

impl FileArg {
    fn path(&self) -> Option<&PathBuf> {
        self.topology.as_ref().or(self.after.file.as_ref())
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
        assert!(parse("mgctl --runtime swarm up").is_err());
    }
}
