"""Volumes: ext4 images of the host in a guest.  e2fsck -fn judges after every test."""
import contextlib
import json
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from functools import partial

from commands import Home
from harness import INGOT, ROOT, Skip, children_of, kill_all_of, need, wait_ended

sys.path.insert(0, os.path.join(ROOT, "tests", "guest"))
import programs  # noqa: E402

GUEST_OUT = os.path.join(ROOT, "build", "tests", "guest")


def make_image(path, size="64M", *options):
    subprocess.run(["truncate", "-s", size, path], check=True)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", *options, path], check=True, stdout=subprocess.DEVNULL)
    return path


def judge(path):
    done = subprocess.run(["e2fsck", "-fn", path], capture_output=True, text=True)
    need(done.returncode == 0, f"e2fsck: status {done.returncode}\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def family_outside_tmp(name):
    """The path of a family's program that a volume at /tmp does not hide, wherever the tests are."""
    program = next(p for p in programs.build_families(GUEST_OUT) if p.name == name)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield shutil.copy(program.path, folder)


def family_on_volume(name, isolation, *options, run=()):
    """A family of the guest tests with its folder on ext4; options: mke2fs', run: those of `ingot run`."""
    with Home() as home, family_outside_tmp(name) as path:
        image = make_image(os.path.join(home.tmp, "v.img"), "128M", *options)
        result = home.ingot("run", "--isolation", isolation, "-m", "128M", *run, "-v", image + ":/tmp", path, timeout=240)
        need(result.status == 0, f"{name} on ext4\n{result.show()}")
        judge(image)


def volume_file(home, name):
    return os.path.join(home.store, "volumes", name + ".img")


def test_named():
    """Made, filled, used on both grounds, read back, listed and removed."""
    with Home() as home:
        home.good("volume", "create", "data", "--size", "32M", "--label", "tier=db")
        source = os.path.join(home.tmp, "in")
        os.makedirs(os.path.join(source, "deep"))
        with open(os.path.join(source, 'a "b" c'), "w", encoding="utf-8") as file:
            file.write("one\n")
        os.symlink("a", os.path.join(source, "deep", "link"))
        home.good("volume", "cp", source, "data:/")
        for isolation in ("vm", "process"):
            said = home.good("run", "-q", "--isolation", isolation, "-v", "data:/v", "/bin/sh", "-c",
                             f"read line < '/v/in/a \"b\" c'; echo $line; echo {isolation} >> /v/log")
            need(said == "one\n", f"{isolation}: {said}")
            judge(volume_file(home, "data"))
        out = os.path.join(home.tmp, "out")
        home.good("volume", "cp", "data:/log", out)
        need(open(out, encoding="utf-8").read() == "vm\nprocess\n", "what the guests wrote did not come back")
        os.mkdir(os.path.join(home.tmp, "tree"))
        home.good("volume", "cp", "data:/in", os.path.join(home.tmp, "tree"))
        subprocess.run(["diff", "-r", "--no-dereference", source, os.path.join(home.tmp, "tree", "in")], check=True)
        listed = json.loads(home.good("volume", "ls", "--format", "json"))
        need([v["Name"] for v in listed] == ["data"] and listed[0]["Labels"] == {"tier": "db"}, f"ls: {listed}")
        need(listed[0]["Size"] == 32 << 20 and listed[0]["UsedBy"] is None, f"ls: {listed}")
        home.good("run", "-q", "-v", "made:/v", "/bin/true")
        need(home.good("volume", "ls", "-q") == "data\nmade\n", "a run did not make its volume")
        need(home.ingot("volume", "prune").status == 2, "prune did not ask for --force")
        home.good("volume", "rm", "data")
        home.good("volume", "prune", "--force")
        need(home.good("volume", "ls", "-q") == "", "volumes are left")
        need(os.listdir(os.path.join(home.store, "volumes")) == [], "files are left")


def test_named_refusals():
    with Home() as home:
        home.good("volume", "create", "data", "--size", "2M")
        big = os.path.join(home.tmp, "big")
        with open(big, "wb") as file:
            file.write(os.urandom(4 << 20))
        bad = [
            (("create", "data"), "already"), (("create", "../x"), "letters"), (("create", "x", "--size", "1k"), "1M"),
            (("create", "x", "--size", "much"), "no size"), (("create", "x", "--label", "=1"), "KEY=VALUE"),
            (("rm", "none"), "no volume 'none'"), (("inspect", "none"), "no volume 'none'"),
            (("cp", "/nowhere", "data:/"), "/nowhere"), (("cp", "data:/none", home.tmp), "/none"),
            (("cp", big, "data:/"), "full"), (("cp", big, "data:/no/"), "no folder"), (("frob",), "there are"),
        ]
        for words, say in bad:
            result = home.ingot("volume", *words)
            need(result.status in (1, 2) and say in result.errors(), f"{words}: no word of '{say}'\n{result.show()}")
        judge(volume_file(home, "data"))
        need(os.listdir(os.path.join(home.store, "volumes")).count("x.img") == 0, "a refused volume was made")


def test_named_in_use():
    """Who has a volume is named, by all that want it."""
    with Home() as home:
        home.good("volume", "create", "data", "--size", "8M")
        first = subprocess.Popen([INGOT, "run", "-q", "--name", "holder", "--isolation", "process", "-v", "data:/v",
                                  "/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 env={**os.environ, **home.env()})
        first.stdin.write(b"up\n")
        first.stdin.flush()
        need(first.stdout.readline() == b"up\n", "the first is not up")
        for words in (("run", "-v", "data:/v", "/bin/true"), ("volume", "rm", "data"),
                      ("volume", "cp", "data:/x", home.tmp)):
            result = home.ingot(*words)
            # A host file system without attributes has the process, not the name.
            need(result.status != 0 and re.search("in use by (instance 'holder'|process [0-9]+)", result.errors()),
                 f"{words}\n{result.show()}")
        home.good("volume", "prune", "--force")
        need(home.good("volume", "ls", "-q") == "data\n", "prune took a volume that is in use")
        first.kill()
        first.wait()
        home.good("run", "-q", "-v", "data:/v", "/bin/true")  # at once: what the first had started ends by itself
        first.stdin.close()
        first.stdout.close()
        judge(volume_file(home, "data"))


def test_sqlite_survives_kill():
    """What sqlite3 has acknowledged is there after the VM was killed."""
    with Home() as home:
        image = make_image(os.path.join(home.tmp, "v.img"))
        command = [INGOT, "run", "-q", "--isolation", "vm", "-v", image + ":/db", "/usr/bin/sqlite3", "/db/x.db"]
        for round_nr, mode in enumerate(("delete", "wal")):
            vm = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  env={**os.environ, **home.env()})
            # "full" lets the unlink of the old journal, which is the commit, wait for a later sync.
            vm.stdin.write(f"pragma journal_mode={mode}; pragma synchronous=extra;"
                           f"create table if not exists t{round_nr}(n integer primary key, x blob);\n".encode())
            for n in range(1, 3000):
                vm.stdin.write(f"insert into t{round_nr} values({n}, randomblob(700)); select 'ack', {n};\n".encode())
            vm.stdin.flush()
            acked = 0
            while acked < 60 + 25 * round_nr:
                line = vm.stdout.readline()
                need(line, "the guest ended early")
                if line.startswith(b"ack|"):
                    acked = int(line.split(b"|")[1])
            kill_all_of(vm)
            vm.stdout.close()
            result = home.ingot("run", "-q", "--isolation", "vm", "-v", image + ":/db", "/usr/bin/sqlite3", "/db/x.db",
                                f"pragma integrity_check; select count(*) from t{round_nr};")
            lines = result.text().split()
            need(result.status == 0 and lines[:1] == ["ok"], f"after the kill\n{result.show()}")
            need(int(lines[1]) >= acked, f"{acked} were acknowledged, {lines[1]} are there ({mode})")
            judge(image)


def counters(image, name, out):
    """The first word of each page of a file."""
    subprocess.run(["debugfs", "-R", f"dump /{name} {out}", image], check=True, capture_output=True)
    with open(out, "rb") as file:
        data = file.read()
    return [struct.unpack_from("<Q", data, at)[0] for at in range(0, len(data), 4096)]


def test_nobody_writes_while_it_ends():
    """Threads on other CPUs stop before what they wrote is brought to the disk."""
    with Home() as home:
        image = make_image(os.path.join(home.tmp, "v.img"))
        program = os.path.join(home.tmp, "two_files")
        source = os.path.join(ROOT, "tests", "e2e", "programs", "two_files.c")
        subprocess.run(["gcc", "-O1", "-static", "-pthread", "-o", program, source], check=True)
        for cpus in ("4", "1"):
            result = home.ingot("run", "--isolation", "vm", "--cpus", cpus, "-w", "/v", "-v", image + ":/v", program)
            need(result.status == 0, f"{cpus} CPUs\n{result.show()}")
            judge(image)
            pages = [counters(image, name, os.path.join(home.tmp, name)) for name in ("first", "second")]
            for thread, (one, two) in enumerate(zip(*pages)):
                need(two > 0 and one - two in (0, 1),
                     f"{cpus} CPUs: thread {thread} went on while the volume was written: {one}, {two}")


def cut_sqlite(home, rounds):
    """A guest in a process is killed at any moment, again and again, on one volume."""
    seed = os.environ.get("SEED", str(time.time_ns() % 100000))
    moment = random.Random(int(seed))
    home.good("volume", "create", "data", "--size", "64M")
    command = ["run", "-q", "--isolation", "process", "-v", "data:/db", "/usr/bin/sqlite3", "/db/x.db"]
    home.good(*command, "create table t(n integer primary key, x blob);")
    acked = 0
    for round_nr in range(rounds):
        mode = ("delete", "wal", "truncate")[round_nr % 3]
        guest = subprocess.Popen([INGOT, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, env={**os.environ, **home.env()})
        words = "".join(f"insert into t values({n}, randomblob({n * 37 % 5000})); select 'ack', {n};\n"
                        for n in range(acked + 1, acked + 400))
        guest.stdin.write(f"pragma journal_mode={mode}; pragma synchronous=extra;\n{words}".encode())
        guest.stdin.flush()
        until = acked + moment.randrange(1, 120)
        for line in guest.stdout:
            if line.startswith(b"ack|"):
                acked = int(line[4:])
            if acked >= until:
                break
        family = children_of(guest.pid)
        time.sleep(moment.random() / 500)
        guest.kill()
        for line in guest.stdout:
            if line.startswith(b"ack|") and line.endswith(b"\n"):
                acked = int(line[4:])
        guest.wait()
        guest.stdin.close()
        guest.stdout.close()
        need(wait_ended(family), "something outlived the command")
        said = home.good(*command, "pragma integrity_check; select max(n) from t;").split()
        need(said[0] == "ok" and int(said[1]) >= acked, f"SEED={seed}, round {round_nr}, {mode}: {acked}, {said}")
        judge(volume_file(home, "data"))
        acked = int(said[1])


def test_cuts_of_sqlite_in_a_process():
    with Home() as home:
        cut_sqlite(home, 200 if "--long" in sys.argv else 15)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def redis_connect(port, guest):
    """A connection to a server that has loaded what it had."""
    for _ in range(300):
        need(guest.poll() is None, "the server ended")
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=5)
            connection.sendall(b"PING\r\n")
            if connection.recv(64) == b"+PONG\r\n":
                return connection
            connection.close()
        except OSError:
            pass
        time.sleep(0.05)
    need(False, "the server does not answer")


def test_cuts_of_redis_in_a_process():
    """appendfsync always: what was answered with OK is there after a kill."""
    if not os.path.exists("/usr/bin/redis-server"):
        raise Skip("/usr/bin/redis-server is not installed")
    with Home() as home:
        acked = 0
        for round_nr in range(20 if "--long" in sys.argv else 4):
            port = free_port()
            guest = subprocess.Popen([INGOT, "run", "-q", "--isolation", "process", "-v", "data:/d", "-p",
                                      f"127.0.0.1:{port}:6379", "/usr/bin/redis-server", "--dir", "/d", "--save", "",
                                      "--appendonly", "yes", "--appendfsync", "always", "--protected-mode", "no"],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     env={**os.environ, **home.env()})
            try:
                with redis_connect(port, guest) as connection:
                    connection.sendall(b"GET n\r\n")
                    said = connection.recv(64).split(b"\r\n")
                    found = int(said[1]) if said[0] != b"$-1" else 0
                    need(found >= acked, f"round {round_nr}: {acked} was acknowledged, {found} is there")
                    for n in range(found + 1, found + 50 + 30 * round_nr):
                        connection.sendall(b"SET n %d\r\n" % n)
                        need(connection.recv(64) == b"+OK\r\n", "SET was refused")
                        acked = n
            finally:
                kill_all_of(guest)
        home.good("run", "-q", "-v", "data:/d", "/bin/true")
        judge(volume_file(home, "data"))


def test_volume_in_use():
    with Home() as home:
        image = make_image(os.path.join(home.tmp, "v.img"))
        first = subprocess.Popen([INGOT, "run", "-q", "--isolation", "vm", "-v", image + ":/v", "/bin/cat"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **home.env()})
        first.stdin.write(b"up\n")
        first.stdin.flush()
        need(first.stdout.readline() == b"up\n", "the first is not up")
        second = home.ingot("run", "-v", image + ":/v", "/bin/true")
        need(second.status == 125 or second.status != 0, "the second was not refused")
        need("in use" in second.errors() and "v.img" in second.errors(), f"no clear word\n{second.show()}")
        first.stdin.close()
        first.wait()
        first.stdout.close()
        judge(image)


def test_read_only_volume():
    with Home() as home:
        image = make_image(os.path.join(home.tmp, "v.img"))
        home.good("run", "-q", "--isolation", "vm", "-v", image + ":/v", "/usr/bin/touch", "/v/f")
        before = open(image, "rb").read()
        result = home.ingot("run", "-q", "--isolation", "vm", "-v", image + ":/v:ro", "/usr/bin/touch", "/v/g")
        need(result.status == 1 and "Read-only" in result.errors(), f"not refused\n{result.show()}")
        need(open(image, "rb").read() == before, "a read-only volume was written")
        judge(image)


def test_bad_volumes():
    with Home() as home:
        empty = os.path.join(home.tmp, "empty.img")
        with open(empty, "wb") as file:
            file.truncate(1 << 20)
        bad = [
            (empty + ":/v", "not an ext4 image"),
            (os.path.join(home.tmp, "none.img") + ":/v", "none.img"),
            ("/dev:/v:/x", "dev:|no such|No such"),
            ("nonsense", "IMAGE:PATH"),
            (make_image(os.path.join(home.tmp, "inline.img"), "16M", "-O", "inline_data") + ":/v", "inline_data"),
            (make_image(os.path.join(home.tmp, "clusters.img"), "16M", "-O", "bigalloc") + ":/v", "not supported: bigalloc"),
            (make_image(os.path.join(home.tmp, "old.img"), "16M", "-O", "^extent,^64bit") + ":/v", "extents"),
        ]
        torn = make_image(os.path.join(home.tmp, "torn.img"), "16M")
        with open(torn, "r+b") as file:
            file.seek(1024 + 4)
            file.write(b"\xff\xff")
        bad.append((torn + ":/v", "corrupt|checksum"))
        for words, say in bad:
            result = home.ingot("run", "--isolation", "vm", "-v", words, "/bin/true")
            need(result.status not in (0, 1) or "ingot run" in result.errors(), f"{words}: accepted\n{result.show()}")
            need(re.search(say, result.errors()), f"{words}: no word of '{say}'\n{result.show()}")


def test_full_host_disk():
    """The guest is told that what it wrote did not get there; what was acknowledged before is there after."""
    if os.geteuid():
        raise Skip("needs root, to mount a small file system")
    with Home() as home:
        small = os.path.join(home.tmp, "small")
        os.mkdir(small)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", small], check=True)
        try:
            for isolation in ("vm", "process"):
                image = make_image(os.path.join(small, isolation + ".img"), "64M", "-J", "size=1")
                on = ("run", "-q", "--isolation", isolation, "-v", image + ":/v")
                home.good(*on, "/bin/sh", "-c", "echo kept > /v/first")
                result = home.ingot(*on, "/bin/dd", "if=/dev/urandom", "of=/v/f", "bs=1M", "count=40", "conv=fsync",
                                    timeout=60)
                need(result.status == 1 and re.search("Input/output error|No space", result.errors()),
                     f"{isolation}: not told\n{result.show()}")
                subprocess.run(["mount", "-o", "remount,size=128m", small], check=True)
                # an error was met and marked, as Linux does: the volume is whole, and e2fsck clears the mark
                done = subprocess.run(["e2fsck", "-fp", image], capture_output=True, text=True)
                need(done.returncode in (0, 1), f"{isolation}: e2fsck says {done.returncode}\n{done.stdout}")
                judge(image)
                said = home.good(*on, "/bin/cat", "/v/first")
                need(said == "kept\n", f"{isolation}: what was there is lost: {said}")
                os.unlink(image)
                subprocess.run(["mount", "-o", "remount,size=24m", small], check=True)
        finally:
            subprocess.run(["umount", small], check=False)


def test_deleted_space_goes_back():
    """A large file that is deleted leaves the host's disk too, and fstrim does the rest."""
    with Home() as home:
        for isolation in ("vm", "process"):
            image = make_image(os.path.join(home.tmp, isolation + ".img"), "64M")
            on = ("run", "-q", "--isolation", isolation, "-v", image + ":/v")
            home.good(*on, "/bin/dd", "if=/dev/urandom", "of=/v/f", "bs=1M", "count=20", "status=none")
            full = os.stat(image).st_blocks
            home.good(*on, "/bin/rm", "/v/f")
            freed = (full - os.stat(image).st_blocks) * 512
            need(freed > 19 << 20, f"{isolation}: {freed} bytes came back")
            judge(image)
            if os.path.exists("/sbin/fstrim"):
                said = home.good(*on, "/sbin/fstrim", "-v", "/v")
                need(re.search(r"/v: [0-9.]+ MiB", said), f"{isolation}: {said}")
                judge(image)


def test_odd_sizes():
    """A disk that ends in the middle of a block or of a page, and one that is larger than its file system."""
    with Home() as home:
        for size, extra, options in ((3 << 20, 512, ("-b", "1024")), ((5 << 20) + 1024, 1024, ("-b", "1024")),
                                     (9 << 20, 3 << 20, ("-b", "2048"))):
            image = os.path.join(home.tmp, f"odd{size}.img")
            with open(image, "wb") as file:
                file.truncate(size)
            subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", *options, image], check=True,
                           stdout=subprocess.DEVNULL)
            os.truncate(image, size + extra)
            for isolation in ("vm", "process"):
                on = ("run", "-q", "--isolation", isolation, "-v", image + ":/v")
                result = home.ingot(*on, "/bin/dd", "if=/dev/zero", "of=/v/f", "bs=100k", timeout=60)
                need(result.status == 1 and "No space" in result.errors(), f"{size}\n{result.show()}")
                home.good(*on, "/bin/rm", "/v/f")
                judge(image)
            os.truncate(image, size // 2)
            result = home.ingot("run", "-q", "-v", image + ":/v", "/bin/true")
            need(result.status != 0 and "larger than its disk" in result.errors(), f"cut short\n{result.show()}")


def test_tmpfs_has_a_limit():
    with Home() as home:
        for isolation in ("vm", "process"):
            on = ("run", "-q", "--isolation", isolation, "--tmpfs", "/scratch/t:size=1m", "--tmpfs", "/big")
            home.good(*on, "/bin/dd", "if=/dev/zero", "of=/scratch/t/f", "bs=4096", "count=256")
            result = home.ingot(*on, "/bin/dd", "if=/dev/zero", "of=/scratch/t/f", "bs=4096", "count=257")
            need(result.status == 1 and "No space" in result.errors(), f"no limit ({isolation})\n{result.show()}")
            home.good(*on, "/bin/dd", "if=/dev/zero", "of=/big/f", "bs=4096", "count=257")
            said = home.good(*on, "/bin/cat", "/proc/self/mountinfo")
            need(re.search(r" / /scratch/t \S.* - tmpfs tmpfs ", said), f"mountinfo ({isolation}):\n{said}")
        for words in ("scratch", "/x:size=", "/x:size=0", "/x:colour=red", "/"):
            result = home.ingot("run", "--tmpfs", words, "/bin/true")
            need(result.status == 2 and "--tmpfs" in result.errors(), f"{words}: accepted\n{result.show()}")


def shared_folder(isolation):
    """What one side writes the other reads; read-only is; links lead nowhere outside."""
    with Home() as home:
        shared = os.path.join(home.tmp, "a, b")
        os.makedirs(os.path.join(shared, "many"))
        secret = os.path.join(home.tmp, "secret")
        blob = os.urandom(300000)
        for path, bytes_ in ((secret, b"secret"), (os.path.join(shared, "blob"), blob)):
            with open(path, "wb") as file:
                file.write(bytes_)
        for i in range(2000):
            os.mknod(os.path.join(shared, "many", f"file{i}"))
        os.symlink(secret, os.path.join(shared, "out"))
        os.symlink("../secret", os.path.join(shared, "up"))
        on = ("run", "-q", "--isolation", isolation, "-v", shared + ":/srv")
        home.good(*on, "/bin/cp", "/srv/blob", "/srv/copy")
        need(open(os.path.join(shared, "copy"), "rb").read() == blob, "the copy differs")
        names = home.good(*on, "/bin/ls", "-f", "/srv/many").split()
        need(sorted(names) == sorted([".", ".."] + [f"file{i}" for i in range(2000)]), f"{len(names)} names")
        for link in ("out", "up", "../secret"):
            result = home.ingot(*on, "/bin/cat", "/srv/" + link)
            need(result.status == 1 and b"secret" not in result.out, f"{link} led out\n{result.show()}")
        result = home.ingot(*on[:-1], shared + ":/srv:ro", "/usr/bin/touch", "/srv/new")
        need(result.status == 1 and "Read-only" in result.errors(), f"not refused\n{result.show()}")
        need(not os.path.exists(os.path.join(shared, "new")), "made on a read-only folder")
        need(open(secret, "rb").read() == b"secret", "what is outside was written")


def shared_folder_vanishes(isolation):
    """The guest sees changes while it runs, and goes on when the folder is gone."""
    with Home() as home:
        shared = os.path.join(home.tmp, "shared")
        os.mkdir(shared)
        guest = subprocess.Popen([INGOT, "run", "-q", "--isolation", isolation, "-v", shared + ":/srv", "/bin/sh", "-c",
                                  "while read word; do { echo $word > /srv/said; } 2>/dev/null; "
                                  "if read back < /srv/answer; then echo $back; else echo lost; fi; done"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                 env={**os.environ, **home.env()})

        def ask(word):
            guest.stdin.write(word + b"\n")
            guest.stdin.flush()
            return guest.stdout.readline()

        for word in (b"one", b"two"):
            with open(os.path.join(shared, "answer"), "wb") as file:
                file.write(word + b"!\n")
            need(ask(word) == word + b"!\n", "the guest does not see what the host wrote")
            need(open(os.path.join(shared, "said"), "rb").read() == word + b"\n", "nor the host what the guest wrote")
        shutil.rmtree(shared)
        need(ask(b"three") == b"lost\n", "a folder that is gone was read")
        guest.stdin.close()
        status = guest.wait(timeout=90)
        guest.stdout.close()
        need(status == 0, f"status {status}")


def sqlite_on_share(isolation):
    """A database in a shared folder, written by guest and host in turns, with its locks."""
    with Home() as home:
        shared = os.path.join(home.tmp, "shared")
        os.mkdir(shared)
        on = ("run", "-q", "--isolation", isolation, "-v", shared + ":/srv", "/usr/bin/sqlite3", "/srv/x.db")
        home.good(*on, "create table t(n); insert into t values(1);")
        host = ["sqlite3", os.path.join(shared, "x.db")]
        subprocess.run([*host, "insert into t values(2);"], check=True)
        said = home.good(*on, "insert into t values(4); select sum(n) from t; pragma integrity_check;")
        need(said == "7\nok\n", f"the guest reads {said!r}")
        said = subprocess.run([*host, "select sum(n) from t;"], check=True, capture_output=True, text=True).stdout
        need(said == "7\n", f"the host reads {said!r}")


# What a shared folder can do of what the families try.  It cannot: fallocate, exchange names, make
# fifos (QEMU's server refuses, ours does not), map a file shared and writable.
SHARED_CASES = {
    "file": ["open_flags", "creat_truncates_and_writes_only", "read_and_write_move_the_offset", "vectors",
             "a_hole_reads_as_zeros", "truncate_cuts_and_extends_with_zeros", "append_always_writes_at_the_end",
             "stat_tells_what_it_is", "modes_and_umask", "times", "sendfile_and_copy_file_range",
             "a_large_file_keeps_its_bytes", "stdio_round_trip"],
    "dir": ["mkdir_and_rmdir", "rename_a_file", "rename_a_directory", "hard_links", "symbolic_links", "a_deep_tree",
            "a_link_in_the_middle_and_at_the_end", "cwd_follows_chdir", "getdents_lists_each_name_once",
            "removal_while_reading_skips_none_of_the_rest", "an_unlinked_file_lives_while_it_is_open",
            "a_replaced_file_lives_while_it_is_open"],
    "mm": ["a_private_file_mapping_is_copied_on_write"],
}


def family_on_share(name, isolation):
    with Home() as home, family_outside_tmp(name) as path:
        shared = os.path.join(home.tmp, "shared")
        os.mkdir(shared)
        result = home.ingot("run", "--isolation", isolation, "-m", "128M", "-v", shared + ":/tmp", path,
                            *SHARED_CASES[name], timeout=120)
        need(result.status == 0, f"{name} on a shared folder\n{result.show()}")


def add_to(suite):
    for name, function in sorted(globals().items()):
        if name.startswith("test_"):
            suite.add("volumes-" + name[5:].replace("_", "-"), function)
    for family in ("file", "dir", "mm", "cred", "aio"):
        suite.add(f"volumes-{family}", family_on_volume, family, "vm")
        suite.add(f"volumes-{family}-process", family_on_volume, family, "process")
    for isolation in ("vm", "process"):
        suite.add(f"volumes-races-{isolation}", partial(family_on_volume, "races_fs", isolation, run=("--cpus", "2")))
    for family in SHARED_CASES:
        for isolation in ("vm", "process"):
            suite.add(f"volumes-{family}-shared-{isolation}", family_on_share, family, isolation)
    for isolation in ("vm", "process"):
        suite.add(f"volumes-shared-folder-{isolation}", shared_folder, isolation)
        suite.add(f"volumes-shared-sqlite-{isolation}", sqlite_on_share, isolation)
        suite.add(f"volumes-shared-folder-vanishes-{isolation}", shared_folder_vanishes, isolation)
    suite.add("volumes-file-4k", family_on_volume, "file", "vm", "-b", "4096")
