//! Readers on threads of their own while a writer applies: each sees whole states only.

use crate::storage::{Direction, Graph, IndexBounds, IndexCursor};
use crate::types::{Change, EdgeId, IndexSpec, Lsn, Names, Value, VertexId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Accounts whose balances always sum to the same, moved by short records (applied quietly when no one
/// reads) and long ones; each record also moves an edge.
#[test]
fn every_reader_sees_the_same_sum() {
    const ACCOUNTS: u64 = 40;
    const EACH: i64 = 100;
    let names = Arc::new(Names::default());
    let (label, key, link) = (names.label("Account"), names.key("balance"), names.edge_type("LINK").unwrap());
    let graph = Arc::new(Graph::new(names));
    let index = IndexSpec::LabelProperties(label, vec![key]);
    let mut changes = vec![Change::CreateIndex(index.clone())];
    changes.extend((0..ACCOUNTS).map(|id| Change::CreateVertex {
        id: VertexId(id),
        labels: vec![label],
        properties: vec![(key, Value::Int(EACH))],
    }));
    let edge = |id: u64| Change::CreateEdge {
        id: EdgeId(id),
        from: VertexId(id % ACCOUNTS),
        to: VertexId(id * 7 % ACCOUNTS),
        edge_type: link,
        properties: vec![],
    };
    changes.push(edge(0));
    graph.apply(Lsn(1), &changes).unwrap();
    graph.publish(Lsn(1), 2);

    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut seen = Lsn::ZERO;
                let mut reads = 0;
                while !is_done.load(Ordering::Relaxed) || reads == 0 {
                    let t = graph.begin(false);
                    assert!(t.read_lsn() >= seen, "reads do not go back");
                    seen = t.read_lsn();
                    let mut ids = Vec::new();
                    t.scan_label(label, None, 1000, &mut ids);
                    assert_eq!(ids.len() as u64, ACCOUNTS);
                    let balance = |id: &VertexId| match t.vertex_property(*id, key) {
                        Value::Int(i) => i,
                        other => panic!("a balance is {other:?}"),
                    };
                    assert_eq!(ids.iter().map(balance).sum::<i64>(), EACH * ACCOUNTS as i64);
                    let mut found = Vec::new();
                    t.index_seek(&index, &IndexBounds::all(), &mut IndexCursor::default(), 1000, &mut found);
                    assert!(found.iter().map(balance).is_sorted(), "the index is in order");
                    assert_eq!(found.len() as u64, ACCOUNTS);
                    let mut edges = Vec::new();
                    t.scan_edges(None, 10, &mut edges);
                    let out: usize = ids.iter().map(|id| t.degree(*id, Direction::Outgoing, None)).sum();
                    assert_eq!((edges.len(), out), (1, 1), "one edge at every LSN");
                    let info = t.edge(edges[0]).unwrap();
                    assert_eq!(info.from.0, edges[0].0 % ACCOUNTS);
                    reads += 1;
                }
            });
        }
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                graph.collect_garbage();
                std::thread::yield_now();
            }
        });
        let mut balances = vec![EACH; ACCOUNTS as usize];
        for n in 2..3000u64 {
            let mut changes = Vec::new();
            let moves = if n % 50 == 0 { 700 } else { 1 };
            for m in 0..moves {
                let (from, to) = (((n + m) % ACCOUNTS) as usize, ((n * 13 + m * 3) % ACCOUNTS) as usize);
                balances[from] -= 1;
                balances[to] += 1;
                for id in [from, to] {
                    changes.push(Change::SetVertexProperty {
                        id: VertexId(id as u64),
                        key,
                        value: Value::Int(balances[id]),
                    });
                }
            }
            changes.push(Change::DeleteEdge { id: EdgeId(n - 2) });
            changes.push(edge(n - 1));
            graph.apply(Lsn(n), &changes).unwrap();
            graph.publish(Lsn(n), n);
        }
        is_done.store(true, Ordering::Relaxed);
    });
    while graph.collect_garbage().more {}
    assert!(graph.memory().deltas < 100_000, "{:?}", graph.memory());
}
