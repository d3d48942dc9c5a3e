//! A node's start from its files, beside reading and summing the same bytes.
//!
//! A graph like pokec's medium one (100,000 vertices with four properties, 1.9 million edges) from its
//! snapshot, and a log of 500,000 small transactions without one. The floor reads the files in pieces of
//! 1 MiB and takes their CRC-32, on one thread. Files are in the page cache for both.
//!
//! Beside each time stands the time that processors spent on it: it says the same on a busy machine.

use crate::Samples;
use crate::processor::Watch;
use mg_tests::made;
use mgnode::disk::{self, Directory};
use mgnode_core::durability::OnDamage;
use mgnode_core::types::NodeState;
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

const VERTICES: u64 = 100_000;
const EDGES: u64 = 1_900_000;
const RECORDS: u64 = 500_000;

pub(crate) fn run(rounds: usize) -> Result<(), Box<dyn Error>> {
    let root = tempfile::tempdir()?;
    let (with_snapshot, with_log) = (root.path().join("snapshot"), root.path().join("log"));
    let bytes = made::snapshot(&with_snapshot, 1, VERTICES, EDGES)?;
    let log_bytes = made::log(&with_log, 1, RECORDS)?;
    let mut rows = [
        Row::new("floor: the snapshot read and summed"),
        Row::new("recovery from the snapshot"),
        Row::new("floor: the log read and summed"),
        Row::new("recovery from the log"),
    ];
    for _ in 0..rounds {
        rows[0].add(sum(&with_snapshot.join("snapshots"))?);
        rows[1].add(recover(&with_snapshot, VERTICES + EDGES)?);
        rows[2].add(sum(&with_log.join("wal"))?);
        rows[3].add(recover(&with_log, RECORDS)?);
    }
    println!(
        "snapshot of {} elements: {} bytes; log of {RECORDS} commits: {} bytes\n",
        VERTICES + EDGES,
        bytes,
        log_bytes
    );
    println!("| | p50 ms | processors ms | p50 by round |");
    println!("|---|---|---|---|");
    rows.iter().for_each(|row| println!("{}", row.text()));
    let per_record = rows[3].processors.p50().as_secs_f64() * 1e6 / RECORDS as f64;
    let per_element = rows[1].processors.p50().as_secs_f64() * 1e6 / (VERTICES + EDGES) as f64;
    println!("\nsnapshot: {per_element:.2} µs of a processor an element; log: {per_record:.2} µs a commit");
    Ok(())
}

struct Row {
    name: &'static str,
    wall: Samples,
    processors: Samples,
}

impl Row {
    fn new(name: &'static str) -> Row {
        Row { name, wall: Samples::default(), processors: Samples::default() }
    }

    fn add(&mut self, (wall, processors): (Duration, Duration)) {
        self.wall.add_round(vec![wall]);
        self.processors.add_round(vec![processors]);
    }

    fn text(&self) -> String {
        let ms = |d: Duration| format!("{:.0}", d.as_secs_f64() * 1e3);
        let rounds: Vec<String> = self.wall.medians.iter().map(|d| ms(*d)).collect();
        format!(
            "| {} | {} | {} | {} |",
            self.name,
            ms(self.wall.p50()),
            ms(self.processors.p50()),
            rounds.join(" ")
        )
    }
}

fn sum(folder: &Path) -> Result<(Duration, Duration), Box<dyn Error>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    let watch = Watch::start()?;
    let mut crc = crc32fast::Hasher::new();
    let mut piece = vec![0; 1 << 20];
    for path in files {
        let mut file = File::open(path)?;
        loop {
            let length = file.read(&mut piece)?;
            if length == 0 {
                break;
            }
            crc.update(&piece[..length]);
        }
    }
    std::hint::black_box(crc.finalize());
    watch.stop()
}

fn recover(data: &Path, elements: u64) -> Result<(Duration, Duration), Box<dyn Error>> {
    let watch = Watch::start()?;
    let directory = Directory::open(data, Duration::ZERO)?;
    let fresh = || -> NodeState { unreachable!("the directory holds a node") };
    let opened = disk::open(directory, OnDamage::Refuse, std::sync::Arc::default(), fresh)?;
    let times = watch.stop()?;
    let counts = opened.recovered.graph.counts();
    if counts.vertices + counts.edges != elements {
        return Err(format!("{counts:?} is not what was written").into());
    }
    Ok(times)
}
