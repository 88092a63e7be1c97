"""What real Python programs import, each doing a little work with a known result."""
import ctypes
import datetime
import decimal
import hashlib
import json
import os
import queue
import sqlite3
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
import zoneinfo

print(json.loads(json.dumps({"a": [1, 2.5, None, "ü"]})))

db = sqlite3.connect(":memory:")
db.execute("create table t(a integer, b text)")
db.executemany("insert into t values (?, ?)", [(i, str(i)) for i in range(100)])
print(db.execute("select sum(a), count(b) from t").fetchone())

context = ssl.create_default_context()
print(ssl.OPENSSL_VERSION.split()[0], context.verify_mode, len(context.get_ca_certs()) > 10)

libc = ctypes.CDLL("libc.so.6")
print(libc.abs(-5), ctypes.sizeof(ctypes.c_long))
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
numbers = (ctypes.c_int * 4)(4, 2, 3, 1)
libc.qsort(numbers, 4, 4, CALLBACK(lambda a, b: a[0] - b[0]))
print(list(numbers))

decimal.getcontext().prec = 30
print(decimal.Decimal(2).sqrt())

total = []
lock = threading.Lock()


def add(n):
    for i in range(n):
        with lock:
            total.append(i)


threads = [threading.Thread(target=add, args=(1000,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(total), sum(total))

q = queue.Queue()
threading.Thread(target=lambda: (time.sleep(0.01), q.put("from a thread"))).start()
print(q.get(timeout=10))

berlin = zoneinfo.ZoneInfo("Europe/Berlin")
print(datetime.datetime(2024, 7, 1, 12, tzinfo=berlin).utcoffset())

with tempfile.NamedTemporaryFile("w+", suffix=".txt") as file:
    file.write("temporary")
    file.flush()
    print(os.path.getsize(file.name))

print(hashlib.sha256(b"x").hexdigest()[:16], zlib.crc32(b"x"), struct.pack("<I", 7))
print(os.cpu_count() >= 1, sys.version_info >= (3, 9), callable(subprocess.run))
