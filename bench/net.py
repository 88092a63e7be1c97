"""Servers behind a tap, asked from the host's side: kernel and program instructions a request, and
requests a second.  A namespace of our own holds the tap, the guest and the load, and goes with them."""
import contextlib
import glob
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from guests import BUILD, vmm_ms

HOST, GUEST, TAP = "10.77.0.1", "10.77.0.2", "bench0"
LOAD = os.path.join(BUILD, "bench", "bench-load")
CONNECTIONS = 50
SLICES, SLICE_S = 7, 0.6
REDIS_CONF = "protected-mode no\nsave \"\"\nappendonly no\n"
NGINX_CONF = ("user root;\ndaemon off;\nmaster_process off;\npid /tmp/nginx.pid;\nerror_log stderr;\nevents {}\n"
              "http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 10000000;\n"
              "server { listen 80; root /site; } }\n")
PYTHON_SERVER = """
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args):
        pass
ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer(("", 8000), partial(Handler, directory="/site")).serve_forever()
"""
NODE_SERVER = """
const server = require("http").createServer((request, response) => response.end("hello\\n"));
server.keepAliveTimeout = 0; // else 5 s, which a guest may stand still on a busy host
server.listen(8000);
"""


class Load:
    """One kind of request to a server: how it is made (a command of an address and a count), how often where instructions are
    counted, and the goals: kernel instructions, and requests a second to those of each opponent.  warm: seconds of requests
    before any that count, for programs that compile themselves as they run."""

    def __init__(self, title, requests, goal, ratios, to, warm=0.5):
        self.title, self.requests, self.goal, self.ratios, self.to, self.warm = title, requests, goal, ratios, to, warm

    def command(self, count, address=GUEST):
        return self.to(address, count)

    def ask(self, space, count, address=GUEST):
        """Seconds from the first request to the last answer, as the program that asks took them: not those of its start."""
        text = space.run(*self.command(count, address), timeout=300).stdout
        rates = re.findall(r"([\d.]+) requests per second", text)
        return count / float(rates[-1]) if rates else float(text.split()[0])


def redis_load(title, test, depth, requests, goal, ratios=()):
    words = ["-q", "-t", test, "-c", str(CONNECTIONS), "-P", str(depth), "-n"]
    return Load(title, requests, goal, ratios,
                lambda address, count: ["redis-benchmark", "-h", address, *words, str(count)])


def plain_load(title, port, request, requests, goal, ratios=(), connections=CONNECTIONS, warm=0.5):
    return Load(title, requests, goal, ratios,
                lambda address, count: [LOAD, address, str(port), str(connections), str(count), request], warm)


def http_get(path):
    return f"GET {path} HTTP/1.1\r\nHost: {GUEST}\r\n\r\n"


class Server:
    """A program with its files, what to ask it before the loads (or None), and the loads; folders: what it opens besides;
    cpus: of the guest."""

    def __init__(self, program, args, files, first, loads, memory=256, folders=(), cpus=1):
        self.program, self.args, self.files, self.first, self.loads = program, args, files, first, loads
        self.memory, self.folders, self.cpus = memory, folders, cpus


SERVERS = [
    Server("redis-server", ["/redis.conf"], {"/redis.conf": REDIS_CONF.encode()}, (6379, "PING\r\n"), [
        redis_load("redis GET, -P 1", "get", 1, 3000, 3000, (2, 2.5)),
        redis_load("redis SET, -P 1", "set", 1, 3000, 3000, (2, 2.5)),
        redis_load("redis GET, -P 16", "get", 16, 12000, 350),
        redis_load("redis SET, -P 16", "set", 16, 12000, 350)]),
    Server("nginx", ["-c", "/nginx.conf"],
           {"/nginx.conf": NGINX_CONF.encode(), "/site/small.html": b"x" * 612,
            "/site/large.bin": bytes(range(256)) * 4096, "/var/log/nginx/keep": b"", "/var/lib/nginx/keep": b""},
           (80, http_get("/small.html")), [
               plain_load("nginx, 612 B, keep-alive", 80, http_get("/small.html"), 1500, 4000, (1.7, 2.4)),
               plain_load("nginx, 1 MiB file (a MiB)", 80, http_get("/large.bin"), 40, 400000, connections=4)]),
    Server("memcached", ["-u", "root"], {}, (11211, "set k 0 0 3\r\nabc\r\n"), [
        plain_load("memcached get", 11211, "get k\r\n", 2500, 3500)]),
    Server("/usr/bin/python3", ["/server.py"], {"/server.py": PYTHON_SERVER.encode(), "/site/small.html": b"x" * 612},
           (8000, http_get("/small.html")),
           [plain_load("python http.server, 612 B", 8000, http_get("/small.html"), 1000, None, (1.2, 1.2), warm=2)],
           memory=384, folders=["/usr/lib/python3.11"]),
    Server("node", ["/server.js"], {"/server.js": NODE_SERVER.encode()}, (8000, http_get("/")),
           [plain_load("node, hello", 8000, http_get("/"), 600, None, (1.2, 1.2), warm=20)], memory=768),
]


def missing():
    """What keeps this part from running, or None."""
    if os.geteuid() != 0:
        return "needs root for a namespace and a tap"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun"
    for word in ("ip", "redis-benchmark"):
        if not shutil.which(word):
            return f"needs {word}"
    return None


class Namespace:
    """A network namespace with a tap, for one guest at a time; others can be added.  options: of the taps, multi_queue
    for guests of several CPUs."""

    def __init__(self, *options):
        self.name, self.taps, self.options = f"ingot-bench-{os.getpid()}", set(), options

    def run(self, *command, **kwargs):
        return subprocess.run(self.inside(command), check=True, capture_output=True, text=True, **kwargs)

    def inside(self, command):
        return ["ip", "netns", "exec", self.name, *command]

    def add_tap(self, name, address):
        """A tap whose host's side has the address."""
        for words in (("tuntap", "add", name, "mode", "tap", *self.options), ("addr", "add", address + "/24", "dev", name),
                      ("link", "set", name, "up")):
            self.run("ip", *words)
        self.taps.add(name)

    def wait_for_tap(self, name=TAP):
        """Until the last guest, which was killed, has let go of it."""
        for _ in range(100):
            if "NO-CARRIER" in self.run("ip", "link", "show", name).stdout:
                return
            time.sleep(0.05)

    def __enter__(self):
        subprocess.run(["ip", "netns", "add", self.name], check=True, capture_output=True)
        try:
            self.run("ip", "link", "set", "lo", "up")
            self.add_tap(TAP, HOST)
        except subprocess.CalledProcessError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)


class Counters:
    """The plugin's counters of a guest that runs, asked for through its FIFO."""

    plugin = "insn.so"

    def __init__(self, folder):
        self.fifo, self.figures = os.path.join(folder, "control"), os.path.join(folder, "figures")
        os.mkfifo(self.fifo)
        self.asked = 0

    def options(self, more=""):
        return f"-plugin {os.path.join(BUILD, 'bench', self.plugin)},out={self.figures},control={self.fifo}{more}"

    def last_profile(self):
        """What the plugin wrote when it was read last, with profile=on."""
        with open(f"{self.figures}.ask-{self.asked}", encoding="ascii") as file:
            return file.read()

    def ask(self):
        """The numbers of now, once the guest has gone quiet."""
        time.sleep(0.2)
        self.asked += 1
        with open(self.fifo, "w", encoding="ascii") as fifo:
            fifo.write(f"ask-{self.asked}\n")
        for _ in range(100):
            with open(self.figures, encoding="ascii") as file:
                for line in file:
                    words = line.split()
                    if words[:2] == ["at", f"ask-{self.asked}"] and line.endswith("\n"):
                        return [int(word) for word in words[2:]]
            time.sleep(0.05)
        raise RuntimeError("the plugin does not answer")

    def read(self):
        """(kernel, program) instructions so far."""
        return tuple(self.ask()[1:])


def write_files(folder, server):
    """The server's files below a folder: guest path -> file here."""
    paths = {}
    for path, content in server.files.items():
        paths[path] = os.path.join(folder, path.strip("/").replace("/", "-"))
        with open(paths[path], "wb") as file:
            file.write(content)
    return paths


@contextlib.contextmanager
def guest(space, machine, server, plugin_words, tap=TAP, address=GUEST, counters_of=Counters):
    """A server in a guest until it answers; yields (its process, its Counters or None). plugin_words: of the plugin that
    counts, None without it."""
    program = shutil.which(server.program)
    space.wait_for_tap(tap)
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "log"), "w+b") as log:
        counters = None if plugin_words is None else counters_of(folder)
        command = machine.server_command(program, server.args, write_files(folder, server), tap, address,
                                         server.memory, server.folders, server.cpus)
        child = subprocess.Popen(space.inside(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 env=machine.environment(os.path.join(folder, "start"),
                                                         counters.options(plugin_words) if counters else ""),
                                 start_new_session=True)
        try:
            if server.first:
                port, request = server.first
                space.run(LOAD, address, str(port), "1", "1", request, timeout=90)
            yield child, counters
        except (subprocess.SubprocessError, RuntimeError) as error:
            log.seek(0)
            raise RuntimeError(f"{error} {getattr(error, 'stderr', '')}\n"
                               + log.read()[-1500:].decode(errors="replace")) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def instructions(space, counters, load):
    """(kernel, program) a request: N requests and 2 N, so that connecting cancels out."""
    space.run(*load.command(load.requests // 4), timeout=300)
    points = [counters.read()]
    for count in (load.requests, 2 * load.requests):
        space.run(*load.command(count), timeout=300)
        points.append(counters.read())
    return tuple((points[2][i] - 2 * points[1][i] + points[0][i]) / load.requests for i in (0, 1))


def vmm_time(space, name="qemu"):
    """Microseconds of processor that all threads of the namespace's QEMU, or of who is called @name, have had."""
    total = 0
    pids = subprocess.run(["ip", "netns", "pids", space.name], check=True, capture_output=True, text=True).stdout
    for pid in pids.split():
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            if not file.read().startswith(name):
                continue
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            with open(path, encoding="ascii") as file:
                total += int(file.read().split()[0]) / 1000
    return total


class Turn:
    """One of the guests that run side by side, of which one is asked at a time."""

    def __init__(self, name, child, address):
        self.name, self.child, self.address = name, child, address
        self.counts, self.slices = {}, {}

    def warm(self, space, load):
        """Requests until it has had them for as long as it takes to be warm; they tell how many a slice has."""
        count, took, end = load.requests, 0, time.monotonic() + load.warm
        while time.monotonic() < end or not took:
            took = load.ask(space, count, self.address)
            count = max(CONNECTIONS, int(count / took * SLICE_S))
        self.counts[load.title], self.slices[load.title] = count, []

    def ask(self, space, load):
        """A slice: requests a second, and the microseconds of QEMU's processor time that each took."""
        count, before = self.counts[load.title], vmm_ms(self.child.pid)
        took = load.ask(space, count, self.address)
        self.slices[load.title].append((count / took, (vmm_ms(self.child.pid) - before) * 1e3 / count))


def measure_turns(space, guests, slices):
    """Guests, (name, machine, server), of the same loads, all at once and asked in turn:
    (name, load title) -> the medians of (requests a second, time)."""
    with contextlib.ExitStack() as stack:
        turns = []
        for i, (name, machine, server) in enumerate(guests):
            tap, address = (TAP, GUEST) if not i else (f"bench{i}", f"10.77.{i}.2")
            if tap not in space.taps:
                space.add_tap(tap, f"10.77.{i}.1")
            child, _ = stack.enter_context(guest(space, machine, server, None, tap, address))
            turns.append(Turn(name, child, address))
        for load in guests[0][2].loads:
            for turn in turns:
                turn.warm(space, load)
            for _ in range(slices):
                for turn in turns:
                    turn.ask(space, load)
        return {(turn.name, title): tuple(statistics.median(values) for values in zip(*slices))
                for turn in turns for title, slices in turn.slices.items()}


def measure(space, machines, server, slices):
    """machine name, load title -> (kernel, program, requests a second, µs of processor)"""
    found = {}
    for machine in machines:
        with guest(space, machine, server, "") as (_, counters):
            for load in server.loads:
                found[machine.name, load.title] = instructions(space, counters, load)
    for key, fast in measure_turns(space, [(m.name, m, server) for m in machines], slices).items():
        found[key] += fast
    return found


def goals(ratios):
    return " · ".join(f"{ratio}×" for ratio in ratios)


def to_ours(ours, theirs):
    """How many times theirs what ours is, or the other way round: what is more than 1 is better."""
    return " · ".join(f"{ours / one:.1f}×" for one in theirs)


def cells(load, machines, found):
    """A row of instructions and one of speed."""
    kernel, program, rates, times = zip(*(found[m.name, load.title] for m in machines))
    work = [load.title, *(f"{n:,.0f}" for n in kernel), f"{load.goal:,}" if load.goal else "",
            " · ".join(f"{one / kernel[0]:.1f}×" for one in kernel[1:]), *(f"{n:,.0f}" for n in program)]
    fast = [load.title, *(f"{n:,.0f}" for n in rates), to_ours(rates[0], rates[1:]), goals(load.ratios),
            *(f"{n:,.1f}" for n in times), " · ".join(f"{one / times[0]:.1f}×" for one in times[1:])]
    return work, fast


def bench_net(report, machines):
    reason = missing()
    if reason:
        report.add(f"net: skipped: {reason}.\n")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [machines[0], *(m for m in machines[1:] if m.has_network)]
    if len(chosen) == 1:
        report.add("net: no Linux guest beside ours: INGOT_BENCH_LINUX names none.")
    wanted, rows = os.environ.get("BENCH_SERVERS", "").split(), []
    with Namespace() as space:
        for server in SERVERS:
            if not shutil.which(server.program) or (wanted and os.path.basename(server.program) not in wanted):
                report.add(f"net: {server.program} skipped: it is not installed, or not asked for.")
                continue
            try:
                found = measure(space, chosen, server, int(os.environ.get("BENCH_ROUNDS", SLICES)))
                rows += [cells(load, chosen, found) for load in server.loads]
            except (RuntimeError, subprocess.SubprocessError) as error:
                report.add(f"net: {server.program} failed: {error}")
    names = [m.name for m in chosen]
    report.table(["over a tap, 50 clients, instructions a request", *(f"kernel, {n}" for n in names), "goal", "ratio",
                  *(f"program, {n}" for n in names)], [work for work, _ in rows])
    report.table(["the same", *(f"requests/s, {n}" for n in names), "ratio", "goal",
                  *(f"µs of QEMU, {n}" for n in names), "ratio"], [fast for _, fast in rows])
