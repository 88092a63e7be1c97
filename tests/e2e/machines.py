"""The kernel by itself, on every kind of machine that QEMU offers a Linux guest, and with damaged roots.
What holds here holds for any VMM: the contract is in docs/architecture.md."""
import json
import os
import random
import shutil
import struct
import subprocess
import tempfile

from harness import BUILD, Failure, Skip, need, need_ingot, run

PROGRAM = os.path.join(BUILD, "tests", "e2e", "greet-static")
# isa-debug-exit ends QEMU with value << 1 | 1.
EXIT, SIGNAL, PANIC, ERROR = 1, 3, 5, 7

MICROVM = "microvm,isa-serial=on,auto-kernel-cmdline=off"
MACHINES = {
    "microvm without ACPI, PIT and PIC": [f"{MICROVM},acpi=off,pit=off,pic=off,rtc=on"],
    "microvm without a clock": [f"{MICROVM},acpi=off,pit=off,pic=off,rtc=off"],
    "microvm with ACPI": [f"{MICROVM},acpi=on,pit=off,pic=off,rtc=on"],
    "microvm with everything": [f"{MICROVM},acpi=on,pit=on,pic=on,rtc=on"],
    "microvm with PCI": [f"{MICROVM},acpi=on,pcie=on"],
    "q35": ["q35"],
    "pc": ["pc"],
    "pc without HPET": ["pc,hpet=off", "-cpu", "qemu64,+rdrand"],
    "a processor without RDRAND": [f"{MICROVM},acpi=off,pit=off,pic=off,rtc=on", "-cpu", "qemu64"],
    "two processors": [f"{MICROVM},acpi=on", "-smp", "2"],
    "three processors without ACPI": [f"{MICROVM},acpi=off,pit=off,pic=off,rtc=on", "-smp", "3,sockets=1"],
    "four processors of a q35": ["q35", "-smp", "4,sockets=4"],
    "two processors without x2APIC": ["pc", "-cpu", "max,-x2apic", "-smp", "2"],
    "3 GiB of memory": ["q35", "-m", "3G"],
    "5 GiB of memory": ["q35", "-m", "5G"],
    "8 MiB of memory": [f"{MICROVM},acpi=off,pit=off,pic=off,rtc=on", "-m", "8M"],
}


def make_root(folder):
    """An EROFS image of one static program that says what it was given."""
    if not shutil.which("mkfs.erofs"):
        raise Skip("no mkfs.erofs")
    tree = os.path.join(folder, "tree")
    for name in (".ingot", "bin", "data"):
        os.makedirs(os.path.join(tree, name))
    shutil.copy2(PROGRAM, os.path.join(tree, "bin", "program"))
    for i in range(40):
        with open(os.path.join(tree, "data", f"file-{i}"), "w", encoding="ascii") as file:
            file.write("x" * (i * 200))
    config = {"config": {"Entrypoint": ["/bin/program"], "Env": ["A=1"], "WorkingDir": "/"}}
    with open(os.path.join(tree, ".ingot", "config.json"), "w", encoding="ascii") as file:
        json.dump(config, file)
    image = os.path.join(folder, "root.erofs")
    subprocess.run(["mkfs.erofs", "-T", "0", image, tree], check=True, capture_output=True)
    os.truncate(image, (os.path.getsize(image) + 4095) // 4096 * 4096)
    return image


def boot(options, image, disk=False, line="", timeout=60, memory=True, accel="tcg", first=""):
    """Start the kernel; (QEMU's status, the log).  Without port devices the serial line is the console.  @first: a word
    that stands before all others."""
    command = ["qemu-system-x86_64", "-machine", options[0], *options[1:], "-accel", accel, "-nodefaults",
               "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
               "-device", "isa-debug-exit,iobase=0x501,iosize=2",
               "-kernel", os.path.join(BUILD, "ingot-kernel")]
    if memory and "-m" not in options:
        command += ["-m", "64M"]
    if "-cpu" not in options:
        command += ["-cpu", "max"]
    words = first + "console=ttyS0 loglevel=6 "
    if disk:
        command += ["-drive", f"if=none,id=root,format=raw,readonly=on,file={image}"]
        if options[0].startswith("microvm") and "pcie=on" not in options[0]:
            command += ["-device", "virtio-blk-device,drive=root,bus=virtio-mmio-bus.0",
                        "-global", "virtio-mmio.force-legacy=off"]
            if "acpi=on" not in options[0]:
                words += " virtio_mmio.device=512@0xfeb00000:5"
        else:
            command += ["-device", "virtio-blk-pci,drive=root"]
        words += " root=/dev/vda"
    elif image:
        command += ["-initrd", image]
    result = run([*command, "-append", words + " " + line], timeout=timeout)
    return result.status, result.text()


def last_line(log):
    """The kernel's final verdict, without the time before it."""
    lines = [line[line.index("ingot: "):].strip() for line in log.splitlines() if "ingot: " in line]
    return lines[-1] if lines else ""


def boots(options, disk):
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        status, log = boot(options, make_root(folder), disk, line="A=2 -- 'x")
    tail = "\n".join("    " + line for line in log.splitlines()[-25:])
    need(last_line(log).startswith("ingot: exit"), f"last line '{last_line(log)}', status {status}\n{tail}")
    need(status == EXIT, f"QEMU's status {status}, want {EXIT}\n{tail}")
    need("greet: 1 arguments, A=2" in log and "greet: 'x" in log, f"no greeting\n{tail}")


def boots_from_read_only_memory(memory, at):
    """The image lies behind the RAM of @memory MiB, in memory of its own.  @at: how much higher for the hole below 4 GiB."""
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        image = make_root(folder)
        size, ram = os.path.getsize(image), memory << 20
        ram += (ram + size) % 8192
        options = [*MACHINES["microvm without ACPI, PIT and PIC"], "-m", f"{(ram + size) >> 10}k",
                   "-object", f"memory-backend-ram,id=ram,size={ram}", "-numa", "node,memdev=ram",
                   "-object", f"memory-backend-file,id=image,size={size},share=on,readonly=on,mem-path={image}", "-numa", "node,memdev=image"]
        status, log = boot(options, None, line="A=2 -- 'x", first=f"initrdmem={ram + at:#x},{size:#x} ")
    need(status == EXIT and "greet: 1 arguments, A=2" in log, f"status {status}\n{log}")


def places_where_no_image_is():
    need_ingot()
    options = MACHINES["microvm without ACPI, PIT and PIC"]
    for word in ("", "0x", "0x4000000", "0x4000000,", "0x4000000,4096", "0x4000001,0x1000", "0x4000000,0x1000x", "67108864,0x1000",
                 "0x8000000000,0x1000", "0x4000000,0xffffffffffffffff", "0x4000000,0x0"):
        status, log = boot(options, None, first=f"initrdmem={word} ")
        need(status == ERROR and "no image" in last_line(log), f"'{word}': status {status}: '{last_line(log)}'\n{log}")
    status, log = boot(options, None, first="initrdmem=0x40000000,0x10000 ")
    need(status == ERROR and "initrd, image 1" in last_line(log), f"nothing there: status {status}: '{last_line(log)}'")


def ends_cleanly(image, name, disk=False):
    """Whatever the image holds: a verdict that is no panic."""
    options = MACHINES["microvm without ACPI, PIT and PIC"]
    status, log = boot(options, image, disk, timeout=30)
    tail = "\n".join("    " + line for line in log.splitlines()[-12:])
    need("ingot: panic" not in log and status in (EXIT, SIGNAL, ERROR),
         f"{name}: status {status}, '{last_line(log)}'\n{tail}")
    return status, last_line(log)


def damaged_roots(long):
    need_ingot()
    rng = random.Random(int(os.environ.get("SEED", "1")))
    with tempfile.TemporaryDirectory() as folder:
        with open(make_root(folder), "rb") as file:
            good = file.read()
        path = os.path.join(folder, "damaged")

        def attempt(data, name, disk=False):
            with open(path, "wb") as file:
                file.write(data)
            return ends_cleanly(path, name, disk)

        for name, data in (("all zeros", bytes(len(good))), ("truncated", good[:4096]), ("noise", rng.randbytes(32768))):
            status, verdict = attempt(data, name)
            need(status == ERROR, f"{name}: no error: {verdict}")
        for i in range(100 if long else 8):
            data = bytearray(good)
            for _ in range(rng.choice((1, 1, 4, 32))):
                at = rng.randrange(1024, 1152) if i % 2 else rng.randrange(1024, 16384)
                data[at] ^= 1 << rng.randrange(8)
            attempt(data, f"flip {i}", disk=i % 4 == 3)


def no_root():
    need_ingot()
    status, log = boot(MACHINES["microvm without ACPI, PIT and PIC"], None)
    need(status == ERROR and last_line(log).startswith("ingot: error"), f"status {status}: '{last_line(log)}'")
    need(last_line(log).endswith("disks seen: none"), f"'{last_line(log)}'")


def exit_without_the_debug_port():
    """Where there is no isa-debug-exit, the machine still ends, by ACPI or by a reset."""
    need_ingot()
    with tempfile.TemporaryDirectory() as folder:
        image = make_root(folder)
        for machine in ("q35", f"{MICROVM},acpi=on", f"{MICROVM},acpi=off,pit=off,pic=off"):
            command = ["qemu-system-x86_64", "-machine", machine, "-accel", "tcg", "-cpu", "max", "-m", "64M",
                       "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
                       "-kernel", os.path.join(BUILD, "ingot-kernel"), "-initrd", image, "-append", "console=ttyS0"]
            result = run(command, timeout=30)
            need(last_line(result.text()).startswith("ingot: exit"), f"{machine}: '{last_line(result.text())}'")


def pvh_note():
    """The entry point other VMMs look for."""
    with open(os.path.join(BUILD, "ingot-kernel"), "rb") as file:
        data = file.read()
    for size in (4, 8):
        note = data.find(struct.pack("<III", 4, size, 18) + b"Xen\0")
        if note > 0:
            entry, = struct.unpack_from("<I", data, note + 16)
            need(0x100000 <= entry < 0x1000000, f"the entry is at {entry:#x}")
            return
    raise Failure("no PVH note")


def add_to(suite, long):
    suite.add("kernel: PVH note", pvh_note)
    for name, options in MACHINES.items():
        suite.add(f"kernel: {name}, initrd", boots, options, False)
    for name in ("microvm without ACPI, PIT and PIC", "microvm with ACPI", "q35", "pc"):
        suite.add(f"kernel: {name}, disk", boots, MACHINES[name], True)
    suite.add("kernel: an image in read-only memory", boots_from_read_only_memory, 64, 0)
    suite.add("kernel: an image in read-only memory above 4 GiB", boots_from_read_only_memory, 3072, 1 << 30)
    suite.add("kernel: places where no image is", places_where_no_image_is)
    suite.add("kernel: no root", no_root)
    suite.add("kernel: damaged roots", damaged_roots, long)
    suite.add("kernel: exit without the debug port", exit_without_the_debug_port)
