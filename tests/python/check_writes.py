"""Compares what writer.py was told with what every node holds.

usage: check_writes.py ACKS NODE [NODE ...]

Prints one line of counts. Ends with 1, and says which, where an acknowledged id is missing on a node,
an id is there twice, a refused one is there, or the nodes differ.
"""
import collections
import sys

import neo4j


def held(node):
    with neo4j.GraphDatabase.driver(f"bolt://{node}", auth=None) as driver, driver.session() as session:
        return [record["id"] for record in session.run("MATCH (n:W) RETURN n.id AS id ORDER BY id")]


def some(ids):
    return f"{len(ids)} ids, such as {sorted(ids)[:5]}"


def run():
    told = collections.defaultdict(set)
    by_node = collections.Counter()
    with open(sys.argv[1]) as lines:
        for line in lines:
            word, number, node = line.split()
            told[word].add(int(number))
            if word == "ack":
                by_node[node] += 1
    wrong, first = [], None
    for node in sys.argv[2:]:
        rows = held(node)
        there = set(rows)
        if lost := told["ack"] - there:
            wrong.append(f"{node} lost {some(lost)} that were acknowledged")
        if phantoms := told["refused"] & there:
            wrong.append(f"{node} holds {some(phantoms)} that were refused")
        if len(rows) != len(there):
            wrong.append(f"{node} holds {len(rows) - len(there)} ids twice")
        if strange := there - told["ack"] - told["unknown"] - told["refused"]:
            wrong.append(f"{node} holds {some(strange)} that nobody wrote")
        if first is not None and rows != first:
            wrong.append(f"{node} differs from {sys.argv[2]}")
        first = rows if first is None else first
    counts = " ".join(f"{node}={n}" for node, n in sorted(by_node.items()))
    print(f"acknowledged {len(told['ack'])} refused {len(told['refused'])} unknown {len(told['unknown'])} {counts}")
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(1 if wrong else 0)


run()
