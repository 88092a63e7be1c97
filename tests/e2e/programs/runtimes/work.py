"""Threads with locks and queues, asyncio with sockets and timers, an executor, a signal."""
import asyncio
import concurrent.futures
import hashlib
import queue
import signal
import threading

lines = queue.Queue()
total = 0
lock = threading.Lock()


def count(n):
    global total
    for _ in range(n):
        with lock:
            total += 1
    lines.put(n)


threads = [threading.Thread(target=count, args=(1000 * i,)) for i in range(1, 6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(total, sorted(lines.get() for _ in threads))

with concurrent.futures.ThreadPoolExecutor(4) as pool:
    sums = pool.map(lambda n: hashlib.sha256(bytes([n]) * 1000000).hexdigest()[:8], range(8))
    print(list(sums))


async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def ask(port, n):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for i in range(20):
        writer.write(f"line {n} {i}\n".encode())
        assert await reader.readline() == f"LINE {n} {i}\n".encode()
        await asyncio.sleep(0.001)
    writer.close()
    return n


async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: print("signal"))
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(await asyncio.gather(*(ask(port, n) for n in range(10))))
    signal.raise_signal(signal.SIGUSR1)
    await asyncio.sleep(0.01)
    server.close()

asyncio.run(main())
