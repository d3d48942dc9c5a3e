//! A failure with as little around it as possible.
//!
//! Every fault and every whim of the operator has a number in its run. The seed stays; what goes is
//! everything after the failure, then halves, quarters and single ones of those numbers, as long as
//! the same invariant is broken.

use crate::options::Tweaks;
use crate::run::{Failure, run_seed};

/// Runs tried at most.
const TRIES: u32 = 200;

/// Returns the smallest run found that breaks what `failure` broke, and how to repeat it.
pub fn shrink(failure: Failure, tweaks: &Tweaks) -> (Failure, Tweaks) {
    let (mut best, mut best_tweaks) = (failure, tweaks.clone());
    let mut tries = 0;
    let mut attempt = |candidate: Tweaks, best: &mut Failure, best_tweaks: &mut Tweaks| {
        tries += 1;
        if tries > TRIES {
            return None;
        }
        let is_same = match run_seed(best.seed, &candidate) {
            Err(failure) if failure.rule() == best.rule() => {
                *best = failure;
                *best_tweaks = candidate;
                true
            }
            _ => false,
        };
        Some(is_same)
    };
    let mut size = best.disturbances.next_power_of_two();
    while size > 0 {
        let mut from = 0;
        while from < best.disturbances {
            let mut candidate = best_tweaks.clone();
            let before = candidate.skip.len();
            candidate.skip.extend(from..(from + size).min(best.disturbances));
            from += size;
            if candidate.skip.len() == before {
                continue;
            }
            if attempt(candidate, &mut best, &mut best_tweaks).is_none() {
                return (best, best_tweaks);
            }
        }
        size /= 2;
    }
    (best, best_tweaks)
}
