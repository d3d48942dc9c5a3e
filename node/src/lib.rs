//! The hands of a node: threads, sockets and files around `mgnode-core`.

mod background;
pub mod bolt;
pub mod config;
pub mod disk;
pub mod driver;
mod import;
mod log;
pub(crate) mod memory;
pub mod quic;
mod start;

pub use start::main_from_args;

/// Of every program that runs a node. A commit makes some sixty small allocations, many of which another thread
/// gives back; docs/performance.md says what others cost.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
