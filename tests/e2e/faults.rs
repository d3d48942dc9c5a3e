//! Nodes that hang, links that are cut, disks that are full or read-only.

use libtest_mimic::{Completion, Trial};
use mg_tests::bolt::{Bolt, all_ready, register, replicas, state};
use mg_tests::chaos::book::Told;
use mg_tests::disks::{self, Disk};
use mg_tests::node::Node;
use mg_tests::wait;
use mgbolt::PackValue;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const TO_REPLICA: &str = "SET REPLICATION ROLE TO REPLICA WITH PORT 10000;";

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::plain("a_main_that_hangs_through_its_own_failover_acknowledges_nothing_after", hung_main),
        super::plain("an_async_replica_that_hangs_costs_nothing", hung_async),
        super::plain("an_async_replica_that_hangs_costs_no_memory", hung_async_memory),
        link("a_cut_link_degrades_and_heals", cut_link),
        disk("a_full_disk_refuses_writes_serves_reads_and_goes_on", full_disk),
        disk("a_long_commit_on_a_nearly_full_disk_is_refused_and_a_replica_waits_for_room", long_commit),
        disk("a_read_only_directory_is_refused_by_name", read_only),
    ]
}

fn disk(name: &str, test: fn(&Path)) -> Trial {
    Trial::ignorable_test(name, move || match disks::unavailable() {
        None => {
            test(disks::work_folder()?.path());
            Ok(Completion::Completed)
        }
        Some(why) => Ok(Completion::ignored_with(why)),
    })
}

/// A test that drops packets.
pub(crate) fn link(name: &str, test: fn()) -> Trial {
    Trial::ignorable_test(name, move || match Cut::new(IpAddr::from([127, 77, 255, 255]), true) {
        Ok(cut) => {
            drop(cut);
            test();
            Ok(Completion::Completed)
        }
        Err(why) => Ok(Completion::ignored_with(why)),
    })
}

fn connect(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

fn run(bolt: &mut Bolt, query: &str) {
    bolt.run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
}

fn write(bolt: &mut Bolt, id: i64) -> Told {
    Told::from_answer(bolt.run(&format!("CREATE (:W {{id: {id}}});")).map(|result| result.summary))
}

fn three(dir: &Path, modes: [&str; 2], flags: &[&str]) -> [Node; 3] {
    let nodes = ["main", "one", "two"].map(|name| Node::start(dir, name, flags));
    for (i, mode) in modes.iter().enumerate() {
        let node = &nodes[i + 1];
        run(&mut connect(node), TO_REPLICA);
        run(&mut connect(&nodes[0]), &format!("REGISTER REPLICA r{i} {mode} TO \"{}\";", node.replication()));
    }
    nodes
}

fn hung_main() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [main, one, two] = three(dir.path(), ["SYNC", "SYNC"], &["--replication-sync-timeout=1s"]);
    let mut clients: Vec<Bolt> = (0..4).map(|_| connect(&main)).collect();
    assert!(matches!(write(&mut clients[0], 1), Told::Ok { .. }));
    main.signal("STOP");
    // They ask a MAIN that does not move, and wait.
    let waiting: Vec<_> = (10i64..)
        .zip(clients)
        .map(|(id, mut bolt)| std::thread::spawn(move || (id, write(&mut bolt, id))))
        .collect();
    for node in [&one, &two] {
        run(&mut connect(node), "FENCE REPLICATION EPOCH 2 BY \"a failover\";");
    }
    run(&mut connect(&one), "SET REPLICATION ROLE TO MAIN WITH EPOCH 2;");
    run(&mut connect(&one), &format!("REGISTER REPLICA two SYNC TO \"{}\";", two.replication()));
    assert!(matches!(write(&mut connect(&one), 2), Told::Ok { .. }));
    main.signal("CONT");
    for thread in waiting {
        let (id, told) = thread.join().expect("a client does not panic");
        assert!(
            !matches!(told, Told::Ok { .. }),
            "write {id} was acknowledged by a MAIN that was replaced: {told:?}"
        );
    }
    // From the first word with a replica on it knows.
    wait::until("it knows that it was replaced", LIMIT, || match write(&mut connect(&main), 3) {
        Told::Failed { .. } => Ok(()),
        Told::Ok { .. } => panic!("a MAIN that was replaced acknowledges"),
        other => Err(format!("{other:?}")),
    });
    for node in [&one, &two] {
        let ids = connect(node).value("MATCH (w:W) WITH w.id AS id ORDER BY id RETURN collect(id);");
        assert_eq!(ids, PackValue::List(vec![PackValue::Int(1), PackValue::Int(2)]));
    }
}

fn hung_async() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [main, sync, hung] = three(dir.path(), ["SYNC", "ASYNC"], &[]);
    let mut bolt = connect(&main);
    hung.signal("STOP");
    for id in 0..50 {
        let told = write(&mut bolt, id);
        assert!(matches!(told, Told::Ok { .. }), "{told:?}");
    }
    let rows = replicas(&mut bolt).expect("MAIN answers");
    assert_eq!((rows[0].status.as_str(), rows[0].behind), ("ready", 0), "{rows:?}");
    assert!(rows[1].behind < 0, "it is behind and said to be level: {rows:?}");
    assert_eq!(connect(&sync).value("MATCH (w:W) RETURN count(w);"), PackValue::Int(50));
    hung.signal("CONT");
    wait::until("both are ready", LIMIT, || all_ready(&main.bolt().to_string(), 2));
    assert_eq!(connect(&hung).value("MATCH (w:W) RETURN count(w);"), PackValue::Int(50));
}

/// Returns how many MiB of memory a node has in use.
fn resident(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("the system says how much") >> 10
}

/// One vertex is written over and over, so that the graph stays small and the log does not.
fn hung_async_memory() {
    const MIB: i64 = 300;
    const MORE_MAX: u64 = 150;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [main, hung] =
        ["main", "hung"].map(|name| Node::start(dir.path(), name, &["--storage-gc-cycle-sec=1"]));
    run(&mut connect(&hung), TO_REPLICA);
    let mut bolt = connect(&main);
    register(&mut bolt, "r", "ASYNC", &hung.replication());
    run(&mut bolt, "CREATE (:Large {n: 0});");
    let before = resident(&main);
    hung.signal("STOP");
    for n in 1..=MIB {
        let letter = char::from(b'a' + u8::try_from(n % 26).expect("it is small"));
        let text = letter.to_string().repeat(1 << 20);
        let parameters = mgbolt::Map::new().with("text", text).with("n", n);
        bolt.run_with("MATCH (l:Large) SET l.text = $text, l.n = $n;", parameters).expect("it is written");
    }
    // Old versions go with the next sweep; what is kept for the replica would stay.
    let more =
        wait::until("old versions are swept", LIMIT, || match resident(&main).saturating_sub(before) {
            more if more <= MORE_MAX => Ok(more),
            more => Err(format!("{more} MiB more than before")),
        });
    println!("{more} MiB of memory more, {MIB} MiB that a stopped replica did not take");
    hung.signal("CONT");
    wait::until("it is ready", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    assert_eq!(connect(&hung).value("MATCH (l:Large) RETURN l.n;"), PackValue::Int(MIB));
}

/// Packets from, or to, the replication port of a node are dropped as long as this lives.
pub(crate) struct Cut {
    rule: Vec<String>,
}

impl Cut {
    pub(crate) fn new(ip: IpAddr, to_it: bool) -> Result<Cut, String> {
        let (address, port) = if to_it { ("-d", "--dport") } else { ("-s", "--sport") };
        let rule = ["INPUT", "-p", "udp", address, &ip.to_string(), port, "10000", "-j", "DROP"];
        let cut = Cut { rule: rule.iter().map(|s| (*s).to_owned()).collect() };
        cut.ask("-I").map(|()| cut)
    }

    fn ask(&self, what: &str) -> Result<(), String> {
        let out = Command::new("iptables").arg("-w").arg(what).args(&self.rule).output();
        match out {
            Ok(out) if out.status.success() => Ok(()),
            Ok(out) => Err(format!("iptables: {}", String::from_utf8_lossy(&out.stderr).trim())),
            Err(e) => Err(format!("iptables cannot be started: {e}")),
        }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Err(e) = self.ask("-D") {
            eprintln!("a rule was left: {:?}: {e}", self.rule);
        }
    }
}

fn cut_link() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [main, one, two] = three(dir.path(), ["SYNC", "SYNC"], &["--replication-sync-timeout=1s"]);
    let mut bolt = connect(&main);
    let mut id = 0;
    for ways in [&[true][..], &[false], &[true, false]] {
        let cuts: Vec<Cut> =
            ways.iter().map(|way| Cut::new(one.ip, *way).expect("it worked before")).collect();
        for _ in 0..3 {
            id += 1;
            let told = write(&mut bolt, id);
            assert!(matches!(told, Told::Degraded { .. }), "{ways:?}: {told:?}");
        }
        assert_eq!(connect(&two).value("MATCH (w:W) RETURN count(w);"), PackValue::Int(id));
        drop(cuts);
        wait::until("the replica is ready", LIMIT, || all_ready(&main.bolt().to_string(), 2));
        assert_eq!(connect(&one).value("MATCH (w:W) RETURN count(w);"), PackValue::Int(id));
        id += 1;
        let told = write(&mut bolt, id);
        assert!(matches!(told, Told::Ok { .. }), "{told:?}");
    }
    let ends = [&main, &one, &two]
        .map(|n| state(&mut connect(n)).map(|s| (s.applied, s.chain)).expect("it answers"));
    assert!(ends[0] == ends[1] && ends[0] == ends[2], "{ends:?}");
}

fn full_disk(dir: &Path) {
    let disk = Disk::make(dir, "disk", 24).expect("it worked before");
    let mut node =
        Node::new(dir, "node", &["--storage-wal-file-size-kib=64", "--storage-snapshot-interval-sec=0"]);
    node.data = disk.root.join("data");
    node.spawn();
    let mut bolt = connect(&node);
    let mut written = Vec::new();
    let text = "x".repeat(20_000);
    let mut write = |bolt: &mut Bolt, id: i64| {
        let answer = bolt.run(&format!("CREATE (:W {{id: {id}, text: '{text}'}});"));
        let told = Told::from_answer(answer.map(|result| result.summary));
        if matches!(told, Told::Ok { .. }) {
            written.push(PackValue::Int(id));
        }
        told
    };
    assert!(matches!(write(&mut bolt, 0), Told::Ok { .. }));
    let filler = disk.root.join("filler");
    let mut file = std::fs::File::create(&filler).expect("there is room");
    while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    let refused = (1..2000).find_map(|id| match write(&mut bolt, id) {
        Told::Ok { .. } => None,
        Told::Failed { code, message } => Some((code, message)),
        other => panic!("{other:?}"),
    });
    let (code, message) = refused.expect("the disk is full");
    assert_eq!(code.split('.').nth(1), Some("TransientError"), "{code}: {message}");
    assert!(message.contains("no room left on the disk"), "{message}");
    let count = bolt.value("MATCH (w:W) RETURN count(w);");
    drop(file);
    std::fs::remove_file(&filler).expect("it is there");
    wait::until("writes go on", LIMIT, || match write(&mut bolt, 5000) {
        Told::Ok { .. } => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_ne!(count, PackValue::Int(0));
    node.kill();
    node.spawn();
    let found = connect(&node).value("MATCH (w:W) WITH w.id AS id ORDER BY id RETURN collect(id);");
    assert_eq!(found, PackValue::List(written));
    node.stop();
}

/// A commit much longer than a segment: MAIN refuses it before it has a place in the log, a REPLICA, where it
/// has one already, waits for room and lives.
fn long_commit(dir: &Path) {
    let long = format!("UNWIND range(1, 4000) AS i CREATE (:L {{text: '{}'}});", "y".repeat(1000));
    let flags = ["--storage-wal-file-size-kib=64", "--storage-snapshot-interval-sec=0"];
    let node_on = |disk: &Disk, name: &str, more: &[&str]| {
        let mut node = Node::new(dir, name, &[&flags, more].concat());
        node.data = disk.root.join("data");
        node.spawn();
        node
    };
    let fill = |disk: &Disk, left: u64| {
        let path = disk.root.join("filler");
        let mut file = std::fs::File::create(&path).expect("there is room");
        while disk.free() > left && std::io::Write::write_all(&mut file, &[1; 65536]).is_ok() {}
        path
    };
    let count = |bolt: &mut Bolt| bolt.value("MATCH (l:L) RETURN count(l);");

    let disk = Disk::make(dir, "small", 24).expect("it worked before");
    let mut main = node_on(&disk, "alone", &[]);
    let mut bolt = connect(&main);
    let filler = fill(&disk, 2 << 20);
    let refused = Told::from_answer(bolt.run(&long).map(|result| result.summary));
    let Told::Failed { code, message } = refused else { panic!("{refused:?}") };
    assert!(
        code.contains("TransientError") && message.contains("no room left on the disk"),
        "{code}: {message}"
    );
    assert!(matches!(write(&mut bolt, 1), Told::Ok { .. }), "a short one has room");
    assert_eq!(count(&mut bolt), PackValue::Int(0));
    std::fs::remove_file(&filler).expect("it is there");
    run(&mut bolt, &long);
    main.stop();

    let disk = Disk::make(dir, "replica", 24).expect("it worked before");
    let replica = node_on(&disk, "replica", &[]);
    let mut main = Node::start(dir, "main", &["--replication-sync-timeout=1s"]);
    run(&mut connect(&replica), TO_REPLICA);
    let mut bolt = connect(&main);
    run(&mut bolt, &format!("REGISTER REPLICA r SYNC TO \"{}\";", replica.replication()));
    let filler = fill(&disk, 2 << 20);
    let told = Told::from_answer(bolt.run(&long).map(|result| result.summary));
    assert!(matches!(told, Told::Degraded { .. }), "it cannot be durable there: {told:?}");
    assert_eq!(count(&mut connect(&replica)), PackValue::Int(0), "the replica lives, and shows what it has");
    std::fs::remove_file(&filler).expect("it is there");
    wait::until("the replica has it too", LIMIT, || match count(&mut connect(&replica)) {
        PackValue::Int(4000) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    main.stop();
}

fn read_only(dir: &Path) {
    let disk = Disk::make(dir, "disk", 64).expect("it worked before");
    let mut node = Node::new(dir, "node", &["--storage-wal-file-size-kib=64"]);
    node.data = disk.root.join("data");
    node.spawn();
    run(&mut connect(&node), "CREATE (:A);");
    node.stop();
    disk.set_read_only(true);
    let out = Command::new(mg_tests::paths::mgctl())
        .args(["node", "--bolt-port=0"])
        .arg(format!("--data-directory={}", node.data.display()))
        .output()
        .expect("mgctl can be started");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success(), "{said}");
    assert!(said.contains(&node.data.display().to_string()) && said.contains("can write"), "{said}");
    disk.set_read_only(false);
    node.spawn();
    assert_eq!(connect(&node).value("MATCH (a:A) RETURN count(a);"), PackValue::Int(1));
    node.stop();
}
