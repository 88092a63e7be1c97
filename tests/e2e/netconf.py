"""How a guest's interface is configured, seen from a real network: leases, routers and other hosts on a tap,
and ip(8) and ss(8) inside."""
import re
import tempfile

from harness import INGOT, need, run
from frames import Wire
from netlab import (GUEST, GUEST6, HOST, HOST6, TAP, background, command, find, guest, namespace, need_programs,
                    net_options, until, write)


def dnsmasq(*words, port=0):
    return background("dnsmasq", "-k", "-u", "root", "-R", "-h", f"--port={port}", "--pid-file=", "--bind-interfaces",
                      "--leasefile-ro", f"--interface={TAP}", *words)


def inside(ground, options, program, *words, files=(), memory="128M"):
    """What a program in a guest printed; it must succeed."""
    need_programs(program)
    for pair in files:
        options = [*options, "--file", pair]
    result = run([INGOT, "run", "--isolation", ground, "-m", memory, *options, find(program), *words], timeout=60)
    need(result.status == 0, f"{program}: status {result.status}\n{result.show()}")
    return result


def need_lines(text, *wanted):
    for part in wanted:
        need(part in text, f"no '{part}' in\n{text}")


LOOK = """import socket, time
def has(name, word):
    return word in open(name).read()
socket.socket()
end = time.monotonic() + 90  # who asks for a router too early asks again after four seconds
while time.monotonic() < end and not (has("/etc/resolv.conf", "fd00:77") and has("/proc/net/if_inet6", "fd00")):
    time.sleep(0.1)
for name in ("/etc/resolv.conf", "/proc/net/route", "/proc/net/if_inet6", "/proc/net/ipv6_route"):
    print(open(name).read())
"""


def lease_and_router(ground):
    """By DHCP an address, a route and a name server; by a router's word an address, a way out and another."""
    need_programs("dnsmasq")
    with namespace(TAP), \
            dnsmasq("--dhcp-range=10.77.0.100,10.77.0.110,10m", f"--dhcp-option=option:router,{HOST}",
                    f"--dhcp-option=option:dns-server,{HOST}", "--enable-ra", "--dhcp-range=fd00:77::,ra-only,64,10m",
                    f"--dhcp-option=option6:dns-server,[{HOST6}]"):
        text = inside(ground, ["--net", f"tap:{TAP}"], "python3", "-c", LOOK).text()
        gateway, prefix = "01004D0A", "fd00007700000000"
        need_lines(text, f"nameserver {HOST}\n", f"nameserver {HOST6}\n", f"eth0\t00000000\t{gateway}\t0003")
        need(re.search(rf"^{prefix}\S+ 02 80 00 (00|44) +eth0$", text, re.M), f"no address of the prefix in\n{text}")
        need(re.search(rf"^{prefix}0000000000000000 40 ", text, re.M), f"no prefix on the link in\n{text}")
        need(re.search(r"^0{32} 00 0{32} 00 fe80", text, re.M), f"no router in\n{text}")


LATER = """import os, socket, time
def look():
    return os.stat("/etc/resolv.conf").st_mtime_ns, open("/etc/resolv.conf").read()
before = look()
try:
    print("found", socket.gethostbyname("server.test"), flush=True)
except OSError:
    print("asked in vain", flush=True)
end = time.monotonic() + 90
while time.monotonic() < end:
    try:
        print("found", socket.gethostbyname("server.test"))
        break
    except OSError:
        time.sleep(0.2)
after = look()
print("newer" if after[0] > before[0] else "as old", after[1])
"""


def later_name_server(ground):
    """A router tells of a name server after resolv.conf has been read: the same program finds names by it."""
    need_programs("dnsmasq")
    with namespace(TAP), guest(["python3", "-c", LATER], ["--net", f"tap:{TAP},ip={GUEST}/24"], ground=ground, stops=False) as it:
        until(lambda: "asked in vain" in it.said() or None)
        with dnsmasq("--address=/server.test/10.77.0.9", "--enable-ra", "--dhcp-range=fd00:77::,ra-only,64,10m",
                     f"--dhcp-option=option6:dns-server,[{HOST6}]", port=53):
            until(lambda: re.search("newer|as old", it.said()))
            need_lines(it.said(), "found 10.77.0.9\n", f"newer nameserver {HOST6}\n")


def taken_addresses(ground):
    """What another host has is not used where IPv6 finds it out at the start, and defended where IPv4 is sure."""
    with namespace(TAP):
        command("ip", "addr", "add", f"{GUEST6}/64", "dev", TAP, "nodad")
        options = [*net_options("tap"), "--append", f"ingot.ip6={GUEST6}/64"]
        sleeper = ["python3", "-c", "import socket, time; socket.socket(); time.sleep(300)"]
        with guest(sleeper, options, ground=ground, stops=False) as it, Wire() as wire:
            until(lambda: f"another host has {GUEST6}" in it.said() or None)
            wire.arp(2, GUEST, GUEST)
            until(lambda: f"another host uses {GUEST}" in it.said() or None)
            wire.find_guest()


IP = """addr add 10.9.0.2/24 dev eth0
addr add fd00:9::5/64 dev eth0
route add 10.10.0.0/16 via 10.9.0.1
route add 10.11.0.0/16 dev eth0 metric 5
route replace 10.10.0.0/16 via 10.9.0.7
route add fd01::/64 via fd00:9::1 dev eth0
neigh add 10.9.0.1 lladdr 02:00:00:00:00:09 dev eth0
neigh replace 10.9.0.3 lladdr 02:00:00:00:00:09 dev eth0 nud permanent
neigh del 10.9.0.1 dev eth0
link set eth0 mtu 1400
link set eth0 down
link set eth0 up
addr show dev eth0
link show eth0
route show
route get fd01::1
neigh show
route get 10.10.1.1
route del 10.10.0.0/16
addr del 10.9.0.2/24 dev eth0
"""


def ip_commands(ground):
    """`ip` changes what it is told to and shows it."""
    with namespace(TAP), tempfile.TemporaryDirectory() as folder:
        path, _ = write(folder, "batch", IP)
        text = inside(ground, net_options("tap"), "ip", "-batch", "/batch", files=[f"{path}:/batch"]).text()
        need_lines(text, "mtu 1400", "inet 10.9.0.2/24 brd 10.9.0.255", "inet6 fd00:9::5/64", f"inet {GUEST}/24",
                   "10.10.0.0/16 via 10.9.0.7", "10.11.0.0/16 dev eth0", "fd01::1 via fd00:9::1 dev eth0",
                   "10.9.0.3 dev eth0 lladdr 02:00:00:00:00:09 PERMANENT", "10.10.1.1 via 10.9.0.7 dev eth0 src 10.9.0.2")
        need("10.10.0.0/16 via 10.9.0.1 " not in text, f"not replaced:\n{text}")


SS = """import os, socket
tcp = socket.create_server(("0.0.0.0", 8765))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 5353))
six = socket.create_server(("::1", 8766), family=socket.AF_INET6)
for link in (tcp, udp, six):
    link.set_inheritable(True)
os.execv("/usr/bin/ss", ["ss", "-tuln"])
"""


def ss_lists():
    """What listens is seen by `ss -tuln`."""
    need_programs("ss")
    text = inside("vm", ["--allow-exec", find("ss")], "python3", "-c", SS).text()
    lines = [line.split() for line in text.splitlines()]
    for kind, state, address in (("tcp", "LISTEN", "0.0.0.0:8765"), ("udp", "UNCONN", "127.0.0.1:5353"),
                                 ("tcp", "LISTEN", "[::1]:8766")):
        need(any(line[:2] == [kind, state] and address in line for line in lines), f"no {kind} {address} in\n{text}")


def add_to(suite):
    for ground in ("vm", "process"):
        suite.add(f"netconf: lease and router in a {ground}", lease_and_router, ground)
        suite.add(f"netconf: a name server told of later in a {ground}", later_name_server, ground)
        suite.add(f"netconf: taken addresses in a {ground}", taken_addresses, ground)
        suite.add(f"netconf: ip in a {ground}", ip_commands, ground)
    suite.add("netconf: ss lists what listens", ss_lists)
