"""Instances: started, seen, stopped, killed in every way, and told of rightly by all commands."""
import concurrent.futures
import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import time

from commands import Home
from harness import INGOT, PATIENCE, Skip, alive, children_of, need
from netlab import find
from tools import free_port

HERE = os.path.dirname(os.path.abspath(__file__))

SLEEP = ["/bin/sleep", "1000"]


def until(condition, deadline=10, step=0.02):
    """Wait for something to become true; who needs it asks again."""
    end = time.monotonic() + deadline * PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(step)


class Lab(Home):
    """A home with a state directory; whatever still runs at the end is removed."""

    def __init__(self):
        super().__init__()
        self.state = os.path.join(self.path, "state")

    def env(self, **more):
        return super().env(INGOT_STATE=self.state, **more)

    def __exit__(self, *args):
        names = self.good("ps", "-a", "-q").split()
        if names:
            self.ingot("rm", "-f", *names)
        super().__exit__(*args)

    def start(self, name, *words, ground="process", program=None):
        out = self.good("run", "-d", "--isolation", ground, "--name", name, *words, *(program or SLEEP))
        need(out == name + "\n", f"run -d printed {out!r}")

    def row(self, name):
        rows = json.loads(self.good("ps", "-a", "--format", "json"))
        return next((row for row in rows if row["Name"] == name), None)

    def is_now(self, name, state, deadline=10):
        until(lambda: (self.row(name) or {}).get("State") == state, deadline=deadline)
        row = self.row(name)
        need(row and row["State"] == state, f"{name} is not {state}: {row}")
        return row

    def refused(self, *words, why, status=None):
        result = self.ingot(*words)
        status = status or (125 if words[0] == "run" else 1)
        need(result.status == status, f"status {result.status}, not {status}\n{result.show()}")
        need(why in result.errors() and len(result.errors().splitlines()) == 1, f"no '{why}'\n{result.show()}")

    def supervisor(self, name):
        return json.loads(self.good("inspect", name))[0]["State"]["Pid"]


def life(ground):
    with Lab() as lab:
        lab.start("a", ground=ground)
        need(lab.row("a")["State"] == "running", "ps does not show it at once")
        need("a" in lab.good("ps").split(), "not in ps")
        lab.refused("rm", "a", why="is running")
        lab.refused("start", "a", why="is running")
        lab.good("pause", "a")
        need(lab.row("a")["State"] == "paused", "not paused")
        lab.refused("pause", "a", why="already paused")
        lab.good("unpause", "a")
        need("supervisor" in lab.good("top", "a"), "top shows no supervisor")
        need(json.loads(lab.good("stats", "--no-stream", "--format", "json"))[0]["MemoryBytes"] > 0, "no memory in stats")
        lab.good("rename", "a", "b")
        need(lab.row("a") is None and lab.row("b")["State"] == "running", "not renamed")
        lab.good("stop", "b")
        need(lab.row("b")["State"] == "exited" and lab.row("b")["ExitCode"] == 143, f"not stopped: {lab.row('b')}")
        need(not lab.good("ps", "-q"), "ps still shows it")
        lab.good("start", "b")
        lab.good("restart", "-t", "5", "b")
        lab.is_now("b", "running")
        lab.good("kill", "b")
        need(lab.good("wait", "b") == "137\n", "not killed")
        lab.good("rm", "b")
        need(lab.row("b") is None, "still there after rm")


def what_a_paused_one_does(ground):
    """A stop reaches it all the same."""
    with Lab() as lab:
        lab.start("a", ground=ground)
        lab.good("pause", "a")
        lab.good("stop", "-t", "5", "a")
        need(lab.row("a")["ExitCode"] == 143, f"a paused one did not hear the stop: {lab.row('a')}")


def names_in_use():
    with Lab() as lab:
        lab.start("a")
        lab.refused("run", "-d", "--name", "a", "--isolation", "process", *SLEEP, why="name 'a' is in use")
        lab.refused("run", "--name", "a", "--isolation", "process", *SLEEP, why="name 'a' is in use")
        lab.refused("run", "-d", "--name", "../x", *SLEEP, why="letters and digits", status=2)
        lab.refused("stop", "nothing", why="no instance 'nothing'")
        lab.start("other")
        lab.refused("rename", "other", "a", why="in use")
        lab.refused("stop", "othr", why="did you mean 'other'?")


def fifty_at_once():
    with Lab() as lab:
        def start(name):
            return lab.ingot("run", "-d", "--isolation", "process", "--name", name, *SLEEP)
        start("first")
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            many = list(pool.map(start, [f"n{i}" for i in range(25)] + ["same"] * 25))
        good = [result for result in many if result.status == 0]
        need(len(good) == 26, f"{len(good)} of 26 names\n{many[-1].show()}")
        need(all("in use" in result.errors() for result in many if result.status), "another error than the name")
        need(len(lab.good("ps", "-q").split()) == 27, "ps does not show all")
        times = [lab.ingot("ps").seconds for _ in range(5)]
        need(min(times) < 0.5, f"ps takes {min(times):.3f} s")  # 0.02 on a quiet machine; it asks none of them


def killed_supervisor(ground):
    with Lab() as lab:
        lab.start("a", "--restart", "always", ground=ground)
        pid = lab.supervisor("a")
        below = children_of(pid)
        need(len(below) >= 2, f"no processes below the supervisor: {below}")
        os.kill(pid, signal.SIGKILL)
        lab.is_now("a", "dead")
        until(lambda: not any(alive(child) for child in below), deadline=5)
        need(not any(alive(child) for child in below), "something outlived the supervisor")
        lab.good("start", "a")
        lab.is_now("a", "running")


def killed_parts(ground):
    """Whatever below the supervisor is killed: it sees it, says so, and starts again where it should."""
    with Lab() as lab:
        lab.start("a", "--restart", "on-failure", ground=ground)
        for _ in range(2):
            runner, *_, last = children_of(lab.supervisor("a"))
            for pid in (last, runner):
                before = lab.row("a")["RestartCount"]
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)
                    until(lambda b=before: lab.row("a")["RestartCount"] > b and lab.row("a")["State"] == "running", deadline=20)
                    need(lab.row("a")["RestartCount"] > before, f"not started again: {lab.row('a')}")


def stopped_supervisor():
    with Lab() as lab:
        lab.start("a")
        pid = lab.supervisor("a")
        os.kill(pid, signal.SIGSTOP)
        try:
            lab.refused("pause", "a", why=f"its supervisor (process {pid}) does not answer")
        finally:
            os.kill(pid, signal.SIGCONT)


def policies():
    with Lab() as lab:
        lab.start("a", "--restart", "on-failure:3", program=["/bin/false"])
        row = lab.is_now("a", "exited")
        need(row["RestartCount"] == 3 and row["ExitCode"] == 1, f"not three restarts: {row}")
        lab.start("b", "--restart", "on-failure:3", program=["/bin/true"])
        need(lab.is_now("b", "exited")["RestartCount"] == 0, "success was started again")
        lab.start("c", "--restart", "always", program=["/bin/true"])
        until(lambda: lab.row("c")["RestartCount"] >= 2, deadline=10)
        need(lab.row("c")["RestartCount"] >= 2, "not always")
        lab.good("stop", "c")
        need(lab.row("c")["State"] == "exited", "it goes on after a stop")
        lab.start("d", "--rm", program=["/bin/true"])
        until(lambda: lab.row("d") is None, deadline=10)
        need(lab.row("d") is None, "--rm left it behind")
        lab.refused("run", "-d", "--restart", "sometimes", *SLEEP, why="none of no, on-failure", status=2)
        lab.refused("run", "-d", "--restart", "on-failure:x", *SLEEP, why="no count", status=2)
        need("die c ExitCode=0" in lab.good("events", "--since", "10m", "--until", "0s"), "no event of an end")


def logs():
    script = "echo one; echo two >&2; printf three"
    with Lab() as lab:
        for driver in ("json", "text"):
            lab.start(driver, "--log-driver", driver, program=["/bin/sh", "-c", script])
            lab.is_now(driver, "exited")
            result = lab.ingot("logs", driver)
            need(result.out == b"one\nthree" and result.err == b"two\n", f"{driver}: not what it said\n{result.show()}")
            need(lab.ingot("logs", "-t", driver).text().startswith("20"), "no time stamps")
            need(lab.good("logs", "--tail", "1", driver) == "three", "not the last line")
            need(lab.good("logs", "--since", "1h", driver) == "one\nthree", "since drops lines")
            need(lab.good("logs", "--until", "1h", driver) == "", "until keeps lines")
        lab.refused("logs", "--since", "tomorrow", "json", why="no time", status=2)
        lab.refused("run", "-d", "--log-driver", "jsn", *SLEEP, why="none of json, text", status=2)
        lab.refused("run", "-d", "--log-opt", "max-sise=1m", *SLEEP, why="did you mean 'max-size'?", status=2)


def log_rotation_and_following():
    script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done"
    with Lab() as lab:
        lab.start("a", "--log-opt", "max-size=20k", "--log-opt", "max-file=3", program=["/bin/sh", "-c", script])
        lab.is_now("a", "exited")
        folder = os.path.join(lab.state, "instances", "a")
        files = sorted(name for name in os.listdir(folder) if name.startswith("log"))
        need(files == ["log", "log.1", "log.2"], f"not three files: {files}")
        need(max(os.path.getsize(os.path.join(folder, name)) for name in files) < 90000, "larger than asked for")
        lines = lab.good("logs", "a").splitlines()
        first = int(lines[0].split()[1])
        need(lines == [f"line {i}" for i in range(first, 3000)], "lines are lost or torn")
        lab.start("b", "--allow-exec", "/bin/sleep", ground="vm", program=["/bin/sh", "-c", "echo begin; /bin/sleep 1; echo end"])
        need(lab.good("logs", "-f", "b", timeout=30) == "begin\nend\n", "not followed to the end")


def log_daemons():
    for driver, marks in (("syslog", (b"<30>", b"mark[", b"hello")), ("journald", (b"MESSAGE=hello\n", b"SYSLOG_IDENTIFIER=mark"))):
        with Lab() as lab, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            path = os.path.join(lab.path, "daemon")
            daemon.bind(path)
            daemon.settimeout(60)
            lab.start("a", "--log-driver", driver, "--log-opt", f"address=unixgram://{path}", "--log-opt", "tag=mark",
                      program=["/bin/echo", "hello"])
            got = daemon.recv(4096)
            need(all(mark in got for mark in marks), f"{driver}: {got}")
            lab.refused("logs", "a", why=f"logs to {driver}")
            daemon.close()
            lab.start("b", "--log-driver", driver, "--log-opt", f"address={path}", program=["/bin/echo", "lost"])
            lab.is_now("b", "exited")
            lost = json.loads(lab.good("inspect", "b"))[0]["State"]["LostLogLines"]
            need(lost == 1, f"{lost} lost lines")


def full_disk():
    with Lab() as lab:
        os.mkdir(lab.state)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", lab.state], check=False, capture_output=True)
        if done.returncode:
            return
        try:
            script = "i=0; while [ $i -lt 9000 ]; do echo a line of a program that says much $i; i=$((i+1)); done; exit 7"
            lab.start("a", program=["/bin/sh", "-c", script])
            row = lab.is_now("a", "exited")
            need(row["ExitCode"] == 7, f"a full disk disturbed the program: {row}")
            lost = json.loads(lab.good("inspect", "a"))[0]["State"]["LostLogLines"]
            kept = lab.good("logs", "a").splitlines()
            need(lost > 0 and len(kept) + lost == 9000, f"{len(kept)} kept and {lost} lost of 9000")
            lab.refused("run", "-d", "--name", "b", "--isolation", "process", *SLEEP, why="No space left on device")
            lab.good("rm", "a")
        finally:
            subprocess.run(["umount", lab.state], check=False)


def attached():
    with Lab() as lab:
        lab.start("a", "--allow-exec", "/bin/sleep", ground="vm", program=["/bin/sh", "-c", "/bin/sleep 4; echo out; echo err >&2; exit 3"])
        result = lab.ingot("attach", "a", timeout=30)
        need(result.status == 3 and result.out == b"out\n" and result.err == b"err\n", f"not what it said\n{result.show()}")
        lab.refused("attach", "--detach-keys", "ctrl-p,strg-q", "a", why="neither a character nor ctrl-X", status=2)
        lab.refused("exec", "a", "ls", why="no shell beside it")
        lab.refused("attach", "a", why="not running")


def spoken_with(ground):
    """-d -i: what is typed reaches the program, more than it takes at once as well; the log has what it answers."""
    with Lab() as lab:
        lab.start("a", "-i", ground=ground, program=["/bin/sed", "-u", "s/^/said /;/quit/q3"])
        path = os.path.join(lab.path, "heard")
        with open(path, "wb") as heard:
            deaf = subprocess.Popen([INGOT, "attach", "--no-stdin", "a"], stdin=subprocess.PIPE, stdout=heard,
                                    env={**os.environ, **lab.env()})
        deaf.stdin.write(b"nobody hears\n")
        deaf.stdin.close()
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(os.path.join(lab.state, "instances", "a", "control"))
            first.send(b"attach input\n")
            need(first.recv(3) == b"ok\n", "not attached")
            while not os.path.getsize(path):
                first.send(b"ping\n")
                time.sleep(0.1)
            text = b"".join(b"line %d\n" % i for i in range(20000)) + b"quit\n"
            result = lab.ingot("attach", "a", stdin=text, timeout=120)
        said = b"".join(b"said " + line for line in text.splitlines(True))
        heard = result.out.replace(b"said ping\n", b"")
        need(result.status == 3 and heard == said, f"status {result.status}, {len(heard)} of {len(said)}")
        need(deaf.wait(60) == 3, "another sees another end")
        with open(path, "rb") as file:
            heard = file.read().replace(b"said ping\n", b"")
        need(heard == said, f"another saw {len(heard)} of {len(said)}")
        need(lab.good("logs", "a").replace("said ping\n", "").encode() == said, "not in the log")


class Typist:
    """A command on a terminal of its own."""

    def __init__(self, lab, *words):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execve(INGOT, [INGOT, *words], {**os.environ, **lab.env()})
        self.resize(30, 100)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text, answer, deadline=60):
        """Until @answer comes, which is not what was typed."""
        said, end = b"", time.monotonic() + deadline * PATIENCE
        os.write(self.fd, text)
        while answer not in said and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    said += os.read(self.fd, 65536)
        need(answer in said, f"no {answer} after {text}: {said[-300:]}")

    def end(self):
        """Its status; what is left on the terminal goes."""
        with contextlib.suppress(OSError):
            while select.select([self.fd], [], [], 20 * PATIENCE)[0] and os.read(self.fd, 65536):
                pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def on_a_terminal(ground):
    """-d -i -t: its terminal is that of who attaches, as large and with its keys, until he leaves."""
    with Lab() as lab:
        lab.start("a", "-it", ground=ground, program=["/usr/bin/python3", "-q", "-c", "input('ready?')\nimport os, code\ncode.interact('go', local={'os': os})"])
        user = Typist(lab, "attach", "a")
        user.type(b"yes\r", b">>> ")
        user.type(b"print(6 * 7)\r", b"42\r\n")
        user.type(b"\r", b">>> ")
        user.resize(44, 133)
        # Python may see SIGWINCH only with the next key, and the size comes by another way than the keys.
        user.type(b"while os.get_terminal_size() != (133, 44): pass\r\r", b"... ")
        user.type(b"print('now', *os.get_terminal_size())\r", b"now 133 44\r\n")
        # A signal between a prompt and Python's select() behind it would wait there for the next key: so one in a loop.
        user.type(b"exec(\"print('in it')\\nwhile True: pass\")\r", b"in it\r\n")
        user.type(b"\x03", b"KeyboardInterrupt")
        user.type(b"\x10\x11", b"instance 'a' goes on")
        need(user.end() == 0, "leaving is a failure")
        lab.is_now("a", "running")
        user = Typist(lab, "attach", "--detach-keys", "ctrl-x,q", "a")
        user.type(b"\r", b">>> ")
        user.type(b"\x10\x11\x18q", b"goes on")
        user.end()
        user = Typist(lab, "attach", "a")
        user.type(b"\r", b">>> ")
        user.type(b"for i in range(100000): print(i)\r\r", b"99999\r\n")
        os.write(user.fd, b"exit(5)\r")
        need(user.end() == 5, "not its status")
        need("99999" in lab.good("logs", "--tail", "3", "a"), "the log does not go on")
        lab.good("start", "a")
        user = Typist(lab, "attach", "a")
        user.type(b"again\r", b">>> ")
        user.type(b"exit(0)\r", b"exit(0)")
        need(user.end() == 0, "it does not end")


def who_does_not_listen():
    """Somebody attached who reads nothing holds nobody up for long."""
    with Lab() as lab:
        lab.start("a", program=["/usr/bin/seq", "1", "300000"])
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.connect(os.path.join(lab.state, "instances", "a", "control"))
            deaf.send(b"attach\n")
            need(lab.good("wait", "a") == "0\n", "it does not end")
        need(lab.good("logs", "--tail", "1", "a") == "300000\n", "the log ends early")


def signals_passed_on():
    with Lab() as lab:
        lab.start("a", program=["/usr/bin/python3", "-c", "import os, time\nwhile True: os.write(1, b'x\\n'); time.sleep(0.1)"])  # a line at once
        for word, status in (("--no-stdin", -signal.SIGINT), ("--sig-proxy", 143)):
            child = subprocess.Popen([INGOT, "attach", word, "a"], env={**os.environ, **lab.env()}, stdout=subprocess.PIPE)
            need(child.stdout.readline() == b"x\n", "nothing said")
            child.send_signal(signal.SIGINT)
            child.stdout.read()
            need(child.wait(60) == status, f"{word}: status {child.returncode}")
        lab.is_now("a", "exited")


def in_the_foreground():
    with Lab() as lab:
        child = subprocess.Popen([INGOT, "run", "--isolation", "process", "--name", "f", *SLEEP], stdin=subprocess.DEVNULL,
                                 env={**os.environ, **lab.env()}, stderr=subprocess.PIPE)
        try:
            lab.is_now("f", "running")
            lab.refused("logs", "f", why="its own terminal")
            lab.refused("pause", "f", why="runs on a terminal")
            lab.good("stop", "f")
            need(child.wait(60) == 143, f"status {child.returncode}")
            need(lab.row("f") is None, "left behind")
        finally:
            child.kill()
            child.wait()
            child.stderr.close()
        lab.good("run", "--isolation", "process", "/bin/true")
        need(not lab.good("ps", "-a", "-q"), "one without a name is listed")


def what_cannot_start():
    with Lab() as lab, socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        lab.refused("run", "-d", "--name", "a", "--isolation", "process", "-p", f"127.0.0.1:{port}:80", *SLEEP, why=str(port))
        need(lab.row("a") is None, "what never started is listed")
        lab.refused("run", "-d", "--rm", "--restart", "always", *SLEEP, why="what is removed", status=2)
        lab.start("b")
        need(lab.ingot("kill", "-s", "USR1", "b").status == 1, "a signal that cannot enter")
        lab.refused("kill", "-s", "USR1", "b", why="cannot enter a guest")
        lab.good("kill", "-s", "TERM", "b")
        need(lab.good("wait", "b") == "143\n", "the stop signal did not arrive")


def health():
    with Lab() as lab:
        port = free_port()
        lab.refused("run", "-d", "--health-cmd", "pg_isready", *SLEEP, why="nothing runs in a guest beside")
        lab.refused("run", "-d", "--health-cmd", "http:8000/", *SLEEP, why="port 8000 is not published")
        lab.start("sick", "-p", f"127.0.0.1:{port}:8000", "--health-cmd", "tcp:8000", "--health-interval", "100ms",
                  "--health-retries", "2")
        until(lambda: lab.row("sick")["Health"] == "unhealthy", deadline=15)
        need(lab.row("sick")["Health"] == "unhealthy", f"{lab.row('sick')}")
        need("unhealthy" in lab.good("ps"), "ps says nothing of it")


def waited_for():
    with Lab() as lab:
        server = ["/usr/bin/python3", "-m", "http.server"]
        lab.start("web", "-p", "127.0.0.1::8000", "--health-cmd", "http:8000/", "--health-interval", "50ms",
                  program=server)
        need(lab.good("wait", "--condition", "healthy", "--timeout", "30s", "web") == "web\n", "not healthy")
        need(lab.row("web")["Health"] == "healthy", "it lied")
        where = lab.good("port", "web", "8000").strip()
        lab.good("restart", "web")
        need(lab.good("port", "web", "8000").strip() == where, "another port after a restart")
        lab.start("quiet")
        lab.good("wait", "--condition", "running", "quiet")
        lab.refused("wait", "--condition", "healthy", "quiet", why="no health check")
        lab.refused("wait", "--condition", "fine", "quiet", why="exited, running or healthy", status=2)
        lab.refused("wait", "--timeout", "1s", "quiet", why="only with --condition", status=2)
        lab.start("ill", "-p", "127.0.0.1::9", "--health-cmd", "tcp:9")
        lab.refused("wait", "--condition", "healthy", "--timeout", "300ms", "ill", why="is not healthy after 300ms")
        lab.start("brief", "-p", "127.0.0.1::8", "--health-cmd", "tcp:8", program=["/bin/sh", "-c", "exit 3"])
        lab.refused("wait", "--condition", "healthy", "brief", why="ended with status 3")


def debugger():
    if not find("gdb"):
        raise Skip("gdb is not installed")
    with Lab() as lab:
        lab.start("a", "-m", "32M", ground="vm")
        result = None

        def idle():
            nonlocal result
            result = lab.ingot("debug", "a", "-batch", "-ex", "bt", "-ex", "print boot_info.nr_cpus")
            return "idle_locked (" in result.text()
        until(idle, deadline=20, step=0.2)
        need(result.status == 0 and "idle_locked (" in result.text(), f"no backtrace of an idle CPU\n{result.show()}")
        need("$1 = 1" in result.text(), f"no symbols\n{result.show()}")
        need(lab.row("a")["State"] == "running", "it does not go on")
        lab.good("stop", "a")
        lab.refused("debug", "a", why="is not running")
        source, program = os.path.join(HERE, "programs", "busy.c"), os.path.join(lab.path, "busy")
        subprocess.run(["gcc", "-O1", "-fno-inline", source, "-o", program], check=True)
        lab.start("c", "-m", "32M", ground="vm", program=[program, "on"])

        def in_program():
            nonlocal result
            result = lab.ingot("debug", "c", "-batch", "-ex", "info symbol $pc", "-ex", "info symbol main")
            return " in section .text of " in result.text() and "main in section .text of " in result.text()
        until(in_program, deadline=20, step=0.2)
        need("innermost" in result.text() or "much_work" in result.text(), f"not where it computes\n{result.show()}")
        lab.start("b")
        lab.refused("debug", "b", why="is a process of this machine")


def labels():
    with Lab() as lab:
        lab.start("a", "--label", "team=x", "--label", "bare")
        lab.start("b", "-l", "team=y")
        for filters, names in ((["label=team"], "a b"), (["label=team=x"], "a"), (["label=bare"], "a"),
                               (["label=team", "name=b"], "b"), (["status=running"], "a b"), (["status=exited"], "")):
            words = [word for one in filters for word in ("--filter", one)]
            need(lab.good("ps", "-q", *words).split() == names.split(), f"{filters} is not {names}")
        lab.refused("ps", "--filter", "team=x", why="is none of", status=2)
        lab.start("c", program=["/bin/sleep", "1000.0000000000000000000000001"])
        need("0001" not in lab.good("ps") and "0001 " in lab.good("ps", "--no-trunc"), "not cut, or not whole")
        lab.refused("run", "-d", "--health", "tcp:1", *SLEEP, why="did you mean '--health-cmd'?", status=2)


def health_of_an_image():
    """A check that the image has; and one that it cannot have, which is said."""
    redis = find("redis-server")
    if not redis:
        raise Skip("redis-server is not installed")
    with Lab() as lab:
        for name, check in (("good", "--interval=200ms CMD nc -z localhost 6379"), ("odd", "CMD redis-cli ping")):
            folder = os.path.join(lab.path, name)
            os.mkdir(folder)
            with open(os.path.join(folder, "Ingotfile"), "w", encoding="ascii") as file:
                file.write(f"FROM scratch\nPROGRAM {redis} --save '' --protected-mode no\nHEALTHCHECK {check}\n")
            lab.good("build", "-q", "-t", name, folder)
        port = free_port()
        lab.start("good", "-p", f"127.0.0.1:{port}:6379", program=["good"])
        until(lambda: lab.row("good")["Health"] == "healthy", deadline=20)
        need(lab.row("good")["Health"] == "healthy", f"{lab.row('good')}")
        lab.good("stop", "good")
        result = lab.ingot("run", "-d", "--isolation", "process", "odd")
        need(result.status == 0 and "redis-cli ping" in result.errors(), f"not said\n{result.show()}")


def after_a_boot():
    with Lab() as lab:
        for name, policy in (("a", "always"), ("b", "unless-stopped"), ("c", "unless-stopped"), ("d", "no")):
            lab.start(name, "--restart", policy)
        lab.good("stop", "c")
        for name in "abd":
            os.kill(lab.supervisor(name), signal.SIGKILL)
        for name in "abd":
            lab.is_now(name, "dead")
        need(lab.good("start", "--all").split() == ["a", "b"], "not those that their policy wants")


def what_is_not_needed():
    """Images without a name go, but not those that an instance was made of, running or not."""
    with Lab() as lab:
        lab.good("system", "prune")  # of a store that has nothing yet
        need(lab.good("images").count("\n") == 1, "an empty store is none any more")
        lab.good("run", "--isolation", "process", "/bin/true")
        lab.start("a")
        lab.good("stop", "a")
        lab.good("build", "-q", "/bin/date", "-t", "date:1")
        images, instances, _ = json.loads(lab.good("system", "df", "--format", "json"))
        need((images["Total"], images["Active"], instances["Total"], instances["Active"]) == (3, 2, 1, 0), f"{images} {instances}")
        need(0 < images["Reclaimable"] < images["Size"] and instances["Reclaimable"] == instances["Size"] > 0, f"{images} {instances}")
        need("RECLAIMABLE" in lab.good("system", "df"), "no table")
        lab.good("run", "--isolation", "process", "/bin/date")  # the same image without a name: it stays
        said = lab.good("system", "prune")
        need(said.count("Deleted: sha256:") == 1 and "Total reclaimed space: " in said, said)
        need(lab.good("images").count("date") == 1, "a name is lost")
        lab.good("start", "a")
        need("Deleted" not in lab.good("system", "prune", "-f"), "what is needed went")
        lab.refused("system", "purge", why="did you mean 'prune'", status=2)
        lab.refused("system", "xyz", why="there are df and prune", status=2)
        lab.refused("volume", "list", why="did you mean 'ls'", status=2)


def what_others_need():
    """A snapshot outlives its instance, and an instance may be in another state directory."""
    with Lab() as lab:
        lab.start("a", ground="vm", program=["/bin/sleep", "999"])
        lab.good("snapshot", "a", "kept")
        lab.good("rm", "-f", "a")
        lab.start("b", program=["/usr/bin/tail", "-f", "/dev/null"])
        lab.good("stop", "b")
        here, lab.state = lab.state, os.path.join(lab.path, "other")
        need("Deleted" not in lab.good("system", "prune"), "an image went that is needed")
        lab.state = here
        about = os.path.join(lab.state, "snapshots", "kept", "snapshot.json")
        with open(about, "r+", encoding="utf-8") as file:
            ours = file.read()
            file.seek(0)
            file.write(ours.replace('"Version": "', '"Version": "9'))
        need("Deleted" not in lab.good("system", "prune"), "the image of another version's snapshot went")
        with open(about, "w", encoding="utf-8") as file:
            file.write(ours)
        lab.good("restore", "kept", "--name", "c")
        lab.good("start", "b")
        lab.good("rm", "-f", "b", "c")
        lab.good("snapshot", "rm", "kept")
        need(lab.good("system", "prune").count("Deleted") == 2, "not both went")


def damaged_files():
    with Lab() as lab:
        lab.start("a")
        folder = os.path.join(lab.state, "instances", "a")
        lab.good("stop", "a")
        with open(os.path.join(folder, "state.json"), "wb") as file:
            file.write(b"\0" * 100)
        need(lab.row("a")["State"] == "dead", "a damaged state is not told")
        with open(os.path.join(folder, "config.json"), "wb") as file:
            file.write(b"{\"Words\": 7}")
        lab.refused("start", "a", why="config.json is damaged")
        with open(os.path.join(folder, "config.json"), "wb") as file:
            file.write(b"[")
        lab.refused("inspect", "a", why="damaged")
        need("a" in lab.good("ps", "-a"), "not listed any more")
        os.unlink(os.path.join(folder, "config.json"))
        lab.good("rm", "-f", "a")


def add_to(suite):
    for ground in ("process", "vm"):
        for test in (life, what_a_paused_one_does, killed_supervisor, killed_parts, spoken_with, on_a_terminal):
            suite.add(f"instance: {test.__name__.replace('_', ' ')} ({ground})", test, ground)
    for test in (names_in_use, fifty_at_once, stopped_supervisor, policies, logs, log_rotation_and_following, log_daemons,
                 full_disk, attached, who_does_not_listen, signals_passed_on, in_the_foreground, what_cannot_start, health, waited_for, labels, debugger, health_of_an_image,
                 after_a_boot, what_is_not_needed, what_others_need, damaged_files):
        suite.add("instance: " + test.__name__.replace("_", " "), test)
