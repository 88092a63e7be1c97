#!/usr/bin/env python3
"""font.py FONT.TXT: C source of the screen's letters on standard output.

A drawing of five by eight dots becomes a letter of eight by sixteen: dots are two wide, so that
strokes are of one strength, and rows are doubled when they are drawn (kernel/drv/screen.c)."""
import sys


def letters(path):
    """(character, its rows) in the order of the file."""
    with open(path, encoding="ascii") as file:
        lines = [line.rstrip("\n") for line in file if not line.startswith("# ")]
    for at in range(0, len(lines), 9):
        word = lines[at].removeprefix("char ")
        rows = lines[at + 1:at + 9]
        if len(rows) != 8 or any(len(row) != 5 or set(row) - set(".#") for row in rows):
            sys.exit(f"{path}: '{word}' is not five by eight")
        yield " " if word == "space" else word, rows


def wide(row):
    """A row as a byte, the leftmost dot in its highest bit."""
    dots = sum(0x40 >> i for i, dot in enumerate(row) if dot == "#")
    return dots | dots >> 1


def main():
    drawn = list(letters(sys.argv[1]))
    if [c for c, _ in drawn] != [chr(c) for c in range(32, 127)]:
        sys.exit("the letters are not those of ASCII in their order")
    print("/* Made by tools/font.py from kernel/drv/font.txt. */\n#include \"drv/screen.h\"\n")
    print("const u8 screen_font[95][8] = {")
    for _, rows in drawn:
        print("    {" + ", ".join(f"{wide(row):#04x}" for row in rows) + "},")
    print("};")


if __name__ == "__main__":
    main()
