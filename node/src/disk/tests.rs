//! The disk over real files in a temporary directory.

use super::*;
use crate::driver::{Queue, queue};
use bytes::Bytes;
use mgnode_core::durability::{
    DECIDED_SLOT_BYTES, Found, Rebuild, SegmentHeader, SnapshotEncoder, SnapshotIndex, SnapshotSource, Tail,
    Unreadable, decode_decided, frame_bytes, read_snapshot, recover,
};
use mgnode_core::types::{Epoch, History, Position, chain_next};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;

const OWN: NodeId = NodeId(0xA1);

fn epoch(number: u64) -> Epoch {
    Epoch { number, node: OWN, incarnation: 1 }
}

fn state(by: &str) -> NodeState {
    NodeState { promised: epoch(1), promised_by: by.to_owned(), ..NodeState::fresh(OWN) }
}

fn small() -> DiskOptions {
    DiskOptions { first_segment_bytes: 4 << 10, segment_bytes: 8 << 10, ..DiskOptions::default() }
}

/// A "graph" that is the payloads that it was built from.
#[derive(Default)]
struct Payloads(Vec<Bytes>);

impl Rebuild for Payloads {
    fn begin(&mut self) {
        self.0.clear();
    }
    fn snapshot(&mut self, file: &dyn SnapshotSource) -> Result<SnapshotIndex, Unreadable> {
        read_snapshot(file, |payload| {
            self.0.push(payload);
            Ok(())
        })
    }
    fn record(&mut self, record: CommitRecord) -> Result<(), String> {
        self.0.push(record.payload);
        Ok(())
    }
}

/// A disk at work, and what a caller keeps in mind about it.
struct Bench {
    disk: Disk,
    queue: Queue,
    number: u64,
    last: Lsn,
    chain: u64,
}

impl Bench {
    fn open(root: &TempDir, options: &DiskOptions) -> (Bench, Vec<Bytes>, Option<Found>) {
        let directory = Directory::open(root.path(), Duration::ZERO).unwrap();
        let mut payloads = Payloads::default();
        let found = recover(&mut &directory, OnDamage::Refuse, &mut payloads).unwrap();
        let names = Arc::new(Names::default());
        let ready = match &found {
            Some(found) => Ready::repaired(directory, names, found).unwrap(),
            None => Ready::fresh(directory, names, &state("")).unwrap(),
        };
        let (last, chain) = (ready.last, ready.chain);
        let (inputs, queue) = queue();
        let disk = Disk::start(ready, options, inputs).unwrap();
        (Bench { disk, queue, number: 1, last, chain }, payloads.0, found)
    }

    fn write(&mut self, payload: impl Into<Bytes>) {
        self.last = self.last.next();
        let payload = payload.into();
        let record = CommitRecord { epoch: epoch(self.number), lsn: self.last, ts: self.last.0, payload };
        self.chain = chain_next(self.chain, &record);
        self.disk.write_wal(record, self.chain);
    }

    fn sync(&mut self) {
        self.disk.sync_wal(self.last);
        loop {
            match self.queue.next_input() {
                Some(Input::WalSynced { lsn }) if lsn == self.last => return,
                Some(Input::WalSynced { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn read(&mut self, from: u64, bytes_max: usize) -> Vec<u64> {
        self.disk.read_wal(PeerId(2), Lsn(from), bytes_max);
        let Some(Input::WalRead { result: Ok(records), .. }) = self.queue.next_input() else {
            panic!("no answer")
        };
        records.iter().map(|(r, _)| r.lsn.0).collect()
    }

    fn stop(mut self) {
        self.disk.stop();
    }
}

fn payload(n: u64) -> Vec<u8> {
    format!("payload {n}").repeat(1 + (n % 40) as usize).into_bytes()
}

/// Writes records from the next up to `last`, in groups.
fn fill_up(bench: &mut Bench, last: u64) {
    while bench.last.0 < last {
        bench.write(payload(bench.last.0 + 1));
        if bench.last.0.is_multiple_of(7) {
            bench.sync();
        }
    }
    bench.sync();
}

fn expected(last: u64) -> Vec<Bytes> {
    (1..=last).map(|n| payload(n).into()).collect()
}

#[test]
fn what_was_synced_is_there_after_every_restart() {
    let root = TempDir::new().unwrap();
    for round in 0..5 {
        let (mut bench, found, _) = Bench::open(&root, &small());
        assert_eq!(found, expected(round * 60));
        fill_up(&mut bench, (round + 1) * 60);
        bench.stop();
    }
    let segments = fs::read_dir(root.path().join("wal")).unwrap().count();
    assert!(segments > 5, "{segments} segments: it never went over to a new one");
}

#[test]
fn a_record_larger_than_a_segment_gets_its_own() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    bench.write("small");
    bench.write(vec![7; 100_000]);
    bench.write("small again");
    bench.sync();
    assert_eq!(bench.read(2, 1), [2]);
    bench.stop();
    let (bench, found, _) = Bench::open(&root, &small());
    assert_eq!(found[1], vec![7; 100_000]);
    assert_eq!(found.len(), 3);
    bench.stop();
}

#[test]
fn records_are_read_back_from_anywhere() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    fill_up(&mut bench, 150);
    for reopened in [false, true] {
        if reopened {
            bench.stop();
            bench = Bench::open(&root, &small()).0;
        }
        for from in 1..=150 {
            let records = bench.read(from, 2000);
            assert!(!records.is_empty(), "from {from}");
            let follow: Vec<u64> = (from..from + records.len() as u64).collect();
            assert_eq!(records, follow);
        }
        assert_eq!(bench.read(151, 2000), []);
        assert_eq!(bench.read(0, 2000), []);
        assert_eq!(bench.read(150, 1), [150]);
    }
    bench.stop();
}

#[test]
fn a_directory_in_use_is_named_with_its_holder() {
    let root = TempDir::new().unwrap();
    let (bench, ..) = Bench::open(&root, &small());
    let error = Directory::open(root.path(), Duration::from_millis(50)).unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    bench.stop();
    Directory::open(root.path(), Duration::ZERO).unwrap();
}

#[test]
fn a_torn_tail_is_wiped_and_the_log_goes_on_in_its_place() {
    let root = TempDir::new().unwrap();
    let options = DiskOptions { first_segment_bytes: 16 << 10, ..small() };
    let (mut bench, ..) = Bench::open(&root, &options);
    fill_up(&mut bench, 6);
    bench.stop();
    let path = root.path().join("wal/0000000000000001.wal");
    let bytes = fs::read(&path).unwrap();
    let starts: Vec<usize> = (1..=6)
        .scan(512, |at, n| {
            let start = *at;
            *at += frame_bytes(payload(n).len());
            Some(start)
        })
        .collect();
    let end = starts[5] + frame_bytes(payload(6).len());
    for cut in (starts[3]..=end).step_by(17) {
        // Both a file whose last part was never written and one whose repair was cut short. (Every byte:
        // `durability::wal`.)
        for zeroed in [false, true] {
            let mut left = bytes.clone();
            if zeroed {
                left[cut..].fill(0)
            } else {
                let header = SegmentHeader::decode(&left).unwrap().unwrap();
                left[..512].copy_from_slice(&SegmentHeader { bytes: 0, ..header }.encode());
                left.truncate(cut)
            }
            fs::remove_dir_all(root.path().join("wal")).unwrap();
            fs::create_dir(root.path().join("wal")).unwrap();
            fs::write(&path, left).unwrap();
            let whole = (0..6).filter(|i| starts.get(i + 1).copied().unwrap_or(end) <= cut).count() as u64;
            let (mut bench, found, _) = Bench::open(&root, &options);
            assert_eq!(found, expected(whole), "cut at {cut}");
            fill_up(&mut bench, whole + 2);
            bench.stop();
            let (bench, found, again) = Bench::open(&root, &options);
            assert_eq!(found, expected(whole + 2), "cut at {cut}");
            assert_eq!(again.unwrap().tail, None);
            bench.stop();
        }
    }
}

#[test]
fn damage_is_named_with_file_and_offset_and_changes_nothing() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    fill_up(&mut bench, 20);
    bench.stop();
    let path = root.path().join("wal/0000000000000001.wal");
    let mut bytes = fs::read(&path).unwrap();
    bytes[512 + 85] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let directory = Directory::open(root.path(), Duration::ZERO).unwrap();
    let refused = open(directory, OnDamage::Refuse, Arc::default(), || unreachable!());
    let error = refused.err().expect("it is damaged").to_string();
    assert!(error.contains("0000000000000001.wal` is damaged at byte 512"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn damage_that_is_cut_is_kept_aside() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    fill_up(&mut bench, 60);
    bench.stop();
    let path = root.path().join("wal/0000000000000001.wal");
    let mut bytes = fs::read(&path).unwrap();
    let second = 512 + frame_bytes(payload(1).len());
    bytes[second + 85] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let directory = Directory::open(root.path(), Duration::ZERO).unwrap();
    let mut built = Payloads::default();
    let found = recover(&mut &directory, OnDamage::Cut, &mut built).unwrap().unwrap();
    assert!(matches!(&found.tail, Some(Tail { damage: Some(_), .. })));
    drop(Ready::repaired(directory, Arc::default(), &found).unwrap());
    assert_eq!(fs::read(root.path().join("diverged/0000000000000001.wal.damaged")).unwrap(), bytes);
    assert!(root.path().join("diverged/0000000000000002.wal").exists());
    let (bench, found, _) = Bench::open(&root, &small());
    assert_eq!(found, expected(1));
    bench.stop();
}

#[test]
fn the_state_is_replaced_as_a_whole() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    for id in 1..=3 {
        bench.disk.save_state(id, state(&format!("operation {id}")));
        let Some(Input::StateSaved { id: saved, result: Ok(()) }) = bench.queue.next_input() else {
            panic!()
        };
        assert_eq!(saved, id);
    }
    bench.stop();
    let (bench, _, found) = Bench::open(&root, &small());
    assert_eq!(found.unwrap().state, state("operation 3"));
    bench.stop();
}

#[test]
fn a_state_that_cannot_be_written_is_told_and_the_old_one_stands() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    // A folder in the place of the temporary file.
    fs::create_dir(root.path().join("state.tmp")).unwrap();
    bench.disk.save_state(1, state("refused"));
    let answer = bench.queue.next_input();
    assert!(matches!(answer, Some(Input::StateSaved { id: 1, result: Err(_) })), "{answer:?}");
    bench.write("the log is not touched by that");
    bench.sync();
    fs::remove_dir(root.path().join("state.tmp")).unwrap();
    bench.stop();
    let (bench, found, recovered) = Bench::open(&root, &small());
    assert_eq!((found.len(), recovered.unwrap().state), (1, state("")));
    bench.stop();
}

/// A snapshot file as a peer of the same history would send it.
fn snapshot(header: &SnapshotHeader, payloads: &[Bytes]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = SnapshotEncoder::new(header, &mut out);
    for payload in payloads {
        encoder.block(payload, &mut out);
    }
    encoder.finish(&mut out);
    out
}

fn header(number: u64, first: u64, lsn: u64, chain: u64) -> SnapshotHeader {
    let mut history = History::default();
    history.note(epoch(1), Lsn(1));
    history.note(epoch(number), Lsn(first));
    SnapshotHeader { position: Position { epoch: epoch(number), lsn: Lsn(lsn) }, chain, ts: 5, history }
}

fn install(bench: &mut Bench, root: &TempDir, header: &SnapshotHeader, payloads: &[Bytes]) {
    let path = root.path().join("snapshots/from-peer.tmp");
    fs::write(&path, snapshot(header, payloads)).unwrap();
    bench.disk.snapshots.received.put(header.clone(), path);
    bench.disk.install_snapshot(header.clone());
    let answer = bench.queue.next_input();
    assert!(
        matches!(answer, Some(Input::SnapshotInstalled { lsn }) if lsn == header.position.lsn),
        "{answer:?}"
    );
    (bench.number, bench.last, bench.chain) =
        (header.position.epoch.number, header.position.lsn, header.chain);
}

#[test]
fn an_installed_snapshot_takes_the_place_of_the_log() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    fill_up(&mut bench, 40);
    let theirs: Vec<Bytes> = vec!["a".into(), "b".into()];
    install(&mut bench, &root, &header(1, 1, 100, 77), &theirs);
    assert_eq!(bench.read(40, 1000), []);
    bench.write("after");
    bench.sync();
    assert_eq!(bench.read(101, 1000), [101]);
    bench.stop();
    let (bench, found, recovered) = Bench::open(&root, &small());
    assert_eq!(found, [Bytes::from("a"), "b".into(), "after".into()]);
    assert_eq!(recovered.unwrap().wal_from, Lsn(101));
    // Everything that was there is part of the new history.
    assert!(!root.path().join("diverged").exists());
    bench.stop();
}

#[test]
fn a_log_that_the_new_history_lacks_is_kept_aside() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    fill_up(&mut bench, 40);
    let before = fs::read(root.path().join("wal/0000000000000001.wal")).unwrap();
    // Their epoch 2 begins at record 3, which here is of epoch 1.
    install(&mut bench, &root, &header(2, 3, 30, 77), &["theirs".into()]);
    bench.stop();
    assert_eq!(fs::read(root.path().join("diverged/0000000000000001.wal")).unwrap(), before);
    let (bench, found, _) = Bench::open(&root, &small());
    assert_eq!(found, [Bytes::from("theirs")]);
    bench.stop();
}

#[test]
fn an_installation_cut_short_is_ended_at_the_next_start() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    fill_up(&mut bench, 40);
    bench.stop();
    let header = header(1, 1, 90, 5);
    fs::write(root.path().join("snapshots/install.snap"), snapshot(&header, &["theirs".into()])).unwrap();
    let (mut bench, found, recovered) = Bench::open(&root, &small());
    assert_eq!(found, [Bytes::from("theirs")]);
    assert_eq!(recovered.unwrap().last, header.position);
    bench.write("after");
    bench.sync();
    bench.stop();
    let (bench, found, _) = Bench::open(&root, &small());
    assert_eq!(found.len(), 2);
    bench.stop();
}

#[test]
fn log_before_a_record_goes_segment_by_segment() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    fill_up(&mut bench, 150);
    let segments = |root: &TempDir| fs::read_dir(root.path().join("wal")).unwrap().count();
    let all = segments(&root);
    bench.disk.drop_wal(Lsn(141));
    bench.disk.save_state(1, state(""));
    let answer = bench.queue.next_input();
    assert!(
        matches!(answer, Some(Input::StateSaved { .. })),
        "what was asked for before is done: {answer:?}"
    );
    assert_eq!(bench.read(1, 100), []);
    assert_eq!(bench.read(141, 100)[0], 141);
    assert!(segments(&root) < all);
    bench.stop();
}

#[test]
fn a_full_disk_is_told_once_and_its_end_too() {
    let root = TempDir::new().unwrap();
    let directory = Arc::new(Directory::open(root.path(), Duration::ZERO).unwrap());
    let wal = root.path().join("wal");
    fs::remove_dir(&wal).unwrap();
    let (inputs, queue) = queue();
    let (spares_in, spares) = mpsc::sync_channel(0);
    let (stop, stopped) = mpsc::channel();
    let thread = spawn("test", move || {
        segment::keep_prepared(directory, 1, 4096, spares_in, stopped, move |i| inputs.send(i));
    });
    assert!(matches!(queue.next_input(), Some(Input::WalSpace { enough: false })));
    fs::create_dir(&wal).unwrap();
    assert!(matches!(queue.next_input(), Some(Input::WalSpace { enough: true })));
    assert_eq!(spares.recv().unwrap().sequence, 1);
    drop((spares, stop));
    thread.unwrap().join().unwrap();
    assert_eq!(fs::read_dir(&wal).unwrap().count(), 1, "the spare that nobody took is removed");
}

#[test]
fn a_node_without_room_can_be_stopped() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    fill_up(&mut bench, 3);
    // No further segment can be made, and what follows needs more than one.
    let (wal, away) = (root.path().join("wal"), root.path().join("away"));
    fs::rename(&wal, &away).unwrap();
    while bench.last.0 < 200 {
        bench.write(payload(bench.last.0 + 1));
    }
    bench.disk.sync_wal(bench.last);
    assert!(matches!(bench.queue.next_input(), Some(Input::WalSpace { enough: false })));
    bench.stop();
    fs::rename(&away, &wal).unwrap();
    let (bench, found, _) = Bench::open(&root, &small());
    assert!(found.len() >= 3 && found == expected(found.len() as u64));
    bench.stop();
}

#[test]
fn a_failed_write_is_told_once_and_nothing_is_said_to_be_durable_after() {
    let root = TempDir::new().unwrap();
    let directory = Directory::open(root.path(), Duration::ZERO).unwrap();
    let mut ready = Ready::fresh(directory, Arc::default(), &state("")).unwrap();
    // A segment opened for reading only stands for a disk that refuses.
    let path = ready.directory.segment(1);
    let mut bytes =
        SegmentHeader { node: OWN, sequence: 1, first: Lsn(1), chain: 0, bytes: 64 << 10 }.encode();
    bytes.resize(64 << 10, 0);
    fs::write(&path, bytes).unwrap();
    let segment = Arc::new(Segment::new(path.clone(), fs::File::open(&path).unwrap(), Lsn(1), 512));
    ready.live = None;
    let (inputs, queue) = queue();
    let (_spares_in, spares) = mpsc::sync_channel(0);
    let writer = Writer {
        directory: ready.directory,
        node: OWN,
        durability: Durability::Commit,
        catalog: Arc::new(Mutex::new(vec![segment.clone()])),
        received: Received::default(),
        spares,
        first_spare: None,
        inputs,
        log: Log::new(Some((segment, 64 << 10)), Lsn::ZERO, 0),
        has_failed: false,
        notes: Arc::new(Mutex::new(Notes::after(None))),
        names: Arc::default(),
    };
    let (line, end) = writer::line(writer);
    for lsn in [1, 2] {
        let record =
            CommitRecord { epoch: epoch(1), lsn: Lsn(lsn), ts: 1, payload: Bytes::from_static(b"x") };
        line.append(vec![(record, 0)], Some(Lsn(lsn)));
    }
    let (done, stopped) = mpsc::channel();
    line.ask(Command::Stop { done });
    end.serve();
    drop(line);
    let _ = stopped.recv();
    assert!(matches!(queue.next_input(), Some(Input::WalFailed { .. })));
    assert!(queue.next_input().is_none(), "something was said after the failure");
}

#[test]
fn a_directory_that_cannot_be_made_is_a_clear_error() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    let error = Directory::open(&root.path().join("file/data"), Duration::ZERO).unwrap_err().to_string();
    assert!(error.starts_with("cannot use data directory `"), "{error}");
    // Missing parents are made.
    Directory::open(&root.path().join("a/b/c"), Duration::ZERO).unwrap();
}

#[test]
fn interval_and_os_answer_after_the_write() {
    for durability in
        [Durability::Interval(Duration::from_millis(5)), Durability::Os { sync_every_n_commits: Some(3) }]
    {
        let root = TempDir::new().unwrap();
        let options = DiskOptions { durability, ..small() };
        let (mut bench, ..) = Bench::open(&root, &options);
        fill_up(&mut bench, 50);
        std::thread::sleep(Duration::from_millis(20));
        fill_up(&mut bench, 60);
        // The process is killed: what was written is the system's.
        bench.stop();
        let (bench, found, _) = Bench::open(&root, &options);
        assert_eq!(found, expected(60));
        bench.stop();
    }
}

/// Records without changes, so that the real graph can be rebuilt from them.
fn fill_with_nothing(bench: &mut Bench, last: u64) {
    let nothing = Bytes::from(mgnode_core::storage::Graph::new(Arc::default()).encode(&[]));
    while bench.last.0 < last {
        bench.write(nothing.clone());
    }
    bench.sync();
}

fn position(lsn: u64) -> Position {
    Position { epoch: epoch(1), lsn: Lsn(lsn) }
}

fn last_of(root: &TempDir) -> Position {
    let (bench, _, found) = Bench::open(root, &small());
    bench.stop();
    found.expect("not fresh").last
}

#[test]
fn a_log_that_is_cut_back_keeps_the_rest_aside_and_goes_on() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    fill_with_nothing(&mut bench, 300);
    bench.disk.rewind(position(110));
    let recovered = match bench.queue.next_input() {
        Some(Input::Rewound { result: Ok(recovered) }) => recovered,
        other => panic!("{other:?}"),
    };
    assert_eq!(recovered.last, position(110));
    (bench.last, bench.chain, bench.number) = (Lsn(110), recovered.chain, 2);
    fill_with_nothing(&mut bench, 115);
    bench.stop();
    assert_eq!(last_of(&root), Position { epoch: epoch(2), lsn: Lsn(115) });
    let kept: Vec<_> = fs::read_dir(root.path().join("diverged")).unwrap().collect();
    assert_eq!(kept.len(), 1);
    let bytes = fs::read(kept[0].as_ref().unwrap().path()).unwrap();
    let mut scanner = mgnode_core::durability::Scanner::new(bytes.into()).unwrap().expect("it was used");
    for lsn in 111..=300 {
        assert_eq!(scanner.next_record().unwrap().record.lsn, Lsn(lsn));
    }
    assert!(scanner.next_record().is_err());
}

#[test]
fn a_cut_that_a_crash_interrupted_is_ended_at_the_next_start() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    fill_with_nothing(&mut bench, 300);
    bench.stop();
    // Nothing but the mark is there; the worst that can be left to do.
    fs::write(root.path().join("rewind"), position(110).to_string()).unwrap();
    assert_eq!(last_of(&root), position(110));
    assert!(!root.path().join("rewind").exists());
}

#[test]
fn a_log_is_not_cut_where_nothing_reaches_back() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    fill_with_nothing(&mut bench, 50);
    let other = Position { epoch: epoch(7), lsn: Lsn(20) };
    bench.disk.rewind(other);
    assert!(matches!(bench.queue.next_input(), Some(Input::Rewound { result: Err(_) })));
    fill_with_nothing(&mut bench, 60);
    bench.stop();
    assert_eq!(last_of(&root), position(60));
}

fn noted(bench: &mut Bench, lsn: u64, is_first: bool) {
    bench.disk.note_decided(Lsn(lsn), is_first);
    match bench.queue.next_input() {
        Some(Input::DecidedNoted { lsn: said }) => assert_eq!(said, Lsn(lsn)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_note_of_what_may_be_shown_is_on_the_disk_when_it_is_answered_and_its_number_never_comes_twice() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    let note = || decode_decided(&fs::read(root.path().join("decided")).unwrap()).unwrap().expect("a note");
    noted(&mut bench, 0, true);
    fill_with_nothing(&mut bench, 50);
    for lsn in [20, 45] {
        noted(&mut bench, lsn, false);
        assert_eq!(note().lsn, Lsn(lsn));
    }
    // What was cut off may not pass for decided, though the newest note tears and the one before counts.
    bench.disk.rewind(position(30));
    match bench.queue.next_input() {
        Some(Input::Rewound { result: Ok(recovered) }) => {
            (bench.last, bench.chain, bench.number) = (Lsn(30), recovered.chain, 2);
        }
        other => panic!("{other:?}"),
    }
    let cut = note();
    assert_eq!((cut.number, cut.lsn), (3, Lsn(30)));
    fill_with_nothing(&mut bench, 40);
    noted(&mut bench, 31, false);
    assert_eq!(note().number, 4);
    bench.stop();
    let mut bytes = fs::read(root.path().join("decided")).unwrap();
    bytes[note().slot() * DECIDED_SLOT_BYTES] ^= 1;
    assert_eq!(decode_decided(&bytes), Ok(Some(cut)));
}

#[test]
fn undecided_records_stay_so_where_the_log_is_cut_back_to_one_of_them() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    noted(&mut bench, 0, true);
    fill_with_nothing(&mut bench, 50);
    noted(&mut bench, 20, false);
    bench.disk.rewind(position(30));
    let recovered = match bench.queue.next_input() {
        Some(Input::Rewound { result: Ok(recovered) }) => recovered,
        other => panic!("{other:?}"),
    };
    assert_eq!((recovered.last, recovered.held.len()), (position(20), 10));
    bench.stop();
    assert_eq!(last_of(&root), position(30));
}

#[test]
fn damaged_snapshots_are_kept_to_be_looked_at_but_only_the_newest_two() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    fill_up(&mut bench, 40);
    bench.stop();
    let folder = root.path().join("snapshots");
    for lsn in [7, 19, 31] {
        fs::write(folder.join(format!("{lsn:020}.snap.damaged")), "damaged before").unwrap();
    }
    fs::write(folder.join(format!("{:020}.snap", 36)), "no snapshot at all").unwrap();
    let (bench, found, _) = Bench::open(&root, &small());
    bench.stop();
    assert_eq!(found, expected(40), "the log served");
    let mut left: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, [format!("{:020}.snap.damaged", 31), format!("{:020}.snap.damaged", 36)]);
}

#[test]
fn what_cannot_be_read_back_is_told_and_what_comes_before_it_is_given() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    fill_up(&mut bench, 40);
    let path = root.path().join("wal/0000000000000001.wal");
    let bytes = fs::read(&path).unwrap();
    let mut scanner =
        mgnode_core::durability::Scanner::new(bytes.clone().into()).unwrap().expect("it is used");
    for _ in 1..10 {
        scanner.next_record().unwrap();
    }
    let mut damaged = bytes;
    let at = usize::try_from(scanner.offset()).unwrap() + 40;
    damaged[at] ^= 1;
    fs::write(&path, damaged).unwrap();
    assert_eq!(bench.read(5, 1 << 20), (5..10).collect::<Vec<_>>());
    bench.disk.read_wal(PeerId(2), Lsn(10), 1 << 20);
    let Some(Input::WalRead { from: Lsn(10), result: Err(error), .. }) = bench.queue.next_input() else {
        panic!("damage is not given out")
    };
    assert!(error.contains("0000000000000001.wal` is damaged at byte"), "{error}");
    bench.stop();
}

#[test]
fn a_log_is_not_cut_where_what_is_cut_off_cannot_be_kept() {
    let root = TempDir::new().unwrap();
    let (mut bench, ..) = Bench::open(&root, &small());
    fill_with_nothing(&mut bench, 300);
    let path = root.path().join("wal/0000000000000002.wal");
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&path, damaged).unwrap();
    bench.disk.rewind(position(30));
    let error = match bench.queue.next_input() {
        Some(Input::Rewound { result: Err(error) }) => error,
        other => panic!("{other:?}"),
    };
    assert!(error.contains("records 31 to 300, to be kept aside, cannot all be read"), "{error}");
    bench.stop();
    fs::write(&path, whole).unwrap();
    assert_eq!(last_of(&root), position(300));
}
