"""Two CPUs: what the second one costs at the start, and what it brings.  Times are the least of several tries
of programs that keep both CPUs busy; they mean something only on a machine that has two to spare."""
import os
import re
import subprocess

import guests

SMP = os.path.join(guests.BUILD, "bench", "bench-smp")
HELLO = os.path.join(guests.BUILD, "bench", "bench-hello")
ROWS = {
    "compute_1": "a loop's turn, one thread", "compute_2": "a loop's turn, two threads on two CPUs",
    "fault_1": "anonymous fault, one thread", "fault_2": "anonymous fault, two threads on two CPUs",
    "ping_pong_one": "futex ping-pong on one CPU, round trip",
    "ping_pong_across": "futex ping-pong across two CPUs, round trip",
    "mutex_storm": "pthread mutex, lock + unlock, 4 threads that fight on 2 CPUs",
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


def bench_smp(report, machines):
    columns = []
    for machine in machines:
        ended = machine.run(SMP, memory=128, first=b"compute", timeout=120, cpus=2)
        columns.append(dict(re.findall(r"^(\w+) (\d+)\r?$", ended.out, re.M)))
    report.add(f"The second CPU executes {second_cpu(machines[0]):,} instructions before it first waits for work "
               "(goal 100,000), beside the first one's start.")
    report.add()
    rows = [[title, *(column.get(name, "–") for column in columns)] for name, title in ROWS.items()]
    report.table(["ns on a machine of two CPUs", *(m.name for m in machines)], rows)
