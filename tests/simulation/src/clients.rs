//! Clients: transactions, what they are told, and reads that follow them.
//!
//! Some send whether or not they have an answer, some wait for it, try again, or give up. What they
//! were told they later look for on any node, by its bookmark.

use crate::oracle::{Index, Proposal, Yes};
use crate::process::Process;
use crate::rng::Rng;
use crate::world::{Event, MS, SECOND, World};
use bytes::Bytes;
use mgnode_core::engine::{CommitError, Input, Outcome, Token};
use mgnode_core::storage::{Commit, Direction, Graph, Transaction, WriteError};
use mgnode_core::types::{
    ConstraintKind, ConstraintSpec, EnumSpec, Epoch, IndexSpec, Lsn, NodeId, Position, PropertyType, Role,
    SyncMode, TriggerEvent, TriggerPhase, TriggerSpec, Value, VertexId,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Vertices from which on clients delete as often as they create.
const VERTICES_MANY: u64 = 120;

/// How a client goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It sends at its own pace.
    Open,
    /// It waits for the answer, at most for that long.
    Closed { patience: u64 },
}

#[derive(Debug)]
pub(crate) struct Client {
    kind: Kind,
    waits_for: Option<(u64, u64)>,
    /// The commit that it was told of last.
    bookmark: Option<Position>,
    /// What it writes until it knows that it is done.
    key: Option<Key>,
}

/// A write that is done once, however often it is asked for: no two vertices have one key.
#[derive(Debug)]
struct Key {
    value: i64,
    /// The commits that were to write it.
    attempts: Vec<Bytes>,
}

impl Client {
    pub(crate) fn new(kind: Kind) -> Client {
        Client { kind, waits_for: None, bookmark: None, key: None }
    }
}

impl World {
    pub(crate) fn client(&mut self, index: usize) -> Result<(), String> {
        let pause = self.options.client_pause_us;
        let delay = self.rng.delay(pause / 4, pause * 2);
        if self.stop_clients {
            return Ok(());
        }
        self.after(delay, Event::Client { index });
        if let (Kind::Closed { patience }, Some((_, since))) =
            (self.clients[index].kind, self.clients[index].waits_for)
        {
            if self.now - since < patience {
                return Ok(());
            }
            self.clients[index].waits_for = None;
            self.count("clients that gave up");
        }
        if self.rng.one_in(4) {
            self.begin_read(index);
        }
        self.propose(index)
    }

    /// Returns the key of the write that a client is to run, or to run again, where it has one.
    fn key_of(&mut self, index: usize) -> Option<i64> {
        if !self.options.repeats {
            return None;
        }
        let value = self.next_uid;
        let is_new = self.clients[index].key.is_none() && self.rng.one_in(6);
        let key = &mut self.clients[index].key;
        if is_new {
            *key = Some(Key { value, attempts: Vec::new() });
        }
        key.as_ref().map(|key| key.value)
    }

    /// A client hears that its key is taken: an attempt of its own wrote it. (27)
    fn done_before(&mut self, index: usize) -> Result<(), String> {
        let Some(key) = self.clients[index].key.take() else { return Ok(()) };
        if !key.attempts.iter().any(|payload| self.oracle.is_known(payload)) {
            return Err(format!("27: key {} is taken, and nobody wrote it", key.value));
        }
        self.count("commits run again that were done before");
        Ok(())
    }

    fn propose(&mut self, index: usize) -> Result<(), String> {
        let writable: Vec<usize> = (0..self.nodes.len())
            .filter(|n| self.nodes[*n].process.as_ref().is_some_and(|p| p.shared.role() == Role::Main))
            // No one is sent to a node that was never told what it is.
            .filter(|n| *n == self.operator.main || self.nodes[*n].promised != Epoch::default())
            .collect();
        if writable.is_empty() {
            return Ok(());
        }
        let node = self.rng.pick(&writable);
        let Some(process) = self.nodes[node].process.as_ref() else { return Ok(()) };
        let (boot, graph, is_writable) = (process.boot, process.shared.graph(), process.shared.is_writable());
        // Sessions look first; now and then one is late.
        if !is_writable && !self.rng.one_in(10) {
            return Ok(());
        }
        if self.rng.one_in(20) {
            graph.collect_garbage();
        }
        self.next_uid += 1;
        let uid = self.next_uid;
        let key = self.key_of(index);
        let is_keyed = key.is_some() && has_keys(&graph);
        let written = match key {
            Some(key) => write_once(&graph, key, uid),
            None => transact(&graph, uid, &mut self.rng),
        };
        let commit = match written {
            Ok(Some(commit)) => commit,
            Ok(None) => return Ok(()),
            Err(WriteError::Constraint(_)) if is_keyed => return self.done_before(index),
            Err(error) => {
                let what = if let WriteError::Constraint(_) = error { "a constraint" } else { "another" };
                self.count(&format!("transactions that met {what}"));
                return Ok(());
            }
        };
        if let Some(key) = self.clients[index].key.as_mut().filter(|_| is_keyed) {
            let is_again = !key.attempts.is_empty();
            key.attempts.push(commit.payload.clone());
            if is_again {
                self.count("commits run again");
            }
        }
        self.next_token += 1;
        let token = self.next_token;
        self.clients[index].waits_for = Some((token, self.now));
        let payload = commit.payload.clone();
        let at = self.now;
        self.oracle
            .proposals
            .insert(token, Proposal { payload, at, client: index, to: (node, boot), is_taken: false });
        let delay = self.rng.delay(1, 3_000);
        self.after(delay, Event::Input { node, boot, input: Input::Propose { token: Token(token), commit } });
        Ok(())
    }

    /// A client is told how its commit ended. (2, 7, 22)
    pub(crate) fn resolved(&mut self, node: usize, token: Token, outcome: &Outcome) -> Result<(), String> {
        let (proposal, told) = self.oracle.told(token.0, outcome, self.nodes[node].promised)?;
        let client = &mut self.clients[proposal.client];
        if client.waits_for.is_some_and(|(t, _)| t == token.0) {
            client.waits_for = None;
        }
        let is_keyed = client.key.as_ref().is_some_and(|key| key.attempts.contains(&proposal.payload));
        if is_keyed && matches!(outcome, Outcome::Committed { .. } | Outcome::Degraded { .. }) {
            client.key = None;
        }
        let Some(index) = told else {
            let Outcome::Failed(error) = outcome else { return Ok(()) };
            if is_keyed && matches!(error, CommitError::Constraint(_)) {
                self.done_before(proposal.client)?;
            }
            let error = format!("{error:?}");
            let word = error.split(['(', ' ']).next().unwrap_or_default();
            self.count(&format!("failed: {word}"));
            self.note(|| format!("node {node} refuses a commit: {error}"));
            return Ok(());
        };
        let position = self.oracle.position(index);
        let n = &self.nodes[node];
        let Some(process) = n.process.as_ref() else { return Ok(()) };
        if position.epoch.node != n.id {
            return Err(format!("2: node {node} answers for {position}"));
        }
        if let Outcome::InDoubt { .. } = outcome {
            self.count("in doubt");
            return Ok(());
        }
        if !self.oracle.holds(n.synced, index) {
            return Err(format!("1.1: {position} was told committed and is not durable on its MAIN"));
        }
        if !self.oracle.holds(n.published, index) && process.shared.graph().published() < position.lsn {
            return Err(format!("1.1: {position} was told committed and is not shown by its MAIN"));
        }
        let has_lease = self.options.config.main_lease.is_some();
        // Another one may have waited for the turn of the one before.
        let is_first = position.lsn == self.oracle.position(n.published).lsn.next();
        if self.is_idle_step && is_first && !has_lease && matches!(outcome, Outcome::Committed { .. }) {
            return Err(format!("22: {position} waited for an ASYNC replica, or for nothing"));
        }
        let (id, boot) = (n.id, process.boot);
        let keepers = match outcome {
            Outcome::Committed { .. } => self.keepers_of(process, index)?,
            _ => BTreeSet::new(),
        };
        // Nothing but this node's own disk decides where every replica is ASYNC.
        // One that is being dropped is waited for until the disk has that.
        let mut replicas = process.registered.iter().chain(&process.counted);
        let is_alone = !has_lease && replicas.all(|r| r.mode == SyncMode::Async);
        let is_settled = process.regrouped_at.max(n.resumed_at) < n.synced_at;
        if is_alone && is_settled && n.synced_at < self.now {
            let late = self.now - n.synced_at;
            return Err(format!(
                "22: {position} is told {late} ns after it was durable, and waits for no one"
            ));
        }
        self.oracle.reigns(position.epoch, id, boot)?;
        self.nodes[node].said_yes = Some(self.now);
        let word = if let Outcome::Degraded { .. } = outcome { "degraded" } else { "committed" };
        self.count(word);
        self.yes_after_heal += u64::from(self.is_calm);
        // A MAIN that was replaced without its knowledge acknowledges to no one's surprise but its own.
        let main: NodeId = self.nodes[self.operator.main].id;
        let is_meant = self.operator.means(node) && position.epoch.number >= self.operator.number;
        if keepers.contains(&main) || is_meant {
            self.oracle.yes.push(Yes { index, keepers, is_excused: false });
            self.clients[proposal.client].bookmark = Some(position);
        }
        Ok(())
    }

    /// Returns who confirmed a commit that was told OK, and checks that it is enough. (7)
    fn keepers_of(&self, process: &Process, index: Index) -> Result<BTreeSet<NodeId>, String> {
        let position = self.oracle.position(index);
        let mut keepers = BTreeSet::new();
        let mut asked = 0;
        let mut lacking = Vec::new();
        for r in &process.counted {
            let since = process.registered_at.get(&r.name).copied().unwrap_or(Lsn(u64::MAX));
            if r.mode == SyncMode::Async || since >= position.lsn {
                continue;
            }
            asked += 1;
            let Some(replica) = self.nodes.iter().find(|n| n.id == r.node) else { continue };
            let is_shown = replica.shown_once >= position.lsn
                || replica.process.as_ref().is_none_or(|p| p.shared.graph().published() >= position.lsn);
            if self.oracle.holds(replica.synced, index) && is_shown {
                keepers.insert(r.node);
            } else if !(replica.has_told(&self.oracle, index) && is_shown) {
                lacking.push(r.name.as_str());
            }
        }
        let is_strict = process.counted.iter().any(|r| r.mode == SyncMode::StrictSync);
        let needed = self.options.config.sync_min_acks.filter(|_| !is_strict).map_or(asked, |k| k.min(asked));
        if asked - lacking.len() < needed {
            return Err(format!("7: {position} was told OK and is not durable and shown on {lacking:?}"));
        }
        Ok(keepers)
    }

    // ---- reads ----

    fn begin_read(&mut self, index: usize) {
        let Some(position) = self.clients[index].bookmark else { return };
        let node = self.rng.below(self.nodes.len() as u64) as usize;
        let Some(boot) = self.nodes[node].process.as_ref().map(|p| p.boot) else { return };
        let deadline = self.now + self.rng.pick(&[50 * MS, SECOND]);
        self.after(0, Event::Read { node, boot, position, deadline });
    }

    /// What a session does with a bookmark: it waits for the commit, or hears that it is lost. (15)
    pub(crate) fn read(
        &mut self,
        node: usize,
        boot: u64,
        position: Position,
        deadline: u64,
    ) -> Result<(), String> {
        if !self.is_alive(node, boot) {
            return Ok(());
        }
        let n = &self.nodes[node];
        let Some(process) = n.process.as_ref() else { return Ok(()) };
        let index = self.oracle.find(position).ok_or(format!("{position} was told and never written"))?;
        let says = process.shared.history_says(position);
        let published = process.shared.graph().published();
        match says {
            Some(false) => {
                if self.oracle.holds(process.tip, index) {
                    return Err(format!("15: node {node} calls {position} lost and holds it"));
                }
                self.count("bookmarks lost");
            }
            Some(true) if published >= position.lsn => {
                if !self.oracle.holds(self.oracle.at(process.tip, published), index) {
                    return Err(format!("15: node {node} serves a read after {position} without it"));
                }
                self.count("bookmarks seen");
            }
            _ if self.now >= deadline => self.count("bookmarks waited for in vain"),
            _ => {
                let delay = self.rng.delay(1_000, 20_000);
                self.after(delay, Event::Read { node, boot, position, deadline });
            }
        }
        Ok(())
    }
}

/// What clients write to.
struct Words {
    city: mgnode_core::types::LabelId,
    town: mgnode_core::types::LabelId,
    road: mgnode_core::types::EdgeTypeId,
    mark: mgnode_core::types::PropertyKeyId,
    heat: mgnode_core::types::PropertyKeyId,
}

fn key_constraint(graph: &Graph) -> ConstraintSpec {
    let names = graph.names();
    let (label, property) = (names.label("Order"), names.key("key"));
    ConstraintSpec { label, properties: vec![property], kind: ConstraintKind::Unique }
}

/// Whether keys are unique there.
fn has_keys(graph: &Arc<Graph>) -> bool {
    graph.begin(false).constraints().contains(&key_constraint(graph))
}

/// Writes what a client may run again, under a key; where keys are not unique yet, makes them so.
fn write_once(graph: &Arc<Graph>, key: i64, uid: i64) -> Result<Option<Commit>, WriteError> {
    let constraint = key_constraint(graph);
    let mark = (graph.names().key("mark"), Value::Int(uid));
    let mut tx = graph.begin(true);
    if tx.constraints().contains(&constraint) {
        let key = (constraint.properties[0], Value::Int(key));
        tx.create_vertex(&[constraint.label], vec![key, mark])?;
    } else {
        tx.create_vertex(&[], vec![mark])?;
        tx.create_constraint(constraint)?;
    }
    tx.finish()
}

/// A small transaction of a random client; a unique mark makes its record unlike any other.
fn transact(graph: &Arc<Graph>, uid: i64, rng: &mut Rng) -> Result<Option<Commit>, WriteError> {
    let names = graph.names().clone();
    let road = names.edge_type("ROAD").expect("there are few types");
    let words = Words {
        city: names.label("City"),
        town: names.label("Town"),
        road,
        mark: names.key("mark"),
        heat: names.key("heat"),
    };
    let mut tx = graph.begin(true);
    let mut known = Vec::new();
    tx.scan_vertices(None, 8, &mut known);
    let some = rng.below(graph.counts().vertices * 2 + 1);
    tx.scan_vertices(Some(VertexId(some)), 8, &mut known);
    if tx.counts().vertices > VERTICES_MANY && rng.one_in(2) {
        delete(&mut tx, rng.pick(&known))?;
        tx.create_vertex(&[], vec![(words.mark, Value::Int(uid))])?;
        if rng.one_in(2) {
            let other = rng.pick(&known);
            if tx.vertex_exists(other) {
                delete(&mut tx, other)?;
            }
        }
        return tx.finish();
    }
    match rng.below(24) {
        0..=10 => {
            let id = tx.create_vertex(&[words.city], vec![(words.mark, Value::Int(uid))])?;
            if !known.is_empty() {
                tx.create_edge(id, rng.pick(&known), words.road, vec![(words.heat, Value::Int(uid))])?;
            }
        }
        // Two clients that touch the same vertex conflict.
        11..=15 if !known.is_empty() => {
            let id = rng.pick(&known);
            tx.set_vertex_property(id, words.mark, Value::Int(uid))?;
            if rng.one_in(2) {
                tx.add_label(id, words.town)?;
            }
        }
        16..=18 if known.len() > 6 => {
            let (from, to) = (rng.pick(&known), rng.pick(&known));
            tx.create_edge(from, to, words.road, vec![(words.mark, Value::Int(uid))])?;
            let mut edges = Vec::new();
            tx.scan_edges(None, 4, &mut edges);
            if edges.len() > 3 {
                tx.delete_edge(rng.pick(&edges))?;
            }
            if let Some(edge) = edges.first().filter(|edge| tx.edge(**edge).is_some() && rng.one_in(2)) {
                tx.set_edge_property(*edge, words.heat, Value::Int(uid))?;
            }
        }
        // A value that may be taken, a property that may be demanded.
        19 => {
            let mark = Value::Int(uid - rng.below(6) as i64);
            tx.create_vertex(&[words.city], vec![(words.mark, mark), (words.heat, Value::Int(uid))])?;
        }
        20 => {
            tx.create_vertex(&[words.city, words.town], vec![(words.heat, Value::Int(uid))])?;
        }
        // More than a sector, or than a small segment.
        21 => {
            let text = "abcdefgh".repeat(rng.pick(&[20, 70, 200]));
            let properties = vec![(words.mark, Value::Int(uid)), (words.heat, Value::String(text.into()))];
            tx.create_vertex(&[words.town], properties)?;
        }
        22 => schema(&mut tx, &words, uid, rng)?,
        _ => {
            tx.create_vertex(&[], vec![(words.mark, Value::Int(uid))])?;
        }
    }
    tx.finish()
}

fn delete(tx: &mut Transaction, id: VertexId) -> Result<(), WriteError> {
    let mut edges = Vec::new();
    tx.expand(id, Direction::Both, None, &mut edges);
    for (edge, ..) in edges {
        tx.delete_edge(edge)?;
    }
    tx.delete_vertex(id)
}

/// An index or a constraint comes or goes, beside a vertex that makes the record unique.
fn schema(tx: &mut Transaction, words: &Words, uid: i64, rng: &mut Rng) -> Result<(), WriteError> {
    tx.create_vertex(&[], vec![(words.mark, Value::Int(uid))])?;
    let index = match rng.below(7) {
        0 => IndexSpec::Label(words.city),
        1 => IndexSpec::LabelProperties(words.city, vec![words.mark]),
        2 => IndexSpec::LabelProperties(words.city, vec![words.heat, words.mark]),
        3 => IndexSpec::EdgeType(words.road),
        4 => IndexSpec::EdgeTypeProperties(words.road, vec![words.mark]),
        5 => IndexSpec::EdgeTypeProperties(words.road, vec![words.heat, words.mark]),
        _ => IndexSpec::LabelProperties(words.town, vec![words.mark]),
    };
    let kind = match rng.below(3) {
        0 => ConstraintKind::Unique,
        1 => ConstraintKind::Exists,
        _ => ConstraintKind::Typed(if rng.one_in(2) { PropertyType::Integer } else { PropertyType::String }),
    };
    let constraint = ConstraintSpec { label: words.city, properties: vec![words.mark], kind };
    let name = ["a", "b"][rng.below(2) as usize];
    match rng.below(9) {
        0..=2 => drop(tx.create_index(index)?),
        3 => drop(tx.drop_index(&index)?),
        4 => drop(tx.create_constraint(constraint)?),
        5 => tx.set_enum(EnumSpec { name: name.into(), values: vec![uid.to_string().into()] }),
        6 => drop(tx.drop_enum(name)),
        7 => {
            let trigger = TriggerSpec {
                name: name.into(),
                event: TriggerEvent::Any,
                phase: TriggerPhase::AfterCommit,
                statement: uid.to_string().into(),
            };
            if !tx.create_trigger(trigger) {
                tx.drop_trigger(name);
            }
        }
        _ => drop(tx.drop_constraint(&constraint)?),
    }
    Ok(())
}
