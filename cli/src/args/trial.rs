//! Verbs that try out what happens when something breaks.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::common::{DryRunArg, FileArg, FileFlag, VerboseFlag, duration};

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
    #[command(flatten)]
    pub dry_run: DryRunArg,
}
