//! What rsmgclient shows in its own documents, against the node whose address is the argument.

use rsmgclient::{ConnectParams, Connection, MgError, QueryParam, Value};
use std::collections::HashMap;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("the address of a node is wanted")?;
    let (host, port) = address.split_once(':').ok_or("host and port")?;
    let params = ConnectParams {
        host: Some(host.to_owned()),
        port: port.parse()?,
        autocommit: false,
        ..ConnectParams::default()
    };
    let mut connection = Connection::connect(&params)?;
    queries(&mut connection)?;
    errors(&mut connection)?;
    println!("rsmgclient works");
    Ok(())
}

fn queries(connection: &mut Connection) -> Result<(), Box<dyn std::error::Error>> {
    let mut params = HashMap::new();
    params.insert("name".to_owned(), QueryParam::String("Ada".to_owned()));
    params.insert("age".to_owned(), QueryParam::Int(36));
    let columns = connection.execute(
        "CREATE (p:Person {name: $name, age: $age})-[k:KNOWS {since: 2012}]->(:Person {name: 'Ben'}) RETURN p, k",
        Some(&params),
    )?;
    assert_eq!(columns, ["p", "k"]);
    let rows = connection.fetchall()?;
    assert_eq!(rows.len(), 1);
    let Value::Node(node) = &rows[0].values[0] else { return Err("a node".into()) };
    assert_eq!(node.labels, ["Person"]);
    assert_eq!(node.properties["name"], Value::String("Ada".to_owned()));
    assert_eq!(node.properties["age"], Value::Int(36));
    let Value::Relationship(edge) = &rows[0].values[1] else { return Err("an edge".into()) };
    assert_eq!((edge.type_.as_str(), edge.start_id), ("KNOWS", node.id));
    connection.rollback()?;

    connection.execute("MATCH (p:Person) RETURN count(p)", None)?;
    assert_eq!(connection.fetchall()?[0].values, [Value::Int(0)], "it was rolled back");
    connection.execute("UNWIND range(1, 1000) AS i CREATE (:Number {i: i})", None)?;
    connection.fetchall()?;
    connection.commit()?;
    connection.execute("MATCH (n:Number) RETURN n.i ORDER BY n.i", None)?;
    let mut seen = 0;
    while let Some(record) = connection.fetchone()? {
        seen += 1;
        assert_eq!(record.values, [Value::Int(seen)]);
    }
    assert_eq!(seen, 1000);
    connection.commit()?;
    Ok(())
}

fn errors(connection: &mut Connection) -> Result<(), Box<dyn std::error::Error>> {
    let error: MgError =
        match connection.execute("RETURN undefined", None).and_then(|_| connection.fetchall()) {
            Ok(_) => return Err("there is no such variable".into()),
            Err(error) => error,
        };
    assert!(error.to_string().contains("UndefinedVariable"), "{error}");
    Ok(())
}
