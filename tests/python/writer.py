"""Writes under load, and remembers what it was told.

usage: writer.py ACKS NODE [NODE ...]        NODE is host:port of Bolt; stops at end of standard input

Four clients write (:W {id}) with ids that are used once. Each line of ACKS is one answer:

    ack ID NODE        the node said that the commit stands
    refused ID NODE    the node said that it did not and will not happen; the id is not used again
    unknown ID NODE    no answer came, or one that says neither

A client that is refused looks for the MAIN anew, as an application would.
"""
import itertools
import logging
import sys
import threading
import time

import neo4j
from neo4j.exceptions import ClientError, DriverError, Neo4jError, TransientError

CLIENTS = 4
# A commit that is degraded says so in a warning; the acknowledgement is what counts here.
logging.getLogger("neo4j").setLevel(logging.CRITICAL)


class Log:
    def __init__(self, path):
        self.file = open(path, "w", buffering=1)
        self.lock = threading.Lock()

    def line(self, *words):
        with self.lock:
            print(*words, file=self.file)


def find_main(drivers):
    """Returns a node that says it is MAIN, or None."""
    for node, driver in drivers.items():
        try:
            with driver.session() as session:
                if session.run("SHOW REPLICATION ROLE").single()[0] == "main":
                    return node
        except (DriverError, Neo4jError, OSError):
            continue
    return None


def write(nodes, ids, log, stop):
    options = dict(auth=None, connection_timeout=2, connection_acquisition_timeout=5,
                   max_transaction_retry_time=0)
    drivers = {node: neo4j.GraphDatabase.driver(f"bolt://{node}", **options) for node in nodes}
    main = None
    while not stop.is_set():
        if main is None:
            main = find_main(drivers)
            if main is None:
                time.sleep(0.005)
                continue
        number = next(ids)
        try:
            with drivers[main].session() as session:
                session.run("CREATE (:W {id: $id})", id=number).consume()
            log.line("ack", number, main)
        except TransientError:
            log.line("refused", number, main)
        except ClientError as error:
            # A commit that is in doubt is a ClientError too; it says so.
            told = "unknown" if "in doubt" in str(error).lower() else "refused"
            log.line(told, number, main)
            main = None
        except (DriverError, Neo4jError, OSError):
            log.line("unknown", number, main)
            main = None
    for driver in drivers.values():
        driver.close()


def run():
    log, nodes = Log(sys.argv[1]), sys.argv[2:]
    ids, stop = itertools.count(1), threading.Event()
    threads = [threading.Thread(target=write, args=(nodes, ids, log, stop)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()


run()
