//! The table of flags: this node's own, and Memgraph's that have no meaning here.

/// What a flag's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Switch,
    Text,
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// With dashes.
    pub name: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    pub help: &'static str,
    /// False: taken for the sake of scripts written for Memgraph, without effect.
    pub served: bool,
}

const fn text(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind: Kind::Text, default, help, served: true }
}

const fn switch(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind: Kind::Switch, default, help, served: true }
}

const fn foreign(name: &'static str) -> Flag {
    Flag { name, kind: Kind::Text, default: "", help: "", served: false }
}

const fn foreign_switch(name: &'static str) -> Flag {
    Flag { name, kind: Kind::Switch, default: "", help: "", served: false }
}

/// Every flag that is taken.
pub const FLAGS: &[Flag] = &[
    switch("help", "false", "print this"),
    switch("version", "false", "print the version"),
    text("bolt-address", "127.0.0.1", "where clients connect"),
    text("bolt-port", "7687", "port for clients; 0 lets the system choose"),
    text(
        "bolt-advertised-address",
        "",
        "host:port told to clients that ask for routes; one for each place they may be in, with commas",
    ),
    text(
        "bolt-server-name-for-init",
        "Neo4j/v5.11.0 compatible graph database server - Memgraph",
        "server name in the answer to HELLO",
    ),
    text("bolt-sessions-max", "1024", "most client connections at once"),
    text("replication-address", "127.0.0.1", "where a REPLICA listens for its MAIN"),
    text("cluster-cert-file", "", "PEM: this node's certificate from the cluster's authority"),
    text("cluster-key-file", "", "PEM: its private key"),
    text("cluster-ca-file", "", "PEM: that authority; nodes without a certificate of it are refused"),
    switch("replication-restore-state-on-startup", "true", "keep role and registrations over a restart"),
    text("replication-replica-check-frequency-sec", "1", "seconds between checks of a replica; 0 never"),
    text("replication-sync-timeout", "10s", "longest wait for a SYNC replica that says nothing"),
    text(
        "replication-sync-policy",
        "degrade",
        "a commit that too few SYNC replicas can confirm: degrade (commit, with a warning), block or reject",
    ),
    text("replication-sync-min-acks", "0", "SYNC replicas that must confirm a commit; 0 for all of them"),
    text("replication-in-doubt", "report", "STRICT_SYNC commits in doubt: report at once, or wait"),
    text("replication-block-timeout", "30s", "longest wait of a client whose commit waits for replicas"),
    text(
        "main-lease",
        "0",
        "a MAIN that heard from no majority for that long takes no writes; 0 for no lease",
    ),
    text(
        "main-confirm",
        "auto",
        "a restarted MAIN whose replicas are silent: auto (takes writes) or required",
    ),
    switch("auto-rewind", "false", "a diverged REPLICA cuts its log back by itself; the rest is kept aside"),
    text("sync-failure-report", "notification", "how a client hears of it: notification or error"),
    text("data-directory", "mg_data", "where the log, snapshots and state are kept"),
    text("data-dir-lock-acquisition-timeout-sec", "30", "longest wait for another process to leave it"),
    text("durability", "commit", "commit: synced before the answer; interval:100ms; os"),
    text("storage-wal-file-flush-every-n-tx", "1", "Memgraph's form: N > 1 means os with a sync each N"),
    text("storage-wal-file-size-kib", "20480", "size of one log segment"),
    text(
        "wal-on-damage",
        "refuse",
        "a damaged log: refuse to start, or cut it there (the rest is kept aside)",
    ),
    text("storage-snapshot-interval-sec", "300", "seconds between snapshots; 0 never"),
    text("storage-snapshot-interval", "", "the same, as text"),
    text("storage-snapshot-retention-count", "3", "snapshots kept"),
    switch("storage-snapshot-on-exit", "false", "take one when stopped"),
    text("storage-gc-cycle-sec", "30", "seconds between sweeps of old versions"),
    text("query-execution-timeout-sec", "600", "longest run of one query; 0 no limit"),
    text(
        "query-memory-limit",
        "0",
        "MiB that one query may hold; 0 no limit but a quarter of the memory for all",
    ),
    text(
        "memory-limit",
        "0",
        "MiB that the node may hold before it refuses to grow; 0: nine tenths of what it can have",
    ),
    text(
        "isolation-level",
        "SNAPSHOT_ISOLATION",
        "of transactions: SNAPSHOT_ISOLATION, READ_COMMITTED or READ_UNCOMMITTED (given as READ_COMMITTED)",
    ),
    text("import-directory", "", "where LOAD CSV finds its files; without it none is read"),
    text("log-level", "INFO", "TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL"),
    text("log-file", "", "write the log there"),
    switch("also-log-to-stderr", "false", "with a log file: to standard error too"),
    foreign("auth-module-mappings"),
    foreign("auth-module-timeout-ms"),
    foreign_switch("auth-password-permit-null"),
    foreign("auth-password-strength-regex"),
    foreign("auth-user-or-role-name-regex"),
    foreign("bolt-num-workers"),
    foreign_switch("data-recovery-on-startup"),
    foreign("log-retention-days"),
    foreign("memory-warning-threshold"),
    foreign("metrics-address"),
    foreign("metrics-format"),
    foreign("metrics-port"),
    foreign("monitoring-address"),
    foreign("monitoring-port"),
    foreign("password-encryption-algorithm"),
    foreign("query-modules-directory"),
    foreign_switch("storage-allow-recovery-failure"),
    foreign("storage-access-timeout-sec"),
    foreign_switch("storage-backup-dir-enabled"),
    foreign("storage-items-per-batch"),
    foreign_switch("storage-parallel-schema-recovery"),
    foreign_switch("storage-parallel-snapshot-creation"),
    foreign_switch("storage-properties-on-edges"),
    foreign("storage-recovery-thread-count"),
    foreign("storage-snapshot-thread-count"),
    foreign_switch("storage-wal-enabled"),
    foreign_switch("schema-info-enabled"),
    foreign_switch("telemetry-enabled"),
];

/// Returns the text of `--help`.
pub(super) fn help() -> String {
    let mut out = String::from(
        "mgnode: an in-memory property-graph database that speaks openCypher over Bolt and replicates over QUIC\n\n\
         Flags (--flag value, --flag=value, --switch, --noswitch; dashes or underscores):\n\n",
    );
    for f in FLAGS.iter().filter(|f| f.served) {
        let default = if f.default.is_empty() { String::new() } else { format!(" [{}]", f.default) };
        out.push_str(&format!("  --{:<42} {}{default}\n", f.name, f.help));
    }
    out.push_str("\nFlags that only Memgraph's own features need are taken with a warning.\n");
    out
}
