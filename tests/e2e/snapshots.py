"""Snapshots of a VM: gone on from in place, as copies, with volumes; damaged ones and other bad input."""
import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

from harness import INGOT, ROOT, need
from instances import Lab, until
from netlab import GUEST, HOST, HOST6, command, find, namespace, need_programs
from tools import free_port

PROGRAM = os.path.join(ROOT, "tests", "e2e", "programs", "identity.py")
CLOCK_SECONDS = 1  # that a clock may be off, before the question or after the answer


class Guest:
    """A guest that tells who it is."""

    def __init__(self, lab, name, *words, file=(), ground="vm"):
        self.lab, self.name, self.port = lab, name, free_port()
        lab.start(name, "-m", "64M", "-p", f"127.0.0.1:{self.port}:8000", "--file", f"{PROGRAM}:/identity.py", *words,
                  ground=ground, program=["/usr/bin/python3", "/identity.py", *file])
        self.ask(deadline=60)

    def ask(self, port=None, deadline=20):
        """(count, random, hostname, seconds that its clock is off)"""
        answers, asked = [], 0

        def answered():
            nonlocal asked
            asked = time.time()
            try:
                with socket.create_connection(("127.0.0.1", port or self.port), timeout=20) as client:
                    answers.append(client.recv(200).decode())
            except OSError:
                return False
            return bool(answers[-1])
        until(answered, deadline=deadline)
        need(answers and answers[-1], f"{self.name} does not answer")
        count, random, name, clock = answers[-1].split()
        return int(count), random, name, max(asked - float(clock), float(clock) - time.time(), 0)


def goes_on():
    with Lab() as lab:
        guest = Guest(lab, "a")
        first = guest.ask()[0]
        need(lab.good("snapshot", "a", "before") == "before\n", "the name is not printed")
        after, _, name, off = guest.ask()
        need(after == first + 1 and off < CLOCK_SECONDS, f"it did not go on: {after}, clock off by {off} s")
        guest.ask()
        time.sleep(2)
        need(lab.good("restore", "before") == "a\n", "the name is not printed")
        again, _, same, off = guest.ask()
        need(again == first + 1, f"call {again} after {first} before the snapshot")
        need(same == name, f"it is called {same} now")
        need(off < CLOCK_SECONDS, f"its clock is off by {off} s")
        need(lab.row("a")["State"] == "running", "not running")
        lab.good("stop", "a")
        lab.good("restore", "before")
        need(guest.ask()[0] == first + 1, "it did not go on after a stop")
        lab.good("rm", "-f", "a")
        lab.good("restore", "before")
        need(guest.ask()[0] == first + 1, "it did not go on after rm")


def copies():
    with Lab() as lab:
        guest = Guest(lab, "a")
        lab.good("snapshot", "a", "one")
        seen = [guest.ask()]
        for name in ("b", "c"):
            lab.good("restore", "one", "--name", name, "-p", "127.0.0.1::8000")
            port = int(lab.good("port", name, "8000").strip().rsplit(":", 1)[1])
            seen.append(guest.ask(port=port))
            need(seen[-1][2] == name, f"copy {name} is called {seen[-1][2]}")
            need(seen[-1][3] < CLOCK_SECONDS, f"the clock of {name} is off by {seen[-1][3]} s")
        need(len({count for count, _, _, _ in seen}) == 1, f"not the same past: {seen}")
        need(len({random for _, random, _, _ in seen}) == 3, f"random numbers in common: {seen}")
        lab.refused("restore", "one", "--name", "b", why="name 'b' is in use")
        lab.refused("restore", "one", "--name", "d", why=f"port {guest.port} of 127.0.0.1 is taken")
        need(lab.row("d") is None, "a copy that did not start is listed")


def who_connects_early():
    """A connection is refused until there is a guest that answers: none is taken and then lost."""
    with Lab() as lab:
        guest = Guest(lab, "a")
        lab.good("snapshot", "a", "one")
        for _ in range(3):
            lab.good("rm", "-f", "a")
            restore = subprocess.Popen([INGOT, "restore", "one"], env={**os.environ, **lab.env()}, stdout=subprocess.DEVNULL)
            clients = []

            def connected():
                with contextlib.suppress(OSError):
                    clients.append(socket.create_connection(("127.0.0.1", guest.port), timeout=30))
                return bool(clients)
            until(connected, deadline=30, step=0.001)
            need(clients, "nobody answers")
            with clients[0]:
                need(clients[0].recv(200), "a connection was taken and lost")
            need(restore.wait(90) == 0, "not restored")


def who_connects_early_to_a_copy():
    """Nor does one stand still while the copy becomes another, or has to ask twice since others wait."""
    def ask(port, took, again):
        begun = time.monotonic()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            if client.recv(200):
                took.append(time.monotonic() - begun)
                again.append(struct.unpack_from("I", client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)[0])

    with Lab() as lab:
        Guest(lab, "a")
        lab.good("snapshot", "a", "one")
        for number in range(4):
            port, took, again, clients = free_port(), [], [], []
            restore = subprocess.Popen([INGOT, "restore", "one", "--name", f"copy{number}", "-p", f"127.0.0.1:{port}:8000"],
                                       env={**os.environ, **lab.env()}, stdout=subprocess.DEVNULL)

            def listens():
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10):
                    return True
            until(listens, deadline=30, step=0.0005)
            for _ in range(50):
                clients.append(threading.Thread(target=ask, args=(port, took, again)))
                clients[-1].start()
                time.sleep(0.001)
            for client in clients:
                client.join()
            need(restore.wait(90) == 0, "not restored")
            need(len(took) == len(clients), f"{len(clients) - len(took)} connections of {len(clients)} were taken and lost")
            need(max(took) < 4, f"an answer took {max(took):.1f} s")
            need(not any(again), f"{sum(map(bool, again))} clients had to ask twice to be let in")
            lab.good("rm", "-f", f"copy{number}")


class Taps:
    """A bridge with taps; who asks whom, and where it found him."""

    def __init__(self, *taps):
        for tap in taps:
            command("ip", "addr", "flush", "dev", tap)
        command("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        for tap in taps:
            command("ip", "link", "set", tap, "master", "br0")
        command("ip", "addr", "add", f"{HOST}/24", "dev", "br0")
        command("ip", "addr", "add", f"{HOST6}/64", "dev", "br0", "nodad")
        command("ip", "link", "set", "br0", "up")

    @staticmethod
    def ask(address, deadline=30):
        answers = []

        def answered():
            try:
                with socket.create_connection((address, 8000), timeout=20) as client:
                    answers.append(client.recv(200).decode())
            except OSError:
                return False
            return bool(answers[-1])
        until(answered, deadline=deadline)
        need(answers and answers[-1], f"{address} does not answer")
        count, random, name, _ = answers[-1].split()
        return int(count), random, name

    @staticmethod
    def mac(address):
        """The MAC address that answers for it."""
        command("ip", "neigh", "flush", "dev", "br0")
        Taps.ask(address)
        fields = command("ip", "neigh", "show", address).decode().split()
        need("lladdr" in fields, f"no neighbour {address}: {fields}")
        return fields[fields.index("lladdr") + 1]

    @staticmethod
    def ports():
        """What the bridge learned: which addresses were seen behind which taps."""
        words = [line.split() for line in command("bridge", "fdb", "show", "br", "br0").decode().splitlines()]
        return {(w[0], w[2]) for w in words if "permanent" not in w}


class Sniffer:
    """Who sends through a tap."""

    def __init__(self, tap):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(3))
        self.socket.bind((tap, 0))

    def senders(self):
        seen = set()
        with self.socket:
            while True:
                try:
                    frame, (_, _, kind, *_) = self.socket.recvfrom(2000)
                except BlockingIOError:
                    return seen
                if kind != socket.PACKET_OUTGOING:
                    seen.add(frame[6:12].hex(":"))


def copies_on_one_bridge():
    need_programs("bridge")
    taps = ("tap0", "tap1", "tap2")
    with namespace(*taps), Lab() as lab:
        net = Taps(*taps)
        lab.start("a", "-m", "64M", "--net", f"tap:tap0,ip={GUEST}/24,gw={HOST}", "--file", f"{PROGRAM}:/identity.py",
                  ground="vm", program=["/usr/bin/python3", "/identity.py"])
        first = net.ask(GUEST)
        mac = net.mac(GUEST)
        lab.good("snapshot", "a", "one")
        seen = {GUEST: (mac, "tap0")}
        for name, tap, address in (("b", "tap1", "10.77.0.3"), ("c", "tap2", "10.77.0.4")):
            lab.good("restore", "one", "--name", name, "--net", f"tap:{tap},ip={address}/24,gw={HOST}")
            answer = net.ask(address)
            need(answer[2] == name, f"copy {name} is called {answer[2]}")
            need(answer[1] != first[1], "random numbers in common")
            seen[address] = (net.mac(address), tap)
        need(len({mac for mac, _ in seen.values()}) == 3, f"MAC addresses in common: {seen}")
        for address, (mac, tap) in seen.items():
            need(net.mac(address) == mac, f"{address} has moved from {mac}")
            behind = {port for seen_mac, port in net.ports() if seen_mac == mac}
            need(behind == {tap}, f"{mac} was seen behind {behind}, and not behind {tap} alone")
        need(net.ask(GUEST)[2] == first[2], "the original is another")
        mac = seen["10.77.0.3"][0]
        lab.good("restart", "b")
        need(net.ask("10.77.0.3", deadline=60)[0] == 1 and net.mac("10.77.0.3") == mac, "started again it has another MAC")
        lab.refused("restore", "one", "--name", "d", "--net", "none", why="its original has an interface")
        lab.refused("restore", "one", "--net", "user", why="--net: only for a copy", status=2)
        lab.refused("restore", "a", "one", why="write 'ingot restore one'", status=2)
        need(lab.row("d") is None, "a copy that did not start is listed")


def copies_with_leases():
    need_programs("bridge", "dnsmasq")
    taps = ("tap0", "tap1", "tap2")
    with namespace(*taps), Lab() as lab:
        net = Taps(*taps)
        leases = os.path.join(lab.path, "leases")
        server = subprocess.Popen([find("dnsmasq"), "-k", "-C/dev/null", "--port=0", "-ibr0", f"--dhcp-leasefile={leases}",
                                   "--dhcp-range=10.77.0.100,10.77.0.110,10m", "--pid-file=", "--user=root", "--enable-ra",
                                   "--dhcp-range=fd00:77::,ra-only,64,10m", f"--dhcp-option=option:router,{HOST}"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def leased():
            if not os.path.exists(leases):
                return {}
            with open(leases) as file:
                return {words[1]: words[2] for words in map(str.split, file) if len(words) > 3 and "." in words[2]}

        def made_of(mac):
            m = [int(part, 16) for part in mac.split(":")]
            return f"fd00:77::{m[0] ^ 2:02x}{m[1]:02x}:{m[2]:02x}ff:fe{m[3]:02x}:{m[4]:02x}{m[5]:02x}"
        try:
            lab.start("a", "-m", "64M", "--net", "tap:tap0", "--file", f"{PROGRAM}:/identity.py",
                      ground="vm", program=["/usr/bin/python3", "/identity.py"])
            until(leased, deadline=60)
            (mac, address), = leased().items()
            net.ask(address)
            lab.good("snapshot", "a", "one")
            sniffers = [Sniffer(tap) for tap in taps[1:]]
            for number, tap in ((2, "tap1"), (3, "tap2")):
                lab.good("restore", "one", "--name", f"copy{number}", "--net", f"tap:{tap}")
                until(lambda: len(leased()) == number, deadline=30)
                need(len(leased()) == number, f"no lease of its own: {leased()}")
            need(len(set(leased().values())) == 3, f"addresses in common: {leased()}")
            names = {net.ask(lease)[2] for lease in leased().values()}
            need(names >= {"copy2", "copy3"} and len(names) == 3, f"they are {names}")
            need(net.mac(address) == mac, "the original's address is somebody else's")
            for sniffer in sniffers:
                senders = sniffer.senders()
                need(len(senders) == 1 and mac not in senders, f"a copy sent as {senders}, its original is {mac}")
            for mac in leased():
                net.ask(made_of(mac), deadline=30)
        finally:
            server.terminate()
            server.wait()


def with_a_volume():
    with Lab() as lab:
        lab.good("volume", "create", "data", "--size", "16M")
        guest = Guest(lab, "a", "-v", "data:/data", file=["/data/calls"])
        lab.good("snapshot", "a", "one")
        calls = guest.ask()[0]
        lab.good("restore", "one", "--name", "b", "-p", "127.0.0.1::8000")
        port = int(lab.good("port", "b", "8000").strip().rsplit(":", 1)[1])
        need(guest.ask(port=port)[0] == calls, "the copy has another past")
        guest.ask()
        lab.good("restore", "one")
        need(guest.ask()[0] == calls, "it did not go back")
        lab.good("stop", "a", "b")
        for volume in ("data", "b-data"):
            copy = os.path.join(lab.path, volume)
            lab.good("volume", "cp", f"{volume}:/calls", copy)
            with open(copy) as file:
                need(file.read() == "".join(f"{i}\n" for i in range(1, calls + 1)), f"volume {volume} has another past")


def pause_and_clock():
    with Lab() as lab:
        guest = Guest(lab, "a")
        lab.good("pause", "a")
        time.sleep(3)
        lab.good("unpause", "a")
        off = guest.ask()[3]
        need(off < CLOCK_SECONDS, f"its clock is off by {off} s after a pause of 3 s")


def damaged():
    with Lab() as lab:
        lab.start("a", "-m", "32M", ground="vm")
        lab.good("snapshot", "a", "good")
        lab.good("rm", "-f", "a")
        folder = os.path.join(lab.state, "snapshots")

        def bad(name, file, change, why):
            shutil.copytree(os.path.join(folder, "good"), os.path.join(folder, name))
            with open(os.path.join(folder, name, file), "r+b") as data:
                change(data)
            lab.refused("restore", name, why=why)
            need(lab.row("a") is None, "an instance is left over")

        def flip(data):
            data.seek(data.seek(0, os.SEEK_END) // 2)
            byte = data.read(1)
            data.seek(-1, os.SEEK_CUR)
            data.write(bytes([byte[0] ^ 1]))

        def version(data):
            about = json.load(data)
            about["Version"] = "0.0.1"
            data.seek(0)
            data.truncate()
            data.write(json.dumps(about).encode())

        bad("flipped", "state", flip, "is damaged: its state")
        bad("short", "state", lambda data: data.truncate(1000), "is damaged: its state")
        bad("empty", "snapshot.json", lambda data: data.truncate(0), "is damaged: snapshot.json")
        bad("older", "snapshot.json", version, "was made by ingot 0.0.1")
        need("damaged" in lab.good("snapshot", "ls"), "a damaged one is not listed as such")
        lab.good("snapshot", "rm", "flipped", "short", "empty", "older")
        need(lab.good("snapshot", "ls", "-q") == "good\n", "not removed")
        lab.good("restore", "good")
        lab.is_now("a", "running")


def what_cannot_be():
    with Lab() as lab:
        lab.start("p")
        lab.refused("snapshot", "p", "one", why="is a process of this machine")
        lab.start("v", "-m", "32M", ground="vm")
        lab.good("snapshot", "v", "one")
        lab.refused("snapshot", "v", "one", why="there is a snapshot 'one'")
        lab.refused("snapshot", "v", "a/b", why="letters and digits", status=2)
        lab.refused("snapshot", "w", "two", why="no instance 'w'")
        lab.refused("snapshot", "v", why="write 'ingot snapshot NAME TAG'", status=2)
        lab.refused("restore", "ome", why="did you mean 'one'?")
        lab.good("rm", "-f", "v")
        lab.start("v", "-m", "32M", ground="vm")
        lab.refused("restore", "one", why="is not the one that the snapshot was taken of")
        lab.good("stop", "v")
        lab.refused("snapshot", "v", "two", why="is not running")
        need(lab.good("snapshot", "ls", "-q") == "one\n", "something is left over")
        need(os.listdir(os.path.join(lab.state, "snapshots")) == ["one"], "something is left over")


def interrupted():
    """It goes on, and nothing half made is left."""
    with Lab() as lab:
        guest = Guest(lab, "a")
        calls = guest.ask()[0]
        for number, delay in enumerate((0.005, 0.02, 0.05, 0.1)):
            child = subprocess.Popen([INGOT, "snapshot", "a", f"s{number}"], env={**os.environ, **lab.env()}, stdout=subprocess.PIPE)
            time.sleep(delay)
            child.send_signal((signal.SIGINT, signal.SIGTERM)[number % 2])
            child.communicate(timeout=90)
            calls += 1
            need(guest.ask()[0] == calls, "it lost its memory")
            folder = os.path.join(lab.state, "snapshots")
            left = [name for name in os.listdir(folder) if name.startswith(".")] if os.path.isdir(folder) else []
            need(not left, f"left: {left}")


def add_to(suite):
    for test in (goes_on, interrupted, who_connects_early, who_connects_early_to_a_copy, copies, copies_on_one_bridge, copies_with_leases, with_a_volume, pause_and_clock, damaged, what_cannot_be):
        suite.add("snapshot: " + test.__name__.replace("_", " "), test)
