//! One connection.

use super::QueryError;
use mgbolt::{
    ALL, Auth, ClientMachine, Dechunker, EncodeError, Map, NotificationFilter, PackValue, Request,
    RequestKind, Response, Stream, TransactionExtra, Version, handshake,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Largest message taken from a server: one row, or one summary.
const MESSAGE_BYTES_MAX: usize = 512 << 20;

/// Rows asked for at a time while streaming.
const BATCH_ROWS: i64 = 1000;

/// How much of a transaction is sent before its answers are read.
const LINE_STATEMENTS: usize = 100;
const LINE_BYTES: usize = 256 << 10;

/// A connection to one node.
pub struct Client {
    address: String,
    stream: TcpStream,
    input: Dechunker,
    machine: ClientMachine,
    version: Version,
    timeout: Duration,
    server: String,
    /// A result with rows left that nobody reads any more.
    abandoned: bool,
    broken: bool,
}

/// A whole result.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct QueryResult {
    pub fields: Vec<String>,
    pub rows: Vec<Vec<PackValue>>,
    pub summary: Summary,
}

/// What a server says at the end of a result.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Summary {
    /// "r", "w", "rw" or "s".
    pub kind: Option<String>,
    pub db: Option<String>,
    /// Names a commit, so that another node can be asked to have it.
    pub bookmark: Option<String>,
    /// Counters such as `nodes-created`; only those that moved.
    pub stats: Vec<(String, i64)>,
    pub notifications: Vec<Notification>,
    /// Everything that was said, as it came.
    pub metadata: Map,
}

/// Something that a server wants to be known about a query that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Notification {
    /// "INFO" or "WARNING".
    pub severity: String,
    /// E.g. `SyncReplicationFailure`.
    pub code: String,
    pub title: String,
    pub description: String,
}

/// A statement of a transaction of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    pub text: &'a str,
    /// The items of the list that is its parameter [`Statement::ROWS`]: how many, and their PackStream.
    pub rows: Option<(usize, &'a [u8])>,
}

/// What a transaction of many statements did.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Transacted {
    /// Counters such as `nodes-created`, of all statements together.
    pub stats: Vec<(String, i64)>,
    /// What the server says about the commit.
    pub commit: Summary,
}

/// Why a transaction of many statements did not happen.
#[derive(Debug)]
pub struct Untransacted {
    /// The statement that was refused, counted from 0; `None` where it is not about one of them.
    pub statement: Option<usize>,
    pub error: QueryError,
}

/// A result that is read row by row. Rows come as fast as they are taken.
pub struct Rows<'a> {
    client: &'a mut Client,
    fields: Vec<String>,
    /// None while rows are left.
    summary: Option<Summary>,
    /// Time-out of the batch under way.
    deadline: Instant,
}

impl Statement<'_> {
    /// The name of the parameter.
    pub const ROWS: &'static str = "rows";

    /// Returns about how many bytes it has on the line.
    pub fn size(&self) -> usize {
        self.text.len() + self.rows.map_or(0, |(_, bytes)| bytes.len())
    }

    /// Writes it and what discards its result.
    fn write(&self, line: &mut Vec<u8>, version: Version) -> Result<(), EncodeError> {
        Request::write_run(line, version, self.text, |encoder| match self.rows {
            None => encoder.map_header(0),
            Some((count, bytes)) => {
                encoder.map_header(1)?;
                encoder.string(Statement::ROWS)?;
                encoder.list_header(count)?;
                encoder.raw(bytes);
                Ok(())
            }
        })?;
        Request::Discard(Stream { n: ALL, qid: None }).write(line, version)
    }
}

impl<'a> From<&'a str> for Statement<'a> {
    fn from(text: &'a str) -> Statement<'a> {
        Statement { text, rows: None }
    }
}

impl Client {
    /// Connects, agrees on a version and authenticates, all within `timeout`, which later bounds
    /// every query too. `auth` is a user and a password; `None` asks to be let in without.
    pub async fn connect(
        address: &str,
        timeout: Duration,
        auth: Option<(&str, &str)>,
    ) -> Result<Client, QueryError> {
        let deadline = Instant::now() + timeout;
        let connect_error = |error| QueryError::Connect { address: address.to_owned(), error };
        let late = || {
            let text = format!("no answer within {timeout:?}");
            connect_error(std::io::Error::new(std::io::ErrorKind::TimedOut, text))
        };
        let mut stream = timeout_at(deadline, TcpStream::connect(address))
            .await
            .map_err(|_| late())?
            .map_err(connect_error)?;
        stream.set_nodelay(true).map_err(connect_error)?;
        let agree = async {
            stream.write_all(&handshake::proposals()).await?;
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).await?;
            Ok(answer)
        };
        let answer = timeout_at(deadline, agree).await.map_err(|_| late())?.map_err(connect_error)?;
        let version = handshake::accept(answer)
            .map_err(|error| QueryError::Handshake { address: address.to_owned(), error })?;
        let mut client = Client {
            address: address.to_owned(),
            stream,
            input: Dechunker::new(MESSAGE_BYTES_MAX),
            machine: ClientMachine::new(version),
            version,
            timeout,
            server: String::new(),
            abandoned: false,
            broken: false,
        };
        client.log_on(auth, deadline).await.map_err(|error| match error {
            // Nothing has been asked yet, so nothing can be unknown.
            QueryError::Lost { error, .. } => connect_error(error),
            QueryError::TimedOut { .. } => late(),
            other => other,
        })?;
        Ok(client)
    }

    /// Returns the version of Bolt that is spoken.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns what the server calls itself.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Returns the address that was connected to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Changes how long each later call may take.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Runs a query, in the transaction that is open or else in one of its own, and reads the whole
    /// result.
    pub async fn run(&mut self, query: &str, parameters: Map) -> Result<QueryResult, QueryError> {
        self.run_after(query, parameters, Vec::new()).await
    }

    /// As [`run`](Client::run), on a state that includes what these bookmarks name.
    pub async fn run_after(
        &mut self,
        query: &str,
        parameters: Map,
        bookmarks: Vec<String>,
    ) -> Result<QueryResult, QueryError> {
        let deadline = Instant::now() + self.timeout;
        self.settle(deadline).await?;
        let extra = TransactionExtra { bookmarks, ..TransactionExtra::default() };
        let run = Request::Run { query: query.to_owned(), parameters, extra };
        self.send(&[run, Request::Pull(Stream { n: ALL, qid: None })], deadline).await?;
        let fields = fields_of(&self.answer(deadline).await?);
        let mut rows = Vec::new();
        loop {
            match self.receive(deadline).await? {
                (_, Response::Record(row)) => rows.push(row),
                (_, Response::Success(metadata)) => {
                    return Ok(QueryResult { fields, rows, summary: Summary::from(metadata) });
                }
                (kind, other) => return Err(self.refusal(kind, other)),
            }
        }
    }

    /// Runs a query and hands out its rows one by one. The time-out bounds each batch.
    pub async fn stream(&mut self, query: &str, parameters: Map) -> Result<Rows<'_>, QueryError> {
        let deadline = Instant::now() + self.timeout;
        self.settle(deadline).await?;
        let run = Request::Run { query: query.to_owned(), parameters, extra: TransactionExtra::default() };
        self.send(&[run, Request::Pull(Stream { n: BATCH_ROWS, qid: None })], deadline).await?;
        let fields = fields_of(&self.answer(deadline).await?);
        self.abandoned = true;
        Ok(Rows { client: self, fields, summary: None, deadline })
    }

    /// Begins a transaction.
    pub async fn begin(&mut self) -> Result<(), QueryError> {
        self.ask(Request::Begin(TransactionExtra::default())).await.map(drop)
    }

    /// Commits the transaction and returns what the server says about it.
    pub async fn commit(&mut self) -> Result<Summary, QueryError> {
        self.ask(Request::Commit).await.map(Summary::from)
    }

    /// Runs statements in one transaction, and commits it. Many are on the line before the first is answered, and
    /// what they return is not read. The time-out bounds each batch of them.
    pub async fn transact(&mut self, statements: &[Statement<'_>]) -> Result<Transacted, Untransacted> {
        let mut stats: Vec<(String, i64)> = Vec::new();
        let other = |error| Untransacted { statement: None, error };
        self.begin().await.map_err(other)?;
        let mut first = 0;
        while first < statements.len() {
            let deadline = Instant::now() + self.timeout;
            let mut bytes = 0;
            let mut next = first;
            // The answers to so few are small enough to wait in the line's buffers.
            while next < statements.len() && next - first < LINE_STATEMENTS && bytes < LINE_BYTES {
                bytes += statements[next].size();
                next += 1;
            }
            self.send_statements(&statements[first..next], deadline).await.map_err(other)?;
            for index in first..next {
                let failed = |error| Untransacted { statement: Some(index), error };
                self.answer(deadline).await.map_err(failed)?;
                let summary = Summary::from(self.answer(deadline).await.map_err(failed)?);
                for (name, count) in summary.stats {
                    match stats.iter_mut().find(|(key, _)| *key == name) {
                        Some((_, sum)) => *sum += count,
                        None => stats.push((name, count)),
                    }
                }
            }
            first = next;
        }
        let commit = self.commit().await.map_err(other)?;
        Ok(Transacted { stats, commit })
    }

    /// Runs a statement in the transaction that is open, or else in one of its own. What it returns is not read.
    pub async fn execute(&mut self, statement: Statement<'_>) -> Result<Summary, QueryError> {
        let deadline = Instant::now() + self.timeout;
        self.settle(deadline).await?;
        self.send_statements(&[statement], deadline).await?;
        self.answer(deadline).await?;
        self.answer(deadline).await.map(Summary::from)
    }

    /// Gives the transaction up.
    pub async fn rollback(&mut self) -> Result<(), QueryError> {
        if self.machine.needs_reset() {
            // A failure has ended the transaction already.
            let deadline = Instant::now() + self.timeout;
            return self.settle(deadline).await;
        }
        self.ask(Request::Rollback).await.map(drop)
    }

    /// Gives up whatever is open: rows, a failure, a transaction, or nothing at all.
    pub async fn reset(&mut self) -> Result<(), QueryError> {
        let deadline = Instant::now() + self.timeout;
        self.settle(deadline).await?;
        self.send(&[Request::Reset], deadline).await?;
        self.answer(deadline).await.map(drop)
    }

    /// Says goodbye and closes. Errors are of no use to anyone here.
    pub async fn close(mut self) {
        let deadline = Instant::now() + self.timeout;
        if !self.broken && self.send(&[Request::Goodbye], deadline).await.is_ok() {
            let _ = timeout_at(deadline, self.stream.shutdown()).await;
        }
    }

    async fn log_on(&mut self, auth: Option<(&str, &str)>, deadline: Instant) -> Result<(), QueryError> {
        let auth = auth.map_or_else(Auth::none, |(user, password)| Auth::basic(user, password));
        let product = concat!("mgctl/", env!("CARGO_PKG_VERSION"));
        let hello = Request::Hello {
            user_agent: Some(product.to_owned()),
            auth: auth.clone(),
            routing: None,
            bolt_agent: (self.version >= Version::V5_3).then(|| Map::new().with("product", product)),
            filter: NotificationFilter::default(),
        };
        let mut requests = vec![hello];
        if self.version.has_logon() {
            requests.push(Request::Logon(auth));
        }
        let count = requests.len();
        self.send(&requests, deadline).await?;
        for _ in 0..count {
            let metadata = self.answer(deadline).await?;
            if let Some(server) = metadata.get("server").and_then(PackValue::as_str) {
                self.server = server.to_owned();
            }
        }
        Ok(())
    }

    async fn ask(&mut self, request: Request) -> Result<Map, QueryError> {
        let deadline = Instant::now() + self.timeout;
        self.settle(deadline).await?;
        self.send(&[request], deadline).await?;
        self.answer(deadline).await
    }

    /// Clears away what an earlier call left: rows that nobody took, a failure.
    async fn settle(&mut self, deadline: Instant) -> Result<(), QueryError> {
        if self.broken {
            return Err(QueryError::Closed { address: self.address.clone() });
        }
        if self.abandoned {
            self.drain(deadline).await?;
        }
        if self.machine.needs_reset() {
            self.send(&[Request::Reset], deadline).await?;
            self.answer(deadline).await?;
        }
        Ok(())
    }

    async fn drain(&mut self, deadline: Instant) -> Result<(), QueryError> {
        self.abandoned = false;
        loop {
            if self.machine.is_idle() {
                self.send(&[Request::Discard(Stream::default())], deadline).await?;
            }
            match self.receive(deadline).await? {
                (_, Response::Record(_)) => {}
                (_, Response::Success(metadata)) if has_more(&metadata) => {}
                (_, Response::Success(_)) => return Ok(()),
                // The failure belongs to a result that was given up; a RESET follows.
                (_, Response::Failure { .. } | Response::Ignored) => return Ok(()),
            }
        }
    }

    async fn send(&mut self, requests: &[Request], deadline: Instant) -> Result<(), QueryError> {
        let mut line = Vec::new();
        for request in requests {
            request.write(&mut line, self.version).map_err(|e| QueryError::Unsendable(e.to_string()))?;
        }
        self.send_line(&line, requests.iter().map(Request::kind), deadline).await
    }

    async fn send_statements(
        &mut self,
        statements: &[Statement<'_>],
        deadline: Instant,
    ) -> Result<(), QueryError> {
        let mut line = Vec::new();
        for statement in statements {
            statement.write(&mut line, self.version).map_err(|e| QueryError::Unsendable(e.to_string()))?;
        }
        let kinds = statements.iter().flat_map(|_| [RequestKind::Run, RequestKind::Discard]);
        self.send_line(&line, kinds, deadline).await
    }

    /// Sends requests of these kinds that are written already.
    async fn send_line(
        &mut self,
        line: &[u8],
        kinds: impl Iterator<Item = RequestKind>,
        deadline: Instant,
    ) -> Result<(), QueryError> {
        for kind in kinds {
            self.machine.sent(kind).map_err(|e| QueryError::Unsendable(e.to_string()))?;
        }
        match timeout_at(deadline, self.stream.write_all(line)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(error)),
            Err(_) => Err(self.late()),
        }
    }

    /// Waits for the one answer of a request that has no rows.
    async fn answer(&mut self, deadline: Instant) -> Result<Map, QueryError> {
        match self.receive(deadline).await? {
            (_, Response::Success(metadata)) => Ok(metadata),
            (kind, other) => {
                let error = self.refusal(kind, other);
                // What was sent behind it is ignored by the server, and its answers are taken here.
                while !self.broken && !self.machine.is_idle() {
                    self.receive(deadline).await?;
                }
                Err(error)
            }
        }
    }

    fn refusal(&mut self, kind: RequestKind, response: Response) -> QueryError {
        match response {
            Response::Failure { code, message, position, .. } => {
                QueryError::Server { code, message, position }
            }
            other => {
                self.broken = true;
                let what = format!("{other:?} to {}", kind.name());
                QueryError::Protocol { address: self.address.clone(), what }
            }
        }
    }

    async fn receive(&mut self, deadline: Instant) -> Result<(RequestKind, Response), QueryError> {
        loop {
            let message = self.input.next_message().map_err(|e| self.broken_rule(e))?;
            if let Some(message) = message {
                let response = Response::decode(&message, self.version).map_err(|e| self.broken_rule(e))?;
                let kind = self.machine.received(&response).map_err(|e| self.broken_rule(e))?;
                return Ok((kind, response));
            }
            match timeout_at(deadline, self.stream.read_buf(self.input.input())).await {
                Ok(Ok(0)) => return Err(self.lost(std::io::ErrorKind::UnexpectedEof.into())),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(self.lost(error)),
                Err(_) => return Err(self.late()),
            }
        }
    }

    fn broken_rule(&mut self, what: impl ToString) -> QueryError {
        self.broken = true;
        QueryError::Protocol { address: self.address.clone(), what: what.to_string() }
    }

    fn lost(&mut self, error: std::io::Error) -> QueryError {
        self.broken = true;
        QueryError::Lost { address: self.address.clone(), error }
    }

    fn late(&mut self) -> QueryError {
        self.broken = true;
        QueryError::TimedOut { address: self.address.clone(), after: self.timeout }
    }
}

impl Rows<'_> {
    /// Returns the names of the columns.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Returns the next row, or `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<PackValue>>, QueryError> {
        if self.summary.is_some() {
            return Ok(None);
        }
        loop {
            match self.client.receive(self.deadline).await {
                Ok((_, Response::Record(row))) => return Ok(Some(row)),
                Ok((_, Response::Success(metadata))) if has_more(&metadata) => {
                    self.deadline = Instant::now() + self.client.timeout;
                    let pull = Request::Pull(Stream { n: BATCH_ROWS, qid: None });
                    self.client.send(&[pull], self.deadline).await?;
                }
                Ok((_, Response::Success(metadata))) => {
                    self.client.abandoned = false;
                    self.summary = Some(Summary::from(metadata));
                    return Ok(None);
                }
                Ok((kind, other)) => {
                    self.client.abandoned = false;
                    return Err(self.client.refusal(kind, other));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the summary, once [`next`](Rows::next) has said that there is no more.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }
}

impl Transacted {
    /// Returns one counter; 0 where nothing was counted.
    pub fn stat(&self, name: &str) -> i64 {
        self.stats.iter().find(|(key, _)| key == name).map_or(0, |(_, count)| *count)
    }
}

impl Summary {
    /// Returns one counter; 0 where nothing was counted.
    pub fn stat(&self, name: &str) -> i64 {
        self.stats.iter().find(|(key, _)| key == name).map_or(0, |(_, count)| *count)
    }
}

impl From<Map> for Summary {
    fn from(metadata: Map) -> Summary {
        let text = |map: &Map, key: &str| map.get(key).and_then(PackValue::as_str).map(str::to_owned);
        let stats = metadata.get("stats").and_then(PackValue::as_map);
        let notifications = metadata.get("notifications").and_then(PackValue::as_list).unwrap_or_default();
        Summary {
            kind: text(&metadata, "type"),
            db: text(&metadata, "db"),
            bookmark: text(&metadata, "bookmark"),
            stats: stats
                .into_iter()
                .flat_map(Map::iter)
                .filter_map(|(key, value)| Some((key.to_owned(), value.as_int()?)))
                .collect(),
            notifications: notifications
                .iter()
                .filter_map(PackValue::as_map)
                .map(|n| Notification {
                    severity: text(n, "severity").unwrap_or_default(),
                    code: text(n, "code").unwrap_or_default(),
                    title: text(n, "title").unwrap_or_default(),
                    description: text(n, "description").unwrap_or_default(),
                })
                .collect(),
            metadata,
        }
    }
}

fn has_more(metadata: &Map) -> bool {
    metadata.get("has_more").and_then(PackValue::as_bool).unwrap_or(false)
}

fn fields_of(metadata: &Map) -> Vec<String> {
    let fields = metadata.get("fields").and_then(PackValue::as_list).unwrap_or_default();
    fields.iter().filter_map(PackValue::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use mgbolt::Status;
    use tokio::net::TcpListener;

    /// A server that reads one request after another and answers each with a prepared list.
    pub(crate) async fn server(version: Version, answers: Vec<Vec<Response>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; handshake::CLIENT_BYTES];
            stream.read_exact(&mut hello).await.unwrap();
            stream.write_all(&handshake::answer(version)).await.unwrap();
            let mut input = Dechunker::new(1 << 20);
            for answer in answers {
                let message = loop {
                    if let Some(message) = input.next_message().unwrap() {
                        break message;
                    }
                    if stream.read_buf(input.input()).await.unwrap() == 0 {
                        return;
                    }
                };
                Request::decode(&message, version).unwrap();
                let mut line = Vec::new();
                for response in answer {
                    response.write(&mut line, version).unwrap();
                }
                stream.write_all(&line).await.unwrap();
            }
            // Says nothing more, and stays.
            let _ = stream.read_buf(&mut Vec::new()).await;
            std::future::pending::<()>().await;
        });
        address
    }

    pub(crate) fn ok(map: Map) -> Vec<Response> {
        vec![Response::Success(map)]
    }

    pub(crate) fn hello() -> Vec<Vec<Response>> {
        vec![ok(Map::new().with("server", "Neo4j/v5.11.0")), ok(Map::new())]
    }

    pub(crate) fn fields() -> Vec<Response> {
        ok(Map::new().with("fields", vec![PackValue::from("x")]))
    }

    pub(crate) fn failure() -> Response {
        let code = "Memgraph.TransientError.MemgraphError.MemgraphError".into();
        Response::Failure { code, message: "not now".into(), status: Status::ROLLBACK, position: None }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_result_comes_with_rows_and_summary() {
        let notification = Map::new().with("severity", "WARNING").with("code", "SyncReplicationFailure");
        let summary = Map::new()
            .with("type", "w")
            .with("bookmark", "b")
            .with("stats", Map::new().with("nodes-created", 2i64))
            .with("notifications", vec![PackValue::from(notification)]);
        let mut answers = hello();
        answers.push(fields());
        answers.push(vec![Response::Record(vec![1i64.into()]), Response::Success(summary)]);
        let mut client = Client::connect(&server(Version::V5_2, answers).await, SECOND, None).await.unwrap();
        assert_eq!(client.server(), "Neo4j/v5.11.0");
        let result = client.run("RETURN 1 AS x", Map::new()).await.unwrap();
        assert_eq!(result.fields, ["x"]);
        assert_eq!(result.rows, [[PackValue::Int(1)]]);
        assert_eq!(result.summary.stat("nodes-created"), 2);
        assert_eq!(result.summary.bookmark.as_deref(), Some("b"));
        assert_eq!(result.summary.notifications[0].code, "SyncReplicationFailure");
    }

    #[tokio::test]
    async fn a_failure_is_told_once_and_the_connection_goes_on() {
        let mut answers = hello();
        answers.push(vec![failure()]);
        answers.push(vec![Response::Ignored]);
        answers.push(ok(Map::new()));
        answers.push(fields());
        answers.push(ok(Map::new()));
        let mut client = Client::connect(&server(Version::V5_2, answers).await, SECOND, None).await.unwrap();
        let error = client.run("x", Map::new()).await.unwrap_err();
        assert_eq!(error.server_message(), Some("not now"));
        assert!(error.is_transient() && !error.is_outcome_unknown());
        assert!(client.run("x", Map::new()).await.is_ok());
    }

    #[tokio::test]
    async fn a_transaction_counts_what_its_statements_did_and_names_the_one_that_was_refused() {
        let done = || ok(Map::new().with("stats", Map::new().with("nodes-created", 2i64)));
        let mut answers = hello();
        answers.extend([ok(Map::new()), fields(), done(), fields(), done(), ok(Map::new())]);
        answers.extend([ok(Map::new()), fields(), done(), vec![failure()], vec![Response::Ignored]]);
        answers.extend([ok(Map::new()), ok(Map::new())]);
        let mut client = Client::connect(&server(Version::V5_2, answers).await, SECOND, None).await.unwrap();
        assert_eq!(client.transact(&["a".into(), "b".into()]).await.unwrap().stat("nodes-created"), 4);
        let refused = client.transact(&["a".into(), "b".into()]).await.unwrap_err();
        assert_eq!((refused.statement, refused.error.server_message()), (Some(1), Some("not now")));
        client.begin().await.expect("the connection goes on after a RESET");
    }

    #[tokio::test]
    async fn a_reset_gives_up_what_is_open_and_asks_for_nothing_to_be() {
        let mut answers = hello();
        // With nothing open, in a transaction, and after a failure, which takes one of its own.
        answers.extend([ok(Map::new()), ok(Map::new()), ok(Map::new())]);
        answers.extend([vec![failure()], vec![Response::Ignored], ok(Map::new()), ok(Map::new())]);
        answers.push(ok(Map::new()));
        let mut client = Client::connect(&server(Version::V5_2, answers).await, SECOND, None).await.unwrap();
        client.reset().await.unwrap();
        client.begin().await.unwrap();
        client.reset().await.unwrap();
        assert_eq!(client.run("a", Map::new()).await.unwrap_err().server_message(), Some("not now"));
        client.reset().await.unwrap();
        client.begin().await.expect("the connection goes on");
        assert!(!client.machine.needs_reset());
    }

    #[tokio::test]
    async fn silence_is_a_time_out_with_an_unknown_outcome_and_ends_the_connection() {
        let mut client = Client::connect(&server(Version::V5_2, hello()).await, SECOND, None).await.unwrap();
        client.set_timeout(Duration::from_millis(50));
        let error = client.run("CREATE ()", Map::new()).await.unwrap_err();
        assert!(matches!(error, QueryError::TimedOut { .. }) && error.is_outcome_unknown(), "{error}");
        let error = client.run("CREATE ()", Map::new()).await.unwrap_err();
        assert!(matches!(error, QueryError::Closed { .. }) && !error.is_outcome_unknown(), "{error}");
    }

    #[tokio::test]
    async fn rows_left_behind_are_discarded_before_the_next_query() {
        let mut answers = hello();
        answers.push(fields());
        let row = |i: i64| Response::Record(vec![i.into()]);
        answers.push(vec![row(1), row(2), Response::Success(Map::new().with("has_more", true))]);
        answers.push(ok(Map::new()));
        answers.push(fields());
        answers.push(vec![row(7), Response::Success(Map::new())]);
        let mut client =
            Client::connect(&server(Version::V4_4, answers_without_logon(answers)).await, SECOND, None)
                .await
                .unwrap();
        let mut rows = client.stream("x", Map::new()).await.unwrap();
        assert_eq!(rows.next().await.unwrap(), Some(vec![PackValue::Int(1)]));
        drop(rows);
        assert_eq!(client.run("y", Map::new()).await.unwrap().rows, [[PackValue::Int(7)]]);
    }

    fn answers_without_logon(mut answers: Vec<Vec<Response>>) -> Vec<Vec<Response>> {
        answers.remove(1);
        answers
    }

    #[tokio::test]
    async fn nobody_there_and_not_bolt_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request").await.unwrap();
            std::future::pending::<()>().await;
        });
        let error = Client::connect(&address, SECOND, None).await.err().unwrap();
        assert!(matches!(error, QueryError::Handshake { .. }), "{error}");

        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let error = Client::connect(&free, SECOND, None).await.err().unwrap();
        assert!(matches!(error, QueryError::Connect { .. }) && !error.is_outcome_unknown(), "{error}");
    }
}
