//! From a finished transaction to its place in the log: the first committer wins.
//!
//! The engine asks [`Graph::conflicts`] for each commit in turn, and gives an LSN to those without.
//! Three things are looked at: what was applied after the transaction began (its own pin has kept the
//! undo steps of all that), what has an LSN but is not applied yet ([`InFlight`]), and constraints.

use super::constraint::{NewConstraint, fits_alone, violation};
use super::delta::Touch;
use super::gc::Object;
use super::index::Index;
use super::mvcc::Pin;
use super::order::Key;
use super::{Graph, properties};
use crate::types::{Change, ConstraintKind, ConstraintSpec, LabelId, Lsn, VertexId};
use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Why a commit gets no LSN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// A retry of the whole transaction can help.
    #[error("another transaction changed the same object first")]
    Object,
    /// A retry of the whole transaction can help.
    #[error("the schema changed under the transaction")]
    SchemaChanged,
    /// Text as in `Unable to commit due to unique constraint violation on :L(p)`.
    #[error("{0}")]
    Constraint(String),
}

/// What a transaction wants to commit.
pub struct Commit {
    /// What the transaction saw.
    pub read: Lsn,
    /// What it did, in an order that can be applied.
    pub changes: Vec<Change>,
    /// The same, encoded.
    pub payload: Bytes,
    pub(super) claims: Claims,
    /// Keeps the undo steps after `read` until the commit has its LSN or is dropped.
    pub(super) pin: Option<Pin>,
}

/// What a commit lays a hand on.
#[derive(Default)]
pub(super) struct Claims {
    /// The record that last changed a constraint, as the transaction saw it.
    pub(super) constraints_changed: Lsn,
    /// The record that last changed the schema, as the transaction saw it.
    pub(super) schema_changed: Lsn,
    /// Objects that others may write too, rising.
    pub(super) objects: Vec<(Object, Touch)>,
    /// Labels of the vertices whose content it writes, before and after.
    pub(super) labels: FxHashSet<LabelId>,
    /// For each unique constraint and each vertex that it writes: the key that the vertex then has.
    pub(super) unique: Vec<(ConstraintSpec, Arc<Index>, VertexId, Option<Key>)>,
    /// Constraints that it creates.
    pub(super) constraints: Vec<NewConstraint>,
    pub(super) changes_schema: bool,
    pub(super) changes_constraints: bool,
    /// It deletes all that there is: nothing else may be committed between what it read and itself.
    pub(super) replaces_all: bool,
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commit").field("read", &self.read).field("changes", &self.changes.len()).finish()
    }
}

/// Names an index of a unique constraint while someone holds it.
type IndexId = usize;

fn index_id(index: &Arc<Index>) -> IndexId {
    Arc::as_ptr(index) as IndexId
}

/// Mostly one, which needs no allocation.
type Few<T> = SmallVec<[T; 1]>;

/// A key that a record gives to a vertex, or takes from it.
type Held = (Lsn, Option<Key>);

/// A commit of more objects is large.
const LARGE: usize = 256;

impl Claims {
    /// Whether others look for an object in its list, which is sorted, and not in a table of all commits' objects: to put
    /// many into a table and take them out again costs more than few look-ups.
    fn is_large(&self) -> bool {
        self.objects.len() > LARGE
    }

    fn touch(&self, object: Object) -> Option<Touch> {
        let place = self.objects.binary_search_by_key(&object, |(object, _)| *object).ok()?;
        Some(self.objects[place].1)
    }
}

/// Commits that have an LSN but are not yet applied.
#[derive(Default)]
pub struct InFlight {
    commits: VecDeque<(Lsn, Claims)>,
    /// How many of them are large.
    large: usize,
    /// Objects of those that are not large.
    objects: FxHashMap<Object, Few<(Lsn, Touch)>>,
    labels: FxHashMap<LabelId, usize>,
    /// For each unique key, who will hold it.
    keys: FxHashMap<(IndexId, Key), Few<(Lsn, VertexId)>>,
    /// For each vertex, the key that it will have.
    holders: FxHashMap<(IndexId, VertexId), Few<Held>>,
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lsns: Vec<u64> = self.commits.iter().map(|(lsn, _)| lsn.0).collect();
        f.debug_tuple("InFlight").field(&lsns).finish()
    }
}

impl InFlight {
    /// Notes a commit that was given `lsn`, greater than every other here. The commit's hold on old
    /// versions ends; it cannot be asked about again.
    pub fn add(&mut self, lsn: Lsn, commit: &mut Commit) {
        let claims = std::mem::take(&mut commit.claims);
        commit.pin = None;
        assert!(self.commits.back().is_none_or(|(last, _)| *last < lsn), "LSNs are given in rising order");
        if claims.is_large() {
            self.large += 1;
        } else {
            for (object, touch) in &claims.objects {
                self.objects.entry(*object).or_default().push((lsn, *touch));
            }
        }
        for label in &claims.labels {
            *self.labels.entry(*label).or_default() += 1;
        }
        for (_, index, vertex, key) in &claims.unique {
            if let Some(key) = key {
                self.keys.entry((index_id(index), key.clone())).or_default().push((lsn, *vertex));
            }
            self.holders.entry((index_id(index), *vertex)).or_default().push((lsn, key.clone()));
        }
        self.commits.push_back((lsn, claims));
    }

    /// Forgets everything up to `lsn`: it is applied.
    pub fn remove_up_to(&mut self, lsn: Lsn) {
        while self.commits.front().is_some_and(|(first, _)| *first <= lsn) {
            let (lsn, claims) = self.commits.pop_front().expect("just seen");
            self.forget(lsn, &claims);
        }
    }

    /// Forgets everything after `lsn`: it will never be applied.
    pub fn remove_after(&mut self, lsn: Lsn) {
        while self.commits.back().is_some_and(|(last, _)| *last > lsn) {
            let (lsn, claims) = self.commits.pop_back().expect("just seen");
            self.forget(lsn, &claims);
        }
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    fn forget(&mut self, lsn: Lsn, claims: &Claims) {
        fn drop_of<K: Eq + std::hash::Hash, V>(map: &mut FxHashMap<K, Few<(Lsn, V)>>, key: K, lsn: Lsn) {
            if let Some(list) = map.get_mut(&key) {
                list.retain(|held| held.0 != lsn);
                if list.is_empty() {
                    map.remove(&key);
                }
            }
        }
        if claims.is_large() {
            self.large -= 1;
        } else {
            for (object, _) in &claims.objects {
                drop_of(&mut self.objects, *object, lsn);
            }
        }
        for label in &claims.labels {
            let count = self.labels.get_mut(label).expect("counted when it was added");
            *count -= 1;
            if *count == 0 {
                self.labels.remove(label);
            }
        }
        for (_, index, vertex, key) in &claims.unique {
            if let Some(key) = key {
                drop_of(&mut self.keys, (index_id(index), key.clone()), lsn);
            }
            drop_of(&mut self.holders, (index_id(index), *vertex), lsn);
        }
    }

    /// Whether something in flight conflicts with what was done to an object.
    fn meets(&self, object: Object, touch: Touch) -> bool {
        let small = self.objects.get(&object).into_iter().flatten().map(|(_, other)| *other);
        let of_large =
            |(_, claims): &(Lsn, Claims)| claims.is_large().then(|| claims.touch(object)).flatten();
        small
            .chain(self.commits.iter().filter(|_| self.large > 0).filter_map(of_large))
            .any(|other| other.conflicts_with(touch))
    }

    /// Returns the key that a vertex will have, if something in flight says so.
    fn holds(&self, index: IndexId, vertex: VertexId) -> Option<&Option<Key>> {
        self.holders.get(&(index, vertex)).and_then(|list| list.last()).map(|(_, key)| key)
    }
}

impl Graph {
    /// Says whether the commit may be given the next LSN. `in_flight` must hold exactly the commits
    /// that have an LSN and are not yet applied.
    ///
    /// # Errors
    /// The reason why not.
    pub fn conflicts(&self, commit: &Commit, in_flight: &InFlight) -> Result<(), Conflict> {
        let claims = &commit.claims;
        let pin = commit.pin.as_ref().expect("a commit that has its LSN is not asked about again");
        if !pin.is_of(&self.readers) {
            // It read a graph that a snapshot or a rewind has replaced since.
            return Err(Conflict::Object);
        }
        self.check_schema(claims, in_flight)?;
        self.check_replaced(commit, in_flight)?;
        // Who has seen all that was applied can only meet what is in flight.
        let is_behind = self.writer.lock().applied != commit.read;
        if is_behind || !in_flight.is_empty() {
            let meets = |(object, touch): &(Object, Touch)| {
                is_behind && self.touched_after(*object, commit.read).conflicts_with(*touch)
                    || in_flight.meets(*object, *touch)
            };
            if claims.objects.iter().any(meets) {
                return Err(Conflict::Object);
            }
        }
        self.check_unique(claims, in_flight)?;
        for constraint in &claims.constraints {
            // What is in flight is not in the graph to be looked at.
            if in_flight.labels.contains_key(&constraint.spec.label) {
                return Err(Conflict::Object);
            }
            self.check_changed_since(commit.read, constraint)?;
        }
        Ok(())
    }

    /// Returns all that was done to an object after `read`, which someone must have pinned.
    pub(super) fn touched_after(&self, object: Object, read: Lsn) -> Touch {
        match object {
            Object::Vertex(id) => self.vertices.read(id.0, |chunk| chunk.touched_after(id, read)),
            Object::Edge(id) => self.edges.read(id.0, |chunk| chunk.touched_after(id, read)),
        }
        .unwrap_or_default()
    }

    /// Returns whether a reader at `read` sees a vertex, and what was done to it after that.
    pub(super) fn to_write(&self, id: VertexId, read: Lsn) -> (bool, Touch) {
        self.vertices.read(id.0, |chunk| chunk.to_write(id, read)).unwrap_or_default()
    }

    fn check_schema(&self, claims: &Claims, in_flight: &InFlight) -> Result<(), Conflict> {
        let schema = self.writer.lock().schema.clone();
        // Every write depends on the constraints; a change of the schema depends on all of it.
        let is_stale = schema.constraints_changed != claims.constraints_changed
            || claims.changes_schema && schema.changed != claims.schema_changed;
        let meets_another = in_flight
            .commits
            .iter()
            .any(|(_, other)| other.changes_constraints || claims.changes_schema && other.changes_schema);
        if is_stale || meets_another { Err(Conflict::SchemaChanged) } else { Ok(()) }
    }

    /// A commit that replaces everything stands for itself alone.
    fn check_replaced(&self, commit: &Commit, in_flight: &InFlight) -> Result<(), Conflict> {
        let is_overtaken = commit.claims.replaces_all
            && (!in_flight.is_empty() || self.writer.lock().applied != commit.read);
        let meets_another = in_flight.commits.iter().any(|(_, other)| other.replaces_all);
        if is_overtaken || meets_another { Err(Conflict::Object) } else { Ok(()) }
    }

    fn check_unique(&self, claims: &Claims, in_flight: &InFlight) -> Result<(), Conflict> {
        let own: FxHashSet<(IndexId, VertexId)> =
            claims.unique.iter().map(|(_, index, vertex, _)| (index_id(index), *vertex)).collect();
        for (spec, index, vertex, key) in &claims.unique {
            let Some(key) = key else { continue };
            let id = index_id(index);
            let refused = || Err(Conflict::Constraint(violation(&self.names, spec)));
            for holder in index.holders(key) {
                // Vertices that this commit writes are told apart when the transaction ends; those in
                // flight by the key that they will have.
                if holder == *vertex || own.contains(&(id, holder)) || in_flight.holds(id, holder).is_some() {
                    continue;
                }
                if self.newest_key(index, holder).as_ref() == Some(key) {
                    return refused();
                }
            }
            for (_, holder) in in_flight.keys.get(&(id, key.clone())).into_iter().flatten() {
                let still = in_flight.holds(id, *holder).is_some_and(|held| held.as_ref() == Some(key));
                if still && holder != vertex && !own.contains(&(id, *holder)) {
                    return refused();
                }
            }
        }
        Ok(())
    }

    fn newest_key(&self, index: &Index, id: VertexId) -> Option<Key> {
        let key = self.vertices.read(id.0, |chunk| {
            let content = chunk.newest(id)?;
            if !self.label_sets.has(content.labels, index.of) {
                return None;
            }
            index.key_of_block(content.properties)
        });
        key.flatten()
    }

    /// Checks a new constraint against the vertices that changed since its transaction looked. The
    /// pin has kept the list of them from being collected.
    fn check_changed_since(&self, read: Lsn, constraint: &NewConstraint) -> Result<(), Conflict> {
        let mut changed: Vec<VertexId> = Vec::new();
        for garbage in self.writer.lock().garbage.iter().filter(|garbage| garbage.lsn > read) {
            changed.extend(garbage.objects.iter().filter_map(|object| match object {
                Object::Vertex(id) => Some(*id),
                Object::Edge(_) => None,
            }));
        }
        changed.sort_unstable();
        changed.dedup();
        let spec = &constraint.spec;
        let index = Index::new(spec.label, spec.properties.clone(), true);
        let mut new_holders: FxHashMap<Key, VertexId> = FxHashMap::default();
        for id in &changed {
            let is_broken = match spec.kind {
                ConstraintKind::Exists | ConstraintKind::Typed(_) => self
                    .vertices
                    .read(id.0, |chunk| {
                        chunk.newest(*id).is_some_and(|content| {
                            self.label_sets.has(content.labels, spec.label)
                                && !fits_alone(spec, |key| properties::get(content.properties, key))
                        })
                    })
                    .unwrap_or(false),
                ConstraintKind::Unique => self.newest_key(&index, *id).is_some_and(|key| {
                    let old = constraint.holders.get(&key);
                    old.is_some_and(|old| changed.binary_search(old).is_err())
                        || new_holders.insert(key, *id).is_some()
                }),
            };
            if is_broken {
                return Err(Conflict::Constraint(violation(&self.names, spec)));
            }
        }
        Ok(())
    }
}
