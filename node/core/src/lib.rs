//! The deciding code of a node: no clock, socket, file, thread or dice.
//!
//! Time, randomness and bytes come in as arguments; what must happen outside leaves as a list of
//! effects. So the simulator drives the very code that the node links.
//!
//! Who imports whom: everything may use [`types`]. [`durability`] and [`replication`] use only
//! `types`: to them a commit is an opaque payload. [`storage`] uses only `types`. [`engine`] joins
//! the three. Nobody in this crate imports `engine`.

pub mod durability;
pub mod engine;
pub mod replication;
pub mod storage;
pub mod types;
