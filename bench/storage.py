"""An ext4 volume: Ingot beside Linux guests on copies of the same disk image, with the same options of QEMU.
Instructions are counted by the plugin; times are the least of several measures and mean little on a busy machine."""
import os
import re
import shutil
import subprocess

import guests

STORAGE = os.path.join(guests.BUILD, "bench", "bench-storage")
HELLO = os.path.join(guests.BUILD, "bench", "bench-hello")
# operation -> (title, instructions of the copy, goal as text, what the goal compares)
ROWS = {
    "mount": ("mount of a clean volume of 1 GiB (ours with the disk's driver)", 0, "150,000", ""),
    "pread_1": ("pread 1 byte, cached", 0, "", ""),
    "pread_4k": ("pread 4 KiB, cached, beyond the copy", 512, "1/4", "kernel"),
    "pwrite_4k": ("pwrite 4 KiB, cached, beyond the copy", 512, "1/4", "kernel"),
    "open_close": ("open + close", 0, "", ""),
    "stat": ("stat", 0, "", ""),
    "map_fault": ("fault of a cached file's page, mapped shared, a page of 512 in order", 0, "1/3", "kernel"),
    "map_unmap": ("… with mmap and munmap", 0, "", "kernel"),
    "create_fsync": ("create + write 4 KiB + fsync + close", 0, "1.5 × a second", "time"),
    "rewrite_fsync": ("pwrite 4 KiB + fdatasync", 0, "", "time"),
    "sqlite_delete": ("sqlite insert, journal_mode=delete", 0, "1.3 × a second", "time"),
    "sqlite_wal": ("sqlite insert, journal_mode=wal", 0, "1.3 × a second", "time"),
    "read_random": ("4 KiB random read, O_DIRECT, 32 at a time", 0, "1.5 × a second", "time"),
    "read_sequential": ("128 KiB sequential read, O_DIRECT", 0, "1.1 × a second", "time"),
    "write_sequential": ("128 KiB sequential write, O_DIRECT", 0, "1.1 × a second", "time"),
    "readdir": ("readdir, an entry of 100,000", 0, "1/3", "kernel"),
    "untar": ("untar, a file of 10,000, with the sync", 0, "1/2", "kernel"),
}


FOR_A_WHILE = ["--runtime=4", "--time_based"]
# fio's jobs on the file of 64 MiB -> (title, options, fields of a terse line (version 3) whose sum is the rate, goal)
FIO = {
    "random": ("4 KiB random read, 32 threads, a second", ["--rw=randread", "--bs=4k", "--numjobs=32", *FOR_A_WHILE], (7,),
               "1.5 ×"),
    "read": ("128 KiB sequential read, KiB a second", ["--rw=read", "--bs=128k", "--io_size=3g"], (6,), "1.1 ×"),
    "write": ("128 KiB sequential write, KiB a second", ["--rw=write", "--bs=128k", "--io_size=3g"], (47,), "1.1 ×"),
}


def make_volume():
    """1 GiB with a folder of 100,000 names and a file of 64 MiB; kept for the next run."""
    path = os.path.join(guests.OUT, "volume.img")
    if os.path.exists(path):
        return path
    image = path + ".new"
    with open(image, "wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-N", "200000", "-E", "lazy_itable_init=0", image],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run([os.path.join(guests.BUILD, "ingot"), "run", "-q", "--isolation", "process", "-v", image + ":/volume",
                    STORAGE, "make", "/volume"], check=True, timeout=300)
    subprocess.run(["e2fsck", "-fn", image], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.rename(image, path)
    return path


def own_copy(volume):
    copy = os.path.join(guests.OUT, "volume-run.img")
    subprocess.run(["cp", "--sparse=always", volume, copy], check=True)
    return copy


def run_on(machine, volume, plugin):
    path = own_copy(volume)
    ended = machine.run_with_volume(STORAGE, path, plugin)
    judged = subprocess.run(["e2fsck", "-fn", path], capture_output=True, text=True, check=False)
    if "done" not in ended.out or judged.returncode:
        print(f"{machine.name}: {ended.out[-600:]}\ne2fsck: {judged.stdout[-400:]}", flush=True)
    os.unlink(path)
    return ended


def counts_of(ended):
    """operation -> kernel instructions a round, the least of its measures."""
    ops = re.findall(r"^op (\S+) (\d+)", ended.out, re.M)
    marks = [f for f in ended.figures if f[0] in ("mark-1", "mark-2")]
    best = {}
    for (name, rounds), start, stop in zip(ops, marks[0::2], marks[1::2]):
        kernel = (stop[2] - start[2] + stop[1] - start[1]) / int(rounds)
        best[name] = min(kernel, best.get(name, kernel))
    return best


def times_of(ended):
    best = {}
    for name, ns in re.findall(r"^ns (\S+) (\d+)", ended.out, re.M):
        best[name] = min(int(ns), best.get(name, int(ns)))
    return best


def our_mount(ingot, volume):
    """What a volume adds until the program's first instruction."""
    path = own_copy(volume)
    sums = [sum(next((f[1:] for f in ended.figures if f[0] == "program"), [0]))
            for ended in (ingot.run_with_volume(HELLO, path, True), ingot.run(HELLO, plugin=True))]
    os.unlink(path)
    return sums[0] - sums[1]


def amount(value, unit=""):
    if value is None:
        return "–"
    return (f"{value / 1e6:,.2f} M" if value >= 1e6 else f"{value:,.0f}") + unit


def bench_storage(report, machines, rounds=4):
    volume = make_volume()
    machines = [m for m in machines if m.has_disks]
    counts = [counts_of(run_on(m, volume, True)) for m in machines]
    counts[0]["mount"] = our_mount(machines[0], volume)
    times = [{} for _ in machines]
    for _ in range(rounds):
        for machine, best in zip(machines, times):
            for name, ns in times_of(run_on(machine, volume, False)).items():
                best[name] = min(ns, best.get(name, ns))
    rows = []
    for name, (title, copy, goal, kind) in ROWS.items():
        kernel = [c[name] - copy if name in c else None for c in counts]
        spent = [t.get(name) for t in times]
        ratio = ""
        pair = spent if kind == "time" else kernel
        if kind and len(pair) > 1 and pair[0] and pair[1]:
            ratio = f"{pair[1] / pair[0]:,.2f} ×"
        rows.append([title, *(amount(k) for k in kernel), *(amount(t / 1000 if t else None, " µs") for t in spent), goal,
                     ratio])
    report.table(["ext4 on virtio-blk", *(f"{m.name}, kernel instructions" for m in machines),
                  *(f"{m.name}, time" for m in machines), "goal", f"{machines[0].name} against {machines[1].name}" if len(machines) > 1 else "ratio"],
                 rows)
    if shutil.which("fio"):
        bench_fio(report, machines, volume, rounds)


def fio_rate(machine, volume, options, fields):
    """What fio itself says, unmodified, its jobs as threads; None where it says nothing."""
    path = own_copy(volume)
    ended = machine.run_tool(os.path.realpath(shutil.which("fio")), [
        "--name=x", "--filename=/volume/large", "--size=64m", "--thread", "--ioengine=psync", "--direct=1",
        "--group_reporting", "--minimal", *options], path)
    os.unlink(path)
    terse = re.search(r"^3;fio-.*$", ended.out, re.M)
    return sum(float(terse[0].split(";")[field]) for field in fields) if terse else None


def bench_fio(report, machines, volume, rounds):
    rows = []
    for title, options, fields, goal in FIO.values():
        best = [0] * len(machines)
        for _ in range(rounds):
            for i, machine in enumerate(machines):
                best[i] = max(best[i], fio_rate(machine, volume, options, fields) or 0)
        ratio = f"{best[0] / best[1]:,.2f} ×" if len(best) > 1 and best[1] else ""
        rows.append([title, *(amount(rate) for rate in best), goal, ratio])
    report.table(["fio, psync, O_DIRECT; most of the rounds", *(m.name for m in machines), "goal",
                  f"{machines[0].name} against {machines[1].name}" if len(machines) > 1 else "ratio"], rows)
