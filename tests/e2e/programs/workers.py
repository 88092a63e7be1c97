"""Pools of every kind, a queue, a pipe and a shared array."""
import multiprocessing as mp
import os


def square(x):
    return x * x


def put_pid(queue, array):
    array[1] = 7
    queue.put(os.getpid())


if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        with mp.get_context(method).Pool(3) as pool:
            print(method, pool.map(square, range(20)))
    context = mp.get_context("fork")
    queue, array = context.Queue(), context.Array("i", 3)
    process = context.Process(target=put_pid, args=(queue, array))
    process.start()
    print(queue.get() == process.pid, process.join(), process.exitcode, list(array))
