"""The debug kernel: lock order by class, sleeping with a lock that spins, poisoned frees, stack canaries, UBSan.
Whatever one of them finds is a panic, which no test here expects."""
import os
import subprocess
import sys
import threading

from commands import Home
from harness import BUILD, ROOT, need
from volumes import family_on_volume

sys.path.insert(0, os.path.join(ROOT, "tests", "guest"))
import programs  # noqa: E402

KERNEL = os.path.join(BUILD, "ingot-kernel-debug")
GUEST_OUT = os.path.join(BUILD, "tests", "guest")
FAMILIES = ["thread", "aio", "smp", "races", "races_mem", "races_net", "fork", "signal", "pipe", "poll", "mm", "file", "dir", "unix", "socket", "packet", "bad"]
QUICK = ["thread", "smp", "races_mem"]


building = threading.Lock()  # two ninjas in one folder break each other's records


def build():
    with building:
        subprocess.run(["ninja", "-C", BUILD, "--quiet", "ingot-kernel-debug"], check=True, stdout=subprocess.DEVNULL)


def run_under(home, *words, cpus=4, timeout=120):
    result = home.ingot("run", "--isolation", "vm", "--cpus", str(cpus), "-m", "256M", "--kernel", KERNEL, *words,
                        timeout=timeout)
    need(result.status == 0, f"status {result.status}\n{result.show()}")
    return result


def lock_stat():
    """Classes of locks are listed with what they were taken for."""
    build()
    with Home() as home:
        lines = run_under(home, "/bin/cat", "/proc/lock_stat").text().splitlines()
        need(lines[0].split()[0] == "taken" and len(lines) > 20, "no table of locks")
        named = [line for line in lines if "rq->lock" in line]
        need(named and int(named[0].split()[0]) > 0, "no run queue's lock was taken")


def family(name):
    build()
    program = next(p for p in programs.build_families(GUEST_OUT) if p.name == name)
    with Home() as home:
        run_under(home, program.path, timeout=240)  # four CPUs of a kernel that checks itself share a busy host


def volume(name):
    """A family with its folder on ext4, which is whole afterwards."""
    build()
    family_on_volume(name, "vm", run=("-m", "256M", "--cpus", "4", "--kernel", KERNEL))


# Classes of stress-ng, together for a few seconds each.
STRESS_NG = "/usr/bin/stress-ng"
STRESS = {
    "cpu": "--cpu 2 --switch 2 --futex 4 --yield 2", "processes": "--fork 3 --vfork 2 --clone 2 --zombie 2",
    "memory": "--vm 2 --vm-bytes 16M --mmap 2 --mmap-bytes 8M --madvise 4 --mremap 2 --mprotect 2 --fault 2",
    "sockets": "--sock 2 --sockpair 2 --udp 2 --epoll 2 --poll 2", "pipes": "--pipe 3 --splice 2 --tee 1 --eventfd 2",
    "time": "--timer 2 --timerfd 2 --itimer 2 --sigq 2", "ipc": "--sem 2 --sem-sysv 2 --msg 2 --mq 1 --shm-sysv 2",
    "files": "--rename 4 --dir 2 --link 2 --inotify 2 --getdent 2",
}


def stress(name):
    build()
    with Home() as home:
        run_under(home, "--append", "ingot.pids=1000", STRESS_NG, *STRESS[name].split(), "-t", "8", "--temp-path", "/tmp", timeout=300)


def torture(cpus, seconds):
    """Families of processes with threads, timers and stops, at random (programs/torture.c); nobody is left of them."""
    build()
    program = os.path.join(BUILD, "tests", "e2e", "torture")
    with building:
        subprocess.run(["gcc", "-static", "-O1", "-pthread", os.path.join(ROOT, "tests", "e2e", "programs", "torture.c"), "-o", program],
                       check=True)
    with Home() as home:
        result = run_under(home, "--append", "ingot.pids=500", program, str(seconds), os.environ.get("SEED", str(cpus)), cpus=cpus,
                           timeout=240)
    need(result.text() == "over\n", result.show())


SERVER = """
import http.server, threading, urllib.request
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
def ask():
    for _ in range(10):
        urllib.request.urlopen("http://127.0.0.1:8000/etc/hostname").read()
threads = [threading.Thread(target=ask) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print("served")
"""


def small_server():
    build()
    with Home() as home:
        result = run_under(home, "-w", "/", "/usr/bin/python3", "-c", SERVER)
        need("served" in result.text(), result.show())


def add_to(suite, long):
    suite.add("debug-kernel-lock-stat", lock_stat)
    for name in FAMILIES if long else QUICK:
        suite.add("debug-kernel-" + name, family, name)
    for name in ("races_fs", "races_mem") if long else ("races_fs",):
        suite.add("debug-kernel-volume-" + name, volume, name)
    suite.add("debug-kernel-server", small_server)
    for cpus in (1, 2, 4) if long else (2,):
        suite.add(f"debug-kernel-torture-{cpus}", torture, cpus, 20 if long else 4)
    for name in STRESS if long and os.path.exists(STRESS_NG) else ():
        suite.add("debug-kernel-stress-" + name, stress, name)
