"""Programs that take all there is: threads, processes, memory.  Each ends in an error to the program or in one line
that says what there was too little of; the guest never hangs.  And more CPUs than the machine has, a CPU that is
stuck, and threads of which none may be forgotten."""
import ctypes
import os
import re
import signal
import subprocess
import threading
import time

from commands import Home
from harness import BUILD, INGOT, ROOT, Skip, need

PROGRAM = os.path.join(BUILD, "tests", "e2e", "bombs")
GROUNDS = ("vm", "process")
building = threading.Lock()


def program():
    source = os.path.join(ROOT, "tests", "e2e", "programs", "bombs.c")
    with building:
        if not os.path.exists(PROGRAM) or os.path.getmtime(PROGRAM) < os.path.getmtime(source):
            subprocess.run(["gcc", "-static", "-O1", "-pthread", source, "-o", PROGRAM], check=True)
    return PROGRAM


def bomb(ground, cpus, *words, memory="64M"):
    with Home() as home:
        return home.ingot("run", "--isolation", ground, "--cpus", str(cpus), "-m", memory, program(), *words, timeout=90)


def says(result, *patterns, status=0):
    need(result.status == status, f"status {result.status}, want {status}\n{result.show()}")
    said = result.text() + result.errors()
    for pattern in patterns:
        need(re.search(pattern, said, re.M), f"'{pattern}' was not said\n{result.show()}")


def threads(ground):
    says(bomb(ground, 2, "threads"), r"^\d{3,} threads: Resource temporarily unavailable$")
    says(bomb(ground, 2, "threads", "10000", memory="512M"), "^10000 threads: all$")


def processes():
    for cpus in (1, 4):
        says(bomb("vm", cpus, "processes"), r"\d\d+ processes: Resource temporarily unavailable\n", "there is room again")
        says(bomb("vm", cpus, "fork-bomb"), "over")


def memory(ground):
    says(bomb(ground, 2, "memory"), r"out of memory: the program holds .*MiB|out of memory: the program holds \d+ of \d+ KiB",
         status=125)


def memory_of_a_child():
    says(bomb("vm", 2, "memory-child"), r"the child ended with 0x9", r"out of memory .* process \d+ is killed; most is held by bombs")


def more_cpus_than_there_are(ground):
    wanted = (os.cpu_count() or 1) + 3
    if wanted > 32:
        raise Skip("this machine has many")
    with Home() as home:
        result = home.ingot("run", "--isolation", ground, "--cpus", str(wanted), "/usr/bin/nproc")
    says(result, rf"^{wanted}$", rf"--cpus {wanted}: this machine has \d+")


PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207


def cpu_threads(pid):
    """The busiest thread that is not the first: a CPU of the guest."""
    found = []
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        found.append((int(fields[11]) + int(fields[12]), int(tid)))
    return [tid for _, tid in sorted(found, reverse=True) if tid != pid]


def watchdog():
    """One CPU of a guest in a process is held by a tracer: another one says so, and that one's thread goes on after it."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Home() as home:
        guest = subprocess.Popen([INGOT, "run", "--isolation", "process", "--cpus", "2", program(), "busy"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **home.env()})
        try:
            need(guest.stdout.readline() == b"busy\n", "it did not start")
            time.sleep(1)
            tender = next((pid for pid in tree(guest.pid) if len(os.listdir(f"/proc/{pid}/task")) > 1), None)
            need(tender, "no process with two threads")
            held = cpu_threads(tender)[0]
            if libc.ptrace(PTRACE_SEIZE, held, 0, 0):
                raise Skip("this user may not trace")
            libc.ptrace(PTRACE_INTERRUPT, held, 0, 0)
            os.waitpid(held, 0x40000000)  # __WALL
            said, end = b"", time.monotonic() + 270
            os.set_blocking(guest.stderr.fileno(), False)
            while b"watchdog" not in said and time.monotonic() < end:
                said += guest.stderr.read() or b""
                time.sleep(0.1)
            libc.ptrace(PTRACE_DETACH, held, 0, 0)
            need(b"has not come to a safe point for 10 s" in said, f"nobody noticed: {said!r}")
            end = time.monotonic() + 60
            while said.count(b"cpu ") < 2 and time.monotonic() < end:
                said += guest.stderr.read() or b""
                time.sleep(0.1)
            need(re.search(rb"cpu 1.*", said), f"no place of cpu 1: {said!r}")
            need(guest.poll() is None, "the guest has ended")
        finally:
            guest.send_signal(signal.SIGKILL)
            guest.communicate()


def tree(pid):
    """@pid and all below it."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        children = [int(word) for word in file.read().split()]
    return [pid, *(p for child in children for p in tree(child))]


FAIR = """
import signal, threading, time
alarms, stop, turns = 0, False, [0] * 16
def tick(*_):
    global alarms
    alarms += 1
signal.signal(signal.SIGALRM, tick)
def work(i):
    while not stop:
        turns[i] += 1
threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
[t.start() for t in threads]
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
begun, mine = time.monotonic(), 0
def fair():
    return alarms >= 3 and mine and min(turns) * 100 > max(turns)
while (took := time.monotonic() - begun) < 3 or (took < 30 and not fair()):  # a busy host gives few turns in 3 s
    mine += 1
stop = True
[t.join() for t in threads]
signal.setitimer(signal.ITIMER_REAL, 0)
print("fair" if fair() else (alarms, mine, turns))
"""


def sixteen_python_threads(ground, cpus):
    """The main thread takes alarms and comes to its end, and no other starves.  How often the main thread has the interpreter's
    lock is Python's own doing: on Linux, on one CPU, 21 times in 16 s."""
    with Home() as home:
        result = home.ingot("run", "--isolation", ground, "--cpus", str(cpus), "-m", "256M", "/usr/bin/python3", "-c", FAIR)
        says(result, "^fair$")


def add_to(suite):
    for ground in GROUNDS:
        suite.add(f"bombs: threads, {ground}", threads, ground)
        suite.add(f"bombs: memory, {ground}", memory, ground)
        suite.add(f"bombs: more CPUs than there are, {ground}", more_cpus_than_there_are, ground)
        for cpus in (1, 2):
            suite.add(f"bombs: sixteen threads of Python, {ground}, {cpus}", sixteen_python_threads, ground, cpus)
    suite.add("bombs: processes", processes)
    suite.add("bombs: memory of a child", memory_of_a_child)
    suite.add("bombs: watchdog", watchdog)
