"""Devices of other machines, each on QEMU's emulation of it: disks hold what was written, cards
serve a request, and partitions are found by each of their names."""
import contextlib
import http.server
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

from harness import BUILD, INGOT, ROOT, Failure, Skip, need, need_ingot, run
from netlab import find, namespace, need_programs

HERE = os.path.dirname(os.path.abspath(__file__))
OVMF = "/usr/share/OVMF"
KERNEL = os.path.join(BUILD, "ingot-kernel")
PART_ROOT, PART_DATA = "11111111-2222-3333-4444-555555555555", "AAAAAAAA-2222-3333-4444-555555555555"


def program(folder):
    """The static program that runs in all guests."""
    need_programs("musl-gcc")
    target = os.path.join(folder, "device")
    subprocess.run(["musl-gcc", "-static", "-O1", "-s", "-o", target, os.path.join(HERE, "programs", "device.c")], check=True)
    return target


def make_root(folder):
    """An EROFS image of that program, with an id."""
    need_programs("mkfs.erofs")
    tree, image = os.path.join(folder, "tree"), os.path.join(folder, "root.erofs")
    os.makedirs(os.path.join(tree, "bin"))
    program(os.path.join(tree, "bin"))
    subprocess.run(["mkfs.erofs", "-T", "0", "-U", "99999999-2222-3333-4444-555555555555", image, tree],
                   check=True, capture_output=True)
    os.truncate(image, (os.path.getsize(image) + 4095) // 4096 * 4096)
    return image


def place(disk, at_sector, content):
    with open(content, "rb") as file:
        data = file.read()
    with open(disk, "r+b") as file:
        file.seek(at_sector * 512)
        file.write(data)


def make_ext4(folder, mib=16):
    image = os.path.join(folder, "data.ext4")
    with open(image, "wb") as file:
        file.truncate(mib << 20)
    subprocess.run([find("mke2fs"), "-q", "-F", "-t", "ext4", "-L", "ingotdata", image], check=True)
    return image


def gpt_disk(folder, name="gpt.raw", root=None):
    """Partition 1: the root, if any; 2: an ext4 of 16 MiB."""
    need_programs("sgdisk", "mke2fs")
    disk = os.path.join(folder, name)
    with open(disk, "wb") as file:
        file.truncate(32 << 20)
    subprocess.run([find("sgdisk"), "-n", "1:2048:10239", "-c", "1:the root", "-u", f"1:{PART_ROOT}",
                    "-n", "2:10240:43007", "-c", "2:data", "-u", f"2:{PART_DATA}", disk], check=True, capture_output=True)
    if root:
        place(disk, 2048, root)
    place(disk, 10240, make_ext4(folder))
    return disk


def mbr_disk(folder, root):
    """Partition 1: nothing; 2: extended; 5: ext4, 6: the root."""
    need_programs("sfdisk", "mke2fs")
    disk = os.path.join(folder, "mbr.raw")
    with open(disk, "wb") as file:
        file.truncate(48 << 20)
    table = ("label: dos\nlabel-id: 0x1badcafe\nstart=2048, size=2048, type=83\nstart=4096, size=90000, type=5\n"
             "start=6144, size=32768, type=83\nstart=40960, size=8192, type=83\n")
    subprocess.run([find("sfdisk"), "-q", disk], input=table.encode(), check=True, capture_output=True)
    place(disk, 6144, make_ext4(folder))
    place(disk, 40960, root)
    return disk


def machine(*words, line="", timeout=90, kernel=True):
    """Boot; the serial line's text. The last line must be an exit with 0."""
    command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "96", "-nodefaults", "-no-user-config", "-no-reboot",
               "-display", "none", "-serial", "stdio", *words]
    if kernel:
        command += ["-kernel", KERNEL, "-append", "console=ttyS0 loglevel=6 " + line]
    result = run(command, timeout=timeout)
    return result.text() + result.errors()


def tail(log):
    return "\n".join("    " + text for text in log.splitlines()[-30:])


def wants(log, *texts):
    for text in texts:
        need(text in log, f"no '{text}'\n{tail(log)}")


def partitions_by_every_name():
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        root = make_root(folder)
        gpt, mbr = gpt_disk(folder, root=root), mbr_disk(folder, root)
        for disk, names in ((gpt, (("/dev/vda1", "/dev/vda2"), (f"PARTUUID={PART_ROOT}", f"PARTUUID={PART_DATA.lower()}"),
                                   ('"PARTLABEL=the root"', "PARTLABEL=data"), ("/dev/vda1", "LABEL=ingotdata"),
                                   ("UUID=99999999-2222-3333-4444-555555555555", "/dev/vda2"))),
                            (mbr, (("/dev/vda6", "/dev/vda5"), ("PARTUUID=1badcafe-06", "PARTUUID=1BADCAFE-05")))):
            for i, (where, data) in enumerate(names):
                where = f'"root={where[1:]}' if where.startswith('"') else f"root={where}"
                log = machine("-drive", f"file={disk},format=raw,if=virtio",
                              line=f"{where} ingot.mount={data}:/data init=device -- {'check' if i else 'write'} /data")
                wants(log, "device: found and written again" if i else "device: written", "ingot: exit 0")
                if i:  # what the next round finds is the first pattern again
                    log = machine("-drive", f"file={disk},format=raw,if=virtio",
                                  line=f"{where} ingot.mount={data}:/data init=device -- write /data")
                    wants(log, "device: written")


def damaged_tables():
    """The second copy of a damaged GPT is used; without either, and for a name that is not there, the line says what was seen."""
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        disk = gpt_disk(folder, root=make_root(folder))
        drive = ("-drive", f"file={disk},format=raw,if=virtio")
        log = machine(*drive, line="root=PARTLABEL=none")
        wants(log, "no such disk: 'PARTLABEL=none'; disks seen: vda vda1 vda2")
        with open(disk, "r+b") as file:
            file.seek(512 + 40)
            file.write(b"\xff")
        wants(machine(*drive, line="root=/dev/vda1 init=device -- show"), "ingot: exit 0")
        with open(disk, "r+b") as file:
            file.seek(-512 + 40, os.SEEK_END)
            file.write(b"\xff")
        wants(machine(*drive, line="root=/dev/vda1"), "both copies of the GPT are damaged",
              "disks seen: vda")


def unknown_devices():
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        image = make_root(folder)
        log = machine("-initrd", image, "-device", "sdhci-pci", "-device", "pci-testdev", line="init=device -- show")
        wants(log, "no driver for 1b36:0005", "class 080501", "ingot: exit 0")


# Of each kind of disk: the machine, the device for the drive {drive}, and how the kernel calls it.
DISKS = {
    "virtio-blk": (["-M", "pc"], ["virtio-blk-pci,disable-legacy=on,drive={drive}"], "vda"),
    "virtio-blk, transitional": (["-M", "pc"], ["virtio-blk-pci,disable-modern=on,disable-legacy=off,drive={drive}"], "vda"),
    "virtio-blk by its pin": (["-M", "q35"], ["virtio-blk-pci,disable-legacy=on,vectors=0,drive={drive}"], "vda"),
    "virtio-blk, transitional, by its pin": (["-M", "pc"], ["virtio-blk-pci,disable-modern=on,disable-legacy=off,vectors=0,drive={drive}"], "vda"),
    "nvme": (["-M", "q35"], ["nvme,serial={drive},drive={drive}"], "nvme0n1"),
    "nvme of two CPUs": (["-M", "pc", "-smp", "2"], ["nvme,serial={drive},drive={drive}"], "nvme0n1"),
    "ahci": (["-M", "q35"], ["ide-hd,drive={drive},bus=ide.{port}"], "sda"),
    "ide": (["-M", "pc"], ["ide-hd,drive={drive}"], "sda"),
    "virtio-scsi": (["-M", "pc", "-device", "virtio-scsi-pci,id=s,disable-legacy=on"], ["scsi-hd,bus=s.0,drive={drive}"], "sda"),
    "pvscsi": (["-M", "pc", "-device", "pvscsi,id=s"], ["scsi-hd,bus=s.0,drive={drive}"], "sda"),
    "nvme with one interrupt": (["-M", "pc", "-smp", "2"], ["nvme,serial={drive},drive={drive},msix_qsize=1"], "nvme0n1"),
}


def exported(folder, *words):
    """The program as a raw disk for BIOS."""
    store = {"INGOT_HOME": os.path.join(folder, "store"), "TMPDIR": folder}
    target, out = program(folder), os.path.join(folder, "exported.raw")
    for command in (["build", target, "-t", "device:1"], ["export", "device:1", "--format", "raw", "-o", out, *words]):
        result = run([INGOT, *command], env=store)
        need(result.status == 0, result.show())
    return out


def disk(name):
    """The exported disk starts from the device, and a volume on a second one of its kind keeps what was written."""
    words, devices, called = DISKS[name]
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        data, words = gpt_disk(folder), list(words)
        for drive, index in (("boot", ",bootindex=1"), ("data", "")):
            words += ["-drive", f"file={data if drive == 'data' else os.path.join(folder, 'exported.raw')},format=raw,if=none,id={drive}"]
            for device in devices:
                words += ["-device", device.format(drive=drive, port=int(drive == "data")) + (index if "{drive}" in device else "")]
        for verb, says in (("write", "device: written"), ("check", "device: found and written again")):
            exported(folder, "--force", "--append", "loglevel=6 ingot.mount=PARTLABEL=data:/data", "--", verb, "/data")
            log = machine(*words, kernel=False)
            wants(log, says, "ingot: exit 0")
            need("shut off" not in log and "looked at now" not in log, tail(log))
        check = run([find("e2fsck"), "-fn", f"{data}?offset={10240 * 512}"])
        need(check.status == 0, check.show())
        wants(machine(*words, line="root=LABEL=none"), f"disks seen: {called}")


# Of each card: the machine, and the device for the network n.
CARDS = {
    "virtio-net": (["-M", "pc"], "virtio-net-pci,disable-legacy=on"),
    "virtio-net, transitional": (["-M", "pc"], "virtio-net-pci,disable-modern=on,disable-legacy=off"),
    "virtio-net by its pin": (["-M", "pc"], "virtio-net-pci,vectors=0"),
    "e1000": (["-M", "pc"], "e1000"),
    "e1000 82545EM": (["-M", "q35"], "e1000-82545em"),
    "e1000e": (["-M", "q35"], "e1000e"),
    "vmxnet3": (["-M", "pc"], "vmxnet3"),
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(port, deadline):
    """What a server behind the port says, as soon as it says something."""
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
                link.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b""
                while data := link.recv(65536):
                    answer += data
            if answer:
                return answer
        except OSError:
            pass
        time.sleep(0.2)
    raise Failure("no answer")


def card(name):
    """The exported disk starts, and its server answers through the card."""
    words, device = CARDS[name]
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        boot, port = exported(folder, "--append", "loglevel=6", "--", "serve"), free_port()
        log = os.path.join(folder, "log")
        with open(log, "wb") as out:
            child = subprocess.Popen(
                ["qemu-system-x86_64", "-accel", "tcg", "-m", "96", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
                 "-serial", "stdio", *words, "-drive", f"file={boot},format=raw,if=ide", "-device", f"{device},netdev=n",
                 "-netdev", f"user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:80"], stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT)
        try:
            answer, why = fetch(port, time.monotonic() + 120), ""
            child.wait(timeout=60)
        except (Failure, subprocess.TimeoutExpired) as failure:
            why = str(failure)
        finally:
            child.kill()
            child.wait()
        with open(log, encoding="utf-8", errors="replace") as file:
            text = file.read()
        need(not why, f"{why}\n{tail(text)}")
        want = bytes(b"0123456789"[i * 7919 % 2**32 % 10] for i in range(200000))
        need(answer.endswith(b"\r\n\r\n" + want), f"{len(answer)} bytes came, not those that were sent\n{tail(text)}")
        wants(text, "device: served", "ingot: exit 0")
        need("shut off" not in text, tail(text))


class Guest:
    """A machine that goes on: its log in a file, its monitor on a socket."""

    def __init__(self, folder, *words):
        self.log, monitor = os.path.join(folder, "log"), os.path.join(folder, "qmp")
        with open(self.log, "wb") as out:
            self.child = subprocess.Popen(
                ["qemu-system-x86_64", "-accel", "tcg", "-m", "96", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
                 "-serial", "stdio", "-qmp", f"unix:{monitor},server=on,wait=off", *words],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        self.link = socket.socket(socket.AF_UNIX)
        for _ in range(600):
            with contextlib.suppress(OSError):
                self.link.connect(monitor)
                break
            time.sleep(0.05)
        self.lines = self.link.makefile("rw")
        self.lines.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        while True:
            answer = json.loads(self.lines.readline())
            if "return" in answer:
                return answer["return"]
            need("error" not in answer, str(answer))

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def until(self, seen, what, seconds=120):
        """Wait until seen() is true."""
        end = time.monotonic() + seconds
        while not seen():
            need(time.monotonic() < end and self.child.poll() is None, f"{what}\n{tail(self.text())}")
            time.sleep(0.1)

    def says(self, text):
        self.until(lambda: text in self.text(), f"no '{text}'")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.link.close()
        self.child.kill()
        self.child.wait()


# Machines with a power button: fixed registers, and the generic event device.
BUTTONS = {"pc": ["-M", "pc"], "q35": ["-M", "q35"], "microvm": ["-M", "microvm,acpi=on,isa-serial=on,auto-kernel-cmdline=off"]}


def power_button(name):
    """The button asks the program to stop; then the machine is off, or at least at its end."""
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        image = make_root(folder)
        with Guest(folder, *BUTTONS[name], "-kernel", KERNEL, "-initrd", image, "-append",
                   "console=ttyS0 loglevel=6 init=device -- sleep") as guest:
            guest.says("device: waiting")
            guest.ask("system_powerdown")
            guest.child.wait(timeout=60)
            wants(guest.text(), "acpi: power button", "device: signal 15", "ingot: exit 0")
            need(guest.child.returncode == 0, f"status {guest.child.returncode}")


def clock_of_another_century():
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        image = make_root(folder)
        for date, year in (("1999-12-31T12:00:00", 1999), ("2091-03-01T12:00:00", 2091)):
            log = machine("-M", "q35", "-rtc", f"base={date}", "-initrd", image, line="init=device -- show")
            wants(log, f"year {year}")


def balloon():
    """The host takes memory and gives it back, and is told what is free."""
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        image = make_root(folder)
        with Guest(folder, "-M", "pc", "-kernel", KERNEL, "-initrd", image, "-append", "console=ttyS0 loglevel=6 init=device -- hog",
                   "-device", "virtio-balloon-pci,id=b,free-page-reporting=on") as guest:

            def actual():
                return guest.ask("query-balloon")["actual"] >> 20

            def resident():
                with open(f"/proc/{guest.child.pid}/status", encoding="ascii") as file:
                    return next(int(line.split()[1]) for line in file if line.startswith("RssShmem") or line.startswith("RssAnon")) >> 10

            guest.says("device: waiting")
            before = resident()
            guest.until(lambda: resident() < before - 40, f"the host was told of nothing: {before} MiB, now {resident()}")
            guest.ask("balloon", value=40 << 20)
            guest.until(lambda: actual() == 40, f"not 40 but {actual()} MiB")
            guest.ask("balloon", value=96 << 20)
            guest.until(lambda: actual() == 96, f"not 96 but {actual()} MiB")
            guest.ask("balloon", value=1 << 20)  # more than it can give
            guest.until(lambda: actual() < 16, f"{actual()} MiB")
            guest.ask("system_powerdown")
            guest.child.wait(timeout=60)
            wants(guest.text(), "device: signal 15", "ingot: exit 0")


def entropy():
    """The entropy device is found on PCI, by either interface."""
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        image = make_root(folder)
        for kind in ("disable-legacy=on", "disable-modern=on,disable-legacy=off"):
            log = machine("-M", "pc", "-initrd", image, "-device", f"virtio-rng-pci,{kind}", line="init=device loglevel=7 -- show")
            wants(log, "ingot: exit 0")
            need("no driver" not in log.replace("8086", "") and "does not start" not in log, tail(log))


USER_DATA = {"hostname": "told", "env": {"MOOD": "fine", "GIVEN": "by drive"}, "args": ["one", "two words"],
             "files": [{"path": "/etc/given", "content": "first\nsecond\n", "mode": "0600"}]}
TOLD = ("device: host told", "device: argument one", "device: argument two words", "device: env MOOD=fine", "device: env HOSTNAME=told",
        "device: given first", "device: given second", "ingot: exit 0")


def config_drive(folder, kind, user_data):
    """A drive of one of the kinds that clouds attach, as they make it; QEMU's words for it."""
    path, label = os.path.join(folder, kind.replace(" ", "-") + ".img"), "config-2" if "openstack" in kind else "cidata"
    tree = tempfile.mkdtemp(dir=folder)
    inner = os.path.join(tree, "openstack", "latest") if "openstack" in kind else tree
    os.makedirs(inner, exist_ok=True)
    names = ("meta_data.json", "user_data") if "openstack" in kind else ("meta-data", "user-data")
    meta = json.dumps({"uuid": "1", "hostname": "meta.example.org"}) if "openstack" in kind else "instance-id: i-1\nlocal-hostname: meta\n"
    for name, text in zip(names, (meta, user_data)):
        with open(os.path.join(inner, name), "w", encoding="utf-8") as file:
            file.write(text)
    if "fat" in kind:
        need_programs("mkfs.vfat", "mcopy")
        with open(path, "wb") as file:
            file.truncate({"fat12": 2, "fat16": 16, "fat32": 64}[kind.split()[-1]] << 20)
        subprocess.run([find("mkfs.vfat"), "-F", kind.split("fat")[1], "-n", label, path], check=True, capture_output=True)
        for entry in os.listdir(tree):
            subprocess.run(["mcopy", "-s", "-i", path, os.path.join(tree, entry), "::"], check=True)
        return ["-drive", f"file={path},format=raw,if=virtio"]
    need_programs("xorriso")
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-J", "-r", "-V", label, "-o", path, tree], check=True, capture_output=True)
    return ["-device", "virtio-scsi-pci,id=s", "-drive", f"file={path},format=raw,if=none,id=c", "-device", "scsi-cd,bus=s.0,drive=c"]


def settings_by_drive():
    """Every kind of drive; the command line has the last word; what is no JSON is warned about."""
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        image = make_root(folder)
        cloud_init = "#cloud-config\n" + json.dumps(USER_DATA)
        for kind, text in (("nocloud iso", cloud_init), ("nocloud fat12", cloud_init), ("nocloud fat16", cloud_init),
                           ("nocloud fat32", cloud_init), ("openstack iso", json.dumps(USER_DATA))):
            drive = config_drive(folder, kind, text)
            log = machine("-initrd", image, *drive, line="ingot.config=drive init=device")
            wants(log, *TOLD)
        cd = [*drive[2:4], "-device", "ide-cd,drive=c"]
        wants(machine("-M", "pc", "-initrd", image, *cd, line="ingot.config=drive init=device"), *TOLD)
        log = machine("-initrd", image, *drive, line="ingot.config=drive init=device ingot.hostname=mine MOOD=mine -- show mine")
        wants(log, "device: host mine", "device: env MOOD=mine", "device: env GIVEN=by drive", "device: argument mine")
        need("two words" not in log, tail(log))
        log = machine("-initrd", image, *config_drive(folder, "nocloud iso", "hello: there"), line="ingot.config=drive init=device")
        wants(log, "the user data are not used: no JSON near byte 0", "device: host meta", "ingot: exit 0")
        log = machine("-initrd", image, line="ingot.config=drive init=device")
        wants(log, "instance: no settings from drive", "ingot: exit 0")
        log = machine("-initrd", image, *drive, line="init=device")  # nobody asks
        wants(log, "device: host ingot", "ingot: exit 0")
        log = machine("-initrd", image, *drive, "-smbios", "type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova", line="init=device")
        wants(log, *TOLD)


class Metadata(http.server.BaseHTTPRequestHandler):
    """The servers of three clouds; each refuses what its original refuses."""
    protocol_version = "HTTP/1.1"

    def answer(self, status, text=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        good = self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "").isdigit()
        self.answer(*((200, "TOKEN==") if good else (400,)))

    def do_GET(self):
        told = json.dumps(USER_DATA)
        if self.path.startswith("/latest/") and self.headers.get("X-aws-ec2-metadata-token") != "TOKEN==":
            self.answer(401)
        elif self.path.startswith("/computeMetadata/") and self.headers.get("Metadata-Flavor") != "Google":
            self.answer(403)
        else:
            text = {"/latest/meta-data/local-hostname": "ip-10-0-0-1.ec2.internal", "/latest/user-data": told,
                    "/computeMetadata/v1/instance/hostname": "name.c.project.internal",
                    "/computeMetadata/v1/instance/attributes/user-data": told,
                    "/openstack/latest/meta_data.json": json.dumps({"hostname": "meta.novalocal"}),
                    "/openstack/latest/user_data": told}.get(self.path)
            self.answer(*((200, text) if text else (404,)))

    def log_message(self, *_):
        pass


def settings_by_metadata():
    """A metadata server at its address in a network namespace; asked because of the word, or of what the firmware says."""
    need_ingot()
    with tempfile.TemporaryDirectory() as folder, namespace("tap0"):
        image = make_root(folder)
        subprocess.run(["ip", "addr", "add", "169.254.169.254/32", "dev", "tap0"], check=True)
        server = http.server.ThreadingHTTPServer(("169.254.169.254", 80), Metadata)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        net = ["-initrd", image, "-netdev", "tap,id=n,ifname=tap0,script=no,downscript=no", "-device", "virtio-net-pci,netdev=n"]
        ip = "ip=10.77.0.2::10.77.0.1:255.255.255.0::eth0:off"
        try:
            for source in ("ec2", "gce", "openstack"):
                wants(machine(*net, line=f"{ip} ingot.config={source} init=device"), *TOLD)
            for smbios in ("manufacturer=Amazon EC2", "product=Google Compute Engine"):
                wants(machine(*net, "-smbios", f"type=1,{smbios}", line=f"{ip} init=device"), *TOLD)
        finally:
            server.shutdown()
            server.server_close()
        start = time.monotonic()
        log = machine(*net, line=f"{ip} ingot.config=ec2 init=device")
        wants(log, "instance: no settings from ec2", "ingot: exit 0")
        need(time.monotonic() - start < 60, "nobody answers, and the start takes too long")


def screen_font():
    """The letters, as the kernel draws them: sixteen rows of eight dots each."""
    made = run([sys.executable, os.path.join(ROOT, "tools", "font.py"), os.path.join(ROOT, "kernel", "drv", "font.txt")])
    need(made.status == 0, made.show())
    rows = [[int(byte, 16) for byte in line.strip(" {},").split(", ")] for line in made.text().splitlines() if line.startswith("    {")]
    return {chr(32 + i): bytes(row for row in letter for _ in (0, 1)) for i, letter in enumerate(rows)}


def read_screen(path):
    """The lines of text in a screen dump (PPM), by comparing its cells with the letters."""
    with open(path, "rb") as file:
        kind, size, _, dots = file.read().split(b"\n", 3)
    need(kind == b"P6", str(kind))
    width, height = map(int, size.split())
    letters = {dots: letter for letter, dots in screen_font().items()}
    lit = [dots[i] > 127 for i in range(0, 3 * width * height, 3)]
    lines = []
    for top in range(0, height - 15, 16):
        line = ""
        for left in range(0, width - 7, 8):
            cell = bytes(sum(0x80 >> x for x in range(8) if lit[(top + y) * width + left + x]) for y in range(16))
            line += letters.get(cell, "?")
        lines.append(line.rstrip())
    return lines


SCREENS = {"bochs-display": ["-M", "q35", "-device", "bochs-display"], "std VGA": ["-M", "pc", "-device", "VGA"]}


def screen(name):
    """Log and console output are on the screen, also when it has scrolled; without a serial line the program is there alone."""
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        image, dump = make_root(folder), os.path.join(folder, "dump")

        def shows(guest, *texts):
            def seen():
                guest.ask("screendump", filename=dump)
                lines = read_screen(dump)
                return all(any(text in line for line in lines) for text in texts)
            guest.until(seen, f"the screen does not show {texts}: " + "\n".join(read_screen(dump) if os.path.exists(dump) else []))

        base = [*SCREENS[name], "-device", "pci-testdev", "-initrd", image, "-kernel", KERNEL, "-append"]
        with Guest(folder, *base, "console=ttyS0 loglevel=6 init=device -- sleep") as guest:
            guest.says("device: waiting")
            shows(guest, "no driver for 1b36:0005", "device: waiting")
            guest.ask("system_powerdown")
            guest.child.wait(timeout=60)
        line = "console=tty0 loglevel=6 init=device " + " ".join(f"V{i}=number-{i}" for i in range(60)) + " -- show hello"
        with Guest(folder, *base, line, "-no-shutdown") as guest:  # sixty lines: more than there are rows
            shows(guest, "device: env V59=number-59", "ingot: exit 0")
            need("number-59" not in guest.text(), "the program's output is not on the serial line, which it did not ask for")
        with Guest(folder, *base, "console=ttyS0 ingot.screen=off init=device -- sleep") as guest:
            guest.says("device: waiting")
            guest.ask("screendump", filename=dump)
            need(not any("device" in line for line in read_screen(dump)), "the screen is off, and shows text")


def screen_by_uefi():
    """The frame buffer that UEFI has set up."""
    need_ingot()
    if not os.path.exists(f"{OVMF}/OVMF_CODE_4M.fd"):
        raise Skip("OVMF is not installed")
    with tempfile.TemporaryDirectory() as folder:
        boot, dump = exported(folder, "--", "sleep"), os.path.join(folder, "dump")
        with Guest(folder, "-M", "q35", "-m", "256", "-device", "VGA", "-drive", f"file={boot},format=raw,if=virtio",
                   "-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd",
                   "-drive", f"if=pflash,format=raw,snapshot=on,file={OVMF}/OVMF_VARS_4M.fd") as guest:
            guest.until(lambda: "device: waiting" in guest.text(), "it does not start", 120)
            guest.ask("screendump", filename=dump)
            need("device: waiting" in "\n".join(read_screen(dump)), "\n".join(read_screen(dump)))


def microvm_with_pcie():
    """Configuration space in memory, and no firmware that gives addresses: a root and a volume on NVMe, a network card, the log of what is unknown."""
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        disk = gpt_disk(folder, root=make_root(folder))
        words = ["-M", "microvm,acpi=on,pcie=on,isa-serial=on,auto-kernel-cmdline=off", "-cpu", "max",
                 "-drive", f"file={disk},format=raw,if=none,id=d", "-device", "nvme,serial=1,drive=d", "-device", "virtio-rng-pci",
                 "-device", "virtio-net-pci,netdev=n", "-netdev", "user,id=n,restrict=on", "-device", "pci-testdev"]
        for verb, says in (("write", "device: written"), ("check", "device: found and written again")):
            log = machine(*words, line=f"root=/dev/nvme0n1p1 ingot.mount=/dev/nvme0n1p2:/data init=device -- {verb} /data")
            wants(log, says, "no driver for 1b36:0005", "ingot: exit 0")
            need("does not start" not in log, tail(log))


def no_serial_line():
    """Who has none waits for none: it is as quick as with one whose bytes go nowhere."""
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        image, took = make_root(folder), {}
        for kind in ("null", "none", "null", "none"):
            begun = time.monotonic()
            run(["qemu-system-x86_64", "-accel", "tcg", "-M", "pc", "-m", "96", "-nodefaults", "-no-user-config", "-no-reboot",
                 "-display", "none", "-serial", kind, "-kernel", KERNEL, "-initrd", image,
                 "-append", "loglevel=6 init=device -- show hello"], timeout=60)
            took[kind] = min(took.get(kind, 60), time.monotonic() - begun)
        need(took["none"] < took["null"] + 2, f"seconds: {took}")


def add_to(suite):
    for test in (partitions_by_every_name, damaged_tables, unknown_devices):
        suite.add(f"devices: {test.__name__}", test)
    for name in DISKS:
        suite.add(f"devices: {name}", disk, name)
    for name in CARDS:
        suite.add(f"devices: {name}", card, name)
    for name in BUTTONS:
        suite.add(f"devices: power button of {name}", power_button, name)
    for test in (clock_of_another_century, balloon, entropy, settings_by_drive, settings_by_metadata, microvm_with_pcie, no_serial_line):
        suite.add(f"devices: {test.__name__}", test)
    for name in SCREENS:
        suite.add(f"devices: screen of {name}", screen, name)
    suite.add("devices: screen by UEFI", screen_by_uefi)
