//! What the whole-product tests share: where things are, nodes as processes, foreign clients.

pub mod bolt;
pub mod chaos;
pub mod dice;
pub mod disks;
pub mod docker;
pub mod fixture;
pub mod hosts;
pub mod isolation;
pub mod made;
pub mod mgctl;
pub mod node;
pub mod paths;
pub mod python;
pub mod registry;
pub mod rust_clients;
pub mod wait;
