"""Real servers, unmodified, in a VM behind the user-mode network: each is spoken to from outside by plain
sockets, checks its answers byte by byte, and ends by StopSignal."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

from harness import INGOT, Failure, Skip, need


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(guest_port, command, options=()):
    """Start a server; yields the port of this machine that leads to it once it takes connections."""
    program = shutil.which(command[0])
    if not program:
        raise Skip(f"{command[0]} is not installed")
    port = free_port()
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen([INGOT, "run", "-m", "128M", "-p", f"127.0.0.1:{port}:{guest_port}", *options,
                                  program, *command[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 start_new_session=True)
        try:
            yield port, child
            child.send_signal(signal.SIGINT)
            status = child.wait(timeout=20)
            need(status in (0, 130, -signal.SIGINT, 143), f"status {status} after Ctrl-C")
        except (OSError, Failure, subprocess.TimeoutExpired) as error:
            log.seek(0)
            raise Failure(f"{error}\n    " + log.read()[-2000:].decode(errors="replace")) from None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def talk(port, request, wanted, deadline=30):
    """Send a request until the answer begins as it must: the server may still be starting."""
    end, answer = time.monotonic() + deadline, b""
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
                link.sendall(request)
                answer = b""
                while len(answer) < len(wanted):
                    more = link.recv(65536)
                    if not more:
                        break
                    answer += more
        except OSError:
            pass
        if answer.startswith(wanted):
            return
        time.sleep(0.1)
    raise Failure(f"answer {answer[:80]!r} instead of {wanted!r}")


def redis():
    with server(6379, ["redis-server", "--protected-mode", "no", "--save", ""]) as (port, _):
        talk(port, b"PING\r\n", b"+PONG\r\n")
        value = bytes(range(256)) * 400
        talk(port, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%s\r\n" % (len(value), value), b"+OK\r\n")
        talk(port, b"GET k\r\n", b"$%d\r\n%s\r\n" % (len(value), value))
        with contextlib.ExitStack() as stack:  # fifty at once, each a hundred commands deep
            links = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
                     for _ in range(50)]
            for link in links:
                link.sendall(b"INCR n\r\n" * 100)
            for link in links:
                answer = b""
                while answer.count(b"\r\n") < 100:
                    answer += link.recv(65536)
        talk(port, b"GET n\r\n", b"$4\r\n5000\r\n")


def memcached():
    with server(11211, ["memcached", "-u", "root"]) as (port, _):
        talk(port, b"set a 0 0 3\r\nabc\r\nget a\r\n", b"STORED\r\nVALUE a 0 3\r\nabc\r\nEND\r\n")


def nginx():
    with tempfile.TemporaryDirectory() as site:
        data = os.urandom(3 << 20)
        for name, content in (("small.html", b"x" * 612), ("large.bin", data)):
            with open(os.path.join(site, name), "wb") as file:
                file.write(content)
        config = os.path.join(site, "nginx.conf")
        with open(config, "w", encoding="ascii") as file:
            file.write("user root;\nevents {}\nhttp { access_log off; sendfile on; server { listen 80; root /site; } }\n")
        options = ["--file", f"{site}:/site", "--file", f"{config}:/etc/nginx/nginx.conf"]
        with server(80, ["nginx", "-g", "daemon off; master_process off;"], options) as (port, _):
            talk(port, b"GET /small.html HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n")
            url = f"http://127.0.0.1:{port}/large.bin"
            with urllib.request.urlopen(url, timeout=60) as answer:
                need(answer.read() == data, "three MiB came back changed")


def python():
    with server(8000, ["/usr/bin/python3", "-m", "http.server", "8000"]) as (port, _):
        talk(port, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n")


def nobody_listens():
    """A port that no program has open refuses at once: the connection closes without an answer."""
    with server(80, ["sleep", "30"]) as (port, _):
        time.sleep(3)
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
            with contextlib.suppress(ConnectionResetError):
                need(link.recv(1) == b"", "somebody answered")
        need(time.monotonic() - start < 5, "it took its time")


def add_to(suite):
    for test in (redis, memcached, nginx, python, nobody_listens):
        suite.add(f"server: {test.__name__}", test)
