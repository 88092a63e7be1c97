#!/usr/bin/env python3
"""Write kernel/plat/pc/start_order.lds: the functions of the kernel that a small program's start and end run, in
the order of their first turn, so that they lie side by side.  A name that is gone does no harm; make it anew now
and then.

    ninja -C build bench-programs && bench/start_order.py"""
import bisect
import os
import subprocess
import tempfile

import process

STEPS = os.path.join(process.BUILD, "bench", "bench-steps")
KERNEL = os.path.join(process.BUILD, "ingot-kernel")
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "kernel", "plat", "pc", "start_order.lds")
LINK_BASE = 0x100000


def functions():
    """(offset, length, name), sorted."""
    text = subprocess.run(["nm", "-S", "--defined-only", KERNEL], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in text.splitlines()]
    return sorted((int(row[0], 16) - LINK_BASE, int(row[1], 16), row[3]) for row in rows if len(row) == 4 and row[2] in "tT")


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
    with tempfile.TemporaryDirectory() as folder:
        told = wrap_tender(folder)
        subprocess.run(["setarch", "-R", process.INGOT, "run", "--isolation", "process", "--kernel", os.path.join(folder, "ingot-kernel"), target],
                       check=True, env=env, stdout=subprocess.DEVNULL)
        with open(told, encoding="ascii") as file:
            return [int(line, 16) for line in file]


def main():
    known, order = functions(), []
    starts = [row[0] for row in known]
    with tempfile.TemporaryDirectory() as store:
        env = {**os.environ, "INGOT_HOME": store}
        for program in (process.HELLO, process.HELLO + "-dynamic"):
            subprocess.run([process.INGOT, "build", "-q", "-t", "start:1", program], check=True, env=env, stdout=subprocess.DEVNULL)
            for offset in steps(env, "start:1"):
                row = known[max(bisect.bisect(starts, offset) - 1, 0)]
                if row[0] <= offset < row[0] + row[1] and row[2] not in order:
                    order.append(row[2])
    with open(OUT, "w", encoding="ascii") as file:
        file.write("/* What a small program's start and end run, in that order: made by bench/start_order.py. */\n")
        file.writelines(f"*(.text.{name})\n" for name in order)


main()
