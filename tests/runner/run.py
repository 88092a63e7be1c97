#!/usr/bin/env python3
"""The runner against a VMM that is only played (tests/fake): streams, signals, statuses, bad ends.

    tests/runner/run.sh [NAME...]"""
import contextlib
import fcntl
import inspect
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BUILD, INGOT, ROOT, Failure, Skip, Suite, arguments, need, need_ingot, run  # noqa: E402

FAKE = {"PATH": os.path.join(ROOT, "tests", "fake") + ":" + os.environ["PATH"]}
TARGET = os.environ.get("RUNNER_TARGET", "/bin/true")


def ingot(*words, options=(), **kwargs):
    kwargs.setdefault("env", FAKE)
    return run([INGOT, "run", *options, TARGET, *words], timeout=20, **kwargs)


LONG = ["--stop-timeout", "600"]  # what ends sooner was not waited for


def popen(*words, options=(), **kwargs):
    return subprocess.Popen([INGOT, "run", *options, TARGET, *words], env={**os.environ, **FAKE},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                            **kwargs)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(word) for word in f.read().split()]


def gone(pid, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as f:
                if f.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def same(got, want, what):
    need(got == want, f"{what}: {got!r} instead of {want!r}")


def input_reaches_output():
    data = os.urandom(3_000_000)
    result = ingot("echo", stdin=data)
    same(result.status, 0, "status")
    need(result.out == data, f"{len(result.out)} of {len(data)} bytes came back, or others")


def input_can_be_empty():
    result = ingot("echo", stdin=b"abc", options=["-i=false"])
    same((result.status, result.out), (0, b""), "status and output")


def streams_stay_apart():
    result = ingot("streams", "1000000")
    same(result.status, 3, "status")
    same((len(result.out), set(result.out)), (1000000, set(b"o")), "standard output")
    same((len(result.err), set(result.err)), (1000000, set(b"e")), "standard error")


def output_to_a_file_is_whole():
    with tempfile.TemporaryFile() as file:
        child = subprocess.run([INGOT, "run", TARGET, "streams", "500000"], stdout=file,
                               stderr=subprocess.DEVNULL, env={**os.environ, **FAKE}, timeout=60,
                               check=False, stdin=subprocess.DEVNULL)
        same((child.returncode, file.seek(0, 2)), (3, 500000), "status and size")


def slow_reader_gets_all():
    child = popen("streams", "700000")
    time.sleep(0.3)
    out, err = child.communicate(timeout=60)
    same((child.returncode, len(out), len(err)), (3, 700000, 700000), "status and sizes")


def reader_that_leaves_ends_the_program():
    child = popen("flood")
    need(child.stdout.read(2) == b"y\n", "no output")
    child.stdout.close()
    same(child.wait(60), 128 + 13, "status")


def reader_that_left_before_a_write():
    child = popen("echo")
    child.stdout.close()
    same(child.wait(60), 0, "status")


def socket_reader_that_leaves_ends_the_program():
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen([INGOT, "run", TARGET, "flood"], env={**os.environ, **FAKE},
                                 stdout=theirs, stdin=theirs)
    need(ours.recv(2) == b"y\n", "no output")
    ours.close()
    same(child.wait(60), 128 + 13, "status")


def closed_streams_do_no_harm():
    child = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", INGOT, "run", TARGET, "streams",
                            "100000"], env={**os.environ, **FAKE}, timeout=60, check=False)
    same(child.returncode, 3, "status")


def interrupt_stops_the_program():
    child = popen("wait")
    need(child.stdout.read(6) == b"ready\n", "no output")
    child.send_signal(signal.SIGINT)
    same(child.wait(60), 128 + 15, "status")


def second_interrupt_ends_the_vm():
    child = popen("deaf", options=LONG)
    need(child.stdout.read(6) == b"ready\n", "no output")
    vmm = children(child.pid)
    child.send_signal(signal.SIGINT)
    time.sleep(0.3)  # at once it would be the same wish
    need(child.poll() is None, "it ended at the first signal")
    child.send_signal(signal.SIGINT)
    same(child.wait(60), 137, "status")
    need(vmm and all(map(gone, vmm)), "the VMM is still there")


def grace_time_ends_the_vm():
    child = popen("deaf", options=["--stop-timeout", "1"])
    need(child.stdout.read(6) == b"ready\n", "no output")
    start = time.monotonic()
    child.send_signal(signal.SIGTERM)
    same(child.wait(60), 137, "status")
    need(0.9 < time.monotonic() - start < 9, "not after the grace time")  # without a word it is ten seconds
    need(b"did not stop" in child.stderr.read(), "no word about it")


def timeout_ends_the_vm():
    result = ingot("deaf", options=["--timeout", "1"])
    same(result.status, 124, "status")
    need("--timeout" in result.errors(), "no word about it")


def death_of_the_runner_ends_the_vmm():
    child = popen("deaf")
    need(child.stdout.read(6) == b"ready\n", "no output")
    vmm = children(child.pid)
    child.kill()
    child.wait()
    need(vmm and all(map(gone, vmm)), "the VMM is still there")


def signals_at_any_moment_leave_nothing():
    for delay_ms in range(0, 120, 6):
        child = popen("wait", options=["--stop-timeout", "1"])
        time.sleep(delay_ms / 1000)
        vmm = children(child.pid)
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
        need(all(map(gone, vmm)), f"after {delay_ms} ms: the VMM is still there")


def vmm_that_stays_is_ended():
    result = ingot("late")
    same((result.status, result.out), (4, b"done\n"), "status and output")


def panic_is_told_with_names():
    symbols = subprocess.run(["nm", os.path.join(BUILD, "ingot-kernel")], capture_output=True,
                             text=True, check=False).stdout
    named = [line.split() for line in symbols.splitlines() if re.search(r" [Tt] kernel_main$", line)]
    base = subprocess.run(["readelf", "-lW", os.path.join(BUILD, "ingot-kernel")],
                          capture_output=True, text=True, check=False).stdout
    start = min(int(m[1], 16) for m in re.finditer(r"LOAD +\S+ (\S+)", base))
    if not named:
        raise Skip("the kernel has no symbol kernel_main")
    for options in ([], ["-q"]):
        result = ingot("panic", f"{int(named[0][0], 16) - start:x}", options=options)
        same(result.status, 125, "status")
        need("(kernel_main+0x0)" in result.errors(), "no name\n" + result.show())
        need("panicked: at the end of it" in result.errors(), "no reason\n" + result.show())


def errors_have_dockers_statuses():
    for words, status in (("/x: no such file", 127), ("/x: not executable", 126),
                          ("corrupt EROFS", 125)):
        result = ingot("error", *words.split(" "))
        same(result.status, status, words)
        need(words in result.errors(), "no reason\n" + result.show())


def kernel_lines_are_sorted():
    result = ingot("messages", options=["--missing"])
    same(result.err, b'ingot: guest: a warning .[2J\ntrace: read(0, "x", 1) = 1\n'
                     b"missing: /etc/nothing\n", "standard error")
    with tempfile.TemporaryDirectory() as folder:
        trace = os.path.join(folder, "trace")
        result = ingot("messages", options=[f"--trace={trace}", "-q"])
        same(result.err, b"", "standard error")
        with open(trace) as file:
            same(file.read(), 'read(0, "x", 1) = 1\n', "trace")


def vmm_that_dies_is_told():
    for word, text in (("silent", "without saying how"), ("refuse", "it is on fire"),
                       ("killed", "signal 9")):
        result = ingot(word)
        same(result.status, 125, word)
        same(len(result.errors().splitlines()), 1, word + ": lines")
        need(text in result.errors(), f"{word}: no '{text}'\n" + result.show())


def vmm_that_is_missing_is_told():
    with tempfile.TemporaryDirectory() as folder: # images are still built
        os.symlink("/usr/bin/mkfs.erofs", os.path.join(folder, "mkfs.erofs"))
        result = ingot("echo", env={"PATH": folder})
    same(result.status, 125, "status")
    need("qemu-system-x86'" in result.errors(), "no package\n" + result.show())


def unquote(text):
    """Words of a kernel command line, as docs/architecture.md has it."""
    words, word, at, quoted = [], None, 0, False
    while at < len(text):
        c = text[at]
        at += 1
        if quoted and c == "\\":
            c = text[at]
            at += 1
            if c == "x":
                c, at = chr(int(text[at:at + 2], 16)), at + 2
            word += {"n": "\n", "t": "\t"}.get(c, c)
        elif c == '"':
            quoted, word = not quoted, word or ""
        elif c == " " and not quoted:
            words += [word] if word is not None else []
            word = None
        else:
            word = (word or "") + c
    return words + ([word] if word is not None else [])


def words_survive_quoting():
    odd = ["a b", "", "--", 'q"q', "back\\slash", "new\nline", "tab\t", "$HOME", "'", "x=y z", "ü"]
    result = ingot("arguments", *odd, options=["-e", 'V=1 "2"\\', "-e", "EMPTY=", "-w", "/a b"])
    words = unquote(result.text())
    same(words[words.index("--") + 2:], odd, "arguments")
    need('V=1 "2"\\' in words and "EMPTY=" in words and "ingot.cwd=/a b" in words, f"{words}")


def environment_comes_from_files_and_ours():
    with tempfile.NamedTemporaryFile("w", suffix=".env") as file:
        file.write("# comment\n\nA=1\nOURS\n")
        file.flush()
        result = ingot("arguments", options=["--env-file", file.name, "-e", "A=2", "-e", "NOT_SET"],
                       env={**FAKE, "OURS": "of the host"})
    words = unquote(result.text())
    same([w for w in words if w[:2] == "A=" or w[:4] in ("OURS", "NOT_")],
         ["A=1", "OURS=of the host", "A=2"], "environment")


def no_descriptor_leaks_into_the_vmm():
    with open("/dev/null") as null:
        os.set_inheritable(null.fileno(), True)
        child = subprocess.run([INGOT, "run", TARGET, "descriptors"], env={**os.environ, **FAKE},
                               stdin=subprocess.DEVNULL, capture_output=True, close_fds=False,
                               timeout=60, check=False)
    fds = {int(word) for word in child.stdout.split()}
    # 28 is the image's, which QEMU maps; one more is the listing's own.
    need(len(fds - {0, 1, 2, 10, 11, 12, 14, 15, 16, 28}) <= 1, f"open: {sorted(fds)}")


def usage_is_checked():
    for options, text in ((["--memory", "x"], "no size"), (["-m", "1k"], "too little"),
                          (["--cpus", "0"], "--cpus"), (["--machine", "vax"], "microvm"),
                          (["--isolation", "box"], "none of vm, process and auto"),
                          (["--memry", "1g"], "--memory"), (["--kernel", "/none"], "/none"),
                          (["--env-file", "/none"], "/none"), (["--accel", "x"], "--accel"),
                          (["-e", "=x"], "no name"), (["--stop-signal", "SIGX"], "SIGX")):
        result = ingot("echo", options=options)
        need(result.status in (2, 125), f"{options}: status {result.status}")
        same(len(result.errors().splitlines()), 1, f"{options}: lines")
        need(text in result.errors(), f"{options}: no '{text}'\n" + result.show())


def dry_run_starts_nothing():
    result = ingot("killed", options=["--dry-run"])
    same(result.status, 0, "status")
    need(b"-nodefaults" in result.out and b"ingot.stdout" in result.out, "no command")


def terminal_is_raw_and_restored():
    pid, master = pty.fork()
    if pid == 0:
        os.environ.update(FAKE)
        os.execv(INGOT, [INGOT, "run", "-it", "--stop-timeout", "1", TARGET, "deaf_tty"])
    seen = b""
    while b"ready" not in seen and select.select([master], [], [], 60)[0]:
        seen += os.read(master, 4096)
    slave = os.open(os.readlink(f"/proc/{pid}/fd/0"), os.O_RDWR | os.O_NOCTTY)

    def stty():
        return subprocess.run(["stty", "-a"], stdin=slave, capture_output=True, text=True,
                              check=False).stdout

    raw = stty()
    need("-echo " in raw and "-icanon" in raw, f"not raw: {raw} {seen}")
    os.write(master, b"\x1d\x1d\x1d")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    cooked = stty()
    same(status, 137, "status")
    need(" echo " in cooked and " icanon" in cooked, f"not restored: {cooked}")


# ---- the same with a guest, on each ground


def guest(isolation, *words, options=(), **kwargs):
    return run([INGOT, "run", "--isolation", isolation, *options, *words], timeout=60, **kwargs)


def guest_input_reaches_output(isolation):
    data = os.urandom(2_000_000)
    result = guest(isolation, "/bin/cat", stdin=data)
    same(result.status, 0, "status")
    need(result.out == data, f"{len(result.out)} of {len(data)} bytes came back, or others")


def guest_feels_a_reader_that_leaves(isolation):
    child = subprocess.Popen([INGOT, "run", "--isolation", isolation, "/usr/bin/yes"], stdout=subprocess.PIPE,
                             stdin=subprocess.DEVNULL)
    need(child.stdout.read(2) == b"y\n", "no output")
    child.stdout.close()
    same(child.wait(60), 128 + 13, "status")


def guest_gets_every_word(isolation):
    words = ["a b", "", "--", 'q"q', "back\\slash", "new\nline", "ü", "x" * 5000]
    for few in (words[:-1], words):
        result = guest(isolation, "/usr/bin/printf", "%s|", *few, options=["-e", "root=5"])
        same(result.text(), "".join(w + "|" for w in few), "arguments")
    result = guest(isolation, "/usr/bin/env", options=["-e", "root=5", "-e", "A.B=c d", "-e", "E="])
    need({"root=5", "A.B=c d", "E="} <= set(result.text().splitlines()), "environment\n" + result.show())


def guest_stops_whenever_interrupted(isolation):
    for delay_ms in (*range(0, 60, 5), 100, 200, 400):
        child = subprocess.Popen([INGOT, "run", *LONG, "--isolation", isolation, "/bin/sleep", "900"], stderr=subprocess.PIPE,
                                 stdin=subprocess.DEVNULL)
        time.sleep(delay_ms / 1000)
        child.send_signal(signal.SIGINT)
        # Before a guest has begun, the signal simply ends us.
        need(child.wait(60) in (128 + 15, -signal.SIGINT, 128 + 2),
             f"after {delay_ms} ms: status {child.returncode}: {child.stderr.read()}")


def vm_that_writes_to_its_serial_line_stops():
    """The line's status shows a break once, and whoever writes reads the status too."""
    child = subprocess.Popen([INGOT, "run", "--isolation", "vm", "/bin/sh", "-c",
                              "echo up; while :; do echo line; done >/dev/ttyS0"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    need(child.stdout.readline() == b"up\n", "no output")
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    child.stdout.close()
    same(child.wait(60), 128 + 15, "status")


def slow_reader_loses_nothing_of_the_serial_line():
    """A byte a message, of which a socket holds a few hundred: the guest waits for us."""
    child = subprocess.Popen([INGOT, "run", "--isolation", "vm", "/bin/sh", "-c",
                              "echo up; sleep 0.2; seq 1000 1999 >/dev/ttyS0"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    need(child.stdout.readline() == b"up\n", "no output")
    child.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    child.send_signal(signal.SIGCONT)
    _, errors = child.communicate(timeout=60)
    same(child.returncode, 0, "status")
    want = [f"ingot: guest: {i}" for i in range(1000, 2000)]
    same([line for line in errors.decode().splitlines() if "guest: " in line], want, "lines")


def build_sleep():
    """Make the image, so that the children of a run are those that carry the guest."""
    subprocess.run([INGOT, "run", "-q", "--isolation", "process", "/bin/sleep", "0"], stdin=subprocess.DEVNULL, check=True, timeout=60)


def states_of(pids):
    return [open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] for pid in pids]


def guest_sleeps_with_us(isolation):
    build_sleep()
    child = subprocess.Popen([INGOT, "run", "--isolation", isolation, "/bin/sleep", "3"], stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (vmm := children(child.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    child.send_signal(signal.SIGTSTP)
    deadline = time.monotonic() + 60
    while (states := states_of([child.pid, *vmm])) != ["T", "T"] and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGCONT)
    same(child.wait(60), 0, "status")
    same(states, ["T", "T"], "states")


def guest_output_waits_for_a_slow_reader(isolation):
    """All that the program wrote before it ended arrives, though pipes and rings were full then."""
    child = subprocess.Popen([INGOT, "run", "--isolation", isolation, "/usr/bin/head", "-c", "1048576", "/dev/zero"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)
    got = 0
    while piece := child.stdout.read(4096):
        got += len(piece)
        time.sleep(0.003)
    same(got, 1 << 20, "bytes")
    same(child.wait(60), 0, "status")


def guest_has_a_terminal(isolation):
    pid, master = pty.fork()
    if pid == 0:
        os.execv(INGOT, [INGOT, "run", "--isolation", isolation, "-q", "/bin/bash", "-c",
                         'echo ready; read x; echo "got $x"; read y'])
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))

    def until(text):
        seen = b""
        while text not in seen:
            need(select.select([master], [], [], 60)[0], f"no {text}: {seen}")
            seen += os.read(master, 4096)

    until(b"ready\r\n")
    os.write(master, b"foo\r")
    until(b"foo\r\ngot foo\r\n")
    os.write(master, b"\x03")
    until(b"^C")
    same(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 130, "status")


WATCHER = """import os, signal, time
heard = []
signal.signal(signal.SIGWINCH, lambda *_: heard.append(os.get_terminal_size()))
print('ready', flush=True)
for i in range(2):
    while len(heard) <= i:
        time.sleep(0.02)
    print('size', *heard[i], flush=True)
"""


def a_terminal_grows_and_shrinks(isolation):
    """The program hears it, and finds the size that the user's terminal has."""
    pid, master = pty.fork()
    if pid == 0:
        os.execv(INGOT, [INGOT, "run", "--isolation", isolation, "-q", "/usr/bin/python3", "-c", WATCHER])
    seen = b""
    for text, size in ((b"ready\r\n", (44, 133)), (b"size 133 44\r\n", (12, 40)), (b"size 40 12\r\n", None)):
        while text not in seen:
            need(select.select([master], [], [], 90)[0], f"no {text}: {seen}")
            try:
                seen += os.read(master, 4096)
            except OSError as end:
                raise Failure(f"it ended before {text}: {seen}") from end
        if size:
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    same(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, "status")


def three_keys_end_a_guest_that_listens_to_nothing(isolation):
    pid, master = pty.fork()
    if pid == 0:
        os.execv(INGOT, [INGOT, "run", "--isolation", isolation, "-q", "/bin/bash", "-c",
                         "trap '' INT TERM; echo ready; while :; do :; done"])
    seen = b""
    while b"ready" not in seen and select.select([master], [], [], 60)[0]:
        seen += os.read(master, 4096)
    need(b"ready" in seen, f"not ready: {seen}")
    os.write(master, b"\x1d\x1d\x1d")
    same(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 137, "status")


def sandbox_and_device_of(pid):
    found = {}
    for child in children(pid):
        with open(f"/proc/{child}/cmdline", "rb") as file:
            found["device" if file.read().startswith(b"ingot-device:") else "sandbox"] = child
    return found.get("sandbox"), found.get("device")


def start_with_network():
    build_sleep()
    child = subprocess.Popen([INGOT, "run", "--isolation", "process", "--net", "user", "/bin/sleep", "900"],
                             stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for _ in range(1200):
        sandbox, device = sandbox_and_device_of(child.pid)
        if device:
            with open(f"/proc/{device}/status", encoding="ascii") as file:
                if "Seccomp:\t2" in file.read():
                    return child, sandbox, device
        time.sleep(0.05)
    child.kill()
    raise Failure(f"no device process: {child.communicate()[1]}")


def process_without_network_has_no_device_process():
    build_sleep()
    child = subprocess.Popen([INGOT, "run", "--isolation", "process", "/bin/sleep", "900"], stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not children(child.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)  # for whom else might come
    sandbox, device = sandbox_and_device_of(child.pid)
    child.kill()
    child.wait(60)
    need(sandbox and not device, f"sandbox {sandbox}, device process {device}")


def device_process_is_confined():
    child, _, device = start_with_network()
    with open(f"/proc/{device}/status", encoding="ascii") as file:
        status = file.read()
    fds = len(os.listdir(f"/proc/{device}/fd"))
    child.kill()
    child.wait(60)
    for word in ("Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"):
        need(word in status, f"no {word}\n{status}")
    need(fds < 20, f"{fds} descriptors")
    need(gone(device), "it outlives the runner")


def device_process_killed_ends_the_guest_with_a_word():
    child, sandbox, device = start_with_network()
    os.kill(device, signal.SIGKILL)
    same(child.wait(60), 125, "status")
    words = child.stderr.read()
    need("device process was killed by signal 9" in words, words)
    need(gone(sandbox), "the sandbox lives on")


def sandbox_killed_ends_the_device_process():
    child, sandbox, device = start_with_network()
    os.kill(sandbox, signal.SIGKILL)
    same(child.wait(60), 125, "status")
    need(gone(device), "the device process lives on")


def runner_killed_leaves_nothing():
    child, sandbox, device = start_with_network()
    child.kill()
    child.wait(60)
    need(gone(sandbox) and gone(device), "something lives on")


def guest_root_may_be_a_disk():
    result = guest("vm", "/bin/echo", "hi", options=["-m", "8M", "--machine", "q35", "--dry-run"])
    need("root=/dev/vda" in result.text(), "not on a disk")
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("more\n")
        file.flush()
        result = guest("vm", "/bin/cat", "/a b", options=["-m", "8M", "--file", f"{file.name}:/a b"])
    same((result.status, result.out), (0, b"more\n"), "status and output\n" + result.show())


def process_keeps_to_its_memory():
    grow = "a = bytearray(300 << 20)\nfor i in range(0, len(a), 4096): a[i] = 1"
    result = guest("process", "/usr/bin/python3", "-c", grow, options=["-m", "128M"])
    need(result.status == 125 and "out of memory" in result.errors(), "it went on\n" + result.show())


def process_tree_is_one_child_that_dies_with_us():
    build_sleep()
    child = subprocess.Popen([INGOT, "run", "--isolation", "process", "/bin/sleep", "900"],
                             stdin=subprocess.DEVNULL)
    status, deadline = "", time.monotonic() + 60
    while "Seccomp:\t2" not in status and time.monotonic() < deadline:
        time.sleep(0.05)
        sandbox = children(child.pid)
        with contextlib.suppress(OSError):
            status = open(f"/proc/{sandbox[0]}/status").read() if sandbox else ""
    time.sleep(0.5)  # for whom else might come
    sandbox = children(child.pid)
    same(len(sandbox), 1, "children")
    same(children(sandbox[0]), [], "children of the sandbox")
    need("Seccomp:\t2" in status and "NoNewPrivs:\t1" in status, status)
    child.kill()
    child.wait(60)
    need(gone(sandbox[0]), "it lives on")


def process_is_the_ground_where_kvm_is_not():
    result = run([INGOT, "run", "--dry-run", "--isolation", "auto", "/bin/true"])
    need("ingot-tender" in result.text() or "-accel kvm" in result.text(), "neither\n" + result.show())
    result = run([INGOT, "run", "--dry-run", "--isolation", "process", "--net", "user", "/bin/true"])
    need("ingot-device" in result.text(), "no device process\n" + result.show())
    result = run([INGOT, "run", "--dry-run", "--isolation", "auto", "--accel", "tcg", "/bin/true"])
    need("-accel tcg" in result.text(), "no emulator where one was asked for\n" + result.show())


def doctor_speaks_json():
    result = run([INGOT, "doctor", "--format", "json"])
    report = json.loads(result.out)
    need(result.status == 0 and report, "no report\n" + result.show())


def main():
    need_ingot()
    suite = Suite("runner")
    skip = {"main", "guest", "ingot", "popen", "children", "gone", "same", "unquote", "need", "need_ingot",
            "run", "arguments", "start_with_network", "sandbox_and_device_of", "build_sleep", "states_of"}
    for name, function in list(globals().items()):
        if callable(function) and getattr(function, "__module__", "") == "__main__" \
                and name not in skip:
            if "isolation" in inspect.signature(function).parameters:
                for isolation in ("process", "vm"):
                    suite.add(f"{isolation}: {name.replace('_', ' ')}", function, isolation)
            else:
                suite.add(name.replace("_", " "), function)
    sys.exit(suite.run(arguments()[1]))


if __name__ == "__main__":
    main()
