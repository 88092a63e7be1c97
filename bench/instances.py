"""Instances: what starts, stops, moves and comes back how quickly, a Linux guest beside in the same run.

Times of a host that others use as well say little one by one, so each is taken several times, in
turns with what it is compared to, and the least and the median are shown."""
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from guests import BUILD, ROOT

sys.path[:0] = [os.path.join(ROOT, "tests"), os.path.join(ROOT, "tests", "e2e")]
from netlab import GUEST, HOST, bridge, command  # noqa: E402 pylint: disable=wrong-import-position

TOOL = os.path.join(BUILD, "ingot")
REDIS_ARGS = ["--protected-mode", "no", "--save", "", "--bind", "0.0.0.0"]
ADDRESS = (GUEST, 6379)
WRITERS, MOVES, TRIES = 4, 5, 5
IDLE = ["/bin/sleep", "100000"]


def missing():
    """What keeps this part from running, or None."""
    if os.geteuid() != 0:
        return "needs root for a namespace and taps"
    return next((f"needs {word}" for word in ("ip", "redis-server") if not shutil.which(word)), None)


def ms(values):
    return "–" if not values else f"{min(values) * 1000:,.0f} · {statistics.median(values) * 1000:,.0f}"


def first_reply(address, deadline=60):
    """Until a redis at @address answers. Short tries: a SYN that comes too early is repeated after a second."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        try:
            with socket.create_connection(address, timeout=0.05) as client:
                client.settimeout(1)
                client.sendall(b"PING\r\n")
                if client.recv(100).startswith(b"+PONG"):
                    return
        except OSError:
            time.sleep(0.0005)
    raise RuntimeError(f"no redis answers at {address}")


class Writer(threading.Thread):
    """Writes keys one after the other; the longest wait for an answer is the pause that a client sees."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.number, self.done, self.longest, self.fault = number, 0, 0, None
        self.stop = threading.Event()
        self.client = socket.create_connection(ADDRESS, timeout=30)

    def run(self):
        replies = self.client.makefile("rb")
        try:
            while not self.stop.is_set():
                start = time.monotonic()
                self.client.sendall(f"SET k:{self.number}:{self.done} {self.done}\r\n".encode())
                if replies.readline() != b"+OK\r\n":
                    raise OSError("no OK")
                self.longest = max(self.longest, time.monotonic() - start)
                self.done += 1
        except OSError as error:
            self.fault = error

    def check(self):
        """Is everything that was acknowledged there?"""
        self.stop.set()
        self.join(60)
        with socket.create_connection(ADDRESS, timeout=30) as client:
            replies = client.makefile("rb")
            for first in range(0, self.done, 200):
                keys = range(first, min(first + 200, self.done))
                client.sendall("".join(f"GET k:{self.number}:{key}\r\n" for key in keys).encode())
                for key in keys:
                    replies.readline()
                    if replies.readline().strip() != str(key).encode():
                        raise RuntimeError(f"lost: k:{self.number}:{key}")
        if self.fault:
            raise RuntimeError(f"a writer: {self.fault}")


class Home:
    """A store and two state directories of our own."""

    def __init__(self, folder):
        self.folder, self.states = folder, [os.path.join(folder, name) for name in ("one", "other")]

    def env(self, state=0):
        return {**os.environ, "INGOT_HOME": os.path.join(self.folder, "store"), "INGOT_STATE": self.states[state]}

    def ingot(self, *words, state=0):
        return subprocess.run([TOOL, *words], env=self.env(state), check=True, capture_output=True, text=True, timeout=120)

    def begin(self, *words):
        return subprocess.Popen([TOOL, *words], env=self.env(), stdout=subprocess.DEVNULL)

    def clear(self):
        for state in (0, 1):
            names = self.ingot("ps", "-a", "-q", state=state).stdout.split()
            if names:
                self.ingot("rm", "-f", *names, state=state)


@contextlib.contextmanager
def home():
    with tempfile.TemporaryDirectory() as folder:
        it = Home(folder)
        try:
            yield it
        finally:
            it.clear()


class IngotMoves:
    """Our redis, moved between two state directories."""

    def __init__(self, place):
        self.home, self.at = place, 0
        self.home.ingot("run", "-d", "--isolation", "vm", "--name", "cache", "-m", "64M", "--net", self.net(0),
                        shutil.which("redis-server"), *REDIS_ARGS)

    @staticmethod
    def net(number):
        return f"tap:tap{number},ip={GUEST}/24,gw={HOST}"

    def move(self):
        """How long the guest stood still, in seconds."""
        there = 1 - self.at
        said = self.home.ingot("migrate", "--net", self.net(there), "cache", self.home.states[there], state=self.at).stderr
        self.at = there
        return int(re.search(r"stood still for (\d+) ms", said).group(1)) / 1000

    def end(self):
        self.home.clear()


class LinuxMoves:
    """The same redis in a Linux guest, moved by QEMU's monitor. It is stopped first, as ours is
    (decision 0021)."""

    def __init__(self, machine, folder):
        self.machine, self.folder, self.number, self.child = machine, folder, 0, None
        self.child, self.qmp = self.start()

    def start(self, *more):
        tap, path = f"tap{self.number % 2}", os.path.join(self.folder, f"qmp{self.number}")
        words = self.machine.server_command(shutil.which("redis-server"), REDIS_ARGS, {}, tap, GUEST, memory=128)
        words += ["-qmp", f"unix:{path},server=on,wait=off", *more]
        words[0], words[words.index("stdio")] = self.machine.qemu, "null"
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(1000):
            with contextlib.suppress(OSError):
                client = socket.socket(socket.AF_UNIX)
                client.connect(path)
                monitor = client.makefile("rw")
                monitor.readline()
                self.ask(monitor, "qmp_capabilities")
                return child, monitor
            time.sleep(0.01)
        raise RuntimeError("QEMU does not start")

    @staticmethod
    def ask(monitor, name, **arguments):
        monitor.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        monitor.flush()
        while True:
            answer = json.loads(monitor.readline())
            if "error" in answer:
                raise RuntimeError(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]

    def move(self):
        self.number += 1
        state = os.path.join(self.folder, f"state{self.number}")
        child, monitor = self.start("-incoming", f"unix:{state}")
        self.ask(self.qmp, "migrate-set-parameters", **{"max-bandwidth": 64 << 30})
        start = time.monotonic()
        self.ask(self.qmp, "stop")
        self.ask(self.qmp, "migrate", uri=f"unix:{state}")
        while (status := self.ask(self.qmp, "query-migrate").get("status")) != "completed":
            if status in ("failed", "cancelled"):
                raise RuntimeError("the Linux guest does not move")
            time.sleep(0.002)
        while not self.ask(monitor, "query-status")["running"]:
            time.sleep(0.001)
            if self.ask(monitor, "query-status")["status"] == "paused":
                self.ask(monitor, "cont")
        still = time.monotonic() - start
        self.end()
        self.child, self.qmp = child, monitor
        return still

    def end(self):
        self.child.kill()
        self.child.wait()


def pauses(guest):
    """For each move, how long the guest stood still, and the longest pause of any client."""
    first_reply(ADDRESS)
    still, found = [], []
    try:
        writers = [Writer(number) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        for _ in range(MOVES):
            time.sleep(0.7)
            for writer in writers:
                writer.longest = 0
            still.append(guest.move())
            time.sleep(0.3)
            found.append(max(writer.longest for writer in writers))
        for writer in writers:
            writer.check()
    finally:
        guest.end()
    return still, found


def measure_moves(machines):
    """A column for each machine: (still, pauses)."""
    cells = []
    with home() as place, bridge():
        cells.append(pauses(IngotMoves(place)))
        for machine in machines[1:]:
            if not machine.has_network:
                cells.append(([], []))
                continue
            with tempfile.TemporaryDirectory() as folder:
                cells.append(pauses(LinuxMoves(machine, folder)))
    return cells


def forget_neighbours():
    """The last guest had another MAC address, which this host would go on asking for half a minute."""
    command("ip", "neigh", "flush", "dev", "br0")


def restored(place):
    forget_neighbours()
    start = time.monotonic()
    with place.begin("restore", "before"):
        first_reply(ADDRESS)
        return time.monotonic() - start


def booted(machine):
    forget_neighbours()
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        guest = LinuxMoves(machine, folder)
        try:
            first_reply(ADDRESS)
            return time.monotonic() - start
        finally:
            guest.end()


def measure_restores(machines):
    cells = [[] for _ in machines]
    with home() as place, bridge():
        IngotMoves(place)
        first_reply(ADDRESS)
        place.ingot("snapshot", "cache", "before")
        for _ in range(TRIES):
            place.clear()
            for i, machine in enumerate(machines[1:]):
                if machine.has_network:
                    cells[i + 1].append(booted(machine))
            cells[0].append(restored(place))
            place.clear()
    return cells


def timed(place, *words):
    start = time.monotonic()
    place.ingot(*words)
    return time.monotonic() - start


def proportional_kib(pids):
    """Memory of processes, shared pages by share."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total


def tree(pid):
    """A process and all below it, with their names."""
    found = {pid: name_of(pid)}
    for entry in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", encoding="ascii") as file:
            if int(file.read().rsplit(")", 1)[1].split()[1]) in found:
                found[int(entry)] = name_of(entry)
    return found


def name_of(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="ascii") as file:
        return file.read().strip()
    return ""


def instance_kib(place, name):
    state = json.loads(place.ingot("inspect", name).stdout)[0]["State"]
    found = tree(state["Pid"])
    return (proportional_kib(pid for pid, comm in found.items() if not comm.startswith("qemu")),
            proportional_kib(pid for pid, comm in found.items() if comm.startswith("qemu")))


def vmm_start():
    """QEMU alone, without a guest's first instruction, until its monitor speaks."""
    command_line = ["qemu-system-x86_64", "-M", "microvm", "-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none", "-S",
                    "-qmp", "stdio"]
    start = time.monotonic()
    with subprocess.Popen(command_line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        took = time.monotonic() - start
        child.kill()
    return took


def measure_life(report):
    rows, memory = [], []
    with home() as place:
        rows.append(["QEMU's own start", ms([vmm_start() for _ in range(TRIES)]), ""])
        for ground in ("vm", "process"):
            starts, stops = [], []
            for i in range(TRIES):
                start = time.monotonic()
                place.ingot("run", "-d", "--isolation", ground, "--name", f"s{i}", *IDLE)
                place.ingot("ps")
                starts.append(time.monotonic() - start)
                time.sleep(0.5)
                stops.append(timed(place, "stop", f"s{i}"))
            place.clear()
            rows.append([f"run -d and ps, {ground}", ms(starts), "1.2 × QEMU's own start"])
            rows.append([f"stop, {ground}", ms(stops), "150 ms"])
        for ground in ("vm", "process"):
            for title, goal, words in (("idle sleep", 5, ["-m", "32M", *IDLE]),
                                       ("redis", 14, ["-m", "64M", shutil.which("redis-server"), *REDIS_ARGS])):
                place.ingot("run", "-d", "--isolation", ground, "--name", "one", *words)
                time.sleep(2)
                ours, qemu = instance_kib(place, "one")
                memory.append([f"{title}, {ground}", f"{ours / 1024:.1f}", f"{qemu / 1024:.1f}" if qemu else "–", goal])
                place.clear()
        for i in range(50):
            place.ingot("run", "-d", "--isolation", "process", "--name", f"n{i}", *IDLE)
        rows.append(["ps with 50 instances", ms([timed(place, "ps") for _ in range(20)]), "30 ms"])
    report.table(["ms, least · median", "Ingot", "goal"], rows)
    report.table(["MiB of an instance", "all but QEMU", "QEMU, the guest's memory in it", "goal"], memory)


def bench_instances(report, machines):
    why = missing()
    if why:
        report.add(f"Instances: left out, it {why}.")
        report.add()
        return
    machines = machines[:2]  # a cold start of a whole distribution's kernel says nothing more
    moves, restores = measure_moves(machines), measure_restores(machines)
    report.table(["ms, least · median", *(m.name for m in machines), "goal"], [
        ["a move of redis under load: the guest stands still for", *(ms(still) for still, _ in moves), "50 ms"],
        [f"longest pause of {WRITERS} clients in a move of redis under load", *(ms(found) for _, found in moves), ""],
        ["restore of redis (Linux: its start) to the first reply", *map(ms, restores), "150 ms, 1/5"]])
    measure_life(report)
