//! What must always be true, checked beside the cluster and not by it.
//!
//! Every record that any node writes enters one tree. A node's log is a path from the root to a
//! record, so "is it in that log" is a question about ancestors. What clients were told is a list.

use bytes::Bytes;
use mgnode_core::engine::{Outcome, OutcomeReport};
use mgnode_core::storage::Graph;
use mgnode_core::types::{CommitRecord, Epoch, Lsn, Names, NodeId, Position, chain_next};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// A record in the tree; 0 is the root, before the first record.
pub(crate) type Index = usize;

#[derive(Debug)]
struct Node {
    position: Position,
    ts: u64,
    payload: Bytes,
    chain: u64,
    parent: Index,
    jump: Index,
    /// `None` where no one has to hold it, or where that is settled.
    must: Option<Must>,
}

/// Who must hold a record durably before it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Must {
    pub(crate) nodes: BTreeSet<NodeId>,
    /// So many of them.
    pub(crate) needed: usize,
    /// Before anyone shows it; else before its own MAIN does.
    pub(crate) is_everywhere: bool,
}

/// A commit that a client asked for.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) payload: Bytes,
    pub(crate) at: u64,
    pub(crate) client: usize,
    /// The node, and which of its lives.
    pub(crate) to: (usize, u64),
    /// It has arrived there.
    pub(crate) is_taken: bool,
}

/// A yes that must be found again.
#[derive(Clone, Debug)]
pub(crate) struct Yes {
    pub(crate) index: Index,
    /// Replicas that confirmed it: it survives the loss of the MAIN that said it on each of them.
    pub(crate) keepers: BTreeSet<NodeId>,
    /// It may be lost: a power cut took it from its MAIN, which was asked for less than to sync it, or the
    /// promotion of its MAIN was given up.
    pub(crate) is_excused: bool,
}

/// A completed fence set.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    pub(crate) number: u64,
    /// Whom it fences off.
    pub(crate) main: NodeId,
    pub(crate) at: u64,
    /// No commit of the old MAIN can get enough confirmations from others: it is told OK no more.
    pub(crate) stops_ok: bool,
    /// When its lease must be over, where it has one and a majority is in the set.
    pub(crate) lease_over: Option<u64>,
    /// Who promised.
    pub(crate) holders: BTreeSet<NodeId>,
    /// The operator went back to the old MAIN. It is fenced as long as the holders keep their promises.
    pub(crate) is_given_up: bool,
}

#[derive(Debug)]
pub(crate) struct Oracle {
    tree: Vec<Node>,
    by_position: BTreeMap<Position, Index>,
    by_payload: HashMap<Bytes, Index>,
    pub(crate) proposals: BTreeMap<u64, Proposal>,
    failed: HashSet<Bytes>,
    pub(crate) yes: Vec<Yes>,
    pub(crate) doubtful: Vec<Position>,
    /// Commits of which a MAIN said that they did not happen.
    denied: BTreeSet<Index>,
    /// Where a MAIN's log ended before a power cut took what it had told and not synced.
    lost_tails: Vec<Index>,
    /// Everyone that may acknowledge to a MAIN has promised a higher epoch.
    pub(crate) fences: Vec<Fence>,
    /// Which life of which node said yes in an epoch.
    reigns: BTreeMap<Epoch, (NodeId, u64)>,
    digests: BTreeMap<Index, u64>,
    /// Bytes of the longest record, as it goes over a wire.
    pub(crate) longest: usize,
}

impl Oracle {
    pub(crate) fn new() -> Oracle {
        let root = Node {
            position: Position::default(),
            ts: 0,
            payload: Bytes::new(),
            chain: 0,
            parent: 0,
            jump: 0,
            must: None,
        };
        Oracle {
            tree: vec![root],
            by_position: BTreeMap::new(),
            by_payload: HashMap::new(),
            proposals: BTreeMap::new(),
            failed: HashSet::new(),
            yes: Vec::new(),
            doubtful: Vec::new(),
            denied: BTreeSet::new(),
            lost_tails: Vec::new(),
            longest: 0,
            fences: Vec::new(),
            reigns: BTreeMap::new(),
            digests: BTreeMap::new(),
        }
    }

    fn depth(&self, index: Index) -> u64 {
        self.tree[index].position.lsn.0
    }

    pub(crate) fn position(&self, index: Index) -> Position {
        self.tree[index].position
    }

    pub(crate) fn chain(&self, index: Index) -> u64 {
        self.tree[index].chain
    }

    pub(crate) fn find(&self, position: Position) -> Option<Index> {
        if position.lsn == Lsn::ZERO { Some(0) } else { self.by_position.get(&position).copied() }
    }

    /// Returns the record at `lsn` on the path to `tip`.
    pub(crate) fn at(&self, tip: Index, lsn: Lsn) -> Index {
        let mut index = tip;
        assert!(self.depth(tip) >= lsn.0, "{lsn} is beyond {}", self.position(tip));
        while self.depth(index) > lsn.0 {
            let jump = self.tree[index].jump;
            index = if self.depth(jump) >= lsn.0 { jump } else { self.tree[index].parent };
        }
        index
    }

    pub(crate) fn holds(&self, tip: Index, index: Index) -> bool {
        self.depth(index) <= self.depth(tip) && self.at(tip, Lsn(self.depth(index))) == index
    }

    /// A node writes `record` after the one at `tip`. (5, 6, 10)
    pub(crate) fn written(
        &mut self,
        tip: Index,
        record: &CommitRecord,
        chain: u64,
        must: Option<Must>,
    ) -> Result<Index, String> {
        if record.lsn != self.position(tip).lsn.next() {
            return Err(format!("16: {} is written after {}", record.position(), self.position(tip)));
        }
        if chain != chain_next(self.chain(tip), record) {
            return Err(format!("6: the chain hash at {} is wrong", record.position()));
        }
        if self.failed.contains(&record.payload) {
            return Err(format!("10: {} was called failed", record.position()));
        }
        if let Some(index) = self.by_position.get(&record.position()).copied() {
            let known = &self.tree[index];
            if known.parent != tip || known.payload != record.payload || known.ts != record.ts {
                return Err(format!("5: two records are called {}", record.position()));
            }
            return Ok(index);
        }
        let index = self.tree.len();
        self.longest = self.longest.max(mgnode_core::replication::record_bytes(record) + 200);
        let (p, j) = (tip, self.tree[tip].jump);
        let jj = self.tree[j].jump;
        let jump = if self.depth(p) - self.depth(j) == self.depth(j) - self.depth(jj) { jj } else { p };
        if let Some(first) = self.by_payload.insert(record.payload.clone(), index) {
            return Err(format!("16: {} and {} are one commit", self.position(first), record.position()));
        }
        self.tree.push(Node {
            position: record.position(),
            ts: record.ts,
            payload: record.payload.clone(),
            chain,
            parent: tip,
            jump,
            must,
        });
        self.by_position.insert(record.position(), index);
        Ok(index)
    }

    /// Whether some node wrote a commit.
    pub(crate) fn is_known(&self, payload: &Bytes) -> bool {
        self.by_payload.contains_key(payload)
    }

    /// Whether it is a record as some node wrote it.
    pub(crate) fn is_written(&self, record: &CommitRecord) -> bool {
        self.by_position.get(&record.position()).is_some_and(|index| {
            let known = &self.tree[*index];
            known.payload == record.payload && known.ts == record.ts
        })
    }

    /// Returns who must hold which records after `from` up to `to`.
    pub(crate) fn must_between(&self, from: Index, to: Index) -> Vec<(Index, Must)> {
        let mut found = Vec::new();
        let mut index = to;
        while self.depth(index) > self.depth(from) {
            if let Some(must) = &self.tree[index].must {
                found.push((index, must.clone()));
            }
            index = self.tree[index].parent;
        }
        found
    }

    /// Appends the records after `from` up to `to`.
    pub(crate) fn between(&self, from: Index, to: Index, out: &mut Vec<Index>) {
        let mut index = to;
        while index != from && index != 0 {
            out.push(index);
            index = self.tree[index].parent;
        }
    }

    /// The record can no longer be anything but committed: it was shown, or a MAIN decided it.
    pub(crate) fn settle(&mut self, tip: Index) {
        let mut index = tip;
        while index != 0 {
            self.tree[index].must = None;
            index = self.tree[index].parent;
        }
    }

    pub(crate) fn settle_one(&mut self, index: Index) {
        self.tree[index].must = None;
    }

    /// A client was told by a node that promised that epoch. (2, 3, 10)
    pub(crate) fn told(
        &mut self,
        token: u64,
        outcome: &Outcome,
        promised: Epoch,
    ) -> Result<(Proposal, Option<Index>), String> {
        let proposal = self.proposals.remove(&token).ok_or("a client is told twice, or without asking")?;
        let position = match outcome {
            Outcome::Failed(error) => {
                if let Some(index) = self.by_payload.get(&proposal.payload) {
                    return Err(format!("10: {} is called failed: {error:?}", self.position(*index)));
                }
                self.failed.insert(proposal.payload.clone());
                return Ok((proposal, None));
            }
            Outcome::Committed { position }
            | Outcome::Degraded { position, .. }
            | Outcome::InDoubt { position, .. } => *position,
        };
        let index = self.find(position).ok_or(format!("{position} was told and never written"))?;
        if self.tree[index].payload != proposal.payload {
            return Err(format!("{position} was told for another commit"));
        }
        for fence in &self.fences {
            if fence.main != position.epoch.node || fence.number <= position.epoch.number {
                continue;
            }
            // It was made MAIN again since, by a higher number, and what waited in its log counts from there.
            if promised.node == fence.main && promised.number > fence.number {
                continue;
            }
            let (number, at) = (fence.number, fence.at);
            if matches!(outcome, Outcome::Committed { .. }) && fence.stops_ok && at < proposal.at {
                return Err(format!("3: {position} began after epoch {number} was fenced at {at}"));
            }
            let is_yes = matches!(outcome, Outcome::Committed { .. } | Outcome::Degraded { .. });
            if is_yes && fence.lease_over.is_some_and(|at| at < proposal.at) {
                return Err(format!(
                    "3: {position} began after the lease was over, fenced by {number} at {at}"
                ));
            }
        }
        if let Outcome::InDoubt { .. } = outcome {
            self.doubtful.push(position);
        }
        Ok((proposal, Some(index)))
    }

    /// A node says yes in `epoch`, in its life number `boot`. No one else does, and it does not in another life: each
    /// begins with an incarnation of its own. (2)
    pub(crate) fn reigns(&mut self, epoch: Epoch, node: NodeId, boot: u64) -> Result<(), String> {
        match self.reigns.entry(epoch).or_insert((node, boot)) {
            (first, life) if (*first, *life) == (node, boot) => Ok(()),
            (first, life) => Err(format!(
                "2: {node} says yes in {epoch} in its life {boot}, and {first} did in its life {life}"
            )),
        }
    }

    /// The graph that shows `index` hashes to `digest`, on whichever node. (13)
    pub(crate) fn digest(&mut self, index: Index, digest: u64) -> Result<(), String> {
        match self.digests.insert(index, digest) {
            Some(known) if known != digest => {
                Err(format!("13: two graphs at {} differ", self.position(index)))
            }
            _ => Ok(()),
        }
    }

    /// Folds the records up to `index` into a graph of its own and returns its digest. (13)
    pub(crate) fn fold(&self, index: Index) -> Result<u64, String> {
        let mut path = Vec::new();
        let mut at = index;
        while at != 0 {
            path.push(at);
            at = self.tree[at].parent;
        }
        let graph = Arc::new(Graph::new(Arc::new(Names::default())));
        for at in path.into_iter().rev() {
            let node = &self.tree[at];
            let changes = graph.decode(&node.payload).map_err(|e| e.to_string())?;
            graph.apply(node.position.lsn, &changes).map_err(|e| e.to_string())?;
            graph.publish(node.position.lsn, node.ts);
        }
        Ok(graph.digest(&graph.view()))
    }

    /// Every yes that must have survived is on the path to `tip`. Returns how many others are not. (9, 11)
    pub(crate) fn check_survivors(
        &mut self,
        tip: Index,
        must_survive: impl Fn(&Yes) -> bool,
    ) -> Result<u64, String> {
        let mut lost = 0;
        let mut kept = Vec::new();
        for yes in std::mem::take(&mut self.yes) {
            if self.holds(tip, yes.index) {
                kept.push(yes);
            } else if !yes.is_excused && must_survive(&yes) {
                return Err(format!("9: {} was told committed and is lost", self.position(yes.index)));
            } else {
                lost += 1;
            }
        }
        self.yes = kept;
        let risen = self.denied.iter().copied().find(|index| self.holds(tip, *index));
        match risen {
            Some(index) => Err(format!("11: {} did not happen, and now it did", self.position(index))),
            None => Ok(lost),
        }
    }

    /// A node that need not sync every commit told what ends at `told`, and has what ends at `tip` after a
    /// power cut. It keeps nothing for anyone beyond that; where it is the MAIN, or wrote it as one, nobody need
    /// have it.
    pub(crate) fn lose(&mut self, node: NodeId, tip: Index, told: Index, is_main: bool) {
        for mut yes in std::mem::take(&mut self.yes) {
            if !self.holds(tip, yes.index) && self.holds(told, yes.index) {
                yes.keepers.remove(&node);
                yes.is_excused |= is_main || self.position(yes.index).epoch.node == node;
            }
            self.yes.push(yes);
        }
        if is_main || self.position(told).epoch.node == node {
            self.lost_tails.push(told);
        }
    }

    /// Commits of these reigns may be lost.
    pub(crate) fn excuse(&mut self, of: impl Fn(Epoch) -> bool) {
        for index in 0..self.yes.len() {
            let epoch = self.position(self.yes[index].index).epoch;
            self.yes[index].is_excused |= of(epoch);
        }
    }

    /// A MAIN said how a commit ended.
    pub(crate) fn answered(&mut self, index: Index, said: OutcomeReport) {
        match said {
            OutcomeReport::Committed => {
                if self.yes.iter().all(|yes| yes.index != index) {
                    self.yes.push(Yes { index, keepers: BTreeSet::new(), is_excused: false });
                }
            }
            // A replica may give back what a power cut took.
            OutcomeReport::NotCommitted if self.lost_tails.iter().any(|t| self.holds(*t, index)) => {}
            OutcomeReport::NotCommitted => {
                self.denied.insert(index);
            }
            OutcomeReport::InDoubt | OutcomeReport::Unknown => {}
        }
    }

    /// A promotion was forced: what was said before binds no one who did not hear it.
    pub(crate) fn forget_denied(&mut self) {
        self.denied.clear();
    }

    /// Returns some commit that a client was told of.
    pub(crate) fn some_told(&self, at: u64) -> Option<Position> {
        let doubtful = self.doubtful.len() as u64;
        let told = self.yes.len() as u64;
        if doubtful > 0 && at.is_multiple_of(2) {
            return self.doubtful.get((at / 2 % doubtful) as usize).copied();
        }
        if told == 0 {
            None
        } else {
            self.yes.get((at / 2 % told) as usize).map(|yes| self.position(yes.index))
        }
    }

    pub(crate) fn records(&self) -> usize {
        self.tree.len() - 1
    }
}
