//! Cypher: text to tree to plan; and the records of the files that it loads.

use mgcypher::ast::Statement;
use mgcypher::csv::{Dialect, Outcome, Reader, Record};
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

/// Any bytes are records, lines that are none, and an end. What was read means the same with every field in quotes.
/// The first byte says how the rest is written.
pub(crate) fn csv(bytes: &[u8]) {
    let Some((how, text)) = bytes.split_first() else { return };
    let dialect = Dialect {
        delimiter: if how & 1 == 0 { b",".to_vec() } else { b"::".to_vec() },
        quote: if how & 2 == 0 { b'"' } else { b'\'' },
        backslashes: how & 4 != 0,
    };
    let records = read(text, &dialect);
    let lines = text.iter().filter(|byte| **byte == b'\n').count() + 1;
    assert!(records.len() <= lines, "a record takes a line at least");
    let mut written = Vec::new();
    for record in &records {
        for (i, field) in record.iter().enumerate() {
            written.extend_from_slice(if i > 0 { &dialect.delimiter } else { b"" });
            written.push(dialect.quote);
            for byte in field.bytes() {
                if byte == dialect.quote {
                    written.push(byte);
                } else if byte == b'\\' && dialect.backslashes {
                    written.push(b'\\');
                }
                written.push(byte);
            }
            written.push(dialect.quote);
        }
        written.push(b'\n');
    }
    assert_eq!(read(&written, &dialect), records, "{}", String::from_utf8_lossy(&written));
}

/// The records that are UTF-8.
fn read(text: &[u8], dialect: &Dialect) -> Vec<Vec<String>> {
    let mut reader = Reader::new(Box::new(std::io::Cursor::new(text.to_vec())), dialect.clone());
    let (mut record, mut all) = (Record::default(), Vec::new());
    loop {
        match reader.read(&mut record).expect("memory can be read, and no record is too long") {
            Outcome::End => return all,
            Outcome::Bad(_) => {}
            Outcome::Record => {
                assert!(!record.is_empty(), "a record has a field");
                all.extend(
                    record
                        .fields()
                        .map(|f| f.map(|(text, _)| text.to_owned()))
                        .collect::<Result<Vec<_>, _>>(),
                );
            }
        }
    }
}
