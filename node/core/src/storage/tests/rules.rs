//! One rule a test.

use crate::storage::{
    Commit, Conflict, Counts, Direction, Graph, InFlight, IndexBounds, Transaction, WriteError,
};
use crate::types::{
    Change, ConstraintKind, ConstraintSpec, EdgeId, EdgeTypeId, EnumSpec, IndexSpec, LabelId, Lsn, Names,
    PropertyKeyId, PropertyType, TriggerEvent, TriggerPhase, TriggerSpec, Value, VertexId,
};
use std::ops::Bound;
use std::sync::Arc;

struct World {
    graph: Arc<Graph>,
    in_flight: InFlight,
    last: Lsn,
    person: LabelId,
    age: PropertyKeyId,
    name: PropertyKeyId,
    knows: EdgeTypeId,
}

impl World {
    fn new() -> World {
        let names = Arc::new(Names::default());
        World {
            person: names.label("Person"),
            age: names.key("age"),
            name: names.key("name"),
            knows: names.edge_type("KNOWS").unwrap(),
            graph: Arc::new(Graph::new(names)),
            in_flight: InFlight::default(),
            last: Lsn::ZERO,
        }
    }

    fn begin(&self) -> Transaction {
        self.graph.begin(true)
    }

    /// Commits as the engine does, applying at once.
    fn commit(&mut self, transaction: Transaction) -> Result<(), Conflict> {
        let Some(mut commit) = transaction.finish().unwrap() else { return Ok(()) };
        self.graph.conflicts(&commit, &self.in_flight)?;
        self.give_lsn(&mut commit);
        self.apply(&commit);
        Ok(())
    }

    fn give_lsn(&mut self, commit: &mut Commit) -> Lsn {
        self.last = self.last.next();
        self.in_flight.add(self.last, commit);
        self.last
    }

    fn apply(&mut self, commit: &Commit) {
        let lsn = self.graph.published().next();
        // Compared as text, in which NaN equals itself.
        let decoded = self.graph.decode(&commit.payload).unwrap();
        assert_eq!(format!("{decoded:?}"), format!("{:?}", commit.changes));
        self.graph.apply(lsn, &commit.changes).unwrap();
        self.in_flight.remove_up_to(lsn);
        let ts = self.graph.clock().take();
        self.graph.publish(lsn, ts);
    }

    fn person(&mut self, age: i64) -> VertexId {
        let mut t = self.begin();
        let id = t.create_vertex(&[self.person], vec![(self.age, Value::Int(age))]).unwrap();
        self.commit(t).unwrap();
        id
    }

    fn index(&mut self) -> IndexSpec {
        let spec = IndexSpec::LabelProperties(self.person, vec![self.age]);
        let mut t = self.begin();
        assert!(t.create_index(spec.clone()).unwrap());
        self.commit(t).unwrap();
        spec
    }

    fn constraint(&self, kind: ConstraintKind) -> ConstraintSpec {
        ConstraintSpec { label: self.person, properties: vec![self.age], kind }
    }

    fn constrain(&mut self, kind: ConstraintKind) -> Result<(), Conflict> {
        let mut t = self.begin();
        assert!(t.create_constraint(self.constraint(kind)).unwrap());
        self.commit(t)
    }
}

fn seek(t: &Transaction, index: &IndexSpec, bounds: &IndexBounds) -> Vec<u64> {
    // In twos, so that cursors are used.
    super::sought(t, index, bounds, 2)
}

fn people(t: &Transaction, label: LabelId) -> Vec<u64> {
    let mut ids = Vec::new();
    t.scan_label(label, None, 100, &mut ids);
    ids.iter().map(|id| id.0).collect()
}

#[test]
fn the_clock_counts_as_memgraphs() {
    let mut w = World::new();
    w.person(1);
    assert_eq!(w.graph.published_ts(), 2);
    w.person(1);
    assert_eq!(w.graph.published_ts(), 4);
    drop(w.begin());
    w.person(1);
    assert_eq!(w.graph.published_ts(), 7);

    let replica = Graph::new(w.graph.names().clone());
    replica.apply(Lsn(1), &[]).unwrap();
    replica.publish(Lsn(1), 2);
    drop(Arc::new(replica).begin(false));
    let promoted = Graph::new(w.graph.names().clone());
    promoted.apply(Lsn(1), &[]).unwrap();
    promoted.publish(Lsn(1), 2);
    let promoted = Arc::new(promoted);
    drop(promoted.begin(true));
    assert_eq!(promoted.clock().take(), 4);
}

#[test]
fn own_writes_are_seen_by_their_transaction_only() {
    let mut w = World::new();
    let a = w.person(30);
    let index = w.index();
    let mut t = w.begin();
    let b =
        t.create_vertex(&[w.person, w.person], vec![(w.age, Value::Int(30)), (w.name, Value::Null)]).unwrap();
    let loop_edge = t.create_edge(b, b, w.knows, vec![]).unwrap();
    let edge = t.create_edge(b, a, w.knows, vec![(w.name, Value::string("x"))]).unwrap();
    t.set_vertex_property(a, w.age, Value::Int(31)).unwrap();

    assert_eq!(t.labels(b), [w.person]);
    assert_eq!(t.vertex_properties(b), [(w.age, Value::Int(30))]);
    assert_eq!(people(&t, w.person), [a.0, b.0]);
    assert_eq!(seek(&t, &index, &IndexBounds::equal([Value::Float(30.0)])), [b.0]);
    assert_eq!(seek(&t, &index, &IndexBounds::all()), [b.0, a.0]);
    let mut out = Vec::new();
    t.expand(b, Direction::Both, Some(&[w.knows]), &mut out);
    assert_eq!(out, [(loop_edge, w.knows, b, true), (edge, w.knows, a, true)]);
    assert_eq!(t.degree(b, Direction::Incoming, None), 1);
    assert_eq!(t.degree(b, Direction::Both, None), 2);
    assert_eq!(t.counts(), Counts { vertices: 2, edges: 2 });
    assert_eq!(t.delete_vertex(b), Err(WriteError::HasEdges(b)));

    let other = w.begin();
    assert_eq!(people(&other, w.person), [a.0]);
    assert_eq!(seek(&other, &index, &IndexBounds::equal([Value::Int(30)])), [a.0]);
    assert!(!other.vertex_exists(b) && other.edge(edge).is_none());
    assert_eq!(other.degree(a, Direction::Both, None), 0);

    w.commit(t).unwrap();
    assert_eq!(people(&other, w.person), [a.0], "an open reader stays where it is");
    assert_eq!(seek(&other, &index, &IndexBounds::all()), [a.0]);
    assert_eq!(other.vertex_property(a, w.age), Value::Int(30));
    let later = w.begin();
    assert_eq!(seek(&later, &index, &IndexBounds::all()), [b.0, a.0]);
    assert_eq!(later.edge_property(edge, w.name), Value::string("x"));
}

#[test]
fn what_is_created_and_deleted_again_leaves_no_change() {
    let w = World::new();
    let mut t = w.begin();
    let a = t.create_vertex(&[w.person], vec![]).unwrap();
    let e = t.create_edge(a, a, w.knows, vec![]).unwrap();
    t.delete_edge(e).unwrap();
    t.delete_vertex(a).unwrap();
    assert_eq!(t.delete_vertex(a), Err(WriteError::NoSuchVertex(a)));
    assert_eq!(t.add_label(a, w.person), Err(WriteError::NoSuchVertex(a)));
    assert_eq!(t.create_edge(a, a, w.knows, vec![]), Err(WriteError::NoSuchVertex(a)));
    assert_eq!(t.counts(), Counts::default());
    assert!(t.finish().unwrap().is_none());
}

#[test]
fn edges_at_one_vertex_do_not_conflict_but_its_deletion_does() {
    let mut w = World::new();
    let (a, b) = (w.person(1), w.person(2));
    let (mut t1, mut t2, mut t3, mut t4) = (w.begin(), w.begin(), w.begin(), w.begin());
    t1.create_edge(a, b, w.knows, vec![]).unwrap();
    t2.create_edge(a, b, w.knows, vec![]).unwrap();
    t3.set_vertex_property(a, w.age, Value::Int(9)).unwrap();
    t4.delete_vertex(b).unwrap();
    w.commit(t1).unwrap();
    w.commit(t2).unwrap();
    w.commit(t3).unwrap();
    assert_eq!(w.commit(t4), Err(Conflict::Object));
    assert_eq!(w.begin().degree(a, Direction::Outgoing, None), 2);
}

#[test]
fn one_object_is_written_by_the_first_committer() {
    let mut w = World::new();
    let a = w.person(1);
    let (mut t1, mut t2, mut t3) = (w.begin(), w.begin(), w.begin());
    t1.set_vertex_property(a, w.age, Value::Int(2)).unwrap();
    t2.remove_label(a, w.person).unwrap();
    w.commit(t1).unwrap();
    assert_eq!(w.commit(t2), Err(Conflict::Object));
    assert_eq!(t3.set_vertex_property(a, w.age, Value::Int(3)), Err(WriteError::Conflict), "found early");
}

#[test]
fn commits_in_flight_conflict_too() {
    let mut w = World::new();
    let a = w.person(1);
    let (mut t1, mut t2) = (w.begin(), w.begin());
    t1.set_vertex_property(a, w.age, Value::Int(2)).unwrap();
    t2.set_vertex_property(a, w.age, Value::Int(3)).unwrap();
    let mut first = t1.finish().unwrap().unwrap();
    let second = t2.finish().unwrap().unwrap();
    w.graph.conflicts(&first, &w.in_flight).unwrap();
    w.give_lsn(&mut first);
    assert_eq!(w.graph.conflicts(&second, &w.in_flight), Err(Conflict::Object));
    w.in_flight.remove_after(Lsn(1));
    assert_eq!(w.graph.conflicts(&second, &w.in_flight), Ok(()), "the first will never be applied");
}

#[test]
fn unique_values_are_kept_apart_in_one_transaction_applied_and_in_flight() {
    let mut w = World::new();
    let a = w.person(1);
    w.constrain(ConstraintKind::Unique).unwrap();
    let text = "Unable to commit due to unique constraint violation on :Person(age)".to_owned();

    let mut t = w.begin();
    t.create_vertex(&[w.person], vec![(w.age, Value::Int(7))]).unwrap();
    t.create_vertex(&[w.person], vec![(w.age, Value::Float(7.0))]).unwrap();
    assert_eq!(t.finish().unwrap_err(), WriteError::Constraint(text.clone()));

    let mut t = w.begin();
    t.create_vertex(&[w.person], vec![(w.age, Value::Int(1))]).unwrap();
    assert_eq!(w.commit(t), Err(Conflict::Constraint(text.clone())));

    // Those that lack the value, or whose value equals nothing, are free.
    let mut t = w.begin();
    for value in [Value::Null, Value::Null, Value::Float(f64::NAN), Value::Float(f64::NAN)] {
        t.create_vertex(&[w.person], vec![(w.age, value)]).unwrap();
    }
    w.commit(t).unwrap();

    // A swap within one transaction, and a value that is given up by one in flight.
    let b = w.person(2);
    let mut t = w.begin();
    t.set_vertex_property(a, w.age, Value::Int(2)).unwrap();
    t.set_vertex_property(b, w.age, Value::Int(1)).unwrap();
    w.commit(t).unwrap();
    let (mut gives_up, mut takes, mut takes_too) = (w.begin(), w.begin(), w.begin());
    gives_up.set_vertex_property(b, w.age, Value::Int(5)).unwrap();
    takes.create_vertex(&[w.person], vec![(w.age, Value::Int(1))]).unwrap();
    takes_too.create_vertex(&[w.person], vec![(w.age, Value::Int(1))]).unwrap();
    let mut commits = [gives_up, takes, takes_too].map(|t| t.finish().unwrap().unwrap());
    assert_eq!(w.graph.conflicts(&commits[1], &w.in_flight), Err(Conflict::Constraint(text.clone())));
    w.graph.conflicts(&commits[0], &w.in_flight).unwrap();
    w.give_lsn(&mut commits[0]);
    w.graph.conflicts(&commits[1], &w.in_flight).unwrap();
    w.give_lsn(&mut commits[1]);
    assert_eq!(w.graph.conflicts(&commits[2], &w.in_flight), Err(Conflict::Constraint(text)));
    w.apply(&commits[0]);
    w.apply(&commits[1]);
    assert!(w.in_flight.is_empty());
}

#[test]
fn a_new_constraint_is_checked_against_what_came_meanwhile() {
    let mut w = World::new();
    let a = w.person(1);
    let mut t = w.begin();
    t.create_constraint(w.constraint(ConstraintKind::Unique)).unwrap();
    let b = w.person(1);
    assert!(matches!(w.commit(t), Err(Conflict::Constraint(_))));
    let mut t = w.begin();
    assert!(matches!(
        t.create_constraint(w.constraint(ConstraintKind::Unique)),
        Err(WriteError::Constraint(_))
    ));
    t.set_vertex_property(b, w.age, Value::Int(2)).unwrap();
    w.commit(t).unwrap();

    let mut t = w.begin();
    t.create_constraint(w.constraint(ConstraintKind::Unique)).unwrap();
    w.person(3);
    let mut moved = w.begin();
    moved.set_vertex_property(a, w.age, Value::Int(4)).unwrap();
    w.commit(moved).unwrap();
    let mut before = w.begin();
    before.set_vertex_property(a, w.age, Value::Int(5)).unwrap();
    w.commit(t).unwrap();
    assert_eq!(w.commit(before), Err(Conflict::SchemaChanged));
    assert_eq!(w.begin().constraints(), [w.constraint(ConstraintKind::Unique)]);
}

#[test]
fn types_are_checked_when_the_transaction_ends_and_when_the_constraint_begins() {
    let mut w = World::new();
    let kind = ConstraintKind::Typed(PropertyType::Integer);
    let text =
        "Unable to commit due to data type constraint violation on :Person(age): the type must be INTEGER";
    let mut t = w.begin();
    let wrong = t.create_vertex(&[w.person], vec![(w.age, Value::string("old"))]).unwrap();
    w.commit(t).unwrap();
    let mut t = w.begin();
    assert_eq!(t.create_constraint(w.constraint(kind)), Err(WriteError::Constraint(text.to_owned())));
    t.set_vertex_property(wrong, w.age, Value::Null).unwrap();
    w.commit(t).unwrap();

    // Another one with the wrong type comes between its look and its commit.
    let mut t = w.begin();
    t.create_constraint(w.constraint(kind)).unwrap();
    let mut meanwhile = w.begin();
    meanwhile.set_vertex_property(wrong, w.age, Value::Float(1.5)).unwrap();
    w.commit(meanwhile).unwrap();
    assert_eq!(w.commit(t), Err(Conflict::Constraint(text.to_owned())));
    let mut t = w.begin();
    t.set_vertex_property(wrong, w.age, Value::Int(3)).unwrap();
    w.commit(t).unwrap();
    w.constrain(kind).unwrap();

    for value in [Value::string("x"), Value::Float(2.0), Value::list([Value::Int(1)])] {
        let mut t = w.begin();
        t.set_vertex_property(wrong, w.age, value).unwrap();
        assert_eq!(t.finish().unwrap_err(), WriteError::Constraint(text.to_owned()));
    }
    let mut t = w.begin();
    t.set_vertex_property(wrong, w.age, Value::Null).unwrap();
    t.create_vertex(&[], vec![(w.age, Value::string("not a person"))]).unwrap();
    w.commit(t).unwrap();
}

#[test]
fn enums_and_triggers_are_of_a_version_and_travel_in_snapshots() {
    let mut w = World::new();
    let early = w.begin();
    let color = |values: &[&str]| EnumSpec {
        name: "Color".into(),
        values: values.iter().map(|value| (*value).into()).collect(),
    };
    let trigger = TriggerSpec {
        name: "t".into(),
        event: TriggerEvent::Create(None),
        phase: TriggerPhase::BeforeCommit,
        statement: "RETURN 1".into(),
    };
    let mut t = w.begin();
    t.set_enum(color(&["Red"]));
    assert!(t.create_trigger(trigger.clone()));
    assert!(!t.create_trigger(trigger.clone()), "the name is taken");
    assert!(!t.has_triggers(), "it begins with the next transaction");
    w.commit(t).unwrap();
    assert!(early.enums().is_empty() && early.triggers().is_empty());
    assert!(w.begin().has_triggers());
    let digest = |graph: &Arc<Graph>| graph.digest(&graph.view());
    let before = digest(&w.graph);

    let mut t = w.begin();
    t.set_enum(color(&["Red", "Blue"]));
    assert_eq!(t.enums(), [color(&["Red", "Blue"])]);
    w.commit(t).unwrap();
    assert_ne!(digest(&w.graph), before, "the values of an enum are part of the digest");

    let other = Arc::new(Graph::new(Arc::new(Names::default())));
    let mut view = w.graph.view();
    let mut blocks = Vec::new();
    while let Some(block) = view.next_block() {
        blocks.push(bytes::Bytes::from(w.graph.encode(&block)));
    }
    let read = |i: usize| Ok::<_, String>(blocks[i].clone());
    other.load(blocks.len(), &read, &crate::types::OneByOne).unwrap();
    other.publish(view.lsn(), 0);
    assert_eq!(digest(&other), digest(&w.graph));
    assert_eq!(other.begin(false).enums(), [color(&["Red", "Blue"])]);
    assert_eq!(*other.begin(false).triggers()[0], trigger);
    assert!(other.needs_protocol_3());

    let mut t = w.begin();
    assert!(t.drop_enum("Color") && t.drop_trigger("t"));
    assert!(!t.drop_enum("Color") && !t.drop_trigger("t"), "they are gone");
    w.commit(t).unwrap();
    assert!(!w.begin().has_triggers() && w.begin().enums().is_empty());
    assert!(w.graph.needs_protocol_3(), "a snapshot of before may hold them");
}

/// A write that was planned with an enum's old values must not be committed beside its new ones.
#[test]
fn a_change_of_an_enum_is_a_conflict_with_writes_that_began_before_it() {
    let mut w = World::new();
    let a = w.person(1);
    let mut write = w.begin();
    write.set_vertex_property(a, w.age, Value::Int(2)).unwrap();
    let mut t = w.begin();
    t.set_enum(EnumSpec { name: "Color".into(), values: vec!["Red".into()] });
    w.commit(t).unwrap();
    assert_eq!(w.commit(write), Err(Conflict::SchemaChanged));
}

#[test]
fn existence_is_checked_when_the_transaction_ends() {
    let mut w = World::new();
    let a = w.person(1);
    w.constrain(ConstraintKind::Exists).unwrap();
    let text = "Unable to commit due to existence constraint violation on :Person(age)";
    let mut t = w.begin();
    t.set_vertex_property(a, w.age, Value::Null).unwrap();
    assert_eq!(t.finish().unwrap_err(), WriteError::Constraint(text.to_owned()));
    let mut t = w.begin();
    t.create_vertex(&[w.person], vec![]).unwrap();
    assert_eq!(t.finish().unwrap_err(), WriteError::Constraint(text.to_owned()));
    let mut t = w.begin();
    t.delete_vertex(a).unwrap();
    t.create_vertex(&[], vec![]).unwrap();
    w.commit(t).unwrap();
    let mut t = w.begin();
    assert!(t.drop_constraint(&w.constraint(ConstraintKind::Exists)).unwrap());
    w.commit(t).unwrap();
    assert!(w.begin().constraints().is_empty());
}

#[test]
fn an_index_serves_ranges_and_is_not_offered_to_older_readers() {
    let mut w = World::new();
    for age in [5, 1, 9, 5] {
        w.person(age);
    }
    let older = w.begin();
    let index = w.index();
    let mut t = w.begin();
    for value in [Value::Float(f64::NAN), Value::string("old"), Value::Float(5.5)] {
        t.create_vertex(&[w.person], vec![(w.age, value)]).unwrap();
    }
    w.commit(t).unwrap();
    assert!(!older.has_index(&index) && older.indexes().is_empty());
    assert!(seek(&older, &index, &IndexBounds::all()).is_empty());

    let t = w.begin();
    let range = |from, to| seek(&t, &index, &IndexBounds::range(from, to));
    let int = Value::Int;
    assert_eq!(seek(&t, &index, &IndexBounds::all()), [5, 1, 0, 3, 6, 2, 4]);
    assert_eq!(seek(&t, &index, &IndexBounds::equal([int(5)])), [0, 3]);
    assert_eq!(range(Bound::Excluded(int(5)), Bound::Unbounded), [6, 2]);
    assert_eq!(range(Bound::Unbounded, Bound::Excluded(int(5))), [1]);
    assert_eq!(range(Bound::Included(int(5)), Bound::Excluded(int(9))), [0, 3, 6]);
    assert_eq!(range(Bound::Included(int(9)), Bound::Included(int(1))), [0u64; 0]);
    assert_eq!(range(Bound::Included(Value::string("")), Bound::Unbounded), [5]);
    assert_eq!(range(Bound::Included(int(1)), Bound::Excluded(Value::string("z"))), [0u64; 0]);
    for nothing in [Value::Null, Value::Float(f64::NAN), Value::list([Value::Null])] {
        assert_eq!(seek(&t, &index, &IndexBounds::equal([nothing])), [0u64; 0]);
    }
    assert_eq!(t.index_count(&index), 7);

    let mut drops = w.begin();
    drops.drop_index(&index).unwrap();
    w.commit(drops).unwrap();
    w.person(5);
    assert_eq!(seek(&t, &index, &IndexBounds::equal([int(5)])), [0, 3], "dropped, but not for this reader");
    assert!(!w.begin().has_index(&index));
}

#[test]
fn a_composite_index_takes_equal_values_and_then_a_range() {
    let mut w = World::new();
    let spec = IndexSpec::LabelProperties(w.person, vec![w.name, w.age]);
    let mut t = w.begin();
    t.create_index(spec.clone()).unwrap();
    t.create_index(IndexSpec::Label(w.person)).unwrap();
    w.commit(t).unwrap();
    let mut t = w.begin();
    for (name, age) in [("b", 1), ("a", 2), ("a", 1), ("a\0", 1), ("ab", 7)] {
        t.create_vertex(&[w.person], vec![(w.age, Value::Int(age)), (w.name, Value::string(name))]).unwrap();
    }
    t.create_vertex(&[w.person], vec![(w.name, Value::string("a"))]).unwrap();
    w.commit(t).unwrap();
    let t = w.begin();
    assert_eq!(seek(&t, &spec, &IndexBounds::all()), [2, 1, 3, 4, 0]);
    assert_eq!(seek(&t, &spec, &IndexBounds::equal([Value::string("a")])), [2, 1]);
    assert_eq!(seek(&t, &spec, &IndexBounds::equal([Value::string("a"), Value::Int(2)])), [1]);
    let bounds = IndexBounds {
        equal: vec![Value::string("a")],
        range: (Bound::Unbounded, Bound::Excluded(Value::Int(2))),
    };
    assert_eq!(seek(&t, &spec, &bounds), [2]);
    let by_label = IndexSpec::Label(w.person);
    assert_eq!(t.indexes(), [by_label.clone(), spec]);
    assert_eq!(seek(&t, &by_label, &IndexBounds::all()), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn an_edge_index_serves_types_and_values_and_is_not_offered_to_older_readers() {
    let mut w = World::new();
    let (a, b) = (w.person(1), w.person(2));
    let likes = w.graph.names().edge_type("LIKES").unwrap();
    let mut t = w.begin();
    for (edge_type, age) in [(w.knows, 5), (likes, 5), (w.knows, 1), (w.knows, 9)] {
        t.create_edge(a, b, edge_type, vec![(w.age, Value::Int(age))]).unwrap();
    }
    t.create_edge(b, b, w.knows, vec![]).unwrap();
    w.commit(t).unwrap();
    let older = w.begin();
    let by_type = IndexSpec::EdgeType(w.knows);
    let by_age = IndexSpec::EdgeTypeProperties(w.knows, vec![w.age]);
    let mut t = w.begin();
    assert!(t.create_index(by_age.clone()).unwrap() && t.create_index(by_type.clone()).unwrap());
    assert!(!t.create_index(by_type.clone()).unwrap(), "it is there already");
    w.commit(t).unwrap();
    let all = IndexBounds::all;
    for index in [&by_type, &by_age] {
        assert!(!older.has_index(index) && seek(&older, index, &all()).is_empty());
    }
    let t = w.begin();
    assert_eq!(t.indexes(), [by_type.clone(), by_age.clone()]);
    assert_eq!(seek(&t, &by_type, &all()), [0, 2, 3, 4]);
    assert_eq!(seek(&t, &by_age, &all()), [2, 0, 3]);
    assert_eq!(seek(&t, &by_age, &IndexBounds::equal([Value::Int(5)])), [0]);
    let range = IndexBounds::range(Bound::Excluded(Value::Int(1)), Bound::Unbounded);
    assert_eq!(seek(&t, &by_age, &range), [0, 3]);
    assert_eq!((t.index_count(&by_type), t.index_count(&by_age)), (4, 3));

    // An own write is seen at once and in its place, by no one else.
    let mut own = w.begin();
    own.set_edge_property(EdgeId(3), w.age, Value::Int(0)).unwrap();
    own.set_edge_property(EdgeId(4), w.age, Value::Int(5)).unwrap();
    own.delete_edge(EdgeId(0)).unwrap();
    let new = own.create_edge(b, a, w.knows, vec![(w.age, Value::Int(2))]).unwrap();
    let gone = own.create_edge(b, a, w.knows, vec![(w.age, Value::Int(3))]).unwrap();
    own.delete_edge(gone).unwrap();
    assert_eq!(seek(&own, &by_type, &all()), [2, 3, 4, new.0]);
    assert_eq!(seek(&own, &by_age, &all()), [3, 2, new.0, 4]);
    assert_eq!(seek(&t, &by_age, &all()), [2, 0, 3]);
    w.commit(own).unwrap();
    assert_eq!(seek(&w.begin(), &by_type, &all()), [2, 3, 4, new.0]);
    assert_eq!(seek(&w.begin(), &by_age, &all()), [3, 2, new.0, 4]);
    assert_eq!(seek(&t, &by_age, &all()), [2, 0, 3], "it reads the past");

    let mut drops = w.begin();
    assert!(drops.drop_index(&by_age).unwrap());
    w.commit(drops).unwrap();
    let mut later = w.begin();
    later.delete_edge(EdgeId(2)).unwrap();
    w.commit(later).unwrap();
    assert_eq!(seek(&t, &by_age, &all()), [2, 0, 3], "dropped, but not for this reader");
    assert!(!w.begin().has_index(&by_age));
    assert!(seek(&w.begin(), &by_age, &all()).is_empty());
    assert_eq!(seek(&w.begin(), &by_type, &all()), [3, 4, new.0]);
    assert!(w.graph.needs_protocol_3());
    let mut drops = w.begin();
    drops.drop_index(&by_type).unwrap();
    w.commit(drops).unwrap();
    assert!(w.graph.needs_protocol_3(), "a snapshot of before may hold it");
}

#[test]
fn an_edge_index_keeps_nothing_once_no_one_reads_the_past() {
    let mut w = World::new();
    let a = w.person(1);
    let indexes = [IndexSpec::EdgeType(w.knows), IndexSpec::EdgeTypeProperties(w.knows, vec![w.age])];
    let mut t = w.begin();
    indexes.iter().for_each(|index| assert!(t.create_index(index.clone()).unwrap()));
    w.commit(t).unwrap();
    let before = w.graph.memory().indexes;
    let mut t = w.begin();
    let edges: Vec<EdgeId> =
        (0..50).map(|age| t.create_edge(a, a, w.knows, vec![(w.age, Value::Int(age))]).unwrap()).collect();
    w.commit(t).unwrap();
    assert!(w.graph.memory().indexes >= before + 50 * 32);
    let old = w.begin();
    for id in &edges {
        let mut t = w.begin();
        t.set_edge_property(*id, w.age, Value::Int(7)).unwrap();
        w.commit(t).unwrap();
        let mut t = w.begin();
        t.delete_edge(*id).unwrap();
        w.commit(t).unwrap();
    }
    assert_eq!(old.index_count(&indexes[1]), 50 + 49, "the state that has 7 already is one of them");
    assert_eq!(seek(&old, &indexes[1], &IndexBounds::equal([Value::Int(7)])), [7]);
    assert_eq!(seek(&old, &indexes[0], &IndexBounds::all()).len(), 50);
    drop(old);
    while w.graph.collect_garbage().more {}
    let t = w.begin();
    assert!(indexes.iter().all(|index| t.index_count(index) == 0));
    assert_eq!(w.graph.memory().indexes, before);
}

#[test]
fn load_leaves_nothing_behind_once_no_one_reads_the_past() {
    let mut w = World::new();
    let index = w.index();
    let ids: Vec<VertexId> = (0..50).map(|age| w.person(age)).collect();
    let quiet = w.graph.memory();
    let old = w.begin();
    for round in 0..40 {
        for id in &ids {
            let mut t = w.begin();
            t.set_vertex_property(*id, w.age, Value::Int(100 + round)).unwrap();
            w.commit(t).unwrap();
        }
    }
    assert!(w.graph.memory().deltas > 2000 * 8);
    assert_eq!(old.index_count(&index), 50 * 41);
    assert_eq!(seek(&old, &index, &IndexBounds::equal([Value::Int(7)])), [7]);
    drop(old);
    while w.graph.collect_garbage().more {}
    assert_eq!(w.begin().index_count(&index), 50);
    assert!(w.graph.memory().deltas <= quiet.deltas + 4096);

    // With no reader but the writers themselves, memory stays flat without any other help.
    for round in 0..2000 {
        let mut t = w.begin();
        t.set_vertex_property(ids[round % 50], w.age, Value::Int(-1)).unwrap();
        w.commit(t).unwrap();
    }
    assert!(w.graph.memory().deltas <= quiet.deltas + 4096, "{:?}", w.graph.memory());
}

#[test]
fn chunks_of_what_was_deleted_are_freed() {
    let mut w = World::new();
    for _ in 0..3 {
        let mut t = w.begin();
        let ids: Vec<VertexId> = (0..5000).map(|_| t.create_vertex(&[w.person], vec![]).unwrap()).collect();
        let edges: Vec<EdgeId> =
            ids.windows(2).map(|p| t.create_edge(p[0], p[1], w.knows, vec![]).unwrap()).collect();
        w.commit(t).unwrap();
        let mut t = w.begin();
        edges.iter().for_each(|e| t.delete_edge(*e).unwrap());
        ids.iter().for_each(|id| t.delete_vertex(*id).unwrap());
        w.commit(t).unwrap();
    }
    while w.graph.collect_garbage().more {}
    let memory = w.graph.memory();
    assert!(memory.vertices < 150_000 && memory.edges < 100_000 && memory.labels < 1000, "{memory:?}");
    assert_eq!(w.graph.counts(), Counts::default());
}

#[test]
fn impossible_changes_are_refused_by_name() {
    let w = World::new();
    let create = |id| Change::CreateVertex { id: VertexId(id), labels: vec![w.person], properties: vec![] };
    let edge = |id, from, to| Change::CreateEdge {
        id: EdgeId(id),
        from: VertexId(from),
        to: VertexId(to),
        edge_type: w.knows,
        properties: vec![],
    };
    let set = |value| Change::SetVertexProperty { id: VertexId(1), key: w.age, value };
    let index = IndexSpec::Label(w.person);
    let cases: Vec<(Vec<Change>, &str)> = vec![
        (vec![create(1)], "exists"),
        (vec![create(1 << 40)], "40 bits"),
        (vec![Change::DeleteVertex { id: VertexId(3) }], "does not exist"),
        (vec![edge(1, 1, 2), Change::DeleteVertex { id: VertexId(1) }], "still has edges"),
        (vec![edge(1, 1, 3)], "vertex 3, an end of edge 1"),
        (vec![edge(1, 1, 2), edge(1, 2, 1)], "edge 1 exists"),
        (vec![Change::DeleteEdge { id: EdgeId(5) }], "edge 5 does not exist"),
        (vec![Change::AddLabel { id: VertexId(1), label: w.person }], "has the label"),
        (vec![create(4), set(Value::Null)], "does not have the property"),
        (vec![set(Value::Vertex(VertexId(1)))], "cannot be stored"),
        (vec![Change::CreateIndex(index.clone()), Change::CreateIndex(index.clone())], "the index exists"),
        (vec![Change::DropIndex(index)], "the index does not exist"),
        (
            vec![
                set(Value::Int(1)),
                Change::SetVertexProperty { id: VertexId(2), key: w.age, value: Value::Int(1) },
                Change::CreateConstraint(w.constraint(ConstraintKind::Unique)),
            ],
            "unique constraint violation on :Person(age)",
        ),
        (vec![Change::DropConstraint(w.constraint(ConstraintKind::Unique))], "constraint does not exist"),
    ];
    for (changes, text) in cases {
        let graph = Graph::new(w.graph.names().clone());
        graph.apply(Lsn(1), &[create(1), create(2)]).unwrap();
        let error = graph.apply(Lsn(2), &changes).unwrap_err();
        assert_eq!(error.place, changes.len() - 1);
        assert!(error.to_string().contains(text), "{error}");
    }
    let error = w.graph.apply(Lsn(2), &[]).unwrap_err();
    assert!(error.to_string().contains("record 1 must come next"), "{error}");
}

#[test]
fn a_snapshot_makes_an_equal_graph_while_writers_go_on() {
    let mut w = World::new();
    let index = w.index();
    w.constrain(ConstraintKind::Exists).unwrap();
    let mut t = w.begin();
    let ids: Vec<VertexId> = (0..70_000)
        .map(|n| t.create_vertex(&[w.person], vec![(w.age, Value::Int(n % 90))]).unwrap())
        .collect();
    for n in 0..1000 {
        t.create_edge(ids[n], ids[n * 31 % 5000], w.knows, vec![(w.age, Value::Int(n as i64))]).unwrap();
    }
    let last = t.create_vertex(&[], vec![]).unwrap();
    let last_edge = t.create_edge(last, last, w.knows, vec![]).unwrap();
    w.commit(t).unwrap();
    let mut t = w.begin();
    t.delete_edge(last_edge).unwrap();
    t.delete_vertex(last).unwrap();
    w.commit(t).unwrap();

    let mut view = w.graph.view();
    let digest = w.graph.digest(&view);
    let first = view.next_block().unwrap();
    assert_eq!(first.len(), 2, "the schema comes first");
    let mut t = w.begin();
    t.set_vertex_property(ids[5], w.age, Value::Int(1000)).unwrap();
    t.create_vertex(&[], vec![]).unwrap();
    w.commit(t).unwrap();
    assert_eq!(w.graph.digest(&view), digest, "the view is pinned");
    assert_ne!(w.graph.digest(&w.graph.view()), digest);

    // Names get other numbers in another process.
    let names = Arc::new(Names::default());
    names.key("zzz");
    names.label("Animal");
    let copy = Arc::new(Graph::new(names));
    let mut blocks = vec![first];
    blocks.extend(std::iter::from_fn(|| view.next_block()));
    assert!(blocks.iter().all(|block| !block.is_empty() && block.len() <= 65_536) && blocks.len() >= 4);
    let payloads: Vec<Vec<u8>> = blocks.iter().map(|block| w.graph.encode(block)).collect();
    super::load(&copy, &payloads, &super::Threads(3)).unwrap();
    for (what, without) in [("a vertex", 1), ("an edge", blocks.len() - 2)] {
        let less: Vec<Vec<u8>> =
            payloads.iter().enumerate().filter(|(i, _)| *i != without).map(|(_, p)| p.clone()).collect();
        let graph = Arc::new(Graph::new(Arc::new(Names::default())));
        let loaded = super::load(&graph, &less, &super::Threads(2));
        graph.publish(view.lsn(), 17);
        let differs = loaded.is_err() || graph.digest(&graph.view()) != digest;
        assert!(differs, "without a block of {what} it is another graph");
        let twice = [&payloads[..], &payloads[without..=without]].concat();
        let graph = Graph::new(Arc::new(Names::default()));
        let error = super::load(&graph, &twice, &super::Threads(2)).unwrap_err();
        assert!(error.contains("exists"), "{what} twice: {error}");
    }
    copy.publish(view.lsn(), 17);
    assert_eq!(copy.published(), view.lsn());
    assert_eq!(copy.digest(&copy.view()), digest);
    assert_eq!(copy.counts(), view.counts());
    assert_eq!(copy.clock().next(), 18);
    let mut t = copy.begin(false);
    assert_eq!(t.create_vertex(&[], vec![]).unwrap(), VertexId(last.0 + 1), "ids are not given out again");
    assert_eq!(t.create_edge(ids[0], ids[0], w.knows, vec![]).unwrap(), EdgeId(last_edge.0 + 1));
    let IndexSpec::LabelProperties(..) = index else { unreachable!() };
    assert_eq!(t.indexes().len(), 1);
    view.rewind();
    assert_eq!(view.next_block().unwrap().len(), 2);

    // The log goes on where the snapshot ends.
    let empty = Graph::new(Arc::new(Names::default()));
    empty.publish(Lsn(9), 3);
    empty.apply(Lsn(10), &[]).unwrap();
    assert!(super::load(&empty, &[], &super::Threads(1)).is_err(), "it is not empty any more");
}

#[test]
fn a_reader_between_apply_and_publish_sees_one_whole_state() {
    let mut w = World::new();
    let a = w.person(1);
    let set = |value| Change::SetVertexProperty { id: a, key: w.age, value: Value::Int(value) };
    // Quiet: no reader, no undo steps, so whoever comes now sees the new state already.
    w.graph.apply(Lsn(2), &[set(2)]).unwrap();
    let early = w.begin();
    assert_eq!((early.read_lsn(), early.vertex_property(a, w.age)), (Lsn(2), Value::Int(2)));
    // Not quiet: there is a reader.
    w.graph.apply(Lsn(3), &[set(3)]).unwrap();
    let second = w.begin();
    assert_eq!((second.read_lsn(), second.vertex_property(a, w.age)), (Lsn(2), Value::Int(2)));
    w.graph.publish(Lsn(2), 4);
    w.graph.publish(Lsn(3), 6);
    assert_eq!(early.vertex_property(a, w.age), Value::Int(2));
    assert_eq!(w.begin().vertex_property(a, w.age), Value::Int(3));
}

/// Commits of many objects are looked up in another way than those of few.
#[test]
fn commits_of_many_objects_meet_those_of_many_and_of_few() {
    const MANY: i64 = 600;
    let mut w = World::new();
    let mut t = w.begin();
    let all: Vec<VertexId> = (0..MANY).map(|_| t.create_vertex(&[], vec![]).unwrap()).collect();
    w.commit(t).unwrap();
    let age = w.age;
    let set = |w: &World, ids: &[VertexId]| {
        let mut t = w.begin();
        for id in ids {
            t.set_vertex_property(*id, age, Value::Int(1)).unwrap();
        }
        t.finish().unwrap().unwrap()
    };
    let link = |w: &World, ids: &[VertexId]| {
        let mut t = w.begin();
        for id in ids {
            t.create_edge(*id, all[0], w.knows, vec![]).unwrap();
        }
        t.finish().unwrap().unwrap()
    };
    let (odd, even): (Vec<VertexId>, Vec<VertexId>) = all.iter().partition(|id| id.0 % 2 == 1);
    let mut first = set(&w, &odd);
    let others =
        [set(&w, &all[300..]), set(&w, &odd[299..]), set(&w, &even), set(&w, &even[7..8]), link(&w, &odd)];
    w.graph.conflicts(&first, &w.in_flight).unwrap();
    w.give_lsn(&mut first);
    let met = |w: &World, commit: &Commit| w.graph.conflicts(commit, &w.in_flight).err();
    let refused = Some(Conflict::Object);
    let expected = [refused.clone(), refused.clone(), None, None, None];
    assert_eq!(others.each_ref().map(|commit| met(&w, commit)), expected, "the first is in flight");
    w.apply(&first);
    assert_eq!(others.each_ref().map(|commit| met(&w, commit)), expected, "the first is applied");

    // One that deletes an end meets the edges that many get.
    let [.., mut edges] = others;
    let mut t = w.begin();
    t.delete_vertex(odd[5]).unwrap();
    let deletion = t.finish().unwrap().unwrap();
    assert_eq!(met(&w, &deletion), None);
    w.give_lsn(&mut edges);
    assert_eq!(met(&w, &deletion), refused);
    w.in_flight.remove_after(Lsn(w.last.0 - 1));
    assert_eq!(met(&w, &deletion), None, "what is in flight no more is forgotten");
}

/// Who comes while a long record that only creates is applied sees nothing of it.
#[test]
fn creations_can_be_undone_for_readers_that_come_meanwhile() {
    for is_waited_for in [false, true] {
        let mut w = World::new();
        let index = w.index();
        let ada = w.person(7);
        let mut t = w.begin();
        for _ in 0..1500 {
            let id = t.create_vertex(&[w.person], vec![(w.age, Value::Int(7))]).unwrap();
            t.create_edge(ada, id, w.knows, vec![]).unwrap();
        }
        let mut commit = t.finish().unwrap().unwrap();
        w.graph.conflicts(&commit, &w.in_flight).unwrap();
        let lsn = w.give_lsn(&mut commit);
        if is_waited_for {
            w.graph.readers.pretend_waiting();
        }
        w.graph.apply(lsn, &commit.changes).unwrap();
        let early = w.begin();
        w.graph.publish(lsn, 9);
        let late = w.begin();
        let seen = |t: &Transaction| {
            let mut edges = Vec::new();
            t.scan_edges(None, 5000, &mut edges);
            let bounds = IndexBounds::equal([Value::Int(7)]);
            let all = super::sought(t, &index, &bounds, 64).len();
            let mut ids = Vec::new();
            t.scan_label(w.person, None, 5000, &mut ids);
            (ids.len(), all, edges.len(), t.degree(ada, Direction::Outgoing, None))
        };
        let (none, every) = ((1, 1, 0, 0), (1501, 1501, 1500, 1500));
        // Where nobody waited, nothing was kept of what was before: that is over already.
        assert_eq!(seen(&early), if is_waited_for { none } else { every });
        assert_eq!(seen(&late), every);
        assert_eq!(w.graph.versions_kept() > 0, is_waited_for);
        drop((early, late));
        while w.graph.collect_garbage().more {}
        assert_eq!(w.graph.versions_kept(), 0);
        assert_eq!(seen(&w.begin()), every);
    }
}

/// A long record that does not fit is seen by nobody, not even its first part.
#[test]
fn what_is_there_of_a_record_that_does_not_fit_is_not_seen() {
    let mut w = World::new();
    let ada = w.person(1);
    let create = |id| Change::CreateVertex { id: VertexId(id), labels: vec![w.person], properties: vec![] };
    let mut changes: Vec<Change> = (10..1600).map(create).collect();
    changes.push(create(ada.0));
    let error = w.graph.apply(w.last.next(), &changes).unwrap_err();
    assert_eq!((error.place, error.what.as_str()), (1590, "vertex 0 exists"));
    assert_eq!(people(&w.begin(), w.person), [ada.0]);
}

#[test]
fn a_commit_of_another_graph_conflicts_even_at_the_same_lsn() {
    let (mut old, mut new) = (World::new(), World::new());
    let (a, b) = (old.person(1), new.person(2));
    assert_eq!((a, old.last), (b, new.last));
    let mut t = old.begin();
    t.set_vertex_property(a, old.age, Value::Int(3)).unwrap();
    let commit = t.finish().unwrap().unwrap();
    assert_eq!(new.graph.conflicts(&commit, &new.in_flight), Err(Conflict::Object));
    assert_eq!(old.graph.conflicts(&commit, &old.in_flight), Ok(()));
}
