//! Roles, messages, catch-up: the rules of replication, without a transport.
//!
//! MAIN dials each registered REPLICA: one connection, on which MAIN speaks first.
//!
//! ```text
//! MAIN                                     REPLICA
//! Hello{epoch, end of log}            ->   refuses a lower epoch; makes a higher one durable
//!                                     <-   Welcome{end of log, durable}          or Refused
//! compares both ends ([`compare`]):
//!   the same, or a prefix             ->   Append{records} .. up to the end: catch-up, then live
//!   a prefix, the log is gone         ->   a snapshot, beside the other messages; then Append
//!   MAIN lost the end of its own reign ->  Fetch; <- Tail{records}
//!   anything else: diverged; MAIN hangs up, and neither log is cut
//! Append, Publish                     ->   writes, syncs, applies up to what may be shown
//!                                     <-   Ack{durable, applied}
//! Ping                                ->   <- Pong, on a stream of their own
//! ```
//!
//! A replica counts for commits ([`Link::is_ready`]) from the moment it has acknowledged all that
//! the log held when its catch-up went over to live records, so there is no gap; it stops counting
//! when its connection ends, when it stays silent, or when it falls too far behind.
//!
//! Every message that changes a log travels on one ordered lane. `Ping` and `Pong` may overtake it and
//! be overtaken: they say that someone is there, and nothing about records. A snapshot travels apart
//! ([`SnapshotStream`]), and MAIN sends no record on that connection until the replica has acknowledged the
//! snapshot. Welcome says what part of a snapshot the replica keeps from an earlier connection; where
//! MAIN still has that file, it sends the rest of it.
//!
//! What is not here: who becomes MAIN. An operator decides, and `epoch` orders the decisions.

mod catch_up;
mod lag;
mod log;
mod main;
mod message;
mod replica;
mod role;
mod snapshot_stream;

pub use catch_up::{Comparison, SentWindow, compare};
pub use lag::LagTrack;
pub use log::Log;
pub use main::{Link, LinkState, PeerId, ReplicaFailureReason};
pub use message::{
    DecodeError, FRAME_BYTES_MAX, Lane, Line, LogEnd, Message, PROTOCOL, PROTOCOL_MIN, PROTOCOL_RESUMES,
    PROTOCOL_SCHEMA, RECORD_BYTES_MAX, RefusalReason, record_bytes,
};
pub use replica::{Following, Greeting, Refusal, check_append, check_hello};
pub use role::{fence_epoch, may_reign, next_incarnation, promotion_epoch};
pub use snapshot_stream::{STREAM_HEAD_BYTES, SnapshotStream};
