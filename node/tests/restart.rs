//! Engine, driver and real files together: what was acknowledged is there after every end.

use bytes::Bytes;
use mgnode::config::Durability;
use mgnode::disk::{self, Directory, Disk, DiskOptions};
use mgnode::driver::{self, Driver, Handle, NoTransport};
use mgnode::quic::Snapshots;
use mgnode_core::durability::{OnDamage, SnapshotIndex};
use mgnode_core::engine::{Admin, AdminAnswer, EngineConfig, Outcome};
use mgnode_core::replication::SnapshotStream;
use mgnode_core::storage::Graph;
use mgnode_core::types::{Lsn, NodeId, NodeState, PartialSnapshot, Position, SnapshotId, Value};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;

struct Node {
    driver: Driver,
    handle: Handle,
    snapshots: Arc<disk::SnapshotStore>,
}

impl Node {
    /// Ends the node and lets go of its directory.
    fn stop(self) {
        let Node { driver, handle, snapshots } = self;
        drop((handle, snapshots));
        driver.stop();
    }
}

fn options(durability: Durability) -> DiskOptions {
    DiskOptions {
        durability,
        first_segment_bytes: 8 << 10,
        segment_bytes: 64 << 10,
        ..DiskOptions::default()
    }
}

fn start(root: &Path) -> Node {
    start_with(root, Durability::Commit)
}

fn start_with(root: &Path, durability: Durability) -> Node {
    let directory = Directory::open(root, Duration::ZERO).unwrap();
    let fresh = || NodeState::fresh(NodeId(9));
    let opened = disk::open(directory, OnDamage::Refuse, Arc::default(), fresh).unwrap();
    let (inputs, queue) = driver::queue();
    let disk = Disk::start(opened.ready, &options(durability), inputs.clone()).unwrap();
    let snapshots = disk.snapshots();
    let transport = Box::new(NoTransport::new(inputs.clone()));
    let config = EngineConfig::default();
    let driver = Driver::start((inputs, queue), config, opened.recovered, Box::new(disk), transport).unwrap();
    let handle = driver.handle();
    Node { driver, handle, snapshots }
}

async fn create(handle: &Handle, n: i64) -> Position {
    let graph = handle.shared().graph();
    let commit = {
        let mut transaction = graph.begin(true);
        let label = graph.names().label("City");
        let key = graph.names().key("n");
        transaction.create_vertex(&[label], vec![(key, Value::Int(n))]).unwrap();
        transaction.finish().unwrap().expect("it wrote")
    };
    match handle.commit(commit).await {
        Outcome::Committed { position } => position,
        other => panic!("{other:?}"),
    }
}

async fn writable(handle: &Handle) {
    for _ in 0..1000 {
        if handle.shared().is_writable() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the node never became writable");
}

fn digest(graph: &Arc<Graph>) -> u64 {
    graph.digest(&graph.view())
}

/// The values of `n` that the graph holds, sorted.
fn numbers(graph: &Arc<Graph>) -> Vec<i64> {
    let transaction = graph.begin(false);
    let key = graph.names().key("n");
    let mut vertices = Vec::new();
    transaction.scan_vertices(None, usize::MAX, &mut vertices);
    let mut found: Vec<i64> = vertices
        .into_iter()
        .map(|id| match transaction.vertex_property(id, key) {
            Value::Int(n) => n,
            other => panic!("{other:?}"),
        })
        .collect();
    found.sort_unstable();
    found
}

/// Copies a directory as it is at some moment, while its owner writes on: what `kill -9` leaves.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_commits_outlive_a_killed_node() {
    for durability in [
        Durability::Commit,
        Durability::Interval(Duration::from_millis(3)),
        Durability::Os { sync_every_n_commits: None },
        Durability::Os { sync_every_n_commits: Some(7) },
    ] {
        outlives_a_kill(durability).await;
    }
}

/// What is copied while the node runs is what `kill -9` would leave: all that was written, synced or not.
async fn outlives_a_kill(durability: Durability) {
    let root = TempDir::new().unwrap();
    let node = start_with(root.path(), durability);
    writable(&node.handle).await;
    for round in 0..4 {
        let mut writers = JoinSet::new();
        for writer in 0..8 {
            let handle = node.handle.clone();
            writers.spawn(async move {
                for i in 0..15 {
                    create(&handle, round * 1000 + writer * 15 + i).await;
                }
            });
        }
        // Everything of the earlier rounds is acknowledged when the copy begins.
        let left = TempDir::new().unwrap();
        copy(root.path(), left.path());
        writers.join_all().await;
        let again = start(left.path());
        let found = numbers(&again.handle.shared().graph());
        let acknowledged: Vec<i64> = (0..round).flat_map(|r| (0..120).map(move |i| r * 1000 + i)).collect();
        assert_eq!(found[..acknowledged.len()], acknowledged);
        again.stop();
    }
    let before = digest(&node.handle.shared().graph());
    node.stop();
    let node = start(root.path());
    let graph = node.handle.shared().graph();
    assert_eq!((digest(&graph), numbers(&graph).len()), (before, 480));
    node.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_and_the_log_after_it_build_the_same_graph() {
    let root = TempDir::new().unwrap();
    let node = start(root.path());
    writable(&node.handle).await;
    for n in 0..40 {
        create(&node.handle, n).await;
    }
    let answer = node.handle.admin(Admin::CreateSnapshot).await;
    assert_eq!(answer, Ok(AdminAnswer::Snapshot { lsn: Lsn(40) }));
    let mut last = Position::default();
    for n in 40..60 {
        last = create(&node.handle, n).await;
    }
    node.handle.wait_for(last, Duration::from_secs(1)).await.unwrap();
    let before = digest(&node.handle.shared().graph());
    node.stop();
    let snapshot = root.path().join("snapshots/00000000000000000040.snap");
    for damaged in [false, true] {
        if damaged {
            let mut bytes = fs::read(&snapshot).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 8;
            fs::write(&snapshot, bytes).unwrap();
        }
        let node = start(root.path());
        let graph = node.handle.shared().graph();
        assert_eq!((digest(&graph), graph.published()), (before, last.lsn), "damaged: {damaged}");
        node.stop();
    }
}

/// A node with a snapshot file, that file, and its name.
async fn sender(root: &Path) -> (Node, Vec<u8>, SnapshotId) {
    let node = start(root);
    writable(&node.handle).await;
    for n in 0..30 {
        create(&node.handle, n).await;
    }
    node.handle.admin(Admin::CreateSnapshot).await.unwrap();
    let bytes = fs::read(root.join("snapshots/00000000000000000030.snap")).unwrap();
    let snapshot = SnapshotIndex::read(&Bytes::from(bytes.clone())).unwrap().id;
    (node, bytes, snapshot)
}

/// Cuts bytes as small as a network might.
fn pieces(bytes: &[u8]) -> Vec<Bytes> {
    let mut lengths = [1, 7, 0, 50].into_iter().cycle();
    let (mut left, mut pieces) = (bytes, Vec::new());
    while !left.is_empty() {
        let (piece, rest) = left.split_at(lengths.next().unwrap().min(left.len()));
        pieces.push(Bytes::copy_from_slice(piece));
        left = rest;
    }
    pieces
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_goes_on_where_its_stream_was_cut_off() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (main, bytes, snapshot) = sender(from.path()).await;
    let part = |offset: usize| SnapshotStream::Part { snapshot, offset: offset as u64 };
    let mut node = start(to.path());
    let third = bytes.len() / 3;
    let mut incoming = node.snapshots.receive(part(0)).unwrap();
    incoming.write(&pieces(&bytes[..third])).unwrap();
    let earlier = incoming;
    assert_eq!(node.snapshots.kept(), Some(PartialSnapshot { snapshot, bytes: third as u64 }));
    // What was not taken to be kept is overwritten.
    let mut incoming = node.snapshots.receive(part(third - 10)).unwrap();
    incoming.write(&pieces(&bytes[third - 10..2 * third])).unwrap();
    let mut earlier = earlier;
    assert!(earlier.write(&pieces(&bytes[third..])).is_err(), "a later stream has taken it over");
    assert!(incoming.load().is_err(), "it is not whole");
    assert!(node.snapshots.receive(part(2 * third + 1)).is_err(), "what comes before is not here");
    drop((earlier, incoming));
    // The end of the process changes nothing but the unfinished block, whose sum cannot be checked.
    node.stop();
    node = start(to.path());
    let kept = node.snapshots.kept().unwrap();
    assert!(kept.snapshot == snapshot && kept.bytes > 0 && kept.bytes <= 2 * third as u64, "{kept:?}");
    let mut incoming = node.snapshots.receive(part(kept.bytes as usize)).unwrap();
    for piece in bytes[kept.bytes as usize..].chunks(100) {
        incoming.write(&pieces(piece)).unwrap();
    }
    let (id, header, graph) = incoming.load().unwrap();
    assert_eq!((id, header.position.lsn), (snapshot, Lsn(30)));
    assert_eq!(digest(&graph), digest(&main.handle.shared().graph()));
    incoming.hand_over().unwrap();
    assert_eq!(node.snapshots.kept(), None);
    assert_eq!(names_in(&to.path().join("snapshots")), ["received-1.tmp"]);
    node.stop();
    main.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_part_with_wrong_bytes_only_what_is_before_them_is_kept() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (main, bytes, snapshot) = sender(from.path()).await;
    let node = start(to.path());
    let mut incoming = node.snapshots.receive(SnapshotStream::Part { snapshot, offset: 0 }).unwrap();
    incoming.write(&pieces(&bytes[..bytes.len() - 5])).unwrap();
    drop(incoming);
    node.stop();
    // As a power cut may leave it.
    let part = to.path().join("snapshots/incoming.part");
    let mut left = fs::read(&part).unwrap();
    left[bytes.len() / 2..].fill(0);
    fs::write(&part, left).unwrap();
    let node = start(to.path());
    let kept = node.snapshots.kept().unwrap();
    assert!(kept.bytes <= bytes.len() as u64 / 2, "{kept:?}");
    assert_eq!(fs::metadata(&part).unwrap().len(), kept.bytes);
    node.stop();
    main.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_protocol_1_comes_without_a_head() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (main, bytes, snapshot) = sender(from.path()).await;
    let node = start(to.path());
    let mut incoming = node.snapshots.receive(SnapshotStream::Plain).unwrap();
    incoming.write(&pieces(&bytes[..50])).unwrap();
    assert_eq!(node.snapshots.kept(), None, "nobody knows what it is a part of");
    let mut incoming = node.snapshots.receive(SnapshotStream::Plain).unwrap();
    incoming.write(&pieces(&bytes)).unwrap();
    let (id, _, graph) = incoming.load().unwrap();
    assert_eq!(id, snapshot);
    assert_eq!(digest(&graph), digest(&main.handle.shared().graph()));
    node.stop();
    main.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_of_a_damaged_snapshot() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (main, mut bytes, snapshot) = sender(from.path()).await;
    let node = start(to.path());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut incoming = node.snapshots.receive(SnapshotStream::Part { snapshot, offset: 0 }).unwrap();
    incoming.write(&pieces(&bytes)).unwrap();
    assert!(incoming.load().is_err());
    assert_eq!(node.snapshots.kept(), None);
    assert_eq!(names_in(&to.path().join("snapshots")), [""; 0]);
    // A sound file that is not the one that was announced is refused as well.
    bytes[middle] ^= 1;
    let other = SnapshotId { digest: snapshot.digest ^ 1, ..snapshot };
    let mut incoming = node.snapshots.receive(SnapshotStream::Part { snapshot: other, offset: 0 }).unwrap();
    incoming.write(&pieces(&bytes)).unwrap();
    assert!(incoming.load().is_err());
    node.stop();
    main.stop();
}
