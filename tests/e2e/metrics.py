"""What instances use and count: stats and metrics, printed and served."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from harness import INGOT, need
from instances import Lab, until
from snapshots import Guest
from tools import free_port

LINE = re.compile(r'^(ingot_[a-z_]+)\{instance="([^"]+)"(?:,([^}]*))?\} (-?[0-9.e+]+)$')


def parse(text):
    """{(name, instance, more labels): value}; every line must be one, and every name be introduced."""
    values, kinds = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            need(name not in kinds, f"{name} is introduced twice")
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            match = LINE.match(line)
            need(match, f"not a sample: {line}")
            name, instance, labels, value = match.groups()
            need(name in kinds, f"{name} is not introduced")
            need((kinds[name] == "counter") == name.endswith("_total"), f"{name} is called a {kinds[name]}")
            values[name, instance, labels or ""] = float(value)
    return values


def figures(ground):
    with Lab() as lab:
        guest = Guest(lab, "web", ground=ground)
        lab.start("still", ground=ground)
        before = parse(lab.good("metrics"))
        for _ in range(20):
            guest.ask()
        after = parse(lab.good("metrics"))
        need(before["ingot_up", "web", ""] == before["ingot_up", "still", ""] == 1, "not up")
        need(after["ingot_guest_memory_total_bytes", "web", ""] > 50e6, "hardly any memory")
        need(after["ingot_host_memory_bytes", "web", ""] > 1e6, "no memory on the host")
        for name, least in (("network_receive_packets_total", 60), ("network_transmit_packets_total", 60),
                            ("tcp_receive_segments_total", 60), ("network_receive_bytes_total", 3000)):
            grown = after[f"ingot_guest_{name}", "web", ""] - before[f"ingot_guest_{name}", "web", ""]
            need(grown >= least, f"{name} grew by {grown} in 20 connections")
        need(after["ingot_guest_cpu_seconds_total", "web", 'mode="idle"'] > 0, "never idle")
        rows = json.loads(lab.good("stats", "--no-stream", "--format", "json"))
        inside = {row["Name"]: row["Guest"] for row in rows}
        need(all(figures["MemoryTotalBytes"] > 50e6 for figures in inside.values()), f"stats: {inside}")
        lab.good("stop", "still")
        need(parse(lab.good("metrics"))["ingot_up", "still", ""] == 0, "still up")
        lab.good("pause", "web")
        paused = parse(lab.good("metrics"))
        need(paused["ingot_up", "web", ""] == 1, "a paused one is not up")
        need(("ingot_guest_memory_total_bytes", "web", "") not in paused, "a paused one answers")


def call(path, request, lines):
    """Say something on an operator's line: what came back when it had @lines lines."""
    said = b""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        line.connect(path)
        line.send(request)
        while said.count(b"\n") < lines:
            said += line.recv(1000)
    return said


def sample(lab, name, figure, deadline=60):
    """A figure of a guest, which on a busy host may not answer at once."""
    figures = {}

    def answered():
        figures.update(parse(lab.good("metrics")))
        return (f"ingot_guest_{figure[0]}", name, figure[1]) in figures
    until(answered, deadline=deadline)
    need(answered(), f"{name} does not answer")
    return figures[f"ingot_guest_{figure[0]}", name, figure[1]]


def disks(ground):
    """What a guest writes to its volume is counted, at least as much."""
    with Lab() as lab:
        lab.good("volume", "create", "data", "--size", "64M")
        lab.start("a", "-v", "data:/data", ground=ground, program=["/usr/bin/python3", "-c", "import os, time\n"
                  "f = open('/data/x', 'wb', buffering=0); f.write(bytes(3000000)); os.fsync(f.fileno())\nprint('done', flush=True)\ntime.sleep(1000)"])
        until(lambda: "done" in lab.good("logs", "a"), deadline=60)
        need(sample(lab, "a", ("disk_written_bytes_total", "")) >= 3000000, "fewer bytes than were written")
        need(0 < sample(lab, "a", ("disk_writes_total", "")) < 3000, "no writes, or too many")
        need(sample(lab, "a", ("disk_read_bytes_total", "")) >= 4096, "the volume was not read")


def one_that_computes():
    with Lab() as lab:
        lab.start("busy", program=["/usr/bin/python3", "-c", "while True: pass"])
        until(lambda: sample(lab, "busy", ("cpu_seconds_total", 'mode="user"')) > 0, deadline=60)
        need(sample(lab, "busy", ("cpu_seconds_total", 'mode="user"')) > 0, "no time used")


def answers_that_come_late():
    """What another asked for, and left, is nobody else's answer."""
    with Lab() as lab:
        lab.start("still")
        path = os.path.join(lab.state, "instances", "still", "guest")
        for _ in range(5):
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(path)
                line.send(b"cat /proc/meminfo\n" * 7 + b"cat /pr")  # and away
            need(sample(lab, "still", ("threads", "")) == 1, "another's answer was taken")
        need(b"error unknown request" in call(path, b"\nnonsense\n", 1), "no error")
        need(b"#you error only" in call(path, b"\n#you cat /proc/1/mem\n", 1), "no error, or no tag")
        need(b"error too long a line" in call(path, b"x" * 600 + b"\n", 1), "a long line")
        rows = json.loads(lab.good("stats", "--no-stream", "--format", "json"))
        need(rows[0]["Processes"] == 3, f"looks have started a device process: {rows}")


def served():
    with Lab() as lab:
        lab.start("a")
        port = free_port()
        child = subprocess.Popen([INGOT, "metrics", "--listen", str(port)], env={**os.environ, **lab.env()},
                                 stderr=subprocess.PIPE)
        try:
            until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
            with socket.create_connection(("127.0.0.1", port)):  # says nothing
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
                    need(parse(answer.read().decode())["ingot_up", "a", ""] == 1, "not up")
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/other", timeout=20)
                need(False, "/other is there")
            lab.refused("metrics", "--listen", str(port), why="in use")
            lab.refused("metrics", "--listen", "nowhere", why="is not [ADDRESS:]PORT", status=2)
        finally:
            child.send_signal(signal.SIGINT)
            need(child.wait(60) == -signal.SIGINT, "Ctrl-C does not end it")


def add_to(suite):
    for ground in ("process", "vm"):
        suite.add(f"metrics: figures ({ground})", figures, ground)
        suite.add(f"metrics: disks ({ground})", disks, ground)
    for test in (one_that_computes, answers_that_come_late, served):
        suite.add("metrics: " + test.__name__.replace("_", " "), test)
