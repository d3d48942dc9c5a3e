//! What nodes say to each other, and how it looks on the wire.
//!
//! A frame is a `u32` length (little-endian, as every number here) and a body of that many bytes, at
//! most [`FRAME_BYTES_MAX`]. The transport reads and writes the length and checks the cap before it
//! reserves memory; this file reads and writes bodies. A body is one kind byte and its fields in order:
//!
//! | kind | message | fields |
//! |---|---|---|
//! | 1 | Hello | protocol `u16`, node, to node (0: anyone), epoch, log end; from 2 on: cluster, members |
//! | 2 | Welcome | protocol `u16`, node, promised epoch, log end; from 2 on: partial snapshot, addresses |
//! | 3 | Refused | node, reason `u8`, promised epoch, log end, text |
//! | 4 | Append | epoch, prev `u64`, chain at prev `u64`, apply to `u64`, records |
//! | 5 | Ack | durable `u64`, applied `u64` |
//! | 6 | Publish | apply to `u64` |
//! | 7 | Fetch | from `u64` |
//! | 8 | Tail | prev `u64`, chain at prev `u64`, records |
//! | 9 | Ping | sequence `u64` |
//! | 10 | Pong | sequence `u64` |
//! | 11 | Members (from 2 on) | members |
//! | 12 | Release (from 2 on) | |
//! | 13 | Diverged (from 2 on) | position where both logs part |
//!
//! node: `u64`. epoch: number `u64`, node `u64`, incarnation `u64`. position: epoch, lsn `u64`.
//! text: `u32` length, UTF-8. log end: position, chain `u64`, history (`u32` count, then epoch and first
//! lsn `u64` each). records: `u32` count, then each epoch, lsn `u64`, ts `u64`, `u32` length, payload.
//!
//! cluster: `u8` 1 and `u64`, or `u8` 0. addresses: `u32` count, then each a text. members: `u32` count, then
//! each node, identity and addresses. identity: `u8`,
//! bit 0 where a key fingerprint (32 bytes) follows, bit 1 where a certified name (text) follows, of a member
//! bits 2 and 3 its mode (0: none, 1 ASYNC, 2 SYNC, 3 STRICT_SYNC). partial
//! snapshot: `u8` 1, position, chain `u64`, bytes of the whole file `u64`, its digest `u128`, bytes that are
//! kept `u64`, or `u8` 0.
//!
//! Which protocol is spoken is settled by the handshake of the connection, before the first message: the
//! highest that both sides know. A node knows its own version and those before. What only a later
//! version can say is left out towards an earlier one; [`Message::is_in`] tells which messages are.

use crate::types::{
    ClusterId, CommitRecord, Epoch, History, Identity, KeyPrint, Lsn, Member, NodeId, PartialSnapshot,
    Position, SnapshotId, SyncMode,
};
use bytes::{Buf, BufMut, Bytes};

/// Version of this page.
pub const PROTOCOL: u16 = 3;

/// From this protocol on a snapshot goes on where it was cut off.
pub const PROTOCOL_RESUMES: u16 = 2;

/// From this protocol on records may hold enums, triggers, type constraints and edge indexes; messages are as before.
pub const PROTOCOL_SCHEMA: u16 = 3;

/// The oldest version that this page can still be spoken in.
pub const PROTOCOL_MIN: u16 = 1;

/// What the handshake of a connection settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The protocol that is spoken on it.
    pub protocol: u16,
    /// Who is at the other end.
    pub identity: Identity,
}

impl Default for Line {
    fn default() -> Line {
        Line { protocol: PROTOCOL, identity: Identity::default() }
    }
}

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
    /// It belongs to another cluster.
    OtherCluster,
    /// The sender's key is not one of the cluster's members.
    Stranger,
}

/// What one node tells another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// MAIN introduces itself, first on a connection that it dialled.
    Hello {
        protocol: u16,
        node: NodeId,
        to: NodeId,
        epoch: Epoch,
        end: LogEnd,
        /// `None` from a node of protocol 1.
        cluster: Option<ClusterId>,
        /// Everyone whom the REPLICA may obey.
        members: Vec<Member>,
    },
    /// REPLICA follows; its promise of that epoch is durable, and so is its log to this end.
    Welcome {
        protocol: u16,
        node: NodeId,
        promised: Epoch,
        end: LogEnd,
        /// A snapshot whose first part came on an earlier connection.
        partial: Option<PartialSnapshot>,
        /// Where clients reach it, see [`Member::bolt`].
        bolt: Vec<String>,
    },
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
    /// The members of the cluster have changed.
    Members { members: Vec<Member> },
    /// The REPLICA is dropped: it belongs to no cluster any more.
    Release,
    /// The REPLICA holds records after `common` that MAIN does not; MAIN hangs up after that.
    Diverged { common: Position },
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
const MEMBERS: u8 = 11;
const RELEASE: u8 = 12;
const DIVERGED: u8 = 13;

const EPOCH_BYTES: usize = 24;
const HISTORY_ENTRY_BYTES: usize = EPOCH_BYTES + 8;
const MEMBER_BYTES_MIN: usize = 8 + 1 + 4;
const HAS_KEY: u8 = 1;
const HAS_NAME: u8 = 2;
const MODE_SHIFT: u8 = 2;
const MODE_MASK: u8 = 3;
const RECORD_HEAD_BYTES: usize = EPOCH_BYTES + 8 + 8 + 4;

impl Message {
    /// Returns the stream it travels on.
    pub fn lane(&self) -> Lane {
        match self {
            Message::Ping { .. } | Message::Pong { .. } => Lane::Control,
            _ => Lane::Log,
        }
    }

    /// Returns whether a protocol has this message.
    pub fn is_in(&self, protocol: u16) -> bool {
        match self {
            Message::Members { .. } | Message::Release | Message::Diverged { .. } => protocol >= 2,
            _ => true,
        }
    }

    /// Appends the frame body, without its length, as `protocol` says it.
    ///
    /// # Panics
    /// Where that protocol does not have the message.
    pub fn encode(&self, protocol_spoken: u16, out: &mut Vec<u8>) {
        assert!(self.is_in(protocol_spoken), "{self:?} is not in protocol {protocol_spoken}");
        match self {
            Message::Hello { protocol, node, to, epoch, end, cluster, members } => {
                out.put_u8(HELLO);
                out.put_u16_le(*protocol);
                out.put_u64_le(node.0);
                out.put_u64_le(to.0);
                put_epoch(out, epoch);
                put_end(out, end);
                if protocol_spoken >= 2 {
                    out.put_u8(u8::from(cluster.is_some()));
                    if let Some(cluster) = cluster {
                        out.put_u64_le(cluster.0);
                    }
                    put_members(out, members);
                }
            }
            Message::Welcome { protocol, node, promised, end, partial, bolt } => {
                out.put_u8(WELCOME);
                out.put_u16_le(*protocol);
                out.put_u64_le(node.0);
                put_epoch(out, promised);
                put_end(out, end);
                if protocol_spoken >= PROTOCOL_RESUMES {
                    put_partial(out, partial.as_ref());
                    put_texts(out, bolt);
                }
            }
            Message::Refused { node, reason, promised, end, text } => {
                out.put_u8(REFUSED);
                out.put_u64_le(node.0);
                out.put_u8(reason_byte(*reason, protocol_spoken));
                put_epoch(out, promised);
                put_end(out, end);
                put_text(out, text);
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
            Message::Members { members } => {
                out.put_u8(MEMBERS);
                put_members(out, members);
            }
            Message::Release => out.put_u8(RELEASE),
            Message::Diverged { common } => {
                out.put_u8(DIVERGED);
                put_position(out, common);
            }
        }
    }

    /// Reads a frame body, as `protocol` says it. Payloads are slices of it, so nothing is reserved on a
    /// peer's word.
    pub fn decode(protocol_spoken: u16, mut body: Bytes) -> Result<Message, DecodeError> {
        let b = &mut body;
        let message = match take_u8(b)? {
            HELLO => {
                let (protocol, node, to) = (take_u16(b)?, NodeId(take_u64(b)?), NodeId(take_u64(b)?));
                let (epoch, end) = (take_epoch(b)?, take_end(b)?);
                let (cluster, members) = if protocol_spoken >= 2 {
                    (take_flag(b)?.then(|| take_u64(b).map(ClusterId)).transpose()?, take_members(b)?)
                } else {
                    (None, Vec::new())
                };
                Message::Hello { protocol, node, to, epoch, end, cluster, members }
            }
            WELCOME => {
                let (protocol, node, promised) = (take_u16(b)?, NodeId(take_u64(b)?), take_epoch(b)?);
                let end = take_end(b)?;
                let (partial, bolt) = if protocol_spoken >= PROTOCOL_RESUMES {
                    (take_partial(b)?, take_texts(b)?)
                } else {
                    (None, Vec::new())
                };
                Message::Welcome { protocol, node, promised, end, partial, bolt }
            }
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
            MEMBERS if protocol_spoken >= 2 => Message::Members { members: take_members(b)? },
            RELEASE if protocol_spoken >= 2 => Message::Release,
            DIVERGED if protocol_spoken >= 2 => Message::Diverged { common: take_position(b)? },
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

fn put_position(out: &mut Vec<u8>, position: &Position) {
    put_epoch(out, &position.epoch);
    out.put_u64_le(position.lsn.0);
}

fn put_members(out: &mut Vec<u8>, members: &[Member]) {
    put_len(out, members.len());
    for Member { node, identity, bolt, mode } in members {
        out.put_u64_le(node.0);
        let key = if identity.key.is_some() { HAS_KEY } else { 0 };
        let name = if identity.certified.is_some() { HAS_NAME } else { 0 };
        let mode = mode.map_or(0, |mode| mode.code() + 1);
        out.put_u8(key | name | mode << MODE_SHIFT);
        if let Some(key) = &identity.key {
            out.put_slice(&key.0);
        }
        if let Some(name) = &identity.certified {
            put_text(out, name);
        }
        put_texts(out, bolt);
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.put_slice(text.as_bytes());
}

fn put_texts(out: &mut Vec<u8>, texts: &[String]) {
    put_len(out, texts.len());
    for text in texts {
        put_text(out, text);
    }
}

fn put_end(out: &mut Vec<u8>, end: &LogEnd) {
    put_position(out, &end.last);
    out.put_u64_le(end.chain);
    put_len(out, end.history.starts.len());
    for (epoch, first) in &end.history.starts {
        put_epoch(out, epoch);
        out.put_u64_le(first.0);
    }
}

fn put_partial(out: &mut Vec<u8>, partial: Option<&PartialSnapshot>) {
    let Some(PartialSnapshot { snapshot, bytes }) = partial else { return out.put_u8(0) };
    out.put_u8(1);
    put_epoch(out, &snapshot.position.epoch);
    out.put_u64_le(snapshot.position.lsn.0);
    out.put_u64_le(snapshot.chain);
    out.put_u64_le(snapshot.bytes);
    out.put_u128_le(snapshot.digest);
    out.put_u64_le(*bytes);
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

fn reason_byte(reason: RefusalReason, protocol_spoken: u16) -> u8 {
    match reason {
        // Protocol 1 had one word for all that is not whom it was taken for.
        RefusalReason::OtherCluster | RefusalReason::Stranger if protocol_spoken < 2 => 3,
        RefusalReason::OtherCluster => 8,
        RefusalReason::Stranger => 9,
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
        8 => RefusalReason::OtherCluster,
        9 => RefusalReason::Stranger,
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

fn take_texts(b: &mut Bytes) -> Result<Vec<String>, DecodeError> {
    let count = take_count(b, 4)?;
    (0..count).map(|_| take_text(b)).collect()
}

fn take_epoch(b: &mut Bytes) -> Result<Epoch, DecodeError> {
    Ok(Epoch { number: take_u64(b)?, node: NodeId(take_u64(b)?), incarnation: take_u64(b)? })
}

fn take_position(b: &mut Bytes) -> Result<Position, DecodeError> {
    Ok(Position { epoch: take_epoch(b)?, lsn: Lsn(take_u64(b)?) })
}

fn take_flag(b: &mut Bytes) -> Result<bool, DecodeError> {
    match take_u8(b)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Invalid),
    }
}

fn take_members(b: &mut Bytes) -> Result<Vec<Member>, DecodeError> {
    let count = take_count(b, MEMBER_BYTES_MIN)?;
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        let node = NodeId(take_u64(b)?);
        let flags = take_u8(b)?;
        let mode = flags >> MODE_SHIFT & MODE_MASK;
        if flags & !(HAS_KEY | HAS_NAME | MODE_MASK << MODE_SHIFT) != 0 {
            return Err(DecodeError::Invalid);
        }
        let mode = mode.checked_sub(1).and_then(SyncMode::of_code);
        let mut identity = Identity::default();
        if flags & HAS_KEY != 0 {
            let mut key = [0; 32];
            b.try_copy_to_slice(&mut key).map_err(|_| DecodeError::Truncated)?;
            identity.key = Some(KeyPrint(key));
        }
        if flags & HAS_NAME != 0 {
            identity.certified = Some(take_text(b)?);
        }
        members.push(Member { node, identity, bolt: take_texts(b)?, mode });
    }
    Ok(members)
}

fn take_end(b: &mut Bytes) -> Result<LogEnd, DecodeError> {
    let last = take_position(b)?;
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

fn take_partial(b: &mut Bytes) -> Result<Option<PartialSnapshot>, DecodeError> {
    match take_u8(b)? {
        0 => return Ok(None),
        1 => {}
        _ => return Err(DecodeError::Invalid),
    }
    let snapshot = SnapshotId {
        position: Position { epoch: take_epoch(b)?, lsn: Lsn(take_u64(b)?) },
        chain: take_u64(b)?,
        bytes: take_u64(b)?,
        digest: b.try_get_u128_le().map_err(|_| DecodeError::Truncated)?,
    };
    let bytes = take_u64(b)?;
    if bytes > snapshot.bytes {
        Err(DecodeError::Invalid)
    } else {
        Ok(Some(PartialSnapshot { snapshot, bytes }))
    }
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
        let position = Position { epoch, lsn: Lsn(8) };
        let snapshot = SnapshotId { position, chain: 5, bytes: 1 << 40, digest: 1 << 100 | 3 };
        let key = Some(KeyPrint([7; 32]));
        let members = vec![
            Member {
                node: NodeId(1),
                identity: Identity { key, certified: Some("main".into()) },
                bolt: vec!["127.0.0.1:7687".into(), "main:7687".into()],
                mode: None,
            },
            Member {
                node: NodeId(2),
                identity: Identity::default(),
                bolt: Vec::new(),
                mode: Some(SyncMode::StrictSync),
            },
        ];
        vec![
            Message::Hello {
                protocol: PROTOCOL,
                node: NodeId(1),
                to: NodeId(2),
                epoch,
                end: end.clone(),
                cluster: Some(ClusterId(5)),
                members: members.clone(),
            },
            Message::Welcome {
                protocol: PROTOCOL,
                node: NodeId(2),
                promised: epoch,
                end: LogEnd::default(),
                partial: Some(PartialSnapshot { snapshot, bytes: 4096 }),
                bolt: vec!["127.0.0.1:7688".into()],
            },
            Message::Refused {
                node: NodeId(3),
                reason: RefusalReason::Fenced,
                promised: epoch,
                end: end.clone(),
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
            Message::Members { members },
            Message::Release,
            Message::Diverged { common: end.last },
        ]
    }

    fn encoded(message: &Message) -> Vec<u8> {
        let mut frame = Vec::new();
        message.encode(PROTOCOL, &mut frame);
        frame
    }

    fn decode(frame: impl Into<Bytes>) -> Result<Message, DecodeError> {
        Message::decode(PROTOCOL, frame.into())
    }

    #[test]
    fn protocol_1_says_what_it_can() {
        for message in examples().into_iter().filter(|m| m.is_in(1)) {
            let mut frame = Vec::new();
            message.encode(1, &mut frame);
            let expected = match message {
                Message::Hello { protocol, node, to, epoch, end, .. } => {
                    Message::Hello { protocol, node, to, epoch, end, cluster: None, members: Vec::new() }
                }
                Message::Welcome { protocol, node, promised, end, .. } => {
                    Message::Welcome { protocol, node, promised, end, partial: None, bolt: Vec::new() }
                }
                other => other,
            };
            assert_eq!(Message::decode(1, frame.into()), Ok(expected));
        }
        assert_eq!(Message::decode(1, Bytes::from_static(&[RELEASE])), Err(DecodeError::UnknownKind(12)));
    }

    /// Nodes of protocol 1 exist: these bytes must go on being read and written towards them.
    #[test]
    fn protocol_1_is_spoken_for_as_long_as_it_is_known() {
        let epoch = Epoch { number: 3, node: NodeId(0xabcd), incarnation: 2 };
        let hello = Message::Hello {
            protocol: 1,
            node: NodeId(1),
            to: NodeId(2),
            epoch,
            end: LogEnd::default(),
            cluster: None,
            members: Vec::new(),
        };
        let mut frame = Vec::new();
        hello.encode(1, &mut frame);
        let text: String = frame.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            text,
            concat!(
                "01010001000000000000000200000000000000",
                "0300000000000000cdab0000000000000200000000000000",
                "0000000000000000000000000000000000000000000000000000000000000000",
                "000000000000000000000000",
            )
        );
    }

    #[test]
    fn every_message_comes_back_as_it_was() {
        for message in examples() {
            assert_eq!(decode(encoded(&message)), Ok(message));
        }
    }

    /// Counts are checked against these before anything is allocated: they must not be less than what an item takes.
    #[test]
    fn the_smallest_items_are_as_small_as_is_counted_with() {
        let member = Member { node: NodeId(1), identity: Identity::default(), bolt: Vec::new(), mode: None };
        let with = |members: Vec<Member>| encoded(&Message::Members { members }).len();
        assert_eq!(with(vec![member]) - with(Vec::new()), MEMBER_BYTES_MIN);

        let epoch = |number| Epoch { number, node: NodeId(7), incarnation: 1 };
        let with = |starts: Vec<(Epoch, Lsn)>| {
            let last = Position { epoch: epoch(2), lsn: Lsn(9) };
            let end = LogEnd { last, chain: 7, history: History { starts } };
            let (node, reason, text) = (NodeId(1), RefusalReason::Fenced, String::new());
            encoded(&Message::Refused { node, reason, promised: epoch(2), end, text }).len()
        };
        let (first, second) = ((epoch(1), Lsn(1)), (epoch(2), Lsn(4)));
        assert_eq!(with(vec![first, second]) - with(vec![second]), HISTORY_ENTRY_BYTES);
    }

    #[test]
    fn the_largest_record_fits_a_frame_by_itself_with_little_room_left() {
        let (epoch, lsn) = (Epoch { number: 1, node: NodeId(7), incarnation: 1 }, Lsn(1));
        let records = vec![CommitRecord { epoch, lsn, ts: 1, payload: Bytes::new() }];
        let append = Message::Append { epoch, prev: Lsn(0), prev_chain: 0, apply_to: lsn, records };
        let around = encoded(&append).len();
        let room = FRAME_BYTES_MAX - RECORD_BYTES_MAX;
        assert!(
            (around..1 << 20).contains(&room),
            "{around} bytes are around it, and there is room for {room}"
        );
    }

    /// What is written is not checked, so that a test can write what no node would.
    fn reads_back(message: &Message) -> bool {
        match decode(encoded(message)) {
            Ok(read) => {
                assert_eq!(&read, message);
                true
            }
            Err(why) => {
                assert_eq!(why, DecodeError::Invalid);
                false
            }
        }
    }

    #[test]
    fn the_end_of_a_log_agrees_with_its_history() {
        let epoch = |number| Epoch { number, node: NodeId(7), incarnation: 1 };
        let reads = |last: (u64, u64), chain, starts: &[(u64, u64)]| {
            let starts = starts.iter().map(|(number, lsn)| (epoch(*number), Lsn(*lsn))).collect();
            let last = match last {
                (0, 0) => Position::default(),
                (number, lsn) => Position { epoch: epoch(number), lsn: Lsn(lsn) },
            };
            let end = LogEnd { last, chain, history: History { starts } };
            let (node, promised) = (NodeId(1), epoch(2));
            let welcome =
                Message::Welcome { protocol: PROTOCOL, node, promised, end, partial: None, bolt: Vec::new() };
            reads_back(&welcome)
        };
        assert!(reads((0, 0), 0, &[]));
        assert!(reads((2, 9), 7, &[(1, 1), (2, 4)]));
        // The last epoch may have one record.
        assert!(reads((2, 4), 7, &[(1, 1), (2, 4)]));
        assert!(!reads((0, 0), 7, &[]), "an empty log has no chain");
        assert!(!reads((2, 9), 0, &[]), "records have an epoch");
        assert!(!reads((3, 9), 7, &[(1, 1), (2, 4)]), "the last epoch is that of the last record");
        assert!(!reads((2, 3), 7, &[(1, 1), (2, 4)]), "an epoch begins before the log ends");
        assert!(!reads((2, 9), 7, &[(2, 0)]), "records are counted from 1");
        assert!(!reads((2, 9), 7, &[(2, 1), (2, 4)]), "epochs rise");
        assert!(!reads((2, 9), 7, &[(1, 4), (2, 4)]), "so do their beginnings");
    }

    #[test]
    fn a_part_of_a_snapshot_is_no_longer_than_the_whole() {
        let epoch = Epoch { number: 2, node: NodeId(7), incarnation: 1 };
        let snapshot =
            SnapshotId { position: Position { epoch, lsn: Lsn(8) }, chain: 5, bytes: 100, digest: 3 };
        let reads = |bytes| {
            let partial = Some(PartialSnapshot { snapshot, bytes });
            let (node, end, bolt) = (NodeId(1), LogEnd::default(), Vec::new());
            reads_back(&Message::Welcome { protocol: PROTOCOL, node, promised: epoch, end, partial, bolt })
        };
        assert!(reads(0) && reads(99) && reads(100));
        assert!(!reads(101));
    }

    #[test]
    fn records_follow_each_other_by_number_and_by_epoch() {
        let epoch = |number| Epoch { number, node: NodeId(7), incarnation: 1 };
        let reads = |all: &[(u64, u64)]| {
            let record = |(number, lsn): &(u64, u64)| CommitRecord {
                epoch: epoch(*number),
                lsn: Lsn(*lsn),
                ts: 1,
                payload: Bytes::from_static(b"x"),
            };
            let records = all.iter().map(record).collect();
            reads_back(&Message::Tail { prev: Lsn(1), prev_chain: 7, records })
        };
        assert!(reads(&[]) && reads(&[(1, 2), (1, 3)]) && reads(&[(1, 2), (2, 3)]));
        assert!(!reads(&[(1, 2), (1, 4)]), "one is left out");
        assert!(!reads(&[(2, 2), (1, 3)]), "an epoch never falls");
        assert!(!reads(&[(1, u64::MAX), (1, 0)]));
    }

    #[test]
    fn a_greeting_without_a_cluster_comes_back() {
        let (node, to, epoch) = (NodeId(1), NodeId(2), Epoch { number: 1, node: NodeId(1), incarnation: 1 });
        let (end, members) = (LogEnd::default(), Vec::new());
        assert!(reads_back(&Message::Hello {
            protocol: PROTOCOL,
            node,
            to,
            epoch,
            end,
            cluster: None,
            members
        }));
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused() {
        for message in examples() {
            let frame = encoded(&message);
            for end in 0..frame.len() {
                assert!(decode(Bytes::copy_from_slice(&frame[..end])).is_err());
            }
            let mut longer = frame;
            longer.push(0);
            assert_eq!(decode(longer), Err(DecodeError::Trailing));
        }
    }

    #[test]
    fn each_refusal_has_its_number_and_protocol_1_knows_seven() {
        use RefusalReason::*;
        let numbers = [
            (NotReplica, 1, NotReplica),
            (Fenced, 2, Fenced),
            (WrongNode, 3, WrongNode),
            (Protocol, 4, Protocol),
            (Gap, 5, Gap),
            (Mismatch, 6, Mismatch),
            (Full, 7, Full),
            (OtherCluster, 8, WrongNode),
            (Stranger, 9, WrongNode),
        ];
        for (reason, number, in_protocol_1) in numbers {
            assert_eq!(reason_byte(reason, 2), number);
            assert_eq!(take_reason(&mut Bytes::copy_from_slice(&[number])), Ok(reason));
            let told = reason_byte(reason, 1);
            assert_eq!(take_reason(&mut Bytes::copy_from_slice(&[told])), Ok(in_protocol_1));
        }
        for unknown in [0, 10, 255] {
            assert_eq!(take_reason(&mut Bytes::copy_from_slice(&[unknown])), Err(DecodeError::Invalid));
        }
    }

    #[test]
    fn protocol_1_takes_no_message_of_protocol_2() {
        let position =
            Position { epoch: Epoch { number: 3, node: NodeId(0xabcd), incarnation: 2 }, lsn: Lsn(8) };
        for message in [
            Message::Members { members: Vec::new() },
            Message::Release,
            Message::Diverged { common: position },
        ] {
            let frame = encoded(&message);
            assert_eq!(Message::decode(1, frame.clone().into()), Err(DecodeError::UnknownKind(frame[0])));
            assert_eq!(decode(frame), Ok(message));
        }
    }

    #[test]
    fn signs_of_life_do_not_wait_behind_records() {
        for message in examples() {
            let is_sign = matches!(message, Message::Ping { .. } | Message::Pong { .. });
            assert_eq!(message.lane(), if is_sign { Lane::Control } else { Lane::Log }, "{message:?}");
        }
    }

    #[test]
    fn a_record_counts_as_its_head_and_its_payload() {
        let epoch = Epoch { number: 3, node: NodeId(0xabcd), incarnation: 2 };
        let record = CommitRecord { epoch, lsn: Lsn(10), ts: 20, payload: Bytes::from_static(b"changes") };
        let bytes_of = |records: Vec<CommitRecord>| {
            encoded(&Message::Append { epoch, prev: Lsn(9), prev_chain: 77, apply_to: Lsn(9), records }).len()
        };
        assert_eq!(record_bytes(&record), bytes_of(vec![record.clone()]) - bytes_of(Vec::new()));
    }

    #[test]
    fn as_many_elements_as_fit_are_taken() {
        let count = |count: u32, rest: usize, each| {
            let mut bytes = count.to_le_bytes().to_vec();
            bytes.resize(4 + rest, 0);
            take_count(&mut bytes.into(), each)
        };
        assert_eq!(count(2, 8, 4), Ok(2));
        assert_eq!(count(2, 7, 4), Err(DecodeError::Truncated));
        assert_eq!(count(0, 0, 4), Ok(0));
    }

    #[test]
    fn a_count_beyond_the_frame_reserves_nothing() {
        let mut frame = vec![APPEND];
        frame.extend([0; EPOCH_BYTES + 24]);
        frame.extend(u32::MAX.to_le_bytes());
        assert_eq!(decode(frame), Err(DecodeError::Truncated));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(PROTOCOL, bytes.clone().into());
            let _ = Message::decode(1, bytes.into());
        }
    }
}
