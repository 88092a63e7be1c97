"""Databases under power cuts.  QEMU's blklogwrites keeps a log of what a guest wrote to its volume and when it flushed.
From it any moment is made again: what was flushed is there; of what was written after the last flush any part is, in
any order.  What a program had acknowledged before that moment must be found by it, and e2fsck finds nothing."""
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

from commands import Home
from harness import INGOT, ROOT, Skip, kill_all_of, need
from volumes import judge, make_image

SECTOR = 512
LOG_MAGIC = 0x6a736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8

# Stands before QEMU in PATH: the volume's file behind the driver that logs.
WRAPPER = """#!/usr/bin/env python3
import os, re, sys
args = sys.argv[1:]
for i, word in enumerate(args):
    found = re.match(r"if=none,id=(volume0),.*file=(/proc/self/fd/[0-9]+)$", word)
    if found:
        args[i] = (f"if=none,id={{found[1]}},driver=blklogwrites,discard=unmap,file.driver=raw,file.file.driver=file,"
                   f"file.file.locking=off,file.file.filename={{found[2]}},log.driver=file,log.filename={log}")
os.execv({qemu!r}, ["qemu-system-x86_64", *args])
"""


class Log:
    """The writes of one guest, in order: offset in the log, flags, sector, length, offset of the data."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        magic, _, _, self.unit = struct.unpack_from("<QQQI", self.data)
        need(magic == LOG_MAGIC, "not a log of blklogwrites")
        self.entries = []
        at = self.unit
        while at + 32 <= len(self.data):
            sector, count, flags, length = struct.unpack_from("<QQQQ", self.data, at)
            if not count and not flags and not length:
                break
            start = at + self.unit
            self.entries.append((at, flags, sector * self.unit, count * self.unit, start))
            at = start + (0 if flags & (DISCARD | MARK) else (count * self.unit))

    def apply(self, image, entry):
        _, flags, where, length, start = entry
        if flags & DISCARD:
            return  # what is there afterwards is unspecified: the old contents will do
        image[where:where + length] = self.data[start:start + length]

    def cut(self, before, k, chance):
        """The volume when power failed right after entry @k was begun."""
        image = bytearray(before)
        flushed = max((i for i in range(k) if self.entries[i][1] & FLUSH), default=-1)
        for entry in self.entries[:flushed + 1]:
            self.apply(image, entry)
        late = self.entries[flushed + 1:k + 1]
        share = chance.random()
        chosen = [entry for entry in late if entry[1] & FUA or chance.random() < share]
        chance.shuffle(chosen)
        for entry in chosen:
            self.apply(image, entry)
        return image


def record(home, image, words, until, stdin=None, options=("-m", "64M")):
    """Run a guest until it has acknowledged @until; its log, and the log's length at each acknowledgement."""
    folder = os.path.join(home.tmp, "bin")
    os.makedirs(folder, exist_ok=True)
    log = os.path.join(home.tmp, "log")
    with open(log, "wb"):
        pass
    wrapper = os.path.join(folder, "qemu-system-x86_64")
    with open(wrapper, "w", encoding="utf-8") as file:
        file.write(WRAPPER.format(log=log, qemu=shutil.which("qemu-system-x86_64")))
    os.chmod(wrapper, 0o755)
    env = {**os.environ, **home.env(), "PATH": folder + ":" + os.environ["PATH"]}
    guest = subprocess.Popen([INGOT, "run", "-q", "--isolation", "vm", *options, "-v", image + ":/db", *words],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    if stdin:
        guest.stdin.write(stdin.encode())
        guest.stdin.flush()
    acks = []
    for line in guest.stdout:
        if line.startswith(b"ack|"):
            acks.append((os.path.getsize(log), int(line[4:])))
            if acks[-1][1] >= until:
                break
    kill_all_of(guest)
    guest.stdin.close()
    guest.stdout.close()
    need(acks and acks[-1][1] >= until, f"the guest ended after {len(acks)} acknowledgements")
    return Log(log), acks


def prove(home, write, check, until, stdin=None):
    seed = os.environ.get("SEED", str(time.time_ns() % 100000))
    image = make_image(os.path.join(home.tmp, "v.img"), "48M", "-J", "size=1", "-b", "1024")
    with open(image, "rb") as file:
        before = file.read()
    log, acks = record(home, image, write, until, stdin)

    def look(cut):
        result = home.ingot("run", "-q", "--isolation", "process", "-v", cut + ":/db", *check, timeout=60)
        return result, re.match(r"ok\s+([0-9]+)\s*$", result.text())
    cut_and_check(home, seed, before, log, acks, 60 if "--long" in sys.argv else 6, look)


def cut_and_check(home, seed, before, log, acks, rounds, look):
    """look(volume) runs what opens the database there; it returns its result, and a match with how many it finds, or None."""
    chance = random.Random(int(seed))
    need(len(log.entries) > acks[-1][1], "the log is too short")
    cut_image = os.path.join(home.tmp, "cut.img")
    first = next(i for i, entry in enumerate(log.entries) if entry[0] >= acks[0][0])
    for round_nr in range(rounds):
        k = chance.randrange(first, len(log.entries))
        acked = max((n for size, n in acks if size <= log.entries[k][0]), default=0)
        with open(cut_image, "wb") as file:
            file.write(log.cut(before, k, chance))
        result, found = look(cut_image)
        where = f"SEED={seed}, round {round_nr}, entry {k} of {len(log.entries)}: {acked} were acknowledged"
        need(result.status == 0 and found, f"{where}\n{result.show()}")
        need(int(found[1]) >= acked, f"{where}, {found[1]} are there")
        judge(cut_image)


def sqlite(mode):
    with Home() as home:
        # "full" lets the unlink of the old journal, which is the commit, wait for a later sync.
        words = (f"pragma journal_mode={mode}; pragma synchronous=extra;\n"
                 "create table t(n integer primary key, x blob);\n")
        words += "".join(f"insert into t values({n}, randomblob({n * 37 % 5000})); select 'ack', {n};\n"
                         for n in range(1, 200))
        prove(home, ["/usr/bin/sqlite3", "/db/x.db"],
              ["/usr/bin/sqlite3", "/db/x.db", "pragma integrity_check; select count(*) from t;"], 60, words)


def key_value(name, library):
    header = {"lmdb": "/usr/include/lmdb.h", "leveldb": "/usr/include/leveldb/c.h"}[name]
    if not os.path.exists(header):
        raise Skip(f"{header} is not installed")
    with Home() as home:
        program = os.path.join(home.tmp, "kv_" + name)
        source = os.path.join(ROOT, "tests", "e2e", "programs", f"kv_{name}.c")
        subprocess.run(["gcc", "-O1", "-o", program, source, library], check=True)
        prove(home, [program, "/db", "write", "300"], [program, "/db", "check"], 100)


POSTGRES = "/usr/lib/postgresql/15"


def postgres():
    """A server and psql in a VM, one transaction after the other; after each cut a server alone recovers what is there."""
    if not os.path.exists(POSTGRES + "/bin/postgres"):
        raise Skip("postgresql-15 is not installed")
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    if os.geteuid():
        raise Skip("only root becomes another user")
    with Home() as home, tempfile.TemporaryDirectory(dir="/tmp") as root:
        os.chmod(root, 0o755)  # postgres goes through it
        os.mkdir(root + "/data")
        shutil.chown(root + "/data", "postgres", "postgres")
        made = subprocess.run([*user, POSTGRES + "/bin/initdb", "-A", "trust", "--locale=C", "-E", "UTF8", "-N", "-D", root + "/data",
                               "--wal-segsize=1"], capture_output=True, text=True, cwd="/", check=False)
        need(made.returncode == 0, f"initdb: {made.stderr}")
        image = make_image(os.path.join(home.tmp, "v.img"), "128M", "-J", "size=4", "-d", root)
        with open(image, "rb") as file:
            before = file.read()
        seed = os.environ.get("SEED", str(time.time_ns() % 100000))
        words = "create table t(n int primary key, x text);\n"
        words += "".join(f"insert into t values({n}, repeat(md5('{n}'), {n * 7 % 50}));\n\\echo ack|{n}\n" for n in range(1, 200))
        files = [f"{path}:{path}" for path in (POSTGRES, "/usr/share/postgresql", "/etc/passwd", "/etc/group")]
        files.append(os.path.join(ROOT, "tests", "e2e", "programs", "postgres_cuts.sh") + ":/srv/postgres_cuts.sh")
        options = ["-m", "256M", *(word for file in files for word in ("--file", file))]
        allowed = ["@image", "sh", "setpriv", "chmod", "cat", POSTGRES + "/bin/psql", POSTGRES + "/bin/postgres"]
        options += [word for program in allowed for word in ("--allow-exec", program)]
        log, acks = record(home, image, ["/bin/bash", "/srv/postgres_cuts.sh"], 40, words, options)

        def look(cut):
            result = home.ingot("run", "-q", "--isolation", "vm", *options, "-v", cut + ":/db", "/usr/bin/setpriv", *user[1:],
                               POSTGRES + "/bin/postgres", "--single", "-D", "/db/data", "postgres",
                               stdin=b"select 'found ' || count(*) || ' of ' || coalesce(max(n), 0) from t;\n", timeout=120)
            return result, re.search(r'found ([0-9]+) of \1"', result.text())
        cut_and_check(home, seed, before, log, acks, 20 if "--long" in sys.argv else 2, look)


def storm(isolation, where, size, *options):
    """Calls on a file against a model, names beside it: programs/fsx.c; then e2fsck."""
    with Home() as home:
        program = os.path.join(home.tmp, "fsx")
        subprocess.run(["gcc", "-O1", "-D_GNU_SOURCE", "-static", "-pthread", "-o", program,
                        os.path.join(ROOT, "tests", "e2e", "programs", "fsx.c")], check=True)
        seed = os.environ.get("SEED", str(time.time_ns() % 100000))
        calls = "50000" if "--long" in sys.argv else "3000"
        image = make_image(os.path.join(home.tmp, "v.img"), size, *options) if where == "/volume" else None
        mounts = {"/volume": ("-v", f"{image}:/volume"), "/scratch": ("--tmpfs", "/scratch:size=8m"), "/": ()}[where]
        for cpus in ("1", "2"):
            result = home.ingot("run", "-q", "--isolation", isolation, "-m", "64M", "--cpus", cpus, *mounts, program, where,
                                seed, calls, timeout=500)
            need(result.status == 0 and result.text() == "as the model\n", f"SEED={seed}, {cpus} CPUs\n{result.show()}")
            if image:
                judge(image)


def add_to(suite):
    for isolation in ("vm", "process"):
        for name, where, size, *options in (("ext4-4k", "/volume", "64M", "-b", "4096"),
                                            ("ext4-1k", "/volume", "32M", "-b", "1024", "-J", "size=1"),
                                            ("ext4-full", "/volume", "2200K", "-b", "1024", "-J", "size=1", "-I", "1024", "-N",
                                             "800"),
                                            ("tmpfs", "/scratch", ""), ("overlay", "/", "")):
            suite.add(f"storm-on-{name}-{isolation}", storm, isolation, where, size, *options)
    for mode in ("delete", "truncate", "wal"):
        suite.add(f"power-cuts-sqlite-{mode}", sqlite, mode)
    suite.add("power-cuts-lmdb", key_value, "lmdb", "-llmdb")
    suite.add("power-cuts-leveldb", key_value, "leveldb", "-lleveldb")
    suite.add("power-cuts-postgres", postgres)
