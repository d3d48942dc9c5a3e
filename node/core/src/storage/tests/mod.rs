//! Tests of the room as a whole.

mod model;
mod refresh;
mod replace;
mod rules;
mod threads;

use super::{Graph, LoadError};
use crate::types::Workers;
use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};

/// That many threads.
struct Threads(usize);

impl Workers for Threads {
    fn count(&self) -> usize {
        self.0
    }

    fn run(&self, jobs: usize, job: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.0 {
                scope.spawn(|| {
                    while let Some(i) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < jobs) {
                        job(i);
                    }
                });
            }
        });
    }
}

/// Loads encoded blocks, as they come from a snapshot.
fn load(graph: &Graph, payloads: &[Vec<u8>], workers: &dyn Workers) -> Result<(), String> {
    let read = |i: usize| Ok::<_, ()>(Bytes::copy_from_slice(&payloads[i]));
    match graph.load(payloads.len(), &read, workers) {
        Ok(()) => Ok(()),
        Err(LoadError::Read(())) => unreachable!("memory can be read"),
        Err(LoadError::DoesNotFit(what)) => Err(what),
    }
}
