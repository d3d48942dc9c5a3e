//! Which indexes, constraints, enums and triggers there are, as one value that readers share and that is replaced
//! as a whole.
//!
//! A reader keeps the schema of the LSN that it reads at, so an index built at a later LSN is never
//! offered to it, and one that was dropped meanwhile still answers it: the entries it needs were put
//! in before, and stay until nobody needs them.

use super::index::Index;
use crate::types::{
    Change, ConstraintKind, ConstraintSpec, EnumSpec, IndexSpec, LabelId, Lsn, Names, TriggerSpec,
};
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Each list sorted by name.
#[derive(Clone, Default)]
pub(super) struct Schema {
    /// The record that last changed anything here.
    pub(super) changed: Lsn,
    /// The record that last changed a constraint or an enum, on which every write depends.
    pub(super) constraints_changed: Lsn,
    pub(super) indexes: Vec<(IndexSpec, Option<Arc<Index>>)>,
    pub(super) constraints: Vec<(ConstraintSpec, Option<Arc<Index>>)>,
    /// Names what a plan may rest on: indexes, constraints, enums.
    pub(super) fingerprint: u64,
    pub(super) enums: Vec<EnumSpec>,
    pub(super) triggers: Vec<Arc<TriggerSpec>>,
    /// Everything that must follow vertices with the label, unique constraints too.
    by_label: FxHashMap<LabelId, Vec<Arc<Index>>>,
}

impl Schema {
    pub(super) fn index(&self, spec: &IndexSpec) -> Option<&Option<Arc<Index>>> {
        self.indexes.iter().find(|(s, _)| s == spec).map(|(_, index)| index)
    }

    pub(super) fn has_constraint(&self, spec: &ConstraintSpec) -> bool {
        self.constraints.iter().any(|(s, _)| s == spec)
    }

    /// Returns what must follow vertices with the label.
    pub(super) fn of_label(&self, label: LabelId) -> &[Arc<Index>] {
        self.by_label.get(&label).map_or(&[], Vec::as_slice)
    }

    /// Returns everything that is kept up.
    pub(super) fn maintained(&self) -> impl Iterator<Item = &Arc<Index>> {
        self.by_label.values().flatten()
    }

    /// Whether no label has anything to keep up.
    pub(super) fn maintains_nothing(&self) -> bool {
        self.by_label.is_empty()
    }

    pub(super) fn add_index(&mut self, names: &Names, spec: IndexSpec, index: Option<Arc<Index>>) {
        self.follow(index.as_ref());
        self.indexes.push((spec, index));
        self.indexes.sort_by_cached_key(|(spec, _)| index_name(names, spec));
    }

    pub(super) fn remove_index(&mut self, spec: &IndexSpec) -> bool {
        let Some(place) = self.indexes.iter().position(|(s, _)| s == spec) else { return false };
        let (_, index) = self.indexes.remove(place);
        self.unfollow(index.as_ref());
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

    /// As [`Graph::needs_protocol_3`](super::Graph::needs_protocol_3).
    pub(super) fn needs_protocol_3(&self) -> bool {
        let is_typed = |(spec, _): &(ConstraintSpec, _)| matches!(spec.kind, ConstraintKind::Typed(_));
        !self.enums.is_empty() || !self.triggers.is_empty() || self.constraints.iter().any(is_typed)
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
            self.by_label.entry(index.label).or_default().push(index.clone());
        }
    }

    fn unfollow(&mut self, index: Option<&Arc<Index>>) {
        if let Some(index) = index
            && let Some(followers) = self.by_label.get_mut(&index.label)
        {
            followers.retain(|follower| !Arc::ptr_eq(follower, index));
            if followers.is_empty() {
                self.by_label.remove(&index.label);
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
    match spec {
        IndexSpec::Label(label) => (0, names.label_name(*label), Vec::new()),
        IndexSpec::LabelProperties(label, keys) => {
            (1, names.label_name(*label), keys.iter().map(|key| names.key_name(*key)).collect())
        }
    }
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
