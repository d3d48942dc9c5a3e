//! How a snapshot travels: on a stream of its own, beside the messages.
//!
//! In protocol 1 it is the bytes of a snapshot file. From protocol 2 on the file, or the rest of it,
//! comes after a head that says which file it is and from where on, so that a node knows what to do with
//! half of it. Little-endian:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | `89 'M' 'G' 'P' 'A' 'R' 0D 0A` |
//! | 8 | 32 | position of the last record: epoch number, node, incarnation, LSN |
//! | 40 | 8 | chain hash after that record |
//! | 48 | 8 | length of the file |
//! | 56 | 16 | digest of the file, as in its footer |
//! | 72 | 8 | where in the file the bytes begin that follow |
//! | 80 | 4 | CRC-32 of everything before |
//!
//! The part that a node keeps stands in a file, and this same head beside it (with offset 0) says which
//! file it is a part of.

use super::DecodeError;
use crate::types::{Epoch, Lsn, NodeId, Position, SnapshotId};
use bytes::{Buf, BufMut};

/// Length of the head.
pub const STREAM_HEAD_BYTES: usize = 84;

const MAGIC: &[u8; 8] = b"\x89MGPAR\r\n";

/// What the first bytes of a stream say about those that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotStream {
    /// A snapshot file from its beginning; which one, it says itself.
    Plain,
    /// The bytes of `snapshot` from `offset` on.
    Part { snapshot: SnapshotId, offset: u64 },
}

impl SnapshotStream {
    /// Appends the head; nothing for a plain file.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let SnapshotStream::Part { snapshot, offset } = self else { return };
        let start = out.len();
        let SnapshotId { position, chain, bytes, digest } = snapshot;
        out.put_slice(MAGIC);
        out.put_u64_le(position.epoch.number);
        out.put_u64_le(position.epoch.node.0);
        out.put_u64_le(position.epoch.incarnation);
        out.put_u64_le(position.lsn.0);
        out.put_u64_le(*chain);
        out.put_u64_le(*bytes);
        out.put_u128_le(*digest);
        out.put_u64_le(*offset);
        let crc = crc32fast::hash(&out[start..]);
        out.put_u32_le(crc);
    }

    /// Reads the head from the first bytes of a stream, and says how many of them it takes; `None`
    /// where that is not yet to be seen.
    pub fn decode(bytes: &[u8]) -> Result<Option<(SnapshotStream, usize)>, DecodeError> {
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            return Ok(Some((SnapshotStream::Plain, 0)));
        }
        let Some((mut head, mut crc)) =
            bytes.get(..STREAM_HEAD_BYTES).map(|head| head.split_at(STREAM_HEAD_BYTES - 4))
        else {
            return Ok(None);
        };
        if crc32fast::hash(head) != crc.get_u32_le() {
            return Err(DecodeError::Invalid);
        }
        head.advance(MAGIC.len());
        let epoch = Epoch {
            number: head.get_u64_le(),
            node: NodeId(head.get_u64_le()),
            incarnation: head.get_u64_le(),
        };
        let position = Position { epoch, lsn: Lsn(head.get_u64_le()) };
        let (chain, bytes, digest) = (head.get_u64_le(), head.get_u64_le(), head.get_u128_le());
        let snapshot = SnapshotId { position, chain, bytes, digest };
        let offset = head.get_u64_le();
        if offset > snapshot.bytes {
            return Err(DecodeError::Invalid);
        }
        Ok(Some((SnapshotStream::Part { snapshot, offset }, STREAM_HEAD_BYTES)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> SnapshotStream {
        let epoch = Epoch { number: 3, node: NodeId(0xabcd), incarnation: 2 };
        let position = Position { epoch, lsn: Lsn(9) };
        let snapshot = SnapshotId { position, chain: 77, bytes: 5000, digest: 1 << 100 | 3 };
        SnapshotStream::Part { snapshot, offset: 4096 }
    }

    fn head() -> Vec<u8> {
        let mut out = Vec::new();
        part().encode(&mut out);
        out
    }

    #[test]
    fn a_head_comes_back_as_it_was() {
        let mut bytes = head();
        bytes.extend_from_slice(b"the file goes on");
        assert_eq!(SnapshotStream::decode(&bytes), Ok(Some((part(), STREAM_HEAD_BYTES))));
        for length in 0..STREAM_HEAD_BYTES {
            assert_eq!(SnapshotStream::decode(&bytes[..length]), Ok(None), "{length} bytes");
        }
    }

    #[test]
    fn a_part_begins_within_its_file_or_at_its_end() {
        let SnapshotStream::Part { snapshot, .. } = part() else { unreachable!("it is a part") };
        for (offset, is_right) in [(0, true), (4999, true), (5000, true), (5001, false)] {
            let mut bytes = Vec::new();
            SnapshotStream::Part { snapshot, offset }.encode(&mut bytes);
            assert_eq!(SnapshotStream::decode(&bytes).is_ok(), is_right, "{offset}");
        }
    }

    #[test]
    fn a_file_of_protocol_1_is_told_from_its_first_bytes() {
        assert_eq!(SnapshotStream::decode(b"\x89MGSNP\r\n"), Ok(Some((SnapshotStream::Plain, 0))));
        assert_eq!(SnapshotStream::decode(b"\x89MGS"), Ok(Some((SnapshotStream::Plain, 0))));
        assert_eq!(SnapshotStream::decode(b"\x89MG"), Ok(None));
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        for bit in 0..STREAM_HEAD_BYTES * 8 {
            let mut bytes = head();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = SnapshotStream::decode(&bytes);
            assert!(read.is_err() || read == Ok(Some((SnapshotStream::Plain, 0))), "bit {bit}: {read:?}");
        }
    }

    /// Nodes of this version exist, and files with this head: it is read for ever.
    #[test]
    fn the_head_looks_as_it_always_did() {
        let hex: String = head().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            concat!(
                "894d475041520d0a0300000000000000cdab00000000000002000000000000000900000000000000",
                "4d000000000000008813000000000000030000000000000000000000100000000010000000000000",
                "d074880c",
            )
        );
    }
}
