//! The Bolt protocol without a socket: what the node and mgctl both speak.
//!
//! ```text
//!   bytes of the line --> Dechunker --> one message --> Request / Response --> ServerMachine / ClientMachine
//!   bytes of the line <-- write_message (chunks) <-- Encoder <-- Request / Response
//! ```
//!
//! [`handshake`] agrees on a [`Version`]; every codec takes that version, since nodes, relationships
//! and date-times changed their shape between 4.4 and 5.0. Nothing here reads a clock, waits or owns
//! a connection: bytes go in, bytes and verdicts come out.
//!
//! Input is hostile until proven otherwise. Nesting is limited to [`DEPTH_MAX`], a message to the
//! size its receiver allows, and no declared length is believed beyond the bytes that are there, so
//! memory grows with what was really sent.
//!
//! Left out: the `utc`
//! patch of 4.3 and 4.4 (offered by drivers, may be ignored), and everything of 3.x and below.

mod chunk;
mod decode;
mod encode;
mod filter;
pub mod handshake;
mod machine;
mod message;
mod status;
mod value;
mod version;

pub use chunk::{Dechunker, MESSAGE_BYTES_BEFORE_LOGON, MessageTooLarge, write_message};
pub use decode::{DecodeError, Decoder};
pub use encode::{EncodeError, Encoder};
pub use filter::{NotificationFilter, Severity, Threshold};
pub use machine::{ClientMachine, Ended, ProtocolError, ServerMachine, ServerState, Verdict};
pub use message::{ALL, AccessMode, Auth, Request, RequestKind, Response, Route, Stream, TransactionExtra};
pub use status::Status;
pub use value::{
    DateTime, Duration, Key, LocalDateTime, Map, Node, OffsetTime, PackValue, Path, Point, Relationship,
    Structure, UnboundRelationship,
};
pub use version::Version;

/// How deep lists, maps and structures may nest.
pub const DEPTH_MAX: usize = 128;
