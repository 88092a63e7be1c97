"""From the start of nginx to its first reply: native, as a guest in a process and in a VM, behind a
published port of the default network.  The guests run an image that was built before; they take
turns, and the least of each counts.  Beside them, the guest in a VM as it goes on from a snapshot
that was made of it once it had answered."""
import contextlib
import copy
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from guests import BUILD, Floor
from net import SERVERS, http_get
from net_process import native_files

INGOT = os.path.join(BUILD, "ingot")
PORT, ROUNDS, PATIENCE = 18080, 12, 20
GOALS = {"native": "", "in a process": "1.2 × native", "in a VM": "the floor + 40", "in a VM, from a snapshot": "the floor + 40"}


def answers(request):
    """True once the server has answered it; False where it is not there yet."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", PORT), timeout=5) as connection:
        connection.sendall(request)
        return connection.recv(64).startswith(b"HTTP/1.1 200")
    return False


def wait_for_reply(start):
    while not answers(http_get("/small.html").encode()):
        if time.monotonic() - start > PATIENCE:
            raise RuntimeError("nginx does not reply")
        time.sleep(0.0002)
    return (time.monotonic() - start) * 1e3


def first_reply(command, cwd, env):
    """Milliseconds from the command's start to its first reply."""
    start = time.monotonic()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             cwd=cwd, env=env, start_new_session=True)
    try:
        return wait_for_reply(start)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        child.wait()


def commands(nginx, folder, env):
    """title -> command; the guests' image is built on the way."""
    nginx = copy.copy(nginx)
    nginx.files = {path: content.replace(b"listen 80;", b"listen %d;" % PORT) for path, content in nginx.files.items()}
    paths = native_files(nginx, folder)
    files = [word for guest, here in paths.items() for word in ("--file", f"{here}:{guest}")]
    with open(folder + "/guest.conf", "wb") as file:
        file.write(nginx.files["/nginx.conf"])
    files += ["--file", f"{folder}/guest.conf:/nginx.conf"]
    program = shutil.which("nginx")
    subprocess.run([INGOT, "build", "-q", "-t", "nginx:1", *files, program], check=True, env=env, stdout=subprocess.DEVNULL)
    run = [INGOT, "run", "-q", "-p", f"127.0.0.1:{PORT}:{PORT}"]
    return {"native": [program, "-c", paths["/nginx.conf"]],
            "in a process": [*run, "--isolation", "process", "nginx:1", "-c", "/nginx.conf"],
            "in a VM": [*run, "--isolation", "vm", "nginx:1", "-c", "/nginx.conf"]}


def ingot(env, *words):
    subprocess.run([INGOT, *words], check=True, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def make_snapshot(env):
    ingot(env, "run", "-d", "-q", "--name", "warm", "-m", "64M", "-p", f"127.0.0.1:{PORT}:{PORT}", "--isolation", "vm", "nginx:1", "-c", "/nginx.conf")
    wait_for_reply(time.monotonic())
    ingot(env, "snapshot", "warm", "served")
    ingot(env, "rm", "-f", "warm")


def restored_reply(env):
    """Milliseconds from `ingot restore` to the first reply."""
    start = time.monotonic()
    ingot(env, "restore", "served", "--name", "again", "-p", f"127.0.0.1:{PORT}:{PORT}")
    try:
        return wait_for_reply(start)
    finally:
        ingot(env, "rm", "-f", "again")


def processor_ms(command, cwd):
    """Milliseconds of processor that it takes, the least of ten."""
    least = PATIENCE * 1e3
    for _ in range(10):
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=cwd)
        usage = os.wait4(child.pid, 0)[2]
        child.returncode = 0
        least = min(least, (usage.ru_utime + usage.ru_stime) * 1e3)
    return least


def add_emulated_alone(report, nginx, folder):
    """What TCG takes for nginx' own code, where it emulates a processor and no machine: no kernel is quicker."""
    emulator, empty = shutil.which("qemu-x86_64"), os.path.join(BUILD, "bench", "bench-hello")
    if not emulator:
        report.add("nginx under TCG without a kernel: skipped: qemu-x86_64 (qemu-user) is not installed.\n")
        return
    emulated = [emulator, "-cpu", "max,-erms,-fsrm"]
    both = [processor_ms([*emulated, *command], folder) for command in ([*nginx, "-t"], [empty])]
    report.add(f"nginx -t in QEMU's user mode, without any kernel below it: {both[0]:.1f} ms of processor, an empty program {both[1]:.1f}.\n")


def bench_first_reply(report, _machines):
    nginx = next(server for server in SERVERS if server.program == "nginx")
    if not shutil.which("nginx"):
        report.add("first reply: skipped: nginx is not installed.\n")
        return
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as store, tempfile.TemporaryDirectory() as state:
        os.chmod(folder, 0o755)
        env = {**os.environ, "INGOT_HOME": store, "INGOT_STATE": state}
        ways, floor = commands(nginx, folder, env), Floor()
        make_snapshot(env)
        times = {title: [] for title in ("floor", *ways, "in a VM, from a snapshot")}
        for _ in range(ROUNDS):
            times["floor"].append(floor.run().total * 1e3)
            for title, command in ways.items():
                times[title].append(first_reply(command, folder, env))
            times["in a VM, from a snapshot"].append(restored_reply(env))
        add_emulated_alone(report, ways["native"], folder)
    rows = [[title, f"{min(took):.1f}", f"{sorted(took)[len(took) // 2]:.1f}", GOALS.get(title, "")]
            for title, took in times.items()]
    report.table([f"nginx, start to first reply, ms ({ROUNDS} runs in turn)", "least", "median", "goal"], rows)
