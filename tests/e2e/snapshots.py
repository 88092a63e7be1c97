"""Snapshots of a VM: gone on from in place, as copies, with volumes; damaged ones and other bad input."""
import json
import os
import shutil
import socket
import time

from harness import ROOT, need
from instances import Lab, until
from tools import free_port

PROGRAM = os.path.join(ROOT, "tests", "e2e", "programs", "identity.py")
CLOCK_SECONDS = 1.5  # what the machine's load may add to an answer


class Guest:
    """A VM that tells who it is."""

    def __init__(self, lab, name, *words, file=()):
        self.lab, self.name, self.port = lab, name, free_port()
        lab.start(name, "-m", "64M", "-p", f"127.0.0.1:{self.port}:8000", "--file", f"{PROGRAM}:/identity.py", *words,
                  ground="vm", program=["/usr/bin/python3", "/identity.py", *file])
        self.ask(deadline=60)

    def ask(self, port=None, deadline=20):
        """(count, random, hostname, seconds that its clock is off)"""
        answers = []

        def answered():
            try:
                with socket.create_connection(("127.0.0.1", port or self.port), timeout=10) as client:
                    answers.append(client.recv(200).decode())
            except OSError:
                return False
            return bool(answers[-1])
        until(answered, deadline=deadline)
        need(answers and answers[-1], f"{self.name} does not answer")
        count, random, name, clock = answers[-1].split()
        return int(count), random, name, abs(time.time() - float(clock))


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


def add_to(suite):
    for test in (goes_on, copies, with_a_volume, pause_and_clock, damaged, what_cannot_be):
        suite.add("snapshot: " + test.__name__.replace("_", " "), test)
