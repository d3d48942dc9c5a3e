"""The live view at terminals of several widths: it stays within them, follows what happens, and leaves the screen as it was.

usage: watch.py MGCTL TOPOLOGY

Uses nothing but Python's own library. Every wait is for a text, and bounded.
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata

MGCTL, TOPOLOGY = sys.argv[1:3]
LIMIT = 60
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def run(*args):
    subprocess.run([MGCTL, "-f", TOPOLOGY, *args], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def cells(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


class View:
    def __init__(self, width):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # The size is known before anything is drawn.
            time.sleep(0.2)
            os.environ["TERM"] = "xterm"
            os.execv(MGCTL, [MGCTL, "-f", TOPOLOGY, "status", "--watch=200ms"])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        self.seen = ""

    def frames(self):
        """The frames that were drawn so far, each as its lines."""
        whole = self.seen.split("\x1b[H")[1:-1]
        return [ESCAPE.sub("", frame).replace("\r", "").rstrip("\n").split("\n") for frame in whole]

    def await_frame(self, has):
        """Waits for a frame, and returns it."""
        until = time.monotonic() + LIMIT
        while True:
            found = [frame for frame in self.frames() if has("\n".join(frame))]
            if found:
                return found[-1]
            assert time.monotonic() < until, f"not seen in {self.seen!r}"
            if select.select([self.fd], [], [], 1)[0]:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")

    def end(self):
        os.kill(self.pid, signal.SIGINT)
        while True:
            try:
                got = os.read(self.fd, 65536)
            except OSError:
                break
            if not got:
                break
            self.seen += got.decode(errors="replace")
        status = os.waitpid(self.pid, 0)[1]
        assert os.waitstatus_to_exitcode(status) == 0, status


for width in (60, 80, 120, 200):
    view = View(width)
    view.await_frame(lambda text: "HEALTHY" in text and "rep2" in text)
    view.end()
    frames = view.frames()
    assert frames, view.seen
    for frame in frames:
        for line in frame:
            assert cells(line) <= width, f"{width}: {cells(line)} cells: {line!r}"
    text = "\n".join(frames[-1])
    # What matters is there at any width; the rest where there is room.
    assert all(word in text for word in ("NAME", "ROLE", "STATE", "BEHIND", "main", "rep1")), text
    assert ("REGISTERED AS" in text) == (width >= 120), f"{width}: {text}"
    # The screen of before comes back.
    assert view.seen.index("\x1b[?1049h") < view.seen.index("\x1b[?1049l"), view.seen

view = View(120)
view.await_frame(lambda text: "HEALTHY" in text)
run("chaos", "kill", "rep2", "--yes")
view.await_frame(lambda text: "DEGRADED" in text and "rep2 running → exited" in text)
run("heal", "rep2")
view.await_frame(lambda text: "HEALTHY" in text and "rep2 running → exited" in text)
view.end()
print("the live view works")
