//! What nodes say to each other, and how it looks on the wire.
//!
//! A frame is a `u32` length (little-endian, as every number here) and a body of that many bytes, at
//! most [`FRAME_BYTES_MAX`]. The transport reads and writes the length and checks the cap before it
//! reserves memory; this file reads and writes bodies. A body is one kind byte and its fields in order:
//!
//! | kind | message | fields |
//! |---|---|---|
//! | 1 | Hello | protocol `u16`, node, to node (0: anyone), epoch, log end |
//! | 2 | Welcome | protocol `u16`, node, promised epoch, log end |
//! | 3 | Refused | reason `u8`, promised epoch, log end, text |
//! | 4 | Append | epoch, prev `u64`, chain at prev `u64`, apply to `u64`, records |
//! | 5 | Ack | durable `u64`, applied `u64` |
//! | 6 | Publish | apply to `u64` |
//! | 7 | Fetch | from `u64` |
//! | 8 | Tail | prev `u64`, chain at prev `u64`, records |
//! | 9 | Ping | sequence `u64` |
//! | 10 | Pong | sequence `u64` |
//!
//! node: `u64`. epoch: number `u64`, node `u64`, incarnation `u64`. position: epoch, lsn `u64`.
//! text: `u32` length, UTF-8. log end: position, chain `u64`, history (`u32` count, then epoch and first
//! lsn `u64` each). records: `u32` count, then each epoch, lsn `u64`, ts `u64`, `u32` length, payload.
//!
//! Two nodes talk when their protocol numbers differ by at most one; the lower of the two is spoken.

use crate::types::{CommitRecord, Epoch, History, Lsn, NodeId, Position};
use bytes::{Buf, BufMut, Bytes};

/// Version of this page.
pub const PROTOCOL: u16 = 1;

/// Longest frame body. A commit that would not fit is refused before it reaches the log.
pub const FRAME_BYTES_MAX: usize = 512 << 20;

/// Longest payload of one record, so that a frame with that record alone is under the cap.
pub const RECORD_BYTES_MAX: usize = FRAME_BYTES_MAX - (64 << 10);

/// The streams of a connection. Order is kept within one, not between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Greetings, records and acknowledgements.
    Log,
    /// Signs of life, which must not queue behind records.
    Control,
}

/// Where a log ends, and how it got there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEnd {
    /// The last record.
    pub last: Position,
    /// Chain hash at it.
    pub chain: u64,
    /// Which epoch wrote which part.
    pub history: History,
}

/// Why a REPLICA does not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// It is a MAIN.
    NotReplica,
    /// It promised to obey a higher epoch.
    Fenced,
    /// Another node id was meant.
    WrongNode,
    /// It speaks another protocol.
    Protocol,
    /// Its log ends elsewhere than the sender thinks; a new greeting settles that.
    Gap,
    /// The record does not continue its log, or does not fit its graph.
    Mismatch,
    /// Its disk takes no more.
    Full,
}

/// What one node tells another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// MAIN introduces itself, first on a connection that it dialled.
    Hello { protocol: u16, node: NodeId, to: NodeId, epoch: Epoch, end: LogEnd },
    /// REPLICA follows; its promise of that epoch is durable, and so is its log to this end.
    Welcome { protocol: u16, node: NodeId, promised: Epoch, end: LogEnd },
    /// The node does not follow, or no longer; it hangs up after that.
    Refused { node: NodeId, reason: RefusalReason, promised: Epoch, end: LogEnd, text: String },
    /// Records that follow `prev`. They may be shown up to `apply_to` once they are durable.
    Append { epoch: Epoch, prev: Lsn, prev_chain: u64, apply_to: Lsn, records: Vec<CommitRecord> },
    /// Durable and shown on the REPLICA up to there.
    Ack { durable: Lsn, applied: Lsn },
    /// Records up to there may be shown.
    Publish { apply_to: Lsn },
    /// A restarted MAIN asks for what it lost.
    Fetch { from: Lsn },
    /// Answers Fetch: records that follow `prev`; empty at the end.
    Tail { prev: Lsn, prev_chain: u64, records: Vec<CommitRecord> },
    /// MAIN asks for a sign of life.
    Ping { sequence: u64 },
    /// REPLICA gives it.
    Pong { sequence: u64 },
}

/// A frame that is not a message of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the frame is cut short")]
    Truncated,
    #[error("the frame has bytes after its end")]
    Trailing,
    #[error("unknown kind {0} of message")]
    UnknownKind(u8),
    #[error("a field holds an impossible value")]
    Invalid,
}

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const REFUSED: u8 = 3;
const APPEND: u8 = 4;
const ACK: u8 = 5;
const PUBLISH: u8 = 6;
const FETCH: u8 = 7;
const TAIL: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const EPOCH_BYTES: usize = 24;
const HISTORY_ENTRY_BYTES: usize = EPOCH_BYTES + 8;
const RECORD_HEAD_BYTES: usize = EPOCH_BYTES + 8 + 8 + 4;

impl Message {
    /// Returns the stream it travels on.
    pub fn lane(&self) -> Lane {
        match self {
            Message::Ping { .. } | Message::Pong { .. } => Lane::Control,
            _ => Lane::Log,
        }
    }

    /// Appends the frame body, without its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Message::Hello { protocol, node, to, epoch, end } => {
                out.put_u8(HELLO);
                out.put_u16_le(*protocol);
                out.put_u64_le(node.0);
                out.put_u64_le(to.0);
                put_epoch(out, epoch);
                put_end(out, end);
            }
            Message::Welcome { protocol, node, promised, end } => {
                out.put_u8(WELCOME);
                out.put_u16_le(*protocol);
                out.put_u64_le(node.0);
                put_epoch(out, promised);
                put_end(out, end);
            }
            Message::Refused { node, reason, promised, end, text } => {
                out.put_u8(REFUSED);
                out.put_u64_le(node.0);
                out.put_u8(reason_byte(*reason));
                put_epoch(out, promised);
                put_end(out, end);
                put_len(out, text.len());
                out.put_slice(text.as_bytes());
            }
            Message::Append { epoch, prev, prev_chain, apply_to, records } => {
                out.put_u8(APPEND);
                put_epoch(out, epoch);
                out.put_u64_le(prev.0);
                out.put_u64_le(*prev_chain);
                out.put_u64_le(apply_to.0);
                put_records(out, records);
            }
            Message::Ack { durable, applied } => {
                out.put_u8(ACK);
                out.put_u64_le(durable.0);
                out.put_u64_le(applied.0);
            }
            Message::Publish { apply_to } => {
                out.put_u8(PUBLISH);
                out.put_u64_le(apply_to.0);
            }
            Message::Fetch { from } => {
                out.put_u8(FETCH);
                out.put_u64_le(from.0);
            }
            Message::Tail { prev, prev_chain, records } => {
                out.put_u8(TAIL);
                out.put_u64_le(prev.0);
                out.put_u64_le(*prev_chain);
                put_records(out, records);
            }
            Message::Ping { sequence } => {
                out.put_u8(PING);
                out.put_u64_le(*sequence);
            }
            Message::Pong { sequence } => {
                out.put_u8(PONG);
                out.put_u64_le(*sequence);
            }
        }
    }

    /// Reads a frame body. Payloads are slices of it, so nothing is reserved on a peer's word.
    pub fn decode(mut body: Bytes) -> Result<Message, DecodeError> {
        let b = &mut body;
        let message = match take_u8(b)? {
            HELLO => Message::Hello {
                protocol: take_u16(b)?,
                node: NodeId(take_u64(b)?),
                to: NodeId(take_u64(b)?),
                epoch: take_epoch(b)?,
                end: take_end(b)?,
            },
            WELCOME => Message::Welcome {
                protocol: take_u16(b)?,
                node: NodeId(take_u64(b)?),
                promised: take_epoch(b)?,
                end: take_end(b)?,
            },
            REFUSED => Message::Refused {
                node: NodeId(take_u64(b)?),
                reason: take_reason(b)?,
                promised: take_epoch(b)?,
                end: take_end(b)?,
                text: take_text(b)?,
            },
            APPEND => Message::Append {
                epoch: take_epoch(b)?,
                prev: Lsn(take_u64(b)?),
                prev_chain: take_u64(b)?,
                apply_to: Lsn(take_u64(b)?),
                records: take_records(b)?,
            },
            ACK => Message::Ack { durable: Lsn(take_u64(b)?), applied: Lsn(take_u64(b)?) },
            PUBLISH => Message::Publish { apply_to: Lsn(take_u64(b)?) },
            FETCH => Message::Fetch { from: Lsn(take_u64(b)?) },
            TAIL => {
                Message::Tail { prev: Lsn(take_u64(b)?), prev_chain: take_u64(b)?, records: take_records(b)? }
            }
            PING => Message::Ping { sequence: take_u64(b)? },
            PONG => Message::Pong { sequence: take_u64(b)? },
            kind => return Err(DecodeError::UnknownKind(kind)),
        };
        if body.has_remaining() { Err(DecodeError::Trailing) } else { Ok(message) }
    }
}

/// Returns about how many bytes a record takes on the wire.
pub fn record_bytes(record: &CommitRecord) -> usize {
    RECORD_HEAD_BYTES + record.payload.len()
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.put_u32_le(u32::try_from(len).expect("nothing in a frame is longer than its cap"));
}

fn put_epoch(out: &mut Vec<u8>, epoch: &Epoch) {
    out.put_u64_le(epoch.number);
    out.put_u64_le(epoch.node.0);
    out.put_u64_le(epoch.incarnation);
}

fn put_end(out: &mut Vec<u8>, end: &LogEnd) {
    put_epoch(out, &end.last.epoch);
    out.put_u64_le(end.last.lsn.0);
    out.put_u64_le(end.chain);
    put_len(out, end.history.starts.len());
    for (epoch, first) in &end.history.starts {
        put_epoch(out, epoch);
        out.put_u64_le(first.0);
    }
}

fn put_records(out: &mut Vec<u8>, records: &[CommitRecord]) {
    put_len(out, records.len());
    for record in records {
        put_epoch(out, &record.epoch);
        out.put_u64_le(record.lsn.0);
        out.put_u64_le(record.ts);
        put_len(out, record.payload.len());
        out.put_slice(&record.payload);
    }
}

fn reason_byte(reason: RefusalReason) -> u8 {
    match reason {
        RefusalReason::NotReplica => 1,
        RefusalReason::Fenced => 2,
        RefusalReason::WrongNode => 3,
        RefusalReason::Protocol => 4,
        RefusalReason::Gap => 5,
        RefusalReason::Mismatch => 6,
        RefusalReason::Full => 7,
    }
}

fn take_reason(b: &mut Bytes) -> Result<RefusalReason, DecodeError> {
    Ok(match take_u8(b)? {
        1 => RefusalReason::NotReplica,
        2 => RefusalReason::Fenced,
        3 => RefusalReason::WrongNode,
        4 => RefusalReason::Protocol,
        5 => RefusalReason::Gap,
        6 => RefusalReason::Mismatch,
        7 => RefusalReason::Full,
        _ => return Err(DecodeError::Invalid),
    })
}

fn take_u8(b: &mut Bytes) -> Result<u8, DecodeError> {
    b.try_get_u8().map_err(|_| DecodeError::Truncated)
}

fn take_u16(b: &mut Bytes) -> Result<u16, DecodeError> {
    b.try_get_u16_le().map_err(|_| DecodeError::Truncated)
}

fn take_u64(b: &mut Bytes) -> Result<u64, DecodeError> {
    b.try_get_u64_le().map_err(|_| DecodeError::Truncated)
}

fn take_bytes(b: &mut Bytes) -> Result<Bytes, DecodeError> {
    let len = b.try_get_u32_le().map_err(|_| DecodeError::Truncated)? as usize;
    if len > b.remaining() {
        return Err(DecodeError::Truncated);
    }
    Ok(b.split_to(len))
}

/// Returns how many elements follow; at least `each` bytes of each are there.
fn take_count(b: &mut Bytes, each: usize) -> Result<usize, DecodeError> {
    let count = b.try_get_u32_le().map_err(|_| DecodeError::Truncated)? as usize;
    if count > b.remaining() / each {
        return Err(DecodeError::Truncated);
    }
    Ok(count)
}

fn take_text(b: &mut Bytes) -> Result<String, DecodeError> {
    String::from_utf8(take_bytes(b)?.to_vec()).map_err(|_| DecodeError::Invalid)
}

fn take_epoch(b: &mut Bytes) -> Result<Epoch, DecodeError> {
    Ok(Epoch { number: take_u64(b)?, node: NodeId(take_u64(b)?), incarnation: take_u64(b)? })
}

fn take_end(b: &mut Bytes) -> Result<LogEnd, DecodeError> {
    let last = Position { epoch: take_epoch(b)?, lsn: Lsn(take_u64(b)?) };
    let chain = take_u64(b)?;
    let count = take_count(b, HISTORY_ENTRY_BYTES)?;
    let mut history = History::default();
    history.starts.reserve(count);
    for _ in 0..count {
        let entry = (take_epoch(b)?, Lsn(take_u64(b)?));
        if history.starts.last().is_some_and(|last| last.0 >= entry.0 || last.1 >= entry.1) {
            return Err(DecodeError::Invalid);
        }
        history.starts.push(entry);
    }
    // The end lies in the last epoch of its own history; an empty log has neither.
    let agrees = match history.starts.last() {
        Some((epoch, first)) => *epoch == last.epoch && *first <= last.lsn && first.0 > 0,
        None => last == Position::default() && chain == 0,
    };
    if agrees { Ok(LogEnd { last, chain, history }) } else { Err(DecodeError::Invalid) }
}

fn take_records(b: &mut Bytes) -> Result<Vec<CommitRecord>, DecodeError> {
    let count = take_count(b, RECORD_HEAD_BYTES)?;
    let mut records: Vec<CommitRecord> = Vec::with_capacity(count);
    for _ in 0..count {
        let record = CommitRecord {
            epoch: take_epoch(b)?,
            lsn: Lsn(take_u64(b)?),
            ts: take_u64(b)?,
            payload: take_bytes(b)?,
        };
        let follows = records
            .last()
            .is_none_or(|last| last.lsn.0.checked_add(1) == Some(record.lsn.0) && last.epoch <= record.epoch);
        if !follows {
            return Err(DecodeError::Invalid);
        }
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn examples() -> Vec<Message> {
        let epoch = Epoch { number: 3, node: NodeId(0xabcd), incarnation: 2 };
        let end = LogEnd {
            last: Position { epoch, lsn: Lsn(9) },
            chain: 77,
            history: History { starts: vec![(Epoch { number: 1, ..epoch }, Lsn(1)), (epoch, Lsn(4))] },
        };
        let record =
            |lsn| CommitRecord { epoch, lsn: Lsn(lsn), ts: lsn * 2, payload: Bytes::from_static(b"changes") };
        let records = vec![record(10), record(11)];
        vec![
            Message::Hello { protocol: 1, node: NodeId(1), to: NodeId(2), epoch, end: end.clone() },
            Message::Welcome { protocol: 1, node: NodeId(2), promised: epoch, end: LogEnd::default() },
            Message::Refused {
                node: NodeId(3),
                reason: RefusalReason::Fenced,
                promised: epoch,
                end,
                text: "no".into(),
            },
            Message::Append {
                epoch,
                prev: Lsn(9),
                prev_chain: 77,
                apply_to: Lsn(11),
                records: records.clone(),
            },
            Message::Ack { durable: Lsn(11), applied: Lsn(10) },
            Message::Publish { apply_to: Lsn(11) },
            Message::Fetch { from: Lsn(10) },
            Message::Tail { prev: Lsn(9), prev_chain: 77, records },
            Message::Ping { sequence: 5 },
            Message::Pong { sequence: 5 },
        ]
    }

    fn encoded(message: &Message) -> Vec<u8> {
        let mut frame = Vec::new();
        message.encode(&mut frame);
        frame
    }

    #[test]
    fn every_message_comes_back_as_it_was() {
        for message in examples() {
            assert_eq!(Message::decode(encoded(&message).into()), Ok(message));
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused() {
        for message in examples() {
            let frame = encoded(&message);
            for end in 0..frame.len() {
                assert!(Message::decode(Bytes::copy_from_slice(&frame[..end])).is_err());
            }
            let mut longer = frame;
            longer.push(0);
            assert_eq!(Message::decode(longer.into()), Err(DecodeError::Trailing));
        }
    }

    #[test]
    fn a_count_beyond_the_frame_reserves_nothing() {
        let mut frame = vec![APPEND];
        frame.extend([0; EPOCH_BYTES + 24]);
        frame.extend(u32::MAX.to_le_bytes());
        assert_eq!(Message::decode(frame.into()), Err(DecodeError::Truncated));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(bytes.into());
        }
    }
}
