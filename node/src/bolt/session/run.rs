//! RUN: a text becomes something that rows can be pulled from.

use super::{Session, Stop, check_extra, done};
use crate::bolt::Core;
use crate::bolt::between::{Between, Progress as Batches};
use crate::bolt::known::Known;
use crate::bolt::result::{Running, Source};
use crate::bolt::statement::{self, AdminStep, Deferred, RecoverSnapshot};
use crate::bolt::texts::Failure;
use crate::bolt::work::{aside, guarded};
use crate::bolt::{node, wire};
use mgbolt::{Ended, Map, PackValue, TransactionExtra};
use mgcypher::ast::{AdminStatement, Query, Statement, TransactionStatement};
use mgcypher::{CypherError, Execution, Params, QueryKind, analyze};
use mgnode_core::engine::Admin;
use mgnode_core::storage::Transaction;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

const COMMITS_BY_ITSELF: &str = "A query with USING PERIODIC COMMIT or CALL { } IN TRANSACTIONS commits by itself: run \
    it in a transaction of its own, not between BEGIN and COMMIT.";

impl<C: Core> Session<C> {
    pub(super) async fn run(
        &mut self,
        query: &str,
        parameters: Map,
        extra: &TransactionExtra,
    ) -> Result<(Map, Ended), Stop> {
        let started = Instant::now();
        let known = match self.services.statements.get(query) {
            Some(known) => known,
            None => aside(|| self.services.statements.parse(query))?,
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
                        let ids = statement::strings(ids, &parameters, text)?;
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
                        let path =
                            statement::strings(std::slice::from_ref(path), &parameters, text)?.remove(0);
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

fn profile_fields() -> Vec<String> {
    ["OPERATOR", "ACTUAL HITS", "RELATIVE TIME", "ABSOLUTE TIME"].map(str::to_owned).into()
}

/// Returns the time on a clock that never goes back, since it was first asked for.
fn since_start() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
