"""Servers on several CPUs, each with queues of its own to a tap: clients from outside, answers compared by
their sums."""
import concurrent.futures
import os
import tempfile

from harness import need
from netlab import GUEST, Site, TAP, ask, command, fetch, guest, namespace, net_options, same, until, write

GET = b"GET / HTTP/1.0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


def memcached(options, _folder):
    """Two threads, many clients, values of all lengths."""
    wanted = b"STORED\r\n"
    with guest(["memcached", "-u", "root", "-t", "2"], [*options, "--loglevel", "6"]) as it:
        until(lambda: ask(GUEST, 11211, b"set a 0 0 1\r\nb\r\n", wanted))
        need("queue pairs" in it.said(), "one pair of queues for all CPUs")

        def client(number):
            for i in range(40):
                value = os.urandom(1 + number * 997 + i * 1009)
                store = b"set k%d 0 0 %d\r\n%s\r\nget k%d\r\n" % (number, len(value), value, number)
                answer = wanted + b"VALUE k%d 0 %d\r\n%s\r\nEND\r\n" % (number, len(value), value)
                need(ask(GUEST, 11211, store, answer, timeout=60), f"client {number}: value {i} came back changed")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(client, range(8)))


def nginx(options, folder):
    """A master and two workers that share a port."""
    site = Site(folder)
    config, _ = write(folder, "nginx.conf", "user root; worker_processes 2; error_log stderr; pid /tmp/nginx.pid;"
                      "events {} http { access_log off; server { listen 80 reuseport; root /site; } }")
    options = [*options, "--file", f"{site.folder}:/site", "--file", f"{config}:/etc/nginx/nginx.conf"]
    with guest(["nginx", "-g", "daemon off;"], options):
        until(lambda: ask(GUEST, 80, GET, OK))
        site.check(f"http://{GUEST}")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for got in pool.map(fetch, [f"http://{GUEST}/large.bin"] * 8):
                same(got, site.large, "one of eight at once")
        for _ in range(200):
            need(ask(GUEST, 80, GET, OK, timeout=30), "no page")


def redis(options, folder):
    """One thread, which goes where it likes; large values, and many small ones."""
    with guest(["redis-server", "--protected-mode", "no", "--save", ""], options):
        until(lambda: ask(GUEST, 6379, b"PING\r\n", b"+PONG\r\n"))
        value = os.urandom(3 << 20)
        path, digest = write(folder, "value", value)
        with open(path, "rb") as file:
            command("redis-cli", "-h", GUEST, "-x", "set", "k", stdin=file.read())
        same(command("redis-cli", "-h", GUEST, "--raw", "get", "k")[:-1], digest, "a value of 3 MiB")
        command("redis-benchmark", "-h", GUEST, "-q", "-c", "50", "-n", "3000", "-t", "set,incr,lpush")
        need(command("redis-cli", "-h", GUEST, "get", "counter:__rand_int__") == b"3000\n", "not all INCR counted")


def serve(test, cpus, machine):
    with namespace(TAP, queues=True), tempfile.TemporaryDirectory() as folder:
        test([*net_options("tap"), "--cpus", str(cpus), *(["--machine", machine] if machine else [])], folder)


def add_to(suite):
    for test in (redis, memcached, nginx):
        suite.add(f"cpus: {test.__name__} on 2", serve, test, 2, None)
    suite.add("cpus: memcached on 4", serve, memcached, 4, None)
    suite.add("cpus: memcached on 2 of a q35", serve, memcached, 2, "q35")
