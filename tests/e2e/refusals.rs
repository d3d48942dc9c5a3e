//! What bad input to the replication queries gets: Memgraph's texts and numbers, the reason in words,
//! and nothing left behind.

use crate::turns::{self, Parted};
use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready, replicas, state};
use mg_tests::node::Node;
use mg_tests::wait;
use mgbolt::PackValue;
use mgctl::query::QueryError;
use std::net::UdpSocket;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const CLIENT: &str = "Memgraph.ClientError.MemgraphError.MemgraphError";
const TO_REPLICA: &str = "SET REPLICATION ROLE TO REPLICA WITH PORT 10000;";
const ADDRESS: &str = "Invalid socket address. The socket address must be a string defining the address and port, \
                       delimited by a single colon. The address must be valid and the port must be an integer.";
const MULTICOMMAND: &str = "Managing replication is not allowed in multicommand transactions. A multicommand \
                            transaction, also known as an explicit transaction, groups multiple commands into a \
                            single atomic operation. Instead, please use an implicit transaction, also known as an \
                            auto committing transaction, in order to execute this particularquery. For more \
                            details, visit https://memgraph.com/docs";
const WRITE: &str = "Write queries are forbidden on the replica instance. Replica instances accept only read \
                     queries, while the main instance accepts read and write queries. Please retry your query on \
                     the main instance.";

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::plain("bad_replication_queries_are_refused_in_words_and_leave_nothing", refused),
        super::plain("a_registration_that_cannot_be_written_down_is_error_4", not_persisted),
        super::plain("an_ipv6_replica_is_registered_in_brackets", ipv6),
        super::plain("a_node_with_commits_of_its_own_is_error_3_until_they_are_gone", diverged),
        super::plain("a_copy_of_main_that_answers_at_an_address_is_no_replica_of_it", itself),
        super::plain("a_transaction_that_is_open_when_its_main_is_demoted_cannot_commit", demoted),
    ]
}

fn connect(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

fn run(bolt: &mut Bolt, query: &str) {
    bolt.run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
}

/// All that a refused query could have changed.
fn picture(nodes: &[&Node]) -> String {
    nodes
        .iter()
        .map(|node| {
            let mut bolt = connect(node);
            let s = state(&mut bolt).expect("it answers");
            let registered = match s.role.as_str() {
                "main" => replicas(&mut bolt)
                    .expect("a MAIN shows them")
                    .into_iter()
                    .map(|r| (r.name, r.mode, r.address))
                    .collect(),
                _ => Vec::new(),
            };
            format!("{} {} {} {} {:?} {registered:?}\n", s.node, s.role, s.applied, s.chain, s.history)
        })
        .collect()
}

/// One refusal: the query, how its text begins, and a word of the reason.
struct Row<'a>(&'a str, String, &'a str);

fn check(who: &str, bolt: &mut Bolt, rows: &[Row]) {
    for Row(query, text, reason) in rows {
        let (code, message) = bolt.refusal(query);
        assert_eq!(code, CLIENT, "{query} on {who}: {message}");
        assert!(message.starts_with(text.as_str()), "{query} on {who}\n  says  {message}\n  not   {text}");
        assert!(message.contains(reason), "{query} on {who} says {message}, and nothing of `{reason}`");
    }
}

fn number(name: &str, error: u8) -> String {
    format!("Couldn't register replica {name}. Error: {error}.")
}

fn refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut nodes = ["main", "replica", "alone", "their_main", "their_replica"]
        .map(|name| Node::start(dir.path(), name, &[]));
    let [main, replica, alone, their_main, their_replica] = &nodes;
    for (main, replica) in [(main, replica), (their_main, their_replica)] {
        run(&mut connect(replica), TO_REPLICA);
        run(&mut connect(main), &format!("REGISTER REPLICA r SYNC TO \"{}\";", replica.replication()));
        run(&mut connect(main), &format!("CREATE (:Cluster {{of: '{}'}});", main.ip));
    }
    let before = picture(&nodes.each_ref());

    let register = |name: &str, to: String| format!("REGISTER REPLICA {name} ASYNC TO \"{to}\";");
    let taken = register("r", alone.replication());
    let twice = register("again", replica.replication());
    let twice_async = format!("REGISTER REPLICA again ASYNC TO \"{}\";", replica.ip);
    let a_main = register("m", alone.replication());
    let itself = register("me", main.replication());
    let theirs = register("theirs", their_replica.replication());
    let silent = register("x", "127.77.255.254:10000".into());
    let wrong_port = register("x", format!("{}:10001", replica.ip));
    let strict = format!("REGISTER REPLICA s STRICT_SYNC TO \"{}\";", alone.replication());
    let address = || ADDRESS.to_owned();
    let plain = str::to_owned;
    check(
        "MAIN",
        &mut connect(main),
        &[
            Row("SET REPLICATION ROLE TO MAIN WITH PORT 10000;", plain("Main can't set a port!"), ""),
            Row("SET REPLICATION ROLE TO REPLICA;", plain("Replica must set a port!"), ""),
            Row(
                "SET REPLICATION ROLE TO REPLICA WITH PORT 'ten';",
                plain("Port must be an integer literal!"),
                "",
            ),
            Row(
                "SET REPLICATION ROLE TO REPLICA WITH PORT 1.5;",
                plain("Port must be an integer literal!"),
                "",
            ),
            Row("SET REPLICATION ROLE TO REPLICA WITH PORT -1;", plain("Port number invalid!"), ""),
            Row("SET REPLICATION ROLE TO REPLICA WITH PORT 65536;", plain("Port number invalid!"), ""),
            Row(
                "SET REPLICATION ROLE TO MAIN;",
                plain("Couldn't set replication role to main!"),
                "main already",
            ),
            Row("REGISTER REPLICA r SYNC TO 10000;", plain("Socket address should be a string literal!"), ""),
            Row("REGISTER REPLICA r SYNC TO \"::1\";", address(), "`[::1]:10000`"),
            Row("REGISTER REPLICA r SYNC TO \"a:b:1\";", address(), ""),
            Row("REGISTER REPLICA r SYNC TO \"bolt://127.0.0.1:10000\";", address(), ""),
            Row("REGISTER REPLICA r SYNC TO \"127.0.0.1:ten\";", address(), "from 1 to 65535"),
            Row("REGISTER REPLICA r SYNC TO \"127.0.0.1:70000\";", address(), "from 1 to 65535"),
            Row("REGISTER REPLICA r SYNC TO \"127.0.0.1:0\";", address(), "from 1 to 65535"),
            Row("REGISTER REPLICA r SYNC TO \"127.0.0.1:-5\";", address(), "from 1 to 65535"),
            Row("REGISTER REPLICA r SYNC TO \"\";", address(), ""),
            Row("REGISTER REPLICA r SYNC TO \":10000\";", address(), ""),
            Row(&taken, number("r", 1), "of that name"),
            Row(&twice, number("again", 2), "at that address"),
            Row(&twice_async, number("again", 2), "at that address"),
            Row(&theirs, number("theirs", 5), "belongs to another cluster"),
            Row(&a_main, number("m", 5), "only a REPLICA listens"),
            Row(&itself, number("me", 5), "only a REPLICA listens"),
            Row(&silent, number("x", 5), "only a REPLICA listens"),
            Row(&wrong_port, number("x", 5), "only a REPLICA listens"),
            Row(
                "REGISTER REPLICA x ASYNC TO \"no-such-host.invalid:10000\";",
                number("x", 5),
                "no-such-host.invalid",
            ),
            Row(&strict, plain("Couldn't register replica s."), "SYNC and STRICT_SYNC"),
            Row("DROP REPLICA nobody;", plain("Failed to unregister the replica nobody."), ""),
            Row("DROP REPLICA R;", plain("Failed to unregister the replica R."), ""),
        ],
    );
    let fresh = register("n", alone.replication());
    check(
        "REPLICA",
        &mut connect(replica),
        &[
            Row(TO_REPLICA, plain("Couldn't set role to replica!"), "replica already"),
            Row(
                "SET REPLICATION ROLE TO REPLICA WITH PORT 10001;",
                plain("Couldn't set role to replica!"),
                "",
            ),
            Row(&fresh, plain("Replica can't register another replica!"), ""),
            Row(
                "DROP REPLICA r;",
                plain(
                    "Replica can't unregister a replica! Please rerun the query on main in order to unregister a \
                     replica from the cluster.",
                ),
                "",
            ),
            Row("SHOW REPLICAS;", plain("Show replicas query should only be run on the main instance."), ""),
            Row(
                "SHOW REPLICATION LAG;",
                plain("Show replication lag query should only be run on the main"),
                "",
            ),
            Row("CREATE (:A);", plain(WRITE), ""),
            Row("MATCH (n:None) SET n.x = 1;", plain(WRITE), ""),
            Row("MATCH (n) DETACH DELETE n;", plain(WRITE), ""),
            Row("MERGE (:Cluster);", plain(WRITE), ""),
            Row("CREATE INDEX ON :A(b);", plain(WRITE), ""),
            Row("CREATE CONSTRAINT ON (a:A) ASSERT a.b IS UNIQUE;", plain(WRITE), ""),
            Row(
                "RECOVER SNAPSHOT \"x\";",
                plain("Failed to recover a snapshot. Replica instances are not allowed to create them."),
                "",
            ),
            Row("CREATE USER u;", plain("CREATE USER is not supported"), ""),
        ],
    );
    for query in [
        "SET REPLICATION ROLE TO MAIN;",
        TO_REPLICA,
        "SHOW REPLICATION ROLE;",
        "REGISTER REPLICA n SYNC TO \"127.0.0.1\";",
        "DROP REPLICA r;",
        "SHOW REPLICAS;",
        "SHOW REPLICATION STATE;",
        "SHOW REPLICATION LAG;",
        "FENCE REPLICATION EPOCH 9 BY \"a test\";",
        "CONFIRM REPLICATION ROLE MAIN;",
        "SET REPLICATION ROLE TO MAIN WITH EPOCH 9;",
        "REWIND REPLICATION TO \"1.00000000000000aa.1:1\";",
        "SHOW TRANSACTION OUTCOME \"1.00000000000000aa.1:1\";",
    ] {
        for node in [main, replica] {
            match connect(node).transaction(&[query]) {
                Err(QueryError::Server { code, message, .. }) => {
                    assert_eq!((code.as_str(), message.as_str()), (CLIENT, MULTICOMMAND), "{query}");
                }
                other => panic!("{query}: {other:?}"),
            }
        }
    }
    // A port that another process has.
    let other = UdpSocket::bind((alone.ip, 10000)).expect("nobody listens at a MAIN's replication port");
    let taken = [Row(TO_REPLICA, plain("Couldn't set role to replica!"), "cannot be opened")];
    check("a MAIN whose port is taken", &mut connect(alone), &taken);
    drop(other);
    assert_eq!(picture(&nodes.each_ref()), before);

    // Nothing comes to light after a restart either.
    for node in &mut nodes {
        node.stop();
    }
    for node in nodes.iter_mut().rev() {
        node.spawn();
    }
    let [main, _, alone, their_main, _] = &nodes;
    for main in [main, their_main] {
        wait::until("the replica is ready", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    }
    assert_eq!(picture(&nodes.each_ref()), before);

    // What was refused works once its reason is gone.
    run(&mut connect(alone), TO_REPLICA);
    for query in [&fresh, "DROP REPLICA n;", &fresh] {
        run(&mut connect(main), query);
    }
    wait::until("both are ready", LIMIT, || all_ready(&main.bolt().to_string(), 2));
    assert_eq!(connect(alone).value("MATCH (c:Cluster) RETURN c.of;"), PackValue::from(main.ip.to_string()));
}

fn not_persisted() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [mut main, replica] = ["main", "replica"].map(|name| Node::start(dir.path(), name, &[]));
    run(&mut connect(&replica), TO_REPLICA);
    run(&mut connect(&main), "CREATE (:A);");
    // A folder in the place of the file that the state is written to before it is renamed.
    let in_the_way = main.data.join("state.tmp");
    std::fs::create_dir(&in_the_way).expect("the data directory can be written");
    let register = format!("REGISTER REPLICA r SYNC TO \"{}\";", replica.replication());
    let drop = "DROP REPLICA r;";
    check("MAIN", &mut connect(&main), &[Row(&register, number("r", 4), "state")]);
    assert_eq!(replicas(&mut connect(&main)).expect("it answers"), []);
    run(&mut connect(&main), "CREATE (:A);");
    std::fs::remove_dir(&in_the_way).expect("it is empty");
    main.stop();
    main.spawn();
    assert_eq!(replicas(&mut connect(&main)).expect("it answers"), []);

    run(&mut connect(&main), &register);
    std::fs::create_dir(&in_the_way).expect("the data directory can be written");
    check("MAIN", &mut connect(&main), &[Row(drop, "Failed to unregister the replica r.".into(), "state")]);
    wait::until("it is registered still", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    let roles = [Row(TO_REPLICA, "Couldn't set role to replica!".into(), "state")];
    check("MAIN", &mut connect(&main), &roles);
    assert_eq!(connect(&main).value("SHOW REPLICATION ROLE;"), PackValue::from("main"));
    std::fs::remove_dir(&in_the_way).expect("it is empty");
    main.stop();
    main.spawn();
    wait::until("it is registered still", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    run(&mut connect(&main), drop);
    assert_eq!(replicas(&mut connect(&main)).expect("it answers"), []);
}

fn ipv6() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let main = Node::start(dir.path(), "main", &[]);
    // There is one loopback address of that family, so the system chooses the port.
    let port = UdpSocket::bind("[::1]:0").and_then(|s| s.local_addr()).expect("IPv6 has a loopback").port();
    let replica = Node::start(dir.path(), "replica", &["--replication-address=::1"]);
    run(&mut connect(&replica), &format!("SET REPLICATION ROLE TO REPLICA WITH PORT {port};"));
    run(&mut connect(&main), &format!("REGISTER REPLICA r SYNC TO \"[::1]:{port}\";"));
    run(&mut connect(&main), "CREATE (:A);");
    assert_eq!(replicas(&mut connect(&main)).expect("it answers")[0].address, format!("[::1]:{port}"));
    assert_eq!(connect(&replica).value("MATCH (a:A) RETURN count(a);"), PackValue::Int(1));
}

fn diverged() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let Parted { mut old, new, common_lsn, .. } = turns::parted(dir.path(), &[]);
    let register = format!("REGISTER REPLICA r SYNC TO \"{}\";", old.replication());
    let before = picture(&[&old, &new]);
    let reason = format!("it has 14 commits after {common_lsn} that this MAIN does not have");
    for _ in 0..2 {
        check("MAIN", &mut connect(&new), &[Row(&register, number("r", 3), &reason)]);
        assert_eq!(picture(&[&old, &new]), before);
    }
    assert_eq!(turns::ids(&old), turns::list((1..=2).chain(10..24)), "nothing is cut");
    old.stop();
    old.wipe();
    old.spawn();
    run(&mut connect(&old), TO_REPLICA);
    run(&mut connect(&new), &register);
    wait::until("the replica is ready", LIMIT, || all_ready(&new.bolt().to_string(), 1));
    assert_eq!(turns::ids(&old), turns::list([1, 2, 30]));
}

fn itself() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut main = Node::start(dir.path(), "main", &[]);
    run(&mut connect(&main), "CREATE (:A);");
    let mut copy = Node::new(dir.path(), "copy", &[]);
    main.stop();
    for folder in ["", "wal", "snapshots"] {
        std::fs::create_dir_all(copy.data.join(folder)).expect("it can be made");
        for entry in std::fs::read_dir(main.data.join(folder)).expect("the folder is there") {
            let path = entry.expect("it can be read").path();
            if path.is_file() {
                let name = path.file_name().expect("a file has a name");
                std::fs::copy(&path, copy.data.join(folder).join(name)).expect("it can be copied");
            }
        }
    }
    main.spawn();
    copy.spawn();
    run(&mut connect(&copy), TO_REPLICA);
    let before = picture(&[&main, &copy]);
    let register = format!("REGISTER REPLICA me SYNC TO \"{}\";", copy.replication());
    let row = [Row(&register, number("me", 5), "this node itself answers there")];
    check("MAIN", &mut connect(&main), &row);
    assert_eq!(picture(&[&main, &copy]), before);
}

fn demoted() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let main = Node::start(dir.path(), "main", &[]);
    run(&mut connect(&main), "CREATE (:A);");
    let mut open = connect(&main);
    open.begin().expect("a transaction begins");
    run(&mut open, "CREATE (:A);");
    run(&mut connect(&main), TO_REPLICA);
    match open.commit() {
        Err(QueryError::Server { code, message, position }) => {
            let expected = (CLIENT, "Cannot commit because instance is not main anymore.", None);
            assert_eq!((code.as_str(), message.as_str(), position), expected);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(connect(&main).value("MATCH (a:A) RETURN count(a);"), PackValue::Int(1));
    run(&mut connect(&main), "SET REPLICATION ROLE TO MAIN;");
    assert_eq!(connect(&main).value("MATCH (a:A) RETURN count(a);"), PackValue::Int(1));
}
