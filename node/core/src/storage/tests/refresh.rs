//! What a transaction meets when it moves on, beside what the model knows.

use crate::storage::{Direction, Graph, Transaction, WriteError};
use crate::types::{Change, EdgeId, EnumSpec, IndexSpec, Lsn, Names, VertexId};
use std::sync::Arc;

fn record(graph: &Arc<Graph>, change: Change) {
    let lsn = graph.published().next();
    graph.apply(lsn, &[change]).unwrap();
    graph.publish(lsn, lsn.0);
}

fn color(values: &[&str]) -> Change {
    let values = values.iter().map(|value| Arc::from(*value)).collect();
    Change::SetEnum(EnumSpec { name: "Color".into(), values })
}

#[test]
fn who_wrote_something_does_not_move_on_under_another_enum() {
    let graph = Arc::new(Graph::new(Arc::new(Names::default())));
    let mut reader = graph.begin(false);
    let mut writer = graph.begin(false);
    writer.create_vertex(&[], Vec::new()).unwrap();
    record(&graph, color(&["Red"]));
    assert_eq!(writer.refresh(), Err(WriteError::Conflict));
    assert_eq!(reader.refresh(), Ok(()));
    assert_eq!((reader.read_lsn(), reader.enums().len()), (Lsn(1), 1));
}

#[test]
fn who_changes_the_schema_stays_where_it_began() {
    let names = Arc::new(Names::default());
    let graph = Arc::new(Graph::new(names.clone()));
    let (index, other) = (IndexSpec::Label(names.label("A")), IndexSpec::Label(names.label("B")));
    let begin = || -> Transaction { graph.begin(false) };
    let (mut changer, mut reader) = (begin(), begin());
    changer.create_index(index.clone()).unwrap();
    record(&graph, Change::CreateIndex(other.clone()));
    assert_eq!((changer.refresh(), reader.refresh()), (Ok(()), Ok(())));
    assert_eq!((changer.read_lsn(), changer.indexes()), (Lsn::ZERO, vec![index]));
    assert_eq!((reader.read_lsn(), reader.indexes()), (Lsn(1), vec![other]));
}

#[test]
fn edges_of_others_and_its_own_come_by_their_ids() {
    let names = Arc::new(Names::default());
    let graph = Arc::new(Graph::new(names.clone()));
    let edge_type = names.edge_type("T").unwrap();
    let vertex = |id| Change::CreateVertex { id: VertexId(id), labels: vec![], properties: vec![] };
    graph.apply(Lsn(1), &[vertex(0), vertex(1)]).unwrap();
    graph.publish(Lsn(1), 0);
    let mut own = graph.begin(false);
    let connect = |tx: &mut Transaction| tx.create_edge(VertexId(0), VertexId(1), edge_type, vec![]).unwrap();
    for _ in 0..3 {
        connect(&mut own);
        let mut other = graph.begin(false);
        connect(&mut other);
        let commit = other.finish().unwrap().expect("it wrote");
        let lsn = graph.published().next();
        graph.apply(lsn, &commit.changes).unwrap();
        graph.publish(lsn, lsn.0);
    }
    own.refresh().unwrap();
    let all = (0..6).map(EdgeId).collect::<Vec<_>>();
    for (from, direction) in [(0, Direction::Outgoing), (1, Direction::Incoming), (0, Direction::Both)] {
        let mut steps = Vec::new();
        own.expand(VertexId(from), direction, None, &mut steps);
        assert_eq!(steps.iter().map(|(edge, ..)| *edge).collect::<Vec<_>>(), all, "{direction:?}");
    }
    let mut scanned = Vec::new();
    while let Some(after) = Some(scanned.last().copied()).filter(|_| scanned.len() < 6) {
        own.scan_edges(after, 2, &mut scanned);
    }
    assert_eq!(scanned, all);
}
