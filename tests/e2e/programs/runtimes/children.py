# multiprocessing in its three ways to start (each with a pool, a queue, shared memory, a lock and a manager), subprocess, os.fork.
import concurrent.futures
import multiprocessing
import os
import signal
import subprocess
import sys
from multiprocessing import shared_memory


def square(n):
    return n * n


def add(counter, lock, times):
    for _ in range(times):
        with lock:
            counter.value += 1


def fill(name, at, text):
    block = shared_memory.SharedMemory(name)
    block.buf[at:at + len(text)] = text
    block.close()


def serve(pipe, queue):
    while (word := pipe.recv()) is not None:
        queue.put(word.upper())
    sys.exit(5)


def one_way(way):
    context = multiprocessing.get_context(way)
    with context.Pool(3) as pool:
        print(way, sum(pool.map(square, range(200), 7)), pool.apply(square, (12,)))
    counter, lock = context.Value("i", 0, lock=False), context.Lock()
    children = [context.Process(target=add, args=(counter, lock, 300)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print(way, counter.value, [child.exitcode for child in children])
    ours, theirs = context.Pipe()
    queue = context.Queue()
    child = context.Process(target=serve, args=(theirs, queue))
    child.start()
    for word in ("a", "b" * 100000, None):
        ours.send(word)
    print(way, queue.get(), len(queue.get()))
    child.join()
    print(way, child.exitcode)
    block = shared_memory.SharedMemory(create=True, size=4096)
    child = context.Process(target=fill, args=(block.name, 5, b"shared"))
    child.start()
    child.join()
    print(way, bytes(block.buf[5:11]))
    block.close()
    block.unlink()
    with context.Manager() as manager:
        words = manager.dict()
        words["x"] = 1
        print(way, dict(words))
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        print(way, list(pool.map(square, (3, 4))))


def subprocesses():
    print(subprocess.run(["cat"], input=b"through a pipe", capture_output=True, check=True).stdout)
    print(subprocess.run("echo $0; exit 3", shell=True, capture_output=True).returncode)
    child = subprocess.Popen(["sleep", "100"], start_new_session=True)
    os.killpg(child.pid, signal.SIGTERM)
    print(child.wait())
    try:
        subprocess.run(["sleep", "100"], timeout=0.2)
    except subprocess.TimeoutExpired:
        print("timed out")
    try:
        subprocess.run(["/nowhere"])
    except FileNotFoundError as error:
        print(error)
    first = subprocess.Popen(["echo", "b\na"], stdout=subprocess.PIPE)
    print(subprocess.run(["sort"], stdin=first.stdout, capture_output=True).stdout, first.wait())
    print(subprocess.check_output([sys.executable, "-c", "import os; print(os.getcwd(), os.environ['X'])"], cwd="/tmp",
                                  env={"X": "1"}))


def forks():
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writer, b"child of %d" % (os.getppid() == parent))
        os._exit(7)
    os.close(writer)
    print(os.read(reader, 100), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 9"], os.environ, setsid=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    pidfd = os.pidfd_open(child := os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "100"))
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    print(os.waitid(os.P_PIDFD, pidfd, os.WEXITED).si_status, child > 0)


if __name__ == "__main__":
    parent = os.getpid()
    forks()
    subprocesses()
    for way in ("fork", "spawn", "forkserver"):
        one_way(way)
