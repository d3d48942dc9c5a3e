//! Speaks to nodes for the room `cluster`: a connection for each exchange, so that none outlives a restart.

use super::{Client, QueryError, to_json};
use crate::cluster::{NodeError, Nodes, Rows, Target};
use mgbolt::Map;
use std::time::Duration;

/// Nodes over Bolt.
#[derive(Clone, Debug)]
pub struct BoltNodes {
    time_max: Duration,
    /// Statements of init files may be long.
    transaction_time_max: Duration,
}

impl Default for BoltNodes {
    fn default() -> BoltNodes {
        BoltNodes { time_max: Duration::from_secs(5), transaction_time_max: Duration::from_secs(120) }
    }
}

impl BoltNodes {
    /// Returns nodes of which each answer is awaited for this long.
    pub fn within(time_max: Duration) -> BoltNodes {
        BoltNodes { time_max, ..BoltNodes::default() }
    }

    /// Connects to a node.
    pub async fn connect(&self, target: &Target, time_max: Duration) -> Result<Client, NodeError> {
        Client::connect(&target.bolt.to_string(), time_max, None).await.map_err(translate)
    }
}

impl Nodes for BoltNodes {
    async fn ask(&self, target: &Target, query: &str) -> Result<Rows, NodeError> {
        let mut client = self.connect(target, self.time_max).await?;
        // Registering waits for the replica's answer, longer than a look does.
        if query.starts_with("REGISTER") || query.starts_with("SET") {
            client.set_timeout(3 * self.time_max);
        }
        let result = client.run(query, Map::new()).await.map_err(translate)?;
        client.close().await;
        let rows = result.rows.iter().map(|row| row.iter().map(to_json).collect()).collect();
        Ok(Rows { fields: result.fields, rows })
    }

    async fn transact(&self, target: &Target, queries: &[&str]) -> Result<(), NodeError> {
        let mut client = self.connect(target, self.time_max).await?;
        client.set_timeout(self.transaction_time_max);
        client.begin().await.map_err(translate)?;
        for query in queries {
            client.run(query, Map::new()).await.map_err(translate)?;
        }
        client.commit().await.map_err(translate)?;
        client.close().await;
        Ok(())
    }
}

/// Puts a query's error into the words of the room `cluster`.
pub(super) fn translate(error: QueryError) -> NodeError {
    match error {
        QueryError::Server { code, message, .. } => NodeError::Refused { code, message },
        QueryError::TimedOut { after, .. } => NodeError::TimedOut(after),
        other => NodeError::Unreachable(other.to_string()),
    }
}
