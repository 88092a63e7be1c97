"""What --profile and --boot-chart draw."""
import os
import subprocess
import xml.etree.ElementTree

from commands import Home
from harness import BUILD, need

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(BUILD, "tests", "e2e", "busy")


def build():
    subprocess.run(["gcc", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-inline",
                    os.path.join(HERE, "programs", "busy.c"), "-o", PROGRAM], check=True)


def words_of(path):
    """All texts of an SVG; it is whole XML."""
    return [element.text or "" for element in xml.etree.ElementTree.parse(path).getroot().iter() if element.tag.endswith("}text")]


def profile(ground):
    with Home() as home:
        folded, drawing = os.path.join(home.path, "a.folded"), os.path.join(home.path, "a.svg")
        result = home.ingot("run", "--isolation", ground, "--profile", folded, PROGRAM, timeout=120)
        need(result.status == 0 and result.out == b"done\n" and not result.err, f"not as without it\n{result.show()}")
        counts = {}
        with open(folded, encoding="utf-8") as file:
            for line in file:
                stack, _, count = line.rstrip("\n").rpartition(" ")
                counts[stack] = int(count)
        def share(word):
            return sum(count for stack, count in counts.items() if word in stack) / sum(counts.values())
        need(all(stack.startswith("busy") for stack in counts), f"another program: {counts}")
        need(share(";main;much_work;innermost") > 0.5, f"much_work has {share(';much_work;')}: {counts}")
        need(0.02 < share(";little_work;innermost") < 0.3, f"little_work has {share(';little_work;')}: {counts}")
        need(share("[kernel]") > 0, f"nothing in the kernel: {counts}")
        home.good("run", "--isolation", ground, "--profile", drawing, PROGRAM, timeout=120)
        words = words_of(drawing)
        need(any("samples" in word for word in words) and "much_work" in words and "innermost" in words, f"drawn: {words}")


def boot_chart(ground):
    with Home() as home:
        path = os.path.join(home.path, "b.svg")
        result = home.ingot("run", "--isolation", ground, "--boot-chart", path, PROGRAM, "listen")
        need(result.status == 0 and not result.err, f"not as without it\n{result.show()}")
        words = [word.partition(":")[0] for word in words_of(path)]
        parts = ["clocks and interrupts", "memory", "threads and CPUs", "files", "devices", "network", "mounts", "program is loaded",
                 "program runs", "it listens", "end"]
        first = ["sandbox"] if ground == "process" else ["VMM", "firmware"]
        need(words[1:] == first + parts, f"drawn: {words}")
        starts = [float(word.rpartition("at ")[2].split()[0]) for word in words_of(path)[1:]]
        need(starts == sorted(starts) and starts[0] < 0.1, f"not one after the other: {starts}")


def what_cannot_be_drawn():
    with Home() as home:
        for option in ("--boot-chart", "--profile"):
            result = home.ingot("run", "--isolation", "process", option, "/nonexistent/b.svg", "/bin/echo", "hi")
            need(result.status == 125 and "/nonexistent/b.svg" in result.errors(), f"not told\n{result.show()}")
            need(not result.out, f"it ran all the same\n{result.show()}")


def add_to(suite):
    build()
    for ground in ("process", "vm"):
        suite.add(f"drawing: profile ({ground})", profile, ground)
        suite.add(f"drawing: boot chart ({ground})", boot_chart, ground)
    suite.add("drawing: what cannot be drawn", what_cannot_be_drawn)
