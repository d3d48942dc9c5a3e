//! Which indexes and constraints there are, as one value that readers share and that is replaced
//! as a whole.
//!
//! A reader keeps the schema of the LSN that it reads at, so an index built at a later LSN is never
//! offered to it, and one that was dropped meanwhile still answers it: the entries it needs were put
//! in before, and stay until nobody needs them.

use super::index::Index;
use crate::types::{ConstraintKind, ConstraintSpec, IndexSpec, LabelId, Lsn, Names};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Indexes and constraints, each list sorted by name.
#[derive(Clone, Default)]
pub(super) struct Schema {
    /// The record that last changed anything here.
    pub(super) changed: Lsn,
    /// The record that last changed a constraint.
    pub(super) constraints_changed: Lsn,
    pub(super) indexes: Vec<(IndexSpec, Option<Arc<Index>>)>,
    pub(super) constraints: Vec<(ConstraintSpec, Option<Arc<Index>>)>,
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

/// Returns what a constraint is sorted by.
pub(super) fn constraint_name(names: &Names, spec: &ConstraintSpec) -> Name {
    let kind = match spec.kind {
        ConstraintKind::Exists => 0,
        ConstraintKind::Unique => 1,
    };
    let keys = spec.properties.iter().map(|key| names.key_name(*key)).collect();
    (kind, names.label_name(spec.label), keys)
}
