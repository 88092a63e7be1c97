#!/usr/bin/env python3
"""The kernel's functions by instructions a request: one load on a server behind a tap, or one of the
operations of bench/guest/micro.c.

    bench/profile.py                      lists the loads
    bench/profile.py fork_exit_wait       an operation
    bench/profile.py "redis GET, -P 1"    functions, most expensive first; -n N: so many lines
    bench/profile.py -a FUNCTION LOAD     that function's instructions, how often each ran a request
    bench/profile.py "storage NAME"       an operation of bench/guest/storage.c instead
"""
import argparse
import bisect
import os
import re
import subprocess
import sys

import guests
import net
import storage

IMAGE_ALIGN = 1 << 21  # kernel/plat/pc/boot.c: the image begins at a multiple and is smaller


def symbols(kernel):
    """(addresses, names) of the functions, sorted."""
    listing = subprocess.run(["nm", "-n", kernel], capture_output=True, text=True, check=True).stdout
    found, base = [], None
    for line in listing.splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "kernel_start":
            base = int(words[0], 16)
        if len(words) == 3 and words[1] in "tT":
            found.append((int(words[0], 16), words[2]))
    return base, [a for a, _ in found], [n for _, n in found]


def read_profile(text):
    return {int(a, 16) % IMAGE_ALIGN: int(n) for a, n in (line.split() for line in text.splitlines())}


def collect(space, machine, server, load):
    """kernel address, from the image's start -> executions a request"""
    with net.guest(space, machine, server, ",profile=on") as (_, counters):
        space.run(*load.command(load.requests // 4), timeout=300)
        counters.read()
        profiles = [read_profile(counters.last_profile())]
        for count in (load.requests, 2 * load.requests):
            space.run(*load.command(count), timeout=300)
            counters.read()
            profiles.append(read_profile(counters.last_profile()))
    first, middle, last = profiles
    return {a: (n - 2 * middle.get(a, 0) + first.get(a, 0)) / load.requests for a, n in last.items()}


def of_last_measure(ended, name):
    """A round of an operation, between the marks of its last measure."""
    rounds = re.findall(rf"^op {name} (\d+)", ended.out, re.M)
    if not rounds:
        return None
    start, stop = (read_profile(ended.profiles[mark]) for mark in ("mark-1", "mark-2"))
    return {a: (n - start.get(a, 0)) / int(rounds[-1]) for a, n in stop.items()}


def collect_operation(machine, name):
    """The same of an operation, of bench/guest/storage.c where it says so."""
    if not name.startswith("storage "):
        program = os.path.join(guests.BUILD, "bench", "bench-micro")
        return of_last_measure(machine.run(program, plugin=True, first=b"op", timeout=120, args=[name], profile=True), name)
    name = name.split()[1]
    volume = storage.own_copy(storage.make_volume())
    ended = machine.run_with_volume(storage.STORAGE, volume, True, words=[name], profile=True)
    os.unlink(volume)
    return of_last_measure(ended, name)


def print_functions(counts, base, addresses, names, lines):
    per, calls = {}, {}
    for offset, count in counts.items():
        at = bisect.bisect_right(addresses, base + offset) - 1
        per[at] = per.get(at, 0) + count
        if base + offset == addresses[at]:
            calls[at] = count
    print(f"{sum(counts.values()):9.1f}  in all; instructions, calls, function")
    for at, count in sorted(per.items(), key=lambda item: -item[1])[:lines]:
        print(f"{count:9.1f} {calls.get(at, 0):7.2f}  {names[at]}")


def print_code(counts, base, addresses, names, kernel, function):
    for at, name in enumerate(names):
        if name != function:
            continue
        listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", f"--start-address={addresses[at]:#x}",
                                  f"--stop-address={addresses[at + 1]:#x}", kernel],
                                 capture_output=True, text=True, check=True).stdout
        print(f"{function}:")
        for line in listing.splitlines():
            head = line.split(":")[0].strip()
            try:
                count = counts.get(int(head, 16) - base, 0)
            except ValueError:
                continue
            print(f"{count:8.2f} {line}")


def main():
    loads = {load.title: (server, load) for server in net.SERVERS for load in server.loads}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("load", nargs="?")
    parser.add_argument("-n", type=int, default=60)
    parser.add_argument("-a", metavar="FUNCTION", action="append", default=[])
    args = parser.parse_args()
    machine = guests.Ingot()
    operation = None if args.load in loads or not args.load else collect_operation(machine, args.load)
    if args.load not in loads and not operation:
        sys.exit("\n".join(loads))
    kernel = os.path.join(guests.BUILD, "ingot-kernel")
    base, addresses, names = symbols(kernel)
    if operation:
        counts = operation
    else:
        with net.Namespace() as space:
            counts = collect(space, machine, *loads[args.load])
    print_functions(counts, base, addresses, names, args.n)
    for function in args.a:
        print_code(counts, base, addresses, names, kernel, function)


if __name__ == "__main__":
    main()
