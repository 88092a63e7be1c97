#!/usr/bin/env python3
"""Check every #include against the arrows in docs/architecture.md.

A room may include itself, lib, include and the rooms its arrow names; tests, bench, tools and
examples may include anything and are not looked at.  Prints each include that breaks a rule."""
import os
import re
import sys

ALWAYS = {"lib", "include"}
LOOKED_AT = ("lib", "include", "kernel", "host")
EXTENSIONS = (".c", ".h", ".S", ".def")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def read_arrows(path):
    """Room -> set of rooms it may include."""
    with open(path, encoding="utf-8") as doc:
        block = re.search(r"```arrows\n(.*?)```", doc.read(), re.S)
    if not block:
        sys.exit(f"{path}: no ```arrows block")
    arrows = {}
    for line in block.group(1).splitlines():
        if line.strip():
            room, _, targets = line.partition("->")
            arrows[room.strip()] = set(targets.split())
    unknown = {target for targets in arrows.values() for target in targets} - set(arrows)
    if unknown:
        sys.exit(f"{path}: arrows to undeclared rooms: {', '.join(sorted(unknown))}")
    return arrows


def find_cycle(arrows):
    """A list of rooms that lead back to the first, or None."""
    done = set()

    def walk(room, trail):
        if room in trail:
            return trail[trail.index(room):] + [room]
        if room in done:
            return None
        for target in arrows[room]:
            cycle = walk(target, trail + [room])
            if cycle:
                return cycle
        done.add(room)
        return None

    for room in arrows:
        cycle = walk(room, [])
        if cycle:
            return cycle
    return None


def room_of(path, arrows):
    """The longest declared room that holds `path`, or None."""
    parts = path.split("/")
    for length in range(len(parts) - 1, 0, -1):
        room = "/".join(parts[:length])
        if room in arrows:
            return room
    return None


def resolve(root, source, name):
    """The file an include names, relative to the root, as the build would find it; or None."""
    side = source.split("/")[0]
    for folder in (os.path.dirname(source), side, "kernel/arch/x86_64/include", "include", ""):
        path = os.path.normpath(os.path.join(folder, name))
        if os.path.isfile(os.path.join(root, path)):
            return path
    return None


def sources(root):
    for top in LOOKED_AT:
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if name.endswith(EXTENSIONS):
                    yield os.path.relpath(os.path.join(folder, name), root)


def check_file(root, source, arrows):
    """The complaints about one file."""
    room = room_of(source, arrows)
    if room is None:
        # Start-up glue such as kernel/main.c would need a room: everything has one.
        return [f"{source}: in no room of docs/architecture.md"]
    complaints = []
    with open(os.path.join(root, source), encoding="utf-8") as text:
        for number, line in enumerate(text, 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = resolve(root, source, match.group(1))
            if target is None:
                continue  # made by the build, or the compiler will say so
            other = room_of(target, arrows)
            if other not in arrows[room] | ALWAYS | {room}:
                complaints.append(f"{source}:{number}: {room} may not include {target}")
    return complaints


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    arrows = read_arrows(os.path.join(root, "docs/architecture.md"))
    complaints = [c for source in sources(root) for c in check_file(root, source, arrows)]
    print("\n".join(complaints), end="\n" if complaints else "")
    if complaints:
        sys.exit(1)
    cycle = find_cycle({room: targets - {"lib"} for room, targets in arrows.items()})
    if cycle and set(cycle) != {"kernel/plat", "kernel/core"}:  # the one pair that is mutual
        sys.exit(f"docs/architecture.md: the arrows go round: {' -> '.join(cycle)}")


if __name__ == "__main__":
    main()
