//! One client's conversation: requests in, answers out, a transaction in between.

mod commit;
mod pull;
mod route;
mod run;

use super::Core;
use super::between::Progress as Batches;
use super::connection::Writer;
use super::interrupt::{Interrupt, Reason};
use super::isolation::{self, Levels};
use super::result::Running;
use super::services::Services;
use super::statement::{self, DATABASE};
use super::texts::{self, Failure};
use super::transactions::Seat;
use super::work::{aside, random_seed};
use crate::driver::BookmarkError;
use mgbolt::{
    Auth, Ended, Map, NotificationFilter, PackValue, Request, Response, ServerMachine, ServerState,
    TransactionExtra, Verdict, Version,
};
use mgcypher::ast::IsolationLevel;
use mgnode_core::storage::{Transaction, WriteError};
use mgnode_core::types::{Position, Role};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

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
