//! Queries that want more than there is, clients that go away, readers that stay long: the node lives, others go on, and
//! nothing is left behind.

use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready, register};
use mg_tests::node::Node;
use mg_tests::wait;
use mgbolt::PackValue;
use mgctl::query::{Client, Map};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// It takes hours, and no memory.
const LONG: &str =
    "UNWIND range(1, 1000000) AS a UNWIND range(1, 1000000) AS b WITH a, b WHERE a = -b RETURN count(*)";

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::plain("what_no_memory_holds_is_refused_and_the_node_lives", bombs),
        super::plain("a_long_query_keeps_nobody_waiting_and_ends_with_its_connection", gone_client),
        super::plain("old_versions_go_on_a_replica_once_no_one_reads_them", long_reader),
    ]
}

fn connect(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

fn bombs() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Queries may hold a quarter of it.
    let node = Node::start(dir.path(), "node", &["--memory-limit=400"]);
    let pid = node.pid();
    let mut bolt = connect(&node);
    bolt.run("CREATE (:Here {id: 1});").expect("it is fresh");
    for query in [
        "RETURN size(range(1, 1000000000000000000));",
        "UNWIND range(1, 100000000) AS x RETURN collect(x);",
        "UNWIND range(1, 100000000) AS x RETURN collect({a: [toString(x) + 'and forty more bytes of text behind it']});",
        "UNWIND range(1, 3000) AS a UNWIND range(1, 3000) AS b UNWIND range(1, 3000) AS c RETURN collect([a, b, c]);",
        "UNWIND range(1, 3000) AS a UNWIND range(1, 3000) AS b WITH a, b ORDER BY b - a RETURN a, b;",
        "RETURN size(reduce(text = 'x', i IN range(1, 40) | text + text));",
        "UNWIND range(1, 100000000) AS x CREATE (:Bomb {x: x});",
        "CREATE (:Bomb {list: range(1, 100000000)});",
        "UNWIND range(1, 100000000) AS x WITH DISTINCT toString(x) AS text RETURN count(text);",
    ] {
        let (_, message) = bolt.refusal(query);
        assert!(
            message.contains("Memory limit exceeded") || message.contains("too large"),
            "{query}: {message}"
        );
    }
    let deep = format!("RETURN {}1{};", "[".repeat(100_000), "]".repeat(100_000));
    let (_, message) = bolt.refusal(&deep);
    assert!(message.contains("nested") || message.contains("deep"), "{message}");

    // A text of a hundred megabytes and a map of as many keys as fit a message are taken or refused, and nothing between.
    let long = PackValue::String("x".repeat(100 << 20));
    let map = (0..400_000).fold(Map::new(), |map, i| map.with(format!("key {i}"), i64::from(i)));
    for value in [long, PackValue::Map(map)] {
        let made = bolt.run_with("CREATE (:Big {value: $value});", Map::new().with("value", value));
        let count = bolt.value("MATCH (b:Big) WITH count(b) AS n RETURN n;");
        match made {
            Ok(_) => assert_eq!(count, PackValue::Int(1)),
            Err(error) => {
                let text = error.to_string();
                assert!(text.to_lowercase().contains("memory") || text.contains("large"), "{text}");
                assert_eq!(count, PackValue::Int(0));
            }
        }
        bolt.run("MATCH (b:Big) DELETE b;").expect("what only deletes is taken");
    }
    assert_eq!(
        connect(&node).value("MATCH (n) RETURN collect(n.id);"),
        PackValue::List(vec![PackValue::Int(1)])
    );
    assert_eq!(node.pid(), pid, "it lives");
}

fn gone_client() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::start(dir.path(), "node", &["--query-execution-timeout-sec=0"]);
    let address = node.bolt().to_string();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let address = address.clone();
            runtime.spawn(async move {
                let mut client = Client::connect(&address, LIMIT, None).await.expect("the node answers");
                client.set_timeout(Duration::from_secs(3600));
                client.run(LONG, Map::new()).await.map(drop)
            })
        })
        .collect();
    let mut bolt = connect(&node);
    let running = |bolt: &mut Bolt| -> Result<usize, String> {
        let shown = bolt.run("SHOW TRANSACTIONS;").map_err(|e| e.to_string())?;
        Ok(shown.rows.iter().filter(|row| format!("{row:?}").contains("1000000")).count())
    };
    let has = |wanted: usize, bolt: &mut Bolt| match running(bolt)? {
        count if count == wanted => Ok(()),
        count => Err(format!("{count} long queries run")),
    };
    // More of them than there are cores here, and yet others are served, reads and writes.
    wait::until("the long queries run", LIMIT, || has(4, &mut bolt));
    for id in 0..50 {
        bolt.run(&format!("CREATE (:W {{id: {id}}});")).expect("it is served");
    }
    assert_eq!(bolt.value("MATCH (w:W) RETURN count(w);"), PackValue::Int(50));
    has(4, &mut bolt).expect("none of them has ended meanwhile");
    // Their connections end, and so do they.
    for task in &tasks {
        task.abort();
    }
    wait::until("they have ended", LIMIT, || has(0, &mut bolt));
}

fn long_reader() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let flags = &["--storage-gc-cycle-sec=1"];
    let [main, replica] = ["main", "replica"].map(|name| Node::start(dir.path(), name, flags));
    connect(&replica).run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;").expect("it is fresh");
    let mut writer = connect(&main);
    register(&mut writer, "r", "SYNC", &replica.replication());
    wait::until("the replica is ready", LIMIT, || all_ready(&main.bolt().to_string(), 1));
    writer.run("UNWIND range(1, 100) AS i CREATE (:W {n: 0});").expect("it is MAIN");
    let sum = "MATCH (w:W) RETURN sum(w.n);";
    let mut reader = connect(&replica);
    reader.begin().expect("a replica takes readers");
    assert_eq!(reader.value(sum), PackValue::Int(0));
    for _ in 0..200 {
        writer.run("MATCH (w:W) SET w.n = w.n + 1;").expect("it is MAIN");
    }
    let kept = |bolt: &mut Bolt| -> i64 {
        let shown = bolt.run("SHOW STORAGE INFO;").expect("it answers");
        let row =
            shown.rows.iter().find(|row| row[0] == PackValue::String("unreleased_delta_objects".into()));
        row.and_then(|row| row[1].as_int()).expect("it is shown")
    };
    let mut other = connect(&replica);
    assert_eq!(other.value(sum), PackValue::Int(20_000), "who comes later sees what was committed");
    assert_eq!(reader.value(sum), PackValue::Int(0), "who reads long sees what it saw");
    assert!(kept(&mut other) >= 20_000, "what it sees is kept");
    reader.commit().expect("it has only read");
    wait::until("old versions are gone", LIMIT, || match kept(&mut other) {
        0 => Ok(()),
        left => Err(format!("{left} are kept")),
    });
    // With nobody who reads, none comes to be.
    for _ in 0..200 {
        writer.run("MATCH (w:W) SET w.n = w.n + 1;").expect("it is MAIN");
    }
    let left = kept(&mut other);
    assert!(left < 2_000, "{left} are kept");
    assert_eq!(other.value(sum), PackValue::Int(40_000));
}
