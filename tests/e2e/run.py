#!/usr/bin/env python3
"""End to end: real programs both ways, the commands as a user types them, and everything that can go
wrong.

    tests/e2e/run.sh [--long] [NAME...]     only those whose name contains a word"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BUILD, INGOT, Skip, Suite, arguments, need, need_ingot, run  # noqa: E402

import bad_input  # noqa: E402
import bombs  # noqa: E402
import clients  # noqa: E402
import commands  # noqa: E402
import containers  # noqa: E402
import cpus  # noqa: E402
import crashes  # noqa: E402
import cuts  # noqa: E402
import debug_kernel  # noqa: E402
import devices  # noqa: E402
import disks  # noqa: E402
import domains  # noqa: E402
import drawings  # noqa: E402
import exports  # noqa: E402
import hosted  # noqa: E402
import impair  # noqa: E402
import instances  # noqa: E402
import machines  # noqa: E402
import netconf  # noqa: E402
import metrics  # noqa: E402
import migrations  # noqa: E402
import networds  # noqa: E402
import packages  # noqa: E402
import patches  # noqa: E402
import rollouts  # noqa: E402
import servers  # noqa: E402
import snapshots  # noqa: E402
import storms  # noqa: E402
import syslogs  # noqa: E402
import targets  # noqa: E402
import tools  # noqa: E402
import unwinding  # noqa: E402
import volumes  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(HERE, "programs")
OUT = os.path.join(BUILD, "tests", "e2e")


def build_programs():
    os.makedirs(OUT, exist_ok=True)
    for name in ("filter", "greet", "target", "impair"):
        source, target = os.path.join(SOURCES, name + ".c"), os.path.join(OUT, name + "-static")
        subprocess.run(["gcc", "-static", "-O1", source, "-o", target], check=True)
    if shutil.which("rustc"):
        subprocess.run(["rustc", "-O", "-o", os.path.join(OUT, "rust-program"),
                        os.path.join(SOURCES, "program.rs")], check=True)


def fill(text, tmp, files):
    text = text.replace("{tmp}", tmp).replace("{here}", SOURCES).replace("{out}", OUT)
    for i, name in enumerate(files):
        text = text.replace("{file%d}" % i, name)
    return text


made, making = set(), threading.Lock()  # commands that have run


def make_program(entry):
    """What the entry's `build` makes, once."""
    if "build" not in entry:
        return
    words = tuple(fill(word, "", ()) for word in entry["build"])
    if not os.path.exists(words[0]):
        raise Skip(f"{words[0]} is not installed ({entry['package']})")
    with making:
        if words in made:
            return
        for at, word in enumerate(words):
            if word in ("-d", "-o"):
                os.makedirs(words[at + 1] if word == "-d" else os.path.dirname(words[at + 1]), exist_ok=True)
        subprocess.run(words, check=True, timeout=300)
        made.add(words)


def program_test(entry, isolation):
    """Run one table entry natively and in a guest, and compare."""
    need_ingot()
    pairs = [fill(pair, "", ()).split(":") for pair in entry.get("files", [])]
    stdin = entry.get("stdin", "").encode()
    if "stdin_of" in entry:
        stdin = subprocess.run(entry["stdin_of"], capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as tmp:
        native = [fill(word, tmp, [host for host, _ in pairs]) for word in entry["command"]]
        guest = [fill(word, "/tmp", [name for _, name in pairs]) for word in entry["command"]]
        make_program(entry)
        program = entry.get("needs", native[0])
        if not os.path.exists(program):
            raise Skip(f"{program} is not installed" + (f" ({entry['package']})" if "package" in entry else ""))
        env = {name: fill(value, tmp, ()) for name, value in entry.get("env", {}).items()}
        want = run(native, stdin=stdin, env=env, timeout=120, cwd="/")
    options = ["-m", entry.get("memory", "64M"), *entry.get("options", [])]
    if isolation == "vm" and "cpus" in entry:
        options += ["--cpus", str(entry["cpus"])]
    for host, name in pairs:
        options += ["--file", f"{host}:{name}"]
    got = run([INGOT, "run", "--isolation", isolation, *options, *guest], stdin=stdin, timeout=300)
    compare_results(entry, want, got)


def compare_results(entry, want, got):
    compare = entry.get("compare", ["stdout", "stderr", "status"])
    if "status" in compare:
        need(got.status == want.status, f"status {got.status}, natively {want.status}\n{got.show()}")
    if "stdout" in compare:
        need(got.out == want.out, f"standard output differs: {difference(want.out, got.out)}\n{got.show()}")
    if "stderr" in compare:
        need(got.err == want.err, f"standard error differs: {difference(want.err, got.err)}\n{got.show()}")
    for result in (want, got):
        need(re.search(entry.get("match", ""), result.text()), f"no '{entry.get('match')}' in the output\n{got.show()}")


def difference(want, got):
    at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
    return f"at byte {at} of {len(want)}: {want[at:at + 40]!r} natively, {got[at:at + 40]!r} in the guest"


def add_table(suite, name, title):
    with open(os.path.join(HERE, name), "rb") as file:
        for entry in tomllib.load(file)["program"]:
            if not entry.get("processes"):
                prefix = "process" if title == "program" else f"{title} in a process"
                suite.add(f"{prefix}: {entry['name']}", program_test, entry, "process")
            suite.add(f"{title}: {entry['name']}", program_test, entry, "vm")


def main():
    long, words = arguments()
    build_programs()
    suite = Suite("e2e")
    add_table(suite, "programs.toml", "program")
    add_table(suite, "runtimes.toml", "runtime")
    commands.add_to(suite)
    bad_input.add_to(suite, long)
    machines.add_to(suite, long)
    patches.add_to(suite)
    hosted.add_to(suite)
    unwinding.add_to(suite)
    servers.add_to(suite)
    clients.add_to(suite)
    cpus.add_to(suite)
    crashes.add_to(suite)
    cuts.add_to(suite)
    networds.add_to(suite)
    netconf.add_to(suite)
    devices.add_to(suite)
    disks.add_to(suite)
    drawings.add_to(suite)
    exports.add_to(suite)
    domains.add_to(suite)
    storms.add_to(suite, long)
    syslogs.add_to(suite)
    bombs.add_to(suite)
    impair.add_to(suite)
    instances.add_to(suite)
    rollouts.add_to(suite)
    snapshots.add_to(suite)
    metrics.add_to(suite)
    migrations.add_to(suite)
    targets.add_to(suite)
    packages.add_to(suite)
    containers.add_to(suite)
    tools.add_to(suite)
    volumes.add_to(suite)
    debug_kernel.add_to(suite, long)
    return suite.run(words)


if __name__ == "__main__":
    sys.exit(main())
