"""What the open network does to a server, on a tap: floods, swarms, broken packets, peers that vanish.
The server goes on, counts what it dropped, and has its memory back afterwards."""
import contextlib
import os
import re
import resource
import selectors
import socket
import struct
import tempfile
import threading
import time

from frames import ACK, PSH, RST, SYN, Wire, broken_frames, tcp
from harness import BUILD, Failure, need
from netlab import GUEST, TAP, Site, ask, fetch, guest, namespace, net_options, until

TARGET = os.path.join(BUILD, "tests", "e2e", "target-static")
ECHO, HOLD, LINE, FILES = 7, 9, 13, 79
here = threading.local()  # .ground: what this thread's test runs on


def read_file(path):
    """A file of the guest's, such as of /proc."""
    with socket.create_connection((GUEST, FILES), timeout=20) as link:
        link.sendall(path.encode() + b"\n")
        text = b""
        while more := link.recv(65536):
            text += more
    return text.decode()


def echoes(data=b"still there?", timeout=20):
    """One exchange on a new connection; its seconds."""
    start = time.monotonic()
    need(ask(GUEST, ECHO, data, data, timeout=timeout) == data, "the echo is wrong")
    return time.monotonic() - start


def is_quick():
    """It answers within two seconds; not in each try, where the machine is busy."""
    return until(lambda: echoes(timeout=20) < 2 or None, deadline=20)


def free_kib():
    return int(re.search(r"MemAvailable:\s+(\d+)", read_file("/proc/meminfo")).group(1))


def counters():
    """All of /proc/net/snmp and netstat: "Tcp.InErrs" -> number."""
    found = {}
    lines = (read_file("/proc/net/snmp") + read_file("/proc/net/netstat")).splitlines()
    for names, values in zip(lines[::2], lines[1::2]):
        for name, value in zip(names.split()[1:], values.split()[1:]):
            found[names.split(":")[0] + "." + name] = int(value)
    return found


def connections():
    """States, as /proc/net/tcp numbers them, but for listeners, TIME-WAIT and half a handshake, which a
    flood leaves for as long as its answer is repeated."""
    lines = (read_file("/proc/net/tcp") + read_file("/proc/net/tcp6")).splitlines()
    states = [line.split()[3] for line in lines if ":" in line.partition("rem_address")[0]]
    return [state for state in states if state not in ("0A", "06", "03")]


def no_connections():
    """But the one that asks."""
    states = connections()
    need(len(states) <= 1, f"{len(states)} connections are left, states {sorted(set(states))}")
    return True


@contextlib.contextmanager
def target(memory="32M", kept=1600, cpus=1):
    """The server with four ports; afterwards all connections are gone and the memory is back."""
    options = [*net_options("tap"), "--cpus", str(cpus)]
    with namespace(TAP, queues=cpus > 1), guest([TARGET], options, memory, here.ground) as it:
        until(echoes)
        for _ in range(3):
            echoes()
        before = free_kib()
        yield it
        it.need_alive()
        is_quick()
        until(no_connections, deadline=20)
        memory_is_back(before, kept)


def memory_is_back(before, kept):
    """Within fifteen seconds all but so many KiB: the device's ring has grown to 1 MiB, TIME-WAIT records
    take 0.5, and the kernel keeps what once was a file for the next one."""
    def back():
        now = free_kib()
        need(now > before - kept, f"{now} of {before} KiB are free again\n" + read_file("/proc/net/sockstat")
             + read_file("/proc/meminfo"))
        return now
    until(back, deadline=15, step=0.5)


def many_files(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 200)), hard))


def short_connections(count, port=LINE, request=b"", wanted=b"one line\n", at_once=32):
    """So many connections from one address, one after the other in each of 32 lanes; the slowest's seconds."""
    slowest, started, done = 0, 0, 0
    with selectors.DefaultSelector() as selector:

        def start():
            nonlocal started
            started += 1
            link = socket.socket()
            link.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                link.connect((GUEST, port))
            selector.register(link, selectors.EVENT_WRITE, [time.monotonic(), b""])
        for _ in range(at_once):
            start()
        while done < count:
            ready = selector.select(45)
            need(ready, f"a stall after {done} connections")
            for key, events in ready:
                link, state = key.fileobj, key.data
                if events & selectors.EVENT_WRITE:
                    if request:
                        link.send(request)
                    selector.modify(link, selectors.EVENT_READ, state)
                    continue
                more = link.recv(65536)
                state[1] += more
                if more:
                    continue
                need(state[1].startswith(wanted), f"connection {done} got {state[1][:50]!r}")
                slowest = max(slowest, time.monotonic() - state[0])
                selector.unregister(link)
                link.close()
                done += 1
                if started < count:
                    start()
    return slowest


def churn(count, cpus=1):
    """Short connections from one address: more than it has ports where count says so."""
    with target(kept=1600 * cpus, cpus=cpus):
        slowest = short_connections(count)
        need(slowest < 15, f"one of {count} connections took {slowest:.1f} s")


def idle_connections():
    """Ten thousand open connections in 64 MiB, and a server that still answers."""
    count = 10_000
    many_files(count)
    with target("64M", kept=6400), contextlib.ExitStack() as stack:
        links = []
        for _ in range(count):
            links.append(stack.enter_context(socket.create_connection((GUEST, ECHO), timeout=20)))
        is_quick()
        for link in links[::100]:
            link.sendall(b"awake?")
        for link in links[::100]:
            need(link.recv(100) == b"awake?", "one of them does not answer")


def syn_flood():
    """Spoofed SYNs faster than any backlog; who is real is served through cookies."""
    with target(kept=6400), Wire() as wire:  # a full backlog of half handshakes is still being answered
        before = counters()
        for burst in range(40):
            for i in range(500):
                source = f"10.77.0.{100 + i % 100}" if i % 2 else f"198.18.{burst}.{i % 256}"
                wire.send(tcp(1024 + i + burst * 500, ECHO, SYN, seq=i * 7919, source=source))
            if burst % 10 == 9:
                echoes(timeout=30)
        after = counters()
        need(after["TcpExt.SyncookiesSent"] > before["TcpExt.SyncookiesSent"], "no cookies were sent")
        flooded = free_kib()
        need(flooded > 8 * 1024, f"only {flooded} KiB are left")


def half_open():
    """Peers that shake hands, perhaps say half a sentence, and are never heard of again."""
    with target(), Wire() as wire:
        source = "10.77.0.50"
        wire.claim(source)
        opened = 0
        wire.link.settimeout(0.2)
        for port in range(20000, 20600):
            wire.send(tcp(port, ECHO, SYN, seq=1000, source=source))
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:
                try:
                    frame = wire.link.recv(2048)
                except TimeoutError:
                    break
                if frame[12:14] == b"\x08\x06":
                    wire.claim(source)
                if frame[23:24] != b"\x06" or struct.unpack(">H", frame[36:38])[0] != port or frame[47] != SYN | ACK:
                    continue
                seq = struct.unpack(">I", frame[38:42])[0]
                wire.send(tcp(port, ECHO, ACK | PSH, 1001, seq + 1, b"half a sen" if port % 2 else b"", source=source))
                opened += 1
                break
        need(opened > 300, f"only {opened} of 600 shook hands")
        is_quick()
        for port in range(20000, 20600):  # the machine comes back and knows nothing of it
            wire.send(tcp(port, ECHO, RST, 1001 + (10 if port % 2 else 0), source=source))
        for port in range(20000, 20600):
            wire.send(tcp(port, ECHO, RST, 1001, source=source))


def resets(cpus=1):
    """Connections that end by RST at every moment, and forged RSTs that must not end one."""
    with target(kept=1600 * cpus, cpus=cpus), Wire() as wire:
        for i in range(1500):
            link = socket.create_connection((GUEST, (ECHO, HOLD, LINE)[i % 3]), timeout=20)
            if i % 4:
                with contextlib.suppress(OSError):
                    link.sendall(b"x" * (i % 4 * 3000))
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.close()
        with socket.create_connection((GUEST, ECHO), timeout=20) as link:
            port = link.getsockname()[1]
            for i in range(2000):
                flags = (RST, RST | ACK, SYN)[i % 3]
                wire.send(tcp(port, ECHO, flags, seq=i * 2_000_003, ack=i * 77_777))
            link.sendall(b"still here")
            need(link.recv(100) == b"still here", "a forged segment ended a connection")


def broken_packets(count):
    """Damage at every layer while the server goes on; what was dropped was counted."""
    with target() as it, Wire() as wire:
        before = counters()
        frames = broken_frames(int(os.environ.get("SEED", "1")))
        for i in range(count):
            kind, packet = next(frames)
            wire.send(packet, kind)
            if i % 2000 == 1999:
                it.need_alive()
                until(echoes, deadline=20)
        after = counters()
        for name in ("Ip.InHdrErrors", "Tcp.InErrs", "Udp.NoPorts", "Icmp.InErrors"):
            need(after[name] > before[name], f"{name} did not count: {after[name]}")


def slow_senders():
    """A thousand clients that send a letter now and then; a real server serves the others."""
    config = ("user root; error_log stderr; pid /tmp/nginx.pid; worker_rlimit_nofile 5000;\n"
              "events { worker_connections 4000; }\nhttp { access_log off; server { listen 80; root /site; } }\n")
    with namespace(TAP), tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        site, path = Site(folder, 1), os.path.join(folder, "nginx.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(config)
        many_files(2000)
        options = [*net_options("tap"), "--file", f"{site.folder}:/site", "--file", f"{path}:/etc/nginx/nginx.conf"]
        stack.enter_context(guest(["nginx", "-g", "daemon off; master_process off;"], options, "64M", here.ground))
        until(lambda: fetch(f"http://{GUEST}/index.html"))
        slow = [stack.enter_context(socket.create_connection((GUEST, 80), timeout=20)) for _ in range(1000)]
        for letter in b"GET /in":
            for link in slow:
                link.send(bytes([letter]))
            start = time.monotonic()
            site.check(f"http://{GUEST}")
            need(time.monotonic() - start < 40, "the others starve")


def never_read():
    """Peers that ask for much and read nothing hold no more than their buffers, and leave nothing."""
    with target(), contextlib.ExitStack() as stack:
        links = [stack.enter_context(socket.create_connection((GUEST, ECHO), timeout=20)) for _ in range(60)]
        for link in links:
            link.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(30):
                    link.send(b"m" * 65536)
        time.sleep(1)
        is_quick()


def half_closed():
    """Who closes first, and how, leaves no state behind but TIME-WAIT."""
    with target():
        for i in range(400):
            with socket.create_connection((GUEST, ECHO), timeout=20) as link:
                link.sendall(b"last words")
                if i % 2:
                    link.shutdown(socket.SHUT_WR)
                    need(link.recv(100) == b"last words", "the answer to half a connection is wrong")
                    need(link.recv(100) == b"", "no end")
        until(no_connections, deadline=10)


def exchanges(seconds):
    """One byte there and back, on one to eight connections at a time: after each the guest has nothing to do
    and must be woken by the next.  A wake-up that is lost on either side shows as a silent guest."""
    with target(), contextlib.ExitStack() as stack:
        links = [stack.enter_context(socket.create_connection((GUEST, ECHO), timeout=20)) for _ in range(8)]
        for link in links:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end, done = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            some = links[:1 + done // 1000 % 8]
            for link in some:
                link.sendall(b"?")
            for link in some:
                try:
                    need(link.recv(1) == b"?", "the echo is wrong")
                except TimeoutError:
                    raise Failure(f"silent after {done} exchanges") from None
            done += len(some)


def on(ground, test, *args):
    here.ground = ground
    test(*args)


def add_to(suite, long):
    for ground in ("vm", "process"):
        def add(name, test, *args, ground=ground):
            suite.add(f"storm: {name} in a {ground}", on, ground, test, *args)
        add("exchanges", exchanges, 150 if long else 4)
        add("churn", churn, 100_000 if long else 20_000 if ground == "vm" else 5_000)
        add("broken_packets", broken_packets, 200_000 if long else 20_000)
        for cpus in (2, 4):
            add(f"churn on {cpus} CPUs", churn, 4000, cpus)
            add(f"resets on {cpus} CPUs", resets, cpus)
        for test in (idle_connections, syn_flood, half_open, resets, slow_senders, never_read, half_closed):
            add(test.__name__, test)
