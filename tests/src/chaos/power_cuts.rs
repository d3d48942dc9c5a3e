//! The power of all three nodes goes at one instant while clients write, again and again.
//!
//! All data directories lie on one [`Disk`], so that nothing of any node reaches it after the cut. What
//! was acknowledged must be there when the nodes start again, DEGRADED commits too, since MAIN's disk is
//! one of them. Some cuts meet a snapshot that is being written, and the segments of the log are so
//! small that some meet a change of segment.
//!
//! A run at `--durability=os` ought to lose writes: that is how it is known that the cut is one.

use super::LIMIT;
use super::book::{self, Book, Counts, Rounds, Wrong, write_counts};
use super::cluster::{Cluster, Content, Form};
use super::writers::Writers;
use crate::dice::Dice;
use crate::disks::Disk;
use crate::wait;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub form: Form,
    pub count: u32,
    pub clients: usize,
    /// `None`: another one each time.
    pub seed: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    pub plan: Plan,
    pub seed: u64,
    pub cuts: u32,
    /// Cuts that met a snapshot that was being written.
    pub in_snapshots: u32,
    /// Nodes that found a torn end of their log at a start.
    pub torn: usize,
    pub counts: Counts,
    pub wrong: Vec<Wrong>,
}

const DISK_MEBIBYTES: u64 = 256;

/// Runs it, and ends with the first cut after which something is wrong.
pub fn run(dir: &Path, plan: Plan, mut said: impl FnMut(&str)) -> Result<Report, String> {
    let mut dice = Dice::new(plan.seed);
    let seed = dice.seed();
    let mut disk = Disk::make(dir, "disk", DISK_MEBIBYTES)?;
    let flags = ["--storage-snapshot-interval-sec=0", "--storage-wal-file-size-kib=64"];
    let mut cluster = Cluster::start_with_data(dir, &disk.root, plan.form, &flags);
    book::make_indexes(&mut cluster.bolt(cluster.main));
    let book = Arc::new(Book::of_one_main());
    let writers = Writers::start(book.clone(), plan.clients);
    let mut report = Report {
        plan,
        seed,
        cuts: 0,
        in_snapshots: 0,
        torn: 0,
        counts: Counts::default(),
        wrong: Vec::new(),
    };
    for cut in 1..=plan.count {
        let round = i64::from(cut);
        writers.write_to(&cluster.main_address(), round);
        acknowledged(&book, round, usize::try_from(1 + dice.below(60)).expect("it is small"));
        let snapshot = (dice.below(3) == 0).then(|| {
            let node = usize::try_from(dice.below(3)).expect("it is small");
            let mut bolt = cluster.bolt(node);
            std::thread::spawn(move || bolt.run("CREATE SNAPSHOT;").is_err())
        });
        std::thread::sleep(dice.millis(0, 80));

        disk.cut_power();
        // Some nodes die at once, as with their host; some live to see that their disk is gone, and may
        // not acknowledge anything then.
        if dice.below(2) == 0 {
            std::thread::sleep(dice.millis(0, 40));
        }
        writers.hold();
        for node in &mut cluster.nodes {
            node.kill();
        }
        writers.pause();
        let was_in_snapshot = snapshot.is_some_and(|s| s.join().expect("a query does not panic"));
        report.in_snapshots += u32::from(was_in_snapshot);
        disk.unmount()?;
        disk.mount()?;

        // As after a power cut of one host: MAIN asks the others before it writes.
        for node in [2, 1, 0] {
            cluster.nodes[node].spawn();
        }
        cluster.wait_ready();
        report.cuts = cut;
        let is_last = cut == plan.count;
        let (rounds, content) =
            if is_last { (Rounds::All, Content::Whole) } else { (Rounds::From(round), Content::Sums) };
        for node in 0..cluster.nodes.len() {
            let name = format!("node {node} after cut {cut}");
            let mut bolt = cluster.bolt(node);
            report.wrong.extend(book.compare(&name, &mut bolt, rounds).expect("it answers"));
            report.wrong.extend(book.compare_outcomes(&name, &mut bolt).expect("it answers"));
        }
        report.wrong.extend(cluster.compare(content));
        if !report.wrong.is_empty() {
            break;
        }
        if cut % 10 == 0 || is_last {
            said(&format!("{cut} of {} power cuts, nothing wrong", plan.count));
        }
    }
    writers.stop();
    report.counts = book.counts(&mut cluster.bolt(0)).expect("MAIN answers");
    report.torn =
        cluster.nodes.iter().map(|n| n.log_lines("an unfinished write at the end of the log").len()).sum();
    // Nobody may sit on the disk when it goes.
    drop(cluster);
    Ok(report)
}

fn acknowledged(book: &Book, round: i64, count: usize) {
    wait::until("writes are acknowledged", LIMIT, || match book.acknowledged(round) {
        n if n >= count => Ok(()),
        n => Err(format!("{n} so far")),
    });
}

/// Cuts the power of a lone node at `--durability=os`, and returns how many acknowledged writes are lost.
pub fn control(dir: &Path) -> Result<usize, String> {
    let mut disk = Disk::make(dir, "disk", 64)?;
    let mut node = crate::node::Node::new(
        dir,
        "node",
        &["--durability=os", "--storage-snapshot-interval-sec=0", "--storage-wal-file-size-kib=1024"],
    );
    node.data = disk.root.join("data");
    node.spawn();
    let book = Arc::new(Book::of_one_main());
    let writers = Writers::start(book.clone(), 4);
    writers.write_to(&node.bolt().to_string(), 1);
    acknowledged(&book, 1, 100);
    disk.cut_power();
    writers.hold();
    node.kill();
    writers.pause();
    writers.stop();
    disk.unmount()?;
    disk.mount()?;
    node.spawn();
    let mut bolt = crate::bolt::Bolt::connect(&node.bolt().to_string()).map_err(|e| e.to_string())?;
    let wrong = book.compare("the node", &mut bolt, Rounds::All).map_err(|e| e.to_string())?;
    drop(node);
    let lost = wrong.iter().filter(|w| matches!(w, Wrong::Lost { .. })).count();
    assert_eq!(lost, wrong.len(), "a lost tail is all that a power cut may do: {wrong:?}");
    Ok(lost)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "power cuts of all nodes        {} ({:?}, {} clients)",
            self.cuts, self.plan.form, self.plan.clients
        )?;
        writeln!(f, "  met a snapshot being written {}", self.in_snapshots)?;
        writeln!(f, "  torn ends of logs            {}", self.torn)?;
        write_counts(f, &self.counts, &self.wrong)?;
        write!(f, "  seed                         {}", self.seed)
    }
}
