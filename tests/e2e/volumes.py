"""Volumes: ext4 images of the host in a guest.  e2fsck -fn judges after every test."""
import os
import re
import signal
import subprocess
import sys
import time

from commands import Home
from harness import INGOT, ROOT, need

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


def family_on_volume(name, *options):
    """A family of the guest tests with its folder on ext4."""
    program = next(p for p in programs.build_families(GUEST_OUT) if p.name == name)
    with Home() as home:
        image = make_image(os.path.join(home.tmp, "v.img"), "128M", *options)
        result = home.ingot("run", "--isolation", "vm", "-m", "128M", "-v", image + ":/tmp", program.path, timeout=120)
        need(result.status == 0, f"{name} on ext4\n{result.show()}")
        judge(image)


def test_sqlite_survives_kill():
    """What sqlite3 has acknowledged is there after the VM was killed."""
    with Home() as home:
        image = make_image(os.path.join(home.tmp, "v.img"))
        command = [INGOT, "run", "-q", "--isolation", "vm", "-v", image + ":/db", "/usr/bin/sqlite3", "/db/x.db"]
        for round_nr, mode in enumerate(("delete", "wal")):
            vm = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  env={**os.environ, **home.env()})
            vm.stdin.write(f"pragma journal_mode={mode}; pragma synchronous=full;"
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
            vm.send_signal(signal.SIGKILL)
            vm.wait()
            vm.stdout.close()
            time.sleep(0.2)  # the kernel ends the VMM in its turn
            result = home.ingot("run", "-q", "--isolation", "vm", "-v", image + ":/db", "/usr/bin/sqlite3", "/db/x.db",
                                f"pragma integrity_check; select count(*) from t{round_nr};")
            lines = result.text().split()
            need(result.status == 0 and lines[:1] == ["ok"], f"after the kill\n{result.show()}")
            need(int(lines[1]) >= acked, f"{acked} were acknowledged, {lines[1]} are there ({mode})")
            judge(image)


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
            (home.tmp + ":/v", "folder|directory"),
            ("nonsense", "IMAGE:PATH"),
            (make_image(os.path.join(home.tmp, "inline.img"), "16M", "-O", "inline_data") + ":/v", "inline_data"),
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


def add_to(suite):
    for name, function in sorted(globals().items()):
        if name.startswith("test_"):
            suite.add("volumes-" + name[5:].replace("_", "-"), function)
    for family in ("file", "dir", "mm"):
        suite.add(f"volumes-{family}", family_on_volume, family)
    suite.add("volumes-file-4k", family_on_volume, "file", "-b", "4096")
