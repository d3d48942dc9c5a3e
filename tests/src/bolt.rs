//! Questions to a node, for tests that are not asynchronous themselves.

use crate::wait;
use mgbolt::{Map, PackValue};
use mgctl::query::{Client, QueryError, QueryResult, Summary};
use std::time::Duration;

/// Longest wait for any answer; only there so that a broken node fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(30);

/// A connection to one node, with a runtime of its own.
pub struct Bolt {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Bolt {
    /// Connects to `host:port`.
    pub fn connect(address: &str) -> Result<Bolt, QueryError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let client = runtime.block_on(Client::connect(address, LIMIT, None))?;
        Ok(Bolt { runtime, client })
    }

    /// Runs a query on its own and returns everything.
    pub fn run(&mut self, query: &str) -> Result<QueryResult, QueryError> {
        self.runtime.block_on(self.client.run(query, Map::new()))
    }

    /// Runs a query with parameters.
    pub fn run_with(&mut self, query: &str, parameters: Map) -> Result<QueryResult, QueryError> {
        self.runtime.block_on(self.client.run(query, parameters))
    }

    /// Runs a query on a state that includes what these bookmarks name.
    pub fn run_after(&mut self, query: &str, bookmarks: &[&str]) -> Result<QueryResult, QueryError> {
        let bookmarks = bookmarks.iter().map(|b| (*b).to_owned()).collect();
        self.runtime.block_on(self.client.run_after(query, Map::new(), bookmarks))
    }

    /// Runs queries in one transaction.
    pub fn transaction(&mut self, queries: &[&str]) -> Result<Summary, QueryError> {
        self.runtime.block_on(async {
            self.client.begin().await?;
            for query in queries {
                self.client.run(query, Map::new()).await?;
            }
            self.client.commit().await
        })
    }

    /// Begins a transaction, to which the following queries belong.
    pub fn begin(&mut self) -> Result<(), QueryError> {
        self.runtime.block_on(self.client.begin()).map(drop)
    }

    /// Commits the transaction that was begun.
    pub fn commit(&mut self) -> Result<Summary, QueryError> {
        self.runtime.block_on(self.client.commit())
    }

    /// Takes the transaction back.
    pub fn rollback(&mut self) -> Result<(), QueryError> {
        self.runtime.block_on(self.client.rollback())
    }

    /// Ends whatever is under way on this connection.
    pub fn reset(&mut self) -> Result<(), QueryError> {
        self.runtime.block_on(self.client.reset())
    }

    /// Runs a query that gives one value.
    pub fn value(&mut self, query: &str) -> PackValue {
        let result = self.run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
        match <[Vec<PackValue>; 1]>::try_from(result.rows) {
            Ok([row]) if row.len() == 1 => row.into_iter().next().expect("one value"),
            other => panic!("{query}: one value was wanted, not {other:?}"),
        }
    }

    /// Returns the server's refusal of a query that must be refused.
    pub fn refusal(&mut self, query: &str) -> (String, String) {
        match self.run(query) {
            Err(QueryError::Server { code, message, .. }) => (code, message),
            other => {
                panic!("{}: a refusal was wanted, not {other:?}", query.chars().take(80).collect::<String>())
            }
        }
    }
}

/// What `SHOW REPLICATION STATE` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub role: String,
    /// Of its own reign, or of its last record.
    pub epoch: String,
    pub promised: String,
    pub promised_by: String,
    pub durable: i64,
    pub applied: i64,
    pub chain: String,
    /// `epoch:first LSN`, rising.
    pub history: Vec<String>,
    pub confirmed: bool,
    pub node: String,
}

impl State {
    /// What a log must not lack to be the better one: the number of its last epoch, then its length.
    pub fn order(&self) -> (u64, i64) {
        let number = self.history.last().map_or(0, |start| number_of(start));
        (number, self.durable)
    }

    /// The number of the epoch that is promised.
    pub fn promised_number(&self) -> u64 {
        number_of(&self.promised)
    }
}

fn number_of(epoch: &str) -> u64 {
    let number = epoch.split('.').next().and_then(|n| n.parse().ok());
    number.unwrap_or_else(|| panic!("an epoch begins with a number: {epoch}"))
}

/// Asks a node for its place in the log.
pub fn state(bolt: &mut Bolt) -> Result<State, QueryError> {
    let result = bolt.run("SHOW REPLICATION STATE;")?;
    let cell = |name: &str| {
        let column = result.fields.iter().position(|f| f == name);
        result.rows[0][column.unwrap_or_else(|| panic!("no column {name}: {:?}", result.fields))].clone()
    };
    let text = |name: &str| match cell(name) {
        PackValue::String(text) => text,
        other => panic!("{name} is a text, not {other:?}"),
    };
    let number = |name: &str| match cell(name) {
        PackValue::Int(number) => number,
        other => panic!("{name} is a number, not {other:?}"),
    };
    let PackValue::List(history) = cell("history") else { panic!("history is a list") };
    let start = |v: &PackValue| match v {
        PackValue::String(s) => s.clone(),
        other => panic!("history holds texts, not {other:?}"),
    };
    Ok(State {
        role: text("role"),
        epoch: text("epoch"),
        promised: text("promised"),
        promised_by: text("promised_by"),
        durable: number("durable_lsn"),
        applied: number("applied_lsn"),
        chain: text("chain"),
        history: history.iter().map(start).collect(),
        confirmed: cell("confirmed") == PackValue::Bool(true),
        node: text("node_id"),
    })
}

/// One row of `SHOW REPLICAS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    pub name: String,
    pub address: String,
    pub mode: String,
    pub status: String,
    pub behind: i64,
}

/// Asks a MAIN for its replicas.
pub fn replicas(bolt: &mut Bolt) -> Result<Vec<Replica>, QueryError> {
    let result = bolt.run("SHOW REPLICAS;")?;
    assert_eq!(result.fields, ["name", "socket_address", "sync_mode", "system_info", "data_info"]);
    Ok(result.rows.iter().map(|row| replica(row)).collect())
}

fn replica(row: &[PackValue]) -> Replica {
    let text = |v: &PackValue| match v {
        PackValue::String(s) => s.clone(),
        other => panic!("a text was wanted, not {other:?}"),
    };
    let entry = |v: &PackValue, key: &str| match v {
        PackValue::Map(m) => m.get(key).unwrap_or_else(|| panic!("no {key} in {v:?}")).clone(),
        other => panic!("a map was wanted, not {other:?}"),
    };
    let data = entry(&row[4], "memgraph");
    let PackValue::Int(behind) = entry(&data, "behind") else { panic!("behind is a number: {data:?}") };
    assert!(matches!(entry(&data, "ts"), PackValue::Int(_)), "ts is a number: {data:?}");
    assert!(matches!(entry(&row[3], "status"), PackValue::String(_)), "system_info is a map: {row:?}");
    Replica {
        name: text(&row[0]),
        address: text(&row[1]),
        mode: text(&row[2]),
        status: text(&entry(&data, "status")),
        behind,
    }
}

/// Registers a replica at `host:port`. One whose answer is late, since its machine is busy, is asked again.
pub fn register(main: &mut Bolt, name: &str, mode: &str, address: &str) {
    let query = format!("REGISTER REPLICA {name} {mode} TO \"{address}\";");
    wait::until(&query, LIMIT, || match main.run(&query) {
        Ok(_) => Ok(()),
        Err(QueryError::Server { message, .. }) if message.contains("did not answer") => Err(message),
        Err(e) => panic!("{query}: {e}"),
    });
}

/// Says why not, until every replica of this MAIN is ready and 0 behind.
pub fn all_ready(address: &str, count: usize) -> Result<(), String> {
    let mut bolt = Bolt::connect(address).map_err(|e| e.to_string())?;
    let found = replicas(&mut bolt).map_err(|e| e.to_string())?;
    if found.len() == count && found.iter().all(|r| r.status == "ready" && r.behind == 0) {
        Ok(())
    } else {
        Err(format!("{found:?}"))
    }
}
