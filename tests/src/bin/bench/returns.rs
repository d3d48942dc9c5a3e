//! What commits feel of a replica that comes back after a long absence.
//!
//! One client commits to a MAIN with a SYNC replica that is well. Then another replica, which lacks
//! everything, registers as ASYNC and catches up: from the log, or by a snapshot and the log after it. Each
//! figure stands beside the same cluster at rest, just before and just after. All three nodes share one
//! machine. So that what the second replica's own work takes from the others, as it would not between
//! machines, stays out of the figures, it runs only where a processor has nothing else to do, and has its files
//! in memory where the system has a file system for that.

use crate::Samples;
use crate::load;
use mg_tests::bolt::{Bolt, state};
use mg_tests::node::Node;
use mg_tests::{made, wait};
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const RECORDS: u64 = 3_000_000;
const VERTICES: u64 = 400_000;
const EDGES: u64 = 7_600_000;
/// Commits of one block at rest.
const AT_REST: usize = 1500;
const LIMIT: Duration = Duration::from_secs(600);
/// Where Linux keeps a file system in memory.
const MEMORY: &str = "/dev/shm";

/// How the replica comes to what it lacks.
#[derive(Clone, Copy)]
enum Way {
    Log,
    Snapshot,
}

/// What one way gave, over all rounds.
#[derive(Default)]
struct Figures {
    at_rest: Samples,
    meanwhile: Samples,
    lasted: Samples,
    /// By round, `meanwhile` by `at_rest`.
    p50_ratios: Vec<f64>,
    p99_ratios: Vec<f64>,
}

pub(crate) fn run(rounds: usize) -> Result<(), Box<dyn Error>> {
    let ways = [(Way::Log, "by log"), (Way::Snapshot, "by snapshot")];
    let mut all = [Figures::default(), Figures::default()];
    for _ in 0..rounds {
        for (figures, (way, _)) in all.iter_mut().zip(ways) {
            figures.measure(way)?;
        }
    }
    let disk = if Path::new(MEMORY).is_dir() { "has its files in memory" } else { "shares the others' disk" };
    println!("the replica that catches up {disk}");
    println!("| one commit, SYNC, 1 client | p50 µs | p99 µs | p50 by round | it took |");
    println!("|---|---|---|---|---|");
    for (figures, (_, name)) in all.iter().zip(ways) {
        let took = format!("{:.1} s", figures.lasted.p50().as_secs_f64());
        println!("{}", figures.at_rest.row(&format!("before and after another caught up {name}"), ""));
        println!("{}", figures.meanwhile.row(&format!("while another catches up {name}"), &took));
    }
    println!("\n| meanwhile, by before and after | p50 | rounds between | p99 | rounds between |");
    println!("|---|---|---|---|---|");
    for (figures, (_, name)) in all.iter().zip(ways) {
        println!("| {name} | {} | {} |", spread(&figures.p50_ratios), spread(&figures.p99_ratios));
    }
    Ok(())
}

impl Figures {
    fn measure(&mut self, way: Way) -> Result<(), Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let data = dir.path().join("main/data");
        // What it returns is how large that became.
        let _ = match way {
            Way::Log => made::log(&data, 1, RECORDS)?,
            Way::Snapshot => made::snapshot(&data, 1, VERTICES, EDGES)?,
        };
        let main = Node::start(dir.path(), "main", &[]);
        let near = replica(dir.path(), "near")?;
        let own_disk = Path::new(MEMORY).is_dir().then(|| tempfile::tempdir_in(MEMORY)).transpose()?;
        let late = replica(own_disk.as_ref().unwrap_or(&dir).path(), "late")?;
        give_way(&late)?;
        register(&main, &near, "SYNC")?;
        let mut next = 0;
        // Plans are made and pages are there before anything is timed.
        load::commits(main.bolt(), 1, AT_REST, &mut next)?;
        let mut at_rest = load::commits(main.bolt(), 1, AT_REST, &mut next)?.times;

        let has_caught_up = AtomicBool::new(false);
        let (mut meanwhile, lasted) = std::thread::scope(|scope| -> Result<_, Box<dyn Error>> {
            let catching_up = scope.spawn(|| {
                let begun = Instant::now();
                let registered = register(&main, &late, "ASYNC").map_err(|e| e.to_string());
                has_caught_up.store(true, Ordering::Release);
                registered.map(|()| begun.elapsed())
            });
            let times = load::commits_until(main.bolt(), &mut next, &has_caught_up)?;
            let lasted = catching_up.join().map_err(|_| "the thread that registers panicked")??;
            Ok((times, lasted))
        })?;
        at_rest.extend(load::commits(main.bolt(), 1, AT_REST, &mut next)?.times);

        at_rest.sort_unstable();
        meanwhile.sort_unstable();
        let ratio = |percent: usize| at(&meanwhile, percent) / at(&at_rest, percent);
        self.p50_ratios.push(ratio(50));
        self.p99_ratios.push(ratio(99));
        self.at_rest.add_round(at_rest);
        self.meanwhile.add_round(meanwhile);
        self.lasted.add_round(vec![lasted]);
        Ok(())
    }
}

fn replica(dir: &Path, name: &str) -> Result<Node, Box<dyn Error>> {
    let node = Node::start(dir, name, &[]);
    Bolt::connect(&node.bolt().to_string())?.run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;")?;
    Ok(node)
}

/// Has a process run only where a processor has nothing else to do (Linux, util-linux).
fn give_way(node: &Node) -> Result<(), Box<dyn Error>> {
    let pid = node.pid().to_string();
    let status = Command::new("chrt")
        .args(["--all-tasks", "--idle", "--pid", "0", &pid])
        .stdout(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("chrt ended with {status}").into()) }
}

/// Registers a replica and waits until it shows what MAIN shows now.
fn register(main: &Node, replica: &Node, mode: &str) -> Result<(), Box<dyn Error>> {
    let mut asked = Bolt::connect(&main.bolt().to_string())?;
    let mut catching_up = Bolt::connect(&replica.bolt().to_string())?;
    let last = state(&mut asked)?.applied;
    let name = if mode == "SYNC" { "near" } else { "late" };
    let query = format!("REGISTER REPLICA {name} {mode} TO \"{}\";", replica.replication());
    wait::until("it registers", LIMIT, || asked.run(&query));
    wait::until("it has caught up", LIMIT, || match state(&mut catching_up) {
        Ok(state) if state.applied >= last => Ok(()),
        Ok(state) => Err(format!("it shows {}", state.applied)),
        Err(e) => Err(e.to_string()),
    });
    Ok(())
}

/// The time below which so many of a hundred lie, of sorted times.
fn at(times: &[Duration], percent: usize) -> f64 {
    times[(times.len() - 1) * percent / 100].as_secs_f64()
}

/// Two cells: the median, and what all lie between.
fn spread(ratios: &[f64]) -> String {
    let mut sorted = ratios.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    format!("{:.2} | {least:.2} and {most:.2}", sorted[sorted.len() / 2])
}
