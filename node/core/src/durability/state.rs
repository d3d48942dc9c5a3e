//! The state file: what a node knows of itself, in one small file that is replaced as a whole.
//!
//! Little-endian; a text is its length (4) and its UTF-8.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | `89 'M' 'G' 'S' 'T' 'A' 0D 0A` |
//! | 8 | 4 | version: 2 |
//! | 12 | 4 | B, length of the body |
//! | 16 | 8 | node id |
//! | 24 | 1 | role: 0 MAIN, 1 REPLICA |
//! | 25 | 2 | replication port, 0 for MAIN |
//! | 27 | 24 | promised epoch: number, node, incarnation |
//! | 51 | text | which operation asked for the promise |
//! | | 4 | number of replicas |
//! | | each | name (text), mode (1: 0 ASYNC, 1 SYNC, 2 STRICT_SYNC), address (text), node id (8), identity |
//! | | 1 | 1 where a cluster id (8) follows, else 0 |
//! | | 4 | number of members |
//! | | each | node id (8), identity with mode, number of addresses for clients (4), each of them (text) |
//! | 16 + B | 4 | CRC-32 of everything before, in this and all later versions |
//!
//! identity: one byte, bit 0 where a key fingerprint (32) follows, bit 1 where a certified name (text)
//! follows, in this order; of a member bits 2 and 3 are its mode (0: none, 1 ASYNC, 2 SYNC, 3 STRICT_SYNC). Version 1 had no identities, and ended after the replicas.

use super::bytes::{Fields, PutFields};
use crate::types::{
    ClusterId, Epoch, Identity, KeyPrint, Member, NodeId, NodeState, Registration, Role, SyncMode,
};

const MAGIC: &[u8; 8] = b"\x89MGSTA\r\n";
const VERSION: u32 = 2;

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
        out.put_u8(replica.mode.code());
        out.put_text(&replica.address);
        out.put_u64(replica.node.0);
        put_identity(&mut out, &replica.identity, None);
    }
    out.put_u8(u8::from(state.cluster.is_some()));
    if let Some(cluster) = state.cluster {
        out.put_u64(cluster.0);
    }
    out.put_u32(u32::try_from(state.members.len()).expect("as above"));
    for member in &state.members {
        out.put_u64(member.node.0);
        put_identity(&mut out, &member.identity, member.mode);
        out.put_u32(u32::try_from(member.bolt.len()).expect("as above"));
        for address in &member.bolt {
            out.put_text(address);
        }
    }
    let length = u32::try_from(out.len() - 16).expect("as above");
    out[12..16].copy_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&out);
    out.put_u32(crc);
    out
}

const HAS_KEY: u8 = 1;
const HAS_NAME: u8 = 2;
const MODE_SHIFT: u8 = 2;
const MODE_MASK: u8 = 3;

fn put_identity(out: &mut Vec<u8>, identity: &Identity, mode: Option<SyncMode>) {
    let key = if identity.key.is_some() { HAS_KEY } else { 0 };
    let name = if identity.certified.is_some() { HAS_NAME } else { 0 };
    out.put_u8(key | name | mode.map_or(0, |mode| mode.code() + 1) << MODE_SHIFT);
    if let Some(key) = &identity.key {
        out.extend_from_slice(&key.0);
    }
    if let Some(name) = &identity.certified {
        out.put_text(name);
    }
}

fn read_identity(fields: &mut Fields) -> Option<(Identity, Option<SyncMode>)> {
    let flags = fields.u8()?;
    let mut identity = Identity::default();
    if flags & HAS_KEY != 0 {
        identity.key = Some(KeyPrint(fields.bytes(32)?.try_into().ok()?));
    }
    if flags & HAS_NAME != 0 {
        identity.certified = Some(fields.text()?);
    }
    let mode = (flags >> MODE_SHIFT & MODE_MASK).checked_sub(1).and_then(SyncMode::of_code);
    (flags & !(HAS_KEY | HAS_NAME | MODE_MASK << MODE_SHIFT) == 0).then_some((identity, mode))
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
    if version == 0 || fields.u32() != Some((bytes.len() - 20) as u32) {
        return Err(StateError::Damaged);
    }
    read_body(&mut fields, version).ok_or(StateError::Damaged)
}

fn read_body(fields: &mut Fields, version: u32) -> Option<NodeState> {
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
        let mode = SyncMode::of_code(fields.u8()?)?;
        let (address, node) = (fields.text()?, NodeId(fields.u64()?));
        let (identity, no_mode) = if version == 1 { Default::default() } else { read_identity(fields)? };
        if no_mode.is_some() {
            return None;
        }
        replicas.push(Registration { name, mode, address, node, identity });
    }
    let (mut cluster, mut members) = (None, Vec::new());
    if version > 1 {
        cluster = match fields.u8()? {
            0 => None,
            1 => Some(ClusterId(fields.u64()?)),
            _ => return None,
        };
        for _ in 0..fields.u32()? {
            let (node, (identity, mode)) = (NodeId(fields.u64()?), read_identity(fields)?);
            let bolt = (0..fields.u32()?).map(|_| fields.text()).collect::<Option<Vec<String>>>()?;
            members.push(Member { node, identity, bolt, mode });
        }
    }
    fields.is_empty().then_some(NodeState { node, role, promised, promised_by, replicas, cluster, members })
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
                    identity: Identity { key: Some(KeyPrint([9; 32])), certified: None },
                },
                Registration {
                    name: "REP2".to_owned(),
                    mode: SyncMode::Async,
                    address: "[::1]:5000".to_owned(),
                    node: NodeId(8),
                    identity: Identity { key: None, certified: Some("rep2".to_owned()) },
                },
            ],
            cluster: Some(ClusterId(3)),
            members: vec![Member {
                node: NodeId(5),
                identity: Identity::default(),
                bolt: vec!["127.0.0.1:7687".to_owned()],
                mode: None,
            }],
        }
    }

    /// The same as version 1 could say it.
    fn example_1() -> NodeState {
        let mut state = NodeState { cluster: None, members: vec![], ..example() };
        for replica in &mut state.replicas {
            replica.identity = Identity::default();
        }
        state
    }

    #[test]
    fn what_was_written_is_read() {
        let replica = NodeState { role: Role::Replica { port: 10000 }, replicas: vec![], ..example() };
        let mut modes = example();
        let told = [SyncMode::Async, SyncMode::Sync, SyncMode::StrictSync].map(Some);
        modes.members = told.map(|mode| Member { mode, ..example().members[0].clone() }).to_vec();
        for state in [example(), replica, modes] {
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
        bytes[8] = 3;
        let end = bytes.len() - 4;
        let crc = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode_state(&bytes), Err(StateError::Newer(3)));
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    /// Files of this version exist: whoever changes these bytes must raise the version and go on
    /// reading them.
    #[test]
    fn version_1_is_read_for_ever() {
        let bytes = hex(concat!(
            "894d475354410d0a0100000073000000080706050403020100000004000000000000000500000000",
            "0000000600000000000000040000006f702d3102000000040000005245503101100000003137322e",
            "31372e302e333a313030303007000000000000000400000052455032000a0000005b3a3a315d3a35",
            "3030300800000000000000cbede74a",
        ));
        assert_eq!(decode_state(&bytes), Ok(example_1()));
    }

    /// As above.
    #[test]
    fn version_2_is_read_for_ever() {
        let bytes = encode_state(&example());
        let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(text, VERSION_2);
        assert_eq!(decode_state(&hex(VERSION_2)), Ok(example()));
    }

    const VERSION_2: &str = concat!(
        "894d475354410d0a02000000c9000000080706050403020100000004000000000000000500000000",
        "0000000600000000000000040000006f702d3102000000040000005245503101100000003137322e",
        "31372e302e333a313030303007000000000000000109090909090909090909090909090909090909",
        "090909090909090909090909090400000052455032000a0000005b3a3a315d3a3530303008000000",
        "0000000002040000007265703201030000000000000001000000050000000000000000010000000e",
        "0000003132372e302e302e313a3736383749a50c6a",
    );
}
