"""Guests in a process: what hosts refuse, odd code in patched programs, memory, a debugger, Go."""
import os
import shutil
import subprocess

from commands import Home
from harness import INGOT, ROOT, Skip, need, run

TENDER_REFUSED = """
#include <stddef.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, REFUSED, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(*code), code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return 99;
    execv(argv[1], argv + 1);
    return 98;
}
"""

# Code that looks like calls and is none, code entered in the middle, code that is changed before it runs.
ODD_CODE = r"""
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
__asm__(".pushsection .text\n"
        /* the bytes of a syscall inside a constant, and data between instructions */
        ".globl constant\n.type constant, @function\nconstant: .cfi_startproc\n"
        "movl $0x050f050f, %eax\n jmp 1f\n .byte 0x0f, 0x05, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05\n 1: ret\n"
        ".cfi_endproc\n.size constant, . - constant\n"
        /* two ways through the same bytes: as a whole, mov $.., %eax; from the middle, getpid */
        ".globl overlap\n.type overlap, @function\noverlap: .cfi_startproc\n"
        "testl %edi, %edi\n jne middle + 1\n"
        "middle: .byte 0xa8, 0xb8, 0x27, 0, 0, 0\n" /* test $0xb8, %al and more; + 1: mov $39, %eax */
        "syscall\n ret\n"
        ".cfi_endproc\n.size overlap, . - overlap\n.popsection");
unsigned constant(void);
long overlap(int from_middle);
int main(void)
{
    static const unsigned char code[] = {0xb8, 1, 0, 0, 0, 0xc3, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05, 0xc3};
    unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, code, sizeof(code));
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
    int first = ((int (*)(void))page)();
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
    page[1] = 2; /* it changes itself */
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
    int second = ((int (*)(void))page)();
    long pid = ((long (*)(void))(page + 6))();
    printf("%x %d %d %d %d\n", constant(), first, second, pid == getpid(), overlap(1) == getpid());
    return 0;
}
"""

GO_PROGRAM = """package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

func main() {
	var wait sync.WaitGroup
	sums := make(chan int, 100)
	for i := 0; i < 100; i++ {
		wait.Add(1)
		go func(n int) { defer wait.Done(); sums <- n * n }(i)
	}
	wait.Wait()
	close(sums)
	total := 0
	for n := range sums {
		total += n
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello %s", r.URL.Path) }))
	answer, err := http.Get("http://" + listener.Addr().String() + "/go")
	if err != nil {
		panic(err)
	}
	text, _ := io.ReadAll(answer.Body)
	fmt.Println(total, string(text))
}
"""


def compile_c(path, source, *flags):
    subprocess.run(["gcc", "-x", "c", "-", "-O1", "-o", path, *flags], input=source.encode(), check=True)
    return path


def process(home, *words, **options):
    return home.ingot("run", "-q", "--isolation", "process", *words, **options)


def same_text(result, text):
    need(result.status == 0 and result.text() == text, f"not '{text.strip()}'\n{result.show()}")


def test_a_host_that_refuses_the_filter():
    with Home() as home:
        launcher = compile_c(os.path.join(home.path, "launcher"), TENDER_REFUSED, "-DREFUSED=__NR_seccomp")
        result = run([launcher, INGOT, "run", "-q", "--isolation", "process", "/bin/echo", "no"], env=home.env())
        need(result.status == 125 and "seccomp" in result.errors(), f"no word of the filter\n{result.show()}")
        need(not result.out, f"the program ran without a filter\n{result.show()}")
        env = {**home.env(), "XDG_RUNTIME_DIR": home.path, "INGOT_ISOLATION": "auto"}
        for lines in (1, 0):
            result = run([launcher, INGOT, "run", "/bin/echo", "a VM"], env=env, timeout=120)
            said = [line for line in result.errors().splitlines() if "refuses seccomp" in line]
            need(result.text() == "a VM\n" and len(said) == lines, f"no VM in its place, or not said once\n{result.show()}")
        told = run([launcher, INGOT, "doctor"], env=env, timeout=120).text()
        need("refuses them" in told and "QEMU has no sandbox" in told, f"the doctor does not tell\n{told}")


def test_a_host_that_makes_no_namespaces():
    with Home() as home:
        launcher = compile_c(os.path.join(home.path, "launcher"), TENDER_REFUSED, "-DREFUSED=__NR_unshare")
        folder = os.path.join(home.path, "shared")
        os.mkdir(folder)
        with open(os.path.join(folder, "file"), "w", encoding="ascii") as file:
            file.write("through the device process\n")
        result = run([launcher, INGOT, "run", "-q", "--isolation", "process", "-v", f"{folder}:/shared:ro", "/bin/cat", "/shared/file"],
                     env=home.env())
        same_text(result, "through the device process\n")
        told = run([launcher, INGOT, "doctor"], env=home.env(), timeout=120).text()
        need("makes no user namespaces" in told, f"the doctor does not tell\n{told}")


def test_odd_code():
    with Home() as home:
        for kind, flags in (("static", ["-static"]), ("stripped", ["-static", "-s"]), ("dynamic", []),
                            ("without tables", ["-static", "-s", "-fno-asynchronous-unwind-tables"])):
            path = compile_c(os.path.join(home.path, "odd"), ODD_CODE, *flags)
            want = run([path]).text()
            need(want == "50f050f 1 2 1 1\n", f"natively: {want}")
            result = process(home, path)
            need(result.text() == want, f"{kind}: not '{want}'\n{result.show()}")


def test_a_program_that_takes_more_than_it_may():
    source = """#include <stdlib.h>
#include <string.h>
int main(void) { for (;;) { char *p = malloc(1 << 20); if (!p) return 3; memset(p, 1, 1 << 20); } }
"""
    with Home() as home:
        path = compile_c(os.path.join(home.path, "greedy"), source, "-static")
        for size in ("4M", "24M", "64M"):
            result = process(home, "-m", size, path, timeout=30)
            out_of_memory = result.status == 125 and "out of memory" in result.errors()
            need(result.status == 3 or out_of_memory, f"-m {size} holds nobody\n{result.show()}")
            need(len(result.errors().splitlines()) <= 1, f"more than a line\n{result.show()}")


def test_small_memory_is_enough_or_refused():
    with Home() as home:
        for size in ("2M", "3M", "5M", "7M"):
            same_text(process(home, "-m", size, "/bin/echo", size), size + "\n")
        result = process(home, "-m", "1M", "/bin/echo", "no")
        need(result.status == 125 and "2 MiB is the least" in result.errors(), f"not refused\n{result.show()}")


def test_more_memory_than_the_machine_has():
    with Home() as home:
        for isolation in ("process", "vm"):
            result = home.ingot("run", "--isolation", isolation, "-m", "9000G", "/bin/echo", "no")
            need(result.status == 125 and "this machine has" in result.errors(), f"not refused\n{result.show()}")


def test_a_debugger_sees_kernel_and_program():
    if not shutil.which("gdb"):
        raise Skip("gdb is not installed")
    with Home() as home:
        path = compile_c(os.path.join(home.path, "write"), """#include <unistd.h>
int main(void) { return write(1, "debugged\\n", 9) != 9; }
""", "-static", "-g")
        home.good("build", "-q", "-t", "write:1", path)
        script = os.path.join(ROOT, "tools", "ingot.gdb")
        command = ["gdb", "-q", "-nx", "-batch", "-x", script, "-ex", "run", "-ex", "break sys_write", "-ex", "continue",
                   "-ex", "backtrace", "-ex", "delete", "-ex", "continue", "--args", INGOT, "run", "-q", "--isolation",
                   "process", "write:1"]
        result = run(command, env={**home.env(), "DEBUGINFOD_URLS": ""}, timeout=120)
        text = result.text() + result.errors()
        need("sys_write" in text and "rw.c" in text or "in sys_write (" in text, f"no frame of the kernel\n{result.show()}")
        need("debugged" in text and "exited normally" in text, f"the program did not go on\n{result.show()}")


def go_binary():
    for path in ("/usr/bin/go", "/usr/lib/go-1.19/bin/go"):
        if os.path.exists(path):
            return path
    raise Skip("go is not installed")


NODE_WORKERS = """const {Worker, isMainThread, workerData, parentPort} = require('worker_threads');
if (!isMainThread) {
    let sum = 0;
    for (let i = 0; i < 3e6; i++) sum = (sum + i * workerData) % 1000003;
    parentPort.postMessage(sum);
} else {
    let sums = [];
    for (let n = 1; n <= 4; n++)
        new Worker(__filename, {workerData: n}).on('message', s => {
            sums.push(s);
            if (sums.length === 4) console.log(sums.sort().join(' '));
        });
}
"""

PYTHON_THREADS = """
import hashlib, os, queue, threading
todo, done = queue.Queue(), []
def work():
    while (n := todo.get()) is not None:
        done.append(hashlib.sha256(bytes([n]) * 100000).hexdigest())
threads = [threading.Thread(target=work) for _ in range(4)]
for t in threads: t.start()
for n in range(200): todo.put(n)
for t in threads: todo.put(None)
for t in threads: t.join()
print(hashlib.sha256(''.join(sorted(done)).encode()).hexdigest())
"""


def test_threads_of_node_on_two_cpus():
    with Home() as home:
        path = os.path.join(home.path, "workers.js")
        with open(path, "w", encoding="ascii") as file:
            file.write(NODE_WORKERS)
        if not os.path.exists("/usr/bin/node"):
            raise Skip("node is not installed")
        want = run(["/usr/bin/node", path]).text()
        got = run([INGOT, "run", "-q", "--isolation", "process", "--cpus", "2", "-m", "1G", "--file", f"{path}:{path}",
                   "/usr/bin/node", path], timeout=120)
        need(got.text() == want, f"not '{want.strip()}'\n{got.show()}")


def test_threads_of_python_on_two_cpus():
    want = run(["/usr/bin/python3", "-c", PYTHON_THREADS]).text()
    got = run([INGOT, "run", "-q", "--isolation", "process", "--cpus", "2", "/usr/bin/python3", "-c", PYTHON_THREADS],
              timeout=120)
    need(want and got.text() == want, f"not '{want.strip()}'\n{got.show()}")


def test_a_crash_of_one_thread_on_two_cpus_ends_all():
    code = "import ctypes, threading, time; threading.Thread(target=ctypes.string_at, args=(0,)).start(); time.sleep(60)"
    got = run([INGOT, "run", "-q", "--isolation", "process", "--cpus", "2", "/usr/bin/python3", "-c", code], timeout=60)
    need(got.status == 139, f"status {got.status}, want 139\n{got.show()}")


REST = """import time
for i in range(3):
    time.sleep(0.15)
print(open("/proc/self/comm").read())
"""


def test_a_program_goes_on_after_a_rest():
    with Home() as home:
        for cpus in "12":
            same_text(process(home, "--cpus", cpus, "/usr/bin/python3", "-c", REST), "python3\n\n")


CLOCK_IS_SET = """import os, time
time.clock_settime(time.CLOCK_REALTIME, 1000000000)
os.close(os.open("/made", os.O_CREAT))
print(int(time.time()) // 100, int(os.stat("/made").st_mtime) // 100)
"""


def test_a_clock_that_is_set_shows_to_programs_and_in_files():
    with Home() as home:
        for cpus in "12":
            same_text(process(home, "--cpus", cpus, "/usr/bin/python3", "-c", CLOCK_IS_SET), "10000000 10000000\n")


FORKS = {  # a program that wants a second process, and what it prints itself
    "python3": (["-c", "import os\ntry:\n    os.fork()\nexcept OSError as e:\n    print(e.errno)"], "38"),
    "perl": (["-e", r'print defined(fork) ? "yes" : $!+0, "\n"; print defined(open my $p, "-|", "true") ? "yes" : $!+0, "\n"'], "38\n38"),
    "ruby": (["-e", "begin; fork; rescue SystemCallError, NotImplementedError => e; puts e.class; end"], "Errno::ENOSYS"),
    "node": (["-e", "try { require('child_process').spawn('true') } catch (e) { console.log(e.code) }"], "ENOSYS"),
    "sh": (["-c", "(echo never)"], ""),
}


def test_a_fork_that_cannot_be_had_is_said_once():
    for program, (words, want) in FORKS.items():
        if not os.path.exists(f"/usr/bin/{program}"):
            continue
        got = run([INGOT, "run", "--isolation", "process", "-m", "512M", f"/usr/bin/{program}", *words], timeout=120)
        told = [line for line in got.errors().splitlines() if "a second process or program" in line]
        need(len(told) == 1 and "run it with --isolation vm" in told[0], f"{program}: {len(told)} lines say why\n{got.show()}")
        need(got.text().strip() == want, f"{program} prints {got.text()!r}, want {want!r}\n{got.show()}")


def write_script(folder, name):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii") as file:
        file.write("#!/usr/bin/python3\n")
    os.chmod(path, 0o755)


def test_auto_takes_a_vm_for_who_starts_others():
    with Home() as home:
        def is_vm(*words):
            return "qemu-system" in home.ingot("run", "--dry-run", *words, env={"INGOT_ISOLATION": "auto"}).text()
        need(is_vm("/bin/sh") and is_vm("--allow-exec", "true", "/bin/echo"), "a process cannot start other programs")
        need(is_vm("--single", "/bin/sh") == is_vm("/bin/echo"), "--single wants no second process")
        write_script(home.path, "gunicorn")
        need(is_vm(f"{home.path}/gunicorn"), "a server of several processes")
        words = ["/usr/bin/python3", "-c", "import os; os.fork()"]
        if not is_vm(*words):
            result = home.ingot("run", *words, env={"INGOT_ISOLATION": "auto"})
            need("started again, it gets a VM" in result.errors(), f"no word on the next time\n{result.show()}")
            need(is_vm(*words) and not is_vm("/bin/echo"), "not remembered, or of all")



def test_a_go_program():
    go = go_binary()
    with Home() as home:
        source = os.path.join(home.path, "main.go")
        with open(source, "w", encoding="ascii") as file:
            file.write(GO_PROGRAM)
        path = os.path.join(home.path, "go-program")
        subprocess.run([go, "build", "-o", path, source], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "HOME": home.path, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOPROXY": "off"})
        home.good("build", "-q", "-t", "go:1", path)
        want = "328350 hello /go\n"
        for isolation in ("process", "vm"):
            for cpus in "12":
                result = home.ingot("run", "-q", "--isolation", isolation, "--cpus", cpus, "-m", "256M", "go:1", timeout=120)
                need(result.text() == want, f"{isolation}, {cpus} CPUs: not '{want.strip()}'\n{result.show()}")
        told = home.good("inspect", "--syscalls", "go:1")
        found, patched = (int(told.rsplit(f'"{name}": ', 1)[1].split(",")[0].split("\n")[0]) for name in ("Sites", "Patched"))
        need(patched >= 0.95 * found > 20, f"{patched} of {found} sites are patched")


def add_to(suite):
    for name, function in sorted(globals().items()):
        if name.startswith("test_"):
            suite.add("hosted: " + name[5:].replace("_", " "), function)
