//! What a caller may choose.

use std::time::Duration;

/// What becomes of a commit that too few SYNC replicas can confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// It commits all the same and is told as degraded.
    Degrade,
    /// It waits, unseen by readers of MAIN, until enough replicas are back; its client is told that it is
    /// in doubt when [`EngineConfig::block_timeout`] is over. Where [`EngineConfig::blocked_bytes_max`] wait
    /// already, it is refused before it is written.
    Block,
    /// It is refused before it is written. One whose replicas vanish after that is in doubt, and waits
    /// as with `Block`.
    Reject,
}

/// Limits and policies of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// How long a silent SYNC replica holds up a commit.
    pub sync_timeout: Duration,
    pub sync_policy: SyncPolicy,
    /// How many of the registered SYNC replicas must confirm a commit; `None` for all of them.
    pub sync_min_acks: Option<usize>,
    /// Whether the client of a STRICT_SYNC commit in doubt is kept waiting for the outcome, up to
    /// `block_timeout`, and not told at once.
    pub wait_in_doubt: bool,
    /// How long a commit that waits for replicas to come back holds up its client.
    pub block_timeout: Duration,
    /// Bytes of records that may wait for replicas to come back.
    pub blocked_bytes_max: u64,
    /// A MAIN that has not heard from a majority of its cluster (itself counted) for that long takes no
    /// writes and says yes to none. `None`: no lease.
    pub main_lease: Option<Duration>,
    /// Whether a REPLICA that is told that it diverged cuts its log back to the common part by itself.
    pub auto_rewind: bool,
    /// Where clients reach this node, see [`Member::bolt`](crate::types::Member).
    pub bolt: Vec<String>,
    /// A connection without any message for that long is given up.
    pub liveness_timeout: Duration,
    /// How often MAIN asks an idle replica for a sign of life.
    pub ping_every: Duration,
    /// How long a restarted MAIN waits for its replicas before it takes writes.
    pub confirm_wait: Duration,
    /// Whether a restarted MAIN takes writes only once every SYNC and STRICT_SYNC replica answered,
    /// or an operator confirmed it.
    pub confirm_required: bool,
    /// How long a registration waits for the replica's greeting.
    pub register_timeout: Duration,
    /// How long a registration waits for the replica to catch up before it is answered anyway.
    pub register_wait: Duration,
    /// How long a role or registration command waits for the one under way before it is refused.
    pub turn_wait: Duration,
    /// First and longest pause between two dials of one replica.
    pub redial_min: Duration,
    pub redial_max: Duration,
    /// Bytes of records sent to one replica in catch-up and not yet acknowledged.
    pub catch_up_window_bytes: usize,
    /// Bytes of one read of the log.
    pub read_bytes_max: usize,
    /// Bytes of live records sent to one replica and not yet acknowledged; beyond that it falls
    /// back to catch-up from the log.
    pub live_bytes_max: usize,
    /// A snapshot is due after that many bytes of log; 0 for never.
    pub snapshot_every_bytes: u64,
    /// Snapshot files that stay; at least one.
    pub snapshots_kept: usize,
    /// A replica that went away finds what it needs to go on where it was (the log from there, or
    /// the rest of a snapshot) until that many bytes of log were written.
    pub keep_for_absent_bytes: u64,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig {
            sync_timeout: Duration::from_secs(10),
            sync_policy: SyncPolicy::Degrade,
            sync_min_acks: None,
            wait_in_doubt: false,
            block_timeout: Duration::from_secs(30),
            blocked_bytes_max: 64 << 20,
            main_lease: None,
            auto_rewind: false,
            bolt: Vec::new(),
            liveness_timeout: Duration::from_secs(3),
            ping_every: Duration::from_millis(500),
            confirm_wait: Duration::from_secs(2),
            confirm_required: false,
            register_timeout: Duration::from_secs(2),
            register_wait: Duration::from_secs(2),
            turn_wait: Duration::from_millis(2_500),
            redial_min: Duration::from_millis(100),
            redial_max: Duration::from_secs(1),
            catch_up_window_bytes: 8 << 20,
            read_bytes_max: 1 << 20,
            live_bytes_max: 32 << 20,
            snapshot_every_bytes: 256 << 20,
            snapshots_kept: 3,
            keep_for_absent_bytes: 1 << 30,
        }
    }
}
