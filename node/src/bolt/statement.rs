//! Statements that are no queries: replication, schema, tables about the node.

use super::node::{self, About};
use super::texts::{Failure, Notification};
use super::wire;
use crate::disk::snapshot_path;
use mgbolt::{Map, PackValue};
use mgcypher::ast::{
    AdminStatement, Expr, ExprKind, IsolationLevel, IsolationScope, Literal, ReplicationStatement,
    SchemaStatement, ShowStatement, Span, StorageMode, StorageScope, Symbol, TransactionStatement,
};
use mgcypher::error::line_and_column;
use mgcypher::{Params, schema};
use mgnode_core::engine::{Admin, AdminAnswer, LagReport, OutcomeReport, ReplicaStatus, StateReport};
use mgnode_core::storage::WriteError;
use mgnode_core::types::{Position, Role, Value};
use std::sync::Arc;
use tokio::time::Instant;

/// What happens at the first PULL or DISCARD.
#[derive(Debug)]
pub(super) enum Deferred {
    Admin(Admin),
    /// With its text.
    Schema(SchemaStatement, Arc<str>),
    Transaction(TransactionStatement),
    Isolation(IsolationScope, IsolationLevel),
    Recover(RecoverSnapshot),
}

/// A snapshot that is to be recovered.
#[derive(Debug)]
pub(super) struct RecoverSnapshot {
    pub(super) path: Arc<str>,
    pub(super) force: bool,
    /// Of the statement.
    pub(super) text: Arc<str>,
    pub(super) metadata: Map,
    pub(super) deadline: Option<Instant>,
}

/// A table that is known as a whole.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) fields: Vec<String>,
    pub(super) rows: Vec<Vec<PackValue>>,
}

impl Table {
    pub(super) fn new(fields: &[&str]) -> Table {
        Table { fields: fields.iter().map(|f| (*f).to_owned()).collect(), rows: Vec::new() }
    }

    fn with(mut self, row: impl Into<Vec<PackValue>>) -> Table {
        self.rows.push(row.into());
        self
    }
}

// -------------------------------------------------------------------------------------- replication

/// Turns a statement into the engine's command.
pub(super) fn admin(statement: ReplicationStatement) -> Result<Admin, Failure> {
    Ok(match statement {
        ReplicationStatement::SetRoleMain { epoch } => Admin::SetRoleMain { epoch },
        ReplicationStatement::SetRoleReplica { port } => Admin::SetRoleReplica { port },
        ReplicationStatement::ShowRole => Admin::ShowRole,
        ReplicationStatement::ShowState => Admin::ShowState,
        ReplicationStatement::ShowLag => Admin::ShowLag,
        ReplicationStatement::ShowReplicas => Admin::ShowReplicas,
        ReplicationStatement::Register { name, mode, address } => {
            Admin::Register { name: name.to_string(), mode, address: address.to_string() }
        }
        ReplicationStatement::Drop { name } => Admin::Drop { name: name.to_string() },
        ReplicationStatement::Fence { epoch, by } => Admin::Fence { epoch, by: by.to_string() },
        ReplicationStatement::ConfirmMain => Admin::ConfirmMain,
        ReplicationStatement::Rewind { to } => Admin::Rewind { to: position(&to)? },
        ReplicationStatement::Release => Admin::Release,
        ReplicationStatement::TransactionOutcome { position: text } => {
            Admin::TransactionOutcome { position: position(&text)? }
        }
    })
}

fn position(text: &str) -> Result<Position, Failure> {
    text.parse().map_err(|()| {
        Failure::client(format!(
            "`{text}` is no position; one looks like 1.00000000000000aa.1:42 and comes with a commit or with the \
             error that left it in doubt."
        ))
    })
}

/// Returns the columns of a command's answer.
pub(super) fn admin_fields(command: &Admin) -> Vec<String> {
    let fields: &[&str] = match command {
        Admin::ShowReplicas => &["name", "socket_address", "sync_mode", "system_info", "data_info"],
        Admin::ShowRole => &["replication role"],
        Admin::ShowState => &[
            "role",
            "epoch",
            "promised",
            "promised_by",
            "durable_lsn",
            "applied_lsn",
            "chain",
            "history",
            "confirmed",
            "node_id",
            "cluster_id",
            "mode",
            "warnings",
        ],
        Admin::ShowLag => &[
            "name",
            "mode",
            "state",
            "commits_behind",
            "bytes_behind",
            "seconds_behind",
            "last_contact_ms",
            "last_error",
        ],
        Admin::TransactionOutcome { .. } => &["outcome"],
        Admin::CreateSnapshot => &["path"],
        Admin::SetRoleReplica { .. }
        | Admin::SetRoleMain { .. }
        | Admin::Register { .. }
        | Admin::Drop { .. }
        | Admin::Fence { .. }
        | Admin::Rewind { .. }
        | Admin::Release
        | Admin::ConfirmMain => &[],
    };
    fields.iter().map(|f| (*f).to_owned()).collect()
}

/// Returns the rows of a command's answer.
pub(super) fn admin_rows(answer: AdminAnswer) -> Vec<Vec<PackValue>> {
    match answer {
        AdminAnswer::Done => Vec::new(),
        AdminAnswer::Role(role) => vec![vec![role_word(role).into()]],
        AdminAnswer::Replicas(replicas) => replicas.into_iter().map(replica_row).collect(),
        AdminAnswer::State(state) => vec![state_row(&state)],
        AdminAnswer::Lag(lags) => lags.into_iter().map(lag_row).collect(),
        AdminAnswer::Outcome(outcome) => {
            let word = match outcome {
                OutcomeReport::Committed => "committed",
                OutcomeReport::NotCommitted => "not_committed",
                OutcomeReport::InDoubt => "in_doubt",
                OutcomeReport::Unknown => "unknown",
            };
            vec![vec![word.into()]]
        }
        AdminAnswer::Snapshot { lsn } => vec![vec![snapshot_path(lsn).into()]],
    }
}

/// Returns what is said beside the answer of a command that was carried out.
pub(super) fn admin_notifications(command: &Admin) -> Vec<Notification> {
    match command {
        Admin::SetRoleMain { .. } => vec![Notification::info("SetReplica", "Replica role set to MAIN.")],
        Admin::SetRoleReplica { port } => {
            let mut all = vec![Notification::info("SetReplica", "Replica role set to REPLICA.")];
            if *port == 7687 {
                all.push(Notification::warning(
                    "ReplicaPortWarning",
                    "Be careful the replication port must be different from the memgraph port!",
                ));
            }
            all
        }
        Admin::Register { name, .. } => {
            vec![Notification::info("RegisterReplica", format!("Replica {name} is registered."))]
        }
        Admin::Drop { name } => {
            vec![Notification::info("DropReplica", format!("Replica {name} is dropped."))]
        }
        _ => Vec::new(),
    }
}

pub(super) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Main => "main",
        Role::Replica { .. } => "replica",
    }
}

fn replica_row(r: ReplicaStatus) -> Vec<PackValue> {
    // As with a licence of Memgraph: a map, never null.
    let system = Map::new().with("ts", 0i64).with("behind", PackValue::Null).with("status", r.status);
    let data = Map::new().with("ts", int(r.ts)).with("behind", r.behind).with("status", r.status);
    vec![
        r.name.into(),
        r.address.into(),
        r.mode.word().into(),
        system.into(),
        Map::new().with("memgraph", data).into(),
    ]
}

fn state_row(s: &StateReport) -> Vec<PackValue> {
    let history: Vec<PackValue> =
        s.history.starts.iter().map(|(epoch, first)| format!("{epoch}:{first}").into()).collect();
    vec![
        role_word(s.state.role).into(),
        s.epoch.to_string().into(),
        s.state.promised.to_string().into(),
        s.state.promised_by.as_str().into(),
        int(s.durable.0),
        int(s.applied.0),
        // 64 bits do not fit a signed integer.
        format!("{:016x}", s.chain).into(),
        history.into(),
        s.confirmed.into(),
        s.state.node.to_string().into(),
        match s.state.role {
            // It waits for its first MAIN.
            Role::Replica { .. } if s.state.cluster.is_none() => PackValue::Null,
            _ => s.state.cluster_id().to_string().into(),
        },
        s.state.own_mode().map_or(PackValue::Null, |mode| mode.word().into()),
        s.warnings.iter().map(|warning| warning.as_str().into()).collect::<Vec<PackValue>>().into(),
    ]
}

fn lag_row(l: LagReport) -> Vec<PackValue> {
    vec![
        l.name.into(),
        l.mode.word().into(),
        l.state.into(),
        int(l.commits_behind),
        int(l.bytes_behind),
        (l.behind_ms as f64 / 1000.0).into(),
        l.last_contact_ms.map(int).into(),
        l.last_error.into(),
    ]
}

fn int(n: u64) -> PackValue {
    PackValue::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

// ------------------------------------------------------------------------------------------- schema

/// Returns what a schema statement is called in Memgraph's refusals.
pub(super) fn schema_word(statement: &SchemaStatement) -> &'static str {
    match statement {
        SchemaStatement::CreateIndex { .. }
        | SchemaStatement::DropIndex { .. }
        | SchemaStatement::DropNamedIndex { .. }
        | SchemaStatement::DropAllIndexes => "Index manipulation",
        SchemaStatement::CreateConstraint { .. }
        | SchemaStatement::DropConstraint { .. }
        | SchemaStatement::DropNamedConstraint { .. }
        | SchemaStatement::DropAllConstraints => "Constraint manipulation",
        SchemaStatement::CreateEnum { .. }
        | SchemaStatement::AlterEnumAdd { .. }
        | SchemaStatement::AlterEnumUpdate { .. }
        | SchemaStatement::DropEnum { .. } => "Enum manipulation",
        SchemaStatement::CreateTrigger { .. } | SchemaStatement::DropTrigger { .. } => "Trigger manipulation",
    }
}

/// A write of a statement, or of the end of a transaction, was refused.
pub(super) fn write_failure(error: WriteError) -> Failure {
    match error {
        WriteError::Conflict => super::texts::commit_failure(mgnode_core::engine::CommitError::Conflict),
        other => Failure::client(other.to_string()).of_its_writes(),
    }
}

// ------------------------------------------------------------------------------------ about the node

/// Whether the table of a SHOW statement needs the state of the engine.
pub(super) fn asks_for_state(statement: &ShowStatement) -> bool {
    matches!(statement, ShowStatement::StorageInfo(_))
}

/// Returns the table of a SHOW statement.
pub(super) fn show(statement: &ShowStatement, about: &About<'_>) -> Result<Table, Failure> {
    let tx = about.tx;
    Ok(match statement {
        ShowStatement::Indexes => schema_table(schema::show_indexes(tx)),
        ShowStatement::Constraints => schema_table(schema::show_constraints(tx)),
        ShowStatement::StorageInfo(StorageScope::Node) => node::storage_info(about, true),
        ShowStatement::StorageInfo(StorageScope::CurrentDatabase) => node::storage_info(about, false),
        ShowStatement::StorageInfo(StorageScope::Database(name)) => {
            check_database(Some(&name.name))?;
            node::storage_info(about, false)
        }
        ShowStatement::Config => node::config(about.config),
        ShowStatement::Transactions(statuses) => {
            node::transactions(about.transactions, &about.config.background, statuses)
        }
        ShowStatement::Snapshots => node::snapshots(&about.config.data_directory)?,
        ShowStatement::NextSnapshot => node::next_snapshot(about),
        ShowStatement::BuildInfo => {
            let build = if cfg!(debug_assertions) { "Debug" } else { "Release" };
            Table::new(&["build info", "value"]).with(["build_type".into(), build.into()])
        }
        ShowStatement::Version => Table::new(&["version"]).with([env!("CARGO_PKG_VERSION").into()]),
        ShowStatement::Databases => {
            Table::new(&["Name", "State", "Health"]).with([DATABASE.into(), "hot".into(), "ready".into()])
        }
        ShowStatement::Database => Table::new(&["Current"]).with([DATABASE.into()]),
        ShowStatement::Triggers => node::triggers(about),
        ShowStatement::Enums => schema_table(mgcypher::enums::show_enums(tx)),
        ShowStatement::Users => Table::new(&["user"]),
        ShowStatement::Roles => Table::new(&["role", "builtin"]),
        ShowStatement::CurrentUser => Table::new(&["user"]).with([PackValue::Null]),
        ShowStatement::DatabaseSettings => return Err(unsupported("SHOW DATABASE SETTINGS")),
        ShowStatement::DatabaseSetting(_) => return Err(unsupported("SHOW DATABASE SETTING")),
        ShowStatement::ActiveUsers => return Err(unsupported("SHOW ACTIVE USERS INFO")),
        ShowStatement::LicenseInfo => return Err(unsupported("SHOW LICENSE INFO")),
        ShowStatement::SchemaInfo => return Err(unsupported("SHOW SCHEMA INFO")),
        ShowStatement::MetricsInfo => return Err(unsupported("SHOW METRICS INFO")),
        ShowStatement::Functions => return Err(unsupported("SHOW FUNCTIONS")),
        ShowStatement::Procedures => return Err(unsupported("SHOW PROCEDURES")),
    })
}

pub(super) fn schema_table(table: schema::Table) -> Table {
    let rows = table.rows.iter().map(|row| row.iter().map(wire::plain).collect()).collect();
    Table { fields: table.columns.into_iter().map(str::to_owned).collect(), rows }
}

/// The one database of a node.
pub(super) const DATABASE: &str = "memgraph";

/// Refuses databases that do not exist. Some drivers ask for "neo4j" unless told otherwise.
pub(super) fn check_database(name: Option<&str>) -> Result<(), Failure> {
    match name {
        None | Some("" | "memgraph" | "neo4j") => Ok(()),
        Some(other) => Err(Failure::client(format!(
            "Unknown database name \"{other}\". This node serves one database, \"{DATABASE}\"."
        ))),
    }
}

/// What became of a statement about how the node runs.
pub(super) enum AdminStep<'a> {
    /// It goes to the engine.
    Ask(Admin),
    /// It is so already, or nothing has to be done.
    Done,
    FreeMemory,
    Analyze {
        labels: &'a [Symbol],
        delete: bool,
    },
    Dump,
    Terminate(&'a [Expr]),
    SetIsolation(IsolationScope, IsolationLevel),
    /// The path, and whether what is here may go.
    Recover(&'a Expr, bool),
}

/// Sorts, or refuses, a statement about how the node runs.
pub(super) fn admin_statement(
    statement: &AdminStatement,
    is_replica: bool,
) -> Result<AdminStep<'_>, Failure> {
    Ok(match statement {
        AdminStatement::CreateSnapshot => AdminStep::Ask(Admin::CreateSnapshot),
        AdminStatement::FreeMemory => AdminStep::FreeMemory,
        AdminStatement::AnalyzeGraph { labels, delete } => AdminStep::Analyze { labels, delete: *delete },
        AdminStatement::DumpDatabase => AdminStep::Dump,
        AdminStatement::TerminateTransactions(ids) => AdminStep::Terminate(ids),
        AdminStatement::SetIsolationLevel { scope, level } => AdminStep::SetIsolation(*scope, *level),
        AdminStatement::SetStorageMode(StorageMode::InMemoryTransactional) => AdminStep::Done,
        AdminStatement::SetStorageMode(_) => {
            return Err(unsupported("A storage mode other than IN_MEMORY_TRANSACTIONAL"));
        }
        AdminStatement::UseDatabase(name) => {
            check_database(Some(&name.name))?;
            AdminStep::Done
        }
        AdminStatement::RecoverSnapshot { .. } if is_replica => {
            return Err(Failure::client(
                "Failed to recover a snapshot. Replica instances are not allowed to create them.",
            ));
        }
        AdminStatement::RecoverSnapshot { has_config: true, .. } => {
            return Err(unsupported("RECOVER SNAPSHOT WITH CONFIG"));
        }
        AdminStatement::RecoverSnapshot { path, force, .. } => AdminStep::Recover(path, *force),
        AdminStatement::DropGraph => return Err(unsupported("DROP GRAPH")),
        AdminStatement::LockDataDirectory => return Err(unsupported("LOCK DATA DIRECTORY")),
        AdminStatement::UnlockDataDirectory => return Err(unsupported("UNLOCK DATA DIRECTORY")),
        AdminStatement::DataDirectoryLockStatus => return Err(unsupported("DATA DIRECTORY LOCK STATUS")),
        AdminStatement::SetDatabaseSetting { .. } => return Err(unsupported("SET DATABASE SETTING")),
    })
}

/// Returns the strings that literals and parameters of the text stand for.
pub(super) fn strings(exprs: &[Expr], parameters: &Params, text: &str) -> Result<Vec<Arc<str>>, Failure> {
    let refuse = |expr: &Expr, what: String| {
        let (line, column) = line_and_column(text, expr.span.start as usize);
        Err(Failure::client(format!("{what} (line {line}, column {column})")))
    };
    let string = |expr: &Expr| match &expr.kind {
        ExprKind::Literal(Literal::String(text)) => Ok(text.clone()),
        ExprKind::Parameter(name) => match parameters.get(&**name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => refuse(expr, format!("Parameter ${name} must be a string.")),
            None => refuse(expr, format!("Parameter ${name} not provided.")),
        },
        _ => refuse(expr, "Only strings and parameters can stand here.".to_owned()),
    };
    exprs.iter().map(string).collect()
}

/// As [`unsupported`], with the place of the statement in its text.
pub(super) fn unsupported_at(what: &str, span: Span, text: &str) -> Failure {
    let (line, column) = line_and_column(text, span.start as usize);
    let Failure { message, .. } = unsupported(what);
    Failure::client(format!("{message} (line {line}, column {column})"))
}

/// Refuses what is understood and not offered.
pub(super) fn unsupported(what: &str) -> Failure {
    Failure::client(format!("{what} is not supported by mgnode {}.", env!("CARGO_PKG_VERSION")))
}
