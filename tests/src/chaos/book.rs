//! What clients were told, and whether it is true.
//!
//! A write is one transaction: `(:W {id, round})-[:PART]->(:P {id})`, so that half of it can be told from
//! all of it. It is entered before it is sent; an id that was never entered and is there all the same
//! was written by nobody.

use crate::bolt::Bolt;
use mgbolt::PackValue;
use mgctl::query::{QueryError, QueryResult, Summary};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard};

/// What a client knows of its write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Durable wherever its mode promises.
    Ok { bookmark: String },
    /// Committed on MAIN; a SYNC replica did not confirm.
    Degraded { bookmark: String },
    /// It did not and will not happen.
    Failed { code: String, message: String },
    /// It may happen yet; the position, where the node named one.
    InDoubt { position: Option<String> },
    /// The connection ended before an answer.
    Unknown,
}

/// Code of the notification that makes a success a degraded one.
pub const DEGRADED: &str = "SyncReplicationFailure";
/// Code of the error that says the same, where a node was told to answer with errors.
pub const DEGRADED_ERROR: &str = "Memgraph.ClientError.Transaction.Degraded";
/// Code of the error for a write that may happen yet.
pub const IN_DOUBT: &str = "Memgraph.ClientError.Transaction.InDoubt";

impl Told {
    /// Reads an answer, by codes and fields alone.
    pub fn from_answer(answer: Result<Summary, QueryError>) -> Told {
        match answer {
            Ok(summary) => {
                let bookmark = summary.bookmark.unwrap_or_default();
                match summary.notifications.iter().any(|n| n.code == DEGRADED) {
                    true => Told::Degraded { bookmark },
                    false => Told::Ok { bookmark },
                }
            }
            Err(QueryError::Server { code, position, .. }) if code == IN_DOUBT => Told::InDoubt { position },
            Err(QueryError::Server { code, position, .. }) if code == DEGRADED_ERROR => {
                Told::Degraded { bookmark: position.unwrap_or_default() }
            }
            Err(QueryError::Server { code, message, .. }) => Told::Failed { code, message },
            Err(e) if e.is_outcome_unknown() => Told::Unknown,
            // Nothing was asked.
            Err(e) => Told::Failed { code: String::new(), message: e.to_string() },
        }
    }
}

/// One write.
#[derive(Clone, Debug)]
struct Entry {
    round: i64,
    told: Told,
}

/// All writes of a run.
#[derive(Debug, Default)]
pub struct Book {
    entries: Mutex<HashMap<i64, Entry>>,
    /// MAIN never loses its disk, so what is durable there alone stays too.
    main_stays: bool,
}

/// How often each thing was said, and what was wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub ok: usize,
    pub degraded: usize,
    /// Of those, written to a log that was left behind in a failover.
    pub degraded_lost: usize,
    pub failed: usize,
    pub in_doubt: usize,
    pub unknown: usize,
    /// Of those in doubt or unknown, committed.
    pub turned_out_committed: usize,
}

/// Something that must never be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// Acknowledged, and not there.
    Lost { node: String, id: i64 },
    /// Refused, or never asked for, and there.
    Phantom { node: String, id: i64, why: String },
    /// There more than once.
    Twice { node: String, id: i64 },
    /// One part of the transaction without the other.
    Torn { node: String, id: i64 },
    /// Nodes that should be equal are not.
    Unequal { what: String },
    /// A node says of a position what is not so.
    Untrue { what: String },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Lost { node, id } => write!(f, "{node} lost write {id}, which was acknowledged"),
            Wrong::Phantom { node, id, why } => write!(f, "{node} holds write {id}, which {why}"),
            Wrong::Twice { node, id } => write!(f, "{node} holds write {id} more than once"),
            Wrong::Torn { node, id } => write!(f, "{node} holds only a part of write {id}"),
            Wrong::Unequal { what } | Wrong::Untrue { what } => write!(f, "{what}"),
        }
    }
}

/// Which writes are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounds {
    All,
    /// From this one on.
    From(i64),
}

impl Book {
    /// A book of a run in which the same node is MAIN from the first to the last write.
    pub fn of_one_main() -> Book {
        Book { main_stays: true, ..Book::default() }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<i64, Entry>> {
        self.entries.lock().expect("nobody panics with the book open")
    }

    /// Enters a write that is about to be sent.
    pub fn asked(&self, id: i64, round: i64) {
        let before = self.entries().insert(id, Entry { round, told: Told::Unknown });
        assert!(before.is_none(), "id {id} is used twice");
    }

    /// Enters what the client was told.
    pub fn told(&self, id: i64, told: Told) {
        self.entries().get_mut(&id).expect("it was asked for").told = told;
    }

    /// Counts the acknowledged writes of a round.
    pub fn acknowledged(&self, round: i64) -> usize {
        self.entries().values().filter(|e| e.round == round && matches!(e.told, Told::Ok { .. })).count()
    }

    /// Counts the writes of a round that are committed, with all replicas or with fewer.
    pub fn answered(&self, round: i64) -> usize {
        let is_committed = |told: &Told| matches!(told, Told::Ok { .. } | Told::Degraded { .. });
        self.entries().values().filter(|e| e.round == round && is_committed(&e.told)).count()
    }

    /// Returns the entries that satisfy a condition.
    pub fn find(&self, mut wanted: impl FnMut(&Told) -> bool) -> Vec<(i64, Told)> {
        let entries = self.entries();
        let found = entries.iter().filter(|(_, e)| wanted(&e.told));
        found.map(|(id, e)| (*id, e.told.clone())).collect()
    }

    /// Compares what a node holds with what clients were told.
    pub fn compare(&self, name: &str, bolt: &mut Bolt, rounds: Rounds) -> Result<Vec<Wrong>, QueryError> {
        let from = match rounds {
            Rounds::All => 0,
            Rounds::From(round) => round,
        };
        let whole = count(bolt.run(&format!("MATCH (w:W) WHERE w.round >= {from} RETURN w.id;"))?);
        let linked = count(bolt.run(&format!(
            "MATCH (w:W)-[:PART]->(p:P) WHERE w.round >= {from} AND p.id = w.id RETURN w.id;"
        ))?);
        let parts = count(bolt.run(&format!("MATCH (p:P) WHERE p.round >= {from} RETURN p.id;"))?);
        let node = || name.to_owned();
        let mut wrong = Vec::new();
        let entries = self.entries();
        for (id, times) in &whole {
            let times = *times;
            if times > 1 || linked.get(id).is_some_and(|n| *n > 1) || parts.get(id).is_some_and(|n| *n > 1) {
                wrong.push(Wrong::Twice { node: node(), id: *id });
            } else if linked.get(id) != Some(&1) || parts.get(id) != Some(&1) {
                wrong.push(Wrong::Torn { node: node(), id: *id });
            }
            match entries.get(id).map(|e| &e.told) {
                None => {
                    wrong.push(Wrong::Phantom { node: node(), id: *id, why: "nobody asked for".into() });
                }
                Some(Told::Failed { code, message }) => {
                    let why = format!("was refused ({code}: {message})");
                    wrong.push(Wrong::Phantom { node: node(), id: *id, why });
                }
                Some(_) => {}
            }
        }
        for id in parts.keys().filter(|id| !whole.contains_key(id)) {
            wrong.push(Wrong::Torn { node: node(), id: *id });
        }
        for (id, entry) in entries.iter().filter(|(_, e)| e.round >= from) {
            let must_stay = match entry.told {
                Told::Ok { .. } => true,
                Told::Degraded { .. } => self.main_stays,
                _ => false,
            };
            if must_stay && !whole.contains_key(id) {
                wrong.push(Wrong::Lost { node: node(), id: *id });
            }
        }
        Ok(wrong)
    }

    /// Asks a MAIN for the outcome of every write in doubt, and compares it with what is there.
    pub fn compare_outcomes(&self, name: &str, bolt: &mut Bolt) -> Result<Vec<Wrong>, QueryError> {
        let mut wrong = Vec::new();
        for (id, told) in self.find(|t| matches!(t, Told::InDoubt { position: Some(_) })) {
            let Told::InDoubt { position: Some(position) } = told else { continue };
            let is_there =
                bolt.value(&format!("MATCH (w:W {{id: {id}}}) RETURN count(w);")) == PackValue::Int(1);
            let outcome = bolt.value(&format!("SHOW TRANSACTION OUTCOME \"{position}\";"));
            let expected = if is_there { "committed" } else { "not_committed" };
            if outcome != PackValue::from(expected) {
                let what = format!("{name} calls write {id}, at {position}, {outcome:?}; it is {expected}");
                wrong.push(Wrong::Untrue { what });
            }
        }
        Ok(wrong)
    }

    /// Counts everything, given what a MAIN holds at the end.
    pub fn counts(&self, bolt: &mut Bolt) -> Result<Counts, QueryError> {
        let there = count(bolt.run("MATCH (w:W) RETURN w.id;")?);
        let mut counts = Counts::default();
        for (id, entry) in self.entries().iter() {
            let is_there = there.contains_key(id);
            match entry.told {
                Told::Ok { .. } => counts.ok += 1,
                Told::Degraded { .. } => {
                    counts.degraded += 1;
                    counts.degraded_lost += usize::from(!is_there);
                }
                Told::Failed { .. } => counts.failed += 1,
                Told::InDoubt { .. } => {
                    counts.in_doubt += 1;
                    counts.turned_out_committed += usize::from(is_there);
                }
                Told::Unknown => {
                    counts.unknown += 1;
                    counts.turned_out_committed += usize::from(is_there);
                }
            }
        }
        Ok(counts)
    }
}

/// Makes the indexes that a comparison is quick with.
pub(super) fn make_indexes(bolt: &mut Bolt) {
    for index in [":W(id)", ":W(round)", ":P(round)"] {
        bolt.run(&format!("CREATE INDEX ON {index};")).expect("an empty node takes an index");
    }
}

/// Writes the part of a report that every run has.
pub(super) fn write_counts(f: &mut fmt::Formatter<'_>, counts: &Counts, wrong: &[Wrong]) -> fmt::Result {
    let count = |of: fn(&Wrong) -> bool| wrong.iter().filter(|w| of(w)).count();
    let lost = count(|w| matches!(w, Wrong::Lost { .. }));
    let phantoms = count(|w| matches!(w, Wrong::Phantom { .. }));
    let twice = count(|w| matches!(w, Wrong::Twice { .. } | Wrong::Torn { .. }));
    let unequal = count(|w| matches!(w, Wrong::Unequal { .. } | Wrong::Untrue { .. }));
    let c = counts;
    let gone = c.degraded_lost;
    writeln!(f, "  told OK                      {}", c.ok)?;
    writeln!(f, "  told DEGRADED                {} ({gone} not there any more)", c.degraded)?;
    writeln!(f, "  told FAIL                    {}", c.failed)?;
    writeln!(f, "  told IN DOUBT                {}", c.in_doubt)?;
    writeln!(f, "  told nothing                 {}", c.unknown)?;
    writeln!(f, "  of the two, committed        {}", c.turned_out_committed)?;
    writeln!(f, "  acknowledged and lost        {lost}")?;
    writeln!(f, "  phantoms                     {phantoms}")?;
    writeln!(f, "  twice, or in part            {twice}")?;
    writeln!(f, "  unequal, or untrue           {unequal}")?;
    for wrong in wrong.iter().take(20) {
        writeln!(f, "  wrong: {wrong}")?;
    }
    Ok(())
}

fn count(result: QueryResult) -> BTreeMap<i64, u32> {
    let mut found = BTreeMap::new();
    for row in &result.rows {
        let [PackValue::Int(id)] = row.as_slice() else { panic!("an id is a number: {row:?}") };
        *found.entry(*id).or_insert(0) += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_by_code() {
        let refused = |code: &str| {
            let (code, position) = (code.to_owned(), Some("1.aa.1:7".to_owned()));
            Told::from_answer(Err(QueryError::Server { code, message: "no".into(), position }))
        };
        assert!(matches!(refused("Memgraph.ClientError.MemgraphError.MemgraphError"), Told::Failed { .. }));
        assert_eq!(refused(IN_DOUBT), Told::InDoubt { position: Some("1.aa.1:7".into()) });
        assert_eq!(refused(DEGRADED_ERROR), Told::Degraded { bookmark: "1.aa.1:7".into() });
        let lost = QueryError::Lost { address: "a".into(), error: std::io::ErrorKind::UnexpectedEof.into() };
        assert_eq!(Told::from_answer(Err(lost)), Told::Unknown);
    }
}
