//! Isolation levels, as clients meet them.

use super::*;

async fn begin(client: &mut Client) {
    client.ask(Request::Begin(TransactionExtra::default())).await.metadata();
}

async fn commit(client: &mut Client) -> Answer {
    client.ask(Request::Commit).await
}

async fn ok(client: &mut Client, statement: &str) {
    client.run(statement).await.metadata();
}

async fn count(client: &mut Client) -> i64 {
    match client.run("MATCH (n:A) RETURN count(n) AS n").await.rows[..] {
        [ref row] => row[0].as_int().unwrap(),
        ref rows => panic!("{rows:?}"),
    }
}

/// The levels that `SHOW STORAGE INFO` tells: global, session, next, and what is given.
async fn levels(client: &mut Client) -> [String; 4] {
    let rows = client.run("SHOW STORAGE INFO").await.rows;
    [
        "global_isolation_level",
        "session_isolation_level",
        "next_session_isolation_level",
        "storage_isolation_level",
    ]
    .map(|name| {
        let row = rows.iter().find(|row| row[0].as_str() == Some(name)).unwrap();
        row[1].as_str().unwrap().to_owned()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_of_read_committed_sees_what_is_committed_when_it_begins() {
    let server = start();
    let (mut one, mut two) = (Client::connect(&server).await, Client::connect(&server).await);
    ok(&mut one, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await;
    begin(&mut one).await;
    ok(&mut two, "CREATE (:A {n: 1})").await;
    assert_eq!(count(&mut one).await, 1, "the first statement sees it as well");
    ok(&mut one, "CREATE (:A {n: 2})").await;
    ok(&mut two, "CREATE (:A {n: 3})").await;
    assert_eq!(count(&mut one).await, 3, "its own, and what came in between");
    assert_eq!(count(&mut two).await, 2, "nothing uncommitted");
    // The rows of the graph and its own come by their ids, whoever made which first.
    let rows = one.run("MATCH (n:A) RETURN n.n AS n").await.rows;
    assert_eq!(rows, [[1i64.into()], [2i64.into()], [3i64.into()]]);
    ok(&mut two, "CREATE INDEX ON :A(n)").await;
    ok(&mut two, "MATCH (a:A {n: 1}) CREATE (a)-[:T]->(:B)").await;
    let rows = one.run("MATCH (a:A) WHERE a.n >= 1 OPTIONAL MATCH (a)-->(b) RETURN a.n, count(b)").await.rows;
    assert_eq!(rows.len(), 3, "by an index of another, with its own entry: {rows:?}");
    assert_eq!(rows.iter().filter(|row| row[1] == 1i64.into()).count(), 1);
    let seen = one.run("SHOW INDEX INFO").await.rows;
    assert_eq!(seen.len(), 1);
    commit(&mut one).await.metadata();
    assert_eq!(count(&mut two).await, 3);

    // Snapshot isolation stays where it began.
    begin(&mut two).await;
    ok(&mut one, "CREATE (:A)").await;
    assert_eq!(count(&mut two).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_commit_overtook_fails_at_the_next_statement() {
    let server = start();
    let (mut one, mut two) = (Client::connect(&server).await, Client::connect(&server).await);
    ok(&mut one, "CREATE (:A {n: 0})").await;
    ok(&mut one, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await;

    // A change of what it only read is no conflict, and it writes on top of it.
    begin(&mut one).await;
    assert_eq!(count(&mut one).await, 1);
    ok(&mut two, "MATCH (n:A) SET n.n = n.n + 1").await;
    ok(&mut one, "MATCH (n:A) SET n.n = n.n + 1").await;
    commit(&mut one).await.metadata();
    assert_eq!(two.run("MATCH (n:A) RETURN n.n AS n").await.rows, [[2i64.into()]]);

    begin(&mut one).await;
    ok(&mut one, "MATCH (n:A) SET n.n = 10").await;
    ok(&mut two, "MATCH (n:A) SET n.n = 20").await;
    let (code, message) = one.run("RETURN 1 AS one").await.failure();
    assert_eq!(code, TRANSIENT, "{message}");
    assert!(message.starts_with("Cannot resolve conflicting transactions."), "{message}");
    one.reset().await;
    assert_eq!(one.run("MATCH (n:A) RETURN n.n AS n").await.rows, [[20i64.into()]]);
    assert_eq!(server.fake.0.graph.published(), Lsn(4), "nothing of it was committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_still_to_come_do_not_change_under_their_client() {
    let server = start();
    let (mut one, mut two) = (Client::connect(&server).await, Client::connect(&server).await);
    ok(&mut one, "UNWIND range(1, 5) AS n CREATE (:A {n: n})").await;
    ok(&mut one, "SET NEXT TRANSACTION ISOLATION LEVEL READ COMMITTED").await;
    begin(&mut one).await;
    one.ask(run("MATCH (n:A) RETURN n.n AS n")).await.metadata();
    let first = one.ask(Request::Pull(Stream { n: 2, qid: Some(0) })).await;
    assert_eq!(first.rows, [[1i64.into()], [2i64.into()]]);
    ok(&mut two, "MATCH (n:A) DETACH DELETE n").await;
    // The next statement sees what the one before still reads.
    assert_eq!(count(&mut one).await, 5);
    let rest = one.ask(Request::Pull(Stream { n: ALL, qid: Some(0) })).await;
    assert_eq!(rest.rows, [[3i64.into()], [4i64.into()], [5i64.into()]]);
    assert_eq!(count(&mut one).await, 0, "the rows were taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_are_the_nodes_a_sessions_or_the_next_transactions() {
    let server = start_with(BoltConfig { isolation_level: IsolationLevel::ReadUncommitted, ..config() });
    let (mut one, mut two) = (Client::connect(&server).await, Client::connect(&server).await);
    let (snapshot, committed, uncommitted) = ("SNAPSHOT_ISOLATION", "READ_COMMITTED", "READ_UNCOMMITTED");
    assert_eq!(levels(&mut one).await, [uncommitted, "", "", committed]);

    // The same on a REPLICA.
    *server.fake.0.role.lock() = Role::Replica { port: 10000 };
    ok(&mut one, "SET GLOBAL TRANSACTION ISOLATION LEVEL SNAPSHOT ISOLATION").await;
    ok(&mut one, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await;
    *server.fake.0.role.lock() = Role::Main;
    ok(&mut one, "SET NEXT TRANSACTION ISOLATION LEVEL SNAPSHOT ISOLATION").await;
    assert_eq!(levels(&mut one).await, [snapshot, committed, snapshot, snapshot]);
    assert_eq!(levels(&mut two).await, [snapshot, "", "", snapshot], "of the other only the node's");

    // The next transaction takes its level with it.
    begin(&mut one).await;
    ok(&mut two, "CREATE (:A)").await;
    assert_eq!(count(&mut one).await, 0);
    assert_eq!(levels(&mut one).await, [snapshot, committed, "", snapshot]);
    commit(&mut one).await.metadata();
    begin(&mut one).await;
    ok(&mut two, "CREATE (:A)").await;
    assert_eq!(count(&mut one).await, 2);
    // A level is not for a transaction that has begun.
    let (_, message) = one.run("SET NEXT TRANSACTION ISOLATION LEVEL READ COMMITTED").await.failure();
    assert!(message.contains("is not allowed in multicommand transactions"), "{message}");
    one.reset().await;
    assert_eq!(levels(&mut one).await, [snapshot, committed, "", snapshot]);

    let metadata = one.run("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED").await.metadata();
    let said = notifications(&metadata);
    assert!(said.contains(&("WARNING".to_owned(), "IsolationLevel".to_owned())), "{said:?}");
    assert_eq!(levels(&mut one).await, [snapshot, uncommitted, "", snapshot]);
    begin(&mut one).await;
    begin(&mut two).await;
    ok(&mut two, "CREATE (:A)").await;
    assert_eq!(count(&mut one).await, 2, "what is not committed is not seen");
    commit(&mut two).await.metadata();
    assert_eq!(count(&mut one).await, 3);
}
