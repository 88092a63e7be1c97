"""Two CPUs: what the second one costs at the start, and what it brings.  Times are the least of several tries
of programs that keep both CPUs busy; they mean something only on a machine that has two to spare."""
import contextlib
import os
import re
import subprocess

import guests

SMP = os.path.join(guests.BUILD, "bench", "bench-smp")
THREADS = os.path.join(guests.BUILD, "bench", "bench-threads")
HELLO = os.path.join(guests.BUILD, "bench", "bench-hello")
ROWS = {
    "compute_1": "a loop's turn, one thread", "compute_2": "a loop's turn, two threads on two CPUs",
    "fault_1": "anonymous fault, one thread", "fault_2": "anonymous fault, two threads on two CPUs",
    "ping_pong_one": "futex ping-pong on one CPU, round trip",
    "ping_pong_across": "futex ping-pong across two CPUs, round trip",
    "mutex_storm": "pthread mutex, lock + unlock, 4 threads that fight on 2 CPUs",
    "mutex_alone": "the same, one thread alone: what the mutex is held for",
}


def second_cpu(ingot):
    """Instructions of the second CPU until it first halts."""
    figures = os.path.join(guests.OUT, "cpus.figures")
    start = os.path.join(guests.OUT, "cpus.start")
    plugin = os.path.join(guests.BUILD, "bench", "cpus.so")
    env = ingot.environment(start, f"-plugin {plugin},out={figures}")
    subprocess.run([os.path.join(guests.BUILD, "ingot"), "run", "--isolation", "vm", "--cpus", "2", "-m", "64M",
                    HELLO], env=env, check=True, capture_output=True, timeout=60)
    with open(figures, encoding="ascii") as file:
        found = re.findall(r"^cpu (\d+) \d+ (\d+)", file.read(), re.M)
    return next((int(halt) for cpu, halt in found if cpu == "1"), 0)


# The races of bench/guest/smp.c in order: threads, and operations of all of them together.
TRIES = 7
RACES = {"compute_1": (1, 1e6), "compute_2": (2, 2e6), "fault_1": (1, 1500), "fault_2": (2, 3000),
         "ping_pong_across": (2, 2000), "ping_pong_one": (2, 2000), "mutex_storm": (4, 8000), "mutex_alone": (1, 2000)}
COUNTED = {"fault_1": None, "fault_2": (1, 3), "ping_pong_one": (1, 4), "ping_pong_across": (1, 3), "mutex_storm": (1, 2)}


def count_race(race):
    """(kernel, waiting, user): each CPU's from the first beginning to the last end on it."""
    ends = {mark[1]: mark[2:] for mark in race if mark[0] == 2}
    begin = race[0][2:]
    return [sum(end[3 * cpu + part] - begin[3 * cpu + part] for cpu, end in ends.items()) for part in range(3)]


def counts_of(figures):
    """Race -> (kernel, waiting, user) instructions an operation, of all CPUs, of the try in the middle: who waits and who
    need not is chance."""
    marks = [figure[1:] for figure in figures if figure[0] == "mark"]
    counts, at = {}, 0
    for name, (threads, operations) in RACES.items():
        tries = []
        for _ in range(TRIES):
            race = marks[at:at + 2 * threads]
            at += 2 * threads
            if len(race) == 2 * threads:
                tries.append([count / operations for count in count_race(race)])
        if tries:
            counts[name] = sorted(tries)[len(tries) // 2]
    return counts


def goal_of(name, linux):
    share = COUNTED[name]
    return f"{linux[0] * share[0] / share[1]:,.0f} ({share[0]}/{share[1]})" if share and linux else "–"


@contextlib.contextmanager
def both_processors():
    """Children go before everything else on the host, where that is allowed, so that both CPUs run when they want to:
    threads only fight while both do, however busy the host is otherwise."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def bench_counts(report, machines):
    """Instructions of both CPUs; not of Debian's kernel, whose start alone takes minutes so."""
    machines = [m for m in machines if "cloud" not in m.name]
    with both_processors():
        found = [counts_of(m.run(SMP, memory=128, first=b"compute", timeout=300, cpus=2, plugin="cpus").figures)
                 for m in machines]
    rows = []
    for name in COUNTED:
        cells = [c.get(name) for c in found]
        linux = cells[1] if len(cells) > 1 else None
        rows.append([ROWS[name], *(f"{c[0]:,.0f} + {c[1]:,.0f}" if c else "–" for c in cells), goal_of(name, linux),
                     f"{linux[0] / cells[0][0]:.1f}×" if linux and cells[0] else "–"])
    report.table(["kernel instructions of two CPUs + those spent waiting, an operation", *(m.name for m in machines),
                  "goal (of Linux's)", "ratio"], rows)
    for one, two in (("compute_1", "compute_2"), ("fault_1", "fault_2")):
        if one in found[0] and two in found[0]:
            report.add(f"{ROWS[two]}: {2 * sum(found[0][one]) / sum(found[0][two]):.2f} times one thread's, were both "
                       "CPUs whole, by instructions with those spent waiting.")
    report.add()


def bench_threads(report, machines):
    """Memory of threads that sleep."""
    cells = []
    for machine in machines:
        ended = machine.run(THREADS, memory=1024, first=b"threads", timeout=120)
        found = re.search(r"kernel_bytes (-?\d+) stack_bytes (\d+)", ended.out)
        cells.append(f"{int(found.group(1)) / 1024:.1f} + {int(found.group(2)) / 1024:.1f}" if found else "–")
    report.table(["10,000 threads asleep, KiB each: the kernel's + their stacks' touched pages", *(m.name for m in machines), "goal"],
                 [["", *cells, "20"]])


def bench_smp(report, machines):
    columns = []
    for machine in machines:
        with both_processors():
            ended = machine.run(SMP, memory=128, first=b"compute", timeout=120, cpus=2)
        columns.append(dict(re.findall(r"^(\w+) (\d+)\r?$", ended.out, re.M)))
    report.add(f"The second CPU executes {second_cpu(machines[0]):,} instructions before it first waits for work "
               "(goal 100,000), beside the first one's start.")
    report.add()
    bench_counts(report, machines)
    bench_threads(report, machines)
    rows = [[title, *(column.get(name, "–") for column in columns)] for name, title in ROWS.items()]
    report.table(["ns on a machine of two CPUs", *(m.name for m in machines)], rows)
