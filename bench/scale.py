"""Servers with two threads or workers on one CPU and on two.  Instructions of each CPU a request: what limits a server on
two CPUs is the busier one; what it spends waiting, for work or for a lock, is apart (bench/plugin/cpus.c).  A CPU that
the host stops leaves its work to the other, so while instructions are counted guest and load go before everything else there.
And requests a second beside a Linux guest with two CPUs, where the load has to share the host's with all of them."""
import copy
import os
import shutil
import subprocess
import tempfile

from guests import BUILD, HERE
from net import NGINX_CONF, SLICES, Counters, Namespace, Server, guest, http_get, measure_turns, missing, plain_load, to_ours
from smp import both_processors

NGINX_2 = NGINX_CONF.replace("master_process off", "worker_processes 2")
MEMCACHED = Server("memcached", ["-u", "root", "-t", "2"], {}, (11211, "set k 0 0 3\r\nabc\r\n"),
                   [plain_load("memcached -t 2, get", 11211, "get k\r\n", 20000, None)])
NGINX = Server("nginx", ["-c", "/nginx.conf"],
               {"/nginx.conf": NGINX_2.encode(), "/site/small.html": b"x" * 612, "/var/log/nginx/keep": b"",
                "/var/lib/nginx/keep": b""}, (80, http_get("/small.html")),
               [plain_load("nginx, 2 workers, 612 B", 80, http_get("/small.html"), 8000, None)])


def go_server(folder):
    """bench/guest/http.go, built in the folder."""
    program = os.path.join(folder, "go-http")
    subprocess.run(["go", "build", "-o", program, os.path.join(HERE, "guest", "http.go")], check=True, capture_output=True,
                   env={**os.environ, "CGO_ENABLED": "0"})
    return Server(program, [], {}, (8000, http_get("/")),
                  [plain_load("Go net/http, 612 B", 8000, http_get("/"), 4000, None, warm=3)])


class CpuCounters(Counters):
    plugin = "cpus.so"

    def read(self):
        """[(kernel, wait, user) of each CPU]"""
        numbers = self.ask()
        return [numbers[i:i + 3] for i in range(0, len(numbers), 3)]


def on(cpus, server):
    server = copy.copy(server)
    server.cpus = cpus
    return server


def a_request(space, machine, server):
    """[(kernel, wait, user) of each CPU] a request: of many requests less few, so that connecting cancels out.  Which
    CPU did how much of them is partly chance, that of the few is to weigh little."""
    load = server.loads[0]
    few, many = load.requests // 4, 3 * load.requests
    with guest(space, machine, server, "", counters_of=CpuCounters) as (_, counters):
        points = []
        for n in (few, few, many):
            space.run(*load.command(n), timeout=300)
            points.append(counters.read())
    return [[(points[2][cpu][i] - 2 * points[1][cpu][i] + points[0][cpu][i]) / (many - few) for i in range(3)]
            for cpu in range(server.cpus)]


def show(counts):
    return " · ".join(f"{kernel:,.0f} + {user:,.0f} ({wait:,.0f})" for kernel, wait, user in counts)


def busiest(counts):
    return max(kernel + user for kernel, _, user in counts)


def counts_row(space, machine, server):
    one, two = (a_request(space, machine, on(cpus, server)) for cpus in (1, 2))
    return [server.loads[0].title, show(one), show(two), f"{2 * busiest(one) / sum(k + u for k, _, u in two):.2f}×",
            f"{busiest(one) / busiest(two):.2f}×", "1.8×"]


def speed_row(space, machines, server):
    """Ours on one CPU and on two, and the Linux guests on two."""
    title = server.loads[0].title
    guests = [("one", machines[0], on(1, server)), *((m.name, m, on(2, server)) for m in machines)]
    found = measure_turns(space, guests, SLICES)
    rates, times = zip(*(found[name, title] for name, _, _ in guests))
    return [title, *(f"{rate:,.0f}" for rate in rates), to_ours(rates[1], rates[:1]), to_ours(rates[1], rates[2:]), "2×",
            *(f"{time:,.1f}" for time in times), " · ".join(f"{time / times[1]:.1f}×" for time in times[2:])]


def bench_scale(report, machines):
    """Two tables; for the first one the machine's load does not matter but for who must wait."""
    reason = missing()
    if reason:
        report.add(f"scale: skipped: {reason}.\n")
        return
    machines = [machines[0], *(m for m in machines[1:] if m.has_network)]
    counts, speeds = [], []
    with tempfile.TemporaryDirectory() as folder, Namespace("multi_queue") as space:
        servers = [server for server in (MEMCACHED, NGINX) if shutil.which(server.program)]
        if shutil.which("go"):
            servers.append(go_server(folder))
        for server in servers:
            with both_processors():
                counts.append(counts_row(space, machines[0], server))
            speeds.append(speed_row(space, machines, server))
    if len(counts) < 3:
        report.add("scale: of memcached, nginx and go, what is missing above is not installed.")
    report.table(["a request: kernel + program instructions (those spent waiting) of each CPU", "one CPU", "two CPUs",
                  "were both as busy", "to the busier of two", "goal"], counts)
    names = ["Ingot, one CPU", *(f"{m.name}, two" for m in machines)]
    report.table(["over a tap, 50 clients", *(f"requests/s, {n}" for n in names), "two to one", "two to Linux' two", "goal",
                  *(f"µs of QEMU, {n}" for n in names), "ratio"], speeds)
