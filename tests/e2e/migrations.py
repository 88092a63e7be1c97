"""Live migration: servers under load that go on elsewhere, and what happens when it is cut short."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

from harness import INGOT, PATIENCE, Failure, children_of, need
from instances import Lab, until
from netlab import GUEST, HOST, bridge, command, find, namespace, need_programs
from snapshots import CLOCK_SECONDS, Guest

REDIS = ["/usr/bin/redis-server", "--protected-mode", "no", "--save", "", "--bind", "0.0.0.0"]


class Two(Lab):
    """Two state directories: the lab's own, and .other."""

    def __init__(self):
        super().__init__()
        self.other = os.path.join(self.path, "other")

    def there(self, *words, env=None):
        return self.ingot(*words, env={"INGOT_STATE": self.other, **(env or {})})

    def names(self, result):
        need(result.status == 0, result.show())
        return result.text().split()

    def env(self, **more):
        return {**super().env(), **more}

    def __exit__(self, *args):
        names = self.there("ps", "-a", "-q").text().split()
        if names:
            self.there("rm", "-f", *names)
        super().__exit__(*args)

    def need_only(self, here, there):
        need(self.names(self.ingot("ps", "-a", "-q")) == here, f"here is not {here}")
        need(self.names(self.there("ps", "-a", "-q")) == there, f"there is not {there}")


def tap_word(tap):
    return f"tap:{tap},ip={GUEST}/24,gw={HOST}"


def connect(address, deadline=30):
    end = time.monotonic() + deadline * PATIENCE
    while True:
        try:
            return socket.create_connection(address, timeout=30)
        except OSError:
            if time.monotonic() > end:
                raise Failure(f"nobody answers at {address}") from None
            time.sleep(0.05)


class Writer(threading.Thread):
    """Writes keys one after the other over one connection, and remembers what was acknowledged."""

    def __init__(self, address, number):
        super().__init__()
        self.number, self.acknowledged, self.fault, self.longest = number, 0, None, 0
        self.stop = threading.Event()
        self.client = connect(address)

    def run(self):
        replies = self.client.makefile("rb")
        try:
            while not self.stop.is_set():
                start = time.monotonic()
                self.client.sendall(f"SET k:{self.number}:{self.acknowledged} {self.acknowledged}\r\n".encode())
                answer = replies.readline()
                if answer != b"+OK\r\n":
                    self.fault = answer
                    return
                self.longest = max(self.longest, time.monotonic() - start)
                self.acknowledged += 1
        except OSError as error:
            self.fault = error


def check_writes(address, writers):
    for writer in writers:
        writer.stop.set()
    for writer in writers:
        writer.join(60)
        need(not writer.fault, f"writer {writer.number}: {writer.fault}")
    with connect(address) as client:
        replies = client.makefile("rb")
        for writer in writers:
            for start in range(0, writer.acknowledged, 500):
                keys = range(start, min(start + 500, writer.acknowledged))
                client.sendall("".join(f"GET k:{writer.number}:{key}\r\n" for key in keys).encode())
                for key in keys:
                    length, value = replies.readline(), replies.readline()
                    need(value == f"{key}\r\n".encode(), f"lost: k:{writer.number}:{key} is {length}{value}")


def write_more(writers):
    """A hundred keys each."""
    before = [writer.acknowledged for writer in writers]
    until(lambda: all(writer.fault or writer.acknowledged >= n + 100 for writer, n in zip(writers, before)), deadline=60)


def stood_still(result):
    need(result.status == 0, f"status {result.status}\n{result.show()}")
    return int(re.search(r"stood still for (\d+) ms", result.errors()).group(1))


def under_load(*options):
    need_programs("redis-server")
    with bridge(), Two() as lab:
        lab.start("cache", "-m", "64M", "--net", tap_word("tap0"), ground="vm", program=REDIS)
        address = (GUEST, 6379)
        writers = [Writer(address, number) for number in range(4)]
        for writer in writers:
            writer.start()
        write_more(writers)
        ms = stood_still(lab.ingot("migrate", *options, "--net", tap_word("tap1"), "cache", lab.other))
        lab.need_only([], ["cache"])
        write_more(writers)
        back = stood_still(lab.there("migrate", *options, "--net", tap_word("tap0"), "cache", lab.state))
        lab.need_only(["cache"], [])
        write_more(writers)
        check_writes(address, writers)
        need(ms < 6000 and back < 6000, f"it stood still for {ms} and {back} ms")


def pre_copy_under_load():
    under_load()


def post_copy_under_load():
    under_load("--postcopy")


ECHO = """import socket
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.bind(("", 7))
while True: link.sendto(*link.recvfrom(100))"""


def frames_at_the_old_tap_arrive():
    """Datagrams are sent by nobody twice: what waited while the guest stood still, or came to where it was, is passed on."""
    with bridge(), Two() as lab, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        lab.start("echo", "-m", "64M", "--net", tap_word("tap0"), ground="vm", program=["/usr/bin/python3", "-c", ECHO])
        client.connect((GUEST, 7))
        client.settimeout(0.5)
        answers, stop = set(), threading.Event()

        def ask():
            with contextlib.suppress(OSError):
                client.send(b"first")
                return client.recv(100)

        until(ask, 30)

        def listen():
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    answers.add(client.recv(100))

        listener = threading.Thread(target=listen)
        listener.start()
        mover = threading.Thread(target=lambda: stood_still(lab.ingot("migrate", "--net", tap_word("tap1"), "echo", lab.other)))
        mover.start()
        sent = set()
        while mover.is_alive() or len(sent) < 100:
            sent.add(b"%d" % len(sent))
            client.send(b"%d" % (len(sent) - 1))
            time.sleep(0.01)  # a tap keeps 500 while nobody takes them
        mover.join()
        until(lambda: sent <= answers, 20)
        stop.set()
        listener.join()
        lab.need_only([], ["echo"])
        need(sent <= answers, f"of {len(sent)} lost: {sorted(sent - answers)}")


def with_ports():
    with Two() as lab:
        guest = Guest(lab, "a")
        before = guest.ask()
        stood_still(lab.ingot("migrate", "a", lab.other))
        lab.need_only([], ["a"])
        after = guest.ask()
        need(after[0] == before[0] + 1 and after[2] == before[2], f"another guest: {before}, {after}")
        need(after[3] < CLOCK_SECONDS, f"its clock is off by {after[3]} s")
        need(lab.there("logs", "a").status == 0, "no logs there")
        need(lab.there("stop", "a").status == 0, "cannot be stopped there")
        need(lab.there("start", "a").status == 0, "cannot be started there")
        need(guest.ask(deadline=60)[0] == 1, "not started afresh")


def then_it_dies():
    """What starts it again starts it as any other, with its ports."""
    with Two() as lab:
        guest = Guest(lab, "a", "--restart", "always")
        stood_still(lab.ingot("migrate", "a", lab.other))
        guest.ask()
        supervisor = json.loads(lab.there("inspect", "a").text())[0]["State"]["Pid"]
        for pid in children_of(supervisor):
            with open(f"/proc/{pid}/comm") as file:
                if file.read().startswith("qemu"):
                    os.kill(pid, signal.SIGKILL)
        until(lambda: guest.ask(deadline=60)[0] == 1, deadline=60)
        need(guest.ask(deadline=60)[0] > 1, "not started afresh")


def with_a_volume():
    with Two() as lab:
        lab.good("volume", "create", "data", "--size", "16M")
        guest = Guest(lab, "a", "-v", "data:/data", file=["/data/calls"])
        for state in (lab.other, lab.state, lab.other):
            run = lab.there if state == lab.state else lab.ingot
            stood_still(run("migrate", "a", state))
            guest.ask()
        calls = guest.ask()[0]
        lab.refused("run", "-v", "data:/data", "/bin/true", why="is in use by instance 'a'")
        need(lab.there("stop", "a").status == 0, "cannot be stopped there")
        copy = os.path.join(lab.path, "calls")
        lab.good("volume", "cp", "data:/calls", copy)
        with open(copy) as file:
            need(file.read() == "".join(f"{i}\n" for i in range(1, calls + 1)), "a line is lost")


def start_migration(lab):
    return subprocess.Popen([INGOT, "migrate", "a", lab.other], env={**os.environ, **lab.env()},
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def cut_in_the_middle():
    """The helpers are killed, not what they have started: it may have arrived, and runs at one end all the same."""
    with Two() as lab:
        guest = Guest(lab, "a")
        calls = guest.ask()[0]
        for delay in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3):
            child = start_migration(lab)
            time.sleep(delay)
            for helper in children_of(child.pid, deep=False):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(helper, signal.SIGKILL)
            errors = child.communicate(timeout=180)[1].decode()
            if child.returncode == 0:  # it was there already
                stood_still(lab.there("migrate", "a", lab.state))
            else:
                need("goes on here" in errors or "does not say" in errors, f"not told: {errors}")
            calls += 1
            need(guest.ask()[0] == calls, "it lost its memory")
            lab.is_now("a", "running")
            until(lambda: not lab.names(lab.there("ps", "-q")), deadline=20)
            need(not lab.names(lab.there("ps", "-q")), "it runs there too")
        stood_still(lab.ingot("migrate", "a", lab.other))
        lab.need_only([], ["a"])
        need(guest.ask()[0] == calls + 1, "it lost its memory")


def interrupted():
    """Who is told to end lets it go on here first, unless it is there already."""
    with Two() as lab:
        guest = Guest(lab, "a")
        calls = guest.ask()[0]
        for delay in (0.02, 0.05, 0.1, 0.2):
            child = start_migration(lab)
            time.sleep(delay)
            child.send_signal(signal.SIGTERM)
            child.communicate(timeout=180)
            if child.returncode == 0:
                stood_still(lab.there("migrate", "a", lab.state))
            calls += 1
            need(guest.ask()[0] == calls, "it lost its memory")
            lab.is_now("a", "running")


def killed():
    """`ingot migrate` is killed: who stands by for that sees that the guest goes on, at one end, and says where."""
    with Two() as lab:
        guest = Guest(lab, "a")
        calls = guest.ask()[0]
        for delay in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3):
            child = start_migration(lab)
            until(lambda: direct_children(child.pid) or child.poll() is not None, step=0.001)  # the first stands by
            time.sleep(delay)
            child.kill()
            errors = child.communicate(timeout=180)[1].decode()  # until the last of them has closed it
            if child.returncode == 0 or "runs at" in errors:
                lab.need_only([], ["a"])
                stood_still(lab.there("migrate", "a", lab.state))
            else:
                need("goes on here" in errors and "was killed" in errors, f"not told: {errors}")
            calls += 1
            need(guest.ask()[0] == calls, "it lost its memory")
            lab.is_now("a", "running")
            until(lambda: not lab.names(lab.there("ps", "-q")), deadline=20)
            need(not lab.names(lab.there("ps", "-q")), "it runs there too")


def its_machine_ends():
    """The VMM here is killed while it is moved: nobody says that it goes on."""
    with Two() as lab:
        Guest(lab, "a")
        child = start_migration(lab)
        with open(os.path.join(lab.state, "instances", "a", "state.json")) as file:
            runner = json.load(file)["Runner"]
        for pid in children_of(runner):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        errors = child.communicate(timeout=180)[1].decode()
        need(child.returncode != 0 and "does not go on here" in errors, f"not told: {errors}")


def direct_children(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]
    return []


def stop_receiver(child):
    """Stop who waits for the guest's first step, with what he has started. None: it was too late."""
    while child.poll() is None:
        for helper in direct_children(child.pid):
            if direct_children(helper):
                with open(f"/proc/{helper}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                if b"receive" in words and b"--connect" not in words:
                    os.kill(helper, signal.SIGSTOP)
                    return helper
        time.sleep(0.0005)
    return None


def word_lost():
    """Who should say that it arrived dies first: the guest runs there, and not here as well."""
    with Two() as lab:
        guest = Guest(lab, "a")
        calls = guest.ask()[0]
        state = os.path.join(lab.other, "instances", "a", "state.json")
        child = start_migration(lab)
        receiver = stop_receiver(child)
        need(receiver, f"it has ended: {child.returncode}")

        def runs():
            with contextlib.suppress(OSError, ValueError), open(state) as file:
                return json.load(file)["Status"] == "running"
            return False
        until(runs, deadline=60)
        need(child.poll() is None, f"it has ended: {child.returncode}")
        os.kill(receiver, signal.SIGKILL)
        errors = child.communicate(timeout=300)[1].decode()
        need(child.returncode == 0, errors)
        lab.need_only([], ["a"])
        need(guest.ask()[0] == calls + 1, "it lost its memory")


def somebody_else_waits():
    """A receiver that was killed has left a VM that waits under the same name: it gets nothing."""
    with Two() as lab:
        guest = Guest(lab, "a")
        calls = guest.ask()[0]
        with open(os.path.join(lab.state, "instances", "a", "config.json")) as file:
            config = {**json.load(file), "Arriving": "another"}
        version = lab.good("--version").split()[-1]
        arrival = json.dumps({"Version": version, "Name": "a", "Postcopy": False, "Remote": False, "Config": config})
        receiver = subprocess.Popen([INGOT, "receive"], env={**os.environ, **lab.env(), "INGOT_STATE": lab.other},
                                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        receiver.stdin.write(arrival.encode())
        receiver.stdin.close()
        waits = os.path.join(lab.other, "instances", "a", "incoming")
        until(lambda: os.path.exists(waits), deadline=20)
        need(os.path.exists(waits), "nobody waits")
        receiver.kill()
        receiver.wait()
        result = lab.ingot("migrate", "a", lab.other)
        need(guest.ask()[0] == calls + 1, "it lost its memory")
        here, there = lab.names(lab.ingot("ps", "-q")), lab.names(lab.there("ps", "-q"))
        need((here, there) == (([], ["a"]) if result.status == 0 else (["a"], [])), f"{here} and {there}\n{result.show()}")


def nothing_half_made_stays():
    """A receiver that was killed with all that it started has left an instance that never ran: nobody sees it."""
    with Two() as lab:
        lab.start("a")
        for name, status in (("half", "created"), ("odd", "?")):
            folder = os.path.join(lab.state, "instances", name)
            shutil.copytree(os.path.join(lab.state, "instances", "a"), folder, ignore=shutil.ignore_patterns("control", "guest", "qmp"))
            with open(os.path.join(folder, "state.json"), "w") as file:
                file.write(json.dumps({"Status": status}))
        need(lab.names(lab.ingot("ps", "-aq")) == ["a", "odd"], "not the one that was half made")
        need(sorted(os.listdir(os.path.join(lab.state, "instances"))) == ["a", "odd"], "it is still there")


def what_cannot_be():
    with Two() as lab:
        lab.start("p")
        lab.refused("migrate", "p", lab.other, why="is a process of this machine")
        lab.refused("migrate", "q", lab.other, why="no instance 'q'")
        lab.start("v", "-m", "32M", ground="vm")
        lab.refused("migrate", "v", lab.state, why="is where it is")
        lab.refused("migrate", "v", "nowhere", why="neither ssh://HOST", status=2)
        lab.refused("migrate", "v", "ssh://", why="is not ssh://", status=2)
        lab.refused("migrate", "v", "--downtime", "x", lab.other, why="is no length of time", status=2)
        need(lab.there("run", "-d", "--isolation", "process", "--name", "v", "/bin/sleep", "100").status == 0, "not started")
        lab.refused("migrate", "v", lab.other, why="name 'v' is in use")
        lab.is_now("v", "running")
        lab.good("pause", "v")
        lab.refused("migrate", "v", lab.other, why="is not running")


@contextlib.contextmanager
def other_machine(lab):
    """A store of its own, with the lab's images, reached by ssh. Yields what finds it: (destination, environment)."""
    need_programs("sshd", "ssh", "ssh-keygen")
    with namespace():
        keys, store = os.path.join(lab.path, "keys"), os.path.join(lab.path, "other-store")
        if os.path.exists(lab.store):
            shutil.copytree(lab.store, store, ignore=shutil.ignore_patterns("volumes"))
        os.mkdir(keys, 0o700)
        for key in ("host", "user"):
            command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(keys, key))
        shutil.copy(os.path.join(keys, "user.pub"), os.path.join(keys, "authorized"))
        with open(os.path.join(keys, "sshd"), "w") as file:
            file.write(f"Port 2222\nListenAddress 127.0.0.1\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/authorized\n"
                       f"PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
                       f"SetEnv PATH={os.path.dirname(INGOT)}:/usr/bin:/bin INGOT_HOME={store}\n")
        with open(os.path.join(keys, "ssh"), "w") as file:
            file.write(f"#!/bin/sh\nexec {find('ssh')} -i {keys}/user -oStrictHostKeyChecking=no "
                       f"-oUserKnownHostsFile={keys}/known \"$@\"\n")
        os.chmod(os.path.join(keys, "ssh"), 0o755)
        os.makedirs("/run/sshd", exist_ok=True)
        server = subprocess.Popen([find("sshd"), "-D", "-e", "-f", os.path.join(keys, "sshd")],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            connect(("127.0.0.1", 2222)).close()
            yield f"ssh://127.0.0.1:2222{lab.other}", {"PATH": f"{keys}:{os.environ['PATH']}"}
        finally:
            server.terminate()
            server.wait()


def build_for(lab):
    """The image of snapshots.Guest, so that another machine has it too."""
    lab.good("run", "--isolation", "process", "/usr/bin/python3", "-c", "pass")


def flip_a_byte(path, at=100000):
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def by_ssh():
    """The image is not there: it goes along, whole or not at all, and goes again if the guest does not stay."""
    with Two() as lab, other_machine(lab) as (there, env):
        away = {"INGOT_HOME": os.path.join(lab.path, "other-store")}
        guest = Guest(lab, "a")
        calls = guest.ask()[0]

        def images():
            return lab.there("images", "-a", "-q", env=away).text().split()

        blobs = os.path.join(lab.store, "blobs", "sha256")
        layer = max((os.path.join(blobs, name) for name in os.listdir(blobs)), key=os.path.getsize)
        flip_a_byte(layer)
        result = lab.ingot("migrate", "a", there, env=env)
        need("came damaged" in result.errors() and "goes on here" in result.errors(), f"not told\n{result.show()}")
        flip_a_byte(layer)
        result = lab.ingot("migrate", "--net", "tap:nothing", "a", there, env=env)
        need("goes on here" in result.errors() and "were sent" in result.errors(), f"not told\n{result.show()}")
        need(not images(), "the image of a guest that stayed here is there")
        half = os.path.join(lab.path, "half")  # an ssh that brings the image and nothing else
        os.mkdir(half)
        with open(os.path.join(half, "ssh"), "w") as file:
            file.write(f"#!/bin/sh\ncase \"$*\" in *--image*) exec {env['PATH'].split(':')[0]}/ssh \"$@\";; esac\nexec sleep 5\n")
        os.chmod(os.path.join(half, "ssh"), 0o755)
        child = subprocess.Popen([INGOT, "migrate", "a", there], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 env={**os.environ, **lab.env(), **env, "PATH": f"{half}:{env['PATH']}"})
        until(images, deadline=60)
        need(images(), "no image came")
        child.kill()
        child.wait()
        until(lambda: not images(), deadline=60, step=0.2)
        need(not images(), "an image is left there")
        result = lab.ingot("migrate", "a", there, env=env)
        need(result.status == 0 and "were sent" in result.errors(), f"not sent\n{result.show()}")
        lab.need_only([], ["a"])
        need(guest.ask()[0] == calls + 1 and len(images()) == 1, "another guest, or no image")
        result = lab.there("migrate", "a", "ssh://127.0.0.1:1/tmp", env=env)
        need(result.status == 1 and "goes on here" in result.errors(), f"not told\n{result.show()}")
        need(guest.ask()[0] == calls + 2, "it does not go on")
        need(lab.there("restart", "a", env=away).status == 0, "it does not start from its image there")
        guest.ask(deadline=60)


def by_ssh_with_a_volume():
    with Two() as lab:
        build_for(lab)
        lab.good("volume", "create", "data", "--size", "64M")
        with other_machine(lab) as (there, env):
            away = {"INGOT_HOME": os.path.join(lab.path, "other-store")}
            guest = Guest(lab, "a", "-v", "data:/data", file=["/data/calls"])
            calls = guest.ask()[0]
            need(lab.there("volume", "create", "data", env=away).status == 0, "not created")
            result = lab.ingot("migrate", "a", there, env=env)
            need(result.status == 1 and "there is a volume 'data' already" in result.errors(), f"overwritten?\n{result.show()}")
            need(lab.there("volume", "rm", "data", env=away).status == 0, "not removed")
            for helpers in (1, 2, 3):  # the image's, the volume's and the instance's, the memory's
                child = subprocess.Popen([INGOT, "migrate", "a", there], env={**os.environ, **lab.env(), **env},
                                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                until(lambda: len(children_of(child.pid)) >= helpers or child.poll() is not None, step=0.001)
                for helper in children_of(child.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(helper, signal.SIGKILL)
                errors = child.communicate(timeout=180)[1].decode()
                need(child.returncode == 1 and "goes on here" in errors, f"{helpers} helpers: {child.returncode} {errors}")
                calls += 1
                need(guest.ask()[0] == calls, "it lost its memory")

                def is_clean():
                    return not lab.there("volume", "ls", "-q", env=away).text() and not lab.names(lab.there("ps", "-a", "-q"))
                until(is_clean, deadline=40, step=0.2)
                need(is_clean(), "something is left there")
            stood_still(lab.ingot("migrate", "a", there, env=env))
            lab.need_only([], ["a"])
            calls = guest.ask()[0]
            need(lab.there("stop", "a").status == 0, "cannot be stopped there")
            copy = os.path.join(lab.path, "calls")
            need(lab.there("volume", "cp", "data:/calls", copy, env=away).status == 0, "no volume there")
            with open(copy) as file:
                need(file.read() == "".join(f"{i}\n" for i in range(1, calls + 1)), "a line is lost")
            command("e2fsck", "-fn", os.path.join(away["INGOT_HOME"], "volumes", "data.img"))


def add_to(suite):
    for test in (frames_at_the_old_tap_arrive, pre_copy_under_load, post_copy_under_load, with_ports, then_it_dies, with_a_volume, cut_in_the_middle,
                 interrupted, killed, its_machine_ends, word_lost, somebody_else_waits, nothing_half_made_stays, what_cannot_be,
                 by_ssh, by_ssh_with_a_volume):
        suite.add("migration: " + test.__name__.replace("_", " "), test)
