//! Recovery from files in memory.

use super::super::decided::DECIDED_SLOT_BYTES;
use super::super::state::encode_state;
use super::super::testing::{LogWriter, NODE, epoch};
use super::*;
use crate::types::NodeId;

fn state() -> NodeState {
    NodeState::fresh(NODE)
}

/// The files of a node in memory.
#[derive(Clone)]
struct Memory {
    state: Option<Vec<u8>>,
    decided: Option<Vec<u8>>,
    /// The newest first.
    snapshots: Vec<(String, Vec<u8>)>,
    segments: Vec<(String, Vec<u8>)>,
}

impl Memory {
    fn new(log: &LogWriter, snapshots: &[u64]) -> Memory {
        let segments = log.segments.iter().enumerate().map(|(i, b)| (format!("{}.wal", i + 1), b.clone()));
        Memory {
            state: Some(encode_state(&state())),
            decided: None,
            snapshots: snapshots.iter().map(|n| (format!("{n}.snap"), log.snapshot(*n))).collect(),
            segments: segments.collect(),
        }
    }

    fn recover(&mut self, on_damage: OnDamage) -> (Result<Option<Found>, RecoveryError>, Vec<Bytes>) {
        let mut built = Built::default();
        let before = self.clone();
        let found = recover(self, on_damage, &mut built);
        assert!(before.segments == self.segments && before.snapshots == self.snapshots, "a file changed");
        let mut again = Built::default();
        assert_eq!(recover(self, on_damage, &mut again), found, "a second time is the same");
        assert_eq!(again.0, built.0);
        (found, built.0)
    }

    fn found(&mut self) -> (Found, Vec<Bytes>) {
        let (found, built) = self.recover(OnDamage::Refuse);
        (found.unwrap().expect("not fresh"), built)
    }

    fn error(&mut self) -> RecoveryError {
        self.recover(OnDamage::Refuse).0.unwrap_err()
    }
}

impl Files for Memory {
    fn state(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(self.state.clone())
    }

    fn decided(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(self.decided.clone())
    }

    fn snapshots(&mut self) -> Result<Vec<String>, String> {
        Ok(self.snapshots.iter().map(|(name, _)| name.clone()).collect())
    }

    fn open_snapshot(&mut self, name: &str) -> Result<Box<dyn SnapshotSource + '_>, String> {
        let (_, bytes) = self.snapshots.iter().find(|(n, _)| n == name).expect("it was listed");
        Ok(Box::new(Bytes::copy_from_slice(bytes)))
    }

    fn segments(&mut self) -> Result<Vec<String>, String> {
        Ok(self.segments.iter().map(|(name, _)| name.clone()).collect())
    }

    fn read_segment(&mut self, name: &str, bytes_max: usize) -> Result<Bytes, String> {
        let (_, bytes) = self.segments.iter().find(|(n, _)| n == name).expect("it was listed");
        Ok(Bytes::copy_from_slice(&bytes[..bytes.len().min(bytes_max)]))
    }
}

/// A "graph" that is the list of payloads it was built from.
#[derive(Default)]
struct Built(Vec<Bytes>);

impl Rebuild for Built {
    fn begin(&mut self) {
        self.0.clear();
    }

    fn snapshot(&mut self, file: &dyn SnapshotSource) -> Result<SnapshotIndex, Unreadable> {
        let index = read_snapshot(file, |payload| {
            self.0.push(payload);
            Ok(())
        })?;
        assert_eq!(self.0.len() as u64, index.header.position.lsn.0);
        Ok(index)
    }

    fn record(&mut self, record: CommitRecord) -> Result<(), String> {
        assert_eq!(self.0.len() as u64 + 1, record.lsn.0, "in order, none twice");
        self.0.push(record.payload);
        Ok(())
    }
}

/// Three segments of four records; the epoch changes in the second.
fn log() -> LogWriter {
    let mut log = LogWriter::new();
    log.batch(1, 4, 30);
    log.next_segment();
    log.batch(1, 2, 30);
    log.batch(2, 2, 30);
    log.next_segment();
    log.batch(2, 4, 30);
    log
}

fn payloads(log: &LogWriter, count: usize) -> Vec<Bytes> {
    log.records[..count].iter().map(|r| r.0.payload.clone()).collect()
}

fn whole(log: &LogWriter, snapshots: &[u64], wal_from: u64, replayed: u64) -> Found {
    let id = |n: &u64| SnapshotIndex::read(&Bytes::from(log.snapshot(*n))).unwrap().id;
    let (last, _, _, end) = log.records.last().unwrap();
    Found {
        state: state(),
        last: last.position(),
        chain: *log.chains.last().unwrap(),
        ts: last.ts,
        history: log.history.clone(),
        wal_from: Lsn(wal_from),
        live: Some((format!("{}.wal", log.segments.len()), *end as u64)),
        tail: None,
        leftover: Vec::new(),
        snapshots: snapshots.iter().rev().map(id).collect(),
        damaged: Vec::new(),
        replayed,
        decided: None,
        applied: Applied { position: last.position(), chain: *log.chains.last().unwrap(), ts: last.ts },
        held: Vec::new(),
    }
}

#[test]
fn records_after_the_note_are_held_back() {
    let log = log();
    let mut files = Memory::new(&log, &[]);
    let mut bytes = vec![0; 2 * DECIDED_SLOT_BYTES];
    let decided = Decided { number: 0, lsn: Lsn(9) };
    bytes[..DECIDED_SLOT_BYTES].copy_from_slice(&decided.encode());
    files.decided = Some(bytes);
    let (found, built) = files.found();
    let (ninth, tenth) = (&log.records[8].0, &log.records[9].0);
    assert_eq!(found.applied.position, ninth.position());
    assert_eq!(found.applied.chain, log.chains[9]);
    assert_eq!(found.held.first(), Some(tenth));
    assert_eq!((found.held.len(), found.replayed), (3, 9));
    assert_eq!(found.last, log.records[11].0.position());
    assert_eq!(built.len(), 9);
}

#[test]
fn an_empty_directory_is_fresh() {
    let mut files = Memory { state: None, decided: None, snapshots: Vec::new(), segments: Vec::new() };
    assert_eq!(files.recover(OnDamage::Refuse).0, Ok(None));
}

#[test]
fn data_without_a_state_file_is_refused() {
    let mut files = Memory { state: None, ..Memory::new(&log(), &[]) };
    assert_eq!(files.error(), RecoveryError::NoState);
    files.state = Some(b"nonsense that is long enough".to_vec());
    assert_eq!(files.error(), RecoveryError::State(StateError::Foreign));
}

#[test]
fn every_way_to_the_end_builds_the_same() {
    let log = log();
    for (snapshots, replayed) in [(vec![], 12), (vec![3], 9), (vec![4], 8), (vec![10, 5], 2), (vec![12], 0)] {
        let (found, built) = Memory::new(&log, &snapshots).found();
        assert_eq!(found, whole(&log, &snapshots, 1, replayed), "{snapshots:?}");
        assert_eq!(built, payloads(&log, 12), "{snapshots:?}");
    }
}

#[test]
fn segments_before_the_snapshot_are_not_needed() {
    let log = log();
    let mut files = Memory::new(&log, &[6]);
    files.segments.remove(0);
    let (found, built) = files.found();
    assert_eq!((found, built), (whole(&log, &[6], 5, 6), payloads(&log, 12)));
    files.segments.remove(0);
    assert!(matches!(files.error(), RecoveryError::Gap { from: Lsn(7), to: Lsn(8), .. }));
}

#[test]
fn a_damaged_snapshot_is_passed_over_where_the_log_reaches() {
    let log = log();
    let mut files = Memory::new(&log, &[10, 5]);
    files.snapshots[0].1[200] ^= 1;
    let (found, built) = files.found();
    assert_eq!((found.replayed, built), (7, payloads(&log, 12)));
    assert_eq!(found.damaged[0].0, "10.snap");
    // The log begins after the older one: nothing is guessed.
    files.segments.drain(..2);
    let RecoveryError::Gap { from, to, damaged, .. } = files.error() else { panic!() };
    assert_eq!((from, to, damaged.len()), (Lsn(6), Lsn(8), 1));
    // All damaged: the whole log, or nothing.
    let mut files = Memory::new(&log, &[10]);
    files.snapshots[0].1.truncate(300);
    assert_eq!(files.found().1, payloads(&log, 12));
    files.segments.clear();
    assert!(matches!(files.error(), RecoveryError::NothingLeft { .. }));
}

#[test]
fn a_newer_snapshot_is_refused_by_name() {
    let log = log();
    let mut files = Memory::new(&log, &[10, 5]);
    let bytes = &mut files.snapshots[0].1;
    bytes[8] = 9;
    let crc_at = 8 + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let crc = crc32fast::hash(&bytes[..crc_at]);
    bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
    let error = files.error().to_string();
    assert!(error.contains("10.snap") && error.contains("newer version"), "{error}");
}

#[test]
fn a_snapshot_of_another_history_is_refused() {
    let log = log();
    let mut other = LogWriter::new();
    other.batch(7, 12, 30);
    for lsn in [3, 4, 6, 12] {
        let mut files = Memory::new(&log, &[]);
        files.snapshots = vec![("x.snap".to_owned(), other.snapshot(lsn))];
        assert!(matches!(files.error(), RecoveryError::Corrupt { .. }), "{lsn}");
    }
}

#[test]
fn a_missing_segment_is_a_gap() {
    let mut files = Memory::new(&log(), &[]);
    files.segments.remove(1);
    assert!(matches!(files.error(), RecoveryError::Gap { from: Lsn(5), to: Lsn(8), .. }));
}

#[test]
fn segments_of_another_node_are_refused() {
    let mut files = Memory::new(&log(), &[]);
    files.state = Some(encode_state(&NodeState { node: NodeId(1), ..state() }));
    assert!(matches!(files.error(), RecoveryError::OtherNode { .. }));
}

#[test]
fn only_the_last_segment_can_end_in_a_torn_write() {
    let log = log();
    let mut files = Memory::new(&log, &[]);
    files.segments[2].1.truncate(log.records[11].3 - 5);
    let (found, built) = files.found();
    assert_eq!(built, payloads(&log, 11));
    let tail = Tail { file: "3.wal".to_owned(), offset: log.records[11].2 as u64, damage: None };
    assert_eq!(found.tail, Some(tail));
    let mut files = Memory::new(&log, &[]);
    files.segments[1].1.truncate(log.records[7].3 - 5);
    assert!(matches!(files.error(), RecoveryError::Corrupt { ref file, .. } if file == "2.wal"));
}

#[test]
fn damage_is_refused_by_file_and_place_unless_told_to_cut() {
    let log = log();
    let mut files = Memory::new(&log, &[]);
    files.segments[1].1[log.records[5].2 + 90] ^= 4;
    let offset = log.records[5].2 as u64;
    let RecoveryError::Corrupt { file, offset: at, .. } = files.error() else { panic!() };
    assert_eq!((file.as_str(), at), ("2.wal", offset));
    let (found, built) = files.recover(OnDamage::Cut);
    let found = found.unwrap().unwrap();
    assert_eq!(built, payloads(&log, 5));
    assert_eq!(found.last.lsn, Lsn(5));
    assert_eq!(found.live, Some(("2.wal".to_owned(), offset)));
    assert_eq!(found.leftover, ["3.wal"]);
    assert!(found.tail.is_some_and(|t| t.damage.is_some()));
}

#[test]
fn a_snapshot_that_outlived_the_log_begins_a_new_one() {
    let log = log();
    let mut files = Memory::new(&log, &[12]);
    files.segments.pop();
    let (found, built) = files.found();
    assert_eq!(built, payloads(&log, 12));
    assert_eq!((found.wal_from, found.live), (Lsn(13), None));
    assert_eq!(found.leftover, ["1.wal", "2.wal"]);
}

#[test]
fn a_segment_that_was_only_prepared_is_left_over() {
    let log = log();
    let mut files = Memory::new(&log, &[]);
    files.segments.push(("4.wal".to_owned(), vec![0; 4096]));
    let (found, _) = files.found();
    assert_eq!(found.leftover, ["4.wal"]);
    assert_eq!(found.last.epoch, epoch(2));
    // It can only be the last one.
    files.segments.swap(2, 3);
    assert!(matches!(files.error(), RecoveryError::Segment { .. }));
}
