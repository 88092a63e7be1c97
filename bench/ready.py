"""From init's start to a runtime that is ready: a line of a JVM and of node, a Go server's first answer to itself.
The Linux guest has the runtime in its initramfs, /proc and /dev; its time begins where bench/guest/init.c starts, ours
where QEMU does, kernel and all, and once more where the same init does in a guest of ours.  It is QEMU's processor time:
on a busy machine the clock says nothing."""
import os
import shutil
import subprocess
import tempfile

import cpio
import guests

JAVA_SOURCE = 'public class Hello { public static void main(String[] a) { System.out.println("Hello"); } }\n'
GO_SOURCE = """package main

import (
	"fmt"
	"net"
	"net/http"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hi") })
	l, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		panic(err)
	}
	go http.Serve(l, nil)
	if r, err := http.Get("http://127.0.0.1:8080/"); err == nil && r.StatusCode == 200 {
		fmt.Println("Hello")
	}
}
"""
INIT = os.path.join(guests.BUILD, "bench", "bench-init")
BEGUN, READY = b"init begins", b"Hello"


class Runtime:
    """@program with @args; @files: guest path -> file here; @folders: what it opens by itself."""

    def __init__(self, name, program, args, files=(), folders=(), memory=512):
        self.name, self.program, self.args = name, program, list(args)
        self.files, self.folders, self.memory = dict(files), folders, memory


def runtimes(work):
    """Those that are installed, their sources built in the folder @work."""
    found = []
    if shutil.which("javac"):
        source = write(work, "Hello.java", JAVA_SOURCE)
        subprocess.run(["javac", "--release", "17", source], check=True, capture_output=True)
        java = os.path.realpath(shutil.which("java"))
        home = os.path.dirname(os.path.dirname(java))
        found.append(Runtime("JVM", java, ["-cp", "/app", "Hello"],
                             {"/app/Hello.class": os.path.join(work, "Hello.class")}, (os.path.join(home, "lib"), os.path.join(home, "conf")), 1024))
    if shutil.which("node"):
        script = write(work, "hello.js", 'console.log("Hello")\n')
        found.append(Runtime("node", os.path.realpath(shutil.which("node")), ["/hello.js"], {"/hello.js": script}, (), 768))
    if shutil.which("go"):
        source = write(work, "main.go", GO_SOURCE)
        binary = os.path.join(work, "go-http")
        subprocess.run(["go", "build", "-o", binary, source], check=True, capture_output=True,
                       env={**os.environ, "CGO_ENABLED": "0"})
        found.append(Runtime("Go http", binary, []))
    return found


def write(work, name, text):
    path = os.path.join(work, name)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def initramfs(runtime, path):
    contents, paths = [], {}
    for folder in runtime.folders:
        paths.update((name, name) for name in guests.files_below(folder))
    paths.update(runtime.files)
    paths[runtime.program] = runtime.program
    for where, here in paths.items():
        with open(here, "rb") as file:
            contents.append((where, file.read(), 0o755))
    for here in [runtime.program, *(name for name in paths.values() if name.endswith(".so"))]:
        contents += [entry for entry in guests.libraries(here) if entry[0] not in paths]
        paths.update((entry[0], None) for entry in guests.libraries(here))
    with open(path, "wb") as file:
        file.write(cpio.initramfs(INIT, contents))


def command_of(machine, runtime, work):
    if machine.has_libraries_of_its_own:
        path = os.path.join(work, os.path.basename(runtime.program) + ".cpio")
        initramfs(runtime, path)
        return machine.command(runtime.memory, path, "begun=1 -- " + " ".join([runtime.program, *runtime.args]))
    files = [word for where, here in runtime.files.items() for word in ("--file", f"{here}:{where}")]
    return [os.path.join(guests.BUILD, "ingot"), "run", "--isolation", "vm", "-m", f"{runtime.memory}M", "--net", "none",
            *files, runtime.program, *runtime.args]


def command_with_init(runtime):
    """The same program after the same init as in the Linux guest."""
    files = [word for where, here in runtime.files.items() for word in ("--file", f"{here}:{where}")]
    return [os.path.join(guests.BUILD, "ingot"), "run", "--isolation", "vm", "-m", f"{runtime.memory}M", "--net", "none",
            "-e", "begun=1", "--allow-exec", runtime.program, *files, INIT, runtime.program, *runtime.args]


def from_init(ended):
    """ms of processor from init's start, where it says so, else from QEMU's, to the program's line; None where QEMU had
    ended before it could be asked."""
    return ended.seen[READY] - ended.seen.get(BEGUN, 0) if ended.seen.get(READY) else None


def instructions(ended):
    """(kernel, program) from the first of init, or of the program where it is init, to the end of the machine."""
    points = {name: counts for name, *counts in ended.figures}
    if READY not in ended.seen or "end" not in points:
        return None
    first = points.get("program") or points["user"]
    return tuple(points["end"][part] - first[part] for part in (1, 2))


def bench_ready(report, machines, rounds=5):
    machines = [m for m in machines if "cloud" not in m.name]
    rows, counted = [], []
    with tempfile.TemporaryDirectory() as work:
        for runtime in runtimes(work):
            commands = [(machine, command_of(machine, runtime, work)) for machine in machines]
            ways = [*commands, (machines[0], command_with_init(runtime))]
            times = [[] for _ in ways]
            for _ in range(rounds):
                for (machine, command), own in zip(ways, times):
                    own.append(from_init(machine.run_command(command, (BEGUN, READY), False)))
            times = [sorted(filter(None, own)) for own in times]
            middle = [own[len(own) // 2] if own else None for own in times]
            linux = middle[1] if len(machines) > 1 else None
            rows.append([runtime.name, *(f"{own[0]:,.0f} · {at:,.0f}" if own else "–" for own, at in zip(times, middle)),
                         *(f"{ours / linux:.2f}" if ours and linux else "–" for ours in (middle[0], middle[-1])), "0.9"])
            counts = [instructions(machine.run_command(command, (BEGUN, READY), True,
                                                       INIT if machine.has_libraries_of_its_own else None))
                      for machine, command in commands]
            counted.append([runtime.name, *(f"{c[0] / 1e6:,.1f} + {c[1] / 1e6:,.1f}" if c else "–" for c in counts)])
    names = [machine.name for machine in machines]
    report.table([f"start to ready, ms of QEMU's processor time ({rounds} in turn: least · median)", *names, "Ingot, from init's start",
                  "ours to Linux's", "from init's start", "goal"], rows)
    report.table(["from the first instruction of init to the end, millions: kernel + program", *names], counted)
