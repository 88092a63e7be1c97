"""A guest in a process beside the same program on the host: pairs of runs, the least of each."""
import json
import os
import re
import resource
import shutil
import subprocess
import tempfile
import time
from statistics import median

from guests import BUILD
from smp import ROWS, SMP

INGOT = os.path.join(BUILD, "ingot")
SPAWN = os.path.join(BUILD, "bench", "bench-spawn")
HELLO = os.path.join(BUILD, "bench", "bench-hello")
PARTS = ("", "-tender", "-device", "-kernel", "-patch")  # files of an installation
TIMES = os.path.join(BUILD, "bench", "bench-times")
ROUNDS = 300
TURNS = 15  # of what computes
COMPUTES = 1.01  # its goal, and what native may differ from itself by for a verdict to mean something
ALONE = ["--isolation", "process", "--net", "none"]  # without a device process

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


def spawn(*command, rounds=ROUNDS, prefix=(), **kwargs):
    """(least, median) of start to exit, in microseconds; @prefix starts what measures."""
    ended = subprocess.run([*prefix, SPAWN, str(rounds), *command], check=True, capture_output=True, text=True, **kwargs)
    return tuple(float(word) for word in ended.stdout.split())


def tender_command(env, *target):
    """The tender's command and its files by descriptor, as `ingot run --dry-run` tells them."""
    text = subprocess.run([INGOT, "run", *ALONE, "--dry-run", *target], check=True,
                          capture_output=True, text=True, env=env).stdout
    quoted = text.split("'")
    program, line, rest = quoted[0].strip(), "'".join(quoted[1:-1]), quoted[-1].split()
    words = [word for word in rest if "<" not in word]
    files = dict(word.split("<", 1) for word in rest if "<" in word)
    return [program, line, *words], {int(fd): path for fd, path in files.items()}


def tender(env, *target, rounds=ROUNDS):
    command, files = tender_command(env, *(target or ["bench:1"]))
    redirections = " ".join(f"{fd}<'{path}'" for fd, path in files.items())
    shell = f'exec "$@" 3>/dev/null {redirections}'
    ended = subprocess.run(["sh", "-c", shell, "sh", SPAWN, str(rounds), *command], check=True,
                           capture_output=True, text=True)
    return tuple(float(word) for word in ended.stdout.split())


def times(*command):
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {name: float(ns) for name, ns in (line.split() for line in text.splitlines())}


def written_large(folder, *paths):
    """Copies of programs, 1 MiB a write: a host keeps a file in pages as large as it was written, and small ones, as linkers write, cost a
    start up to 60 µs.  So all that is compared is in the same state, which is that of an installed file."""
    for path in paths:
        copy = os.path.join(folder, os.path.basename(path))
        with open(path, "rb") as source, open(copy, "wb", buffering=0) as target:
            while piece := source.read(1 << 20):
                target.write(piece)
        os.chmod(copy, 0o755)
    return [os.path.join(folder, os.path.basename(path)) for path in paths]


def least_in_turns(ways, turns=3):
    """{title: function} to [title, least, median of the best turn]: in turn, so that a busy machine slows all."""
    best = {}
    for turn in range(turns):
        for title in ways if turn % 2 == 0 else reversed(ways):
            best[title] = tuple(map(min, best.get(title, (1e12, 1e12)), ways[title]()))
    return [[title, f"{best[title][0]:.0f}", f"{best[title][1]:.0f}"] for title in ways]


def bench_starts(report):
    global INGOT
    with tempfile.TemporaryDirectory() as store, tempfile.TemporaryDirectory() as folder:
        env, built = {**os.environ, "INGOT_HOME": store}, INGOT
        hello, INGOT, *_ = written_large(folder, HELLO, *(os.path.join(BUILD, f"ingot{part}") for part in PARTS))
        subprocess.run([INGOT, "build", "-q", "-t", "bench:1", HELLO], check=True, env=env, stdout=subprocess.DEVNULL)
        rows = least_in_turns({
            "native": lambda: spawn(hello),
            "native, as the linker wrote it": lambda: spawn(HELLO),
            "the tender": lambda: tender(env),
            "`ingot run --net none hello:1`": lambda: spawn(INGOT, "run", *ALONE, "bench:1", env=env),
            "`ingot run hello:1`": lambda: spawn(INGOT, "run", "--isolation", "process", "bench:1", env=env)})
        INGOT = built
    report.table(["static hello, start to exit, µs", "least", "median"], rows)


# command -> rounds; each is a program of the distribution, from exec to exit
STARTS = {
    ("/usr/bin/perl", "-e", "1"): 200,
    ("/usr/bin/python3", "-c", "pass"): 60,
    ("/usr/bin/node", "-e", "0"): 15,
}
LOOP = "n = 0\nfor i in range(12000000): n += i & 7"


def ratio(ours, native):
    return f"{ours / native:.2f}"


def bench_programs(report):
    """Programs that start and end: in turn, so that a busy machine slows both."""
    rows = []
    with tempfile.TemporaryDirectory() as store:
        env = {**os.environ, "INGOT_HOME": store}
        for command, rounds in STARTS.items():
            if not os.path.exists(command[0]):
                continue
            subprocess.run([INGOT, "build", "-q", "-t", "start:1", command[0]], check=True, env=env, stdout=subprocess.DEVNULL)
            best = [(1e12, 1e12)] * 3
            for _ in range(3):
                now = [spawn(*command, rounds=rounds), tender(env, "start:1", *command[1:], rounds=rounds),
                       spawn(INGOT, "run", *ALONE, "start:1", *command[1:], env=env, rounds=rounds)]
                best = [tuple(map(min, pair)) for pair in zip(best, now)]
            native, ours, whole = (pair[0] for pair in best)
            rows.append([" ".join([os.path.basename(command[0]), *command[1:]]), f"{native:.0f}", f"{ours:.0f}", f"{whole:.0f}",
                         ratio(ours, native), "1.10"])
    report.table(["start to exit, least, µs", "native", "the tender", "`ingot run --net none`", "tender to native", "goal"], rows)


def cpu_time(command, env=None):
    """Seconds of processor that it and its children took: a busy machine adds little to that."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sha256_rate(command, env=None):
    """Seconds a GB that `openssl speed` measures itself."""
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout
    return 1e6 / float(re.findall(r"([0-9.]+)k", text)[-1])


def in_turns(measure, command, guest, env):
    """Native, the guest, native again, then backwards: what native differs from itself by is what the machine's mood makes."""
    ways = [(command, None, []), (guest, env, []), (command, None, [])]
    for turn in range(TURNS):
        for what, its_env, values in ways if turn % 2 == 0 else reversed(ways):
            values.append(measure(what, its_env))
    return [values for _, _, values in ways]


def computing_row(title, native, ours, again):
    """By the median of ratios, each of one turn, which what slows the machine for seconds changes little; beside it native by itself, read the same way."""
    pairs = sorted(ours[i] / ((native[i] + again[i]) / 2) for i in range(TURNS))
    itself = [again[i] / native[i] for i in range(TURNS)]
    told = 1 / COMPUTES <= median(itself) <= COMPUTES
    verdict = ("reached" if median(pairs) <= COMPUTES else "missed") if told else "not told: the machine changed"
    return [title, f"{min(native + again):.3f}", f"{min(ours):.3f}", f"{min(ours) / min(native + again):.3f}", f"{median(pairs):.3f}",
            f"{pairs[TURNS // 4]:.2f} to {pairs[-1 - TURNS // 4]:.2f}", f"{median(itself):.3f}", f"{COMPUTES}: {verdict}"]


def bench_computing(report):
    speed = ["/usr/bin/openssl", "speed", "-elapsed", "-seconds", "1", "-bytes"]
    work = [
        ("xz -6 of a program", cpu_time, ["/usr/bin/xz", "-6", "-k", "-c", "/usr/bin/perl"]),
        ("a loop in Python", cpu_time, ["/usr/bin/python3", "-c", LOOP]),
        ("openssl sha256, 16 bytes", sha256_rate, [*speed, "16", "sha256"]),
        ("openssl sha256, 8 KiB", sha256_rate, [*speed, "8192", "sha256"]),
    ]
    rows = []
    with tempfile.TemporaryDirectory() as store:
        env = {**os.environ, "INGOT_HOME": store}
        for title, measure, command in work:
            if not os.path.exists(command[0]):
                continue
            # of an image: to look whether a program's files are still the same is 7 ms of processor
            subprocess.run([INGOT, "build", "-q", "-t", "compute:1", "--file", "/usr/bin/perl:/usr/bin/perl", command[0]],
                           check=True, env=env, stdout=subprocess.DEVNULL)
            guest = [INGOT, "run", "-q", *ALONE, "compute:1", *command[1:]]
            rows.append(computing_row(title, *in_turns(measure, command, guest, env)))
    report.table([f"computing, {TURNS} turns, s of processor (openssl: s a GB), least", "native", "in a process", "ratio", "median of the turns' ratios",
                  "their middle half", "native beside itself", "goal"], rows)


def bench_two_cpus(report):
    """bench/guest/smp.c on the host and with --cpus 2, in turn."""
    native, ours = {}, {}
    for _ in range(3):
        for best, prefix in ((native, []), (ours, [INGOT, "run", "-q", *ALONE, "--cpus", "2"])):
            for name, ns in times(*prefix, SMP).items():
                best[name] = min(ns, best.get(name, ns))
    report.table(["two CPUs, ns an operation", "native", "in a process", "share"],
                 [[title, f"{native[name]:.0f}", f"{ours[name]:.0f}", f"{ours[name] / native[name]:.2f}"]
                  for name, title in ROWS.items() if native.get(name) and name in ours])


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(r"^Pss: +(\d+)", file.read(), re.M).group(1))


def family(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [pid] + [one for child in file.read().split() for one in family(int(child))]


def resting_memory(command, env=None):
    """KiB of all its processes once it has said hello and waits for input."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        process.stdout.readline()
        time.sleep(0.5)
        sizes = sum(pss(pid) for pid in family(process.pid))
        process.stdin.close()
        process.wait()
    return sizes


def bench_memory_of_hello(report):
    with tempfile.TemporaryDirectory() as store:
        env = {**os.environ, "INGOT_HOME": store}
        subprocess.run([INGOT, "build", "-q", "-t", "bench:1", HELLO], check=True, env=env, stdout=subprocess.DEVNULL)
        native = resting_memory([HELLO, "wait"])
        rows = []
        for title, words in (("`ingot run --net none`", ALONE), ("`ingot run`", ALONE[:2])):
            ours = resting_memory([INGOT, "run", *words, "bench:1", "wait"], env)
            rows.append([title, native, ours, ours - native, 1024])
    report.table(["static hello that waits, PSS of all processes, KiB", "native", "all of ours", "beyond the program", "goal"], rows)


# Where cgroups of both versions are mounted, crun refuses to start: a mount namespace shows it the
# second only, and the container gets none of its own.  That is less work than it has elsewhere.
ONE_CGROUP = ["unshare", "-m", "sh", "-c", 'umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"', "sh"]


def first_that_runs(ways):
    """The first of these (prefix, command) whose command says hello, or why the last does not."""
    for prefix, command in ways:
        tried = subprocess.run([*prefix, *command], capture_output=True, text=True, check=False)
        if tried.returncode == 0 and "Hello" in tried.stdout:
            return prefix, command
    return (tried.stdout + tried.stderr).strip().splitlines()[-1]


def crun_command(crun, folder):
    bundle = os.path.join(folder, "bundle")
    os.makedirs(os.path.join(bundle, "rootfs"))
    shutil.copy(HELLO, os.path.join(bundle, "rootfs", "hello"))
    subprocess.run([crun, "spec"], cwd=bundle, check=True)
    config = os.path.join(bundle, "config.json")
    with open(config, encoding="ascii") as file:
        spec = json.load(file)
    spec["process"].update(terminal=False, args=["/hello"])
    with open(config, "w", encoding="ascii") as file:
        json.dump(spec, file)
    run = ["run", "-b", bundle, "ingot-bench"]
    return first_that_runs([([], [crun, *run]), (ONE_CGROUP, [crun, "--cgroup-manager=disabled", *run])])


def podman_command(program, folder):
    place = os.path.join(folder, "podman")
    podman = [program, "--root", place, "--runroot", os.path.join(place, "run"), "--storage-driver", "vfs",
              "--events-backend=none", "--cgroup-manager=cgroupfs"]
    with subprocess.Popen(["tar", "-C", os.path.dirname(HELLO), "-c", os.path.basename(HELLO)], stdout=subprocess.PIPE) as tar:
        subprocess.run([*podman, "import", "-q", "-c", f'CMD ["/{os.path.basename(HELLO)}"]', "-", "bench:1"],
                       check=True, stdin=tar.stdout, capture_output=True)
    run = [*podman, "run", "--rm", "--runtime", "crun", "--network=none"]
    bare = ["--cgroups=disabled", "--log-driver=none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
    return first_that_runs([([], [*run, "bench:1"]), (ONE_CGROUP, [*run, *bare, "bench:1"])])


def bench_containers(report):
    """`ingot run` beside what else runs a program of an image, in one run."""
    others = {"crun": (crun_command, 20, 8), "podman": (podman_command, 8, 100)}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "INGOT_HOME": os.path.join(folder, "store")}
        installed, *_ = written_large(folder, *(os.path.join(BUILD, f"ingot{part}") for part in PARTS))  # as the others are
        subprocess.run([installed, "build", "-q", "-t", "hello:1", HELLO], check=True, env=env, stdout=subprocess.DEVNULL)
        ours = spawn(installed, "run", "--isolation", "process", "hello:1", env=env)
        alone = spawn(installed, "run", *ALONE, "hello:1", env=env)  # the containers have no network, either
        rows.append(["`ingot run hello:1`", f"{ours[0]:.0f}", f"{ours[1]:.0f}", "", ""])
        rows.append(["`ingot run --net none hello:1`", f"{alone[0]:.0f}", f"{alone[1]:.0f}", "", ""])
        for name, (make, rounds, goal) in others.items():
            program = shutil.which(name)
            found = make(program, folder) if program else f"{name} is not installed"
            if isinstance(found, str):
                report.add(f"`{name} run` does not run here, so it is not compared: {found}")
                report.add()
                continue
            prefix, command = found
            least, median = spawn(*command, rounds=rounds, prefix=prefix)
            rows.append([f"`{name} run`" + (", without cgroups" if prefix else ""), f"{least:.0f}", f"{median:.0f}",
                         f"1/{least / ours[0]:.1f} · 1/{least / alone[0]:.1f}", f"1/{goal}"])
    report.table(["the same hello, start to exit, µs", "least", "median", "ours to it", "goal"], rows)


def bench_process(report, _machines):
    bench_starts(report)
    bench_containers(report)
    bench_memory_of_hello(report)
    bench_programs(report)
    bench_computing(report)
    bench_two_cpus(report)
    native, ours = times(TIMES), times(INGOT, "run", "-q", "--isolation", "process", TIMES)
    rows = []
    for name, (title, goal) in OPERATIONS.items():
        share = ours[name] / native[name]
        rows.append([title, f"{native[name]:.0f}", f"{ours[name]:.0f}", f"{share:.2f}",
                     "" if goal is None else f"{goal:.2f}"])
    report.table(["ns an operation", "native", "in a process", "share", "goal"], rows)
