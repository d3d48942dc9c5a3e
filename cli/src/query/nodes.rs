//! Speaks to nodes for the room `cluster`: a connection for each exchange, so that none outlives a restart.

use super::{Client, QueryError, to_json};
use crate::cluster::{NodeError, Nodes, Rows, Target};
use crate::topology::Endpoint;
use crate::topology::Secret;
use mgbolt::Map;
use std::time::Duration;

/// Nodes over Bolt.
#[derive(Clone, Debug)]
pub struct BoltNodes {
    time_max: Duration,
    /// User and password.
    credentials: Option<(String, Secret)>,
    /// Statements of init files may be long.
    transaction_time_max: Duration,
}

impl Default for BoltNodes {
    fn default() -> BoltNodes {
        BoltNodes {
            time_max: Duration::from_secs(5),
            credentials: None,
            transaction_time_max: Duration::from_secs(120),
        }
    }
}

impl BoltNodes {
    /// Returns nodes of which each answer is awaited for this long, and that are told who asks.
    pub fn new(time_max: Duration, credentials: Option<(String, Secret)>) -> BoltNodes {
        BoltNodes { time_max, credentials, ..BoltNodes::default() }
    }

    /// Returns the same nodes with another time for each answer.
    pub fn within(&self, time_max: Duration) -> BoltNodes {
        BoltNodes { time_max, ..self.clone() }
    }

    /// Connects to where a node's Bolt is, for a conversation of more than one query.
    pub async fn client(&self, bolt: &Endpoint, time_max: Duration) -> Result<Client, QueryError> {
        let auth = self.credentials.as_ref().map(|(user, password)| (user.as_str(), password.expose()));
        Client::connect(&bolt.to_string(), time_max, auth).await
    }

    /// Connects to a node.
    pub async fn connect(&self, target: &Target, time_max: Duration) -> Result<Client, NodeError> {
        self.client(&target.bolt, time_max).await.map_err(translate)
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

#[cfg(test)]
mod tests {
    use super::*;
    use mgbolt::{Dechunker, Request, Response, Status, Version, handshake};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that lets nobody in but one user, and says what it was told.
    async fn guarded(listener: TcpListener) -> Vec<(Option<String>, Option<String>)> {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; handshake::CLIENT_BYTES];
        stream.read_exact(&mut hello).await.unwrap();
        stream.write_all(&handshake::answer(Version::V5_2)).await.unwrap();
        let (mut input, mut told) = (Dechunker::new(1 << 20), Vec::new());
        loop {
            while let Some(message) = input.next_message().unwrap() {
                let auth = match Request::decode(&message, Version::V5_2).unwrap() {
                    Request::Hello { .. } => None,
                    Request::Logon(auth) => Some(auth),
                    other => panic!("{other:?} before the user was told of its refusal"),
                };
                let mut answer = Response::Success(Map::new());
                if let Some(auth) = auth {
                    let code = "Memgraph.ClientError.Security.Unauthenticated".to_owned();
                    if auth.credentials.as_deref() != Some("hunter2") {
                        answer = Response::Failure {
                            code,
                            message: "Authentication failure".into(),
                            status: Status::DENIED,
                            position: None,
                        };
                    }
                    told.push((auth.principal, auth.credentials));
                }
                let mut line = Vec::new();
                answer.write(&mut line, Version::V5_2).unwrap();
                stream.write_all(&line).await.unwrap();
            }
            if !told.is_empty() || stream.read_buf(input.input()).await.unwrap() == 0 {
                return told;
            }
        }
    }

    #[tokio::test]
    async fn nodes_are_told_who_asks() {
        let second = Duration::from_secs(1);
        for (password, is_right) in [("hunter2", true), ("hunter3", false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let bolt = listener.local_addr().unwrap();
            let server = tokio::spawn(guarded(listener));
            let nodes = BoltNodes::new(second, Some(("admin".to_owned(), Secret::new(password))));
            let target = Target { instance: "main".into(), bolt: bolt.into() };
            match nodes.within(second).connect(&target, second).await {
                Ok(_) => assert!(is_right),
                Err(NodeError::Refused { code, .. }) => {
                    assert!(!is_right && code.ends_with("Unauthenticated"), "{code}");
                }
                Err(error) => panic!("{error}"),
            }
            assert_eq!(server.await.unwrap(), [(Some("admin".to_owned()), Some(password.to_owned()))]);
        }
    }
}
