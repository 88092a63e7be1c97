#!/usr/bin/env python3
"""Make everything that follows from kernel/sys/table.def.

    syscalls.py header TABLE > syscalls.h      prototypes of the handlers
    syscalls.py source TABLE > table.c         dispatch table, names, argument kinds
    syscalls.py docs TABLE   > syscalls.md     the page for users
    syscalls.py names TABLE  > names.c         names by number, for the host's tools
"""
import sys

C_TYPES = {
    "fd": "int", "int": "int", "sig": "int", "clock": "int",
    "uint": "unsigned", "oflags": "unsigned", "mapflags": "unsigned", "prot": "unsigned",
    "mode": "unsigned", "long": "s64", "off": "s64", "ulong": "u64", "size": "u64",
    "addr": "uaddr_t", "str": "uaddr_t", "path": "uaddr_t",
}
SLOTS = 512  # SYSCALL_SLOTS of arch/hooks.h
# Handlers that look at the program's registers in the frame: see arch/full_frame.h.
FULL_FRAME = {"clone", "clone3", "fork", "vfork", "execve", "execveat", "rt_sigreturn"}
STATES = ("done", "partial", "refused", "none")


def read_table(path):
    """Parse the table: a list of (number, name, state, [(argument, kind)], remark)."""
    calls = []
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        line, _, remark = line.strip().partition(" -- ")
        if not line or line.startswith("#"):
            continue
        words = line.split()
        where = f"{path}: line {number}"
        if len(words) < 3 or words[2] not in STATES:
            sys.exit(f"{where}: want 'NUMBER NAME {'|'.join(STATES)} [ARGUMENT:KIND ...]'")
        args = [tuple(word.split(":")) for word in words[3:]]
        for arg in args:
            if len(arg) != 2 or arg[1] not in C_TYPES:
                sys.exit(f"{where}: unknown argument kind in '{':'.join(arg)}'")
        if calls and int(words[0]) <= calls[-1][0]:
            sys.exit(f"{where}: numbers must rise")
        calls.append((int(words[0]), words[1], words[2], args, remark))
    return calls


def handled(calls):
    return [call for call in calls if call[2] != "none"]


def header(calls):
    print("/* Made from kernel/sys/table.def by tools/syscalls.py. */")
    print('#pragma once\n\n#include "mm/mm.h"\n')
    for _, name, _, args, _ in handled(calls):
        params = ", ".join(f"{C_TYPES[kind]} {arg}" for arg, kind in args) or "void"
        print(f"long sys_{name}({params});")


def source(calls):
    size = calls[-1][0] + 1
    print("/* Made from kernel/sys/table.def by tools/syscalls.py. */")
    print('#include "sys/dispatch.h"\n#include "arch/full_frame.h"\n#include "syscalls.h"\n')
    print(f"static_assert(SYSCALL_MAX == {size}, \"sys/dispatch.h and table.def disagree\");\n")
    for _, name, _, args, _ in handled(calls):
        params = ", ".join(f"{C_TYPES[kind]} {arg} __attribute__((unused))" for arg, kind in args) or "void"
        print(f"__attribute__((weak)) long sys_{name}({params})\n{{\n    return sys_ni();\n}}")
    for _, name, _, _, _ in handled(calls):
        if name in FULL_FRAME:
            print(f"ARCH_FULL_FRAME(sys_{name});")
    print("\n#define CALL(name) (syscall_fn)(void (*)(void)) sys_##name")
    print("const syscall_fn syscall_table[SYSCALL_SLOTS] = {")
    known = {number: name + ("_full" if name in FULL_FRAME else "") for number, name, _, _, _ in handled(calls)}
    for number in range(SLOTS):
        print(f"    [{number}] = CALL({known.get(number, 'ni')}),")
    print("};\n\nconst struct syscall_info syscall_info[SYSCALL_MAX] = {")
    for number, name, _, args, _ in calls:
        kinds = ", ".join(f"ARG_{kind.upper()}" for _, kind in args)
        print(f'    [{number}] = {{"{name}", {len(args)}, {{{kinds}}}}},')
    print("};")


def docs(calls):
    count = {state: sum(call[2] == state for call in calls) for state in STATES}
    print("# System calls\n\nMade from `kernel/sys/table.def` by `tools/syscalls.py`; do not edit.\n")
    print(", ".join(f"{count[state]} {state}" for state in STATES) + ". A call that is `none` answers ENOSYS and is")
    print("logged once by name; `partial` and `refused` say what and why.\n")
    print("| number | name | arguments | state | remark |\n| --: | --- | --- | --- | --- |")
    for number, name, state, args, remark in calls:
        print(f"| {number} | {name} | {', '.join(arg for arg, _ in args)} | {state} | {remark} |")


def names(calls):
    print("/* Made from kernel/sys/table.def by tools/syscalls.py. */")
    print('#include "image/patch/names.h"\n')
    print(f"const char *const syscall_names[{SLOTS}] = {{")
    for number, name, _, _, _ in calls:
        print(f'    [{number}] = "{name}",')
    print("};")


def main():
    makers = {"names": names, "header": header, "source": source, "docs": docs}
    if len(sys.argv) != 3 or sys.argv[1] not in makers:
        sys.exit(__doc__)
    makers[sys.argv[1]](read_table(sys.argv[2]))


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(1)
