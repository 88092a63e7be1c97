"""The machines that are measured: Ingot through its own command, and Linux guests on the same QEMU with
the same options.  Each knows how to start a program, and where its kernel file is."""
import glob
import lzma
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

import cpio

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
OUT = os.path.join(BUILD, "bench")

# The runner's own options (host/vm/qemu_argv.c); Linux needs ACPI on microvm to find its processor.
COMMON = ["-accel", "tcg", "-cpu", "max,-erms,-fsrm", "-nodefaults", "-no-user-config", "-no-reboot",
          "-display", "none", "-device", "isa-debug-exit,iobase=0x501,iosize=2", "-serial", "stdio"]
MACHINE = "microvm,acpi={acpi},pit=off,pic=off,rtc=on,isa-serial=on,auto-kernel-cmdline=off"


class Ended:
    """What one run gave: its output, the plugin's figures, and times in seconds from QEMU's start."""

    def __init__(self, status, out, first_output, total, launch, figures):
        self.status, self.out, self.figures = status, out, figures
        self.first_output, self.total, self.launch = first_output, total, launch
        self.seen = {}  # mark that was looked for -> ms of processor that QEMU had had when it was printed
        self.profiles = {}  # name of a point -> text, where asked for


def tsc_khz():
    """The host's TSC rate, which TCG shows the guest; measured, since no file has it."""
    source = ("#include <stdio.h>\n#include <time.h>\n#include <x86intrin.h>\n"
              "static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);"
              " return t.tv_sec * 1e3 + t.tv_nsec / 1e6; }\n"
              "int main(void) { double s = now(); unsigned long long a = __rdtsc();"
              " while (now() - s < 100) ; printf(\"%.0f\\n\", (__rdtsc() - a) / (now() - s)); }\n")
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "tsc")
        subprocess.run(["gcc", "-x", "c", "-", "-o", program], input=source.encode(), check=True)
        return int(subprocess.run([program], capture_output=True, check=True).stdout)


def elf_entry(path):
    with open(path, "rb") as file:
        head = file.read(64)
    return struct.unpack_from("<Q", head, 24)[0] if head[:4] == b"\x7fELF" else None


def pvh_entry(path):
    """The address in the PVH note of a kernel, or a bzImage's 32-bit entry."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:4] != b"\x7fELF":
        return 0x100000
    phoff, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for i in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, phoff + i * size)
        at = offset
        while kind == 4 and at < offset + length:
            name_size, desc_size, note = struct.unpack_from("<III", data, at)
            name = data[at + 12:at + 12 + name_size]
            desc = at + 12 + (name_size + 3) // 4 * 4
            if name == b"Xen\0" and note == 18:
                return int.from_bytes(data[desc:desc + desc_size], "little")
            at = desc + (desc_size + 3) // 4 * 4
    return None


def read_figures(path):
    """[(name, early, kernel, user)] in order."""
    figures = []
    try:
        with open(path, encoding="ascii") as file:
            for line in file:
                words = line.split()
                if words[0] == "at":
                    words = words[1:]
                figures.append((words[0], *map(int, words[1:])))
    except FileNotFoundError:
        pass
    return figures


def vmm_ms(pid):
    """Milliseconds of processor that QEMU, which is @pid or below it, has had: all of its threads, those too that have
    ended, as it may end while we look."""
    process_clock = (~pid << 3) | 2  # clock_getcpuclockid(3)
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            if not file.read().startswith("qemu"):
                with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                    return sum(map(vmm_ms, map(int, file.read().split())))
        return time.clock_gettime(process_clock) * 1e3
    except OSError:
        return 0


class Machine:
    """Base: run a command whose QEMU is started through the shim."""

    name = kernel = None
    has_network = False  # a server can be reached: virtio-net is built in, or its modules are at hand
    has_disks = False  # virtio-blk and ext4 are built in
    has_libraries_of_its_own = False  # what a program needs must be put into its initramfs

    def __init__(self):
        self.bin = os.path.join(OUT, "bin")
        os.makedirs(self.bin, exist_ok=True)
        target = os.path.join(self.bin, "qemu-system-x86_64")
        shutil.copy2(os.path.join(BUILD, "bench", "qemu-shim"), target)
        self.qemu = shutil.which("qemu-system-x86_64")

    def environment(self, start_file, options):
        """The variables by which a QEMU that is started goes through the shim."""
        return {**os.environ, "PATH": self.bin + ":" + os.environ["PATH"], "BENCH_QEMU": self.qemu,
                "BENCH_START": start_file, "BENCH_QEMU_OPTIONS": options}

    def run_command(self, command, marks, plugin, program=None, timeout=300):
        """A whole command; .seen of what it answers tells of each of @marks.  @program: the first one, an ELF file
        that is not moved, or None."""
        return self._run(command, marks, plugin, program, timeout)

    def _run(self, command, first, plugin, program, timeout, profile=False):
        first = (first,) if isinstance(first, bytes) else first
        start_file = tempfile.NamedTemporaryFile(dir=OUT, delete=False).name
        figures = start_file + ".figures"
        options = ""
        if plugin:
            name = plugin if isinstance(plugin, str) else "insn"
            options = f"{os.path.join(BUILD, 'bench', name + '.so')},out={figures}"
            if name == "insn" and pvh_entry(self.kernel):
                options += f",entry={pvh_entry(self.kernel):#x}"
            if name == "insn" and program and elf_entry(program):
                options += f",program={elf_entry(program):#x}"
            options = "-plugin " + options + (",profile=on" if profile else "")
        env = self.environment(start_file, options)
        launched = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, env=env)
        seen, out = {}, b""
        try:
            os.set_blocking(child.stdout.fileno(), False)
            while True:
                if time.monotonic() - launched > timeout:
                    child.kill()
                    break
                chunk = child.stdout.read()
                if chunk:
                    out += chunk
                    for mark in first:
                        if mark not in seen and mark in out:
                            seen[mark] = time.monotonic(), vmm_ms(child.pid)
                elif chunk == b"":
                    break
                else:
                    time.sleep(0.0003)
            child.wait(timeout=10)
        finally:
            child.kill()
        ended = time.monotonic()
        with open(start_file, encoding="ascii") as file:
            stamp = file.read().strip()
        start = int(stamp) / 1e9 if stamp else launched
        result = Ended(child.returncode, out.decode(errors="replace"),
                       seen[first[-1]][0] - start if first[-1] in seen else None, ended - start, start - launched,
                       read_figures(figures))
        result.seen = {mark: ms for mark, (_, ms) in seen.items()}
        for path in glob.glob(figures + ".*"):
            with open(path, encoding="ascii") as file:
                result.profiles[path[len(figures) + 1:]] = file.read()
            os.unlink(path)
        for path in (start_file, figures):
            if os.path.exists(path):
                os.unlink(path)
        return result


class Floor(Machine):
    """One instruction: what QEMU itself costs."""

    name = "floor"

    def __init__(self):
        super().__init__()
        self.kernel = os.path.join(BUILD, "bench", "floor")

    def run(self, program=None, memory=64, first=b"F", plugin=False, timeout=20, **_):
        command = ["qemu-system-x86_64", "-machine", MACHINE.format(acpi="off"), *COMMON, "-m",
                   str(memory), "-kernel", self.kernel]
        command[0] = os.path.join(self.bin, command[0])
        return self._run(command, first, plugin, program, timeout)


class Linux(Machine):
    """A Linux guest whose init is the program."""

    has_libraries_of_its_own = True

    def __init__(self, name, kernel, modules=()):
        super().__init__()
        self.name, self.kernel, self.modules = name, kernel, modules
        self.khz = tsc_khz()

    def _initrd(self, program):
        path = os.path.join(OUT, os.path.basename(program) + ".cpio")
        if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(program):
            with open(path, "wb") as file:
                file.write(cpio.initramfs(program, libraries(program)))
        return path

    def image_size(self, program):
        """Bytes of the initramfs."""
        return os.path.getsize(self._initrd(program))

    def run(self, program, memory=256, first=b"Hello", plugin=False, timeout=60, cpus=1, **_):
        options = ["-smp", str(cpus)] if cpus > 1 else []
        command = self.command(memory, self._initrd(program), "-- reboot", options)
        return self._run(command, first, plugin, program, timeout)

    def run_with_volume(self, program, volume, plugin, memory=128):
        """A program that mounts /dev/vda, the image @volume, by itself."""
        command = self.command(memory, self._initrd(program), "-- reboot", drive(volume))
        return self._run(command, b"op ", plugin, program, 600)

    def run_tool(self, program, args, volume, memory=512):
        """A program of the host's, with the ext4 image @volume at /volume."""
        initrd = os.path.join(OUT, os.path.basename(program) + "-tool.cpio")
        with open(program, "rb") as file:
            contents = [*libraries(program), (program, file.read(), 0o755)]
        with open(initrd, "wb") as file:
            file.write(cpio.initramfs(os.path.join(BUILD, "bench", "bench-init"), contents))
        command = self.command(memory, initrd, " ".join(["--", program, *args]), drive(volume))
        return self._run(command, b"fio", False, None, 300)

    def command(self, memory, initrd, words, options=()):
        line = (f"console=ttyS0 quiet tsc_early_khz={self.khz} tsc=reliable no_timer_check nokaslr "
                f"random.trust_cpu=on mitigations=off 8250.nr_uarts=1 panic=-1 rdinit=/init {words}")
        return [os.path.join(self.bin, "qemu-system-x86_64"), "-machine", MACHINE.format(acpi="on"), *COMMON,
                "-m", str(memory), "-kernel", self.kernel, "-initrd", initrd, *options, "-append", line]

    def server_command(self, program, args, files, tap, address, memory=256, folders=(), cpus=1):
        """A server behind a tap, started by bench/guest/init.c; files: guest path -> file here; folders: what the
        program opens by itself. With several CPUs the tap is one of several queues."""
        own = [(path, here, 0o644) for path, here in files.items()]
        own += [(program, program, 0o755), *((path, path, 0o644) for path in ("/etc/passwd", "/etc/group"))]
        own += [(f"/modules/{i}.ko", here, 0o644) for i, here in enumerate(self.modules)]
        own += [(path, path, 0o644) for folder in folders for path in files_below(folder)]
        contents = libraries(program)
        for path, here, mode in own:
            with open(here, "rb") as file:
                contents.append((path, file.read(), mode))
        initrd = os.path.join(OUT, os.path.basename(program) + "-server.cpio")
        with open(initrd, "wb") as file:
            file.write(cpio.initramfs(os.path.join(BUILD, "bench", "bench-init"), contents))
        queues, several = (f",queues={cpus}", ",mq=on") if cpus > 1 else ("", "")
        options = ["-smp", f"{cpus},sockets=1", "-global", "virtio-mmio.force-legacy=off",
                   "-global", "virtio-mmio.ioeventfd=off", "-netdev",
                   f"tap,id=net,ifname={tap},script=no,downscript=no{queues}",
                   "-device", f"virtio-net-device,netdev=net{several}"]
        return self.command(memory, initrd, f"ip={address}:::255.255.255.0::eth0:off -- "
                             + " ".join([program, *args]), options)


class Ingot(Machine):
    """Ours, through `ingot run`."""

    name = "Ingot"
    has_disks = True

    def __init__(self):
        super().__init__()
        self.kernel = os.path.join(BUILD, "ingot-kernel")

    def image_size(self, program):
        """Bytes of the image in a store of its own, the largest file being the root file system."""
        with tempfile.TemporaryDirectory() as store:
            subprocess.run([os.path.join(BUILD, "ingot"), "build", "-q", "-t", "bench", program],
                           env={**os.environ, "INGOT_HOME": store}, check=True, stdout=subprocess.DEVNULL)
            return max(os.path.getsize(os.path.join(folder, name))
                       for folder, _, names in os.walk(store) for name in names)

    def server_command(self, program, args, files, tap, address, memory=256, folders=(), cpus=1):
        """A server behind a tap; files: guest path -> file here; folders: `ingot run` finds them."""
        del folders
        copies = [word for path, here in files.items() for word in ("--file", f"{here}:{path}")]
        return [os.path.join(BUILD, "ingot"), "run", "--isolation", "vm", "-m", f"{memory}M", "--cpus", str(cpus), "--net",
                f"tap:{tap},ip={address}/24", *copies, program, *args]

    def run_with_volume(self, program, volume, plugin, memory=128, words=(), profile=False):
        """A program whose first argument is the folder where the image @volume is mounted."""
        command = [os.path.join(BUILD, "ingot"), "run", "--isolation", "vm", "-m", f"{memory}M", "-v",
                   volume + ":/volume", program, "/volume", *words]
        return self._run(command, b"op ", plugin, program, 600, profile)

    def run_tool(self, program, args, volume, memory=512):
        """A program of the host's, with the ext4 image @volume at /volume."""
        command = [os.path.join(BUILD, "ingot"), "run", "--isolation", "vm", "-m", f"{memory}M", "-v",
                   volume + ":/volume", program, *args]
        return self._run(command, b"fio", False, None, 300)

    def run(self, program, memory=64, first=b"Hello", plugin=False, timeout=60, args=(), cpus=1, profile=False):
        command = [os.path.join(BUILD, "ingot"), "run", "--isolation", "vm", "-m", f"{memory}M", "--cpus", str(cpus),
                   program, *args]
        return self._run(command, first, plugin, program, timeout, profile)


def drive(path):
    """The runner's own options of a volume (host/vm/qemu_argv.c)."""
    return ["-global", "virtio-mmio.force-legacy=off", "-global", "virtio-mmio.ioeventfd=off", "-drive",
            f"if=none,id=volume0,format=raw,file.locking=off,cache=writeback,discard=unmap,werror=report,file={path}",
            "-device", "virtio-blk-device,drive=volume0"]


def files_below(folder):
    """All but what Python compiled, whose times an archive does not keep."""
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in ("__pycache__", "test")]
        yield from (os.path.join(top, name) for name in names if os.path.isfile(os.path.join(top, name)))


def libraries(program):
    """(path, bytes, mode) of the shared libraries of a program, for an initramfs."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    files = []
    for line in listing.splitlines():
        for word in line.split():
            if word.startswith("/"):
                with open(word, "rb") as file:
                    files.append((word, file.read(), 0o755))
    return files


def linux_guests():
    """The opponents that are present, the trimmed one first."""
    guests = []
    trimmed = os.environ.get("INGOT_BENCH_LINUX",
                             os.path.join(ROOT, "..", "shared", "bench", "linux-trimmed"))
    packed = os.path.join(trimmed, "vmlinux.xz")
    if os.path.exists(packed):
        kernel = os.path.join(OUT, "vmlinux-trimmed")
        if not os.path.exists(kernel):
            with lzma.open(packed) as source, open(kernel, "wb") as target:
                shutil.copyfileobj(source, target)
        guests.append(Linux("Linux, trimmed", kernel))
        guests[-1].has_network = guests[-1].has_disks = True
    cloud = sorted(glob.glob("/boot/vmlinuz-*-cloud-amd64")) or fetch_cloud_kernel()
    if cloud:
        modules = network_modules(cloud[-1])
        guests.append(Linux("Linux, Debian cloud", cloud[-1], modules))
        guests[-1].has_network = bool(modules)
    return guests


def network_modules(kernel):
    """virtio-net and what it needs, in the order in which they are loaded; [] where one is missing."""
    folder = os.path.join(os.path.dirname(kernel), "..", "lib", "modules", os.path.basename(kernel).split("-", 1)[1], "kernel")
    names = ("drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_mmio", "net/core/failover",
             "drivers/net/net_failover", "drivers/net/virtio_net")
    modules = [os.path.join(folder, name + ".ko") for name in names]
    return modules if all(map(os.path.exists, modules)) else []


def fetch_cloud_kernel():
    """Debian's cloud kernel, taken out of its package and not installed; [] without a network."""
    folder = os.path.join(OUT, "cloud-kernel")
    kernels = glob.glob(os.path.join(folder, "boot", "vmlinuz-*"))
    if kernels:
        return kernels
    os.makedirs(folder, exist_ok=True)
    depends = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"],
                             capture_output=True, text=True, check=False).stdout
    names = [line.split()[-1] for line in depends.splitlines() if "Depends: linux-image" in line]
    for name in names[:1]:
        subprocess.run(["apt-get", "download", "-qq", name], cwd=folder, check=False,
                       stdout=subprocess.DEVNULL, stderr=sys.stderr)
        for package in glob.glob(os.path.join(folder, "*.deb")):
            subprocess.run(["dpkg", "-x", package, folder], check=False)
    return glob.glob(os.path.join(folder, "boot", "vmlinuz-*"))
