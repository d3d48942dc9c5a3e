//! Whether a history of concurrent transactions is one that the isolation levels allow.
//!
//! Clients append numbers, each used once, to lists under keys, and read the lists. A list shows the order in which
//! its key was written, so that the dependencies of transactions can be read off what they saw; this is the method of
//! Elle (Kingsbury and Alvaro, VLDB 2020), and the names of what can be wrong are Adya's. A key may also be a set,
//! whose numbers have no order: then only who saw what is known.
//!
//! [`history`] is what clients did and were told. [`judge()`] finds in it what must not be: first what one transaction's
//! reads show by themselves, then ([`graph`]) what several show together. Under SNAPSHOT ISOLATION a transaction has
//! one point at which it reads and a later one at which it commits. A history is allowed where all these points fit
//! in one line, as the [`graph`] of what must come before what tells; write skew fits and is no anomaly. Under READ
//! COMMITTED each statement has a point of its own at which it reads. Positions in the log, where clients were told
//! them, are further facts about the line: a replica's readers see a prefix of it, and nobody is shown less than what
//! he was promised.

mod graph;
pub mod history;
pub mod judge;
#[cfg(test)]
mod tests;

pub use history::{History, Key, Level, Op, Outcome, Transaction};
pub use judge::{Anomaly, Kind, judge};
