//! A snapshot: the whole graph at one position, as a file and as a stream between nodes.
//!
//! All numbers are little-endian. A header, then blocks, then a footer; nothing follows.
//!
//! Header:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | `89 'M' 'G' 'S' 'N' 'P' 0D 0A` |
//! | 8 | 4 | version: 1 |
//! | 12 | 4 | H, bytes from here up to the first block |
//! | 16 | 32 | position of the last record: epoch number, node, incarnation, LSN |
//! | 48 | 8 | chain hash after that record |
//! | 56 | 8 | its `ts` |
//! | 64 | 4 | entries of the history |
//! | 68 | 32 each | epoch number, node, incarnation, first LSN |
//! | 8 + H | 4 | CRC-32 of everything before, in this and all later versions |
//!
//! Block, any number of them, each readable without the others:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | `blk1` |
//! | 4 | 4 | payload length, at most 2^30 |
//! | 8 | 4 | CRC-32 of the payload |
//! | 12 | 4 | CRC-32 of bytes 0 to 11 |
//! | 16 | n | payload: encoded changes that build this part of an empty graph |
//!
//! Footer: a block with `foot` in place of `blk1`. Its payload is the number of blocks (8), for
//! each its offset (8) and payload length (4), and the XXH3-128 of every byte before the footer
//! (16). After it come the footer's offset (8) and `MGSNPEND`, so that a reader may begin there.

use super::bytes::{Fields, PutFields};
use crate::types::{Epoch, History, Lsn, NodeId, Position, SnapshotId};
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::ops::Range;
use xxhash_rust::xxh3::Xxh3;

/// What a snapshot stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The last record that it holds.
    pub position: Position,
    /// Chain hash at that record.
    pub chain: u64,
    /// `ts` of that record.
    pub ts: u64,
    /// History up to that record.
    pub history: History,
}

impl SnapshotHeader {
    /// Names the file of that length and digest that begins with this header.
    pub fn id(&self, bytes: u64, digest: u128) -> SnapshotId {
        SnapshotId { position: self.position, chain: self.chain, bytes, digest }
    }
}

const MAGIC: &[u8; 8] = b"\x89MGSNP\r\n";
const VERSION: u32 = 1;
const BLOCK: &[u8; 4] = b"blk1";
const FOOTER: &[u8; 4] = b"foot";
const END: &[u8; 8] = b"MGSNPEND";
const BLOCK_HEAD_BYTES: usize = 16;
const TRAILER_BYTES: usize = 16;
const BLOCK_BYTES_MAX: usize = 1 << 30;
/// Enough for a promotion every minute for a year, small enough to wait for.
const HEADER_BYTES_MAX: usize = 32 << 20;

/// Why a snapshot cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error("it is not a snapshot")]
    Foreign,
    #[error("it was written by a newer version of mgnode (snapshot version {0}, this one reads {VERSION})")]
    Newer(u32),
    #[error("it is damaged at byte {0}")]
    Damaged(u64),
    #[error("it ends at byte {0}, before its footer")]
    CutOff(u64),
}

/// Turns a header and blocks into the bytes of a snapshot.
pub struct SnapshotEncoder {
    digest: Xxh3,
    offset: u64,
    index: Vec<(u64, u32)>,
}

impl SnapshotEncoder {
    /// Begins a snapshot and appends its first bytes.
    pub fn new(header: &SnapshotHeader, out: &mut Vec<u8>) -> SnapshotEncoder {
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.put_u32(VERSION);
        out.put_u32(0);
        put_position(out, header.position.epoch, header.position.lsn);
        out.put_u64(header.chain);
        out.put_u64(header.ts);
        out.put_u32(u32::try_from(header.history.starts.len()).expect("one entry a promotion or start"));
        for (epoch, first) in &header.history.starts {
            put_position(out, *epoch, *first);
        }
        let length = u32::try_from(out.len() + 4 - start - 12).expect("as above");
        out[start + 12..start + 16].copy_from_slice(&length.to_le_bytes());
        let crc = crc32fast::hash(&out[start..]);
        out.put_u32(crc);
        let mut encoder = SnapshotEncoder { digest: Xxh3::new(), offset: 0, index: Vec::new() };
        encoder.count(&out[start..]);
        encoder
    }

    /// Appends a block.
    ///
    /// # Panics
    /// Where the payload is longer than 2^30 bytes.
    pub fn block(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        self.index.push((self.offset, put_block(BLOCK, payload, out)));
        self.count(&out[start..]);
    }

    /// Appends the footer and returns the length and the digest of the whole.
    pub fn finish(self, out: &mut Vec<u8>) -> (u64, u128) {
        let start = out.len();
        let digest = self.digest.digest128();
        let mut footer = Vec::with_capacity(24 + 12 * self.index.len());
        footer.put_u64(self.index.len() as u64);
        for (offset, length) in self.index {
            footer.put_u64(offset);
            footer.put_u32(length);
        }
        footer.extend_from_slice(&digest.to_le_bytes());
        put_block(FOOTER, &footer, out);
        out.put_u64(self.offset);
        out.extend_from_slice(END);
        (self.offset + (out.len() - start) as u64, digest)
    }

    fn count(&mut self, written: &[u8]) {
        self.digest.update(written);
        self.offset += written.len() as u64;
    }
}

fn put_position(out: &mut Vec<u8>, epoch: Epoch, lsn: Lsn) {
    out.put_u64(epoch.number);
    out.put_u64(epoch.node.0);
    out.put_u64(epoch.incarnation);
    out.put_u64(lsn.0);
}

fn put_block(tag: &[u8; 4], payload: &[u8], out: &mut Vec<u8>) -> u32 {
    assert!(payload.len() <= BLOCK_BYTES_MAX, "a snapshot block of {} bytes", payload.len());
    let length = u32::try_from(payload.len()).expect("limited above");
    let start = out.len();
    out.reserve(BLOCK_HEAD_BYTES + payload.len());
    out.extend_from_slice(tag);
    out.put_u32(length);
    out.put_u32(crc32fast::hash(payload));
    let crc = crc32fast::hash(&out[start..]);
    out.put_u32(crc);
    out.extend_from_slice(payload);
    length
}

/// One piece of a snapshot, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotPart {
    Header(SnapshotHeader),
    /// Checked against its own sum. What the blocks build may be used only after `End`.
    Block(Bytes),
    /// Everything was there and every sum was right.
    End,
}

/// Reads a snapshot from bytes that come piece by piece, however they are cut.
pub struct SnapshotDecoder {
    pending: BytesMut,
    expects: Expects,
    digest: Xxh3,
    /// Where `pending` begins.
    offset: u64,
    index: Vec<(u64, u32)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    Header,
    Block,
    Trailer { footer: u64 },
    Nothing,
}

impl Default for SnapshotDecoder {
    fn default() -> Self {
        SnapshotDecoder {
            pending: BytesMut::new(),
            expects: Expects::Header,
            digest: Xxh3::new(),
            offset: 0,
            index: Vec::new(),
        }
    }
}

impl SnapshotDecoder {
    /// Hands in the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Returns the next part; `None` where more bytes are needed.
    pub fn next_part(&mut self) -> Result<Option<SnapshotPart>, SnapshotError> {
        match self.expects {
            Expects::Header => self.header(),
            Expects::Block => self.block(),
            Expects::Trailer { footer } => self.trailer(footer),
            Expects::Nothing if self.pending.is_empty() => Ok(None),
            Expects::Nothing => Err(self.damaged()),
        }
    }

    /// Returns where the part begins that `next_part` waits for.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Says whether the bytes handed in so far are a whole snapshot.
    pub fn finish(&self) -> Result<(), SnapshotError> {
        match self.expects {
            Expects::Nothing if self.pending.is_empty() => Ok(()),
            Expects::Nothing => Err(self.damaged()),
            _ => Err(SnapshotError::CutOff(self.offset + self.pending.len() as u64)),
        }
    }

    fn damaged(&self) -> SnapshotError {
        SnapshotError::Damaged(self.offset)
    }

    fn take(&mut self, length: usize, digested: bool) -> Bytes {
        if digested {
            self.digest.update(&self.pending[..length]);
        }
        self.offset += length as u64;
        self.pending.split_to(length).freeze()
    }

    fn header(&mut self) -> Result<Option<SnapshotPart>, SnapshotError> {
        let known = self.pending.len().min(MAGIC.len());
        if self.pending[..known] != MAGIC[..known] {
            return Err(SnapshotError::Foreign);
        }
        if self.pending.len() < 16 {
            return Ok(None);
        }
        let mut fields = Fields::new(&self.pending[8..16]);
        let (Some(version), Some(length)) = (fields.u32(), fields.u32()) else { return Ok(None) };
        let length = 12 + length as usize;
        if !(72..=HEADER_BYTES_MAX).contains(&length) {
            return Err(if version > VERSION { SnapshotError::Newer(version) } else { self.damaged() });
        }
        if self.pending.len() < length {
            return Ok(None);
        }
        let (fields, crc) = self.pending[..length].split_at(length - 4);
        if crc32fast::hash(fields).to_le_bytes() != crc {
            return Err(self.damaged());
        }
        if version > VERSION {
            return Err(SnapshotError::Newer(version));
        }
        let header = read_header(&fields[16..]).ok_or(self.damaged())?;
        self.take(length, true);
        self.expects = Expects::Block;
        Ok(Some(SnapshotPart::Header(header)))
    }

    fn block(&mut self) -> Result<Option<SnapshotPart>, SnapshotError> {
        let Some(head) = self.pending.first_chunk() else { return Ok(None) };
        let BlockHead { is_footer, length, payload_crc } = BlockHead::read(head).ok_or(self.damaged())?;
        if self.pending.len() < BLOCK_HEAD_BYTES + length as usize {
            return Ok(None);
        }
        let payload = &self.pending[BLOCK_HEAD_BYTES..BLOCK_HEAD_BYTES + length as usize];
        if crc32fast::hash(payload) != payload_crc {
            return Err(self.damaged());
        }
        let start = self.offset;
        if is_footer {
            self.check_footer(payload)?;
            self.take(BLOCK_HEAD_BYTES + length as usize, false);
            self.expects = Expects::Trailer { footer: start };
            return self.trailer(start);
        }
        self.index.push((start, length));
        let mut whole = self.take(BLOCK_HEAD_BYTES + length as usize, true);
        whole.advance(BLOCK_HEAD_BYTES);
        Ok(Some(SnapshotPart::Block(whole)))
    }

    fn check_footer(&self, payload: &[u8]) -> Result<(), SnapshotError> {
        let mut fields = Fields::new(payload);
        let mut sound = fields.u64() == Some(self.index.len() as u64);
        for (offset, length) in &self.index {
            sound = sound && fields.u64() == Some(*offset) && fields.u32() == Some(*length);
        }
        sound = sound && fields.u128() == Some(self.digest.digest128()) && fields.is_empty();
        if sound { Ok(()) } else { Err(self.damaged()) }
    }

    fn trailer(&mut self, footer: u64) -> Result<Option<SnapshotPart>, SnapshotError> {
        if self.pending.len() < TRAILER_BYTES {
            return Ok(None);
        }
        let mut fields = Fields::new(&self.pending[..TRAILER_BYTES]);
        if fields.u64() != Some(footer) || fields.bytes(8) != Some(END) {
            return Err(self.damaged());
        }
        self.take(TRAILER_BYTES, false);
        self.expects = Expects::Nothing;
        Ok(Some(SnapshotPart::End))
    }
}

/// What stands before the payload of a block or of the footer.
struct BlockHead {
    is_footer: bool,
    length: u32,
    payload_crc: u32,
}

impl BlockHead {
    fn read(head: &[u8; BLOCK_HEAD_BYTES]) -> Option<BlockHead> {
        let mut fields = Fields::new(&head[4..]);
        let (length, payload_crc, head_crc) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let is_footer = &head[..4] == FOOTER;
        let known = is_footer || &head[..4] == BLOCK;
        let sound = known && length as usize <= BLOCK_BYTES_MAX && crc32fast::hash(&head[..12]) == head_crc;
        sound.then_some(BlockHead { is_footer, length, payload_crc })
    }
}

fn read_header(fields: &[u8]) -> Option<SnapshotHeader> {
    let mut fields = Fields::new(fields);
    let (epoch, lsn) = read_position(&mut fields)?;
    let (chain, ts) = (fields.u64()?, fields.u64()?);
    let entries = fields.u32()?;
    let mut history = History::default();
    for _ in 0..entries {
        let (epoch, first) = read_position(&mut fields)?;
        if history.starts.last().is_some_and(|(e, f)| *e >= epoch || *f >= first) {
            return None;
        }
        history.starts.push((epoch, first));
    }
    fields.is_empty().then_some(SnapshotHeader { position: Position { epoch, lsn }, chain, ts, history })
}

fn read_position(fields: &mut Fields) -> Option<(Epoch, Lsn)> {
    let epoch = Epoch { number: fields.u64()?, node: NodeId(fields.u64()?), incarnation: fields.u64()? };
    Some((epoch, Lsn(fields.u64()?)))
}

/// The bytes of a snapshot file, from anywhere.
pub trait SnapshotSource: Sync {
    /// Returns how many there are.
    fn bytes(&self) -> u64;
    /// Returns `length` bytes from `offset` on; an error where there are fewer.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes>;
}

impl SnapshotSource for Bytes {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let range = from..from.saturating_add(length);
        if range.end > self.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(self.slice(range))
    }
}

/// Why a snapshot cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A block whose sum is right, and that was refused all the same.
    #[error("{0}")]
    DoesNotFit(String),
}

/// What head and foot of a snapshot file say. Its blocks can be read in any order, and at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotIndex {
    pub header: SnapshotHeader,
    pub id: SnapshotId,
    /// Offset of each block, and length of its payload.
    blocks: Vec<(u64, u32)>,
    footer: u64,
}

impl SnapshotIndex {
    /// Reads head and foot. Whatever lies between is not looked at.
    pub fn read(source: &dyn SnapshotSource) -> Result<SnapshotIndex, Unreadable> {
        let bytes = source.bytes();
        let mut decoder = SnapshotDecoder::default();
        let mut at = 0;
        let header = loop {
            if let Some(SnapshotPart::Header(header)) = decoder.next_part()? {
                break header;
            }
            if at == bytes {
                return Err(SnapshotError::CutOff(bytes).into());
            }
            let piece = source.read_at(at, piece_bytes(at..bytes, 64 << 10))?;
            at += piece.len() as u64;
            decoder.push(&piece);
        };
        let first = decoder.offset();
        let cut_off = || SnapshotError::CutOff(bytes);
        let trailer_at = bytes.checked_sub(TRAILER_BYTES as u64).ok_or_else(cut_off)?;
        let trailer = source.read_at(trailer_at, TRAILER_BYTES)?;
        let mut fields = Fields::new(&trailer);
        let footer = fields.u64().ok_or_else(cut_off)?;
        if fields.bytes(8) != Some(END) {
            return Err(cut_off().into());
        }
        let payload_at = footer.saturating_add(BLOCK_HEAD_BYTES as u64);
        if footer < first || payload_at > trailer_at {
            return Err(SnapshotError::Damaged(trailer_at).into());
        }
        let damaged = || SnapshotError::Damaged(footer);
        let whole = source.read_at(footer, usize::try_from(trailer_at - footer).map_err(|_| damaged())?)?;
        let payload = checked_payload(&whole, true).ok_or_else(damaged)?;
        let (blocks, digest) = read_footer(&payload, first..footer).ok_or_else(damaged)?;
        let id = header.id(bytes, digest);
        Ok(SnapshotIndex { header, id, blocks, footer })
    }

    /// Returns how many blocks there are.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Returns the bytes of the payloads of all blocks.
    pub fn payload_bytes(&self) -> u64 {
        self.blocks.iter().map(|(_, length)| u64::from(*length)).sum()
    }

    /// Reads a block and checks its sum.
    pub fn block(&self, source: &dyn SnapshotSource, block: usize) -> Result<Bytes, Unreadable> {
        let (offset, length) = self.blocks[block];
        let whole = source.read_at(offset, BLOCK_HEAD_BYTES + length as usize)?;
        Ok(checked_payload(&whole, false).ok_or(SnapshotError::Damaged(offset))?)
    }

    /// Hashes the file and compares that with what its foot says.
    pub fn check_digest(&self, source: &dyn SnapshotSource) -> Result<(), Unreadable> {
        let mut digest = Xxh3::new();
        let mut at = 0;
        while at < self.footer {
            let piece = source.read_at(at, piece_bytes(at..self.footer, 1 << 20))?;
            at += piece.len() as u64;
            digest.update(&piece);
        }
        if digest.digest128() == self.id.digest {
            Ok(())
        } else {
            Err(SnapshotError::Damaged(self.footer).into())
        }
    }
}

fn piece_bytes(left: Range<u64>, most: usize) -> usize {
    usize::try_from(left.end - left.start).map_or(most, |left| left.min(most))
}

/// Returns the payload of a block, or of the footer, that is `whole`, where its sums are right.
fn checked_payload(whole: &Bytes, is_footer: bool) -> Option<Bytes> {
    let head = BlockHead::read(whole.first_chunk()?)?;
    let payload = whole.slice(BLOCK_HEAD_BYTES..);
    let sound = head.is_footer == is_footer
        && head.length as usize == payload.len()
        && crc32fast::hash(&payload) == head.payload_crc;
    sound.then_some(payload)
}

/// Returns the blocks, which must fill `between`, and the digest.
fn read_footer(payload: &[u8], between: Range<u64>) -> Option<(Vec<(u64, u32)>, u128)> {
    let mut fields = Fields::new(payload);
    let count = usize::try_from(fields.u64()?).ok()?;
    if payload.len() != count.checked_mul(12)?.checked_add(24)? {
        return None;
    }
    let mut blocks = Vec::with_capacity(count);
    let mut next = between.start;
    for _ in 0..count {
        let (offset, length) = (fields.u64()?, fields.u32()?);
        if offset != next || length as usize > BLOCK_BYTES_MAX {
            return None;
        }
        blocks.push((offset, length));
        next = offset.checked_add(BLOCK_HEAD_BYTES as u64 + u64::from(length))?;
    }
    (next == between.end).then_some((blocks, fields.u128()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u64) -> Epoch {
        Epoch { number, node: NodeId(0xAB), incarnation: 1 }
    }

    fn header() -> SnapshotHeader {
        SnapshotHeader {
            position: Position { epoch: epoch(2), lsn: Lsn(9) },
            chain: 77,
            ts: 12,
            history: History { starts: vec![(epoch(1), Lsn(1)), (epoch(2), Lsn(5))] },
        }
    }

    fn example(blocks: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = SnapshotEncoder::new(&header(), &mut out);
        for block in blocks {
            encoder.block(block, &mut out);
        }
        encoder.finish(&mut out);
        out
    }

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<SnapshotPart>, SnapshotError> {
        let mut decoder = SnapshotDecoder::default();
        let mut parts = Vec::new();
        for piece in bytes.chunks(piece) {
            decoder.push(piece);
            while let Some(part) = decoder.next_part()? {
                parts.push(part);
            }
        }
        decoder.finish()?;
        Ok(parts)
    }

    /// Reads a file by its index.
    fn read_by_index(bytes: &[u8]) -> Result<(SnapshotIndex, Vec<Bytes>), Unreadable> {
        let source = Bytes::copy_from_slice(bytes);
        let index = SnapshotIndex::read(&source)?;
        index.check_digest(&source)?;
        let blocks = (0..index.blocks()).map(|i| index.block(&source, i)).collect::<Result<_, _>>()?;
        Ok((index, blocks))
    }

    #[test]
    fn a_file_is_read_by_its_index_too() {
        let bytes = example(&[b"schema", b"", b"vertices"]);
        let (index, blocks) = read_by_index(&bytes).unwrap();
        assert_eq!(index.header, header());
        assert_eq!(blocks, [&b"schema"[..], b"", b"vertices"]);
        let mut out = Vec::new();
        let mut encoder = SnapshotEncoder::new(&header(), &mut out);
        encoder.block(b"schema", &mut out);
        encoder.block(b"", &mut out);
        encoder.block(b"vertices", &mut out);
        let (length, digest) = encoder.finish(&mut out);
        assert_eq!(index.id, header().id(length, digest));
        assert_eq!(length, bytes.len() as u64);
    }

    #[test]
    fn what_was_written_is_read_however_it_is_cut() {
        let bytes = example(&[b"schema", b"", b"vertices"]);
        let expected = vec![
            SnapshotPart::Header(header()),
            SnapshotPart::Block(Bytes::from_static(b"schema")),
            SnapshotPart::Block(Bytes::new()),
            SnapshotPart::Block(Bytes::from_static(b"vertices")),
            SnapshotPart::End,
        ];
        for piece in [1, 2, 7, 64, bytes.len()] {
            assert_eq!(read(&bytes, piece), Ok(expected.clone()), "pieces of {piece}");
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let bytes = example(&[b"schema", b"vertices"]);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad, bad.len()).is_err(), "bit {bit}");
            assert!(read_by_index(&bad).is_err(), "bit {bit} by the index");
        }
    }

    #[test]
    fn every_cut_and_every_addition_is_seen() {
        let bytes = example(&[b"schema", b"vertices"]);
        for length in 0..bytes.len() {
            assert_eq!(
                read(&bytes[..length], 64),
                Err(SnapshotError::CutOff(length as u64)),
                "{length} bytes"
            );
            let by_index = read_by_index(&bytes[..length]);
            assert!(matches!(by_index, Err(Unreadable::Snapshot(SnapshotError::CutOff(_)))), "{by_index:?}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(read(&longer, longer.len()), Err(SnapshotError::Damaged(bytes.len() as u64)));
        assert!(read_by_index(&longer).is_err());
    }

    #[test]
    fn what_follows_the_end_is_seen_at_once_and_at_the_finish() {
        let bytes = example(&[b"vertices"]);
        let mut decoder = SnapshotDecoder::default();
        decoder.push(&bytes);
        while decoder.next_part().unwrap() != Some(SnapshotPart::End) {}
        assert_eq!((decoder.finish(), decoder.next_part()), (Ok(()), Ok(None)));
        decoder.push(&[0]);
        let damaged = SnapshotError::Damaged(bytes.len() as u64);
        assert_eq!(decoder.finish(), Err(damaged.clone()));
        assert_eq!(decoder.next_part(), Err(damaged));
    }

    #[test]
    fn a_header_that_cannot_be_is_refused_before_it_is_waited_for() {
        let shortest = SnapshotHeader { history: History::default(), ..header() };
        let mut out = Vec::new();
        SnapshotEncoder::new(&shortest, &mut out).finish(&mut out);
        assert_eq!(read(&out, 64).map(|parts| parts.len()), Ok(2));
        let length = u32::from_le_bytes(out[12..16].try_into().unwrap());
        let longest = (HEADER_BYTES_MAX - 12) as u32;
        for (length, is_possible) in
            [(0, false), (length - 1, false), (length, true), (longest, true), (longest + 1, false)]
        {
            let mut decoder = SnapshotDecoder::default();
            decoder.push(&out[..12]);
            decoder.push(&length.to_le_bytes());
            let expected = if is_possible { Ok(None) } else { Err(SnapshotError::Damaged(0)) };
            assert_eq!(decoder.next_part(), expected, "a header of {length} bytes");
        }
    }

    #[test]
    fn a_block_that_is_missing_or_moved_is_seen() {
        let bytes = example(&[b"one", b"two"]);
        let first = 12 + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        let size = BLOCK_HEAD_BYTES + 3;
        let mut without = bytes.clone();
        without.drain(first..first + size);
        assert!(read(&without, 64).is_err());
        assert!(read_by_index(&without).is_err());
        let mut swapped = bytes.clone();
        swapped[first..first + 2 * size].rotate_left(size);
        assert!(read(&swapped, 64).is_err());
        assert!(read_by_index(&swapped).is_err());
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let mut bytes = example(&[]);
        bytes[8] = 2;
        let crc_at = 12 + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize - 4;
        let crc = crc32fast::hash(&bytes[..crc_at]);
        bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(read(&bytes, 64), Err(SnapshotError::Newer(2)));
    }

    /// Files of this version exist: whoever changes these bytes must raise the version and go on
    /// reading them.
    #[test]
    fn version_1_is_read_for_ever() {
        let hex: String = example(&[b"ab"]).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            concat!(
                "894d47534e500d0a010000007c0000000200000000000000ab000000000000000100000000000000",
                "09000000000000004d000000000000000c00000000000000020000000100000000000000ab000000",
                "00000000010000000000000001000000000000000200000000000000ab0000000000000001000000",
                "0000000005000000000000002c60cc14626c6b31020000006d48839e019ac6076162666f6f742400",
                "00003e0d43fcc1727af801000000000000008800000000000000020000001e9090098ae1c4bd961f",
                "1964e7d381bc9a000000000000004d47534e50454e44",
            )
        );
    }
}
