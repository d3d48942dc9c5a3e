//! The first bytes of a connection.
//!
//! The client sends `60 60 B0 17` and four proposals of four bytes, best first. A proposal is
//! `00 range minor major`: it stands for `major.minor` and the `range` minors below it. The server
//! answers with the chosen version as `00 00 minor major`, or with four zeros and closes.
//!
//! ```text
//! C: 60 60 B0 17 | 00 00 01 FF | 00 08 08 05 | 00 02 04 04 | 00 00 00 03
//! S: 00 00 04 05
//! ```
//!
//! `00 00 01 FF` asks for the manifest of Bolt 5.7. It is skipped, as its senders expect of a server
//! that does not know it.

use crate::Version;

/// What a client sends before anything else.
pub const MAGIC: [u8; 4] = [0x60, 0x60, 0xB0, 0x17];

/// Length of the client's part.
pub const CLIENT_BYTES: usize = 20;

/// Answer to a client with which no version is shared. The connection closes after it.
pub const NO_VERSION: [u8; 4] = [0; 4];

/// Why a handshake did not lead to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("the first bytes are not Bolt's")]
    NotBolt,
    #[error("client and server share no version of Bolt")]
    NoCommonVersion,
    #[error("the server chose Bolt {0}, which was not proposed")]
    NotProposed(Version),
}

/// Chooses the version to serve: the first proposal that can be met, in it the highest minor.
pub fn choose(client: &[u8; CLIENT_BYTES]) -> Result<Version, HandshakeError> {
    if client[..4] != MAGIC {
        return Err(HandshakeError::NotBolt);
    }
    client[4..]
        .chunks_exact(4)
        .find_map(|word| {
            let (range, minor, major) = (word[1], word[2], word[3]);
            let lowest = minor.saturating_sub(range);
            Version::SERVED
                .iter()
                .rev()
                .copied()
                .find(|v| v.major == major && (lowest..=minor).contains(&v.minor))
        })
        .ok_or(HandshakeError::NoCommonVersion)
}

/// Returns the server's answer for a chosen version.
pub fn answer(version: Version) -> [u8; 4] {
    [0, 0, version.minor, version.major]
}

/// Returns what a client sends that speaks every version of this crate.
pub fn proposals() -> [u8; CLIENT_BYTES] {
    let mut bytes = [0; CLIENT_BYTES];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&[0, 4, 4, 5]);
    bytes[8..12].copy_from_slice(&[0, 1, 4, 4]);
    bytes[12..16].copy_from_slice(&[0, 0, 1, 4]);
    bytes
}

/// Reads the server's answer to [`proposals`].
pub fn accept(answer: [u8; 4]) -> Result<Version, HandshakeError> {
    match answer {
        NO_VERSION => Err(HandshakeError::NoCommonVersion),
        [0, 0, minor, major] => {
            let version = Version::new(major, minor);
            if Version::SERVED.contains(&version) {
                Ok(version)
            } else {
                Err(HandshakeError::NotProposed(version))
            }
        }
        _ => Err(HandshakeError::NotBolt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(words: [[u8; 4]; 4]) -> [u8; CLIENT_BYTES] {
        let mut bytes = [0; CLIENT_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        for (i, word) in words.iter().enumerate() {
            bytes[4 + 4 * i..8 + 4 * i].copy_from_slice(word);
        }
        bytes
    }

    #[test]
    fn every_known_client_gets_a_version() {
        let neo4j = hello([[0, 0, 1, 0xFF], [0, 8, 8, 5], [0, 2, 4, 4], [0, 0, 0, 3]]);
        assert_eq!(choose(&neo4j), Ok(Version::V5_4));
        let pymgclient = hello([[0, 0, 4, 4], [0, 0, 3, 4], [0, 0, 1, 4], [0, 0, 0, 1]]);
        assert_eq!(choose(&pymgclient), Ok(Version::V4_4));
        let mgconsole = hello([[0, 0, 1, 4], [0, 0, 0, 1], [0; 4], [0; 4]]);
        assert_eq!(choose(&mgconsole), Ok(Version::V4_1));
        let neo4rs = hello([[0, 0, 1, 4], [0, 0, 0, 4], [0; 4], [0; 4]]);
        assert_eq!(choose(&neo4rs), Ok(Version::V4_1));
        assert_eq!(choose(&proposals()), Ok(Version::V5_4));
    }

    #[test]
    fn a_range_reaches_down_and_no_further() {
        assert_eq!(choose(&hello([[0, 3, 7, 5], [0; 4], [0; 4], [0; 4]])), Ok(Version::V5_4));
        let above = hello([[0, 2, 7, 5], [0; 4], [0; 4], [0; 4]]);
        assert_eq!(choose(&above), Err(HandshakeError::NoCommonVersion));
        let to_the_floor = hello([[0, 255, 2, 4], [0; 4], [0; 4], [0; 4]]);
        assert_eq!(choose(&to_the_floor), Ok(Version::V4_1));
    }

    #[test]
    fn other_protocols_are_told_apart() {
        assert_eq!(choose(b"GET / HTTP/1.1\r\nHost"), Err(HandshakeError::NotBolt));
        assert_eq!(choose(&hello([[0; 4]; 4])), Err(HandshakeError::NoCommonVersion));
        assert_eq!(accept(NO_VERSION), Err(HandshakeError::NoCommonVersion));
        assert_eq!(accept([0, 0, 2, 5]), Ok(Version::V5_2));
        assert_eq!(accept([0, 0, 0, 3]), Err(HandshakeError::NotProposed(Version::new(3, 0))));
        assert_eq!(accept(*b"HTTP"), Err(HandshakeError::NotBolt));
    }
}
