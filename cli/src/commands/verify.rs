//! `mgctl verify`: one digest of the whole graph per node, each at a named position.
//!
//! The digest is a sum over all vertices and edges, so it does not depend on the order in which a node
//! tells them:
//!
//! ```text
//! vertex  SHA-256("v", id, labels in order of their names, properties in order of their names)
//! edge    SHA-256("e", id, type, id of its start, id of its end, properties)
//! digest  sum of all of them modulo 2^128, of their first 128 bits
//! ```
//!
//! Ids are part of it: the same on every node of this server. A node is read while its position does not
//! move, so that the digest belongs to that position; replicas are waited for.

use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::Context;
use super::session::Session;
use crate::args::Verify;
use crate::cluster::{NodeError, Nodes, Observed, Position, Target, decode_state};
use crate::error::{CliError, Exit};
use crate::query::{Map, PackValue, QueryError, to_json};
use crate::ui::{Cell, Table, Tone, Ui};
use crate::words::count;

const VERTICES: &str = "MATCH (n) RETURN id(n), labels(n), properties(n)";
const EDGES: &str = "MATCH (a)-[r]->(b) RETURN id(r), type(r), id(a), id(b), properties(r)";

/// How long to wait for replicas where nothing is said.
const TIME_MAX: Duration = Duration::from_secs(60);

/// How often a node is read again because its graph changed meanwhile.
const READS_MAX: u32 = 5;

/// A graph in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Print {
    sum: u128,
    vertices: u64,
    edges: u64,
}

impl Print {
    fn add(&mut self, kind: &[u8], row: &[PackValue]) {
        let mut hasher = Sha256::new();
        hasher.update(kind);
        for value in row {
            let mut text = String::new();
            canonical(&mut text, &to_json(value));
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        let digest = hasher.finalize();
        let first: [u8; 16] = digest[..16].try_into().expect("a digest has 32 bytes");
        self.sum = self.sum.wrapping_add(u128::from_le_bytes(first));
    }

    fn text(&self) -> String {
        format!("{:032x}", self.sum)
    }
}

/// Writes JSON with the keys of maps in order of their names. Values come from a codec that limits how
/// deep they nest.
fn canonical(out: &mut String, value: &serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for key in keys {
                out.push_str(&serde_json::Value::String(key.clone()).to_string());
                out.push(':');
                canonical(out, &map[key]);
                out.push(',');
            }
            out.push('}');
        }
        serde_json::Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(out, item);
                out.push(',');
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

struct Read {
    target: Target,
    print: Print,
    position: Option<Position>,
}

pub(super) async fn run(context: &Context, args: &Verify) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let main = session.main(&seen)?;
    let until = Instant::now() + args.timeout.timeout.unwrap_or(TIME_MAX);
    let step = session.ui.step("verify", &main.instance);
    let first = read(&session, &main, None, until).await?;
    step.done(&first.print.text()[..12]);
    let mut reads = vec![first];
    for target in
        super::query::targets(&session, &seen, "all")?.into_iter().filter(|t| t.instance != main.instance)
    {
        let step = session.ui.step("verify", &target.instance);
        let next = read(&session, &target, reads[0].position.as_ref(), until).await?;
        step.done(&next.print.text()[..12]);
        reads.push(next);
    }
    let place = |r: &Read| r.position.as_ref().map(|p| (p.applied, p.chain.clone()));
    let at_one_place = reads.iter().all(|r| place(r) == place(&reads[0]));
    let same = reads.iter().all(|r| r.print == reads[0].print);
    let data = json!({
        "same": same,
        "nodes": reads.iter().map(|r| json!({
            "node": r.target.instance, "digest": r.print.text(), "vertices": r.print.vertices, "edges": r.print.edges,
            "position": r.position.as_ref().map(|p| p.applied), "epoch": r.position.as_ref().map(|p| &p.epoch),
        })).collect::<Vec<_>>(),
    });
    let text = |ui: &Ui| {
        let mut table = Table::new(["NODE", "VERTICES", "EDGES", "POSITION", "DIGEST"]);
        for r in &reads {
            let tone = if r.print == reads[0].print { Tone::Good } else { Tone::Bad };
            table.row([
                Cell::from(r.target.instance.clone()),
                Cell::from(r.print.vertices.to_string()),
                Cell::from(r.print.edges.to_string()),
                Cell::from(r.position.as_ref().map_or("–".to_owned(), |p| p.applied.to_string())),
                Cell::new(r.print.text(), tone),
            ]);
        }
        let verdict = match (same, at_one_place) {
            (true, _) => "All nodes hold the same graph",
            (false, true) => "The graphs differ at one position: this must not be",
            (false, false) => "The graphs differ, and so do the positions: something writes; run it again",
        };
        format!("{}\n{verdict}", table.render(ui))
    };
    session.ui.partial_result("Verify", Some(session.cluster()), same, data, &[], text);
    Ok(if same { Exit::Ok } else { Exit::Degraded })
}

/// Reads a node's graph, once it has everything up to `from` and while it does not change.
async fn read(
    session: &Session,
    target: &Target,
    from: Option<&Position>,
    until: Instant,
) -> Result<Read, CliError> {
    if let Some(from) = from {
        loop {
            let own = position(session, target).await?;
            if own.is_none_or(|p| p.applied >= from.applied) {
                break;
            }
            if Instant::now() > until {
                return Err(CliError::new(
                    Exit::TimedOut,
                    format!("`{}` does not reach position {}", target.instance, from.applied),
                )
                .code("MG071")
                .thing(format!("cluster `{}`", session.cluster()))
                .help(format!("see {}", session.command("status"))));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let mut attempts = 0;
    loop {
        attempts += 1;
        let before = position(session, target).await?;
        let print = fingerprint(session, target).await.map_err(|e| failed(session, target, &e))?;
        let after = position(session, target).await?;
        if before == after {
            return Ok(Read { target: target.clone(), print, position: after });
        }
        if attempts == READS_MAX {
            return Err(CliError::new(
                Exit::Degraded,
                format!("the graph of `{}` changes while it is read", target.instance),
            )
            .code("MG079")
            .thing(format!("cluster `{}`, {}", session.cluster(), count(attempts, "attempt")))
            .help("stop what writes, and run it again"));
        }
    }
}

async fn position(session: &Session, target: &Target) -> Result<Option<Position>, CliError> {
    match session.nodes.ask(target, "SHOW REPLICATION STATE;").await {
        Ok(rows) => Ok(decode_state(&rows)),
        // Memgraph's image does not know the query.
        Err(NodeError::Refused { .. }) => Ok(None),
        Err(error) => {
            Err(CliError::new(Exit::Degraded, format!("`{}` does not answer: {error}", target.instance))
                .code("MG068")
                .help(format!("see {}", session.command("status"))))
        }
    }
}

async fn fingerprint(session: &Session, target: &Target) -> Result<Print, QueryError> {
    let mut client = session.nodes.client(&target.bolt, Duration::from_secs(10)).await?;
    client.set_timeout(Duration::from_secs(600));
    let mut print = Print::default();
    // One transaction: both queries see one state.
    client.begin().await?;
    let mut rows = client.stream(VERTICES, Map::new()).await?;
    while let Some(mut row) = rows.next().await? {
        sort_labels(&mut row);
        print.vertices += 1;
        print.add(b"v", &row);
    }
    let mut rows = client.stream(EDGES, Map::new()).await?;
    while let Some(row) = rows.next().await? {
        print.edges += 1;
        print.add(b"e", &row);
    }
    client.rollback().await?;
    client.close().await;
    Ok(print)
}

fn sort_labels(row: &mut [PackValue]) {
    if let Some(PackValue::List(labels)) = row.get_mut(1) {
        labels.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
}

fn failed(session: &Session, target: &Target, error: &QueryError) -> CliError {
    CliError::new(Exit::Degraded, format!("the graph of `{}` cannot be read: {error}", target.instance))
        .code("MG067")
        .thing(format!("Bolt {}", target.bolt))
        .help(format!("see {}", session.logs(&target.instance)))
}

/// One query that all nodes answered alike.
pub(super) struct Proof {
    pub(super) query: &'static str,
    pub(super) rows: u64,
    pub(super) digest: String,
    pub(super) nodes: Vec<String>,
}

/// Asks every node one query and compares the answers. A large graph is only counted. None where
/// something writes all the time, so that no two answers are of one graph.
pub(super) async fn proof(session: &Session, seen: &Observed) -> Result<Option<Proof>, CliError> {
    const ELEMENTS_MAX: i64 = 50_000;
    const COUNT: &str = "MATCH (n) RETURN count(n) AS nodes";
    const ALL: &str = "MATCH (n) RETURN id(n), labels(n), properties(n)";
    let main = session.main(seen)?;
    let count = session.nodes.ask(&main, COUNT).await;
    let count = count.ok().and_then(|r| r.rows.first()?.first()?.as_i64()).unwrap_or(i64::MAX);
    let query = if count <= ELEMENTS_MAX { ALL } else { COUNT };
    let targets = super::query::targets(session, seen, "all")?;
    for _ in 0..READS_MAX {
        let before = places(session, &targets).await?;
        let result = compare(session, &targets, query).await;
        // Only answers of one graph can differ wrongly. Without positions there is but one attempt.
        let is_still = before.windows(2).all(|p| p[0] == p[1]) && before == places(session, &targets).await?;
        match result {
            Err(error) if error.exit() == Exit::Degraded && !is_still => continue,
            Err(error) => return Err(error),
            Ok(proof) => return Ok(Some(proof)),
        }
    }
    Ok(None)
}

/// Where each node's readers are, and the hash over what led there.
async fn places(session: &Session, targets: &[Target]) -> Result<Vec<Option<(u64, String)>>, CliError> {
    let mut places = Vec::new();
    for target in targets {
        places.push(position(session, target).await?.map(|p| (p.applied, p.chain)));
    }
    Ok(places)
}

async fn compare(session: &Session, targets: &[Target], query: &'static str) -> Result<Proof, CliError> {
    let asked = targets.iter().map(|target| async move {
        let mut client = session.nodes.client(&target.bolt, Duration::from_secs(10)).await?;
        let mut print = Print::default();
        let result = client.run(query, Map::new()).await?;
        for row in result.rows {
            let mut row = row;
            sort_labels(&mut row);
            print.vertices += 1;
            print.add(b"v", &row);
        }
        client.close().await;
        Ok::<_, QueryError>(print)
    });
    let answers = futures_util::future::join_all(asked).await;
    let mut prints = Vec::new();
    for (target, answer) in targets.iter().zip(answers) {
        prints.push((target, answer.map_err(|e| failed(session, target, &e))?));
    }
    let (_, first) = &prints[0];
    if let Some((other, print)) = prints.iter().find(|(_, p)| p != first) {
        return Err(CliError::new(
            Exit::Degraded,
            format!("`{}` and `{}` answer `{query}` differently", prints[0].0.instance, other.instance),
        )
        .code("MG080")
        .thing(format!(
            "cluster `{}`: {} and {}",
            session.cluster(),
            count(first.vertices, "row"),
            count(print.vertices, "row")
        ))
        .help(format!("compare them at one position: {}", session.command("verify"))));
    }
    Ok(Proof {
        query,
        rows: first.vertices,
        digest: first.text()[..12].to_owned(),
        nodes: targets.iter().map(|t| t.instance.clone()).collect(),
    })
}
