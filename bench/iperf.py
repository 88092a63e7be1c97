"""iperf3, one stream, into a server behind a tap and out of it: guests on QEMU in turn, and a guest in a
process.  The other end is the host's, on the same two cores or so."""
import json
import shutil
import subprocess

from net import GUEST, TAP, Namespace, Server, guest, missing, vmm_time
from net_process import INGOT, running

PORT, SECONDS, ROUNDS = 5201, 2, 3
DIRECTIONS = {"into the guest": [], "out of the guest": ["-R"]}
GOAL_BITS_A_CORE = 10


def stream(space, options, name):
    """(Gbit/s, Gbit a second of the guest's processor time)"""
    before = vmm_time(space, name)
    text = space.run("iperf3", "-c", GUEST, "-t", str(SECONDS), "-J", *options, timeout=60).stdout
    took = (vmm_time(space, name) - before) / 1e6
    end = json.loads(text)["end"]["sum_received"]
    return end["bits_per_second"] / 1e9, end["bytes"] * 8e-9 / took


def keep_best(best, key, space, options, name="qemu"):
    best[key] = tuple(map(max, best.get(key, (0, 0)), stream(space, options, name)))


def wait_until_open(space):
    for _ in range(100):
        if subprocess.run(space.inside(["iperf3", "-c", GUEST, "-n", "1K"]), capture_output=True, check=False).returncode == 0:
            return
    raise RuntimeError("iperf3 does not answer")


def in_vms(space, machines, best):
    server = Server("iperf3", ["-s"], {}, None, [])
    for machine in machines:
        with guest(space, machine, server, None):
            wait_until_open(space)
            for title, options in DIRECTIONS.items():
                keep_best(best, (machine.name, title), space, options)


def in_a_process(space, best):
    space.wait_for_tap()
    command = [INGOT, "run", "-q", "--isolation", "process", "--net", f"tap:{TAP},ip={GUEST}/24", shutil.which("iperf3"), "-s"]
    with running(space.inside(command)):
        wait_until_open(space)
        for title, options in DIRECTIONS.items():
            keep_best(best, ("process", title), space, options, "ingot")


def bench_iperf(report, machines):
    if missing() or not shutil.which("iperf3"):
        report.add(f"iperf: skipped: {missing() or 'iperf3 is not installed'}.\n")
        return
    chosen = [machines[0], *(m for m in machines[1:] if m.has_network)]
    best = {}
    with Namespace() as space:
        for _ in range(ROUNDS):
            in_vms(space, chosen, best)
            in_a_process(space, best)
    rows = []
    for title in DIRECTIONS:
        rates, each = zip(*(best[m.name, title] for m in chosen))
        ratios = " · ".join(f"{rates[0] / rate:.1f}×" for rate in rates[1:])
        rows.append([title, *(f"{rate:.2f}" for rate in rates), ratios, "1.5×", *(f"{rate:.2f}" for rate in each)])
    report.table(["iperf3, one stream, Gbit/s", *(m.name for m in chosen), "ratio", "goal",
                  *(f"Gbit a second of QEMU's processor time, {m.name}" for m in chosen)], rows)
    rows = [[title, f"{best['process', title][0]:.1f}", f"{best['process', title][1]:.1f}", GOAL_BITS_A_CORE] for title in DIRECTIONS]
    report.table(["iperf3, one stream, in a process behind a tap", "Gbit/s", "Gbit a second of processor time of guest and devices",
                  "goal"], rows)
