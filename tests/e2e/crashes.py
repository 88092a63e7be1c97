"""Crash reports: what is kept of a program, or a kernel, that dies, and what gdb makes of it."""
import json
import os
import re
import shutil
import subprocess

from commands import Home
from harness import BUILD, Skip, need, run
from instances import Lab, until

HERE = os.path.dirname(os.path.abspath(__file__))
LINKED_AT = 0x100000  # of the kernel: kernel.lds
PROGRAM = os.path.join(BUILD, "tests", "e2e", "crashing")


def build():
    subprocess.run(["gcc", "-g", "-O0", "-pthread", os.path.join(HERE, "programs", "crashing.c"), "-o", PROGRAM], check=True)


def gdb(program, core, *commands):
    if not shutil.which("gdb"):
        raise Skip("gdb is not installed")
    words = [word for command in commands for word in ("-ex", command)]
    return run(["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", *words, program, core]).text()


def crash(home, ground, *words, options=(), status=139):
    """Let it crash; the folder of its reports, and what the run said."""
    folder = os.path.join(home.path, "crashes")
    result = home.ingot("run", "--isolation", ground, "--crash-dir", folder, *options, PROGRAM, *words)
    need(result.status == status, f"status {result.status}, not {status}\n{result.show()}")
    return folder, result


def read(folder, name="crash-1.txt"):
    path = os.path.join(folder, name)
    need(os.path.exists(path), f"no {name} in {os.listdir(folder)}")
    with open(path, encoding="utf-8") as file:
        return file.read()


def explained(ground):
    with Home() as home:
        folder, result = crash(home, ground, "segv", "3")
        need(f"crash report: {folder}/crash-1.txt" in result.errors(), f"it is not said where\n{result.show()}")
        text = read(folder)
        for words in ("program: crashing (process 1)", "died of: SIGSEGV (11)", "[heap]", "/libc.so.6", "crashing (died) at",
                      "it wrote through a null pointer", "core file: crash-1.core"):
            need(words in text, f"no '{words}' in the report\n{text}")
        need(text.count("call 34") == 3, f"not three threads in pause()\n{text}")
        said = gdb(PROGRAM, os.path.join(folder, "crash-1.core"), "bt", "print global_number", "print global_text", "frame 0",
                   "print heap_text", "print kind", "thread apply all bt", "print $_siginfo.si_signo", "info auxv")
        for words in ("terminated with signal SIGSEGV", "innermost (depth=0, kind=", "innermost (depth=3,", "in main (argc=3",
                      '"a text"', '"text on the heap"', '"segv"', " = 45", " = 11", "AT_PHDR"):
            need(words in said, f"gdb does not say '{words}'\n{said}")
        for number in range(3):
            need(re.search(rf"sleeping_thread \(arg=0x{number}\)|sleeping_thread \(arg=<optimized out>\)", said),
                 f"thread {number} is not seen\n{said}")


def aborted(ground):
    with Home() as home:
        folder, _ = crash(home, ground, "abort", status=134)
        need("died of: SIGABRT (6)" in read(folder), "not told why")
        said = gdb(PROGRAM, os.path.join(folder, "crash-1.core"), "bt")
        need("abort ()" in said and "in main (argc=2" in said, f"gdb does not find main behind abort()\n{said}")


def thread_that_crashes(ground):
    with Home() as home:
        folder, _ = crash(home, ground, "thread", "2")
        said = gdb(PROGRAM, os.path.join(folder, "crash-1.core"), "bt", "thread apply all bt")
        need("#0 " in said and "crashing_thread (arg=0x0)" in said, f"gdb does not begin with the thread that died\n{said}")
        need("pthread_join" in said and said.count("in sleeping_thread") == 2, f"the others are not seen\n{said}")


def busy_on_another_cpu(ground):
    with Home() as home:
        folder, _ = crash(home, ground, "busy", options=("--cpus", "2"))
        said = gdb(PROGRAM, os.path.join(folder, "crash-1.core"), "thread apply all bt")
        need("busy_thread (arg=" in said and "innermost (depth=0" in said, f"not both are seen\n{said}")


def child_that_crashes():
    with Home() as home:
        folder, result = crash(home, "vm", "child", status=0)
        need(result.out == b"the child died of 11, core\n", f"not the child's end\n{result.show()}")
        need(re.search(r"\(process [2-9]", read(folder)), "not told which process")
        need("in main (argc=2" in gdb(PROGRAM, os.path.join(folder, "crash-1.core"), "bt"), "gdb does not find main")


def limits_are_kept(ground):
    with Home() as home:
        for how in ("limit", "private"):
            folder, _ = crash(home, ground, "segv", "0", how)
            need("core file: none" in read(folder), f"{how}: not said that there is none")
            need(not [name for name in os.listdir(folder) if name.endswith(".core")], f"{how}: a core file all the same")
            shutil.rmtree(folder)


def number_is_bounded():
    with Home() as home:
        for _ in range(7):
            folder, _ = crash(home, "process", "abort", status=134)
        names = sorted(os.listdir(folder))
        need(names == sorted(f"crash-{n}.{end}" for n in range(3, 8) for end in ("core", "txt")), f"not the last five: {names}")


def kernel_that_panics(ground):
    with Home() as home:
        folder, result = crash(home, ground, "panic", status=125)
        need("the kernel panicked: somebody wrote c to /proc/sysrq-trigger" in result.errors(), f"not told\n{result.show()}")
        text = read(folder)
        for words in ("kernel: somebody wrote c", "(store_sysrq+0x", "core file: crash-1.core"):
            need(words in text, f"no '{words}' in the report\n{text}")
        core = os.path.join(folder, "crash-1.core")
        need(os.stat(core).st_blocks * 512 < 64 << 20, "a guest that touched little leaves a large file")
        at = int(re.search(r"kernel\+0 is at 0x([0-9a-f]+)", text)[1], 16)
        kernel = os.path.join(BUILD, "ingot-kernel")
        said = gdb(PROGRAM, core, f"add-symbol-file {kernel} -o {at - LINKED_AT:#x}", "bt", "print boot_info.ram_bytes > 0",
                   "info threads")
        for words in ("end_in_panic (text=", "store_sysrq (", "sys_write (fd=", " = 1"):
            need(words in said, f"gdb does not say '{words}'\n{said}")
        for path in (core, os.path.join(folder, "crash-1.txt")):
            said = home.good("debug", "--core", path, "-nx", "-batch", "-iex", "set debuginfod enabled off", "-ex", "bt", "-ex", "info line main")
            need("store_sysrq (" in said and "crashing.c" in said, f"debug --core says\n{said}")
        for path, why in (("nothing.core", "there is no"), (PROGRAM, "neither crash-N.core nor")):
            result = home.ingot("debug", "--core", path)
            need(result.status == 1 and why in result.errors() and len(result.errors().splitlines()) == 1, result.show())


def program_that_is_only_in_the_image():
    """What was compiled for the image: gdb has the core file alone, and the command ends as gdb does."""
    with Home() as home:
        source, folder = os.path.join(home.path, "fall.c"), os.path.join(home.path, "crashes")
        with open(source, "w", encoding="ascii") as file:
            file.write("int main(void)\n{\n    __builtin_trap();\n}\n")
        home.ingot("run", "--crash-dir", folder, source)
        said = home.good("debug", "--core", os.path.join(folder, "crash-1.core"), "-nx", "-batch", "-ex", "info registers rip")
        need("SIGILL" in said and "rip " in said, said)


def full_disk(ground):
    with Home() as home:
        folder = os.path.join(home.path, "crashes")
        os.mkdir(folder)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], check=False, capture_output=True)
        if done.returncode:
            raise Skip("no disk can be mounted here")
        try:
            crash(home, ground, "big", "2")
            text = read(folder)
            need("core file: incomplete: No space left on device" in text and "memory map:" in text, f"not told\n{text}")
        finally:
            subprocess.run(["umount", folder], check=False)


def of_an_instance(ground):
    with Lab() as lab:
        lab.start("a", ground=ground, program=[PROGRAM, "segv"])
        lab.is_now("a", "exited")
        crashes = json.loads(lab.good("inspect", "a"))[0]["Crashes"]
        need(len(crashes) == 1 and crashes[0]["Report"].endswith("/a/crash/crash-1.txt"), f"inspect shows {crashes}")
        need("died of: SIGSEGV" in read(os.path.dirname(crashes[0]["Report"])), "not the report")
        need(os.path.getsize(crashes[0]["Core"]) > 0, "no core file")
        need(f"crash report: {crashes[0]['Report']}" in lab.ingot("logs", "a").errors(), "the log does not name it")
        lab.good("rm", "a")
        until(lambda: not os.path.exists(crashes[0]["Report"]))


def no_folder_for_it():
    with Home() as home:
        with open(os.path.join(home.path, "file"), "wb"):
            pass
        result = home.ingot("run", "--crash-dir", os.path.join(home.path, "file"), PROGRAM)
        need(result.status == 125 and "--crash-dir" in result.errors() and len(result.errors().splitlines()) == 1,
             f"not refused in a line\n{result.show()}")
        result = home.ingot("run", "--isolation", "process", PROGRAM, "abort")
        need("--crash-dir DIR keeps a core file" in result.errors(), f"not told how\n{result.show()}")


def add_to(suite):
    build()
    for ground in ("process", "vm"):
        for test in (explained, aborted, thread_that_crashes, busy_on_another_cpu, limits_are_kept, kernel_that_panics, full_disk, of_an_instance):
            suite.add(f"crash: {test.__name__.replace('_', ' ')} ({ground})", test, ground)
    for test in (child_that_crashes, number_is_bounded, no_folder_for_it, program_that_is_only_in_the_image):
        suite.add("crash: " + test.__name__.replace("_", " "), test)
