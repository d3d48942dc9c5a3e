//! What must hold after an event, seen from outside the engine.
//!
//! Each error begins with the number of its invariant. Cheap ones are checked after every event of
//! the node that it happened to; digests of graphs when something new is shown, as often as can be
//! afforded, and always where a graph was replaced.

use crate::oracle::Index;
use crate::world::World;
use mgnode_core::durability::SnapshotHeader;
use mgnode_core::engine::{Admin, AdminAnswer, OutcomeReport, PeerId};
use mgnode_core::replication::Message;
use mgnode_core::storage::{Graph, IndexBounds, IndexCursor, Transaction};
use mgnode_core::types::{
    ConstraintKind, EdgeTypeId, Epoch, IndexSpec, LabelId, Names, NodeId, OneByOne, Position, PropertyKeyId,
    Value,
};
use std::sync::Arc;

impl World {
    /// What a node says to another one is durable there, and true. (4, 12, 17)
    pub(crate) fn check_said(&self, node: usize, peer: PeerId, message: &Message) -> Result<(), String> {
        let n = &self.nodes[node];
        let synced = self.oracle.position(n.synced).lsn;
        match message {
            Message::Welcome { promised, end, .. } => {
                let conn = n.process.as_ref().and_then(|p| p.conns.get(&peer));
                if conn.and_then(|c| self.conns.get(c)).is_some_and(|c| c.is_stranger) {
                    return Err(format!("3.6: node {node} follows a MAIN of another cluster"));
                }
                if *promised > n.promised {
                    return Err(format!("4: node {node} tells {promised} and has synced {}", n.promised));
                }
                if end.last.lsn > synced {
                    return Err(format!("12: node {node} greets with {} and has synced {synced}", end.last));
                }
            }
            Message::Ack { durable, applied } => {
                let conn =
                    n.process.as_ref().and_then(|p| p.conns.get(&peer)).and_then(|c| self.conns.get(c));
                let heard = conn.map_or(Epoch::default(), |c| c.epoch[1]);
                if heard > n.promised {
                    return Err(format!("4: node {node} acks {heard} and has synced {}", n.promised));
                }
                if *durable > synced || applied > durable {
                    return Err(format!("12: node {node} acks {durable}, {applied} and has synced {synced}"));
                }
            }
            Message::Append { records, .. } | Message::Tail { records, .. } => {
                for record in records {
                    if !self.oracle.is_written(record) {
                        return Err(format!("17: node {node} sends {} as it never was", record.position()));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A snapshot stands for a record that was written, and for what came before it. (13)
    pub(crate) fn check_snapshot(&self, header: &SnapshotHeader) -> Result<(), String> {
        let at = header.position;
        match self.oracle.find(at) {
            Some(index) if self.oracle.chain(index) == header.chain => Ok(()),
            _ => Err(format!("13: a snapshot stands for {at}, which is not so")),
        }
    }

    /// What a node shows. (8, 12, 13, 14, 16)
    pub(crate) fn check(&mut self, node: usize) -> Result<(), String> {
        self.note_stages(node);
        let n = &self.nodes[node];
        let Some(process) = n.process.as_ref() else { return Ok(()) };
        let graph = process.shared.graph();
        let lsn = graph.published();
        let tip = process.tip;
        let before = n.published;
        let before_lsn = self.oracle.position(before).lsn;
        if lsn == before_lsn {
            return Ok(());
        }
        if lsn.0.is_multiple_of(16) && process.engine.kept_bytes() > self.options.config.live_bytes_max {
            return Err(format!("22: node {node} keeps {} bytes of its log", process.engine.kept_bytes()));
        }
        if lsn < before_lsn {
            return Err(format!("14: node {node} shows {lsn} after {before_lsn}"));
        }
        if lsn > self.oracle.position(n.synced).lsn {
            return Err(format!(
                "12: node {node} shows {lsn} and has synced {}",
                self.oracle.position(n.synced)
            ));
        }
        let index = self.oracle.at(tip, lsn);
        if !self.oracle.holds(index, before) {
            return Err(format!("14: node {node} shows {lsn} on another branch than {before_lsn}"));
        }
        self.check_decided(node, index, before)?;
        self.nodes[node].published = index;
        if lsn.0 > before_lsn.0 + 20 || self.rng.one_in(50) {
            let digest = graph.digest(&graph.view());
            self.oracle.digest(index, digest)?;
        }
        Ok(())
    }

    /// Every record that a node shows after `from` up to `to` has been decided: whoever must hold it has it. (8)
    pub(crate) fn check_decided(&mut self, node: usize, to: Index, from: Index) -> Result<(), String> {
        let id = self.nodes[node].id;
        for (record, must) in self.oracle.must_between(from, to) {
            if !must.is_everywhere && self.oracle.position(record).epoch.node != id {
                continue;
            }
            let held = |id: &&NodeId| {
                self.nodes.iter().find(|n| n.id == **id).is_none_or(|n| n.has_told(&self.oracle, record))
            };
            // A MAIN that waits for SYNC replicas may count on one that was registered later.
            let others = self.nodes.iter().filter(|n| n.id != id && n.has_told(&self.oracle, record));
            // One that was emptied since had it when it said so.
            let gone = self.emptied.iter().filter(|(id, told)| {
                must.nodes.contains(id) && told.iter().any(|told| self.oracle.holds(*told, record))
            });
            let count = if must.is_everywhere {
                must.nodes.iter().filter(held).count()
            } else {
                others.count() + gone.count()
            };
            if count < must.needed {
                let position = self.oracle.position(record);
                return Err(format!(
                    "8: node {node} shows {position} before {} replicas have it",
                    must.needed
                ));
            }
            self.oracle.settle_one(record);
        }
        Ok(())
    }

    fn note_stages(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        let Some(process) = n.process.as_ref() else { return };
        let (stages, coverage) = (&mut n.stages, &mut self.coverage);
        let mut next = 0;
        process.engine.stages(&mut |part, name, stage| {
            // Mostly they come in the order of the last time, and nothing is new.
            let is_part = |(p, n, _): &(&'static str, String, &'static str)| *p == part && n == name;
            let is_next = stages.get(next).is_some_and(is_part);
            let at = if is_next { Some(next) } else { stages.iter().position(is_part) };
            next = at.map_or(next, |at| at + 1);
            match at.map(|at| &mut stages[at].2) {
                Some(before) if std::ptr::eq(*before, stage) || *before == stage => {}
                Some(before) => {
                    coverage.count(&format!("{part}: {before} to {stage}"));
                    *before = stage;
                }
                None => stages.push((part, name.to_owned(), stage)),
            }
        });
    }

    /// A node shows what its records say, built anew; so do its indexes. (13, 27)
    pub(crate) fn check_fold(&mut self, node: usize) -> Result<(), String> {
        let n = &self.nodes[node];
        let Some(graph) = n.process.as_ref().map(|p| p.shared.graph()) else { return Ok(()) };
        let folded = self.oracle.fold(n.published)?;
        if graph.digest(&graph.view()) != folded {
            let at = self.oracle.position(n.published);
            return Err(format!("13: node {node} does not show what the records up to {at} say"));
        }
        check_indexes(&graph).map_err(|e| format!("27: node {node}: {e}"))?;
        self.count("graphs folded");
        Ok(())
    }

    /// A MAIN's word about a commit is the same for ever. (11)
    pub(crate) fn check_outcome(&mut self, node: usize, position: Position) -> Result<(), String> {
        let Some(AdminAnswer::Outcome(said)) = self.ask(node, Admin::TransactionOutcome { position })? else {
            return Ok(());
        };
        let n = &self.nodes[node];
        let Some(process) = n.process.as_ref() else { return Ok(()) };
        // Its log is about to be replaced by what stands in a snapshot, and is asked about until it is.
        if n.stages.iter().any(|(part, _, stage)| *part == "installation" && *stage == "under way") {
            return Ok(());
        }
        let index = self.oracle.find(position).ok_or(format!("{position} was told and never written"))?;
        let (is_held, is_shown) =
            (self.oracle.holds(process.tip, index), self.oracle.holds(n.published, index));
        let is_right = match said {
            OutcomeReport::Committed => is_shown,
            OutcomeReport::InDoubt => is_held && !is_shown,
            OutcomeReport::NotCommitted | OutcomeReport::Unknown => !is_held,
        };
        if !is_right {
            return Err(format!(
                "11: node {node} says {said:?} of {position}, held: {is_held}, shown: {is_shown}"
            ));
        }
        self.coverage.count(&format!("outcome: {said:?}"));
        let is_main = node == self.operator.main && process.shared.is_writable();
        if is_main && process.shared.epoch().number >= self.operator.number {
            self.oracle.answered(index, said);
        }
        Ok(())
    }

    /// Every node shows the same, and it is what the records say.
    pub(crate) fn check_end(&mut self, main: usize) -> Result<(), String> {
        let tip = self.nodes[main].published;
        self.oracle.check_survivors(tip, |_| true)?;
        let folded = self.oracle.fold(tip)?;
        for node in 0..self.nodes.len() {
            let Some(graph) = self.nodes[node].process.as_ref().map(|p| p.shared.graph()) else {
                return Err(format!("25: node {node} is gone"));
            };
            if self.nodes[node].published != tip || graph.digest(&graph.view()) != folded {
                return Err(format!("13: node {node} does not show what the records say"));
            }
            check_indexes(&graph).map_err(|e| format!("27: node {node}: {e}"))?;
        }
        for position in self.oracle.doubtful.clone() {
            let mut answers = Vec::new();
            for node in 0..self.nodes.len() {
                answers.push(self.ask(node, Admin::TransactionOutcome { position })?);
            }
            // A REPLICA that has no record of a later epoch cannot know, and says so.
            let unknown = Some(AdminAnswer::Outcome(OutcomeReport::Unknown));
            let of_main = answers[main].clone();
            if of_main.is_none()
                || of_main == unknown
                || answers.iter().any(|a| *a != of_main && *a != unknown)
            {
                return Err(format!("11: {position} is told as {answers:?}, MAIN is node {main}"));
            }
        }
        Ok(())
    }
}

/// More than any graph here has.
const MANY: usize = 1 << 20;

/// Returns the ids of what an index should hold, by id, from the graph itself.
fn belonging(tx: &Transaction, index: &IndexSpec) -> Vec<u64> {
    let (mut vertices, mut edges) = (Vec::new(), Vec::new());
    match index {
        IndexSpec::Label(label) | IndexSpec::LabelProperties(label, _) => {
            tx.scan_vertices(None, MANY, &mut vertices);
            vertices.retain(|id| {
                tx.has_label(*id, *label)
                    && index.keys().iter().all(|key| !tx.vertex_property(*id, *key).is_null())
            });
        }
        IndexSpec::EdgeType(edge_type) | IndexSpec::EdgeTypeProperties(edge_type, _) => {
            tx.scan_edges(None, MANY, &mut edges);
            edges.retain(|id| {
                tx.edge(*id).is_some_and(|info| info.edge_type == *edge_type)
                    && index.keys().iter().all(|key| !tx.edge_property(*id, *key).is_null())
            });
        }
    }
    vertices.iter().map(|id| id.0).chain(edges.iter().map(|id| id.0)).collect()
}

/// Compares every index and unique constraint with one made from the vertices and edges themselves, and with those of
/// a graph that is loaded from the blocks of a snapshot.
fn check_indexes(graph: &Arc<Graph>) -> Result<(), String> {
    let again = Arc::new(Graph::new(Arc::new(Names::default())));
    let mut view = graph.view();
    let at = view.lsn();
    let mut blocks = Vec::new();
    while let Some(block) = view.next_block() {
        blocks.push(bytes::Bytes::from(graph.encode(&block)));
    }
    let read = |block: usize| Ok::<_, std::convert::Infallible>(blocks[block].clone());
    again.load(blocks.len(), &read, &OneByOne).map_err(|_| "its blocks cannot be loaded".to_owned())?;
    again.publish(at, 0);
    let (tx, other) = (graph.begin(false), again.begin(false));
    if tx.read_lsn() != at {
        return Ok(());
    }
    let named = |keys: &[PropertyKeyId]| -> Vec<PropertyKeyId> {
        keys.iter().map(|key| again.names().key(&graph.names().key_name(*key))).collect()
    };
    let label = |label: LabelId| again.names().label(&graph.names().label_name(label));
    let edge_type =
        |of: EdgeTypeId| again.names().edge_type(&graph.names().edge_type_name(of)).expect("there are few");
    for index in tx.indexes() {
        let twin = match &index {
            IndexSpec::Label(of) => IndexSpec::Label(label(*of)),
            IndexSpec::LabelProperties(of, keys) => IndexSpec::LabelProperties(label(*of), named(keys)),
            IndexSpec::EdgeType(of) => IndexSpec::EdgeType(edge_type(*of)),
            IndexSpec::EdgeTypeProperties(of, keys) => {
                IndexSpec::EdgeTypeProperties(edge_type(*of), named(keys))
            }
        };
        let seek = |tx: &Transaction, index: &IndexSpec| -> Vec<u64> {
            let (all, mut vertices, mut edges) = (IndexBounds::all(), Vec::new(), Vec::new());
            tx.index_seek(index, &all, &mut IndexCursor::default(), MANY, &mut vertices);
            tx.edge_index_seek(index, &all, &mut IndexCursor::default(), MANY, &mut edges);
            vertices.iter().map(|id| id.0).chain(edges.iter().map(|id| id.0)).collect()
        };
        let (found, rebuilt) = (seek(&tx, &index), seek(&other, &twin));
        if found != rebuilt {
            return Err(format!("index {index:?} holds {found:?}, made anew {rebuilt:?}"));
        }
        let members = belonging(&tx, &index);
        let mut sorted = found.clone();
        sorted.sort_unstable();
        if sorted != members {
            return Err(format!("index {index:?} holds {sorted:?}, the graph {members:?}"));
        }
    }
    for constraint in tx.constraints() {
        let mut members = Vec::new();
        tx.scan_vertices(None, MANY, &mut members);
        members.retain(|id| tx.has_label(*id, constraint.label));
        let values = |id| -> Vec<Value> {
            constraint.properties.iter().map(|key| tx.vertex_property(id, *key)).collect()
        };
        let mut seen: Vec<Vec<Value>> = Vec::new();
        for id in members {
            let values = values(id);
            let has_null = values.iter().any(Value::is_null);
            match constraint.kind {
                ConstraintKind::Exists if has_null => return Err(format!("{id} breaks {constraint:?}")),
                ConstraintKind::Unique if !has_null && seen.contains(&values) => {
                    return Err(format!("{id} breaks {constraint:?}"));
                }
                ConstraintKind::Typed(kind) if !values.iter().all(|value| kind.allows(value)) => {
                    return Err(format!("{id} breaks {constraint:?}"));
                }
                _ => seen.push(values),
            }
        }
    }
    Ok(())
}
