"""The guest programs: how each is built, and how it must end.

A family program prints `ok NAME` a case; a crash program must end with a signal; an ELF variant is
one source built in every way a user's compiler might."""
import os
import subprocess
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
FLAGS = ["-O1", "-g", "-Wall", "-Wextra", "-Wno-nonnull", "-Wno-stringop-overflow", "-Wno-stringop-overread",
         "-Wno-unknown-warning-option", "-pthread"]

FAMILIES = ["file", "dir", "mm", "signal", "thread", "rseq", "sched", "pipe", "poll", "event", "time", "proc", "misc", "calls",
            "races", "races_fork", "races_mem", "races_fs", "races_net", "unix", "unix_msg", "socket", "socket_msg", "packet", "procnet", "netlink", "vsock", "bad", "leak",
            "patch",
            "fork", "exec", "smp", "cred", "ipc", "ipc_sem", "ipc_msg", "ipc_mq", "aio", "watch", "attr", "lock", "overlay", "mount"]

# Families that a sandboxed process cannot have: it is one process.
VM_ONLY = {"fork", "races_fork", "exec", "lock"}

# argument of crash.c -> the signal it dies of
CRASHES = {"segv": 11, "null-call": 11, "far-call": 11, "write-text": 11, "exec-data": 11,
           "stack-overflow": 11, "abort": 6, "div0": 8, "illegal": 4, "trap": 5, "kill": 9, "term": 15, "thread-segv": 11}

# argument of escape.c -> how `ingot run` ends: 0 it was refused, 139 the guest's own signal, 125 the
# sandbox was ended
ESCAPES = {"file": 0, "x32": 0, "int80": 139, "stub-open": 125, "stub-socket": 125,
           "stub-execve": 125, "stub-clone": 125, "stub-kill": 125, "stub-tgkill": 125, "stub-write": 125,
           "stub-read": 125, "stub-prctl": 125, "stub-timer": 125, "tender": 0, "segment": 125, "map-over": 0,
           "replace-stub": 125}

# name -> (source, compiler and flags)
VARIANTS = {
    "static": ("elf.c", ["gcc", "-static"]),
    "static-pie": ("elf.c", ["gcc", "-static-pie", "-fPIE"]),
    "static-clang": ("elf.c", ["clang", "-static"]),
    "dynamic": ("elf.c", ["gcc", "-pie", "-fPIE"]),
    "dynamic-exec": ("elf.c", ["gcc", "-no-pie", "-fno-pie"]),
    "dynamic-now": ("elf.c", ["gcc", "-pie", "-fPIE", "-Wl,-z,now,-z,relro"]),
    "musl-static": ("elf.c", ["musl-gcc", "-static"]),
    "musl-dynamic": ("elf.c", ["musl-gcc"]),
    "cxx": ("elf_cxx.cc", ["g++"]),
    "cxx-static": ("elf_cxx.cc", ["g++", "-static"]),
    "cxx-clang": ("elf_cxx.cc", ["clang++"]),
}


class Program:
    """A built program, its arguments, and the status it must end with."""

    def __init__(self, name, path, args=(), status=0):
        self.name, self.path, self.args, self.status = name, path, list(args), status


def _stale(target, sources):
    if not os.path.exists(target):
        return True
    made = os.path.getmtime(target)
    return any(os.path.getmtime(source) > made for source in sources)


def _compile(compiler, source, target):
    path = os.path.join(HERE, source)
    if not os.path.exists(path):
        return None
    if _stale(target, [path, *(os.path.join(HERE, h) for h in ("t.h", "un.h", "child.h", "races.h"))]):
        flags = FLAGS if source.endswith(".c") else [f for f in FLAGS if f != "-Wno-nonnull"]
        # Tests that run at the same time may build the same program: it appears whole.
        built = f"{target}.{os.getpid()}.{threading.get_ident()}"
        subprocess.run([*compiler, *flags, "-o", built, path, "-lm"], check=True)
        os.rename(built, target)
    return target


def build_families(out):
    """Build every family program; returns [Program]."""
    os.makedirs(out, exist_ok=True)
    paths = {name: _compile(["gcc", "-static"], name + ".c", os.path.join(out, name))
             for name in FAMILIES}
    return [Program(name, path) for name, path in paths.items() if path]


def build_crashes(out):
    path = _compile(["gcc", "-static", "-O0"], "crash.c", os.path.join(out, "crash"))
    if not path:
        return []
    return [Program("crash-" + kind, path, [kind], 128 + number) for kind, number in CRASHES.items()]


def build_escapes(out):
    path = _compile(["gcc", "-static"], "escape.c", os.path.join(out, "escape"))
    host_file = "/usr/bin/gcc"  # not in the image, nor below the current folder
    return [Program("escape-" + kind, path, [kind, host_file], status)
            for kind, status in ESCAPES.items()]


def build_variants(out):
    programs = []
    for name, (source, compiler) in VARIANTS.items():
        path = _compile(compiler, source, os.path.join(out, "elf-" + name))
        if path:
            programs.append(Program("elf-" + name, path, ["one", "two words", ""]))
    return programs
