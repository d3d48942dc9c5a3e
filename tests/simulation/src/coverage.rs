//! What happened how often. A set of runs that lacks something important proves nothing.

use std::collections::BTreeMap;

/// Events of some kind, and how many there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<String, u64>,
}

/// What every large enough set of runs must have met.
const NEEDED: &[&str] = &[
    // What happens to a cluster.
    "promotions",
    "failovers",
    "forced promotions",
    "divergences",
    "rewinds",
    "wiped nodes",
    "tail fetches",
    "snapshot catch-ups",
    "snapshots resumed",
    "logs shortened",
    "restarts with undecided records",
    // What goes wrong.
    "crashes of MAIN",
    "crashes in recovery",
    "kills",
    "stops",
    "power cuts",
    "pauses",
    "partitions",
    "clogged networks",
    "broken connections",
    "half-open connections",
    "dials without answer",
    "clocks that leapt",
    "failed syncs",
    "halts",
    "full disks",
    "states not saved",
    "starts on a read-only disk",
    "writes to a read-only disk",
    "flipped bits",
    "lost writes",
    "damaged nodes that do not start",
    "damaged snapshots",
    "records of a newer version",
    "runs with 1 nodes",
    "runs with 2 nodes",
    "runs with 3 nodes",
    "runs with 4 nodes",
    "runs with 5 nodes",
    "runs with 6 nodes",
    "runs with 7 nodes",
    "runs with --durability=commit",
    "runs with --durability=interval",
    "runs with --durability=os",
    "tails lost with the power",
    // What clients are told.
    "committed",
    "degraded",
    "in doubt",
    "failed: Conflict",
    "failed: SchemaChanged",
    "failed: Constraint",
    "failed: OldReplica",
    "failed: NotMain",
    "failed: Fenced",
    "failed: Unconfirmed",
    "failed: ReplicasMissing",
    "failed: NoLease",
    "failed: NoSpace",
    "failed: Stopping",
    "commits run again",
    "commits run again that were done before",
    "bookmarks seen",
    "bookmarks lost",
    "outcome: Committed",
    "outcome: InDoubt",
    "outcome: NotCommitted",
    "outcome: Unknown",
    // What nodes and operators are told.
    "refused: NotReplica",
    "refused: Fenced",
    "refused: WrongNode",
    "refused: Protocol",
    "refused: Gap",
    "refused: OtherCluster",
    "refused: Stranger",
    "refused: Mismatch",
    "refused: Full",
    "refused command: AlreadyReplica",
    "refused command: AlreadyMain",
    "refused command: Listen",
    "refused command: NotMain",
    "refused command: NameTaken",
    "refused command: AddressTaken",
    "refused command: Diverged",
    "refused command: Unreachable",
    "refused command: NotPersisted",
    "refused command: UnknownReplica",
    "refused command: Fenced",
    "refused command: Refused",
    // What an engine goes through.
    "reign: not begun to saving",
    "reign: saving to begun",
    "reign: saving to not begun",
    "reign: begun to saving",
    "reign: begun to not begun",
    "role: MAIN to REPLICA",
    "role: REPLICA to MAIN",
    "confirm: asking to done",
    "confirm: asking to missing",
    "confirm: missing to done",
    "link: dialing to greeting",
    "link: greeting to fetching",
    "link: greeting to catch-up",
    "link: greeting to live",
    "link: fetching to live",
    "link: fetching to down",
    "link: catch-up to snapshot",
    "link: catch-up to live",
    "link: catch-up to ready",
    "link: catch-up to down",
    "link: catch-up to snapshot due",
    "link: snapshot due to down",
    "link: snapshot to ready",
    "link: snapshot to catch-up",
    "link: snapshot to live",
    "link: snapshot to down",
    "link: live to ready",
    "link: live to catch-up",
    "link: ready to catch-up",
    "link: ready to down",
    "link: ready to live",
    "link: live to down",
    "installation: under way to none",
    "task: demotion: listening to none",
    "task: demotion: listening to demotion: draining",
    "task: demotion: listening to demotion: saving",
    "task: demotion: draining to demotion: saving",
    "task: demotion: saving to none",
    "task: promotion: settling to promotion: saving",
    "task: promotion: saving to none",
    "task: fence: saving to none",
    "task: drop: saving to none",
    "task: registration: reign to registration: dialing",
    "task: registration: dialing to registration: greeting",
    "task: registration: dialing to none",
    "task: registration: greeting to registration: reign",
    "task: registration: greeting to registration: saving",
    "task: registration: greeting to none",
    "task: registration: saving to none",
    "task: none to rewind: settling",
    "task: rewind: settling to rewind: cutting",
    "task: rewind: cutting to none",
];

impl Coverage {
    /// Counts one more of `what`.
    pub fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// Counts `times` more of `what`.
    pub fn add(&mut self, what: &str, times: u64) {
        match self.counts.get_mut(what) {
            Some(count) => *count += times,
            None => {
                self.counts.insert(what.to_owned(), times);
            }
        }
    }

    /// Adds what another run met.
    pub fn merge(&mut self, other: &Coverage) {
        for (what, times) in &other.counts {
            self.add(what, *times);
        }
    }

    /// Returns how often `what` happened.
    pub fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Returns one line for each kind.
    pub fn lines(&self) -> String {
        self.counts.iter().map(|(what, times)| format!("{times:>12}  {what}\n")).collect()
    }
}

/// Returns what a large set of runs should have met and did not.
pub fn missing(coverage: &Coverage) -> Vec<&'static str> {
    NEEDED.iter().copied().filter(|what| coverage.of(what) == 0).collect()
}
