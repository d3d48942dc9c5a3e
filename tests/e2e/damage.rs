//! Files that were damaged after they were written: a flipped bit, a cut, a foreign file, a newer version.
//!
//! Every damage is either told, with the file, the place and what to do, and nothing is changed; or it
//! is harmless, and the node has every record that it had. Most of it happens in this process, on the
//! files of a real node and with the recovery that the node starts with; some of it with the node.

use crate::phases::at_place;
use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, State, all_ready, register, state};
use mg_tests::chaos::LIMIT;
use mg_tests::dice::Dice;
use mg_tests::node::Node;
use mg_tests::{made, wait};
use mgbolt::PackValue;
use mgnode_core::durability::{
    DECIDED_SLOT_BYTES, Files, OnDamage, RecoveryError, Scanner, SnapshotSource, decode_decided,
};
use mgnode_core::engine::recover_node;
use mgnode_core::types::{Names, NodeId, NodeState, OneByOne};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::plain("a_thousand_flipped_bits_are_found_or_harmless", flipped_bits),
        super::plain("a_log_cut_off_in_its_last_three_records_is_found", cut_off),
        super::plain("a_damaged_directory_stops_the_start_with_file_and_place_and_is_left_alone", stopped),
        super::plain("foreign_and_newer_files_are_refused_by_name", foreign),
        super::plain(
            "a_flipped_bit_in_the_notes_of_what_was_decided_is_found_or_holds_records_back",
            flipped_notes,
        ),
        at_place("a_flipped_bit_in_a_part_of_a_snapshot_is_not_built_upon".to_owned(), flipped_part),
    ]
}

/// The files of a data directory, in memory.
#[derive(Clone, Default)]
struct Memory {
    state: Vec<u8>,
    decided: Option<Vec<u8>>,
    segments: BTreeMap<String, Vec<u8>>,
    snapshots: BTreeMap<String, Vec<u8>>,
}

impl Files for &Memory {
    fn state(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(self.state.clone()))
    }

    fn decided(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(self.decided.clone())
    }

    fn snapshots(&mut self) -> Result<Vec<String>, String> {
        Ok(self.snapshots.keys().rev().cloned().collect())
    }

    fn open_snapshot(&mut self, name: &str) -> Result<Box<dyn SnapshotSource>, String> {
        Ok(Box::new(bytes::Bytes::from(self.snapshots[name].clone())))
    }

    fn segments(&mut self) -> Result<Vec<String>, String> {
        Ok(self.segments.keys().cloned().collect())
    }

    fn read_segment(&mut self, name: &str, bytes_max: usize) -> Result<bytes::Bytes, String> {
        let bytes = &self.segments[name];
        Ok(bytes[..bytes.len().min(bytes_max)].to_vec().into())
    }
}

fn folder(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(path).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        let bytes = std::fs::read(&path).expect("it can be read");
        found.insert(path.file_name().expect("it has a name").to_string_lossy().into_owned(), bytes);
    }
    found
}

impl Memory {
    fn read(data: &Path) -> Memory {
        Memory {
            state: std::fs::read(data.join("state")).expect("a node that ran has one"),
            decided: std::fs::read(data.join("decided")).ok(),
            segments: folder(&data.join("wal")),
            snapshots: folder(&data.join("snapshots")),
        }
    }

    /// Names of the files, each with how much of it is in use, or with its length.
    fn files(&self, in_use: bool) -> Vec<(String, usize)> {
        let zeroes = |bytes: &[u8]| bytes.iter().rev().take_while(|b| **b == 0).count();
        let lengths = |files: &BTreeMap<String, Vec<u8>>| -> Vec<(String, usize)> {
            let length = |bytes: &[u8]| bytes.len() - if in_use { zeroes(bytes) } else { 0 };
            files.iter().map(|(name, bytes)| (name.clone(), length(bytes))).filter(|(_, n)| *n > 0).collect()
        };
        [vec![("state".to_owned(), self.state.len())], lengths(&self.segments), lengths(&self.snapshots)]
            .concat()
    }

    fn file(&mut self, name: &str) -> &mut Vec<u8> {
        match name {
            "state" => &mut self.state,
            _ => self.segments.get_mut(name).or(self.snapshots.get_mut(name)).expect("it is there"),
        }
    }

    /// The last segment that holds records, and where its last three begin and the last ends.
    fn last_three(&self) -> (String, usize, usize) {
        let (name, mut scanner) = self
            .segments
            .iter()
            .rev()
            .find_map(|(name, bytes)| Some((name, Scanner::new(bytes.clone().into()).ok()??)))
            .expect("there are records");
        let mut starts = Vec::new();
        loop {
            let offset = usize::try_from(scanner.offset()).expect("it is in memory");
            if scanner.next_record().is_err() {
                return (name.clone(), starts[starts.len() - 3], offset);
            }
            starts.push(offset);
        }
    }
}

/// What a start comes to: where the log ends, and what was said about damage on the way.
fn recover(files: &Memory) -> Result<(String, String), RecoveryError> {
    let names = Arc::new(Names::default());
    let fresh = || NodeState::fresh(NodeId(0));
    let (recovered, found) = recover_node(&mut &*files, OnDamage::Refuse, names, &OneByOne, fresh)?;
    let counts = recovered.graph.counts();
    let told = found.map(|f| format!("{:?}", f.damaged)).unwrap_or_default();
    let end = format!("{:?} {:016x} {counts:?} {:?}", recovered.last, recovered.chain, recovered.history);
    Ok((end, told))
}

/// Starts a node, fills it, and returns it stopped: two snapshots, several segments, records after.
fn filled(dir: &Path) -> (Node, State) {
    let flags = ["--storage-wal-file-size-kib=64", "--storage-snapshot-interval-sec=0"];
    let mut node = Node::start(dir, "node", &flags);
    let mut bolt = Bolt::connect(&node.bolt().to_string()).expect("the node answers");
    let write = |bolt: &mut Bolt, count: usize, bytes: usize| {
        for i in 0..count {
            let text = "x".repeat(bytes + i);
            bolt.run(&format!("CREATE (:A {{n: {i}, text: '{text}'}})-[:B]->(:C);")).expect("a write");
        }
    };
    write(&mut bolt, 20, 1);
    bolt.run("CREATE SNAPSHOT;").expect("a snapshot");
    write(&mut bolt, 4, 300_000);
    bolt.run("CREATE SNAPSHOT;").expect("a snapshot");
    write(&mut bolt, 30, 40);
    let end = state(&mut bolt).expect("the node answers");
    node.stop();
    (node, end)
}

fn flipped_bits() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (node, _) = filled(dir.path());
    let files = Memory::read(&node.data);
    let (end, told) = recover(&files).expect("nothing is damaged yet");
    assert_eq!(told, "[]");
    assert!(files.snapshots.len() == 2 && files.segments.len() > 2, "{:?}", files.files(false));
    let mut dice = Dice::new(None);
    let seed = dice.seed();
    let (mut refused, mut passed_over, mut harmless) = (0, 0, 0);
    let (in_use, whole) = (files.files(true), files.files(false));
    for n in 0..1200 {
        // A file is chosen first: the state file is small, so bits of the whole would hardly ever hit it.
        let all = if n < 1000 { &in_use } else { &whole };
        let (name, length) = &all[usize::try_from(dice.below(all.len() as u64)).expect("it is small")];
        let bit = usize::try_from(dice.below(*length as u64 * 8)).expect("it is in memory");
        let what = format!("bit {bit} of `{name}` (number {n}, seed {seed})");
        let mut damaged = files.clone();
        damaged.file(name)[bit / 8] ^= 1 << (bit % 8);
        match recover(&damaged) {
            Err(e) => {
                let text = e.to_string();
                assert!(text.contains(name.as_str()), "{what}: {text} does not name the file");
                refused += 1;
            }
            Ok((found, told)) => {
                assert_eq!(found, end, "{what}: it was not seen, and the data is another one");
                if told.contains(name.as_str()) {
                    passed_over += 1
                } else {
                    harmless += 1
                }
                // What is passed over in silence was not in use: zeroes ahead of the log, or records
                // that a snapshot holds already.
                assert!(
                    told.contains(name.as_str()) || name.ends_with(".wal") || name.ends_with(".snap"),
                    "{what}"
                );
            }
        }
    }
    println!(
        "1200 flipped bits: {refused} stop the start, {passed_over} damaged snapshots are passed over and told, \
              {harmless} in parts that are not read, 0 unseen"
    );
    assert!(refused > 0 && passed_over > 0, "{refused} {passed_over} {harmless}");
}

fn cut_off() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (node, _) = filled(dir.path());
    let files = Memory::read(&node.data);
    let (name, from, to) = files.last_three();
    for cut in from..=to {
        let mut damaged = files.clone();
        damaged.file(&name).truncate(cut);
        match recover(&damaged) {
            Err(RecoveryError::Corrupt { file, reason, offset }) => {
                assert!(
                    file == name && reason.contains("cut off") && offset as usize <= cut,
                    "cut at {cut}: {reason}"
                );
            }
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
    println!("{} places where the last three records are cut off: all are found", to - from + 1);
}

/// Everything in a directory but the file that says who holds it.
fn bytes_below(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("lock") {
                let bytes = std::fs::read(&path).expect("it can be read");
                found.insert(path, bytes);
            }
        }
    }
    found
}

/// Tries to start a node, which must refuse and change nothing. Returns what it says.
fn refusal_of(node: &Node) -> String {
    let before = bytes_below(&node.data);
    let out = std::process::Command::new(mg_tests::paths::mgctl())
        .args(["node", "--bolt-port=0", "--data-dir-lock-acquisition-timeout-sec=0"])
        .arg(format!("--data-directory={}", node.data.display()))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("mgctl can be started");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success(), "it ended well: {said}");
    assert!(bytes_below(&node.data) == before, "files were changed by a start that said {said}");
    said
}

fn stopped() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (mut node, end) = filled(dir.path());
    let files = Memory::read(&node.data);
    let (name, from, to) = files.last_three();
    let wal = node.data.join("wal").join(&name);
    let whole = std::fs::read(&wal).expect("it can be read");
    let mut flipped = whole.clone();
    flipped[from + 100] ^= 4;
    for (bytes, place) in [(&flipped[..], from), (&whole[..to - 10], from), (&whole[..to], to)] {
        std::fs::write(&wal, bytes).expect("it can be written");
        let said = refusal_of(&node);
        assert!(said.contains(&format!("{}` is damaged at byte ", wal.display())), "{said}");
        assert!(place != to || said.contains(&format!("at byte {to}")), "{said}");
        assert!(said.contains("nothing was changed") && said.contains("--wal-on-damage=cut"), "{said}");
    }
    std::fs::write(&wal, &whole).expect("it can be written");

    let state_file = node.data.join("state");
    for bit in [7, 100, 300] {
        let mut damaged = files.state.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&state_file, damaged).expect("it can be written");
        let said = refusal_of(&node);
        assert!(said.contains("state file cannot be used") && said.contains("Put the file back"), "{said}");
    }
    std::fs::remove_file(&state_file).expect("it is there");
    let said = refusal_of(&node);
    assert!(said.contains("no state file"), "{said}");
    std::fs::write(&state_file, &files.state).expect("it can be written");

    // The newest snapshot damaged: the older one and the log serve, and it is told.
    let newest = files.snapshots.keys().next_back().expect("there are two");
    let path = node.data.join("snapshots").join(newest);
    let mut damaged = files.snapshots[newest].clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&path, damaged).expect("it can be written");
    node.spawn();
    let mut bolt = Bolt::connect(&node.bolt().to_string()).expect("the node answers");
    let found = state(&mut bolt).expect("the node answers");
    assert_eq!((found.applied, found.chain), (end.applied, end.chain));
    assert!(!node.log_lines("a snapshot is damaged").is_empty());
}

fn foreign() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (node, _) = filled(dir.path());
    let files = Memory::read(&node.data);
    let segment = files.segments.keys().next().expect("there is one").clone();
    let newest = files.snapshots.keys().next_back().expect("there are two").clone();
    let crc = |bytes: &mut [u8], end: usize| {
        let sum = crc32fast::hash(&bytes[..end]).to_le_bytes();
        bytes[end..end + 4].copy_from_slice(&sum);
    };
    let mut newer_state = files.state.clone();
    newer_state[8] = 99;
    let end = newer_state.len() - 4;
    crc(&mut newer_state, end);
    let mut newer_segment = files.segments[&segment].clone();
    newer_segment[8] = 99;
    crc(&mut newer_segment, 60);
    let text = b"not a file of a node, but quite a long text all the same; it goes on for a while".to_vec();
    let png = [b"\x89PNG\r\n\x1a\n".to_vec(), vec![3; 2000]].concat();
    let other = {
        let mut bytes = files.segments[&segment].clone();
        bytes[16] ^= 0xff;
        crc(&mut bytes, 60);
        bytes
    };
    let wal = format!("wal/{segment}");
    let cases = [
        ("state", newer_state, "newer version of mgnode"),
        ("state", text.clone(), "not a state file"),
        ("state", Vec::new(), "damaged"),
        (wal.as_str(), newer_segment, "newer version of mgnode"),
        (wal.as_str(), text, "not a WAL segment"),
        (wal.as_str(), png, "not a WAL segment"),
        (wal.as_str(), other, "belongs to node"),
    ];
    for (name, bytes, words) in cases {
        let path = node.data.join(name);
        let before = std::fs::read(&path).expect("it is there");
        std::fs::write(&path, bytes).expect("it can be written");
        let said = refusal_of(&node);
        assert!(
            said.contains(words) && said.contains(name.rsplit('/').next().expect("a name")),
            "{name}: {said}"
        );
        std::fs::write(&path, before).expect("it can be written");
    }
    // A snapshot of a newer version is not damage to be passed over.
    let path = node.data.join("snapshots").join(&newest);
    let mut bytes = files.snapshots[&newest].clone();
    bytes[8] = 99;
    let length = u32::from_le_bytes(bytes[12..16].try_into().expect("it is four bytes"));
    let end = 8 + length as usize;
    crc(&mut bytes, end);
    std::fs::write(&path, &bytes).expect("it can be written");
    let said = refusal_of(&node);
    assert!(said.contains("newer version") && said.contains(&newest), "{said}");
}

/// Starts a MAIN with a replica, which is REPLICA of nobody yet.
fn pair(dir: &Path, flags: &[&str]) -> [Node; 2] {
    let nodes = ["main", "replica"].map(|name| Node::start(dir, name, flags));
    run(&nodes[1], "SET REPLICATION ROLE TO REPLICA WITH PORT 10000;");
    nodes
}

fn bolt(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

fn run(node: &Node, query: &str) {
    bolt(node).run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
}

fn value(node: &Node, query: &str) -> PackValue {
    bolt(node).value(query)
}

fn flipped_notes() {
    const COUNT: &str = "MATCH (a:A) RETURN count(a);";
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [mut main, replica] = pair(dir.path(), &["--storage-snapshot-interval-sec=0"]);
    register(&mut bolt(&main), "r", "STRICT_SYNC", &replica.replication());
    for _ in 0..20 {
        run(&main, "CREATE (:A);");
    }
    main.stop();
    let files = Memory::read(&main.data);
    let notes = files.decided.clone().expect("there are notes");
    let newest = decode_decided(&notes).expect("they are sound").expect("there are notes");
    let recovered = |notes: Vec<u8>| {
        let damaged = Memory { decided: Some(notes), ..files.clone() };
        let (names, fresh) = (Arc::new(Names::default()), || NodeState::fresh(NodeId(0)));
        let (recovered, found) = recover_node(&mut &damaged, OnDamage::Refuse, names, &OneByOne, fresh)?;
        let found = found.expect("there is a log");
        let shown = recovered.last.lsn.0;
        assert_eq!(shown + found.held.len() as u64, found.last.lsn.0, "shown or held back, and nothing lost");
        Ok::<_, RecoveryError>((shown, found.last, found.chain))
    };
    let (shown, last, chain) = recovered(notes.clone()).expect("nothing is damaged yet");
    assert_eq!((shown, shown), (last.lsn.0, newest.lsn.0));
    let (mut held_back, mut harmless) = (0, 0);
    // What is summed up in a slot, and the sum; the rest is zeroes.
    let in_use = |bit: &usize| bit / 8 % DECIDED_SLOT_BYTES < 36;
    for bit in (0..notes.len() * 8).filter(in_use) {
        let mut damaged = notes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let found = recovered(damaged).unwrap_or_else(|e| panic!("bit {bit}: the other note is whole: {e}"));
        assert_eq!((found.1, found.2), (last, chain), "bit {bit}");
        assert!(found.0 <= shown, "bit {bit}: {} is shown, and {shown} is decided", found.0);
        if found.0 < shown { held_back += 1 } else { harmless += 1 }
    }
    assert_eq!(
        (held_back, harmless),
        (36 * 8, 36 * 8),
        "each bit of the newest note, and no other, is missed"
    );
    println!("{held_back} flipped bits leave the note before, {harmless} change nothing");

    // Held back is not lost: the replica, which has them, decides them again.
    let path = main.data.join("decided");
    let mut damaged = notes.clone();
    damaged[newest.slot() * DECIDED_SLOT_BYTES + 24] ^= 1;
    std::fs::write(&path, &damaged).expect("it can be written");
    main.spawn();
    wait::until("the replica is ready", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    run(&main, "CREATE (:A);");
    assert_eq!([&main, &replica].map(|node| value(node, COUNT)), [PackValue::Int(21), PackValue::Int(21)]);
    main.stop();

    // Both damaged, or of a newer version: told by name, nothing is changed.
    let mut both = notes.clone();
    (both[20], both[DECIDED_SLOT_BYTES + 20]) = (99, 99);
    let mut newer = notes.clone();
    for slot in newer.chunks_mut(DECIDED_SLOT_BYTES) {
        slot[8] = 99;
        let sum = crc32fast::hash(&slot[..32]).to_le_bytes();
        slot[32..36].copy_from_slice(&sum);
    }
    for (bytes, words) in [(both, "damaged"), (newer, "newer version of mgnode")] {
        std::fs::write(&path, bytes).expect("it can be written");
        let said = refusal_of(&main);
        assert!(said.contains("the file `decided` cannot be used") && said.contains(words), "{said}");
    }
}

fn flipped_part() {
    const SUMS: &str = "MATCH (u:User) RETURN toString(count(u)) + ' ' + toString(sum(u.id)) + ' ' + \
                        toString(sum(u.age)) + ' ' + toString(sum(u.completion_percentage));";
    let dir = tempfile::tempdir().expect("a temporary folder");
    made::snapshot(&dir.path().join("main/data"), 0xA1, 60_000, 300_000).expect("it can be written");
    let [main, mut replica] = pair(dir.path(), &["--log-level=INFO"]);
    replica.stop();
    replica.die_at(Some("snapshot-half-received:4"));
    replica.spawn();
    run(&main, &format!("REGISTER REPLICA r ASYNC TO \"{}\";", replica.replication()));
    replica.wait_dead();
    replica.die_at(None);
    let saved = bytes_below(&replica.data);
    let part = replica.data.join("snapshots/incoming.part");
    let id = replica.data.join("snapshots/incoming.id");
    assert!(saved[&part].len() > 100_000, "{} bytes have come", saved[&part].len());
    let mut dice = Dice::new(None);
    let seed = dice.seed();
    for n in 0..4 {
        let damaged = if n % 3 == 2 { &id } else { &part };
        let bit = usize::try_from(dice.below(saved[damaged].len() as u64 * 8)).expect("it is in memory");
        let what = format!("bit {bit} of {} (seed {seed})", damaged.display());
        replica.wipe();
        for (path, bytes) in &saved {
            let mut bytes = bytes.clone();
            if path == damaged {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
            std::fs::write(path, bytes).expect("it can be written");
        }
        let kept = |replica: &Node| replica.log_lines("a part of a snapshot is kept from before");
        let before = kept(&replica).len();
        replica.spawn();
        // Only blocks before the flipped bit are built upon.
        if let Some(line) = kept(&replica).get(before)
            && damaged == &part
        {
            let bytes = line.rsplit_once("bytes=").and_then(|(_, n)| n.trim().parse::<usize>().ok());
            assert!(bytes.is_some_and(|bytes| bytes <= bit / 8), "{what}: {line}");
        }
        // What MAIN says may be of its last life.
        wait::until(&what, LIMIT, || match value(&replica, "MATCH (u:User) RETURN count(u);") {
            PackValue::Int(60_000) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        let found = [&main, &replica].map(|node| {
            let mut bolt = bolt(node);
            let edges = bolt.value("MATCH ()-[e:Friend]->() RETURN count(e);");
            (bolt.value(SUMS), edges, state(&mut bolt).expect("the node answers").chain)
        });
        assert_eq!(found[0], found[1], "{what}");
        replica.stop();
    }
}
