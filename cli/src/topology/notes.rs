//! What a topology means when something fails: the price of its modes, in plain words.

use super::model::{Instance, Mode, Topology};
use super::report::list;

/// Returns a sentence per consequence of the modes of `topology`.
pub fn notes(topology: &Topology) -> Vec<String> {
    let with = |mode: Mode| -> Vec<&str> {
        topology.replicas().filter(|i: &&Instance| i.mode == mode).map(|i| i.name.as_str()).collect()
    };
    let (sync, strict, loose) = (with(Mode::Sync), with(Mode::StrictSync), with(Mode::Async));
    let main = &topology.main().name;
    let mut notes = Vec::new();
    if !strict.is_empty() {
        notes.push(format!(
            "{} {} STRICT_SYNC: while {}, nothing can be written; no acknowledged write is lost when `{main}` is",
            list(&strict),
            is(&strict),
            if strict.len() == 1 { "it is away" } else { "any of them is away" },
        ));
    }
    if !sync.is_empty() {
        let flag = |name: &str| topology.main().flags.get(name).map(String::as_str);
        let needed = flag("replication-sync-min-acks").and_then(|k| k.parse().ok()).filter(|k| *k > 0);
        let needed = needed.map_or(sync.len(), |k: usize| k.min(sync.len()));
        notes.push(format!(
            "{} {} SYNC: a write is acknowledged when {} it; while {}, {}",
            list(&sync),
            is(&sync),
            match (sync.len(), needed) {
                (1, _) => "it has".to_owned(),
                (all, needed) if needed == all => "all of them have".to_owned(),
                (_, needed) => format!("{needed} of them have"),
            },
            match (sync.len(), needed) {
                (1, _) => "it is away",
                (all, needed) if needed == all => "one is away",
                _ => "too few are there",
            },
            match flag("replication-sync-policy") {
                Some("block") => "writes wait",
                Some("reject") => "writes are refused",
                _ => "writes go on and rest on the others",
            },
        ));
    }
    if sync.is_empty() && strict.is_empty() && !loose.is_empty() {
        notes.push(format!(
            "all replicas are ASYNC: when `{main}` is lost, so are the last writes it acknowledged"
        ));
    }
    notes
}

fn is(names: &[&str]) -> &'static str {
    if names.len() == 1 { "is" } else { "are" }
}
