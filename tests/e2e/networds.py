"""What can be wrong with --net, -p and --pcap is said in one line before anything starts; what is right
about them is seen from outside."""
import os
import re
import socket
import subprocess
import tempfile
import time

from harness import INGOT, need, run
from netlab import (GUEST, INSIDE, OUTSIDE, TAP, Site, ask, command, fetch, guest, namespace, need_programs,
                    net_options, until)

PROGRAM = "/bin/true"
BAD = [  # options, status, what the line says
    (["--net", "bridge"], 2, r"--net: 'bridge' is none of none, user and tap:NAME"),
    (["--net", "tap:"], 2, r"--net: 'tap:' wants the name"),
    (["--net", "tap:a-name-that-is-far-too-long"], 2, r"wants the name of an interface"),
    (["--net", "tap:nowhere0"], 125, r"no interface 'nowhere0'; make it with: ip tuntap add nowhere0 mode tap"),
    (["--net", "tap:lo,ip=10.0.0.2/24"], 125, r"--net: tap 'lo'"),
    (["--net", "tap:tap0,ip=10.0.0"], 2, r"ip='10\.0\.0' is no IPv4 address"),
    (["--net", "tap:tap0,ip=10.0.0.2/33"], 2, r"prefix of 1 to 32"),
    (["--net", "tap:tap0,gw=router"], 2, r"gw='router' is no IPv4 address"),
    (["--net", "tap:tap0,mac=01:00:00:00:00:00"], 2, r"is no address of one host"),
    (["--net", "tap:tap0,colour=red"], 2, r"unknown word 'colour'"),
    (["-p", "80:"], 2, r"--publish: '80:': ports are 1 to 65535"),
    (["-p", "70000:80"], 2, r"ports are 1 to 65535"),
    (["-p", "8080:http"], 2, r"ports are 1 to 65535"),
    (["-p", "8080:80/sctp"], 2, r"'sctp' is neither tcp nor udp"),
    (["-p", "localhost:8080:80"], 2, r"'localhost' is no IPv4 address"),
    (["-p", "192.0.2.1:8080:80"], 125, r"port 8080 of 192\.0\.2\.1"),
    (["--net", "none", "-p", "8080:80"], 125, r"--net none has no ports"),
    (["--pcap", "/nowhere/at/all"], 125, r"--pcap.*/nowhere/at/all"),
    (["--net", "none", "--pcap", "/tmp/file"], 125, r"--pcap: .*no network"),
]


def refused(ground, options, status, pattern):
    result = run([INGOT, "run", "--isolation", ground, *options, PROGRAM], timeout=60)
    lines = result.errors().splitlines()
    need(len(lines) == 1 and re.search(pattern, lines[0]), f"{options}: not one line with '{pattern}'\n{result.show()}")
    need(result.status == status, f"{options}: status {result.status}, not {status}\n{result.show()}")


def bad_words(ground):
    for options, status, pattern in BAD:
        refused(ground, options, status, pattern)


def taken_ports(ground):
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp.bind(("127.0.0.1", 0))
        for link, suffix in ((tcp, ""), (udp, "/udp")):
            port = link.getsockname()[1]
            refused(ground, ["-p", f"127.0.0.1:{port}:80{suffix}"], 125, rf"port {port} of 127\.0\.0\.1 is taken")


def taken_tap(ground):
    """A tap that another guest has, and one that is another user's."""
    with namespace(TAP):
        with guest(["sleep", "30"], net_options("tap"), ground=ground) as first:
            until(lambda: first.need_alive() or ping_once(GUEST))
            refused(ground, net_options("tap"), 125, r"--net: tap 'tap0'.*busy")


def ping_once(address):
    return command("ping", "-c", "1", "-W", "1", address)


def capture(way, ground, cpus=1):
    """What --pcap wrote, tcpdump reads: the handshake, the request, the end."""
    need_programs("tcpdump")
    with namespace(*([TAP] if way == "tap" else []), queues=cpus > 1), tempfile.TemporaryDirectory() as folder:
        file, site = os.path.join(folder, "packets"), Site(folder, 1)
        words = ["/usr/bin/python3", "-m", "http.server", "80", "-d", "/site"]
        options = [*net_options(way, [80]), "--cpus", str(cpus), "--pcap", file, "--file", f"{site.folder}:/site"]
        address = GUEST if way == "tap" else INSIDE["user"]
        with guest(words, options, ground=ground):
            until(lambda: ask(address, 80, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n"))
            site.check(f"http://{address}")
        text = command("tcpdump", "-nn", "-r", file, "tcp port 80").decode()
        server = re.escape(GUEST if way == "tap" else "10.0.2.15") + r"\.80"
        for what in (rf"> {server}: Flags \[S\]", rf"{server} > .* Flags \[S\.\]",
                     r"GET / HTTP/1\.0", r"Flags \[F"):
            need(re.search(what, text), f"no '{what}' among {len(text.splitlines())} packets")


def left_open(ground):
    """Whoever speaks with a program hears of its end, though that closes nothing; the first does, the second was
    not accepted."""
    script = "import os, socket; s = socket.create_server(('', 80)); s.accept()[0].recv(1); os._exit(0)"

    with namespace(TAP), guest(["/usr/bin/python3", "-c", script], net_options("tap"), ground=ground) as it:
        def connected():
            it.need_alive()
            return socket.create_connection((GUEST, 80), timeout=5)
        with until(connected) as first, connected() as second:
            first.sendall(b"x")
            for link in (first, second):
                try:
                    need(link.recv(1) == b"", "something was sent")
                except ConnectionResetError:
                    pass


def nobody_listens(way, ground):
    """A port that no program has open refuses at once, in a guest that has not opened a socket at all."""
    with namespace(*([TAP] if way == "tap" else [])), guest(["sleep", "30"], net_options(way, [80]), ground=ground) as it:
        if way == "tap":
            until(lambda: ping_once(GUEST))

        def closed():
            """In one of several tries: a busy machine may take its time."""
            start, refused = time.monotonic(), False
            try:
                need(ask(INSIDE[way], 80, b"x", b"x") is None, "somebody answered")
            except ConnectionResetError:
                pass
            except ConnectionRefusedError:
                refused = True
            it.need_alive()
            return (refused or way == "user") and time.monotonic() - start < 1 or None
        until(closed, deadline=10)


def loopback_only(ground):
    """Who published a port of a program that listens on 127.0.0.1 is told why nobody gets through, once."""
    words = ["/usr/bin/python3", "-m", "http.server", "80", "--bind", "127.0.0.1"]
    told = "refused a connection to port 80: the program listens there on 127.0.0.1 only"

    with namespace(), guest(words, net_options("user", [80]), ground=ground) as it:
        def refused_and_told():
            it.need_alive()
            try:
                need(ask("127.0.0.1", 80, b"GET / HTTP/1.0\r\n\r\n", b"H") is None, "somebody answered")
            except ConnectionResetError:
                pass
            return told in it.said() or None
        until(refused_and_told, deadline=20)
        refused_and_told()
        need(it.said().count(told) == 1, "said again")


def without_a_word(ground):
    """The default network is there for who uses it, names and all; --net none has none."""
    need_programs("curl")
    with namespace(), tempfile.TemporaryDirectory() as folder:
        site = Site(folder, 1)
        with subprocess.Popen(["python3", "-m", "http.server", "8000", "-d", site.folder], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as server:
            until(lambda: fetch("http://127.0.0.1:8000/index.html"))
            words = ["/usr/bin/curl", "-sS", "-m", "60", f"http://{OUTSIDE['user']}:8000/index.html"]
            result = run([INGOT, "run", "--isolation", ground, *words])
            need(result.status == 0 and len(result.out) == 613, f"no page\n{result.show()}")
            result = run([INGOT, "run", "--isolation", ground, "--net", "none", *words])
            need(result.status == 7, f"--net none: status {result.status}\n{result.show()}")
            need(result.seconds < 40, f"--net none: it took {result.seconds:.0f} s to say so")
            server.kill()


def add_to(suite):
    for ground in ("vm", "process"):
        for test in (bad_words, taken_ports, taken_tap, loopback_only, without_a_word):
            suite.add(f"net: {test.__name__} in a {ground}", test, ground)
        suite.add(f"net: connections left_open in a {ground}", left_open, ground)
        suite.add(f"net: capture by tap of several queues in a {ground}", capture, "tap", ground, 2)
        for way in ("user", "tap"):
            suite.add(f"net: capture by {way} in a {ground}", capture, way, ground)
            suite.add(f"net: nobody_listens by {way} in a {ground}", nobody_listens, way, ground)
