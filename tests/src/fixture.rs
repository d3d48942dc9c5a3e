//! Data directories as released formats wrote them.
//!
//! A fixture is a folder of `tests/fixtures`: `nodes.tar` with the directories of a MAIN and of a
//! REPLICA, and `answers.txt` with what the build that wrote them answered. Every later version must
//! open them and answer the same. `cargo run -p mg-tests --bin fixture -- NAME` writes one with the
//! present build, which is to be done before a format gets a new version.

use crate::bolt::Bolt;
use crate::node::Node;
use mgbolt::{Map, PackValue};
use mgctl::query::to_json;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Names of the two nodes, and of their directories in the archive.
pub const NODES: [&str; 2] = ["main", "replica"];

/// What is asked of both nodes, alone, as they come from the archive.
const QUESTIONS: &[&str] = &[
    "SHOW REPLICATION ROLE;",
    "MATCH (n) RETURN labels(n) AS labels, count(n) AS count ORDER BY labels;",
    "MATCH (v:Value) RETURN v.name, v.value ORDER BY v.name;",
    "MATCH (p:Person) RETURN p.id, p.name, p.note, labels(p) ORDER BY p.id;",
    "MATCH (a:Person)-[k:KNOWS]->(b:Person) RETURN a.id, b.id, k.since ORDER BY a.id, b.id;",
    "MATCH (p:Person) WHERE p.id >= 5 AND p.id < 9 RETURN p.id ORDER BY p.id;",
    "MATCH (b:Blob) RETURN b.id, size(b.zeroes) ORDER BY b.id;",
    "SHOW INDEX INFO;",
    "SHOW CONSTRAINT INFO;",
];

/// Columns of `SHOW REPLICATION STATE` that a start leaves as they are.
const STATE: &[&str] = &["role", "promised_by", "durable_lsn", "applied_lsn", "chain", "history", "node_id"];

/// Returns what a node answers, as text to be compared.
pub fn answers(bolt: &mut Bolt) -> String {
    let mut out = String::new();
    let mut ask = |query: &str, only: Option<&[&str]>| {
        let result = bolt.run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
        out.push_str(&format!("{query}\n"));
        for row in &result.rows {
            let cells =
                result.fields.iter().zip(row).filter(|(f, _)| only.is_none_or(|o| o.contains(&f.as_str())));
            let cells: Vec<String> = cells.map(|(_, v)| to_json(v).to_string()).collect();
            out.push_str(&format!("  {}\n", cells.join(" ")));
        }
    };
    ask("SHOW REPLICATION STATE;", Some(STATE));
    for query in QUESTIONS {
        ask(query, None);
    }
    out
}

/// Returns names, addresses and modes of the replicas a MAIN has written down.
pub fn registrations(bolt: &mut Bolt) -> String {
    let replicas = crate::bolt::replicas(bolt).expect("a MAIN shows them");
    replicas.iter().map(|r| format!("{} {} {}\n", r.name, r.mode, r.address)).collect()
}

fn run(bolt: &mut Bolt, query: &str) {
    bolt.run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
}

/// Makes the two directories below `dir`, and returns the answers of both.
pub fn write(dir: &Path) -> String {
    let flags = ["--storage-wal-file-size-kib=64", "--storage-snapshot-interval-sec=0"];
    let mut nodes = NODES.map(|name| Node::start(dir, name, &flags));
    // The one that ends as REPLICA begins as MAIN, so that both histories have two epochs.
    let [second, first] = nodes.each_ref().map(|n| Bolt::connect(&n.bolt().to_string()).expect("it answers"));
    let (mut second, mut first) = (second, first);
    run(&mut second, "SET REPLICATION ROLE TO REPLICA WITH PORT 10000;");
    run(&mut first, &format!("REGISTER REPLICA second SYNC TO \"{}\";", nodes[0].replication()));

    run(&mut first, "CREATE INDEX ON :Person;");
    run(&mut first, "CREATE INDEX ON :Person(id);");
    run(&mut first, "CREATE CONSTRAINT ON (p:Person) ASSERT p.id IS UNIQUE;");
    run(&mut first, "CREATE CONSTRAINT ON (p:Person) ASSERT EXISTS (p.name);");
    for query in [
        "UNWIND range(1, 20) AS i CREATE (:Person {id: i, name: 'P' + toString(i)});",
        "MATCH (a:Person), (b:Person) WHERE b.id = a.id + 1 CREATE (a)-[:KNOWS {since: 2000 + a.id}]->(b);",
        "MATCH (p:Person) WHERE p.id % 5 = 0 SET p:Admin, p.note = 'fifth';",
    ] {
        run(&mut first, query);
    }
    let values = [
        ("bool", "true"),
        ("int", "-9223372036854775807"),
        ("float", "1.5e-9"),
        ("text", "'Grüße, 世界'"),
        ("list", "[1, 'two', [3.0, null]]"),
        ("map", "{a: 1, b: {c: 'd'}}"),
        ("date", "date('2024-02-29')"),
        ("localtime", "localtime('12:34:56.789')"),
        ("localdatetime", "localdatetime('2024-02-29T12:34:56.789')"),
        ("duration", "duration('P1DT2H3M4.5S')"),
        ("datetime", "datetime('2024-02-29T12:34:56+01:00')"),
        ("point", "point({x: 1, y: 2, z: 3})"),
    ];
    for (name, value) in values {
        run(&mut first, &format!("CREATE (:Value {{name: '{name}', value: {value}}});"));
    }
    run(&mut first, "CREATE SNAPSHOT;");
    run(&mut second, "CREATE SNAPSHOT;");

    // Large enough to leave the first segment; zeroes, so that the archive stays small.
    for id in 1..=4i64 {
        let parameters = Map::new().with("id", id).with("zeroes", "\0".repeat(400_000));
        first.run_with("CREATE (:Blob {id: $id, zeroes: $zeroes});", parameters).expect("it is written");
    }
    run(&mut first, "MATCH (p:Person {id: 20}) DETACH DELETE p;");
    run(&mut first, "MATCH (:Person {id: 2})-[k:KNOWS]->() DELETE k;");
    run(&mut first, "MATCH (p:Person {id: 10}) REMOVE p:Admin, p.note;");

    run(&mut first, "SET REPLICATION ROLE TO REPLICA WITH PORT 10000;");
    for bolt in [&mut first, &mut second] {
        run(bolt, "FENCE REPLICATION EPOCH 7 BY \"the fixture\";");
    }
    run(&mut second, "SET REPLICATION ROLE TO MAIN WITH EPOCH 7;");
    run(&mut second, &format!("REGISTER REPLICA first STRICT_SYNC TO \"{}\";", nodes[1].replication()));
    run(&mut second, "CREATE (:Person {id: 100, name: 'after the move'});");
    run(&mut second, "MATCH (p:Person {id: 100}) SET p.note = 'last';");

    let mut out = String::new();
    for (name, bolt) in NODES.iter().zip([&mut second, &mut first]) {
        let role = bolt.value("SHOW REPLICATION ROLE;");
        assert_eq!(role, PackValue::from(*name), "the archive has them by their roles");
        out.push_str(&format!("# {name}\n"));
        if *name == "main" {
            out.push_str(&registrations(bolt));
        }
        out.push_str(&answers(bolt));
    }
    for node in &mut nodes {
        node.stop();
    }
    out
}

/// Puts directories into an archive; zeroes in their files take no room there.
pub fn pack(dirs: &[(&str, &Path)], archive: &Path) -> io::Result<()> {
    let copies = tempfile::tempdir()?;
    let mut tar = tar::Builder::new(File::create(archive)?);
    tar.mode(tar::HeaderMode::Deterministic);
    for (name, dir) in dirs {
        let copy = copies.path().join(name);
        copy_sparse(dir, &copy)?;
        tar.append_dir_all(name, &copy)?;
    }
    tar.finish()
}

/// Puts the directories of an archive below `dir`.
pub fn unpack(archive: &Path, dir: &Path) -> io::Result<()> {
    tar::Archive::new(File::open(archive)?).unpack(dir)
}

fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_sparse(&entry.path(), &to)?;
            continue;
        }
        let (mut source, mut copy) = (File::open(entry.path())?, File::create(to)?);
        let mut block = Vec::with_capacity(4096);
        while Read::by_ref(&mut source).take(4096).read_to_end(&mut block)? > 0 {
            if block.iter().all(|b| *b == 0) {
                copy.seek(SeekFrom::Current(i64::try_from(block.len()).expect("a block is small")))?;
            } else {
                copy.write_all(&block)?;
            }
            block.clear();
        }
        copy.set_len(source.stream_position()?)?;
    }
    Ok(())
}
