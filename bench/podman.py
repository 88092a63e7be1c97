"""A server in a podman container behind its bridge, as `podman run` makes one: crun, a veth pair on the bridge by
podman's own plugin, its seccomp filter.  Its files are this machine's /usr and the server's own."""
import contextlib
import itertools
import json
import os
import shutil
import subprocess

PLUGINS = ("/usr/lib/cni/bridge", "/usr/libexec/cni/bridge")
NUMBERS = itertools.count(4)  # each has an address of its own: nothing of the last one is in its way
# A namespace's own /sys has no cgroups: the container sees version 2 and gets none of its own, because hosts
# that mount both versions refuse that.  Elsewhere it has this work to do, too.
ONE_CGROUP = ["sh", "-c", 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"', "sh"]


def missing():
    """What keeps containers from being compared, or None."""
    for word in ("podman", "crun"):
        if not shutil.which(word):
            return f"needs {word}"
    return None if any(os.path.exists(path) for path in PLUGINS) else "needs podman's bridge (containernetworking-plugins)"


def write_network(folder, bridge, address):
    """A container of the network gets this address on the bridge that is there."""
    os.makedirs(folder)
    ipam = {"type": "host-local", "dataDir": folder + "/leases",
            "ranges": [[{"subnet": "10.77.0.0/24", "rangeStart": address, "rangeEnd": address}]]}
    with open(folder + "/bench.conflist", "w", encoding="ascii") as file:
        json.dump({"cniVersion": "0.4.0", "name": "bench", "plugins": [{"type": "bridge", "bridge": bridge, "ipam": ipam}]}, file)


def write_root(root, server):
    """Names that lead to /usr, and the server's files where a guest has them."""
    for name in ("usr", "etc", "tmp", "dev", "proc", "sys", "var"):
        os.makedirs(os.path.join(root, name))
    for name in ("bin", "lib", "lib64", "sbin"):
        os.symlink("usr/" + name, os.path.join(root, name))
    for name in ("passwd", "group"):
        shutil.copy("/etc/" + name, root + "/etc")
    for path, content in server.files.items():
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        with open(root + path, "wb") as file:
            file.write(content)


@contextlib.contextmanager
def container(space, bridge, server, program, folder):
    """Yields the address at which the server answers soon, until the block ends."""
    number = next(NUMBERS)
    address = f"10.77.0.{number}"
    write_network(folder + "/net", bridge, address)
    write_root(folder + "/root", server)
    command = ["podman", "--root", folder + "/store", "--runroot", folder + "/run", "--storage-driver", "vfs",
               "--events-backend=none", "--cgroup-manager=cgroupfs", "--network-config-dir", folder + "/net",
               "run", "--rm", "--runtime", "crun", "--network=bench", "--cgroups=disabled", "--log-driver=none",
               "--ulimit", "nofile=10240:10240", "--ulimit", "nproc=1024:1024", "--name", f"ingot-bench-{number}", "-v", "/usr:/usr:ro",
               "--rootfs", folder + "/root", program, *server.args]
    child = subprocess.Popen(space.inside([*ONE_CGROUP, *command]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    try:
        yield address
    finally:
        child.terminate()
        child.wait()
