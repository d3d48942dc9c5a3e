"""What the official Neo4j driver offers, each thing once, as its manual shows it.

usage: driver.py MAIN REPLICA        each host:port of Bolt

Transactions of every kind, the asynchronous driver, result transformers (a table of pandas, a graph), values of
every type there and back, bookmarks from MAIN to a REPLICA, routing, errors and notifications with their
statuses of GQL. Prints one line for each.
"""
import asyncio
import datetime
import sys

import neo4j
import pytz
from neo4j import GraphDatabase, AsyncGraphDatabase, NotificationMinimumSeverity, RoutingControl, unit_of_work
from neo4j.exceptions import ClientError, Neo4jError
from neo4j.spatial import CartesianPoint, WGS84Point
from neo4j.time import Date, DateTime, Duration, Time

NO_AUTH = None


def alone(driver, query):
    """Runs what has to be a transaction of its own; returns the summary."""
    with driver.session() as session:
        return session.run(query).consume()


def protocol(driver):
    version = driver.get_server_info().protocol_version
    assert tuple(version) == (5, 8), version
    return f"Bolt {version[0]}.{version[1]} is agreed by the manifest"


def transactions(driver):
    with driver.session() as session:
        # In a transaction of its own.
        summary = session.run("CREATE (:Person {name: $name})", name="Ada").consume()
        assert summary.counters.nodes_created == 1 and summary.query_type == "w", summary.counters
        assert [s.gql_status for s in summary.gql_status_objects] == ["00001"]

        # Managed: run again after a failure that may pass.
        tried = []

        @unit_of_work(timeout=30, metadata={"app": "driver.py"})
        def add(tx, names):
            tried.append(1)
            if len(tried) == 1:
                raise neo4j.exceptions.TransientError("as if two had written the same")
            for name in names:
                tx.run("CREATE (:Person {name: $name})", name=name)
            return tx.run("MATCH (p:Person) RETURN count(p) AS n").single(strict=True)["n"]

        assert session.execute_write(add, ["Bob", "Cid"]) == 3 and len(tried) == 2
        names = session.execute_read(
            lambda tx: tx.run("MATCH (p:Person) RETURN p.name AS name ORDER BY name").value("name"))
        assert names == ["Ada", "Bob", "Cid"], names

        # By hand, given up and kept.
        with session.begin_transaction() as tx:
            tx.run("CREATE (:Person {name: 'Dan'})")
            tx.rollback()
        with session.begin_transaction() as tx:
            first, second = tx.run("UNWIND range(1, 3) AS x RETURN x"), tx.run("RETURN 'b' AS y")
            assert second.single()["y"] == "b" and [r["x"] for r in first] == [1, 2, 3]
            tx.run("MATCH (a:Person {name: 'Ada'}), (b:Person {name: 'Bob'}) CREATE (a)-[:KNOWS {since: 1843}]->(b)")
            tx.commit()
        assert session.run("MATCH (p:Person) RETURN count(p)").single()[0] == 3
    return "transactions: of their own, managed, by hand"


def transformers(driver):
    query = "MATCH (p:Person) RETURN p.name AS name, size(p.name) AS length ORDER BY name"
    frame = driver.execute_query(query, result_transformer_=neo4j.Result.to_df)
    assert list(frame.columns) == ["name", "length"] and frame["length"].sum() == 9, frame
    expanded = driver.execute_query("MATCH (p:Person {name: 'Ada'}) RETURN p",
                                    result_transformer_=lambda result: result.to_df(expand=True))
    assert expanded["p().prop.name"].tolist() == ["Ada"], expanded
    graph = driver.execute_query("MATCH path = (:Person)-[:KNOWS]->() RETURN path",
                                 result_transformer_=neo4j.Result.graph)
    assert sorted(node["name"] for node in graph.nodes) == ["Ada", "Bob"]
    assert [edge["since"] for edge in graph.relationships] == [1843]
    eager = driver.execute_query("MATCH (p:Person {name: $name}) RETURN p", name="Ada",
                                 routing_=RoutingControl.READ)
    person = eager.records[0]["p"]
    assert person.labels == {"Person"} and person.element_id and eager.keys == ["p"]
    assert [s.gql_status for s in eager.summary.gql_status_objects] == ["00000"]
    empty = driver.execute_query("MATCH (p:Nobody) RETURN p")
    assert [s.gql_status for s in empty.summary.gql_status_objects] == ["02000"]
    return "result transformers: pandas, graph, eager"


def values(driver):
    berlin = pytz.timezone("Europe/Berlin")
    sent = {
        "nothing": None, "flag": True, "int": -2**63, "float": 0.1, "text": "søster 🙂", "bytes": b"\x00\xff",
        "list": [1, "a", None, [2.5]], "map": {"k": {"l": []}},
        "date": Date(2024, 2, 29), "time": Time(12, 30, 1, 5, tzinfo=pytz.FixedOffset(90)),
        "moment": berlin.localize(DateTime(2024, 7, 1, 12, 0, 0, 7)),
        "local": DateTime(1969, 12, 31, 23, 59, 59), "python": berlin.localize(datetime.datetime(2024, 1, 1)),
        "duration": Duration(months=14, days=-3, seconds=5, nanoseconds=9),
        "plane": CartesianPoint((1.0, 2.0)), "globe": WGS84Point((13.4, 52.5, 34.0)),
    }
    for name, value in sent.items():
        back = driver.execute_query("RETURN $value AS value", value=value).records[0]["value"]
        back = back.to_native() if name == "python" else back
        assert back == value, (name, value, back)
    zone = driver.execute_query("RETURN $at.timezone AS zone, $at.offset AS offset", at=sent["moment"]).records[0]
    assert (zone["zone"], zone["offset"]) == ("Europe/Berlin", "+02:00"), zone
    return f"{len(sent)} types of values, there and back"


def bookmarks(driver, replica):
    with driver.session() as session:
        session.run("MERGE (:Marker {n: 1})").consume()
        seen = session.last_bookmarks()
    with GraphDatabase.driver(f"bolt://{replica}", auth=NO_AUTH) as other:
        with other.session(bookmarks=seen, default_access_mode=neo4j.READ_ACCESS) as session:
            assert session.run("MATCH (m:Marker) RETURN count(m)").single()[0] == 1
            try:
                session.run("CREATE (:Marker)").consume()
                raise AssertionError("a REPLICA took a write")
            except ClientError as refused:
                assert refused.gql_status == "25G03" and "forbidden on the replica" in refused.message, refused
    return "a REPLICA shows what the bookmark names, and refuses a write"


def routing(main):
    with GraphDatabase.driver(f"neo4j://{main}", auth=NO_AUTH) as driver:
        driver.verify_connectivity()
        written = driver.execute_query("CREATE (:Routed) RETURN 1 AS one")
        read = driver.execute_query("MATCH (r:Routed) RETURN count(r) AS n", routing_=RoutingControl.READ)
        assert read.records[0]["n"] == 1
        assert written.summary.server.address != read.summary.server.address, "a read goes to the REPLICA"
    return "neo4j:// writes on MAIN and reads on a REPLICA"


def refusals(driver):
    alone(driver, "CREATE CONSTRAINT ON (p:Person) ASSERT p.name IS UNIQUE")
    for query, status, words in [
        ("RETRUN 1", "42001", "SyntaxError"),
        ("RETURN x", "42001", "UndefinedVariable"),
        ("RETURN 1 / 0", "22000", "ArithmeticError"),
        ("CREATE (:Person {name: 'Ada'})", "G2000", "violation"),
    ]:
        try:
            driver.execute_query(query)
            raise AssertionError(f"{query} was not refused")
        except Neo4jError as refused:
            assert refused.gql_status == status and words in refused.message, (query, refused)
            assert refused.code.startswith("Memgraph.ClientError."), refused.code
            assert refused.diagnostic_record["_classification"] == "CLIENT_ERROR", refused.diagnostic_record
    return "errors have code, place and status"


def notifications(main):
    query = "CREATE INDEX ON :Person(name)"
    with GraphDatabase.driver(f"bolt://{main}", auth=NO_AUTH) as driver:
        statuses = alone(driver, query).gql_status_objects
        told = [s for s in statuses if s.is_notification]
        assert [s.gql_status for s in told] == ["03N42"], statuses
        assert told[0].raw_classification == "SCHEMA" and told[0].raw_severity == "INFORMATION", told
    for wanted in [{"notifications_min_severity": NotificationMinimumSeverity.WARNING},
                   {"notifications_min_severity": "OFF"}, {"notifications_disabled_classifications": ["SCHEMA"]}]:
        with GraphDatabase.driver(f"bolt://{main}", auth=NO_AUTH, **wanted) as driver:
            statuses = alone(driver, query).gql_status_objects
            assert not any(s.is_notification for s in statuses), (wanted, statuses)
    return "notifications are filtered as the driver asks"


async def asynchronous(main):
    async with AsyncGraphDatabase.driver(f"bolt://{main}", auth=NO_AUTH) as driver:
        async def one(i):
            async with driver.session() as session:
                async def work(tx):
                    result = await tx.run("CREATE (n:Async {i: $i}) RETURN n.i AS i", i=i)
                    return (await result.single(strict=True))["i"]
                return await session.execute_write(work)

        assert sorted(await asyncio.gather(*(one(i) for i in range(20)))) == list(range(20))
        async with driver.session() as session:
            result = await session.run("UNWIND range(1, 5000) AS x RETURN x")
            assert sum([record["x"] async for record in result]) == 5000 * 5001 // 2
            # A result that is given up halfway, and a task that is cancelled, leave the driver as it was.
            result = await session.run("UNWIND range(1, 10000000) AS x RETURN x")
            await result.fetch(5)
            await result.consume()
        endless = asyncio.create_task(
            driver.execute_query("UNWIND range(1, 1000000) AS x UNWIND range(1, 1000) AS y RETURN count(x + y)"))
        await asyncio.sleep(0.2)
        endless.cancel()
        try:
            await endless
            raise AssertionError("it was cancelled")
        except asyncio.CancelledError:
            pass
        records, _, _ = await driver.execute_query("MATCH (n:Async) RETURN count(n) AS n")
        assert records[0]["n"] == 20
    return "asyncio: 20 sessions at once, streams, a cancelled query"


def main(main_, replica):
    print(f"neo4j {neo4j.__version__}")
    with GraphDatabase.driver(f"bolt://{main_}", auth=NO_AUTH) as driver:
        driver.verify_connectivity()
        print(protocol(driver))
        print(transactions(driver))
        print(transformers(driver))
        print(values(driver))
        print(bookmarks(driver, replica))
        print(refusals(driver))
    print(routing(main_))
    print(notifications(main_))
    print(asyncio.run(asynchronous(main_)))
    print("everything went as the manual says")


if __name__ == "__main__":
    main(*sys.argv[1:])
