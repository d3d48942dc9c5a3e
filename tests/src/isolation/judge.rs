//! What a history shows that must not be.

use super::graph::{Depth, Graph, Point, Step, Why};
use super::history::{History, Key, Level, Op, Outcome, Transaction};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

/// How many circles of one kind are told.
const CIRCLES_MAX: usize = 3;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A number is read that was never written there.
    Phantom,
    /// A number is in a list twice.
    Duplicate,
    /// A transaction does not see its own writes, or its snapshot changes.
    Internal,
    /// What was refused is read (G1a).
    AbortedRead,
    /// Part of what a transaction wrote to a key is read (G1b).
    IntermediateRead,
    /// Two reads of a list contradict each other.
    Fork,
    /// A committed number is missing from what was read later.
    LostAppend,
    /// Writes of transactions are interleaved (G0).
    DirtyWrite,
    /// Information flows in a circle (G1c).
    CircularInformation,
    /// Two read the same version of a key, and both replaced it.
    LostUpdate,
    /// One anti-dependency in a circle (G-single).
    ReadSkew,
    /// Several, none of which follows on another: two readers saw two writes in different orders.
    LongFork,
    /// What was seen is not what the log has up to a position.
    Position,
}

/// Something that must not be, and what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    pub kind: Kind,
    /// In sentences, with the transactions.
    pub text: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)
    }
}

/// Returns everything in a history that its levels do not allow.
pub fn judge(history: &History) -> Vec<Anomaly> {
    let mut judge = Judge::new(history);
    judge.reads_of_each();
    judge.orders();
    judge.lost();
    judge.circles();
    judge.found
}

/// What a transaction saw of the others' writes to a key.
struct Seen {
    by: usize,
    snapshot: usize,
    key: Key,
    values: Vec<i64>,
}

struct Judge<'a> {
    history: &'a History,
    /// Who wrote a number, and where.
    writers: HashMap<i64, (usize, Key)>,
    /// How many numbers a transaction wrote to a key.
    written: HashMap<(usize, Key), usize>,
    committed: Vec<bool>,
    seen: Vec<Seen>,
    /// The longest version of each list.
    order: BTreeMap<Key, Vec<i64>>,
    found: Vec<Anomaly>,
}

impl<'a> Judge<'a> {
    fn new(history: &'a History) -> Judge<'a> {
        let mut writers = HashMap::new();
        let mut written = HashMap::new();
        for (of, transaction) in history.transactions.iter().enumerate() {
            for (key, value) in transaction.appends() {
                assert!(
                    writers.insert(value, (of, key)).is_none(),
                    "{value} is written twice: no such history can be judged"
                );
                *written.entry((of, key)).or_insert(0) += 1;
            }
        }
        let mut committed: Vec<bool> =
            history.transactions.iter().map(|t| t.outcome == Outcome::Committed).collect();
        // What another has read is committed, or else it is that which is wrong.
        for (by, transaction) in history.transactions.iter().enumerate() {
            for (_, op) in transaction.ops() {
                let Op::Read { values, .. } = op else { continue };
                for (of, _) in values.iter().filter_map(|v| writers.get(v)) {
                    committed[*of] |= *of != by && history.transactions[*of].outcome == Outcome::Unknown;
                }
            }
        }
        let (seen, order, found) = (Vec::new(), BTreeMap::new(), Vec::new());
        Judge { history, writers, written, committed, seen, order, found }
    }

    fn of(&self, transaction: usize) -> &'a Transaction {
        &self.history.transactions[transaction]
    }

    fn report(&mut self, kind: Kind, what: &str, transactions: &[usize]) {
        let mut text = what.to_owned();
        let mut told = HashSet::new();
        for &of in transactions.iter().filter(|of| told.insert(**of)) {
            text.push_str(&format!("\n    {}", self.of(of)));
        }
        self.found.push(Anomaly { kind, text });
    }

    fn is_set(&self, key: Key) -> bool {
        self.history.sets.contains(&key)
    }

    fn reads_of_each(&mut self) {
        for by in 0..self.history.transactions.len() {
            self.reads_of(by);
        }
    }

    fn reads_of(&mut self, by: usize) {
        let transaction = self.of(by);
        let mut own: HashMap<Key, Vec<i64>> = HashMap::new();
        let mut before: HashMap<(usize, Key), Vec<i64>> = HashMap::new();
        for (statement, op) in transaction.ops() {
            let (key, values) = match op {
                Op::Append { key, value } => {
                    own.entry(*key).or_default().push(*value);
                    continue;
                }
                Op::Read { key, values } => (*key, values),
            };
            if values.iter().collect::<HashSet<_>>().len() != values.len() {
                self.report(Kind::Duplicate, &format!("key {key} holds a number twice: {values:?}"), &[by]);
            }
            let own = own.get(&key).map_or(&[][..], Vec::as_slice);
            let Some(others) = without(values, own, self.is_set(key)) else {
                let what = format!("key {key} is read as {values:?} after the reader has added {own:?}");
                self.report(Kind::Internal, &what, &[by]);
                continue;
            };
            let snapshot = if transaction.level == Level::Snapshot { 0 } else { statement };
            if let Some(first) = before.get(&(snapshot, key))
                && *first != others
            {
                let what = format!("key {key} changes within a snapshot from {first:?} to {others:?}");
                self.report(Kind::Internal, &what, &[by]);
            }
            self.values_of(by, key, &others);
            before.insert((snapshot, key), others.clone());
            self.seen.push(Seen { by, snapshot, key, values: others });
        }
    }

    /// Whose numbers they are.
    fn values_of(&mut self, by: usize, key: Key, values: &[i64]) {
        let mut parts: BTreeMap<usize, usize> = BTreeMap::new();
        for value in values {
            match self.writers.get(value) {
                Some((of, at)) if *at == key && *of == by => {
                    let what = format!("{value} is read of key {key} where the reader has not yet added it");
                    self.report(Kind::Internal, &what, &[by]);
                }
                Some((of, at)) if *at == key => *parts.entry(*of).or_insert(0) += 1,
                _ => self.report(Kind::Phantom, &format!("nobody added {value} to key {key}"), &[by]),
            }
        }
        for (of, count) in parts {
            if self.of(of).outcome == Outcome::Refused {
                self.report(Kind::AbortedRead, &format!("what was refused is read of key {key}"), &[of, by]);
            } else if count < self.written[&(of, key)] {
                let what = format!("part of what a transaction added to key {key} is read");
                self.report(Kind::IntermediateRead, &what, &[of, by]);
            }
        }
    }

    /// The longest version of each list, of which every other must be the beginning.
    fn orders(&mut self) {
        let mut versions: BTreeMap<Key, Vec<(usize, Vec<i64>)>> = BTreeMap::new();
        for seen in self.seen.iter().filter(|seen| !self.is_set(seen.key)) {
            versions.entry(seen.key).or_default().push((seen.by, seen.values.clone()));
        }
        for by in (0..self.history.transactions.len()).filter(|by| self.committed[*by]) {
            for (_, op) in self.of(by).ops() {
                if let Op::Read { key, values } = op
                    && !self.is_set(*key)
                {
                    versions.entry(*key).or_default().push((by, values.clone()));
                }
            }
        }
        for (key, mut versions) in versions {
            versions.sort_by_key(|(_, values)| values.len());
            for pair in versions.windows(2) {
                let [(a, short), (b, long)] = pair else { continue };
                if !long.starts_with(short) {
                    let what = format!("key {key} is {short:?} for one and {long:?} for another");
                    self.report(Kind::Fork, &what, &[*a, *b]);
                }
            }
            if let Some((_, longest)) = versions.pop() {
                self.order.insert(key, longest);
            }
        }
    }

    /// Committed numbers that a reader, who had to see them, did not.
    fn lost(&mut self) {
        let mut told: HashSet<i64> = HashSet::new();
        let mut appends: BTreeMap<Key, Vec<(u64, usize, i64)>> = BTreeMap::new();
        for (of, transaction) in self.history.transactions.iter().enumerate() {
            if let (Outcome::Committed, Some(position)) = (transaction.outcome, transaction.committed_at) {
                for (key, value) in transaction.appends() {
                    appends.entry(key).or_default().push((position, of, value));
                }
            }
        }
        let mut lost = Vec::new();
        for seen in &self.seen {
            let floor = self.of(seen.by).floor;
            let values: HashSet<i64> = seen.values.iter().copied().collect();
            for (position, of, value) in appends.get(&seen.key).map_or(&[][..], Vec::as_slice) {
                if *position <= floor && *of != seen.by && !values.contains(value) && told.insert(*value) {
                    lost.push((seen.key, *value, *of, seen.by));
                }
            }
        }
        for (key, value, of, by) in lost {
            self.report(
                Kind::LostAppend,
                &format!("{value} was added to key {key} and is missing later"),
                &[of, by],
            );
        }
    }

    fn circles(&mut self) {
        let graph = self.graph();
        for depth in [Depth::Writes, Depth::Reads, Depth::AntiDependencies, Depth::Positions] {
            let circles = graph.circles(depth, CIRCLES_MAX);
            for circle in &circles {
                let transactions: Vec<usize> = circle.iter().map(|(point, _)| point.transaction()).collect();
                self.report(kind_of(circle, depth), &self.told(circle), &transactions);
            }
            if !circles.is_empty() {
                // Each is found again at the next depth.
                return;
            }
        }
    }

    fn told(&self, circle: &[Step]) -> String {
        let step = |(at, (point, why)): (usize, &Step)| {
            let to = circle[(at + 1) % circle.len()].0.transaction();
            match why {
                Why::Own => None,
                why => Some(format!("{} {why} {}", self.of(point.transaction()).name, self.of(to).name)),
            }
        };
        circle.iter().enumerate().filter_map(step).collect::<Vec<_>>().join("; ")
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        for (of, transaction) in self.history.transactions.iter().enumerate() {
            let snapshots = self.snapshots(of);
            for n in 1..snapshots {
                graph.add(Point::Snapshot(of, n - 1), Why::Own, Point::Snapshot(of, n));
            }
            if self.is_writer(of) && snapshots > 0 {
                graph.add(Point::Snapshot(of, snapshots - 1), Why::Own, Point::Commit(of));
            }
            debug_assert!(snapshots > 0 || transaction.statements.is_empty());
        }
        self.add_lists(&mut graph);
        self.add_reads(&mut graph);
        self.add_positions(&mut graph);
        graph
    }

    /// Whether it is committed and has changed something.
    fn is_writer(&self, of: usize) -> bool {
        self.committed[of] && self.of(of).appends().next().is_some()
    }

    fn snapshots(&self, of: usize) -> usize {
        match self.of(of).level {
            Level::Snapshot => 1,
            Level::ReadCommitted => self.of(of).statements.len(),
        }
    }

    /// Who replaced whose version of a list.
    fn add_lists(&self, graph: &mut Graph) {
        for (key, order) in &self.order {
            for pair in order.windows(2) {
                let [Some((a, _)), Some((b, _))] = [pair[0], pair[1]].map(|value| self.writers.get(&value))
                else {
                    continue;
                };
                self.add_write(graph, *key, *a, *b);
            }
        }
    }

    fn add_write(&self, graph: &mut Graph, key: Key, a: usize, b: usize) {
        if a != b && self.is_writer(a) && self.is_writer(b) {
            // The first committer wins, so the second began after it. Under READ COMMITTED one of its
            // statements did, and which one is not known here.
            let to = match self.of(b).level {
                Level::Snapshot => Point::Snapshot(b, 0),
                Level::ReadCommitted => Point::Commit(b),
            };
            graph.add(Point::Commit(a), Why::Written(key), to);
        }
    }

    /// Who saw whose numbers, and who did not see them yet.
    fn add_reads(&self, graph: &mut Graph) {
        let mut all: BTreeMap<Key, BTreeSet<usize>> = BTreeMap::new();
        // Committed, and in no version that was read: after all of them.
        let mut late: BTreeMap<Key, BTreeSet<usize>> = BTreeMap::new();
        let in_order: HashSet<i64> = self.order.values().flatten().copied().collect();
        for of in (0..self.history.transactions.len()).filter(|of| self.is_writer(*of)) {
            for (key, value) in self.of(of).appends() {
                all.entry(key).or_default().insert(of);
                if !in_order.contains(&value) {
                    late.entry(key).or_default().insert(of);
                }
            }
        }
        let nobody = BTreeSet::new();
        for seen in &self.seen {
            let point = Point::Snapshot(seen.by, seen.snapshot);
            let writer = |value: &i64| self.writers.get(value).map(|(of, _)| *of);
            let is_other = |of: &usize| *of != seen.by && self.is_writer(*of);
            let (from, after): (Vec<usize>, Vec<usize>) = if self.is_set(seen.key) {
                let from: BTreeSet<usize> = seen.values.iter().filter_map(writer).collect();
                let after = all.get(&seen.key).unwrap_or(&nobody).difference(&from).copied().collect();
                (from.into_iter().collect(), after)
            } else {
                let next = self.order.get(&seen.key).and_then(|order| order.get(seen.values.len()));
                let after = match next {
                    Some(value) => writer(value).into_iter().collect(),
                    None => late.get(&seen.key).unwrap_or(&nobody).iter().copied().collect(),
                };
                (seen.values.last().and_then(writer).into_iter().collect(), after)
            };
            for of in from.into_iter().filter(is_other) {
                graph.add(Point::Commit(of), Why::Read(seen.key), point);
            }
            for of in after.into_iter().filter(is_other) {
                graph.add(point, Why::ReadBefore(seen.key), Point::Commit(of));
            }
        }
    }

    /// What the log says.
    fn add_positions(&self, graph: &mut Graph) {
        let writers = (0..self.history.transactions.len()).filter(|of| self.is_writer(*of));
        let mut log: Vec<(u64, usize)> =
            writers.filter_map(|of| Some((self.of(of).committed_at?, of))).collect();
        log.sort_unstable();
        for pair in log.windows(2) {
            graph.add(Point::Commit(pair[0].1), Why::Log, Point::Commit(pair[1].1));
            if pair[0].0 == pair[1].0 {
                // No position is that of two.
                graph.add(Point::Commit(pair[1].1), Why::Log, Point::Commit(pair[0].1));
            }
        }
        for (of, transaction) in self.history.transactions.iter().enumerate() {
            let snapshots = self.snapshots(of);
            if snapshots == 0 {
                continue;
            }
            let up_to = |position: u64| log.partition_point(|(at, _)| *at <= position);
            let (first, last) = (Point::Snapshot(of, 0), Point::Snapshot(of, snapshots - 1));
            if let Some((_, promised)) = up_to(transaction.floor).checked_sub(1).map(|n| log[n]) {
                graph.add(Point::Commit(promised), Why::Promised, first);
            }
            let Some(seen) = transaction.seen else { continue };
            if let Some((_, told)) = up_to(seen).checked_sub(1).map(|n| log[n]) {
                graph.add(Point::Commit(told), Why::Promised, last);
            }
            if let Some((_, next)) = log.get(up_to(seen)) {
                graph.add(last, Why::Told, Point::Commit(*next));
            }
        }
    }
}

/// Returns what is left of a read without the reader's own numbers, which must all be there, at the end of a list.
fn without(values: &[i64], own: &[i64], is_set: bool) -> Option<Vec<i64>> {
    if !is_set {
        return values.strip_suffix(own).map(<[i64]>::to_vec);
    }
    let all: BTreeSet<i64> = values.iter().copied().collect();
    let is_there = own.iter().all(|value| all.contains(value));
    is_there.then(|| all.into_iter().filter(|value| !own.contains(value)).collect())
}

fn kind_of(circle: &[Step], depth: Depth) -> Kind {
    let anti: Vec<Key> = circle
        .iter()
        .filter_map(|(_, why)| match why {
            Why::ReadBefore(key) => Some(*key),
            _ => None,
        })
        .collect();
    match depth {
        Depth::Writes => Kind::DirtyWrite,
        Depth::Reads => Kind::CircularInformation,
        Depth::Positions => Kind::Position,
        Depth::AntiDependencies => match anti[..] {
            [key] => {
                let others = circle.iter().filter(|(_, why)| !matches!(why, Why::Own | Why::ReadBefore(_)));
                let others: Vec<Why> = others.map(|(_, why)| *why).collect();
                if others == [Why::Written(key)] { Kind::LostUpdate } else { Kind::ReadSkew }
            }
            _ => Kind::LongFork,
        },
    }
}
