//! Roles, messages, catch-up: state machines without a transport.

/// What nodes say to each other.
#[derive(Clone, Debug)]
pub enum Message {}
