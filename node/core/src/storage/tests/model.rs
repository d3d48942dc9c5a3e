//! Random transactions, interleaved, against a model that keeps a full copy of the graph per LSN.
//!
//! Checked after every step: what an open transaction sees (its own writes, labels, properties, edges,
//! scans, indexes, counts) is what the model says, however old it is and whatever was applied, published
//! and collected meanwhile; one that moves on keeps its own writes and sees those of others; commits are
//! refused exactly where the rules say. In the end a second graph
//! that applied the encoded payloads, and a third that was loaded from a view, hold the same.

use crate::storage::{
    Commit, Conflict, Counts, Direction, Graph, InFlight, IndexBounds, Transaction, Wanted, WriteError,
};
use crate::types::{
    Change, ConstraintKind, ConstraintSpec, EdgeId, EdgeTypeId, IndexSpec, LabelId, Lsn, Names,
    PropertyKeyId, Value, VertexId,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    vertices: BTreeMap<VertexId, (BTreeSet<LabelId>, BTreeMap<PropertyKeyId, Value>)>,
    edges: BTreeMap<EdgeId, (VertexId, VertexId, EdgeTypeId, BTreeMap<PropertyKeyId, Value>)>,
    indexes: BTreeSet<IndexSpec>,
}

fn put(properties: &mut BTreeMap<PropertyKeyId, Value>, key: PropertyKeyId, value: &Value) {
    if value.is_null() {
        properties.remove(&key);
    } else {
        properties.insert(key, value.clone());
    }
}

impl Model {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::CreateVertex { id, labels, properties } => {
                let vertex = (labels.iter().copied().collect(), properties.iter().cloned().collect());
                assert_eq!(self.vertices.insert(*id, vertex), None);
            }
            Change::DeleteVertex { id } => {
                assert!(self.edges.values().all(|(from, to, ..)| from != id && to != id));
                self.vertices.remove(id).unwrap();
            }
            Change::AddLabel { id, label } => assert!(self.vertices.get_mut(id).unwrap().0.insert(*label)),
            Change::RemoveLabel { id, label } => assert!(self.vertices.get_mut(id).unwrap().0.remove(label)),
            Change::SetVertexProperty { id, key, value } => {
                put(&mut self.vertices.get_mut(id).unwrap().1, *key, value);
            }
            Change::CreateEdge { id, from, to, edge_type, properties } => {
                assert!(self.vertices.contains_key(from) && self.vertices.contains_key(to));
                let edge = (*from, *to, *edge_type, properties.iter().cloned().collect());
                assert_eq!(self.edges.insert(*id, edge), None);
            }
            Change::DeleteEdge { id } => drop(self.edges.remove(id).unwrap()),
            Change::SetEdgeProperty { id, key, value } => {
                put(&mut self.edges.get_mut(id).unwrap().3, *key, value)
            }
            Change::CreateIndex(spec) => assert!(self.indexes.insert(spec.clone())),
            Change::DropIndex(spec) => assert!(self.indexes.remove(spec)),
            Change::CreateConstraint(_)
            | Change::DropConstraint(_)
            | Change::SetEnum(_)
            | Change::DropEnum { .. }
            | Change::CreateTrigger(_)
            | Change::DropTrigger { .. } => {}
        }
    }

    /// Whether two vertices with the label have equal values (integers or texts) under the key.
    fn has_duplicates(&self, label: LabelId, key: PropertyKeyId) -> bool {
        let mut seen = BTreeSet::new();
        self.vertices.values().any(|(labels, properties)| match properties.get(&key) {
            Some(value) if labels.contains(&label) => !seen.insert(format!("{value:?}")),
            _ => false,
        })
    }

    /// Does here what leads from `before` to `after`.
    fn redo(&mut self, before: &Model, after: &Model) {
        fn redo<K: Ord + Copy, V: Clone + PartialEq>(
            here: &mut BTreeMap<K, V>,
            before: &BTreeMap<K, V>,
            after: &BTreeMap<K, V>,
        ) {
            here.retain(|id, _| after.contains_key(id) || !before.contains_key(id));
            let written = after.iter().filter(|(id, now)| before.get(id) != Some(now));
            here.extend(written.map(|(id, now)| (*id, now.clone())));
        }
        redo(&mut self.vertices, &before.vertices, &after.vertices);
        redo(&mut self.edges, &before.edges, &after.edges);
    }

    /// Returns the ids of the vertices or edges that belong in an index, by (value, id). Values are integers and texts.
    fn indexed(&self, spec: &IndexSpec) -> Vec<u64> {
        let sorted = |members: Vec<(u64, &BTreeMap<PropertyKeyId, Value>)>| {
            let place = |value: &Value| match value {
                Value::String(text) => (0, 0, text.to_string()),
                Value::Int(i) => (1, *i, String::new()),
                other => panic!("{other:?} is not written here"),
            };
            let mut found: Vec<(Vec<_>, u64)> = members
                .into_iter()
                .filter_map(|(id, properties)| {
                    let key: Option<_> =
                        spec.keys().iter().map(|key| properties.get(key).map(place)).collect();
                    Some((key?, id))
                })
                .collect();
            found.sort();
            found.into_iter().map(|(_, id)| id).collect()
        };
        match spec {
            IndexSpec::Label(label) | IndexSpec::LabelProperties(label, _) => {
                let members = self.vertices.iter().filter(|(_, vertex)| vertex.0.contains(label));
                sorted(members.map(|(id, vertex)| (id.0, &vertex.1)).collect())
            }
            IndexSpec::EdgeType(edge_type) | IndexSpec::EdgeTypeProperties(edge_type, _) => {
                let members = self.edges.iter().filter(|(_, edge)| edge.2 == *edge_type);
                sorted(members.map(|(id, edge)| (id.0, &edge.3)).collect())
            }
        }
    }

    fn nth_vertex(&self, n: u8) -> Option<VertexId> {
        self.vertices.keys().nth(usize::from(n) % self.vertices.len().max(1)).copied()
    }

    fn nth_edge(&self, n: u8) -> Option<EdgeId> {
        self.edges.keys().nth(usize::from(n) % self.edges.len().max(1)).copied()
    }
}

/// What a transaction lays a hand on: content of, edges at, deletion of.
#[derive(Clone, Debug, Default)]
struct Touched {
    content: BTreeSet<(bool, u64)>,
    edges: BTreeSet<(bool, u64)>,
    deleted: BTreeSet<(bool, u64)>,
}

impl Touched {
    fn vertex(id: VertexId) -> (bool, u64) {
        (true, id.0)
    }

    fn edge(id: EdgeId) -> (bool, u64) {
        (false, id.0)
    }

    fn of_changes(changes: &[Change], before: &Model) -> Touched {
        let mut touched = Touched::default();
        for change in changes {
            match change {
                Change::DeleteVertex { id } => drop(touched.deleted.insert(Self::vertex(*id))),
                Change::AddLabel { id, .. }
                | Change::RemoveLabel { id, .. }
                | Change::SetVertexProperty { id, .. } => drop(touched.content.insert(Self::vertex(*id))),
                Change::CreateEdge { from, to, .. } => {
                    touched.edges.extend([Self::vertex(*from), Self::vertex(*to)]);
                }
                Change::DeleteEdge { id } => {
                    let (from, to, ..) = before.edges[id];
                    touched.edges.extend([Self::vertex(from), Self::vertex(to)]);
                    touched.deleted.insert(Self::edge(*id));
                }
                Change::SetEdgeProperty { id, .. } => drop(touched.content.insert(Self::edge(*id))),
                _ => {}
            }
        }
        touched
    }

    /// What leads from one state to a later one of the same transaction.
    fn between(before: &Model, after: &Model) -> Touched {
        let mut touched = Touched::default();
        for (id, vertex) in &before.vertices {
            match after.vertices.get(id) {
                None => drop(touched.deleted.insert(Self::vertex(*id))),
                Some(now) if now != vertex => drop(touched.content.insert(Self::vertex(*id))),
                Some(_) => {}
            }
        }
        for (id, edge) in &before.edges {
            match after.edges.get(id) {
                None => {
                    touched.edges.extend([Self::vertex(edge.0), Self::vertex(edge.1)]);
                    touched.deleted.insert(Self::edge(*id));
                }
                Some(now) if now != edge => drop(touched.content.insert(Self::edge(*id))),
                Some(_) => {}
            }
        }
        for (id, edge) in &after.edges {
            if !before.edges.contains_key(id) {
                touched.edges.extend([Self::vertex(edge.0), Self::vertex(edge.1)]);
            }
        }
        touched
    }

    fn meets(&self, other: &Touched) -> bool {
        let hit = |a: &BTreeSet<_>, b: &BTreeSet<_>| !a.is_disjoint(b);
        let all = |t: &Touched| {
            t.content.iter().chain(&t.edges).chain(&t.deleted).copied().collect::<BTreeSet<(bool, u64)>>()
        };
        hit(&self.content, &other.content)
            || hit(&self.deleted, &all(other))
            || hit(&all(self), &other.deleted)
    }
}

struct Open {
    transaction: Transaction,
    sees: Model,
    claims: Touched,
}

struct Committed {
    lsn: Lsn,
    by_changes: Touched,
    by_claims: Touched,
}

struct World {
    graph: Arc<Graph>,
    copy: Arc<Graph>,
    in_flight: InFlight,
    waiting: VecDeque<(Lsn, Commit)>,
    /// The graph after each record, in flight or applied.
    states: Vec<Model>,
    committed: Vec<Committed>,
    applied: Lsn,
    labels: [LabelId; 2],
    keys: [PropertyKeyId; 2],
    types: [EdgeTypeId; 2],
    is_unique: bool,
}

impl World {
    fn new(is_unique: bool) -> World {
        let names = Arc::new(Names::default());
        let mut world = World {
            labels: [names.label("A"), names.label("B")],
            keys: [names.key("k"), names.key("l")],
            types: [names.edge_type("T").unwrap(), names.edge_type("U").unwrap()],
            graph: Arc::new(Graph::new(names)),
            copy: Arc::new(Graph::new(Arc::new(Names::default()))),
            in_flight: InFlight::default(),
            waiting: VecDeque::new(),
            states: vec![Model::default()],
            committed: Vec::new(),
            applied: Lsn::ZERO,
            is_unique,
        };
        if is_unique {
            let mut t = world.graph.begin(true);
            let spec = ConstraintSpec {
                label: world.labels[0],
                properties: vec![world.keys[0]],
                kind: ConstraintKind::Unique,
            };
            assert!(t.create_constraint(spec).unwrap());
            let commit = t.finish().unwrap().unwrap();
            world.accept(commit, Touched::default());
            world.apply_one();
            world.graph.publish(world.applied, 0);
        }
        world
    }

    /// Every index that comes and goes.
    fn indexes(&self) -> [IndexSpec; 4] {
        [
            IndexSpec::LabelProperties(self.labels[0], vec![self.keys[0]]),
            IndexSpec::EdgeType(self.types[0]),
            IndexSpec::EdgeTypeProperties(self.types[0], vec![self.keys[0]]),
            IndexSpec::EdgeTypeProperties(self.types[1], self.keys.to_vec()),
        ]
    }

    fn begin(&self) -> Open {
        let transaction = self.graph.begin(true);
        let sees = self.states[usize::try_from(transaction.read_lsn().0).unwrap()].clone();
        Open { transaction, sees, claims: Touched::default() }
    }

    fn accept(&mut self, mut commit: Commit, by_claims: Touched) {
        let mut state = self.states.last().unwrap().clone();
        let by_changes = Touched::of_changes(&commit.changes, &state);
        commit.changes.iter().for_each(|change| state.apply(change));
        let lsn = Lsn(self.states.len() as u64);
        self.states.push(state);
        self.in_flight.add(lsn, &mut commit);
        self.committed.push(Committed { lsn, by_changes, by_claims });
        self.waiting.push_back((lsn, commit));
    }

    fn apply_one(&mut self) {
        let Some((lsn, commit)) = self.waiting.pop_front() else { return };
        self.graph.apply(lsn, &commit.changes).unwrap();
        self.in_flight.remove_up_to(lsn);
        self.applied = lsn;
        let decoded = self.copy.decode(&commit.payload).unwrap();
        self.copy.apply(lsn, &decoded).unwrap();
        self.copy.publish(lsn, lsn.0);
    }

    fn commit(&mut self, open: Open) -> Result<(), TestCaseError> {
        let Open { transaction, sees, claims } = open;
        let read = transaction.read_lsn();
        let commit = match transaction.finish() {
            Ok(None) => return Ok(()),
            Ok(Some(commit)) => commit,
            Err(WriteError::Constraint(_)) => {
                prop_assert!(self.is_unique && sees.has_duplicates(self.labels[0], self.keys[0]));
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        // What was asked for may conflict, even where nothing of it is left in the end; what is left must.
        let left = Touched::of_changes(&commit.changes, &self.states[usize::try_from(read.0).unwrap()]);
        let later = || self.committed.iter().filter(|other| other.lsn > read);
        let must = later().any(|other| other.by_changes.meets(&left));
        let may = later().any(|other| other.by_claims.meets(&claims));
        match self.graph.conflicts(&commit, &self.in_flight) {
            Err(Conflict::Object) => prop_assert!(may, "a conflict that the rules do not know"),
            Err(Conflict::SchemaChanged) => prop_assert!(false, "no data commit depends on an index"),
            outcome => {
                prop_assert!(!must, "a conflict was missed: {:?}", commit.changes);
                let mut after = self.states.last().unwrap().clone();
                commit.changes.iter().for_each(|change| after.apply(change));
                let is_refused = self.is_unique && after.has_duplicates(self.labels[0], self.keys[0]);
                prop_assert_eq!(outcome.is_err(), is_refused, "{:?} {:?}", outcome, commit.changes);
                if !is_refused {
                    self.accept(commit, claims);
                }
            }
        }
        Ok(())
    }

    /// Moves a transaction on; false where it met a conflict.
    fn refresh(&self, open: &mut Open) -> Result<bool, TestCaseError> {
        let read = open.transaction.read_lsn();
        let outcome = open.transaction.refresh();
        let before = &self.states[usize::try_from(read.0).unwrap()];
        let left = Touched::between(before, &open.sees);
        let applied = || self.committed.iter().filter(|other| other.lsn > read && other.lsn <= self.applied);
        match outcome {
            Ok(()) => {
                let now = open.transaction.read_lsn();
                prop_assert!(now >= self.graph.published());
                let is_missed = applied().any(|other| other.lsn <= now && other.by_changes.meets(&left));
                prop_assert!(!is_missed, "a conflict was missed");
                let mut sees = self.states[usize::try_from(now.0).unwrap()].clone();
                sees.redo(before, &open.sees);
                open.sees = sees;
                Ok(true)
            }
            Err(WriteError::Conflict) => {
                let is_real = applied().any(|other| other.by_claims.meets(&open.claims));
                prop_assert!(is_real, "a conflict that the rules do not know");
                Ok(false)
            }
            Err(error) => Err(TestCaseError::fail(error.to_string())),
        }
    }

    /// Carries one write out; false where it met a conflict.
    fn write(&self, open: &mut Open, kind: u8, a: u8, b: u8, value: i8) -> Result<bool, TestCaseError> {
        let Open { transaction: t, sees, claims } = open;
        let (key, label) = (self.keys[usize::from(b) % 2], self.labels[usize::from(b) / 2 % 2]);
        let value = match value {
            i8::MIN..-100 => Value::Null,
            100..=i8::MAX => Value::string(format!("text {}", value % 4)),
            _ => Value::Int(i64::from(value % 6)),
        };
        let outcome: Result<(), WriteError> = match kind % 9 {
            0 | 1 => {
                let labels = &self.labels[..usize::from(a) % 3];
                let id = t.create_vertex(labels, vec![(key, value.clone())]).unwrap();
                let mut properties = BTreeMap::new();
                put(&mut properties, key, &value);
                sees.vertices.insert(id, (labels.iter().copied().collect(), properties));
                Ok(())
            }
            2 => {
                let (Some(from), Some(to)) = (sees.nth_vertex(a), sees.nth_vertex(b)) else {
                    return Ok(true);
                };
                let edge_type = self.types[usize::from(a ^ b) % 2];
                claims.edges.extend([Touched::vertex(from), Touched::vertex(to)]);
                t.create_edge(from, to, edge_type, vec![(key, value.clone())]).map(|id| {
                    let mut properties = BTreeMap::new();
                    put(&mut properties, key, &value);
                    sees.edges.insert(id, (from, to, edge_type, properties));
                })
            }
            3 => {
                let Some(id) = sees.nth_vertex(a) else { return Ok(true) };
                let before = sees.vertices[&id].1.get(&key).cloned().unwrap_or_default();
                if !(value.is_null() && before.is_null()) {
                    claims.content.insert(Touched::vertex(id));
                }
                t.set_vertex_property(id, key, value.clone()).map(|found| {
                    assert_eq!(found, before);
                    put(&mut sees.vertices.get_mut(&id).unwrap().1, key, &value);
                })
            }
            4 => {
                let Some(id) = sees.nth_edge(a) else { return Ok(true) };
                claims.content.insert(Touched::edge(id));
                t.set_edge_property(id, key, value.clone())
                    .map(|_| put(&mut sees.edges.get_mut(&id).unwrap().3, key, &value))
            }
            5 => {
                let Some(id) = sees.nth_vertex(a) else { return Ok(true) };
                claims.content.insert(Touched::vertex(id));
                t.add_label(id, label).map(|is_new| {
                    assert_eq!(sees.vertices.get_mut(&id).unwrap().0.insert(label), is_new);
                })
            }
            6 => {
                let Some(id) = sees.nth_vertex(a) else { return Ok(true) };
                claims.content.insert(Touched::vertex(id));
                t.remove_label(id, label).map(|was_there| {
                    assert_eq!(sees.vertices.get_mut(&id).unwrap().0.remove(&label), was_there);
                })
            }
            7 => {
                let Some(id) = sees.nth_edge(a) else { return Ok(true) };
                let (from, to, ..) = sees.edges[&id];
                claims.edges.extend([Touched::vertex(from), Touched::vertex(to)]);
                claims.deleted.insert(Touched::edge(id));
                t.delete_edge(id).map(|()| drop(sees.edges.remove(&id)))
            }
            _ => {
                let Some(id) = sees.nth_vertex(a) else { return Ok(true) };
                let is_alone = sees.edges.values().all(|(from, to, ..)| *from != id && *to != id);
                match t.delete_vertex(id) {
                    Err(WriteError::HasEdges(_)) => {
                        prop_assert!(!is_alone);
                        return Ok(true);
                    }
                    outcome => {
                        prop_assert!(is_alone);
                        claims.deleted.insert(Touched::vertex(id));
                        outcome.map(|()| drop(sees.vertices.remove(&id)))
                    }
                }
            }
        };
        match outcome {
            Ok(()) => Ok(true),
            Err(WriteError::Conflict) => {
                let read = t.read_lsn();
                let is_real =
                    self.committed.iter().any(|other| other.lsn > read && other.by_claims.meets(claims));
                prop_assert!(is_real, "an early conflict that the rules do not know");
                Ok(false)
            }
            Err(error) => Err(TestCaseError::fail(error.to_string())),
        }
    }

    /// Compares everything that a transaction sees.
    fn check(&self, open: &Open) -> Result<(), TestCaseError> {
        let Open { transaction: t, sees, .. } = open;
        let (vertices, edges) = (sees.vertices.len() as u64, sees.edges.len() as u64);
        prop_assert_eq!(t.counts(), Counts { vertices, edges });
        let mut ids = Vec::new();
        loop {
            let before = ids.len();
            t.scan_vertices(ids.last().copied(), 3, &mut ids);
            if ids.len() < before + 3 {
                break;
            }
        }
        prop_assert_eq!(&ids, &sees.vertices.keys().copied().collect::<Vec<_>>());
        let mut ids = Vec::new();
        t.scan_edges(None, usize::MAX / 2, &mut ids);
        prop_assert_eq!(&ids, &sees.edges.keys().copied().collect::<Vec<_>>());
        for label in self.labels {
            let mut ids = Vec::new();
            loop {
                let before = ids.len();
                t.scan_label(label, ids.last().copied(), 2, &mut ids);
                if ids.len() < before + 2 {
                    break;
                }
            }
            let expected = sees.vertices.iter().filter(|(_, v)| v.0.contains(&label)).map(|(id, _)| *id);
            prop_assert_eq!(ids, expected.collect::<Vec<_>>());
        }
        // One that is not there reads as one without properties.
        let ids: Vec<VertexId> = sees.vertices.keys().copied().chain([VertexId(999_999)]).collect();
        for bytes_max in [0, 20, 1 << 20] {
            let (mut values, mut done, mut portions) = (Vec::new(), 0, 0);
            while done < ids.len() {
                done += t.vertices_properties(&ids[done..], &self.keys, bytes_max, &mut values);
                portions += 1;
                prop_assert_eq!(values.len(), done * self.keys.len());
            }
            prop_assert!(bytes_max < 1 << 20 || portions == 1);
            let one_by_one: Vec<Value> =
                ids.iter().flat_map(|id| self.keys.map(|key| t.vertex_property(*id, key))).collect();
            prop_assert_eq!(values, one_by_one);
        }
        for label in self.labels.map(Some).into_iter().chain([None]) {
            for (vertices_max, bytes_max) in [(2, 1 << 20), (100, 20), (100, 1 << 20)] {
                let wanted = Wanted { label, keys: &self.keys, vertices_max, bytes_max };
                let (mut ids, mut values) = (Vec::new(), Vec::new());
                while t.scan_properties(&wanted, ids.last().copied(), &mut ids, &mut values) {}
                let expected: Vec<VertexId> = sees
                    .vertices
                    .iter()
                    .filter(|(_, v)| label.is_none_or(|label| v.0.contains(&label)))
                    .map(|(id, _)| *id)
                    .collect();
                prop_assert_eq!(&ids, &expected);
                let one_by_one: Vec<Value> =
                    ids.iter().flat_map(|id| self.keys.map(|key| t.vertex_property(*id, key))).collect();
                prop_assert_eq!(values, one_by_one);
            }
        }
        for (id, (labels, properties)) in &sees.vertices {
            prop_assert_eq!(t.labels(*id), labels.iter().copied().collect::<Vec<_>>());
            let expected: Vec<_> = properties.iter().map(|(k, v)| (*k, v.clone())).collect();
            prop_assert_eq!(t.vertex_properties(*id), expected);
            let steps = |direction, types: Option<&[EdgeTypeId]>| {
                let mut steps = Vec::new();
                t.expand(*id, direction, types, &mut steps);
                assert_eq!(t.degree(*id, direction, types), steps.len());
                steps
            };
            let expected = |direction, only: Option<EdgeTypeId>| {
                let mut steps = Vec::new();
                for (edge, (from, to, edge_type, _)) in &sees.edges {
                    if only.is_some_and(|only| only != *edge_type) {
                        continue;
                    }
                    let is_out = from == id && direction != Direction::Incoming;
                    if is_out {
                        steps.push((*edge, *edge_type, *to, true));
                    }
                    if to == id && direction != Direction::Outgoing && !(from == id && is_out) {
                        steps.push((*edge, *edge_type, *from, false));
                    }
                }
                steps
            };
            for direction in [Direction::Outgoing, Direction::Incoming, Direction::Both] {
                prop_assert_eq!(steps(direction, None), expected(direction, None));
                prop_assert_eq!(
                    steps(direction, Some(&self.types[1..])),
                    expected(direction, Some(self.types[1]))
                );
            }
        }
        for (id, (from, to, edge_type, properties)) in &sees.edges {
            let info = t.edge(*id).unwrap();
            prop_assert_eq!((info.from, info.to, info.edge_type), (*from, *to, *edge_type));
            let expected: Vec<_> = properties.iter().map(|(k, v)| (*k, v.clone())).collect();
            prop_assert_eq!(t.edge_properties(*id), expected);
        }
        for index in self.indexes() {
            prop_assert_eq!(t.has_index(&index), sees.indexes.contains(&index));
            let expected = if t.has_index(&index) { sees.indexed(&index) } else { Vec::new() };
            prop_assert_eq!(super::sought(t, &index, &IndexBounds::all(), 3), &expected[..]);
            let (IndexSpec::LabelProperties(_, keys) | IndexSpec::EdgeTypeProperties(_, keys)) = &index
            else {
                continue;
            };
            let is_of_vertices = matches!(index, IndexSpec::LabelProperties(..));
            let property = |id: u64, key: PropertyKeyId| match is_of_vertices {
                true => t.vertex_property(VertexId(id), key),
                false => t.edge_property(EdgeId(id), key),
            };
            for value in -5..=5 {
                let values: Vec<Value> = keys.iter().zip([value, 1]).map(|(_, i)| Value::Int(i)).collect();
                let has_all = |id: &&u64| keys.iter().zip(&values).all(|(key, v)| property(**id, *key) == *v);
                let expected: Vec<u64> = expected.iter().filter(has_all).copied().collect();
                prop_assert_eq!(super::sought(t, &index, &IndexBounds::equal(values.clone()), 3), expected);
            }
        }
        Ok(())
    }
}

fn run(is_unique: bool, steps: Vec<(u8, u8, u8, u8, i8)>) -> Result<(), TestCaseError> {
    let mut world = World::new(is_unique);
    let mut open: Vec<Open> = Vec::new();
    for (action, a, b, c, value) in steps {
        let slot = usize::from(a) % open.len().max(1);
        match action % 18 {
            0 | 1 if open.len() < 5 => open.push(world.begin()),
            2..=8 if !open.is_empty() => {
                let may_go_on = world.write(&mut open[slot], a / 5, b, c, value)?;
                if !may_go_on {
                    open.swap_remove(slot);
                }
            }
            9 | 10 if !open.is_empty() => {
                let chosen = open.swap_remove(slot);
                world.commit(chosen)?;
            }
            11 if !open.is_empty() => drop(open.swap_remove(slot)),
            16 | 17 if !open.is_empty() => {
                let may_go_on = world.refresh(&mut open[slot])?;
                if !may_go_on {
                    open.swap_remove(slot);
                }
            }
            12 => world.apply_one(),
            13 => {
                world.apply_one();
                world.graph.publish(world.applied, 0);
            }
            14 => drop(world.graph.collect_garbage()),
            15 => {
                // An index comes or goes, alone in its transaction.
                let index = world.indexes()[usize::from(b) % 4].clone();
                let mut t = world.graph.begin(true);
                if !t.drop_index(&index).unwrap() {
                    t.create_index(index).unwrap();
                }
                let commit = t.finish().unwrap().unwrap();
                match world.graph.conflicts(&commit, &world.in_flight) {
                    Ok(()) => world.accept(commit, Touched::default()),
                    Err(conflict) => prop_assert_eq!(conflict, Conflict::SchemaChanged),
                }
            }
            _ => {}
        }
        for open in &open {
            world.check(open)?;
        }
    }
    while !world.waiting.is_empty() {
        world.apply_one();
    }
    world.graph.publish(world.applied, 0);
    open.iter().try_for_each(|open| world.check(open))?;
    open.clear();
    while world.graph.collect_garbage().more {}
    let last = world.begin();
    world.check(&last)?;

    let (view, copied) = (world.graph.view(), world.copy.view());
    let digest = world.graph.digest(&view);
    prop_assert_eq!(digest, world.copy.digest(&copied));
    let mut view = view;
    let loaded = Arc::new(Graph::new(Arc::new(Names::default())));
    let blocks: Vec<Vec<u8>> =
        std::iter::from_fn(|| view.next_block()).map(|block| world.graph.encode(&block)).collect();
    super::load(&loaded, &blocks, &super::Threads(2)).unwrap();
    loaded.publish(view.lsn(), 0);
    prop_assert_eq!(digest, loaded.digest(&loaded.view()));
    // Nothing stale is left in the indexes once nobody reads the past.
    let of_loaded = loaded.begin(false);
    for (index, twin) in last.transaction.indexes().iter().zip(of_loaded.indexes()) {
        let expected = last.sees.indexed(index);
        prop_assert_eq!(last.transaction.index_count(index), expected.len() as u64);
        prop_assert_eq!(of_loaded.index_count(&twin), expected.len() as u64);
        prop_assert_eq!(super::sought(&of_loaded, &twin, &IndexBounds::all(), 100), expected);
    }
    for label in world.labels {
        let expected = last.sees.vertices.values().filter(|v| v.0.contains(&label)).count() as u64;
        prop_assert_eq!(world.graph.label_count(label), expected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn random_transactions_behave_as_the_model(
        is_unique: bool,
        steps in proptest::collection::vec(any::<(u8, u8, u8, u8, i8)>(), 0..160),
    ) {
        run(is_unique, steps)?;
    }
}
