//! Words of failures and notifications. They are Memgraph's where Memgraph has some: clients and
//! scripts look for them.

use mgbolt::{Map, NotificationFilter, PackValue, Severity, Status, Version};
use mgcypher::{CypherError, ErrorKind};
use mgnode_core::engine::{Admin, AdminError, CommitError, ReplicaFailure, ReplicaFailureReason};
use mgnode_core::types::{Position, SyncMode};

/// What a client is told when something did not work.
///
/// The second part of the code is the class: drivers run a transaction again after a
/// `TransientError`, so whatever may have been committed is never one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: &'static str,
    pub(super) message: String,
    /// The same in GQL's words.
    pub(super) status: Status,
    /// The commit that stands, or may stand, all the same.
    pub(super) position: Option<Position>,
    /// It is about what the transaction wrote: another one can succeed where this one did not.
    pub(super) is_of_its_writes: bool,
}

const CLIENT: &str = "Memgraph.ClientError.MemgraphError.MemgraphError";
const TRANSIENT: &str = "Memgraph.TransientError.MemgraphError.MemgraphError";
const DATABASE: &str = "Memgraph.DatabaseError.MemgraphError.MemgraphError";
const REQUEST: &str = "Memgraph.ClientError.Request.Invalid";
const UNAUTHENTICATED: &str = "Memgraph.ClientError.Security.Unauthenticated";
const SESSION_LIMIT: &str = "Memgraph.ClientError.Statement.SessionLimitReached";
/// The commit stands; it is told as an error only where that was asked for.
const DEGRADED: &str = "Memgraph.ClientError.Transaction.Degraded";
const IN_DOUBT: &str = "Memgraph.ClientError.Transaction.InDoubt";
/// A notification, where the same is no failure.
pub(super) const COMMIT_DEGRADED: &str = "SyncReplicationFailure";
/// Of a query that commits as it goes, and goes on where a part of it failed.
pub(super) const BATCHES_FAILED: &str = "TransactionsFailed";
const BOOKMARK: &str = "Memgraph.ClientError.Transaction.InvalidBookmark";
const BOOKMARK_TIMEOUT: &str = "Memgraph.TransientError.Transaction.BookmarkTimeout";

const WRITE_ON_REPLICA: &str = "Write queries are forbidden on the replica instance. Replica instances \
accept only read queries, while the main instance accepts read and write queries. Please retry your query on the \
main instance.";

pub(super) const CHECK_REPLICAS: &str = "Check the status of the replicas using 'SHOW REPLICAS' query.";

impl Failure {
    fn with(code: &'static str, message: String) -> Failure {
        let status = match code {
            TRANSIENT => Status::ROLLBACK,
            DATABASE => Status::INTERNAL,
            REQUEST => Status::PROTOCOL,
            UNAUTHENTICATED => Status::DENIED,
            IN_DOUBT => Status::UNKNOWN_COMPLETION,
            BOOKMARK => Status::DATA,
            BOOKMARK_TIMEOUT => Status::TRANSACTION_STATE,
            CLIENT => Status::RULE,
            _ => Status::UNEXPECTED,
        };
        Failure { code, message, status, position: None, is_of_its_writes: false }
    }

    /// Whether drivers run the transaction again.
    pub(super) fn is_transient(&self) -> bool {
        self.code == TRANSIENT || self.code == BOOKMARK_TIMEOUT
    }

    /// Notes that it is about what the transaction wrote.
    pub(super) fn of_its_writes(self) -> Failure {
        Failure { is_of_its_writes: true, ..self }
    }

    /// The query is not what it is after a transaction that is as if it had not been.
    pub(super) fn committed_in_part(self, message: String) -> Failure {
        let failure = Failure::with(CLIENT, message).status(Status::UNEXPECTED);
        // What may stand keeps its code and its position.
        match self.position {
            Some(_) => Failure { code: self.code, status: self.status, position: self.position, ..failure },
            None => failure,
        }
    }

    fn status(self, status: Status) -> Failure {
        Failure { status, ..self }
    }

    /// The client must change something before it tries again.
    pub(super) fn client(message: impl Into<String>) -> Failure {
        Failure::with(CLIENT, message.into())
    }

    /// The same may succeed later, and did not happen now.
    pub(super) fn transient(message: impl Into<String>) -> Failure {
        Failure::with(TRANSIENT, message.into())
    }

    /// A defect of the node.
    pub(super) fn database(message: impl Into<String>) -> Failure {
        Failure::with(DATABASE, message.into())
    }

    /// The client does not keep to the protocol.
    pub(super) fn request(message: impl Into<String>) -> Failure {
        Failure::with(REQUEST, message.into())
    }

    pub(super) fn unauthenticated() -> Failure {
        Failure::with(UNAUTHENTICATED, "Authentication failure".into())
    }

    pub(super) fn session_limit(limit: usize) -> Failure {
        let message = format!("This node serves at most {limit} sessions at once; try again later.");
        Failure::with(SESSION_LIMIT, message)
    }

    pub(super) fn bad_bookmark(bookmark: &str) -> Failure {
        Failure::with(BOOKMARK, format!("`{bookmark}` is no bookmark of this cluster."))
    }

    pub(super) fn bookmark_lost(position: Position) -> Failure {
        let message = format!(
            "BookmarkLost: the transaction of bookmark `{position}` is not part of this node's history and never will \
             be. It was lost in a failover; read what stands now and decide anew."
        );
        Failure::with(BOOKMARK, message)
    }

    pub(super) fn bookmark_late(position: Position, waited: std::time::Duration) -> Failure {
        let message = format!(
            "This node has not yet applied the transaction of bookmark `{position}` after {waited:?}."
        );
        Failure::with(BOOKMARK_TIMEOUT, message)
    }

    pub(super) fn timed_out() -> Failure {
        Failure::transient("Transaction was asked to abort because of transaction timeout.")
    }

    pub(super) fn terminated() -> Failure {
        Failure::transient("Transaction was asked to abort by another user.")
    }

    pub(super) fn shutdown() -> Failure {
        Failure::transient("Transaction was asked to abort because of database shutdown.")
    }

    /// A statement that only runs in a transaction of its own.
    pub(super) fn multicommand(what: &str) -> Failure {
        // The missing space in "particularquery" is Memgraph's.
        Failure::client(format!(
            "{what} is not allowed in multicommand transactions. A multicommand transaction, also known as an \
             explicit transaction, groups multiple commands into a single atomic operation. Instead, please use an \
             implicit transaction, also known as an auto committing transaction, in order to execute this \
             particularquery. For more details, visit https://memgraph.com/docs"
        ))
        .status(Status::TRANSACTION_STATE)
    }

    /// What only a MAIN does.
    pub(super) fn write_on_replica() -> Failure {
        Failure::client(WRITE_ON_REPLICA).status(Status::READ_ONLY)
    }
}

impl From<CypherError> for Failure {
    fn from(error: CypherError) -> Failure {
        if error.is_transient {
            Failure::transient(error.to_string())
        } else {
            let status = match error.kind {
                ErrorKind::SyntaxError => Status::SYNTAX,
                ErrorKind::TypeError
                | ErrorKind::ArgumentError
                | ErrorKind::ArithmeticError
                | ErrorKind::EntityNotFound
                | ErrorKind::PropertyNotFound
                | ErrorKind::LabelNotFound
                | ErrorKind::ExternalResourceFailed => Status::DATA,
                ErrorKind::ConstraintVerificationFailed | ErrorKind::ConstraintValidationFailed => {
                    Status::GRAPH_TYPE
                }
                ErrorKind::Limit => Status::UNEXPECTED,
                ErrorKind::SemanticError
                | ErrorKind::ParameterMissing
                | ErrorKind::ProcedureError
                | ErrorKind::Statement => Status::RULE,
            };
            Failure::client(error.to_string()).status(status)
        }
    }
}

/// The transaction did not commit.
pub(super) fn commit_failure(error: CommitError) -> Failure {
    match error {
        CommitError::Conflict => Failure::transient(
            "Cannot resolve conflicting transactions. Retry this transaction when the conflicting transaction is \
             finished. For more details, visit https://memgraph.com/docs",
        )
        .of_its_writes(),
        CommitError::SchemaChanged => Failure::transient(
            "The schema changed while the transaction ran, and nothing of it was committed. Retry this transaction.",
        )
        .of_its_writes(),
        CommitError::Constraint(text) => Failure::client(text).status(Status::GRAPH_TYPE).of_its_writes(),
        CommitError::OldReplica { name, what } => Failure::client(format!(
            "Nothing was written: replica {name} runs an earlier version, which does not know {what}. Upgrade it first \
             (`mgctl upgrade`), or drop it."
        ))
        .of_its_writes(),
        CommitError::NotMain => Failure::client("Cannot commit because instance is not main anymore."),
        CommitError::Fenced => Failure::client(
            "Cannot commit because instance is not main anymore: another node was promoted and holds a higher epoch.",
        ),
        CommitError::Unconfirmed => Failure::transient(
            "Write queries currently forbidden on the main instance: it has started anew and has not yet heard from \
             its replicas. Please retry the query later on, or run `CONFIRM REPLICATION ROLE MAIN`.",
        ),
        CommitError::ReplicasMissing(failed) => {
            let mode = failed.first().map_or(SyncMode::StrictSync, |f| f.mode);
            let text = replication_failure(&failed, mode, false);
            Failure::client(format!("Replication Exception: {text}"))
        }
        CommitError::NoLease => Failure::transient(
            "Write queries currently forbidden on the main instance: it has not heard from a majority of its cluster \
             for as long as its lease (`--main-lease`). Nothing was written; please retry the query later on.",
        ),
        CommitError::NoSpace => Failure::transient(
            "There is no room left on the disk of this node, so nothing was written. Free some and retry.",
        ),
        CommitError::NoMemory => Failure::client(
            "Memory limit exceeded: this node holds as much as it may (`--memory-limit`), so nothing was written. What \
             only deletes is still taken; else restart it with more memory, its replicas too.",
        ),
        CommitError::TooLarge { bytes, bytes_max } => Failure::client(format!(
            "The transaction was not committed: its changes take {bytes} bytes, and one transaction may take \
             {bytes_max}. Split it into smaller ones."
        ))
        .of_its_writes(),
        CommitError::Invalid(text) => Failure::database(format!(
            "The transaction does not fit the graph and was not committed: {text}."
        )),
        CommitError::Stopping => Failure::shutdown(),
    }
}

/// The transaction is written, and whether it will stand is not known. Never transient: a driver
/// would run it a second time.
pub(super) fn in_doubt(position: Position, failed: &[ReplicaFailure]) -> Failure {
    let message = if position == Position::default() {
        "The outcome of the transaction is unknown: the node stopped while it was being committed. Look for its \
         effects before you run it again."
            .to_owned()
    } else {
        let missing: Vec<_> = failed.iter().map(|f| format!("'{}'", f.name)).collect();
        let because = if missing.is_empty() {
            String::new()
        } else {
            format!(" Not confirmed by {}.", join_words(&missing))
        };
        format!(
            "The outcome of the transaction is in doubt: it is written as {position} and not yet confirmed \
             everywhere.{because} Ask for it with SHOW TRANSACTION OUTCOME \"{position}\" before you run it again."
        )
    };
    let position = Some(position).filter(|position| *position != Position::default());
    Failure { position, ..Failure::with(IN_DOUBT, message) }
}

/// The transaction stands, and SYNC replicas lack it: the form of an error, as Memgraph had it up to 3.12.
/// Never transient, for the same reason.
pub(super) fn degraded(position: Position, text: &str) -> Failure {
    let message = format!("Replication Exception: {text}");
    Failure { position: Some(position), ..Failure::with(DEGRADED, message) }
}

/// Which replicas did not confirm a commit, why, and what that means.
pub(super) fn replication_failure(failed: &[ReplicaFailure], mode: SyncMode, stands: bool) -> String {
    let mut sentences = Vec::new();
    let mut reasons: Vec<ReplicaFailureReason> = Vec::new();
    for failure in failed {
        if !reasons.contains(&failure.reason) {
            reasons.push(failure.reason);
        }
    }
    let word = mode.word().to_uppercase();
    for reason in &reasons {
        let names: Vec<String> =
            failed.iter().filter(|f| f.reason == *reason).map(|f| format!("'{}'", f.name)).collect();
        let many = names.len() > 1;
        sentences.push(format!(
            "Failed to replicate to {word} {} {}: {}.",
            if many { "replicas" } else { "replica" },
            join_words(&names),
            reason_words(*reason, many),
        ));
    }
    let whose = if failed.len() > 1 { "Replicas" } else { "Replica" };
    sentences.push(format!("{whose} will be recovered automatically."));
    sentences.push(if stands {
        "Transaction is still committed on the main instance and other alive replicas.".to_owned()
    } else {
        "Transaction was aborted on all instances.".to_owned()
    });
    let late: Vec<&str> = failed
        .iter()
        .filter(|f| f.reason == ReplicaFailureReason::TimedOut)
        .map(|f| f.name.as_str())
        .collect();
    if !late.is_empty() {
        sentences.push(format!(
            "Main reached an RPC timeout while replicating to [{}]. One possible reason for this error is that the \
             replica is down and in that case make sure to recover it.",
            late.join(", ")
        ));
    }
    sentences.push(CHECK_REPLICAS.to_owned());
    sentences.join(" ")
}

fn reason_words(reason: ReplicaFailureReason, many: bool) -> &'static str {
    match (reason, many) {
        (ReplicaFailureReason::NotInSync, false) => "replica is not reachable or not in sync with the main",
        (ReplicaFailureReason::NotInSync, true) => "replicas are not reachable or not in sync with the main",
        (ReplicaFailureReason::TimedOut, _) => "RPC timeout while replicating",
        (ReplicaFailureReason::Diverged, false) => "replica has diverged from main",
        (ReplicaFailureReason::Diverged, true) => "replicas have diverged from main",
        (ReplicaFailureReason::Refused, _) => "RPC communication error",
    }
}

/// `'a'`, `'a' and 'b'`, `'a', 'b' and 'c'`
fn join_words(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Why an operator's query did not do what it says: Memgraph's text, its number where it has one,
/// and the reason in words.
pub(super) fn admin_failure(command: &Admin, error: AdminError) -> Failure {
    let reason = error.to_string();
    let with = |text: &str| Failure::client(format!("{text} {}", sentence(&reason)));
    match (command, &error) {
        (Admin::SetRoleReplica { .. }, _) => with("Couldn't set role to replica!"),
        (Admin::SetRoleMain { .. }, _) => with("Couldn't set replication role to main!"),
        (Admin::Register { .. }, AdminError::NotMain) => {
            Failure::client("Replica can't register another replica!")
        }
        (Admin::Register { name, .. }, error) => match register_number(error) {
            Some(number) => with(&format!("Couldn't register replica {name}. Error: {number}.")),
            None => with(&format!("Couldn't register replica {name}.")),
        },
        (Admin::Drop { .. }, AdminError::NotMain) => Failure::client(
            "Replica can't unregister a replica! Please rerun the query on main in order to unregister a replica \
             from the cluster.",
        ),
        (Admin::Drop { .. }, AdminError::Busy) => Failure::client(
            "Failed to unregister replica due to lack of unique access over the cluster state. Please try again \
             later on.",
        ),
        (Admin::Drop { name }, _) => with(&format!("Failed to unregister the replica {name}.")),
        (Admin::ShowReplicas, AdminError::NotMain) => {
            Failure::client("Show replicas query should only be run on the main instance.")
        }
        (Admin::ShowLag, AdminError::NotMain) => {
            Failure::client("Show replication lag query should only be run on the main instance.")
        }
        (Admin::CreateSnapshot, _) => Failure::transient(sentence(&reason)),
        (_, _) => Failure::client(sentence(&reason)),
    }
}

fn register_number(error: &AdminError) -> Option<u8> {
    match error {
        AdminError::NameTaken => Some(1),
        AdminError::AddressTaken => Some(2),
        AdminError::Diverged(_) => Some(3),
        AdminError::NotPersisted(_) => Some(4),
        AdminError::Unreachable(_) => Some(5),
        AdminError::Busy => Some(6),
        _ => None,
    }
}

fn sentence(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

/// Something that a client should know about a query that worked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notification {
    severity: &'static str,
    code: &'static str,
    title: String,
    description: String,
}

impl From<mgcypher::schema::Notification> for Notification {
    fn from(n: mgcypher::schema::Notification) -> Notification {
        Notification { severity: n.severity, code: n.code, title: n.title, description: n.description }
    }
}

impl Notification {
    pub(super) fn info(code: &'static str, title: impl Into<String>) -> Notification {
        Notification { severity: "INFO", code, title: title.into(), description: String::new() }
    }

    pub(super) fn warning(code: &'static str, title: impl Into<String>) -> Notification {
        Notification { severity: "WARNING", code, title: title.into(), description: String::new() }
    }

    /// Whether a client that filters like that hears of it. How a commit ended is no hint: everyone does.
    pub(super) fn passes(&self, filter: &NotificationFilter) -> bool {
        matches!(self.code, COMMIT_DEGRADED | BATCHES_FAILED)
            || filter.lets_through(self.severity(), self.category())
    }

    fn severity(&self) -> Severity {
        if self.severity == "WARNING" { Severity::Warning } else { Severity::Information }
    }

    /// What it is about, in the words of the drivers' filters.
    fn category(&self) -> &'static str {
        match self.code {
            "SetReplica" | "RegisterReplica" | "DropReplica" | COMMIT_DEGRADED => "TOPOLOGY",
            code if code.contains("Index") || code.contains("Constraint") => "SCHEMA",
            _ => "GENERIC",
        }
    }

    fn status(&self) -> Status {
        match self.severity() {
            Severity::Warning => Status::WARNING,
            Severity::Information => Status::INFORMATION,
        }
    }

    /// As an item of `notifications`; the words are Memgraph's.
    fn to_value(&self, version: Version) -> PackValue {
        let mut map = Map::new()
            .with("severity", self.severity)
            .with("code", self.code)
            .with("title", self.title.as_str())
            .with("description", self.description.as_str());
        if version.has_notification_filter() {
            map.insert("category", self.category());
        }
        PackValue::Map(map)
    }

    /// As an item of `statuses`, from Bolt 5.5 on.
    fn to_status(&self, version: Version) -> PackValue {
        let about = if self.description.is_empty() { &self.title } else { &self.description };
        let status = self.status();
        let record =
            Map::new().with("_severity", self.severity().word()).with("_classification", self.category());
        let map = Map::new()
            .with("gql_status", status.code)
            .with("neo4j_code", self.code)
            .with("title", self.title.as_str())
            .with("diagnostic_record", Status::diagnostic_record(record));
        PackValue::Map(if version.has_titled_statuses() {
            map.with("status_description", status.text).with("description", about.as_str())
        } else {
            // There is one description, and drivers show it as the notification's.
            map.with("status_description", about.as_str())
        })
    }
}

/// Adds what is to be told beside the rows: up to Bolt 5.4 the notifications, where there are some (mgconsole
/// reads the first one of a list unseen); from 5.5 on statuses, of which `result` says how the statement
/// ended, the most telling first.
pub(super) fn tell(
    metadata: &mut Map,
    notifications: &[Notification],
    filter: &NotificationFilter,
    result: Option<Status>,
    version: Version,
) {
    let told = notifications.iter().filter(|notification| notification.passes(filter));
    if !version.has_statuses() {
        let told: Vec<PackValue> = told.map(|notification| notification.to_value(version)).collect();
        if !told.is_empty() {
            metadata.insert("notifications", told);
        }
        return;
    }
    let mut all: Vec<(u8, PackValue)> =
        told.map(|notification| (notification.status().rank(), notification.to_status(version))).collect();
    all.extend(result.map(|status| {
        let map = Map::new()
            .with("gql_status", status.code)
            .with("status_description", status.text)
            .with("diagnostic_record", Status::diagnostic_record(Map::new()));
        (status.rank(), PackValue::Map(map))
    }));
    if !all.is_empty() {
        all.sort_by_key(|(rank, _)| *rank);
        metadata.insert("statuses", all.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(names: &[(&str, ReplicaFailureReason)]) -> Vec<ReplicaFailure> {
        let one = |(name, reason): &(&str, _)| ReplicaFailure {
            name: (*name).to_owned(),
            mode: SyncMode::Sync,
            reason: *reason,
        };
        names.iter().map(one).collect()
    }

    #[test]
    fn one_silent_replica_reads_as_in_memgraph() {
        let text =
            replication_failure(&failed(&[("r1", ReplicaFailureReason::NotInSync)]), SyncMode::Sync, true);
        assert_eq!(
            text,
            "Failed to replicate to SYNC replica 'r1': replica is not reachable or not in sync with the main. Replica \
             will be recovered automatically. Transaction is still committed on the main instance and other alive \
             replicas. Check the status of the replicas using 'SHOW REPLICAS' query."
        );
    }

    #[test]
    fn replicas_are_grouped_by_reason() {
        use ReplicaFailureReason::*;
        let all = failed(&[("a", NotInSync), ("b", TimedOut), ("c", NotInSync), ("d", NotInSync)]);
        let text = replication_failure(&all, SyncMode::StrictSync, false);
        assert!(text.starts_with(
            "Failed to replicate to STRICT_SYNC replicas 'a', 'c' and 'd': replicas are not reachable or not in sync \
             with the main. Failed to replicate to STRICT_SYNC replica 'b': RPC timeout while replicating. Replicas \
             will be recovered automatically. Transaction was aborted on all instances. Main reached an RPC timeout \
             while replicating to [b]."
        ));
    }

    #[test]
    fn what_may_have_happened_is_never_transient() {
        let position: Position = "3.00000000000000aa.1:42".parse().unwrap();
        for failure in [in_doubt(position, &[]), in_doubt(Position::default(), &[])] {
            assert_eq!(failure.code.split('.').nth(1), Some("ClientError"));
        }
        assert!(
            in_doubt(position, &[]).message.contains("SHOW TRANSACTION OUTCOME \"3.00000000000000aa.1:42\"")
        );
        assert_eq!(commit_failure(CommitError::Conflict).code, TRANSIENT);
        assert_eq!(commit_failure(CommitError::ReplicasMissing(Vec::new())).code, CLIENT);
    }

    #[test]
    fn registration_errors_keep_their_numbers() {
        let register =
            Admin::Register { name: "r1".into(), mode: SyncMode::Sync, address: "127.0.0.1:10000".into() };
        let text = |error| admin_failure(&register, error).message;
        assert_eq!(
            text(AdminError::NameTaken),
            "Couldn't register replica r1. Error: 1. A replica of that name is registered already."
        );
        assert!(
            text(AdminError::Unreachable("it is MAIN".into()))
                .starts_with("Couldn't register replica r1. Error: 5.")
        );
        assert_eq!(text(AdminError::NotMain), "Replica can't register another replica!");
        assert_eq!(
            text(AdminError::Busy),
            "Couldn't register replica r1. Error: 6. Another role or registration query is under way; please try \
             again later."
        );
        let drop = Admin::Drop { name: "x".into() };
        assert!(
            admin_failure(&drop, AdminError::UnknownReplica)
                .message
                .starts_with("Failed to unregister the replica x.")
        );
    }
}
