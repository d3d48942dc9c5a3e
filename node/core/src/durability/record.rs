//! One record in a WAL segment.
//!
//! All numbers are little-endian. A frame begins at a multiple of 8 and is a multiple of 8 long:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | CRC-32 of bytes 4 to 79 |
//! | 4 | 4 | payload length, at most 2^30 |
//! | 8 | 1 | kind: 1, a commit |
//! | 9 | 1 | version: 1 |
//! | 10 | 2 | zero |
//! | 12 | 4 | CRC-32 of the payload |
//! | 16 | 8 | LSN |
//! | 24 | 24 | epoch: number, node, incarnation |
//! | 48 | 8 | `ts` |
//! | 56 | 8 | chain hash after this record |
//! | 64 | 8 | the last LSN known to be durable when this record was written |
//! | 72 | 8 | file offset of this frame |
//! | 80 | n | payload |
//! | 80 + n | 0 to 7 | zeroes, so that the next byte ends the frame at a multiple of 8 |
//! | last | 1 | end mark, 0xA5 |
//!
//! The offset field makes sure that bytes which were part of a payload, or of another file, never
//! pass as a frame. The end mark is never zero, so that a frame whose last page was not written can
//! be told from one that was damaged later.

use super::bytes::{Fields, PutFields};
use crate::types::{CommitRecord, Epoch, Lsn, NodeId};
use bytes::Bytes;

/// Bytes of a frame before its payload.
pub const FRAME_HEADER_BYTES: usize = 80;

/// The longest payload of one record.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 30;

const KIND_COMMIT: u8 = 1;
const VERSION: u8 = 1;
const END_MARK: u8 = 0xA5;

/// A record as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRecord {
    pub record: CommitRecord,
    /// Chain hash after it.
    pub chain: u64,
    /// The last LSN that was known to be durable when it was written.
    pub synced: Lsn,
}

/// Returns how many bytes a record with such a payload takes in a segment.
pub fn frame_bytes(payload_bytes: usize) -> usize {
    (FRAME_HEADER_BYTES + payload_bytes + 1).next_multiple_of(8)
}

/// Appends a frame that will stand at `offset` of its file.
///
/// # Panics
/// Where the payload is longer than [`PAYLOAD_BYTES_MAX`]: such a commit is refused before it gets an LSN.
pub fn put_frame(out: &mut Vec<u8>, offset: u64, logged: &LoggedRecord) {
    let LoggedRecord { record, chain, synced } = logged;
    assert!(record.payload.len() <= PAYLOAD_BYTES_MAX, "a record of {} bytes", record.payload.len());
    let length = u32::try_from(record.payload.len()).expect("limited above");
    let start = out.len();
    out.reserve(frame_bytes(record.payload.len()));
    out.put_u32(0);
    out.put_u32(length);
    out.put_u8(KIND_COMMIT);
    out.put_u8(VERSION);
    out.put_u16(0);
    out.put_u32(crc32fast::hash(&record.payload));
    out.put_u64(record.lsn.0);
    out.put_u64(record.epoch.number);
    out.put_u64(record.epoch.node.0);
    out.put_u64(record.epoch.incarnation);
    out.put_u64(record.ts);
    out.put_u64(*chain);
    out.put_u64(synced.0);
    out.put_u64(offset);
    let crc = crc32fast::hash(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&record.payload);
    out.resize(start + frame_bytes(record.payload.len()), 0);
    *out.last_mut().expect("a frame is never empty") = END_MARK;
}

/// What [`parse_record`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A record, and the bytes that its frame takes.
    Record(LoggedRecord, usize),
    /// The frame goes on beyond these bytes; that many are needed.
    Longer(usize),
    /// No sound frame begins here.
    Nothing,
}

/// Reads the record that begins at `bytes[at]`, where `bytes[0]` stands at `offset` of its file.
///
/// For reading back what this process wrote or recovered; the rules for what a crash left behind
/// are the [`Scanner`](super::Scanner)'s.
pub fn parse_record(bytes: &Bytes, at: usize, offset: u64) -> Parsed {
    let rest = &bytes[at..];
    if rest.len() < FRAME_HEADER_BYTES {
        return Parsed::Longer(FRAME_HEADER_BYTES);
    }
    match read_frame(rest, offset + at as u64) {
        Frame::Good { header, payload } => {
            let start = at + FRAME_HEADER_BYTES;
            let payload = bytes.slice(start..start + payload.len());
            Parsed::Record(header.logged(payload), header.frame_bytes())
        }
        Frame::BadBody { header } if header.frame_bytes() > rest.len() => {
            Parsed::Longer(header.frame_bytes())
        }
        _ => Parsed::Nothing,
    }
}

/// What stands at some place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Good {
        header: FrameHeader,
        payload: &'a [u8],
    },
    /// Its header is sound and the rest is not, or is cut off.
    BadBody {
        header: FrameHeader,
    },
    BadHeader,
    /// Sound, and of a kind or version that this program does not know.
    Unknown {
        header: FrameHeader,
        kind: u8,
        version: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) payload_bytes: usize,
    payload_crc: u32,
    pub(super) epoch: Epoch,
    pub(super) lsn: Lsn,
    pub(super) ts: u64,
    pub(super) chain: u64,
    pub(super) synced: Lsn,
}

impl FrameHeader {
    pub(super) fn frame_bytes(&self) -> usize {
        frame_bytes(self.payload_bytes)
    }

    pub(super) fn logged(&self, payload: Bytes) -> LoggedRecord {
        LoggedRecord {
            record: CommitRecord { epoch: self.epoch, lsn: self.lsn, ts: self.ts, payload },
            chain: self.chain,
            synced: self.synced,
        }
    }
}

/// Reads the frame that begins at `bytes[0]`, which stands at `offset` of its file.
pub(super) fn read_frame(bytes: &[u8], offset: u64) -> Frame<'_> {
    let Some((head, rest)) = bytes.split_at_checked(FRAME_HEADER_BYTES) else {
        return Frame::BadHeader;
    };
    let Some((header, kind, version)) = read_header(head, offset) else {
        return Frame::BadHeader;
    };
    let Some(body) = rest.get(..header.frame_bytes() - FRAME_HEADER_BYTES) else {
        return Frame::BadBody { header };
    };
    let (payload, tail) = body.split_at(header.payload_bytes);
    let (mark, padding) = tail.split_last().expect("a frame has an end mark");
    if *mark != END_MARK || padding.iter().any(|b| *b != 0) || crc32fast::hash(payload) != header.payload_crc
    {
        return Frame::BadBody { header };
    }
    if kind != KIND_COMMIT || version != VERSION {
        return Frame::Unknown { header, kind, version };
    }
    Frame::Good { header, payload }
}

fn read_header(head: &[u8], offset: u64) -> Option<(FrameHeader, u8, u8)> {
    let mut fields = Fields::new(head);
    let crc = fields.u32()?;
    let payload_bytes = fields.u32()? as usize;
    let kind = fields.u8()?;
    let version = fields.u8()?;
    let reserved = fields.u16()?;
    let payload_crc = fields.u32()?;
    let lsn = Lsn(fields.u64()?);
    let epoch = Epoch { number: fields.u64()?, node: NodeId(fields.u64()?), incarnation: fields.u64()? };
    let ts = fields.u64()?;
    let chain = fields.u64()?;
    let synced = Lsn(fields.u64()?);
    let own_offset = fields.u64()?;
    let sound = payload_bytes <= PAYLOAD_BYTES_MAX
        && reserved == 0
        && own_offset == offset
        && lsn > Lsn::ZERO
        && crc32fast::hash(&head[4..]) == crc;
    sound.then_some((
        FrameHeader { payload_bytes, payload_crc, epoch, lsn, ts, chain, synced },
        kind,
        version,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> LoggedRecord {
        LoggedRecord {
            record: CommitRecord {
                epoch: Epoch { number: 2, node: NodeId(0x1122_3344_5566_7788), incarnation: 3 },
                lsn: Lsn(7),
                ts: 9,
                payload: Bytes::from_static(b"hello"),
            },
            chain: 0xA1B2_C3D4_E5F6_0718,
            synced: Lsn(5),
        }
    }

    /// Files of this version exist: whoever changes these bytes must raise the version and go on
    /// reading them.
    #[test]
    fn version_1_is_read_for_ever() {
        let mut out = Vec::new();
        put_frame(&mut out, 512, &example());
        let hex: String = out.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            concat!(
                "c8acbcd0050000000101000086a61036070000000000000002000000000000008877665544332211",
                "030000000000000009000000000000001807f6e5d4c3b2a105000000000000000002000000000000",
                "68656c6c6f0000a5",
            )
        );
        let Frame::Good { header, payload } = read_frame(&out, 512) else { panic!("not read back") };
        assert_eq!(header.logged(Bytes::copy_from_slice(payload)), example());
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let mut out = Vec::new();
        put_frame(&mut out, 512, &example());
        for bit in 0..out.len() * 8 {
            let mut bad = out.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(read_frame(&bad, 512), Frame::Good { .. }), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_counts_only_where_it_was_written() {
        let mut out = Vec::new();
        put_frame(&mut out, 512, &example());
        assert_eq!(read_frame(&out, 520), Frame::BadHeader);
    }

    #[test]
    fn a_record_is_parsed_wherever_it_stands_and_not_before_it_is_whole() {
        let mut out = Vec::new();
        let mut starts = Vec::new();
        for (number, payload) in [&b"hello"[..], b"", b"a longer one than before"].into_iter().enumerate() {
            let mut logged = example();
            logged.record.lsn = Lsn(7 + number as u64);
            logged.record.payload = Bytes::copy_from_slice(payload);
            starts.push((out.len(), logged.clone()));
            let offset = 512 + out.len() as u64;
            put_frame(&mut out, offset, &logged);
        }
        let all = Bytes::from(out.clone());
        for (at, logged) in starts {
            let whole = frame_bytes(logged.record.payload.len());
            assert_eq!(parse_record(&all, at, 512), Parsed::Record(logged, whole));
            for length in 0..whole {
                let needed = if length < FRAME_HEADER_BYTES { FRAME_HEADER_BYTES } else { whole };
                let parsed = parse_record(&all.slice(..at + length), at, 512);
                assert_eq!(parsed, Parsed::Longer(needed), "{length} of {whole} bytes");
            }
            assert_eq!(parse_record(&all, at, 520), Parsed::Nothing, "at another place");
            for byte in at..at + whole {
                let mut bad = out.clone();
                bad[byte] ^= 1;
                assert_eq!(parse_record(&bad.into(), at, 512), Parsed::Nothing, "byte {}", byte - at);
            }
        }
    }

    #[test]
    fn every_length_is_padded_to_eight() {
        for length in 0..40 {
            let mut logged = example();
            logged.record.payload = vec![0; length].into();
            let mut out = Vec::new();
            put_frame(&mut out, 512, &logged);
            assert_eq!(out.len() % 8, 0);
            assert_eq!(out.len(), frame_bytes(length));
            assert!(matches!(read_frame(&out, 512), Frame::Good { .. }), "length {length}");
        }
    }
}
