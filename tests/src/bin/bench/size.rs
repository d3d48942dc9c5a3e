//! What a large graph costs: memory of an element, and a point read by index beside that in a small one.
//!
//! Both nodes run at the same time and are asked by turns. The memory is what the system says that the process holds,
//! less what it held empty, once the allocator has given back what it gives back.

use crate::Samples;
use crate::query::bolt::Connection;
use crate::query::graph::{FRIENDSHIPS_MEDIUM, Graph, PEOPLE_MEDIUM, upto};
use crate::query::{load_friendships, load_people};
use mg_tests::dice::Dice;
use mg_tests::node::Node;
use mgbolt::PackValue;
use std::error::Error;
use std::time::{Duration, Instant};

/// People and friendships of the small graph: 20,000 elements.
const SMALL: (i64, usize) = (1_000, 19_000);
/// Those of the large one: 2,000,000 elements. Its first friendships are those of the medium graph.
const LARGE: (i64, usize) = (PEOPLE_MEDIUM, 1_900_000);
const BLOCK: Duration = Duration::from_secs(1);
/// The allocator has given back what it does not use after some thirty seconds.
const PATIENCE: Duration = Duration::from_secs(45);
const QUERY: &str = "MATCH (n:User {id: $a}) RETURN n";
const BYTES_BAR: f64 = 80.0;
const RATIO_BAR: f64 = 1.15;

pub(crate) fn run(rounds: usize) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let nodes = ["small", "large"].map(|name| Node::start(dir.path(), name, &["--durability=os"]));
    let mut clients = Vec::new();
    for node in &nodes {
        let mut client = Connection::open(&node.bolt().to_string())?;
        client.query("CREATE INDEX ON :User(id)", Vec::new())?;
        clients.push(client);
    }
    let [small, large] = [SMALL, LARGE].map(|(people, friendships)| Graph::made(people, friendships));
    load_people(&mut clients[0], &small.people)?;
    load_friendships(&mut clients[0], &small.friendships)?;

    let pid = nodes[1].pid();
    let empty = resident(pid)?;
    load_people(&mut clients[1], &large.people)?;
    load_friendships(&mut clients[1], &large.friendships[..FRIENDSHIPS_MEDIUM])?;
    std::thread::sleep(PATIENCE);
    let elements = large.people.len() + FRIENDSHIPS_MEDIUM;
    let each = (resident(pid)? - empty) as f64 / elements as f64;
    load_friendships(&mut clients[1], &large.friendships[FRIENDSHIPS_MEDIUM..])?;

    let mut samples = [Samples::default(), Samples::default()];
    let people = [SMALL.0, LARGE.0];
    for round in 0..rounds {
        for (i, client) in clients.iter_mut().enumerate() {
            samples[i].add_round(block(client, people[i], round as u64)?);
        }
    }
    let pairs = samples[1].medians.iter().zip(&samples[0].medians);
    let mut ratios: Vec<f64> =
        pairs.map(|(large, small)| large.as_secs_f64() / small.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ratios.len() / 2];
    let sign = |holds: bool| if holds { "✓" } else { "✗" };
    let us = |samples: &Samples| format!("{:.1}", samples.p50().as_secs_f64() * 1e6);
    println!("| what | measured | rounds between | wanted |\n|---|---|---|---|");
    println!(
        "| memory of an element, {elements} of them | {each:.1} bytes | | at most {BYTES_BAR:.0} {} |",
        sign(each <= BYTES_BAR)
    );
    println!(
        "| p50 of a point read, 2,000,000 elements by 20,000 ({} by {} µs) | {ratio:.2} | {:.2} and {:.2} | at most {RATIO_BAR} {} |",
        us(&samples[1]),
        us(&samples[0]),
        ratios[0],
        ratios[ratios.len() - 1],
        sign(ratio <= RATIO_BAR)
    );
    Ok(())
}

/// Reads people for a while; returns how long each answer took.
fn block(client: &mut Connection, people: i64, seed: u64) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut dice = Dice::new(Some(seed));
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < BLOCK {
        let id = upto(&mut dice, people);
        let asked = Instant::now();
        client.query(QUERY, vec![("a", PackValue::Int(id))])?;
        times.push(asked.elapsed());
    }
    Ok(times)
}

/// Bytes of a process in memory.
fn resident(pid: u32) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("the system tells no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}
