"""What the Python test sections share: running commands with a deadline, and reporting.

A section makes a Suite, adds named functions, and runs it.  A function passes by returning, fails by
raising Failure, and is left out by raising Skip.  Two run at a time; each prints one line when done."""
import concurrent.futures
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
INGOT = os.path.join(BUILD, "ingot")
PATIENCE = 3  # deadlines are those of a quiet machine of today: others may be slower, or busy
os.environ.setdefault("INGOT_ISOLATION", "vm")  # what a test does not say, whatever this machine has


class Failure(Exception):
    """The test found a fault.  The first line says what; the rest is detail."""


class Skip(Exception):
    """The test cannot run here, and why."""


class Result:
    """How a command ended: status as a shell shows it, and its two streams as bytes."""

    def __init__(self, status, out, err, seconds):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds

    def text(self):
        return self.out.decode(errors="replace")

    def errors(self):
        return self.err.decode(errors="replace")

    def show(self):
        """Both streams' ends, indented, for a failure's detail."""
        parts = []
        for name, data in (("stdout", self.out), ("stderr", self.err)):
            lines = data.decode(errors="replace").splitlines()
            parts += [f"    {name}: {line}" for line in lines[-25:]]
        return "\n".join(parts)


def run(command, timeout=60, stdin=b"", env=None, cwd=None, interrupt_after=None):
    """Run a command in a process group of its own; long past the deadline all of the group is killed.

    interrupt_after: send SIGINT to the group after so many seconds, as Ctrl-C would."""
    start = time.monotonic()
    timeout *= PATIENCE
    full_env = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", **(env or {})}
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=full_env, cwd=cwd, start_new_session=True)
    timer = None
    if interrupt_after is not None:
        timer = threading.Timer(interrupt_after, lambda: _signal_group(child, signal.SIGINT))
        timer.start()
    try:
        out, err = child.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        _signal_group(child, signal.SIGKILL)
        out, err = child.communicate()
        result = Result(None, out, err, timeout)
        raise Failure(f"still running after {timeout} s: {' '.join(command)}\n{result.show()}") from None
    finally:
        if timer:
            timer.cancel()
    status = child.returncode if child.returncode >= 0 else 128 - child.returncode
    return Result(status, out, err, time.monotonic() - start)


def _signal_group(child, number):
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        pass


def _stat(pid):
    """State and parent of a process; None where there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            state, parent = file.read().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return state, int(parent)


def alive(pid):
    """It exists and is no zombie, nor has a thread that still ends (and holds its files so long)."""
    stat = _stat(pid)
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return stat is not None and (stat[0] != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1)
    return False


def children_of(pid, deep=True):
    """Every process whose parent is `pid`, and theirs (if `deep`)."""
    parents = {int(name): _stat(name) for name in os.listdir("/proc") if name.isdigit()}
    found = [pid]
    for parent in found:
        found += [child for child, stat in parents.items() if stat and stat[1] == parent]
        if not deep:
            break
    return found[1:]


def wait_ended(pids, deadline=20):
    """What a killed process had started is ended by the kernel, in its turn. True: all of them are."""
    end = time.monotonic() + deadline * PATIENCE
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.01)
    return not any(alive(pid) for pid in pids)


def kill_all_of(child):
    """SIGKILL to it alone; what it had started must end by that, and has when this returns."""
    family = children_of(child.pid)
    child.kill()
    child.wait()
    need(wait_ended(family), "something outlived the command that started it")


def need(condition, why):
    if not condition:
        raise Failure(why)


def need_ingot():
    """The tool and the kernel are there."""
    for name in ("ingot", "ingot-kernel"):
        need(os.path.exists(os.path.join(BUILD, name)), f"{name} is not built")


class Suite:
    def __init__(self, title, jobs=2):
        self.title, self.jobs, self.cases = title, jobs, []
        self.failed = 0
        self.lock = threading.Lock()

    def add(self, name, function, *args):
        self.cases.append((name, function, args))

    def report(self, verdict, name, why=""):
        """One line, with detail lines after it."""
        head, _, detail = why.partition("\n")
        with self.lock:
            self.failed += verdict == "FAIL"
            print(f"{verdict} {self.title} {name}" + (f": {head}" if head else ""), flush=True)
            if detail:
                print(detail, flush=True)

    def _one(self, name, function, args):
        try:
            reported = function(*args)
            if not reported:
                self.report("PASS", name)
        except Failure as failure:
            self.report("FAIL", name, str(failure))
        except Skip as skip:
            self.report("SKIP", name, str(skip))
        except Exception as error:  # a fault of the test itself is a failure with its name
            self.report("FAIL", name, f"{type(error).__name__}: {error}")

    def run(self, only=()):
        """Run all (or those whose name contains one of `only`); returns the exit status."""
        chosen = [c for c in self.cases if not only or any(word in c[0] for word in only)]
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            for name, function, args in chosen:
                pool.submit(self._one, name, function, args)
        return 1 if self.failed else 0


def arguments():
    """(long, the other words) of the command line."""
    words = [word for word in sys.argv[1:] if word != "--long"]
    return "--long" in sys.argv, words
