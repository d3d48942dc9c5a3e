//! Cypher: text to tree to plan.

use mgcypher::ast::Statement;
use mgcypher::{Params, parse, prepare};
use mgnode_core::storage::Graph;
use std::sync::{Arc, OnceLock};

/// A text parses or is refused by line and column; what parses has a plan or is refused; and a second look says the same.
pub(crate) fn cypher(bytes: &[u8]) {
    static GRAPH: OnceLock<Arc<Graph>> = OnceLock::new();
    let text = String::from_utf8_lossy(bytes);
    let parsed = parse(&text);
    assert_eq!(format!("{parsed:?}"), format!("{:?}", parse(&text)), "a text has one meaning");
    let Ok(Statement::Query(query)) = parsed else { return };
    let graph = GRAPH.get_or_init(|| Arc::new(Graph::new(Arc::default())));
    let tx = graph.begin(false);
    if let Ok(prepared) = prepare(&query, &tx, &Params::default()) {
        assert!(!prepared.explain(&tx).is_empty(), "a plan has a first step");
    }
}
