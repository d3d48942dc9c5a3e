//! Where the logs of two nodes part, and what each holds that the other lacks. Pure.

use super::Rows;
use serde_json::Value;

/// A log as `SHOW REPLICATION STATE` tells it: where it ends, and which epoch wrote which part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The last LSN.
    pub end: u64,
    /// Each epoch and its first LSN, rising.
    pub starts: Vec<(String, u64)>,
}

impl Branch {
    /// Reads a branch; `None` where the node does not tell it.
    pub fn decode(rows: &Rows) -> Option<Branch> {
        let row = rows.rows.first()?;
        let cell = |name: &str| rows.fields.iter().position(|f| f == name).and_then(|i| row.get(i));
        let end = match cell("durable_lsn")? {
            Value::String(text) => text.parse().ok()?,
            other => other.as_u64()?,
        };
        let start = |entry: &Value| {
            let (epoch, first) = entry.as_str()?.rsplit_once(':')?;
            Some((epoch.to_owned(), first.parse().ok()?))
        };
        let starts = cell("history")?.as_array()?.iter().map(start).collect::<Option<Vec<_>>>()?;
        Some(Branch { end, starts })
    }

    /// Returns where this log and another part.
    pub fn parting(&self, other: &Branch) -> Parting {
        let shared = self.starts.iter().zip(&other.starts).take_while(|(a, b)| a == b).count();
        let Some((epoch, _)) = shared.checked_sub(1).and_then(|last| self.starts.get(last)) else {
            return Parting { at: None, own: self.end, theirs: other.end };
        };
        let end_of = |branch: &Branch| branch.starts.get(shared).map_or(branch.end, |(_, first)| first - 1);
        let common = end_of(self).min(end_of(other));
        Parting { at: Some(format!("{epoch}:{common}")), own: self.end - common, theirs: other.end - common }
    }
}

/// How two logs lie to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// The last record that both hold, as `epoch:lsn`; `None` where nothing in common is known.
    pub at: Option<String>,
    /// How many records only the one holds.
    pub own: u64,
    /// How many records only the other holds.
    pub theirs: u64,
}

impl Parting {
    /// Returns true if the other log is the beginning of the one.
    pub fn covers(&self) -> bool {
        self.theirs == 0
    }

    /// Returns true if each holds what the other lacks.
    pub fn is_fork(&self) -> bool {
        self.own > 0 && self.theirs > 0
    }

    /// Says in words where they part and what each holds.
    pub fn describe(&self, one: &str, other: &str) -> String {
        let place = match &self.at {
            Some(at) => format!("after {at}"),
            None => "nothing in common is known:".to_owned(),
        };
        format!(
            "{place} `{one}` holds {} that `{other}` lacks, and `{other}` {} that `{one}` lacks",
            commits(self.own),
            commits(self.theirs)
        )
    }
}

/// Returns a number of commits in words.
pub(super) fn commits(count: u64) -> String {
    crate::words::count(count, "commit")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn branch(end: u64, starts: &[(&str, u64)]) -> Branch {
        Branch { end, starts: starts.iter().map(|(epoch, first)| ((*epoch).to_owned(), *first)).collect() }
    }

    #[test]
    fn branches_part_where_the_first_of_two_reigns_begins() {
        let parting = |at: Option<&str>, own, theirs| Parting { at: at.map(str::to_owned), own, theirs };
        let main = branch(1545, &[("1.a.1", 1), ("2.b.1", 1500)]);
        let old = branch(1503, &[("1.a.1", 1)]);
        assert_eq!(old.parting(&main), parting(Some("1.a.1:1499"), 4, 46));
        assert!(old.parting(&main).is_fork() && !old.parting(&main).covers());
        let behind = branch(1400, &[("1.a.1", 1)]);
        assert_eq!(behind.parting(&main), parting(Some("1.a.1:1400"), 0, 145));
        assert!(main.parting(&behind).covers() && !behind.parting(&main).is_fork());
        assert_eq!(branch(3, &[("1.c.1", 1)]).parting(&main), parting(None, 3, 1545));
        assert!(main.parting(&branch(0, &[])).covers());
    }

    #[test]
    fn a_parting_is_told_in_words() {
        let fork = Parting { at: Some("1.a.1:7".into()), own: 1, theirs: 3 };
        assert_eq!(
            fork.describe("a", "b"),
            "after 1.a.1:7 `a` holds 1 commit that `b` lacks, and `b` 3 commits that `a` lacks"
        );
        let strange = Parting { at: None, ..fork };
        assert!(strange.describe("a", "b").starts_with("nothing in common is known: `a` holds"));
    }

    #[test]
    fn a_state_is_read() {
        let rows = Rows {
            fields: vec!["durable_lsn".into(), "history".into()],
            rows: vec![vec![json!(7), json!(["1.a.1:1", "2.b.1:6"])]],
        };
        assert_eq!(Branch::decode(&rows), Some(branch(7, &[("1.a.1", 1), ("2.b.1", 6)])));
        assert_eq!(Branch::decode(&Rows { fields: vec![], rows: vec![] }), None);
    }
}
