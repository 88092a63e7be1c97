"""Servers with two threads or workers on one CPU and on two: instructions of each CPU a request.  What limits a server on
two CPUs is the busier one; what it spends waiting, for work or for a lock, is apart (bench/plugin/cpus.c).  Which one is
busier, and by how much, is the host's doing where it has no two CPUs to spare: who is stopped leaves his work to the other."""
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time

from guests import BUILD, Ingot
from net import CONNECTIONS, GUEST, HOST, LOAD, NGINX_CONF, TAP, Counters, Namespace, http_get, missing

CPU_COUNTER = os.path.join(BUILD, "bench", "cpus.so")
NGINX_2 = NGINX_CONF.replace("master_process off", "worker_processes 2")
SERVERS = {
    "memcached -t 2, get": ("memcached", ["-u", "root", "-t", "2"], {}, 11211, "set k 0 0 3\r\nabc\r\n", "get k\r\n", 4000),
    "nginx, 2 workers, 612 B": ("nginx", ["-c", "/nginx.conf"],
                                {"/nginx.conf": NGINX_2.encode(), "/site/small.html": b"x" * 612,
                                 "/var/log/nginx/keep": b"", "/var/lib/nginx/keep": b""},
                                80, http_get("/small.html"), http_get("/small.html"), 2500),
}


class CpuCounters(Counters):
    def options(self, more=""):
        return f"-plugin {CPU_COUNTER},out={self.figures},control={self.fifo}{more}"

    def read(self):
        """[(kernel, wait, user) of each CPU]"""
        time.sleep(0.3)
        self.asked += 1
        with open(self.fifo, "w", encoding="ascii") as fifo:
            fifo.write(f"ask-{self.asked}\n")
        for _ in range(100):
            with open(self.figures, encoding="ascii") as file:
                for line in file:
                    words = line.split()
                    if words[:2] == ["at", f"ask-{self.asked}"] and line.endswith("\n"):
                        numbers = [int(word) for word in words[2:]]
                        return [numbers[i:i + 3] for i in range(0, len(numbers), 3)]
            time.sleep(0.05)
        raise RuntimeError("the plugin does not answer")


@contextlib.contextmanager
def guest(space, machine, cpus, program, args, files):
    with tempfile.TemporaryDirectory() as folder:
        counters = CpuCounters(folder)
        words = []
        for path, content in files.items():
            here = os.path.join(folder, path.strip("/").replace("/", "-"))
            with open(here, "wb") as file:
                file.write(content)
            words += ["--file", f"{here}:{path}"]
        command = [os.path.join(BUILD, "ingot"), "run", "--isolation", "vm", "-m", "256M", "--cpus", str(cpus), "--net",
                   f"tap:{TAP},ip={GUEST}/24", *words, shutil.which(program), *args]
        child = subprocess.Popen(space.inside(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, start_new_session=True,
                                 env=machine.environment(os.path.join(folder, "start"), counters.options()))
        try:
            yield counters
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def a_request(space, machine, cpus, server):
    """[(kernel, wait, user) of each CPU] a request, by N requests and 2 N."""
    program, args, files, port, first, request, count = server
    load = [LOAD, GUEST, str(port), str(CONNECTIONS)]
    with guest(space, machine, cpus, program, args, files) as counters:
        space.run(LOAD, GUEST, str(port), "1", "1", first, timeout=120)
        space.run(*load, str(count // 2), request, timeout=300)
        points = [counters.read()]
        for n in (count, 2 * count):
            space.run(*load, str(n), request, timeout=300)
            points.append(counters.read())
    return [[(points[2][cpu][i] - 2 * points[1][cpu][i] + points[0][cpu][i]) / count for i in range(3)]
            for cpu in range(cpus)]


def show(counts):
    return " · ".join(f"{kernel:,.0f} + {user:,.0f} ({wait:,.0f})" for kernel, wait, user in counts)


def busiest(counts):
    return max(kernel + user for kernel, _, user in counts)


def bench_scale(report, _machines):
    """One table; the machine's load does not matter but for who must wait."""
    reason = missing()
    if reason:
        report.add(f"scale: skipped: {reason}.\n")
        return
    machine, rows = Ingot(), []
    with Namespace() as space:
        for words in (("link", "delete", TAP), ("tuntap", "add", TAP, "mode", "tap", "multi_queue"),
                      ("addr", "add", HOST + "/24", "dev", TAP), ("link", "set", TAP, "up")):
            space.run("ip", *words)
        for title, server in SERVERS.items():
            if not shutil.which(server[0]):
                report.add(f"scale: {server[0]} skipped: it is not installed.")
                continue
            one, two = (a_request(space, machine, cpus, server) for cpus in (1, 2))
            rows.append([title, show(one), show(two), f"{2 * busiest(one) / sum(k + u for k, _, u in two):.2f}×",
                         f"{busiest(one) / busiest(two):.2f}×", "1.8×"])
    report.table(["a request: kernel + program instructions (those spent waiting) of each CPU", "one CPU", "two CPUs",
                  "were both as busy", "to the busier of two", "goal"], rows)
