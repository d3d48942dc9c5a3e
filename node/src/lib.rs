//! The hands of a node: threads, sockets and files around `mgnode-core`.

pub mod bolt;
pub mod config;
pub mod disk;
pub mod driver;
pub mod quic;
