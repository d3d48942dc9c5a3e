//! Which indexes, constraints, enums and triggers there are, as one value that readers share and that is replaced
//! as a whole.
//!
//! A reader keeps the schema of the LSN that it reads at, so an index built at a later LSN is never
//! offered to it, and one that was dropped meanwhile still answers it: the entries it needs were put
//! in before, and stay until nobody needs them.

use super::index::{EdgeIndex, Index};
use super::members::Members;
use crate::types::{
    Change, ConstraintKind, ConstraintSpec, EdgeTypeId, EnumSpec, IndexSpec, LabelId, Lsn, Names, TriggerSpec,
};
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What is kept up for an index.
#[derive(Clone)]
pub(super) enum Kept {
    /// Nothing of its own: of every label it is known who has it.
    Nothing,
    Vertices(Arc<Index>),
    EdgesOfType(EdgeTypeId, Arc<Members>),
    EdgeEntries(Arc<EdgeIndex>),
}

/// What must follow the edges of a type.
#[derive(Clone, Default)]
pub(super) struct OfType {
    pub(super) members: Option<Arc<Members>>,
    pub(super) indexes: Vec<Arc<EdgeIndex>>,
}

/// Each list sorted by name.
#[derive(Clone, Default)]
pub(super) struct Schema {
    /// The record that last changed anything here.
    pub(super) changed: Lsn,
    /// The record that last changed a constraint or an enum, on which every write depends.
    pub(super) constraints_changed: Lsn,
    pub(super) indexes: Vec<(IndexSpec, Kept)>,
    pub(super) constraints: Vec<(ConstraintSpec, Option<Arc<Index>>)>,
    /// Names what a plan may rest on: indexes, constraints, enums.
    pub(super) fingerprint: u64,
    pub(super) enums: Vec<EnumSpec>,
    pub(super) triggers: Vec<Arc<TriggerSpec>>,
    /// Everything that must follow vertices with the label, unique constraints too.
    by_label: FxHashMap<LabelId, Vec<Arc<Index>>>,
    by_type: FxHashMap<EdgeTypeId, OfType>,
}

impl Schema {
    pub(super) fn index(&self, spec: &IndexSpec) -> Option<&Kept> {
        self.indexes.iter().find(|(s, _)| s == spec).map(|(_, kept)| kept)
    }

    pub(super) fn has_constraint(&self, spec: &ConstraintSpec) -> bool {
        self.constraints.iter().any(|(s, _)| s == spec)
    }

    /// Returns what must follow vertices with the label.
    pub(super) fn of_label(&self, label: LabelId) -> &[Arc<Index>] {
        self.by_label.get(&label).map_or(&[], Vec::as_slice)
    }

    /// Returns what must follow edges of the type.
    pub(super) fn of_type(&self, edge_type: EdgeTypeId) -> Option<&OfType> {
        self.by_type.get(&edge_type)
    }

    /// Bytes of everything that is kept up.
    pub(super) fn index_bytes(&self) -> u64 {
        let of_labels = self.by_label.values().flatten().map(|index| index.bytes());
        let of_types = self.by_type.values().map(|of_type| {
            let entries: u64 = of_type.indexes.iter().map(|index| index.bytes()).sum();
            entries + of_type.members.as_ref().map_or(0, |members| members.bytes())
        });
        of_labels.chain(of_types).sum()
    }

    /// Whether no label has anything to keep up.
    pub(super) fn maintains_nothing(&self) -> bool {
        self.by_label.is_empty()
    }

    /// Whether no type of edges has anything to keep up.
    pub(super) fn maintains_no_edges(&self) -> bool {
        self.by_type.is_empty()
    }

    pub(super) fn add_index(&mut self, names: &Names, spec: IndexSpec, kept: Kept) {
        match &kept {
            Kept::Nothing => {}
            Kept::Vertices(index) => self.follow(Some(index)),
            Kept::EdgesOfType(edge_type, members) => {
                self.by_type.entry(*edge_type).or_default().members = Some(members.clone());
            }
            Kept::EdgeEntries(index) => {
                self.by_type.entry(index.of).or_default().indexes.push(index.clone());
            }
        }
        self.indexes.push((spec, kept));
        self.indexes.sort_by_cached_key(|(spec, _)| index_name(names, spec));
    }

    pub(super) fn remove_index(&mut self, spec: &IndexSpec) -> bool {
        let Some(place) = self.indexes.iter().position(|(s, _)| s == spec) else { return false };
        match self.indexes.remove(place).1 {
            Kept::Nothing => {}
            Kept::Vertices(index) => self.unfollow(Some(&index)),
            Kept::EdgesOfType(edge_type, _) => self.unfollow_edges(edge_type, |of| of.members = None),
            Kept::EdgeEntries(index) => self.unfollow_edges(index.of, |of| {
                of.indexes.retain(|other| !Arc::ptr_eq(other, &index));
            }),
        }
        true
    }

    pub(super) fn add_constraint(&mut self, names: &Names, spec: ConstraintSpec, index: Option<Arc<Index>>) {
        self.follow(index.as_ref());
        self.constraints.push((spec, index));
        self.constraints.sort_by_cached_key(|(spec, _)| constraint_name(names, spec));
    }

    pub(super) fn remove_constraint(&mut self, spec: &ConstraintSpec) -> bool {
        let Some(place) = self.constraints.iter().position(|(s, _)| s == spec) else { return false };
        let (_, index) = self.constraints.remove(place);
        self.unfollow(index.as_ref());
        true
    }

    /// Whether it holds what no program of an earlier protocol than 3 can read.
    pub(super) fn needs_protocol_3(&self) -> bool {
        let is_typed = |(spec, _): &(ConstraintSpec, _)| matches!(spec.kind, ConstraintKind::Typed(_));
        !self.enums.is_empty()
            || !self.triggers.is_empty()
            || self.constraints.iter().any(is_typed)
            || self.indexes.iter().any(|(spec, _)| spec.is_of_edges())
    }

    /// To be called after each change of what a plan may rest on.
    pub(super) fn take_fingerprint(&mut self) {
        let mut hash = FxHasher::default();
        self.indexes.iter().for_each(|(spec, _)| spec.hash(&mut hash));
        self.constraints.iter().for_each(|(spec, _)| spec.hash(&mut hash));
        self.enums.hash(&mut hash);
        self.fingerprint = hash.finish();
    }

    /// Adds an enum, or gives it other values.
    pub(super) fn set_enum(&mut self, spec: EnumSpec) {
        set_enum(&mut self.enums, spec);
    }

    pub(super) fn remove_enum(&mut self, name: &str) -> bool {
        remove_named(&mut self.enums, |spec| &spec.name, name)
    }

    /// Adds a trigger; returns whether its name was free.
    pub(super) fn add_trigger(&mut self, trigger: Arc<TriggerSpec>) -> bool {
        add_trigger(&mut self.triggers, trigger)
    }

    pub(super) fn remove_trigger(&mut self, name: &str) -> bool {
        remove_named(&mut self.triggers, |trigger| &trigger.name, name)
    }

    fn follow(&mut self, index: Option<&Arc<Index>>) {
        if let Some(index) = index {
            self.by_label.entry(index.of).or_default().push(index.clone());
        }
    }

    fn unfollow(&mut self, index: Option<&Arc<Index>>) {
        if let Some(index) = index
            && let Some(followers) = self.by_label.get_mut(&index.of)
        {
            followers.retain(|follower| !Arc::ptr_eq(follower, index));
            if followers.is_empty() {
                self.by_label.remove(&index.of);
            }
        }
    }

    fn unfollow_edges(&mut self, edge_type: EdgeTypeId, forget: impl FnOnce(&mut OfType)) {
        if let Some(of_type) = self.by_type.get_mut(&edge_type) {
            forget(of_type);
            if of_type.members.is_none() && of_type.indexes.is_empty() {
                self.by_type.remove(&edge_type);
            }
        }
    }
}

/// Returns the enums after changes of an own transaction.
pub(super) fn enums_after<'a>(
    mut enums: Vec<EnumSpec>,
    changes: impl Iterator<Item = &'a Change>,
) -> Vec<EnumSpec> {
    for change in changes {
        match change {
            Change::SetEnum(spec) => set_enum(&mut enums, spec.clone()),
            Change::DropEnum { name } => drop(remove_named(&mut enums, |spec| &spec.name, name)),
            _ => {}
        }
    }
    enums
}

/// Returns the triggers after changes of an own transaction.
pub(super) fn triggers_after<'a>(
    mut triggers: Vec<Arc<TriggerSpec>>,
    changes: impl Iterator<Item = &'a Change>,
) -> Vec<Arc<TriggerSpec>> {
    for change in changes {
        match change {
            Change::CreateTrigger(trigger) => drop(add_trigger(&mut triggers, trigger.clone())),
            Change::DropTrigger { name } => drop(remove_named(&mut triggers, |trigger| &trigger.name, name)),
            _ => {}
        }
    }
    triggers
}

fn set_enum(enums: &mut Vec<EnumSpec>, spec: EnumSpec) {
    match enums.binary_search_by(|other| other.name.cmp(&spec.name)) {
        Ok(place) => enums[place] = spec,
        Err(place) => enums.insert(place, spec),
    }
}

fn add_trigger(triggers: &mut Vec<Arc<TriggerSpec>>, trigger: Arc<TriggerSpec>) -> bool {
    let place = triggers.binary_search_by(|other| other.name.cmp(&trigger.name));
    if let Err(place) = place {
        triggers.insert(place, trigger);
    }
    place.is_err()
}

fn remove_named<T>(list: &mut Vec<T>, name_of: impl Fn(&T) -> &Arc<str>, name: &str) -> bool {
    let place = list.binary_search_by(|one| (**name_of(one)).cmp(name));
    if let Ok(place) = place {
        list.remove(place);
    }
    place.is_ok()
}

type Name = (u8, Arc<str>, Vec<Arc<str>>);

/// Returns what an index is sorted by.
pub(super) fn index_name(names: &Names, spec: &IndexSpec) -> Name {
    let (kind, owner) = match spec {
        IndexSpec::Label(label) => (0, names.label_name(*label)),
        IndexSpec::LabelProperties(label, _) => (1, names.label_name(*label)),
        IndexSpec::EdgeType(edge_type) => (2, names.edge_type_name(*edge_type)),
        IndexSpec::EdgeTypeProperties(edge_type, _) => (3, names.edge_type_name(*edge_type)),
    };
    (kind, owner, spec.keys().iter().map(|key| names.key_name(*key)).collect())
}

/// Where the numbers of type constraints begin among the kinds of constraint.
const TYPED: u8 = 2;

/// Returns what a constraint is sorted by.
pub(super) fn constraint_name(names: &Names, spec: &ConstraintSpec) -> Name {
    let kind = match spec.kind {
        ConstraintKind::Exists => 0,
        ConstraintKind::Unique => 1,
        ConstraintKind::Typed(kind) => TYPED + kind as u8,
    };
    let keys = spec.properties.iter().map(|key| names.key_name(*key)).collect();
    (kind, names.label_name(spec.label), keys)
}
