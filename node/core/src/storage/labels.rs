//! Labels: interned sets of them, and which vertices have one.

use super::members::Members;
use crate::types::{LabelId, VertexId};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A set of labels as a small number, local to one graph. The default is the empty set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct SetId(u32);

/// Every set of labels that some vertex has had, once. A graph has few of them, so none is forgotten.
pub(super) struct LabelSets(RwLock<Sets>);

struct Sets {
    ids: FxHashMap<Arc<[LabelId]>, SetId>,
    sets: Vec<Arc<[LabelId]>>,
}

impl Default for LabelSets {
    fn default() -> Self {
        let empty: Arc<[LabelId]> = Arc::new([]);
        LabelSets(RwLock::new(Sets {
            ids: FxHashMap::from_iter([(empty.clone(), SetId(0))]),
            sets: vec![empty],
        }))
    }
}

impl LabelSets {
    /// Returns the number of a set whose labels rise.
    pub(super) fn intern(&self, labels: &[LabelId]) -> SetId {
        if labels.is_empty() {
            return SetId(0);
        }
        if let Some(id) = self.0.read().ids.get(labels) {
            return *id;
        }
        let mut sets = self.0.write();
        if let Some(id) = sets.ids.get(labels) {
            return *id;
        }
        let id = SetId(u32::try_from(sets.sets.len()).expect("memory ends before 2^32 label sets do"));
        let labels: Arc<[LabelId]> = labels.into();
        sets.sets.push(labels.clone());
        sets.ids.insert(labels, id);
        id
    }

    /// Returns the labels of a set, rising.
    pub(super) fn get(&self, id: SetId) -> Arc<[LabelId]> {
        self.0.read().sets[id.0 as usize].clone()
    }

    /// Whether a label is in a set.
    pub(super) fn has(&self, id: SetId, label: LabelId) -> bool {
        id != SetId(0) && self.0.read().sets[id.0 as usize].binary_search(&label).is_ok()
    }
}

/// For each label, the vertices that have it in a state that some reader may see.
///
/// A vertex that lost the label stays until no reader sees it with the label, so readers look at
/// the vertex itself too.
#[derive(Default)]
pub(super) struct LabelMembers(RwLock<FxHashMap<LabelId, Arc<Members>>>);

impl LabelMembers {
    fn members(&self, label: LabelId) -> Arc<Members> {
        if let Some(members) = self.0.read().get(&label) {
            return members.clone();
        }
        self.0.write().entry(label).or_default().clone()
    }

    /// Notes that a vertex got the label.
    pub(super) fn add(&self, label: LabelId, id: VertexId) {
        self.members(label).add(id.0);
    }

    /// Notes that vertices, which rise by id, got the label.
    pub(super) fn add_all(&self, label: LabelId, ids: &[VertexId]) {
        self.members(label).add_all(ids.iter().map(|id| id.0));
    }

    /// Notes that a vertex lost the label; it stays until it is forgotten.
    pub(super) fn lose(&self, label: LabelId) {
        self.members(label).lose();
    }

    /// Drops a vertex that no reader sees with the label.
    pub(super) fn forget(&self, label: LabelId, id: VertexId) {
        self.members(label).forget(id.0);
    }

    /// Counts the vertices that have it in their newest state.
    pub(super) fn count(&self, label: LabelId) -> u64 {
        self.0.read().get(&label).map_or(0, |members| members.count())
    }

    /// Appends up to `limit` candidates from `from` on.
    pub(super) fn candidates(&self, label: LabelId, from: u64, limit: usize, out: &mut Vec<VertexId>) {
        let Some(members) = self.0.read().get(&label).cloned() else { return };
        members.candidates(from, limit, VertexId, out);
    }

    /// Bytes of all bitmaps, estimated.
    pub(super) fn bytes(&self) -> u64 {
        self.0.read().values().map(|members| members.bytes()).sum()
    }
}
