"""What programs say through syslog(3) is on standard error, unless a program of theirs serves /dev/log."""
import os
import shlex

from commands import Home
from harness import INGOT, need, run
from netlab import need_programs

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs", "syslog.c")
ANSWERS = """is a socket: 1
stream: Protocol wrong type for socket
chroot: 0
bind: 0
bind again: Address already in use
received: 16
"""
LINES = ["syslog: without a name", "given/name: two lines", "tag: with the machine's name", "syslog: python's", "syslog:  [1m", "syslog: ",
         "big: " + 8183 * "x", "syslog: of another root", "nobody: serves it"]


def lines_of_a_program(ground):
    with Home() as home:
        result = home.ingot("run", "--isolation", ground, "--hostname", "here", SOURCE)
        need(result.status == 0 and result.text() == ANSWERS, f"not the answers\n{result.show()}")
        need(result.errors().splitlines() == LINES, f"not the lines\n{result.show()}")


def line_of_logger(ground):
    """Debian's; with -t standard error and output are one terminal."""
    need_programs("logger", "script")
    with Home() as home:
        line = shlex.join([INGOT, "run", "--isolation", ground, "-qt", "logger", "-i", "-t", "me", "some text"])
        said = run(["script", "-qec", line, "/dev/null"], env=home.env(), timeout=60)
        need(said.status == 0 and said.out.endswith(b"me: some text\r\n"), f"not said\n{said.show()}")


def add_to(suite):
    for ground in ("vm", "process"):
        suite.add(f"syslog: lines of a program in a {ground}", lines_of_a_program, ground)
        suite.add(f"syslog: line of logger in a {ground}", line_of_logger, ground)
