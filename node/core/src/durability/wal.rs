//! One WAL segment: its header, and how it is read back.
//!
//! A segment is a file that was written out with zeroes before its first use, so that an append
//! neither grows it nor runs out of room. Its first 512 bytes are the header, frames follow without
//! gaps (see [`record`](super::record)), zeroes fill the rest. Little-endian:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | `89 'M' 'G' 'W' 'A' 'L' 0D 0A` |
//! | 8 | 4 | version: 2 |
//! | 12 | 4 | zero |
//! | 16 | 8 | node id |
//! | 24 | 8 | sequence number of the segment, rising by 1 |
//! | 32 | 8 | LSN of its first record |
//! | 40 | 8 | chain hash before that record |
//! | 48 | 8 | length of the file; 0: not known, as during a repair |
//! | 56 | 4 | zero |
//! | 60 | 4 | CRC-32 of bytes 0 to 59, in this and all later versions |
//! | 64 | 448 | zero |
//!
//! Version 1 has zeroes at 48, and is otherwise the same.
//!
//! A header of zeroes is a segment prepared and not yet used. The header is written only after
//! everything in the segment before is durable, so only the last used segment can end in an
//! unfinished write.
//!
//! # Where a log ends
//!
//! A write that was cut short leaves what was there before, zeroes, in whole 512-byte sectors, in any
//! subset of the sectors that were not yet synced. Damage looks different. So at the first place
//! that holds no sound frame:
//! - the file is shorter than its header says: it was cut off, which is damage. Its length was durable
//!   before its first use, so no power cut does that;
//! - zeroes up to the end of the file: the end, and nothing is missing;
//! - what is there can come from an unfinished write (some sector of the frame is zero, its last
//!   byte is zero, or a file of unknown length ends inside it), and no later record says that this one was durable:
//!   a torn tail, to be cut. Nobody was told that it, or anything after it, is durable;
//! - anything else is corruption, whether sound records follow or not.

use super::bytes::{Fields, PutFields};
use super::record::{FRAME_HEADER_BYTES, Frame, FrameHeader, LoggedRecord, read_frame};
use crate::types::{CommitRecord, Lsn, NodeId, chain_next};
use bytes::Bytes;

/// Where the first frame of a segment begins.
pub const SEGMENT_HEADER_BYTES: usize = 512;

const MAGIC: &[u8; 8] = b"\x89MGWAL\r\n";
const VERSION: u32 = 2;
/// Without the length of the file.
const VERSION_1: u32 = 1;
const HEADER_FIELDS_BYTES: usize = 64;
const SECTOR: usize = 512;

/// What the start of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub node: NodeId,
    pub sequence: u64,
    pub first: Lsn,
    /// Chain hash before the record `first`.
    pub chain: u64,
    /// Length of the file; 0 where it is not known.
    pub bytes: u64,
}

/// Why a file is not a segment that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    #[error("it is not a WAL segment")]
    Foreign,
    #[error("its header is damaged")]
    Damaged,
    #[error("it was written by a newer version of mgnode (WAL version {0}, this one reads {VERSION})")]
    Newer(u32),
}

impl SegmentHeader {
    /// Returns the first [`SEGMENT_HEADER_BYTES`] of a segment.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        out.extend_from_slice(MAGIC);
        out.put_u32(VERSION);
        out.put_u32(0);
        out.put_u64(self.node.0);
        out.put_u64(self.sequence);
        out.put_u64(self.first.0);
        out.put_u64(self.chain);
        out.put_u64(self.bytes);
        out.resize(HEADER_FIELDS_BYTES - 4, 0);
        let crc = crc32fast::hash(&out);
        out.put_u32(crc);
        out.resize(SEGMENT_HEADER_BYTES, 0);
        out
    }

    /// Reads a header from the start of a file; `None` where the segment was prepared and not used.
    pub fn decode(bytes: &[u8]) -> Result<Option<SegmentHeader>, SegmentError> {
        let head = &bytes[..bytes.len().min(SEGMENT_HEADER_BYTES)];
        if head.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        let known = head.len().min(MAGIC.len());
        if head[..known] != MAGIC[..known] {
            // One flipped bit must not pass for a foreign file.
            let alike = head.iter().zip(MAGIC).filter(|(a, b)| a == b).count();
            return Err(if alike >= 6 { SegmentError::Damaged } else { SegmentError::Foreign });
        }
        if head.len() < SEGMENT_HEADER_BYTES {
            return Err(SegmentError::Damaged);
        }
        let (fields, rest) = head.split_at(HEADER_FIELDS_BYTES);
        let (fields, crc) = fields.split_at(HEADER_FIELDS_BYTES - 4);
        if crc32fast::hash(fields).to_le_bytes() != crc {
            return Err(SegmentError::Damaged);
        }
        let mut fields = Fields::new(&fields[MAGIC.len()..]);
        let version = fields.u32().ok_or(SegmentError::Damaged)?;
        if version > VERSION {
            return Err(SegmentError::Newer(version));
        }
        let header = (|| {
            let _zero = fields.u32()?;
            Some(SegmentHeader {
                node: NodeId(fields.u64()?),
                sequence: fields.u64()?,
                first: Lsn(fields.u64()?),
                chain: fields.u64()?,
                bytes: fields.u64()?,
            })
        })();
        let is_known = |h: &SegmentHeader| version == VERSION || version == VERSION_1 && h.bytes == 0;
        match header {
            Some(header) if is_known(&header) && rest.iter().all(|b| *b == 0) => Ok(Some(header)),
            _ => Err(SegmentError::Damaged),
        }
    }
}

/// How the records of a segment end. Offsets are the file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentEnd {
    /// Nothing but zeroes follows.
    Clean { offset: u64 },
    /// A write was cut short here. What follows was never reported durable.
    Torn { offset: u64 },
    /// What stands here was damaged after it was written.
    Corrupt { offset: u64, reason: String },
    /// A record that only a newer version knows.
    Newer { offset: u64, lsn: Lsn, kind: u8, version: u8 },
}

/// Reads the records of one segment.
pub struct Scanner {
    bytes: Bytes,
    header: SegmentHeader,
    offset: usize,
    next: Lsn,
    chain: u64,
    end: Option<SegmentEnd>,
}

impl Scanner {
    /// Begins with a whole segment; `None` where it was prepared and not used.
    ///
    /// A header of zeroes before records that were durable is damage; before others it is the
    /// trace of an unfinished write, and the segment counts as not used.
    pub fn new(bytes: Bytes) -> Result<Option<Scanner>, SegmentError> {
        let Some(header) = SegmentHeader::decode(&bytes)? else {
            // The header shares its first sync with the first records.
            let mut first = None;
            let lost = later_records(&bytes, SEGMENT_HEADER_BYTES).any(|later| {
                let first = *first.get_or_insert(later.lsn);
                later.synced >= first
            });
            return if lost { Err(SegmentError::Damaged) } else { Ok(None) };
        };
        Ok(Some(Scanner {
            bytes,
            header,
            offset: SEGMENT_HEADER_BYTES,
            next: header.first,
            chain: header.chain,
            end: None,
        }))
    }

    /// Returns the segment's header.
    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// Returns where the next record would begin.
    pub fn offset(&self) -> u64 {
        self.offset as u64
    }

    /// Returns the next record, or how they end. After the end it is the same end again.
    pub fn next_record(&mut self) -> Result<LoggedRecord, SegmentEnd> {
        if let Some(end) = &self.end {
            return Err(end.clone());
        }
        let end = match self.read() {
            Ok(logged) => {
                self.next = logged.record.lsn.next();
                self.chain = logged.chain;
                return Ok(logged);
            }
            Err(end) => end,
        };
        self.end = Some(end.clone());
        Err(end)
    }

    fn read(&mut self) -> Result<LoggedRecord, SegmentEnd> {
        let offset = self.offset as u64;
        let corrupt = |reason: String| SegmentEnd::Corrupt { offset, reason };
        let known = match read_frame(&self.bytes[self.offset..], offset) {
            Frame::Good { header, payload } => {
                let start = self.offset + FRAME_HEADER_BYTES;
                let logged = header.logged(self.bytes.slice(start..start + payload.len()));
                self.follows(&logged.record, logged.chain).map_err(corrupt)?;
                self.offset += header.frame_bytes();
                return Ok(logged);
            }
            Frame::Unknown { header, kind, version } => {
                return Err(SegmentEnd::Newer { offset, lsn: header.lsn, kind, version });
            }
            Frame::BadBody { header } => Some(header),
            Frame::BadHeader => None,
        };
        let length = self.bytes.len() as u64;
        if length < self.header.bytes {
            let made = self.header.bytes;
            return Err(corrupt(format!(
                "the file was cut off: it is {length} bytes long and was made with {made}"
            )));
        }
        if self.bytes[self.offset..].iter().all(|b| *b == 0) {
            return Err(SegmentEnd::Clean { offset });
        }
        let from = self.offset + 8;
        if let Some(later) = later_records(&self.bytes, from).find(|h| h.synced >= self.next) {
            return Err(corrupt(format!(
                "record {} is damaged, and record {} follows it",
                self.next, later.lsn
            )));
        }
        if unfinished(&self.bytes, self.offset, known) {
            return Err(SegmentEnd::Torn { offset });
        }
        Err(corrupt(format!("record {} is damaged", self.next)))
    }

    fn follows(&self, record: &CommitRecord, chain: u64) -> Result<(), String> {
        if record.lsn != self.next {
            return Err(format!("record {} stands where {} belongs", record.lsn, self.next));
        }
        if chain_next(self.chain, record) != chain {
            return Err(format!("record {} does not follow from those before it", record.lsn));
        }
        Ok(())
    }
}

/// Finds sound frames from `from` on, wherever they begin.
fn later_records(bytes: &[u8], from: usize) -> impl Iterator<Item = FrameHeader> {
    let mut offset = from;
    std::iter::from_fn(move || {
        while offset + FRAME_HEADER_BYTES < bytes.len() {
            // Most of a prepared segment is zero, and a frame never begins with eight zeroes.
            if bytes[offset..offset + 8] != [0; 8]
                && let Frame::Good { header, .. } | Frame::Unknown { header, .. } =
                    read_frame(&bytes[offset..], offset as u64)
            {
                offset += header.frame_bytes();
                return Some(header);
            }
            offset += 8;
        }
        None
    })
}

/// Whether the bad frame at `offset` can come from a write that was cut short.
fn unfinished(bytes: &[u8], offset: usize, header: Option<FrameHeader>) -> bool {
    let length = header.map_or(FRAME_HEADER_BYTES, |h| h.frame_bytes());
    let Some(frame) = bytes.get(offset..offset + length) else {
        return true;
    };
    if header.is_some() && frame.last() == Some(&0) {
        return true;
    }
    if header.is_none() && bytes[offset + FRAME_HEADER_BYTES..].iter().all(|b| *b == 0) {
        return true;
    }
    let mut start = offset;
    while start < offset + length {
        let end = (start + 1).next_multiple_of(SECTOR).min(offset + length);
        if bytes[start..end].iter().all(|b| *b == 0) {
            return true;
        }
        start = end;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Dice, LogWriter, NODE};
    use super::*;

    /// Reads a segment; the LSNs found, and how they end.
    fn scan(bytes: &[u8]) -> (Vec<u64>, SegmentEnd) {
        let mut scanner = Scanner::new(Bytes::copy_from_slice(bytes)).unwrap().expect("used");
        let mut found = Vec::new();
        loop {
            match scanner.next_record() {
                Ok(logged) => found.push(logged.record.lsn.0),
                Err(end) => return (found, end),
            }
        }
    }

    fn up_to(n: usize) -> Vec<u64> {
        (1..=n as u64).collect()
    }

    #[test]
    fn zeroes_are_a_clean_end() {
        let mut log = LogWriter::new();
        log.batch(1, 5, 40);
        let end = log.records[4].3 as u64;
        assert_eq!(scan(&log.segments[0]), (up_to(5), SegmentEnd::Clean { offset: end }));
        assert_eq!(scan(&log.segments[0][..end as usize]), (up_to(5), SegmentEnd::Clean { offset: end }));
    }

    #[test]
    fn a_log_cut_at_any_byte_ends_before_the_cut() {
        for payload_bytes in [0, 5, 700] {
            let mut log = LogWriter::new();
            for _ in 0..6 {
                log.batch(1, 1, payload_bytes);
            }
            let bytes = &log.segments[0];
            for cut in log.records[3].2..=log.records[5].3 {
                let whole = log.records.iter().filter(|r| r.3 <= cut).count();
                let offset = log.records[whole.max(1) - 1].3 as u64;
                let mut zeroed = bytes.clone();
                zeroed[cut..].fill(0);
                for (how, bytes) in [("shorter", &bytes[..cut]), ("zeroed", &zeroed)] {
                    let (found, end) = scan(bytes);
                    assert_eq!(found, up_to(whole), "{how} at {cut}");
                    assert!(
                        end == SegmentEnd::Clean { offset } || end == SegmentEnd::Torn { offset },
                        "{how} at {cut}: {end:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_found_and_never_taken_for_a_torn_write() {
        for payload_bytes in [0, 9, 600] {
            let mut log = LogWriter::new();
            log.batch(1, 2, payload_bytes);
            log.batch(1, 3, payload_bytes);
            for (i, (_, _, start, end)) in log.records.iter().enumerate() {
                for bit in start * 8..end * 8 {
                    let mut bytes = log.segments[0].clone();
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    let (found, how) = scan(&bytes);
                    assert_eq!(found, up_to(i), "bit {bit} of record {}", i + 1);
                    let offset = *start as u64;
                    assert!(
                        matches!(&how, SegmentEnd::Corrupt { offset: o, .. } if *o == offset),
                        "bit {bit} of record {}: {how:?}",
                        i + 1
                    );
                }
            }
        }
    }

    #[test]
    fn any_subset_of_unsynced_sectors_is_a_torn_tail() {
        let mut dice = Dice(1);
        for round in 0..2000 {
            let mut log = LogWriter::new();
            log.batch(1, 1 + dice.roll(5), dice.roll(300));
            let synced = log.records.len();
            let old = log.segments[0].clone();
            for _ in 0..dice.roll(12) {
                let payload = (0..dice.roll(1200)).map(|i| i as u8 | 1).collect();
                log.append(1, payload);
            }
            let mut bytes = log.segments[0].clone();
            let mut lost = bytes.len();
            for sector in 0..bytes.len() / SECTOR {
                let range = sector * SECTOR..(sector + 1) * SECTOR;
                if dice.roll(3) == 0 && bytes[range.clone()] != old[range.clone()] {
                    bytes[range.clone()].copy_from_slice(&old[range.clone()]);
                    let first_new = log.records.get(synced).map_or(range.start, |r| r.2.max(range.start));
                    lost = lost.min(first_new);
                }
            }
            let whole = log.records.iter().filter(|r| r.3 <= lost).count();
            let (found, end) = scan(&bytes);
            assert_eq!(found, up_to(whole), "round {round}");
            assert!(whole >= synced && !matches!(end, SegmentEnd::Corrupt { .. }), "round {round}: {end:?}");
        }
    }

    #[test]
    fn a_lost_sector_that_was_durable_is_damage() {
        let mut log = LogWriter::new();
        log.batch(1, 3, 2000);
        log.batch(1, 1, 2000);
        let mut bytes = log.segments[0].clone();
        let sector = (log.records[1].2 / SECTOR + 1) * SECTOR;
        bytes[sector..sector + SECTOR].fill(0);
        let (found, end) = scan(&bytes);
        assert_eq!(found, [1]);
        assert!(matches!(end, SegmentEnd::Corrupt { .. }), "{end:?}");
    }

    #[test]
    fn a_sound_record_out_of_place_is_damage() {
        let mut log = LogWriter::new();
        log.batch(1, 3, 10);
        let mut other = LogWriter::new();
        other.batch(2, 3, 10);
        let (_, _, start, end) = log.records[1];
        let mut bytes = log.segments[0].clone();
        bytes[start..end].copy_from_slice(&other.segments[0][start..end]);
        let (found, how) = scan(&bytes);
        assert_eq!(found, [1]);
        let SegmentEnd::Corrupt { reason, .. } = how else { panic!("{how:?}") };
        assert_eq!(reason, "record 2 does not follow from those before it");
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_seen() {
        let mut log = LogWriter::new();
        log.batch(1, 1, 10);
        for bit in 0..SEGMENT_HEADER_BYTES * 8 {
            let mut bytes = log.segments[0].clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_lost_header_is_damage_only_before_durable_records() {
        let mut log = LogWriter::new();
        log.batch(1, 2, 10);
        let mut bytes = log.segments[0].clone();
        bytes[..SEGMENT_HEADER_BYTES].fill(0);
        assert!(Scanner::new(bytes.into()).unwrap().is_none());
        log.batch(1, 1, 10);
        let mut bytes = log.segments[0].clone();
        bytes[..SEGMENT_HEADER_BYTES].fill(0);
        assert_eq!(Scanner::new(bytes.into()).err(), Some(SegmentError::Damaged));
    }

    #[test]
    fn other_files_and_newer_versions_are_refused_by_name() {
        assert_eq!(SegmentHeader::decode(&[7; 600]), Err(SegmentError::Foreign));
        let mut newer = SegmentHeader { node: NODE, sequence: 1, first: Lsn(1), chain: 0, bytes: 0 }.encode();
        newer[8] = 3;
        let crc = crc32fast::hash(&newer[..60]);
        newer[60..64].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&newer), Err(SegmentError::Newer(3)));
    }

    /// Files of these versions exist: whoever changes these bytes must raise the version and go on
    /// reading them.
    #[test]
    fn versions_1_and_2_are_read_for_ever() {
        let unhex = |hex: &str| -> Vec<u8> {
            let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
            let mut bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
            bytes.resize(SEGMENT_HEADER_BYTES, 0);
            bytes
        };
        let mut header =
            SegmentHeader { node: NodeId(0x0102), sequence: 3, first: Lsn(4), chain: 5, bytes: 0 };
        let first = concat!(
            "894d4757414c0d0a010000000000000002010000000000000300000000000000",
            "04000000000000000500000000000000000000000000000000000000bf133705"
        );
        assert_eq!(SegmentHeader::decode(&unhex(first)), Ok(Some(header)));
        header.bytes = 0x10_0000;
        let second = concat!(
            "894d4757414c0d0a020000000000000002010000000000000300000000000000",
            "040000000000000005000000000000000000100000000000000000004096cc98"
        );
        assert_eq!(header.encode(), unhex(second));
        assert_eq!(SegmentHeader::decode(&unhex(second)), Ok(Some(header)));
    }

    #[test]
    fn a_file_of_known_length_that_was_cut_off_is_damaged() {
        let mut log = LogWriter::new();
        log.batch(1, 4, 100);
        let mut bytes = log.segments[0].clone();
        let mut header = SegmentHeader::decode(&bytes).unwrap().unwrap();
        header.bytes = bytes.len() as u64;
        bytes[..SEGMENT_HEADER_BYTES].copy_from_slice(&header.encode());
        assert_eq!(scan(&bytes).0, up_to(4));
        for cut in SEGMENT_HEADER_BYTES..bytes.len() {
            let whole = log.records.iter().filter(|r| r.3 <= cut).count();
            let (found, end) = scan(&bytes[..cut]);
            assert_eq!(found, up_to(whole), "cut at {cut}");
            assert!(matches!(end, SegmentEnd::Corrupt { .. }), "cut at {cut}: {end:?}");
        }
        for cut in 1..SEGMENT_HEADER_BYTES {
            assert_eq!(SegmentHeader::decode(&bytes[..cut]), Err(SegmentError::Damaged), "cut at {cut}");
        }
    }
}
