//! Everything that reads bytes which others wrote, as plain functions over bytes.
//!
//! A target takes any bytes, must not panic, hang or take memory out of proportion, and asserts what must hold of
//! whatever it reads: what was read is written to bytes that are read the same. Where a checksum stands before a
//! reader, a second target mends the checksum first, so that mutations get past it.
//!
//! The test command runs each target on its corpus and on seeded mutations of it. Runs guided by coverage:
//! `fuzz/run TARGET` (see there).

mod corpus;
mod files;
mod language;
mod mutation;
mod wire;

pub use mutation::Mutator;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// A function over bytes, and where its inputs come from.
#[derive(Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    /// Reads the bytes; panics where a property does not hold.
    pub run: fn(&[u8]),
    /// Returns inputs that are right, for mutations to begin with.
    pub corpus: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "cypher", run: language::cypher, corpus: corpus::queries },
    Target { name: "csv", run: language::csv, corpus: corpus::csv },
    Target { name: "bolt_value", run: wire::value, corpus: corpus::values },
    Target { name: "bolt_request", run: wire::request, corpus: corpus::requests },
    Target { name: "bolt_response", run: wire::response, corpus: corpus::responses },
    Target { name: "bolt_chunks", run: wire::chunks, corpus: corpus::chunks },
    Target { name: "bolt_handshake", run: wire::handshake, corpus: corpus::handshakes },
    Target { name: "replication_message", run: wire::message, corpus: corpus::messages },
    Target { name: "snapshot_stream", run: wire::snapshot_stream, corpus: corpus::snapshot_streams },
    Target { name: "changes", run: files::changes, corpus: corpus::changes },
    Target { name: "wal", run: files::segment, corpus: corpus::segments },
    Target { name: "wal_sealed", run: files::sealed_segment, corpus: corpus::segments },
    Target { name: "snapshot", run: files::snapshot, corpus: corpus::snapshots },
    Target { name: "snapshot_sealed", run: files::sealed_snapshot, corpus: corpus::snapshots },
    Target { name: "state", run: files::state, corpus: corpus::states },
    Target { name: "state_sealed", run: files::sealed_state, corpus: corpus::states },
    Target { name: "decided", run: files::decided, corpus: corpus::notes },
    Target { name: "decided_sealed", run: files::sealed_decided, corpus: corpus::notes },
];

/// Finds a target by its name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Runs a function on inputs and on so many mutations of them.
///
/// # Panics
/// With the input, where the function panics.
pub fn run(name: &str, corpus: Vec<Vec<u8>>, count: u64, seed: u64, target: impl Fn(&[u8])) {
    let try_on = |input: &[u8], which: &str| {
        if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
            let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            panic!("{name} fails on {which}: {:?}\nas bytes: {hex}", String::from_utf8_lossy(input));
        }
    };
    for (n, input) in corpus.iter().enumerate() {
        try_on(input, &format!("input {n} of its corpus"));
    }
    let mut mutator = Mutator::new(corpus, seed);
    for n in 0..count {
        try_on(&mutator.next_input(), &format!("mutation {n} of seed {seed}"));
    }
}
