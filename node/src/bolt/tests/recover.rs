//! `RECOVER SNAPSHOT`, as a client meets it.

use super::*;
use mgnode_core::durability::{SnapshotEncoder, SnapshotHeader};
use mgnode_core::types::History;
use std::path::Path;

/// A snapshot of a graph, as a node writes it.
pub(super) fn snapshot(graph: &Arc<Graph>) -> Vec<u8> {
    let mut view = graph.view();
    let position = Position { lsn: view.lsn(), ..position() };
    let history = History { starts: vec![(position.epoch, Lsn(1))] };
    let header = SnapshotHeader { position, chain: 1, ts: 5, history };
    let mut bytes = Vec::new();
    let mut encoder = SnapshotEncoder::new(&header, &mut bytes);
    while let Some(block) = view.next_block() {
        encoder.block(&graph.encode(&block), &mut bytes);
    }
    encoder.finish(&mut bytes);
    bytes
}

/// A folder for snapshots, and a node on it that may import from `import` in it.
fn place() -> (tempfile::TempDir, BoltConfig) {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir(data.path().join("snapshots")).unwrap();
    std::fs::create_dir(data.path().join("import")).unwrap();
    let config = BoltConfig {
        data_directory: data.path().to_owned(),
        import_directory: Some(data.path().join("import")),
        ..config()
    };
    (data, config)
}

const OWN: &str = "snapshots/00000000000000000003.snap";
const NAMES: &str = "MATCH (n:P) OPTIONAL MATCH (n)-[r:T]->(m) RETURN n.name, r.w, m.name ORDER BY n.name";

/// Takes a snapshot of what a client writes on a node of its own.
async fn taken(statements: &[&str], path: &Path) {
    let server = start();
    let mut client = Client::connect(&server).await;
    for statement in statements {
        client.run(statement).await.metadata();
    }
    std::fs::write(path, snapshot(&server.fake.0.graph)).unwrap();
}

async fn small(path: &Path) {
    let statements = [
        "CREATE CONSTRAINT ON (n:P) ASSERT n.name IS UNIQUE",
        "CREATE INDEX ON :P(name)",
        "CREATE (:P {name: 'a'})-[:T {w: 1}]->(:P {name: 'b'})",
    ];
    taken(&statements, path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_takes_the_place_of_what_is_there() {
    let (data, config) = place();
    small(&data.path().join(OWN)).await;
    small(&data.path().join("import/else.snap")).await;
    let server = start_with(config);
    let mut client = Client::connect(&server).await;
    let wanted: Vec<Vec<PackValue>> =
        vec![vec!["a".into(), 1i64.into(), "b".into()], vec!["b".into(), PackValue::Null, PackValue::Null]];
    let full = data.path().join(OWN).display().to_string();
    for (path, force) in
        [(OWN, ""), ("else.snap", "FORCE"), ("file:///else.snap", " FORCE"), (&full, "FORCE")]
    {
        let metadata = client.run(&format!("RECOVER SNAPSHOT '{path}' {force}")).await.metadata();
        let bookmark: Position = metadata.get("bookmark").unwrap().as_str().unwrap().parse().unwrap();
        assert_eq!(bookmark.lsn, server.fake.0.graph.published());
        assert_eq!(client.run(NAMES).await.rows, wanted, "{path}");
        assert_eq!(client.run("SHOW CONSTRAINT INFO").await.rows.len(), 1);
        assert_eq!(client.run("SHOW INDEX INFO").await.rows.len(), 1);
        // More than the snapshot has: gone the next time.
        client.run("CREATE (:P {name: 'c'})-[:T]->(:Other)").await.metadata();
        client.run("CREATE INDEX ON :Other").await.metadata();
    }
    let before = server.fake.0.graph.published();
    let (code, message) = client.run(&format!("RECOVER SNAPSHOT '{OWN}'")).await.failure();
    let text = "Failed to recover a snapshot. Storage is not clean. Try using FORCE.";
    assert_eq!((code.as_str(), message.as_str()), (CLIENT_ERROR, text));
    client.reset().await;
    // So is one that holds nothing but an index.
    client.run("MATCH (n) DETACH DELETE n").await.metadata();
    client.run("DROP ALL CONSTRAINTS").await.metadata();
    assert_eq!(client.run(&format!("RECOVER SNAPSHOT '{OWN}'")).await.failure().1, text);
    assert_eq!(server.fake.0.graph.published(), Lsn(before.0 + 2), "what was refused left nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_snapshots_and_imports_can_be_read_and_a_damaged_one_says_where() {
    let (data, config) = place();
    let own = data.path().join(OWN);
    small(&own).await;
    let sound = std::fs::read(&own).unwrap();
    std::fs::write(data.path().join("state"), &sound).unwrap();
    std::fs::write(data.path().join("snapshots/x.snap"), &sound).unwrap();
    let without = BoltConfig { import_directory: None, ..config.clone() };
    let server = start_with(config);
    let mut client = Client::connect(&server).await;
    client.run("CREATE (:Here)").await.metadata();
    let missing = "Failed to find the defined snapshot file.";
    let secret = data.path().join("state").display().to_string();
    for (path, why) in [
        ("snapshots/00000000000000000004.snap", ""),
        ("snapshots/x.snap", " There is no 'snapshots/x.snap' in the import directory"),
        ("../state", " '../state' cannot be loaded: a path has no `..` here."),
        ("snapshots/../snapshots/00000000000000000003.snap", " '"),
        (&secret, " There is no '"),
        ("https://example.com/x.snap", " '"),
    ] {
        let (_, message) = client.run(&format!("RECOVER SNAPSHOT '{path}' FORCE")).await.failure();
        assert!(message.starts_with(&format!("{missing}{why}")), "{path}: {message}");
        client.reset().await;
    }
    let mut damaged = sound.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for (bytes, why) in [
        (&damaged[..], "it is damaged at byte "),
        (&sound[..middle], "it ends at byte "),
        (b"no snapshot at all, but long enough", "it is not a snapshot."),
    ] {
        std::fs::write(&own, bytes).unwrap();
        let (code, message) = client.run(&format!("RECOVER SNAPSHOT '{OWN}' FORCE")).await.failure();
        let begins = format!("Failed to recover a snapshot. `{OWN}` cannot be used: {why}");
        assert!(code == CLIENT_ERROR && message.starts_with(&begins), "{code}: {message}");
        client.reset().await;
    }
    assert_eq!(client.run("MATCH (n:Here) RETURN count(n) AS n").await.rows, [[1i64.into()]]);

    let server = start_with(without);
    let mut client = Client::connect(&server).await;
    let (_, message) = client.run("RECOVER SNAPSHOT 'else.snap'").await.failure();
    assert!(message.starts_with(missing) && message.contains("`--import-directory`"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recovered_is_refused_before_anything_happens() {
    let (data, config) = place();
    small(&data.path().join(OWN)).await;
    let server = start_with(config.clone());
    let mut client = Client::connect(&server).await;
    let recover = format!("RECOVER SNAPSHOT '{OWN}' FORCE");

    client.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    let (_, message) = client.run(&recover).await.failure();
    assert!(message.contains("is not allowed in multicommand transactions"), "{message}");
    client.reset().await;
    let (_, message) = client.run("RECOVER SNAPSHOT 's3://x' WITH CONFIG {a: 'b'} FORCE").await.failure();
    assert!(message.starts_with("RECOVER SNAPSHOT WITH CONFIG is not supported by mgnode"), "{message}");
    client.reset().await;

    *server.fake.0.role.lock() = Role::Replica { port: 10000 };
    let (_, message) = client.run(&recover).await.failure();
    assert_eq!(message, "Failed to recover a snapshot. Replica instances are not allowed to create them.");
    client.reset().await;
    *server.fake.0.role.lock() = Role::Main;

    // Another commit came in between: a retry can help.
    *server.fake.0.outcome.lock() = Some(|_| Outcome::Failed(CommitError::Conflict));
    assert_eq!(client.run(&recover).await.failure().0, TRANSIENT);
    client.reset().await;
    assert_eq!(server.fake.0.graph.published(), Lsn::ZERO);
    assert_eq!(client.run("SHOW TRANSACTIONS").await.rows.len(), 1, "none of them is left open");

    for query_memory_max in [None, Some(100)] {
        let pool = if query_memory_max.is_none() { 100 } else { 1 << 30 };
        let query_memory = Arc::new(mgcypher::MemoryPool::new(pool));
        let server = start_with(BoltConfig { query_memory_max, query_memory, ..config.clone() });
        let mut client = Client::connect(&server).await;
        let (code, message) = client.run(&recover).await.failure();
        assert!(code == CLIENT_ERROR && message.contains("MiB of memory beside the graph"), "{message}");
    }
    let query_memory = Arc::new(mgcypher::MemoryPool::new(1 << 20));
    let held = query_memory.take(1 << 20).unwrap();
    let server = start_with(BoltConfig { query_memory, ..config });
    let mut client = Client::connect(&server).await;
    assert_eq!(client.run(&recover).await.failure().0, TRANSIENT, "there is enough for it later");
    client.reset().await;
    drop(held);
    client.run(&recover).await.metadata();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_ends_when_its_time_is_up_or_it_is_asked_to() {
    let (data, config) = place();
    taken(&["UNWIND range(1, 60000) AS i CREATE (:P {name: i})"], &data.path().join(OWN)).await;
    let server = start_with(config.clone());
    let mut client = Client::connect(&server).await;
    let query = format!("RECOVER SNAPSHOT '{OWN}'");
    let extra = TransactionExtra { timeout_ms: Some(1), ..TransactionExtra::default() };
    client.ask(Request::Run { query: query.clone(), parameters: Map::new(), extra }).await.metadata();
    let (code, message) = client.ask(Request::Pull(Stream::default())).await.failure();
    assert_eq!(code, TRANSIENT);
    assert_eq!(message, "Transaction was asked to abort because of transaction timeout.");
    client.reset().await;
    assert_eq!(server.fake.0.graph.published(), Lsn::ZERO);
    let stop = std::sync::atomic::AtomicBool::new(true);
    let stopped = crate::bolt::recover::prepare(OWN, false, &server.fake.0.graph, &config, &stop);
    assert_eq!(stopped.err(), Some(crate::bolt::texts::Failure::terminated()));
    assert_eq!(config.query_memory.held(), 0, "nothing is held for it any more");
    client.run(&query).await.metadata();
    assert_eq!(client.run("MATCH (n:P) RETURN count(n) AS n").await.rows, [[60000i64.into()]]);
}

/// What another client commits while a file is read was not there to be judged: it stays, and the recovery fails.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_while_a_snapshot_is_read_stays() {
    let (data, config) = place();
    let statements = ["UNWIND range(1, 20000) AS i CREATE (:P {name: i})"];
    taken(&statements, &data.path().join(OWN)).await;
    let mut met = 0;
    for _ in 0..10 {
        let server = start_with(config.clone());
        let mut recovering = Client::connect(&server).await;
        let mut writing = Client::connect(&server).await;
        let statement = format!("RECOVER SNAPSHOT '{OWN}'");
        let recover = recovering.run(&statement);
        let write = async {
            for _ in 0..20 {
                writing.run("CREATE (:Kept)").await.metadata();
            }
        };
        let (recovered, ()) = tokio::join!(recover, write);
        met += u64::from(matches!(recovered.end, Response::Failure { .. }));
        let kept = writing.run("MATCH (k:Kept) RETURN count(k)").await.rows;
        assert_eq!(kept, [vec![PackValue::Int(20)]], "none of them is lost");
    }
    assert!(met > 0, "no run met a write: the test shows nothing");
}
