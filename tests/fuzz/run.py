#!/usr/bin/env python3
"""Fuzz targets, each a bounded run over its corpus and beyond; longer with --long.

    tests/fuzz/run.sh [--long] [NAME...]

A target is tests/fuzz/NAME_fuzz.c with the sources named here, built by clang with libFuzzer, ASan and
UBSan.  Seeds lie in corpus/NAME, what a run finds beyond them stays in the build folder.  An input
that crashes is left there too; make it a seed and a unit test."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BUILD, ROOT, Failure, Skip, Suite, arguments, run  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(BUILD, "tests", "fuzz")
FLAGS = ["-std=gnu17", "-g", "-O1", "-fsanitize=fuzzer,address,undefined",
         "-fno-sanitize-recover=undefined", "-I.", "-Iinclude", "-Itests"]
SIDES = {"kernel": ["-Ikernel", "-Ikernel/arch/x86_64/include", "-D__iovec_defined=1", "-D_GNU_SOURCE"], "host": ["-Ihost", "-D_GNU_SOURCE"]}

HOST_LIB = ["host/lib/buf.c", "host/lib/fs.c", "host/lib/err.c", "host/lib/cleanup.c", "host/lib/proc.c",
            "host/lib/tmpdir.c", "host/lib/json.c", "lib/string.c"]
FAKES = ["tests/fake/heap.c", "tests/fake/fault.c"]

MM = ["kernel/mm/" + name + ".c" for name in ("advise", "area", "fault", "ground", "heap", "iter", "lock", "map", "mm",
                                              "page", "protect", "reclaim", "remap", "shm", "uaccess", "unmap")]
EROFS = ["kernel/fs/erofs.c", "kernel/fs/erofs_data.c", "kernel/fs/erofs_dir.c", "kernel/fs/erofs_xattr.c",
         "kernel/fs/erofs_lz4.c", "kernel/fs/erofs_lzma.c", "kernel/fs/erofs_z.c", "kernel/fs/erofs_zmap.c",
         "kernel/vfs/inode.c", "kernel/vfs/dentry.c", "kernel/vfs/page_cache.c", "lib/crc32c.c", "lib/string.c",
         "lib/format.c", "lib/rbtree.c", "tests/fake/machine.c", "tests/fake/filesystem.c",
         "tests/fake/fault.c", "kernel/arch/x86_64/layout.c", *MM]

EXT4 = [*("kernel/fs/ext4/" + name + ".c" for name in (
    "balloc", "buf", "commit", "csum", "dir", "direct", "discard", "fiemap", "dx", "dx_iterate", "extent", "extent_change", "file", "gate",
    "group", "hash", "ialloc", "inode", "journal", "namei", "orphan", "read", "replay", "super", "truncate", "writeback",
    "xattr")), *("kernel/vfs/" + name + ".c" for name in (
        "attr", "dentry", "fd", "file", "fs_context", "missing", "inode", "known_path", "lock", "mount", "namei", "open", "page_cache", "path",
        "writeback")), *("kernel/fs/" + name + ".c" for name in (
            "erofs", "erofs_data", "erofs_dir", "erofs_lz4", "erofs_lzma", "erofs_xattr", "erofs_z", "erofs_zmap", "overlay", "tmpfs", "tmpfs_dir", "tmpfs_file", "tmpfs_xattr")),
        "kernel/block/block.c", "kernel/mm/iter.c", "kernel/arch/x86_64/layout.c", "lib/crc32c.c", "lib/string.c",
        "lib/format.c", "tests/fake/vfs_world.c", "tests/fake/disk.c", *FAKES]

NET = ["kernel/net/" + name + ".c" for name in (
    "addr", "arp", "bpf", "csum", "dgram", "dgram_option", "dhcp", "eth", "frag", "gro", "icmp", "icmp6", "init", "ip",
    "ip4", "ip6", "ipconfig", "loopback", "mcast", "ndp", "neigh", "netif", "packet", "packet_ring", "packet_tap", "pkt",
    "raw", "route", "slaac", "sock_addr",
    "socket", "socket_opt", "udp", "udp_socket", "vsock", "vsock_packet")] + [
    "kernel/core/irq.c", "kernel/mm/iter.c", "kernel/arch/x86_64/layout.c",
    "lib/string.c", "lib/format.c", "tests/fake/net_ground.c", "tests/fake/net_world.c", *FAKES]

TCP = ["tests/fake/net_ground.c", "tests/fake/tcp_world.c", "tests/fake/waiting.c", "kernel/mm/iter.c", "lib/siphash.c", "lib/format.c",
       "lib/string.c", *("kernel/net/" + name + ".c" for name in (
           "csum", "pkt", "shard", "sock_addr", "socket", "socket_opt", "tcp_ack", "tcp_conn", "tcp_cookie",
           "tcp_cubic", "tcp_expected", "tcp_input", "tcp_listen", "tcp_mtu", "tcp_option", "tcp_output", "tcp_port", "tcp_receive",
           "tcp_recovery", "tcp_segment", "tcp_sendq", "tcp_sent", "tcp_socket", "tcp_stat", "tcp_stream",
           "tcp_timer", "tcp_timewait", "tcp_wire", "wheel"))]

# name -> (side, sources under test, libraries)
TARGETS = {
    "cmdline": ("kernel", ["kernel/core/cmdline_parse.c", "lib/string.c"], []),
    "config": ("kernel", ["kernel/sys/config.c", "kernel/sys/json.c", "kernel/core/cmdline_parse.c",
                          "lib/string.c", "lib/format.c", "tests/fake/cmdline.c", *FAKES], []),
    "kernel_elf": ("kernel", ["kernel/sys/elf_parse.c", "lib/string.c"], []),
    "device": ("host", [*("host/device/" + name + ".c" for name in (
        "device", "disk", "net", "offer", "pcap", "ring", "tap")), "tests/fake/device_guest.c", "tests/fake/user_net.c"], []),
    "share": ("host", [*("host/device/" + name + ".c" for name in (
        "device", "offer", "ring", "share", "share_attr", "share_fid", "share_file", "share_name")),
        "tests/fake/device_guest.c"], []),
    "host_elf": ("host", ["host/image/elf_file.c", *HOST_LIB], ["-ljansson"]),
    "jar": ("host", ["host/image/jar.c", *(name for name in HOST_LIB if "/proc.c" not in name)], ["-ljansson"]),
    "ingotfile": ("host", ["host/image/ingotfile.c", "host/image/config.c", *HOST_LIB], ["-ljansson"]),
    "patch": ("host", ["host/image/patch/" + name + ".c" for name in (
        "calls", "check", "disasm", "eh_frame", "object", "patch", "ranges", "sites", "targets")]
        + ["host/image/patch/cpuid_stub.S", "lib/patch.c", *HOST_LIB], ["-ljansson"]),
    "erofs": ("kernel", EROFS, []),
    "ext4": ("kernel", EXT4, []),
    "net": ("kernel", NET, []),
    "tcp": ("kernel", [*TCP, *FAKES, "kernel/arch/x86_64/layout.c"], []),
    "layer": ("host", ["host/image/layer.c", "host/image/tar.c", "host/image/tree.c", "host/image/tree_layer.c", *HOST_LIB], ["-ljansson"]),
    "image_config": ("host", ["host/image/config.c", *HOST_LIB], ["-ljansson"]),
}


def build(name):
    side, sources, libraries = TARGETS[name]
    target = os.path.join(OUT, name)
    source = os.path.join(HERE, name + "_fuzz.c")
    if not os.path.exists(source):
        raise Skip("no such target yet")
    done = subprocess.run(["clang", *FLAGS, *SIDES[side], "-o", target, source, *sources, *libraries],
                          cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure("does not build\n" + done.stderr[-3000:])
    return target


def fuzz(name, long):
    if not shutil.which("clang"):
        raise Skip("no clang")
    target = build(name)
    found = os.path.join(OUT, "found-" + name)
    os.makedirs(found, exist_ok=True)
    seeds = os.path.join(HERE, "corpus", name)
    seconds = 180 if long else 5
    command = [target, found, *([seeds] if os.path.isdir(seeds) else []), "-max_len=40960",
               "-timeout=25", "-rss_limit_mb=1024", f"-max_total_time={seconds}",
               f"-artifact_prefix={OUT}/crash-{name}-", "-print_final_stats=1"]
    if not long:  # the same inputs each time: what is new is looked for with time enough
        command += ["-runs=200000", "-seed=1"]
    words = os.path.join(HERE, name + ".dict")
    if os.path.exists(words):
        command.append("-dict=" + words)
    result = run(command, timeout=seconds + 120)
    if result.status:
        raise Failure(f"status {result.status}\n{result.show()}")


def main():
    long, words = arguments()
    os.makedirs(OUT, exist_ok=True)
    suite = Suite("fuzz")
    for name in TARGETS:
        suite.add(name, fuzz, name, long)
    return suite.run(words)


if __name__ == "__main__":
    sys.exit(main())
