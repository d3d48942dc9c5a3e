//! Work that may be done at once, for those who have no threads of their own.

/// Runs jobs that do not depend on each other. Whoever calls into this crate says how.
pub trait Workers: Send + Sync {
    /// Returns how many jobs can run at once; at least one.
    fn count(&self) -> usize;

    /// Runs `job` for every number below `jobs`, in any order, and returns when all have ended.
    fn run(&self, jobs: usize, job: &(dyn Fn(usize) + Sync));
}

/// Runs one job after the other, in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneByOne;

impl Workers for OneByOne {
    fn count(&self) -> usize {
        1
    }

    fn run(&self, jobs: usize, job: &(dyn Fn(usize) + Sync)) {
        (0..jobs).for_each(job);
    }
}
