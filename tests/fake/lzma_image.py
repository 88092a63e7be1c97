#!/usr/bin/env python3
"""Turn an EROFS image whose files are compressed with lz4 into one with MicroLZMA: Debian's mkfs.erofs has none.

    lzma_image.py IMAGE FOLDER

IMAGE was made of FOLDER with -zlz4 -C8192, so a configuration follows its super block, and lz4 is the only algorithm.
Each cluster keeps its place and its bytes of the file; where LZMA needs more room than lz4 the image cannot be made."""
import lzma
import os
import re
import struct
import subprocess
import sys

SUPER, DICT = 1024, 65536


def microlzma(data, lc, lp, pb):
    raw = lzma.compress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": DICT, "lc": lc, "lp": lp,
                                                         "pb": pb}])
    assert raw[0] == 0
    return bytes([~((pb * 5 + lp) * 9 + lc) & 255]) + raw[1:]


def main():
    path, folder = sys.argv[1:]
    with open(path, "rb") as file:
        image = bytearray(file.read())
    assert struct.unpack_from("<I", image, SUPER + 80)[0] & 2, "no configurations"
    struct.pack_into("<I", image, SUPER + 8, struct.unpack_from("<I", image, SUPER + 8)[0] & ~1)  # no checksum
    struct.pack_into("<H", image, SUPER + 84, 2)
    struct.pack_into("<HIH8x", image, SUPER + 128, 14, DICT, 0)
    meta = struct.unpack_from("<I", image, SUPER + 40)[0] * 4096
    changed = set()
    for where, _, names in os.walk(folder):
        for name in names:
            source = os.path.join(where, name)
            if os.path.islink(source):
                continue
            out = subprocess.run(["dump.erofs", "-e", "--path=/" + os.path.relpath(source, folder), path], check=True,
                                 capture_output=True, text=True).stdout
            nid, layout = (int(re.search(word + r": (\d+)", out).group(1)) for word in ("NID", "Layout"))
            if layout not in (1, 3) or nid in changed:
                continue
            changed.add(nid)
            inode = meta + nid * 32
            size = 64 if image[inode] & 1 else 32
            icount = struct.unpack_from("<H", image, inode + 2)[0]
            header = inode + size + (12 + 4 * (icount - 1) if icount else 0)
            header = (header + 7) // 8 * 8
            image[header + 6] = 1
            with open(source, "rb") as file:
                data = file.read()
            for start, length, at, end in re.findall(r": +(\d+)\.\. *\d+ \| +(\d+) : +(\d+)\.\. *(\d+) \|", out):
                start, length, at, end = map(int, (start, length, at, end))
                plain = data[start:start + length]
                if image[at:at + length] == plain:
                    continue  # stored
                packed = microlzma(plain, *((3, 0, 2), (1, 2, 1), (0, 0, 4))[nid % 3])
                assert len(packed) <= end - at, f"{source}: {len(packed)} bytes for {end - at}"
                # As mkfs.erofs has it the stream ends with the cluster; but it must begin in its first block.
                padding = min(end - at - len(packed), 4095)
                image[at:end] = bytes(padding) + packed + bytes(end - at - len(packed) - padding)
    assert changed, "nothing was compressed"
    with open(path, "wb") as file:
        file.write(image)


if __name__ == "__main__":
    main()
