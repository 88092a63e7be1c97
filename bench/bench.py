#!/usr/bin/env python3
"""Ingot beside Linux guests: same QEMU, same options, same run.  Prints a markdown table and writes it to
build/bench.md.

    bench/run.sh [boot] [calls] [start] [memory] [size] [process] [net] [net-process] [net-cpus] [first-reply] [iperf] [ready] [smp] [scale] [storage]
    all without arguments

Instructions are counted by bench/plugin/insn.c and do not depend on how busy the machine is; times
do, so only their ratios within one run mean something."""
import os
import re
import statistics
import subprocess
import sys

from first_reply import bench_first_reply
from guests import BUILD, OUT, Floor, Ingot, linux_guests
from instances import bench_instances
from iperf import bench_iperf
from net import bench_net
from net_cpus import bench_net_cpus
from net_process import bench_net_process
from process import bench_process
from ready import bench_ready
from scale import bench_scale
from smp import bench_smp
from storage import bench_storage

HELLO = os.path.join(BUILD, "bench", "bench-hello")
HELLO_DYNAMIC = os.path.join(BUILD, "bench", "bench-hello-dynamic")
MICRO = os.path.join(BUILD, "bench", "bench-micro")
MIB = 1 << 20

# operation -> (title, goal as text, goal in kernel instructions or None)
CALLS = {
    "getpid": ("getpid", 60),
    "clock_gettime": ("clock_gettime (no call)", 0),
    "futex_wake": ("futex wake, nobody waits", 100),
    "epoll_wait_1": ("epoll_wait(0), 1 descriptor", 150),
    "epoll_wait_400": ("epoll_wait(0), 400 descriptors", 150),
    "pipe_write_read": ("pipe write 1 + read 1", 500),
    "pread_1": ("pread 1 byte, cached", 200),
    "pread_4k": ("pread 4 KiB, cached (with its copy: 512 turns of `rep movsq`)", 300 + 512),
    "pwrite_4k": ("pwrite 4 KiB (with its copy)", None),
    "open_close": ("open + close", 1200),
    "stat": ("stat", 800),
    "mmap_munmap": ("mmap + munmap 4 KiB", 1500),
    "mmap_touch_munmap": ("mmap + touch + munmap 4 KiB", None),
    "fault": ("anonymous fault (with clearing: 512 turns of `rep stosq`)", 700 + 512),
    "pthread_create_join": ("pthread create + join", 8000),
    "fork_exit_wait": ("fork + exit + wait (three descriptors)", 23100),
    "posix_spawn": ("posix_spawn of a static program + wait", 99100),
    "pipe_ping_pong": ("pipe ping-pong of two threads, round trip", 2500),
    "futex_ping_pong": ("futex ping-pong of two threads, round trip", None),
}


class Report:
    """Collects lines, shows them at once."""

    def __init__(self):
        self.lines = []

    def add(self, line=""):
        self.lines.append(line)
        print(line, flush=True)

    def table(self, head, rows):
        self.add("| " + " | ".join(head) + " |")
        self.add("| " + " | ".join("---" for _ in head) + " |")
        for row in rows:
            self.add("| " + " | ".join(str(cell) for cell in row) + " |")
        self.add()


def amount(value):
    if value is None:
        return "–"
    return f"{value / 1e6:,.2f} M" if value >= 1e6 else f"{value:,.0f}"


def ratio(ours, theirs):
    return f"{theirs / ours:,.1f}×" if ours and theirs else "–"


def figure(ended, name):
    """(early, kernel, user) at a point, or None."""
    for point, *counts in ended.figures:
        if point == name:
            return counts
    return None


def bench_boot(report, machines):
    """Instructions from the kernel's entry to the program's first, and to the end of the machine."""
    head = ["guest instructions, static hello", *(m.name for m in machines), "goal"]
    rows = [["kernel entry to the program's first instruction"], ["… to the program's last line"],
            ["… to the end of the machine"], ["of these in the program"],
            ["different kernel instructions translated"]]
    goals = ["400,000", "", "600,000", "", ""]
    for machine in machines:
        ended = machine.run(HELLO, plugin=True)
        entry = sum(figure(ended, "entry") or [0])
        for row, name in zip(rows, ("program", "mark-1", "end")):
            counts = figure(ended, name)
            row.append(amount(sum(counts) - entry) if counts else "–")
        end, first = figure(ended, "end"), figure(ended, "program")
        rows[3].append(amount(end[2] - first[2]) if end and first else "–")
        distinct = figure(ended, "distinct")
        rows[4].append(amount(distinct[0] + distinct[1]) if distinct else "–")
    report.table(head, [row + [goal] for row, goal in zip(rows, goals)])


def call_counts(ended):
    """operation -> (kernel, user) instructions a round, the loop taken off, best of its measures."""
    ops = re.findall(r"^op (\S+) (\d+)", ended.out, re.M)
    marks = [f for f in ended.figures if f[0] in ("mark-1", "mark-2")]
    best = {}
    for (name, rounds), start, stop in zip(ops, marks[0::2], marks[1::2]):
        kernel, user = ((stop[i] - start[i]) / int(rounds) for i in (2, 3))
        if name not in best or kernel < best[name][0]:
            best[name] = (kernel, user)
    loop = best.pop("loop", (0, 0))
    return {name: (max(k - loop[0], 0), max(u - loop[1], 0)) for name, (k, u) in best.items()}


def bench_calls(report, machines):
    counts = [call_counts(machine.run(MICRO, plugin=True, first=b"op", timeout=120))
              for machine in machines]
    rows = []
    for name, (title, goal) in CALLS.items():
        cells = [c.get(name, (None, None))[0] for c in counts]
        user = counts[0].get(name, (None, None))[1]
        rows.append([title, *(amount(c) for c in cells), amount(user),
                     "–" if goal is None else f"{goal:,}", ratio(cells[0], cells[1] if len(cells) > 1 else None)])
    report.table(["kernel instructions an operation", *(m.name for m in machines),
                  f"user half, {machines[0].name}", "goal",
                  "ratio to " + machines[1].name if len(machines) > 1 else "ratio"], rows)


def bench_start(report, machines, rounds=10):
    """QEMU's start to the first output, the machines in turn so that noise strikes all alike."""
    floor = Floor()
    times = {m.name: [] for m in [floor, *machines]}
    for _ in range(rounds):
        for machine in [floor, *machines]:
            ended = machine.run(HELLO)
            if ended.first_output:
                times[machine.name].append(ended.first_output * 1000)
    rows = []
    base = statistics.median(times["floor"]) if times["floor"] else 0
    for name, values in times.items():
        if values:
            median = statistics.median(values)
            rows.append([name, f"{min(values):.0f}", f"{median:.0f}", f"{median - base:+.0f}"])
        else:
            rows.append([name, "–", "–", "–"])
    report.table([f"start of QEMU to first output, ms ({rounds} runs in turn)", "least", "median",
                  "above the floor (goal: ours at most +15)"], rows)


def works(machine, program, memory, want, args=()):
    try:
        return want in machine.run(program, memory=memory, first=want, timeout=20, args=args).out.encode()
    except (OSError, subprocess.SubprocessError):
        return False


def least_memory(machine, program, want, most, args=()):
    """By bisection, in MiB; None when even the most is too little."""
    if not works(machine, program, most, want, args):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        if works(machine, program, middle, want, args):
            high = middle
        else:
            low = middle
    return high


def holes_above(machine, program, want, least, most):
    """Sizes above the least that fail: success must be monotone in memory."""
    sizes = [*range(least, min(least + 24, most)), *range(least + 24, most, 8), 128, 256, 512, 1024, 3072]
    return [size for size in sizes if size >= least and not works(machine, program, size, want)]


def bench_memory(report, machines):
    programs = [("static hello", HELLO, b"Hello", (), "4"), ("dynamic hello", HELLO_DYNAMIC, b"Hello", (), "6"),
                ("python3 -c 'print(6*7)'", "/usr/bin/python3", b"42", ("-c", "print(6*7)"), "24")]
    rows = []
    for title, program, want, args, goal in programs:
        cells = []
        for machine in machines:
            if args and machine is not machines[0]:
                cells.append("–")
                continue
            cells.append(least_memory(machine, program, want, 256, args))
        rows.append([title, *("–" if c is None else c for c in cells), goal])
    report.table(["least memory that works, MiB", *(m.name for m in machines), "goal"], rows)
    least = rows[0][1]
    if isinstance(least, int):
        holes = holes_above(machines[0], HELLO, b"Hello", least, 128)
        report.add("Every size from the least up works." if not holes
                   else f"Sizes above the least that fail: {holes} MiB.")
        report.add()


def stripped_size(path):
    copy = os.path.join(OUT, "stripped")
    done = subprocess.run(["strip", "-o", copy, path], capture_output=True, check=False)
    return os.path.getsize(copy if done.returncode == 0 else path)


def bench_size(report, machines):
    rows = [["kernel file, stripped", *(f"{stripped_size(m.kernel):,}" for m in machines),
             f"{350 * 1024:,}"]]
    for title, program in (("image of a static hello", HELLO), ("image of a dynamic hello", HELLO_DYNAMIC)):
        rows.append([title, *(f"{m.image_size(program):,}" for m in machines), ""])
    report.table(["bytes", *(m.name for m in machines), "goal"], rows)


def main():
    os.makedirs(OUT, exist_ok=True)
    parts = {"boot": bench_boot, "calls": bench_calls, "start": bench_start, "memory": bench_memory,
             "size": bench_size, "process": bench_process, "net": bench_net, "net-process": bench_net_process, "net-cpus": bench_net_cpus,
             "first-reply": bench_first_reply, "iperf": bench_iperf,
             "ready": bench_ready, "smp": bench_smp, "scale": bench_scale, "storage": bench_storage, "instances": bench_instances}
    chosen = sys.argv[1:] or list(parts)
    unknown = [word for word in chosen if word not in parts]
    if unknown:
        sys.exit(f"usage: bench/run.sh [{'] ['.join(parts)}]; unknown: {' '.join(unknown)}")
    machines = [Ingot(), *linux_guests()]
    report = Report()
    version = subprocess.run([machines[0].qemu, "--version"], capture_output=True, text=True, check=False)
    report.add(f"{version.stdout.splitlines()[0]}, TCG, microvm, one virtual CPU, `-cpu max,-erms,-fsrm`.")
    report.add("An iteration of a `rep` instruction counts as one.")
    report.add()
    for name in chosen:
        parts[name](report, machines)
    with open(os.path.join(BUILD, "bench.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(report.lines) + "\n")


if __name__ == "__main__":
    main()
