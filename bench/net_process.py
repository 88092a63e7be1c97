"""Servers in a process behind a tap, beside the same servers in a podman container behind its bridge, and natively
in a namespace behind a veth pair.  All hang on one bridge, and are asked in turns from the bridge's side."""
import contextlib
import os
import shutil
import subprocess
import tempfile

import podman
from guests import BUILD
from net import GUEST, HOST, LOAD, SERVERS, TAP, Namespace, missing, write_files

INGOT = os.path.join(BUILD, "ingot")
NATIVE, BRIDGE = "10.77.0.3", "br0"
ROUNDS = 3


@contextlib.contextmanager
def bridge(space):
    """The tap and a veth pair on one bridge; yields the namespace at the pair's far end."""
    inner = space.name + "-c"
    subprocess.run(["ip", "netns", "add", inner], check=True)
    try:
        for words in (("addr", "del", HOST + "/24", "dev", TAP), ("link", "add", BRIDGE, "type", "bridge"),
                      ("addr", "add", HOST + "/24", "dev", BRIDGE), ("link", "set", BRIDGE, "up"),
                      ("link", "set", TAP, "master", BRIDGE),
                      ("link", "add", "veth0", "type", "veth", "peer", "name", "eth0", "netns", inner),
                      ("link", "set", "veth0", "master", BRIDGE, "up")):
            space.run("ip", *words)
        for words in (("addr", "add", NATIVE + "/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
            subprocess.run(["ip", "-n", inner, *words], check=True)
        yield inner
    finally:
        subprocess.run(["ip", "netns", "delete", inner], check=False)


def rate(space, load, address):
    """Requests a second: the best of two."""
    count = 8 * load.requests
    return max(count / load.ask(space, count, address) for _ in range(2))


@contextlib.contextmanager
def running(command, **kwargs):
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             **kwargs)
    try:
        yield child
    finally:
        child.terminate()
        child.wait()


def native_command(inner, server, program, paths):
    args = [paths.get(word, word) for word in server.args]
    return ["ip", "netns", "exec", inner, program, *args]


def native_files(server, folder):
    """Configurations with the folder in place of the guest's root."""
    files = {path: content.replace(b"/site", folder.encode() + b"/site") for path, content in server.files.items()}
    for path, content in files.items():
        target = folder + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(content)
    return {path: folder + path for path in files}


def in_a_container(space, server, program, folder):
    return contextlib.nullcontext() if podman.missing() else podman.container(space, BRIDGE, server, program, folder)


def compare(space, inner, server, program):
    """Rows: the best of each, and ours to the container's."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as root, \
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as image:
        os.chmod(root, 0o755)
        files = [word for path, host in write_files(folder, server).items() for word in ("--file", f"{host}:{path}")]
        ours = space.inside([INGOT, "run", "-q", "--isolation", "process", "--net", f"tap:{TAP},ip={GUEST}/24", *files,
                             program, *server.args])
        theirs = native_command(inner, server, program, native_files(server, root))
        port, request = server.first
        with running(ours), running(theirs, cwd=root), in_a_container(space, server, program, image) as container:
            addresses = [GUEST, *([container] if container else []), NATIVE]
            for address in addresses:
                space.run(LOAD, address, str(port), "1", "1", request, timeout=30)
            for load in server.loads:
                best = dict.fromkeys(addresses, 0)
                for _ in range(ROUNDS):
                    for address in best:
                        best[address] = max(best[address], rate(space, load, address))
                yield [load.title, *(f"{best[address]:,.0f}" for address in addresses),
                       *(f"{best[GUEST] / best[address]:.2f}" for address in addresses[1:])]


def bench_net_process(report, _machines):
    if missing():
        report.add(f"net in a process: skipped: {missing()}.\n")
        return
    wanted, rows = os.environ.get("BENCH_SERVERS", "").split(), []
    with Namespace() as space, bridge(space) as inner:
        for server in SERVERS:
            program = shutil.which(server.program)
            if program and (not wanted or server.program in wanted):
                rows += compare(space, inner, server, program)
    others = [*([] if podman.missing() else ["podman container"]), "native, veth"]
    if podman.missing():
        report.add(f"Containers are not compared: {podman.missing()}.\n")
    report.table(["requests/s, 50 clients, a bridge", "in a process, tap", *others, *(f"ours to {other}" for other in others)], rows)
