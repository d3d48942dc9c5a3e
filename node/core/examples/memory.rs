//! Bytes per element of a graph like pokec's medium one, made here: 100,000 vertices with four
//! properties and 1,768,515 edges without any, loaded through transactions and `apply`.
//!
//! `cargo run --release -p mgnode-core --example memory`

use bytes::Bytes;
use mgnode_core::storage::{Graph, InFlight, Transaction};
use mgnode_core::types::{IndexSpec, Lsn, Names, OneByOne, Value, VertexId};
use std::sync::Arc;
use std::time::Instant;

const VERTICES: u64 = 100_000;
const EDGES: u64 = 1_768_515;

/// Resident bytes of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// SplitMix64: the same graph each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Few vertices have many edges, as in a social graph.
    fn vertex(&mut self) -> VertexId {
        let unit = (self.roll() >> 11) as f64 / (1u64 << 53) as f64;
        VertexId((unit * unit * VERTICES as f64) as u64)
    }
}

struct Loader {
    graph: Arc<Graph>,
    last: Lsn,
    payload: u64,
}

impl Loader {
    fn commit(&mut self, transaction: Transaction) {
        let mut commit = transaction.finish().expect("no constraints").expect("something was written");
        let mut in_flight = InFlight::default();
        self.graph.conflicts(&commit, &in_flight).expect("one writer");
        self.last = self.last.next();
        in_flight.add(self.last, &mut commit);
        self.payload += commit.payload.len() as u64;
        self.graph.apply(self.last, &commit.changes).expect("changes of a commit fit");
        self.graph.publish(self.last, self.graph.clock().take());
    }
}

fn main() {
    let names = Arc::new(Names::default());
    let user = names.label("User");
    let friend = names.edge_type("Friend").expect("the first one");
    let keys = ["id", "completion_percentage", "gender", "age"].map(|key| names.key(key));
    let graph = Arc::new(Graph::new(names));
    let mut loader = Loader { graph: graph.clone(), last: Lsn::ZERO, payload: 0 };
    let mut dice = Dice(1);
    let before = resident();
    let start = Instant::now();

    let mut left = VERTICES;
    while left > 0 {
        let mut t = graph.begin(true);
        for _ in 0..left.min(1000) {
            let roll = dice.roll();
            let values = [
                Value::Int((VERTICES - left + 1) as i64),
                Value::Int((roll % 100) as i64),
                Value::string(if roll & 128 == 0 { "man" } else { "woman" }),
                Value::Int((roll >> 8) as i64 % 60),
            ];
            t.create_vertex(&[user], keys.into_iter().zip(values).collect()).expect("ids are left");
            left -= 1;
        }
        loader.commit(t);
    }
    let mut left = EDGES;
    while left > 0 {
        let mut t = graph.begin(true);
        for _ in 0..left.min(1000) {
            t.create_edge(dice.vertex(), dice.vertex(), friend, Vec::new()).expect("both ends exist");
            left -= 1;
        }
        loader.commit(t);
    }
    let loaded = start.elapsed();
    while graph.collect_garbage().more {}
    let elements = VERTICES + EDGES;
    let per_element = |bytes: u64| bytes as f64 / elements as f64;
    let after = resident();
    let memory = graph.memory();
    println!("{elements} elements in {loaded:?}; payloads {} bytes", loader.payload);
    println!("resident:  {:.1} bytes per element", per_element(after - before));
    println!("own count: {:.1} bytes per element", per_element(memory.graph_bytes()));
    println!("{memory:?}");

    let start = Instant::now();
    let digest = graph.digest(&graph.view());
    println!("digest {digest:016x} in {:?}", start.elapsed());
    let start = Instant::now();
    let copy = Arc::new(Graph::new(graph.names().clone()));
    let mut view = graph.view();
    let blocks: Vec<Bytes> =
        std::iter::from_fn(|| view.next_block()).map(|block| graph.encode(&block).into()).collect();
    let read = |i: usize| Ok::<_, ()>(blocks[i].clone());
    copy.load(blocks.len(), &read, &OneByOne).expect("blocks of a view fit");
    copy.publish(view.lsn(), 0);
    println!("copied by blocks in {:?}; equal: {}", start.elapsed(), copy.digest(&copy.view()) == digest);
    drop((copy, view));

    let start = Instant::now();
    let mut t = graph.begin(true);
    t.create_index(IndexSpec::LabelProperties(user, vec![keys[0]])).expect("it is new");
    loader.commit(t);
    println!("index on id in {:?}: {} bytes", start.elapsed(), graph.memory().indexes);

    let start = Instant::now();
    let reader = graph.begin(false);
    let mut steps = Vec::new();
    let mut sum = 0;
    for id in 0..VERTICES {
        steps.clear();
        reader.expand(VertexId(id), mgnode_core::storage::Direction::Outgoing, None, &mut steps);
        sum += steps.len() as u64;
    }
    println!("expanded {sum} edges in {:?}", start.elapsed());
}
