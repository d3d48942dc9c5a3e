//! Histories made by hand, one for each thing that can be wrong.

use super::{History, Kind, Level, Op, Outcome, Transaction, judge};

const A: i64 = 1;
const B: i64 = 2;
/// A key whose numbers have no order.
const SET: i64 = 9;

fn append(key: i64, value: i64) -> Op {
    Op::Append { key, value }
}

fn read(key: i64, values: &[i64]) -> Op {
    Op::Read { key, values: values.to_vec() }
}

fn snapshot(ops: Vec<Op>) -> Transaction {
    let mut t = Transaction::new(String::new(), Level::Snapshot, 0);
    t.outcome = Outcome::Committed;
    t.statements = ops.into_iter().map(|op| vec![op]).collect();
    t
}

fn read_committed(ops: Vec<Op>) -> Transaction {
    Transaction { level: Level::ReadCommitted, ..snapshot(ops) }
}

fn refused(ops: Vec<Op>) -> Transaction {
    Transaction { outcome: Outcome::Refused, ..snapshot(ops) }
}

fn unknown(ops: Vec<Op>) -> Transaction {
    Transaction { outcome: Outcome::Unknown, ..snapshot(ops) }
}

fn at(position: u64, t: Transaction) -> Transaction {
    Transaction { committed_at: Some(position), ..t }
}

fn after(floor: u64, t: Transaction) -> Transaction {
    Transaction { floor, ..t }
}

fn kinds(transactions: Vec<Transaction>) -> Vec<Kind> {
    let transactions = transactions.into_iter().enumerate();
    let transactions = transactions.map(|(n, t)| Transaction { name: format!("T{n}"), ..t }).collect();
    let found = judge(&History { transactions, sets: [SET].into() });
    let mut kinds: Vec<Kind> = found.iter().map(|anomaly| anomaly.kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

#[test]
fn one_after_the_other_is_allowed() {
    let first = at(1, snapshot(vec![read(A, &[]), append(A, 1), read(A, &[1]), append(B, 2)]));
    let second =
        at(2, after(1, snapshot(vec![append(A, 3), append(A, 4), read(A, &[1, 3, 4]), read(B, &[2])])));
    let last = after(2, snapshot(vec![read(A, &[1, 3, 4]), read(B, &[2])]));
    assert_eq!(kinds(vec![first, second, last]), []);
}

#[test]
fn write_skew_is_allowed() {
    let one = at(1, snapshot(vec![read(A, &[]), read(B, &[]), append(A, 1)]));
    let two = at(2, snapshot(vec![read(A, &[]), read(B, &[]), append(B, 2)]));
    assert_eq!(kinds(vec![one, two, after(2, snapshot(vec![read(A, &[1]), read(B, &[2])]))]), []);
}

#[test]
fn interleaved_writes_are_found() {
    let one = || vec![append(A, 1), append(B, 2)];
    let two = || vec![append(A, 3), append(B, 4)];
    let reader = || vec![read(A, &[1, 3]), read(B, &[4, 2])];
    assert_eq!(kinds(vec![snapshot(one()), snapshot(two()), snapshot(reader())]), [Kind::DirtyWrite]);
    let all = vec![read_committed(one()), read_committed(two()), read_committed(reader())];
    assert_eq!(kinds(all), [Kind::DirtyWrite]);
}

#[test]
fn aborted_reads_are_found() {
    let all = |reader: Transaction| vec![refused(vec![append(A, 1)]), reader];
    assert_eq!(kinds(all(snapshot(vec![read(A, &[1])]))), [Kind::AbortedRead]);
    assert_eq!(kinds(all(read_committed(vec![read(A, &[1])]))), [Kind::AbortedRead]);
    assert_eq!(kinds(all(snapshot(vec![read(A, &[])]))), []);
}

#[test]
fn what_a_client_heard_nothing_of_is_there_as_a_whole_or_not_at_all() {
    let all = |a: &[i64], b: &[i64]| {
        kinds(vec![unknown(vec![append(A, 1), append(B, 2)]), snapshot(vec![read(A, a), read(B, b)])])
    };
    assert_eq!(all(&[], &[]), []);
    assert_eq!(all(&[1], &[2]), []);
    assert_eq!(all(&[1], &[]), [Kind::ReadSkew]);
}

#[test]
fn intermediate_reads_are_found() {
    let all = |reader: Transaction| vec![snapshot(vec![append(A, 1), append(A, 2)]), reader];
    assert!(kinds(all(read_committed(vec![read(A, &[1])]))).contains(&Kind::IntermediateRead));
    assert!(kinds(all(snapshot(vec![read(A, &[1])]))).contains(&Kind::IntermediateRead));
    let set = vec![snapshot(vec![append(SET, 1), append(SET, 2)]), snapshot(vec![read(SET, &[2])])];
    assert_eq!(kinds(set), [Kind::IntermediateRead]);
}

#[test]
fn circular_information_is_found() {
    let one = || vec![append(A, 1), read(B, &[2])];
    let two = || vec![append(B, 2), read(A, &[1])];
    assert_eq!(kinds(vec![snapshot(one()), snapshot(two())]), [Kind::CircularInformation]);
    assert_eq!(kinds(vec![read_committed(one()), read_committed(two())]), [Kind::CircularInformation]);
}

#[test]
fn lost_updates_are_found() {
    let one = snapshot(vec![read(A, &[]), append(A, 1)]);
    let two = snapshot(vec![read(A, &[]), append(A, 2)]);
    assert_eq!(kinds(vec![one.clone(), two.clone(), snapshot(vec![read(A, &[1, 2])])]), [Kind::LostUpdate]);
    // The list of the one was written over that of the other.
    let last = after(2, snapshot(vec![read(A, &[2])]));
    assert!(kinds(vec![at(1, one), at(2, two), last]).contains(&Kind::LostAppend));
}

#[test]
fn read_skew_is_found_and_is_allowed_under_read_committed() {
    let writer = || snapshot(vec![append(A, 1), append(B, 2)]);
    let reader = || vec![read(A, &[]), read(B, &[2])];
    assert_eq!(kinds(vec![writer(), snapshot(reader())]), [Kind::ReadSkew]);
    // One that is refused later must not see it either.
    assert_eq!(kinds(vec![writer(), refused(reader())]), [Kind::ReadSkew]);
    assert_eq!(kinds(vec![writer(), read_committed(reader())]), []);
    let mut statement = read_committed(Vec::new());
    statement.statements = vec![reader()];
    assert_eq!(kinds(vec![writer(), statement]), [Kind::ReadSkew], "a statement has one snapshot");
    let back = read_committed(vec![read(A, &[1]), read(B, &[])]);
    assert_eq!(kinds(vec![writer(), back]), [Kind::ReadSkew], "the next has no earlier one");
    let sets =
        vec![snapshot(vec![append(SET, 1), append(B, 2)]), snapshot(vec![read(SET, &[]), read(B, &[2])])];
    assert_eq!(kinds(sets), [Kind::ReadSkew]);
}

#[test]
fn long_forks_are_found() {
    let writers = [snapshot(vec![append(A, 1)]), snapshot(vec![append(B, 2)])];
    let readers = [snapshot(vec![read(A, &[1]), read(B, &[])]), snapshot(vec![read(A, &[]), read(B, &[2])])];
    assert_eq!(kinds(writers.into_iter().chain(readers).collect()), [Kind::LongFork]);
}

#[test]
fn a_reader_sees_a_prefix_of_the_log() {
    let writers = || vec![at(1, snapshot(vec![append(A, 1)])), at(2, snapshot(vec![append(B, 2)]))];
    let with = |reader: Transaction| kinds(writers().into_iter().chain([reader]).collect());
    assert_eq!(with(snapshot(vec![read(A, &[1]), read(B, &[])])), []);
    assert_eq!(with(snapshot(vec![read(A, &[]), read(B, &[2])])), [Kind::Position]);
    let told = |seen: u64, b: &[i64]| {
        with(Transaction { seen: Some(seen), ..snapshot(vec![read(A, &[1]), read(B, b)]) })
    };
    assert_eq!((told(1, &[]), told(2, &[2])), (vec![], vec![]));
    assert_eq!(told(2, &[]), [Kind::Position], "less than it was told");
    assert_eq!(told(1, &[2]), [Kind::Position], "more than it was told");
    assert_eq!(with(after(1, snapshot(vec![read(B, &[])]))), []);
    assert!(
        with(after(2, snapshot(vec![read(B, &[])]))).contains(&Kind::Position),
        "less than it was promised"
    );
    // A writer's snapshot is before its commit, and what a later one wrote is after it.
    let early = at(1, snapshot(vec![append(A, 1), read(B, &[2])]));
    assert_eq!(kinds(vec![early, at(2, snapshot(vec![append(B, 2)]))]), [Kind::Position]);
}

#[test]
fn a_position_is_that_of_one_commit() {
    let all = vec![at(1, snapshot(vec![append(A, 1)])), at(1, snapshot(vec![append(B, 2)]))];
    assert_eq!(kinds(all), [Kind::Position]);
}

#[test]
fn own_writes_are_seen_and_a_snapshot_does_not_change() {
    assert_eq!(kinds(vec![snapshot(vec![append(A, 1), read(A, &[])])]), [Kind::Internal]);
    assert_eq!(kinds(vec![read_committed(vec![append(A, 1), read(A, &[])])]), [Kind::Internal]);
    assert_eq!(kinds(vec![snapshot(vec![append(SET, 1), read(SET, &[])])]), [Kind::Internal]);
    assert!(kinds(vec![snapshot(vec![read(A, &[1]), append(A, 1)])]).contains(&Kind::Internal));
    let reader = || vec![read(A, &[]), read(A, &[1])];
    assert!(kinds(vec![snapshot(vec![append(A, 1)]), snapshot(reader())]).contains(&Kind::Internal));
    assert_eq!(kinds(vec![snapshot(vec![append(A, 1)]), read_committed(reader())]), []);
}

#[test]
fn lists_that_contradict_each_other_are_found() {
    let writers = [snapshot(vec![append(A, 1)]), snapshot(vec![append(A, 2)])];
    let readers = [snapshot(vec![read(A, &[1])]), snapshot(vec![read(A, &[2, 1])])];
    assert!(kinds(writers.into_iter().chain(readers).collect()).contains(&Kind::Fork));
}

#[test]
fn duplicates_and_phantoms_are_found() {
    let writer = || snapshot(vec![append(A, 1)]);
    assert!(kinds(vec![writer(), snapshot(vec![read(A, &[1, 1])])]).contains(&Kind::Duplicate));
    assert_eq!(kinds(vec![writer(), snapshot(vec![read(B, &[1])])]), [Kind::Phantom]);
    assert_eq!(kinds(vec![snapshot(vec![read(A, &[7])])]), [Kind::Phantom]);
}

#[test]
fn lost_appends_are_found() {
    let all =
        |a: &[i64]| kinds(vec![at(1, snapshot(vec![append(A, 1)])), after(1, snapshot(vec![read(A, a)]))]);
    assert_eq!(all(&[1]), []);
    assert!(all(&[]).contains(&Kind::LostAppend));
}
