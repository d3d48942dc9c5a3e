//! Messages in chunks.
//!
//! A chunk is a length of two bytes, big-endian, and so many bytes. A chunk of length 0 ends the
//! message; before the first byte of a message it is a NOOP, sent to keep a connection awake.

use crate::{EncodeError, Encoder, Version};
use bytes::{Buf, BytesMut};

/// Largest message that is taken from a peer that has not yet logged on.
pub const MESSAGE_BYTES_BEFORE_LOGON: usize = 64 * 1024;

const CHUNK_MAX: usize = u16::MAX as usize;

/// Room that is there for what comes next: a common message is read in one piece.
const INPUT_BYTES_MIN: usize = 4096;

/// A message grew beyond what its receiver allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message is larger than {limit} bytes, the most that is taken here")]
pub struct MessageTooLarge {
    pub limit: usize,
}

/// Puts chunks back together.
pub struct Dechunker {
    input: BytesMut,
    message: BytesMut,
    limit: usize,
}

impl Dechunker {
    /// Makes a dechunker that takes messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Dechunker {
        Dechunker { input: BytesMut::new(), message: BytesMut::new(), limit }
    }

    /// Changes the limit, for the message under way too.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Returns the buffer to which bytes of the line are appended.
    pub fn input(&mut self) -> &mut BytesMut {
        if self.input.capacity() - self.input.len() < INPUT_BYTES_MIN / 4 {
            self.input.reserve(INPUT_BYTES_MIN);
        }
        &mut self.input
    }

    /// Returns the next whole message, or `None` where more bytes are needed.
    pub fn next_message(&mut self) -> Result<Option<BytesMut>, MessageTooLarge> {
        loop {
            let Some(header) = self.input.first_chunk::<2>() else { return Ok(None) };
            let length = usize::from(u16::from_be_bytes(*header));
            if self.message.len() + length > self.limit {
                return Err(MessageTooLarge { limit: self.limit });
            }
            if self.input.len() < 2 + length {
                return Ok(None);
            }
            self.input.advance(2);
            if length > 0 {
                let chunk = self.input.split_to(length);
                // The common message is one chunk: it is handed on without a copy.
                if self.message.is_empty() {
                    self.message = chunk;
                } else {
                    self.message.extend_from_slice(&chunk);
                }
            } else if !self.message.is_empty() {
                return Ok(Some(std::mem::take(&mut self.message)));
            }
        }
    }
}

/// Appends one message in chunks. Leaves `out` as it was where `write` fails.
pub fn write_message(
    out: &mut Vec<u8>,
    version: Version,
    write: impl FnOnce(&mut Encoder<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    if let Err(e) = write(&mut Encoder::new(out, version)) {
        out.truncate(start);
        return Err(e);
    }
    let length = out.len() - start - 2;
    if length <= CHUNK_MAX {
        let length = u16::try_from(length).expect("at most CHUNK_MAX");
        out[start..start + 2].copy_from_slice(&length.to_be_bytes());
    } else {
        let body = out.split_off(start + 2);
        out.truncate(start);
        out.reserve(body.len() + 2 * body.len().div_ceil(CHUNK_MAX) + 2);
        for chunk in body.chunks(CHUNK_MAX) {
            let length = u16::try_from(chunk.len()).expect("at most CHUNK_MAX");
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(chunk);
        }
    }
    out.extend_from_slice(&[0, 0]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunked(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_message(&mut out, Version::V5_4, |e| {
            e.raw(body);
            Ok(())
        })
        .unwrap();
        out
    }

    proptest! {
        #[test]
        fn messages_survive_any_cut_of_the_line(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..6),
            cuts in prop::collection::vec(1usize..50, 1..50),
        ) {
            let mut line = Vec::new();
            for body in &bodies {
                line.extend(chunked(body));
                line.extend([0, 0]);
            }
            let mut dechunker = Dechunker::new(1000);
            let mut seen = Vec::new();
            let mut rest = &line[..];
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                dechunker.input().extend_from_slice(now);
                while let Some(message) = dechunker.next_message().unwrap() {
                    seen.push(message.to_vec());
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(seen, bodies);
        }
    }

    #[test]
    fn a_large_message_is_cut_into_chunks_and_joined() {
        let body: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
        let line = chunked(&body);
        assert_eq!(line.len(), body.len() + 4 * 2 + 2);
        let mut dechunker = Dechunker::new(body.len());
        dechunker.input().extend_from_slice(&line);
        assert_eq!(dechunker.next_message().unwrap().unwrap(), body[..]);
        assert_eq!(dechunker.next_message(), Ok(None));
    }

    #[test]
    fn a_message_over_the_limit_is_refused_at_its_header() {
        let mut dechunker = Dechunker::new(10);
        dechunker.input().extend_from_slice(&[0, 6, 1, 2, 3, 4, 5, 6]);
        assert_eq!(dechunker.next_message(), Ok(None));
        dechunker.input().extend_from_slice(&[0, 5]);
        assert_eq!(dechunker.next_message(), Err(MessageTooLarge { limit: 10 }));
    }

    #[test]
    fn a_failed_message_leaves_nothing_behind() {
        let mut out = vec![7];
        let failed = write_message(&mut out, Version::V5_4, |e| {
            e.raw(b"half");
            Err(EncodeError::TooDeep)
        });
        assert_eq!(failed, Err(EncodeError::TooDeep));
        assert_eq!(out, [7]);
    }
}
