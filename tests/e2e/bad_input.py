"""Bad input gets one clear line, a status, and nothing left behind."""
import contextlib
import os
import random
import re
import signal
import struct
import subprocess
import time

from commands import HELLO, Home
from harness import BUILD, INGOT, Failure, Skip, children_of, need, run, wait_ended

SEED = int(os.environ.get("SEED", "1"))


def one_line(result, *words, statuses=(1, 125, 126, 127)):
    """The command was refused with one line on standard error that has all the words."""
    lines = result.errors().strip().splitlines()
    need(result.status in statuses, f"status {result.status}, want one of {statuses}\n{result.show()}")
    need(len(lines) == 1, f"{len(lines)} lines instead of one\n{result.show()}")
    for word in words:
        need(word in lines[0], f"'{word}' is not named: {lines[0]}")
    need("panic" not in lines[0], f"a panic: {lines[0]}")


def static_program():
    return os.path.join(BUILD, "tests", "e2e", "filter-static")


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, 0o755)
    return path


def test_not_an_elf():
    with Home() as home:
        path = write(os.path.join(home.path, "notes.bin"), b"\x01\x02 just some bytes\n" * 10)
        one_line(home.ingot("run", path), "notes.bin")


def test_an_empty_file():
    with Home() as home:
        one_line(home.ingot("run", write(os.path.join(home.path, "empty"), b"")), "empty")


def test_no_such_file():
    with Home() as home:
        one_line(home.ingot("run", "/no/such/program"), "/no/such/program", statuses=(125,))
        one_line(home.ingot("run", "-d", "no-such-program-anywhere"), "no-such-program-anywhere", statuses=(125,))
        one_line(home.ingot("build", "/no/such/program"), "/no/such/program", statuses=(1,))


def test_a_directory_without_a_project():
    with Home() as home:
        one_line(home.ingot("run", home.tmp), "tmp")


def test_another_machines_elf():
    with Home() as home:
        with open(static_program(), "rb") as file:
            data = bytearray(file.read())
        struct.pack_into("<H", data, 18, 183)  # EM_AARCH64
        one_line(home.ingot("run", write(os.path.join(home.path, "arm"), data)), "arm")
        data[4] = 1  # ELFCLASS32
        one_line(home.ingot("run", write(os.path.join(home.path, "small"), data)), "small")


def test_a_truncated_elf():
    with Home() as home:
        with open(static_program(), "rb") as file:
            data = file.read()
        for size in (10, 63, 100, 1000, 4096):
            result = home.ingot("run", write(os.path.join(home.path, "cut"), data[:size]), timeout=30)
            one_line(result, "cut")


def compile_c(path, *flags, source="int main(void) { return 0; }\n"):
    subprocess.run(["gcc", "-x", "c", "-", "-o", path, *flags], input=source.encode(), check=True)
    return path


def test_a_missing_interpreter():
    with Home() as home:
        path = compile_c(os.path.join(home.path, "p"), "-Wl,--dynamic-linker=/lib/none.so.9")
        one_line(home.ingot("run", path), "/lib/none.so.9")


def test_a_missing_library():
    with Home() as home:
        library = compile_c(os.path.join(home.path, "libgone.so"), "-shared", "-fPIC",
                            source="int gone(void) { return 1; }\n")
        path = compile_c(os.path.join(home.path, "p"), "-Wl,--no-as-needed", "-L" + home.path, "-lgone")
        os.unlink(library)
        one_line(home.ingot("run", path), "libgone.so")


def test_a_flipped_bit_in_the_elf_ends_cleanly():
    rng = random.Random(SEED)
    with Home() as home:
        with open(static_program(), "rb") as file:
            good = file.read()
        for _ in range(6):
            data = bytearray(good)
            bit = rng.randrange(64 * 8 + 10 * 56 * 8)  # header and program headers
            data[bit // 8] ^= 1 << bit % 8
            result = home.ingot("run", write(os.path.join(home.path, "flipped"), data), timeout=30)
            need("panic" not in result.errors(), f"bit {bit}: a panic\n{result.show()}")


def blobs(home):
    """The store's content files, the largest last."""
    found = [os.path.join(folder, name) for folder, _, names in os.walk(home.store)
             for name in names if re.fullmatch(r"[0-9a-f]{64}", name)]
    return sorted(found, key=os.path.getsize)


def test_a_damaged_image():
    """Empty, truncated, flipped: each is named or harmless, and never a panic."""
    rng = random.Random(SEED)
    with Home() as home:
        home.good("build", "-t", "hello:1", HELLO)
        layer = blobs(home)[-1]
        os.chmod(layer, 0o644)
        with open(layer, "rb") as file:
            good = file.read()
        for name, data in (("empty", b""), ("truncated", good[:len(good) // 2]), ("short", good[:1500])):
            write(layer, data)
            result = home.ingot("run", "hello:1", timeout=30)
            need(result.status in (1, 125), f"{name}: status {result.status}\n{result.show()}")
            need("panic" not in result.errors(), f"{name}: a panic\n{result.show()}")
        for _ in range(6):
            data = bytearray(good)
            bit = rng.randrange(1024 * 8, 1024 * 8 + 512 * 8)  # superblock and first inodes
            data[bit // 8] ^= 1 << bit % 8
            write(layer, data)
            result = home.ingot("run", "hello:1", timeout=30)
            need("panic" not in result.errors(), f"bit {bit}: a panic\n{result.show()}")


def test_an_image_of_a_newer_version():
    """Its file system says that it uses what this kernel does not know: refused in words, on both grounds."""
    compat, incompat = 1024 + 8, 1024 + 80  # of the super block; without its checksum
    with Home() as home:
        home.good("build", "-t", "hello:1", HELLO)
        layer = blobs(home)[-1]
        os.chmod(layer, 0o644)
        with open(layer, "r+b") as file:
            file.seek(compat)
            file.write(bytes(4))
            file.seek(incompat + 3)
            file.write(b"\x40")
        for isolation in ("process", "vm"):
            result = home.ingot("run", "--isolation", isolation, "hello:1", timeout=60)
            need(result.status == 125 and "a feature newer than this kernel" in result.errors(), f"not refused\n{result.show()}")
            need("panic" not in result.errors() and not result.out, f"more than refused\n{result.show()}")


def test_too_little_memory():
    with Home() as home:
        started = time.monotonic()
        for size in ("1M", "2M", "3M"):
            result = home.ingot("run", "-m", size, "/usr/bin/python3", "-c", "1", timeout=30)
            need(result.status in (1, 2, 125, 137), f"{size}: status {result.status}\n{result.show()}")
            need(re.search(r"-m (\d+)M may do|3 MiB is the least", result.errors()), f"{size}: no advice\n{result.show()}")
            need("panic" not in result.errors(), f"{size}: a panic\n{result.show()}")
        advice = re.search(r"-m (\d+M) may do", result.errors()).group(1)
        home.good("run", "-m", advice, "/usr/bin/python3", "-c", "1", timeout=30)
        need(time.monotonic() - started < 75, "the VM did not end at once")


def test_a_program_that_wants_too_much():
    with Home() as home:
        result = home.ingot("run", "-m", "48M", "/usr/bin/python3", "-c", "x = bytearray(200 << 20); print(len(x))",
                            timeout=60)
        need(result.status != 0 and result.errors(), f"no error\n{result.show()}")
        need("panic" not in result.errors(), f"a panic\n{result.show()}")


def shell(home, script, *options):
    return home.ingot("run", "--isolation", "vm", *options, "/bin/sh", "-c", script)


def test_programs_that_the_image_does_not_allow():
    with Home() as home:
        allow = ["--allow-exec", "cat", "--allow-exec", "cp"]
        got = shell(home, "cp /bin/cat /tmp/mine; /tmp/mine /dev/null; echo $?", *allow)
        need(got.out == b"126\n", f"what was written was started\n{got.show()}")
        need("'/tmp/mine'" in got.errors() and "--allow-exec" in got.errors(), got.show())
        got = shell(home, "cp /bin/cat /tmp/mine; echo a | /tmp/mine", *allow, "--allow-exec", "@any")
        need(got.out == b"a\n" and got.status == 0, got.show())
        one_line(home.ingot("run", "--allow-exec", "no-such-program", "/bin/true"), "--allow-exec", "no-such-program")
        one_line(home.ingot("run", "--allow-exec", "a b", "/bin/true"), "'a b'")


def test_a_second_process_where_there_is_none():
    with Home() as home:
        got = shell(home, "(echo never)", "--single")
        need(got.status != 0 and b"never" not in got.out and "--single" in got.errors(), got.show())
        got = home.ingot("run", "--isolation", "process", "/bin/sh", "-c", "(echo never)")
        need(got.status != 0 and b"never" not in got.out and "--isolation vm" in got.errors(), got.show())


def test_a_fork_bomb():
    with Home() as home:
        bomb = "bomb() { bomb | bomb & }; bomb; while :; do (exit 0) && break; done; echo alive"
        got = home.ingot("run", "--isolation", "vm", "-m", "64M", "--timeout", "40", "--append", "ingot.pids=70", "/bin/sh",
                         "-c", bomb)
        need(got.status not in (124, 125) or b"panic" not in got.err, got.show())


def test_processes_that_want_too_much_memory():
    with Home() as home:
        program = os.path.join(home.path, "eat")
        compile_c(program, "-static", source="""#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
    int status, pid = fork();
    if (!pid) for (;;) { char *p = malloc(1 << 20); if (!p) _exit(1); memset(p, 1, 1 << 20); }
    waitpid(pid, &status, 0);
    printf("%d %d\\n", WIFSIGNALED(status), WTERMSIG(status));
    return 0;
}""")
        got = home.ingot("run", "--isolation", "vm", "-m", "64M", program)
        need(got.out == b"1 9\n" and got.status == 0, got.show())
        need(len(got.errors().strip().splitlines()) == 1 and "out of memory" in got.errors(), got.show())


BAD_VALUES = [  # what is typed, and what the line names
    (["run", "--hostname", "a init=/x", "TARGET"], "--hostname"),
    (["run", "--hostname", "a:b", "TARGET"], "--hostname"),
    (["run", "--hostname", "a" * 65, "TARGET"], "--hostname"),
    (["run", "--label", "", "TARGET"], "--label"),
    (["run", "--label", "=x", "TARGET"], "--label"),
    (["run", "--loglevel", "8", "TARGET"], "--loglevel"),
    (["run", "--cpus", "99999999999999999999", "TARGET"], "--cpus"),
    (["run", "--memory", "-5M", "TARGET"], "--memory"),
    (["export", "TARGET", "--format", "raw", "-o", "OUT", "--loglevel", "8"], "--loglevel"),
    (["export", "TARGET", "--format", "raw", "-o", "OUT", "--hostname", "a b"], "--hostname"),
    (["export", "TARGET", "--format", "firecracker", "-o", "OUT", "--memory", "0"], "--memory"),
    (["ps", "--filter", "status=asleep"], "'asleep'"),
    (["stop", "--time", "-5", "nobody"], "--time"),
    (["restart", "--time", "9999999999", "nobody"], "--time"),
    (["system"], "df or prune"),
    (["system", "usage"], "'df'"),
    (["system", "--hlp"], "--help"),
    (["system", "df", "x"], "'x'"),
    (["volume"], "rm or prune"),
    (["volume", "remove", "x"], "'rm'"),
    (["volume", "ls", "x"], "'x'"),
]


def test_bad_values():
    """Each is refused as wrong usage, in one line that names it, and nothing has begun."""
    with Home() as home:
        out = os.path.join(home.tmp, "out")
        for words, named in BAD_VALUES:
            words = [{"TARGET": HELLO, "OUT": out}.get(word, word) for word in words]
            one_line(home.ingot(*words), named, statuses=(2,))
        need(not os.path.exists(out), "something was written")


def test_drawings_that_cannot_be_written():
    with Home() as home:
        for option in ("--profile", "--boot-chart"):
            result = home.ingot("run", option, "/no/such/folder/x.svg", HELLO)
            one_line(result, option, "/no/such/folder", statuses=(125,))
            need(not result.out, "it ran all the same")


def test_unknown_words():
    with Home() as home:
        one_line(home.ingot("run", "--memry", "3", "/bin/true"), "--memry", "--memory", statuses=(2, 125))
        one_line(home.ingot("bild"), "bild", statuses=(2, 125))
        one_line(home.ingot("run", "-m", "12Q", "/bin/true"), "12Q", statuses=(1, 2, 125))
        one_line(home.ingot("run"), statuses=(2, 125))


def test_a_misspelt_key_in_an_ingotfile():
    with Home() as home:
        folder = os.path.join(home.path, "project")
        os.mkdir(folder)
        for text, word in (("FROM scratch\nENTRYPOIN [\"/x\"]\n", "ENTRYPOIN"),
                           ("FROM scratch\nCOPY absent.txt /x\nENTRYPOINT [\"/x\"]\n", "absent.txt"),
                           ("FROM scratch\nENTRYPOINT [\"/x\"\n", "2"),
                           ("", "Ingotfile")):
            with open(os.path.join(folder, "Ingotfile"), "w", encoding="ascii") as file:
                file.write(text)
            one_line(home.ingot("build", "-t", "x", folder), word, statuses=(1, 2, 125))


def test_a_store_that_cannot_be_written():
    with Home() as home:
        result = home.ingot("build", "-t", "x", HELLO, env={"INGOT_HOME": "/proc/ingot-store"})
        one_line(result, "/proc/ingot-store")
        result = home.ingot("build", "-t", "x", HELLO, env={"INGOT_HOME": "/dev/null/store"})
        one_line(result, "/dev/null")


def test_a_full_disk_leaves_the_store_as_it_was():
    with Home() as home:
        os.mkdir(home.store)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", home.store],
                          capture_output=True, check=False).returncode != 0:
            raise Skip("cannot mount a small file system")
        try:
            home.good("build", "-t", "hello:1", HELLO)
            before = home.good("images", "--format", "json")
            result = home.ingot("build", "-t", "big", "/usr/bin/python3")
            need(result.status != 0, "the build of a large image fitted")
            need(re.search("space|full", result.errors()), f"does not say why\n{result.show()}")
            need(home.good("images", "--format", "json") == before, "the list of images changed")
            need(home.ingot("run", "hello:1").status == 0, "the old image no longer runs")
            subprocess.run(["dd", "if=/dev/zero", f"of={home.store}/full", "bs=4k"], capture_output=True, check=False)
            for words in (("build", "-t", "x", "/bin/true"), ("run", "/bin/true"), ("volume", "create", "v"), ("tag", "hello:1", "h:2")):
                one_line(home.ingot(*words), "pace left on")
            one_line(home.ingot("rmi", "none:1"), "no image 'none:1'")
            need(home.good("images", "--format", "json") == before, "the list of images changed on a full disk")
            need(home.ingot("run", "hello:1").status == 0, "the old image no longer runs on a full disk")
        finally:
            subprocess.run(["umount", "-l", home.store], check=False)


def test_an_export_to_a_full_disk_names_its_result():
    with Home() as home:
        home.good("build", "-t", "hello:1", HELLO)
        small = os.path.join(home.path, "small")
        os.mkdir(small)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", small], capture_output=True, check=False).returncode:
            raise Skip("cannot mount a small file system")
        try:
            for kind in ("raw", "qcow2", "firecracker"):
                one_line(home.ingot("export", "hello:1", "--format", kind, "-o", f"{small}/out"), f"{small}/out: No space left on device")
            need(os.listdir(small) == [], "something is left")
        finally:
            subprocess.run(["umount", "-l", small], check=False)


def test_no_qemu():
    with Home() as home:
        path = os.path.join(home.path, "bin")
        os.mkdir(path)
        for name in os.listdir("/usr/bin"):
            if not name.startswith("qemu"):
                os.symlink(os.path.join("/usr/bin", name), os.path.join(path, name))
        one_line(home.ingot("run", "/bin/true", env={"PATH": path}), "qemu")
        said = home.ingot("doctor", env={"PATH": path}).text()
        need(re.search(r"^vm +missing", said, re.MULTILINE), f"the doctor has a VM without QEMU\n{said}")


def test_no_place_for_instances():
    with Home() as home:
        for place in ("/proc/state", "/dev/null/state"):
            one_line(home.ingot("run", "-d", "/bin/true", env={"INGOT_STATE": place}), place, "set INGOT_STATE")


def test_a_qemu_that_dies_at_once():
    with Home() as home:
        write(os.path.join(home.path, "qemu-system-x86_64"), b"#!/bin/sh\necho 'cannot go on' >&2\nexit 1\n")
        result = home.ingot("run", "/bin/true", env={"PATH": home.path + ":/usr/bin:/bin"}, timeout=30)
        need(result.status == 125, f"status {result.status}\n{result.show()}")
        need("cannot go on" in result.errors(), f"QEMU's own words are lost\n{result.show()}")


def start_sleeper(home):
    child = subprocess.Popen([INGOT, "run", "/bin/sleep", "900"], env={**os.environ, **home.env()},
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             start_new_session=True)
    return child


def is_qemu(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="ascii") as file:
        return file.read().startswith("qemu")
    return False


def test_qemu_killed_in_the_middle():
    with Home() as home:
        child = start_sleeper(home)
        end = time.monotonic() + 60
        while not any(is_qemu(pid) for pid in children_of(child.pid)) and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(0.5)
        victims = children_of(child.pid)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        _, err = child.communicate(timeout=60)
        need(victims, "it had no children")
        need(child.returncode == 125 and err.strip(), f"status {child.returncode}: {err.decode()}")
        need(not home.leftovers(), f"left behind: {home.leftovers()}")


def interrupt_after(delay):
    with Home() as home:
        child = start_sleeper(home)
        time.sleep(delay)
        family = children_of(child.pid)
        os.killpg(child.pid, signal.SIGINT)
        try:
            child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            raise Failure(f"after {delay:.3f} s: still running 60 s later") from None
        need(child.returncode != 0, f"after {delay:.3f} s: status 0")
        need(wait_ended(family, 5), f"after {delay:.3f} s: processes left behind")
        need(not home.leftovers(), f"after {delay:.3f} s: left behind {home.leftovers()}")


def test_ctrl_c_at_any_moment(long=False):
    rng = random.Random(SEED)
    for _ in range(40 if long else 6):
        interrupt_after(rng.uniform(0.005, 1.2))


def test_a_doubled_signal_is_one_wish():
    """timeout(1) sends its signal to the command, and then to the group that the command is in."""
    script = ("import signal, sys, time\n"
              "def end(*_):\n    time.sleep(0.5)\n    sys.exit(3)\n"
              "signal.signal(signal.SIGTERM, end)\nprint('up', flush=True)\nwhile True:\n    time.sleep(0.05)\n")
    with Home() as home:
        for ground in ("vm", "process"):
            child = subprocess.Popen([INGOT, "run", "-q", "--isolation", ground, "/usr/bin/python3", "-c", script],
                                     stdout=subprocess.PIPE, env={**os.environ, **home.env()})
            with child:
                child.stdout.readline()
                for number in (signal.SIGTERM, signal.SIGINT):
                    child.send_signal(number)
                need(child.wait(60) == 3, f"{ground}: status {child.returncode}: it was not left to end by itself")


def test_two_builds_of_one_tag_at_once():
    with Home() as home:
        command = [INGOT, "build", "-t", "same:1", HELLO]
        children = [subprocess.Popen(command, env={**os.environ, **home.env()}, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
        for child in children:
            _, err = child.communicate(timeout=120)
            need(child.returncode == 0, f"status {child.returncode}: {err.decode()[-300:]}")
        result = home.ingot("run", "same:1")
        need(result.status == 0 and b"Hello" in result.out, f"it does not run\n{result.show()}")


def test_output_to_a_closed_pipe():
    with Home() as home:
        shell = f"'{INGOT}' run /usr/bin/seq 1 1000000 | head -n 1"
        result = run(["bash", "-c", shell], env=home.env(), timeout=60)
        need(result.out == b"1\n", f"not the first line\n{result.show()}")


def test_what_is_no_program():
    with Home() as home:
        result = home.ingot("run", "/etc/passwd")
        need(result.status and "neither a program nor a script" in result.errors(), f"no clear word\n{result.show()}")


def test_output_to_a_full_device():
    with Home() as home:
        result = run(["bash", "-c", f"'{INGOT}' run /bin/echo x > /dev/full"], env=home.env(), timeout=60)
        need("No space left" in result.errors(), f"the lost output went unnoticed\n{result.show()}")
        shell = f"'{INGOT}' run --isolation process /bin/echo x > /dev/full"
        result = run(["bash", "-c", shell], env=home.env(), timeout=60)
        need(result.status == 1 and "No space left" in result.errors(), f"the program was not told\n{result.show()}")


def add_to(suite, long):
    for name, function in sorted(globals().items()):
        if name.startswith("test_"):
            extra = (long,) if name == "test_ctrl_c_at_any_moment" else ()
            suite.add("bad input: " + name[5:].replace("_", " "), function, *extra)
