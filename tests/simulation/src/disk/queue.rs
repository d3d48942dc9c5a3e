//! The queue of jobs: what is begun, what it came to, and its end in the middle of one.

use super::{
    Busy, Disk, Job, Live, MARKED, Op, Progress, READ_ONLY, Rewound, STATE, Segment, Then, snapshot_name,
};
use crate::rng::Rng;
use bytes::Bytes;
use mgnode_core::durability::{self, Decided, SEGMENT_HEADER_BYTES, encode_state};
use mgnode_core::engine::Input;
use std::collections::{BTreeMap, VecDeque};

impl Disk {
    /// Takes a job. The lane is then to be begun.
    pub(crate) fn push(&mut self, job: Job) {
        if !self.has_failed {
            self.queue.push_back(job);
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Works off what takes no time, up to a job that does. Returns how long that takes.
    pub(crate) fn begin(&mut self, now: u64, rng: &mut Rng, progress: &mut Progress) -> Option<u64> {
        while self.busy.is_none() {
            let Some(job) = self.queue.pop_front() else {
                self.write_pending();
                break;
            };
            match job {
                Job::Write(record, chain) => {
                    if let Some((record, chain)) = self.append(record, chain) {
                        self.queue.push_front(Job::Write(record, chain));
                        // Without a spare it waits.
                        self.busy.as_ref()?;
                    }
                }
                Job::Sync(mut lsn) => {
                    // Commits that already wait are served together, as far as the segment reaches.
                    while let Some(Job::Write(record, _)) = self.queue.front()
                        && self.fits(record)
                    {
                        if let Some(Job::Write(record, chain)) = self.queue.pop_front() {
                            self.append(record, chain);
                        }
                        while let Some(Job::Sync(next)) = self.queue.front() {
                            lsn = *next;
                            self.queue.pop_front();
                        }
                    }
                    self.write_pending();
                    self.busy = Some(if self.must_sync(now) {
                        self.sync_job(Then::Synced(lsn))
                    } else {
                        Busy { ops: VecDeque::new(), then: Then::Written(lsn) }
                    });
                }
                Job::NoteDecided(lsn) => {
                    let mut ops = Vec::new();
                    self.note(Decided { number: self.next_note, lsn }, true, &mut ops);
                    self.next_note += 1;
                    self.busy = Some(Busy { ops: ops.into(), then: Then::Noted(lsn) });
                }
                other => {
                    self.write_pending();
                    self.begin_other(other, rng, progress);
                }
            }
        }
        let busy = self.busy.as_ref()?;
        let longest = match busy.then {
            // Nothing waits for the platter.
            Then::Written(_) => 200,
            Then::Installed(_) => self.slowness_us * 2,
            // It reads everything anew.
            Then::Rewound(_) => self.slowness_us * 20,
            _ => self.slowness_us,
        };
        Some(rng.delay(50, longest.max(51)))
    }

    pub(super) fn begin_other(&mut self, job: Job, rng: &mut Rng, progress: &mut Progress) {
        match job {
            Job::Save(id, state) => {
                let mut ops = Vec::new();
                let is_refused = self.is_read_only || self.is_full && rng.one_in(2);
                if is_refused {
                    let result = Err("no room on the disk".to_owned());
                    self.busy = Some(Busy { ops: VecDeque::new(), then: Then::Saved(id, result) });
                    return;
                }
                self.replace_state(encode_state(&state).into(), &mut ops);
                self.busy = Some(Busy { ops: ops.into(), then: Then::Saved(id, Ok(())) });
            }
            Job::Install(header) => {
                let mut ops = Vec::new();
                if let Some(segment) = self.log.segments.last() {
                    ops.push(Op::Sync(segment.name.clone()));
                }
                let Some((_, name)) = self.received.take_if(|(h, _)| *h == header) else {
                    let why = "the snapshot to be installed is not there".to_owned();
                    self.busy = Some(Busy { ops: VecDeque::new(), then: Then::Failed(why) });
                    return;
                };
                ops.push(Op::Rename(name, MARKED.to_owned()));
                ops.push(Op::SyncNames("snapshots"));
                self.complete(&header, &mut ops);
                self.busy = Some(Busy { ops: ops.into(), then: Then::Installed(header) });
            }
            Job::Drop(before) => {
                progress.dropped = self.drop_before(before);
            }
            Job::DropSnapshot(lsn) => {
                self.run(Op::Remove(snapshot_name(lsn)));
                self.run(Op::SyncNames("snapshots"));
            }
            Job::Read(peer, from, bytes_max) => {
                let result = self.read_back(from, bytes_max);
                progress.inputs.push(Input::WalRead { peer, from, result });
            }
            Job::Rewind(to) => {
                let mut begun = VecDeque::new();
                if let Some(segment) = self.log.segments.last() {
                    begun.push_back(Op::Sync(segment.name.clone()));
                }
                let then = match self.rewind(to) {
                    Ok((ops, rewound)) => {
                        begun.extend(ops);
                        Then::Rewound(Ok(rewound))
                    }
                    Err(why) => Then::Rewound(Err(why)),
                };
                self.busy = Some(Busy { ops: begun, then });
            }
            Job::Flush => self.busy = Some(self.sync_job(Then::Flushed)),
            Job::Write(..) | Job::Sync(_) | Job::NoteDecided(_) => unreachable!("begun elsewhere"),
        }
    }

    pub(super) fn replace_state(&self, bytes: Bytes, ops: &mut Vec<Op>) {
        self.replace(STATE, bytes, ops);
    }

    /// Replaces a small file in the root as a whole.
    pub(super) fn replace(&self, name: &str, bytes: Bytes, ops: &mut Vec<Op>) {
        let temporary = format!("{name}.tmp");
        ops.push(Op::Create(temporary.clone()));
        ops.push(Op::Write(temporary.clone(), 0, bytes));
        ops.push(Op::Sync(temporary.clone()));
        ops.push(Op::Rename(temporary, name.to_owned()));
        ops.push(Op::SyncNames(""));
    }

    /// Ends the job under way.
    pub(crate) fn finish(&mut self, now: u64, rng: &mut Rng) -> Progress {
        let mut progress = Progress::default();
        let Some(Busy { ops, then }) = self.busy.take() else { return progress };
        let is_sync = matches!(then, Then::Synced(_) | Then::Flushed | Then::Rotated(..));
        let is_write = is_sync || matches!(then, Then::Written(_) | Then::Noted(_));
        let is_refused = is_write && self.is_read_only;
        if is_sync && std::mem::take(&mut self.must_fail) || is_refused {
            if let Some(id) = self.log.segments.last().and_then(|s| self.files.find(&s.name)) {
                self.files.fail(id, rng);
            }
            let error = if is_refused { READ_ONLY } else { "the sync failed" };
            progress.inputs.push(Input::WalFailed { error: error.to_owned() });
            self.has_failed = true;
            self.queue.clear();
            return progress;
        }
        let last = self.log.last;
        for op in ops {
            self.run(op);
        }
        match then {
            Then::Synced(lsn) => {
                self.synced_up_to(last, now);
                (progress.told, progress.synced) = (Some(last), Some(last));
                progress.inputs.push(Input::WalSynced { lsn });
            }
            Then::Written(lsn) => {
                progress.told = Some(last);
                progress.inputs.push(Input::WalSynced { lsn });
            }
            Then::Flushed => {
                self.synced_up_to(last, now);
                progress.synced = Some(last);
            }
            Then::Saved(id, result) => {
                progress.inputs.push(Input::StateSaved { id, result });
                let bytes = self.files.find(STATE).map(|id| self.files.read(id));
                if let Some(Ok(state)) = bytes.map(durability::decode_state) {
                    self.state = state;
                }
            }
            Then::Rotated(spare, first) => {
                self.synced_up_to(last, now);
                (progress.told, progress.synced) = (Some(last), Some(last));
                let offset = SEGMENT_HEADER_BYTES;
                self.log.live = Some(Live { bytes: spare.bytes, offset });
                let (name, marks) = (spare.name, BTreeMap::new());
                self.log.segments.push(Segment { name, first, written: offset, marks });
            }
            Then::Installed(header) => {
                let lsn = header.position.lsn;
                self.log.live = None;
                self.log.segments.clear();
                (self.log.last, self.log.chain) = (lsn, header.chain);
                self.synced_up_to(lsn, now);
                progress.inputs.push(Input::SnapshotInstalled { lsn });
            }
            Then::Noted(lsn) => progress.inputs.push(Input::DecidedNoted { lsn }),
            Then::Rewound(Ok(Rewound { recovered, to, chain, live })) => {
                self.find_next_note();
                self.open(to.lsn, chain, live);
                progress.rewound = Some(to);
                progress.inputs.push(Input::Rewound { result: Ok(recovered) });
            }
            Then::Rewound(Err(why)) => progress.inputs.push(Input::Rewound { result: Err(why) }),
            Then::Failed(error) => {
                self.has_failed = true;
                self.queue.clear();
                progress.inputs.push(Input::WalFailed { error });
            }
        }
        progress
    }

    /// The process dies. Of each job under way some part is done.
    pub(crate) fn kill(&mut self, is_power_cut: bool, rng: &mut Rng) {
        self.has_failed = false;
        let mut begun: Vec<Vec<Op>> = Vec::new();
        if let Some(busy) = self.busy.take() {
            begun.push(busy.ops.into());
        } else if rng.one_in(2) {
            // Inside a write.
            while let Some(Job::Write(record, chain)) = self.queue.pop_front() {
                if !self.fits(&record) {
                    break;
                }
                self.append(record, chain);
            }
            let kept = rng.below(self.log.pending.len() as u64 + 1) as usize;
            self.log.pending.truncate(kept);
            self.write_pending();
        }
        begun.extend(std::mem::take(&mut self.background).into_values().map(|b| b.ops));
        for ops in begun {
            let done = rng.below(ops.len() as u64 + 1) as usize;
            ops.into_iter().take(done).for_each(|op| self.run(op));
        }
        if let Some(spare) = self.preparing.take().filter(|_| rng.one_in(2)) {
            self.run(Op::Create(spare.name.clone()));
            self.run(Op::Prepare(spare.name, spare.bytes / 2));
        }
        self.queue.clear();
        if is_power_cut {
            self.files.cut(rng);
        }
    }
}
