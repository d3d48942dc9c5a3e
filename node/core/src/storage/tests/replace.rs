//! One graph takes the place of another.

use crate::storage::{Conflict, Counts, Direction, Graph, InFlight, ReplaceError, Transaction};
use crate::types::{
    Change, ConstraintKind, ConstraintSpec, EdgeId, EnumSpec, IndexSpec, Lsn, Names, TriggerEvent,
    TriggerPhase, TriggerSpec, Value, VertexId,
};
use std::cell::Cell;
use std::sync::Arc;

const GO_ON: &dyn Fn() -> bool = &|| false;

fn graph(names: &Arc<Names>) -> Arc<Graph> {
    Arc::new(Graph::new(names.clone()))
}

fn write(graph: &Arc<Graph>, work: impl FnOnce(&mut Transaction)) {
    let mut tx = graph.begin(true);
    work(&mut tx);
    let commit = tx.finish().unwrap().expect("it wrote");
    graph.conflicts(&commit, &InFlight::default()).unwrap();
    let lsn = graph.published().next();
    graph.apply(lsn, &commit.changes).unwrap();
    graph.publish(lsn, lsn.0);
}

fn record(graph: &Arc<Graph>, changes: &[Change]) {
    let lsn = graph.published().next();
    graph.apply(lsn, changes).unwrap();
    graph.publish(lsn, lsn.0);
}

fn constraint(names: &Names, key: &str, kind: ConstraintKind) -> ConstraintSpec {
    ConstraintSpec { label: names.label("A"), properties: vec![names.key(key)], kind }
}

/// Vertices of :A with `n` from `from` on, each with an edge to the one before.
fn chain(graph: &Arc<Graph>, from: i64, count: i64) {
    let names = graph.names().clone();
    let (label, key, edge_type) = (names.label("A"), names.key("n"), names.edge_type("T").unwrap());
    write(graph, |tx| {
        let mut last = None;
        for n in from..from + count {
            let id = tx.create_vertex(&[label], vec![(key, Value::Int(n))]).unwrap();
            if let Some(last) = last.replace(id) {
                tx.create_edge(id, last, edge_type, vec![(key, Value::Int(-n))]).unwrap();
            }
        }
    });
}

/// For each vertex by id: its `n`, that of those it leads to, and what the edges hold.
fn told(graph: &Arc<Graph>) -> Vec<(Value, Vec<(Value, Value)>)> {
    let tx = graph.begin(false);
    let key = graph.names().key("n");
    let mut ids = Vec::new();
    tx.scan_label(graph.names().label("A"), None, 1000, &mut ids);
    let edges = |id: &VertexId| {
        let mut steps = Vec::new();
        tx.expand(*id, Direction::Outgoing, None, &mut steps);
        steps.iter().map(|(e, _, to, _)| (tx.edge_property(*e, key), tx.vertex_property(*to, key))).collect()
    };
    ids.iter().map(|id| (tx.vertex_property(*id, key), edges(id))).collect()
}

#[test]
fn the_other_graph_takes_its_place_here_and_on_whoever_applies_the_record() {
    let names = Arc::new(Names::default());
    let (here, there, replica) = (graph(&names), graph(&names), graph(&Arc::default()));
    let index = IndexSpec::LabelProperties(names.label("A"), vec![names.key("n")]);
    let unique = constraint(&names, "n", ConstraintKind::Unique);
    // Equal keys here and there, under a constraint that stays; one that goes, and that what comes does not fit.
    write(&here, |tx| {
        tx.create_index(IndexSpec::Label(names.label("A"))).unwrap();
        tx.create_constraint(unique.clone()).unwrap();
    });
    chain(&here, 0, 5);
    write(&here, |tx| drop(tx.set_vertex_property(VertexId(4), names.key("extra"), Value::Int(1)).unwrap()));
    write(&here, |tx| {
        let ids: Vec<VertexId> = (0..4).map(VertexId).collect();
        ids.iter().for_each(|id| drop(tx.set_vertex_property(*id, names.key("extra"), Value::Int(1))));
    });
    write(&here, |tx| {
        tx.create_constraint(constraint(&names, "extra", ConstraintKind::Exists)).unwrap();
    });
    chain(&there, 100, 2);
    write(&there, |tx| {
        // Ids with holes.
        tx.delete_edge(EdgeId(0)).unwrap();
        tx.delete_vertex(VertexId(0)).unwrap();
        tx.create_constraint(unique.clone()).unwrap();
        tx.create_index(index.clone()).unwrap();
    });
    chain(&there, 2, 4);
    let enums = |name: &str, values: &[&str]| {
        let values = values.iter().map(|value| Arc::from(*value)).collect();
        Change::SetEnum(EnumSpec { name: name.into(), values })
    };
    let trigger = |name: &str| {
        let (event, phase) = (TriggerEvent::Any, TriggerPhase::AfterCommit);
        let statement = "RETURN 1".into();
        Change::CreateTrigger(Arc::new(TriggerSpec { name: name.into(), event, phase, statement }))
    };
    record(&here, &[enums("Gone", &["x"]), enums("Both", &["a"]), trigger("gone"), trigger("both")]);
    record(&there, &[enums("Both", &["a", "b"]), enums("New", &["y"]), trigger("both"), trigger("new")]);

    let mut view = here.view();
    while let Some(block) = view.next_block() {
        let block = here.encode(&block);
        let lsn = replica.published().next();
        replica.apply(lsn, &replica.decode(&block).unwrap()).unwrap();
        replica.publish(lsn, lsn.0);
    }
    drop(view);
    let before = here.begin(false);
    let commit = here.replacement(&there, GO_ON).unwrap().expect("there is something to do");
    here.conflicts(&commit, &InFlight::default()).unwrap();
    for graph in [&here, &replica] {
        let changes = graph.decode(&commit.payload).unwrap();
        let lsn = graph.published().next();
        graph.apply(lsn, &changes).unwrap();
        graph.publish(lsn, lsn.0);
    }
    assert_eq!(told(&here), told(&there));
    assert_eq!(told(&here).len(), 5);
    assert_eq!(here.digest(&here.view()), replica.digest(&replica.view()));
    let after = here.begin(false);
    assert_eq!(after.counts(), Counts { vertices: 5, edges: 3 });
    assert_eq!((after.indexes(), after.constraints()), (vec![index], vec![unique]));
    let there = there.begin(false);
    assert_eq!((after.enums(), after.triggers()), (there.enums(), there.triggers()));
    assert_eq!((after.enums().len(), after.triggers().len()), (2, 2));
    // Ids go on; who reads the past still has it.
    let mut ids = Vec::new();
    after.scan_vertices(None, 10, &mut ids);
    assert_eq!(ids, [5, 6, 7, 8, 9].map(VertexId));
    assert_eq!(before.counts(), Counts { vertices: 5, edges: 4 });
    drop((before, after, commit));
    while here.collect_garbage().more {}
    assert_eq!(here.versions_kept(), 0);
}

#[test]
fn what_is_committed_meanwhile_is_not_overwritten() {
    let names = Arc::new(Names::default());
    let (here, there) = (graph(&names), graph(&names));
    chain(&here, 0, 2);
    chain(&there, 10, 2);
    let replacement = || here.replacement(&there, GO_ON).unwrap().expect("there is something to do");
    let creation = || {
        let mut tx = here.begin(true);
        tx.create_vertex(&[], Vec::new()).unwrap();
        tx.finish().unwrap().expect("it wrote")
    };
    // Committed since it was read.
    let commit = replacement();
    chain(&here, 5, 1);
    assert_eq!(here.conflicts(&commit, &InFlight::default()), Err(Conflict::Object));
    // About to be committed.
    let mut other = creation();
    let mut in_flight = InFlight::default();
    in_flight.add(Lsn(3), &mut other);
    assert_eq!(here.conflicts(&replacement(), &in_flight), Err(Conflict::Object));
    // And the other way round.
    let mut commit = replacement();
    let mut in_flight = InFlight::default();
    here.conflicts(&commit, &in_flight).unwrap();
    in_flight.add(Lsn(3), &mut commit);
    let late = creation();
    assert_eq!(here.conflicts(&late, &in_flight), Err(Conflict::Object));
    let mut edge = here.begin(true);
    edge.create_edge(VertexId(0), VertexId(1), names.edge_type("T").unwrap(), Vec::new()).unwrap();
    let edge = edge.finish().unwrap().expect("it wrote");
    here.apply(Lsn(3), &commit.changes).unwrap();
    in_flight.remove_up_to(Lsn(3));
    assert_eq!(here.conflicts(&edge, &in_flight), Err(Conflict::Object), "its ends are gone");
    here.conflicts(&late, &in_flight).unwrap();
}

#[test]
fn it_stops_when_asked_and_refuses_what_breaks_its_own_rules() {
    let names = Arc::new(Names::default());
    let (here, there) = (graph(&names), graph(&names));
    assert!(here.replacement(&there, GO_ON).unwrap().is_none(), "both are empty");
    chain(&there, 0, 10_000);
    let looks = Cell::new(0);
    let third_time = || looks.replace(looks.get() + 1) >= 2;
    assert_eq!(here.replacement(&there, &third_time).unwrap_err(), ReplaceError::Stopped);
    assert_eq!(looks.get(), 4, "it looks while it works, and no longer than it must");

    // As a damaged or foreign file could say it.
    let broken = graph(&names);
    let must_exist = Change::CreateConstraint(constraint(&names, "missing", ConstraintKind::Exists));
    let vertex = Change::CreateVertex { id: VertexId(0), labels: vec![names.label("A")], properties: vec![] };
    broken.apply(Lsn(1), &[must_exist, vertex]).unwrap();
    broken.publish(Lsn(1), 0);
    let refused = here.replacement(&broken, GO_ON).unwrap_err();
    let text = "Unable to commit due to existence constraint violation on :A(missing)";
    assert_eq!(refused, ReplaceError::Invalid(text.to_owned()));
}
