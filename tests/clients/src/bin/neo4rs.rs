//! What neo4rs shows in its own documents, against the node whose address is the argument.

use neo4rs::{BoltList, BoltMap, BoltString, BoltType, Error, Graph, Node, Path, Point2D, Relation, query};

type Done = Result<(), Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let address = std::env::args().nth(1).ok_or("the address of a node is wanted")?;
    let graph = Graph::new(address, "", "").await?;
    values(&graph).await?;
    structures(&graph).await?;
    transactions(&graph).await?;
    errors(&graph).await?;
    many(&graph).await?;
    println!("neo4rs works");
    Ok(())
}

async fn values(graph: &Graph) -> Done {
    let mut list = BoltList::new();
    list.push(1.into());
    list.push("two".into());
    let mut map = BoltMap::new();
    map.put(BoltString::from("k"), true.into());
    let asked = query("RETURN $i AS i, $f AS f, $s AS s, $b AS b, $l AS l, $m AS m, null AS n")
        .param("i", i64::MIN)
        .param("f", 1.5)
        .param("s", "Ärztin")
        .param("b", true)
        .param("l", BoltType::List(list))
        .param("m", BoltType::Map(map));
    let mut rows = graph.execute(asked).await?;
    let row = rows.next().await?.ok_or("a row")?;
    assert_eq!(row.get::<i64>("i")?, i64::MIN);
    assert_eq!(row.get::<f64>("f")?, 1.5);
    assert_eq!(row.get::<String>("s")?, "Ärztin");
    assert!(row.get::<bool>("b")?);
    assert_eq!(row.get::<Option<i64>>("n")?, None);
    assert!(rows.next().await?.is_none());
    Ok(())
}

async fn structures(graph: &Graph) -> Done {
    let create = "CREATE (a:Person {name: $a})-[:KNOWS {since: 2012}]->(:Person {name: $b})";
    graph.run(query(create).param("a", "Ada").param("b", "Ben")).await?;
    let mut rows = graph
        .execute(query(
            "MATCH p = (a:Person {name: 'Ada'})-[k:KNOWS]->(b) RETURN a, k, p, point({x: 1, y: 2}) AS at",
        ))
        .await?;
    let row = rows.next().await?.ok_or("a row")?;
    let node: Node = row.get("a")?;
    assert_eq!((node.labels(), node.get::<String>("name")?), (vec!["Person"], "Ada".to_owned()));
    let relation: Relation = row.get("k")?;
    assert_eq!((relation.typ(), relation.get::<i64>("since")?), ("KNOWS", 2012));
    assert_eq!(relation.start_node_id(), node.id());
    let path: Path = row.get("p")?;
    assert_eq!((path.nodes().len(), path.rels().len()), (2, 1));
    let at: Point2D = row.get("at")?;
    assert_eq!((at.x(), at.y()), (1.0, 2.0));
    Ok(())
}

async fn count(graph: &Graph, label: &str) -> Result<i64, Box<dyn std::error::Error>> {
    let mut rows = graph.execute(query(&format!("MATCH (n:{label}) RETURN count(n) AS c"))).await?;
    let row = rows.next().await?.ok_or("a row")?;
    Ok(row.get("c")?)
}

async fn transactions(graph: &Graph) -> Done {
    let mut txn = graph.start_txn().await?;
    txn.run_queries(["CREATE (:Kept)", "CREATE (:Kept)"]).await?;
    txn.commit().await?;
    assert_eq!(count(graph, "Kept").await?, 2);
    let mut txn = graph.start_txn().await?;
    txn.run(query("CREATE (:Undone)")).await?;
    txn.rollback().await?;
    assert_eq!(count(graph, "Undone").await?, 0);
    let mut txn = graph.start_txn().await?;
    let mut rows = txn.execute(query("MATCH (k:Kept) RETURN k")).await?;
    let mut seen = 0;
    while rows.next(txn.handle()).await?.is_some() {
        seen += 1;
    }
    txn.commit().await?;
    assert_eq!(seen, 2);
    Ok(())
}

async fn errors(graph: &Graph) -> Done {
    let error = graph.run(query("RETURN undefined")).await.expect_err("there is no such variable");
    match error {
        Error::Neo4j(e) => assert!(e.message().contains("UndefinedVariable"), "{}", e.message()),
        other => return Err(format!("not the server's words: {other}").into()),
    }
    assert_eq!(count(graph, "Kept").await?, 2, "the connection goes on");
    Ok(())
}

/// More rows than one pull takes.
async fn many(graph: &Graph) -> Done {
    let mut rows = graph.execute(query("UNWIND range(1, 5000) AS i RETURN i")).await?;
    let mut sum = 0;
    while let Some(row) = rows.next().await? {
        sum += row.get::<i64>("i")?;
    }
    assert_eq!(sum, 5000 * 5001 / 2);
    Ok(())
}
