"""Tools that look at the network from inside, unmodified: ip, ss, tcpdump."""
import contextlib
import re
import socket

from harness import INGOT, Skip, need, run
from netlab import find, guest, until


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def inside(*words):
    """A tool's output in a guest with the user-mode network."""
    program = find(words[0])
    if not program:
        raise Skip(f"{words[0]} is not installed")
    result = run([INGOT, "run", "--isolation", "vm", "--net", "user", program, *words[1:]], timeout=60)
    need(result.status == 0 and not result.err, f"status {result.status}\n{result.show()}")
    return result.out.decode()


def ip():
    text = inside("ip", "-4", "addr", "show", "dev", "eth0")
    need("inet 10.0.2.15/24 brd 10.0.2.255 scope global" in text, text)
    need("valid_lft forever" in text, text)
    text = inside("ip", "route")
    need(re.match(r"default via 10\.0\.2\.2 dev eth0 .*\n10\.0\.2\.0/24 dev eth0 proto kernel scope link src 10\.0\.2\.15", text), text)
    text = inside("ip", "route", "get", "1.2.3.4")
    need("via 10.0.2.2 dev eth0 src 10.0.2.15" in text, text)
    text = inside("ip", "-s", "link", "show", "dev", "lo")
    need("LOOPBACK,UP,LOWER_UP" in text and "mtu 65536" in text, text)
    inside("ip", "link", "set", "dev", "eth0", "mtu", "1400")


def ss():
    text = inside("ss", "-ntuxa")
    need(text.startswith("Netid"), text)
    text = inside("ss", "-s")
    need("Transport Total" in text, text)


def tcpdump():
    port = free_port()
    words = ["tcpdump", "-Z", "root", "-n", "-i", "eth0", "-c", "2", "tcp port 8099"]
    with guest(words, ["-p", f"{port}:8099"], stops=False) as machine:
        def knock():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as link:
                link.recv(1)
            return machine.child.poll()
        until(knock, deadline=60, step=0.5)
        text = machine.said()
        need(machine.child.poll() == 0, text)
        need(re.search(r"IP 10\.0\.2\.2\.\d+ > 10\.0\.2\.15\.8099: Flags \[S\]", text), text)
        need(re.search(r"IP 10\.0\.2\.15\.8099 > 10\.0\.2\.2\.\d+: Flags \[R\.\]", text), text)
        need("2 packets captured" in text and "0 packets dropped by kernel" in text, text)


def add_to(suite):
    for test in (ip, ss, tcpdump):
        suite.add(f"tool: {test.__name__}", test)
