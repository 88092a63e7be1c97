"""Tells every caller what a copy of this machine must not have in common with it: random numbers, the
name, the time; and counts the callers."""
import os
import socket
import sys
import time

server = socket.create_server(("", 8000), family=socket.AF_INET6, dualstack_ipv6=True)
count = 0
while True:
    client, _ = server.accept()
    count += 1
    if len(sys.argv) > 1:
        with open(sys.argv[1], "a") as file:
            file.write(f"{count}\n")
            os.fsync(file.fileno())
    client.sendall(f"{count} {os.urandom(8).hex()} {socket.gethostname()} {time.time()}".encode())
    client.close()
