"""A guest in a process beside the same program on the host: pairs of runs, the least of each."""
import os
import subprocess
import tempfile

from guests import BUILD

INGOT = os.path.join(BUILD, "ingot")
SPAWN = os.path.join(BUILD, "bench", "bench-spawn")
HELLO = os.path.join(BUILD, "bench", "bench-hello")
TIMES = os.path.join(BUILD, "bench", "bench-times")
ROUNDS = 300

# operation -> (title, goal as a share of native)
OPERATIONS = {
    "getpid": ("getpid", 1 / 8),
    "clock_gettime": ("clock_gettime", 1.0),
    "futex_pair": ("futex wait that need not + wake of nobody", 0.3),
    "eventfd": ("eventfd write + read", 0.3),
    "epoll_wait": ("epoll_wait(0)", 0.3),
    "pipe": ("pipe write + read", 0.4),
    "file": ("open + fstat + read + close", 0.4),
    "mmap": ("mmap + touch + munmap", None),
    "thread": ("pthread create + join", 0.3),
    "ping_pong": ("pipe ping-pong of two threads", 0.3),
}


def spawn(*command, rounds=ROUNDS, **kwargs):
    """(least, median) of start to exit, in microseconds."""
    ended = subprocess.run([SPAWN, str(rounds), *command], check=True, capture_output=True, text=True, **kwargs)
    return tuple(float(word) for word in ended.stdout.split())


def tender_command(env):
    """The tender's command and its files by descriptor, as `ingot run --dry-run` tells them."""
    text = subprocess.run([INGOT, "run", "--isolation", "process", "--dry-run", "bench:1"], check=True,
                          capture_output=True, text=True, env=env).stdout
    quoted = text.split("'")
    program, line, rest = quoted[0].strip(), quoted[1], quoted[2].split()
    words = [word for word in rest if "<" not in word]
    files = dict(word.split("<", 1) for word in rest if "<" in word)
    return [program, line, *words], {int(fd): path for fd, path in files.items()}


def tender(env):
    command, files = tender_command(env)
    redirections = " ".join(f"{fd}<'{path}'" for fd, path in files.items())
    shell = f'exec "$@" 3>/dev/null {redirections}'
    ended = subprocess.run(["sh", "-c", shell, "sh", SPAWN, str(ROUNDS), *command], check=True,
                           capture_output=True, text=True)
    return tuple(float(word) for word in ended.stdout.split())


def times(*command):
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {name: float(ns) for name, ns in (line.split() for line in text.splitlines())}


def bench_starts(report):
    with tempfile.TemporaryDirectory() as store:
        env = {**os.environ, "INGOT_HOME": store}
        subprocess.run([INGOT, "build", "-q", "-t", "bench:1", HELLO], check=True, env=env, stdout=subprocess.DEVNULL)
        rows = [["native", *spawn(HELLO)], ["the tender", *tender(env)],
                ["`ingot run hello:1`", *spawn(INGOT, "run", "--isolation", "process", "bench:1", env=env)]]
    report.table(["static hello, start to exit, µs", "least", "median"], rows)


def bench_process(report, _machines):
    bench_starts(report)
    native, ours = times(TIMES), times(INGOT, "run", "-q", "--isolation", "process", TIMES)
    rows = []
    for name, (title, goal) in OPERATIONS.items():
        share = ours[name] / native[name]
        rows.append([title, f"{native[name]:.0f}", f"{ours[name]:.0f}", f"{share:.2f}",
                     "" if goal is None else f"{goal:.2f}"])
    report.table(["ns an operation", "native", "in a process", "share", "goal"], rows)
