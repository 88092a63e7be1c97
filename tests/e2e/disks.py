"""Disks of a guest in a process, played by its device process."""
import hashlib
import os
import shutil
import subprocess
import tempfile

from harness import BUILD, ROOT, need, run
from netlab import need_programs

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = ["host/vm/" + name + ".c" for name in ("boot_cache", "cpu_facts", "kernel_copy", "kvm", "net", "process", "process_device", "process_dump", "tsc",
                                                 "vmm")]


def helper(folder):
    """The program that starts such a guest by the tool's own interface."""
    target = os.path.join(folder, "disk_guest")
    listed = [*SOURCES, "host/device/offer.c", "lib/string.c",
              *(os.path.join("host/lib", name) for name in os.listdir(os.path.join(ROOT, "host/lib"))
                if name.endswith((".c", ".S")))]
    subprocess.run(["gcc", "-std=gnu17", "-O1", "-D_GNU_SOURCE", '-DINGOT_LIBEXECDIR="/nowhere"', '-DINGOT_VERSION="test"',
                    "-I.", "-Iinclude", "-Ihost", "-o", target, os.path.join(HERE, "programs", "disk_guest.c"), *listed,
                    "-ljansson"], check=True, cwd=ROOT)
    return target


def disk(folder):
    """An image with busybox and a file of 8 MiB."""
    root = os.path.join(folder, "root")
    os.makedirs(os.path.join(root, "bin"))
    shutil.copy("/bin/busybox", os.path.join(root, "bin", "busybox"))
    data = os.urandom(8 << 20)
    with open(os.path.join(root, "data"), "wb") as file:
        file.write(data)
    path = os.path.join(folder, "disk.img")
    subprocess.run(["mkfs.erofs", path, root], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path, hashlib.md5(data).hexdigest()


def start(folder, path, letter, *words):
    """A guest whose device process is killed when it says @letter, if there is one."""
    line = "console=ttyS0 loglevel=4 root=/dev/vda init=/bin/busybox " + with_clock() + " -- " + " ".join(words)
    return run([helper(folder), os.path.join(BUILD, "ingot-kernel"), path, letter, line], timeout=60)


def with_clock():
    """The rate that the tool finds."""
    text = subprocess.run([os.path.join(BUILD, "ingot"), "run", "--isolation", "process", "--dry-run", "/bin/busybox"],
                          capture_output=True, text=True, check=True).stdout
    return next((word for word in text.replace("'", " ").split() if word.startswith("tsc_early_khz=")), "")


def root_on_a_disk():
    need_programs("busybox", "mkfs.erofs")
    with tempfile.TemporaryDirectory() as folder:
        path, digest = disk(folder)
        result = start(folder, path, "", "md5sum", "/data")
        need(digest in result.text(), f"not the file's bytes\n{result.show()}")
        need("ingot: exit 0" in result.errors() and "device process: 0" in result.errors(), result.show())


def a_disk_that_is_gone():
    """A read fails with EIO, or the program dies of SIGBUS for want of its own pages, as on Linux."""
    need_programs("busybox", "mkfs.erofs")
    with tempfile.TemporaryDirectory() as folder:
        path, _ = disk(folder)
        wait = "echo X; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
        result = start(folder, path, "X", "sh", "-c", f'"{wait}; read x < /data || echo lost >&2"')
        need("shut off" in result.errors(), "it was not missed\n" + result.show())
        gone = "lost" in result.errors() or "ingot: signal 7" in result.errors()
        need(gone and "device process: 9" in result.errors(), result.show())


def add_to(suite):
    for test in (root_on_a_disk, a_disk_that_is_gone):
        suite.add(f"disk: {test.__name__} in a process", test)
