//! Why a query has no result.

use mgbolt::handshake::HandshakeError;
use std::time::Duration;

/// Why a query has no result.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no connection; nothing was asked.
    #[error("cannot connect to `{address}`: {error}")]
    Connect { address: String, error: std::io::Error },
    /// The other side speaks, but not Bolt, or no version of it that is known here.
    #[error("`{address}` does not speak Bolt as mgctl does: {error}")]
    Handshake { address: String, error: HandshakeError },
    /// The server said no.
    #[error("{message}")]
    ///
    /// `position` names a commit that stands, or may stand, all the same.
    Server { code: String, message: String, position: Option<String> },
    /// The connection ended while an answer was awaited: whether the query took effect is unknown.
    #[error("the connection to `{address}` was lost: {error}")]
    Lost { address: String, error: std::io::Error },
    /// No answer came in time: whether the query took effect is unknown.
    #[error("`{address}` did not answer within {after:?}")]
    TimedOut { address: String, after: Duration },
    /// The other side broke the rules of Bolt: whether the query took effect is unknown.
    #[error("`{address}` sent something that is not Bolt: {what}")]
    Protocol { address: String, what: String },
    /// What was to be sent cannot be; nothing was asked.
    #[error("the query cannot be sent: {0}")]
    Unsendable(String),
    /// An earlier error ended this connection; nothing was asked.
    #[error("the connection to `{address}` has ended")]
    Closed { address: String },
}

impl QueryError {
    /// Whether the query may have taken effect although it has no result.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, QueryError::Lost { .. } | QueryError::TimedOut { .. } | QueryError::Protocol { .. })
    }

    /// Whether its transaction stands, or may come to stand, although it has no result: no answer came, or the server
    /// says that it is in doubt or names its commit.
    pub fn may_stand(&self) -> bool {
        match self {
            QueryError::Server { code, position, .. } => position.is_some() || code.ends_with(".InDoubt"),
            other => other.is_outcome_unknown(),
        }
    }

    /// Whether the server says that the same query can succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, QueryError::Server { code, .. } if code.split('.').nth(1) == Some("TransientError"))
    }

    /// Returns the text of a server that said no.
    pub fn server_message(&self) -> Option<&str> {
        match self {
            QueryError::Server { message, .. } => Some(message),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_stand_is_what_nobody_has_said_no_to() {
        let server = |code: &str, position: Option<&str>| QueryError::Server {
            code: code.into(),
            message: String::new(),
            position: position.map(str::to_owned),
        };
        assert!(!server("Memgraph.TransientError.MemgraphError.MemgraphError", None).may_stand());
        assert!(server("Memgraph.ClientError.Transaction.InDoubt", None).may_stand());
        assert!(server("Memgraph.ClientError.MemgraphError.MemgraphError", Some("3.aa.1:3")).may_stand());
        assert!(QueryError::TimedOut { address: "a".into(), after: Duration::ZERO }.may_stand());
        assert!(!QueryError::Closed { address: "a".into() }.may_stand());
    }
}
