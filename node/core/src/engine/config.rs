//! What a caller may choose.

use std::time::Duration;

/// Limits and policies of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// How long a silent SYNC replica holds up a commit.
    pub sync_timeout: Duration,
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
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig {
            sync_timeout: Duration::from_secs(10),
            liveness_timeout: Duration::from_secs(3),
            ping_every: Duration::from_millis(500),
            confirm_wait: Duration::from_secs(2),
            confirm_required: false,
            register_timeout: Duration::from_secs(2),
            register_wait: Duration::from_secs(2),
            redial_min: Duration::from_millis(100),
            redial_max: Duration::from_secs(1),
            catch_up_window_bytes: 8 << 20,
            read_bytes_max: 1 << 20,
            live_bytes_max: 32 << 20,
            snapshot_every_bytes: 256 << 20,
        }
    }
}
