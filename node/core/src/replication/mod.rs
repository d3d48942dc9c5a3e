//! Roles, messages, catch-up: state machines without a transport.

mod message;

pub use message::{
    DecodeError, FRAME_BYTES_MAX, Lane, LogEnd, Message, PROTOCOL, RECORD_BYTES_MAX, RefusalReason,
    record_bytes,
};
