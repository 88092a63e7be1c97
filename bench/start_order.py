#!/usr/bin/env python3
"""Write kernel/plat/pc/start_order.lds: the functions of the kernel that a small program's start and end run, in
the order of their first turn, so that they lie side by side; and start_data.lds: the small variables that they have
written to, and the smallest of all, since locks are zero again, for the same reason.  A name that is gone does no
harm; make both anew now and then.

    ninja -C build bench-programs && bench/start_order.py"""
import bisect
import os
import re
import subprocess
import tempfile

import process

STEPS = os.path.join(process.BUILD, "bench", "bench-steps")
KERNEL = os.path.join(process.BUILD, "ingot-kernel")
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "kernel", "plat", "pc")
LINK_BASE = 0x100000
LARGE = 1024  # bytes; what is larger has its place in kernel.lds
SMALLEST = 64


def functions():
    """(offset, length, name), sorted."""
    text = subprocess.run(["nm", "-S", "--defined-only", KERNEL], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in text.splitlines()]
    return sorted((int(row[0], 16) - LINK_BASE, int(row[1], 16), row[3]) for row in rows if len(row) == 4 and row[2] in "tT")


def variables(folder):
    """(offset, length, pattern of the linker) of those without a first value, sorted: many have one name, so the file counts as well."""
    linked, found = os.path.join(folder, "kernel"), os.path.join(folder, "map")
    commands = subprocess.run(["ninja", "-C", process.BUILD, "-t", "commands", "ingot-kernel"], check=True, capture_output=True, text=True).stdout
    link = commands.splitlines()[-1].replace(" -o ingot-kernel ", f" -o {linked} -Wl,-Map={found} ")
    subprocess.run(link, shell=True, check=True, cwd=process.BUILD)
    with open(found, encoding="ascii") as file:
        rows = re.findall(r"^ (\.bss\.\S+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) \S*/(\S+\.o)$", file.read(), re.M)
    return sorted((int(at, 16) - LINK_BASE, int(size, 16), f"*{name}({section})") for section, at, size, name in rows if int(size, 16))


def wrap_tender(folder):
    """Beside a kernel file, a tender that tells its steps: so the guest is that of a whole command, its network ready to be used."""
    os.symlink(KERNEL, os.path.join(folder, "ingot-kernel"))
    tender, told = os.path.join(folder, "ingot-tender"), os.path.join(folder, "steps")
    with open(tender, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\nexec '{STEPS}' '{process.BUILD}/ingot-tender' \"$@\" 2>'{told}'\n")
    os.chmod(tender, 0o755)
    os.symlink(os.path.join(process.BUILD, "ingot-device"), os.path.join(folder, "ingot-device"))
    return told


def steps(env, target):
    """Offsets of what ran, in that order, and of words that were written to."""
    with tempfile.TemporaryDirectory() as folder:
        told = wrap_tender(folder)
        subprocess.run(["setarch", "-R", process.INGOT, "run", "--isolation", "process", "--kernel", os.path.join(folder, "ingot-kernel"), target],
                       check=True, env=env, stdout=subprocess.DEVNULL)
        with open(told, encoding="ascii") as file:
            lines = file.read().split()
    return [int(line, 16) for line in lines if line[0] != "="], [int(line[1:], 16) for line in lines if line[0] == "="]


def add_names(order, known, offsets, size):
    """To @order those of @known that have a byte of the @size from one of @offsets on."""
    starts = [row[0] for row in known]
    for offset in offsets:
        row = known[max(bisect.bisect(starts, offset + size - 1) - 1, 0)]
        if offset < row[0] + row[1] and row[2] not in order:
            order.append(row[2])


def write(name, what, patterns):
    with open(os.path.join(OUT, name), "w", encoding="ascii") as file:
        file.write(f"/* {what}: made by bench/start_order.py. */\n")
        file.writelines(f"{pattern}\n" for pattern in patterns)


def main():
    ran, written = [], []
    with tempfile.TemporaryDirectory() as store:
        env = {**os.environ, "INGOT_HOME": store}
        code, data = functions(), variables(store)
        for program in (process.HELLO, process.HELLO + "-dynamic"):
            subprocess.run([process.INGOT, "build", "-q", "-t", "start:1", program], check=True, env=env, stdout=subprocess.DEVNULL)
            what_ran, what_written = steps(env, "start:1")
            add_names(ran, code, what_ran, 1)
            add_names(written, data, what_written, 8)
    small = {row[2] for row in data if row[1] <= LARGE}
    written += [row[2] for row in data if row[1] <= SMALLEST and row[2] not in written]
    write("start_order.lds", "What a small program's start and end run, in that order", [f"*(.text.{name})" for name in ran])
    write("start_data.lds", "Small variables that a small program's start and end write to, and the smallest", [name for name in written if name in small])


main()
