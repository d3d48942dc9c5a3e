//! Tests of the room as a whole.

mod model;
mod refresh;
mod replace;
mod rules;
mod threads;

use super::{Graph, IndexBounds, IndexCursor, LoadError, Transaction};
use crate::types::{IndexSpec, Workers};
use bytes::Bytes;
use std::ops::Bound;
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

/// Seeks ids of vertices or edges in an index, `limit` at once.
fn sought(t: &Transaction, index: &IndexSpec, bounds: &IndexBounds, limit: usize) -> Vec<u64> {
    fn all<Id>(limit: usize, mut more: impl FnMut(&mut IndexCursor<Id>, &mut Vec<Id>)) -> Vec<Id> {
        let (mut cursor, mut all) = (IndexCursor::default(), Vec::new());
        loop {
            let before = all.len();
            more(&mut cursor, &mut all);
            assert!(all.len() <= before + limit);
            if all.len() < before + limit {
                return all;
            }
        }
    }
    let vertices = all(limit, |cursor, all| t.index_seek(index, bounds, cursor, limit, all));
    let edges = all(limit, |cursor, all| t.edge_index_seek(index, bounds, cursor, limit, all));
    assert!(vertices.is_empty() || edges.is_empty());
    if bounds.range == (Bound::Unbounded, Bound::Unbounded) {
        // Where the one is found at once, it is the same.
        if let Some(found) = t.index_find(index, &bounds.equal) {
            assert_eq!(Vec::from_iter(found), vertices);
        }
        if let Some(found) = t.edge_index_find(index, &bounds.equal) {
            assert_eq!(Vec::from_iter(found), edges);
        }
    }
    vertices.iter().map(|id| id.0).chain(edges.iter().map(|id| id.0)).collect()
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
