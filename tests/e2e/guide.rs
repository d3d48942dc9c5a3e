//! Memgraph's replication guide, by hand and word for word.
//!
//! Three containers of a bare `docker run IMAGE` on the default bridge, addresses by inspection, and
//! the guide's queries with their semicolons.

use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, Replica, replicas};
use mg_tests::docker::Engine;
use mg_tests::mgctl::{User, Where};
use mg_tests::wait;
use mgbolt::PackValue;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn tests() -> Vec<Trial> {
    vec![super::docker("the_guide_by_hand", the_guide_by_hand)]
}

fn the_guide_by_hand(engine: &Engine) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let user = User::new(dir.path(), Where::Docker);
    let image = user.ok(&["image", "load"]).trim().to_owned();
    let containers = ["main", "rep1", "rep2"].map(|n| engine.run(&format!("mgctl-test-guide-{n}"), &image));
    let [main_ip, rep1_ip, rep2_ip] = [0, 1, 2].map(|i| containers[i].ip());
    let connect =
        |ip| wait::until(&format!("{ip} speaks Bolt"), LIMIT, || Bolt::connect(&format!("{ip}:7687")));
    let [mut main, mut rep1, mut rep2] = [main_ip, rep1_ip, rep2_ip].map(connect);

    for replica in [&mut rep1, &mut rep2] {
        let done =
            replica.run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;").expect("the guide's first step");
        assert_eq!((done.fields.len(), done.rows.len()), (0, 0));
        assert_eq!(done.summary.notifications[0].code, "SetReplica");
        assert_eq!(replica.value("SHOW REPLICATION ROLE;"), PackValue::from("replica"));
    }
    let done = main
        .run(&format!("REGISTER REPLICA REP1 SYNC TO \"{rep1_ip}\";"))
        .expect("the default port is 10000");
    assert_eq!(done.summary.notifications[0].code, "RegisterReplica");

    // The guide registers the second one at port 5000. While nobody listens there it is refused,
    // leaves nothing behind, and the same words succeed once somebody does.
    let register = format!("REGISTER REPLICA REP2 ASYNC TO \"{rep2_ip}:5000\";");
    let (code, text) = main.refusal(&register);
    assert_eq!(code, "Memgraph.ClientError.MemgraphError.MemgraphError");
    assert!(text.starts_with("Couldn't register replica REP2. Error: 5"), "{text}");
    assert_eq!(replicas(&mut main).expect("rows").len(), 1);
    rep2.run("SET REPLICATION ROLE TO MAIN;").expect("back to MAIN");
    rep2.run("SET REPLICATION ROLE TO REPLICA WITH PORT 5000;").expect("another port");
    main.run(&register).expect("somebody listens there now");

    let ready = |name: &str, address: String, mode: &str| Replica {
        name: name.to_owned(),
        address,
        mode: mode.to_owned(),
        status: "ready".to_owned(),
        behind: 0,
    };
    let both = [
        ready("REP1", format!("{rep1_ip}:10000"), "sync"),
        ready("REP2", format!("{rep2_ip}:5000"), "async"),
    ];
    assert_eq!(replicas(&mut main).expect("rows"), both);

    let written =
        main.run("CREATE (:Person {name: 'Ada'})-[:KNOWS]->(:Person {name: 'Grace'});").expect("a write");
    assert_eq!(written.summary.stat("nodes-created"), 2);
    let read = "MATCH (a:Person)-[:KNOWS]->(b:Person) RETURN a.name + ' knows ' + b.name;";
    // A SYNC replica has applied what MAIN has acknowledged; an ASYNC one is on its way.
    assert_eq!(rep1.value(read), PackValue::from("Ada knows Grace"));
    wait::until("REP2 has the write", LIMIT, || match rep2.value("MATCH (n:Person) RETURN count(n);") {
        PackValue::Int(2) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(rep2.value(read), PackValue::from("Ada knows Grace"));

    let (code, text) = rep1.refusal("CREATE (:Person {name: 'nobody'});");
    assert_eq!(code, "Memgraph.ClientError.MemgraphError.MemgraphError");
    assert!(text.starts_with("Write queries are forbidden on the replica instance."), "{text}");

    main.run("DROP REPLICA REP2;").expect("the guide's last steps");
    assert_eq!(replicas(&mut main).expect("rows"), both[..1]);
    assert_eq!(rep2.value("SHOW REPLICATION ROLE;"), PackValue::from("replica"));
    rep2.run("SET REPLICATION ROLE TO MAIN;").expect("a dropped replica can be MAIN");
    assert_eq!(rep2.value("SHOW REPLICATION ROLE;"), PackValue::from("main"));
    rep2.run("CREATE (:Alone);").expect("it takes writes");
    assert_eq!(rep2.value("MATCH (n) RETURN count(n);"), PackValue::Int(3));
}
