//! Data directories that no node wrote: large graphs and long logs, made in seconds.
//!
//! The files are what a MAIN would have left, in the formats of `mgnode_core::durability`. The graph is
//! like pokec's: vertices with four properties, edges without any, few vertices with many edges.

use crate::dice::Dice;
use mgnode_core::durability::{
    LoggedRecord, SegmentHeader, SnapshotEncoder, SnapshotHeader, encode_state, frame_bytes, put_frame,
};
use mgnode_core::storage::Graph;
use mgnode_core::types::{
    Change, CommitRecord, EdgeId, Epoch, History, Lsn, Names, NodeId, NodeState, Position, Value, VertexId,
    chain_next,
};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

const SEGMENT_BYTES: u64 = 20 << 20;
const BLOCK: u64 = 65_536;

fn epoch(node: NodeId) -> Epoch {
    Epoch { number: 1, node, incarnation: 1 }
}

fn state(data: &Path, node: NodeId) -> io::Result<()> {
    for folder in ["wal", "snapshots"] {
        fs::create_dir_all(data.join(folder))?;
    }
    let state = NodeState { promised: epoch(node), ..NodeState::fresh(node) };
    fs::write(data.join("state"), encode_state(&state))
}

/// Who has many friends: a vertex by a square law.
fn vertex(dice: &mut Dice, vertices: u64) -> VertexId {
    let unit = (dice.roll() >> 11) as f64 / (1u64 << 53) as f64;
    VertexId((unit * unit * vertices as f64) as u64)
}

/// Makes the directory of a MAIN that holds one snapshot, of a thousand records, and no log after it.
/// Returns the bytes of the snapshot.
pub fn snapshot(data: &Path, node: u64, vertices: u64, edges: u64) -> io::Result<u64> {
    let node = NodeId(node);
    state(data, node)?;
    let graph = Graph::new(Arc::new(Names::default()));
    let names = graph.names();
    let (user, friend) = (names.label("User"), names.edge_type("Friend").map_err(io::Error::other)?);
    let keys = ["id", "completion_percentage", "gender", "age"].map(|key| names.key(key));
    let mut history = History::default();
    history.note(epoch(node), Lsn(1));
    let position = Position { epoch: epoch(node), lsn: Lsn(1000) };
    let header = SnapshotHeader { position, chain: 77, ts: 2000, history };
    let path = data.join("snapshots/00000000000000001000.snap");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut out = Vec::new();
    let mut encoder = SnapshotEncoder::new(&header, &mut out);
    let mut dice = Dice::new(Some(1));
    for first in (0..vertices).step_by(BLOCK as usize) {
        let block: Vec<Change> = (first..vertices.min(first + BLOCK))
            .map(|id| {
                let roll = dice.roll();
                let values = [
                    Value::Int(id as i64 + 1),
                    Value::Int((roll % 100) as i64),
                    Value::string(if roll & 128 == 0 { "man" } else { "woman" }),
                    Value::Int((roll >> 8) as i64 % 60),
                ];
                let properties = keys.into_iter().zip(values).collect();
                Change::CreateVertex { id: VertexId(id), labels: vec![user], properties }
            })
            .collect();
        encoder.block(&graph.encode(&block), &mut out);
        file.write_all(&out)?;
        out.clear();
    }
    for first in (0..edges).step_by(BLOCK as usize) {
        let block: Vec<Change> = (first..edges.min(first + BLOCK))
            .map(|id| Change::CreateEdge {
                id: EdgeId(id),
                from: vertex(&mut dice, vertices),
                to: vertex(&mut dice, vertices),
                edge_type: friend,
                properties: Vec::new(),
            })
            .collect();
        encoder.block(&graph.encode(&block), &mut out);
        file.write_all(&out)?;
        out.clear();
    }
    let (bytes, _) = encoder.finish(&mut out);
    file.write_all(&out)?;
    file.into_inner().map_err(|e| e.into_error())?.sync_all()?;
    Ok(bytes)
}

/// Makes the directory of a MAIN that holds a log of small transactions, each of which creates a vertex
/// with two properties, and no snapshot. Returns the bytes of the log.
pub fn log(data: &Path, node: u64, records: u64) -> io::Result<u64> {
    let node = NodeId(node);
    state(data, node)?;
    let graph = Graph::new(Arc::new(Names::default()));
    let names = graph.names();
    let (label, id_key, text_key) = (names.label("City"), names.key("id"), names.key("name"));
    let (mut sequence, mut chain, mut total) = (0, 0, 0);
    let mut segment: Vec<u8> = Vec::new();
    for lsn in 1..=records {
        let change = Change::CreateVertex {
            id: VertexId(lsn - 1),
            labels: vec![label],
            properties: vec![
                (id_key, Value::Int(lsn as i64)),
                (text_key, Value::string(format!("a name of some length {lsn}"))),
            ],
        };
        let payload = graph.encode(&[change]).into();
        let record = CommitRecord { epoch: epoch(node), lsn: Lsn(lsn), ts: 2 * lsn, payload };
        let frame = frame_bytes(record.payload.len()) as u64;
        if segment.is_empty() || segment.len() as u64 + frame > SEGMENT_BYTES {
            finish_segment(data, sequence, &mut segment)?;
            sequence += 1;
            segment = SegmentHeader { node, sequence, first: Lsn(lsn), chain, bytes: SEGMENT_BYTES }.encode();
        }
        chain = chain_next(chain, &record);
        let logged = LoggedRecord { record, chain, synced: Lsn(lsn - 1) };
        let offset = segment.len() as u64;
        put_frame(&mut segment, offset, &logged);
        total += frame;
    }
    finish_segment(data, sequence, &mut segment)?;
    Ok(total)
}

fn finish_segment(data: &Path, sequence: u64, segment: &mut Vec<u8>) -> io::Result<()> {
    if segment.is_empty() {
        return Ok(());
    }
    segment.resize(SEGMENT_BYTES as usize, 0);
    let file = File::create(data.join(format!("wal/{sequence:016}.wal")))?;
    (&file).write_all(segment)?;
    file.sync_all()
}
