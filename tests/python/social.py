"""A social graph of 10,000 people and 120,000 friendships, by two drivers that are not ours.

usage: social.py MAIN REPLICA [REPLICA ...]        each host:port of Bolt

Loads on MAIN by the official Neo4j driver, waits until the replicas have it, and reads it back by
that driver and by pymgclient: equal counts, and equal rows with equal ids in equal order.
"""
import hashlib
import random
import sys
import time

import mgclient
import neo4j

PEOPLE, FRIENDSHIPS, BATCH = 10_000, 120_000, 10_000


def load(session):
    dice = random.Random(7)
    session.run("CREATE INDEX ON :Person(id)").consume()
    people = [{"id": i, "name": f"person {i}", "age": dice.randint(18, 90), "tags": ["a", "b"][: i % 3]}
              for i in range(PEOPLE)]
    pairs = set()
    while len(pairs) < FRIENDSHIPS:
        pair = (dice.randrange(PEOPLE), dice.randrange(PEOPLE))
        if pair[0] != pair[1]:
            pairs.add(pair)
    friendships = [{"a": a, "b": b, "since": dice.randint(1990, 2025)} for a, b in sorted(pairs)]
    created = 0
    for at in range(0, PEOPLE, BATCH):
        summary = session.run(
            "UNWIND $rows AS r CREATE (:Person {id: r.id, name: r.name, age: r.age, tags: r.tags})",
            rows=people[at:at + BATCH]).consume()
        created += summary.counters.nodes_created
    assert created == PEOPLE, created
    created = 0
    for at in range(0, FRIENDSHIPS, BATCH):
        summary = session.run(
            "UNWIND $rows AS r MATCH (a:Person {id: r.a}), (b:Person {id: r.b}) "
            "CREATE (a)-[:KNOWS {since: r.since}]->(b)", rows=friendships[at:at + BATCH]).consume()
        created += summary.counters.relationships_created
    assert created == FRIENDSHIPS, created


READS = [
    "MATCH (n:Person) RETURN id(n), n.id, n.name, n.age, n.tags",
    "MATCH (a:Person)-[k:KNOWS]->(b:Person) RETURN id(k), a.id, b.id, k.since",
    "MATCH (a:Person {id: 17})-[:KNOWS]->()-[:KNOWS]->(c) RETURN c.id",
    "MATCH (n:Person) WHERE n.age > 80 RETURN n.name ORDER BY n.age DESC, n.id LIMIT 100",
]


def digest(rows):
    h = hashlib.sha256()
    count = 0
    for row in rows:
        h.update(repr(row).encode())
        count += 1
    return count, h.hexdigest()


def by_neo4j(node):
    with neo4j.GraphDatabase.driver(f"bolt://{node}", auth=None) as driver, driver.session() as session:
        return [digest(tuple(record.values()) for record in session.run(query)) for query in READS]


def by_mgclient(node):
    host, port = node.rsplit(":", 1)
    connection = mgclient.connect(host=host, port=int(port))
    connection.autocommit = True
    cursor = connection.cursor()
    found = []
    for query in READS:
        cursor.execute(query)
        found.append(digest(tuple(row) for row in cursor.fetchall()))
    connection.close()
    return found


def wait_for(node, people, friendships):
    end = time.monotonic() + 60
    with neo4j.GraphDatabase.driver(f"bolt://{node}", auth=None) as driver, driver.session() as session:
        while True:
            seen = (session.run("MATCH (n:Person) RETURN count(n)").single()[0],
                    session.run("MATCH ()-[k:KNOWS]->() RETURN count(k)").single()[0])
            if seen == (people, friendships):
                return
            assert time.monotonic() < end, f"{node} still holds {seen}"
            time.sleep(0.05)


def run():
    main, replicas = sys.argv[1], sys.argv[2:]
    start = time.monotonic()
    with neo4j.GraphDatabase.driver(f"bolt://{main}", auth=None) as driver, driver.session() as session:
        load(session)
    took = time.monotonic() - start
    wanted = by_neo4j(main)
    assert wanted[0][0] == PEOPLE and wanted[1][0] == FRIENDSHIPS, wanted
    assert all(count > 0 for count, _ in wanted), wanted
    for node in [main, *replicas]:
        wait_for(node, PEOPLE, FRIENDSHIPS)
        assert by_neo4j(node) == wanted, f"{node} differs by the Neo4j driver"
        assert by_mgclient(node) == wanted, f"{node} differs by pymgclient"
    print(f"{PEOPLE} people and {FRIENDSHIPS} friendships in {took:.1f} s, equal on {1 + len(replicas)} nodes")


run()
