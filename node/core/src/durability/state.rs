//! The state file: what a node knows of itself, in one small file that is replaced as a whole.
//!
//! Little-endian; a text is its length (4) and its UTF-8.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | `89 'M' 'G' 'S' 'T' 'A' 0D 0A` |
//! | 8 | 4 | version: 1 |
//! | 12 | 4 | B, length of the body |
//! | 16 | 8 | node id |
//! | 24 | 1 | role: 0 MAIN, 1 REPLICA |
//! | 25 | 2 | replication port, 0 for MAIN |
//! | 27 | 24 | promised epoch: number, node, incarnation |
//! | 51 | text | which operation asked for the promise |
//! | | 4 | number of replicas |
//! | | each | name (text), mode (1: 0 ASYNC, 1 SYNC, 2 STRICT_SYNC), address (text), node id (8) |
//! | 16 + B | 4 | CRC-32 of everything before, in this and all later versions |

use super::bytes::{Fields, PutFields};
use crate::types::{Epoch, NodeId, NodeState, Registration, Role, SyncMode};

const MAGIC: &[u8; 8] = b"\x89MGSTA\r\n";
const VERSION: u32 = 1;

/// Why a state file cannot be used. There is no other copy, and a node without its promises could
/// break them, so each is the end of a start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("it is not a state file of mgnode")]
    Foreign,
    #[error("it is damaged")]
    Damaged,
    #[error("it was written by a newer version of mgnode (state version {0}, this one reads {VERSION})")]
    Newer(u32),
}

/// Returns the bytes of a state file.
pub fn encode_state(state: &NodeState) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(MAGIC);
    out.put_u32(VERSION);
    out.put_u32(0);
    out.put_u64(state.node.0);
    let (role, port) = match state.role {
        Role::Main => (0, 0),
        Role::Replica { port } => (1, port),
    };
    out.put_u8(role);
    out.put_u16(port);
    out.put_u64(state.promised.number);
    out.put_u64(state.promised.node.0);
    out.put_u64(state.promised.incarnation);
    out.put_text(&state.promised_by);
    out.put_u32(u32::try_from(state.replicas.len()).expect("replicas are registered one by one"));
    for replica in &state.replicas {
        out.put_text(&replica.name);
        out.put_u8(match replica.mode {
            SyncMode::Async => 0,
            SyncMode::Sync => 1,
            SyncMode::StrictSync => 2,
        });
        out.put_text(&replica.address);
        out.put_u64(replica.node.0);
    }
    let length = u32::try_from(out.len() - 16).expect("as above");
    out[12..16].copy_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&out);
    out.put_u32(crc);
    out
}

/// Reads a state file.
pub fn decode_state(bytes: &[u8]) -> Result<NodeState, StateError> {
    if bytes.len() < 20 {
        return Err(StateError::Damaged);
    }
    if &bytes[..8] != MAGIC {
        return Err(StateError::Foreign);
    }
    let (fields, crc) = bytes.split_at(bytes.len() - 4);
    if crc32fast::hash(fields).to_le_bytes() != crc {
        return Err(StateError::Damaged);
    }
    let mut fields = Fields::new(&fields[8..]);
    let version = fields.u32().ok_or(StateError::Damaged)?;
    if version > VERSION {
        return Err(StateError::Newer(version));
    }
    if version != VERSION || fields.u32() != Some((bytes.len() - 20) as u32) {
        return Err(StateError::Damaged);
    }
    read_body(&mut fields).ok_or(StateError::Damaged)
}

fn read_body(fields: &mut Fields) -> Option<NodeState> {
    let node = NodeId(fields.u64()?);
    let role = match (fields.u8()?, fields.u16()?) {
        (0, 0) => Role::Main,
        (1, port) => Role::Replica { port },
        _ => return None,
    };
    let promised = Epoch { number: fields.u64()?, node: NodeId(fields.u64()?), incarnation: fields.u64()? };
    let promised_by = fields.text()?;
    let mut replicas = Vec::new();
    for _ in 0..fields.u32()? {
        let name = fields.text()?;
        let mode = match fields.u8()? {
            0 => SyncMode::Async,
            1 => SyncMode::Sync,
            2 => SyncMode::StrictSync,
            _ => return None,
        };
        replicas.push(Registration { name, mode, address: fields.text()?, node: NodeId(fields.u64()?) });
    }
    fields.is_empty().then_some(NodeState { node, role, promised, promised_by, replicas })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> NodeState {
        NodeState {
            node: NodeId(0x0102_0304_0506_0708),
            role: Role::Main,
            promised: Epoch { number: 4, node: NodeId(5), incarnation: 6 },
            promised_by: "op-1".to_owned(),
            replicas: vec![
                Registration {
                    name: "REP1".to_owned(),
                    mode: SyncMode::Sync,
                    address: "172.17.0.3:10000".to_owned(),
                    node: NodeId(7),
                },
                Registration {
                    name: "REP2".to_owned(),
                    mode: SyncMode::Async,
                    address: "[::1]:5000".to_owned(),
                    node: NodeId(8),
                },
            ],
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let replica = NodeState { role: Role::Replica { port: 10000 }, replicas: vec![], ..example() };
        for state in [example(), replica] {
            assert_eq!(decode_state(&encode_state(&state)), Ok(state));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let bytes = encode_state(&example());
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_state(&bad).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(decode_state(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let mut bytes = encode_state(&example());
        bytes[8] = 2;
        let end = bytes.len() - 4;
        let crc = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode_state(&bytes), Err(StateError::Newer(2)));
    }

    /// Files of this version exist: whoever changes these bytes must raise the version and go on
    /// reading them.
    #[test]
    fn version_1_is_read_for_ever() {
        let hex: String = encode_state(&example()).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            concat!(
                "894d475354410d0a0100000073000000080706050403020100000004000000000000000500000000",
                "0000000600000000000000040000006f702d3102000000040000005245503101100000003137322e",
                "31372e302e333a313030303007000000000000000400000052455032000a0000005b3a3a315d3a35",
                "3030300800000000000000cbede74a",
            )
        );
    }
}
