"""Programs whose languages unwind stacks and take signals at any instruction, in patched and in unpatched code: what
they print must be what they print natively."""
import os
import shutil
import subprocess

from commands import Home
from harness import Skip, need, run

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
GROUNDS = [("process",), ("process", "--no-patch"), ("process", "--cpus", "2"), ("vm",), ("vm", "--no-patch", "--cpus", "2")]


def compiler(*names):
    for name in names:
        if shutil.which(name):
            return shutil.which(name)
    raise Skip(f"{names[0]} is not installed")


def compare(home, path):
    native = run([path])
    need(native.status in (0, 7) and native.out, f"natively\n{native.show()}")
    for ground in GROUNDS:
        result = home.ingot("run", "-q", "--isolation", *ground, "-m", "256M", path, timeout=120)
        need(result.out == native.out and result.status == native.status,
             f"{' '.join(ground)}: not as natively ({native.status})\n{native.show()}\n  but {result.status}\n{result.show()}")


def check(source, *command, **env):
    with Home() as home:
        path = os.path.join(home.path, "program")
        subprocess.run([*command, path, os.path.join(SOURCES, source)], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, **{name: home.path for name in env}, "CGO_ENABLED": "0"})
        compare(home, path)


def test_panics_of_rust():
    check("unwind.rs", compiler("rustc"), "-O", "-g", "-o")


def test_exceptions_of_cxx():
    check("unwind.cc", compiler("g++"), "-O1", "-pthread", "-o")


def test_exceptions_of_static_cxx():
    check("unwind.cc", compiler("g++"), "-O1", "-pthread", "-static", "-o")


def test_preemption_in_go():
    check("preempt.go", compiler("go", "/usr/lib/go-1.19/bin/go"), "build", "-o", GOCACHE="", HOME="")


def test_stacks_that_a_profiler_takes():
    check("profiled.c", compiler("gcc"), "-O1", "-o")


def add_to(suite):
    for name, function in sorted(globals().items()):
        if name.startswith("test_"):
            suite.add("unwinding: " + name[5:].replace("_", " "), function)
