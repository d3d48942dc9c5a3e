//! Triggers, as the clients of a node meet them.

use super::*;

async fn rows(client: &mut Client, query: &str) -> Vec<Vec<PackValue>> {
    let answer = client.run(query).await;
    let rows = answer.rows.clone();
    answer.metadata();
    rows
}

async fn number(client: &mut Client, query: &str) -> i64 {
    match rows(client, query).await[..] {
        [ref row] if let [PackValue::Int(n)] = row[..] => n,
        ref other => panic!("{query}: {other:?}"),
    }
}

/// Waits until a query answers with that number.
async fn until(client: &mut Client, query: &str, wanted: i64) {
    while number(client, query).await != wanted {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// How often a trigger has failed, and the last time why.
async fn failures(client: &mut Client, trigger: &str) -> (i64, String) {
    let all = rows(client, "SHOW TRIGGERS").await;
    let row = all.iter().find(|row| row[0].as_str() == Some(trigger)).expect("it is there");
    let PackValue::Int(count) = row[7] else { panic!("{row:?}") };
    assert!(count == 0 || matches!(row[6], PackValue::DateTime(_)), "{row:?}");
    (count, row[8].as_str().unwrap_or_default().to_owned())
}

async fn failed(client: &mut Client, trigger: &str) -> String {
    loop {
        match failures(client, trigger).await {
            (0, _) => tokio::time::sleep(Duration::from_millis(1)).await,
            (_, why) => return why,
        }
    }
}

const COPIES: &str = "MATCH (c:Copy) RETURN count(c)";
const COPY: &str = "UNWIND createdVertices AS v CREATE (:Copy {n: v.n})";

async fn with(server: &Server, triggers: &[&str]) -> Client {
    let mut client = Client::connect(server).await;
    for trigger in triggers {
        client.run(trigger).await.metadata();
    }
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_before_a_commit_is_part_of_it() {
    let server = start();
    let trigger = format!("CREATE TRIGGER copy ON () CREATE BEFORE COMMIT EXECUTE {COPY}");
    let mut client = with(&server, &[&trigger]).await;
    let before = server.fake.0.graph.published();
    client.run("CREATE (:A {n: 1})").await.metadata();
    assert_eq!(server.fake.0.graph.published(), before.next(), "one commit for both");
    assert_eq!(number(&mut client, COPIES).await, 1);

    client.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    client.run("CREATE (:A {n: 2})").await.metadata();
    client.run("CREATE (:A {n: 3})").await.metadata();
    assert_eq!(number(&mut client, COPIES).await, 1, "it runs at the end");
    client.ask(Request::Commit).await.metadata();
    assert_eq!(number(&mut client, COPIES).await, 3);

    // Each transaction of a query that commits as it goes.
    client
        .run("UNWIND range(4, 8) AS n CALL { WITH n CREATE (:A {n: n}) } IN TRANSACTIONS OF 2 ROWS")
        .await
        .metadata();
    assert_eq!(number(&mut client, COPIES).await, 8);
    client.run("DROP TRIGGER copy").await.metadata();
    client.run("CREATE (:A {n: 9})").await.metadata();
    assert_eq!(number(&mut client, COPIES).await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_fails_before_a_commit_undoes_the_transaction() {
    let server = start();
    // The place is one in the statement of the trigger.
    let trigger = "CREATE TRIGGER strict ON () CREATE BEFORE COMMIT EXECUTE UNWIND createdVertices AS v SET v.of = 6 / v.n";
    let mut client = with(&server, &[trigger]).await;
    let all = "MATCH (a) RETURN count(a)";
    let text = "Trigger 'strict' caused the transaction to fail: division by zero (line 1, column 40) [";
    let (code, message) = client.run("CREATE (:A {n: 0})").await.failure();
    assert_eq!(code, CLIENT_ERROR);
    assert!(message.starts_with(text), "{message}");
    client.reset().await;
    client.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    client.run("CREATE (:A {n: 0})").await.metadata();
    assert!(client.ask(Request::Commit).await.failure().1.starts_with(text));
    client.reset().await;
    assert_eq!(number(&mut client, all).await, 0);
    assert_eq!(failures(&mut client, "strict").await.0, 2);

    // It is a failure of one of several transactions.
    let batches = "UNWIND [1, 0, 2] AS n CALL { WITH n CREATE (:A {n: n}) } IN TRANSACTIONS OF 1 ROWS ON ERROR CONTINUE";
    let told = notifications(&client.run(batches).await.metadata());
    assert_eq!(told, [("WARNING".to_owned(), "TransactionsFailed".to_owned())]);
    assert_eq!(number(&mut client, all).await, 2);
    assert_eq!(failures(&mut client, "strict").await.0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_after_a_commit_has_a_transaction_of_its_own() {
    let server = start();
    let trigger = format!("CREATE TRIGGER copy ON () CREATE AFTER COMMIT EXECUTE {COPY}");
    let mut client = with(&server, &[&trigger]).await;
    client.run("CREATE (:A {n: 1})").await.metadata();
    until(&mut client, COPIES, 1).await;
    // What a trigger writes triggers nothing, and commits come in their order.
    for n in 2..20 {
        client.run(&format!("CREATE (:A {{n: {n}}})")).await.metadata();
    }
    until(&mut client, COPIES, 19).await;
    let order = "MATCH (c:Copy) WITH c ORDER BY id(c) RETURN collect(c.n) = range(1, 19)";
    assert_eq!(rows(&mut client, order).await, [[PackValue::Bool(true)]]);
    assert_eq!(failures(&mut client, "copy").await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_fails_after_a_commit_is_counted_and_the_commit_stands() {
    let server = start();
    let mut client = with(
        &server,
        &[
            "CREATE TRIGGER a ON () CREATE AFTER COMMIT EXECUTE UNWIND createdVertices AS v SET v.of = 6 / v.n",
            &format!("CREATE TRIGGER b ON () CREATE AFTER COMMIT EXECUTE {COPY}"),
        ],
    )
    .await;
    client.run("CREATE (:A {n: 0})").await.metadata();
    assert!(failed(&mut client, "a").await.starts_with("division by zero (line 1, column 40) ["));
    until(&mut client, COPIES, 1).await;
    assert_eq!(failures(&mut client, "a").await.0, 1);
    assert_eq!(failures(&mut client, "b").await, (0, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_sets_off_triggers_and_nothing_else_does() {
    let server = start();
    let trigger = format!("CREATE TRIGGER copy ON () CREATE AFTER COMMIT EXECUTE {COPY}");
    let mut client = with(&server, &[&trigger]).await;
    let mut end = async |n: i64, end: End| {
        *server.fake.0.outcome.lock() = Some(end);
        let answer = client.run(&format!("CREATE (:A {{n: {n}}})")).await;
        if !matches!(answer.end, Response::Success(_)) {
            client.reset().await;
        }
    };
    end(1, |_| Outcome::Failed(CommitError::Conflict)).await;
    end(2, |position| Outcome::InDoubt { position, failed: Vec::new() }).await;
    end(3, missing).await;
    // The trigger's own transaction conflicts with another, and is tried again.
    until(&mut client, COPIES, 1).await;
    *server.fake.0.commits_before.lock() = 1;
    *server.fake.0.outcome.lock() = Some(|_| Outcome::Failed(CommitError::Conflict));
    client.run("CREATE (:A {n: 4})").await.metadata();
    until(&mut client, COPIES, 2).await;
    let copied = rows(&mut client, "MATCH (c:Copy) RETURN c.n ORDER BY c.n").await;
    assert_eq!(copied, [[PackValue::Int(3)], [PackValue::Int(4)]]);
    assert_eq!(failures(&mut client, "copy").await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_degraded_commit_that_is_told_as_an_error_sets_off_triggers_too() {
    let server = start_with(BoltConfig { sync_failure_report: SyncFailureReport::Error, ..config() });
    let trigger = format!("CREATE TRIGGER copy ON () CREATE AFTER COMMIT EXECUTE {COPY}");
    let mut client = with(&server, &[&trigger]).await;
    *server.fake.0.outcome.lock() = Some(missing);
    client.run("CREATE (:A {n: 1})").await.failure();
    client.reset().await;
    until(&mut client, COPIES, 1).await;
}

const ENDLESS: &str =
    "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b WITH count(*) AS n CREATE (:Never {n: n})";

#[tokio::test(flavor = "multi_thread")]
async fn triggers_stop_when_the_time_of_a_transaction_is_up() {
    let server = start_with(BoltConfig { query_timeout: Some(Duration::from_millis(50)), ..config() });
    let before = format!("CREATE TRIGGER before ON () CREATE BEFORE COMMIT EXECUTE {ENDLESS}");
    let mut client = with(&server, &[&before]).await;
    let timed_out = "Transaction was asked to abort because of transaction timeout.";
    assert_eq!(client.run("CREATE (:A)").await.failure(), (TRANSIENT.to_owned(), timed_out.to_owned()));
    client.reset().await;
    assert_eq!(number(&mut client, "MATCH (n) RETURN count(n)").await, 0);
    client.run("DROP TRIGGER before").await.metadata();
    client.run(&format!("CREATE TRIGGER after ON () CREATE AFTER COMMIT EXECUTE {ENDLESS}")).await.metadata();
    client.run("CREATE (:A)").await.metadata();
    assert_eq!(failed(&mut client, "after").await, timed_out);
    assert_eq!(number(&mut client, "MATCH (n) RETURN count(n)").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_are_terminated_as_transactions_are() {
    let server = start();
    let mut client =
        with(&server, &[&format!("CREATE TRIGGER t ON () CREATE BEFORE COMMIT EXECUTE {ENDLESS}")]).await;
    let mut other = Client::connect(&server).await;
    let terminated = "Transaction was asked to abort by another user.";
    other.send(run("CREATE (:A)")).await;
    other.send(Request::Pull(Stream::default())).await;
    terminate(&mut client, "CREATE (:A)").await;
    other.answer().await.metadata();
    assert_eq!(other.answer().await.failure().1, terminated);
    other.reset().await;

    client.run("DROP TRIGGER t").await.metadata();
    client.run(&format!("CREATE TRIGGER t ON () CREATE AFTER COMMIT EXECUTE {ENDLESS}")).await.metadata();
    other.run("CREATE (:A)").await.metadata();
    terminate(&mut client, ENDLESS).await;
    assert_eq!(failed(&mut client, "t").await, terminated);
    assert_eq!(number(&mut client, "MATCH (n) RETURN count(n)").await, 1);
}

/// Terminates what runs that text, once it does.
async fn terminate(client: &mut Client, query: &str) {
    loop {
        for row in rows(client, "SHOW TRANSACTIONS").await {
            if row[2].as_list().unwrap().iter().any(|text| text.as_str() == Some(query)) {
                let id = row[1].as_str().unwrap();
                client.run(&format!("TERMINATE TRANSACTIONS '{id}'")).await.metadata();
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_runs_what_is_queued() {
    let server = start();
    let trigger = format!("CREATE TRIGGER copy ON () CREATE AFTER COMMIT EXECUTE {COPY}");
    let mut client = with(&server, &[&trigger]).await;
    for n in 0..50 {
        client.run(&format!("CREATE (:A {{n: {n}}})")).await.metadata();
    }
    server.stop.send(true).unwrap();
    server.serving.await.unwrap();
    assert_eq!(server.fake.0.graph.begin(false).counts().vertices, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_does_not_wait_for_a_trigger_without_end() {
    let server = start();
    let endless = format!("CREATE TRIGGER t ON () CREATE AFTER COMMIT EXECUTE {ENDLESS}");
    let mut client = with(&server, &[&endless]).await;
    client.run("CREATE (:A)").await.metadata();
    client.run("CREATE (:A)").await.metadata();
    server.stop.send(true).unwrap();
    server.serving.await.unwrap();
    assert_eq!(server.fake.0.graph.begin(false).counts().vertices, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_main_runs_triggers_and_changes_them() {
    let server = start();
    let before = format!("CREATE TRIGGER before ON () CREATE BEFORE COMMIT EXECUTE {COPY}");
    let after = "CREATE TRIGGER after ON --> CREATE AFTER COMMIT EXECUTE CREATE (:Copy)";
    let mut client = with(&server, &[&before, after]).await;
    client.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    for statement in ["CREATE TRIGGER t BEFORE COMMIT EXECUTE RETURN 1", "DROP TRIGGER before"] {
        let (_, message) = client.run(statement).await.failure();
        assert!(
            message.starts_with("Trigger manipulation is not allowed in multicommand transactions."),
            "{message}"
        );
        client.reset().await;
        client.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    }
    client.reset().await;

    *server.fake.0.role.lock() = Role::Replica { port: 10_000 };
    for statement in ["CREATE TRIGGER t BEFORE COMMIT EXECUTE RETURN 1", "DROP TRIGGER before"] {
        assert!(client.run(statement).await.failure().1.starts_with("Write queries are forbidden"));
        client.reset().await;
    }
    let shown = rows(&mut client, "SHOW TRIGGERS").await;
    let text = |row: &[PackValue], n: usize| row[n].as_str().unwrap().to_owned();
    let first: Vec<String> = (0..5).map(|n| text(&shown[0], n)).collect();
    assert_eq!(first, ["after", "CREATE (:Copy)", "DEFINER", "--> CREATE", "AFTER COMMIT"]);
    assert_eq!(shown[0][5..], [PackValue::Null, PackValue::Null, PackValue::Int(0), PackValue::Null]);
    assert_eq!(text(&shown[1], 4), "BEFORE COMMIT");

    // As at a promotion.
    *server.fake.0.role.lock() = Role::Main;
    client.run("CREATE (:A)-[:R]->(:A)").await.metadata();
    until(&mut client, COPIES, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_is_dropped_before_its_turn_does_not_run() {
    let server = start();
    let mut client = with(
        &server,
        &[
            &format!("CREATE TRIGGER a ON () CREATE AFTER COMMIT EXECUTE {ENDLESS}"),
            &format!("CREATE TRIGGER b ON () CREATE AFTER COMMIT EXECUTE {COPY}"),
            &format!("CREATE TRIGGER c ON () CREATE AFTER COMMIT EXECUTE {COPY}"),
        ],
    )
    .await;
    client.run("CREATE (:A {n: 1})").await.metadata();
    client.run("DROP TRIGGER b").await.metadata();
    terminate(&mut client, ENDLESS).await;
    until(&mut client, COPIES, 1).await;
}

/// What waits for its triggers counts as memory of queries; what does not fit is refused before it is committed.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_trigger_will_be_told_counts_as_memory() {
    let pool = Arc::new(mgcypher::MemoryPool::new(2 << 20));
    let server = start_with(BoltConfig { query_memory: pool, ..config() });
    let trigger = "CREATE TRIGGER gone ON () DELETE AFTER COMMIT EXECUTE CREATE (:Copy)";
    let mut client = with(&server, &[trigger]).await;
    let text = "x".repeat(1 << 19);
    for _ in 0..5 {
        client.run(&format!("CREATE (:Big {{text: '{text}'}})")).await.metadata();
    }
    let (code, message) = client.run("MATCH (b:Big) DELETE b").await.failure();
    assert!(
        code == TRANSIENT && message.starts_with("Memory limit exceeded: what triggers AFTER"),
        "{message}"
    );
    client.reset().await;
    assert_eq!(number(&mut client, "MATCH (b:Big) RETURN count(b)").await, 5, "nothing was committed");
    for left in (0..5).rev() {
        client.run("MATCH (b:Big) WITH b LIMIT 1 DELETE b").await.metadata();
        until(&mut client, COPIES, 5 - left).await;
    }
}
