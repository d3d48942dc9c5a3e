//! MAIN dies by `kill -9` while clients write, again and again, and is replaced.
//!
//! Each round: clients write; MAIN is killed at a random moment after it acknowledged something; both
//! replicas are fenced, the one with the longer log is promoted, the other registered; clients go on
//! there; the dead one comes back, is asked to write as if nothing had happened, and is made a
//! REPLICA. Then the book is compared with all three nodes.

use super::LIMIT;
use super::book::{self, Book, Counts, Rounds, Told, Wrong, write_counts};
use super::cluster::{Cluster, Content, Form, Rejoined};
use super::writers::Writers;
use crate::dice::Dice;
use crate::wait;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    pub failovers: u32,
    pub counts: Counts,
    /// Rejoins of a node that held records nobody else had.
    pub wiped: u32,
    /// From the kill until the new MAIN acknowledged a write.
    pub pauses: Vec<Duration>,
    pub wrong: Vec<Wrong>,
}

/// Runs it, and ends with the first round after which something is wrong.
pub fn run(dir: &Path, plan: Plan, mut said: impl FnMut(&str)) -> Report {
    let mut dice = Dice::new(plan.seed);
    let seed = dice.seed();
    let mut cluster = Cluster::start(dir, plan.form, &["--storage-snapshot-interval-sec=0"]);
    book::make_indexes(&mut cluster.bolt(cluster.main));
    let book = Arc::new(Book::default());
    let writers = Writers::start(book.clone(), plan.clients);
    let mut report = Report {
        plan,
        seed,
        failovers: 0,
        counts: Counts::default(),
        wiped: 0,
        pauses: Vec::new(),
        wrong: Vec::new(),
    };
    let acknowledges = |round: i64, count: usize| {
        wait::until("writes are acknowledged", LIMIT, || match book.acknowledged(round) {
            n if n >= count => Ok(()),
            n => Err(format!("{n} so far")),
        });
    };
    for failover in 1..=plan.count {
        // Two book rounds for each: before the kill and after it.
        let round = i64::from(failover) * 2;
        writers.write_to(&cluster.main_address(), round);
        let least = usize::try_from(1 + dice.below(40)).expect("it is small");
        acknowledges(round, least);
        std::thread::sleep(dice.millis(0, 60));

        let killed_at = Instant::now();
        let dead = cluster.kill_main();
        writers.hold();
        cluster.fail_over(dead);
        writers.write_to(&cluster.main_address(), round + 1);
        acknowledges(round + 1, 1);
        report.pauses.push(killed_at.elapsed());

        let mut stale = Told::Unknown;
        let rejoined = cluster.rejoin(dead, |bolt| stale = writers.write_once(bolt, round + 1));
        if matches!(stale, Told::Ok { .. }) {
            let what = format!("node {dead}, replaced in round {failover}, acknowledged a write: {stale:?}");
            report.wrong.push(Wrong::Untrue { what });
        }
        report.wiped += u32::from(rejoined == Rejoined::Wiped);
        writers.pause();
        cluster.wait_ready();
        report.failovers = failover;
        let is_last = failover == plan.count;
        let (rounds, content) =
            if is_last { (Rounds::All, Content::Whole) } else { (Rounds::From(round), Content::Sums) };
        for node in 0..cluster.nodes.len() {
            let name = format!("node {node} in round {failover}");
            let mut bolt = cluster.bolt(node);
            report.wrong.extend(book.compare(&name, &mut bolt, rounds).expect("it answers"));
            report.wrong.extend(book.compare_outcomes(&name, &mut bolt).expect("it answers"));
        }
        report.wrong.extend(cluster.compare(content));
        if !report.wrong.is_empty() {
            break;
        }
        if failover % 10 == 0 || is_last {
            said(&format!("{failover} of {} failovers, nothing wrong", plan.count));
        }
    }
    writers.stop();
    report.counts = book.counts(&mut cluster.bolt(cluster.main)).expect("MAIN answers");
    report
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pauses = self.pauses.clone();
        pauses.sort();
        let at = |part: usize| {
            pauses.get(pauses.len() * part / 100).or(pauses.last()).copied().unwrap_or_default()
        };
        writeln!(
            f,
            "failovers by kill -9 of MAIN   {} ({:?}, {} clients)",
            self.failovers, self.plan.form, self.plan.clients
        )?;
        writeln!(f, "  old MAIN back, not as it was {} of {}", self.wiped, self.failovers)?;
        writeln!(f, "  kill to next OK, p50 / max   {:?} / {:?}", at(50), at(100))?;
        write_counts(f, &self.counts, &self.wrong)?;
        write!(f, "  seed                         {}", self.seed)
    }
}
