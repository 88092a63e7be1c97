"""A cpio archive (newc) for a Linux guest's initramfs: one program as /init and a console."""
import stat


def _entry(name, mode, data=b"", device=(0, 0), number=0):
    name_bytes = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(name_bytes), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name_bytes
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def initramfs(program, files=()):
    """The archive's bytes; files: (path, bytes, mode) beside the program."""
    parts = [_entry("dev", stat.S_IFDIR | 0o755),
             _entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
             _entry("tmp", stat.S_IFDIR | 0o777)]
    folders = set()
    for path, data, mode in files:
        pieces = path.strip("/").split("/")
        for depth in range(1, len(pieces)):
            folder = "/".join(pieces[:depth])
            if folder not in folders:
                folders.add(folder)
                parts.append(_entry(folder, stat.S_IFDIR | 0o755))
        parts.append(_entry("/".join(pieces), stat.S_IFREG | mode, data))
    with open(program, "rb") as source:
        parts.append(_entry("init", stat.S_IFREG | 0o755, source.read()))
    parts.append(_entry("TRAILER!!!", 0))
    return b"".join(parts)
