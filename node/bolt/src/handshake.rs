//! The first bytes of a connection.
//!
//! The client sends `60 60 B0 17` and four proposals of four bytes, best first. A proposal is
//! `00 range minor major`: it stands for `major.minor` and the `range` minors below it. The server
//! answers with the chosen version as `00 00 minor major`, or with four zeros and closes.
//!
//! ```text
//! C: 60 60 B0 17 | 00 08 08 05 | 00 02 04 04 | 00 00 00 03 | 00 00 00 00
//! S: 00 00 08 05
//! ```
//!
//! A proposal of `00 00 01 FF` asks for the manifest of Bolt 5.7: the server lists what it speaks, and the client
//! chooses. Numbers are in groups of seven bits, the lowest first, the eighth bit says that another follows; the
//! last number of either side is a set of capabilities, of which this server has none.
//!
//! ```text
//! C: 60 60 B0 17 | 00 00 01 FF | 00 08 08 05 | 00 02 04 04 | 00 00 00 03
//! S: 00 00 01 FF | 03 | 00 08 08 05 | 00 01 04 04 | 00 00 01 04 | 00
//! C: 00 00 08 05 | 00
//! ```

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
    #[error("the client chose Bolt {0}, which was not offered")]
    NotOffered(Version),
    #[error("the client wants capabilities that were not offered")]
    UnknownCapabilities,
}

/// How the server goes on after the client's proposals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It answers with [`answer`], and this version is spoken.
    Version(Version),
    /// It sends [`manifest`], and the client's choice is read with [`chosen`].
    Manifest,
}

/// What asks for the manifest, and what begins it.
const MANIFEST: [u8; 4] = [0, 0, 1, 0xFF];

/// What is offered: every version of [`Version::SERVED`], as ranges.
const OFFERED: [[u8; 4]; 3] = [[0, 8, 8, 5], [0, 1, 4, 4], [0, 0, 1, 4]];

/// What a client of this crate proposes. It needs nothing of what came after 5.4, whose notifications are as Memgraph
/// has them.
const PROPOSED: [[u8; 4]; 3] = [[0, 4, 4, 5], [0, 1, 4, 4], [0, 0, 1, 4]];

/// Chooses how to go on: the first proposal that can be met, in it the highest minor.
pub fn choose(client: &[u8; CLIENT_BYTES]) -> Result<Choice, HandshakeError> {
    if client[..4] != MAGIC {
        return Err(HandshakeError::NotBolt);
    }
    client[4..]
        .chunks_exact(4)
        .find_map(|word| {
            if word == MANIFEST {
                return Some(Choice::Manifest);
            }
            let (range, minor, major) = (word[1], word[2], word[3]);
            let lowest = minor.saturating_sub(range);
            Version::SERVED
                .iter()
                .rev()
                .copied()
                .find(|v| v.major == major && (lowest..=minor).contains(&v.minor))
                .map(Choice::Version)
        })
        .ok_or(HandshakeError::NoCommonVersion)
}

/// Returns what the server sends to one that asked for the manifest.
pub fn manifest() -> Vec<u8> {
    let mut bytes = MANIFEST.to_vec();
    bytes.push(u8::try_from(OFFERED.len()).expect("they are few"));
    bytes.extend(OFFERED.concat());
    // No capabilities.
    bytes.push(0);
    bytes
}

/// Reads what a client chose of the manifest. `capabilities` is the first byte of that number.
pub fn chosen(version: [u8; 4], capabilities: u8) -> Result<Version, HandshakeError> {
    let [_, _, minor, major] = version;
    let version = Version::new(major, minor);
    if version == Version::new(0, 0) {
        return Err(HandshakeError::NoCommonVersion);
    }
    if !Version::SERVED.contains(&version) {
        return Err(HandshakeError::NotOffered(version));
    }
    if capabilities == 0 { Ok(version) } else { Err(HandshakeError::UnknownCapabilities) }
}

/// Returns the server's answer for a chosen version.
pub fn answer(version: Version) -> [u8; 4] {
    [0, 0, version.minor, version.major]
}

/// Returns what a client of this crate sends.
pub fn proposals() -> [u8; CLIENT_BYTES] {
    let mut bytes = [0; CLIENT_BYTES];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..16].copy_from_slice(&PROPOSED.concat());
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

    const fn version(v: Version) -> Result<Choice, HandshakeError> {
        Ok(Choice::Version(v))
    }

    #[test]
    fn every_known_client_gets_a_version() {
        let neo4j = hello([[0, 0, 1, 0xFF], [0, 8, 8, 5], [0, 2, 4, 4], [0, 0, 0, 3]]);
        assert_eq!(choose(&neo4j), Ok(Choice::Manifest));
        let without_manifest = hello([[0, 4, 4, 5], [0, 2, 4, 4], [0, 0, 1, 4], [0, 0, 0, 3]]);
        assert_eq!(choose(&without_manifest), version(Version::V5_4));
        let pymgclient = hello([[0, 0, 4, 4], [0, 0, 3, 4], [0, 0, 1, 4], [0, 0, 0, 1]]);
        assert_eq!(choose(&pymgclient), version(Version::V4_4));
        let mgconsole = hello([[0, 0, 1, 4], [0, 0, 0, 1], [0; 4], [0; 4]]);
        assert_eq!(choose(&mgconsole), version(Version::V4_1));
        let neo4rs = hello([[0, 0, 1, 4], [0, 0, 0, 4], [0; 4], [0; 4]]);
        assert_eq!(choose(&neo4rs), version(Version::V4_1));
        assert_eq!(choose(&proposals()), version(Version::V5_4));
    }

    #[test]
    fn a_range_reaches_down_and_no_further() {
        assert_eq!(choose(&hello([[0, 3, 11, 5], [0; 4], [0; 4], [0; 4]])), version(Version::V5_8));
        let above = hello([[0, 2, 11, 5], [0; 4], [0; 4], [0; 4]]);
        assert_eq!(choose(&above), Err(HandshakeError::NoCommonVersion));
        let to_the_floor = hello([[0, 255, 2, 4], [0; 4], [0; 4], [0; 4]]);
        assert_eq!(choose(&to_the_floor), version(Version::V4_1));
        // The manifest is asked for first or not at all: what stands before it is met first.
        let late = hello([[0, 0, 4, 4], [0, 0, 1, 0xFF], [0; 4], [0; 4]]);
        assert_eq!(choose(&late), version(Version::V4_4));
        // A manifest of another kind is not known.
        assert_eq!(
            choose(&hello([[0, 0, 2, 0xFF], [0; 4], [0; 4], [0; 4]])),
            Err(HandshakeError::NoCommonVersion)
        );
    }

    #[test]
    fn the_manifest_lists_what_is_served_and_nothing_else() {
        let bytes = manifest();
        assert_eq!(bytes[..5], [0, 0, 1, 0xFF, 3]);
        let mut listed: Vec<Version> = bytes[5..17]
            .chunks_exact(4)
            .flat_map(|offer| (offer[2] - offer[1]..=offer[2]).map(|minor| Version::new(offer[3], minor)))
            .collect();
        listed.sort();
        assert_eq!(listed, Version::SERVED);
        assert_eq!(bytes[17..], [0]);
    }

    #[test]
    fn only_what_was_offered_can_be_chosen() {
        assert_eq!(chosen([0, 0, 8, 5], 0), Ok(Version::V5_8));
        assert_eq!(chosen([0, 0, 1, 4], 0), Ok(Version::V4_1));
        assert_eq!(chosen([0, 0, 9, 5], 0), Err(HandshakeError::NotOffered(Version::new(5, 9))));
        assert_eq!(chosen([0, 0, 2, 4], 0), Err(HandshakeError::NotOffered(Version::new(4, 2))));
        assert_eq!(chosen([0; 4], 0), Err(HandshakeError::NoCommonVersion));
        assert_eq!(chosen([0, 0, 8, 5], 1), Err(HandshakeError::UnknownCapabilities));
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
