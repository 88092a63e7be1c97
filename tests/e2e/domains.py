"""libvirt: an exported machine that its own daemon defines, starts, suspends, saves, restores and shuts down."""
import os
import re

from commands import Home
from harness import Skip, need, run
from netlab import need_programs

# Its daemons, with all state in a mount namespace of their own, and one word a line to virsh.
SCRIPT = r"""
set -u
mount --make-rprivate /
for dir in /var/lib/libvirt /var/cache/libvirt /run; do mount -t tmpfs tmpfs $dir || exit 77; done
mkdir /run/libvirt /run/etc
cp -r /etc/libvirt/. /run/etc
mount --bind /run/etc /etc/libvirt
printf 'auth_unix_rw = "none"\nunix_sock_group = "root"\n' > /run/libvirtd.conf
printf 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nnamespaces = []\ncgroup_controllers = []\n' \
    >> /etc/libvirt/qemu.conf
virtlogd >/dev/null 2>&1 & log=$!
libvirtd -f /run/libvirtd.conf >/dev/null 2>&1 & daemon=$!
virsh() { timeout -k 5 120 virsh -q -c qemu:///system "$@" </dev/null 2>&1; }
for i in $(seq 50); do [ -S /run/libvirt/libvirt-sock ] && break; sleep 0.1; done
lines() { for i in $(seq 100); do [ "$(wc -l < "$1/console")" -gt "$2" ] && break; sleep 0.1; done; wc -l < "$1/console"; }
step() { echo "$* -> $(virsh "$@" || echo failed)"; }
step define "$1/domain.xml"
step start machine
n=$(lines "$1" 3)
step suspend machine
step domstate machine
step resume machine
n=$(lines "$1" $((n + 3)))
step save machine "$1/saved"
step domstate machine
step restore "$1/saved"
n=$(lines "$1" $((n + 3)))
step domstate machine
step shutdown machine
for i in $(seq 100); do [ "$(virsh domstate machine)" = 'shut off' ] && break; sleep 0.1; done
step domstate machine
step undefine machine
kill $daemon $log
wait
"""
PROGRAM = """
import time
for count in range(10000):
    print("count", count, flush=True)
    time.sleep(0.05)
"""


def life():
    if os.geteuid() != 0:
        raise Skip("needs root for a mount namespace")
    need_programs("libvirtd", "virtlogd", "virsh", "unshare", "qemu-img")
    with Home() as home:
        program = os.path.join(home.path, "count.py")
        with open(program, "w") as file:
            file.write("#!/usr/bin/python3\n" + PROGRAM)
        os.chmod(program, 0o755)
        home.good("build", "-q", "-t", "machine:1", program)
        folder = os.path.join(home.path, "out")
        home.good("export", "--format", "libvirt", "-o", folder, "machine:1", timeout=120)
        path = os.path.join(folder, "domain.xml")
        with open(path) as file:
            xml = file.read()
        xml = re.sub("<name>.*</name>", "<name>machine</name>", xml).replace("type='kvm'", "type='qemu'")
        xml = re.sub(r"<interface type='network'>\s*<source network='default'/>", "<interface type='user'>", xml)
        xml = re.sub("<(serial|console) type='pty'>", rf"<\1 type='file'><source path='{folder}/console' append='on'/>", xml)
        with open(path, "w") as file:
            file.write(xml)
        result = run(["unshare", "-m", "-n", "bash", "-c", SCRIPT, "libvirt", folder], timeout=240)
        if result.status == 77:
            raise Skip("no mount namespace here")
        need("failed" not in result.text(), f"a step failed\n{result.show()}")
        states = re.findall("domstate machine -> (.*)", result.text())
        need(states == ["paused", "shut off", "running", "shut off"], f"{states}\n{result.show()}")
        with open(os.path.join(folder, "console"), errors="replace") as file:
            counts = [int(count) for count in re.findall(r"count (\d+)", file.read())]
        need(len(counts) > 9 and counts == list(range(len(counts))), f"it did not go on where it was: {counts}")


def add_to(suite):
    suite.add("libvirt: define, start, suspend, resume, save, restore, shutdown", life)
