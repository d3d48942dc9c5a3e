//! Verbs that change who is MAIN and who follows.

use clap::Args;

use super::common::{DryRunArg, FileArg, FileFlag, TimeoutArg, VerboseFlag, mode};
use crate::topology::Mode;

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
    /// With `runtime: external`: goes on although a node that may be MAIN does not answer and so cannot be fenced.
    /// See first that it has ended: what clients still write there is lost.
    #[arg(long)]
    pub force_unfenced: bool,
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
