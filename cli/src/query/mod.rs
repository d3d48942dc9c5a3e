//! Talks Bolt to a node: mgnode and Memgraph alike.
//!
//! A [`Client`] is one connection. Nothing is retried behind the caller's back: a role or
//! registration query that ran twice is another query. Every call ends within the time-out that the
//! connection was made with, and an error says whether the query may have taken effect all the same
//! ([`QueryError::is_outcome_unknown`]).

mod client;
mod error;
mod nodes;
mod show;

#[cfg(test)]
pub(crate) use client::tests as stand_in;
pub use client::{Client, Notification, QueryResult, Rows, Statement, Summary, Transacted, Untransacted};
pub use error::QueryError;
pub use mgbolt::{Map, PackValue};
pub use nodes::BoltNodes;
pub use show::{from_json, to_json, to_text};
