"""A place for network tests: a thread in a network namespace of its own, guests behind user-mode
networks or taps, files to serve, and what asks for them.

Whatever a thread starts inside namespace() is inside too, so every test may use the same ports and
addresses as all others at the same time."""
import contextlib
import ctypes
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from harness import INGOT, PATIENCE, Failure, Skip, need

CLONE_NEWNET = 0x40000000
HOST, GUEST, TAP = "10.77.0.1", "10.77.0.2", "tap0"
HOST6, GUEST6 = "fd00:77::1", "fd00:77::2"
OUTSIDE = {"user": "10.0.2.2", "tap": HOST}    # how a guest calls this side
INSIDE = {"user": "127.0.0.1", "tap": GUEST}   # how this side calls the guest
WAYS = [(ground, way) for ground in ("vm", "process") for way in ("user", "tap")]
TAP_WORD = f"tap:{TAP},ip={GUEST}/24,gw={HOST},dns={HOST}"
_libc = ctypes.CDLL(None, use_errno=True)


def need_programs(*names):
    for name in names:
        if not find(name):
            raise Skip(f"{name} is not installed")


def find(name):
    """A program's path, also where only root's PATH has it."""
    return shutil.which(name, path=f"/usr/bin:/usr/sbin:/bin:/sbin:{os.environ.get('PATH', '')}:/usr/local/go/bin")


def command(*words, timeout=60, stdin=b"", check=True, env=None):
    """Run a program to its end; its standard output as bytes."""
    try:
        result = subprocess.run([find(words[0]) or words[0], *words[1:]], input=stdin, capture_output=True,
                                timeout=timeout * PATIENCE, check=False, env={**os.environ, **(env or {})})
    except subprocess.TimeoutExpired:
        raise Failure(f"still running after {timeout} s: {' '.join(words)}") from None
    if check and result.returncode:
        raise Failure(f"{' '.join(words)}: status {result.returncode}\n    "
                      + (result.stdout + result.stderr)[-800:].decode(errors="replace"))
    return result.stdout


@contextlib.contextmanager
def namespace(*taps, queues=False):
    """This thread and all that it starts in a network of their own, with these taps; of several queues?"""
    if os.geteuid() != 0:
        raise Skip("needs root for a network namespace")
    need_programs("ip")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if _libc.unshare(CLONE_NEWNET):
            raise Skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")
        command("ip", "link", "set", "lo", "up")
        for tap in taps:
            if not os.path.exists("/dev/net/tun"):
                raise Skip("needs /dev/net/tun")
            command("ip", "tuntap", "add", tap, "mode", "tap", *(["multi_queue"] if queues else []))
            command("ip", "link", "set", tap, "up")
        if TAP in taps:
            command("ip", "addr", "add", f"{HOST}/24", "dev", TAP)
            command("ip", "addr", "add", f"{HOST6}/64", "dev", TAP, "nodad")
        yield
    finally:
        _libc.setns(home, CLONE_NEWNET)
        os.close(home)


def net_options(way, ports=()):
    """--net and -p for a way in; ports as numbers or "53/udp"."""
    if way == "tap":
        return ["--net", TAP_WORD]
    words = ["--net", "user"]
    for port in ports:
        words += ["-p", f"{str(port).partition('/')[0]}:{port}"]
    return words


class Guest:
    """A guest that runs: its child process and what it has said so far."""

    def __init__(self, child, log):
        self.child, self.log, self.ends_with = child, log, (0, 130, 143, -signal.SIGINT)

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def stop(self):
        """Ctrl-C, and the end that it wants within ten seconds."""
        self.child.send_signal(signal.SIGINT)
        status = self.child.wait(timeout=20 * PATIENCE)
        need(status in self.ends_with, f"status {status} after Ctrl-C")

    def need_alive(self):
        need(self.child.poll() is None, f"the guest has ended, status {self.child.poll()}")


@contextlib.contextmanager
def bridge():
    """A network of our own: two taps on a bridge, which has our address."""
    with namespace("tap0", "tap1"):
        command("ip", "addr", "flush", "dev", "tap0")
        command("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        for tap in ("tap0", "tap1"):
            command("ip", "link", "set", tap, "master", "br0")
        command("ip", "addr", "add", f"{HOST}/24", "dev", "br0")
        command("ip", "link", "set", "br0", "up")
        yield


@contextlib.contextmanager
def guest(words, options=(), memory="128M", ground="vm", stops=True, cwd=None):
    """`ingot run` of a server; stopped, or if need be killed, at the end."""
    program = find(words[0])
    if not program:
        raise Skip(f"{words[0]} is not installed")
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen([INGOT, "run", "--isolation", ground, "-m", memory, *options, program, *words[1:]],
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=cwd)
        it = Guest(child, log)
        try:
            yield it
            if stops:
                it.stop()
        except (OSError, Failure, subprocess.SubprocessError) as error:
            raise Failure(f"{error}\n    " + it.said()[-2500:]) from None
        finally:
            if child.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()


@contextlib.contextmanager
def background(*words, cwd=None, env=None):
    """A native helper for the time of a test."""
    need_programs(words[0])
    child = subprocess.Popen([find(words[0]), *words[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, cwd=cwd, start_new_session=True,
                             env={**os.environ, **(env or {})})
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def until(attempt, deadline=40, step=0.1):
    """Repeat until it neither raises nor answers None: the other side may still be starting."""
    end = time.monotonic() + deadline * PATIENCE
    while True:
        try:
            answer = attempt()
            if answer is not None:
                return answer
            error = "no answer"
        except (OSError, Failure) as what:
            error = what
        if time.monotonic() > end:
            raise Failure(f"not within {deadline} s: {error}")
        time.sleep(step)


def ask(address, port, request, wanted, timeout=5):
    """One connection, one request; the answer if it begins as it must, else None."""
    with socket.create_connection((address, port), timeout=timeout) as link:
        link.sendall(request)
        answer = b""
        while len(answer) < len(wanted):
            more = link.recv(65536)
            if not more:
                break
            answer += more
    return answer if answer.startswith(wanted) else None


def fetch(*curl_words, timeout=60):
    """curl's output, a failure where it fails; tried once."""
    return command("curl", "-sSf", "-m", str(timeout), *curl_words, timeout=timeout + 10)


def same(data, digest, what):
    got = hashlib.sha256(data).hexdigest()
    need(got == digest, f"{what}: {len(data)} bytes came with sum {got[:16]}, not {digest[:16]}")


def write(folder, name, content):
    """A file below a folder; (its path, its sum)."""
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    content = content if isinstance(content, bytes) else content.encode()
    with open(path, "wb") as file:
        file.write(content)
    return path, hashlib.sha256(content).hexdigest()


class Site:
    """A folder to serve: a page, something that packs well, and random megabytes."""

    def __init__(self, folder, megabytes=3):
        self.folder = os.path.join(folder, "site")
        self.page = write(self.folder, "index.html", b"<p>" + b"x" * 606 + b"</p>")[1]
        self.text = write(self.folder, "words.txt", b"the same words again and again\n" * 9000)[1]
        self.large = write(self.folder, "large.bin", os.urandom(megabytes << 20))[1]

    def check(self, base, *curl_words):
        """All of it comes whole, also several at once and in parts."""
        same(fetch(*curl_words, f"{base}/index.html"), self.page, "the page")
        same(fetch(*curl_words, f"{base}/large.bin"), self.large, "the large file")
        with open(os.path.join(self.folder, "large.bin"), "rb") as file:
            data = file.read()
        part = fetch(*curl_words, "-r", "1000000-1999999", f"{base}/large.bin")
        need(part in (data[1000000:2000000], data), "a range of the large file is wrong")


def certificate(folder, name="server.test", address=HOST):
    """A CA and a key with a certificate for a name and an address; (ca, certificate, key) paths."""
    need_programs("openssl")
    ca, ca_key, key, request, cert, ext = (os.path.join(folder, n) for n in (
        "ca.pem", "ca.key", "server.key", "server.csr", "server.pem", "server.ext"))
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command("openssl", "req", "-x509", *new_key, "-keyout", ca_key, "-out", ca, "-days", "30", "-subj", "/CN=test CA",
            "-addext", "keyUsage=keyCertSign")
    command("openssl", "req", *new_key, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
    write(folder, "server.ext", f"subjectAltName=DNS:{name},IP:{address},IP:10.0.2.2,IP:127.0.0.1,IP:{GUEST}\n")
    command("openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-out", cert,
            "-days", "30", "-extfile", ext)
    return ca, cert, key
