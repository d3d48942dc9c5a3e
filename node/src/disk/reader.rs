//! Reads records of the WAL back for a replica that catches up, beside the writer and without
//! holding it up.

use super::segment::{Catalog, Segment};
use bytes::Bytes;
use mgnode_core::durability::{Parsed, SEGMENT_HEADER_BYTES, parse_record};
use mgnode_core::engine::{Input, PeerId};
use mgnode_core::types::{CommitRecord, Lsn};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, mpsc};

/// One `Effect::ReadWal`.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) peer: PeerId,
    pub(super) from: Lsn,
    pub(super) bytes_max: usize,
}

/// Answers requests until their sender is gone.
pub(super) fn serve(catalog: Catalog, requests: mpsc::Receiver<Request>, report: impl Fn(Input)) {
    for Request { peer, from, bytes_max } in requests {
        let result = read(&catalog, from, bytes_max).map_err(|e| {
            tracing::error!(%from, "the log cannot be read back; a replica that needs it is sent a snapshot: {e}");
            e.to_string()
        });
        super::fail_point::reach("log-read-back");
        report(Input::WalRead { peer, from, result });
    }
}

/// Returns records that follow each other from `from` on, of one segment; none where the log does
/// not hold `from`.
pub(super) fn read(catalog: &Catalog, from: Lsn, bytes_max: usize) -> io::Result<Vec<(CommitRecord, u64)>> {
    let segment = {
        let segments = catalog.lock();
        let after = segments.partition_point(|s| s.first <= from);
        match after.checked_sub(1) {
            Some(i) => segments[i].clone(),
            None => return Ok(Vec::new()),
        }
    };
    let (_, mut offset) = segment.nearest(from).unwrap_or((segment.first, SEGMENT_HEADER_BYTES as u64));
    let mut piece_bytes = bytes_max.max(64 << 10);
    let mut records: Vec<(CommitRecord, u64)> = Vec::new();
    let mut taken = 0;
    loop {
        let piece = read_piece(&segment, offset, piece_bytes)?;
        let is_last = piece.len() < piece_bytes;
        let mut at = 0;
        while at < piece.len() {
            match parse_record(&piece, at, offset) {
                Parsed::Record(logged, frame_bytes) => {
                    let record = logged.record;
                    segment.mark(record.lsn, offset + at as u64);
                    at += frame_bytes;
                    if record.lsn < from {
                        continue;
                    }
                    taken += frame_bytes;
                    records.push((record, logged.chain));
                    if taken >= bytes_max {
                        return Ok(records);
                    }
                }
                Parsed::Longer(bytes) => {
                    piece_bytes = piece_bytes.max(bytes);
                    break;
                }
                Parsed::Nothing => return ended(&segment, offset + at as u64, records),
            }
        }
        if at == 0 && is_last {
            // The end of what was written, or a frame that goes on beyond it.
            return ended(&segment, offset, records);
        }
        offset += at as u64;
    }
}

fn read_piece(segment: &Segment, offset: u64, bytes_max: usize) -> io::Result<Bytes> {
    let length = segment.written().saturating_sub(offset).min(bytes_max as u64);
    let mut piece = vec![0; usize::try_from(length).expect("not more than was asked for")];
    segment.file.read_exact_at(&mut piece, offset)?;
    Ok(piece.into())
}

/// Records end with the segment's records, and nowhere before: what was written in good order and
/// does not come back so is damage, of which a replica must not get the rest.
fn ended(
    segment: &Arc<Segment>,
    offset: u64,
    records: Vec<(CommitRecord, u64)>,
) -> io::Result<Vec<(CommitRecord, u64)>> {
    if offset < segment.written() && records.is_empty() && !rest_is_zero(segment, offset)? {
        let message = format!("`{}` is damaged at byte {offset}", segment.path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(records)
}

/// The end of a segment that was full before this start is known only by its zeroes.
fn rest_is_zero(segment: &Segment, mut offset: u64) -> io::Result<bool> {
    loop {
        let piece = read_piece(segment, offset, 1 << 20)?;
        if piece.is_empty() {
            return Ok(true);
        }
        if piece.iter().any(|b| *b != 0) {
            return Ok(false);
        }
        offset += piece.len() as u64;
    }
}
