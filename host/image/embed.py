#!/usr/bin/env python3
"""embed.py NAME INPUT OUTPUT: write a C file that holds INPUT as `const char NAME[]`."""
import sys

name, source, target = sys.argv[1:]
with open(source, encoding="utf-8") as file:
    lines = file.read().splitlines()
with open(target, "w", encoding="utf-8") as file:
    file.write(f"extern const char {name}[];\nextern const unsigned long {name}_len;\n")
    file.write(f"const char {name}[] =\n")
    for line in lines:
        text = line.replace("\\", "\\\\").replace('"', '\\"')
        file.write(f'    "{text}\\n"\n')
    file.write(f"    ;\nconst unsigned long {name}_len = sizeof({name}) - 1;\n")
