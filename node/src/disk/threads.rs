//! Threads for work that can be done at once: one for each processor.

use mgnode_core::types::Workers;
use std::sync::atomic::{AtomicUsize, Ordering};

/// As many threads as there are processors, for as long as one piece of work takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threads(usize);

impl Threads {
    /// More bring little: the work meets in memory.
    const MOST: usize = 8;

    pub(super) fn new() -> Threads {
        Threads(std::thread::available_parallelism().map_or(1, |n| n.get().min(Threads::MOST)))
    }
}

impl Workers for Threads {
    fn count(&self) -> usize {
        self.0
    }

    fn run(&self, jobs: usize, job: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= jobs {
                    return;
                }
                job(i);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.0.min(jobs) {
                scope.spawn(work);
            }
            work();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_done_once() {
        for jobs in [0, 1, 3, 100] {
            let done: Vec<AtomicUsize> = (0..jobs).map(|_| AtomicUsize::new(0)).collect();
            Threads(4).run(jobs, &|i| {
                done[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|n| n.load(Ordering::Relaxed) == 1), "{done:?}");
        }
    }
}
