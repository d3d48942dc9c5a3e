//! Files that are loaded, and queries that commit as they go.

use super::*;

struct Loader {
    _folder: tempfile::TempDir,
    server: Server,
    client: Client,
}

/// A node that may read these files.
async fn with_files(files: &[(&str, &str)]) -> Loader {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let server = start_with(BoltConfig { import_directory: Some(folder.path().to_owned()), ..config() });
    let client = Client::connect(&server).await;
    Loader { _folder: folder, server, client }
}

impl Loader {
    async fn rows(&mut self, query: &str) -> Vec<Vec<PackValue>> {
        let answer = self.client.run(query).await;
        let rows = answer.rows.clone();
        answer.metadata();
        rows
    }

    async fn refused(&mut self, query: &str) -> (String, String) {
        let failure = self.client.run(query).await.failure();
        self.client.reset().await;
        failure
    }

    /// How many vertices there are, and in how many commits they came.
    async fn count(&mut self) -> (PackValue, u64) {
        let n = self.rows("MATCH (n) RETURN count(n) AS n").await.remove(0).remove(0);
        (n, self.server.fake.0.graph.published().0)
    }
}

fn list(items: &[&str]) -> PackValue {
    PackValue::List(items.iter().map(|i| PackValue::from(*i)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_is_loaded_in_memgraphs_form() {
    let mut l = with_files(&[
        ("people.csv", "id,name\n1,Ada\n2,\"A, B\"\n3,\n"),
        ("bad.csv", "1;'x'\n2\n3;'y'z\n4;none\n"),
    ])
    .await;
    let all = l.rows("LOAD CSV FROM 'file:///people.csv' WITH HEADER AS row RETURN row.id, row.name").await;
    // An empty field is an empty string, unless something else is said.
    assert_eq!(
        all,
        [["1".into(), "Ada".into()], ["2".into(), "A, B".into()], ["3".into(), PackValue::from("")]]
    );
    let nulls = "LOAD CSV FROM '/people.csv' WITH HEADER NULLIF '' AS row RETURN row.name ORDER BY row.id DESC LIMIT 1";
    assert_eq!(l.rows(nulls).await, [[PackValue::Null]]);
    let lists = "LOAD CSV FROM 'people.csv' NO HEADER AS row RETURN row LIMIT 2";
    assert_eq!(l.rows(lists).await, [[list(&["id", "name"])], [list(&["1", "Ada"])]]);

    let bad =
        "LOAD CSV FROM $file NO HEADER IGNORE BAD DELIMITER ';' QUOTE \"'\" NULLIF 'none' AS row RETURN row";
    let run = Request::Run {
        query: bad.into(),
        parameters: Map::new().with("file", "bad.csv"),
        extra: TransactionExtra::default(),
    };
    l.client.ask(run).await.metadata();
    let rows = l.client.ask(Request::Pull(Stream::default())).await.rows;
    assert_eq!(rows, [[list(&["1", "x"])], [PackValue::List(vec!["4".into(), PackValue::Null])]]);
    let (code, message) =
        l.refused("LOAD CSV FROM 'bad.csv' NO HEADER DELIMITER ';' AS row RETURN row").await;
    assert_eq!(code, CLIENT_ERROR);
    assert_eq!(
        message,
        "Line 2 of 'bad.csv' cannot be loaded: it has 1 fields where 2 are expected. (line 1, column 1) [ExternalResourceFailed]"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_is_loaded_in_neo4js_form() {
    let mut l = with_files(&[("x.csv", "a|b|c\n1|\n2|\"\"|x|more\n")]).await;
    let query =
        "LOAD CSV WITH HEADERS FROM 'file:///x.csv' AS row FIELDTERMINATOR '|' RETURN row.a, row.b, row.c";
    let null = || PackValue::Null;
    assert_eq!(l.rows(query).await, [["1".into(), null(), null()], ["2".into(), "".into(), "x".into()]]);
    let query = "LOAD CSV FROM 'file:///x.csv' AS row FIELDTERMINATOR '|' RETURN size(row) AS n";
    assert_eq!(l.rows(query).await, [[3i64.into()], [2i64.into()], [4i64.into()]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_a_query_can_have_its_file() {
    let mut l = with_files(&[("1.csv", "a\nb"), ("2.csv", ""), ("3.csv", "c")]).await;
    let query = "UNWIND [1, 2, 3] AS n LOAD CSV FROM toString(n) + '.csv' NO HEADER AS row RETURN n, row[0]";
    let found = l.rows(query).await;
    assert_eq!(
        found,
        [[1i64.into(), "a".into()], [1i64.into(), "b".into()], [3i64.into(), PackValue::from("c")]]
    );
    let query = "UNWIND [1, 3] AS n CALL { WITH n LOAD CSV FROM n + '.csv' NO HEADER AS row RETURN count(*) AS c } RETURN c";
    assert_eq!(l.rows(query).await, [[2i64.into()], [1i64.into()]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_read_that_was_not_offered() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let (_, message) = client.run("LOAD CSV FROM '/etc/passwd' NO HEADER AS row RETURN row").await.failure();
    assert!(message.contains("--import-directory=DIRECTORY"), "{message}");
    let mut l = with_files(&[]).await;
    for (file, why) in [
        ("/etc/passwd", "There is no 'etc/passwd' in the import directory"),
        ("../x.csv", "a path has no `..` here"),
        ("https://example.com/x.csv", "no URL is fetched"),
    ] {
        let (code, message) = l.refused(&format!("LOAD CSV FROM '{file}' NO HEADER AS row RETURN row")).await;
        assert_eq!(code, CLIENT_ERROR);
        assert!(message.contains(why), "{message}");
    }
    for (options, why) in [
        ("DELIMITER ''", "the delimiter of `LOAD CSV` is text"),
        ("DELIMITER '\"'", "the delimiter of `LOAD CSV` is text"),
        ("QUOTE 'ab'", "the quote of `LOAD CSV` is one character"),
        ("QUOTE 1", "The quote of `LOAD CSV` is a string, not"),
    ] {
        let (_, message) =
            l.refused(&format!("LOAD CSV FROM 'x' NO HEADER {options} AS row RETURN row")).await;
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_periodic_commit_leaves_no_large_transaction() {
    let file: String = (0..25).map(|i| format!("{i}\n")).collect();
    let mut l = with_files(&[("n.csv", &file)]).await;
    let query =
        "USING PERIODIC COMMIT 10 LOAD CSV FROM 'n.csv' NO HEADER AS row CREATE (:A {n: toInteger(row[0])})";
    let metadata = l.client.run(query).await.metadata();
    assert_eq!(metadata.get("stats").unwrap().as_map().unwrap().get("nodes-created"), Some(&25i64.into()));
    assert!(metadata.get("bookmark").is_some());
    assert_eq!(l.count().await, (25i64.into(), 3));

    // Rows that come out were committed in time, too.
    let query = "USING PERIODIC COMMIT 2 UNWIND range(1, 3) AS i CREATE (b:B {i: i}) RETURN b.i";
    assert_eq!(l.rows(query).await, [[1i64.into()], [2i64.into()], [3i64.into()]]);
    assert_eq!(l.count().await, (28i64.into(), 5));

    let (_, message) = l.refused("USING PERIODIC COMMIT 0 UNWIND [1] AS i CREATE (:C)").await;
    assert!(message.contains("a transaction has a number of rows from 1 on, not 0"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subquery_commits_so_many_rows_at_a_time() {
    let mut l = with_files(&[]).await;
    l.rows("UNWIND range(1, 7) AS i CALL { WITH i CREATE (:A {i: i}) } IN TRANSACTIONS OF 3 ROWS").await;
    assert_eq!(l.count().await, (7i64.into(), 3));
    let query = "UNWIND range(1, 4) AS i CALL { WITH i CREATE (b:B {i: i}) RETURN b } IN TRANSACTIONS OF 2 ROWS RETURN b.i";
    assert_eq!(l.rows(query).await.len(), 4);
    assert_eq!(l.count().await, (11i64.into(), 5));
    // What it walks is there after each of its commits.
    l.rows("MATCH (a:A) CALL { WITH a DETACH DELETE a } IN TRANSACTIONS OF 2 ROWS").await;
    assert_eq!(l.count().await, (4i64.into(), 9));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_stands_when_a_later_part_fails() {
    let mut l = with_files(&[]).await;
    let query =
        "UNWIND [1, 2, 3, 4, 0, 6, 7] AS i CALL { WITH i CREATE (:A {x: 12 / i}) } IN TRANSACTIONS OF 2 ROWS";
    let (code, message) = l.refused(query).await;
    assert_eq!(code, CLIENT_ERROR);
    assert!(message.ends_with("Before that, 2 transactions of the query had been committed."), "{message}");
    assert_eq!(l.count().await, (4i64.into(), 2));

    let metadata = l.client.run(&format!("{query} ON ERROR CONTINUE")).await.metadata();
    // The rows of the failed part are left out: 0 and 6.
    assert_eq!(metadata.get("stats").unwrap().as_map().unwrap().get("nodes-created"), Some(&5i64.into()));
    assert_eq!(l.count().await, (9i64.into(), 5));
    l.client.run(&format!("{query} ON ERROR BREAK")).await.metadata();
    assert_eq!(l.count().await, (13i64.into(), 7));

    // A conflict could be tried again; a query of which a part is committed must not be.
    let fails = |l: &Loader, before, end| {
        *l.server.fake.0.commits_before.lock() = before;
        *l.server.fake.0.outcome.lock() = Some(end);
    };
    let periodic = "USING PERIODIC COMMIT 2 UNWIND range(1, 3) AS i CREATE (:B)";
    fails(&l, 0, |_| Outcome::Failed(CommitError::Conflict));
    let (code, message) = l.refused(periodic).await;
    assert_eq!(code, TRANSIENT, "{message}");
    assert_eq!(l.count().await, (13i64.into(), 7));
    fails(&l, 1, |_| Outcome::Failed(CommitError::Conflict));
    let (code, message) = l.refused(periodic).await;
    assert_eq!(code, CLIENT_ERROR);
    assert!(message.ends_with("Before that, 1 transaction of the query had been committed."), "{message}");
    assert_eq!(l.count().await, (15i64.into(), 8));
}

/// Rows of a part that failed go on without what they would have got; none comes out before its commit.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_failed_part_go_on_with_null() {
    let mut l = with_files(&[]).await;
    let query = |how: &str| {
        format!(
            "UNWIND [1, 2, 3, 4, 0, 6, 7] AS i CALL {{ WITH i CREATE (a:A {{x: 12 / i}}) RETURN a.x AS x }} \
             IN TRANSACTIONS OF 2 ROWS ON ERROR {how} RETURN i, x"
        )
    };
    let rows = |all: &[(i64, Option<i64>)]| -> Vec<Vec<PackValue>> {
        all.iter().map(|(i, x)| vec![(*i).into(), x.map_or(PackValue::Null, PackValue::from)]).collect()
    };
    let good = [(1, Some(12)), (2, Some(6)), (3, Some(4)), (4, Some(3)), (0, None), (6, None)];
    assert_eq!(l.rows(&query("CONTINUE")).await, rows(&[&good[..], &[(7, Some(1))]].concat()));
    assert_eq!(l.count().await, (5i64.into(), 3));
    assert_eq!(l.rows(&query("BREAK")).await, rows(&[&good[..], &[(7, None)]].concat()));
    assert_eq!(l.count().await, (9i64.into(), 5));

    // A part that does not commit has failed, too.
    *l.server.fake.0.commits_before.lock() = 1;
    *l.server.fake.0.outcome.lock() = Some(|_| Outcome::Failed(CommitError::Conflict));
    let query = "UNWIND range(1, 5) AS i CALL { WITH i UNWIND range(2, i) AS j CREATE (:B) RETURN j } \
        IN TRANSACTIONS OF 2 ROWS ON ERROR CONTINUE RETURN i, j";
    let expected =
        [(2, Some(2)), (3, None), (4, None), (5, Some(2)), (5, Some(3)), (5, Some(4)), (5, Some(5))];
    assert_eq!(l.rows(query).await, rows(&expected));
    assert_eq!(l.count().await, (14i64.into(), 7));

    // An input of several operators goes on from its own last row, whichever row came out last.
    let query = "UNWIND [1, 2] AS i UNWIND [1, 2, 3] AS j \
        CALL { WITH i, j UNWIND range(i, 1) AS k CREATE (:D {i: i, j: j}) RETURN k } \
        IN TRANSACTIONS OF 4 ROWS ON ERROR CONTINUE RETURN i * 10 + j, k";
    assert_eq!(l.rows(query).await, rows(&[(11, Some(1)), (12, Some(1)), (13, Some(1))]));
    assert_eq!(l.rows("MATCH (d:D) RETURN d.j, d.i ORDER BY d.j").await.len(), 3);
    l.rows("MATCH (d:D) DELETE d").await;
    let before = l.count().await.1;
    assert_eq!(before, 9);

    // A row for which an optional one returns nothing stays, and a failure ends the query.
    let query = "UNWIND range(1, 3) AS i OPTIONAL CALL (i) { UNWIND range(2, i) AS j CREATE (:C) RETURN j } \
        IN TRANSACTIONS OF 2 ROWS RETURN i, j";
    assert_eq!(l.rows(query).await, rows(&[(1, None), (2, Some(2)), (3, Some(2)), (3, Some(3))]));
    assert_eq!(l.count().await, (17i64.into(), 11));
    let (_, message) = l.refused(&query.replace("(:C)", "(:C {x: 1 / (3 - i)})")).await;
    assert!(message.contains("division by zero") || message.contains("zero"), "{message}");
    assert_eq!(l.count().await, (18i64.into(), 12));
}

/// What the next transaction would meet as well is not passed over, and what was passed over is told.
#[tokio::test(flavor = "multi_thread")]
async fn going_on_after_errors_is_for_errors_of_the_rows() {
    let mut l = with_files(&[]).await;
    let query =
        "UNWIND range(1, 3) AS i CALL { WITH i CREATE (:A) } IN TRANSACTIONS OF 1 ROWS ON ERROR CONTINUE";
    let ends: [(End, &str); 3] = [
        (|_| Outcome::Failed(CommitError::NotMain), "not main anymore"),
        (|_| Outcome::Failed(CommitError::NoSpace), "no room left"),
        (|_| Outcome::Failed(CommitError::ReplicasMissing(Vec::new())), "Replication Exception"),
    ];
    for (i, (end, words)) in ends.into_iter().enumerate() {
        *l.server.fake.0.commits_before.lock() = 1;
        *l.server.fake.0.outcome.lock() = Some(end);
        let (code, message) = l.refused(query).await;
        assert_eq!(code, CLIENT_ERROR);
        assert!(message.contains(words) && message.contains("1 transaction of the query"), "{message}");
        assert_eq!(l.count().await.1, i as u64 + 1);
    }
    *l.server.fake.0.commits_before.lock() = 1;
    *l.server.fake.0.outcome.lock() = Some(|_| Outcome::Failed(CommitError::Conflict));
    let metadata = l.client.run(query).await.metadata();
    let told = notifications(&metadata);
    assert_eq!(told, [("WARNING".to_owned(), "TransactionsFailed".to_owned())]);
    let text = format!("{metadata:?}");
    assert!(text.contains("1 transaction of the query failed and left nothing; 2 are committed."), "{text}");
    assert_eq!(l.count().await, (5i64.into(), 5));
}

/// A result that is taken in portions ends between two of them, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_told_when_a_query_is_stopped_between_two_portions() {
    let mut l = with_files(&[]).await;
    let query = "UNWIND range(1, 9) AS i CALL { WITH i CREATE (n:A) RETURN n } IN TRANSACTIONS OF 1 ROWS RETURN id(n)";
    let extra = TransactionExtra { timeout_ms: Some(200), ..TransactionExtra::default() };
    let asked = Request::Run { query: query.into(), parameters: Map::new(), extra };
    l.client.ask(asked).await.metadata();
    let portion = l.client.ask(Request::Pull(Stream { n: 3, qid: None })).await;
    assert_eq!(portion.rows.len(), 3);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let (code, message) = l.client.ask(Request::Pull(Stream { n: 3, qid: None })).await.failure();
    assert_eq!(code, CLIENT_ERROR, "{message}");
    assert!(message.contains("transaction timeout. Before that, "), "{message}");
    l.client.reset().await;
    // The next query is one of its own.
    let (code, message) = l.refused("RETURN 1 / 0").await;
    assert!(code == CLIENT_ERROR && !message.contains("Before that"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_before_a_subquery_that_commits_is_refused() {
    let mut l = with_files(&[]).await;
    for write in
        ["CREATE (o:Outer {i: i})", "MERGE (o:Outer {i: i})", "MATCH (o) SET o.i = i", "MATCH (o) DELETE o"]
    {
        let query =
            format!("UNWIND [1, 2] AS i {write} WITH i CALL {{ WITH i CREATE (:Inner) }} IN TRANSACTIONS");
        let (_, message) = l.refused(&query).await;
        assert!(message.contains("A write before CALL { } IN TRANSACTIONS is not supported"), "{message}");
    }
    assert_eq!(l.count().await, (0i64.into(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_no_longer_held() {
    let config = BoltConfig { query_memory_max: Some(128 << 10), ..config() };
    let pool = config.query_memory.clone();
    let server = start_with(config);
    let mut client = Client::connect(&server).await;
    // Each takes more than the limit by all of its transactions, and less by one.
    for statement in [
        "UNWIND range(1, 3000) AS i CALL { WITH i CREATE (:N {i: i}) } IN TRANSACTIONS OF 100 ROWS",
        "UNWIND range(1, 3000) AS i CALL { WITH i CREATE (n:N {i: i}) RETURN n } IN TRANSACTIONS OF 100 ROWS RETURN count(n)",
        "UNWIND range(1, 3000) AS i CALL { WITH i CREATE (n:N {i: i}) RETURN n } IN TRANSACTIONS OF 100 ROWS ON ERROR CONTINUE RETURN count(n)",
        "USING PERIODIC COMMIT 100 UNWIND range(1, 3000) AS i CREATE (:N {i: i})",
    ] {
        client.run(statement).await.metadata();
    }
    for statement in [
        "UNWIND range(1, 3000) AS i CALL { WITH i CREATE (:N {i: i}) } IN TRANSACTIONS OF 3000 ROWS",
        "UNWIND range(1, 9000) AS i CALL { WITH i CREATE (n:N {i: i}) RETURN n } IN TRANSACTIONS OF 100 ROWS RETURN collect(n.i)",
    ] {
        let (_, message) = client.run(statement).await.failure();
        assert!(message.contains("Memory limit exceeded"), "{statement}: {message}");
        client.reset().await;
        assert_eq!(pool.held(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_commits_by_itself_has_its_transaction_alone() {
    let mut l = with_files(&[]).await;
    l.client.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    let (_, message) =
        l.client.ask(run("USING PERIODIC COMMIT 2 UNWIND [1] AS i CREATE (:A)")).await.failure();
    assert!(message.contains("not between BEGIN and COMMIT"), "{message}");
    l.client.reset().await;
    let (_, message) = l.refused("UNWIND [1] AS i CALL { CALL { CREATE (:A) } IN TRANSACTIONS }").await;
    assert!(message.contains("is not supported"), "{message}");
    assert_eq!(l.count().await, (0i64.into(), 0));
}
