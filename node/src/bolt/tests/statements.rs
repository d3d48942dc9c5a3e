//! Statements about the node and its transactions, as a client meets them.

use super::*;
use crate::background::Kind;
use mgnode_core::durability::{SnapshotEncoder, SnapshotHeader};
use mgnode_core::types::History;

fn fields(metadata: &Map) -> Vec<&str> {
    metadata.get("fields").unwrap().as_list().unwrap().iter().map(|f| f.as_str().unwrap()).collect()
}

/// The columns of a statement, which is run to its end, and its rows.
async fn table(client: &mut Client, statement: &str) -> (Vec<String>, Vec<Vec<PackValue>>) {
    let began = client.ask(run(statement)).await.metadata();
    let answer = client.ask(Request::Pull(Stream::default())).await;
    let rows = answer.rows.clone();
    answer.metadata();
    (fields(&began).into_iter().map(str::to_owned).collect(), rows)
}

fn text(value: &PackValue) -> &str {
    value.as_str().unwrap()
}

/// Waits until a transaction with that text is under way, and returns its row.
async fn shown(client: &mut Client, query: &str) -> Vec<PackValue> {
    loop {
        let (_, rows) = table(client, "SHOW TRANSACTIONS").await;
        let has = |row: &Vec<PackValue>| row[2].as_list().unwrap().iter().any(|q| q.as_str() == Some(query));
        if let Some(row) = rows.into_iter().find(has) {
            return row;
        }
    }
}

async fn terminate(client: &mut Client, id: &str) -> bool {
    let (columns, rows) = table(client, &format!("TERMINATE TRANSACTIONS \"{id}\"")).await;
    assert_eq!(columns, ["transaction_id", "killed"]);
    assert_eq!((rows.len(), text(&rows[0][0])), (1, id));
    rows[0][1] == true.into()
}

const TERMINATED: &str = "Transaction was asked to abort by another user.";
/// Runs for longer than anybody waits.
const ENDLESS: &str = "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b RETURN count(*) AS n";

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_shown_with_what_they_run() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let mut other = Client::connect(&server).await;
    let metadata = Map::new().with("app", "x");
    other.ask(Request::Begin(TransactionExtra { metadata, ..TransactionExtra::default() })).await.metadata();
    other.run("RETURN 1 AS one").await.metadata();
    other.run("CREATE (:A)").await.metadata();

    let row = shown(&mut client, "CREATE (:A)").await;
    let (columns, rows) = table(&mut client, "SHOW TRANSACTIONS").await;
    assert_eq!(
        columns,
        ["username", "transaction_id", "query", "status", "metadata", "start_time", "elapsed_ms"]
    );
    assert_eq!(rows.len(), 2, "its own is one of them");
    assert_eq!(row[2], PackValue::List(vec!["RETURN 1 AS one".into(), "CREATE (:A)".into()]));
    assert_eq!((text(&row[0]), text(&row[3])), ("", "running"));
    assert_eq!(row[4].as_map().unwrap().get("app"), Some(&"x".into()));
    assert!(matches!((&row[5], &row[6]), (PackValue::DateTime(_), PackValue::Int(0..))), "{row:?}");
    assert_eq!(table(&mut client, "SHOW COMMITTING TRANSACTIONS").await.1, Vec::<Vec<PackValue>>::new());

    // Of a long text its beginning.
    let long = format!("RETURN '{}' AS x", "é".repeat(3000));
    other.run(&long).await.metadata();
    let row = shown(&mut client, "CREATE (:A)").await;
    let last = row[2].as_list().unwrap().last().unwrap().as_str().unwrap();
    assert!(last.len() < 4100 && last.starts_with("RETURN 'é") && last.ends_with("..."), "{}", last.len());

    other.ask(Request::Commit).await.metadata();
    assert_eq!(table(&mut client, "SHOW RUNNING TRANSACTIONS").await.1.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_beside_transactions_is_shown_among_them_and_is_not_terminated() {
    let config = config();
    let background = config.background.clone();
    let server = start_with(config);
    let mut client = Client::connect(&server).await;
    assert_eq!(table(&mut client, "SHOW NEXT SNAPSHOT").await.1, Vec::<Vec<PackValue>>::new());
    let snapshot = background.begin(Kind::Snapshot);
    let sweep = background.begin(Kind::Garbage);
    for statement in ["SHOW TRANSACTIONS", "SHOW RUNNING TRANSACTIONS"] {
        let (columns, rows) = table(&mut client, statement).await;
        assert_eq!((columns.len(), rows.len()), (7, 3), "its own, and two of the node");
        for (row, name) in rows[1..].iter().zip(["snapshot", "gc"]) {
            assert_eq!([&row[1], &row[3]].map(text), [name, "running"]);
            let PackValue::List(queries) = &row[2] else { panic!("{row:?}") };
            assert!(queries.is_empty(), "{row:?}");
            assert!(matches!((&row[5], &row[6]), (PackValue::DateTime(_), PackValue::Int(0..))), "{row:?}");
        }
    }
    assert_eq!(table(&mut client, "SHOW COMMITTING TRANSACTIONS").await.1.len(), 0);
    assert!(!terminate(&mut client, "snapshot").await);
    drop((snapshot, sweep));
    assert_eq!(table(&mut client, "SHOW TRANSACTIONS").await.1.len(), 1);

    client.run("CREATE (:A)").await.metadata();
    background.schedule_snapshot(Duration::from_secs(300));
    let (columns, rows) = table(&mut client, "SHOW NEXT SNAPSHOT").await;
    assert_eq!(columns, ["path", "creation_time"]);
    assert_eq!((rows.len(), text(&rows[0][0])), (1, "snapshots/00000000000000000001.snap"));
    assert!(matches!(rows[0][1], PackValue::DateTime(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_runs_is_terminated() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let mut other = Client::connect(&server).await;
    other.send(run(ENDLESS)).await;
    other.send(Request::Pull(Stream::default())).await;
    let id = text(&shown(&mut client, ENDLESS).await[1]).to_owned();
    assert!(terminate(&mut client, &id).await);
    other.answer().await.metadata();
    assert_eq!(other.answer().await.failure(), (TRANSIENT.to_owned(), TERMINATED.to_owned()));
    assert!(!terminate(&mut client, &id).await, "it has ended");
    assert!(!terminate(&mut client, "no number").await);
    other.reset().await;
    assert_eq!(other.run("RETURN 1 AS one").await.rows, [[1i64.into()]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_waits_is_terminated() {
    let server = start_with(BoltConfig { bookmark_timeout: Duration::from_secs(600), ..config() });
    let mut client = Client::connect(&server).await;
    let mut other = Client::connect(&server).await;

    // For what its bookmark names.
    let bookmarks = vec!["3.00000000000000aa.1:70".to_owned()];
    let extra = TransactionExtra { bookmarks, ..TransactionExtra::default() };
    let query = "RETURN 2 AS two".to_owned();
    other.send(Request::Run { query, parameters: Map::new(), extra }).await;
    let id = text(&shown(&mut client, "RETURN 2 AS two").await[1]).to_owned();
    assert!(terminate(&mut client, &id).await);
    assert_eq!(other.answer().await.failure().1, TERMINATED);
    other.reset().await;

    // For its client: what it wrote is not committed.
    other.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    other.run("CREATE (:Gone)").await.metadata();
    let id = text(&shown(&mut client, "CREATE (:Gone)").await[1]).to_owned();
    assert!(terminate(&mut client, &id).await);
    assert_eq!(other.ask(Request::Commit).await.failure().1, TERMINATED);
    other.reset().await;
    assert_eq!(other.run("MATCH (n) RETURN count(n) AS n").await.rows, [[0i64.into()]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_terminated_at_once_and_ids_can_be_parameters() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let mut others = [Client::connect(&server).await, Client::connect(&server).await];
    for other in &mut others {
        other.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    }
    let (_, rows) = table(&mut client, "TERMINATE TRANSACTIONS \"*\"").await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows.iter().all(|row| row[1] == true.into()));
    for other in &mut others {
        assert_eq!(other.ask(run("RETURN 1 AS one")).await.failure().1, TERMINATED);
    }
    let ask = |parameters: Map| Request::Run {
        query: "TERMINATE TRANSACTIONS $id".into(),
        parameters,
        extra: TransactionExtra::default(),
    };
    client.ask(ask(Map::new().with("id", "1"))).await.metadata();
    assert_eq!(client.ask(Request::Pull(Stream::default())).await.rows, [["1".into(), false.into()]]);
    assert_eq!(
        client.ask(ask(Map::new())).await.failure().1,
        "Parameter $id not provided. (line 1, column 24)"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_shown_with_memgraphs_names() {
    let settings = match crate::config::Config::from_args(["--bolt-port=7001".to_owned()]).unwrap() {
        crate::config::Command::Run(config) => config.settings.into(),
        other => panic!("{other:?}"),
    };
    let server = start_with(BoltConfig { settings, ..config() });
    let (columns, rows) = table(&mut Client::connect(&server).await, "SHOW CONFIG").await;
    assert_eq!(columns, ["name", "default_value", "current_value", "description"]);
    let port = rows.iter().find(|row| text(&row[0]) == "bolt_port").unwrap();
    assert_eq!((text(&port[1]), text(&port[2])), ("7687", "7001"));
    assert!(rows.iter().all(|row| text(&row[0]) != "help" && !text(&row[3]).is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_shown() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("snapshots");
    std::fs::create_dir(&folder).unwrap();
    for lsn in [Lsn(7), Lsn(12)] {
        let position = Position { lsn, ..position() };
        let history = History { starts: vec![(position.epoch, Lsn(1))] };
        let header = SnapshotHeader { position, chain: 1, ts: lsn.0 * 2, history };
        let mut bytes = Vec::new();
        SnapshotEncoder::new(&header, &mut bytes).finish(&mut bytes);
        std::fs::write(folder.join(format!("{:020}.snap", lsn.0)), bytes).unwrap();
    }
    std::fs::write(folder.join("00000000000000000013.snap"), "no snapshot").unwrap();
    std::fs::write(folder.join("3.tmp"), "half of one").unwrap();
    let server = start_with(BoltConfig { data_directory: data.path().to_owned(), ..config() });
    let mut client = Client::connect(&server).await;
    let (columns, rows) = table(&mut client, "SHOW SNAPSHOTS").await;
    assert_eq!(columns, ["path", "timestamp", "creation_time", "size"]);
    let shown: Vec<_> = rows.iter().map(|row| (text(&row[0]), row[1].clone())).collect();
    assert_eq!(
        shown,
        [
            ("snapshots/00000000000000000007.snap", 14i64.into()),
            ("snapshots/00000000000000000012.snap", 24i64.into())
        ]
    );
    assert!(text(&rows[0][3]).ends_with('B'), "{rows:?}");
}

/// The value of one row of `SHOW STORAGE INFO`.
async fn storage(client: &mut Client, form: &str, key: &str) -> PackValue {
    let (columns, rows) = table(client, form).await;
    assert_eq!(columns, ["storage info", "value"]);
    rows.into_iter()
        .find(|row| text(&row[0]) == key)
        .unwrap_or_else(|| panic!("no {key} in {form}"))
        .remove(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_nobody_reads_go_with_free_memory() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let mut reader = Client::connect(&server).await;
    client.run("CREATE (:A {x: 0})").await.metadata();
    reader.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    for n in 1..4 {
        client.run(&format!("MATCH (n:A) SET n.x = {n}")).await.metadata();
    }
    let form = "SHOW STORAGE INFO ON CURRENT DATABASE";
    client.run("FREE MEMORY").await.metadata();
    assert_eq!(storage(&mut client, form, "unreleased_delta_objects").await, 3i64.into());
    assert_eq!(reader.run("MATCH (n:A) RETURN n.x AS x").await.rows, [[0i64.into()]]);
    reader.ask(Request::Rollback).await.metadata();
    client.run("FREE MEMORY").await.metadata();
    assert_eq!(storage(&mut client, form, "unreleased_delta_objects").await, 0i64.into());
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_is_told_of_the_node_and_of_its_database() {
    let server = start();
    let mut client = Client::connect(&server).await;
    client.run("CREATE (:A)-[:T]->(:B)").await.metadata();
    assert_eq!(storage(&mut client, "SHOW STORAGE INFO", "vertex_count").await, 2i64.into());
    let limit = storage(&mut client, "SHOW STORAGE INFO", "memory_limit").await;
    assert_eq!(limit, "1.00GiB".into());
    assert!(matches!(storage(&mut client, "SHOW STORAGE INFO", "memory_res").await, PackValue::String(_)));
    for form in ["SHOW STORAGE INFO ON CURRENT DATABASE", "SHOW STORAGE INFO ON DATABASE memgraph"] {
        assert_eq!(storage(&mut client, form, "edge_count").await, 1i64.into());
        assert_eq!(storage(&mut client, form, "health").await, "ready".into());
    }
    let (_, message) = client.run("SHOW STORAGE INFO ON DATABASE other").await.failure();
    assert!(message.contains("Unknown database name"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_are_analyzed_and_what_was_found_can_be_deleted() {
    let server = start();
    let mut client = Client::connect(&server).await;
    for statement in [
        "CREATE INDEX ON :A",
        "CREATE INDEX ON :A(x)",
        "CREATE INDEX ON :B(y, z)",
        "UNWIND range(0, 7) AS i CREATE (:A {x: i % 2})-[:T]->(:C)",
        "MATCH (a:A {x: 0}) WITH a LIMIT 2 SET a.x = 1",
    ] {
        client.run(statement).await.metadata();
    }
    let (columns, rows) = table(&mut client, "ANALYZE GRAPH").await;
    assert_eq!(
        columns,
        [
            "label",
            "property",
            "num estimation nodes",
            "num groups",
            "avg group size",
            "chi-squared value",
            "avg degree"
        ]
    );
    let null = || PackValue::Null;
    let x = PackValue::List(vec!["x".into()]);
    let yz = PackValue::List(vec!["y".into(), "z".into()]);
    assert_eq!(
        rows,
        [
            vec!["A".into(), null(), 8i64.into(), null(), null(), null(), 1.0.into()],
            // Groups of 2 and 6: (2 - 4)² / 4 + (6 - 4)² / 4.
            vec!["A".into(), x.clone(), 8i64.into(), 2i64.into(), 4.0.into(), 2.0.into(), 1.0.into()],
            vec!["B".into(), yz, 0i64.into(), null(), null(), null(), 0.0.into()],
        ]
    );
    assert_eq!(table(&mut client, "ANALYZE GRAPH ON LABELS :B").await.1.len(), 1);
    let (columns, rows) = table(&mut client, "ANALYZE GRAPH ON LABELS :A DELETE STATISTICS").await;
    assert_eq!(columns, ["label", "property"]);
    assert_eq!(rows, [["A".into(), null()], ["A".into(), x]]);
    assert_eq!(table(&mut client, "ANALYZE GRAPH ON LABELS * DELETE STATISTICS").await.1.len(), 1);
    assert_eq!(table(&mut client, "ANALYZE GRAPH DELETE STATISTICS").await.1.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_makes_an_equal_graph_on_an_empty_node() {
    let server = start();
    let mut client = Client::connect(&server).await;
    for statement in [
        "CREATE INDEX ON :`a b`(`x``y`)",
        "CREATE CONSTRAINT ON (n:B) ASSERT EXISTS (n.y)",
        "CREATE (a:`a b` {`x``y`: \"1\\n;\"})-[:T {d: duration('P1DT2.5S')}]->(:B {y: [1.5, 'x', true]}), (a)-[:T]->(a)",
        "MATCH (n:B) SET n.extra = 1",
    ] {
        client.run(statement).await.metadata();
    }
    let (columns, dumped) = table(&mut client, "DUMP DATABASE").await;
    assert_eq!(columns, ["QUERY"]);
    let empty = start();
    let mut loader = Client::connect(&empty).await;
    for row in &dumped {
        assert!(text(&row[0]).ends_with(';') && !text(&row[0]).contains('\n'), "{row:?}");
        loader.run(text(&row[0])).await.metadata();
    }
    // Ids are given out in the same order, so the same graph is dumped by the same statements.
    assert_eq!(table(&mut loader, "DUMP DATABASE").await.1, dumped);
    assert_eq!(loader.run("SHOW CONSTRAINT INFO").await.rows, client.run("SHOW CONSTRAINT INFO").await.rows);
    let query =
        "MATCH (a)-[r:T]->(b) RETURN labels(a), properties(a), properties(r), properties(b) ORDER BY id(r)";
    assert_eq!(loader.run(query).await.rows, client.run(query).await.rows);

    // In a transaction it shows what that has written, and can be taken in parts.
    client.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    client.run("MATCH (n) DETACH DELETE n").await.metadata();
    client.ask(run("DUMP DATABASE")).await.metadata();
    let first = client.ask(Request::Pull(Stream { n: 1, qid: None })).await;
    assert_eq!(first.rows, [["CREATE INDEX ON :`a b`(`x``y`);".into()]]);
    assert_eq!(first.metadata().get("has_more"), Some(&true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_counts_what_the_operators_did_and_its_writes_stand() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let began =
        client.ask(run("PROFILE UNWIND range(1, 3) AS i CREATE (n:A {x: i}) RETURN n")).await.metadata();
    assert_eq!(fields(&began), ["OPERATOR", "ACTUAL HITS", "RELATIVE TIME", "ABSOLUTE TIME"]);
    let answer = client.ask(Request::Pull(Stream::default())).await;
    let hits: Vec<_> = answer.rows.iter().map(|row| (text(&row[0]).to_owned(), row[1].clone())).collect();
    let unwind = hits.iter().find(|(name, _)| name.starts_with("* Unwind")).unwrap();
    // Three rows, and the end.
    assert_eq!(unwind.1, 4i64.into(), "{hits:?}");
    assert!(text(&answer.rows[0][2]).ends_with(" %") && text(&answer.rows[0][3]).ends_with(" ms"));
    let metadata = answer.metadata();
    assert_eq!(metadata.get("stats").unwrap().as_map().unwrap().get("nodes-created"), Some(&3i64.into()));
    assert_eq!(client.run("MATCH (n:A) RETURN count(n) AS n").await.rows, [[3i64.into()]]);

    *server.fake.0.role.lock() = Role::Replica { port: 10000 };
    let (_, message) = client.run("PROFILE CREATE (:A)").await.failure();
    assert!(message.starts_with("Write queries are forbidden"), "{message}");
}
