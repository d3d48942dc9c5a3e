//! Replication over a network that reaches over hosts: its datagrams are shorter than an Ethernet's.

use super::cluster::Cluster;
use libtest_mimic::{Completion, Trial};
use mg_tests::bolt::{Bolt, all_ready, state};
use mg_tests::docker::Engine;
use mg_tests::mgctl::{User, Where};
use mg_tests::wait;
use mgbolt::PackValue;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn tests() -> Vec<Trial> {
    vec![Trial::ignorable_test("docker_replication_over_an_overlay_network", || {
        let ignored = |why: String| Ok(Completion::ignored_with(why));
        let engine = match Engine::connect() {
            Ok(engine) => engine,
            Err(why) => return ignored(why),
        };
        match engine.swarm() {
            // One after the other: an engine is in one swarm, and a swarm that a test began ends with it.
            Ok(swarm) => {
                overlay(&engine, &swarm);
                of_a_topology(&engine);
            }
            Err(why) => return ignored(why),
        }
        Ok(Completion::Completed)
    })]
}

/// A cluster whose file asks for such a network.
fn of_a_topology(engine: &Engine) {
    let cluster = Cluster::new("t-wide", 28060, Where::Docker, "network: { driver: overlay }\n");
    cluster.up();
    all_ready(&cluster.bolts()[0], 2).expect("up waits until the replicas are ready");
    assert_eq!(engine.inspect_network("mgctl-t-wide")["Driver"], "overlay");
    let again = cluster.user.run(&["up", &cluster.file]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing to do"), "{again:?}");
    cluster.user.ok(&["down", &cluster.file, "--volumes", "--yes"]);
    // A swarm takes a network away a moment after it has said so.
    wait::until("its network is gone", LIMIT, || {
        if engine.has_network("mgctl-t-wide") { Err("it is there") } else { Ok(()) }
    });
}

fn overlay(engine: &Engine, swarm: &mg_tests::docker::Swarm<'_>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let image = User::new(dir.path(), Where::Docker).ok(&["image", "load"]).trim().to_owned();
    let network = swarm.overlay("t-overlay");
    let names = ["t-overlay-main", "t-overlay-rep1", "t-overlay-rep2"];
    // So that a snapshot lets the log before it go.
    let flags = ["--storage-wal-file-size-kib=64", "--storage-snapshot-retention-count=1"];
    let _nodes = names.map(|name| network.run(name, &image, &flags));
    let connect = |index: usize| {
        let address = network.bolt(names[index]);
        wait::until(&format!("{address} speaks Bolt"), LIMIT, || Bolt::connect(&address))
    };
    let mut main = connect(0);
    let register = |main: &mut Bolt, index: usize, mode: &str| {
        connect(index).run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;").expect("it becomes a REPLICA");
        let query = format!("REGISTER REPLICA r{index} {mode} TO \"{}:10000\";", names[index]);
        main.run(&query).unwrap_or_else(|e| panic!("{query}: {e}"));
    };
    register(&mut main, 1, "SYNC");

    // Small records, and one of several MB.
    for n in 0..50 {
        main.run(&format!("CREATE (:Small {{n: {n}}});")).expect("MAIN takes writes");
    }
    let large = main
        .run("UNWIND range(1, 40000) AS n CREATE (:Large {n: n, text: 'a text that makes the record as long as it must be: ' + toString(n * 7919)});")
        .expect("MAIN takes a large one");
    assert_eq!(large.rows.len(), 0);
    let is_same = |main: &mut Bolt, index: usize| {
        let (ours, theirs) =
            (state(main).map_err(|e| e.to_string())?, state(&mut connect(index)).map_err(|e| e.to_string())?);
        let same = (ours.applied, &ours.chain) == (theirs.applied, &theirs.chain);
        if same { Ok(ours) } else { Err(format!("{ours:?} and {theirs:?}")) }
    };
    // A SYNC replica showed it before the client heard of it.
    is_same(&mut main, 1).expect("the SYNC replica has everything");
    assert_eq!(connect(1).value("MATCH (n:Large) RETURN count(n);"), PackValue::Int(40_000));

    // A node that comes now gets a snapshot: the log no longer reaches back.
    // What follows the large record is in another segment of it.
    main.run("CREATE (:Last);").expect("MAIN takes writes");
    main.run("CREATE SNAPSHOT;").expect("a snapshot is written");
    // What it has in memory would do instead.
    engine.stop(names[0]);
    engine.start(names[0]);
    let mut main = connect(0);
    register(&mut main, 2, "ASYNC");
    wait::until("every replica is ready", LIMIT, || all_ready(&network.bolt(names[0]), 2));
    let at = wait::until("the snapshot is shown", LIMIT, || is_same(&mut main, 2)).durable;
    let file = format!("/data/snapshots/{at:020}.snap");
    assert!(
        engine.file(names[2], &file).is_some(),
        "it did not come by a snapshot: {}",
        engine.log(names[2])
    );

    // And the log goes on from there, to both.
    main.run("MATCH (n:Small) DETACH DELETE n;").expect("MAIN takes writes");
    for index in [1, 2] {
        wait::until("the rest arrives", LIMIT, || is_same(&mut main, index));
        assert_eq!(connect(index).value("MATCH (n) RETURN count(n);"), PackValue::Int(40_001));
    }
}
