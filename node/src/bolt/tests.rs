//! Sessions over a real line, with a node behind them that does as it is told.

use super::{BoltConfig, Core, Listener};
use crate::config::SyncFailureReport;
use crate::driver::BookmarkError;
use mgbolt::{
    ALL, Auth, Dechunker, Map, NotificationFilter, PackValue, Request, Response, Route, Severity, Status,
    Stream, Threshold, TransactionExtra, Version, handshake,
};
use mgcypher::ast::IsolationLevel;
use mgnode_core::engine::{
    self, Admin, AdminAnswer, AdminError, CommitError, Outcome, ReplicaFailure, ReplicaFailureReason,
    ReplicaStatus,
};
use mgnode_core::storage::{Commit, Graph};
use mgnode_core::types::{Lsn, Names, Position, Role, SyncMode};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod isolation;
mod language;
mod load;
mod recover;
mod statements;
mod triggers;

/// A node without an engine: commits go straight to the graph, and end as the test says.
#[derive(Clone)]
struct Fake(Arc<FakeState>);

/// How a commit that was given this position ends.
type End = fn(Position) -> Outcome;

struct FakeState {
    graph: Arc<Graph>,
    role: Mutex<Role>,
    /// Commits come one after the other.
    turn: Mutex<()>,
    /// How the next commit ends; committed where nothing is said.
    outcome: Mutex<Option<End>>,
    /// So many commits go well before that.
    commits_before: Mutex<u32>,
    admin: Mutex<Result<AdminAnswer, AdminError>>,
    routes: Mutex<Vec<engine::Route>>,
    asked: Mutex<Vec<Admin>>,
    /// How long each bookmark could be waited for.
    waits: Mutex<Vec<Duration>>,
}

impl Core for Fake {
    fn graph(&self) -> Arc<Graph> {
        self.0.graph.clone()
    }

    fn role(&self) -> Role {
        *self.0.role.lock()
    }

    fn position_of(&self, _: &Arc<Graph>, lsn: Lsn) -> Option<Position> {
        (lsn > Lsn::ZERO).then(|| Position { lsn, ..position() })
    }

    async fn commit(&self, commit: Commit) -> Outcome {
        let _turn = self.0.turn.lock();
        let graph = &self.0.graph;
        let lsn = graph.published().next();
        let position = Position { lsn, ..position() };
        let goes_well = {
            let mut before = self.0.commits_before.lock();
            let goes_well = *before > 0;
            *before = before.saturating_sub(1);
            goes_well
        };
        let end = if goes_well { None } else { self.0.outcome.lock().take() };
        let outcome = end.map_or(Outcome::Committed { position }, |end| end(position));
        if matches!(outcome, Outcome::Committed { .. } | Outcome::Degraded { .. }) {
            graph.apply(lsn, &commit.changes).expect("a commit fits the graph it read");
            graph.publish(lsn, lsn.0);
        }
        outcome
    }

    fn routes(&self) -> Vec<engine::Route> {
        self.0.routes.lock().clone()
    }

    async fn admin(&self, command: Admin) -> Result<AdminAnswer, AdminError> {
        self.0.asked.lock().push(command);
        self.0.admin.lock().clone()
    }

    async fn wait_for(&self, position: Position, limit: Duration) -> Result<(), BookmarkError> {
        self.0.waits.lock().push(limit);
        tokio::time::sleep(Duration::from_millis(1)).await;
        if position.epoch != self::position().epoch {
            return Err(BookmarkError::Lost);
        }
        let seen = async {
            while position.lsn > self.0.graph.published() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(limit, seen).await.map_err(|_| BookmarkError::TimedOut)
    }
}

fn position() -> Position {
    "3.00000000000000aa.1:7".parse().expect("well formed")
}

fn missing(position: Position) -> Outcome {
    let failed =
        ReplicaFailure { name: "r1".into(), mode: SyncMode::Sync, reason: ReplicaFailureReason::NotInSync };
    Outcome::Degraded { position, failed: vec![failed] }
}

struct Server {
    fake: Fake,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

fn config() -> BoltConfig {
    BoltConfig {
        server_name: "Neo4j/v5.11.0 compatible graph database server - Memgraph".into(),
        sessions_max: 10,
        logon_timeout: Duration::from_secs(5),
        message_bytes_max: 1 << 20,
        sync_failure_report: SyncFailureReport::Notification,
        query_timeout: None,
        query_memory_max: None,
        query_memory: Arc::new(mgcypher::MemoryPool::new(1 << 30)),
        bookmark_timeout: Duration::from_millis(50),
        settings: Arc::default(),
        data_directory: "no-such-directory".into(),
        memory_max: 1 << 30,
        import_directory: None,
        background: Arc::default(),
        isolation_level: IsolationLevel::SnapshotIsolation,
    }
}

fn start_with(config: BoltConfig) -> Server {
    let fake = Fake(Arc::new(FakeState {
        graph: Arc::new(Graph::new(Arc::new(Names::default()))),
        role: Mutex::new(Role::Main),
        turn: Mutex::default(),
        outcome: Mutex::new(None),
        commits_before: Mutex::new(0),
        admin: Mutex::new(Ok(AdminAnswer::Done)),
        routes: Mutex::default(),
        asked: Mutex::default(),
        waits: Mutex::default(),
    }));
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(listener.serve(fake.clone(), config, stopped));
    Server { fake, address, stop, serving }
}

fn start() -> Server {
    start_with(config())
}

struct Client {
    line: TcpStream,
    input: Dechunker,
    version: Version,
}

/// The single answer to a request, with its rows before it.
struct Answer {
    rows: Vec<Vec<PackValue>>,
    end: Response,
}

impl Answer {
    fn metadata(self) -> Map {
        match self.end {
            Response::Success(metadata) => metadata,
            other => panic!("{other:?}"),
        }
    }

    fn failure(self) -> (String, String) {
        match self.end {
            Response::Failure { code, message, .. } => (code, message),
            other => panic!("{other:?}"),
        }
    }
}

impl Client {
    async fn shake(server: &Server, version: Version) -> Client {
        let mut line = TcpStream::connect(server.address).await.unwrap();
        let mut hello = [0; handshake::CLIENT_BYTES];
        hello[..4].copy_from_slice(&handshake::MAGIC);
        hello[4..8].copy_from_slice(&handshake::answer(version));
        line.write_all(&hello).await.unwrap();
        let mut answer = [0; 4];
        line.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, handshake::answer(version));
        Client { line, input: Dechunker::new(1 << 24), version }
    }

    /// By the manifest: what the server offers comes back too.
    async fn shake_by_manifest(server: &Server, version: Version) -> (Client, Vec<u8>) {
        let mut line = TcpStream::connect(server.address).await.unwrap();
        let mut hello = handshake::proposals();
        hello[4..8].copy_from_slice(&[0, 0, 1, 0xFF]);
        line.write_all(&hello).await.unwrap();
        let mut offer = vec![0; handshake::manifest().len()];
        line.read_exact(&mut offer).await.unwrap();
        line.write_all(&[0, 0, version.minor, version.major, 0]).await.unwrap();
        (Client { line, input: Dechunker::new(1 << 24), version }, offer)
    }

    async fn connect(server: &Server) -> Client {
        Client::connect_as(server, Version::V5_4, NotificationFilter::default()).await
    }

    async fn connect_as(server: &Server, version: Version, filter: NotificationFilter) -> Client {
        let mut client = Client::shake(server, version).await;
        let mut greeting = hello(Auth::none());
        if let Request::Hello { filter: wanted, .. } = &mut greeting {
            *wanted = filter;
        }
        client.ask(greeting).await.metadata();
        client.ask(Request::Logon(Auth::none())).await.metadata();
        client
    }

    async fn send(&mut self, request: Request) {
        let mut bytes = Vec::new();
        request.write(&mut bytes, self.version).unwrap();
        self.line.write_all(&bytes).await.unwrap();
    }

    /// Returns `None` where the server has closed.
    async fn receive(&mut self) -> Option<Response> {
        loop {
            if let Some(message) = self.input.next_message().unwrap() {
                return Some(Response::decode(&message, self.version).unwrap());
            }
            if self.line.read_buf(self.input.input()).await.unwrap() == 0 {
                return None;
            }
        }
    }

    async fn answer(&mut self) -> Answer {
        let mut rows = Vec::new();
        loop {
            match self.receive().await.expect("an answer comes before the end") {
                Response::Record(row) => rows.push(row),
                end => return Answer { rows, end },
            }
        }
    }

    async fn ask(&mut self, request: Request) -> Answer {
        self.send(request).await;
        self.answer().await
    }

    async fn run(&mut self, query: &str) -> Answer {
        let began = self.ask(run(query)).await;
        if !matches!(began.end, Response::Success(_)) {
            return began;
        }
        self.ask(Request::Pull(Stream::default())).await
    }

    async fn reset(&mut self) {
        self.ask(Request::Reset).await.metadata();
    }
}

fn hello(auth: Auth) -> Request {
    Request::Hello {
        user_agent: Some("test".into()),
        auth,
        routing: None,
        bolt_agent: None,
        filter: NotificationFilter::default(),
    }
}

fn run(query: &str) -> Request {
    Request::Run { query: query.into(), parameters: Map::new(), extra: TransactionExtra::default() }
}

fn notifications(metadata: &Map) -> Vec<(String, String)> {
    let text = |n: &PackValue, key: &str| n.as_map().unwrap().get(key).unwrap().as_str().unwrap().to_owned();
    let all = metadata.get("notifications").map(|n| n.as_list().unwrap().to_vec()).unwrap_or_default();
    all.iter().map(|n| (text(n, "severity"), text(n, "code"))).collect()
}

const CLIENT_ERROR: &str = "Memgraph.ClientError.MemgraphError.MemgraphError";
const TRANSIENT: &str = "Memgraph.TransientError.MemgraphError.MemgraphError";

#[tokio::test(flavor = "multi_thread")]
async fn hello_says_what_drivers_look_for() {
    let server = start();
    for version in Version::SERVED {
        let mut client = Client::shake(&server, version).await;
        let metadata = client.ask(hello(Auth::basic("", ""))).await.metadata();
        assert!(metadata.get("server").unwrap().as_str().unwrap().starts_with("Neo4j/"));
        assert!(metadata.get("connection_id").unwrap().as_str().unwrap().starts_with("bolt-"));
        if version.has_logon() {
            client.ask(Request::Logon(Auth::default())).await.metadata();
        }
        assert_eq!(client.run("SHOW VERSION").await.rows.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_chooses_from_the_manifest() {
    let server = start();
    for version in Version::SERVED {
        let (mut client, offer) = Client::shake_by_manifest(&server, version).await;
        assert_eq!(offer, handshake::manifest());
        client.ask(hello(Auth::none())).await.metadata();
        if version.has_logon() {
            client.ask(Request::Logon(Auth::none())).await.metadata();
        }
        assert_eq!(client.run("SHOW VERSION").await.rows.len(), 1, "{version}");
    }
    // What was not offered ends the connection.
    let (mut client, _) = Client::shake_by_manifest(&server, Version::new(5, 9)).await;
    assert_eq!(client.receive().await, None);
}

/// Code and title of each status, in their order.
fn statuses(metadata: &Map) -> Vec<(String, Option<String>)> {
    let text = |status: &Map, key: &str| status.get(key).and_then(PackValue::as_str).map(str::to_owned);
    let all = metadata.get("statuses").map(|all| all.as_list().unwrap().to_vec()).unwrap_or_default();
    all.iter()
        .map(|status| {
            let status = status.as_map().unwrap();
            assert!(status.get("diagnostic_record").unwrap().as_map().is_some());
            (text(status, "gql_status").unwrap(), text(status, "neo4j_code"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn summaries_have_statuses_from_5_5_on() {
    let server = start();
    for version in [Version::V5_4, Version::V5_5, Version::V5_6, Version::NEWEST] {
        let mut client = Client::connect_as(&server, version, NotificationFilter::default()).await;
        let mut end = async |query| statuses(&client.run(query).await.metadata());
        let (index, row, none, write) = (
            end(&format!("CREATE INDEX ON :V{}", version.minor)).await,
            end("RETURN 1 AS one").await,
            end("UNWIND [] AS x RETURN x").await,
            end("CREATE (:A)").await,
        );
        if version < Version::V5_5 {
            assert!([index, row, none, write].iter().all(Vec::is_empty), "{version}");
            continue;
        }
        let plain = |code: &str| vec![(code.to_owned(), None)];
        assert_eq!(row, plain("00000"), "{version}");
        assert_eq!(none, plain("02000"), "{version}");
        assert_eq!(write, plain("00001"), "{version}");
        let created = ("03N42".to_owned(), Some("CreateIndex".to_owned()));
        assert_eq!(index, [plain("00001"), vec![created]].concat(), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_says_in_gql_what_it_is() {
    let server = start();
    let mut client = Client::connect_as(&server, Version::NEWEST, NotificationFilter::default()).await;
    for (query, expected) in [
        ("RETURN", Status::SYNTAX),
        ("RETURN 1/0", Status::DATA),
        ("CREATE USER ada", Status::RULE),
        ("COMMIT", Status::RULE),
    ] {
        let Response::Failure { status, .. } = client.run(query).await.end else {
            panic!("{query} is refused")
        };
        assert_eq!(status, expected, "{query}");
        client.reset().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hears_what_it_asked_for() {
    let server = start();
    let heard = |threshold, disabled: &[&str]| NotificationFilter {
        threshold,
        disabled: Some(disabled.iter().map(|word| (*word).to_owned()).collect()),
    };
    let warnings = heard(Some(Threshold::From(Severity::Warning)), &[]);
    let mut client = Client::connect_as(&server, Version::V5_4, warnings).await;
    assert_eq!(notifications(&client.run("CREATE INDEX ON :B").await.metadata()), []);
    // What a query says stands over what the connection said.
    let with = |query: &str, filter| Request::Run {
        query: query.into(),
        parameters: Map::new(),
        extra: TransactionExtra { filter, ..TransactionExtra::default() },
    };
    let all = heard(Some(Threshold::From(Severity::Information)), &[]);
    client.ask(with("CREATE INDEX ON :B", all)).await.metadata();
    let told = notifications(&client.ask(Request::Pull(Stream::default())).await.metadata());
    assert_eq!(told, [("INFO".to_owned(), "IndexAlreadyExists".to_owned())]);
    let no_schema = heard(Some(Threshold::From(Severity::Information)), &["SCHEMA"]);
    client.ask(with("CREATE INDEX ON :B", no_schema)).await.metadata();
    assert_eq!(notifications(&client.ask(Request::Pull(Stream::default())).await.metadata()), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_5_8_on_the_database_is_told() {
    let server = start();
    for (version, told) in [(Version::V5_7, None), (Version::V5_8, Some(PackValue::from("memgraph")))] {
        let mut client = Client::connect_as(&server, version, NotificationFilter::default()).await;
        let began = client.ask(Request::Begin(TransactionExtra::default())).await.metadata();
        assert_eq!(began.get("db"), told.as_ref());
        assert_eq!(client.ask(run("RETURN 1 AS x")).await.metadata().get("db"), told.as_ref());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_no_client_harms_nobody() {
    let server = start();
    drop(TcpStream::connect(server.address).await.unwrap());
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 2, 0, 1, 0, 1, 252, 3], &[0x60, 0x60, 0xB0, 0x17, 0]]
    {
        let mut line = TcpStream::connect(server.address).await.unwrap();
        line.write_all(bytes).await.unwrap();
        line.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = line.read_to_end(&mut answer).await;
        assert_eq!(answer, b"");
    }
    let mut line = TcpStream::connect(server.address).await.unwrap();
    let mut too_new = handshake::MAGIC.to_vec();
    too_new.extend([0, 0, 0, 9].repeat(4));
    line.write_all(&too_new).await.unwrap();
    let mut answer = Vec::new();
    line.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, handshake::NO_VERSION);
    Client::connect(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_and_oversized_messages_get_a_failure_and_the_end() {
    let server = start();
    let mut client = Client::shake(&server, Version::V5_4).await;
    client.line.write_all(&[0, 3, 1, 2, 3, 0, 0]).await.unwrap();
    let (code, _) = client.answer().await.failure();
    assert_eq!(code, "Memgraph.ClientError.Request.Invalid");
    assert_eq!(client.receive().await, None);

    // 64 KiB are enough for whoever has not logged on, however much is announced.
    let mut client = Client::shake(&server, Version::V5_4).await;
    let mut chunk = vec![0xFF, 0xFF];
    chunk.resize(65_537, 0);
    client.line.write_all(&chunk).await.unwrap();
    client.line.write_all(&chunk).await.unwrap();
    let (_, message) = client.answer().await.failure();
    assert!(message.contains("larger than 65536 bytes"), "{message}");
    assert_eq!(client.receive().await, None);

    // After that the configured limit holds, for what comes right behind the log-on too.
    let mut client = Client::shake(&server, Version::V5_4).await;
    client.send(hello(Auth::none())).await;
    client.send(Request::Logon(Auth::none())).await;
    let text = format!("RETURN \"{}\"", "x".repeat(200_000));
    client.send(run(&text)).await;
    client.answer().await.metadata();
    client.answer().await.metadata();
    if let Response::Failure { message, .. } = client.answer().await.end {
        assert!(!message.contains("larger than"), "{message}");
    }
    let text = format!("RETURN \"{}\"", "x".repeat(1 << 20));
    client.reset().await;
    let (_, message) = client.ask(run(&text)).await.failure();
    assert!(message.contains("larger than 1048576 bytes"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_out_of_place_is_a_failure_and_the_end() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let (code, message) = client.ask(Request::Pull(Stream::default())).await.failure();
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("Memgraph.ClientError.Request.Invalid", "PULL cannot be sent now.")
    );
    assert_eq!(client.receive().await, None);

    let mut client = Client::shake(&server, Version::V5_4).await;
    client.ask(hello(Auth::none())).await.metadata();
    let auth = Auth { scheme: Some("kerberos".into()), ..Auth::default() };
    let (code, message) = client.ask(Request::Logon(auth)).await.failure();
    assert_eq!(code, "Memgraph.ClientError.Security.Unauthenticated");
    assert_eq!(message, "Authentication failure");
    assert_eq!(client.receive().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_logs_on_is_not_kept() {
    let server = start_with(BoltConfig { logon_timeout: Duration::from_millis(100), ..config() });
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 4]).await.unwrap(), 0);
    let mut half = Client::shake(&server, Version::V5_4).await;
    half.ask(hello(Auth::none())).await.metadata();
    assert_eq!(half.receive().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_says_so() {
    let server = start_with(BoltConfig { sessions_max: 1, ..config() });
    let first = Client::connect(&server).await;
    let mut second = Client::shake(&server, Version::V5_4).await;
    let (code, _) = second.ask(hello(Auth::none())).await.failure();
    assert_eq!(code, "Memgraph.ClientError.Statement.SessionLimitReached");
    drop(first);
    // The place becomes free as soon as the node has noticed.
    loop {
        let mut third = Client::shake(&server, Version::V5_4).await;
        if let Response::Success(_) = third.ask(hello(Auth::none())).await.end {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_everything_is_ignored_until_reset() {
    let server = start();
    let mut client = Client::connect(&server).await;
    client.send(run("RETRUN 1")).await;
    client.send(Request::Pull(Stream::default())).await;
    let (code, _) = client.answer().await.failure();
    assert_eq!(code, CLIENT_ERROR);
    assert_eq!(client.answer().await.end, Response::Ignored);
    client.reset().await;
    assert_eq!(client.run("SHOW VERSION").await.rows.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn replication_queries_take_effect_at_pull() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let register = "REGISTER REPLICA r1 SYNC TO \"127.0.0.1:10001\"";
    client.ask(run(register)).await.metadata();
    client.reset().await;
    assert_eq!(*server.fake.0.asked.lock(), []);
    let metadata = client.run(register).await.metadata();
    assert_eq!(notifications(&metadata), [("INFO".to_owned(), "RegisterReplica".to_owned())]);
    assert_eq!(metadata.get("type"), Some(&"rw".into()));
    let asked =
        Admin::Register { name: "r1".into(), mode: SyncMode::Sync, address: "127.0.0.1:10001".into() };
    assert_eq!(*server.fake.0.asked.lock(), [asked]);

    *server.fake.0.admin.lock() = Err(AdminError::NameTaken);
    let (code, message) = client.run(register).await.failure();
    assert_eq!(code, CLIENT_ERROR);
    assert!(message.starts_with("Couldn't register replica r1. Error: 1."), "{message}");
    client.reset().await;

    *server.fake.0.admin.lock() = Ok(AdminAnswer::Done);
    let metadata = client.run("SET REPLICATION ROLE TO REPLICA WITH PORT 7687").await.metadata();
    let codes: Vec<String> = notifications(&metadata).into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["SetReplica", "ReplicaPortWarning"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn show_replicas_has_memgraphs_columns() {
    let server = start();
    let status = ReplicaStatus {
        name: "r1".into(),
        address: "127.0.0.1:10001".into(),
        mode: SyncMode::Async,
        status: "ready",
        ts: 4,
        behind: -2,
    };
    *server.fake.0.admin.lock() = Ok(AdminAnswer::Replicas(vec![status]));
    let mut client = Client::connect(&server).await;
    let metadata = client.ask(run("SHOW REPLICAS")).await.metadata();
    let fields: Vec<PackValue> =
        ["name", "socket_address", "sync_mode", "system_info", "data_info"].map(PackValue::from).to_vec();
    assert_eq!(metadata.get("fields"), Some(&PackValue::List(fields)));
    let answer = client.ask(Request::Pull(Stream { n: ALL, qid: None })).await;
    let system = Map::new().with("ts", 0i64).with("behind", PackValue::Null).with("status", "ready");
    let data = Map::new().with("ts", 4i64).with("behind", -2i64).with("status", "ready");
    let expected: Vec<PackValue> = vec![
        "r1".into(),
        "127.0.0.1:10001".into(),
        "async".into(),
        system.into(),
        Map::new().with("memgraph", data).into(),
    ];
    assert_eq!(answer.rows, [expected]);
    // mgconsole reads the first of a list of notifications unseen.
    assert_eq!(answer.metadata().get("notifications"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn replication_queries_are_refused_in_transactions() {
    let server = start();
    let mut client = Client::connect(&server).await;
    for begin in [Some(Request::Begin(TransactionExtra::default())), None] {
        match begin {
            Some(begin) => drop(client.ask(begin).await.metadata()),
            None => drop(client.run("BEGIN").await.metadata()),
        }
        let (code, message) = client.ask(run("SHOW REPLICATION ROLE")).await.failure();
        assert_eq!(code, CLIENT_ERROR);
        assert!(
            message.starts_with(
                "Managing replication is not allowed in multicommand transactions. A multicommand"
            ) && message.contains("particularquery. For more"),
            "{message}"
        );
        client.reset().await;
    }
    assert_eq!(*server.fake.0.asked.lock(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_may_be_texts() {
    let server = start();
    let mut client = Client::connect(&server).await;
    assert_eq!(client.run("COMMIT").await.failure().1, "No current transaction to commit.");
    client.reset().await;
    assert_eq!(client.run("ROLLBACK").await.failure().1, "No current transaction to rollback.");
    client.reset().await;
    client.run("BEGIN").await.metadata();
    assert_eq!(client.run("BEGIN").await.failure().1, "Nested transactions are not supported.");
    client.reset().await;
    client.run("BEGIN").await.metadata();
    client.run("COMMIT").await.metadata();
    client.run("BEGIN").await.metadata();
    client.run("ROLLBACK").await.metadata();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_outcome_of_a_commit_has_its_answer() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let metadata = client.run("CREATE INDEX ON :A").await.metadata();
    assert_eq!(metadata.get("bookmark"), Some(&"3.00000000000000aa.1:1".into()));
    assert_eq!(notifications(&metadata), [("INFO".to_owned(), "CreateIndex".to_owned())]);

    *server.fake.0.outcome.lock() = Some(missing);
    let metadata = client.run("CREATE INDEX ON :B").await.metadata();
    assert_eq!(metadata.get("bookmark"), Some(&"3.00000000000000aa.1:2".into()));
    let warnings: Vec<_> = notifications(&metadata).into_iter().filter(|(s, _)| s == "WARNING").collect();
    assert_eq!(warnings, [("WARNING".to_owned(), "SyncReplicationFailure".to_owned())]);

    let ends: [(End, &str, &str); 4] = [
        (|_| Outcome::Failed(CommitError::Conflict), TRANSIENT, "Cannot resolve conflicting transactions."),
        (
            |_| Outcome::Failed(CommitError::NotMain),
            CLIENT_ERROR,
            "Cannot commit because instance is not main",
        ),
        (
            |_| Outcome::Failed(CommitError::ReplicasMissing(Vec::new())),
            CLIENT_ERROR,
            "Replication Exception: ",
        ),
        (
            |position| Outcome::InDoubt { position, failed: Vec::new() },
            "Memgraph.ClientError.Transaction.InDoubt",
            "The outcome of the transaction is in doubt: it is written as 3.00000000000000aa.1:3",
        ),
    ];
    for (end, expected_code, beginning) in ends {
        *server.fake.0.outcome.lock() = Some(end);
        let (code, message) = client.run("CREATE INDEX ON :C").await.failure();
        assert_eq!(code, expected_code);
        assert!(message.starts_with(beginning), "{message}");
        client.reset().await;
    }
    assert_eq!(client.run("SHOW INDEX INFO").await.rows.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_degraded_commit_is_an_error_where_that_was_asked_for() {
    let report = SyncFailureReport::Error;
    let server = start_with(BoltConfig { sync_failure_report: report, ..config() });
    let mut client = Client::connect(&server).await;
    *server.fake.0.outcome.lock() = Some(missing);
    let Response::Failure { code, message, position, .. } = client.run("CREATE INDEX ON :A").await.end else {
        panic!("it is told as a failure")
    };
    // Its code and its position tell it from a commit that did not happen.
    assert_eq!(code, "Memgraph.ClientError.Transaction.Degraded");
    assert!(
        message.starts_with("Replication Exception: Failed to replicate to SYNC replica 'r1'"),
        "{message}"
    );
    assert!(message.contains("Transaction is still committed on the main instance"), "{message}");
    assert_eq!(position.as_deref(), Some("3.00000000000000aa.1:1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_refuses_writes_when_they_are_run() {
    let server = start();
    *server.fake.0.role.lock() = Role::Replica { port: 10_000 };
    let mut client = Client::connect(&server).await;
    let (code, message) = client.ask(run("CREATE INDEX ON :A")).await.failure();
    assert_eq!(code, CLIENT_ERROR);
    assert_eq!(
        message,
        "Write queries are forbidden on the replica instance. Replica instances accept only read queries, while the \
         main instance accepts read and write queries. Please retry your query on the main instance."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bookmarks_are_waited_for_and_checked() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let bookmark = client.run("CREATE INDEX ON :A").await.metadata().get("bookmark").unwrap().clone();
    let begin = |bookmark: &str| {
        Request::Begin(TransactionExtra { bookmarks: vec![bookmark.into()], ..TransactionExtra::default() })
    };
    client.ask(begin(bookmark.as_str().unwrap())).await.metadata();
    client.ask(Request::Rollback).await.metadata();
    for (bookmark, class, word) in [
        ("2.00000000000000aa.1:1", "ClientError", "BookmarkLost"),
        ("3.00000000000000aa.1:99", "TransientError", "not yet applied"),
        ("FB:kcwQ", "ClientError", "no bookmark of this cluster"),
    ] {
        let (code, message) = client.ask(begin(bookmark)).await.failure();
        assert_eq!(code.split('.').nth(1), Some(class), "{code}");
        assert!(message.contains(word), "{message}");
        client.reset().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routing_table_is_given_once_the_bookmarks_are_seen() {
    let route = |bookmark: &str| {
        Request::Route(Route {
            routing: Map::new().with("address", "db:1"),
            bookmarks: vec![bookmark.into()],
            ..Route::default()
        })
    };
    let node = engine::Route { is_main: true, is_here: true, bolt: vec![] };
    let server = start();
    *server.fake.0.routes.lock() = vec![node.clone()];
    let mut client = Client::connect(&server).await;
    for (bookmark, class, word) in [
        ("2.00000000000000aa.1:1", "ClientError", "BookmarkLost"),
        ("3.00000000000000aa.1:99", "TransientError", "not yet applied"),
        ("FB:kcwQ", "ClientError", "no bookmark of this cluster"),
    ] {
        let (code, message) = client.ask(route(bookmark)).await.failure();
        assert_eq!(code.split('.').nth(1), Some(class), "{code}");
        assert!(message.contains(word), "{message}");
        client.reset().await;
    }

    let patient = start_with(BoltConfig { bookmark_timeout: Duration::from_secs(60), ..config() });
    *patient.fake.0.routes.lock() = vec![node];
    let (mut client, mut writer) = (Client::connect(&patient).await, Client::connect(&patient).await);
    let asked = tokio::spawn(async move { client.ask(route("3.00000000000000aa.1:1")).await });
    while patient.fake.0.waits.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(!asked.is_finished(), "it was answered before the commit was seen");
    writer.run("CREATE (:A)").await.metadata();
    assert!(asked.await.unwrap().metadata().get("rt").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_bookmarks_share_one_patience() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let bookmark = client.run("CREATE (:A)").await.metadata().get("bookmark").unwrap().clone();
    let bookmarks = vec![bookmark.as_str().unwrap().to_owned(); 3];
    client
        .ask(Request::Begin(TransactionExtra { bookmarks, ..TransactionExtra::default() }))
        .await
        .metadata();
    let waits = server.fake.0.waits.lock().clone();
    assert!(waits.len() == 3 && waits[0] > waits[1] && waits[1] > waits[2], "{waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_without_a_write_gives_a_bookmark_of_what_it_has_seen() {
    let server = start();
    let mut client = Client::connect(&server).await;
    assert_eq!(client.run("RETURN 1").await.metadata().get("bookmark"), None, "there is nothing to see");
    let mut other = Client::connect(&server).await;
    other.run("CREATE (:A)").await.metadata();
    let first = Some(&"3.00000000000000aa.1:1".into());
    assert_eq!(client.run("MATCH (n) RETURN n").await.metadata().get("bookmark"), first);
    // It matches nothing, so it writes nothing.
    assert_eq!(client.run("MATCH (n:B) SET n.x = 1").await.metadata().get("bookmark"), first);
    client.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    client.run("MATCH (n) RETURN n").await.metadata();
    other.run("CREATE (:A)").await.metadata();
    assert_eq!(client.ask(Request::Commit).await.metadata().get("bookmark"), first, "it saw no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_are_checked() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let begin =
        |db: &str| Request::Begin(TransactionExtra { db: Some(db.into()), ..TransactionExtra::default() });
    for db in ["memgraph", "neo4j"] {
        client.ask(begin(db)).await.metadata();
        client.ask(Request::Rollback).await.metadata();
    }
    let (code, message) = client.ask(begin("other")).await.failure();
    assert_eq!(code, CLIENT_ERROR);
    assert!(message.starts_with("Unknown database name \"other\""), "{message}");
}

/// Asks for a routing table as a client that dialled `used`: (role, addresses) of each entry.
async fn routing_table(client: &mut Client, used: &str) -> Vec<(String, Vec<String>)> {
    let route = Request::Route(Route { routing: Map::new().with("address", used), ..Route::default() });
    let metadata = client.ask(route).await.metadata();
    let table = metadata.get("rt").unwrap().as_map().unwrap();
    assert_eq!(table.get("ttl"), Some(&300i64.into()));
    let text = |value: &PackValue| value.as_str().unwrap().to_owned();
    let entry = |server: &PackValue| {
        let server = server.as_map().unwrap();
        let addresses = server.get("addresses").unwrap().as_list().unwrap().iter().map(text).collect();
        (text(server.get("role").unwrap()), addresses)
    };
    table.get("servers").unwrap().as_list().unwrap().iter().map(entry).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routing_table_names_every_node_by_addresses_of_the_place_of_the_client() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let node = |is_main, is_here, bolt: &[&str]| engine::Route {
        is_main,
        is_here,
        bolt: bolt.iter().map(|s| (*s).to_owned()).collect(),
    };
    *server.fake.0.routes.lock() = vec![
        node(true, true, &["127.0.0.1:7687", "main:7687"]),
        node(false, false, &["127.0.0.1:7688", "near:7687"]),
        node(false, false, &["127.0.0.1:7689", "far:7687"]),
    ];
    let row = |role: &str, addresses: &[&str]| {
        (role.to_owned(), addresses.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
    };
    for used in ["127.0.0.1:7688", "unheard.of:1"] {
        assert_eq!(
            routing_table(&mut client, used).await,
            [
                row("WRITE", &["127.0.0.1:7687"]),
                row("READ", &["127.0.0.1:7688", "127.0.0.1:7689"]),
                row("ROUTE", &["127.0.0.1:7687", "127.0.0.1:7688", "127.0.0.1:7689"]),
            ]
        );
    }
    let inside = routing_table(&mut client, "far:7687").await;
    assert_eq!(inside[..2], [row("WRITE", &["main:7687"]), row("READ", &["near:7687", "far:7687"])]);
    // A node that was told nothing is where the client found it.
    *server.fake.0.routes.lock() = vec![node(true, true, &[])];
    let alone = routing_table(&mut client, "db:1").await;
    assert_eq!(alone, [row("WRITE", &["db:1"]), row("READ", &["db:1"]), row("ROUTE", &["db:1"])]);
}

fn pull(n: i64, qid: Option<i64>) -> Request {
    Request::Pull(Stream { n, qid })
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_in_the_portions_that_are_asked_for() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let metadata = client.ask(run("UNWIND range(1, 5) AS x RETURN x")).await.metadata();
    assert_eq!(metadata.get("fields"), Some(&PackValue::List(vec!["x".into()])));
    assert_eq!(metadata.get("qid"), None);
    let first = client.ask(pull(2, None)).await;
    assert_eq!(first.rows, [[PackValue::Int(1)], [PackValue::Int(2)]]);
    assert_eq!(first.metadata(), Map::new().with("has_more", true));
    client.ask(Request::Discard(Stream { n: 1, qid: None })).await.metadata();
    // Exactly as many as are left: the end is told at once.
    let last = client.ask(pull(2, Some(0))).await;
    assert_eq!(last.rows, [[PackValue::Int(4)], [PackValue::Int(5)]]);
    let metadata = last.metadata();
    assert_eq!(metadata.get("has_more"), Some(&false.into()));
    assert_eq!(metadata.get("type"), Some(&"r".into()));
    assert_eq!(metadata.get("db"), Some(&"memgraph".into()));
    assert_eq!(metadata.get("stats"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_counts_what_it_did_and_gives_a_bookmark() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let query = "CREATE (a:Person {name: 'Ada'})-[:KNOWS]->(b:Person)";
    let metadata = client.run(query).await.metadata();
    assert_eq!(metadata.get("type"), Some(&"w".into()));
    assert_eq!(metadata.get("bookmark"), Some(&"3.00000000000000aa.1:1".into()));
    let stats = metadata.get("stats").unwrap().as_map().unwrap();
    assert_eq!(stats.get("nodes-created"), Some(&2i64.into()));
    assert_eq!(stats.get("relationships-created"), Some(&1i64.into()));
    assert_eq!(stats.get("nodes-deleted"), None);

    let answer = client.run("MATCH p = (a)-[r]->(b) RETURN a, r, p").await;
    let [node, relationship, path] = &answer.rows[0][..] else { panic!("{:?}", answer.rows) };
    let PackValue::Node(node) = node else { panic!("{node:?}") };
    assert_eq!((node.labels.as_slice(), node.element_id.as_str()), (&["Person".to_owned()][..], "0"));
    assert_eq!(node.properties, Map::new().with("name", "Ada"));
    let PackValue::Relationship(relationship) = relationship else { panic!("{relationship:?}") };
    assert_eq!((relationship.start, relationship.end, relationship.kind.as_str()), (0, 1, "KNOWS"));
    let PackValue::Path(path) = path else { panic!("{path:?}") };
    assert_eq!((path.nodes.len(), path.indices.as_slice()), (2, &[1, 1][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_pulled_did_not_happen() {
    let server = start();
    let mut client = Client::connect(&server).await;
    client.ask(run("CREATE (:A)")).await.metadata();
    client.reset().await;
    assert_eq!(server.fake.0.graph.published(), Lsn::ZERO);
    client.ask(run("CREATE (:A)")).await.metadata();
    client.ask(Request::Discard(Stream::default())).await.metadata();
    assert_eq!(server.fake.0.graph.published(), Lsn(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_holds_several_results_and_commits_them_all() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let mut other = Client::connect(&server).await;
    client.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    let first = client.ask(run("UNWIND range(1, 3) AS x CREATE (:A) RETURN x")).await.metadata();
    assert_eq!(first.get("qid"), Some(&0i64.into()));
    let second = client.ask(run("UNWIND [7, 8] AS x RETURN x")).await.metadata();
    assert_eq!(second.get("qid"), Some(&1i64.into()));
    assert_eq!(client.ask(pull(1, Some(0))).await.rows, [[PackValue::Int(1)]]);
    assert_eq!(client.ask(pull(ALL, None)).await.rows.len(), 2);
    assert_eq!(other.run("MATCH (n) RETURN n").await.rows.len(), 0);
    // Rows 2 and 3 were not read; what they stand for is part of the transaction all the same.
    let metadata = client.ask(Request::Commit).await.metadata();
    assert_eq!(metadata.get("bookmark"), Some(&"3.00000000000000aa.1:1".into()));
    assert_eq!(other.run("MATCH (n) RETURN n").await.rows.len(), 3);

    client.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    client.ask(run("CREATE (:A)")).await.metadata();
    let (_, message) = client.ask(pull(ALL, Some(9))).await.failure();
    assert_eq!(message, "There is no open result of that number.");
    client.reset().await;
    assert_eq!(other.run("MATCH (n) RETURN n").await.rows.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_degraded_commit_of_a_transaction_warns_at_commit() {
    let server = start();
    let mut client = Client::connect(&server).await;
    client.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    assert_eq!(notifications(&client.run("CREATE (:A)").await.metadata()), []);
    *server.fake.0.outcome.lock() = Some(missing);
    let metadata = client.ask(Request::Commit).await.metadata();
    assert_eq!(notifications(&metadata), [("WARNING".to_owned(), "SyncReplicationFailure".to_owned())]);

    client.run("BEGIN").await.metadata();
    client.run("CREATE (:A)").await.metadata();
    *server.fake.0.outcome.lock() = Some(missing);
    let metadata = client.run("COMMIT").await.metadata();
    assert_eq!(notifications(&metadata), [("WARNING".to_owned(), "SyncReplicationFailure".to_owned())]);
    assert!(metadata.get("bookmark").is_some());

    // How a commit ended is no hint that a client could do without.
    let silent = NotificationFilter { threshold: Some(Threshold::Off), disabled: None };
    let mut client = Client::connect_as(&server, Version::NEWEST, silent).await;
    *server.fake.0.outcome.lock() = Some(missing);
    let metadata = client.run("CREATE (:A)").await.metadata();
    let warning = ("01N42".to_owned(), Some("SyncReplicationFailure".to_owned()));
    assert_eq!(statuses(&metadata), [warning, ("00001".to_owned(), None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_reads_and_judges_a_write_by_its_plan() {
    let server = start();
    *server.fake.0.role.lock() = Role::Replica { port: 10_000 };
    let mut client = Client::connect(&server).await;
    assert_eq!(client.run("MATCH (n) RETURN count(n)").await.rows, [[PackValue::Int(0)]]);
    let (code, message) = client.ask(run("MATCH (n:None) SET n.x = 1")).await.failure();
    assert_eq!(code, CLIENT_ERROR);
    assert!(message.starts_with("Write queries are forbidden on the replica instance."), "{message}");
}

/// Runs for hours without a row.
const ENDLESS: &str =
    "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b WITH a, b WHERE a < 0 RETURN a";

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_stops_the_running_query() {
    let server = start();
    let mut client = Client::connect(&server).await;
    client.ask(run(ENDLESS)).await.metadata();
    client.send(pull(ALL, None)).await;
    client.send(run("RETURN 1")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.send(Request::Reset).await;
    let (code, message) = client.answer().await.failure();
    assert_eq!((code.as_str(), message.contains("asked to abort")), (TRANSIENT, true), "{message}");
    assert_eq!(client.answer().await.end, Response::Ignored);
    client.answer().await.metadata();
    assert_eq!(client.run("RETURN 1").await.rows.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_ends_when_its_time_is_up() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let extra = TransactionExtra { timeout_ms: Some(50), ..TransactionExtra::default() };
    let asked = Request::Run { query: ENDLESS.into(), parameters: Map::new(), extra: extra.clone() };
    client.ask(asked).await.metadata();
    let (code, message) = client.ask(pull(ALL, None)).await.failure();
    assert_eq!(code, TRANSIENT);
    assert_eq!(message, "Transaction was asked to abort because of transaction timeout.");
    client.reset().await;

    // One that lies idle is given up too.
    let extra = TransactionExtra { timeout_ms: Some(2_000), ..extra };
    client.ask(Request::Begin(extra)).await.metadata();
    client.run("CREATE (:A)").await.metadata();
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(client.ask(Request::Commit).await.failure().1, message);
    client.reset().await;
    assert_eq!(client.run("MATCH (n) RETURN n").await.rows.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_flows_and_does_not_wait_for_its_end() {
    let server = start();
    let mut client = Client::connect(&server).await;
    client.ask(run("UNWIND range(1, 200000) AS x RETURN x, 'some text to fill the line'")).await.metadata();
    let answer = client.ask(pull(ALL, None)).await;
    assert_eq!(answer.rows.len(), 200_000);
    assert_eq!(answer.rows[199_999][0], PackValue::Int(200_000));
    answer.metadata();
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_queries_name_their_place() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let (code, message) = client.ask(run("MATCH (n)\nRETURN m")).await.failure();
    assert_eq!(code, CLIENT_ERROR);
    assert!(message.contains("line 2"), "{message}");
    client.reset().await;
    let (code, message) = client.run("RETURN 1 / 0").await.failure();
    assert_eq!(code, CLIENT_ERROR);
    assert_eq!(message, "division by zero (line 1, column 8) [ArithmeticError: DivisionByZero]");
    client.reset().await;
    let (_, message) = client.run("UNWIND [1, 0] AS x\nRETURN x,\n  1 / x").await.failure();
    assert_eq!(message, "division by zero (line 3, column 3) [ArithmeticError: DivisionByZero]");
    client.reset().await;
    let (_, message) = client.run("PROFILE UNWIND [1, 0] AS x\nRETURN 1 / x").await.failure();
    assert_eq!(message, "division by zero (line 2, column 8) [ArithmeticError: DivisionByZero]");
    client.reset().await;
    let (_, message) = client.ask(run("RETURN $missing")).await.failure();
    assert!(message.contains("missing"), "{message}");
    client.reset().await;
    let (_, message) = client.ask(run("\n  CREATE USER ada")).await.failure();
    let expected =
        concat!("CREATE USER is not supported by mgnode ", env!("CARGO_PKG_VERSION"), ". (line 2, column 3)");
    assert_eq!(message, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_ends_its_sessions() {
    let server = start();
    let mut client = Client::connect(&server).await;
    client.ask(Request::Begin(TransactionExtra::default())).await.metadata();
    server.stop.send(true).unwrap();
    assert_eq!(client.receive().await, None);
    // A session may see its end before the listener does.
    server.serving.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
    // The port can be opened again at once.
    Listener::bind(server.address).unwrap();
    assert_eq!(server.fake.0.graph.published(), Lsn::ZERO);
}
