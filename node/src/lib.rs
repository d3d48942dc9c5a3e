//! The hands of a node: threads, sockets and files around `mgnode-core`.

pub mod bolt;
pub mod config;
pub mod disk;
pub mod driver;
mod log;
pub(crate) mod memory;
pub mod quic;
mod start;

pub use start::main_from_args;
