//! What a run is made of; all of it comes from the seed.

use crate::clients::Kind;
use crate::disk::{DiskOptions, Durability};
use crate::rng::Rng;
use crate::world::{MS, SECOND};
use mgnode_core::engine::{EngineConfig, SyncPolicy};
use mgnode_core::types::SyncMode;
use std::collections::BTreeSet;
use std::time::Duration;

/// What is changed about a run, to look at it or to make it smaller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tweaks {
    /// Numbers of faults and of the operator's whims that do not happen.
    pub skip: BTreeSet<u64>,
    /// Keeps the last events for a failure's report.
    pub is_traced: bool,
    /// Prints the events.
    pub is_loud: bool,
}

impl Tweaks {
    /// Adds numbers to `skip`, written as `3,5-9`.
    pub fn skip(&mut self, text: &str) -> Result<(), String> {
        for part in text.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            match (crate::number(from), crate::number(to)) {
                (Some(from), Some(to)) => self.skip.extend(from..=to),
                _ => return Err(format!("`{part}` is not a number or a range")),
            }
        }
        Ok(())
    }

    /// Returns the arguments that say the same.
    pub fn arguments(&self) -> String {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for n in &self.skip {
            match ranges.last_mut() {
                Some((_, to)) if *to + 1 == *n => *to = *n,
                _ => ranges.push((*n, *n)),
            }
        }
        let text =
            |(from, to): &(u64, u64)| if from == to { from.to_string() } else { format!("{from}-{to}") };
        let ranges: Vec<String> = ranges.iter().map(text).collect();
        if ranges.is_empty() { String::new() } else { format!(" --skip {}", ranges.join(",")) }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) tweaks: Tweaks,
    /// Mode of each node while it is a replica.
    pub(crate) modes: Vec<SyncMode>,
    pub(crate) chaos: u64,
    pub(crate) clients: Vec<Kind>,
    /// Whether clients write some things under a key, and again until they know that it is done.
    pub(crate) repeats: bool,
    pub(crate) client_pause_us: u64,
    /// Mean time between faults.
    pub(crate) fault_every: u64,
    pub(crate) wire_us: u64,
    pub(crate) config: EngineConfig,
    pub(crate) disk: DiskOptions,
}

impl Options {
    pub(crate) fn of(seed: u64, tweaks: &Tweaks) -> Options {
        let mut rng = Rng::new(seed);
        let usual = rng.pick(&[2, 3, 3, 3, 4, 5]);
        // Dice of their own: the other seeds stay what they were.
        let mut apart = Rng::new(seed ^ 0x5ca1e);
        let nodes = if apart.one_in(16) { apart.pick(&[1, 6, 7]) } else { usual };
        let repeats = apart.one_in(2);
        let kind = rng.below(10);
        let modes = (0..nodes)
            .map(|_| match kind {
                0..=3 => SyncMode::Sync,
                4..=5 => rng.pick(&[SyncMode::Sync, SyncMode::Async]),
                6..=7 => SyncMode::StrictSync,
                8 => rng.pick(&[SyncMode::StrictSync, SyncMode::Async]),
                _ => SyncMode::Async,
            })
            .collect();
        let ms = Duration::from_millis;
        let config = EngineConfig {
            sync_timeout: ms(rng.range(300, 3_000)),
            liveness_timeout: ms(rng.range(300, 1_500)),
            ping_every: ms(100),
            confirm_wait: ms(rng.pick(&[200, 1_000, 2_000])),
            confirm_required: rng.one_in(12),
            register_timeout: ms(1_000),
            register_wait: ms(1_000),
            turn_wait: ms(1_500),
            redial_min: ms(20),
            redial_max: ms(500),
            catch_up_window_bytes: rng.pick(&[600, 4_000, 100_000]),
            read_bytes_max: rng.pick(&[200, 1_000, 20_000]),
            live_bytes_max: rng.pick(&[0, 500, 3_000, 100_000]),
            snapshot_every_bytes: rng.pick(&[0, 700, 4_000, 20_000, 60_000]),
            sync_policy: rng.pick(&[
                SyncPolicy::Degrade,
                SyncPolicy::Degrade,
                SyncPolicy::Degrade,
                SyncPolicy::Block,
                SyncPolicy::Reject,
            ]),
            sync_min_acks: rng.pick(&[None, None, None, None, Some(1), Some(2)]),
            wait_in_doubt: rng.one_in(4),
            block_timeout: ms(rng.range(500, 4_000)),
            blocked_bytes_max: 20_000,
            main_lease: rng.pick(&[None, None, None, None, None, Some(ms(400)), Some(ms(2_000))]),
            auto_rewind: rng.one_in(4),
            bolt: Vec::new(),
            snapshots_kept: rng.pick(&[1, 2, 3, 3]),
            keep_for_absent_bytes: rng.pick(&[0, 2_000, 50_000]),
        };
        let clients = (0..rng.range(1, 6))
            .map(|_| match rng.below(3) {
                0 => Kind::Open,
                _ => Kind::Closed { patience: rng.pick(&[500, 2_000, 20_000]) * MS },
            })
            .collect();
        let mut disk = DiskOptions {
            durability: Durability::Commit,
            first_segment_bytes: rng.pick(&[1 << 10, 4 << 10, 64 << 10]),
            segment_bytes: rng.pick(&[1 << 10, 4 << 10, 16 << 10, 128 << 10]),
        };
        let chaos = rng.range(24, 50) * SECOND;
        let client_pause_us = rng.pick(&[15_000, 50_000, 150_000, 300_000]);
        let fault_every = rng.pick(&[200, 500, 1_500, 4_000]) * MS;
        let wire_us = rng.pick(&[100, 700, 4_000]);
        disk.durability = match rng.below(8) {
            0 => Durability::Interval(rng.range(5, 500) * MS),
            1 => Durability::Os { sync_every_commits: rng.pick(&[None, Some(2), Some(20)]) },
            _ => Durability::Commit,
        };
        Options {
            seed,
            tweaks: tweaks.clone(),
            modes,
            chaos,
            clients,
            repeats,
            client_pause_us,
            fault_every,
            wire_us,
            disk,
            config,
        }
    }
}
