//! The file `decided`: how far the log may be shown.
//!
//! A record of a STRICT_SYNC commit, or of one that waits for SYNC replicas, is durable before it is
//! decided. Where such records may be, the node notes what it has shown before it shows it, so that a
//! restart shows neither less nor more; readers wait for it. It is written without a sync of its own: an older one that
//! a power cut leaves is on the safe side, and the cluster tells the rest. Where the log was not synced, a power cut may
//! leave a note that goes beyond its end: the node notes less, with a sync, before it writes on.
//!
//! Two slots of 512 bytes, written in turn, so that one that tears leaves the other. Little-endian:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | `89 'M' 'G' 'D' 'E' 'C' 0D 0A` |
//! | 8 | 4 | version: 1 |
//! | 12 | 4 | zero |
//! | 16 | 8 | number of the note, rising by 1; even ones are in the first slot |
//! | 24 | 8 | LSN of the last record that may be shown |
//! | 32 | 4 | CRC-32 of bytes 0 to 31, in this and all later versions |
//! | 36 | 476 | zero |

use super::bytes::{Fields, PutFields};
use crate::types::Lsn;

/// Bytes of one slot.
pub const DECIDED_SLOT_BYTES: usize = 512;

const MAGIC: &[u8; 8] = b"\x89MGDEC\r\n";
const VERSION: u32 = 1;

/// One note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    pub number: u64,
    pub lsn: Lsn,
}

/// Why the file cannot be used. Without it, every record of the log counts as decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecidedError {
    #[error("both of its notes are damaged")]
    Damaged,
    #[error("it was written by a newer version of mgnode (version {0}, this one reads {VERSION})")]
    Newer(u32),
}

impl Decided {
    /// Returns the slot that this note belongs in.
    pub fn slot(&self) -> usize {
        (self.number % 2) as usize
    }

    /// Returns the bytes of its slot.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(DECIDED_SLOT_BYTES);
        out.extend_from_slice(MAGIC);
        out.put_u32(VERSION);
        out.put_u32(0);
        out.put_u64(self.number);
        out.put_u64(self.lsn.0);
        let crc = crc32fast::hash(&out);
        out.put_u32(crc);
        out.resize(DECIDED_SLOT_BYTES, 0);
        out
    }
}

/// Returns the newest note of the file; `None` where the first one was not finished. It is synced before any
/// record is written that it could hold back.
pub fn decode_decided(bytes: &[u8]) -> Result<Option<Decided>, DecidedError> {
    if bytes.iter().all(|b| *b == 0) {
        return Ok(None);
    }
    let mut newest: Option<Decided> = None;
    for (index, slot) in bytes.chunks(DECIDED_SLOT_BYTES).take(2).enumerate() {
        let Some(note) = read(slot)? else { continue };
        if note.slot() == index && newest.is_none_or(|n| n.number < note.number) {
            newest = Some(note);
        }
    }
    newest.map(Some).ok_or(DecidedError::Damaged)
}

fn read(slot: &[u8]) -> Result<Option<Decided>, DecidedError> {
    let Some((head, rest)) = slot.split_at_checked(32) else { return Ok(None) };
    let sum = rest.get(..4).map(|b| u32::from_le_bytes(b.try_into().expect("four bytes")));
    if sum != Some(crc32fast::hash(head)) || head[..8] != *MAGIC {
        return Ok(None);
    }
    let mut fields = Fields::new(&head[8..]);
    match fields.u32() {
        Some(version) if version > VERSION => return Err(DecidedError::Newer(version)),
        Some(VERSION) => {}
        _ => return Ok(None),
    }
    let note = (fields.u32(), fields.u64(), fields.u64());
    let (Some(0), Some(number), Some(lsn)) = note else { return Ok(None) };
    Ok(Some(Decided { number, lsn: Lsn(lsn) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(notes: &[Decided]) -> Vec<u8> {
        let mut bytes = vec![0; 2 * DECIDED_SLOT_BYTES];
        for note in notes {
            let at = note.slot() * DECIDED_SLOT_BYTES;
            bytes[at..at + DECIDED_SLOT_BYTES].copy_from_slice(&note.encode());
        }
        bytes
    }

    fn note(number: u64, lsn: u64) -> Decided {
        Decided { number, lsn: Lsn(lsn) }
    }

    #[test]
    fn the_newest_note_counts() {
        assert_eq!(decode_decided(&file(&[note(0, 5)])), Ok(Some(note(0, 5))));
        assert_eq!(decode_decided(&file(&[note(4, 9), note(3, 7)])), Ok(Some(note(4, 9))));
        assert_eq!(decode_decided(&file(&[note(4, 9), note(5, 2)])), Ok(Some(note(5, 2))));
    }

    #[test]
    fn a_torn_note_leaves_the_one_before() {
        let whole = file(&[note(4, 9), note(5, 11)]);
        for byte in DECIDED_SLOT_BYTES..DECIDED_SLOT_BYTES + 36 {
            let mut bytes = whole.clone();
            bytes[byte] ^= 1;
            assert_eq!(decode_decided(&bytes), Ok(Some(note(4, 9))), "byte {byte}");
            bytes[byte - DECIDED_SLOT_BYTES] ^= 1;
            assert_eq!(decode_decided(&bytes), Err(DecidedError::Damaged), "byte {byte}");
        }
        for length in 1..36 {
            assert_eq!(decode_decided(&whole[..length]), Err(DecidedError::Damaged));
        }
    }

    #[test]
    fn a_first_note_that_was_not_finished_is_none() {
        for length in [0, 7, DECIDED_SLOT_BYTES, 2 * DECIDED_SLOT_BYTES] {
            assert_eq!(decode_decided(&vec![0; length]), Ok(None));
        }
    }

    #[test]
    fn a_note_of_a_newer_version_is_named_and_one_of_none_is_no_note() {
        let of_version = |version: u8| {
            let mut bytes = file(&[note(4, 9)]);
            bytes[8] = version;
            let sum = crc32fast::hash(&bytes[..32]);
            bytes[32..36].copy_from_slice(&sum.to_le_bytes());
            bytes
        };
        assert_eq!(decode_decided(&of_version(1)), Ok(Some(note(4, 9))));
        assert_eq!(decode_decided(&of_version(2)), Err(DecidedError::Newer(2)));
        assert_eq!(decode_decided(&of_version(0)), Err(DecidedError::Damaged));
    }

    /// Files of this version exist: whoever changes these bytes must raise the version and go on
    /// reading them.
    #[test]
    fn version_1_is_read_for_ever() {
        let text: String = note(7, 9).encode()[..40].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            text,
            concat!(
                "894d474445430d0a0100000000000000",
                "07000000000000000900000000000000",
                "2ac3181c00000000"
            )
        );
    }
}
