//! A disk that forgets what was not synced when the power goes.
//!
//! One queue, worked off in order, as in the node: records are written, one sync serves all that were
//! written before it, the state file and an installed snapshot are replaced as a whole. What is still
//! in the queue dies with the process; what is written and not synced survives the process, and any
//! prefix of it survives the power.

use crate::rng::Rng;
use bytes::Bytes;
use mgnode_core::engine::SnapshotHeader;
use mgnode_core::types::{CommitRecord, Lsn, NodeState, PartialSnapshot, SnapshotId};
use std::collections::VecDeque;

/// A snapshot file: what it stands for, its name, and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    pub(crate) header: SnapshotHeader,
    pub(crate) id: SnapshotId,
    pub(crate) bytes: Bytes,
}

/// A record on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) record: CommitRecord,
    pub(crate) chain: u64,
}

/// What the process asked of the disk.
#[derive(Debug)]
pub(crate) enum Job {
    Write(Logged),
    Sync(Lsn),
    Save(u64, NodeState),
    Install(SnapshotFile),
    Drop(Lsn),
    DropSnapshot(Lsn),
}

/// What a finished job tells the process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Synced(Lsn),
    Saved(u64),
    Installed(Lsn),
}

#[derive(Debug)]
pub(crate) struct Disk {
    /// `None` before the first save of a node.
    pub(crate) state: NodeState,
    pub(crate) snapshots: Vec<SnapshotFile>,
    /// What came of a snapshot from a peer.
    pub(crate) partial: Option<PartialSnapshot>,
    pub(crate) wal: VecDeque<Logged>,
    /// Records of `wal` that are synced, counted from the front.
    pub(crate) synced: usize,
    /// How far the log may be shown, as noted; the first of the two is synced.
    decided_synced: Option<Lsn>,
    pub(crate) decided: Option<Lsn>,
    queue: VecDeque<Job>,
    /// The job that takes time now, and what it will tell.
    busy: Option<(Job, Done)>,
    /// Longest sync, in microseconds.
    pub(crate) slowness_us: u64,
}

impl Disk {
    pub(crate) fn new(state: NodeState) -> Disk {
        Disk {
            state,
            snapshots: Vec::new(),
            partial: None,
            wal: VecDeque::new(),
            synced: 0,
            decided_synced: None,
            decided: None,
            queue: VecDeque::new(),
            busy: None,
            slowness_us: 2_000,
        }
    }

    /// Takes a job. Returns whether the disk was idle and must be started.
    pub(crate) fn push(&mut self, job: Job) -> bool {
        self.queue.push_back(job);
        self.busy.is_none()
    }

    /// Begins the next job that takes time. Returns how long it takes.
    pub(crate) fn begin(&mut self, rng: &mut Rng) -> Option<u64> {
        if self.busy.is_some() {
            return None;
        }
        while let Some(job) = self.queue.pop_front() {
            match job {
                Job::Write(logged) => self.wal.push_back(logged),
                Job::Sync(lsn) => {
                    // Group commit: writes and syncs that already wait are served together.
                    let mut last = lsn;
                    while let Some(Job::Write(_) | Job::Sync(_)) = self.queue.front() {
                        match self.queue.pop_front() {
                            Some(Job::Write(logged)) => self.wal.push_back(logged),
                            Some(Job::Sync(lsn)) => last = lsn,
                            _ => unreachable!("looked at before"),
                        }
                    }
                    self.busy = Some((Job::Sync(last), Done::Synced(last)));
                    return Some(rng.delay(50, self.slowness_us));
                }
                Job::Save(id, state) => {
                    self.busy = Some((Job::Save(id, state), Done::Saved(id)));
                    return Some(rng.delay(100, self.slowness_us));
                }
                Job::Install(file) => {
                    let lsn = file.header.position.lsn;
                    self.busy = Some((Job::Install(file), Done::Installed(lsn)));
                    return Some(rng.delay(100, 2 * self.slowness_us));
                }
                Job::Drop(before) => self.drop_before(before),
                Job::DropSnapshot(lsn) => self.snapshots.retain(|s| s.header.position.lsn != lsn),
            }
        }
        None
    }

    /// Ends the job under way.
    pub(crate) fn finish(&mut self) -> Option<Done> {
        let (job, done) = self.busy.take()?;
        self.carry_out(job);
        Some(done)
    }

    fn carry_out(&mut self, job: Job) {
        match job {
            Job::Sync(last) => {
                let synced = self.wal.iter().take_while(|l| l.record.lsn <= last).count();
                self.synced = self.synced.max(synced);
            }
            Job::Save(_, state) => self.state = state,
            Job::Install(file) => {
                self.snapshots = vec![file];
                self.partial = None;
                self.wal.clear();
                self.synced = 0;
            }
            Job::Write(_) | Job::Drop(_) | Job::DropSnapshot(_) => unreachable!("they take no time"),
        }
    }

    fn drop_before(&mut self, before: Lsn) {
        let covered = self.snapshots.last().map_or(Lsn::ZERO, |s| s.header.position.lsn);
        assert!(before <= covered.next(), "log that no snapshot covers is let go");
        while self.synced > 0 && self.wal.front().is_some_and(|l| l.record.lsn < before) {
            self.wal.pop_front();
            self.synced -= 1;
        }
    }

    /// The process dies. What it asked for and the disk has not begun is gone.
    ///
    /// Returns whether the power took a note of what may be shown.
    pub(crate) fn kill(&mut self, is_power_cut: bool, rng: &mut Rng) -> bool {
        self.queue.clear();
        if let Some((job, _)) = self.busy.take()
            && !matches!(job, Job::Sync(_))
            && rng.one_in(2)
        {
            // A rename is done or not.
            self.carry_out(job);
        }
        if is_power_cut {
            let unsynced = self.wal.len() - self.synced;
            let kept = rng.below(unsynced as u64 + 1) as usize;
            self.wal.truncate(self.synced + kept);
            if let Some(partial) = &mut self.partial {
                partial.bytes = rng.below(partial.bytes + 1);
            }
        }
        let loses = is_power_cut && self.decided != self.decided_synced && rng.one_in(2);
        if loses {
            self.decided = self.decided_synced;
        }
        loses
    }

    pub(crate) fn note_decided(&mut self, lsn: Lsn, is_first: bool) {
        self.decided = Some(lsn);
        if is_first {
            self.decided_synced = self.decided;
        }
    }

    /// Recovery syncs what it keeps.
    pub(crate) fn sync_all(&mut self) {
        self.synced = self.wal.len();
    }

    /// Reads records from `from` on; empty where the log does not hold it.
    pub(crate) fn read(&self, from: Lsn, bytes_max: usize) -> Vec<(CommitRecord, u64)> {
        let mut records = Vec::new();
        let mut bytes = 0;
        let Some(first) = self.wal.front().map(|l| l.record.lsn) else { return records };
        if from < first {
            return records;
        }
        for logged in self.wal.iter().skip((from.0 - first.0) as usize) {
            if !records.is_empty() && bytes + logged.record.payload.len() > bytes_max {
                break;
            }
            bytes += logged.record.payload.len();
            records.push((logged.record.clone(), logged.chain));
        }
        records
    }
}
