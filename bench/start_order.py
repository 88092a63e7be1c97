#!/usr/bin/env python3
"""Write kernel/plat/pc/start_order.lds: the functions of the kernel that a small program's start and end run, in
the order of their first turn, so that they lie side by side; and start_data.lds: the small variables that they have
written to, and the smallest of all, since locks are zero again, for the same reason.  And host/start_order.lds: what
`ingot run` of it runs itself, its C library's functions too.  A name that is gone does no harm; make all anew now and
then.

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
HOST_OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "host", "start_order.lds")
FIXED_KERNEL = 0x700000000000  # HOSTED_DEBUGGED_KERNEL
LINK_BASE = 0x100000
HOST_BASE = 0x400000
LARGE = 1024  # bytes; what is larger has its place in kernel.lds
SMALLEST = 64


def functions():
    """(offset, length, name), sorted."""
    text = subprocess.run(["nm", "-S", "--defined-only", KERNEL], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in text.splitlines()]
    return sorted((int(row[0], 16) - LINK_BASE, int(row[1], 16), row[3]) for row in rows if len(row) == 4 and row[2] in "tT")


def linked_sections(folder, target, pattern):
    """(address, length, section, file) of what the linker put into a program of the build, as its map says, by @pattern of the section's name."""
    linked, found = os.path.join(folder, "linked"), os.path.join(folder, "map")
    commands = subprocess.run(["ninja", "-C", process.BUILD, "-t", "commands", target], check=True, capture_output=True, text=True).stdout
    link = commands.splitlines()[-1].replace(f" -o {target} ", f" -o {linked} -Wl,-Map={found} ")
    subprocess.run(link, shell=True, check=True, cwd=process.BUILD)
    with open(found, encoding="ascii") as file:
        rows = re.findall(rf"^ ({pattern})\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S+)$", file.read(), re.M)
    return sorted((int(at, 16), int(size, 16), section, name) for section, at, size, name in rows if int(size, 16))


def variables(folder):
    """(offset, length, pattern of the linker) of those without a first value, sorted: many have one name, so the file counts as well."""
    return [(at - LINK_BASE, size, f"*{os.path.basename(name)}({section})")
            for at, size, section, name in linked_sections(folder, "ingot-kernel", r"\.bss\.\S+")]


def host_pieces(folder, pattern):
    """(offset, length, pattern of the linker) of what `ingot` consists of: functions of ours, whole files of libraries."""
    rows = []
    for at, size, section, name in linked_sections(folder, "ingot-linked", pattern):
        member = re.fullmatch(r"(?:.*/)?([^/]+\.a)\((.*)\)", name)
        file = f"*{member.group(1)}:{member.group(2)}" if member else "*" + os.path.basename(name)
        rows.append((at - HOST_BASE, size, f"{file}({section})"))
    return rows


def wrap_tender(folder):
    """Beside a kernel file, a tender that tells its steps: so the guest is that of a whole command, its network ready to be used."""
    os.symlink(KERNEL, os.path.join(folder, "ingot-kernel"))
    tender, told = os.path.join(folder, "ingot-tender"), os.path.join(folder, "steps")
    with open(tender, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\nexec '{STEPS}' {FIXED_KERNEL:x} '{process.BUILD}/ingot-tender' \"$@\" 2>'{told}'\n")
    os.chmod(tender, 0o755)
    os.symlink(os.path.join(process.BUILD, "ingot-device"), os.path.join(folder, "ingot-device"))
    return told


def read_steps(path):
    """Offsets of what ran, in that order, and of words that were written to."""
    with open(path, encoding="ascii") as file:
        lines = file.read().split()
    return [int(line, 16) for line in lines if line[0] != "="], [int(line[1:], 16) for line in lines if line[0] == "="]


def steps(env, target):
    """Of the kernel."""
    with tempfile.TemporaryDirectory() as folder:
        told = wrap_tender(folder)
        subprocess.run(["setarch", "-R", process.INGOT, "run", "--isolation", "process", "--kernel", os.path.join(folder, "ingot-kernel"), target],
                       check=True, env=env, stdout=subprocess.DEVNULL)
        return read_steps(told)


def host_steps(env, target):
    """Of the command, when it has run this target once."""
    command = [process.INGOT, "run", "-q", "--isolation", "process", target]
    with tempfile.TemporaryDirectory() as folder:
        told = os.path.join(folder, "steps")
        subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
        with open(told, "w", encoding="ascii") as file:
            subprocess.run([STEPS, f"{HOST_BASE:x}", *command], check=True, env=env, stdout=subprocess.DEVNULL, stderr=file)
        return read_steps(told)


def add_names(order, known, offsets, size):
    """To @order those of @known that have a byte of the @size from one of @offsets on."""
    starts = [row[0] for row in known]
    for offset in offsets:
        row = known[max(bisect.bisect(starts, offset + size - 1) - 1, 0)]
        if offset < row[0] + row[1] and row[2] not in order:
            order.append(row[2])


def write(path, what, patterns):
    with open(path, "w", encoding="ascii") as file:
        file.write(f"/* {what}: made by bench/start_order.py. */\n")
        file.writelines(f"{pattern}\n" for pattern in patterns)


def write_host(env, folder):
    what_ran, what_written = host_steps(env, "start:1")
    ran, written = [], []
    add_names(ran, host_pieces(folder, r"\.text\S*"), what_ran, 1)
    add_names(written, [row for row in host_pieces(folder, r"\.bss\S*|COMMON") if row[1] <= LARGE], what_written, 8)
    constants = dict.fromkeys(pattern[:pattern.index("(")] + "(.rodata .rodata.*)" for pattern in ran)
    write(HOST_OUT, "What `ingot run` of a small program runs itself, in that order, with constants of the same files, and variables that it has written to",
          ["SECTIONS {", ".text.start : {", *ran, "}", "cpuid_room : { *(cpuid_room) }", ".rodata.start : {", *constants, "}", "} INSERT BEFORE .text;",
           "SECTIONS {", ".bss.start (NOLOAD) : {", *written, "}", "} INSERT BEFORE .bss;"])


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
        write_host(env, store)
    small = {row[2] for row in data if row[1] <= LARGE}
    written += [row[2] for row in data if row[1] <= SMALLEST and row[2] not in written]
    write(os.path.join(OUT, "start_order.lds"), "What a small program's start and end run, in that order", [f"*(.text.{name})" for name in ran])
    write(os.path.join(OUT, "start_data.lds"), "Small variables that a small program's start and end write to, and the smallest", [name for name in written if name in small])


if __name__ == "__main__":
    main()
