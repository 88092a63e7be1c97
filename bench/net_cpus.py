"""memcached with one thread on one CPU and with two on two, in a process and natively: requests a second, what a request
costs of the processor, and how the work lies on the guest's CPUs, the first of which takes the devices' interrupts."""
import os
import shutil
import time

from net import GUEST, LOAD, TAP, Namespace, missing
from net_process import INGOT, NATIVE, bridge, running

PORT, CLIENTS, REQUESTS, ROUNDS = 11211, 50, 30000, 4
SET, GET = "set k 0 0 3\r\nabc\r\n", "get k\r\n"


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def name(pid):
    with open(f"/proc/{pid}/comm", encoding="ascii") as file:
        return file.read().strip()


def threads(pid):
    """Nanoseconds on a processor of each thread, in the order of their making."""
    folder = f"/proc/{pid}/task"
    times = []
    for task in sorted(os.listdir(folder), key=int):
        with open(f"{folder}/{task}/schedstat", encoding="ascii") as file:
            times.append(int(file.read().split()[0]))
    return times


def spent(pid):
    """The guest's threads or the server's own, and everything else that serves (the device process)."""
    guests = [child for child in children(pid) if name(child) == "ingot-tender"]
    devices = [child for child in children(pid) if name(child) == "ingot-device"]
    return threads(guests[0]) if guests else threads(pid), sum(sum(threads(child)) for child in devices)


def ask(space, address, child):
    """(requests a second, ns of each thread, ns of the devices), a request each."""
    before = spent(child.pid)
    text = space.run(LOAD, address, str(PORT), str(CLIENTS), str(REQUESTS), GET, timeout=120).stdout
    after = spent(child.pid)
    shares = [(b - a) / REQUESTS for a, b in zip(before[0], after[0])]
    return REQUESTS / float(text.split()[0]), shares, (after[1] - before[1]) / REQUESTS


def servers(space, inner):
    """(title, command, address) of each way to run it; they have different ports of one network, so one at a time."""
    program = shutil.which("memcached")
    for count in (1, 2):
        args = ["-u", "root", "-t", str(count)]
        yield (f"in a process, {count} CPU{'s' * (count > 1)}, -t {count}", GUEST,
               space.inside([INGOT, "run", "-q", "--isolation", "process", "--cpus", str(count), "--net", f"tap:{TAP},ip={GUEST}/24", program, *args]))
        yield f"native, -t {count}", NATIVE, ["ip", "netns", "exec", inner, program, *args]


def measure(space, address, command):
    with running(command) as child:
        space.run(LOAD, address, str(PORT), "1", "1", SET, timeout=30)
        results = [ask(space, address, child) for _ in range(ROUNDS)]
    return max(results, key=lambda result: result[0])


def bench_net_cpus(report, _machines):
    if missing() or not shutil.which("memcached"):
        report.add(f"memcached on two CPUs: skipped: {missing() or 'no memcached'}.\n")
        return
    rows = []
    with Namespace() as space, bridge(space) as inner:
        for title, address, command in servers(space, inner):
            rate, shares, devices = measure(space, address, command)
            busy = [share for share in shares if share > 100]
            rows.append([title, f"{rate:,.0f}", f"{sum(shares) / 1e3:.1f}", f"{devices / 1e3:.1f}" if devices else "",
                         " · ".join(f"{share / sum(shares):.0%}" for share in busy)])
            time.sleep(0.5)  # the tap is free again
    report.table([f"memcached get, {CLIENTS} clients, the best of {ROUNDS}", "requests/s", "µs of processor a request", "of the device process", "by thread (a guest's: by CPU)"], rows)
