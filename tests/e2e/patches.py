"""Patches in images: what inspect tells of them, and images whose patches are not what they should be."""
import json
import os
import struct
import subprocess

from commands import Home
from harness import need

SOURCE = """#include <stdio.h>
int main(void) { puts("still here"); return 7; }
"""
MAGIC, VERSION, GATE, HEADER = 0x66706749, 5, 0x10800, 352


def build_program(home):
    """A static program and the name that its patch would have."""
    path = os.path.join(home.tmp, "program")
    subprocess.run(["gcc", "-static", "-x", "c", "-", "-Wl,--build-id=sha1", "-o", path], input=SOURCE.encode(),
                   check=True)
    notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
    build_id = notes.split("Build ID: ")[1].split()[0]
    return path, build_id


def header(build_id, size, magic=MAGIC, version=VERSION, gate=GATE, pages=1, stubs=4096):
    raw = bytes.fromhex(build_id)
    text = struct.pack("<IHHII32sQQQ", magic, version, 0, gate, len(raw), raw, size, 0x400000, 0x1000)
    text += struct.pack("<9I", pages, HEADER, 4096, 8192, stubs, 0, HEADER, 0, HEADER)
    return (text + bytes(HEADER - len(text))).ljust(4096, b"\0") + bytes(8192)


def test_inspect_tells_the_calls():
    with Home() as home:
        home.good("build", "-t", "cat", "/bin/cat")
        told, = json.loads(home.good("inspect", "--syscalls", "cat"))
        need(told["Sites"] > 500 and told["Patched"] >= told["Sites"] * 0.98, f"too few are patched: {told}")
        need({"read", "write", "openat", "exit_group"} <= set(told["Calls"]), f"calls are missing: {told['Calls']}")
        need(any(o["Path"].endswith("/libc.so.6") for o in told["Objects"]), "no word of the C library")
        home.good("build", "--no-patch", "-t", "bare", "/bin/cat")
        told, = json.loads(home.good("inspect", "--syscalls", "bare"))
        need(told["Sites"] == 0 and not told["Calls"], f"an image without patches tells of some: {told}")


def test_patches_that_are_no_good_are_ignored():
    with Home() as home:
        path, build_id = build_program(home)
        size = os.path.getsize(path)
        other = "00" * (len(build_id) // 2)
        bad = {
            "garbage": (os.urandom(5000), "it is no patch"),
            "cut short": (header(build_id, size)[:4096], "it is cut short"),
            "another version": (header(build_id, size, version=99), "another version"),
            "another gate": (header(build_id, size, gate=0x20000), "another version"),
            "another build": (header(other, size), "another build"),
            "another size": (header(build_id, size + 1), "another build"),
            "too many pages": (header(build_id, size, pages=1 << 30), "makes no sense"),
            "stubs out of the file": (header(build_id, size, stubs=1 << 20), "cut short"),
            "another place": (header(build_id, size), None),
            "nothing": (b"", None),
        }
        for what, (patch, said) in bad.items():
            file = os.path.join(home.tmp, "patch")
            with open(file, "wb") as out:
                out.write(patch)
            for isolation in ("process", "vm"):
                home.good("build", "--no-patch", "-t", "bad", "--file", f"{file}:/.ingot/patch/{build_id}.ipf", path)
                result = home.ingot("run", "--isolation", isolation, "bad")
                need(result.status == 7 and result.out == b"still here\n", f"{what}: it does not run\n{result.show()}")
                need(not said or said in result.errors(), f"{what}: nothing said\n{result.show()}")


ASKER = """#define _GNU_SOURCE
#include <stdio.h>
#include <unistd.h>
#include <sys/syscall.h>
int main(void) { puts(syscall(SYS_getppid) < 0 ? "refused" : "answered"); return 0; }
"""


def test_a_sealed_image_makes_no_other_calls():
    with Home() as home:
        path = os.path.join(home.tmp, "asker")
        subprocess.run(["gcc", "-static", "-x", "c", "-", "-o", path], input=ASKER.encode(), check=True)
        home.good("build", "-t", "open", path)
        home.good("build", "-t", "sealed", "--seal", path)
        home.good("build", "-t", "allowed", "--seal", "--allow", "getppid", path)
        home.good("build", "-t", "bare", "--no-patch", path)
        for isolation in ("process", "vm"):
            for words, want in ((["open"], b"answered\n"), (["sealed"], b"refused\n"), (["allowed"], b"answered\n"),
                                (["--seal", "open"], b"refused\n")):
                result = home.ingot("run", "--isolation", isolation, *words)
                need(result.status == 0 and result.out == want, f"{words}: not {want}\n{result.show()}")
                need(want != b"refused\n" or "'getppid' (110) is refused" in result.errors(), "nothing said")
            result = home.ingot("run", "--isolation", isolation, "--seal", "bare")
            need(result.status == 125 and "cannot seal" in result.errors(), f"sealed by nothing\n{result.show()}")
        result = home.ingot("build", "-t", "x", "--seal", "--allow", "getppidx", path)
        need(result.status == 2 and "'getppidx'" in result.errors(), f"an unknown call\n{result.show()}")
        result = home.ingot("build", "-t", "x", "--seal", "--no-patch", path)
        need(result.status == 2, f"two that exclude each other\n{result.show()}")


def test_a_sealed_program_of_many_libraries_runs():
    with Home() as home:
        result = home.ingot("run", "--seal", "-m", "128M", "/usr/bin/python3", "-c",
                            "import json, threading, subprocess; t = threading.Thread(target=print, args=('hi',)); "
                            "t.start(); t.join()")
        need(result.status == 0 and result.out == b"hi\n", f"not the same\n{result.show()}")


def add_to(suite):
    for name, function in sorted(globals().items()):
        if name.startswith("test_"):
            suite.add("patches: " + name[5:].replace("_", " "), function)
