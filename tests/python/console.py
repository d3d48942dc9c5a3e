"""A console at a terminal: what somebody types, and what is to be seen.

usage: console.py MGCTL TOPOLOGY

Uses nothing but Python's own library. Every wait is for a text, and bounded.
"""
import os
import pty
import re
import select
import subprocess
import sys
import time

MGCTL, TOPOLOGY = sys.argv[1:3]
LIMIT = 60


class Terminal:
    def __init__(self):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.execv(MGCTL, [MGCTL, "-f", TOPOLOGY, "console"])
        self.seen = ""

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern):
        """Waits until it can be seen, and takes what was seen up to there away."""
        until = time.monotonic() + LIMIT
        while True:
            plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.seen)
            found = re.search(pattern, plain)
            if found:
                self.seen = plain[found.end():]
                return found
            assert time.monotonic() < until, f"no {pattern!r} in {plain!r}"
            if select.select([self.fd], [], [], 1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"it ended; no {pattern!r} in {plain!r}")

    def ends_well(self):
        status = os.waitpid(self.pid, 0)[1]
        assert os.waitstatus_to_exitcode(status) == 0, status


def run(*args):
    subprocess.run([MGCTL, "-f", TOPOLOGY, *args], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


first = Terminal()
first.expect(r"/main> ")
# Tab completes a keyword, a label and a property; a statement may have several lines.
first.type("MAT\t")
first.expect("MATCH")
first.type(" (t:Tow\t)\r")
first.type("RETURN t.na\t AS town ORDER BY t.name;\r")
first.expect("Town")
first.expect(r"Köln[\s\S]*Ulm")
first.expect(r"2 rows")
first.expect(r"/main> ")
# A mistake does not end it, and a parameter is put in.
first.type("RETRUN 1;\r")
first.expect("error")
first.expect(r"/main> ")
first.type(":param age 41\r")
first.expect(r"/main> ")
first.type("RETURN $age + 1 AS next;\r")
first.expect(r"42")
first.expect(r"/main> ")
# Another node, and back; a replica takes no writes.
first.type(":replica\r")
first.expect(r"/rep\d> ")
first.type("CREATE (:Nowhere);\r")
first.expect("forbidden on the replica")
first.expect(r"/rep\d> ")
first.type(":on rep2\r")
first.expect(r"/rep2> ")
first.type(":on nobody\r")
first.expect("has no node")
first.expect(r"/rep2> ")
first.type(":main\r")
first.expect(r"/main> ")
# MAIN moves under it: the statement that finds out is refused, the next one goes to the new MAIN.
run("promote", "rep1")
first.type("CREATE (:Moved);\r")
first.expect("forbidden on the replica")
first.type("CREATE (:Moved);\r")
first.expect("1 node created")
first.expect(r"/rep1> ")
# Ctrl-C drops a line, Ctrl-D leaves.
first.type("RETURN 'dropp\x03")
first.expect(r"/rep1> ")
first.type("\x04")
first.ends_well()

# What was typed is there again.
second = Terminal()
second.expect(r"/rep1> ")
second.type("\x1b[A\r")
second.expect("1 node created")
second.expect(r"/rep1> ")
second.type(":quit\r")
second.ends_well()

history = os.path.join(os.environ["XDG_STATE_HOME"], "mgctl", "console_history")
assert os.stat(history).st_mode & 0o777 == 0o600, oct(os.stat(history).st_mode)
print("the console works")
