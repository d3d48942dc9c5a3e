//! Which epoch a node may take, and whom it obeys.
//!
//! The promised epoch is the only thing that a node keeps about others. On a MAIN that reigns it is
//! its own epoch; on a fenced MAIN it is the epoch that fenced it, so the two differ; on a REPLICA it
//! is the epoch of the last MAIN that it greeted, or of a fence.

use crate::types::{Epoch, NodeId, NodeState, Role};

/// Returns the epoch that `FENCE REPLICATION EPOCH n` promises: below every reign of that number.
pub fn fence_epoch(number: u64) -> Epoch {
    Epoch { number, node: NodeId(0), incarnation: 0 }
}

/// Returns whether the promise still allows this node to reign as MAIN after a start.
///
/// A fence does not. The promise to another MAIN does: this node's role was set to MAIN without a
/// promotion, which happens only where the role is not kept over restarts, and then counts as one.
pub fn may_reign(state: &NodeState) -> bool {
    state.role == Role::Main && (state.promised.node.0 != 0 || state.promised.number == 0)
}

/// Returns the epoch of the first append after a start.
pub fn next_incarnation(state: &NodeState) -> Epoch {
    let promised = state.promised;
    if promised.node == state.node {
        Epoch { incarnation: promised.incarnation + 1, ..promised }
    } else {
        Epoch { number: promised.number + 1, node: state.node, incarnation: 1 }
    }
}

/// Returns the epoch of a promotion, or the promise that forbids the number asked for or leaves none above it.
///
/// `seen` is the highest epoch number that this node heard of, promised or not.
pub fn promotion_epoch(state: &NodeState, seen: u64, asked: Option<u64>) -> Result<Epoch, Epoch> {
    let promised = state.promised;
    let epoch = |number| Epoch { number, node: state.node, incarnation: 1 };
    match asked {
        None => seen.max(promised.number).checked_add(1).map(epoch).ok_or(promised),
        // The number of a fence is free for whoever the fence was made for; that of a reign is not.
        Some(number) if number > promised.number => Ok(epoch(number)),
        Some(number) if number == promised.number && promised.node.0 == 0 && number > 0 => Ok(epoch(number)),
        Some(_) => Err(promised),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(promised: Epoch) -> NodeState {
        NodeState { promised, ..NodeState::fresh(NodeId(7)) }
    }

    #[test]
    fn a_start_raises_only_the_incarnation_of_an_own_reign() {
        let own = Epoch { number: 3, node: NodeId(7), incarnation: 4 };
        assert_eq!(next_incarnation(&state(own)), Epoch { incarnation: 5, ..own });
        let fresh = next_incarnation(&state(Epoch::default()));
        assert_eq!(fresh, Epoch { number: 1, node: NodeId(7), incarnation: 1 });
    }

    #[test]
    fn a_promotion_is_above_everything_seen() {
        let other = Epoch { number: 3, node: NodeId(9), incarnation: 1 };
        let promoted = promotion_epoch(&state(other), 8, None).expect("allowed");
        assert_eq!(promoted, Epoch { number: 9, node: NodeId(7), incarnation: 1 });
        assert_eq!(promotion_epoch(&state(other), 0, Some(3)), Err(other));
        assert_eq!(promotion_epoch(&state(other), u64::MAX, None), Err(other));
        assert!(promotion_epoch(&state(other), 0, Some(4)).expect("allowed") > other);
    }

    #[test]
    fn the_number_of_a_fence_is_free_for_the_promotion_it_was_made_for() {
        let fenced = state(fence_epoch(5));
        assert!(!may_reign(&fenced));
        assert!(promotion_epoch(&fenced, 0, Some(5)).expect("allowed") > fenced.promised);
        assert!(promotion_epoch(&fenced, 0, Some(4)).is_err());
        // What nobody promised yet is no fence: there is no epoch 0.
        assert!(promotion_epoch(&state(Epoch::default()), 0, Some(0)).is_err());
    }
}
