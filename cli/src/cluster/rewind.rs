//! Where the logs of two nodes part, and how the longer branch is cut back to that place. Pure.

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

    /// Returns the last record that both logs hold, as `epoch:lsn`, and how many records this one has after it;
    /// `None` where they have nothing in common.
    pub fn parts_from(&self, other: &Branch) -> Option<(String, u64)> {
        let shared = self.starts.iter().zip(&other.starts).take_while(|(a, b)| a == b).count();
        let (epoch, _) = self.starts.get(shared.checked_sub(1)?)?;
        let end_of = |branch: &Branch| branch.starts.get(shared).map_or(branch.end, |(_, first)| first - 1);
        let common = end_of(self).min(end_of(other));
        Some((format!("{epoch}:{common}"), self.end - common))
    }
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
        let main = branch(1545, &[("1.a.1", 1), ("2.b.1", 1500)]);
        let old = branch(1503, &[("1.a.1", 1)]);
        assert_eq!(old.parts_from(&main), Some(("1.a.1:1499".into(), 4)));
        let behind = branch(1400, &[("1.a.1", 1)]);
        assert_eq!(behind.parts_from(&main), Some(("1.a.1:1400".into(), 0)));
        assert_eq!(branch(3, &[("1.c.1", 1)]).parts_from(&main), None);
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
