"""GQLAlchemy, Memgraph's object mapper, against a node.

usage: ogm.py MAIN        host:port of Bolt

Indexes and constraints by its methods, vertices and edges as classes, its query builder, and what it reads of the
schema. Prints one line for each.
"""
import sys
from typing import Optional

from gqlalchemy import Field, Memgraph, MemgraphConstraintUnique, MemgraphIndex, Node, Relationship, create, match


def main(address):
    host, port = address.rsplit(":", 1)
    db = Memgraph(host=host, port=int(port))

    class Person(Node):
        id: Optional[int] = Field(index=True, db=db)
        name: Optional[str] = Field()

    class Knows(Relationship, type="KNOWS"):
        since: Optional[int] = Field()

    db.drop_database()
    db.create_index(MemgraphIndex("City", "name"))
    names = {(index.label, index.property) for index in db.get_indexes()}
    assert ("City", "name") in names, names
    db.create_constraint(MemgraphConstraintUnique("City", ("name",)))
    assert any(c.label == "City" for c in db.get_constraints()), db.get_constraints()
    print(f"{len(names)} indexes and a constraint, made and read")

    ada, bob = Person(id=1, name="Ada").save(db), Person(id=2, name="Bob").save(db)
    knows = Knows(_start_node_id=ada._id, _end_node_id=bob._id, since=1843).save(db)
    assert knows.since == 1843 and ada._labels == {"Person"}, (knows, ada)
    assert Person(id=1).load(db).name == "Ada"
    bob.name = "Robert"
    bob.save(db)
    print("vertices and an edge as objects, saved and loaded")

    create(connection=db).node(labels="City", name="York").execute()
    rows = list(match(connection=db).node("Person", variable="a").to("KNOWS", variable="k").node(variable="b")
                .where(item="a.id", operator="=", literal=1).return_(["b.name AS name", "k.since AS since"]).execute())
    assert rows == [{"name": "Robert", "since": 1843}], rows
    found = list(db.execute_and_fetch("MATCH (a:Person)-[k:KNOWS]->(b) RETURN a, k, b"))[0]
    assert isinstance(found["a"], Person) and isinstance(found["k"], Knows) and found["b"].name == "Robert", found
    print("queries by the builder and by text, rows as objects")
    print("the object mapper works")


if __name__ == "__main__":
    main(*sys.argv[1:])
