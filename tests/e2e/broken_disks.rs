//! Disks that break while a node writes to them: the process ends at once, whoever it is; it has told nobody
//! what is not so; and it comes back whole.

use crate::phases::at_place;
use libtest_mimic::{Completion, Trial};
use mg_tests::bolt::{Bolt, all_ready, register, state};
use mg_tests::chaos::LIMIT;
use mg_tests::chaos::book::{Book, Rounds};
use mg_tests::chaos::writers::Writers;
use mg_tests::disks::{self, Disk};
use mg_tests::node::Node;
use mg_tests::wait;
use std::path::Path;
use std::sync::Arc;

/// How a disk breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The system lets nobody write to it any more, as after an error of the device.
    ReadOnly,
    /// Every call fails, and what was not synced is gone.
    Dead,
}

/// Whose disk it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Main,
    Replica,
}

pub(crate) fn tests() -> Vec<Trial> {
    let on_disk = |name: &str, test: fn(&Path)| {
        Trial::ignorable_test(name, move || match disks::unavailable() {
            None => {
                test(disks::work_folder()?.path());
                Ok(Completion::Completed)
            }
            Some(why) => Ok(Completion::ignored_with(why)),
        })
    };
    vec![
        at_place("a_failed_sync_ends_a_main_which_has_told_only_what_its_replica_has".to_owned(), || {
            failed_sync(Whose::Main)
        }),
        at_place("a_failed_sync_ends_a_replica_which_has_confirmed_only_what_it_has".to_owned(), || {
            failed_sync(Whose::Replica)
        }),
        Trial::ignorable_test("a_failed_sync_and_a_power_cut_take_nothing_that_was_acknowledged", || {
            if !cfg!(debug_assertions) {
                return Ok(Completion::ignored_with(
                    "a sync is let fail in builds with debug assertions only",
                ));
            }
            if let Some(why) = disks::unavailable() {
                return Ok(Completion::ignored_with(why));
            }
            failed_sync_and_power_cut(disks::work_folder()?.path());
            Ok(Completion::Completed)
        }),
        on_disk("a_disk_that_turns_read_only_under_load_ends_its_main", |dir| {
            broken(dir, Whose::Main, Fault::ReadOnly)
        }),
        on_disk("a_disk_that_turns_read_only_under_load_ends_its_replica", |dir| {
            broken(dir, Whose::Replica, Fault::ReadOnly)
        }),
        on_disk("a_disk_that_dies_under_load_ends_its_main", |dir| broken(dir, Whose::Main, Fault::Dead)),
        on_disk("a_disk_that_dies_under_load_ends_its_replica", |dir| {
            broken(dir, Whose::Replica, Fault::Dead)
        }),
    ]
}

fn connect(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

fn run(node: &Node, query: &str) {
    connect(node).run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
}

/// A MAIN with a SYNC and an ASYNC replica, clients that write, and what they are told.
struct Scene {
    /// MAIN, the SYNC replica, the ASYNC one.
    nodes: [Node; 3],
    book: Arc<Book>,
    writers: Writers,
}

impl Scene {
    fn new(mut nodes: [Node; 3]) -> Scene {
        for node in &mut nodes {
            node.spawn();
        }
        for (node, mode) in nodes[1..].iter().zip(["SYNC", "ASYNC"]) {
            run(node, "SET REPLICATION ROLE TO REPLICA WITH PORT 10000;");
            register(&mut connect(&nodes[0]), mode, mode, &node.replication());
        }
        let book = Arc::new(Book::default());
        let writers = Writers::start(book.clone(), 4);
        Scene { nodes, book, writers }
    }

    fn write(&self, round: i64) {
        self.writers.write_to(&self.nodes[0].bolt().to_string(), round);
    }

    fn wait_acknowledged(&self, round: i64) {
        wait::until("writes are acknowledged", LIMIT, || match self.book.acknowledged(round) {
            0..10 => Err("few"),
            _ => Ok(()),
        });
    }

    fn wait_ready(&self) {
        let main = self.nodes[0].bolt().to_string();
        wait::until("the replicas are ready", LIMIT, || all_ready(&main, 2));
    }

    /// What was acknowledged is there, whatever else is not.
    fn assert_has_all(&self, node: &Node) {
        let name = node.dir.display().to_string();
        assert_eq!(
            self.book.compare(&name, &mut connect(node), Rounds::All).expect("it answers"),
            [],
            "{name}"
        );
    }

    /// The node that broke is back: everybody has everything.
    fn end(self) {
        self.wait_ready();
        self.write(9);
        self.wait_acknowledged(9);
        self.writers.pause();
        self.wait_ready();
        let ends = self.nodes.each_ref().map(|node| {
            self.assert_has_all(node);
            let end = state(&mut connect(node)).expect("it answers");
            (end.applied, end.chain)
        });
        assert!(ends[0] == ends[1] && ends[0] == ends[2], "{ends:?}");
        self.writers.stop();
    }

    /// The node ends by itself. Nobody hears yes of what it, or MAIN on its word, might not have.
    fn ends(&mut self, whose: Whose) -> String {
        let said = self.nodes[index(whose)].wait_halted();
        self.writers.pause();
        match whose {
            Whose::Main => self.assert_has_all(&self.nodes[1]),
            Whose::Replica => self.nodes[0].stop(),
        }
        said
    }

    /// It comes back with what it had, before anyone can give it the rest.
    fn comes_back(&mut self, whose: Whose) {
        self.nodes[index(whose)].spawn();
        if whose == Whose::Replica {
            self.assert_has_all(&self.nodes[1]);
            self.nodes[0].spawn();
        }
    }
}

fn index(whose: Whose) -> usize {
    match whose {
        Whose::Main => 0,
        Whose::Replica => 1,
    }
}

fn nodes(dir: &Path) -> [Node; 3] {
    ["main", "sync", "async"].map(|name| Node::new(dir, name, &[]))
}

fn failed_sync(whose: Whose) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut scene = Scene::new(nodes(dir.path()));
    scene.write(1);
    scene.wait_acknowledged(1);
    scene.writers.pause();
    let target = &mut scene.nodes[index(whose)];
    target.stop();
    target.fail_at(Some("commit-sync:20"));
    target.spawn();
    target.fail_at(None);
    scene.wait_ready();
    scene.write(2);
    let said = scene.ends(whose);
    assert!(said.contains("Input/output error") && said.contains(".wal"), "{said}");
    let target = &scene.nodes[index(whose)];
    assert_eq!(
        target.log_lines("fails at `commit-sync`").len(),
        1,
        "the next sync would have been called good"
    );
    scene.comes_back(whose);
    scene.end();
}

/// What the failed sync was to make last is lost for good.
fn failed_sync_and_power_cut(dir: &Path) {
    let mut disk = Disk::make(dir, "disk", 64).expect("it worked before");
    let mut node = Node::new(dir, "node", &["--storage-wal-file-size-kib=64"]);
    node.data = disk.root.join("data");
    node.fail_at(Some("commit-sync:40"));
    node.spawn();
    node.fail_at(None);
    let book = Arc::new(Book::of_one_main());
    let writers = Writers::start(book.clone(), 4);
    writers.write_to(&node.bolt().to_string(), 1);
    let said = node.wait_halted();
    assert!(said.contains("Input/output error"), "{said}");
    disk.cut_power();
    writers.pause();
    let acknowledged = book.acknowledged(1);
    assert!(acknowledged >= 10, "{acknowledged}");
    disk.unmount().expect("nobody uses it");
    disk.mount().expect("its journal is replayed");
    node.spawn();
    assert_eq!(book.compare("node", &mut connect(&node), Rounds::All).expect("it answers"), []);
    writers.stop();
    node.stop();
}

fn broken(dir: &Path, whose: Whose, fault: Fault) {
    let mut disk = Disk::make(dir, "disk", 64).expect("it worked before");
    let mut nodes = nodes(dir);
    nodes[index(whose)].data = disk.root.join("data");
    let mut scene = Scene::new(nodes);
    scene.write(1);
    scene.wait_acknowledged(1);
    match fault {
        Fault::ReadOnly => disk.turn_read_only(),
        Fault::Dead => disk.cut_power(),
    }
    let said = scene.ends(whose);
    assert!(said.contains("Read-only file system") || said.contains("Input/output error"), "{said}");
    disk.unmount().expect("nobody uses it");
    disk.mount().expect("it can be mounted again");
    scene.comes_back(whose);
    scene.end();
}
