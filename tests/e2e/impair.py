"""Streams of many megabytes between the guest and Linux over a bad link in user space (programs/impair.c),
both ways at once, compared by their sums."""
import contextlib
import hashlib
import os
import socket
import tempfile
import threading

from harness import BUILD, Failure, need
from netlab import (GUEST, HOST, TAP, Site, background, command, fetch, guest, namespace, net_options, same,
                    until)

OUT = os.path.join(BUILD, "tests", "e2e")
TARGET, IMPAIR, FAR = os.path.join(OUT, "target-static"), os.path.join(OUT, "impair-static"), "far0"
WHOLE = 8
LINKS = {  # name: (megabytes each way, what is wrong with the link)
    "loss": (24, "loss=10 delay=1000"),
    "much loss": (4, "loss=50 delay=500"),
    "reordering": (24, "reorder=50 delay=1000 jitter=500"),
    "duplicates": (24, "dup=50 delay=300"),
    "corruption": (16, "corrupt=10 delay=300"),
    "a slow line": (2, "rate=1000 queue=20000 delay=5000"),
    "a long way": (16, "delay=50000 rate=20000 queue=500000"),
    "everything": (12, "loss=5 dup=10 reorder=30 corrupt=5 delay=1000 jitter=300 rate=20000 queue=200000"),
    "a small MTU": (8, "mtu=700 tell=1 delay=300"),
    "a black hole": (4, "mtu=1300 delay=300"),
}


@contextlib.contextmanager
def bad_link(words):
    """The namespace's own interface is beyond the link; the guest's tap has no address."""
    with namespace():
        for tap in (TAP, FAR):
            command("ip", "tuntap", "add", tap, "mode", "tap")
        command("ip", "link", "set", TAP, "arp", "off")
        for tap in (TAP, FAR):
            with open(f"/proc/sys/net/ipv6/conf/{tap}/disable_ipv6", "w", encoding="ascii") as file:
                file.write("1")
        with open("/proc/sys/net/ipv4/tcp_mtu_probing", "w", encoding="ascii") as file:
            file.write("1")
        command("ip", "link", "set", TAP, "up")
        with background(IMPAIR, TAP, FAR, *words.split()) as box:
            command("ip", "addr", "add", f"{HOST}/24", "dev", FAR)
            command("ip", "link", "set", FAR, "up")
            yield box


def both_ways(megabytes, timeout):
    """Send and receive so much at the same time on one connection."""
    data = os.urandom(1 << 20) * megabytes
    link = until(lambda: socket.create_connection((GUEST, WHOLE), timeout=timeout))
    got = hashlib.sha256()
    with link, link.dup() as out:
        out.settimeout(None)  # it may take long in all: what may not last is a pause, which the receiver sees

        def send():
            with contextlib.suppress(OSError):  # the receiver tells
                out.sendall(data)
                out.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        count = 0
        try:
            while more := link.recv(1 << 20):
                got.update(more)
                count += len(more)
        except TimeoutError:
            raise Failure(f"a pause of {timeout} s after {count} bytes") from None
        finally:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            sender.join()
    need(count == len(data), f"{count} of {len(data)} bytes came")
    need(got.digest() == hashlib.sha256(data).digest(), "the stream came back changed")


def stream(megabytes, words):
    words += f" seed={os.environ.get('SEED', '1')}"
    with bad_link(words), guest([TARGET], net_options("tap"), memory="64M") as it:
        both_ways(megabytes, timeout=40)
        it.need_alive()


def nginx():
    """Large files of a real server to several clients, over all that can go wrong at once."""
    config = ("user root; error_log stderr; pid /tmp/nginx.pid; events { }\n"
              "http { access_log off; sendfile on; tcp_nopush on; server { listen 80; root /site; } }\n")
    with bad_link(LINKS["everything"][1]), tempfile.TemporaryDirectory() as folder:
        site, path = Site(folder, 6), os.path.join(folder, "nginx.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(config)
        options = [*net_options("tap"), "--file", f"{site.folder}:/site", "--file", f"{path}:/etc/nginx/nginx.conf"]
        with guest(["nginx", "-g", "daemon off; master_process off;"], options):
            until(lambda: fetch(f"http://{GUEST}/index.html"))
            for got in (fetch(f"http://{GUEST}/large.bin") for _ in range(2)):
                same(got, site.large, "the large file")


def add_to(suite):
    for name, (megabytes, words) in LINKS.items():
        suite.add(f"link: {name}", stream, megabytes, words)
    suite.add("link: nginx over everything", nginx)
