//! Clusters of real processes under load, whose nodes die; and a book, outside of them, of what
//! clients were told.
//!
//! [`book`] holds for every write what its client heard, and compares that with what the nodes
//! hold. [`writers`] are the clients. [`cluster`] is the operator: he fences, promotes, registers and
//! brings nodes back. [`failovers`] and [`power_cuts`] are whole runs; the commands of the same names
//! make long ones, the tests short ones.

pub mod book;
pub mod cluster;
pub mod failovers;
pub mod options;
pub mod power_cuts;
pub mod writers;

use std::time::Duration;

/// Longest wait for anything; only there so that a broken product fails instead of hanging.
pub const LIMIT: Duration = Duration::from_secs(60);
