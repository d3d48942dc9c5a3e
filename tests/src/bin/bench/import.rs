//! Files into a node: `LOAD CSV`, and `mgctl import`, a graph of the size of mgbench's `pokec medium`.
//!
//! The log is on and synced before each commit's answer (`--durability=commit`). What is counted is vertices and edges,
//! from the first statement to the answer of the last one; mgctl's own start and its first reading of the files included.

use crate::query::bolt::Connection;
use crate::query::graph::{FRIENDSHIPS_MEDIUM, Graph, PEOPLE_MEDIUM};
use mg_tests::mgctl::{User, Where};
use mg_tests::node::Node;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

const BAR: f64 = 300_000.0;
const NAME: &str = "bench-import";
const PORT_BASE: usize = 27797;
const FILE: &str = "import.yaml";

/// What a user of Memgraph or Neo4j writes; the transactions are of a usual size.
const QUERIES: &[&str] = &[
    "CREATE INDEX ON :User(id)",
    "USING PERIODIC COMMIT 20000 LOAD CSV FROM 'people.csv' WITH HEADER AS r CREATE (:User {id: toInteger(r.id), \
     age: toInteger(r.age), completion_percentage: toInteger(r.completion), gender: r.gender})",
    "USING PERIODIC COMMIT 20000 LOAD CSV FROM 'friendships.csv' WITH HEADER AS r MATCH (a:User {id: toInteger(r.a)}), \
     (b:User {id: toInteger(r.b)}) CREATE (a)-[:Friend]->(b)",
];

pub(crate) fn run(rounds: usize) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let graph = Graph::made(PEOPLE_MEDIUM, FRIENDSHIPS_MEDIUM);
    write_files(dir.path(), &graph)?;
    let (mut by_load, mut by_import) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        by_load.push(graph.elements() as f64 / load_csv(dir.path())?);
        by_import.push(graph.elements() as f64 / import(dir.path()));
    }
    println!("| elements a second, {} of them | node | by round | wanted |", graph.elements());
    println!("|---|---|---|---|");
    for (name, rates) in [("LOAD CSV", by_load), ("mgctl import", by_import)] {
        let by_round = rates.iter().map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(" ");
        let mut sorted = rates;
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        let sign = if median >= BAR { "✓" } else { "✗" };
        println!("| {name} | {median:.0} | {by_round} | at least {BAR:.0} {sign} |");
    }
    Ok(())
}

/// The graph as files for both: columns as `LOAD CSV` reads them here, and as mgctl's importer does.
fn write_files(dir: &Path, graph: &Graph) -> Result<(), Box<dyn Error>> {
    let people = [
        ("people.csv", "id,age,completion,gender"),
        ("User.csv", "id:ID,age:int,completion:int,gender,:LABEL"),
    ];
    for (name, header) in people {
        let mut file = BufWriter::new(File::create(dir.join(name))?);
        writeln!(file, "{header}")?;
        let label = if name == "User.csv" { ",User" } else { "" };
        for p in &graph.people {
            writeln!(file, "{},{},{},{}{label}", p.id, p.age, p.completion, p.gender)?;
        }
        file.flush()?;
    }
    for (name, header, edge_type) in
        [("friendships.csv", "a,b", ""), ("Friend.csv", ":START_ID,:END_ID,:TYPE", ",Friend")]
    {
        let mut file = BufWriter::new(File::create(dir.join(name))?);
        writeln!(file, "{header}")?;
        for (a, b) in &graph.friendships {
            writeln!(file, "{a},{b}{edge_type}")?;
        }
        file.flush()?;
    }
    Ok(())
}

/// Returns how many seconds it took.
fn load_csv(files: &Path) -> Result<f64, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let flag = format!("--import-directory={}", files.display());
    let node = Node::start(dir.path(), "node", &[&flag]);
    let mut connection = Connection::open(&node.bolt().to_string())?;
    let begun = Instant::now();
    for query in QUERIES {
        connection.query(query, Vec::new())?;
    }
    Ok(begun.elapsed().as_secs_f64())
}

fn import(files: &Path) -> f64 {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let user = User::new(dir.path(), Where::Process);
    user.file(
        FILE,
        &format!("name: {NAME}\nports: {{ bolt_base: {PORT_BASE} }}\ninstances:\n  n0: {{ role: main }}\n"),
    );
    user.ok(&["up", FILE]);
    let paths = ["User.csv", "Friend.csv"].map(|name| files.join(name).display().to_string());
    let begun = Instant::now();
    user.ok(&["-f", FILE, "import", &paths[0], &paths[1]]);
    let took = begun.elapsed().as_secs_f64();
    user.ok(&["-f", FILE, "down", "--volumes", "--yes"]);
    took
}
