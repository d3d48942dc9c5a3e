//! What a node is told at its start: flags in gflags form.
//!
//! `--f v`, `--f=v`, bare boolean `--f`, negated `--nof`; dashes and underscores mean the same. A
//! flag that only Memgraph's own features need is taken with one warning; a misspelt one is an error
//! with a suggestion.

mod flags;
mod parse;

pub use flags::{FLAGS, Flag, Kind};
pub use mgnode_core::engine::SyncPolicy;
pub use parse::{ConfigError, Setting};

use crate::quic::ClusterFiles;
use mgcypher::ast::IsolationLevel;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// When a commit counts as durable on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Synced before any answer; commits that wait share one sync.
    Commit,
    /// Written at once, synced at least this often: a power cut can take what is younger.
    Interval(Duration),
    /// Written at once, synced when the system likes: survives `kill -9`, not a power cut.
    Os {
        /// Memgraph's `--storage-wal-file-flush-every-n-tx`, where it was given.
        sync_every_n_commits: Option<u64>,
    },
}

/// How a client hears that a SYNC replica did not confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncFailureReport {
    /// SUCCESS with a WARNING notification.
    Notification,
    /// FAILURE that says the commit stands, as Memgraph did up to 3.12.
    Error,
}

/// How much a node says on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

/// Everything a node is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    pub bolt_address: IpAddr,
    /// 0 lets the system choose.
    pub bolt_port: u16,
    /// `host:port` that clients should use, told in routing tables; one for each place they may be in.
    pub bolt_advertised_addresses: Vec<String>,
    pub bolt_server_name: String,
    /// Most Bolt connections at once.
    pub bolt_sessions_max: usize,
    /// Where the replication port is opened when this node is a REPLICA.
    pub replication_address: IpAddr,
    /// The cluster's certificates; `None`: a key of the node's own.
    pub cluster_files: Option<ClusterFiles>,
    pub replication_restore_state_on_startup: bool,
    /// `None`: replicas are not watched.
    pub replica_check_every: Option<Duration>,
    /// Bound of the wait for a SYNC replica that says nothing.
    pub sync_timeout: Duration,
    pub sync_policy: SyncPolicy,
    /// SYNC replicas that must confirm a commit; `None` for all of them.
    pub sync_min_acks: Option<usize>,
    /// Whether the client of a STRICT_SYNC commit in doubt waits for the outcome.
    pub wait_in_doubt: bool,
    /// Bound of the wait for replicas to come back.
    pub block_timeout: Duration,
    /// `None`: this MAIN needs no majority.
    pub main_lease: Option<Duration>,
    /// Whether a restarted MAIN waits for its SYNC and STRICT_SYNC replicas, or for an operator.
    pub confirm_required: bool,
    pub auto_rewind: bool,
    pub sync_failure_report: SyncFailureReport,
    pub data_directory: PathBuf,
    /// Bound of the wait for another process to release the data directory.
    pub lock_timeout: Duration,
    pub durability: Durability,
    /// Bytes of one WAL segment after the first.
    pub wal_segment_bytes: u64,
    /// Whether a log that was damaged after it was written is cut there; else the node does not start.
    pub cut_damaged_wal: bool,
    /// `None`: no periodic snapshots.
    pub snapshot_every: Option<Duration>,
    pub snapshots_kept: usize,
    pub snapshot_on_exit: bool,
    pub gc_every: Duration,
    /// `None`: no limit.
    pub query_timeout: Option<Duration>,
    /// Bytes that one query may hold. `None`: no limit.
    pub query_memory_max: Option<usize>,
    /// Bytes that the process may hold before it refuses to grow; `None`: nine tenths of what it can have.
    pub memory_max: Option<u64>,
    /// Below it are the files that `LOAD CSV` may read. `None`: none is.
    pub import_directory: Option<PathBuf>,
    /// Of transactions, until a statement sets another.
    pub isolation_level: IsolationLevel,
    pub log_level: LogLevel,
    /// Beside or instead of standard error.
    pub log_file: Option<PathBuf>,
    pub also_log_to_stderr: bool,
    /// Flags that were taken without effect, to be told in the log.
    pub ignored: Vec<String>,
    /// All flags with an effect, as text, for `SHOW CONFIG`.
    pub settings: Vec<Setting>,
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Run a node.
    Run(Box<Config>),
    /// Print this text and end well.
    Print(String),
}

impl Config {
    /// Reads the arguments that follow the program's name.
    pub fn from_args(args: impl IntoIterator<Item = String>) -> Result<Command, ConfigError> {
        let raw = parse::raw(args)?;
        if raw.has("help") {
            return Ok(Command::Print(flags::help()));
        }
        if raw.has("version") {
            return Ok(Command::Print(format!("mgnode {}", env!("CARGO_PKG_VERSION"))));
        }
        Config::from_raw(&raw).map(|c| Command::Run(Box::new(c)))
    }

    fn from_raw(raw: &parse::Raw) -> Result<Config, ConfigError> {
        let snapshot_seconds = match raw.text("storage-snapshot-interval") {
            "" => raw.number("storage-snapshot-interval-sec")?,
            text => text.parse().map_err(|_| {
                raw.bad(
                    "storage-snapshot-interval",
                    "seconds (a cron expression is not served by this version)",
                )
            })?,
        };
        let (log_file, import_directory) = (raw.text("log-file"), raw.text("import-directory"));
        Ok(Config {
            bolt_address: raw.address("bolt-address")?,
            bolt_port: raw.port("bolt-port")?,
            bolt_advertised_addresses: raw
                .text("bolt-advertised-address")
                .split(',')
                .map(|address| address.trim().to_owned())
                .filter(|address| !address.is_empty())
                .collect(),
            bolt_server_name: raw.text("bolt-server-name-for-init").to_owned(),
            bolt_sessions_max: raw.count("bolt-sessions-max")?,
            replication_address: raw.address("replication-address")?,
            cluster_files: cluster_files(raw)?,
            replication_restore_state_on_startup: raw.switch("replication-restore-state-on-startup")?,
            replica_check_every: match raw.number("replication-replica-check-frequency-sec")? {
                0 => None,
                n => Some(Duration::from_secs(n)),
            },
            sync_timeout: raw.duration("replication-sync-timeout")?,
            sync_policy: match raw.text("replication-sync-policy") {
                "degrade" => SyncPolicy::Degrade,
                "block" => SyncPolicy::Block,
                "reject" => SyncPolicy::Reject,
                _ => return Err(raw.bad("replication-sync-policy", "`degrade`, `block` or `reject`")),
            },
            sync_min_acks: Some(raw.count("replication-sync-min-acks")?).filter(|n| *n > 0),
            wait_in_doubt: match raw.text("replication-in-doubt") {
                "report" => false,
                "wait" => true,
                _ => return Err(raw.bad("replication-in-doubt", "`report` or `wait`")),
            },
            block_timeout: raw.duration("replication-block-timeout")?,
            main_lease: lease(raw)?,
            confirm_required: match raw.text("main-confirm") {
                "auto" => false,
                "required" => true,
                _ => return Err(raw.bad("main-confirm", "`auto` or `required`")),
            },
            auto_rewind: raw.switch("auto-rewind")?,
            sync_failure_report: match raw.text("sync-failure-report") {
                "notification" => SyncFailureReport::Notification,
                "error" => SyncFailureReport::Error,
                _ => return Err(raw.bad("sync-failure-report", "`notification` or `error`")),
            },
            data_directory: PathBuf::from(raw.text("data-directory")),
            lock_timeout: Duration::from_secs(raw.number("data-dir-lock-acquisition-timeout-sec")?),
            durability: durability(raw)?,
            wal_segment_bytes: raw.number("storage-wal-file-size-kib")?.clamp(64, 1 << 22) * 1024,
            cut_damaged_wal: match raw.text("wal-on-damage") {
                "refuse" => false,
                "cut" => true,
                _ => return Err(raw.bad("wal-on-damage", "`refuse` or `cut`")),
            },
            snapshot_every: (snapshot_seconds > 0).then(|| Duration::from_secs(snapshot_seconds)),
            snapshots_kept: raw.count("storage-snapshot-retention-count")?.max(1),
            snapshot_on_exit: raw.switch("storage-snapshot-on-exit")?,
            gc_every: Duration::from_secs(raw.number("storage-gc-cycle-sec")?.max(1)),
            query_timeout: match raw.number("query-execution-timeout-sec")? {
                0 => None,
                n => Some(Duration::from_secs(n)),
            },
            memory_max: match raw.count("memory-limit")? {
                0 => None,
                mib => Some((mib as u64).saturating_mul(1 << 20)),
            },
            query_memory_max: match raw.count("query-memory-limit")? {
                0 => None,
                mib => Some(mib.saturating_mul(1 << 20)),
            },
            import_directory: (!import_directory.is_empty()).then(|| PathBuf::from(import_directory)),
            isolation_level: match raw.text("isolation-level") {
                "SNAPSHOT_ISOLATION" => IsolationLevel::SnapshotIsolation,
                "READ_COMMITTED" => IsolationLevel::ReadCommitted,
                "READ_UNCOMMITTED" => IsolationLevel::ReadUncommitted,
                _ => {
                    let levels = "SNAPSHOT_ISOLATION, READ_COMMITTED or READ_UNCOMMITTED";
                    return Err(raw.bad("isolation-level", levels));
                }
            },
            log_level: match raw.text("log-level").to_ascii_uppercase().as_str() {
                "TRACE" => LogLevel::Trace,
                "DEBUG" => LogLevel::Debug,
                "INFO" => LogLevel::Info,
                "WARNING" => LogLevel::Warning,
                "ERROR" => LogLevel::Error,
                "CRITICAL" => LogLevel::Critical,
                _ => return Err(raw.bad("log-level", "TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL")),
            },
            log_file: (!log_file.is_empty()).then(|| PathBuf::from(log_file)),
            also_log_to_stderr: raw.switch("also-log-to-stderr")?,
            ignored: raw.ignored.clone(),
            settings: raw.settings(),
        })
    }
}

/// Shorter than a second, a lease would end with every hiccup of a scheduler.
fn lease(raw: &parse::Raw) -> Result<Option<Duration>, ConfigError> {
    const LEASE_MIN: Duration = Duration::from_secs(1);
    if raw.text("main-lease") == "0" {
        return Ok(None);
    }
    match raw.duration("main-lease")? {
        lease if lease.is_zero() => Ok(None),
        lease if lease < LEASE_MIN => Err(raw.bad("main-lease", "at least 1s, or 0 for no lease")),
        lease => Ok(Some(lease)),
    }
}

/// Certificate, key and authority are given together, or not at all.
fn cluster_files(raw: &parse::Raw) -> Result<Option<ClusterFiles>, ConfigError> {
    let names = ["cluster-cert-file", "cluster-key-file", "cluster-ca-file"];
    let [certificate, key, authority] = names.map(|name| raw.text(name));
    match names.iter().find(|name| raw.text(name).is_empty()) {
        None => Ok(Some(ClusterFiles {
            certificate: certificate.into(),
            key: key.into(),
            authority: authority.into(),
        })),
        Some(_) if [certificate, key, authority].iter().all(|path| path.is_empty()) => Ok(None),
        Some(missing) => Err(ConfigError(format!(
            "`--{missing}` is missing: `--cluster-cert-file`, `--cluster-key-file` and `--cluster-ca-file` go together"
        ))),
    }
}

/// An explicit `--durability` beats Memgraph's flush flag; that flag with N > 1 means `os` with a
/// sync each N commits.
fn durability(raw: &parse::Raw) -> Result<Durability, ConfigError> {
    let flush = "storage-wal-file-flush-every-n-tx";
    if !raw.was_given("durability") && raw.was_given(flush) {
        return Ok(match raw.number(flush)? {
            0 => return Err(raw.bad(flush, "a number from 1 up")),
            1 => Durability::Commit,
            n => Durability::Os { sync_every_n_commits: Some(n) },
        });
    }
    match raw.text("durability") {
        "commit" => Ok(Durability::Commit),
        "os" => Ok(Durability::Os { sync_every_n_commits: None }),
        text => match text.strip_prefix("interval") {
            Some("") => Ok(Durability::Interval(Duration::from_millis(100))),
            Some(rest) => rest
                .strip_prefix('(')
                .and_then(|r| r.strip_suffix(')'))
                .or_else(|| rest.strip_prefix(':'))
                .and_then(parse::duration)
                .filter(|d| !d.is_zero())
                .map(Durability::Interval)
                .ok_or_else(|| raw.bad("durability", "`commit`, `interval:100ms` or `os`")),
            None => Err(raw.bad("durability", "`commit`, `interval:100ms` or `os`")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Config {
        match Config::from_args(args.iter().map(|s| (*s).to_owned())) {
            Ok(Command::Run(c)) => *c,
            other => panic!("{other:?}"),
        }
    }

    fn refuse(args: &[&str]) -> String {
        Config::from_args(args.iter().map(|s| (*s).to_owned())).expect_err("is refused").to_string()
    }

    #[test]
    fn certificate_key_and_authority_go_together() {
        assert_eq!(run(&[]).cluster_files, None);
        let all = ["--cluster-cert-file=/c", "--cluster-key-file=/k", "--cluster-ca-file=/a"];
        let files = run(&all).cluster_files.expect("they are given");
        assert_eq!([files.certificate, files.key, files.authority], ["/c", "/k", "/a"].map(PathBuf::from));
        for missing in 0..3 {
            let given: Vec<&str> =
                all.iter().enumerate().filter(|(i, _)| *i != missing).map(|(_, f)| *f).collect();
            let name = all[missing].split('=').next().expect("it has a name");
            assert!(refuse(&given).contains(&format!("`{name}` is missing")));
        }
    }

    #[test]
    fn every_gflags_form_is_read() {
        let c = run(&[
            "--bolt-port",
            "7001",
            "--bolt_address=127.0.0.9",
            "--also_log_to_stderr",
            "--nostorage-snapshot-on-exit",
        ]);
        assert_eq!(c.bolt_port, 7001);
        assert_eq!(c.bolt_address.to_string(), "127.0.0.9");
        assert!(c.also_log_to_stderr);
        assert!(!c.snapshot_on_exit);
        assert!(run(&["--replication-restore-state-on-startup"]).replication_restore_state_on_startup);
        assert!(!run(&["--replication-restore-state-on-startup=false"]).replication_restore_state_on_startup);
    }

    #[test]
    fn the_isolation_level_is_one_of_three() {
        assert_eq!(run(&[]).isolation_level, IsolationLevel::SnapshotIsolation);
        assert_eq!(run(&["--isolation-level=READ_COMMITTED"]).isolation_level, IsolationLevel::ReadCommitted);
        assert_eq!(
            run(&["--isolation_level", "READ_UNCOMMITTED"]).isolation_level,
            IsolationLevel::ReadUncommitted
        );
        let refused = refuse(&["--isolation-level=SERIALIZABLE"]);
        assert!(refused.ends_with("SNAPSHOT_ISOLATION, READ_COMMITTED or READ_UNCOMMITTED"), "{refused}");
    }

    #[test]
    fn nothing_is_open_to_the_network_unless_told() {
        let c = run(&[]);
        assert!(c.bolt_address.is_loopback() && c.replication_address.is_loopback());
        assert_eq!(c.durability, Durability::Commit);
        assert!(c.replication_restore_state_on_startup);
    }

    #[test]
    fn durability_beats_memgraphs_flush_flag() {
        let flush = "--storage-wal-file-flush-every-n-tx=100";
        assert_eq!(run(&[flush]).durability, Durability::Os { sync_every_n_commits: Some(100) });
        assert_eq!(run(&["--storage-wal-file-flush-every-n-tx=1"]).durability, Durability::Commit);
        assert_eq!(run(&[flush, "--durability=commit"]).durability, Durability::Commit);
        assert_eq!(
            run(&["--durability=interval:20ms"]).durability,
            Durability::Interval(Duration::from_millis(20))
        );
        assert!(refuse(&["--durability=interval:soon"]).contains("interval:100ms"));
    }

    #[test]
    fn a_flag_of_memgraph_without_meaning_here_is_taken_and_named() {
        let c = run(&["--telemetry-enabled=false", "--metrics-port", "9091", "--bolt-port=7688"]);
        assert_eq!(c.ignored, ["telemetry-enabled", "metrics-port"]);
        assert_eq!(c.bolt_port, 7688);
    }

    #[test]
    fn a_misspelt_flag_is_refused_with_the_nearest() {
        assert_eq!(refuse(&["--bolt-prt=1"]), "unknown flag `--bolt-prt`; did you mean `--bolt-port`?");
        assert!(refuse(&["--bolt-port=70000"]).contains("0 to 65535"));
        assert!(refuse(&["--bolt-port"]).contains("needs a value"));
        assert!(refuse(&["topology.yaml"]).contains("not a flag"));
    }
}
