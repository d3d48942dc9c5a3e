//! Engine, driver and real files together: what was acknowledged is there after every end.

use mgnode::disk::{self, Directory, Disk, DiskOptions};
use mgnode::driver::{self, Driver, Handle, NoTransport};
use mgnode::quic::Snapshots;
use mgnode_core::durability::OnDamage;
use mgnode_core::engine::{Admin, AdminAnswer, EngineConfig, Outcome, SnapshotHeader};
use mgnode_core::storage::Graph;
use mgnode_core::types::{Lsn, NodeId, NodeState, Position, Value};
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

fn options() -> DiskOptions {
    DiskOptions { first_segment_bytes: 8 << 10, segment_bytes: 64 << 10, ..DiskOptions::default() }
}

fn start(root: &Path) -> Node {
    let directory = Directory::open(root, Duration::ZERO).unwrap();
    let fresh = || NodeState::fresh(NodeId(9));
    let opened = disk::open(directory, OnDamage::Refuse, Arc::default(), fresh).unwrap();
    let (inputs, queue) = driver::queue();
    let disk = Disk::start(opened.ready, &options(), inputs.clone()).unwrap();
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
    let root = TempDir::new().unwrap();
    let node = start(root.path());
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_sent_arrives_as_the_same_graph() {
    let root = TempDir::new().unwrap();
    let node = start(root.path());
    writable(&node.handle).await;
    let mut last = Position::default();
    for n in 0..30 {
        last = create(&node.handle, n).await;
    }
    let graph = node.handle.shared().graph();
    let header = SnapshotHeader { position: last, chain: 1, ts: 2, history: Default::default() };
    let mut bytes = Vec::new();
    let view = graph.view();
    node.snapshots
        .encode(&header, view, &mut |piece| {
            bytes.extend_from_slice(&piece);
            Ok(())
        })
        .unwrap();
    let mut incoming = node.snapshots.receive().unwrap();
    for piece in bytes.chunks(1000) {
        incoming.write(piece).unwrap();
    }
    let (received, loaded) = incoming.finish().unwrap();
    assert_eq!(received, header);
    assert_eq!(digest(&loaded), digest(&graph));
    // A damaged one is refused and leaves nothing behind.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut incoming = node.snapshots.receive().unwrap();
    assert!(incoming.write(&bytes).and_then(|()| incoming.finish()).is_err());
    let files = fs::read_dir(root.path().join("snapshots")).unwrap().count();
    assert_eq!(files, 1, "only the one that waits for its installation");
    node.stop();
}
