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


def steps(env, target):
    process.INGOT = os.path.join(process.BUILD, "ingot")
    command, files = process.tender_command(env, target)
    files[4] = KERNEL  # not the copy, which has a place of its own
    redirections = " ".join(f"{fd}<'{path}'" for fd, path in files.items())
    text = subprocess.run(["sh", "-c", f'exec "$@" 3>/dev/null {redirections}', "sh", STEPS, *command],
                          check=True, capture_output=True, text=True).stderr
    return [int(line, 16) for line in text.split()]


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
