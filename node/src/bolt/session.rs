//! One client's conversation: requests in, answers out, a transaction in between.

use super::between::{Between, Progress as Batches};
use super::connection::Writer;
use super::interrupt::{Interrupt, Reason};
use super::isolation::{self, Levels};
use super::result::{Progress, Running, Source};
use super::statement::{self, AdminStep, DATABASE, Deferred, RecoverSnapshot};
use super::texts::{self, COMMIT_DEGRADED, Failure, Notification};
use super::transactions::{Seat, Transactions};
use super::triggers::{self, Fired, Triggers};
use super::{BoltConfig, Core, node, recover, wire};
use crate::config::SyncFailureReport;
use crate::driver::BookmarkError;
use crate::import::ImportDirectory;
use mgbolt::{
    ALL, Auth, Ended, Map, NotificationFilter, PackValue, Request, Response, Route, ServerMachine,
    ServerState, Stream, TransactionExtra, Verdict, Version,
};
use mgcypher::ast::{AdminStatement, IsolationLevel, IsolationScope, Query, Statement, TransactionStatement};
use mgcypher::{CypherError, Execution, Limits, Params, Prepared, QueryKind, analyze, schema};
use mgnode_core::engine::{self, Admin, Outcome};
use mgnode_core::storage::{Commit, Transaction, WriteError};
use mgnode_core::types::{Position, Role, SyncMode};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::block_in_place;
use tokio::time::Instant;

/// Statements kept parsed, and the longest text that is worth keeping.
const STATEMENTS_KEPT: usize = 1024;
const STATEMENT_BYTES_KEPT: usize = 4096;

/// A query of a short plan that took no longer so many times in a row runs in place: to make room for
/// the other sessions on another thread would take as long as the query.
const QUICK: Duration = Duration::from_micros(200);
const QUICK_RUNS: u32 = 8;

const COMMITS_BY_ITSELF: &str = "A query with USING PERIODIC COMMIT or CALL { } IN TRANSACTIONS commits by itself: run \
    it in a transaction of its own, not between BEGIN and COMMIT.";

/// How long a routing table is good for.
const ROUTING_SECONDS: i64 = 300;

/// What all sessions share.
pub(super) struct Services<C> {
    pub(super) core: C,
    pub(super) config: BoltConfig,
    sessions: AtomicU64,
    pub(super) transactions: Arc<Transactions>,
    pub(super) triggers: Triggers,
    import: Arc<ImportDirectory>,
    /// Of all sessions that have set none of their own.
    isolation: Mutex<IsolationLevel>,
    /// Texts that were seen before: clients send the same few again and again.
    known: Mutex<HashMap<String, Arc<Known>>>,
}

/// A text that was parsed, how its query was last planned, and how long it takes.
struct Known {
    /// As others see it.
    text: Arc<str>,
    statement: Statement,
    prepared: Mutex<Option<Arc<Prepared>>>,
    pace: Arc<Pace>,
}

/// How a query has run so far, over all sessions.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Quick runs in a row.
    quick: AtomicU32,
}

impl Pace {
    /// Whether it may be expected to be quick again.
    fn is_quick(&self) -> bool {
        self.quick.load(Ordering::Relaxed) >= QUICK_RUNS
    }

    fn ran(&self, took: Duration) {
        if took > QUICK {
            self.quick.store(0, Ordering::Relaxed);
        } else if !self.is_quick() {
            self.quick.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<C: Core> Services<C> {
    pub(super) fn new(core: C, config: BoltConfig) -> Services<C> {
        let (sessions, transactions, known) = (AtomicU64::new(0), Arc::default(), Mutex::default());
        let import = Arc::new(ImportDirectory(config.import_directory.clone()));
        let isolation = Mutex::new(config.isolation_level);
        let triggers = Triggers::default();
        Services { core, config, sessions, transactions, triggers, import, isolation, known }
    }

    /// Returns what a query may use that is stopped by the flag.
    pub(super) fn limits(&self, cancel: Arc<AtomicBool>, seed: u64) -> Limits {
        Limits {
            memory_bytes_max: self.config.query_memory_max.unwrap_or(usize::MAX),
            pool: Some(self.config.query_memory.clone()),
            cancel: Some(cancel),
            now: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            seed,
            import: Some(self.import.clone()),
            ..Limits::default()
        }
    }

    fn known(&self, text: &str) -> Option<Arc<Known>> {
        self.known.lock().get(text).cloned()
    }

    fn parse(&self, text: &str) -> Result<Arc<Known>, Failure> {
        let statement = mgcypher::parse(text).map_err(|e| e.located(text))?;
        let (shown, prepared) = (shown(text), Mutex::new(None));
        let known = Arc::new(Known { text: shown, statement, prepared, pace: Arc::default() });
        if text.len() <= STATEMENT_BYTES_KEPT {
            let mut all = self.known.lock();
            if all.len() >= STATEMENTS_KEPT {
                all.clear();
            }
            all.insert(text.to_owned(), known.clone());
        }
        Ok(known)
    }
}

/// A commit that stands, and what is said beside it.
#[derive(Debug, Default)]
pub(super) struct Committed {
    pub(super) position: Option<Position>,
    pub(super) notifications: Vec<Notification>,
}

impl Committed {
    /// Adds a later one. What was said before is said once.
    pub(super) fn join(&mut self, later: Committed) {
        self.position = later.position.or(self.position);
        for notification in later.notifications {
            if !self.notifications.contains(&notification) {
                self.notifications.push(notification);
            }
        }
    }
}

impl<C: Core> Services<C> {
    /// Commits, and tells how that ended. Where it is committed it sets off what `fired` says.
    pub(super) async fn settle(&self, commit: Commit, fired: Option<Fired>) -> Result<Committed, Failure> {
        let committed = |position, notifications| Committed { position: Some(position), notifications };
        let outcome = self.core.commit(commit).await;
        match (fired, &outcome) {
            (Some(fired), Outcome::Committed { .. } | Outcome::Degraded { .. }) => {
                self.after_commit(fired).await
            }
            (Some(fired), Outcome::InDoubt { position, .. }) => triggers::in_doubt(&fired, *position),
            _ => {}
        }
        match outcome {
            Outcome::Committed { position } => Ok(committed(position, Vec::new())),
            Outcome::Degraded { position, failed } => {
                let text = {
                    let mode = failed.first().map_or(SyncMode::Sync, |f| f.mode);
                    texts::replication_failure(&failed, mode, true)
                };
                match self.config.sync_failure_report {
                    SyncFailureReport::Notification => {
                        let warning = Notification::warning(COMMIT_DEGRADED, text);
                        Ok(committed(position, vec![warning]))
                    }
                    SyncFailureReport::Error => Err(texts::degraded(position, &text)),
                }
            }
            Outcome::Failed(error) => Err(texts::commit_failure(error)),
            Outcome::InDoubt { position, failed } => Err(texts::in_doubt(position, &failed)),
        }
    }
}

impl Known {
    /// Returns the plan that was made before, unless indexes came or went since.
    fn prepared(&self, tx: &Transaction) -> Option<Arc<Prepared>> {
        self.prepared.lock().clone().filter(|prepared| !prepared.is_stale(tx))
    }

    fn prepare(
        &self,
        query: &Query,
        text: &str,
        tx: &Transaction,
        parameters: &Params,
    ) -> Result<Arc<Prepared>, Failure> {
        let prepared = mgcypher::prepare(query, tx, parameters).map_err(|e| e.located(text))?;
        *self.prepared.lock() = Some(prepared.clone());
        Ok(prepared)
    }
}

/// Whether the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Go,
    Close,
}

/// Why a request has no SUCCESS.
enum Stop {
    Failure(Failure),
    /// The line broke; nobody hears an answer.
    Line(io::Error),
}

impl<F: Into<Failure>> From<F> for Stop {
    fn from(failure: F) -> Stop {
        Stop::Failure(failure.into())
    }
}

/// A conversation.
pub(super) struct Session<C> {
    services: Arc<Services<C>>,
    version: Version,
    machine: ServerMachine,
    /// What the client wants to hear: on this connection, and in what it does now.
    filter: NotificationFilter,
    filter_now: NotificationFilter,
    interrupt: Arc<Interrupt>,
    /// RESETs that the state machine knows of, and those that were answered.
    resets_noted: u64,
    resets_served: u64,
    transaction: Option<Open>,
    /// What others see of it.
    seat: Seat,
    /// Why the transaction was given up while it lay idle; the next request hears of it.
    given_up: Option<Reason>,
    /// Of the query under way, if it is one that commits as it goes.
    batches: Option<Arc<Mutex<Batches>>>,
    /// Results by their number; one that was taken to its end is none.
    results: Vec<Option<Box<Running>>>,
    /// How the client says it reached this node.
    reached_as: Option<String>,
    /// Of the last query's dice.
    seed: u64,
    /// Set for all transactions of the session, and for the one that it begins next.
    isolation: Option<IsolationLevel>,
    isolation_next: Option<IsolationLevel>,
}

/// A transaction under way.
struct Open {
    tx: Transaction,
    /// Begun by BEGIN rather than for one query.
    explicit: bool,
    deadline: Option<Instant>,
    /// Each of its statements sees what is committed when it begins.
    moves_on: bool,
}

impl<C: Core> Session<C> {
    pub(super) fn new(services: Arc<Services<C>>, version: Version, interrupt: Arc<Interrupt>) -> Session<C> {
        let seat = services.transactions.join(interrupt.clone());
        Session {
            services,
            version,
            machine: ServerMachine::new(version),
            filter: NotificationFilter::default(),
            filter_now: NotificationFilter::default(),
            interrupt,
            resets_noted: 0,
            resets_served: 0,
            transaction: None,
            seat,
            given_up: None,
            batches: None,
            results: Vec::new(),
            reached_as: None,
            seed: random_seed(),
            isolation: None,
            isolation_next: None,
        }
    }

    pub(super) fn is_logged_on(&self) -> bool {
        self.machine.is_logged_on()
    }

    /// Waits until the transaction that lies idle has outlived its time or is terminated, and gives it up.
    pub(super) async fn expire(&mut self) {
        let Some(open) = &self.transaction else { return std::future::pending().await };
        let deadline = open.deadline;
        let late = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let reason = tokio::select! {
            () = late => Reason::TimedOut,
            reason = self.interrupt.wait_terminated() => reason,
        };
        self.forget();
        self.given_up = Some(reason);
    }

    /// Serves one request. An error means that the line is broken.
    pub(super) async fn serve(&mut self, request: Request, out: &mut Writer) -> io::Result<Flow> {
        let kind = request.kind();
        while self.resets_noted < self.interrupt.resets() {
            self.resets_noted += 1;
            self.machine.interrupt();
        }
        let answered = match self.machine.judge(kind) {
            Verdict::Close => return Ok(Flow::Close),
            Verdict::Ignore => out.send(&Response::Ignored),
            Verdict::Violation => {
                let message = format!("{} cannot be sent now.", kind.name());
                out.failure(&Failure::request(message)).map_err(io::Error::other)?;
                return Ok(Flow::Close);
            }
            Verdict::Serve => match self.perform(request, out).await {
                Ok((metadata, ended)) => {
                    self.machine.served(kind, ended);
                    out.send(&Response::Success(metadata))
                }
                Err(Stop::Line(error)) => return Err(error),
                Err(Stop::Failure(failure)) => {
                    // However a query ends that has committed in part: that is told.
                    let failure = match self.batches.take() {
                        Some(batches) => batches.lock().failed(failure),
                        None => failure,
                    };
                    self.forget();
                    self.machine.served(kind, Ended::Failure);
                    out.failure(&failure)
                }
            },
        };
        answered.map_err(io::Error::other)?;
        Ok(if self.machine.state() == ServerState::Defunct { Flow::Close } else { Flow::Go })
    }

    async fn perform(&mut self, request: Request, out: &mut Writer) -> Result<(Map, Ended), Stop> {
        if let Some(reason) = self.given_up.take()
            && !matches!(request, Request::Reset)
        {
            return Err(stopped(reason).into());
        }
        match request {
            Request::Hello { auth, routing, filter, .. } => {
                self.filter = filter;
                self.reached_as = routing
                    .as_ref()
                    .and_then(|routing| routing.get("address"))
                    .and_then(PackValue::as_str)
                    .map(str::to_owned);
                // From 5.1 on LOGON authenticates.
                check_auth(&auth)?;
                let number = self.services.sessions.fetch_add(1, Ordering::Relaxed) + 1;
                let metadata = Map::new()
                    .with("server", self.services.config.server_name.as_str())
                    .with("connection_id", format!("bolt-{number}"));
                done(metadata)
            }
            Request::Logon(auth) => {
                check_auth(&auth)?;
                done(Map::new())
            }
            Request::Logoff => {
                self.forget();
                done(Map::new())
            }
            Request::Reset => {
                self.forget();
                self.batches = None;
                self.resets_served += 1;
                self.interrupt.clear(self.resets_served);
                done(Map::new())
            }
            Request::Run { query, parameters, extra } => self.run(&query, parameters, &extra).await,
            Request::Pull(stream) => self.take(stream, out, false).await,
            Request::Discard(stream) => self.take(stream, out, true).await,
            Request::Begin(extra) => {
                if self.transaction.is_some() {
                    return Err(Failure::client("Nested transactions are not supported.").into());
                }
                self.filter_now = extra.filter.over(&self.filter);
                self.open(&extra, true, None).await?;
                let mut metadata = Map::new();
                self.tell_database(&mut metadata);
                done(metadata)
            }
            Request::Commit => {
                let (mut metadata, notifications) = self.commit(out).await?;
                texts::tell(&mut metadata, &notifications, &self.filter_now, None, self.version);
                done(metadata)
            }
            Request::Rollback => {
                self.forget();
                done(Map::new())
            }
            Request::Route(route) => {
                statement::check_database(route.db.as_deref())?;
                self.wait_for_bookmarks(&route.bookmarks).await?;
                done(self.route(route)?)
            }
            Request::Telemetry { .. } => done(Map::new()),
            Request::Goodbye => unreachable!("the state machine closes"),
        }
    }

    /// Gives up whatever is under way.
    fn forget(&mut self) {
        self.results.clear();
        self.transaction = None;
        self.seat.end(self.resets_served);
    }

    /// Says which database it is, where the client could have left that to the node.
    fn tell_database(&self, metadata: &mut Map) {
        if self.version.tells_database() {
            metadata.insert("db", DATABASE);
        }
    }

    fn in_explicit_transaction(&self) -> bool {
        self.transaction.as_ref().is_some_and(|open| open.explicit)
    }

    fn is_replica(&self) -> bool {
        matches!(self.services.core.role(), Role::Replica { .. })
    }

    /// Begins a transaction on a state that includes what the client has seen, for a query where there is one.
    async fn open(
        &mut self,
        extra: &TransactionExtra,
        explicit: bool,
        query: Option<&Arc<str>>,
    ) -> Result<(), Stop> {
        check_extra(extra)?;
        self.seat.begin(extra.metadata.clone());
        if let Some(query) = query {
            self.seat.query(query);
        }
        let deadline = self.deadline(extra);
        self.wait_for_bookmarks(&extra.bookmarks).await?;
        // On a REPLICA a read takes no value of the counter that its MAIN hands out.
        let count_clock = !self.is_replica();
        let tx = self.services.core.graph().begin(count_clock);
        let levels = self.levels();
        self.isolation_next = None;
        let moves_on = isolation::moves_on(levels.next.or(levels.session).unwrap_or(levels.global));
        self.results.clear();
        self.transaction = Some(Open { tx, explicit, deadline, moves_on });
        Ok(())
    }

    /// Returns when what begins now must have ended.
    fn deadline(&self, extra: &TransactionExtra) -> Option<Instant> {
        let bound = self.services.config.query_timeout;
        let asked = extra.timeout_ms.and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0);
        let limit = asked.map(Duration::from_millis).into_iter().chain(bound).min();
        // A time too far away for the clock is no limit.
        limit.and_then(|limit| Instant::now().checked_add(limit))
    }

    async fn wait_for_bookmarks(&self, bookmarks: &[String]) -> Result<(), Stop> {
        let limit = self.services.config.bookmark_timeout;
        let until = Instant::now() + limit;
        for bookmark in bookmarks {
            let position: Position = bookmark.parse().map_err(|()| Failure::bad_bookmark(bookmark))?;
            let waited = tokio::select! {
                waited = self.services.core.wait_for(position, until.saturating_duration_since(Instant::now())) => waited,
                reason = self.interrupt.wait() => return Err(stopped(reason).into()),
            };
            waited.map_err(|error| match error {
                BookmarkError::Lost => Failure::bookmark_lost(position),
                BookmarkError::TimedOut => Failure::bookmark_late(position, limit),
            })?;
        }
        Ok(())
    }

    /// Makes sure that there is a transaction for what is run.
    async fn enter(&mut self, extra: &TransactionExtra, query: &Arc<str>) -> Result<(), Stop> {
        if self.in_explicit_transaction() {
            self.seat.query(query);
            return Ok(self.move_on()?);
        }
        self.open(extra, false, Some(query)).await
    }

    /// Returns the isolation levels that are set now.
    fn levels(&self) -> Levels {
        let global = *self.services.isolation.lock();
        Levels { global, session: self.isolation, next: self.isolation_next }
    }

    /// Has the next statement of a transaction that moves on see what is committed now. While rows of an earlier
    /// statement are still to come, which must not change under them, it sees what that one sees.
    fn move_on(&mut self) -> Result<(), Failure> {
        let is_read = self.results.iter().flatten().any(|running| running.reads_transaction());
        let Some(open) = self.transaction.as_mut().filter(|open| open.moves_on && !is_read) else {
            return Ok(());
        };
        let graph = self.services.core.graph();
        if Arc::ptr_eq(&graph, open.tx.graph()) {
            return aside(|| open.tx.refresh().map_err(statement::write_failure));
        }
        // The node went over to another graph, and what was written was meant for the one before.
        if !open.tx.is_read_only() {
            return Err(statement::write_failure(WriteError::Conflict));
        }
        open.tx = graph.begin(false);
        Ok(())
    }

    // ------------------------------------------------------------------------------------------ RUN

    async fn run(
        &mut self,
        query: &str,
        parameters: Map,
        extra: &TransactionExtra,
    ) -> Result<(Map, Ended), Stop> {
        let started = Instant::now();
        let known = match self.services.known(query) {
            Some(known) => known,
            None => aside(|| self.services.parse(query))?,
        };
        let parsing = started.elapsed();
        if !self.in_explicit_transaction() {
            self.filter_now = extra.filter.over(&self.filter);
        }
        let mut running = self.begin_statement(&known, query, parameters, extra).await?;
        running.parsing = parsing;
        running.planning = started.elapsed() - parsing;
        let t_first = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let fields: Vec<PackValue> = running.fields.iter().map(|f| f.as_str().into()).collect();
        let mut metadata = Map::new().with("fields", fields).with("t_first", t_first);
        self.tell_database(&mut metadata);
        if self.in_explicit_transaction() {
            metadata.insert("qid", i64::try_from(self.results.len()).unwrap_or(i64::MAX));
        } else {
            self.results.clear();
        }
        self.results.push(Some(Box::new(running)));
        done(metadata)
    }

    async fn begin_statement(
        &mut self,
        known: &Known,
        text: &str,
        parameters: Map,
        extra: &TransactionExtra,
    ) -> Result<Running, Stop> {
        let statement = &known.statement;
        let explicit = self.in_explicit_transaction();
        let deferred = |deferred, fields| Running::new(fields, "rw", Source::Deferred(Box::new(deferred)));
        let opens = matches!(
            statement,
            Statement::Query(_) | Statement::Explain(_) | Statement::Profile(_) | Statement::Show(_)
        );
        if !explicit && !opens {
            // No transaction is opened that would look at these.
            check_extra(extra)?;
        }
        Ok(match statement {
            Statement::Query(query) => {
                self.enter(extra, &known.text).await?;
                self.prepare(known, query, text, parameters)?
            }
            Statement::Explain(query) => {
                self.enter(extra, &known.text).await?;
                let open = self.transaction.as_ref().expect("opened above, or explicit");
                let parameters = wire::parameters(parameters, &open.tx).map_err(Failure::client)?;
                let lines = aside(|| Ok(explain(query, text, &open.tx, &parameters)?))?;
                let rows: Vec<Vec<PackValue>> = lines.into_iter().map(|line| vec![line.into()]).collect();
                Running::new(vec!["QUERY PLAN".to_owned()], "rw", Source::Table(rows.into_iter()))
            }
            Statement::Profile(query) => {
                self.enter(extra, &known.text).await?;
                let mut running = self.prepare(known, query, text, parameters)?;
                running.in_place = false;
                running.pace = None;
                running
            }
            Statement::Transaction(step) => {
                match (step, explicit) {
                    (TransactionStatement::Begin, true) => {
                        return Err(Failure::client("Nested transactions are not supported.").into());
                    }
                    (TransactionStatement::Commit, false) => {
                        return Err(Failure::client("No current transaction to commit.").into());
                    }
                    (TransactionStatement::Rollback, false) => {
                        return Err(Failure::client("No current transaction to rollback.").into());
                    }
                    _ => {}
                }
                deferred(Deferred::Transaction(*step), Vec::new())
            }
            Statement::Schema(schema) => {
                if explicit {
                    return Err(Failure::multicommand(statement::schema_word(schema)).into());
                }
                if self.is_replica() {
                    return Err(Failure::write_on_replica().into());
                }
                self.wait_for_bookmarks(&extra.bookmarks).await?;
                deferred(Deferred::Schema(schema.clone(), known.text.clone()), Vec::new())
            }
            Statement::Replication(replication) => {
                if explicit {
                    return Err(Failure::multicommand("Managing replication").into());
                }
                let command = statement::admin(replication.clone())?;
                let fields = statement::admin_fields(&command);
                deferred(Deferred::Admin(command), fields)
            }
            Statement::Admin(admin) => {
                if explicit && !matches!(admin, AdminStatement::DumpDatabase) {
                    return Err(Failure::multicommand("This statement").into());
                }
                let fields = |fields: &[&str]| fields.iter().map(|f| (*f).to_owned()).collect();
                match statement::admin_statement(admin, self.is_replica())? {
                    AdminStep::Ask(command) => {
                        let fields = statement::admin_fields(&command);
                        deferred(Deferred::Admin(command), fields)
                    }
                    AdminStep::Done => Running::new(Vec::new(), "rw", Source::Table(Vec::new().into_iter())),
                    AdminStep::FreeMemory => {
                        let graph = self.services.core.graph();
                        Running::new(
                            Vec::new(),
                            "rw",
                            Source::Work(node::free_memory(graph, self.interrupt.flag())),
                        )
                    }
                    AdminStep::Terminate(ids) => {
                        let parameters = wire::bare_parameters(parameters).map_err(Failure::client)?;
                        let ids = statement::strings(ids, &parameters)?;
                        let work = node::terminate(ids, self.services.transactions.clone());
                        Running::new(fields(&["transaction_id", "killed"]), "rw", Source::Work(work))
                    }
                    AdminStep::Analyze { labels, delete } => {
                        self.enter(extra, &known.text).await?;
                        let work = node::analyze(labels.to_vec(), delete, self.interrupt.flag());
                        Running::new(fields(analyze::columns(delete)), "rw", Source::Work(work))
                    }
                    AdminStep::Recover(path, force) => {
                        let parameters = wire::bare_parameters(parameters).map_err(Failure::client)?;
                        let path = statement::strings(std::slice::from_ref(path), &parameters)?.remove(0);
                        self.wait_for_bookmarks(&extra.bookmarks).await?;
                        let (text, metadata) = (known.text.clone(), extra.metadata.clone());
                        let deadline = self.deadline(extra);
                        let wanted = RecoverSnapshot { path, force, text, metadata, deadline };
                        deferred(Deferred::Recover(wanted), Vec::new())
                    }
                    AdminStep::SetIsolation(scope, level) => {
                        deferred(Deferred::Isolation(scope, level), Vec::new())
                    }
                    AdminStep::Dump => {
                        self.enter(extra, &known.text).await?;
                        let source = Source::Dump(Box::default(), self.interrupt.flag());
                        Running::new(fields(&["QUERY"]), "r", source)
                    }
                }
            }
            Statement::Show(show) => {
                let state = match statement::asks_for_state(show) {
                    true => self.services.core.admin(Admin::ShowState).await.ok(),
                    false => None,
                };
                if explicit {
                    self.enter(extra, &known.text).await?;
                }
                // It looks at the graph without taking a value of its counter.
                let own;
                let tx = match &self.transaction {
                    Some(open) if open.explicit => &open.tx,
                    _ => {
                        check_extra(extra)?;
                        self.seat.begin(extra.metadata.clone());
                        self.seat.query(&known.text);
                        self.wait_for_bookmarks(&extra.bookmarks).await?;
                        own = self.services.core.graph().begin(false);
                        &own
                    }
                };
                let (config, transactions) = (&self.services.config, &self.services.transactions);
                let triggers = &self.services.triggers;
                let isolation = self.levels();
                let about = node::About { tx, config, transactions, triggers, state, isolation };
                let table = aside(|| statement::show(show, &about))?;
                if !explicit {
                    self.seat.end(self.resets_served);
                }
                Running::new(table.fields, "rw", Source::Table(table.rows.into_iter()))
            }
            Statement::Unsupported { what, span } => {
                return Err(statement::unsupported_at(what, *span, text).into());
            }
        })
    }

    fn prepare(
        &mut self,
        known: &Known,
        query: &Query,
        text: &str,
        parameters: Map,
    ) -> Result<Running, Stop> {
        let seed = self.next_seed();
        let open = self.transaction.as_ref().expect("opened by the caller, or explicit");
        let parameters = wire::parameters(parameters, &open.tx).map_err(Failure::client)?;
        let is_replica = self.is_replica();
        let is_profile = matches!(known.statement, Statement::Profile(_));
        let mut limits = self.services.limits(self.interrupt.flag(), seed);
        limits.profile_clock = is_profile.then_some(since_start as fn() -> Duration);
        let prepared = match known.prepared(&open.tx) {
            Some(prepared) => prepared,
            None => aside(|| known.prepare(query, text, &open.tx, &parameters))?,
        };
        if prepared.commits() {
            if self.in_explicit_transaction() {
                return Err(Failure::client(COMMITS_BY_ITSELF).into());
            }
            let progress = Arc::<Mutex<Batches>>::default();
            limits.commits =
                Some(Arc::new(Between::new(self.services.clone(), progress.clone(), self.interrupt.flag())));
            self.batches = Some(progress);
        }
        guarded(|| {
            if is_replica && prepared.kind != QueryKind::Read {
                return Err(Failure::write_on_replica());
            }
            let fields = prepared.columns.iter().map(|c| c.to_string()).collect();
            let kind = prepared.kind.letters();
            let pace = prepared.is_short().then(|| known.pace.clone());
            let execution = Execution::new(prepared, parameters, limits).map_err(|e| e.located(text))?;
            let execution = Box::new(execution);
            let mut running = match is_profile {
                false => Running::new(fields, kind, Source::Query(execution)),
                true => Running::new(profile_fields(), kind, Source::Profile(execution)),
            };
            running.in_place = pace.as_ref().is_some_and(|pace| pace.is_quick());
            running.pace = pace;
            Ok(running)
        })
        .map_err(Stop::from)
    }

    /// Throws the dice of a query. They need no secrecy, only that no two are alike, and that the numbers of one query do
    /// not come back in the next: SplitMix64, mixed, since a query's own dice go by the steps that this one does.
    fn next_seed(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    // -------------------------------------------------------------------------------- PULL, DISCARD

    async fn take(&mut self, stream: Stream, out: &mut Writer, discard: bool) -> Result<(Map, Ended), Stop> {
        let index = match stream.qid {
            // Outside of a transaction there is one result, whatever number it is called by.
            Some(qid) if self.in_explicit_transaction() => usize::try_from(qid).ok(),
            _ => self.results.len().checked_sub(1),
        };
        let taken = index.and_then(|index| Some((index, self.results.get_mut(index)?.take()?)));
        let Some((index, mut running)) = taken else {
            return Err(Failure::request("There is no open result of that number.").into());
        };
        let was_explicit = self.in_explicit_transaction();
        let mut committed = Map::new();
        if let Source::Deferred(_) = running.source {
            committed = self.carry_out(&mut running, out).await?;
        }
        // Rows of a query that only reads need not be made to be thrown away.
        let skip =
            discard && stream.n == ALL && running.kind == "r" && matches!(running.source, Source::Query(_));
        let mut left = u64::try_from(stream.n).ok();
        let progress = if skip {
            running.skip_rows();
            Progress::End
        } else {
            self.stream(&mut running, &mut left, out, discard).await?
        };
        if progress == Progress::HasMore {
            self.results[index] = Some(running);
            return Ok((Map::new().with("has_more", true), Ended::HasMore));
        }
        if let Some(pace) = &running.pace {
            pace.ran(running.executing());
        }
        if !was_explicit && self.transaction.as_ref().is_some_and(|open| !open.explicit) {
            let (metadata, notifications) = self.finish_transaction(running.in_place).await?;
            committed = metadata;
            running.notifications.extend(notifications);
            if let Some(batches) = self.batches.take() {
                running.notifications.extend(batches.lock().given_up());
                let mut before = std::mem::take(&mut batches.lock().committed);
                before.notifications.retain(|said| !running.notifications.contains(said));
                running.notifications.extend(before.notifications);
            }
        }
        let mut summary = running.summary(DATABASE, &self.filter_now, self.version);
        summary.0.extend(committed.0);
        done(summary)
    }

    /// Makes rows slice by slice and sends each slice before the next is made.
    async fn stream(
        &mut self,
        running: &mut Running,
        left: &mut Option<u64>,
        out: &mut Writer,
        discard: bool,
    ) -> Result<Progress, Stop> {
        let deadline = self.transaction.as_ref().and_then(|open| open.deadline).filter(|_| !running.in_place);
        let _timer = deadline.map(|deadline| Timer::start(deadline, self.interrupt.clone()));
        loop {
            let kept = out.buffer.len();
            let tx = self.transaction.as_mut().map(|open| &mut open.tx);
            let sink = (!discard).then_some(&mut *out);
            let made = if running.in_place {
                guarded(|| running.slice(tx, left, sink))
            } else {
                aside(|| running.slice(tx, left, sink))
            };
            match made {
                // There is more of it than was thought.
                Ok(Progress::Full) => running.in_place = false,
                Ok(progress) => return Ok(progress),
                Err(failure) => {
                    // A panic may have left half a message behind what was complete.
                    if failure.code == Failure::database("").code {
                        out.buffer.truncate(kept);
                    }
                    return Err(self.ended(failure));
                }
            }
            let flushed = tokio::select! {
                biased;
                flushed = out.flush() => Some(flushed),
                reason = self.interrupt.wait() => {
                    if reason == Reason::Reset { None } else { return Err(stopped(reason).into()) }
                }
            };
            match flushed {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(Stop::Line(error)),
                None => return Err(stopped(Reason::Reset).into()),
            }
        }
    }

    /// Returns why work ended with a failure: that it was asked to, where it was.
    fn ended(&self, failure: Failure) -> Stop {
        let reason = self.interrupt.reason();
        // A transaction that was terminated clears the flag when it ends.
        if reason == Some(Reason::TimedOut) {
            self.interrupt.clear(self.resets_served);
        }
        reason.map_or(failure, stopped).into()
    }

    /// Puts what a snapshot holds in the place of all that is here.
    async fn recover(&mut self, wanted: RecoverSnapshot, running: &mut Running) -> Result<Map, Stop> {
        self.seat.begin(wanted.metadata);
        self.seat.query(&wanted.text);
        let graph = self.services.core.graph();
        let (config, stop) = (&self.services.config, self.interrupt.flag());
        let prepared = {
            let _timer = wanted.deadline.map(|deadline| Timer::start(deadline, self.interrupt.clone()));
            aside(|| recover::prepare(&wanted.path, wanted.force, &graph, config, &stop))
        };
        let mut recovery = prepared.map_err(|failure| self.ended(failure))?;
        if !self.seat.commit() {
            return Err(Failure::terminated().into());
        }
        let committed = match recovery.commit.take() {
            // What a snapshot holds is no one's work, and fires no trigger.
            Some(commit) => self.services.settle(commit, None).await?,
            None => Committed::default(),
        };
        self.seat.end(self.resets_served);
        running.notifications.extend(committed.notifications);
        let bookmark = |position: Position| Map::new().with("bookmark", position.to_string());
        Ok(committed.position.map_or_else(Map::new, bookmark))
    }

    /// Carries out what was put off until the first PULL.
    async fn carry_out(&mut self, running: &mut Running, out: &mut Writer) -> Result<Map, Stop> {
        let nothing = Source::Table(Vec::new().into_iter());
        let Source::Deferred(deferred) = std::mem::replace(&mut running.source, nothing) else {
            return Ok(Map::new());
        };
        match *deferred {
            Deferred::Admin(command) => {
                let answer = self.services.core.admin(command.clone()).await;
                let answer = answer.map_err(|error| texts::admin_failure(&command, error))?;
                running.source = Source::Table(statement::admin_rows(answer).into_iter());
                running.notifications.extend(statement::admin_notifications(&command));
                Ok(Map::new())
            }
            Deferred::Schema(statement, text) => {
                self.seat.begin(Map::new());
                self.seat.query(&text);
                // Counted: a schema change is a transaction of its own.
                let mut tx = self.services.core.graph().begin(true);
                let made = aside(|| Ok(schema::execute(&statement, &mut tx)?))?;
                running.notifications.extend(made.into_iter().map(Notification::from));
                self.transaction = Some(Open { tx, explicit: false, deadline: None, moves_on: false });
                let (metadata, notifications) = self.finish_transaction(false).await?;
                running.notifications.extend(notifications);
                Ok(metadata)
            }
            Deferred::Recover(wanted) => self.recover(wanted, running).await,
            Deferred::Isolation(scope, level) => {
                match scope {
                    IsolationScope::Global => *self.services.isolation.lock() = level,
                    IsolationScope::Session => self.isolation = Some(level),
                    IsolationScope::NextTransaction => self.isolation_next = Some(level),
                }
                running.notifications.extend(isolation::notifications(scope, level));
                Ok(Map::new())
            }
            Deferred::Transaction(TransactionStatement::Begin) => {
                self.open(&TransactionExtra::default(), true, None).await?;
                Ok(Map::new())
            }
            Deferred::Transaction(TransactionStatement::Commit) => {
                let (metadata, notifications) = self.commit(out).await?;
                running.notifications.extend(notifications);
                Ok(metadata)
            }
            Deferred::Transaction(TransactionStatement::Rollback) => {
                self.forget();
                Ok(Map::new())
            }
        }
    }

    // --------------------------------------------------------------------------------------- commit

    /// Commits the explicit transaction. Results that were begun first run to their end: what was
    /// asked for is part of it, read or not.
    async fn commit(&mut self, out: &mut Writer) -> Result<(Map, Vec<Notification>), Stop> {
        for mut running in std::mem::take(&mut self.results).into_iter().flatten() {
            if running.kind != "r" && matches!(running.source, Source::Query(_) | Source::Profile(_)) {
                self.stream(&mut running, &mut None, out, true).await?;
            }
        }
        self.finish_transaction(false).await
    }

    /// Ends the transaction; what was written is committed. Returns the bookmark and the warnings. That of a
    /// transaction without a write names what it has seen, so that a client never reads an older state after it.
    async fn finish_transaction(&mut self, in_place: bool) -> Result<(Map, Vec<Notification>), Stop> {
        let finished = self.try_finish(in_place).await;
        self.seat.end(self.resets_served);
        finished
    }

    async fn try_finish(&mut self, in_place: bool) -> Result<(Map, Vec<Notification>), Stop> {
        let Some(mut open) = self.transaction.take() else {
            return Err(Failure::client("No current transaction to commit.").into());
        };
        let fired = if open.tx.has_triggers() { self.before_commit(&mut open)? } else { None };
        if !self.seat.commit() {
            return Err(Failure::terminated().into());
        }
        let bookmark = |position: Position| Map::new().with("bookmark", position.to_string());
        let (graph, read) = (open.tx.graph().clone(), open.tx.read_lsn());
        let seen = || {
            let position = self.services.core.position_of(&graph, read);
            Ok((position.map_or_else(Map::new, bookmark), Vec::new()))
        };
        if open.tx.is_read_only() {
            return seen();
        }
        let finish = || open.tx.finish().map_err(statement::write_failure);
        let commit = if in_place { guarded(finish) } else { aside(finish) }?;
        let Some(commit) = commit else { return seen() };
        let committed = self.services.settle(commit, fired).await?;
        let metadata = committed.position.map_or_else(Map::new, bookmark);
        Ok((metadata, committed.notifications))
    }

    /// Runs the triggers that come before the commit; they have the time that the transaction has left.
    fn before_commit(&self, open: &mut Open) -> Result<Option<Fired>, Stop> {
        let _timer = open.deadline.map(|deadline| Timer::start(deadline, self.interrupt.clone()));
        aside(|| self.services.before_commit(&mut open.tx, &self.interrupt.flag()))
            .map_err(|failure| self.ended(failure))
    }

    // ---------------------------------------------------------------------------------------- ROUTE

    /// Names the nodes of the cluster for what each can do, by addresses of the place that this client is in:
    /// the one where the address that it used is some node's.
    fn route(&self, route: Route) -> Result<Map, Failure> {
        let used = route.routing.get("address").and_then(PackValue::as_str).map(str::to_owned);
        let used = used.or_else(|| self.reached_as.clone());
        let nodes = self.services.core.routes();
        let place = used.as_ref().and_then(|used| {
            nodes.iter().find_map(|node| node.bolt.iter().position(|address| address == used))
        });
        let address = |node: &engine::Route| {
            let told = node.bolt.get(place.unwrap_or(0)).or(node.bolt.first()).cloned();
            told.or_else(|| used.clone().filter(|_| node.is_here))
        };
        let of = |wanted: &dyn Fn(&engine::Route) -> bool| -> Vec<PackValue> {
            nodes.iter().filter(|node| wanted(node)).filter_map(address).map(PackValue::from).collect()
        };
        let (writers, replicas, all) = (of(&|node| node.is_main), of(&|node| !node.is_main), of(&|_| true));
        if all.is_empty() {
            return Err(Failure::client(
                "This node does not know by which address clients reach it; start it with \
                 `--bolt-advertised-address=host:port`.",
            ));
        }
        let readers = if replicas.is_empty() { writers.clone() } else { replicas };
        let servers: Vec<PackValue> = [("WRITE", writers), ("READ", readers), ("ROUTE", all)]
            .into_iter()
            .filter(|(_, addresses)| !addresses.is_empty())
            .map(|(role, addresses)| Map::new().with("addresses", addresses).with("role", role).into())
            .collect();
        let db = route.db.unwrap_or_else(|| DATABASE.to_owned());
        Ok(Map::new()
            .with("rt", Map::new().with("ttl", ROUTING_SECONDS).with("db", db).with("servers", servers)))
    }
}

fn done(metadata: Map) -> Result<(Map, Ended), Stop> {
    Ok((metadata, Ended::Success))
}

/// No users are kept, so anyone is let in who asks in a way that is known.
fn check_auth(auth: &Auth) -> Result<(), Failure> {
    match auth.scheme.as_deref() {
        None | Some("none" | "basic" | "") => Ok(()),
        Some(_) => Err(Failure::unauthenticated()),
    }
}

fn check_extra(extra: &TransactionExtra) -> Result<(), Failure> {
    statement::check_database(extra.db.as_deref())?;
    if extra.imp_user.is_some() {
        return Err(Failure::client("Impersonation is not supported."));
    }
    Ok(())
}

fn stopped(reason: Reason) -> Failure {
    match reason {
        Reason::TimedOut => Failure::timed_out(),
        Reason::Shutdown => Failure::shutdown(),
        Reason::Reset | Reason::Gone | Reason::Terminated => Failure::terminated(),
    }
}

/// Turns a defect into an answer: one query that panics must not take the node with it.
fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        tracing::error!(%what, "a query panicked");
        Err(Failure::database(format!("The query failed by a defect of the node: {what}.")))
    })
}

/// As [`guarded`], for work that takes its time: other sessions go on beside it.
pub(super) fn aside<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    block_in_place(|| guarded(work))
}

fn explain(
    query: &Query,
    text: &str,
    tx: &Transaction,
    parameters: &Params,
) -> Result<Vec<String>, CypherError> {
    let prepared = mgcypher::prepare(query, tx, parameters).map_err(|e| e.located(text))?;
    Ok(prepared.explain(tx))
}

/// Returns as much of a text as is kept for those who look at transactions.
fn shown(text: &str) -> Arc<str> {
    if text.len() <= STATEMENT_BYTES_KEPT {
        return text.into();
    }
    let end = (0..=STATEMENT_BYTES_KEPT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end]).into()
}

fn profile_fields() -> Vec<String> {
    ["OPERATOR", "ACTUAL HITS", "RELATIVE TIME", "ABSOLUTE TIME"].map(str::to_owned).into()
}

/// Returns the time on a clock that never goes back, since it was first asked for.
fn since_start() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

pub(super) fn random_seed() -> u64 {
    // Where the system has none, the clock does.
    getrandom::u64().unwrap_or_else(|_| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos().into())
    })
}

/// Stops the running query when its time is up.
pub(super) struct Timer(tokio::task::AbortHandle);

impl Timer {
    pub(super) fn start(deadline: Instant, interrupt: Arc<Interrupt>) -> Timer {
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(deadline).await;
            interrupt.raise(Reason::TimedOut);
        });
        Timer(task.abort_handle())
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}
