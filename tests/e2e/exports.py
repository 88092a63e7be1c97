"""`ingot export`: each format read by somebody else, and booted."""
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import xml.etree.ElementTree

from harness import INGOT, Skip, need, run
from netlab import need_programs

OVMF = "/usr/share/OVMF"
WORDS = "exported says hello"
DISKS = {"qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx", "vdi": "vdi"}


class Lab:
    """A folder with a store that has one image, small:1."""

    def __enter__(self):
        need_programs("musl-gcc", "qemu-img", "qemu-system-x86_64")
        self.folder = tempfile.mkdtemp()
        self.env = {"INGOT_HOME": os.path.join(self.folder, "store"), "TMPDIR": self.folder}
        source, program = self.path("small.c"), self.path("small")
        with open(source, "w", encoding="ascii") as file:
            file.write('#include <stdio.h>\n#include <stdlib.h>\nint main(int n, char **a)\n{\n'
                       f'    printf("{WORDS}, %s %s\\n", n > 1 ? a[1] : "-", getenv("MOOD") ? getenv("MOOD") : "-");\n'
                       '    return 7;\n}\n')
        subprocess.run(["musl-gcc", "-static", "-Os", "-s", "-o", program, source], check=True)
        built = self.ingot("build", program, "-t", "small:1")
        need(built.status == 0, built.show())
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def ingot(self, *words, env=None):
        return run([INGOT, *words], env={**self.env, **(env or {})})

    def export(self, kind, *words):
        out = self.path("out." + kind)
        result = self.ingot("export", "small:1", "--format", kind, "-o", out, *words)
        need(result.status == 0 and not result.errors(), f"{kind}: {result.show()}")
        return out


def boots(*words, says="- -", timeout=30):
    """A machine of these QEMU words prints what the program says, and ends with its status."""
    result = run(["qemu-system-x86_64", "-accel", "tcg", "-m", "64", "-display", "none", "-serial", "stdio", "-monitor", "none",
                  "-nic", "none", "-no-reboot", *words], timeout=timeout)
    need(f"{WORDS}, {says}" in result.text(), f"{words}\n{result.show()}")
    need("ingot: exit 7" in result.text(), f"{words}\n{result.show()}")


def boots_by_uefi(*words, says="- -"):
    if not os.path.exists(f"{OVMF}/OVMF_CODE_4M.fd"):
        raise Skip("OVMF is not installed")
    boots("-M", "q35", "-m", "128", "-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd",
          "-drive", f"if=pflash,format=raw,snapshot=on,file={OVMF}/OVMF_VARS_4M.fd", *words, says=says, timeout=120)


def raw():
    need_programs("sgdisk", "fsck.fat")
    with Lab() as lab:
        out = lab.export("raw")
        need(os.path.getsize(out) <= 2 << 20, f"{os.path.getsize(out)} bytes")
        check = run(["sgdisk", "-v", out])
        need("No problems found" in check.text(), check.show())
        with open(out, "rb") as disk:
            disk.seek(128 * 512)
            data = disk.read()
        with open(lab.path("esp"), "wb") as esp:
            esp.write(data[:int.from_bytes(data[19:21], "little") * 512])
        check = run(["fsck.fat", "-n", lab.path("esp")])
        need(check.status == 0 and "3 files" in check.text(), check.show())
        for device in ("virtio-blk-pci,drive=d", "ide-hd,drive=d", "nvme,drive=d,serial=1"):
            boots("-drive", f"file={out},format=raw,if=none,id=d", "-device", device)


def raw_by_uefi():
    """Which enters the kernel by the 64-bit protocol, as Firecracker does."""
    with Lab() as lab:
        out = lab.export("raw", "-e", "MOOD=rather fine", "well")
        boots_by_uefi("-drive", f"file={out},format=raw,if=virtio", says="well rather fine")


def disks_by_qemu_img():
    with Lab() as lab:
        raw_disk = lab.export("raw")
        for kind, name in DISKS.items():
            out = lab.export(kind)
            same = run(["qemu-img", "compare", "-f", "raw", "-F", name, raw_disk, out])
            need(same.status == 0, f"{kind}: {same.show()}")
            boots("-drive", f"file={out},format={name},if=virtio,snapshot=on")
        with open(lab.path("out.vhd"), "rb") as file:
            data = file.read()
        need(data[-512:-504] == b"conectix" and data[-512 + 60:-512 + 64] == b"\0\0\0\2", "no footer of a fixed disk")
        need((len(data) - 512) % (1 << 20) == 0, f"{len(data)} bytes")


def gce():
    with Lab() as lab:
        out = lab.export("gce")
        need(os.path.getsize(out) <= 460 << 10, f"{os.path.getsize(out)} bytes")
        with tarfile.open(out) as tar:
            members = tar.getmembers()
            need([m.name for m in members] == ["disk.raw"] and members[0].size == 1 << 30 and members[0].issparse(),
                 str(members))
        subprocess.run(["tar", "-xSzf", out, "-C", lab.folder], check=True)
        boots("-drive", f"file={lab.path('disk.raw')},format=raw,if=virtio")


def folded():
    """A root with patched pages is stored without its repetitions; a damaged one is refused by name."""
    with Lab() as lab:
        program, out, packed = lab.path("static"), lab.path("disk"), lab.path("disk.tar.gz")
        subprocess.run(["gcc", "-static", "-Os", "-s", "-o", program, lab.path("small.c")], check=True)
        for kind, path in (("raw", out), ("gce", packed)):
            result = lab.ingot("export", program, "--format", kind, "-o", path)
            need(result.status == 0, result.show())
        bound = 750 if shutil.which("libdeflate-gzip") else 780  # KiB
        need(os.path.getsize(packed) <= bound << 10, f"{os.path.getsize(packed)} bytes")
        boots("-drive", f"file={out},format=raw,if=virtio")
        with open(out, "r+b") as disk:
            data = disk.read()
            at = data.rfind(b"INGIFol2")  # the kernel knows the word too
            need(at > 0, "the root is not folded")
            disk.seek(at + 24 + 7)  # the copy of the first run: far too long
            disk.write(b"\x80")
        result = run(["qemu-system-x86_64", "-accel", "tcg", "-m", "64", "-display", "none", "-serial", "stdio", "-monitor", "none",
                      "-nic", "none", "-no-reboot", "-drive", f"file={out},format=raw,if=virtio"], timeout=30)
        need("ingot: error: initrd: damaged" in result.text(), result.show())


def ova():
    with Lab() as lab:
        out = lab.export("ova", "--memory", "96M")
        with tarfile.open(out) as tar:
            names = tar.getnames()
            need(names == ["small-1.ovf", "small-1.mf", "small-1-disk1.vmdk"], str(names))
            tar.extractall(lab.folder)
        with open(lab.path(names[1]), encoding="ascii") as file:
            for line in file:
                name, digest = line.strip().removeprefix("SHA256(").split(")= ")
                with open(lab.path(name), "rb") as content:
                    need(hashlib.sha256(content.read()).hexdigest() == digest, name)
        text = open(lab.path(names[0]), encoding="utf-8").read()
        xml.etree.ElementTree.fromstring(text)
        need(">96<" in text and names[2] in text, text)


def iso():
    need_programs("xorriso")
    with Lab() as lab:
        out = lab.export("iso")
        listing = run(["xorriso", "-indev", out, "-report_el_torito", "plain"])
        need("BIOS" in listing.text() and "UEFI" in listing.text(), listing.show())
        boots("-cdrom", out)
        boots_by_uefi("-cdrom", out)


def folders():
    with Lab() as lab:
        out = lab.export("kernel+initrd", "--", "one")
        line = open(os.path.join(out, "cmdline"), encoding="ascii").read().strip()
        for kernel in ("vmlinux", "bzImage"):
            boots("-kernel", os.path.join(out, kernel), "-initrd", os.path.join(out, "initrd"), "-append", line, says="one -")
        boots("-kernel", os.path.join(out, "bzImage"), "-initrd", os.path.join(out, "initrd"), says="one -")
        out = lab.export("firecracker")
        with open(os.path.join(out, "vm.json"), encoding="ascii") as file:
            source = json.load(file)["boot-source"]
        need(all(os.path.exists(os.path.join(out, source[key])) for key in ("kernel_image_path", "initrd_path")), str(source))
        out = lab.export("libvirt")
        domain = xml.etree.ElementTree.parse(os.path.join(out, "domain.xml"))
        disk = domain.find("devices/disk/source").get("file")
        need(os.path.realpath(disk) == os.path.realpath(os.path.join(out, "disk.qcow2")), disk)
        boots("-drive", f"file={disk},format=qcow2,if=virtio,snapshot=on")


def refusals():
    with Lab() as lab:
        out = lab.export("raw")
        for words, status, text in (
                (["--format", "raw", "-o", out], 1, "--force"),
                (["--format", "libvirt", "-o", lab.folder], 1, "exists"),
                (["--format", "raw", "-o", lab.path("new"), "--size", "512K"], 1, "needs 1 MiB"),
                (["--format", "gce", "-o", lab.path("new"), "--size", "64M"], 1, "needs 1024 MiB as gce"),
                (["--format", "qcow", "-o", lab.path("new")], 2, "'qcow2'"),
                (["--format", "raw"], 2, "-o"),
                (["-o", lab.path("new")], 2, "kernel+initrd"),
                (["--format", "raw", "-o", lab.path("no/folder/new")], 1, "no/folder"),
                (["--format", "raw", "-o", lab.path("new"), "--append", "x" * 3000], 1, "2047"),
                (["--format", "raw", "-o", lab.path("new"), "--kernel", "/bin/true"], 1, "not an Ingot kernel")):
            before = sorted(os.listdir(lab.folder))
            result = lab.ingot("export", "small:1", *words)
            need(result.status == status and text in result.errors(), f"{words}\n{result.show()}")
            need(len(result.errors().splitlines()) == 1, result.show())
            need(sorted(os.listdir(lab.folder)) == before, f"{words}: something is left behind")
        result = lab.ingot("export", "small:1", "--format", "qcow2", "-o", lab.path("new"), env={"PATH": "/nowhere"})
        need(result.status == 1 and "'qemu-utils'" in result.errors(), result.show())
        first = open(out, "rb").read()
        lab.export("raw", "--force")
        need(open(out, "rb").read() == first, "the same image is not the same bytes")


def add_to(suite):
    for test in (raw, raw_by_uefi, disks_by_qemu_img, gce, folded, ova, iso, folders, refusals):
        suite.add(f"export: {test.__name__}", test)
