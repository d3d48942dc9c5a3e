//! What must come before what, and the circles in it.
//!
//! Each transaction has a point for its commit, and one for each snapshot it reads: one in all under SNAPSHOT
//! ISOLATION, one a statement under READ COMMITTED. Two anti-dependencies in a row, T to U to V, end at U's commit and
//! begin at U's snapshot, which is earlier: they make no path. So a circle is just what snapshot isolation forbids.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

use super::history::Key;

/// A moment of one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Point {
    /// Transaction, and the number of the snapshot.
    Snapshot(usize, usize),
    Commit(usize),
}

impl Point {
    pub(super) fn transaction(self) -> usize {
        match self {
            Point::Snapshot(of, _) | Point::Commit(of) => of,
        }
    }
}

/// Why one point is before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// The same transaction reads, and then commits.
    Own,
    /// Its version of the key is replaced by the other's.
    Written(Key),
    /// Its version of the key is what the other reads.
    Read(Key),
    /// It reads a version of the key that the other replaces.
    ReadBefore(Key),
    /// The log has them in this order.
    Log,
    /// The other was promised to see it.
    Promised,
    /// It was told that it has seen no more than what is before the other.
    Told,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Own => write!(f, "begins before it commits"),
            Why::Written(key) => write!(f, "wrote key {key} before"),
            Why::Read(key) => write!(f, "wrote what of key {key} is read by"),
            Why::ReadBefore(key) => write!(f, "read key {key} as it was before"),
            Why::Log => write!(f, "is in the log before"),
            Why::Promised => write!(f, "was to be seen by"),
            Why::Told => write!(f, "was told to have seen nothing of"),
        }
    }
}

/// Which reasons count in a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Depth {
    Writes,
    Reads,
    AntiDependencies,
    Positions,
}

impl Why {
    fn depth(self) -> Depth {
        match self {
            Why::Own | Why::Written(_) => Depth::Writes,
            Why::Read(_) => Depth::Reads,
            Why::ReadBefore(_) => Depth::AntiDependencies,
            Why::Log | Why::Promised | Why::Told => Depth::Positions,
        }
    }
}

/// A step of a circle: from a point to that of the next step.
pub(super) type Step = (Point, Why);

#[derive(Debug, Default)]
pub(super) struct Graph {
    ids: HashMap<Point, usize>,
    points: Vec<Point>,
    next: Vec<Vec<(usize, Why)>>,
    known: HashSet<(usize, usize, Depth)>,
}

impl Graph {
    fn id(&mut self, point: Point) -> usize {
        *self.ids.entry(point).or_insert_with(|| {
            self.points.push(point);
            self.next.push(Vec::new());
            self.points.len() - 1
        })
    }

    /// Enters that one point is before another.
    pub(super) fn add(&mut self, from: Point, why: Why, to: Point) {
        let (a, b) = (self.id(from), self.id(to));
        if self.known.insert((a, b, why.depth())) {
            self.next[a].push((b, why));
        }
    }

    /// Returns short circles that have no point in common, at most so many.
    pub(super) fn circles(&self, depth: Depth, limit: usize) -> Vec<Vec<Step>> {
        let mut left: Vec<bool> = vec![true; self.points.len()];
        let mut found = Vec::new();
        while found.len() < limit {
            self.strip(&mut left, depth);
            let starts = (0..left.len()).filter(|&n| left[n]).take(200);
            let Some(circle) = starts.filter_map(|n| self.circle_at(n, &left, depth)).min_by_key(Vec::len)
            else {
                break;
            };
            for &(n, _) in &circle {
                left[n] = false;
            }
            found.push(circle.into_iter().map(|(n, why)| (self.points[n], why)).collect());
        }
        found
    }

    /// Takes away what no circle goes through: what nothing leads to, and then what that alone led to.
    fn strip(&self, left: &mut [bool], depth: Depth) {
        let mut before = vec![Vec::new(); left.len()];
        let (mut ins, mut outs) = (vec![0usize; left.len()], vec![0usize; left.len()]);
        for from in (0..left.len()).filter(|&n| left[n]) {
            for &(to, why) in &self.next[from] {
                if left[to] && why.depth() <= depth {
                    before[to].push(from);
                    ins[to] += 1;
                    outs[from] += 1;
                }
            }
        }
        let mut bare: Vec<usize> =
            (0..left.len()).filter(|&n| left[n] && (ins[n] == 0 || outs[n] == 0)).collect();
        while let Some(n) = bare.pop() {
            if !std::mem::replace(&mut left[n], false) {
                continue;
            }
            for &(to, why) in &self.next[n] {
                if left[to] && why.depth() <= depth {
                    ins[to] -= 1;
                    if ins[to] == 0 {
                        bare.push(to);
                    }
                }
            }
            for &from in &before[n] {
                if left[from] {
                    outs[from] -= 1;
                    if outs[from] == 0 {
                        bare.push(from);
                    }
                }
            }
        }
    }

    /// Returns the shortest circle through a point.
    fn circle_at(&self, start: usize, left: &[bool], depth: Depth) -> Option<Vec<(usize, Why)>> {
        let mut from: HashMap<usize, (usize, Why)> = HashMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(n) = queue.pop_front() {
            for &(to, why) in &self.next[n] {
                if !left[to] || why.depth() > depth {
                    continue;
                }
                if to == start {
                    let mut circle = vec![(n, why)];
                    let mut at = n;
                    while at != start {
                        let step = from[&at];
                        circle.push(step);
                        at = step.0;
                    }
                    circle.reverse();
                    return Some(circle);
                }
                from.entry(to).or_insert_with(|| {
                    queue.push_back(to);
                    (n, why)
                });
            }
        }
        None
    }
}
