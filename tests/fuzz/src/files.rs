//! What a node reads back from its data directory, or takes over from a peer.

use bytes::Bytes;
use mgnode_core::durability::{
    DECIDED_SLOT_BYTES, SEGMENT_HEADER_BYTES, Scanner, SegmentEnd, SnapshotDecoder, SnapshotIndex,
    decode_decided, decode_state, encode_state, put_frame,
};
use mgnode_core::storage::Graph;
use std::sync::Arc;

/// Changes that can be read are written to bytes that are read the same.
pub(crate) fn changes(bytes: &[u8]) {
    let graph = Graph::new(Arc::default());
    let Ok(changes) = graph.decode(bytes) else { return };
    let again = graph.decode(&graph.encode(&changes)).expect("what was written can be read");
    assert_eq!(format!("{changes:?}"), format!("{again:?}"));
}

pub(crate) fn segment(bytes: &[u8]) {
    let Ok(Some(mut scanner)) = Scanner::new(Bytes::copy_from_slice(bytes)) else { return };
    let mut next = scanner.header().first;
    loop {
        let offset = scanner.offset();
        match scanner.next_record() {
            Ok(logged) => {
                assert_eq!(logged.record.lsn, next, "records follow each other");
                next = next.next();
                let mut frame = Vec::new();
                put_frame(&mut frame, offset, &logged);
                let at = usize::try_from(offset).expect("it is in memory");
                assert_eq!(frame, bytes[at..at + frame.len()], "a record has one form");
            }
            Err(end) => {
                let ends_at = match &end {
                    SegmentEnd::Clean { offset }
                    | SegmentEnd::Torn { offset }
                    | SegmentEnd::Corrupt { offset, .. }
                    | SegmentEnd::Newer { offset, .. } => *offset,
                };
                assert_eq!(ends_at, offset);
                assert_eq!(scanner.next_record(), Err(end), "the end stays the end");
                return;
            }
        }
    }
}

/// Mends the checksums of header and frames as far as their lengths lead.
pub(crate) fn sealed_segment(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= SEGMENT_HEADER_BYTES {
        seal(&mut bytes, 0, 60);
    }
    let mut at = SEGMENT_HEADER_BYTES;
    while bytes.len() >= at + 80 {
        let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().expect("four bytes")) as usize;
        let Some(payload) = bytes.get(at + 80..at + 80 + length.min(1 << 30)) else { break };
        let crc = crc32fast::hash(payload);
        bytes[at + 12..at + 16].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[at + 4..at + 80]);
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        at += (80 + length + 1).next_multiple_of(8);
    }
    segment(&bytes);
}

pub(crate) fn snapshot(bytes: &[u8]) {
    let mut decoder = SnapshotDecoder::default();
    let mut is_sound = true;
    // In pieces, as from a connection.
    'read: for piece in bytes.chunks(97) {
        decoder.push(piece);
        loop {
            match decoder.next_part() {
                Ok(Some(_)) => assert!(decoder.offset() <= bytes.len() as u64),
                Ok(None) => break,
                Err(_) => {
                    is_sound = false;
                    break 'read;
                }
            }
        }
    }
    is_sound &= decoder.finish().is_ok();
    let file = Bytes::copy_from_slice(bytes);
    let index = SnapshotIndex::read(&file);
    if is_sound {
        let index = index.expect("what is sound as a stream is sound as a file");
        index.check_digest(&file).expect("its digest was compared");
        for block in 0..index.blocks() {
            let payload = index.block(&file, block).expect("every block is sound");
            changes(&payload);
        }
    } else if let Ok(index) = index {
        // The blocks are looked at when they are read.
        let is_whole = (0..index.blocks()).all(|block| index.block(&file, block).is_ok());
        assert!(!is_whole || index.check_digest(&file).is_err() || decoder.finish().is_err());
    }
}

/// Mends the checksum of the header, behind which mutations are otherwise never seen.
pub(crate) fn sealed_snapshot(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if let Some(length) = bytes.get(12..16) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        if let Some(end) = length.checked_add(12).filter(|end| *end + 4 <= bytes.len()) {
            seal(&mut bytes, 0, end);
        }
    }
    snapshot(&bytes);
}

pub(crate) fn state(bytes: &[u8]) {
    let Ok(state) = decode_state(bytes) else { return };
    assert_eq!(decode_state(&encode_state(&state)), Ok(state));
}

pub(crate) fn sealed_state(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= 20 {
        let length = (bytes.len() - 20) as u32;
        bytes[12..16].copy_from_slice(&length.to_le_bytes());
        let end = bytes.len() - 4;
        seal(&mut bytes, 0, end);
    }
    state(&bytes);
}

pub(crate) fn decided(bytes: &[u8]) {
    let Ok(Some(note)) = decode_decided(bytes) else { return };
    let mut file = vec![0; 2 * DECIDED_SLOT_BYTES];
    let at = note.slot() * DECIDED_SLOT_BYTES;
    file[at..at + DECIDED_SLOT_BYTES].copy_from_slice(&note.encode());
    assert_eq!(decode_decided(&file), Ok(Some(note)));
}

pub(crate) fn sealed_decided(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    for slot in [0, DECIDED_SLOT_BYTES] {
        if bytes.len() >= slot + 36 {
            seal(&mut bytes, slot, slot + 32);
        }
    }
    decided(&bytes);
}

/// Puts the CRC-32 of a part behind it.
fn seal(bytes: &mut [u8], from: usize, to: usize) {
    let crc = crc32fast::hash(&bytes[from..to]);
    bytes[to..to + 4].copy_from_slice(&crc.to_le_bytes());
}
