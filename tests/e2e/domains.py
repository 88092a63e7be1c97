"""libvirt: an exported machine that its own daemon defines, starts, suspends, saves, restores, moves and shuts down."""
import os
import re
import subprocess

from commands import Home
from harness import Skip, need, run
from netlab import need_programs

# Its daemons, with all state in a mount namespace of their own; $1: the test's folder, $2: which host this is.
SETUP = r"""
set -u
mount --make-rprivate /
for dir in /var/lib/libvirt /var/cache/libvirt /run; do mount -t tmpfs tmpfs $dir || exit 77; done
mkdir /run/libvirt /run/etc
cp -r /etc/libvirt/. /run/etc
mount --bind /run/etc /etc/libvirt
mkdir -p "$1/$2"
hostname "host-$2"
ip link set lo up
printf 'auth_unix_rw = "none"\nunix_sock_group = "root"\nunix_sock_dir = "%s"\nhost_uuid = "%s"\n' \
    "$1/$2" "$(cat /proc/sys/kernel/random/uuid)" > /run/libvirtd.conf
printf 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nnamespaces = []\ncgroup_controllers = []\n' \
    >> /etc/libvirt/qemu.conf
virtlogd >/dev/null 2>&1 & log=$!
libvirtd -f /run/libvirtd.conf >"$1/$2/said" 2>&1 & daemon=$!
uri() { echo "qemu+unix:///system?socket=$folder/$1/libvirt-sock"; }
folder=$1
virsh() { timeout -k 5 120 virsh -q "$@" </dev/null 2>&1; }
ready() { for i in $(seq 600); do [ -S "$folder/$1/libvirt-sock" ] && break; sleep 0.1; done; }
ready $2
lines() { for i in $(seq 600); do [ "$(wc -l < "$folder/console")" -gt "$1" ] && break; sleep 0.1; done; wc -l < "$folder/console"; }
on() { echo "$* -> $(where=$1; shift; virsh -c "$(uri $where)" "$@" || echo failed)"; }
step() { echo "$* -> $(virsh -c "$(uri a)" "$@" || echo failed)"; }
"""
# One word a line to virsh.
LIFE = SETUP + r"""
step define "$1/domain.xml"
step start machine
n=$(lines 3)
step suspend machine
step domstate machine
step resume machine
n=$(lines $((n + 3)))
step save machine "$1/saved"
step domstate machine
step restore "$1/saved"
n=$(lines $((n + 3)))
step domstate machine
step shutdown machine
for i in $(seq 600); do [ "$(virsh -c "$(uri a)" domstate machine)" = 'shut off' ] && break; sleep 0.1; done
step domstate machine
step undefine machine
kill $daemon $log
wait
"""
# The other host only waits; the first one's virsh speaks to both.
OTHER = SETUP + r"""
for i in $(seq 1800); do [ -e "$1/done" ] && break; sleep 0.2; done
kill $daemon $log
wait
"""
MOVE = SETUP + r"""
ready b
on a define "$1/domain.xml"
on a start machine
n=$(lines 3)
on a migrate --persistent --undefinesource --unsafe --migrateuri "unix://$1/move1" --domain machine --desturi "$(uri b)"
on a domstate machine
on b domstate machine
n=$(lines $((n + 3)))
on b migrate --persistent --undefinesource --unsafe --migrateuri "unix://$1/move2" --domain machine --desturi "$(uri a)"
n=$(lines $((n + 3)))
on b domstate machine
on a domstate machine
on a migrate --unsafe --migrateuri "unix://$1/nowhere/move3" --domain machine --desturi "$(uri b)"
on a domstate machine
n=$(lines $((n + 3)))
on a destroy machine
touch "$1/done"
kill $daemon $log
wait
"""
PROGRAM = """
import time
for count in range(10000):
    print("count", count, flush=True)
    time.sleep(0.05)
"""


def exported(home, folder):
    """An exported machine that counts, for TCG, its console a file."""
    program = os.path.join(home.path, "count.py")
    with open(program, "w") as file:
        file.write("#!/usr/bin/python3\n" + PROGRAM)
    os.chmod(program, 0o755)
    home.good("build", "-q", "-t", "machine:1", program)
    home.good("export", "--format", "libvirt", "-o", folder, "machine:1", timeout=120)
    path = os.path.join(folder, "domain.xml")
    with open(path) as file:
        xml = file.read()
    xml = re.sub("<name>.*</name>", "<name>machine</name>", xml).replace("type='kvm'", "type='qemu'")
    xml = re.sub(r"<interface type='network'>\s*<source network='default'/>", "<interface type='user'>", xml)
    xml = re.sub("<(serial|console) type='pty'>", rf"<\1 type='file'><source path='{folder}/console' append='on'/>", xml)
    with open(path, "w") as file:
        file.write(xml)


def counted(folder, result):
    with open(os.path.join(folder, "console"), errors="replace") as file:
        counts = [int(count) for count in re.findall(r"count (\d+)", file.read())]
    need(len(counts) > 9 and counts == list(range(len(counts))), f"it did not go on where it was: {counts}\n{result.show()}")


def need_libvirt():
    if os.geteuid() != 0:
        raise Skip("needs root for a mount namespace")
    need_programs("libvirtd", "virtlogd", "virsh", "unshare", "qemu-img", "ip")


def host(script, folder, name):
    return ["unshare", "-m", "-n", "-u", "bash", "-c", script, "libvirt", folder, name]


def life():
    need_libvirt()
    with Home() as home:
        folder = os.path.join(home.path, "out")
        exported(home, folder)
        result = run(host(LIFE, folder, "a"), timeout=240)
        if result.status == 77:
            raise Skip("no mount namespace here")
        need("failed" not in result.text(), f"a step failed\n{result.show()}")
        states = re.findall("domstate machine -> (.*)", result.text())
        need(states == ["paused", "shut off", "running", "shut off"], f"{states}\n{result.show()}")
        counted(folder, result)


def moves():
    """Two libvirts, each with a network, a host name and an identity of its own, and there and back again."""
    need_libvirt()
    with Home() as home:
        folder = os.path.join(home.path, "out")
        exported(home, folder)
        other = subprocess.Popen(host(OTHER, folder, "b"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            result = run(host(MOVE, folder, "a"), timeout=240)
            if result.status == 77:
                raise Skip("no mount namespace here")
        finally:
            with open(os.path.join(folder, "done"), "w"):
                other.wait(60)
        lines = result.text().splitlines()
        moved = [line for line in lines if " migrate " in line]
        need(len(moved) == 3 and "failed" not in moved[0] + moved[1], f"it did not move\n{result.show()}")
        states = re.findall("([ab]) domstate machine -> (.*)", result.text())
        need([state for state in states if "error" not in state[1]] == [("b", "running"), ("a", "running"), ("a", "running")],
             f"{states}\n{result.show()}")
        need("error" in result.text().split("move3")[1].split("domstate")[0], f"a move to nowhere worked\n{result.show()}")
        counted(folder, result)


def add_to(suite):
    suite.add("libvirt: define, start, suspend, resume, save, restore, shutdown", life)
    suite.add("libvirt: migrate, there and back", moves)
