//! What comes over connections: Bolt from clients, and what nodes say to each other.

use bytes::Bytes;
use mgbolt::{
    Dechunker, Decoder, EncodeError, Encoder, Request, Response, Version, handshake, handshake::Choice,
    write_message,
};
use mgnode_core::replication::{Message, PROTOCOL, PROTOCOL_MIN, STREAM_HEAD_BYTES, SnapshotStream};

const VERSIONS: [Version; 4] = [Version::V4_1, Version::V4_4, Version::V5_4, Version::NEWEST];

pub(crate) fn value(bytes: &[u8]) {
    for version in VERSIONS {
        let mut decoder = Decoder::new(bytes, version);
        let Ok(value) = decoder.value() else { continue };
        let mut written = Vec::new();
        if !is_written(Encoder::new(&mut written, version).value(&value)) {
            continue;
        }
        let again = Decoder::new(&written, version).value().expect("what was written can be read");
        // Debug, since NaN differs from itself.
        assert_eq!(format!("{value:?}"), format!("{again:?}"));
    }
}

/// What was read can be written, but for a moment in a zone whose offset this crate does not know.
fn is_written(result: Result<(), EncodeError>) -> bool {
    match result {
        Ok(()) => true,
        Err(EncodeError::ZoneUnknown(_)) => false,
        Err(e) => panic!("what was read cannot be written: {e}"),
    }
}

pub(crate) fn request(bytes: &[u8]) {
    for version in VERSIONS {
        let Ok(request) = Request::decode(bytes, version) else { continue };
        let Some(again) = written_and_read(&request, version) else { continue };
        // A version without a field leaves it out, once.
        let third = written_and_read(&again, version);
        assert_eq!(format!("{:?}", Some(again)), format!("{third:?}"));
    }
}

fn written_and_read(request: &Request, version: Version) -> Option<Request> {
    let mut written = Vec::new();
    if !is_written(request.write(&mut written, version)) {
        return None;
    }
    Some(Request::decode(&whole_message(&written), version).expect("what was written can be read"))
}

pub(crate) fn response(bytes: &[u8]) {
    for version in VERSIONS {
        let Ok(response) = Response::decode(bytes, version) else { continue };
        let mut written = Vec::new();
        if !is_written(response.write(&mut written, version)) {
            continue;
        }
        let message = whole_message(&written);
        let again = Response::decode(&message, version).expect("what was written can be read");
        assert_eq!(format!("{response:?}"), format!("{again:?}"));
    }
}

/// The one message in a stream of chunks.
fn whole_message(chunks: &[u8]) -> Vec<u8> {
    let mut dechunker = Dechunker::new(usize::MAX);
    dechunker.input().extend_from_slice(chunks);
    let message = dechunker.next_message().expect("no limit").expect("a whole message");
    message.to_vec()
}

/// Messages are the same however the bytes come in.
pub(crate) fn chunks(bytes: &[u8]) {
    const LIMIT: usize = 4096;
    let read = |step: usize| {
        let mut dechunker = Dechunker::new(LIMIT);
        let mut messages = Vec::new();
        for part in bytes.chunks(step.max(1)) {
            dechunker.input().extend_from_slice(part);
            loop {
                match dechunker.next_message() {
                    Ok(Some(message)) => {
                        assert!(message.len() <= LIMIT);
                        messages.push(message.to_vec());
                    }
                    Ok(None) => break,
                    Err(_) => return (messages, true),
                }
            }
        }
        (messages, false)
    };
    let at_once = read(bytes.len());
    assert_eq!(read(1), at_once);
    assert_eq!(read(7), at_once);
    for message in at_once.0 {
        let mut written = Vec::new();
        let raw = |encoder: &mut Encoder<'_>| {
            encoder.raw(&message);
            Ok(())
        };
        write_message(&mut written, Version::V5_4, raw).expect("it cannot fail");
        assert_eq!(whole_message(&written), message);
    }
}

pub(crate) fn handshake(bytes: &[u8]) {
    let Some(client) = bytes.first_chunk::<{ handshake::CLIENT_BYTES }>() else { return };
    if let Ok(Choice::Version(version)) = handshake::choose(client) {
        assert!(Version::SERVED.contains(&version));
        assert_eq!(handshake::accept(handshake::answer(version)), Ok(version));
    }
    if let Ok(version) = handshake::chosen([client[0], client[1], client[2], client[3]], client[4]) {
        assert!(Version::SERVED.contains(&version) && client[4] == 0);
    }
}

pub(crate) fn message(bytes: &[u8]) {
    for protocol in PROTOCOL_MIN..=PROTOCOL {
        let Ok(message) = Message::decode(protocol, Bytes::copy_from_slice(bytes)) else { continue };
        if !message.is_in(protocol) {
            continue;
        }
        let again = |message: &Message| {
            let mut written = Vec::new();
            message.encode(protocol, &mut written);
            Message::decode(protocol, Bytes::from(written)).expect("what was written can be read")
        };
        let second = again(&message);
        // A reason that an older version does not know is told as one that it knows, once.
        assert!(protocol < PROTOCOL || second == message, "{message:?} became {second:?}");
        assert_eq!(again(&second), second);
    }
}

pub(crate) fn snapshot_stream(bytes: &[u8]) {
    let Ok(Some((stream, taken))) = SnapshotStream::decode(bytes) else { return };
    let mut written = Vec::new();
    stream.encode(&mut written);
    assert!(taken == 0 || taken == STREAM_HEAD_BYTES);
    assert_eq!(written, bytes[..taken]);
}
