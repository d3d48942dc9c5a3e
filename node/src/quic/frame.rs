//! Frames on a stream: u32 little-endian length, then the message.

use bytes::{Bytes, BytesMut};
use mgnode_core::replication::{self, Message};

/// Which stream a message travels on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Control,
    Log,
}

impl Lane {
    pub(super) fn of(message: &Message) -> Lane {
        match message.lane() {
            replication::Lane::Control => Lane::Control,
            replication::Lane::Log => Lane::Log,
        }
    }

    pub(super) fn byte(self) -> u8 {
        match self {
            Lane::Control => 0,
            Lane::Log => 1,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Lane> {
        match byte {
            0 => Some(Lane::Control),
            1 => Some(Lane::Log),
            _ => None,
        }
    }
}

const LENGTH_BYTES: usize = 4;

pub(super) fn encode(protocol: u16, message: &Message) -> Bytes {
    let mut out = vec![0; LENGTH_BYTES];
    message.encode(protocol, &mut out);
    let length =
        u32::try_from(out.len() - LENGTH_BYTES).expect("the engine keeps messages below the frame limit");
    out[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Bytes::from(out)
}

/// Takes the first whole frame off `buffer`, if it is all there. One longer than `bytes_max` is refused
/// as soon as its length is there.
///
/// Memory grows with the bytes that came, not with the length that they claim.
pub(super) fn take(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<Bytes>, String> {
    let Some(head) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_le_bytes(*head) as usize;
    if length > bytes_max {
        return Err(format!("a frame of {length} bytes is over the limit of {bytes_max}"));
    }
    if buffer.len() < LENGTH_BYTES + length {
        return Ok(None);
    }
    let frame = buffer.split_to(LENGTH_BYTES + length).freeze();
    Ok(Some(frame.slice(LENGTH_BYTES..)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;

    #[test]
    fn frames_come_out_whole_whatever_the_pieces() {
        let mut wire = BytesMut::new();
        for body in [&b"one"[..], b"", b"three"] {
            wire.put_u32_le(u32::try_from(body.len()).unwrap());
            wire.put_slice(body);
        }
        let mut buffer = BytesMut::new();
        let mut got = Vec::new();
        for byte in wire {
            buffer.put_u8(byte);
            while let Some(frame) = take(&mut buffer, 5).unwrap() {
                got.push(frame);
            }
        }
        assert_eq!(got, [&b"one"[..], b"", b"three"]);
    }

    #[test]
    fn an_oversized_frame_is_refused_from_its_first_bytes() {
        let mut buffer = BytesMut::from(&u32::MAX.to_le_bytes()[..]);
        assert!(take(&mut buffer, replication::FRAME_BYTES_MAX).unwrap_err().contains("over the limit"));
    }
}
