//! What runs machines: containers of an engine, or processes of this system.
//!
//! Both do the same steps and keep the same promises; which one it is, the rest of mgctl does not know.

pub mod docker;
mod ports;
